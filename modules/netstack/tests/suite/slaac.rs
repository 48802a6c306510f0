//! Router discovery and stateless addresses (RFC 4861 section 6.3, RFC 4862 section 5.5, RFC 8106).

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netstack::{SendError, UdpSocket};

use crate::harness::{
    Bell,
    bench::{Bench, INWARD},
    config, mac, wire,
};

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 53);

/// An advertisement of 2001:db8:1::/64 with lifetimes in seconds, of itself and of the address.
fn advertisement(router_secs: u16, address_secs: u32, mtu: u32) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(router_secs.to_be_bytes());
    message.extend([0; 8]);
    message.extend([3, 4, 64, 0xc0]);
    message.extend(address_secs.to_be_bytes());
    message.extend((address_secs / 2).to_be_bytes());
    message.extend([0; 4]);
    message.extend("2001:db8:1::".parse::<Ipv6Addr>().unwrap().octets());
    message.extend([5, 1, 0, 0]);
    message.extend(mtu.to_be_bytes());
    message.extend([25, 3, 0, 0]);
    message.extend(u32::from(router_secs).to_be_bytes());
    message.extend(DNS.octets());
    let macs = (INWARD.0, [0x33, 0x33, 0, 0, 0, 1]);
    wire::icmpv6(macs, [ROUTER, "ff02::1".parse().unwrap()], 255, &message)
}

fn global(bench: &Bench) -> Option<Ipv6Addr> {
    bench.stack().interfaces()[1].addresses.iter().find_map(|(ip, _)| match ip {
        IpAddr::V6(ip) if ip.segments()[0] == 0x2001 => Some(*ip),
        _ => None,
    })
}

/// RFC 4861 section 6.3.7: three questions, four seconds apart, if nobody answers.
#[test]
fn routers_are_looked_for() {
    let mut bench = Bench::silent(&config(1));
    bench.run_for(Duration::from_secs(100));
    let sent = bench.take_sent();
    let is_question = |frame: &&Vec<u8>| wire::icmp(frame).is_some_and(|(kind, ..)| kind == 133);
    let questions: Vec<_> = sent.iter().filter(is_question).collect();
    assert_eq!(questions.len(), 3);
    assert_eq!(questions[0][..6], [0x33, 0x33, 0, 0, 0, 2]);
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(1000));
    assert_eq!(bench.host.turns, 0);
}

/// RFC 4861 section 6.3.4, RFC 4862 section 5.5.3, RFC 8106 section 5.1.
#[test]
fn an_advertisement_gives_an_address_a_router_and_name_servers() {
    let mut bench = Bench::new();
    let stack = bench.stack();
    let far: SocketAddr = "[2001:db8:99::1]:53".parse().unwrap();
    let socket = UdpSocket::bind(&stack, "[::]:9".parse().unwrap()).unwrap();
    assert_eq!(socket.try_send_to(b"far", far), Err(SendError::Unreachable));
    let (bell, waker) = Bell::new();
    stack.register_config(&waker);
    bench.inject(&advertisement(1800, 3600, 1400));
    bench.settle();
    let ours = global(&bench).expect("an address");
    assert!(bell.rings() > 0);
    assert_eq!(stack.name_servers(), [IpAddr::V6(DNS)]);
    assert_eq!(stack.interfaces()[1].mtu, 1400);
    assert_eq!(ours.segments()[..4], [0x2001, 0xdb8, 1, 0]);
    let sent = bench.take_sent();
    let probed = sent.iter().filter_map(|frame| wire::solicited(frame)).next();
    assert_eq!(probed, Some((ours, Ipv6Addr::UNSPECIFIED)), "RFC 4862 section 5.4");

    bench.run_for(Duration::from_secs(2));
    bench.take_sent();
    for to in [far, "[2001:db8:1::77]:53".parse().unwrap()] {
        socket.try_send_to(b"far", to).unwrap();
        let sent = bench.take_sent();
        let (from, dest, _) = wire::udp(&sent[0]).unwrap();
        assert_eq!((from.ip(), dest, &sent[0][..6]), (ours.into(), to, &mac(2)[..]));
    }

    // The router goes first (RFC 4861 section 6.3.4: a lifetime of zero), the address later.
    bench.inject(&advertisement(0, 3600, 1400));
    bench.settle();
    assert_eq!(socket.try_send_to(b"far", far), Err(SendError::Unreachable));
    assert!(stack.name_servers().is_empty());
    assert_eq!(global(&bench), Some(ours));
    // RFC 4862 section 5.5.3 (e): two hours are left at least.
    bench.run_for(Duration::from_secs(3500));
    assert_eq!(global(&bench), Some(ours));
    bench.run_for(Duration::from_secs(7200));
    assert_eq!(global(&bench), None);
}

/// RFC 4861 section 6.1.2.
#[test]
fn forged_advertisements_are_dropped() {
    let mut bench = Bench::new();
    let mut forwarded = advertisement(1800, 3600, 1400);
    forwarded[21] = 64;
    bench.inject(&forwarded);
    let mut wrong = advertisement(1800, 3600, 1400);
    *wrong.last_mut().unwrap() ^= 1;
    bench.inject(&wrong);
    bench.settle();
    assert_eq!(global(&bench), None);
    let stats = bench.stats();
    assert_eq!((stats.dropped_malformed_ndp, stats.dropped_icmp_checksum), (1, 1));
}

/// RFC 7217 section 6: an address that another host has is replaced by another one.
#[test]
fn a_duplicate_gets_another_identifier() {
    let mut bench = Bench::new();
    bench.inject(&advertisement(1800, 3600, 1500));
    bench.settle();
    let first = global(&bench).unwrap();
    let macs = ([2, 0, 0, 0, 0, 7], [0x33, 0x33, 0, 0, 0, 1]);
    bench.inject(&wire::advertisement(macs, first, "ff02::1".parse().unwrap(), 0x20));
    bench.settle();
    let second = global(&bench).unwrap();
    assert_ne!(first, second);
    bench.run_for(Duration::from_secs(5));
    assert_eq!(global(&bench), Some(second));
}
