//! The memory budget: what is refused when it is spent, and that it comes back.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use netstack::{BindError, Config, ConnectError, TcpStream, UdpSocket};
use smoltcp::wire::TcpControl;

use crate::harness::{
    Net,
    apps::{accepted, dial, listen, pair, pour},
    at,
    bench::Bench,
    config,
    link::Link,
    wire::Segment,
};

/// Room for a handful of connections.
const SCARCE_MEMORY: usize = 512 * 1024;

fn scarce() -> Config {
    Config { memory_limit: SCARCE_MEMORY, ..config(1) }
}

#[test]
fn spent_memory_drops_syns_in_silence_and_comes_back() {
    let mut bench = Bench::with_config(&scarce());
    let listener = listen(&bench.stack(), at(1, 80));
    let mut peers = Vec::new();
    for port in 1000.. {
        let syn = Segment::new(at(2, port), at(1, 80), TcpControl::Syn, 0);
        bench.segment(syn);
        let Some((_, seq, _)) = bench.answer() else {
            break;
        };
        let (from, to) = (syn.from, syn.to);
        peers.push(crate::harness::bench::Peer { from, to, seq: 1, ack: seq.wrapping_add(1) });
        bench.segment(peers.last().unwrap().send(TcpControl::None));
        bench.settle();
        assert!(accepted(&listener).map(std::mem::forget).is_some());
    }
    let stats = bench.stats();
    assert!((150..200).contains(&peers.len()), "{}", peers.len());
    assert_eq!(stats.dropped_no_memory, 1);
    assert!(stats.memory_used <= SCARCE_MEMORY as u64);

    let stack = bench.stack();
    let refused = TcpStream::connect(&stack, None, at(2, 80));
    assert_eq!(refused.unwrap_err(), ConnectError::NoMemory);
}

#[test]
fn a_flood_spends_no_memory() {
    let mut bench = Bench::with_config(&scarce());
    let listener = listen(&bench.stack(), at(1, 80));
    for port in 1000..1500 {
        bench.segment(Segment::new(at(7, port), at(1, 80), TcpControl::Syn, 0));
        bench.settle();
    }
    let stats = bench.stats();
    assert_eq!((stats.tcp_half_open, stats.memory_used, stats.dropped_no_memory), (500, 0, 0));
    bench.open(9, 80);
    assert_eq!(accepted(&listener).unwrap().peer_addr(), at(2, 9));
}

/// The application may have taken what the budget promised.
#[test]
fn a_machine_without_memory_gives_none_to_sockets() {
    static FREE: AtomicUsize = AtomicUsize::new(0);
    let mut bench = Bench::with_config(&scarce());
    bench.stack().set_free_memory(|| FREE.load(Ordering::Relaxed));
    let _listener = listen(&bench.stack(), at(1, 80));
    let syn = Segment::new(at(2, 7), at(1, 80), TcpControl::Syn, 0);
    for (free, answers) in [(SCARCE_MEMORY / 4, 0), (SCARCE_MEMORY, 1)] {
        FREE.store(free, Ordering::Relaxed);
        bench.segment(syn);
        assert_eq!(bench.answer().iter().count(), answers, "{free} bytes free");
    }
    assert_eq!(bench.stats().dropped_no_memory, 1);
}

#[test]
fn released_memory_is_used_again() {
    let mut net = Net::with_configs(&scarce(), &config(2), Link::perfect());
    for _ in 0..10 {
        let server = net.server();
        let sockets: Vec<_> =
            (0..1000).map_while(|port| UdpSocket::bind(&server, at(1, 1000 + port)).ok()).collect();
        assert!(!sockets.is_empty());
        let refused = UdpSocket::bind(&server, at(1, 53));
        assert_eq!(refused.unwrap_err(), BindError::NoMemory);
        drop(sockets);
        net.run_briefly();
        assert_eq!(server.stats().memory_used, 0);
        UdpSocket::bind(&server, at(1, 53)).unwrap();
        net.run_briefly();
    }
}

/// A peer whose SYNs are dropped connects as soon as there is room.
#[test]
fn a_client_gets_in_when_memory_is_back() {
    let mut net = Net::with_configs(&scarce(), &config(2), Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let server = net.server();
    let hogs: Vec<_> =
        (0..1000).map_while(|_| TcpStream::connect(&server, None, at(9, 1)).ok()).collect();
    let client = dial(&net.client(), at(1, 80));
    net.run_for(Duration::from_secs(1));
    assert_eq!(client.try_connected(), Err(ConnectError::WouldBlock));
    assert!(server.stats().dropped_no_memory > 0);
    drop(hogs);
    net.run_until(Duration::from_secs(10), || accepted(&listener).is_some());
    assert_eq!(client.try_connected(), Ok(()));
}

#[test]
fn buffers_are_smaller_when_memory_is_tight() {
    let poor_client = Config { memory_limit: SCARCE_MEMORY, ..config(2) };
    let mut net = Net::with_configs(&config(1), &poor_client, Link::perfect());
    let mut capacities = Vec::new();
    let mut held = Vec::new();
    for _ in 0..5 {
        let (server, client) = pair(&mut net);
        pour(&client, &mut &[1; 1_000_000][..]);
        capacities.push(client.unacknowledged());
        held.push((server, client));
    }
    assert!(capacities[0] >= 64 * 1024, "{capacities:?}");
    assert_eq!(capacities.last(), Some(&(8 * 1024)));
}

/// What a connection was promised when it was made: otherwise it could wait for ever.
#[test]
fn a_connection_goes_on_when_the_machine_has_no_memory() {
    static FREE: AtomicUsize = AtomicUsize::new(SCARCE_MEMORY);
    let mut net = Net::with_configs(&scarce(), &config(2), Link::perfect());
    net.server().set_free_memory(|| FREE.load(Ordering::Relaxed));
    let (server, client) = pair(&mut net);
    FREE.store(0, Ordering::Relaxed);
    assert_eq!(server.try_write(&[1; 1000]), Ok(512));
    assert_eq!(client.try_write(&[2; 1000]), Ok(1000));
    net.run_briefly();
    assert_eq!(client.try_read(&mut [0; 1000]), Ok(512));
    assert_eq!(server.try_read(&mut [0; 1000]), Ok(512));
}
