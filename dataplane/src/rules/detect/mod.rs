//! Which rules match, packet by packet, stream by stream, transaction by transaction? The state of one worker.
//!
//! ```text
//! parser ─► Telling::show ─► Telling::stage ─┐
//! TCP in order ─────────────► stream ────────┼─► Hit ─► the engine: verdict, alert
//! packet ───────────────────► packet ────────┘
//! ```
//!
//! Each way in finds candidates by their patterns, tries them whole in the order of the set, and changes at once what the flow
//! remembers, so that a later rule of the same packet sees it.

mod bounded;
mod file;
mod flow;
mod flow_facts;
mod frame;
mod matches;
mod packet;
mod rates;
mod shown;
mod stream;
mod succession;
mod thresholds;
#[cfg(test)]
mod tests;
mod transaction;
mod waiting;

pub(super) use file::asks_of_files;
pub use file::{FileSoFar, FileState};
pub use flow::{FlowAction, FlowCounts, FlowPlace, NO_STATE, RuledFlow};
pub use frame::{FrameSeen, Message};
pub use matches::Hit;
pub use packet::PacketFacts;
pub use shown::{FieldId, Shown, field};
pub(super) use succession::Succession;
pub use transaction::{BODY_BYTES_MAX, Gathered, Telling};

use std::sync::Arc;

use super::host_bits::HostBits;
use super::language::buffers::FILE_MAGIC;
use super::magic;
use super::matcher::{Replacement, Scratch};
use super::memory::{FlowMemory, Recalled};
use super::packet::decode::MetEvents;
use super::prefilter;
use super::rule::BufferId;
use super::set::{Kept, RuleSet};
use super::signature::Signature;
use crate::flow::Direction;
use crate::parse::Addr;
use crate::verdict::Verdict;
use flow::FlowState;
use matches::{Of, OfAlert, matched};
use rates::Rates;
use succession::Generation;
use thresholds::Thresholds;

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// What rules are asked about: between whom, when, and how far the flow is.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Initiator's address and port.
    pub initiator: (Addr, u16),
    /// Responder's address and port.
    pub responder: (Addr, u16),
    /// IANA protocol number.
    pub protocol: u8,
    /// Whether both ends have spoken.
    pub is_established: bool,
    /// What the flow spoke before it spoke something else.
    pub original: Option<&'static str>,
    /// Nanoseconds, as of the packet.
    pub at_ns: u64,
    /// How much the flow has had.
    pub counts: FlowCounts,
}

impl Moment {
    /// Source and destination of what goes `way`.
    fn ends(&self, way: Direction) -> ((Addr, u16), (Addr, u16)) {
        match way {
            Direction::Forward => (self.initiator, self.responder),
            Direction::Reverse => (self.responder, self.initiator),
        }
    }
}

/// What is kept beside single flows.
#[derive(Debug, Default)]
struct Ledger {
    /// Of this worker.
    thresholds: Thresholds,
    /// Of this worker.
    rates: Rates,
    /// Of all workers.
    hosts: HostBits,
    /// What is to be written into the packet that is looked at.
    replacements: Vec<Replacement>,
    /// Frames that matched: since hits were taken, and when they were.
    frames: [Vec<FrameSeen>; 2],
    /// What matches captured for their alerts: since hits were taken, and when they were.
    of_alerts: [Vec<OfAlert>; 2],
}

/// The rules of one worker, and what flows have of them.
#[derive(Debug, Default)]
pub struct Detector {
    set: Option<Arc<RuleSet>>,
    /// So that flows know whether theirs is the one in force.
    generation: Generation,
    flows: Vec<FlowState>,
    /// Of flows that have nothing of rules.
    nothing: FlowState,
    free: Vec<u32>,
    ledger: Ledger,
    shown: Shown,
    desk: Desk,
    /// What TCP met with this packet.
    met: MetEvents,
    hits: Vec<Hit>,
    /// Files of transactions that matched, until hits are taken, and of those that were taken: rule, transaction, file.
    files: [Vec<(u32, u32, FileSoFar)>; 2],
    /// What is known of transactions that rules matched: since hits were taken, and when they were.
    records: [Vec<TransactionRecord>; 2],
    /// Where matches of this worker are counted.
    lane: usize,
}

/// What was gathered since hits were taken becomes what was gathered when they were.
fn turn<T>([fresh, taken]: &mut [Vec<T>; 2]) {
    taken.clear();
    std::mem::swap(fresh, taken);
}

