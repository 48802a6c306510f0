//! Below the transports: echo requests and raw packets.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use axerrno::AxError;
use netasync::{Handle, IcmpSocket, RawSocket, UdpSocket, ping, sleep, timeout};
use netstack::ErrorKind;
use world::{World, server_addr};

mod world;

const SECOND: Duration = Duration::from_secs(1);
/// For experiments (RFC 3692).
const PROTOCOL: u8 = 253;

fn server_ip() -> IpAddr {
    server_addr(0).ip()
}

async fn nothing() {}

#[test]
fn a_host_that_is_there_answers_pings() {
    let mut world = World::new();
    // An address is used when nobody has objected (RFC 4862 section 5.4).
    world.run_client(async { sleep(5 * SECOND).await });
    let ip6 = world.server.handle().stack().ipv6().unwrap();
    world.run(nothing(), async move {
        assert!(ping(server_ip(), SECOND).await.is_ok());
        assert!(ping(ip6.into(), SECOND).await.is_ok());
        assert!(ping(Ipv4Addr::LOCALHOST.into(), SECOND).await.is_ok());
        let own = Handle::current().stack().ipv4().unwrap().address;
        assert!(ping(own.into(), SECOND).await.is_ok());
    });
}

#[test]
fn a_host_that_is_not_there_is_told_from_one_that_cannot_be_reached() {
    World::new().run(nothing(), async {
        let begun = Handle::current().now();
        let absent = ping(Ipv4Addr::new(10, 0, 0, 77).into(), SECOND).await;
        assert_eq!(absent, Err(AxError::TimedOut));
        assert_eq!(Handle::current().now() - begun, SECOND);
        let elsewhere = ping(Ipv4Addr::new(192, 168, 1, 1).into(), SECOND).await;
        assert_eq!(elsewhere, Err(AxError::NotFound));
        let everybody = ping(Ipv4Addr::new(10, 0, 0, 255).into(), SECOND).await;
        assert_eq!(everybody, Err(AxError::PermissionDenied));
        let nobody = ping(Ipv4Addr::UNSPECIFIED.into(), SECOND).await;
        assert_eq!(nobody, Err(AxError::InvalidInput));
    });
}

#[test]
fn echo_replies_say_which_request_they_answer() {
    World::new().run(nothing(), async {
        let socket = IcmpSocket::towards(server_ip()).unwrap();
        assert_eq!(socket.ttl(), 64);
        socket.set_ttl(3);
        assert_eq!(socket.ttl(), 3);
        socket.send_to(7, b"seven", server_ip()).await.unwrap();
        socket.send_to(8, &[8; 3000], server_ip()).await.unwrap();
        let mut buffer = [0; 10];
        let echo = socket.recv(&mut buffer).await.unwrap();
        assert_eq!((echo.sequence, echo.error, &buffer[..5]), (7, None, &b"seven"[..]));
        let echo = socket.recv(&mut buffer).await.unwrap();
        assert_eq!((echo.sequence, echo.received.len, echo.received.full_len), (8, 10, 3000));
        assert_eq!(echo.received.from.ip(), server_ip());
        let too_long = socket.send_to(9, &[0; 65_508], server_ip()).await;
        assert_eq!(too_long, Err(AxError::OutOfRange));
        let other_version = socket.send_to(9, b"", Ipv4Addr::LOCALHOST.to_ipv6_mapped().into());
        assert_eq!(other_version.await, Err(AxError::InvalidInput));
    });
}

/// An ICMP error that says that a packet has taken too many hops.
fn time_exceeded(packet: &[u8]) -> Vec<u8> {
    let mut message = vec![11, 0, 0, 0, 0, 0, 0, 0];
    message.extend(packet);
    let words = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

#[test]
fn errors_about_requests_come_to_who_sent_them() {
    // A router of its own: what it receives as a raw packet it says has taken too many hops.
    let server = async {
        let raw = RawSocket::towards(server_ip(), 1).unwrap();
        let mut buffer = [0; 100];
        let request = raw.recv(&mut buffer).await.unwrap();
        let len = (20 + request.len) as u8;
        let mut packet = vec![0x45, 0, 0, len, 0, 0, 0, 0, 1, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1];
        packet.extend(&buffer[..request.len]);
        let (error, client) = (time_exceeded(&packet), request.from.ip());
        assert_eq!(raw.send_to(&error, client).await, Ok(error.len()));
    };
    World::new().run_both(server, async {
        let socket = IcmpSocket::towards(server_ip()).unwrap();
        socket.send_to(5, b"twelve bytes", server_ip()).await.unwrap();
        let mut errors = vec![];
        while let Ok(echo) = timeout(SECOND, socket.recv(&mut [0; 20])).await {
            errors.push(echo.unwrap().error);
        }
        // Besides, the host behind the router has answered.
        assert_eq!(errors, [None, Some(ErrorKind::TimeExceeded)]);
    });
}

#[test]
fn raw_packets_go_both_ways() {
    let server = async {
        let raw = RawSocket::towards(server_ip(), PROTOCOL).unwrap();
        let mut buffer = [0; 4];
        let received = raw.recv(&mut buffer).await.unwrap();
        assert_eq!((received.len, received.full_len, &buffer), (4, 10, b"expe"));
        assert_eq!((received.hop_limit, received.from.port()), (3, 0));
        raw.send_to(&[7; 5000], received.from.ip()).await.unwrap();
    };
    World::new().run_both(server, async {
        let raw = RawSocket::towards(server_ip(), PROTOCOL).unwrap();
        assert_eq!(raw.ttl(), 64);
        raw.set_ttl(3);
        assert_eq!(raw.ttl(), 3);
        assert_eq!(raw.send_to(b"experiment", server_ip()).await, Ok(10));
        let mut buffer = [0; 6000];
        let received = raw.recv(&mut buffer).await.unwrap();
        assert_eq!((received.len, received.from.ip()), (5000, server_ip()));
        assert!(buffer[..5000] == [7; 5000], "put together from fragments");
        let elsewhere = raw.send_to(b"x", Ipv4Addr::new(192, 168, 1, 1).into()).await;
        assert_eq!(elsewhere, Err(AxError::NotFound));
    });
}

#[test]
fn raw_sockets_take_copies_only() {
    let server = async {
        let (raw, socket) = (RawSocket::towards(server_ip(), 17), UdpSocket::bind("0.0.0.0:7"));
        let (raw, socket) = (raw.unwrap(), socket.await.unwrap());
        let mut buffer = [0; 100];
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"hello");
        assert_eq!(raw.recv(&mut buffer).await.unwrap().len, 8 + len, "with its UDP header");
        socket.send_to(b"bye", from).await.unwrap();
    };
    World::new().run_both(server, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.send_to(b"hello", server_addr(7)).await.unwrap();
        assert_eq!(socket.recv(&mut [0; 10]).await, Ok(3));
    });
}
