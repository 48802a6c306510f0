//! Time as the stack sees it: an argument, never a clock that it reads.

use core::{
    ops::{Add, Sub},
    time::Duration,
};

/// A point in time in microseconds since an arbitrary start, usually the boot.
///
/// ```
/// use core::time::Duration;
/// use netstack::Instant;
///
/// let now = Instant::from_micros(5);
/// assert_eq!(now + Duration::from_secs(1), Instant::from_micros(1_000_005));
/// assert_eq!(Instant::ZERO - now, Duration::ZERO, "it saturates");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start of time.
    pub const ZERO: Instant = Instant(0);

    /// The point `micros` microseconds after the start.
    ///
    /// ```
    /// assert_eq!(netstack::Instant::from_micros(0), netstack::Instant::ZERO);
    /// ```
    pub const fn from_micros(micros: u64) -> Self {
        Instant(micros)
    }

    /// Microseconds since the start.
    ///
    /// ```
    /// assert_eq!(netstack::Instant::from_micros(5).micros(), 5);
    /// ```
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The next multiple of 10 ms. Thousands of deadlines that need not be exact then end a sleep a
    /// hundred times per second at most.
    pub(crate) const fn rounded_up(self) -> Instant {
        const STEP_MICROS: u64 = 10_000;
        Instant(self.0.div_ceil(STEP_MICROS).saturating_mul(STEP_MICROS))
    }

    /// The time that passed since `earlier`; zero if that lies ahead.
    ///
    /// ```
    /// use netstack::Instant;
    ///
    /// let (begun, now) = (Instant::from_micros(5), Instant::from_micros(12));
    /// assert_eq!(now.saturating_since(begun).as_micros(), 7);
    /// assert!(begun.saturating_since(now).is_zero());
    /// ```
    pub fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The earlier of two deadlines, each of which may never come.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates at the end of time, so that `now + Duration::MAX` means never.
    fn add(self, duration: Duration) -> Instant {
        // `as_micros` computes with 128 bits, which every timer of every packet would pay for.
        let seconds = duration.as_secs().saturating_mul(1_000_000);
        let micros = seconds.saturating_add(duration.subsec_micros().into());
        Instant(self.0.saturating_add(micros))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_forever_saturates() {
        assert_eq!(Instant::from_micros(5) + Duration::MAX, Instant::from_micros(u64::MAX));
        assert_eq!(Instant::ZERO - Instant::from_micros(5), Duration::ZERO);
        assert_eq!(Instant::from_micros(10_001).rounded_up(), Instant::from_micros(20_000));
        assert_eq!(Instant::from_micros(20_000).rounded_up(), Instant::from_micros(20_000));
    }
}
