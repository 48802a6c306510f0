//! Neighbours that change, lie and flood: ARP (RFC 826) and neighbour discovery (RFC 4861).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netstack::{InterfaceId, UdpSocket};
use smoltcp::wire::{ArpOperation, IpProtocol};

use crate::harness::{
    at,
    bench::{Bench, INWARD},
    config, mac, wire,
};

const PEER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn ip6(bench: &Bench) -> Ipv6Addr {
    match bench.host.ip6() {
        IpAddr::V6(ip) => ip,
        IpAddr::V4(_) => unreachable!(),
    }
}

/// A host that has been up for a while, whose neighbours have not spoken.
fn quiet() -> Bench {
    let mut bench = Bench::silent(&config(1));
    bench.run_for(Duration::from_secs(20));
    bench.take_sent();
    bench
}

fn sockets(bench: &Bench) -> UdpSocket {
    UdpSocket::bind(&bench.stack(), "[::]:7".parse().unwrap()).unwrap()
}

/// Stations that datagrams went to, and stations that were asked.
fn stations(bench: &mut Bench) -> (Vec<[u8; 6]>, Vec<[u8; 6]>) {
    let sent = bench.take_sent();
    let station = |frame: &Vec<u8>| <[u8; 6]>::try_from(&frame[..6]).unwrap();
    let datagrams = sent.iter().filter(|frame| wire::udp(frame).is_some()).map(station).collect();
    let is_question =
        |frame: &&Vec<u8>| wire::arp_target(frame).is_some() || wire::solicited(frame).is_some();
    (datagrams, sent.iter().filter(is_question).map(station).collect())
}

/// RFC 4861 section 7.2.2: asked by its group three times; told once found.
#[test]
fn a_neighbour_is_solicited_and_found() {
    let mut bench = quiet();
    let socket = sockets(&bench);
    socket.try_send_to(b"hello", SocketAddr::new(PEER.into(), 9)).unwrap();
    bench.run_for(Duration::from_millis(500));
    let (datagrams, questions) = stations(&mut bench);
    assert_eq!((datagrams.len(), questions), (0, vec![[0x33, 0x33, 0xff, 0, 0, 2]]));
    let ours = ip6(&bench);
    bench.inject(&wire::advertisement(INWARD, PEER, ours, 0x60));
    assert_eq!(stations(&mut bench), (vec![mac(2)], vec![]));

    let absent: IpAddr = "fe80::99".parse().unwrap();
    socket.try_send_to(b"hello", SocketAddr::new(absent, 9)).unwrap();
    bench.run_for(Duration::from_secs(10));
    let (datagrams, questions) = stations(&mut bench);
    assert_eq!((datagrams.len(), questions.len()), (0, 3));
    assert_eq!(bench.stats().dropped_no_neighbour, 1);
}

/// RFC 4861 section 7.3.3: a stale entry is used at once and probed, at the station alone.
#[test]
fn a_stale_neighbour_is_used_while_it_is_probed() {
    for peer in [at(2, 9), SocketAddr::new(PEER.into(), 9)] {
        let mut bench = quiet();
        let socket = sockets(&bench);
        let ours = ip6(&bench);
        let answer = move |bench: &mut Bench, from: [u8; 6]| match peer.ip() {
            IpAddr::V4(ip) => {
                let us = Ipv4Addr::new(10, 0, 0, 1);
                bench.inject(&wire::arp((from, mac(1)), ArpOperation::Reply, ip, us));
            }
            IpAddr::V6(ip) => bench.inject(&wire::advertisement((from, mac(1)), ip, ours, 0x60)),
        };
        let send = |bench: &mut Bench| {
            socket.try_send_to(b"hello", peer_of(peer)).unwrap();
            bench.run_for(Duration::from_millis(1));
            stations(bench)
        };
        send(&mut bench);
        answer(&mut bench, mac(2));
        bench.settle();
        bench.take_sent();
        assert_eq!(send(&mut bench), (vec![mac(2)], vec![]));
        bench.run_for(Duration::from_secs(61));
        assert_eq!(send(&mut bench), (vec![mac(2)], vec![mac(2)]), "used and probed");
        assert_eq!(send(&mut bench), (vec![mac(2)], vec![]), "once a second");
        // It has moved to another station (RFC 4861 section 7.2.5: the override flag).
        answer(&mut bench, mac(3));
        assert_eq!(send(&mut bench), (vec![mac(3)], vec![]));
        bench.run_for(Duration::from_secs(61));
        for _ in 0..3 {
            assert_eq!(send(&mut bench).0, [mac(3)]);
            bench.run_for(Duration::from_secs(1));
        }
        let (datagrams, questions) = send(&mut bench);
        assert_eq!((datagrams.len(), questions.len()), (0, 1), "everybody is asked");
        assert_ne!(questions[0], mac(3));
    }
}

fn peer_of(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(peer) => SocketAddr::new(peer.ip().to_ipv6_mapped().into(), peer.port()),
        peer => peer,
    }
}

