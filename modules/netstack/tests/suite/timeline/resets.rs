//! Resets, and segments that cannot be right.

use super::{ACCEPTED, CONNECTED, play};

/// RFC 5961 section 3.2: a reset with exactly the number that is expected.
#[test]
fn the_exact_reset_is_believed() {
    play(&[
        CONNECTED,
        "
        < P. 1:11(10) ack 1
    +10 > . 1:1(0) ack 11 win 32766
        < R 11:11(0)
        read 10 // It came before.
        hears reset
        < . 11:11(0) ack 1
        > R 1:1(0) win 0
        ",
    ]);
}

/// RFC 5961 section 3.2: one that lies in the window is answered; who has really reset then says it
/// with the right number.
#[test]
fn a_reset_in_the_window_is_challenged() {
    play(&[
        CONNECTED,
        "
        < R 2:2(0)
        > . 1:1(0) ack 1
        hears nothing
    +10 < R 1:1(0)
        hears reset
        ",
    ]);
    play(&[
        CONNECTED,
        "
        < R 262144:262144(0) // The window's last number.
        > . 1:1(0) ack 1
        hears nothing
        ",
    ]);
}

/// RFC 5961 section 3.2: one outside of it is dropped without a word.
#[test]
fn a_reset_outside_the_window_is_dropped() {
    play(&[
        CONNECTED,
        "
        < R 0:0(0)
        < R -100000:-100000(0)
        < R 262145:262145(0)
        < R 1000000:1000000(0)
        hears nothing
        ",
    ]);
}

/// RFC 9293 section 3.10.7.3, SYN-SENT: the peer refuses, if it acknowledges our SYN.
#[test]
fn a_reset_of_the_syn_refuses() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
    +10 < R. 0:0(0) ack 1
        is refused
        hears reset
    "]);
}

/// RFC 9293 section 3.10.7.3, first and second: no other reset is believed, and other
/// acknowledgements are answered with one.
#[test]
fn what_does_not_acknowledge_the_syn_is_not_believed() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
        < R 0:0(0)
        < R. 0:0(0) ack 0
        < R. 0:0(0) ack 2
        < . 1:1(0) ack 1 // It acknowledges, and no more.
        is connecting
        < . 5:5(0) ack 77
        > R 77:77(0) win 0
        < S. 0:0(0) ack 2
        > R 2:2(0) win 0
        is connecting
    +10 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
        is connected
    "]);
}

/// RFC 9293 section 3.10.7.4, SYN-RECEIVED after SYNs have crossed: the peer refuses.
#[test]
fn a_reset_after_crossed_syns_refuses() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
     +5 < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 <mss max,ws 3,sackOK>
     +5 < R 1:1(0)
        is refused
    "]);
}

/// RFC 9293 section 3.10.7.4, SYN-RECEIVED after LISTEN: back to it. Another acknowledgement than
/// that of the SYN is reset, and harms nobody.
#[test]
fn a_handshake_is_reset() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
        < . 1:1(0) ack 77
        > R 77:77(0) win 0
        < R 2:2(0)
    +10 < . 1:1(0) ack 1 win 512
        accept
        peer 1001
        < S 0:0(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
        < R 1:1(0)
    +10 < . 1:1(0) ack 1 win 512
        > R 1:1(0) win 0
    "]);
}

/// RFC 5961 section 4.2: a SYN in a connection is answered with where it stands, whatever its number.
#[test]
fn a_syn_is_challenged() {
    for seq in ["1:1(0)", "1000:1000(0)", "-5000:-5000(0)", "9000000:9000000(0)"] {
        let script = "
        < S SEQ win 65535 <mss 1000>
        > . 1:1(0) ack 1
   +500 < S. SEQ ack 1 win 65535 <mss 1000>
        > . 1:1(0) ack 1
        hears nothing
        ";
        play(&[CONNECTED, &script.replace("SEQ", seq)]);
    }
}

/// RFC 9293 section 3.5.1, figure 9: a peer that has crashed connects anew.
#[test]
fn a_crashed_peer_connects_anew() {
    play(&[
        ACCEPTED,
        "
 +60000 < S 70000:70000(0) win 65535 <mss 1000,sackOK,ws 7>
        > . 1:1(0) ack 1 win 32768
    +10 < R 1:1(0)
        hears reset
   +980 < S 70000:70000(0) win 65535 <mss 1000,sackOK,ws 7>
        > S. 0:0(0) ack 70001 win 65535 <mss max,ws 3,sackOK>
    +10 < . 70001:70001(0) ack 1 win 512
        accept
        ",
    ]);
}

