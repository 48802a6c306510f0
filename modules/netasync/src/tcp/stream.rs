//! Connections.

use core::{
    net::SocketAddr,
    task::{Context, Poll},
};

use axerrno::{AxError, AxResult};
use netstack::{Interest, ReadError, Shutdown, TcpInfo, TcpOptions, WriteError};

use crate::{
    addr::ToSocketAddrs,
    error::ax,
    race::race,
    reactor::{PollPlace, Source, ready_io},
    runtime::Handle,
    sync::{AtomicBool, Ordering},
};

/// A connection. Dropping it closes it; what was written is still delivered.
///
/// Its methods take `&self`: one task may read while another writes. To give each a half of its own,
/// [split](Self::into_split) it.
///
/// ```no_run
/// # use netasync::TcpStream;
/// # async fn example() -> axerrno::AxResult<()> {
/// let stream = TcpStream::connect("server.example:7").await?;
/// stream.write_all(b"hello").await?;
/// let mut answer = [0; 5];
/// stream.read_exact(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpStream {
    socket: netstack::TcpStream,
    /// The last read took all that there was: so likely is the next one to wait that it enters its
    /// task before it tries.
    is_drained: AtomicBool,
    /// Of those that use the traits.
    reader: PollPlace,
    writer: PollPlace,
}

