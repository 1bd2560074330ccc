//! Which telephone signalling is this? MGCP, Megaco, H.323, Skinny, IAX2, UNIStim, NOE, BFCP, SAP by their headers.

use crate::dpi::text::starts_with_word;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

const fn voip(name: &'static str, probes: &'static [Probe]) -> Protocol {
    Protocol::named(name, Category::Voip, probes)
}

const UPPER: First = First::In(b'A', b'Z');

/// MGCP (RFC 3435).
pub static MGCP: Protocol = voip(
    "mgcp",
    &[
        Probe { over: Over::Udp, first: UPPER, look: mgcp_command },
        Probe { over: Over::Udp, first: First::In(b'0', b'9'), look: mgcp_response },
    ],
);
/// Megaco, H.248 in text (RFC 3525).
pub static MEGACO: Protocol =
    voip("megaco", &[Probe { over: Over::TcpOrUdp, first: First::Of(b"!M\x03"), look: megaco }]);
/// H.323: call signalling (H.225.0 in Q.931 in TPKT) and registration.
pub static H323: Protocol = voip(
    "h323",
    &[
        Probe { over: Over::Tcp, first: First::Of(&[3]), look: h225 },
        Probe { over: Over::Udp, first: First::Any, look: h225_ras },
    ],
);
/// Skinny Client Control Protocol.
pub static SKINNY: Protocol =
    voip("ciscoskinny", &[Probe { over: Over::Tcp, first: First::Any, look: skinny }]);
/// Inter-Asterisk exchange 2 (RFC 5456).
pub static IAX: Protocol = voip("iax", &[Probe { over: Over::Udp, first: First::In(0x80, 0xff), look: iax }]);
/// Nortel's UNIStim.
pub static UNISTIM: Protocol =
    voip("unistim", &[Probe { over: Over::Udp, first: First::Any, look: unistim }]);
/// Alcatel's New Office Environment.
pub static NOE: Protocol = voip("noe", &[Probe { over: Over::Udp, first: First::In(0, 7), look: noe }]);
/// Binary Floor Control Protocol (RFC 8855, 8856).
pub static BFCP: Protocol =
    voip("bfcp", &[Probe { over: Over::TcpOrUdp, first: First::In(0x20, 0x5f), look: bfcp }]);
/// Session announcements (RFC 2974).
pub static SAP: Protocol = voip("sap", &[Probe { over: Over::Udp, first: First::In(0x20, 0x3f), look: sap }]);

fn line_of<'a>(peek: &Peek<'a>) -> &'a [u8] {
    peek.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// RFC 3435 3.2.1: verb, number, endpoint, `MGCP 1.0`.
fn mgcp_command(peek: &Peek<'_>) -> Match {
    const VERBS: [&[u8]; 10] =
        [b"EPCF", b"CRCX", b"MDCX", b"DLCX", b"RQNT", b"NTFY", b"AUEP", b"AUCX", b"RSIP", b"MESG"];
    let is_verb =
        peek.bytes.get(..4).is_some_and(|verb| VERBS.contains(&verb)) && peek.bytes.get(4) == Some(&b' ');
    let line = line_of(peek);
    Match::of(is_verb && line.windows(6).any(|window| window == b" MGCP "), 97)
}

/// RFC 3435 3.3: a code and the number of the command; nothing more is sure.
fn mgcp_response(peek: &Peek<'_>) -> Match {
    let mut words = line_of(peek).split(|byte| *byte == b' ');
    let is_number = |word: Option<&[u8]>, most: usize| {
        word.is_some_and(|word| !word.is_empty() && word.len() <= most && word.iter().all(u8::is_ascii_digit))
    };
    let is_code = peek.bytes.get(3) == Some(&b' ') && is_number(words.next(), 3);
    let fits = is_code && is_number(words.next(), 9) && (peek.has_port(2427) || peek.has_port(2727));
    Match::of(fits, 85)
}

