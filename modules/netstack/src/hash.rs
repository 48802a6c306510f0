//! Keyed hashes of what a remote party chooses, so that it can neither foresee them nor make the
//! entries of a table collide.
//!
//! [`Keyed`] is for what is seen outside, such as sequence numbers. [`TableHasher`] is for tables: less
//! than half as dear, because nobody sees what it makes.

use core::{
    fmt,
    hash::{BuildHasher, Hasher},
};

use rand_core::Rng;
use siphasher::sip::SipHasher13;

/// SipHash-1-3 with a key drawn at every boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyed([u64; 2]);

impl Keyed {
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Keyed(key)
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

/// Words of 64 bits that a key of a table has at most: four of IPv6 addresses, one of ports.
const WORDS_MAX: usize = 5;

/// NH, the almost universal hash of UMAC (RFC 4418 section 5.2.2), with keys drawn at every boot: two
/// keys of a table that were chosen without seeing hashes collide about once in 2^32 boots.
#[derive(Clone, Copy)]
pub(crate) struct TableHasher {
    keys: [u64; WORDS_MAX],
    /// Odd: spreads a sum over all bits, which tables need and NH does not promise.
    spread: u64,
}

impl TableHasher {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        let keys = core::array::from_fn(|_| rng.next_u64());
        TableHasher { keys, spread: rng.next_u64() | 1 }
    }
}

impl fmt::Debug for TableHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableHasher").finish_non_exhaustive()
    }
}

impl BuildHasher for TableHasher {
    type Hasher = Sum;

    #[inline]
    fn build_hasher(&self) -> Sum {
        Sum { hasher: *self, words: 0, sum: 0 }
    }
}

/// A hash under way.
#[derive(Debug)]
pub(crate) struct Sum {
    hasher: TableHasher,
    words: usize,
    sum: u64,
}

impl Hasher for Sum {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        debug_assert!(self.words < WORDS_MAX, "keys of tables are short");
        let key = self.hasher.keys[self.words % WORDS_MAX];
        let low = (word as u32).wrapping_add(key as u32);
        let high = ((word >> 32) as u32).wrapping_add((key >> 32) as u32);
        self.sum = self.sum.wrapping_add(u64::from(low) * u64::from(high));
        self.words += 1;
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    #[inline]
    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    #[inline]
    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        // Tuples that differ by steps make sums that do. Multiplied once they would still; folded in
        // between they do not.
        let once = fold(self.sum, self.hasher.spread);
        fold(once, self.hasher.spread.rotate_left(32))
    }
}

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}

/// For tests of tables.
#[cfg(test)]
pub(crate) fn table_hasher(seed: u64) -> TableHasher {
    use rand_core::SeedableRng;
    TableHasher::new(&mut chacha20::ChaCha12Rng::seed_from_u64(seed))
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, vec::Vec};
    use core::net::SocketAddr;

    use super::*;
    use crate::flow::Tuple;

    fn tuple(local: &str, remote: &str, port: u16) -> Tuple {
        let local = SocketAddr::new(local.parse().unwrap(), 80);
        Tuple { local, remote: SocketAddr::new(remote.parse().unwrap(), port) }
    }

    const V4: [&str; 2] = ["10.0.2.15", "10.0.2.2"];
    const V6: [&str; 2] = ["2001:db8::15", "2001:db8::2"];

    /// Tables take the place of an entry from the low bits of its hash, and tell entries of one place
    /// apart by the high ones.
    #[test]
    fn neighbouring_tuples_spread_over_low_and_high_bits() {
        for (seed, [local, remote]) in (0..500).flat_map(|seed| [(seed, V4), (seed, V6)]) {
            let hasher = table_hasher(seed);
            let hashes: Vec<_> =
                (0..4096).map(|port| hasher.hash_one(tuple(local, remote, port))).collect();
            let busiest = |place: fn(u64) -> u64| {
                let mut places = BTreeMap::<u64, usize>::new();
                hashes.iter().for_each(|hash| *places.entry(place(*hash)).or_default() += 1);
                places.into_values().max().unwrap()
            };
            assert!(busiest(|hash| hash % 256) < 48, "seed {seed}: 16 would be even");
            assert!(busiest(|hash| hash >> 57) < 80, "seed {seed}: 32 would be even");
        }
    }

    #[test]
    fn every_part_of_a_tuple_counts_and_so_does_the_seed() {
        let hash = |seed, local, remote, port| {
            let hasher = table_hasher(seed);
            hasher.hash_one(tuple(local, remote, port))
        };
        for [local, remote] in [V4, V6] {
            let one = hash(1, local, remote, 1000);
            assert_eq!(one, hash(1, local, remote, 1000));
            assert_ne!(one, hash(1, remote, local, 1000));
            assert_ne!(one, hash(1, local, remote, 1001));
            assert_ne!(one, hash(2, local, remote, 1000));
        }
        assert_ne!(hash(1, "::ffff:10.0.2.15", "::ffff:10.0.2.2", 1), hash(1, V4[0], V4[1], 1));
    }
}
