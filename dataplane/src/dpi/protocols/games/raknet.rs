//! Is this `RakNet`, the transport of Minecraft's Bedrock edition, Roblox and many mobile games?
//!
//! Messages outside a connection carry 16 bytes of magic; inside a connection frames tell their lengths.

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// `RakNet`.
pub(super) static RAKNET: Protocol = Protocol::named(
    "raknet",
    Category::Game,
    &[
        Probe::udp(First::In(0x01, 0x1c), offline),
        Probe::udp(First::Any, padded),
        Probe::udp(First::In(0x80, 0x8f), frames),
        Probe::udp(First::Of(&[0xa0, 0xc0]), acknowledgements),
    ],
);

const MAGIC: [u8; 16] =
    [0x00, 0xff, 0xff, 0x00, 0xfe, 0xfe, 0xfe, 0xfe, 0xfd, 0xfd, 0xfd, 0xfd, 0x12, 0x34, 0x56, 0x78];

/// Pings, pongs and the opening of connections: the magic stands where the kind of message has it.
fn offline(peek: &Peek<'_>) -> Match {
    let at = match peek.bytes.first() {
        Some(0x01 | 0x02) => 9,
        Some(0x05..=0x08) => 1,
        Some(0x1c) => 17,
        Some(0x11 | 0x12 | 0x14 | 0x17 | 0x19 | 0x1a) => 1,
        _ => return Match::No,
    };
    let found = [at, at + 1].into_iter().any(|at| peek.bytes.get(at..at + 16) == Some(&MAGIC));
    Match::of(found, 98)
}

/// The first request fills the path's MTU; games that encrypt put the magic behind a prefix of their own.
fn padded(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 1_200 {
        return Match::No;
    }
    let found = [9, 17, 32].into_iter().any(|at| peek.bytes.get(at..at + 16) == Some(&MAGIC));
    Match::of(found, 92)
}

/// A set of frames: its number (3, little-endian), then frames of flags, length in bits (2) and what the reliability asks.
fn frames(peek: &Peek<'_>) -> Match {
    const FRAMES_MAX: usize = 64;
    let mut rest = peek.bytes.get(4..).unwrap_or_default();
    let mut count = 0;
    while let [flags, high, low, after @ ..] = rest {
        let bits = usize::from(u16::from_be_bytes([*high, *low]));
        if flags & 0x0f != 0 || bits == 0 || bits % 8 != 0 || count >= FRAMES_MAX {
            return Match::No;
        }
        let reliability = flags >> 5;
        // Reliable frames have a number, sequenced ones an index, ordered ones an index and a channel; parts have ten more.
        let extra = match reliability {
            2 => 3,
            1 => 3 + 4,
            3 | 7 => 3 + 4,
            4 => 3 + 3 + 4,
            _ => 0,
        } + if flags & 0x10 == 0 { 0 } else { 10 };
        let Some(after) = after.get(extra + bits / 8..) else { return Match::No };
        rest = after;
        count += 1;
    }
    if count == 0 || !rest.is_empty() {
        return Match::No;
    }
    // The first numbers of a connection are small; later ones count up.
    let number = peek.le32(0) >> 8;
    let before = peek.previous.first_chunk::<4>().map(|head| u32::from_le_bytes(*head) >> 8);
    let follows = before.is_some_and(|before| number.wrapping_sub(before) < 16 && number > before);
    if number < 64 || follows { Match::Yes(82) } else { Match::More }
}

/// Records of numbers (or of ranges of them) that arrived, or did not.
fn acknowledgements(peek: &Peek<'_>) -> Match {
    const RECORDS_MAX: u16 = 256;
    let (mut at, records) = (3, peek.be16(1));
    if records == 0 || records > RECORDS_MAX {
        return Match::No;
    }
    for _ in 0..records {
        at += match peek.bytes.get(at) {
            Some(0) => 7,
            Some(1) => 4,
            _ => return Match::No,
        };
    }
    Match::of(at == peek.bytes.len(), 75)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram};

    #[test]
    fn opening_and_frames_are_recognised() {
        let mut request = vec![0; 1_464];
        request[0] = 5;
        request[1..17].copy_from_slice(&MAGIC);
        assert_eq!(confidence(&RAKNET, &datagram(&request)), 98);
        let mut prefixed = vec![0x7b; 1_300];
        prefixed[32..48].copy_from_slice(&MAGIC);
        assert_eq!(confidence(&RAKNET, &datagram(&prefixed)), 92);
        // One reliable ordered frame of two bytes.
        let set = [0x84, 1, 0, 0, 0x60, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb];
        assert_eq!(confidence(&RAKNET, &datagram(&set)), 82);
        assert_eq!(confidence(&RAKNET, &datagram(&set[..15])), 0);
        assert_eq!(confidence(&RAKNET, &datagram(&[0xc0, 0, 1, 1, 5, 0, 0])), 75);
        assert_eq!(confidence(&RAKNET, &datagram(&[0xc0, 0, 2, 1, 5, 0, 0])), 0);
    }
}
