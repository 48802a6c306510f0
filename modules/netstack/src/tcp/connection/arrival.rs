//! Segments that arrive (RFC 9293 section 3.10.7, RFC 5961).

use super::{super::segment::Segment, Connection, End, Handshake, State, reassembly::Placed};
use crate::{
    flow::Budget,
    tcp::seq::Seq,
    time::{Instant, Span},
};

/// A segment that is not acceptable is answered at most this often unless it carries text. Two ends
/// that disagree would otherwise answer each other's answers for ever (RFC 5961 section 7).
const CHALLENGE_INTERVAL: Span = Span::from_millis(500);
/// How long an acknowledgement may wait for company (RFC 9293 section 3.8.6.3 allows 500 ms): well
/// under the 200 ms after which peers retransmit.
pub(super) const ACK_DELAY: Span = Span::from_millis(10);
/// Full segments that are acknowledged at once (RFC 5681 section 4.2).
const SEGMENTS_PER_ACK: u32 = 2;

/// What a segment asks of whoever owns the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    Nothing,
    /// It belongs to no connection that this end knows: a reset answers it.
    Reset,
}

impl Connection {
    pub(crate) fn on_segment(
        &mut self,
        segment: &Segment<'_>,
        now: Instant,
        budget: &mut Budget,
    ) -> Reaction {
        self.counters.segments_received += 1;
        match self.state {
            State::Closed => Reaction::Nothing,
            State::SynSent => self.on_segment_in_syn_sent(segment, now),
            _ => self.on_segment_synchronised(segment, now, budget),
        }
    }

    /// RFC 9293 section 3.10.7.3.
    fn on_segment_in_syn_sent(&mut self, segment: &Segment<'_>, now: Instant) -> Reaction {
        let acknowledges_syn = self.is_syn_acknowledged_by(segment);
        if segment.ack.is_some() && !acknowledges_syn {
            return if segment.flags.rst { Reaction::Nothing } else { Reaction::Reset };
        }
        if segment.flags.rst {
            if acknowledges_syn {
                self.finish(End::Refused);
            }
            return Reaction::Nothing;
        }
        if !segment.flags.syn {
            return Reaction::Nothing;
        }
        self.adopt(
            &Handshake {
                iss: self.iss,
                irs: segment.seq,
                peer_mss: segment.options.mss,
                peer_window: segment.window,
                peer_scale: segment.options.window_scale,
                sack_permitted: segment.options.sack_permitted,
                rtt: None,
            },
            now,
        );
        if acknowledges_syn {
            self.establish(now);
            self.owed.ack = true;
        } else {
            // SYNs have crossed: ours goes out again, with the acknowledgement of theirs.
            self.state = State::SynReceived;
            self.owed.syn = true;
        }
        Reaction::Nothing
    }

    /// Only if it has been sent: before that nobody can know its number.
    fn is_syn_acknowledged_by(&self, segment: &Segment<'_>) -> bool {
        self.snd_nxt == self.iss + 1 && segment.ack == Some(self.snd_nxt)
    }

    /// Our SYN is acknowledged.
    fn establish(&mut self, now: Instant) {
        match self.rtt.has_backed_off() {
            true => self.rtt.syn_was_lost(),
            false => self.rtt.sample(now.since(self.rto_from)),
        }
        self.snd_una = self.iss + 1;
        self.waiting_since = None;
        self.owed.syn = false;
        self.state = if self.closes_early { State::FinWait1 } else { State::Established };
    }

    /// RFC 9293 section 3.10.7.4.
    fn on_segment_synchronised(
        &mut self,
        segment: &Segment<'_>,
        now: Instant,
        budget: &mut Budget,
    ) -> Reaction {
        if !self.is_acceptable(segment) {
            if self.ends_crossing(segment) {
                self.establish(now);
                self.owed.ack = true;
            } else if !segment.flags.rst {
                self.answer_unacceptable(segment, now);
            }
            return Reaction::Nothing;
        }
        if segment.flags.rst {
            // RFC 5961 section 3.2: only the exact number is believed.
            match segment.seq == self.rcv_nxt {
                true => self.on_reset(),
                false => self.challenge(now),
            }
            return Reaction::Nothing;
        }
        if segment.flags.syn {
            // RFC 5961 section 4.2.
            self.challenge(now);
            return Reaction::Nothing;
        }
        let Some(ack) = segment.ack else {
            return Reaction::Nothing;
        };
        if self.state == State::SynReceived {
            if !self.is_syn_acknowledged_by(segment) {
                return Reaction::Reset;
            }
            self.establish(now);
        }
        // RFC 5961 section 5.2: what acknowledges too much or is too old is not believed.
        if self.snd_nxt < ack || ack < self.snd_una - self.snd_wnd_max.min(1 << 30) {
            self.challenge(now);
            return Reaction::Nothing;
        }
        self.heard = now;
        self.probes = 0;
        self.acknowledge(segment, ack, now, budget);
        self.on_text(segment, now, budget);
        Reaction::Nothing
    }

