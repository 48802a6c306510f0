//! What can be set on connections: that it holds, and what it does.

use std::time::Duration;

use netstack::{
    KeepAlive, ListenOptions, ReadError, Stack, TcpListener, TcpOptions, TcpStream, WriteError,
};
use smoltcp::wire::TcpControl;

use crate::harness::{
    CLIENT, Net, SERVER,
    apps::{BACKLOG, Outcome, SOON, accepted, dial, drain, pair, pour},
    at,
    bench::{Bench, Peer},
    link::Link,
    wire,
};

const SECOND: Duration = Duration::from_secs(1);
/// What buffers are clamped to.
const BUFFER_LENS: [usize; 2] = [512, 16 << 20];

/// Nothing of it as it is by default.
const ALL_SET: TcpOptions = TcpOptions {
    nodelay: true,
    keep_alive: Some(KeepAlive { idle: SECOND, interval: Duration::from_secs(2), count: 3 }),
    linger: Some(Duration::from_secs(4)),
    user_timeout: Duration::from_secs(5),
    hop_limit: 6,
    send_buffer_len: 7000,
    receive_buffer_len: 8000,
};

fn listen_with(stack: &Stack, connection: TcpOptions) -> TcpListener {
    let options = ListenOptions { connection, ..ListenOptions::default() };
    TcpListener::bind_with(stack, at(1, 80), BACKLOG, &options).unwrap()
}

/// A connection of the host's that a hand-made peer opened.
fn open_with(bench: &mut Bench, options: TcpOptions) -> (TcpStream, Peer) {
    let listener = listen_with(&bench.stack(), options);
    let peer = bench.open(7, 80);
    (accepted(&listener).unwrap(), peer)
}

#[test]
fn options_are_read_back_as_they_were_set() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    assert_eq!(server.options(), TcpOptions::default());
    client.set_options(ALL_SET);
    assert_eq!(client.options(), ALL_SET);
    assert_eq!(server.options(), TcpOptions::default());
    client.set_nodelay(false);
    client.set_keep_alive(None);
    assert_eq!(client.options(), TcpOptions { nodelay: false, keep_alive: None, ..ALL_SET });

    let connecting = TcpStream::connect_with(&net.client(), None, at(1, 81), &ALL_SET).unwrap();
    assert_eq!(connecting.options(), ALL_SET);
}

#[test]
fn accepted_connections_begin_with_their_listeners_options() {
    let mut bench = Bench::new();
    let (stream, _) = open_with(&mut bench, ALL_SET);
    assert_eq!(stream.options(), ALL_SET);
}

#[test]
fn options_out_of_range_are_taken_as_the_nearest_in_it() {
    let none = Duration::ZERO;
    let least = TcpOptions {
        keep_alive: Some(KeepAlive { idle: none, interval: none, count: 0 }),
        linger: Some(none),
        user_timeout: none,
        hop_limit: 0,
        send_buffer_len: 0,
        receive_buffer_len: 0,
        ..TcpOptions::default()
    };
    let most = TcpOptions {
        keep_alive: Some(KeepAlive {
            idle: Duration::MAX,
            interval: Duration::MAX,
            count: u8::MAX,
        }),
        linger: Some(Duration::MAX),
        user_timeout: Duration::MAX,
        hop_limit: u8::MAX,
        send_buffer_len: usize::MAX,
        receive_buffer_len: usize::MAX,
        ..TcpOptions::default()
    };
    let least_held = TcpOptions {
        keep_alive: Some(KeepAlive { idle: SECOND, interval: SECOND, count: 1 }),
        user_timeout: SECOND,
        hop_limit: 1,
        send_buffer_len: BUFFER_LENS[0],
        receive_buffer_len: BUFFER_LENS[0],
        ..least
    };
    let most_held =
        TcpOptions { send_buffer_len: BUFFER_LENS[1], receive_buffer_len: BUFFER_LENS[1], ..most };
    for (options, held) in [(least, least_held), (most, most_held)] {
        let mut bench = Bench::new();
        let (accepted, _) =
            open_with(&mut bench, TcpOptions { receive_buffer_len: 9000, ..options });
        assert_eq!(accepted.options(), TcpOptions { receive_buffer_len: 9000, ..held });
        let connecting = TcpStream::connect_with(&bench.stack(), None, at(2, 9), &options).unwrap();
        assert_eq!(connecting.options(), held);
        // Nothing overflows, however long the longest time is.
        accepted.try_write(b"x").unwrap();
        bench.run_for(SECOND / 2);
        drop((accepted, connecting));
        bench.run_for(SECOND);
    }
}

