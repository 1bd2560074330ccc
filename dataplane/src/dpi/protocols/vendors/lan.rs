//! Which product calls its peers on the local network? Dropbox, Spotify, TiVo, Sonos.

use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// Dropbox' LAN sync tells neighbours of itself in JSON, on UDP port 17500.
pub(super) static DROPBOX: Protocol =
    Protocol::named("dropbox", Category::Cloud, &[Probe::udp(First::Of(b"{"), dropbox)]);

fn dropbox(peek: &Peek<'_>) -> Match {
    if peek.contains(b"\"host_int\"") && peek.contains(b"\"version\"") {
        return Match::Yes(97);
    }
    // A beacon cut short still stands on both ports.
    Match::of(peek.bytes.starts_with(b"{\"") && peek.ports == (17_500, 17_500), 85)
}

/// Spotify: the beacon of players in the same network, and the access point protocol over TCP.
pub(super) static SPOTIFY: Protocol = Protocol::named(
    "spotify",
    Category::Music,
    &[Probe::udp(First::Of(b"S"), spotify_beacon), Probe::tcp(First::Of(&[0]), spotify_access_point)],
);

fn spotify_beacon(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(b"SpotUdp"), 98)
}

/// The client's hello: `00 04`, the message's length (4), then a protobuf whose first field is the build (`52 0e 50`).
fn spotify_access_point(peek: &Peek<'_>) -> Match {
    let known = [0, 4, 0, 0];
    if peek.bytes.len() < 9 {
        let len = peek.bytes.len().min(known.len());
        return if peek.bytes[..len] == known[..len] { Match::More } else { Match::No };
    }
    Match::of(peek.bytes.starts_with(&known) && peek.bytes.get(6..9) == Some(&[0x52, 0x0e, 0x50]), 93)
}

/// TiVo recorders: lines of `key=value`, the first of them `tivoconnect=1`.
pub(super) static TIVO_CONNECT: Protocol = Protocol::named(
    "tivoconnect",
    Category::Video,
    &[Probe { over: Over::TcpOrUdp, first: First::Of(b"tT"), look: tivo_connect }],
);

fn tivo_connect(peek: &Peek<'_>) -> Match {
    let key = b"tivoconnect=";
    let len = peek.bytes.len().min(key.len());
    if !peek.bytes[..len].eq_ignore_ascii_case(&key[..len]) {
        return Match::No;
    }
    if len == key.len() { Match::Yes(97) } else { Match::More }
}

/// Sonos players keep time and send audio to each other; the ports belong to the protocol.
pub(super) static SONOS: Protocol =
    Protocol::named("sonos", Category::Music, &[Probe::udp(First::Any, sonos)]);

fn sonos(peek: &Peek<'_>) -> Match {
    if peek.is_multicast {
        return Match::No;
    }
    // Header: flags, sequence number (2), kind of message (1), then 32 bits that are zero in a request for the time.
    if peek.to_port() == 7_080 && peek.bytes.first() == Some(&0) {
        let is_time = peek.bytes.len() == 9 && peek.bytes.get(4..8) == Some(&[0; 4]);
        let is_audio = (1_000..1_100).contains(&peek.bytes.len()) && peek.bytes.get(4..6) == Some(&[0; 2]);
        return Match::of(is_time || is_audio, 82);
    }
    Match::of(peek.has_port(12_301) && peek.bytes.len() == 48, 55)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn beacons_are_recognised_and_others_are_not() {
        let beacon =
            br#"{"version": [2, 0], "port": 17500, "host_int": 42, "displayname": "", "namespaces": []}"#;
        assert_eq!(confidence(&DROPBOX, &datagram(beacon)), 97);
        assert_eq!(confidence(&DROPBOX, &datagram(br#"{"id": 1}"#)), 0);
        assert_eq!(confidence(&SPOTIFY, &datagram(b"SpotUdp0\x01\x02")), 98);
        assert_eq!(confidence(&SPOTIFY, &stream(&[0, 4, 0, 0, 1, 2, 0x52, 0x0e, 0x50, 0])), 93);
        assert_eq!(spotify_access_point(&stream(&[0, 4])), Match::More);
        assert_eq!(spotify_access_point(&stream(&[0, 5])), Match::No);
        assert_eq!(confidence(&TIVO_CONNECT, &datagram(b"TiVoConnect=1\nswversion=1\n")), 97);
        assert_eq!(confidence(&TIVO_CONNECT, &stream(b"telnet")), 0);
        let time = [0, 0x13, 0x59, 0x84, 0, 0, 0, 0, 0xfc];
        assert_eq!(confidence(&SONOS, &Peek { ports: (4_000, 7_080), ..datagram(&time) }), 82);
        assert_eq!(confidence(&SONOS, &datagram(&time)), 0);
    }
}
