//! TCP's sockets.

use core::{net::SocketAddr, task::Waker};

use crate::{
    error::{AcceptError, BindError, ConnectError, ReadError, WriteError},
    flow::{FlowId, Registration},
    stack::{Interest, Shutdown, Stack},
    tcp::{KeepAlive, ListenOptions, ListenerId, TcpInfo, TcpOptions},
};

/// Accepts TCP connections.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
/// let client = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
/// poll();
/// assert_eq!(listener.try_accept()?.peer_addr(), client.local_addr());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let listener = TcpListener::bind(&stack, "[::]:80".parse()?, 8)?;
    /// let foreign = TcpListener::bind(&stack, "192.0.2.1:80".parse()?, 8);
    /// assert_eq!(foreign.unwrap_err(), BindError::NotOurs);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or `backlog` is zero.
    pub fn bind(stack: &Stack, local: SocketAddr, backlog: usize) -> Result<Self, BindError> {
        Self::bind_with(stack, local, backlog, &ListenOptions::default())
    }

    /// The same with options.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let options = ListenOptions { reuse_port: true, ..Default::default() };
    /// let first = TcpListener::bind_with(&stack, "0.0.0.0:80".parse()?, 8, &options)?;
    /// let second = TcpListener::bind_with(&stack, "0.0.0.0:80".parse()?, 8, &options)?;
    /// assert_eq!(first.local_addr(), second.local_addr());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let listener = TcpListener::bind(&stack, "0.0.0.0:0".parse()?, 8)?;
    /// assert_ne!(listener.local_addr().port(), 0, "one was chosen");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes the oldest established connection.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
    /// assert_eq!(listener.try_accept().unwrap_err(), AcceptError::WouldBlock);
    /// let client = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
    /// poll();
    /// assert_eq!(listener.try_accept()?.peer_addr(), client.local_addr());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// None is waiting.
    pub fn try_accept(&self) -> Result<TcpStream, AcceptError> {
        let (id, tuple) = self.stack.with(|engine| engine.accept(self.id))?;
        let stack = self.stack.clone();
        Ok(TcpStream { stack, id, local: tuple.local, remote: tuple.remote })
    }

    /// Whether [`try_accept`](Self::try_accept) would not answer `WouldBlock`; takes nothing.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
    /// let client = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
    /// assert!(!listener.is_ready());
    /// poll();
    /// assert!(listener.is_ready());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready(&self) -> bool {
        self.stack.look(|engine| engine.has_connection(self.id))
    }

    /// Wakes `waker`, once, when a connection arrives.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
    /// # let (bell, waker) = world::Bell::new();
    /// listener.register(&waker);
    /// let client = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
    /// poll();
    /// assert!(bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(&self, waker: &Waker) -> Registration {
        self.stack.look(|engine| engine.register_acceptor(self.id, waker))
    }

    /// Takes back what [`register`](Self::register) has registered, if it has not been woken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
    /// # let (bell, waker) = world::Bell::new();
    /// let registration = listener.register(&waker);
    /// listener.deregister(registration);
    /// let client = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
    /// poll();
    /// assert!(!bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deregister(&self, registration: Registration) {
        drop(self.stack.look(|engine| engine.deregister_acceptor(self.id, &registration)));
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_listener(self.id));
    }
}

