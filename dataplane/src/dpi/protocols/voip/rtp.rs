//! Is this media? RTP and RTCP (RFC 3550) have no magic number: two packets that continue each other decide.
//!
//! Its streams are told (`media`), and so is what their reports say (`reports`).

mod media;
mod reports;

use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// RTP; encrypted (RFC 3711) it looks the same.
pub static RTP: Protocol = Protocol {
    name: "rtp",
    eve: None,
    category: Category::Media,
    probes: &[Probe { over: Over::Udp, first: First::In(0x80, 0xbf), look }],
    parser: Some(|| Box::<media::Media>::default()),
};

/// SRTP, where signalling announced it.
pub static SRTP: Protocol =
    Protocol { name: "srtp", eve: None, category: Category::Media, probes: &[], parser: None };

/// RTCP.
pub static RTCP: Protocol = Protocol {
    name: "rtcp",
    eve: None,
    category: Category::Media,
    probes: &[Probe { over: Over::Udp, first: First::In(0x80, 0xbf), look: look_at_control }],
    parser: Some(|| Box::<media::Media>::default()),
};

/// Header fields: type, sequence number, source.
fn header(bytes: &[u8]) -> Option<(u8, u16, [u8; 4])> {
    let head = bytes.first_chunk::<12>()?;
    let kind = head[1] & 0x7f;
    // RFC 3551 6: 72 to 76 look like RTCP; 35 to 71 are used by nobody but after all others are taken.
    let is_plausible = head[0] >> 6 == 2 && matches!(kind, 0..=34 | 77..=127);
    let source = [head[8], head[9], head[10], head[11]];
    (is_plausible && source != [0; 4]).then(|| (kind, u16::from_be_bytes([head[2], head[3]]), source))
}

fn look(peek: &Peek<'_>) -> Match {
    let Some((_, sequence, source)) = header(peek.bytes) else { return Match::No };
    let fixed = 12 + 4 * usize::from(peek.bytes[0] & 0x0f);
    if peek.bytes.len() <= fixed || peek.to_port() == 53 {
        return Match::No;
    }
    match header(peek.previous) {
        Some((_, before, same)) if same == source && (1..=64).contains(&sequence.wrapping_sub(before)) => {
            Match::Yes(85)
        }
        _ => Match::More,
    }
}

fn look_at_control(peek: &Peek<'_>) -> Match {
    // The first of a compound is a report (RFC 3550 6.1), or feedback of reduced size (RFC 5506).
    if peek.bytes.len() < 8 || !matches!(peek.bytes.get(1), Some(200..=206)) {
        return Match::No;
    }
    let mut rest = peek.bytes;
    let mut count = 0;
    while let [first, kind, high, low, ..] = rest {
        let len = 4 * (usize::from(u16::from_be_bytes([*high, *low])) + 1);
        if first >> 6 != 2 || !(192..=213).contains(kind) || len > rest.len() {
            break;
        }
        count += 1;
        rest = rest.get(len..).unwrap_or_default();
    }
    let is_report = matches!(peek.bytes[1], 200 | 201);
    // A report's length follows from its count of blocks; profile-specific words may stand behind.
    let blocks = usize::from(peek.bytes[0] & 0x1f);
    let least = blocks * 24 + if peek.bytes[1] == 200 { 28 } else { 8 };
    let fits = 4 * (usize::from(peek.be16(2)) + 1) >= least;
    match (count, rest.len(), is_report) {
        (0, ..) => Match::No,
        (1.., 0, true) if fits => Match::Yes(90),
        (1.., 0, false) => Match::Yes(70),
        // SRTCP: the rest is encrypted; an index whose first bit says so and a tag of ten bytes stand behind
        // (RFC 3711 3.4).
        (1.., 14.., true) if fits && is_encrypted(peek.bytes) => Match::Yes(88),
        (1.., _, true) if fits => Match::Yes(70),
        _ => Match::No,
    }
}

fn is_encrypted(packet: &[u8]) -> bool {
    packet.len().checked_sub(14).and_then(|at| packet.get(at)).is_some_and(|byte| byte & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Direction;

    fn peek<'a>(bytes: &'a [u8], previous: &'a [u8]) -> Peek<'a> {
        Peek {
            bytes,
            way: Direction::Forward,
            nth: 1,
            ports: (30_000, 40_000),
            other: &[],
            previous,
            is_multicast: false,
            is_tcp: false,
        }
    }

    #[test]
    fn two_packets_in_a_row_are_needed() {
        let first = [0x80, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 9];
        let mut second = first;
        second[3] = 2;
        assert_eq!(look(&peek(&first, &[])), Match::More);
        assert_eq!(look(&peek(&second, &first)), Match::Yes(85));
        second[8] = 7;
        assert_eq!(look(&peek(&second, &first)), Match::More);
        for len in 0..first.len() {
            let _ = look(&peek(&first[..len], &first));
            let _ = look_at_control(&peek(&first[..len], &first));
        }
    }

    #[test]
    fn reports_are_walked() {
        let report = [0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 202, 0, 2, 1, 2, 3, 4, 1, 1, b'a', 0];
        assert_eq!(look_at_control(&peek(&report, &[])), Match::Yes(90));
        assert_eq!(look_at_control(&peek(&[0x80, 201, 0xff, 1, 1, 2, 3, 4], &[])), Match::No);
    }
}
