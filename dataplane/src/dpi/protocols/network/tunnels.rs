//! Which tunnels of operators are these, where nobody looks inside? CAPWAP (RFC 5415), LWAPP (RFC 5412), Teredo (RFC 4380),
//! VXLAN (RFC 7348), Geneve (RFC 8926), TZSP.

use super::routing::named;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

named! {
    /// Access points and their controller.
    CAPWAP = "capwap", Network, &[Probe { over: Over::Udp, first: First::In(0, 1), look: capwap }];
    /// The same, earlier.
    LWAPP = "lwapp", Network, &[Probe { over: Over::Udp, first: First::Any, look: lwapp }];
    /// IPv6 through NAT.
    TEREDO = "teredo", Network, &[Probe { over: Over::Udp, first: First::In(0, 0x6f), look: teredo }];
    /// Ethernet over UDP.
    VXLAN = "vxlan", Network, &[Probe { over: Over::Udp, first: First::Any, look: vxlan }];
    /// Anything over UDP.
    GENEVE = "geneve", Network, &[Probe { over: Over::Udp, first: First::In(0, 0x3f), look: geneve }];
    /// Packets as a sniffer saw them.
    TZSP = "tzsp", Network, &[Probe { over: Over::Udp, first: First::Of(&[1]), look: tzsp }];
}

fn capwap(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(5_246) || peek.has_port(5_247);
    if !is_port || peek.bytes.len() < 8 {
        return Match::No;
    }
    if peek.bytes.first() == Some(&1) {
        // RFC 5415 4.2: DTLS follows four bytes.
        return Match::of(matches!(peek.bytes.get(4), Some(20..=23)) && peek.bytes.get(5) == Some(&0xfe), 95);
    }
    // RFC 5415 4.3: a header of at least two words.
    let words = usize::from(peek.bytes.get(1).copied().unwrap_or(0) >> 3);
    Match::of(words >= 2 && words * 4 <= peek.bytes.len(), 90)
}

fn lwapp(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(12_222) || peek.has_port(12_223);
    // RFC 5412 3.3: version 0 in the two highest bits, then the length of what follows the header.
    let is_version = peek.bytes.first().is_some_and(|byte| byte >> 6 == 0);
    Match::of(is_port && is_version && peek.bytes.len() >= 6, 82)
}

fn teredo(peek: &Peek<'_>) -> Match {
    if !peek.has_port(3_544) {
        return Match::No;
    }
    let mut rest = peek.bytes;
    // RFC 4380 5.1.1: an authentication header (client identifier, value, nonce), then where the packet came from.
    if let [0, 1, client, value, ..] = rest {
        rest = rest.get(13 + usize::from(*client) + usize::from(*value)..).unwrap_or_default();
    }
    if let [0, 0, ..] = rest {
        rest = rest.get(8..).unwrap_or_default();
    }
    let is_v6 = rest.first().is_some_and(|byte| byte >> 4 == 6) && rest.len() >= 40;
    let len = rest.get(4..6).map_or(0, |len| usize::from(len[0]) << 8 | usize::from(len[1]));
    Match::of(is_v6 && len + 40 <= rest.len(), 94)
}

fn vxlan(peek: &Peek<'_>) -> Match {
    let [first, _, _, _, _, _, _, last, ..] = peek.bytes else { return Match::No };
    // RFC 7348 5: the identifier is valid; and its extensions for groups and other payloads, which too leave bits at 0.
    let is_port = [4_789, 8_472, 4_790].iter().any(|port| peek.has_port(*port));
    Match::of(is_port && first & 0x78 == 0x08 && *last == 0 && peek.bytes.len() >= 22, 92)
}

fn geneve(peek: &Peek<'_>) -> Match {
    // RFC 8926 3.4: version 0, options in words, type of what follows.
    let [first, _, _, _, _, _, _, 0, ..] = peek.bytes else { return Match::No };
    let options = usize::from(first & 0x3f) * 4;
    let is_kind = matches!(peek.be16(2), 0x6558 | 0x0800 | 0x86dd | 0x8847);
    Match::of(peek.has_port(6_081) && is_kind && options + 8 <= peek.bytes.len(), 93)
}

fn tzsp(peek: &Peek<'_>) -> Match {
    // Version 1, kind, what is encapsulated, then tagged fields up to an end (1).
    let is_kind = peek.bytes.get(1).is_some_and(|kind| *kind <= 5);
    let is_inner = matches!(peek.be16(2), 0 | 1 | 18 | 119 | 127);
    Match::of(peek.has_port(37_008) && is_kind && is_inner && peek.bytes.len() >= 5, 90)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], port: u16) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, port, false)
    }

    #[test]
    fn tunnels_are_recognised() {
        let mut inner = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
        inner.resize(40, 1);
        assert_eq!(teredo(&peek(&inner, 3_544)), Match::Yes(94));
        let mut behind = vec![0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6];
        behind.extend_from_slice(&inner);
        assert_eq!(teredo(&peek(&behind, 3_544)), Match::Yes(94));
        assert_eq!(teredo(&peek(&inner, 9_000)), Match::No);
        assert_eq!(vxlan(&peek(b"\x08\0\0\0\0\0\x01\0aaaaaabbbbbb\x08", 4_789)), Match::No);
        assert_eq!(vxlan(&peek(b"\x08\0\0\0\0\0\x01\0aaaaaabbbbbb\x08\0xy", 4_789)), Match::Yes(92));
        assert_eq!(geneve(&peek(b"\0\0\x65\x58\0\0\x01\0", 6_081)), Match::Yes(93));
        assert_eq!(capwap(&peek(b"\0\x10\x02\0\0\0\0\0", 5_246)), Match::Yes(90));
        assert_eq!(tzsp(&peek(b"\x01\0\0\x01\x01", 37_008)), Match::Yes(90));
        for len in 0..behind.len() {
            teredo(&peek(&behind[..len], 3_544));
        }
    }
}
