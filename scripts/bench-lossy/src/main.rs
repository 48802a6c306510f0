//! Bulk transfers between Linux and an image, and between Linux and Linux, over one lossy relay.
//!
//! A client of this machine sends a body to a server at the other end of the relay and has it sent
//! back; every byte is compared. The server is `apps/httpd` in QEMU, or a process of this program
//! in a second network namespace. What is looked for is the ratio of the two: the path is the same,
//! the processors are not.
//!
//! - `world`: the relay with either server; `server`: the Linux one
//! - `exchange`: the client, with its clock
//! - `measure`: rounds and medians; `report` and `plot`: what comes of them

#![forbid(unsafe_code)]

mod exchange;
mod measure;
mod plot;
mod report;
mod server;
mod world;

use std::{error::Error, fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use sim::units;

/// Where the congestion control that sockets begin with is named.
const SYSCTL_CONGESTION: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Measures bulk transfers over a lossy relay. Runs inside of scripts/netns.sh.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be the Linux server; for this program itself
    Serve {
        /// The congestion control of its connections
        congestion: String,
    },
}

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Bytes in each direction
    #[arg(long, default_value = "100MB", value_parser = units::bytes)]
    size: u64,
    /// Frames lost, in each direction; a row for each
    #[arg(long, value_delimiter = ',', default_value = "2%,5%",
        value_parser = valid(units::chance))]
    loss: Vec<String>,
    /// Round-trip time that the relay adds, half in each direction
    #[arg(long, default_value = "20ms", value_parser = valid(units::time))]
    rtt: String,
    /// The relay's speed in each direction
    #[arg(long, default_value = "100Mbit", value_parser = valid(units::bits_per_second))]
    rate: String,
    /// What may wait for it
    #[arg(long, default_value = "250KB", value_parser = valid(units::bytes))]
    queue: String,
    /// The first round's seed; each round has the next one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds in each of which everything is measured once; one takes the better part of an hour
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Linux's congestion controls; the system's and CUBIC if absent
    #[arg(long, value_delimiter = ',')]
    congestion: Vec<String>,
    /// How long each direction of one transfer may take
    #[arg(long, default_value = "20min", value_parser = units::time)]
    limit: Duration,
    /// Folder for report.md, transfers.svg and the logs
    #[arg(long, default_value = "target/lossy")]
    out: PathBuf,
}

/// Checks a value, so that a wrong one is named at once. It goes to the relay as it is.
fn valid<T>(
    parse: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |text| parse(text).map(|_| text.to_owned())
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Arguments { role, settings } = Arguments::parse();
    match role {
        Some(Role::Serve { congestion }) => server::run(&congestion)?,
        None => return bench(settings),
    }
    Ok(ExitCode::SUCCESS)
}

fn bench(mut settings: Settings) -> Result<ExitCode, Box<dyn Error>> {
    if std::env::var("AXWIRE_NET").as_deref() != Ok("tap") {
        eprintln!("error: there must be a namespace with a tap device; run make lossy");
        return Ok(ExitCode::FAILURE);
    }
    let system = fs::read_to_string(SYSCTL_CONGESTION)?.trim().to_owned();
    if settings.congestion.is_empty() {
        settings.congestion = vec![system.clone(), "cubic".into()];
        settings.congestion.dedup();
    }
    fs::create_dir_all(&settings.out)?;
    let results = measure::all(&settings)?;
    print!("{}", report::table(&results));
    let (page, figure) = (settings.out.join("report.md"), settings.out.join("transfers.svg"));
    fs::write(&page, report::page(&results, &settings, &system))?;
    plot::draw(&figure, &results)?;
    println!("\n{} and {}", page.display(), figure.display());
    let is_complete = results.iter().all(measure::Row::is_complete);
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
