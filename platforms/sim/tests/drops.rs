//! Every future of a scenario is dropped at every await point, one per run; whatever was dropped,
//! the scenario comes to its end with every byte right, and nothing is left.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use axerrno::{AxError, AxResult};
use futures_util::future::join;
use netasync::{
    CancellationToken, IoOperation, IoReactor, Outcome as Done, Pool, TcpListener, TcpSocket,
    TcpStream, UdpSocket, interval,
    io::{BufReadExt, BufReader, copy_buf},
    sleep, spawn, timeout,
};
use netstack::Instant;
use sim::{
    Direction, Forwarding, HostConfig, Meter, Network, Outcome,
    impairment::{Chance, Rules},
};

const SERVER: &str = "10.0.0.1:7";
const NOBODY: &str = "10.0.0.77:7";
const LEN: usize = 5000;
/// Small, so that writes wait.
const SEND_LEN: usize = 512;

/// Which future to drop, and how often each has waited.
#[derive(Debug, Clone, Default)]
struct Drops(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// How often each watched future has waited, in the order in which they began.
    waits: Vec<u64>,
    /// Which one is dropped when it has waited how often.
    victim: Option<(usize, u64)>,
    is_dropped: bool,
}

impl Drops {
    /// Waits for `future`, unless it is the one that is dropped.
    async fn watch<F: Future>(&self, future: F) -> Option<F::Output> {
        let number = {
            let mut counts = self.0.lock().unwrap();
            counts.waits.push(0);
            counts.waits.len() - 1
        };
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.is_over(number) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn is_over(&self, number: usize) -> bool {
        let mut counts = self.0.lock().unwrap();
        counts.waits[number] += 1;
        let is_over = counts.victim == Some((number, counts.waits[number]));
        counts.is_dropped |= is_over;
        is_over
    }

    /// Waits for what can be begun again if it is dropped.
    async fn again<T, F: Future<Output = T>>(&self, mut future: impl FnMut() -> F) -> T {
        loop {
            if let Some(output) = self.watch(future()).await {
                return output;
            }
        }
    }
}

fn pattern() -> Vec<u8> {
    (0..LEN).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Echoes over TCP and UDP.
async fn server(drops: Drops, meter: Meter) {
    let listener = TcpListener::bind(SERVER).await.unwrap();
    let socket = UdpSocket::bind(SERVER).await.unwrap();
    let streams = async {
        loop {
            // A dropped accept loses no connection.
            let (stream, _) = drops.again(|| listener.accept()).await.unwrap();
            let drops = drops.clone();
            spawn(meter.watch(async move {
                // A client that has given up resets its connection.
                let _broken = echo(&drops, &stream).await;
            }));
        }
    };
    join(streams, echo_datagrams(&drops, &socket)).await;
}

async fn echo(drops: &Drops, stream: &TcpStream) -> AxResult<()> {
    let mut buffer = [0; 1000];
    loop {
        let len = loop {
            if let Some(len) = drops.watch(stream.read(&mut buffer)).await {
                break len?;
            }
        };
        let mut data = &buffer[..len];
        if len == 0 {
            return Ok(());
        }
        while !data.is_empty() {
            let len = drops.again(|| stream.write(data)).await?;
            data = &data[len..];
        }
    }
}

async fn echo_datagrams(drops: &Drops, socket: &UdpSocket) {
    let mut buffer = [0; 2000];
    loop {
        let received = drops.watch(socket.recv_from(&mut buffer)).await;
        if let Some(Ok((len, from))) = received {
            let _sent = drops.watch(socket.send_to(&buffer[..len], from)).await;
        }
    }
}

/// Every part is repeated until it has not been broken off.
async fn client(drops: Drops) {
    streams(&drops).await;
    while drops.watch(exactly()).await.is_none() {}
    halves(&drops).await;
    while drops.watch(requests()).await.is_none() {}
    datagrams(&drops).await;
    others(&drops).await;
}

/// Calls that lose nothing when they are dropped: the stream goes on as if nothing had been.
async fn streams(drops: &Drops) {
    let stream = drops.again(|| TcpStream::connect(SERVER)).await.unwrap();
    stream.set_send_buffer_size(SEND_LEN);
    let (sent, mut received) = (pattern(), vec![]);
    let mut data = &sent[..];
    while !data.is_empty() {
        let len = drops.again(|| stream.write(data)).await.unwrap();
        data = &data[len..];
    }
    let mut buffer = [0; 700];
    while received.len() < LEN {
        drops.watch(stream.peek(&mut [0])).await;
        if let Some(len) = drops.watch(stream.read(&mut buffer)).await {
            received.extend_from_slice(&buffer[..len.unwrap()]);
        }
    }
    assert!(received == sent);
}

/// Calls that break a connection's conversation when they are dropped: it is begun anew. The parts
/// are the points at which it is.
async fn exactly() {
    let mut socket = TcpSocket::new();
    socket.set_send_buffer_size(SEND_LEN);
    socket.connect(SERVER).await.unwrap();
    let (sent, mut received) = (pattern(), vec![0; LEN]);
    socket.write_all(&sent).await.unwrap();
    socket.read_exact(&mut received).await.unwrap();
    assert!(received == sent);
    let pool = Pool::new(SERVER, 1);
    for _ in 0..2 {
        let connection = pool.get().await.unwrap();
        connection.write_all(b"x").await.unwrap();
        connection.read_exact(&mut [0]).await.unwrap();
    }
    // The first is silent: the second is tried soon.
    let addresses: [SocketAddr; 2] = [NOBODY, SERVER].map(|text| text.parse().unwrap());
    TcpStream::connect(&addresses[..]).await.unwrap();
}

/// Two tasks on one connection, which are given up as one.
async fn halves(drops: &Drops) {
    let stream = drops.again(|| TcpStream::connect(SERVER)).await.unwrap();
    stream.set_send_buffer_size(SEND_LEN);
    let (reader, mut writer) = stream.into_split();
    let text: String = (0..200).map(|number| format!("line {number}\n")).collect();
    let mut content = BufReader::new(text.as_bytes());
    while drops.watch(copy_buf(&mut AsSocket(&mut content), &mut writer)).await.is_none() {}
    drop(writer);
    let mut lines = BufReader::new(reader).lines();
    let mut number = 0;
    loop {
        let line = match drops.watch(lines.next_line()).await {
            Some(line) => line.unwrap(),
            None => continue,
        };
        let Some(line) = line else { break };
        assert_eq!(line, format!("line {number}"));
        number += 1;
    }
    assert_eq!(number, 200);
}

/// A slice as a reader that fails as sockets do.
struct AsSocket<R>(R);

impl<R> embedded_io_async::ErrorType for AsSocket<R> {
    type Error = netasync::io::Error;
}

impl<R: embedded_io_async::BufRead> embedded_io_async::Read for AsSocket<&mut R> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(self.0.read(buffer).await.unwrap_or(0))
    }
}

