//! Which datagrams are being put together, and how old are they?
//!
//! Slots in a slab, found by a chained hash, lined up by age: all have the same timeout, so that the oldest
//! is always the first to go.

use foldhash::fast::RandomState;
use std::hash::BuildHasher;

use super::DefragConfig;
use super::overlap::{OverlapPolicy, Span};
use super::piece::{self, HEADER_BYTES_MAX, Key, Piece};
use super::pool::{BLOCK_BYTES, CHUNK_BYTES, Chunk, NOBODY, Pool};
use crate::parse::Headers;
use crate::parse::checksum::Sum;
use crate::time::Tick;
use crate::verdict::{Reason, ReasonClass};

const CHUNKS_PER_DATAGRAM: usize = 65_536 / CHUNK_BYTES;
/// End of a chain or of the line.
const NIL: u32 = u32::MAX;

/// A datagram in the making. Stale after release, expiry or refusal: then nothing answers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HoldId {
    index: u32,
    generation: u32,
}

impl HoldId {
    /// Below `datagrams_max`, unique among live holds: where the worker keeps this hold's frames.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Keep the frame with this hold.
    Held(HoldId),
    /// Keep the frame too: the datagram is whole. Judge it, let its frames leave, then release the hold.
    Complete {
        /// Answers [`Defrag::datagram`] until it is released.
        hold: HoldId,
    },
    /// The frame goes under `reason` (a reason of class capacity: under the exception policy).
    Refused {
        /// Why.
        reason: Reason,
        /// Frames held so far go the same way, and the hold with them: no release is due. Later fragments
        /// of the datagram are refused for the same reason until the timeout.
        hold: Option<HoldId>,
    },
}

/// How much of a datagram is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Frames held, duplicates included: at most `fragments_per_datagram_max`.
    pub fragments: usize,
    /// Which of them, counted from 0 as they were offered, begins the datagram: what a refusal answers.
    pub first: Option<usize>,
    /// Those of them that brought no new byte.
    pub duplicates: usize,
    /// Bytes of data there, blocks counted whole.
    pub bytes: usize,
    /// Whether it is complete and waits for release.
    pub complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Holding,
    Complete,
    Condemned(Reason),
}

#[derive(Debug, Clone)]
struct Slot {
    key: Option<Key>,
    state: State,
    generation: u32,
    started: Tick,
    /// Next in the hash chain.
    chain: u32,
    older: u32,
    newer: u32,
    fragments: u8,
    duplicates: u8,
    blocks: u16,
    /// Where the datagram ends, once its last fragment is there.
    total: Option<u16>,
    /// Highest end of any fragment.
    reached: u16,
    /// Headers of the first fragment.
    first: Option<Headers>,
    /// Number of the first fragment, as they came.
    first_number: u8,
    header_bytes: u16,
    protocol_at: u8,
    protocol: u8,
    header: [u8; HEADER_BYTES_MAX],
    chunks: [Chunk; CHUNKS_PER_DATAGRAM],
}

impl Slot {
    const FREE: Self = Self {
        key: None,
        state: State::Free,
        generation: 0,
        started: Tick(0),
        chain: NIL,
        older: NIL,
        newer: NIL,
        fragments: 0,
        duplicates: 0,
        blocks: 0,
        total: None,
        reached: 0,
        first: None,
        first_number: 0,
        header_bytes: 0,
        protocol_at: 0,
        protocol: 0,
        header: [0; HEADER_BYTES_MAX],
        chunks: [Chunk::NONE; CHUNKS_PER_DATAGRAM],
    };

    fn is_filled(&self) -> bool {
        self.total.is_some_and(|total| usize::from(self.blocks) == usize::from(total).div_ceil(BLOCK_BYTES))
    }
}

/// Reassembly of one worker.
///
/// Per fragment: [`offer`](Self::offer). After [`Offer::Complete`]: [`datagram`](Self::datagram), then
/// [`release`](Self::release). Once a batch: [`expire`](Self::expire). At the end:
/// [`drain`](Self::drain).
#[derive(Debug)]
pub struct Defrag {
    config: DefragConfig,
    timeout_ns: u64,
    hasher: RandomState,
    slots: Vec<Slot>,
    /// `fragments_per_datagram_max` for each slot: where its fragments lay, in order of arrival.
    spans: Vec<Span>,
    free: Vec<u32>,
    buckets: Vec<u32>,
    oldest: u32,
    newest: u32,
    pool: Pool,
    /// Frames that the worker holds for all slots together.
    fragments: usize,
    linear: Vec<u8>,
}

