//! Which bytes beyond a hole are there, and whose are they?
//!
//! A sorted array of pieces over the direction's buffer. Pieces that touch become one where the overlap rule does not
//! ask who sent them, and where the array would be too long otherwise.

use super::memory::Memory;
use super::overlap::{Mode, Span};

/// Pieces that one direction may have: a million segments of one byte end here.
pub const PIECES_MAX: usize = 256;

/// Bytes that are there, as sequence numbers, and the segment that brought them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u32,
    /// One past the last.
    pub(super) end: u32,
    sent: (u32, u32),
}

/// A segment that is to be laid among the pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Laying<'a> {
    /// Sequence number of `payload`'s first byte.
    pub(super) seq: u32,
    /// The segment's bytes.
    pub(super) payload: &'a [u8],
    /// Bytes before this sequence number do not count.
    pub(super) from: u32,
    /// Sequence number of the buffer's first byte.
    pub(super) base: u32,
    /// Bytes that the array of pieces may take.
    pub(super) list_bytes_max: usize,
}

/// Why a segment was not laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotLaid {
    TooManyPieces,
    NoMemory,
}

/// The pieces of one direction.
#[derive(Debug, Default)]
pub(super) struct Held {
    pieces: Vec<Piece>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn first(&self) -> Option<Piece> {
        self.pieces.first().copied()
    }

    pub(super) fn last_end(&self) -> Option<u32> {
        self.pieces.last().map(|piece| piece.end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// Bytes that the array takes.
    pub(super) fn list_bytes(&self) -> usize {
        self.pieces.capacity() * size_of::<Piece>()
    }

    /// Lays a segment's bytes into `buffer`, which has room for them. Returns whether bytes that were there differ.
    pub(super) fn lay(
        &mut self,
        laying: &Laying<'_>,
        buffer: &mut [u8],
        mode: Mode,
        memory: &mut Memory,
    ) -> Result<bool, NotLaid> {
        let mut plan = std::mem::take(&mut memory.plan);
        plan.clear();
        let differs = self.plan(laying, buffer, mode, &mut plan);
        let laid = self.carry_out(&plan, laying, buffer, mode, memory);
        memory.plan = plan;
        laid.map(|()| differs)
    }

    /// What the pieces will be; the flag says which ones come from the segment.
    fn plan(&self, laying: &Laying<'_>, buffer: &[u8], mode: Mode, plan: &mut Vec<(Piece, bool)>) -> bool {
        let Laying { seq, payload, from, base, .. } = *laying;
        let end = seq.wrapping_add(payload.len() as u32);
        let near = |seq: u32| seq.wrapping_sub(base) as i32;
        let own = Span { start: near(seq), end: near(end) };
        let new = |start: u32, end: u32| (Piece { start, end, sent: (seq, laying.end()) }, true);
        let mut cursor = from;
        let mut differs = false;
        for &piece in &self.pieces {
            if near(piece.end) <= near(from) {
                plan.push((piece, false));
                continue;
            }
            if near(piece.start) >= near(end) {
                if cursor != end {
                    plan.push(new(cursor, end));
                    cursor = end;
                }
                plan.push((piece, false));
                continue;
            }
            let start = if near(piece.start) > near(from) { piece.start } else { from };
            let stop = if near(piece.end) < near(end) { piece.end } else { end };
            let there = buffer.get(near(start) as usize..near(stop) as usize);
            differs |= there != laying.bytes(start, stop);
            let old = Span { start: near(piece.sent.0), end: near(piece.sent.1) };
            if mode.policy().replaces(old, own) {
                if near(piece.start) < near(from) {
                    plan.push((Piece { end: from, ..piece }, false));
                }
                if near(piece.end) > near(end) {
                    plan.push(new(cursor, end));
                    cursor = end;
                    plan.push((Piece { start: end, ..piece }, false));
                }
            } else {
                if near(cursor) < near(start) {
                    plan.push(new(cursor, start));
                }
                plan.push((piece, false));
                cursor = stop;
            }
        }
        if cursor != end {
            plan.push(new(cursor, end));
        }
        differs
    }

    fn carry_out(
        &mut self,
        plan: &[(Piece, bool)],
        laying: &Laying<'_>,
        buffer: &mut [u8],
        mode: Mode,
        memory: &mut Memory,
    ) -> Result<(), NotLaid> {
        let merges = !mode.looks_at_spans() || plan.len() > PIECES_MAX;
        let apart = plan.windows(2).filter(|pair| pair[0].0.end != pair[1].0.start).count() + 1;
        let len = if merges { apart } else { plan.len() };
        if len > PIECES_MAX {
            return Err(NotLaid::TooManyPieces);
        }
        if !memory.room_for(&mut self.pieces, len, laying.list_bytes_max) {
            return Err(NotLaid::NoMemory);
        }
        self.pieces.clear();
        for &(piece, is_new) in plan {
            if is_new {
                let at = piece.start.wrapping_sub(laying.base) as usize;
                let bytes = laying.bytes(piece.start, piece.end).unwrap_or_default();
                if let Some(there) = buffer.get_mut(at..at + bytes.len()) {
                    there.copy_from_slice(bytes);
                }
            }
            match self.pieces.last_mut() {
                Some(last) if merges && last.end == piece.start => {
                    last.end = piece.end;
                    last.sent.1 = piece.sent.1;
                }
                _ => self.pieces.push(piece),
            }
        }
        Ok(())
    }

    /// Takes out the pieces that follow `next` without a hole; returns where they end.
    pub(super) fn join(&mut self, next: u32) -> u32 {
        let mut end = next;
        let mut joined = 0;
        for piece in &self.pieces {
            if piece.start.wrapping_sub(end) as i32 > 0 {
                break;
            }
            if piece.end.wrapping_sub(end) as i32 > 0 {
                end = piece.end;
            }
            joined += 1;
        }
        self.pieces.drain(..joined);
        end
    }

    /// Leaves only what lies before `end`.
    pub(super) fn cut(&mut self, end: u32) {
        self.pieces.retain(|piece| (piece.start.wrapping_sub(end) as i32) < 0);
        if let Some(last) = self.pieces.last_mut()
            && last.end.wrapping_sub(end) as i32 > 0
        {
            last.end = end;
        }
    }

    /// Forgets all pieces and gives the array back.
    pub(super) fn release(&mut self, memory: &mut Memory) {
        memory.give_list(&mut self.pieces);
    }
}

impl<'a> Laying<'a> {
    const fn end(&self) -> u32 {
        self.seq.wrapping_add(self.payload.len() as u32)
    }

    fn bytes(&self, start: u32, end: u32) -> Option<&'a [u8]> {
        self.payload.get(start.wrapping_sub(self.seq) as usize..end.wrapping_sub(self.seq) as usize)
    }
}
