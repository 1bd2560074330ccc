//! Which flow is this packet of, and which flows are over?
//!
//! One table per worker: an index of tags, a slab of [`Flow`]s, eviction lists and a timer wheel threaded
//! through the slab. All memory is reserved at construction and nothing grows after; pages of the slab
//! cost resident memory from the first flow that uses them.
//!
//! A batch goes through in three steps so that cache misses overlap: [`FlowTable::prefetch`] for every key,
//! [`FlowTable::locate`] for every key, then [`FlowTable::find_or_start`] and the rest packet by packet.
//! A [`FlowId`] holds until the next call that may end a flow; judge and commit one packet before the next
//! one.

use super::account::{Account, Books};
use super::config::{EvictionClass, FlowConfig, TimeoutKind, TimeoutsNs};
use super::entry::{Cold, Flow, Links, NO_SLOT, Owner, Place};
use super::hash::KeyHasher;
use super::index::Index;
use super::list::ClassLists;
use super::stats::{FlowStats, ProtocolClass};
use super::tcp::{TcpOutcome, TcpState, TcpStep};
use super::wheel::Wheel;
use super::{Decision, Direction, EndReason, FlowKey, FlowRecord, FlowState};
use crate::parse::{Addr, Headers, Mac, Protocol, Transport};
use crate::time::{Now, Tick, Wall};

/// Flows of one class looked at before the next class is asked, so an insertion is bounded.
const EVICTION_CANDIDATES_MAX: usize = 16;

/// An embryonic flow with this many packets (a one-way stream) is passed over while it is active.
const STREAM_PACKETS: u64 = 4;

/// A live flow of this table; holds until the next call that may end a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowId(pub(super) u32);

impl FlowId {
    pub(super) const fn slot(self) -> usize {
        self.0 as usize
    }
}

/// Where a key may be, from [`FlowTable::locate`].
#[derive(Debug, Clone, Copy)]
pub struct Located {
    hash: u64,
    pub(super) candidate: u32,
}

impl Located {
    /// Of a key whose bucket is still on its way from memory.
    #[inline]
    #[must_use]
    pub const fn unseen(hash: u64) -> Self {
        Self { hash, candidate: NO_SLOT }
    }

    /// The key's hash.
    #[inline]
    #[must_use]
    pub const fn hash(self) -> u64 {
        self.hash
    }
}

/// The flow of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Names the flow.
    pub id: FlowId,
    /// Which way the packet goes.
    pub direction: Direction,
    /// Whether this packet started it.
    pub started: bool,
    /// Whether it was found by its second key: a packet between initiator and redirect target.
    pub via_alias: bool,
}

/// No slot for a new flow: counted in [`FlowStats`] and by the caller as `Reason::FlowTableFull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the flow table is full and nothing may be evicted")]
pub struct Full;

/// Why a flow could not be given a second key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// No slot for it.
    #[error("the flow table is full and nothing may be evicted")]
    Full,
    /// A live flow has that key already.
    #[error("another flow has the addresses and ports of the redirected one")]
    Taken,
    /// The flow has a second key already, another one.
    #[error("the flow is redirected already")]
    Redirected,
}

/// A judged packet: commit it by [`FlowTable::advance`] when it is sent on, by [`FlowTable::refuse`] when not.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A TCP segment.
    Tcp(TcpStep),
    /// An SCTP packet with the type of its first chunk.
    Sctp(u8),
    /// Anything else.
    Datagram,
}

impl Step {
    /// What the state machine thinks of the packet; always [`TcpOutcome::Ok`] but for TCP.
    #[inline]
    #[must_use]
    pub const fn outcome(&self) -> TcpOutcome {
        match self {
            Self::Tcp(step) => step.outcome,
            Self::Sctp(_) | Self::Datagram => TcpOutcome::Ok,
        }
    }
}

/// What one call of [`FlowTable::expire`] or [`FlowTable::drain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Flows ended.
    pub ended: usize,
    /// Whether the budget ran out before the work.
    pub more: bool,
}

