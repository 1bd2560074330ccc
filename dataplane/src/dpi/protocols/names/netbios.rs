//! Which names do Windows hosts ask each other for? NetBIOS over TCP/IP: names, datagrams, sessions (RFC 1001, RFC 1002).

use super::message::{HEADER_BYTES, Header, Question, Rr};
use crate::dpi::{Category, Context, First, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// NetBIOS; sessions that carry SMB are SMB's.
pub static NETBIOS: Protocol = Protocol {
    name: "netbios",
    eve: None,
    category: Category::System,
    probes: &[
        Probe { over: Over::Udp, first: First::Any, look: names },
        Probe { over: Over::Udp, first: First::In(0x10, 0x16), look: datagrams },
        Probe { over: Over::Tcp, first: First::In(0x81, 0x85), look: sessions },
    ],
    parser: Some(|| Box::new(Reader)),
};

const NAME_PORT: u16 = 137;
const DATAGRAM_PORT: u16 = 138;
const SESSION_PORT: u16 = 139;

/// RFC 1001 14.1: sixteen bytes, each as two letters from `A` to `P`.
const ENCODED_BYTES: usize = 32;

fn is_encoded(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&(ENCODED_BYTES as u8))
        && bytes
            .get(at + 1..at + 1 + ENCODED_BYTES)
            .is_some_and(|name| name.iter().all(|byte| (b'A'..=b'P').contains(byte)))
}

fn names(peek: &Peek<'_>) -> Match {
    let Some(header) = Header::read(peek.bytes) else { return Match::No };
    // RFC 1002 4.2.1.1: query, registration, release, wait, refresh (twice), and Samba's multihomed registration.
    if !matches!(header.opcode(), 0 | 5..=9 | 15)
        || header.least_bytes() > peek.bytes.len()
        || peek.has_port(53)
    {
        return Match::No;
    }
    let is_port = peek.has_port(NAME_PORT);
    let kind = match header.counts[0] {
        0 => Rr::read(peek.bytes, HEADER_BYTES).map(|rr| (rr.kind, rr.class)),
        _ => Question::read(peek.bytes, HEADER_BYTES).map(|question| (question.kind, question.class)),
    };
    let is_kind = matches!(kind, Some((0x20 | 0x21 | 0xa | 1 | 2, 1)));
    match (is_kind, is_encoded(peek.bytes, HEADER_BYTES)) {
        (true, true) if is_port || matches!(kind, Some((0x20 | 0x21, _))) => Match::Yes(95),
        (true, false) | (false, true) => Match::of(is_port, 85),
        _ => Match::No,
    }
}

fn datagrams(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(DATAGRAM_PORT);
    let Some(kind) = peek.bytes.first() else { return Match::No };
    match kind {
        // RFC 1002 4.4.2: a header of 14 bytes, then two names.
        0x10..=0x12 => {
            let len = usize::from(peek.be16(10));
            if is_encoded(peek.bytes, 14) {
                Match::of(is_port || len + 14 == peek.bytes.len(), 94)
            } else {
                Match::of(is_port && len + 14 == peek.bytes.len(), 85)
            }
        }
        // RFC 1002 4.4.3 and 4.4.4: a code after the header of 10 bytes, or a name.
        _ => Match::of(is_port && (peek.bytes.len() == 11 || is_encoded(peek.bytes, 10)), 80),
    }
}

fn sessions(peek: &Peek<'_>) -> Match {
    let [kind, flags, ..] = peek.bytes else { return Match::More };
    let len = usize::from(peek.be16(2));
    if *flags > 1 || peek.bytes.len() < 4 && !peek.has_port(SESSION_PORT) {
        return Match::No;
    }
    match kind {
        // RFC 1002 4.3.2: called and calling name.
        0x81 if !(68..=600).contains(&len) => Match::No,
        0x81 if peek.bytes.len() < 37 => Match::More,
        0x81 => Match::of(is_encoded(peek.bytes, 4), 90),
        // Positive, negative and retarget responses, keep alive.
        0x82 | 0x85 => Match::of(peek.has_port(SESSION_PORT) && len == 0 && peek.bytes.len() == 4, 75),
        0x83 => Match::of(peek.has_port(SESSION_PORT) && len == 1, 80),
        _ => Match::of(peek.has_port(SESSION_PORT) && len == 6, 80),
    }
}

