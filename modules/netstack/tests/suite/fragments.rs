//! Fragments that are hostile or late (RFC 791 section 3.2, RFC 1858, RFC 5722, RFC 8200 section 4.5).

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netstack::UdpSocket;
use smoltcp::wire::{IpProtocol, Ipv4Packet};

use crate::harness::{
    at,
    bench::{Bench, INWARD},
    wire,
};

const PEER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// The pieces of a datagram with a payload of one byte's repetition, each of 8 bytes times `units`.
struct Pieces {
    from: SocketAddr,
    to: SocketAddr,
    udp: Vec<u8>,
    ident: u32,
}

impl Pieces {
    fn new(bench: &Bench, is_ipv4: bool, len: usize, ident: u32) -> Self {
        let (from, to) = match is_ipv4 {
            true => (at(2, 9), at(1, 7)),
            false => (SocketAddr::new(PEER.into(), 9), SocketAddr::new(bench.host.ip6(), 7)),
        };
        let data: Vec<u8> = (0..len).map(|index| index as u8).collect();
        let frame = wire::datagram(INWARD, from, to, &data);
        let udp = frame[if is_ipv4 { 34 } else { 54 }..].to_vec();
        Pieces { from, to, udp, ident }
    }

    /// The bytes from `start` to `end` as a fragment.
    fn piece(&self, start: usize, end: usize) -> Vec<u8> {
        let more = end < self.udp.len();
        self.forged(start, &self.udp[start..end.min(self.udp.len())], more)
    }

    fn forged(&self, start: usize, data: &[u8], more: bool) -> Vec<u8> {
        match self.from.ip() {
            IpAddr::V4(from) => {
                let to = self.to.ip();
                let mut frame = wire::ip(INWARD, from.into(), to, IpProtocol::Udp, data);
                let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
                packet.clear_flags();
                packet.set_ident(self.ident as u16);
                packet.set_more_frags(more);
                packet.set_frag_offset(start as u16);
                packet.fill_checksum();
                frame
            }
            IpAddr::V6(from) => {
                let mut payload = vec![17, 0];
                payload.extend((start as u16 | u16::from(more)).to_be_bytes());
                payload.extend(self.ident.to_be_bytes());
                payload.extend(data);
                wire::ip(INWARD, from.into(), self.to.ip(), IpProtocol::Ipv6Frag, &payload)
            }
        }
    }
}

fn setup() -> (Bench, UdpSocket) {
    let bench = Bench::new();
    let socket = UdpSocket::bind(&bench.stack(), "[::]:7".parse().unwrap()).unwrap();
    (bench, socket)
}

fn received(bench: &mut Bench, socket: &UdpSocket) -> Option<usize> {
    bench.settle();
    socket.try_recv(&mut [0; 2000]).ok()
}

#[test]
fn pieces_come_in_any_order() {
    let (mut bench, socket) = setup();
    for is_ipv4 in [true, false] {
        let pieces = Pieces::new(&bench, is_ipv4, 100, 1);
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            for index in order {
                assert_eq!(received(&mut bench, &socket), None);
                bench.inject(&pieces.piece(index * 40, index * 40 + 40));
            }
            assert_eq!(received(&mut bench, &socket), Some(100));
        }
        // RFC 6946: one that is the whole has nothing to do with others.
        bench.inject(&pieces.piece(0, 40));
        bench.inject(&pieces.piece(0, 200));
        assert_eq!(received(&mut bench, &socket), Some(100));
    }
}

/// RFC 5722 section 3, and the same for IPv4 (RFC 1858): nothing of it reaches a socket.
#[test]
fn overlapping_pieces_cost_the_datagram() {
    let (mut bench, socket) = setup();
    for is_ipv4 in [true, false] {
        let pieces = Pieces::new(&bench, is_ipv4, 100, 2);
        bench.inject(&pieces.piece(0, 48));
        bench.inject(&pieces.piece(40, 80));
        bench.inject(&pieces.piece(48, 108));
        bench.inject(&pieces.piece(0, 48));
        assert_eq!(received(&mut bench, &socket), None);
        let next = Pieces::new(&bench, is_ipv4, 100, 3);
        bench.inject(&next.piece(0, 48));
        bench.inject(&next.piece(48, 108));
        assert_eq!(received(&mut bench, &socket), Some(100));
    }
    let stats = bench.stats();
    assert_eq!((stats.reassembly_overlapped, stats.dropped_bad_fragment), (2, 6));
}

/// RFC 1122 section 3.3.2.
#[test]
fn what_does_not_come_in_time_is_given_up() {
    let (mut bench, socket) = setup();
    let pieces = Pieces::new(&bench, true, 100, 4);
    bench.inject(&pieces.piece(0, 48));
    bench.run_for(Duration::from_secs(29));
    bench.inject(&pieces.piece(48, 108));
    assert_eq!(received(&mut bench, &socket), Some(100));
    bench.inject(&pieces.piece(0, 48));
    bench.run_for(Duration::from_secs(31));
    bench.inject(&pieces.piece(48, 108));
    assert_eq!(received(&mut bench, &socket), None);
    assert_eq!(bench.stats().reassembly_timed_out, 1);
    bench.run_for(Duration::from_secs(31));
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(1000));
    assert_eq!(bench.host.turns, 0);
}

#[test]
fn a_flood_of_pieces_neither_takes_memory_nor_keeps_others_out() {
    let (mut bench, socket) = setup();
    let forger = Pieces::new(&bench, true, 100, 0);
    for ident in 0..3000 {
        let flood = Pieces { ident, udp: forger.udp.clone(), ..forger };
        bench.inject(&flood.forged(65_000 - 8 * (ident as usize % 100), &[1; 8], true));
        bench.settle();
        if ident % 300 == 299 {
            let pieces = Pieces::new(&bench, false, 100, ident);
            bench.inject(&pieces.piece(0, 48));
            bench.inject(&pieces.piece(48, 108));
            assert_eq!(received(&mut bench, &socket), Some(100));
        }
    }
    let stats = bench.stats();
    assert!(stats.reassembly_evicted > 2900 && stats.memory_used < 4096, "{stats:?}");
}

/// RFC 8200 section 4.5: the headers of the first fragment count as well.
#[test]
fn a_datagram_longer_than_a_packet_can_be_is_dropped() {
    let (mut bench, socket) = setup();
    for (headers, arrives) in [(&[][..], true), (&[44, 0, 1, 4, 0, 0, 0, 0][..], false)] {
        let pieces = Pieces::new(&bench, false, 65_527, 1 + headers.len() as u32);
        for start in (0..pieces.udp.len()).step_by(1232) {
            let mut frame = pieces.piece(start, start + 1232);
            if start == 0 && !headers.is_empty() {
                let payload = [headers, &frame[54..]].concat();
                let options = IpProtocol::Ipv6Opts;
                frame = wire::ip(INWARD, PEER.into(), pieces.to.ip(), options, &payload);
            }
            bench.inject(&frame);
            bench.settle();
        }
        assert_eq!(received(&mut bench, &socket).is_some(), arrives, "{headers:?}");
    }
}