impl Defrag {
    /// Allocates all memory that it will ever use.
    #[must_use]
    pub fn new(config: DefragConfig) -> Self {
        let config = DefragConfig {
            fragments_per_datagram_max: config.fragments_per_datagram_max.min(usize::from(u8::MAX)),
            datagrams_max: config.datagrams_max.min(NIL as usize),
            ..config
        };
        let datagrams = config.datagrams_max;
        Self {
            config,
            timeout_ns: config.timeout_ms.saturating_mul(Tick::MS),
            hasher: RandomState::default(),
            slots: vec![Slot::FREE; datagrams],
            spans: vec![Span::default(); datagrams * config.fragments_per_datagram_max],
            free: (0..datagrams as u32).rev().collect(),
            buckets: vec![NIL; (datagrams * 2).next_power_of_two()],
            oldest: NIL,
            newest: NIL,
            pool: Pool::new(config.bytes_max),
            fragments: 0,
            linear: vec![0; HEADER_BYTES_MAX + CHUNKS_PER_DATAGRAM * CHUNK_BYTES],
        }
    }

    /// Takes one fragment, `headers.fragment` being set. What is none is refused as `FragmentLength`.
    ///
    /// Reasons of class malformed condemn the datagram under [`OverlapPolicy::Refuse`]; under the other
    /// policies, which imitate receivers, they concern this fragment only. Reasons of class capacity
    /// (`FragmentMemory`, `FragmentTooMany`) condemn it always. With no slot left nothing is remembered.
    pub fn offer(&mut self, now: Tick, bytes: &[u8], headers: &Headers) -> Offer {
        let Some(key) = Key::of(bytes, headers) else {
            return Offer::Refused { reason: Reason::FragmentLength, hold: None };
        };
        let piece = Piece::of(bytes, headers);
        if let Ok(piece) = &piece
            && piece.is_atomic()
        {
            return match self.start(now, None) {
                Some(index) => self.add(index, piece, headers),
                None => Offer::Refused { reason: Reason::FragmentMemory, hold: None },
            };
        }
        let found = self.find_live(now, &key);
        if let Some(index) = found
            && let State::Condemned(reason) = self.slots[index as usize].state
        {
            return Offer::Refused { reason, hold: None };
        }
        let lasting = piece.is_ok() || self.config.policy == OverlapPolicy::Refuse;
        let index = match found {
            Some(index) => Some(index),
            None if lasting => self.start(now, Some(key)),
            None => None,
        };
        match (piece, index) {
            (Ok(piece), Some(index)) => self.add(index, &piece, headers),
            (Ok(_), None) => Offer::Refused { reason: Reason::FragmentMemory, hold: None },
            (Err(reason), Some(index)) => self.refuse(index, reason),
            (Err(reason), None) => Offer::Refused { reason, hold: None },
        }
    }

    /// The completed datagram of `hold`, from its network header on, as if it had never been fragmented,
    /// and the headers of its first fragment (for link layer, VLAN and tunnel; their offsets are those of
    /// that fragment's frame). `None` where the hold is stale or not complete.
    pub fn datagram(&mut self, hold: HoldId) -> Option<(&[u8], Headers)> {
        self.live(hold).filter(|slot| slot.state == State::Complete)?;
        let slot = &self.slots[hold.index()];
        let (first, total) = (slot.first?, usize::from(slot.total?));
        let header_bytes = usize::from(slot.header_bytes);
        let (header, data) = self.linear.split_at_mut(header_bytes);
        header.copy_from_slice(&slot.header[..header_bytes]);
        for (target, chunk) in data[..total].chunks_mut(CHUNK_BYTES).zip(slot.chunks) {
            let length = target.len();
            target.copy_from_slice(&self.pool.bytes(chunk)[..length]);
        }
        header[usize::from(slot.protocol_at)] = slot.protocol;
        unfragment(header, total);
        Some((&self.linear[..header_bytes + total], first))
    }

