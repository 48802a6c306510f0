//! How connections close.

use std::time::Duration;

use netstack::TcpOptions;

use super::{ACCEPTED, ACCEPTED_WITHOUT_SACK, CONNECTED, defaults, play, play_with};

/// RFC 9293 section 3.6, figure 12.
#[test]
fn the_host_closes_first() {
    play(&[
        CONNECTED,
        "
        write 10
        > P. 1:11(10) ack 1
        shutdown
        > F. 11:11(0) ack 1
    +10 < . 1:1(0) ack 12
    +10 < F. 1:1(0) ack 12
        > . 12:12(0) ack 2 win 32767
        hears eof
        ",
    ]);
}

/// The same from the other side. After its last acknowledgement nothing is left of the connection.
#[test]
fn the_peer_closes_first() {
    play(&[
        CONNECTED,
        "
    +10 < F. 1:1(0) ack 1
        > . 1:1(0) ack 2 win 32767
        hears eof
        shutdown
        > F. 1:1(0) ack 2
    +10 < . 2:2(0) ack 2
    +10 < . 2:2(0) ack 2
        > R 2:2(0) win 0
        ",
    ]);
}

/// RFC 9293 section 3.6, figure 13.
#[test]
fn both_ends_close_at_once() {
    play(&[
        CONNECTED,
        "
        shutdown
        > F. 1:1(0) ack 1
     +5 < F. 1:1(0) ack 1
        > . 2:2(0) ack 2 win 32767
        hears eof
     +5 < . 2:2(0) ack 2
  +1000 < F. 1:1(0) ack 2 // The acknowledgement was lost.
        > . 2:2(0) ack 2 win 0
        ",
    ]);
}

/// The same, and the peer acknowledges the host's FIN with its own.
#[test]
fn both_ends_close_and_one_acknowledges() {
    play(&[
        CONNECTED,
        "
        shutdown
        > F. 1:1(0) ack 1
    +10 < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 32767
  +1000 quiet
        ",
    ]);
}

/// RFC 9293 section 3.6: a CLOSE is for one direction. The host has finished, and listens on for as
/// long as the peer talks.
#[test]
fn the_host_has_finished_and_receives() {
    play(&[
        CONNECTED,
        "
        shutdown
        > F. 1:1(0) ack 1
    +10 < . 1:1(0) ack 2
+3600000 < P. 1:11(10) ack 2
        read 10
    +10 > . 2:2(0) ack 11 win 32766
  +1000 < P. 11:1011(1000) ack 2
        < P. 1011:2011(1000) ack 2
        > . 2:2(0) ack 2011 win 32516
        read 2000
        hears nothing
  +1000 < F. 2011:2011(0) ack 2
        > . 2:2(0) ack 2012 win 32768
        hears eof
        ",
    ]);
}

/// The peer has finished, and the host talks on.
#[test]
fn the_peer_has_finished_and_receives() {
    play(&[
        CONNECTED,
        "
        < F. 1:1(0) ack 1
        > . 1:1(0) ack 2 win 32767
        hears eof
+3600000 write 1010
        > . 1:1001(1000) ack 2
    +10 < . 2:2(0) ack 1001
        > P. 1001:1011(10) ack 2
        shutdown
        > F. 1011:1011(0) ack 2
    +10 < . 2:2(0) ack 1012
        ",
    ]);
}

/// RFC 6298 section 5 holds for a FIN as for any byte; the first repetition is the probe of RFC 8985
/// section 7.
#[test]
fn a_fin_is_repeated() {
    play(&[
        CONNECTED,
        "
        shutdown
        > F. 1:1(0) ack 1
    +70 > F. 1:1(0) ack 1
   +200 > F. 1:1(0) ack 1
   +400 > F. 1:1(0) ack 1
   +800 > F. 1:1(0) ack 1
    +10 < . 1:1(0) ack 2
 +60000 hears nothing
        ",
    ]);
}

/// Without SACK there is no probe. What was written goes with the FIN.
#[test]
fn a_fin_is_repeated_with_the_text_before_it() {
    play(&[
        ACCEPTED_WITHOUT_SACK,
        "
        write 1010
        > . 1:1001(1000) ack 1 win 32768
        shutdown
        > FP. 1001:1011(10) ack 1
    +10 < . 1:1(0) ack 1001
   +200 > FP. 1001:1011(10) ack 1
   +400 > FP. 1001:1011(10) ack 1
    +10 < . 1:1(0) ack 1012
        ",
    ]);
}

/// RFC 9293 section 3.10.4, SYN-SENT: there is nothing to tell anybody.
#[test]
fn a_close_in_the_handshake_is_silent() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
        drop
    +10 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ws 7>
        > R 1:1(0) win 0
    "]);
}

/// RFC 9293 section 3.10.4, SYN-RECEIVED: the FIN follows the handshake.
#[test]
fn a_close_while_syns_cross_waits() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
     +5 < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
        shutdown
     +5 < . 1:1(0) ack 1 win 512
        > F. 1:1(0) ack 1 win 32768
    +10 < . 1:1(0) ack 2
    "]);
}

