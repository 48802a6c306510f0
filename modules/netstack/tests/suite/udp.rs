//! UDP sockets (RFC 768) and fragments (RFC 791 section 3.2).

mod options;

use std::{net::SocketAddr, time::Duration};

use netstack::{BindError, Interest, RecvError, SendError, Stack, UdpSocket};
use smoltcp::wire::{IpProtocol, Ipv4Packet};

use crate::harness::{
    Bell, CLIENT, MTU, Net, SERVER,
    apps::{SOON, noise},
    at,
    bench::{Bench, INWARD},
    config,
    link::Link,
    wire,
};

const LONGEST: usize = 65_507;

fn bind(stack: &Stack, addr: SocketAddr) -> UdpSocket {
    UdpSocket::bind(stack, addr).unwrap()
}

/// The next datagram, whole.
fn received(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; LONGEST];
    match socket.try_recv_from(&mut buffer) {
        Ok((len, from)) => Some((buffer[..len].to_vec(), from)),
        Err(RecvError::WouldBlock) => None,
        Err(error) => panic!("{error}"),
    }
}

fn expect(net: &mut Net, socket: &UdpSocket, data: &[u8], from: SocketAddr) {
    let mut datagram = None;
    net.run_until(SOON, || {
        datagram = received(socket);
        datagram.is_some()
    });
    let (got, sender) = datagram.unwrap();
    assert!(got == data, "{} bytes instead of {}", got.len(), data.len());
    assert_eq!(sender, from);
}

#[test]
fn datagrams_are_echoed() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), "0.0.0.0:7".parse().unwrap());
    let client = bind(&net.client(), at(2, 0));
    for len in [0, 1, 1472, 1473, 60_000, LONGEST] {
        let data = noise(len, len as u64);
        client.try_send_to(&data, at(1, 7)).unwrap();
        expect(&mut net, &server, &data, client.local_addr());
        server.try_send_to(&data, client.local_addr()).unwrap();
        expect(&mut net, &client, &data, at(1, 7));
    }
}

#[test]
fn datagrams_work_over_ipv6() {
    let mut net = Net::new(Link::perfect());
    let (left, right) = (net.hosts[SERVER].ip6(), net.hosts[CLIENT].ip6());
    let server = bind(&net.server(), "[::]:7".parse().unwrap());
    let client = bind(&net.client(), SocketAddr::new(right, 0));
    for len in [0, 1, MTU - 48, MTU - 47, LONGEST] {
        let data = noise(len, 1);
        client.try_send_to(&data, SocketAddr::new(left, 7)).unwrap();
        expect(&mut net, &server, &data, client.local_addr());
    }
    let too_long = client.try_send_to(&vec![0; 65_528], SocketAddr::new(left, 7));
    assert_eq!(too_long, Err(SendError::TooLong));
}

#[test]
fn addresses_conflict_only_with_themselves() {
    let mut net = Net::new(Link::perfect());
    let stack = net.server();
    let error = |addr| UdpSocket::bind(&stack, addr).unwrap_err();
    let specific = bind(&stack, at(1, 53));
    let _wildcard = bind(&stack, "0.0.0.0:53".parse().unwrap());
    let _six = bind(&stack, "[::]:53".parse().unwrap());
    assert_eq!(error(at(1, 53)), BindError::InUse);
    assert_eq!(error(at(9, 53)), BindError::NotOurs);
    drop(specific);
    let _again = bind(&stack, at(1, 53));
    let (first, second) = (bind(&stack, at(1, 0)), bind(&stack, at(1, 0)));
    assert_ne!(first.local_addr(), second.local_addr());
    net.run_briefly();
}

