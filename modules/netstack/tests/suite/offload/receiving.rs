//! Long frames, and checksums that somebody else has looked at.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use netstack::{IcmpSocket, RawSocket, RecvError, TcpStream, UdpSocket};
use smoltcp::wire::{IpProtocol, Ipv4Packet, TcpControl};

use crate::harness::{
    apps::{accepted, drain, listen, noise},
    at,
    bench::{Bench, INWARD, Peer},
    wire::{self, Segment},
};

const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// As much as an IPv4 packet carries behind 40 bytes of headers.
const LONGEST: usize = 65_535 - 40;

/// Where the headers of TCP and UDP begin in frames without IP options.
fn transport_at(is_ipv4: bool) -> usize {
    if is_ipv4 { 34 } else { 54 }
}

/// Makes the transport's checksum wrong, which is so far behind its beginning.
fn spoiled(mut frame: Vec<u8>, is_ipv4: bool, checksum_at: usize) -> Vec<u8> {
    frame[transport_at(is_ipv4) + checksum_at] ^= 0x5a;
    frame
}

fn connected(bench: &mut Bench) -> (TcpStream, Peer) {
    let listener = listen(&bench.stack(), at(1, 80));
    let peer = bench.open(1000, 80);
    (accepted(&listener).expect("the handshake is complete"), peer)
}

#[test]
fn a_long_segment_is_taken_and_acknowledged_at_once() {
    let mut bench = Bench::new();
    let (stream, peer) = connected(&mut bench);
    let data = noise(LONGEST, 1);
    let frame = peer.send(TcpControl::Psh).payload(&data).frame(INWARD);
    bench.inject_verified(&spoiled(frame, true, 16));
    assert_eq!(bench.answer(), Some((TcpControl::None, peer.ack, Some(1 + LONGEST as i32))));
    let mut heard = Vec::new();
    drain(&stream, &mut heard);
    assert!(heard == data);
}

#[test]
fn long_segments_are_put_in_order() {
    let mut bench = Bench::new();
    let (stream, peer) = connected(&mut bench);
    let data = noise(60_000, 1);
    for (from, to) in [(40_000, 60_000), (0, 25_000), (20_000, 45_000)] {
        let piece = Segment { seq: peer.seq + from as i32, ..peer.send(TcpControl::None) };
        let frame = piece.payload(&data[from..to]).frame(INWARD);
        bench.inject_verified(&spoiled(frame, true, 16));
    }
    assert_eq!(bench.answer(), Some((TcpControl::None, peer.ack, Some(60_001))));
    let mut heard = Vec::new();
    drain(&stream, &mut heard);
    assert!(heard == data);
}

/// RFC 5681 section 4.2: every second full segment is acknowledged at once, whatever a card has joined
/// before.
#[test]
fn what_is_long_does_not_keep_short_ones_unacknowledged() {
    let mut bench = Bench::new();
    let (_stream, peer) = connected(&mut bench);
    let data = noise(60_000, 1);
    bench.inject_verified(&peer.send(TcpControl::None).payload(&data).frame(INWARD));
    assert_eq!(bench.answer().and_then(|(_, _, ack)| ack), Some(60_001));
    for index in 0..2 {
        let next = Segment { seq: 60_001 + 1460 * index, ..peer.send(TcpControl::None) };
        assert_eq!(bench.answer(), None);
        bench.inject(&next.payload(&data[..1460]).frame(INWARD));
    }
    assert_eq!(bench.answer().and_then(|(_, _, ack)| ack), Some(60_001 + 2920));
}

#[test]
fn a_segment_is_believed_if_somebody_has_verified_it() {
    let mut bench = Bench::new();
    let (stream, peer) = connected(&mut bench);
    let frame = spoiled(peer.send(TcpControl::Psh).payload(b"abc").frame(INWARD), true, 16);
    bench.inject(&frame);
    bench.settle();
    assert_eq!(stream.try_read(&mut [0; 9]).ok(), None);
    assert_eq!(bench.stats().dropped_tcp_checksum, 1);
    bench.inject_verified(&frame);
    bench.settle();
    assert_eq!(stream.try_read(&mut [0; 9]), Ok(3));
    assert_eq!(bench.stats().dropped_tcp_checksum, 1);
}

#[test]
fn a_datagram_is_believed_if_somebody_has_verified_it() {
    let mut bench = Bench::new();
    let socket = UdpSocket::bind(&bench.stack(), "[::]:7".parse().unwrap()).unwrap();
    let six = bench.host.ip6();
    let ends = [(at(2, 9), at(1, 7)), (SocketAddr::new(PEER_V6.into(), 9), (six, 7).into())];
    for (dropped, (from, to)) in (1..).zip(ends) {
        let frame = spoiled(wire::datagram(INWARD, from, to, b"abc"), to.is_ipv4(), 6);
        bench.inject(&frame);
        bench.settle();
        assert_eq!(socket.try_recv(&mut [0; 9]), Err(RecvError::WouldBlock));
        bench.inject_verified(&frame);
        bench.settle();
        assert_eq!(socket.try_recv(&mut [0; 9]).ok(), Some(3));
        assert_eq!(bench.stats().dropped_udp_checksum, dropped);
    }
    // RFC 8200 section 8.1: over IPv6 none is wrong, whoever has looked.
    let (from, to) = ends[1];
    let mut frame = wire::datagram(INWARD, from, to, b"abc");
    frame[60..62].fill(0);
    bench.inject_verified(&frame);
    bench.settle();
    assert_eq!(socket.try_recv(&mut [0; 9]), Err(RecvError::WouldBlock));
    assert_eq!(bench.stats().dropped_udp_checksum, 3);
}

