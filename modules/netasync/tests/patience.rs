//! Every operation can be given up, by a timeout or by a signal, and goes on as if nothing had
//! been.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axerrno::AxError;
use futures_util::future::join_all;
use netasync::{
    CancellationToken, Handle, IcmpSocket, IoOperation, IoReactor, Pool, RawSocket, TcpListener,
    TcpSocket, TcpStream, UdpSocket, interval,
    io::{BufReadExt, BufReader, copy},
    lookup_host, sleep, spawn, timeout, yield_now,
};
use world::{World, server_addr};

mod world;

const ABSENT: &str = "10.0.0.77:80";

/// Checks that an operation, made anew each time, waits until it is told not to.
macro_rules! gives_up {
    ($($operation:expr,)*) => {$(
        let text = stringify!($operation);
        let begun = Handle::current().now();
        let late = timeout(Duration::from_millis(20), $operation).await;
        assert!(late.is_err_and(|late| AxError::from(late) == AxError::TimedOut), "{text}");
        assert_eq!(Handle::current().now() - begun, Duration::from_millis(20), "{text}");

        let token = CancellationToken::new();
        let signal = token.clone();
        let canceller = spawn(async move {
            sleep(Duration::from_millis(20)).await;
            signal.cancel();
        });
        assert!(token.run_until_cancelled($operation).await.is_none(), "{text}");
        assert_eq!(Handle::current().now() - begun, Duration::from_millis(40), "{text}");
        canceller.await.unwrap();
    )*};
}

/// Accepts connections and keeps them, and is asked for names, without a word.
async fn mute_server() {
    let _names = UdpSocket::bind(server_addr(53)).await.unwrap();
    let listener = TcpListener::bind(server_addr(80)).await.unwrap();
    let mut streams = vec![];
    loop {
        streams.push(listener.accept().await.unwrap());
    }
}

#[test]
fn what_a_stream_does_can_be_given_up() {
    World::new().run(mute_server(), async {
        let stream = TcpStream::connect(server_addr(80)).await.unwrap();
        stream.set_send_buffer_size(512);
        while timeout(Duration::from_millis(20), stream.write(&[0; 10_000])).await.is_ok() {}
        let (mut buffer, mut buffer_2) = ([0; 8], [0; 8]);
        let mut reader = BufReader::new(&stream);
        let (mut from, mut to) = (&stream, &stream);
        gives_up! {
            stream.read(&mut buffer),
            stream.peek(&mut buffer),
            stream.read_exact(&mut buffer),
            stream.write(b"x"),
            stream.write_all(b"x"),
            copy(&mut from, &mut to),
            embedded_io_async::Read::read(&mut from, &mut buffer),
            embedded_io_async::BufRead::fill_buf(&mut reader),
            BufReader::new(&stream).lines().next_line(),
        }
        let (reading, writing) = stream.into_split();
        gives_up! {
            reading.read(&mut buffer_2),
            writing.write(b"x"),
        }
    });
}

#[test]
fn what_makes_a_stream_can_be_given_up() {
    World::new().run(mute_server(), async {
        let listener = TcpListener::bind("10.0.0.2:80").await.unwrap();
        let mut socket = TcpSocket::new();
        let mut listening = TcpSocket::new();
        listening.bind("10.0.0.2:81").unwrap();
        listening.listen(1).unwrap();
        let pool = Pool::new(server_addr(80), 1);
        let _in_use = pool.get().await.unwrap();
        gives_up! {
            listener.accept(),
            listening.accept(),
            TcpStream::connect(ABSENT),
            TcpStream::connect("name.test:80"),
            socket.connect(ABSENT),
            lookup_host("name.test:80"),
            pool.get(),
            Pool::new(ABSENT, 1).get(),
        }
        socket.connect(server_addr(80)).await.unwrap();
        let stats = Handle::current().stack().stats();
        assert_eq!((stats.tcp_open, stats.tcp_orphans), (2, 0), "nothing was left behind");
    });
}

#[test]
fn what_datagrams_do_can_be_given_up() {
    World::new().run_client(async {
        let socket = UdpSocket::bind("10.0.0.2:7").await.unwrap();
        let lonely = UdpSocket::bind("10.0.0.2:8").await.unwrap();
        lonely.set_send_buffer_size(2048).unwrap();
        lonely.connect(ABSENT).await.unwrap();
        let _full =
            timeout(Duration::ZERO, async { while lonely.send(&[0; 1000]).await.is_ok() {} });
        assert!(_full.await.is_err());
        let address = server_addr(0).ip();
        let (icmp, raw) = (IcmpSocket::towards(address), RawSocket::towards(address, 200));
        let (icmp, raw) = (icmp.unwrap(), raw.unwrap());
        let mut buffer = [0; 8];
        gives_up! {
            socket.recv(&mut buffer),
            socket.recv_from(&mut buffer),
            socket.recv_msg(&mut buffer),
            socket.peek_from(&mut buffer),
            lonely.send(&[0; 1000]),
            lonely.send_to(&[0; 1000], ABSENT),
            icmp.recv(&mut buffer),
            raw.recv(&mut buffer),
        }
    });
}

#[test]
fn tasks_timers_and_requests_can_be_given_up() {
    World::new().run_client(async {
        let mut forever = spawn(std::future::pending::<()>());
        let mut ticks = interval(Duration::from_secs(1));
        ticks.tick().await;
        let socket = Arc::new(UdpSocket::bind("10.0.0.2:7").await.unwrap());
        let mut reactor = IoReactor::new(1);
        reactor.submit(IoOperation::Recv { socket, buffer: vec![0; 8] }).unwrap();
        gives_up! {
            &mut forever,
            sleep(Duration::from_secs(1)),
            ticks.tick(),
            reactor.ready(),
            CancellationToken::new().cancelled(),
        }
        // Time went on meanwhile; the tick is on time.
        let due = ticks.tick().await;
        assert_eq!(due, Handle::current().now());
    });
}

#[test]
fn a_signal_wakes_all_that_wait_and_those_that_come_later() {
    World::new().run_client(async {
        let token = CancellationToken::new();
        let stopped = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let (token, stopped) = (token.clone(), stopped.clone());
                spawn(async move {
                    token.cancelled().await;
                    stopped.fetch_add(1, Relaxed);
                })
            })
            .collect();
        let given_up = timeout(Duration::from_millis(1), token.cancelled()).await;
        assert!(given_up.is_err() && !token.is_cancelled());
        assert_eq!(format!("{token:?}"), "CancellationToken { is_cancelled: false }");
        token.cancel();
        join_all(waiters).await;
        token.cancelled().await;
        assert_eq!((stopped.load(Relaxed), token.is_cancelled()), (10, true));
        assert_eq!(token.run_until_cancelled(async { 1 }).await, Some(1), "what is there counts");
        assert_eq!(token.run_until_cancelled(yield_now()).await, None);
    });
}
