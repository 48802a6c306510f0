//! `apps/httpd` against curl, nc and clients that misbehave.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Command, Stdio},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use e2e::{Boot, Guest, curl, eventually, needs_tap, on_tap, root, run};
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

/// The last request of a connection.
const LAST: &str = "GET /bytes/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Sends `requests` at once and reads until the guest closes: a status and a body for each.
fn responses(guest: &Guest, requests: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut stream = connect(guest);
    stream.write_all(requests).unwrap();
    let mut reader = BufReader::new(stream);
    let mut answers = vec![];
    while reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
        let (status, body) = response(&mut reader);
        answers.push((status["HTTP/1.1 ".len()..][..3].parse().expect("a status"), body));
    }
    answers
}

fn statuses(guest: &Guest, requests: &str) -> Vec<u16> {
    responses(guest, requests.as_bytes()).into_iter().map(|(status, _)| status).collect()
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
fn connections_that_rest_let_their_buffers_go() {
    let count = if on_tap() { 200 } else { 20 };
    let guest = Boot::new("httpd").serve();
    let mut connections: Vec<_> = (0..count).map(|_| BufReader::new(connect(&guest))).collect();
    let mut serve = |sent: &str| {
        for connection in &mut connections {
            connection.get_mut().write_all(sent.as_bytes()).unwrap();
        }
        for connection in &mut connections {
            assert_eq!(response(connection), ("HTTP/1.1 200 OK".into(), pattern(10)));
        }
    };
    let request = "GET /bytes/10 HTTP/1.1\r\nHost: x\r\n\r\n";
    let (begin, end) = request.split_at(1);
    // With the next request begun they do not rest, however long this takes.
    serve(&format!("{request}{begin}"));
    let busy = guest.stat("memory_free");
    serve(end);
    // A buffer of 1 KiB and one of 4 KiB, less what the stack's tables may grow meanwhile.
    let resting = busy + count * 4 * 1024;
    eventually(Duration::from_secs(30), || guest.stat("memory_free"), |free| *free >= resting);
    serve(request);
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
        .write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nonly this")
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

#[test]
fn framing_is_beyond_doubt_or_refused() {
    let guest = Boot::new("httpd").serve();
    let long_size = format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(5000));
    for (fields, body, expected) in [
        ("", "", &[200, 200][..]),
        ("Content-Length: 3\r\n", "abc", &[200, 200]),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", &[200, 200]),
        ("Content-Length: 3\r\nContent-Length: 40\r\n", "abc", &[400]),
        ("Content-Length: +3\r\n", "abc", &[400]),
        ("Content-Length: -3\r\n", "abc", &[400]),
        ("Content-Length: 0x3\r\n", "abc", &[400]),
        ("Content-Length: 3, 3\r\n", "abc", &[400]),
        ("Content-Length: \r\n", "abc", &[400]),
        ("Content-Length: 18446744073709551616\r\n", "abc", &[400]),
        ("Content-Length: 18446744073709551615\r\n", "abc", &[413]),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n", &[400]),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", &[501]),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", &[501]),
        ("Transfer-Encoding: Chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", &[200, 200]),
        ("Transfer-Encoding: chunked\r\n", "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n", &[200, 200]),
        ("Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "-3\r\nabc\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\nabc\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabcX0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", &long_size, &[400]),
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}{LAST}");
        assert_eq!(statuses(&guest, &request), expected, "{fields:?} {body:.20?}");
    }
    for (request, expected) in [
        ("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("get / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("GET /bytes/+5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        ("GET http://x/bytes/5 HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", 200),
        ("GET /bytes/5 HTTP/1.0\r\n\r\n", 200),
    ] {
        // What comes behind the last request has no answer.
        assert_eq!(statuses(&guest, &format!("{request}{LAST}")), [expected], "{request:?}");
    }
}

#[test]
fn the_next_request_is_found_behind_every_body() {
    let guest = Boot::new("httpd").serve();
    let mut requests =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in pattern(100_000).chunks(7_777) {
        requests.extend(format!("{:x};piece\r\n", piece.len()).into_bytes());
        requests.extend(piece);
        requests.extend(b"\r\n");
    }
    requests.extend(b"0\r\nTrailer: 1\r\nAnother: 2\r\n\r\n\r\n");
    requests.extend(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    // Bodies that nobody reads.
    requests.extend(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    requests.extend(pattern(60_000));
    requests.extend(b"GET /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    requests.extend(b"3\r\nabc\r\n0\r\n\r\n");
    requests.extend(LAST.as_bytes());
    let answers = responses(&guest, &requests);
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 405, 404, 200]);
    assert!(answers[0].1 == pattern(100_000));
    assert_eq!((&answers[1].1[..], &answers[4].1), (&b"abc"[..], &pattern(5)));
}

#[test]
fn head_is_get_without_the_body() {
    let guest = Boot::new("httpd").serve();
    let head = |requests: &str| {
        let mut stream = connect(&guest);
        stream.write_all(requests.as_bytes()).unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    let mut expected = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
        Content-Length: 5\r\n\r\n"
        .to_vec();
    expected.extend(head(LAST));
    let both = head(&format!("HEAD /bytes/5 HTTP/1.1\r\nHost: x\r\n\r\n{LAST}"));
    assert_eq!(String::from_utf8_lossy(&both), String::from_utf8_lossy(&expected));
    let not_allowed = head("PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(String::from_utf8_lossy(&not_allowed).contains("\r\nAllow: GET, HEAD\r\n"));
}

#[test]
fn uploads_are_refused_before_they_are_sent() {
    let guest = Boot::new("httpd").serve();
    let begin = |len: u64, fields: &str| {
        let mut stream = connect(&guest);
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        BufReader::new(stream)
    };
    let expect = "Expect: 100-continue\r\n";
    let status = |len, fields| {
        let since = Instant::now();
        let (status, _) = response(&mut begin(len, fields));
        assert!(since.elapsed() < Duration::from_secs(5), "{status} after {:?}", since.elapsed());
        status
    };
    assert_eq!(status((64 << 20) + 1, ""), "HTTP/1.1 413 Content Too Large");
    assert_eq!(status((64 << 20) + 1, expect), "HTTP/1.1 413 Content Too Large");
    // Two of these cannot both be kept.
    let mut admitted = begin(64 << 20, expect);
    assert_eq!(response(&mut admitted).0, "HTTP/1.1 100 Continue");
    assert_eq!(status(64 << 20, ""), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(status(64 << 20, expect), "HTTP/1.1 503 Service Unavailable");
    drop(admitted);
    let again = || response(&mut begin(64 << 20, expect)).0;
    eventually(Duration::from_secs(30), again, |status| status == "HTTP/1.1 100 Continue");
}

#[test]
fn half_a_body_is_no_request() {
    let guest = Boot::new("httpd").serve();
    for request in [
        "Content-Length: 30\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        let mut stream = connect(&guest);
        write!(stream, "POST /echo HTTP/1.1\r\nHost: x\r\n{request}").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{request:?}: {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn an_upload_that_stalls_holds_up_nobody_else() {
    let guest = Boot::new("httpd").serve();
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    let body = pattern(1_000_000);
    let mut stalled: Vec<_> = (0..20).map(|_| connect(&guest)).collect();
    for stream in &mut stalled {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..500_000]).unwrap();
    }
    for _ in 0..20 {
        let echoed = responses(
            &guest,
            &[
                b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
            Content-Length: 1000\r\n\r\n",
                &body[..1000],
            ]
            .concat(),
        );
        assert!(echoed == [(200, pattern(1000))]);
    }
    for mut stream in stalled {
        stream.write_all(&body[500_000..]).unwrap();
        assert!(response(&mut BufReader::new(stream)) == ("HTTP/1.1 200 OK".into(), body.clone()));
    }
}

/// Uploads `body` and reads at the same time. `None` if the connection ends before a status.
fn upload(mut stream: TcpStream, body: &[u8]) -> Option<(String, Vec<u8>)> {
    let len = body.len();
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n");
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    thread::scope(|scope| {
        // One that is refused is not sent to its end.
        scope
            .spawn(move || stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
        let is_answered = reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        let answer = is_answered.then(|| response(&mut reader));
        let _ = reader.get_ref().shutdown(Shutdown::Both);
        answer
    })
}

/// Uploads 5 MB sixteen times at once. Returns how many came back; the others were refused.
fn parallel_uploads(guest: &Guest) -> usize {
    let body = pattern(5_000_000);
    let is_admitted = || {
        let stream = connect(guest);
        let since = Instant::now();
        let (status, echoed) = upload(stream, &body).expect("an answer");
        if status == "HTTP/1.1 200 OK" {
            assert!(echoed == body, "{} bytes, or other ones", echoed.len());
            return true;
        }
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        assert!(since.elapsed() < Duration::from_secs(10), "after {:?}", since.elapsed());
        false
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(is_admitted)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|it| *it).count()
    })
}

#[test]
fn parallel_uploads_come_back_or_are_refused() {
    if needs_tap() {
        return;
    }
    for memory in ["128M", "32M"] {
        let guest = Boot::new("httpd").variable("MEM", memory).serve();
        let admitted = parallel_uploads(&guest);
        println!("{memory}: {admitted} of 16 admitted");
        assert!(admitted > 0);
        assert_eq!(curl(&[&guest.url("/bytes/3")]), [0, 1, 2]);
    }
}

#[test]
fn load_does_not_end_a_small_machine() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("httpd").variable("MEM", "32M").serve();
    let body = pattern(100_000);
    // Nobody reads before everybody has asked, or has been turned away.
    let everybody = Barrier::new(400);
    let ask = || {
        let mut stream =
            TcpStream::connect_timeout(&guest.addr(80), Duration::from_secs(10)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request = b"GET /bytes/100000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).ok()?;
        Some(stream)
    };
    // One that is served is served whole.
    let one = || {
        let stream = ask();
        everybody.wait();
        let mut answer = vec![];
        stream?.read_to_end(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    };
    let served: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..400).map(|_| scope.spawn(one)).collect();
        let answers = threads.into_iter().filter_map(|thread| thread.join().unwrap());
        answers.map(|answer| assert!(answer.ends_with(&body), "{} bytes", answer.len())).count()
    });
    println!("{served} of 400 served");
    assert!(served > 0);
    assert!(curl(&[&guest.url("/bytes/100000")]) == body);
    assert!(upload(connect(&guest), &body) == Some(("HTTP/1.1 200 OK".into(), body)));
}
