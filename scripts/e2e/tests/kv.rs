//! The key-value server, with Redis's own clients and with bytes that none of them would send.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use e2e::{Boot, Guest, eventually, needs_tap, run};

const PORT: u16 = 6379;
/// How long a guest on a loaded machine may take for something that takes it a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

fn client(guest: &Guest, name: &str) -> Command {
    let mut command = Command::new(name);
    command.arg("-h").arg(guest.addr(PORT).ip().to_string());
    command
}

/// What redis-cli prints when it is given these commands, one a line.
fn cli(guest: &Guest, commands: &str) -> String {
    let mut command = client(guest, "redis-cli");
    command.arg("--no-raw").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("scripts/setup.sh has installed redis-cli");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(commands.as_bytes()).expect("redis-cli reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it has been started");
    assert!(output.status.success(), "{commands}");
    String::from_utf8(output.stdout).expect("redis-cli escapes what is not text")
}

/// Commands, and what redis-cli prints for each of them.
fn expect(guest: &Guest, lines: &[(&str, &str)]) {
    let commands: String = lines.iter().map(|(command, _)| format!("{command}\n")).collect();
    let printed = cli(guest, &commands);
    // Behind an error there is an empty line.
    let mut printed = printed.lines().filter(|line| !line.is_empty());
    for (command, expected) in lines {
        for expected in expected.lines() {
            assert_eq!(printed.next(), Some(expected), "{command}");
        }
    }
    assert_eq!(printed.next(), None);
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("above zero");
    stream
}

/// What the server answers until it closes.
fn answer(addr: SocketAddr, input: &[u8]) -> String {
    let mut stream = connect(addr);
    // It may have heard enough before everything is sent.
    let _ = stream.write_all(input);
    let mut answer = vec![];
    stream.read_to_end(&mut answer).expect("the server closes");
    String::from_utf8(answer).expect("text")
}

#[test]
fn every_command_by_redis_cli() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("kv").serve();
    expect(
        &guest,
        &[
            ("PING", "PONG"),
            ("PING hello", "\"hello\""),
            ("ECHO \"two words\"", "\"two words\""),
            ("GET k", "(nil)"),
            ("SET k v", "OK"),
            ("GET k", "\"v\""),
            ("SET k w NX", "(nil)"),
            ("SET k w XX GET", "\"v\""),
            ("APPEND k \"\\x00\\xff\"", "(integer) 3"),
            ("GET k", "\"w\\x00\\xff\""),
            ("STRLEN k", "(integer) 3"),
            ("INCR n", "(integer) 1"),
            ("INCRBY n 41", "(integer) 42"),
            ("DECR n", "(integer) 41"),
            ("MSET a 1 b 2", "OK"),
            ("MGET a none b", "1) \"1\"\n2) (nil)\n3) \"2\""),
            ("EXISTS a b none", "(integer) 2"),
            ("DBSIZE", "(integer) 4"),
            ("KEYS [^bkn]", "1) \"a\""),
            ("DEL a b none", "(integer) 2"),
            ("TTL k", "(integer) -1"),
            ("TTL none", "(integer) -2"),
            ("PTTL none", "(integer) -2"),
            ("EXPIRE none 10", "(integer) 0"),
            ("EXPIRE k 10000", "(integer) 1"),
            ("PERSIST k", "(integer) 1"),
            ("PEXPIRE k 0", "(integer) 1"),
            ("GET k", "(nil)"),
            ("SELECT 0", "OK"),
            ("SELECT 1", "(error) ERR DB index is out of range"),
            ("CONFIG GET save", "1) \"save\"\n2) \"\""),
            ("CLIENT SETNAME me", "OK"),
            ("CLIENT GETNAME", "\"me\""),
            ("CLIENT SETINFO LIB-NAME x", "OK"),
            ("COMMAND COUNT", "(integer) 29"),
            ("HELLO 3", "(error) NOPROTO unsupported protocol version"),
            ("GET", "(error) ERR wrong number of arguments for 'get' command"),
            ("SET k x EX nine", "(error) ERR value is not an integer or out of range"),
            ("SET k x EX 0", "(error) ERR invalid expire time in 'set' command"),
            ("SET k x NX XX", "(error) ERR syntax error"),
            ("NONE a b", "(error) ERR unknown command 'NONE', with args beginning with: 'a' 'b' "),
            ("FLUSHDB", "OK"),
            ("FLUSHALL", "OK"),
            ("DBSIZE", "(integer) 0"),
        ],
    );
    let info = cli(&guest, "INFO\n");
    assert!(info.contains("connected_clients:1"), "{info}");
    let hello = cli(&guest, "HELLO 2\n");
    assert!(hello.contains("\"proto\"\n 6) (integer) 2"), "{hello}");
    let id = |line: String| line.trim_start_matches("(integer) ").trim().parse::<u64>();
    let [first, second] = [id(cli(&guest, "CLIENT ID\n")), id(cli(&guest, "CLIENT ID\n"))];
    assert!(second.expect("a number") > first.expect("a number"));
}

