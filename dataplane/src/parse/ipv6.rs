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
    let (src, dst) = (address(header, 8), address(header, 24));
    // `Addr` could not tell it from IPv4.
    if src.is_v4() || dst.is_v4() {
        return Err(Reason::Ipv6ReservedAddress);
    }
    if walk.strictness.forbidden && (src.is_mapped() || dst.is_mapped()) {
        return Err(Reason::Ipv6MappedAddress);
    }
    walk.trim(l4 + payload_len);
    walk.at_network(at);

    let chain = if ip::is_extension(next) {
        extensions(walk, l4, next)?
    } else {
        Chain { protocol: next, l4, fragment: None }
    };
    walk.at_transport(chain.l4, chain.l4);
    walk.headers.network =
        Network::Ip { src, dst, protocol: chain.protocol, ttl: header[7], tos: (be16(header, 0) >> 4) as u8 };
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
            Protocol::ROUTING if kind == ROUTING_TYPE_0 && walk.strictness.forbidden => {
                return Err(Reason::Ipv6RoutingType0);
            }
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

#[cfg(test)]
mod tests {
    use super::EXTENSIONS_MAX;
    use crate::parse::craft::{DST_V6, SRC_V6, eth, extension, fragment6, inner_ipv6, ipv6, join, udp};
    use crate::parse::{Addr, Fragment, Headers, Network, Protocol, Transport, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    fn parse(packet: &[u8]) -> Result<Headers, Reason> {
        parse_ethernet(&eth(ethernet::IPV6, packet))
    }

    fn datagram() -> Vec<u8> {
        udp(1000, 2000, b"inner")
    }

    #[test]
    fn the_fields_are_read() {
        let mut packet = inner_ipv6();
        packet[0] = 0x6a;
        packet[1] = 0xb0;
        let headers = parse(&packet).unwrap();
        let network = Network::Ip {
            src: Addr::v6(SRC_V6),
            dst: Addr::v6(DST_V6),
            protocol: Protocol::UDP,
            ttl: 64,
            tos: 0xab,
        };
        assert_eq!((headers.network, headers.l4_offset), (network, 54));
    }

    #[test]
    fn a_header_cut_short_is_truncated() {
        assert_eq!(parse(&inner_ipv6()[..39]), Err(Reason::Ipv6Truncated));
    }

    #[test]
    fn another_version_is_refused() {
        let mut packet = inner_ipv6();
        packet[0] = 0x70;
        assert_eq!(parse(&packet), Err(Reason::Ipv6Version));
    }

    #[test]
    fn a_payload_length_beyond_the_frame_is_refused() {
        let mut packet = inner_ipv6();
        packet[5] += 1;
        assert_eq!(parse(&packet), Err(Reason::Ipv6PayloadLength));
    }

    #[test]
    fn an_address_that_would_pass_for_ipv4_is_refused() {
        for at in [8, 24] {
            let mut packet = inner_ipv6();
            packet[at..at + 12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
            assert_eq!(parse(&packet), Err(Reason::Ipv6MappedAddress));
            packet[at..at + 2].copy_from_slice(&[0xff, 0]);
            assert_eq!(parse(&packet), Err(Reason::Ipv6ReservedAddress));
        }
    }

    #[test]
    fn a_jumbogram_cannot_be_in_a_frame() {
        let jumbo = join(&[&[Protocol::UDP, 0, 0xc2, 4, 0, 1, 0, 0], &datagram()]);
        let mut packet = ipv6(Protocol::HOP_BY_HOP, &jumbo);
        assert_eq!(parse(&packet), Err(Reason::Ipv6PayloadLength), "the option beside a length");
        packet[4..6].fill(0);
        assert_eq!(parse(&packet), Err(Reason::Ipv6PayloadLength), "a length of zero");
    }

    #[test]
    fn every_extension_header_is_walked() {
        let routing_type_2 = join(&[&[Protocol::DESTINATION_OPTIONS, 0, 2, 0, 0, 0, 0, 0]]);
        let chain = join(&[
            &extension(Protocol::ROUTING, &[]),
            &routing_type_2,
            &extension(Protocol::AH, &[]),
            // RFC 4302: length 4 means 24 bytes.
            &join(&[&[Protocol::MOBILITY, 4], &[0; 22]]),
            &extension(Protocol::HIP, &[]),
            &extension(Protocol::SHIM6, &[]),
            &extension(Protocol::UDP, &[]),
            &datagram(),
        ]);
        let headers = parse(&ipv6(Protocol::HOP_BY_HOP, &chain)).unwrap();
        assert_eq!((headers.ports(), headers.l4_offset), ((1000, 2000), 54 + 6 * 8 + 24));
    }

    #[test]
    fn a_mobility_message_is_its_own_protocol() {
        let headers = parse(&ipv6(Protocol::MOBILITY, &extension(Protocol::NO_NEXT, &[]))).unwrap();
        assert!(matches!(headers.network, Network::Ip { protocol: Protocol::MOBILITY, .. }));
        assert_eq!(headers.l4_offset, 54);
    }

    #[test]
    fn nothing_follows_no_next_header_and_esp() {
        for protocol in [Protocol::NO_NEXT, Protocol::ESP] {
            let headers = parse(&ipv6(protocol, b"x")).unwrap();
            assert_eq!((headers.transport, headers.l4_offset), (Transport::None, 54));
        }
    }

    #[test]
    fn an_extension_header_cut_short_is_truncated() {
        for chain in [
            &[Protocol::UDP, 0, 0, 0, 0, 0, 0][..],
            &[Protocol::UDP, 1, 1, 4, 0, 0, 0, 0],
            &[Protocol::UDP, 0, 1, 5, 0, 0, 0, 0],
            &[Protocol::UDP, 0, 1, 3, 0, 0, 0, 9],
        ] {
            let packet = ipv6(Protocol::DESTINATION_OPTIONS, chain);
            assert_eq!(parse(&packet), Err(Reason::Ipv6ExtensionTruncated), "{chain:?}");
        }
    }

    #[test]
    fn hop_by_hop_options_anywhere_but_first_are_refused() {
        let chain = extension(Protocol::HOP_BY_HOP, &extension(Protocol::UDP, &datagram()));
        let packet = ipv6(Protocol::DESTINATION_OPTIONS, &chain);
        assert_eq!(parse(&packet), Err(Reason::Ipv6ExtensionOrder));
    }

    #[test]
    fn more_extension_headers_than_we_follow_are_refused() {
        let mut chain = extension(Protocol::UDP, &datagram());
        for _ in 1..EXTENSIONS_MAX {
            chain = extension(Protocol::DESTINATION_OPTIONS, &chain);
        }
        assert!(parse(&ipv6(Protocol::DESTINATION_OPTIONS, &chain)).is_ok());
        chain = extension(Protocol::DESTINATION_OPTIONS, &chain);
        let packet = ipv6(Protocol::DESTINATION_OPTIONS, &chain);
        assert_eq!(parse(&packet), Err(Reason::Ipv6ExtensionTooMany));
    }

    #[test]
    fn routing_type_0_is_refused() {
        let chain = join(&[&[Protocol::UDP, 0, 0, 0, 0, 0, 0, 0], &datagram()]);
        assert_eq!(parse(&ipv6(Protocol::ROUTING, &chain)), Err(Reason::Ipv6RoutingType0));
    }

    #[test]
    fn a_fragment_has_no_transport() {
        for (field, offset, more) in [(1, 0, true), (0x0010, 16, false), (0xfff9, 0xfff8, true)] {
            let chain = extension(Protocol::FRAGMENT, &fragment6(Protocol::UDP, field, &datagram()));
            let headers = parse(&ipv6(Protocol::DESTINATION_OPTIONS, &chain)).unwrap();
            let fragment = Fragment { id: 0xabcd, offset, more, protocol: Protocol::UDP };
            assert_eq!((headers.fragment, headers.transport), (Some(fragment), Transport::None));
            assert_eq!(headers.l4_offset, 54 + 16);
        }
    }

    #[test]
    fn an_atomic_fragment_is_a_whole_packet() {
        let packet = ipv6(Protocol::FRAGMENT, &fragment6(Protocol::UDP, 0, &datagram()));
        let headers = parse(&packet).unwrap();
        assert_eq!((headers.fragment, headers.ports()), (None, (1000, 2000)));
    }
}