/// RFC 9293 section 3.10.7.4, fifth: what acknowledges something that was never sent is answered,
/// and its text is not taken.
#[test]
fn an_acknowledgement_of_unsent_data_is_not_believed() {
    play(&[
        CONNECTED,
        "
        write 10
        > P. 1:11(10) ack 1
        < P. 1:11(10) ack 12
        > . 11:11(0) ack 1
        hears nothing
    +10 < P. 1:11(10) ack 11
        read 10
    +10 > . 11:11(0) ack 11 win 32766
        ",
    ]);
}

/// RFC 5961 section 5.2: nor is what is older than the largest window that there was. What is only
/// late is.
#[test]
fn an_acknowledgement_that_is_too_old_is_not_believed() {
    play(&[
        CONNECTED,
        "
        < P. 1:11(10) ack -65536 // The window was 65535 bytes.
        > . 1:1(0) ack 1
        hears nothing
    +10 < P. 1:11(10) ack -65534
        read 10
    +10 > . 1:1(0) ack 11 win 32766
        ",
    ]);
}

/// RFC 5961 section 7: challenges are few, whatever asks for them.
#[test]
fn challenges_are_limited() {
    play(&[
        CONNECTED,
        "
        < S 1:1(0) win 65535
        > . 1:1(0) ack 1
        < S 1:1(0) win 65535
   +100 < R 100:100(0)
   +100 < . 1:1(0) ack 77
   +100 < . 1:1(0) ack -100000
   +100 < . 500000:500000(0) ack 1
    +99 < S 1:1(0) win 65535
     +1 < S 1:1(0) win 65535
        > . 1:1(0) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.10.7.4, first: what lies outside of the window is answered, so that ends that
/// disagree find each other again. Each text is, or its repetition would be in vain.
#[test]
fn what_is_not_acceptable_is_acknowledged() {
    play(&[
        CONNECTED,
        "
        < . 0:0(0) ack 1 // A keep-alive.
        > . 1:1(0) ack 1
    +10 < . 300000:301000(1000) ack 1
        > . 1:1(0) ack 1
    +10 < . 300000:301000(1000) ack 1
        > . 1:1(0) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.10.7.4, fifth: without ACK nothing is taken. Flags that contradict each other
/// are an attack.
#[test]
fn senseless_flags_are_dropped() {
    play(&[
        CONNECTED,
        "
        < P 1:11(10)
        < F 1:1(0)
        < SF 1:1(0)
        < SR. 1:1(0) ack 1
        hears nothing
        peer 1001
        < SF 1:1(0)
        < SR 1:1(0)
        ",
    ]);
}

/// RFC 9293 section 3.10.7.1: a reset with the number that the segment acknowledges, if it does.
#[test]
fn a_closed_port_resets() {
    play(&["
        < . 5:5(0) ack 77
        > R 77:77(0) win 0
        < P. 5:15(10) ack 77
        > R 77:77(0)
        < S. 5:5(0) ack 77
        > R 77:77(0)
        < F. 5:5(0) ack 77
        > R 77:77(0)
    "]);
}

/// RFC 9293 section 3.10.7.1: otherwise with number zero, and it acknowledges all of the segment.
#[test]
fn a_closed_port_resets_what_acknowledges_nothing() {
    play(&["
        < S 5:5(0) win 65535 <mss 1000,sackOK,ws 7>
        > R. 0:0(0) ack 6 win 0
        < S 5:15(10) win 65535
        > R. 0:0(0) ack 16
        < P 5:15(10)
        > R. 0:0(0) ack 15
        < F 5:15(10)
        > R. 0:0(0) ack 16
    "]);
}

/// RFC 9293 section 3.10.7.1: a reset is never answered.
#[test]
fn a_reset_is_not_reset() {
    play(&["
        < R 5:5(0)
        < R. 5:5(0) ack 77
        listen
        < R 5:5(0)
        < R. 5:5(0) ack 77
    "]);
}

/// RFC 9293 section 3.10.7.2: nor does a listener take anything but a SYN.
#[test]
fn a_listener_resets_acknowledgements() {
    play(&["
        listen
        < . 5:5(0) ack 77
        > R 77:77(0) win 0
        < S. 5:5(0) ack 77
        > R 77:77(0)
    "]);
}
