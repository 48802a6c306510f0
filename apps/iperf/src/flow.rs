//! One stream of data, by TCP or UDP, from the client or to it.
//!
//! What is counted lies in cells: while a flow runs, whoever shows it to have come to an end, or to
//! a standstill, reads them.

use alloc::{vec, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
};

use axwire::{
    io::{AsyncRead, AxError, AxResult},
    net::{Shutdown, TcpStream, UdpSocket},
    random,
    time::{Duration, sleep, uptime},
};

use crate::{
    datagram::{Header, Reception},
    pace::{Allowance, Pace},
    protocol::{Parameters, StreamResults},
};

/// What all flows of a measurement share.
pub(crate) struct Plan<'p> {
    parameters: &'p Parameters,
    allowance: Allowance,
    /// What is sent again and again, by chance so that nothing on the way can compress it.
    block: Vec<u8>,
    /// Where everybody reads to. Nobody keeps it while waiting.
    scratch: RefCell<Vec<u8>>,
}

impl<'p> Plan<'p> {
    pub(crate) fn new(parameters: &'p Parameters) -> Self {
        let mut block = vec![0; if parameters.sending > 0 { parameters.block_len } else { 0 }];
        random::fill(&mut block);
        Plan {
            parameters,
            allowance: Allowance::new(parameters.limit),
            block,
            scratch: RefCell::new(vec![0; parameters.block_len]),
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Flow {
    id: u64,
    socket: Socket,
    is_sender: bool,
    start: Cell<Duration>,
    end: Cell<Duration>,
    bytes: Cell<u64>,
    omitted_bytes: Cell<u64>,
    omitted_retransmissions: Cell<u32>,
    /// Of a sender by UDP, what it has sent.
    reception: Cell<Reception>,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    /// Connected to the client.
    Udp(UdpSocket),
}

impl Flow {
    pub(crate) fn new(id: u64, socket: Socket, is_sender: bool) -> Self {
        Flow {
            id,
            socket,
            is_sender,
            start: Cell::default(),
            end: Cell::default(),
            bytes: Cell::default(),
            omitted_bytes: Cell::default(),
            omitted_retransmissions: Cell::default(),
            reception: Cell::default(),
        }
    }

    /// Moves data until the peer or an error ends it.
    pub(crate) async fn run(&self, plan: &Plan<'_>) {
        self.start.set(uptime());
        // What the client has to say about it, it says by the control connection.
        let _ = match (&self.socket, self.is_sender) {
            (Socket::Tcp(stream), false) => self.read_until(stream, plan, u64::MAX).await,
            (Socket::Tcp(stream), true) => self.write(stream, plan).await,
            (Socket::Udp(socket), false) => self.receive(socket, plan).await,
            (Socket::Udp(socket), true) => self.send(socket, plan).await,
        };
    }

    /// Nothing until now counts.
    pub(crate) fn omit(&self, plan: &Plan<'_>) {
        plan.allowance.restore();
        self.start.set(uptime());
        self.omitted_bytes.set(self.bytes.get());
        self.omitted_retransmissions.set(self.retransmissions());
        let mut reception = self.reception.get();
        reception.omit();
        self.reception.set(reception);
    }

    /// The measurement has ended; what has been written is still delivered.
    pub(crate) fn end(&self) {
        self.end.set(uptime());
        if let (Socket::Tcp(stream), true) = (&self.socket, self.is_sender) {
            stream.shutdown(Shutdown::Write);
        }
    }

    /// Reads what the client has sent and the network still had when the measurement ended, if the
    /// number of these bytes is known.
    pub(crate) async fn drain(&self, plan: &Plan<'_>, claims: &[(u64, u64)]) {
        let claim = claims.iter().find(|(id, _)| *id == self.id);
        let (Some((_, bytes)), Socket::Tcp(stream), false) = (claim, &self.socket, self.is_sender)
        else {
            return;
        };
        // What the client does not count is not known here.
        if plan.parameters.omit.is_zero() && self.bytes.get() < *bytes {
            let _ = self.read_until(stream, plan, *bytes).await;
            self.end.set(uptime());
        }
    }

    /// Bytes moved, those that do not count included.
    pub(crate) fn moved(&self) -> u64 {
        self.bytes.get()
    }

    pub(crate) fn is_sender(&self) -> bool {
        self.is_sender
    }

    pub(crate) fn results(&self) -> StreamResults {
        let reception = self.reception.get();
        let retransmissions = self.retransmissions() - self.omitted_retransmissions.get();
        let is_tcp_sender = self.is_sender && matches!(self.socket, Socket::Tcp(_));
        StreamResults {
            id: self.id,
            bytes: self.bytes.get() - self.omitted_bytes.get(),
            retransmits: if is_tcp_sender { retransmissions.into() } else { -1 },
            jitter: reception.jitter(),
            errors: reception.lost,
            omitted_errors: reception.omitted_lost,
            packets: reception.packets,
            omitted_packets: reception.omitted_packets,
            start_time: 0.0,
            end_time: self.end.get().saturating_sub(self.start.get()).as_secs_f64(),
        }
    }

    fn retransmissions(&self) -> u32 {
        match &self.socket {
            Socket::Tcp(stream) => stream.info().retransmissions,
            Socket::Udp(_) => 0,
        }
    }

    fn count(&self, len: usize) {
        self.bytes.set(self.bytes.get() + len as u64);
    }

    async fn read_until(
        &self,
        mut stream: &TcpStream,
        plan: &Plan<'_>,
        bytes: u64,
    ) -> AxResult<()> {
        while self.bytes.get() < bytes {
            let read =
                poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut plan.scratch.borrow_mut()));
            match read.await? {
                0 => break,
                len => self.count(len),
            }
        }
        Ok(())
    }

    async fn write(&self, stream: &TcpStream, plan: &Plan<'_>) -> AxResult<()> {
        let pace = Pace::new(plan.parameters.rate, self.start.get());
        while plan.allowance.take(plan.block.len()) {
            let mut rest = &plan.block[..];
            while !rest.is_empty() {
                let len = stream.write(rest).await?;
                self.count(len);
                rest = &rest[len..];
            }
            self.keep(&pace, plan).await;
        }
        Ok(())
    }

    async fn receive(&self, socket: &UdpSocket, plan: &Plan<'_>) -> AxResult<()> {
        let mut datagram = vec![0; plan.parameters.block_len];
        loop {
            let len = unless_refused(socket.recv(&mut datagram).await)?;
            let is_long = plan.parameters.has_long_counters;
            if let Some(header) = Header::parse(&datagram[..len], is_long) {
                self.count(len);
                let mut reception = self.reception.get();
                reception.take(header, uptime());
                self.reception.set(reception);
            }
        }
    }

    /// Until the measurement ends: of what is lost, the client never knows, and waits for more.
    async fn send(&self, socket: &UdpSocket, plan: &Plan<'_>) -> AxResult<()> {
        let mut datagram = plan.block.clone();
        let pace = Pace::new(plan.parameters.rate, self.start.get());
        loop {
            let mut reception = self.reception.get();
            let header = Header { sent: uptime(), number: reception.packets + 1 };
            header.write(&mut datagram, plan.parameters.has_long_counters);
            let len = unless_refused(socket.send(&datagram).await)?;
            if len > 0 {
                self.count(len);
                reception.packets += 1;
                self.reception.set(reception);
            }
            self.keep(&pace, plan).await;
        }
    }

    /// Waits if more has been sent than the rate allows. Bursts are not interrupted.
    async fn keep(&self, pace: &Pace, plan: &Plan<'_>) {
        let bytes = self.bytes.get();
        let blocks = bytes / plan.block.len() as u64;
        if !blocks.is_multiple_of(plan.parameters.burst) {
            return;
        }
        if let Some(wait) = pace.wait(bytes, uptime()) {
            sleep(wait).await;
        }
    }
}

/// A client that closes its socket first is told so by its host, which is nobody's mistake.
fn unless_refused(moved: AxResult<usize>) -> AxResult<usize> {
    match moved {
        Err(AxError::ConnectionRefused) => Ok(0),
        moved => moved,
    }
}
