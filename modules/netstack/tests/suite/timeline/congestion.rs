//! The congestion window.

use super::{ACCEPTED, ACCEPTED_WITHOUT_SACK, play};

/// RFC 6928: ten segments at first. Slow start (RFC 5681 section 3.1): each that arrives lets two out,
/// so that the window doubles in a round trip.
#[test]
fn it_begins_with_ten_segments_and_doubles() {
    play(&[
        ACCEPTED,
        "
        write 60000
        > . 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 2001
        > . 10001:14001(4*1000) ack 1
        < . 1:1(0) ack 4001
        > . 14001:18001(4*1000) ack 1
        < . 1:1(0) ack 10001
        > . 18001:30001(12*1000) ack 1
    +10 < . 1:1(0) ack 30001
        > P. 30001:60001(30*1000) ack 1
    +10 < . 1:1(0) ack 60001
        ",
    ]);
}

/// RFC 9438 section 5.8: a window that is not used says nothing about the path, and does not grow.
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    play(&[
        ACCEPTED,
        "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1001
        write 4000
        > P. 1001:5001(4*1000) ack 1
    +10 < . 1:1(0) ack 5001
        write 20000
        > . 5001:15001(10*1000) ack 1
        ",
    ]);
}

/// RFC 9438 section 4.6: after a loss seven tenths are left.
#[test]
fn a_loss_leaves_seven_tenths() {
    play(&[
        ACCEPTED,
        "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1 <sack 1001:10001>
    +10 < . 1:1(0) ack 10001
        write 20000
        > . 10001:17001(7*1000) ack 1
        ",
    ]);
}

/// RFC 9438 section 4.3: on a short path it grows like Reno, by 9/17 of a segment in a round trip as
/// long as it is smaller than it was before the loss.
#[test]
fn after_a_loss_it_grows_slowly() {
    play(&[
        ACCEPTED,
        "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1 <sack 1001:10001>
    +10 < . 1:1(0) ack 10001
        write 50000
        > . 10001:17001(7*1000) ack 1
    +10 < . 1:1(0) ack 17001
        > . 17001:24001(7*1000) ack 1
    +10 < . 1:1(0) ack 24001
        > . 24001:32001(8*1000) ack 1
    +10 < . 1:1(0) ack 32001
        > . 32001:40001(8*1000) ack 1
    +10 < . 1:1(0) ack 40001
        > . 40001:49001(9*1000) ack 1
        ",
    ]);
}

/// RFC 9438 section 4.6 without reports (RFC 6582 section 3.2, step 3).
#[test]
fn three_duplicates_leave_seven_tenths() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1
        < . 1:1(0) ack 1
        < . 1:1(0) ack 1
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1
        < . 1:1(0) ack 1
    +10 < . 1:1(0) ack 10001
        write 20000
        > . 10001:17001(7*1000) ack 1
        ",
    ]);
}

/// RFC 5681 section 4.3: as many losses as there are in a window of data are one.
#[test]
fn losses_of_one_window_are_one() {
    play(&[
        ACCEPTED,
        "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:2001>
        < . 1:1(0) ack 1 <sack 3001:5001 1001:2001>
        > . 1:1001(1000) ack 1
        > . 2001:3001(1000) ack 1
        < . 1:1(0) ack 1 <sack 6001:10001 3001:5001 1001:2001>
        > . 5001:6001(1000) ack 1
    +10 < . 1:1(0) ack 10001
        write 20000
        > . 10001:17001(7*1000) ack 1
        ",
    ]);
}

/// RFC 6937 section 3.1, RFC 9937 section 6: while a loss is repaired the window comes down evenly,
/// by sending less than arrives; below it as much is sent as arrives. Twelve were in flight, and
/// seven tenths of ten are left: seven for twelve.
#[test]
fn the_window_comes_down_evenly() {
    play(&[
        ACCEPTED,
        "
        write 40000
        > . 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:2001>
        > . 10001:11001(1000) ack 1
     +1 < . 1:1(0) ack 1 <sack 1001:3001>
        > . 11001:12001(1000) ack 1
     +1 < . 1:1(0) ack 1 <sack 1001:4001>
        > . 1:1001(1000) ack 1 // Nine are in flight with it, of seven.
     +1 < . 1:1(0) ack 1 <sack 1001:5001>
     +1 < . 1:1(0) ack 1 <sack 1001:6001>
     +1 < . 1:1(0) ack 1 <sack 1001:7001>
        > . 12001:13001(1000) ack 1
     +1 < . 1:1(0) ack 1 <sack 1001:8001>
        > . 13001:14001(1000) ack 1
     +1 < . 1:1(0) ack 1 <sack 1001:9001>
        > . 14001:15001(1000) ack 1
     +1 < . 1:1(0) ack 1 <sack 1001:10001>
        > . 15001:16001(1000) ack 1
        ",
    ]);
}

/// RFC 5681 section 3.1, equation 4, and RFC 9438 section 4.6: after a timeout there is one segment,
/// then slow start up to seven tenths of what was in flight.
#[test]
fn after_a_timeout_it_begins_with_one_segment() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 20000
        > . 1:10001(10*1000) ack 1 win 32768
   +200 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
        > . 1001:3001(2*1000) ack 1
    +10 < . 1:1(0) ack 3001
        > . 3001:7001(4*1000) ack 1
    +10 < . 1:1(0) ack 7001
        > . 7001:10001(3*1000) ack 1
        > . 10001:14001(4*1000) ack 1
        ",
    ]);
}

/// RFC 5681 section 3.1: a segment that is lost again does not bring the threshold down again.
#[test]
fn one_timeout_after_the_other_is_one_loss() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
   +200 > . 1:1001(1000) ack 1
   +400 > . 1:1001(1000) ack 1
   +800 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 10001
        write 20000
        > . 10001:17001(7*1000) ack 1
        ",
    ]);
}

/// RFC 6582 section 3.2, step 2: what was sent again without need comes back as duplicates. They are
/// no proof of a loss before something newer than it has been acknowledged.
#[test]
fn duplicates_after_a_needless_timeout_are_no_loss() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 17000
        > . 1:10001(10*1000) ack 1 win 32768
   +200 > . 1:1001(1000) ack 1
     +5 < . 1:1(0) ack 1001
        > . 1001:3001(2*1000) ack 1
     +1 < . 1:1(0) ack 2001
        > . 3001:5001(2*1000) ack 1
     +1 < . 1:1(0) ack 10001
        > P. 10001:17001(7*1000) ack 1
     +5 < . 1:1(0) ack 10001
        < . 1:1(0) ack 10001
        < . 1:1(0) ack 10001
        < . 1:1(0) ack 10001
        < . 1:1(0) ack 10001
     +5 < . 1:1(0) ack 17001
 +10000 quiet
        ",
    ]);
}

/// RFC 5681 section 4.1: what was known of the path does not hold for ever.
#[test]
fn after_an_idle_time_it_begins_anew() {
    let script = "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 10001
   +PAUSE write 40000
        > . 10001:END(COUNT*1000) ack 1
        ";
    for (pause, count) in [(190, 20), (191, 10)] {
        let script =
            script.replace("PAUSE", &pause.to_string()).replace("COUNT", &count.to_string());
        play(&[ACCEPTED, &script.replace("END", &(10_001 + 1000 * count).to_string())]);
    }
}
