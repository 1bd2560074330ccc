//! How does a log grow, and how does it begin again after a crash?

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::block::{Batch, Place, encode};
use super::directory::{Head, Listing, head_path, index_path, segment_path, stub_path};
use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::holds::Holds;
use super::index::Index;
use super::walk::{Item, Walk, What};
use super::{FORMAT, Kind, Link, note};
use crate::store::StoreError;
use crate::store::replace::replace;

/// What a log is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Shape of the records; another one begins a segment.
    pub schema: u16,
    /// A segment that would be larger is ended, bytes.
    pub segment_bytes_max: u64,
    /// A segment that is older is ended, nanoseconds.
    pub segment_age_ns_max: u64,
    /// zstd's level.
    pub level: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: 1,
            segment_bytes_max: 64 << 20,
            segment_age_ns_max: 24 * 3_600 * 1_000_000_000,
            level: 1,
        }
    }
}

/// What was found at the end of a log when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// What a crash tore, which was never acknowledged: the file, the byte from which on it was cut off, how many.
    pub cut: Option<(PathBuf, u64, u64)>,
    /// What was whole once and is not any more. Nothing was cut; a new segment was begun.
    pub damaged: Vec<String>,
}

/// A batch that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its first entry, counted from 0 through the whole log.
    pub first_entry: u64,
    /// The log's entries with it.
    pub entries: u64,
    /// The link after it.
    pub link: Link,
}

/// A log that is written. Only the holder of the directory's lock has one.
#[derive(Debug)]
pub struct Log {
    pub(super) directory: PathBuf,
    kind: Kind,
    settings: Settings,
    /// The segment that is written; `None` before the first one and after damage.
    tail: Option<Tail>,
    /// The youngest number that a segment had.
    sequence: u64,
    entries: u64,
    link: Link,
    head: Option<Head>,
    pub(super) holds: Arc<Holds>,
    /// Of finished segments, oldest first.
    pub(super) finished: Vec<Index>,
    compressor: Compressor,
    bytes: Vec<u8>,
}

