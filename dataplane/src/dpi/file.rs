//! Which file does a flow carry? What rules and EVE are told of it, from its name to its length.
//!
//! Files of one transaction come one after the other: what rules found of one does not count for the next.

use super::fields::Fields;
use super::parser::Context;
use crate::flow::Direction;
use crate::rules::hashes::Hashing;
use crate::rules::language::buffers::FILE_DATA;
use crate::rules::rule::FileHash;

/// A file that goes by.
#[derive(Debug)]
pub struct CarriedFile {
    application: &'static str,
    transaction: u32,
    way: Direction,
    name: Box<[u8]>,
    bytes: u64,
    hashing: Option<Box<Hashing>>,
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
        let names = [Some(name), other_name];
        cx.rules.begin_file(application, transaction, way, names.into_iter().flatten());
        let hashing = Hashing::of(cx.rules.wants_hashes());
        Self { application, transaction, way, name: name.into(), bytes: 0, hashing }
    }

    /// Its next bytes.
    pub fn data(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        self.bytes += bytes.len() as u64;
        if let Some(hashing) = &mut self.hashing {
            hashing.data(bytes);
        }
        cx.rules.body(self.application, (self.transaction, FILE_DATA), self.way, bytes, false);
    }

    /// It is over; its length and its hashes are known where nothing of it `is_missing`. `beside` writes what EVE shows
    /// beside the file.
    pub fn end(self, is_missing: bool, cx: &mut Context<'_>, beside: impl FnOnce(&mut Fields)) {
        let Self { application, transaction, way, name, bytes, hashing } = self;
        cx.rules.body(application, (transaction, FILE_DATA), way, &[], true);
        let hashes = hashing.filter(|_| !is_missing).map(|hashing| hashing.end()).unwrap_or_default();
        if !is_missing {
            cx.rules.file_size(bytes);
            cx.rules.file_hashes(&hashes);
        }
        cx.rules.stage(application, transaction, way, false);
        cx.tell_of_with(transaction, "fileinfo", way, |fields| {
            fields.text("filename", &name);
            fields.bool("gaps", is_missing);
            fields.text("state", if is_missing { "TRUNCATED" } else { "CLOSED" });
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
            beside(fields);
        });
    }
}
