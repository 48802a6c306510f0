//! After both ends have closed.

use super::{ACCEPTED, Timeline, play};

/// The host closes first.
const WAITING: &str = "
        shutdown
        > F. 1:1(0) ack 1 win 32768
    +10 < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 32767
        hears eof
";

/// RFC 9293 section 3.10.7.4, eighth: the peer has not heard that its FIN was received.
#[test]
fn a_repeated_fin_is_acknowledged() {
    play(&[
        ACCEPTED,
        WAITING,
        "
   +200 < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 0
   +400 < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
        < . 2:2(0) ack 2
        ",
    ]);
}

/// RFC 9293 section 3.6.1 asks for two segment lifetimes; here they are ten seconds in all.
#[test]
fn it_ends() {
    play(&[
        ACCEPTED,
        WAITING,
        "
  +9990 < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 0
    +10 < F. 1:1(0) ack 2
        > R 2:2(0) win 0
        ",
    ]);
}

/// RFC 9293 section 3.6.1, RFC 6191 section 2: the peer may connect again at once, with a higher
/// number.
#[test]
fn a_higher_syn_connects_anew() {
    play(&[
        ACCEPTED,
        WAITING,
        "
   +100 < S 1000:1000(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1001 win 65535 <mss max,ws 3,sackOK>
    +10 < . 1001:1001(0) ack 1 win 512
        accept
        write 10
        > P. 1:11(10) ack 1001 win 32768
        ",
    ]);
}

/// RFC 6191 section 2: an older SYN is a late one.
#[test]
fn a_lower_syn_is_dropped() {
    play(&[
        ACCEPTED,
        WAITING,
        "
   +100 < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        < S 2:2(0) win 65535 <mss 1000,sackOK,ws 7>
        < S -1000:-1000(0) win 65535 <mss 1000,sackOK,ws 7>
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 0
        ",
    ]);
}

/// RFC 1337 section 3, fix (F1): a reset does not end it.
#[test]
fn a_reset_is_ignored() {
    Timeline::both(|mut timeline| {
        timeline.play(ACCEPTED);
        timeline.play(WAITING);
        timeline.play(
            "
   +100 < R 2:2(0)
        < R. 2:2(0) ack 2
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 0
            ",
        );
        let stats = timeline.bench.stats();
        assert_eq!((stats.tcp_time_wait, stats.dropped_time_wait), (1, 2));
    });
}

/// RFC 9293 section 3.6.1: the new connection's numbers begin above those of the old one, however many
/// it used: more than the clock has counted since.
#[test]
fn the_next_connection_begins_above_the_last() {
    Timeline::both(|mut timeline| {
        timeline.play(ACCEPTED);
        let before = timeline.peer().iss;
        timeline.play(
            "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
        < . 1:1(0) ack 10001
        shutdown
        > F. 10001:10001(0) ack 1
        < F. 1:1(0) ack 10002
        > . 10002:10002(0) ack 2 win 32767
        < S 1000:1000(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1001 win 65535 <mss max,ws 3,sackOK>
            ",
        );
        assert!(timeline.peer().iss.wrapping_sub(before) >= 10002);
    });
}

/// Unless there is no room for it: then the old connection is still the latest.
#[test]
fn a_higher_syn_that_is_not_taken_changes_nothing() {
    Timeline::both(|mut timeline| {
        timeline.backlog = 1;
        timeline.play(ACCEPTED);
        timeline.play(WAITING);
        timeline.play(
            "
        peer 1001
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < . 1:1(0) ack 1 win 512
        peer 1000
        < S 1000:1000(0) win 65535 <mss 1000,sackOK,ws 7>
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 0
            ",
        );
    });
}
