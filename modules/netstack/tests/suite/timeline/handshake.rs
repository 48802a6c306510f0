//! How connections open.

use netstack::InterfaceId;

use super::{ACCEPTED, CONNECTED, Timeline, play};

/// RFC 9293 section 3.5, figure 6.
#[test]
fn the_host_connects() {
    play(&[
        CONNECTED,
        "
        write 10
        > P. 1:11(10) ack 1
    +10 < P. 1:21(20) ack 11
        read 20
    +10 > . 11:11(0) ack 21 win 32765
        ",
    ]);
}

/// The same from the other side. Nothing is sent before there is something to say.
#[test]
fn the_peer_connects() {
    play(&[
        ACCEPTED,
        "
    +10 < P. 1:21(20) ack 1
        read 20
        > . 1:1(0) ack 21 win 32768 // More than a SYN can say.
        write 10
        > P. 1:11(10) ack 21
    +10 < . 21:21(0) ack 11
        ",
    ]);
}

/// RFC 9293 section 3.7.1: 536 bytes if the SYN does not say. RFC 7323 section 2.2 and RFC 2018
/// section 2: what was not offered is not used.
#[test]
fn a_peer_without_options_connects() {
    play(&["
        listen
        < S 0:0(0) win 1000
        > S. 0:0(0) ack 1 win 65535 <mss max>
    +10 < . 1:1(0) ack 1 win 1000
        accept
        write 1600
        > . 1:537(536) ack 1 // The window is not scaled, and has not room for another one.
    +10 < . 1:1(0) ack 537
        > . 537:1073(536) ack 1
    +10 < . 1:1(0) ack 1073
        > P. 1073:1601(528) ack 1
    +10 < . 537:1073(536) ack 1601
        > . 1601:1601(0) ack 1 // No blocks.
    "]);
}

/// The same when the host connects: everything is offered, and nothing of it used.
#[test]
fn a_peer_without_options_is_connected_to() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
    +10 < S. 0:0(0) ack 1 win 1000
        > . 1:1(0) ack 1 win 65535
        write 536
        > P. 1:537(536) ack 1
    +10 < . 537:1073(536) ack 537
        > . 537:537(0) ack 1
    "]);
}

/// Each option by itself.
#[test]
fn options_are_negotiated_one_by_one() {
    play(&["
        listen
        < S 0:0(0) win 65535 <ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3>
        peer 1001
        < S 0:0(0) win 65535 <sackOK>
        > S. 0:0(0) ack 1 win 65535 <mss max,sackOK>
        peer 1002
        < S 0:0(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1 win 65535 <mss max>
        peer 1003
        < S 0:0(0) win 65535 <ws 0>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3>
    "]);
}

/// RFC 7323 section 2.2: the window of a SYN is in bytes, whatever its scale says.
#[test]
fn the_window_of_a_syn_is_not_scaled() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
    +10 < S. 0:0(0) ack 1 win 500 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
        write 1000
        > . 1:501(500) ack 1
    +10 < . 1:1(0) ack 501 win 500
        > P. 501:1001(500) ack 1
    "]);
}

/// RFC 7323 section 2.3: a scale beyond 14 is taken for 14.
#[test]
fn a_scale_that_is_too_large_is_14() {
    for scale in ["15", "31", "32", "255"] {
        let script = "
        listen
        < S 0:0(0) win 65535 <mss 1000,ws SCALE>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3>
    +10 < . 1:1(0) ack 1 win 65535
        accept
        write 3000
        > P. 1:3001(3*1000) ack 1 win 32768
        ";
        play(&[&script.replace("SCALE", scale)]);
    }
}

/// RFC 6298 sections 2.1 and 5: after a second, and then after twice as long each time. After half a
/// minute the host gives up.
#[test]
fn a_syn_is_repeated() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
  +1000 > S 0:0(0) <mss max,ws 3,sackOK>
  +2000 > S 0:0(0) <mss max,ws 3,sackOK>
  +4000 > S 0:0(0) <mss max,ws 3,sackOK>
  +8000 > S 0:0(0) <mss max,ws 3,sackOK>
 +14999 is connecting
     +1 is timeout
        hears timeout
 +60000 quiet
    "]);
}

/// RFC 6298 section 5.7: 3 s are allowed for the first data after a SYN that was lost. Karn's rule
/// (section 3): nobody knows which one was answered.
#[test]
fn after_a_lost_syn_data_is_given_three_seconds() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
  +1000 > S 0:0(0) <mss max,ws 3,sackOK>
    +10 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
        is connected
        write 10
        > P. 1:11(10) ack 1
  +3000 > P. 1:11(10) ack 1
    "]);
}

/// The same for the host's answer; at last it is forgotten.
#[test]
fn a_syn_ack_is_repeated() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
  +1000 > S. 0:0(0) ack 1 <mss max,ws 3,sackOK>
  +2000 > S. 0:0(0) ack 1 <mss max,ws 3,sackOK>
  +4000 > S. 0:0(0) ack 1 <mss max,ws 3,sackOK>
  +8000 > S. 0:0(0) ack 1 <mss max,ws 3,sackOK>
 +16000 < . 1:1(0) ack 1
        > R 1:1(0) win 0
    "]);
}

