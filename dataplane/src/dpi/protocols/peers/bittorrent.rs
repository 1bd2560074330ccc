//! Is this `BitTorrent`, and who shares what? Peers over TCP and uTP, trackers over UDP, and the search on the local network.
//!
//! Sources: BEP 3 (peers), BEP 10 (extensions), BEP 14 (local search), BEP 15 (UDP trackers), BEP 29 (uTP).
//!
//! Told as `bittorrent`: one record of two peers, one of each question to a tracker, one of each local search.

mod peer;
mod tracker;
mod transport;

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};
use crate::flow::Direction;
use crate::parse::Protocol as Transport;

/// `BitTorrent`, all but its DHT.
pub(super) static BITTORRENT: Protocol = Protocol {
    name: "bittorrent",
    eve: None,
    category: Category::Download,
    probes: &[
        Probe::tcp(First::Of(&[0x13]), handshake),
        Probe::udp(First::Of(&[0x00]), tracker),
        Probe::udp(First::Any, announce),
        Probe::udp(First::Of(b"B"), local_search),
        Probe::udp(First::Of(&[0x01, 0x11, 0x21, 0x31, 0x41]), micro_transport),
    ],
    parser: Some(|| Box::<Session>::default()),
};

const HANDSHAKE: &[u8] = b"\x13BitTorrent protocol";

/// Searches of a flow that are told.
const SEARCHES_MAX: u8 = 16;

/// One flow: over UDP each datagram says which of three it is.
#[derive(Default)]
struct Session {
    peers: peer::Peers,
    transport: transport::Transport,
    tracker: tracker::Tracker,
    searches: u8,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol != Transport::UDP {
            return self.peers.data(way, bytes, cx);
        }
        let is_tracker =
            self.tracker.is_one() || bytes.starts_with(tracker::MAGIC) || tracker::is_announce(bytes);
        if bytes.starts_with(b"BT-SEARCH") {
            return self.searched(way, bytes, cx);
        }
        if is_tracker {
            return self.tracker.datagram(way, bytes, cx);
        }
        match self.transport.datagram(way, bytes, &mut self.peers, cx) {
            Step::Consumed(_) => Step::Consumed(bytes.len()),
            end => end,
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.tracker.end(cx);
        self.peers.tell(Direction::Forward, cx);
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Session {
    /// BEP 14: a head as of HTTP, with a port and one or more hashes.
    fn searched(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if !bytes.ends_with(b"\r\n\r\n") {
            cx.anomaly("truncated_message");
        }
        let lines = || bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let field = |line: &'_ [u8], name: &[u8]| {
            crate::dpi::text::starts_with_word(line, name).then_some(name.len())
        };
        cx.tell_with("bittorrent", way, |fields| {
            fields.text("transport", "local_search");
            for line in lines().take(16) {
                for (name, key) in [(&b"Infohash:"[..], "info_hash"), (b"Port:", "port")] {
                    if let Some(value) = field(line, name).and_then(|len| line.get(len..)) {
                        let value = value.trim_ascii();
                        match crate::dpi::text::decimal(value) {
                            Some(port) if key == "port" => fields.number(key, port),
                            _ => fields.text(key, value.get(..64).unwrap_or(value).to_ascii_lowercase()),
                        }
                    }
                }
            }
        });
        self.searches += 1;
        if self.searches >= SEARCHES_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }
}

fn handshake(peek: &Peek<'_>) -> Match {
    let len = peek.bytes.len().min(HANDSHAKE.len());
    match (peek.bytes[..len] == HANDSHAKE[..len], len == HANDSHAKE.len()) {
        (true, true) => Match::Yes(99),
        (true, false) => Match::More,
        (false, _) => Match::No,
    }
}

/// The request to connect: a magic of 8 bytes, action 0, transaction (4).
fn tracker(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.len() >= 16 && peek.bytes.starts_with(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80]), 98)
}

/// One of a client that connected from another port, which BEP 15 lets it do for a minute.
fn announce(peek: &Peek<'_>) -> Match {
    Match::sure(tracker::is_announce(peek.bytes))
}

