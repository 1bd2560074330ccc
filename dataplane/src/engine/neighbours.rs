//! Behind which wire does a neighbour of the box live? A small table of MAC addresses, for the port `host` only:
//! bridged traffic needs none, since a bump in the wire has one way to go.

use super::{Disposition, Engine, HOST_PORT, Hop, Packet};
use crate::parse::{Addr, Headers, LinkType, Mac, Network, Protocol, Transport, parse_frame};

/// Neighbours remembered; the box talks to few.
const NEIGHBOURS_MAX: usize = 256;

/// Type of an ICMPv6 neighbour solicitation (RFC 4861 4.3).
const NEIGHBOUR_SOLICITATION: u8 = 135;

/// MAC addresses and the wire that they were last seen behind. Direct-mapped: a newer neighbour takes the slot
/// of an older one, which costs a frame sent both ways.
#[derive(Debug)]
pub(super) struct Neighbours {
    slots: Vec<(Mac, u8)>,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { slots: vec![(Mac::default(), 0); NEIGHBOURS_MAX] }
    }
}

impl Neighbours {
    fn slot(mac: Mac) -> usize {
        mac.0.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)))
            % NEIGHBOURS_MAX
    }

    fn learn(&mut self, mac: Mac, port: u8) {
        if !mac.is_group() {
            self.slots[Self::slot(mac)] = (mac, port);
        }
    }

    fn port_of(&self, mac: Mac) -> Option<u8> {
        let (known, port) = self.slots[Self::slot(mac)];
        (known == mac && mac != Mac::default()).then_some(port)
    }
}

impl Engine {
    /// Where a frame for a service address goes: to `host`, by worker 0. `None` for any other frame.
    pub(super) fn for_service(&mut self, packet: &Packet<'_>, headers: &Headers) -> Option<Disposition> {
        let wanted = match headers.network {
            Network::Arp { target, .. } => target,
            Network::Ip { protocol: Protocol::ICMPV6, dst, .. } if is_solicitation(headers) => {
                solicited(packet.bytes, headers).unwrap_or(dst)
            }
            Network::Ip { dst, .. } => dst,
            Network::Other => return None,
        };
        if !self.config.service.owns(wanted, headers.vlan_outer) {
            return None;
        }
        if self.config.worker != 0 {
            return Some(Disposition::HandOff { worker: 0, hop: Hop::Owner });
        }
        self.neighbours.learn(headers.src_mac, packet.in_port);
        self.counters.to_host += 1;
        Some(Disposition::Host)
    }

    /// Where a frame of the box goes: to the wire of its neighbour, or to both; only its service addresses speak.
    pub(super) fn judge_host_frame(&mut self, bytes: &[u8]) -> Disposition {
        let Ok(headers) = parse_frame(bytes, LinkType::Ethernet) else { return Disposition::Consume };
        let speaker = match headers.network {
            Network::Arp { sender, .. } => sender,
            Network::Ip { src, .. } => src,
            Network::Other => return Disposition::Consume,
        };
        if !self.config.service.owns(speaker, headers.vlan_outer) {
            return Disposition::Consume;
        }
        match self.neighbours.port_of(headers.dst_mac) {
            Some(port) if port != HOST_PORT => Disposition::Send { port },
            Some(_) | None => Disposition::Flood,
        }
    }
}

fn is_solicitation(headers: &Headers) -> bool {
    matches!(headers.transport, Transport::Icmp(icmp) if icmp.kind == NEIGHBOUR_SOLICITATION)
}

/// The target of a neighbour solicitation: 16 bytes after type, code, checksum and reserved (RFC 4861 4.3).
fn solicited(bytes: &[u8], headers: &Headers) -> Option<Addr> {
    let at = usize::from(headers.l4_offset) + 8;
    bytes.get(at..at + 16)?.try_into().ok().map(Addr::v6)
}
