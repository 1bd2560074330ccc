//! Results as aligned text, and as the rows of a Markdown table.

use super::result::{Measurement, ResultFile, Value};
use crate::measure::stats::{Comparison, Summary};

/// Columns of every table of results.
pub(crate) const HEAD: [&str; 8] =
    ["driver", "workload", "flows", "policies", "value", "median", "spread", "runs"];

/// One row for each value of each measurement.
pub(crate) fn rows(file: &ResultFile) -> Vec<Vec<String>> {
    file.measurements
        .iter()
        .flat_map(|measurement| {
            measurement.values.iter().filter_map(|(name, value)| row(measurement, name, value))
        })
        .collect()
}

fn row(measurement: &Measurement, name: &str, value: &Value) -> Option<Vec<String>> {
    let summary = Summary::of(&value.samples)?;
    let mut median = number(summary.median, &value.unit);
    if value.at_least {
        median = format!(">= {median} (sender-bound)");
    }
    Some(vec![
        measurement.driver.clone(),
        measurement.workload.clone(),
        thousands(measurement.flows),
        thousands(measurement.policies),
        name.to_owned(),
        median,
        if summary.runs > 1 { format!("+-{:.1} %", summary.spread() * 100.0) } else { String::new() },
        summary.runs.to_string(),
    ])
}

/// A comparison of two files, one row for each value that both have.
pub(crate) fn compare(a: &ResultFile, b: &ResultFile) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for first in &a.measurements {
        let Some(second) = b.measurements.iter().find(|second| first.is_same_case(second)) else { continue };
        for (name, value) in &first.values {
            let Some(other) = second.values.get(name) else { continue };
            let Some(comparison) = Comparison::of(&value.samples, &other.samples) else { continue };
            rows.push(vec![
                first.driver.clone(),
                first.workload.clone(),
                thousands(first.flows),
                thousands(first.policies),
                name.clone(),
                number(comparison.a.median, &value.unit),
                number(comparison.b.median, &value.unit),
                // Nothing over nothing: allocations, losses.
                if comparison.ratio.is_finite() {
                    format!("{:.3}", comparison.ratio)
                } else {
                    "-".to_owned()
                },
                comparison.verdict().to_owned(),
            ]);
        }
    }
    rows
}

/// Columns of [`compare`].
pub(crate) const COMPARE_HEAD: [&str; 9] =
    ["driver", "workload", "flows", "policies", "value", "A", "B", "B / A", "verdict"];

/// Text with aligned columns.
pub(crate) fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut out =
        vec![line(&head), "-".repeat(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1))];
    out.extend(rows.iter().map(|row| line(row)));
    out.join("\n") + "\n"
}

/// A number with its unit, as people say it.
pub(crate) fn number(value: f64, unit: &str) -> String {
    match unit {
        "pps" if value >= 1e6 => format!("{:.2} Mpps", value / 1e6),
        "pps" => format!("{:.0} kpps", value / 1e3),
        "per_s" if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
        "per_s" => format!("{value:.0} /s"),
        "ns" if value >= 1e6 => format!("{:.2} ms", value / 1e6),
        "ns" if value >= 1e4 => format!("{:.1} us", value / 1e3),
        "bytes" if value >= 1048576.0 => format!("{:.1} MiB", value / 1048576.0),
        "x" => format!("{value:.2} x"),
        "share" => format!("{:.4} %", value * 100.0),
        _ if value.fract() == 0.0 => format!("{value:.0} {unit}"),
        _ if value.abs() < 1.0 => format!("{value:.3} {unit}"),
        _ => format!("{value:.1} {unit}"),
    }
}

/// 1,000,000
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_say_them() {
        assert_eq!(number(1_234_567.0, "pps"), "1.23 Mpps");
        assert_eq!(number(900_000.0, "pps"), "900 kpps");
        assert_eq!(number(12_345.0, "ns"), "12.3 us");
        assert_eq!(number(250.0, "cycles"), "250 cycles");
        assert_eq!(number(0.0457, "calls"), "0.046 calls");
        assert_eq!(number(0.25, "share"), "25.0000 %");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(thousands(999), "999");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = aligned(&["a", "bb"], &[vec!["xxx".to_owned(), "y".to_owned()]]);
        assert_eq!(text, "a    bb\n-------\nxxx  y\n");
    }
}
