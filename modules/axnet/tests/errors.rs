//! Every error of the blocking sockets, and that the asynchronous ones have the same.

mod world;

use std::{
    future::{Future, poll_fn},
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netstack::Addressing;

use world::{PeerTcpSocket, PeerUdpSocket, Plan, TcpSocket, UdpSocket, World, here, there};

/// Nobody has a route to it.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80);

fn connected_to(port: u16) -> AxResult<TcpSocket> {
    let socket = TcpSocket::new();
    socket.connect(there(port))?;
    Ok(socket)
}

/// What both APIs say to a connection that is attempted.
fn both_connect(world: &World, remote: SocketAddr) -> [Option<AxError>; 2] {
    let blocking = TcpSocket::new().connect(remote).err();
    let asynchronous = async move { netasync::TcpStream::connect(remote).await.err() };
    [blocking, world.run_async(asynchronous)]
}

fn peer_listener(world: &World, port: u16) -> netstack::TcpListener {
    netstack::TcpListener::bind(&world.peer_stack(), there(port), 4096).unwrap()
}

fn accept(world: &World, listener: &netstack::TcpListener) -> netstack::TcpStream {
    world.until(|| listener.is_ready());
    listener.try_accept().unwrap()
}

#[test]
fn refused() {
    World::run(Plan::default(), |world| {
        let refused = Some(AxError::ConnectionRefused);
        assert_eq!(both_connect(world, there(9)), [refused; 2]);
        // The socket is as new.
        let _listener = peer_listener(world, 80);
        let socket = TcpSocket::new();
        assert_eq!(socket.connect(there(9)).err(), refused);
        assert_eq!(socket.connect(there(80)), Ok(()));
    });
}

#[test]
fn refused_datagrams() {
    World::run(Plan::default(), |world| {
        let socket = UdpSocket::new();
        socket.connect(there(9)).unwrap();
        socket.send(b"?").unwrap();
        assert_eq!(socket.recv(&mut [0; 8]), Err(AxError::ConnectionRefused));
        socket.send(b"?").unwrap();
        world.until(|| socket.poll().unwrap().readable);
        assert!(socket.poll().unwrap().readable, "what `poll` has found is not lost");
        assert_eq!(socket.recv(&mut [0; 8]), Err(AxError::ConnectionRefused));
        let asynchronous = world.run_async(async {
            let socket = netasync::UdpSocket::bind(here(0)).await?;
            socket.connect(there(9)).await?;
            socket.send(b"?").await?;
            socket.recv(&mut [0; 8]).await
        });
        assert_eq!(asynchronous, Err(AxError::ConnectionRefused));
    });
}

#[test]
fn reset_in_mid_read() {
    World::run(Plan::default(), |world| {
        let listener = peer_listener(world, 80);
        let socket = Arc::new(connected_to(80).unwrap());
        let reader = socket.clone();
        let read = world.spawn(move || reader.recv(&mut [0; 8]));
        world.until_parked(1);
        accept(world, &listener).abort();
        assert_eq!(read.join().unwrap(), Err(AxError::ConnectionReset));
        assert_eq!(socket.send(b"more"), Err(AxError::ConnectionReset));
        assert!(socket.poll().unwrap().readable);

        let (tell, told) = mpsc::channel();
        let of_peer = world.clone();
        let peer = world.spawn(move || {
            let stream = accept(&of_peer, &listener);
            told.recv().expect("somebody reads");
            stream.abort();
        });
        let asynchronous = world.run_async(async move {
            let stream = netasync::TcpStream::connect(there(80)).await?;
            let mut buffer = [0; 8];
            let mut read = pin!(stream.read(&mut buffer));
            let read = poll_fn(|cx| {
                let polled = read.as_mut().poll(cx);
                // It waits. Nobody may listen any more when it is polled again.
                let _ = tell.send(());
                polled
            })
            .await;
            assert_eq!(stream.write(b"more").await, Err(AxError::ConnectionReset));
            read
        });
        assert_eq!(asynchronous, Err(AxError::ConnectionReset));
        peer.join().unwrap();
    });
}

#[test]
fn timed_out() {
    World::run(Plan { speed: 200, ..Plan::default() }, |world| {
        let listener = peer_listener(world, 80);
        let socket = connected_to(80).unwrap();
        let _stream = accept(world, &listener);
        world.paused.store(true, Ordering::Relaxed);
        assert_eq!(both_connect(world, there(81)), [Some(AxError::TimedOut); 2]);
        socket.send(b"into the void").unwrap();
        assert_eq!(socket.recv(&mut [0; 8]), Err(AxError::TimedOut));
        assert_eq!(socket.send(b"more"), Err(AxError::TimedOut));
    });
}

#[test]
fn timeouts_of_the_sockets_own() {
    World::run(Plan::default(), |world| {
        // Long enough to connect; what is waited for does not come at all.
        let moment = Duration::from_millis(30);
        let short = Some(moment);
        let listener = peer_listener(world, 80);
        let socket = connected_to(80).unwrap();
        socket.set_read_timeout(short).unwrap();
        socket.set_write_timeout(short).unwrap();
        assert_eq!((socket.read_timeout(), socket.write_timeout()), (short, short));
        assert_eq!(socket.recv(&mut [0; 8]), Err(AxError::TimedOut));
        while socket.send(&[0; 8192]).is_ok() {}
        assert_eq!(socket.send(&[0; 8]), Err(AxError::TimedOut));
        assert_eq!(socket.set_read_timeout(Some(Duration::ZERO)), Err(AxError::InvalidInput));
        drop(listener);

        let listener = TcpSocket::new();
        listener.listen().unwrap();
        listener.set_read_timeout(short).unwrap();
        assert_eq!(listener.accept().err(), Some(AxError::TimedOut));

        let datagrams = UdpSocket::new();
        datagrams.bind(here(0)).unwrap();
        datagrams.set_read_timeout(short).unwrap();
        assert_eq!(datagrams.recv_from(&mut [0; 8]), Err(AxError::TimedOut));

        world.paused.store(true, Ordering::Relaxed);
        let client = TcpSocket::new();
        client.set_write_timeout(short).unwrap();
        assert_eq!(client.connect(there(80)), Err(AxError::TimedOut));
        let asynchronous = world.run_async(async move {
            let connect = netasync::TcpStream::connect(there(80));
            Ok(netasync::timeout(moment, connect).await?)
        });
        let asynchronous: AxResult<AxResult<_>> = asynchronous;
        assert_eq!(asynchronous.err(), Some(AxError::TimedOut));
    });
}

/// A call that times out is forgotten, however often that happens on an idle socket.
#[test]
fn calls_that_time_out_leave_nothing() {
    World::run(Plan::default(), |world| {
        let listener = peer_listener(world, 80);
        let stream = connected_to(80).unwrap();
        let _peer = accept(world, &listener);
        let acceptor = TcpSocket::new();
        acceptor.listen().unwrap();
        let datagrams = UdpSocket::new();
        datagrams.bind(here(0)).unwrap();
        let instant = Some(Duration::from_micros(1));
        for socket in [&stream, &acceptor] {
            socket.set_read_timeout(instant).unwrap();
        }
        datagrams.set_read_timeout(instant).unwrap();
        for _ in 0..10_000 {
            assert_eq!(stream.recv(&mut [0; 8]), Err(AxError::TimedOut));
            assert_eq!(acceptor.accept().err(), Some(AxError::TimedOut));
            assert_eq!(datagrams.recv_from(&mut [0; 8]), Err(AxError::TimedOut));
        }
        assert_eq!(world.threads.wakers(), 0);
    });
}

#[test]
fn unreachable() {
    World::run(Plan::default(), |world| {
        assert_eq!(both_connect(world, NOWHERE), [Some(AxError::NotFound); 2]);
        let socket = UdpSocket::new();
        socket.bind(here(0)).unwrap();
        assert_eq!(socket.send_to(b"?", NOWHERE), Err(AxError::NotFound));
        assert_eq!(socket.connect(NOWHERE), Err(AxError::NotFound));
        let asynchronous = world.run_async(async {
            let socket = netasync::UdpSocket::bind(here(0)).await?;
            socket.send_to(b"?", NOWHERE).await
        });
        assert_eq!(asynchronous, Err(AxError::NotFound));
        let nobody = SocketAddr::new([10, 0, 0, 0].into(), 0);
        assert_eq!(both_connect(world, nobody), [Some(AxError::InvalidInput); 2]);
    });
}

#[test]
fn address_in_use_and_not_ours() {
    World::run(Plan::default(), |world| {
        let bound = |address| {
            let socket = TcpSocket::new();
            socket.bind(address).unwrap();
            socket
        };
        let first = bound(here(80));
        assert_eq!(first.listen(), Ok(()));
        assert_eq!(first.listen(), Ok(()), "again is nothing");
        assert_eq!(bound(here(80)).listen(), Err(AxError::AddrInUse));
        assert_eq!(bound(there(80)).listen(), Err(AxError::BadAddress));
        let listen = |address| async move { netasync::TcpListener::bind(address).await.err() };
        assert_eq!(world.run_async(listen(here(80))), Some(AxError::AddrInUse));
        assert_eq!(world.run_async(listen(there(80))), Some(AxError::BadAddress));

        let (socket, other) = (UdpSocket::new(), UdpSocket::new());
        socket.bind(here(53)).unwrap();
        assert_eq!(other.bind(here(53)), Err(AxError::AddrInUse));
        assert_eq!(other.bind(there(53)), Err(AxError::BadAddress));
        let bind = |address| async move { netasync::UdpSocket::bind(address).await.err() };
        assert_eq!(world.run_async(bind(here(53))), Some(AxError::AddrInUse));
        assert_eq!(world.run_async(bind(there(53))), Some(AxError::BadAddress));
        assert_eq!(socket.bind(here(54)), Err(AxError::InvalidInput), "bound already");
        assert_eq!(first.bind(here(81)), Err(AxError::InvalidInput), "bound already");
    });
}

#[test]
fn not_bound_not_listening_not_connected() {
    World::run(Plan::default(), |world| {
        let no = AxError::NotConnected;
        let socket = TcpSocket::new();
        assert_eq!(socket.recv(&mut [0; 8]), Err(no));
        assert_eq!(socket.send(b"!"), Err(no));
        assert_eq!((socket.local_addr(), socket.peer_addr()), (Err(no), Err(no)));
        assert_eq!((socket.nodelay(), socket.set_nodelay(true)), (Err(no), Err(no)));
        assert_eq!((socket.recv_capacity(), socket.send_capacity()), (Err(no), Err(no)));
        assert_eq!(socket.accept().err(), Some(AxError::InvalidInput));
        assert_eq!(socket.shutdown(), Ok(()));
        let accept = async { netasync::TcpSocket::new().accept().await.err() };
        assert_eq!(world.run_async(accept), Some(AxError::InvalidInput));

        let socket = UdpSocket::new();
        assert_eq!(socket.recv_from(&mut [0; 8]), Err(no));
        assert_eq!(socket.send_to(b"!", there(9)), Err(no));
        assert_eq!((socket.local_addr(), socket.peer_addr()), (Err(no), Err(no)));
        assert!(!socket.poll().unwrap().writable);
        socket.bind(here(53)).unwrap();
        assert_eq!((socket.recv(&mut [0; 8]), socket.send(b"!")), (Err(no), Err(no)));
        assert_eq!(socket.send_to(b"!", there(0)), Err(AxError::InvalidInput));
        assert_eq!(socket.send_to(&[0; 65_508], there(9)), Err(AxError::OutOfRange));
        let asynchronous = world.run_async(async {
            let socket = netasync::UdpSocket::bind(here(0)).await?;
            assert_eq!(socket.send_to(&[0; 65_508], there(9)).await, Err(AxError::OutOfRange));
            assert_eq!(socket.peer_addr(), Err(AxError::NotConnected));
            socket.send(b"!").await
        });
        assert_eq!(asynchronous, Err(no));
    });
}

#[test]
fn already_connected() {
    World::run(Plan::default(), |world| {
        let _listener = peer_listener(world, 80);
        let already = Err(AxError::AlreadyConnected);
        let socket = connected_to(80).unwrap();
        assert_eq!((socket.connect(there(80)), socket.listen()), (already, already));
        let listener = TcpSocket::new();
        listener.listen().unwrap();
        assert_eq!(listener.connect(there(80)), already);
        let asynchronous = world.run_async(async {
            let mut socket = netasync::TcpSocket::new();
            socket.connect(there(80)).await?;
            socket.connect(there(80)).await
        });
        assert_eq!(asynchronous, already);

        world.paused.store(true, Ordering::Relaxed);
        let socket = TcpSocket::new();
        socket.set_nonblocking(true);
        assert_eq!(socket.connect(there(80)), Err(AxError::WouldBlock));
        assert_eq!(socket.connect(there(80)), Err(AxError::InProgress));
        assert_eq!(socket.recv(&mut [0; 8]), Err(AxError::WouldBlock));
        assert_eq!(socket.send(b"!"), Err(AxError::WouldBlock));
    });
}

#[test]
fn closed_while_waiting() {
    World::run(Plan::default(), |world| {
        let _listener = peer_listener(world, 80);
        let close = |result: thread::JoinHandle<_>, close: &dyn Fn()| -> Option<AxError> {
            world.until_parked(1);
            close();
            result.join().unwrap()
        };

        let socket = Arc::new(connected_to(80).unwrap());
        let waiting = socket.clone();
        let read = world.spawn(move || waiting.recv(&mut [0; 8]).err());
        assert_eq!(close(read, &|| socket.shutdown().unwrap()), Some(AxError::NotConnected));

        let socket = Arc::new(connected_to(80).unwrap());
        let waiting = socket.clone();
        let write = world.spawn(move || {
            loop {
                if let Err(error) = waiting.send(&[0; 8192]) {
                    return Some(error);
                }
            }
        });
        assert_eq!(close(write, &|| socket.shutdown().unwrap()), Some(AxError::NotConnected));

        let listener = Arc::new(TcpSocket::new());
        listener.listen().unwrap();
        let waiting = listener.clone();
        let accept = world.spawn(move || waiting.accept().err());
        assert_eq!(close(accept, &|| listener.shutdown().unwrap()), Some(AxError::InvalidInput));

        let socket = Arc::new(UdpSocket::new());
        socket.bind(here(0)).unwrap();
        let waiting = socket.clone();
        let receive = world.spawn(move || waiting.recv_from(&mut [0; 8]).err());
        assert_eq!(close(receive, &|| socket.shutdown().unwrap()), Some(AxError::NotConnected));

        world.paused.store(true, Ordering::Relaxed);
        let socket = Arc::new(TcpSocket::new());
        let waiting = socket.clone();
        let connect = world.spawn(move || waiting.connect(there(80)).err());
        assert_eq!(close(connect, &|| socket.shutdown().unwrap()), Some(AxError::NotConnected));
    });
}

#[test]
fn too_many_sockets_and_out_of_memory() {
    World::run(Plan { memory_limit: 1 << 20, ..Plan::default() }, |world| {
        let listener = peer_listener(world, 80);
        let mut sockets = vec![];
        let error = loop {
            match connected_to(80) {
                Ok(socket) => sockets.push(socket),
                Err(error) => break error,
            }
            assert!(sockets.len() < 10_000, "no end of memory");
        };
        assert_eq!(error, AxError::NoMemory);
        assert_eq!(both_connect(world, there(80)), [Some(AxError::NoMemory); 2]);
        let mut datagrams = vec![];
        let bind = || {
            let socket = UdpSocket::new();
            socket.bind(here(0)).map(|()| socket)
        };
        let error = loop {
            match bind() {
                Ok(socket) => datagrams.push(socket),
                Err(error) => break error,
            }
        };
        assert_eq!(error, AxError::NoMemory);
        let asynchronous = async { netasync::UdpSocket::bind(here(0)).await.err() };
        assert_eq!(world.run_async(asynchronous), Some(AxError::NoMemory));
        // What is given back can be had again.
        drop((sockets, datagrams, listener));
        let _listener = peer_listener(world, 80);
        world.until(|| connected_to(80).is_ok());
    });
}

#[test]
fn names_without_a_server() {
    let addressing = |last| match world::fixed(last) {
        Addressing::Static(config) => {
            Addressing::Static(netstack::Ipv4Config { dns: vec![], ..config })
        }
        other => other,
    };
    World::run(Plan { addressing, ..Plan::default() }, |world| {
        let query = axnet::blocking::dns_query::<world::Here>("server.test");
        assert_eq!(query, Err(AxError::Unsupported));
        let look_up = async { netasync::lookup_host("server.test:80").await.err() };
        assert_eq!(world.run_async(look_up), Some(AxError::Unsupported));
    });
}

#[test]
fn a_silent_name_server() {
    World::run(Plan { speed: 20, ..Plan::default() }, |world| {
        let _deaf = {
            let socket = PeerUdpSocket::new();
            socket.bind(there(53)).unwrap();
            socket
        };
        let query = axnet::blocking::dns_query::<world::Here>("server.test");
        assert_eq!(query, Err(AxError::TimedOut));
        let look_up = async { netasync::lookup_host("server.test:80").await.err() };
        assert_eq!(world.run_async(look_up), Some(AxError::TimedOut));
    });
}

#[test]
fn a_machine_without_a_network_card() {
    // No world.
    let none = AxError::NoSuchDevice;
    assert_eq!(TcpSocket::new().connect(there(80)), Err(none));
    assert_eq!(TcpSocket::new().listen(), Err(none));
    assert_eq!(PeerTcpSocket::new().bind(there(80)), Ok(()));
    assert_eq!(UdpSocket::new().bind(here(53)), Err(none));
    assert_eq!(axnet::blocking::dns_query::<world::Here>("server.test"), Err(none));
}
