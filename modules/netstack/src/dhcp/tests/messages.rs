//! What is believed of a message: sane values, in any field, and no garbage.

use alloc::{vec, vec::Vec};
use core::{net::Ipv4Addr, time::Duration};

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{
    super::{
        State,
        message::{Reply, code},
    },
    ACK, Answer, Change, LEASED, MAC, NAK, OFFER, OTHER, SERVER, World, secs,
};

/// RFC 2132 sections 9.11 and 9.12, and RFC 2131 section 4.4.5: T1 < T2 < lease.
#[test]
fn renewal_times_count_if_they_make_sense() {
    let told = |t1: u32, t2: u32| {
        let world = World::bound(|answer| {
            let answer = answer.with(code::RENEWAL_TIME, &t1.to_be_bytes());
            answer.with(code::REBINDING_TIME, &t2.to_be_bytes())
        });
        let times = match &world.client.state {
            State::Leased { lease, .. } => lease.times.unwrap(),
            other => panic!("{other:?}"),
        };
        (times.renew.as_secs(), times.rebind.as_secs())
    };
    assert_eq!(told(100, 900), (100, 900));
    assert_eq!(told(0, 900), (500, 900), "no renewal without end");
    assert_eq!(told(950, 900), (500, 900));
    assert_eq!(told(100, 1000), (100, 875));
    assert_eq!(told(u32::MAX, 0), (500, 875));
}

/// RFC 2131 sections 4.1 and 4.4.1: what an offer must have and whom it is for.
#[test]
fn bad_offers_are_not_believed() {
    let bad: &[(&str, Change)] = &[
        ("another transaction", |answer| Answer { xid: answer.xid ^ 1, ..answer }),
        ("another client", |answer| Answer { mac: [2, 0, 0, 0, 0, 9], ..answer }),
        ("no server", |answer| answer.with(code::SERVER_ID, &[])),
        ("a server that is none", |answer| answer.with(code::SERVER_ID, &[0; 4])),
        ("no lease time", |answer| answer.with(code::LEASE_TIME, &[])),
        ("a short lease time", |answer| answer.with(code::LEASE_TIME, &[1])),
        ("no kind", |answer| answer.with(code::MESSAGE_TYPE, &[])),
        ("a request", |answer| answer.with(code::MESSAGE_TYPE, &[3])),
        ("a mask with a hole", |answer| answer.with(code::SUBNET_MASK, &[255, 0, 255, 0])),
        ("an empty mask", |answer| answer.with(code::SUBNET_MASK, &[0; 4])),
        ("no address", |answer| answer.address([0; 4])),
        ("the broadcast address", |answer| answer.address([255; 4])),
        ("loopback", |answer| answer.address([127, 0, 0, 1])),
        ("multicast", |answer| answer.address([224, 0, 0, 1])),
        ("class E", |answer| answer.address([240, 0, 0, 1])),
        ("the network", |answer| answer.address([10, 0, 0, 0])),
        ("the network's broadcast", |answer| answer.address([10, 0, 0, 255])),
    ];
    let mut world = World::new();
    world.run(Duration::ZERO);
    for (what, spoil) in bad {
        assert!(!world.hear(&spoil(Answer::new(OFFER, world.xid()))), "{what}");
    }
    assert!(!world.hear(&Answer::new(ACK, world.xid())), "nothing was asked for");
    assert!(!world.hear(&Answer::new(NAK, world.xid())), "nothing was asked for");
    let mut not_ethernet = Answer::new(OFFER, world.xid()).bytes();
    not_ethernet[1] = 6;
    assert!(!world.client.on_message(&not_ethernet, world.now));
    assert_eq!(world.sent.len(), 1);

    assert!(world.hear(&Answer::new(OFFER, world.xid())));
    let others = Answer::new(ACK, world.xid()).address([10, 0, 0, 78]);
    assert!(!world.hear(&others), "not what was asked for");
    let foreign = Answer::new(NAK, world.xid()).with(code::SERVER_ID, &OTHER.octets());
    assert!(!world.hear(&foreign), "another server has no say");
    assert!(world.hear(&Answer::new(ACK, world.xid())));
}

