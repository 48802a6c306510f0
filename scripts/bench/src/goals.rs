//! What is wanted, and how far it was reached.

use crate::{
    contestant::Contestant,
    idle,
    load::http::Reuse,
    lossy, names,
    operation::Operation,
    report::{self, number},
    results::{Results, Row},
};

/// Those with the same machine as we.
const GUESTS: [Contestant; 2] = [Contestant::Upstream, Contestant::Linux];

/// A line of the table: our median of a row, over something, is to be so much.
struct Goal {
    group: &'static str,
    row: String,
    unit: String,
    over: Over,
    wanted: Wanted,
}

/// What our value is divided by.
enum Over {
    Nothing,
    Peer(Contestant),
    /// The guest that has the most.
    BestGuest,
    /// Our value of another row.
    Own(String),
}

enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Goal {
    fn new(group: &'static str, row: impl Into<String>, unit: &str) -> Self {
        let (row, unit) = (row.into(), unit.into());
        Goal { group, row, unit, over: Over::Nothing, wanted: Wanted::AtMost(0.0) }
    }

    fn over(self, over: Over) -> Self {
        Goal { over, ..self }
    }

    fn at_least(self, value: f64) -> Self {
        Goal { wanted: Wanted::AtLeast(value), ..self }
    }

    fn at_most(self, value: f64) -> Self {
        Goal { wanted: Wanted::AtMost(value), ..self }
    }

    fn below(self, value: f64) -> Self {
        Goal { wanted: Wanted::Below(value), ..self }
    }

    /// What somebody in our place has reached, if all that it takes was measured.
    fn reached(&self, results: &Results, who: Contestant) -> Option<f64> {
        let row = results.row(self.group, &self.row, &self.unit)?;
        let ours = row.median(who)?;
        match &self.over {
            Over::Nothing => Some(ours),
            Over::Peer(peer) => Some(ratio(ours, row.median(*peer)?)),
            Over::BestGuest => Some(ratio(ours, most(row)?)),
            Over::Own(other) => {
                let other = results.row(self.group, other, &self.unit)?;
                Some(ratio(ours, other.median(who)?))
            }
        }
    }

    fn line(&self, results: &Results) -> String {
        let Goal { row, unit, wanted, .. } = self;
        let outcome = match self.reached(results, Contestant::Axwire) {
            Some(reached) => {
                let is_met = if wanted.is_met(reached) { "yes" } else { "**no**" };
                format!("{} | {} | {is_met}", number(reached), number(wanted.margin(reached)))
            }
            None => "- | - | not measured".into(),
        };
        let title = report::title(self.group);
        let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
        let host = self.reached(results, Contestant::Host).map_or("-".into(), number);
        format!("| {title}: {row}{unit} | {} | {outcome} | {host} |\n", self.in_words())
    }

    fn in_words(&self) -> String {
        let (how, value) = match self.wanted {
            Wanted::AtLeast(value) => ("at least", value),
            Wanted::AtMost(value) => ("at most", value),
            Wanted::Below(value) => ("below", value),
        };
        let over = match &self.over {
            Over::Nothing => String::new(),
            Over::Peer(peer) => format!(" × {peer}"),
            Over::BestGuest => " × the better guest".into(),
            Over::Own(other) => format!(" × {other}"),
        };
        format!("{how} {value}{over}")
    }
}

impl Wanted {
    fn is_met(&self, reached: f64) -> bool {
        match *self {
            Wanted::AtLeast(value) => reached >= value,
            Wanted::AtMost(value) => reached <= value,
            Wanted::Below(value) => reached < value,
        }
    }

    /// How many times as good as it must be.
    fn margin(&self, reached: f64) -> f64 {
        match *self {
            Wanted::AtLeast(value) => reached / value,
            Wanted::AtMost(value) | Wanted::Below(value) => value / reached,
        }
    }
}

fn ratio(ours: f64, theirs: f64) -> f64 {
    // Nothing is as good as nothing.
    if ours == theirs { 1.0 } else { ours / theirs }
}

fn most(row: &Row) -> Option<f64> {
    GUESTS.into_iter().filter_map(|guest| row.median(guest)).reduce(f64::max)
}

/// All of them, in the order of the groups.
fn goals() -> Vec<Goal> {
    [http(), echo(), idle(), bulk(), lossy(), start(), instructions()]
        .into_iter()
        .flatten()
        .collect()
}

fn http() -> Vec<Goal> {
    let kept = |(connections, least)| {
        let goal = Goal::new("http", names::kept(connections), "requests/s");
        goal.over(Over::BestGuest).at_least(least)
    };
    let kept = [(1, 1.2), (16, 2.5), (64, 2.5), (256, 2.5)].into_iter().map(kept);
    let new = |clients| {
        [(Contestant::Upstream, 1.5), (Contestant::Linux, 12.0)].map(|(peer, least)| {
            let goal = Goal::new("http-new", names::at_a_time(clients), "requests/s");
            goal.over(Over::Peer(peer)).at_least(least)
        })
    };
    kept.chain([1, 16].into_iter().flat_map(new)).collect()
}

fn echo() -> Vec<Goal> {
    let of = |protocol| {
        let name = |share| names::percentile(protocol, share);
        let goal = |share| Goal::new("echo", name(share), "µs");
        [
            goal(names::MEDIAN).over(Over::Peer(Contestant::Upstream)).below(1.0),
            goal(names::TAIL).over(Over::Own(name(names::MEDIAN))).at_most(3.0),
        ]
    };
    ["TCP", "UDP"].into_iter().flat_map(of).collect()
}

fn idle() -> Vec<Goal> {
    let most = idle::COUNTS[idle::COUNTS.len() - 1];
    let row = names::percentile(&names::beside(most), names::MEDIAN);
    vec![Goal::new("idle", row, idle::TIMES_NONE).at_most(1.2)]
}

