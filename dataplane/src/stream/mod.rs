//! In which order did the bytes of a TCP direction come, and which of them count?
//!
//! [`Streams`] are both directions of one flow while somebody reads it; a flow that nobody reads has none. For each
//! segment, in this order:
//!
//! ```text
//! first_seen   inline: bytes that differ from those seen first are rewritten in the packet
//! take         what is it: next, old, beyond a hole, too much?
//! ready        what is in order, straight from the packet where nothing waited before it
//! consume      what the reader is done with
//! keep         what it left, and inline what the receiver has not acknowledged, is copied
//! acknowledged (of the other direction) what the receiver has needs no memory
//! release      once, when nobody reads any more: all buffers go back to the pool
//! ```
//!
//! Cost: a segment that is next and is read whole costs a few comparisons and no copy; inline it costs one, unless the
//! reader is done with the flow. Memory comes from [`Memory`]: 0 bytes for a flow of which nothing waits, at most
//! [`FLOW_BYTES_MAX`] for one, and the worker's cap for all. The place of a byte in its buffer is its place in the
//! stream, so that a hole of 30 KB costs 30 KB: a window that is larger is followed by giving holes up.
//!
//! Urgent bytes are taken out before that ([`Streams::without_urgent`]) where the policy says so. Payload of a RST is no part of the stream (RFC 9293 3.10.7.4): the caller does not hand it
//! over. A FIN ends nothing here: where a sender goes on after it, its bytes are read, for its FIN may have been meant
//! for us alone. What lies outside the window is the flow table's business.

mod direction;
mod held;
mod memory;
mod overlap;
mod urgent;

#[cfg(test)]
mod tests;

pub use held::PIECES_MAX;
pub use memory::{FLOW_BYTES_MAX, MEMORY_BYTES_MAX, Memory};
pub use overlap::{Mode, Policy};
pub use urgent::UrgentPolicy;

use crate::flow::Direction;
use direction::{Rules, Stream};
use urgent::Urgent;

use crate::parse::TcpFlags;
use crate::parse::checksum::Sum;

/// Both directions of a flow that is read. [`Self::release`] must be called before it is dropped.
#[derive(Debug, Default)]
pub struct Streams {
    ways: [Stream; 2],
    /// Of flows that have urgent bytes.
    urgent: Option<Box<[Urgent; 2]>>,
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a segment that is full was not taken"]
pub struct Taken {
    /// What it brought.
    pub what: What,
    /// What is odd about it.
    pub anomaly: Option<Anomaly>,
}

/// What a segment brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// New bytes to be read.
    Ready,
    /// Nothing new to be read: a retransmission, bytes beyond a hole, or such as nobody reads.
    Nothing,
    /// Nothing was taken, for there is no room. Either the packet does not go on, so that it comes again later; or
    /// the reader goes on without bytes: [`Streams::give_up_hole`], then take it again.
    Full,
}

/// What is odd, by Suricata's names of stream events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Anomaly {
    /// Bytes that wait beyond a hole came again and differ.
    OverlapDifferentData,
    /// Bytes are missing and will not come.
    SeqGap,
    /// A segment lies before the place where the flow was picked up.
    SegmentBeforeBase,
    /// No memory for bytes that must wait.
    InsertMemcap,
    /// Too many pieces wait.
    InsertLimit,
    /// More urgent bytes than are taken out of the stream.
    UrgentLimit,
}

impl Anomaly {
    /// All of them, in index order.
    pub const ALL: [Self; 6] = [
        Self::OverlapDifferentData,
        Self::SeqGap,
        Self::SegmentBeforeBase,
        Self::InsertMemcap,
        Self::InsertLimit,
        Self::UrgentLimit,
    ];

    /// How many there are: the length of an array of counters.
    pub const COUNT: usize = Self::ALL.len();

    /// `anomaly.event` in EVE.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::OverlapDifferentData => "stream.reassembly_overlap_different_data",
            Self::SeqGap => "stream.reassembly_seq_gap",
            Self::SegmentBeforeBase => "stream.reassembly_segment_before_base_seq",
            Self::InsertMemcap => "stream.reassembly_insert_memcap",
            Self::InsertLimit => "stream.reassembly_insert_limit",
            Self::UrgentLimit => "stream.reassembly_urgent_oob_limit_reached",
        }
    }
}

