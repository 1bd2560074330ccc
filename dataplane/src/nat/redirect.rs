//! What must change in a frame so that it reaches the redirect's target, or seems to come from where the
//! initiator sent it?
//!
//! The initiator talks to the *original* destination and never learns of the *target*. Its packets get the
//! target's address and port, the replies get the original's back, and ICMP errors get both their own and
//! the quoted packet's. Only headers are touched and only by increments (RFC 1624), so that the first piece
//! of a frame in several buffers is enough. On an error nothing was written.

use super::edit::{Delta, Editor, word};
use super::layers::{Layer, Layers, has_routing, transport};
use crate::flow::Direction;
use crate::parse::{Addr, Headers, Mac, Network, Protocol, Transport};
use crate::verdict::Reason;

/// Where a redirected flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Address, of the same version as the flow's.
    pub addr: Addr,
    /// Port; 0 keeps the flow's.
    pub port: u16,
    /// Ethernet destination, where the target is not behind the original one's.
    pub next_hop: Option<Mac>,
}

/// Where its initiator believes it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    /// Destination address of the flow's first packet.
    pub addr: Addr,
    /// Its destination port.
    pub port: u16,
    /// Its Ethernet destination: put back as source of the replies where `next_hop` replaced it.
    pub mac: Option<Mac>,
}

/// The rewriting of one flow, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// Where it goes.
    pub target: Target,
    /// Where its initiator sent it.
    pub original: Original,
}

/// Source or destination of a header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Src,
    Dst,
}

/// An address and a port to write; port 0 keeps what is there.
#[derive(Clone, Copy)]
struct Endpoint {
    addr: Addr,
    port: u16,
}

impl Redirect {
    /// Rewrites a frame of the flow that goes in `direction`, in place. Works on the innermost packet;
    /// headers around it keep their addresses and get their checksums mended. Fragments are rewritten one
    /// by one, `headers` being each fragment's own. For ICMP errors the quoted packet decides, not
    /// `direction`.
    ///
    /// # Errors
    ///
    /// [`Reason::RedirectImpossible`] where the target is of the other IP version, the frame is not of this
    /// flow, or its protocol or encapsulation cannot be rewritten (SCTP to another port, AH, an IPv6 routing header);
    /// [`Reason::IcmpUnrelated`] for an ICMP error that quotes something else. The bytes are then unchanged.
    pub fn apply(&self, direction: Direction, bytes: &mut [u8], headers: &Headers) -> Result<(), Reason> {
        let Network::Ip { src, dst, protocol, .. } = headers.network else {
            return Err(Reason::RedirectImpossible);
        };
        if self.target.addr.is_v4() != self.original.addr.is_v4() || src.is_v4() != self.target.addr.is_v4() {
            return Err(Reason::RedirectImpossible);
        }
        let is_tunnelled = headers.outer_l3_offset != headers.l3_offset;
        let layers = if is_tunnelled {
            Some(Layers::around(bytes, headers).ok_or(Reason::RedirectImpossible)?)
        } else {
            None
        };
        if bytes.len() < usize::from(headers.l4_offset) {
            return Err(Reason::RedirectImpossible);
        }
        let mut editor = Editor::new(bytes);
        let direction = match headers.transport {
            Transport::Icmp(icmp) if icmp.is_error => {
                self.rewrite_error(&mut editor, headers, protocol, (src, dst))?
            }
            Transport::Icmp(_)
            | Transport::Tcp(_)
            | Transport::Udp { .. }
            | Transport::Sctp { .. }
            | Transport::None => {
                let (side, expected, now) = match direction {
                    Direction::Forward => (Side::Dst, (self.original.addr, dst), self.target()),
                    Direction::Reverse => (Side::Src, (self.target.addr, src), self.original()),
                };
                if expected.0 != expected.1 {
                    return Err(Reason::RedirectImpossible);
                }
                rewrite_packet(&mut editor, headers, protocol, side, now)?;
                direction
            }
        };
        let ethernet = match &layers {
            Some(layers) => layers.nearest_ethernet(),
            None => (headers.l3_offset >= 14).then_some(0),
        };
        if let Some(at) = ethernet {
            self.rewrite_mac(&mut editor, direction, at);
        }
        if let Some(layers) = layers {
            mend_around(&mut editor, &layers, usize::from(headers.l3_offset));
        }
        Ok(())
    }

    const fn target(&self) -> Endpoint {
        Endpoint { addr: self.target.addr, port: self.target.port }
    }

    /// What replies get; their port stays where the target's was kept.
    const fn original(&self) -> Endpoint {
        Endpoint {
            addr: self.original.addr,
            port: if self.target.port == 0 { 0 } else { self.original.port },
        }
    }

