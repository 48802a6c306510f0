//! Lost segments, found by acknowledgements.

use super::{ACCEPTED, ACCEPTED_WITHOUT_SACK, play};

/// RFC 8985 section 6.2, step 4: three segments that have arrived behind a hole are enough.
#[test]
fn three_reported_segments_end_the_wait_for_a_hole() {
    play(&[
        ACCEPTED,
        "
        write 6000
        > P. 1:6001(6*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:2001>
        < . 1:1(0) ack 1 <sack 1001:3001>
        < . 1:1(0) ack 1 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1 <sack 1001:5001>
        < . 1:1(0) ack 1 <sack 1001:6001>
    +10 < . 1:1(0) ack 6001
 +10000 quiet
        ",
    ]);
}

/// RFC 8985 section 6.2, step 5: fewer are as well, a quarter of a round trip later.
#[test]
fn a_hole_is_lost_when_it_could_have_come_late() {
    play(&[
        ACCEPTED,
        "
        write 3000
        > P. 1:3001(3*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:2001>
     +1 < . 1:1(0) ack 1 <sack 1001:3001> // 11 ms after it was sent.
   +2.5 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 3001
 +10000 quiet
        ",
    ]);
}

/// RFC 8985 section 3.3.2: what is late by less than that is not sent again. Once a path has been
/// seen to reorder, three segments behind a hole are no proof any more.
#[test]
fn reordered_segments_are_not_sent_again() {
    play(&[
        ACCEPTED,
        "
        write 4000
        > P. 1:4001(4*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:3001>
     +2 < . 1:1(0) ack 3001
     +5 < . 1:1(0) ack 4001
        write 6000
        > P. 4001:10001(6*1000) ack 1
    +10 < . 1:1(0) ack 4001 <sack 5001:8001>
     +2 < . 1:1(0) ack 8001
     +1 < . 1:1(0) ack 8001 <sack 9001:10001>
     +1 < . 1:1(0) ack 10001
 +10000 quiet
        ",
    ]);
}

/// RFC 5681 section 3.2 and RFC 6582 section 3.2: three duplicates, and the next hole at each
/// acknowledgement that goes only part of the way.
#[test]
fn without_reports_three_duplicates_say_as_much() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 7000
        > P. 1:7001(7*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1
        < . 1:1(0) ack 1
        < . 1:1(0) ack 1
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1
    +10 < . 1:1(0) ack 2001
        > . 2001:3001(1000) ack 1
    +10 < . 1:1(0) ack 4001
        > . 4001:5001(1000) ack 1
    +10 < . 1:1(0) ack 7001
 +10000 quiet
        ",
    ]);
}

/// RFC 5681 section 2: an acknowledgement with text, or with another window, is no duplicate.
#[test]
fn not_all_that_repeats_a_number_is_a_duplicate() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 5000
        > P. 1:5001(5*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1
        < . 1:1(0) ack 1
        < . 1:1(0) ack 1 win 510
        < . 1:1(0) ack 1 win 508
        < P. 1:11(10) ack 1 win 508
    +10 > . 5001:5001(0) ack 11 win 32766
   +150 < . 11:11(0) ack 5001
 +10000 quiet
        ",
    ]);
}

/// RFC 3042: the first two duplicates let something new out each, so that more of them may come.
#[test]
fn duplicates_let_new_segments_out() {
    for opening in [ACCEPTED, ACCEPTED_WITHOUT_SACK] {
        let (first, second) = match opening == ACCEPTED {
            true => ("<sack 1001:2001>", "<sack 1001:3001>"),
            false => ("", ""),
        };
        let script = format!(
            "
        write 15000
        > . 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 {first}
        > . 10001:11001(1000) ack 1
        < . 1:1(0) ack 1 {second}
        > . 11001:12001(1000) ack 1
        "
        );
        play(&[opening, &script]);
    }
}

