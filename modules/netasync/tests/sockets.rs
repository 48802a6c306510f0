//! Async sockets between two runtimes.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use axerrno::AxError;
use embedded_io_async::{BufRead, Read, Write};
use futures_util::{FutureExt, future::join_all, select_biased};
use netasync::{
    Shutdown, TcpListener, TcpSocket, TcpStream, UdpSocket,
    io::{AsyncRead, AsyncWrite, BufStream},
    sleep, spawn, timeout,
};
use netstack::Stats;
use world::{World, server_addr};

mod world;

async fn echo_server(port: u16) {
    let listener = TcpListener::bind(server_addr(port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        spawn(async move {
            let mut buffer = [0; 1000];
            while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..len]).await.unwrap();
            }
        });
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// What a stack still holds after its tasks have gone.
fn held(stats: Stats) -> [u64; 5] {
    let Stats { tcp_open, tcp_backlog, tcp_half_open, tcp_orphans, memory_used, .. } = stats;
    [tcp_open, tcp_backlog, tcp_half_open, tcp_orphans, memory_used]
}

#[test]
fn a_stream_carries_bytes_both_ways_and_ends() {
    let mut world = World::new();
    world.run(echo_server(7), async {
        let stream = TcpStream::connect(server_addr(7)).await.unwrap();
        let sent = pattern(300_000);
        let (expected, mut received) = (sent.clone(), vec![0; sent.len()]);
        let writer = async {
            stream.write_all(&sent).await.unwrap();
            stream.shutdown(Shutdown::Write);
        };
        let reader = async {
            stream.read_exact(&mut received).await.unwrap();
            assert_eq!(stream.read(&mut [0]).await, Ok(0), "the end of the stream");
        };
        futures_util::join!(writer, reader);
        assert_eq!(received, expected);
        assert_eq!(stream.write(b"x").await, Err(AxError::BrokenPipe));
    });
    world.run_client(sleep_for(Duration::from_secs(30)));
    assert_eq!(held(world.client.handle().stack().stats()), [0; 5]);
    assert_eq!(held(world.server.handle().stack().stats()), [0; 5]);
}

async fn sleep_for(duration: Duration) {
    sleep(duration).await;
}

#[test]
fn a_hundred_connections_at_once_are_all_served() {
    let mut world = World::new();
    world.run(echo_server(7), async {
        let clients = (0..100).map(|number: u32| async move {
            let stream = TcpStream::connect(server_addr(7)).await.unwrap();
            let mut answer = [0; 4];
            stream.write_all(&number.to_be_bytes()).await.unwrap();
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(u32::from_be_bytes(answer), number);
        });
        join_all(clients).await;
    });
    assert_eq!(world.server.handle().stack().stats().tcp_accepted, 100);
}

#[test]
fn errors_are_axerrnos() {
    let mut world = World::new();
    world.run(
        async {
            let listener = TcpListener::bind(server_addr(80)).await.unwrap();
            let again = TcpListener::bind(server_addr(80)).await;
            assert_eq!(again.err(), Some(AxError::AddrInUse));
            let foreign = TcpListener::bind("10.9.9.9:80").await;
            assert_eq!(foreign.err(), Some(AxError::BadAddress));
            let (stream, _) = listener.accept().await.unwrap();
            stream.abort();
            sleep(Duration::from_secs(1)).await;
        },
        async {
            let connect = async |to: SocketAddr| TcpStream::connect(to).await.err();
            assert_eq!(connect(server_addr(81)).await, Some(AxError::ConnectionRefused));
            assert_eq!(connect(server_addr(0)).await, Some(AxError::InvalidInput));
            let elsewhere = SocketAddr::from(([192, 168, 1, 1], 80));
            assert_eq!(connect(elsewhere).await, Some(AxError::NotFound));
            let silent = SocketAddr::from(([10, 0, 0, 9], 80));
            assert_eq!(connect(silent).await, Some(AxError::TimedOut));
            assert_eq!(TcpStream::connect("nonsense").await.err(), Some(AxError::InvalidInput));

            let stream = TcpStream::connect(server_addr(80)).await.unwrap();
            assert_eq!(stream.read(&mut [0]).await, Err(AxError::ConnectionReset));
        },
    );
}

