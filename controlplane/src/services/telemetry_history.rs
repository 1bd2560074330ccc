//! What did the box do before? Its totals each second, minute and hour, kept over restarts.
//!
//! A thread of its own, `jarvis-history`, reads the boards each second. Rows are ordered by a sequence that only grows, never by the
//! wall clock: a clock that is set deletes nothing. Each minute one transaction puts the minute's seconds, the minute and the hour so
//! far on the disk, and takes off it what is too old, so that a crash costs the last minute at most and never half of one. That
//! atomicity is why rows are entities and not segments: 62 keys a minute come and go, some 4 MB stand. Time without a row is time
//! in which nobody counted; nothing is made up for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{Entities, StoreError, Table};

mod keeper;
mod series;
#[cfg(test)]
mod tests;

pub use series::SERIES;

use series::{COUNT, Kind};

/// Distance of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub enum Step {
    /// Kept for an hour.
    #[serde(rename = "1s")]
    Second,
    /// Kept for a week.
    #[serde(rename = "1m")]
    Minute,
    /// Kept for two years.
    #[serde(rename = "1h")]
    Hour,
}

impl Step {
    /// The step that a client calls so.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        match text {
            "1s" => Some(Self::Second),
            "1m" => Some(Self::Minute),
            "1h" => Some(Self::Hour),
            _ => None,
        }
    }

    /// Its length, seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// Rows that are kept.
    #[must_use]
    pub const fn rows_max(self) -> usize {
        match self {
            Self::Second => 3_600,
            Self::Minute => 7 * 24 * 60,
            Self::Hour => 2 * 366 * 24,
        }
    }
}

/// Totals since the start of the process, and what is there now; in the order of [`SERIES`].
#[derive(Debug, Clone)]
pub(super) struct Totals {
    pub(super) values: [u64; COUNT],
    /// Of all batches so far.
    pub(super) batch_ns: Option<Histogram<u64>>,
}

/// Stands for "nobody knows" in memory; the greatest number that no counter reaches.
const UNKNOWN: u64 = u64::MAX;

/// What happened in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    sequence: u64,
    /// Start of the step, seconds since 1970.
    at_s: u64,
    /// How much of the step was seen.
    covered_ms: u64,
    values: [u64; COUNT],
}

impl Row {
    /// Both as one; `later` is the newer.
    fn add(&mut self, later: &Self) {
        self.covered_ms += later.covered_ms;
        for ((series, value), more) in SERIES.iter().zip(&mut self.values).zip(later.values) {
            *value = match (*value, more) {
                (UNKNOWN, known) | (known, UNKNOWN) => known,
                (one, other) => match series.kind {
                    Kind::Sum => one.saturating_add(other),
                    Kind::Last => other,
                    Kind::Greatest => one.max(other),
                },
            };
        }
    }
}

/// A row on the disk. Values are in the order of [`SERIES`]; a later version may have more of them, so those of an older one are
/// followed by nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// Sequence, start and cover, as in [`Row`].
    n: u64,
    t: u64,
    ms: u64,
    v: Vec<Option<u64>>,
}

impl From<&Row> for Stored {
    fn from(row: &Row) -> Self {
        let v = row.values.iter().map(|value| known(*value)).collect();
        Self { n: row.sequence, t: row.at_s, ms: row.covered_ms, v }
    }
}

impl From<&Stored> for Row {
    fn from(stored: &Stored) -> Self {
        let mut values = [UNKNOWN; COUNT];
        for (value, kept) in values.iter_mut().zip(&stored.v) {
            *value = kept.unwrap_or(UNKNOWN);
        }
        Self { sequence: stored.n, at_s: stored.t, covered_ms: stored.ms, values }
    }
}

const fn known(value: u64) -> Option<u64> {
    if value == UNKNOWN { None } else { Some(value) }
}

/// Blocks of the seconds of a minute, by the sequence of their last.
const SECONDS: Table<Vec<Stored>> = Table::new("telemetry_1s");
const MINUTES: Table<Stored> = Table::new("telemetry_1m");
const HOURS: Table<Stored> = Table::new("telemetry_1h");

fn key(sequence: u64) -> String {
    format!("{sequence:016x}")
}

