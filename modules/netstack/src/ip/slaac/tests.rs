//! Timelines of advertisements, and garbage.

use alloc::{vec, vec::Vec};
use core::{net::Ipv6Addr, time::Duration};

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{Output, Preference, Slaac, advert::Advert, identifier::IdentifierSource};
use crate::time::Instant;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SECRET: [u64; 2] = [7, 8];
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x12);
const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
const HOUR: u32 = 3600;
const L: u8 = 0x80;
const A: u8 = 0x40;

fn prefix(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 0)
}

/// A router advertisement in the making.
#[derive(Clone)]
struct Ra(Vec<u8>);

impl Ra {
    fn new(lifetime_secs: u16) -> Self {
        let [high, low] = lifetime_secs.to_be_bytes();
        let mut bytes = vec![134, 0, 0, 0, 64, 0, high, low];
        bytes.extend([0; 8]);
        // The source link-layer address.
        bytes.extend([1, 1, 2, 0, 0, 0, 0, 9]);
        Ra(bytes)
    }

    fn flags(mut self, flags: u8) -> Self {
        self.0[5] = flags;
        self
    }

    fn hop_limit(mut self, limit: u8) -> Self {
        self.0[4] = limit;
        self
    }

    fn prefix(mut self, prefix: Ipv6Addr, len: u8, flags: u8, valid: u32, preferred: u32) -> Self {
        self.0.extend([3, 4, len, flags]);
        self.0.extend(valid.to_be_bytes());
        self.0.extend(preferred.to_be_bytes());
        self.0.extend([0; 4]);
        self.0.extend(prefix.octets());
        self
    }

    fn mtu(mut self, mtu: u32) -> Self {
        self.0.extend([5, 1, 0, 0]);
        self.0.extend(mtu.to_be_bytes());
        self
    }

    fn dns(mut self, lifetime: u32, servers: &[Ipv6Addr]) -> Self {
        self.0.extend([25, 1 + 2 * servers.len() as u8, 0, 0]);
        self.0.extend(lifetime.to_be_bytes());
        self.0.extend(servers.iter().flat_map(|server| server.octets()));
        self
    }
}

struct World {
    now: Instant,
    slaac: Slaac,
    outputs: Vec<(u64, Output)>,
}

impl World {
    fn new() -> Self {
        let slaac = Slaac::new(SECRET, MAC, 1500, Instant::ZERO);
        World { now: Instant::ZERO, slaac, outputs: Vec::new() }
    }

    /// One that has told of its link-local address.
    fn begun() -> Self {
        let mut world = World::new();
        world.run(0);
        world.outputs.clear();
        world
    }

    fn poll(&mut self) {
        while let Some(output) = self.slaac.poll(self.now) {
            self.outputs.push(((self.now - Instant::ZERO).as_secs(), output));
        }
    }

    fn run(&mut self, secs: u32) {
        let end = self.now + Duration::from_secs(secs.into());
        self.poll();
        while let Some(at) = self.slaac.deadline().filter(|at| *at <= end) {
            assert!(at > self.now, "a deadline that polling does not move");
            self.now = at;
            self.poll();
        }
        self.now = end;
    }

    fn hear_from(&mut self, source: Ipv6Addr, ra: &Ra) -> Vec<Output> {
        self.outputs.clear();
        assert!(self.slaac.on_advert(source, 255, &ra.0, self.now));
        self.poll();
        self.said()
    }

    fn hear(&mut self, ra: &Ra) -> Vec<Output> {
        self.hear_from(ROUTER, ra)
    }

    fn said(&self) -> Vec<Output> {
        self.outputs.iter().map(|(_, output)| output.clone()).collect()
    }

    fn run_and_tell(&mut self, secs: u32) -> Vec<(u64, Output)> {
        self.outputs.clear();
        self.run(secs);
        self.outputs.clone()
    }
}

fn own(prefix: Ipv6Addr, duplicates: u8) -> Ipv6Addr {
    IdentifierSource::new(SECRET, MAC).address(prefix, duplicates)
}

fn add(address: Ipv6Addr) -> Output {
    Output::AddAddress { address, prefix_len: 64 }
}

fn deprecate(address: Ipv6Addr, is_deprecated: bool) -> Output {
    Output::SetDeprecated { address, is_deprecated }
}

