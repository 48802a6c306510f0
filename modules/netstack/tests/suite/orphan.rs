//! Connections that outlive their owner.

use std::time::Duration;

use netstack::{Shutdown, Stats};
use smoltcp::wire::TcpControl;

use crate::harness::{
    CLIENT, Net, SERVER,
    apps::{Outcome, SOON, accepted, dial, drain, listen, noise, pair, pour},
    at,
    bench::Bench,
    link::{Faults, Link},
    wire,
};

fn held(stats: &Stats) -> [u64; 3] {
    [stats.tcp_open, stats.tcp_orphans, stats.memory_used]
}

#[test]
fn what_a_dropped_stream_has_written_is_delivered() {
    for per_mille in [0, 30] {
        let mut net = Net::new(Link::faulty(Faults::all(per_mille), 11));
        let (server, client) = pair(&mut net);
        let data = noise(60_000, 8);
        pour(&client, &mut &data[..]);
        assert!(client.unacknowledged() == data.len());
        drop(client);
        let mut received = Vec::new();
        net.run_until(Duration::from_secs(60), || {
            drain(&server, &mut received) == Some(Outcome::EndOfStream)
        });
        assert!(received == data);
        drop(server);
        net.run_for(Duration::from_secs(400));
        assert!(net.hosts.iter().all(|host| held(&host.stats()) == [0; 3]));
    }
}

/// RFC 2525 section 2.17: the peer must not take for delivered what nobody has read.
#[test]
fn a_stream_dropped_with_unread_data_is_reset() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    pour(&client, &mut &b"for nobody"[..]);
    net.run_briefly();
    drop(server);
    net.run_until(SOON, || drain(&client, &mut Vec::new()) == Some(Outcome::Reset));
    assert_eq!(held(&net.hosts[SERVER].stats()), [0; 3]);
}

/// RFC 9293 section 3.10.7.4: data after CLOSE is answered with a reset.
#[test]
fn data_that_comes_after_the_drop_is_answered_with_a_reset() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    drop(server);
    net.run_until(SOON, || drain(&client, &mut Vec::new()) == Some(Outcome::EndOfStream));
    pour(&client, &mut &b"for nobody"[..]);
    net.run_until(SOON, || drain(&client, &mut Vec::new()) == Some(Outcome::Reset));
    assert_eq!(held(&net.hosts[SERVER].stats()), [0; 3]);
}

#[test]
fn an_orphan_whose_peer_is_dead_is_given_up() {
    let mut net = Net::new(Link::perfect());
    let (_server, client) = pair(&mut net);
    net.link.cut();
    pour(&client, &mut &b"anyone?"[..]);
    drop(client);
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.hosts[CLIENT].stats().tcp_orphans, 1, "it is not given up early");
    net.run_for(Duration::from_secs(90));
    assert_eq!(held(&net.hosts[CLIENT].stats()), [0; 3]);
    net.turns();
    net.run_for(Duration::from_secs(1000));
    assert_eq!(net.turns()[CLIENT], 0);
}

/// A peer that acknowledges and never reads could hold an orphan for ever.
#[test]
fn an_orphan_whose_peer_never_reads_is_given_up() {
    let mut net = Net::new(Link::perfect());
    let (_server, client) = pair(&mut net);
    for _ in 0..20 {
        pour(&client, &mut &[1; 100_000][..]);
        net.run_for(Duration::from_millis(50));
    }
    drop(client);
    net.run_for(Duration::from_secs(290));
    assert_eq!(net.hosts[CLIENT].stats().tcp_orphans, 1);
    net.run_for(Duration::from_secs(20));
    assert_eq!(held(&net.hosts[CLIENT].stats()), [0; 3]);
}

#[test]
fn an_orphan_waits_a_minute_for_the_peer_to_close() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    net.run_for(Duration::from_secs(1000));
    drop(client);
    net.run_for(Duration::from_secs(50));
    assert_eq!(net.hosts[CLIENT].stats().tcp_orphans, 1);
    net.run_for(Duration::from_secs(20));
    assert_eq!(held(&net.hosts[CLIENT].stats()), [0; 3]);
    assert_eq!(drain(&server, &mut Vec::new()), Some(Outcome::Reset));
}

#[test]
fn a_half_closed_stream_may_be_dropped() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    client.shutdown(Shutdown::Write);
    net.run_briefly();
    drop(client);
    drop(server);
    net.run_for(Duration::from_secs(1));
    assert!(net.hosts.iter().all(|host| held(&host.stats()) == [0; 3]));
}

#[test]
fn a_connection_dropped_in_its_handshake_is_gone() {
    let mut net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    drop(dial(&net.client(), at(1, 80)));
    net.run_briefly();
    assert_eq!(held(&net.hosts[CLIENT].stats()), [0; 3]);
    let stream = dial(&net.client(), at(1, 80));
    net.run_for(Duration::from_micros(250));
    drop(stream);
    net.run_for(Duration::from_secs(20));
    while accepted(&listener).is_some() {}
    net.run_for(Duration::from_secs(20));
    assert!(net.hosts.iter().all(|host| held(&host.stats()) == [0; 3]));
}

/// The neighbour has been forgotten meanwhile, and the reset waits for its answer.
#[test]
fn an_idle_connection_can_still_be_reset() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    pour(&client, &mut &b"unread"[..]);
    net.run_for(Duration::from_secs(1000));
    drop(server);
    net.run_until(SOON, || drain(&client, &mut Vec::new()) == Some(Outcome::Reset));
    assert_eq!(held(&net.hosts[SERVER].stats()), [0; 3]);
}

/// A neighbour is asked for three times; then there is nothing left to do.
#[test]
fn an_aborted_connection_to_nobody_is_quiet() {
    let mut bench = Bench::new();
    bench.answers_arp = false;
    let stream = dial(&bench.stack(), at(9, 80));
    bench.run_for(Duration::from_secs(1));
    stream.abort();
    // The neighbour is asked for three times, and routers as often.
    bench.run_for(Duration::from_secs(30));
    (bench.host.turns, bench.sent) = (0, Vec::new());
    bench.run_for(Duration::from_secs(1000));
    assert_eq!((bench.host.turns, bench.sent.len()), (0, 0));
    drop(stream);
    bench.run_for(Duration::from_secs(2));
    assert_eq!(held(&bench.stats()), [0; 3]);
}

/// The orphan's FIN is sent again until it is acknowledged, and then forgotten.
#[test]
fn a_lost_fin_is_repeated() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    net.run_briefly();
    net.link.filter(|sent| !wire::is_control(&sent.frame, TcpControl::Fin));
    drop(client);
    net.run_for(Duration::from_secs(5));
    assert_eq!(drain(&server, &mut Vec::new()), None);
    net.link.mend();
    net.run_until(SOON, || drain(&server, &mut Vec::new()) == Some(Outcome::EndOfStream));
    drop(server);
    net.run_for(Duration::from_secs(1));
    assert!(net.hosts.iter().all(|host| held(&host.stats()) == [0; 3]));
}

/// An aborted stream that is then dropped has its reset to send yet.
#[test]
fn an_aborted_stream_with_unread_data_is_reset() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    pour(&client, &mut &b"for nobody"[..]);
    net.run_briefly();
    server.abort();
    server.abort();
    drop(server);
    net.run_until(SOON, || drain(&client, &mut Vec::new()) == Some(Outcome::Reset));
    assert_eq!(held(&net.hosts[SERVER].stats()), [0; 3]);
}
