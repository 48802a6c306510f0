//! Time as the stack sees it: an argument, never a clock that it reads.

use core::{
    ops::{Add, Div, Mul, Sub},
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
        self.since(earlier).into()
    }

    pub(crate) const fn since(self, earlier: Instant) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in microseconds: what every segment's timers compute with. A `Duration` keeps
/// seconds and nanoseconds apart, which each sum and comparison pays for.
///
/// It saturates at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Span(u64);

impl Span {
    pub(crate) const ZERO: Span = Span(0);
    pub(crate) const MAX: Span = Span(u64::MAX);

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Span(millis * 1000)
    }

    pub(crate) const fn from_secs(secs: u64) -> Self {
        Span(secs * 1_000_000)
    }

    pub(crate) const fn millis(self) -> u64 {
        self.0 / 1000
    }

    pub(crate) const fn abs_diff(self, other: Span) -> Span {
        Span(self.0.abs_diff(other.0))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        // `as_micros` computes with 128 bits.
        let seconds = duration.as_secs().saturating_mul(1_000_000);
        Span(seconds.saturating_add(duration.subsec_micros().into()))
    }
}

impl From<Span> for Duration {
    /// For ever stays for ever.
    fn from(span: Span) -> Self {
        if span == Span::MAX { Duration::MAX } else { Duration::from_micros(span.0) }
    }
}

impl Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Mul<u64> for Span {
    type Output = Span;

    fn mul(self, times: u64) -> Span {
        Span(self.0.saturating_mul(times))
    }
}

impl Div<u64> for Span {
    type Output = Span;

    fn div(self, parts: u64) -> Span {
        Span(self.0 / parts)
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
        self + Span::from(duration)
    }
}

impl Add<Span> for Instant {
    type Output = Instant;

    fn add(self, span: Span) -> Instant {
        Instant(self.0.saturating_add(span.0))
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

    #[test]
    fn spans_saturate_and_for_ever_stays_for_ever() {
        assert_eq!(Duration::from(Span::from(Duration::MAX)), Duration::MAX);
        assert_eq!(Duration::from(Span::from_millis(1500)), Duration::from_millis(1500));
        assert_eq!(Span::MAX + Span::from_secs(1), Span::MAX);
        assert_eq!(Span::MAX * 2, Span::MAX);
        assert_eq!(Instant::from_micros(5) + Span::MAX, Instant::from_micros(u64::MAX));
    }
}
