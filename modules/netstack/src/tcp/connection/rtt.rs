//! Round-trip times and the retransmission timeout (RFC 6298).

use crate::{tcp::segment::Block, time::Span};

/// Before the first sample (RFC 6298 section 2.1).
const RTO_INITIAL: Span = Span::from_secs(1);
/// After a SYN had to be repeated (RFC 6298 section 5.7).
const RTO_AFTER_SYN_LOSS: Span = Span::from_secs(3);
/// The floor: RFC 6298 asks for a second; Linux has shown for twenty years that 200 ms, more than any
/// peer delays its acknowledgements, does no harm.
const RTO_MIN: Span = Span::from_millis(200);
/// The ceiling, also of the backed-off timeout (RFC 6298 section 2.5).
const RTO_MAX: Span = Span::from_secs(60);
/// The longest that is learned from a report of a duplicate: beyond it the path was not long, but down.
const DOUBT_MAX: Span = Span::from_secs(3);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rtt {
    /// Smoothed, once there was a sample.
    smoothed: Option<Span>,
    variation: Span,
    min: Span,
    rto: Span,
    /// How often the timeout has been doubled.
    backoff: u8,
    /// What was sent more than once and acknowledged, and how long after it was sent first.
    doubt: Option<(Block, Span)>,
}

impl Rtt {
    pub(crate) fn new() -> Self {
        Rtt {
            smoothed: None,
            variation: Span::ZERO,
            min: Span::MAX,
            rto: RTO_INITIAL,
            backoff: 0,
            doubt: None,
        }
    }

    /// A measurement of a segment that was sent once (RFC 6298 section 3), which ends the doubling of
    /// the timeout (section 5): a path that has become longer than it would never be measured if what
    /// was sent twice ended it.
    pub(crate) fn sample(&mut self, rtt: Span) {
        self.backoff = 0;
        self.doubt = None;
        self.min = self.min.min(rtt);
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variation = rtt / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
        let rto = self.smoothed.unwrap_or(rtt) + self.variation * 4;
        self.rto = rto.clamp(RTO_MIN, RTO_MAX);
    }

    /// `range` was acknowledged `elapsed` after it was sent first, and had been sent again since. That
    /// it had been lost is likely, until the peer says otherwise.
    pub(crate) fn doubt(&mut self, range: Block, elapsed: Span) {
        self.backoff = 0;
        self.doubt = (elapsed <= DOUBT_MAX).then_some((range, elapsed));
    }

    /// The peer has received a range twice (RFC 2883), so that it acknowledged the first transmission.
    pub(crate) fn resolve(&mut self, (start, end): Block) {
        let is_it = |doubt: &mut (Block, Span)| start < doubt.0.1 && doubt.0.0 < end;
        if let Some((_, elapsed)) = self.doubt.take_if(is_it) {
            self.sample(elapsed);
        }
    }

    /// The SYN went unanswered at least once.
    pub(crate) fn syn_was_lost(&mut self) {
        self.backoff = 0;
        self.rto = RTO_AFTER_SYN_LOSS;
    }

    pub(crate) fn smoothed(&self) -> Option<Span> {
        self.smoothed
    }

    pub(crate) fn variation(&self) -> Span {
        self.variation
    }

    /// The shortest measured; `None` before the first sample.
    pub(crate) fn min(&self) -> Option<Span> {
        self.smoothed.map(|_| self.min)
    }

    /// The timeout, doubled for each time that it has run out since the last sample.
    pub(crate) fn rto(&self) -> Span {
        (self.rto * (1 << self.backoff)).min(RTO_MAX)
    }

    pub(crate) fn back_off(&mut self) {
        // Beyond that the ceiling holds anyway.
        self.backoff = (self.backoff + 1).min(10);
    }

    pub(crate) fn progress(&mut self) {
        self.backoff = 0;
    }

    pub(crate) fn has_backed_off(&self) -> bool {
        self.backoff > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Span = Span::from_millis(1);

    #[test]
    fn the_timeout_follows_the_rfc() {
        let mut rtt = Rtt::new();
        assert_eq!(rtt.rto(), RTO_INITIAL);
        rtt.sample(MS * 100);
        assert_eq!(rtt.rto(), MS * 300);
        rtt.sample(MS * 100);
        assert_eq!((rtt.variation(), rtt.rto()), (MS * 37_500 / 1000, MS * 250));
        rtt.sample(MS * 20);
        assert_eq!((rtt.smoothed(), rtt.min()), (Some(MS * 90), Some(MS * 20)));
    }

    #[test]
    fn floor_backoff_and_ceiling() {
        let mut rtt = Rtt::new();
        rtt.sample(MS);
        assert_eq!(rtt.rto(), RTO_MIN);
        rtt.back_off();
        assert_eq!(rtt.rto(), RTO_MIN * 2);
        (0..300).for_each(|_| rtt.back_off());
        assert_eq!(rtt.rto(), RTO_MAX);
        rtt.progress();
        assert_eq!(rtt.rto(), RTO_MIN);
    }
}
