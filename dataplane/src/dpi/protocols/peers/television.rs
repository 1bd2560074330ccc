//! Whose peers send television or downloads to each other? Networks of the time before streaming.

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// Kontiki, behind the players of several broadcasters.
pub(super) static KONTIKI: Protocol =
    Protocol::named("kontiki", Category::Video, &[Probe::udp(First::Of(&[2]), kontiki)]);

fn kontiki(peek: &Peek<'_>) -> Match {
    let is = match peek.bytes.len() {
        4 => peek.be32(0) == 0x0201_0100,
        20 => peek.be32(16) == 0x0204_0100,
        16 => peek.be32(12) == 0x0000_04e4,
        _ => false,
    };
    Match::of(is, 90)
}

/// `PPStream`: length (2, little-endian; of the datagram, or without 4 or 6 bytes of it), kind `43`, `44` or `55`.
pub(super) static PPSTREAM: Protocol =
    Protocol::named("ppstream", Category::Video, &[Probe::udp(First::Any, ppstream)]);

fn ppstream(peek: &Peek<'_>) -> Match {
    let (len, said) = (peek.bytes.len(), usize::from(peek.le16(0)));
    let fits = len > 20 && [0, 4, 6].iter().any(|extra| said + extra == len);
    let is_kind = matches!(peek.bytes.get(2), Some(0x43 | 0x44 | 0x55));
    if !(fits && is_kind) {
        return Match::No;
    }
    let is_hello = peek.bytes.get(5..15) == Some(&[0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let is_empty = peek.bytes.get(5..9) == Some(&[0; 4]) && peek.bytes.get(14..21) == Some(&[0; 7]);
    let is_sure = is_hello || is_empty || peek.contains(b"PPStream");
    let port = peek.has_port(17_788);
    match (is_sure, port) {
        (true, _) => Match::Yes(90),
        (false, true) => Match::Yes(82),
        (false, false) => Match::No,
    }
}

/// `SopCast`: a header of twelve bytes whose length, at 10, leaves out the eight before it.
pub(super) static SOPCAST: Protocol =
    Protocol::named("sopcast", Category::Video, &[Probe::udp(First::Of(&[0, 0xff]), sopcast)]);

fn sopcast(peek: &Peek<'_>) -> Match {
    let fits = usize::from(peek.be16(10)) + 8 == peek.bytes.len();
    let is_head = matches!(peek.bytes.get(2), Some(1 | 2))
        && matches!(peek.bytes.get(8..10), Some([0x01 | 0x02 | 0x03 | 0x06 | 0x0c, 0xff | 0x01]))
        && peek.bytes.get(12..14) == Some(&[0, 0]);
    // A first answer brings what the length does not count.
    let is_first = matches!(peek.bytes.len(), 80 | 94) && peek.be16(10) == 0x14;
    Match::of(is_head && (fits || is_first), 88)
}

/// `TVUPlayer`.
pub(super) static TVU_PLAYER: Protocol = Protocol::named(
    "tvuplayer",
    Category::Video,
    &[Probe::tcp(First::Of(&[0]), tvu_stream), Probe::udp(First::Of(&[0, 0xff]), tvu_datagram)],
);

fn tvu_stream(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.get(2..11) == Some(b"12345678\x01"), 95)
}

/// A header of twelve bytes, then kind, `ff`, and at 19 the length of what follows it.
fn tvu_datagram(peek: &Peek<'_>) -> Match {
    let (kind, len) = (peek.bytes.get(12..14), peek.bytes.get(19));
    let is = match peek.bytes.len() {
        56 => peek.bytes.starts_with(&[0xff, 0xff, 0, 1]) && kind == Some(&[2, 0xff]) && len == Some(&0x2c),
        82 | 84 | 102 => {
            kind == Some(&[1, 0xff])
                && len == Some(&0x14)
                && peek.bytes.get(33) == Some(&0xff)
                && peek.be16(10) == 0
        }
        62 => {
            kind == Some(&[3, 0xff])
                && len == Some(&0x32)
                && matches!(peek.bytes.get(26..28), Some([5, 0x14] | [0x14, 5]))
        }
        60 => kind == Some(&[6, 0]) && len == Some(&0x30) && peek.be16(10) == 0,
        32 => kind == Some(&[1, 0xff]) && len == Some(&0x14),
        _ => false,
    };
    let is_head = peek.bytes.first() == Some(&0xff) || peek.bytes.get(2) == Some(&0);
    Match::of(is && is_head, 85)
}

/// Zattoo's player between peers.
pub(super) static ZATTOO: Protocol = Protocol::named(
    "zattoo",
    Category::Video,
    &[Probe::tcp(First::Of(&[3]), zattoo_stream), Probe::udp(First::Of(&[3]), zattoo_datagram)],
);

fn zattoo_stream(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.len() > 50 && peek.bytes.starts_with(&[3, 4, 0, 4, 0x0a, 0]), 88)
}

fn zattoo_datagram(peek: &Peek<'_>) -> Match {
    let is_kind =
        matches!(peek.be16(0), 0x037a | 0x0378 | 0x0305) || matches!(peek.be32(0), 0x0304_0004 | 0x0301_0005);
    let is = is_kind && peek.bytes.len() > 20 && peek.has_port(5_003);
    Match::of(is, if peek.nth > 0 { 88 } else { 60 })
}

/// Thunder (Xunlei): version `30` to `3f` (4, little-endian), number (4), length (4).
pub(super) static THUNDER: Protocol = Protocol::named(
    "thunder",
    Category::Download,
    &[Probe::tcp(First::In(0x30, 0x3f), thunder), Probe::udp(First::In(0x30, 0x3f), thunder)],
);

fn thunder(peek: &Peek<'_>) -> Match {
    let is_head = |bytes: &[u8]| matches!(bytes, [0x30..=0x3f, 0, 0, 0, ..]) && bytes.len() > 8;
    if !is_head(peek.bytes) {
        return Match::No;
    }
    let fits = peek.bytes.len() >= 12 && peek.le32(8) as usize == peek.bytes.len() - 12;
    let agrees = is_head(peek.other) || (is_head(peek.previous) && !peek.is_tcp);
    match (fits, agrees) {
        (true, true) => Match::Yes(90),
        (true, false) => Match::Yes(75),
        (false, true) if peek.nth >= 2 => Match::Yes(70),
        (false, _) => Match::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn headers_are_recognised() {
        assert_eq!(confidence(&KONTIKI, &datagram(&[2, 1, 1, 0])), 90);
        let mut pps = vec![1_u8; 40];
        pps[..15].copy_from_slice(&[36, 0, 0x43, 7, 7, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(confidence(&PPSTREAM, &datagram(&pps)), 90);
        let mut sop = vec![9_u8; 52];
        sop[..15].copy_from_slice(&[0xff, 0xff, 1, 7, 7, 7, 7, 7, 2, 0xff, 0, 0x2c, 0, 0, 0]);
        assert_eq!(confidence(&SOPCAST, &datagram(&sop)), 88);
        assert_eq!(confidence(&SOPCAST, &datagram(&sop[..51])), 0);
        let tvu = [&[0, 24][..], b"12345678\x01", &[0; 13]].concat();
        assert_eq!(confidence(&TVU_PLAYER, &stream(&tvu)), 95);
        let thunder = [0x36, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0x44, 0];
        assert_eq!(confidence(&THUNDER, &datagram(&thunder)), 75);
        assert_eq!(confidence(&THUNDER, &Peek { other: &thunder, ..datagram(&thunder) }), 90);
    }
}
