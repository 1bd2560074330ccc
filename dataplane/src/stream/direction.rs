//! Which bytes of one direction are in order, and which must be kept?
//!
//! ```text
//!        start                 next - unread        next            first piece
//!   ───────┼──── remembered ────────┼──── unread ─────┼───── hole ─────┼──────
//!          └───────────────────────── buffer ─────────────────────────────────
//! ```
//!
//! In the usual case there is no buffer: a segment that is next is read from its packet, and what the reader leaves (or
//! the receiver may yet be told otherwise, inline) is copied when the reader is done. Everything in a buffer lies at its
//! place, so that a hole that is filled makes one contiguous piece without a copy.

mod room;

use super::held::{Held, Laying, NotLaid};
use super::memory::Memory;
use super::overlap::Mode;
use super::{Acked, Anomaly, Lost, Mended, Taken, What};
use crate::parse::checksum::{Sum, gain};

/// One direction of a flow that is read.
#[derive(Debug, Default)]
pub(super) struct Stream {
    buffer: Box<[u8]>,
    held: Held,
    /// Bytes in order since the beginning.
    passed: u64,
    /// Of these, bytes that were shown to whoever asks for all of them.
    shown: u64,
    /// Bytes to come that nobody reads.
    skip: u64,
    /// Sequence number of the byte after the last one in order.
    next: u32,
    /// Sequence number of the buffer's first byte, where there is a buffer.
    start: u32,
    /// Bytes before `next` in the buffer that were not consumed.
    unread: u32,
    /// Bytes at the end of the packet's payload that were not consumed; there are none in the buffer then.
    direct: u32,
    /// Bytes at the end of the packet's payload that are in order and not in the buffer.
    fresh: u32,
    /// What the receiver waits for, by its last acknowledgement.
    acked: u32,
    /// Bytes before this one may be neither acknowledged nor remembered.
    forgotten_to: u32,
    bits: u8,
}

/// The limits a segment is taken under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) mode: Mode,
    /// What this direction may hold.
    pub(super) bytes_max: usize,
}

/// The first sequence number is known.
const STARTED: u8 = 1;
/// It was that of a SYN.
const FROM_SYN: u8 = 2;
/// Bytes were forgotten before the receiver acknowledged them.
const FORGOT: u8 = 4;
/// The SYN brought data, and whether the receiver took it is not known.
const SYN_DATA: u8 = 8;

impl Stream {
    /// The first byte has this sequence number. A SYN that comes before any byte may say so anew; `false`: it came after
    /// bytes that another SYN began.
    pub(super) fn start(&mut self, seq: u32) -> bool {
        if self.has(SYN_DATA) && seq != self.next {
            self.drop_syn_data();
        }
        if self.passed == 0 && self.held.is_empty() {
            self.next = seq;
            self.acked = seq;
            self.bits |= STARTED | FROM_SYN;
            return true;
        }
        !self.has(FROM_SYN) || self.next.wrapping_sub(self.passed as u32) == seq
    }

    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Bytes that this direction takes of the flow's share.
    pub(super) fn bytes_held(&self) -> usize {
        self.buffer.len() + self.held.list_bytes()
    }

    /// Takes a segment's payload; `seq` is that of its first byte.
    pub(super) fn take(&mut self, seq: u32, payload: &[u8], rules: Rules, memory: &mut Memory) -> Taken {
        debug_assert!(self.direct == 0, "what was not consumed of the segment before was not kept");
        (self.direct, self.fresh) = (0, 0);
        if payload.is_empty() {
            return Taken::NOTHING;
        }
        if !self.has(STARTED) {
            (self.next, self.acked) = (seq, seq);
            self.bits |= STARTED;
        }
        let is_joined = self.has(SYN_DATA) && self.settle_syn_data(Some(seq));
        let ahead = i64::from(seq.wrapping_sub(self.next) as i32);
        let end = ahead + payload.len() as i64;
        if end <= 0 {
            let mut taken = self.old(end, payload.len());
            if is_joined {
                taken.what = What::Ready;
            }
            return taken;
        }
        if self.held.is_empty() && ahead <= 0 {
            let new = end as u32;
            if self.unread == 0 {
                self.fresh = new;
                self.direct = self.advance(new);
                return Taken::of(if self.direct > 0 { What::Ready } else { What::Nothing });
            }
            let end = self.next.wrapping_add(new);
            if !self.make_room(end, rules, memory) {
                return Taken::full(Anomaly::InsertMemcap);
            }
            self.copy(self.next, &payload[payload.len() - new as usize..]);
            self.unread += self.advance(new);
            return Taken::of(What::Ready);
        }
        self.hold(seq, payload, rules, memory)
    }

