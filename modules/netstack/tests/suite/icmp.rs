//! ICMP (RFC 792) and ICMPv6 (RFC 4443): answers, errors both ways, path MTUs, ICMP and raw sockets.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netstack::{BindError, ErrorKind, IcmpSocket, RawSocket, RecvError, UdpSocket};
use smoltcp::wire::IpProtocol;

use crate::harness::{
    CLIENT, Net, SERVER,
    apps::noise,
    at,
    bench::{Bench, INWARD},
    link::Link,
    wire,
};

const PEER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn ip6(bench: &Bench) -> Ipv6Addr {
    match bench.host.ip6() {
        IpAddr::V6(ip) => ip,
        IpAddr::V4(_) => unreachable!(),
    }
}

fn echo_request(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 1, 0, 2], data].concat()
}

/// RFC 1122 section 3.2.2.6, RFC 4443 section 4.2.
#[test]
fn echo_requests_are_answered_to_where_they_came_from() {
    let mut bench = Bench::new();
    bench.answers_arp = false;
    let stranger = ([2, 0, 0, 0, 0, 0x77], INWARD.1);
    let data = noise(1000, 1);
    let request = wire::icmpv4(stranger, at(77, 0).ip(), at(1, 0).ip(), &echo_request(8, &data));
    bench.inject(&request);
    let sent = bench.take_sent();
    assert_eq!(sent.len(), 1, "nobody is asked for");
    assert_eq!(sent[0][..6], stranger.0);
    let (kind, code, body) = wire::icmp(&sent[0]).unwrap();
    assert_eq!((kind, code, &body[4..]), (0, 0, &data[..]));

    let ours = ip6(&bench);
    bench.inject(&wire::icmpv6(stranger, [PEER, ours], 64, &echo_request(128, &data)));
    let all_nodes = "ff02::1".parse().unwrap();
    let to_all = (stranger.0, [0x33, 0x33, 0, 0, 0, 1]);
    bench.inject(&wire::icmpv6(to_all, [PEER, all_nodes], 64, &echo_request(128, &data)));
    let sent = bench.take_sent();
    for frame in &sent {
        let (_, from, to, _) = wire::ip_payload(frame).unwrap();
        assert_eq!((from, to), (ours.into(), PEER.into()));
        assert_eq!(wire::icmp(frame).map(|(kind, ..)| kind), Some(129));
    }
    assert_eq!(sent.len(), 2);

    let broadcast = (stranger.0, [0xff; 6]);
    let request = echo_request(8, &data);
    bench.inject(&wire::icmpv4(broadcast, at(77, 0).ip(), at(255, 0).ip(), &request));
    assert!(bench.take_sent().is_empty(), "not for everybody (RFC 1122 section 3.2.2.6)");
    let mut wrong = wire::icmpv4(stranger, at(77, 0).ip(), at(1, 0).ip(), &request);
    *wrong.last_mut().unwrap() ^= 1;
    bench.inject(&wrong);
    assert!(bench.take_sent().is_empty());
    assert_eq!(bench.stats().dropped_icmp_checksum, 1);
}

#[test]
fn long_echoes_come_back_in_pieces() {
    let mut net = Net::new(Link::perfect());
    for is_ipv4 in [true, false] {
        let socket = IcmpSocket::new(&net.client(), is_ipv4, Some(7)).unwrap();
        let taken = IcmpSocket::new(&net.client(), is_ipv4, Some(7)).unwrap_err();
        assert_eq!(taken, BindError::InUse);
        let to = match is_ipv4 {
            true => at(1, 0),
            false => SocketAddr::new(net.hosts[SERVER].ip6(), 0),
        };
        for (sequence, len) in [(1, 0), (2, 56), (3, 5000), (4, 65_000)] {
            let data = noise(len, 1);
            socket.try_send_to(sequence, &data, to).unwrap();
            net.run_briefly();
            let mut buffer = vec![0; 65_536];
            let echo = socket.try_receive(&mut buffer).unwrap();
            assert_eq!((echo.sequence, echo.error, echo.received.from), (sequence, None, to));
            assert_eq!((echo.received.full_len, echo.received.hop_limit), (len, 64));
            assert!(buffer[..len] == data);
        }
    }
    assert_eq!(net.hosts[SERVER].stats().datagrams_reassembled, 4);
    assert_eq!(net.hosts[CLIENT].stats().datagrams_reassembled, 4);
    net.run_briefly();
    assert_eq!(net.hosts[CLIENT].stats().raw_sockets, 0);
}

