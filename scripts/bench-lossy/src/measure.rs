//! Rounds, each of which measures everything once, so that a slow moment of the machine falls on
//! all alike.

use std::{error::Error, io, path::Path as FilePath, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Settings, exchange,
    exchange::Times,
    server::SYSCTL_FORGET,
    world::{Contestant, Path, World, image},
};

/// What was measured on one kind of path.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) loss: String,
    /// Linux's, at this machine's end and, where it is the contestant, at the other.
    pub(crate) congestion: String,
    /// A sample per round for each contestant; an error where it did not come to its end.
    samples: [Vec<Result<Times, String>>; 2],
    size: u64,
}

/// A direction, seen from the contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Receives,
    Sends,
}

impl Direction {
    pub(crate) const ALL: [Direction; 2] = [Direction::Receives, Direction::Sends];

    /// The verb.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Receives => "receives",
            Direction::Sends => "sends",
        }
    }
}

impl Row {
    /// Whether every transfer came to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.samples.iter().flatten().all(Result::is_ok)
    }

    /// The first thing that went wrong with a contestant, if anything did.
    pub(crate) fn problem(&self, contestant: Contestant) -> Option<&str> {
        let samples = &self.samples[contestant as usize];
        samples.iter().find_map(|sample| sample.as_ref().err().map(String::as_str))
    }

    /// Megabytes (10^6 bytes) per second, ascending: one for each round that came to its end.
    pub(crate) fn rates(&self, contestant: Contestant, direction: Direction) -> Vec<f64> {
        let rate = |times: &Times| {
            let took = match direction {
                Direction::Receives => times.received,
                Direction::Sends => times.sent,
            };
            self.size as f64 / 1e6 / took.as_secs_f64()
        };
        let samples = &self.samples[contestant as usize];
        let mut rates: Vec<_> = samples.iter().flatten().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        rates
    }

    /// The median of the rates.
    pub(crate) fn median(&self, contestant: Contestant, direction: Direction) -> Option<f64> {
        let rates = self.rates(contestant, direction);
        rates.get(rates.len() / 2).copied()
    }
}

/// Measures both contestants on each kind of path.
///
/// # Errors
/// A contestant or a relay cannot be started.
pub(crate) fn all(settings: &Settings) -> Result<Vec<Row>, Box<dyn Error>> {
    std::fs::write(SYSCTL_FORGET, "1")?;
    let image = image()?;
    let mut rows = rows(settings);
    let bytes = settings.rounds * rows.len() as u64 * 2 * 2 * settings.size;
    let style = "{bar:30} {bytes}/{total_bytes}, {elapsed}, {binary_bytes_per_sec}: {wide_msg}";
    let bar = ProgressBar::new(bytes).with_style(ProgressStyle::with_template(style)?);
    bar.enable_steady_tick(Duration::from_millis(500));
    for round in 0..settings.rounds {
        for row in &mut rows {
            for contestant in Contestant::ALL {
                measure(round, row, contestant, (settings, &image), &bar)?;
            }
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn rows(settings: &Settings) -> Vec<Row> {
    let row = |loss: &String, congestion: &String| Row {
        loss: loss.clone(),
        congestion: congestion.clone(),
        samples: [vec![], vec![]],
        size: settings.size,
    };
    let of = |loss| settings.congestion.iter().map(move |congestion| row(loss, congestion));
    settings.loss.iter().flat_map(of).collect()
}

fn measure(
    round: u64,
    row: &mut Row,
    contestant: Contestant,
    (settings, image): (&Settings, &FilePath),
    bar: &ProgressBar,
) -> io::Result<()> {
    let &Settings { size, rounds, limit, .. } = settings;
    let (loss, congestion) = (&row.loss, &row.congestion);
    let what = format!("round {} of {rounds}: {contestant}, {loss} loss, {congestion}", round + 1);
    bar.set_message(what.clone());
    let began = bar.position();
    let path = Path { loss, congestion, seed: settings.seed + round };
    let world = World::start(contestant, &path, settings, image)?;
    let result = exchange::run(world.server, size, congestion, limit, &|len| bar.inc(len));
    // Also when it has been given up.
    bar.set_position(began + 2 * size);
    let outcome = match &result {
        Ok(Times { received, sent }) => {
            let rate = |took: &Duration| size as f64 / 1e6 / took.as_secs_f64();
            format!("receives {:.3} MB/s, sends {:.3} MB/s", rate(received), rate(sent))
        }
        Err(error) => format!("failed: {error}"),
    };
    bar.suspend(|| eprintln!("{what}: {outcome}"));
    row.samples[contestant as usize].push(result.map_err(|error| error.to_string()));
    Ok(())
}
