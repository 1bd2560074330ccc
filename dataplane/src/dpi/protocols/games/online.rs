//! Which online game, or which console, is this?

use super::engines::is_enet_connect;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, First, HostKind, Match, Peek, Probe, Protocol};
use crate::flow::Direction;

/// Activision's games (Call of Duty).
pub(super) static ACTIVISION: Protocol = Protocol::named(
    "activision",
    Category::Game,
    &[
        Probe::udp(First::Of(&[0x0c, 0x0d]), activision),
        Probe::udp(First::Of(&[0x46, 0x47]), activision_later),
    ],
);

/// 29 bytes that come twice, first with `0d`, then with `0c`.
fn activision(peek: &Peek<'_>) -> Match {
    if !(peek.bytes.len() == 29 && peek.bytes.get(1..3) == Some(&[2, 0])) {
        return Match::No;
    }
    let repeats = |other: &[u8]| other.len() == 29 && other.get(1..) == peek.bytes.get(1..);
    let is_pair = repeats(peek.previous) || repeats(peek.other);
    Match::Yes(if is_pair {
        95
    } else if peek.has_port(3_074) {
        82
    } else {
        60
    })
}

fn activision_later(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.len() >= 18 && peek.bytes.get(1) == Some(&0) && peek.has_port(3_074);
    let follows = matches!(peek.previous, [0x46 | 0x47, 0, ..]);
    if is && peek.nth < 2 { Match::More } else { Match::of(is && follows, 70) }
}

/// Riot's games: League of Legends, Valorant.
pub(super) static RIOT_GAMES: Protocol =
    Protocol::named("riotgames", Category::Game, &[Probe::udp(First::Any, riot_games)]);

fn riot_games(peek: &Peek<'_>) -> Match {
    let is_marked =
        peek.bytes.len() > 16 && peek.bytes.ends_with(&[0xaa, 0xaa, 0xaa, 0xaa, 0xbb, 0xbb, 0xbb, 0xbb]);
    let is_hello =
        peek.bytes.len() == 53 && peek.bytes.ends_with(&[0x3c, 0xb1, 0x1f, 0x2d, 0xea, 0x23, 0x46, 0x0c]);
    Match::of(is_marked || is_hello, 96)
}

/// Minecraft, Java edition: a handshake of packet 0 names the protocol's version, the server and its port.
pub(super) static MINECRAFT: Protocol = Protocol {
    name: "minecraft",
    eve: None,
    category: Category::Game,
    probes: &[Probe::tcp(First::In(0x06, 0xfe), minecraft)],
    parser: Some(|| Box::new(Minecraft)),
};

fn minecraft(peek: &Peek<'_>) -> Match {
    if let [0xfe, 0x01, 0xfa, ..] = peek.bytes {
        return Match::Yes(90);
    }
    match handshake(peek.bytes) {
        Some(_) => Match::Yes(93),
        // Length of one byte, packet 0, and a version below 2^14: the shortest name makes ten bytes.
        None if peek.bytes.len() < 8 && peek.bytes.get(1).is_none_or(|id| *id == 0) => Match::More,
        None => Match::No,
    }
}

/// The server's name in a handshake: length, 0, version, name, port (2), next state; numbers are LEB128.
fn handshake(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = number(bytes)?;
    let packet = rest.get(..len as usize)?;
    let (id, packet) = number(packet)?;
    let (_version, packet) = number(packet)?;
    let (name_len, packet) = number(packet)?;
    let (name, packet) = packet.split_at_checked(name_len as usize)?;
    let [_, _, 1..=3] = packet else { return None };
    (id == 0 && (1..=255).contains(&name.len()) && name[0].is_ascii_graphic()).then_some(name)
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

struct Minecraft;

impl Parser for Minecraft {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if way == Direction::Forward {
            // Mods add words of their own after a zero.
            match handshake(bytes).and_then(|name| name.split(|byte| *byte == 0).next()) {
                Some(name) => cx.host(HostKind::Other, name),
                None => cx.anomaly("malformed_handshake"),
            }
            return Step::Done;
        }
        Step::Consumed(bytes.len())
    }
}

