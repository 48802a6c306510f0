//! A ring of bytes that takes memory as it fills and gives it back when it is empty.

use alloc::{vec, vec::Vec};
use core::{fmt, ops::Range};

use crate::flow::Budget;

/// The least that a ring holds once it holds anything: a small request or answer.
pub(crate) const CAPACITY_MIN: usize = 512;
/// An empty ring keeps no more than this: room for the next request, but not for a bulk transfer.
const CAPACITY_KEPT: usize = 4096;

/// What a capacity takes of the budget. The least is counted with the connection: without it a
/// connection could wait for memory for ever.
fn charge(capacity: usize) -> usize {
    capacity.saturating_sub(CAPACITY_MIN)
}

/// Holds `len` bytes, counted from the oldest. Bytes may be written ahead of the end before they
/// count.
#[derive(Default)]
pub(crate) struct Ring {
    /// As long as the ring's capacity, which is zero or a power of two.
    bytes: Vec<u8>,
    head: usize,
    len: usize,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.len, self.bytes.len())
    }
}

impl Ring {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for `wanted` bytes in all, or for as many as the budget allows. Returns how many
    /// there is room for.
    #[inline]
    pub(crate) fn make_room(&mut self, wanted: usize, budget: &mut Budget) -> usize {
        if wanted > self.bytes.len() {
            self.grow(wanted, budget);
        }
        self.bytes.len()
    }

    fn grow(&mut self, wanted: usize, budget: &mut Budget) {
        let capacity = self.bytes.len();
        let mut grown = wanted.max(CAPACITY_MIN).next_power_of_two();
        while grown > capacity && !budget.reserve(charge(grown) - charge(capacity)) {
            grown /= 2;
        }
        if grown > capacity {
            self.move_to(grown);
        }
    }

    /// Whether [`make_room`](Self::make_room) would find room for one byte more than there are.
    pub(crate) fn may_grow(&self, budget: &Budget) -> bool {
        let capacity = self.bytes.len();
        let grown = (2 * capacity).max(CAPACITY_MIN);
        self.len < capacity || budget.fits(charge(grown) - charge(capacity))
    }

    fn move_to(&mut self, capacity: usize) {
        let mut bytes = vec![0; capacity];
        let kept = self.bytes.len().min(capacity);
        self.copy_to(0..kept, &mut bytes[..kept]);
        self.bytes = bytes;
        self.head = 0;
    }

    /// Writes `data` at `offset` bytes from the oldest. There must be room for it.
    pub(crate) fn write_at(&mut self, offset: usize, data: &[u8]) {
        let capacity = self.bytes.len();
        debug_assert!(offset + data.len() <= capacity, "room was made");
        let start = (self.head + offset) & (capacity.wrapping_sub(1));
        let straight = data.len().min(capacity - start);
        let (one, other) = data.split_at(straight);
        self.bytes[start..start + straight].copy_from_slice(one);
        if !other.is_empty() {
            self.bytes[..other.len()].copy_from_slice(other);
        }
    }

    /// Counts `len` more bytes, which have been written.
    pub(crate) fn extend(&mut self, len: usize) {
        self.len += len;
        debug_assert!(self.len <= self.bytes.len(), "room was made");
    }

    /// The bytes in `range`, in two pieces where the ring wraps.
    fn slices(&self, range: Range<usize>) -> (&[u8], &[u8]) {
        let capacity = self.bytes.len();
        if range.is_empty() {
            return (&[], &[]);
        }
        let start = (self.head + range.start) & (capacity - 1);
        let straight = range.len().min(capacity - start);
        (&self.bytes[start..start + straight], &self.bytes[..range.len() - straight])
    }

    /// Copies the bytes in `range` to `buffer`, which is as long.
    pub(crate) fn copy_to(&self, range: Range<usize>, buffer: &mut [u8]) {
        let (one, other) = self.slices(range);
        let (front, back) = buffer.split_at_mut(one.len());
        front.copy_from_slice(one);
        if !other.is_empty() {
            back.copy_from_slice(other);
        }
    }

    /// Copies the oldest bytes to `buffer`. Returns how many.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.len);
        self.copy_to(0..len, &mut buffer[..len]);
        len
    }

    /// Forgets the oldest `len` bytes.
    pub(crate) fn discard(&mut self, len: usize) {
        debug_assert!(len <= self.len);
        self.len -= len;
        if !self.bytes.is_empty() {
            self.head = (self.head + len) & (self.bytes.len() - 1);
        }
    }

    /// Whether it is empty and has more memory than an empty ring need keep.
    pub(crate) fn is_spacious(&self) -> bool {
        self.len == 0 && self.bytes.len() > CAPACITY_KEPT
    }

    /// Gives memory back that an empty ring need not keep. Nothing may be written ahead.
    pub(crate) fn rest(&mut self, budget: &mut Budget) {
        if self.is_spacious() {
            self.release(budget);
        }
    }

    /// The same if others need it: a transfer that goes on would soon take and clear it again.
    pub(crate) fn yield_to_others(&mut self, budget: &mut Budget) {
        if self.is_spacious() && budget.is_tight() {
            self.release(budget);
        }
    }

    /// Gives all memory back.
    pub(crate) fn release(&mut self, budget: &mut Budget) {
        budget.release(charge(self.bytes.len()));
        *self = Ring::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_wrapping_and_growing() {
        let mut budget = Budget::new(1 << 20);
        let mut ring = Ring::default();
        let mut expected = alloc::collections::VecDeque::new();
        for round in 0..2000_usize {
            let data: Vec<u8> = (0..round % 97).map(|i| (round + i) as u8).collect();
            assert!(ring.make_room(ring.len() + data.len(), &mut budget) >= data.len());
            ring.write_at(ring.len(), &data);
            ring.extend(data.len());
            expected.extend(data);
            let mut out = vec![0; round % 89];
            let len = ring.peek(&mut out);
            ring.discard(len);
            assert!(out[..len].iter().copied().eq(expected.drain(..len)));
        }
        assert_eq!((ring.len(), budget.used()), (expected.len(), charge(ring.bytes.len())));
        ring.discard(ring.len());
        ring.release(&mut budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_budget_bounds_it_and_an_empty_ring_rests() {
        let mut budget = Budget::new(10_000);
        let mut ring = Ring::default();
        assert_eq!(ring.make_room(60_000, &mut budget), 8192, "as much as there is");
        assert_eq!(ring.make_room(8193, &mut budget), 8192);
        assert_eq!(Ring::default().make_room(9000, &mut budget), 2048);
        assert_eq!(Ring::default().make_room(9000, &mut budget), 1024);
        assert_eq!(Ring::default().make_room(9000, &mut budget), 512, "never nothing");
        budget = Budget::new(10_000);
        budget.reserve(charge(8192));
        ring.write_at(0, &[1; 100]);
        ring.extend(100);
        ring.rest(&mut budget);
        assert_eq!(ring.bytes.len(), 8192);
        ring.discard(100);
        ring.rest(&mut budget);
        assert_eq!((ring.bytes.len(), budget.used()), (0, 0));
    }
}
