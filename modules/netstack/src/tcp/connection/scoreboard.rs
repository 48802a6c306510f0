//! What has been sent and not been acknowledged, and what of it is lost (RFC 6675, RFC 8985).
//!
//! Each entry is a range of sequence numbers with the time at which it was last sent. RACK takes a
//! range for lost when one that was sent sufficiently later has arrived.

use crate::{
    tcp::{segment::Block, seq::Seq},
    time::{Instant, Span},
};
use alloc::collections::VecDeque;

/// Ranges that may be outstanding, 6 MiB of full segments; with more nothing new is sent.
pub(crate) const ENTRIES_MAX: usize = 4096;
/// Reports split ranges while there is one for so many numbers at most: segments are longer, and a
/// peer that reports single bytes would have every acknowledgement walk over thousands.
const SPLIT_LEN_MEAN: usize = 256;
/// Or while they are no more than these, for segments that are short.
const SPLIT_ENTRIES_MIN: usize = 64;
/// Ranges sent at one instant are one, up to this length: the largest packet.
const RANGE_LEN_MAX: u32 = 0xffff;
/// Entries that an empty list keeps room for.
const ENTRIES_KEPT: usize = 4;
/// Segments that must have arrived before a hole is taken for a loss at once (RFC 8985 section 6.2,
/// step 4; DupThresh of RFC 5681).
pub(crate) const DUPLICATE_THRESHOLD: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Flying,
    Sacked,
    Lost,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    start: Seq,
    end: Seq,
    at: Instant,
    /// When it was sent first.
    first: Instant,
    fate: Fate,
    retransmitted: bool,
}

impl Sent {
    fn len(&self) -> u32 {
        self.end - self.start
    }
}

/// What an acknowledgement told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Sequence numbers that are now known to have arrived.
    pub(crate) len: u32,
    /// The round-trip time of the latest that was sent once.
    pub(crate) rtt: Option<Span>,
    /// Something that was sent again: where it is, and how long after it was sent first.
    pub(crate) resent: Option<(Block, Span)>,
}

/// The latest sent range that has arrived (RFC 8985 section 5.2).
#[derive(Debug, Clone, Copy)]
struct Rack {
    at: Instant,
    end: Seq,
    rtt: Span,
}

#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    /// In the order of sequence numbers, without gaps.
    entries: VecDeque<Sent>,
    flying: u32,
    lost: u32,
    sacked: u32,
    rack: Option<Rack>,
    /// The highest number that has arrived.
    forward_most: Seq,
    reordering_seen: bool,
    /// The shortest round-trip time; zero before the first.
    rtt_min: Span,
}

