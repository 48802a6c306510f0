//! Stopping what waits, from elsewhere.

use alloc::sync::Arc;
use core::{fmt, pin::pin};

use futures_util::future::{Either, select};

use crate::condition::Condition;

/// A signal to stop. Clones are the same token.
///
/// ```no_run
/// # use netasync::{CancellationToken, TcpListener, spawn};
/// # async fn example() -> axerrno::AxResult<()> {
/// let (token, listener) = (CancellationToken::new(), TcpListener::bind("0.0.0.0:7").await?);
/// let stop = token.clone();
/// let server = spawn(async move {
///     while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
///         let (stream, peer) = accepted?;
///     }
///     Ok::<_, axerrno::AxError>(())
/// });
/// token.cancel();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct CancellationToken(Arc<Condition<bool>>);

impl CancellationToken {
    /// A token that nobody has cancelled.
    ///
    /// ```
    /// let token = netasync::CancellationToken::new();
    /// assert!(!token.is_cancelled());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal, for good: wakes all that wait for it.
    ///
    /// ```
    /// let token = netasync::CancellationToken::new();
    /// let clone = token.clone();
    /// clone.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn cancel(&self) {
        self.0.change(|is_cancelled| *is_cancelled = true);
    }

    /// Whether the signal was given.
    ///
    /// ```
    /// let token = netasync::CancellationToken::new();
    /// assert!(!token.is_cancelled());
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.0.with(|is_cancelled| *is_cancelled)
    }

    /// Waits for the signal.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let token = CancellationToken::new();
    /// let stop = token.clone();
    /// let task = spawn(async move { stop.cancelled().await });
    /// token.cancel();
    /// assert_eq!(task.await, Ok(()));
    /// # Ok(()) });
    /// ```
    pub async fn cancelled(&self) {
        self.0.until(|is_cancelled| is_cancelled.then_some(())).await;
    }

    /// Waits for `future` until the signal is given; then drops it and returns `None`. If both are
    /// there, the future's output counts: nothing that was done is lost.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let token = CancellationToken::new();
    /// assert_eq!(token.run_until_cancelled(async { 1 }).await, Some(1));
    /// token.cancel();
    /// assert_eq!(token.run_until_cancelled(std::future::pending::<()>()).await, None);
    /// # Ok(()) });
    /// ```
    pub async fn run_until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        match select(pin!(future), pin!(self.cancelled())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}