fn bulk() -> Vec<Goal> {
    let goal =
        |row| Goal::new("bulk", row, "MB/s").over(Over::Peer(Contestant::Linux)).at_least(2.0);
    [names::RECEIVES, names::SENDS].map(goal).into()
}

fn lossy() -> Vec<Goal> {
    let of = |loss: u32| {
        [names::SENDS.to_owned(), lossy::receives_from(lossy::CUBIC)].map(|what| {
            let goal = Goal::new("lossy", names::lossy(loss, &what), "MB/s");
            goal.over(Over::Peer(Contestant::Linux)).at_least(0.5)
        })
    };
    lossy::LOSSES.into_iter().filter(|loss| *loss > 0).flat_map(of).collect()
}

fn start() -> Vec<Goal> {
    let times = |row, unit, peer| Goal::new("start", row, unit).over(Over::Peer(peer)).at_most(1.0);
    vec![
        Goal::new("start", names::FIRST_ANSWER, "ms").at_most(200.0),
        times(names::QEMU_MEMORY, "MB", Contestant::Upstream),
        times(names::AT_REST, "%", Contestant::Linux),
    ]
}

fn instructions() -> Vec<Goal> {
    let request = Operation::Http { connections: 16, reuse: Reuse::Kept };
    let all = [(request, 8_000.0), (Operation::Receive, 1.0), (Operation::Send, 1.0)];
    let goal = |(operation, most): (Operation, f64)| {
        let unit = operation.instructions();
        Goal::new("instructions", operation.title(), &unit).at_most(most)
    };
    all.map(goal).into()
}

/// The table of those whose groups were measured, in Markdown; nothing if there are none.
pub(crate) fn table(results: &Results) -> String {
    let is_measured = |goal: &Goal| results.groups().any(|(group, _)| group == goal.group);
    let goals = goals();
    let lines: String =
        goals.iter().filter(|goal| is_measured(goal)).map(|goal| goal.line(results)).collect();
    match lines.as_str() {
        "" => lines,
        lines => format!("{HEAD}{lines}\n"),
    }
}

const HEAD: &str = "\
## Goals

Of our medians. *Reached* is in the unit of what is wanted; *ratio* says how many times as good that
is as what is wanted: from 1 on the goal is met. *The host* is what the same server reaches without a
guest: more than that the machine does not give.

| goal | wanted | reached | ratio | met | the host |
|---|---|--:|--:|---|--:|
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::Sample, workload::Workload};

    fn line(results: &Results, goal: &str) -> String {
        let table = table(results);
        let line = table.lines().find(|line| line.contains(goal));
        line.unwrap_or_else(|| panic!("no {goal} in {table}")).to_owned()
    }

    #[test]
    fn requests_are_compared_with_the_better_guest() {
        let mut results = Results::default();
        let values = [
            (Contestant::Axwire, 50.0),
            (Contestant::Upstream, 20.0),
            (Contestant::Linux, 10.0),
            (Contestant::Host, 900.0),
        ];
        for (contestant, value) in values {
            let sample = Sample::more(&names::kept(16), "requests/s", value);
            results.add("http", contestant, sample);
        }
        let expected = "| HTTP, kept connections: 16 kept, requests/s | \
            at least 2.5 × the better guest | 2.50 | 1.00 | yes | 45.0 |";
        assert_eq!(line(&results, "16 kept"), expected);
        let missing = line(&results, "64 kept");
        assert!(missing.ends_with("| - | - | not measured | - |"), "{missing}");
    }

    #[test]
    fn what_is_missed_says_by_how_much() {
        let mut results = Results::default();
        for (contestant, value) in [(Contestant::Axwire, 400.0), (Contestant::Linux, 900.0)] {
            results.add("start", contestant, Sample::less(names::FIRST_ANSWER, "ms", value));
        }
        let line = line(&results, "first answer");
        assert!(line.ends_with("| at most 200 | 400 | 0.50 | **no** | - |"), "{line}");
    }

    #[test]
    fn less_is_better_where_it_is() {
        let mut results = Results::default();
        let p50 = names::percentile("TCP", names::MEDIAN);
        let p99 = names::percentile("TCP", names::TAIL);
        for (contestant, name, value) in [
            (Contestant::Axwire, &p50, 100.0),
            (Contestant::Upstream, &p50, 100.0),
            (Contestant::Axwire, &p99, 250.0),
        ] {
            results.add("echo", contestant, Sample::less(name, "µs", value));
        }
        let median = line(&results, "TCP, p50, ");
        assert!(
            median.ends_with("| below 1 × upstream axnet | 1.00 | 1.00 | **no** | - |"),
            "{median}"
        );
        let tail = line(&results, "TCP, p99, ");
        assert!(tail.ends_with("| at most 3 × TCP, p50 | 2.50 | 1.20 | yes | - |"), "{tail}");
    }

    #[test]
    fn nothing_at_rest_is_no_more_than_nothing() {
        assert_eq!(ratio(0.0, 0.0), 1.0);
        assert_eq!(ratio(0.0, 0.1), 0.0);
        assert!(!Wanted::AtMost(1.0).is_met(ratio(0.1, 0.0)));
    }

    #[test]
    fn groups_that_were_not_measured_are_left_out() {
        assert_eq!(table(&Results::default()), "");
        let mut results = Results::default();
        results.add("kv", Contestant::Axwire, Sample::more("GET", "requests/s", 1.0));
        assert_eq!(table(&results), "");
    }

    #[test]
    fn every_goal_is_of_a_group() {
        for goal in goals() {
            assert!(Workload::all().iter().any(|it| it.group() == goal.group), "{}", goal.group);
        }
    }
}
