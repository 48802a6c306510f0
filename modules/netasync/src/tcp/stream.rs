//! Connections.

use core::{
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
};

use axerrno::{AxError, AxResult};
use netstack::{Interest, ReadError, Shutdown, TcpInfo, TcpOptions, WriteError};

use crate::{
    addr::ToSocketAddrs,
    error::ax,
    race::race,
    reactor::{poll_io, ready_io},
    runtime::Handle,
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
pub struct TcpStream(netstack::TcpStream);

impl TcpStream {
    /// Connects to `address`. If there are several, an attempt with the next one begins after 250 ms
    /// or as soon as one has failed, the first that succeeds counts, and the others are dropped; of
    /// a host, the addresses of IPv6 and IPv4 take turns (Happy Eyeballs, RFC 8305).
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
        ax(netstack::TcpStream::connect_with(&stack, local, remote, &options)).map(TcpStream)
    }

    /// Waits for the end of the handshake.
    pub(super) async fn connected(&self) -> AxResult<()> {
        poll_fn(|cx| self.poll_connected(cx)).await
    }

    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<AxResult<()>> {
        poll_io(cx, || self.0.try_connected(), |waker| self.0.register(Interest::Write, waker))
    }

    pub(crate) fn poll_read_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<AxResult<usize>> {
        let register = |waker: &_| self.0.register(Interest::Read, waker);
        poll_io(cx, || self.0.try_read(buffer), register)
    }

    pub(crate) fn poll_write_to(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<AxResult<usize>> {
        let register = |waker: &_| self.0.register(Interest::Write, waker);
        poll_io(cx, || self.0.try_write(data), register)
    }

    pub(super) fn new(stream: netstack::TcpStream) -> Self {
        TcpStream(stream)
    }

    pub(super) fn options(&self) -> TcpOptions {
        self.0.options()
    }

    pub(super) fn set_options(&self, options: TcpOptions) {
        self.0.set_options(options);
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// The peer's end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.peer_addr()
    }

    /// Reads what is there, at most `buffer.len()` bytes; waits if there is nothing. Zero is the
    /// end of the stream.
    ///
    /// # Errors
    /// `ConnectionReset`, `TimedOut`.
    pub async fn read(&self, buffer: &mut [u8]) -> AxResult<usize> {
        poll_fn(|cx| self.poll_read_from(cx, buffer)).await
    }

    /// Like [`read`](Self::read), but what is copied to `buffer` stays to be read.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn peek(&self, buffer: &mut [u8]) -> AxResult<usize> {
        ready_io(|| self.0.try_peek(buffer), |waker| self.0.register(Interest::Read, waker)).await
    }

    /// Fills `buffer`.
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
    /// # Errors
    /// `BrokenPipe` after a shutdown, `ConnectionReset`, `TimedOut`.
    pub async fn write(&self, data: &[u8]) -> AxResult<usize> {
        poll_fn(|cx| self.poll_write_to(cx, data)).await
    }

    /// Writes all of `data`.
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
        self.0.try_peek(&mut [0]) == Err(ReadError::WouldBlock)
            && !matches!(self.0.try_write(&[]), Err(WriteError::Closed))
    }

    /// Shuts one or both halves down.
    pub fn shutdown(&self, how: Shutdown) {
        self.0.shutdown(how);
    }

    /// Resets the connection; unsent data is lost.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// What the connection has measured and counted.
    pub fn info(&self) -> TcpInfo {
        self.0.info()
    }
}
