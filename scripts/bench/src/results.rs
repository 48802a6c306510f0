//! The values of all rounds.

use std::collections::BTreeSet;

use crate::{contestant::Contestant, statistics::median, workload::Workload};

/// One value that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
    more_is_better: bool,
}

impl Sample {
    /// A value that is better the greater it is.
    pub(crate) fn more(name: &str, unit: &str, value: f64) -> Self {
        Sample { name: name.into(), unit: unit.into(), value, more_is_better: true }
    }

    /// A value that is better the smaller it is.
    pub(crate) fn less(name: &str, unit: &str, value: f64) -> Self {
        Sample { more_is_better: false, ..Sample::more(name, unit, value) }
    }
}

/// What one measurement gives.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) samples: Vec<Sample>,
    /// What they depend on.
    pub(crate) notes: Vec<String>,
}

/// A value of everybody.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: String,
    more_is_better: bool,
    /// One for each round in which it was measured, by contestant.
    samples: [Vec<f64>; Contestant::ALL.len()],
}

impl Row {
    pub(crate) fn samples(&self, contestant: Contestant) -> &[f64] {
        &self.samples[contestant as usize]
    }

    pub(crate) fn median(&self, contestant: Contestant) -> Option<f64> {
        median(self.samples(contestant))
    }

    /// How many times as good we are as a peer.
    pub(crate) fn advantage(&self, peer: Contestant) -> Option<f64> {
        let (ours, theirs) = (self.median(Contestant::Axwire)?, self.median(peer)?);
        let ratio = if self.more_is_better { ours / theirs } else { theirs / ours };
        ratio.is_finite().then_some(ratio)
    }
}

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) workload: Workload,
    pub(crate) contestant: Contestant,
    pub(crate) why: String,
}

/// The rows of each group of workloads, and what went wrong.
#[derive(Debug, Default)]
pub(crate) struct Results {
    groups: Vec<(&'static str, Vec<Row>)>,
    pub(crate) failures: Vec<Failure>,
    /// What the values depend on.
    pub(crate) notes: BTreeSet<String>,
}

impl Results {
    /// The groups that have rows, in the order in which they were first measured.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&'static str, &[Row])> {
        self.groups.iter().map(|(group, rows)| (*group, rows.as_slice()))
    }

    /// The row of that group, name and unit.
    pub(crate) fn row(&self, group: &str, name: &str, unit: &str) -> Option<&Row> {
        let (_, rows) = self.groups().find(|(known, _)| *known == group)?;
        rows.iter().find(|row| row.name == name && row.unit == unit)
    }

    /// Adds a value of a contestant.
    pub(crate) fn add(&mut self, group: &'static str, contestant: Contestant, sample: Sample) {
        let at = self.groups.iter().position(|(name, _)| *name == group).unwrap_or_else(|| {
            self.groups.push((group, vec![]));
            self.groups.len() - 1
        });
        let rows = &mut self.groups[at].1;
        let is_same = |row: &Row| row.name == sample.name && row.unit == sample.unit;
        let at = rows.iter().position(is_same).unwrap_or_else(|| {
            let Sample { name, unit, more_is_better, .. } = sample.clone();
            rows.push(Row { name, unit, more_is_better, samples: Default::default() });
            rows.len() - 1
        });
        rows[at].samples[contestant as usize].push(sample.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        for (ours, theirs) in [(10.0, 4.0), (30.0, 5.0), (20.0, 6.0)] {
            for (contestant, value) in [(Contestant::Axwire, ours), (Contestant::Linux, theirs)] {
                results.add("bulk", contestant, Sample::more("sends", "MB/s", value));
                results.add("echo", contestant, Sample::less("TCP, p50", "µs", value));
            }
        }
        results
    }

    fn rows<'r>(results: &'r Results, group: &str) -> &'r [Row] {
        results.groups().find(|(name, _)| *name == group).map_or(&[], |(_, rows)| rows)
    }

    #[test]
    fn medians_of_rounds() {
        let results = results();
        let [row] = rows(&results, "bulk") else { panic!("one row") };
        assert_eq!(row.samples(Contestant::Axwire), [10.0, 30.0, 20.0]);
        assert_eq!(row.median(Contestant::Axwire), Some(20.0));
        assert_eq!(row.median(Contestant::Host), None);
    }

    #[test]
    fn better_is_above_one() {
        let results = results();
        assert_eq!(rows(&results, "bulk")[0].advantage(Contestant::Linux), Some(4.0));
        assert_eq!(rows(&results, "echo")[0].advantage(Contestant::Linux), Some(0.25));
        assert_eq!(rows(&results, "echo")[0].advantage(Contestant::Upstream), None);
    }

    #[test]
    fn rows_have_a_unit() {
        let results = results();
        let median = |unit| results.row("bulk", "sends", unit)?.median(Contestant::Linux);
        assert_eq!((median("MB/s"), median("µs")), (Some(5.0), None));
    }

    #[test]
    fn groups_keep_their_order() {
        let results = results();
        assert_eq!(results.groups().map(|(name, _)| name).collect::<Vec<_>>(), ["bulk", "echo"]);
        assert!(rows(&results, "kv").is_empty());
    }
}
