//! Which messenger is this? Those that speak a protocol of their own.

use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// `WhatsApp`: `WA` (or `ED`, the edge routing before it), two numbers of version and dictionary, then frames of Noise
/// with a length of three bytes.
pub(super) static WHATSAPP: Protocol =
    Protocol::named("whatsapp", Category::Chat, &[Probe::tcp(First::Of(b"WE"), whatsapp)]);

fn whatsapp(peek: &Peek<'_>) -> Match {
    match *peek.bytes {
        [b'W'] | [b'E'] | [b'W', b'A'] | [b'E', b'D'] | [b'E', b'D', 0] | [b'E', b'D', 0, 1] => Match::More,
        [b'W', b'A', 1..=8] => Match::More,
        // The first frame is a handshake: far below 64 KiB.
        [b'W', b'A', 1..=8, 0..=8] | [b'W', b'A', 1..=8, 0..=8, 0, ..] => Match::Yes(95),
        [b'E', b'D', 0, 1, 0, ..] => Match::Yes(95),
        _ => Match::No,
    }
}

/// OICQ, Tencent QQ's own: `02`, version (2), command (2), number (2), user (4), ... `03`.
pub(super) static OICQ: Protocol = Protocol::named(
    "oicq",
    Category::Chat,
    &[Probe::udp(First::Of(&[2]), oicq_datagram), Probe::tcp(First::In(0, 5), oicq_stream)],
);

fn oicq_datagram(peek: &Peek<'_>) -> Match {
    let is = is_oicq(peek.bytes);
    Match::of(is, if peek.has_port(8_000) { 93 } else { 82 })
}

/// Over TCP a length (2) that counts itself stands before.
fn oicq_stream(peek: &Peek<'_>) -> Match {
    let is = usize::from(peek.be16(0)) == peek.bytes.len() && peek.bytes.get(2..).is_some_and(is_oicq);
    Match::of(is, 90)
}

fn is_oicq(bytes: &[u8]) -> bool {
    let [2, version, _, command_high, command_low, _, _, ..] = *bytes else { return false };
    let command = u16::from_be_bytes([command_high, command_low]);
    let is_known = matches!(command, 0x0001..=0x00b5 | 0x0391..=0x03f7 | 0x0818..=0x0839);
    bytes.len() >= 14 && bytes.last() == Some(&3) && (0x01..=0x3f).contains(&version) && is_known
}

/// `WeChat`: `mmtls`, which looks like TLS of version `f1 03`, and the long link below it.
pub(super) static WECHAT: Protocol = Protocol::named(
    "wechat",
    Category::Chat,
    &[Probe::tcp(First::In(0x15, 0x19), mmtls), Probe::tcp(First::Of(&[0]), long_link)],
);

fn mmtls(peek: &Peek<'_>) -> Match {
    match *peek.bytes {
        [_] | [_, 0xf1] => Match::More,
        [_, 0xf1, 0x03 | 0x04, ..] => Match::Yes(93),
        _ => Match::No,
    }
}

/// Length (4), of the header (2): 16, version (2): 1, command (4), number (4).
fn long_link(peek: &Peek<'_>) -> Match {
    let is_header = peek.bytes.get(4..8) == Some(&[0, 0x10, 0, 1]);
    let fits = peek.be32(0) as usize == peek.bytes.len();
    Match::of(is_header && fits && peek.be32(8) < 0x1_0000, 88)
}

/// `DingTalk`: a handshake of numbered values, the first of them `dk`.
pub(super) static DINGTALK: Protocol =
    Protocol::named("dingtalk", Category::Chat, &[Probe::tcp(First::Of(&[0x10]), dingtalk)]);

fn dingtalk(peek: &Peek<'_>) -> Match {
    // `87 80`, version 1, then tag 1 with 2 bytes, then `dk` below tag 2, then a key of 32 bytes below tag 3.
    Match::of(peek.bytes.get(2..16) == Some(b"\x87\x80\x01\0\x01\0\x02\0\x02dk\x03\0\x20"), 97)
}

/// `KakaoTalk`'s LOCO: number (4), status (2), method (11), kind (1), length (4), all little-endian; or the exchange of
/// keys before it.
pub(super) static KAKAOTALK: Protocol =
    Protocol::named("kakaotalk", Category::Chat, &[Probe::tcp(First::Any, kakaotalk)]);