/// What an acknowledgement changed for the direction that it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acked {
    /// Nothing that a reader sees.
    Nothing,
    /// Bytes are ready to be read: data of a SYN that the receiver took.
    Ready,
    /// The receiver has the bytes of the first hole, so that they will not come: give the hole up.
    HoleIsHopeless,
}

/// What [`Streams::first_seen`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a rewritten payload needs another checksum"]
pub struct Mended {
    /// Bytes differed and were rewritten: the checksum must be mended.
    pub is_rewritten: bool,
    /// What the payload's one's complement sum gained by that ([`crate::parse::checksum::mend_tcp`]).
    pub sum_gain: u16,
    /// Some bytes were sent before, or were given up, and are neither acknowledged nor remembered: whether they are
    /// the same is not known, and they will not be read.
    pub is_unverified: bool,
}

/// What a reader will never see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Missing bytes that somebody wanted to read.
    pub hole: u64,
    /// Bytes before the hole that were ready and not consumed.
    pub unread: u32,
}

impl Lost {
    /// Whether the reader needs not be told.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.hole == 0 && self.unread == 0
    }
}

impl Taken {
    const NOTHING: Self = Self::of(What::Nothing);

    const fn of(what: What) -> Self {
        Self { what, anomaly: None }
    }

    const fn full(anomaly: Anomaly) -> Self {
        Self { what: What::Full, anomaly: Some(anomaly) }
    }
}

impl Streams {
    /// A SYN: the first byte of `way` has the sequence number after `seq`. Before any byte came, it may say so anew;
    /// `false`: there are bytes that came after a SYN with another number, and nothing was changed.
    pub fn syn(&mut self, way: Direction, seq: u32) -> bool {
        self.ways[way as usize].start(seq.wrapping_add(1))
    }

    /// Inline: rewrites bytes that the receiver may not know yet to those that were seen first. To be asked before
    /// [`Self::take`]; `seq` is that of the payload's first byte.
    pub fn first_seen(&self, way: Direction, seq: u32, payload: &mut [u8]) -> Mended {
        let stream = &self.ways[way as usize];
        let Some(urgent) = self.urgent.as_ref().map(|ways| &ways[way as usize]) else {
            return stream.first_seen(seq, payload, 0);
        };
        let mut mended = Mended::default();
        for (from, to) in urgent.pieces(seq, payload.len()) {
            let moved = urgent.moved(seq.wrapping_add(from as u32));
            let Some(piece) = payload.get_mut(from..to) else { continue };
            let one = stream.first_seen(moved, piece, from);
            mended.is_rewritten |= one.is_rewritten;
            mended.is_unverified |= one.is_unverified;
            let gained = Sum::default().add_u32(u32::from(mended.sum_gain)).add_u32(u32::from(one.sum_gain));
            mended.sum_gain = gained.folded();
        }
        mended
    }

    /// Notes what the urgent pointer of a segment says, whose payload begins at `seq`; `false`: there are too many urgent bytes,
    /// and this one is read in band.
    pub fn note_urgent(&mut self, way: Direction, seq: u32, flags: TcpFlags, pointer: u16) -> bool {
        self.urgent.get_or_insert_default()[way as usize].note(seq, flags, pointer)
    }

    /// Whether anything urgent was noted.
    #[must_use]
    #[inline]
    pub const fn has_urgent(&self) -> bool {
        self.urgent.is_some()
    }

