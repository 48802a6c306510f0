//! The cost of a frame does not depend on how many connections there are.

use std::{net::SocketAddr, time::Duration};

use netstack::{Config, Interest};
use smoltcp::wire::TcpControl;

use crate::harness::{
    Bell, Net,
    apps::{SOON, accepted, dial, drain, listen, pair, pour},
    at,
    bench::{Bench, INWARD},
    config,
    link::Link,
    wire::Segment,
};

/// Turns of both hosts, frames sent and tasks woken for ten echoes.
fn cost_of_echoes(idle: usize) -> ([u64; 2], u64, usize) {
    let roomy = |last| Config { memory_limit: 1 << 30, ..config(last) };
    let mut net = Net::with_configs(&roomy(1), &roomy(2), Link::perfect());
    net.hosts.iter_mut().for_each(|host| host.fruitless_max = 10_000);
    let (bell, waker) = Bell::new();
    let listener = listen(&net.server(), at(1, 80));
    let mut idlers = Vec::new();
    for _ in 0..idle {
        let client = dial(&net.client(), at(1, 80));
        let mut server = None;
        net.run_until(SOON, || {
            server = accepted(&listener);
            server.is_some()
        });
        client.register(Interest::Read, &waker);
        idlers.push((server, client));
    }
    drop(listener);
    let (server, client) = pair(&mut net);
    net.run_for(Duration::from_secs(1));
    net.turns();
    net.link.count = 0;
    for _ in 0..10 {
        pour(&client, &mut &b"ping"[..]);
        let mut heard = Vec::new();
        net.run_until(SOON, || {
            let mut request = Vec::new();
            drain(&server, &mut request);
            pour(&server, &mut &request[..]);
            drain(&client, &mut heard);
            heard.len() == 4
        });
    }
    let woken = bell.rings();
    (net.turns(), net.link.count, woken)
}

#[test]
fn idle_connections_cost_nothing() {
    let alone = cost_of_echoes(0);
    assert_eq!(cost_of_echoes(2000), alone);
    let ([server, client], frames, woken) = alone;
    assert!(server <= 40 && client <= 40 && frames <= 40, "{alone:?}");
    assert_eq!(woken, 0);
}

/// A frame for one of many neighbours is for that one.
#[test]
fn segments_find_their_connection_among_many() {
    let mut bench = Bench::with_config(&Config { memory_limit: 1 << 30, ..config(1) });
    let listener = listen(&bench.stack(), SocketAddr::from(([0, 0, 0, 0], 80)));
    let mut ends = Vec::new();
    for port in 0..1000 {
        let peer = bench.open(2000 + port, 80);
        ends.push((peer, accepted(&listener).unwrap()));
    }
    for (peer, _) in ends.iter().rev() {
        let text = peer.from.port().to_string();
        bench.inject(
            &Segment { payload: text.as_bytes(), ..peer.send(TcpControl::Psh) }.frame(INWARD),
        );
        bench.settle();
    }
    for (peer, stream) in &ends {
        let mut heard = Vec::new();
        drain(stream, &mut heard);
        assert_eq!(heard, peer.from.port().to_string().as_bytes());
        assert_eq!(stream.peer_addr(), peer.from);
    }
}
