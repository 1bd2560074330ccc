//! Which game on a telephone is this?

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// Genshin Impact: a handshake before its KCP, and a protocol of its own over TCP.
pub(super) static GENSHIN_IMPACT: Protocol = Protocol::named(
    "genshinimpact",
    Category::Game,
    &[Probe::udp(First::Of(&[0]), genshin_handshake), Probe::tcp(First::Of(&[1]), genshin_stream)],
);

/// Kind (4), conversation (8), 1234567890 (4), mark (4): connect, accepted, closed.
fn genshin_handshake(peek: &Peek<'_>) -> Match {
    let is_kind = matches!(
        (peek.be32(0), peek.be32(16)),
        (0xff, 0xffff_ffff) | (0x145, 0x1451_4545) | (0x194, 0x1941_9494)
    );
    Match::of(is_kind && peek.bytes.len() == 20 && peek.be32(12) == 1_234_567_890, 98)
}

/// `01 00 00 00`, length of the message, kind, number (4).
fn genshin_stream(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 10 {
        return if [1, 0, 0, 0].starts_with(&peek.bytes[..peek.bytes.len().min(4)]) {
            Match::More
        } else {
            Match::No
        };
    }
    let is = peek.le32(0) == 1
        && peek.bytes.get(4).is_some_and(|len| usize::from(*len) == peek.bytes.len() && *len >= 24)
        && peek.bytes.get(5).is_some_and(|kind| (1..=16).contains(kind))
        && peek.bytes.get(6..9) == Some(&[0; 3]);
    Match::of(is, 85)
}

/// Call of Duty: Mobile.
pub(super) static COD_MOBILE: Protocol = Protocol::named(
    "cod_mobile",
    Category::Game,
    &[Probe::udp(First::Any, cod_ping), Probe::udp(First::Of(&[0xce]), cod_loadout)],
);

fn cod_ping(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.len() == 12 && peek.bytes.ends_with(b"ping");
    Match::of(is, if peek.has_port(7_500) { 88 } else { 60 })
}

fn cod_loadout(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() > 350 && peek.contains(b"LOC_PREFAB_LOADOUTNAME_1") {
        Match::Yes(96)
    } else {
        Match::More
    }
}

/// League of Legends: Wild Rift.
pub(super) static WILD_RIFT: Protocol = Protocol::named(
    "lolwildrift",
    Category::Game,
    &[Probe::udp(First::Of(&[0x01]), wild_rift), Probe::udp(First::Of(&[0x04, 0x10]), wild_rift_game)],
);

fn wild_rift(peek: &Peek<'_>) -> Match {
    let is = peek.bytes.len() == 22 && peek.be32(0) == 0x0102_c841 && peek.be32(18) == 0x4130_4231;
    Match::of(is, 97)
}

/// 69 bytes, answered or followed by 359.
fn wild_rift_game(peek: &Peek<'_>) -> Match {
    match (peek.be32(0), peek.bytes.len()) {
        (0x0400_0000, 69) => Match::Yes(45),
        (0x1000_0000, 359) => {
            let asked = [peek.other, peek.previous].iter().any(|bytes| bytes.starts_with(&[4, 0, 0, 0]));
            Match::of(asked, 88)
        }
        _ => Match::No,
    }
}

/// Among Us: Hazel's hello (8, number (2), version), the game's version (4, little-endian) and the player's name.
pub(super) static AMONG_US: Protocol =
    Protocol::named("amongus", Category::Game, &[Probe::udp(First::Of(&[8]), among_us)]);

fn among_us(peek: &Peek<'_>) -> Match {
    let Some(&[8, 0, 1, 0, _, _, _, version, len, ref rest @ ..]) = Some(peek.bytes) else {
        return Match::No;
    };
    let name = rest.get(..usize::from(len)).unwrap_or_default();
    let is_name = (1..=24).contains(&len) && name.len() == usize::from(len) && !name.contains(&0);
    if !(is_name && (1..=16).contains(&version)) {
        return Match::No;
    }
    Match::Yes(if rest.len() == name.len() || (22_000..=22_999).contains(&peek.to_port()) { 92 } else { 75 })
}

/// Tencent's games over TCP.
pub(super) static TENCENT_GAMES: Protocol = Protocol::named(
    "tencentgames",
    Category::Game,
    &[Probe::tcp(First::Of(&[0x33, 0x43, 0xaa, 0x00]), tencent)],
);

