//! What does decoding meet? Names of Suricata's decoder events, for rules that ask for them.
//!
//! The packet path's own parser takes what receivers take and no more; this looks at the same bytes again, only where there are such
//! rules, and says what is odd about them.

mod behind;
mod ipv4;

use crate::parse::Protocol;
use crate::verdict::Reason;

/// Events of one packet, at most twelve.
#[derive(Debug, Default)]
pub struct MetEvents {
    names: [&'static str; Self::MAX],
    len: usize,
}

impl MetEvents {
    const MAX: usize = 12;

    /// Adds a name, once.
    pub fn add(&mut self, name: &'static str) {
        if !self.as_slice().contains(&name)
            && let Some(place) = self.names.get_mut(self.len)
        {
            *place = name;
            self.len += 1;
        }
    }

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[&'static str] {
        &self.names[..self.len]
    }
}

/// The name of what a packet was refused for while it was decoded, where rules have one.
#[must_use]
pub const fn refusal(reason: Reason, is_v4: bool) -> Option<&'static str> {
    Some(match reason {
        Reason::FragmentOverlap if is_v4 => "ipv4.frag_overlap",
        Reason::FragmentOverlap => "ipv6.frag_overlap",
        Reason::FragmentTooLarge if is_v4 => "ipv4.frag_pkt_too_large",
        Reason::FragmentLength if !is_v4 => "ipv6.frag_invalid_length",
        Reason::EthernetTruncated => "ethernet.pkt_too_small",
        Reason::VlanTruncated => "vlan.header_too_small",
        Reason::VlanTooDeep => "vlan.too_many_layers",
        Reason::MplsTruncated => "mpls.pkt_too_small",
        Reason::PppoeTruncated => "pppoe.pkt_too_small",
        Reason::ArpTruncated => "arp.pkt_too_small",
        Reason::Ipv4Truncated => "ipv4.pkt_too_small",
        Reason::Ipv4Version => "ipv4.wrong_ip_version",
        Reason::Ipv4HeaderLength => "ipv4.hlen_too_small",
        Reason::Ipv4TotalLength => "ipv4.trunc_pkt",
        Reason::Ipv4Options => "ipv4.opt_invalid_len",
        Reason::Ipv6Truncated => "ipv6.pkt_too_small",
        Reason::Ipv6Version => "ipv6.wrong_ip_version",
        Reason::Ipv6PayloadLength => "ipv6.trunc_pkt",
        Reason::Ipv6ExtensionTruncated => "ipv6.trunc_exthdr",
        Reason::UdpLength => "udp.len_invalid",
        Reason::UdpTruncated => "udp.pkt_too_small",
        Reason::TcpTruncated => "tcp.pkt_too_small",
        Reason::TcpHeaderLength => "tcp.hlen_too_small",
        _ => return None,
    })
}

/// Extension headers that are looked at.
const HEADERS_MAX: usize = 16;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NONE: u8 = 59;
const DESTINATION: u8 = 60;

/// Looks at the IP packet that `packet` begins with.
pub fn ip(packet: &[u8], met: &mut MetEvents) {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => ipv4::packet(packet, met),
        Some(6) => extension_headers(packet, met),
        _ => {}
    }
}

/// Looks at the message of ARP that `message` is.
pub fn arp(message: &[u8], met: &mut MetEvents) {
    behind::arp(message, met);
}

/// Looks at the extension headers of the IPv6 packet that `packet` begins with (RFC 8200 4), and at what is behind them.
fn extension_headers(packet: &[u8], met: &mut MetEvents) {
    let Some(head) = packet.first_chunk::<40>() else { return };
    let end = (40 + usize::from(u16::from_be_bytes([head[4], head[5]]))).min(packet.len());
    let (mut next, mut at) = (head[6], 40);
    let (mut seen, mut destinations) = ([false; 256], 0);
    for _ in 0..HEADERS_MAX {
        if !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION) {
            break;
        }
        let rest = packet.get(at..end).unwrap_or_default();
        let Some([following, units]) = rest.first_chunk::<2>().copied() else {
            met.add("ipv6.trunc_exthdr");
            return;
        };
        let len = match next {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        let is_again = std::mem::replace(&mut seen[usize::from(next)], true);
        let Some(header) = rest.get(..len) else {
            met.add("ipv6.trunc_exthdr");
            return;
        };
        match next {
            FRAGMENT => fragment(header, is_again, end - at - len, met),
            HOP_BY_HOP if is_again => met.add("ipv6.exthdr_dupl_hh"),
            ROUTING if is_again => met.add("ipv6.exthdr_dupl_rh"),
            AUTHENTICATION if is_again => met.add("ipv6.exthdr_dupl_ah"),
            AUTHENTICATION if header.get(2..4) != Some(&[0, 0]) => met.add("ipv6.exthdr_ah_res_not_null"),
            ROUTING if header.get(2) == Some(&0) => met.add("ipv6.rh_type_0"),
            HOP_BY_HOP => {
                options(&header[2..], ["ipv6.hopopts_unknown_opt", "ipv6.hopopts_only_padding"], met)
            }
            DESTINATION => {
                destinations += 1;
                // One before a routing header, one at the end.
                if destinations > 2 {
                    met.add("ipv6.exthdr_dupl_dh");
                }
                options(&header[2..], ["ipv6.dstopts_unknown_opt", "ipv6.dstopts_only_padding"], met);
            }
            _ => {}
        }
        // What comes after the first fragment is not a header.
        let is_later_fragment =
            next == FRAGMENT && header.get(2..4).is_some_and(|word| word[0] > 0 || word[1] > 7);
        (next, at) = (following, at + len);
        if is_later_fragment {
            return;
        }
        // Another header was promised.
        if next != NONE && end.saturating_sub(at) < 2 {
            met.add("ipv6.trunc_exthdr");
            return;
        }
    }
    if next == NONE && at < end {
        met.add("ipv6.data_after_none_header");
    }
    if next == Protocol::ICMP {
        met.add("ipv6.icmpv4");
    }
    if !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | NONE | DESTINATION)
        && !TRANSPORTS.contains(&next)
    {
        met.add("ipv6.unknown_next_header");
    }
    // Of a fragment the transport is not known.
    if next != Protocol::ICMP && !seen[usize::from(FRAGMENT)] {
        behind::transport(next, (packet.get(at..end).unwrap_or_default(), head[7]), met);
    }
}

