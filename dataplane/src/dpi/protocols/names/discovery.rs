//! Who looks for services, mappings and owners of names? SLP (RFC 2608), NAT-PMP (RFC 6886), PCP (RFC 6887), WHOIS (RFC
//! 3912) and DAS, XDMCP, DNSCrypt.

use crate::dpi::{Category, Context, First, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// The service location protocol, both versions.
pub static SLP: Protocol = Protocol::named(
    "slp",
    Category::Rpc,
    &[
        Probe { over: Over::Udp, first: First::In(1, 2), look: slp },
        Probe { over: Over::Tcp, first: First::In(1, 2), look: slp },
    ],
);

/// NAT port mapping, and
pub static NAT_PMP: Protocol = Protocol::named(
    "nat-pmp",
    Category::Network,
    &[Probe { over: Over::Udp, first: First::Of(&[0]), look: nat_pmp }],
);

/// its successor.
pub static PCP: Protocol = Protocol::named(
    "pcp",
    Category::Network,
    &[Probe { over: Over::Udp, first: First::Of(&[2]), look: pcp }],
);

/// Who owns a name or an address.
pub static WHOIS: Protocol = Protocol {
    name: "whois",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Tcp, first: First::Any, look: whois }],
    parser: Some(|| Box::new(Whois)),
};

/// The display manager of X.
pub static XDMCP: Protocol = Protocol {
    name: "xdmcp",
    eve: None,
    category: Category::RemoteAccess,
    probes: &[Probe { over: Over::Udp, first: First::Of(&[0]), look: xdmcp }],
    parser: None,
};

/// Encrypted questions to resolvers.
pub static DNSCRYPT: Protocol = Protocol::named(
    "dnscrypt",
    Category::Network,
    &[
        Probe { over: Over::Udp, first: First::Any, look: dnscrypt },
        Probe { over: Over::Tcp, first: First::In(0, 0x10), look: dnscrypt_tcp },
    ],
);

fn slp(peek: &Peek<'_>) -> Match {
    let [version, function, ..] = peek.bytes else { return Match::More };
    let is_port = peek.has_port(427);
    let len = peek.bytes.len();
    // RFC 2608 8 has a length of three bytes, RFC 2165 4 one of two.
    let (declared, head, last, language_at) = match version {
        1 => (usize::from(peek.be16(2)), 12, 10, 6),
        _ => ((peek.be32(1) & 0xff_ffff) as usize, 14, 11, 14),
    };
    if !(1..=last).contains(function) {
        return Match::No;
    }
    if len < head + 2 {
        return if peek.is_tcp { Match::More } else { Match::No };
    }
    let fits = if peek.is_tcp { declared >= head } else { declared == len };
    let is_language = peek.bytes.get(language_at..language_at + 2).is_some_and(|tag| {
        // RFC 2165 has the code inside the header, RFC 2608 behind its length.
        if *version == 1 { tag.iter().all(u8::is_ascii_alphabetic) } else { true }
    });
    if *version == 2 {
        let tag = usize::from(peek.be16(12));
        let is_tag = (1..=8).contains(&tag)
            && peek
                .bytes
                .get(14..14 + tag)
                .is_some_and(|tag| tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'));
        return if is_tag && fits {
            Match::Yes(if is_port { 96 } else { 90 })
        } else {
            Match::of(is_port, 80)
        };
    }
    match (is_port, fits && is_language) {
        (true, true) => Match::Yes(93),
        (true, false) => Match::Yes(60),
        (false, fits) => Match::of(fits && !peek.is_tcp, 60),
    }
}

fn nat_pmp(peek: &Peek<'_>) -> Match {
    if !(peek.has_port(5_351) || peek.has_port(5_350)) {
        return Match::No;
    }
    // RFC 6886 3: version 0; operations 0 to 2, responses with 128 added.
    Match::sure(matches!(
        (peek.bytes.get(1), peek.bytes.len()),
        (Some(0), 2) | (Some(1 | 2), 12) | (Some(128), 12) | (Some(129 | 130), 16) | (Some(128..=130), 8)
    ))
}

fn pcp(peek: &Peek<'_>) -> Match {
    let Some(operation) = peek.bytes.get(1) else { return Match::No };
    // RFC 6887 7: words of four bytes, 24 of header at least, 1100 at most; ANNOUNCE, MAP, PEER, and above for trial.
    let fits = (24..=1_100).contains(&peek.bytes.len()) && peek.bytes.len().is_multiple_of(4);
    Match::sure((peek.has_port(5_351) || peek.has_port(5_350)) && fits && operation & 0x7f <= 3)
}

const WHOIS_PORTS: [u16; 2] = [43, 4_343];

fn whois(peek: &Peek<'_>) -> Match {
    if !WHOIS_PORTS.iter().any(|port| peek.has_port(*port)) {
        return Match::No;
    }
    // RFC 3912 2: one line, and the answer is text.
    let is_text =
        peek.bytes.iter().take(64).all(|byte| *byte >= 0x20 || matches!(byte, b'\r' | b'\n' | b'\t'));
    match (is_text, WHOIS_PORTS.contains(&peek.to_port())) {
        (true, true) if !peek.bytes.contains(&b'\n') && peek.bytes.len() < 256 => Match::More,
        (true, _) => Match::Yes(80),
        (false, _) => Match::No,
    }
}

#[derive(Debug)]
struct Whois;

impl Parser for Whois {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if way == Direction::Forward && WHOIS_PORTS.contains(&cx.server_port()) {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
            // RFC 3912 2: one line, which ends with CR and LF.
            if line.is_empty() || line.len() > 1_024 {
                cx.anomaly("malformed_query");
            }
            // Options may stand in front of what is asked for.
            let object = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            cx.host(HostKind::Other, object);
            cx.tell_with("whois", way, |fields| fields.text("query", line));
        }
        Step::Done
    }
}

