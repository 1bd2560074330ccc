//! Is this `BitTorrent`? Peers over TCP and uTP, trackers over UDP, and the search on the local network.
//!
//! Sources: BEP 3 (peers), BEP 14 (local search), BEP 15 (UDP trackers), BEP 29 (uTP).

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// `BitTorrent`, all but its DHT.
pub(super) static BITTORRENT: Protocol = Protocol::named(
    "bittorrent",
    Category::Download,
    &[
        Probe::tcp(First::Of(&[0x13]), handshake),
        Probe::udp(First::Of(&[0x00]), tracker),
        Probe::udp(First::Of(b"B"), local_search),
        Probe::udp(First::Of(&[0x01, 0x11, 0x21, 0x31, 0x41]), micro_transport),
    ],
);

const HANDSHAKE: &[u8] = b"\x13BitTorrent protocol";

fn handshake(peek: &Peek<'_>) -> Match {
    let len = peek.bytes.len().min(HANDSHAKE.len());
    match (peek.bytes[..len] == HANDSHAKE[..len], len == HANDSHAKE.len()) {
        (true, true) => Match::Yes(99),
        (true, false) => Match::More,
        (false, _) => Match::No,
    }
}

/// The request to connect: a magic of 8 bytes, action 0, transaction (4).
fn tracker(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.len() >= 16 && peek.bytes.starts_with(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80]), 98)
}

fn local_search(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(b"BT-SEARCH * HTTP/1.1"), 98)
}

/// Kind and version 1 (4 bits each), first extension, connection (2), time (4), difference (4), window (4), number (2),
/// acknowledged (2); extensions; data.
fn micro_transport(peek: &Peek<'_>) -> Match {
    const HEADER: usize = 20;
    const WINDOW_MAX: u32 = 16 << 20;
    let (Some([kind, extension, ..]), Some(rest)) = (peek.bytes.first_chunk::<2>(), peek.bytes.get(HEADER..))
    else {
        return Match::No;
    };
    if *extension > 2 || peek.be32(12) > WINDOW_MAX || peek.is_multicast {
        return Match::No;
    }
    let rest = if *extension == 0 { Some(rest) } else { extensions(rest) };
    let Some(rest) = rest else { return Match::No };
    let (kind, connection) = (kind >> 4, peek.be16(2));
    // Only data has data, apart from the reset that some clients pad.
    if (kind == 0) == rest.is_empty() {
        return Match::No;
    }
    let [difference, window] = [8, 12].map(|at| peek.be32(at));
    let (number, acknowledged) = (peek.be16(16), peek.be16(18));
    if kind == 4 {
        return Match::of(
            number == 1 && acknowledged == 0 && connection != 0,
            if difference == 0 { 90 } else { 70 },
        );
    }
    let alike = |other: &[u8]| {
        let Some([first, second, high, low]) = other.first_chunk::<4>() else { return false };
        let theirs = u16::from_be_bytes([*high, *low]);
        first & 0x0f == 1 && first >> 4 <= 4 && *second <= 2 && theirs.abs_diff(connection) <= 1
    };
    let is_known = alike(peek.previous) || alike(peek.other);
    let port = (6_881..=6_999).any(|port| peek.has_port(port));
    match (is_known, port) {
        (true, _) => Match::Yes(88),
        (false, true) if window > 0 => Match::Yes(82),
        (false, _) if window >= 1_024 && peek.be32(4) > 0xffff && connection > 0xff => Match::Yes(58),
        _ => Match::No,
    }
}

/// What follows the extensions: each is the next one's kind, a length and its bytes.
fn extensions(mut rest: &[u8]) -> Option<&[u8]> {
    const EXTENSIONS_MAX: usize = 4;
    for _ in 0..EXTENSIONS_MAX {
        let ([next, len], after) = rest.split_first_chunk::<2>()?;
        if *next > 2 || len % 4 != 0 || *len == 0 {
            return None;
        }
        rest = after.get(usize::from(*len)..)?;
        if *next == 0 {
            return Some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn peers_trackers_and_searches_are_recognised() {
        assert_eq!(confidence(&BITTORRENT, &stream(b"\x13BitTorrent protocol\0\0\0\0")), 99);
        assert_eq!(handshake(&stream(b"\x13BitT")), Match::More);
        assert_eq!(
            confidence(
                &BITTORRENT,
                &datagram(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4])
            ),
            98
        );
        assert_eq!(confidence(&BITTORRENT, &datagram(b"BT-SEARCH * HTTP/1.1\r\n")), 98);
        let syn = [0x41, 0, 0x5c, 0x12, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0];
        assert_eq!(confidence(&BITTORRENT, &datagram(&syn)), 90);
        let state = [0x21, 0, 0x5c, 0x11, 1, 2, 3, 4, 0, 0, 1, 0, 0, 0x10, 0, 0, 0, 1, 0, 1];
        assert_eq!(confidence(&BITTORRENT, &Peek { other: &syn, ..datagram(&state) }), 88);
        assert_eq!(confidence(&BITTORRENT, &datagram(&state[..19])), 0);
    }
}
