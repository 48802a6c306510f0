//! Many tasks: on one socket, on a thousand connections, and in a server that is told to stop.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt, future::join_all, select_biased, stream::FuturesUnordered,
};
use netasync::{
    CancellationToken, JoinHandle, TcpListener, TcpStream, UdpSocket, sleep, spawn, timeout,
    yield_now,
};
use world::{World, server_addr};

mod world;

#[test]
fn all_tasks_that_wait_in_one_direction_of_a_socket_are_woken() {
    let server = async {
        let listener = TcpListener::bind(server_addr(7)).await.unwrap();
        let socket = UdpSocket::bind(server_addr(7)).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        sleep(Duration::from_millis(10)).await;
        // One segment: whoever is woken first must not leave the others asleep.
        stream.write_all(&[1; 8]).await.unwrap();
        for byte in 0..8 {
            socket.send_to(&[byte], (peer.ip(), 8)).await.unwrap();
        }
        // Nobody reads until every writer waits, and then all is read.
        sleep(Duration::from_millis(10)).await;
        while let Ok(1..) = stream.read(&mut [0; 1000]).await {}
    };
    World::new().run(server, async {
        let stream = Arc::new(TcpStream::connect(server_addr(7)).await.unwrap());
        let socket = Arc::new(UdpSocket::bind("10.0.0.2:8").await.unwrap());
        let readers = (0..8).map(|_| {
            let stream = stream.clone();
            spawn(async move { assert_eq!(stream.read(&mut [0]).await, Ok(1)) })
        });
        let receivers = (0..8).map(|_| {
            let socket = socket.clone();
            spawn(async move { assert_eq!(socket.recv(&mut [0; 4]).await, Ok(1)) })
        });
        let waiting: Vec<_> = readers.chain(receivers).collect();
        join_all(waiting).await.into_iter().for_each(Result::unwrap);

        stream.set_send_buffer_size(4096);
        let writers = (0..8).map(|_| {
            let stream = stream.clone();
            spawn(async move { stream.write_all(&[0; 300_000]).await.unwrap() })
        });
        join_all(writers.collect::<Vec<_>>()).await.into_iter().for_each(Result::unwrap);
    });
}

#[test]
fn all_tasks_that_wait_for_one_listener_are_woken() {
    let server = async {
        let listener = Arc::new(TcpListener::bind(server_addr(7)).await.unwrap());
        let acceptors = (0..8).map(|_| {
            let listener = listener.clone();
            spawn(async move { listener.accept().await.unwrap() })
        });
        join_all(acceptors.collect::<Vec<_>>())
            .await
            .into_iter()
            .for_each(|task| drop(task.unwrap()));
    };
    World::new().run_both(server, async {
        sleep(Duration::from_millis(1)).await;
        let clients = (0..8).map(|_| TcpStream::connect(server_addr(7)));
        join_all(clients).await.into_iter().for_each(|stream| drop(stream.unwrap()));
    });
}

/// Answers every four bytes with the same, until the stream ends. Counts the answers.
async fn serve(stream: TcpStream, answered: Arc<AtomicUsize>) {
    let mut request = [0; 4];
    while stream.read_exact(&mut request).await.is_ok() {
        yield_now().await;
        stream.write_all(&request).await.unwrap();
        answered.fetch_add(1, Relaxed);
    }
}

/// One request; whether it was answered.
async fn ask(stream: &TcpStream, number: u32) -> bool {
    let mut answer = [0; 4];
    if stream.write_all(&number.to_be_bytes()).await.is_err() {
        return false;
    }
    let is_answered = stream.read_exact(&mut answer).await.is_ok();
    assert!(!is_answered || u32::from_be_bytes(answer) == number);
    is_answered
}

