//! How full is the table, and what became of its flows?

use super::config::EvictionClass;
use super::{EndReason, FlowState};
use crate::parse::Protocol;

/// Protocols that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the protocols'")]
pub enum ProtocolClass {
    Tcp,
    Udp,
    Icmp,
    Sctp,
    Other,
}

impl ProtocolClass {
    /// All of them, in index order.
    pub const ALL: &[Self] = &[Self::Tcp, Self::Udp, Self::Icmp, Self::Sctp, Self::Other];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The class of an IANA protocol number.
    #[must_use]
    pub const fn of(protocol: u8) -> Self {
        match protocol {
            Protocol::TCP => Self::Tcp,
            Protocol::UDP => Self::Udp,
            Protocol::ICMP | Protocol::ICMPV6 => Self::Icmp,
            Protocol::SCTP => Self::Sctp,
            _ => Self::Other,
        }
    }

    /// The name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Sctp => "sctp",
            Self::Other => "other",
        }
    }
}

/// Plain numbers of one worker's table; `active_*` are gauges, the rest only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowStats {
    /// Slots there are.
    pub capacity: u64,
    /// Live flows.
    pub active: u64,
    /// Second keys of redirected flows; each holds a slot.
    pub aliases: u64,
    /// Live flows by [`FlowState`].
    pub active_by_state: [u64; 3],
    /// Live flows by [`ProtocolClass`].
    pub active_by_protocol: [u64; ProtocolClass::COUNT],
    /// Flows started.
    pub started: u64,
    /// Of these, TCP picked up mid-stream.
    pub midstream: u64,
    /// Flows ended, by [`EndReason`].
    pub ended: [u64; EndReason::ALL.len()],
    /// Flows evicted, by [`EvictionClass`]; their sum is `ended` for [`EndReason::Evicted`].
    pub evicted: [u64; EvictionClass::COUNT],
    /// New flows refused: every slot taken and nobody evictable.
    pub full: u64,
    /// New flows refused because the index had no room where their key belongs.
    pub index_full: u64,
    /// Segments outside the window or against the state.
    pub violations: u64,
}

impl FlowStats {
    /// Live flows in `state`.
    #[must_use]
    pub const fn active_in(&self, state: FlowState) -> u64 {
        self.active_by_state[state as usize]
    }

    /// Flows that ended for `reason`.
    #[must_use]
    pub const fn ended_by(&self, reason: EndReason) -> u64 {
        self.ended[reason as usize]
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.capacity += other.capacity;
        self.active += other.active;
        self.aliases += other.aliases;
        self.started += other.started;
        self.midstream += other.midstream;
        self.full += other.full;
        self.index_full += other.index_full;
        self.violations += other.violations;
        add_each(&mut self.active_by_state, &other.active_by_state);
        add_each(&mut self.active_by_protocol, &other.active_by_protocol);
        add_each(&mut self.ended, &other.ended);
        add_each(&mut self.evicted, &other.evicted);
    }
}

fn add_each(into: &mut [u64], from: &[u64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}
