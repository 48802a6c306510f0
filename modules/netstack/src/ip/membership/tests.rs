//! Timelines of joins, queries and reports, and garbage.

use alloc::{vec, vec::Vec};
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use smoltcp::wire::{Icmpv6Packet, IgmpPacket, IgmpRepr, IgmpVersion, MldRecordType};

use super::{
    JoinError, Membership, MldReport, Transmit,
    message::{IgmpMessage, MldQuery},
    solicited_node,
};
use crate::{time::Instant, timed::Deadline};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x99);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

struct World {
    now: Instant,
    rng: ChaCha8Rng,
    groups: Membership,
    sent: Vec<(Instant, Transmit)>,
}

impl World {
    fn new() -> Self {
        let rng = ChaCha8Rng::seed_from_u64(4);
        World { now: Instant::ZERO, rng, groups: Membership::default(), sent: Vec::new() }
    }

    /// One that has joined the groups and said so.
    fn joined(groups: &[IpAddr]) -> Self {
        let mut world = World::new();
        groups.iter().for_each(|group| world.groups.join(*group, world.now).unwrap());
        world.run(Duration::from_secs(20));
        world.sent.clear();
        world
    }

    fn poll(&mut self) {
        while let Some(transmit) = self.groups.poll(self.now, &mut self.rng) {
            self.sent.push((self.now, transmit));
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.poll();
        while let Some(at) = self.groups.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now);
            self.now = at;
            self.poll();
        }
        self.now = end;
    }

    fn run_and_tell(&mut self, millis: u64) -> Vec<Transmit> {
        self.sent.clear();
        self.run(Duration::from_millis(millis));
        self.sent.iter().map(|(_, transmit)| transmit.clone()).collect()
    }

    fn hear(&mut self, message: &[u8]) -> bool {
        self.groups.on_igmp(message, self.now, &mut self.rng)
    }

    fn hear_mld(&mut self, message: &[u8]) -> bool {
        self.groups.on_mld(ROUTER, 1, message, self.now, &mut self.rng)
    }
}

/// An IGMP query of any version.
fn query(code: u8, group: Ipv4Addr, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..2].copy_from_slice(&[0x11, code]);
    bytes[4..8].copy_from_slice(&group.octets());
    IgmpPacket::new_unchecked(&mut bytes).fill_checksum();
    bytes
}

fn general_query() -> Vec<u8> {
    query(100, Ipv4Addr::UNSPECIFIED, 8)
}

