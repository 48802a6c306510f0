//! The network card's interrupt: a flag, and the end of a halt.
//!
//! The handler does no work. Whoever sleeps wakes up, takes the flag and polls the card.

use core::sync::atomic::{AtomicBool, Ordering};

static PENDING: AtomicBool = AtomicBool::new(false);

/// Installs the handler on an interrupt vector. False if the vector is taken.
pub(crate) fn register(vector: u8) -> bool {
    axhal::irq::register(vector.into(), on_interrupt)
}

fn on_interrupt() {
    PENDING.store(true, Ordering::Release);
    #[cfg(feature = "smoltcp")]
    crate::dropin::poller::wake();
}

/// Whether the card has interrupted since [`take_interrupt`].
pub(crate) fn pending() -> bool {
    PENDING.load(Ordering::Acquire)
}

/// Like [`pending`], and clears the flag. Take it before polling the card, not after.
pub(crate) fn take_interrupt() -> bool {
    PENDING.swap(false, Ordering::AcqRel)
}
