//! What a parser tells rules of a transaction at one stage: bytes of buffers, numbers, events.

use std::ops::Range;

use crate::rules::hashes::Hash;
use crate::rules::language::fields::FIELDS;
use crate::rules::rule::{BufferId, FileHash};

/// Bytes that are shown at one stage at most; what is more is not seen.
const BYTES_MAX: usize = 256 << 10;

/// Bytes of a transaction that are kept for later stages; one more buffer may go beyond.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// Buffers and numbers of one stage.
const ITEMS_MAX: usize = 1_024;

/// Index into [`FIELDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldId(pub u16);

/// The number of a name in [`FIELDS`].
///
/// # Panics
///
/// Where there is no such name: it is for constants, which do not compile then.
#[must_use]
#[expect(clippy::panic, reason = "constants are made of it, which then do not compile")]
pub const fn field(name: &str) -> FieldId {
    let mut index = 0;
    while index < FIELDS.len() {
        if crate::rules::language::buffers::is_same(FIELDS[index].name, name) {
            return FieldId(index as u16);
        }
        index += 1;
    }
    panic!("no number of transactions has this name")
}

/// What was told.
#[derive(Debug, Default)]
pub struct Shown {
    bytes: Vec<u8>,
    buffers: Vec<(BufferId, Range<usize>)>,
    numbers: Vec<(u16, u64)>,
    events: Vec<&'static str>,
    interfaces: Vec<([u8; 16], u16, bool)>,
    file_size: Option<u64>,
    file_hashes: Vec<(FileHash, Hash)>,
    /// What came of a body, which is lent for one stage.
    body: Option<(&'static [BufferId], Vec<u8>)>,
}

impl Shown {
    /// Adds a buffer that `write` makes.
    pub fn add_with(&mut self, buffer: BufferId, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        if self.buffers.len() >= ITEMS_MAX || from >= BYTES_MAX {
            return;
        }
        write(&mut self.bytes);
        self.bytes.truncate(BYTES_MAX.max(from));
        self.buffers.push((buffer, from..self.bytes.len()));
    }

    /// Shows the bytes of a body until they are taken back.
    pub(super) fn lend(&mut self, buffers: &'static [BufferId], bytes: Vec<u8>) {
        self.body = Some((buffers, bytes));
    }

    /// What is lent.
    pub(super) fn lent(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |(_, bytes)| bytes)
    }

    /// Whether there is nothing but what was lent.
    pub(super) const fn is_body_alone(&self) -> bool {
        self.buffers.is_empty()
            && self.numbers.is_empty()
            && self.events.is_empty()
            && self.interfaces.is_empty()
            && self.file_size.is_none()
            && self.file_hashes.is_empty()
    }

    /// The bytes that were lent.
    pub(super) fn take_back(&mut self) -> Vec<u8> {
        self.body.take().map(|(_, bytes)| bytes).unwrap_or_default()
    }

    /// Bytes of all buffers.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a number.
    pub fn add_number(&mut self, field: FieldId, number: u64) {
        if self.numbers.len() < ITEMS_MAX {
            self.numbers.push((field.0, number));
        }
    }

    /// Adds something that a parser objects to.
    pub fn add_event(&mut self, event: &'static str) {
        if self.events.len() < ITEMS_MAX {
            self.events.push(event);
        }
    }

    /// Adds an interface of DCE/RPC.
    pub fn add_interface(&mut self, uuid: [u8; 16], version: u16, is_first: bool) {
        if self.interfaces.len() < ITEMS_MAX {
            self.interfaces.push((uuid, version, is_first));
        }
    }

    pub(super) fn interfaces(&self) -> &[([u8; 16], u16, bool)] {
        &self.interfaces
    }

    /// Says how long a file is.
    pub const fn set_file_size(&mut self, bytes: u64) {
        self.file_size = Some(bytes);
    }

    pub(super) const fn file_size(&self) -> Option<u64> {
        self.file_size
    }

    /// Says which hashes a file has.
    pub fn set_file_hashes(&mut self, hashes: &[(FileHash, Hash)]) {
        self.file_hashes.clear();
        self.file_hashes.extend_from_slice(hashes);
    }

    pub(super) fn file_hashes(&self) -> &[(FileHash, Hash)] {
        &self.file_hashes
    }

    /// Adds what another stage showed of the buffers that are `meant`, and its numbers.
    pub(super) fn keep(&mut self, other: &Self, meant: impl Fn(BufferId) -> bool) {
        for (buffer, range) in &other.buffers {
            if meant(*buffer) && self.bytes.len() < KEPT_BYTES_MAX {
                self.add_with(*buffer, |out| out.extend_from_slice(&other.bytes[range.clone()]));
            }
        }
        let room = ITEMS_MAX.saturating_sub(self.numbers.len());
        self.numbers.extend(other.numbers.iter().take(room));
        self.file_size = other.file_size.or(self.file_size);
        if !other.file_hashes.is_empty() {
            self.file_hashes.clone_from(&other.file_hashes);
        }
    }

    /// Forgets the length of a file, and what is told of it in some buffers.
    pub(super) fn forget_file(&mut self, of_files: &[BufferId]) {
        self.buffers.retain(|(buffer, _)| !of_files.contains(buffer));
        self.file_size = None;
        self.file_hashes.clear();
    }

    /// Forgets all of it but what is lent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.buffers.clear();
        self.numbers.clear();
        self.events.clear();
        self.interfaces.clear();
        self.file_size = None;
        self.file_hashes.clear();
    }

    /// The bytes of a buffer, as often as there are some.
    pub(super) fn all_of(&self, buffer: BufferId) -> impl Iterator<Item = &[u8]> {
        let ranges = self.buffers.iter().filter(move |(id, _)| *id == buffer);
        let lent =
            self.body.iter().filter(move |(ids, _)| ids.contains(&buffer)).map(|(_, bytes)| &bytes[..]);
        ranges.map(|(_, range)| &self.bytes[range.clone()]).chain(lent)
    }

    /// The same of several buffers, what was lent once.
    pub(super) fn any_of<'a>(&'a self, buffers: &'a [BufferId]) -> impl Iterator<Item = &'a [u8]> {
        let ranges = self.buffers.iter().filter(|(id, _)| buffers.contains(id));
        let lent = self.body.iter().filter(|(ids, _)| ids.iter().any(|id| buffers.contains(id)));
        ranges.map(|(_, range)| &self.bytes[range.clone()]).chain(lent.map(|(_, bytes)| &bytes[..]))
    }

    pub(super) fn numbers_of(&self, field: u16) -> impl Iterator<Item = u64> + Clone {
        self.numbers.iter().filter(move |(id, _)| *id == field).map(|(_, number)| *number)
    }

    pub(super) fn has_event(&self, event: &str) -> bool {
        self.events.contains(&event)
    }
}