fn xdmcp(peek: &Peek<'_>) -> Match {
    // Version 1, an operation, the length of what follows.
    let operation = peek.be16(2);
    let fits = peek.be16(0) == 1 && usize::from(peek.be16(4)) + 6 == peek.bytes.len();
    Match::of(fits && (1..=15).contains(&operation) && peek.has_port(177), 92)
}

/// A resolver's answer begins so (dnscrypt.org, version 2, "Server response").
const RESOLVER_MAGIC: &[u8] = b"r6fnvWj8";

/// The name of a provider, asked for its certificate.
const PROVIDER: &[u8] = b"\x012\x0ddnscrypt-cert";

fn has_provider(bytes: &[u8]) -> bool {
    bytes.get(12..).is_some_and(|name| name.starts_with(PROVIDER))
}

fn dnscrypt(peek: &Peek<'_>) -> Match {
    Match::sure(peek.bytes.starts_with(RESOLVER_MAGIC) && peek.bytes.len() >= 48 || has_provider(peek.bytes))
}

fn dnscrypt_tcp(peek: &Peek<'_>) -> Match {
    let framed = peek.bytes.get(2..).unwrap_or_default();
    if framed.len() < 30 {
        return Match::More;
    }
    Match::sure(framed.starts_with(RESOLVER_MAGIC) || has_provider(framed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::peek;

    #[test]
    fn services_and_mappings_are_recognised() {
        let request = b"\x02\x01\0\0\x1a\0\0\0\0\0\0\x01\0\x02en\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(slp(&peek(request, 427, false)), Match::Yes(96));
        assert_eq!(slp(&peek(request, 5_000, false)), Match::Yes(90));
        assert_eq!(slp(&peek(&request[..20], 5_000, false)), Match::No);
        assert_eq!(nat_pmp(&peek(&[0, 0], 5_351, false)), Match::Yes(95));
        assert_eq!(nat_pmp(&peek(&[0, 0], 5_000, false)), Match::No);
        let mut map = [0; 60];
        map[..2].copy_from_slice(&[2, 1]);
        assert_eq!(pcp(&peek(&map, 5_351, false)), Match::Yes(95));
        assert_eq!(xdmcp(&peek(&[0, 1, 0, 2, 0, 1, 0], 177, false)), Match::Yes(92));
        assert_eq!(whois(&peek(b"example.org\r\n", 43, true)), Match::Yes(80));
        assert_eq!(whois(&peek(b"example.o", 43, true)), Match::More);
        let mut certificate = vec![0; 12];
        certificate.extend_from_slice(b"\x012\x0ddnscrypt-cert\x07example\x03org\0\0\x10\0\x01");
        assert_eq!(dnscrypt(&peek(&certificate, 443, false)), Match::Yes(95));
        for len in 0..certificate.len() {
            dnscrypt(&peek(&certificate[..len], 443, false));
            dnscrypt_tcp(&peek(&certificate[..len], 443, true));
        }
    }
}
