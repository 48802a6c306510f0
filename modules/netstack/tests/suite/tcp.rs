//! Connections: how they begin, how they end, and what the applications hear of it.

use std::time::Duration;

use netstack::{
    Addressing, ConnectError, Instant, Interest, Ipv4Config, KeepAlive, ReadError, Shutdown,
    TcpStream, WriteError,
};
use smoltcp::wire::TcpControl;

use crate::harness::{
    Bell, CLIENT, Net, SERVER,
    apps::{Outcome, SOON, accepted, dial, drain, listen, pair, pour},
    at,
    bench::Bench,
    config,
    link::Link,
    wire,
};

fn connect_error(net: &mut Net, stream: &TcpStream, limit: Duration) -> ConnectError {
    let mut result = Err(ConnectError::WouldBlock);
    net.run_until(limit, || {
        result = stream.try_connected();
        result != Err(ConnectError::WouldBlock)
    });
    result.expect_err("the connection was made")
}

fn closes(first_is_server: bool) {
    let mut net = Net::new(Link::perfect());
    let baseline = net.hosts.each_ref().map(|host| host.stats().memory_used);
    let (server, client) = pair(&mut net);
    assert_eq!(server.peer_addr(), client.local_addr());
    assert_eq!(client.peer_addr(), server.local_addr());

    pour(&client, &mut &b"hello"[..]);
    let mut echoed = Vec::new();
    net.run_until(SOON, || {
        let mut heard = Vec::new();
        drain(&server, &mut heard);
        pour(&server, &mut &heard[..]);
        drain(&client, &mut echoed);
        echoed.len() == 5
    });
    assert_eq!(echoed, b"hello");

    let (first, second) = if first_is_server { (&server, &client) } else { (&client, &server) };
    first.shutdown(Shutdown::Write);
    assert_eq!(first.try_write(b"x"), Err(WriteError::Closed));
    net.run_until(SOON, || drain(second, &mut Vec::new()) == Some(Outcome::EndOfStream));
    second.shutdown(Shutdown::Write);
    net.run_until(SOON, || drain(first, &mut Vec::new()) == Some(Outcome::EndOfStream));
    drop((server, client));
    net.run_for(Duration::from_secs(1));

    assert_eq!(net.hosts.each_ref().map(|host| host.stats().memory_used), baseline);
    let waiting = net.hosts.each_ref().map(|host| host.stats().tcp_time_wait);
    assert_eq!(waiting, if first_is_server { [1, 0] } else { [0, 1] });
}

#[test]
fn the_client_closes_first() {
    closes(false);
}

#[test]
fn the_server_closes_first() {
    closes(true);
}

#[test]
fn connections_work_over_ipv6() {
    let mut net = Net::new(Link::perfect());
    let server_ip = net.hosts[SERVER].ip6();
    let listener = listen(&net.server(), (server_ip, 80).into());
    let client = dial(&net.client(), (server_ip, 80).into());
    let mut server = None;
    net.run_until(SOON, || {
        server = server.take().or_else(|| accepted(&listener));
        server.is_some() && client.try_connected().is_ok()
    });
    pour(&client, &mut &b"six"[..]);
    let mut heard = Vec::new();
    net.run_until(SOON, || {
        drain(server.as_ref().unwrap(), &mut heard);
        heard == b"six"
    });
}

#[test]
fn a_client_that_has_finished_still_receives() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    client.shutdown(Shutdown::Write);
    net.run_until(SOON, || drain(&server, &mut Vec::new()) == Some(Outcome::EndOfStream));
    let data = vec![7; 200_000];
    let mut rest = &data[..];
    let mut heard = Vec::new();
    net.run_until(SOON, || {
        pour(&server, &mut rest);
        drain(&client, &mut heard);
        heard.len() == data.len()
    });
    server.shutdown(Shutdown::Write);
    net.run_until(SOON, || drain(&client, &mut heard) == Some(Outcome::EndOfStream));
    assert_eq!(heard, data);
}

