//! What a connection tells about itself is so.

use std::time::Duration;

use netstack::{Shutdown, TcpState, TcpStream};

use crate::harness::{
    CLIENT, Net,
    apps::{SOON, accepted, dial, drain, listen, noise, pair, pour},
    at,
    bench::Bench,
    link::{Link, Sent},
    wire,
};

/// Both ways of the harness's link.
const ROUND_TRIP: Duration = Duration::from_micros(100);
const MSS: u16 = 1460;

/// Moves `len` bytes from the client to the server, which reads at once.
fn upload(net: &mut Net, [server, client]: [&TcpStream; 2], len: usize) {
    let data = noise(len, 1);
    let (mut rest, mut heard) = (&data[..], Vec::new());
    net.run_until(6 * SOON, || {
        pour(client, &mut rest);
        drain(server, &mut heard);
        heard.len() == len && client.unacknowledged() == 0
    });
    assert!(heard == data);
}

#[test]
fn round_trip_times_are_the_links() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    net.run_briefly();
    for end in [&server, &client] {
        let info = end.info();
        assert_eq!((info.rtt, info.rtt_min), (Some(ROUND_TRIP), Some(ROUND_TRIP)));
        assert_eq!((info.rtt_variation, info.rto), (ROUND_TRIP / 2, Duration::from_millis(200)));
        assert_eq!((info.state, info.mss, info.sack_permitted), (TcpState::Established, MSS, true));
    }
    upload(&mut net, [&server, &client], 1_000_000);
    assert_eq!(client.info().rtt_min, Some(ROUND_TRIP));
    // The last segment's acknowledgement may have waited for company.
    assert!(client.info().rtt.unwrap() < Duration::from_millis(2), "{:?}", client.info());
}

/// As counted on the link itself.
#[test]
fn segments_and_bytes_are_counted() {
    let mut net = Net::new(Link::perfect());
    net.link.record();
    let (server, client) = pair(&mut net);
    upload(&mut net, [&server, &client], 100_000);
    pour(&server, &mut &b"thanks"[..]);
    net.run_until(SOON, || {
        drain(&client, &mut Vec::new()).is_none() && server.unacknowledged() == 0
    });
    net.run_briefly();
    let recorded = net.link.recorded();
    let segments = |host: usize| {
        let is_its = |sent: &&Sent| sent.from == host && wire::tcp(&sent.frame).is_some();
        recorded.iter().filter(is_its).count() as u64
    };
    let (up, down) = (client.info(), server.info());
    assert_eq!((up.segments_sent, up.segments_received), (segments(CLIENT), segments(0)));
    // The server's handshake was not yet the connection's.
    assert_eq!(
        (down.segments_sent, down.segments_received),
        (segments(0) - 1, segments(CLIENT) - 1)
    );
    assert_eq!((up.bytes_sent, up.bytes_acknowledged, up.bytes_received), (100_000, 100_000, 6));
    assert_eq!((down.bytes_sent, down.bytes_acknowledged, down.bytes_received), (6, 6, 100_000));
    for info in [up, down] {
        let repairs = [info.retransmissions, info.timeouts, info.tail_probes, info.out_of_order];
        assert_eq!((repairs, info.bytes_retransmitted), ([0; 4], 0));
        assert!(!info.reordering_seen);
    }
}

#[test]
fn a_lost_segment_is_one_retransmission() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let mut count = 0;
    net.link.filter(move |sent| {
        count += u32::from(wire::has_tcp_payload(&sent.frame));
        // The fourth segment, once.
        !(count == 4 && wire::has_tcp_payload(&sent.frame))
    });
    upload(&mut net, [&server, &client], 100_000);
    let (up, down) = (client.info(), server.info());
    assert_eq!((up.retransmissions, up.bytes_retransmitted, up.timeouts), (1, MSS.into(), 0));
    assert_eq!(up.bytes_sent, 100_000 + u64::from(MSS));
    assert!(down.out_of_order > 2, "{down:?}");
    assert_eq!(down.bytes_received, 100_000);
    assert_eq!(up.slow_start_threshold, 7 * u32::from(MSS), "RFC 9438 section 4.6");
}

