//! What does a record of a capture file start with?
//!
//! Live ports are always Ethernet; the other link types of <https://www.tcpdump.org/linktypes.html> are met
//! in files only. One that is not listed here parses as [`Network::Other`](super::Network::Other).

use super::walk::{Walk, be16};
use super::{Mac, ethernet, ip, ipv4, ipv6, llc, mpls, pppoe, wifi};
use crate::verdict::Reason;

/// The link layer of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// 1: Ethernet.
    Ethernet,
    /// 12, 14, 101: an IP packet, version by its first nibble.
    Raw,
    /// 228: an IPv4 packet.
    Ipv4,
    /// 229: an IPv6 packet.
    Ipv6,
    /// 0 and 108: the address family in four bytes, in the byte order of whoever captured, then the packet.
    Null,
    /// 9 and 50: PPP, with or without HDLC-like framing.
    Ppp,
    /// 51: PPPoE without an Ethernet header.
    Pppoe,
    /// 104: Cisco HDLC.
    CiscoHdlc,
    /// 113: Linux "cooked" capture.
    LinuxSll,
    /// 276: Linux "cooked" capture, version 2.
    LinuxSll2,
    /// 105: IEEE 802.11; data frames are followed.
    Wifi,
    /// 127: radiotap, then IEEE 802.11.
    Radiotap,
    /// 219: MPLS.
    Mpls,
    /// Anything else, by its number.
    Unsupported(u32),
}

impl LinkType {
    /// The link type that a file's number means.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 | 108 => Self::Null,
            1 => Self::Ethernet,
            9 | 50 => Self::Ppp,
            12 | 14 | 101 => Self::Raw,
            51 => Self::Pppoe,
            104 => Self::CiscoHdlc,
            105 => Self::Wifi,
            113 => Self::LinuxSll,
            127 => Self::Radiotap,
            219 => Self::Mpls,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            276 => Self::LinuxSll2,
            other => Self::Unsupported(other),
        }
    }

    /// The number that a file would give it.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::Ppp => 9,
            Self::Raw => 101,
            Self::Pppoe => 51,
            Self::CiscoHdlc => 104,
            Self::Wifi => 105,
            Self::LinuxSll => 113,
            Self::Radiotap => 127,
            Self::Mpls => 219,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::LinuxSll2 => 276,
            Self::Unsupported(other) => other,
        }
    }
}

/// Parses a record from its first byte.
pub(super) fn parse(walk: &mut Walk<'_>, link: LinkType) -> Result<(), Reason> {
    match link {
        LinkType::Ethernet => ethernet::parse_outermost(walk),
        LinkType::Raw => parse_raw(walk, 0),
        LinkType::Ipv4 => {
            walk.headers.ethertype = ethernet::IPV4;
            ipv4::parse(walk, 0)
        }
        LinkType::Ipv6 => {
            walk.headers.ethertype = ethernet::IPV6;
            ipv6::parse(walk, 0)
        }
        LinkType::Null => parse_null(walk),
        LinkType::Ppp => parse_ppp(walk),
        LinkType::Pppoe => {
            walk.headers.ethertype = ethernet::PPPOE_SESSION;
            pppoe::parse(walk, 0)
        }
        LinkType::CiscoHdlc => parse_cisco_hdlc(walk, 0),
        LinkType::LinuxSll => parse_sll(walk),
        LinkType::LinuxSll2 => parse_sll2(walk),
        LinkType::Wifi => wifi::parse(walk, 0),
        LinkType::Radiotap => wifi::parse_radiotap(walk),
        LinkType::Mpls => {
            walk.headers.ethertype = ethernet::MPLS;
            mpls::parse(walk, 0)
        }
        LinkType::Unsupported(_) => walk.other(0),
    }
}

fn parse_raw(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let is_v6 = walk.rest(at).first().is_some_and(|byte| byte >> 4 == 6);
    walk.headers.ethertype = if is_v6 { ethernet::IPV6 } else { ethernet::IPV4 };
    ip::parse_by_version(walk, at)
}

/// The family's number for IPv6 is 10, 23, 24, 28 or 30, by operating system; for IPv4 always 2.
fn parse_null(walk: &mut Walk<'_>) -> Result<(), Reason> {
    let family: &[u8; 4] = walk.header(0, Reason::EthernetTruncated)?;
    match *family {
        [2, 0, 0, 0] | [0, 0, 0, 2] => {
            walk.headers.ethertype = ethernet::IPV4;
            ipv4::parse(walk, 4)
        }
        [10 | 23 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 10 | 23 | 24 | 28 | 30] => {
            walk.headers.ethertype = ethernet::IPV6;
            ipv6::parse(walk, 4)
        }
        _ => walk.other(4),
    }
}

/// Address 0x0f and 0x8f are Cisco's, on links that are called PPP all the same.
fn parse_ppp(walk: &mut Walk<'_>) -> Result<(), Reason> {
    match walk.rest(0) {
        [0x0f | 0x8f, ..] => parse_cisco_hdlc(walk, 0),
        _ => pppoe::parse_framed_ppp(walk, 0),
    }
}

