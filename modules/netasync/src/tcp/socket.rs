//! Sockets that are not yet what they are to be.

use core::{mem, net::SocketAddr};

use axerrno::{AxError, AxResult};
use futures_util::FutureExt;
use netstack::{ListenOptions, Shutdown};

use super::{TcpListener, TcpStream};
use crate::{
    addr::{ToSocketAddrs, literal},
    race::race,
};

/// A socket that becomes a listener or a stream, as POSIX has it.
///
/// ```no_run
/// # use axerrno::AxResult;
/// # use netasync::TcpSocket;
/// # async fn example() -> AxResult<()> {
/// let mut socket = TcpSocket::new();
/// socket.bind("0.0.0.0:7")?;
/// socket.listen(128)?;
/// let (stream, peer) = socket.accept().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct TcpSocket {
    local: Option<SocketAddr>,
    pub(super) options: ListenOptions,
    is_nonblocking: bool,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Listening(TcpListener),
    /// Only without waiting: a future that waits keeps the connection to itself until it is made.
    Connecting(TcpStream),
    Connected(TcpStream),
}

/// What becomes of it.
impl TcpSocket {
    /// A socket that is neither bound nor connected.
    ///
    /// ```
    /// let socket = netasync::TcpSocket::new();
    /// assert_eq!(socket.local_addr(), Err(axerrno::AxError::NotConnected));
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the local address; it is taken when the socket listens or connects.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let mut socket = TcpSocket::new();
    /// socket.bind("127.0.0.1:7")?;
    /// assert_eq!(socket.local_addr()?.port(), 7);
    /// // Names are looked up by futures only.
    /// assert_eq!(socket.bind("server.example:7"), Err(AxError::InvalidInput));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `AlreadyConnected` if it does already; `InvalidInput` if `address` is not one.
    pub fn bind(&mut self, address: impl ToSocketAddrs) -> AxResult<()> {
        self.check_fresh()?;
        self.local = Some(literal(&address)?);
        Ok(())
    }

    /// Listens on the address that it is bound to, with at most `backlog` connections waiting.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let mut socket = TcpSocket::new();
    /// assert_eq!(socket.listen(128), Err(AxError::InvalidInput), "where?");
    /// socket.bind("127.0.0.1:0")?;
    /// socket.listen(128)?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it is not bound or `backlog` is zero; those of [`TcpListener::bind`].
    pub fn listen(&mut self, backlog: usize) -> AxResult<()> {
        self.check_fresh()?;
        let local = self.local.ok_or(AxError::InvalidInput)?;
        self.state = State::Listening(TcpListener::bind_with(local, backlog, &self.options)?);
        Ok(())
    }

    /// Waits for a connection.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let mut socket = TcpSocket::new();
    /// socket.bind("127.0.0.1:80")?;
    /// socket.listen(128)?;
    /// let client = TcpStream::connect("127.0.0.1:80").await?;
    /// let (_stream, peer) = socket.accept().await?;
    /// assert_eq!(peer, client.local_addr());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen; `WouldBlock` if it is not to wait; those of
    /// [`TcpListener::accept`].
    pub async fn accept(&self) -> AxResult<(TcpStream, SocketAddr)> {
        match &self.state {
            State::Listening(listener) => self.wait(listener.accept()).await,
            _ => Err(AxError::InvalidInput),
        }
    }

