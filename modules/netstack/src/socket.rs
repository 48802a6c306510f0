//! Non-blocking sockets: `try_*` answers `WouldBlock`, `register` says when to try again.
//!
//! The rule for a task that must not miss an event: try, register, try again, then wait. Dropping a
//! socket releases it; what it has written is still delivered.

use core::{net::SocketAddr, task::Waker, time::Duration};

use crate::{
    error::{AcceptError, BindError, ConnectError, ReadError, RecvError, SendError, WriteError},
    flow::FlowId,
    listener::ListenerId,
    stack::{Interest, Shutdown, Stack},
};

/// Accepts TCP connections.
#[derive(Debug)]
pub struct TcpListener {
    stack: Stack,
    id: ListenerId,
    local: SocketAddr,
}

impl TcpListener {
    /// Listens on `local`. An unspecified address means all of its family, port 0 a free one.
    /// `backlog` connections at most wait to be accepted; more are dropped in silence and try again.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or `backlog` is zero.
    pub fn bind(stack: &Stack, local: SocketAddr, backlog: usize) -> Result<Self, BindError> {
        stack.with(|engine| {
            let id = engine.listen(local, backlog)?;
            Ok(TcpListener { stack: stack.clone(), id, local: engine.listeners[id].local })
        })
    }

    /// What it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes the oldest established connection.
    ///
    /// # Errors
    /// None is waiting.
    pub fn try_accept(&self) -> Result<TcpStream, AcceptError> {
        let (id, tuple) = self.stack.with(|engine| engine.accept(self.id))?;
        let stack = self.stack.clone();
        Ok(TcpStream { stack, id, local: tuple.local, remote: tuple.remote })
    }

    /// Wakes `waker`, once, when a connection arrives.
    pub fn register(&self, waker: &Waker) {
        self.stack.with(|engine| engine.register_acceptor(self.id, waker));
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_listener(self.id));
    }
}

/// A TCP connection.
#[derive(Debug)]
pub struct TcpStream {
    stack: Stack,
    id: FlowId,
    local: SocketAddr,
    remote: SocketAddr,
}

impl TcpStream {
    /// Begins to connect to `remote`; [`try_connected`](Self::try_connected) tells when it is done.
    /// `local`, if given, is bound to first; its address may be unspecified and its port 0.
    ///
    /// # Errors
    /// `remote` cannot be connected to or reached, `local` is not ours or taken, or there is no room.
    pub fn connect(
        stack: &Stack,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<Self, ConnectError> {
        stack.with(|engine| {
            let id = engine.connect(local, remote)?;
            let local = engine.flows[id].tcp().map_or(remote, |(flow, _)| flow.tuple.local);
            Ok(TcpStream { stack: stack.clone(), id, local, remote })
        })
    }

    /// Whether the handshake has ended, and how.
    ///
    /// # Errors
    /// It has not, or the peer refused or did not answer.
    pub fn try_connected(&self) -> Result<(), ConnectError> {
        self.stack.with(|engine| engine.tcp_connected(self.id))
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer's end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.remote
    }

    /// Reads what has arrived, at most `buffer.len()` bytes. Zero is the end of the stream.
    ///
    /// # Errors
    /// Nothing has arrived, or the connection broke.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.stack.with(|engine| engine.tcp_read(self.id, buffer))
    }

    /// Queues as many bytes of `data` as there is room for.
    ///
    /// # Errors
    /// There is no room, this end has shut down writing, or the connection broke.
    pub fn try_write(&self, data: &[u8]) -> Result<usize, WriteError> {
        self.stack.with(|engine| engine.tcp_write(self.id, data))
    }

    /// Bytes written that the peer has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.stack.with(|engine| engine.tcp_unacknowledged(self.id))
    }

    /// Shuts one or both halves down.
    pub fn shutdown(&self, how: Shutdown) {
        self.stack.with(|engine| engine.tcp_shutdown(self.id, how));
    }

    /// Resets the connection; unsent data is lost.
    pub fn abort(&self) {
        self.stack.with(|engine| engine.tcp_abort(self.id));
    }

    /// Sends small writes at once (true) or gathers them while data is in flight (false, the
    /// default; RFC 9293 section 3.7.4).
    pub fn set_nodelay(&self, nodelay: bool) {
        self.stack.with(|engine| engine.tcp_set_nodelay(self.id, nodelay));
    }

    /// Probes an idle peer at this interval, at least a second (RFC 9293 section 3.8.4); four
    /// unanswered probes end the connection. `None`, the default, never does.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        self.stack.with(|engine| engine.tcp_set_keep_alive(self.id, interval));
    }

    /// Wakes `waker`, once, when `interest` may be served.
    pub fn register(&self, interest: Interest, waker: &Waker) {
        self.stack.with(|engine| engine.tcp_register(self.id, interest, waker));
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_tcp(self.id));
    }
}

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    stack: Stack,
    id: FlowId,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds to `local`. An unspecified address means all of its family, port 0 a free one.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or there is no room.
    pub fn bind(stack: &Stack, local: SocketAddr) -> Result<Self, BindError> {
        stack.with(|engine| {
            let id = engine.bind_udp(local)?;
            let local = engine.flows[id].udp().map_or(local, |(flow, _)| flow.local);
            Ok(UdpSocket { stack: stack.clone(), id, local })
        })
    }

    /// What it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Queues one datagram.
    ///
    /// # Errors
    /// There is no room or no route, or `data` does not fit a datagram.
    pub fn try_send_to(&self, data: &[u8], remote: SocketAddr) -> Result<(), SendError> {
        self.stack.with(|engine| engine.udp_send(self.id, data, remote))
    }

    /// Takes the oldest datagram: its length, cut to `buffer`'s, and its sender.
    ///
    /// # Errors
    /// None has arrived.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), RecvError> {
        self.stack.with(|engine| engine.udp_recv(self.id, buffer))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    pub fn register(&self, interest: Interest, waker: &Waker) {
        self.stack.with(|engine| engine.udp_register(self.id, interest, waker));
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_udp(self.id));
    }
}