/// Number of a transaction, type of its record, and its fields.
type TransactionRecord = (u32, &'static str, Box<[u8]>);

/// Memory that is reused from rule to rule.
#[derive(Debug, Default)]
struct Desk {
    found: Vec<u32>,
    /// Rules that wait for more bytes of a body.
    waiting: Vec<u32>,
    /// Rules and on what they are tried.
    tried: Vec<(u32, u8)>,
    changed: Vec<u8>,
    search: prefilter::Scratch,
    tests: Scratch,
}

impl Detector {
    /// Shares what is remembered of addresses with other workers.
    pub fn share(&mut self, hosts: HostBits) {
        self.ledger.hosts = hosts;
    }

    /// Rules are these from now on. One comparison where they are the same ones.
    #[inline]
    pub fn follow(&mut self, set: Option<&Arc<RuleSet>>) {
        let is_same = match (&self.set, set) {
            (Some(own), Some(set)) => Arc::ptr_eq(own, set),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let before = self.set.take();
            self.set = set.filter(|set| !set.is_empty()).map(Arc::clone);
            self.generation.number = self.generation.number.wrapping_add(1);
            let both = before.as_deref().zip(self.set.as_deref());
            self.generation.succession = both.and_then(|(before, set)| set.succession_to(before));
            self.lane = self.set.as_ref().map_or(0, |set| set.tally().lane());
            if self.wants(FILE_MAGIC) {
                // Opened when the rules were read, too: what fails there is not loaded.
                let _known = magic::open();
            }
        }
    }

    /// Whether there are rules.
    #[must_use]
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.set.is_some()
    }

    /// Whether rules are asked about a flow; `is_midstream` of TCP that was seen from its middle.
    #[must_use]
    pub fn is_on_for(&self, is_midstream: bool) -> bool {
        self.set.as_ref().is_some_and(|set| !is_midstream || set.options().midstream)
    }

    /// Whether a rule asks for a buffer.
    #[must_use]
    pub fn wants(&self, buffer: BufferId) -> bool {
        self.set.as_ref().is_some_and(|set| set.wants(buffer))
    }

    /// Whether a rule asks how long flows have been there.
    #[must_use]
    pub fn wants_age(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.wants_age())
    }

    /// Whether a rule asks what decoding of packets met.
    #[must_use]
    pub fn wants_decoding(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.wants_decoding())
    }

    /// Which bytes an alert brings.
    #[must_use]
    pub fn keeps(&self) -> Kept {
        self.set.as_ref().map_or_else(Kept::default, |set| set.options().keeps)
    }

    /// Whether a rule asks what TCP met.
    #[must_use]
    pub fn wants_tracking(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.wants_tracking())
    }

    /// TCP met something with the packet that is looked at (`stream-event`, without `stream.`).
    pub fn meet(&mut self, event: &'static str) {
        if self.wants_tracking() {
            self.met.add(event);
        }
    }

    /// Whether rules look into the payload of TCP.
    #[must_use]
    pub fn wants_streams(&self) -> bool {
        self.set.as_ref().is_some_and(|set| {
            [Direction::Forward, Direction::Reverse].iter().any(|way| !set.of_stream(*way).is_empty())
        })
    }

    /// What matched since this was asked last, in the order of the set; from here on it is counted.
    pub fn take_hits(&mut self, at_ns: u64, to: &mut Vec<Hit>) {
        to.clear();
        turn(&mut self.files);
        turn(&mut self.records);
        turn(&mut self.ledger.of_alerts);
        turn(&mut self.ledger.frames);
        self.hits.sort_by_key(|hit| hit.rule);
        let Some(set) = &self.set else { return self.hits.clear() };
        to.extend(self.hits.drain(..).take(set.options().alerts_per_packet));
        for hit in to.iter() {
            set.tally().count(self.lane, hit.rule, at_ns);
        }
    }

    /// Whether tests ran out of their steps since this was asked last.
    #[inline]
    pub const fn take_spent(&mut self) -> bool {
        std::mem::replace(&mut self.desk.tests.is_spent, false)
    }

    /// Whether bytes of the packet are to be replaced that rules were asked about last.
    #[must_use]
    #[inline]
    pub const fn has_replacements(&self) -> bool {
        !self.ledger.replacements.is_empty()
    }

    /// Where in its payload, and by what.
    pub fn take_replacements(&mut self) -> Vec<Replacement> {
        std::mem::take(&mut self.ledger.replacements)
    }

    /// Takes the list back, which is used again.
    pub fn give_back_replacements(&mut self, list: Vec<Replacement>) {
        self.ledger.replacements = list;
    }

    /// Whether anything matched since hits were taken.
    #[must_use]
    #[inline]
    pub const fn has_hits(&self) -> bool {
        !self.hits.is_empty()
    }

    /// What matched since hits were taken is not to be told.
    pub fn forget_hits(&mut self) {
        self.hits.clear();
    }

    /// A rule of the set in force.
    #[must_use]
    pub fn signature(&self, hit: &Hit) -> Option<&Arc<Signature>> {
        self.set.as_ref()?.signatures().get(hit.rule as usize)
    }

    /// What was told of the transaction of a hit which was taken last: the type of its record, and its fields.
    #[must_use]
    pub fn record_of_hit(&self, hit: &Hit) -> Option<(&'static str, &[u8])> {
        let (.., name, fields) =
            self.records[1].iter().find(|(number, ..)| Some(*number) == hit.transaction)?;
        Some((*name, fields))
    }

    /// What rules remember of a flow, for the alert of a hit which was taken last; `None`: nothing.
    #[must_use]
    pub fn recall(&self, place: FlowPlace, hit: &Hit) -> Option<Box<Recalled>> {
        let names = self.set.as_ref()?.names();
        let memory = self.flows.get(place.0 as usize).map(|state| &state.memory);
        let is_of_hit =
            |(rule, transaction, _): &&OfAlert| *rule == hit.rule && *transaction == hit.transaction;
        let of_alert = || self.ledger.of_alerts[1].iter().filter(is_of_hit);
        if memory.is_none_or(FlowMemory::is_empty) && of_alert().next().is_none() {
            return None;
        }
        let recalled = memory.map_or_else(Recalled::default, |memory| memory.recall(names));
        Some(Box::new(Recalled { of_alert: of_alert().map(|(.., kept)| kept.clone()).collect(), ..recalled }))
    }

    /// The frame of a hit which was taken last.
    #[must_use]
    pub fn frame_of_hit(&self, hit: &Hit) -> Option<&FrameSeen> {
        self.ledger.frames[1].get(usize::from(hit.frame?))
    }

    /// The file that the transaction of a hit carried which was taken last.
    #[must_use]
    pub fn file_of_hit(&self, hit: &Hit) -> Option<&FileSoFar> {
        let is_meant = |(rule, transaction, _): &&(u32, u32, FileSoFar)| {
            *rule == hit.rule && Some(*transaction) == hit.transaction
        };
        self.files[1].iter().find(is_meant).map(|(.., file)| file)
    }

    /// What a flow has, which gets a place where it has none.
    fn state<'a>(
        flows: &'a mut Vec<FlowState>,
        free: &mut Vec<u32>,
        generation: &Generation,
        place: &mut FlowPlace,
    ) -> &'a mut FlowState {
        if place.0 == NO_STATE {
            place.0 = free.pop().unwrap_or_else(|| {
                flows.push(FlowState::default());
                (flows.len() - 1) as u32
            });
        }
        let state = &mut flows[place.0 as usize];
        state.follow(generation);
        state
    }

    /// No other rule is asked about a flow.
    pub fn pass(&mut self, place: &mut FlowPlace) {
        let Self { flows, free, generation, .. } = self;
        Self::state(flows, free, generation, place).is_passed = true;
    }

    /// A rule dropped a flow, which nobody acts on: what its streams brought until now is tried yet, and then nothing.
    pub fn let_end(&mut self, place: &mut FlowPlace) {
        let Self { flows, free, generation, .. } = self;
        Self::state(flows, free, generation, place).is_ending = true;
    }

    /// A match of a flow was told.
    pub fn note_alert(&mut self, place: FlowPlace) {
        if let Some(state) = self.flows.get_mut(place.0 as usize) {
            state.is_alerted = true;
        }
    }

    /// A rule ended a flow.
    pub fn end(&mut self, place: &mut FlowPlace, verdict: Verdict) {
        let Self { flows, free, generation, .. } = self;
        Self::state(flows, free, generation, place).ruled = Some(verdict);
    }

    /// What a rule made of a flow.
    #[must_use]
    pub fn ruled(&self, place: FlowPlace) -> Option<Verdict> {
        self.flows.get(place.0 as usize)?.ruled
    }

    /// What rules made of a flow, and whether one was told of it.
    #[must_use]
    pub fn outcome(&self, place: FlowPlace) -> RuledFlow {
        self.flows.get(place.0 as usize).map_or_else(RuledFlow::default, FlowState::outcome)
    }

    /// The end of what a direction brought in order, as far as rules look at it.
    #[must_use]
    pub fn stream_of(&self, place: FlowPlace, way: Direction) -> &[u8] {
        self.flows.get(place.0 as usize).map_or(&[], |state| state.streams[way as usize].bytes())
    }

    /// Whether a flow was passed.
    fn is_passed(&self, place: FlowPlace) -> bool {
        self.flows.get(place.0 as usize).is_some_and(|state| state.is_passed)
    }

    /// A flow is over.
    pub fn release(&mut self, place: &mut FlowPlace) {
        let Some(state) = self.flows.get_mut(place.0 as usize) else { return };
        state.clear();
        self.free.push(place.0);
        place.0 = NO_STATE;
    }
}
