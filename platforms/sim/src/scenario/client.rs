//! Clients over TCP.

use std::{net::SocketAddr, time::Duration};

use axerrno::{AxError, AxResult};
use futures_util::future::{join_all, try_join};
use netasync::{Shutdown, TcpStream, sleep, spawn, timeout};

use super::{
    content::Content,
    ledger::Ledger,
    plan::Kind,
    wire::{HELLO, Header, Mode, check, receive, send},
};
use crate::{meter::Meter, rng::Rng};

/// How long a client waits before it tries again.
const RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// For clients whose server aborts: a reset that is lost is not repeated.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Connections that one workload can number.
const CONNECTIONS_MAX: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) ledger: Ledger,
    pub(crate) meter: Meter,
    pub(crate) rng: Rng,
    pub(crate) workload: u64,
    pub(crate) server: SocketAddr,
    pub(crate) kind: Kind,
    /// Connections so far.
    pub(crate) opened: u64,
}

/// Where a connection broke.
enum Broken {
    /// Before the server has answered: with faults this is nobody's fault.
    Early(AxError),
    /// After.
    Late(AxError),
}

impl Client {
    /// Does what the workload says, to the end.
    pub(crate) async fn run(mut self, start: Duration) {
        sleep(start).await;
        match self.kind {
            Kind::Short { count, at_once } => self.many(count, at_once).await,
            Kind::Restarts { count, .. } => self.many(count, 1).await,
            Kind::Aborts { count } => self.aborts(count).await,
            Kind::Dropped { count } => self.dropped(count).await,
            Kind::Refused => self.fruitless(AxError::ConnectionRefused).await,
            Kind::Nobody => self.fruitless(AxError::TimedOut).await,
            Kind::Hoarding => self.hoard().await,
            Kind::Busy => self.hurry().await,
            Kind::Forlorn => std::future::pending().await,
            _ => self.persist().await,
        }
        self.ledger.ended(self.workload);
    }

    /// A number for a new connection.
    fn number(&mut self) -> u64 {
        self.opened += 1;
        self.workload * CONNECTIONS_MAX + self.opened
    }

    /// Tries until one connection has done everything.
    async fn persist(&mut self) {
        loop {
            let connection = self.number();
            match self.attempt(connection).await {
                Ok(()) => return,
                Err(Broken::Early(error)) if self.is_excusable(error) => {
                    self.ledger.abandon(connection);
                }
                Err(Broken::Early(error) | Broken::Late(error)) => {
                    self.ledger.abandon(connection);
                    let kind = self.kind;
                    return self.ledger.violation(format!(
                        "connection {connection:x}: broke at the client ({kind:?}): {error}"
                    ));
                }
            }
            self.ledger.retried();
            sleep(self.rng.duration(RETRY[0], RETRY[1])).await;
        }
    }

    /// Whether a connection may break with `error` before the server has answered.
    fn is_excusable(&self, error: AxError) -> bool {
        match error {
            AxError::TimedOut | AxError::ConnectionReset | AxError::NoMemory => true,
            AxError::ConnectionRefused => matches!(self.kind, Kind::Restarts { .. }),
            _ => false,
        }
    }

    async fn attempt(&mut self, connection: u64) -> Result<(), Broken> {
        let header = self.header(connection);
        if let Kind::Impatient { up, .. } = self.kind {
            let stream = self.open_impatiently(&header).await.map_err(Broken::Early)?;
            return self.transfer_impatiently(&stream, &header, up).await.map_err(Broken::Late);
        }
        let stream = self.open(&header).await.map_err(Broken::Early)?;
        self.converse(&stream, &header).await.map_err(Broken::Late)
    }

    fn header(&mut self, connection: u64) -> Header {
        let header = Header { connection, mode: Mode::Duplex, down: 0, pause: Duration::ZERO };
        match self.kind {
            Kind::Bulk { down, .. }
            | Kind::Impatient { down, .. }
            | Kind::Stubborn { down, .. } => Header { down, ..header },
            Kind::HalfClose { down, pause, .. } => {
                Header { mode: Mode::Answer, down, pause, ..header }
            }
            Kind::Echo { .. } => Header { mode: Mode::Echo, ..header },
            Kind::Lying => Header { mode: Mode::Lie, down: 100, ..header },
            Kind::Mute => Header { mode: Mode::Mute, ..header },
            _ => Header { down: self.rng.below(3000), ..header },
        }
    }

