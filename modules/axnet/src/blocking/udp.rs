//! UDP.

use core::{
    fmt,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netasync::error::ax;
use netstack::Interest;
use spin::Mutex;

use super::{
    PollState, System, quietly,
    wait::{Patience, await_address, example, patience_options},
};

/// A UDP socket, from any number of tasks at a time.
///
/// It may send to broadcast addresses, as upstream's may.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use world::UdpSocket;
/// let (server, client) = (UdpSocket::new(), UdpSocket::new());
/// server.bind("0.0.0.0:7".parse().unwrap())?;
/// client.connect("127.0.0.1:7".parse().unwrap())?;
/// client.send(b"hello")?;
/// assert_eq!(server.recv_from(&mut [0; 1500])?, (5, client.local_addr()?));
/// # axerrno::AxResult::Ok(())
/// ```
pub struct UdpSocket<S: System> {
    inner: Mutex<Inner>,
    patience: Patience,
    _system: PhantomData<fn() -> S>,
}

struct Inner {
    /// None unless it is bound.
    socket: Option<netstack::UdpSocket>,
}

impl<S: System> Default for UdpSocket<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where it is, and whom it talks to.
impl<S: System> UdpSocket<S> {
    /// A socket that is neither bound nor connected.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::UdpSocket;
    /// static SOCKET: UdpSocket = UdpSocket::new();
    /// assert!(SOCKET.local_addr().is_err());
    /// ```
    pub const fn new() -> Self {
        UdpSocket {
            inner: Mutex::new(Inner { socket: None }),
            patience: Patience::new(),
            _system: PhantomData,
        }
    }

    /// What it is bound to. A connected socket has the address that its peer sees.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// assert_eq!(socket.local_addr(), Err(AxError::NotConnected));
    /// socket.bind("0.0.0.0:0".parse().unwrap())?;
    /// assert_ne!(socket.local_addr()?.port(), 0, "one was chosen");
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if it is not bound.
    pub fn local_addr(&self) -> AxResult<SocketAddr> {
        self.with(|inner| Ok(inner.bound()?.local_addr()))
    }

    /// Whom it is connected to.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// assert_eq!(socket.peer_addr(), Err(AxError::NotConnected));
    /// socket.connect("127.0.0.1:9".parse().unwrap())?;
    /// assert_eq!(socket.peer_addr()?.port(), 9);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> AxResult<SocketAddr> {
        self.with(|inner| inner.bound()?.peer_addr().ok_or(AxError::NotConnected))
    }

    /// Binds to `local_addr`; port 0 means a free one.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// socket.bind("0.0.0.0:7".parse().unwrap())?;
    /// let other = UdpSocket::new().bind("0.0.0.0:7".parse().unwrap());
    /// assert_eq!(other, Err(AxError::AddrInUse));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it is bound; `AddrInUse`; `BadAddress` if no interface has the address;
    /// `NoMemory`.
    pub fn bind(&self, local_addr: SocketAddr) -> AxResult {
        if !local_addr.ip().is_unspecified() {
            await_address::<S>(local_addr.ip())?;
        }
        let stack = S::stack()?;
        self.with(|inner| {
            if inner.socket.is_some() {
                return Err(AxError::InvalidInput);
            }
            let socket = ax(netstack::UdpSocket::bind(&stack, local_addr))?;
            socket.set_broadcast(true);
            inner.socket = Some(socket);
            Ok(())
        })
    }

    /// Takes datagrams from `addr` only from now on, and [`send`](Self::send)s there. Binds it
    /// first if it is not.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// socket.connect("127.0.0.1:9".parse().unwrap())?;
    /// socket.send(b"hello")?;
    /// assert_eq!(peer.recv_from(&mut [0; 100])?, (5, socket.local_addr()?));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotFound` without a route; `InvalidInput` if `addr` cannot be sent to; `AddrInUse` if
    /// another socket has the same two ends; those of [`bind`](Self::bind).
    pub fn connect(&self, addr: SocketAddr) -> AxResult {
        await_address::<S>(addr.ip())?;
        if self.with(|inner| inner.socket.is_none()) {
            let any = match addr.is_ipv4() {
                true => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                false => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            self.bind(SocketAddr::new(any, 0))?;
        }
        self.with(|inner| ax(inner.bound()?.connect(addr)))
    }

    /// Closes it. Whoever waits for it fails. It is as new then.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// socket.shutdown()?;
    /// assert_eq!(socket.recv_from(&mut [0; 100]), Err(AxError::NotConnected));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn shutdown(&self) -> AxResult {
        let was_bound = self.with(|inner| inner.socket.take().is_some());
        if was_bound {
            self.patience.wake_all::<S>();
            // A program that ends now shall have sent what it has.
            S::yield_now();
        }
        Ok(())
    }
}

/// Datagrams.
impl<S: System> UdpSocket<S> {
    /// Sends one datagram; waits if there is no room. Returns its length.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// assert_eq!(socket.send_to(b"hello", peer.local_addr()?)?, 5);
    /// let nowhere = socket.send_to(b"hello", "192.0.2.1:9".parse().unwrap());
    /// assert_eq!(nowhere, Err(AxError::NotFound));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if it is not bound, also if it is closed meanwhile; `InvalidInput` if
    /// `remote_addr` cannot be sent to; `NotFound` without a route; `OutOfRange` if `buf` does not
    /// fit a datagram; `NoMemory`; `WouldBlock` if it is non-blocking and there is no room;
    /// `TimedOut` after the write timeout.
    pub fn send_to(&self, buf: &[u8], remote_addr: SocketAddr) -> AxResult<usize> {
        if remote_addr.port() == 0 || remote_addr.ip().is_unspecified() {
            return Err(AxError::InvalidInput);
        }
        if self.with(|inner| inner.socket.is_some()) && !self.is_nonblocking() {
            await_address::<S>(remote_addr.ip())?;
        }
        self.write(|socket| ax(socket.try_send_to(buf, remote_addr)))?;
        Ok(buf.len())
    }