fn kakaotalk(peek: &Peek<'_>) -> Match {
    // A key of 256 bytes, RSA (12 to 16), AES (2 or 3).
    let is_exchange = peek.bytes.len() >= 268
        && peek.le32(0) == 256
        && (12..=16).contains(&peek.le32(4))
        && matches!(peek.le32(8), 2 | 3);
    let is_method = peek.bytes.get(6..17).is_some_and(|method| {
        [&b"CHECKIN"[..], b"GETCONF", b"LOGINLIST", b"BOOKING", b"PING"]
            .iter()
            .any(|known| method.strip_prefix(*known).is_some_and(|rest| rest.iter().all(|byte| *byte == 0)))
    });
    let is_request = is_method && peek.le16(4) == 0 && peek.le32(18) < 0x1_0000;
    Match::of(is_exchange || is_request, 92)
}

/// Viber: datagrams of a connection (2) and a kind (2, little-endian); over TCP messages that begin with their length.
pub(super) static VIBER: Protocol = Protocol::named(
    "viber",
    Category::Voip,
    &[Probe::udp(First::Any, viber_datagram), Probe::tcp(First::Any, viber_stream)],
);

fn viber_datagram(peek: &Peek<'_>) -> Match {
    if !is_viber_datagram(peek.bytes) {
        return Match::No;
    }
    let begins_same = |other: &[u8]| other.len() > 4 && other.get(..2) == peek.bytes.get(..2);
    let is_second = (begins_same(peek.previous) && is_viber_head(peek.previous))
        || (begins_same(peek.other) && is_viber_head(peek.other));
    let port = [7_985, 7_987, 5_242, 5_243, 4_244, 9_785].into_iter().any(|port| peek.has_port(port));
    Match::Yes(match (is_second, port) {
        (true, _) => 90,
        (false, true) => 84,
        (false, false) => 55,
    })
}

/// Kinds whose length is fixed, and the opening one.
fn is_viber_datagram(bytes: &[u8]) -> bool {
    match (bytes.get(2..4), bytes.len()) {
        (Some([0x01, 0]), 40..) => bytes.get(4..6) == Some(&[5, 0]),
        (Some([0x03, 0]), 12)
        | (Some([0x19, 0]), 34)
        | (Some([0x09 | 0x1a, 0]), 20)
        | (Some([0x0c, 0]), 76)
        | (Some([0x11, 0]), 18) => true,
        _ => false,
    }
}

fn is_viber_head(bytes: &[u8]) -> bool {
    matches!(bytes.get(2..4), Some([0x01 | 0x03 | 0x09 | 0x0c | 0x11 | 0x19 | 0x1a, 0]))
}

fn viber_stream(peek: &Peek<'_>) -> Match {
    let fits = peek.bytes.len() > 11 && usize::from(peek.le16(0)) <= peek.bytes.len();
    let is_hello = peek.bytes.get(6..8) == Some(&[0xfc, 0xff]) && peek.bytes.get(9) == Some(&0x80);
    let is_answer =
        peek.bytes.get(4..6) == Some(&[0x03, 0x80]) && usize::from(peek.le16(0)) == peek.bytes.len();
    match (fits, is_hello, is_answer) {
        (true, true, _) => Match::Yes(93),
        (true, false, true) => Match::Yes(70),
        _ => Match::No,
    }
}

/// Calls of LINE: `b6`, kind (1), length of the rest (2).
pub(super) static LINE_CALL: Protocol =
    Protocol::named("linecall", Category::Voip, &[Probe::udp(First::Of(&[0xb6]), line_call)]);

fn line_call(peek: &Peek<'_>) -> Match {
    let is = match peek.bytes.get(1) {
        Some(0x07 | 0x09 | 0x18) => usize::from(peek.be16(2)) + 4 == peek.bytes.len(),
        Some(0x13) => peek.be16(2) == 6 && peek.bytes.len() == 46,
        _ => false,
    };
    Match::of(is, 85)
}

/// VHUA, a telephone of China.
pub(super) static VHUA: Protocol =
    Protocol::named("vhua", Category::Voip, &[Probe::udp(First::Of(&[5]), vhua)]);

fn vhua(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(&[0x05, 0x14, 0x3a, 0x05, 0x08, 0xf8, 0xa1, 0xb1, 0x03]), 95)
}

/// IMO: short keep-alives beside encrypted media.
pub(super) static IMO: Protocol = Protocol::named("imo", Category::Chat, &[Probe::udp(First::Any, imo)]);

