//! Timers: sleeping, and giving up.

mod queue;

use core::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axerrno::AxError;
use netstack::Instant;
use pin_project_lite::pin_project;

use self::queue::{Key, Queue};
use crate::{runtime::Handle, sync::Mutex};

#[derive(Debug, Default)]
pub(crate) struct Timers(Mutex<Queue>);

impl Timers {
    fn insert(&self, deadline: Instant, waker: &Waker) -> Key {
        let waker = waker.clone();
        self.0.lock().insert(deadline, waker)
    }

    /// Has another waker woken. Returns the place, which is a new one if it has been looked at.
    fn update(&self, key: Key, deadline: Instant, waker: &Waker) -> Key {
        let waker = waker.clone();
        // Dropped after the lock is let go: it may hold the last reference to a task.
        let _known;
        let mut queue = self.0.lock();
        match queue.replace(key, waker) {
            Ok(known) => {
                _known = known;
                key
            }
            Err(waker) => queue.insert(deadline, waker),
        }
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

    /// Has a task woken when it is time.
    fn enter(&mut self, cx: &Context<'_>) {
        let timers = &self.handle.0.timers;
        self.key = Some(match self.key {
            Some(key) => timers.update(key, self.deadline, cx.waker()),
            None => timers.insert(self.deadline, cx.waker()),
        });
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
        self.enter(cx);
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
        match this.limit {
            Some(limit) => Pin::new(limit).poll(cx).map(|()| Err(Elapsed)),
            None if this.duration.is_zero() => Poll::Ready(Err(Elapsed)),
            None => {
                this.limit.insert(sleep(*this.duration)).enter(cx);
                Poll::Pending
            }
        }
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
