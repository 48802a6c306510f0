//! A running hash of everything that happens on the wires.

use std::hash::Hasher;

use netstack::Instant;
use siphasher::sip::SipHasher13;

#[derive(Debug, Default)]
pub(crate) struct Trace(SipHasher13);

impl Trace {
    pub(crate) fn frame(&mut self, at: Instant, port: usize, is_up: bool, frame: &[u8]) {
        self.0.write_u64(at.micros());
        self.0.write_u64(port as u64 * 2 + u64::from(is_up));
        self.0.write_u64(frame.len() as u64);
        self.0.write(frame);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0.finish()
    }
}
