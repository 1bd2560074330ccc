//! What is asked of memcached, and how does it answer? Its text and meta commands (doc/protocol.txt), its binary protocol
//! (doc/protocol-binary.txt), and both in datagrams.
//!
//! Told as `memcached`, a record a command; values are never told.

mod binary;
mod text;

use std::collections::VecDeque;

use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Fields, Kept, Parser, Step};
use crate::flow::Direction;
use crate::parse::Protocol as Transport;

/// Commands of a flow that are told.
const COMMANDS_MAX: u8 = 64;

/// Commands without an answer that are remembered.
const PENDING_MAX: usize = 32;

/// memcached refuses longer keys (`KEY_MAX_LENGTH`).
const KEY_BYTES_MAX: usize = 250;

/// memcached refuses larger items (`-I`).
const VALUE_BYTES_MAX: u64 = 1 << 30;

/// Bytes of an error's text that are told.
const ERROR_BYTES_MAX: usize = 128;

/// A parser for a new flow.
pub(super) fn parser() -> Box<dyn Parser> {
    Box::new(Memcached::default())
}

/// What came of reading one request, or one part of an answer.
enum Read {
    /// So many bytes, and those of a value that may not have come yet.
    Took(u64),
    /// It is not whole.
    Wait,
    /// It is none; the anomaly's name.
    Bad(&'static str),
}

/// A command that waits for its answer.
#[derive(Default)]
struct Asked {
    /// `text`, `meta` or `binary`.
    form: &'static str,
    command: &'static str,
    key: Kept,
    keys: u32,
    /// Of the value that is stored.
    bytes: Option<u64>,
    /// Mostly unanswered: what it asks for went as expected.
    is_quiet: bool,
    /// Of a datagram, or `opaque` of the binary protocol.
    id: u32,
}

/// An answer, as far as it has come.
#[derive(Default)]
struct Answer {
    reply: &'static str,
    hits: u32,
    bytes: u64,
    error: Kept,
    version: Kept,
}

/// Reads one connection, or the datagrams between two ends.
#[derive(Default)]
struct Memcached {
    pending: VecDeque<Asked>,
    answer: Answer,
    told: u8,
}

impl Parser for Memcached {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let read = if cx.flow.protocol == Transport::UDP {
            self.datagram(way, bytes, cx)
        } else {
            self.unit(way, bytes, None, cx)
        };
        match read {
            Read::Bad(event) => {
                cx.anomaly(event);
                Step::Done
            }
            _ if self.told >= COMMANDS_MAX => Step::Done,
            Read::Took(len) => Step::Consumed(usize::try_from(len).unwrap_or(usize::MAX)),
            Read::Wait => Step::Consumed(0),
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        while let Some(asked) = self.pending.pop_front() {
            self.tell(&asked, Direction::Forward, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        *self = Self { pending, ..Self::default() };
        true
    }
}

impl Memcached {
    /// doc/protocol.txt, "UDP protocol": request, number and count of datagrams, 0; all of a request is in one.
    fn datagram(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Read {
        let mut at = Cursor::new(bytes);
        let (Some(id), Some(nth), Some(count), Some(0)) = (at.be16(), at.be16(), at.be16(), at.be16()) else {
            return Read::Bad("malformed_data");
        };
        if nth >= count || way == Direction::Forward && count != 1 {
            return Read::Bad("malformed_data");
        }
        let all = Read::Took(bytes.len() as u64);
        // What an answer is stands at its beginning; its other datagrams may come in any order.
        if nth > 0 {
            return all;
        }
        let mut rest = at.rest();
        while !rest.is_empty() {
            match self.unit(way, rest, Some(u32::from(id)), cx) {
                Read::Took(len) => rest = rest.get(len as usize..).unwrap_or_default(),
                Read::Wait if way == Direction::Forward => return Read::Bad("malformed_data"),
                Read::Wait => break,
                bad @ Read::Bad(_) => return bad,
            }
        }
        if way == Direction::Reverse {
            self.answered(cx);
        }
        all
    }

    /// A request or a part of an answer: the first byte says of which protocol.
    fn unit(&mut self, way: Direction, bytes: &[u8], id: Option<u32>, cx: &mut Context<'_>) -> Read {
        let is_binary = bytes.first().is_some_and(|byte| *byte >= 0x80);
        match (is_binary, way) {
            (true, Direction::Forward) => self.binary_request(bytes, cx),
            (true, Direction::Reverse) => self.binary_answer(bytes, cx),
            (false, Direction::Forward) => self.text_request(bytes, id.unwrap_or_default(), cx),
            (false, Direction::Reverse) => self.text_answer(bytes, id, cx),
        }
    }

    /// A command is whole.
    fn ask(&mut self, asked: Asked, cx: &mut Context<'_>) {
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            self.tell(&oldest, Direction::Forward, cx);
        }
        self.pending.push_back(asked);
    }

    /// The answer to the oldest command is whole.
    fn answered(&mut self, cx: &mut Context<'_>) {
        if !self.answer.reply.is_empty()
            && let Some(asked) = self.pending.pop_front()
        {
            self.tell(&asked, Direction::Reverse, cx);
        }
        self.answer = Answer::default();
    }

    fn tell(&mut self, asked: &Asked, way: Direction, cx: &mut Context<'_>) {
        self.told = self.told.saturating_add(1);
        if self.told > COMMANDS_MAX {
            return;
        }
        let answer = (way == Direction::Reverse).then_some(&self.answer);
        cx.tell_with("memcached", way, |fields| {
            asked.write(fields);
            if let Some(answer) = answer {
                answer.write(asked, fields);
            }
        });
    }
}

impl Asked {
    fn write(&self, fields: &mut Fields) {
        fields.text("protocol", self.form);
        fields.text("command", self.command);
        if !self.key.is_empty() {
            fields.text("key", &self.key);
        }
        if self.keys > 1 {
            fields.number("keys", self.keys);
        }
        if let Some(bytes) = self.bytes {
            fields.number("bytes", bytes);
        }
    }
}

impl Answer {
    fn write(&self, asked: &Asked, fields: &mut Fields) {
        fields.text("reply", self.reply);
        if self.hits > 0 {
            fields.number("hits", self.hits);
            // Of what is read; of what is stored the request says it.
            if asked.bytes.is_none() {
                fields.number("bytes", self.bytes);
            }
        }
        for (name, text) in [("version", &self.version), ("error", &self.error)] {
            if !text.is_empty() {
                fields.text(name, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dpi::feed::samples::{records_of, records_over};
    use crate::dpi::protocols::database::stores::MEMCACHED;
    use crate::flow::Direction::{Forward as C, Reverse as S};
    use crate::parse::Protocol;

    fn told(payloads: &[(crate::flow::Direction, &[u8])]) -> Vec<String> {
        records_of(&MEMCACHED, payloads)
    }

    #[test]
    fn text_commands_meet_their_answers_in_pieces_of_any_size() {
        let client = b"version\r\nset color 0 900 4\r\nblue\r\nget color none\r\nincr color 1\r\n\
            set quiet 0 0 2 noreply\r\nhi\r\ndelete color\r\nstats\r\nbogus\r\nget late\r\n";
        let server = b"VERSION 1.6.18\r\nSTORED\r\nVALUE color 0 4\r\nEND\n\r\nEND\r\n\
            CLIENT_ERROR cannot increment\r\nDELETED\r\nSTAT pid 7\r\nSTAT uptime 8\r\nEND\r\nERROR\r\n";
        let expected = [
            "memcached protocol=text command=set key=quiet bytes=2",
            "anomaly app_proto=memcached type=applayer event=unknown_command layer=proto_parser",
            "memcached protocol=text command=version reply=VERSION version=1.6.18",
            "memcached protocol=text command=set key=color bytes=4 reply=STORED",
            "memcached protocol=text command=get key=color keys=2 reply=END hits=1 bytes=4",
            "memcached protocol=text command=incr key=color reply=CLIENT_ERROR error=cannot increment",
            "memcached protocol=text command=delete key=color reply=DELETED",
            "memcached protocol=text command=stats reply=END",
            "memcached protocol=text command=unknown reply=ERROR",
            "memcached protocol=text command=get key=late",
        ];
        for size in [1, 2, 7, 19, 500] {
            let pieces: Vec<_> =
                client.chunks(size).map(|c| (C, c)).chain(server.chunks(size).map(|s| (S, s))).collect();
            assert_eq!(told(&pieces), expected, "{size}");
        }
    }

    #[test]
    fn meta_commands_that_are_quiet_are_told_without_an_answer() {
        let client = b"ms abc 2 T60\r\nhi\r\nmg abc v t\r\nmg zzz v q\r\nmg abc v q\r\nms x 1 q\r\ny\r\nmn\r\nmd abc\r\n";
        let server = b"HD\r\nVA 2 t60\r\nhi\r\nVA 2\r\nhi\r\nMN\r\nNF\r\n";
        assert_eq!(
            told(&[(C, client), (S, server)]),
            [
                "memcached protocol=meta command=ms key=abc bytes=2 reply=HD",
                "memcached protocol=meta command=mg key=abc reply=VA hits=1 bytes=2",
                "memcached protocol=meta command=mg key=zzz reply=VA hits=1 bytes=2",
                "memcached protocol=meta command=mg key=abc",
                "memcached protocol=meta command=ms key=x bytes=1",
                "memcached protocol=meta command=mn reply=MN",
                "memcached protocol=meta command=md key=abc reply=NF",
            ]
        );
    }

    #[test]
    fn datagrams_are_read_behind_their_header() {
        let over =
            |payloads: &[(crate::flow::Direction, &[u8])]| records_over(&MEMCACHED, Protocol::UDP, payloads);
        assert_eq!(
            over(&[
                (C, b"\0\x01\0\0\0\x01\0\0stats\r\n"),
                (C, b"\0\x02\0\0\0\x01\0\0get u\r\n"),
                (S, b"\0\x02\0\0\0\x01\0\0VALUE u 0 2\r\nhi\r\nEND\r\n"),
                (S, b"\0\x01\0\x01\0\x02\0\0AT a b\r\nEND\r\n"),
                (S, b"\0\x01\0\0\0\x02\0\0STAT pid 15469\r\nST"),
            ]),
            [
                "memcached protocol=text command=get key=u reply=END hits=1 bytes=2",
                "memcached protocol=text command=stats reply=STAT",
            ]
        );
        for lie in [&b"\0\x01\0\0\0\0\0\0get u\r\n"[..], b"\0\x01\0\0\0\x01\0\0get u", b"\0\x01\0\0"] {
            assert!(over(&[(C, lie)])[0].contains("malformed_data"), "{lie:?}");
        }
    }

    #[test]
    fn lies_have_a_name() {
        let long = [b"get ", &[b'k'; 251][..], b"\r\n"].concat();
        for (bytes, name) in [
            (&b"set k 0 0 x\r\n"[..], "invalid_length"),
            (b"set k 0 0 99999999999\r\n", "invalid_length"),
            (b"set k 0 0 1\r\nlong\r\n", "invalid_length"),
            (b"\x01\x02\r\n", "malformed_data"),
            (b"get \r\n", "malformed_data"),
            (&long, "key_too_long"),
            (&vec![b'g'; 40_000], "line_too_long"),
        ] {
            let told = told(&[(C, bytes)]);
            assert!(told.len() == 1 && told[0].contains(name), "{name}: {told:?}");
        }
        assert!(told(&[(C, b"get a\r\n"), (S, b"VALUE a 0 z\r\n")])[0].contains("invalid_length"));
    }

    #[test]
    fn no_more_than_64_commands_are_told() {
        let client = b"get a\r\n".repeat(200);
        assert_eq!(told(&[(C, &client), (S, &b"END\r\n".repeat(200))]).len(), 64);
    }
}
