//! Blocking sockets between two hosts: what they do when nothing goes wrong.

mod world;

use std::{net::Ipv4Addr, sync::Arc, thread};

use axerrno::AxError;

use world::{
    HERE, PeerTcpSocket, PeerUdpSocket, Plan, TcpSocket, UdpSocket, World, fixed, here, there,
};

fn listener(port: u16) -> TcpSocket {
    let listener = TcpSocket::new();
    listener.bind(here(port)).unwrap();
    listener.listen().unwrap();
    listener
}

/// A connection to a listener, both ends.
fn connection(port: u16) -> (TcpSocket, PeerTcpSocket) {
    let listener = listener(port);
    let peer = PeerTcpSocket::new();
    peer.connect(here(port)).unwrap();
    (listener.accept().unwrap(), peer)
}

fn recv_all<S: axnet::blocking::System>(socket: &axnet::blocking::TcpSocket<S>) -> Vec<u8> {
    let mut received = vec![];
    let mut buffer = [0; 4096];
    loop {
        match socket.recv(&mut buffer).unwrap() {
            0 => return received,
            len => received.extend(&buffer[..len]),
        }
    }
}

fn send_all<S: axnet::blocking::System>(socket: &axnet::blocking::TcpSocket<S>, mut data: &[u8]) {
    while !data.is_empty() {
        data = &data[socket.send(data).unwrap()..];
    }
}

#[test]
fn a_thread_for_each_connection_echoes() {
    const CLIENTS: u8 = 20;
    const LEN: usize = 300_000;
    World::run(Plan::default(), |world| {
        let listener = listener(7);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                world.spawn(move || {
                    let client = Arc::new(PeerTcpSocket::new());
                    client.connect(here(7)).unwrap();
                    let data: Vec<u8> = (0..LEN).map(|i| (i as u8).wrapping_mul(number)).collect();
                    let reader = client.clone();
                    let echoed = thread::spawn(move || {
                        let mut echoed = vec![0; LEN];
                        let mut at = 0;
                        while at < LEN {
                            at += reader.recv(&mut echoed[at..]).unwrap();
                        }
                        echoed
                    });
                    send_all(&client, &data);
                    assert!(echoed.join().unwrap() == data, "client {number}");
                })
            })
            .collect();
        for _ in 0..CLIENTS {
            let server = listener.accept().unwrap();
            world.spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(len @ 1..) = server.recv(&mut buffer) {
                    send_all(&server, &buffer[..len]);
                }
            });
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn a_connection_knows_its_ends_and_closes_in_order() {
    World::run(Plan::default(), |_| {
        let (server, peer) = connection(80);
        assert_eq!(server.local_addr(), Ok(here(80)));
        assert_eq!(server.peer_addr(), peer.local_addr());
        assert_eq!(peer.peer_addr(), Ok(here(80)));
        let options = netstack::TcpOptions::default();
        assert_eq!(server.recv_capacity(), Ok(options.receive_buffer_len));
        assert_eq!(server.send_capacity(), Ok(options.send_buffer_len));
        assert_eq!(server.nodelay(), Ok(false));
        server.set_nodelay(true).unwrap();
        assert_eq!(server.nodelay(), Ok(true));

        send_all(&peer, b"a request that is not read to its end");
        assert_eq!(server.recv(&mut [0; 9]), Ok(9));
        send_all(&server, b"an answer");
        server.shutdown().unwrap();
        assert_eq!(recv_all(&peer), b"an answer");
        assert_eq!(server.send(b"more"), Err(AxError::NotConnected));
    });
}

#[test]
fn a_dropped_socket_delivers_and_its_port_is_free_again() {
    World::run(Plan::default(), |_| {
        for round in 0..3 {
            let (server, peer) = connection(80);
            send_all(&server, &vec![round; 100_000]);
            drop(server);
            assert_eq!(recv_all(&peer), vec![round; 100_000]);
        }
    });
}

#[test]
fn a_non_blocking_socket_says_would_block_and_poll_says_when_not() {
    World::run(Plan::default(), |world| {
        let listener = listener(80);
        listener.set_nonblocking(true);
        assert!(listener.is_nonblocking());
        assert_eq!(listener.accept().err(), Some(AxError::WouldBlock));
        assert!(!listener.poll().unwrap().readable);

        let peer = PeerTcpSocket::new();
        let unconnected = peer.poll().unwrap();
        assert!(!unconnected.readable && !unconnected.writable);
        peer.set_nonblocking(true);
        assert_eq!(peer.connect(here(80)), Err(AxError::WouldBlock));
        world.until(|| peer.poll().unwrap().writable);
        assert_eq!((peer.take_error(), peer.peer_addr()), (None, Ok(here(80))));
        world.until(|| listener.poll().unwrap().readable);
        let backlog = || world.stack().stats().tcp_backlog;
        assert_eq!(backlog(), 1, "asking takes nothing");
        assert!(listener.poll().unwrap().readable && backlog() == 1);
        let server = listener.accept().unwrap();
        assert!(!server.is_nonblocking());

        assert_eq!(peer.recv(&mut [0; 8]), Err(AxError::WouldBlock));
        assert!(!peer.poll().unwrap().readable);
        server.send(b"hello").unwrap();
        world.until(|| peer.poll().unwrap().readable);
        assert_eq!(peer.recv(&mut [0; 8]), Ok(5));
        // What is sent makes room again, until the peer's buffer is full, too.
        world.until(|| {
            while peer.send(&[0; 4096]) != Err(AxError::WouldBlock) {}
            !peer.poll().unwrap().writable
        });
        server.recv(&mut vec![0; 600_000]).unwrap();
        world.until(|| peer.poll().unwrap().writable);
    });
}