/// The error that a router sends about a packet of the host's.
fn error(bench: &Bench, from: IpAddr, kind: u8, code: u8, rest: u32, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest.to_be_bytes());
    message.extend(quoted);
    match from {
        IpAddr::V4(_) => wire::icmpv4(INWARD, from, at(1, 0).ip(), &message),
        IpAddr::V6(from) => wire::icmpv6(INWARD, [from, ip6(bench)], 64, &message),
    }
}

#[test]
fn an_echo_that_a_router_drops_is_told() {
    let mut bench = Bench::new();
    let socket = IcmpSocket::new(&bench.stack(), true, None).unwrap();
    socket.set_hop_limit(1);
    assert_eq!(socket.hop_limit(), 1);
    socket.try_send_to(9, b"ping", at(2, 0)).unwrap();
    let sent = bench.take_sent();
    assert_eq!(sent[0][22], 1, "the hop limit");
    let exceeded = error(&bench, at(9, 0).ip(), 11, 0, 0, &sent[0][14..]);
    bench.inject(&exceeded);
    bench.settle();
    let echo = socket.try_receive(&mut []).unwrap();
    assert_eq!((echo.sequence, echo.error), (9, Some(ErrorKind::TimeExceeded)));
    assert_eq!(echo.received.from, at(9, 0));
}

/// RFC 1122 section 4.1.3.1, RFC 4443 section 3.1: to one host, about what was for us alone, and not
/// too often (RFC 1812 section 4.3.2.8).
#[test]
fn ports_of_nobody_are_unreachable_but_not_without_end() {
    let mut bench = Bench::new();
    let peer = SocketAddr::new(PEER.into(), 9);
    let ours = SocketAddr::new(bench.host.ip6(), 7);
    let frame = wire::datagram(INWARD, peer, ours, &noise(2, 3));
    bench.inject(&frame);
    let sent = bench.take_sent();
    let (kind, code, body) = wire::icmp(&sent[0]).unwrap();
    assert_eq!((kind, code, &body[4..]), (1, 4, &frame[14..]));
    for _ in 0..200 {
        bench.inject(&wire::datagram(INWARD, at(2, 9), at(1, 7), b"?"));
        bench.settle();
    }
    let answers = bench.take_sent().len() as u64;
    assert!((25..=100).contains(&answers), "{answers}");
    assert_eq!(bench.stats().dropped_icmp_rate_limited, 200 - answers);
    bench.run_for(Duration::from_secs(1));
    bench.take_sent();
    let mut broadcast = wire::datagram(INWARD, at(2, 9), at(1, 7), b"?");
    broadcast[..6].fill(0xff);
    bench.inject(&broadcast);
    assert!(bench.take_sent().is_empty(), "RFC 1122 section 3.2.2");
}

#[test]
fn unknown_protocols_are_answered() {
    let mut bench = Bench::new();
    let unknown = IpProtocol::from(200);
    bench.inject(&wire::ip(INWARD, at(2, 0).ip(), at(1, 0).ip(), unknown, b"12345678"));
    let ours = bench.host.ip6();
    bench.inject(&wire::ip(INWARD, PEER.into(), ours, unknown, b"12345678"));
    let sent = bench.take_sent();
    assert_eq!(wire::icmp(&sent[0]).map(|(kind, code, _)| (kind, code)), Some((3, 2)));
    let (kind, code, body) = wire::icmp(&sent[1]).unwrap();
    assert_eq!((kind, code, &body[..4]), (4, 1, &[0, 0, 0, 6][..]), "RFC 8200 section 4");
}

