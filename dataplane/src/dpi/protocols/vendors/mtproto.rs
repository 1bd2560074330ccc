//! Is this Telegram? `MTProto` over its plain transports, and the reflectors of its calls.
//!
//! Sources: core.telegram.org/mtproto/mtproto-transports and core.telegram.org/mtproto/auth_key. The obfuscated
//! transport looks random from its first byte; it is known by address only.

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// Telegram.
pub(super) static TELEGRAM: Protocol = Protocol::named(
    "telegram",
    Category::Chat,
    &[
        Probe::tcp(First::Of(&[0xef]), abridged),
        Probe::tcp(First::Of(&[0xee, 0xdd]), intermediate),
        Probe::tcp(First::In(20, 200), full),
        Probe::udp(First::Any, reflector),
    ],
);

/// A message that begins the exchange of keys: no key yet (8 zeros), time (8), length (4), `req_pq` or `req_pq_multi`.
fn asks_for_key(message: &[u8]) -> bool {
    message.starts_with(&[0; 8])
        && matches!(message.get(20..24), Some([0x78, 0x97, 0x46, 0x60] | [0xf1, 0x8e, 0x7e, 0xbe]))
}

/// `ef`, then each message after its length in words (1 byte, or `7f` and 3).
fn abridged(peek: &Peek<'_>) -> Match {
    let (len, header) = match peek.bytes.get(1) {
        None => return Match::More,
        Some(0x7f) => (4 * (peek.le32(1) >> 8) as usize, 5),
        Some(words @ 1..=0x7e) => (4 * usize::from(*words), 2),
        Some(_) => return Match::No,
    };
    let Some(message) = peek.bytes.get(header..) else { return Match::More };
    if asks_for_key(message) {
        return Match::Yes(97);
    }
    // Without the clear header there are lengths to believe; Telegram's own ports make it more.
    let port = [80, 443, 5_222, 25].into_iter().any(|port| peek.has_port(port));
    match words_fit(peek.bytes.get(1..).unwrap_or_default()) {
        _ if len < 24 => Match::No,
        Some(true) => Match::Yes(if port { 90 } else { 60 }),
        Some(false) if peek.bytes.len() < ABRIDGED_BYTES_MAX => Match::More,
        _ => Match::No,
    }
}

/// Bytes within which a message of the abridged transport ends where its segment does.
const ABRIDGED_BYTES_MAX: usize = 4_096;

/// Whether messages behind their lengths end where the bytes do (false: the last one is cut); `None` where one has a
/// length that none has: an acknowledgement has 4 bytes, whatever is encrypted 24 or more.
fn words_fit(mut bytes: &[u8]) -> Option<bool> {
    while let Some((words, rest)) = bytes.split_first() {
        let (len, rest) = match (words, rest) {
            (0x7f, [low, middle, high, rest @ ..]) => (u32::from_le_bytes([*low, *middle, *high, 0]), rest),
            (0x7f, _) => return Some(false),
            (1..=0x7e, _) => (u32::from(*words), rest),
            _ => return None,
        };
        let len = 4 * len as usize;
        if len != 4 && !(24..0x10_0000).contains(&len) {
            return None;
        }
        let Some(behind) = rest.get(len..) else { return Some(false) };
        bytes = behind;
    }
    Some(true)
}

/// `eeeeeeee` (or `dddddddd` where messages are padded), then each message after its length (4, little-endian).
fn intermediate(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 8 {
        return if peek.bytes.iter().take(4).all(|byte| *byte == peek.bytes[0]) {
            Match::More
        } else {
            Match::No
        };
    }
    let is_start = matches!(peek.be32(0), 0xeeee_eeee | 0xdddd_dddd);
    Match::of(is_start && (24..0x10_0000).contains(&peek.le32(4)), 94)
}

/// Length (4), number (4) that counts from 0, message, checksum (4): only the exchange of keys is telling.
fn full(peek: &Peek<'_>) -> Match {
    let is = peek.le32(4) == 0 && peek.le32(0) < 512 && peek.bytes.get(8..).is_some_and(asks_for_key);
    Match::of(is, 96)
}

/// Datagrams to and from a reflector: the call's tag (16), then 12 bytes of ones where they speak to the reflector.
fn reflector(peek: &Peek<'_>) -> Match {
    let Some((tag, rest)) = peek.bytes.split_first_chunk::<16>() else { return Match::No };
    let is = rest.len() >= 16 && rest.starts_with(&[0xff; 12]) && tag.iter().any(|byte| *byte != 0xff);
    Match::of(is, 96)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn transports_and_reflectors_are_recognised() {
        let mut message = vec![0; 40];
        message[20..24].copy_from_slice(&[0xf1, 0x8e, 0x7e, 0xbe]);
        let with = |head: &[u8]| [head, &message].concat();
        assert_eq!(confidence(&TELEGRAM, &stream(&with(&[0xef, 10]))), 97);
        assert_eq!(confidence(&TELEGRAM, &stream(&with(&[0xee, 0xee, 0xee, 0xee, 40, 0, 0, 0]))), 94);
        assert_eq!(confidence(&TELEGRAM, &stream(&with(&[52, 0, 0, 0, 0, 0, 0, 0]))), 96);
        assert_eq!(confidence(&TELEGRAM, &stream(b"\xef\x00\x01")), 0);
        let ping = [&[7; 16][..], &[0xff; 12], &[0xfe, 0xff, 0xff, 0xff], &[1; 8]].concat();
        assert_eq!(confidence(&TELEGRAM, &datagram(&ping)), 96);
        assert_eq!(confidence(&TELEGRAM, &datagram(&[0xff; 40])), 0);
    }
}