/// RFC 4861 section 6.3.7.
#[test]
fn routers_are_solicited_three_times() {
    let mut world = World::new();
    world.run(100);
    let solicitations: Vec<_> =
        world.outputs.iter().filter(|(_, output)| *output == Output::SolicitRouters).collect();
    assert_eq!(solicitations.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 4, 8]);
    assert_eq!(world.slaac.deadline(), None);

    let mut world = World::begun();
    world.hear(&Ra::new(0));
    assert_eq!(world.run_and_tell(4), [(4, Output::SolicitRouters)], "that was no router");
    world.hear(&Ra::new(1800));
    assert!(world.run_and_tell(60).is_empty(), "a router has been heard");
    world.slaac.restart(world.now);
    assert_eq!(world.run_and_tell(0), [(64, Output::SolicitRouters)]);
}

/// RFC 7217: stable, different per prefix, host and secret; no trace of the hardware address.
#[test]
fn addresses_are_stable_and_opaque() {
    let mut world = World::new();
    world.run(0);
    let link_local = own("fe80::".parse().unwrap(), 0);
    assert_eq!(world.said(), [Output::SolicitRouters, add(link_local)]);
    assert!(link_local.is_unicast_link_local() && link_local.segments()[1..4] == [0; 3]);
    let identifier = |ip: Ipv6Addr| u128::from(ip) as u64;
    let first = identifier(own(prefix(1), 0));
    assert_ne!(first, identifier(own(prefix(2), 0)));
    assert_ne!(first, identifier(own(prefix(1), 1)));
    let another = IdentifierSource::new(SECRET, [2, 0, 0, 0, 0, 2]);
    assert_ne!(first, identifier(another.address(prefix(1), 0)));
    let another = IdentifierSource::new([7, 9], MAC);
    assert_ne!(first, identifier(another.address(prefix(1), 0)));
    assert_ne!(first >> 24 & 0xffff, 0xfffe, "not EUI-64");
}

/// RFC 4861 section 6.3.4, RFC 4862 section 5.5.3, RFC 8106 section 5.
#[test]
fn an_advertisement_configures_the_interface() {
    let mut world = World::begun();
    let ra = Ra::new(1800).mtu(1400).dns(600, &[DNS]);
    let ra = ra.prefix(prefix(1), 64, L | A, 2 * HOUR, HOUR);
    let said = world.hear(&ra);
    let (address, prefix_len) = (own(prefix(1), 0), 64);
    assert_eq!(
        said,
        [
            add(address),
            Output::AddPrefix { prefix: prefix(1), prefix_len },
            Output::DefaultRouter(Some(ROUTER)),
            Output::DnsServers(vec![DNS]),
            Output::Mtu(1400),
            Output::HopLimit(64),
        ]
    );
    assert!(world.hear(&ra).is_empty(), "nothing new");
    assert_eq!(
        world.run_and_tell(3 * HOUR),
        [
            (600, Output::DnsServers(vec![])),
            (1800, Output::DefaultRouter(None)),
            (3600, deprecate(address, true)),
            (7200, Output::RemoveAddress(address)),
            (7200, Output::RemovePrefix { prefix: prefix(1), prefix_len }),
        ]
    );
    assert_eq!(world.slaac.deadline(), None);
}

/// RFC 4861 section 6.1.2.
#[test]
fn invalid_advertisements_are_ignored() {
    let mut world = World::begun();
    let good = Ra::new(1800).prefix(prefix(1), 64, L | A, HOUR, HOUR);
    let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
    assert!(!world.slaac.on_advert(global, 255, &good.0, world.now), "not link-local");
    assert!(!world.slaac.on_advert(ROUTER, 64, &good.0, world.now), "forwarded");
    let mut bad = good.clone();
    bad.0[1] = 1;
    assert!(!world.slaac.on_advert(ROUTER, 255, &bad.0, world.now), "the code");
    let mut bad = good.clone();
    bad.0[0] = 133;
    assert!(!world.slaac.on_advert(ROUTER, 255, &bad.0, world.now), "a solicitation");
    assert!(!world.slaac.on_advert(ROUTER, 255, &good.0[..12], world.now), "too short");
    let cut = good.0.len() - 8;
    assert!(!world.slaac.on_advert(ROUTER, 255, &good.0[..cut], world.now), "half an option");
    let mut bad = good.clone();
    bad.0.extend([99, 0, 0, 0, 0, 0, 0, 0]);
    assert!(!world.slaac.on_advert(ROUTER, 255, &bad.0, world.now), "an option of no length");
    world.poll();
    assert!(world.outputs.is_empty());
    let mut unknown = good;
    unknown.0.extend([99, 1, 0, 0, 0, 0, 0, 0]);
    assert!(!world.hear(&unknown).is_empty(), "RFC 4861 section 6.2.1: others are skipped");
}

