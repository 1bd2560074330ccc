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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// The lower endpoint's address.
    pub lo_addr: Addr,
    /// The higher endpoint's address.
    pub hi_addr: Addr,
    /// The lower endpoint's port (ICMP: the query identifier).
    pub lo_port: u16,
    /// The higher endpoint's port.
    pub hi_port: u16,
    /// VNI, GRE key or TEID of the innermost tunnel, 0 for none.
    pub vni: u32,
    /// Outer VLAN identifier, 0 for none or where `flow.vlan_in_key` is off.
    pub vlan_outer: u16,
    /// Inner VLAN identifier, likewise.
    pub vlan_inner: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

impl FlowKey {
    /// The key of a packet, and whether its source is the lower endpoint. `None` where it is not IP.
    #[must_use]
    pub fn of(headers: &Headers, vlan_in_key: bool) -> Option<(Self, bool)> {
        let Network::Ip { src, dst, protocol, .. } = headers.network else { return None };
        let (src_port, dst_port) = headers.ports();
        let src_is_lo = (src, src_port) <= (dst, dst_port);
        let ((lo_addr, lo_port), (hi_addr, hi_port)) =
            if src_is_lo { ((src, src_port), (dst, dst_port)) } else { ((dst, dst_port), (src, src_port)) };
        let (vlan_outer, vlan_inner) =
            if vlan_in_key { (headers.vlan_outer, headers.vlan_inner) } else { (0, 0) };
        let key =
            Self { lo_addr, hi_addr, lo_port, hi_port, vni: headers.vni, vlan_outer, vlan_inner, protocol };
        Some((key, src_is_lo))
    }

    /// The key of the packet that an ICMP error quotes, and whether the quoted source is the lower endpoint.
    ///
    /// `carrier` is the ICMP packet's own key: VLANs and VNI are taken from it, for a quoted packet has none.
    #[must_use]
    pub fn of_quoted(quoted: &Quoted, carrier: &Self) -> (Self, bool) {
        let key = Self { protocol: quoted.protocol, ..*carrier };
        key.with_responder((quoted.src, quoted.ports.0), (quoted.dst, quoted.ports.1))
    }

    /// This key between `initiator` and another responder, and whether the initiator is its lower endpoint.
    #[must_use]
    pub fn with_responder(&self, initiator: (Addr, u16), responder: (Addr, u16)) -> (Self, bool) {
        let initiator_is_lo = initiator <= responder;
        let (lo, hi) = if initiator_is_lo { (initiator, responder) } else { (responder, initiator) };
        let key = Self { lo_addr: lo.0, lo_port: lo.1, hi_addr: hi.0, hi_port: hi.1, ..*self };
        (key, initiator_is_lo)
    }
}
