//! TCP.

use core::{
    fmt,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    task::Waker,
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netasync::error::ax;
use netstack::{Interest, Registration, Shutdown, TcpListener, TcpOptions, TcpStream};
use spin::Mutex;

use super::{
    PollState, System, quietly,
    wait::{Patience, await_address, example, patience_options},
};

/// Connections that wait to be accepted: as many as upstream's listeners queue.
const BACKLOG: usize = 512;

/// A TCP socket, from any number of tasks at a time.
///
/// [`connect`](Self::connect) is for clients; [`bind`](Self::bind), [`listen`](Self::listen) and
/// [`accept`](Self::accept) are for servers. Dropping it closes it; what was sent is still
/// delivered.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use world::TcpSocket;
/// let server = TcpSocket::new();
/// server.bind("0.0.0.0:80".parse().unwrap())?;
/// server.listen()?;
/// let client = TcpSocket::new();
/// client.connect("127.0.0.1:80".parse().unwrap())?;
/// client.send(b"hello")?;
/// assert_eq!(server.accept()?.recv(&mut [0; 100])?, 5);
/// # axerrno::AxResult::Ok(())
/// ```
pub struct TcpSocket<S: System> {
    inner: Mutex<Inner>,
    patience: Patience,
    _system: PhantomData<fn() -> S>,
}

struct Inner {
    /// What `bind` has said.
    bound: Option<SocketAddr>,
    state: State,
    /// How an attempt to connect has ended, if nobody was waiting.
    error: Option<AxError>,
}

enum State {
    Closed,
    Listening(TcpListener),
    Connecting(TcpStream),
    Connected(TcpStream),
}

impl<S: System> Default for TcpSocket<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Who is at the ends.
impl<S: System> TcpSocket<S> {
    /// A socket that is neither bound nor connected.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// static SOCKET: TcpSocket = TcpSocket::new();
    /// assert!(SOCKET.local_addr().is_err());
    /// ```
    pub const fn new() -> Self {
        Self::with_state(State::Closed)
    }

    const fn with_state(state: State) -> Self {
        TcpSocket {
            inner: Mutex::new(Inner { bound: None, state, error: None }),
            patience: Patience::new(),
            _system: PhantomData,
        }
    }

    /// Our end.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let socket = TcpSocket::new();
    /// assert_eq!(socket.local_addr(), Err(AxError::NotConnected));
    /// socket.listen()?;
    /// assert_ne!(socket.local_addr()?.port(), 0, "one was chosen");
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if it is neither connected nor listening.
    pub fn local_addr(&self) -> AxResult<SocketAddr> {
        self.with(|inner| match &inner.state {
            State::Connected(stream) => Ok(stream.local_addr()),
            State::Listening(listener) => Ok(listener.local_addr()),
            _ => Err(AxError::NotConnected),
        })
    }

    /// The peer's end.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// assert_eq!(socket.peer_addr()?, server.local_addr()?);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> AxResult<SocketAddr> {
        self.with(|inner| match &inner.state {
            State::Connected(stream) => Ok(stream.peer_addr()),
            _ => Err(AxError::NotConnected),
        })
    }

    /// Chooses the local address, which is taken when the socket listens or connects. Port 0 means
    /// a free one.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let socket = TcpSocket::new();
    /// socket.bind("127.0.0.1:80".parse().unwrap())?;
    /// let again = socket.bind("127.0.0.1:81".parse().unwrap());
    /// assert_eq!(again, Err(AxError::InvalidInput));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it is bound, connected or listening.
    pub fn bind(&self, local_addr: SocketAddr) -> AxResult {
        self.with(|inner| match (&inner.state, inner.bound) {
            (State::Closed, None) => {
                inner.bound = Some(local_addr);
                Ok(())
            }
            _ => Err(AxError::InvalidInput),
        })
    }
}

