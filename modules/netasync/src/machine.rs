//! What the runtime needs of the machine it runs on.

use core::time::Duration;

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
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// /// Microseconds since `start`, which a host's clock can tell.
    /// fn now(start: Instant) -> netstack::Instant {
    ///     netstack::Instant::from_micros(start.elapsed().as_micros() as u64)
    /// }
    /// let start = Instant::now();
    /// assert!(now(start) <= now(start));
    /// ```
    fn now(&self) -> Instant;

    /// Sleeps until `deadline`, until an interrupt, or for ever if neither comes. May return early.
    ///
    /// Returns at once if `ready()` says so or an interrupt has come since the last sleep. No
    /// interrupt may be lost between that check and the sleep.
    ///
    /// ```
    /// use std::thread::park_timeout;
    /// # use netasync::Machine;
    /// # use netstack::Instant;
    /// /// On a host, an interrupt is a thread that unparks this one.
    /// fn sleep(machine: &impl Machine, deadline: Option<Instant>, ready: &dyn Fn() -> bool) {
    ///     match deadline {
    ///         _ if ready() => {}
    ///         Some(deadline) => park_timeout(deadline.saturating_since(machine.now())),
    ///         None => std::thread::park(),
    ///     }
    /// }
    /// ```
    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool);

    /// How long a runner may look for work at most before it sleeps, while work comes that soon. It
    /// should be about what a sleep and its end take. Zero, the default, is for machines on which
    /// others want to run meanwhile.
    ///
    /// ```
    /// /// Whether it saves the time of a sleep, at the cost of the CPU's.
    /// fn is_eager(machine: &impl netasync::Machine) -> bool {
    ///     !machine.polling_window().is_zero()
    /// }
    /// ```
    fn polling_window(&self) -> Duration {
        Duration::ZERO
    }
}