#[test]
fn redis_benchmark_ends_without_errors() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("kv").serve();
    for arguments in ["-n 20000 -P 16", "-n 2000", "-n 2000 -P 16 -r 1000 -d 1000"] {
        let mut command = client(&guest, "redis-benchmark");
        command.args("-t ping,get,set,incr,mset --csv".split(' ')).args(arguments.split(' '));
        let output = command.output().expect("scripts/setup.sh has installed redis-benchmark");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{said}{errors}");
        for name in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
            assert!(said.contains(&format!("\"{name}\",")), "{name}: {said}");
        }
    }
    let counted = cli(&guest, "GET counter:__rand_int__\n");
    assert_eq!(counted.trim(), "\"22000\"");
}

#[test]
fn keys_end_when_their_time_has_come() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("kv").serve();
    expect(
        &guest,
        &[
            ("SET stays v EX 100000", "OK"),
            ("SET asked v PX 300", "OK"),
            ("SET forgotten v", "OK"),
            ("EXPIRE forgotten 1", "(integer) 1"),
        ],
    );
    eventually(PATIENCE, || cli(&guest, "GET asked\n"), |value| value == "(nil)\n");
    // This one is counted without being asked for.
    let expired = || cli(&guest, "INFO stats\n");
    eventually(PATIENCE, expired, |info| info.contains("expired_keys:2"));
    let left = cli(&guest, "TTL stays\n");
    let left: u64 = left.trim_start_matches("(integer) ").trim().parse().expect("a number");
    assert!((99_000..100_000).contains(&left), "{left}");
    expect(&guest, &[("KEYS *", "1) \"stays\"")]);
}

#[test]
fn ten_thousand_commands_in_one_write() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("kv").serve();
    let mut stream = connect(guest.addr(PORT));
    let mut writer = stream.try_clone().expect("a second handle");
    let requests: String = (0..5000)
        .map(|i| format!("*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$4\r\n{i:04}\r\nGET key:1\r\n"))
        .collect();
    let expected: String = (0..5000).map(|i| format!("+OK\r\n$4\r\n{i:04}\r\n")).collect();
    let writing = thread::spawn(move || writer.write_all(requests.as_bytes()));
    let mut answers = vec![0; expected.len()];
    stream.read_exact(&mut answers).expect("every command is answered");
    assert!(answers == expected.as_bytes());
    writing.join().expect("no panic").expect("the server reads");
    // And one command in as many writes as it has bytes.
    stream.set_nodelay(true).expect("TCP");
    for byte in b"*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n" {
        stream.write_all(&[*byte]).expect("the server reads");
    }
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"$4\r\n4999\r\n");
}

