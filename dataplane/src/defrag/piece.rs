//! What does one fragment carry, and is it lawful by itself?
//!
//! Looks for the data of the fragment by itself rather than at `Headers::l4_offset`: in IPv6 the fragment
//! header may be followed by further extension headers, which belong to the data.

use super::overlap::Span;
use crate::parse::{Addr, Headers, Network, Protocol};
use crate::verdict::Reason;

/// Longest header before the data that a datagram can have: an IPv4 header is at most 60 bytes; IPv6 has
/// room for 216 bytes of hop-by-hop options and routing headers.
pub(super) const HEADER_BYTES_MAX: usize = 256;
/// Longest datagram, its header included. IPv4's length field ends there. IPv6 could say 40 bytes more, but
/// offsets are 16 bits in all rooms, and no sender is known to go that far.
const DATAGRAM_BYTES_MAX: usize = 65_535;
const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
const FRAGMENT_HEADER_BYTES: usize = 8;
const EXTENSIONS_MAX: usize = 16;

/// The name of a datagram (RFC 791 3.2, RFC 8200 4.5), in its VLAN and tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    src: Addr,
    dst: Addr,
    id: u32,
    vni: u32,
    vlan_outer: u16,
    vlan_inner: u16,
    /// IPv4: the protocol. IPv6 has none: the fragments may disagree about the next header.
    protocol: u8,
    version: u8,
}

/// A fragment's place and bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Network header up to the data, IPv6 without its fragment header.
    pub(super) header: &'a [u8],
    /// Where in `header` the protocol of the data has to stand.
    pub(super) protocol_at: u8,
    /// The protocol of the data.
    pub(super) protocol: u8,
    pub(super) data: &'a [u8],
    pub(super) span: Span,
    pub(super) more: bool,
}

impl Key {
    /// `None` where the packet is no fragment.
    pub(super) fn of(bytes: &[u8], headers: &Headers) -> Option<Self> {
        let fragment = headers.fragment?;
        let Network::Ip { src, dst, .. } = headers.network else { return None };
        let version = bytes.get(usize::from(headers.l3_offset))? >> 4;
        Some(Self {
            src,
            dst,
            id: fragment.id,
            vni: headers.vni,
            vlan_outer: headers.vlan_outer,
            vlan_inner: headers.vlan_inner,
            protocol: if version == 4 { fragment.protocol } else { 0 },
            version,
        })
    }
}

impl<'a> Piece<'a> {
    /// Reads the fragment that `headers` describe.
    pub(super) fn of(bytes: &'a [u8], headers: &Headers) -> Result<Self, Reason> {
        let packet = bytes
            .get(usize::from(headers.l3_offset)..usize::from(headers.end))
            .ok_or(Reason::FragmentLength)?;
        let fragment = headers.fragment.ok_or(Reason::FragmentLength)?;
        let version = packet.first().ok_or(Reason::FragmentLength)? >> 4;
        let (header_bytes, data_at, protocol_at) = match version {
            4 => {
                let length = usize::from(packet[0] & 0x0f) * 4;
                if length < IPV4_HEADER_BYTES {
                    return Err(Reason::Ipv4HeaderLength);
                }
                (length, length, 9)
            }
            6 => {
                let (at, protocol_at) = fragment_header(packet)?;
                (at, at + FRAGMENT_HEADER_BYTES, protocol_at)
            }
            _ => return Err(Reason::FragmentLength),
        };
        let data = packet.get(data_at..).ok_or(Reason::FragmentLength)?;
        let start = usize::from(fragment.offset);
        let end = start + data.len();
        if header_bytes + end > DATAGRAM_BYTES_MAX {
            return Err(Reason::FragmentTooLarge);
        }
        if data.is_empty() || (fragment.more && data.len() % 8 != 0) || start % 8 != 0 {
            return Err(Reason::FragmentLength);
        }
        if header_bytes > HEADER_BYTES_MAX {
            return Err(Reason::Ipv6ExtensionTooMany);
        }
        if start == 0 && fragment.more && !holds_transport(fragment.protocol, data) {
            return Err(Reason::FragmentTiny);
        }
        Ok(Self {
            header: &packet[..header_bytes],
            protocol_at,
            protocol: fragment.protocol,
            data,
            // Lossless: the end is below the longest datagram.
            span: Span { start: start as u16, end: end as u16 },
            more: fragment.more,
        })
    }

    /// A whole datagram that says it is a fragment: RFC 6946 wants it apart from all others.
    pub(super) const fn is_atomic(&self) -> bool {
        self.span.start == 0 && !self.more
    }
}

/// Whether header and data of a whole datagram exceed what its length field can say.
pub(super) const fn is_too_large(header: &[u8], data_bytes: usize) -> bool {
    header.len() + data_bytes > DATAGRAM_BYTES_MAX
}

/// Where the IPv6 fragment header starts, and where the header before it names it.
fn fragment_header(packet: &[u8]) -> Result<(usize, u8), Reason> {
    let mut protocol_at = 6;
    let mut at = IPV6_HEADER_BYTES;
    for _ in 0..EXTENSIONS_MAX {
        let next = *packet.get(protocol_at).ok_or(Reason::Ipv6ExtensionTruncated)?;
        if next == Protocol::FRAGMENT {
            return if protocol_at < HEADER_BYTES_MAX {
                Ok((at, protocol_at as u8))
            } else {
                Err(Reason::Ipv6ExtensionTooMany)
            };
        }
        let length = extension_bytes(next, packet.get(at..).unwrap_or_default())
            .ok_or(Reason::Ipv6ExtensionTruncated)?;
        protocol_at = at;
        at += length;
    }
    Err(Reason::Ipv6ExtensionTooMany)
}

/// Length of the extension header of type `next` that starts `bytes`; `None` where it is none or is cut.
fn extension_bytes(next: u8, bytes: &[u8]) -> Option<usize> {
    let length = usize::from(*bytes.get(1)?);
    match next {
        Protocol::HOP_BY_HOP
        | Protocol::ROUTING
        | Protocol::DESTINATION_OPTIONS
        | Protocol::MOBILITY
        | Protocol::HIP
        | Protocol::SHIM6 => Some((length + 1) * 8),
        Protocol::AH => Some((length + 2) * 4),
        _ => None,
    }
}

/// RFC 7112 5 and RFC 1858 3: the first fragment holds all headers, up to and with the transport's.
fn holds_transport(mut protocol: u8, mut data: &[u8]) -> bool {
    for _ in 0..EXTENSIONS_MAX {
        let needed = match protocol {
            Protocol::TCP => 20,
            Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6 => 8,
            Protocol::SCTP => 12,
            Protocol::HOP_BY_HOP | Protocol::ROUTING | Protocol::DESTINATION_OPTIONS | Protocol::AH => {
                let Some((next, rest)) = data
                    .first()
                    .copied()
                    .zip(extension_bytes(protocol, data).and_then(|length| data.get(length..)))
                else {
                    return false;
                };
                (protocol, data) = (next, rest);
                continue;
            }
            _ => 0,
        };
        return data.len() >= needed;
    }
    false
}