/// RFC 8200 section 4: extension headers are walked over, and unknown options do what they say.
#[test]
fn extension_headers_are_walked_over() {
    let mut bench = Bench::new();
    let ours = ip6(&bench);
    let socket = UdpSocket::bind(&bench.stack(), "[::]:7".parse().unwrap()).unwrap();
    let plain = wire::datagram(
        INWARD,
        SocketAddr::new(PEER.into(), 9),
        SocketAddr::new(ours.into(), 7),
        b"hello",
    );
    let udp = &plain[54..];
    for (headers, arrives) in [
        (&[17, 0, 1, 4, 0, 0, 0, 0][..], true),
        (&[60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0x1e, 4, 0, 0, 0, 0][..], true),
        (&[17, 0, 0x9e, 4, 0, 0, 0, 0][..], false),
        (&[17, 200, 1, 4, 0, 0, 0, 0][..], false),
    ] {
        let payload = [headers, udp].concat();
        bench.inject(&wire::ip(INWARD, PEER.into(), ours.into(), IpProtocol::HopByHop, &payload));
        bench.settle();
        assert_eq!(socket.try_recv(&mut [0; 9]).is_ok(), arrives, "{headers:?}");
    }
    let sent = bench.take_sent();
    assert_eq!(sent.len(), 1);
    let (kind, code, body) = wire::icmp(&sent[0]).unwrap();
    assert_eq!((kind, code, &body[..4]), (4, 2, &[0, 0, 0, 42][..]));
    // RFC 5095: the routing header of type 0 is not followed.
    let routed = [&[17, 0, 0, 1, 0, 0, 0, 0], udp].concat();
    let frame = wire::ip(INWARD, PEER.into(), ours.into(), IpProtocol::Ipv6Route, &routed);
    bench.inject(&frame);
    let sent = bench.take_sent();
    assert_eq!(wire::icmp(&sent[0]).map(|(kind, code, _)| (kind, code)), Some((4, 0)));
}

/// RFC 8201: believed if it quotes what a socket can have sent, down to 1280 bytes, for ten minutes.
#[test]
fn a_path_mtu_is_learned_and_forgotten() {
    let mut bench = Bench::new();
    let socket = UdpSocket::bind(&bench.stack(), "[::]:7".parse().unwrap()).unwrap();
    let peer = SocketAddr::new(PEER.into(), 9);
    let frames = |bench: &mut Bench| {
        socket.try_send_to(&[1; 1400], peer).unwrap();
        bench.run_for(Duration::from_millis(1));
        bench.take_sent()
    };
    let sent = frames(&mut bench);
    assert_eq!(sent.len(), 1);
    let router: IpAddr = "fe80::1".parse().unwrap();
    let mut forged = sent[0][14..].to_vec();
    forged[41] ^= 1;
    let lie = error(&bench, router, 2, 0, 1300, &forged);
    bench.inject(&lie);
    bench.settle();
    assert_eq!(frames(&mut bench).len(), 1, "from a port of nobody");
    let news = error(&bench, router, 2, 0, 100, &sent[0][14..]);
    bench.inject(&news);
    bench.settle();
    let cut = frames(&mut bench);
    assert_eq!(cut.len(), 2);
    assert_eq!(cut[0].len(), 14 + 1280, "RFC 8200 section 5 has the floor");
    bench.run_for(Duration::from_secs(601));
    bench.take_sent();
    assert_eq!(frames(&mut bench).len(), 1);
}

