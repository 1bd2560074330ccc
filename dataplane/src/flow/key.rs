//! The name of a flow: the same for both directions.

use crate::parse::quoted::Quoted;
use crate::parse::{Addr, Headers, Network};

/// Which way a packet goes relative to its flow's first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the initiator (`toserver` in EVE).
    Forward,
    /// Back to the initiator (`toclient`).
    Reverse,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }
}

/// Addresses, ports, protocol, VLANs and VNI, lower endpoint first, so both directions are equal.
///
/// Six words, so that comparing, hashing and copying one takes no more than six steps each.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Lower endpoint's address, higher endpoint's address, high half first.
    addrs: [u64; 4],
    /// Lower port, higher port, VNI.
    ports: u64,
    /// Outer VLAN, inner VLAN, protocol.
    rest: u64,
}

/// What a key says besides the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    /// VNI or GRE key of the innermost tunnel, 0 for none.
    pub vni: u32,
    /// Outer VLAN identifier, 0 for none or where `flow.vlan_in_key` is off.
    pub vlan_outer: u16,
    /// Inner VLAN identifier, likewise.
    pub vlan_inner: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

impl FlowKey {
    /// The key of no packet: what a table of them begins with.
    pub const NONE: Self = Self { addrs: [0; 4], ports: 0, rest: 0 };

    /// The key between two endpoints, and whether the first is the lower one. Where there are no ports they are zero;
    /// for ICMP queries both are the identifier.
    #[inline]
    #[must_use]
    pub const fn between(a: (Addr, u16), b: (Addr, u16), labels: Labels) -> (Self, bool) {
        let ((a, a_port), (b, b_port)) = ((a.0.bits(), a.1), (b.0.bits(), b.1));
        let a_is_lo = a < b || (a == b && a_port <= b_port);
        let (lo, hi, lo_port, hi_port) =
            if a_is_lo { (a, b, a_port, b_port) } else { (b, a, b_port, a_port) };
        let addrs = [(lo >> 64) as u64, lo as u64, (hi >> 64) as u64, hi as u64];
        let ports = (lo_port as u64) << 48 | (hi_port as u64) << 32 | labels.vni as u64;
        let rest =
            (labels.vlan_outer as u64) << 32 | (labels.vlan_inner as u64) << 16 | labels.protocol as u64;
        (Self { addrs, ports, rest }, a_is_lo)
    }

    /// The key of a packet, and whether its source is the lower endpoint. `None` where it is not IP.
    #[inline]
    #[must_use]
    pub fn of(headers: &Headers, vlan_in_key: bool) -> Option<(Self, bool)> {
        let Network::Ip { src, dst, protocol, .. } = headers.network else { return None };
        let (src_port, dst_port) = headers.ports();
        let (vlan_outer, vlan_inner) =
            if vlan_in_key { (headers.vlan_outer, headers.vlan_inner) } else { (0, 0) };
        let labels = Labels { vni: headers.vni, vlan_outer, vlan_inner, protocol };
        Some(Self::between((src, src_port), (dst, dst_port), labels))
    }

    /// The key of the packet that an ICMP error quotes, and whether the quoted source is the lower endpoint.
    ///
    /// `carrier` is the ICMP packet's own key: VLANs and VNI are taken from it, for a quoted packet has none.
    #[must_use]
    pub fn of_quoted(quoted: &Quoted, carrier: &Self) -> (Self, bool) {
        let labels = Labels { protocol: quoted.protocol, ..carrier.labels() };
        Self::between((quoted.src, quoted.ports.0), (quoted.dst, quoted.ports.1), labels)
    }

    /// This key between `initiator` and another responder, and whether the initiator is its lower endpoint.
    #[must_use]
    pub const fn with_responder(&self, initiator: (Addr, u16), responder: (Addr, u16)) -> (Self, bool) {
        Self::between(initiator, responder, self.labels())
    }

    /// The lower endpoint's address and port.
    #[must_use]
    pub const fn lo(&self) -> (Addr, u16) {
        let [high, low, ..] = self.addrs;
        (Addr::of_bits((high as u128) << 64 | low as u128), (self.ports >> 48) as u16)
    }

    /// The higher endpoint's address and port.
    #[must_use]
    pub const fn hi(&self) -> (Addr, u16) {
        let [.., high, low] = self.addrs;
        (Addr::of_bits((high as u128) << 64 | low as u128), (self.ports >> 32) as u16)
    }

    /// IANA protocol number.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.rest as u8
    }

    /// What it says besides the endpoints.
    #[must_use]
    pub const fn labels(&self) -> Labels {
        Labels {
            vni: self.ports as u32,
            vlan_outer: (self.rest >> 32) as u16,
            vlan_inner: (self.rest >> 16) as u16,
            protocol: self.protocol(),
        }
    }

    /// Everything, for hashing.
    #[inline]
    pub(super) const fn words(&self) -> [u64; 6] {
        let [a, b, c, d] = self.addrs;
        [a, b, c, d, self.ports, self.rest]
    }
}

impl std::fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowKey")
            .field("lo", &self.lo())
            .field("hi", &self.hi())
            .field("labels", &self.labels())
            .finish()
    }
}
