//! What is sent next (RFC 9293 sections 3.7.4, 3.8.6; RFC 5681, RFC 6675).
//!
//! A [`Plan`] is made, written into a packet by whoever has one, and reported as sent. A plan that
//! could not be sent is forgotten, and made anew when there is a way.

use core::net::IpAddr;

use super::{
    super::segment::{Flags, HEADER_LEN_MAX, Header, SACK_BLOCKS, SegmentOptions},
    Connection, Owed, State,
};
use crate::{
    ip::{Checksum, Cut},
    tcp::seq::Seq,
    time::Instant,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Syn,
    /// Text or a FIN that was never sent.
    New,
    /// Text or a FIN that was.
    Again,
    /// Nothing but a question.
    Probe,
    Acknowledgement,
    Reset,
}

/// A segment to be sent.
#[derive(Debug)]
pub(crate) struct Plan {
    what: What,
    header: Header,
    /// Where the text begins in the outbox.
    offset: usize,
    text_len: usize,
    /// Text per segment on the wire.
    segment_len: u16,
}

impl Plan {
    /// Length of the segment in bytes, header included.
    pub(crate) fn len(&self) -> usize {
        self.header.len() + self.text_len
    }

    /// How the device must cut it, if it is more than a segment.
    pub(crate) fn cut(&self) -> Option<Cut> {
        (self.text_len > usize::from(self.segment_len))
            .then(|| Cut { transport_header_len: self.header.len(), payload_len: self.segment_len })
    }

    /// Segments on the wire.
    fn segments(&self) -> u64 {
        self.text_len.div_ceil(self.segment_len.into()).max(1) as u64
    }
}

impl Connection {
    /// Whether there is something to send, if the windows allow.
    #[inline]
    pub(crate) fn wants_to_send(&self) -> bool {
        let Owed { syn, ack, reset, probe, tail_probe, push: _ } = self.owed;
        let is_owed = syn || ack || reset || probe || tail_probe;
        is_owed || self.unsent() > 0 || self.is_fin_due() || self.board.lost() > 0
    }

    /// The next segment to be sent now, if there is one; or several that follow each other, of at
    /// most `len_max` bytes with one header, for a device that cuts them.
    pub(crate) fn next_segment(&mut self, len_max: usize) -> Option<Plan> {
        if self.owed.reset {
            return Some(self.plan(What::Reset, self.acceptable_seq(), 0, 0));
        }
        match self.state {
            State::Closed => None,
            State::SynSent | State::SynReceived if self.owed.syn => {
                Some(self.plan(What::Syn, self.iss, 0, 0))
            }
            State::SynSent => None,
            State::SynReceived => self.plan_acknowledgement(),
            _ => self
                .plan_tail_probe()
                .or_else(|| self.plan_again())
                .or_else(|| self.plan_new(len_max))
                .or_else(|| self.plan_probe())
                .or_else(|| self.plan_acknowledgement()),
        }
    }

    /// Writes a plan's segment, header and text, to `bytes`, which are as long as it.
    pub(crate) fn write_segment(
        &self,
        plan: &Plan,
        bytes: &mut [u8],
        source: IpAddr,
        destination: IpAddr,
        checksum: Checksum,
    ) {
        let text = &mut bytes[plan.header.len()..];
        self.outbox.copy_to(plan.offset..plan.offset + plan.text_len, text);
        plan.header.emit(bytes, source, destination, checksum);
    }

    /// Behind the last byte written.
    fn queued_end(&self) -> Seq {
        self.snd_una + self.outbox.len() as u32
    }

    /// Bytes written that were never sent.
    pub(super) fn unsent(&self) -> u32 {
        if self.fin_sent { 0 } else { self.queued_end() - self.snd_nxt }
    }

    pub(super) fn is_fin_due(&self) -> bool {
        let has_closed = matches!(self.state, State::FinWait1 | State::Closing | State::LastAck);
        has_closed && !self.fin_sent
    }