#[test]
fn a_server_that_has_finished_still_receives() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    server.shutdown(Shutdown::Write);
    net.run_until(SOON, || drain(&client, &mut Vec::new()) == Some(Outcome::EndOfStream));
    pour(&client, &mut &b"still here"[..]);
    let mut heard = Vec::new();
    net.run_until(SOON, || {
        drain(&server, &mut heard);
        heard == b"still here"
    });
}

#[test]
fn shutting_the_reading_half_ends_reads_and_leaves_writes() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let (bell, waker) = Bell::new();
    client.register(Interest::Read, &waker);
    client.shutdown(Shutdown::Read);
    net.run_briefly();
    assert_eq!(bell.rings(), 1);
    assert_eq!(client.try_read(&mut [0; 8]), Ok(0));
    pour(&client, &mut &b"out"[..]);
    let mut heard = Vec::new();
    net.run_until(SOON, || {
        drain(&server, &mut heard);
        heard == b"out"
    });
}

/// What came before the FIN can be read for as long as the application likes, also after TIME-WAIT
/// (RFC 9293 section 3.10.4: CLOSE means no more data to send, not no more to receive).
#[test]
fn unread_data_outlives_time_wait() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    client.shutdown(Shutdown::Write);
    net.run_briefly();
    pour(&server, &mut &[5; 10_000][..]);
    server.shutdown(Shutdown::Both);
    drop(server);
    net.run_for(Duration::from_secs(60));

    let mut heard = Vec::new();
    assert_eq!(drain(&client, &mut heard), Some(Outcome::EndOfStream));
    assert_eq!(heard.len(), 10_000);
    drop(client);
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.hosts[CLIENT].stats().memory_used, 0);
}

/// A reader that is woken is about to answer, and has one segment for both.
#[test]
fn an_answer_carries_the_acknowledgement() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let (bell, waker) = Bell::new();
    client.register(Interest::Read, &waker);
    let segments = client.info().segments_sent;
    pour(&server, &mut &b"question"[..]);
    net.run_until(SOON, || bell.rings() == 1);
    drain(&client, &mut Vec::new());
    pour(&client, &mut &b"answer"[..]);
    net.run_briefly();
    assert_eq!(server.info().send_queue, 0);
    assert_eq!(client.info().segments_sent, segments + 1);
}

/// The same after a look that was too early, at the end that has accepted: its SYN could not say how
/// large the window is, so there is more to tell the peer than usual.
#[test]
fn a_read_of_nothing_owes_no_acknowledgement() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    assert_eq!(server.try_read(&mut [0; 100]), Err(ReadError::WouldBlock));
    let (bell, waker) = Bell::new();
    server.register(Interest::Read, &waker);
    let segments = server.info().segments_sent;
    pour(&client, &mut &b"question"[..]);
    net.run_until(SOON, || bell.rings() == 1);
    drain(&server, &mut Vec::new());
    pour(&server, &mut &b"answer"[..]);
    net.run_briefly();
    assert_eq!(client.info().send_queue, 0);
    assert_eq!(server.info().segments_sent, segments + 1);
}

/// RFC 9293 section 3.8.6.3: within half a second, whatever the reader does.
#[test]
fn a_reader_that_is_woken_and_does_nothing_holds_no_acknowledgement_back() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let (bell, waker) = Bell::new();
    client.register(Interest::Read, &waker);
    pour(&server, &mut &b"question"[..]);
    net.run_briefly();
    assert_eq!((bell.rings(), server.info().send_queue), (1, 0));
}

#[test]
fn an_abort_is_a_reset_for_the_peer() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    pour(&server, &mut &b"lost"[..]);
    client.abort();
    let mut heard = Vec::new();
    net.run_until(SOON, || drain(&server, &mut heard) == Some(Outcome::Reset));
    assert_eq!(server.try_write(b"x"), Err(WriteError::Reset));
    assert_eq!(net.hosts[SERVER].stats().tcp_reset, 1);
}

