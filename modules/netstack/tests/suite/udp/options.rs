//! What can be set on a UDP socket: a peer, what it shares, how much it holds.

use std::net::SocketAddr;

use netstack::{BindError, BufferError, Interest, RecvError, SendError, Stack, UdpSocket};

use super::{bind, expect, received};
use crate::harness::{Bell, Net, SERVER, at, link::Link};

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
