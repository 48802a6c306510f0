//! Timers: sleeping, and giving up.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axerrno::AxError;
use netstack::Instant;
use pin_project_lite::pin_project;

use crate::{runtime::Handle, sync::Mutex};

#[derive(Debug, Default)]
pub(crate) struct Timers(Mutex<Queue>);

/// Places of timers that were given up, kept for the next ones: a turn's tasks may each give up one and
/// take another.
const SPARE_MAX: usize = 64;

/// When a place is looked at, which is no later than the deadline of the timer that has it, and a
/// number that tells equal ones apart.
type Key = (Instant, u64);

/// Most timers are time limits, which are given up and soon followed by another, later one. So a
/// timer that is given up leaves its place behind, and the next one takes that if it is not too late.
/// A timer may fire early for that reason: who has set it looks at the clock, and sets it again.
#[derive(Debug, Default)]
struct Queue {
    next_id: u64,
    /// No waker is a place that nobody has.
    places: BTreeMap<Key, Option<Waker>>,
    /// Places that nobody has; some may be gone.
    spare: Vec<Key>,
}

impl Queue {
    fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        while let Some(key) = self.spare.pop_if(|key| key.0 <= deadline) {
            if let Some(place) = self.places.get_mut(&key) {
                *place = Some(waker);
                return key;
            }
        }
        let key = (deadline, self.next_id);
        self.next_id += 1;
        self.places.insert(key, Some(waker));
        key
    }

    fn remove(&mut self, key: Key) -> Option<Waker> {
        if self.spare.len() == SPARE_MAX {
            return self.places.remove(&key).flatten();
        }
        let waker = self.places.get_mut(&key)?.take();
        self.spare.push(key);
        waker
    }

    fn pop_due(&mut self, now: Instant) -> Option<Option<Waker>> {
        let entry = self.places.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Lets places go that nobody has, so that nobody is woken for them.
    fn next_deadline(&mut self) -> Option<Instant> {
        loop {
            let entry = self.places.first_entry()?;
            if entry.get().is_some() {
                return Some(entry.key().0);
            }
            entry.remove();
        }
    }
}

impl Timers {
    fn insert(&self, deadline: Instant, waker: &Waker) -> Key {
        let waker = waker.clone();
        self.0.lock().insert(deadline, waker)
    }

    /// Has another waker woken. Returns the place, which is a new one if it has fired.
    fn update(&self, key: Key, deadline: Instant, waker: &Waker) -> Key {
        let mut waker = waker.clone();
        let mut queue = self.0.lock();
        if let Some(place) = queue.places.get_mut(&key) {
            // The old one is dropped after the lock is let go: it may hold the last reference to a
            // task.
            let known = place.as_mut().expect("the place is taken");
            mem::swap(known, &mut waker);
            drop(queue);
            return key;
        }
        queue.insert(deadline, waker)
    }

    fn remove(&self, key: Key) {
        // As above.
        let _waker = self.0.lock().remove(key);
    }

    /// Wakes what is due.
    pub(crate) fn fire(&self, now: Instant) {
        while let Some(waker) = self.pop_due(now) {
            waker.into_iter().for_each(Waker::wake);
        }
    }

    fn pop_due(&self, now: Instant) -> Option<Option<Waker>> {
        self.0.lock().pop_due(now)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.lock().next_deadline()
    }
}

/// Waits for `duration`.
///
/// ```no_run
/// # async fn example() {
/// netasync::sleep(core::time::Duration::from_millis(10)).await;
/// # }
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Handle::current().now() + duration)
}

pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { handle: Handle::current(), deadline, key: None }
}

/// The future of [`sleep`]. Dropping it takes the timer away.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # use core::time::Duration;
/// use futures_util::future::{Either, select};
///
/// let (first, second) = (sleep(Duration::from_secs(1)), sleep(Duration::from_secs(2)));
/// let woken = select(first, second).await;
/// assert!(matches!(woken, Either::Left(((), _second))));
/// # Ok(()) });
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    handle: Handle,
    deadline: Instant,
    /// Its place in the queue, once it has been polled.
    key: Option<Key>,
}

