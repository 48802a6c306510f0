//! Waits that are given up: they leave no waker behind, and take nobody else's.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use axerrno::AxError;
use edge_nal::Readable;
use futures_util::{
    FutureExt,
    future::{Either, join_all, select},
};
use netasync::{
    Handle, IoOperation, IoReactor, RawSocket, TcpListener, TcpStream, UdpSocket,
    io::{AsyncRead, AsyncWrite},
    sleep, spawn, timeout,
};
use world::{World, server_addr};

mod world;

const MOMENT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(1000);

/// Wakes a task, and counts how often.
struct Probe {
    task: Waker,
    wakes: AtomicUsize,
}

impl Probe {
    fn new(task: &Waker) -> (Arc<Probe>, Waker) {
        let probe = Arc::new(Probe { task: task.clone(), wakes: AtomicUsize::new(0) });
        (probe.clone(), probe.into())
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }
}

impl Wake for Probe {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// Runs a future to its end, with a waker of its own for each time that it is polled; at the end
/// nobody keeps any of them.
async fn leaving_nothing<F: Future>(future: F) -> F::Output {
    let mut probes = vec![];
    let mut future = Box::pin(future);
    let output = poll_fn(|cx| {
        let (probe, waker) = Probe::new(cx.waker());
        probes.push(probe);
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await;
    drop(future);
    assert!(probes.iter().all(|probe| Arc::strong_count(probe) == 1), "a waker is kept");
    output
}

/// Waits for what does not come.
async fn in_vain<F: Future>(future: F) {
    assert!(leaving_nothing(timeout(MOMENT, future)).await.is_err());
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// A name server that answers nobody.
async fn deaf() {
    let _socket = UdpSocket::bind(server_addr(53)).await.unwrap();
    sleep(LONG).await;
}

/// Accepts a connection and keeps it for long; then sends a byte, if that still makes sense.
async fn silent() {
    let listener = TcpListener::bind(server_addr(7)).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    sleep(LONG).await;
    let _ = stream.write(b"!").await;
    sleep(LONG).await;
}

async fn connected() -> TcpStream {
    TcpStream::connect(server_addr(7)).await.unwrap()
}

#[test]
fn ten_thousand_tasks_that_give_up_on_an_idle_connection() {
    World::new().run(silent(), async {
        let stream = Arc::new(connected().await);
        let tasks: Vec<_> = (0..10_000)
            .map(|_| {
                let stream = stream.clone();
                spawn(async move { in_vain(stream.read(&mut [0; 8])).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
    });
}

#[test]
fn every_wait_on_a_connection_leaves_nothing() {
    let mut world = World::new();
    world.server.handle().spawn(deaf());
    world.run(silent(), async {
        let mut stream = connected().await;
        in_vain(stream.read(&mut [0; 8])).await;
        in_vain(stream.read_exact(&mut [0; 8])).await;
        in_vain(stream.peek(&mut [0; 8])).await;
        in_vain(Readable::readable(&mut stream)).await;
        in_vain(embedded_io_async::Read::read(&mut stream, &mut [0; 8])).await;
        in_vain(stream.write_all(&[0; 4 << 20])).await;
        in_vain(stream.write(b"no room")).await;
        in_vain(TcpStream::connect("10.0.0.77:80")).await;
        in_vain(TcpStream::connect("server.example:80")).await;
        let listener = TcpListener::bind("10.0.0.2:80").await.unwrap();
        in_vain(listener.accept()).await;
        in_vain(futures_util::StreamExt::into_future(listener.incoming())).await;
    });
}

#[test]
fn every_other_wait_leaves_nothing() {
    World::new().run(deaf(), async {
        let socket = UdpSocket::bind("10.0.0.2:9").await.unwrap();
        in_vain(socket.recv_from(&mut [0; 8])).await;
        in_vain(socket.recv(&mut [0; 8])).await;
        in_vain(socket.recv_msg(&mut [0; 8])).await;
        in_vain(socket.peek_from(&mut [0; 8])).await;
        in_vain(Readable::readable(&mut &socket)).await;
        while socket.send_to(&[0; 60_000], "10.0.0.77:7").now_or_never().is_some() {}
        in_vain(socket.send_to(b"no room", "10.0.0.77:7")).await;
        socket.connect("10.0.0.77:7").await.unwrap();
        in_vain(socket.send(b"no room")).await;
        let echoes = netasync::IcmpSocket::towards([10, 0, 0, 1].into()).unwrap();
        in_vain(echoes.recv(&mut [])).await;
        let packets = RawSocket::towards([10, 0, 0, 1].into(), 253).unwrap();
        in_vain(packets.recv(&mut [])).await;
        in_vain(netasync::lookup_host("server.example:80")).await;
        in_vain(sleep(LONG)).await;
        in_vain(spawn(std::future::pending::<()>())).await;
        in_vain(netasync::CancellationToken::new().cancelled()).await;
        let mut interval = netasync::interval(LONG);
        interval.tick().await;
        in_vain(interval.tick()).await;
        let mut reactor = IoReactor::new(1);
        let socket = Arc::new(UdpSocket::bind("10.0.0.2:10").await.unwrap());
        reactor.submit(IoOperation::Recv { socket, buffer: vec![0; 8] }).unwrap();
        in_vain(reactor.ready()).await;
    });
}

#[test]
fn who_waits_for_an_address_waits_for_a_change() {
    let mut world = World::new();
    let (address, first) = ([10, 0, 0, 2].into(), netstack::InterfaceId::FIRST);
    world.run_client(async move {
        leaving_nothing(netasync::has_address()).await;
        let stack = Handle::current().stack().clone();
        stack.remove_address(first, address).unwrap();
        in_vain(netasync::has_address()).await;
        let waiter = spawn(leaving_nothing(netasync::has_address()));
        sleep(MOMENT).await;
        stack.add_address(first, address, 24).unwrap();
        assert_eq!(waiter.await, Ok(()));
    });
}

/// A task that waits twice for the same, and gives one wait up.
#[test]
fn a_wait_that_is_dropped_takes_no_wakeup_from_another_of_its_task() {
    for keeps_first in [true, false] {
        World::new().run(silent(), async move {
            let stream = connected().await;
            let [mut first, mut second] = [[0; 8]; 2];
            let mut waits =
                vec![Box::pin(stream.read(&mut first)), Box::pin(stream.read(&mut second))];
            poll_fn(|cx| {
                // Both are polled once; from then on one only, and only when the task is woken.
                for wait in &mut waits {
                    if let Poll::Ready(read) = wait.as_mut().poll(cx) {
                        return Poll::Ready(read);
                    }
                }
                if waits.len() == 2 {
                    drop(waits.remove(usize::from(keeps_first)));
                }
                Poll::Pending
            })
            .await
            .unwrap();
        });
    }
}

/// The same, after both were woken and one has asked again.
#[test]
fn a_wait_that_was_woken_and_not_polled_takes_nothing_when_it_is_dropped() {
    let server = async {
        let socket = UdpSocket::bind(server_addr(7)).await.unwrap();
        let (_, client) = socket.recv_from(&mut [0; 8]).await.unwrap();
        for _ in 0..2 {
            sleep(MOMENT).await;
            socket.send_to(b"!", client).await.unwrap();
        }
    };
    World::new().run(server, async {
        let socket = UdpSocket::bind("10.0.0.2:9").await.unwrap();
        socket.send_to(b"?", server_addr(7)).await.unwrap();
        let (probe, waker) = Probe::new(Waker::noop());
        let mut buffers = [[0; 8]; 3];
        let [mut stale, mut served, mut last] =
            buffers.each_mut().map(|buffer| Box::pin(socket.recv(buffer)));
        assert!(poll(stale.as_mut(), &waker).is_pending());
        assert!(poll(served.as_mut(), &waker).is_pending());
        while probe.wakes() < 2 {
            sleep(MOMENT / 4).await;
        }
        assert_eq!(poll(served.as_mut(), &waker), Poll::Ready(Ok(1)));
        assert!(poll(last.as_mut(), &waker).is_pending());
        drop(stale);
        while probe.wakes() < 3 {
            sleep(MOMENT / 4).await;
        }
        assert_eq!(poll(last.as_mut(), &waker), Poll::Ready(Ok(1)));
    });
}

/// By the I/O traits, which have no future that could be dropped.
#[test]
fn of_those_who_poll_a_few_wakers_are_kept_and_nobody_is_forgotten() {
    /// So many tasks have a place.
    const PLACES: usize = 8;
    World::new().run(silent(), async {
        let stream = connected().await;
        let probes: Vec<_> = (0..PLACES + 2).map(|_| Probe::new(Waker::noop())).collect();
        let read = |waker: &Waker| {
            let mut cx = Context::from_waker(waker);
            Pin::new(&mut &stream).poll_read(&mut cx, &mut [0; 8])
        };
        for (_, waker) in &probes {
            assert!(read(waker).is_pending() && read(waker).is_pending());
        }
        let (early, late) = probes.split_at(2);
        let is_kept = |(probe, _): &(Arc<Probe>, Waker)| Arc::strong_count(probe) > 2;
        assert!(early.iter().all(|(probe, _)| probe.wakes() == 1), "they are to poll again");
        assert!(!early.iter().any(is_kept) && late.iter().all(is_kept));
        assert!(late.iter().all(|(probe, _)| probe.wakes() == 0));
        sleep(2 * LONG).await;
        assert!(late.iter().all(|(probe, _)| probe.wakes() == 1));
        assert!(read(&late[0].1).is_ready());
        assert!(!is_kept(&late[0]), "it has what it has waited for");
        drop(stream);
        assert!(!probes.iter().any(is_kept));
    });
}

#[test]
fn a_half_that_is_dropped_leaves_nothing_to_the_other() {
    World::new().run(silent(), async {
        let (mut reader, mut writer) = connected().await.into_split();
        let [(reads, read_waker), (writes, write_waker)] =
            [(); 2].map(|()| Probe::new(Waker::noop()));
        let mut cx = Context::from_waker(&read_waker);
        assert!(Pin::new(&mut reader).poll_read(&mut cx, &mut [0; 8]).is_pending());
        drop((reader, read_waker));
        assert_eq!(Arc::strong_count(&reads), 1);
        let mut cx = Context::from_waker(&write_waker);
        while Pin::new(&mut writer).poll_write(&mut cx, &[0; 65_536]).is_ready() {}
        drop((writer, write_waker));
        assert_eq!(Arc::strong_count(&writes), 1);
    });
}

#[test]
fn a_task_that_nobody_can_wake_goes_with_all_it_has() {
    World::new().run_client(async {
        let owned = Arc::new(());
        let kept = owned.clone();
        let task = spawn(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        sleep(MOMENT).await;
        assert_eq!(Arc::strong_count(&owned), 2);
        let handle = task.abort_handle();
        drop(task);
        sleep(MOMENT).await;
        assert_eq!(Arc::strong_count(&owned), 2, "the handle may still stop it");
        drop(handle);
        sleep(MOMENT).await;
        assert_eq!(Arc::strong_count(&owned), 1);
    });
}

#[test]
fn a_task_that_is_stopped_ends_though_its_handle_goes_at_once() {
    World::new().run_client(async {
        let owned = Arc::new(());
        let kept = owned.clone();
        let task = spawn(async move {
            sleep(LONG).await;
            drop(kept);
        });
        sleep(MOMENT).await;
        task.abort();
        drop(task);
        sleep(MOMENT).await;
        assert_eq!(Arc::strong_count(&owned), 1);
    });
}

#[test]
fn asking_whether_there_is_something_to_read_takes_no_error() {
    World::new().run_client(async {
        let mut socket = UdpSocket::bind("10.0.0.2:9").await.unwrap();
        socket.connect(server_addr(9)).await.unwrap();
        socket.send(b"is anybody there?").await.unwrap();
        for _ in 0..2 {
            Readable::readable(&mut socket).await.unwrap();
        }
        assert_eq!(socket.recv(&mut [0; 8]).await, Err(AxError::ConnectionRefused));
        in_vain(Readable::readable(&mut socket)).await;
    });
}

/// As a server does that has a task for each request and one signal to stop.
#[test]
fn many_waits_beside_one_that_goes_on() {
    const SERVER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 7);
    World::new().run(silent(), async {
        let stream = TcpStream::connect(SERVER).await.unwrap();
        let mut buffer = [0; 8];
        let mut goes_on = pin!(stream.peek(&mut buffer));
        let waker = Waker::noop();
        assert!(poll(goes_on.as_mut(), waker).is_pending());
        let given_up = (0..1000).map(|_| async {
            let mut buffer = [0; 8];
            match select(pin!(stream.peek(&mut buffer)), pin!(sleep(MOMENT))).await {
                Either::Left(_) => panic!("there is nothing to read"),
                Either::Right(_) => {}
            }
        });
        join_all(given_up).await;
        assert_eq!(goes_on.await, Ok(1));
    });
}
