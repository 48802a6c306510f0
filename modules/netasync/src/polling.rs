//! Whether to look for work a little longer before going to sleep.
//!
//! A sleep and its end cost more than many a gap between two packets, so a runner that has had
//! something to do looks on for a short while. That is worth it only while work comes that soon,
//! which it learns by doing it: gaps that it sleeps through are longer than they need be, because
//! everybody else goes to sleep meanwhile, and would say that looking is of no use. So it tries, for
//! a few gaps, again and again, and goes on for as long as most of them are short.

use core::{mem, time::Duration};

use netstack::Instant;

/// The weight of the latest gap among all: an eighth.
const WEIGHT: u32 = 8;
/// The share of short gaps, out of [`SHARE_MAX`], below which it stops: half. From the first gap on,
/// six long ones in a row are enough.
const SHARE_OFF: u32 = SHARE_MAX / 2;
const SHARE_MAX: u32 = 1 << 16;
/// Sleeps before it tries again after it has stopped. Each time that it soon stops again, they are
/// doubled, so that trying costs little; not without end, because what was slow for a second is not
/// slow for ever.
const SLEEPS_MIN: u32 = 16;
const SLEEPS_MAX: u32 = 512;
/// Gaps that it must have looked through before a stop counts as the first one.
const PROVEN: u32 = 64;

#[derive(Debug)]
pub(crate) struct Polling {
    /// How long it looks; zero is never.
    window: Duration,
    is_looking: bool,
    /// The share of gaps that were short.
    share: u32,
    /// Since when there has been nothing to do.
    idle_since: Option<Instant>,
    has_slept: bool,
    /// Sleeps left before it tries again, and how many there are next time.
    held_off: u32,
    sleeps: u32,
    /// Gaps since it has begun to look.
    gaps: u32,
}

impl Polling {
    pub(crate) fn new(window: Duration) -> Self {
        Polling {
            window,
            is_looking: false,
            share: 0,
            idle_since: None,
            has_slept: false,
            held_off: SLEEPS_MIN,
            sleeps: SLEEPS_MIN,
            gaps: 0,
        }
    }

    /// There was something to do. A gap was short if it has ended without a sleep.
    pub(crate) fn active(&mut self) {
        if self.idle_since.take().is_none() {
            return;
        }
        let was_short = !mem::take(&mut self.has_slept);
        if self.is_looking {
            self.learn(was_short);
        } else if self.held_off == 0 {
            (self.is_looking, self.share, self.gaps) = (true, SHARE_MAX, 0);
        }
    }

    /// There was nothing to do. Returns whether to look again, instead of sleeping.
    pub(crate) fn goes_on(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.window.is_zero() {
            return false;
        }
        let now = now();
        let since = *self.idle_since.get_or_insert(now);
        let goes_on = self.is_looking && !self.has_slept && now - since < self.window;
        if !goes_on {
            self.has_slept = true;
            self.held_off = self.held_off.saturating_sub(1);
        }
        goes_on
    }

