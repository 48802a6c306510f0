//! Servers: one per workload, for TCP.

use std::{net::SocketAddr, time::Duration};

use axerrno::AxResult;
use futures_util::future::try_join;
use netasync::{Shutdown, TcpListener, TcpStream, sleep, spawn, timeout};

use super::{
    content::Content,
    ledger::Ledger,
    plan::Kind,
    wire::{HELLO, Header, Mode, check, receive, send},
};
use crate::{meter::Meter, rng::Rng};

/// For servers whose clients vanish: a reset that is lost is not repeated.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) ledger: Ledger,
    pub(crate) meter: Meter,
    pub(crate) rng: Rng,
    pub(crate) local: SocketAddr,
    pub(crate) kind: Kind,
}

impl Server {
    /// Serves until it is stopped.
    pub(crate) async fn run(mut self) {
        let restarts = match self.kind {
            Kind::Restarts { restarts, .. } => restarts,
            _ => 0,
        };
        let millis = Duration::from_millis;
        for _ in 0..restarts {
            let up = self.rng.duration(millis(1), millis(3000));
            let down = self.rng.duration(millis(1), millis(300));
            // The listener goes with the future.
            let _elapsed = timeout(up, self.listen()).await;
            sleep(down).await;
        }
        self.listen().await;
    }

    async fn listen(&self) {
        let listener = match TcpListener::bind(self.local).await {
            Ok(listener) => listener,
            Err(error) => return self.ledger.violation(format!("bind {}: {error}", self.local)),
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(spawn(self.meter.watch(self.clone().serve(stream)))),
                Err(error) => return self.ledger.violation(format!("accept: {error}")),
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        let _served = self.ledger.serve();
        if matches!(self.kind, Kind::Aborts { .. } | Kind::Dropped { .. }) {
            stream.set_keep_alive(Some(KEEP_ALIVE));
        }
        let mut header = [0; Header::LEN];
        // A client may give up before it has said anything.
        if stream.read_exact(&mut header).await.is_err() {
            return;
        }
        let Some(header) = Header::parse(&header) else {
            return self.ledger.violation("a header is damaged");
        };
        let Header { connection, mode, .. } = header;
        match self.act(&stream, &header).await {
            Err(_) if self.ledger.is_abandoned(connection) => {}
            Err(error) => self.ledger.violation(format!(
                "connection {connection:x}: broke at the server ({mode:?}): {error}"
            )),
            Ok(()) => {}
        }
    }

    async fn act(&self, stream: &TcpStream, header: &Header) -> AxResult<()> {
        if header.mode == Mode::Mute {
            loop {
                sleep(Duration::from_secs(1)).await;
            }
        }
        stream.write_all(&[HELLO]).await?;
        let (ledger, pause) = (&self.ledger, header.pause);
        match header.mode {
            Mode::Duplex => {
                let reader = receive(stream, ledger, header.up(), pause);
                try_join(self.answer(stream, header), reader).await.map(|_| ())
            }
            Mode::Answer => {
                receive(stream, ledger, header.up(), pause).await?;
                self.answer(stream, header).await
            }
            Mode::Echo => self.echo(stream, header).await,
            Mode::Sink => receive(stream, ledger, header.up(), pause).await,
            Mode::Abort => {
                send(stream, ledger, header.down(), header.down).await?;
                stream.abort();
                Ok(())
            }
            Mode::Lie => stream.write_all(&vec![0; header.down as usize]).await,
            Mode::Mute => Ok(()),
        }
    }

    async fn answer(&self, stream: &TcpStream, header: &Header) -> AxResult<()> {
        send(stream, &self.ledger, header.down(), header.down).await?;
        stream.shutdown(Shutdown::Write);
        Ok(())
    }

    async fn echo(&self, stream: &TcpStream, header: &Header) -> AxResult<()> {
        let mut content = Content::new(header.up());
        let mut buffer = [0; 3000];
        loop {
            let len = stream.read(&mut buffer).await?;
            if len == 0 {
                break;
            }
            check(&mut content, &buffer[..len], &self.ledger, header.up())?;
            stream.write_all(&buffer[..len]).await?;
        }
        self.ledger.received(header.up(), content.digest());
        self.ledger.sent(header.down(), content.digest());
        Ok(())
    }
}
