//! In which order did the bytes of a TCP direction come, and which of them count?
//!
//! [`Stream`] is one direction of one flow while somebody reads it; a flow that nobody reads has none.

use std::collections::BTreeMap;

/// Bytes of one direction that may wait to be read, in order and beyond a hole together.
pub const STREAM_BYTES_MAX: usize = 64 * 1024;

/// One direction of a TCP flow.
#[derive(Debug, Default)]
pub struct Stream {
    /// Sequence number of the byte after the last one in order; `None` before the first segment.
    next: Option<u32>,
    /// In order and not consumed.
    ready: Vec<u8>,
    /// Beyond a hole, by distance from `next` when they came.
    ahead: BTreeMap<u32, Vec<u8>>,
    ahead_bytes: usize,
    skip: u64,
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// New bytes are ready to be read.
    Ready,
    /// Nothing new: a retransmission, or bytes beyond a hole.
    Nothing,
    /// No room for what lies beyond the hole: whoever reads must go on without the missing bytes.
    Full,
}

impl Stream {
    /// The first byte of the direction has this sequence number (SYN + 1).
    pub fn start(&mut self, seq: u32) {
        if self.next.is_none() {
            self.next = Some(seq);
        }
    }

    /// Takes the payload of a segment.
    pub fn take(&mut self, seq: u32, payload: &[u8]) -> Taken {
        if payload.is_empty() {
            return Taken::Nothing;
        }
        let next = *self.next.get_or_insert(seq);
        let ahead = seq.wrapping_sub(next) as i32;
        if ahead > 0 {
            if self.ahead_bytes + payload.len() + self.ready.len() > STREAM_BYTES_MAX {
                return Taken::Full;
            }
            let old = self.ahead.insert(seq, payload.to_vec());
            self.ahead_bytes += payload.len();
            self.ahead_bytes -= old.map_or(0, |old| old.len());
            return Taken::Nothing;
        }
        let known = ahead.unsigned_abs() as usize;
        let Some(new) = payload.get(known..).filter(|new| !new.is_empty()) else { return Taken::Nothing };
        self.append(new);
        self.join();
        Taken::Ready
    }

    /// What is in order and was not consumed.
    #[must_use]
    pub fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// The first `len` bytes of [`Self::ready`] are done with; more than there are skips what comes.
    pub fn consume(&mut self, len: usize) {
        if len >= self.ready.len() {
            self.skip += (len - self.ready.len()) as u64;
            self.ready.clear();
        } else {
            self.ready.drain(..len);
        }
    }

    /// Gives up on the bytes of the first hole and returns how many they are; 0 where there is no hole.
    pub fn give_up_hole(&mut self) -> u64 {
        let (Some(next), Some((first, _))) = (self.next, self.ahead.first_key_value()) else { return 0 };
        let len = first.wrapping_sub(next);
        self.ready.clear();
        self.next = Some(*first);
        self.join();
        u64::from(len)
    }

    fn append(&mut self, new: &[u8]) {
        self.next = self.next.map(|next| next.wrapping_add(new.len() as u32));
        let skipped = self.skip.min(new.len() as u64) as usize;
        self.skip -= skipped as u64;
        let room = STREAM_BYTES_MAX.saturating_sub(self.ready.len());
        let kept = &new[skipped..];
        self.ready.extend_from_slice(&kept[..kept.len().min(room)]);
    }

    fn join(&mut self) {
        while let (Some(next), Some(entry)) = (self.next, self.ahead.first_entry()) {
            let before = next.wrapping_sub(*entry.key()) as i32;
            if before < 0 {
                break;
            }
            let bytes = entry.remove();
            self.ahead_bytes -= bytes.len();
            if let Some(new) = bytes.get(before as usize..) {
                self.append(new);
            }
        }
    }
}
