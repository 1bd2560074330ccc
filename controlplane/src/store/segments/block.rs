//! How do records become a block, and a block records again?

use std::io;

use sha2::{Digest, Sha256};

use super::format::{BLOCK_HEADER, BlockHeader};
use super::{BLOCK_RAW_BYTES_MAX, Kind, Link, RECORD_BYTES_MAX, filter};
use crate::store::StoreError;

/// Bytes of a record beside its terms and its body: time, length of both.
const RECORD_HEAD: usize = 8 + 2 + 4;

/// Longest terms of a record together, bytes.
const TERMS_BYTES_MAX: usize = 4_096;

/// Separates terms: no address, name or number has it.
const TERM_END: u8 = b'\n';

/// Records that go to the disk together.
#[derive(Debug, Default)]
pub struct Batch {
    raw: Vec<u8>,
    hashes: Vec<u64>,
    count: u32,
    first_ns: u64,
    last_ns: u64,
}

impl Batch {
    /// No records yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record, which will be found by its `terms`, such as `ip:192.0.2.1`, `user:ada`, `flow:17`.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] where the record or the batch would be; the batch is as it was then.
    pub fn push(&mut self, time_ns: u64, terms: &[&str], body: &[u8]) -> Result<(), StoreError> {
        let terms_len: usize = terms.iter().map(|term| term.len() + 1).sum();
        if body.len() > RECORD_BYTES_MAX || terms_len > TERMS_BYTES_MAX {
            return Err(StoreError::TooLarge {
                len_bytes: body.len() + terms_len,
                max_bytes: RECORD_BYTES_MAX,
            });
        }
        let len_bytes = self.raw.len() + RECORD_HEAD + terms_len + body.len();
        if len_bytes > BLOCK_RAW_BYTES_MAX {
            return Err(StoreError::TooLarge { len_bytes, max_bytes: BLOCK_RAW_BYTES_MAX });
        }
        self.raw.extend_from_slice(&time_ns.to_le_bytes());
        self.raw.extend_from_slice(&(terms_len as u16).to_le_bytes());
        self.raw.extend_from_slice(&(body.len() as u32).to_le_bytes());
        for term in terms {
            self.raw.extend(term.bytes().map(|byte| if byte == TERM_END { b' ' } else { byte }));
            self.raw.push(TERM_END);
            self.hashes.push(filter::hash(term.as_bytes()));
        }
        self.raw.extend_from_slice(body);
        self.first_ns = if self.count == 0 { time_ns } else { self.first_ns.min(time_ns) };
        self.last_ns = self.last_ns.max(time_ns);
        self.count += 1;
        Ok(())
    }

    /// How many records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes before compression.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Forgets the records, keeps the room.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.hashes.clear();
        self.count = 0;
        self.last_ns = 0;
    }
}

/// Where a block goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub kind: Kind,
    pub nonce: u64,
    pub index: u32,
    pub first_entry: u64,
    pub previous: Link,
}

/// Puts the block of `batch` in the place of what is in `out`; its header, and the link after it.
pub(super) fn encode(
    batch: &mut Batch,
    place: Place,
    compressor: &mut zstd::bulk::Compressor<'_>,
    out: &mut Vec<u8>,
) -> io::Result<(BlockHeader, Link)> {
    out.clear();
    out.resize(BLOCK_HEADER, 0);
    filter::build(&mut batch.hashes, out);
    let filter_len = out.len() - BLOCK_HEADER;
    let stored_at = out.len();
    out.resize(stored_at + zstd::zstd_safe::compress_bound(batch.raw.len()), 0);
    let stored_len = compressor.compress_to_buffer(&batch.raw, &mut out[stored_at..])?;
    out.truncate(stored_at + stored_len);
    let header = BlockHeader {
        kind: place.kind,
        nonce: place.nonce,
        index: place.index,
        count: batch.count,
        first_entry: place.first_entry,
        first_ns: batch.first_ns,
        last_ns: batch.last_ns,
        raw_len: batch.raw.len() as u32,
        stored_len: stored_len as u32,
        filter_len: filter_len as u32,
        filter_crc: crc32c::crc32c(&out[BLOCK_HEADER..stored_at]),
        stored_crc: crc32c::crc32c(&out[stored_at..]),
        previous: place.previous,
    };
    out[..BLOCK_HEADER].copy_from_slice(&header.to_bytes());
    Ok((header, Link(Sha256::digest(&*out).into())))
}

