//! How many flows, for how long, and who goes first when there is no room?

use crate::time::Tick;

/// What an operator may choose about the flow table of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowConfig {
    /// Slots of this worker's table; an alias of a redirected flow takes one too. 1 to 2^31 - 1.
    pub capacity: u32,
    /// How long a silent flow is kept, by state.
    pub timeouts: Timeouts,
    /// Who goes first when the table is full.
    pub eviction: EvictionOrder,
    /// An established TCP flow with at least this many packets each way is protected.
    pub protected_packets: u32,
    /// An established flow may be evicted only after this long without a packet, seconds.
    pub evictable_idle_s: u32,
    /// Packets may have passed that were not seen, as beside the wire: what an end acknowledges in its window was sent.
    pub may_miss: bool,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            capacity: 1_000_000,
            timeouts: Timeouts::default(),
            eviction: EvictionOrder::default(),
            protected_packets: 4,
            evictable_idle_s: 5,
            may_miss: false,
        }
    }
}

/// Seconds without a packet after which a flow ends, by protocol and state.
///
/// Defaults lie between Suricata's (`flow-timeouts`) and Linux conntrack's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// SYN seen, no answer yet; also TCP picked up mid-stream of which one direction is seen.
    pub tcp_syn_s: u32,
    /// SYN/ACK seen, not yet acknowledged.
    pub tcp_syn_received_s: u32,
    /// Handshake complete.
    pub tcp_established_s: u32,
    /// Handshake complete, and data that the receiver has not acknowledged.
    pub tcp_unacknowledged_s: u32,
    /// At least one FIN, not closed both ways.
    pub tcp_fin_s: u32,
    /// Both FINs, one of them not acknowledged.
    pub tcp_last_ack_s: u32,
    /// Both FINs acknowledged.
    pub tcp_time_wait_s: u32,
    /// Reset.
    pub tcp_closed_s: u32,
    /// UDP one way.
    pub udp_new_s: u32,
    /// UDP both ways.
    pub udp_established_s: u32,
    /// ICMP and ICMPv6.
    pub icmp_s: u32,
    /// SCTP one way.
    pub sctp_new_s: u32,
    /// SCTP both ways.
    pub sctp_established_s: u32,
    /// SCTP after ABORT or SHUTDOWN COMPLETE.
    pub sctp_closed_s: u32,
    /// Any other protocol, one way.
    pub other_new_s: u32,
    /// Any other protocol, both ways.
    pub other_established_s: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_syn_s: 60,
            tcp_syn_received_s: 60,
            tcp_established_s: 3_600,
            tcp_unacknowledged_s: 300,
            tcp_fin_s: 120,
            tcp_last_ack_s: 30,
            tcp_time_wait_s: 60,
            tcp_closed_s: 10,
            udp_new_s: 30,
            udp_established_s: 300,
            icmp_s: 30,
            sctp_new_s: 30,
            sctp_established_s: 600,
            sctp_closed_s: 10,
            other_new_s: 30,
            other_established_s: 300,
        }
    }
}

/// The named timeouts, as an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum TimeoutKind {
    TcpSyn,
    TcpSynReceived,
    TcpEstablished,
    TcpUnacknowledged,
    TcpFin,
    TcpLastAck,
    TcpTimeWait,
    TcpClosed,
    UdpNew,
    UdpEstablished,
    Icmp,
    SctpNew,
    SctpEstablished,
    SctpClosed,
    OtherNew,
    OtherEstablished,
}

/// [`Timeouts`] in nanoseconds, by kind.
#[derive(Debug)]
pub(super) struct TimeoutsNs {
    by_kind: [u64; 16],
    /// The shortest: a flow seen within it needs no further check.
    pub(super) shortest: u64,
}

impl TimeoutsNs {
    pub(super) fn of(timeouts: &Timeouts) -> Self {
        // In the order of `TimeoutKind`.
        let by_kind = [
            timeouts.tcp_syn_s,
            timeouts.tcp_syn_received_s,
            timeouts.tcp_established_s,
            timeouts.tcp_unacknowledged_s,
            timeouts.tcp_fin_s,
            timeouts.tcp_last_ack_s,
            timeouts.tcp_time_wait_s,
            timeouts.tcp_closed_s,
            timeouts.udp_new_s,
            timeouts.udp_established_s,
            timeouts.icmp_s,
            timeouts.sctp_new_s,
            timeouts.sctp_established_s,
            timeouts.sctp_closed_s,
            timeouts.other_new_s,
            timeouts.other_established_s,
        ]
        .map(|seconds| u64::from(seconds) * Tick::SECOND);
        let shortest = by_kind.into_iter().min().unwrap_or(0);
        Self { by_kind, shortest }
    }

    #[inline]
    pub(super) fn of_kind(&self, kind: TimeoutKind) -> u64 {
        self.by_kind[kind as usize]
    }
}

/// What a flow is worth when another needs its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EvictionClass {
    /// Packets one way, or a TCP handshake that is not complete.
    Embryonic,
    /// TCP or SCTP that is closed or reset.
    Closed,
    /// Packets both ways; evictable once silent for [`FlowConfig::evictable_idle_s`], oldest first.
    Established,
    /// Established TCP that has carried [`FlowConfig::protected_packets`] each way.
    Protected,
}

impl EvictionClass {
    /// All of them, in index order.
    pub const ALL: &[Self] = &[Self::Embryonic, Self::Closed, Self::Established, Self::Protected];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Embryonic => "embryonic",
            Self::Closed => "closed",
            Self::Established => "established",
            Self::Protected => "protected",
        }
    }
}

/// In which order classes are asked for a victim; a class that is not named is never evicted.
///
/// Within a class the longest silent goes first (second chance: a flow seen lately is passed over).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvictionOrder {
    classes: &'static [EvictionClass],
}

impl EvictionOrder {
    /// Embryonic, closed, oldest idle; protected flows never. The default.
    pub const PROTECT: Self =
        Self { classes: &[EvictionClass::Embryonic, EvictionClass::Closed, EvictionClass::Established] };
    /// As [`Self::PROTECT`], then silent protected flows too.
    pub const PROTECTED_LAST: Self = Self { classes: EvictionClass::ALL };
    /// Closed, embryonic, oldest idle; protected flows never.
    pub const CLOSED_FIRST: Self =
        Self { classes: &[EvictionClass::Closed, EvictionClass::Embryonic, EvictionClass::Established] };
    /// Evict nobody: a full table refuses new flows.
    pub const NEVER: Self = Self { classes: &[] };

    /// The order of a configuration name, `None` where the name is unknown.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "protect" => Some(Self::PROTECT),
            "protected-last" => Some(Self::PROTECTED_LAST),
            "closed-first" => Some(Self::CLOSED_FIRST),
            "never" => Some(Self::NEVER),
            _ => None,
        }
    }

    /// The classes, first victim first.
    #[must_use]
    pub const fn classes(self) -> &'static [EvictionClass] {
        self.classes
    }
}

impl Default for EvictionOrder {
    fn default() -> Self {
        Self::PROTECT
    }
}
