//! Lost segments, found by time.

use std::time::Duration;

use netstack::TcpOptions;

use super::{ACCEPTED, ACCEPTED_WITHOUT_SACK, defaults, play, play_with};

/// The host connects to a peer that is 300 ms away and does not do selective acknowledgements, so
/// that nothing is probed: SRTT is 300 ms, RTTVAR 150 ms, and the timeout 900 ms (RFC 6298 section
/// 2.2).
const FAR_AWAY: &str = "
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
   +300 < S. 0:0(0) ack 1 win 65535 <mss 1000,ws 7>
        > . 1:1(0) ack 1 win 32768
";

/// RFC 6298 sections 2.3 and 5.5, with a floor of 200 ms and a ceiling of a minute.
#[test]
fn the_timeout_has_a_floor_doubles_and_has_a_ceiling() {
    let patient = TcpOptions { user_timeout: Duration::from_secs(600), ..defaults() };
    play_with(
        patient,
        &[
            ACCEPTED_WITHOUT_SACK,
            "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
   +200 > P. 1:1001(1000) ack 1
   +400 > P. 1:1001(1000) ack 1
   +800 > P. 1:1001(1000) ack 1
  +1600 > P. 1:1001(1000) ack 1
  +3200 > P. 1:1001(1000) ack 1
  +6400 > P. 1:1001(1000) ack 1
 +12800 > P. 1:1001(1000) ack 1
 +25600 > P. 1:1001(1000) ack 1
 +51200 > P. 1:1001(1000) ack 1
 +60000 > P. 1:1001(1000) ack 1
 +60000 > P. 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
+600000 quiet
        ",
        ],
    );
}

/// RFC 6298 section 2.3: SRTT + 4 RTTVAR.
#[test]
fn the_timeout_follows_the_round_trip_times() {
    play(&[
        FAR_AWAY,
        "
        write 1000
        > P. 1:1001(1000) ack 1
   +300 < . 1:1(0) ack 1001 win 512 // 300, varying by 112.5
        write 1000
        > P. 1001:2001(1000) ack 1
   +100 < . 1:1(0) ack 2001 // 275, varying by 134.375
        write 1000
        > P. 2001:3001(1000) ack 1
 +812.5 > P. 2001:3001(1000) ack 1
        ",
    ]);
    play(&[
        FAR_AWAY,
        "
        write 1000
        > P. 1:1001(1000) ack 1
   +900 > P. 1:1001(1000) ack 1
        ",
    ]);
}

/// RFC 6298 section 3 (Karn): which transmission an acknowledgement is for is not known. So nothing is
/// learned from it, and section 5 keeps what has been doubled until something is.
#[test]
fn what_was_sent_twice_is_not_measured() {
    play(&[
        FAR_AWAY,
        "
        write 1000
        > P. 1:1001(1000) ack 1
   +900 > P. 1:1001(1000) ack 1
     +5 < . 1:1(0) ack 1001 win 512
        write 1000
        > P. 1001:2001(1000) ack 1
  +1800 > P. 1001:2001(1000) ack 1
     +5 < . 1:1(0) ack 2001
        write 1000
        > P. 2001:3001(1000) ack 1
   +300 < . 1:1(0) ack 3001 // 300, varying by 112.5
        write 1000
        > P. 3001:4001(1000) ack 1
   +750 > P. 3001:4001(1000) ack 1
        ",
    ]);
}

/// This is what it is for (RFC 6298 section 5): a path that has become longer than the timeout would
/// otherwise never be measured, and everything sent twice for ever.
#[test]
fn a_path_that_grows_longer_than_the_timeout_is_learned() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
   +200 > P. 1:1001(1000) ack 1
   +300 < . 1:1(0) ack 1001
        write 1000
        > P. 1001:2001(1000) ack 1
   +400 > P. 1001:2001(1000) ack 1
   +100 < . 1:1(0) ack 2001
        write 1000
        > P. 2001:3001(1000) ack 1
   +500 < . 1:1(0) ack 3001 // 71.25, varying by 126.25: 576.25
        write 1000
        > P. 3001:4001(1000) ack 1
+576.25 > P. 3001:4001(1000) ack 1
        ",
    ]);
}