#[test]
fn every_task_that_waits_in_accept_gets_a_connection() {
    let mut world = World::new();
    let server = async {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let accept_one = || async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"hello").await.unwrap();
        };
        futures_util::join!(accept_one(), accept_one(), accept_one());
    };
    world.run(server, async {
        let clients = (0..3).map(|_| async {
            let stream = TcpStream::connect(server_addr(80)).await.unwrap();
            let mut greeting = [0; 5];
            stream.read_exact(&mut greeting).await.unwrap();
            assert_eq!(&greeting, b"hello");
        });
        join_all(clients).await;
    });
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    let mut world = World::new();
    let server = async {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let mut served = 0;
        while served < 5 {
            select_biased! {
                () = sleep(Duration::from_micros(50)).fuse() => {}
                accepted = listener.accept().fuse() => {
                    accepted.unwrap().0.write_all(b"!").await.unwrap();
                    served += 1;
                }
            }
        }
    };
    world.run(server, async {
        for _ in 0..5 {
            let stream = TcpStream::connect(server_addr(80)).await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
        }
    });
}

#[test]
fn a_read_that_times_out_loses_no_data() {
    let mut world = World::new();
    let server = async {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        sleep(Duration::from_millis(50)).await;
        stream.write_all(b"late").await.unwrap();
    };
    world.run(server, async {
        let stream = TcpStream::connect(server_addr(80)).await.unwrap();
        let mut buffer = [0; 4];
        let early = timeout(Duration::from_millis(10), stream.read(&mut buffer)).await;
        assert_eq!(early.map_err(AxError::from), Err(AxError::TimedOut));
        let late = timeout(Duration::from_millis(100), stream.read_exact(&mut buffer)).await;
        assert_eq!((late, &buffer), (Ok(Ok(())), b"late"));
    });
}

#[test]
fn the_posix_socket_goes_through_its_states() {
    let mut world = World::new();
    let server = async {
        let mut socket = TcpSocket::new();
        assert_eq!(socket.listen(1).err(), Some(AxError::InvalidInput), "not bound");
        socket.bind(server_addr(80)).unwrap();
        assert_eq!(socket.accept().await.err(), Some(AxError::InvalidInput), "not listening");
        assert_eq!(socket.listen(0).err(), Some(AxError::InvalidInput), "no backlog");
        socket.listen(1).unwrap();
        assert_eq!(socket.bind(server_addr(81)).err(), Some(AxError::AlreadyConnected));
        let (stream, peer) = socket.accept().await.unwrap();
        assert_eq!((stream.peer_addr(), peer.port()), (peer, 4000));
        stream.write_all(b"ok").await.unwrap();
    };
    world.run(server, async {
        let mut socket = TcpSocket::new();
        assert_eq!(socket.stream().err(), Some(AxError::NotConnected));
        socket.bind((std::net::Ipv4Addr::UNSPECIFIED, 4000)).unwrap();
        socket.connect(server_addr(80)).await.unwrap();
        assert_eq!(socket.local_addr(), Ok(SocketAddr::from(([10, 0, 0, 2], 4000))));
        let again = socket.connect(server_addr(80)).await;
        assert_eq!(again, Err(AxError::AlreadyConnected));
        let mut answer = [0; 2];
        socket.stream().unwrap().read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ok");
    });
}

#[test]
fn datagrams_go_both_ways() {
    let mut world = World::new();
    let server = async {
        let socket = UdpSocket::bind(("0.0.0.0".parse::<std::net::Ipv4Addr>().unwrap(), 7)).await;
        let socket = socket.unwrap();
        let mut buffer = vec![0; 65_536];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            assert_eq!(socket.send_to(&buffer[..len], from).await, Ok(len));
        }
    };
    world.run(server, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        assert_ne!(socket.local_addr().port(), 0);
        for len in [0, 1, 1472, 1473, 10_000, 65_507] {
            let sent = pattern(len);
            socket.send_to(&sent, server_addr(7)).await.unwrap();
            let mut buffer = vec![0; 65_536];
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..len], from), (&sent[..], server_addr(7)));
        }
        let too_long = socket.send_to(&pattern(65_508), server_addr(7)).await;
        assert_eq!(too_long, Err(AxError::OutOfRange));
        let elsewhere = socket.send_to(b"x", "192.168.1.1:7").await;
        assert_eq!(elsewhere, Err(AxError::NotFound));
    });
}

