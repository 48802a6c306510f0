//! The network card's interrupts: a flag each, and the end of a halt.
//!
//! The handlers do no work. Whoever sleeps wakes up, takes the flag and polls the card.

use core::sync::atomic::{AtomicBool, Ordering};

static PENDING: AtomicBool = AtomicBool::new(false);

/// Whether the card has said that its configuration is another one; cleared by its driver.
pub(crate) static HAS_CONFIG_CHANGED: AtomicBool = AtomicBool::new(false);

/// Installs the handler of the card's queues on an interrupt vector. False if the vector is taken.
pub(crate) fn register(vector: u8) -> bool {
    axhal::irq::register(vector.into(), on_interrupt)
}

/// The same for changes of its configuration.
pub(crate) fn register_config(vector: u8) -> bool {
    axhal::irq::register(vector.into(), on_config_interrupt)
}

fn on_config_interrupt() {
    HAS_CONFIG_CHANGED.store(true, Ordering::Release);
    on_interrupt();
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