#[test]
fn raw_sockets_get_copies() {
    let mut net = Net::new(Link::perfect());
    let udp_too = RawSocket::new(&net.server(), true, 17).unwrap();
    let ospf = RawSocket::new(&net.server(), true, 89).unwrap();
    let sender = RawSocket::new(&net.client(), true, 89).unwrap();
    sender.set_hop_limit(3);
    sender.try_send_to(b"hello", at(1, 0)).unwrap();
    let server = UdpSocket::bind(&net.server(), at(1, 7)).unwrap();
    let client = UdpSocket::bind(&net.client(), at(2, 9)).unwrap();
    client.try_send_to(b"datagram", at(1, 7)).unwrap();
    net.run_briefly();
    let mut buffer = [0; 100];
    let got = ospf.try_receive(&mut buffer).unwrap();
    assert_eq!((got.from, got.hop_limit, &buffer[..got.len]), (at(2, 0), 3, &b"hello"[..]));
    assert_eq!(server.try_recv(&mut buffer), Ok(8));
    let got = udp_too.try_receive(&mut buffer).unwrap();
    assert_eq!((got.len, &buffer[8..16]), (16, &b"datagram"[..]));
    // The stack answers as if the socket were not there.
    client.connect(at(1, 8)).unwrap();
    client.try_send(b"nobody").unwrap();
    net.run_briefly();
    assert_eq!(client.try_recv(&mut buffer), Err(RecvError::Refused));
    assert!(udp_too.try_receive(&mut buffer).is_ok());
}

/// RFC 4443 section 2.4 (e): also not about the headers before an error.
#[test]
fn errors_are_not_answered_with_errors() {
    let mut bench = Bench::new();
    let ours = ip6(&bench);
    let unknown_option = [58, 0, 0x80, 4, 0, 0, 0, 0];
    for (kind, answers) in [(1, 0), (4, 0), (137, 0), (128, 1)] {
        let message = [&unknown_option[..], &[kind; 16]].concat();
        for protocol in [IpProtocol::HopByHop, IpProtocol::Ipv6Opts] {
            bench.inject(&wire::ip(INWARD, PEER.into(), ours.into(), protocol, &message));
            assert_eq!(bench.take_sent().len(), answers, "{kind} {protocol}");
        }
    }
}

/// RFC 1191 section 4: what routers may cut is never too big, so whoever says so lies.
#[test]
fn packets_that_may_be_cut_are_not_too_big() {
    let mut bench = Bench::new();
    let socket = UdpSocket::bind(&bench.stack(), at(1, 7)).unwrap();
    let echo = IcmpSocket::new(&bench.stack(), true, None).unwrap();
    socket.try_send_to(&[1; 1400], at(2, 9)).unwrap();
    echo.try_send_to(9, &[1; 1400], at(2, 0)).unwrap();
    let sent = bench.take_sent();
    assert_eq!(sent.len(), 2);
    for frame in sent {
        assert_eq!(frame[20] & 0x40, 0, "it may be cut");
        let lie = error(&bench, at(9, 0).ip(), 3, 4, 600, &frame[14..]);
        bench.inject(&lie);
        bench.settle();
        socket.try_send_to(&[1; 1400], at(2, 9)).unwrap();
        assert_eq!(bench.take_sent().len(), 1);
    }
}

/// RFC 6864 section 4.3: what routers may cut has a number of its own.
#[test]
fn packets_that_may_be_cut_are_numbered() {
    let mut bench = Bench::new();
    let socket = UdpSocket::bind(&bench.stack(), at(1, 7)).unwrap();
    let mut idents = std::collections::BTreeSet::new();
    for _ in 0..10 {
        socket.try_send_to(b"hello", at(2, 9)).unwrap();
        bench.inject(&wire::icmpv4(INWARD, at(2, 0).ip(), at(1, 0).ip(), &echo_request(8, b"?")));
        for frame in bench.take_sent() {
            idents.insert((frame[23], u16::from_be_bytes([frame[18], frame[19]])));
        }
    }
    assert_eq!(idents.len(), 20);
}

/// Whoever counts its own errors must not learn which ports of ours swallowed somebody else's
/// (CVE-2020-25705).
#[test]
fn the_number_of_errors_in_a_burst_tells_nothing() {
    let mut bench = Bench::new();
    let mut bursts = std::collections::BTreeSet::new();
    for _ in 0..10 {
        for _ in 0..200 {
            bench.inject(&wire::datagram(INWARD, at(2, 9), at(1, 7), b"?"));
            bench.settle();
        }
        bursts.insert(bench.take_sent().len());
        bench.run_for(Duration::from_secs(10));
        bench.take_sent();
    }
    assert!(bursts.len() > 1, "{bursts:?}");
    assert!(bursts.iter().all(|errors| (25..=100).contains(errors)), "{bursts:?}");
}