    /// What the peer's window has room for beyond what was sent.
    pub(super) fn window_left(&self) -> u32 {
        let edge = self.snd_una + self.snd_wnd;
        if self.snd_nxt < edge { edge - self.snd_nxt } else { 0 }
    }

    /// What the congestion window has room for; a segment at least if nothing is in flight.
    fn congestion_left(&self) -> u32 {
        let flying = self.flying();
        let left = self.congestion.window().saturating_sub(flying);
        if flying == 0 { left.max(u32::from(self.mss)) } else { left }
    }

    /// Text that fits a segment beside the options that it will have (RFC 6691).
    fn text_len_max(&self) -> u32 {
        let has_options =
            self.sack_permitted && (self.inbox.has_holes() || self.duplicate.is_some());
        let options = if has_options { self.options_of(What::New).len() } else { 0 };
        u32::from(self.mss) - options as u32
    }

    /// RFC 8985 section 7.3: something new if there is, else the last segment again.
    fn plan_tail_probe(&mut self) -> Option<Plan> {
        if !self.owed.tail_probe {
            return None;
        }
        let mss = self.text_len_max();
        let len = self.unsent().min(mss).min(self.window_left());
        if len > 0 {
            return Some(self.plan(What::New, self.snd_nxt, len, 0));
        }
        let (start, len) = self.board.tail(mss + u32::from(self.fin_sent))?;
        Some(self.plan(What::Again, start, len, 0))
    }

    fn plan_again(&mut self) -> Option<Plan> {
        let (start, len) = self.board.next_lost(self.text_len_max())?;
        let window_end = self.snd_una + self.snd_wnd;
        // Beyond a window that has shrunk only the first is sent: it asks for the window.
        if window_end < start + len && start != self.snd_una {
            return None;
        }
        if self.congestion_left() < len {
            self.limited_until = Some(self.snd_nxt);
            return None;
        }
        Some(self.plan(What::Again, start, len, 0))
    }

    pub(super) fn can_send_new(&mut self) -> bool {
        self.new_len(0).is_some()
    }

    fn plan_new(&mut self, len_max: usize) -> Option<Plan> {
        let (len, fin) = self.new_len(len_max)?;
        Some(self.plan(What::New, self.snd_nxt, len, u32::from(fin)))
    }

    /// How much new text goes out now, and whether with a FIN.
    fn new_len(&mut self, len_max: usize) -> Option<(u32, bool)> {
        let (unsent, fin) = (self.unsent(), self.is_fin_due());
        let is_repairing = self.board.lost() > 0 || self.board.is_full();
        if (unsent == 0 && !fin) || is_repairing {
            return None;
        }
        let window = self.window_left();
        let allowed = self.burst_len(unsent.min(window), len_max);
        let takes_fin = fin && allowed == unsent && allowed < window;
        if allowed == 0 && !takes_fin {
            return None;
        }
        if self.congestion_left() < allowed {
            self.limited_until = Some(self.snd_nxt);
            return None;
        }
        self.is_worth_sending(allowed, unsent).then_some((allowed, takes_fin))
    }

    /// How much of what is `available` goes out as one: a segment, or as many full ones as the device
    /// takes and the congestion window has room for.
    fn burst_len(&self, available: u32, len_max: usize) -> u32 {
        let mss = self.text_len_max();
        if available <= mss {
            return available;
        }
        let device = len_max.saturating_sub(HEADER_LEN_MAX) as u32;
        let len = available.min(device).min(self.congestion_left());
        (len - len % mss).max(mss)
    }

    /// Nagle's rule and the avoidance of silly windows (RFC 9293 sections 3.7.4 and 3.8.6.2.1).
    fn is_worth_sending(&self, len: u32, unsent: u32) -> bool {
        let is_full = len >= self.text_len_max();
        let is_all = len == unsent;
        let may_be_small = self.options.nodelay || self.board.is_empty() || self.is_fin_due();
        is_full
            || (is_all && may_be_small)
            || (len > 0 && (len >= self.snd_wnd_max / 2 || self.owed.push))
    }

