//! What does a GRE tunnel carry? RFC 2784 and RFC 2890, PPTP's version 1 (RFC 2637), ERSPAN.

use super::ethernet::{BRIDGED, IPV4, IPV6, MPLS, MPLS_UPSTREAM, QINQ, VLAN};
use super::walk::{Walk, be16, be32};
use super::{Tunnel, ethernet, pppoe};
use crate::verdict::Reason;

/// Flags and version, protocol type.
const HEADER_LEN: usize = 4;
const CHECKSUM: u16 = 0x8000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;
/// Bits 1, 4 and 5 (routing, strict source route, recursion): RFC 2784 2.1 says to discard.
const UNFOLLOWED: u16 = 0x4c00;

const PPP: u16 = 0x880b;
/// Types I and II; type II has the sequence bit set.
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const ERSPAN_II_LEN: usize = 8;
const ERSPAN_III_LEN: usize = 12;
const ERSPAN_III_SUBHEADER_LEN: usize = 8;

/// Enters what the tunnel carries, if that is followed; else the GRE packet itself is the innermost.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::GreTruncated)?;
    let flags = be16(header, 0);
    let protocol = be16(header, 2);
    match flags & VERSION {
        0 => parse_v0(walk, at, flags, protocol),
        1 => parse_pptp(walk, at, flags, protocol),
        _ => Err(Reason::GreVersion),
    }
}

fn parse_v0(walk: &mut Walk<'_>, at: usize, flags: u16, protocol: u16) -> Result<(), Reason> {
    if flags & UNFOLLOWED != 0 {
        return Err(Reason::GreVersion);
    }
    let mut inner_at = at + HEADER_LEN;
    if flags & CHECKSUM != 0 {
        inner_at += 4;
    }
    let key_at = inner_at;
    if flags & KEY != 0 {
        inner_at += 4;
    }
    if flags & SEQUENCE != 0 {
        inner_at += 4;
    }
    if inner_at > walk.len() {
        return Err(Reason::GreTruncated);
    }
    let vni = (flags & KEY != 0).then(|| be32(walk.rest(key_at), 0));
    match protocol {
        IPV4 | IPV6 | VLAN | QINQ | MPLS | MPLS_UPSTREAM => {
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse_payload(walk, inner_at, protocol))
        }
        BRIDGED => walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at)),
        ERSPAN if flags & SEQUENCE == 0 => {
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at))
        }
        ERSPAN => {
            let _: &[u8; ERSPAN_II_LEN] = walk.header(inner_at, Reason::GreTruncated)?;
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at + ERSPAN_II_LEN))
        }
        ERSPAN_III => {
            let erspan: &[u8; ERSPAN_III_LEN] = walk.header(inner_at, Reason::GreTruncated)?;
            let has_subheader = erspan[11] & 1 == 1;
            let length = ERSPAN_III_LEN + if has_subheader { ERSPAN_III_SUBHEADER_LEN } else { 0 };
            if length > walk.left(inner_at) {
                return Err(Reason::GreTruncated);
            }
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at + length))
        }
        PPP => walk.enter(Tunnel::Gre, vni, |walk| pppoe::parse_framed_ppp(walk, inner_at)),
        _ => Ok(()),
    }
}