/// RFC 2132 sections 3.3, 3.5, 3.8 and 5.1.
#[test]
fn the_configuration_is_bounded_and_sane() {
    let configured = |change: Change| {
        let world = World::bound(change);
        world.client.announced.unwrap()
    };
    let many: Change = |answer| {
        let routers = [[0, 0, 0, 0], [192, 0, 2, 1], LEASED.octets(), [10, 0, 0, 9]].concat();
        let dns: Vec<u8> = (0..9).flat_map(|last| [10, 0, 1, last / 2]).collect();
        answer.with(code::ROUTER, &routers).with(code::DNS_SERVER, &dns)
    };
    let config = configured(many);
    assert_eq!(config.gateway, Some([10, 0, 0, 9].into()), "the one on the link");
    assert_eq!(config.dns, [Ipv4Addr::new(10, 0, 1, 0), Ipv4Addr::new(10, 0, 1, 1)]);
    let cloud: Change = |answer| answer.with(code::SUBNET_MASK, &[255; 4]);
    assert_eq!((configured(cloud).prefix_len, configured(cloud).gateway), (32, Some(SERVER)));
    let classful: Change = |answer| answer.with(code::SUBNET_MASK, &[]);
    assert_eq!(configured(classful).prefix_len, 8, "RFC 950 section 2.1");
    let mtu = |told: Change| configured(told).mtu;
    assert_eq!(mtu(|answer| answer.with(code::INTERFACE_MTU, &1400_u16.to_be_bytes())), Some(1400));
    assert_eq!(mtu(|answer| answer.with(code::INTERFACE_MTU, &68_u16.to_be_bytes())), None);
    assert_eq!(mtu(|answer| answer.with(code::INTERFACE_MTU, &9000_u16.to_be_bytes())), None);
}

/// RFC 2131 section 4.1 and RFC 2132 section 9.3: options in `file`, then in `sname`; RFC 3396: a
/// list in two options.
#[test]
fn options_may_lie_in_other_fields() {
    let answer = Answer::new(OFFER, 7).with(code::OVERLOAD, &[3]).with(code::DNS_SERVER, &[]);
    let mut bytes = answer.bytes();
    bytes[108..116].copy_from_slice(&[code::PAD, code::DNS_SERVER, 4, 10, 0, 0, 8, code::END]);
    bytes[44..51].copy_from_slice(&[code::DNS_SERVER, 4, 10, 0, 0, 9, code::END]);
    let reply = Reply::parse(&bytes, MAC).unwrap();
    assert_eq!(reply.dns, [Ipv4Addr::new(10, 0, 0, 8), Ipv4Addr::new(10, 0, 0, 9)]);
}

#[test]
fn garbage_is_harmless() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for round in 0..4000_u32 {
        let mut world = World::new();
        world.run(Duration::ZERO);
        let xid = world.xid();
        for kind in [OFFER, ACK, NAK] {
            let answer = Answer::new(kind, xid).with(code::OVERLOAD, &[(round % 4) as u8]);
            let mut bytes = answer.bytes();
            for _ in 0..rng.next_u32() % 6 {
                let place = rng.next_u32() as usize % bytes.len();
                bytes[place] ^= 1 << (rng.next_u32() % 8);
            }
            if round % 3 == 0 {
                rng.fill_bytes(&mut bytes[240..]);
            }
            bytes.truncate(bytes.len() - rng.next_u32() as usize % 40);
            world.client.on_message(&bytes, world.now);
            world.poll();
        }
        world.client.on_message(&vec![0xff; round as usize % 300], world.now);
        world.run(secs(100));
        assert!(world.sent.len() < 50);
    }
}
