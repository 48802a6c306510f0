//! Images whose memory and sockets run out, by both APIs: they refuse or let wait, and go on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use e2e::{Boot, Guest, curl, eventually, needs_tap, wire::HOST_IP};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// Memory of a guest under load: less than its clients want.
const MEMORY: &str = "64M";
/// Connections that are attempted at once.
const CLIENTS: usize = 3000;
/// How long they go on to send what the guest takes.
const LOAD_TIME: Duration = Duration::from_secs(6);
/// What a client wants, and what another announces.
const BODY_LEN: usize = 10_000_000;
/// What it sends of that: more than a connection may hold while memory is short.
const PART_LEN: usize = 200_000;
/// Of what was free before, what must be free again at least. Tables keep their length.
const FREE_AGAIN: f64 = 0.9;
/// When everything that the clients have left behind must be gone: handshakes take 31 s to be given
/// up.
const RECOVERY: Duration = Duration::from_secs(60);
/// What 32 MiB are certain to be enough for, of each protocol.
const SOCKETS_MIN: usize = 1000;
const NETWORK: &str = "net.ip=10.0.2.15/24 net.gw=10.0.2.2";
/// How long an answer may take under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// This process may have as many sockets as the system allows it.
fn allow_many_sockets() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// A client that never reads.
struct Client {
    socket: Socket,
    /// What it sends.
    request: Vec<u8>,
    sent: usize,
}

impl Client {
    /// Begins to connect. One in three says nothing, one wants a large body, one sends one.
    fn new(guest: &Guest, number: usize) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("enough descriptors");
        socket.set_nonblocking(true).unwrap();
        // It is under way.
        let _begun = socket.connect(&guest.addr(80).into());
        let mut request = match number % 3 {
            0 => String::new(),
            1 => format!("GET /bytes/{BODY_LEN} HTTP/1.1\r\nHost: x\r\n\r\n"),
            _ => format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_LEN}\r\n\r\n"),
        }
        .into_bytes();
        if number % 3 == 2 {
            request.resize(request.len() + PART_LEN, b'x');
        }
        Client { socket, request, sent: 0 }
    }

    /// Sends what is taken at once. Returns whether there is a connection.
    fn go_on(&mut self) -> bool {
        if let Ok(len) = self.socket.write(&self.request[self.sent..]) {
            self.sent += len;
        }
        self.socket.peer_addr().is_ok()
    }
}

/// Asks on a connection that was there before the load, again and again. Returns how often.
fn ask_until(is_over: &AtomicBool, stream: TcpStream) -> usize {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    let mut stream = BufReader::new(stream);
    let mut count = 0;
    while !is_over.load(Relaxed) {
        stream.get_mut().write_all(b"GET /bytes/3 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(stream.read_line(&mut line).expect("an answer"), 0, "it was closed");
        }
        let mut body = [9; 3];
        stream.read_exact(&mut body).expect("a body");
        assert_eq!(body, [0, 1, 2]);
        count += 1;
        thread::sleep(Duration::from_millis(50));
    }
    count
}

/// Loads the guest with clients for a while. Meanwhile, whom it serves already is served.
fn load(guest: &Guest) {
    allow_many_sockets();
    let first = TcpStream::connect(guest.addr(80)).expect("the guest accepts");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask_until(&is_over, first));
        let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(guest, number)).collect();
        let (since, mut connected) = (Instant::now(), 0);
        while since.elapsed() < LOAD_TIME {
            connected = clients.iter_mut().map(Client::go_on).filter(|it| *it).count();
            thread::sleep(Duration::from_millis(100));
        }
        is_over.store(true, Relaxed);
        let answers = asking.join().expect("who is served already is served");
        let sent: usize = clients.iter().map(|client| client.sent).sum();
        println!("{connected} of {CLIENTS} are connected, {sent} bytes of theirs were taken");
        println!("another was answered {answers} times meanwhile");
        assert!(answers > 0 && connected > 0 && sent > 0);
    });
}

