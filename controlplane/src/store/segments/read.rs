//! What is in a log? Its records of a time, with certain terms, page by page.
//!
//! Segments, groups of blocks and blocks that cannot have such a record are passed over: by their times, by their entry
//! numbers, by their filters. It reads files only, also while they are written: what is not whole at the end is not there
//! yet.

use std::ops::ControlFlow;
use std::path::Path;

use super::block::{Records, decompress};
use super::directory::{Listing, segment_path};
use super::filter;
use super::index::Index;
use super::walk::{Block, Item, Walk};
use crate::store::StoreError;

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// From this time on, nanoseconds since 1970.
    pub from_ns: u64,
    /// Before this time.
    pub to_ns: u64,
    /// Terms that a record must have, all of them.
    pub terms: Vec<String>,
    /// Groups of terms: a record must have one of each group.
    pub any_of: Vec<Vec<String>>,
    /// From this entry on: where a page ended.
    pub first_entry: u64,
}

impl Default for Query {
    fn default() -> Self {
        Self { from_ns: 0, to_ns: u64::MAX, terms: Vec::new(), any_of: Vec::new(), first_entry: 0 }
    }
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its number, counted from 0 through the whole log.
    pub entry: u64,
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// As it was written.
    pub body: &'a [u8],
}

/// How reading went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    /// Where to go on; `None` at the end.
    pub next_entry: Option<u64>,
    /// Blocks whose bytes were read.
    pub blocks_read: u64,
    /// Blocks that were passed over.
    pub blocks_skipped: u64,
    /// Places that are damaged and hold records that are not told.
    pub damaged: u64,
}

/// Shows the records of `query` in their order, until `show` breaks.
///
/// # Errors
///
/// [`StoreError`]; a damaged block is counted, not an error.
pub fn read(
    directory: &Path,
    query: &Query,
    show: &mut dyn FnMut(&Found<'_>) -> ControlFlow<()>,
) -> Result<Page, StoreError> {
    let listing = match Listing::read_past_damage(directory) {
        Ok((listing, _)) => listing,
        Err(_) if !directory.exists() => return Ok(Page::default()),
        Err(error) => return Err(error),
    };
    let hashes = query.terms.iter().map(|term| filter::hash(term.as_bytes())).collect();
    let group = |group: &Vec<String>| group.iter().map(|term| filter::hash(term.as_bytes())).collect();
    let groups = query.any_of.iter().map(group).collect();
    let mut reading = Reading { query, hashes, groups, page: Page::default(), raw: Vec::new() };
    let last = listing.segments.last().copied();
    for sequence in listing.segments {
        // Retention may take a segment meanwhile: then its records are gone.
        let path = segment_path(directory, sequence);
        let index = match Index::of(directory, sequence) {
            Ok(index) => index,
            Err(_) if !path.exists() => continue,
            Err(error) => return Err(error),
        };
        let is_last = last == Some(sequence);
        let may_have = index.overlaps(query.from_ns, query.to_ns) && index.end_entry > query.first_entry;
        if !may_have && !is_last {
            reading.page.blocks_skipped +=
                index.groups.iter().map(|group| u64::from(group.blocks)).sum::<u64>();
            continue;
        }
        let Ok(mut walk) = Walk::open(&path, false) else { continue };
        if reading.segment(&mut walk, &index, show)?.is_break() {
            break;
        }
    }
    Ok(reading.page)
}

struct Reading<'a> {
    query: &'a Query,
    hashes: Vec<u64>,
    groups: Vec<Vec<u64>>,
    page: Page,
    raw: Vec<u8>,
}

impl Reading<'_> {
    fn segment(
        &mut self,
        walk: &mut Walk,
        index: &Index,
        show: &mut dyn FnMut(&Found<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let may_have = |end_entry: u64, first_ns: u64, last_ns: u64| {
            end_entry > self.query.first_entry && first_ns < self.query.to_ns && last_ns >= self.query.from_ns
        };
        // Groups at the beginning that have nothing; later ones are met block by block.
        let begin =
            index.groups.iter().take_while(|group| !may_have(group.end_entry, group.first_ns, group.last_ns));
        let (mut skipped, mut groups) = (0, 0);
        for group in begin {
            skipped += u64::from(group.blocks);
            groups += 1;
        }
        if let Some(group) = index.groups.get(groups) {
            walk.skip_to(group.offset);
            self.page.blocks_skipped += skipped;
        }
        while let Some(item) = walk.next()? {
            match item {
                Item::Flaw(flaw) => self.page.damaged += u64::from(!flaw.is_tail),
                Item::Block(block) => {
                    let header = &block.header;
                    let is_wanted = header.end_entry() > self.query.first_entry
                        && header.first_ns < self.query.to_ns
                        && header.last_ns >= self.query.from_ns
                        && self.may_have_terms(walk, &block)?;
                    if !is_wanted {
                        self.page.blocks_skipped += 1;
                    } else if self.block(walk, &block, show)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn may_have_terms(&self, walk: &mut Walk, block: &Block) -> Result<bool, StoreError> {
        if self.hashes.is_empty() && self.groups.is_empty() {
            return Ok(true);
        }
        // A filter that is damaged keeps nothing from being read.
        Ok(walk.filter(block)?.is_none_or(|filter| {
            let has = |hash: &u64| filter::may_have(filter, *hash);
            self.hashes.iter().all(has) && self.groups.iter().all(|group| group.iter().any(has))
        }))
    }

    fn block(
        &mut self,
        walk: &mut Walk,
        block: &Block,
        show: &mut dyn FnMut(&Found<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let raw = &mut self.raw;
        let whole = walk.stored(block)?.and_then(|stored| decompress(&block.header, stored, raw));
        if whole.is_none() {
            self.page.damaged += 1;
            return Ok(ControlFlow::Continue(()));
        }
        self.page.blocks_read += 1;
        for (entry, record) in (block.header.first_entry..).zip(Records::of(raw).flatten()) {
            let is_wanted = entry >= self.query.first_entry
                && (self.query.from_ns..self.query.to_ns).contains(&record.time_ns)
                && self.query.terms.iter().all(|term| record.has(term.as_bytes()))
                && self.query.any_of.iter().all(|group| group.iter().any(|term| record.has(term.as_bytes())));
            let found = Found { entry, time_ns: record.time_ns, body: record.body };
            if is_wanted && show(&found).is_break() {
                self.page.next_entry = Some(entry + 1);
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
