//! How much may be sent, and when.

use core::{cell::Cell, time::Duration};

/// Who is ahead of the rate by less than this need not wait: a timer for each block would cost more
/// than the block. It is iperf3's own pacing timer.
const SLACK: Duration = Duration::from_millis(1);

/// A rate, kept on average from the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    bits_per_second: u64,
    start: Duration,
}

impl Pace {
    /// A rate of zero is none.
    pub(crate) fn new(bits_per_second: u64, start: Duration) -> Self {
        Pace { bits_per_second, start }
    }

    /// How long to wait before more is sent, when so many bytes have been.
    pub(crate) fn wait(&self, bytes: u64, now: Duration) -> Option<Duration> {
        let micros = u128::from(bytes) * 8_000_000;
        let due = micros.checked_div(self.bits_per_second.into())?;
        let due = self.start + Duration::from_micros(due.try_into().unwrap_or(u64::MAX));
        due.checked_sub(now).filter(|wait| *wait >= SLACK)
    }
}

/// What several streams may send together.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: Option<u64>,
    used: Cell<u64>,
}

impl Allowance {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Allowance { limit, used: Cell::new(0) }
    }

    /// Takes a whole block as long as there is something left; whether there was.
    pub(crate) fn take(&self, block_len: usize) -> bool {
        let used = self.used.get();
        let is_left = self.limit.is_none_or(|limit| used < limit);
        if is_left {
            self.used.set(used.saturating_add(block_len as u64));
        }
        is_left
    }

    /// Everything may be sent again.
    pub(crate) fn restore(&self) {
        self.used.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Duration, Pace};

    #[test]
    fn a_rate_is_kept_on_average() {
        let ms = Duration::from_millis;
        let pace = Pace::new(8_000_000, ms(100));
        // A kilobyte is a millisecond.
        assert_eq!(pace.wait(5000, ms(100)), Some(ms(5)));
        assert_eq!(pace.wait(5000, ms(103)), Some(ms(2)));
        assert_eq!(pace.wait(5000, Duration::from_micros(104_001)), None);
        assert_eq!(pace.wait(5000, ms(200)), None);
        assert_eq!(Pace::new(0, ms(0)).wait(u64::MAX, ms(0)), None);
        assert!(Pace::new(1, ms(0)).wait(u64::MAX, ms(0)) > Some(ms(1)));
    }

    #[test]
    fn an_allowance_is_used_up_by_whole_blocks() {
        let allowance = Allowance::new(Some(25));
        assert_eq!([10; 4].map(|len| allowance.take(len)), [true, true, true, false]);
        allowance.restore();
        assert!(allowance.take(30) && !allowance.take(1));
        assert!((0..100).all(|_| Allowance::new(None).take(usize::MAX)));
    }
}
