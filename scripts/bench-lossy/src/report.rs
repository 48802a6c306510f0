//! The results in words.

use crate::{
    Settings,
    measure::{Direction, Row},
    world::Contestant,
};

/// The table, in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| loss | Linux's congestion control | direction | axwire MB/s | Linux MB/s | ratio |"
            .into(),
        "|--:|---|---|--:|--:|--:|".into(),
    ];
    lines.extend(rows.iter().flat_map(|row| Direction::ALL.map(|direction| line(row, direction))));
    lines.push(String::new());
    lines.join("\n")
}

fn line(row: &Row, direction: Direction) -> String {
    let Row { loss, congestion, .. } = row;
    let [ours, theirs] = Contestant::ALL.map(|contestant| cell(row, contestant, direction));
    let [our_median, their_median] =
        Contestant::ALL.map(|contestant| row.median(contestant, direction));
    let ratio = match (our_median, their_median) {
        (Some(ours), Some(theirs)) => format!("{:.2}", ours / theirs),
        _ => "-".into(),
    };
    format!("| {loss} | {congestion} | {} | {ours} | {theirs} | {ratio} |", direction.name())
}

/// The median, and from where to where the rounds reach.
fn cell(row: &Row, contestant: Contestant, direction: Direction) -> String {
    let rates = row.rates(contestant, direction);
    let numbers = match rates[..] {
        [] => String::new(),
        [only] => format!("{only:.3}"),
        [low, .., high] => format!("{:.3} ({low:.3} to {high:.3})", rates[rates.len() / 2]),
    };
    match row.problem(contestant) {
        Some(problem) => format!("{numbers} failed: {problem}").trim_start().into(),
        None => numbers,
    }
}

/// The whole report.
pub(crate) fn page(rows: &[Row], settings: &Settings, system: &str) -> String {
    let megabytes = |len: u64| format!("{}", len as f64 / 1e6);
    HOW.replace("{table}", &table(rows))
        .replace("{size}", &megabytes(settings.size))
        .replace("{rtt}", &settings.rtt)
        .replace("{rate}", &settings.rate)
        .replace("{queue}", &settings.queue)
        .replace("{rounds}", &settings.rounds.to_string())
        .replace("{seed}", &settings.seed.to_string())
        .replace("{limit}", &format!("{}", settings.limit.as_secs() / 60))
        .replace("{system}", system)
}

const HOW: &str = "\
# Bulk transfers over a lossy path

{table}
![Megabytes per second](transfers.svg)

## How it was measured

{size} MB went to a server and came back, in requests of 50 MB at most on one connection, and every
byte was compared. *Receives* is the time from the first byte that the client sent to the first of
the answer, *sends* the time from there to the last, both seen from the server. Megabytes are
1,000,000 bytes. Rounds: {rounds}; of more than one the figures are medians, with the least and
the most in parentheses. A direction that takes more than {limit} minutes has failed.

The server is `apps/httpd` in QEMU without KVM (*axwire*) or a process of this machine in a second
network namespace (*Linux*). The client is Linux's in either case. Between them is `scripts/relay`
with the simulation's rules: in each direction it loses the given share of frames at random, adds
half of {rtt}, and carries {rate} per second with a queue of {queue}. Seeds are {seed} and the
following, one per round, the same for both servers.

The congestion control is that of Linux's sockets: of the client, which sends what axwire receives,
and of the Linux server. This system's own, by `net.ipv4.tcp_congestion_control`, is {system}.
Nobody has offloads: the taps do not segment and do not leave checksums out. Linux forgets what it
has learnt of a path after each connection. QEMU emulates the processor; where it is what limits a
transfer, the ratio says little about TCP.

The relay's counts of every transfer's last round are in the logs beside this page.
";
