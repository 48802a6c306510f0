//! Connections.

use core::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use axerrno::{AxError, AxResult};
use netstack::{Interest, Shutdown, TcpInfo, TcpOptions};

use crate::{
    addr::ToSocketAddrs,
    error::ax,
    io::{self, AsyncRead, AsyncWrite},
    reactor::{poll_io, ready_io},
    resolve::try_each,
    runtime::Handle,
};

/// A connection. Dropping it closes it; what was written is still delivered.
///
/// Its methods take `&self`: one task may read while another writes.
#[derive(Debug)]
pub struct TcpStream(netstack::TcpStream);

impl TcpStream {
    /// Connects to `address`; the addresses of a host are tried one after the other.
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
        try_each(address, |remote| Self::connect_with(None, remote, options)).await
    }

    pub(super) async fn connect_with(
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        let stream = ax(netstack::TcpStream::connect_with(&stack, local, remote, &options))?;
        ready_io(|| stream.try_connected(), |waker| stream.register(Interest::Write, waker))
            .await?;
        Ok(TcpStream(stream))
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
        ready_io(|| self.0.try_read(buffer), |waker| self.0.register(Interest::Read, waker)).await
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
        ready_io(|| self.0.try_write(data), |waker| self.0.register(Interest::Write, waker)).await
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

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<AxResult<usize>> {
        let register = |waker: &_| self.0.register(Interest::Read, waker);
        poll_io(cx, || self.0.try_read(buffer), register)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<AxResult<usize>> {
        let register = |waker: &_| self.0.register(Interest::Write, waker);
        poll_io(cx, || self.0.try_write(data), register)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<AxResult<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<AxResult<()>> {
        self.0.shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

impl embedded_io_async::ErrorType for TcpStream {
    type Error = io::Error;
}

impl embedded_io_async::Read for TcpStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, io::Error> {
        Ok(TcpStream::read(self, buffer).await?)
    }
}

impl embedded_io_async::Write for TcpStream {
    async fn write(&mut self, data: &[u8]) -> Result<usize, io::Error> {
        Ok(TcpStream::write(self, data).await?)
    }

    async fn flush(&mut self) -> Result<(), io::Error> {
        Ok(())
    }
}