    /// Takes the data of a SYN (Fast Open, RFC 7413). Beside the wire it waits until it is known whether the receiver
    /// took it: a receiver that does not know the cookie ignores it, and the sender may then send something else.
    pub(super) fn take_of_syn(
        &mut self,
        seq: u32,
        payload: &[u8],
        rules: Rules,
        memory: &mut Memory,
    ) -> Taken {
        if rules.mode.is_inline() || payload.is_empty() {
            let _agrees = self.start(seq);
            return self.take(seq, payload, rules, memory);
        }
        if self.has(SYN_DATA) {
            self.drop_syn_data();
        }
        let _agrees = self.start(seq);
        if self.passed > 0 || !self.held.is_empty() || seq != self.next {
            return Taken::NOTHING;
        }
        let taken = self.hold_pieces(seq, payload, rules, memory);
        if taken.what != What::Full {
            self.bits |= SYN_DATA;
        }
        taken
    }

    /// The receiver waits for `ack`.
    pub(super) fn acknowledged(&mut self, ack: u32, rules: Rules, memory: &mut Memory) -> Acked {
        if !self.has(STARTED) || (ack.wrapping_sub(self.acked) as i32) < 0 {
            return Acked::Nothing;
        }
        self.acked = ack;
        let unread = self.unread;
        if self.has(SYN_DATA) {
            self.settle_syn_data(None);
        }
        if self.has(FORGOT) && ack.wrapping_sub(self.forgotten_to) as i32 >= 0 {
            self.bits &= !FORGOT;
        }
        self.tidy(rules, memory);
        if self.unread > unread {
            return Acked::Ready;
        }
        if self.hole_is_hopeless() { Acked::HoleIsHopeless } else { Acked::Nothing }
    }

    /// Whether the receiver has the bytes of the first hole.
    pub(super) fn hole_is_hopeless(&self) -> bool {
        !self.has(SYN_DATA)
            && self.held.first().is_some_and(|first| self.acked.wrapping_sub(first.start) as i32 >= 0)
    }

    /// Rewrites bytes of a payload that were seen before, and may still be unknown to the receiver, to what they were. `at` is where
    /// these bytes begin in the segment's payload.
    pub(super) fn first_seen(&self, seq: u32, payload: &mut [u8], at: usize) -> Mended {
        let mut mended = Mended::default();
        let end = seq.wrapping_add(payload.len() as u32);
        if !self.has(STARTED) || (seq == self.next && self.held.is_empty()) {
            return mended;
        }
        let later = |a: u32, b: u32| if a.wrapping_sub(b) as i32 > 0 { a } else { b };
        let sooner = |a: u32, b: u32| if (a.wrapping_sub(b) as i32) < 0 { a } else { b };
        if self.has(FORGOT) {
            let (from, to) = (later(self.acked, seq), sooner(self.forgotten_to, end));
            mended.is_unverified = to.wrapping_sub(from) as i32 > 0;
        }
        if self.buffer.is_empty() {
            return mended;
        }
        let in_order = (later(self.start, self.acked), self.next);
        for (start, stop) in
            std::iter::once(in_order).chain(self.held.iter().map(|piece| (piece.start, piece.end)))
        {
            let (from, to) = (later(start, seq), sooner(stop, end));
            let len = to.wrapping_sub(from) as i32;
            if len <= 0 {
                continue;
            }
            let (len, place) = (len as usize, from.wrapping_sub(self.start) as usize);
            let offset = from.wrapping_sub(seq) as usize;
            if let Some(known) = self.buffer.get(place..place + len)
                && let Some(bytes) = payload.get_mut(offset..offset + len)
                && known != bytes
            {
                let more = u32::from(gain(at + offset, bytes, known));
                mended.sum_gain = Sum::default().add_u32(u32::from(mended.sum_gain)).add_u32(more).folded();
                mended.is_rewritten = true;
                bytes.copy_from_slice(known);
            }
        }
        mended
    }

