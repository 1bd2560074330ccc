//! How does who is where outlive the process? Changes wait here and are written together, twice a second.
//!
//! ```text
//! registry, leases, RADIUS ─► changes that wait ─► one transaction ─► <name>.identities.redb
//! ```
//!
//! Nobody who changes something waits for the disk: what was told in the last half second before a crash may be lost. While a disk
//! takes nothing, changes go on to wait. They are bounded by what lives and what is on the disk: what came and went meanwhile
//! is not kept at all.
//!
//! The file is not the one of accounts, so that it neither slows them nor is part of backups: nobody is to come back with an old one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::store::{Entities, StoreError, Table};

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Assertions, by number.
    Assertion,
    /// The number of the last assertion.
    LastId,
    /// DHCP leases, by address.
    Lease,
    /// Sessions of RADIUS and their last word.
    RadiusSession,
    /// Fingerprints of requests of RADIUS, in order.
    RadiusSeen,
    /// Ends of sessions of RADIUS, in order.
    RadiusEnded,
    /// When access servers began.
    RadiusBegun,
}

impl Kept {
    const fn table<T>(self) -> Table<T> {
        Table::new(match self {
            Self::Assertion => "identities",
            Self::LastId => "identities_last",
            Self::Lease => "leases",
            Self::RadiusSession => "radius_sessions",
            Self::RadiusSeen => "radius_seen",
            Self::RadiusEnded => "radius_ended",
            Self::RadiusBegun => "radius_begun",
        })
    }
}

/// A change that waits.
#[derive(Debug)]
struct Waiting {
    /// `None`: it is forgotten.
    value: Option<Box<RawValue>>,
    /// Nothing of it is on the disk.
    is_new: bool,
}

type Changes = BTreeMap<(Kept, String), Waiting>;

/// What is kept of who is where.
#[derive(Debug)]
pub struct Ledger {
    store: Entities,
    waiting: Mutex<Changes>,
    /// Changes of the transaction that is under way.
    writing: AtomicUsize,
}

impl Ledger {
    /// Opens the file, or makes it. Where that fails it is tried again with each writing; says why.
    #[must_use]
    pub fn open(path: impl Into<PathBuf>) -> (Self, Option<StoreError>) {
        let path = path.into();
        let (store, error) = match Entities::open(&path) {
            Ok(store) => (store, None),
            Err(error) => (Entities::unopened(path), Some(error)),
        };
        (Self { store, waiting: Mutex::default(), writing: AtomicUsize::new(0) }, error)
    }

    /// All of a kind that can be read, in the order of the keys, and how many cannot: those are forgotten.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the file itself cannot be read.
    pub fn read<T: DeserializeOwned>(&self, kept: Kept) -> Result<(Vec<(String, T)>, usize), StoreError> {
        let (good, damaged) = self.store.readable(&kept.table())?;
        let count = damaged.len();
        damaged.into_iter().for_each(|key| self.forget(kept, key));
        Ok((good, count))
    }

    /// Keeps what was not there before.
    pub fn add(&self, kept: Kept, key: String, value: &impl Serialize) {
        self.change(kept, key, Some(value), true);
    }

    /// Keeps it in place of what may have been there before.
    pub fn put(&self, kept: Kept, key: String, value: &impl Serialize) {
        self.change(kept, key, Some(value), false);
    }

    /// Forgets it.
    pub fn forget(&self, kept: Kept, key: String) {
        self.change(kept, key, None::<&()>, false);
    }

    /// How many changes are not on the disk yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let changes = self.changes();
        // Relaxed: it is changed under the lock, too.
        changes.len() + self.writing.load(Ordering::Relaxed)
    }

    /// Writes what waits. It goes on to wait where that fails.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn save(&self) -> Result<(), StoreError> {
        let taken = {
            let mut changes = self.changes();
            self.writing.store(changes.len(), Ordering::Relaxed);
            std::mem::take(&mut *changes)
        };
        if taken.is_empty() {
            return Ok(());
        }
        let written = self.store.write(|write| {
            for ((kept, key), change) in &taken {
                match &change.value {
                    Some(value) => write.put(&kept.table(), key, value)?,
                    None => drop(write.remove(&kept.table::<()>(), key)?),
                }
            }
            Ok(())
        });
        let mut changes = self.changes();
        self.writing.store(0, Ordering::Relaxed);
        if written.is_err() {
            let newer = std::mem::replace(&mut *changes, taken);
            newer.into_iter().for_each(|(at, change)| merge(&mut changes, at, change));
        }
        written
    }

    fn change(&self, kept: Kept, key: String, value: Option<&impl Serialize>, is_new: bool) {
        // A row is made of texts and numbers, of which JSON has no fault to find.
        let value = value.and_then(|value| serde_json::value::to_raw_value(value).ok());
        merge(&mut self.changes(), (kept, key), Waiting { value, is_new });
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change comes behind another one of the same row.
fn merge(changes: &mut Changes, at: (Kept, String), mut change: Waiting) {
    // What the disk has is known by the older of the two.
    change.is_new = changes.get(&at).map_or(change.is_new, |before| before.is_new);
    if change.is_new && change.value.is_none() {
        changes.remove(&at);
    } else {
        changes.insert(at, change);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn rows(ledger: &Ledger) -> Vec<(String, u64)> {
        ledger.read(Kept::Lease).unwrap().0
    }

    #[test]
    fn what_was_written_is_there_again_and_what_was_forgotten_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i.redb");
        let (ledger, error) = Ledger::open(&path);
        assert!(error.is_none());
        ledger.add(Kept::Lease, "a".to_owned(), &1_u64);
        ledger.add(Kept::Lease, "b".to_owned(), &2_u64);
        ledger.save().unwrap();
        ledger.forget(Kept::Lease, "a".to_owned());
        ledger.put(Kept::Lease, "b".to_owned(), &3_u64);
        ledger.add(Kept::Assertion, "b".to_owned(), &"no number");
        ledger.save().unwrap();
        assert_eq!(ledger.waiting(), 0);
        drop(ledger);
        let (ledger, _) = Ledger::open(&path);
        assert_eq!(rows(&ledger), [("b".to_owned(), 3)]);
        let (good, damaged) = ledger.read::<u64>(Kept::Assertion).unwrap();
        assert_eq!((good.len(), damaged, ledger.waiting()), (0, 1, 1), "what is no row is forgotten");
    }

    #[test]
    fn while_the_disk_takes_nothing_only_what_lives_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("later").join("i.redb");
        let (ledger, error) = Ledger::open(&path);
        assert!(error.is_some());
        for number in 0..1_000_u64 {
            let key = number.to_string();
            ledger.add(Kept::Lease, key.clone(), &number);
            assert!(ledger.save().is_err());
            ledger.put(Kept::Lease, key.clone(), &number);
            if number != 7 {
                ledger.forget(Kept::Lease, key);
            }
        }
        assert_eq!(ledger.waiting(), 1);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        ledger.save().unwrap();
        assert_eq!(rows(&ledger), [("7".to_owned(), 7)]);
    }
}
