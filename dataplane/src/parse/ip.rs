//! What does an IP protocol number announce? Shared by IPv4 and IPv6.

use super::walk::Walk;
use super::{Addr, Network, Protocol, Tunnel, gre, icmp, ipv4, ipv6, sctp, tcp, udp};
use crate::verdict::Reason;

/// Goes on to the transport or tunnel that `protocol` names at `at`.
#[inline]
pub(super) fn parse_transport(walk: &mut Walk<'_>, at: usize, protocol: u8) -> Result<(), Reason> {
    match protocol {
        Protocol::TCP => tcp::parse(walk, at),
        Protocol::UDP => udp::parse(walk, at),
        other => parse_uncommon(walk, at, other),
    }
}

#[inline(never)]
fn parse_uncommon(walk: &mut Walk<'_>, at: usize, protocol: u8) -> Result<(), Reason> {
    match protocol {
        Protocol::ICMP => icmp::parse_v4(walk, at),
        Protocol::ICMPV6 => icmp::parse_v6(walk, at),
        Protocol::SCTP => sctp::parse(walk, at),
        Protocol::GRE => gre::parse(walk, at),
        Protocol::IPV4 => walk.enter(Tunnel::IpInIp, None, |walk| ipv4::parse(walk, at)),
        Protocol::IPV6 => walk.enter(Tunnel::IpInIp, None, |walk| ipv6::parse(walk, at)),
        _ => Ok(()),
    }
}

/// An IP packet whose version only its own first nibble tells.
pub(super) fn parse_by_version(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    match walk.rest(at).first().map(|byte| byte >> 4) {
        Some(6) => ipv6::parse(walk, at),
        Some(_) | None => ipv4::parse(walk, at),
    }
}

/// Whether `protocol` is an IPv6 extension header that can be walked (IANA's list without ESP).
#[inline]
pub(super) const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        Protocol::HOP_BY_HOP
            | Protocol::ROUTING
            | Protocol::FRAGMENT
            | Protocol::AH
            | Protocol::DESTINATION_OPTIONS
            | Protocol::MOBILITY
            | Protocol::HIP
            | Protocol::SHIM6
    )
}

/// Refuses a packet that claims to come from where it goes, ports being equal already (CVE-1999-0016).
#[cold]
pub(super) fn refuse_land(walk: &Walk<'_>) -> Result<(), Reason> {
    match walk.headers.network {
        Network::Ip { src, dst, .. } if walk.strictness.forbidden && src == dst && !is_loopback(src) => {
            Err(Reason::SameSourceDestination)
        }
        Network::Ip { .. } | Network::Arp { .. } | Network::Other => Ok(()),
    }
}

fn is_loopback(addr: Addr) -> bool {
    addr.to_ip().is_loopback()
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::{DST_V4, eth, inner_ipv4, inner_ipv6, ipv4, ipv6, mend_ipv4, tcp, udp};
    use crate::parse::{Protocol, TUNNEL_DEPTH_MAX, TcpFlags, Tunnel, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    #[test]
    fn each_version_is_found_in_each() {
        for outer in [
            ipv4(Protocol::IPV4, &inner_ipv4()),
            ipv4(Protocol::IPV6, &inner_ipv6()),
            ipv6(Protocol::IPV4, &inner_ipv4()),
            ipv6(Protocol::IPV6, &inner_ipv6()),
        ] {
            let is_v4 = outer[0] >> 4 == 4;
            let frame = eth(if is_v4 { ethernet::IPV4 } else { ethernet::IPV6 }, &outer);
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!((headers.tunnel, headers.tunnel_depth), (Tunnel::IpInIp, 1));
            assert_eq!((headers.outer_l3_offset, headers.l3_offset), (14, if is_v4 { 34 } else { 54 }));
            assert_eq!(headers.payload(&frame), b"inner");
        }
    }

    #[test]
    fn tunnels_inside_each_other_are_bounded() {
        let mut packet = inner_ipv4();
        for _ in 0..TUNNEL_DEPTH_MAX {
            packet = ipv4(Protocol::IPV4, &packet);
        }
        let headers = parse_ethernet(&eth(ethernet::IPV4, &packet)).unwrap();
        assert_eq!((headers.tunnel_depth, headers.ports()), (TUNNEL_DEPTH_MAX, (1000, 2000)));
        packet = ipv4(Protocol::IPV4, &packet);
        assert_eq!(parse_ethernet(&eth(ethernet::IPV4, &packet)), Err(Reason::TunnelTooDeep));
    }

    #[test]
    fn a_malformed_inner_packet_is_malformed() {
        let packet = ipv4(Protocol::IPV4, &inner_ipv4()[..19]);
        assert_eq!(parse_ethernet(&eth(ethernet::IPV4, &packet)), Err(Reason::Ipv4Truncated));
    }

    #[test]
    fn the_same_source_and_destination_is_refused() {
        for (protocol, mut segment) in
            [(Protocol::TCP, tcp(TcpFlags::SYN, &[], &[])), (Protocol::UDP, udp(7, 7, b""))]
        {
            let (src, dst) = segment.split_at_mut(2);
            dst[..2].copy_from_slice(src);
            let mut packet = ipv4(protocol, &segment);
            assert!(parse_ethernet(&eth(ethernet::IPV4, &packet)).is_ok(), "ports alone are no attack");
            packet[12..16].copy_from_slice(&DST_V4);
            mend_ipv4(&mut packet);
            let frame = eth(ethernet::IPV4, &packet);
            assert_eq!(parse_ethernet(&frame), Err(Reason::SameSourceDestination));
            packet[12..20].copy_from_slice(&[127, 0, 0, 1, 127, 0, 0, 1]);
            mend_ipv4(&mut packet);
            assert!(parse_ethernet(&eth(ethernet::IPV4, &packet)).is_ok(), "loopback talks to itself");
        }
    }
}
