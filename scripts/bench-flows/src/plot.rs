//! The results as a picture.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::measure::{Contestant, Workload};

const SIZE: (u32, u32) = (800, 500);
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 180), RGBColor(200, 60, 20)];

/// Draws every series, both axes logarithmic.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn draw(path: &Path, results: &[Contestant]) -> Result<(), Box<dyn Error>> {
    let series = series(results);
    let points = || series.iter().flat_map(|series| &series.points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let values = || points().map(of);
        (values().fold(f64::MAX, f64::min) / 1.5, values().fold(0.0, f64::max) * 1.5)
    };
    let ((left, right), (bottom, top)) = (range(|point| point.0), range(|point| point.1));

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("What a packet costs among many TCP connections", ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(45)
        .y_label_area_size(80)
        .build_cartesian_2d((left..right).log_scale(), (bottom..top).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("established connections")
        .y_desc("nanoseconds per packet")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for Series { label, colour, is_filled, points } in series {
        let style = ShapeStyle { color: colour.to_rgba(), filled: is_filled, stroke_width: 2 };
        let line = LineSeries::new(points, style).point_size(4);
        chart
            .draw_series(line)?
            .label(label)
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    area.present()?;
    Ok(())
}

struct Series {
    label: String,
    colour: RGBColor,
    is_filled: bool,
    points: Vec<(f64, f64)>,
}

fn series(results: &[Contestant]) -> Vec<Series> {
    let of = |contestant: &Contestant, colour, workload: Workload| Series {
        label: format!("{}, {}", contestant.name, workload.name()),
        colour,
        is_filled: workload == Workload::Active,
        points: contestant
            .rows
            .iter()
            .map(|row| (row.flows as f64, row.median(workload)))
            .collect(),
    };
    let both = results.iter().zip(COLOURS);
    both.flat_map(|(contestant, colour)| {
        Workload::ALL.map(|workload| of(contestant, colour, workload))
    })
    .collect()
}
