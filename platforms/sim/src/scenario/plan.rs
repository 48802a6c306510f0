//! A scenario as a seed draws it.

use std::time::Duration;

use netdev::Offloads;
use netstack::Instant;

use crate::{
    impairment::{Chance, Outage, Rate, Rules},
    network::{HostId, Partition},
    nic::{Card, Pace, Reception},
    rng::Rng,
    switch::Forwarding,
};

/// The stream of a seed's random numbers that draws its plan.
const STREAM_PLAN: u64 = 0;
/// The one that draws what its cards do.
const STREAM_CARDS: u64 = 1;
/// The one that draws how fast they are, and what they keep away.
const STREAM_PACES: u64 = 2;

/// When faults end, at the latest.
const HEAL_AT_MAX: Duration = Duration::from_secs(60);
/// The longest outage: well below the 100 s for which TCP must be patient.
const OUTAGE_MAX: Duration = Duration::from_secs(12);

/// Everything that happens in a scenario.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whence it was drawn.
    pub seed: u64,
    /// The switch.
    pub forwarding: Forwarding,
    /// The hosts.
    pub hosts: Vec<HostPlan>,
    /// Hosts cut off from others.
    pub partitions: Vec<Partition>,
    /// When faults end.
    pub heal_at: Instant,
    /// What the hosts do.
    pub workloads: Vec<Workload>,
}

/// A host and its link.
#[derive(Debug, Clone)]
pub struct HostPlan {
    /// Frames that the card holds for the host.
    pub rx_ring: usize,
    /// Frames that the card holds for the link.
    pub tx_ring: usize,
    /// What the card does for the host.
    pub card: Card,
    /// The memory budget in bytes.
    pub memory_limit: usize,
    /// What its link does to what it sends.
    pub up: Rules,
    /// What its link does to what is sent to it.
    pub down: Rules,
}

/// A client on one host, and its server on another.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The client's host.
    pub client: HostId,
    /// The server's host.
    pub server: HostId,
    /// Over IPv6, between link-local addresses.
    pub is_ipv6: bool,
    /// When the client begins.
    pub start: Duration,
    /// What they do.
    pub kind: Kind,
}

/// What a client and its server do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connection with bytes both ways at the same time.
    Bulk {
        /// Bytes from the client.
        up: u64,
        /// Bytes to it.
        down: u64,
    },
    /// The same, from a client that gives every call a few milliseconds and then makes it again.
    Impatient {
        /// Bytes from the client.
        up: u64,
        /// Bytes to it.
        down: u64,
    },
    /// The client sends all, ends its half, and reads the answer.
    HalfClose {
        /// Bytes from the client.
        up: u64,
        /// Bytes to it.
        down: u64,
        /// How long the server rests between reads.
        pause: Duration,
    },
    /// Messages of random sizes there and back.
    Echo {
        /// Messages.
        rounds: u64,
        /// The longest one in bytes.
        len_max: u64,
    },
    /// Short connections.
    Short {
        /// How many.
        count: u64,
        /// How many at once.
        at_once: u64,
    },
    /// Short connections to a server that stops to listen, and listens again.
    Restarts {
        /// Connections.
        count: u64,
        /// How often the listener is replaced.
        restarts: u64,
    },
    /// Connections that one end aborts, or drops with unread data.
    Aborts {
        /// How many.
        count: u64,
    },
    /// Tasks that are stopped, and futures that are dropped, in the middle of a connection.
    Dropped {
        /// How many.
        count: u64,
    },
    /// A connection to a port where nobody listens.
    Refused,
    /// A connection to an address that nobody has.
    Nobody,
    /// Requests over UDP, repeated until they are answered.
    Datagrams {
        /// Requests.
        count: u64,
        /// The longest one in bytes; more than the MTU is fragmented.
        len_max: u64,
    },
    /// A client that sends everything before it reads anything, from a server that does both at the
    /// same time. Its window closes, and the server probes it while it acknowledges.
    Stubborn {
        /// Bytes from the client.
        up: u64,
        /// Bytes to it.
        down: u64,
    },
    /// Not drawn by any seed: a server that sends other bytes than it should.
    Lying,
    /// Not drawn by any seed: a server that never answers.
    Mute,
    /// Not drawn by any seed: a client that leaves a connection open.
    Hoarding,
    /// Not drawn by any seed: a client that polls without reason.
    Busy,
    /// Not drawn by any seed: a client that waits for what nobody will do.
    Forlorn,
}

impl Plan {
    /// The scenario of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, STREAM_PLAN);
        let [mut cards, mut paces] = [STREAM_CARDS, STREAM_PACES].map(|one| Rng::new(seed, one));
        let count = rng.between(2, 6) as usize;
        let heal_at = Instant::ZERO + rng.duration(Duration::from_secs(10), HEAL_AT_MAX);
        Plan {
            seed,
            forwarding: rng.pick(&[Forwarding::Learning, Forwarding::Flooding]),
            hosts: (0..count)
                .map(|_| {
                    let card = Card { pace: draw_pace(&mut paces), ..draw_card(&mut cards) };
                    let card = Card { filters: paces.one_in(2), ..card };
                    draw_host(&mut rng, card, heal_at)
                })
                .collect(),
            partitions: draw_partitions(&mut rng, count, heal_at),
            heal_at,
            workloads: (0..rng.between(1, 8)).map(|_| draw_workload(&mut rng, count)).collect(),
        }
    }

    /// Two hosts on good links, and one workload, for tests.
    pub fn single(seed: u64, kind: Kind) -> Self {
        let delay = Duration::from_micros(50);
        let rules = Rules { delay, ..Rules::default() };
        let host = HostPlan {
            rx_ring: 256,
            tx_ring: 256,
            card: Card::default(),
            memory_limit: 16 << 20,
            up: rules.clone(),
            down: rules,
        };
        let start = Duration::ZERO;
        Plan {
            seed,
            forwarding: Forwarding::Learning,
            hosts: vec![host.clone(), host],
            partitions: vec![],
            heal_at: Instant::ZERO + Duration::from_secs(1),
            workloads: vec![Workload { client: 0, server: 1, is_ipv6: false, start, kind }],
        }
    }
}

