//! Which engine's transport is this? Those that many games share.

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// Yojimbo (netcode.io): a connection request is 0 and `NETCODE 1.0x` with a zero.
pub(super) static YOJIMBO: Protocol =
    Protocol::named("yojimbo", Category::Game, &[Probe::udp(First::Of(&[0]), yojimbo)]);

fn yojimbo(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.get(1..9) == Some(b"NETCODE "), 98)
}

/// Cryengine's network: the first datagram tells its length after the header of ten bytes and a few fixed fields.
pub(super) static CRYNETWORK: Protocol =
    Protocol::named("crynetwork", Category::Game, &[Probe::udp(First::Of(&[0x3c, 0x87]), crynetwork)]);

fn crynetwork(peek: &Peek<'_>) -> Match {
    let fits = peek.bytes.len() == usize::from(peek.bytes.first().copied().unwrap_or(0)) + 10
        || (peek.bytes.first() == Some(&0x87) && peek.bytes.len() == 133);
    let is_request = peek.bytes.get(16..18) == Some(&[1, 0])
        && peek.bytes.get(20) == Some(&7)
        && peek.bytes.get(24..26) == Some(&[3, 7]);
    let is_answer = peek.bytes.get(1..32).is_some_and(|zeros| zeros.iter().all(|byte| *byte == 0))
        && peek.bytes.get(32) == Some(&2);
    Match::of(fits && (is_request || is_answer), if is_request { 95 } else { 82 })
}

/// Photon, as Toca Boca's games use it.
pub(super) static TOCA_BOCA: Protocol =
    Protocol::named("tocaboca", Category::Game, &[Probe::udp(First::Any, toca_boca)]);

fn toca_boca(peek: &Peek<'_>) -> Match {
    let is_ping = peek.bytes.len() >= 13 && peek.bytes.starts_with(&[0x7d; 8]);
    // Photon: peer, flags, number of commands (1), time (4), challenge (4); the command: kind, channel, flags.
    let opens = peek.bytes.len() >= 24 && peek.be32(0) == 0xffff_0001 && peek.be32(12) == 0x02ff_0104;
    let acknowledges = peek.bytes.len() >= 32
        && matches!(peek.be16(2), 1..=3)
        && matches!(peek.be32(12), 0x01ff_0000 | 0x0100_0000)
        && peek.be32(16) == 0x14;
    Match::of(is_ping || opens || acknowledges, 92)
}

/// Epic's games: the answer has the request's first word with one bit more.
pub(super) static EPIC_GAMES: Protocol =
    Protocol::named("epicgames", Category::Game, &[Probe::udp(First::Any, epic_games)]);

fn epic_games(peek: &Peek<'_>) -> Match {
    const ANSWER: u32 = 0x08;
    let is_request =
        |bytes: &[u8]| bytes.get(10..34).is_some_and(|zeros| zeros.iter().all(|byte| *byte == 0));
    let word = peek.be32(0);
    if peek.nth > 0 {
        return Match::No;
    }
    if let Some(asked) = peek.other.first_chunk::<4>() {
        let asked = u32::from_be_bytes(*asked);
        let is = asked & ANSWER == 0 && asked != 0 && word == asked | ANSWER && is_request(peek.other);
        return Match::of(is && peek.bytes.len() > 4, 86);
    }
    Match::of(is_request(peek.bytes) && word != 0 && word & ANSWER == 0 && peek.le32(0) > 0xffff, 40)
}

/// `ENet`: a request to connect is a command of 48 bytes after the header.
pub(super) static ENET: Protocol =
    Protocol::named("enet", Category::Game, &[Probe::udp(First::Of(&[0x8f, 0xcf]), enet)]);

fn enet(peek: &Peek<'_>) -> Match {
    Match::of(is_enet_connect(peek), 93)
}

/// Peer `fff` with the flag of a time, the time (2), CONNECT to be acknowledged on channel `ff`, number 1.
pub(super) fn is_enet_connect(peek: &Peek<'_>) -> bool {
    peek.be16(0) & 0xbfff == 0x8fff && matches!(peek.bytes.len(), 48 | 52 | 56) && peek.be32(4) == 0x82ff_0001
}

/// KCP: conversation (4), command, fragments, window (2), time (4), number (4), expected number (4), length (4), all
/// little-endian; several in a datagram.
pub(super) static KCP: Protocol = Protocol::named("kcp", Category::Network, &[Probe::udp(First::Any, kcp)]);

fn kcp(peek: &Peek<'_>) -> Match {
    const HEADER: usize = 24;
    const SEGMENTS_MAX: usize = 64;
    let (mut rest, mut count, mut words) = (peek.bytes, 0, 0);
    while !rest.is_empty() {
        let Some((header, after)) = rest.split_first_chunk::<HEADER>() else { return Match::No };
        let same_conversation = peek.bytes.get(..4) == header.get(..4);
        let len = u32::from_le_bytes([header[20], header[21], header[22], header[23]]) as usize;
        let is_push = header[4] == 81;
        if !(matches!(header[4], 81..=84) && same_conversation && count < SEGMENTS_MAX)
            || (!is_push && len != 0)
        {
            return Match::No;
        }
        let Some(after) = after.get(len..) else { return Match::No };
        rest = after;
        count += 1;
        words += usize::from(is_push && len > 0);
    }
    Match::of(count > 0, if words > 0 || count > 1 { 88 } else { 78 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram};

    #[test]
    fn transports_are_recognised() {
        assert_eq!(confidence(&YOJIMBO, &datagram(b"\0NETCODE 1.02\0")), 98);
        let mut cry = vec![0_u8; 70];
        (cry[0], cry[16], cry[20], cry[24], cry[25]) = (0x3c, 1, 7, 3, 7);
        assert_eq!(confidence(&CRYNETWORK, &datagram(&cry)), 95);
        assert_eq!(confidence(&CRYNETWORK, &datagram(&cry[..69])), 0);
        let mut connect = vec![0_u8; 52];
        connect[..8].copy_from_slice(&[0x8f, 0xff, 0x12, 0x34, 0x82, 0xff, 0, 1]);
        assert_eq!(confidence(&ENET, &datagram(&connect)), 93);
        let mut push = vec![0_u8; 30];
        (push[0], push[4], push[20]) = (7, 81, 6);
        assert_eq!(confidence(&KCP, &datagram(&push)), 88);
        assert_eq!(confidence(&KCP, &datagram(&push[..29])), 0);
        assert_eq!(confidence(&TOCA_BOCA, &datagram(&[0x7d; 13])), 92);
    }

    #[test]
    fn epic_answers_with_one_bit_more() {
        let mut request = vec![0_u8; 40];
        request[..4].copy_from_slice(&[0x51, 0x82, 0x33, 0x40]);
        let answer = [0x51, 0x82, 0x33, 0x48, 9, 9];
        assert_eq!(confidence(&EPIC_GAMES, &Peek { other: &request, ..datagram(&answer) }), 86);
        assert_eq!(confidence(&EPIC_GAMES, &Peek { other: &request, ..datagram(&request) }), 0);
    }
}
