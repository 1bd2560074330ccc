//! Which peers share which torrent, and by which programs? (BEP 3, BEP 10, BEP 20)
//!
//! ```text
//! handshake  19, "BitTorrent protocol" | reserved (8) | hash of the torrent (20) | peer (20)
//! message    length (4) | kind (1) | ...          20: extended; of these 0 is a dictionary that introduces the peer
//! ```

use super::super::dht::Value;
use super::HANDSHAKE;
use crate::dpi::Fields;
use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Step};
use crate::flow::Direction;

/// Messages in which a peer may introduce itself; most do with the first one.
const MESSAGES_MAX: u8 = 6;

/// Bytes of an introduction that are waited for.
const INTRODUCTION_BYTES_MAX: usize = 4_096;

/// Longer messages than a bit for each of sixteen million pieces are none.
const MESSAGE_BYTES_MAX: u32 = 2 << 20;

/// Extensions of a peer that are told.
const EXTENSIONS_MAX: usize = 16;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 64;

/// Both ends of a connection.
#[derive(Debug, Default)]
pub(super) struct Peers {
    hash: Option<[u8; 20]>,
    ways: [Side; 2],
    over_udp: bool,
    is_told: bool,
}

#[derive(Debug, Default)]
struct Side {
    greeting: Option<([u8; 8], [u8; 20])>,
    introduction: Fields,
    messages: u8,
    is_done: bool,
}

impl Peers {
    /// These peers speak uTP.
    pub(super) const fn is_over_udp(&mut self) {
        self.over_udp = true;
    }

    pub(super) fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let side = &mut self.ways[way as usize];
        let read = match (side.greeting, side.is_done) {
            (_, true) => Ok(Some(bytes.len())),
            (None, _) => self.greeted(way, bytes, cx),
            (Some(_), _) => side.message(bytes),
        };
        match read {
            Err(event) => {
                cx.anomaly(event);
                self.tell(way, cx);
                Step::Done
            }
            Ok(None) => Step::Consumed(0),
            Ok(Some(_)) if self.ways.iter().all(|side| side.is_done) => {
                self.tell(way, cx);
                Step::Done
            }
            Ok(Some(len)) => Step::Consumed(len),
        }
    }

    fn greeted(
        &mut self,
        way: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<usize>, &'static str> {
        let start = bytes.get(..HANDSHAKE.len().min(bytes.len())).unwrap_or_default();
        if !HANDSHAKE.starts_with(start) {
            return Err("malformed_handshake");
        }
        let mut at = Cursor::new(bytes);
        let (Some(()), Some(reserved), Some(hash), Some(peer)) =
            (at.skip(HANDSHAKE.len()), at.array::<8>(), at.array::<20>(), at.array::<20>())
        else {
            return Ok(None);
        };
        if self.hash.is_some_and(|other| other != hash) {
            cx.anomaly("info_hash_mismatch");
        }
        self.hash.get_or_insert(hash);
        let side = &mut self.ways[way as usize];
        side.greeting = Some((reserved, peer));
        // Without extensions there is no more to say.
        side.is_done = reserved[5] & 0x10 == 0;
        Ok(Some(bytes.len() - at.rest().len()))
    }

    /// Tells what is known of both, once.
    pub(super) fn tell(&mut self, way: Direction, cx: &mut Context<'_>) {
        let Some(hash) = self.hash.filter(|_| !std::mem::replace(&mut self.is_told, true)) else { return };
        cx.tell_with("bittorrent", way, |fields| {
            fields.text("transport", if self.over_udp { "utp" } else { "tcp" });
            fields.hex("info_hash", &hash);
            for (name, side) in [("initiator", &self.ways[0]), ("responder", &self.ways[1])] {
                if let Some((reserved, peer)) = &side.greeting {
                    fields.object(name, |object| {
                        object.hex("peer_id", peer);
                        write_client(object, peer);
                        write_features(object, reserved);
                        object.append(&side.introduction);
                    });
                }
            }
        });
    }
}