/// Rows of one step, the oldest first.
#[derive(Debug)]
struct Ring {
    step: Step,
    rows: VecDeque<Row>,
    /// The step that is not over.
    open: Option<Row>,
    next: u64,
}

impl Ring {
    fn of(step: Step, mut rows: VecDeque<Row>) -> Self {
        let next = rows.back().map_or(0, |row| row.sequence + 1);
        while rows.len() > step.rows_max() {
            rows.pop_front();
        }
        Self { step, rows, open: None, next }
    }

    /// Begins with the last row open again: if its step goes on, so does the row.
    fn reopened(mut self) -> Self {
        self.open = self.rows.pop_back();
        self
    }

    /// Counts what happened at `at_s`; the row that ended with it.
    fn take(&mut self, seen: &Row) -> Option<Row> {
        let at_s = seen.at_s / self.step.seconds() * self.step.seconds();
        if let Some(open) = self.open.as_mut().filter(|open| open.at_s == at_s) {
            open.add(seen);
            return None;
        }
        let ended = self.open.take();
        if let Some(ended) = ended {
            self.push(ended);
        }
        self.open = Some(Row { sequence: self.next, at_s, ..*seen });
        self.next += 1;
        ended
    }

    fn push(&mut self, row: Row) {
        if self.rows.len() >= self.step.rows_max() {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    /// The first sequence that is kept on the disk.
    fn first(&self) -> u64 {
        self.rows.front().or(self.open.as_ref()).map_or(self.next, |row| row.sequence)
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.iter().chain(&self.open)
    }
}

/// The past of a box.
#[derive(Debug)]
pub struct History {
    store: Arc<Entities>,
    rings: Mutex<Rings>,
}

#[derive(Debug)]
struct Rings {
    /// Seconds, minutes, hours.
    rings: [Ring; 3],
    /// The last second that is on the disk.
    saved: Option<u64>,
    /// Oldest row on the disk, by step: what is before it was removed.
    removed: [u64; 3],
}

/// A question.
#[derive(Debug, Clone)]
pub struct HistoryQuestion {
    /// Distance of rows.
    pub step: Step,
    /// Not before, seconds since 1970.
    pub from_s: Option<u64>,
    /// Before, seconds since 1970.
    pub to_s: Option<u64>,
    /// Places in [`SERIES`]; `None` for all.
    pub series: Option<Vec<usize>>,
    /// Rows at most.
    pub limit: usize,
    /// Sequence of the first row wanted.
    pub cursor: Option<u64>,
}

/// Columns: the value at a place of a series belongs to the timestamp at the same place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryView {
    /// Distance of rows.
    pub step: Step,
    /// The same, seconds.
    pub step_s: u64,
    /// Start of each step that was seen, seconds since 1970, in the order in which they were seen. A step that is not there was not
    /// seen: nothing ran.
    pub timestamps: Vec<u64>,
    /// How much of the step was seen, milliseconds: less for the one that is not over, and where the box began or stopped.
    pub covered_ms: Vec<u64>,
    /// By name; `null` where nobody knows.
    pub series: BTreeMap<&'static str, Vec<Option<u64>>>,
    /// Where to go on; `null` at the end.
    pub next_cursor: Option<String>,
}

impl History {
    /// Reads what is kept; a store that cannot be read has no past.
    #[must_use]
    pub fn open(store: Arc<Entities>) -> Self {
        let rings = Rings::read(&store).unwrap_or_else(|error| {
            tracing::error!(%error, "what telemetry was before cannot be read: it begins anew");
            Rings::of([VecDeque::new(), VecDeque::new(), VecDeque::new()])
        });
        Self { store, rings: Mutex::new(rings) }
    }