/// Gaijin's games (War Thunder): `ENet` on their ports, and reports of the launcher.
pub(super) static GAIJIN: Protocol = Protocol::named(
    "gaijinentertainment",
    Category::Game,
    &[Probe::udp(First::Of(&[0x8f]), gaijin_game), Probe::udp(First::Of(b"ea"), gaijin_launcher)],
);

fn gaijin_game(peek: &Peek<'_>) -> Match {
    let is_port = [peek.ports.0, peek.ports.1].iter().any(|port| (20_000..=21_000).contains(port));
    Match::of(is_enet_connect(peek) && peek.bytes.get(2) == Some(&0) && is_port, 95)
}

fn gaijin_launcher(peek: &Peek<'_>) -> Match {
    let words: [&[u8]; 3] = [b"embeddedupdater.", b"app.start", b"app.stage"];
    Match::of(peek.bytes.len() > 100 && words.iter().any(|word| peek.bytes.starts_with(word)), 93)
}

/// The Elder Scrolls Online: length of the rest (4), and somewhere its domain or a packed block.
pub(super) static ELDER_SCROLLS_ONLINE: Protocol =
    Protocol::named("tes_online", Category::Game, &[Probe::tcp(First::Of(&[0]), elder_scrolls)]);

fn elder_scrolls(peek: &Peek<'_>) -> Match {
    let fits = peek.bytes.len() >= 600 && peek.be32(0) as usize == peek.bytes.len() - 4;
    let is = fits && (peek.contains(b"eso.live") || peek.contains(&[0x8b, 0x78, 0x9c, 0x01]));
    if is {
        Match::Yes(95)
    } else if peek.be32(0) < 4_096 && peek.nth == 0 {
        Match::More
    } else {
        Match::No
    }
}

/// Path of Exile: the first message has the character's name between fixed fields.
pub(super) static PATH_OF_EXILE: Protocol =
    Protocol::named("pathofexile", Category::Game, &[Probe::tcp(First::Of(&[0]), path_of_exile)]);

fn path_of_exile(peek: &Peek<'_>) -> Match {
    let is = (26..50).contains(&peek.bytes.len())
        && peek.bytes.starts_with(&[0, 3, 0])
        && peek.bytes.get(6..9) == Some(&[0, 2, 0])
        && peek.bytes.ends_with(&[0, 0, 0, 0, 0x40, 0, 0, 1]);
    Match::of(is, 95)
}

/// Xbox consoles among each other.
pub(super) static XBOX: Protocol = Protocol::named(
    "xbox",
    Category::Game,
    &[Probe::udp(First::Of(&[0x00, 0x4f, 0x50, 0xcf, 0xc1, 0x01]), xbox)],
);

fn xbox(peek: &Peek<'_>) -> Match {
    let is_service = peek.be32(0) == 0
        && peek.bytes.len() > 12
        && peek.bytes.get(5) == Some(&0x58)
        && peek.bytes.get(7..10) == Some(&[0; 3])
        && matches!(
            (peek.bytes.get(4), peek.bytes.get(6)),
            (Some(0x0c), Some(0x76))
                | (Some(0x02), Some(0x18))
                | (Some(0x0b), Some(0x80))
                | (Some(0x03), Some(0x40))
                | (Some(0x06), Some(0x4e))
        );
    if is_service {
        return Match::Yes(93);
    }
    if !peek.has_port(3_074) {
        return Match::No;
    }
    let is = match peek.bytes.len() {
        24 => peek.bytes.first() == Some(&0),
        42 => peek.bytes.first() == Some(&0x4f) && peek.bytes.get(2) == Some(&0x0a),
        80 => peek.bytes.starts_with(&[0x50, 0xbc, 0x45]),
        40 => peek.be32(0) == 0xcf5f_3202,
        38 => peek.be32(0) == 0xc145_7f03,
        28 => peek.be32(0) == 0x015f_2c00,
        _ => false,
    };
    Match::of(is, if peek.nth > 0 { 82 } else { 60 })
}

