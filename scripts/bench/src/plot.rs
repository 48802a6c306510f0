//! The results as pictures.

use std::path::Path;

use plotters::prelude::*;

use crate::{
    Result,
    contestant::Contestant,
    results::{Results, Row},
};

/// In pixels; wider where names are long.
const WIDTH_MIN: u32 = 1100;
const HEIGHT: u32 = 500;
/// What a letter under the axis takes, and what is left and right of all.
const LETTER_WIDTH: u32 = 6;
const BESIDE: u32 = 110;
const COLOURS: [RGBColor; Contestant::ALL.len()] =
    [RGBColor(0, 90, 180), RGBColor(200, 60, 20), RGBColor(90, 150, 60), RGBColor(140, 140, 140)];
/// Bars of a group have its width less this.
const GAP: f64 = 0.25;

/// A picture: its title, its file, and which rows it shows by group and unit.
struct Picture {
    title: &'static str,
    file: &'static str,
    shows: fn(&str, &Row) -> bool,
}

const PICTURES: &[Picture] = &[
    Picture {
        title: "HTTP requests per second",
        file: "http.svg",
        shows: |group, row| group.starts_with("http") && row.unit == "requests/s",
    },
    Picture {
        title: "Latency in µs",
        file: "latency.svg",
        shows: |group, row| {
            (group == "echo" || group == "http" && row.name.starts_with("1 kept"))
                && row.unit == "µs"
        },
    },
    Picture {
        title: "A TCP echo among idle connections in µs",
        file: "idle.svg",
        shows: |group, row| group == "idle" && row.unit == "µs",
    },
    Picture {
        title: "Megabytes per second",
        file: "bulk.svg",
        shows: |group, row| (group == "bulk" || group == "iperf") && row.unit == "MB/s",
    },
    Picture {
        title: "Megabytes per second by the share of lost frames",
        file: "lossy.svg",
        shows: |group, row| group == "lossy" && row.unit == "MB/s",
    },
    Picture {
        title: "Instructions per request, message or byte",
        file: "instructions.svg",
        shows: |group, row| group == "instructions" && !row.unit.ends_with("frame"),
    },
];

impl Picture {
    fn rows<'r>(&self, results: &'r Results) -> Vec<&'r Row> {
        let of = |(group, rows): (&'static str, &'r [Row])| {
            rows.iter().filter(move |row| (self.shows)(group, row))
        };
        results.groups().flat_map(of).collect()
    }
}

/// Titles and files of the pictures that have something to show.
pub(crate) fn names(results: &Results) -> Vec<(&'static str, &'static str)> {
    let shown = PICTURES.iter().filter(|picture| !picture.rows(results).is_empty());
    shown.map(|picture| (picture.title, picture.file)).collect()
}

/// Draws them.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn draw_all(folder: &Path, results: &Results) -> Result<()> {
    for picture in PICTURES {
        let rows = picture.rows(results);
        if !rows.is_empty() {
            draw(&folder.join(picture.file), picture.title, &rows)?;
        }
    }
    Ok(())
}

/// A group of bars for each row, logarithmic.
fn draw(path: &Path, title: &str, rows: &[&Row]) -> Result<()> {
    let (bottom, top) = range(rows);
    let area = SVGBackend::new(path, (width(rows), HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(45)
        .y_label_area_size(80)
        .build_cartesian_2d(-0.5..rows.len() as f64 - 0.5, (bottom..top).log_scale())?;
    let label = |at: &f64| match rows.get(at.round() as usize) {
        Some(row) if (at - at.round()).abs() < 0.01 => row.name.clone(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(rows.len() + 1)
        .x_label_formatter(&label)
        .x_label_style(("sans-serif", 11))
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    let has_bars = |contestant| rows.iter().any(|row| row.median(contestant).is_some());
    let all = Contestant::ALL.into_iter().zip(COLOURS);
    for (contestant, colour) in all.filter(|(contestant, _)| has_bars(*contestant)) {
        let bars = (0..).zip(rows).filter_map(|(number, row)| {
            Some(bar(number, contestant, (bottom, row.median(contestant)?), colour))
        });
        chart
            .draw_series(bars)?
            .label(contestant.to_string())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    area.present()?;
    Ok(())
}

/// So wide that names do not touch.
fn width(rows: &[&Row]) -> u32 {
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0) as u32;
    WIDTH_MIN.max(BESIDE + rows.len() as u32 * (longest + 2) * LETTER_WIDTH)
}

/// One bar, from the bottom to its value.
fn bar(
    number: u32,
    contestant: Contestant,
    (bottom, value): (f64, f64),
    colour: RGBColor,
) -> Rectangle<(f64, f64)> {
    let width = (1.0 - GAP) / Contestant::ALL.len() as f64;
    let left = f64::from(number) - (1.0 - GAP) / 2.0 + contestant as u32 as f64 * width;
    Rectangle::new([(left, bottom), (left + width, value)], colour.filled())
}

/// The powers of ten below the least and above the greatest.
fn range(rows: &[&Row]) -> (f64, f64) {
    let of = |row: &&Row| Contestant::ALL.map(|contestant| row.median(contestant));
    let values: Vec<f64> = rows.iter().flat_map(of).flatten().filter(|it| *it > 0.0).collect();
    let least = values.iter().copied().reduce(f64::min).unwrap_or(1.0);
    let most = values.iter().copied().reduce(f64::max).unwrap_or(1.0);
    (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().floor() + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    fn results(values: &[(&str, f64)]) -> Results {
        let mut results = Results::default();
        for (name, value) in values {
            results.add("lossy", Contestant::Axwire, Sample::more(name, "MB/s", *value));
        }
        results
    }

    #[test]
    fn the_axis_holds_all_values() {
        let results = results(&[("a", 0.3), ("b", 11.0)]);
        let rows: Vec<_> = results.groups().flat_map(|(_, rows)| rows).collect();
        let (bottom, top) = range(&rows);
        assert!((bottom - 0.1).abs() < 1e-9 && (top - 100.0).abs() < 1e-9, "{bottom} to {top}");
    }

    #[test]
    fn long_names_take_more_room() {
        let names = [("a", 1.0), ("b", 1.0)];
        let short = results(&names);
        let long = "a name of more than a hundred letters, as no row of these has it".repeat(2);
        let long = results(&[(&long, 1.0), ("b", 1.0)]);
        let width = |results: &Results| {
            width(&results.groups().flat_map(|(_, rows)| rows).collect::<Vec<_>>())
        };
        assert_eq!(width(&short), WIDTH_MIN);
        assert_eq!(width(&long), 110 + 2 * 130 * 6);
    }

    #[test]
    fn rows_of_lossy_paths_have_a_picture() {
        assert_eq!(names(&results(&[("5 %, sends", 1.0)])).len(), 1);
    }
}
