//! UDP sockets (RFC 768) and fragments (RFC 791 section 3.2).

use std::{net::SocketAddr, time::Duration};

use netstack::{BindError, BufferError, Interest, RecvError, SendError, Stack, UdpSocket};
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
    assert_eq!(send(LONGEST, "10.0.0.1:7"), Err(SendError::WouldBlock));
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
    assert_eq!(bell.rings(), 1);
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

/// What a peer sees is the socket's; what others send is not (RFC 1122 section 4.1.3.5).
#[test]
fn a_connected_socket_has_one_peer() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), "0.0.0.0:7".parse().unwrap());
    let client = bind(&net.client(), "0.0.0.0:9".parse().unwrap());
    assert_eq!(client.try_send(b"nobody"), Err(SendError::NotConnected));
    client.connect(at(1, 7)).unwrap();
    assert_eq!((client.local_addr(), client.peer_addr()), (at(2, 9), Some(at(1, 7))));
    client.try_send(b"hello").unwrap();
    expect(&mut net, &server, b"hello", at(2, 9));
    let other = bind(&net.server(), at(1, 8));
    other.try_send_to(b"not for you", at(2, 9)).unwrap();
    server.try_send_to(b"for you", at(2, 9)).unwrap();
    expect(&mut net, &client, b"for you", at(1, 7));
    assert_eq!(received(&client), None);
    client.disconnect();
    assert_eq!((client.local_addr(), client.peer_addr()), ("0.0.0.0:9".parse().unwrap(), None));
    other.try_send_to(b"now for you", at(2, 9)).unwrap();
    expect(&mut net, &client, b"now for you", at(1, 8));
}

/// RFC 1122 section 4.1.3.3: told once, to a socket with one peer.
#[test]
fn a_refusal_is_told_once() {
    let mut net = Net::new(Link::perfect());
    for is_v6 in [false, true] {
        let nobody = match is_v6 {
            false => at(1, 77),
            true => SocketAddr::new(net.hosts[SERVER].ip6(), 77),
        };
        let client = UdpSocket::unbound(&net.client(), !is_v6).unwrap();
        client.connect(nobody).unwrap();
        let (bell, waker) = Bell::new();
        client.register(Interest::Read, &waker);
        for _ in 0..2 {
            client.try_send(b"anyone?").unwrap();
            net.run_briefly();
            assert_eq!(client.try_recv(&mut [0; 9]), Err(RecvError::Refused));
            assert_eq!(client.try_recv(&mut [0; 9]), Err(RecvError::WouldBlock));
        }
        assert_eq!(bell.rings(), 1);
        client.try_send(b"anyone?").unwrap();
        net.run_briefly();
        assert_eq!(client.try_send(b"again"), Err(SendError::Refused));
        assert_eq!(client.try_send(b"again"), Ok(()));
        let stranger = bind(&net.client(), SocketAddr::new(client.local_addr().ip(), 0));
        stranger.try_send_to(b"anyone?", nobody).unwrap();
        net.run_briefly();
        assert_eq!(stranger.try_recv(&mut [0; 9]), Err(RecvError::WouldBlock));
    }
}

#[test]
fn a_peek_leaves_the_datagram_and_a_cut_is_told() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), at(1, 7));
    let client = bind(&net.client(), at(2, 9));
    client.set_hop_limit(33);
    client.try_send_to(b"longer", at(1, 7)).unwrap();
    net.run_briefly();
    let mut buffer = [0; 4];
    for _ in 0..2 {
        assert_eq!(server.try_peek_from(&mut buffer), Ok((4, at(2, 9))));
    }
    let got = server.try_receive(&mut buffer).unwrap();
    assert_eq!((got.len, got.full_len, got.hop_limit), (4, 6, 33));
    assert_eq!((got.from, got.to), (at(2, 9), at(1, 7)));
    assert_eq!(received(&server), None);
}