/// Nintendo's consoles: the magic of Pia, their network between players.
pub(super) static NINTENDO: Protocol =
    Protocol::named("nintendo", Category::Game, &[Probe::udp(First::Of(&[0x32]), nintendo)]);

fn nintendo(peek: &Peek<'_>) -> Match {
    Match::of(peek.be32(0) == 0x32ab_9864 && peek.bytes.len() > 16, 96)
}

/// `PlayStation`: consoles are looked for on the network before a game is streamed.
pub(super) static PLAYSTATION: Protocol =
    Protocol::named("playstation", Category::Game, &[Probe::udp(First::Of(b"SHLW"), playstation)]);

fn playstation(peek: &Peek<'_>) -> Match {
    let heads: [&[u8]; 4] = [b"SRCH * HTTP/1.1", b"HTTP/1.1 ", b"WAKEUP * HTTP/1.1", b"LAUNCH * HTTP/1.1"];
    let is = heads.iter().any(|head| peek.bytes.starts_with(head));
    Match::of(is && peek.contains(b"device-discovery-protocol-version"), 97)
}

/// Armagetron: messages of kind (2), number (2), length in words (2); a zero word ends the datagram.
pub(super) static ARMAGETRON: Protocol =
    Protocol::named("armagetron", Category::Game, &[Probe::udp(First::Of(&[0]), armagetron)]);

fn armagetron(peek: &Peek<'_>) -> Match {
    let words = usize::from(peek.be16(4));
    if peek.bytes.len() <= 10 || words == 0 || !peek.bytes.ends_with(&[0, 0]) {
        return Match::No;
    }
    let is_login = peek.be32(0) == 0x000b_0000 && words * 2 + 8 == peek.bytes.len() && peek.be16(6) == 8;
    let is_sync = peek.be16(0) == 0x1c
        && peek.bytes.len() == 16
        && words == 4
        && peek.be32(6) == 0x0500
        && peek.be32(10) == 0x0001_0000;
    Match::of(is_login || is_sync, 93)
}

/// Crossfire.
pub(super) static CROSSFIRE: Protocol =
    Protocol::named("crossfire", Category::Game, &[Probe::udp(First::Of(&[0xc7]), crossfire)]);

fn crossfire(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.len() == 25 && peek.bytes.starts_with(&[0xc7, 0xd9, 0x19, 0x99, 2, 0]);
    Match::of(is && peek.bytes.get(22..24) == Some(&[0x7d, 0]), 95)
}

/// Dofus, before and after its second version.
pub(super) static DOFUS: Protocol =
    Protocol::named("dofus", Category::Game, &[Probe::tcp(First::Of(&[0x00, 0x01, b'H', b'A']), dofus)]);

fn dofus(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if matches!(bytes.len(), 11 | 13 | 49) && peek.be32(0) == 0x0005_0800 && peek.be16(4) == 5 {
        return Match::of(peek.be16(8) == 5 && bytes.get(10) == Some(&0x18), 92);
    }
    // A login: kind, then two texts with their lengths.
    if bytes.starts_with(&[0x01, 0xb9, 0x26]) && bytes.len() >= 41 {
        let second = 5 + usize::from(peek.be16(3));
        return Match::of(second + 2 + usize::from(peek.be16(second)) == bytes.len(), 92);
    }
    // The server's greeting of the first version: a key of 32 letters.
    let is_key = bytes.len() == 35 && bytes.starts_with(b"HC") && bytes.ends_with(&[0]);
    let is_text = bytes.get(2..34).is_some_and(|key| key.iter().all(u8::is_ascii_lowercase));
    if is_key && is_text {
        return Match::Yes(88);
    }
    Match::of(
        bytes.starts_with(b"AT")
            && bytes.len() == 11
            && bytes.ends_with(&[0])
            && peek.other.starts_with(b"H"),
        85,
    )
}

/// Fiesta: messages that begin with their length.
pub(super) static FIESTA: Protocol =
    Protocol::named("fiesta", Category::Game, &[Probe::tcp(First::Of(&[0x03, 0x04, 0x05, 0x63]), fiesta)]);

