//! What an acknowledgement means for what was sent (RFC 9293 section 3.10.7.4, fifth; RFC 5681,
//! RFC 6675, RFC 8985).

use super::{
    super::segment::{Block, Segment},
    Connection, State,
    scoreboard::{DUPLICATE_THRESHOLD, Delivered},
};
use crate::{
    flow::Budget,
    tcp::seq::Seq,
    time::{Instant, Span},
};

impl Connection {
    pub(super) fn acknowledge(
        &mut self,
        segment: &Segment<'_>,
        ack: Seq,
        now: Instant,
        budget: &mut Budget,
    ) {
        let window = u32::from(segment.window) << self.snd_scale;
        let is_duplicate = ack == self.snd_una
            && segment.len() == 0
            && window == self.snd_wnd
            && !self.board.is_empty();
        let advanced = self.snd_una < ack;
        let outstanding = self.board.outstanding();
        let mut delivered = Delivered::default();
        if advanced {
            delivered = self.advance(ack, now, budget);
        }
        let repeated = self.take_reports(segment, ack, now, &mut delivered);
        self.update_window(segment, ack, window);
        self.measure(&delivered, repeated);
        let is_bare = segment.len() == 0 && segment.options.sack[0].is_none();
        self.end_tail_probe(ack, repeated.is_some(), is_bare && !advanced);
        if !self.sack_permitted {
            self.count_duplicates(is_duplicate, advanced, &mut delivered);
        }
        self.congestion.advance(ack);
        self.look_for_losses(outstanding, advanced, now);
        self.congestion.on_delivered(delivered.len, self.flying(), advanced);
        if advanced && self.was_limited(ack, outstanding) {
            let rtt = self.rtt.smoothed().unwrap_or(Span::ZERO);
            self.congestion.grow(delivered.len, rtt, now);
        }
        self.on_fin_acknowledged();
    }

    /// Whether the window held back what `ack` acknowledges, or in slow start was half used. One that
    /// is not used says nothing about the path (RFC 9438 section 5.8).
    fn was_limited(&mut self, ack: Seq, outstanding: u32) -> bool {
        self.limited_until = self.limited_until.filter(|until| ack <= *until);
        let window = self.congestion.window();
        let is_slow_start = window < self.congestion.slow_start_threshold();
        self.limited_until.is_some() || (is_slow_start && outstanding >= window / 2)
    }

    /// What is thought to be in the network. Each duplicate of a peer without SACK stands for a
    /// segment that has left it (RFC 6582 section 3.2).
    pub(super) fn flying(&self) -> u32 {
        let left = self.duplicates.saturating_mul(u32::from(self.mss));
        self.board.flying().saturating_sub(left)
    }

    /// Everything before `ack` has arrived.
    fn advance(&mut self, ack: Seq, now: Instant, budget: &mut Budget) -> Delivered {
        let delivered = self.board.acknowledge(ack, now);
        let len = ((ack - self.snd_una) as usize).min(self.outbox.len());
        self.outbox.discard(len);
        self.outbox.yield_to_others(budget);
        self.counters.bytes_acknowledged += len as u64;
        self.snd_una = ack;
        self.rto_from = now;
        self.waiting_since = None;
        self.owed.tail_probe &= !self.board.is_empty();
        delivered
    }

    /// Takes what an acknowledgement says about the round-trip time. A peer that reports duplicates
    /// ends doubts about which transmission it acknowledged; with others they stay (RFC 6298
    /// section 3).
    fn measure(&mut self, delivered: &Delivered, repeated: Option<Block>) {
        match (delivered.rtt, delivered.resent) {
            (Some(rtt), _) => self.rtt.sample(rtt),
            (None, Some((range, elapsed))) if self.sack_permitted => self.rtt.doubt(range, elapsed),
            _ => {}
        }
        if let Some(range) = repeated {
            self.rtt.resolve(range);
        }
    }

    /// The peer's reports of what arrived out of order (RFC 2018). Returns what it reports to have
    /// arrived twice (RFC 2883 section 4).
    fn take_reports(
        &mut self,
        segment: &Segment<'_>,
        ack: Seq,
        now: Instant,
        delivered: &mut Delivered,
    ) -> Option<Block> {
        let [first, second, _] = segment.options.sack;
        if !self.sack_permitted || first.is_none() {
            return None;
        }
        let repeated = first.filter(|&(start, end)| {
            let inside = |(low, high)| low <= start && end <= high;
            start < ack || second.is_some_and(inside)
        });
        for (start, end) in segment.options.sack.into_iter().flatten() {
            self.board.sack(start, end, now, delivered);
        }
        repeated
    }

