//! Listening.

use core::{
    future::ready,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use axerrno::AxResult;
use futures_util::Stream;
use netstack::{AcceptError, ListenOptions};

use super::TcpStream;
use crate::{
    addr::ToSocketAddrs,
    error::ax,
    reactor::{Source, Waiting, ready_io},
    resolve::try_each,
    runtime::Handle,
};

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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let listener = TcpListener::bind("0.0.0.0:80").await?;
    /// let second = TcpListener::bind("0.0.0.0:80").await;
    /// assert_eq!(second.unwrap_err(), axerrno::AxError::AddrInUse);
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:80").await?;
    /// let client = TcpStream::connect("127.0.0.1:80").await?;
    /// let (_stream, peer) = listener.accept().await?;
    /// assert_eq!(peer, client.local_addr());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// None today.
    pub async fn accept(&self) -> AxResult<(TcpStream, SocketAddr)> {
        ready_io(self.source(), || self.try_accept()).await
    }

    pub(crate) fn try_accept(&self) -> Result<(TcpStream, SocketAddr), AcceptError> {
        let stream = TcpStream::new(self.0.try_accept()?);
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Listener(&self.0)
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
        Incoming { listener: self, waiting: Waiting::new(self.source()) }
    }

    /// What it listens on.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// assert_ne!(listener.local_addr().port(), 0, "one was chosen");
    /// # Ok(()) });
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

/// Connections as they come; made by [`TcpListener::incoming`].
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # use futures_util::StreamExt;
/// let listener = TcpListener::bind("127.0.0.1:80").await?;
/// let mut incoming: Incoming<'_> = listener.incoming();
/// let client = TcpStream::connect("127.0.0.1:80").await?;
/// let accepted = incoming.next().await.expect("it never ends")?;
/// assert_eq!(accepted.peer_addr(), client.local_addr());
/// # Ok(()) });
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless polled"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    waiting: Waiting<'a>,
}

impl Stream for Incoming<'_> {
    type Item = AxResult<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listener = self.listener;
        let accepted = self.waiting.poll(cx, || listener.try_accept());
        accepted.map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}