/// RFC 4862 section 5.5.3 (e).
#[test]
fn a_forged_lifetime_does_not_take_the_address_away() {
    let mut world = World::begun();
    let ra = |valid, preferred| Ra::new(1800).prefix(prefix(1), 64, A, valid, preferred);
    world.hear(&ra(10 * HOUR, 10 * HOUR));
    let address = own(prefix(1), 0);
    let ends = |world: &World| (world.slaac.addresses[1].valid_until - world.now).as_secs();
    assert_eq!(world.hear(&ra(0, 0)), [deprecate(address, true)], "preference may end at once");
    assert_eq!(ends(&world), 2 * 3600, "validity may not");
    world.run(HOUR);
    world.hear(&ra(60, 60));
    assert_eq!(ends(&world), 3600, "less than two hours remain: ignored");
    assert_eq!(world.run_and_tell(60), [(3660, deprecate(address, true))], "60 s preferred");
    assert_eq!(world.hear(&ra(5400, 5400)), [deprecate(address, false)], "more than remains");
    assert_eq!(ends(&world), 5400);
    world.hear(&ra(3 * HOUR, 60));
    assert_eq!(ends(&world), 3 * 3600, "more than two hours");
    world.hear(&ra(u32::MAX, u32::MAX));
    assert!(world.run_and_tell(u32::MAX).iter().all(|(_, output)| !is_removal(output)));
}

fn is_removal(output: &Output) -> bool {
    matches!(output, Output::RemoveAddress(_))
}

#[test]
fn prefixes_that_make_no_sense_are_ignored() {
    let mut world = World::begun();
    let ra = Ra::new(0)
        .hop_limit(0)
        .prefix("fe80::".parse().unwrap(), 64, L | A, HOUR, HOUR)
        .prefix("ff02::".parse().unwrap(), 64, L | A, HOUR, HOUR)
        .prefix("::".parse().unwrap(), 0, L | A, HOUR, HOUR)
        .prefix(prefix(2), 129, L | A, HOUR, HOUR)
        .prefix(prefix(3), 64, A, HOUR, 2 * HOUR)
        .prefix(prefix(4), 48, A, HOUR, HOUR)
        .prefix(prefix(5), 64, L | A, 0, 0)
        .prefix(prefix(6), 64, 0, HOUR, HOUR);
    assert!(world.hear(&ra).is_empty());
    let bits_beyond = Ra::new(0).prefix("2001:db8:0:7::ff".parse().unwrap(), 64, L | A, HOUR, HOUR);
    let expected =
        [add(own(prefix(7), 0)), Output::AddPrefix { prefix: prefix(7), prefix_len: 64 }];
    assert_eq!(world.hear(&bits_beyond.hop_limit(0)), expected);
}

#[test]
fn an_on_link_prefix_may_be_withdrawn() {
    let mut world = World::begun();
    let ra = |valid| Ra::new(1800).prefix(prefix(0x10), 60, L, valid, 0);
    world.hear(&ra(HOUR));
    let removed = Output::RemovePrefix { prefix: prefix(0x10), prefix_len: 60 };
    assert_eq!(world.hear(&ra(0)), [removed], "RFC 4861 section 6.3.4");
}

/// Tables are bounded; an MTU or a hop limit that would cut us off is not believed.
#[test]
fn a_flood_of_advertisements_is_bounded() {
    let mut world = World::begun();
    world.hear(&Ra::new(1800).prefix(prefix(0), 64, L | A, HOUR, HOUR).dns(HOUR, &[DNS]));
    for number in 1..500_u16 {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
        let server = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number);
        let ra = Ra::new(1800).mtu(if number % 2 == 0 { 1279 } else { 1501 }).hop_limit(1);
        let ra = ra.prefix(prefix(number), 64, L | A, HOUR, HOUR).dns(60, &[server]);
        world.hear_from(source, &ra);
    }
    assert_eq!((world.slaac.addresses.len(), world.slaac.prefixes.len()), (9, 8));
    assert_eq!((world.slaac.routers.len(), world.slaac.servers.len()), (4, 4));
    assert_eq!(world.slaac.told.router, Some(ROUTER));
    assert_eq!((world.slaac.told.mtu, world.slaac.told.hop_limit), (None, Some(64)));
    assert_eq!(world.slaac.told.servers[0], DNS, "the one with the longest life stays");
}

