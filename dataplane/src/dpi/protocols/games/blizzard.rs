//! Which of Blizzard's games is this?

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// World of Warcraft: the greeting of the world server and of its client, and the logon before it.
pub(super) static WORLD_OF_WARCRAFT: Protocol = Protocol::named(
    "worldofwarcraft",
    Category::Game,
    &[Probe::tcp(First::Of(&[0x30, b'W', 0x00]), world), Probe::tcp(First::Of(&[0x00]), logon)],
);

fn world(peek: &Peek<'_>) -> Match {
    const GREETING: &[u8] = b"WORLD OF WARCRAFT CONNECTION";
    // A length (2) of either endianness may stand before.
    let text = if peek.bytes.first() == Some(&b'W') { Some(peek.bytes) } else { peek.bytes.get(2..) };
    let text = text.unwrap_or_default();
    let len = text.len().min(GREETING.len());
    if text[..len] != GREETING[..len] || (peek.bytes.len() > 1 && peek.bytes[0] == 0 && peek.bytes[1] != 0x30)
    {
        return Match::No;
    }
    if len == GREETING.len() { Match::Yes(98) } else { Match::More }
}

/// Challenge: command 0, version, length (2, little-endian), then `WoW` and a zero.
fn logon(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 8 {
        return if peek.bytes.len() < 4 { Match::More } else { Match::No };
    }
    Match::of(peek.bytes.get(4..8) == Some(b"WoW\0") && usize::from(peek.le16(2)) + 4 <= peek.bytes.len(), 97)
}

/// Starcraft II: the logon to Battle.net of its time.
pub(super) static STARCRAFT: Protocol = Protocol::named(
    "starcraft",
    Category::Game,
    &[Probe::tcp(First::Of(&[0x49, 0x4a]), starcraft), Probe::udp(First::Any, starcraft_game)],
);

fn starcraft(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.get(1..9) == Some(&[0, 0, 0x0a, 0x66, 0x02, 0x0a, 0xed, 0x2d]), 96)
}

/// The game: two datagrams of 20 bytes, then one of 75 or 85, on Blizzard's port.
fn starcraft_game(peek: &Peek<'_>) -> Match {
    if !peek.has_port(1_119) || peek.nth > 2 {
        return Match::No;
    }
    match (peek.bytes.len(), peek.previous.len()) {
        (20, 0 | 20) => Match::More,
        (75 | 85, 20) => Match::Yes(82),
        _ => Match::No,
    }
}

/// Warcraft III: messages of `f7`, kind, length (2, little-endian).
pub(super) static WARCRAFT_3: Protocol = Protocol::named(
    "warcraft3",
    Category::Game,
    &[Probe::tcp(First::Of(&[0xf7]), warcraft_3), Probe::udp(First::Of(&[0xf7]), warcraft_3)],
);

fn warcraft_3(peek: &Peek<'_>) -> Match {
    const MESSAGES_MAX: usize = 64;
    let (mut rest, mut count) = (peek.bytes, 0);
    while let [0xf7, _, low, high, ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        if len < 4 || count >= MESSAGES_MAX {
            return Match::No;
        }
        count += 1;
        match rest.get(len..) {
            Some(after) => rest = after,
            None => return if peek.is_tcp && count > 1 { Match::Yes(85) } else { Match::No },
        }
    }
    Match::of(count > 0 && rest.is_empty(), if count > 1 || peek.has_port(6_112) { 90 } else { 75 })
}

/// Battle.net and the games that share its protocols.
pub(super) static BLIZZARD: Protocol = Protocol::named(
    "blizzard",
    Category::Game,
    &[
        Probe::tcp(First::Of(&[0x01, 0xff]), battle_net),
        Probe::tcp(First::Of(&[0x41]), battle_net_2),
        Probe::tcp(First::Any, hearthstone),
        Probe::udp(First::Of(&[0xff]), rumble),
    ],
);

/// The classic one: a byte of protocol (1), then `ff`, kind, length (2, little-endian): 0x50 tells platform and product.
fn battle_net(peek: &Peek<'_>) -> Match {
    let message = peek.bytes.strip_prefix(&[1]).unwrap_or(peek.bytes);
    match message {
        [] | [0xff] => Match::More,
        [0xff, 0x50 | 0x25 | 0x00, rest @ ..] => {
            let is_platform =
                message.get(8..12).is_some_and(|text| matches!(text, b"68XI" | b"CAMP" | b"XAMP"));
            match rest {
                [] | [_] => Match::More,
                [low, high, ..] if u16::from_le_bytes([*low, *high]) < 512 => {
                    Match::of(is_platform || peek.has_port(6_112), if is_platform { 97 } else { 85 })
                }
                _ => Match::No,
            }
        }
        _ => Match::No,
    }
}

fn battle_net_2(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(&[0x41, 0, 0, 0x0a, 0x66, 0x52, 0xed, 0xc6]), 95)
}

/// Kind (4), length of the rest (4), both little-endian, on Blizzard's ports.
fn hearthstone(peek: &Peek<'_>) -> Match {
    let fits = peek.bytes.len() > 8 && peek.le32(4) as usize == peek.bytes.len() - 8;
    Match::of(fits && (peek.has_port(1_119) || peek.has_port(3_724)), 82)
}

/// Warcraft Rumble's first datagram.
fn rumble(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.len() == 23
        && peek.bytes.starts_with(&[0xff, 0xff, 0xff, 0xff, 0xa3, 0x1f, 0xb6, 0x1e])
        && peek.bytes.ends_with(&[4, 3, 2, 1]);
    Match::of(is, 95)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn greetings_are_recognised() {
        let greeting = b"0\0WORLD OF WARCRAFT CONNECTION - SERVER TO CLIENT\0";
        assert_eq!(confidence(&WORLD_OF_WARCRAFT, &stream(greeting)), 98);
        assert_eq!(confidence(&WORLD_OF_WARCRAFT, &stream(&greeting[2..])), 98);
        assert_eq!(confidence(&WORLD_OF_WARCRAFT, &stream(b"\0\x03\x04\0WoW\0")), 97);
        assert_eq!(confidence(&WORLD_OF_WARCRAFT, &stream(b"\0\x03\x04\0xxxxxx")), 0);
        assert_eq!(confidence(&STARCRAFT, &stream(&[0x4a, 0, 0, 0x0a, 0x66, 2, 0x0a, 0xed, 0x2d, 0x66])), 96);
        assert_eq!(confidence(&WARCRAFT_3, &datagram(&[0xf7, 0x2f, 4, 0, 0xf7, 0x30, 6, 0, 1, 2])), 90);
        assert_eq!(confidence(&WARCRAFT_3, &datagram(&[0xf7, 0x2f, 5, 0])), 0);
        assert_eq!(confidence(&BLIZZARD, &stream(b"\x01\xff\x50\x3a\0\0\0\0\x0068XIPX3W")), 97);
        assert_eq!(confidence(&BLIZZARD, &stream(b"\x01\x00\x00\x00")), 0);
    }
}