    /// A segment without urgent bytes: where it lies in a stream that never had them, and its payload where it has some, in `room`.
    pub fn without_urgent<'a>(
        &self,
        way: Direction,
        seq: u32,
        payload: &'a [u8],
        room: &'a mut Vec<u8>,
    ) -> (u32, &'a [u8]) {
        let Some(urgent) = self.urgent.as_ref().map(|ways| &ways[way as usize]) else {
            return (seq, payload);
        };
        let moved = urgent.moved(seq);
        if !urgent.is_in(seq, payload.len()) {
            return (moved, payload);
        }
        room.clear();
        for (from, to) in urgent.pieces(seq, payload.len()) {
            room.extend_from_slice(payload.get(from..to).unwrap_or_default());
        }
        (moved, room)
    }

    /// Takes the payload of a segment; `seq` is that of its first byte.
    ///
    /// [`Self::keep`] must follow before the next one is taken.
    pub fn take(
        &mut self,
        way: Direction,
        seq: u32,
        payload: &[u8],
        mode: Mode,
        memory: &mut Memory,
    ) -> Taken {
        let rules = self.rules(way, mode, memory);
        self.ways[way as usize].take(seq, payload, rules, memory)
    }

    /// Takes the payload of a SYN whose sequence number is `seq` (Fast Open).
    pub fn take_of_syn(
        &mut self,
        way: Direction,
        seq: u32,
        payload: &[u8],
        mode: Mode,
        memory: &mut Memory,
    ) -> Taken {
        let rules = self.rules(way, mode, memory);
        self.ways[way as usize].take_of_syn(seq.wrapping_add(1), payload, rules, memory)
    }

    /// What is in order and was not consumed. `payload` is that of the segment taken last in this direction, empty
    /// where it is kept already.
    #[must_use]
    pub fn ready<'a>(&'a self, way: Direction, payload: &'a [u8]) -> &'a [u8] {
        self.ways[way as usize].ready(payload)
    }

    /// What came in order since this was asked last, whoever reads it or skips it; `payload` as for [`Self::ready`]. Bytes that are
    /// gone, because nothing kept them, are not told.
    pub fn unshown<'a>(&'a mut self, way: Direction, payload: &'a [u8]) -> &'a [u8] {
        self.ways[way as usize].unshown(payload)
    }

    /// The first `len` bytes of [`Self::ready`] are done with; more than there are skips what comes.
    pub fn consume(&mut self, way: Direction, len: usize) {
        self.ways[way as usize].consume(len);
    }

    /// Whoever reads is done with `payload`, the one taken last: what is left of it is kept.
    ///
    /// `false`: there was no room for bytes that were not consumed, and they are gone.
    #[must_use = "bytes may be lost"]
    pub fn keep(&mut self, way: Direction, payload: &[u8], mode: Mode, memory: &mut Memory) -> bool {
        let rules = self.rules(way, mode, memory);
        self.ways[way as usize].keep(payload, rules, memory)
    }

    /// The receiver of `way` has acknowledged what lies before `ack`.
    pub fn acknowledged(&mut self, way: Direction, ack: u32, mode: Mode, memory: &mut Memory) -> Acked {
        let rules = self.rules(way, mode, memory);
        let ack = match &mut self.urgent {
            None => ack,
            Some(ways) => {
                let urgent = &mut ways[way as usize];
                let moved = urgent.moved(ack);
                urgent.acknowledged(ack);
                moved
            }
        };
        self.ways[way as usize].acknowledged(ack, rules, memory)
    }

    /// Whether the receiver has the bytes of the first hole, so that they will not come.
    #[must_use]
    pub fn hole_is_hopeless(&self, way: Direction) -> bool {
        self.ways[way as usize].hole_is_hopeless()
    }

    /// Gives up on the bytes of the first hole, which ends at `seq` (the segment for which there was no room) or
    /// before; what was ready and not consumed is gone too.
    pub fn give_up_hole(
        &mut self,
        way: Direction,
        seq: Option<u32>,
        mode: Mode,
        memory: &mut Memory,
    ) -> Lost {
        let rules = self.rules(way, mode, memory);
        self.ways[way as usize].give_up_hole(seq, rules, memory)
    }

    /// How long the direction is, up to the first hole; bytes of holes that were given up count.
    #[must_use]
    pub const fn depth(&self, way: Direction) -> u64 {
        self.ways[way as usize].passed()
    }

    /// Bytes of [`Memory`] that the flow holds.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.ways.iter().map(Stream::bytes_held).sum()
    }

    /// Gives all buffers back; what was known of both directions is forgotten.
    pub fn release(&mut self, memory: &mut Memory) {
        for way in &mut self.ways {
            way.release(memory);
        }
        self.urgent = None;
    }

    fn rules(&self, way: Direction, mode: Mode, memory: &Memory) -> Rules {
        let others = self.ways[way.opposite() as usize].bytes_held();
        Rules { mode, bytes_max: memory.flow_bytes_max().saturating_sub(others) }
    }
}
