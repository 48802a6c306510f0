//! What a link does to frames: rules, and their application to one direction of one link.
//!
//! No clock and no randomness of its own, so that a relay for real frames can use the same rules.

use std::{fmt, time::Duration};

use netstack::Instant;

use crate::rng::Rng;

/// How probable something is, in parts per million.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

impl Chance {
    /// It does not happen.
    pub const NEVER: Chance = Chance(0);

    /// `n` times in a thousand; more than 1000 are always.
    pub const fn per_mille(n: u32) -> Self {
        Chance(n * 1000)
    }

    /// `n` times in a million; more than a million are always.
    pub const fn parts_per_million(n: u32) -> Self {
        Chance(n)
    }

    fn happens(self, rng: &mut Rng) -> bool {
        self != Self::NEVER && rng.below(1_000_000) < u64::from(self.0)
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 10_000.0)
    }
}

/// A line's speed, and what may wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bits per second; must not be zero.
    pub bits_per_second: u64,
    /// Bytes that may wait, the frame that is being sent included. What exceeds it is lost.
    pub queue_bytes: u64,
}

/// A time during which nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// The first instant.
    pub from: Instant,
    /// The first instant at which frames pass again.
    pub until: Instant,
}

impl Outage {
    /// Whether it is on at `now`.
    pub fn covers(&self, now: Instant) -> bool {
        self.from <= now && now < self.until
    }
}

/// What one direction of a link does to frames. The default is nothing: they arrive at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Frames that vanish.
    pub loss: Chance,
    /// Frames that arrive twice, each with a delay of its own.
    pub duplication: Chance,
    /// Frames that arrive with one bit flipped.
    ///
    /// The bit lies behind the Ethernet header, and ARP is spared: both have no checksum but that
    /// of Ethernet, which on a real link catches the flip.
    pub corruption: Chance,
    /// Frames that arrive `lateness` later, overtaken by those behind them.
    pub reordering: Chance,
    /// See `reordering`.
    pub lateness: Duration,
    /// What every frame takes.
    pub delay: Duration,
    /// At most this much more, at random. It does not change the order.
    pub jitter: Duration,
    /// The line's speed; unlimited if `None`.
    pub rate: Option<Rate>,
    /// When the link is cut.
    pub outages: Vec<Outage>,
}

/// What has become of the frames so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to the link.
    pub offered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost to an outage.
    pub cut: u64,
    /// Lost because the line's queue was full.
    pub overflowed: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrivals with a flipped bit.
    pub corrupted: u64,
    /// Arrivals that were held back.
    pub reordered: u64,
}

/// A frame's arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When.
    pub at: Instant,
    /// What.
    pub frame: Vec<u8>,
}

/// Rules, applied to one direction of a link.
#[derive(Debug, Clone, Default)]
pub struct Impairment {
    rules: Rules,
    counters: Counters,
    /// When the line has sent everything that waits for it, in nanoseconds: at high speeds a frame
    /// takes a fraction of a microsecond.
    line_free_ns: u64,
    /// The last arrival in order.
    last_arrival: Instant,
}

impl Impairment {
    /// Rules for a link that is idle.
    pub fn new(rules: Rules) -> Self {
        Impairment { rules, ..Self::default() }
    }

    /// Changes the rules. What is under way arrives as it would have.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What becomes of a frame that is sent at `now`: none, one or two arrivals, none before `now`.
    pub fn apply(&mut self, frame: &[u8], now: Instant, rng: &mut Rng) -> Vec<Delivery> {
        self.counters.offered += 1;
        if self.rules.outages.iter().any(|outage| outage.covers(now)) {
            self.counters.cut += 1;
            return Vec::new();
        }
        if self.rules.loss.happens(rng) {
            self.counters.lost += 1;
            return Vec::new();
        }
        let Some(sent) = self.serialize(frame.len(), now) else {
            self.counters.overflowed += 1;
            return Vec::new();
        };
        let is_doubled = self.rules.duplication.happens(rng);
        self.counters.duplicated += u64::from(is_doubled);
        (0..1 + usize::from(is_doubled)).map(|_| self.carry(frame, sent, rng)).collect()
    }

    /// When the line has sent the frame, unless its queue is full.
    fn serialize(&mut self, len: usize, now: Instant) -> Option<Instant> {
        let Some(rate) = self.rules.rate else {
            return Some(now);
        };
        let now_ns = now.micros() * 1000;
        let waiting_ns = self.line_free_ns.saturating_sub(now_ns);
        let bits = u128::from(waiting_ns) * u128::from(rate.bits_per_second);
        let waiting = bits.div_ceil(8_000_000_000);
        if waiting + len as u128 > u128::from(rate.queue_bytes) {
            return None;
        }
        let takes_ns = len as u64 * 8_000_000_000 / rate.bits_per_second;
        self.line_free_ns = self.line_free_ns.max(now_ns) + takes_ns;
        Some(Instant::from_micros(self.line_free_ns.div_ceil(1000)))
    }

    fn carry(&mut self, frame: &[u8], sent: Instant, rng: &mut Rng) -> Delivery {
        let mut frame = frame.to_vec();
        if self.rules.corruption.happens(rng) && flip_a_bit(&mut frame, rng) {
            self.counters.corrupted += 1;
        }
        let jitter = rng.duration(Duration::ZERO, self.rules.jitter);
        let in_order = (sent + self.rules.delay + jitter).max(self.last_arrival);
        if self.rules.reordering.happens(rng) {
            self.counters.reordered += 1;
            return Delivery { at: in_order + self.rules.lateness, frame };
        }
        self.last_arrival = in_order;
        Delivery { at: in_order, frame }
    }
}

/// Returns whether there was a bit that may be flipped.
fn flip_a_bit(frame: &mut [u8], rng: &mut Rng) -> bool {
    const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
    let Some((header, payload)) = frame.split_at_mut_checked(netdev::ETHERNET_HEADER_LEN) else {
        return false;
    };
    if header[12..] == ETHERTYPE_ARP || payload.is_empty() {
        return false;
    }
    let bit = rng.below(payload.len() as u64 * 8) as usize;
    payload[bit / 8] ^= 1 << (bit % 8);
    true
}