/// The flow table of one worker.
#[derive(Debug)]
pub struct FlowTable {
    config: FlowConfig,
    pub(super) timeouts: TimeoutsNs,
    evictable_idle_ns: u64,
    hasher: KeyHasher,
    index: Index,
    pub(super) flows: Vec<Flow>,
    pub(super) cold: Vec<Cold>,
    /// First of the free slots, chained by `class_links.next`.
    free: u32,
    lists: ClassLists,
    wheel: Wheel,
    stats: FlowStats,
    next_flow_id: u64,
    pub(super) books: Books,
}

impl FlowTable {
    /// Reserves the table. `seed` is secret and random (fixed in replay); `worker` goes into the top byte of
    /// flow ids.
    #[must_use]
    pub fn new(mut config: FlowConfig, seed: u64, worker: u8) -> Self {
        config.capacity = config.capacity.clamp(1, (1 << 31) - 1);
        let capacity = config.capacity as usize;
        let flows = Vec::with_capacity(capacity);
        let cold = Vec::with_capacity(capacity);
        xsk::prefetch::huge_pages(&flows);
        xsk::prefetch::huge_pages(&cold);
        Self {
            timeouts: TimeoutsNs::of(&config.timeouts),
            evictable_idle_ns: u64::from(config.evictable_idle_s) * Tick::SECOND,
            hasher: KeyHasher::new(seed),
            index: Index::new(config.capacity),
            flows,
            cold,
            free: NO_SLOT,
            lists: ClassLists::new(),
            wheel: Wheel::new(),
            stats: FlowStats { capacity: u64::from(config.capacity), ..FlowStats::default() },
            next_flow_id: u64::from(worker) << 56 | 1,
            books: Books::default(),
            config,
        }
    }

    /// What it was built with.
    #[must_use]
    pub const fn config(&self) -> &FlowConfig {
        &self.config
    }

    /// What became of its flows.
    #[must_use]
    pub const fn stats(&self) -> &FlowStats {
        &self.stats
    }