fn fiesta(peek: &Peek<'_>) -> Match {
    let is_key = matches!(peek.bytes, [4, 7, 8, _, 0 | 1]);
    let answers = matches!(peek.bytes, [3, 5, 0x0c, 1] | [4, 3, 0x0c, 1, 0] | [5, 0x0e, 8, 0x0b, _, _]);
    let is_version = peek.bytes.len() == 100 && peek.bytes.starts_with(&[0x63, 0x38, 0x10]);
    let is_later = matches!(peek.other, [4, 7, 8, _, 0 | 1, ..]);
    match (is_key, answers || is_version) {
        (true, _) => Match::Yes(65),
        (_, true) if is_later => Match::Yes(92),
        (_, true) => Match::Yes(55),
        _ => Match::No,
    }
}

/// Florensia: messages that begin with their length (2, little-endian).
pub(super) static FLORENSIA: Protocol = Protocol::named(
    "florensia",
    Category::Game,
    &[
        Probe::tcp(First::Of(&[0x05, 0x08, 0x0c, 0x18, 0x96]), florensia),
        Probe::udp(First::Of(&[5]), florensia_datagram),
    ],
);

fn florensia(peek: &Peek<'_>) -> Match {
    if usize::from(peek.le16(0)) != peek.bytes.len() {
        return Match::No;
    }
    let is = match peek.bytes.len() {
        5 => peek.bytes.get(2) == Some(&0x65) && peek.bytes.get(4) == Some(&0xff),
        12 => peek.be16(2) == 0x0301,
        8 => peek.be16(2) == 0x0302 && peek.be32(4) == 0xffff_ffff,
        24 => peek.be16(2) == 0x0202 && peek.be32(20) == 0xffff_ffff,
        406 => peek.bytes.get(2) == Some(&0x63),
        _ => false,
    };
    // One alone is little; the other direction's first message fits, too.
    let fits = |other: &[u8]| matches!(other, [low, 0, ..] if usize::from(*low) == other.len());
    Match::of(is, if fits(peek.other) { 85 } else { 55 })
}

fn florensia_datagram(peek: &Peek<'_>) -> Match {
    let is_hello = |bytes: &[u8]| bytes == [5, 3, 0xff, 0xff, 0, 0];
    if is_hello(peek.bytes) {
        return Match::Yes(70);
    }
    let is = peek.bytes.len() == 8 && peek.be16(0) == 0x0500 && peek.be16(4) == 0x4191;
    Match::of(is, if is_hello(peek.other) || is_hello(peek.previous) { 92 } else { 60 })
}

/// Guild Wars.
pub(super) static GUILD_WARS: Protocol =
    Protocol::named("guildwars", Category::Game, &[Probe::tcp(First::Any, guild_wars)]);

fn guild_wars(peek: &Peek<'_>) -> Match {
    let is = match peek.bytes.len() {
        64 => peek.be16(1) == 0x050c && peek.bytes.get(50..54) == Some(b"@2&P"),
        16 => {
            peek.be16(1) == 0x040c
                && peek.be16(4) == 0xa672
                && peek.bytes.get(8) == Some(&1)
                && peek.bytes.get(12) == Some(&4)
        }
        21 => peek.be16(0) == 0x0100 && peek.be32(5) == 0xf100_1000 && peek.bytes.get(9) == Some(&1),
        _ => false,
    };
    Match::of(is, 92)
}

/// Maple Story: the server's hello of 14 bytes after its length: version, patch `1`, keys, region.
pub(super) static MAPLE_STORY: Protocol =
    Protocol::named("maplestory", Category::Game, &[Probe::tcp(First::In(0x0d, 0x10), maple_story)]);

fn maple_story(peek: &Peek<'_>) -> Match {
    let fits = usize::from(peek.le16(0)) + 2 == peek.bytes.len();
    let is_known = peek.bytes.len() == 16
        && matches!(peek.be16(2), 0x3a00 | 0x3b00 | 0x4200)
        && peek.be16(4) == 0x0100
        && matches!(peek.bytes.get(6), Some(0x32 | 0x33));
    // Any other version below 256, a patch of one digit, a region of 1 to 9.
    let is_alike = matches!(peek.bytes, [_, 0, 20..=255, 0, 1, 0, b'0'..=b'9', .., 1..=9]);
    Match::of(fits && (is_known || is_alike), if is_known { 95 } else { 82 })
}

