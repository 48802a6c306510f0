//! Where a guest's instructions go: per operation, by layer and by function.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use crate::{
    Result,
    contestant::WITHOUT_LOOKING,
    counter::{self, executions},
    images,
    machine::{Clock, Machine},
    operation::Operation,
    progress::Progress,
    symbols::{Place, Symbols},
};

/// Rows of each table but the layers'.
const ROWS: usize = 40;

/// What is profiled.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Operations, by their names
    #[arg(long, value_delimiter = ',', default_value = "http-16,bulk-receive,bulk-send")]
    only: Vec<String>,
    /// Let time pass in the guest as outside, not by its instructions
    #[arg(long)]
    real_time: bool,
    /// Folder for the tables
    #[arg(long, default_value = "target/profile")]
    out: PathBuf,
}

/// Builds the images that are needed, with line tables.
pub(crate) fn prepare(settings: &Settings) -> Result<()> {
    for operation in operations(settings)? {
        images::with_lines(operation.service(), &settings.out)?;
    }
    counter::build(&settings.out)
}

/// Profiles each operation and writes its tables.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    let plugin = counter::path(&settings.out)?;
    let clock = if settings.real_time { Clock::Real } else { Clock::Instructions };
    let operations = operations(settings)?;
    let progress = Progress::new(operations.len() as u64);
    for operation in operations {
        progress.begin(&operation.title());
        let image = images::path_with_lines(operation.service(), &settings.out);
        let words = if settings.real_time { "" } else { WITHOUT_LOOKING };
        let machine = Machine::new(&image).with_words(words).counted(&plugin, clock);
        let server = machine.boot(operation.service())?;
        let (count, before, after) =
            operation.observe(&server, |server| server.counter()?.blocks())?;
        drop(server);
        let symbols = Symbols::load(&image)?;
        let executions = executions(&before, &after);
        let places: Vec<_> =
            executions.iter().map(|(address, times)| (symbols.place(*address), *times)).collect();
        let page = page(operation, count, &places);
        let path = settings.out.join(format!("{}.md", operation.name()));
        fs::write(&path, &page)?;
        progress.end(&format!("{page}\n{}\n", path.display()));
    }
    Ok(())
}

fn operations(settings: &Settings) -> Result<Vec<Operation>> {
    settings.only.iter().map(|name| Operation::named(name)).collect()
}

/// The tables, in Markdown.
fn page(operation: Operation, count: u64, places: &[(Place, u64)]) -> String {
    let unit = operation.unit();
    let total: u64 = places.iter().map(|(_, times)| times).sum();
    let per = |times: u64| times as f64 / count as f64;
    let mut page = format!(
        "# {}\n\n{:.2} instructions per {unit}, over {count} {unit}s\n",
        operation.title(),
        per(total)
    );
    let table = |title: &str, rows: Vec<(String, u64)>| {
        let mut table = format!("\n## {title}\n\n| per {unit} | share | where |\n|--:|--:|---|\n");
        for (name, times) in rows {
            let share = 100.0 * times as f64 / total as f64;
            let name = name.replace('|', "\\|");
            let _ = writeln!(table, "| {:.2} | {share:.1} % | {name} |", per(times));
        }
        table
    };
    page += &table("By layer", by(places, usize::MAX, |place| place.layer.to_string()));
    let function = |place: &Place| format!("`{}`", place.function);
    page += &table("By function of the source, inlined or not", by(places, ROWS, function));
    page += &table("By line", by(places, ROWS, |place| place.line.clone()));
    page +=
        &table("By function of the image", by(places, ROWS, |place| format!("`{}`", place.symbol)));
    page
}

/// Sums by a key, the largest first.
fn by(places: &[(Place, u64)], rows: usize, key: impl Fn(&Place) -> String) -> Vec<(String, u64)> {
    let mut sums = BTreeMap::<String, u64>::new();
    for (place, times) in places {
        *sums.entry(key(place)).or_default() += times;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    sums.truncate(rows);
    sums
}