fn megaco(peek: &Peek<'_>) -> Match {
    let bytes = if peek.is_tcp { peek.bytes.get(4..).unwrap_or_default() } else { peek.bytes };
    let text = if peek.bytes.first() == Some(&3) { bytes } else { peek.bytes };
    let is_text = starts_with_word(text, b"!/1 ")
        || starts_with_word(text, b"!/2 ")
        || starts_with_word(text, b"!/3 ")
        || starts_with_word(text, b"megaco/");
    Match::of(is_text, 95)
}

/// TPKT (RFC 1006) with Q.931: discriminator 8, a call reference of two bytes, a call message, user-user behind.
fn h225(peek: &Peek<'_>) -> Match {
    let [3, 0, high, low, 8, 2, _, _, kind, ..] = peek.bytes else {
        let could_be = peek.bytes.iter().zip([3_u8, 0]).all(|(byte, wanted)| *byte == wanted);
        let more = peek.bytes.len() < 9 && could_be && peek.bytes.get(4).is_none_or(|byte| *byte == 8);
        return if more { Match::More } else { Match::No };
    };
    let len = u16::from_be_bytes([*high, *low]);
    let is_call = matches!(kind, 0x01..=0x05 | 0x07 | 0x0d | 0x0f | 0x5a | 0x62 | 0x6e | 0x75 | 0x7b | 0x7d);
    Match::of(is_call && len >= 10, 95)
}

/// H.225.0 RAS in PER: no magic, so only on its ports. The first byte has the choice of message and what is optional.
fn h225_ras(peek: &Peek<'_>) -> Match {
    if !peek.has_port(1719) && !peek.has_port(1718) {
        return Match::No;
    }
    // The object identifier of H.225.0: itu-t recommendation h 2250.
    let has_identifier = peek.bytes.windows(5).take(16).any(|window| window == [6, 0, 8, 0x91, 0x4a]);
    Match::of(has_identifier || matches!(peek.bytes, [0x0e..=0x28, _, _, ..] if peek.bytes.len() < 200), 80)
}

/// Little-endian length without these eight bytes, a version, a message identifier.
fn skinny(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 12 {
        return Match::More;
    }
    let (len, version, kind) = (peek.le32(0) as usize, peek.le32(4), peek.le32(8));
    let is_header = (4..=4_096).contains(&len) && matches!(version, 0 | 0x0a..=0x18);
    let is_kind = kind <= 0x0060 || (0x0081..=0x0165).contains(&kind) || (0x8000..=0x8001).contains(&kind);
    // Messages stand end to end.
    let next = 8 + len;
    let is_aligned = next == peek.bytes.len()
        || peek
            .bytes
            .get(next..next + 8)
            .is_some_and(|head| head[2] == 0 && head[3] == 0 && head[4..] == peek.bytes[4..8]);
    if !is_header || !is_kind || !is_aligned {
        return Match::No;
    }
    match (peek.has_port(2000), version) {
        (true, _) => Match::Yes(90),
        // Without its port only the versions of newer phones say enough.
        (false, 0) => Match::No,
        (false, _) => Match::Yes(75),
    }
}

/// RFC 5456 8.1.1: a full frame that begins a call, with information elements up to its end.
fn iax(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<12>() else { return Match::No };
    let is_first =
        head[8] == 0 && head[9] <= 1 && head[10] == 6 && head[11] & 0x80 == 0 && (1..=40).contains(&head[11]);
    let source = peek.be16(0) & 0x7fff;
    if !is_first || source == 0 || head[2] & 0x80 != 0 {
        return Match::No;
    }
    let mut rest = peek.bytes.get(12..).unwrap_or_default();
    while let [kind, len, after @ ..] = rest {
        let Some(next) = after.get(usize::from(*len)..) else { return Match::No };
        if *kind == 0 || *kind > 64 {
            return Match::No;
        }
        rest = next;
    }
    Match::of(rest.is_empty(), if peek.has_port(4569) { 95 } else { 70 })
}