/// RFC 4191 section 3.1 and RFC 4861 section 6.3.6.
#[test]
fn the_best_router_that_answers_is_used() {
    let mut world = World::begun();
    let (high, low) = (0b0000_1000, 0b0001_1000);
    world.hear(&Ra::new(1800).hop_limit(0));
    assert!(world.hear_from(OTHER, &Ra::new(1800).hop_limit(0)).is_empty(), "no better");
    let preferred = Ra::new(1800).hop_limit(0).flags(high);
    assert_eq!(world.hear_from(OTHER, &preferred), [Output::DefaultRouter(Some(OTHER))]);
    world.slaac.on_router_unreachable(OTHER);
    assert_eq!(world.run_and_tell(0), [(0, Output::DefaultRouter(Some(ROUTER)))]);
    assert_eq!(world.hear_from(OTHER, &preferred), [Output::DefaultRouter(Some(OTHER))]);
    world.hear_from(OTHER, &preferred.clone().flags(low));
    assert_eq!(world.slaac.told.router, Some(ROUTER));
    world.hear(&Ra::new(0).hop_limit(0));
    assert_eq!(world.said(), [Output::DefaultRouter(Some(OTHER))], "it says that it is none");
    for number in 0..3 {
        world.hear_from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number), &Ra::new(1800));
    }
    let late = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 9);
    assert_eq!(world.hear_from(late, &preferred), [Output::DefaultRouter(Some(late))]);
    assert_eq!(
        Advert::parse(&Ra::new(0).flags(0b0001_0000).0).unwrap().preference,
        Preference::Medium
    );
}

/// RFC 4862 section 5.4.5, RFC 7217 section 6.
#[test]
fn a_duplicate_address_is_replaced_a_few_times() {
    let mut world = World::begun();
    world.hear(&Ra::new(1800).prefix(prefix(1), 64, A, HOUR, HOUR));
    for duplicates in 0..3 {
        let (old, new) = (own(prefix(1), duplicates), own(prefix(1), duplicates + 1));
        world.slaac.on_duplicate(old);
        let expected = [(0, Output::RemoveAddress(old)), (0, add(new))];
        assert_eq!(world.run_and_tell(0), expected);
    }
    world.slaac.on_duplicate(own(prefix(1), 3));
    assert_eq!(world.run_and_tell(0), [(0, Output::RemoveAddress(own(prefix(1), 3)))]);
    assert!(world.hear(&Ra::new(1800).prefix(prefix(1), 64, A, HOUR, HOUR)).is_empty());
    world.slaac.on_duplicate(prefix(9));
    assert!(world.run_and_tell(0).is_empty(), "not ours");
}

/// RFC 8106 section 5.1: a lifetime of zero withdraws a server.
#[test]
fn name_servers_come_and_go() {
    let mut world = World::begun();
    let second: Ipv6Addr = "2001:db8::54".parse().unwrap();
    world.hear(&Ra::new(1800).dns(600, &[DNS, second, "ff02::1".parse().unwrap()]));
    assert_eq!(world.slaac.told.servers, [DNS, second]);
    assert_eq!(world.hear(&Ra::new(1800).dns(0, &[DNS])), [Output::DnsServers(vec![second])]);
}

#[test]
fn garbage_is_harmless() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut world = World::begun();
    let good = Ra::new(1800).mtu(1400).dns(600, &[DNS]).prefix(prefix(1), 64, L | A, HOUR, HOUR);
    for round in 0..20_000_u32 {
        let mut bytes = good.0.clone();
        for _ in 0..rng.next_u32() % 6 {
            let place = rng.next_u32() as usize % bytes.len();
            bytes[place] ^= 1 << (rng.next_u32() % 8);
        }
        if round % 5 == 0 {
            rng.fill_bytes(&mut bytes[16..]);
        }
        bytes.truncate(bytes.len() - (rng.next_u32() as usize % 80).saturating_sub(40));
        world.slaac.on_advert(ROUTER, 255, &bytes, world.now);
        world.run(rng.next_u32() % 100);
        assert!(world.slaac.addresses.len() <= 9 && world.slaac.prefixes.len() <= 8);
    }
}
