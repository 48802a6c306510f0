//! Runs the scenarios of many seeds.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use sim::{Failure, check, scenario::Plan, scenario::Totals};

/// Simulates hosts on faulty networks and checks what must hold.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run this one alone, and show its plan.
    #[arg(long)]
    seed: Option<u64>,
    /// Seeds that run at the same time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=2))]
    threads: u64,
    /// Where the packets of failed seeds go.
    #[arg(long, default_value = "target/sim")]
    captures: PathBuf,
}

#[derive(Debug, Default)]
struct Summary {
    failed: Vec<u64>,
    totals: Totals,
    virtual_secs: u64,
    fruitless_turns: u64,
    excess: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (first, count) = match arguments.seed {
        Some(seed) => {
            println!("{:#?}", Plan::draw(seed));
            (seed, 1)
        }
        None => (arguments.first, arguments.seeds),
    };
    if arguments.seed.is_none() {
        // A panic is a scenario's result, printed with its seed; where it was, `--seed` tells.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let mut summary = run(&arguments, first, count);
    summary.failed.sort_unstable();
    print(&summary, count);
    match summary.failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run(arguments: &Arguments, first: u64, count: u64) -> Summary {
    let bar = ProgressBar::new(count);
    let style = "{bar:40} {pos}/{len} seeds, {elapsed}, {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("a constant"));
    bar.set_message("0 failed");
    let (next, summary) = (AtomicU64::new(0), Mutex::new(Summary::default()));
    thread::scope(|scope| {
        for _ in 0..arguments.threads.min(count) {
            scope.spawn(|| work(arguments, first, count, &next, &summary, &bar));
        }
    });
    bar.finish();
    summary.into_inner().expect("no thread panics: scenarios' panics are caught")
}

fn work(
    arguments: &Arguments,
    first: u64,
    count: u64,
    next: &AtomicU64,
    summary: &Mutex<Summary>,
    bar: &ProgressBar,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return;
        }
        let result = check(first + number, &arguments.captures);
        let mut summary = summary.lock().expect("no thread panics with the lock held");
        match result {
            Ok(report) => {
                summary.add(&report.totals);
                summary.virtual_secs += report.ended.micros() / 1_000_000;
                summary.fruitless_turns =
                    summary.fruitless_turns.max(report.activity.fruitless_turns);
                summary.excess = summary.excess.max(report.activity.excess);
            }
            Err(failure) => {
                summary.failed.push(failure.seed);
                bar.set_message(format!("{} failed", summary.failed.len()));
                show(&failure, bar);
            }
        }
        bar.inc(1);
    }
}

fn show(failure: &Failure, bar: &ProgressBar) {
    bar.suspend(|| eprintln!("{failure}"));
}

impl Summary {
    fn add(&mut self, totals: &Totals) {
        self.totals.streams += totals.streams;
        self.totals.bytes += totals.bytes;
        self.totals.answers += totals.answers;
        self.totals.retries += totals.retries;
    }
}

fn print(summary: &Summary, count: u64) {
    let Summary { failed, totals, virtual_secs, fruitless_turns, excess } = summary;
    let Totals { streams, bytes, answers, retries } = totals;
    println!(
        "{streams} streams with {} KB, {answers} datagrams answered, {retries} retries, \
         in {virtual_secs} virtual seconds",
        bytes / 1000
    );
    println!("busiest second: {fruitless_turns} turns in vain, {excess} turns and polls to spare");
    println!("{} of {count} seeds passed", count - failed.len() as u64);
    if !failed.is_empty() {
        println!("failed: {failed:?}");
    }
}
