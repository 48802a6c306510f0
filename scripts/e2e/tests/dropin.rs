//! Programs that are written for upstream's ArceOS: `apps/threads`, `apps/fetch` and `apps/shell`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use e2e::{Boot, Guest, curl, names, needs_tap, on_tap, wire::HOST_IP};

const NETWORK: &str = "net.ip=10.0.2.15/24 net.gw=10.0.2.2 net.dns=10.0.2.2";
const PATIENCE: Duration = Duration::from_secs(60);

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

fn connect(guest: &Guest) -> TcpStream {
    let stream = TcpStream::connect(guest.addr(80)).expect("the guest accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    stream
}

/// Asks for bytes on a connection that stays.
fn get(stream: &mut BufReader<TcpStream>, len: usize) -> Vec<u8> {
    // In one piece: a second would wait for the acknowledgement of the first.
    let request = format!("GET /bytes/{len} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the connection was closed");
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).unwrap();
    body
}

/// What real clients ask of a server.
fn clients_are_served(guest: &Guest) {
    assert_eq!(curl(&[&guest.url("/")]), b"Hello from a thread of its own\n");
    let large = curl(&[&guest.url("/bytes/100000000")]);
    assert!(large == pattern(100_000_000), "{} bytes", large.len());
    let body = String::from_utf8(vec![b'x'; 300_000]).unwrap();
    assert_eq!(curl(&["-d", &body[..100_000], &guest.url("/echo")]).len(), 100_000);

    let mut stream = BufReader::new(connect(guest));
    for len in [0, 1, 300, 70_000, 1] {
        assert_eq!(get(&mut stream, len), pattern(len));
    }
    let count = if on_tap() { 200 } else { 20 };
    let streams: Vec<_> = (0..count).map(|_| BufReader::new(connect(guest))).collect();
    let clients: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            thread::spawn(move || {
                for round in 0..10 {
                    assert_eq!(get(&mut stream, 300 + round), pattern(300 + round));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_thread_for_each_connection_serves_real_clients() {
    clients_are_served(&Boot::new("threads").serve());
}

#[test]
fn two_processors_serve_them_as_well() {
    let guest = Boot::new("threads").variable("SMP", "2").serve();
    clients_are_served(&guest);
    // Tasks run on both, the network on one: nothing may wait for a tick of 10 ms every time.
    let mut stream = BufReader::new(connect(&guest));
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(get(&mut stream, 1), [0]);
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("an answer takes {:?}, one in ten at most {:?}", times[100], times[20]);
    // The host's own processors may be busy.
    assert!(times[20] < Duration::from_millis(5), "{:?}", times[20]);
}

#[test]
fn upstreams_own_network_answers() {
    let guest = Boot::new("threads").variable("AXNET", "upstream").serve();
    assert_eq!(curl(&[&guest.url("/")]), b"Hello from a thread of its own\n");
}

#[test]
fn an_address_is_asked_for_when_nothing_is_said() {
    let guest = Boot::new("threads").append_only("").user_networking().start();
    guest.wait_for("axwire: 10.0.2.15/24");
    guest.wait_for("threads: listening");
    assert_eq!(curl(&[&guest.url("/bytes/2")]), [0, 1]);
}

#[test]
fn at_rest_the_guest_sleeps_but_for_the_kernels_tick() {
    let guest = Boot::new("threads").serve();
    assert_eq!(curl(&[&guest.url("/bytes/1")]), [0]);
    guest.assert_at_rest(80);
}

#[test]
fn the_first_call_waits_for_an_address_but_not_for_ever() {
    let console = Boot::new("fetch").append_only("").user_networking().start().wait_for_end();
    let is_asked = !console.contains("AxErrorKind::Unsupported");
    assert!(is_asked && console.contains("fetch: server.test:8000: "), "{console}");
    if needs_tap() {
        return;
    }
    let mut fetch = Boot::new("fetch").append_only("").start();
    let start = Instant::now();
    let console = fetch.wait_for_end();
    assert!(console.contains("fetch: server.test:8000: AxErrorKind::Unsupported"), "{console}");
    assert!(start.elapsed() > Duration::from_secs(14), "{:?}", start.elapsed());
}

#[test]
fn raw_frames_are_counted_and_the_network_goes_on() {
    let mut shell = Boot::new("shell").append_only(NETWORK).serve();
    shell.type_line("bench transmit");
    let console = shell.wait_for("shell: measured");
    let rates: Vec<_> = console.lines().filter(|line| line.contains("Gbit/s")).collect();
    println!("{}", rates[0]);
    assert!(rates.len() == 10 && !rates[5].contains(" 0.000 "), "{console}");
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    shell.type_line("bench receive");
    let flood = Instant::now();
    while on_tap() && flood.elapsed() < Duration::from_secs(3) {
        let _ = socket.send_to(&[0; 1400], shell.addr(9));
    }
    // Once the poller is back at its work, it answers.
    shell.type_line("resolve 10.0.2.2:80");
    let console = shell.wait_for("shell: 10.0.2.2:80");
    let received = console.lines().filter(|line| line.contains("Gbit/s")).nth(11);
    println!("{received:?}");
    assert!(!on_tap() || !received.unwrap().contains(" 0.000 "), "{console}");
}

/// Answers each connection with what it has sent first, turned into upper case.
fn shouter(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::from(HOST_IP), port)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut buffer = [0; 512];
            let len = stream.read(&mut buffer).unwrap_or(0);
            let _ = stream.write_all(&buffer[..len].to_ascii_uppercase());
        }
    });
}

