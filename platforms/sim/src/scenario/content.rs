//! The bytes that streams carry: each stream has its own, and knows every one of them.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// What has passed one end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Bytes.
    pub len: u64,
    /// A hash of all of them.
    pub hash: u64,
}

/// The content of one stream, from its beginning on.
#[derive(Debug, Clone)]
pub struct Content {
    key: u64,
    offset: u64,
    hasher: SipHasher13,
}

impl Content {
    /// The stream with this key.
    pub fn new(key: u64) -> Self {
        Content { key, offset: 0, hasher: SipHasher13::new() }
    }

    /// The next bytes.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        self.generate(buffer);
        self.hasher.write(buffer);
        self.offset += buffer.len() as u64;
    }

    /// Takes the next bytes from somebody else. Returns whether they are the right ones.
    pub fn check(&mut self, received: &[u8]) -> bool {
        let mut expected = vec![0; received.len()];
        self.generate(&mut expected);
        self.hasher.write(received);
        self.offset += received.len() as u64;
        expected == received
    }

    /// What has passed so far.
    pub fn digest(&self) -> Digest {
        Digest { len: self.offset, hash: self.hasher.finish() }
    }

    fn generate(&self, buffer: &mut [u8]) {
        for (offset, byte) in (self.offset..).zip(buffer) {
            *byte = mix(self.key ^ mix(offset / 8)).to_le_bytes()[(offset % 8) as usize];
        }
    }
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of `word`.
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_matter_and_a_flipped_bit_does() {
        let (mut whole, mut pieces) = ([0; 100], [0; 100]);
        let mut writer = Content::new(7);
        writer.fill(&mut whole);
        let mut other = Content::new(7);
        pieces.chunks_mut(13).for_each(|piece| other.fill(piece));
        assert_eq!((whole, writer.digest()), (pieces, other.digest()));

        let mut reader = Content::new(7);
        assert!(reader.check(&whole[..50]));
        whole[60] ^= 4;
        assert!(!reader.check(&whole[50..]));
        assert_ne!(reader.digest(), writer.digest());
        assert!(!Content::new(8).check(&pieces), "another stream has other bytes");
    }
}
