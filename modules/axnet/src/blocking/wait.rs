//! A call that would block becomes one that waits.

use alloc::collections::BTreeMap;
use core::{
    fmt,
    future::poll_fn,
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::{Poll, Waker},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netstack::{Instant, Registration};
use spin::Mutex;

use super::{ADDRESS_PATIENCE, System, quietly};

/// A deadline has come.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use world::Host;
/// # use core::time::Duration;
/// use axnet::blocking::{Expired, System};
///
/// let deadline = Host::now() + Duration::from_secs(5);
/// let waited = Host::block_on(std::future::pending::<()>(), Some(deadline));
/// assert_eq!((waited, Host::now()), (Err(Expired), deadline));
/// ```
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
    let mut place = Place::new(
        |waker: &Waker| Some(quietly::<S, _>(|| stack.register_config(waker))),
        |registration| quietly::<S, _>(|| stack.deregister_config(registration)),
    );
    let configured = poll_fn(|cx| {
        // Registered first, so that no change is missed in between.
        place.register(cx.waker());
        match is_configured() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    // The call fails by itself, with the error that says why.
    let _ = S::block_on(configured, Some(deadline));
    Ok(())
}

/// Gives a socket that has a [`Patience`] its options as methods. For their examples: the call that
/// makes `socket` ready to wait, and one that waits.
macro_rules! patience_options {
    ($socket:ident, $ready:literal, $waits:literal) => {
        /// How calls wait.
        impl<S: System> $socket<S> {
            /// Whether it is non-blocking.
            #[doc = example!($socket, "assert!(!socket.is_nonblocking());\n")]
            pub fn is_nonblocking(&self) -> bool {
                self.patience.is_nonblocking()
            }

            /// Has every call fail with `WouldBlock` that would wait.
            #[doc = example!(
                $socket, $ready, "socket.set_nonblocking(true);\n",
                "assert_eq!(", $waits, ".unwrap_err(), AxError::WouldBlock);\n"
            )]
            pub fn set_nonblocking(&self, nonblocking: bool) {
                self.patience.set_nonblocking(nonblocking);
            }

            /// How long calls wait that receive or accept; `None` is for ever.
            #[doc = example!($socket, "assert_eq!(socket.read_timeout(), None);\n")]
            pub fn read_timeout(&self) -> Option<Duration> {
                self.patience.read_timeout()
            }

            /// Sets it.
            #[doc = example!(
                $socket, $ready, "socket.set_read_timeout(Some(Duration::from_secs(5)))?;\n",
                "assert_eq!(", $waits, ".unwrap_err(), AxError::TimedOut);\n"
            )]
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> AxResult {
                self.patience.set_read_timeout(timeout)
            }

            /// How long calls wait that send or connect; `None` is for ever, or as long as TCP
            /// tries.
            #[doc = example!($socket, "assert_eq!(socket.write_timeout(), None);\n")]
            pub fn write_timeout(&self) -> Option<Duration> {
                self.patience.write_timeout()
            }

            /// Sets it.
            #[doc = example!(
                $socket, "socket.set_write_timeout(Some(Duration::from_secs(5)))?;\n",
                "assert_eq!(socket.write_timeout(), Some(Duration::from_secs(5)));\n",
                "let never = socket.set_write_timeout(Some(Duration::ZERO));\n",
                "assert_eq!(never, Err(AxError::InvalidInput));\n"
            )]
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> AxResult {
                self.patience.set_write_timeout(timeout)
            }
        }
    };
}

/// What an example of an option has around it.
macro_rules! example {
    ($socket:ident, $($line:expr),*) => {
        concat!(
            "\n```\n# mod world { include!(concat!(env!(\"CARGO_MANIFEST_DIR\"), ",
            "\"/tests/world/example.rs\")); }\n",
            "# use core::time::Duration;\n# use axerrno::AxError;\n",
            "# use world::", stringify!($socket), ";\n# let socket = ", stringify!($socket),
            "::new();\n", $($line,)* "# axerrno::AxResult::Ok(())\n```"
        )
    };
}

pub(super) use {example, patience_options};

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
    /// In the order in which they came.
    wakers: BTreeMap<u64, Waker>,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Patience {
            nonblocking: AtomicBool::new(false),
            read_timeout: AtomicU64::new(0),
            write_timeout: AtomicU64::new(0),
            waiting: Mutex::new(Waiting { next_id: 0, wakers: BTreeMap::new() }),
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
    /// what `register` has been told to wake is woken, or the socket is closed. Nothing of it is left
    /// at the end: `deregister` gets what `register` has made, if anything.
    ///
    /// # Errors
    /// Those of `attempt`; `TimedOut` after `timeout`.
    pub(super) fn wait<S: System, T>(
        &self,
        timeout: Option<Duration>,
        mut attempt: impl FnMut() -> AxResult<T>,
        register: impl Fn(&Waker) -> Option<Registration>,
        deregister: impl Fn(Registration),
    ) -> AxResult<T> {
        let result = attempt();
        if !matches!(result, Err(AxError::WouldBlock)) || self.is_nonblocking() {
            return result;
        }
        let deadline = timeout.map(|timeout| S::now() + timeout);
        let entry = Entry::<S>::new(&self.waiting);
        let mut place = Place::new(register, deregister);
        let done = poll_fn(|cx| {
            entry.register(cx.waker());
            place.register(cx.waker());
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
        woken.into_values().for_each(Waker::wake);
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

/// One task's place among those that a socket of the stack wakes; given up when the call ends.
pub(super) struct Place<R, D: Fn(Registration)> {
    register: R,
    deregister: D,
    /// With the waker, so that the stack never has the last one: this one is dropped without a lock.
    held: Option<(Registration, Waker)>,
}

impl<R: Fn(&Waker) -> Option<Registration>, D: Fn(Registration)> Place<R, D> {
    pub(super) fn new(register: R, deregister: D) -> Self {
        Place { register, deregister, held: None }
    }

    pub(super) fn register(&mut self, waker: &Waker) {
        self.give_up();
        self.held = (self.register)(waker).map(|registration| (registration, waker.clone()));
    }
}

impl<R, D: Fn(Registration)> Place<R, D> {
    fn give_up(&mut self) {
        if let Some((registration, _waker)) = self.held.take() {
            (self.deregister)(registration);
        }
    }
}

impl<R, D: Fn(Registration)> Drop for Place<R, D> {
    fn drop(&mut self) {
        self.give_up();
    }
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
        let old = quietly::<S, _>(|| self.waiting.lock().wakers.insert(self.id, waker.clone()));
        // Only now: it may hold the last reference to a task.
        drop(old);
    }
}

impl<S: System> Drop for Entry<'_, S> {
    fn drop(&mut self) {
        let waker = quietly::<S, _>(|| self.waiting.lock().wakers.remove(&self.id));
        // As above.
        drop(waker);
    }
}
