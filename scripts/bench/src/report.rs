//! The results in words.

use std::{fmt, fs, path::Path, process::Command, thread};

use serde_json::json;

use crate::{
    OUT,
    contestant::Contestant,
    goals, lossy,
    machine::{MEMORY, MEMORY_MORE},
    plot,
    results::{Failure, Results, Row},
    statistics::range,
};

/// Groups of workloads, with what is to be known of each. Figures in braces are [`lossy`]'s.
const GROUPS: &[(&str, &str, &str)] = &[
    (
        "http",
        "HTTP, kept connections",
        "wrk on so many connections, one request at a time on each, for a body of 100 bytes. \
         Everybody's answer is the same to the byte.",
    ),
    (
        "http-new",
        "HTTP, a connection per request",
        "So many clients, each of which connects, asks, and waits until the server has closed its \
         end.",
    ),
    (
        "echo",
        "Echo",
        "Round trips of 64 bytes, one at a time, 10,000 of them. Datagrams also with 16 on their \
         way at once for 4 s. Frames are those that cross the tap, in both directions.",
    ),
    (
        "idle",
        "Idle connections",
        "10,000 round trips of 64 bytes beside connections to the same server on which nothing \
         is said, and beside none before and after them, three times with each server: the ratio \
         is to the mean of these two. Memory is what QEMU takes more from the host for \
         connections to the HTTP server on which nothing is asked, counted for every guest in \
         the same way; what it had taken before and uses again does not show. With the process \
         of the host it leaves out what the kernel has for it.",
    ),
    ("bulk", "Bulk", "One connection for 4 s, seen from the server, in 10^6 bytes."),
    (
        "lossy",
        "Bulk over a lossy path",
        "One connection for {span}, seen from the guest. `scripts/relay` between the guest and the \
         host loses so many per cent of all frames, in each direction, at random; it adds {rtt} to \
         the round trip and carries {rate} with a queue of {queue}. Each round has {seeds} seeds, \
         the same for both guests, each with a guest of its own; one where nothing is lost. Nobody \
         has offloads. The guest sends with its kernel's default; the host sends with the \
         congestion control that is named. Ours is CUBIC (RFC 9438).",
    ),
    (
        "iperf",
        "iperf3",
        "The same by iperf3; on our side `apps/iperf`, on the host's iperf3 itself.",
    ),
    (
        "kv",
        "redis-benchmark",
        "50 connections; on our side `apps/kv`, on the host's Redis itself, without saving.",
    ),
    (
        "start",
        "Start and rest",
        "The first answer is that to an HTTP request. The host knows the guest's Ethernet address, \
         and a request that is early waits at the tap. Rest is the ten seconds that begin two \
         seconds later; 100 % is one of the host's processors.",
    ),
    (
        "instructions",
        "Instructions of the guest",
        "Counted inside of QEMU with `-icount shift=2`: a guest's clock goes by its instructions. \
         Linux halts when it has nothing to do, and upstream's loop never does. Ours looks for work for \
         a while, as long as the client takes; it is counted without that (`net.poll=0`), and then as \
         it is. Frames are those that cross the tap, in both directions.",
    ),
];

/// All tables, in Markdown.
pub(crate) fn tables(results: &Results) -> String {
    let sections = results.groups().map(|(group, rows)| section(group, rows));
    std::iter::once(goals::table(results)).chain(sections).collect()
}

/// What a group of workloads is called.
pub(crate) fn title(group: &str) -> &str {
    GROUPS.iter().find(|(name, ..)| *name == group).map_or(group, |(_, title, _)| title)
}