/// A peer that does not close in a minute holds no connection that nobody holds here. RFC 9293
/// section 3.6 leaves it open whether FIN-WAIT-2 ends.
#[test]
fn an_orphan_waits_a_minute_for_the_fin() {
    play(&[
        CONNECTED,
        "
        drop
        > F. 1:1(0) ack 1
    +10 < . 1:1(0) ack 2
 +60000 > R. 2:2(0) ack 1
 +10000 < F. 1:1(0) ack 2
        > R 2:2(0) win 0
        ",
    ]);
}

/// The peer's FIN comes in time.
#[test]
fn an_orphan_takes_the_fin() {
    play(&[
        CONNECTED,
        "
        drop
        > F. 1:1(0) ack 1
    +10 < . 1:1(0) ack 2
 +59000 < F. 1:1(0) ack 2
        > . 2:2(0) ack 2 win 32767
        ",
    ]);
}

/// RFC 9293 section 3.6.1: data that comes after a CLOSE and that nobody will read is answered with a
/// reset.
#[test]
fn an_orphan_resets_what_it_receives() {
    play(&[
        CONNECTED,
        "
        drop
        > F. 1:1(0) ack 1
    +10 < P. 1:11(10) ack 2
        > R. 2:2(0) ack 11 win 32766
    +10 < P. 1:11(10) ack 2
        > R 2:2(0) win 0
        ",
    ]);
}

/// What the orphan has still to deliver goes first.
#[test]
fn an_orphan_delivers_before_it_resets() {
    play(&[
        CONNECTED,
        "
        write 1000
        > P. 1:1001(1000) ack 1
        drop
        > F. 1001:1001(0) ack 1
     +5 < P. 1:11(10) ack 1
     +5 < . 11:11(0) ack 1001
     +5 > . 1002:1002(0) ack 11 win 32766
     +5 < P. 11:21(10) ack 1002
        > R. 1002:1002(0) ack 21 win 32765
        ",
    ]);
}

/// RFC 2525 section 2.17: the peer must not take for delivered what nobody has read.
#[test]
fn a_close_with_unread_data_resets() {
    play(&[
        CONNECTED,
        "
        < P. 1:11(10) ack 1
    +10 > . 1:1(0) ack 11 win 32766
        write 10
        > P. 1:11(10) ack 11
        drop
        > R. 11:11(0) ack 11
        ",
    ]);
}

/// RFC 9293 section 3.10.5.
#[test]
fn an_abort_resets() {
    play(&[
        CONNECTED,
        "
        write 10
        > P. 1:11(10) ack 1
        abort
        > R. 11:11(0) ack 1
        hears eof
        ",
    ]);
}

/// How long an orphan may deliver can be chosen: SO_LINGER.
#[test]
fn an_orphan_lingers() {
    let linger = |seconds| TcpOptions { linger: Some(Duration::from_secs(seconds)), ..defaults() };
    play_with(
        linger(0),
        &[
            CONNECTED,
            "
        drop
        > R. 1:1(0) ack 1
            ",
        ],
    );
    play_with(
        linger(1),
        &[
            CONNECTED,
            "
        < . 1:1(0) ack 1 win 0
        write 10
        drop
   +200 > . 0:0(0) ack 1
   +400 > . 0:0(0) ack 1
   +400 > R. 1:1(0) ack 1
            ",
        ],
    );
}

/// RFC 9293 section 3.10.7.4, seventh: after a FIN comes no text.
#[test]
fn data_beyond_the_fin_is_ignored() {
    play(&[
        CONNECTED,
        "
        < FP. 1:11(10) ack 1
        > . 1:1(0) ack 12 win 32766
    +10 < P. 12:22(10) ack 1
        read 10
        hears eof
        ",
    ]);
}

/// The same when the FIN comes before what is before it.
#[test]
fn data_beyond_an_early_fin_is_ignored() {
    play(&[
        CONNECTED,
        "
        < FP. 11:21(10) ack 1
        > . 1:1(0) ack 1 <sack 11:21>
     +5 < P. 22:32(10) ack 1
        > . 1:1(0) ack 1 <sack 11:21>
     +5 < P. 1:16(15) ack 1
        > . 1:1(0) ack 22 win 32765
        read 20
        hears eof
        ",
    ]);
}

/// A FIN that comes twice counts once. It is reported as any byte would be (RFC 2883 section 4).
#[test]
fn a_repeated_fin_is_acknowledged() {
    play(&[
        ACCEPTED,
        "
        < F. 1:1(0) ack 1
        > . 1:1(0) ack 2 win 32768
   +200 < F. 1:1(0) ack 1
        > . 1:1(0) ack 2 <sack 1:2>
        write 10
        > P. 1:11(10) ack 2
        ",
    ]);
}
