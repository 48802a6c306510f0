//! Listeners: their queues, their limits, their wakers.

use std::{net::SocketAddr, time::Duration};

use netstack::{AcceptError, BindError, Stats, TcpListener, TcpStream};
use smoltcp::wire::TcpControl;

use crate::harness::{
    Bell, CLIENT, Net, SERVER,
    apps::{BACKLOG, Outcome, SOON, accepted, dial, drain, listen},
    at,
    bench::Bench,
    link::Link,
    wire::Segment,
};

fn anywhere(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

fn gauges(stats: &Stats) -> [u64; 6] {
    [
        stats.tcp_half_open,
        stats.tcp_backlog,
        stats.tcp_open,
        stats.tcp_orphans,
        stats.tcp_time_wait,
        stats.memory_used,
    ]
}

#[test]
fn addresses_conflict_only_with_themselves() {
    let net = Net::new(Link::perfect());
    let server = net.server();
    let bind = |local: &str, backlog| TcpListener::bind(&server, local.parse().unwrap(), backlog);

    assert_eq!(bind("10.0.0.1:80", 0).unwrap_err(), BindError::NoBacklog);
    assert_eq!(bind("10.0.0.9:80", 1).unwrap_err(), BindError::NotOurs);
    let specific = bind("10.0.0.1:80", 1).unwrap();
    assert_eq!(bind("10.0.0.1:80", 1).unwrap_err(), BindError::InUse);
    let wildcard = bind("0.0.0.0:80", 1).unwrap();
    assert_eq!(bind("0.0.0.0:80", 1).unwrap_err(), BindError::InUse);
    let _six = bind("[::]:80", 1).unwrap();
    drop((specific, wildcard));
    bind("10.0.0.1:80", 1).unwrap();
}

#[test]
fn port_zero_chooses_a_free_one() {
    let net = Net::new(Link::perfect());
    let listeners: Vec<_> = (0..100).map(|_| listen(&net.server(), at(1, 0))).collect();
    let mut ports: Vec<_> = listeners.iter().map(|one| one.local_addr().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 100);
    assert!(ports[0] >= 49152);
}

#[test]
fn a_specific_address_goes_before_the_wildcard() {
    let mut net = Net::new(Link::perfect());
    let wildcard = listen(&net.server(), anywhere(80));
    let specific = listen(&net.server(), at(1, 80));
    let _first = dial(&net.client(), at(1, 80));
    net.run_briefly();
    assert!(accepted(&specific).is_some() && accepted(&wildcard).is_none());
    drop(specific);
    let _second = dial(&net.client(), at(1, 80));
    net.run_briefly();
    assert_eq!(accepted(&wildcard).unwrap().local_addr(), at(1, 80));
}

#[test]
fn a_full_backlog_drops_in_silence_and_serves_later() {
    let mut net = Net::new(Link::perfect());
    let listener = TcpListener::bind(&net.server(), at(1, 80), 4).unwrap();
    let clients: Vec<_> = (0..20).map(|_| dial(&net.client(), at(1, 80))).collect();
    net.run_briefly();
    let stats = net.hosts[SERVER].stats();
    assert_eq!(stats.tcp_backlog, 4, "not one more than was asked for");
    assert!(stats.dropped_backlog_full > 0);

    let mut served = Vec::new();
    net.run_until(Duration::from_secs(10), || {
        while let Some(stream) = accepted(&listener) {
            served.push(stream);
        }
        served.len() == clients.len()
    });
    assert!(clients.iter().all(|client| client.try_connected().is_ok()));
    assert_eq!(net.hosts[CLIENT].stats().tcp_reset, 0);
}

#[test]
fn connections_reset_before_they_are_accepted_leave_nothing() {
    let mut bench = Bench::new();
    let listener = listen(&bench.stack(), anywhere(80));
    for round in 0..5000_u16 {
        let peer = bench.open(1000 + round, 80);
        bench.segment(peer.send(TcpControl::Rst));
        bench.settle();
    }
    assert_eq!(gauges(&bench.stats()), [0; 6]);
    assert_eq!(bench.stats().tcp_accepted, 5000);
    assert_eq!(listener.try_accept().unwrap_err(), AcceptError::WouldBlock);
    bench.run_for(Duration::from_secs(1));
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(600));
    assert!(bench.host.turns <= 2, "timers of connections that are gone");
}

