//! Which voice or video service is this? MPEG transport streams, TeamSpeak, Mumble, Discord, Zoom, Viber by
//! their headers.

use crate::dpi::Category;
use crate::dpi::{First, Match, Over, Peek, Probe, Protocol};

/// MPEG transport stream (ISO/IEC 13818-1) in datagrams.
pub static MPEG_TS: Protocol = Protocol::named(
    "mpeg_ts",
    Category::Media,
    &[Probe { over: Over::Udp, first: First::Of(&[0x47]), look: mpeg_ts }],
);
/// TeamSpeak 2 and 3.
pub static TEAMSPEAK: Protocol = Protocol::named(
    "teamspeak",
    Category::Voip,
    &[
        Probe { over: Over::Udp, first: First::Of(&[b'T', 0xf0, 0xf1, 0xf2, 0xf3, 0xf4]), look: teamspeak },
        Probe { over: Over::Udp, first: First::Of(&[1]), look: teamspeak_list },
        Probe { over: Over::Tcp, first: First::Of(b"T\xf0\xf1\xf2\xf3\xf4["), look: teamspeak },
    ],
);
/// Mumble's voice channel; its control is TLS.
pub static MUMBLE: Protocol = Protocol::named(
    "mumble",
    Category::Voip,
    &[Probe { over: Over::Udp, first: First::Of(&[0]), look: mumble }],
);
/// Discord's voice: discovery of the own address.
pub static DISCORD: Protocol = Protocol::named(
    "discord",
    Category::Collaborative,
    &[Probe { over: Over::Udp, first: First::Of(&[0, 1, 0x13]), look: discord }],
);
/// Zoom's media.
pub static ZOOM: Protocol = Protocol::named(
    "zoom",
    Category::Video,
    &[Probe { over: Over::Udp, first: First::In(1, 5), look: zoom }],
);

/// Who feeds a SHOUTcast server: after the password, which has no form, the server says what it takes.
pub static SHOUTCAST: Protocol = Protocol::named(
    "shoutcast",
    Category::Music,
    &[Probe { over: Over::Tcp, first: First::Of(b"O"), look: shoutcast }],
);
/// Music Player Daemon, which greets (mpd.readthedocs.io, "Protocol").
pub static MPD: Protocol =
    Protocol::named("mpd", Category::Music, &[Probe { over: Over::Tcp, first: First::Of(b"O"), look: mpd }]);

/// `OK2` and its capabilities (SHOUTcast 1, source protocol).
fn shoutcast(peek: &Peek<'_>) -> Match {
    const GREETING: &[u8] = b"OK2\r\nicy-caps:";
    if GREETING.len() > peek.bytes.len() && GREETING.starts_with(peek.bytes) {
        return Match::More;
    }
    Match::of(peek.bytes.starts_with(GREETING), 97)
}

/// `OK MPD`, then the protocol's version.
fn mpd(peek: &Peek<'_>) -> Match {
    const GREETING: &[u8] = b"OK MPD ";
    match peek.bytes.get(GREETING.len()) {
        Some(digit) => Match::of(peek.bytes.starts_with(GREETING) && digit.is_ascii_digit(), 97),
        None if GREETING.starts_with(peek.bytes) => Match::More,
        None => Match::No,
    }
}

/// Whole packets of 188 bytes, each with its synchronising byte.
fn mpeg_ts(peek: &Peek<'_>) -> Match {
    let packets = peek.bytes.chunks(188);
    let are_packets = !peek.bytes.is_empty() && peek.bytes.len().is_multiple_of(188);
    // The adaptation field control is never 0.
    let fit = are_packets && packets.clone().all(|packet| packet[0] == 0x47 && packet[3] & 0x30 != 0);
    Match::of(fit, if peek.bytes.len() > 188 { 97 } else { 75 })
}

fn teamspeak(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if peek.is_tcp {
        return Match::of(bytes.starts_with(b"TS3\n\r") || bytes.starts_with(b"[TS]\r\n"), 95);
    }
    // Version 3: the first packets are signed with this instead of a code. Version 2: class and type.
    let is_two =
        matches!(bytes, [0xf4, 0xbe, 3..=5, 0, ..] | [0xf0..=0xf3, 0xbe, _, 0, ..]) && bytes.len() >= 16;
    Match::of(bytes.starts_with(b"TS3INIT1") || is_two, 95)
}

