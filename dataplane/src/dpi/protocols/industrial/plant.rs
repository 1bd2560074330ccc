//! Which controller or fieldbus gateway speaks here? The protocols of single makers, and fieldbuses over IP.
//!
//! Each has a header whose lengths, constants or checksums decide; layouts are the makers' manuals' and public
//! dissectors'.

use super::grid::ccitt;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, HostKind, Parser, Step};
use crate::flow::Direction;

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
    /// Omron's FINS (W227, "FINS Commands"; W421 for TCP).
    FINS = "fins", Udp First::Of(&[0x80, 0x81, 0x82, 0x83, 0xc0, 0xc1]) => looks_like_fins,
        Tcp First::Of(b"F") => looks_like_fins_in_tcp;
    /// Mitsubishi's MELSEC frames 3E and 4E (SLMP; CC-Link IE field basic).
    MELSEC = "melsec", TcpOrUdp First::Of(&[0x50, 0x54, 0xd0, 0xd4]) => looks_like_melsec,
        TcpOrUdp First::Of(b"5D") => looks_like_melsec_text;
    /// GE's service request transport.
    GE_SRTP = "ge_srtp", Tcp First::Of(&[0, 1, 2, 3]) => looks_like_ge_srtp;
    /// Beckhoff's ADS in AMS (Infosys, "AMS/TCP Header").
    BECKHOFF_ADS = "beckhoffads", Tcp First::Of(&[0]) => looks_like_ads, Udp First::Of(&[0x71]) => looks_like_ads_search;
    /// CODESYS version 2 and 3.
    CODESYS = "codesys", Tcp First::Of(&[0xe8, 0xbb, 0xcc]) => looks_like_codesys, Udp First::Of(&[0xc5]) => looks_like_codesys_datagram;
    /// GE's Ethernet Global Data.
    EGD = "ethernetglobaldata", Udp First::Of(&[0x0d]) => looks_like_egd;
    /// Saia's S-Bus over Ethernet.
    ETHER_SBUS = "ether-s-bus", Udp First::Of(&[0]) => looks_like_sbus;
    /// Saia's distributed inputs and outputs.
    ETHERSIO = "ethersio", Udp First::Of(b"E") => looks_like_ethersio;
    /// HART over IP (HCF_SPEC-085).
    HART_IP = "hart-ip", TcpOrUdp First::Of(&[1, 2]) => looks_like_hart;
    /// PROFINET's context manager over DCE/RPC (IEC 61158-6-10).
    PROFINET_IO = "profinet_io", Udp First::Of(&[4]) => looks_like_profinet;
    /// Foundation Fieldbus high speed Ethernet (FF-588).
    FF_HSE = "ff-hse", TcpOrUdp First::Of(&[1]) => looks_like_hse;
    /// Red Lion's Crimson 3.
    CRIMSON = "redlion", Tcp First::Of(&[0, 1]) => looks_like_crimson;
}

/// OPC Unified Architecture (OPC 10000-6, 7.1.2).
pub static OPC_UA: Protocol = Protocol {
    name: "opc-ua",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"HAOMCER"), look: looks_like_opc_ua }],
    parser: Some(|| Box::new(OpcUa)),
};

fn looks_like_fins(peek: &Peek<'_>) -> Match {
    // Information field, 0, gateways passed, two addresses of three, service; then the command.
    let Some(head) = peek.bytes.first_chunk::<12>() else { return Match::No };
    let is_answer = head[0] & 0x40 != 0;
    let fits = head[1] == 0
        && matches!(head[2], 0..=7)
        && head[3] <= 0x7f
        && head[6] <= 0x7f
        && matches!(
            (head[10], head[11]),
            (1, 1..=5)
                | (2, 1..=4)
                | (3, 4..=7)
                | (4, 1..=3)
                | (5, 1 | 2)
                | (6, 1 | 0x20)
                | (7, 1 | 2)
                | (8, 1)
                | (9, 0x20)
                | (0x0c, 1..=3)
                | (0x21, 1..=3)
                | (0x22, 1..=0x20)
                | (0x23, 1 | 2)
        );
    let long_enough = !is_answer || peek.bytes.len() >= 14;
    Match::of(fits && long_enough, if peek.has_port(9_600) { 92 } else { 65 })
}

