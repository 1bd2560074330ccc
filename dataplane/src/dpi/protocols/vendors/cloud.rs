//! Which vendor's cloud does a product talk to? Real-time networks, appliances, security software, video.

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, First, HostKind, Match, Peek, Probe, Protocol};
use crate::flow::Direction;

/// Agora's Software Defined Real-time Network: a hello of tagged values, as early QUIC had them.
///
/// ```text
/// connection (4) | flags (2) | kind (1): 0x21 hello, 0x23 answer | answered connection (4) | 0 | number of tags (1)
/// tag (4), length (2, little-endian), value;  ...
/// ```
pub(super) static SD_RTN: Protocol = Protocol {
    name: "sd-rtn",
    eve: None,
    category: Category::Media,
    probes: &[Probe::udp(First::Any, sd_rtn)],
    parser: Some(|| Box::new(SdRtn)),
};

fn sd_rtn(peek: &Peek<'_>) -> Match {
    let is_hello = peek.bytes.get(6) == Some(&0x21) && peek.bytes.get(12..16) == Some(b"\x04SNI");
    let is_answer = peek.bytes.get(6) == Some(&0x23) && peek.bytes.get(12..16) == Some(b"\x04PEI");
    Match::of(is_hello || is_answer, 97)
}

struct SdRtn;

impl Parser for SdRtn {
    fn data(&mut self, _way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if bytes.get(13..17) == Some(b"SNI\0")
            && let Some((len, rest)) = bytes.get(17..).and_then(<[u8]>::split_first_chunk::<2>)
        {
            match rest.get(..usize::from(u16::from_le_bytes(*len))) {
                Some(name) => cx.host(HostKind::Sni, name),
                None => cx.anomaly("invalid_length"),
            }
        }
        Step::Done
    }
}

/// Alibaba's cloud storage client: messages of `ce fa be ba` and a little-endian length.
pub(super) static ALICLOUD: Protocol =
    Protocol::named("alicloud", Category::Cloud, &[Probe::tcp(First::Of(&[0xce]), alicloud)]);

fn alicloud(peek: &Peek<'_>) -> Match {
    let magic = [0xce, 0xfa, 0xbe, 0xba];
    if peek.bytes.len() < 8 {
        let len = peek.bytes.len().min(4);
        return if peek.bytes[..len] == magic[..len] { Match::More } else { Match::No };
    }
    Match::of(peek.bytes.starts_with(&magic) && peek.le32(4) < 0x10_0000, 96)
}

/// Cisco Meraki devices keep a tunnel to their cloud on UDP port 7351.
pub(super) static MERAKI_CLOUD: Protocol =
    Protocol::named("merakicloud", Category::Network, &[Probe::udp(First::Of(&[0xfe]), meraki)]);

fn meraki(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.starts_with(&[0xfe, 0xf7, 0x28, 0x91]) && peek.bytes.len() > 4;
    Match::of(is, if peek.has_port(7_351) { 97 } else { 85 })
}

/// Avast's antivirus: `NOSA` and the length of the whole message.
pub(super) static AVAST: Protocol =
    Protocol::named("avast", Category::Cybersecurity, &[Probe::tcp(First::Of(b"N"), avast)]);

fn avast(peek: &Peek<'_>) -> Match {
    let len = peek.bytes.len().min(4);
    if peek.bytes[..len] != b"NOSA"[..len] {
        return Match::No;
    }
    if peek.bytes.len() < 6 {
        return Match::More;
    }
    let len = usize::from(peek.be16(4));
    Match::of(len >= 6 && len <= peek.bytes.len().max(4_096), 93)
}

/// Avast's Secure DNS asks for the certificate of its own kind of `DNSCrypt`: a question for `2.securedns...`.
pub(super) static AVAST_SECURE_DNS: Protocol =
    Protocol::named("avastsecuredns", Category::Network, &[Probe::udp(First::Any, avast_secure_dns)]);