    fn learn(&mut self, was_short: bool) {
        let target = if was_short { SHARE_MAX } else { 0 };
        self.share = (self.share * (WEIGHT - 1) + target) / WEIGHT;
        self.gaps += 1;
        if self.share < SHARE_OFF {
            if self.gaps > PROVEN {
                self.sleeps = SLEEPS_MIN;
            }
            self.is_looking = false;
            self.held_off = self.sleeps;
            self.sleeps = (self.sleeps * 2).min(SLEEPS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(50);

    /// Idles for `gap`, looking every 10 us. Returns how long it looked before it slept.
    fn idle(polling: &mut Polling, clock: &mut u64, gap: u64) -> u64 {
        let (start, end) = (*clock, *clock + gap);
        while polling.goes_on(|| Instant::from_micros(*clock)) && *clock < end {
            *clock += 10;
        }
        let looked = (*clock - start).min(gap);
        *clock = end;
        polling.active();
        looked
    }

    #[test]
    fn short_gaps_are_looked_through() {
        let (mut polling, mut clock) = (Polling::new(WINDOW), 0);
        assert_eq!(idle(&mut polling, &mut clock, 30), 0, "nothing is known yet");
        for _ in 0..20 {
            idle(&mut polling, &mut clock, 30);
        }
        assert_eq!(idle(&mut polling, &mut clock, 30), 30);
        assert_eq!(idle(&mut polling, &mut clock, 10_000), 50, "no longer than the window");
    }

    /// How much of the time it looks while gaps repeat themselves.
    fn share_of_looking(gaps: &[u64]) -> f64 {
        const ROUNDS: u64 = 3000;
        let (mut polling, mut clock) = (Polling::new(WINDOW), 0);
        let mut round = || gaps.iter().map(|gap| idle(&mut polling, &mut clock, *gap)).sum::<u64>();
        let looked: u64 = (0..ROUNDS).map(|_| round()).sum();
        looked as f64 / (ROUNDS * gaps.iter().sum::<u64>()) as f64
    }

    #[test]
    fn long_gaps_are_slept_through() {
        let share = share_of_looking(&[51]);
        assert!(share < 0.02, "{share} of gaps that are hardly too long");
        assert!(share_of_looking(&[1000]) < 0.002);
    }

    /// One short gap among three is not worth the looking, two among three are.
    #[test]
    fn most_gaps_must_be_short() {
        let share = share_of_looking(&[30, 700, 2000]);
        assert!(share < 0.002, "{share}");
        let share = share_of_looking(&[30, 30, 60]);
        assert!(share > 0.9, "{share}");
    }

    /// Idles until a peer answers that does it in 30 us, or, once everybody has slept, in far more.
    fn idle_together(polling: &mut Polling, clock: &mut u64) -> bool {
        let is_looking = polling.is_looking;
        idle(polling, clock, if is_looking { 30 } else { 5000 });
        is_looking
    }

    #[test]
    fn gaps_are_not_taken_for_long_because_of_the_sleeps_in_them() {
        let (mut polling, mut clock) = (Polling::new(WINDOW), 0);
        let slept = (0..100).take_while(|_| !idle_together(&mut polling, &mut clock)).count();
        assert!(slept < 20, "{slept} sleeps until it looked");
        assert!((0..100).all(|_| idle_together(&mut polling, &mut clock)));
    }

    /// Looking was of no use for a long time, and then it is.
    #[test]
    fn a_bad_time_is_forgotten() {
        let (mut polling, mut clock) = (Polling::new(WINDOW), 0);
        for _ in 0..100_000 {
            idle(&mut polling, &mut clock, 400);
        }
        let slept = (0..1000).take_while(|_| !idle_together(&mut polling, &mut clock)).count();
        assert!(slept <= 520, "{slept} sleeps until it looked");
        assert!((0..100).all(|_| idle_together(&mut polling, &mut clock)));
    }

    /// Bursts of short gaps, each too short to be of use: it tries less and less often.
    #[test]
    fn what_disappoints_is_tried_less_and_less() {
        let (mut polling, mut clock) = (Polling::new(WINDOW), 0);
        let mut burst = |polling: &mut Polling| -> u64 {
            let short: u64 = (0..12).map(|_| idle(polling, &mut clock, 30)).sum();
            short + (0..12).map(|_| idle(polling, &mut clock, 1000)).sum::<u64>()
        };
        let early = (0..50).filter(|_| burst(&mut polling) > 0).count();
        let late = (0..50).filter(|_| burst(&mut polling) > 0).count();
        assert!(early > 0 && late < early, "{early} early, {late} late");
    }

    #[test]
    fn without_a_window_there_is_no_looking() {
        let (mut polling, mut clock) = (Polling::new(Duration::ZERO), 0);
        assert!((0..100).all(|_| idle(&mut polling, &mut clock, 1) == 0));
    }
}
