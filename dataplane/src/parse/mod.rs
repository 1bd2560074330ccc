//! What do the bytes of this frame say, down to the innermost packet?
//!
//! [`parse_frame`] walks from the link layer to the innermost transport header; inspection sees the innermost
//! IP packet, the wire keeps the outer ones. It never allocates, never panics, and every way to be malformed
//! is a [`Reason`]. One file per protocol, all of one shape (`walk.rs` says which).
//!
//! Two kinds of tunnel are entered. Where an IP protocol number or an EtherType names it (GRE, IP in IP,
//! MPLS), what is malformed inside is malformed. Where only a UDP port hints at it (VXLAN, Geneve, GTP-U,
//! Teredo), the packet stays plain UDP unless header and inner network header are valid. A tunnel that holds
//! no IP packet is not entered at all. A fragment ends the walk: [`parse_datagram`] continues it once the
//! datagram is whole.
//!
//! Absent on purpose: layer 4 checksums (see [`checksum`]; only who asks pays for them), what is encrypted
//! (ESP, MACsec, protected 802.11), and AH over IPv4, which stays protocol 51.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")
)]

pub mod addr;
pub mod headers;
pub mod quoted;
pub mod link;
mod walk;
mod usual;
mod ethernet;
mod vlan;
mod llc;
mod mpls;
mod pppoe;
mod wifi;
mod arp;
mod ipv4;
mod ipv6;
mod ip;
mod tcp;
mod udp;
mod icmp;
mod sctp;
mod gre;
mod vxlan;
mod geneve;
mod gtpu;
mod teredo;
pub mod checksum;
mod crc32c;
#[cfg(test)]
pub(crate) mod craft;
#[cfg(test)]
mod properties;

pub use addr::{Addr, Mac};
pub use headers::{Fragment, Headers, Icmp, Network, Protocol, Tcp, TcpFlags, TcpOptions, Transport, Tunnel};
pub use ipv6::EXTENSIONS_MAX;
pub use link::LinkType;
pub use mpls::MPLS_LABELS_MAX;
pub use vlan::VLAN_TAGS_MAX;
pub use walk::TUNNEL_DEPTH_MAX;

use crate::verdict::Reason;
use walk::Walk;

/// Parses a frame of any link type, as capture files hold them.
///
/// # Errors
///
/// The first way in which the frame is malformed; [`Reason::FrameTooLarge`] above 65,535 bytes.
#[inline]
pub fn parse_frame(bytes: &[u8], link: LinkType) -> Result<Headers, Reason> {
    let mut headers = Headers::NONE;
    parse_frame_into(bytes, link, Strictness::FULL, &mut headers)?;
    Ok(headers)
}

/// What is refused although it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strictness {
    /// A wrong IPv4 header checksum, and a total length of zero: captures that were taken before the sender's NIC filled
    /// them in have both.
    pub ipv4_checksum: bool,
    /// What no sender may send: IPv6 addresses that stand for IPv4, a routing header of type 0, one endpoint on both sides.
    pub forbidden: bool,
}

impl Strictness {
    /// Everything that is wrong is refused.
    pub const FULL: Self = Self { ipv4_checksum: true, forbidden: true };

    /// Without what `reason` refuses; `None`: a packet that is refused for it cannot be read.
    #[must_use]
    pub const fn without(self, reason: Reason) -> Option<Self> {
        match reason {
            Reason::Ipv4Checksum => Some(Self { ipv4_checksum: false, ..self }),
            Reason::Ipv6MappedAddress | Reason::Ipv6RoutingType0 | Reason::SameSourceDestination => {
                Some(Self { forbidden: false, ..self })
            }
            _ => None,
        }
    }
}

/// As [`parse_frame`], as strict as is said, into a place that is reused: nothing is moved. What `headers` holds after an error
/// means nothing.
///
/// # Errors
///
/// As these.
#[inline]
pub fn parse_frame_into(
    bytes: &[u8],
    link: LinkType,
    strictness: Strictness,
    headers: &mut Headers,
) -> Result<(), Reason> {
    if link == LinkType::Ethernet && usual::parse(bytes, headers) {
        return Ok(());
    }
    walk_frame(bytes, link, strictness, headers)
}

