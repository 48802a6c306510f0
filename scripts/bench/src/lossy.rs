//! Streams over a path that loses frames: a guest, and the host as its peer, with scripts/relay
//! between them.

use std::{
    ffi::OsString,
    fmt::Write,
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::TcpCongestion};

use crate::{
    Result,
    contestant::{Contestant, run},
    load::{Until, bulk},
    machine::Server,
    names,
    results::{Measured, Row, Sample},
    service::Service,
};

/// Frames lost in each direction, in per cent. Without losses it is the path's speed that counts.
pub(crate) const LOSSES: [u32; 3] = [0, 1, 5];
/// Seeds in each round where there are losses.
const SEEDS: u64 = 2;
/// How long a stream takes: at 5 % some fifty of its frames are lost.
const SPAN: Duration = Duration::from_secs(5);
/// The rest of the path; half of the time is in each direction.
const RTT_MS: u32 = 20;
const RATE_MBIT: u32 = 100;
const QUEUE_KB: u32 = 250;
/// What the host's end sends with: the congestion control that Linux is built with by default.
pub(crate) const CUBIC: &str = "cubic";
/// And the system's own, if that is another.
const SYSCTL_CONGESTION: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
/// How `scripts/bench/server` begins to say what its kernel has.
const ANNOUNCEMENT: &str = "bench-server: congestion control: ";
/// A full segment's payload: Ethernet's 1500 bytes less the headers of IPv4 and TCP.
const MSS: f64 = 1460.0;

/// Builds the relay.
///
/// # Errors
/// It is not built; why, the compiler has said.
pub(crate) fn prepare() -> Result<()> {
    run(Command::new("cargo").args(["build", "--quiet", "--package", "relay"]))
}

/// The relay's arguments.
fn rules(loss: u32, seed: u64) -> String {
    let line = format!("--rate {RATE_MBIT}Mbit --queue {QUEUE_KB}KB");
    format!("--loss {loss}% --rtt {RTT_MS}ms {line} --seed {seed}")
}

/// The seeds of a round, counted from zero: the same for everybody, never those of another round.
fn seeds(loss: u32, round: u64) -> impl Iterator<Item = u64> {
    let count = if loss == 0 { 1 } else { SEEDS };
    (1 + round * SEEDS..).take(count as usize)
}

/// Measures streams in both directions, with each seed of the round in a guest of its own.
///
/// # Errors
/// The guest does not start, or a stream breaks.
pub(crate) fn measure(
    contestant: Contestant,
    loss: u32,
    round: u64,
    measured: &mut Measured,
) -> Result<()> {
    for seed in seeds(loss, round) {
        let machine = contestant.machine(Service::Generate).ok_or("there is no guest")?;
        let server = machine.behind(rules(loss, seed)).boot(Service::Generate)?;
        let outcome = streams(&server, loss, &mut measured.samples);
        outcome.map_err(|error| server.explain(error))?;
        if let Some(control) = server.said(ANNOUNCEMENT) {
            measured.notes.push(format!("{contestant}: congestion control {control}"));
        }
    }
    Ok(())
}

/// The guest sends first: it has learnt nothing of the path yet.
fn streams(server: &Server, loss: u32, samples: &mut Vec<Sample>) -> Result<()> {
    let stream = bulk::connect(server.addr(Service::Generate))?;
    let transfer = bulk::receive(stream, Until::Elapsed(SPAN))?;
    samples.push(transfer.sample(&names::lossy(loss, names::SENDS)));
    for control in controls()? {
        let stream = connect(server.addr(Service::Discard), &control)?;
        let transfer = bulk::send(stream, Until::Elapsed(SPAN))?;
        samples.push(transfer.sample(&names::lossy(loss, &receives_from(&control))));
    }
    Ok(())
}

/// What the direction is called in which the host sends.
pub(crate) fn receives_from(control: &str) -> String {
    format!("{} from {control}", names::RECEIVES)
}

