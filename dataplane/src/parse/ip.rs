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
        Network::Ip { src, dst, .. } if src == dst && !is_loopback(src) => Err(Reason::SameSourceDestination),
        Network::Ip { .. } | Network::Arp { .. } | Network::Other => Ok(()),
    }
}

fn is_loopback(addr: Addr) -> bool {
    addr.to_ip().is_loopback()
}
