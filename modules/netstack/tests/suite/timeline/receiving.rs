//! What is acknowledged, and when.

use super::{ACCEPTED, CONNECTED, Timeline, play};

/// RFC 9293 section 3.8.6.3, RFC 5681 section 4.2: every second full segment at once; a lone one
/// waits for another, 10 ms at most.
#[test]
fn acknowledgements_are_delayed() {
    play(&[
        CONNECTED,
        "
     +5 < . 1:1001(1000) ack 1
    +10 > . 1:1(0) ack 1001 win 32643
     +5 < . 1001:2001(1000) ack 1
     +9 < . 2001:3001(1000) ack 1
        > . 1:1(0) ack 3001 win 32393
     +5 < . 3001:4001(1000) ack 1
    +10 > . 1:1(0) ack 4001 win 32268
     +5 < . 4001:8001(4*1000) ack 1
        > . 1:1(0) ack 6001 win 32018
        > . 1:1(0) ack 8001 win 31768
        ",
    ]);
}

/// RFC 5681 section 4.2 counts full segments: small ones share an acknowledgement.
#[test]
fn small_segments_share_an_acknowledgement() {
    play(&[
        CONNECTED,
        "
     +1 < P. 1:11(10) ack 1
     +4 < P. 11:21(10) ack 1
     +4 < P. 21:31(10) ack 1
     +2 > . 1:1(0) ack 31 win 32764
        ",
    ]);
}

/// RFC 9293 section 3.8.6.3: an acknowledgement that goes with an answer costs nothing.
#[test]
fn an_answer_carries_the_acknowledgement() {
    play(&[
        CONNECTED,
        "
     +5 < P. 1:11(10) ack 1
     +5 write 10
        > P. 1:11(10) ack 11 win 32766
    +10 < P. 11:21(10) ack 11
    +10 > . 11:11(0) ack 21 win 32765
        ",
    ]);
}

/// RFC 5681 section 4.2: what leaves a hole is acknowledged at once, and so is what fills it.
/// RFC 2018 section 4: the block with the latest segment first, then those reported last.
#[test]
fn blocks_are_reported_the_latest_first() {
    play(&[
        ACCEPTED,
        "
     +5 < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 1 win 32768 <sack 1001:2001>
     +5 < . 5001:6001(1000) ack 1
        > . 1:1(0) ack 1 <sack 5001:6001 1001:2001>
     +5 < . 3001:4001(1000) ack 1
        > . 1:1(0) ack 1 <sack 3001:4001 5001:6001 1001:2001>
     +5 < . 7001:8001(1000) ack 1
        > . 1:1(0) ack 1 <sack 7001:8001 3001:4001 5001:6001>
     +5 < . 2001:3001(1000) ack 1
        > . 1:1(0) ack 1 <sack 1001:4001 7001:8001 5001:6001>
     +5 < . 1:1001(1000) ack 1
        > . 1:1(0) ack 4001 win 32268 <sack 7001:8001 5001:6001>
        read 4000
     +5 < . 4001:5001(1000) ack 1
        > . 1:1(0) ack 6001 win 32518 <sack 7001:8001>
     +5 < . 6001:7001(1000) ack 1
        > . 1:1(0) ack 8001 win 32268
        read 4000
        ",
    ]);
}

/// RFC 2018 section 3: blocks go with data as well.
#[test]
fn data_carries_blocks() {
    play(&[
        CONNECTED,
        "
        < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 1 <sack 1001:2001>
        write 1000
        > . 1:989(988) ack 1 <sack 1001:2001>
    +10 < . 1:1001(1000) ack 989
        > P. 989:1001(12) ack 2001 win 32518
        ",
    ]);
}

/// RFC 2883 section 4.1: what arrives twice is reported, once.
#[test]
fn a_repeated_segment_is_reported() {
    play(&[
        CONNECTED,
        "
        < . 1:2001(2*1000) ack 1
        > . 1:1(0) ack 2001 win 32518
   +200 < . 1:1001(1000) ack 1
        > . 1:1(0) ack 2001 <sack 1:1001>
     +5 < . 2001:3001(1000) ack 1
    +10 > . 1:1(0) ack 3001 win 32393
        ",
    ]);
}

/// RFC 2883 section 4.1.1: in front of the blocks ahead of holes.
#[test]
fn a_repeated_segment_is_reported_before_what_is_ahead() {
    play(&[
        CONNECTED,
        "
        < . 1:2001(2*1000) ack 1
        > . 1:1(0) ack 2001 win 32518
        < . 3001:4001(1000) ack 1
        > . 1:1(0) ack 2001 <sack 3001:4001>
   +200 < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 2001 <sack 1001:2001 3001:4001>
        ",
    ]);
}