    /// RFC 9293 section 3.10.7.4, first; beyond its table, what begins where a closed window ends
    /// is looked at for what it acknowledges.
    fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let in_window = |seq: Seq| self.rcv_nxt <= seq && seq < self.rcv_edge;
        if segment.seq == self.rcv_nxt || in_window(segment.seq) {
            return true;
        }
        segment.len() > 0 && self.rcv_edge != self.rcv_nxt && in_window(segment.end() - 1)
    }

    /// The peer's SYN again, now with the acknowledgement of ours: RFC 9293 section 3.5, figure 7,
    /// line 7.
    fn ends_crossing(&self, segment: &Segment<'_>) -> bool {
        self.state == State::SynReceived
            && segment.flags.syn
            && self.is_syn_acknowledged_by(segment)
            && segment.end() == self.rcv_nxt
    }

    /// What does not lie in the window is acknowledged, so that the peer learns where that is.
    fn answer_unacceptable(&mut self, segment: &Segment<'_>, now: Instant) {
        if segment.payload.is_empty() && !segment.flags.fin {
            return self.challenge(now);
        }
        if segment.end() <= self.rcv_nxt {
            self.duplicate = Some((segment.seq, segment.end()));
        }
        self.owed.ack = true;
    }

    /// Says where this end stands, at a bounded rate.
    fn challenge(&mut self, now: Instant) {
        if self.challenged.is_none_or(|challenged| challenged + CHALLENGE_INTERVAL <= now) {
            self.challenged = Some(now);
            self.owed.ack = true;
        }
    }

    fn on_reset(&mut self) {
        let end = match self.state {
            State::SynReceived => End::Refused,
            State::Closing | State::LastAck | State::TimeWait => End::Finished,
            _ => End::Reset,
        };
        self.finish(end);
    }

    /// RFC 9293 section 3.10.7.4, seventh and eighth.
    fn on_text(&mut self, segment: &Segment<'_>, now: Instant, budget: &mut Budget) {
        let peer_may_send =
            matches!(self.state, State::Established | State::FinWait1 | State::FinWait2);
        if !peer_may_send || segment.len() == 0 {
            return;
        }
        let mut fin = segment.flags.fin.then_some(segment.end() - 1);
        let edge = self.fin_at.map_or(self.rcv_edge, |fin_at| self.rcv_edge.min(fin_at));
        let (start, text) = clip(segment, self.rcv_nxt, edge);
        if fin.is_some_and(|fin| self.rcv_edge < fin || fin < self.rcv_nxt) {
            fin = None;
        }
        self.fin_at = self.fin_at.or(fin);
        if text.len() < segment.payload.len() {
            // Some of it was here before, or did not fit.
            self.owed.ack = true;
        }
        if segment.seq < self.rcv_nxt && !segment.payload.is_empty() {
            self.duplicate = Some((segment.seq, segment.end().min(self.rcv_nxt)));
        }
        if !text.is_empty() {
            self.place(start, text, now, budget);
        }
        if self.fin_at == Some(self.rcv_nxt) {
            self.on_fin();
        } else if fin.is_some() {
            self.owed.ack = true;
        }
    }

    fn place(&mut self, start: Seq, text: &[u8], now: Instant, budget: &mut Budget) {
        let had_holes = self.inbox.has_holes();
        match self.inbox.place(self.rcv_nxt, start, text, budget) {
            Placed::InOrder(len) => {
                self.rcv_nxt = self.rcv_nxt + len;
                self.counters.bytes_received += u64::from(len);
                self.schedule_ack(text.len(), had_holes, now);
                if self.read_shut {
                    self.discard_input(budget);
                }
            }
            Placed::Ahead => {
                self.counters.out_of_order += 1;
                self.owed.ack = true;
            }
            Placed::Known => {
                self.duplicate = Some((start, start + text.len() as u32));
                self.owed.ack = true;
            }
            Placed::Dropped => self.owed.ack = true,
        }
    }

    /// RFC 5681 section 4.2: every second full segment at once, and what fills a hole.
    fn schedule_ack(&mut self, len: usize, had_holes: bool, now: Instant) {
        let len = len as u32;
        // What exceeds our MSS was put together by a device, and says nothing about segments.
        if len <= self.path_mss.into() {
            self.segment_len_max = self.segment_len_max.max(len as u16);
        }
        self.unacknowledged += len;
        let enough = SEGMENTS_PER_ACK * u32::from(self.segment_len_max);
        if had_holes || self.unacknowledged >= enough {
            self.owed.ack = true;
        } else {
            self.ack_due.get_or_insert(now + ACK_DELAY);
        }
    }

    fn on_fin(&mut self) {
        self.rcv_nxt = self.rcv_nxt + 1;
        self.rcv_edge = self.rcv_edge.max(self.rcv_nxt);
        self.owed.ack = true;
        self.state = match self.state {
            State::Established => State::CloseWait,
            State::FinWait1 => State::Closing,
            State::FinWait2 => State::TimeWait,
            other => other,
        };
    }
}

/// The part of a segment's text that lies in `next..edge`, and where it begins.
fn clip<'a>(segment: &Segment<'a>, next: Seq, edge: Seq) -> (Seq, &'a [u8]) {
    let mut text = segment.payload;
    let mut start = segment.seq;
    if start < next {
        let known = ((next - start) as usize).min(text.len());
        text = &text[known..];
        start = next;
    }
    let room = if start < edge { (edge - start) as usize } else { 0 };
    (start, &text[..text.len().min(room)])
}