fn avast_secure_dns(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.len() >= 34
        && peek.bytes.get(11..15) == Some(&[0, 1, b'2', 9])
        && peek.bytes.get(15..24).is_some_and(|name| name.eq_ignore_ascii_case(b"securedns"));
    Match::of(is, 100)
}

/// iQIYI's peers, which took over the protocol of `PPStream`: kind and flags (2), length of the datagram (2,
/// little-endian), message (1).
pub(super) static IQIYI: Protocol =
    Protocol::named("iqiyi", Category::Video, &[Probe::udp(First::Any, iqiyi)]);

fn iqiyi(peek: &Peek<'_>) -> Match {
    let fits = usize::from(peek.le16(2)) == peek.bytes.len();
    let is_known = matches!(peek.bytes.get(4), Some(0x43 | 0x44 | 0x53 | 0x55));
    if !(fits && is_known && (60..1_500).contains(&peek.bytes.len())) {
        return Match::No;
    }
    Match::Yes(if peek.contains(b"PPStream") { 95 } else { 55 })
}

/// The consensus protocol Zug of proof-of-stake networks.
pub(super) static ZUG: Protocol =
    Protocol::named("zug", Category::Cryptocurrency, &[Probe::udp(First::Of(&[0]), zug)]);

fn zug(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(b"\0ZUG\x10"), 95)
}

/// Brazil's EAQ measures lines: datagrams of 16 bytes that begin with a number of four decimal digits, counting up.
pub(super) static EAQ: Protocol =
    Protocol::named("eaq", Category::Network, &[Probe::udp(First::In(0, 9), eaq)]);

fn eaq(peek: &Peek<'_>) -> Match {
    let number = |bytes: &[u8]| {
        let digits = bytes.first_chunk::<4>().filter(|digits| digits.iter().all(|digit| *digit <= 9))?;
        Some(digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit)))
    };
    let Some(now) = number(peek.bytes).filter(|_| peek.bytes.len() == 16 && peek.has_port(6_000)) else {
        return Match::No;
    };
    if peek.nth < 3 {
        return Match::More;
    }
    let follows = number(peek.previous).is_some_and(|before| now == before || now == before + 1);
    Match::of(follows && peek.previous.len() == 16, 85)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn magic_numbers_are_recognised() {
        let hello = b"\0\x60\x2d\x94\0\0\x21\0\0\0\0\0\x04SNI\0\x09\0a.example";
        assert_eq!(confidence(&SD_RTN, &datagram(hello)), 97);
        assert_eq!(confidence(&ALICLOUD, &stream(&[0xce, 0xfa, 0xbe, 0xba, 0x80, 0, 0, 0])), 96);
        assert_eq!(confidence(&ALICLOUD, &stream(&[0xce, 0xfa, 0xbe, 0xbb, 0x80, 0, 0, 0])), 0);
        let meraki = [0xfe, 0xf7, 0x28, 0x91, 1, 2];
        assert_eq!(confidence(&MERAKI_CLOUD, &Peek { ports: (1, 7_351), ..datagram(&meraki) }), 97);
        assert_eq!(confidence(&AVAST, &stream(b"NOSA\0\x08\0\0")), 93);
        assert_eq!(confidence(&AVAST, &stream(b"NOOP\r\n")), 0);
        let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x012\x09securedns\x05avast\x03com\0\0\x10\0\x01";
        assert_eq!(confidence(&AVAST_SECURE_DNS, &datagram(question)), 100);
        assert_eq!(confidence(&ZUG, &datagram(b"\0ZUG\x10\0")), 95);
    }

    #[test]
    fn a_count_that_goes_on_is_eaq() {
        let [before, now] = [8_u8, 9].map(|last| {
            let mut datagram = [7; 16];
            datagram[..4].copy_from_slice(&[0, 0, 1, last]);
            datagram
        });
        let peek = Peek { ports: (5, 6_000), nth: 3, previous: &before, ..datagram(&now) };
        assert_eq!(confidence(&EAQ, &peek), 85);
        assert_eq!(confidence(&EAQ, &Peek { nth: 0, ..peek }), 0);
    }
}