/// `zstd`'s own type tells nothing of itself.
struct Compressor(zstd::bulk::Compressor<'static>);

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

#[derive(Debug)]
struct Tail {
    header: SegmentHeader,
    /// `None` after a write that failed: what is behind `index.len_bytes` must go first.
    file: Option<File>,
    blocks: u32,
    index: Index,
    /// Up to this byte the file has room on the disk.
    reserved: u64,
}

impl Log {
    /// Reads what is there; the caller holds the lock.
    pub(super) fn open(
        directory: PathBuf,
        kind: Kind,
        settings: Settings,
        holds: Arc<Holds>,
        now_ns: u64,
    ) -> Result<(Self, Recovery), StoreError> {
        let failed = |error| StoreError::of_io(&directory, &error);
        let compressor = zstd::bulk::Compressor::new(settings.level).map_err(failed)?;
        finish_removals(&directory)?;
        let listing = Listing::read(&directory)?;
        let mut recovery = Recovery::default();
        let head: Option<Head> = match note::read(&head_path(&directory)) {
            Ok(head) => head,
            Err(error @ StoreError::Damaged { .. }) => {
                recovery.damaged.push(error.to_string());
                None
            }
            Err(error) => return Err(error),
        };
        let mut log = Self {
            directory,
            kind,
            settings,
            tail: None,
            sequence: 0,
            entries: 0,
            link: Link::FIRST,
            head,
            holds,
            finished: Vec::new(),
            compressor: Compressor(compressor),
            bytes: Vec::new(),
        };
        if let Some(stub) = listing.stubs.last() {
            (log.sequence, log.entries, log.link) = (stub.last_segment, stub.end_entry, stub.link);
        }
        if let Some((last, finished)) = listing.segments.split_last() {
            for sequence in finished {
                log.finished.push(Index::of(&log.directory, *sequence)?);
            }
            log.recover(*last, &mut recovery)?;
        }
        log.begin_anew_where_something_is_missing(&mut recovery);
        let begun = match &log.tail {
            Some(_) => log.note(),
            None if log.sequence > 0 => log.begin_segment(now_ns),
            None => Ok(()),
        };
        match begun {
            // A box with a full disk starts all the same; the next append tries again.
            Ok(()) | Err(StoreError::Full { .. }) => Ok((log, recovery)),
            Err(error) => Err(error),
        }
    }

    /// The last segment: its end is torn, or damaged, or as it was left.
    fn recover(&mut self, sequence: u64, recovery: &mut Recovery) -> Result<(), StoreError> {
        let path = segment_path(&self.directory, sequence);
        let mut walk = Walk::open(&path, true)?;
        let mut index = Index::new(sequence, 0, SEGMENT_HEADER as u64);
        let (mut is_whole, mut torn, mut blocks) = (true, None, 0);
        // What acknowledged entries end with. Blocks beyond a flaw count too.
        match walk.header() {
            Ok(header) => {
                (self.entries, self.link) = (header.first_entry, header.link());
                index = Index::new(sequence, header.first_entry, SEGMENT_HEADER as u64);
            }
            Err(super::format::NoHeader::Newer(found)) => {
                return Err(StoreError::Newer { path, found: found.into(), known: FORMAT.into() });
            }
            Err(_) => {
                is_whole = false;
                recovery.damaged.push(format!("{}: the segment's header", path.display()));
            }
        }
        while let Some(item) = walk.next()? {
            match item {
                Item::Block(block) => {
                    index.add(block.offset, &block.header);
                    blocks += 1;
                    self.entries = block.header.end_entry();
                    self.link = block.link.unwrap_or(self.link);
                }
                Item::Flaw(flaw) => {
                    if let What::Newer(found) = flaw.what {
                        return Err(StoreError::Newer { path, found: found.into(), known: FORMAT.into() });
                    }
                    let was_told = self.head.is_some_and(|head| head.entries > self.entries);
                    if flaw.is_tail && !was_told {
                        torn = Some((flaw.offset, flaw.len_bytes));
                        continue;
                    }
                    is_whole = false;
                    recovery.damaged.push(format!("{} at byte {}", path.display(), flaw.offset));
                    self.entries = flaw.header.map_or(self.entries, |header| header.end_entry());
                }
            }
        }
        self.sequence = sequence;
        let Some(header) = walk.header().ok().filter(|_| is_whole) else {
            index.len_bytes = walk.len_bytes();
            self.finished.push(index);
            return Ok(());
        };
        let mut tail = Tail { header, file: None, blocks, index, reserved: 0 };
        if let Some((offset, len_bytes)) = torn {
            recovery.cut = Some((path, offset, len_bytes));
        }
        tail.mend(&self.directory)?;
        self.tail = Some(tail);
        Ok(())
    }

    /// What is known to have been there and is not leaves a gap of its size: numbers are never given twice.
    fn begin_anew_where_something_is_missing(&mut self, recovery: &mut Recovery) {
        let Some(head) = self.head else { return };
        let missing = head.entries.saturating_sub(self.entries);
        if missing == 0 && head.segment <= self.sequence {
            return;
        }
        recovery.damaged.push(format!(
            "{}: segment {} and {missing} entries at the end are not there",
            self.directory.display(),
            head.segment
        ));
        if let Some(tail) = self.tail.take() {
            self.finished.push(tail.index);
        }
        self.sequence = self.sequence.max(head.segment);
        if head.entries > self.entries {
            (self.entries, self.link) = (head.entries, head.link);
        }
    }

    /// How many entries there are, those that were removed included.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The link after the last entry.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        let tail = self.tail.as_ref().map_or(0, |tail| tail.index.len_bytes);
        tail + self.finished.iter().map(|index| index.len_bytes).sum::<u64>()
    }

    /// Puts a batch at the end; it is on the disk when this returns, and `batch` is empty.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then nothing of the batch counts, `batch` is as it was, and the next append tries again.
    pub fn append(&mut self, batch: &mut Batch, now_ns: u64) -> Result<Appended, StoreError> {
        let first_entry = self.entries;
        if batch.is_empty() {
            return Ok(Appended { first_entry, entries: self.entries, link: self.link });
        }
        if self.tail.as_ref().is_none_or(|tail| self.is_over(tail, batch, now_ns)) {
            match self.begin_segment(now_ns) {
                // A disk that has no room for a new segment may have room kept in this one.
                Err(StoreError::Full { .. }) if self.has_room_of_same_schema() => {}
                begun => begun?,
            }
        }
        let tail = self.tail.as_mut().expect("a segment was begun where there was none");
        let place = Place {
            kind: self.kind,
            nonce: tail.header.nonce,
            index: tail.blocks,
            first_entry,
            previous: self.link,
        };
        let path = segment_path(&self.directory, tail.header.sequence);
        let failed = |error: &io::Error| StoreError::of_io(&path, error);
        let (header, link) =
            encode(batch, place, &mut self.compressor.0, &mut self.bytes).map_err(|error| failed(&error))?;
        let offset = tail.index.len_bytes;
        let file = tail.mend(&self.directory)?;
        if let Err(error) = file.write_all_at(&self.bytes, offset).and_then(|()| file.sync_data()) {
            // After a sync that failed the kernel may have dropped the pages: the file is opened and cut anew.
            let _ = file.set_len(offset);
            tail.file = None;
            return Err(failed(&error));
        }
        tail.index.add(offset, &header);
        tail.blocks += 1;
        self.entries = header.end_entry();
        self.link = link;
        batch.clear();
        Ok(Appended { first_entry, entries: self.entries, link })
    }

    /// Keeps room on the disk for `bytes` more in the segment that is written, so that what must be told of a change is not
    /// what fills the disk. Costs a system call once half of it is used. Where the file system cannot, nothing is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`]: there is not so much room; what was kept before is.
    pub fn reserve(&mut self, bytes: u64, now_ns: u64) -> Result<(), StoreError> {
        if self.tail.is_none() {
            self.begin_segment(now_ns)?;
        }
        let Some(tail) = &mut self.tail else { return Ok(()) };
        let end = tail.index.len_bytes;
        if tail.reserved >= end + bytes / 2 {
            return Ok(());
        }
        let path = segment_path(&self.directory, tail.header.sequence);
        match fallocate(tail.mend(&self.directory)?, FallocateFlags::KEEP_SIZE, end, bytes) {
            Ok(()) => tail.reserved = end + bytes,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => tail.reserved = u64::MAX,
            Err(error) => return Err(StoreError::of_io(&path, &error.into())),
        }
        Ok(())
    }

    fn has_room_of_same_schema(&self) -> bool {
        self.tail.as_ref().is_some_and(|tail| {
            tail.header.schema == self.settings.schema && tail.reserved > tail.index.len_bytes
        })
    }

    fn is_over(&self, tail: &Tail, batch: &Batch, now_ns: u64) -> bool {
        let has_blocks = tail.blocks > 0;
        let age_ns = now_ns.saturating_sub(tail.header.created_ns);
        let is_large = tail.index.len_bytes + batch.len_bytes() as u64 / 4 > self.settings.segment_bytes_max;
        tail.header.schema != self.settings.schema
            || has_blocks && (is_large || age_ns > self.settings.segment_age_ns_max)
    }

    /// Ends the segment that is written, and begins the next.
    fn begin_segment(&mut self, now_ns: u64) -> Result<(), StoreError> {
        let sequence = self.sequence + 1;
        let path = segment_path(&self.directory, sequence);
        let failed = |error: io::Error| StoreError::of_io(&path, &error);
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let header = SegmentHeader {
            kind: self.kind,
            schema: self.settings.schema,
            nonce: u64::from_le_bytes(nonce),
            sequence,
            first_entry: self.entries,
            created_ns: now_ns,
            previous: self.link,
        };
        if self.head.is_none() {
            // Before the first segment: one without a head means that the head was removed.
            self.note()?;
        }
        // Whole or not there: what reads a segment finds a header.
        replace(&path, &header.to_bytes()).map_err(failed)?;
        let file = open_segment(&path).map_err(failed)?;
        if let Some(tail) = self.tail.take() {
            if let Some(file) = tail.file.as_ref().filter(|_| tail.reserved > tail.index.len_bytes) {
                // Gives back what was reserved behind the end; what is not given back is only room.
                let _ = file.set_len(tail.index.len_bytes);
            }
            // An index that is not written is made from the segment when it is needed.
            let _ = tail.index.write(&self.directory);
            self.finished.push(tail.index);
        }
        let index = Index::new(sequence, self.entries, SEGMENT_HEADER as u64);
        self.tail = Some(Tail { header, file: Some(file), blocks: 0, index, reserved: 0 });
        self.sequence = sequence;
        self.link = header.link();
        self.note()
    }

    /// Notes what is there by now, at checkpoints and at the end: from here on it is missed where it is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note(&mut self) -> Result<(), StoreError> {
        let head = Head { segment: self.sequence, entries: self.entries, link: self.link };
        if self.head != Some(head) {
            note::write(&head_path(&self.directory), &head)?;
            self.head = Some(head);
        }
        Ok(())
    }
}