fn others_report() -> Vec<u8> {
    match Transmit::igmp_report(GROUP) {
        Transmit::Igmp { message, .. } => message.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn mld_query(code: u16, group: Ipv6Addr, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[0] = 130;
    bytes[4..6].copy_from_slice(&code.to_be_bytes());
    bytes[8..24].copy_from_slice(&group.octets());
    bytes
}

fn mld(record: MldRecordType) -> Transmit {
    Transmit::Mld(MldReport { records: vec![(record, GROUP_6)] })
}

#[test]
fn the_device_is_told_of_other_groups_only() {
    let mut world = World::new();
    let told = |world: &mut World| {
        let is_told = world.groups.is_filtered();
        (!is_told).then(|| world.groups.for_filter().collect::<Vec<_>>())
    };
    let everybodys = ["224.0.0.1", "ff02::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let (v4, v6) = (GROUP.into(), GROUP_6.into());
    assert_eq!(told(&mut world).unwrap(), everybodys);
    for group in [v6, v4] {
        world.groups.join(group, world.now).unwrap();
    }
    assert_eq!(told(&mut world).unwrap(), [&everybodys[..], &[v4, v6]].concat());
    world.groups.join(v4, world.now).unwrap();
    world.groups.leave(v4, world.now);
    assert_eq!(told(&mut world), None, "somebody is left");
    // It is still here, for the report that it has been left.
    world.groups.leave(v6, world.now);
    assert_eq!(told(&mut world).unwrap(), [&everybodys[..], &[v4]].concat());
    world.groups.join(v6, world.now).unwrap();
    assert!(told(&mut world).unwrap().contains(&v6));
    world.run(Duration::from_secs(20));
    assert_eq!(told(&mut world), None);
}

/// RFC 2236 section 3: at once, and again within ten seconds.
#[test]
fn a_join_is_reported_twice() {
    let mut world = World::new();
    assert_eq!(world.groups.join(GROUP.into(), world.now), Ok(()));
    assert_eq!(world.groups.deadline(), Some(world.now));
    world.run(Duration::from_secs(60));
    let report = Transmit::igmp_report(GROUP);
    let sent: Vec<_> = world.sent.iter().map(|(_, transmit)| transmit).collect();
    assert_eq!(sent, [&report, &report]);
    assert_eq!(world.sent[0].0, Instant::ZERO);
    assert!((world.sent[1].0 - Instant::ZERO) <= Duration::from_secs(10));
    assert_eq!(world.groups.deadline(), None);

    let Transmit::Igmp { destination, message } = report else { panic!() };
    assert_eq!(destination, GROUP, "RFC 2236 section 9");
    assert_eq!(Transmit::IPV4_ROUTER_ALERT, [0x94, 4, 0, 0], "RFC 2113 section 2.1");
    let packet = IgmpPacket::new_checked(&message[..]).unwrap();
    let expected = IgmpRepr::MembershipReport { group_addr: GROUP, version: IgmpVersion::Version2 };
    assert!(packet.verify_checksum());
    assert_eq!(IgmpRepr::parse(&packet).unwrap(), expected);
}

/// RFC 2236 section 6: the first join and the last leave count.
#[test]
fn joins_are_counted() {
    let mut world = World::joined(&[GROUP.into()]);
    world.groups.join(GROUP.into(), world.now).unwrap();
    assert!(world.run_and_tell(20_000).is_empty());
    assert!(!world.groups.leave(GROUP.into(), world.now));
    assert!(world.run_and_tell(20_000).is_empty() && world.groups.contains(GROUP.into()));
    assert!(world.groups.leave(GROUP.into(), world.now));
    assert!(!world.groups.contains(GROUP.into()));
    let leave = Transmit::igmp_leave(GROUP);
    assert!(matches!(leave, Transmit::Igmp { destination, .. } if destination.octets()[3] == 2));
    assert_eq!(world.run_and_tell(20_000), [leave]);
    assert!(!world.groups.leave(GROUP.into(), world.now));
    assert!(world.groups.groups.is_empty() && world.groups.deadline().is_none());
}

/// RFC 2236 section 3: a random delay of at most the time that the query allows.
#[test]
fn queries_are_answered_in_time() {
    let second = Ipv4Addr::new(239, 1, 2, 4);
    let mut world = World::joined(&[GROUP.into(), second.into(), GROUP_6.into()]);
    assert!(world.hear(&query(20, Ipv4Addr::UNSPECIFIED, 8)));
    let sooner = world.groups.deadline();
    assert!(world.hear(&query(255, Ipv4Addr::UNSPECIFIED, 8)));
    assert_eq!(world.groups.deadline(), sooner, "a running timer is not put off");
    assert_eq!(world.run_and_tell(2000).len(), 2);
    assert!(world.run_and_tell(60_000).is_empty());
    world.hear(&query(20, GROUP, 8));
    assert_eq!(world.run_and_tell(60_000), [Transmit::igmp_report(GROUP)], "the one asked for");
    world.hear(&query(20, Ipv4Addr::new(239, 9, 9, 9), 8));
    assert!(world.run_and_tell(60_000).is_empty());
    let mut broken = query(20, GROUP, 8);
    broken[2] ^= 1;
    assert!(!world.hear(&broken), "its checksum");
    assert!(!world.hear(&query(20, Ipv4Addr::new(10, 0, 0, 1), 8)), "no group");
}

/// RFC 2236 sections 2.2 and 4, RFC 3376 section 4.1.1.
#[test]
fn each_version_has_its_response_time() {
    let tenths = |code, len| match IgmpMessage::parse(&query(code, GROUP, len)) {
        Some(IgmpMessage::Query { within, .. }) => within.as_millis() / 100,
        other => panic!("{other:?}"),
    };
    assert_eq!((tenths(0, 8), tenths(7, 8), tenths(0x80, 8)), (100, 7, 128));
    assert_eq!((tenths(0, 12), tenths(127, 12), tenths(0x80, 12)), (0, 127, 128));
    assert_eq!((tenths(0x9f, 12), tenths(0xff, 12)), (0x1f << 4, 0x1f << 10));
    let millis = |code, len| MldQuery::parse(&mld_query(code, GROUP_6, len)).unwrap().within;
    assert_eq!(millis(0x8000, 24).as_millis(), 0x8000, "RFC 2710 section 3.4");
    assert_eq!(millis(0x7fff, 28).as_millis(), 0x7fff, "RFC 3810 section 5.1.3");
    assert_eq!(millis(0x8000, 28).as_millis(), 0x8000);
    assert_eq!(millis(0xffff, 28).as_millis(), 0x1fff << 10);
}

/// RFC 2236 section 3: another's report will do, and then another says when it leaves.
#[test]
fn anothers_report_suppresses_ours() {
    let mut world = World::joined(&[GROUP.into()]);
    world.hear(&general_query());
    assert!(world.hear(&others_report()));
    assert!(world.run_and_tell(60_000).is_empty());
    assert!(world.groups.leave(GROUP.into(), world.now));
    assert!(world.run_and_tell(60_000).is_empty());
    assert!(world.groups.groups.is_empty());
}

/// RFC 2236 section 6, RFC 3810 section 6.
#[test]
fn everybody_belongs_to_some_groups() {
    let mut world = World::new();
    let silent = ["224.0.0.1", "ff02::1", "ff01::5"].map(|ip| ip.parse::<IpAddr>().unwrap());
    assert!(world.groups.contains(silent[0]) && world.groups.contains(silent[1]));
    assert!(!world.groups.contains(silent[2]));
    silent.iter().for_each(|ip| world.groups.join(*ip, world.now).unwrap());
    world.hear(&general_query());
    world.hear_mld(&mld_query(1000, Ipv6Addr::UNSPECIFIED, 28));
    assert!(world.groups.contains(silent[2]));
    assert!(silent.iter().all(|ip| world.groups.leave(*ip, world.now)));
    assert!(world.run_and_tell(60_000).is_empty());
    assert!(world.groups.groups.is_empty());
}

/// RFC 3810 section 6.1: changes of state, each twice within a second.
#[test]
fn ipv6_joins_and_leaves_are_reported_twice() {
    let mut world = World::new();
    world.groups.join(GROUP_6.into(), world.now).unwrap();
    let join = mld(MldRecordType::ChangeToExclude);
    assert_eq!(world.run_and_tell(1000), [join.clone(), join.clone()]);
    world.groups.leave(GROUP_6.into(), world.now);
    world.poll();
    world.groups.join(GROUP_6.into(), world.now).unwrap();
    assert_eq!(world.run_and_tell(1000), [join.clone(), join], "the second leave is overtaken");
    world.groups.leave(GROUP_6.into(), world.now);
    let leave = mld(MldRecordType::ChangeToInclude);
    assert_eq!(world.run_and_tell(60_000), [leave.clone(), leave]);
    assert!(world.groups.groups.is_empty());
}

/// RFC 3810 section 6.2: one report for all groups; queries of routers on the link only.
#[test]
fn ipv6_queries_are_answered() {
    let address: Ipv6Addr = "fe80::1:2:3".parse().unwrap();
    let node = solicited_node(address);
    assert_eq!(node, "ff02::1:ff02:3".parse::<Ipv6Addr>().unwrap());
    let mut world = World::joined(&[GROUP_6.into(), node.into(), GROUP.into()]);
    let general = mld_query(2000, Ipv6Addr::UNSPECIFIED, 28);
    let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
    assert!(!world.groups.on_mld(global, 1, &general, world.now, &mut world.rng));
    assert!(!world.groups.on_mld(ROUTER, 64, &general, world.now, &mut world.rng));
    assert!(world.hear_mld(&general));
    let state = MldRecordType::ModeIsExclude;
    let records = vec![(state, node), (state, GROUP_6)];
    assert_eq!(world.run_and_tell(2000), [Transmit::Mld(MldReport { records })]);
    for len in [24, 28, 44] {
        assert!(world.hear_mld(&mld_query(2000, GROUP_6, len)));
        assert_eq!(world.run_and_tell(2000), [mld(state)]);
    }
    assert!(!world.hear_mld(&mld_query(2000, GROUP_6, 26)), "RFC 3810 section 8.1");
    assert!(!world.hear_mld(&mld_query(2000, ROUTER, 28)), "no group");
}

/// RFC 3810 sections 5.2 and 5.2.14, RFC 2711 section 2.1.
#[test]
fn a_report_has_its_headers() {
    let report = MldReport { records: vec![(MldRecordType::ModeIsExclude, GROUP_6); 2] };
    let bytes = report.emit(ROUTER);
    assert_eq!(&bytes[..8], &[58, 0, 5, 2, 0, 0, 1, 0]);
    let packet = Icmpv6Packet::new_checked(&bytes[8..]).unwrap();
    assert!(packet.verify_checksum(&ROUTER, &MldReport::DESTINATION));
    assert_eq!(bytes[8], 143);
    assert_eq!(&bytes[14..16], &[0, 2]);
    assert_eq!(&bytes[16..20], &[2, 0, 0, 0]);
    assert_eq!(&bytes[20..36], &GROUP_6.octets());
}

#[test]
fn groups_are_bounded() {
    let mut world = World::new();
    let group = |number: u16| IpAddr::from(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, number));
    assert_eq!(world.groups.join(ROUTER.into(), world.now), Err(JoinError::NotMulticast));
    for number in 0..64 {
        assert_eq!(world.groups.join(group(number), world.now), Ok(()));
    }
    assert_eq!(world.groups.join(group(64), world.now), Err(JoinError::TooMany));
    assert_eq!(world.groups.join(group(5), world.now), Ok(()), "it is in the table");
    assert_eq!(world.groups.groups().count(), 64);
    let records = |sent: &[Transmit]| {
        let count = |transmit: &Transmit| match transmit {
            Transmit::Mld(report) => report.records.len(),
            Transmit::Igmp { .. } => 0,
        };
        sent.iter().map(count).collect::<Vec<_>>()
    };
    assert_eq!(records(&world.run_and_tell(0)), [50, 14]);
    world.run(Duration::from_secs(2));
    world.groups.leave(group(0), world.now);
    assert_eq!(world.groups.join(group(64), world.now), Ok(()), "one that was left gives way");
    world.run(Duration::from_secs(2));
    world.groups.restart(world.now);
    assert_eq!(records(&world.run_and_tell(0)), [50, 14]);
}

/// However often it is asked.
#[test]
fn a_flood_of_queries_is_not_answered_one_by_one() {
    let mut world = World::joined(&[GROUP_6.into()]);
    for _ in 0..1000 {
        world.hear_mld(&mld_query(0, Ipv6Addr::UNSPECIFIED, 28));
        world.run(Duration::from_millis(1));
    }
    assert!(world.sent.len() < 200, "{} answers in a second", world.sent.len());
}

#[test]
fn garbage_is_harmless() {
    let mut world = World::joined(&[GROUP.into(), GROUP_6.into()]);
    let good = [general_query(), query(20, GROUP, 12), others_report()];
    let good_6 = [mld_query(2000, GROUP_6, 24), mld_query(0xffff, Ipv6Addr::UNSPECIFIED, 44)];
    for round in 0..20_000 {
        let is_igmp = round % 2 == 0;
        let mut bytes =
            if is_igmp { good[round / 2 % 3].clone() } else { good_6[round / 2 % 2].clone() };
        for _ in 0..world.rng.next_u32() % 6 {
            let place = world.rng.next_u32() as usize % bytes.len();
            bytes[place] ^= 1 << (world.rng.next_u32() % 8);
        }
        if round % 7 == 0 {
            world.rng.fill_bytes(&mut bytes);
        }
        bytes.truncate(bytes.len() - world.rng.next_u32() as usize % 5);
        if is_igmp {
            if round % 4 == 0 && bytes.len() >= 8 {
                IgmpPacket::new_unchecked(&mut bytes).fill_checksum();
            }
            world.hear(&bytes);
        } else {
            world.hear_mld(&bytes);
        }
        world.run(Duration::from_millis(100));
        world.sent.clear();
    }
    assert!(!world.hear(&[]) && !world.hear_mld(&[]));
}
