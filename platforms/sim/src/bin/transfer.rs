//! Long streams over one faulty link, both ways, in virtual time: a table of how fast they are.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use sim::{
    Card,
    impairment::{Chance, Rate},
    transfer::{Report, Sender, Transfer, run},
    units,
};

/// Sends long streams between two simulated hosts and prints how long they take in virtual time.
#[derive(Debug, Parser)]
#[command(name = "sim-transfer")]
struct Arguments {
    /// Bytes of each stream
    #[arg(long, default_value = "100MB", value_parser = units::bytes)]
    size: u64,
    /// Frames lost, in each direction; a table row for each
    #[arg(long, value_delimiter = ',', default_value = "2%,5%", value_parser = units::chance)]
    loss: Vec<Chance>,
    /// Round-trip time that the link adds, half in each direction
    #[arg(long, default_value = "20ms", value_parser = units::time)]
    rtt: Duration,
    /// The link's speed in each direction
    #[arg(long, default_value = "100Mbit", value_parser = units::bits_per_second)]
    rate: u64,
    /// What may wait for the link; what exceeds it is lost
    #[arg(long, default_value = "250KB", value_parser = units::bytes)]
    queue: u64,
    /// Cards that cut and join segments, and do checksums
    #[arg(long)]
    offload: bool,
    /// Decides everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Virtual time that a stream may take
    #[arg(long, default_value = "120min", value_parser = units::time)]
    limit: Duration,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { size, rtt, rate, queue, seed, .. } = &arguments;
    println!(
        "{} MB, {} ms round trip, {} Mbit/s with {} KB of queue, seed {seed}\n",
        *size as f64 / 1e6,
        rtt.as_micros() as f64 / 1e3,
        *rate as f64 / 1e6,
        *queue as f64 / 1e3,
    );
    println!("| loss | sender | virtual seconds | MB/s | frames sent | frames lost |");
    println!("|---|---|--:|--:|--:|--:|");
    let mut all_arrived = true;
    for loss in &arguments.loss {
        for sender in [Sender::Client, Sender::Server] {
            all_arrived &= row(&arguments, *loss, sender);
        }
    }
    if all_arrived { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one transfer and prints its row. Returns whether it arrived.
fn row(arguments: &Arguments, loss: Chance, sender: Sender) -> bool {
    let &Arguments { size: len, rtt, rate, queue, seed, limit, offload, .. } = arguments;
    let card = if offload { Card::able() } else { Card::default() };
    let rate = Some(Rate { bits_per_second: rate, queue_bytes: queue });
    match run(&Transfer { seed, len, sender, loss, rtt, rate, card, limit }) {
        Ok(report) => {
            let Report { took, frames_sent, frames_lost, .. } = report;
            let (secs, goodput) = (took.as_secs_f64(), report.goodput(len));
            println!(
                "| {loss} | {sender:?} | {secs:.1} | {goodput:.3} | {frames_sent} | {frames_lost} |"
            );
            true
        }
        Err(problem) => {
            println!("| {loss} | {sender:?} | {problem} | | | |");
            false
        }
    }
}
