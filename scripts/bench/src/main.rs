//! Measures Axwire's images beside their peers: upstream's network, a Linux guest, and the host.
//!
//! - `compare`: rounds; `workload`: what is measured; `contestant`: who
//! - `idle`: beside connections on which nothing happens; `lossy`: over a path that loses frames
//! - `profile`: where our instructions go; `check`: whether they have become more
//! - `machine`: guests in QEMU; `images`: how ours are built; `service`: what servers offer
//! - `processors`: how much of this machine's time others have had
//! - `counter`: instructions, by a plugin for QEMU (`plugin/count.c`); `symbols`: whose they are
//! - `load`, `tools`: clients, our own and others'; `operation`: what they ask for, in units that
//!   are counted
//! - `results`, `statistics`, `report`, `plot`: what comes of it; `names`: what it is called there;
//!   `goals`: whether it is what was wanted
//!
//! The peers are in `upstream` and `server`; `peers.sh` builds and fetches them.

#![forbid(unsafe_code)]

mod check;
mod compare;
mod contestant;
mod counter;
mod goals;
mod idle;
mod images;
mod load;
mod lossy;
mod machine;
mod names;
mod operation;
mod plot;
mod processors;
mod profile;
mod progress;
mod report;
mod results;
mod service;
mod statistics;
mod symbols;
mod tools;
mod workload;

use std::{env, process::ExitCode};

use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Where everything goes that is built or found out; `peers.sh` knows it, too.
const OUT: &str = "target/bench";

/// Measures images. `prepare` needs the internet, the rest the namespace of scripts/netns.sh.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only build what the command needs
    #[arg(long)]
    prepare: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Axwire and its peers, side by side
    Compare(compare::Settings),
    /// Where instructions go, function by function
    Profile(profile::Settings),
    /// Whether operations cost more instructions than the baseline says
    Check(check::Settings),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { prepare, command }: &Arguments) -> Result<()> {
    if *prepare {
        return match command {
            Command::Compare(settings) => compare::prepare(settings),
            Command::Profile(settings) => profile::prepare(settings),
            Command::Check(_) => check::prepare(),
        };
    }
    if env::var("AXWIRE_NET").as_deref() != Ok("tap") {
        return Err("there must be a namespace with a tap device here; see the Makefile".into());
    }
    // Thousands of connections are as many files.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    match command {
        Command::Compare(settings) => compare::run(settings),
        Command::Profile(settings) => profile::run(settings),
        Command::Check(settings) => check::run(settings),
    }
}
