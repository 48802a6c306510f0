//! What happens to frames between two hosts, decided by a seed.

use std::time::Duration;

use chacha20::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
use netstack::Instant;

use super::wire;

/// The time that a frame takes.
const LATENCY: Duration = Duration::from_micros(50);

/// A frame that has been sent: when, by which host, what.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) from: usize,
    pub(crate) frame: Vec<u8>,
}

/// How many frames per thousand suffer what.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lost: u32,
    pub(crate) duplicated: u32,
    pub(crate) delayed: u32,
    pub(crate) corrupted: u32,
}

impl Faults {
    /// `per_mille` of each.
    pub(crate) fn all(per_mille: u32) -> Self {
        Faults { lost: per_mille, duplicated: per_mille, delayed: per_mille, corrupted: per_mille }
    }
}

type Filter = Box<dyn FnMut(&Sent) -> bool>;

/// A link in both directions.
pub(crate) struct Link {
    faults: Faults,
    rng: ChaCha8Rng,
    /// Frames for which it says no are lost.
    filter: Filter,
    /// Everything sent, if wanted.
    pub(crate) log: Option<Vec<Sent>>,
    pub(crate) count: u64,
}

impl Link {
    pub(crate) fn perfect() -> Self {
        Self::faulty(Faults::default(), 0)
    }

    pub(crate) fn faulty(faults: Faults, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Link { faults, rng, filter: Box::new(|_| true), log: None, count: 0 }
    }

    /// Loses the frames that `pass` says no to.
    pub(crate) fn filter(&mut self, pass: impl FnMut(&Sent) -> bool + 'static) {
        self.filter = Box::new(pass);
    }

    /// Carries everything again.
    pub(crate) fn mend(&mut self) {
        self.filter(|_| true);
    }

    /// Loses everything from now on.
    pub(crate) fn cut(&mut self) {
        self.filter(|_| false);
    }

    pub(crate) fn record(&mut self) {
        self.log = Some(Vec::new());
    }

    /// What has been recorded since the last look.
    pub(crate) fn recorded(&mut self) -> Vec<Sent> {
        self.log.replace(Vec::new()).unwrap_or_default()
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.rng.next_u32() % 1000 < per_mille
    }

    /// Decides when the frame arrives, how often and in which state.
    pub(crate) fn carry(
        &mut self,
        at: Instant,
        from: usize,
        frame: Vec<u8>,
    ) -> Vec<(Duration, Vec<u8>)> {
        self.count += 1;
        let sent = Sent { at, from, frame };
        let passes = (self.filter)(&sent);
        if let Some(log) = &mut self.log {
            log.push(sent.clone());
        }
        let faults = self.faults;
        if !passes || self.happens(faults.lost) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.happens(faults.duplicated));
        (0..copies).map(|_| self.fly(sent.frame.clone(), faults)).collect()
    }

    fn fly(&mut self, mut frame: Vec<u8>, faults: Faults) -> (Duration, Vec<u8>) {
        let delay = match self.happens(faults.delayed) {
            true => LATENCY + Duration::from_micros(u64::from(self.rng.next_u32() % 1000)),
            false => LATENCY,
        };
        // ARP has no checksum; a damaged one would be caught by Ethernet's.
        if self.happens(faults.corrupted) && !wire::is_arp(&frame) {
            let index = 14 + self.rng.next_u32() as usize % (frame.len() - 14);
            frame[index] ^= 1 << (self.rng.next_u32() % 8);
        }
        (delay, frame)
    }
}