impl Side {
    fn message(&mut self, bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        let mut at = Cursor::new(bytes);
        let Some(len) = at.be32() else { return Ok(None) };
        if len > MESSAGE_BYTES_MAX {
            return Err("invalid_length");
        }
        let whole = 4 + len as usize;
        if len >= 2 {
            let (Some(kind), Some(extension)) = (at.u8(), at.u8()) else { return Ok(None) };
            if kind == 20 && extension == 0 && whole <= INTRODUCTION_BYTES_MAX {
                let Some(dictionary) = at.take(len as usize - 2) else { return Ok(None) };
                let Some((introduction @ Value::Dictionary(_), _)) = Value::read(dictionary) else {
                    return Err("malformed_extension");
                };
                write_introduction(&mut self.introduction, &introduction);
                self.is_done = true;
            }
        }
        self.messages += 1;
        self.is_done |= self.messages >= MESSAGES_MAX;
        Ok(Some(whole))
    }
}

/// BEP 10: `v` the program, `p` its port, `m` the names of extensions.
fn write_introduction(fields: &mut Fields, introduction: &Value<'_>) {
    let clip = |text: &'_ [u8]| text.len().min(TEXT_BYTES_MAX);
    fields.text_if("version", introduction.text(b"v").map(|text| &text[..clip(text)]));
    for (key, name) in [(&b"p"[..], "port"), (b"reqq", "request_queue"), (b"metadata_size", "metadata_size")]
    {
        if let Some(number) = introduction.number(key) {
            fields.signed(name, number);
        }
    }
    if let Some(names) = introduction.get(b"m") {
        fields.list("extensions", |list| {
            for value in names.items().step_by(2).take(EXTENSIONS_MAX) {
                if let Value::Text(text) = value {
                    list.text("", &text[..clip(text)]);
                }
            }
        });
    }
}

/// BEP 4 and BEP 20: bits that are in use.
fn write_features(fields: &mut Fields, reserved: &[u8; 8]) {
    const FEATURES: [(usize, u8, &str); 6] = [
        (0, 0x80, "azureus_messaging"),
        (5, 0x10, "extension_protocol"),
        (7, 0x01, "dht"),
        (7, 0x04, "fast"),
        (7, 0x08, "nat_traversal"),
        (7, 0x10, "v2"),
    ];
    fields.hex("reserved", reserved);
    fields.list("features", |list| {
        for (byte, bit, name) in FEATURES {
            if reserved[byte] & bit != 0 {
                list.text("", name);
            }
        }
    });
}

/// BEP 20: `-TR3000-` and noise.
pub(super) fn write_client(fields: &mut Fields, peer: &[u8; 20]) {
    let [b'-', a, b, version @ .., b'-'] = &peer[..8] else {
        // aria2 says it its own way: `A2-1-36-0-`.
        if peer.starts_with(b"A2-") {
            fields.text("client", "aria2");
        }
        return;
    };
    if !version.iter().all(u8::is_ascii_alphanumeric)
        || !a.is_ascii_alphanumeric()
        || !b.is_ascii_alphanumeric()
    {
        return;
    }
    match client_of([*a, *b]) {
        Some(name) => fields.text("client", name),
        None => fields.text("client", [*a, *b]),
    }
    let mut dotted = [b'.'; 7];
    for (place, digit) in dotted.iter_mut().step_by(2).zip(version) {
        *place = *digit;
    }
    fields.text("client_version", dotted);
}

