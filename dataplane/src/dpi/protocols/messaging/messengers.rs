//! Which messenger of older days is this? OSCAR (AIM, ICQ), MSN, Yahoo, Lotus Notes; and Xiaomi's push.

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};

/// AIM's and ICQ's protocol: frames (FLAP) that begin with an asterisk.
pub static OSCAR: Protocol = Protocol::named(
    "oscar",
    Category::Chat,
    &[Probe { over: Over::Tcp, first: First::Of(b"*"), look: looks_like_oscar }],
);

/// Microsoft's Messenger: lines of three letters, a number and words.
pub static MSNP: Protocol = Protocol::named(
    "msnp",
    Category::Chat,
    &[Probe { over: Over::Tcp, first: First::Of(b"VCU"), look: looks_like_msnp }],
);

/// Yahoo's messenger.
pub static YMSG: Protocol = Protocol {
    name: "yahoo",
    eve: Some("ymsg"),
    category: Category::Chat,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"Y"), look: looks_like_ymsg }],
    parser: None,
};

/// Notes' remote procedure calls to a Domino server.
pub static LOTUS_NOTES: Protocol = Protocol::named(
    "lotusnotes",
    Category::Collaborative,
    &[Probe { over: Over::Tcp, first: First::Any, look: looks_like_notes }],
);

/// The push channel of Xiaomi's handsets.
pub static XIAOMI: Protocol = Protocol::named(
    "xiaomi",
    Category::Web,
    &[Probe { over: Over::Tcp, first: First::Of(&[0xc2]), look: looks_like_xiaomi }],
);

fn looks_like_oscar(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 10 {
        return if peek.bytes.get(1).is_none_or(|channel| (1..=5).contains(channel)) {
            Match::More
        } else {
            Match::No
        };
    }
    let (channel, len) = (peek.be16(0) & 0xff, usize::from(peek.be16(4)));
    match channel {
        // Sign-on: version 1, and for a client what it authenticates with.
        1 => Match::of(len >= 4 && peek.be32(6) == 1, 95),
        // A SNAC: family, kind, flags, request.
        2 => {
            let fits = len >= 10 && peek.be16(6) <= 0x25 && peek.be16(6) > 0 && peek.be16(8) < 0x40;
            let is_whole = peek.bytes.len() == 6 + len || peek.bytes.get(6 + len) == Some(&b'*');
            Match::of(fits && is_whole, 82)
        }
        _ => Match::No,
    }
}

fn looks_like_msnp(peek: &Peek<'_>) -> Match {
    let head = peek.bytes.get(..64).unwrap_or(peek.bytes);
    if head.starts_with(b"VER ") {
        return match head.windows(5).any(|window| window == b" MSNP") {
            true => Match::Yes(96),
            false if head.len() < 16 => Match::More,
            false => Match::No,
        };
    }
    let is_login =
        head.starts_with(b"USR ") && head.windows(5).any(|window| window == b" TWN " || window == b" SSO ");
    Match::of(is_login, 92).or_more(may_become(head, &[b"VER ", b"USR "]))
}

/// Whether `head` may still become one of `openings`.
fn may_become(head: &[u8], openings: &[&[u8]]) -> bool {
    head.len() < 4 && openings.iter().any(|opening| opening.starts_with(head))
}

fn looks_like_ymsg(peek: &Peek<'_>) -> Match {
    let head = peek.bytes.get(..4).unwrap_or(peek.bytes);
    Match::of(head == b"YMSG", 95).or_more(may_become(head, &[b"YMSG"]))
}

fn looks_like_notes(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(6..14) {
        Some(head) => Match::of(head == [0, 0, 2, 0, 0, 0x40, 2, 0x0f] && peek.bytes.len() > 16, 95),
        None => Match::More,
    }
}

fn looks_like_xiaomi(peek: &Peek<'_>) -> Match {
    // Magic and version 5, length of the body, a command, and the checksum behind the body.
    match peek.bytes.get(..4) {
        Some([0xc2, 0xfe, 0, 4..=6]) => Match::of(peek.bytes.len() >= 12, 93),
        Some(_) => Match::No,
        None => Match::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::sure_of;

    #[test]
    fn each_is_known_by_its_opening_and_no_prefix_panics() {
        sure_of(&[
            (looks_like_oscar, b"*\x01\x12\x34\0\x04\0\0\0\x01", 95),
            (looks_like_msnp, b"VER 1 MSNP15 CVR0\r\n", 96),
            (looks_like_ymsg, b"YMSG\0\x10\0\0\0\0\0\x4c", 95),
            (looks_like_notes, b"\x52\0\0\0\x0a\0\0\0\x02\0\0\x40\x02\x0f\0\0\0\0", 95),
            (looks_like_xiaomi, b"\xc2\xfe\0\x05\0\0\0\x10\x08\0\x12\x04", 93),
        ]);
    }
}
