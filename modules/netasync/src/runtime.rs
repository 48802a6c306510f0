//! What tasks share: the stack, the ready queue, the timers, the machine.

use alloc::{boxed::Box, sync::Arc};
use core::fmt;

use netstack::{ConnectError, Instant, Stack};

use crate::{
    executor::ReadyQueue,
    machine::Machine,
    random::Random,
    reactor::{Source, ready_io},
    sync::{current, replace_current},
    timer::Timers,
};

pub(crate) struct Shared {
    pub(crate) stack: Stack,
    pub(crate) ready: ReadyQueue,
    pub(crate) timers: Timers,
    pub(crate) machine: Box<dyn Machine>,
    pub(crate) random: Random,
}

/// A handle to a runtime. Clones name the same one.
///
/// ```no_run
/// # async fn example() {
/// let handle = netasync::Handle::current();
/// println!("{} frames sent by {:?}", handle.stack().stats().frames_sent, handle.now());
/// # }
/// ```
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Shared>);

impl Handle {
    /// The runtime that the calling task runs in.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let handle = Handle::current();
    /// let task = spawn(async move { handle.now() });
    /// assert!(task.await.is_ok());
    /// # Ok(()) });
    /// ```
    ///
    /// # Panics
    /// Outside of a runtime, as tokio's does.
    pub fn current() -> Handle {
        current().expect("called outside of a runtime: sockets, timers and spawn need one")
    }

    /// The network stack.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let address = Handle::current().stack().ipv4().expect("a static one");
    /// assert_eq!(address.prefix_len, 24);
    /// # Ok(()) });
    /// ```
    pub fn stack(&self) -> &Stack {
        &self.0.stack
    }

    /// The time now, by the machine's clock.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use core::time::Duration;
    /// let begun = Handle::current().now();
    /// sleep(Duration::from_secs(5)).await;
    /// assert_eq!(Handle::current().now() - begun, Duration::from_secs(5));
    /// # Ok(()) });
    /// ```
    pub fn now(&self) -> Instant {
        self.0.machine.now()
    }

    /// Makes this the current runtime until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered {
        Entered(replace_current(Some(self.clone())))
    }
}

/// Waits until the first interface has an IPv4 address.
///
/// ```no_run
/// # async fn example() {
/// netasync::has_address().await;
/// println!("{:?}", netasync::Handle::current().stack().ipv4());
/// # }
/// ```
///
/// # Panics
/// Outside of a runtime.
pub async fn has_address() {
    let stack = Handle::current().stack().clone();
    let look = || stack.ipv4().map(drop).ok_or(ConnectError::WouldBlock);
    // There is no other error than that one.
    let _ = ready_io(Source::Config(&stack), look).await;
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

pub(crate) struct Entered(Option<Handle>);

impl Drop for Entered {
    fn drop(&mut self) {
        replace_current(self.0.take());
    }
}