    /// What is held under `hold`; `None` where it is stale or condemned.
    #[must_use]
    pub fn holding(&self, hold: HoldId) -> Option<Holding> {
        let slot = self.live(hold)?;
        Some(Holding {
            fragments: usize::from(slot.fragments),
            first: slot.first.is_some().then_some(usize::from(slot.first_number)),
            duplicates: usize::from(slot.duplicates),
            bytes: usize::from(slot.blocks) * BLOCK_BYTES,
            complete: slot.state == State::Complete,
        })
    }

    /// Forgets a datagram whose frames have left. A stale or condemned hold changes nothing.
    pub fn release(&mut self, hold: HoldId) {
        if self.live(hold).is_some() {
            self.free_slot(hold.index);
        }
    }

    /// Gives up every datagram whose first fragment is older than the timeout: `sink` drops the held frames
    /// as `FragmentTimeout`. Condemned ones, whose frames are gone, are forgotten silently.
    pub fn expire(&mut self, now: Tick, sink: impl FnMut(HoldId)) {
        self.sweep(sink, |started, timeout_ns| now.ns_since(started) >= timeout_ns);
    }

    /// Gives up every datagram, however young: the worker stops, or the capture file ends.
    pub fn drain(&mut self, sink: impl FnMut(HoldId)) {
        self.sweep(sink, |_, _| true);
    }

    /// Datagrams in the making and condemned ones that are still remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether nothing is held and nothing remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frames held for all datagrams together.
    #[must_use]
    pub const fn fragments_held(&self) -> usize {
        self.fragments
    }

    /// Bytes of fragment memory that are free.
    #[must_use]
    pub fn bytes_free(&self) -> usize {
        self.pool.free_chunks() * CHUNK_BYTES
    }

    /// The limits in force.
    #[must_use]
    pub const fn config(&self) -> &DefragConfig {
        &self.config
    }

    fn live(&self, hold: HoldId) -> Option<&Slot> {
        let slot = self.slots.get(hold.index())?;
        let live =
            slot.generation == hold.generation && matches!(slot.state, State::Holding | State::Complete);
        live.then_some(slot)
    }

    fn hold_of(&self, index: u32) -> HoldId {
        HoldId { index, generation: self.slots[index as usize].generation }
    }

    fn add(&mut self, index: u32, piece: &Piece<'_>, headers: &Headers) -> Offer {
        match self.place(index, piece, headers) {
            Err(reason) => self.refuse(index, reason),
            Ok(()) => {
                let slot = &mut self.slots[index as usize];
                let completed = slot.state == State::Holding && slot.is_filled();
                let header = &slot.header[..usize::from(slot.header_bytes)];
                if completed && piece::is_too_large(header, usize::from(slot.total.unwrap_or(0))) {
                    // The first fragment's options were longer than those of the fragment at the end.
                    return self.condemn(index, Reason::FragmentTooLarge, false);
                }
                if completed {
                    slot.state = State::Complete;
                    return Offer::Complete { hold: self.hold_of(index) };
                }
                Offer::Held(self.hold_of(index))
            }
        }
    }