    /// A number that the peer has acknowledged, so that it must answer (RFC 9293 sections 3.8.4 and
    /// 3.8.6.1).
    fn plan_probe(&mut self) -> Option<Plan> {
        self.owed.probe.then(|| self.plan(What::Probe, self.snd_una - 1, 0, 0))
    }

    fn plan_acknowledgement(&mut self) -> Option<Plan> {
        self.owed.ack.then(|| self.plan(What::Acknowledgement, self.acceptable_seq(), 0, 0))
    }

    /// What an empty segment is numbered with: SND.NXT, unless the peer's window has shrunk below
    /// it and the peer would not look at it.
    fn acceptable_seq(&self) -> Seq {
        let edge = self.snd_una + self.snd_wnd;
        if self.is_connecting() || self.snd_nxt <= edge { self.snd_nxt } else { edge }
    }

    /// A segment of `len` bytes or, if they are fewer, all that is queued from `seq` on and the FIN
    /// behind it; `fin` is one if a FIN comes on top of `len`.
    fn plan(&self, what: What, seq: Seq, len: u32, fin: u32) -> Plan {
        let text_len = match what {
            What::New | What::Again => len.min(self.queued_end() - seq),
            _ => 0,
        };
        let is_synchronised = !matches!(self.state, State::SynSent);
        let options = self.options_of(what);
        let has_text_or_fin = len + fin > 0;
        Plan {
            what,
            header: Header {
                source_port: self.ports.local,
                destination_port: self.ports.remote,
                seq,
                ack: is_synchronised.then_some(self.rcv_nxt),
                flags: Flags {
                    syn: what == What::Syn,
                    fin: has_text_or_fin && len + fin > text_len,
                    rst: what == What::Reset,
                    psh: text_len > 0 && seq + text_len == self.queued_end(),
                },
                window: self.window_to_announce(what),
                options,
            },
            offset: if text_len > 0 { (seq - self.snd_una) as usize } else { 0 },
            text_len: text_len as usize,
            segment_len: self.mss - options.len() as u16,
        }
    }

    fn options_of(&self, what: What) -> SegmentOptions {
        match what {
            What::Syn => {
                // What the peer did not offer is not answered (RFC 7323 section 2.2).
                let is_first = self.state == State::SynSent;
                let scale = (is_first || self.rcv_scale > 0).then_some(self.rcv_scale);
                SegmentOptions {
                    mss: Some(self.path_mss),
                    window_scale: scale,
                    sack_permitted: is_first || self.sack_permitted,
                    ..SegmentOptions::default()
                }
            }
            What::Reset => SegmentOptions::default(),
            _ => SegmentOptions { sack: self.blocks(), ..SegmentOptions::default() },
        }
    }

    /// What arrived twice first (RFC 2883 section 4), then what arrived ahead of holes.
    fn blocks(&self) -> [Option<super::Block>; SACK_BLOCKS] {
        if !self.sack_permitted {
            return [None; SACK_BLOCKS];
        }
        let blocks = self.inbox.blocks();
        match self.duplicate {
            Some(duplicate) => [Some(duplicate), blocks[0], blocks[1]],
            None => blocks,
        }
    }

    /// What a full buffer leaves room for (RFC 9293 section 3.8.6).
    fn receive_room(&self) -> u32 {
        let room = self.options.receive_buffer_len.saturating_sub(self.inbox.len());
        u32::try_from(room).unwrap_or(u32::MAX)
    }

    /// How far the right edge could move.
    fn edge_gain(&self) -> u32 {
        let edge = self.rcv_nxt + self.receive_room();
        if self.rcv_edge < edge { edge - self.rcv_edge } else { 0 }
    }