    /// Columns of what happened. Scans at most [`Step::rows_max`] rows.
    #[must_use]
    pub fn columns(&self, question: &HistoryQuestion) -> HistoryView {
        let HistoryQuestion { step, from_s, to_s, series, limit, cursor } = question;
        let rings = self.lock();
        let ring = &rings.rings[*step as usize];
        let is_wanted = |row: &&Row| {
            from_s.is_none_or(|from| row.at_s >= from)
                && to_s.is_none_or(|to| row.at_s < to)
                && cursor.is_none_or(|cursor| row.sequence >= cursor)
        };
        let mut rows: Vec<Row> = if from_s.is_none() && cursor.is_none() {
            let mut newest: Vec<Row> = ring.all().rev().filter(is_wanted).take(*limit).copied().collect();
            newest.reverse();
            newest
        } else {
            ring.all().filter(is_wanted).take(limit + 1).copied().collect()
        };
        drop(rings);
        let next_cursor = rows.get(*limit).map(|row| row.sequence.to_string());
        rows.truncate(*limit);
        let all: Vec<usize> = (0..COUNT).collect();
        let columns = series.as_ref().unwrap_or(&all).iter().filter_map(|place| {
            let name = SERIES.get(*place)?.name;
            Some((name, rows.iter().map(|row| known(row.values[*place])).collect()))
        });
        HistoryView {
            step: *step,
            step_s: step.seconds(),
            timestamps: rows.iter().map(|row| row.at_s).collect(),
            covered_ms: rows.iter().map(|row| row.covered_ms).collect(),
            series: columns.collect(),
            next_cursor,
        }
    }

    /// Counts a second; whether a minute ended with it, so that it is time to [`Self::save`].
    fn take(&self, seen: &Row) -> bool {
        let mut rings = self.lock();
        let [seconds, minutes, hours] = &mut rings.rings;
        // Two readings may lie in one second of the wall clock, or a clock was set: each has a row of its own.
        let row = Row { sequence: seconds.next, ..*seen };
        seconds.next += 1;
        seconds.push(row);
        hours.take(seen);
        minutes.take(seen).is_some()
    }

    /// Puts what is new on the disk. What cannot be written now is tried again with the next minute.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is written then.
    fn save(&self) -> Result<(), StoreError> {
        let rings = self.lock();
        let [seconds, minutes, hours] = &rings.rings;
        let is_new = |row: &&Row| rings.saved.is_none_or(|saved| row.sequence > saved);
        let block: Vec<Stored> = seconds.rows.iter().filter(is_new).map(Stored::from).collect();
        // The last is written again while it grows.
        let newest = |ring: &Ring, count: usize| -> Vec<Stored> {
            ring.all().rev().take(count).map(Stored::from).collect()
        };
        let unsaved = block.len().div_ceil(60) + 2;
        let (of_minutes, of_hours) = (newest(minutes, unsaved), newest(hours, unsaved.div_ceil(60) + 2));
        let firsts = [seconds.first(), minutes.first(), hours.first()];
        let removed = rings.removed;
        drop(rings);

        let last = block.last().map(|row| row.n);
        self.store.write(|write| {
            if let Some(last) = last {
                write.put(&SECONDS, &key(last), &block)?;
            }
            for row in &of_minutes {
                write.put(&MINUTES, &key(row.n), row)?;
            }
            for row in &of_hours {
                write.put(&HOURS, &key(row.n), row)?;
            }
            for old in removed[0]..firsts[0] {
                write.remove(&SECONDS, &key(old))?;
            }
            for old in removed[1]..firsts[1] {
                write.remove(&MINUTES, &key(old))?;
            }
            for old in removed[2]..firsts[2] {
                write.remove(&HOURS, &key(old))?;
            }
            Ok(())
        })?;
        let mut rings = self.lock();
        rings.removed = firsts;
        rings.saved = last.or(rings.saved);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    fn of(rows: [VecDeque<Row>; 3]) -> Self {
        let removed = [0, 1, 2].map(|step: usize| rows[step].front().map_or(0, |row| row.sequence));
        let saved = rows[0].back().map(|row| row.sequence);
        let [seconds, minutes, hours] = rows;
        let rings = [
            Ring::of(Step::Second, seconds),
            Ring::of(Step::Minute, minutes).reopened(),
            Ring::of(Step::Hour, hours).reopened(),
        ];
        Self { rings, saved, removed }
    }

    fn read(store: &Entities) -> Result<Self, StoreError> {
        let seconds = store.all(&SECONDS)?.into_iter().flat_map(|(_key, block)| block);
        let of = |rows: Vec<(String, Stored)>| rows.iter().map(|(_key, row)| Row::from(row)).collect();
        Ok(Self::of([
            seconds.map(|row| Row::from(&row)).collect(),
            of(store.all(&MINUTES)?),
            of(store.all(&HOURS)?),
        ]))
    }
}
