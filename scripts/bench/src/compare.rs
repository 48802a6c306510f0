//! Rounds, in each of which everybody is measured in turn, so that a slow moment of the machine
//! falls on all alike.

use std::{fs, path::Path};

use crate::{
    OUT, Result,
    contestant::Contestant,
    counter, lossy, plot,
    processors::ProcessorTime,
    progress::Progress,
    report,
    results::{Failure, Measured, Results},
    workload::Workload,
};

/// No connection is to profit from what the host has learnt of the guest's address from another.
const SYSCTL_FORGET: &str = "/proc/sys/net/ipv4/tcp_no_metrics_save";

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Rounds in each of which everything is measured once, but instructions, which are counted in
    /// the first: they hardly differ
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
    /// Groups of workloads (http, http-new, echo, idle, bulk, lossy, iperf, kv, start,
    /// instructions); all if absent
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

impl Settings {
    fn workloads(&self) -> Result<Vec<Workload>> {
        let all = Workload::all();
        for group in &self.only {
            if !all.iter().any(|workload| workload.group() == group) {
                return Err(format!("there is no group {group}; --help names them").into());
            }
        }
        let is_wanted = |workload: &Workload| {
            self.only.is_empty() || self.only.iter().any(|group| group == workload.group())
        };
        Ok(all.into_iter().filter(is_wanted).collect())
    }
}

/// Builds and fetches everything.
///
/// # Errors
/// Something cannot be had; what, it has said.
pub(crate) fn prepare(settings: &Settings) -> Result<()> {
    let workloads = settings.workloads()?;
    for contestant in Contestant::ALL {
        let takes_part = |it: &&Workload| it.contestants().contains(&contestant);
        let mut services: Vec<_> =
            workloads.iter().filter(takes_part).map(|workload| workload.service()).collect();
        services.sort();
        services.dedup();
        if !services.is_empty() {
            contestant.prepare(&services)?;
        }
    }
    if workloads.iter().any(|workload| matches!(workload, Workload::Lossy(_))) {
        lossy::prepare()?;
    }
    counter::build(Path::new(OUT))
}

/// Measures, and writes the report.
///
/// # Errors
/// The report cannot be written, or we have failed; a peer that fails is reported.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let workloads = settings.workloads()?;
    fs::write(SYSCTL_FORGET, "1")?;
    let steps = |round| steps(&workloads, round);
    let progress =
        Progress::new((0..settings.rounds).map(|round| steps(round).count() as u64).sum());
    let mut results = Results::default();
    let begin = ProcessorTime::now()?;
    for round in 0..settings.rounds {
        for (workload, contestant) in steps(round) {
            let what = format!("round {}: {contestant}, {}", round + 1, workload.title());
            progress.begin(&what);
            let outcome = measure(workload, contestant, round, &mut results);
            progress.end(&format!("{what}: {outcome}"));
            // Whoever loses patience has what there is.
            write(&results, round + 1, ProcessorTime::now()?.stolen_since(begin))?;
        }
    }
    println!("\n{}\n{OUT}/report.md", report::tables(&results));
    match results.failures.iter().find(|failure| failure.contestant == Contestant::Axwire) {
        Some(failure) => Err(failure.to_string().into()),
        None => Ok(()),
    }
}

/// Who is measured in a round, and by what. Another begins each time.
fn steps(workloads: &[Workload], round: u64) -> impl Iterator<Item = (Workload, Contestant)> {
    let is_due = move |workload: &&Workload| round == 0 || !matches!(workload, Workload::Count(_));
    workloads.iter().filter(is_due).flat_map(move |workload| {
        let contestants = workload.contestants();
        let turned = contestants.iter().cycle().skip(round as usize % contestants.len());
        turned.take(contestants.len()).map(|contestant| (*workload, *contestant))
    })
}

fn measure(
    workload: Workload,
    contestant: Contestant,
    round: u64,
    results: &mut Results,
) -> String {
    let mut measured = Measured::default();
    let outcome = workload.measure(contestant, round, &mut measured);
    let Measured { samples, notes } = measured;
    let mut said: Vec<_> = samples
        .iter()
        .map(|it| format!("{} {} {}", it.name, report::number(it.value), it.unit))
        .collect();
    samples.into_iter().for_each(|sample| results.add(workload.group(), contestant, sample));
    results.notes.extend(notes);
    if let Err(error) = outcome {
        said.push(format!("failed: {error}"));
        results.failures.push(Failure { workload, contestant, why: error.to_string() });
    }
    said.join("; ")
}

fn write(results: &Results, rounds: u64, stolen: f64) -> Result<()> {
    let out = Path::new(OUT);
    fs::write(out.join("report.md"), report::page(results, rounds, stolen))?;
    fs::write(out.join("samples.json"), report::json(results))?;
    plot::draw_all(out, results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;

    #[test]
    fn another_begins_each_round() {
        let workloads = [Workload::Http, Workload::Count(Operation::TcpEcho { idle: 0 })];
        let first: Vec<_> = steps(&workloads, 0).collect();
        assert_eq!(first.len(), 4 + 3);
        assert_eq!(first[0], (Workload::Http, Contestant::Axwire));
        let second: Vec<_> = steps(&workloads, 1).collect();
        assert_eq!(second.len(), 4, "instructions are counted once");
        assert_eq!(second[0].1, Contestant::Upstream);
        assert_eq!(second[3].1, Contestant::Axwire);
    }
}