/// RFC 2883 section 4.1.3: the same ahead of a hole, in front of the block that it is part of.
#[test]
fn what_is_ahead_and_repeated_is_reported() {
    play(&[
        CONNECTED,
        "
        < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 1 <sack 1001:2001>
        < . 2001:3001(1000) ack 1
        > . 1:1(0) ack 1 <sack 1001:3001>
   +200 < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 1 <sack 1001:2001 1001:3001>
        ",
    ]);
}

/// RFC 9293 section 3.10.7.4, seventh: of a segment that overlaps what was here, the rest is taken.
/// RFC 2883 section 4.2: the other part is reported.
#[test]
fn segments_overlap() {
    play(&[
        ACCEPTED,
        "
        < . 1:1001(1000) ack 1
     +5 < . 501:1501(1000) ack 1
        > . 1:1(0) ack 1501 win 32580 <sack 501:1001>
        < . 2001:2501(500) ack 1
        > . 1:1(0) ack 1501 <sack 2001:2501>
        < . 2301:2701(400) ack 1 // Its end is new.
        > . 1:1(0) ack 1501 <sack 2001:2701>
        < . 1901:2301(400) ack 1 // Its beginning.
        > . 1:1(0) ack 1501 <sack 1901:2701>
        < . 1801:2801(1000) ack 1 // Both.
        > . 1:1(0) ack 1501 <sack 1801:2801>
        < . 1001:1901(900) ack 1
        > . 1:1(0) ack 2801 win 32417 <sack 1001:1501>
        read 2800
        ",
    ]);
}

/// RFC 2018 section 8: what was reported is kept. It makes no difference in which order it comes.
#[test]
fn text_arrives_backwards() {
    play(&[
        ACCEPTED,
        "
        < . 4001:5001(1000) ack 1
        > . 1:1(0) ack 1 win 32768 <sack 4001:5001>
        < . 3001:4001(1000) ack 1
        > . 1:1(0) ack 1 <sack 3001:5001>
        < . 2001:3001(1000) ack 1
        > . 1:1(0) ack 1 <sack 2001:5001>
        < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 1 <sack 1001:5001>
        hears nothing
        < . 1:1001(1000) ack 1
        > . 1:1(0) ack 5001 win 32143
        read 5000
        ",
    ]);
}

/// RFC 9293 section 3.10.7.4, first: text that lies behind the window is answered, not taken.
#[test]
fn text_behind_the_window_is_not_taken() {
    play(&[
        CONNECTED,
        "
        < . 262145:263145(1000) ack 1
        > . 1:1(0) ack 1
        < . 262144:263144(1000) ack 1 // Its first byte is in the window.
        > . 1:1(0) ack 1 <sack 262144:262145>
        ",
    ]);
}

/// RFC 9293 section 3.4: the numbers are a circle. The peer's go around it, with a hole there.
#[test]
fn the_peers_numbers_go_around() {
    Timeline::both(|mut timeline| {
        timeline.peer().irs = u32::MAX - 1500;
        timeline.play(ACCEPTED);
        timeline.play(
            "
        < . 1:1001(1000) ack 1
        < . 2001:3001(1000) ack 1
        > . 1:1(0) ack 1001 win 32643 <sack 2001:3001>
        < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 3001 win 32393
        read 3000
        < R 3001:3001(0)
        hears reset
            ",
        );
    });
}

/// The same with the host's numbers, which follow the clock (RFC 9293 section 3.4.1): a SYN before
/// tells when they end.
#[test]
fn the_hosts_numbers_go_around() {
    Timeline::both(|mut timeline| {
        // The host looks at its clock when something happens.
        timeline.play("< R 1:1(0)");
        timeline.play(CONNECTED);
        timeline.play("abort\n > R. 1:1(0) ack 1");
        let ticks = u32::MAX - 1500 - timeline.peer().iss;
        let wait = f64::from(ticks) * 4.0 / 1000.0 - 10.0;
        timeline.play(&format!("+{wait} < R 1:1(0)"));
        timeline.play(CONNECTED);
        assert_eq!(timeline.peer().iss, u32::MAX - 1500);
        timeline.play(
            "
        write 4000
        > P. 1:4001(4*1000) ack 1
    +10 < . 1:1(0) ack 1001 <sack 2001:4001>
   +2.5 > . 1001:2001(1000) ack 1
    +10 < . 1:1(0) ack 4001
        shutdown
        > F. 4001:4001(0) ack 1
    +10 < . 1:1(0) ack 4002
            ",
        );
    });
}
