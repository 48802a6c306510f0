//! Every received packet ends in exactly one counter.

use std::time::Duration;

use chacha20::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
use netstack::{InterfaceId, RawSocket, Stats, UdpSocket};
use smoltcp::wire::{
    ArpOperation, Icmpv4Packet, Icmpv6Packet, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet,
    TcpControl, UdpPacket,
};

use crate::harness::{
    apps::noise,
    at,
    bench::{Bench, INWARD},
    wire,
};

fn assert_balanced(stats: &Stats) {
    let taken = stats.frames_received + stats.packets_looped;
    let ended = stats.packets_delivered + stats.packets_answered + stats.fragments_held;
    assert_eq!(taken, ended + stats.dropped(), "{stats:?}");
}

/// An ICMP error about a packet of the host's.
fn quoting(kind: u8, code: u8, frame: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 0, 5, 0][..], &frame[14..]].concat()
}

fn specimens(bench: &Bench) -> Vec<Vec<u8>> {
    let (us, peer) = (at(1, 7), at(2, 9));
    let six = std::net::SocketAddr::new(bench.host.ip6(), 7);
    let peer_six = "[fe80::2]:9".parse().unwrap();
    let syn = wire::Segment::new(peer, at(1, 80), TcpControl::Syn, 5);
    let everybody = (INWARD.0, [0xff; 6]);
    vec![
        wire::datagram(INWARD, peer, us, &noise(100, 1)),
        wire::datagram(INWARD, peer, at(1, 99), &noise(100, 1)),
        wire::datagram(INWARD, peer_six, six, &noise(100, 1)),
        wire::datagram(everybody, peer, at(255, 7), &noise(10, 1)),
        syn.frame(INWARD),
        wire::arp(INWARD, ArpOperation::Request, [10, 0, 0, 2].into(), [10, 0, 0, 1].into()),
        wire::arp(INWARD, ArpOperation::Reply, [10, 0, 0, 2].into(), [10, 0, 0, 1].into()),
        wire::icmpv4(INWARD, peer.ip(), us.ip(), &[8, 0, 0, 0, 1, 2, 3, 4, 5, 6]),
        wire::solicitation(
            INWARD,
            "fe80::2".parse().unwrap(),
            match bench.host.ip6() {
                std::net::IpAddr::V6(ip) => ip,
                std::net::IpAddr::V4(_) => unreachable!(),
            },
        ),
        wire::icmpv4(
            INWARD,
            peer.ip(),
            us.ip(),
            &quoting(3, 3, &wire::datagram(INWARD, us, peer, b"?")),
        ),
        wire::icmpv4(
            INWARD,
            peer.ip(),
            us.ip(),
            &quoting(3, 4, &wire::datagram(INWARD, us, peer, b"?")),
        ),
        wire::icmpv6(
            INWARD,
            ["fe80::2".parse().unwrap(), "ff02::1".parse().unwrap()],
            255,
            &[&[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 64, 0xc0][..], &[1; 28]]
                .concat(),
        ),
        wire::ip(
            INWARD,
            peer.ip(),
            [224, 0, 0, 1].into(),
            IpProtocol::Igmp,
            &[0x11, 1, 0xee, 0xfe, 0, 0, 0, 0],
        ),
        wire::ip(INWARD, peer.ip(), us.ip(), IpProtocol::from(200), &noise(50, 2)),
        wire::ip(INWARD, peer_six.ip(), six.ip(), IpProtocol::HopByHop, &[17, 0, 1, 4, 0, 0, 0, 0]),
        wire::ip(
            INWARD,
            peer_six.ip(),
            six.ip(),
            IpProtocol::Ipv6Frag,
            &[17, 0, 0, 1, 0, 0, 0, 1, 9],
        ),
    ]
}

/// Makes the checksums right again, so that what is behind them is looked at.
fn repair(frame: &mut [u8]) {
    let Some((ethernet, packet)) = frame.split_at_mut_checked(14) else {
        return;
    };
    match ethernet[12..] {
        [0x08, 0x00] => {
            let Ok(mut ip) = Ipv4Packet::new_checked(packet) else {
                return;
            };
            if ip.header_len() >= 20 {
                ip.fill_checksum();
                let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
                repair_transport(ip.next_header(), from, to, ip.payload_mut());
            }
        }
        [0x86, 0xdd] => {
            if let Ok(mut ip) = Ipv6Packet::new_checked(packet) {
                let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
                repair_transport(ip.next_header(), from, to, ip.payload_mut());
            }
        }
        _ => {}
    }
}

fn repair_transport(protocol: IpProtocol, from: IpAddress, to: IpAddress, payload: &mut [u8]) {
    match (protocol, from, to) {
        (IpProtocol::Udp, ..) => {
            if let Ok(mut udp) = UdpPacket::new_checked(payload) {
                udp.fill_checksum(&from, &to);
            }
        }
        (IpProtocol::Icmp, ..) if payload.len() >= 8 => {
            Icmpv4Packet::new_unchecked(payload).fill_checksum();
        }
        (IpProtocol::Icmpv6, IpAddress::Ipv6(from), IpAddress::Ipv6(to)) if payload.len() >= 8 => {
            Icmpv6Packet::new_unchecked(payload).fill_checksum(&from, &to);
        }
        _ => {}
    }
}

#[test]
fn the_counters_sum_up() {
    let mut bench = Bench::new();
    bench.host.fruitless_max = 100_000;
    let _raw = RawSocket::new(&bench.stack(), true, 200).unwrap();
    let socket = UdpSocket::bind(&bench.stack(), "0.0.0.0:7".parse().unwrap()).unwrap();
    let specimens = specimens(&bench);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..30_000 {
        let mut frame = specimens[rng.next_u32() as usize % specimens.len()].clone();
        if round % 4 != 0 {
            let index = rng.next_u32() as usize % frame.len();
            frame[index] = rng.next_u32() as u8;
        }
        if round % 16 == 1 {
            frame.truncate(1 + rng.next_u32() as usize % frame.len());
        }
        if round % 3 != 0 {
            repair(&mut frame);
        }
        bench.inject(&frame);
        if round % 100 == 0 {
            socket.try_send_to(b"loop", "127.0.0.1:7".parse().unwrap()).unwrap();
            bench.run_for(Duration::from_millis(50));
            assert_balanced(&bench.stats());
        }
        bench.settle();
    }
    let stats = bench.stats();
    assert_balanced(&stats);
    let reached = stats.iter().filter(|(name, count)| name.starts_with("dropped_") && *count > 0);
    assert!(reached.count() > 15, "{stats:?}");
    assert!(stats.dropped() > 10_000);
    assert_eq!(bench.stack().interfaces()[0].id, InterfaceId::LOOPBACK);
}
