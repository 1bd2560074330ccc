//! Where in a segment are blocks of which time?
//!
//! Sparse: one line for [`GROUP_BLOCKS`] blocks. It is a file beside each finished segment, and never believed against the
//! segment: where it is lost, damaged, or of another length of the segment, the headers are read instead.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::directory::{index_path, segment_path};
use super::format::BlockHeader;
use super::note;
use super::walk::{Item, Walk};
use crate::store::StoreError;

/// Blocks of one line.
const GROUP_BLOCKS: u32 = 64;

/// Blocks in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub offset: u64,
    pub blocks: u32,
    pub end_entry: u64,
    pub first_ns: u64,
    pub last_ns: u64,
}

/// What is known of a segment without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub segment: u64,
    /// Bytes of the segment.
    pub len_bytes: u64,
    pub first_entry: u64,
    pub end_entry: u64,
    /// Of all records; `u64::MAX` and 0 where there are none.
    pub first_ns: u64,
    pub last_ns: u64,
    pub groups: Vec<Group>,
}

impl Index {
    pub(super) const fn new(segment: u64, first_entry: u64, len_bytes: u64) -> Self {
        Self {
            segment,
            len_bytes,
            first_entry,
            end_entry: first_entry,
            first_ns: u64::MAX,
            last_ns: 0,
            groups: Vec::new(),
        }
    }

    /// Takes in the block at `offset`.
    pub(super) fn add(&mut self, offset: u64, header: &BlockHeader) {
        let (first_ns, last_ns, end_entry) = (header.first_ns, header.last_ns, header.end_entry());
        self.len_bytes = offset + header.len_bytes();
        self.end_entry = end_entry;
        self.first_ns = self.first_ns.min(first_ns);
        self.last_ns = self.last_ns.max(last_ns);
        match self.groups.last_mut() {
            Some(group) if group.blocks < GROUP_BLOCKS => {
                group.blocks += 1;
                group.end_entry = end_entry;
                group.first_ns = group.first_ns.min(first_ns);
                group.last_ns = group.last_ns.max(last_ns);
            }
            _ => self.groups.push(Group { offset, blocks: 1, end_entry, first_ns, last_ns }),
        }
    }

    /// Whether a record of this time may be in it.
    pub(super) const fn overlaps(&self, from_ns: u64, to_ns: u64) -> bool {
        self.first_ns < to_ns && self.last_ns >= from_ns
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        note::write(&index_path(directory, self.segment), self)
    }

    /// The index of a segment, from its file or from the segment.
    pub(super) fn of(directory: &Path, sequence: u64) -> Result<Self, StoreError> {
        let path = segment_path(directory, sequence);
        let len = std::fs::metadata(&path).map_err(|error| StoreError::of_io(&path, &error))?.len();
        if let Ok(Some(kept)) = note::read::<Self>(&index_path(directory, sequence))
            && (kept.segment, kept.len_bytes) == (sequence, len)
        {
            return Ok(kept);
        }
        let mut walk = Walk::open(&path, false)?;
        let first_entry = walk.header().map_or(0, |header| header.first_entry);
        let mut index = Self::new(sequence, first_entry, walk.len_bytes());
        while let Some(item) = walk.next()? {
            if let Item::Block(block) = item {
                index.add(block.offset, &block.header);
            }
        }
        index.len_bytes = len;
        Ok(index)
    }
}
