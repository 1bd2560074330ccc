//! Who tells routers and switches where to send what? BGP (RFC 4271), LDP (RFC 5036), BFD (RFC 5880), HSRP (RFC 2281),
//! GLBP, RIP (RFC 2453), RIPng (RFC 2080), LISP (RFC 9301), WCCP, OpenFlow, DLEP (RFC 8175), CPHA of Check Point.
//!
//! A header says all there is to say: no parsers.

use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// A protocol that is a name and its probes.
macro_rules! named {
    ($($(#[$doc:meta])* $item:ident = $name:literal, $category:ident, $probes:expr;)+) => {
        $(
            $(#[$doc])*
            pub static $item: Protocol =
                Protocol { name: $name, eve: None, category: Category::$category, probes: $probes, parser: None };
        )+
    };
}
pub(super) use named;

named! {
    /// Routes between networks.
    BGP = "bgp", Network, &[Probe { over: Over::Tcp, first: First::Of(&[0xff]), look: bgp }];
    /// Labels of MPLS.
    LDP = "ldp", Network, &[Probe { over: Over::TcpOrUdp, first: First::Of(&[0]), look: ldp }];
    /// Whether a path is alive.
    BFD = "bfd", Network, &[Probe { over: Over::Udp, first: First::Any, look: bfd }];
    /// Routers of Cisco that stand in for each other.
    HSRP = "hsrp", Network, &[Probe { over: Over::Udp, first: First::In(0, 4), look: hsrp }];
    /// The same, sharing load.
    GLBP = "glbp", Network, &[Probe { over: Over::Udp, first: First::Of(&[1]), look: glbp }];
    /// Distance vectors.
    RIP = "rip", Network, &[Probe { over: Over::Udp, first: First::In(1, 2), look: rip }];
    /// Distance vectors of IPv6.
    RIPNG = "ripng", Network, &[Probe { over: Over::Udp, first: First::In(1, 2), look: ripng }];
    /// Locators apart from identities.
    LISP = "lisp", Cloud, &[Probe { over: Over::TcpOrUdp, first: First::Any, look: lisp }];
    /// Routers that hand web traffic to caches.
    WCCP = "wccp", Network, &[Probe { over: Over::Udp, first: First::Of(&[0]), look: wccp }];
    /// Controllers of switches.
    OPENFLOW = "openflow", Network, &[Probe { over: Over::Tcp, first: First::In(1, 6), look: openflow }];
    /// Radios and their routers.
    DLEP = "dlep", Network, &[Probe { over: Over::TcpOrUdp, first: First::In(0, b'D'), look: dlep }];
    /// Members of a cluster of firewalls.
    CPHA = "cpha", Network, &[Probe { over: Over::Udp, first: First::Of(&[0x1a]), look: cpha }];
}

fn bgp(peek: &Peek<'_>) -> Match {
    let marked = peek.bytes.iter().take(16).all(|byte| *byte == 0xff);
    if !marked || peek.bytes.len() < 19 {
        return if marked && peek.bytes.len() < 19 { Match::More } else { Match::No };
    }
    let kind = peek.bytes.get(18).copied().unwrap_or(0);
    Match::of(peek.be16(16) >= 19 && (1..=5).contains(&kind), 97)
}

fn ldp(peek: &Peek<'_>) -> Match {
    // RFC 5036 3.1: version 1, length, identifier of the router, label space; then a message.
    if peek.bytes.len() < 14 {
        return if peek.is_tcp && peek.be16(0) <= 1 && peek.has_port(646) { Match::More } else { Match::No };
    }
    let len = usize::from(peek.be16(2));
    let kind = peek.be16(10) & 0x7fff;
    let is_kind = matches!(kind, 1 | 0x100 | 0x200 | 0x201 | 0x300 | 0x301 | 0x400..=0x404 | 0x3e00..=0x3fff);
    let fits = peek.is_tcp || len + 4 == peek.bytes.len();
    if peek.be16(0) != 1 || len < 14 || !is_kind || !fits {
        return Match::No;
    }
    Match::Yes(if peek.has_port(646) { 95 } else { 65 })
}

fn bfd(peek: &Peek<'_>) -> Match {
    let [first, _, multiplier, len, ..] = peek.bytes else { return Match::No };
    // RFC 5881 4, RFC 5883 5, RFC 7130 2.2, RFC 7784.
    if [3_784, 4_784, 6_784].iter().any(|port| peek.has_port(*port)) {
        let fits = (24..=52).contains(len) && usize::from(*len) <= peek.bytes.len();
        return Match::of(first >> 5 <= 1 && *multiplier > 0 && fits, 94);
    }
    // Echoes have whatever form their sender likes.
    Match::of(peek.has_port(3_785) && peek.bytes.len() >= 12 && peek.bytes.len() <= 128, 80)
}

fn hsrp(peek: &Peek<'_>) -> Match {
    if !(peek.has_port(1_985) || peek.has_port(2_029)) {
        return Match::No;
    }
    let [first, second, third, ..] = peek.bytes else { return Match::No };
    // RFC 2281 5: version 0, operation, state. Version 2 is type, length, value; version and operation inside.
    let is_first = *first == 0 && *second <= 3 && peek.bytes.len() >= 20;
    let is_second = (1..=4).contains(first) && usize::from(*second) + 2 <= peek.bytes.len() && *third <= 2;
    Match::of(is_first || is_second, 92)
}

fn glbp(peek: &Peek<'_>) -> Match {
    Match::of(peek.has_port(3_222) && peek.bytes.len() >= 12 && peek.is_multicast, 90)
}

fn rip(peek: &Peek<'_>) -> Match {
    let [_, version, 0, 0, entries @ ..] = peek.bytes else { return Match::No };
    // RFC 2453 4: up to 25 entries of 20 bytes, the first one's family 0, IP or authentication.
    let fits = !entries.is_empty() && entries.len() % 20 == 0 && entries.len() <= 500;
    let is_family = matches!(peek.be16(4), 0 | 2 | 0xffff);
    Match::of(peek.has_port(520) && (1..=2).contains(version) && fits && is_family, 93)
}

fn ripng(peek: &Peek<'_>) -> Match {
    let [_, 1, 0, 0, entries @ ..] = peek.bytes else { return Match::No };
    Match::of(peek.has_port(521) && !entries.is_empty() && entries.len() % 20 == 0, 93)
}

fn lisp(peek: &Peek<'_>) -> Match {
    let Some(first) = peek.bytes.first() else { return Match::No };
    if peek.is_tcp {
        // draft-kouvelas-lisp-map-server-reliable-transport: type, length, identifier, end mark.
        let len = usize::from(peek.be16(2));
        let end = len.checked_sub(4).map_or(0, |at| peek.be32(at));
        return Match::of(peek.has_port(4_342) && peek.be16(0) >= 16 && end == 0x9fac_ade9, 95);
    }
    if peek.has_port(4_342) {
        // RFC 9301 5.1.
        return Match::of(matches!(first >> 4, 1..=5 | 7 | 8 | 15) && peek.bytes.len() >= 16, 90);
    }
    // Data: flags, nonce, locator bits, then an IP packet (RFC 9300 5.1).
    let inner = peek.bytes.get(8).map_or(0, |byte| byte >> 4);
    Match::of(peek.has_port(4_341) && matches!(inner, 4 | 6), 90)
}

fn wccp(peek: &Peek<'_>) -> Match {
    // WCCP2_HERE_I_AM and its answers; version 1 has 7 to 9.
    Match::of(peek.has_port(2_048) && matches!(peek.be32(0), 7..=13) && peek.bytes.len() >= 8, 90)
}

fn openflow(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 8 {
        return if peek.has_port(6_653) || peek.has_port(6_633) { Match::More } else { Match::No };
    }
    let (kind, len) = (peek.bytes.get(1).copied().unwrap_or(0xff), usize::from(peek.be16(2)));
    if peek.has_port(6_653) || peek.has_port(6_633) || peek.has_port(6_634) {
        return Match::of(kind <= 35 && len >= 8, 92);
    }
    // Elsewhere a whole HELLO: nothing, or an element that is a bitmap of versions (OpenFlow 1.3.1 A.5.1).
    let is_hello =
        kind == 0 && len == peek.bytes.len() && (len == 8 || (len == 16 && peek.be32(8) == 0x0001_0008));
    Match::of(is_hello, if len == 16 { 90 } else { 55 })
}

fn dlep(peek: &Peek<'_>) -> Match {
    if !peek.has_port(854) {
        return Match::No;
    }
    // RFC 8175 11.2 and 11.1: signals have four letters in front, messages do not.
    let is_signal = peek.bytes.starts_with(b"DLEP") && usize::from(peek.be16(6)) + 8 == peek.bytes.len();
    let is_message = peek.is_tcp && (1..=16).contains(&peek.be16(0)) && peek.bytes.len() >= 4;
    Match::of(is_signal || is_message, 92)
}

fn cpha(peek: &Peek<'_>) -> Match {
    Match::of(peek.be16(0) == 0x1a90 && peek.bytes.len() >= 16 && peek.has_port(8_116), 95)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], port: u16, is_tcp: bool) -> Peek<'_> {
        Peek { is_multicast: true, ..crate::dpi::protocol::samples::peek(bytes, port, is_tcp) }
    }

    #[test]
    fn routing_is_recognised() {
        let mut keepalive = vec![0xff; 16];
        keepalive.extend_from_slice(&[0, 19, 4]);
        assert_eq!(bgp(&peek(&keepalive, 9_000, true)), Match::Yes(97));
        assert_eq!(bgp(&peek(&keepalive[..18], 9_000, true)), Match::More);
        let hello = b"\0\x01\0\x16\x0a\0\0\x01\0\0\x01\0\0\x0c\0\0\0\x01\x04\0\0\x04\0\x0f\0\0";
        assert_eq!(ldp(&peek(hello, 646, false)), Match::Yes(95));
        let mut control = [0; 24];
        control[..4].copy_from_slice(&[0x20, 0xc0, 3, 24]);
        assert_eq!(bfd(&peek(&control, 3_784, false)), Match::Yes(94));
        assert_eq!(hsrp(&peek(&[0; 20], 1_985, false)), Match::Yes(92));
        let mut response = vec![2, 2, 0, 0, 0, 2];
        response.resize(24, 0);
        assert_eq!(rip(&peek(&response, 520, false)), Match::Yes(93));
        assert_eq!(rip(&peek(&response[..23], 520, false)), Match::No);
        assert_eq!(openflow(&peek(b"\x04\0\0\x08\0\0\0\x01", 6_653, true)), Match::Yes(92));
        let looks = [bgp, ldp, bfd, hsrp, glbp, rip, ripng, lisp, wccp, openflow, dlep, cpha];
        for port in [646, 3_784, 3_785, 1_985, 3_222, 520, 521, 4_341, 4_342, 2_048, 6_653, 854, 8_116] {
            for len in 0..24 {
                for look in looks {
                    look(&peek(&response[..len], port, true));
                    look(&peek(&control[..len], port, false));
                }
            }
        }
    }
}
