//! Which frames make up which packet? One frame each, but for packets longer than a chunk.
//!
//! Inspection sees one linear run of bytes: the frame itself, or a copy of a packet's pieces. The wire gets the
//! pieces; where the engine changed the copy, [`Gathered::write_back`] changes them alike.

use xsk::Frame;

use crate::engine::{BATCH_MAX, Hop, Packet};
use crate::parse::LinkType;
use crate::time::Now;
use crate::tx::exits::Origin;

/// Bytes of one linear copy: the longest IP datagram with its link headers.
const LINEAR_BYTES_MAX: usize = 65_535 + 64;

/// Room for the linear copies of one batch: as many packets of several pieces as a batch of 128 frames holds.
const SCRATCH_BYTES: usize = 1 << 20;

/// The packets of one batch. Reused; allocates nothing after start.
pub(super) struct Gathered {
    metas: Vec<Meta>,
    scratch: Vec<u8>,
}

/// One packet of the batch.
#[derive(Debug, Clone, Copy)]
struct Meta {
    /// Index of its first frame.
    first: usize,
    /// How many frames.
    pieces: usize,
    /// Where its linear copy is; `None` where the frame itself is linear.
    copy: Option<(usize, usize)>,
    hop: Hop,
    origin: Origin,
}

impl Default for Gathered {
    fn default() -> Self {
        Self { metas: Vec::with_capacity(2 * BATCH_MAX), scratch: vec![0; SCRATCH_BYTES] }
    }
}

impl Gathered {
    pub(super) fn clear(&mut self) {
        self.metas.clear();
    }

    /// Adds the next frame of the batch, at `index`.
    pub(super) fn add(&mut self, index: usize, continues_last: bool, hop: Hop, origin: Origin) {
        match self.metas.last_mut() {
            Some(last) if continues_last => last.pieces += 1,
            Some(_) | None => self.metas.push(Meta { first: index, pieces: 1, copy: None, hop, origin }),
        }
    }

    /// Adds all `frames`, which came in by one wire at one time.
    pub(super) fn add_all(&mut self, frames: &[Frame], origin: Origin) {
        let mut continues = false;
        for (index, frame) in frames.iter().enumerate() {
            self.add(index, continues, Hop::Wire, origin);
            continues = frame.more();
        }
    }

    pub(super) fn packets(&self) -> usize {
        self.metas.len().min(BATCH_MAX)
    }

    pub(super) fn pieces(&self, packet: usize) -> std::ops::Range<usize> {
        let meta = &self.metas[packet];
        meta.first..meta.first + meta.pieces
    }

    pub(super) fn origin(&self, packet: usize) -> Origin {
        self.metas[packet].origin
    }

    /// Shows the packets to `judge`, linear.
    pub(super) fn show(&mut self, frames: &mut [Frame], now: Now, judge: impl FnOnce(&mut [Packet<'_>])) {
        let count = self.packets();
        let mut scratch_used = 0;
        for meta in &mut self.metas[..count] {
            if meta.pieces == 1 {
                continue;
            }
            let start = scratch_used;
            for piece in &frames[meta.first..meta.first + meta.pieces] {
                let room = (SCRATCH_BYTES - scratch_used).min(LINEAR_BYTES_MAX - (scratch_used - start));
                let len = piece.len().min(room);
                self.scratch[scratch_used..scratch_used + len].copy_from_slice(&piece.bytes()[..len]);
                scratch_used += len;
            }
            meta.copy = Some((start, scratch_used - start));
        }
        let mut packets: [Packet<'_>; BATCH_MAX] = std::array::from_fn(|_| Packet::empty());
        let mut scratch = self.scratch.as_mut_slice();
        let mut frames = frames.iter_mut();
        for (packet, meta) in packets.iter_mut().zip(&self.metas[..count]) {
            let Some(first) = frames.next() else { break };
            for _ in 1..meta.pieces {
                frames.next();
            }
            let bytes = match meta.copy {
                Some((_, len)) => {
                    let (linear, rest) = scratch.split_at_mut(len);
                    scratch = rest;
                    linear
                }
                None => first.bytes_mut(),
            };
            *packet = Packet {
                bytes,
                in_port: meta.origin.in_port,
                link: LinkType::Ethernet,
                hop: meta.hop,
                at: now,
                number: 0,
            };
        }
        judge(&mut packets[..count]);
    }

    /// Copies changed linear copies back into their pieces.
    pub(super) fn write_back(&self, frames: &mut [Frame], rewritten: u64) {
        if rewritten == 0 {
            return;
        }
        for (index, meta) in self.metas[..self.packets()].iter().enumerate() {
            let Some((mut at, _)) = meta.copy.filter(|_| rewritten >> index & 1 == 1) else { continue };
            for piece in &mut frames[meta.first..meta.first + meta.pieces] {
                let len = piece.len();
                if let Some(changed) = self.scratch.get(at..at + len) {
                    piece.bytes_mut().copy_from_slice(changed);
                }
                at += len;
            }
        }
    }
}
