//! What do web servers speak with what stands behind them? FastCGI, AJP, RMI, Elasticsearch's transport.

use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// FastCGI 1.0.
pub static FASTCGI: Protocol = Protocol::named(
    "fastcgi",
    Category::Network,
    &[Probe { over: Over::Tcp, first: First::Of(&[1]), look: fastcgi }],
);
/// Apache JServ Protocol 1.3.
pub static AJP: Protocol = Protocol::named(
    "ajp",
    Category::Web,
    &[Probe { over: Over::Tcp, first: First::Of(&[0x12, b'A']), look: ajp }],
);
/// Java's remote method invocation.
pub static JRMI: Protocol =
    Protocol::named("jrmi", Category::Rpc, &[Probe { over: Over::Tcp, first: First::Of(b"JN"), look: jrmi }]);
/// Elasticsearch between nodes.
pub static ELASTICSEARCH: Protocol = Protocol::named(
    "elasticsearch",
    Category::System,
    &[Probe { over: Over::Tcp, first: First::Of(b"E"), look: elasticsearch }],
);

/// Version 1, type 1 (begin), request, length 8, padding; then a role of 1 to 3.
fn fastcgi(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.len() < 16 {
        return if matches!(bytes, [1] | [1, 1, ..]) { Match::More } else { Match::No };
    }
    let is_begin = bytes[1] == 1
        && peek.be16(4) == 8
        && matches!(peek.be16(8), 1..=3)
        && bytes[10] <= 1
        && bytes[11..16] == [0; 5];
    // The server's side: output or its end, reserved byte zero.
    let is_output =
        matches!(bytes[1], 3 | 6 | 7) && bytes[7] == 0 && peek.other.starts_with(&[1, 1]) && peek.be16(2) > 0;
    Match::of(is_begin || is_output, 95)
}

/// To the container 0x1234, from it `AB`; a length, a kind.
fn ajp(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.len() < 5 {
        return if b"\x12\x34".starts_with(bytes.get(..2).unwrap_or(bytes))
            || bytes == b"A"
            || bytes.starts_with(b"AB")
        {
            Match::More
        } else {
            Match::No
        };
    }
    let len = usize::from(peek.be16(2));
    let fits = (1..=8_192).contains(&len);
    match bytes {
        [0x12, 0x34, _, _, 2 | 7 | 8 | 10, ..] if fits => Match::Yes(92),
        [b'A', b'B', 0..=0x20, _, 3..=6 | 9, ..] if fits => Match::Yes(90),
        // A body that goes on: its length again, inside.
        [0x12, 0x34, ..] if fits && usize::from(peek.be16(4)) + 2 == len => Match::Yes(85),
        _ => Match::No,
    }
}

/// `JRMI`, version 1 or 2, one of three subprotocols; the answer `N` and a host.
fn jrmi(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.first() == Some(&b'N') {
        return Match::of(peek.other.starts_with(b"JRMI"), 95);
    }
    if bytes.len() < 7 {
        return if b"JRMI".starts_with(bytes.get(..4).unwrap_or(bytes)) { Match::More } else { Match::No };
    }
    Match::of(
        bytes.starts_with(b"JRMI\0") && matches!(bytes[5], 1 | 2) && matches!(bytes[6], 0x4b..=0x4d),
        97,
    )
}

/// `ES`, a length, a request's number, a status, a version.
fn elasticsearch(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.len() < 6 {
        return if bytes == b"E" || bytes.starts_with(b"ES") { Match::More } else { Match::No };
    }
    let len = peek.be32(2);
    if !bytes.starts_with(b"ES") || len > 1 << 28 {
        return Match::No;
    }
    match bytes.len() {
        ..=18 => Match::of(len == u32::MAX || usize::try_from(len).is_ok_and(|len| len < 1 << 20), 85),
        // Eight bytes of number, a status of four bits, a version below 10.99.99.
        _ => Match::of(len >= 13 && bytes[14] & 0xf0 == 0 && peek.be32(15) < 20_000_000, 95),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 9_000, true)
    }

    #[test]
    fn each_is_known_and_no_beginning_of_it_panics() {
        type Case<'a> = (fn(&Peek<'_>) -> Match, &'a [u8]);
        let cases: [Case<'_>; 4] = [
            (fastcgi, b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"),
            (ajp, b"\x12\x34\0\x20\x02\x02\0\x08HTTP/1.1"),
            (jrmi, b"JRMI\0\x02\x4b"),
            (elasticsearch, b"ES\0\0\0\x20\0\0\0\0\0\0\0\x01\0\0\x5b\x8d\x80"),
        ];
        for (look, bytes) in cases {
            assert!(matches!(look(&peek(bytes)), Match::Yes(80..)), "{bytes:?}");
            for len in 0..bytes.len() {
                let _ = look(&peek(&bytes[..len]));
            }
            assert_eq!(look(&peek(b"GET / HTTP/1.1\r\n")), Match::No);
        }
    }
}