fn looks_like_fins_in_tcp(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 12 {
        return if peek.bytes.iter().zip(b"FINS").all(|(byte, expected)| byte == expected) {
            Match::More
        } else {
            Match::No
        };
    }
    let fits = peek.bytes.starts_with(b"FINS") && (8..=4_096).contains(&peek.be32(4)) && peek.be32(8) <= 6;
    Match::of(fits, 97)
}

fn looks_like_melsec(peek: &Peek<'_>) -> Match {
    // Subheader; 4E has a serial and zeros behind it; then network, station, module 0x03ff, multidrop; length.
    let first = peek.bytes.first().copied().unwrap_or_default();
    let at = if matches!(first, 0x54 | 0xd4) { 6 } else { 2 };
    if peek.bytes.len() < at + 9 {
        return if peek.is_tcp && peek.bytes.get(1).is_none_or(|byte| *byte == 0) {
            Match::More
        } else {
            Match::No
        };
    }
    let len = usize::from(peek.le16(at + 5));
    let fits = peek.bytes.get(1) == Some(&0)
        && (at == 2 || peek.be16(4) == 0)
        && (peek.le16(at + 2) == 0x03ff || (0x3d0..=0x3e3).contains(&peek.le16(at + 2)))
        && len >= 2
        && peek.bytes.len() >= at + 7 + len;
    Match::of(fits, 93)
}

fn looks_like_melsec_text(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.get(..18) else {
        return if peek.is_tcp && (b"5000".starts_with(peek.bytes) || b"D000".starts_with(peek.bytes)) {
            Match::More
        } else {
            Match::No
        };
    };
    let fits = (head.starts_with(b"5000") || head.starts_with(b"D000"))
        && head.get(8..12) == Some(b"03FF")
        && head.iter().all(u8::is_ascii_hexdigit);
    Match::of(fits, 92)
}

fn looks_like_ge_srtp(peek: &Peek<'_>) -> Match {
    if !peek.has_port(18_245) && !peek.has_port(18_246) {
        return Match::No;
    }
    let Some(head) = peek.bytes.get(..56) else { return Match::More };
    // The opening is zeros, or an initial value in the first octet alone; mailboxes say 0xc0 or 0xd4 in the 32nd.
    let opens = head.iter().skip(1).all(|byte| *byte == 0)
        || (head.first() == Some(&1) && head.get(8) == Some(&0x0f));
    let is_mailbox =
        matches!(head.first(), Some(2 | 3)) && matches!(head.get(31), Some(0xc0 | 0x80 | 0xd4 | 0xd1 | 0x94));
    Match::of(opens || is_mailbox, 85)
}

fn looks_like_ads(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 38 {
        return if peek.bytes.get(1).is_none_or(|byte| *byte == 0) { Match::More } else { Match::No };
    }
    // AMS/TCP: 0, length; AMS: targets of 8 and 8, command, flags, length of the data.
    let fits = peek.be16(0) == 0
        && peek.le32(2) == peek.le32(26).wrapping_add(32)
        && peek.le16(22) <= 9
        && peek.le16(24) & 0x0004 != 0
        && peek.le16(24) < 0x100;
    Match::of(fits, 96)
}

fn looks_like_ads_search(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(&[0x71, 0x14, 0x66, 0x03]) && peek.bytes.len() >= 24, 95)
}

fn looks_like_codesys(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 8 {
        return Match::More;
    }
    match peek.bytes.get(..4) {
        // The block driver's magic and the length of the block.
        Some([0xe8, 0x17, 0x01, 0x00]) => Match::of((8..1 << 20).contains(&peek.le32(4)), 95),
        Some([0xbb, 0xbb, ..] | [0xcc, 0xcc, ..]) => {
            let len = peek.be32(2).min(peek.le32(2)) as usize;
            let on_port = [1_200, 1_201, 2_455].iter().any(|port| peek.has_port(*port));
            Match::of(len > 0 && len < 1 << 16 && (on_port || len + 6 == peek.bytes.len()), 88)
        }
        _ => Match::No,
    }
}

fn looks_like_codesys_datagram(peek: &Peek<'_>) -> Match {
    let on_port = (1_740..=1_743).any(|port| peek.has_port(port));
    Match::of(on_port && peek.bytes.len() >= 12, 88)
}

fn looks_like_egd(peek: &Peek<'_>) -> Match {
    // Kind 13, version 1; status and reserved words behind exchange and time.
    let fits = peek.bytes.len() >= 32 && peek.bytes.get(1) == Some(&1) && peek.le32(28) == 0;
    Match::of(fits, if peek.has_port(18_246) { 94 } else { 66 })
}

