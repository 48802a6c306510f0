//! A clock that only moves when it is told to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use netasync::Machine;
use netstack::Instant;

/// Virtual time. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// Moves on to `to`; never back.
    pub fn advance(&self, to: Instant) {
        self.0.fetch_max(to.micros(), Ordering::Relaxed);
    }
}

impl Machine for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// A network turns its runners one by one; none may sleep by itself.
    fn sleep(&self, _deadline: Option<Instant>, _ready: &dyn Fn() -> bool) {
        panic!("a simulated host is turned by its network and never sleeps");
    }
}