    /// What is in order and was not consumed.
    pub(super) fn ready<'a>(&'a self, payload: &'a [u8]) -> &'a [u8] {
        if self.direct > 0 {
            return payload
                .len()
                .checked_sub(self.direct as usize)
                .and_then(|at| payload.get(at..))
                .unwrap_or_default();
        }
        let end = self.next.wrapping_sub(self.start) as usize;
        end.checked_sub(self.unread as usize).and_then(|at| self.buffer.get(at..end)).unwrap_or_default()
    }

    /// What came in order since this was asked last.
    pub(super) fn unshown<'a>(&'a mut self, payload: &'a [u8]) -> &'a [u8] {
        let new = self.passed.saturating_sub(self.shown);
        self.shown = self.passed;
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        let (bytes, end) = if self.fresh as usize >= new {
            (payload, payload.len())
        } else {
            (&self.buffer[..], self.next.wrapping_sub(self.start) as usize)
        };
        bytes.get(..end).map_or(&[], |bytes| &bytes[bytes.len().saturating_sub(new)..])
    }

    pub(super) fn consume(&mut self, len: usize) {
        let ready = if self.direct > 0 { &mut self.direct } else { &mut self.unread };
        let done = (*ready as usize).min(len);
        *ready -= done as u32;
        self.skip += (len - done) as u64;
    }

    /// The reader is done with the segment: copies what it left. `false` if there is no room for what it left.
    pub(super) fn keep(&mut self, payload: &[u8], rules: Rules, memory: &mut Memory) -> bool {
        let mut kept = true;
        if self.reach(rules) > 0 && self.fresh > 0 {
            kept = self.make_room(self.next, rules, memory);
            if kept {
                let len = self.fresh.min(self.next.wrapping_sub(self.start)) as usize;
                let at = self.next.wrapping_sub(len as u32);
                self.copy(
                    at,
                    payload.len().checked_sub(len).and_then(|at| payload.get(at..)).unwrap_or_default(),
                );
                self.unread += self.direct;
            } else {
                // Inline, bytes that were read and cannot be remembered are no reason to stop reading.
                kept = self.direct == 0;
                if rules.mode.is_inline() {
                    self.forget_to(self.next);
                }
                memory.give(&mut self.buffer);
            }
        }
        (self.direct, self.fresh) = (0, 0);
        self.tidy(rules, memory);
        kept
    }

    /// Goes on without the bytes of the first hole: up to the first byte beyond it that is there, or to `seq`.
    pub(super) fn give_up_hole(&mut self, seq: Option<u32>, rules: Rules, memory: &mut Memory) -> Lost {
        let near = |seq: u32| seq.wrapping_sub(self.next) as i32;
        let held = self.held.first().map(|piece| piece.start);
        let to = match (held, seq) {
            (Some(held), Some(seq)) => Some(if near(seq) < near(held) { seq } else { held }),
            (held, seq) => held.or(seq),
        };
        let hole = to.map_or(0, |to| near(to).max(0) as u32);
        let unread = self.unread + self.direct;
        (self.unread, self.direct, self.fresh) = (0, 0, 0);
        if hole == 0 && unread == 0 && seq.is_some() {
            // The segment is next, and does not fit beside what waits: it goes before.
            if let Some(end) = self.held.last_end().filter(|_| rules.mode.is_inline()) {
                self.forget_to(end);
            }
            self.held.release(memory);
        }
        let skipped = self.skip.min(u64::from(hole));
        self.skip -= skipped;
        self.passed += u64::from(hole);
        self.shown += u64::from(hole);
        if hole > 0 && rules.mode.is_inline() {
            self.forget_to(self.next.wrapping_add(hole));
        }
        self.next = self.next.wrapping_add(hole);
        // What was remembered before the hole would no longer be contiguous.
        if !self.buffer.is_empty() && hole > 0 {
            let shift = self.next.wrapping_sub(self.start) as usize;
            if self.held.is_empty() {
                memory.give(&mut self.buffer);
            } else {
                self.shift(shift);
            }
        }
        self.join();
        self.tidy(rules, memory);
        Lost { hole: u64::from(hole) - skipped, unread }
    }

