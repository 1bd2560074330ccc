//! What runs in a vehicle or a train? SOME/IP, DoIP, CAN over Ethernet, AUTOSAR's log and trace, TRDP.

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $($over:ident $first:expr => $look:ident),+;)+) => {
        $($(#[$doc])*
        pub static $name: Protocol = Protocol {
            name: $text,
            eve: None,
            category: Category::Iot,
            probes: &[$(Probe { over: Over::$over, first: $first, look: $look }),+],
            parser: None,
        };)+
    };
}

plain! {
    /// Scalable service-oriented middleware over IP (AUTOSAR PRS_SOMEIPProtocol 4.1).
    SOMEIP = "someip", TcpOrUdp First::Any => looks_like_someip;
    /// Diagnostics over IP (ISO 13400-2, 9.2); UDS goes inside.
    DOIP = "doip", TcpOrUdp First::Of(&[1, 2, 3, 4, 0xff]) => looks_like_doip;
    /// Controller area networks over Ethernet: the "ISO11898" header of public dissectors.
    CAN = "controller_area_network", Udp First::Of(b"I") => looks_like_can;
    /// AUTOSAR's diagnostic log and trace (PRS_LogAndTraceProtocol 5.1).
    DLT = "dlt", TcpOrUdp First::Of(&[b'D', 0x35, 0x3d, 0x21, 0x25, 0x31, 0x37, 0x3f, 0x27]) => looks_like_dlt;
    /// Train real-time data (IEC 61375-2-3 annex A).
    TRDP = "trdp", TcpOrUdp First::Any => looks_like_trdp;
}

fn looks_like_someip(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<16>() else {
        return if peek.is_tcp { Match::More } else { Match::No };
    };
    // The protocol's version is always 1, and so is the kind of service discovery.
    let is_discovery = head.starts_with(&[0xff, 0xff, 0x81, 0]);
    // Keeps of TCP and UDP: ffff and the magic cookie dead beef.
    if matches!(head[..4], [0xff, 0xff, 0 | 0x80, 0]) && head[8..12] == [0xde, 0xad, 0xbe, 0xef] {
        return Match::Yes(97);
    }
    let len = peek.be32(4) as usize;
    let known = matches!(head[14], 0..=2 | 0x20..=0x22 | 0x40..=0x42 | 0x80 | 0x81 | 0xa0 | 0xa1 | 0xc0 | 0xc1 | 0xe0 | 0xe1);
    if head[12] != 1 || !known || head[15] > 0x5e || !(8..1 << 20).contains(&len) {
        return Match::No;
    }
    // Requests and notifications have no error.
    if head[14] & 0x80 == 0 && head[15] != 0 {
        return Match::No;
    }
    let rest = peek.bytes.get(8 + len..);
    let ends = match rest {
        Some([]) => true,
        // Another message behind it has the same version.
        Some(next) => next.get(12).is_none_or(|version| *version == 1),
        None => peek.is_tcp && is_discovery,
    };
    let on_port = (30_490..=30_510).any(|port| peek.has_port(port));
    Match::of(
        ends,
        if is_discovery {
            97
        } else if on_port {
            92
        } else {
            82
        },
    )
}

fn looks_like_doip(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>() else {
        let inverted = peek.bytes.get(1).is_none_or(|byte| Some(!*byte) == peek.bytes.first().copied());
        return if peek.is_tcp && inverted { Match::More } else { Match::No };
    };
    // Version and its inverse, a known kind, the length of what follows.
    let known = matches!(peek.be16(2), 0..=8 | 0x4001..=0x4004 | 0x8001..=0x8003);
    let len = peek.be32(4) as usize;
    let is_whole = if peek.is_tcp { len < 1 << 20 } else { peek.bytes.len() == 8 + len };
    Match::of(head[0] == !head[1] && known && is_whole, 95)
}

fn looks_like_can(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(b"ISO11898") && peek.bytes.len() > 10, 98)
}

fn looks_like_dlt(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    // Storage and serial headers have magic texts.
    if bytes.starts_with(b"DLT\x01") || bytes.starts_with(b"DLS\x01") {
        return Match::Yes(94);
    }
    if bytes.len() < 16 {
        return if peek.is_tcp && bytes.len() < 4 { Match::More } else { Match::No };
    }
    // Header type: extended header, byte order, ECU, session, time, version 1; counter; length.
    let kind = bytes.first().copied().unwrap_or_default();
    let len = usize::from(peek.be16(2));
    let names = |at: usize, count: usize| {
        bytes.get(at..at + 4 * count).is_some_and(|names| {
            names.first().is_some_and(u8::is_ascii_alphanumeric)
                && names.iter().all(|byte| *byte == 0 || byte.is_ascii_alphanumeric() || b"_-".contains(byte))
        })
    };
    let has_ecu = kind & 4 != 0;
    let extended = 4 + [4_u8, 8, 16].iter().filter(|bit| kind & **bit != 0).count() * 4;
    let fits = kind >> 5 == 1
        && len >= 16
        && (!has_ecu || names(4, 1))
        && (kind & 1 == 0 || names(extended + 2, 2))
        && (has_ecu || kind & 1 != 0);
    let is_whole = bytes.len() == len || bytes.get(len).is_some_and(|next| *next == kind);
    Match::of(fits && is_whole, if peek.has_port(3_490) { 94 } else { 84 })
}

fn looks_like_trdp(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>() else {
        return if peek.is_tcp { Match::More } else { Match::No };
    };
    // Sequence, version 1.0 or 1.1, and the kind in two letters: process or message data.
    let is_kind =
        matches!(&head[6..8], b"Pd" | b"Pp" | b"Pr" | b"Pe" | b"Mn" | b"Mr" | b"Mp" | b"Mq" | b"Mc" | b"Me");
    Match::of(head[4] == 1 && head[5] <= 1 && is_kind && peek.bytes.len() >= 40, 96)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn each_is_known_by_its_header_and_no_prefix_panics() {
        type Case = (fn(&Peek<'_>) -> Match, &'static [u8], u8);
        let mut trdp = [0; 44];
        trdp[4..8].copy_from_slice(&[1, 0, b'P', b'd']);
        assert_eq!(looks_like_trdp(&peek(&trdp, 17_224, false)), Match::Yes(96));
        let cases: &[Case] = &[
            (looks_like_someip, b"\xff\xff\x81\0\0\0\0\x08\0\0\0\x01\x01\x01\x02\0", 97),
            (looks_like_someip, b"\x12\x34\0\x01\0\0\0\x09\0\0\0\x01\x01\x01\x00\0\x55", 82),
            (looks_like_doip, b"\x02\xfd\0\x01\0\0\0\0", 95),
            (looks_like_can, b"ISO11898\x01\x00\x01\x23\x45\x67", 98),
            (looks_like_dlt, b"\x35\x01\0\x1cECU1\0\0\0\x01\x41\x01APP1CON1\0\x02\0\0hi", 84),
        ];
        for (look, bytes, confidence) in cases {
            assert_eq!(looked(*look, bytes, 9, false), Match::Yes(*confidence), "{bytes:?}");
        }
    }

    #[test]
    fn others_are_not_claimed() {
        let text = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
        for look in [looks_like_someip, looks_like_doip, looks_like_can, looks_like_dlt, looks_like_trdp] {
            assert_eq!(look(&peek(text, 80, true)), Match::No);
        }
    }
}