    fn rewrite_mac(&self, editor: &mut Editor<'_>, direction: Direction, ethernet: usize) {
        let Some(next_hop) = self.target.next_hop else { return };
        match direction {
            Direction::Forward => {
                editor.replace(ethernet, &next_hop.0);
            }
            Direction::Reverse => {
                // An ICMP error may come from a router that is not the next hop.
                let from_next_hop = editor.bytes().get(ethernet + 6..ethernet + 12) == Some(&next_hop.0[..]);
                if let Some(mac) = self.original.mac.filter(|_| from_next_hop) {
                    editor.replace(ethernet + 6, &mac.0);
                }
            }
        }
    }

    /// An ICMP error: what it quotes tells which way it goes.
    fn rewrite_error(
        &self,
        editor: &mut Editor<'_>,
        headers: &Headers,
        protocol: u8,
        (src, dst): (Addr, Addr),
    ) -> Result<Direction, Reason> {
        let icmp = usize::from(headers.l4_offset);
        let quote =
            Quote::at(editor.bytes(), icmp + 8, usize::from(headers.end)).ok_or(Reason::IcmpUnrelated)?;
        let (direction, quoted_side, outer_side, was, now) = if quote.is_to(Side::Dst, self.target()) {
            (
                Direction::Reverse,
                Side::Dst,
                (src == self.target.addr).then_some(Side::Src),
                src,
                self.original(),
            )
        } else if quote.is_to(Side::Src, Endpoint { addr: self.original.addr, port: self.original.port }) {
            (
                Direction::Forward,
                Side::Src,
                (dst == self.original.addr).then_some(Side::Dst),
                dst,
                self.target(),
            )
        } else {
            return Err(Reason::IcmpUnrelated);
        };
        if was.is_v4() != now.addr.is_v4() {
            return Err(Reason::IcmpUnrelated);
        }
        quote.rewrite(editor, quoted_side, now);
        let mut delta = editor.total();
        if let Some(side) = outer_side {
            let changed = rewrite_addr(editor, usize::from(headers.l3_offset), side, now.addr);
            if protocol == Protocol::ICMPV6 {
                delta = delta.and(changed);
            }
        }
        editor.mend(icmp + 2, delta);
        Ok(direction)
    }
}

/// Address, port and checksums of the packet itself.
fn rewrite_packet(
    editor: &mut Editor<'_>,
    headers: &Headers,
    protocol: u8,
    side: Side,
    now: Endpoint,
) -> Result<(), Reason> {
    let l3 = usize::from(headers.l3_offset);
    let (protocol, l4) = match headers.fragment {
        None => (protocol, Some(usize::from(headers.l4_offset))),
        Some(fragment) if fragment.offset != 0 => (protocol, None),
        Some(_) => {
            let (protocol, at) = transport(editor.bytes(), l3).ok_or(Reason::RedirectImpossible)?;
            (protocol, Some(at))
        }
    };
    let bytes = editor.bytes();
    if !now.addr.is_v4() && l4 != Some(l3 + 40) && has_routing(bytes, l3) {
        return Err(Reason::RedirectImpossible);
    }
    let needed = match (protocol, l4) {
        (Protocol::AH, _) => return Err(Reason::RedirectImpossible),
        (Protocol::SCTP, Some(at)) => {
            // The CRC32c covers the ports: it would have to be computed over the whole packet.
            let port = word(bytes, at + if side == Side::Src { 0 } else { 2 });
            if now.port != 0 && port != Some(now.port) {
                return Err(Reason::RedirectImpossible);
            }
            4
        }
        (Protocol::TCP, Some(_)) => 18,
        (Protocol::UDP, Some(_)) => 8,
        (Protocol::ICMPV6, Some(_)) => 4,
        (_, Some(_) | None) => 0,
    };
    if bytes.len() < l4.unwrap_or(0) + needed {
        return Err(Reason::RedirectImpossible);
    }
    let delta = rewrite_addr(editor, l3, side, now.addr);
    if let Some(at) = l4 {
        rewrite_transport(editor, protocol, at, side, now.port, delta);
    }
    Ok(())
}

/// Address, and in IPv4 the header's checksum; returns the change under a pseudo-header.
fn rewrite_addr(editor: &mut Editor<'_>, l3: usize, side: Side, addr: Addr) -> Delta {
    match addr.as_v4() {
        Some(addr) => {
            let delta = editor.replace(l3 + if side == Side::Src { 12 } else { 16 }, &addr);
            editor.mend(l3 + 10, delta);
            delta
        }
        None => editor.replace(l3 + if side == Side::Src { 8 } else { 24 }, &addr.0),
    }
}

