//! A call that would block becomes one that waits.

use alloc::vec::Vec;
use core::{
    fmt,
    future::poll_fn,
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::{Poll, Waker},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netstack::Instant;
use spin::Mutex;

use super::{ADDRESS_PATIENCE, System, quietly};

/// A deadline has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired;

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has come")
    }
}

impl core::error::Error for Expired {}

/// Waits until the first interface has an address, if `remote` is beyond this host and one has not
/// been found yet; gives up in silence when [`ADDRESS_PATIENCE`] has passed since the start.
pub(super) fn await_address<S: System>(remote: IpAddr) -> AxResult<()> {
    let stack = S::stack()?;
    let deadline = Instant::from_micros(0) + ADDRESS_PATIENCE;
    let is_configured = || quietly::<S, _>(|| stack.ipv4().is_some());
    if remote.is_loopback() || is_configured() || S::now() >= deadline {
        return Ok(());
    }
    let configured = poll_fn(|cx| {
        // Registered first, so that no change is missed in between.
        quietly::<S, _>(|| stack.register_config(cx.waker()));
        match is_configured() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    // The call fails by itself, with the error that says why.
    let _ = S::block_on(configured, Some(deadline));
    Ok(())
}

/// How the calls of one socket wait.
pub(super) struct Patience {
    nonblocking: AtomicBool,
    /// Microseconds; zero is for ever.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    /// Tasks that are waiting, to be woken when the socket is closed.
    waiting: Mutex<Waiting>,
}

struct Waiting {
    next_id: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Patience {
            nonblocking: AtomicBool::new(false),
            read_timeout: AtomicU64::new(0),
            write_timeout: AtomicU64::new(0),
            waiting: Mutex::new(Waiting { next_id: 0, wakers: Vec::new() }),
        }
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Acquire)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Release);
    }

    pub(super) fn read_timeout(&self) -> Option<Duration> {
        load(&self.read_timeout)
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> AxResult<()> {
        store(&self.read_timeout, timeout)
    }

    pub(super) fn write_timeout(&self) -> Option<Duration> {
        load(&self.write_timeout)
    }

    pub(super) fn set_write_timeout(&self, timeout: Option<Duration>) -> AxResult<()> {
        store(&self.write_timeout, timeout)
    }

    /// Makes `attempt` until it does not say `WouldBlock`; between two, the task is parked until
    /// what `register` has been told to wake is woken, or the socket is closed.
    ///
    /// # Errors
    /// Those of `attempt`; `TimedOut` after `timeout`.
    pub(super) fn wait<S: System, T>(
        &self,
        timeout: Option<Duration>,
        mut attempt: impl FnMut() -> AxResult<T>,
        register: impl Fn(&Waker),
    ) -> AxResult<T> {
        let result = attempt();
        if !matches!(result, Err(AxError::WouldBlock)) || self.is_nonblocking() {
            return result;
        }
        let deadline = timeout.map(|timeout| S::now() + timeout);
        let entry = Entry::<S>::new(&self.waiting);
        let done = poll_fn(|cx| {
            entry.register(cx.waker());
            register(cx.waker());
            match attempt() {
                Err(AxError::WouldBlock) => Poll::Pending,
                result => Poll::Ready(result),
            }
        });
        S::block_on(done, deadline).unwrap_or(Err(AxError::TimedOut))
    }

    /// Wakes every task that waits: the socket's state has changed.
    pub(super) fn wake_all<S: System>(&self) {
        let woken = quietly::<S, _>(|| core::mem::take(&mut self.waiting.lock().wakers));
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

fn load(timeout: &AtomicU64) -> Option<Duration> {
    let micros = timeout.load(Ordering::Relaxed);
    (micros != 0).then(|| Duration::from_micros(micros))
}

/// As std has it, a timeout of zero is an error.
fn store(kept: &AtomicU64, timeout: Option<Duration>) -> AxResult<()> {
    let micros = match timeout {
        None => 0,
        Some(Duration::ZERO) => return Err(AxError::InvalidInput),
        Some(timeout) => timeout.as_micros().clamp(1, u64::MAX.into()) as u64,
    };
    kept.store(micros, Ordering::Relaxed);
    Ok(())
}

/// One task's place among those that wait; given up when the call ends.
struct Entry<'a, S: System> {
    waiting: &'a Mutex<Waiting>,
    id: u64,
    _system: core::marker::PhantomData<S>,
}

impl<'a, S: System> Entry<'a, S> {
    fn new(waiting: &'a Mutex<Waiting>) -> Self {
        let id = quietly::<S, _>(|| {
            let mut waiting = waiting.lock();
            waiting.next_id += 1;
            waiting.next_id
        });
        Entry { waiting, id, _system: core::marker::PhantomData }
    }

    fn register(&self, waker: &Waker) {
        self.change(|wakers, id| {
            wakers.retain(|(other, _)| *other != id);
            wakers.push((id, waker.clone()));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vec<(u64, Waker)>, u64)) {
        quietly::<S, _>(|| change(&mut self.waiting.lock().wakers, self.id));
    }
}

impl<S: System> Drop for Entry<'_, S> {
    fn drop(&mut self) {
        self.change(|wakers, id| wakers.retain(|(other, _)| *other != id));
    }
}
