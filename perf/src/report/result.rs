//! One run of the harness as a file: the environment, what was measured, and every raw sample.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::measure::environment::{Environment, steal_ticks};
use crate::measure::stats::Summary;

/// Layout of the file; readers refuse a higher one.
pub(crate) const FORMAT: u32 = 1;

/// A result file.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct ResultFile {
    pub(crate) format: u32,
    /// The subcommand that wrote it.
    pub(crate) scenario: String,
    pub(crate) environment: Environment,
    /// Seed of every shuffle.
    pub(crate) seed: u64,
    pub(crate) measurements: Vec<Measurement>,
}

/// Values of one driver under one load.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Measurement {
    /// `bare`, `jarvis`, `nft`, `suricata`, `engine`...
    pub(crate) driver: String,
    /// Name of the workload, or of what was varied.
    pub(crate) workload: String,
    pub(crate) flows: u64,
    pub(crate) policies: u64,
    /// Versions, rings, offloads, settings.
    pub(crate) notes: Vec<(String, String)>,
    /// By name: `rate`, `cycles_per_packet`...
    pub(crate) values: BTreeMap<String, Value>,
    /// Whole trials and searches, as they were.
    pub(crate) raw: Vec<serde_json::Value>,
}

/// One quantity.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Value {
    /// `pps`, `ns`, `cycles`, `bytes`, `ms`, `share`...
    pub(crate) unit: String,
    /// In the order they were made.
    pub(crate) samples: Vec<f64>,
    /// The sender was the limit: at least this.
    pub(crate) at_least: bool,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: no result file: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: format {found}, this program reads up to {FORMAT}", path.display())]
    Newer { path: PathBuf, found: u32 },
}

impl Measurement {
    pub(crate) fn new(
        driver: impl Into<String>,
        workload: impl Into<String>,
        flows: u64,
        policies: u64,
    ) -> Self {
        Self {
            driver: driver.into(),
            workload: workload.into(),
            flows,
            policies,
            notes: Vec::new(),
            values: BTreeMap::new(),
            raw: Vec::new(),
        }
    }

    /// Adds one sample of `name`.
    pub(crate) fn sample(&mut self, name: &str, unit: &str, value: f64) {
        self.sample_bound(name, unit, value, false);
    }

    /// Adds one sample that may be a lower bound only.
    pub(crate) fn sample_bound(&mut self, name: &str, unit: &str, value: f64, at_least: bool) {
        let entry = self.values.entry(name.to_owned()).or_insert_with(|| Value {
            unit: unit.to_owned(),
            samples: Vec::new(),
            at_least: false,
        });
        entry.samples.push(value);
        entry.at_least |= at_least;
    }

    pub(crate) fn note(&mut self, name: &str, text: impl Into<String>) {
        self.notes.push((name.to_owned(), text.into()));
    }

    /// Keeps a trial or a search whole.
    pub(crate) fn keep(&mut self, raw: &impl serde::Serialize) {
        self.raw.push(serde_json::to_value(raw).expect("results are plain data"));
    }

    /// Median of a value.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        Summary::of(&self.values.get(name)?.samples).map(|summary| summary.median)
    }

    /// Same driver, workload, flows and policies.
    pub(crate) fn is_same_case(&self, other: &Self) -> bool {
        (&self.driver, &self.workload, self.flows, self.policies)
            == (&other.driver, &other.workload, other.flows, other.policies)
    }
}

/// Collects measurements; knows how much the hypervisor took meanwhile.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: ResultFile,
    ticks: (u64, u64),
}

impl Recorder {
    pub(crate) fn new(scenario: &str, seed: u64) -> Self {
        let file = ResultFile {
            format: FORMAT,
            scenario: scenario.to_owned(),
            environment: Environment::now(),
            seed,
            measurements: Vec::new(),
        };
        Self { file, ticks: steal_ticks() }
    }

    pub(crate) fn add(&mut self, measurement: Measurement) {
        self.file.measurements.push(measurement);
    }

    /// The file, complete.
    pub(crate) fn finish(mut self) -> ResultFile {
        let (steal, all) = steal_ticks();
        let passed = all.saturating_sub(self.ticks.1).max(1);
        self.file.environment.steal_share = steal.saturating_sub(self.ticks.0) as f64 / passed as f64;
        self.file
    }
}

impl ResultFile {
    /// # Errors
    ///
    /// See [`Error`].
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let file: Self =
            serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.into(), source })?;
        if file.format > FORMAT {
            return Err(Error::Newer { path: path.into(), found: file.format });
        }
        Ok(file)
    }

    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(self).expect("results are plain data");
        text.push('\n');
        if let Some(folder) = path.parent() {
            // If this fails, writing the file tells why.
            let _ = std::fs::create_dir_all(folder);
        }
        std::fs::write(path, text).map_err(|source| Error::Io { path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_as_it_was_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("a.json");
        let mut recorder = Recorder::new("zero-loss", 7);
        let mut measurement = Measurement::new("bare", "64b", 1000, 0);
        measurement.sample("rate", "pps", 1e6);
        measurement.sample_bound("rate", "pps", 2e6, true);
        measurement.sample("rate", "pps", 4e6);
        recorder.add(measurement);
        let mut file = recorder.finish();
        file.write(&path).unwrap();
        let read = ResultFile::read(&path).unwrap();
        assert_eq!(read.measurements[0].values, file.measurements[0].values);
        assert_eq!(read.measurements[0].median("rate"), Some(2e6));
        assert!(read.measurements[0].values["rate"].at_least);
        file.format = FORMAT + 1;
        file.write(&path).unwrap();
        assert!(matches!(ResultFile::read(&path), Err(Error::Newer { .. })));
    }
}
