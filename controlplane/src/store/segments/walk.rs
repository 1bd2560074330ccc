//! Which blocks does a file have, whatever happened to it?
//!
//! Lengths are believed after the header's checksum. Where a header is damaged, the next place that has a whole one of the
//! same segment is looked for: one fault hides no more than its own block. Memory is one block at most.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Link;
use super::format::{BLOCK_HEADER, BLOCK_MAGIC, BlockHeader, NoHeader, SEGMENT_HEADER, SegmentHeader};
use crate::store::StoreError;

/// Bytes read at once while a header is looked for.
const SEEK_BYTES: usize = 64 << 10;

/// A block that is whole, as far as it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub offset: u64,
    pub header: BlockHeader,
    /// The link after it; only where its bytes were read.
    pub link: Option<Link>,
}

/// Bytes that are no whole block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    pub offset: u64,
    pub len_bytes: u64,
    /// Where the header is good.
    pub header: Option<BlockHeader>,
    pub what: What,
    /// Nothing whole comes after it: perhaps a crash tore it.
    pub is_tail: bool,
}

/// What is wrong with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The file ends before the block does.
    Incomplete,
    /// No header, or a damaged one.
    Header,
    /// The filter's checksum.
    Filter,
    /// The checksum of the records.
    Records,
    /// A whole block of another segment.
    Foreign,
    /// Of a later format.
    Newer(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Block(Block),
    Flaw(Flaw),
}

impl Item {
    const fn offset(&self) -> u64 {
        match self {
            Self::Block(block) => block.offset,
            Self::Flaw(flaw) => flaw.offset,
        }
    }
}

/// Goes over the blocks of one file.
#[derive(Debug)]
pub(super) struct Walk {
    file: File,
    path: PathBuf,
    len: u64,
    at: u64,
    /// `Err`: the segment's own header is damaged.
    header: Result<SegmentHeader, NoHeader>,
    /// That of the header, else of the first whole block.
    nonce: Option<u64>,
    /// Whether the bytes of blocks are read and their checksums looked at.
    is_deep: bool,
    bytes: Vec<u8>,
}

