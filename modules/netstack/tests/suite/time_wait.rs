//! TIME-WAIT without a socket (RFC 9293 section 3.10.7.4, RFC 6191).

use std::time::Duration;

use netstack::{TcpListener, TcpStream};
use smoltcp::wire::TcpControl;

use crate::harness::{
    CLIENT, Net, SERVER,
    apps::{SOON, accepted, dial, drain, listen, pair},
    at,
    bench::{Bench, Peer},
    link::Link,
    wire::Segment,
};

fn bench() -> (Bench, TcpListener) {
    let bench = Bench::new();
    let listener = listen(&bench.stack(), at(1, 80));
    (bench, listener)
}

/// What a connection does not accept must not move what TIME-WAIT takes for its end.
#[test]
fn a_stray_segment_does_not_stand_in_the_way_of_the_next_connection() {
    let (mut bench, listener) = bench();
    let peer = bench.open(7, 80);
    bench.segment(Peer { seq: 1_000_000_000, ..peer }.send(TcpControl::None));
    bench.segment(Peer { seq: 1_000_000_000, ..peer }.send(TcpControl::Fin));
    bench.settle();
    drop(accepted(&listener).expect("a connection"));
    bench.settle();
    let peer = Peer { ack: peer.ack.wrapping_add(1), ..peer };
    bench.segment(peer.send(TcpControl::Fin));
    bench.settle();
    assert_eq!(bench.stats().tcp_time_wait, 1);
    bench.take_sent();
    bench.segment(Segment::new(at(2, 7), at(1, 80), TcpControl::Syn, 1000));
    assert!(matches!(bench.answer(), Some((TcpControl::Syn, _, Some(1001)))));
}

#[test]
fn it_needs_no_socket_while_the_stream_is_still_held() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    client.shutdown(netstack::Shutdown::Write);
    net.run_briefly();
    drop(server);
    net.run_briefly();
    let stats = net.hosts[CLIENT].stats();
    assert_eq!((stats.tcp_open, stats.tcp_time_wait), (1, 1));
    net.run_for(Duration::from_secs(20));
    drop(client);
    net.run_briefly();
    let stats = net.hosts[CLIENT].stats();
    assert_eq!((stats.tcp_open, stats.tcp_time_wait, stats.memory_used), (0, 0, 0));
}

#[test]
fn twenty_thousand_connections_one_after_the_other_leave_nothing() {
    let mut net = Net::new(Link::perfect());
    // Entries expire every 10 ms.
    net.hosts.iter_mut().for_each(|host| host.fruitless_max = 200);
    let listener = listen(&net.server(), at(1, 80));
    let baseline = net.hosts.each_ref().map(|host| host.stats().memory_used);
    for round in 0..20_000 {
        let client = dial(&net.client(), at(1, 80));
        let mut server = None;
        // A port that the server still remembers is taken at once: the new numbers lie above the old.
        net.run_until(SOON, || {
            server = server.take().or_else(|| accepted(&listener));
            server.is_some() && client.try_connected().is_ok()
        });
        // The side that closes first is the one that waits.
        let server = server.unwrap();
        let (first, second) = if round % 2 == 0 { (server, client) } else { (client, server) };
        drop(first);
        net.run_until(SOON, || drain(&second, &mut Vec::new()).is_some());
        drop(second);
        net.run_for(Duration::from_micros(200));
    }
    let stats = net.hosts.each_ref().map(|host| host.stats());
    assert_eq!(stats.map(|stats| stats.memory_used), baseline);
    assert!(stats.iter().all(|stats| (stats.tcp_open, stats.tcp_orphans) == (0, 0)));
    assert!(stats.iter().all(|stats| (1..=8192).contains(&stats.tcp_time_wait)));
    assert_eq!(net.hosts[SERVER].stats().tcp_accepted, 20_000);

    net.run_for(Duration::from_secs(11));
    assert!(net.hosts.iter().all(|host| host.stats().tcp_time_wait == 0));
    net.turns();
    net.run_for(Duration::from_secs(1000));
    assert_eq!(net.turns(), [0, 0]);
}

/// One tuple, over and over: each connection takes the place of the one before.
#[test]
fn a_port_pair_can_be_reused_at_once() {
    let (mut bench, listener) = bench();
    let mut seq = 0;
    for _ in 0..100 {
        bench.segment(Segment::new(at(2, 7), at(1, 80), TcpControl::Syn, seq));
        let (_, theirs, _) = bench.answer().expect("a SYN-ACK");
        let (from, to) = (at(2, 7), at(1, 80));
        let mut peer = Peer { from, to, seq: seq + 1, ack: theirs.wrapping_add(1) };
        bench.segment(peer.send(TcpControl::None));
        bench.settle();
        drop(accepted(&listener).expect("a connection"));
        bench.settle();
        peer.ack = peer.ack.wrapping_add(1);
        bench.segment(peer.send(TcpControl::Fin));
        bench.take_sent();
        seq += 100;
    }
    assert_eq!((bench.stats().tcp_time_wait, bench.stats().memory_used), (1, 0));
}

#[test]
fn our_own_ports_are_not_reused_while_they_wait() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let local = client.local_addr();
    drop(client);
    net.run_briefly();
    drop(server);
    net.run_briefly();
    assert_eq!(net.hosts[CLIENT].stats().tcp_time_wait, 1);
    let again = TcpStream::connect(&net.client(), Some(local), at(1, 80));
    assert_eq!(again.unwrap_err(), netstack::ConnectError::InUse);
    net.run_for(Duration::from_secs(11));
    TcpStream::connect(&net.client(), Some(local), at(1, 80)).unwrap();
}
