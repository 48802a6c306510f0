//! Fragments put together (RFC 791 section 3.2, RFC 8200 section 4.5, RFC 5722).

use alloc::{collections::VecDeque, vec::Vec};
use core::{net::IpAddr, time::Duration};

use super::interface::InterfaceId;
use crate::time::Instant;

/// Datagrams that may be incomplete at a time.
const DATAGRAMS_MAX: usize = 32;
/// Bytes that incomplete datagrams may take: four of the longest.
const BYTES_MAX: usize = 256 * 1024;
/// Separate stretches that one datagram may have arrived in. Reordering makes a few; the longest
/// datagram has 45 pieces at an MTU of 1500.
const STRETCHES_MAX: usize = 64;
/// How long a datagram may take to arrive. RFC 8200 section 4.5 says 60 s and RFC 1122 section 3.3.2
/// 60 to 120; pieces that are sent together do not lie 30 s apart, and memory is dear.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest payload of an IP packet.
const LEN_MAX: usize = 65_535;

/// Identifies the datagram that a fragment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) interface: InterfaceId,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Of IPv4 only: RFC 8200 identifies by addresses and number alone.
    pub(crate) protocol: u8,
    pub(crate) ident: u32,
}

/// A piece of a datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment<'a> {
    pub(crate) key: Key,
    pub(crate) offset: usize,
    pub(crate) more_follow: bool,
    pub(crate) data: &'a [u8],
    /// What stands before the payload in the whole packet. The first fragment's counts.
    pub(crate) header: &'a [u8],
}

/// What a fragment led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Held,
    /// A packet without its lengths set right.
    Whole {
        packet: Vec<u8>,
        header_len: usize,
    },
    /// The fragment is impossible, or its datagram has been rejected.
    Rejected,
    /// It overlaps another one: the datagram is rejected (RFC 5722 section 3).
    Overlaps,
}

#[derive(Debug)]
struct Datagram {
    key: Key,
    expires: Instant,
    header: Vec<u8>,
    data: Vec<u8>,
    /// Where it has arrived, in order, not touching each other.
    stretches: Vec<(usize, usize)>,
    total: Option<usize>,
    is_rejected: bool,
}

impl Datagram {
    fn new(key: Key, expires: Instant) -> Self {
        Datagram {
            key,
            expires,
            header: Vec::new(),
            data: Vec::new(),
            stretches: Vec::new(),
            total: None,
            is_rejected: false,
        }
    }

    fn bytes(&self) -> usize {
        self.data.len() + self.header.len()
    }

    fn is_whole(&self) -> bool {
        self.total.is_some_and(|total| self.stretches == [(0, total)])
    }

    /// Whether the fragment repeats bytes that have arrived, exactly.
    fn has(&self, fragment: &Fragment<'_>) -> bool {
        let end = fragment.offset + fragment.data.len();
        self.stretches.iter().any(|&(from, to)| from <= fragment.offset && end <= to)
            && self.data[fragment.offset..end] == *fragment.data
    }

    fn overlaps(&self, from: usize, to: usize) -> bool {
        self.stretches.iter().any(|&(known_from, known_to)| from < known_to && known_from < to)
    }

    /// Whether the fragment contradicts where the datagram ends.
    fn contradicts(&self, end: usize, more_follow: bool) -> bool {
        match self.total {
            Some(total) => end > total || (!more_follow && end != total),
            None => !more_follow && self.data.len() > end,
        }
    }

    fn take(&mut self, fragment: &Fragment<'_>) {
        let end = fragment.offset + fragment.data.len();
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[fragment.offset..end].copy_from_slice(fragment.data);
        if fragment.offset == 0 {
            self.header = fragment.header.into();
        }
        if !fragment.more_follow {
            self.total = Some(end);
        }
        self.note(fragment.offset, end);
    }

    fn note(&mut self, from: usize, to: usize) {
        let place = self.stretches.partition_point(|&(start, _)| start < from);
        self.stretches.insert(place, (from, to));
        if self.stretches.get(place + 1).is_some_and(|&(start, _)| start == to) {
            self.stretches[place].1 = self.stretches.remove(place + 1).1;
        }
        if place > 0 && self.stretches[place - 1].1 == from {
            self.stretches[place - 1].1 = self.stretches.remove(place).1;
        }
    }

    fn into_packet(mut self) -> Outcome {
        let header_len = self.header.len();
        self.header.append(&mut self.data);
        Outcome::Whole { packet: self.header, header_len }
    }
}

/// The datagrams that are incomplete.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    /// Oldest first.
    datagrams: VecDeque<Datagram>,
    bytes: usize,
    /// Given up since the last look.
    pub(crate) evicted: u64,
}

impl Reassembly {
    pub(crate) fn insert(&mut self, fragment: &Fragment<'_>, now: Instant) -> Outcome {
        let end = fragment.offset + fragment.data.len();
        let is_ragged = fragment.more_follow && !fragment.data.len().is_multiple_of(8);
        if fragment.data.is_empty() || is_ragged || end + fragment.header.len() > LEN_MAX {
            return Outcome::Rejected;
        }
        let index = self.find(fragment.key, now);
        let datagram = &mut self.datagrams[index];
        if datagram.is_rejected {
            return Outcome::Rejected;
        }
        if datagram.has(fragment) {
            // A duplicate (RFC 8200 section 4.5 lets us ignore it).
            return Outcome::Held;
        }
        if datagram.overlaps(fragment.offset, end) {
            self.reject(index);
            return Outcome::Overlaps;
        }
        if datagram.contradicts(end, fragment.more_follow)
            || datagram.stretches.len() >= STRETCHES_MAX
        {
            self.reject(index);
            return Outcome::Rejected;
        }
        let before = datagram.bytes();
        datagram.take(fragment);
        self.bytes += datagram.bytes() - before;
        if datagram.is_whole() {
            return self.remove(index).into_packet();
        }
        while self.bytes > BYTES_MAX {
            self.evict_oldest();
        }
        Outcome::Held
    }