fn tencent(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() <= 50 {
        return Match::No;
    }
    let mark = peek.be32(0);
    let is = (mark == 0x3366_000b && peek.be16(4) == 0x0b)
        || (mark == 0x4366_aa00 && peek.be32(12) == 0x10e6_8601)
        || (mark == 0xaa00_0000 && peek.be32(10) == 0x10e6_8601);
    if is {
        return Match::Yes(96);
    }
    Match::of(mark as usize == peek.bytes.len() - 4 && peek.be16(4) == 0x7801, 85)
}

/// `NetEase`'s games.
pub(super) static NETEASE_GAMES: Protocol =
    Protocol::named("neteasegames", Category::Game, &[Probe::udp(First::Of(&[0x01, 0x07, 0xb3]), netease)]);

fn netease(peek: &Peek<'_>) -> Match {
    let short = peek.bytes.len() == 12
        && peek.bytes.first() == Some(&1)
        && peek.bytes.get(2..4) == Some(&[0xd0, 0x01])
        && peek.bytes.get(8..12) == Some(&[0, 1, 1, 1]);
    // Lost Light, and Naraka: Bladepoint.
    let lost_light = peek.be32(0) == 0xb3af_8de8 && peek.bytes.len() >= 30;
    let naraka = peek.be32(0) == 0x0708_080c && peek.bytes.len() > 30;
    Match::of(short || lost_light || naraka, 95)
}

/// Free Fire: datagrams on Garena's ports, and a hello over TCP that names the game.
pub(super) static FREE_FIRE: Protocol = Protocol::named(
    "freefire",
    Category::Game,
    &[Probe::udp(First::Any, free_fire_datagram), Probe::tcp(First::Any, free_fire_stream)],
);

fn free_fire_datagram(peek: &Peek<'_>) -> Match {
    let port = (10_011..=10_015).any(|port| peek.has_port(port));
    let is_kind = matches!(peek.bytes.get(2), Some(0xa0 | 0xa5 | 0xa7));
    Match::of(port && is_kind && peek.bytes.len() >= 8, 70)
}

fn free_fire_stream(peek: &Peek<'_>) -> Match {
    let is_keep_alive =
        peek.bytes.len() == 10 && peek.bytes.first() == Some(&0xa0) && peek.bytes.ends_with(b"vj73p");
    // The hello is 770 bytes with zeros after its first two.
    let is_hello = peek.bytes.len() >= 770
        && peek.bytes.get(2..6) == Some(&[0; 4])
        && (peek.contains(b"freefiremobile") || peek.contains(b"FREE FIRE"));
    Match::of(is_keep_alive || is_hello, 93)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn first_messages_are_recognised() {
        let connect = [0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x49, 0x96, 0x02, 0xd2, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(confidence(&GENSHIN_IMPACT, &datagram(&connect)), 98);
        let mut hello = vec![0_u8; 42];
        (hello[0], hello[4], hello[5]) = (1, 42, 7);
        assert_eq!(confidence(&GENSHIN_IMPACT, &stream(&hello)), 85);
        let ping = Peek { ports: (4, 7_500), ..datagram(b"\xbb\xb6\x53\xea\x96\xfd\xbb\x03ping") };
        assert_eq!(confidence(&COD_MOBILE, &ping), 88);
        assert_eq!(confidence(&AMONG_US, &datagram(b"\x08\0\x01\0\x80\xd9\x02\x03\x06Player")), 92);
        assert_eq!(confidence(&AMONG_US, &datagram(b"\x08\0\x01\0\x80\xd9\x02\x03\x06Play")), 0);
        assert_eq!(confidence(&NETEASE_GAMES, &datagram(&[1, 0xb5, 0xd0, 1, 9, 9, 9, 9, 0, 1, 1, 1])), 95);
        let mut tencent = vec![0_u8; 60];
        tencent[..6].copy_from_slice(&[0x33, 0x66, 0, 0x0b, 0, 0x0b]);
        assert_eq!(confidence(&TENCENT_GAMES, &stream(&tencent)), 96);
        assert_eq!(confidence(&FREE_FIRE, &stream(b"\xa0\x01\x02\x03\x04vj73p")), 93);
    }

    #[test]
    fn wild_rift_takes_two_datagrams() {
        let (mut small, mut large) = (vec![0; 69], vec![0; 359]);
        (small[0], large[0]) = (4, 0x10);
        assert_eq!(confidence(&WILD_RIFT, &datagram(&small)), 45);
        assert_eq!(confidence(&WILD_RIFT, &Peek { other: &small, ..datagram(&large) }), 88);
        assert_eq!(confidence(&WILD_RIFT, &datagram(&large)), 0);
    }
}
