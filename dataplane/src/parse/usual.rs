//! Is this the packet that nearly all are? Untagged Ethernet, IPv4 without options, TCP beyond its handshake or UDP, no tunnel.
//!
//! Such a frame is read in one go and its [`Headers`] written once; the walk writes them field by field and
//! copies them, which takes twice as long or more. Whatever is not so, or not right, is left to the walk, which finds the reason:
//! `None` judges nothing. A property test holds the two to the same answer.

use super::ethernet::{self, IPV4};
use super::walk::be16;
use super::{Addr, Headers, Mac, Network, Protocol, Transport, Tunnel, checksum, ipv4, tcp, udp};

const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::HEADER_LEN;
const VERSION_4_NO_OPTIONS: u8 = 0x45;
/// All but "don't fragment" of the flags and fragment offset field.
const FRAGMENTED: u16 = 0xbfff;

/// The headers, where the frame is of the common kind and nothing is wrong with it.
#[inline]
pub(super) fn parse(bytes: &[u8]) -> Option<Headers> {
    let front: &[u8; L4 + udp::HEADER_LEN] = bytes.first_chunk()?;
    let (link, network) = (front.first_chunk::<L3>()?, front[L3..].first_chunk::<{ ipv4::HEADER_LEN }>()?);
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ..] = *link;
    let end = L3 + usize::from(be16(network, 2));
    let is_common = be16(link, 12) == IPV4
        && network[0] == VERSION_4_NO_OPTIONS
        && be16(network, 6) & FRAGMENTED == 0
        && end <= bytes.len()
        && bytes.len() <= usize::from(u16::MAX)
        && checksum::ipv4_header_is_good(network, &[]);
    if !is_common {
        return None;
    }
    let segment = bytes.get(L4..end)?;
    let [_, tos, _, _, _, _, _, _, ttl, protocol, _, _, a, b, c, d, e, f, g, h] = *network;
    let (transport, payload, end) = match protocol {
        Protocol::TCP => {
            let (tcp, header_len) = tcp::read_established(segment)?;
            (Transport::Tcp(tcp), L4 + header_len, end)
        }
        Protocol::UDP => {
            let header: &[u8; udp::HEADER_LEN] = segment.first_chunk()?;
            let (src_port, dst_port) = (be16(header, 0), be16(header, 2));
            let length = usize::from(be16(header, 4));
            if udp::hints_at_tunnel(src_port, dst_port) || length < header.len() || length > segment.len() {
                return None;
            }
            (Transport::Udp { src_port, dst_port }, L4 + header.len(), L4 + length)
        }
        _ => return None,
    };
    // The walk looks whether this is a land attack.
    if [a, b, c, d] == [e, f, g, h] {
        return None;
    }
    Some(Headers {
        src_mac: Mac([s0, s1, s2, s3, s4, s5]),
        dst_mac: Mac([d0, d1, d2, d3, d4, d5]),
        vlan_outer: 0,
        vlan_inner: 0,
        ethertype: IPV4,
        tunnel: Tunnel::None,
        tunnel_depth: 0,
        vni: 0,
        outer_l3_offset: L3 as u16,
        l3_offset: L3 as u16,
        l4_offset: L4 as u16,
        payload_offset: payload as u16,
        end: end as u16,
        network: Network::Ip { src: Addr::v4([a, b, c, d]), dst: Addr::v4([e, f, g, h]), protocol, ttl, tos },
        fragment: None,
        transport,
    })
}