impl Tail {
    /// The file, cut to what was acknowledged.
    fn mend(&mut self, directory: &Path) -> Result<&File, StoreError> {
        if self.file.is_none() {
            let path = segment_path(directory, self.header.sequence);
            let failed = |error| StoreError::of_io(&path, &error);
            let file = open_segment(&path).map_err(failed)?;
            self.reserved = 0;
            if file.metadata().map_err(failed)?.len() > self.index.len_bytes {
                file.set_len(self.index.len_bytes).and_then(|()| file.sync_all()).map_err(failed)?;
            }
            self.file = Some(file);
        }
        Ok(self.file.as_ref().expect("it was opened"))
    }
}

fn open_segment(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Removes what a crash left of segments that a stub stands for.
fn finish_removals(directory: &Path) -> Result<(), StoreError> {
    let listing = Listing::read(directory)?;
    for sequence in &listing.leftovers {
        remove(&segment_path(directory, *sequence))?;
        remove(&index_path(directory, *sequence))?;
    }
    listing.swallowed.iter().try_for_each(|sequence| remove(&stub_path(directory, *sequence)))
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::of_io(path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
impl Log {
    /// As after a write that failed.
    pub(super) fn forget_file(&mut self) {
        if let Some(tail) = &mut self.tail {
            tail.file = None;
        }
    }
}
