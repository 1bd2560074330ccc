//! Where do the bytes of incomplete datagrams live?
//!
//! In chunks of 2 KiB, taken as fragments arrive, so that a small datagram does not cost 64 KiB. Beside
//! each 8-byte block of a chunk stands its owner: fragment offsets count in such blocks, so that one byte
//! tells what is there and who sent it.

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = 2048;
/// Bytes of a block: the unit of fragment offsets (RFC 791 3.1).
pub(super) const BLOCK_BYTES: usize = 8;
const CHUNK_BLOCKS: usize = CHUNK_BYTES / BLOCK_BYTES;

/// Owner of a block that no fragment has filled.
pub(super) const NOBODY: u8 = 0;

/// Index of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk(u32);

impl Chunk {
    /// No chunk.
    pub(super) const NONE: Self = Self(u32::MAX);
}

#[derive(Debug)]
pub(super) struct Pool {
    bytes: Vec<u8>,
    owners: Vec<u8>,
    free: Vec<Chunk>,
}

impl Pool {
    pub(super) fn new(bytes_max: usize) -> Self {
        let chunks = (bytes_max / CHUNK_BYTES).min(u32::MAX as usize - 1);
        Self {
            bytes: vec![0; chunks * CHUNK_BYTES],
            owners: vec![NOBODY; chunks * CHUNK_BLOCKS],
            free: (0..chunks as u32).rev().map(Chunk).collect(),
        }
    }

    /// A chunk whose blocks belong to nobody.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        let chunk = self.free.pop()?;
        let at = chunk.0 as usize * CHUNK_BLOCKS;
        self.owners[at..at + CHUNK_BLOCKS].fill(NOBODY);
        Some(chunk)
    }

    /// Gives back what `chunk` holds and sets it to [`Chunk::NONE`].
    pub(super) fn give(&mut self, chunk: &mut Chunk) {
        if *chunk != Chunk::NONE {
            self.free.push(*chunk);
            *chunk = Chunk::NONE;
        }
    }

    pub(super) fn free_chunks(&self) -> usize {
        self.free.len()
    }

    pub(super) fn bytes(&self, chunk: Chunk) -> &[u8] {
        let at = chunk.0 as usize * CHUNK_BYTES;
        &self.bytes[at..at + CHUNK_BYTES]
    }

    /// The chunk's bytes and the owners of its blocks.
    pub(super) fn parts(&mut self, chunk: Chunk) -> (&mut [u8], &mut [u8]) {
        let (at, block) = (chunk.0 as usize * CHUNK_BYTES, chunk.0 as usize * CHUNK_BLOCKS);
        (&mut self.bytes[at..at + CHUNK_BYTES], &mut self.owners[block..block + CHUNK_BLOCKS])
    }
}