/// RFC 5082 relies on it: every packet of a connection has it, from the first on.
#[test]
fn the_hop_limit_is_in_every_header() {
    const HOP_LIMIT: u8 = 255;
    let options = TcpOptions { hop_limit: HOP_LIMIT, ..TcpOptions::default() };
    let mut bench = Bench::new();
    bench.run_for(SECOND);
    let (stream, _) = open_with(&mut bench, options);
    stream.try_write(b"hello").unwrap();
    let _listener = listen_with(&bench.stack(), options);
    bench.segment(wire::Segment::new(at(2, 8), at(1, 80), TcpControl::Syn, 0));
    let six = "[fe80::2]:80".parse().unwrap();
    let _connecting = [at(2, 80), six]
        .map(|remote| TcpStream::connect_with(&bench.stack(), None, remote, &options).unwrap());
    // Long enough for a SYN, a SYN-ACK and text to be repeated.
    bench.run_for(SECOND);
    let sent = bench.take_sent();
    let limits = sent.iter().filter(|frame| wire::tcp(frame).is_some()).map(|frame| {
        let is_ipv4 = frame[12..14] == [8, 0];
        (is_ipv4, frame[if is_ipv4 { 22 } else { 21 }])
    });
    let limits: Vec<_> = limits.collect();
    assert!(limits.iter().all(|(_, limit)| *limit == HOP_LIMIT), "{limits:?}");
    assert!(limits.iter().any(|(is_ipv4, _)| !is_ipv4) && limits.len() > 6, "{limits:?}");
    stream.set_options(TcpOptions { hop_limit: 9, ..options });
    stream.abort();
    let last = bench.take_sent().pop().unwrap();
    assert!(wire::is_control(&last, TcpControl::Rst) && last[22] == 9);
}

/// RFC 9293 section 3.10.5, by way of SO_LINGER.
#[test]
fn a_linger_of_zero_resets_what_is_dropped() {
    let mut bench = Bench::new();
    let options = TcpOptions { linger: Some(Duration::ZERO), ..TcpOptions::default() };
    let (stream, peer) = open_with(&mut bench, options);
    stream.try_write(b"lost").unwrap();
    bench.take_sent();
    drop(stream);
    assert_eq!(bench.answer().map(|(control, seq, _)| (control, seq)), {
        Some((TcpControl::Rst, peer.ack + 4))
    });
    assert_eq!((bench.stats().tcp_orphans, bench.stats().memory_used), (0, 0));
}

#[test]
fn a_linger_ends_with_a_reset_unless_all_is_delivered() {
    let linger = Duration::from_secs(5);
    let options = TcpOptions { linger: Some(linger), ..TcpOptions::default() };
    for is_delivered in [false, true] {
        let mut bench = Bench::new();
        let (stream, mut peer) = open_with(&mut bench, options);
        stream.try_write(b"last words").unwrap();
        drop(stream);
        bench.settle();
        if is_delivered {
            peer.ack += 11;
            bench.segment(peer.send(TcpControl::Fin));
        }
        bench.run_for(linger - Duration::from_millis(1));
        let is_reset =
            |frames: &[Vec<u8>]| frames.iter().any(|one| wire::is_control(one, TcpControl::Rst));
        assert!(!is_reset(&bench.take_sent()));
        assert_eq!(bench.stats().tcp_orphans, u64::from(!is_delivered));
        bench.run_for(Duration::from_millis(1));
        assert_eq!(is_reset(&bench.take_sent()), !is_delivered);
        assert_eq!((bench.stats().tcp_orphans, bench.stats().memory_used), (0, 0));
    }
}

/// RFC 5482 and RFC 9293 section 3.8.3.
#[test]
fn the_user_timeout_is_how_long_data_may_go_unacknowledged() {
    let user_timeout = Duration::from_secs(5);
    let mut net = Net::new(Link::perfect());
    let (_server, client) = pair(&mut net);
    client.set_options(TcpOptions { user_timeout, ..client.options() });
    net.run_for(3 * user_timeout);
    net.link.cut();
    pour(&client, &mut &b"anyone?"[..]);
    net.run_for(user_timeout - Duration::from_millis(1));
    assert_eq!(drain(&client, &mut Vec::new()), None);
    net.run_for(Duration::from_millis(2));
    assert_eq!(drain(&client, &mut Vec::new()), Some(Outcome::TimedOut));
}

/// It also bounds the handshake.
#[test]
fn the_user_timeout_is_how_long_a_syn_may_go_unanswered() {
    let mut bench = Bench::new();
    let options = TcpOptions { user_timeout: Duration::from_secs(5), ..TcpOptions::default() };
    let stream = TcpStream::connect_with(&bench.stack(), None, at(2, 80), &options).unwrap();
    bench.run_for(Duration::from_millis(4999));
    assert!(stream.try_connected() == Err(netstack::ConnectError::WouldBlock));
    bench.run_for(Duration::from_millis(2));
    assert!(stream.try_connected() == Err(netstack::ConnectError::TimedOut));
}