    /// Sends one datagram to the peer; waits if there is no room. Returns its length.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use axerrno::AxError;
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// assert_eq!(socket.send(b"hello"), Err(AxError::NotConnected));
    /// socket.connect(peer.local_addr()?)?;
    /// assert_eq!(socket.send(b"hello")?, 5);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected`; `ConnectionRefused`, once, if an earlier datagram was answered with "port
    /// unreachable"; those of [`send_to`](Self::send_to).
    pub fn send(&self, buf: &[u8]) -> AxResult<usize> {
        self.write(|socket| ax(socket.try_send(buf)))?;
        Ok(buf.len())
    }

    /// Waits for a datagram: its length, cut to `buf`'s, and its sender.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// socket.send_to(b"hello", peer.local_addr()?)?;
    /// let mut buffer = [0; 1500];
    /// let (len, from) = peer.recv_from(&mut buffer)?;
    /// assert_eq!((&buffer[..len], from), (&b"hello"[..], socket.local_addr()?));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if it is not bound, also if it is closed meanwhile; `ConnectionRefused`,
    /// once, if the peer of a connected socket has answered a datagram with "port unreachable";
    /// `WouldBlock` if it is non-blocking and none is there; `TimedOut` after the read timeout.
    pub fn recv_from(&self, buf: &mut [u8]) -> AxResult<(usize, SocketAddr)> {
        self.read(|socket| ax(socket.try_recv_from(buf)))
    }

    /// Like [`recv_from`](Self::recv_from), but the datagram stays to be received.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// socket.send_to(b"hello", peer.local_addr()?)?;
    /// assert_eq!(peer.peek_from(&mut [0; 100])?.0, 5);
    /// assert_eq!(peer.recv_from(&mut [0; 100])?.0, 5);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, buf: &mut [u8]) -> AxResult<(usize, SocketAddr)> {
        self.read(|socket| ax(socket.try_peek_from(buf)))
    }

    /// Waits for a datagram from the peer: its length, cut to `buf`'s.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// peer.connect(socket.local_addr()?)?;
    /// socket.send_to(b"hello", peer.local_addr()?)?;
    /// assert_eq!(peer.recv(&mut [0; 2])?, 2, "the rest is lost");
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if it has none; those of [`recv_from`](Self::recv_from).
    pub fn recv(&self, buf: &mut [u8]) -> AxResult<usize> {
        self.read(|socket| match socket.peer_addr() {
            Some(_) => ax(socket.try_recv(buf)),
            None => Err(AxError::NotConnected),
        })
    }

    /// Whether a call would block that receives, or sends. Neither if it is not bound.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::UdpSocket;
    /// # let socket = UdpSocket::new();
    /// # socket.bind("127.0.0.1:7".parse().unwrap())?;
    /// # let peer = UdpSocket::new();
    /// # peer.bind("127.0.0.1:9".parse().unwrap())?;
    /// assert!(socket.poll()?.writable && !peer.poll()?.readable);
    /// socket.send_to(b"hello", peer.local_addr()?)?;
    /// peer.peek_from(&mut [])?;
    /// assert!(peer.poll()?.readable);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn poll(&self) -> AxResult<PollState> {
        Ok(self.with(|inner| {
            let is_ready =
                |interest| inner.socket.as_ref().is_some_and(|one| one.is_ready(interest));
            PollState { readable: is_ready(Interest::Read), writable: is_ready(Interest::Write) }
        }))
    }
}

patience_options!(
    UdpSocket,
    "socket.bind(\"0.0.0.0:7\".parse().unwrap())?;\n",
    "socket.recv_from(&mut [0; 100])"
);

impl<S: System> UdpSocket<S> {
    fn with<R>(&self, call: impl FnOnce(&mut Inner) -> R) -> R {
        quietly::<S, _>(|| call(&mut self.inner.lock()))
    }

    fn read<T>(&self, mut attempt: impl FnMut(&netstack::UdpSocket) -> AxResult<T>) -> AxResult<T> {
        let timeout = self.patience.read_timeout();
        self.wait(Interest::Read, timeout, |inner| attempt(inner.bound()?))
    }

    fn write(&self, mut attempt: impl FnMut(&netstack::UdpSocket) -> AxResult<()>) -> AxResult<()> {
        let timeout = self.patience.write_timeout();
        self.wait(Interest::Write, timeout, |inner| attempt(inner.bound()?))
    }

    fn wait<T>(
        &self,
        interest: Interest,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut Inner) -> AxResult<T>,
    ) -> AxResult<T> {
        let register = |waker: &_| {
            self.with(|inner| inner.socket.as_ref().map(|one| one.register(interest, waker)))
        };
        // If it was closed since, the registration went with what it was with.
        let deregister = |registration| {
            self.with(|inner| inner.socket.as_ref().map(|one| one.deregister(registration)));
        };
        self.patience.wait::<S, T>(timeout, || self.with(&mut attempt), register, deregister)
    }
}

impl Inner {
    fn bound(&self) -> AxResult<&netstack::UdpSocket> {
        self.socket.as_ref().ok_or(AxError::NotConnected)
    }
}

impl<S: System> Drop for UdpSocket<S> {
    fn drop(&mut self) {
        // There is nothing that could be done about an error.
        let _ = self.shutdown();
    }
}

impl<S: System> fmt::Debug for UdpSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, peer) = (self.local_addr().ok(), self.peer_addr().ok());
        f.debug_struct("UdpSocket").field("local", &local).field("peer", &peer).finish()
    }
}
