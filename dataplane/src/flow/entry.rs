//! What does the table know about one flow, and where do its bytes lie?
//!
//! Three cache lines a flow: the key and what a lookup needs; counters and decision; TCP and links, which
//! datagrams do not touch. What only records need lies beside, in `Cold`.

use super::account::Account;
use super::coarse::Coarse;
use super::config::{EvictionClass, TimeoutKind};
use super::tcp::TcpTrack;
use super::{Direction, FlowKey, FlowState, TcpState, UserNumber};
use crate::parse::{Addr, Mac, Protocol, TcpFlags, Tunnel};
use crate::time::Tick;
use crate::verdict::{Effects, Reason, Verdict};
use std::time::Duration;

/// No slot: end of a list, empty place.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// What policy said about a flow, and under which versions; holds until either version moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedDecision {
    /// Version of the policy set; 0: never judged.
    pub policy_version: u32,
    /// Generation of the identity table.
    pub identity_generation: u32,
    /// Index of the policy in that set; `u32::MAX` where the default decided.
    pub policy_index: u32,
    /// What becomes of its packets.
    pub verdict: Verdict,
    /// What happens besides.
    pub effects: Effects,
    /// Whether this is final; else the flow is `deciding` and `verdict` is the interim answer.
    pub decided: bool,
}

impl CachedDecision {
    /// What a new flow holds: version 0, which no policy set has.
    pub const NONE: Self = Self {
        policy_version: 0,
        identity_generation: 0,
        policy_index: u32::MAX,
        verdict: Verdict::Forward,
        effects: Effects { mirror: false, capture: false, log: false },
        decided: false,
    };

    /// Whether it was made under these versions.
    #[inline]
    #[must_use]
    pub const fn is_current(&self, policy_version: u32, identity_generation: u32) -> bool {
        self.policy_version == policy_version && self.identity_generation == identity_generation
    }
}

/// Who a slot belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    /// A second key of the flow in [`Cold::partner`].
    Alias,
    /// A flow, in the eviction list of its class.
    Listed(EvictionClass),
}

/// Neighbours in an intrusive list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl Links {
    pub(super) const NONE: Self = Self { prev: NO_SLOT, next: NO_SLOT };
}

/// One flow, as the packet path sees it.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Flow {
    // First line: what a lookup compares and every packet touches.
    pub(super) key: FlowKey,
    pub(super) last: Tick,
    pub(super) place: Place,
    pub(super) bits: u8,
    pub(super) state: FlowState,
    pub(super) in_port: u8,
    /// Where inspection keeps what it knows of the flow; [`NO_INSPECTION`] while that is nothing.
    pub inspection: u32,
    // Second line: what every packet counts, and what policy said.
    packets: [u64; 2],
    bytes: [u64; 2],
    policy_version: u32,
    identity_generation: u32,
    verdict: Verdict,
    policy_index: u32,
    dropped: u32,
    /// All that is more is too much.
    deciding_bytes: u16,
    /// How long after its start it was decided last.
    decided: Coarse,
    deciding_packets: u8,
    dropped_high: u8,
    tcp_flags: [TcpFlags; 2],
    // Third line: what TCP needs, and what only a change of state touches.
    pub(super) tcp: TcpTrack,
    violations: u32,
    pub(super) class_links: Links,
    pub(super) timer_links: Links,
}

const _: () = assert!(size_of::<FlowKey>() == 48);
const _: () = assert!(size_of::<Flow>() == 192);
const _: () = assert!(size_of::<Cold>() == 64);
// Hot state with its links and the index (11.7 bytes a slot), 85 of 100 slots in use: <= 256 bytes a flow.
const _: () = assert!((size_of::<Flow>() * 10 + 117) * 100 <= 256 * 10 * 85);

const INITIATOR_IS_LO: u8 = 1;
const HAS_ALIAS: u8 = 2;
const DECIDED: u8 = 4;
const MIRROR: u8 = 8;
const CAPTURE: u8 = 16;
const LOG: u8 = 32;
const STARTED_BY_RESPONDER: u8 = 64;
const LOOKED_AT: u8 = 128;