/// RFC 9293 section 3.10.7.4: a SYN that comes again is answered again; one that begins anew has its
/// own answer.
#[test]
fn a_repeated_syn_is_answered_again() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
   +500 < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 <mss max,ws 3,sackOK>
   +100 < S 1000:1000(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1001 <mss max>
    +10 < . 1001:1001(0) ack 1
        accept
    "]);
}

/// The ACK of the handshake is lost, and the SYN-ACK comes again (RFC 9293 section 3.10.7.4: what is
/// not in the window is answered by an acknowledgement).
#[test]
fn a_repeated_syn_ack_is_acknowledged_again() {
    play(&[
        CONNECTED,
        "
  +1000 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.5, figure 7.
#[test]
fn both_ends_connect_at_once() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
     +5 < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
        is connecting
     +5 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
        is connected
        write 10
        > P. 1:11(10) ack 1
    "]);
}

/// The same with a peer whose first word after the SYNs is an acknowledgement.
#[test]
fn both_ends_connect_at_once_and_one_is_acknowledged() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
     +5 < S 0:0(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1 win 65535 <mss max>
  +1000 > S. 0:0(0) ack 1 <mss max>
     +5 < . 1:1(0) ack 1 win 1000
        is connected
        write 10
        > P. 1:11(10) ack 1 win 65535
    "]);
}

/// RFC 9293 section 3.10.7.4, fifth: what completes the handshake may carry data.
#[test]
fn data_completes_the_handshake() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < P. 1:11(10) ack 1 win 512
        accept
        read 10
        > . 1:1(0) ack 11 win 32768
    "]);
}

/// The same and its end.
#[test]
fn data_and_a_fin_complete_the_handshake() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < FP. 1:11(10) ack 1 win 512
        > . 1:1(0) ack 12 win 32766
        accept
        read 10
        hears eof
    "]);
}

/// RFC 9293 section 3.10.7.4: so may what follows it, if it is lost or late.
#[test]
fn data_after_a_late_acknowledgement_completes_the_handshake() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < P. 1001:2001(1000) ack 1 win 512 // The first segment is late.
        > . 1:1(0) ack 1 win 32768 <sack 1001:2001>
        accept
        hears nothing
     +1 < . 1:1001(1000) ack 1
        > . 1:1(0) ack 2001 win 32518
        read 2000
    "]);
}

/// What is sent fits the path as it is when the handshake ends.
#[test]
fn a_path_that_narrows_during_the_handshake_shrinks_segments() {
    Timeline::both(|mut timeline| {
        let len = if timeline.is_ipv4 { 1240 } else { 1220 };
        timeline.play(
            "
        listen
        < S 0:0(0) win 65535 <mss 1460,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
            ",
        );
        timeline.bench.stack().set_mtu(InterfaceId::FIRST, 1280).unwrap();
        let script = format!(
            "
    +10 < . 1:1(0) ack 1 win 512
        accept
        write {len}
        > P. 1:{}({len}) ack 1 win 32768
    +10 < . 1:1(0) ack {0}
        write {}
        > . {0}:{}({len}) ack 1
            ",
            1 + len,
            2 * len - 1,
            1 + 2 * len
        );
        timeline.play(&script);
    });
}

/// RFC 9293 section 3.10.7.4, fifth, in SYN-RECEIVED: what acknowledges nothing says nothing.
#[test]
fn a_segment_without_ack_does_not_complete_a_handshake() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < P 1:11(10) win 512
    +10 < . 1:1(0) ack 1
        accept
        hears nothing
    "]);
}
