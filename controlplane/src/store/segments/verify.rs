//! Is what is in a log what was written? Every byte is read, every link compared, and what does not fit is named.

use std::fmt;
use std::path::{Path, PathBuf};

use super::block::{Records, decompress};
use super::directory::{Head, Listing, Stub, head_path, segment_path};
use super::format::{BLOCK_HEADER, NoHeader, SegmentHeader};
use super::read::Found;
use super::walk::{Block, Flaw, Item, Walk, What};
use super::{Kind, Link, note};
use crate::store::StoreError;

/// Faults that are told one by one.
const FAULTS_MAX: usize = 1_000;

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A segment's file is not there, and no stub stands for it.
    SegmentMissing,
    /// Entries are not there.
    Missing,
    /// Entries stand where they do not belong.
    Reordered,
    /// Bytes are whole, but are not those that the chain goes on from.
    Changed,
    /// A checksum is wrong, or bytes are no block at all.
    Damaged,
    /// A block of another segment or log.
    Foreign,
    /// Written by a later version.
    Newer,
}

impl Wrong {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SegmentMissing => "the segment was removed, and not by retention",
            Self::Missing => "removed",
            Self::Reordered => "out of their order",
            Self::Changed => "changed after they were written",
            Self::Damaged => "damaged",
            Self::Foreign => "of another segment",
            Self::Newer => "written by a later version",
        }
    }
}

/// A place that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The block, counted from 0 through its segment.
    pub block: Option<u64>,
    /// The byte of the file.
    pub offset: Option<u64>,
    /// The first entry that is concerned, and the one after the last; `None`: it is not known which.
    pub entries: Option<(u64, u64)>,
    /// What is wrong.
    pub wrong: Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(block) = self.block {
            write!(f, ", block {block}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        match self.entries {
            Some((first, end)) if end == first + 1 => write!(f, ", entry {first}")?,
            Some((first, end)) if end > first => write!(f, ", entries {first} to {}", end - 1)?,
            Some((first, _)) => write!(f, ", before entry {first}")?,
            None => {}
        }
        write!(f, ": {}", self.wrong.words())
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Entries that are there and were read.
    pub entries: u64,
    /// Entries that retention has removed.
    pub removed: u64,
    /// The entry after the last.
    pub end_entry: u64,
    /// Blocks.
    pub blocks: u64,
    /// Segments.
    pub segments: u64,
    /// What does not fit, in the order of the log; the first thousand.
    pub faults: Vec<Fault>,
    /// Faults beyond those.
    pub more_faults: u64,
    /// Bytes at the end that are no whole block: a crash, or a write under way.
    pub torn_bytes: u64,
    /// Segments that retention has removed: each row's first and last, and the link after it.
    pub stubs: Vec<(u64, u64, Link)>,
}

/// A block whose checksums are right.
#[derive(Debug)]
pub struct BlockSeen<'a> {
    /// Its segment's file.
    pub file: &'a Path,
    /// Counted from 0 through its segment.
    pub block: u64,
    /// Its first entry.
    pub first_entry: u64,
    /// The link before it, as it says.
    pub previous: Link,
    /// The link after it.
    pub link: Link,
    /// Its records.
    pub records: Vec<Found<'a>>,
}

/// Reads a whole log and shows its blocks.
///
/// # Errors
///
/// [`StoreError`]: what keeps it from being read at all. What does not fit is in the report.
pub fn verify(
    directory: &Path,
    kind: Kind,
    show: &mut dyn FnMut(&BlockSeen<'_>),
) -> Result<Report, StoreError> {
    let (listing, damaged_stubs) = Listing::read_past_damage(directory)?;
    let head_file = head_path(directory);
    let head: Result<Option<Head>, StoreError> = note::read(&head_file);
    let mut chain = Chain {
        directory,
        kind,
        report: Report::default(),
        entry: Some(0),
        link: Some(Link::FIRST),
        before: None,
        open_end: None,
        head: head.as_ref().ok().copied().flatten(),
    };
    for error in damaged_stubs {
        if let StoreError::Damaged { path, .. } = error {
            chain.tell(Fault { file: path, block: None, offset: None, entries: None, wrong: Wrong::Damaged });
        }
    }
    let mut rows: Vec<Row> = listing.stubs.into_iter().map(Row::Stub).collect();
    rows.extend(listing.segments.into_iter().map(Row::Segment));
    rows.sort_unstable_by_key(Row::first);
    let is_empty = rows.is_empty();
    let last = rows.last().map_or(0, Row::last);
    let mut expected = 1;
    for row in rows {
        if row.first() > expected {
            chain.segments_missing(expected, row.first() - 1);
        }
        expected = row.last() + 1;
        match row {
            Row::Stub(stub) => chain.stub(&stub),
            Row::Segment(sequence) => chain.segment(sequence, sequence == last, show)?,
        }
    }
    match head {
        Ok(Some(head)) => chain.end(&head, last),
        Ok(None) if is_empty => {}
        Ok(None) => chain.tell(Fault {
            file: head_file,
            block: None,
            offset: None,
            entries: None,
            wrong: Wrong::Missing,
        }),
        Err(_) => chain.tell(Fault {
            file: head_file,
            block: None,
            offset: None,
            entries: None,
            wrong: Wrong::Damaged,
        }),
    }
    Ok(chain.report)
}

enum Row {
    Stub(Stub),
    Segment(u64),
}

impl Row {
    const fn first(&self) -> u64 {
        match self {
            Self::Stub(stub) => stub.first_segment,
            Self::Segment(sequence) => *sequence,
        }
    }

    const fn last(&self) -> u64 {
        match self {
            Self::Stub(stub) => stub.last_segment,
            Self::Segment(sequence) => *sequence,
        }
    }
}

/// Where the chain stands.
struct Chain<'a> {
    directory: &'a Path,
    kind: Kind,
    report: Report,
    /// The next entry; `None` after a place that tells nothing.
    entry: Option<u64>,
    /// The link that must come; `None` after a place that tells nothing.
    link: Option<Link>,
    /// The block before: it is to blame where the next does not go on from it.
    before: Option<(PathBuf, u64, u64, (u64, u64))>,
    /// The fault whose last entry is not known yet.
    open_end: Option<usize>,
    head: Option<Head>,
}

