//! A value that tasks wait for, as with a condition variable.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::sync::Mutex;

#[derive(Default)]
pub(crate) struct Condition<T>(Mutex<State<T>>);

#[derive(Default)]
struct State<T> {
    value: T,
    next_id: u64,
    /// The tasks that wait, in the order in which they came.
    waiting: BTreeMap<u64, Waker>,
}

impl<T> Condition<T> {
    pub(crate) fn new(value: T) -> Self {
        Condition(Mutex::new(State { value, next_id: 0, waiting: BTreeMap::new() }))
    }

    /// Changes the value, and has everybody look at it who waits: who is woken may have given up,
    /// so that waking one is not enough.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        let woken: Vec<Waker> = {
            let mut state = self.0.lock();
            change(&mut state.value);
            mem::take(&mut state.waiting).into_values().collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Looks at the value, or changes it such that nobody waits for that.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.0.lock().value)
    }

    /// Waits until `look` has an answer.
    pub(crate) fn until<R, F>(&self, look: F) -> Until<'_, T, F>
    where
        F: FnMut(&mut T) -> Option<R> + Unpin,
    {
        Until { condition: self, look, id: None }
    }
}

/// The future of [`Condition::until`]. Dropping it takes its waker away.
#[must_use = "a future does nothing unless awaited"]
pub(crate) struct Until<'a, T, F> {
    condition: &'a Condition<T>,
    look: F,
    /// Its number among those that wait, once it has been polled.
    id: Option<u64>,
}

impl<T, R, F> Future for Until<'_, T, F>
where
    F: FnMut(&mut T) -> Option<R> + Unpin,
{
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        let mut state = this.condition.0.lock();
        if let Some(answer) = (this.look)(&mut state.value) {
            return Poll::Ready(answer);
        }
        let id = *this.id.get_or_insert(state.next_id);
        state.next_id = state.next_id.max(id + 1);
        let old = state.waiting.insert(id, cx.waker().clone());
        drop(state);
        // Only now: it may hold the last reference to a task.
        drop(old);
        Poll::Pending
    }
}

impl<T, F> Drop for Until<'_, T, F> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // Dropped after the lock is let go, for the same reason.
            let _waker = self.condition.0.lock().waiting.remove(&id);
        }
    }
}