    /// Connects to `address`. If it is not to wait, one call begins and answers `WouldBlock`, as do
    /// all until one tells how it has ended; no name can be looked up then.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.set_nodelay(true);
    /// socket.connect("127.0.0.1:80").await?;
    /// assert_eq!(socket.connect("127.0.0.1:80").await, Err(AxError::AlreadyConnected));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `AlreadyConnected` if it is connected or listens; `WouldBlock` if it is not to wait; those
    /// of [`TcpStream::connect`].
    pub async fn connect(&mut self, address: impl ToSocketAddrs) -> AxResult<()> {
        let (local, options) = (self.local, self.options.connection);
        if self.is_nonblocking && self.check_fresh().is_ok() {
            self.state = State::Connecting(TcpStream::begin(local, literal(&address)?, options)?);
        }
        if let State::Connecting(stream) = &self.state {
            let result = self.wait(stream.connected()).await;
            return self.conclude(result);
        }
        self.check_fresh()?;
        let connect = |remote| TcpStream::connect_with(local, remote, options);
        self.state = State::Connected(race(address, connect).await?);
        Ok(())
    }

    fn conclude(&mut self, result: AxResult<()>) -> AxResult<()> {
        self.state = match (mem::take(&mut self.state), result) {
            (State::Connecting(stream), Ok(())) => State::Connected(stream),
            (state, Err(AxError::WouldBlock)) => state,
            _ => State::Fresh,
        };
        result
    }

    /// The connection, for reading and writing.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// assert_eq!(socket.stream().unwrap_err(), AxError::NotConnected);
    /// socket.connect("127.0.0.1:80").await?;
    /// assert_eq!(socket.stream()?.info().retransmissions, 0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn stream(&self) -> AxResult<&TcpStream> {
        match &self.state {
            State::Connected(stream) => Ok(stream),
            _ => Err(AxError::NotConnected),
        }
    }

    /// The connection, without the socket.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80").await?;
    /// let stream: TcpStream = socket.into_stream()?;
    /// assert_eq!(stream.peer_addr().port(), 80);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn into_stream(self) -> AxResult<TcpStream> {
        match self.state {
            State::Connected(stream) => Ok(stream),
            _ => Err(AxError::NotConnected),
        }
    }

    /// Closes the socket; what was written is still delivered. Dropping it does the same.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80").await?;
    /// socket.close();
    /// let (stream, _) = listener.accept().await?;
    /// assert_eq!(stream.read(&mut [0; 100]).await?, 0, "the end");
    /// # Ok(()) });
    /// ```
    pub fn close(self) {}

    fn check_fresh(&self) -> AxResult<()> {
        match self.state {
            State::Fresh => Ok(()),
            _ => Err(AxError::AlreadyConnected),
        }
    }
}

/// Its connection. [`stream`](Self::stream) has more.
impl TcpSocket {
    /// As [`TcpStream::read`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80").await?;
    /// listener.accept().await?.0.write_all(b"hello").await?;
    /// let mut buffer = [0; 100];
    /// let len = socket.read(&mut buffer).await?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`; `WouldBlock` if it is not to wait; those of [`TcpStream::read`].
    pub async fn read(&self, buffer: &mut [u8]) -> AxResult<usize> {
        self.wait(self.stream()?.read(buffer)).await
    }

    /// As [`TcpStream::read_exact`]. If it is not to wait, what was there is lost when it is not
    /// enough: use [`read`](Self::read).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80").await?;
    /// listener.accept().await?.0.write_all(b"hello").await?;
    /// let mut buffer = [0; 4];
    /// socket.read_exact(&mut buffer).await?;
    /// assert_eq!(&buffer, b"hell");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`; `WouldBlock` if it is not to wait; those of [`TcpStream::read_exact`].
    pub async fn read_exact(&self, buffer: &mut [u8]) -> AxResult<()> {
        self.wait(self.stream()?.read_exact(buffer)).await
    }

    /// As [`TcpStream::write`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// assert_eq!(socket.write(b"hello").await, Err(AxError::NotConnected));
    /// socket.connect("127.0.0.1:80").await?;
    /// assert_eq!(socket.write(b"hello").await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`; `WouldBlock` if it is not to wait; those of [`TcpStream::write`].
    pub async fn write(&self, data: &[u8]) -> AxResult<usize> {
        self.wait(self.stream()?.write(data)).await
    }