#[test]
fn the_congestion_window_grows_with_what_is_acknowledged() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let before = client.info();
    assert_eq!(before.congestion_window, 10 * u32::from(MSS), "RFC 6928");
    assert!(before.slow_start_threshold > 1 << 24, "slow start has no end yet");
    upload(&mut net, [&server, &client], 1_000_000);
    assert!(client.info().congestion_window > 50 * u32::from(MSS), "{:?}", client.info());
    assert_eq!(server.info().congestion_window, 10 * u32::from(MSS), "it sent nothing");
}

#[test]
fn queues_windows_and_flights_are_what_is_there() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let buffer_len = server.options().receive_buffer_len;
    pour(&client, &mut &noise(10_000, 1)[..]);
    assert_eq!((client.info().send_queue, client.info().in_flight), (10_000, 0));
    net.run_for(Duration::from_micros(20));
    // The rest is not a full segment, and waits for an acknowledgement (Nagle).
    assert_eq!((client.info().send_queue, client.info().in_flight), (10_000, 6 * 1460));
    net.run_briefly();
    let (up, down) = (client.info(), server.info());
    assert_eq!((up.send_queue, up.in_flight, up.lost, up.sacked), (0, 0, 0, 0));
    assert_eq!(down.receive_queue, 10_000);
    // Windows come in units of 32, rounded down.
    assert!(up.send_window <= down.receive_window && down.receive_window < up.send_window + 32);
    assert!(
        (buffer_len - 10_032..buffer_len).contains(&(down.receive_window as usize)),
        "{down:?}"
    );

    net.link.cut();
    pour(&client, &mut &noise(100_000, 1)[..]);
    net.run_for(Duration::from_millis(250));
    let info = client.info();
    assert_eq!(info.send_queue, 100_000);
    // A window's worth, and the tail loss probe.
    assert_eq!(info.in_flight + info.lost, up.congestion_window + u32::from(MSS), "{info:?}");
    assert_eq!((info.timeouts, info.tail_probes), (1, 1));
    assert_eq!(info.congestion_window, MSS.into());
}

#[test]
fn the_state_is_the_connections() {
    let mut net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let client = dial(&net.client(), at(1, 80));
    assert_eq!((client.info().state, client.info().rtt), (TcpState::SynSent, None));
    net.run_briefly();
    let server = accepted(&listener).unwrap();
    client.shutdown(Shutdown::Write);
    assert_eq!(client.info().state, TcpState::FinWait1);
    net.run_briefly();
    assert_eq!(client.info().state, TcpState::FinWait2);
    assert_eq!(server.info().state, TcpState::CloseWait);
    server.shutdown(Shutdown::Write);
    assert_eq!(server.info().state, TcpState::LastAck);
    net.run_briefly();
    assert_eq!(client.info().state, TcpState::TimeWait);
    assert_eq!(server.info().state, TcpState::Closed);
}

/// Gauges are of what there is now, counters of all there was.
#[test]
fn the_stack_counts_its_connections() {
    let mut bench = Bench::new();
    let listener = listen(&bench.stack(), at(1, 80));
    let peers: Vec<_> = (0..3).map(|port| bench.open(100 + port, 80)).collect();
    let open = accepted(&listener).unwrap();
    let orphan = accepted(&listener).unwrap();
    let connecting = dial(&bench.stack(), at(2, 80));
    orphan.try_write(b"last words").unwrap();
    drop(orphan);
    bench.settle();
    let stats = bench.stats();
    let gauges = [stats.tcp_open, stats.tcp_backlog, stats.tcp_orphans, stats.tcp_listeners];
    assert_eq!(gauges, [2, 1, 1, 1]);
    assert_eq!((stats.tcp_accepted, stats.tcp_connected), (3, 1));
    let per_connection = stats.memory_used / 4;
    assert!((1000..5000).contains(&per_connection), "{per_connection} bytes each");
    drop((open, connecting, listener, peers));
    bench.run_for(Duration::from_secs(600));
    let stats = bench.stats();
    assert_eq!((stats.tcp_open, stats.tcp_orphans, stats.memory_used), (0, 0, 0));
}
