//! Submission and completion: for programs that keep many operations under way from one place.

use alloc::vec::Vec;
use core::{fmt, future::poll_fn};

use axerrno::AxError;

use super::{
    backend::{AsyncIoBackend, RequestId, SocketBackend},
    operation::{Completion, IoOperation},
};

/// Takes requests, and tells which have ended. Dropping it ends all of them.
///
/// Requests on one socket are independent: two writes that are under way at the same time may end
/// in either order. Submit the next when the first has ended, where order matters.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use axerrno::AxResult;
/// # use netasync::{IoOperation, IoReactor, Outcome, TcpStream};
/// # async fn example() -> AxResult<()> {
/// let stream = Arc::new(TcpStream::connect("10.0.2.2:7").await?);
/// let mut reactor = IoReactor::new(16);
/// let buffer = vec![0; 1500];
/// let request = reactor.submit(IoOperation::Read { stream, buffer })?;
/// reactor.ready().await;
/// for (id, completion) in reactor.poll() {
///     assert_eq!(id, request);
///     if let Outcome::Transferred(len) = completion.result? {
///         println!("{:?}", &completion.buffer[..len]);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct IoReactor<B = SocketBackend> {
    backend: B,
    next_id: u64,
    under_way: usize,
    limit: usize,
}

impl IoReactor {
    /// A reactor over this crate's sockets, with at most `limit` requests under way.
    ///
    /// ```
    /// let reactor = netasync::IoReactor::new(1000);
    /// assert_eq!(reactor.under_way(), 0);
    /// ```
    pub fn new(limit: usize) -> Self {
        Self::with_backend(SocketBackend::default(), limit)
    }
}

impl<B: AsyncIoBackend> IoReactor<B> {
    /// The same over something else.
    ///
    /// ```
    /// # use netasync::{IoReactor, SocketBackend};
    /// let reactor = IoReactor::with_backend(SocketBackend::default(), 1000);
    /// assert_eq!(reactor.under_way(), 0);
    /// ```
    pub fn with_backend(backend: B, limit: usize) -> Self {
        IoReactor { backend, next_id: 0, under_way: 0, limit }
    }

    /// Begins an operation. It is under way until [`poll`](Self::poll) has told its completion or
    /// it is [cancelled](Self::cancel).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// let mut reactor = IoReactor::new(1);
    /// let read = || IoOperation::Read { stream: client.clone(), buffer: vec![0; 100] };
    /// reactor.submit(read())?;
    /// let Rejected(operation) = reactor.submit(read()).unwrap_err();
    /// assert!(matches!(operation, IoOperation::Read { .. }), "for another time");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As many requests are under way as may be. The operation is in the error.
    pub fn submit(&mut self, operation: IoOperation) -> Result<RequestId, Rejected> {
        if self.under_way >= self.limit {
            return Err(Rejected(operation));
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.under_way += 1;
        self.backend.submit(id, operation);
        Ok(id)
    }

    /// What has ended since it was asked last; never waits.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// # let mut reactor = IoReactor::new(8);
    /// reactor.submit(IoOperation::Read { stream: client.clone(), buffer: vec![0; 100] })?;
    /// assert!(reactor.poll().is_empty(), "nothing is there");
    /// reactor.submit(IoOperation::Write { stream: client, buffer: vec![7; 100] })?;
    /// assert_eq!(reactor.poll().len(), 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Panics
    /// Outside of a runtime, if there is something to connect.
    pub fn poll(&mut self) -> Vec<(RequestId, Completion)> {
        let ended = self.backend.poll();
        self.under_way -= ended.len();
        ended
    }

    /// Waits until [`poll`](Self::poll) has something.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// # let mut reactor = IoReactor::new(8);
    /// # use core::time::Duration;
    /// reactor.submit(IoOperation::Read { stream: client, buffer: vec![0; 100] })?;
    /// assert!(timeout(Duration::from_secs(1), reactor.ready()).await.is_err());
    /// server.write_all(b"hello").await?;
    /// reactor.ready().await;
    /// assert_eq!(reactor.poll().len(), 1);
    /// # Ok(()) });
    /// ```
    pub async fn ready(&mut self) {
        let waiting = Ready(&mut self.backend);
        poll_fn(|cx| waiting.0.poll_ready(cx)).await;
    }

    /// Ends a request and gives its buffer back. `None` if it has ended by itself: then its
    /// completion has the buffer.
    ///
    /// ```no_run
    /// # use netasync::{IoOperation, IoReactor};
    /// # fn example(reactor: &mut IoReactor, operation: IoOperation) -> axerrno::AxResult<()> {
    /// let id = reactor.submit(operation)?;
    /// if let Some(buffer) = reactor.cancel(id) {
    ///     println!("{} bytes for something else", buffer.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&mut self, id: RequestId) -> Option<Vec<u8>> {
        let buffer = self.backend.cancel(id)?;
        self.under_way -= 1;
        Some(buffer)
    }

    /// How many requests are under way, those included whose completion nobody has taken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # let (client, server) = world::pair().await?;
    /// # use std::sync::Arc;
    /// # let client = Arc::new(client);
    /// # let mut reactor = IoReactor::new(8);
    /// let id = reactor.submit(IoOperation::Read { stream: client, buffer: vec![0; 100] })?;
    /// assert_eq!(reactor.under_way(), 1);
    /// reactor.cancel(id);
    /// assert_eq!(reactor.under_way(), 0);
    /// # Ok(()) });
    /// ```
    pub fn under_way(&self) -> usize {
        self.under_way
    }
}

/// Dropping it tells the backend that nobody waits.
struct Ready<'a, B: AsyncIoBackend>(&'a mut B);

impl<B: AsyncIoBackend> Drop for Ready<'_, B> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

/// The operation was not begun: too many requests are under way.
///
/// ```no_run
/// # use netasync::{IoOperation, IoReactor, Rejected};
/// # fn example(reactor: &mut IoReactor, operation: IoOperation) {
/// match reactor.submit(operation) {
///     Ok(id) => println!("{id:?} is under way"),
///     Err(Rejected(operation)) => println!("later: {operation:?}"),
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Rejected(pub IoOperation);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many requests are under way")
    }
}

impl core::error::Error for Rejected {}

impl From<Rejected> for AxError {
    fn from(_: Rejected) -> AxError {
        AxError::ResourceBusy
    }
}
