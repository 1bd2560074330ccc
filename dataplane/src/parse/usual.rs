//! Is this the packet that nearly all are? Untagged Ethernet, IPv4 without options, TCP or UDP, no tunnel.
//!
//! Such a frame is read in one go and its [`Headers`] written once, where they are to stay; the walk keeps its own
//! and copies them, which takes twice as long or more. Whatever is not so, or not right, is left to the walk,
//! which finds the reason: `false` judges nothing. A property test holds the two to the same answer.

use super::ethernet::{self, IPV4};
use super::walk::be16;
use super::{Addr, Headers, Mac, Network, Protocol, Transport, Tunnel, checksum, ipv4, tcp, udp};

const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::HEADER_LEN;
const VERSION_4_NO_OPTIONS: u8 = 0x45;
/// All but "don't fragment" of the flags and fragment offset field.
const FRAGMENTED: u16 = 0xbfff;

/// Writes the headers of a frame of the common kind with which nothing is wrong; `false` where it is another, and
/// then what `headers` holds means nothing.
#[inline]
pub(super) fn parse(bytes: &[u8], headers: &mut Headers) -> bool {
    let Some(front) = bytes.first_chunk::<{ L4 + udp::HEADER_LEN }>() else { return false };
    let network: &[u8; ipv4::HEADER_LEN] = front[L3..].first_chunk().expect("a longer array holds it");
    let end = L3 + usize::from(be16(network, 2));
    let is_common = be16(front, 12) == IPV4
        && network[0] == VERSION_4_NO_OPTIONS
        && be16(network, 6) & FRAGMENTED == 0
        && bytes.len() <= usize::from(u16::MAX)
        && checksum::ipv4_header_is_good(network, &[]);
    if !is_common {
        return false;
    }
    // An end before the segment or after the bytes is no segment.
    let Some(segment) = bytes.get(L4..end) else { return false };
    let [_, tos, _, _, _, _, _, _, ttl, protocol, _, _, a, b, c, d, e, f, g, h] = *network;
    // The walk looks whether this is a land attack.
    if [a, b, c, d] == [e, f, g, h] {
        return false;
    }
    match protocol {
        Protocol::UDP => {
            let Some(header) = segment.first_chunk::<{ udp::HEADER_LEN }>() else { return false };
            let (src_port, dst_port) = (be16(header, 0), be16(header, 2));
            let length = usize::from(be16(header, 4));
            if udp::hints_at_tunnel(src_port, dst_port) || length < header.len() || length > segment.len() {
                return false;
            }
            headers.transport = Transport::Udp { src_port, dst_port };
            headers.payload_offset = (L4 + header.len()) as u16;
            headers.end = (L4 + length) as u16;
        }
        Protocol::TCP => {
            let read = tcp::read_established(segment).or_else(|| tcp::read(segment).ok());
            let Some((tcp, header_len)) = read else { return false };
            headers.transport = Transport::Tcp(tcp);
            headers.payload_offset = (L4 + header_len) as u16;
            headers.end = end as u16;
        }
        _ => return false,
    }
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ..] = *front;
    headers.src_mac = Mac([s0, s1, s2, s3, s4, s5]);
    headers.dst_mac = Mac([d0, d1, d2, d3, d4, d5]);
    headers.vlan_outer = 0;
    headers.vlan_inner = 0;
    headers.ethertype = IPV4;
    headers.tunnel = Tunnel::None;
    headers.tunnel_depth = 0;
    headers.vni = 0;
    headers.outer_l3_offset = L3 as u16;
    headers.l3_offset = L3 as u16;
    headers.l4_offset = L4 as u16;
    headers.network =
        Network::Ip { src: Addr::v4([a, b, c, d]), dst: Addr::v4([e, f, g, h]), protocol, ttl, tos };
    headers.fragment = None;
    true
}
