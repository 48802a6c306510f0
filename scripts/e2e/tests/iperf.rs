//! Measures with iperf3's own client, and with clients that do not keep to its protocol.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use e2e::{Boot, Guest, needs_tap};
use serde_json::Value;

const PORT: u16 = 5201;
/// A state of the protocol: the server wants the parameters.
const PARAM_EXCHANGE: u8 = 9;
/// The server wants the streams.
const CREATE_STREAMS: u8 = 10;
/// The server is busy.
const ACCESS_DENIED: u8 = 0xff;
/// The server has a complaint, whose number follows.
const SERVER_ERROR: u8 = 0xfe;

/// Runs the client with its result as JSON. Whatever the machine's speed, it ends by itself.
fn client(guest: &Guest, arguments: &str) -> Output {
    command(guest, arguments).arg("--json").output().expect("scripts/setup.sh has installed iperf3")
}

fn command(guest: &Guest, arguments: &str) -> Command {
    let mut command = Command::new("iperf3");
    command.arg("-c").arg(guest.addr(PORT).ip().to_string()).args(arguments.split(' '));
    command
}

/// What a client says that has measured something.
fn measure(guest: &Guest, arguments: &str) -> Value {
    let output = client(guest, arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments}: {said}");
    serde_json::from_str::<Value>(&said).expect("--json is JSON")["end"].take()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

/// What was sent, which was received as well.
fn all_received(end: &Value) -> u64 {
    let sent = &end["sum_sent"]["bytes"];
    assert_eq!(sent, &end["sum_received"]["bytes"], "{end}");
    sent.as_u64().expect("bytes are counted")
}

#[test]
fn tcp_to_the_guest_and_from_it() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("iperf").serve();
    let end = measure(&guest, "-t 1");
    let bytes = all_received(&end);
    assert!(bytes > 0);
    assert_eq!(end["receiver_tcp_congestion"], "cubic");
    guest.wait_for(&format!(": {bytes} bytes in, 0 out, "));

    // The client sends whole blocks, and at times one more before it looks.
    assert!(all_received(&measure(&guest, "-n 5M")) >= 5 << 20);
    assert_eq!(all_received(&measure(&guest, "-k 20 -l 10K -N")), 200 << 10);
    assert_eq!(all_received(&measure(&guest, "-n 5M -R")), 5 << 20);
    guest.wait_for(&format!(": 0 bytes in, {} out, ", 5 << 20));

    let end = measure(&guest, "-t 1 -R");
    let (sent, received) = (&end["sum_sent"], &end["sum_received"]);
    assert!(number(&received["bytes"]) > 0.0, "{end}");
    assert!(number(&sent["bytes"]) >= number(&received["bytes"]), "{end}");
    // A server that sends says how much it had to send again.
    assert!(number(&sent["retransmits"]) >= 0.0, "{end}");
}

#[test]
fn several_streams_and_both_directions() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("iperf").serve();
    let end = measure(&guest, "-P 4 -n 4M");
    assert_eq!(end["streams"].as_array().map(Vec::len), Some(4));
    assert!(all_received(&end) >= 4 << 20);
    let end = measure(&guest, "-P 4 -n 4M -R");
    let streams = end["streams"].as_array().expect("four streams");
    assert!(streams.iter().all(|stream| number(&stream["receiver"]["bytes"]) > 0.0), "{end}");
    let end = measure(&guest, "-P 2 -t 1 --bidir");
    assert_eq!(end["streams"].as_array().map(Vec::len), Some(4));
    for sum in ["sum_sent", "sum_received", "sum_sent_bidir_reverse", "sum_received_bidir_reverse"]
    {
        assert!(number(&end[sum]["bytes"]) > 0.0, "{sum}: {end}");
    }
    // What is omitted counts at neither end.
    let end = measure(&guest, "-t 1 -O 1 -b 8M");
    assert!(number(&end["sum_received"]["seconds"]) < 2.0, "{end}");
}

#[test]
fn the_rate_is_kept_by_a_server_that_sends() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("iperf").serve();
    for arguments in ["-t 2 -R -b 8M -l 16K", "-t 2 -R -b 8M -u -l 1000 --udp-counters-64bit"] {
        let end = measure(&guest, arguments);
        let sum = if end["sum_sent"].is_null() { &end["sum"] } else { &end["sum_sent"] };
        // A megabyte per second, and a block or a burst of datagrams more.
        let bytes_max = 1e6 * number(&sum["seconds"]) + 32_768.0;
        let bytes = number(&sum["bytes"]);
        assert!((1.0..=bytes_max).contains(&bytes), "{arguments}: {end}");
    }
}

#[test]
fn datagrams_are_counted() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("iperf").serve();
    // All of them fit the queues on the way, so that none is lost however slow the machine is.
    for arguments in [
        "-u -b 5M -k 100 -l 1000",
        "-u -b 5M -k 100 -l 1000 --udp-counters-64bit",
        "-u -b 5M -k 20 -l 10000",
    ] {
        let end = measure(&guest, arguments);
        let sum = &end["sum"];
        assert_eq!(sum["lost_packets"], 0, "{arguments}: {end}");
        assert!(number(&sum["packets"]) >= 20.0, "{arguments}: {end}");
        let bytes = number(&sum["bytes"]);
        guest.wait_for(&format!(": {bytes} bytes in, 0 out, "));
    }
    let end = measure(&guest, "-u -b 2M -t 1 -P 3");
    let streams = end["streams"].as_array().expect("three streams");
    assert_eq!(streams.len(), 3);
    assert!(streams.iter().all(|stream| number(&stream["udp"]["packets"]) > 10.0), "{end}");
    let end = measure(&guest, "-u -b 2M -t 1 -R");
    assert!(number(&end["sum"]["packets"]) > 10.0, "{end}");
}