fn looks_like_sbus(peek: &Peek<'_>) -> Match {
    let Some((body, sum)) = peek.bytes.split_last_chunk::<2>() else { return Match::No };
    let fits = body.len() >= 9
        && peek.be32(0) as usize == peek.bytes.len()
        && body.get(4).is_some_and(|version| *version <= 1)
        && body.get(8).is_some_and(|attribute| *attribute <= 2);
    Match::of(fits && ccitt(0, body) == u16::from_be_bytes(*sum), 97)
}

fn looks_like_ethersio(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(b"ESIO") && peek.bytes.len() >= 12, 97)
}

fn looks_like_hart(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>() else {
        return if peek.is_tcp { Match::More } else { Match::No };
    };
    // Version, kind (request, response, publish, NAK), identifier, status, sequence, length with the header.
    let len = usize::from(peek.be16(6));
    let fits = matches!(head[1] & 15, 0..=2 | 15) && head[1] & 0x70 == 0 && head[2] <= 4 && len >= 8;
    if !fits || peek.bytes.len() > len && !peek.is_tcp {
        return Match::No;
    }
    let is_whole = peek.bytes.len() == len
        || (peek.is_tcp && peek.bytes.get(len..).is_some_and(|next| next.first() == Some(&head[0])));
    // A session opens with 13: master's kind and a timeout.
    let opens = head[2] == 0 && len == 13;
    let on_port = peek.has_port(5_094) || peek.has_port(20_004) || peek.has_port(5_095);
    Match::of(is_whole, if on_port || opens { 92 } else { 66 })
}

/// `dea0000x-6c97-11d1-8271-...`: object and interfaces of PROFINET.
fn looks_like_profinet(peek: &Peek<'_>) -> Match {
    let is_dce = peek.bytes.len() >= 80 && peek.bytes.get(1).is_some_and(|kind| *kind <= 10);
    let has_name = |at: usize| match peek.bytes.get(at + 2..at + 10) {
        Some([0xa0, 0xde, 0x97, 0x6c, 0xd1, 0x11, 0x82, 0x71]) => true,
        Some(name) => {
            name == [0, 0, 0x6c, 0x97, 0x11, 0xd1, 0x82, 0x71]
                || name.get(2..) == Some(&[0x6c, 0x97, 0x11, 0xd1, 0x82, 0x71])
        }
        None => false,
    };
    Match::of(is_dce && (has_name(8) || has_name(24)), 97)
}

fn looks_like_hse(peek: &Peek<'_>) -> Match {
    if !(1_089..=1_091).any(|port| peek.has_port(port)) && !peek.has_port(3_622) {
        return Match::No;
    }
    if peek.bytes.len() < 12 {
        return if peek.is_tcp { Match::More } else { Match::No };
    }
    // Version 1, options, protocol and kind, service, address, length of it all.
    Match::of(peek.be32(8) as usize == peek.bytes.len(), 92)
}

fn looks_like_crimson(peek: &Peek<'_>) -> Match {
    if !peek.has_port(789) {
        return Match::No;
    }
    if peek.bytes.len() < 4 {
        return Match::More;
    }
    Match::of(usize::from(peek.be16(0)) + 2 == peek.bytes.len(), 88)
}

fn looks_like_opc_ua(peek: &Peek<'_>) -> Match {
    const KINDS: [&[u8]; 7] = [b"HEL", b"ACK", b"ERR", b"OPN", b"MSG", b"CLO", b"RHE"];
    let Some(head) = peek.bytes.first_chunk::<8>() else {
        let may_be =
            KINDS.iter().any(|kind| kind.iter().zip(peek.bytes).all(|(expected, byte)| expected == byte));
        return if may_be && peek.bytes.get(3).is_none_or(|chunk| b"FCA".contains(chunk)) {
            Match::More
        } else {
            Match::No
        };
    };
    let fits = KINDS.contains(&&head[..3]) && b"FCA".contains(&head[3]);
    Match::of(fits && (8..=1 << 24).contains(&peek.le32(4)), 96)
}

/// Reads which endpoint a client asks for, and how its channel is secured.
#[derive(Debug)]
struct OpcUa;