/// The records of a block's compressed bytes, whose checksum was right. `None`: they are not what the header says.
pub(super) fn decompress(header: &BlockHeader, stored: &[u8], raw: &mut Vec<u8>) -> Option<()> {
    raw.clear();
    // The header's bound is checked: this is at most BLOCK_RAW_BYTES_MAX.
    raw.resize(header.raw_len as usize, 0);
    let len = zstd::bulk::decompress_to_buffer(stored, raw.as_mut_slice()).ok()?;
    let is_whole =
        len == raw.len() && Records::of(raw).filter(Option::is_some).count() == header.count as usize;
    is_whole.then_some(())
}

/// A record as it lies in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRecord<'a> {
    pub time_ns: u64,
    pub terms: &'a [u8],
    pub body: &'a [u8],
}

impl RawRecord<'_> {
    /// Whether it has this term.
    pub(super) fn has(&self, term: &[u8]) -> bool {
        self.terms.split(|byte| *byte == TERM_END).any(|other| other == term)
    }
}

/// Walks over the records; `None` once where bytes are left that are none.
#[derive(Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) const fn of(raw: &'a [u8]) -> Self {
        Self { rest: raw }
    }

    fn take(&mut self) -> Option<RawRecord<'a>> {
        let (time, rest) = self.rest.split_first_chunk()?;
        let (terms_len, rest) = rest.split_first_chunk()?;
        let (body_len, rest) = rest.split_first_chunk()?;
        let (terms, rest) = rest.split_at_checked(u16::from_le_bytes(*terms_len).into())?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*body_len) as usize)?;
        self.rest = rest;
        Some(RawRecord { time_ns: u64::from_le_bytes(*time), terms, body })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<RawRecord<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.take();
        if record.is_none() {
            self.rest = &[];
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { kind: Kind::Events, nonce: 1, index: 0, first_entry: 5, previous: Link::FIRST }
    }

    #[test]
    fn records_come_back() {
        let mut batch = Batch::new();
        batch.push(20, &["ip:192.0.2.1", "flow:7"], b"one").unwrap();
        batch.push(10, &[], b"").unwrap();
        let mut out = Vec::new();
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        let (header, _) = encode(&mut batch, place(), &mut compressor, &mut out).unwrap();
        assert_eq!((header.first_ns, header.last_ns, header.count, header.end_entry()), (10, 20, 2, 7));
        let stored = &out[BLOCK_HEADER + header.filter_len as usize..];
        let mut raw = Vec::new();
        decompress(&header, stored, &mut raw).unwrap();
        let records: Vec<_> = Records::of(&raw).map(Option::unwrap).collect();
        assert_eq!((records[0].time_ns, records[0].body), (20, &b"one"[..]));
        assert!(records[0].has(b"flow:7") && !records[0].has(b"flow:8"));
        assert_eq!((records[1].time_ns, records[1].body), (10, &b""[..]));
        // A header that promises other records than there are.
        for wrong in [
            BlockHeader { count: 3, ..header },
            BlockHeader { raw_len: header.raw_len - 1, ..header },
            BlockHeader { raw_len: header.raw_len + 1, ..header },
        ] {
            assert!(decompress(&wrong, stored, &mut raw).is_none());
        }
    }

    #[test]
    fn what_is_too_large_is_refused_and_the_batch_stays() {
        let mut batch = Batch::new();
        let large = vec![b'x'; RECORD_BYTES_MAX];
        for _ in 0..7 {
            batch.push(1, &[], &large).unwrap();
        }
        let before = (batch.len(), batch.len_bytes());
        assert!(matches!(batch.push(1, &[], &large), Err(StoreError::TooLarge { .. })));
        assert!(matches!(
            batch.push(1, &[], &vec![0; RECORD_BYTES_MAX + 1]),
            Err(StoreError::TooLarge { .. })
        ));
        assert!(matches!(
            batch.push(1, &["x".repeat(5_000).as_str()], b""),
            Err(StoreError::TooLarge { .. })
        ));
        assert_eq!((batch.len(), batch.len_bytes()), before);
    }
}