/// Decodes the name at `at`: the text without padding, and the suffix that says what has it.
fn decode(bytes: &[u8], at: usize) -> Option<([u8; 15], usize, u8)> {
    let encoded = is_encoded(bytes, at).then(|| bytes.get(at + 1..at + 1 + ENCODED_BYTES)).flatten()?;
    let mut name = [0; 15];
    let mut suffix = 0;
    for (nth, pair) in encoded.chunks_exact(2).enumerate() {
        let [high, low] = pair else { return None };
        let byte = (high - b'A') << 4 | (low - b'A');
        match name.get_mut(nth) {
            Some(slot) => *slot = byte,
            None => suffix = byte,
        }
    }
    let len = name.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    Some((name, len, suffix))
}

#[derive(Debug)]
struct Reader;

impl Parser for Reader {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol == crate::parse::Protocol::TCP {
            // What follows a session's begin is another protocol's, mostly SMB.
            if let Some((name, len, _)) = decode(bytes, 4) {
                cx.host(HostKind::Other, name.get(..len).unwrap_or_default());
            }
            return match bytes {
                [0x81, _, high, low, ..] if cx.notes.protocol_confidence() >= 90 => {
                    let len = usize::from(u16::from_be_bytes([*high, *low]));
                    // RFC 1002 4.3.2: two names, of which the shortest with a scope takes 34 bytes.
                    if len < 68 {
                        cx.anomaly("invalid_length");
                    }
                    Step::Consumed(4 + len)
                }
                [0x82 | 0x85, ..] => Step::Consumed(4),
                [0, _, _, _, 0xff | 0xfe, b'S', b'M', b'B', ..] => Step::NotMine,
                [0, ..] if bytes.len() < 8 => Step::Consumed(0),
                _ => Step::Done,
            };
        }
        let (at, event_kind) = match bytes.first() {
            Some(0x10..=0x16)
                if cx.flow.initiator.1 == DATAGRAM_PORT || cx.server_port() == DATAGRAM_PORT =>
            {
                (14, "datagram")
            }
            _ => (HEADER_BYTES, "name"),
        };
        // Announcements of the browser travel as SMB 1 transactions in datagrams.
        if at == 14 && bytes.get(82..86) == Some(b"\xffSMB") {
            cx.app("smbv1", 85);
        }
        let decoded = decode(bytes, at);
        if decoded.is_none() && bytes.len() > at && bytes.get(at) == Some(&32) {
            cx.anomaly("malformed_name");
        }
        if let Some((name, len, suffix)) = decoded {
            let text = name.get(..len).unwrap_or_default();
            cx.host(HostKind::Other, text);
            cx.tell_with("netbios", way, |fields| {
                fields.text("type", event_kind);
                fields.text("name", text);
                fields.number("suffix", suffix);
                if let Some(header) = Header::read(bytes).filter(|_| at == HEADER_BYTES) {
                    fields.number("id", header.id);
                    fields.bool("response", header.is_response());
                    fields.number("opcode", header.opcode());
                }
            });
        }
        Step::Consumed(bytes.len())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::peek;

    #[test]
    fn names_datagrams_and_sessions_are_recognised() {
        let mut query = b"\x00\x01\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20".to_vec();
        // "FRED" and blanks, suffix 0 (RFC 1001 14.1).
        query.extend_from_slice(b"EGFCEFEECACACACACACACACACACACAAA\x00\x00\x20\x00\x01");
        assert_eq!(names(&peek(&query, 137, false)), Match::Yes(95));
        assert_eq!(names(&peek(&query, 4_000, false)), Match::Yes(95));
        let (name, len, suffix) = decode(&query, 12).unwrap();
        assert_eq!((&name[..len], suffix), (&b"FRED"[..], 0));
        for len in 0..query.len() {
            assert_ne!(names(&peek(&query[..len], 4_000, false)), Match::Yes(95));
            assert!(decode(&query[..len], 12).is_none() || len >= 45);
        }
        let mut call = b"\x81\x00\x00\x44\x20EGFCEFEECACACACACACACACACACACAAA\0".to_vec();
        call.extend_from_slice(b"\x20EGFCEFEECACACACACACACACACACACAAA\0");
        assert_eq!(sessions(&peek(&call, 139, true)), Match::Yes(90));
        assert_eq!(sessions(&peek(&call[..20], 139, true)), Match::More);
        assert_eq!(sessions(&peek(b"\x81\x80\x00\x01\x00\x00", 139, true)), Match::No);
        let mut datagram = vec![0x11, 2, 0, 1, 192, 0, 2, 1, 0, 138, 0, 68, 0, 0];
        datagram.extend_from_slice(&call[4..]);
        assert_eq!(datagrams(&peek(&datagram, 138, false)), Match::Yes(94));
        assert_eq!(datagrams(&peek(&datagram[..12], 9_999, false)), Match::No);
    }
}