/// A peer that reports duplicates (RFC 2883) tells more: that the first transmission had arrived,
/// which is then what was measured.
#[test]
fn a_report_of_a_duplicate_ends_the_doubt() {
    play(&[
        ACCEPTED,
        "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
    +70 > P. 1:1001(1000) ack 1 // The tail loss probe.
   +200 > P. 1:1001(1000) ack 1
   +230 < . 1:1(0) ack 1001
    +70 < . 1:1(0) ack 1001 <sack 1:1001> // 71.25, varying by 126.25
   +200 < . 1:1(0) ack 1001 <sack 1:1001>
        write 1000
        > P. 1001:2001(1000) ack 1
 +192.5 > P. 1001:2001(1000) ack 1 // Two round trips, and 50 ms for the peer.
 +307.5 < . 1:1(0) ack 2001
        ",
    ]);
}

/// Without such a report a loss is likely, and the next one is not waited for as long.
#[test]
fn a_repaired_loss_ends_the_doubling() {
    play(&[
        ACCEPTED,
        "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
    +70 > P. 1:1001(1000) ack 1
   +200 > P. 1:1001(1000) ack 1
   +400 > P. 1:1001(1000) ack 1
   +800 > P. 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
        write 1000
        > P. 1001:2001(1000) ack 1
    +70 > P. 1001:2001(1000) ack 1
   +200 > P. 1001:2001(1000) ack 1
        ",
    ]);
}

/// The timeout is back where it was as soon as something has been measured.
#[test]
fn a_measurement_ends_the_doubling() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
   +200 > P. 1:1001(1000) ack 1
   +400 > P. 1:1001(1000) ack 1
   +800 > P. 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
        write 1000
        > P. 1001:2001(1000) ack 1
    +10 < . 1:1(0) ack 2001
        write 1000
        > P. 2001:3001(1000) ack 1
   +200 > P. 2001:3001(1000) ack 1
        ",
    ]);
}

/// RFC 6298 section 5.3: the timer begins anew when something has been acknowledged.
#[test]
fn the_timer_counts_from_the_last_progress() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 2000
        > P. 1:2001(2*1000) ack 1 win 32768
    +20 < . 1:1(0) ack 1001
   +200 > P. 1001:2001(1000) ack 1
        ",
    ]);
}

/// RFC 6298 section 5.7: a lost SYN-ACK says as much about the path as a lost SYN.
#[test]
fn after_a_lost_syn_ack_data_is_given_three_seconds() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
  +1000 > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < . 1:1(0) ack 1 win 512
        accept
        write 10
        > P. 1:11(10) ack 1 win 32768
  +3000 > P. 1:11(10) ack 1
    "]);
}

/// RFC 9293 section 3.8.3: at least 100 s. Silence is counted from what was not acknowledged.
#[test]
fn a_silent_peer_is_given_up() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
+300000 write 2000
        > P. 1:2001(2*1000) ack 1 win 32768
   +200 > . 1:1001(1000) ack 1
   +400 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
        > P. 1001:2001(1000) ack 1
   +800 > P. 1001:2001(1000) ack 1
  +1600 > P. 1001:2001(1000) ack 1
  +3200 > P. 1001:2001(1000) ack 1
  +6400 > P. 1001:2001(1000) ack 1
 +12800 > P. 1001:2001(1000) ack 1
 +25600 > P. 1001:2001(1000) ack 1
 +51200 > P. 1001:2001(1000) ack 1
 +18399 hears nothing
     +1 hears timeout
+600000 quiet
        ",
    ]);
}

/// RFC 9293 section 3.10.8: what was sent in pieces may be sent again in one.
#[test]
fn small_segments_are_sent_again_in_one() {
    play_with(
        TcpOptions { nodelay: true, ..defaults() },
        &[
            ACCEPTED_WITHOUT_SACK,
            "
        write 400
        > P. 1:401(400) ack 1 win 32768
        write 400
        > P. 401:801(400) ack 1
        write 400
        > P. 801:1201(400) ack 1
   +200 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
        > P. 1001:1201(200) ack 1
    +10 < . 1:1(0) ack 1201
        ",
        ],
    );
}

/// A FIN is repeated like text, and with it.
#[test]
fn a_fin_is_sent_again() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 500
        > P. 1:501(500) ack 1 win 32768
        shutdown
        > F. 501:501(0) ack 1
   +200 > FP. 1:501(500) ack 1
   +400 > FP. 1:501(500) ack 1
    +10 < . 1:1(0) ack 502
 +10000 quiet
        ",
    ]);
}