/// What may stand behind IPv6 beside its own headers: ICMP (told as odd), IPv4, TCP, UDP, IPv6, GRE, ESP, ICMPv6, SCTP.
const TRANSPORTS: [u8; 9] = [1, 4, 6, 17, 41, 47, 50, 58, 132];

fn fragment(header: &[u8], is_again: bool, data_len: usize, met: &mut MetEvents) {
    let Some([_, reserved, high, low, ..]) = header.first_chunk::<8>().copied() else { return };
    let word = u16::from_be_bytes([high, low]);
    let (offset, has_more) = (word >> 3, word & 1 != 0);
    if is_again {
        met.add("ipv6.exthdr_dupl_fh");
    }
    if reserved != 0 {
        met.add("ipv6.fh_non_zero_reserved_field");
    }
    if offset == 0 && !has_more {
        met.add("ipv6.exthdr_useless_fh");
    }
    // Of a datagram that would have more than its length field can say.
    if usize::from(offset) * 8 + data_len > usize::from(u16::MAX) {
        met.add("ipv6.frag_pkt_too_large");
    }
    // RFC 8200 4.5: all but the last are multiples of eight bytes.
    if has_more && !data_len.is_multiple_of(8) {
        met.add("ipv6.frag_invalid_length");
    }
}

/// Options of a header (RFC 8200 4.2); names for one that nobody knows, and for padding alone.
fn options(mut bytes: &[u8], [unknown, padding]: [&'static str; 2], met: &mut MetEvents) {
    let mut has_other = false;
    while let Some((kind, rest)) = bytes.split_first() {
        if *kind == 0 {
            bytes = rest;
            continue;
        }
        let Some((len, rest)) = rest.split_first() else { break };
        let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else {
            met.add("ipv6.exthdr_invalid_optlen");
            return;
        };
        match kind {
            1 if value.is_empty() => met.add("ipv6.zero_len_padn"),
            1 => {}
            // Router alert, jumbo payload, home address, tunnel limit.
            5 | 0xc2 | 0xc9 | 4 => has_other = true,
            _ => {
                has_other = true;
                met.add(unknown);
            }
        }
        bytes = rest;
    }
    if !has_other {
        met.add(padding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of a packet whose header says `next`, before these bytes.
    fn met(next: u8, rest: &[u8]) -> Vec<&'static str> {
        let mut packet = vec![0x60, 0, 0, 0, 0, rest.len() as u8, next, 64];
        packet.extend([0; 32]);
        packet.extend(rest);
        let mut met = MetEvents::default();
        extension_headers(&packet, &mut met);
        met.as_slice().to_vec()
    }

    #[test]
    fn odd_headers_are_named() {
        assert_eq!(met(6, &[0; 20]), [""; 0]);
        assert_eq!(met(44, &[6, 0, 0, 0, 0, 0, 0, 1, 1, 2]), ["ipv6.exthdr_useless_fh"]);
        assert_eq!(met(44, &[6, 0, 0, 0, 0, 0, 0, 1]), ["ipv6.exthdr_useless_fh", "ipv6.trunc_exthdr"]);
        assert_eq!(met(44, &[6, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3]), ["ipv6.frag_invalid_length"]);
        let twice = [44, 0, 0, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0, 1, 1, 2];
        assert_eq!(met(44, &twice), ["ipv6.exthdr_useless_fh", "ipv6.exthdr_dupl_fh"]);
        assert_eq!(met(60, &[6, 0, 11, 4, 1, 2, 3, 4, 1, 2]), ["ipv6.dstopts_unknown_opt"]);
        assert_eq!(met(60, &[6, 0, 1, 4, 0, 0, 0, 0, 1, 2]), ["ipv6.dstopts_only_padding"]);
        assert_eq!(met(60, &[6, 9, 1, 4, 0, 0, 0, 0]), ["ipv6.trunc_exthdr"]);
        assert_eq!(met(43, &[6, 0, 0, 0, 0, 0, 0, 0, 1, 2]), ["ipv6.rh_type_0"]);
        assert_eq!(
            met(44, &[6, 0, 0xff, 0xf8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
            ["ipv6.frag_pkt_too_large"]
        );
        assert_eq!(met(59, &[1]), ["ipv6.data_after_none_header"]);
    }
}
