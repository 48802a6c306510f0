//! What stands at the start of each datagram, and what it tells the receiver: how many are lost,
//! and how much the time on the way varies.

use core::time::Duration;

/// With a long counter.
pub(crate) const HEADER_LEN_MAX: usize = 16;

/// The start of a datagram: seconds, microseconds, and its number, of four bytes or of eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// By the sender's clock, which need not be ours.
    pub(crate) sent: Duration,
    /// Counted from one.
    pub(crate) number: u64,
}

impl Header {
    /// `None` if the datagram is too short.
    pub(crate) fn parse(datagram: &[u8], is_long: bool) -> Option<Header> {
        let field = |at| Some(u32::from_be_bytes(datagram.get(at..at + 4)?.try_into().ok()?));
        let sent = Duration::from_secs(field(0)?.into());
        let sent = sent + Duration::from_micros(field(4)?.into());
        let number = match is_long {
            true => u64::from(field(8)?) << 32 | u64::from(field(12)?),
            false => field(8)?.into(),
        };
        Some(Header { sent, number })
    }

    /// Writes itself at the start of a datagram, which must have [`HEADER_LEN_MAX`] bytes.
    pub(crate) fn write(&self, datagram: &mut [u8], is_long: bool) {
        datagram[..4].copy_from_slice(&(self.sent.as_secs() as u32).to_be_bytes());
        datagram[4..8].copy_from_slice(&self.sent.subsec_micros().to_be_bytes());
        match is_long {
            true => datagram[8..16].copy_from_slice(&self.number.to_be_bytes()),
            false => datagram[8..12].copy_from_slice(&(self.number as u32).to_be_bytes()),
        }
    }
}

/// What a receiver concludes from headers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reception {
    /// The highest number: so many the peer has sent at least.
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    /// Of these, the ones in the time that does not count.
    pub(crate) omitted_packets: u64,
    pub(crate) omitted_lost: u64,
    jitter_us: f64,
    /// The time that the last datagram was on its way, and a constant.
    transit_us: Option<i64>,
}

impl Reception {
    /// A datagram has come; `now` may be counted from anywhere.
    pub(crate) fn take(&mut self, header: Header, now: Duration) {
        match header.number.checked_sub(self.packets) {
            // It was thought to be lost, or it has come before.
            None | Some(0) => self.lost = self.lost.saturating_sub(1),
            Some(step) => {
                self.lost = self.lost.saturating_add(step - 1);
                self.packets = header.number;
            }
        }
        let transit_us = now.as_micros() as i64 - header.sent.as_micros() as i64;
        let last_us = self.transit_us.replace(transit_us).unwrap_or(transit_us);
        // RFC 1889 section A.8.
        let change_us = transit_us.abs_diff(last_us) as f64;
        self.jitter_us += (change_us - self.jitter_us) / 16.0;
    }

    /// Nothing until now counts.
    pub(crate) fn omit(&mut self) {
        (self.omitted_packets, self.omitted_lost) = (self.packets, self.lost);
        self.jitter_us = 0.0;
    }

    /// In seconds.
    pub(crate) fn jitter(&self) -> f64 {
        self.jitter_us / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, HEADER_LEN_MAX, Header, Reception};

    fn received(numbers: &[u64]) -> (u64, u64) {
        let mut reception = Reception::default();
        for number in numbers {
            reception.take(Header { sent: Duration::ZERO, number: *number }, Duration::ZERO);
        }
        (reception.packets, reception.lost)
    }

    #[test]
    fn headers_are_written_and_read() {
        let header = Header { sent: Duration::new(0x0102_0304, 7000), number: 0x0506_0708 };
        let mut bytes = [0xaa; HEADER_LEN_MAX];
        header.write(&mut bytes, false);
        assert_eq!(bytes, [1, 2, 3, 4, 0, 0, 0, 7, 5, 6, 7, 8, 0xaa, 0xaa, 0xaa, 0xaa]);
        assert_eq!(Header::parse(&bytes, false), Some(header));
        assert_eq!(Header::parse(&bytes[..11], false), None);
        header.write(&mut bytes, true);
        assert_eq!(bytes[8..], [0, 0, 0, 0, 5, 6, 7, 8]);
        assert_eq!(Header::parse(&bytes, true), Some(header));
        assert_eq!(Header::parse(&bytes[..15], true), None);
    }

    #[test]
    fn gaps_are_losses_until_they_are_filled() {
        assert_eq!(received(&[1, 2, 3]), (3, 0));
        assert_eq!(received(&[3]), (3, 2));
        assert_eq!(received(&[1, 4, 3]), (4, 1));
        assert_eq!(received(&[2, 1, 3, 3]), (3, 0));
        assert_eq!(received(&[0]), (0, 0));
    }

    #[test]
    fn any_header_is_harmless() {
        let mut reception = Reception::default();
        for byte in [0xff, 0, 0x80, 0xff] {
            let header = Header::parse(&[byte; 16], true).expect("long enough");
            reception.take(header, Duration::from_secs(1));
        }
        assert_eq!((reception.packets, reception.lost), (u64::MAX, u64::MAX - 4));
        assert!(reception.jitter().is_finite());
    }

    #[test]
    fn jitter_is_the_mean_change_of_the_time_on_the_way() {
        let mut reception = Reception::default();
        let mut take = |sent_us, now_us, number| {
            let header = Header { sent: Duration::from_micros(sent_us), number };
            reception.take(header, Duration::from_micros(now_us));
            reception.jitter()
        };
        // The clocks differ by five seconds.
        assert_eq!(take(5_000_000, 100, 1), 0.0);
        assert_eq!(take(5_001_000, 1100, 2), 0.0);
        assert_eq!(take(5_002_000, 2260, 3), 160e-6 / 16.0);
        assert_eq!(take(5_003_000, 3100, 4), (10.0 + (160.0 - 10.0) / 16.0) / 1e6);
    }

    #[test]
    fn the_omitted_time_is_set_apart() {
        let mut reception = Reception::default();
        for number in [2, 4] {
            let sent = Duration::from_secs(number);
            reception.take(Header { sent, number }, Duration::ZERO);
        }
        reception.omit();
        assert_eq!((reception.omitted_packets, reception.omitted_lost), (4, 2));
        assert_eq!(reception.jitter(), 0.0);
    }
}
