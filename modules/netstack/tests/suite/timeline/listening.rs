//! More peers than a listener takes.

use std::time::Duration;

use super::Timeline;

/// Handshakes at a time.
const HALF_OPEN_MAX: u64 = 4096;

/// A peer's SYN and what comes of it.
fn syn(port: u16) -> String {
    format!(
        "
     +1 peer {port}
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
        "
    )
}

/// RFC 4987 section 3.3: a flood takes bounded memory, and pushes out the oldest handshakes. Whoever
/// answers in time gets in.
#[test]
fn a_flood_of_syns_keeps_nobody_out() {
    Timeline::both(|mut timeline| {
        timeline.backlog = 2;
        timeline.play("listen");
        for port in 0..5000 {
            timeline.play(&syn(2000 + port).replace("+1", "+0.1"));
            assert!(timeline.bench.stats().tcp_half_open <= HALF_OPEN_MAX);
        }
        assert_eq!(timeline.bench.stats().memory_used, 0);
        // The peer of 10 ms ago has its place yet; the first of the flood has not.
        timeline.play(
            "
        peer 6899
        < . 1:1(0) ack 1 win 512
        accept
        peer 2000
        < . 1:1(0) ack 1 win 512
        > R 1:1(0) win 0
            ",
        );
        timeline.play(&syn(1000));
        timeline.play("+10 < . 1:1(0) ack 1 win 512\n accept");
        timeline.bench.run_for(Duration::from_secs(60));
        assert_eq!(timeline.bench.stats().tcp_half_open, 0);
    });
}

/// A SYN for a full queue is dropped in silence: a reset would end what a second try, after a second
/// (RFC 6298 section 2.1), brings about.
#[test]
fn a_full_backlog_drops_syns() {
    Timeline::both(|mut timeline| {
        timeline.backlog = 1;
        timeline.play("listen");
        timeline.play(&syn(1000));
        timeline.play(
            "
    +10 < . 1:1(0) ack 1 win 512
        peer 1001
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
   +500 peer 1000
        accept
            ",
        );
        timeline.play(&syn(1001).replace("+1", "+500"));
        timeline.play("+10 < . 1:1(0) ack 1 win 512\n accept");
    });
}

/// The same when the handshake is under way: the peer, for whom the connection is there, hears the
/// SYN-ACK again and acknowledges it again.
#[test]
fn a_full_backlog_drops_acknowledgements() {
    Timeline::both(|mut timeline| {
        timeline.backlog = 1;
        timeline.play("listen");
        timeline.play(&syn(1000));
        timeline.play(&syn(1001).replace("+1", ""));
        timeline.play(
            "
        < . 1:1(0) ack 1 win 512
     +9 peer 1000
        < . 1:1(0) ack 1 win 512
        peer 1001
        accept
            ",
        );
    });
}

/// What a peer without a place sends counts as lost, and is taken when it comes again.
#[test]
fn data_waits_for_a_place() {
    Timeline::both(|mut timeline| {
        timeline.backlog = 1;
        timeline.play("listen");
        timeline.play(&syn(1000));
        timeline.play(&syn(1001).replace("+1", "+0"));
        timeline.play(
            "
     +9 peer 1000
        < . 1:1(0) ack 1 win 512
        peer 1001
        < . 1:1(0) ack 1 win 512
        < P. 1:11(10) ack 1
   +500 peer 1000
        accept
        peer 1001
        < P. 1:11(10) ack 1
        accept
        read 10
        > . 1:1(0) ack 11 win 32768
            ",
        );
    });
}

/// After half a minute without a place the peer, for whom the connection is there, is told.
#[test]
fn who_never_gets_a_place_is_reset() {
    Timeline::both(|mut timeline| {
        timeline.backlog = 1;
        timeline.play("listen");
        timeline.play(&syn(1000).replace("+1", ""));
        timeline.play(&syn(1001).replace("+1", ""));
        timeline.play(
            "
        peer 1000
        < . 1:1(0) ack 1 win 512
        peer 1001
        < . 1:1(0) ack 1 win 512
            ",
        );
        for _ in 1..30 {
            timeline.play(
                "
  +1000 > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
        < . 1:1(0) ack 1 win 512
            ",
            );
        }
        timeline.play("+1000 > R. 1:1(0) ack 1 win 0");
    });
}