impl<R: embedded_io_async::BufRead> embedded_io_async::BufRead for AsSocket<&mut R> {
    async fn fill_buf(&mut self) -> Result<&[u8], Self::Error> {
        Ok(self.0.fill_buf().await.unwrap_or_default())
    }

    fn consume(&mut self, len: usize) {
        self.0.consume(len);
    }
}

/// A reactor with everything that is under way in it.
async fn requests() {
    let mut reactor = IoReactor::new(4);
    reactor.submit(IoOperation::Connect { remote: SERVER.parse().unwrap() }).unwrap();
    reactor.ready().await;
    let Ok(Done::Connected(stream)) = reactor.poll().remove(0).1.result else {
        panic!("no connection");
    };
    let stream = Arc::new(stream);
    let read = IoOperation::Read { stream: stream.clone(), buffer: vec![0; 9] };
    reactor.submit(read).unwrap();
    reactor.submit(IoOperation::Write { stream, buffer: b"request".to_vec() }).unwrap();
    for _ in 0..2 {
        reactor.ready().await;
        assert!(matches!(reactor.poll()[..], [(_, ref done)] if done.result.is_ok()));
    }
}

async fn datagrams(drops: &Drops) {
    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let mut buffer = [0; 2000];
    for number in 0..5_u8 {
        loop {
            let _sent = drops.watch(socket.send_to(&[number; 1200], SERVER)).await;
            let receive = timeout(Duration::from_millis(300), socket.recv_from(&mut buffer));
            // Lost ones are sent again; answers to those come late, and are passed over.
            let received = drops.watch(receive).await;
            if matches!(received, Some(Ok(Ok((1200, _)))) if buffer[0] == number) {
                break;
            }
        }
    }
}

