//! What does a peer ask a tracker over UDP, and how many others are there? (BEP 15)
//!
//! ```text
//! connect   magic (8) | 0 (4) | transaction (4)                 0 | transaction | connection (8)
//! announce  connection (8) | 1 | transaction | hash (20) | peer (20) | downloaded, left, uploaded (8 each) |
//!           event, address, key, wanted (4 each) | port (2)     1 | transaction | interval, leechers, seeders | peers
//! scrape    connection (8) | 2 | transaction | hashes           2 | transaction | seeders, completed, leechers
//! error                                                         3 | transaction | text
//! ```

use super::peer::write_client;
use crate::dpi::Fields;
use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Step};
use crate::flow::Direction;

/// What a request to connect begins with.
pub(super) const MAGIC: &[u8] = &[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80];

/// Requests of a flow that are told.
const REQUESTS_MAX: u8 = 16;

/// Requests without an answer that are remembered; clients ask for several torrents at a time.
const PENDING_MAX: usize = 4;

/// Bytes of an error's text that are told.
const TEXT_BYTES_MAX: usize = 128;

/// Whether it is an announcement: its length, kind and event, and a peer that names itself as BEP 20 wants it.
pub(super) fn is_announce(bytes: &[u8]) -> bool {
    let number = |at: usize| bytes.get(at..).and_then(|bytes| Cursor::new(bytes).be32());
    bytes.len() >= 98
        && number(8) == Some(1)
        && number(80).is_some_and(|event| event <= 3)
        && matches!(bytes.get(36..44), Some([b'-', _, _, _, _, _, _, b'-']))
}

/// One flow to a tracker.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    is_one: bool,
    /// Requests without an answer, and their transactions.
    pending: [Option<(u32, Fields)>; PENDING_MAX],
    told: u8,
}

impl Tracker {
    /// Whether a request to connect was seen.
    pub(super) const fn is_one(&self) -> bool {
        self.is_one
    }

    pub(super) fn datagram(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        self.is_one = true;
        let read = match way {
            Direction::Forward => self.asked(bytes, cx),
            Direction::Reverse => self.answered(bytes, cx),
        };
        if read.is_none() {
            cx.anomaly("malformed_packet");
        }
        if self.told >= REQUESTS_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for place in 0..PENDING_MAX {
            self.unanswered(place, cx);
        }
    }