/// Port and checksum of the transport header at `at`, whose pseudo-header changed by `delta`.
fn rewrite_transport(editor: &mut Editor<'_>, protocol: u8, at: usize, side: Side, port: u16, delta: Delta) {
    let mut port_delta = Delta::default();
    if port != 0 && matches!(protocol, Protocol::TCP | Protocol::UDP) {
        port_delta = editor.replace(at + if side == Side::Src { 0 } else { 2 }, &port.to_be_bytes());
    }
    match protocol {
        Protocol::TCP => editor.mend(at + 16, delta.and(port_delta)),
        Protocol::UDP => editor.mend_udp(at + 6, delta.and(port_delta)),
        Protocol::ICMPV6 => editor.mend(at + 2, delta),
        _ => {}
    }
}

/// Mends the checksums of tunnel headers over all that changed inside, the innermost first.
fn mend_around(editor: &mut Editor<'_>, layers: &Layers, inside: usize) {
    for layer in layers.iter().rev() {
        let total = editor.total();
        let seen_from = |at: usize| if (inside - at).is_multiple_of(2) { total } else { total.swapped() };
        match layer {
            Layer::Udp(at) | Layer::UdpTeredo(at) => editor.mend_udp(at + 6, seen_from(at)),
            Layer::Gre { at, has_checksum: true, .. } => editor.mend(at + 4, seen_from(at)),
            Layer::Gre { has_checksum: false, .. }
            | Layer::Ethernet(_)
            | Layer::Length(_)
            | Layer::Pppoe(_)
            | Layer::Ipv4(_)
            | Layer::Ipv6(_)
            | Layer::Gtpu(_)
            | Layer::Pptp(_) => {}
        }
    }
}

/// A packet quoted by an ICMP error, cut anywhere after its addresses.
struct Quote {
    at: usize,
    src: Addr,
    dst: Addr,
    /// Protocol and offset of its transport header, where one is quoted.
    transport: Option<(u8, usize)>,
    ports: Option<(u16, u16)>,
    end: usize,
}

impl Quote {
    fn at(bytes: &[u8], at: usize, end: usize) -> Option<Self> {
        let bytes = bytes.get(..end.min(bytes.len()))?;
        let (src, dst) = match bytes.get(at)? >> 4 {
            4 => {
                let header = bytes.get(at..at + 20)?;
                let addr = |from: usize| {
                    Addr::v4([header[from], header[from + 1], header[from + 2], header[from + 3]])
                };
                (addr(12), addr(16))
            }
            6 => {
                let header = bytes.get(at..at + 40)?;
                let addr = |from: usize| header[from..from + 16].try_into().map(Addr::v6);
                (addr(8).ok()?, addr(24).ok()?)
            }
            _ => return None,
        };
        let transport = transport(bytes, at);
        let ports = match transport {
            Some((Protocol::TCP | Protocol::UDP, at)) => word(bytes, at).zip(word(bytes, at + 2)),
            _ => None,
        };
        Some(Self { at, src, dst, transport, ports, end: bytes.len() })
    }

    /// Whether the quoted packet's `side` is `endpoint`, as far as it is quoted.
    fn is_to(&self, side: Side, endpoint: Endpoint) -> bool {
        let (addr, port) = match side {
            Side::Src => (self.src, self.ports.map(|ports| ports.0)),
            Side::Dst => (self.dst, self.ports.map(|ports| ports.1)),
        };
        addr == endpoint.addr && (endpoint.port == 0 || port.is_none_or(|port| port == endpoint.port))
    }

    fn rewrite(&self, editor: &mut Editor<'_>, side: Side, now: Endpoint) {
        let delta = rewrite_addr(editor, self.at, side, now.addr);
        let Some((protocol, at)) = self.transport else { return };
        // Bytes beyond the quote are link-layer padding: neither ports nor checksum are there to mend.
        let quoted = self.end.saturating_sub(at);
        match protocol {
            Protocol::TCP if quoted >= 18 => rewrite_transport(editor, protocol, at, side, now.port, delta),
            Protocol::UDP | Protocol::ICMPV6 if quoted >= 8 => {
                rewrite_transport(editor, protocol, at, side, now.port, delta);
            }
            Protocol::TCP | Protocol::UDP if quoted >= 4 && now.port != 0 => {
                editor.replace(at + if side == Side::Src { 0 } else { 2 }, &now.port.to_be_bytes());
            }
            _ => {}
        }
    }
}
