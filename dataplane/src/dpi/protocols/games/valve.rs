//! Which of Valve's protocols is this? Steam, its relays, and the Source and Quake engines' queries.
//!
//! Source: developer.valvesoftware.com/wiki/Server_queries.

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// Steam's connection managers: `VS01` over UDP, `VT01` after a length over TCP; and discovery on the local network.
pub(super) static STEAM: Protocol = Protocol::named(
    "steam",
    Category::Game,
    &[
        Probe::udp(First::Of(b"V1"), steam_datagram),
        Probe::udp(First::Of(&[0xff]), steam_discovery),
        Probe::tcp(First::Any, steam_stream),
    ],
);

fn steam_datagram(peek: &Peek<'_>) -> Match {
    let is_old_query = peek.bytes.starts_with(b"1\xff0.");
    // Header of 36 bytes: magic, length of the packet, kind (at most 7), ...
    let is_packet = peek.bytes.starts_with(b"VS01") && peek.bytes.len() >= 36;
    if is_packet { Match::Yes(96) } else { Match::of(is_old_query, 85) }
}

fn steam_stream(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 8 {
        return if peek.bytes.len() < 4 || b"VT01".starts_with(&peek.bytes[4..]) {
            Match::More
        } else {
            Match::No
        };
    }
    Match::of(peek.bytes.get(4..8) == Some(b"VT01") && peek.le32(0) < 0x100_0000, 97)
}

/// Streaming at home announces itself: `ffffffff`, a signature, then protobuf.
fn steam_discovery(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(&[0xff, 0xff, 0xff, 0xff, 0x21, 0x4c, 0x5f, 0xa0]), 97)
}

/// Relays of Steam's games.
pub(super) static STEAM_DATAGRAM_RELAY: Protocol =
    Protocol::named("steamdatagramrelay", Category::Game, &[Probe::udp(First::Any, relay)]);

fn relay(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.get(2..8) == Some(b"sdping") && peek.bytes.len() >= 30, 96)
}

/// Counter-Strike: Global Offensive.
pub(super) static CSGO: Protocol =
    Protocol::named("csgo", Category::Game, &[Probe::udp(First::Of(&[0xff, 0x01, 0x02]), csgo)]);

fn csgo(peek: &Peek<'_>) -> Match {
    let is_connect = peek.be32(0) == 0xffff_ffff && peek.bytes.get(5..14) == Some(b"connect0x");
    let is_ping = peek.bytes.starts_with(b"\x01\0sdping") && peek.bytes.len() >= 36;
    let is_dictionary = matches!(peek.be32(0), 0x0212_4c6c | 0x0212_5c6c)
        && peek.bytes.get(3..15) == Some(b"lta\0mob\0tpc\0");
    Match::of(is_connect || is_ping || is_dictionary, 97)
}

/// Half-Life 2 and what was made of it: requests and answers that end in `000` and a zero.
pub(super) static HALF_LIFE_2: Protocol =
    Protocol::named("halflife2", Category::Game, &[Probe::udp(First::Of(&[0xff]), half_life_2)]);

fn half_life_2(peek: &Peek<'_>) -> Match {
    let is = peek.be32(0) == 0xffff_ffff && peek.bytes.len() >= 20 && peek.bytes.ends_with(b"000\0");
    match (is, peek.other.starts_with(&[0xff; 4])) {
        (true, true) => Match::Yes(85),
        (true, false) => Match::Yes(60),
        _ => Match::No,
    }
}

/// A2S, the queries to servers of the Source engine.
pub(super) static SOURCE_ENGINE: Protocol =
    Protocol::named("source_engine", Category::Game, &[Probe::udp(First::Of(&[0xff, 0xfe]), source_engine)]);

fn source_engine(peek: &Peek<'_>) -> Match {
    let (mark, len) = (peek.be32(0), peek.bytes.len());
    if mark == 0xffff_fffe {
        return Match::of(len > 12 && peek.bytes.get(12..16) == Some(&[0xff; 4]), 85);
    }
    if mark != 0xffff_ffff {
        return Match::No;
    }
    match (peek.bytes.get(4), len) {
        (Some(b'T'), _) if peek.bytes.get(5..24) == Some(b"Source Engine Query") => Match::Yes(97),
        // Players and rules, with a challenge of four bytes; the challenge itself.
        (Some(b'U' | b'V'), 9) | (Some(b'A'), 9) | (Some(b'W'), 5) => Match::Yes(90),
        // Protocol 17 (or 48 of GoldSource, `m`), then text.
        (Some(b'I'), 20..) => Match::of(peek.bytes.get(5).is_some_and(|version| *version < 64), 90),
        (Some(b'D' | b'E'), 7..) => Match::Yes(85),
        (Some(b'm'), 20..) => Match::Yes(80),
        _ => Match::No,
    }
}

/// Quake and its heirs: `ffffffff` and a word.
pub(super) static QUAKE: Protocol =
    Protocol::named("quake", Category::Game, &[Probe::udp(First::Of(&[0xff, 0x80]), quake)]);

fn quake(peek: &Peek<'_>) -> Match {
    const WORDS: [&[u8]; 17] = [
        b"getinfo",
        b"getstatus",
        b"getchallenge",
        b"getservers",
        b"getKeyAuthorize",
        b"infoResponse",
        b"statusResponse",
        b"challengeResponse",
        b"connectResponse",
        b"connect \"",
        b"getserversResponse",
        b"heartbeat ",
        b"print\n",
        b"status\n",
        b"info ",
        b"challenge ",
        b"disconnect",
    ];
    // Quake itself: control flag, length, request to connect (1), `QUAKE` and a version.
    if peek.be16(0) == 0x8000 {
        return Match::of(usize::from(peek.be16(2)) == peek.bytes.len() && peek.contains(b"QUAKE\0"), 96);
    }
    let Some(text) = peek.bytes.strip_prefix(&[0xff; 4]) else { return Match::No };
    // Doom 3 and Quake 4 mark with two bytes only, handled by their words all the same.
    Match::of(WORDS.iter().any(|word| text.starts_with(word)), 92)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn queries_and_magic_numbers_are_recognised() {
        assert_eq!(confidence(&STEAM, &stream(b"\x20\0\0\0VT01....")), 97);
        assert_eq!(confidence(&STEAM, &stream(b"HTTP/1.1 200 OK")), 0);
        assert_eq!(confidence(&STEAM, &datagram(&[b"VS01".as_slice(), &[0; 32]].concat())), 96);
        assert_eq!(
            confidence(&STEAM_DATAGRAM_RELAY, &datagram(&[b"\x01\x02sdping".as_slice(), &[0; 92]].concat())),
            96
        );
        assert_eq!(confidence(&CSGO, &datagram(b"\xff\xff\xff\xffqconnect0x12345678")), 97);
        assert_eq!(confidence(&SOURCE_ENGINE, &datagram(b"\xff\xff\xff\xffTSource Engine Query\0")), 97);
        assert_eq!(confidence(&SOURCE_ENGINE, &datagram(b"\xff\xff\xff\xffA\x01\x02\x03\x04")), 90);
        assert_eq!(confidence(&SOURCE_ENGINE, &datagram(b"\xff\xff\xff\xffgetstatus")), 0);
        assert_eq!(confidence(&QUAKE, &datagram(b"\xff\xff\xff\xffgetstatus\n")), 92);
        assert_eq!(confidence(&QUAKE, &datagram(b"\x80\0\0\x0c\x01QUAKE\0\x03")), 96);
        assert_eq!(confidence(&HALF_LIFE_2, &datagram(b"\xff\xff\xff\xffq0123456789abcd000\0")), 60);
    }
}
