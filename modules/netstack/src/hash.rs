//! A keyed hash for tables whose keys a remote party chooses, so that it cannot make them collide.

use core::hash::BuildHasher;

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