/// No place of inspection.
pub const NO_INSPECTION: u32 = u32::MAX;

/// What records need and packets do not; one cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Cold {
    pub(super) flow_id: u64,
    pub(super) start: Tick,
    /// The alias of a flow, the flow of an alias.
    pub(super) partner: u32,
    pub(super) src_mac: Mac,
    pub(super) dst_mac: Mac,
    pub(super) icmp: [(u8, u8); 2],
    pub(super) tunnel: Tunnel,
    pub(super) owner: Option<Owner>,
    pub(super) account: Account,
}

/// Whose a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// What was asserted of him.
    pub user: UserNumber,
    /// The same in all that is asserted of one user.
    pub person: u32,
}

impl Flow {
    #[inline]
    pub(super) fn new(key: FlowKey, initiator_is_lo: bool, in_port: u8, now: Tick) -> Self {
        Self {
            key,
            last: now,
            place: Place::Free,
            bits: if initiator_is_lo { INITIATOR_IS_LO } else { 0 },
            state: FlowState::New,
            in_port,
            inspection: NO_INSPECTION,
            tcp: TcpTrack::default(),
            violations: 0,
            bytes: [0; 2],
            packets: [0; 2],
            policy_version: CachedDecision::NONE.policy_version,
            identity_generation: CachedDecision::NONE.identity_generation,
            verdict: CachedDecision::NONE.verdict,
            policy_index: CachedDecision::NONE.policy_index,
            dropped: 0,
            deciding_bytes: 0,
            decided: Coarse::NONE,
            deciding_packets: 0,
            dropped_high: 0,
            tcp_flags: [TcpFlags::default(); 2],
            class_links: Links::NONE,
            timer_links: Links::NONE,
        }
    }

    /// The key under which it was started.
    #[must_use]
    pub const fn key(&self) -> &FlowKey {
        &self.key
    }

    /// Whether the initiator is the key's lower endpoint.
    #[inline]
    #[must_use]
    pub const fn initiator_is_lo(&self) -> bool {
        self.bits & INITIATOR_IS_LO != 0
    }

    /// Initiator's address and port.
    #[must_use]
    pub const fn initiator(&self) -> (Addr, u16) {
        if self.initiator_is_lo() { self.key.lo() } else { self.key.hi() }
    }

    /// Responder's address and port; of a redirected flow the original ones.
    #[must_use]
    pub const fn responder(&self) -> (Addr, u16) {
        if self.initiator_is_lo() { self.key.hi() } else { self.key.lo() }
    }

    /// Port index that the first packet came in by: the initiator's, unless [`Self::started_by_responder`].
    #[must_use]
    pub const fn in_port(&self) -> u8 {
        self.in_port
    }

    /// Whether the first packet that was seen came from the responder (TCP mid-stream).
    #[must_use]
    pub const fn started_by_responder(&self) -> bool {
        self.bits & STARTED_BY_RESPONDER != 0
    }

    /// Time of the last packet.
    #[must_use]
    pub const fn last(&self) -> Tick {
        self.last
    }

    /// Folded state.
    #[must_use]
    pub const fn state(&self) -> FlowState {
        self.state
    }

    /// TCP state; [`TcpState::Unopened`] for other protocols.
    #[must_use]
    pub const fn tcp_state(&self) -> TcpState {
        self.tcp.state()
    }

    /// Whether it was picked up without its handshake.
    #[must_use]
    pub const fn is_midstream(&self) -> bool {
        self.tcp.is_midstream()
    }

    /// Sequence number and acknowledgement that the sender of `direction` would use next: a RST in its name
    /// carries them. For TCP only.
    #[must_use]
    pub const fn tcp_sequence(&self, direction: Direction) -> (u32, u32) {
        self.tcp.sequence(direction as usize)
    }

    /// What is worth keeping when slots are short.
    #[must_use]
    pub const fn eviction_class(&self) -> Option<EvictionClass> {
        match self.place {
            Place::Listed(class) => Some(class),
            Place::Free | Place::Alias => None,
        }
    }

