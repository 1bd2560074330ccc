//! What does an Ethernet header, or an EtherType elsewhere, announce?
//!
//! Ethernet II and IEEE 802.3 with LLC (IEEE 802.3 3.2.6: below 1,536 the field is a length).

use super::walk::{Walk, be16};
use super::{Mac, arp, ipv4, ipv6, llc, mpls, pppoe, vlan};
use crate::verdict::Reason;

/// Destination, source, type.
pub(super) const HEADER_LEN: usize = 14;
/// From here on the type field is a type, below it is a length.
pub(super) const ETHERTYPE_MIN: u16 = 0x0600;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const BRIDGED: u16 = 0x6558;
pub(super) const VLAN: u16 = 0x8100;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const MPLS: u16 = 0x8847;
pub(super) const MPLS_UPSTREAM: u16 = 0x8848;
pub(super) const PPPOE_DISCOVERY: u16 = 0x8863;
pub(super) const PPPOE_SESSION: u16 = 0x8864;
pub(super) const QINQ: u16 = 0x88a8;
pub(super) const QINQ_OLD: u16 = 0x9100;

/// The frame's own Ethernet header, at its first byte.
#[inline]
pub(super) fn parse_outermost(walk: &mut Walk<'_>) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(0, Reason::EthernetTruncated)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
    walk.headers.dst_mac = Mac([d0, d1, d2, d3, d4, d5]);
    walk.headers.src_mac = Mac([s0, s1, s2, s3, s4, s5]);
    let ethertype = u16::from_be_bytes([t0, t1]);
    walk.headers.ethertype = ethertype;
    match ethertype {
        IPV4 => ipv4::parse(walk, HEADER_LEN),
        IPV6 => ipv6::parse(walk, HEADER_LEN),
        other => parse_payload(walk, HEADER_LEN, other),
    }
}

/// An Ethernet header inside a tunnel or pseudowire; the addresses that count are the outermost.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::EthernetTruncated)?;
    parse_payload(walk, at + HEADER_LEN, be16(header, 12))
}

/// What `ethertype` announces at `at`, tags first.
#[inline(never)]
pub(super) fn parse_payload(walk: &mut Walk<'_>, at: usize, ethertype: u16) -> Result<(), Reason> {
    let (at, ethertype) = vlan::skip(walk, at, ethertype)?;
    walk.headers.ethertype = ethertype;
    match ethertype {
        IPV4 => ipv4::parse(walk, at),
        IPV6 => ipv6::parse(walk, at),
        ARP => arp::parse(walk, at),
        MPLS | MPLS_UPSTREAM => mpls::parse(walk, at),
        PPPOE_SESSION => pppoe::parse(walk, at),
        PPPOE_DISCOVERY => pppoe::parse_discovery(walk, at),
        length if length < ETHERTYPE_MIN => {
            walk.trim(at + usize::from(length));
            walk.headers.ethertype = 0;
            llc::parse(walk, at)
        }
        _ => walk.other(at),
    }
}

/// Whether `ethertype` is one that a real Ethernet header inside a pseudowire would carry.
pub(super) const fn is_common(ethertype: u16) -> bool {
    matches!(ethertype, IPV4 | IPV6 | ARP | VLAN | QINQ | QINQ_OLD | MPLS | PPPOE_SESSION)
}

#[cfg(test)]
mod tests {
    use super::IPV4;
    use crate::parse::craft::{DST_MAC, SRC_MAC, eth, inner_ipv4, join};
    use crate::parse::{Mac, Network, Transport, parse_ethernet};
    use crate::verdict::Reason;

    #[test]
    fn addresses_and_type_are_read() {
        let headers = parse_ethernet(&eth(IPV4, &inner_ipv4())).unwrap();
        assert_eq!((headers.src_mac, headers.dst_mac), (Mac(SRC_MAC), Mac(DST_MAC)));
        assert_eq!((headers.ethertype, headers.l3_offset, headers.outer_l3_offset), (IPV4, 14, 14));
    }

    #[test]
    fn a_runt_is_truncated() {
        for len in 0..14 {
            assert_eq!(parse_ethernet(&eth(IPV4, &[])[..len]), Err(Reason::EthernetTruncated));
        }
    }

    #[test]
    fn more_than_offsets_can_hold_is_too_large() {
        assert_eq!(parse_ethernet(&vec![0; 65_536]), Err(Reason::FrameTooLarge));
    }

    #[test]
    fn an_unknown_type_is_of_layer_2() {
        let headers = parse_ethernet(&eth(0x88cc, b"lldp")).unwrap();
        assert_eq!((headers.network, headers.transport), (Network::Other, Transport::None));
        assert_eq!((headers.ethertype, headers.l3_offset, headers.end), (0x88cc, 14, 18));
    }

    #[test]
    fn padding_is_beyond_the_end() {
        let frame = join(&[&eth(IPV4, &inner_ipv4()), &[0; 13]]);
        let headers = parse_ethernet(&frame).unwrap();
        assert_eq!(usize::from(headers.end), frame.len() - 13);
        assert_eq!(headers.payload(&frame), b"inner");
    }

    #[test]
    fn stp_behind_a_length_is_of_layer_2() {
        let headers = parse_ethernet(&eth(3, &[0x42, 0x42, 3, 0, 0, 0])).unwrap();
        assert_eq!((headers.network, headers.ethertype, headers.end), (Network::Other, 0, 17));
    }

    #[test]
    fn snap_is_followed_into_ip() {
        let llc = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner_ipv4()]);
        let headers = parse_ethernet(&eth(llc.len() as u16, &llc)).unwrap();
        assert_eq!((headers.ports(), headers.l3_offset), ((1000, 2000), 22));
    }
}
