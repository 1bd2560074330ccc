//! Is this UDP payload a VXLAN packet? RFC 7348, and the group policy bits that Linux and Cisco send.

use super::walk::{Walk, be32};
use super::{Tunnel, ethernet};
use crate::verdict::Reason;

/// IANA's port.
pub(super) const PORT: u16 = 4789;
/// What Linux used before IANA assigned one, and Flannel still does.
pub(super) const PORT_LINUX: u16 = 8472;

const HEADER_LEN: usize = 8;
const VNI_PRESENT: u8 = 0x08;
/// `draft-smith-vxlan-group-policy`: a policy group in bytes 2 and 3.
const GROUP_POLICY: u8 = 0x80;

/// Enters the inner frame where the header is VXLAN's and an IP packet is inside.
#[cold]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    match vni(walk, at) {
        Ok(vni) => {
            walk.enter_if_valid(Tunnel::Vxlan, Some(vni), |walk| ethernet::parse(walk, at + HEADER_LEN))
        }
        Err(_) => Ok(()),
    }
}

fn vni(walk: &Walk<'_>, at: usize) -> Result<u32, Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Vxlan)?;
    let [flags, .., reserved] = *header;
    if flags & !GROUP_POLICY != VNI_PRESENT || reserved != 0 {
        return Err(Reason::Vxlan);
    }
    Ok(be32(header, 4) >> 8)
}

#[cfg(test)]
mod tests {
    use super::{PORT, PORT_LINUX, vni};
    use crate::parse::craft::{eth, inner_ipv4, ipv4, join, tcp, udp_frame, vlan};
    use crate::parse::walk::Walk;
    use crate::parse::{Network, Protocol, Transport, Tunnel, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    const HEADER: [u8; 8] = [8, 0, 0, 0, 0, 1, 2, 0];

    fn frame(inner: &[u8]) -> Vec<u8> {
        udp_frame(40_000, PORT, &join(&[&HEADER, inner]))
    }

    #[test]
    fn the_inner_packet_is_found_on_both_ports() {
        for port in [PORT, PORT_LINUX] {
            let inner = eth(ethernet::IPV4, &inner_ipv4());
            let frame = udp_frame(40_000, port, &join(&[&HEADER, &inner]));
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!((headers.tunnel, headers.tunnel_depth, headers.vni), (Tunnel::Vxlan, 1, 0x102));
            assert_eq!((headers.outer_l3_offset, headers.l3_offset), (14, 64));
            assert_eq!(headers.payload(&frame), b"inner");
        }
    }

    #[test]
    fn an_inner_vlan_is_noted() {
        let inner = eth(ethernet::VLAN, &vlan(5, ethernet::IPV4, &inner_ipv4()));
        assert_eq!(parse_ethernet(&frame(&inner)).unwrap().vlan_outer, 5);
    }

    #[test]
    fn a_header_cut_short_or_with_other_flags_is_no_vxlan() {
        for bytes in [&HEADER[..7], &[0, 0, 0, 0, 0, 1, 2, 0], &[8, 0, 0, 0, 0, 1, 2, 1]] {
            let walk = Walk::new(bytes).unwrap();
            assert_eq!(vni(&walk, 0), Err(Reason::Vxlan));
            let frame = udp_frame(40_000, PORT, bytes);
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!(headers.transport, Transport::Udp { src_port: 40_000, dst_port: PORT });
            assert_eq!((headers.tunnel, headers.payload(&frame)), (Tunnel::None, bytes));
        }
    }

    #[test]
    fn what_carries_no_valid_ip_stays_plain_udp() {
        let arp = eth(ethernet::ARP, &[0; 3]);
        let lldp = eth(0x88cc, b"lldp");
        let broken = eth(ethernet::IPV4, &[0x45; 30]);
        for inner in [&arp[..], &lldp, &broken, b"short"] {
            let frame = frame(inner);
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!((headers.tunnel, headers.tunnel_depth, headers.vni), (Tunnel::None, 0, 0));
            assert!(matches!(headers.network, Network::Ip { .. }));
            assert_eq!((headers.ports(), headers.l3_offset, headers.vlan_outer), ((40_000, PORT), 14, 0));
            assert_eq!(usize::from(headers.end), frame.len());
        }
    }

    #[test]
    fn a_malformed_transport_behind_a_valid_inner_header_is_malformed() {
        let inner = eth(ethernet::IPV4, &ipv4(Protocol::TCP, &tcp(0, &[], &[])));
        assert_eq!(parse_ethernet(&frame(&inner)), Err(Reason::TcpFlags));
    }
}