#[test]
fn a_specific_address_goes_before_the_wildcard() {
    let mut net = Net::new(Link::perfect());
    let wildcard = bind(&net.server(), "0.0.0.0:7".parse().unwrap());
    let specific = bind(&net.server(), at(1, 7));
    let client = bind(&net.client(), at(2, 9));
    client.try_send_to(b"one", at(1, 7)).unwrap();
    expect(&mut net, &specific, b"one", at(2, 9));
    let everybody = "255.255.255.255:7".parse().unwrap();
    assert_eq!(client.try_send_to(b"all", everybody), Err(SendError::NoBroadcast));
    client.set_broadcast(true);
    client.try_send_to(b"all", "255.255.255.255:7".parse().unwrap()).unwrap();
    expect(&mut net, &wildcard, b"all", at(2, 9));
    client.try_send_to(b"net", at(255, 7)).unwrap();
    expect(&mut net, &wildcard, b"net", at(2, 9));
}

#[test]
fn a_datagram_is_cut_to_the_buffer() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), at(1, 7));
    let client = bind(&net.client(), at(2, 9));
    client.try_send_to(b"longer", at(1, 7)).unwrap();
    client.try_send_to(b"next", at(1, 7)).unwrap();
    net.run_briefly();
    let mut buffer = [0; 3];
    assert_eq!(server.try_recv_from(&mut buffer), Ok((3, at(2, 9))));
    assert_eq!(&buffer, b"lon");
    assert_eq!(received(&server), Some((b"next".to_vec(), at(2, 9))));
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let net = Net::new(Link::perfect());
    let socket = bind(&net.client(), at(2, 9));
    let send = |len, to: &str| socket.try_send_to(&vec![0; len], to.parse().unwrap());
    assert_eq!(send(1, "10.0.0.1:0"), Err(SendError::Invalid));
    assert_eq!(send(1, "0.0.0.0:7"), Err(SendError::Invalid));
    assert_eq!(send(1, "[fe80::1]:7"), Err(SendError::Invalid));
    assert_eq!(send(1, "192.0.2.1:7"), Err(SendError::Unreachable));
    assert_eq!(send(LONGEST + 1, "10.0.0.1:7"), Err(SendError::TooLong));
    assert_eq!(send(LONGEST, "10.0.0.1:7"), Ok(()));
    assert_eq!(send(LONGEST, "10.0.0.1:7"), Ok(()), "the last one goes beyond the limit");
    assert_eq!(send(0, "10.0.0.1:7"), Err(SendError::WouldBlock));
}

#[test]
fn a_full_buffer_wakes_the_writer_when_it_drains() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), at(1, 7));
    let client = bind(&net.client(), at(2, 9));
    let (bell, waker) = Bell::new();
    let data = noise(1000, 1);
    let (mut sent, mut got) = (0, 0);
    waker.wake_by_ref();
    net.run_until(SOON, || {
        if bell.rings() > 0 {
            client.register(Interest::Write, &waker);
            while sent < 500 && client.try_send_to(&data, at(1, 7)).is_ok() {
                sent += 1;
            }
        }
        while received(&server).is_some() {
            got += 1;
        }
        got == 500
    });
}

#[test]
fn a_reader_is_woken_once_per_registration() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), at(1, 7));
    let client = bind(&net.client(), at(2, 9));
    let (bell, waker) = Bell::new();
    server.register(Interest::Read, &waker);
    server.register(Interest::Read, &waker);
    net.run_briefly();
    assert_eq!(bell.rings(), 0);
    client.try_send_to(b"a", at(1, 7)).unwrap();
    net.run_briefly();
    assert_eq!(bell.rings(), 2);
    client.try_send_to(b"b", at(1, 7)).unwrap();
    net.run_briefly();
    assert_eq!(bell.rings(), 0);
}

/// Two datagrams in a row from each of two sockets: the pieces of one must all be out before the
/// next is cut.
#[test]
fn long_datagrams_do_not_get_into_each_other() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), at(1, 7));
    let clients = [bind(&net.client(), at(2, 9)), bind(&net.client(), at(2, 10))];
    for round in 0..2 {
        for (index, client) in clients.iter().enumerate() {
            let data = noise(15_000, 2 * round + index as u64);
            client.try_send_to(&data, at(1, 7)).unwrap();
        }
    }
    net.run_briefly();
    let mut got: Vec<_> = std::iter::from_fn(|| received(&server)).map(|one| one.0).collect();
    let mut wanted: Vec<_> = (0..4).map(|seed| noise(15_000, seed)).collect();
    got.sort_unstable();
    wanted.sort_unstable();
    assert!(got == wanted, "{} of 4 arrived", got.len());
}