    /// Live flows, aliases not counted.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.stats.active as usize
    }

    /// Whether there is no flow.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.stats.active == 0
    }

    /// The keyed hash of `key`, for [`Self::prefetch`] and [`Self::locate`].
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.hasher.hash(key)
    }

    /// First step of a batch: asks for the bucket.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Second step of a batch: reads the bucket's tags and asks for the flow's lines, that of TCP where `is_tcp`.
    #[inline]
    #[must_use]
    pub fn locate(&self, hash: u64, is_tcp: bool) -> Located {
        let candidate = self.index.candidate(hash);
        if let Some(flow) = self.flows.get(candidate as usize) {
            xsk::prefetch::read(&flow.key);
            xsk::prefetch::read(flow.second_line());
            if is_tcp {
                xsk::prefetch::read(&flow.tcp);
            }
        }
        Located { hash, candidate }
    }

    /// All steps at once, for a key that comes alone.
    fn look(&self, key: &FlowKey) -> Located {
        self.locate(self.hash(key), key.protocol() == Protocol::TCP)
    }

    /// The flow of `key`, or a new one; evicts by [`super::EvictionOrder`] where there is no room.
    ///
    /// `headers` and `in_port` are those of the packet, `src_is_lo` comes with its key. A flow whose timeout
    /// has passed, or that is closed and meets a new SYN, ends here and a new one starts. Records of
    /// flows that end go to `sink`. The packet is not counted yet: see [`Self::count`].
    ///
    /// A new TCP flow that starts with SYN/ACK, or mid-stream from a port below 1024 that is the lower one, has
    /// the receiver as its initiator.
    ///
    /// # Errors
    ///
    /// [`Full`] when no slot is free and nobody may be evicted.
    #[expect(clippy::too_many_arguments, reason = "what the engine holds per packet, in the order it got it")]
    pub fn find_or_start(
        &mut self,
        located: Located,
        key: &FlowKey,
        src_is_lo: bool,
        headers: &Headers,
        in_port: u8,
        now: Now,
        sink: &mut impl FnMut(FlowRecord),
    ) -> Result<Found, Full> {
        if let Some(found) = self.find_at(located, key, src_is_lo) {
            match self.is_over(found.id.0, headers, now.tick) {
                None => return Ok(found),
                Some(reason) => self.end(found.id, reason, now, sink),
            }
        }
        self.start(located.hash, key, src_is_lo, headers, in_port, now, sink)
    }

    /// Policy has decided a flow.
    pub fn note_decided(&mut self, id: FlowId, at: Tick) {
        let after = at.since(self.cold[id.slot()].start);
        self.flows[id.slot()].note_decided(after);
    }

    /// The live flow of `key`, for packets that must not start one (ICMP errors and their quoted key).
    #[inline]
    #[must_use]
    pub fn find(&self, key: &FlowKey, src_is_lo: bool) -> Option<Found> {
        self.find_at(self.look(key), key, src_is_lo)
    }

    /// As [`Self::find`], with a key already located.
    #[inline]
    #[must_use]
    pub fn find_at(&self, located: Located, key: &FlowKey, src_is_lo: bool) -> Option<Found> {
        let is_key =
            |slot: u32| self.flows.get(slot as usize).is_some_and(|flow| flow.is_live() && flow.key == *key);
        let slot = if is_key(located.candidate) {
            located.candidate
        } else {
            // Another flow with that tag, one beyond its home bucket, or none.
            self.index.find(located.hash, is_key)?
        };
        let entry = &self.flows[slot as usize];
        let direction = entry.direction_of(src_is_lo);
        let via_alias = entry.place == Place::Alias;
        let slot = if via_alias { self.cold[slot as usize].partner } else { slot };
        Some(Found { id: FlowId(slot), direction, started: false, via_alias })
    }

    /// The flow.
    #[inline]
    #[must_use]
    pub fn flow(&self, id: FlowId) -> &Flow {
        &self.flows[id.0 as usize]
    }

    /// The flow, for its decision, application and dropped counter.
    #[inline]
    #[must_use]
    pub fn flow_mut(&mut self, id: FlowId) -> &mut Flow {
        &mut self.flows[id.0 as usize]
    }

    /// Unique per daemon run.
    #[must_use]
    pub fn flow_id(&self, id: FlowId) -> u64 {
        self.cold[id.0 as usize].flow_id
    }

    /// Whole seconds from its first packet to its last.
    #[must_use]
    pub fn age_s(&self, id: FlowId) -> u64 {
        self.flow(id).last().since(self.cold[id.0 as usize].start).as_secs()
    }

    /// Ethernet addresses of the initiator and the responder, from the first packet.
    #[must_use]
    pub fn macs(&self, id: FlowId) -> (Mac, Mac) {
        let cold = &self.cold[id.0 as usize];
        (cold.src_mac, cold.dst_mac)
    }

    /// Whose it is, as its records tell.
    #[must_use]
    pub fn owner(&self, id: FlowId) -> Option<Owner> {
        self.cold[id.0 as usize].owner
    }

    /// The same, from now on.
    pub fn set_owner(&mut self, id: FlowId, owner: Owner) {
        self.cold[id.0 as usize].owner = Some(owner);
    }

    /// Slots that were ever used: the bound of [`Self::flow_at`].
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.flows.len()
    }

    /// The live flow in a slot, for whoever walks the table.
    #[must_use]
    pub fn flow_at(&self, slot: usize) -> Option<FlowId> {
        self.flows.get(slot).is_some_and(Flow::is_flow).then_some(FlowId(slot as u32))
    }

    /// Counts a packet of `wire_len` bytes, sent on or not, and keeps the flow alive.
    #[inline]
    pub fn count(&mut self, id: FlowId, direction: Direction, wire_len: u32, headers: &Headers, now: Tick) {
        let flow = &mut self.flows[id.0 as usize];
        flow.count_packet(direction, wire_len, now);
        match headers.transport {
            Transport::Tcp(tcp) => {
                flow.note_flags(direction, tcp.flags);
                if flow.place == Place::Listed(EvictionClass::Established) {
                    self.protect(id.0);
                }
            }
            Transport::Icmp(icmp) => {
                let [to, back] = flow.packets();
                let first = match direction {
                    Direction::Forward => to == 1,
                    Direction::Reverse => back == 1,
                };
                if first {
                    self.cold[id.0 as usize].icmp[direction as usize] = (icmp.kind, icmp.code);
                }
            }
            Transport::None | Transport::Udp { .. } | Transport::Sctp { .. } => {}
        }
    }

    /// Judges a packet of the flow; changes nothing. Not for packets whose checksum is wrong.
    #[inline]
    #[must_use]
    pub fn judge(&self, id: FlowId, direction: Direction, headers: &Headers) -> Step {
        match headers.transport {
            Transport::Tcp(tcp) => {
                let payload_len = u32::from(headers.end.saturating_sub(headers.payload_offset));
                Step::Tcp(self.flows[id.0 as usize].tcp.judge(direction as usize, &tcp, payload_len))
            }
            Transport::Sctp { chunk, .. } => Step::Sctp(chunk),
            Transport::None | Transport::Udp { .. } | Transport::Icmp(_) => Step::Datagram,
        }
    }

    /// Commits a judged packet that is sent on.
    #[inline]
    pub fn advance(&mut self, id: FlowId, direction: Direction, step: Step, now: Tick) {
        let flow = &mut self.flows[id.0 as usize];
        match step {
            Step::Tcp(step) => {
                let before = (flow.tcp.state(), flow.tcp.is_two_way());
                match step.outcome {
                    TcpOutcome::Ok | TcpOutcome::Challenge => {}
                    TcpOutcome::Midstream | TcpOutcome::Oneway => self.stats.midstream += 1,
                    TcpOutcome::Violation(_) => {
                        flow.count_violation();
                        self.stats.violations += 1;
                    }
                }
                if before == (step.next.state(), step.next.is_two_way()) {
                    flow.tcp = step.next;
                } else {
                    let kind_before = flow.timeout_kind();
                    flow.tcp = step.next;
                    self.change_tcp_state(id.0, kind_before, now);
                }
            }
            Step::Sctp(chunk) => {
                // RFC 9260 3.2: ABORT and SHUTDOWN COMPLETE close an association, INIT opens one anew.
                let state = match (chunk, direction) {
                    (6 | 14, _) => FlowState::Closed,
                    (1, _) if flow.state == FlowState::Closed => FlowState::New,
                    (_, Direction::Reverse) if flow.state == FlowState::New => FlowState::Established,
                    (_, Direction::Forward | Direction::Reverse) => flow.state,
                };
                if state != flow.state {
                    let kind_before = flow.timeout_kind();
                    self.change_state(id.0, state);
                    self.rearm_if_shorter(id.0, kind_before, now);
                }
            }
            Step::Datagram => {
                if direction == Direction::Reverse && flow.state == FlowState::New {
                    let kind_before = flow.timeout_kind();
                    self.change_state(id.0, FlowState::Established);
                    self.rearm_if_shorter(id.0, kind_before, now);
                }
            }
        }
    }

    /// Notes a judged packet that is not sent on: a violation is counted, the state stays.
    pub fn refuse(&mut self, id: FlowId, step: Step) {
        if let TcpOutcome::Violation(_) = step.outcome() {
            self.flows[id.0 as usize].count_violation();
            self.stats.violations += 1;
        }
    }

    /// Judges and commits at once, for a packet whose verdict waits for nothing else: a violation is refused
    /// where `strict`, and the caller must drop it then; anything else must be sent on.
    ///
    /// The same as [`Self::judge`] with [`Self::advance`] or [`Self::refuse`], and cheaper on established TCP.
    #[inline]
    pub fn track(
        &mut self,
        id: FlowId,
        direction: Direction,
        headers: &Headers,
        strict: bool,
        now: Tick,
    ) -> TcpOutcome {
        if let Transport::Tcp(tcp) = &headers.transport {
            let payload_len = u32::from(headers.end.saturating_sub(headers.payload_offset));
            if self.flows[id.0 as usize].tcp.pass_established(direction as usize, tcp, payload_len) {
                return TcpOutcome::Ok;
            }
        }
        let step = self.judge(id, direction, headers);
        if strict && matches!(step.outcome(), TcpOutcome::Violation(_)) {
            self.refuse(id, step);
        } else {
            self.advance(id, direction, step, now);
        }
        step.outcome()
    }

    /// Gives a flow that is redirected to `target` a second key, under which replies of the target find it.
    ///
    /// The alias takes a slot of its own until the flow ends. The same target again changes nothing.
    ///
    /// # Errors
    ///
    /// See [`AliasError`]; the flow is unchanged then.
    pub fn redirect(
        &mut self,
        id: FlowId,
        target: (Addr, u16),
        now: Now,
        sink: &mut impl FnMut(FlowRecord),
    ) -> Result<(), AliasError> {
        let flow = &self.flows[id.0 as usize];
        let (key, initiator_is_lo) = flow.key.with_responder(flow.initiator(), target);
        if flow.has_alias() {
            let alias = self.cold[id.0 as usize].partner;
            let same = self.flows[alias as usize].key == key;
            return if same { Ok(()) } else { Err(AliasError::Redirected) };
        }
        let in_port = flow.in_port;
        let hash = self.hash(&key);
        if self.find_at(self.look(&key), &key, true).is_some() {
            return Err(AliasError::Taken);
        }
        let cold = Cold { partner: id.0, ..self.cold[id.0 as usize].clone() };
        let slot = self.free_slot(hash, id.0, now, sink).map_err(|Full| AliasError::Full)?;
        self.fill(slot, &key, initiator_is_lo, in_port, cold, now.tick);
        self.flows[slot as usize].place = Place::Alias;
        self.flows[id.0 as usize].set_alias();
        self.cold[id.0 as usize].partner = slot;
        self.stats.aliases += 1;
        Ok(())
    }

    /// Where a redirected flow goes.
    #[must_use]
    pub fn redirect_target(&self, id: FlowId) -> Option<(Addr, u16)> {
        self.flow(id).has_alias().then(|| self.flows[self.cold[id.0 as usize].partner as usize].responder())
    }

    /// Ends a flow.
    pub fn end(&mut self, id: FlowId, reason: EndReason, now: Now, sink: &mut impl FnMut(FlowRecord)) {
        self.settle(id);
        sink(self.record(id, Some(reason), now));
        let slot = id.0;
        let flow = &self.flows[slot as usize];
        self.stats.active -= 1;
        self.stats.active_by_state[flow.state as usize] -= 1;
        self.stats.active_by_protocol[ProtocolClass::of(flow.key.protocol()) as usize] -= 1;
        self.stats.ended[reason as usize] += 1;
        if flow.has_alias() {
            self.stats.aliases -= 1;
            let alias = self.cold[slot as usize].partner;
            self.release(alias);
        }
        if let Place::Listed(class) = self.flows[slot as usize].place {
            self.lists.remove(&mut self.flows, class, slot);
        }
        if self.flows[slot as usize].timer_links.prev != NO_SLOT {
            self.wheel.remove(&mut self.flows, slot);
        }
        self.release(slot);
    }

    /// Ends flows whose timeout has passed, looking at no more than `budget` of them.
    ///
    /// Call it once a batch. A flow that is not due yet but comes up counts against the budget too. After a leap of
    /// time call it until `more` is false, or let later batches do it: no packet ever meets a flow whose
    /// timeout has passed.
    pub fn expire(&mut self, now: Now, budget: usize, sink: &mut impl FnMut(FlowRecord)) -> Expired {
        let mut ended = 0;
        for _ in 0..budget {
            let Some(slot) = self.wheel.pop(&mut self.flows, now.tick) else {
                return Expired { ended, more: false };
            };
            if self.deadline(slot) <= now.tick {
                self.end(FlowId(slot), self.silent_end(slot), now, sink);
                ended += 1;
            } else {
                self.arm(slot, now.tick);
            }
        }
        Expired { ended, more: true }
    }

    /// Ends every flow, at most `budget` a call: the daemon stops or the capture file is over.
    pub fn drain(
        &mut self,
        reason: EndReason,
        budget: usize,
        now: Now,
        sink: &mut impl FnMut(FlowRecord),
    ) -> Expired {
        let mut ended = 0;
        for class in EvictionClass::ALL {
            loop {
                let oldest = self.lists.oldest(*class);
                if oldest == NO_SLOT {
                    break;
                }
                if ended == budget {
                    return Expired { ended, more: true };
                }
                self.end(FlowId(oldest), reason, now, sink);
                ended += 1;
            }
        }
        Expired { ended, more: false }
    }

    /// What is told about a flow; `end` is `None` while it lives.
    #[must_use]
    pub fn record(&self, id: FlowId, end: Option<EndReason>, now: Now) -> FlowRecord {
        let (flow, cold) = (&self.flows[id.0 as usize], &self.cold[id.0 as usize]);
        let decision = flow.decision();
        FlowRecord {
            flow_id: cold.flow_id,
            key: flow.key,
            initiator_is_lo: flow.initiator_is_lo(),
            in_port: flow.in_port,
            src_mac: cold.src_mac,
            dst_mac: cold.dst_mac,
            tunnel: cold.tunnel,
            start: Wall::at(cold.start, now),
            last: Wall::at(flow.last, now),
            packets: flow.packets(),
            bytes: flow.bytes(),
            tcp_flags: flow.tcp_flags(),
            tcp_state: flow.tcp.state() as u8,
            state: flow.state,
            midstream: flow.is_midstream(),
            violations: flow.violations(),
            icmp: cold.icmp,
            decision: Decision {
                policy_version: decision.policy_version,
                policy_index: decision.policy_index,
                user: cold.owner.map(|owner| owner.user),
                reason: flow.drop_reason(),
            },
            decided: flow
                .decided_after()
                .map(|after| Wall::at(cold.start.plus_ns(after.as_nanos() as u64), now)),
            shadow: self.fate(id),
            dropped: flow.dropped(),
            inspection: flow.inspection,
            end,
            aggregated: 0,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "see find_or_start")]
    fn start(
        &mut self,
        hash: u64,
        key: &FlowKey,
        src_is_lo: bool,
        headers: &Headers,
        in_port: u8,
        now: Now,
        sink: &mut impl FnMut(FlowRecord),
    ) -> Result<Found, Full> {
        let direction = first_direction(headers);
        let (initiator_is_lo, src_mac, dst_mac) = match direction {
            Direction::Forward => (src_is_lo, headers.src_mac, headers.dst_mac),
            Direction::Reverse => (!src_is_lo, headers.dst_mac, headers.src_mac),
        };
        let slot = self.free_slot(hash, NO_SLOT, now, sink)?;
        let cold = Cold {
            flow_id: self.next_flow_id,
            start: now.tick,
            partner: NO_SLOT,
            src_mac,
            dst_mac,
            icmp: [(0, 0); 2],
            tunnel: headers.tunnel,
            owner: None,
            account: Account::NEW,
        };
        self.next_flow_id += 1;
        self.fill(slot, key, initiator_is_lo, in_port, cold, now.tick);
        let flow = &mut self.flows[slot as usize];
        flow.place = Place::Listed(EvictionClass::Embryonic);
        if direction == Direction::Reverse {
            flow.set_started_by_responder();
        }
        self.lists.push(&mut self.flows, EvictionClass::Embryonic, slot);
        self.arm(slot, now.tick);
        self.stats.started += 1;
        self.stats.active += 1;
        self.stats.active_by_state[FlowState::New as usize] += 1;
        self.stats.active_by_protocol[ProtocolClass::of(key.protocol()) as usize] += 1;
        Ok(Found { id: FlowId(slot), direction, started: true, via_alias: false })
    }

    /// Finds a slot for a key, evicting where it must but never `keep`, and puts it into the index; to be filled at
    /// once.
    fn free_slot(
        &mut self,
        hash: u64,
        keep: u32,
        now: Now,
        sink: &mut impl FnMut(FlowRecord),
    ) -> Result<u32, Full> {
        let has_room = self.free != NO_SLOT || self.flows.len() < self.config.capacity as usize;
        if !has_room && !self.evict(keep, now, sink) {
            self.stats.full += 1;
            return Err(Full);
        }
        let slot = if self.free == NO_SLOT { self.flows.len() as u32 } else { self.free };
        if self.index.insert(hash, slot).is_err() {
            self.stats.index_full += 1;
            return Err(Full);
        }
        Ok(slot)
    }

    /// Writes a new entry into a slot that was found free.
    #[inline]
    fn fill(&mut self, slot: u32, key: &FlowKey, initiator_is_lo: bool, in_port: u8, cold: Cold, now: Tick) {
        match (self.flows.get_mut(slot as usize), self.cold.get_mut(slot as usize)) {
            (Some(flow), Some(old_cold)) => {
                self.free = flow.class_links.next;
                *flow = Flow::new(*key, initiator_is_lo, in_port, now);
                flow.tcp.set_may_miss(self.config.may_miss);
                *old_cold = cold;
            }
            _ => {
                // Within the capacity reserved by `new`: this never moves the slab.
                let mut flow = Flow::new(*key, initiator_is_lo, in_port, now);
                flow.tcp.set_may_miss(self.config.may_miss);
                self.flows.push(flow);
                self.cold.push(cold);
            }
        }
    }

    fn release(&mut self, slot: u32) {
        let hash = self.hash(&self.flows[slot as usize].key);
        self.index.remove(hash, slot);
        let flow = &mut self.flows[slot as usize];
        flow.place = Place::Free;
        flow.class_links = Links { prev: NO_SLOT, next: self.free };
        self.free = slot;
    }

    /// Ends one flow by the configured order. At most [`EVICTION_CANDIDATES_MAX`] looks a class.
    fn evict(&mut self, keep: u32, now: Now, sink: &mut impl FnMut(FlowRecord)) -> bool {
        for class in self.config.eviction.classes() {
            for _ in 0..EVICTION_CANDIDATES_MAX {
                let oldest = self.lists.oldest(*class);
                let Some(flow) = self.flows.get(oldest as usize) else { break };
                let is_idle = now.tick.ns_since(flow.last) >= self.evictable_idle_ns;
                let spared = match class {
                    EvictionClass::Embryonic => {
                        let [to, back] = flow.packets();
                        !is_idle && to + back >= STREAM_PACKETS
                    }
                    EvictionClass::Closed => false,
                    EvictionClass::Established | EvictionClass::Protected => !is_idle,
                };
                if spared || oldest == keep {
                    self.lists.rotate(&mut self.flows, *class);
                } else {
                    self.stats.evicted[*class as usize] += 1;
                    self.end(FlowId(oldest), EndReason::Evicted, now, sink);
                    return true;
                }
            }
        }
        false
    }

    /// Whether this packet must not continue the flow in `slot`, and how that one ended.
    #[inline]
    fn is_over(&self, slot: u32, headers: &Headers, now: Tick) -> Option<EndReason> {
        let flow = &self.flows[slot as usize];
        if flow.tcp.state().is_over()
            && let Transport::Tcp(tcp) = headers.transport
            && tcp.flags.syn()
            && !tcp.flags.ack()
        {
            return Some(self.silent_end(slot));
        }
        // The wheel may be behind after a leap of time; a packet must not be fooled by that.
        if now.ns_since(flow.last) >= self.timeouts.shortest && self.deadline(slot) <= now {
            return Some(self.silent_end(slot));
        }
        None
    }

    fn deadline(&self, slot: u32) -> Tick {
        let flow = &self.flows[slot as usize];
        flow.last.plus_ns(self.timeouts.of_kind(flow.timeout_kind()))
    }

    /// How a flow ended that nobody ended.
    fn silent_end(&self, slot: u32) -> EndReason {
        let flow = &self.flows[slot as usize];
        match (flow.tcp.state(), flow.state) {
            (TcpState::Closed, _) => EndReason::Reset,
            (TcpState::TimeWait, _) | (_, FlowState::Closed) => EndReason::Closed,
            (_, FlowState::New | FlowState::Established) => EndReason::Timeout,
        }
    }

    /// Puts the flow on the wheel: at its deadline, or earlier where packets may bring that forward.
    fn arm(&mut self, slot: u32, now: Tick) {
        let mut deadline = self.deadline(slot);
        if self.flows[slot as usize].tcp.state() == TcpState::Established {
            // Data may come and not be acknowledged, and no packet touches the wheel.
            let check = now.plus_ns(self.timeouts.of_kind(TimeoutKind::TcpUnacknowledged));
            deadline = deadline.min(check);
        }
        self.wheel.insert(&mut self.flows, slot, deadline);
    }

    /// An established TCP flow that has carried enough is protected from eviction.
    #[inline]
    pub(super) fn protect(&mut self, slot: u32) {
        let flow = &self.flows[slot as usize];
        let enough = u64::from(self.config.protected_packets);
        if flow.tcp.state() == TcpState::Established
            && flow.packets().iter().all(|packets| *packets >= enough)
        {
            self.reclass(slot, EvictionClass::Protected);
        }
    }

    /// Follows a change of the TCP state: folded state, class, timer.
    fn change_tcp_state(&mut self, slot: u32, kind_before: TimeoutKind, now: Tick) {
        let tcp = &self.flows[slot as usize].tcp;
        let state = match tcp.state() {
            TcpState::Unopened | TcpState::SynSent | TcpState::SynSentBoth | TcpState::SynReceived => {
                FlowState::New
            }
            TcpState::Established
            | TcpState::FinWait
            | TcpState::CloseWait
            | TcpState::Closing
            | TcpState::LastAck => {
                if tcp.is_two_way() {
                    FlowState::Established
                } else {
                    FlowState::New
                }
            }
            TcpState::TimeWait | TcpState::Closed => FlowState::Closed,
        };
        self.change_state(slot, state);
        self.rearm_if_shorter(slot, kind_before, now);
    }

    /// The wheel follows longer timeouts lazily; a shorter one it must be told.
    fn rearm_if_shorter(&mut self, slot: u32, kind_before: TimeoutKind, now: Tick) {
        let kind = self.flows[slot as usize].timeout_kind();
        if self.timeouts.of_kind(kind) < self.timeouts.of_kind(kind_before) {
            self.wheel.remove(&mut self.flows, slot);
            self.arm(slot, now);
        }
    }

    fn change_state(&mut self, slot: u32, state: FlowState) {
        let flow = &mut self.flows[slot as usize];
        if flow.state == state {
            return;
        }
        self.stats.active_by_state[flow.state as usize] -= 1;
        self.stats.active_by_state[state as usize] += 1;
        flow.state = state;
        let class = match state {
            FlowState::New => EvictionClass::Embryonic,
            FlowState::Established => EvictionClass::Established,
            FlowState::Closed => EvictionClass::Closed,
        };
        self.reclass(slot, class);
    }

    fn reclass(&mut self, slot: u32, class: EvictionClass) {
        if let Place::Listed(old) = self.flows[slot as usize].place {
            self.lists.remove(&mut self.flows, old, slot);
            self.lists.push(&mut self.flows, class, slot);
            self.flows[slot as usize].place = Place::Listed(class);
        }
    }
}

/// Which way the first packet of a flow goes, as far as it tells.
fn first_direction(headers: &Headers) -> Direction {
    let Transport::Tcp(tcp) = headers.transport else { return Direction::Forward };
    let from_service = tcp.src_port < 1024 && tcp.src_port < tcp.dst_port;
    match (tcp.flags.syn(), tcp.flags.ack()) {
        (true, true) => Direction::Reverse,
        (true, false) => Direction::Forward,
        (false, _) if from_service => Direction::Reverse,
        (false, _) => Direction::Forward,
    }
}
