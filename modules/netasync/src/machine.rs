//! What the runtime needs of the machine it runs on.

use netstack::Instant;

/// A clock, and a way to sleep until something happens. Platforms implement it.
///
/// ```no_run
/// use netasync::Machine;
/// use netstack::Instant;
///
/// /// A machine of a test, which only waits for time to pass.
/// struct Host(std::time::Instant);
///
/// impl Machine for Host {
///     fn now(&self) -> Instant {
///         Instant::from_micros(self.0.elapsed().as_micros() as u64)
///     }
///
///     fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool) {
///         if let Some(deadline) = deadline
///             && !ready()
///         {
///             std::thread::sleep(deadline.saturating_since(self.now()));
///         }
///     }
/// }
/// ```
pub trait Machine: Send + Sync + 'static {
    /// The time since an arbitrary start. Never runs backwards.
    fn now(&self) -> Instant;

    /// Sleeps until `deadline`, until an interrupt, or for ever if neither comes. May return early.
    ///
    /// Returns at once if `ready()` says so or an interrupt has come since the last sleep. No
    /// interrupt may be lost between that check and the sleep.
    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool);
}
