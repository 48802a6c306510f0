//! Timers: sleeping, and giving up.

use alloc::collections::BTreeMap;
use core::{
    fmt, mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axerrno::AxError;
use netstack::Instant;

use crate::{runtime::Handle, sync::Mutex};

#[derive(Debug, Default)]
pub(crate) struct Timers(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    next_id: u64,
    /// By deadline; the number tells equal ones apart.
    wakers: BTreeMap<(Instant, u64), Waker>,
}

impl Timers {
    fn insert(&self, deadline: Instant, waker: &Waker) -> u64 {
        let mut queue = self.0.lock();
        let id = queue.next_id;
        queue.next_id += 1;
        queue.wakers.insert((deadline, id), waker.clone());
        id
    }

    fn update(&self, key: (Instant, u64), waker: &Waker) {
        let mut waker = waker.clone();
        if let Some(known) = self.0.lock().wakers.get_mut(&key) {
            mem::swap(known, &mut waker);
        }
        // The old one is dropped after the lock is let go: it may hold the last reference to a task.
    }

    fn remove(&self, key: (Instant, u64)) {
        // As above.
        let _waker = self.0.lock().wakers.remove(&key);
    }

    /// Wakes what is due.
    pub(crate) fn fire(&self, now: Instant) {
        while let Some(waker) = self.pop_due(now) {
            waker.wake();
        }
    }

    fn pop_due(&self, now: Instant) -> Option<Waker> {
        let mut queue = self.0.lock();
        let entry = queue.wakers.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.lock().wakers.first_key_value().map(|((deadline, _), _)| *deadline)
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
    Sleep { handle: Handle::current(), deadline, id: None }
}

/// The future of [`sleep`]. Dropping it takes the timer away.
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    handle: Handle,
    deadline: Instant,
    /// Its number in the queue, once it has been polled.
    id: Option<u64>,
}

impl Sleep {
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.handle.now() >= self.deadline {
            return Poll::Ready(());
        }
        let timers = &self.handle.0.timers;
        match self.id {
            Some(id) => timers.update((self.deadline, id), cx.waker()),
            None => self.id = Some(timers.insert(self.deadline, cx.waker())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.handle.0.timers.remove((self.deadline, id));
        }
    }
}

/// Waits for `future` for at most `duration`; then drops it.
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
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut sleep = pin!(sleep(duration));
    let mut future = pin!(future);
    core::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// The time given to [`timeout`] was up.
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
