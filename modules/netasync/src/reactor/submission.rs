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
    pub fn new(limit: usize) -> Self {
        Self::with_backend(SocketBackend::default(), limit)
    }
}

impl<B: AsyncIoBackend> IoReactor<B> {
    /// The same over something else.
    pub fn with_backend(backend: B, limit: usize) -> Self {
        IoReactor { backend, next_id: 0, under_way: 0, limit }
    }

    /// Begins an operation. It is under way until [`poll`](Self::poll) has told its completion or
    /// it is [cancelled](Self::cancel).
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
    /// # Panics
    /// Outside of a runtime, if there is something to connect.
    pub fn poll(&mut self) -> Vec<(RequestId, Completion)> {
        let ended = self.backend.poll();
        self.under_way -= ended.len();
        ended
    }

    /// Waits until [`poll`](Self::poll) has something.
    pub async fn ready(&mut self) {
        poll_fn(|cx| self.backend.poll_ready(cx)).await;
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
    pub fn under_way(&self) -> usize {
        self.under_way
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
