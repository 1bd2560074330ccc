//! A value over flows or policies, one line a driver, as SVG.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

use super::result::ResultFile;

/// What the horizontal axis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Over {
    Flows,
    Policies,
}

/// Why there is no plot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no measurement has a value `{0}`")]
    NoValue(String),
    #[error("drawing: {0}")]
    Draw(String),
}

const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 50, 32),
    RGBColor(0, 140, 80),
    RGBColor(150, 90, 180),
    RGBColor(230, 140, 0),
    RGBColor(90, 90, 90),
];

/// Medians of `value` by line name, in ascending order of the axis.
pub(crate) fn lines(files: &[ResultFile], value: &str, over: Over) -> BTreeMap<String, Vec<(f64, f64)>> {
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for measurement in files.iter().flat_map(|file| &file.measurements) {
        let Some(median) = measurement.median(value) else { continue };
        let (at, other) = match over {
            Over::Flows => (measurement.flows, format!("{} policies", measurement.policies)),
            Over::Policies => (measurement.policies, format!("{} flows", measurement.flows)),
        };
        let name = format!("{} {} {other}", measurement.driver, measurement.workload);
        // A logarithmic axis has no zero.
        lines.entry(name).or_default().push((at.max(1) as f64, median));
    }
    for points in lines.values_mut() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

/// Draws the medians of `value` into `path`.
///
/// # Errors
///
/// Nothing to draw, or the file cannot be written.
pub(crate) fn draw(files: &[ResultFile], value: &str, over: Over, path: &Path) -> Result<(), Error> {
    let lines = lines(files, value, over);
    let points = || lines.values().flatten();
    let Some(first) = points().next() else { return Err(Error::NoValue(value.to_owned())) };
    let (mut left, mut right, mut top) = (first.0, first.0, first.1);
    for (x, y) in points() {
        left = left.min(*x);
        right = right.max(*x);
        top = top.max(*y);
    }
    let failed = |error: &dyn std::error::Error| Error::Draw(error.to_string());
    let area = SVGBackend::new(path, (900, 540)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(value, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d((left * 0.9..right * 1.1).log_scale(), 0.0..top * 1.15)
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .x_desc(match over {
            Over::Flows => "flows",
            Over::Policies => "policies",
        })
        .y_label_formatter(&|y| if *y >= 1e6 { format!("{:.1} M", y / 1e6) } else { format!("{y:.0}") })
        .draw()
        .map_err(|error| failed(&error))?;
    for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4))
            .map_err(|error| failed(&error))?
            .label(name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(|error| failed(&error))?;
    area.present().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::super::result::{Measurement, Recorder};
    use super::*;

    #[test]
    fn a_sweep_becomes_one_ascending_line_in_an_svg() {
        let mut recorder = Recorder::new("sweep", 1);
        for (flows, rate) in [(1_000_000, 9e6), (10_000, 12e6), (10_000_000, 7e6)] {
            let mut measurement = Measurement::new("engine", "64b", flows, 0);
            measurement.sample("rate", "pps", rate);
            recorder.add(measurement);
        }
        let files = [recorder.finish()];
        let lines = lines(&files, "rate", Over::Flows);
        assert_eq!(lines["engine 64b 0 policies"], [(1e4, 12e6), (1e6, 9e6), (1e7, 7e6)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        draw(&files, "rate", Over::Flows, &path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("<svg"));
        assert!(matches!(draw(&files, "nothing", Over::Flows, &path), Err(Error::NoValue(_))));
    }
}