/// A client that goes on for long.
struct Running(Child);

impl Running {
    /// Starts it, and waits until its stream is open.
    fn start(guest: &Guest, arguments: &str) -> Self {
        let mut command = command(guest, arguments);
        let command = command.arg("--forceflush").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running(command.spawn().expect("scripts/setup.sh has installed iperf3"));
        let lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
        // The first interval is over: both ends are in the midst of it.
        let is_running = |line: &String| line.contains("sec ") && line.contains("bits/sec");
        assert!(lines.map_while(Result::ok).any(|line| is_running(&line)), "{arguments}");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_client_is_told_that_the_server_is_busy() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("iperf").serve();
    for arguments in ["-t 60 -b 1M", "-t 60 -R", "-t 60 -u -b 1M"] {
        let first = Running::start(&guest, arguments);
        for _ in 0..3 {
            let second = client(&guest, "-t 1");
            let said = String::from_utf8_lossy(&second.stdout);
            assert!(said.contains("the server is busy running a test"), "{arguments}: {said}");
        }
        drop(first);
        // It was killed in the midst; the next one is served.
        assert!(all_received(&measure(&guest, "-n 1M")) >= 1 << 20);
    }
    let console = guest.wait_for("the client has gone");
    assert_eq!(console.matches("the client has gone").count(), 3, "{console}");
}

/// A client of the test's own, which has said its cookie.
fn connect(addr: SocketAddr, cookie: u8) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("above zero");
    stream.write_all(&[cookie; 37]).expect("the server reads");
    stream
}

fn read<const LEN: usize>(stream: &mut TcpStream) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    stream.read_exact(&mut bytes).expect("the server answers");
    bytes
}

/// Says its parameters, too.
fn begin(addr: SocketAddr, json: &[u8]) -> TcpStream {
    let mut stream = connect(addr, b'a');
    assert_eq!(read(&mut stream), [PARAM_EXCHANGE]);
    stream.write_all(&(json.len() as u32).to_be_bytes()).expect("the server reads");
    stream.write_all(json).expect("the server reads");
    stream
}

/// The server's complaint, behind which it closes.
fn complaint(mut stream: TcpStream) -> u8 {
    let [state, number @ .., 0, 0, 0, 0] = read::<9>(&mut stream) else {
        panic!("no complaint");
    };
    assert_eq!((state, &number[..3]), (SERVER_ERROR, &[0; 3][..]));
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    number[3]
}

#[test]
fn clients_that_talk_nonsense_are_refused() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("iperf").serve();
    let addr = guest.addr(PORT);
    for (json, expected) in [
        (&b"{\"parallel\":0}"[..], 6),
        (b"{\"parallel\":1000000}", 6),
        (b"{\"udp\":true,\"len\":100000}", 20),
        (b"{\"time\":1e99}", 5),
        (b"{\"sctp\":true}", 18),
        (b"", 114),
        (b"\0\xff\xfe garbage", 114),
        (&[b'['; 8000], 114),
    ] {
        assert_eq!(complaint(begin(addr, json)), expected, "{}", String::from_utf8_lossy(json));
    }
    // Parameters of four gigabytes.
    let mut stream = connect(addr, b'a');
    assert_eq!(read(&mut stream), [PARAM_EXCHANGE]);
    stream.write_all(&[0xff; 4]).expect("the server reads");
    assert_eq!(complaint(stream), 114);
    // A word that is none, while streams are awaited.
    let mut stream = begin(addr, b"{}");
    assert_eq!(read(&mut stream), [CREATE_STREAMS]);
    stream.write_all(b"G").expect("the server reads");
    assert_eq!(complaint(stream), 110);
    assert!(all_received(&measure(&guest, "-n 1M")) >= 1 << 20);
}

#[test]
fn streams_of_strangers_and_clients_that_vanish() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("iperf").serve();
    let addr = guest.addr(PORT);
    // Half a cookie, and less.
    for len in [0, 1, 36] {
        let mut stream = TcpStream::connect(addr).expect("the server listens");
        stream.write_all(&[b'a'; 36][..len]).expect("the server reads");
    }
    // After the parameters, and by UDP before its streams.
    for json in [&b"{}"[..], b"{\"udp\":true,\"len\":1000,\"parallel\":3}"] {
        assert_eq!(read(&mut begin(addr, json)), [CREATE_STREAMS]);
    }
    // A stream with another cookie is turned away, one with the right cookie is taken.
    let mut control = begin(addr, b"{}");
    assert_eq!(read(&mut control), [CREATE_STREAMS]);
    assert_eq!(read(&mut connect(addr, b'b')), [ACCESS_DENIED]);
    let mut data = connect(addr, b'a');
    assert_eq!(read(&mut control), [1, 2]);
    // It vanishes behind its back: the server waits for the control connection's word.
    data.write_all(&[0; 1000]).expect("the server reads");
    drop(data);
    control.write_all(&[4]).expect("the server reads");
    // It sends results that are none.
    assert_eq!(read(&mut control), [13]);
    control.write_all(b"\0\0\0\x02[]").expect("the server reads");
    assert_eq!(complaint(control), 117);
    assert!(all_received(&measure(&guest, "-n 1M")) >= 1 << 20);
}
