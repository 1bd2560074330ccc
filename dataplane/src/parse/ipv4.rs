//! Is this IPv4 header to be believed, and what does it carry? (RFC 791, RFC 1122 3.2.1)

use super::walk::{Walk, be16, be32};
use super::{Addr, Fragment, Network, checksum, ip};
use crate::verdict::Reason;

pub(super) const HEADER_LEN: usize = 20;
const VERSION_4_NO_OPTIONS: u8 = 0x45;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;

/// Validates version, lengths, checksum and options, then goes on to the transport.
#[inline]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Ipv4Truncated)?;
    let available = walk.left(at);
    let mut total_len = usize::from(be16(header, 2));
    let mut header_len = HEADER_LEN;
    if header[0] != VERSION_4_NO_OPTIONS {
        header_len = checked_header_len(header[0], available)?;
    }
    if total_len < header_len || total_len > available {
        total_len = length_zero(walk, total_len, available)?;
    }
    let options = walk.rest(at + HEADER_LEN).get(..header_len - HEADER_LEN).unwrap_or_default();
    if walk.strictness.ipv4_checksum && !checksum::ipv4_header_is_good(header, options) {
        return Err(Reason::Ipv4Checksum);
    }
    if !options.is_empty() {
        check_options(options)?;
    }

    walk.trim(at + total_len);
    walk.at_network(at);
    let l4 = at + header_len;
    walk.at_transport(l4, l4);
    let [_, tos, _, _, _, _, _, _, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    walk.headers.network =
        Network::Ip { src: Addr::v4([s0, s1, s2, s3]), dst: Addr::v4([d0, d1, d2, d3]), protocol, ttl, tos };
    let fragment = be16(header, 6);
    if fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        walk.headers.fragment = Some(Fragment {
            id: be32(header, 4) >> 16,
            offset: (fragment & FRAGMENT_OFFSET) << 3,
            more: fragment & MORE_FRAGMENTS != 0,
            protocol,
        });
        return Ok(());
    }
    ip::parse_transport(walk, l4, protocol)
}

/// A sender's stack leaves zero where its NIC is to cut the packet into segments.
#[cold]
fn length_zero(walk: &Walk<'_>, total_len: usize, available: usize) -> Result<usize, Reason> {
    if total_len == 0 && !walk.strictness.ipv4_checksum {
        Ok(available)
    } else {
        Err(Reason::Ipv4TotalLength)
    }
}

#[cold]
fn checked_header_len(first: u8, available: usize) -> Result<usize, Reason> {
    if first >> 4 != 4 {
        return Err(Reason::Ipv4Version);
    }
    let header_len = usize::from(first & 0x0f) * 4;
    if header_len < HEADER_LEN || header_len > available {
        return Err(Reason::Ipv4HeaderLength);
    }
    Ok(header_len)
}