#[test]
fn a_non_blocking_attempt_that_fails_is_told_once() {
    World::run(Plan::default(), |world| {
        let client = TcpSocket::new();
        client.set_nonblocking(true);
        assert_eq!(client.connect(there(9)), Err(AxError::WouldBlock));
        world.until(|| client.poll().map(|state| state.writable) != Ok(false) || closed(&client));
        assert_eq!(client.take_error(), Some(AxError::ConnectionRefused));
        assert_eq!(client.take_error(), None);
        assert_eq!(client.peer_addr(), Err(AxError::NotConnected));
    });
}

fn closed(socket: &TcpSocket) -> bool {
    socket.connect(there(9)) != Err(AxError::InProgress)
}

#[test]
fn datagrams_come_and_go() {
    World::run(Plan::default(), |_| {
        let (socket, peer) = (UdpSocket::new(), PeerUdpSocket::new());
        socket.bind(here(53)).unwrap();
        assert!(!socket.poll().unwrap().readable && socket.poll().unwrap().writable);
        peer.connect(here(53)).unwrap();
        assert_eq!(peer.peer_addr(), Ok(here(53)));
        assert_eq!(peer.send(b"question"), Ok(8));
        let mut buffer = [0; 16];
        let (len, from) = socket.peek_from(&mut buffer).unwrap();
        assert_eq!((len, Ok(from)), (8, peer.local_addr()));
        assert!(socket.poll().unwrap().readable);
        assert_eq!(socket.recv_from(&mut buffer), Ok((8, from)));
        assert_eq!(&buffer[..8], b"question");
        assert_eq!(socket.send_to(b"answer", from), Ok(6));
        assert_eq!(peer.recv(&mut buffer), Ok(6));

        let everybody = (Ipv4Addr::BROADCAST, 53).into();
        let other = PeerUdpSocket::new();
        other.bind(there(53)).unwrap();
        assert_eq!(other.send_to(b"!", everybody), Ok(1));
    });
}

#[test]
fn a_socket_whose_buffer_is_full_cannot_be_written() {
    World::run(Plan::default(), |world| {
        let socket = UdpSocket::new();
        socket.connect(there(9)).unwrap();
        socket.set_nonblocking(true);
        assert!(socket.poll().unwrap().writable);
        let frozen = world.freeze();
        while socket.poll().unwrap().writable {
            assert_eq!(socket.send(&[0; 1000]), Ok(1000));
        }
        assert_eq!(socket.send(b"!"), Err(AxError::WouldBlock));
        drop(frozen);
        world.until(|| socket.poll().unwrap().writable);
    });
}

#[test]
fn names_are_looked_up() {
    World::run(Plan::default(), |world| {
        let server = PeerUdpSocket::new();
        server.bind(there(53)).unwrap();
        world.spawn(move || {
            let mut question = [0; 512];
            while let Ok((len, from)) = server.recv_from(&mut question) {
                let _ = server.send_to(&answer(&question[..len]), from);
            }
        });
        let query = axnet::blocking::dns_query::<world::Here>;
        assert_eq!(query("10.0.0.1").unwrap(), [HERE]);
        assert_eq!(query("server.test").unwrap(), [world::THERE]);
        assert_eq!(query("nobody.test"), Err(AxError::NotFound));
        assert_eq!(query("not a name"), Err(AxError::InvalidInput));
    });
}

/// RFC 1035 section 4.1: "server.test" is the peer, nothing else exists.
fn answer(question: &[u8]) -> Vec<u8> {
    const SERVER: &[u8] = b"\x06server\x04test\0\0\x01";
    let is_server = question[12..].starts_with(SERVER);
    let code = if is_server { 0 } else { 3 };
    let mut message = question[..2].to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(is_server), 0, 0, 0, 0]);
    message.extend(&question[12..]);
    if is_server {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2]);
    }
    message
}

#[test]
fn the_first_calls_wait_for_an_address() {
    let plan = Plan { addressing: late, ..Plan::default() };
    World::run(plan, |world| {
        let stack = world.peer_stack();
        let waiting = world.clone();
        let server = world.spawn(move || {
            waiting.until_parked(1);
            // DHCP has no server here: the address comes by hand.
            let id = netstack::InterfaceId::FIRST;
            stack.add_address(id, world::THERE, 24).unwrap();
        });
        let listener = listener(80);
        let peer = PeerTcpSocket::new();
        peer.connect(here(80)).unwrap();
        assert!(listener.accept().is_ok());
        server.join().unwrap();
    });
}

fn late(last: u8) -> netstack::Addressing {
    match last {
        2 => netstack::Addressing::Dhcp,
        last => fixed(last),
    }
}