/// A table full of forged senders costs those that flows talk to nothing.
#[test]
fn floods_of_strangers_leave_friends_alone() {
    let mut bench = quiet();
    let socket = sockets(&bench);
    let ours = ip6(&bench);
    let six = SocketAddr::new(PEER.into(), 9);
    for peer in [peer_of(at(2, 9)), six] {
        socket.try_send_to(b"hello", peer).unwrap();
    }
    bench.settle();
    bench.answer_arp([10, 0, 0, 2].into());
    bench.inject(&wire::advertisement(INWARD, PEER, ours, 0x60));
    bench.settle();
    for number in 0..5000_u16 {
        let [high, low] = number.to_be_bytes();
        let macs = ([2, 9, 9, 9, high, low], mac(1));
        let forged = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, number);
        bench.inject(&wire::solicitation(macs, forged, ours));
        let sender = Ipv4Addr::new(10, 0, 0, 3 + low % 200);
        bench.inject(&wire::arp(macs, ArpOperation::Request, sender, [10, 0, 0, 1].into()));
        bench.settle();
    }
    assert!(bench.stats().neighbours <= 260, "{}", bench.stats().neighbours);
    bench.take_sent();
    for peer in [peer_of(at(2, 9)), six] {
        socket.try_send_to(b"hello", peer).unwrap();
    }
    assert_eq!(stations(&mut bench), (vec![mac(2), mac(2)], vec![]));
}

/// RFC 4861 section 7.1: what may have been forwarded, or is not sound, is not believed.
#[test]
fn forged_discovery_is_dropped() {
    let mut bench = quiet();
    let ours = ip6(&bench);
    let solicitation = wire::solicitation(INWARD, PEER, ours);
    let mut forwarded = solicitation.clone();
    forwarded[21] = 254;
    bench.inject(&forwarded);
    let message: Vec<u8> = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &ours.octets(), &[1, 0]].concat();
    bench.inject(&wire::icmpv6(INWARD, [PEER, ours], 255, &message));
    bench.inject(&wire::icmpv6(INWARD, [PEER, ours], 255, &message[..12]));
    assert!(bench.take_sent().is_empty());
    let stats = bench.stats();
    assert_eq!(stats.dropped_malformed_ndp + stats.dropped_malformed_icmp, 3);
    assert_eq!(stats.neighbours, 0);
    bench.inject(&solicitation);
    assert_eq!(bench.take_sent().len(), 1);
}

/// RFC 4862 section 5.4: asked about, and given up if another host has it.
#[test]
fn duplicate_addresses_are_given_up() {
    let (wanted, other): (Ipv6Addr, Ipv6Addr) =
        ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    let mut bench = quiet();
    let stack = bench.stack();
    let has = |ip: Ipv6Addr| {
        stack.interfaces()[1].addresses.iter().any(|(address, _)| *address == IpAddr::V6(ip))
    };
    for by_answer in [true, false] {
        stack.add_address(InterfaceId::FIRST, wanted.into(), 64).unwrap();
        stack.add_address(InterfaceId::FIRST, other.into(), 64).unwrap();
        let sent = bench.take_sent();
        let probes: Vec<_> = sent.iter().filter_map(|frame| wire::solicited(frame)).collect();
        let nobody = Ipv6Addr::UNSPECIFIED;
        assert_eq!(probes, [(wanted, nobody), (other, nobody)]);
        bench.run_for(Duration::from_millis(500));
        let everybody = ([2, 0, 0, 0, 0, 7], [0x33, 0x33, 0, 0, 0, 1]);
        bench.inject(&match by_answer {
            true => wire::advertisement(everybody, wanted, "ff02::1".parse().unwrap(), 0x20),
            false => wire::solicitation(everybody, nobody, wanted),
        });
        bench.run_for(Duration::from_secs(2));
        assert!(!has(wanted) && has(other));
        let announced = bench.take_sent().into_iter().filter(|frame| {
            wire::icmp(frame)
                .is_some_and(|(kind, _, body)| kind == 136 && body[4..20] == other.octets())
        });
        assert_eq!(announced.count(), 1, "RFC 4861 section 7.2.6");
        stack.remove_address(InterfaceId::FIRST, other.into()).unwrap();
        bench.run_for(Duration::from_secs(20));
        bench.take_sent();
    }
    assert_eq!(bench.stats().address_conflicts, 2);
    // Later it is defended.
    stack.add_address(InterfaceId::FIRST, wanted.into(), 64).unwrap();
    bench.run_for(Duration::from_secs(2));
    bench.take_sent();
    let everybody = ([2, 0, 0, 0, 0, 7], [0x33, 0x33, 0xff, 0, 0, 1]);
    bench.inject(&wire::solicitation(everybody, Ipv6Addr::UNSPECIFIED, wanted));
    let sent = bench.take_sent();
    assert!(has(wanted) && wire::icmp(&sent[0]).map(|(kind, ..)| kind) == Some(136));
}

