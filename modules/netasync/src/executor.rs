//! Tasks and the queue of those that are ready, on the `async-task` crate.

use alloc::{
    collections::VecDeque,
    sync::{Arc, Weak},
};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use async_task::{FallibleTask, Runnable};
use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;

use crate::{
    runtime::Handle,
    sync::{AtomicBool, Mutex, Ordering},
    wake::WakeFlag,
};

pub(crate) struct ReadyQueue {
    tasks: Mutex<VecDeque<Runnable>>,
    /// Raised whenever a task becomes ready, for the runner that may be asleep.
    wake: Arc<WakeFlag>,
}

impl ReadyQueue {
    pub(crate) fn new(wake: Arc<WakeFlag>) -> Self {
        ReadyQueue { tasks: Mutex::new(VecDeque::new()), wake }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.lock().is_empty()
    }

    /// Runs up to `budget` ready tasks, oldest first.
    pub(crate) fn run(&self, budget: usize) {
        for _ in 0..budget {
            // The lock is let go before the task runs: it may wake others.
            let Some(task) = self.tasks.lock().pop_front() else {
                return;
            };
            task.run();
        }
    }

    pub(crate) fn push(&self, task: Runnable) {
        self.tasks.lock().push_back(task);
        self.wake.raise();
    }
}

/// Runs `future` as a task of its own. It goes on when the handle is dropped.
///
/// ```no_run
/// # async fn example() {
/// let task = netasync::spawn(async { 6 * 7 });
/// assert_eq!(task.await, Ok(42));
/// # }
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Handle::current().spawn(future)
}

impl Handle {
    /// The same as [`spawn`], from outside of the runtime.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// let mut runner = world::host();
    /// let task = runner.handle().clone().spawn(async { 6 * 7 });
    /// assert_eq!(runner.block_on(task), Ok(42));
    /// ```
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Weak: a task must not keep the queue that holds it.
        let shared = Arc::downgrade(&self.0);
        let schedule = move |task: Runnable| match shared.upgrade() {
            Some(shared) => shared.ready.push(task),
            None => drop(task),
        };
        let abort = AbortHandle::default();
        let (runnable, task) = async_task::spawn(abort.guard(future), schedule);
        runnable.schedule();
        JoinHandle { task: Some(task.fallible()), is_awaited: false, abort }
    }
}

/// Waits for a task that [`spawn`] started.
///
/// ```no_run
/// # async fn example() {
/// let task = netasync::spawn(std::future::pending::<()>());
/// task.abort();
/// assert!(task.await.unwrap_err().is_cancelled());
/// # }
/// ```
pub struct JoinHandle<T> {
    /// `None` only while it is being dropped.
    task: Option<FallibleTask<Option<T>>>,
    /// The task keeps a waker of whoever awaits it.
    is_awaited: bool,
    abort: AbortHandle,
}

impl<T> JoinHandle<T> {
    /// Stops the task when it waits the next time: its future is dropped, and whoever awaits this
    /// gets a [`JoinError`]. Does nothing if the task has ended.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let task = spawn(std::future::pending::<()>());
    /// task.abort();
    /// assert_eq!(task.await, Err(JoinError));
    /// # Ok(()) });
    /// ```
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// The same for somebody who does not own this.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let task = spawn(std::future::pending::<()>());
    /// let handle = task.abort_handle();
    /// spawn(async move { handle.abort() });
    /// assert_eq!(task.await, Err(JoinError));
    /// # Ok(()) });
    /// ```
    pub fn abort_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    /// Whether the task has ended.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let task = spawn(async {});
    /// assert!(!task.is_finished());
    /// yield_now().await;
    /// assert!(task.is_finished());
    /// # Ok(()) });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.task else {
            return Poll::Ready(Err(JoinError));
        };
        let polled = Pin::new(task).poll(cx);
        self.is_awaited = polled.is_pending();
        polled.map(|ended| ended.flatten().ok_or(JoinError))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(mut task) = self.task.take() {
            if self.is_awaited {
                // Puts another waker in the place of the one that the task keeps.
                let _ended = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
            }
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}

/// Stops a task; made by [`JoinHandle::abort_handle`]. Clones stop the same one.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// let tasks = [1, 2, 3].map(|_| spawn(std::future::pending::<()>()));
/// let handles: Vec<AbortHandle> = tasks.iter().map(JoinHandle::abort_handle).collect();
/// handles.iter().for_each(AbortHandle::abort);
/// for task in tasks {
///     assert_eq!(task.await, Err(JoinError));
/// }
/// # Ok(()) });
/// ```
#[derive(Debug, Clone, Default)]
pub struct AbortHandle {
    is_aborted: Arc<AtomicBool>,
    /// The task itself has it weakly: with its own waker it would keep itself for ever.
    task: Arc<AtomicWaker>,
}

impl AbortHandle {
    /// As [`JoinHandle::abort`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let task = spawn(std::future::pending::<()>());
    /// let handle: AbortHandle = task.abort_handle();
    /// handle.abort();
    /// assert!(task.await.is_err());
    /// // It has ended: nothing happens.
    /// handle.abort();
    /// # Ok(()) });
    /// ```
    pub fn abort(&self) {
        self.is_aborted.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Runs `future` until it ends or is to be stopped.
    fn guard<F: Future>(&self, future: F) -> Guard<F> {
        let (is_aborted, slot) = (self.is_aborted.clone(), Arc::downgrade(&self.task));
        Guard { future, is_aborted, slot }
    }
}

pin_project! {
    // A future that can be stopped.
    //
    // Not an async block, which would keep what it captures beside what it pins, twice as large. Not
    // futures-util's `Abortable`: it looks at itself by a reference that covers the future, which
    // Miri does not allow for one that refers to itself.
    struct Guard<F> {
        #[pin]
        future: F,
        is_aborted: Arc<AtomicBool>,
        slot: Weak<AtomicWaker>,
    }
}

impl<F: Future> Future for Guard<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Registered first, so that it is not missed in between.
        if let Some(slot) = this.slot.upgrade() {
            slot.register(cx.waker());
        }
        let output = match this.is_aborted.load(Ordering::Acquire) {
            true => None,
            false => Some(ready!(this.future.poll(cx))),
        };
        drop(this.slot.upgrade().and_then(|slot| slot.take()));
        Poll::Ready(output)
    }
}

/// The task ended without a result: it was aborted, or its runtime has gone.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// let task = spawn(std::future::pending::<()>());
/// task.abort();
/// assert_eq!(task.await.unwrap_err().to_string(), "the task was cancelled");
/// # Ok(()) });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinError;

impl JoinError {
    /// Whether the task was aborted; there is no other reason, because a panic ends everything.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let task = spawn(std::future::pending::<()>());
    /// task.abort();
    /// assert!(task.await.is_err_and(|error| error.is_cancelled()));
    /// # Ok(()) });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        true
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl core::error::Error for JoinError {}
