//! Which crypto currency's peers are these?
//!
//! Sources: the Bitcoin developer reference (P2P network), ethereum/devp2p (discv4, RLPx), Monero's `levin` and Nano's
//! node documentation.

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// Bitcoin and what was forked from it: magic of the network (4), command (12), length (4), checksum (4).
pub(super) static BITCOIN: Protocol = Protocol::named(
    "bitcoin",
    Category::Cryptocurrency,
    &[Probe::tcp(
        First::Of(&[0xf9, 0x0b, 0xfa, 0x0a, 0xfb, 0xfd, 0xc0, 0xfc, 0xbf, 0xce, 0x24, 0xe3, 0x1c]),
        bitcoin,
    )],
);

fn bitcoin(peek: &Peek<'_>) -> Match {
    // Mainnet, testnets, regtest, signet; Litecoin; Dogecoin; Dash; Zcash; Bitcoin Cash.
    const NETWORKS: [u32; 14] = [
        0xf9be_b4d9,
        0x0b11_0907,
        0x1c16_3f28,
        0xfabf_b5da,
        0x0a03_cf40,
        0xfbc0_b6db,
        0xfdd2_c8f1,
        0xc0c0_c0c0,
        0xfcc1_b7dc,
        0xbf0c_6bbd,
        0xcee2_caff,
        0x24e9_2764,
        0xfa1a_f9bf,
        0xe3e1_f3e8,
    ];
    if peek.bytes.len() < 16 {
        let len = peek.bytes.len().min(4);
        let is = NETWORKS.iter().any(|network| network.to_be_bytes().starts_with(&peek.bytes[..len]));
        return if is { Match::More } else { Match::No };
    }
    let command = peek.bytes.get(4..16).unwrap_or_default();
    let end = command.iter().position(|byte| *byte == 0).unwrap_or(command.len());
    let is_command = end >= 2
        && command[..end].iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && command[end..].iter().all(|byte| *byte == 0);
    Match::of(is_command && NETWORKS.contains(&peek.be32(0)), 98)
}

/// Monero's peers: `levin` begins with a signature of eight bytes.
pub(super) static MONERO: Protocol =
    Protocol::named("monero", Category::Cryptocurrency, &[Probe::tcp(First::Of(&[1]), monero)]);

fn monero(peek: &Peek<'_>) -> Match {
    let signature = [1, 0x21, 1, 1, 1, 1, 1, 1];
    let len = peek.bytes.len().min(signature.len());
    match (peek.bytes[..len] == signature[..len], len == signature.len()) {
        (true, true) => Match::Yes(98),
        (true, false) => Match::More,
        (false, _) => Match::No,
    }
}

/// Ethereum: discovery over UDP, the handshake of RLPx over TCP, and its own way of asking a pool for work.
pub(super) static ETHEREUM: Protocol = Protocol::named(
    "ethereum",
    Category::Cryptocurrency,
    &[
        Probe::udp(First::Any, discovery),
        Probe::tcp(First::In(0, 4), rlpx),
        Probe::tcp(First::Of(b"{"), super::mining::ethereum_work),
    ],
);

/// discv4: hash (32), signature (65, the last byte recovers the key: 0 or 1), kind (1), a list in RLP.
fn discovery(peek: &Peek<'_>) -> Match {
    let is_kind = peek.bytes.get(97).is_some_and(|kind| (1..=6).contains(kind));
    let recovers = peek.bytes.get(96).is_some_and(|byte| *byte <= 1);
    let (Some(list), true) = (peek.bytes.get(98..), is_kind && recovers && peek.bytes.len() <= 1_280) else {
        return Match::No;
    };
    let len = match *list {
        [short @ 0xc0..=0xf7, ..] => 1 + usize::from(short - 0xc0),
        [0xf8, len, ..] => 2 + usize::from(len),
        [0xf9, high, low, ..] => 3 + usize::from(u16::from_be_bytes([high, low])),
        _ => return Match::No,
    };
    Match::of(len <= list.len(), if len == list.len() { 94 } else { 70 })
}

