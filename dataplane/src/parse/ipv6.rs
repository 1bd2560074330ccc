//! What is behind the IPv6 header and its chain of extension headers? (RFC 8200)
//!
//! Every extension header that IANA lists is walked; ESP ends the walk, for what is behind it is encrypted.

use super::walk::{Walk, be16, be32};
use super::{Addr, Fragment, Network, Protocol, ip};
use crate::verdict::Reason;

/// Extension headers followed in one packet; RFC 8200 4.1 lists seven and allows one of them twice.
pub const EXTENSIONS_MAX: usize = 8;

pub(super) const HEADER_LEN: usize = 40;
const FRAGMENT_LEN: usize = 8;
const ROUTING_TYPE_0: u8 = 0;
const OPTION_PAD1: u8 = 0;
const OPTION_JUMBO: u8 = 0xc2;

/// Validates the fixed header, walks the extension headers, then goes on to the transport.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Ipv6Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::Ipv6Version);
    }
    let payload_len = usize::from(be16(header, 4));
    let next = header[6];
    let l4 = at + HEADER_LEN;
    // RFC 2675 2: a length of zero before hop-by-hop options means more than 65,535 bytes, and no frame
    // here holds that many.
    if payload_len > walk.left(l4) || (payload_len == 0 && next == Protocol::HOP_BY_HOP) {
        return Err(Reason::Ipv6PayloadLength);
    }
    walk.trim(l4 + payload_len);
    walk.at_network(at);

    let chain = if ip::is_extension(next) {
        extensions(walk, l4, next)?
    } else {
        Chain { protocol: next, l4, fragment: None }
    };
    walk.at_transport(chain.l4, chain.l4);
    walk.headers.network = Network::Ip {
        src: address(header, 8),
        dst: address(header, 24),
        protocol: chain.protocol,
        ttl: header[7],
        tos: (be16(header, 0) >> 4) as u8,
    };
    walk.headers.fragment = chain.fragment;
    if chain.fragment.is_some() {
        return Ok(());
    }
    ip::parse_transport(walk, chain.l4, chain.protocol)
}

fn address(header: &[u8; HEADER_LEN], at: usize) -> Addr {
    Addr::v6(*header[at..].first_chunk().expect("both addresses lie inside the fixed header"))
}

/// Where a chain of extension headers ends.
struct Chain {
    protocol: u8,
    l4: usize,
    fragment: Option<Fragment>,
}

fn extensions(walk: &Walk<'_>, first: usize, protocol: u8) -> Result<Chain, Reason> {
    let mut at = first;
    let mut protocol = protocol;
    for _ in 0..EXTENSIONS_MAX {
        if !ip::is_extension(protocol) {
            return Ok(Chain { protocol, l4: at, fragment: None });
        }
        let header: &[u8; 8] = walk.header(at, Reason::Ipv6ExtensionTruncated)?;
        let [next, units, kind, ..] = *header;
        let length = match protocol {
            Protocol::FRAGMENT => FRAGMENT_LEN,
            // RFC 4302 2.2: in 4-byte units, minus two.
            Protocol::AH => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        let body = walk.rest(at).get(..length).ok_or(Reason::Ipv6ExtensionTruncated)?;
        match protocol {
            // RFC 8200 4.1: only directly behind the IPv6 header.
            Protocol::HOP_BY_HOP if at != first => return Err(Reason::Ipv6ExtensionOrder),
            Protocol::HOP_BY_HOP | Protocol::DESTINATION_OPTIONS => check_options(&body[2..])?,
            Protocol::ROUTING if kind == ROUTING_TYPE_0 => return Err(Reason::Ipv6RoutingType0),
            Protocol::FRAGMENT => {
                let offset = be16(header, 2) & 0xfff8;
                let more = header[3] & 1 == 1;
                // RFC 6946: offset zero and no more to come is a whole packet.
                if offset != 0 || more {
                    let fragment = Fragment { id: be32(header, 4), offset, more, protocol: next };
                    return Ok(Chain { protocol: next, l4: at + length, fragment: Some(fragment) });
                }
            }
            // RFC 6275 6.1.1, RFC 7401 5.1, RFC 5533 5.1: the header itself is the message.
            Protocol::MOBILITY | Protocol::HIP | Protocol::SHIM6 if next == Protocol::NO_NEXT => {
                return Ok(Chain { protocol, l4: at, fragment: None });
            }
            _ => {}
        }
        protocol = next;
        at += length;
    }
    if ip::is_extension(protocol) {
        return Err(Reason::Ipv6ExtensionTooMany);
    }
    Ok(Chain { protocol, l4: at, fragment: None })
}

/// Every option lies inside its header, and none claims that the packet is a jumbogram (RFC 8200 4.2).
fn check_options(options: &[u8]) -> Result<(), Reason> {
    let mut rest = options;
    loop {
        rest = match *rest {
            [] => return Ok(()),
            [OPTION_PAD1, ..] => &rest[1..],
            // RFC 2675 3: the payload length was not zero.
            [OPTION_JUMBO, ..] => return Err(Reason::Ipv6PayloadLength),
            [_, length, ..] => rest.get(2 + usize::from(length)..).ok_or(Reason::Ipv6ExtensionTruncated)?,
            [_] => return Err(Reason::Ipv6ExtensionTruncated),
        }
    }
}
