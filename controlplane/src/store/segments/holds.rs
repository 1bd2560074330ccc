//! What must stay, whatever retention says? A file `holds` beside the segments of a log.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::directory::{Listing, holds_path};
use super::index::Index;
use super::{make_directory, note};
use crate::store::StoreError;

/// Holds of a log: what each of them keeps is read when they are listed.
pub const HOLDS_MAX: usize = 100;

/// What must stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// By which it is released.
    pub name: String,
    /// Records of this time on, nanoseconds since 1970.
    pub from_ns: u64,
    /// Records before this time.
    pub to_ns: u64,
    /// Why, for who reads it in a year.
    pub reason: String,
    /// Who made it, sealed under that account's key.
    #[serde(default)]
    pub by: String,
    /// When it was made or changed, seconds since 1970.
    #[serde(default)]
    pub since_s: u64,
    /// Counts the changes.
    #[serde(default)]
    pub version: u64,
}

/// What a hold keeps from going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Held {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The holds of one log, whether it is written now or not.
#[derive(Debug)]
pub struct Holds {
    directory: PathBuf,
    /// Held by whoever changes them, and by retention as long as it removes: what was held before is not removed.
    changing: Mutex<()>,
}

/// Nothing is held or released as long as this lives.
#[derive(Debug)]
pub struct Still<'a>(#[expect(dead_code, reason = "it is the guard that counts")] MutexGuard<'a, ()>);

impl Holds {
    pub(super) const fn of(directory: PathBuf) -> Self {
        Self { directory, changing: Mutex::new(()) }
    }

    /// All of them.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; retention removes nothing then.
    pub fn all(&self) -> Result<Vec<Hold>, StoreError> {
        Ok(note::read(&holds_path(&self.directory))?.unwrap_or_default())
    }

    /// Keeps what `hold` names, in place of a hold of the same name. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; [`StoreError::TooLarge`] where there are too many.
    pub fn put(&self, hold: Hold) -> Result<(), StoreError> {
        let _still = self.still();
        let mut holds = self.all()?;
        holds.retain(|other| other.name != hold.name);
        holds.push(hold);
        if holds.len() > HOLDS_MAX {
            return Err(StoreError::TooLarge { len_bytes: holds.len(), max_bytes: HOLDS_MAX });
        }
        make_directory(&self.directory)?;
        note::write(&holds_path(&self.directory), &holds)
    }

    /// Ends a hold; `false`: there was none of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn release(&self, name: &str) -> Result<bool, StoreError> {
        let _still = self.still();
        let mut holds = self.all()?;
        let before = holds.len();
        holds.retain(|hold| hold.name != name);
        if holds.len() < before {
            note::write(&holds_path(&self.directory), &holds)?;
        }
        Ok(holds.len() < before)
    }

    /// What there is now that this hold keeps; the segment that is written counts where it is over.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn held(&self, hold: &Hold) -> Result<Held, StoreError> {
        let mut held = Held::default();
        if !self.directory.is_dir() {
            return Ok(held);
        }
        let mut listing = Listing::read(&self.directory)?;
        listing.segments.pop();
        for sequence in listing.segments {
            match Index::of(&self.directory, sequence) {
                Ok(index) if index.overlaps(hold.from_ns, hold.to_ns) => {
                    held.segments += 1;
                    held.bytes += index.len_bytes;
                }
                // Removed meanwhile, or another's.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(held)
    }

    /// Keeps others from holding and releasing.
    pub fn still(&self) -> Still<'_> {
        Still(self.changing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
