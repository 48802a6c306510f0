//! Packets that no well-behaved host sends, from a raw socket on the tap.
//!
//! `FLOOD_SECS` makes the flood longer than 5 s, `HOSTILE_SEED` the frames others.

use std::{
    collections::BTreeSet,
    env,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Boot, GUEST_IP, Guest, eventually,
    malformed::Malformed,
    needs_tap,
    wire::{
        ETHERTYPE_IPV4, HOST_IP, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, RST, SYN, Wire,
        guest_addr6, ipv4, parse_ipv4, syn, udp,
    },
};
use serde_json::Value;

/// Frames that are malformed in one way or another.
const FRAMES: usize = 100_000;
/// SYNs that the flood sends each second.
const FLOOD_RATE: f64 = 10_000.0;
/// How often a legitimate client connects meanwhile.
const CLIENT_INTERVAL: Duration = Duration::from_millis(50);
/// How long a page may take at the worst: less than a lost SYN, which its sender repeats after 1 s.
const PROMPT: Duration = Duration::from_secs(1);
/// Every time-out of what strangers can begin: handshakes 31 s, fragments 30 s, TIME-WAIT 10 s.
const TIME_OUTS: Duration = Duration::from_secs(45);
/// Handshakes that the stack remembers at a time.
const HALF_OPEN_MAX: u64 = 4096;
/// Bytes that a few clients at a time take of the stack's budget.
const MEMORY_USED_MAX: u64 = 4 << 20;
/// Bytes of the heap that tables may keep for the next time, having grown.
const HEAP_GROWTH_MAX: u64 = 4 << 20;

/// A number from the environment.
fn variable(name: &str, default: u64) -> u64 {
    let parse = |value: String| value.parse().unwrap_or_else(|_| panic!("{name}={value}"));
    env::var(name).map_or(default, parse)
}

fn number(stats: &Value, name: &str) -> u64 {
    stats[name].as_u64().unwrap_or_else(|| panic!("/stats has no {name}"))
}

/// What must come back to where it was when the time of everything is up.
fn held(guest: &Guest) -> [(&'static str, u64); 9] {
    let stats = guest.stats();
    [
        "tcp_open",
        "tcp_backlog",
        "tcp_half_open",
        "tcp_orphans",
        "tcp_time_wait",
        "tcp_listeners",
        "udp_sockets",
        "raw_sockets",
        "memory_used",
    ]
    .map(|name| (name, number(&stats, name)))
}

/// Fetches a page by a connection of its own. Returns how long that took.
fn fetch(address: SocketAddr) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).expect("the guest accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout above zero");
    stream.write_all(b"GET /bytes/10 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.ends_with(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    begun.elapsed()
}

/// The same by IPv4 and IPv6.
fn slowest_fetch(guest: &Guest) -> Duration {
    fetch(guest.addr(80)).max(fetch(guest_addr6(80).into()))
}

/// Everything that a stranger can do to one guest, and then the wait for all of it to be over.
#[test]
fn floods_nonsense_and_scans_leave_nothing() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("httpd").serve();
    let (before, heap) = (held(&guest), guest.stat("memory_free"));

    flood(&guest, Duration::from_secs(variable("FLOOD_SECS", 5)));
    send_malformed(&guest, variable("HOSTILE_SEED", 1));
    scan_tcp(&guest);
    scan_udp(&guest);
    reset_before_accept(&guest);

    eventually(TIME_OUTS, || held(&guest), |held| *held == before);
    let taken = heap.saturating_sub(guest.stat("memory_free"));
    println!("heap: {heap} bytes free before, {taken} less after");
    assert!(taken < HEAP_GROWTH_MAX, "{taken} bytes of the heap are gone");
    assert!(slowest_fetch(&guest) < PROMPT);
}

/// SYNs from spoofed addresses, while a client connects again and again.
fn flood(guest: &Guest, duration: Duration) {
    let is_over = AtomicBool::new(false);
    let (latencies, samples) = (Mutex::new(vec![]), Mutex::new(vec![guest.stats()]));
    let received = guest.stat("frames_received");
    let (sent, elapsed) = thread::scope(|scope| {
        let flood = scope.spawn(|| send_syns(duration));
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                samples.lock().unwrap().push(guest.stats());
                thread::sleep(Duration::from_millis(250));
            }
        });
        let begun = Instant::now();
        for turn in 1.. {
            scope.spawn(|| latencies.lock().unwrap().push(fetch(guest.addr(80))));
            thread::sleep((CLIENT_INTERVAL * turn).saturating_sub(begun.elapsed()));
            if flood.is_finished() {
                break;
            }
        }
        is_over.store(true, Relaxed);
        flood.join().unwrap()
    });
    let rate = |count: u64| count as f64 / elapsed.as_secs_f64();
    let received = guest.stat("frames_received") - received;
    println!(
        "flood: {:.0} SYNs/s for {elapsed:?}, {:.0} frames/s got in",
        rate(sent),
        rate(received)
    );
    check_samples(&samples.into_inner().unwrap());
    check_latencies(latencies.into_inner().unwrap());
}

