//! Which remote procedure calls are these? Thrift, CORBA's GIOP, JSON-RPC without HTTP around it.

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::text::contains;

/// Apache Thrift (its `thrift-rpc.md`, binary and compact protocol).
pub static THRIFT: Protocol = Protocol::named(
    "thrift",
    Category::Rpc,
    &[
        Probe { over: Over::TcpOrUdp, first: First::Of(&[0x80]), look: looks_like_binary },
        Probe { over: Over::TcpOrUdp, first: First::Of(&[0x82]), look: looks_like_compact },
        Probe { over: Over::TcpOrUdp, first: First::Of(&[0]), look: looks_like_framed },
    ],
);

/// CORBA's general inter-ORB protocol (OMG formal/2012-11-14, 9.4).
pub static CORBA: Protocol = Protocol::named(
    "corba",
    Category::Rpc,
    &[Probe { over: Over::TcpOrUdp, first: First::Of(b"GZM"), look: looks_like_corba }],
);

/// JSON-RPC 2.0 (jsonrpc.org) right over TCP or UDP.
pub static JSON_RPC: Protocol = Protocol::named(
    "json-rpc",
    Category::Rpc,
    &[Probe { over: Over::TcpOrUdp, first: First::Of(b"{["), look: looks_like_json_rpc }],
);

/// Version and kind of a strict binary message, then the method's name.
fn binary(bytes: &[u8]) -> Match {
    let Some(head) = bytes.first_chunk::<8>() else {
        return if [0x80, 1, 0].iter().zip(bytes).all(|(expected, byte)| expected == byte) {
            Match::More
        } else {
            Match::No
        };
    };
    let len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if head[..3] != [0x80, 1, 0] || !(1..=4).contains(&head[3]) || !(1..=128).contains(&len) {
        return Match::No;
    }
    match bytes.get(8..8 + len) {
        Some(name) => Match::of(is_name(name), 95),
        None => Match::More,
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.:/-".contains(byte))
}

fn looks_like_binary(peek: &Peek<'_>) -> Match {
    binary(peek.bytes)
}

fn looks_like_framed(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(4..) {
        Some(message) if peek.be32(0) < 1 << 24 && !message.is_empty() => {
            if message.first() == Some(&0x82) {
                compact(message)
            } else {
                binary(message)
            }
        }
        Some([]) | None => Match::More,
        Some(_) => Match::No,
    }
}

/// Version 1 and kind, sequence, and the method's name; numbers have seven bits a byte.
fn compact(bytes: &[u8]) -> Match {
    let [0x82, kind, rest @ ..] = bytes else { return if bytes.len() < 2 { Match::More } else { Match::No } };
    if kind & 0x1f != 1 || !(1..=4).contains(&(kind >> 5)) {
        return Match::No;
    }
    let Some(after) = rest.iter().take(5).position(|byte| byte & 0x80 == 0) else {
        return if rest.len() < 5 { Match::More } else { Match::No };
    };
    let Some(len) = rest.get(after + 1).copied().map(usize::from) else { return Match::More };
    match rest.get(after + 2..after + 2 + len) {
        Some(name) => Match::of(len > 2 && len < 128 && is_name(name), 92),
        None => Match::More,
    }
}

fn looks_like_compact(peek: &Peek<'_>) -> Match {
    compact(peek.bytes)
}

fn looks_like_corba(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>() else {
        return if [&b"GIOP"[..], b"ZIOP", b"MIOP"]
            .iter()
            .any(|magic| magic.iter().zip(peek.bytes).all(|(expected, byte)| expected == byte))
        {
            Match::More
        } else {
            Match::No
        };
    };
    match &head[..4] {
        // Version 1.0 to 1.3, flags, and the kind of message.
        b"GIOP" | b"ZIOP" => Match::of(head[4] == 1 && head[5] <= 4 && head[7] <= 7, 97),
        b"MIOP" => Match::of(head[4] == 0x10, 92),
        _ => Match::No,
    }
}

fn looks_like_json_rpc(peek: &Peek<'_>) -> Match {
    if contains(peek.bytes, b"\"jsonrpc\"") {
        // Miners and wallets use it too and are known by their methods.
        return Match::Yes(76);
    }
    if peek.is_tcp && peek.bytes.len() < 512 { Match::More } else { Match::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{peek, sure_of};

    #[test]
    fn each_is_known_by_its_opening_and_no_prefix_panics() {
        sure_of(&[
            (looks_like_binary, b"\x80\x01\x00\x01\0\0\0\x04ping\0\0\0\x01\0", 95),
            (looks_like_framed, b"\0\0\0\x11\x80\x01\x00\x01\0\0\0\x04ping\0\0\0\x01\0", 95),
            (looks_like_compact, b"\x82\x81\x01\x09emitBatch\x1c", 92),
            (looks_like_corba, b"GIOP\x01\x02\x01\x00\0\0\0\x10", 97),
            (looks_like_json_rpc, b"{\"jsonrpc\":\"2.0\",\"id\":1}", 76),
        ]);
        // RTP and RTCP begin with 0x80 too.
        assert_eq!(looks_like_binary(&peek(&[0x80, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 9, false)), Match::No);
    }
}
