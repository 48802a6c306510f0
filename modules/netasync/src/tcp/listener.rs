//! Listening.

use core::{
    future::{poll_fn, ready},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use axerrno::AxResult;
use futures_util::Stream;
use netstack::ListenOptions;

use super::TcpStream;
use crate::{addr::ToSocketAddrs, error::ax, reactor::poll_io, resolve::try_each, runtime::Handle};

/// Connections that may wait to be accepted, as tokio has it.
const BACKLOG: usize = 1024;

/// Accepts connections.
///
/// ```no_run
/// # use netasync::TcpListener;
/// # async fn example() -> axerrno::AxResult<()> {
/// let listener = TcpListener::bind("0.0.0.0:7").await?;
/// let (stream, peer) = listener.accept().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpListener(netstack::TcpListener);

impl TcpListener {
    /// Listens on `address`; port 0 chooses one. Up to 1,024 connections wait to be accepted. A
    /// [`TcpSocket`](super::TcpSocket) has options.
    ///
    /// # Errors
    /// `AddrInUse`; `BadAddress` if no interface has the address; `InvalidInput` if `address` is
    /// not one; those of [`lookup_host`](crate::lookup_host).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn bind(address: impl ToSocketAddrs) -> AxResult<Self> {
        let options = ListenOptions::default();
        try_each(address, |local| ready(Self::bind_with(local, BACKLOG, &options))).await
    }

    pub(super) fn bind_with(
        local: SocketAddr,
        backlog: usize,
        options: &ListenOptions,
    ) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        ax(netstack::TcpListener::bind_with(&stack, local, backlog, options)).map(Self)
    }

    /// Waits for a connection. Any number of tasks may wait at a time.
    ///
    /// # Errors
    /// None today.
    pub async fn accept(&self) -> AxResult<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<AxResult<(TcpStream, SocketAddr)>> {
        let accepted = poll_io(cx, || self.0.try_accept(), |waker| self.0.register(waker));
        accepted.map_ok(|stream| {
            let stream = TcpStream::new(stream);
            let peer = stream.peer_addr();
            (stream, peer)
        })
    }

    /// The connections as a stream, which never ends.
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// # async fn example(listener: netasync::TcpListener) -> axerrno::AxResult<()> {
    /// let mut incoming = listener.incoming();
    /// while let Some(stream) = incoming.next().await {
    ///     println!("{} is here", stream?.peer_addr());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// What it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

/// Connections as they come; made by [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless polled"]
pub struct Incoming<'a>(&'a TcpListener);

impl Stream for Incoming<'_> {
    type Item = AxResult<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}
