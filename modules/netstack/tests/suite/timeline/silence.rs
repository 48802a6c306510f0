//! Peers that say nothing.

use std::time::Duration;

use netstack::{KeepAlive, TcpOptions};

use super::{ACCEPTED, CONNECTED, defaults, play, play_with};

/// After a minute, three times, ten seconds apart.
fn keep_alive() -> TcpOptions {
    let keep_alive =
        KeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 3 };
    TcpOptions { keep_alive: Some(keep_alive), ..defaults() }
}

fn user_timeout(seconds: u64) -> TcpOptions {
    TcpOptions { user_timeout: Duration::from_secs(seconds), ..defaults() }
}

/// RFC 9293 section 3.8.4: a peer that does not answer is gone.
#[test]
fn a_dead_peer_is_found() {
    play_with(
        keep_alive(),
        &[
            ACCEPTED,
            "
 +60000 > . 0:0(0) ack 1 win 32768
 +10000 > . 0:0(0) ack 1
 +10000 > . 0:0(0) ack 1
  +9999 hears nothing
     +1 hears timeout
 +60000 < . 1:1(0) ack 1
        > R 1:1(0) win 0
            ",
        ],
    );
}

/// RFC 9293 section 3.8.4: one that answers, or says anything, is asked after another minute.
#[test]
fn a_live_peer_is_spared() {
    play_with(
        keep_alive(),
        &[
            CONNECTED,
            "
 +60000 > . 0:0(0) ack 1
    +10 < . 1:1(0) ack 1
 +60000 > . 0:0(0) ack 1
 +10000 > . 0:0(0) ack 1
    +10 < . 1:1(0) ack 1
 +60000 > . 0:0(0) ack 1
 +10000 > . 0:0(0) ack 1
 +10000 > . 0:0(0) ack 1
  +9000 < . 1:1(0) ack 1
 +30000 < P. 1:11(10) ack 1
    +10 > . 1:1(0) ack 11 win 32766
 +59990 > . 0:0(0) ack 11
            ",
        ],
    );
}

/// RFC 9293 section 3.8.4: a peer that has crashed meanwhile resets.
#[test]
fn a_peer_without_the_connection_resets() {
    play_with(
        keep_alive(),
        &[
            CONNECTED,
            "
 +60000 > . 0:0(0) ack 1
    +10 < R 1:1(0)
        hears reset
            ",
        ],
    );
}

/// RFC 9293 section 3.8.4: no keep-alive while data is under way, which asks as well.
#[test]
fn data_is_question_enough() {
    play_with(
        keep_alive(),
        &[
            CONNECTED,
            "
 +59950 write 10
        > P. 1:11(10) ack 1
    +70 > P. 1:11(10) ack 1
    +10 < . 1:1(0) ack 11
 +60000 > . 10:10(0) ack 1
            ",
        ],
    );
}

/// RFC 9293 section 3.8.4: none unless the application asks for it.
#[test]
fn without_keep_alive_nothing_is_sent() {
    play(&[
        ACCEPTED,
        "
+86400000 < P. 1:11(10) ack 1
        read 10
        > . 1:1(0) ack 11 win 32768
        ",
    ]);
}

/// RFC 9293 section 3.8.3, RFC 5482: how long data may go unacknowledged.
#[test]
fn data_that_is_not_acknowledged_ends_the_connection() {
    play_with(
        user_timeout(3),
        &[
            CONNECTED,
            "
  +1000 write 10
        > P. 1:11(10) ack 1
    +70 > P. 1:11(10) ack 1
   +200 > P. 1:11(10) ack 1
   +400 > P. 1:11(10) ack 1
   +800 > P. 1:11(10) ack 1
  +1529 hears nothing
     +1 hears timeout
 +10000 < . 1:1(0) ack 11
        > R 11:11(0) win 0
            ",
        ],
    );
}

/// RFC 5482 section 2: counted from the last progress.
#[test]
fn progress_begins_the_user_timeout_anew() {
    play_with(
        user_timeout(3),
        &[
            CONNECTED,
            "
        write 2000
        > P. 1:2001(2*1000) ack 1
    +20 > P. 1001:2001(1000) ack 1
    +80 < . 1:1(0) ack 1001
   +200 > P. 1001:2001(1000) ack 1
   +400 > P. 1001:2001(1000) ack 1
   +800 > P. 1001:2001(1000) ack 1
  +1599 hears nothing
     +1 hears timeout
            ",
        ],
    );
}

/// RFC 9293 section 3.8.3: at least 100 seconds without a word about it; here two minutes.
#[test]
fn data_is_given_two_minutes() {
    play(&[
        CONNECTED,
        "
        write 10
        > P. 1:11(10) ack 1
    +70 > P. 1:11(10) ack 1
   +200 > P. 1:11(10) ack 1
   +400 > P. 1:11(10) ack 1
   +800 > P. 1:11(10) ack 1
  +1600 > P. 1:11(10) ack 1
  +3200 > P. 1:11(10) ack 1
  +6400 > P. 1:11(10) ack 1
 +12800 > P. 1:11(10) ack 1
 +25600 > P. 1:11(10) ack 1
 +51200 > P. 1:11(10) ack 1
 +17729 hears nothing
     +1 hears timeout
        ",
    ]);
}

/// RFC 9293 section 3.8.6.1: a closed window is no reason to give up as long as the peer answers.
#[test]
fn a_peer_that_answers_probes_is_not_given_up() {
    play_with(
        user_timeout(3),
        &[
            CONNECTED,
            "
        < . 1:1(0) ack 1 win 0
        write 10
   +200 > . 0:0(0) ack 1
   +400 > . 0:0(0) ack 1
   +800 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
  +1600 > . 0:0(0) ack 1
        < . 1:1(0) ack 1
  +2999 hears nothing
     +1 hears timeout
            ",
        ],
    );
}

/// RFC 9293 section 3.8.3 applies to SYNs too.
#[test]
fn a_syn_that_is_not_answered_ends_after_the_user_timeout() {
    play_with(
        user_timeout(5),
        &["
        connect
        > S 0:0(0) win 65535 <mss max,ws 3,sackOK>
  +1000 > S 0:0(0) <mss max,ws 3,sackOK>
  +2000 > S 0:0(0) <mss max,ws 3,sackOK>
  +1999 is connecting
     +1 is timeout
        "],
    );
}
