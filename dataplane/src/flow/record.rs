//! What is told about a flow when it ends.

use std::num::NonZeroU32;

use super::FlowKey;
use crate::account::Fate;
use crate::parse::{Addr, Mac, TcpFlags, Tunnel};
use crate::time::Wall;
use crate::verdict::Reason;

/// Why a flow left the table; the label is EVE's `flow.reason` or `jarvis.end_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    /// Its timeout passed.
    Timeout,
    /// TCP closed by FIN both ways.
    Closed,
    /// TCP reset.
    Reset,
    /// Evicted to make room.
    Evicted,
    /// A policy change ended it (rejected or dropped while silent).
    Policy,
    /// An operator ended it.
    Forced,
    /// The daemon stopped or the capture file ended.
    Shutdown,
}

impl EndReason {
    /// All of them, in index order.
    pub const ALL: &[Self] = &[
        Self::Timeout,
        Self::Closed,
        Self::Reset,
        Self::Evicted,
        Self::Policy,
        Self::Forced,
        Self::Shutdown,
    ];

    /// The name in EVE and the API.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Evicted => "evicted",
            Self::Policy => "policy",
            Self::Forced => "forced",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The flow's state as analysts name it; TCP's own states are folded into these by EVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum FlowState {
    /// Packets one way only.
    #[default]
    New,
    /// Both ways (TCP: handshake complete).
    Established,
    /// TCP closed or reset.
    Closed,
}

impl FlowState {
    /// EVE's `flow.state`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closed => "closed",
        }
    }
}

/// Numbers what was asserted of a user; never used again while the process lives.
pub type UserNumber = NonZeroU32;

/// What policy last said about a flow; fixed size, so that a record can carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decision {
    /// Version of the policy set that decided.
    pub policy_version: u32,
    /// Index of the policy in that set; `u32::MAX` where the default decided.
    pub policy_index: u32,
    /// What was asserted last of the initiator's user; `None`: nobody ever said who it is.
    pub user: Option<UserNumber>,
    /// Why packets of the flow are dropped, where they are.
    pub reason: Option<Reason>,
}

/// A flow at its end (or at a query), with everything that EVE and the store need. Plain data, `Copy`,
/// so that it crosses the event ring without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowRecord {
    /// Unique per daemon run: worker in the top byte, then a count.
    pub flow_id: u64,
    /// Addresses, ports, protocol, VLANs.
    pub key: FlowKey,
    /// Whether the initiator is the key's lower endpoint.
    pub initiator_is_lo: bool,
    /// Port index (0 or 1; 2 is `host`) that the first packet came in by.
    pub in_port: u8,
    /// Initiator's Ethernet address.
    pub src_mac: Mac,
    /// Responder's Ethernet address.
    pub dst_mac: Mac,
    /// Outermost tunnel of the first packet.
    pub tunnel: Tunnel,
    /// Wall time of the first packet.
    pub start: Wall,
    /// Wall time of the last packet.
    pub last: Wall,
    /// Packets from the initiator, and to it.
    pub packets: [u64; 2],
    /// Bytes on the wire from the initiator, and to it.
    pub bytes: [u64; 2],
    /// TCP flags seen from the initiator, and to it.
    pub tcp_flags: [TcpFlags; 2],
    /// TCP state by number, see `flow::TcpState`; 0 for other protocols.
    pub tcp_state: u8,
    /// Folded state.
    pub state: FlowState,
    /// Whether it was picked up mid-stream.
    pub midstream: bool,
    /// Segments outside the window or against the state.
    pub violations: u32,
    /// ICMP type and code of the first packet, each way (meaningful for ICMP only).
    pub icmp: [(u8, u8); 2],
    /// The decision in force.
    pub decision: Decision,
    /// When policy decided it last; `None`: it never did.
    pub decided: Option<Wall>,
    /// How it would fare under the shadow; `None`: it was not compared.
    pub shadow: Option<Fate>,
    /// Packets dropped by that decision or an earlier one.
    pub dropped: u64,
    /// Where inspection keeps what it knows; means something only to the engine that wrote it.
    pub inspection: u32,
    /// Why it ended; `None` while it lives (queries).
    pub end: Option<EndReason>,
    /// Entries aggregated into this one because the event ring was full (0: none).
    pub aggregated: u32,
}

impl FlowRecord {
    /// Initiator and responder as (address, port).
    #[must_use]
    pub const fn endpoints(&self) -> ((Addr, u16), (Addr, u16)) {
        let (lo, hi) = (self.key.lo(), self.key.hi());
        if self.initiator_is_lo { (lo, hi) } else { (hi, lo) }
    }
}