/// RFC 3493 sections 3.7 and 5.3.
#[test]
fn an_ipv6_socket_takes_ipv4_unless_told_not_to() {
    let mut net = Net::new(Link::perfect());
    let dual = bind(&net.server(), "[::]:7".parse().unwrap());
    let client = bind(&net.client(), at(2, 9));
    client.try_send_to(b"four", at(1, 7)).unwrap();
    expect(&mut net, &dual, b"four", "[::ffff:10.0.0.2]:9".parse().unwrap());
    dual.try_send_to(b"back", "[::ffff:10.0.0.2]:9".parse().unwrap()).unwrap();
    expect(&mut net, &client, b"back", at(1, 7));

    let four = bind(&net.server(), "0.0.0.0:7".parse().unwrap());
    client.try_send_to(b"to the family", at(1, 7)).unwrap();
    expect(&mut net, &four, b"to the family", at(2, 9));
    drop(four);
    dual.connect("[::ffff:10.0.0.2]:9".parse().unwrap()).unwrap();
    assert_eq!(dual.local_addr(), "[::ffff:10.0.0.1]:7".parse().unwrap());
    dual.try_send(b"connected").unwrap();
    expect(&mut net, &client, b"connected", at(1, 7));

    let six = UdpSocket::unbound(&net.server(), false).unwrap();
    six.set_only_v6(true);
    assert!(six.only_v6());
    six.bind_to("[::]:8".parse().unwrap()).unwrap();
    let refused = six.try_send_to(b"x", "[::ffff:10.0.0.2]:9".parse().unwrap());
    assert_eq!(refused, Err(SendError::Invalid));
    client.try_send_to(b"x", at(1, 8)).unwrap();
    net.run_briefly();
    assert_eq!(received(&six), None);
}

fn sharing(stack: &Stack, addr: SocketAddr, set: fn(&UdpSocket)) -> Result<UdpSocket, BindError> {
    let socket = UdpSocket::unbound(stack, true).unwrap();
    set(&socket);
    socket.bind_to(addr).map(|()| socket)
}

#[test]
fn a_shared_port_has_its_peers_divided() {
    let mut net = Net::new(Link::perfect());
    let share = |socket: &UdpSocket| socket.set_reuse_port(true);
    let sockets: Vec<_> =
        (0..4).map(|_| sharing(&net.server(), at(1, 7), share).unwrap()).collect();
    assert_eq!(UdpSocket::bind(&net.server(), at(1, 7)).unwrap_err(), BindError::InUse);
    let clients: Vec<_> = (0..64).map(|port| bind(&net.client(), at(2, 5000 + port))).collect();
    for _ in 0..2 {
        for client in &clients {
            client.try_send_to(b"hello", at(1, 7)).unwrap();
        }
        net.run_briefly();
    }
    let counts = sockets.iter().map(|socket| std::iter::from_fn(|| received(socket)).collect());
    let counts: Vec<Vec<_>> = counts.collect();
    assert_eq!(counts.iter().map(Vec::len).sum::<usize>(), 128);
    for got in &counts {
        assert!(got.len() > 8, "one has hardly anything");
        let mut from: Vec<_> = got.iter().map(|(_, from)| from.port()).collect();
        from.sort_unstable();
        assert!(from.chunks(2).all(|pair| pair[0] == pair[1]), "a peer changed its socket");
    }
}

#[test]
fn a_reused_address_is_the_last_ones() {
    let mut net = Net::new(Link::perfect());
    let reuse = |socket: &UdpSocket| socket.set_reuse_address(true);
    let any = "0.0.0.0:7".parse().unwrap();
    let first = sharing(&net.server(), any, reuse).unwrap();
    let last = sharing(&net.server(), any, reuse).unwrap();
    let client = bind(&net.client(), at(2, 9));
    client.set_broadcast(true);
    client.try_send_to(b"one", at(1, 7)).unwrap();
    expect(&mut net, &last, b"one", at(2, 9));
    assert_eq!(received(&first), None);
    client.try_send_to(b"all", at(255, 7)).unwrap();
    expect(&mut net, &last, b"all", at(2, 9));
    expect(&mut net, &first, b"all", at(2, 9));
}

#[test]
fn buffers_are_bounded_by_what_was_set() {
    let mut net = Net::new(Link::perfect());
    let server = bind(&net.server(), at(1, 7));
    let client = bind(&net.client(), at(2, 9));
    assert_eq!(server.set_receive_buffer(100), Err(BufferError::TooSmall));
    assert_eq!(server.set_send_buffer(usize::MAX), Err(BufferError::TooLarge));
    server.set_receive_buffer(8192).unwrap();
    client.set_send_buffer(1 << 20).unwrap();
    assert_eq!((server.receive_buffer(), client.send_buffer()), (8192, 1 << 20));
    for _ in 0..20 {
        client.try_send_to(&[1; 1000], at(1, 7)).unwrap();
    }
    net.run_briefly();
    let held = net.server().stats().memory_used;
    assert!((8000..11_000).contains(&held), "{held}");
    let got = std::iter::from_fn(|| received(&server)).count();
    assert_eq!((got, net.server().stats().dropped_buffer_full), (7, 13));
    for _ in 0..1000 {
        client.try_send_to(&[], at(1, 7)).unwrap();
        net.run_briefly();
    }
    let empty = std::iter::from_fn(|| received(&server)).count();
    assert!((20..200).contains(&empty), "{empty} empty datagrams in 8 KiB");
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