impl Parser for OpcUa {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(head) = bytes.first_chunk::<8>() else { return Step::Consumed(0) };
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if !(8..=64 * 1024).contains(&len) {
            cx.anomaly("invalid_length");
            return Step::Done;
        }
        let Some(message) = bytes.get(8..len) else { return Step::Consumed(0) };
        let text = |at: usize| {
            let len = message.get(at..at + 4)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))?;
            message.get(at + 4..)?.get(..len as usize)
        };
        match &head[..3] {
            b"HEL" => {
                let url = text(20);
                // opc.tcp://host:port/path
                let host = url
                    .and_then(|url| url.strip_prefix(b"opc.tcp://"))
                    .map(|rest| rest.split(|byte| matches!(byte, b':' | b'/')).next().unwrap_or_default());
                if let Some(host) = host {
                    cx.host(HostKind::Other, host);
                }
                cx.tell_with("opcua", way, |fields| {
                    fields.text("message", "hello");
                    fields.text_if("endpoint_url", url);
                });
                Step::Consumed(len)
            }
            b"ACK" => Step::Consumed(len),
            b"OPN" => {
                cx.tell_with("opcua", way, |fields| {
                    fields.text("message", "open_secure_channel");
                    fields.text_if("security_policy", text(4));
                });
                if way == Direction::Reverse { Step::Done } else { Step::Consumed(len) }
            }
            b"ERR" => {
                cx.tell_with("opcua", way, |fields| {
                    fields.text("message", "error");
                    fields.text_if("reason", text(4));
                });
                Step::Done
            }
            _ => Step::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn each_is_known_by_its_header_and_no_prefix_panics() {
        type Case = (fn(&Peek<'_>) -> Match, &'static [u8], u16, bool, u8);
        let cases: &[Case] = &[
            (looks_like_fins, b"\x80\0\x02\0\0\0\0\0\0\x7a\x01\x01\x00\xcc\xcc\xcc\0\x01", 9_600, false, 92),
            (looks_like_fins_in_tcp, b"FINS\0\0\0\x0c\0\0\0\0\0\0\0\0\0\0\0\0", 9_600, true, 97),
            (looks_like_melsec, b"\x50\0\0\xff\xff\x03\0\x06\0\x10\0\x01\x04\0\0", 5_007, true, 93),
            (looks_like_codesys, b"\xe8\x17\x01\0\x18\0\0\0", 11_740, true, 95),
            (looks_like_sbus, b"\0\0\0\x0d\x01\0\0\x01\0\x0a\x20\x53\x18", 5_050, false, 97),
            (looks_like_ethersio, b"ESIO\0\0\0\0\0\0\0\0", 6_060, false, 97),
            (looks_like_hart, b"\x01\0\0\0\0\x02\0\x0d\x01\0\0\x75\x30", 5_094, false, 92),
            (looks_like_opc_ua, b"HELF\x20\0\0\0\0\0\0\0", 4_840, true, 96),
            (
                looks_like_ads_search,
                b"\x71\x14\x66\x03\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                48_899,
                false,
                95,
            ),
            (looks_like_crimson, b"\0\x04\x01\x2b\x1b\0", 789, true, 88),
        ];
        for (look, bytes, port, is_tcp, confidence) in cases {
            assert_eq!(looked(*look, bytes, *port, *is_tcp), Match::Yes(*confidence), "{bytes:?}");
        }
        let mut ads = [0; 40];
        ads[2] = 34;
        ads[26] = 2;
        ads[22] = 2;
        ads[24] = 4;
        assert_eq!(looks_like_ads(&peek(&ads, 48_898, true)), Match::Yes(96));
        let mut profinet = [0; 80];
        profinet[0] = 4;
        profinet[8..18].copy_from_slice(&[0, 0, 0xa0, 0xde, 0x97, 0x6c, 0xd1, 0x11, 0x82, 0x71]);
        assert_eq!(looks_like_profinet(&peek(&profinet, 34_964, false)), Match::Yes(97));
    }

    #[test]
    fn others_are_not_claimed() {
        assert_eq!(looks_like_opc_ua(&peek(b"HELO mail.example\r\n", 25, true)), Match::No);
        assert_eq!(
            looks_like_fins(&peek(&[0x80, 0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 9_600, false)),
            Match::No
        );
        assert_eq!(looks_like_hart(&peek(b"\x01\0\0\x0c\x21\x12\xa4\x42", 5_094, false)), Match::No);
    }
}
