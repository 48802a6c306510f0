//! The results as a picture.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::{
    measure::{Direction, Row},
    world::Contestant,
};

const SIZE: (u32, u32) = (900, 500);
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 180), RGBColor(200, 60, 20)];
/// Bars of a group have its width less this.
const GAP: f64 = 0.3;

/// Draws a group of two bars for each path and direction, the rates logarithmic.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn draw(path: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let groups: Vec<_> =
        rows.iter().flat_map(|row| Direction::ALL.map(|direction| (row, direction))).collect();
    let (bottom, top) = range(&groups);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Bulk transfers over a lossy path", ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(45)
        .y_label_area_size(80)
        .build_cartesian_2d(-0.5..groups.len() as f64 - 0.5, (bottom..top).log_scale())?;
    let label = |at: &f64| match groups.get(at.round() as usize) {
        Some((row, direction)) if (at - at.round()).abs() < 0.01 => {
            format!("{} {} {}", row.loss, row.congestion, direction.name())
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(groups.len() + 1)
        .x_label_formatter(&label)
        .x_label_style(("sans-serif", 11))
        .y_desc("MB/s")
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    for (contestant, colour) in Contestant::ALL.into_iter().zip(COLOURS) {
        let bars = (0..).zip(&groups).filter_map(|(number, (row, direction))| {
            let rate = row.median(contestant, *direction)?;
            Some(bar(number, contestant, (bottom, rate), colour))
        });
        chart
            .draw_series(bars)?
            .label(contestant.to_string())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}

/// One bar, from the bottom to its rate.
fn bar(
    number: u32,
    contestant: Contestant,
    (bottom, rate): (f64, f64),
    colour: RGBColor,
) -> Rectangle<(f64, f64)> {
    let width = (1.0 - GAP) / 2.0;
    let left = f64::from(number) - width + contestant as u32 as f64 * width;
    Rectangle::new([(left, bottom), (left + width, rate)], colour.filled())
}

/// The powers of ten below the slowest and above the fastest.
fn range(groups: &[(&Row, Direction)]) -> (f64, f64) {
    let of = |(row, direction): &(&Row, Direction)| {
        Contestant::ALL.map(|contestant| row.median(contestant, *direction))
    };
    let rates: Vec<f64> = groups.iter().flat_map(of).flatten().collect();
    let slowest = rates.iter().copied().fold(1.0, f64::min);
    let fastest = rates.iter().copied().fold(1.0, f64::max);
    (10_f64.powf(slowest.log10().floor()), 10_f64.powf(fastest.log10().floor() + 1.0))
}