/// RFC 8985 section 7: a lone segment at the end is followed by nothing that could report its loss.
/// It is repeated after two round trips and as long as the peer may wait, once.
#[test]
fn a_lost_tail_is_probed() {
    play(&[
        ACCEPTED,
        "
        write 3000
        > P. 1:3001(3*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 2001
    +70 > P. 2001:3001(1000) ack 1
   +200 > P. 2001:3001(1000) ack 1
    +10 < . 1:1(0) ack 3001
 +10000 quiet
        ",
    ]);
}

/// RFC 8985 section 7.3: of several the last, without an allowance for a peer that waits. The report
/// of its arrival says what else was lost.
#[test]
fn a_probe_finds_a_longer_tail() {
    play(&[
        ACCEPTED,
        "
        write 4000
        > P. 1:4001(4*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1001
    +20 > P. 3001:4001(1000) ack 1
    +10 < . 1:1(0) ack 1001 <sack 3001:4001>
        > . 1001:2001(1000) ack 1
    +10 < . 1:1(0) ack 2001 <sack 3001:4001>
        > . 2001:3001(1000) ack 1
    +10 < . 1:1(0) ack 4001
 +10000 quiet
        ",
    ]);
}

/// RFC 8985 section 7.3: something new goes before a repetition, whatever the congestion window.
#[test]
fn a_probe_is_new_if_there_is_something_new() {
    play(&[
        ACCEPTED,
        "
        write 11000
        > . 1:10001(10*1000) ack 1 win 32768
    +20 > P. 10001:11001(1000) ack 1
    +10 < . 1:1(0) ack 11001
 +10000 quiet
        ",
    ]);
}

/// RFC 8985 section 7.4.2: only what lies behind the probe proves that it was needed; a report of a
/// duplicate that it was not, and then the window stays as it was.
#[test]
fn a_probe_that_was_not_needed_costs_nothing() {
    let script = "
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
    +70 > P. 1:1001(1000) ack 1
     +5 < . 1:1(0) ack 1001
    +10 < . 1:1(0) ack 1001 DUPLICATE
        write 10000
        > P. 1001:11001(10*1000) ack 1
    +10 < . 1:1(0) ack 11001
        ";
    for duplicate in ["<sack 1:1001>", ""] {
        play(&[ACCEPTED, &script.replace("DUPLICATE", duplicate)]);
    }
}

/// The same section: a loss that only the probe repaired is one, and the window comes down for it (RFC
/// 9438 section 4.6).
#[test]
fn a_probe_that_was_needed_is_a_loss() {
    play(&[
        ACCEPTED,
        "
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 9001 // The window is 19 now.
    +70 > P. 9001:10001(1000) ack 1
    +10 < . 1:1(0) ack 10001
        write 1000
        > P. 10001:11001(1000) ack 1
    +10 < . 1:1(0) ack 11001
        write 20000
        > . 11001:24001(13*1000) ack 1 // Seven tenths.
        ",
    ]);
}

/// RFC 8985 section 3.4: a retransmission that is lost in turn is found by what was sent after it.
#[test]
fn a_lost_retransmission_is_sent_again() {
    play(&[
        ACCEPTED,
        "
        write 6000
        > P. 1:6001(6*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1 <sack 1001:6001>
     +1 write 1000
        > P. 6001:7001(1000) ack 1
    +10 < . 1:1(0) ack 1 <sack 1001:7001>
        > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 7001
 +10000 quiet
        ",
    ]);
}

/// If nothing was, time finds it (RFC 6298 section 5). What the peer has is not sent again.
#[test]
fn after_a_timeout_what_was_reported_is_not_sent_again() {
    play(&[
        ACCEPTED,
        "
        write 6000
        > P. 1:6001(6*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 3001:6001>
        > . 1:3001(3*1000) ack 1
   +200 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001 <sack 3001:6001>
        > . 1001:3001(2*1000) ack 1
    +10 < . 1:1(0) ack 6001
 +10000 quiet
        ",
    ]);
}

/// RFC 2018 section 8: a receiver may go back on its word. That shows at a timeout: what it reported
/// begins where it says it waits.
#[test]
fn a_receiver_that_goes_back_on_its_word_gets_everything_again() {
    play(&[
        ACCEPTED,
        "
        write 4000
        > P. 1:4001(4*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 1001:4001>
        > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
   +200 > . 1001:2001(1000) ack 1
    +10 < . 1:1(0) ack 2001
        > P. 2001:4001(2*1000) ack 1
    +10 < . 1:1(0) ack 4001
 +10000 quiet
        ",
    ]);
}

/// A FIN counts like text: with the last segment it is probed for, and sent again.
#[test]
fn a_fin_that_is_lost_with_text_comes_with_it() {
    play(&[
        ACCEPTED,
        "
        write 3000
        > P. 1:3001(3*1000) ack 1 win 32768
        shutdown
        > F. 3001:3001(0) ack 1
    +10 < . 1:1(0) ack 2001
    +20 > FP. 2001:3001(1000) ack 1
    +10 < . 1:1(0) ack 3002
 +10000 quiet
        ",
    ]);
    play(&[
        ACCEPTED,
        "
        write 3000
        > P. 1:3001(3*1000) ack 1 win 32768
        shutdown
        > F. 3001:3001(0) ack 1
    +10 < . 1:1(0) ack 1 <sack 1001:2001>
     +1 < . 1:1(0) ack 1 <sack 1001:3001>
        < . 1:1(0) ack 1 <sack 1001:3002>
   +2.5 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 3002
 +10000 quiet
        ",
    ]);
}

/// Only what is outstanding is believed (RFC 5961 section 5.2 has the same for numbers).
#[test]
fn reports_of_what_was_never_sent_are_ignored() {
    play(&[
        ACCEPTED,
        "
        write 3000
        > P. 1:3001(3*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 2001:9001>
        < . 1:1(0) ack 1 <sack 5001:6001>
        < . 1:1(0) ack 1 <sack 3001:2001>
        < . 1:1(0) ack 1 <sack -5000:1001>
     +5 < . 1:1(0) ack 3001
 +10000 quiet
        ",
    ]);
}
