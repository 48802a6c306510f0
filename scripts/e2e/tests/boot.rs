//! Booting: configuration, what can be missing, what it costs.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use e2e::{Boot, Guest, curl, needs_tap, root, run};

#[test]
fn dhcp_is_used_when_nothing_is_said_and_after_a_wrong_value() {
    let guest = Boot::new("httpd").append_only("").user_networking().start();
    guest.wait_for("axwire: 10.0.2.15/24");
    assert_eq!(curl(&[&guest.url("/bytes/2")]), [0, 1]);
    drop(guest);

    let wrong = "net.ip=10.0.2.300/24 net.gw=10.0.2.2";
    let guest = Boot::new("httpd").append_only(wrong).user_networking().start();
    let console = guest.wait_for("axwire: 10.0.2.15/24");
    assert!(console.contains("axwire: net.ip=10.0.2.300/24: not an IPv4 address; using DHCP"));
    assert_eq!(curl(&[&guest.url("/bytes/2")]), [0, 1]);
}

#[test]
fn a_missing_or_foreign_network_card_is_named() {
    for (card, message) in
        [(vec![], "no network card"), (vec!["-device", "e1000,netdev=net0,romfile="], "8086:100e")]
    {
        let mut arguments =
            vec!["-machine", "q35", "-cpu", "max", "-m", "128M", "-display", "none"];
        arguments.extend(["-serial", "stdio", "-vga", "none", "-no-reboot", "-nic", "none"]);
        arguments.extend(["-netdev", "user,id=net0"]);
        arguments.extend(card);
        let image = e2e::image("httpd");
        let output = run(Command::new("timeout")
            .args(["60", "qemu-system-x86_64", "-kernel"])
            .arg(image)
            .args(arguments));
        let console = String::from_utf8_lossy(&output);
        assert!(console.contains("axwire: ") && console.contains(message), "{console}");
    }
}

#[test]
fn little_and_much_memory_serve() {
    for memory in ["32M", "1G"] {
        let guest = Boot::new("httpd").variable("MEM", memory).serve();
        let streams: Vec<_> =
            (0..100).map(|_| TcpStream::connect(guest.addr(80)).unwrap()).collect();
        assert_eq!(curl(&[&guest.url("/bytes/5000000")]).len(), 5_000_000, "{memory}");
        drop(streams);
    }
}

/// A device that needs more room than there is below 4 GiB has the firmware put the card above it,
/// where the kernel has mapped nothing at its start.
#[test]
fn a_card_above_4_gib_serves() {
    let guest = Boot::new("httpd")
        .variable("QEMU_ARGS", "-device pci-testdev,membar=4G")
        .variable("LOG", "debug")
        .serve();
    let console = guest.wait_for("httpd: ");
    let (_, address) = console.split_once("mapping device registers at 0x").expect(&console);
    let digits = address.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default();
    assert!(u64::from_str_radix(digits, 16).unwrap() >= 1 << 32, "{digits}");
    assert_eq!(curl(&[&guest.url("/bytes/1")]), [0]);
}

#[test]
fn at_rest_the_guest_sleeps() {
    let guest = Boot::new("httpd").serve();
    assert_eq!(curl(&[&guest.url("/bytes/1")]), [0]);
    guest.assert_at_rest(50);
}

#[test]
fn the_guests_clock_agrees_with_the_hosts() {
    let guest = Boot::new("httpd").serve();
    // The first answer may be late: the host's side of the link is coming up.
    guest.stat("uptime_ms");
    let (uptime, host) = (guest.stat("uptime_ms"), Instant::now());
    thread::sleep(Duration::from_secs(5));
    let (uptime, host) = (guest.stat("uptime_ms") - uptime, host.elapsed().as_millis() as f64);
    let ratio = uptime as f64 / host;
    assert!((0.95..1.05).contains(&ratio), "{uptime} ms in the guest, {host} ms outside");
}

