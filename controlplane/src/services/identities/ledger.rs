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
//! What a row says (names, Ethernet addresses) is sealed under a key of the file's own, and that under the box key: the row's name is the
//! number of an assertion, an address or a fingerprint, and stands in the clear.
//!
//! The file is not the one of accounts, so that it neither slows them nor is part of backups: nobody is to come back with an old one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::store::sealed::{BoxKey, SealError, SubjectKey};
use crate::store::{Entities, StoreError, Table};

/// The key that rows are sealed under, itself under the box key, in Base64.
const KEY: Table<String> = Table::new("key");

/// What that is the key of.
const KEY_OF: &str = "identities";

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
    const fn name(self) -> &'static str {
        match self {
            Self::Assertion => "identities",
            Self::LastId => "identities_last",
            Self::Lease => "leases",
            Self::RadiusSession => "radius_sessions",
            Self::RadiusSeen => "radius_seen",
            Self::RadiusEnded => "radius_ended",
            Self::RadiusBegun => "radius_begun",
        }
    }

    /// Rows are sealed, in Base64.
    const fn table(self) -> Table<String> {
        Table::new(self.name())
    }

    /// What a row is sealed as, so that none can take the place of another.
    fn row(self, key: &str) -> String {
        format!("{}/{key}", self.name())
    }
}

/// A change that waits.
#[derive(Debug)]
struct Waiting {
    /// Sealed, in Base64; `None`: it is forgotten.
    value: Option<String>,
    /// Nothing of it is on the disk.
    is_new: bool,
}

type Changes = BTreeMap<(Kept, String), Waiting>;

/// What is kept of who is where.
#[derive(Debug)]
pub struct Ledger {
    store: Entities,
    key: SubjectKey,
    /// The key under the box key, where it is not in the file yet.
    wrapped: Mutex<Option<String>>,
    waiting: Mutex<Changes>,
    /// Changes of the transaction that is under way.
    writing: AtomicUsize,
}

impl Ledger {
    /// Opens the file, or makes it. Where that fails it is tried again with each writing; says why.
    ///
    /// # Errors
    ///
    /// [`SealError`]: the system gives no key.
    pub fn open(path: impl Into<PathBuf>, box_key: &BoxKey) -> Result<(Self, Option<StoreError>), SealError> {
        let path = path.into();
        let (store, error) = match Entities::open(&path) {
            Ok(store) => (store, None),
            Err(error) => (Entities::unopened(path), Some(error)),
        };
        let kept = store.readable(&KEY).ok().and_then(|(rows, _damaged)| rows.into_iter().next());
        let kept = kept.and_then(|(_, wrapped)| BASE64.decode(wrapped).ok());
        // One that another box key sealed opens nothing any more.
        let kept = kept.and_then(|wrapped| SubjectKey::unwrap(box_key, KEY_OF, &wrapped).ok());
        let (key, wrapped) = match kept {
            Some(key) => (key, None),
            None => {
                let (key, wrapped) = SubjectKey::generate(box_key, KEY_OF)?;
                (key, Some(BASE64.encode(wrapped)))
            }
        };
        let (waiting, writing, wrapped) = (Mutex::default(), AtomicUsize::new(0), Mutex::new(wrapped));
        Ok((Self { store, key, wrapped, waiting, writing }, error))
    }

    /// All of a kind that can be read, in the order of the keys, and how many cannot: those are forgotten.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the file itself cannot be read.
    pub fn read<T: DeserializeOwned>(&self, kept: Kept) -> Result<(Vec<(String, T)>, usize), StoreError> {
        let (rows, mut damaged) = self.store.readable(&kept.table())?;
        let mut good = Vec::with_capacity(rows.len());
        for (key, sealed) in rows {
            match self.unseal(kept, &key, &sealed) {
                Some(value) => good.push((key, value)),
                None => damaged.push(key),
            }
        }
        let count = damaged.len();
        damaged.into_iter().for_each(|key| self.forget(kept, key));
        Ok((good, count))
    }