    /// Writes the piece to its place, after every check that can refuse it.
    fn place(&mut self, index: u32, piece: &Piece<'_>, headers: &Headers) -> Result<(), Reason> {
        let slot = &mut self.slots[index as usize];
        let Span { start, end } = piece.span;
        if usize::from(slot.fragments) >= self.config.fragments_per_datagram_max {
            return Err(Reason::FragmentTooMany);
        }
        if self.fragments >= self.config.fragments_max {
            return Err(Reason::FragmentMemory);
        }
        let agrees = match (slot.total, piece.more) {
            (Some(total), true) => end <= total,
            (Some(total), false) => end == total,
            (None, true) => true,
            (None, false) => slot.reached <= end,
        };
        if !agrees {
            return Err(Reason::FragmentEnd);
        }
        let (from, to) = (usize::from(start), usize::from(end));
        for chunk in &mut slot.chunks[from / CHUNK_BYTES..to.div_ceil(CHUNK_BYTES)] {
            if *chunk == Chunk::NONE {
                *chunk = self.pool.take().ok_or(Reason::FragmentMemory)?;
            }
        }

        let spans_at = index as usize * self.config.fragments_per_datagram_max;
        let spans = &mut self.spans[spans_at..spans_at + self.config.fragments_per_datagram_max];
        spans[usize::from(slot.fragments)] = piece.span;
        let writer = Writer { policy: self.config.policy, owner: slot.fragments + 1, spans };
        let (mut at, mut data, mut filled) = (from, piece.data, 0);
        while !data.is_empty() {
            let within = at % CHUNK_BYTES;
            let (now, later) = data.split_at(data.len().min(CHUNK_BYTES - within));
            let (bytes, owners) = self.pool.parts(slot.chunks[at / CHUNK_BYTES]);
            filled += writer.write(&mut bytes[within..], &mut owners[within / BLOCK_BYTES..], now)?;
            at += now.len();
            data = later;
        }

        self.fragments += 1;
        slot.fragments += 1;
        slot.duplicates += u8::from(filled == 0);
        slot.blocks += filled;
        slot.reached = slot.reached.max(end);
        if !piece.more {
            slot.total = Some(end);
        }
        if start == 0 && self.pool.parts(slot.chunks[0]).1[0] == slot.fragments {
            slot.header[..piece.header.len()].copy_from_slice(piece.header);
            slot.header_bytes = piece.header.len() as u16;
            slot.protocol_at = piece.protocol_at;
            slot.protocol = piece.protocol;
            slot.first = Some(*headers);
            slot.first_number = slot.fragments - 1;
        }
        Ok(())
    }

    /// Refuses a fragment of the datagram at `index`, and the datagram where the policy wants it.
    fn refuse(&mut self, index: u32, reason: Reason) -> Offer {
        let is_capacity = reason.class() == ReasonClass::Capacity;
        if is_capacity || self.config.policy == OverlapPolicy::Refuse {
            return self.condemn(index, reason, true);
        }
        if self.slots[index as usize].fragments == 0 {
            self.free_slot(index);
        }
        Offer::Refused { reason, hold: None }
    }

    /// Remembers the datagram as refused; its memory is free at once. `current_is_apart` says that the
    /// current fragment is not among those counted, so that a hold without others is none.
    fn condemn(&mut self, index: u32, reason: Reason, current_is_apart: bool) -> Offer {
        let hold = self.hold_of(index);
        let slot = &mut self.slots[index as usize];
        let held = usize::from(slot.fragments) > usize::from(!current_is_apart);
        self.fragments -= usize::from(std::mem::take(&mut slot.fragments));
        slot.state = State::Condemned(reason);
        slot.first = None;
        slot.chunks.iter_mut().for_each(|chunk| self.pool.give(chunk));
        if slot.key.is_none() {
            self.free_slot(index);
        }
        Offer::Refused { reason, hold: held.then_some(hold) }
    }

    fn bucket_of(&self, key: &Key) -> usize {
        self.hasher.hash_one(key) as usize & (self.buckets.len() - 1)
    }

    /// The slot of `key`; a condemned one that is past its time is forgotten here.
    fn find_live(&mut self, now: Tick, key: &Key) -> Option<u32> {
        let mut index = self.buckets[self.bucket_of(key)];
        while index != NIL {
            let slot = &self.slots[index as usize];
            if slot.key.as_ref() == Some(key) {
                let is_over = now.ns_since(slot.started) >= self.timeout_ns;
                if is_over && matches!(slot.state, State::Condemned(_)) {
                    self.free_slot(index);
                    return None;
                }
                return Some(index);
            }
            index = slot.chain;
        }
        None
    }

    /// Takes a slot, the newest of all; without a key it can not be found again.
    fn start(&mut self, now: Tick, key: Option<Key>) -> Option<u32> {
        let index = self.free.pop()?;
        let chain = match &key {
            Some(key) => {
                let bucket = self.bucket_of(key);
                std::mem::replace(&mut self.buckets[bucket], index)
            }
            None => NIL,
        };
        let older = std::mem::replace(&mut self.newest, index);
        match older {
            NIL => self.oldest = index,
            older => self.slots[older as usize].newer = index,
        }
        let slot = &mut self.slots[index as usize];
        slot.key = key;
        slot.state = State::Holding;
        slot.started = now;
        slot.chain = chain;
        (slot.older, slot.newer) = (older, NIL);
        (slot.fragments, slot.duplicates, slot.blocks, slot.reached) = (0, 0, 0, 0);
        (slot.total, slot.first, slot.header_bytes) = (None, None, 0);
        Some(index)
    }

