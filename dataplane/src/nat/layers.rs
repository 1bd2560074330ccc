//! Which headers stand around the innermost packet, and where?
//!
//! `Headers` names the innermost packet only; whoever changes it needs the lengths, checksums and addresses
//! of what is around it. The walk repeats the parser's, which has already found the frame sound, and ends
//! exactly at its `l3_offset` or finds nothing.

use super::edit::word;
use crate::parse::{Headers, Protocol};

const LAYERS_MAX: usize = 16;
/// Tags, labels and headers that the walk passes.
const STEPS_MAX: usize = 32;

const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const GENEVE_PORT: u16 = 6081;
const GTPU_PORT: u16 = 2152;
const TEREDO_PORT: u16 = 3544;
const GRE_PPP: u16 = 0x880b;

/// A header that has an address, a length or a checksum, and the offset at which it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Ethernet(usize),
    /// A length where an EtherType could be (IEEE 802.3); LLC and SNAP follow.
    Length(usize),
    Pppoe(usize),
    Ipv4(usize),
    Ipv6(usize),
    /// Around VXLAN or Geneve: the source port is entropy.
    Udp(usize),
    /// Around Teredo: the ports are the endpoints'.
    UdpTeredo(usize),
    Gre {
        at: usize,
        has_checksum: bool,
        has_sequence: bool,
    },
    Gtpu(usize),
    /// Enhanced GRE (RFC 2637), whose numbers and call IDs are the endpoints' own.
    Pptp(usize),
}

/// The headers before the innermost network header, outermost first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layers {
    list: [Layer; LAYERS_MAX],
    len: usize,
}

#[derive(Clone, Copy)]
enum Next {
    Ethernet,
    EtherType(u16),
    Mpls,
    Ppp,
    Ip,
}

impl Layers {
    /// Walks from the Ethernet header to `headers.l3_offset`. `None` where the two do not meet: another
    /// link type, or a tunnel on a port that is not the usual one.
    pub(super) fn around(bytes: &[u8], headers: &Headers) -> Option<Self> {
        let goal = usize::from(headers.l3_offset);
        let mut layers = Self { list: [Layer::Ethernet(0); LAYERS_MAX], len: 0 };
        let (mut at, mut next) = (0, Next::Ethernet);
        for _ in 0..STEPS_MAX {
            (at, next) = match next {
                Next::Ip if at == goal => return Some(layers),
                _ if at > goal => return None,
                Next::Ethernet => {
                    layers.push(Layer::Ethernet(at))?;
                    (at + 14, Next::EtherType(word(bytes, at + 12)?))
                }
                Next::EtherType(0x8100 | 0x88a8 | 0x9100) => (at + 4, Next::EtherType(word(bytes, at + 2)?)),
                Next::EtherType(0x8847 | 0x8848) => (at, Next::Mpls),
                Next::EtherType(0x8864) => {
                    layers.push(Layer::Pppoe(at))?;
                    (at + 6, Next::Ppp)
                }
                Next::EtherType(0x0800 | 0x86dd) => (at, Next::Ip),
                Next::EtherType(0x6558) => (at, Next::Ethernet),
                Next::EtherType(length) if length < 0x0600 => {
                    layers.push(Layer::Length(at - 2))?;
                    (at + 8, Next::EtherType(word(bytes, at + 6)?))
                }
                Next::EtherType(_) => return None,
                // RFC 3032: the label with the bottom bit is the last.
                Next::Mpls => match bytes.get(at + 2)? & 1 {
                    0 => (at + 4, Next::Mpls),
                    _ => below_mpls(bytes, at + 4)?,
                },
                Next::Ppp => below_ppp(bytes, at)?,
                Next::Ip => layers.enter(bytes, at)?,
            };
        }
        None
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Layer> + '_ {
        self.list[..self.len].iter().copied()
    }