fn local_search(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(b"BT-SEARCH * HTTP/1.1"), 98)
}

/// Kind and version 1 (4 bits each), first extension, connection (2), time (4), difference (4), window (4), number (2),
/// acknowledged (2); extensions; data.
fn micro_transport(peek: &Peek<'_>) -> Match {
    const HEADER: usize = 20;
    const WINDOW_MAX: u32 = 16 << 20;
    let (Some([kind, extension, ..]), Some(rest)) = (peek.bytes.first_chunk::<2>(), peek.bytes.get(HEADER..))
    else {
        return Match::No;
    };
    if *extension > transport::EXTENSION_MAX || peek.be32(12) > WINDOW_MAX || peek.is_multicast {
        return Match::No;
    }
    let rest = if *extension == 0 { Some(rest) } else { transport::behind_extensions(rest) };
    let Some(rest) = rest else { return Match::No };
    let (kind, connection) = (kind >> 4, peek.be16(2));
    if kind == 0 && rest.starts_with(HANDSHAKE) {
        return Match::Yes(99);
    }
    // Only data has data, apart from the reset that some clients pad.
    if (kind == 0) == rest.is_empty() {
        return Match::No;
    }
    let [difference, window] = [8, 12].map(|at| peek.be32(at));
    let (number, acknowledged) = (peek.be16(16), peek.be16(18));
    if kind == 4 {
        let sureness = match (number, difference) {
            (1, 0) => 90,
            (1, _) => 70,
            // libtorrent begins with any number; the answer makes it sure.
            (_, 0) if *extension == 0 => 75,
            _ => 0,
        };
        return Match::of(sureness > 0 && acknowledged == 0 && connection != 0, sureness);
    }
    let alike = |other: &[u8]| {
        let Some([first, second, high, low]) = other.first_chunk::<4>() else { return false };
        let theirs = u16::from_be_bytes([*high, *low]);
        first & 0x0f == 1
            && first >> 4 <= 4
            && *second <= transport::EXTENSION_MAX
            && theirs.abs_diff(connection) <= 1
    };
    let is_known = alike(peek.previous) || alike(peek.other);
    let port = (6_881..=6_999).any(|port| peek.has_port(port));
    match (is_known, port) {
        (true, _) => Match::Yes(88),
        (false, true) if window > 0 => Match::Yes(82),
        (false, _) if window >= 1_024 && peek.be32(4) > 0xffff && connection > 0xff => Match::Yes(58),
        _ => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn peers_trackers_and_searches_are_recognised() {
        assert_eq!(confidence(&BITTORRENT, &stream(b"\x13BitTorrent protocol\0\0\0\0")), 99);
        assert_eq!(handshake(&stream(b"\x13BitT")), Match::More);
        assert_eq!(
            confidence(
                &BITTORRENT,
                &datagram(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4])
            ),
            98
        );
        assert_eq!(confidence(&BITTORRENT, &datagram(b"BT-SEARCH * HTTP/1.1\r\n")), 98);
        let syn = [0x41, 0, 0x5c, 0x12, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0];
        assert_eq!(confidence(&BITTORRENT, &datagram(&syn)), 90);
        let syn_of_libtorrent = [0x41, 0, 0x5c, 0x12, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0, 0, 0];
        assert_eq!(confidence(&BITTORRENT, &datagram(&syn_of_libtorrent)), 75);
        assert_eq!(confidence(&BITTORRENT, &datagram(&[&[1][..], &[7; 19], HANDSHAKE].concat())), 0);
        let greeting = [&[1, 0][..], &[7; 10], &[0, 0x10, 0, 0, 7, 7, 7, 7], HANDSHAKE].concat();
        assert_eq!(confidence(&BITTORRENT, &datagram(&greeting)), 99);
        let state = [0x21, 0, 0x5c, 0x11, 1, 2, 3, 4, 0, 0, 1, 0, 0, 0x10, 0, 0, 0, 1, 0, 1];
        assert_eq!(confidence(&BITTORRENT, &Peek { other: &syn, ..datagram(&state) }), 88);
        assert_eq!(confidence(&BITTORRENT, &datagram(&state[..19])), 0);
    }
}
