//! Random numbers for applications.

use chacha20::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::{runtime::Handle, sync::Mutex};

/// The stack draws from the stream of the same seed with number 0; the streams of one key are
/// independent of each other.
const STREAM: u64 = 1;

/// A generator whose numbers nobody can predict who does not know the seed.
pub(crate) struct Random(Mutex<ChaCha12Rng>);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut generator = ChaCha12Rng::from_seed(seed);
        generator.set_stream(STREAM);
        Random(Mutex::new(generator))
    }
}

/// Fills `bytes` with random numbers that are fit for keys: the generator is seeded from the
/// machine's entropy at every boot.
///
/// ```no_run
/// let mut key = [0; 32];
/// netasync::fill_random(&mut key);
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn fill_random(bytes: &mut [u8]) {
    Handle::current().0.random.0.lock().fill_bytes(bytes);
}