/// The 60,000 bytes of [`noise`] as the fragments that a stack makes of them.
fn fragments() -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut net = Net::new(Link::perfect());
    let client = bind(&net.client(), at(2, 9));
    let data = noise(60_000, 1);
    net.link.record();
    client.try_send_to(&data, at(1, 7)).unwrap();
    net.run_briefly();
    let is_udp = |frame: &Vec<u8>| {
        wire::ip_payload(frame).is_some_and(|(protocol, ..)| protocol == IpProtocol::Udp)
    };
    let frames = net.link.recorded().into_iter().map(|sent| sent.frame);
    (data, frames.filter(is_udp).collect())
}

#[test]
fn fragments_are_put_together_in_any_order() {
    let (data, fragments) = fragments();
    assert_eq!(fragments.len(), 60_000 / 1480 + 1);
    let reversed: Vec<_> = fragments.iter().rev().cloned().collect();
    let swapped: Vec<_> = fragments.chunks(2).flat_map(|pair| pair.iter().rev().cloned()).collect();
    let doubled: Vec<_> = fragments.iter().flat_map(|one| [one.clone(), one.clone()]).collect();
    for frames in [fragments, reversed, swapped, doubled] {
        let mut bench = Bench::new();
        let socket = bind(&bench.stack(), at(1, 7));
        frames.iter().for_each(|frame| bench.inject(frame));
        bench.settle();
        let (got, from) = received(&socket).expect("a datagram");
        assert!(got == data && from == at(2, 9));
    }
}

#[test]
fn a_missing_fragment_costs_the_datagram_and_no_more() {
    let (data, fragments) = fragments();
    let mut bench = Bench::new();
    let socket = bind(&bench.stack(), at(1, 7));
    for ident in 0..20_u16 {
        bench.run_for(Duration::from_secs(4));
        for (index, frame) in fragments.iter().enumerate().filter(|(index, _)| *index != 5) {
            let mut frame = frame.clone();
            let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
            packet.set_ident(ident);
            packet.fill_checksum();
            assert_ne!(index, 5);
            bench.inject(&frame);
        }
        bench.settle();
    }
    assert_eq!(received(&socket), None);
    bench.run_for(Duration::from_secs(20));
    fragments.iter().for_each(|frame| bench.inject(frame));
    bench.settle();
    assert!(received(&socket).expect("a datagram").0 == data);
}

#[test]
fn a_dropped_socket_still_sends_what_it_has() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), at(1, 7));
    // Long after the last turn, and with a neighbour to be found first.
    net.run_for(Duration::from_secs(100));
    let client = bind(&net.client(), at(2, 9));
    for index in 0..20_u8 {
        client.try_send_to(&[index], at(1, 7)).unwrap();
    }
    drop(client);
    let _next_owner = bind(&net.client(), at(2, 9));
    net.run_briefly();
    let got: Vec<_> = std::iter::from_fn(|| received(&server)).map(|one| one.0[0]).collect();
    assert_eq!(got, (0..20).collect::<Vec<_>>());
    assert_eq!(net.hosts[CLIENT].stats().udp_sockets, 1);
}

#[test]
fn a_dropped_socket_with_nobody_to_send_to_goes() {
    let mut bench = Bench::new();
    bench.answers_arp = false;
    let socket = bind(&bench.stack(), at(1, 9));
    socket.try_send_to(b"hello?", at(9, 7)).unwrap();
    drop(socket);
    bench.run_for(Duration::from_secs(5));
    assert_eq!((bench.stats().udp_sockets, bench.stats().memory_used), (0, 0));
    // Routers are looked for meanwhile.
    bench.run_for(Duration::from_secs(10));
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(1000));
    assert_eq!(bench.host.turns, 0);
}