/// What is held is bounded, in every sample; the first one is from before.
fn check_samples(samples: &[Value]) {
    let all = |name: &str| samples.iter().map(|stats| number(stats, name)).collect::<Vec<_>>();
    let max = |name| all(name).into_iter().max().expect("there is a first one");
    let (memory, half_open) = (max("memory_used"), max("tcp_half_open"));
    let heap = all("memory_free");
    let taken = heap[0].saturating_sub(heap.iter().copied().min().unwrap_or(0));
    println!("flood: memory_used {} before, {memory} at most", number(&samples[0], "memory_used"));
    println!("flood: {half_open} half-open at most, {taken} bytes of the heap");
    assert!(half_open <= HALF_OPEN_MAX && memory < MEMORY_USED_MAX && taken < HEAP_GROWTH_MAX);
}

/// Sends for this long at the rate that is wanted; returns how many, and how long it took.
fn send_syns(duration: Duration) -> (u64, Duration) {
    let wire = Wire::open().expect("root in the namespace may open raw sockets");
    let (begun, mut sent) = (Instant::now(), 0_u64);
    while begun.elapsed() < duration {
        let due = (begun.elapsed().as_secs_f64() * FLOOD_RATE) as u64;
        for number in sent..due {
            let [high, low] = [(number >> 8) as u8, number as u8];
            // Absent neighbours, and hosts that are nowhere.
            let near = Ipv4Addr::new(10, 0, 2, 100 + low % 100);
            let from = if number % 2 == 0 { near } else { Ipv4Addr::new(198, 18, high, low) };
            let from = SocketAddrV4::new(from, 1024 + (number % 60_000) as u16);
            wire.send(&syn(&wire, from, 80, number as u32));
        }
        sent = due;
        thread::sleep(Duration::from_millis(1));
    }
    (sent, begun.elapsed())
}

fn check_latencies(mut latencies: Vec<Duration>) {
    latencies.sort();
    let (count, at) =
        (latencies.len(), |percent: usize| latencies[latencies.len() * percent / 100]);
    let max = latencies[count - 1];
    println!("clients: {count}, median {:?}, 99 % within {:?}, max {max:?}", at(50), at(99));
    let slow = latencies.iter().filter(|latency| **latency > PROMPT).count();
    assert!(slow <= count.div_ceil(100), "{slow} of {count} clients waited for more than a second");
}

/// What the malformed frames must meet, so that no layer is left out.
const OBSTACLES: [&str; 18] = [
    "dropped_malformed_frame",
    "dropped_unknown_ethertype",
    "dropped_malformed_arp",
    "dropped_malformed_ip",
    "dropped_ip_checksum",
    "dropped_martian_source",
    "dropped_bad_fragment",
    "dropped_extension_header",
    "dropped_malformed_icmp",
    "dropped_icmp_checksum",
    "dropped_malformed_ndp",
    "dropped_malformed_membership",
    "dropped_malformed_udp",
    "dropped_udp_checksum",
    "dropped_malformed_tcp",
    "dropped_tcp_checksum",
    "reassembly_overlapped",
    "address_conflicts",
];

fn send_malformed(guest: &Guest, seed: u64) {
    println!("malformed frames: HOSTILE_SEED={seed}");
    let wire = Wire::open().expect("root in the namespace may open raw sockets");
    let (begun, before) = (Instant::now(), guest.stats());
    let sent = Malformed::new(seed, wire.mac).take(FRAMES).filter(|frame| wire.send(frame)).count();
    let elapsed = begun.elapsed();
    // The claims of others about where the host is hold until it is asked again.
    eventually(TIME_OUTS, || slowest_fetch(guest), |latency| *latency < PROMPT);
    let after = guest.stats();
    let grown = |name: &str| number(&after, name) - number(&before, name);
    let received = grown("frames_received");
    println!("malformed frames: {sent} in {elapsed:?}, {received} got in");
    assert!(received >= FRAMES as u64 / 4, "the tap has lost most of them");
    for name in OBSTACLES {
        assert!(grown(name) > 0, "no frame has met {name}");
    }
    assert!(grown("bytes_sent") < grown("bytes_received"), "an amplifier: {after}");
}

/// From where the scans come: a port that the host does not use.
const SCANNER_PORT: u16 = 1023;
/// Packets sent before the answers are looked at: less than the tap's queue.
const SCAN_BURST: usize = 256;
/// After the first, only ports without an answer are asked.
const SCAN_ROUNDS: usize = 5;