fn parse_cisco_hdlc(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; 4] = walk.header(at, Reason::EthernetTruncated)?;
    ethertype_or_other(walk, at + 4, be16(header, 2))
}

fn parse_sll(walk: &mut Walk<'_>) -> Result<(), Reason> {
    let header: &[u8; 16] = walk.header(0, Reason::EthernetTruncated)?;
    let [_, _, _, _, _, address_len, a, b, c, d, e, f, _, _, _, _] = *header;
    if address_len == 6 {
        walk.headers.src_mac = Mac([a, b, c, d, e, f]);
    }
    cooked(walk, 16, be16(header, 14))
}

fn parse_sll2(walk: &mut Walk<'_>) -> Result<(), Reason> {
    let header: &[u8; 20] = walk.header(0, Reason::EthernetTruncated)?;
    let [.., address_len, a, b, c, d, e, f, _, _] = *header;
    if address_len == 6 {
        walk.headers.src_mac = Mac([a, b, c, d, e, f]);
    }
    cooked(walk, 20, be16(header, 0))
}

/// Linux puts small numbers of its own where an EtherType would be: 4 is LLC.
fn cooked(walk: &mut Walk<'_>, at: usize, protocol: u16) -> Result<(), Reason> {
    const LLC: u16 = 4;
    if protocol == LLC { llc::parse(walk, at) } else { ethertype_or_other(walk, at, protocol) }
}

/// A field that holds an EtherType but never a length.
fn ethertype_or_other(walk: &mut Walk<'_>, at: usize, ethertype: u16) -> Result<(), Reason> {
    if ethertype < ethernet::ETHERTYPE_MIN {
        return walk.other(at);
    }
    ethernet::parse_payload(walk, at, ethertype)
}

#[cfg(test)]
mod tests {
    use super::LinkType;
    use crate::parse::craft::{eth, inner_ipv4, inner_ipv6, join};
    use crate::parse::{Headers, Mac, Network, ethernet, parse_frame};
    use crate::verdict::Reason;

    fn parse(code: u32, parts: &[&[u8]]) -> Result<Headers, Reason> {
        parse_frame(&join(parts), LinkType::from_code(code))
    }

    #[test]
    fn every_link_type_leads_to_the_packet() {
        let (v4, v6) = (inner_ipv4(), inner_ipv6());
        let (snap, sll) = ([0xaa, 0xaa, 3, 0, 0, 0, 8, 0], [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
        let sll2 = [0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        let wifi = join(&[&[0x08, 1], &[0; 22], &snap]);
        let wifi_qos_four_addresses = join(&[&[0x88, 3], &[0; 22], &[0; 6], &[0, 0], &snap]);
        for (code, parts) in [
            (1, &[&eth(ethernet::IPV4, &v4)[..]][..]),
            (101, &[&v4]),
            (12, &[&v6]),
            (228, &[&v4]),
            (229, &[&v6]),
            (0, &[&[2, 0, 0, 0], &v4]),
            (0, &[&[0, 0, 0, 30], &v6]),
            (108, &[&[0, 0, 0, 2], &v4]),
            (9, &[&[0xff, 3, 0, 0x21], &v4]),
            (9, &[&[0x21], &v4]),
            (50, &[&[0x0f, 0, 8, 0], &v4]),
            (51, &[&[0x11, 0, 0, 1, 0, v4.len() as u8 + 2, 0, 0x21], &v4]),
            (104, &[&[0x0f, 0, 0x86, 0xdd], &v6]),
            (113, &[&sll, &[8, 0], &v4]),
            (276, &[&[8, 0], &sll2, &v4]),
            (105, &[&wifi, &v4]),
            (105, &[&wifi_qos_four_addresses, &v4]),
            (127, &[&[0, 0, 10, 0, 0, 0, 0, 0, 0, 0], &wifi, &v4]),
            (219, &[&[0, 1, 1, 64], &v4]),
        ] {
            let bytes = join(parts);
            let headers = parse(code, parts).unwrap();
            assert_eq!((headers.ports(), headers.payload(&bytes)), ((1000, 2000), &b"inner"[..]), "{code}");
            assert!(matches!(headers.ethertype, ethernet::IPV4 | ethernet::IPV6), "{code}");
        }
        assert_eq!(parse(113, &[&sll, &[8, 0], &v4]).unwrap().src_mac, Mac([2, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn what_carries_no_packet_is_of_layer_2() {
        for (code, bytes) in [
            (0, &[9, 9, 9, 9][..]),
            (113, &[0; 16]),
            (276, &[0; 20]),
            (105, &[0x80, 0, 0]),
            (105, &[0x80; 24]),
            (105, &[0x08, 0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (189, b"usb"),
        ] {
            assert_eq!(parse(code, &[bytes]).unwrap().network, Network::Other, "{code}");
        }
    }

    #[test]
    fn a_header_cut_short_is_truncated() {
        for (code, bytes) in [
            (0, &[2, 0, 0][..]),
            (104, &[15, 0, 8]),
            (113, &[0; 15]),
            (276, &[0; 19]),
            (127, &[0, 0, 9, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(parse(code, &[bytes]), Err(Reason::EthernetTruncated), "{code}");
        }
    }
}
