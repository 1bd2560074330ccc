//! Who asks what time it is? NTP (RFC 5905), PTP version 2 (IEEE 1588), Roughtime.
//!
//! What PTP and Roughtime say is in their headers; the messages of NTP are told by `clock.rs`.

use super::clock::Clock;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// NTP and SNTP.
pub static NTP: Protocol = Protocol {
    name: "ntp",
    eve: None,
    category: Category::System,
    probes: &[Probe { over: Over::Udp, first: First::Any, look: ntp }],
    parser: Some(|| Box::<Clock>::default()),
};

/// The precision time protocol.
pub static PTP: Protocol =
    Protocol::named("ptpv2", Category::System, &[Probe { over: Over::Udp, first: First::Any, look: ptp }]);

/// Time with proof.
pub static ROUGHTIME: Protocol = Protocol::named(
    "roughtime",
    Category::System,
    &[
        Probe { over: Over::Udp, first: First::Of(b"R"), look: roughtime },
        Probe { over: Over::Udp, first: First::In(2, 16), look: roughtime_google },
    ],
);

const NTP_PORT: u16 = 123;

fn ntp(peek: &Peek<'_>) -> Match {
    let Some(first) = peek.bytes.first() else { return Match::No };
    let (version, mode, len) = (first >> 3 & 7, first & 7, peek.bytes.len());
    if !(1..=4).contains(&version) {
        return Match::No;
    }
    let is_port = peek.has_port(NTP_PORT);
    let stratum = peek.bytes.get(1).copied().unwrap_or(u8::MAX);
    match mode {
        // RFC 5905 7.3: 48 bytes, then extension fields and a digest, in words of four bytes.
        0..=5 => {
            let is_one = len >= 48 && len % 4 == 0 && stratum <= 16;
            // Poll interval and precision are powers of two, of seconds.
            let poll = peek.bytes.get(2).copied().unwrap_or(u8::MAX);
            let precision = peek.bytes.get(3).copied().unwrap_or(0) as i8;
            if is_port {
                Match::of(is_one, 92)
            } else {
                Match::of(len == 48 && is_one && mode >= 3 && poll <= 17 && (-32..0).contains(&precision), 60)
            }
        }
        // Control (RFC 9327 2) and the private mode of ntpdc.
        6 => Match::of(is_port && len >= 12 && usize::from(peek.be16(10)) + 12 <= len, 90),
        // Implementations 0, 2 and 3 (`ntp_request.h`).
        _ => Match::of(is_port && len >= 8 && peek.bytes.get(2).is_some_and(|kind| *kind <= 3), 90),
    }
}

fn ptp(peek: &Peek<'_>) -> Match {
    // Event and general messages have ports of their own (IEEE 1588 annex D).
    if !(peek.has_port(319) || peek.has_port(320)) {
        return Match::No;
    }
    let [kind, version, ..] = peek.bytes else { return Match::No };
    let len = usize::from(peek.be16(2));
    let is_known = matches!(kind & 0xf, 0..=3 | 8..=13);
    Match::of(
        version & 0xf == 2 && is_known && peek.bytes.len() >= 34 && len >= 34 && len <= peek.bytes.len(),
        93,
    )
}

fn roughtime(peek: &Peek<'_>) -> Match {
    // draft-ietf-ntp-roughtime 5: "ROUGHTIM", then the length of the message.
    Match::of(
        peek.bytes.starts_with(b"ROUGHTIM") && peek.bytes.len() == (peek.le32(8) as usize).saturating_add(12),
        97,
    )
}

fn roughtime_google(peek: &Peek<'_>) -> Match {
    // The first form has no magic: a count of tags, offsets of all values but the first, then sorted tags.
    let count = peek.le32(0) as usize;
    if !(2..=16).contains(&count) || peek.bytes.len() < count * 8 {
        return Match::No;
    }
    let tag_at =
        |nth: usize| peek.bytes.get(count * 4 + nth * 4..count * 4 + nth * 4 + 4).unwrap_or_default();
    let are_known = (0..count).all(|nth| {
        matches!(
            tag_at(nth),
            b"SIG\0"
                | b"SIG\xff"
                | b"VER\0"
                | b"NONC"
                | b"PATH"
                | b"SREP"
                | b"CERT"
                | b"INDX"
                | b"ROOT"
                | b"PAD\xff"
                | b"ZZZZ"
                | b"SRV\0"
                | b"TYPE"
        )
    });
    Match::of(are_known, 95)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], port: u16) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, port, false)
    }

    #[test]
    fn time_is_recognised() {
        let mut client = [0; 48];
        client[..4].copy_from_slice(&[0x23, 0, 6, 0xec]);
        assert_eq!(ntp(&peek(&client, 123)), Match::Yes(92));
        assert_eq!(ntp(&peek(&client, 9_999)), Match::Yes(60));
        assert_eq!(ntp(&peek(&client[..47], 123)), Match::No);
        assert_eq!(ntp(&peek(&[0x17, 0, 3, 0x2a, 0, 0, 0, 0], 123)), Match::Yes(90));
        let mut sync = [0; 44];
        sync[..4].copy_from_slice(&[0, 2, 0, 44]);
        assert_eq!(ptp(&peek(&sync, 319)), Match::Yes(93));
        assert_eq!(ptp(&peek(&sync[..33], 319)), Match::No);
        let mut request = b"\x02\0\0\0\x40\0\0\0NONCPAD\xff".to_vec();
        request.resize(1_024, 0);
        assert_eq!(roughtime_google(&peek(&request, 2_002)), Match::Yes(95));
        assert_eq!(roughtime_google(&peek(&request[..12], 2_002)), Match::No);
        let mut framed = b"ROUGHTIM\x04\0\0\0".to_vec();
        framed.extend_from_slice(&[0; 4]);
        assert_eq!(roughtime(&peek(&framed, 2_002)), Match::Yes(97));
    }
}