#[test]
fn what_came_before_a_reset_can_be_read() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    pour(&client, &mut &b"first"[..]);
    net.run_briefly();
    client.abort();
    net.run_briefly();
    let mut heard = Vec::new();
    assert_eq!(drain(&server, &mut heard), Some(Outcome::Reset));
    assert_eq!(heard, b"first");
}

/// RFC 9293 section 3.8.3: at least 100 seconds.
#[test]
fn a_silent_peer_times_the_writer_out() {
    let mut net = Net::new(Link::perfect());
    let (_server, client) = pair(&mut net);
    let (bell, waker) = Bell::new();
    client.register(Interest::Read, &waker);
    net.link.cut();
    let cut_at = net.now;
    pour(&client, &mut &b"anyone?"[..]);
    net.run_for(Duration::from_secs(100));
    assert_eq!(drain(&client, &mut Vec::new()), None);
    net.run_for(Duration::from_secs(60));
    assert_eq!(bell.rings(), 1);
    assert!(net.now - cut_at >= Duration::from_secs(100));
    assert_eq!(client.try_read(&mut [0; 8]), Err(ReadError::TimedOut));
    assert_eq!(client.try_write(b"x"), Err(WriteError::TimedOut));
    assert_eq!(net.hosts[CLIENT].stats().tcp_timed_out, 1);
}

#[test]
fn what_comes_after_a_read_shutdown_is_thrown_away_and_stalls_nobody() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    server.shutdown(Shutdown::Read);
    let data = vec![7; 1_000_000];
    let mut rest = &data[..];
    net.run_until(SOON, || {
        pour(&client, &mut rest);
        rest.is_empty()
    });
    net.run_until(SOON, || client.unacknowledged() == 0);
    pour(&server, &mut &b"still talking"[..]);
    let mut heard = Vec::new();
    net.run_until(SOON, || {
        drain(&client, &mut heard);
        heard == b"still talking"
    });
}

/// Silence while nothing is in flight is no reason to give a connection up.
#[test]
fn a_connection_idle_for_an_hour_still_works_and_closes_in_peace() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    net.run_for(Duration::from_secs(3600));
    net.turns();
    net.run_for(Duration::from_secs(3600));
    assert_eq!(net.turns(), [0, 0], "an idle connection needs nobody");

    client.shutdown(Shutdown::Write);
    net.run_until(SOON, || drain(&server, &mut Vec::new()) == Some(Outcome::EndOfStream));
    net.run_for(Duration::from_secs(3600));
    pour(&server, &mut &b"late"[..]);
    server.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    net.run_until(SOON, || drain(&client, &mut heard) == Some(Outcome::EndOfStream));
    assert_eq!(heard, b"late");
    let resets = net.hosts.each_ref().map(|host| host.stats().tcp_reset);
    assert_eq!(resets, [0, 0]);
}

#[test]
fn a_dropped_idle_connection_ends_with_a_fin() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    net.run_for(Duration::from_secs(3600));
    drop(client);
    net.run_until(SOON, || drain(&server, &mut Vec::new()) == Some(Outcome::EndOfStream));
    drop(server);
    net.run_briefly();
    let resets = net.hosts.each_ref().map(|host| host.stats().tcp_reset);
    assert_eq!(resets, [0, 0]);
}