/// Cards look at TCP and UDP alone.
#[test]
fn other_checksums_are_looked_at() {
    let mut bench = Bench::new();
    let (from, to) = (at(2, 0).ip(), at(1, 0).ip());
    let echo = wire::icmpv4(INWARD, from, to, &[8, 0, 0, 0, 0, 1, 0, 1]);
    bench.inject_verified(&spoiled(echo.clone(), true, 2));
    assert!(bench.take_sent().is_empty());
    assert_eq!(bench.stats().dropped_icmp_checksum, 1);
    let mut header = echo.clone();
    header[24] ^= 1;
    bench.inject_verified(&header);
    assert!(bench.take_sent().is_empty());
    assert_eq!(bench.stats().dropped_ip_checksum, 1);
    bench.inject_verified(&echo);
    assert_eq!(bench.take_sent().len(), 1);
}

/// The two pieces of a datagram to port 7.
fn pieces(bench: &Bench, is_ipv4: bool, is_right: bool) -> [Vec<u8>; 2] {
    const SPLIT: usize = 48;
    let (from, to) = match is_ipv4 {
        true => (at(2, 9), at(1, 7)),
        false => (SocketAddr::new(PEER_V6.into(), 9), SocketAddr::new(bench.host.ip6(), 7)),
    };
    let frame = wire::datagram(INWARD, from, to, &[7; 100]);
    let frame = if is_right { frame } else { spoiled(frame, is_ipv4, 6) };
    let udp = &frame[transport_at(is_ipv4)..];
    let (from, to) = (from.ip(), to.ip());
    [(0, &udp[..SPLIT]), (SPLIT, &udp[SPLIT..])].map(|(offset, data)| match is_ipv4 {
        true => {
            let mut frame = wire::ip(INWARD, from, to, IpProtocol::Udp, data);
            let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
            ip.clear_flags();
            ip.set_more_frags(offset == 0);
            ip.set_frag_offset(offset as u16);
            ip.fill_checksum();
            frame
        }
        false => {
            let placed = offset as u8 | u8::from(offset == 0);
            let payload = [&[17, 0, 0, placed, 0, 0, 0, 1], data].concat();
            wire::ip(INWARD, from, to, IpProtocol::Ipv6Frag, &payload)
        }
    })
}

/// No card has seen the whole datagram, whatever it says of a piece.
#[test]
fn what_is_put_together_from_fragments_is_looked_at() {
    for is_ipv4 in [true, false] {
        let mut bench = Bench::new();
        let socket = UdpSocket::bind(&bench.stack(), "[::]:7".parse().unwrap()).unwrap();
        for (is_right, taken) in [(true, Ok(100)), (false, Err(RecvError::WouldBlock))] {
            for piece in pieces(&bench, is_ipv4, is_right) {
                bench.inject_verified(&piece);
            }
            bench.settle();
            assert_eq!(socket.try_recv(&mut [0; 200]), taken, "IPv4: {is_ipv4}");
        }
        assert_eq!(bench.stats().dropped_udp_checksum, 1);
    }
}

/// RFC 6946: neither has it if the fragment is the whole.
#[test]
fn a_fragment_that_is_the_whole_is_looked_at() {
    let mut bench = Bench::new();
    let (from, to) = (SocketAddr::new(PEER_V6.into(), 9), SocketAddr::new(bench.host.ip6(), 7));
    let socket = UdpSocket::bind(&bench.stack(), to).unwrap();
    let frame = spoiled(wire::datagram(INWARD, from, to, b"abc"), false, 6);
    let payload = [&[17, 0, 0, 0, 0, 0, 0, 1], &frame[54..]].concat();
    let fragment = wire::ip(INWARD, from.ip(), to.ip(), IpProtocol::Ipv6Frag, &payload);
    bench.inject_verified(&fragment);
    bench.settle();
    assert_eq!(socket.try_recv(&mut [0; 9]), Err(RecvError::WouldBlock));
    assert_eq!(bench.stats().dropped_udp_checksum, 1);
}

/// They get what came, whatever the card has said of it or made of it.
#[test]
fn raw_sockets_get_copies_of_such_frames() {
    let mut bench = Bench::new();
    let raw = RawSocket::new(&bench.stack(), true, 6).unwrap();
    let (stream, peer) = connected(&mut bench);
    while raw.try_receive(&mut [0; 100]).is_ok() {}
    let data = noise(50_000, 1);
    let frame = spoiled(peer.send(TcpControl::Psh).payload(&data).frame(INWARD), true, 16);
    bench.inject_verified(&frame);
    bench.settle();
    let mut buffer = vec![0; 65_535];
    let received = raw.try_receive(&mut buffer).unwrap();
    assert_eq!(received.full_len, 50_020);
    assert!(buffer[..50_020] == frame[34..]);
    let mut heard = Vec::new();
    drain(&stream, &mut heard);
    assert!(heard == data);
}

#[test]
fn an_echo_is_the_same_from_every_card() {
    let mut bench = Bench::new();
    let socket = IcmpSocket::new(&bench.stack(), true, Some(7)).unwrap();
    let reply = wire::icmpv4(INWARD, at(2, 0).ip(), at(1, 0).ip(), &[0, 0, 0, 0, 0, 7, 0, 1]);
    bench.inject_verified(&spoiled(reply.clone(), true, 2));
    bench.inject_verified(&reply);
    bench.run_for(Duration::from_millis(1));
    assert_eq!(socket.try_receive(&mut [0; 9]).map(|echo| echo.sequence), Ok(1));
    assert_eq!(
        socket.try_receive(&mut [0; 9]).map(|echo| echo.sequence),
        Err(RecvError::WouldBlock)
    );
}
