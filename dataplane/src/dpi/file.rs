//! Which file does a flow carry? What rules and EVE are told of it, from its name to its length: one place for all protocols.
//!
//! Files of one transaction come one after the other: what rules found of one does not count for the next. A file that nobody
//! asks for costs nothing: whoever carries one asks [`Context::wants_files`] first.

use super::fields::Fields;
use super::kept::Kept;
use super::parser::Context;
use crate::flow::Direction;
use crate::rules::hashes::{HashKinds, Hashing};
use crate::rules::language::buffers::FILE_DATA;
use crate::rules::magic;
use crate::rules::rule::{BufferId, FileHash};

/// Bytes of a name that are kept.
const NAME_BYTES_MAX: usize = 2_048;

/// What is told of files, whatever rules ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Files {
    /// Whether somebody reads records of them (`fileinfo`).
    pub are_recorded: bool,
    /// Hashes that records have (Suricata's `force-hash`).
    pub hashes: HashKinds,
}

/// A file that goes by.
#[derive(Debug)]
pub struct CarriedFile {
    application: &'static str,
    transaction: u32,
    way: Direction,
    name: Kept,
    bytes: u64,
    has_gap: bool,
    hashing: Option<Box<Hashing>>,
    /// Where rules see its bytes.
    buffers: &'static [BufferId],
    /// Its first bytes, until they are described.
    first: Option<First>,
    magic: Option<Box<str>>,
}

/// The first bytes of a file whose kind a rule asks for.
#[derive(Debug)]
struct First {
    bytes: Kept,
    bytes_max: usize,
}

impl CarriedFile {
    /// A file of a transaction of `application` begins, which goes `way`; what it is called, and what else it may be called.
    pub fn begin(
        cx: &mut Context<'_>,
        (application, transaction): (&'static str, u32),
        way: Direction,
        name: &[u8],
        other_name: Option<&[u8]>,
    ) -> Self {
        let name = name.get(..NAME_BYTES_MAX).unwrap_or(name);
        cx.rules.begin_file(application, transaction, way, (name, other_name));
        let hashing = Hashing::of(cx.wants_hashes());
        let first = cx.rules.wants_magic().then(|| First { bytes: Kept::new(), bytes_max: magic::BYTES_MAX });
        Self {
            application,
            transaction,
            way,
            name: name.into(),
            bytes: 0,
            has_gap: false,
            hashing,
            buffers: &[FILE_DATA],
            first,
            magic: None,
        }
    }

    /// Rules see its bytes in these buffers.
    pub const fn seen_in(mut self, buffers: &'static [BufferId]) -> Self {
        self.buffers = buffers;
        self
    }

    /// It is one of many that a flow may carry at once: less of it is kept.
    pub fn among_many(mut self) -> Self {
        if let Some(first) = &mut self.first {
            first.bytes_max = magic::BYTES_OF_MANY_MAX;
        }
        self
    }

    /// Its next bytes.
    pub fn data(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        self.bytes += bytes.len() as u64;
        if let Some(hashing) = &mut self.hashing {
            hashing.data(bytes);
        }
        self.look(bytes, false, cx);
        cx.rules.file_grows(self.transaction, self.bytes, self.has_gap);
        cx.rules.body(self.application, (self.transaction, self.buffers), self.way, bytes, false);
    }

    /// Describes it once enough of it came, or all.
    fn look(&mut self, bytes: &[u8], is_end: bool, cx: &mut Context<'_>) {
        let Some(first) = &mut self.first else { return };
        let left = first.bytes_max.saturating_sub(first.bytes.len());
        let (bytes, is_enough) = match bytes.get(..left) {
            Some(bytes) => (bytes, true),
            None => (bytes, is_end),
        };
        let mut told = None;
        if first.bytes.is_empty() && is_enough {
            told = magic::describe(bytes);
        } else {
            // Without room what is there has to do.
            let fits = first.bytes.extend(bytes);
            if fits && !is_enough {
                return;
            }
            if !first.bytes.is_empty() {
                told = magic::describe(&first.bytes);
            }
        }
        self.first = None;
        if let Some(magic) = &told {
            cx.rules.file_magic((self.application, self.transaction), self.way, magic);
        }
        self.magic = told;
    }

    /// Bytes of it are missing, or come in another order.
    pub fn lose(&mut self) {
        self.has_gap = true;
        self.hashing = None;
        // What comes behind the gap is not what is to be described.
        self.first = self.first.take().filter(|first| !first.bytes.is_empty());
        if let Some(First { bytes, bytes_max }) = &mut self.first {
            *bytes_max = bytes.len();
        }
    }

    /// Bytes of it so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// It is over; its length and its hashes are known where nothing is missing and it `is_whole`. `beside` writes what EVE
    /// shows beside the file of this name.
    pub fn end(mut self, is_whole: bool, cx: &mut Context<'_>, beside: impl FnOnce(&mut Fields, &[u8])) {
        self.look(&[], true, cx);
        let Self { application, transaction, way, name, bytes, has_gap, hashing, buffers, magic, .. } = self;
        cx.rules.body(application, (transaction, buffers), way, &[], true);
        let is_whole = is_whole && !has_gap;
        let hashes = hashing.filter(|_| is_whole).map(|hashing| hashing.end()).unwrap_or_default();
        cx.rules.end_file(transaction, is_whole, (bytes, &hashes));
        cx.rules.stage(application, transaction, way, false);
        if !cx.files.are_recorded {
            return;
        }
        let matched = cx.rules.rules_of_file(transaction);
        cx.tell_of_with(transaction, "fileinfo", way, |fields| {
            fields.text("filename", &name);
            if !matched.is_empty() {
                fields.list("sid", |list| matched.iter().for_each(|sid| list.number("", *sid)));
            }
            fields.text_if("magic", magic.as_deref());
            fields.bool("gaps", has_gap);
            fields.text("state", if is_whole { "CLOSED" } else { "TRUNCATED" });
            for (kind, hash) in &hashes {
                let (key, len) = match kind {
                    FileHash::Md5 => ("md5", 16),
                    FileHash::Sha1 => ("sha1", 20),
                    FileHash::Sha256 => ("sha256", 32),
                };
                fields.hex(key, hash.get(..len).unwrap_or_default());
            }
            fields.bool("stored", false);
            fields.number("size", bytes);
            fields.number("tx_id", transaction);
            fields.text("/app_proto", application);
            beside(fields, &name);
        });
    }
}