    /// RFC 9293 section 3.10.7.4: a window is believed if its segment is not older than the last
    /// one believed.
    fn update_window(&mut self, segment: &Segment<'_>, ack: Seq, window: u32) {
        let is_newer =
            self.snd_wl1 < segment.seq || (self.snd_wl1 == segment.seq && self.snd_wl2 <= ack);
        if !is_newer {
            return;
        }
        if self.snd_wnd == 0 && window > 0 {
            // It was there all the time; its patience is not what counts.
            self.waiting_since = None;
        }
        let was_in_the_way = self.snd_wnd == 0 || self.blocked_since.is_some();
        if was_in_the_way && self.snd_wnd < window {
            // The peer reads: what waited for that need not wait as long next time.
            self.blocked_since = None;
            self.rtt.progress();
        }
        self.snd_wnd = window;
        self.snd_wnd_max = self.snd_wnd_max.max(window);
        self.snd_wl1 = segment.seq;
        self.snd_wl2 = ack;
    }

    /// RFC 8985 section 7.4.2: a probe that repeated something and of which no duplicate was heard
    /// before more was acknowledged has repaired a loss.
    fn end_tail_probe(&mut self, ack: Seq, repeats: bool, is_duplicate: bool) {
        let Some((end, repeated)) = self.tail_probe.filter(|(end, _)| *end <= ack) else {
            return;
        };
        let was_needless = !repeated || repeats || is_duplicate;
        if !was_needless && end < ack {
            self.congestion.on_repaired_loss();
        }
        if was_needless || end < ack {
            self.tail_probe = None;
        }
    }

    /// Without SACK the number of duplicates is all there is (RFC 5681 section 3.2, RFC 6582).
    fn count_duplicates(&mut self, is_duplicate: bool, advanced: bool, delivered: &mut Delivered) {
        let mss = u32::from(self.mss);
        if is_duplicate {
            self.duplicates += 1;
            delivered.len += mss;
        } else if advanced {
            let segments = delivered.len.div_ceil(mss);
            delivered.len -= delivered.len.min(self.duplicates.min(segments) * mss);
            self.duplicates = self.duplicates.saturating_sub(segments.saturating_sub(1));
            if !self.congestion.is_in_recovery() {
                self.duplicates = 0;
            }
        }
    }

    /// Begins or goes on with the repair of what is lost.
    fn look_for_losses(&mut self, outstanding: u32, advanced: bool, now: Instant) {
        let lost = match self.sack_permitted {
            true => self.detect_losses(now),
            false => self.infer_losses(advanced),
        };
        if lost > 0 {
            self.congestion.on_loss(self.snd_nxt, outstanding);
        }
    }

    /// RACK. While everything arrives in order it has nothing to find.
    pub(super) fn detect_losses(&mut self, now: Instant) -> u32 {
        self.reorder_due = None;
        if self.board.sacked() == 0 && self.congestion.is_open() {
            return 0;
        }
        let (lost, due) = self.board.detect_losses(self.reordering_window(), now);
        self.reorder_due = due;
        lost
    }

    /// RFC 8985 section 6.2, step 4.
    fn reordering_window(&self) -> Span {
        let enough = DUPLICATE_THRESHOLD * u32::from(self.mss);
        let is_sure = !self.congestion.is_open() || self.board.sacked() >= enough;
        if is_sure && !self.board.reordering_seen() {
            return Span::ZERO;
        }
        self.rtt.min().unwrap_or(Span::ZERO) / 4
    }

    fn infer_losses(&mut self, advanced: bool) -> u32 {
        let mss = u32::from(self.mss);
        let is_hinted =
            self.duplicates >= DUPLICATE_THRESHOLD && self.congestion.believes_duplicates();
        // A partial acknowledgement: the next hole begins here (RFC 6582 section 3.2, step 3).
        let is_partial = self.congestion.is_in_recovery() && advanced;
        match is_hinted || is_partial {
            true => self.board.lose_oldest(mss),
            false => 0,
        }
    }

    fn on_fin_acknowledged(&mut self) {
        if !self.fin_sent || self.snd_una != self.snd_nxt {
            return;
        }
        self.state = match self.state {
            State::FinWait1 => State::FinWait2,
            State::Closing => State::TimeWait,
            State::LastAck => {
                self.finish(super::End::Finished);
                State::Closed
            }
            other => other,
        };
    }
}