fn section(group: &str, rows: &[Row]) -> String {
    let known = GROUPS.iter().find(|(name, ..)| *name == group);
    let about = lossy::fill_in(known.map_or("", |(.., about)| about));
    let title = title(group);
    let remarks = if group == "lossy" { lossy::remarks(rows) } else { String::new() };
    let present: Vec<_> = Contestant::ALL
        .into_iter()
        .filter(|contestant| rows.iter().any(|row| !row.samples(*contestant).is_empty()))
        .collect();
    let peers: Vec<_> = present.iter().copied().filter(|it| *it != Contestant::Axwire).collect();
    let names: String = present.iter().map(|contestant| format!(" {contestant} |")).collect();
    let ratios: String = peers.iter().map(|peer| format!(" times {peer} |")).collect();
    let rule = "--:|".repeat(present.len() + peers.len());
    let lines: String = rows.iter().map(|row| line(row, &present, &peers)).collect();
    format!("## {title}\n\n{about}\n\n| | |{names}{ratios}\n|---|---|{rule}\n{lines}\n{remarks}")
}

fn line(row: &Row, present: &[Contestant], peers: &[Contestant]) -> String {
    let Row { name, unit, .. } = row;
    let cells: String = present.iter().map(|it| format!(" {} |", cell(row, *it))).collect();
    let ratio = |peer: &Contestant| match row.advantage(*peer) {
        Some(ratio) => format!(" {ratio:.2} |"),
        None => " - |".into(),
    };
    let ratios: String = peers.iter().map(ratio).collect();
    format!("| {name} | {unit} |{cells}{ratios}\n")
}

/// The median, and from where to where the rounds reach.
fn cell(row: &Row, contestant: Contestant) -> String {
    let samples = row.samples(contestant);
    match (row.median(contestant), range(samples)) {
        (Some(median), Some((least, most))) if samples.len() > 1 => {
            format!("{} ({} to {})", number(median), number(least), number(most))
        }
        (Some(only), _) => number(only),
        (None, _) => "-".into(),
    }
}

/// About three digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.contestant, self.workload.title(), self.why)
    }
}

/// Every value, for programs.
pub(crate) fn json(results: &Results) -> String {
    let row = |row: &Row| {
        let samples = Contestant::ALL.map(|it| (it.to_string(), json!(row.samples(it))));
        let samples = serde_json::Map::from_iter(samples);
        json!({ "name": row.name, "unit": row.unit, "samples": samples })
    };
    let groups = results
        .groups()
        .map(|(group, rows)| (group.to_owned(), rows.iter().map(row).collect::<Vec<_>>().into()));
    format!("{:#}\n", serde_json::Value::Object(groups.collect()))
}

/// The whole report. `stolen` is the share of the processors' time that others have had.
pub(crate) fn page(results: &Results, rounds: u64, stolen: f64) -> String {
    let failures: String =
        results.failures.iter().map(|it| format!("```text\n{it}\n```\n\n")).collect();
    let failures = match failures.as_str() {
        "" => String::new(),
        failures => format!("## What failed\n\n{failures}"),
    };
    let pictures: String = plot::names(results)
        .into_iter()
        .map(|(title, file)| format!("![{title}]({file})\n"))
        .collect();
    HOW.replace("{tables}", &tables(results))
        .replace("{failures}", &failures)
        .replace("{pictures}", &pictures)
        .replace("{rounds}", &rounds.to_string())
        .replace("{memory}", MEMORY)
        .replace("{memory_more}", MEMORY_MORE)
        .replace("{notes}", &notes(results))
        .replace("{stolen}", &number(100.0 * stolen))
        .replace("{machine}", &machine())
}

/// What contestants have said of themselves.
fn notes(results: &Results) -> String {
    let lines: String = results.notes.iter().map(|note| format!("- {note}\n")).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// What the figures depend on.
fn machine() -> String {
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    };
    let guest = fs::read_dir(Path::new(OUT).join("linux")).into_iter().flatten().flatten();
    let mut guest = guest.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let guest = guest.find(|name| name.starts_with("linux-image")).unwrap_or_default();
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name\t: "));
    format!(
        "{processors} processors ({}), {}, {}; the Linux guest's kernel is {guest}",
        model.unwrap_or("unknown"),
        said("uname", "-sr"),
        said("qemu-system-x86_64", "--version"),
    )
}

