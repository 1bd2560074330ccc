//! What do the bytes of a segment mean? Two headers of fixed length, little-endian, each with a checksum of its own.

use sha2::{Digest, Sha256};

use super::filter::FILTER_BYTES_MAX;
use super::{BLOCK_RAW_BYTES_MAX, FORMAT, Kind, Link};

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 84;

/// Bytes of a block's header.
pub(super) const BLOCK_HEADER: usize = 104;

/// Longest compressed block: what zstd makes of bytes that do not compress (`ZSTD_compressBound`).
pub(super) const STORED_BYTES_MAX: usize = BLOCK_RAW_BYTES_MAX + (BLOCK_RAW_BYTES_MAX >> 8) + 64;

const SEGMENT_MAGIC: &[u8; 8] = b"JARVSEG\n";

pub(super) const BLOCK_MAGIC: &[u8; 4] = b"JBLK";

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// Not even its first bytes, or too few.
    Magic,
    /// Its checksum, or a value that it cannot have.
    Damaged,
    /// Of a later version.
    Newer(u16),
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub kind: Kind,
    /// Shape of the records, which is their writer's.
    pub schema: u16,
    /// Random. Each block repeats it: bytes that a client brought are never taken for a block.
    pub nonce: u64,
    /// Counts the segments of a log, from 1.
    pub sequence: u64,
    /// Number of the first entry, counted from 0 through the whole log.
    pub first_entry: u64,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// Of what is before.
    pub previous: Link,
}

/// A block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub kind: Kind,
    pub nonce: u64,
    /// Counts the blocks of a segment, from 0.
    pub index: u32,
    /// Records.
    pub count: u32,
    pub first_entry: u64,
    /// The earliest record's time, nanoseconds since 1970.
    pub first_ns: u64,
    /// The latest record's.
    pub last_ns: u64,
    /// Bytes after decompression.
    pub raw_len: u32,
    /// Bytes of the compressed records.
    pub stored_len: u32,
    /// Bytes of the filter.
    pub filter_len: u32,
    pub filter_crc: u32,
    pub stored_crc: u32,
    /// Of what is before.
    pub previous: Link,
}

impl SegmentHeader {
    pub(super) fn to_bytes(self) -> [u8; SEGMENT_HEADER] {
        let mut out = Writer::new();
        out.put(SEGMENT_MAGIC);
        out.put(&FORMAT.to_le_bytes());
        out.put(&[self.kind.byte(), 0]);
        out.put(&self.schema.to_le_bytes());
        out.put(&[0; 2]);
        out.put(&self.nonce.to_le_bytes());
        out.put(&self.sequence.to_le_bytes());
        out.put(&self.first_entry.to_le_bytes());
        out.put(&self.created_ns.to_le_bytes());
        out.put(&self.previous.0);
        out.finish()
    }

    pub(super) fn of_bytes(bytes: &[u8; SEGMENT_HEADER]) -> Result<Self, NoHeader> {
        let mut read = Reader::begin(bytes, SEGMENT_MAGIC)?;
        let [kind, zero] = read.take();
        let kind = Kind::of_byte(kind).filter(|_| zero == 0).ok_or(NoHeader::Damaged)?;
        let schema = u16::from_le_bytes(read.take());
        let _: [u8; 2] = read.take();
        Ok(Self {
            kind,
            schema,
            nonce: read.u64(),
            sequence: read.u64(),
            first_entry: read.u64(),
            created_ns: read.u64(),
            previous: Link(read.take()),
        })
    }

    /// The chain after the header.
    pub(super) fn link(self) -> Link {
        Link(Sha256::digest(self.to_bytes()).into())
    }
}

impl BlockHeader {
    pub(super) fn to_bytes(self) -> [u8; BLOCK_HEADER] {
        let mut out = Writer::new();
        out.put(BLOCK_MAGIC);
        out.put(&FORMAT.to_le_bytes());
        out.put(&[self.kind.byte(), 0]);
        out.put(&self.nonce.to_le_bytes());
        out.put(&self.index.to_le_bytes());
        out.put(&self.count.to_le_bytes());
        out.put(&self.first_entry.to_le_bytes());
        out.put(&self.first_ns.to_le_bytes());
        out.put(&self.last_ns.to_le_bytes());
        for value in [self.raw_len, self.stored_len, self.filter_len, self.filter_crc, self.stored_crc] {
            out.put(&value.to_le_bytes());
        }
        out.put(&self.previous.0);
        out.finish()
    }