    /// Gives everything back.
    pub(super) fn release(&mut self, memory: &mut Memory) {
        memory.give(&mut self.buffer);
        self.held.release(memory);
        *self = Self::default();
    }

    const fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    /// A segment of `len` bytes that ends `-end` bytes before what comes next.
    fn old(&self, end: i64, len: usize) -> Taken {
        let mut taken = Taken::NOTHING;
        if !self.has(FROM_SYN) && self.passed < 1 << 31 {
            let beyond_base = self.passed as i64 + end;
            // One byte before the first one is a keep-alive (RFC 9293 3.8.4).
            let is_keep_alive = len == 1 && beyond_base == 0;
            if beyond_base <= 0 && !is_keep_alive {
                taken.anomaly = Some(Anomaly::SegmentBeforeBase);
            }
        }
        taken
    }

    /// `len` more bytes are in order; returns how many of them somebody reads.
    fn advance(&mut self, len: u32) -> u32 {
        self.next = self.next.wrapping_add(len);
        self.passed += u64::from(len);
        let skipped = self.skip.min(u64::from(len));
        self.skip -= skipped;
        len - skipped as u32
    }

    /// Takes a segment that lies beyond a hole, or fills one.
    fn hold(&mut self, seq: u32, payload: &[u8], rules: Rules, memory: &mut Memory) -> Taken {
        let mut taken = self.hold_pieces(seq, payload, rules, memory);
        if taken.what != What::Full && self.join() {
            taken.what = What::Ready;
        }
        taken
    }

    fn hold_pieces(&mut self, seq: u32, payload: &[u8], rules: Rules, memory: &mut Memory) -> Taken {
        let end = seq.wrapping_add(payload.len() as u32);
        if !self.make_room(end, rules, memory) {
            return Taken::full(Anomaly::InsertMemcap);
        }
        let from = if (seq.wrapping_sub(self.next) as i32) < 0 { self.next } else { seq };
        let list_bytes_max = rules.bytes_max.saturating_sub(self.buffer.len());
        let laying = Laying { seq, payload, from, base: self.start, list_bytes_max };
        let anomaly = match self.held.lay(&laying, &mut self.buffer, rules.mode, memory) {
            Ok(differs) => {
                let anomaly = differs.then_some(Anomaly::OverlapDifferentData);
                return Taken { what: What::Nothing, anomaly };
            }
            Err(NotLaid::TooManyPieces) => Anomaly::InsertLimit,
            Err(NotLaid::NoMemory) => Anomaly::InsertMemcap,
        };
        self.tidy(rules, memory);
        Taken::full(anomaly)
    }

    /// Pieces that are next come in order.
    fn join(&mut self) -> bool {
        let end = self.held.join(self.next);
        let new = end.wrapping_sub(self.next);
        let read = self.advance(new);
        self.unread += read;
        read > 0
    }

    /// Decides what becomes of the SYN's data, by the acknowledgement, else by where the sender goes on.
    fn settle_syn_data(&mut self, goes_on_at: Option<u32>) -> bool {
        let acked = self.acked.wrapping_sub(self.next) as i32;
        let end = self.held.last_end().unwrap_or(self.next);
        match goes_on_at {
            _ if acked > 0 => self.held.cut(self.acked),
            Some(seq) if seq.wrapping_sub(end) as i32 >= 0 => {}
            _ => self.held.cut(self.next),
        }
        self.bits &= !SYN_DATA;
        self.join()
    }

    fn drop_syn_data(&mut self) {
        self.held.cut(self.next);
        self.bits &= !SYN_DATA;
    }
}
