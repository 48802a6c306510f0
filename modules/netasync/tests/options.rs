//! What can be set on TCP sockets, and what can be learnt about them.

use std::{
    net::Ipv6Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axerrno::AxError;
use futures_util::future::join;
use netasync::{Handle, RawSocket, TcpListener, TcpSocket, TcpStream, sleep};
use netstack::{KeepAlive, TcpState};
use world::{World, server_addr};

mod world;

const SECOND: Duration = Duration::from_secs(1);
const PROBES: KeepAlive = KeepAlive { idle: SECOND, interval: SECOND, count: 2 };

/// Accepts one connection and keeps it for a while.
async fn hold_one() {
    let listener = TcpListener::bind(server_addr(80)).await.unwrap();
    let held = listener.accept().await;
    sleep(1000 * SECOND).await;
    drop(held);
}

#[test]
fn what_is_set_on_a_stream_is_read_back() {
    World::new().run(hold_one(), async {
        let stream = TcpStream::connect(server_addr(80)).await.unwrap();
        assert_eq!((stream.nodelay(), stream.keep_alive(), stream.linger()), (false, None, None));
        assert_eq!((stream.user_timeout(), stream.ttl()), (120 * SECOND, 64));
        assert_eq!((stream.send_buffer_size(), stream.recv_buffer_size()), (256 << 10, 1 << 20));
        stream.set_nodelay(true);
        stream.set_keep_alive_probes(Some(PROBES));
        stream.set_linger(Some(SECOND));
        stream.set_user_timeout(3 * SECOND);
        stream.set_ttl(7);
        stream.set_send_buffer_size(5000);
        stream.set_recv_buffer_size(6000);
        assert_eq!(stream.keep_alive(), Some(PROBES));
        assert_eq!((stream.nodelay(), stream.linger()), (true, Some(SECOND)));
        assert_eq!((stream.user_timeout(), stream.ttl()), (3 * SECOND, 7));
        assert_eq!((stream.send_buffer_size(), stream.recv_buffer_size()), (5000, 6000));
        stream.set_keep_alive(Some(9 * SECOND));
        let probes = KeepAlive { idle: 9 * SECOND, interval: 9 * SECOND, count: 4 };
        assert_eq!(stream.keep_alive(), Some(probes));
        stream.set_keep_alive(None);
        assert_eq!(stream.keep_alive(), None);
    });
}

#[test]
fn what_is_out_of_range_becomes_the_nearest_in_it() {
    World::new().run(hold_one(), async {
        let stream = TcpStream::connect(server_addr(80)).await.unwrap();
        let zero = KeepAlive { idle: Duration::ZERO, interval: Duration::ZERO, count: 0 };
        stream.set_keep_alive_probes(Some(zero));
        assert_eq!(stream.keep_alive(), Some(KeepAlive { count: 1, ..PROBES }));
        stream.set_user_timeout(Duration::ZERO);
        stream.set_ttl(0);
        stream.set_send_buffer_size(0);
        stream.set_recv_buffer_size(0);
        assert_eq!((stream.user_timeout(), stream.ttl()), (SECOND, 1));
        assert_eq!((stream.send_buffer_size(), stream.recv_buffer_size()), (512, 512));
        stream.set_send_buffer_size(usize::MAX);
        assert_eq!(stream.send_buffer_size(), 16 << 20);
    });
}

/// Sets every option.
fn set_all(socket: &mut TcpSocket) {
    socket.set_nodelay(true);
    socket.set_keep_alive_probes(Some(PROBES));
    socket.set_linger(Some(Duration::ZERO));
    socket.set_user_timeout(5 * SECOND);
    socket.set_ttl(9);
    socket.set_send_buffer_size(20_000);
    socket.set_recv_buffer_size(10_000);
}

/// Whether a stream has them.
fn has_all(stream: &TcpStream) -> bool {
    stream.nodelay()
        && stream.keep_alive() == Some(PROBES)
        && stream.linger() == Some(Duration::ZERO)
        && stream.user_timeout() == 5 * SECOND
        && (stream.ttl(), stream.send_buffer_size(), stream.recv_buffer_size())
            == (9, 20_000, 10_000)
}

#[test]
fn connections_begin_with_the_options_of_their_socket() {
    let server = async {
        let mut socket = TcpSocket::new();
        set_all(&mut socket);
        socket.bind(server_addr(80)).unwrap();
        socket.listen(8).unwrap();
        let (stream, _) = socket.accept().await.unwrap();
        assert!(has_all(&stream));
        sleep(SECOND).await;
    };
    World::new().run_both(server, async {
        let mut socket = TcpSocket::new();
        set_all(&mut socket);
        assert!(socket.nodelay() && socket.keep_alive() == Some(PROBES));
        assert_eq!((socket.linger(), socket.user_timeout()), (Some(Duration::ZERO), 5 * SECOND));
        assert_eq!((socket.ttl(), socket.send_buffer_size()), (9, 20_000));
        assert_eq!(socket.recv_buffer_size(), 10_000);
        socket.connect(server_addr(80)).await.unwrap();
        let stream = socket.into_stream().unwrap();
        assert!(has_all(&stream));
        assert_eq!(stream.info().receive_window, 10_000);
        // The listener's connections have as small a window.
        assert!((8000..=10_000).contains(&stream.info().send_window), "{:?}", stream.info());
    });
}

#[test]
fn hops_and_lingering_show_on_the_wire() {
    let server = async {
        let raw = RawSocket::towards(server_addr(0).ip(), 6).unwrap();
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 100];
        let syn = raw.recv(&mut buffer).await.unwrap();
        assert_eq!((syn.hop_limit, syn.from.ip()), (9, [10, 0, 0, 2].into()));
        // Zero seconds of linger: the dropped connection is reset.
        assert_eq!(stream.read(&mut buffer).await, Err(AxError::ConnectionReset));
    };
    let mut world = World::new();
    world.run_both(server, async {
        let mut socket = TcpSocket::new();
        set_all(&mut socket);
        socket.connect(server_addr(80)).await.unwrap();
        sleep(SECOND).await;
        drop(socket);
        sleep(SECOND).await;
    });
    assert_eq!(world.server.handle().stack().stats().tcp_reset, 1);
}

