//! ICMP errors about a connection.

use super::{ACCEPTED, Timeline, play};

/// The host connects.
const SYN: &str = "
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
";

/// RFC 5461 section 4.1: a connection that is being made ends by an error about its SYN.
#[test]
fn an_error_ends_a_connection_that_is_being_made() {
    for (error, end) in [("port", "refused"), ("host", "unreachable")] {
        let script = format!(
            "
    +10 < icmp {error} seq 0
        is {end}
  +5000 quiet
        "
        );
        play(&[SYN, &script]);
    }
}

/// RFC 5927 section 4.1: only if it is about a number that is in flight.
#[test]
fn an_error_about_something_else_is_ignored() {
    play(&[
        SYN,
        "
    +10 < icmp port seq 1
        < icmp port seq -1
        < icmp host seq 77777
        is connecting
    +10 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
        is connected
        ",
    ]);
}

/// RFC 5927 section 5.2: nobody but the peer ends a connection that works.
#[test]
fn no_error_ends_a_connection_that_has_been_made() {
    play(&[
        ACCEPTED,
        "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
        < icmp port seq 1
        < icmp host seq 1
        hears nothing
    +10 < . 1:1(0) ack 1001
        write 1000
        > P. 1001:2001(1000) ack 1
    +10 < . 1:1(0) ack 2001
        hears nothing
        ",
    ]);
}

/// The peer connects with segments of 1400 bytes, and the host sends two.
const LARGE_SEGMENTS: &str = "
        listen
        < S 0:0(0) win 65535 <mss 1400,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < . 1:1(0) ack 1 win 512
        accept
        write 2800
        > P. 1:2801(2*1400) ack 1 win 32768
";

/// RFC 1191 and RFC 8201: what was too big is sent again at once, in pieces that fit, and so is
/// everything after it.
#[test]
fn a_narrow_path_shrinks_segments() {
    // What a router says, and what fits: no host takes less than 576 bytes, of IPv6 1280 (RFC 1122
    // section 3.3.2, RFC 8200 section 5), so that less is a lie.
    for (mtu, fits) in [(1300, [1260, 1240]), (68, [536, 1220])] {
        Timeline::both(|mut timeline| {
            let len: usize = if timeline.is_ipv4 { fits[0] } else { fits[1] };
            let (whole, rest) = (2800 / len, 2800 % len);
            let behind = 1 + whole * len;
            let script = format!(
                "
     +5 < icmp mtu {mtu} seq 1401
        > . 1:{behind}({whole}*{len}) ack 1
        > P. {behind}:2801({rest}) ack 1
    +10 < . 1:1(0) ack 2801
        write {len}
        > P. 2801:{}({len}) ack 1
    +10 < . 1:1(0) ack {}
                ",
                2801 + len,
                2801 + len
            );
            timeline.play(LARGE_SEGMENTS);
            timeline.play(&script);
        });
    }
}

/// RFC 5927 section 7: what is not about a segment in flight is a forgery, or too late.
#[test]
fn a_forged_path_mtu_is_ignored() {
    play(&[
        LARGE_SEGMENTS,
        "
    +10 < . 1:1(0) ack 1401
        < icmp mtu 1300 seq 1
        < icmp mtu 1300 seq 2801
        < icmp mtu 1300 seq 9999
        write 2800
        > P. 2801:5601(2*1400) ack 1
    +10 < . 1:1(0) ack 5601
        < icmp mtu 1300 seq 5601
        write 1400
        > P. 5601:7001(1400) ack 1
        ",
    ]);
}

/// One that is wider than what is used changes nothing.
#[test]
fn a_wide_path_changes_nothing() {
    play(&[
        LARGE_SEGMENTS,
        "
     +5 < icmp mtu 1500 seq 1
     +5 < . 1:1(0) ack 2801
        ",
    ]);
}

/// Nor does one that is wider than our own link, when the connection is being made.
#[test]
fn a_path_is_not_wider_than_the_link() {
    Timeline::both(|mut timeline| {
        let len = if timeline.is_ipv4 { 1460 } else { 1440 };
        let script = format!(
            "
    +10 < icmp mtu 60000 seq 0
        < S. 0:0(0) ack 1 win 65535 <mss 50000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
        write {}
        > P. 1:{}(2*{len}) ack 1
            ",
            2 * len,
            1 + 2 * len
        );
        timeline.play(SYN);
        timeline.play(&script);
    });
}