/// RFC 9293 section 3.8.4.
#[test]
fn keep_alive_finds_a_dead_peer_and_spares_a_live_one() {
    let mut net = Net::new(Link::perfect());
    let (_server, client) = pair(&mut net);
    net.run_for(Duration::from_secs(3600));
    let five = Duration::from_secs(5);
    client.set_keep_alive(Some(KeepAlive { idle: five, interval: five, count: 4 }));
    net.run_for(Duration::from_secs(300));
    assert_eq!(drain(&client, &mut Vec::new()), None, "a live peer is kept");

    net.link.cut();
    net.run_for(Duration::from_secs(10));
    assert_eq!(drain(&client, &mut Vec::new()), None, "one lost probe is none");
    net.run_for(Duration::from_secs(20));
    assert_eq!(drain(&client, &mut Vec::new()), Some(Outcome::TimedOut));
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    let mut net = Net::new(Link::perfect());
    let stream = dial(&net.client(), at(1, 81));
    assert_eq!(connect_error(&mut net, &stream, SOON), ConnectError::Refused);
    assert_eq!(stream.try_read(&mut [0; 8]), Err(ReadError::Reset));
    drop(stream);
    net.run_briefly();
    assert_eq!(net.hosts[CLIENT].stats().memory_used, 0);
}

#[test]
fn addresses_that_make_no_sense_cannot_be_connected_to() {
    let net = Net::new(Link::perfect());
    let error = |remote: &str, local: Option<&str>| {
        let local = local.map(|local| local.parse().unwrap());
        TcpStream::connect(&net.client(), local, remote.parse().unwrap()).expect_err(remote)
    };
    for remote in [
        "0.0.0.0:80",
        "10.0.0.1:0",
        "255.255.255.255:80",
        "10.0.0.255:80",
        "224.0.0.1:80",
        "[::]:80",
        "[ff02::1]:80",
    ] {
        assert_eq!(error(remote, None), ConnectError::Invalid, "{remote}");
    }
    assert_eq!(error("192.0.2.1:80", None), ConnectError::Unreachable);
    assert_eq!(error("[2001:db8::1]:80", None), ConnectError::Unreachable);
    assert_eq!(error("10.0.0.1:80", Some("10.0.0.9:0")), ConnectError::Invalid);
    assert_eq!(net.client().stats().memory_used, 0);
}

#[test]
fn a_gateway_makes_the_world_reachable() {
    let mut config = config(1);
    let Addressing::Static(Ipv4Config { gateway, .. }) = &mut config.addressing else {
        unreachable!("the default is static");
    };
    *gateway = Some([10, 0, 0, 2].into());
    let mut bench = Bench::with_config(&config);
    let _stream = dial(&bench.stack(), "192.0.2.1:80".parse().unwrap());
    let sent = bench.take_sent();
    let syn = sent.iter().find_map(|frame| wire::tcp(frame)).expect("a SYN");
    assert_eq!((syn.control, syn.to), (TcpControl::Syn, "192.0.2.1:80".parse().unwrap()));
}

#[test]
fn a_local_port_serves_one_connection_per_peer() {
    let net = Net::new(Link::perfect());
    let local = Some(at(2, 5000));
    let client = net.client();
    let first = TcpStream::connect(&client, local, at(1, 80)).unwrap();
    let second = TcpStream::connect(&client, local, at(1, 80));
    assert_eq!(second.unwrap_err(), ConnectError::InUse);
    let other = TcpStream::connect(&client, Some(at(0, 5000)), at(1, 81));
    assert!(other.is_err(), "10.0.0.0 is not ours");
    let other = TcpStream::connect(&client, local, at(1, 81)).unwrap();
    assert_eq!((first.local_addr(), other.local_addr()), (at(2, 5000), at(2, 5000)));
}

/// RFC 1122 section 4.2.3.10: a SYN to a broadcast address is discarded in silence.
#[test]
fn a_segment_to_the_broadcast_address_is_not_answered() {
    let mut bench = Bench::new();
    let _listener = listen(&bench.stack(), "0.0.0.0:80".parse().unwrap());
    for to in ["10.0.0.255:80", "255.255.255.255:80", "224.0.0.1:80"] {
        let to = to.parse().unwrap();
        bench.segment(wire::Segment::new(at(2, 1000), to, TcpControl::Syn, 0));
        bench.segment(wire::Segment::new(at(2, 1000), to, TcpControl::None, 0).ack(1));
        assert_eq!(bench.answer(), None, "{to}");
    }
    assert_eq!(bench.stats().memory_used, 0);
}

