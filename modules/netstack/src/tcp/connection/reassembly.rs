//! What has been received: bytes in order, and ranges ahead of a hole (RFC 9293 section 3.10.7.4,
//! RFC 2018 section 4).

use alloc::vec::Vec;
use core::iter;

use super::{
    super::segment::{Block, SACK_BLOCKS},
    ring::Ring,
};
use crate::{flow::Budget, tcp::seq::Seq};

/// Ranges kept beyond holes; a segment that would make one more is dropped.
const RANGES_MAX: usize = 32;

/// What became of a segment's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// This many bytes can be read now that could not before.
    InOrder(u32),
    /// It is kept until the hole before it is filled.
    Ahead,
    /// It was kept already.
    Known,
    /// There was no room for it.
    Dropped,
}

#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    ring: Ring,
    /// Received ahead of a hole: disjoint, in order, none touching another.
    ranges: Vec<Block>,
    /// Where the latest texts ahead of holes were put, each in another range.
    recent: [Seq; SACK_BLOCKS],
}

impl Reassembly {
    /// Bytes that can be read.
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether something is missing.
    pub(crate) fn has_holes(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Takes text that begins at `seq`, not before `next`, the number behind what can be read.
    /// All of it must lie in the window.
    pub(crate) fn place(
        &mut self,
        next: Seq,
        seq: Seq,
        text: &[u8],
        budget: &mut Budget,
    ) -> Placed {
        let ahead = (seq - next) as usize;
        let offset = self.ring.len() + ahead;
        let room = self.ring.make_room(offset + text.len(), budget);
        // What fits of the first text is better than nothing; beyond a hole it is not worth it.
        let len = if ahead == 0 { text.len().min(room - offset) } else { text.len() };
        if len == 0 || offset + len > room {
            return Placed::Dropped;
        }
        let end = seq + len as u32;
        if ahead == 0 {
            self.ring.write_at(offset, &text[..len]);
            let reached = self.join(next, end);
            self.ring.extend((reached - next) as usize);
            return Placed::InOrder(reached - next);
        }
        let is_known = self.ranges.iter().any(|range| range.0 <= seq && end <= range.1);
        let reported = self.blocks();
        if !self.insert(seq, end) {
            return Placed::Dropped;
        }
        self.ring.write_at(offset, text);
        self.remember(seq, &reported);
        if is_known { Placed::Known } else { Placed::Ahead }
    }

    /// Takes the ranges that `next..end` reaches out of the list. Returns where the last one ends.
    fn join(&mut self, next: Seq, mut end: Seq) -> Seq {
        debug_assert!(self.ranges.first().is_none_or(|range| next < range.0));
        let reached = self.ranges.iter().take_while(|range| range.0 <= end).count();
        if let Some(last) = self.ranges[..reached].last() {
            end = end.max(last.1);
        }
        self.ranges.drain(..reached);
        if self.ranges.is_empty() {
            self.ranges = Vec::new();
        }
        end
    }

    fn insert(&mut self, start: Seq, end: Seq) -> bool {
        let first = self.ranges.partition_point(|range| range.1 < start);
        let behind = self.ranges.partition_point(|range| range.0 <= end);
        if first == behind {
            if self.ranges.len() >= RANGES_MAX {
                return false;
            }
            self.ranges.insert(first, (start, end));
            return true;
        }
        let merged = (start.min(self.ranges[first].0), end.max(self.ranges[behind - 1].1));
        self.ranges.drain(first + 1..behind);
        self.ranges[first] = merged;
        true
    }

    /// The range around `seq` is the latest, before those that were `reported` last.
    fn remember(&mut self, seq: Seq, reported: &[Option<Block>]) {
        let latest = self.ranges.iter().find(|range| range.0 <= seq && seq < range.1).copied();
        let is_other =
            |start: &Seq| latest.is_none_or(|range| *start < range.0 || range.1 <= *start);
        let others = reported.iter().flatten().map(|block| block.0).filter(is_other);
        for (place, recent) in self.recent.iter_mut().zip(iter::once(seq).chain(others)) {
            *place = recent;
        }
    }

    /// The blocks to report, the latest first (RFC 2018 section 4).
    pub(crate) fn blocks(&self) -> [Option<Block>; SACK_BLOCKS] {
        if self.ranges.is_empty() {
            return [None; SACK_BLOCKS];
        }
        let around = |seq: &Seq| self.ranges.iter().find(|range| range.0 <= *seq && *seq < range.1);
        let recent = self.recent.iter().filter_map(around);
        let mut blocks = [None; SACK_BLOCKS];
        for range in recent.chain(&self.ranges).map(|range| Some(*range)) {
            if !blocks.contains(&range)
                && let Some(free) = blocks.iter_mut().find(|block| block.is_none())
            {
                *free = range;
            }
        }
        blocks
    }

    pub(crate) fn peek(&self, buffer: &mut [u8]) -> usize {
        self.ring.peek(buffer)
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8], budget: &mut Budget) -> usize {
        let len = self.ring.peek(buffer);
        self.discard(len, budget);
        len
    }