fn imo(peek: &Peek<'_>) -> Match {
    let keep_alive = peek.bytes.strip_prefix(&[0]).unwrap_or(peek.bytes);
    if keep_alive.len() == 10
        && let [9, 2 | 3, _, _, rest @ ..] = keep_alive
        // A number below 256, then nothing.
        && rest.get(1..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
    {
        return Match::Yes(86);
    }
    if peek.bytes.len() == 1_099 && peek.bytes.starts_with(&[0x88, 0x49, 0x1a, 0]) {
        return Match::Yes(90);
    }
    if peek.nth < 6 && !peek.is_multicast { Match::More } else { Match::No }
}

/// Threema: a client hello of 48 bytes (key and cookie), answered with 80 (cookie and a box), all of it random.
pub(super) static THREEMA: Protocol = Protocol::named(
    "threema",
    Category::Chat,
    &[Probe { over: Over::Tcp, first: First::Any, look: threema }],
);

fn threema(peek: &Peek<'_>) -> Match {
    if !(peek.has_port(5_222) || peek.has_port(443)) || peek.nth > 0 {
        return Match::No;
    }
    let is_text = peek.bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    match peek.bytes.len() {
        48 if !is_text && peek.has_port(5_222) => Match::Yes(50),
        80 if !is_text && peek.other.len() == 48 && peek.has_port(5_222) => Match::Yes(86),
        _ => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn greetings_are_recognised() {
        assert_eq!(confidence(&WHATSAPP, &stream(b"WA\x06\x03\0\x01\x24")), 95);
        assert_eq!(confidence(&WHATSAPP, &stream(b"ED\0\x01\0\0\x04\x08")), 95);
        assert_eq!(confidence(&WHATSAPP, &stream(b"WAIT now")), 0);
        let login = [2, 0x3b, 0x0b, 0, 1, 0, 0x22, 0x56, 0x1f, 0x0c, 0x7b, 0, 0, 0, 0, 3];
        assert_eq!(confidence(&OICQ, &datagram(&login)), 82);
        assert_eq!(confidence(&OICQ, &datagram(&login[..15])), 0);
        assert_eq!(confidence(&WECHAT, &stream(&[0x16, 0xf1, 0x03, 0, 0xa0])), 93);
        assert_eq!(confidence(&WECHAT, &stream(&[0x16, 0x03, 0x01, 0, 0xa0])), 0);
        let link = [0, 0, 0, 16, 0, 16, 0, 1, 0, 0, 0, 6, 0, 0, 0, 1];
        assert_eq!(confidence(&WECHAT, &stream(&link)), 88);
        assert_eq!(
            confidence(&DINGTALK, &stream(b"\x10\x64\x87\x80\x01\0\x01\0\x02\0\x02dk\x03\0\x20..")),
            97
        );
        let checkin = b"\x01\0\0\0\0\0CHECKIN\0\0\0\0\0\x20\0\0\0";
        assert_eq!(confidence(&KAKAOTALK, &stream(checkin)), 92);
        assert_eq!(confidence(&VHUA, &datagram(&[0x05, 0x14, 0x3a, 0x05, 0x08, 0xf8, 0xa1, 0xb1, 0x03])), 95);
        assert_eq!(confidence(&LINE_CALL, &datagram(&[0xb6, 7, 0, 4, 1, 2, 3, 4])), 85);
        assert_eq!(confidence(&IMO, &datagram(&[9, 2, 0xdc, 0x9a, 2, 0, 0, 0, 0, 0])), 86);
    }

    #[test]
    fn viber_needs_two_datagrams_or_its_port() {
        let mut first = [0; 60];
        first[..6].copy_from_slice(&[0xed, 0xf6, 1, 0, 5, 0]);
        let mut answer = [0; 20];
        answer[..4].copy_from_slice(&[0xed, 0xf6, 9, 0]);
        assert_eq!(confidence(&VIBER, &datagram(&first)), 55);
        assert_eq!(confidence(&VIBER, &Peek { previous: &first, nth: 1, ..datagram(&answer) }), 90);
        assert_eq!(confidence(&VIBER, &Peek { ports: (4, 7_985), ..datagram(&first) }), 84);
        assert_eq!(confidence(&VIBER, &stream(b"\x0c\0\0\0\0\0\xfc\xff\x03\x80\0\0")), 93);
    }

    #[test]
    fn threema_is_known_by_its_answer() {
        let (hello, answer) = ([0xf3; 48], [0x8c; 80]);
        let peek = Peek { ports: (50_000, 5_222), ..stream(&hello) };
        assert_eq!(confidence(&THREEMA, &peek), 50);
        assert_eq!(confidence(&THREEMA, &Peek { bytes: &answer, other: &hello, ..peek }), 86);
        assert_eq!(confidence(&THREEMA, &Peek { bytes: &answer, ports: (1, 2), other: &hello, ..peek }), 0);
    }
}