    fn free_slot(&mut self, index: u32) {
        if let Some(key) = self.slots[index as usize].key {
            let bucket = self.bucket_of(&key);
            let chain = self.slots[index as usize].chain;
            if self.buckets[bucket] == index {
                self.buckets[bucket] = chain;
            } else {
                let mut before = self.buckets[bucket];
                while self.slots[before as usize].chain != index {
                    before = self.slots[before as usize].chain;
                }
                self.slots[before as usize].chain = chain;
            }
        }
        let slot = &mut self.slots[index as usize];
        slot.chunks.iter_mut().for_each(|chunk| self.pool.give(chunk));
        self.fragments -= usize::from(std::mem::take(&mut slot.fragments));
        slot.state = State::Free;
        slot.key = None;
        slot.generation = slot.generation.wrapping_add(1);
        let (older, newer) = (slot.older, slot.newer);
        match older {
            NIL => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NIL => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
        self.free.push(index);
    }

    fn sweep(&mut self, mut sink: impl FnMut(HoldId), is_over: impl Fn(Tick, u64) -> bool) {
        while self.oldest != NIL {
            let index = self.oldest;
            let slot = &self.slots[index as usize];
            if !is_over(slot.started, self.timeout_ns) {
                break;
            }
            match slot.state {
                State::Holding | State::Complete => sink(self.hold_of(index)),
                State::Condemned(_) | State::Free => {}
            }
            self.free_slot(index);
        }
    }
}

/// Writes one fragment into chunks, block by block where another was there before.
struct Writer<'a> {
    policy: OverlapPolicy,
    /// Number of this fragment, counted from 1.
    owner: u8,
    /// Of the fragments, in order of arrival, this one included.
    spans: &'a [Span],
}

impl Writer<'_> {
    /// Returns how many blocks were filled that nobody had filled before.
    fn write(&self, bytes: &mut [u8], owners: &mut [u8], data: &[u8]) -> Result<u16, Reason> {
        let owners = &mut owners[..data.len().div_ceil(BLOCK_BYTES)];
        if owners.iter().all(|owner| *owner == NOBODY) {
            bytes[..data.len()].copy_from_slice(data);
            owners.fill(self.owner);
            return Ok(owners.len() as u16);
        }
        let mut filled = 0;
        for ((target, owner), block) in
            bytes.chunks_mut(BLOCK_BYTES).zip(owners).zip(data.chunks(BLOCK_BYTES))
        {
            let target = &mut target[..block.len()];
            match *owner {
                NOBODY => filled += 1,
                _ if self.policy == OverlapPolicy::Refuse => {
                    if target != block {
                        return Err(Reason::FragmentOverlap);
                    }
                    continue;
                }
                old if self.policy.replaces(self.span_of(old), self.span_of(self.owner)) => {}
                _ => continue,
            }
            target.copy_from_slice(block);
            *owner = self.owner;
        }
        Ok(filled)
    }

    fn span_of(&self, owner: u8) -> Span {
        self.spans[usize::from(owner) - 1]
    }
}

/// Makes `header` that of a whole datagram with `data_bytes` behind it.
fn unfragment(header: &mut [u8], data_bytes: usize) {
    if header[0] >> 4 == 4 {
        let total = (header.len() + data_bytes) as u16;
        header[2..4].copy_from_slice(&total.to_be_bytes());
        // "Don't fragment" stays, "more fragments" and the offset go.
        header[6] &= 0x40;
        header[7] = 0;
        header[10..12].fill(0);
        let sum = Sum::default().add_bytes(header).checksum();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        let payload = (header.len() - 40 + data_bytes) as u16;
        header[4..6].copy_from_slice(&payload.to_be_bytes());
    }
}