#[test]
fn what_came_before_the_reset_can_be_accepted_and_read() {
    let mut bench = Bench::new();
    let listener = listen(&bench.stack(), anywhere(80));
    let mut peer = bench.open(7, 80);
    bench.segment(peer.send(TcpControl::Psh).payload(b"quick"));
    peer.seq += 5;
    bench.segment(peer.send(TcpControl::Rst));
    bench.settle();
    let stream = accepted(&listener).unwrap();
    let mut heard = Vec::new();
    assert_eq!(drain(&stream, &mut heard), Some(Outcome::Reset));
    assert_eq!(heard, b"quick");
    drop(stream);
    bench.settle();
    assert_eq!(gauges(&bench.stats()), [0; 6]);
}

#[test]
fn a_listener_that_goes_resets_what_it_has_queued() {
    let mut net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let clients: Vec<_> = (0..5).map(|_| dial(&net.client(), at(1, 80))).collect();
    net.run_briefly();
    assert_eq!(net.hosts[SERVER].stats().tcp_backlog, 5);
    drop(listener);
    net.run_until(SOON, || {
        clients.iter().all(|client| drain(client, &mut Vec::new()) == Some(Outcome::Reset))
    });
    let stats = net.hosts[SERVER].stats();
    assert_eq!((stats.tcp_listeners, gauges(&stats)), (0, [0; 6]));
}

#[test]
fn a_listener_that_goes_forgets_its_handshakes() {
    let mut bench = Bench::new();
    let listener = listen(&bench.stack(), anywhere(80));
    for port in 0..10 {
        bench.segment(Segment::new(at(2, 100 + port), at(1, 80), TcpControl::Syn, 0));
    }
    bench.settle();
    assert_eq!(bench.stats().tcp_half_open, 10);
    drop(listener);
    bench.settle();
    assert_eq!(gauges(&bench.stats()), [0; 6]);
}

#[test]
fn all_acceptors_are_woken() {
    let mut net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let bells: Vec<_> = (0..3).map(|_| Bell::new()).collect();
    for (_, waker) in &bells {
        listener.register(waker);
    }
    let _client = dial(&net.client(), at(1, 80));
    net.run_briefly();
    assert!(bells.iter().all(|(bell, _)| bell.rings() == 1));
    let _second = dial(&net.client(), at(1, 80));
    net.run_briefly();
    assert!(bells.iter().all(|(bell, _)| bell.rings() == 0), "a waker is used up");
}

#[test]
fn a_listener_that_goes_wakes_its_acceptors() {
    let net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let (bell, waker) = Bell::new();
    listener.register(&waker);
    drop(listener);
    assert_eq!(bell.rings(), 1);
}

/// An acceptor that sleeps until it is woken serves a burst longer than the backlog.
#[test]
fn an_acceptor_that_only_acts_when_woken_misses_nobody() {
    let mut net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let (bell, waker) = Bell::new();
    listener.register(&waker);
    let clients: Vec<TcpStream> =
        (0..5 * BACKLOG).map(|_| dial(&net.client(), at(1, 80))).collect();
    let mut served = Vec::new();
    net.run_until(Duration::from_secs(60), || {
        if bell.rings() > 0 {
            listener.register(&waker);
            while let Some(stream) = accepted(&listener) {
                served.push(stream);
            }
        }
        served.len() == clients.len()
    });
}

/// A SYN with a wrong checksum is none, and costs nothing.
#[test]
fn a_damaged_syn_leaves_nothing() {
    let mut bench = Bench::new();
    let _listener = listen(&bench.stack(), anywhere(80));
    let syn = Segment::new(at(2, 7), at(1, 80), TcpControl::Syn, 0);
    let mut frame = syn.frame(crate::harness::bench::INWARD);
    *frame.last_mut().unwrap() ^= 1;
    bench.inject(&frame);
    bench.settle();
    assert_eq!(gauges(&bench.stats()), [0; 6]);
    assert_eq!(bench.answer(), None);
}