    /// A header whose lengths are within their bounds.
    pub(super) fn of_bytes(bytes: &[u8; BLOCK_HEADER]) -> Result<Self, NoHeader> {
        let mut read = Reader::begin(bytes, BLOCK_MAGIC)?;
        let [kind, zero] = read.take();
        let header = Self {
            kind: Kind::of_byte(kind).filter(|_| zero == 0).ok_or(NoHeader::Damaged)?,
            nonce: read.u64(),
            index: read.u32(),
            count: read.u32(),
            first_entry: read.u64(),
            first_ns: read.u64(),
            last_ns: read.u64(),
            raw_len: read.u32(),
            stored_len: read.u32(),
            filter_len: read.u32(),
            filter_crc: read.u32(),
            stored_crc: read.u32(),
            previous: Link(read.take()),
        };
        let fits = header.raw_len as usize <= BLOCK_RAW_BYTES_MAX
            && header.stored_len as usize <= STORED_BYTES_MAX
            && header.filter_len as usize <= FILTER_BYTES_MAX
            && header.count > 0
            && header.count <= header.raw_len
            && header.first_entry.checked_add(u64::from(header.count)).is_some();
        if fits { Ok(header) } else { Err(NoHeader::Damaged) }
    }

    /// Bytes of the whole block.
    pub(super) const fn len_bytes(&self) -> u64 {
        BLOCK_HEADER as u64 + self.filter_len as u64 + self.stored_len as u64
    }

    /// The entry after its last.
    pub(super) const fn end_entry(&self) -> u64 {
        self.first_entry + self.count as u64
    }
}

/// Fills a header; its checksum comes last.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    fn put(&mut self, part: &[u8]) {
        self.bytes[self.at..self.at + part.len()].copy_from_slice(part);
        self.at += part.len();
    }

    fn finish(mut self) -> [u8; N] {
        let crc = crc32c::crc32c(&self.bytes[..N - 4]);
        self.put(&crc.to_le_bytes());
        assert_eq!(self.at, N, "the parts of a header fill it");
        self.bytes
    }
}

/// Reads a header whose checksum is right.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn begin(bytes: &'a [u8], magic: &[u8]) -> Result<Self, NoHeader> {
        let rest = bytes.strip_prefix(magic).ok_or(NoHeader::Magic)?;
        let (body, crc) = bytes.split_at(bytes.len() - 4);
        let crc_fits = crc32c::crc32c(body).to_le_bytes() == *crc;
        let mut read = Self { bytes: rest };
        match u16::from_le_bytes(read.take()) {
            _ if !crc_fits => Err(NoHeader::Damaged),
            FORMAT => Ok(read),
            newer if newer > FORMAT => Err(NoHeader::Newer(newer)),
            _ => Err(NoHeader::Damaged),
        }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (part, rest) = self.bytes.split_first_chunk().expect("headers have a fixed length");
        self.bytes = rest;
        *part
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> BlockHeader {
        BlockHeader {
            kind: Kind::Flows,
            nonce: 7,
            index: 3,
            count: 10,
            first_entry: 1_000,
            first_ns: 5,
            last_ns: 9,
            raw_len: 4_000,
            stored_len: 900,
            filter_len: 64,
            filter_crc: 1,
            stored_crc: 2,
            previous: Link([9; 32]),
        }
    }

    #[test]
    fn headers_come_back_and_no_bit_of_them_may_change() {
        let segment = SegmentHeader {
            kind: Kind::Audit,
            schema: 2,
            nonce: 7,
            sequence: 4,
            first_entry: 1_000,
            created_ns: 5,
            previous: Link([8; 32]),
        };
        assert_eq!(SegmentHeader::of_bytes(&segment.to_bytes()), Ok(segment));
        assert_eq!(BlockHeader::of_bytes(&block().to_bytes()), Ok(block()));
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut bytes = segment.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::of_bytes(&bytes).is_err(), "bit {bit}");
        }
        for bit in 0..BLOCK_HEADER * 8 {
            let mut bytes = block().to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(BlockHeader::of_bytes(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lengths_out_of_bounds_are_no_header_even_with_a_good_checksum() {
        for wrong in [
            BlockHeader { raw_len: u32::MAX, ..block() },
            BlockHeader { stored_len: u32::MAX, ..block() },
            BlockHeader { filter_len: u32::MAX, ..block() },
            BlockHeader { count: u32::MAX, ..block() },
            BlockHeader { count: 0, ..block() },
            BlockHeader { first_entry: u64::MAX, ..block() },
        ] {
            assert_eq!(BlockHeader::of_bytes(&wrong.to_bytes()), Err(NoHeader::Damaged), "{wrong:?}");
        }
    }

    #[test]
    fn a_later_format_is_told_as_such() {
        let mut bytes = block().to_bytes();
        bytes[4] = 2;
        let crc = crc32c::crc32c(&bytes[..BLOCK_HEADER - 4]);
        bytes[BLOCK_HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(BlockHeader::of_bytes(&bytes), Err(NoHeader::Newer(2)));
    }
}