/// RFC 6980 section 5: discovery is not taken in pieces, which filters on the way do not understand.
#[test]
fn discovery_in_fragments_is_dropped() {
    let mut bench = quiet();
    let socket = sockets(&bench);
    socket.try_send_to(b"hello", SocketAddr::new(PEER.into(), 9)).unwrap();
    bench.settle();
    stations(&mut bench);
    let ours = ip6(&bench);
    let advertisement = wire::advertisement(INWARD, PEER, ours, 0x60);
    for pieces in [1, 2] {
        let message = &advertisement[54..];
        for (index, piece) in message.chunks(message.len() / pieces).enumerate() {
            let more = u8::from(index + 1 < pieces);
            let header = [58, 0, 0, (index as u8 * 16) | more, 0, 0, 0, pieces as u8];
            let payload = [&header[..], piece].concat();
            let fragment = IpProtocol::Ipv6Frag;
            let mut frame = wire::ip(INWARD, PEER.into(), ours.into(), fragment, &payload);
            frame[21] = 255;
            bench.inject(&frame);
        }
        assert_eq!(stations(&mut bench), (vec![], vec![]), "{pieces}");
    }
    assert_eq!(bench.stats().dropped_malformed_ndp, 2);
    bench.inject(&advertisement);
    assert_eq!(stations(&mut bench), (vec![mac(2)], vec![]));
}

/// RFC 4861 section 7.1.1, RFC 4862 section 5.4.3: a probe goes to the address's group, from nobody
/// and without a station; our own that comes back is not another host's.
#[test]
fn probes_that_are_none_take_no_address() {
    let mut bench = Bench::silent(&config(1));
    bench.settle();
    let ours = ip6(&bench);
    let nobody = Ipv6Addr::UNSPECIFIED;
    let everybody = ([2, 0, 0, 0, 0, 7], [0x33, 0x33, 0, 0, 0, 1]);
    let bare = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &ours.octets()].concat();
    let to_all = "ff02::1".parse().unwrap();
    bench.inject(&wire::icmpv6(everybody, [nobody, to_all], 255, &bare));
    let with_station = [&bare[..], &[1, 1, 2, 0, 0, 0, 0, 7]].concat();
    let group = wire::solicited_node(ours);
    bench.inject(&wire::icmpv6(everybody, [nobody, group], 255, &with_station));
    let reflected = (mac(1), everybody.1);
    bench.inject(&wire::solicitation(reflected, nobody, ours));
    bench.run_for(Duration::from_millis(500));
    assert_eq!(bench.stats().address_conflicts, 0);
    assert_eq!(ip6(&bench), ours);
}

/// RFC 4861 section 7.2.5: without the override flag a known station is doubted, not replaced.
#[test]
fn only_an_override_replaces_a_station() {
    let mut bench = quiet();
    let socket = sockets(&bench);
    let ours = ip6(&bench);
    let send = |bench: &mut Bench| {
        socket.try_send_to(b"hello", SocketAddr::new(PEER.into(), 9)).unwrap();
        bench.run_for(Duration::from_millis(1));
        stations(bench)
    };
    send(&mut bench);
    bench.inject(&wire::advertisement(INWARD, PEER, ours, 0x40));
    bench.settle();
    stations(&mut bench);
    assert_eq!(send(&mut bench), (vec![mac(2)], vec![]));
    bench.inject(&wire::advertisement((mac(3), mac(1)), PEER, ours, 0x40));
    bench.run_for(Duration::from_secs(6));
    assert_eq!(send(&mut bench), (vec![mac(2)], vec![mac(2)]), "used and probed");
    bench.inject(&wire::advertisement((mac(3), mac(1)), PEER, ours, 0x60));
    bench.settle();
    assert_eq!(send(&mut bench), (vec![mac(3)], vec![]));
}

/// RFC 4429 sections 3.2 and 3.3: an address that may be another host's is used, but takes no
/// neighbour's entry away.
#[test]
fn a_contested_address_is_not_pushed_on_neighbours() {
    let mut bench = Bench::silent(&config(1));
    let socket = sockets(&bench);
    let ours = ip6(&bench);
    for is_contested in [true, false] {
        let peer = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7 + u16::from(is_contested));
        bench.settle();
        bench.take_sent();
        bench.inject(&wire::solicitation(INWARD, PEER, ours));
        socket.try_send_to(b"hello", SocketAddr::new(peer.into(), 9)).unwrap();
        let sent = bench.take_sent();
        let messages: Vec<_> = sent.iter().filter_map(|frame| wire::icmp(frame)).collect();
        let answer = messages.iter().find(|(kind, ..)| *kind == 136).unwrap().2;
        assert_eq!(answer[0], if is_contested { 0x40 } else { 0x60 });
        let question = messages.iter().find(|(kind, ..)| *kind == 135).unwrap().2;
        assert_eq!(question.len(), if is_contested { 20 } else { 28 }, "with our station or not");
        bench.run_for(Duration::from_secs(20));
    }
}