#[test]
fn data_that_nobody_acknowledges_ends_the_connection_in_time() {
    let mut world = World::new();
    let outcome = Arc::new(Mutex::new(None));
    let slot = outcome.clone();
    let server = async move {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_user_timeout(5 * SECOND);
        sleep(SECOND).await;
        stream.write_all(b"anybody there?").await.unwrap();
        let begun = Handle::current().now();
        let result = stream.read(&mut [0]).await;
        *slot.lock().unwrap() = Some((result, (Handle::current().now() - begun).as_secs()));
    };
    world.run(server, async {
        std::mem::forget(TcpStream::connect(server_addr(80)).await.unwrap());
    });
    world.run_server_until(world.now() + 60 * SECOND);
    assert_eq!(*outcome.lock().unwrap(), Some((Err(AxError::TimedOut), 5)));
}

#[test]
fn listeners_share_a_port_only_if_all_say_so() {
    let listen = |shares: bool| {
        let mut socket = TcpSocket::new();
        socket.set_reuseport(shares);
        assert_eq!(socket.reuseport(), shares);
        socket.bind(server_addr(80)).unwrap();
        socket.listen(8).map(|()| socket)
    };
    let accepted = Arc::new(Mutex::new([0; 2]));
    let counts = accepted.clone();
    let server = async move {
        let (one, other) = (listen(true).unwrap(), listen(true).unwrap());
        assert_eq!(listen(false).err(), Some(AxError::AddrInUse));
        let serve = async |index: usize, socket: TcpSocket| loop {
            let _ = socket.accept().await;
            counts.lock().unwrap()[index] += 1;
        };
        join(serve(0, one), serve(1, other)).await;
    };
    World::new().run(server, async {
        for _ in 0..64 {
            drop(TcpStream::connect(server_addr(80)).await.unwrap());
        }
        sleep(SECOND).await;
    });
    let [one, other] = *accepted.lock().unwrap();
    assert!(one + other == 64 && one > 10 && other > 10, "{one} and {other}");
}

#[test]
fn a_port_whose_connections_still_end_is_taken_again_unless_it_may_not_be() {
    let server = async {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        drop((stream, listener));
        let mut socket = TcpSocket::new();
        assert!(socket.reuseaddr(), "as in Rust's standard library");
        socket.set_reuseaddr(false);
        socket.bind(server_addr(80)).unwrap();
        assert_eq!(socket.listen(1), Err(AxError::AddrInUse));
        socket.set_reuseaddr(true);
        assert_eq!(socket.listen(1), Ok(()));
        socket.accept().await.unwrap();
    };
    World::new().run_both(server, async {
        let first = TcpStream::connect(server_addr(80)).await.unwrap();
        assert_eq!(first.read(&mut [0]).await, Ok(0));
        sleep(SECOND).await;
        TcpStream::connect(server_addr(80)).await.unwrap();
    });
}

#[test]
fn a_listener_on_ipv6_takes_ipv4_unless_it_may_not() {
    let server = async {
        for (port, only_v6) in [(80, false), (81, true)] {
            let mut socket = TcpSocket::new();
            socket.set_only_v6(only_v6);
            assert_eq!(socket.only_v6(), only_v6);
            socket.bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
            socket.listen(8).unwrap();
            netasync::spawn(async move { while socket.accept().await.is_ok() {} });
        }
    };
    World::new().run_both(server, async {
        sleep(SECOND).await;
        assert!(TcpStream::connect(server_addr(80)).await.is_ok());
        let refused = TcpStream::connect(server_addr(81)).await;
        assert_eq!(refused.err(), Some(AxError::ConnectionRefused));
    });
}

#[test]
fn peeking_leaves_the_bytes_to_be_read() {
    let server = async {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        sleep(SECOND).await;
        stream.write_all(b"hello").await.unwrap();
    };
    World::new().run_both(server, async {
        let stream = TcpStream::connect(server_addr(80)).await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(stream.peek(&mut buffer[..2]).await, Ok(2), "waits for data");
        assert_eq!(stream.peek(&mut buffer).await, Ok(5));
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(stream.read(&mut buffer[5..]).await, Ok(3));
        assert_eq!(&buffer, b"hellohel");
        assert_eq!(stream.read(&mut buffer).await, Ok(2));
        assert_eq!(stream.peek(&mut buffer).await, Ok(0), "the end of the stream");
    });
}

#[test]
fn a_connection_tells_what_it_has_counted() {
    let server = async {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 10_000]).await.unwrap();
        stream.write_all(&[0; 500]).await.unwrap();
        sleep(SECOND).await;
    };
    World::new().run_both(server, async {
        let stream = TcpStream::connect(server_addr(80)).await.unwrap();
        stream.write_all(&[7; 10_000]).await.unwrap();
        stream.read_exact(&mut [0; 400]).await.unwrap();
        let info = stream.info();
        assert_eq!((info.state, info.mss), (TcpState::Established, 1460));
        assert_eq!((info.bytes_sent, info.bytes_acknowledged), (10_000, 10_000));
        assert_eq!((info.send_queue, info.receive_queue), (0, 100));
        assert!(info.rtt.is_some() && info.sack_permitted, "{info:?}");
    });
}
