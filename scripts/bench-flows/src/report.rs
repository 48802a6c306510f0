//! The results in words.

use crate::{
    measure::{Contestant, Row, Settings, Workload},
    memory::peak_mib,
    world::{BUFFER_LEN, ECHO_LEN},
};

/// Both tables, in Markdown.
pub(crate) fn tables(results: &[Contestant]) -> String {
    let mut lines = vec![
        "| stack | workload | connections | ns per packet | quartiles | over the first |".into(),
        "|---|---|--:|--:|--:|--:|".into(),
    ];
    lines.extend(results.iter().flat_map(costs));
    lines.push(String::new());
    lines.push("| stack | connections | bytes per connection | without buffers |".into());
    lines.push("|---|--:|--:|--:|".into());
    lines.extend(results.iter().flat_map(memory));
    lines.push(String::new());
    lines.join("\n")
}

fn costs(contestant: &Contestant) -> Vec<String> {
    let name = contestant.name;
    let line = |(workload, row, ratio): (Workload, &Row, f64)| {
        let (what, flows, median) = (workload.name(), row.flows, row.median(workload));
        let (low, high) = row.quartiles(workload);
        format!("| {name} | {what} | {flows} | {median:.0} | {low:.0} to {high:.0} | {ratio:.2} |")
    };
    let rows = |workload| {
        let ratios = contestant.ratios(workload);
        contestant.rows.iter().zip(ratios).map(move |(row, ratio)| (workload, row, ratio))
    };
    Workload::ALL.into_iter().flat_map(rows).map(line).collect()
}

fn memory(contestant: &Contestant) -> Vec<String> {
    let line = |row: &Row| {
        let (name, flows, memory) = (contestant.name, row.flows, row.memory);
        format!("| {name} | {flows} | {} | {} |", memory.all, memory.without_buffers)
    };
    contestant.rows.iter().map(line).collect()
}

/// The whole report.
pub(crate) fn page(results: &[Contestant], settings: &Settings) -> String {
    let peak = match peak_mib() {
        Some(mib) => format!("The whole run took {mib} MiB."),
        None => String::new(),
    };
    HOW.replace("{tables}", &tables(results))
        .replace("{bytes}", &ECHO_LEN.to_string())
        .replace("{buffer}", &(BUFFER_LEN / 1024).to_string())
        .replace("{rounds}", &settings.rounds.to_string())
        .replace("{millis}", &settings.millis.to_string())
        .replace("{peak}", &peak)
}

const HOW: &str = "\
# What a packet costs among many TCP connections

{tables}
![The cost of a packet over the number of connections](flows.svg)

## How it was measured

Both ends of every connection are in one process and on one thread, joined by two rings of 256
frames that are allocated once; both stacks use the same device. {bytes} bytes go from the client to
the server and back. A packet's cost is the time for many echoes, applications' calls included, over
the number of frames that both ends sent meanwhile, acknowledgements included. Time is virtual: 10 µs
per echo.

*One active*: one connection echoes, the others are idle. *Random*: each echo is on a connection
drawn at random, so that what is known of it must first come into the cache.

*netstack* is polled four times per echo, as its runner does. *smoltcp* has all sockets of an end in
one `SocketSet` and is spared what it can be: four half polls per echo, no question for the next
deadline, and the application knows which socket to look at.

All sizes of both stacks exist at the same time and are measured in turn, {rounds} rounds of at
least {millis} ms each, 8 echoes at least and 50,000 at most. The figures are medians and quartiles of the
rounds. Instructions are not counted.

Memory is what the allocator was asked for while connections were opened, per connection and end,
after each had echoed once. Tables that double when they are full make it uneven. Buffers are what
was asked for zeroed: {buffer} KiB each way for smoltcp. netstack's have 64 KiB until half of its
budget is used and 8 KiB from then on; the budget is 40 KiB per connection and 64 MiB at least, so
that with 10,000 connections and more about one in seven has large buffers. {peak}
";