/// The list of servers: version 1, a number, a kind; the question is four bytes, answers begin alike.
fn teamspeak_list(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(2_010) || peek.has_port(2_011);
    let fits = matches!(peek.bytes, [1, _, _, 1..=6, ..] | [1, _, _, _] | [1, _, _, _, 0]);
    Match::of(is_port && fits && peek.bytes.len() <= 256, 80)
}

/// Ping of a server list: four zeros and eight bytes; the answer has the version, users, most users, bandwidth.
fn mumble(peek: &Peek<'_>) -> Match {
    let is_question = peek.bytes.len() == 12 && peek.be32(0) == 0;
    let is_answer =
        peek.bytes.len() == 24 && peek.be16(0) == 1 && peek.be32(12) <= peek.be32(16) && peek.be32(16) > 0;
    match (is_question, is_answer) {
        (true, _) if peek.has_port(64_738) => Match::Yes(90),
        (_, true) if peek.other.len() == 12 || peek.has_port(64_738) => Match::Yes(90),
        _ => Match::No,
    }
}

/// Type 1 or 2, length 70, the source, an address in text, a port; or the keep-alive of clients.
fn discord(peek: &Peek<'_>) -> Match {
    let is_discovery = peek.bytes.len() == 74 && matches!(peek.be16(0), 1 | 2) && peek.be16(2) == 70;
    let is_keepalive = peek.bytes.len() == 8 && peek.bytes.starts_with(&[0x13, 0x37, 0xca, 0xfe]);
    Match::of(is_discovery || is_keepalive, 92)
}

/// The session's beginning on the port of Zoom's routers; encapsulated media, type 5.
fn zoom(peek: &Peek<'_>) -> Match {
    if !peek.has_port(8_801) && !(8_801..=8_810).contains(&peek.ports.1) {
        return Match::No;
    }
    let fits = match peek.bytes {
        [1 | 2, 0, 1 | 2, ..] => peek.bytes.len() >= 20,
        [3 | 4, 0, 0, 0, ..] => peek.bytes.len() >= 13,
        // SFU encapsulation, then media encapsulation of audio, video, screen or RTCP.
        [5, _, _, _, _, _, _, 0 | 4, 13 | 15 | 16 | 30 | 33..=35, ..] => peek.bytes.len() > 24,
        _ => false,
    };
    Match::of(fits, 92)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn music_servers_greet() {
        use crate::dpi::protocol::samples::told_apart;
        told_apart(&[
            ("shoutcast", shoutcast, b"OK2\r\nicy-caps:11\r\n\r\n"),
            ("mpd", mpd, b"OK MPD 0.23.5\n"),
        ]);
        assert_eq!(mpd(&crate::dpi::protocol::samples::stream(b"OK MP")), Match::More);
        assert_eq!(mpd(&crate::dpi::protocol::samples::stream(b"OK logged in\r\n")), Match::No);
    }

    #[test]
    fn each_is_known_and_no_beginning_of_it_panics() {
        let mut stream = [0_u8; 376];
        for at in [0, 188] {
            stream[at] = 0x47;
            stream[at + 3] = 0x10;
        }
        let mut discovery = [0_u8; 74];
        discovery[..4].copy_from_slice(&[0, 1, 0, 70]);
        type Case<'a> = (fn(&Peek<'_>) -> Match, &'a [u8], u16, bool);
        let cases: [Case<'_>; 5] = [
            (mpeg_ts, &stream, 1234, false),
            (teamspeak, b"TS3INIT1\0\x65", 9987, false),
            (mumble, b"\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08", 64_738, false),
            (discord, &discovery, 50_001, false),
            (zoom, b"\x03\0\0\0\x01\x76\x2a\x8d\x74\0\x5a\x0e\x3e", 8_801, false),
        ];
        for (look, bytes, port, is_tcp) in cases {
            assert!(matches!(looked(look, bytes, port, is_tcp), Match::Yes(80..)), "{:?}", &bytes[..8]);
            assert_eq!(look(&peek(b"GET / HTTP/1.1\r\n", 80, is_tcp)), Match::No);
        }
    }
}
