//! Passes Ethernet frames between two ends, each direction by the simulation's rules.
//!
//! What `tc netem` does where it exists. An end is a tap device or a Unix datagram socket as
//! QEMU's `-netdev dgram` has it. Losses follow from a seed; which frame meets which loss depends
//! on the ends' timing.
//!
//! | module | what lives there |
//! |---|---|
//! | `end` | what frames come from and go to |
//! | `tap` | tap devices, and the only unsafe code |
//! | `lane` | one direction: a thread that receives, impairs, delays and passes on |
//!
//! It says `relay: ready` on its standard output, and what became of the frames on its standard
//! error when a signal has ended it.

#![deny(unsafe_code)]

mod end;
mod lane;
#[allow(
    unsafe_code,
    reason = "attaching to a tap device is an ioctl of a shape that nix cannot know"
)]
mod tap;

use std::{io, os::fd::AsFd, process::ExitCode, thread, time::Duration};

use clap::Parser;
use nix::sys::{
    eventfd::EventFd,
    prctl::{set_pdeathsig, set_timerslack},
    signal::{SigSet, Signal, kill},
};
use nix::unistd::Pid;
use sim::{
    Rng,
    impairment::{Chance, Rate, Rules},
    units,
};

use crate::{
    end::{Address, End},
    lane::Lane,
};

/// The shortest queue in bytes that takes a full frame.
const QUEUE_MIN: u64 = 1518;

/// Passes Ethernet frames between two ends and loses, delays or damages some.
///
/// An end is tap:NAME, a tap device that exists, or unix:OUR_PATH:THEIR_PATH, datagram sockets as
/// QEMU has them with -netdev
/// dgram,id=net0,local.type=unix,local.path=THEIR_PATH,remote.type=unix,remote.path=OUR_PATH
#[derive(Debug, Parser)]
struct Arguments {
    /// One end
    left: Address,
    /// The other
    right: Address,
    /// Frames lost, in each direction, such as 2%
    #[arg(long, default_value = "0%", value_parser = units::chance)]
    loss: Chance,
    /// Added to the round trip, half of it in each direction, such as 20ms
    #[arg(long, default_value = "0ms", value_parser = units::time)]
    rtt: Duration,
    /// At most this much more in each direction, at random; it does not change the order
    #[arg(long, default_value = "0ms", value_parser = units::time)]
    jitter: Duration,
    /// Frames that are overtaken, in each direction
    #[arg(long, default_value = "0%", value_parser = units::chance)]
    reorder: Chance,
    /// How much later those arrive
    #[arg(long, default_value = "5ms", value_parser = units::time)]
    late: Duration,
    /// Frames that arrive twice, in each direction
    #[arg(long, default_value = "0%", value_parser = units::chance)]
    duplicate: Chance,
    /// Frames with one bit flipped behind the Ethernet header, in each direction
    #[arg(long, default_value = "0%", value_parser = units::chance)]
    corrupt: Chance,
    /// The line's speed in each direction, such as 100Mbit; unlimited if absent
    #[arg(long, value_parser = units::bits_per_second)]
    rate: Option<u64>,
    /// What may wait for the line in each direction; what exceeds it is lost
    #[arg(long, requires = "rate", default_value = "250KB", value_parser = queue)]
    queue: u64,
    /// Decides what is lost and damaged
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End when the process that started this one ends
    #[arg(long)]
    end_with_parent: bool,
}

fn queue(text: &str) -> Result<u64, String> {
    let len = units::bytes(text)?;
    let is_enough = len >= QUEUE_MIN;
    is_enough.then_some(len).ok_or_else(|| format!("a frame needs {QUEUE_MIN} bytes"))
}

impl Arguments {
    fn rules(&self) -> Rules {
        let rate =
            self.rate.map(|bits_per_second| Rate { bits_per_second, queue_bytes: self.queue });
        Rules {
            loss: self.loss,
            duplication: self.duplicate,
            corruption: self.corrupt,
            reordering: self.reorder,
            lateness: self.late,
            delay: self.rtt / 2,
            jitter: self.jitter,
            rate,
            outages: vec![],
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    prepare(&signals, arguments.end_with_parent).map_err(|error| error.to_string())?;
    let open = |address| End::open(address).map_err(|error| format!("{address}: {error}"));
    let (left, right) = (open(&arguments.left)?, open(&arguments.right)?);
    let lane =
        |from, to, stream| Lane::new(from, to, arguments.rules(), Rng::new(arguments.seed, stream));
    let mut lanes = [lane(&left, &right, 0), lane(&right, &left, 1)];
    println!("relay: ready");
    let result = relay(&mut lanes, &signals).map_err(|error| error.to_string());
    report(arguments, &lanes);
    result
}

/// Before any thread starts: all of them inherit it.
fn prepare(signals: &SigSet, end_with_parent: bool) -> nix::Result<()> {
    signals.thread_block()?;
    // Frames are to be passed on when they are due, not 50 us later, the kernel's default.
    set_timerslack(1)?;
    if end_with_parent {
        set_pdeathsig(Signal::SIGTERM)?;
    }
    Ok(())
}

/// Runs each lane in a thread until one of `signals` comes, or an end has gone.
fn relay(lanes: &mut [Lane<'_>; 2], signals: &SigSet) -> io::Result<()> {
    let stop = EventFd::new()?;
    thread::scope(|scope| {
        let threads = lanes.each_mut().map(|lane| {
            scope.spawn(|| {
                let result = lane.run(stop.as_fd());
                if result.is_err() {
                    let _ = kill(Pid::this(), Signal::SIGTERM);
                }
                result
            })
        });
        signals.wait()?;
        stop.write(1)?;
        let [one, other] = threads.map(|thread| thread.join().expect("a lane does not panic"));
        one.and(other)
    })
}

fn report(arguments: &Arguments, lanes: &[Lane<'_>; 2]) {
    let Arguments { left, right, .. } = arguments;
    for ((from, to), lane) in [(left, right), (right, left)].into_iter().zip(lanes) {
        let report = lane.report();
        eprintln!("relay: {from} to {to}: {report}");
        if report.has_giants() {
            eprintln!("relay: {from} leaves segmentation to its card: ethtool -K {from} tso off");
        }
    }
}