/// RFC 2637 4.1. The key's call ID names a receiver, not the call, so it is no VNI: the two directions of
/// a flow would differ in it.
fn parse_pptp(walk: &mut Walk<'_>, at: usize, flags: u16, protocol: u16) -> Result<(), Reason> {
    if protocol != PPP || flags & KEY == 0 || flags & (CHECKSUM | UNFOLLOWED) != 0 {
        return Err(Reason::GreVersion);
    }
    let key: &[u8; 4] = walk.header(at + HEADER_LEN, Reason::GreTruncated)?;
    let mut inner_at = at + HEADER_LEN + 4;
    if flags & SEQUENCE != 0 {
        inner_at += 4;
    }
    if flags & ACKNOWLEDGMENT != 0 {
        inner_at += 4;
    }
    let payload_len = usize::from(be16(key, 0));
    if inner_at > walk.len() || payload_len > walk.left(inner_at) {
        return Err(Reason::GreTruncated);
    }
    if payload_len == 0 {
        return Ok(());
    }
    walk.enter(Tunnel::Gre, None, |walk| {
        walk.trim(inner_at + payload_len);
        pppoe::parse_framed_ppp(walk, inner_at)
    })
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::{eth, inner_ipv4, inner_ipv6, ipv4, join};
    use crate::parse::{Headers, Network, Protocol, Transport, Tunnel, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    fn parse(parts: &[&[u8]]) -> Result<Headers, Reason> {
        parse_ethernet(&eth(ethernet::IPV4, &ipv4(Protocol::GRE, &join(parts))))
    }

    fn assert_entered(headers: Result<Headers, Reason>, vni: u32) {
        let headers = headers.unwrap();
        assert_eq!((headers.tunnel, headers.tunnel_depth, headers.vni), (Tunnel::Gre, 1, vni));
        assert_eq!((headers.ports(), headers.outer_l3_offset), ((1000, 2000), 14));
    }

    #[test]
    fn ip_is_entered_with_every_set_of_optional_fields() {
        let (checksum, key, sequence) = ([0; 4], [0, 0, 0, 7], [0; 4]);
        assert_entered(parse(&[&[0, 0, 8, 0], &inner_ipv4()]), 0);
        assert_entered(parse(&[&[0, 0, 0x86, 0xdd], &inner_ipv6()]), 0);
        assert_entered(parse(&[&[0x80, 0, 8, 0], &checksum, &inner_ipv4()]), 0);
        assert_entered(parse(&[&[0x20, 0, 8, 0], &key, &inner_ipv4()]), 7);
        assert_entered(parse(&[&[0xb0, 0, 8, 0], &checksum, &key, &sequence, &inner_ipv4()]), 7);
    }

    #[test]
    fn bridged_ethernet_is_entered() {
        let inner = eth(ethernet::IPV4, &inner_ipv4());
        assert_entered(parse(&[&[0x20, 0, 0x65, 0x58], &[0, 0, 9, 0], &inner]), 0x900);
    }

    #[test]
    fn erspan_is_entered_in_its_three_types() {
        let inner = eth(ethernet::IPV4, &inner_ipv4());
        assert_entered(parse(&[&[0, 0, 0x88, 0xbe], &inner]), 0);
        assert_entered(parse(&[&[0x10, 0, 0x88, 0xbe], &[0; 4], &[0x10; 8], &inner]), 0);
        assert_entered(parse(&[&[0x10, 0, 0x22, 0xeb], &[0; 4], &[0x20; 12], &inner]), 0);
        let subheader = [0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_entered(parse(&[&[0x10, 0, 0x22, 0xeb], &[0; 4], &subheader, &[0; 8], &inner]), 0);
    }

    #[test]
    fn pptp_is_entered_and_its_call_is_no_vni() {
        let ppp = join(&[&[0xff, 3, 0, 0x21], &inner_ipv4()]);
        let key = [0, ppp.len() as u8, 0, 9];
        assert_entered(parse(&[&[0x30, 0x81, 0x88, 0x0b], &key, &[0; 8], &ppp]), 0);
        assert_entered(parse(&[&[0x30, 0x01, 0x88, 0x0b], &key, &[0; 4], &ppp]), 0);
        let acknowledgment = parse(&[&[0x20, 0x81, 0x88, 0x0b], &[0, 0, 0, 9], &[0; 4]]).unwrap();
        assert_eq!((acknowledgment.tunnel, acknowledgment.l3_offset), (Tunnel::None, 14));
    }

    #[test]
    fn what_carries_no_ip_is_not_entered() {
        let arp = eth(0x88cc, b"lldp");
        for parts in [&[&[0, 0, 0, 0][..]][..], &[&[0, 0, 0x12, 0x34], b"x"], &[&[0, 0, 0x65, 0x58], &arp]] {
            let headers = parse(parts).unwrap();
            assert!(matches!(headers.network, Network::Ip { protocol: Protocol::GRE, .. }));
            assert_eq!((headers.tunnel, headers.tunnel_depth), (Tunnel::None, 0));
            assert_eq!((headers.transport, headers.l4_offset), (Transport::None, 34));
        }
    }

    #[test]
    fn a_header_cut_short_is_truncated() {
        for parts in [
            &[&[0, 0, 8][..]][..],
            &[&[0x20, 0, 8, 0], &[0, 0, 0]],
            &[&[0x10, 0, 0x88, 0xbe], &[0; 4], &[0; 7]],
            &[&[0x10, 0, 0x22, 0xeb], &[0; 4], &[0; 11]],
            &[&[0x10, 0, 0x22, 0xeb], &[0; 4], &[1; 12], &[0; 7]],
            &[&[0x20, 1, 0x88, 0x0b], &[0, 0, 0]],
            &[&[0x20, 1, 0x88, 0x0b], &[0, 2, 0, 0], &[0]],
            &[&[0x30, 1, 0x88, 0x0b], &[0, 0, 0, 0], &[0]],
        ] {
            assert_eq!(parse(parts), Err(Reason::GreTruncated), "{parts:?}");
        }
    }

    #[test]
    fn versions_and_bits_that_we_cannot_follow_are_refused() {
        for flags in [[0x40, 0], [0x08, 0], [0x04, 0], [0, 2], [0, 1], [0xa0, 1]] {
            let headers = parse(&[&flags, &[0x88, 0x0b], &[0; 8]]);
            assert_eq!(headers, Err(Reason::GreVersion), "{flags:?}");
        }
        assert_eq!(parse(&[&[0x20, 1, 8, 0], &[0; 4]]), Err(Reason::GreVersion));
    }

    #[test]
    fn a_malformed_inner_packet_is_malformed() {
        assert_eq!(parse(&[&[0, 0, 8, 0], &inner_ipv4()[..10]]), Err(Reason::Ipv4Truncated));
    }
}
