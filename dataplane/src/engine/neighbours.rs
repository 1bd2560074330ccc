//! Behind which wire does a neighbour of the box live? A small table of MAC addresses, for the port `host` only:
//! bridged traffic needs none, since a bump in the wire has one way to go.

use super::{Disposition, Engine, HOST_PORT, Hop, Packet};
use crate::flow::{Direction, FlowKey, Found};
use crate::host::ExpectedKey;
use crate::parse::quoted::quoted_in;
use crate::parse::{Addr, Headers, LinkType, Mac, Network, Protocol, Transport, Tunnel, parse_frame};
use crate::verdict::Verdict;

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
        Some(self.deliver(packet, headers))
    }

    fn deliver(&mut self, packet: &Packet<'_>, headers: &Headers) -> Disposition {
        if self.config.worker != 0 {
            return Disposition::HandOff { worker: 0, hop: Hop::Owner };
        }
        self.neighbours.learn(headers.src_mac, packet.in_port);
        self.counters.to_host += 1;
        Disposition::Host
    }

    /// Where a packet goes that is sent on by `verdict`: across, but for a flow that was redirected to the box.
    pub(super) fn onward(
        &mut self,
        verdict: Verdict,
        found: Found,
        headers: &Headers,
        packet: &Packet<'_>,
    ) -> Disposition {
        let is_redirected = match verdict {
            Verdict::Redirect(_) => self.is_inline() && self.config.service.exists(),
            Verdict::Forward | Verdict::RateLimit(_) | Verdict::Drop(_) | Verdict::Reject(_) => false,
        };
        if !is_redirected {
            return self.across(packet.in_port);
        }
        if packet.in_port == HOST_PORT {
            let flow = self.flows.flow(found.id);
            return Disposition::Send { port: flow.in_port() & 1 ^ u8::from(flow.started_by_responder()) };
        }
        match self.flows.redirect_target(found.id) {
            Some((addr, _)) if found.direction == Direction::Forward && self.config.service.has(addr) => {
                self.deliver(packet, headers)
            }
            Some(_) | None => self.across(packet.in_port),
        }
    }

    /// Whether the box's own stack would understand a frame like this once it is addressed to it.
    pub(super) fn can_reach_the_box(&self, headers: &Headers) -> bool {
        headers.tunnel == Tunnel::None
            && headers.vlan_outer == self.config.service.vlan
            && headers.vlan_inner == 0
    }

    /// Takes a frame of the box in. `None`: it answers a flow that was redirected to the box, and is judged as a
    /// packet of that flow; `headers` are written.
    pub(super) fn admit_host_frame(&mut self, bytes: &[u8], headers: &mut Headers) -> Option<Disposition> {
        if self.shared.expected.any()
            && let Ok(parsed) = parse_frame(bytes, LinkType::Ethernet)
            && parsed.addrs().is_some_and(|(src, _)| self.config.service.owns(src, parsed.vlan_outer))
            && let Some((key, src_is_lo)) = self.redirected_key(bytes, &parsed)
        {
            let expected = ExpectedKey::of(key.lo(), key.hi(), key.protocol());
            match self.shared.expected.owner(expected) {
                Some(worker) if worker != self.config.worker => {
                    return Some(Disposition::HandOff { worker, hop: Hop::Owner });
                }
                Some(_) if self.flows.find(&key, src_is_lo).is_some() => {
                    *headers = parsed;
                    return None;
                }
                Some(_) | None => {}
            }
        }
        Some(self.judge_host_frame(bytes))
    }

    /// The key of the flow that a frame of the box belongs to, or speaks of.
    fn redirected_key(&self, bytes: &[u8], headers: &Headers) -> Option<(FlowKey, bool)> {
        let (key, src_is_lo) = FlowKey::of(headers, self.config.vlan_in_key)?;
        match headers.transport {
            Transport::Icmp(icmp) if icmp.is_error => {
                Some(FlowKey::of_quoted(&quoted_in(bytes, headers)?, &key))
            }
            Transport::Icmp(_)
            | Transport::Tcp(_)
            | Transport::Udp { .. }
            | Transport::Sctp { .. }
            | Transport::None => Some((key, src_is_lo)),
        }
    }

    /// Where a frame of the box goes: to the wire of its neighbour, or to both; only its service addresses speak.
    fn judge_host_frame(&mut self, bytes: &[u8]) -> Disposition {
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