    /// Connects, and waits for the server's answer.
    async fn open(&self, header: &Header) -> AxResult<TcpStream> {
        let stream = TcpStream::connect(self.server).await?;
        if matches!(self.kind, Kind::Aborts { .. }) {
            stream.set_keep_alive(Some(KEEP_ALIVE));
        }
        stream.write_all(&header.emit()).await?;
        let mut hello = [0];
        stream.read_exact(&mut hello).await?;
        self.check_hello(hello)?;
        Ok(stream)
    }

    fn check_hello(&self, hello: [u8; 1]) -> AxResult<()> {
        match hello == [HELLO] {
            true => Ok(()),
            false => Err(AxError::InvalidData),
        }
    }

    async fn converse(&mut self, stream: &TcpStream, header: &Header) -> AxResult<()> {
        let ledger = &self.ledger.clone();
        let reader = receive(stream, ledger, header.down(), Duration::ZERO);
        match self.kind {
            Kind::Echo { rounds, len_max } => self.echo(stream, header, rounds, len_max).await,
            Kind::HalfClose { up, .. } | Kind::Stubborn { up, .. } => {
                finish(stream, ledger, header, up).await?;
                reader.await
            }
            Kind::Bulk { up, .. } => {
                try_join(finish(stream, ledger, header, up), reader).await.map(|_| ())
            }
            _ => {
                let up = self.rng.below(3000);
                try_join(finish(stream, ledger, header, up), reader).await.map(|_| ())
            }
        }
    }

    async fn echo(
        &mut self,
        stream: &TcpStream,
        header: &Header,
        rounds: u64,
        len_max: u64,
    ) -> AxResult<()> {
        stream.set_nodelay(self.rng.one_in(2));
        let (mut sent, mut received) = (Content::new(header.up()), Content::new(header.up()));
        for _ in 0..rounds {
            let mut buffer = vec![0; self.rng.between(1, len_max) as usize];
            sent.fill(&mut buffer);
            stream.write_all(&buffer).await?;
            stream.read_exact(&mut buffer).await?;
            check(&mut received, &buffer, &self.ledger, header.down())?;
        }
        stream.shutdown(Shutdown::Write);
        if stream.read(&mut [0]).await? != 0 {
            self.ledger.violation("more was echoed than sent");
        }
        self.ledger.sent(header.up(), sent.digest());
        self.ledger.received(header.down(), received.digest());
        Ok(())
    }

    /// `count` connections, some at a time, each of which must succeed in the end.
    async fn many(&mut self, count: u64, at_once: u64) {
        let lanes = at_once.min(count);
        let mut lane = |number: u64| {
            let mut client = self.clone();
            client.rng = Rng::new(self.rng.below(u64::MAX), number);
            client.opened = number * (CONNECTIONS_MAX / 64);
            async move {
                for _ in (number..count).step_by(lanes as usize) {
                    client.persist().await;
                }
            }
        };
        let lanes: Vec<_> = (0..lanes).map(&mut lane).collect();
        join_all(lanes).await;
    }

    async fn fruitless(&mut self, expected: AxError) {
        loop {
            match TcpStream::connect(self.server).await {
                Err(error) if error == expected => return,
                // Its neighbour, or the answer, may be lost to faults.
                Err(AxError::TimedOut | AxError::NoMemory) => self.ledger.retried(),
                Err(error) => {
                    return self.ledger.violation(format!("connected to nobody: {error}"));
                }
                Ok(_) => return self.ledger.violation("connected to nobody"),
            }
            sleep(RETRY[1]).await;
        }
    }

    async fn hoard(&mut self) {
        let connection = self.number();
        let header = self.header(connection);
        match self.open(&header).await {
            Ok(stream) => std::mem::forget(stream),
            Err(error) => self.ledger.violation(error.to_string()),
        }
    }

    async fn hurry(&mut self) {
        for _ in 0..50_000 {
            sleep(Duration::from_micros(20)).await;
        }
    }
}

/// Clients that break off.
impl Client {
    async fn aborts(&mut self, count: u64) {
        for _ in 0..count {
            let connection = self.number();
            self.ledger.abandon(connection);
            let header = self.header(connection);
            let _broken = match self.rng.below(3) {
                0 => self.be_aborted(Header { mode: Mode::Abort, ..header }).await,
                1 => self.abort(Header { mode: Mode::Sink, ..header }).await,
                _ => self.leave_unread(header).await,
            };
            sleep(self.rng.duration(Duration::from_millis(1), RETRY[0])).await;
        }
    }