    fn unseal<T: DeserializeOwned>(&self, kept: Kept, key: &str, sealed: &str) -> Option<T> {
        let row = self.key.open(&kept.row(key), &BASE64.decode(sealed).ok()?)?;
        serde_json::from_slice(&row).ok()
    }

    fn seal(&self, kept: Kept, key: &str, value: &impl Serialize) -> Option<String> {
        // A row is made of texts and numbers, of which JSON has no fault to find; the system's randomness does not end either.
        let row = Zeroizing::new(serde_json::to_vec(value).ok()?);
        self.key.seal(&kept.row(key), &row).ok().map(|sealed| BASE64.encode(sealed))
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
        let mut wrapped = self.wrapped.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.store.write(|write| {
            if let Some(wrapped) = &*wrapped {
                write.put(&KEY, KEY_OF, wrapped)?;
            }
            for ((kept, key), change) in &taken {
                match &change.value {
                    Some(value) => write.put(&kept.table(), key, value)?,
                    None => drop(write.remove(&kept.table(), key)?),
                }
            }
            Ok(())
        });
        if written.is_ok() {
            *wrapped = None;
        }
        let mut changes = self.changes();
        self.writing.store(0, Ordering::Relaxed);
        if written.is_err() {
            let newer = std::mem::replace(&mut *changes, taken);
            newer.into_iter().for_each(|(at, change)| merge(&mut changes, at, change));
        }
        written
    }

    fn change(&self, kept: Kept, key: String, value: Option<&impl Serialize>, is_new: bool) {
        let value = value.and_then(|value| self.seal(kept, &key, value));
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

    fn open(path: &std::path::Path, key: &BoxKey) -> (Ledger, Option<StoreError>) {
        Ledger::open(path, key).unwrap()
    }

    fn rows(ledger: &Ledger) -> Vec<(String, u64)> {
        ledger.read(Kept::Lease).unwrap().0
    }

    #[test]
    fn what_was_written_is_there_again_and_what_was_forgotten_is_not() {
        let (dir, key) = (tempfile::tempdir().unwrap(), BoxKey::generate().unwrap());
        let path = dir.path().join("i.redb");
        let (ledger, error) = open(&path, &key);
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
        let (ledger, _) = open(&path, &key);
        assert_eq!(rows(&ledger), [("b".to_owned(), 3)]);
        let (good, damaged) = ledger.read::<u64>(Kept::Assertion).unwrap();
        assert_eq!((good.len(), damaged, ledger.waiting()), (0, 1, 1), "what is no row is forgotten");
        drop(ledger);
        let (ledger, _) = open(&path, &BoxKey::generate().unwrap());
        let read = ledger.read::<u64>(Kept::Lease).unwrap();
        assert_eq!(read, (Vec::new(), 1), "another box reads nothing");
    }

    #[test]
    fn what_a_row_says_is_not_in_the_file() {
        let (dir, key) = (tempfile::tempdir().unwrap(), BoxKey::generate().unwrap());
        let path = dir.path().join("i.redb");
        let (ledger, _) = open(&path, &key);
        ledger.add(Kept::Assertion, "1".to_owned(), &"ann-of-finance");
        ledger.add(Kept::Assertion, "2".to_owned(), &"bob");
        ledger.save().unwrap();
        // A row that takes the place of another says nothing.
        let (rows, _) = ledger.store.readable(&Kept::Assertion.table()).unwrap();
        ledger.store.write(|write| write.put(&Kept::Assertion.table(), "2", &rows[0].1)).unwrap();
        let (good, damaged) = ledger.read::<String>(Kept::Assertion).unwrap();
        assert_eq!((good, damaged), (vec![("1".to_owned(), "ann-of-finance".to_owned())], 1));
        drop(ledger);
        let bytes = std::fs::read(&path).unwrap();
        let is_there = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(is_there(b"identities") && !is_there(b"ann-of-finance"));
    }

    #[test]
    fn while_the_disk_takes_nothing_only_what_lives_waits() {
        let (dir, key) = (tempfile::tempdir().unwrap(), BoxKey::generate().unwrap());
        let path = dir.path().join("later").join("i.redb");
        let (ledger, error) = open(&path, &key);
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