    /// By how much the edge moves, or not at all: a segment or half the buffer (RFC 9293
    /// section 3.8.6.2.2).
    fn edge_step(&self) -> u32 {
        u32::from(self.path_mss).min((self.options.receive_buffer_len / 2) as u32)
    }

    /// Whether enough has been read for the peer to be told at once: a quarter of the buffer, and
    /// what moves the edge.
    pub(super) fn is_window_update_due(&self) -> bool {
        let is_open = matches!(self.state, State::Established | State::FinWait1 | State::FinWait2);
        let enough = (self.options.receive_buffer_len / 4) as u32;
        is_open && self.fin_at.is_none() && self.edge_gain() >= enough.max(self.edge_step())
    }

    /// The window field. Its edge never moves back.
    fn window_to_announce(&self, what: What) -> u16 {
        if what == What::Syn {
            return self.options.syn_window();
        }
        let promised = self.rcv_edge - self.rcv_nxt;
        let gain = if self.edge_gain() >= self.edge_step() { self.edge_gain() } else { 0 };
        // Rounded down, or it would promise more than the buffer holds.
        u16::try_from((promised + gain) >> self.rcv_scale).unwrap_or(u16::MAX)
    }
}

impl Connection {
    /// A plan has been sent.
    pub(crate) fn sent(&mut self, plan: &Plan, now: Instant) {
        self.counters.segments_sent += plan.segments();
        if plan.header.ack.is_some() && plan.what != What::Reset {
            self.acknowledged(plan);
        }
        match plan.what {
            What::Syn => {
                self.owed.syn = false;
                self.snd_nxt = self.iss + 1;
                self.rto_from = now;
            }
            What::New => self.sent_new(plan, now),
            What::Again => self.sent_again(plan, now),
            What::Probe => self.owed.probe = false,
            What::Acknowledgement => {}
            What::Reset => self.owed.reset = false,
        }
        self.last_sent = now;
    }

    /// The segment said how far this end has received, and what it has room for.
    fn acknowledged(&mut self, plan: &Plan) {
        self.owed.ack = false;
        self.ack_due = None;
        self.unacknowledged = 0;
        self.duplicate = None;
        let scale = if plan.what == What::Syn { 0 } else { self.rcv_scale };
        let edge = self.rcv_nxt + (u32::from(plan.header.window) << scale);
        self.rcv_edge = self.rcv_edge.max(edge);
    }

    fn sent_new(&mut self, plan: &Plan, now: Instant) {
        let fin = plan.header.flags.fin;
        let len = plan.text_len as u32 + u32::from(fin);
        if self.board.is_empty() {
            self.rto_from = now;
        }
        if self.owed.tail_probe {
            self.sent_tail_probe(self.snd_nxt + len, false, now);
        }
        self.board.push(self.snd_nxt, len, now);
        self.congestion.on_sent(len);
        self.snd_nxt = self.snd_nxt + len;
        self.fin_sent |= fin;
        self.last_new = now;
        self.owed.push = false;
        self.counters.bytes_sent += plan.text_len as u64;
    }

    fn sent_again(&mut self, plan: &Plan, now: Instant) {
        let len = plan.text_len as u32 + u32::from(plan.header.flags.fin);
        if self.owed.tail_probe {
            self.sent_tail_probe(self.snd_nxt, true, now);
        }
        if plan.header.seq == self.snd_una {
            self.rto_from = now;
        }
        self.board.retransmitted(plan.header.seq, len, now);
        self.congestion.on_sent(len);
        self.counters.retransmissions += 1;
        self.counters.bytes_sent += plan.text_len as u64;
        self.counters.bytes_retransmitted += plan.text_len as u64;
    }

    fn sent_tail_probe(&mut self, end: Seq, repeated: bool, now: Instant) {
        self.owed.tail_probe = false;
        self.tail_probe = Some((end, repeated));
        self.counters.tail_probes += 1;
        // The timeout counts from the probe on (RFC 8985 section 7.3).
        self.rto_from = now;
    }
}