/// A client that comes when the load has gone.
fn is_served(guest: &Guest) {
    let since = Instant::now();
    eventually(RECOVERY, || TcpStream::connect(guest.addr(80)).is_ok(), |is_ok| *is_ok);
    assert_eq!(curl(&[&guest.url("/bytes/1000000")]).len(), 1_000_000);
    println!("served after {:?}", since.elapsed());
}

/// What must come back to where it was.
fn held(guest: &Guest) -> [(&'static str, u64); 5] {
    let stats = guest.stats();
    ["tcp_open", "tcp_backlog", "tcp_half_open", "tcp_orphans", "memory_used"]
        .map(|name| (name, stats[name].as_u64().expect("a number")))
}

#[test]
fn clients_that_want_everything_do_not_end_a_server_of_tasks() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("httpd").variable("MEM", MEMORY).serve();
    let (before, free) = (held(&guest), guest.stat("memory_free"));
    load(&guest);
    is_served(&guest);
    eventually(RECOVERY, || held(&guest), |held| *held == before);
    let free_again = guest.stat("memory_free");
    println!("{free} bytes were free, {free_again} are again");
    assert!(free_again as f64 > free as f64 * FREE_AGAIN, "{free} were free, {free_again} are");
}

#[test]
fn nor_one_of_threads() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("threads").variable("MEM", MEMORY).serve();
    for _ in 0..2 {
        load(&guest);
        is_served(&guest);
    }
}

/// A server of the host that keeps every connection until its client ends it.
fn keeper() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::from(HOST_IP), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let (mut kept, mut looked) = (vec![], Instant::now());
        loop {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).unwrap();
                kept.push(stream);
            }
            if looked.elapsed() > Duration::from_millis(200) {
                // Nothing is sent: what can be read is the end.
                kept.retain_mut(|stream| stream.read(&mut [0]).is_err());
                looked = Instant::now();
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    address
}

/// How many sockets a line on the console tells of, and the error that was the answer to one more.
fn told(line: &str) -> (usize, &str) {
    let (count, error) = line.split_once(", then ").expect("an error");
    let digits: String = count.chars().filter(char::is_ascii_digit).collect();
    (digits.parse().expect("a number"), error)
}

/// The sockets of the asynchronous API that an image with little memory gets: by UDP, by TCP.
fn asynchronous(boot: Boot) -> [(usize, String); 2] {
    let console = boot.start().wait_for_end();
    assert!(console.contains("UDP again") && console.contains("TCP again"), "{console}");
    ["by UDP", "by TCP"].map(|protocol| {
        let line = console.lines().find(|line| line.contains(protocol)).expect("a line");
        let (count, error) = told(line);
        (count, error.into())
    })
}

/// The same by the blocking one.
fn blocking(boot: Boot, peer: SocketAddr) -> [(usize, String); 2] {
    let mut shell = boot.serve();
    let mut seen = 0;
    ["open udp 0.0.0.0:0".to_owned(), format!("open tcp {peer}")].map(|command| {
        shell.type_line(&command);
        let console = shell.wait_for(&format!("{command}: one again"));
        let line = console.lines().filter(|line| line.contains(", then ")).nth(seen);
        seen += 1;
        let (count, error) = told(line.expect("a line"));
        (count, error.into())
    })
}

#[test]
fn both_apis_say_the_same_when_there_are_too_many_sockets() {
    if needs_tap() {
        return;
    }
    allow_many_sockets();
    let peer = keeper();
    let little = |app| Boot::new(app).variable("MEM", "32M").append_only(NETWORK);
    let asynchronous = asynchronous(little("sockets").append(&format!("sockets.peer={peer}")));
    let blocking = blocking(little("shell"), peer);
    println!("asynchronous: {asynchronous:?}, blocking: {blocking:?}");
    for (count, error) in asynchronous.into_iter().chain(blocking) {
        assert!(count > SOCKETS_MIN, "{count}, then {error}");
        assert_eq!(error, "AxErrorKind::NoMemory", "after {count}");
    }
}
