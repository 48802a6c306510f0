//! What the runtime needs of the machine it runs on.

use netstack::Instant;

/// A clock, and a way to sleep until something happens. Platforms implement it.
pub trait Machine: Send + Sync + 'static {
    /// The time since an arbitrary start. Never runs backwards.
    fn now(&self) -> Instant;

    /// Sleeps until `deadline`, until an interrupt, or for ever if neither comes. May return early.
    ///
    /// Returns at once if `ready()` says so or an interrupt has come since the last sleep. No
    /// interrupt may be lost between that check and the sleep.
    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool);
}
