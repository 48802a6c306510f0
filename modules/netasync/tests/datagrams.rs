//! What UDP sockets do beside sending and receiving: peers, groups, options.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axerrno::AxError;
use futures_util::future::join_all;
use netasync::{UdpSocket, sleep, timeout};
use netstack::{InterfaceId, Multicast};
use world::{World, server_addr};

mod world;

const SECOND: Duration = Duration::from_secs(1);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x77);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

async fn bind(address: &str) -> UdpSocket {
    UdpSocket::bind(address).await.unwrap()
}

/// Sends back what it receives, from a socket of its own if it is told to hide.
async fn echo() {
    let (socket, other) = (bind("10.0.0.1:7").await, bind("10.0.0.1:8").await);
    let mut buffer = [0; 100];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        let answerer = if buffer.starts_with(b"hide") { &other } else { &socket };
        answerer.send_to(&buffer[..len], from).await.unwrap();
    }
}

#[test]
fn a_connected_socket_has_one_peer() {
    World::new().run(echo(), async {
        let socket = bind("0.0.0.0:0").await;
        assert_eq!(socket.peer_addr(), Err(AxError::NotConnected));
        assert_eq!(socket.send(b"x").await, Err(AxError::NotConnected));
        socket.connect(server_addr(7)).await.unwrap();
        assert_eq!(socket.peer_addr(), Ok(server_addr(7)));
        assert_eq!(socket.local_addr().ip(), CLIENT, "what the peer sees");
        assert_eq!(socket.send(b"hide and seek").await, Ok(13));
        assert_eq!(socket.send(b"hello").await, Ok(5));
        let mut buffer = [0; 100];
        // What came from the other port is not for this socket.
        assert_eq!(socket.recv(&mut buffer).await, Ok(5));
        assert_eq!(&buffer[..5], b"hello");
        let later = timeout(SECOND, socket.recv(&mut buffer)).await;
        assert!(later.is_err(), "{later:?}");
        assert_eq!(socket.connect("192.168.1.1:7").await, Err(AxError::NotFound));
    });
}

#[test]
fn a_peer_that_is_not_there_refuses_once() {
    World::new().run(echo(), async {
        let socket = bind("0.0.0.0:0").await;
        socket.connect(server_addr(9)).await.unwrap();
        let mut buffer = [0; 10];
        assert_eq!(socket.send(b"x").await, Ok(1));
        assert_eq!(socket.recv(&mut buffer).await, Err(AxError::ConnectionRefused));
        assert_eq!(socket.send(b"x").await, Ok(1));
        sleep(SECOND).await;
        assert_eq!(socket.send(b"x").await, Err(AxError::ConnectionRefused));
        socket.connect(server_addr(7)).await.unwrap();
        assert_eq!(socket.send(b"y").await, Ok(1));
        assert_eq!(socket.recv_from(&mut buffer).await, Ok((1, server_addr(7))));
    });
}

#[test]
fn a_datagram_is_looked_at_before_it_is_taken_and_tells_how_long_it_was() {
    World::new().run(echo(), async {
        let socket = bind("0.0.0.0:0").await;
        let local = SocketAddr::from((CLIENT, socket.local_addr().port()));
        socket.send_to(b"a long datagram", server_addr(7)).await.unwrap();
        let mut buffer = [0; 6];
        assert_eq!(socket.peek_from(&mut buffer).await, Ok((6, server_addr(7))));
        assert_eq!(socket.peek_from(&mut buffer[..1]).await, Ok((1, server_addr(7))));
        let received = socket.recv_msg(&mut buffer).await.unwrap();
        assert_eq!((received.len, received.full_len, &buffer), (6, 15, b"a long"));
        assert_eq!((received.from, received.to), (server_addr(7), local));
        assert_eq!((received.interface, received.hop_limit), (InterfaceId::FIRST, 64));
        // The rest of it is gone.
        socket.send_to(b"next", server_addr(7)).await.unwrap();
        assert_eq!(socket.recv_from(&mut buffer).await, Ok((4, server_addr(7))));
    });
}

/// Receives one datagram; returns its data, where it was sent and its hops.
async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr, u8) {
    let mut buffer = [0; 100];
    let received = socket.recv_msg(&mut buffer).await.unwrap();
    (buffer[..received.len].to_vec(), received.to, received.hop_limit)
}

#[test]
fn broadcasts_are_sent_by_those_who_may_and_received_by_all() {
    let server = async {
        let sockets = [bind_shared(7).await, bind_shared(7).await];
        for received in join_all(sockets.iter().map(receive)).await {
            assert_eq!(received, (b"all".to_vec(), "10.0.0.255:7".parse().unwrap(), 64));
        }
        let everybody = receive(&sockets[0]).await;
        assert_eq!(everybody, (b"everybody".to_vec(), "255.255.255.255:7".parse().unwrap(), 9));
        assert!(UdpSocket::bind("0.0.0.0:7").await.is_err(), "who does not share gets none");
        sockets[0].send_to(b"done", (CLIENT, 7)).await.unwrap();
    };
    World::new().run_both(server, async {
        let socket = bind("0.0.0.0:7").await;
        let forbidden = Err(AxError::PermissionDenied);
        assert!(!socket.broadcast());
        assert_eq!(socket.send_to(b"all", "10.0.0.255:7").await, forbidden);
        assert_eq!(socket.send_to(b"all", "255.255.255.255:7").await, forbidden);
        socket.set_broadcast(true);
        assert!(socket.broadcast());
        assert_eq!(socket.send_to(b"all", "10.0.0.255:7").await, Ok(3));
        socket.set_ttl(9);
        assert_eq!(socket.ttl(), 9);
        assert_eq!(socket.send_to(b"everybody", "255.255.255.255:7").await, Ok(9));
        assert_eq!(receive(&socket).await.0, b"done");
    });
}