impl TcpStream {
    /// Connects to `address`. If there are several, an attempt with the next one begins after 250 ms
    /// or as soon as one has failed, the first that succeeds counts, and the others are dropped; of
    /// a host, the addresses of IPv6 and IPv4 take turns (Happy Eyeballs, RFC 8305).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let listener = TcpListener::bind("[::]:80").await?;
    /// let stream = TcpStream::connect("localhost:80").await?;
    /// assert!(stream.peer_addr().is_ipv6(), "it is tried first");
    /// let refused = TcpStream::connect("localhost:81").await;
    /// assert_eq!(refused.unwrap_err(), axerrno::AxError::ConnectionRefused);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`; `NotFound` without a route; `InvalidInput` if `address` is
    /// not one; `NoMemory`; those of [`lookup_host`](crate::lookup_host). Of several addresses,
    /// that of the last.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect(address: impl ToSocketAddrs) -> AxResult<Self> {
        let options = TcpOptions::default();
        race(address, |remote| Self::connect_with(None, remote, options)).await
    }

    pub(super) async fn connect_with(
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> AxResult<Self> {
        let stream = Self::begin(local, remote, options)?;
        stream.connected().await?;
        Ok(stream)
    }

    /// Begins to connect.
    pub(crate) fn begin(
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        ax(netstack::TcpStream::connect_with(&stack, local, remote, &options)).map(Self::new)
    }

    /// Waits for the end of the handshake.
    pub(super) async fn connected(&self) -> AxResult<()> {
        ready_io(self.source(Interest::Write), || self.socket.try_connected()).await
    }

    /// Reads for one task, who does not say when it waits no longer.
    pub(super) fn poll_read_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<AxResult<usize>> {
        self.reader.poll(cx, self.source(Interest::Read), || self.try_read(buffer))
    }

    /// Reads, but tries only when it is called again if it is likely to wait.
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if self.is_drained.load(Ordering::Relaxed) && !buffer.is_empty() {
            self.is_drained.store(false, Ordering::Relaxed);
            return Err(ReadError::WouldBlock);
        }
        let len = self.socket.try_read(buffer)?;
        self.is_drained.store(0 < len && len < buffer.len(), Ordering::Relaxed);
        Ok(len)
    }

    pub(super) fn poll_write_to(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<AxResult<usize>> {
        self.writer.poll(cx, self.source(Interest::Write), || self.socket.try_write(data))
    }

    /// Nobody polls a half any more.
    pub(super) fn clear_polled(&self, interest: Interest) {
        let place = match interest {
            Interest::Read => &self.reader,
            Interest::Write => &self.writer,
        };
        place.clear(self.source(interest));
    }

    pub(crate) fn source(&self, interest: Interest) -> Source<'_> {
        Source::Stream(&self.socket, interest)
    }

    pub(crate) fn socket(&self) -> &netstack::TcpStream {
        &self.socket
    }

    pub(super) fn new(socket: netstack::TcpStream) -> Self {
        TcpStream {
            socket,
            is_drained: AtomicBool::new(false),
            reader: PollPlace::default(),
            writer: PollPlace::default(),
        }
    }

    pub(super) fn options(&self) -> TcpOptions {
        self.socket.options()
    }

    pub(super) fn set_options(&self, options: TcpOptions) {
        self.socket.set_options(options);
    }

    /// Our end.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// assert_eq!(client.local_addr(), server.peer_addr());
    /// # Ok(()) });
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// The peer's end.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// assert_eq!(client.peer_addr(), server.local_addr());
    /// # Ok(()) });
    /// ```
    pub fn peer_addr(&self) -> SocketAddr {
        self.socket.peer_addr()
    }

    /// Reads what is there, at most `buffer.len()` bytes; waits if there is nothing. Zero is the
    /// end of the stream.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// server.write_all(b"hello").await?;
    /// drop(server);
    /// let mut buffer = [0; 100];
    /// assert_eq!(client.read(&mut buffer).await?, 5);
    /// assert_eq!(client.read(&mut buffer).await?, 0, "the end");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `ConnectionReset`, `TimedOut`.
    pub async fn read(&self, buffer: &mut [u8]) -> AxResult<usize> {
        ready_io(self.source(Interest::Read), || self.try_read(buffer)).await
    }

    /// Waits until reading would not block, and takes nothing: for whoever has no buffer until then.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// server.write_all(b"hello").await?;
    /// client.readable().await?;
    /// assert_eq!(client.read(&mut [0; 100]).await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// None: what ends the connection can be read.
    pub async fn readable(&self) -> AxResult<()> {
        let look = || self.socket.is_ready(Interest::Read).then_some(());
        ready_io(self.source(Interest::Read), || look().ok_or(ReadError::WouldBlock)).await
    }

    /// Like [`read`](Self::read), but what is copied to `buffer` stays to be read.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// server.write_all(b"hello").await?;
    /// let mut buffer = [0; 100];
    /// assert_eq!(client.peek(&mut buffer).await?, 5);
    /// assert_eq!(client.read(&mut buffer).await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn peek(&self, buffer: &mut [u8]) -> AxResult<usize> {
        ready_io(self.source(Interest::Read), || self.socket.try_peek(buffer)).await
    }

    /// Fills `buffer`.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// server.write_all(b"hello").await?;
    /// drop(server);
    /// let mut buffer = [0; 4];
    /// client.read_exact(&mut buffer).await?;
    /// assert_eq!(&buffer, b"hell");
    /// let rest = client.read_exact(&mut buffer).await;
    /// assert_eq!(rest, Err(axerrno::AxError::UnexpectedEof));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends before; those of [`read`](Self::read).
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> AxResult<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(AxError::UnexpectedEof),
                len => buffer = &mut buffer[len..],
            }
        }
        Ok(())
    }

    /// Writes as much of `data` as there is room for; waits if there is none.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let data = vec![7; 1_000_000];
    /// let len = client.write(&data).await?;
    /// assert!(len < data.len(), "nobody has read yet");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `BrokenPipe` after a shutdown, `ConnectionReset`, `TimedOut`.
    pub async fn write(&self, data: &[u8]) -> AxResult<usize> {
        ready_io(self.source(Interest::Write), || self.socket.try_write(data)).await
    }

    /// Writes all of `data`.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// let writer = spawn(async move { client.write_all(&[7; 1_000_000]).await });
    /// server.read_exact(&mut [0; 1_000_000]).await?;
    /// assert_eq!(writer.await, Ok(Ok(())));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub async fn write_all(&self, mut data: &[u8]) -> AxResult<()> {
        while !data.is_empty() {
            let len = self.write(data).await?;
            data = &data[len..];
        }
        Ok(())
    }

    /// Whether it is open and there is nothing to read.
    pub(super) fn is_quiet(&self) -> bool {
        !self.socket.is_ready(Interest::Read)
            && !matches!(self.socket.try_write(&[]), Err(WriteError::Closed))
    }

    /// Shuts one or both halves down.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// client.shutdown(Shutdown::Write);
    /// assert_eq!(server.read(&mut [0; 100]).await?, 0, "the end");
    /// // The other half is as it was.
    /// server.write_all(b"hello").await?;
    /// assert_eq!(client.read(&mut [0; 100]).await?, 5);
    /// # Ok(()) });
    /// ```
    pub fn shutdown(&self, how: Shutdown) {
        self.socket.shutdown(how);
    }

    /// Resets the connection; unsent data is lost.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// client.abort();
    /// let read = server.read(&mut [0; 100]).await;
    /// assert_eq!(read, Err(axerrno::AxError::ConnectionReset));
    /// # Ok(()) });
    /// ```
    pub fn abort(&self) {
        self.socket.abort();
    }

    /// What the connection has measured and counted.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// client.write_all(b"hello").await?;
    /// server.read(&mut [0; 100]).await?;
    /// let info = client.info();
    /// assert_eq!((info.bytes_sent, info.retransmissions), (5, 0));
    /// # Ok(()) });
    /// ```
    pub fn info(&self) -> TcpInfo {
        self.socket.info()
    }
}
