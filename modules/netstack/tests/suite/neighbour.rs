//! Neighbour discovery: who waits for it, and for how long (RFC 826, RFC 4861).

use std::{net::Ipv4Addr, time::Duration};

use smoltcp::wire::{ArpOperation, TcpControl};

use crate::harness::{
    Net,
    apps::{SOON, accepted, dial, listen},
    at,
    bench::Bench,
    config,
    link::Link,
    mac, wire,
};

fn silent() -> Bench {
    let mut bench = Bench::silent(&config(1));
    bench.run_for(Duration::from_secs(1));
    bench.take_sent();
    bench
}

/// Whom the host has asked for.
fn questions(bench: &mut Bench) -> Vec<Ipv4Addr> {
    bench.take_sent().iter().filter_map(|frame| wire::arp_target(frame)).collect()
}

fn syns(bench: &mut Bench) -> usize {
    let sent = bench.take_sent();
    sent.iter().filter(|frame| wire::is_control(frame, TcpControl::Syn)).count()
}

#[test]
fn an_answer_is_acted_upon_at_once() {
    let mut bench = silent();
    let _stream = dial(&bench.stack(), at(2, 80));
    bench.run_for(Duration::from_millis(50));
    assert_eq!(questions(&mut bench), [Ipv4Addr::new(10, 0, 0, 2)]);
    bench.answer_arp([10, 0, 0, 2].into());
    assert_eq!(syns(&mut bench), 1);
}

#[test]
fn an_answer_wakes_all_that_wait_for_it() {
    let mut bench = silent();
    let _streams: Vec<_> = (0..20).map(|port| dial(&bench.stack(), at(2, 80 + port))).collect();
    bench.run_for(Duration::from_millis(50));
    assert_eq!(questions(&mut bench).len(), 1, "one for all");
    bench.answer_arp([10, 0, 0, 2].into());
    assert_eq!(syns(&mut bench), 20);
}

/// Others ask and answer too: what is not the answer must not make a flow stop waiting for it.
#[test]
fn the_answers_of_others_change_nothing() {
    let mut bench = silent();
    let _stream = dial(&bench.stack(), at(2, 80));
    bench.run_for(Duration::from_millis(10));
    for other in 20..40 {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, other), Ipv4Addr::new(10, 0, 0, 50));
        let everybody = (mac(other), [0xff; 6]);
        bench.inject(&wire::arp(everybody, ArpOperation::Request, from, to));
        bench.run_for(Duration::from_millis(1));
    }
    assert_eq!(syns(&mut bench), 0);
    bench.answer_arp([10, 0, 0, 2].into());
    assert_eq!(syns(&mut bench), 1);
}

#[test]
fn silence_is_asked_again_at_leisure() {
    let mut bench = silent();
    let _stream = dial(&bench.stack(), at(2, 80));
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(10));
    // RFC 1122 section 2.3.2.1: one per second at most.
    assert!((3..=11).contains(&questions(&mut bench).len()));
    assert!(bench.host.turns <= 20, "{} turns in ten seconds", bench.host.turns);

    // RFC 9293 section 3.8.3: the attempt ends, and with it the search.
    bench.run_for(Duration::from_secs(30));
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(1000));
    assert_eq!(bench.host.turns, 0);
}

/// One neighbour that never answers must not keep others from being found.
#[test]
fn a_dead_neighbour_does_not_hide_a_live_one() {
    let mut bench = silent();
    let dead = dial(&bench.stack(), at(9, 80));
    bench.run_for(Duration::from_millis(10));
    let _live = dial(&bench.stack(), at(2, 80));
    let mut asked = false;
    for _ in 0..200 {
        bench.run_for(Duration::from_millis(10));
        asked |= questions(&mut bench).contains(&Ipv4Addr::new(10, 0, 0, 2));
    }
    assert!(asked, "nobody asks for the live one");
    drop(dead);
}

#[test]
fn a_neighbour_is_found_over_ipv6() {
    let mut net = Net::new(Link::perfect());
    let server_ip = net.hosts[0].ip6();
    let listener = listen(&net.server(), (server_ip, 80).into());
    let _streams: Vec<_> = (0..5).map(|_| dial(&net.client(), (server_ip, 80).into())).collect();
    let mut count = 0;
    net.run_until(SOON, || {
        while accepted(&listener).map(std::mem::forget).is_some() {
            count += 1;
        }
        count == 5
    });
    assert!(net.now.micros() < 5_000, "{:?}", net.now);
}

/// RFC 792.
#[test]
fn an_echo_request_is_answered() {
    use smoltcp::{
        phy::ChecksumCapabilities,
        wire::{Icmpv4Packet, Icmpv4Repr, IpProtocol},
    };
    let data = [7; 100];
    let repr = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: &data };
    let mut icmp = vec![0; repr.buffer_len()];
    repr.emit(&mut Icmpv4Packet::new_unchecked(&mut icmp), &ChecksumCapabilities::default());
    let frame = wire::ip(
        crate::harness::bench::INWARD,
        at(2, 0).ip(),
        at(1, 0).ip(),
        IpProtocol::Icmp,
        &icmp,
    );
    let mut bench = Bench::new();
    bench.inject(&frame);
    let sent = bench.take_sent();
    let (protocol, _, to, payload) = wire::ip_payload(&sent[0]).unwrap();
    assert_eq!((protocol, to), (IpProtocol::Icmp, at(2, 0).ip()));
    assert!(payload.ends_with(&data) && payload[0] == 0);
}