    /// Throws away `len` bytes that could be read.
    pub(crate) fn discard(&mut self, len: usize, budget: &mut Budget) {
        self.ring.discard(len);
        if self.ranges.is_empty() {
            self.ring.yield_to_others(budget);
        }
    }

    /// Whether there is memory that [`rest`](Self::rest) would give back.
    pub(crate) fn is_spacious(&self) -> bool {
        self.ranges.is_empty() && self.ring.is_spacious()
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn rest(&mut self, budget: &mut Budget) {
        if self.ranges.is_empty() {
            self.ring.rest(budget);
        }
    }

    pub(crate) fn release(&mut self, budget: &mut Budget) {
        self.ring.release(budget);
        self.ranges = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Seq = Seq(u32::MAX - 50);

    /// A stream of which byte `i` is `i`.
    struct Stream {
        received: Reassembly,
        next: Seq,
        budget: Budget,
    }

    impl Stream {
        fn new() -> Self {
            let budget = Budget::new(1 << 20);
            Stream { received: Reassembly::default(), next: START, budget }
        }

        fn place(&mut self, from: u32, to: u32) -> Placed {
            let text: Vec<u8> = (from..to).map(|i| i as u8).collect();
            let placed = self.received.place(self.next, START + from, &text, &mut self.budget);
            if let Placed::InOrder(len) = placed {
                self.next = self.next + len;
            }
            placed
        }
    }

    #[test]
    fn holes_are_filled_in_any_order() {
        let mut stream = Stream::new();
        assert_eq!(stream.place(20, 30), Placed::Ahead);
        assert_eq!(stream.place(40, 50), Placed::Ahead);
        assert_eq!(stream.place(60, 70), Placed::Ahead);
        let block = |from, to| Some((START + from, START + to));
        assert_eq!(stream.received.blocks(), [block(60, 70), block(40, 50), block(20, 30)]);
        assert_eq!(stream.place(25, 45), Placed::Ahead);
        assert_eq!(stream.received.blocks(), [block(20, 50), block(60, 70), None]);
        assert_eq!(stream.place(0, 20), Placed::InOrder(50));
        assert_eq!(stream.place(50, 65), Placed::InOrder(20));
        assert!(!stream.received.has_holes());
        let mut text = [0; 100];
        assert_eq!(stream.received.read(&mut text, &mut stream.budget), 70);
        assert!(text[..70].iter().copied().eq(0..70));
    }

    #[test]
    fn ranges_are_bounded() {
        let mut stream = Stream::new();
        for i in 1..=RANGES_MAX as u32 {
            assert_eq!(stream.place(2 * i, 2 * i + 1), Placed::Ahead);
        }
        assert_eq!(stream.place(100, 101), Placed::Dropped);
        assert_eq!(stream.place(3, 4), Placed::Ahead, "it joins two");
        assert_eq!(stream.place(0, 2), Placed::InOrder(5));
    }

    #[test]
    fn without_memory_text_is_dropped_and_nothing_breaks() {
        let mut stream = Stream { budget: Budget::new(0), ..Stream::new() };
        assert_eq!(stream.place(0, 500), Placed::InOrder(500));
        assert_eq!(stream.place(600, 700), Placed::Dropped);
        assert_eq!(stream.place(500, 600), Placed::InOrder(12));
        assert_eq!(stream.place(512, 513), Placed::Dropped);
    }
}
