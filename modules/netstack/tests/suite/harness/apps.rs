//! Applications: what tests do with sockets again and again.

mod tcp;

use std::time::Duration;

pub(crate) use self::tcp::*;

pub(crate) const BACKLOG: usize = 16;
/// Long enough for whatever is not meant to take long.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// `len` bytes that repeat nowhere soon, different for every `seed`.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    use chacha20::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
    let mut data = vec![0; len];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut data);
    data
}