/// Every option lies inside the header (RFC 791 3.1).
#[cold]
fn check_options(options: &[u8]) -> Result<(), Reason> {
    let mut rest = options;
    loop {
        rest = match *rest {
            [] | [OPTION_END, ..] => return Ok(()),
            [OPTION_NOP, ..] => &rest[1..],
            [_, length, ..] if length >= 2 => rest.get(usize::from(length)..).ok_or(Reason::Ipv4Options)?,
            _ => return Err(Reason::Ipv4Options),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::{DST_V4, SRC_V4, eth, inner_ipv4, ipv4, ipv4_with, mend_ipv4, udp};
    use crate::parse::{
        Addr, Fragment, LinkType, Network, Protocol, Transport, ethernet, parse_ethernet,
        parse_frame_unverified,
    };
    use crate::verdict::Reason;

    fn parse(packet: &[u8]) -> Result<crate::parse::Headers, Reason> {
        parse_ethernet(&eth(ethernet::IPV4, packet))
    }

    #[test]
    fn the_fields_are_read() {
        let headers = parse(&inner_ipv4()).unwrap();
        let network = Network::Ip {
            src: Addr::v4(SRC_V4),
            dst: Addr::v4(DST_V4),
            protocol: Protocol::UDP,
            ttl: 64,
            tos: 0,
        };
        assert_eq!((headers.network, headers.l4_offset, headers.fragment), (network, 34, None));
    }

    #[test]
    fn a_header_cut_short_is_truncated() {
        assert_eq!(parse(&inner_ipv4()[..19]), Err(Reason::Ipv4Truncated));
    }

    #[test]
    fn another_version_is_refused() {
        let mut packet = inner_ipv4();
        packet[0] = 0x55;
        assert_eq!(parse(&packet), Err(Reason::Ipv4Version));
    }

    #[test]
    fn an_impossible_header_length_is_refused() {
        let mut packet = inner_ipv4();
        packet[0] = 0x44;
        assert_eq!(parse(&packet), Err(Reason::Ipv4HeaderLength), "below 20");
        packet[0] = 0x4f;
        assert_eq!(parse(&packet), Err(Reason::Ipv4HeaderLength), "beyond the packet");
    }

    #[test]
    fn an_impossible_total_length_is_refused() {
        for total in [0, 19, inner_ipv4().len() as u16 + 1] {
            let mut packet = inner_ipv4();
            packet[2..4].copy_from_slice(&total.to_be_bytes());
            mend_ipv4(&mut packet);
            assert_eq!(parse(&packet), Err(Reason::Ipv4TotalLength));
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused_unless_told_otherwise() {
        let mut packet = inner_ipv4();
        packet[8] -= 1;
        assert_eq!(parse(&packet), Err(Reason::Ipv4Checksum));
        let frame = eth(ethernet::IPV4, &packet);
        assert_eq!(parse_frame_unverified(&frame, LinkType::Ethernet).unwrap().ports(), (1000, 2000));
    }

    #[test]
    fn segmentation_offload_leaves_a_zero_length_that_is_believed_when_told_so() {
        let mut packet = inner_ipv4();
        packet[2..4].fill(0);
        let frame = eth(ethernet::IPV4, &packet);
        let headers = parse_frame_unverified(&frame, LinkType::Ethernet).unwrap();
        assert_eq!(headers.payload(&frame), b"inner");
    }

    #[test]
    fn options_are_skipped() {
        let router_alert = [148, 4, 0, 0, 1, 1, 0, 0];
        let headers = parse(&ipv4_with(Protocol::UDP, 0, &router_alert, &udp(1000, 2000, b"inner"))).unwrap();
        assert_eq!((headers.l4_offset, headers.ports()), (42, (1000, 2000)));
    }

    #[test]
    fn an_option_that_runs_past_the_header_is_refused() {
        for options in [[7, 5, 0, 0], [7, 1, 0, 0], [1, 1, 1, 7]] {
            let packet = ipv4_with(Protocol::UDP, 0, &options, &udp(1000, 2000, b"inner"));
            assert_eq!(parse(&packet), Err(Reason::Ipv4Options));
        }
    }

    #[test]
    fn a_fragment_has_no_transport() {
        for (field, offset, more) in [(0x2000, 0, true), (0x2001, 8, true), (0x1fff, 65_528, false)] {
            let headers = parse(&ipv4_with(Protocol::UDP, field, &[], &udp(1000, 2000, b"inner"))).unwrap();
            let fragment = Fragment { id: 0x1234, offset, more, protocol: Protocol::UDP };
            assert_eq!((headers.fragment, headers.transport), (Some(fragment), Transport::None));
            assert_eq!((headers.l4_offset, headers.payload_offset), (34, 34));
        }
    }

    #[test]
    fn dont_fragment_is_no_fragment() {
        let headers = parse(&ipv4_with(Protocol::UDP, 0x4000, &[], &udp(1000, 2000, b""))).unwrap();
        assert_eq!((headers.fragment, headers.ports()), (None, (1000, 2000)));
    }

    #[test]
    fn a_protocol_without_ports_has_no_transport() {
        for protocol in [Protocol::ESP, Protocol::AH, 136, 2] {
            let headers = parse(&ipv4(protocol, b"whatever")).unwrap();
            assert_eq!((headers.transport, headers.payload_offset), (Transport::None, 34));
        }
    }
}
