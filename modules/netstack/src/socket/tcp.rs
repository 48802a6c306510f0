//! TCP's sockets.

use core::{net::SocketAddr, task::Waker};

use crate::{
    error::{AcceptError, BindError, ConnectError, ReadError, WriteError},
    flow::FlowId,
    stack::{Interest, Shutdown, Stack},
    tcp::{KeepAlive, ListenOptions, ListenerId, TcpInfo, TcpOptions},
};

/// Accepts TCP connections.
#[derive(Debug)]
pub struct TcpListener {
    stack: Stack,
    id: ListenerId,
    local: SocketAddr,
}

impl TcpListener {
    /// Listens on `local`. An unspecified address means all of its family, `[::]` both; port 0 means
    /// a free one. `backlog` connections at most wait to be accepted; more are dropped in silence and
    /// try again.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or `backlog` is zero.
    pub fn bind(stack: &Stack, local: SocketAddr, backlog: usize) -> Result<Self, BindError> {
        Self::bind_with(stack, local, backlog, &ListenOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// The same.
    pub fn bind_with(
        stack: &Stack,
        local: SocketAddr,
        backlog: usize,
        options: &ListenOptions,
    ) -> Result<Self, BindError> {
        stack.with(|engine| {
            let id = engine.listen(local, backlog, options)?;
            let local = engine.tcp.listeners[id].local;
            Ok(TcpListener { stack: stack.clone(), id, local })
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
        Self::connect_with(stack, local, remote, &TcpOptions::default())
    }

    /// The same with options: the receive buffer decides how much a SYN can announce.
    ///
    /// # Errors
    /// The same.
    pub fn connect_with(
        stack: &Stack,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<Self, ConnectError> {
        let (id, tuple) = stack.with(|engine| engine.connect(local, remote, options))?;
        Ok(TcpStream { stack: stack.clone(), id, local: tuple.local, remote: tuple.remote })
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

    /// Like reading, but what is copied to `buffer` stays to be read.
    ///
    /// # Errors
    /// Nothing has arrived, or the connection broke.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.stack.with(|engine| engine.tcp_peek(self.id, buffer))
    }

    /// The options as they hold.
    pub fn options(&self) -> TcpOptions {
        self.stack.with(|engine| engine.tcp_options(self.id))
    }

    /// Sets all options.
    pub fn set_options(&self, options: TcpOptions) {
        self.stack.with(|engine| engine.tcp_set_options(self.id, options));
    }

    /// Sends small writes at once (true) or gathers them while data is in flight (false, the
    /// default; RFC 9293 section 3.7.4).
    pub fn set_nodelay(&self, nodelay: bool) {
        self.set_options(TcpOptions { nodelay, ..self.options() });
    }

    /// Probes a silent peer (RFC 9293 section 3.8.4). `None`, the default, never does.
    pub fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) {
        self.set_options(TcpOptions { keep_alive, ..self.options() });
    }

    /// What the connection has measured and counted.
    pub fn info(&self) -> TcpInfo {
        self.stack.with(|engine| engine.tcp_info(self.id))
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