#[test]
fn a_thousand_tasks_have_a_connection_each() {
    const COUNT: u32 = 1000;
    let mut world = World::new();
    let server = async {
        let listener = TcpListener::bind(server_addr(7)).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            spawn(serve(stream, Arc::default()));
        }
    };
    world.run(server, async {
        let clients = (0..COUNT).map(|number| {
            spawn(async move {
                let stream = TcpStream::connect(server_addr(7)).await.unwrap();
                // Until all are connected.
                sleep(Duration::from_secs(1)).await;
                for round in 0..3 {
                    assert!(ask(&stream, number + round).await);
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        sleep(Duration::from_millis(500)).await;
        assert_eq!(netasync::Handle::current().stack().stats().tcp_open, u64::from(COUNT));
        join_all(clients).await.into_iter().for_each(Result::unwrap);
    });
    assert_eq!(world.server.handle().stack().stats().tcp_accepted, u64::from(COUNT));
}

/// Serves until it is told to stop, and then until every connection has had its last answer.
async fn graceful_server(stop: CancellationToken, answered: Arc<AtomicUsize>) {
    let listener = TcpListener::bind(server_addr(80)).await.unwrap();
    let mut tasks: FuturesUnordered<JoinHandle<()>> = FuturesUnordered::new();
    loop {
        select_biased! {
            accepted = listener.accept().fuse() => {
                let (stream, _) = accepted.unwrap();
                tasks.push(spawn(serve_until(stream, stop.clone(), answered.clone())));
            }
            () = pin!(stop.cancelled().fuse()) => break,
            ended = tasks.select_next_some() => ended.unwrap(),
        }
    }
    // Nobody can connect any more; who has is served.
    drop(listener);
    while let Some(ended) = tasks.next().await {
        ended.unwrap();
    }
}

/// How long an idle connection is kept once the server is to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Answers requests of four bytes with the same and a byte that says whether it was the last, as
/// HTTP does by "Connection: close".
async fn serve_until(stream: TcpStream, stop: CancellationToken, answered: Arc<AtomicUsize>) {
    loop {
        let mut answer = [0; 5];
        if !read_until(&stream, &stop, &mut answer[..4]).await {
            return;
        }
        sleep(Duration::from_micros(100)).await;
        answer[4] = u8::from(stop.is_cancelled());
        stream.write_all(&answer).await.unwrap();
        answered.fetch_add(1, Relaxed);
        if answer[4] > 0 {
            return;
        }
    }
}

/// Reads a request, or none if the server stops and none comes.
async fn read_until(stream: &TcpStream, stop: &CancellationToken, request: &mut [u8]) -> bool {
    let mut read = pin!(stream.read_exact(request));
    match stop.run_until_cancelled(&mut read).await {
        Some(result) => result.is_ok(),
        None => matches!(timeout(GRACE, read).await, Ok(Ok(()))),
    }
}

/// Sends requests for as long as the server takes some; returns how many.
async fn load(number: u32) -> usize {
    let stream = TcpStream::connect(server_addr(80)).await.unwrap();
    let mut answer = [0; 5];
    for round in 0.. {
        let request = (number ^ round).to_be_bytes();
        stream.write_all(&request).await.unwrap();
        stream.read_exact(&mut answer).await.expect("every request is answered");
        assert_eq!(answer[..4], request);
        if answer[4] > 0 {
            return round as usize + 1;
        }
    }
    unreachable!("the rounds have no end")
}

#[test]
fn a_server_under_load_is_stopped_and_no_request_is_lost() {
    let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let server = graceful_server(stop.clone(), answered.clone());
    World::new().run_both(server, async move {
        let clients: Vec<_> = (0..50).map(|number| spawn(load(number))).collect();
        let idle = TcpStream::connect(server_addr(80)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        stop.cancel();
        let sent = join_all(clients).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(answered.load(Relaxed), sent);
        assert!(sent > 1000, "there was load: {sent}");
        assert_eq!(idle.read(&mut [0]).await, Ok(0), "who asks nothing is not waited for");
        assert!(TcpStream::connect(server_addr(80)).await.is_err(), "it listens no more");
    });
}

#[test]
fn a_select_over_accept_and_a_signal_takes_either() {
    let stop = CancellationToken::new();
    let signal = stop.clone();
    let server = async move {
        let listener = TcpListener::bind(server_addr(80)).await.unwrap();
        let mut accepted = 0;
        loop {
            select_biased! {
                stream = listener.accept().fuse() => {
                    stream.unwrap().0.write_all(b"!").await.unwrap();
                    accepted += 1;
                }
                () = pin!(stop.cancelled().fuse()) => break,
            }
        }
        assert_eq!(accepted, 3);
    };
    World::new().run_both(server, async move {
        for _ in 0..3 {
            let stream = TcpStream::connect(server_addr(80)).await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
        }
        signal.cancel();
    });
}
