//! How long is what kept? Whole segments go, the oldest first; what is held stays; a hash of each stays for the chain.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::directory::{Listing, Stub, index_path, segment_path, stub_path};
use super::holds::{Holds, Still};
use super::index::Index;
use super::log::{Log, remove};
use super::walk::Walk;
use super::{Link, note};
use crate::store::{StoreError, replace};

/// What may go. `None`: nothing for that reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Segments whose last record is older, nanoseconds.
    pub age_ns_max: Option<u64>,
    /// The oldest segments, until all together have no more bytes than this.
    pub bytes_max: Option<u64>,
}

/// A segment that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its number.
    pub segment: u64,
    /// Its first entry.
    pub first_entry: u64,
    /// The entry after its last.
    pub end_entry: u64,
    /// The link after it.
    pub link: Link,
    /// Bytes that are free now.
    pub len_bytes: u64,
}

impl Log {
    /// What is held.
    #[must_use]
    pub const fn holds(&self) -> &Arc<Holds> {
        &self.holds
    }

    /// Removes what may go.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what was removed before stays so.
    pub fn retain(&mut self, retention: Retention, now_ns: u64) -> Result<Vec<Removed>, StoreError> {
        let holds = Arc::clone(&self.holds);
        let still = holds.still();
        let going = self.removable(&still, retention, now_ns)?;
        going.iter().try_for_each(|removed| self.remove_segment(&still, removed, now_ns))?;
        Ok(going)
    }

    /// What may go, the oldest first, as long as nothing else is held. The segment that is written never does.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: holds that cannot be read keep everything.
    pub fn removable(
        &self,
        _still: &Still<'_>,
        retention: Retention,
        now_ns: u64,
    ) -> Result<Vec<Removed>, StoreError> {
        if self.finished.is_empty() || retention == Retention::default() {
            return Ok(Vec::new());
        }
        let holds = self.holds.all()?;
        let mut left = self.len_bytes();
        let mut going = Vec::new();
        for index in &self.finished {
            if holds.iter().any(|hold| index.overlaps(hold.from_ns, hold.to_ns)) {
                continue;
            }
            let age_ns = now_ns.saturating_sub(index.last_ns);
            let is_old = index.last_ns > 0 && retention.age_ns_max.is_some_and(|max| age_ns > max);
            let is_too_much = retention.bytes_max.is_some_and(|max| left > max);
            if is_old || is_too_much {
                left -= index.len_bytes;
                going.push(self.removed(index)?);
            }
        }
        Ok(going)
    }

    /// What is to be known of a segment that goes.
    fn removed(&self, index: &Index) -> Result<Removed, StoreError> {
        let sequence = index.segment;
        // What comes next knows best which link was after it.
        let next = Walk::open(&segment_path(&self.directory, sequence + 1), false).ok();
        let (end_entry, link) = match next.and_then(|walk| walk.header().ok()) {
            Some(next) => (next.first_entry, next.previous),
            None => {
                let listing = Listing::read(&self.directory)?;
                let behind = listing.stubs.iter().find(|stub| stub.first_segment == sequence + 1);
                behind.map_or((index.end_entry, Link::FIRST), |stub| (stub.first_entry, stub.previous))
            }
        };
        let (first_entry, len_bytes) = (index.first_entry, index.len_bytes);
        Ok(Removed { segment: sequence, first_entry, end_entry, link, len_bytes })
    }

    /// Removes a segment that [`Self::removable`] told of.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the next start ends a removal that was begun.
    pub fn remove_segment(
        &mut self,
        _still: &Still<'_>,
        removed: &Removed,
        now_ns: u64,
    ) -> Result<(), StoreError> {
        let sequence = removed.segment;
        let path = segment_path(&self.directory, sequence);
        let previous = Walk::open(&path, false)?.header().ok().map(|header| header.previous);
        let listing = Listing::read(&self.directory)?;
        let behind = listing.stubs.iter().find(|stub| stub.first_segment == sequence + 1);
        let before = listing.stubs.iter().find(|stub| stub.last_segment + 1 == sequence);
        let mut stub = Stub {
            first_segment: sequence,
            last_segment: sequence,
            first_entry: removed.first_entry,
            end_entry: removed.end_entry,
            previous: previous.or(before.map(|stub| stub.link)).unwrap_or(Link::FIRST),
            link: removed.link,
            removed_ns: now_ns,
        };
        if let Some(before) = before {
            (stub.first_segment, stub.first_entry, stub.previous) =
                (before.first_segment, before.first_entry, before.previous);
        }
        if let Some(behind) = behind {
            (stub.last_segment, stub.end_entry, stub.link) =
                (behind.last_segment, behind.end_entry, behind.link);
        }
        // The stub first: a crash in between leaves both, and the next start ends the removal.
        note::write(&stub_path(&self.directory, stub.first_segment), &stub)?;
        if behind.is_some() {
            remove(&stub_path(&self.directory, sequence + 1))?;
        }
        remove(&path)?;
        remove(&index_path(&self.directory, sequence))?;
        replace::sync(&self.directory).map_err(|error| StoreError::of_io(&self.directory, &error))?;
        self.finished.retain(|index| index.segment != sequence);
        Ok(())
    }
}
