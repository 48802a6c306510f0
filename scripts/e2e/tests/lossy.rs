//! `apps/httpd` at the far end of the relay, which loses, delays and damages frames.
//!
//! What fast is, `make lossy` measures; here everything must arrive, and not take for ever.

use std::{
    fs,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use e2e::{Boot, Guest, needs_tap, root, run};

/// A path as the simulation has it for its long streams.
const PATH: &str = "--rtt 20ms --rate 100Mbit --queue 250KB --seed 1";
const RTT: Duration = Duration::from_millis(20);
/// How long an upload and its echo may take: many times what it takes.
const PATIENCE_SECS: &str = "120";

/// A guest behind a relay with these faults.
fn behind(faults: &str) -> Guest {
    Boot::new("httpd").variable("NET_DEV", "relay").variable("RELAY", faults).serve()
}

/// Uploads `len` bytes and gets them back.
fn come_back(guest: &Guest, len: usize) {
    let body: Vec<u8> = (0..len).map(|i| (i / 251 * 31 + i) as u8).collect();
    let file = root().join("target/e2e-lossy.bin");
    fs::write(&file, &body).unwrap();
    let since = Instant::now();
    let echoed = run(Command::new("curl")
        .args(["-sS", "--fail-with-body", "--max-time", PATIENCE_SECS, "-H", "Expect:"])
        .args(["--data-binary", &format!("@{}", file.display()), &guest.url("/echo")]));
    assert!(echoed == body, "{} bytes came back, or other ones", echoed.len());
    println!("{len} bytes there and back in {:?}", since.elapsed());
}

#[test]
fn megabytes_come_back_over_a_lossy_path() {
    if needs_tap() {
        return;
    }
    for loss in ["2%", "5%"] {
        let guest = behind(&format!("--loss {loss} {PATH}"));
        let since = Instant::now();
        let _stream = TcpStream::connect(guest.addr(80)).expect("the guest accepts");
        assert!(since.elapsed() >= RTT, "connected in {:?}: no relay", since.elapsed());
        come_back(&guest, 2_000_000);
    }
}

#[test]
fn what_is_damaged_doubled_and_overtaken_comes_back_as_well() {
    if needs_tap() {
        return;
    }
    let guest = behind(
        "--loss 1% --corrupt 1% --duplicate 2% --reorder 3% --late 3ms --jitter 1ms --rtt 4ms",
    );
    come_back(&guest, 1_000_000);
}