#[test]
fn programs_find_servers_by_name_and_are_told_what_is_wrong() {
    if needs_tap() {
        return;
    }
    names::serve();
    shouter(8000);
    // Without threads and interrupts, as upstream's client has it.
    let console = Boot::new("fetch").append_only(NETWORK).start().wait_for_end();
    assert!(console.contains("fetch: server.test is 10.0.2.2:8000"), "{console}");
    assert!(console.contains("HOST: SERVER.TEST"), "{console}");
    let nobody = "net.ip=10.0.2.15/24 net.gw=10.0.2.2";
    let console = Boot::new("fetch").append_only(nobody).start().wait_for_end();
    assert!(console.contains("fetch: server.test:8000: AxErrorKind::Unsupported"), "{console}");

    let datagrams = UdpSocket::bind((Ipv4Addr::from(HOST_IP), 9000)).unwrap();
    let mut shell = Boot::new("shell").append_only(NETWORK).serve();
    for (command, answer) in [
        ("resolve server.test:80", "shell: 10.0.2.2:80"),
        ("resolve nobody.test:80", "AxErrorKind::NotFound"),
        ("say tcp server.test:8000 hello", "shell: HELLO"),
        ("say tcp 10.0.2.2:9 hello", "AxErrorKind::ConnectionRefused"),
        ("say udp 10.0.2.2:9 hello", "say udp 10.0.2.2:9 hello: AxErrorKind::ConnectionRefused"),
        ("serve 7", "shell: 0.0.0.0:7 echoes"),
        ("serve 7", "shell: serve 7: AxErrorKind::AddrInUse"),
        ("sleep 100", "shell: slept "),
    ] {
        shell.type_line(command);
        shell.wait_for(answer);
    }
    shell.type_line("say udp 10.0.2.2:9000 ping");
    let mut buffer = [0; 16];
    let (len, from) = datagrams.recv_from(&mut buffer).unwrap();
    datagrams.send_to(&buffer[..len], from).unwrap();
    shell.wait_for("shell: ping");
    // The shell waits for its console, yielding all the time; its threads serve.
    let mut stream = TcpStream::connect(shell.addr(7)).unwrap();
    stream.write_all(b"echo").unwrap();
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"echo");
    shell.type_line("exit");
    shell.wait_for_end();
}