/// Connections come to be.
impl<S: System> TcpSocket<S> {
    /// Connects to `remote_addr`. A non-blocking socket only begins to: it can be written when it
    /// is connected, or cannot be; [`take_error`](Self::take_error) tells.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// let refused = socket.connect("127.0.0.1:81".parse().unwrap());
    /// assert_eq!(refused, Err(AxError::ConnectionRefused));
    /// socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `ConnectionRefused`; `TimedOut`; `NotFound` without a route; `InvalidInput` if it cannot be
    /// connected to, or from the address that the socket is bound to; `AddrInUse`; `NoMemory`;
    /// `AlreadyConnected` if it is connected or listens, `InProgress` while it is being connected;
    /// `WouldBlock` if it is non-blocking; `NotConnected` if it is closed meanwhile.
    pub fn connect(&self, remote_addr: SocketAddr) -> AxResult {
        if !self.is_nonblocking() {
            await_address::<S>(remote_addr.ip())?;
        }
        let stack = S::stack()?;
        self.with(|inner| {
            match inner.state {
                State::Closed => {}
                State::Connecting(_) => return Err(AxError::InProgress),
                _ => return Err(AxError::AlreadyConnected),
            }
            inner.error = None;
            let stream = ax(TcpStream::connect(&stack, inner.bound, remote_addr))?;
            inner.state = State::Connecting(stream);
            Ok(())
        })?;
        let timeout = self.patience.write_timeout();
        let result = self.wait(Interest::Write, timeout, |inner| match inner.poll_connect() {
            State::Connected(_) => Ok(()),
            State::Connecting(_) => Err(AxError::WouldBlock),
            _ => Err(inner.error.take().unwrap_or(AxError::NotConnected)),
        });
        if result == Err(AxError::TimedOut) {
            self.with(Inner::give_up_connecting);
        }
        result
    }

    /// Listens on the address that it is bound to, or on a free port. Does nothing if it listens
    /// already.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// # let socket = TcpSocket::new();
    /// socket.bind("127.0.0.1:80".parse().unwrap())?;
    /// socket.listen()?;
    /// assert_eq!(socket.local_addr()?.port(), 80);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `AddrInUse`; `BadAddress` if no interface has the address; `AlreadyConnected`.
    pub fn listen(&self) -> AxResult {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let local = self.with(|inner| inner.bound).unwrap_or(any);
        if !local.ip().is_unspecified() {
            await_address::<S>(local.ip())?;
        }
        let stack = S::stack()?;
        self.with(|inner| match inner.state {
            State::Closed => {
                let listener = ax(TcpListener::bind(&stack, local, BACKLOG))?;
                inner.state = State::Listening(listener);
                Ok(())
            }
            State::Listening(_) => Ok(()),
            _ => Err(AxError::AlreadyConnected),
        })
    }

    /// Waits for a connection.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// assert_eq!(server.accept()?.peer_addr(), socket.local_addr());
    /// assert_eq!(socket.accept().unwrap_err(), AxError::InvalidInput);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen, or is closed meanwhile; `WouldBlock` if it is
    /// non-blocking and nobody is waiting; `TimedOut` after the read timeout.
    pub fn accept(&self) -> AxResult<TcpSocket<S>> {
        let timeout = self.patience.read_timeout();
        let stream = self.wait(Interest::Read, timeout, |inner| match &inner.state {
            State::Listening(listener) => ax(listener.try_accept()),
            _ => Err(AxError::InvalidInput),
        })?;
        Ok(Self::with_state(State::Connected(stream)))
    }

    /// Closes the connection, in order: what was sent is still delivered; what has arrived and was
    /// not received is lost. Or stops listening: connections that were not accepted are reset.
    /// Whoever waits for the socket fails. It is as new then.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// # socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// let peer = server.accept()?;
    /// socket.shutdown()?;
    /// assert_eq!(peer.recv(&mut [0; 100])?, 0, "the end");
    /// assert_eq!(socket.send(b"hello"), Err(AxError::NotConnected));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn shutdown(&self) -> AxResult {
        let was_open = self.with(|inner| {
            inner.bound = None;
            match core::mem::replace(&mut inner.state, State::Closed) {
                State::Connected(stream) => {
                    // Without the rest of what has arrived, which would have it reset.
                    stream.shutdown(Shutdown::Both);
                    true
                }
                State::Listening(_) | State::Connecting(_) => true,
                State::Closed => false,
            }
        });
        if was_open {
            self.patience.wake_all::<S>();
            // A program that ends now shall at least have said so.
            S::yield_now();
        }
        Ok(())
    }

    /// How an attempt to connect has failed that nobody has waited for. Tells it once.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let socket = TcpSocket::new();
    /// # use axnet::blocking::System;
    /// socket.set_nonblocking(true);
    /// let begun = socket.connect("127.0.0.1:81".parse().unwrap());
    /// assert_eq!(begun, Err(AxError::WouldBlock));
    /// # world::Host::yield_now();
    /// assert_eq!(socket.take_error(), Some(AxError::ConnectionRefused));
    /// assert_eq!(socket.take_error(), None);
    /// ```
    pub fn take_error(&self) -> Option<AxError> {
        self.with(|inner| {
            inner.poll_connect();
            inner.error.take()
        })
    }
}