/// The host's congestion controls.
fn controls() -> Result<Vec<String>> {
    let system = fs::read_to_string(SYSCTL_CONGESTION)?;
    let mut controls = vec![CUBIC.to_owned(), system.trim().to_owned()];
    controls.dedup();
    Ok(controls)
}

fn connect(addr: SocketAddr, control: &str) -> Result<TcpStream> {
    let stream = bulk::connect(addr)?;
    setsockopt(&stream, TcpCongestion, &OsString::from(control))
        .map_err(|error| format!("the host has no congestion control {control}: {error}"))?;
    Ok(stream)
}

/// Puts figures into a text about the path and what goes over it.
pub(crate) fn fill_in(text: &str) -> String {
    text.replace("{span}", &format!("{} s", SPAN.as_secs()))
        .replace("{rtt}", &format!("{RTT_MS} ms"))
        .replace("{rate}", &format!("{RATE_MBIT} Mbit/s"))
        .replace("{queue}", &format!("{QUEUE_KB} KB"))
        .replace("{seeds}", &SEEDS.to_string())
}

/// What keeps us from more, of a row in which a guest sends.
pub(crate) fn remarks(rows: &[Row]) -> String {
    let mut remarks = String::new();
    for loss in LOSSES.into_iter().filter(|loss| *loss > 0) {
        let bound = mathis(f64::from(loss) / 100.0);
        let is_wanted = |row: &&Row| row.name == names::lossy(loss, names::SENDS);
        let row = rows.iter().find(is_wanted);
        if let Some(ours) = row.and_then(|row| row.median(Contestant::Axwire)) {
            let _ = writeln!(
                remarks,
                "At {loss} % that is {bound:.2} MB/s; we send {:.2} times as much.\n",
                ours / bound
            );
        }
    }
    match remarks.as_str() {
        "" => remarks,
        remarks => format!("{WHY}{remarks}"),
    }
}

const WHY: &str = "\
What keeps us from more is CUBIC, which takes each loss for congestion. At so short a round trip it
is in its Reno-friendly region (RFC 9438, section 4.3), where a sender reaches
MSS / RTT · √(3 / 2p) at a share p of lost segments (Mathis and others, 1997), if it never waits for
a retransmission timeout. What we receive from CUBIC is limited in the same way at the host's end.

";

/// Megabytes per second at a share of lost segments.
fn mathis(share: f64) -> f64 {
    MSS / (f64::from(RTT_MS) * 1e3) * (1.5 / share).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;

    #[test]
    fn seeds_differ_between_rounds() {
        let of = |loss, round| seeds(loss, round).collect::<Vec<_>>();
        assert_eq!(of(1, 0), [1, 2]);
        assert_eq!(of(5, 1), [3, 4]);
        assert_eq!(of(0, 2), [5]);
        assert_eq!(rules(5, 4), "--loss 5% --rtt 20ms --rate 100Mbit --queue 250KB --seed 4");
    }

    #[test]
    fn the_bound_falls_with_the_root_of_the_loss() {
        assert!((mathis(0.01) - 0.894).abs() < 0.001, "{}", mathis(0.01));
        assert!((mathis(0.01) / mathis(0.04) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn remarks_compare_with_the_bound() {
        let mut results = Results::default();
        let name = names::lossy(1, names::SENDS);
        let sample = Sample::more(&name, "MB/s", mathis(0.01) * 0.75);
        results.add("lossy", Contestant::Axwire, sample);
        let (_, rows) = results.groups().next().expect("one group");
        let remarks = remarks(rows);
        assert!(remarks.contains("At 1 % that is 0.89 MB/s; we send 0.75 times"), "{remarks}");
        assert!(!remarks.contains("At 5 %"), "{remarks}");
    }

    #[test]
    fn without_rows_there_is_nothing_to_say() {
        assert_eq!(remarks(&[]), "");
    }
}