impl Sleep {
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes the timer away until it is polled again.
    pub(crate) fn give_up(&mut self) {
        if let Some(key) = self.key.take() {
            self.handle.0.timers.remove(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.handle.now() >= self.deadline {
            return Poll::Ready(());
        }
        let timers = &self.handle.0.timers;
        self.key = Some(match self.key {
            Some(key) => timers.update(key, self.deadline, cx.waker()),
            None => timers.insert(self.deadline, cx.waker()),
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Waits for `future` for at most `duration`, counted from its first poll; then drops it.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use core::time::Duration;
/// # use netasync::{TcpStream, timeout};
/// let connect = TcpStream::connect("server.example:80");
/// let stream = timeout(Duration::from_secs(5), connect).await??;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The time is up.
///
/// # Panics
/// Outside of a runtime.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, duration, limit: None }
}

pin_project! {
    /// The future of [`timeout`].
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use core::time::Duration;
    /// let limited: Timeout<_> = timeout(Duration::from_secs(1), async { 6 * 7 });
    /// assert_eq!(limited.await, Ok(42));
    /// # Ok(()) });
    /// ```
    #[derive(Debug)]
    #[must_use = "a future does nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        duration: Duration,
        // Most futures are ready at once, and then the time it is does not matter.
        limit: Option<Sleep>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let limit = this.limit.get_or_insert_with(|| sleep(*this.duration));
        Pin::new(limit).poll(cx).map(|()| Err(Elapsed))
    }
}

/// The time given to [`timeout`] was up.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netasync::*;
/// # world::run(async {
/// # use core::time::Duration;
/// let result = timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
/// assert_eq!(result, Err(Elapsed));
/// assert_eq!(axerrno::AxError::from(Elapsed), axerrno::AxError::TimedOut);
/// # Ok(()) });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is up")
    }
}

impl core::error::Error for Elapsed {}

impl From<Elapsed> for AxError {
    fn from(_: Elapsed) -> AxError {
        AxError::TimedOut
    }
}

/// Lets every other ready task run once.
///
/// ```no_run
/// # async fn example() {
/// for chunk in [1; 1_000_000].chunks(1000) {
///     assert_eq!(chunk.iter().sum::<u32>(), 1000);
///     netasync::yield_now().await;
/// }
/// # }
/// ```
pub async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn insert(queue: &mut Queue, seconds: u64) -> Key {
        queue.insert(at(seconds), Waker::noop().clone())
    }

    #[test]
    fn a_place_that_was_given_up_serves_later_timers_only() {
        let mut queue = Queue::default();
        let first = insert(&mut queue, 5);
        assert!(queue.remove(first).is_some());
        assert_eq!(insert(&mut queue, 4).0, at(4), "it would be late");
        let second = insert(&mut queue, 9);
        assert_eq!(second, first);
        assert_eq!((queue.places.len(), queue.spare.len()), (2, 0));
        assert!(queue.remove(second).is_some() && queue.remove(second).is_none());
    }

    #[test]
    fn places_that_nobody_has_wake_nobody_and_are_few() {
        let mut queue = Queue::default();
        let keys: Vec<Key> = (1..1000).map(|seconds| insert(&mut queue, seconds)).collect();
        keys.into_iter().for_each(|key| drop(queue.remove(key)));
        assert!(queue.places.len() <= SPARE_MAX);
        assert_eq!(queue.next_deadline(), None);
        assert!(queue.places.is_empty());
        // What is left of them does no harm.
        assert_eq!(insert(&mut queue, 2000).0, at(2000));
        assert_eq!(queue.next_deadline(), Some(at(2000)));
    }

    #[test]
    fn a_timer_that_has_fired_has_no_place() {
        let mut queue = Queue::default();
        let key = insert(&mut queue, 5);
        assert!(queue.pop_due(at(4)).is_none());
        assert!(queue.pop_due(at(5)).flatten().is_some());
        assert!(queue.remove(key).is_none() && queue.spare.is_empty());
    }
}
