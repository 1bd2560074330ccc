//! Which files does a log have?

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Link, note};
use crate::store::StoreError;

/// What is known to be on the disk at least. Where less is found, something was removed or damaged; only what lies beyond
/// may be the torn end of a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The youngest segment.
    pub segment: u64,
    /// Entries of the log.
    pub entries: u64,
    /// The link after them.
    pub link: Link,
}

/// What is left of segments in a row that retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stub {
    pub first_segment: u64,
    pub last_segment: u64,
    pub first_entry: u64,
    /// The entry after the last one.
    pub end_entry: u64,
    /// The link before the first segment.
    pub previous: Link,
    /// The link after the last one.
    pub link: Link,
    /// When the last of them was removed, nanoseconds since 1970.
    pub removed_ns: u64,
}

/// Segments and stubs, in their order.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Segments that no stub stands for.
    pub segments: Vec<u64>,
    /// Segments whose removal was not finished: a stub stands for them already.
    pub leftovers: Vec<u64>,
    pub stubs: Vec<Stub>,
    /// Stubs that another one holds.
    pub swallowed: Vec<u64>,
}

impl Listing {
    /// The directory as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError`], also for a stub that is damaged.
    pub(super) fn read(directory: &Path) -> Result<Self, StoreError> {
        let (found, damaged) = Self::read_past_damage(directory)?;
        damaged.into_iter().next().map_or(Ok(found), Err)
    }

    /// The same without stubs that are damaged, and what is wrong with those.
    pub(super) fn read_past_damage(directory: &Path) -> Result<(Self, Vec<StoreError>), StoreError> {
        let failed = |error: &io::Error| StoreError::of_io(directory, error);
        let (mut segments, mut stubs, mut damaged) = (Vec::new(), Vec::<Stub>::new(), Vec::new());
        for entry in std::fs::read_dir(directory).map_err(|error| failed(&error))? {
            let name = entry.map_err(|error| failed(&error))?.file_name();
            let Some((number, kind)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let Some(sequence) = number_of(number) else { continue };
            match kind {
                "segment" => segments.push(sequence),
                "stub" => match note::read::<Stub>(&stub_path(directory, sequence)) {
                    Ok(stub) => stubs.extend(stub),
                    Err(error) => damaged.push(error),
                },
                _ => {}
            }
        }
        segments.sort_unstable();
        // Of those that begin together, the longest first: the others are within it.
        stubs.sort_unstable_by_key(|stub| (stub.first_segment, u64::MAX - stub.last_segment));
        let mut found = Self::default();
        for stub in stubs {
            match found.stubs.last() {
                Some(last) if stub.last_segment <= last.last_segment => {
                    found.swallowed.push(stub.first_segment)
                }
                _ => found.stubs.push(stub),
            }
        }
        let is_removed = |sequence: &u64| {
            found.stubs.iter().any(|stub| (stub.first_segment..=stub.last_segment).contains(sequence))
        };
        (found.leftovers, found.segments) = segments.into_iter().partition(is_removed);
        Ok((found, damaged))
    }
}

/// `sequence` of a file's name: eight digits, more where they are needed.
fn number_of(digits: &str) -> Option<u64> {
    let sequence = digits.parse().ok()?;
    (format!("{sequence:08}") == digits && sequence > 0).then_some(sequence)
}

pub(super) fn segment_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:08}.segment"))
}

pub(super) fn index_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:08}.index"))
}

pub(super) fn stub_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:08}.stub"))
}

pub(super) fn head_path(directory: &Path) -> PathBuf {
    directory.join("head")
}

pub(super) fn holds_path(directory: &Path) -> PathBuf {
    directory.join("holds")
}