impl Walk {
    /// Begins at the first block.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub(super) fn open(path: &Path, is_deep: bool) -> Result<Self, StoreError> {
        let failed = |error| StoreError::of_io(path, &error);
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut bytes = [0; SEGMENT_HEADER];
        let header = if len < SEGMENT_HEADER as u64 {
            Err(NoHeader::Magic)
        } else {
            file.read_exact_at(&mut bytes, 0).map_err(failed)?;
            SegmentHeader::of_bytes(&bytes)
        };
        let nonce = header.ok().map(|header| header.nonce);
        let at = (SEGMENT_HEADER as u64).min(len);
        Ok(Self { file, path: path.to_owned(), len, at, header, nonce, is_deep, bytes: Vec::new() })
    }

    /// The segment's header.
    pub(super) const fn header(&self) -> Result<SegmentHeader, NoHeader> {
        self.header
    }

    /// Bytes of the file when it was opened.
    pub(super) const fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Goes on at a block that an index tells of.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.at = offset.clamp(self.at, self.len);
    }

    /// The next block or flaw; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Item>, StoreError> {
        let item = self.look().map_err(|error| StoreError::of_io(&self.path, &error))?;
        if let Some(item) = &item {
            let len = match item {
                Item::Block(block) => block.header.len_bytes(),
                Item::Flaw(flaw) => flaw.len_bytes,
            };
            self.at = item.offset() + len;
        }
        Ok(item)
    }

    /// The filter of the block that came last.
    pub(super) fn filter(&mut self, block: &Block) -> Result<Option<&[u8]>, StoreError> {
        let len = block.header.filter_len as usize;
        self.load(block.offset + BLOCK_HEADER as u64, len)
            .map_err(|error| StoreError::of_io(&self.path, &error))?;
        Ok((crc32c::crc32c(&self.bytes) == block.header.filter_crc).then_some(&self.bytes))
    }

    /// The compressed records of the block that came last.
    pub(super) fn stored(&mut self, block: &Block) -> Result<Option<&[u8]>, StoreError> {
        let offset = block.offset + BLOCK_HEADER as u64 + u64::from(block.header.filter_len);
        self.load(offset, block.header.stored_len as usize)
            .map_err(|error| StoreError::of_io(&self.path, &error))?;
        Ok((crc32c::crc32c(&self.bytes) == block.header.stored_crc).then_some(&self.bytes))
    }

    fn load(&mut self, offset: u64, len: usize) -> io::Result<()> {
        self.bytes.resize(len, 0);
        self.file.read_exact_at(&mut self.bytes, offset)
    }

    fn look(&mut self) -> io::Result<Option<Item>> {
        let (at, left) = (self.at, self.len - self.at);
        if left == 0 {
            return Ok(None);
        }
        let header = match self.header_at(at)? {
            Ok(header) => header,
            Err(none) => {
                let what = match none {
                    NoHeader::Newer(format) => What::Newer(format),
                    NoHeader::Magic if left < BLOCK_HEADER as u64 => What::Incomplete,
                    NoHeader::Magic | NoHeader::Damaged => What::Header,
                };
                return self.flaw(what, None, at + 1).map(Some);
            }
        };
        if self.nonce.is_some_and(|nonce| nonce != header.nonce) {
            return self.flaw(What::Foreign, None, at + 1).map(Some);
        }
        if left < header.len_bytes() {
            return self.flaw(What::Incomplete, Some(header), at + BLOCK_HEADER as u64).map(Some);
        }
        self.nonce = Some(header.nonce);
        if !self.is_deep {
            return Ok(Some(Item::Block(Block { offset: at, header, link: None })));
        }
        self.load(at, header.len_bytes() as usize)?;
        let (filter, stored) = self.bytes[BLOCK_HEADER..].split_at(header.filter_len as usize);
        let what = if crc32c::crc32c(filter) != header.filter_crc {
            What::Filter
        } else if crc32c::crc32c(stored) != header.stored_crc {
            What::Records
        } else {
            let link = Some(Link(Sha256::digest(&self.bytes).into()));
            return Ok(Some(Item::Block(Block { offset: at, header, link })));
        };
        self.flaw(what, Some(header), at + header.len_bytes()).map(Some)
    }

    /// The flaw that begins here and ends where the next header is, which is not before `from`.
    fn flaw(&mut self, what: What, header: Option<BlockHeader>, from: u64) -> io::Result<Item> {
        let next = self.seek(from)?;
        let len_bytes = next.unwrap_or(self.len) - self.at;
        Ok(Item::Flaw(Flaw { offset: self.at, len_bytes, header, what, is_tail: next.is_none() }))
    }

    fn header_at(&self, at: u64) -> io::Result<Result<BlockHeader, NoHeader>> {
        if self.len.saturating_sub(at) < BLOCK_HEADER as u64 {
            return Ok(Err(NoHeader::Magic));
        }
        let mut bytes = [0; BLOCK_HEADER];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(BlockHeader::of_bytes(&bytes))
    }

    /// The first place from `from` on with a header of this segment.
    fn seek(&mut self, mut from: u64) -> io::Result<Option<u64>> {
        while self.len.saturating_sub(from) >= BLOCK_HEADER as u64 {
            let window = (self.len - from).min(SEEK_BYTES as u64) as usize;
            self.load(from, window)?;
            let places: Vec<u64> = self
                .bytes
                .windows(BLOCK_MAGIC.len())
                .enumerate()
                .filter(|(_, bytes)| *bytes == BLOCK_MAGIC)
                .map(|(at, _)| from + at as u64)
                .collect();
            for place in places {
                if let Ok(header) = self.header_at(place)?
                    && self.nonce.is_none_or(|nonce| nonce == header.nonce)
                {
                    return Ok(Some(place));
                }
            }
            // A header may begin at the end of this window.
            from += (window - (BLOCK_MAGIC.len() - 1)).max(1) as u64;
        }
        Ok(None)
    }
}