    /// As [`TcpStream::write_all`]. If it is not to wait, nobody knows how much was written when
    /// there was too little room: use [`write`](Self::write).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80").await?;
    /// socket.write_all(b"hello").await?;
    /// assert_eq!(listener.accept().await?.0.read(&mut [0; 100]).await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`; `WouldBlock` if it is not to wait; those of [`TcpStream::write_all`].
    pub async fn write_all(&self, data: &[u8]) -> AxResult<()> {
        self.wait(self.stream()?.write_all(data)).await
    }

    /// Shuts one or both halves down.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80").await?;
    /// socket.shutdown(Shutdown::Write)?;
    /// assert_eq!(socket.write(b"hello").await, Err(AxError::BrokenPipe));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> AxResult<()> {
        self.stream().map(|stream| stream.shutdown(how))
    }

    /// What it is bound to, if it is.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// assert_eq!(socket.local_addr(), Err(AxError::NotConnected));
    /// socket.connect("127.0.0.1:80").await?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if it is not bound either.
    pub fn local_addr(&self) -> AxResult<SocketAddr> {
        match &self.state {
            State::Fresh => self.local.ok_or(AxError::NotConnected),
            State::Listening(listener) => Ok(listener.local_addr()),
            State::Connecting(stream) | State::Connected(stream) => Ok(stream.local_addr()),
        }
    }

    /// The peer's end.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// # let mut socket = TcpSocket::new();
    /// socket.connect("127.0.0.1:80").await?;
    /// assert_eq!(socket.peer_addr()?, listener.local_addr());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> AxResult<SocketAddr> {
        self.stream().map(TcpStream::peer_addr)
    }

    /// Whether calls answer `WouldBlock` instead of waiting.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let mut socket = TcpSocket::new();
    /// socket.bind("127.0.0.1:80")?;
    /// socket.listen(128)?;
    /// socket.set_nonblocking(true);
    /// assert_eq!(socket.accept().await.unwrap_err(), AxError::WouldBlock);
    /// # Ok(()) });
    /// ```
    pub fn set_nonblocking(&mut self, is_nonblocking: bool) {
        self.is_nonblocking = is_nonblocking;
    }

    async fn wait<T>(&self, call: impl Future<Output = AxResult<T>>) -> AxResult<T> {
        match self.is_nonblocking {
            true => call.now_or_never().unwrap_or(Err(AxError::WouldBlock)),
            false => call.await,
        }
    }
}

macro_rules! sharing {
    ($($(#[$doc:meta])* $get:ident, $set:ident = $field:ident, $default:literal;)*) => {
        /// How a listener shares its address: set before it listens.
        impl TcpSocket {
            $(
                $(#[$doc])*
                #[doc = concat!(
                    "\n```\nlet mut socket = netasync::TcpSocket::new();\n",
                    "socket.", stringify!($set), "(!", $default, ");\n",
                    "assert_eq!(socket.", stringify!($get), "(), !", $default, ");\n```"
                )]
                pub fn $set(&mut self, value: bool) {
                    self.options.$field = value;
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set.")]
                #[doc = concat!(
                    "\n```\nlet socket = netasync::TcpSocket::new();\n",
                    "assert_eq!(socket.", stringify!($get), "(), ", $default, ");\n```"
                )]
                pub fn $get(&self) -> bool {
                    self.options.$field
                }
            )*
        }
    };
}

sharing! {
    /// May take a port on which connections of an earlier listener still end. On by default, as in
    /// Rust's standard library.
    reuseaddr, set_reuseaddr = reuse_address, true;
    /// May share its address with other listeners that say the same; each connection goes to one of
    /// them, chosen by a hash of its ends.
    reuseport, set_reuseport = reuse_port, false;
    /// A listener on `[::]` takes IPv6 only; otherwise IPv4 as well, with addresses mapped into
    /// IPv6.
    only_v6, set_only_v6 = only_v6, false;
}