#[test]
fn poll_traits_and_buffers_carry_the_same_bytes() {
    let mut world = World::new();
    world.run(echo_server(7), async {
        let mut stream = TcpStream::connect(server_addr(7)).await.unwrap();
        let written =
            std::future::poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"polled")).await;
        assert_eq!(written, Ok(6));
        std::future::poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await.unwrap();
        let mut buffer = [0; 6];
        let read =
            std::future::poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer)).await;
        assert_eq!((read, &buffer), (Ok(6), b"polled"));

        let mut stream = BufStream::new(stream);
        let sent = pattern(10_000);
        for chunk in sent.chunks(7) {
            stream.write_all(chunk).await.unwrap();
        }
        stream.write_all(&sent).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(b"goes with the next read").await.unwrap();
        for byte in &sent {
            let mut one = [0];
            stream.read_exact(&mut one).await.unwrap();
            assert_eq!(one[0], *byte);
        }
        let mut rest = vec![0; sent.len()];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest, sent);
        let mut last = [0; 23];
        stream.read_exact(&mut last).await.unwrap();
        assert_eq!((&last, stream.buffered()), (b"goes with the next read", 0));
        // Nothing is there, and no byte is asked for: that does not wait.
        assert_eq!(stream.get_ref().read(&mut []).await, Ok(0));
        assert_eq!(stream.get_ref().peer_addr(), server_addr(7));
    });
}

#[test]
fn a_buffer_shows_bytes_until_they_are_consumed() {
    let mut world = World::new();
    world.run(echo_server(7), async {
        let stream = TcpStream::connect(server_addr(7)).await.unwrap();
        let mut stream = BufStream::new(stream);
        // Nothing flushes: a read that has to wait sends first.
        stream.write_all(b"hello world").await.unwrap();
        assert_eq!(stream.fill_buf().await.unwrap(), b"hello world");
        stream.consume(6);
        // What is there needs no read, so that this waits.
        stream.write_all(b"again").await.unwrap();
        assert_eq!(stream.fill_buf().await.unwrap(), b"world");
        assert_eq!(stream.buffered(), 5);
        let mut word = [0; 3];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!((&word, stream.fill_buf().await.unwrap()), (b"wor", &b"ld"[..]));
        stream.consume(2);
        assert_eq!(stream.fill_buf().await.unwrap(), b"again");
        stream.consume(5);
        stream.get_ref().shutdown(Shutdown::Write);
        assert_eq!(stream.fill_buf().await.unwrap(), b"", "the end of the stream");
    });
}

#[test]
fn poll_close_ends_the_stream_behind_what_was_written() {
    let mut world = World::new();
    world.run(echo_server(7), async {
        let mut stream = TcpStream::connect(server_addr(7)).await.unwrap();
        stream.write_all(b"last words").await.unwrap();
        std::future::poll_fn(|cx| Pin::new(&mut stream).poll_close(cx)).await.unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!((&answer, TcpStream::read(&stream, &mut [0]).await), (b"last words", Ok(0)));
    });
}

#[test]
fn a_vanished_peer_is_noticed_by_keep_alive() {
    let mut world = World::new();
    let ended = Arc::new(Mutex::new(None));
    let slot = ended.clone();
    let server = async move {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_keep_alive(Some(Duration::from_secs(10)));
        stream.set_nodelay(true);
        let result = stream.read(&mut [0]).await;
        *slot.lock().unwrap() = Some(result);
    };
    world.run(server, async {
        let stream = TcpStream::connect(server_addr(80)).await.unwrap();
        sleep(Duration::from_secs(100)).await;
        // The client's machine is about to go without a word.
        std::mem::forget(stream);
    });
    assert_eq!(*ended.lock().unwrap(), None, "an answering peer is left alone");
    world.run_server_until(world.now() + Duration::from_secs(60));
    assert_eq!(*ended.lock().unwrap(), Some(Err(AxError::TimedOut)));
    assert_eq!(world.server.handle().stack().stats().tcp_timed_out, 1);
}
