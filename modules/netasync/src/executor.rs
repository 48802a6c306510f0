//! Tasks and the queue of those that are ready, on the `async-task` crate.

use alloc::{collections::VecDeque, sync::Arc};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use async_task::{FallibleTask, Runnable};

use crate::{runtime::Handle, sync::Mutex, wake::WakeFlag};

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

    fn push(&self, task: Runnable) {
        self.tasks.lock().push_back(task);
        self.wake.raise();
    }
}

/// Runs `future` as a task of its own. It goes on when the handle is dropped.
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
        let (runnable, task) = async_task::spawn(future, schedule);
        runnable.schedule();
        JoinHandle(Some(task.fallible()))
    }
}

/// Waits for a task that [`spawn`] started.
pub struct JoinHandle<T>(Option<FallibleTask<T>>);

impl<T> JoinHandle<T> {
    /// Stops the task at its next `await` and drops its future.
    pub fn abort(mut self) {
        drop(self.0.take());
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(FallibleTask::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.0 else {
            return Poll::Ready(Err(JoinError));
        };
        Pin::new(task).poll(cx).map(|output| output.ok_or(JoinError))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}

/// The task ended without a result: its runtime has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinError;

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl core::error::Error for JoinError {}