#[test]
fn what_is_not_a_request_ends_the_connection() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("kv").serve();
    let addr = guest.addr(PORT);
    for (input, expected) in [
        ("*1\r\n$99999999999\r\n", "invalid bulk length"),
        ("*1\r\n$-5\r\n", "invalid bulk length"),
        ("*1\r\n$131073\r\n", "invalid bulk length"),
        ("*1000000\r\n", "invalid multibulk length"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1\r\nGET k\r\n", "expected '$', got 'G'"),
        ("GET \"k\r\n", "unbalanced quotes in request"),
        (&"x".repeat(100_000), "too big inline request"),
    ] {
        let expected = format!("-ERR Protocol error: {expected}\r\n");
        assert_eq!(answer(addr, input.as_bytes()), expected, "{input:.40}");
    }
    assert_eq!(answer(addr, b"PING\r\n\r\nping\nQUIT\r\nPING\r\n"), "+PONG\r\n+PONG\r\n+OK\r\n");
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert!(answer(addr, &garbage).starts_with("-ERR "));
    assert_eq!(cli(&guest, "PING\n"), "PONG\n");
}

/// Sets `key` to so many bytes; whether there was memory for it.
fn set(stream: &mut TcpStream, key: &str, len: usize) -> bool {
    let value = "v".repeat(len);
    let command = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${len}\r\n{value}\r\n", key.len());
    stream.write_all(command.as_bytes()).expect("the server reads");
    let mut start = [0; 5];
    stream.read_exact(&mut start).expect("the server answers");
    if &start == b"+OK\r\n" {
        return true;
    }
    assert_eq!(&start, b"-OOM ");
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).expect("an error is a line");
    }
    false
}

#[test]
fn memory_has_limits() {
    if needs_tap() {
        return;
    }
    for memory in ["128M", "48M"] {
        let guest = Boot::new("kv").variable("MEM", memory).serve();
        let mut stream = connect(guest.addr(PORT));
        // More values than there is memory for; then every other one is taken away, so that what is
        // free is in parts.
        for len in [100_000, 4000] {
            let mut stored = 0;
            while set(&mut stream, &format!("{len}:{stored}"), len) {
                stored += 1;
                assert!(stored < 1_000_000);
            }
            assert!(stored > 10, "{memory}: {stored} of {len}");
            let keys: Vec<String> = (0..stored / 2).map(|i| format!(" {len}:{}", 2 * i)).collect();
            for keys in keys.chunks(500) {
                let removed = format!("(integer) {}\n", keys.len());
                assert_eq!(cli(&guest, &format!("DEL{}\n", keys.concat())), removed);
            }
        }
        assert!(set(&mut stream, "long", 128 * 1024));
        drop(stream);
        overwhelm(&guest);
        expect(&guest, &[("STRLEN long", "(integer) 131072"), ("FLUSHALL", "OK")]);
        let mut benchmark = client(&guest, "redis-benchmark");
        let said = run(benchmark.args("-t set,get -n 200 -d 100000 -q".split(' ')));
        assert!(String::from_utf8_lossy(&said).contains("GET: "));
    }
}

/// More unread replies than there is memory for, and more requests that are never complete.
fn overwhelm(guest: &Guest) {
    let get = b"*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n".repeat(1000);
    let half = format!("*2\r\n$3\r\nGET\r\n$131072\r\n{}", "x".repeat(130_000));
    let held: Vec<TcpStream> = (0..400)
        .filter_map(|i| {
            // It may be turned away, at once or later.
            let mut stream = TcpStream::connect_timeout(&guest.addr(PORT), PATIENCE).ok()?;
            stream.set_write_timeout(Some(Duration::from_secs(1))).ok()?;
            let _ = stream.write_all(if i % 2 == 0 { &get } else { half.as_bytes() });
            Some(stream)
        })
        .collect();
    let asked = || answer_of(guest.addr(PORT));
    eventually(PATIENCE, asked, |answer| answer == b"+PONG\r\n");
    drop(held);
    // What they held is given back.
    eventually(PATIENCE, || cli(guest, "GET none\n"), |said| said == "(nil)\n");
}

/// What PING is answered by a server that may be out of memory.
fn answer_of(addr: SocketAddr) -> Vec<u8> {
    let mut answer = [0; 7];
    let asked = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut answer)
    });
    if asked.is_ok() { answer.to_vec() } else { vec![] }
}
