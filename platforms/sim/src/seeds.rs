//! One seed: its scenario, and what is left behind when it fails.

use std::{
    any::Any,
    fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use crate::{
    capture::Capture,
    scenario::{self, Plan, Report, Violation},
};

/// Every so many seeds a scenario that went well is run once more, for its trace to be the same.
const REPLAY_EVERY: u64 = 8;

/// A scenario in which something went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub violations: Vec<Violation>,
    /// Where every host's frames are, or why they could not be written.
    pub captured: Result<PathBuf, String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        writeln!(f, "seed {seed} failed:")?;
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        match &self.captured {
            Ok(folder) => writeln!(f, "  packets: {}/{seed}-*.pcap", folder.display())?,
            Err(error) => writeln!(f, "  no packets: {error}")?,
        }
        write!(f, "  again: make sim SEED={seed}")
    }
}

/// Runs a seed's scenario. If it fails, it is run once more and every host's frames are written to
/// `<folder>/<seed>-<host>.pcap`.
///
/// # Errors
/// What went wrong.
pub fn check(seed: u64, folder: &Path) -> Result<Report, Failure> {
    check_plan(&Plan::draw(seed), folder)
}

/// The same for a scenario that need not be a seed's.
///
/// # Errors
/// What went wrong.
pub fn check_plan(plan: &Plan, folder: &Path) -> Result<Report, Failure> {
    let first = attempt(plan, &[]);
    if let Ok(report) = &first
        && report.violations.is_empty()
        && !plan.seed.is_multiple_of(REPLAY_EVERY)
    {
        return Ok(report.clone());
    }
    let captures: Vec<_> = plan.hosts.iter().map(|_| Capture::default()).collect();
    let second = attempt(plan, &captures);
    let violations = compare(&first, &second);
    match (first, violations.is_empty()) {
        (Ok(report), true) => Ok(report),
        _ => {
            let saved = save(&captures, plan.seed, folder);
            let captured = saved.map(|()| folder.to_owned()).map_err(|error| error.to_string());
            Err(Failure { seed: plan.seed, violations, captured })
        }
    }
}

/// A panic anywhere in a stack or a task fails the scenario.
fn attempt(plan: &Plan, captures: &[Capture]) -> Result<Report, Violation> {
    catch_unwind(AssertUnwindSafe(|| scenario::run(plan, captures)))
        .map_err(|panic| Violation::new(format!("panicked: {}", message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

fn compare(
    first: &Result<Report, Violation>,
    second: &Result<Report, Violation>,
) -> Vec<Violation> {
    let mut violations = match first {
        Ok(report) => report.violations.clone(),
        Err(panic) => vec![panic.clone()],
    };
    let traces = [first, second].map(|run| run.as_ref().map(|report| report.trace).ok());
    if traces[0] != traces[1] {
        violations.push(Violation::new(format!("not deterministic: traces {traces:x?}")));
    }
    violations
}

fn save(captures: &[Capture], seed: u64, folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (host, capture) in captures.iter().enumerate() {
        capture.save(&folder.join(format!("{seed}-{host}.pcap")))?;
    }
    Ok(())
}
