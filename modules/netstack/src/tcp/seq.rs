//! Sequence numbers: a circle of 2^32 (RFC 9293 section 3.4).

use core::{
    cmp::Ordering,
    ops::{Add, Sub},
};

/// A sequence number. Two of them compare as the shorter way around the circle has it, so only
/// numbers less than 2^31 apart may be compared: those of one connection's windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    pub(crate) fn max(self, other: Seq) -> Seq {
        if self < other { other } else { self }
    }

    pub(crate) fn min(self, other: Seq) -> Seq {
        if self < other { self } else { other }
    }
}

impl PartialOrd for Seq {
    fn partial_cmp(&self, other: &Seq) -> Option<Ordering> {
        let distance = self.0.wrapping_sub(other.0) as i32;
        Some(distance.cmp(&0))
    }
}

impl Add<u32> for Seq {
    type Output = Seq;

    fn add(self, len: u32) -> Seq {
        Seq(self.0.wrapping_add(len))
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;

    fn sub(self, len: u32) -> Seq {
        Seq(self.0.wrapping_sub(len))
    }
}

/// How far `self` is ahead of an earlier number.
impl Sub<Seq> for Seq {
    type Output = u32;

    fn sub(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_goes_around_the_circle() {
        let last = Seq(u32::MAX);
        assert!(last < last + 1);
        assert_eq!((last + 10) - last, 10);
        assert_eq!((last + 1) - 1, last);
        assert_eq!(last.max(Seq(3)), Seq(3));
        assert_eq!(last.min(Seq(3)), last);
    }
}