/// A sequence number, a type (0 nak, 1 ack, 2 payload), who speaks (1 phone, 2 server).
fn unistim(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(5000) || peek.has_port(5100) || peek.has_port(7300) || peek.has_port(5105);
    let [_, _, _, _, kind, side, ..] = peek.bytes else { return Match::No };
    let fits = match (kind, side) {
        (0 | 1, 1 | 2) => peek.bytes.len() <= 12,
        (2, 1 | 2) => peek.bytes.len() >= 9,
        _ => false,
    };
    Match::of(is_port && fits && peek.be16(0) == 0, 80)
}

/// A single operation code in an acknowledgement, or a header whose length fits.
fn noe(peek: &Peek<'_>) -> Match {
    let is_port =
        peek.has_port(32_512) || peek.has_port(32_000) || peek.has_port(32_640) || peek.has_port(5_000);
    let fits = match peek.bytes {
        [4 | 5] => true,
        [7, 0, ..] | [0 | 1, 0, 0x62 | 0x66, ..] if peek.bytes.len() >= 12 => true,
        _ => false,
    };
    Match::of(fits && is_port, 70)
}

/// RFC 8855 5.1: version 1 or 2, primitive, length in words, conference.
fn bfcp(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<12>() else {
        return if peek.is_tcp { Match::More } else { Match::No };
    };
    let len = 12 + 4 * usize::from(peek.be16(2));
    let is_version = matches!(head[0], 0x20 | 0x30 | 0x40 | 0x50) && (head[0] >= 0x40) != peek.is_tcp;
    let is_primitive = (1..=18).contains(&head[1]);
    // Attributes: type and mandatory bit, length of all of it, padded.
    let mut rest = peek.bytes.get(12..len.min(peek.bytes.len())).unwrap_or_default();
    while let [kind, size, ..] = rest {
        if *size < 2 || *kind >> 1 > 20 || kind >> 1 == 0 {
            return Match::No;
        }
        rest = rest.get(usize::from(*size).next_multiple_of(4)..).unwrap_or_default();
    }
    let fits = len == peek.bytes.len() && peek.be32(4) != 0;
    Match::of(is_version && is_primitive && fits, if len > 12 { 90 } else { 70 })
}

/// RFC 2974 3: version 1, a source, a description of the session behind.
fn sap(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>() else { return Match::No };
    let address = if head[0] & 0x10 == 0 { 4 } else { 16 };
    let at = 4 + address + 4 * usize::from(head[1]);
    let payload = peek.bytes.get(at..).unwrap_or_default();
    Match::of(
        payload.starts_with(b"application/sdp\0")
            || payload.starts_with(b"v=0\r\n")
            || payload.starts_with(b"v=0\no="),
        95,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn each_is_known_and_no_beginning_of_it_panics() {
        type Case<'a> = (fn(&Peek<'_>) -> Match, &'a [u8], u16, bool);
        let cases: [Case<'_>; 8] = [
            (mgcp_command, b"CRCX 1204 aaln/1@rgw.example MGCP 1.0\r\n", 2427, false),
            (mgcp_response, b"200 1204 OK\r\n", 2427, false),
            (megaco, b"MEGACO/1 [192.0.2.1]:2944\n", 2944, false),
            (h225, b"\x03\0\0\x20\x08\x02\0\x01\x05\x04", 1720, true),
            (skinny, b"\x04\0\0\0\0\0\0\0\0\0\0\0", 2000, true),
            (iax, b"\x80\x01\0\0\0\0\0\x03\0\0\x06\x01\x0b\x02\0\x02", 4569, false),
            (bfcp, b"\x20\x0b\0\x00\0\0\0\x01\0\x01\0\x02", 5070, true),
            (sap, b"\x20\0\x12\x34\xc0\0\x02\x01application/sdp\0v=0\r\n", 9875, false),
        ];
        for (look, bytes, port, is_tcp) in cases {
            assert!(matches!(looked(look, bytes, port, is_tcp), Match::Yes(70..)), "{bytes:?}");
            assert_eq!(look(&peek(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 80, is_tcp)), Match::No);
        }
    }
}