    async fn be_aborted(&mut self, header: Header) -> AxResult<()> {
        let stream = self.open(&header).await?;
        // It fails; what it has received until then has been checked.
        receive(&stream, &self.ledger, header.down(), Duration::ZERO).await?;
        self.ledger.violation("an aborted stream seems complete");
        Ok(())
    }

    async fn abort(&mut self, header: Header) -> AxResult<()> {
        let stream = self.open(&header).await?;
        send(&stream, &self.ledger, header.up(), self.rng.below(100_000)).await?;
        stream.abort();
        match stream.write(b"x").await {
            Err(_) => Ok(()),
            Ok(_) => {
                self.ledger.violation("an aborted stream can be written");
                Ok(())
            }
        }
    }

    async fn leave_unread(&mut self, header: Header) -> AxResult<()> {
        let _stream = self.open(&header).await?;
        sleep(self.rng.duration(Duration::from_millis(1), RETRY[0])).await;
        Ok(())
    }

    async fn dropped(&mut self, count: u64) {
        for _ in 0..count {
            let connection = self.number();
            self.ledger.abandon(connection);
            let mut other = self.clone();
            let patience = self.rng.duration(Duration::from_micros(100), RETRY[0]);
            if self.rng.one_in(2) {
                let _elapsed = timeout(patience, other.attempt(connection)).await;
            } else {
                let task = spawn(self.meter.watch(async move {
                    let _broken = other.attempt(connection).await;
                }));
                sleep(patience).await;
                task.abort();
            }
        }
    }
}

/// A client that gives every call a little time, and then makes it again.
impl Client {
    async fn open_impatiently(&mut self, header: &Header) -> AxResult<TcpStream> {
        let mut limit = patience(&mut self.rng);
        let stream = loop {
            match timeout(limit, TcpStream::connect(self.server)).await {
                Ok(result) => break result?,
                Err(_) => limit = (2 * limit).min(Duration::from_secs(3)),
            }
        };
        write_impatiently(&stream, &mut self.rng, &header.emit()).await?;
        let mut hello = [0];
        match read_impatiently(&stream, &mut self.rng, &mut hello).await? {
            0 => return Err(AxError::UnexpectedEof),
            _ => self.check_hello(hello)?,
        }
        Ok(stream)
    }

    async fn transfer_impatiently(
        &mut self,
        stream: &TcpStream,
        header: &Header,
        up: u64,
    ) -> AxResult<()> {
        let mut other = self.clone();
        other.rng = Rng::new(header.connection, 1);
        let reader = other.receive_impatiently(stream, header);
        try_join(self.send_impatiently(stream, header, up), reader).await.map(|_| ())
    }

    async fn send_impatiently(
        &mut self,
        stream: &TcpStream,
        header: &Header,
        up: u64,
    ) -> AxResult<()> {
        let mut sent = Content::new(header.up());
        let mut buffer = vec![0; up as usize];
        sent.fill(&mut buffer);
        write_impatiently(stream, &mut self.rng, &buffer).await?;
        stream.shutdown(Shutdown::Write);
        self.ledger.sent(header.up(), sent.digest());
        Ok(())
    }

    async fn receive_impatiently(&mut self, stream: &TcpStream, header: &Header) -> AxResult<()> {
        let (mut received, mut buffer) = (Content::new(header.down()), [0; 2000]);
        loop {
            let len = read_impatiently(stream, &mut self.rng, &mut buffer).await?;
            if len == 0 {
                break;
            }
            check(&mut received, &buffer[..len], &self.ledger, header.down())?;
        }
        self.ledger.received(header.down(), received.digest());
        Ok(())
    }
}

fn patience(rng: &mut Rng) -> Duration {
    rng.duration(Duration::from_millis(1), Duration::from_millis(50))
}

async fn write_impatiently(stream: &TcpStream, rng: &mut Rng, mut data: &[u8]) -> AxResult<()> {
    while !data.is_empty() {
        if let Ok(len) = timeout(patience(rng), stream.write(data)).await {
            data = &data[len?..];
        }
    }
    Ok(())
}

async fn read_impatiently(stream: &TcpStream, rng: &mut Rng, buffer: &mut [u8]) -> AxResult<usize> {
    loop {
        if let Ok(result) = timeout(patience(rng), stream.read(buffer)).await {
            return result;
        }
    }
}

/// Sends everything, and ends this half.
async fn finish(stream: &TcpStream, ledger: &Ledger, header: &Header, up: u64) -> AxResult<()> {
    send(stream, ledger, header.up(), up).await?;
    stream.shutdown(Shutdown::Write);
    Ok(())
}
