//! Which bytes of a direction's buffer are needed, and how long must it be?
//!
//! First what nobody needs goes; then a longer buffer is asked for; then, inline, what is only remembered goes. Whatever
//! is forgotten before the receiver has acknowledged it is told by [`Stream::first_seen`] when it comes again.

use super::super::held::{PIECES_MAX, Piece};
use super::super::memory::{FLOW_BYTES_MAX, Memory};
use super::{FORGOT, Rules, Stream};

/// What part of a direction's memory is left to the array of pieces.
const LIST_SHARE: usize = FLOW_BYTES_MAX / (PIECES_MAX * size_of::<Piece>());

impl Stream {
    /// How many bytes before `next` must be kept, of those that are there.
    pub(super) fn reach(&self, rules: Rules) -> u32 {
        let mut reach = self.unread + self.direct;
        if rules.mode.is_inline() {
            reach = reach.max((self.next.wrapping_sub(self.acked) as i32).max(0) as u32);
        }
        reach.min(if self.buffer.is_empty() { self.fresh } else { self.next.wrapping_sub(self.start) })
    }

    /// Makes the buffer long enough for bytes up to `end`.
    pub(super) fn make_room(&mut self, end: u32, rules: Rules, memory: &mut Memory) -> bool {
        let len = self.buffer.len();
        if len > 0 && end.wrapping_sub(self.start) as usize <= len {
            return true;
        }
        let mut low = self.next.wrapping_sub(self.reach(rules));
        let mut need = end.wrapping_sub(low) as usize;
        let worthwhile = low.wrapping_sub(self.start) as usize >= len / 4;
        if len > 0 && need <= len && worthwhile {
            self.shift_to(low);
            return true;
        }
        // A share is left to the array of pieces: of 64 KiB the longest array.
        let list = self.held.list_bytes().max(rules.bytes_max / LIST_SHARE);
        let mut bytes_max = rules.bytes_max.saturating_sub(list);
        if self.grow(low, need.max(len + 1), bytes_max, memory) {
            return true;
        }
        if len > 0 && need <= len {
            self.shift_to(low);
            return true;
        }
        // What is only remembered goes first; half of the buffer stays, so that this is seldom done.
        let must = self.unread + self.direct;
        if rules.mode.is_inline() && self.reach(rules) > must {
            let least = self.next.wrapping_sub(must);
            bytes_max = bytes_max.max(len);
            let half = end.wrapping_sub((bytes_max.min(end.wrapping_sub(low) as usize) / 2) as u32);
            low = if half.wrapping_sub(least) as i32 > 0 { least } else { half };
            need = end.wrapping_sub(low) as usize;
            if (len > 0 && need <= len) || self.grow(low, need, bytes_max, memory) {
                self.forget_to(low);
                self.shift_to(low);
                return true;
            }
        }
        false
    }

    /// Takes a larger buffer whose first byte is `low`.
    fn grow(&mut self, low: u32, need: usize, bytes_max: usize, memory: &mut Memory) -> bool {
        let Some(mut larger) = memory.take(need, bytes_max) else { return false };
        let there = self.there();
        if let Some(old) = self.buffer.get(low.wrapping_sub(self.start) as usize..there)
            && let Some(new) = larger.get_mut(..old.len())
        {
            new.copy_from_slice(old);
        }
        std::mem::swap(&mut self.buffer, &mut larger);
        memory.give(&mut larger);
        self.start = low;
        true
    }

    /// Bytes of the buffer up to the last one that means something.
    fn there(&self) -> usize {
        if self.buffer.is_empty() {
            return 0;
        }
        let end = self.held.last_end().unwrap_or(self.next.wrapping_sub(self.fresh));
        (end.wrapping_sub(self.start) as usize).min(self.buffer.len())
    }

    fn shift_to(&mut self, low: u32) {
        self.shift(low.wrapping_sub(self.start) as usize);
    }

    /// Drops the buffer's first `len` bytes.
    pub(super) fn shift(&mut self, len: usize) {
        let there = self.there();
        if len <= there {
            self.buffer.copy_within(len..there, 0);
        }
        self.start = self.start.wrapping_add(len as u32);
    }

    pub(super) fn copy(&mut self, seq: u32, bytes: &[u8]) {
        let at = seq.wrapping_sub(self.start) as usize;
        if let Some(there) = self.buffer.get_mut(at..at + bytes.len()) {
            there.copy_from_slice(bytes);
        }
    }

    pub(super) fn forget_to(&mut self, seq: u32) {
        if seq.wrapping_sub(self.acked) as i32 > 0 {
            self.forgotten_to = seq;
            self.bits |= FORGOT;
        }
    }

    /// Gives back what nobody needs.
    pub(super) fn tidy(&mut self, rules: Rules, memory: &mut Memory) {
        if self.held.is_empty() {
            if self.held.list_bytes() > 0 {
                self.held.release(memory);
            }
            if !self.buffer.is_empty() && self.reach(rules) == 0 {
                memory.give(&mut self.buffer);
            }
        }
    }
}