impl Scoreboard {
    /// Sequence numbers thought to be in the network.
    pub(crate) fn flying(&self) -> u32 {
        self.flying
    }

    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Sequence numbers sent and not acknowledged.
    pub(crate) fn outstanding(&self) -> u32 {
        self.flying + self.lost + self.sacked
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    pub(crate) fn reordering_seen(&self) -> bool {
        self.reordering_seen
    }

    /// `len` new numbers from `start` on have been sent.
    pub(crate) fn push(&mut self, start: Seq, len: u32, now: Instant) {
        self.flying += len;
        if let Some(last) = self.entries.back_mut()
            && last.at == now
            && last.fate == Fate::Flying
            && !last.retransmitted
            && last.len() + len <= RANGE_LEN_MAX
        {
            last.end = last.end + len;
            return;
        }
        let end = start + len;
        self.entries.push_back(Sent {
            start,
            end,
            at: now,
            first: now,
            fate: Fate::Flying,
            retransmitted: false,
        });
    }

    /// Everything before `ack` has arrived.
    pub(crate) fn acknowledge(&mut self, ack: Seq, now: Instant) -> Delivered {
        let mut delivered = Delivered::default();
        while let Some(first) = self.entries.front_mut()
            && first.start < ack
        {
            let mut sent = *first;
            if ack < sent.end {
                first.start = ack;
                sent.end = ack;
            } else {
                self.entries.pop_front();
            }
            self.count(sent.fate, sent.len(), false);
            if sent.fate != Fate::Sacked {
                self.arrived(&sent, now, &mut delivered);
            }
        }
        if self.entries.is_empty() && self.entries.capacity() > ENTRIES_KEPT {
            self.entries = VecDeque::new();
        }
        if delivered.resent.is_some() {
            // What lay behind a hole may have arrived long ago (RFC 6298 section 3).
            delivered.rtt = None;
        }
        delivered
    }

    /// Everything in `start..end` has arrived, though not all before it.
    pub(crate) fn sack(&mut self, start: Seq, end: Seq, now: Instant, delivered: &mut Delivered) {
        let Some(first) = self.entries.front() else {
            return;
        };
        let last = self.entries.back().map_or(first.end, |last| last.end);
        // A block outside of what is outstanding is old, a lie, or a D-SACK.
        if start < first.start || last < end || end <= start {
            return;
        }
        if self.may_split() {
            self.split_at(start);
            self.split_at(end);
        }
        let begin = self.entries.partition_point(|sent| sent.start < start);
        let mut behind = begin;
        while let Some(sent) = self.entries.get(behind).copied()
            && sent.end <= end
        {
            if sent.fate != Fate::Sacked {
                self.set_fate(behind, Fate::Sacked);
                self.arrived(&sent, now, delivered);
            }
            behind += 1;
        }
        self.join(begin, behind);
    }

    fn may_split(&self) -> bool {
        let enough = self.outstanding() as usize / SPLIT_LEN_MEAN;
        self.entries.len() < enough.clamp(SPLIT_ENTRIES_MIN, 2 * ENTRIES_MAX)
    }

    /// Makes one range of those that have arrived, and of such beside them: what is walked over once
    /// is not walked over again.
    fn join(&mut self, mut begin: usize, mut behind: usize) {
        let is_sacked = |sent: &Sent| sent.fate == Fate::Sacked;
        if begin == behind {
            return;
        }
        if begin > 0 && is_sacked(&self.entries[begin - 1]) {
            begin -= 1;
        }
        if self.entries.get(behind).is_some_and(is_sacked) {
            behind += 1;
        }
        let end = self.entries[behind - 1].end;
        let retransmitted = self.entries.range(begin..behind).any(|sent| sent.retransmitted);
        self.entries.drain(begin + 1..behind);
        self.entries[begin].end = end;
        self.entries[begin].retransmitted = retransmitted;
    }

    /// Has a range begin at `seq`, if that is outstanding.
    fn split_at(&mut self, seq: Seq) {
        let index = self.entries.partition_point(|sent| sent.end <= seq);
        if let Some(sent) = self.entries.get_mut(index)
            && sent.start < seq
        {
            let front = Sent { end: seq, ..*sent };
            sent.start = seq;
            self.entries.insert(index, front);
        }
    }

    fn count(&mut self, fate: Fate, len: u32, more: bool) {
        let counter = match fate {
            Fate::Flying => &mut self.flying,
            Fate::Sacked => &mut self.sacked,
            Fate::Lost => &mut self.lost,
        };
        *counter = if more { *counter + len } else { *counter - len };
    }

    fn set_fate(&mut self, index: usize, fate: Fate) {
        let (old, len) = (self.entries[index].fate, self.entries[index].len());
        self.entries[index].fate = fate;
        self.count(old, len, false);
        self.count(fate, len, true);
    }

    /// RFC 8985 section 6.2, steps 1 to 3.
    fn arrived(&mut self, sent: &Sent, now: Instant, delivered: &mut Delivered) {
        delivered.len += sent.len();
        let rtt = now.since(sent.at);
        if sent.retransmitted {
            delivered.resent = Some(((sent.start, sent.end), now.since(sent.first)));
        } else {
            delivered.rtt = Some(rtt);
            self.rtt_min = if self.rack.is_none() { rtt } else { self.rtt_min.min(rtt) };
            if sent.end < self.forward_most && self.rack.is_some() {
                self.reordering_seen = true;
            }
        }
        if self.rack.is_none() || self.forward_most < sent.end {
            self.forward_most = sent.end;
        }
        // An answer sooner than any round trip was to the first transmission.
        let is_ambiguous = sent.retransmitted && rtt < self.rtt_min;
        let is_later = self
            .rack
            .is_none_or(|rack| (rack.at < sent.at) || (rack.at == sent.at && rack.end < sent.end));
        if !is_ambiguous && is_later {
            self.rack = Some(Rack { at: sent.at, end: sent.end, rtt });
        }
    }

    /// Takes for lost what was sent so long before something that has arrived (RFC 8985 section 6.2,
    /// step 5). Returns how much, and when more will be, if nothing arrives by then.
    pub(crate) fn detect_losses(
        &mut self,
        reordering_window: Span,
        now: Instant,
    ) -> (u32, Option<Instant>) {
        let Some(rack) = self.rack else {
            return (0, None);
        };
        let (mut lost, mut due) = (0, None::<Instant>);
        for index in 0..self.entries.len() {
            let sent = self.entries[index];
            if rack.at < sent.first {
                // And so was all behind it.
                break;
            }
            let is_earlier = sent.at < rack.at || (sent.at == rack.at && sent.end < rack.end);
            if sent.fate != Fate::Flying || !is_earlier {
                continue;
            }
            let deadline = sent.at + rack.rtt + reordering_window;
            if deadline <= now {
                self.set_fate(index, Fate::Lost);
                lost += sent.len();
            } else {
                due = Some(due.map_or(deadline, |due| due.max(deadline)));
            }
        }
        (lost, due)
    }

    /// The oldest range of at most `len` is lost: three duplicates said so, or a partial
    /// acknowledgement (RFC 6582). Returns how much was not known to be.
    pub(crate) fn lose_oldest(&mut self, len: u32) -> u32 {
        let Some(first) = self.entries.front().copied() else {
            return 0;
        };
        self.split_at(first.start + len.min(first.len()));
        match self.entries[0].fate {
            Fate::Flying => {
                self.set_fate(0, Fate::Lost);
                self.entries[0].len()
            }
            _ => 0,
        }
    }

    /// The timeout ran out: nothing is in the network any more (RFC 6675 section 5.1). A receiver
    /// whose oldest range was reported and not acknowledged has gone back on its word (RFC 2018
    /// section 8): then no report is believed.
    pub(crate) fn lose_everything(&mut self) {
        let reneged = self.entries.front().is_some_and(|sent| sent.fate == Fate::Sacked);
        for index in 0..self.entries.len() {
            if reneged || self.entries[index].fate == Fate::Flying {
                self.set_fate(index, Fate::Lost);
            }
        }
    }

    /// The first lost range, cut to `len`.
    pub(crate) fn next_lost(&self, len: u32) -> Option<(Seq, u32)> {
        if self.lost == 0 {
            return None;
        }
        let sent = self.entries.iter().find(|sent| sent.fate == Fate::Lost)?;
        Some((sent.start, sent.len().min(len)))
    }

    /// The last range that may still be flying, cut to its last `len` numbers: what a tail loss probe
    /// repeats (RFC 8985 section 7.3).
    pub(crate) fn tail(&self, len: u32) -> Option<(Seq, u32)> {
        let last = self.entries.back()?;
        let len = len.min(last.len());
        Some((last.end - len, len))
    }

    /// `len` numbers from `start` on, all of one range, have been sent again.
    pub(crate) fn retransmitted(&mut self, start: Seq, len: u32, now: Instant) {
        self.split_at(start);
        self.split_at(start + len);
        let index = self.entries.partition_point(|sent| sent.end <= start);
        if index < self.entries.len() {
            self.set_fate(index, Fate::Flying);
            self.entries[index].at = now;
            self.entries[index].retransmitted = true;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Scoreboard::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Seq = Seq(u32::MAX - 1500);
    const RTT: Span = Span::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// Ten segments of 1000, one per millisecond.
    fn flight() -> Scoreboard {
        let mut board = Scoreboard::default();
        (0..10).for_each(|i| board.push(START + i * 1000, 1000, at(u64::from(i))));
        board
    }

    fn sack(board: &mut Scoreboard, from: u32, to: u32, now: Instant) -> Delivered {
        let mut delivered = Delivered::default();
        board.sack(START + from, START + to, now, &mut delivered);
        delivered
    }

    #[test]
    fn what_arrives_out_of_order_leaves_a_hole_that_is_lost() {
        let mut board = flight();
        let delivered = board.acknowledge(START + 2000, at(101));
        assert_eq!((delivered.len, delivered.rtt), (2000, Some(RTT)));
        assert_eq!(sack(&mut board, 3000, 4000, at(103)).len, 1000);
        assert_eq!(sack(&mut board, 3000, 4000, at(103)).len, 0, "reported before");
        assert_eq!(board.detect_losses(RTT / 4, at(103)), (0, Some(at(127))));
        assert_eq!(board.detect_losses(Span::ZERO, at(103)), (1000, None));
        assert_eq!((board.flying(), board.lost(), board.sacked()), (6000, 1000, 1000));
        assert_eq!(board.next_lost(600), Some((START + 2000, 600)));
        board.retransmitted(START + 2000, 600, at(104));
        assert_eq!(board.next_lost(600), Some((START + 2600, 400)));
        board.retransmitted(START + 2600, 400, at(104));
        assert_eq!((board.flying(), board.lost()), (7000, 0));
        assert!(board.acknowledge(START + 10_000, at(204)).resent.is_some());
        assert!(board.is_empty());
        assert_eq!(board.outstanding(), 0);
    }

    /// RFC 8985 section 3.4: a retransmission that is lost in turn is found by its age.
    #[test]
    fn a_lost_retransmission_is_found() {
        let mut board = flight();
        sack(&mut board, 1000, 9000, at(108));
        assert_eq!(board.detect_losses(Span::ZERO, at(108)).0, 1000);
        board.retransmitted(START, 1000, at(109));
        board.push(START + 10_000, 1000, at(110));
        assert_eq!(board.detect_losses(Span::ZERO, at(180)).0, 0);
        sack(&mut board, 9000, 11_000, at(211));
        assert_eq!(board.detect_losses(Span::ZERO, at(211)).0, 1000);
        assert_eq!(board.next_lost(1000), Some((START, 1000)));
    }

    #[test]
    fn reordering_is_seen_and_lies_are_ignored() {
        let mut board = flight();
        sack(&mut board, 5000, 6000, at(105));
        assert!(!board.reordering_seen());
        sack(&mut board, 4000, 5000, at(106));
        assert!(board.reordering_seen());
        for (from, to) in [(9000, 10_001), (20_000, 21_000), (3000, 3000), (3000, 2000)] {
            assert_eq!(sack(&mut board, from, to, at(107)).len, 0);
        }
        board.acknowledge(START + 6000, at(108));
        assert_eq!(sack(&mut board, 0, 7000, at(108)).len, 0, "it begins before");
    }

    #[test]
    fn after_a_timeout_all_is_lost_but_what_was_reported() {
        let mut board = flight();
        sack(&mut board, 2000, 3500, at(105));
        board.lose_everything();
        assert_eq!((board.flying(), board.lost(), board.sacked()), (0, 8500, 1500));
        board.acknowledge(START + 2000, at(300));
        board.lose_everything();
        assert_eq!((board.lost(), board.sacked()), (8000, 0), "it went back on its word");
        assert_eq!(board.lose_oldest(1000), 0);
        assert_eq!(board.tail(400), Some((START + 9600, 400)));
    }

    #[test]
    fn ranges_of_one_instant_are_one_and_their_number_is_bounded() {
        let mut board = Scoreboard::default();
        (0..10).for_each(|i| board.push(START + i * 100, 100, at(1)));
        assert_eq!(board.entries.len(), 1);
        for i in 0..ENTRIES_MAX as u32 {
            board.push(START + 1000 + i, 1, at(2 + u64::from(i)));
        }
        assert!(board.is_full());
        for i in 0..2 * ENTRIES_MAX as u32 {
            sack(&mut board, 2 * i, 2 * i + 1, at(9000));
        }
        assert!(board.entries.len() <= 2 * ENTRIES_MAX + 1);
    }

    #[test]
    fn reports_make_few_ranges() {
        let mut board = Scoreboard::default();
        (0..1000).for_each(|i| board.push(START + i * 1000, 1000, at(u64::from(i))));
        for i in 2..1000 {
            assert_eq!(sack(&mut board, 1000, i * 1000, at(2000)).len, 1000);
        }
        assert_eq!((board.entries.len(), board.sacked()), (3, 998_000));
        assert_eq!(sack(&mut board, 1000, 1_000_000, at(2000)).len, 1000);
        assert_eq!(board.entries.len(), 2);
        // Single bytes are believed as well, but not every one.
        let mut board = Scoreboard::default();
        (0..4).for_each(|i| board.push(START + i * 0xffff, 0xffff, at(u64::from(i))));
        for i in 0..4096 {
            sack(&mut board, 2 * i + 1, 2 * i + 2, at(9));
        }
        assert!((1000..1100).contains(&board.entries.len()));
        let mut short = Scoreboard::default();
        short.push(START, 100, at(1));
        (0..20).for_each(|i| assert_eq!(sack(&mut short, 2 * i + 1, 2 * i + 2, at(9)).len, 1));
    }
}