/// RFC 2131 section 3.7: the lease is verified, and a connection lives through it.
#[test]
fn a_link_that_goes_and_comes_back_is_noticed() {
    for app in ["httpd", "threads"] {
        let mut guest = Boot::new(app).append_only("").user_networking().serve();
        guest.wait_for("axwire: 10.0.2.15/24");
        let mut stream = TcpStream::connect(guest.addr(80)).unwrap();
        for (state, said) in [("off", "axwire: the link is down"), ("on", "axwire: the link is up")]
        {
            guest.monitor(&format!("set_link net0 {state}"));
            guest.wait_for(said);
        }
        stream.write_all(b"GET /bytes/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(b"\r\n\r\n\x00\x01"), "{app}: {}", answer.escape_ascii());
        let console = guest.wait_for(&format!("{app}: "));
        assert!(!console.contains("no IPv4 address any more"), "{console}");
    }
}

/// A server on the host, and the word that has `apps/httpget` ask it. The port is any that is free:
/// tests that wait for their turn to boot a guest may listen already.
fn web_server() -> (TcpListener, String) {
    let server = TcpListener::bind("10.0.2.2:0").unwrap();
    let url = format!("httpget.url=http://{}/x", server.local_addr().unwrap());
    (server, url)
}

/// What tcpdump says of the frames so far. While the guest runs, nobody else overwrites its capture.
fn captured(_running: &Guest, filter: &str) -> String {
    let dump = root().join("target/netdump.pcap");
    let lines = run(Command::new("tcpdump").args(["-nnSr"]).arg(dump).arg(filter));
    String::from_utf8(lines).unwrap()
}

#[test]
fn two_boots_have_other_sequence_numbers_and_ports() {
    if needs_tap() {
        return;
    }
    let (server, url) = web_server();
    let boot = || {
        let guest = Boot::new("httpget").variable("NET_DUMP", "y").append(&url).start();
        let (_stream, peer) = server.accept().unwrap();
        let line = captured(&guest, "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn");
        let isn = line.split("seq ").nth(1).unwrap().split(',').next().unwrap().to_string();
        (isn, peer.port())
    };
    let (first, second) = (boot(), boot());
    assert_ne!(first.0, second.0, "initial sequence numbers");
    assert_ne!(first.1, second.1, "ephemeral ports");
}

#[test]
fn a_device_that_gives_entropy_is_asked_for_it() {
    let guest = Boot::new("httpd")
        .variable("QEMU_ARGS", "-device virtio-rng-pci")
        .variable("LOG", "debug")
        .serve();
    let console = guest.wait_for("httpd: ");
    // The card has a driver of our own.
    assert!(console.contains("virtio_drivers"), "nobody has opened the device:\n{console}");
    assert_eq!(curl(&[&guest.url("/bytes/1")]), [0]);
}

#[test]
fn the_client_sleeps_five_seconds_when_told_to() {
    if needs_tap() {
        return;
    }
    let (server, url) = web_server();
    let get = format!("{url} httpget.count=2 httpget.interval=5");
    let mut guest = Boot::new("httpget").append(&get).start();
    let serve = || {
        let (mut stream, _) = server.accept().unwrap();
        let at = Instant::now();
        assert_ne!(stream.read(&mut [0; 1024]).unwrap(), 0);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            .unwrap();
        at
    };
    let (first, second) = (serve(), serve());
    let waited = (second - first).as_secs_f64();
    assert!((4.95..5.5).contains(&waited), "{waited} s between two requests");
    let console = guest.wait_for_end();
    assert_eq!(console.matches("httpget: 200, 5 bytes").count(), 2, "{console}");
}

#[test]
fn packets_are_captured_and_the_log_talks() {
    let guest = Boot::new("httpd").variable("NET_DUMP", "y").variable("LOG", "debug").serve();
    assert_eq!(curl(&[&guest.url("/bytes/1")]), [0]);
    let console = guest.wait_for("httpd: ");
    assert!(console.contains("network card at PCI"), "the debug log names it:\n{console}");
    assert!(captured(&guest, "tcp port 80").contains("HTTP: HTTP/1.1 200 OK"));
}