/// Parses an Ethernet frame without its frame check sequence: what every live port delivers.
///
/// # Errors
///
/// As [`parse_frame`].
#[inline]
pub fn parse_ethernet(bytes: &[u8]) -> Result<Headers, Reason> {
    parse_frame(bytes, LinkType::Ethernet)
}

#[inline(never)]
fn walk_frame(
    bytes: &[u8],
    link: LinkType,
    strictness: Strictness,
    headers: &mut Headers,
) -> Result<(), Reason> {
    let mut walk = Walk::new(bytes)?;
    walk.strictness = strictness;
    link::parse(&mut walk, link)?;
    *headers = walk.finish();
    Ok(())
}

/// As [`parse_frame`], but believes a wrong IPv4 header checksum and takes a total length of zero for "all of
/// it": for captures that were taken before the sender's NIC filled them in.
///
/// # Errors
///
/// As [`parse_frame`], [`Reason::Ipv4Checksum`] excepted.
pub fn parse_frame_unverified(bytes: &[u8], link: LinkType) -> Result<Headers, Reason> {
    let mut headers = Headers::NONE;
    parse_frame_into(bytes, link, Strictness { ipv4_checksum: false, ..Strictness::FULL }, &mut headers)?;
    Ok(headers)
}

/// Parses a reassembled IP datagram: `bytes` start at its network header.
///
/// MACs, VLANs, EtherType, outermost tunnel, depth and VNI are those of `link`, the headers of one of its
/// fragments; offsets count from the datagram's start. Tunnels inside the datagram are entered.
///
/// # Errors
///
/// As [`parse_frame`].
pub fn parse_datagram(bytes: &[u8], link: &Headers) -> Result<Headers, Reason> {
    let mut walk = Walk::below(bytes, link)?;
    ip::parse_by_version(&mut walk, 0)?;
    Ok(walk.finish())
}

#[cfg(test)]
mod tests {
    use super::craft::{eth, inner_ipv4, ipv4, ipv4_with, join, udp, vlan};
    use super::{Headers, Protocol, Tunnel, ethernet, parse_datagram, parse_ethernet};

    #[test]
    fn a_datagram_takes_its_link_layer_from_a_fragment() {
        let fragment = ipv4_with(Protocol::UDP, 0x2000, &[], b"12345678");
        let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &eth(ethernet::IPV4, &fragment)]);
        let outer = ipv4(Protocol::UDP, &udp(9, 4789, &vxlan));
        let link = parse_ethernet(&eth(ethernet::VLAN, &vlan(5, ethernet::IPV4, &outer))).unwrap();
        assert_eq!((link.tunnel, link.fragment.map(|fragment| fragment.more)), (Tunnel::Vxlan, Some(true)));

        let datagram = inner_ipv4();
        let headers = parse_datagram(&datagram, &link).unwrap();
        let expected = Headers {
            outer_l3_offset: 0,
            l3_offset: 0,
            l4_offset: 20,
            payload_offset: 28,
            end: 33,
            fragment: None,
            network: headers.network,
            transport: headers.transport,
            ..link
        };
        assert_eq!(headers, expected);
        assert_eq!((headers.ports(), headers.payload(&datagram)), ((1000, 2000), &b"inner"[..]));
    }

    #[test]
    fn a_tunnel_inside_a_datagram_is_entered() {
        let link =
            parse_ethernet(&eth(ethernet::IPV4, &ipv4_with(Protocol::IPV4, 0x2000, &[], &[0; 8]))).unwrap();
        assert_eq!(link.tunnel, Tunnel::None, "a fragment is not entered");
        let headers = parse_datagram(&ipv4(Protocol::IPV4, &inner_ipv4()), &link).unwrap();
        assert_eq!((headers.tunnel, headers.outer_l3_offset, headers.l3_offset), (Tunnel::IpInIp, 0, 20));
    }
}