fn draw_host(rng: &mut Rng, card: Card, heal_at: Instant) -> HostPlan {
    HostPlan {
        // A datagram of seven fragments arrives in one burst: with less it never would.
        rx_ring: rng.pick(&[16, 64, 256]),
        tx_ring: rng.pick(&[1, 4, 16, 64, 256]),
        card,
        memory_limit: rng.pick(&[2 << 20, 16 << 20, 16 << 20]),
        up: draw_rules(rng, heal_at),
        // A frame is damaged once: the Internet checksum misses one in 32 pairs of flipped bits.
        down: Rules { corruption: Chance::NEVER, ..draw_rules(rng, heal_at) },
    }
}

fn draw_card(rng: &mut Rng) -> Card {
    // No card cuts that does not complete checksums.
    let checksum = !rng.one_in(4);
    Card {
        offloads: Offloads {
            checksum,
            segmentation_v4: checksum && !rng.one_in(4),
            segmentation_v6: checksum && !rng.one_in(4),
        },
        reception: rng.pick(&[Reception::Plain, Reception::Verifying, Reception::Joining]),
        // A frame and something besides, a few, one of the longest, many of them.
        tx_region: rng.pick(&[2000, 6000, 16 << 10, 64 << 10, 1 << 20]),
        ..Card::default()
    }
}

/// Half of the cards is fast. Others keep their rings full for long.
fn draw_pace(rng: &mut Rng) -> Pace {
    if rng.one_in(2) {
        return Pace::default();
    }
    Pace {
        interval: Duration::from_micros(rng.pick(&[10, 100, 1000, 3000])),
        pause_max: Duration::from_millis(rng.pick(&[0, 100, 2000])),
    }
}

fn draw_rules(rng: &mut Rng, heal_at: Instant) -> Rules {
    let delay = Duration::from_micros(rng.pick(&[5, 50, 1000, 20_000]));
    let quiet = Rules { delay, ..Rules::default() };
    // A third of the links is good: others' faults show best beside them.
    if rng.one_in(3) {
        return quiet;
    }
    let mut chance = |most: u64| match rng.one_in(2) {
        true => Chance::NEVER,
        false => Chance::per_mille(rng.between(1, most) as u32),
    };
    let rules = Rules {
        loss: chance(100),
        duplication: chance(100),
        corruption: chance(50),
        reordering: chance(200),
        ..quiet
    };
    Rules {
        lateness: rng.duration(Duration::from_micros(100), Duration::from_millis(50)),
        jitter: rng.duration(Duration::ZERO, delay),
        rate: rng.one_in(3).then(|| Rate {
            bits_per_second: rng.pick(&[256_000, 1_000_000, 10_000_000, 1_000_000_000]),
            queue_bytes: rng.between(4, 64) * 1024,
        }),
        outages: (0..rng.below(3)).map(|_| draw_outage(rng, heal_at)).collect(),
        ..rules
    }
}

fn draw_outage(rng: &mut Rng, heal_at: Instant) -> Outage {
    let from = Instant::ZERO + rng.duration(Duration::ZERO, heal_at - Instant::ZERO);
    Outage { from, until: from + rng.duration(Duration::from_millis(1), OUTAGE_MAX) }
}

fn draw_partitions(rng: &mut Rng, count: usize, heal_at: Instant) -> Vec<Partition> {
    let one = |rng: &mut Rng| Partition {
        outage: draw_outage(rng, heal_at),
        hosts: (0..count).filter(|_| rng.one_in(2)).collect(),
    };
    (0..rng.below(3)).map(|_| one(rng)).collect()
}

fn draw_workload(rng: &mut Rng, count: usize) -> Workload {
    let client = rng.below(count as u64) as usize;
    let server = (client + rng.between(1, count as u64 - 1) as usize) % count;
    Workload {
        client,
        server,
        is_ipv6: rng.one_in(4),
        start: rng.duration(Duration::ZERO, Duration::from_secs(10)),
        kind: draw_kind(rng),
    }
}

fn draw_kind(rng: &mut Rng) -> Kind {
    let bytes = |rng: &mut Rng| {
        let most = rng.pick(&[0, 1, 3000, 100_000, 400_000]);
        rng.between(0, most)
    };
    match rng.below(12) {
        0 => Kind::Bulk { up: bytes(rng), down: bytes(rng) },
        1 => Kind::Impatient { up: bytes(rng), down: bytes(rng) },
        2 => Kind::HalfClose {
            up: bytes(rng),
            down: bytes(rng),
            pause: rng.duration(Duration::ZERO, Duration::from_millis(100)),
        },
        3 => Kind::Echo { rounds: rng.between(1, 30), len_max: rng.pick(&[1, 100, 5000]) },
        4 => Kind::Short { count: rng.between(1, 60), at_once: rng.between(1, 20) },
        5 => Kind::Restarts { count: rng.between(1, 20), restarts: rng.between(1, 10) },
        6 => Kind::Aborts { count: rng.between(1, 20) },
        7 => Kind::Dropped { count: rng.between(1, 20) },
        8 => Kind::Refused,
        9 => Kind::Nobody,
        10 => Kind::Stubborn { up: bytes(rng), down: bytes(rng) },
        _ => Kind::Datagrams { count: rng.between(1, 30), len_max: rng.pick(&[10, 1400, 9000]) },
    }
}