    fn asked(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Option<()> {
        let mut at = Cursor::new(bytes);
        at.skip(8)?;
        let (action, transaction) = (at.be32()?, at.be32()?);
        let mut fields = Fields::new();
        fields.text("transport", "tracker");
        match action {
            0 => fields.text("action", "connect"),
            1 => {
                let (hash, peer) = (at.array::<20>()?, at.array::<20>()?);
                fields.text("action", "announce");
                fields.hex("info_hash", &hash);
                fields.hex("peer_id", &peer);
                write_client(&mut fields, &peer);
                for name in ["downloaded", "left", "uploaded"] {
                    fields.number(name, at.be64()?);
                }
                let event = match at.be32()? {
                    0 => "none",
                    1 => "completed",
                    2 => "started",
                    3 => "stopped",
                    _ => return None,
                };
                fields.text("event", event);
                at.skip(12)?;
                fields.number("port", at.be16()?);
            }
            2 => {
                let first = at.array::<20>()?;
                fields.text("action", "scrape");
                fields.hex("info_hash", &first);
                fields.number("hashes", 1 + at.rest().len() as u64 / 20);
            }
            _ => return None,
        }
        // One that comes again takes its own place, else the oldest goes.
        let is_its =
            |asked: &Option<(u32, Fields)>| asked.as_ref().is_some_and(|(asked, _)| *asked == transaction);
        if let Some(again) = self.pending.iter_mut().find(|asked| is_its(asked)) {
            *again = Some((transaction, fields));
            return Some(());
        }
        self.unanswered(0, cx);
        self.pending.rotate_left(1);
        self.pending[PENDING_MAX - 1] = Some((transaction, fields));
        Some(())
    }

    fn unanswered(&mut self, place: usize, cx: &mut Context<'_>) {
        if let Some((_, fields)) = self.pending[place].take() {
            self.tell(&fields, Direction::Forward, cx);
        }
    }

    fn answered(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Option<()> {
        let mut at = Cursor::new(bytes);
        let (action, transaction) = (at.be32()?, at.be32()?);
        // One that comes again answers nothing.
        let mut pending = self.pending.iter_mut();
        let Some((_, mut fields)) =
            pending.find_map(|asked| asked.take_if(|(asked, _)| *asked == transaction))
        else {
            return Some(());
        };
        match action {
            0 => at.skip(8)?,
            1 => {
                for name in ["interval", "leechers", "seeders"] {
                    fields.number(name, at.be32()?);
                }
                // Addresses of six bytes; of IPv6 eighteen.
                let is_v6 = matches!(cx.flow.responder.0.to_ip(), std::net::IpAddr::V6(_));
                fields.number("peers", at.rest().len() as u64 / if is_v6 { 18 } else { 6 });
            }
            2 => {
                for name in ["seeders", "completed", "leechers"] {
                    fields.number(name, at.be32()?);
                }
            }
            3 => {
                let text = at.rest();
                fields.text("error", text.get(..TEXT_BYTES_MAX).unwrap_or(text));
            }
            _ => return None,
        }
        self.tell(&fields, Direction::Reverse, cx);
        Some(())
    }

    fn tell(&mut self, fields: &Fields, way: Direction, cx: &mut Context<'_>) {
        self.told = self.told.saturating_add(1);
        if self.told <= REQUESTS_MAX {
            cx.tell("bittorrent", way, fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::BITTORRENT;
    use super::MAGIC;
    use crate::dpi::feed::samples::records_over;
    use crate::dpi::protocol::samples::{confidence, datagram};
    use crate::flow::Direction::{Forward as C, Reverse as S};
    use crate::parse::Protocol;

    #[test]
    fn questions_meet_their_answers() {
        let connect = [MAGIC, &[0, 0, 0, 0, 0, 0, 0, 1]].concat();
        let announce = [
            &[9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 1, 0, 0, 0, 2][..],
            &[0xab; 20],
            b"-qB4250-abcdefghijkl",
            &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0x1a, 0xe1],
        ]
        .concat();
        let answer = [&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 7, 8, 0, 0, 0, 3, 0, 0, 0, 4][..], &[1; 12]].concat();
        assert_eq!(confidence(&BITTORRENT, &datagram(&announce)), 95);
        let scrape = [&[9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 2, 0, 0, 0, 3][..], &[0xab; 40]].concat();
        let told = records_over(
            &BITTORRENT,
            Protocol::UDP,
            &[
                (C, &connect),
                (S, &[0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9]),
                (C, &announce),
                (S, &answer),
                (C, &scrape),
                (S, b"\0\0\0\x03\0\0\0\x03no such torrent"),
                (C, &announce[..50]),
            ],
        );
        let hash = "ab".repeat(20);
        assert_eq!(
            told,
            [
                "bittorrent transport=tracker action=connect".to_owned(),
                format!(
                    "bittorrent transport=tracker action=announce info_hash={hash} \
                    peer_id=2d7142343235302d6162636465666768696a6b6c client=qBittorrent client_version=4.2.5.0 \
                    downloaded=5 left=6 uploaded=7 event=started port=6881 interval=1800 leechers=3 seeders=4 peers=2"
                ),
                format!(
                    "bittorrent transport=tracker action=scrape info_hash={hash} hashes=2 error=no such torrent"
                ),
                "anomaly app_proto=bittorrent type=applayer event=malformed_packet layer=proto_parser"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn local_searches_are_told() {
        let search = b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: ABCDEF\r\n\r\n\r\n";
        assert_eq!(
            records_over(&BITTORRENT, Protocol::UDP, &[(C, search)]),
            ["bittorrent transport=local_search port=6881 info_hash=abcdef"]
        );
    }
}
