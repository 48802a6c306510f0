//! The windows, and how full segments are.

use netstack::TcpOptions;

use super::{CONNECTED, Timeline, defaults, play, play_with};

/// RFC 9293 section 3.8.6.1: a zero window is asked for after the retransmission timeout, and then
/// at growing intervals, for as long as the peer answers.
#[test]
fn a_zero_window_is_probed() {
    play(&[
        CONNECTED,
        "
        < . 1:1(0) ack 1 win 0
        write 2000
   +200 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
   +400 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
   +800 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
  +1600 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
  +3200 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
  +6400 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
 +12800 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
 +25600 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
 +51200 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
 +60000 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
 +60000 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 512
        > P. 1:2001(2*1000) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.8.6.1: the window is reopened before anybody asks.
#[test]
fn a_window_reopens() {
    play(&[
        CONNECTED,
        "
        < . 1:1(0) ack 1 win 0
        write 2000
    +50 < . 1:1(0) ack 1 win 512
        > P. 1:2001(2*1000) ack 1
    +10 < . 1:1(0) ack 2001 win 0
        write 1000
   +200 > . 2000:2000(0) ack 1
    +10 < . 1:1(0) ack 2001 win 512
        > P. 2001:3001(1000) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.8.6: no more is sent than there is room for; also a FIN takes room.
#[test]
fn the_window_holds_text_and_fin_back() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
    +10 < S. 0:0(0) ack 1 win 2000 <mss 1000>
        > . 1:1(0) ack 1 win 65535
        write 5000
        > . 1:2001(2*1000) ack 1
    +10 < . 1:1(0) ack 1001 win 1000
    +10 < . 1:1(0) ack 1001 win 2000
        > . 2001:3001(1000) ack 1
    +10 < . 1:1(0) ack 3001 win 2000
        > P. 3001:5001(2*1000) ack 1
        shutdown
    +10 < . 1:1(0) ack 5001 win 0
   +200 > . 5000:5000(0) ack 1
    +10 < . 1:1(0) ack 5001 win 1
        > F. 5001:5001(0) ack 1
        "]);
}

/// RFC 9293 section 3.8.6: a peer that takes its window back gets no more, and the host does not
/// forget what it has sent.
#[test]
fn a_window_may_shrink() {
    play(&[
        CONNECTED,
        "
        write 3000
        > P. 1:3001(3*1000) ack 1
    +10 < . 1:1(0) ack 1001 win 8 // 1024 bytes.
        write 10
    +10 < . 1:1(0) ack 3001 win 512
        > P. 3001:3011(10) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.10.7.4: a window in a segment older than the last is not believed.
#[test]
fn an_old_window_is_not_believed() {
    play(&[
        CONNECTED,
        "
        write 1000
        > P. 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001 win 512
     +1 < . 1:1(0) ack 1 win 0
        write 1000
        > P. 1001:2001(1000) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.8.6.2.1: the sender waits for room for a full segment or for half of the
/// largest window, and no longer than the override timeout.
#[test]
fn a_sliver_of_window_is_not_used() {
    play(&[
        CONNECTED,
        "
        < . 1:1(0) ack 1 win 0
        write 2000
    +10 < . 1:1(0) ack 1 win 1 // 128 bytes.
   +200 > . 1:129(128) ack 1
    +10 < . 1:1(0) ack 129 win 8
        > . 129:1129(1000) ack 1
        ",
    ]);
}

/// The same rule and half of the largest window.
#[test]
fn half_of_a_small_window_is_used() {
    play(&["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
    +10 < S. 0:0(0) ack 1 win 600 <mss 1000>
        > . 1:1(0) ack 1 win 65535
        write 2000
        > . 1:601(600) ack 1
    +10 < . 1:1(0) ack 601 win 299
    +10 < . 1:1(0) ack 601 win 300
        > . 601:901(300) ack 1
    "]);
}

/// RFC 9293 section 3.8.6.2.2: the receiver does not move the edge of its window by less than a full
/// segment or half of its buffer.
#[test]
fn slivers_of_buffer_are_not_announced() {
    let options = TcpOptions { receive_buffer_len: 2000, ..defaults() };
    let opening = "
        listen
        < S 0:0(0) win 65535 <mss 1000,sackOK>
        > S. 0:0(0) ack 1 win 2000 <mss max,sackOK>
    +10 < . 1:1(0) ack 1 win 65535
        accept
     +5 < . 1:1001(1000) ack 1
        < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 2001 win 0
    +10 read 400
        read 200
        read 300
        < . 2001:2001(0) ack 1 // Nothing to say.
        < . 2000:2000(0) ack 1 // A probe.
        > . 1:1(0) ack 2001 win 0
        read 100
        > . 1:1(0) ack 2001 win 1000
        read 1000
        > . 1:1(0) ack 2001 win 2000
    ";
    play_with(options, &[opening]);
}

/// RFC 9293 section 3.8.6: what does not fit is not taken, and the right edge stays where it is.
#[test]
fn text_beyond_the_window_is_not_taken() {
    let options = TcpOptions { receive_buffer_len: 1500, ..defaults() };
    let script = "
        listen
        < S 0:0(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1 win 1500 <mss max>
    +10 < . 1:1(0) ack 1 win 65535
        accept
     +5 < . 1:1001(1000) ack 1
     +5 < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 1501 win 0
        < . 1501:2001(500) ack 1
        > . 1:1(0) ack 1501
        read 1500
        > . 1:1(0) ack 1501 win 1500
        < . 1501:2001(500) ack 1
        read 500
    +10 > . 1:1(0) ack 2001 win 1000
    ";
    play_with(options, &[script]);
}

/// RFC 9293 section 3.7.4: while something is in flight, less than a full segment waits.
#[test]
fn small_writes_are_gathered() {
    play(&[
        CONNECTED,
        "
        write 10
        > P. 1:11(10) ack 1
     +1 write 10
     +1 write 10
     +8 < . 1:1(0) ack 11
        > P. 11:31(20) ack 1
     +1 write 1010
        > . 31:1031(1000) ack 1
     +9 < . 1:1(0) ack 31
    +10 < . 1:1(0) ack 1031
        > P. 1031:1041(10) ack 1
        ",
    ]);
}

/// The same, and the application has finished: there is nothing to wait for.
#[test]
fn the_last_small_write_does_not_wait() {
    play(&[
        CONNECTED,
        "
        write 10
        > P. 1:11(10) ack 1
        write 10
        shutdown
        > FP. 11:21(10) ack 1
        ",
    ]);
}

/// RFC 9293 section 3.7.4: an application can do without.
#[test]
fn small_writes_are_sent_at_once() {
    play_with(
        TcpOptions { nodelay: true, ..defaults() },
        &[
            CONNECTED,
            "
        write 10
        > P. 1:11(10) ack 1
     +1 write 10
        > P. 11:21(10) ack 1
     +1 write 1010
        > . 21:1021(1000) ack 1
        > P. 1021:1031(10) ack 1
        ",
        ],
    );
}

/// What is read opens the window again, and the peer is told when it is a quarter of the buffer
/// (RFC 9293 section 3.8.6.2.2 wants a full segment at least).
#[test]
fn reading_opens_the_window() {
    let options = TcpOptions { receive_buffer_len: 8000, ..defaults() };
    let script = "
        listen
        < S 0:0(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1 win 8000 <mss max>
    +10 < . 1:1(0) ack 1 win 65535
        accept
     +5 < . 1:8001(8*1000) ack 1
        > . 1:1(0) ack 2001 win 6000
        > . 1:1(0) ack 4001 win 4000
        > . 1:1(0) ack 6001 win 2000
        > . 1:1(0) ack 8001 win 0
    +10 read 1999
        read 1
        > . 1:1(0) ack 8001 win 2000
        read 6000
        > . 1:1(0) ack 8001 win 8000
    ";
    play_with(options, &[script]);
}

/// RFC 7323 section 2.2: without a scale the window says no more than 64 KiB, and the buffer holds no
/// more: reading a little of a larger one would tell the peer nothing.
#[test]
fn reading_a_little_does_not_update_a_window_without_scale() {
    play(&["
        listen
        < S 0:0(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1 win 65535 <mss max>
    +10 < . 1:1(0) ack 1
        accept
        < P. 1:1001(1000) ack 1
        read 1000
    +10 > . 1:1(0) ack 1001 win 64535
        < P. 1001:2001(1000) ack 1
        read 1000
    +10 > . 1:1(0) ack 2001 win 65535
    "]);
}

/// A larger buffer opens the window as reading does.
#[test]
fn a_buffer_that_grows_opens_the_window() {
    let options = TcpOptions { receive_buffer_len: 2000, ..defaults() };
    Timeline::both(|mut timeline| {
        timeline.options = options;
        timeline.play(
            "
        listen
        < S 0:0(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1 win 2000 <mss max>
    +10 < . 1:1(0) ack 1 win 65535
        accept
        < P. 1:2001(2*1000) ack 1
        > . 1:1(0) ack 2001 win 0
            ",
        );
        let options = TcpOptions { receive_buffer_len: 8000, ..options };
        timeline.stream().set_options(options);
        timeline.play("> . 1:1(0) ack 2001 win 6000");
    });
}
