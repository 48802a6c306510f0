//! Initial sequence numbers that nobody outside can predict (RFC 6528).
//!
//! A clock plus a secret hash of the connection's ends: numbers of the same two ends grow with time,
//! by which a new connection is told from an old one in TIME-WAIT; those of others say nothing.

use core::hash::BuildHasher;

use super::seq::Seq;
use crate::{flow::Tuple, hash::Keyed, time::Instant};

/// The clock ticks every 4 microseconds, as RFC 9293 section 3.4.1 has it.
const TICK_MICROS: u64 = 4;

#[derive(Debug)]
pub(crate) struct IsnSource(Keyed);

impl IsnSource {
    /// Nothing else may be hashed with `secret`.
    pub(crate) fn new(secret: Keyed) -> Self {
        IsnSource(secret)
    }

    pub(crate) fn isn(&self, tuple: &Tuple, now: Instant) -> Seq {
        let hash = self.0.hash_one(tuple) as u32;
        let clock = (now.micros() / TICK_MICROS) as u32;
        Seq(hash.wrapping_add(clock))
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;

    #[test]
    fn numbers_of_one_tuple_follow_the_clock_and_others_tell_nothing() {
        let source = IsnSource::new(Keyed::new([1, 2]));
        let tuple = |port| Tuple {
            local: SocketAddr::from(([10, 0, 0, 1], 80)),
            remote: SocketAddr::from(([10, 0, 0, 2], port)),
        };
        let first = source.isn(&tuple(1000), Instant::ZERO);
        assert_eq!(source.isn(&tuple(1000), Instant::from_micros(4_000_000)) - first, 1_000_000);
        let distance = |port| source.isn(&tuple(port), Instant::ZERO) - first;
        assert!((1001..1100).all(|port| distance(port).min(distance(port).wrapping_neg()) > 1000));
        let other = IsnSource::new(Keyed::new([1, 3]));
        assert_ne!(other.isn(&tuple(1000), Instant::ZERO), first);
    }
}