async fn others(drops: &Drops) {
    let late = drops.watch(timeout(Duration::from_millis(10), TcpStream::connect(NOBODY))).await;
    assert!(late.is_none_or(|late| late.is_err()));
    drops.watch(sleep(Duration::from_millis(10))).await;
    let mut ticks = interval(Duration::from_millis(10));
    for _ in 0..3 {
        drops.watch(ticks.tick()).await;
    }
    let token = CancellationToken::new();
    let signal = token.clone();
    let task = spawn(async move {
        sleep(Duration::from_millis(10)).await;
        signal.cancel();
    });
    drops.watch(token.cancelled()).await;
    drops.watch(task).await;
    let refused = drops.watch(TcpStream::connect("10.0.0.1:9")).await;
    assert!(refused.is_none_or(|error| error.err() == Some(AxError::ConnectionRefused)));
}

/// Runs the scenario; returns how often its futures have waited.
fn run(seed: u64, victim: Option<(usize, u64)>) -> Vec<u64> {
    let mut network = Network::new(seed, Forwarding::Learning);
    let hosts = [0, 1].map(|_| network.add_host(HostConfig::default()));
    let rules = Rules {
        loss: Chance::per_mille(50),
        duplication: Chance::per_mille(20),
        reordering: Chance::per_mille(50),
        delay: Duration::from_millis(1),
        lateness: Duration::from_millis(5),
        ..Rules::default()
    };
    for host in hosts {
        network.set_rules(host, Direction::Up, rules.clone());
    }
    let drops = Drops::default();
    drops.0.lock().unwrap().victim = victim;
    let before = hosts.map(|host| sim::gauges(&network.stack(host).stats()));

    let meter = network.meter(0);
    let serving = network.spawn(0, server(drops.clone(), meter));
    let is_done = Arc::new(AtomicBool::new(false));
    let (done, watched) = (is_done.clone(), drops.clone());
    network.spawn(1, async move {
        client(watched).await;
        done.store(true, Relaxed);
    });
    let minutes = |count: u64| Instant::ZERO + Duration::from_secs(60 * count);
    let outcome = network.run(minutes(5), || is_done.load(Relaxed));
    assert_eq!(outcome, Outcome::Done, "seed {seed}, {victim:?}");

    network.abort(0, serving);
    // The server's other tasks end with their connections.
    assert_eq!(network.run(minutes(20), || false), Outcome::Idle, "seed {seed}, {victim:?}");
    for (host, before) in hosts.into_iter().zip(before) {
        let after = sim::gauges(&network.stack(host).stats());
        assert_eq!(after, before, "host {host}, seed {seed}, {victim:?}");
    }
    let counts = drops.0.lock().unwrap();
    assert_eq!(counts.is_dropped, victim.is_some(), "seed {seed}, {victim:?}");
    counts.waits.clone()
}

#[test]
fn any_future_may_be_dropped_at_any_of_its_waits() {
    let mut runs = 0;
    for seed in 1..=10 {
        let waits = run(seed, None);
        for (number, count) in waits.into_iter().enumerate() {
            for wait in 1..=count {
                run(seed, Some((number, wait)));
                runs += 1;
            }
        }
    }
    assert!(runs > 800, "{runs} runs");
}