async fn bind_shared(port: u16) -> UdpSocket {
    UdpSocket::bind_shared((Ipv4Addr::UNSPECIFIED, port)).await.unwrap()
}

#[test]
fn groups_are_joined_and_left() {
    let server = async {
        let socket = bind("0.0.0.0:7").await;
        socket.join_multicast_v4(GROUP, Ipv4Addr::new(10, 0, 0, 1)).unwrap();
        assert_eq!(receive(&socket).await, (b"one".to_vec(), (GROUP, 7).into(), 5));
        socket.leave_multicast_v4(GROUP, Ipv4Addr::new(10, 0, 0, 1)).unwrap();
        assert_eq!(receive(&socket).await.0, b"three", "not a member");
        let six = bind("[::]:8").await;
        six.join_multicast_v6(&GROUP6, None).unwrap();
        let (data, to, hop_limit) = receive(&six).await;
        assert_eq!((&data[..], to.ip(), hop_limit), (&b"six"[..], GROUP6.into(), 1));
        six.leave_multicast_v6(&GROUP6, None).unwrap();
    };
    World::new().run_both(server, async {
        let socket = bind("0.0.0.0:0").await;
        let multicast = Multicast { hop_limit: 5, is_looped: false, ..Multicast::default() };
        socket.set_multicast(multicast);
        assert_eq!(socket.multicast(), multicast);
        sleep(SECOND).await;
        socket.send_to(b"one", (GROUP, 7)).await.unwrap();
        sleep(SECOND).await;
        socket.send_to(b"two", (GROUP, 7)).await.unwrap();
        socket.send_to(b"three", server_addr(7)).await.unwrap();
        sleep(5 * SECOND).await;
        bind("[::]:0").await.send_to(b"six", (GROUP6, 8)).await.unwrap();
        sleep(SECOND).await;
    });
}

#[test]
fn members_on_the_same_host_get_copies_unless_told_otherwise() {
    World::new().run_client(async {
        let socket = bind("0.0.0.0:7").await;
        socket.join_multicast_v4(GROUP, Ipv4Addr::UNSPECIFIED).unwrap();
        socket.send_to(b"mine", (GROUP, 7)).await.unwrap();
        assert_eq!(receive(&socket).await, (b"mine".to_vec(), (GROUP, 7).into(), 1));
        socket.set_multicast(Multicast { is_looped: false, ..Multicast::default() });
        socket.send_to(b"theirs", (GROUP, 7)).await.unwrap();
        assert!(timeout(SECOND, receive(&socket)).await.is_err());
    });
}

#[test]
fn groups_that_cannot_be_joined_are_told_apart() {
    World::new().run_client(async {
        let socket = bind("0.0.0.0:7").await;
        let any = Ipv4Addr::UNSPECIFIED;
        assert_eq!(socket.join_multicast_v4(CLIENT, any), Err(AxError::InvalidInput));
        let elsewhere = Ipv4Addr::new(10, 9, 9, 9);
        assert_eq!(socket.join_multicast_v4(GROUP, elsewhere), Err(AxError::NoSuchDevice));
        assert_eq!(socket.leave_multicast_v4(GROUP, any), Err(AxError::NotFound));
        assert_eq!(socket.join_multicast_v4(GROUP, any), Ok(()));
        assert_eq!(socket.join_multicast_v4(GROUP, CLIENT), Err(AxError::AddrInUse), "the same");
        assert_eq!(socket.join_multicast_v6(&GROUP6, None), Err(AxError::InvalidInput));
        for last in 1..20 {
            socket.join_multicast_v4(Ipv4Addr::new(239, 0, 0, last), any).unwrap();
        }
        let one_more = socket.join_multicast_v4(Ipv4Addr::new(239, 0, 0, 20), any);
        assert_eq!(one_more, Err(AxError::StorageFull));
    });
}

#[test]
fn buffers_hold_as_much_as_is_set() {
    World::new().run(echo(), async {
        let socket = bind("0.0.0.0:0").await;
        assert_eq!((socket.recv_buffer_size(), socket.send_buffer_size()), (208 << 10, 64 << 10));
        for size in [0, 2047, (4 << 20) + 1] {
            assert_eq!(socket.set_recv_buffer_size(size), Err(AxError::InvalidInput));
            assert_eq!(socket.set_send_buffer_size(size), Err(AxError::InvalidInput));
        }
        assert_eq!(socket.set_send_buffer_size(4096), Ok(()));
        assert_eq!(socket.set_recv_buffer_size(2048), Ok(()));
        assert_eq!((socket.recv_buffer_size(), socket.send_buffer_size()), (2048, 4096));
        for number in 0..100 {
            socket.send_to(&[number; 100], server_addr(7)).await.unwrap();
        }
        sleep(SECOND).await;
        let mut kept = 0;
        while timeout(SECOND, socket.recv(&mut [0; 100])).await.is_ok() {
            kept += 1;
        }
        assert!((5..=20).contains(&kept), "{kept} datagrams of 100 bytes in 2 KiB");
    });
}
