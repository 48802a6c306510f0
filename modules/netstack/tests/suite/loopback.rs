//! TCP within one host.

use std::{net::SocketAddr, time::Duration};

use netstack::{Config, ConnectError, InterfaceId, TcpStream};

use crate::harness::{
    Bell,
    apps::{Outcome, Transfer, accepted, dial, listen, noise},
    at,
    bench::Bench,
    config, wire,
};

const ANYWHERE: &str = "[::]:80";

/// The loopback addresses, and the host's own.
fn addresses(bench: &Bench) -> [SocketAddr; 5] {
    let own = SocketAddr::new(bench.host.ip6(), 80);
    let loopback = ["127.0.0.1:80", "127.8.9.10:80", "[::1]:80"];
    let [one, other, six] = loopback.map(|address| address.parse().unwrap());
    [one, other, six, at(1, 80), own]
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    // Until the host is sure of its addresses.
    bench.run_for(Duration::from_secs(10));
    bench.take_sent();
    // The harness takes a turn for fruitless that puts nothing on the wire.
    bench.host.fruitless_max = 100_000;
    bench
}

/// RFC 1122 section 3.2.1.3 (g): what is for ourselves does not appear on the wire.
#[test]
fn connections_to_ourselves_carry_bulk_and_stay_here() {
    let mut bench = bench();
    let listener = listen(&bench.stack(), ANYWHERE.parse().unwrap());
    for address in addresses(&bench) {
        let client = dial(&bench.stack(), address);
        bench.settle();
        assert_eq!(client.try_connected(), Ok(()), "{address}");
        let server = accepted(&listener).unwrap();
        let (up, down) = (noise(2_000_000, 1), noise(2_000_000, 2));
        let mut ends = [Transfer::new(&client, &up), Transfer::new(&server, &down)];
        while ends.each_mut().map(|end| end.advance()) != [true; 2] {
            bench.run_for(Duration::from_micros(10));
            assert!(bench.now.micros() < 60_000_000, "{address} stalls");
        }
        assert!(ends.iter().all(|end| end.outcome == Some(Outcome::EndOfStream)));
        assert!(ends[0].received == down && ends[1].received == up, "{address}");
        assert_eq!([&client, &server].map(|end| end.info().retransmissions), [0; 2]);
    }
    bench.run_for(Duration::from_secs(300));
    let sent = bench.take_sent();
    assert!(sent.iter().all(|frame| wire::tcp(frame).is_none()), "something on the wire");
    let stats = bench.stats();
    assert_eq!((stats.memory_used, stats.tcp_time_wait, stats.tcp_reset), (0, 0, 0));
}

/// Both ends have the address that was connected to.
#[test]
fn the_source_is_the_address_that_is_connected_to() {
    let mut bench = bench();
    for address in addresses(&bench) {
        let listener = listen(&bench.stack(), address);
        let client = dial(&bench.stack(), address);
        bench.settle();
        let server = accepted(&listener).unwrap();
        assert_eq!((server.local_addr(), server.peer_addr()), (address, client.local_addr()));
        assert_eq!(client.peer_addr(), address);
        let is_host_own = address.ip() == at(1, 0).ip() || address.ip() == bench.host.ip6();
        assert!(is_host_own || client.local_addr().ip().is_loopback(), "{address}");
    }
}

#[test]
fn nobody_at_home_refuses_at_once() {
    let mut bench = bench();
    for address in addresses(&bench) {
        let client = dial(&bench.stack(), address);
        bench.settle();
        assert_eq!(client.try_connected(), Err(ConnectError::Refused), "{address}");
    }
    assert!(bench.take_sent().is_empty());
}

/// A socket that connects to its own address and port is a simultaneous open with itself (RFC 9293
/// section 3.5, figure 7).
#[test]
fn a_socket_that_connects_to_itself_hears_itself() {
    let mut bench = bench();
    let address = "127.0.0.1:7".parse().unwrap();
    let stream = TcpStream::connect(&bench.stack(), Some(address), address).unwrap();
    bench.run_for(Duration::from_secs(5));
    assert_eq!(stream.try_connected(), Ok(()));
    stream.try_write(b"echo").unwrap();
    bench.settle();
    let mut buffer = [0; 8];
    assert_eq!((stream.try_read(&mut buffer), &buffer[..4]), (Ok(4), &b"echo"[..]));
    drop(stream);
    bench.run_for(Duration::from_secs(300));
    assert_eq!(bench.stats().memory_used, 0);
}

/// Whoever polls hears of work that an application has made for the loopback interface.
#[test]
fn a_connection_to_ourselves_wakes_the_poller() {
    let bench = bench();
    let _listener = listen(&bench.stack(), ANYWHERE.parse().unwrap());
    let (bell, waker) = Bell::new();
    bench.stack().set_poller(&waker);
    let _client = dial(&bench.stack(), "127.0.0.1:80".parse().unwrap());
    assert!(bell.rings() > 0);
}

/// A port that is chosen is never the one that is connected to: that would be a connection with
/// itself, behind the back of whoever listens there.
#[test]
fn a_chosen_port_is_another_one() {
    let config = Config { memory_limit: 1 << 30, ..config(1) };
    let stack = Bench::with_config(&config).stack();
    let to: SocketAddr = "127.0.0.1:50000".parse().unwrap();
    let streams: Vec<_> = (0..).map_while(|_| TcpStream::connect(&stack, None, to).ok()).collect();
    assert!(streams.iter().all(|stream| stream.local_addr() != to));
    assert_eq!(streams.len(), 16_383);
}

/// What has waited to be sent when its destination became an address of ours does not appear on the
/// wire either.
#[test]
fn a_peer_that_we_become_is_not_on_the_wire() {
    let mut bench = bench();
    let listener = listen(&bench.stack(), at(1, 80));
    bench.open(7, 80);
    let stream = accepted(&listener).unwrap();
    stream.try_write(b"for you").unwrap();
    bench.stack().add_address(InterfaceId::FIRST, at(2, 0).ip(), 24).unwrap();
    let sent = bench.take_sent();
    assert!(sent.iter().all(|frame| wire::tcp(frame).is_none()), "something on the wire");
}
