//! What tasks share: the stack, the ready queue, the timers, the machine.

use alloc::{boxed::Box, sync::Arc};
use core::fmt;

use netstack::{Instant, Stack};

use crate::{
    executor::ReadyQueue,
    machine::Machine,
    random::Random,
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
    /// # Panics
    /// Outside of a runtime, as tokio's does.
    pub fn current() -> Handle {
        current().expect("called outside of a runtime: sockets, timers and spawn need one")
    }

    /// The network stack.
    pub fn stack(&self) -> &Stack {
        &self.0.stack
    }

    /// The time now, by the machine's clock.
    pub fn now(&self) -> Instant {
        self.0.machine.now()
    }

    /// Makes this the current runtime until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered {
        Entered(replace_current(Some(self.clone())))
    }
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