/// Bytes.
impl<S: System> TcpSocket<S> {
    /// Waits for bytes and takes them. Zero is the end of the stream.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// # socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// server.accept()?.send(b"hello")?;
    /// let mut buffer = [0; 100];
    /// let len = socket.recv(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`, also if it is closed meanwhile; `ConnectionReset`; `TimedOut` after the read
    /// timeout, or if the peer has stopped answering; `WouldBlock` if it is non-blocking and
    /// nothing is there, or while it is being connected.
    pub fn recv(&self, buf: &mut [u8]) -> AxResult<usize> {
        self.while_connected(Interest::Read, |stream| ax(stream.try_read(buf)))
    }

    /// Waits for room and sends as much as there is room for.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// # socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// assert_eq!(socket.send(b"hello")?, 5);
    /// socket.set_nonblocking(true);
    /// let mut sent = Ok(0);
    /// while sent.is_ok() {
    ///     sent = socket.send(&[7; 100_000]);
    /// }
    /// assert_eq!(sent, Err(AxError::WouldBlock));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`, also if it is closed meanwhile; `ConnectionReset`; `TimedOut` after the
    /// write timeout, or if the peer has stopped answering; `WouldBlock` if it is non-blocking and
    /// there is no room, or while it is being connected.
    pub fn send(&self, buf: &[u8]) -> AxResult<usize> {
        self.while_connected(Interest::Write, |stream| ax(stream.try_write(buf)))
    }

    /// Whether a call would block: [`recv`](Self::recv) or [`accept`](Self::accept),
    /// [`send`](Self::send) or [`connect`](Self::connect). Neither if it does nothing of the kind.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// # socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// let peer = server.accept()?;
    /// assert!(socket.poll()?.writable && !socket.poll()?.readable);
    /// peer.send(b"hello")?;
    /// # <world::Host as axnet::blocking::System>::yield_now();
    /// assert!(socket.poll()?.readable);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn poll(&self) -> AxResult<PollState> {
        Ok(self.with(|inner| {
            if matches!(inner.state, State::Connecting(_)) {
                let writable = !matches!(inner.poll_connect(), State::Connecting(_));
                return PollState { readable: false, writable };
            }
            match &inner.state {
                State::Connected(stream) => PollState {
                    readable: stream.is_ready(Interest::Read),
                    writable: stream.is_ready(Interest::Write),
                },
                State::Listening(listener) => {
                    PollState { readable: listener.is_ready(), writable: false }
                }
                _ => PollState { readable: false, writable: false },
            }
        }))
    }
}

patience_options!(TcpSocket, "socket.listen()?;\n", "socket.accept()");