/// EIP-8: length (2), then a point that is not compressed (`04`), a vector (16), a box and its code (32). The messages
/// before it had a fixed length and none before them.
fn rlpx(peek: &Peek<'_>) -> Match {
    let port = (30_300..=30_311).any(|port| peek.has_port(port));
    let len = usize::from(peek.be16(0));
    let is_point = peek.bytes.get(2) == Some(&4) && (200..=1_024).contains(&len);
    if is_point && peek.nth == 0 && len + 2 == peek.bytes.len() {
        // Elsewhere the answer has to look the same: its box too opens with a point.
        return match peek.other {
            _ if port => Match::Yes(92),
            [] => Match::More,
            other => Match::of(other.get(2) == Some(&4), 66),
        };
    }
    let is_old = peek.bytes.first() == Some(&4) && peek.bytes.len() == 307 && peek.bytes.last() == Some(&0);
    let is_cut = is_point && port && (len + 2 < peek.bytes.len() || peek.bytes.len() >= 200);
    Match::of(is_old && port || is_cut, 82)
}

/// Nano's nodes: `R`, network, greatest, used and least version, kind, extensions (2).
pub(super) static NANO: Protocol = Protocol::named(
    "nano",
    Category::Cryptocurrency,
    &[Probe::tcp(First::Of(b"R"), nano), Probe::udp(First::Of(b"R"), nano_datagram)],
);

fn nano(peek: &Peek<'_>) -> Match {
    match *peek.bytes {
        [_] => Match::More,
        [_, b'A' | b'B' | b'C' | b'X'] => Match::More,
        [_, b'A' | b'B' | b'C' | b'X', ref rest @ ..] => {
            let [max, used, min, kind, ..] = *rest else { return Match::More };
            let is = (17..=40).contains(&max)
                && min <= used
                && used <= max
                && min >= 10
                && (2..=0x12).contains(&kind);
            Match::of(is, 92)
        }
        _ => Match::No,
    }
}

/// Older nodes spoke in datagrams: the whole header, and kinds up to the handshake (docs.nano.org, "Network protocol").
fn nano_datagram(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 8 { Match::No } else { nano(peek) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn peers_are_recognised() {
        let version = b"\xf9\xbe\xb4\xd9version\0\0\0\0\0\x66\0\0\0";
        assert_eq!(confidence(&BITCOIN, &stream(version)), 98);
        assert_eq!(bitcoin(&stream(&version[..6])), Match::More);
        assert_eq!(
            confidence(
                &BITCOIN,
                &stream(b"\xf9\xbe\xb4\xd9\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c")
            ),
            0
        );
        assert_eq!(confidence(&MONERO, &stream(&[1, 0x21, 1, 1, 1, 1, 1, 1, 6, 1])), 98);
        assert_eq!(confidence(&NANO, &stream(&[b'R', b'C', 20, 20, 18, 0x0a, 0, 3])), 92);
        let mut keepalive = vec![b'R', b'C', 18, 18, 17, 2, 0, 0];
        keepalive.resize(8 + 8 * 18, 0);
        assert_eq!(confidence(&NANO, &datagram(&keepalive)), 92);
        assert_eq!(confidence(&NANO, &datagram(&keepalive[..7])), 0);
        assert_eq!(confidence(&NANO, &stream(b"RCPT TO:<a@b>\r\n")), 0);
    }

    #[test]
    fn ethereum_is_recognised() {
        let mut ping = vec![7_u8; 98];
        (ping[96], ping[97]) = (1, 1);
        ping.extend_from_slice(&[0xc3, 1, 2, 3]);
        assert_eq!(confidence(&ETHEREUM, &datagram(&ping)), 94);
        assert_eq!(confidence(&ETHEREUM, &datagram(&ping[..100])), 0);
        let mut auth = vec![9_u8; 402];
        auth[..3].copy_from_slice(&[1, 0x90, 4]);
        assert_eq!(confidence(&ETHEREUM, &Peek { ports: (1, 30_303), ..stream(&auth) }), 92);
        assert_eq!(confidence(&ETHEREUM, &stream(&auth)), 0);
        assert_eq!(confidence(&ETHEREUM, &Peek { other: &[1, 0, 4], ..stream(&auth) }), 66);
    }
}
