//! When a loss is an episode, and what may be sent during one (RFC 5681, RFC 6675, RFC 6937).

use super::cubic::Cubic;
use crate::{
    tcp::seq::Seq,
    time::{Instant, Span},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Losses are being repaired until everything before `end` has arrived.
    Recovery {
        end: Seq,
    },
    /// The timeout ran out: slow start, but no other decrease until `end` has arrived.
    Loss {
        end: Seq,
    },
}

/// Proportional rate reduction (RFC 6937): during recovery as much is sent as arrives, brought down
/// to the new window evenly.
#[derive(Debug, Clone, Copy, Default)]
struct Reduction {
    flight: u32,
    delivered: u32,
    sent: u32,
}

#[derive(Debug)]
pub(crate) struct Congestion {
    cubic: Cubic,
    phase: Phase,
    /// Where the last episode ended, until more has been acknowledged.
    last_end: Option<Seq>,
    reduction: Reduction,
    mss: u32,
}

impl Congestion {
    pub(crate) fn new(mss: u32) -> Self {
        let reduction = Reduction::default();
        Congestion { cubic: Cubic::new(mss), phase: Phase::Open, last_end: None, reduction, mss }
    }

    pub(crate) fn window(&self) -> u32 {
        self.cubic.window()
    }

    pub(crate) fn slow_start_threshold(&self) -> u32 {
        self.cubic.slow_start_threshold()
    }

    /// The segment size is known.
    pub(crate) fn begin(&mut self, mss: u32) {
        self.mss = mss;
        self.cubic.begin(mss);
    }

    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cubic.set_mss(mss);
    }

    /// Whether nothing has been lost lately.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether duplicates are about a new loss. Until more than the last episode has been
    /// acknowledged they may be of what was sent again in it (RFC 6582 section 3.2, step 2).
    pub(crate) fn believes_duplicates(&self) -> bool {
        self.is_open() && self.last_end.is_none()
    }

    pub(crate) fn is_in_recovery(&self) -> bool {
        matches!(self.phase, Phase::Recovery { .. })
    }

    /// Everything before `ack` has arrived: an episode may be over.
    pub(crate) fn advance(&mut self, ack: Seq) {
        self.last_end = self.last_end.filter(|end| ack <= *end);
        match self.phase {
            Phase::Recovery { end } if end <= ack => {
                self.cubic.set_window(self.cubic.slow_start_threshold());
                self.phase = Phase::Open;
            }
            Phase::Loss { end } if end <= ack => self.phase = Phase::Open,
            _ => {}
        }
    }

    /// Something was lost while up to `next` had been sent, `flight` of it outstanding.
    pub(crate) fn on_loss(&mut self, next: Seq, flight: u32) {
        if self.phase != Phase::Open {
            return;
        }
        self.cubic.on_loss();
        self.phase = Phase::Recovery { end: next };
        self.last_end = Some(next);
        self.reduction = Reduction { flight, ..Reduction::default() };
    }

    /// The timeout ran out while up to `next` had been sent.
    pub(crate) fn on_timeout(&mut self, next: Seq) {
        if self.phase == Phase::Open {
            self.cubic.on_loss();
        }
        self.cubic.on_timeout();
        self.phase = Phase::Loss { end: next };
        self.last_end = Some(next);
    }

    /// A probe repaired a loss that nobody would have noticed (RFC 8985 section 7.4): one decrease,
    /// and nothing to repair.
    pub(crate) fn on_repaired_loss(&mut self) {
        if self.phase == Phase::Open {
            self.cubic.on_loss();
            self.cubic.set_window(self.cubic.slow_start_threshold());
        }
    }

    /// `delivered` bytes have arrived, after which `flying` are thought to be in the network.
    pub(crate) fn on_delivered(&mut self, delivered: u32, flying: u32, advanced: bool) {
        if !self.is_in_recovery() {
            return;
        }
        let threshold = self.cubic.slow_start_threshold();
        let reduction = &mut self.reduction;
        reduction.delivered = reduction.delivered.saturating_add(delivered);
        let may_send = if flying > threshold {
            let share = u64::from(reduction.delivered) * u64::from(threshold);
            let share = share.div_ceil(u64::from(reduction.flight.max(1)));
            (share as u32).saturating_sub(reduction.sent)
        } else {
            let arrived = reduction.delivered.saturating_sub(reduction.sent).max(delivered);
            let bound = if advanced { arrived.saturating_add(self.mss) } else { arrived };
            bound.min(threshold - flying)
        };
        // The first repair goes out at once.
        let may_send = if reduction.sent == 0 { may_send.max(self.mss) } else { may_send };
        self.cubic.set_window(flying + may_send);
    }

    /// `acked` bytes arrived, and the window was what had held the sender back.
    pub(crate) fn grow(&mut self, acked: u32, rtt: Span, now: Instant) {
        if !self.is_in_recovery() {
            self.cubic.grow(acked, rtt, now);
        }
    }

    pub(crate) fn on_sent(&mut self, len: u32) {
        if self.is_in_recovery() {
            self.reduction.sent = self.reduction.sent.saturating_add(len);
        }
    }

    pub(crate) fn after_idle(&mut self) {
        self.cubic.after_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    /// RFC 6937 section 3.1: half of what arrives is sent, until the window has come down.
    #[test]
    fn the_window_comes_down_evenly() {
        let mut congestion = Congestion::new(MSS);
        congestion.grow(10 * MSS, Span::ZERO, Instant::ZERO);
        let mut flying = 20 * MSS;
        congestion.on_loss(Seq(20_000), flying);
        flying -= MSS;
        let mut sent = 0;
        for _ in 0..18 {
            flying -= MSS;
            congestion.on_delivered(MSS, flying, false);
            while flying + MSS <= congestion.window() {
                congestion.on_sent(MSS);
                flying += MSS;
                sent += 1;
            }
        }
        assert_eq!(congestion.slow_start_threshold(), 14 * MSS);
        assert!((12..=14).contains(&sent), "{sent}");
        congestion.advance(Seq(20_000));
        assert!(congestion.is_open());
        assert_eq!(congestion.window(), 14 * MSS);
    }

    #[test]
    fn one_decrease_per_episode() {
        let mut congestion = Congestion::new(MSS);
        congestion.on_loss(Seq(10), 10 * MSS);
        let threshold = congestion.slow_start_threshold();
        congestion.on_loss(Seq(20), 10 * MSS);
        congestion.on_repaired_loss();
        assert_eq!(congestion.slow_start_threshold(), threshold);
        congestion.on_timeout(Seq(20));
        assert_eq!(congestion.window(), MSS);
        let threshold = congestion.slow_start_threshold();
        congestion.on_timeout(Seq(20));
        assert_eq!(congestion.slow_start_threshold(), threshold);
    }

    /// A peer without SACK may send as many duplicates as it likes.
    #[test]
    fn deliveries_without_end_are_harmless() {
        let mut congestion = Congestion::new(MSS);
        congestion.on_loss(Seq(20_000), 20 * MSS);
        congestion.on_delivered(u32::MAX, 0, true);
        assert_eq!(congestion.window(), congestion.slow_start_threshold());
    }
}