/// Both sides send a SYN at once (RFC 9293 section 3.5, figure 7).
#[test]
fn simultaneous_open_connects() {
    let mut net = Net::new(Link::perfect());
    let left = TcpStream::connect(&net.server(), Some(at(1, 70)), at(2, 70)).unwrap();
    let right = TcpStream::connect(&net.client(), Some(at(2, 70)), at(1, 70)).unwrap();
    net.run_until(Duration::from_secs(30), || {
        left.try_connected().is_ok() && right.try_connected().is_ok()
    });
    assert!(net.now < Instant::from_micros(25_000_000));
}

#[test]
fn a_waker_rings_once_for_what_it_waits_for() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    net.run_briefly();
    let (readable, read_waker) = Bell::new();
    let (writable, write_waker) = Bell::new();
    server.register(Interest::Read, &read_waker);
    pour(&client, &mut &b"one"[..]);
    net.run_until(SOON, || readable.rings() == 1);
    pour(&client, &mut &b"two"[..]);
    net.run_briefly();
    assert_eq!(readable.rings(), 0, "a waker is used up");

    for _ in 0..40 {
        pour(&client, &mut &[0; 1_000_000][..]);
        net.run_briefly();
    }
    pour(&client, &mut &[0; 1_000_000][..]);
    client.register(Interest::Write, &write_waker);
    net.run_briefly();
    assert_eq!(writable.rings(), 0, "both buffers are full");
    drain(&server, &mut Vec::new());
    net.run_until(SOON, || writable.rings() == 1);
}

#[test]
fn every_waker_of_a_stream_rings_when_it_ends() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let bells: Vec<_> = (0..4).map(|_| Bell::new()).collect();
    for (_, waker) in &bells {
        server.register(Interest::Read, waker);
    }
    client.abort();
    net.run_briefly();
    assert!(bells.iter().all(|(bell, _)| bell.rings() == 1));
}

/// RFC 8985 section 7 and RFC 6298 section 5: a probe first, then timeouts of a fifth of a second and
/// more, each twice the one before.
#[test]
fn a_lost_tail_is_probed_and_then_sent_again_at_growing_intervals() {
    let mut net = Net::new(Link::perfect());
    let (_first_server, first) = pair(&mut net);
    let (_second_server, second) = pair(&mut net);
    net.run_briefly();
    net.link.record();
    net.link.filter(|sent| !wire::has_tcp_payload(&sent.frame));
    pour(&first, &mut &b"lost"[..]);
    net.run_for(Duration::from_millis(20));
    pour(&second, &mut &b"lost as well"[..]);
    net.run_for(Duration::from_secs(10));

    for stream in [&first, &second] {
        let log = net.link.log.clone().unwrap();
        let times: Vec<Duration> = log
            .iter()
            .filter(|sent| {
                wire::tcp(&sent.frame).is_some_and(|segment| {
                    segment.from == stream.local_addr() && !segment.payload.is_empty()
                })
            })
            .map(|sent| sent.at - Instant::ZERO)
            .collect();
        let waits: Vec<u128> =
            times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
        assert_eq!(waits, [60, 200, 400, 800, 1600, 3200]);
    }
}

/// Nothing can be written any more, which whoever waits for room must learn before the peer answers.
#[test]
fn a_shutdown_while_connecting_wakes_the_writer() {
    let mut bench = Bench::new();
    let stream = dial(&bench.stack(), at(2, 80));
    let (bell, waker) = Bell::new();
    stream.register(Interest::Write, &waker);
    assert_eq!(stream.try_write(b"early"), Err(WriteError::WouldBlock));
    bench.run_for(Duration::from_millis(10));
    assert_eq!(bell.rings(), 0);
    stream.shutdown(Shutdown::Write);
    bench.run_for(Duration::from_millis(10));
    assert_eq!(bell.rings(), 1);
    assert_eq!(stream.try_write(b"late"), Err(WriteError::Closed));
}
