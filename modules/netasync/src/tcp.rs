//! TCP for tasks: [`TcpListener`], [`TcpStream`], and [`TcpSocket`] for those who think in POSIX.

use core::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netstack::{Interest, KeepAlive, Shutdown};

use crate::{
    addr::ToSocketAddr,
    error::ax,
    io::{self, AsyncRead, AsyncWrite},
    reactor::{poll_io, ready_io},
    runtime::Handle,
};

/// Connections that may wait to be accepted, as tokio has it.
const BACKLOG: usize = 1024;

/// Accepts connections.
#[derive(Debug)]
pub struct TcpListener(netstack::TcpListener);

impl TcpListener {
    /// Listens on `address`; port 0 chooses one. Up to 1,024 connections wait to be accepted.
    ///
    /// # Errors
    /// `AddrInUse`; `BadAddress` if no interface has the address; `InvalidInput` if `address` is not
    /// one.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn bind(address: impl ToSocketAddr) -> AxResult<Self> {
        Self::bind_with_backlog(address.to_socket_addr()?, BACKLOG)
    }

    fn bind_with_backlog(address: SocketAddr, backlog: usize) -> AxResult<Self> {
        ax(netstack::TcpListener::bind(Handle::current().stack(), address, backlog)).map(Self)
    }

    /// Waits for a connection. Any number of tasks may wait at a time.
    ///
    /// # Errors
    /// None today.
    pub async fn accept(&self) -> AxResult<(TcpStream, SocketAddr)> {
        let accepted = ready_io(|| self.0.try_accept(), |waker| self.0.register(waker));
        let stream = TcpStream(accepted.await?);
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }

    /// What it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

/// A connection. Dropping it closes it; what was written is still delivered.
///
/// Its methods take `&self`: one task may read while another writes.
#[derive(Debug)]
pub struct TcpStream(netstack::TcpStream);

impl TcpStream {
    /// Connects to `address`.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`; `NotFound` without a route; `InvalidInput` if `address` is
    /// not one; `NoMemory`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect(address: impl ToSocketAddr) -> AxResult<Self> {
        Self::connect_from(None, address.to_socket_addr()?).await
    }

    async fn connect_from(local: Option<SocketAddr>, remote: SocketAddr) -> AxResult<Self> {
        let stream = ax(netstack::TcpStream::connect(Handle::current().stack(), local, remote))?;
        ready_io(|| stream.try_connected(), |waker| stream.register(Interest::Write, waker))
            .await?;
        Ok(TcpStream(stream))
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// The peer's end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.peer_addr()
    }

    /// Reads what is there, at most `buffer.len()` bytes; waits if there is nothing. Zero is the end
    /// of the stream.
    ///
    /// # Errors
    /// `ConnectionReset`, `TimedOut`.
    pub async fn read(&self, buffer: &mut [u8]) -> AxResult<usize> {
        ready_io(|| self.0.try_read(buffer), |waker| self.0.register(Interest::Read, waker)).await
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

    /// Sends small writes at once instead of gathering them while data is in flight.
    pub fn set_nodelay(&self, nodelay: bool) {
        self.0.set_nodelay(nodelay);
    }

    /// Probes an idle peer at this interval; four unanswered probes end the connection.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        const COUNT: u8 = 4;
        self.0.set_keep_alive(interval.map(|interval| KeepAlive {
            idle: interval,
            interval,
            count: COUNT,
        }));
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

/// A socket that becomes a listener or a stream, as POSIX has it.
#[derive(Debug, Default)]
pub struct TcpSocket {
    local: Option<SocketAddr>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Listening(TcpListener),
    Connected(TcpStream),
}

impl TcpSocket {
    /// A socket that is neither bound nor connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the local address; it is taken when the socket listens or connects.
    ///
    /// # Errors
    /// `AlreadyConnected` if it does already; `InvalidInput` if `address` is not one.
    pub fn bind(&mut self, address: impl ToSocketAddr) -> AxResult<()> {
        self.check_fresh()?;
        self.local = Some(address.to_socket_addr()?);
        Ok(())
    }

    /// Listens on the address that it is bound to, with at most `backlog` connections waiting.
    ///
    /// # Errors
    /// `InvalidInput` if it is not bound or `backlog` is zero; those of [`TcpListener::bind`].
    pub fn listen(&mut self, backlog: usize) -> AxResult<()> {
        self.check_fresh()?;
        let local = self.local.ok_or(AxError::InvalidInput)?;
        self.state = State::Listening(TcpListener::bind_with_backlog(local, backlog)?);
        Ok(())
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen; those of [`TcpListener::accept`].
    pub async fn accept(&self) -> AxResult<(TcpStream, SocketAddr)> {
        match &self.state {
            State::Listening(listener) => listener.accept().await,
            _ => Err(AxError::InvalidInput),
        }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// `AlreadyConnected` if it is connected or listens; those of [`TcpStream::connect`].
    pub async fn connect(&mut self, address: impl ToSocketAddr) -> AxResult<()> {
        self.check_fresh()?;
        let stream = TcpStream::connect_from(self.local, address.to_socket_addr()?).await?;
        self.state = State::Connected(stream);
        Ok(())
    }

    /// The connection, for reading and writing.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn stream(&self) -> AxResult<&TcpStream> {
        match &self.state {
            State::Connected(stream) => Ok(stream),
            _ => Err(AxError::NotConnected),
        }
    }

    /// What it is bound to, if it is.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Fresh => self.local,
            State::Listening(listener) => Some(listener.local_addr()),
            State::Connected(stream) => Some(stream.local_addr()),
        }
    }

    fn check_fresh(&self) -> AxResult<()> {
        match self.state {
            State::Fresh => Ok(()),
            _ => Err(AxError::AlreadyConnected),
        }
    }
}