    /// Packets from the initiator, and to it.
    #[must_use]
    pub const fn packets(&self) -> [u64; 2] {
        self.packets
    }

    /// Bytes on the wire from the initiator, and to it.
    #[must_use]
    pub const fn bytes(&self) -> [u64; 2] {
        self.bytes
    }

    /// TCP flags seen from the initiator, and to it.
    #[must_use]
    pub const fn tcp_flags(&self) -> [TcpFlags; 2] {
        self.tcp_flags
    }

    /// Segments outside the window or against the state.
    #[must_use]
    pub const fn violations(&self) -> u32 {
        self.violations
    }

    /// Packets dropped so far (up to 2^40).
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        (self.dropped_high as u64) << 32 | self.dropped as u64
    }

    /// Counts a packet of the flow that was not sent on.
    #[inline]
    pub const fn count_dropped(&mut self) {
        let total = self.dropped().saturating_add(1);
        if total >> 40 == 0 {
            self.dropped = total as u32;
            self.dropped_high = (total >> 32) as u8;
        }
    }

    /// What policy said.
    #[inline]
    #[must_use]
    pub const fn decision(&self) -> CachedDecision {
        CachedDecision {
            policy_version: self.policy_version,
            identity_generation: self.identity_generation,
            policy_index: self.policy_index,
            verdict: self.verdict,
            effects: Effects {
                mirror: self.bits & MIRROR != 0,
                capture: self.bits & CAPTURE != 0,
                log: self.bits & LOG != 0,
            },
            decided: self.bits & DECIDED != 0,
        }
    }

    /// Whether this version of policy decided to forward it and wants nothing of its packets besides.
    #[inline]
    pub(super) const fn is_only_forwarded(&self, policy: u32) -> bool {
        const ASKED: u8 = DECIDED | MIRROR | CAPTURE | HAS_ALIAS | LOOKED_AT;
        self.bits & ASKED == DECIDED
            && self.is_flow()
            && matches!(self.verdict, Verdict::Forward)
            && self.policy_version == policy
    }

    /// It was decided, so long after it started.
    pub(super) fn note_decided(&mut self, after: Duration) {
        self.decided = Coarse::of(after);
    }

    /// How long after its start it was decided last; `None`: it never was.
    pub(super) const fn decided_after(&self) -> Option<Duration> {
        self.decided.get()
    }

    /// The generation of identities under which its decision is known to hold.
    #[inline]
    pub(super) const fn identity_generation(&self) -> u32 {
        self.identity_generation
    }

    /// The decision holds under this generation of identities, too.
    pub const fn set_identity_generation(&mut self, generation: u32) {
        self.identity_generation = generation;
    }

    /// Keeps what policy said.
    #[inline]
    pub const fn set_decision(&mut self, decision: CachedDecision) {
        let CachedDecision { policy_version, identity_generation, policy_index, verdict, effects, decided } =
            decision;
        self.policy_version = policy_version;
        self.identity_generation = identity_generation;
        self.policy_index = policy_index;
        self.verdict = verdict;
        self.bits &= !(DECIDED | MIRROR | CAPTURE | LOG);
        if decided {
            self.bits |= DECIDED;
        }
        if effects.mirror {
            self.bits |= MIRROR;
        }
        if effects.capture {
            self.bits |= CAPTURE;
        }
        if effects.log {
            self.bits |= LOG;
        }
    }

    /// Why its packets are dropped, where they are.
    #[must_use]
    pub const fn drop_reason(&self) -> Option<Reason> {
        self.verdict.reason()
    }

    /// Packets and bytes sent on while `deciding`.
    #[must_use]
    pub const fn deciding_used(&self) -> (u8, u32) {
        (self.deciding_packets, self.deciding_bytes as u32)
    }

    /// Spends the allowance of `deciding`.
    #[inline]
    pub const fn use_deciding(&mut self, len_bytes: u32) {
        self.deciding_packets = self.deciding_packets.saturating_add(1);
        let total = (self.deciding_bytes as u32).saturating_add(len_bytes);
        self.deciding_bytes = if total > u16::MAX as u32 { u16::MAX } else { total as u16 };
    }

    /// A field of the second cache line, for prefetching it.
    #[inline]
    pub(super) const fn second_line(&self) -> &[u64; 2] {
        &self.packets
    }

    pub(super) const fn is_flow(&self) -> bool {
        matches!(self.place, Place::Listed(_))
    }

    pub(super) const fn is_live(&self) -> bool {
        !matches!(self.place, Place::Free)
    }

    /// Whether its payload is to be looked at.
    #[inline]
    #[must_use]
    pub const fn is_looked_at(&self) -> bool {
        self.bits & LOOKED_AT != 0
    }

    /// From now on its payload is, or is not, to be looked at.
    #[inline]
    pub const fn look_at(&mut self, looks: bool) {
        if looks {
            self.bits |= LOOKED_AT;
        } else {
            self.bits &= !LOOKED_AT;
        }
    }

    /// Whether the flow is redirected: then it has a second key.
    #[must_use]
    pub const fn has_alias(&self) -> bool {
        self.bits & HAS_ALIAS != 0
    }

    pub(super) const fn set_started_by_responder(&mut self) {
        self.bits |= STARTED_BY_RESPONDER;
    }

    pub(super) const fn set_alias(&mut self) {
        self.bits |= HAS_ALIAS;
    }

    #[inline]
    pub(super) const fn direction_of(&self, src_is_lo: bool) -> Direction {
        if src_is_lo == self.initiator_is_lo() { Direction::Forward } else { Direction::Reverse }
    }

    #[inline]
    pub(super) const fn count_packet(&mut self, direction: Direction, wire_len: u32, now: Tick) {
        let way = direction as usize;
        self.packets[way] = self.packets[way].saturating_add(1);
        self.bytes[way] = self.bytes[way].saturating_add(wire_len as u64);
        if now.0 > self.last.0 {
            self.last = now;
        }
    }

    #[inline]
    pub(super) const fn note_flags(&mut self, direction: Direction, flags: TcpFlags) {
        self.tcp_flags[direction as usize].0 |= flags.0;
    }

    pub(super) const fn count_violation(&mut self) {
        self.violations = self.violations.saturating_add(1);
    }

    /// Which timeout holds now.
    #[inline]
    pub(super) fn timeout_kind(&self) -> TimeoutKind {
        match (self.key.protocol(), self.state) {
            (Protocol::TCP, _) => match self.tcp.state() {
                TcpState::Unopened | TcpState::SynSent | TcpState::SynSentBoth => TimeoutKind::TcpSyn,
                TcpState::SynReceived => TimeoutKind::TcpSynReceived,
                TcpState::Established if !self.tcp.is_two_way() => TimeoutKind::TcpSyn,
                TcpState::Established if self.tcp.has_unacknowledged() => TimeoutKind::TcpUnacknowledged,
                TcpState::Established => TimeoutKind::TcpEstablished,
                TcpState::FinWait | TcpState::CloseWait | TcpState::Closing => TimeoutKind::TcpFin,
                TcpState::LastAck => TimeoutKind::TcpLastAck,
                TcpState::TimeWait => TimeoutKind::TcpTimeWait,
                TcpState::Closed => TimeoutKind::TcpClosed,
            },
            (Protocol::UDP, FlowState::New) => TimeoutKind::UdpNew,
            (Protocol::UDP, FlowState::Established | FlowState::Closed) => TimeoutKind::UdpEstablished,
            (Protocol::ICMP | Protocol::ICMPV6, _) => TimeoutKind::Icmp,
            (Protocol::SCTP, FlowState::New) => TimeoutKind::SctpNew,
            (Protocol::SCTP, FlowState::Established) => TimeoutKind::SctpEstablished,
            (Protocol::SCTP, FlowState::Closed) => TimeoutKind::SctpClosed,
            (_, FlowState::New) => TimeoutKind::OtherNew,
            (_, FlowState::Established | FlowState::Closed) => TimeoutKind::OtherEstablished,
        }
    }
}