const fn client_of(letters: [u8; 2]) -> Option<&'static str> {
    Some(match &letters {
        b"AZ" => "Vuze",
        b"BC" => "BitComet",
        b"BI" => "BiglyBT",
        b"BT" => "BitTorrent",
        b"DE" => "Deluge",
        b"FD" => "Free Download Manager",
        b"FL" => "Flud",
        b"FW" => "FrostWire",
        b"KT" => "KTorrent",
        b"LT" => "libtorrent",
        b"lt" => "libTorrent",
        b"MO" => "MonoTorrent",
        b"PI" => "PicoTorrent",
        b"SD" | b"XL" => "Xunlei",
        b"TL" => "Tribler",
        b"TR" => "Transmission",
        b"TX" => "Tixati",
        b"UM" => "uTorrent Mac",
        b"UT" => "uTorrent",
        b"UW" => "uTorrent Web",
        b"WD" | b"WW" => "WebTorrent",
        b"qB" => "qBittorrent",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::BITTORRENT;
    use super::*;
    use crate::dpi::feed::samples::records_over;
    use crate::flow::Direction::{Forward as C, Reverse as S};
    use crate::parse::Protocol;

    fn greeting(peer: &[u8; 20], has_extensions: bool) -> Vec<u8> {
        let reserved = [0, 0, 0, 0, 0, if has_extensions { 0x10 } else { 0 }, 0, 5];
        [HANDSHAKE, &reserved, &[0xab; 20], peer].concat()
    }

    fn message(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes()[..], body].concat()
    }

    const TRANSMISSION: &[u8; 20] = b"-TR3000-abcdefghijkl";
    const OTHER: &[u8; 20] = b"M7-9-2--abcdefghijkl";
    const INTRODUCTION: &[u8] =
        b"\x14\0d1:md11:ut_metadatai3e6:ut_pexi1ee1:pi51413e4:reqqi512e1:v17:Transmission 3.00e";
    const EXPECTED: &str = "info_hash=abababababababababababababababababababab initiator={\
        peer_id=2d5452333030302d6162636465666768696a6b6c client=Transmission client_version=3.0.0.0 \
        reserved=0000000000100005 features=[extension_protocol dht fast] version=Transmission 3.00 port=51413 \
        request_queue=512 extensions=[ut_metadata ut_pex]} \
        responder={peer_id=4d372d392d322d2d6162636465666768696a6b6c reserved=0000000000000005 features=[dht fast]}";

    #[test]
    fn two_peers_are_told_once_in_pieces_of_any_size() {
        let client =
            [greeting(TRANSMISSION, true), message(&[5; 100]), message(INTRODUCTION), message(&[7; 30])]
                .concat();
        let server = greeting(OTHER, false);
        for size in [1, 20, 67, 500] {
            let pieces: Vec<_> =
                server.chunks(size).map(|s| (S, s)).chain(client.chunks(size).map(|c| (C, c))).collect();
            let told = records_over(&BITTORRENT, Protocol::TCP, &pieces);
            assert_eq!(told, [format!("bittorrent transport=tcp {EXPECTED}")], "{size}");
        }
    }

    #[test]
    fn peers_over_utp_are_put_together_in_their_order() {
        let datagram = |kind: u8, number: u8, payload: &[u8]| {
            let mut bytes = vec![kind << 4 | 1, 0, 0x5c, 0x12];
            bytes.extend([0; 12]);
            bytes.extend([0, number, 0, 0]);
            [&bytes, payload].concat()
        };
        let client = [greeting(TRANSMISSION, true), message(&[5; 100]), message(INTRODUCTION)].concat();
        let pieces = [
            (C, datagram(4, 1, b"")),
            (C, datagram(0, 2, &client[..68])),
            (S, datagram(0, 9, &greeting(OTHER, false))),
            (C, datagram(0, 4, &client[200..])),
            (C, datagram(0, 3, &client[68..200])),
            (C, datagram(0, 3, &client[68..200])),
            (C, datagram(0, 4, &client[200..])),
        ];
        let pieces: Vec<_> = pieces.iter().map(|(way, bytes)| (*way, &bytes[..])).collect();
        let told = records_over(&BITTORRENT, Protocol::UDP, &pieces);
        assert_eq!(told, [format!("bittorrent transport=utp {EXPECTED}")]);
    }

    #[test]
    fn lies_have_a_name() {
        let after = |bytes: &[u8]| [&greeting(TRANSMISSION, true), bytes].concat();
        let mut other = greeting(OTHER, false);
        other[30] = 0;
        let hello = after(b"");
        for (pieces, name) in [
            (vec![(C, &b"\x13BitTorrent protocox"[..])], "malformed_handshake"),
            (vec![(C, &hello), (S, &other)], "info_hash_mismatch"),
            (vec![(C, &after(&[0xff; 4]))], "invalid_length"),
            (vec![(C, &after(&message(b"\x14\0d1:v")))], "malformed_extension"),
        ] {
            let told = records_over(&BITTORRENT, Protocol::TCP, &pieces);
            assert!(told[0].contains(name), "{name}: {told:?}");
        }
    }
}