/// World of Kung Fu.
pub(super) static WORLD_OF_KUNG_FU: Protocol =
    Protocol::named("worldofkungfu", Category::Game, &[Probe::tcp(First::Of(&[0x0c]), kung_fu)]);

fn kung_fu(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.len() == 16
        && peek.be32(0) == 0x0c00_0000
        && peek.be32(4) == 0xd200_0c00
        && peek.bytes.get(9..12) == Some(&[0x16, 0, 0])
        && peek.be16(14) == 0;
    Match::of(is, 96)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn datagrams_are_recognised() {
        let mut first = vec![7_u8; 29];
        first[..3].copy_from_slice(&[0x0d, 2, 0]);
        let mut second = first.clone();
        second[0] = 0x0c;
        assert_eq!(confidence(&ACTIVISION, &datagram(&first)), 60);
        assert_eq!(confidence(&ACTIVISION, &Peek { previous: &first, nth: 1, ..datagram(&second) }), 95);
        let marked = [&[5; 28][..], &[0xaa; 4], &[0xbb; 4]].concat();
        assert_eq!(confidence(&RIOT_GAMES, &datagram(&marked)), 96);
        assert_eq!(confidence(&NINTENDO, &datagram(&[&[0x32, 0xab, 0x98, 0x64][..], &[2; 50]].concat())), 96);
        let search = b"SRCH * HTTP/1.1\ndevice-discovery-protocol-version:00020020\n";
        assert_eq!(confidence(&PLAYSTATION, &datagram(search)), 97);
        let mut connect = vec![0_u8; 52];
        connect[..8].copy_from_slice(&[0x8f, 0xff, 0, 0x34, 0x82, 0xff, 0, 1]);
        assert_eq!(confidence(&GAIJIN, &Peek { ports: (9, 20_014), ..datagram(&connect) }), 95);
        assert_eq!(confidence(&GAIJIN, &datagram(&connect)), 0);
        let login = [0, 0x0b, 0, 0, 0, 2, 0, 8, 1, 1, 0, 0];
        assert_eq!(confidence(&ARMAGETRON, &datagram(&login)), 93);
        assert_eq!(confidence(&XBOX, &datagram(&[0, 0, 0, 0, 0x0c, 0x58, 0x76, 0, 0, 0, 1, 1, 1])), 93);
    }

    #[test]
    fn streams_are_recognised() {
        let hello = b"\x10\0\x2f\x09a.example\x63\xdd\x02";
        let hello = [&[hello.len() as u8 - 1], &hello[1..]].concat();
        assert_eq!(confidence(&MINECRAFT, &stream(&hello)), 93);
        assert_eq!(handshake(&hello), Some(b"a.example".as_slice()));
        assert_eq!(confidence(&MINECRAFT, &stream(b"GET / HTTP/1.1\r\n")), 0);
        assert_eq!(
            confidence(&PATH_OF_EXILE, &stream(b"\0\x03\0\0\0\0\0\x02\0\0Wanderer\0\0\0\0\0\0\x40\0\0\x01")),
            95
        );
        let kung_fu = [0x0c, 0, 0, 0, 0xd2, 0, 0x0c, 0, 1, 0x16, 0, 0, 9, 9, 0, 0];
        assert_eq!(confidence(&WORLD_OF_KUNG_FU, &stream(&kung_fu)), 96);
        let maple = [14, 0, 0x5f, 0, 1, 0, b'1', 1, 2, 3, 4, 5, 6, 7, 8, 8];
        assert_eq!(confidence(&MAPLE_STORY, &stream(&maple)), 82);
        assert_eq!(confidence(&DOFUS, &stream(&[0, 5, 8, 0, 0, 5, 0, 0, 0, 5, 0x18])), 92);
        assert_eq!(confidence(&FIESTA, &stream(&[4, 7, 8, 0x55, 0])), 65);
    }
}
