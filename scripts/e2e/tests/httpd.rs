//! `apps/httpd` against curl, nc and clients that misbehave.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use e2e::{Boot, Guest, curl, eventually, on_tap, root, run};
use socket2::SockRef;

/// A body as `/bytes/N` documents it.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

fn connect(guest: &Guest) -> TcpStream {
    let stream = TcpStream::connect(guest.addr(80)).expect("the guest accepts");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout above zero");
    stream
}

/// Reads one response with a Content-Length: its status line and its body.
fn response(reader: &mut impl BufRead) -> (String, Vec<u8>) {
    let mut status = String::new();
    reader.read_line(&mut status).expect("a status line");
    let mut len = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).expect("a body");
    (status.trim().into(), body)
}

/// What must come back to where it was when every client has gone.
fn held(guest: &Guest) -> Vec<u64> {
    let stats = guest.stats();
    ["tcp_open", "tcp_backlog", "tcp_half_open", "tcp_orphans", "memory_used"]
        .map(|name| stats[name].as_u64().expect("a counter"))
        .into()
}

#[test]
fn pages_counters_and_errors() {
    let guest = Boot::new("httpd").serve();
    let page = String::from_utf8(curl(&[&guest.url("/")])).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("/stats"));
    let before = guest.stat("frames_received");
    assert!(guest.stat("frames_received") > before, "the counters live");
    let status = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]).args(arguments);
        String::from_utf8(run(&mut command)).unwrap()
    };
    assert_eq!(status(&["-I", &guest.url("/")]), "200");
    assert_eq!(status(&[&guest.url("/nothing")]), "404");
    assert_eq!(status(&["-X", "DELETE", &guest.url("/")]), "405");
    assert_eq!(status(&[&guest.url("/bytes/many")]), "400");
    assert_eq!(status(&["-d", "x", &guest.url("/echo?query=1")]), "200");
    let huge_header = format!("X-Large: {}", "x".repeat(10_000));
    assert_eq!(status(&["-H", &huge_header, &guest.url("/")]), "431");

    let mut stream = connect(&guest);
    stream.write_all(b"this is not HTTP\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn a_hundred_megabytes_arrive_whole() {
    let guest = Boot::new("httpd").serve();
    let mut child = Command::new("curl")
        .args(["-sS", "--fail", "--max-time", "300", &guest.url("/bytes/100000000")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut body = vec![];
    child.stdout.take().unwrap().read_to_end(&mut body).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(body == pattern(100_000_000), "{} bytes, or other ones", body.len());
}

#[test]
fn ten_megabytes_come_back() {
    let guest = Boot::new("httpd").serve();
    let body = pattern(10_000_000).into_iter().map(|b| b.wrapping_mul(31) ^ 5).collect::<Vec<_>>();
    let file = root().join("target/e2e-body.bin");
    fs::write(&file, &body).unwrap();
    let data = format!("@{}", file.display());
    let url = guest.url("/echo");
    for extra in ["Expect:", "Expect: 100-continue", "Transfer-Encoding: chunked"] {
        let echoed = curl(&["--data-binary", &data, "-H", extra, &url]);
        assert!(echoed == body, "{extra}: {} bytes, or other ones", echoed.len());
    }
    // A client that does not read before it has sent everything.
    let mut stream = connect(&guest);
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    assert!(response(&mut BufReader::new(stream)).1 == body);
    let too_large = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    let mut stream = connect(&guest);
    stream.write_all(too_large.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_thousand_connections_one_after_the_other() {
    let guest = Boot::new("httpd").serve();
    let before = held(&guest);
    for _ in 0..1000 {
        let mut stream = connect(&guest);
        stream
            .write_all(b"GET /bytes/10 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(response(&mut reader), ("HTTP/1.1 200 OK".into(), pattern(10)));
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the guest closes");
    }
    eventually(Duration::from_secs(30), || held(&guest), |held| *held == before);
}

#[test]
fn two_hundred_keep_alive_connections_at_once() {
    // User networking listens with a backlog of one, so that most of a burst waits for seconds.
    let count = if on_tap() { 200 } else { 20 };
    let guest = Boot::new("httpd").serve();
    let before = held(&guest);
    let mut connections: Vec<_> = (0..count).map(|_| BufReader::new(connect(&guest))).collect();
    for round in 0..5 {
        for connection in &mut connections {
            let request = format!("GET /bytes/{round}000 HTTP/1.1\r\nHost: x\r\n\r\n");
            connection.get_mut().write_all(request.as_bytes()).unwrap();
        }
        for connection in &mut connections {
            let (status, body) = response(connection);
            assert_eq!(status, "HTTP/1.1 200 OK");
            assert_eq!(body, pattern(round * 1000));
        }
    }
    assert_eq!(guest.stat("tcp_open"), count + 1);
    drop(connections);
    eventually(Duration::from_secs(30), || held(&guest), |held| *held == before);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let guest = Boot::new("httpd").serve();
    let mut reader = BufReader::new(connect(&guest));
    let mut requests = String::new();
    for len in 0..300 {
        requests += &format!("GET /bytes/{len} HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    reader.get_mut().write_all(requests.as_bytes()).unwrap();
    for len in 0..300 {
        assert_eq!(response(&mut reader), ("HTTP/1.1 200 OK".into(), pattern(len)));
    }
}

#[test]
fn a_client_may_close_its_half() {
    let guest = Boot::new("httpd").serve();
    let addr = guest.addr(80);
    let script = format!(
        "printf 'GET /bytes/200000 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | nc -N {} {}",
        addr.ip(),
        addr.port()
    );
    let answer = run(Command::new("sh").args(["-c", &script]));
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(&pattern(200_000)));
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let guest = Boot::new("httpd").serve();
    let before = held(&guest);
    for _ in 0..5 {
        let mut child = Command::new("curl")
            .args(["-s", "-o", "/dev/null", &guest.url("/bytes/10000000000")])
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(200));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for _ in 0..100 {
        let mut stream = connect(&guest);
        stream.write_all(b"GET /bytes/1000000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        // Zero seconds of linger: a reset instead of a FIN.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let mut half_sent = connect(&guest);
    half_sent
        .write_all(b"POST /echo HTTP/1.1\r\nContent-Length: 5000000\r\n\r\nonly this")
        .unwrap();
    drop(half_sent);
    eventually(Duration::from_secs(30), || held(&guest), |held| *held == before);
    assert_eq!(curl(&[&guest.url("/bytes/3")]), [0, 1, 2]);
}

#[test]
fn a_reader_that_stalls_holds_up_nobody_else() {
    let guest = Boot::new("httpd").serve();
    let mut stalled: Vec<_> = (0..20).map(|_| connect(&guest)).collect();
    for stream in &mut stalled {
        stream.write_all(b"GET /bytes/3000000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    for _ in 0..50 {
        assert_eq!(curl(&[&guest.url("/bytes/1000")]), pattern(1000));
    }
    for stream in stalled {
        assert!(response(&mut BufReader::new(stream)).1 == pattern(3_000_000));
    }
}