const HOW: &str = "\
# Axwire beside its peers

{tables}{pictures}
{failures}## How it was measured

Rounds: {rounds}. In each, everybody is measured in turn, with a server that is started afresh for
each workload; instructions are counted in the first round only. Figures are medians, with the least
and the most in parentheses. *Times* says how many times as good our median is: above 1 we are
better.

- *Axwire*: images of `apps/httpd`, `apps/echo`, `apps/iperf` and `apps/kv`.
- *upstream axnet*: `scripts/bench/upstream`, the same services on `axstd::net` from crates.io, an
  image for each of them, because upstream's waiting tasks take turns at the processor.
- *Linux guest*: `scripts/bench/server`, the same services on tokio, one thread, as the first
  process of Debian's kernel for virtual machines.
- *host, no guest*: that server as a process of the host.

Every guest has the same machine, `-machine q35 -cpu max -smp 1 -m {memory}` with QEMU's emulation
of the processor (TCG, a thread for each), and the same card, virtio-net-pci on a tap without vhost,
with whatever offloads its driver takes. Where connections rest it is `-m {memory_more}`, but for
upstream, whose heap can manage no more than {memory}. The clients run beside QEMU on the same
processors. Only ratios within one run mean something.

The machine: {machine}.

If it is a virtual one itself, others have had {stolen} % of its processors' time meanwhile. What
the host alone reaches, without a guest, shows how much of a figure is the machine's.
{notes}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::Sample, workload::Workload};

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [12345.6, 123.4, 12.34, 1.234, 0.0].map(number);
        assert_eq!(numbers, ["12346", "123", "12.3", "1.23", "0.00"]);
    }

    #[test]
    fn what_is_to_be_known_is_filled_in() {
        for (group, ..) in GROUPS {
            let section = section(group, &[]);
            assert!(!section.contains('{'), "{section}");
        }
        assert!(section("lossy", &[]).contains(" adds 20 ms to "));
    }

    #[test]
    fn goals_come_first_and_notes_last() {
        let mut results = Results::default();
        results.add("bulk", Contestant::Axwire, Sample::more("sends", "MB/s", 8.0));
        results.add("bulk", Contestant::Linux, Sample::more("sends", "MB/s", 5.0));
        results.notes.insert("Linux guest: congestion control cubic".into());
        let page = page(&results, 3, 0.25);
        let goal = "| Bulk: sends, MB/s | at least 2 × Linux guest | 1.60 | 0.80 | **no** |";
        let (goal, table) = (page.find(goal), page.find("## Bulk\n"));
        assert!(goal.is_some() && goal < table, "{page}");
        assert!(page.ends_with("\n\n- Linux guest: congestion control cubic\n"), "{page}");
        assert!(page.contains(" had 25.0 % of its processors' time "), "{page}");
        assert!(!page.contains('{'), "{page}");
    }

    #[test]
    fn what_failed_is_told() {
        let mut results = Results::default();
        let (workload, contestant) = (Workload::Lossy(5), Contestant::Linux);
        results.failures.push(Failure { workload, contestant, why: "it ended".into() });
        let page = page(&results, 1, 0.0);
        let expected = "## What failed\n\n```text\nLinux guest, a path that loses 5 %: it ended\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn tables_show_medians_and_ratios() {
        let mut results = Results::default();
        for (ours, theirs) in [(8.0, 4.0), (10.0, 5.0), (12.0, 6.0)] {
            results.add("bulk", Contestant::Axwire, Sample::more("sends", "MB/s", ours));
            results.add("bulk", Contestant::Linux, Sample::more("sends", "MB/s", theirs));
        }
        let expected = "| | | Axwire | Linux guest | times Linux guest |\n|---|---|--:|--:|--:|\n\
            | sends | MB/s | 10.0 (8.00 to 12.0) | 5.00 (4.00 to 6.00) | 2.00 |\n";
        assert!(tables(&results).contains(expected), "{}", tables(&results));
    }
}