/// Options.
impl<S: System> TcpSocket<S> {
    /// Whether small writes are sent at once.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// assert_eq!(socket.nodelay(), Err(AxError::NotConnected));
    /// socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// assert!(!socket.nodelay()?);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn nodelay(&self) -> AxResult<bool> {
        Ok(self.options()?.nodelay)
    }

    /// Has small writes sent at once (true), or gathered while data is in flight (false, the
    /// default; RFC 9293 section 3.7.4).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// # socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// socket.set_nodelay(true)?;
    /// assert!(socket.nodelay()?);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn set_nodelay(&self, enabled: bool) -> AxResult {
        self.with(|inner| inner.stream().map(|stream| stream.set_nodelay(enabled)))
    }

    /// Bytes that may arrive and not be received.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// # socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// assert_eq!(socket.recv_capacity()?, 1 << 20);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn recv_capacity(&self) -> AxResult<usize> {
        Ok(self.options()?.receive_buffer_len)
    }

    /// Bytes that may be sent and not be acknowledged.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::TcpSocket;
    /// # let server = TcpSocket::new();
    /// # server.bind("127.0.0.1:80".parse().unwrap())?;
    /// # server.listen()?;
    /// # let socket = TcpSocket::new();
    /// # socket.connect("127.0.0.1:80".parse().unwrap())?;
    /// assert_eq!(socket.send_capacity()?, 256 * 1024);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn send_capacity(&self) -> AxResult<usize> {
        Ok(self.options()?.send_buffer_len)
    }

    fn options(&self) -> AxResult<TcpOptions> {
        self.with(|inner| inner.stream().map(TcpStream::options))
    }
}

impl<S: System> TcpSocket<S> {
    fn with<R>(&self, call: impl FnOnce(&mut Inner) -> R) -> R {
        quietly::<S, _>(|| call(&mut self.inner.lock()))
    }

    fn while_connected<T>(
        &self,
        interest: Interest,
        mut attempt: impl FnMut(&TcpStream) -> AxResult<T>,
    ) -> AxResult<T> {
        if self.with(|inner| matches!(inner.poll_connect(), State::Connecting(_))) {
            return Err(AxError::WouldBlock);
        }
        let timeout = match interest {
            Interest::Read => self.patience.read_timeout(),
            Interest::Write => self.patience.write_timeout(),
        };
        self.wait(interest, timeout, |inner| match &inner.state {
            State::Connected(stream) => attempt(stream),
            _ => Err(AxError::NotConnected),
        })
    }

    fn wait<T>(
        &self,
        interest: Interest,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut Inner) -> AxResult<T>,
    ) -> AxResult<T> {
        let register = |waker: &Waker| self.with(|inner| inner.register(interest, waker));
        let deregister = |registration| self.with(|inner| inner.deregister(registration));
        self.patience.wait::<S, T>(timeout, || self.with(&mut attempt), register, deregister)
    }
}

impl Inner {
    fn register(&self, interest: Interest, waker: &Waker) -> Option<Registration> {
        match &self.state {
            State::Closed => None,
            State::Listening(listener) => Some(listener.register(waker)),
            State::Connecting(stream) | State::Connected(stream) => {
                Some(stream.register(interest, waker))
            }
        }
    }

    /// If the state has changed since, the registration went with what it was with.
    fn deregister(&self, registration: Registration) {
        match &self.state {
            State::Closed => {}
            State::Listening(listener) => listener.deregister(registration),
            State::Connecting(stream) | State::Connected(stream) => stream.deregister(registration),
        }
    }

    /// Moves on if the handshake has ended, and returns the state.
    fn poll_connect(&mut self) -> &State {
        let state = core::mem::replace(&mut self.state, State::Closed);
        self.state = match state {
            State::Connecting(stream) => match ax(stream.try_connected()) {
                Ok(()) => State::Connected(stream),
                Err(AxError::WouldBlock) => State::Connecting(stream),
                Err(error) => {
                    self.error = Some(error);
                    State::Closed
                }
            },
            state => state,
        };
        &self.state
    }

    fn give_up_connecting(&mut self) {
        if let State::Connecting(stream) = &self.state {
            stream.abort();
            self.state = State::Closed;
        }
    }

    fn stream(&self) -> AxResult<&TcpStream> {
        match &self.state {
            State::Connected(stream) => Ok(stream),
            _ => Err(AxError::NotConnected),
        }
    }
}

impl<S: System> Drop for TcpSocket<S> {
    fn drop(&mut self) {
        let state = self.with(|inner| core::mem::replace(&mut inner.state, State::Closed));
        if !matches!(state, State::Closed) {
            quietly::<S, _>(|| drop(state));
            // A program that ends now shall at least have said so.
            S::yield_now();
        }
    }
}

impl<S: System> fmt::Debug for TcpSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, peer) = (self.local_addr().ok(), self.peer_addr().ok());
        f.debug_struct("TcpSocket").field("local", &local).field("peer", &peer).finish()
    }
}
