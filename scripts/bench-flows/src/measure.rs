//! Rounds, each of which measures everything once, so that a slow moment of the machine falls on
//! all alike.

use std::time::{Duration, Instant};

use chacha20::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
use indicatif::{ProgressBar, ProgressStyle, style::TemplateError};

use crate::{
    memory::{PerFlow, per_flow},
    ours::Ours,
    plain::Plain,
    world::World,
};

/// Echoes per measurement at least, and at most.
const ECHOES: (usize, usize) = (8, 50_000);

/// How long to measure.
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
}

/// Who echoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One connection; the others are idle.
    Active,
    /// Any connection, a different one each time.
    Random,
}

impl Workload {
    pub(crate) const ALL: [Workload; 2] = [Workload::Active, Workload::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Active => "one active",
            Workload::Random => "random",
        }
    }
}

/// What was measured with one number of connections.
pub(crate) struct Row {
    pub(crate) flows: usize,
    pub(crate) memory: PerFlow,
    /// Nanoseconds per packet, a sample per round, for each workload.
    samples: [Vec<f64>; 2],
}

impl Row {
    fn sorted(&self, workload: Workload) -> Vec<f64> {
        let mut samples = self.samples[workload as usize].clone();
        samples.sort_by(f64::total_cmp);
        samples
    }

    /// The median in nanoseconds per packet.
    pub(crate) fn median(&self, workload: Workload) -> f64 {
        let samples = self.sorted(workload);
        samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The first and the third quartile in nanoseconds per packet.
    pub(crate) fn quartiles(&self, workload: Workload) -> (f64, f64) {
        let samples = self.sorted(workload);
        let at = |quarter| samples.get(samples.len() * quarter / 4).copied().unwrap_or(f64::NAN);
        (at(1), at(3))
    }
}

/// A stack and what was measured of it.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) rows: Vec<Row>,
}

impl Contestant {
    /// The cost with each number of connections over that with the first.
    pub(crate) fn ratios(&self, workload: Workload) -> Vec<f64> {
        let first = self.rows.first().map_or(f64::NAN, |row| row.median(workload));
        self.rows.iter().map(|row| row.median(workload) / first).collect()
    }
}

struct Cell {
    contestant: usize,
    world: Box<dyn World>,
    flows: usize,
    memory: PerFlow,
    rng: ChaCha8Rng,
    echoes: [usize; 2],
    samples: [Vec<f64>; 2],
}

impl Cell {
    fn new(contestant: usize, mut world: Box<dyn World>, flows: usize) -> Self {
        let memory = per_flow(flows, || world.open(flows));
        let rng = ChaCha8Rng::seed_from_u64(flows as u64);
        Cell {
            contestant,
            world,
            flows,
            memory,
            rng,
            echoes: [ECHOES.0; 2],
            samples: Default::default(),
        }
    }

    /// Echoes on the connections that the workload wants. Returns nanoseconds per packet and the
    /// time taken.
    fn run(&mut self, workload: Workload) -> (f64, Duration) {
        let flows = self.flows as u64;
        let mut choose = || match workload {
            Workload::Active => 0,
            Workload::Random => (self.rng.next_u64() % flows) as usize,
        };
        let plan: Vec<_> = (0..self.echoes[workload as usize]).map(|_| choose()).collect();
        let frames = self.world.frames();
        let start = Instant::now();
        plan.into_iter().for_each(|flow| self.world.echo(flow));
        let elapsed = start.elapsed();
        let frames = self.world.frames() - frames;
        (elapsed.as_nanos() as f64 / frames as f64, elapsed)
    }

    /// Finds out how many echoes take long enough.
    fn calibrate(&mut self, workload: Workload, millis: u64) {
        let wanted = Duration::from_millis(millis);
        loop {
            let (_, elapsed) = self.run(workload);
            let echoes = &mut self.echoes[workload as usize];
            if elapsed >= wanted || *echoes >= ECHOES.1 {
                break;
            }
            *echoes = (*echoes * 2).min(ECHOES.1);
        }
    }

    fn sample(&mut self, workload: Workload) {
        let (cost, _) = self.run(workload);
        self.samples[workload as usize].push(cost);
    }
}

/// Measures both stacks with each number of connections; netstack comes first.
///
/// # Errors
/// The progress bar's template is wrong.
pub(crate) fn all(flows: &[usize], settings: &Settings) -> Result<[Contestant; 2], TemplateError> {
    let steps = 2 * flows.len() * (2 + settings.rounds);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {wide_msg}")?;
    let bar = ProgressBar::new(steps as u64).with_style(style);
    let mut cells = build(flows, &bar);
    for cell in &mut cells {
        bar.set_message("warming up");
        Workload::ALL.iter().for_each(|workload| cell.calibrate(*workload, settings.millis));
        bar.inc(1);
    }
    for round in 1..=settings.rounds {
        bar.set_message(format!("round {round} of {}", settings.rounds));
        for cell in &mut cells {
            Workload::ALL.iter().for_each(|workload| cell.sample(*workload));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(collect(cells))
}

fn build(flows: &[usize], bar: &ProgressBar) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &flows in flows {
        bar.set_message(format!("opening {flows} connections"));
        let worlds: [Box<dyn World>; 2] = [Box::new(Ours::new(flows)), Box::new(Plain::new(flows))];
        for (contestant, world) in worlds.into_iter().enumerate() {
            cells.push(Cell::new(contestant, world, flows));
            bar.inc(1);
        }
    }
    cells
}

fn collect(cells: Vec<Cell>) -> [Contestant; 2] {
    let mut contestants = ["netstack", "smoltcp"].map(|name| Contestant { name, rows: Vec::new() });
    for Cell { contestant, flows, memory, samples, .. } in cells {
        contestants[contestant].rows.push(Row { flows, memory, samples });
    }
    contestants
}
