//! Which interfaces of mobile and telephone networks are these? GTP beside `gtp` (3GPP GSM 09.60, TS 32.295), PFCP (TS
//! 29.244), and what SCTP's payload identifiers name (IANA's registry of them).

use super::routing::named;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

named! {
    /// Charging.
    GTP_PRIME = "gtp_prime", Network, &[Probe { over: Over::TcpOrUdp, first: First::In(0, 0x4f), look: gtp_prime }];
    /// GTP of which no more is known: version 0.
    GTP = "gtp", Network, &[Probe { over: Over::Udp, first: First::In(0x10, 0x1f), look: gtp_zero }];
    /// Control of user planes.
    PFCP = "pfcp", Network, &[Probe { over: Over::Udp, first: First::In(0x20, 0x2f), look: pfcp }];
    /// Radio and core of 4G.
    S1AP = "s1ap", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 18, 36412) }];
    /// Radios of 4G.
    X2AP = "x2ap", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 27, 36422) }];
    /// Radio and core of 5G.
    NGAP = "ngap", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 60, 38412) }];
    /// Radios of 5G.
    XNAP = "xnap", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 61, 38422) }];
    /// Parts of one radio of 5G.
    F1AP = "f1ap", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 62, 38472) }];
    /// Its planes.
    E1AP = "e1ap", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 64, 38462) }];
    /// Users of signalling system 7's network layer.
    M3UA = "m3ua", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 3, 2905) }];
    /// Users of its link layer.
    M2UA = "m2ua", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 2, 2904) }];
    /// Its links, between equals.
    M2PA = "m2pa", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 5, 3565) }];
    /// Users of its connection control.
    SUA = "sua", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 4, 14001) }];
    /// Users of ISDN.
    IUA = "iua", Network, &[Probe { over: Over::Sctp, first: First::Any, look: |peek| is(peek, 1, 9900) }];
}

/// Chunks of one packet that are looked at.
const CHUNKS_MAX: usize = 16;

/// Payload protocol identifier and user data of the first data chunk (RFC 9260 3.3.1, RFC 8260 2.1).
pub(super) fn payload(mut chunks: &[u8]) -> Option<(u32, &[u8])> {
    for _ in 0..CHUNKS_MAX {
        let [kind, _, high, low, ..] = chunks else { return None };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if len < 4 {
            return None;
        }
        let chunk = chunks.get(..len).unwrap_or(chunks);
        let head = match kind {
            0 => 16,
            64 => 20,
            _ => {
                // Chunks begin at multiples of four.
                chunks = chunks.get(len.next_multiple_of(4)..)?;
                continue;
            }
        };
        let id = chunk.get(12..16)?.first_chunk().copied().map(u32::from_be_bytes)?;
        return Some((id, chunk.get(head..)?));
    }
    None
}

/// By the identifier; an association that has sent nothing yet by the port that is registered for the protocol.
pub(super) fn is(peek: &Peek<'_>, id: u32, port: u16) -> Match {
    match payload(peek.bytes) {
        Some((found, _)) => Match::of(found == id, 95),
        None => Match::of(peek.has_port(port), 45),
    }
}

fn gtp_prime(peek: &Peek<'_>) -> Match {
    let [first, kind, ..] = peek.bytes else { return Match::No };
    // TS 32.295 6.1: not GTP itself; echo, version, addresses, redirection, records.
    let is_kind = matches!(kind, 1..=7 | 240 | 241);
    let len = usize::from(peek.be16(2));
    let fits = peek.is_tcp || len + 6 <= peek.bytes.len();
    Match::of(peek.has_port(3_386) && first & 0x10 == 0 && first >> 5 <= 2 && is_kind && fits, 93)
}

fn gtp_zero(peek: &Peek<'_>) -> Match {
    // GSM 09.60 6: version 0, GTP, twenty bytes of header.
    let is_port = peek.has_port(3_386) || peek.has_port(2_152) || peek.has_port(2_123);
    Match::of(is_port && peek.bytes.len() >= 20 && usize::from(peek.be16(2)) + 20 <= peek.bytes.len(), 90)
}

fn pfcp(peek: &Peek<'_>) -> Match {
    let [_, kind, ..] = peek.bytes else { return Match::No };
    // TS 29.244 7.2.2: version 1; messages of nodes, then of sessions.
    let is_kind = matches!(kind, 1..=16 | 50..=57);
    let len = usize::from(peek.be16(2));
    Match::of(peek.has_port(8_805) && is_kind && len >= 4 && len + 4 <= peek.bytes.len(), 95)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], port: u16) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, port, false)
    }

    #[test]
    fn planes_are_recognised() {
        assert_eq!(gtp_prime(&peek(b"\x0e\x01\0\0\0\x01", 3_386)), Match::Yes(93));
        assert_eq!(pfcp(&peek(b"\x20\x01\0\x04\0\0\x01\0", 8_805)), Match::Yes(95));
        assert_eq!(pfcp(&peek(b"\x20\x01\0\x09\0\0\x01\0", 8_805)), Match::No);
    }

    #[test]
    fn payload_is_found_behind_other_chunks() {
        let packet = b"\x03\0\0\x10\0\0\0\x01\0\0\x10\0\0\0\0\0\
            \0\x03\0\x14\0\0\0\x01\0\0\0\0\0\0\0\x12abcd";
        assert_eq!(payload(packet), Some((18, &b"abcd"[..])));
        assert_eq!(is(&peek(packet, 9_000), 18, 36_412), Match::Yes(95));
        for len in 0..packet.len() {
            payload(&packet[..len]);
        }
    }
}