/// Asks every TCP port: one is open, all others refuse.
fn scan_tcp(guest: &Guest) {
    let begun = Instant::now();
    let mut wire = Wire::listen().expect("root in the namespace may open raw sockets");
    let (mut open, mut silent): (BTreeSet<u16>, BTreeSet<u16>) =
        ([].into(), (1..=65_535).collect());
    for _ in 0..SCAN_ROUNDS {
        let from = SocketAddrV4::new(HOST_IP.into(), SCANNER_PORT);
        let asked: Vec<u16> = silent.iter().copied().collect();
        scan(
            &mut wire,
            &asked,
            |wire, port| syn(wire, from, port, 1),
            |protocol, segment| {
                let Some(header) = segment.get(..20).filter(|_| protocol == PROTOCOL_TCP) else {
                    return;
                };
                let port = u16::from_be_bytes([header[0], header[1]]);
                if header[2..4] == SCANNER_PORT.to_be_bytes() && silent.remove(&port) {
                    assert!(header[13] & (RST | SYN) != 0, "port {port}: flags {:#x}", header[13]);
                    if header[13] & RST == 0 {
                        open.insert(port);
                    }
                }
            },
        );
    }
    println!("TCP scan: {:?}, open: {open:?}, silent: {silent:?}", begun.elapsed());
    assert!(open == [80].into() && silent.is_empty());
    assert!(slowest_fetch(guest) < PROMPT);
}

/// Sends a datagram to every UDP port: nobody answers, and errors are not sent without limit.
fn scan_udp(guest: &Guest) {
    let begun = Instant::now();
    let mut wire = Wire::listen().expect("root in the namespace may open raw sockets");
    let ports: Vec<u16> = (1..=65_535).collect();
    let datagram = |wire: &Wire, port| {
        let datagram = udp((SCANNER_PORT, port), b"anybody there?");
        wire.frame(ETHERTYPE_IPV4, &ipv4(PROTOCOL_UDP, HOST_IP.into(), &datagram))
    };
    let (mut answers, mut errors) = (0, 0_u64);
    scan(&mut wire, &ports, datagram, |protocol, _| match protocol {
        PROTOCOL_UDP => answers += 1,
        PROTOCOL_ICMP => errors += 1,
        _ => {}
    });
    println!("UDP scan: {:?}, {errors} ICMP errors", begun.elapsed());
    // RFC 1812 section 4.3.2.8: a hundred a second, and fifty at once.
    let errors_max = 100 + 150 * (1 + begun.elapsed().as_secs());
    assert!(answers == 0 && (1..errors_max).contains(&errors));
    assert!(slowest_fetch(guest) < PROMPT);
}

/// Sends a frame to each port, and looks at what comes back.
fn scan(
    wire: &mut Wire,
    ports: &[u16],
    frame: impl Fn(&Wire, u16) -> Vec<u8>,
    mut answer: impl FnMut(u8, &[u8]),
) {
    // The shortest time that the host's timers tell apart.
    const QUIET: Duration = Duration::from_millis(4);
    let mut buffer = [0; 1514];
    for burst in ports.chunks(SCAN_BURST) {
        for port in burst {
            wire.send(&frame(wire, *port));
        }
        while let Some(len) = wire.receive(&mut buffer, QUIET) {
            if let Some((protocol, payload)) = parse_ipv4(&buffer[..len]) {
                answer(protocol, payload);
            }
        }
    }
}

/// Connections whose clients have gone before the guest accepts them.
fn reset_before_accept(guest: &Guest) {
    let begun = Instant::now();
    for _ in 0..5000 {
        let stream = TcpStream::connect(guest.addr(80)).expect("the guest accepts");
        // Zero seconds of linger: a reset instead of a FIN.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    println!("resets: {:?}", begun.elapsed());
    assert!(slowest_fetch(guest) < PROMPT);
}

#[test]
fn datagrams_from_absent_neighbours_do_not_silence_the_echo() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("echo").serve();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(guest.addr(7)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let wire = Wire::open().expect("root in the namespace may open raw sockets");
    let spoof = |from: Ipv4Addr| {
        let packet = ipv4(PROTOCOL_UDP, from, &udp((9999, 7), b"spoof"));
        wire.send(&wire.frame(ETHERTYPE_IPV4, &packet));
    };
    let mut lost = 0;
    for host in 0..100 {
        spoof(Ipv4Addr::new(10, 0, 2, 100 + host));
        // Its own address, everybody, nobody, and the echo port of the guest itself.
        spoof(Ipv4Addr::from(GUEST_IP));
        spoof(Ipv4Addr::new(10, 0, 2, 255));
        spoof(Ipv4Addr::UNSPECIFIED);
        socket.send(&[host]).unwrap();
        lost += usize::from(socket.recv(&mut [0; 10]).is_err());
    }
    assert!(lost <= 2, "{lost} of 100 datagrams were not answered");
}