/// A TCP connection.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
/// let client = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
/// poll();
/// client.try_connected()?;
/// client.try_write(b"hello")?;
/// poll();
/// assert_eq!(listener.try_accept()?.try_read(&mut [0; 100])?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let client = TcpStream::connect(&stack, None, "10.0.0.2:80".parse()?)?;
    /// assert_eq!(client.local_addr().ip().to_string(), "10.0.0.1");
    /// let nowhere = TcpStream::connect(&stack, None, "192.0.2.1:80".parse()?);
    /// assert_eq!(nowhere.unwrap_err(), ConnectError::Unreachable);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let options = TcpOptions { receive_buffer_len: 4 << 20, ..Default::default() };
    /// let client = TcpStream::connect_with(&stack, None, "10.0.0.2:80".parse()?, &options)?;
    /// assert_eq!(client.options().receive_buffer_len, 4 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let client = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
    /// assert_eq!(client.try_connected(), Err(ConnectError::WouldBlock));
    /// poll();
    /// assert_eq!(client.try_connected(), Err(ConnectError::Refused));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// It has not, or the peer refused or did not answer.
    pub fn try_connected(&self) -> Result<(), ConnectError> {
        self.stack.with(|engine| engine.tcp_connected(self.id))
    }

    /// Our end.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// assert_eq!(client.local_addr(), server.peer_addr());
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer's end.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// assert_eq!(client.peer_addr(), server.local_addr());
    /// ```
    pub fn peer_addr(&self) -> SocketAddr {
        self.remote
    }

    /// Reads what has arrived, at most `buffer.len()` bytes. Zero is the end of the stream.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// server.try_write(b"hello")?;
    /// server.shutdown(Shutdown::Write);
    /// poll();
    /// let mut buffer = [0; 100];
    /// assert_eq!(client.try_read(&mut buffer)?, 5);
    /// assert_eq!(client.try_read(&mut buffer)?, 0, "the end");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Nothing has arrived, or the connection broke.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.stack.with(|engine| engine.tcp_read(self.id, buffer))
    }

    /// Queues as many bytes of `data` as there is room for.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// let data = vec![7; 1 << 20];
    /// let len = client.try_write(&data)?;
    /// assert!(len < data.len(), "nothing has been sent yet");
    /// assert_eq!(client.try_write(&data), Err(WriteError::WouldBlock));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no room, this end has shut down writing, or the connection broke.
    pub fn try_write(&self, data: &[u8]) -> Result<usize, WriteError> {
        self.stack.with(|engine| engine.tcp_write(self.id, data))
    }

    /// Bytes written that the peer has not acknowledged.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// client.try_write(b"hello")?;
    /// assert_eq!(client.unacknowledged(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unacknowledged(&self) -> usize {
        self.stack.with(|engine| engine.tcp_unacknowledged(self.id))
    }

    /// Shuts one or both halves down.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// client.shutdown(Shutdown::Write);
    /// poll();
    /// assert_eq!(server.try_read(&mut [0; 100])?, 0, "the end");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) {
        self.stack.with(|engine| engine.tcp_shutdown(self.id, how));
    }

    /// Resets the connection; unsent data is lost.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// client.abort();
    /// poll();
    /// assert_eq!(server.try_read(&mut [0; 100]), Err(ReadError::Reset));
    /// ```
    pub fn abort(&self) {
        self.stack.with(|engine| engine.tcp_abort(self.id));
    }

    /// Like reading, but what is copied to `buffer` stays to be read.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// server.try_write(b"hello")?;
    /// poll();
    /// let mut buffer = [0; 100];
    /// assert_eq!(client.try_peek(&mut buffer)?, 5);
    /// assert_eq!(client.try_read(&mut buffer)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Nothing has arrived, or the connection broke.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.stack.with(|engine| engine.tcp_peek(self.id, buffer))
    }

    /// The options as they hold.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// assert_eq!(client.options(), TcpOptions::default());
    /// ```
    pub fn options(&self) -> TcpOptions {
        self.stack.with(|engine| engine.tcp_options(self.id))
    }

    /// Sets all options.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// client.set_options(TcpOptions { hop_limit: 0, ..client.options() });
    /// assert_eq!(client.options().hop_limit, 1, "the least that there is");
    /// ```
    pub fn set_options(&self, options: TcpOptions) {
        self.stack.with(|engine| engine.tcp_set_options(self.id, options));
    }

    /// Sends small writes at once (true) or gathers them while data is in flight (false, the
    /// default; RFC 9293 section 3.7.4).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// client.set_nodelay(true);
    /// assert!(client.options().nodelay);
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) {
        self.set_options(TcpOptions { nodelay, ..self.options() });
    }

    /// Probes a silent peer (RFC 9293 section 3.8.4). `None`, the default, never does.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// let minute = core::time::Duration::from_secs(60);
    /// client.set_keep_alive(Some(KeepAlive { idle: minute, interval: minute, count: 3 }));
    /// assert_eq!(client.options().keep_alive.map(|probes| probes.count), Some(3));
    /// ```
    pub fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) {
        self.set_options(TcpOptions { keep_alive, ..self.options() });
    }

    /// What the connection has measured and counted.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// client.try_write(b"hello")?;
    /// poll();
    /// let info = server.info();
    /// assert_eq!((info.bytes_received, info.receive_queue), (5, 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn info(&self) -> TcpInfo {
        self.stack.with(|engine| engine.tcp_info(self.id))
    }

    /// Whether [`try_read`](Self::try_read), or [`try_write`](Self::try_write), of at least a byte
    /// would not answer `WouldBlock`; takes nothing.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// assert!(client.is_ready(Interest::Write) && !server.is_ready(Interest::Read));
    /// client.try_write(b"hello")?;
    /// poll();
    /// assert!(server.is_ready(Interest::Read));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready(&self, interest: Interest) -> bool {
        self.stack.look(|engine| engine.is_tcp_ready(self.id, interest))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// # let (bell, waker) = world::Bell::new();
    /// server.register(Interest::Read, &waker);
    /// client.try_write(b"hello")?;
    /// poll();
    /// assert!(bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(&self, interest: Interest, waker: &Waker) -> Registration {
        self.stack.look(|engine| engine.register(self.id, interest, waker))
    }

    /// The same, or `None` if `interest` can be served now: instead of another try after registering.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// # let (_, waker) = world::Bell::new();
    /// assert!(server.register_unless_ready(Interest::Read, &waker).is_some());
    /// assert!(server.register_unless_ready(Interest::Write, &waker).is_none());
    /// ```
    pub fn register_unless_ready(&self, interest: Interest, waker: &Waker) -> Option<Registration> {
        self.stack.look(|engine| {
            let is_ready = engine.is_tcp_ready(self.id, interest);
            (!is_ready).then(|| engine.register(self.id, interest, waker))
        })
    }

    /// Takes back what [`register`](Self::register) has registered, if it has not been woken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// # let (bell, waker) = world::Bell::new();
    /// let registration = server.register(Interest::Read, &waker);
    /// server.deregister(registration);
    /// client.try_write(b"hello")?;
    /// poll();
    /// assert!(!bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deregister(&self, registration: Registration) {
        drop(self.stack.look(|engine| engine.deregister(self.id, &registration)));
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_tcp(self.id));
    }
}
