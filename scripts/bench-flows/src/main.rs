//! What a packet costs among many TCP connections.
//!
//! Not a measure of throughput: 64 bytes go to and fro between two stacks in this process, over
//! rings in memory, in virtual time. What is looked for is the slope: a stack that looks at every
//! socket for every packet has one. smoltcp's plain `SocketSet` does the same beside ours.
//!
//! - `world`: what both contestants can do; `ours` and `plain`: the contestants
//! - `link`: the device, the same for both
//! - `memory`: the counting allocator
//! - `measure`: rounds and medians; `report` and `plot`: what comes of them

mod link;
mod measure;
mod memory;
mod ours;
mod plain;
mod plot;
mod report;
mod world;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::measure::{Settings, Workload};

/// How much more a packet may cost among 40,000 connections than with one.
const RATIO_MAX: f64 = 1.5;

/// Measures what a packet costs among many TCP connections.
#[derive(Parser)]
struct Arguments {
    /// Numbers of connections, ascending; the costs are compared with those of the first
    #[arg(long, value_delimiter = ',', default_value = "1,100,10000,40000")]
    flows: Vec<usize>,
    /// Rounds in each of which everything is measured once
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Milliseconds that one measurement takes at least
    #[arg(long, default_value_t = 40)]
    millis: u64,
    /// Folder for flows.md and flows.svg
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let settings = Settings { rounds: arguments.rounds, millis: arguments.millis };
    let results = measure::all(&arguments.flows, &settings)?;
    print!("{}", report::tables(&results));
    std::fs::create_dir_all(&arguments.out)?;
    let (page, figure) = (arguments.out.join("flows.md"), arguments.out.join("flows.svg"));
    std::fs::write(&page, report::page(&results, &settings))?;
    plot::draw(&figure, &results)?;
    println!("\n{} and {}", page.display(), figure.display());
    Ok(judge(&results))
}

fn judge(results: &[measure::Contestant]) -> ExitCode {
    let ratio = results[0].ratios(Workload::Active).last().copied().unwrap_or(1.0);
    if ratio <= RATIO_MAX {
        return ExitCode::SUCCESS;
    }
    eprintln!("netstack's cost is not flat: {ratio:.2} times that of one connection");
    ExitCode::FAILURE
}
