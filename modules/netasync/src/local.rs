//! Tasks whose futures are not `Send`, as those of many generic `no_std` libraries are not.

use alloc::vec::Vec;
use core::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use futures_util::{
    future::{FutureExt, LocalBoxFuture},
    stream::{FuturesUnordered, StreamExt},
};

/// A set of tasks that run inside the one that owns the set, in turns.
///
/// ```no_run
/// # use netasync::{LocalSet, TcpListener, TcpStream};
/// # async fn serve(_stream: TcpStream) {}
/// # async fn server() -> axerrno::AxResult<()> {
/// let listener = TcpListener::bind("0.0.0.0:80").await?;
/// let tasks = LocalSet::new();
/// tasks
///     .run_until(async {
///         loop {
///             let (stream, _peer) = listener.accept().await?;
///             tasks.spawn_local(serve(stream));
///         }
///     })
///     .await
/// # }
/// ```
#[derive(Default)]
pub struct LocalSet {
    spawned: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
}

impl LocalSet {
    /// An empty set.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let tasks = LocalSet::new();
    /// assert_eq!(tasks.run_until(async { 6 * 7 }).await, 42);
    /// # Ok(()) });
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task. It runs while [`run_until`](Self::run_until) is awaited.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use std::{cell::Cell, rc::Rc};
    /// let (tasks, shared) = (LocalSet::new(), Rc::new(Cell::new(0)));
    /// let inner = shared.clone();
    /// tasks.spawn_local(async move { inner.set(42) });
    /// tasks.run_until(yield_now()).await;
    /// assert_eq!(shared.get(), 42);
    /// # Ok(()) });
    /// ```
    pub fn spawn_local(&self, future: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(future.boxed_local());
    }

    /// Runs the set's tasks until `future` ends; then drops those that have not ended.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use core::time::Duration;
    /// let tasks = LocalSet::new();
    /// tasks.spawn_local(std::future::pending());
    /// // The task that never ends is dropped.
    /// tasks.run_until(sleep(Duration::from_secs(1))).await;
    /// # Ok(()) });
    /// ```
    pub async fn run_until<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut running = FuturesUnordered::new();
        poll_fn(|cx| {
            let output = future.as_mut().poll(cx);
            match output.is_pending() {
                true => self.turn(&mut running, cx),
                false => drop(self.spawned.take()),
            }
            output
        })
        .await
    }

    /// Polls every task that is ready, those included that tasks spawn meanwhile.
    fn turn(
        &self,
        running: &mut FuturesUnordered<LocalBoxFuture<'static, ()>>,
        cx: &mut Context<'_>,
    ) {
        loop {
            running.extend(self.spawned.take());
            let ended = running.poll_next_unpin(cx);
            if !matches!(ended, Poll::Ready(Some(()))) && self.spawned.borrow().is_empty() {
                return;
            }
        }
    }
}

impl fmt::Debug for LocalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSet").finish_non_exhaustive()
    }
}