    /// The Ethernet header nearest to the innermost packet, where no IP header stands between.
    pub(super) fn nearest_ethernet(&self) -> Option<usize> {
        self.iter().rev().find_map(|layer| match layer {
            Layer::Ethernet(at) => Some(Some(at)),
            Layer::Pppoe(_) | Layer::Length(_) => None,
            Layer::Ipv4(_)
            | Layer::Ipv6(_)
            | Layer::Udp(_)
            | Layer::UdpTeredo(_)
            | Layer::Gre { .. }
            | Layer::Gtpu(_)
            | Layer::Pptp(_) => Some(None),
        })?
    }

    fn push(&mut self, layer: Layer) -> Option<()> {
        *self.list.get_mut(self.len)? = layer;
        self.len += 1;
        Some(())
    }

    /// Through the outer IP header at `at` and the tunnel header behind it.
    fn enter(&mut self, bytes: &[u8], at: usize) -> Option<(usize, Next)> {
        self.push(if bytes.get(at)? >> 4 == 4 { Layer::Ipv4(at) } else { Layer::Ipv6(at) })?;
        let (protocol, at) = transport(bytes, at)?;
        match protocol {
            Protocol::IPV4 | Protocol::IPV6 => Some((at, Next::Ip)),
            Protocol::GRE => {
                let flags = word(bytes, at)?;
                let protocol = word(bytes, at + 2)?;
                if flags & 0x0007 == 1 {
                    self.push(Layer::Pptp(at))?;
                    let numbers = usize::from(flags & 0x1000 != 0) + usize::from(flags & 0x0080 != 0);
                    return Some((at + 8 + 4 * numbers, Next::Ppp));
                }
                let (has_checksum, has_key, has_sequence) =
                    (flags & 0x8000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
                self.push(Layer::Gre { at, has_checksum, has_sequence })?;
                let options = usize::from(has_checksum) + usize::from(has_key) + usize::from(has_sequence);
                let next = if protocol == GRE_PPP { Next::Ppp } else { Next::EtherType(protocol) };
                Some((at + 4 + 4 * options, next))
            }
            Protocol::UDP => self.enter_udp(bytes, at),
            _ => None,
        }
    }

    fn enter_udp(&mut self, bytes: &[u8], udp: usize) -> Option<(usize, Next)> {
        let (src, dst) = (word(bytes, udp)?, word(bytes, udp + 2)?);
        let at = udp + 8;
        if VXLAN_PORTS.contains(&dst) {
            self.push(Layer::Udp(udp))?;
            Some((at + 8, Next::Ethernet))
        } else if dst == GENEVE_PORT {
            self.push(Layer::Udp(udp))?;
            let options = usize::from(bytes.get(at)? & 0x3f) * 4;
            Some((at + 8 + options, Next::EtherType(word(bytes, at + 2)?)))
        } else if dst == GTPU_PORT {
            self.push(Layer::Udp(udp))?;
            self.push(Layer::Gtpu(at))?;
            Some((gtpu_payload(bytes, at)?, Next::Ip))
        } else if dst == TEREDO_PORT || src == TEREDO_PORT {
            self.push(Layer::UdpTeredo(udp))?;
            Some((teredo_payload(bytes, at)?, Next::Ip))
        } else {
            None
        }
    }
}

/// Whether a routing header stands between the IPv6 header at `at` and the transport: the destination that
/// the transport's checksum covers may then be another (RFC 8200 8.1).
pub(super) fn has_routing(bytes: &[u8], at: usize) -> bool {
    extensions(bytes, at).is_none_or(|chain| chain.has_routing)
}

/// Protocol and offset of what the IP packet at `at` carries, after every extension header; `None` where
/// that is cut, or is a later fragment's data.
pub(super) fn transport(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let first = *bytes.get(at)?;
    if first >> 4 == 4 {
        let is_first = word(bytes, at + 6)? & 0x1fff == 0;
        return is_first.then_some((*bytes.get(at + 9)?, at + usize::from(first & 0x0f) * 4));
    }
    extensions(bytes, at).filter(|chain| chain.is_first).map(|chain| (chain.protocol, chain.at))
}

/// What is behind the extension headers of an IPv6 header.
struct Chain {
    protocol: u8,
    at: usize,
    has_routing: bool,
    /// Whether it is no fragment, or the first one.
    is_first: bool,
}

fn extensions(bytes: &[u8], at: usize) -> Option<Chain> {
    let protocol = *bytes.get(at + 6)?;
    let mut chain = Chain { protocol, at: at + 40, has_routing: false, is_first: true };
    for _ in 0..LAYERS_MAX {
        let at = chain.at;
        let length = match chain.protocol {
            Protocol::HOP_BY_HOP
            | Protocol::ROUTING
            | Protocol::DESTINATION_OPTIONS
            | Protocol::MOBILITY
            | Protocol::HIP
            | Protocol::SHIM6 => (usize::from(*bytes.get(at + 1)?) + 1) * 8,
            Protocol::FRAGMENT => 8,
            Protocol::AH => (usize::from(*bytes.get(at + 1)?) + 2) * 4,
            _ => return Some(chain),
        };
        chain.has_routing |= chain.protocol == Protocol::ROUTING;
        if chain.protocol == Protocol::FRAGMENT && word(bytes, at + 2)? & 0xfff8 != 0 {
            chain.is_first = false;
            (chain.protocol, chain.at) = (*bytes.get(at)?, at + length);
            return Some(chain);
        }
        (chain.protocol, chain.at) = (*bytes.get(at)?, at + length);
    }
    None
}

/// Below the labels the first nibble tells IP (RFC 4928); else it is an Ethernet pseudowire, perhaps behind a
/// control word (RFC 4448 4.6).
fn below_mpls(bytes: &[u8], at: usize) -> Option<(usize, Next)> {
    let is_ethernet = |at| {
        matches!(word(bytes, at + 12), Some(0x0800 | 0x86dd | 0x8100 | 0x88a8 | 0x9100 | 0x8847 | 0x8864))
    };
    match bytes.get(at)? >> 4 {
        4 | 6 => Some((at, Next::Ip)),
        0 if is_ethernet(at + 4) => Some((at + 4, Next::Ethernet)),
        _ => Some((at, Next::Ethernet)),
    }
}

/// PPP's protocol field, perhaps compressed to one byte, perhaps behind address and control (RFC 1661 6.5,
/// RFC 1662 3.1).
fn below_ppp(bytes: &[u8], mut at: usize) -> Option<(usize, Next)> {
    if word(bytes, at)? == 0xff03 {
        at += 2;
    }
    let first = *bytes.get(at)?;
    let (protocol, at) = if first & 1 == 1 { (u16::from(first), at + 1) } else { (word(bytes, at)?, at + 2) };
    match protocol {
        0x0021 | 0x0057 => Some((at, Next::Ip)),
        0x0281 | 0x0283 => Some((at, Next::Mpls)),
        _ => None,
    }
}

/// 3GPP TS 29.281 5.1 and 5.2: eight bytes, four more where any of E, S, PN is set, then extensions.
fn gtpu_payload(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at)? & 0x07 == 0 {
        return Some(at + 8);
    }
    let mut next = *bytes.get(at + 11)?;
    let mut at = at + 12;
    for _ in 0..LAYERS_MAX {
        if next == 0 {
            return Some(at);
        }
        let length = usize::from(*bytes.get(at)?) * 4;
        next = *bytes.get((at + length).checked_sub(1)?)?;
        at += length;
    }
    None
}

/// RFC 4380 5.1.1: an authentication and an origin indication may come before the IPv6 packet.
fn teredo_payload(bytes: &[u8], mut at: usize) -> Option<usize> {
    if word(bytes, at)? == 0x0001 {
        at += 13 + usize::from(*bytes.get(at + 2)?) + usize::from(*bytes.get(at + 3)?);
    }
    if word(bytes, at)? == 0x0000 {
        at += 8;
    }
    Some(at)
}