/// RFC 1122 section 4.1.3.1.
#[test]
fn a_port_of_nobody_is_unreachable() {
    const DESTINATION_UNREACHABLE: u8 = 3;
    const PORT_UNREACHABLE: u8 = 3;
    let mut bench = Bench::new();
    bench.inject(&wire::datagram(INWARD, at(2, 9), at(1, 7), b"hello?"));
    let sent = bench.take_sent();
    let (protocol, _, to, payload) = wire::ip_payload(&sent[0]).unwrap();
    assert_eq!((protocol, to), (IpProtocol::Icmp, at(2, 9).ip()));
    assert_eq!(payload[..2], [DESTINATION_UNREACHABLE, PORT_UNREACHABLE]);

    bench.inject(&wire::datagram(INWARD, at(2, 9), at(255, 7), b"hello?"));
    assert!(bench.take_sent().is_empty(), "a broadcast is not answered");
}

/// One that does not answer costs its own datagrams (RFC 1122 section 2.3.2.2), nobody else's.
#[test]
fn an_absent_neighbour_holds_up_nobody_else() {
    let mut bench = Bench::silent(&config(1));
    let socket = bind(&bench.stack(), at(1, 7));
    bench.answer_arp([10, 0, 0, 2].into());
    bench.take_sent();
    let sent_to = |bench: &mut Bench, to| {
        let sent = bench.take_sent();
        sent.iter().filter_map(|frame| wire::udp(frame)).filter(|(_, who, _)| *who == to).count()
    };
    for round in 0..20 {
        socket.try_send_to(b"anyone?", at(77, 7)).unwrap();
        socket.try_send_to(b"hello", at(2, 7)).unwrap();
        bench.run_for(Duration::from_millis(10));
        assert_eq!(sent_to(&mut bench, at(2, 7)), 1, "{round}");
    }
    bench.run_for(Duration::from_secs(2));
    assert_eq!(bench.stats().dropped_no_neighbour, 20);

    // One that answers late gets what has waited less than a second.
    socket.try_send_to(b"late", at(78, 7)).unwrap();
    bench.run_for(Duration::from_millis(900));
    bench.answer_arp([10, 0, 0, 78].into());
    assert_eq!(sent_to(&mut bench, at(78, 7)), 1);
    drop(socket);
    bench.run_for(Duration::from_secs(5));
    assert_eq!(bench.stats().memory_used, 0);
}

/// RFC 1122 section 3.2.1.3: no packet comes from our own address, from everybody or from nobody.
#[test]
fn datagrams_from_impossible_sources_are_ignored() {
    let mut bench = Bench::new();
    let socket = bind(&bench.stack(), at(1, 7));
    for from in ["10.0.0.1:7", "10.0.0.255:7", "127.0.0.1:7", "224.0.0.1:7", "0.0.0.0:7"] {
        let frame = wire::datagram(INWARD, from.parse().unwrap(), at(1, 7), b"x");
        bench.inject(&frame);
        bench.run_for(Duration::from_millis(1));
        assert_eq!(received(&socket), None, "{from}");
    }
}

/// RFC 768: a wrong checksum costs the datagram; none is none, but not in IPv6 (RFC 8200 section
/// 8.1).
#[test]
fn checksums_are_verified() {
    let mut bench = Bench::new();
    let socket = bind(&bench.stack(), "[::]:7".parse().unwrap());
    let six = bench.host.ip6();
    let peer: SocketAddr = "[fe80::2]:9".parse().unwrap();
    for (from, to, checksum_at) in [(at(2, 9), at(1, 7), 40), (peer, SocketAddr::new(six, 7), 60)] {
        let frame = wire::datagram(INWARD, from, to, b"hello");
        let mut wrong = frame.clone();
        wrong[checksum_at] ^= 1;
        let mut none = frame.clone();
        none[checksum_at..checksum_at + 2].fill(0);
        let mut padded = frame.clone();
        padded.extend([0; 17]);
        for (frame, arrives) in
            [(&frame, true), (&wrong, false), (&none, from.is_ipv4()), (&padded, true)]
        {
            bench.inject(frame);
            bench.settle();
            let got = received(&socket);
            assert_eq!(got.as_ref().map(|(data, _)| &data[..]), arrives.then_some(&b"hello"[..]));
        }
    }
    assert_eq!(bench.stats().dropped_udp_checksum, 3);
}
