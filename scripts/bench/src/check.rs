//! Whether an operation costs more instructions than it did.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    OUT, Result, contestant::Contestant, counter, images, operation::Operation, progress::Progress,
};

/// How much more is too much. Counts of one image differ by less.
const TOLERANCE: f64 = 0.05;
/// Each operation is counted so often, and the least is taken: what the host does at the same time
/// makes the guest wake up more often, not less. What is too much is counted so often again.
const ROUNDS: usize = 4;

/// What is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Write the baseline instead of comparing with it
    #[arg(long)]
    update: bool,
    /// Instructions per operation
    #[arg(long, default_value = "scripts/bench/baseline.json")]
    baseline: PathBuf,
}

/// Instructions by the operation's name.
type Costs = BTreeMap<String, f64>;

/// Builds the images and the plugin.
///
/// # Errors
/// One is not built; why, the compiler has said.
pub(crate) fn prepare() -> Result<()> {
    for app in ["httpd", "echo"] {
        images::build(app)?;
    }
    counter::build(Path::new(OUT))
}

/// Counts, and compares.
///
/// # Errors
/// An operation costs too much, or cannot be counted.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let mut costs = Costs::new();
    measure(&Operation::ALL, &mut costs)?;
    if settings.update {
        fs::write(&settings.baseline, format!("{:#}\n", serde_json::to_value(&costs)?))?;
        println!("{}", settings.baseline.display());
        return Ok(());
    }
    let text = fs::read_to_string(&settings.baseline)
        .map_err(|error| format!("{}: {error}", settings.baseline.display()))?;
    let baseline: Costs = serde_json::from_str(&text)?;
    let again = compare(&baseline, &costs).1;
    let again: Vec<_> = again.iter().map(|name| Operation::named(name)).collect::<Result<_>>()?;
    measure(&again, &mut costs)?;
    let (lines, failed) = compare(&baseline, &costs);
    println!("{lines}");
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!(
            "more than {:.0} % over the baseline, or not in it: {}",
            100.0 * TOLERANCE,
            failed.join(", ")
        )
        .into()),
    }
}

/// Counts operations, and notes what is less than known so far.
fn measure(operations: &[Operation], costs: &mut Costs) -> Result<()> {
    let plugin = counter::path(Path::new(OUT))?;
    let progress = Progress::new((ROUNDS * operations.len()) as u64);
    for operation in operations.iter().cycle().take(ROUNDS * operations.len()) {
        progress.begin(&operation.title());
        let machine = Contestant::Axwire.counted(operation.service(), &plugin);
        let machine = machine.ok_or("we run in a machine")?;
        let server = machine.boot(operation.service())?;
        let (count, before, after) = operation.observe(&server, |it| it.counter()?.total())?;
        let cost = round((after - before) as f64 / count as f64);
        progress.end(&format!("{}: {cost} per {}", operation.title(), operation.unit()));
        let least = costs.entry(operation.name()).or_insert(cost);
        *least = least.min(cost);
    }
    Ok(())
}

/// To four digits: more would be noise.
fn round(value: f64) -> f64 {
    if value == 0.0 {
        return value;
    }
    let scale = 10_f64.powf(3.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

/// A line for each operation, and the names of those that fail.
fn compare(baseline: &Costs, costs: &Costs) -> (String, Vec<String>) {
    let (mut lines, mut failed) = (String::new(), vec![]);
    for (name, cost) in costs {
        let change = baseline.get(name).map(|known| cost / known - 1.0);
        let said = match change {
            Some(change) => format!("{:+.1} %", 100.0 * change),
            None => "not in the baseline".into(),
        };
        lines += &format!("{name:>14} {cost:>12.2}  {said}\n");
        if change.is_none_or(|change| change > TOLERANCE) {
            failed.push(name.clone());
        }
    }
    (lines, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(pairs: &[(&str, f64)]) -> Costs {
        pairs.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect()
    }

    #[test]
    fn more_than_the_tolerance_fails() {
        let baseline = costs(&[("http-1", 1000.0), ("http-16", 1000.0), ("udp-echo", 1000.0)]);
        let now = costs(&[("http-1", 1051.0), ("http-16", 1049.0), ("udp-echo", 500.0)]);
        let (lines, failed) = compare(&baseline, &now);
        assert_eq!(failed, ["http-1"]);
        assert!(lines.contains("+5.1 %") && lines.contains("-50.0 %"), "{lines}");
    }

    #[test]
    fn what_is_not_in_the_baseline_fails() {
        assert_eq!(compare(&costs(&[]), &costs(&[("new", 1.0)])).1, ["new"]);
    }

    #[test]
    fn four_digits() {
        assert_eq!([16_849.9, 3.72849, 0.0].map(round), [16_850.0, 3.728, 0.0]);
    }
}