#[test]
fn keep_alive_is_inherited_and_ends_after_as_many_probes_as_it_says() {
    let mut bench = Bench::new();
    let (stream, _) = open_with(&mut bench, ALL_SET);
    bench.take_sent();
    // A probe after one second, two more two seconds apart, and two seconds for the last answer.
    bench.run_for(Duration::from_millis(6999));
    assert_eq!(stream.try_read(&mut [0]), Err(ReadError::WouldBlock));
    let sent = bench.take_sent();
    assert_eq!(sent.iter().filter(|frame| wire::tcp(frame).is_some()).count(), 3);
    bench.run_for(Duration::from_millis(1));
    assert_eq!(stream.try_read(&mut [0]), Err(ReadError::TimedOut));
}

#[test]
fn the_send_buffer_bounds_what_is_written() {
    let mut net = Net::new(Link::perfect());
    let (_server, client) = pair(&mut net);
    net.link.cut();
    client.set_options(TcpOptions { send_buffer_len: 3000, ..client.options() });
    assert_eq!(client.try_write(&[1; 5000]), Ok(3000));
    assert_eq!(client.try_write(b"x"), Err(WriteError::WouldBlock));
    // One that shrinks loses nothing, one that grows has room at once.
    client.set_options(TcpOptions { send_buffer_len: 600, ..client.options() });
    assert_eq!((client.try_write(b"x"), client.unacknowledged()), {
        (Err(WriteError::WouldBlock), 3000)
    });
    client.set_options(TcpOptions { send_buffer_len: 4000, ..client.options() });
    assert_eq!(client.try_write(&[1; 5000]), Ok(1000));
}

/// RFC 9293 section 3.8.6: what is announced is what there is room for, and it is not taken back.
#[test]
fn the_receive_buffer_bounds_what_is_announced_and_kept() {
    let mut net = Net::new(Link::perfect());
    let listener = listen_with(
        &net.server(),
        TcpOptions { receive_buffer_len: 4000, ..TcpOptions::default() },
    );
    let client = dial(&net.client(), at(1, 80));
    net.run_briefly();
    let server = accepted(&listener).unwrap();
    assert_eq!(client.info().send_window, 4000);
    pour(&client, &mut &[1; 10_000][..]);
    net.run_for(SECOND);
    assert_eq!((server.info().receive_queue, client.unacknowledged()), (4000, 6000));
    assert_eq!(client.info().send_window, 0);
    assert_eq!(server.try_read(&mut [0; 3000]), Ok(3000));
    net.run_for(SECOND);
    assert_eq!((server.info().receive_queue, client.unacknowledged()), (4000, 3000));

    server.set_options(TcpOptions { receive_buffer_len: 8000, ..server.options() });
    net.run_for(SECOND);
    assert_eq!((server.info().receive_queue, client.unacknowledged()), (7000, 0));
    server.set_options(TcpOptions { receive_buffer_len: 512, ..server.options() });
    assert_eq!(server.info().receive_window, 1000, "it was promised");
    pour(&client, &mut &[1; 2000][..]);
    net.run_for(SECOND);
    assert_eq!(server.info().receive_queue, 8000);
    assert_eq!(server.try_read(&mut [0; 9000]), Ok(8000));
    net.run_for(SECOND);
    assert_eq!(server.info().receive_queue, 512);
}

/// RFC 7323 section 2.3: the scale is told once, so that no larger window can be told later.
#[test]
fn the_receive_buffer_cannot_outgrow_the_window_scale() {
    let mut bench = Bench::new();
    let asked = TcpOptions { receive_buffer_len: 200_000, ..TcpOptions::default() };
    let (stream, _) = open_with(&mut bench, asked);
    // The peer did not offer to scale.
    let held = |len| {
        stream.set_options(TcpOptions { receive_buffer_len: len, ..asked });
        stream.options().receive_buffer_len
    };
    assert_eq!((held(1000), held(65_535), held(1 << 20)), (1000, 65_535, 65_535));
    let mut net = Net::new(Link::perfect());
    let (_server, client) = pair(&mut net);
    client.set_options(TcpOptions { receive_buffer_len: 16 << 20, ..client.options() });
    // The default, 1 MiB, takes a scale of five.
    assert_eq!(client.options().receive_buffer_len, 65_535 << 5);
}

#[test]
fn peeking_leaves_what_it_sees() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let mut buffer = [0; 8];
    assert_eq!(server.try_peek(&mut buffer), Err(ReadError::WouldBlock));
    pour(&client, &mut &b"look"[..]);
    net.run_briefly();
    for _ in 0..2 {
        assert_eq!((server.try_peek(&mut buffer), &buffer[..4]), (Ok(4), &b"look"[..]));
    }
    assert_eq!((server.try_peek(&mut [0; 2]), server.try_peek(&mut [])), (Ok(2), Ok(0)));
    assert_eq!(server.try_read(&mut buffer), Ok(4));
    assert_eq!(server.try_peek(&mut buffer), Err(ReadError::WouldBlock));
    drop(client);
    net.run_until(SOON, || server.try_peek(&mut buffer) == Ok(0));
    let stats = [SERVER, CLIENT].map(|host| net.hosts[host].stats().tcp_reset);
    assert_eq!(stats, [0, 0]);
}