impl Chain<'_> {
    fn tell(&mut self, fault: Fault) {
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(fault);
        } else {
            self.report.more_faults += 1;
        }
    }

    fn segments_missing(&mut self, first: u64, last: u64) {
        for sequence in (first..=last).take(FAULTS_MAX) {
            self.tell(Fault {
                file: segment_path(self.directory, sequence),
                block: None,
                offset: None,
                entries: self.entry.filter(|_| first == last).map(|entry| (entry, entry)),
                wrong: Wrong::SegmentMissing,
            });
        }
        self.open_end =
            (first == last && self.entry.is_some()).then(|| self.report.faults.len().saturating_sub(1));
        (self.entry, self.link, self.before) = (None, None, None);
    }

    fn stub(&mut self, stub: &Stub) {
        let file = super::directory::stub_path(self.directory, stub.first_segment);
        self.join(&file, (None, None), (stub.first_entry, stub.end_entry), stub.previous);
        self.report.removed += stub.end_entry.saturating_sub(stub.first_entry);
        self.report.stubs.push((stub.first_segment, stub.last_segment, stub.link));
        (self.entry, self.link, self.before) = (Some(stub.end_entry), Some(stub.link), None);
        self.report.end_entry = stub.end_entry;
    }

    /// Compares what comes next with what must come.
    fn join(
        &mut self,
        file: &Path,
        (block, offset): (Option<u64>, Option<u64>),
        entries: (u64, u64),
        previous: Link,
    ) {
        if let Some(open) = self.open_end.take()
            && let Some(fault) = self.report.faults.get_mut(open)
            && let Some((_, end)) = &mut fault.entries
        {
            *end = (*end).max(entries.0);
        }
        let here =
            |entries, wrong| Fault { file: file.to_owned(), block, offset, entries: Some(entries), wrong };
        match self.entry {
            Some(expected) if entries.0 > expected => {
                return self.tell(here((expected, entries.0), Wrong::Missing));
            }
            Some(expected) if entries.0 < expected => return self.tell(here(entries, Wrong::Reordered)),
            _ => {}
        }
        if self.link.is_some_and(|link| link != previous) {
            let fault = match self.before.take() {
                Some((file, block, offset, entries)) => Fault {
                    file,
                    block: Some(block),
                    offset: Some(offset),
                    entries: Some(entries),
                    wrong: Wrong::Changed,
                },
                None => here(entries, Wrong::Changed),
            };
            self.tell(fault);
        }
    }

    fn segment(
        &mut self,
        sequence: u64,
        is_last: bool,
        show: &mut dyn FnMut(&BlockSeen<'_>),
    ) -> Result<(), StoreError> {
        let path = segment_path(self.directory, sequence);
        let mut walk = Walk::open(&path, true)?;
        self.report.segments += 1;
        self.segment_header(walk.header(), sequence, &path);
        let (mut index, mut raw) = (0, Vec::new());
        while let Some(item) = walk.next()? {
            match item {
                Item::Block(block) => {
                    self.block(&mut walk, &block, (&path, sequence, index), &mut raw, show)?;
                    index = u64::from(block.header.index) + 1;
                }
                Item::Flaw(flaw) => {
                    self.flaw(&flaw, &path, index, is_last);
                    index += 1;
                }
            }
        }
        Ok(())
    }

    fn segment_header(&mut self, header: Result<SegmentHeader, NoHeader>, sequence: u64, path: &Path) {
        let here =
            |wrong| Fault { file: path.to_owned(), block: None, offset: Some(0), entries: None, wrong };
        match header {
            Ok(header) if header.kind != self.kind || header.sequence != sequence => {
                self.tell(here(Wrong::Foreign));
                (self.entry, self.link, self.before) = (None, None, None);
            }
            Ok(header) => {
                self.join(path, (None, Some(0)), (header.first_entry, header.first_entry), header.previous);
                (self.entry, self.link, self.before) = (Some(header.first_entry), Some(header.link()), None);
            }
            Err(none) => {
                let wrong = if matches!(none, NoHeader::Newer(_)) { Wrong::Newer } else { Wrong::Damaged };
                self.tell(here(wrong));
                (self.link, self.before) = (None, None);
            }
        }
    }

    fn block(
        &mut self,
        walk: &mut Walk,
        block: &Block,
        (path, sequence, index): (&Path, u64, u64),
        raw: &mut Vec<u8>,
        show: &mut dyn FnMut(&BlockSeen<'_>),
    ) -> Result<(), StoreError> {
        let header = &block.header;
        let entries = (header.first_entry, header.end_entry());
        let place = (Some(index), Some(block.offset));
        if header.kind != self.kind {
            self.tell(Fault {
                file: path.to_owned(),
                block: place.0,
                offset: place.1,
                entries: Some(entries),
                wrong: Wrong::Foreign,
            });
        }
        self.join(path, place, entries, header.previous);
        let link = block.link.unwrap_or(Link::FIRST);
        self.before = Some((path.to_owned(), index, block.offset, entries));
        (self.entry, self.link) = (Some(entries.1), Some(link));
        self.report.blocks += 1;
        self.report.end_entry = self.report.end_entry.max(entries.1);
        // A head that was noted when its segment was begun has the link of that segment's header.
        let noted = self.head.filter(|head| head.segment == sequence && head.entries == entries.1);
        if noted.is_some_and(|head| head.link != link) {
            self.tell(Fault {
                file: path.to_owned(),
                block: place.0,
                offset: place.1,
                entries: Some(entries),
                wrong: Wrong::Changed,
            });
        }
        let whole = walk.stored(block)?.and_then(|stored| decompress(header, stored, raw));
        if whole.is_none() {
            self.tell(Fault {
                file: path.to_owned(),
                block: place.0,
                offset: Some(block.offset + BLOCK_HEADER as u64),
                entries: Some(entries),
                wrong: Wrong::Damaged,
            });
            return Ok(());
        }
        self.report.entries += u64::from(header.count);
        let records = (entries.0..)
            .zip(Records::of(raw).flatten())
            .map(|(entry, record)| Found { entry, time_ns: record.time_ns, body: record.body })
            .collect();
        let (first_entry, previous) = (entries.0, header.previous);
        show(&BlockSeen { file: path, block: index, first_entry, previous, link, records });
        Ok(())
    }

    fn flaw(&mut self, flaw: &Flaw, path: &Path, index: u64, is_last: bool) {
        let was_told = self.head.is_some_and(|head| self.entry.is_none_or(|entry| head.entries > entry));
        if flaw.is_tail && is_last && !was_told {
            self.report.torn_bytes = flaw.len_bytes;
            return;
        }
        let wrong = match flaw.what {
            What::Foreign => Wrong::Foreign,
            What::Newer(_) => Wrong::Newer,
            What::Incomplete | What::Header | What::Filter | What::Records => Wrong::Damaged,
        };
        let entries = match flaw.header {
            Some(header) => Some((header.first_entry, header.end_entry())),
            None => self.entry.map(|entry| (entry, entry)),
        };
        self.tell(Fault {
            file: path.to_owned(),
            block: Some(index),
            offset: Some(flaw.offset),
            entries,
            wrong,
        });
        if flaw.header.is_none() && entries.is_some() {
            self.open_end = Some(self.report.faults.len() - 1);
        }
        (self.entry, self.link, self.before) = (flaw.header.map(|header| header.end_entry()), None, None);
    }

    /// What must be there at least.
    fn end(&mut self, head: &Head, last: u64) {
        if head.segment > last {
            let entries = self.entry.filter(|entry| *entry < head.entries).map(|entry| (entry, head.entries));
            for sequence in (last + 1..=head.segment).take(FAULTS_MAX) {
                let file = segment_path(self.directory, sequence);
                let entries = entries.filter(|_| sequence == head.segment);
                self.tell(Fault { file, block: None, offset: None, entries, wrong: Wrong::SegmentMissing });
            }
        } else if let Some(entry) = self.entry.filter(|entry| *entry < head.entries) {
            let file = segment_path(self.directory, last);
            let entries = Some((entry, head.entries));
            self.tell(Fault { file, block: None, offset: None, entries, wrong: Wrong::Missing });
        } else if let Some(open) = self.open_end.take()
            && let Some(fault) = self.report.faults.get_mut(open)
            && let Some((_, end)) = &mut fault.entries
        {
            *end = (*end).max(head.entries);
        }
    }
}