    fn find(&mut self, key: Key, now: Instant) -> usize {
        if let Some(index) = self.datagrams.iter().position(|datagram| datagram.key == key) {
            return index;
        }
        if self.datagrams.len() >= DATAGRAMS_MAX {
            self.evict_oldest();
        }
        self.datagrams.push_back(Datagram::new(key, now + TIMEOUT));
        self.datagrams.len() - 1
    }

    fn evict_oldest(&mut self) {
        if !self.datagrams.is_empty() {
            self.remove(0);
            self.evicted += 1;
        }
    }

    /// Keeps the datagram's name, so that the rest of it is rejected as well.
    fn reject(&mut self, index: usize) {
        let datagram = &mut self.datagrams[index];
        self.bytes -= datagram.bytes();
        (datagram.header, datagram.data, datagram.stretches) = Default::default();
        datagram.is_rejected = true;
    }

    fn remove(&mut self, index: usize) -> Datagram {
        let datagram = self.datagrams.remove(index).expect("the index was just found");
        self.bytes -= datagram.bytes();
        datagram
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.datagrams.front().map(|datagram| datagram.expires)
    }

    /// Gives up what has not arrived in time. Returns how many datagrams that were.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let mut expired = 0;
        while self.deadline().is_some_and(|expires| expires <= now) {
            expired += u64::from(!self.remove(0).is_rejected);
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn key(ident: u32) -> Key {
        let ip = IpAddr::from([10, 0, 0, 1]);
        Key { interface: InterfaceId::FIRST, source: ip, destination: ip, protocol: 17, ident }
    }

    fn fragment(ident: u32, offset: usize, more_follow: bool, data: &[u8]) -> Fragment<'_> {
        Fragment { key: key(ident), offset, more_follow, data, header: b"head" }
    }

    fn whole(data: &[u8]) -> Outcome {
        Outcome::Whole { packet: [b"head", data].concat(), header_len: 4 }
    }

    #[test]
    fn pieces_come_in_any_order_and_twice() {
        let mut reassembly = Reassembly::default();
        let data: Vec<u8> = (0..30).collect();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            for (index, piece) in order.into_iter().enumerate() {
                let (from, to) = (piece * 8, (piece * 8 + 8).min(30));
                let fragment = fragment(1, from, to < 30, &data[from..to]);
                let outcome = reassembly.insert(&fragment, Instant::ZERO);
                match index {
                    3 => assert_eq!(outcome, whole(&data)),
                    _ => {
                        assert_eq!(outcome, Outcome::Held);
                        assert_eq!(reassembly.insert(&fragment, Instant::ZERO), Outcome::Held);
                    }
                }
            }
            assert_eq!((reassembly.datagrams.len(), reassembly.bytes), (0, 0));
        }
    }

    /// RFC 5722 section 3: the datagram is gone, and what is left of it.
    #[test]
    fn an_overlap_rejects_the_datagram() {
        let mut reassembly = Reassembly::default();
        let mut insert = |offset, more, data: &[u8]| {
            reassembly.insert(&fragment(1, offset, more, data), Instant::ZERO)
        };
        assert_eq!(insert(0, true, &[1; 16]), Outcome::Held);
        assert_eq!(insert(8, true, &[2; 16]), Outcome::Overlaps);
        assert_eq!(insert(16, false, &[1; 16]), Outcome::Rejected);
        assert_eq!(insert(0, true, &[1; 16]), Outcome::Rejected);
        assert_eq!(reassembly.bytes, 0);
    }

    #[test]
    fn impossible_pieces_are_rejected() {
        let mut reassembly = Reassembly::default();
        let mut insert = |ident, offset, more, data: &[u8]| {
            reassembly.insert(&fragment(ident, offset, more, data), Instant::ZERO)
        };
        assert_eq!(insert(1, 0, true, &[1; 9]), Outcome::Rejected);
        assert_eq!(insert(1, 0, false, &[]), Outcome::Rejected);
        assert_eq!(insert(1, 65_528, false, &[1; 8]), Outcome::Rejected);
        assert_eq!(insert(2, 16, false, &[1; 8]), Outcome::Held);
        assert_eq!(insert(2, 24, true, &[1; 8]), Outcome::Rejected, "behind the end");
        assert_eq!(insert(3, 16, true, &[1; 8]), Outcome::Held);
        assert_eq!(insert(3, 0, false, &[1; 8]), Outcome::Rejected, "a second end");
    }

    #[test]
    fn memory_is_bounded_and_time_is_up() {
        let mut reassembly = Reassembly::default();
        for ident in 0..1000 {
            let data = vec![1; 8];
            reassembly.insert(&fragment(ident, 60_000, true, &data), Instant::ZERO);
            assert!(reassembly.bytes <= BYTES_MAX);
        }
        assert_eq!(reassembly.datagrams.len(), BYTES_MAX / 60_008);
        assert_eq!(reassembly.evicted, 1000 - 4);
        assert_eq!(reassembly.expire(Instant::ZERO), 0);
        assert_eq!(reassembly.expire(Instant::ZERO + TIMEOUT), 4);
        assert_eq!((reassembly.bytes, reassembly.deadline()), (0, None));
        for ident in 0..1000 {
            reassembly.insert(&fragment(ident, 8, true, &[1; 8]), Instant::ZERO);
        }
        assert_eq!(reassembly.datagrams.len(), DATAGRAMS_MAX);
    }
}
