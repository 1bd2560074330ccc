//! Who asks Cassandra for what, and how does it answer? CQL's native protocol (native_protocol_v3.spec to v5.spec).
//!
//! ```text
//! frame    version, 0x80 of an answer (1) | flags (1) | stream (2; 1 before version 3) | opcode (1) | length (4) | body
//! segment  length, whether its frames are whole (3) | CRC-24 (3) | frames | CRC-32 (4)
//! ```
//! From version 5 on frames stand in segments, once the server has answered STARTUP.
//!
//! Told as `cassandra`, a record a request with its answer; tokens of logins are never told.

mod body;
mod segments;

use std::collections::VecDeque;

use self::body::Body;
use self::segments::Segments;
use crate::dpi::cursor::Cursor;
use crate::dpi::text::{has_word, starts_with_word};
use crate::dpi::{Category, Context, Fields, First, Match, Parser, Peek, Probe, Protocol, Risk, Step};
use crate::flow::Direction;

/// Cassandra's CQL.
pub static CASSANDRA: Protocol = Protocol {
    name: "cassandra",
    eve: None,
    category: Category::Database,
    probes: &[Probe::tcp(First::Of(&[1, 2, 3, 4, 5, 0x81, 0x82, 0x83, 0x84, 0x85]), look)],
    parser: Some(|| Box::<Session>::default()),
};

/// Requests of a flow that are told.
const REQUESTS_MAX: u8 = 64;

/// Requests without an answer that are remembered.
const PENDING_MAX: usize = 32;

/// Bytes of a body that are waited for.
const HEAD_BYTES_MAX: usize = 2_048;

/// Cassandra refuses longer frames (`native_transport_max_frame_size`, at its most).
const FRAME_BYTES_MAX: u32 = 256 << 20;

const VERSION_MAX: u8 = 5;

/// The header of a frame.
struct Header {
    version: u8,
    is_answer: bool,
    flags: u8,
    stream: u16,
    operation: u8,
    body: u32,
    len: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor::new(bytes);
        let (first, flags) = (at.u8()?, at.u8()?);
        let version = first & 0x7f;
        let (stream, len) = if version < 3 { (u16::from(at.u8()?), 8) } else { (at.be16()?, 9) };
        let (operation, body) = (at.u8()?, at.be32()?);
        Some(Self { version, is_answer: first & 0x80 != 0, flags, stream, operation, body, len })
    }

    fn wrong(&self, way: Direction) -> Option<&'static str> {
        if !(1..=VERSION_MAX).contains(&self.version) || self.is_answer != (way == Direction::Reverse) {
            Some("invalid_version")
        } else if self.body > FRAME_BYTES_MAX {
            Some("invalid_length")
        } else {
            None
        }
    }
}

pub(super) fn look(peek: &Peek<'_>) -> Match {
    let Some(header) = Header::read(peek.bytes) else { return Match::No };
    if header.flags & !0x1f != 0 || header.body > FRAME_BYTES_MAX {
        return Match::No;
    }
    let text = peek.bytes.get(..64.min(peek.bytes.len())).unwrap_or_default();
    let fits = peek.bytes.len() as u64 <= u64::from(header.body) + header.len as u64;
    match (header.is_answer, header.operation) {
        (false, 1) => Match::sure(fits && has_word(text, b"CQL_VERSION")),
        (true, 6) if peek.contains(b"CQL_VERSION") => Match::sure(fits),
        (false, 5) => Match::of(header.body == 0 && fits, if peek.has_port(9042) { 92 } else { 70 }),
        // A query of a connection that was met midway: its text has a length of its own.
        (false, 7 | 9) if is_query(peek.bytes.get(header.len..).unwrap_or_default(), header.body) => {
            Match::of(fits || peek.has_port(9042), 88)
        }
        (false, 7 | 9 | 10 | 11 | 13 | 15) | (true, 0 | 2 | 3 | 6 | 8 | 12 | 14 | 16) => {
            Match::of(fits && peek.has_port(9042), 85)
        }
        _ => Match::No,
    }
}

fn is_query(body: &[u8], len: u32) -> bool {
    let mut at = Cursor::new(body);
    let fits = at.be32().is_some_and(|text| text >= 3 && text.saturating_add(4) <= len);
    let words =
        [&b"SELECT "[..], b"INSERT ", b"UPDATE ", b"DELETE ", b"USE ", b"CREATE ", b"DROP ", b"ALTER "];
    fits && words.iter().any(|word| starts_with_word(at.rest(), word))
}

/// A request that waits for its answer.
struct Asked {
    stream: u16,
    fields: Fields,
    /// Its text has a password, which an error may quote.
    is_secret: bool,
}

/// One connection.
#[derive(Default)]
struct Session {
    pending: VecDeque<Asked>,
    ways: [Segments; 2],
    /// The server checks passwords that come in clear.
    wants_password: bool,
    /// STARTUP asks for compressed segments.
    is_compressed: bool,
    told: u8,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let room = match self.ways[way as usize].room(bytes) {
            segments::Room::Bytes(room) => room,
            segments::Room::Skip(len) => return Step::Consumed(len),
            segments::Room::Wait => return Step::Consumed(0),
            segments::Room::Bad => {
                cx.anomaly("bad_header_crc");
                return Step::Done;
            }
        };
        let here = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        let Some(header) = Header::read(here) else {
            // No segment ends within a header.
            return if bytes.len() >= room { self.bad("malformed_data", cx) } else { Step::Consumed(0) };
        };
        if let Some(event) = header.wrong(way) {
            return self.bad(event, cx);
        }
        let len = header.len + header.body as usize;
        let Some(body) = here.get(header.len..len.min(header.len + HEAD_BYTES_MAX).min(room)) else {
            return Step::Consumed(0);
        };
        let is_read = match way {
            Direction::Forward => self.request(&header, body, cx),
            Direction::Reverse => self.answer(&header, body, cx),
        };
        if !is_read {
            return self.bad("malformed_data", cx);
        }
        if self.told >= REQUESTS_MAX {
            return Step::Done;
        }
        Step::Consumed(self.ways[way as usize].took(len))
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        while let Some(asked) = self.pending.pop_front() {
            self.tell(&asked.fields, Direction::Forward, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        *self = Self { pending, ..Self::default() };
        true
    }
}

impl Session {
    fn bad(&mut self, event: &'static str, cx: &mut Context<'_>) -> Step {
        cx.anomaly(event);
        Step::Done
    }

    fn request(&mut self, header: &Header, bytes: &[u8], cx: &mut Context<'_>) -> bool {
        let Some(name) = body::request_name(header.operation) else { return false };
        let mut fields = Fields::new();
        fields.number("version", header.version);
        fields.number("stream_id", header.stream);
        fields.text("request", name);
        let mut is_secret = false;
        match Body::behind_extras(header.flags, bytes, false) {
            Some(mut body) => {
                let Some(read) = body.request(header, self.wants_password, &mut fields) else { return false };
                is_secret = read.is_secret;
                self.is_compressed |= read.is_compressed;
                if read.is_password {
                    cx.risk(Risk::ClearTextCredentials, format_args!("cassandra {name}"));
                }
            }
            None if header.flags & body::COMPRESSED != 0 => fields.bool("compressed", true),
            // Longer than what is waited for.
            None if header.body as usize > bytes.len() => {}
            None => return false,
        }
        if header.operation == body::STARTUP && header.version >= 5 {
            self.ways[Direction::Forward as usize].begin(self.is_compressed);
        }
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            self.tell(&oldest.fields, Direction::Forward, cx);
        }
        self.pending.push_back(Asked { stream: header.stream, fields, is_secret });
        true
    }

    fn answer(&mut self, header: &Header, bytes: &[u8], cx: &mut Context<'_>) -> bool {
        let Some(name) = body::answer_name(header.operation) else { return false };
        let place = self.pending.iter().position(|asked| asked.stream == header.stream);
        let asked = place.and_then(|place| self.pending.remove(place));
        let is_secret = asked.as_ref().is_some_and(|asked| asked.is_secret);
        let is_event = header.operation == body::EVENT;
        let is_told = asked.is_some() || is_event;
        let mut fields = asked.map_or_else(Fields::new, |asked| asked.fields);
        if is_event {
            fields.number("version", header.version);
        }
        fields.text("response", name);
        match Body::behind_extras(header.flags, bytes, true) {
            Some(mut body) => {
                let Some(read) = body.answer(header, is_secret, &mut fields) else { return false };
                self.wants_password |= read.is_password;
                if read.is_refused {
                    cx.risk(Risk::FailedLogin, format_args!("cassandra refused a login"));
                }
            }
            None if header.flags & body::COMPRESSED != 0 => fields.bool("compressed", true),
            // Longer than what is waited for.
            None if header.body as usize > bytes.len() => {}
            None => return false,
        }
        if matches!(header.operation, body::READY | body::AUTHENTICATE) && header.version >= 5 {
            self.ways[Direction::Reverse as usize].begin(self.is_compressed);
        }
        if is_told {
            self.tell(&fields, Direction::Reverse, cx);
        }
        true
    }

    fn tell(&mut self, fields: &Fields, way: Direction, cx: &mut Context<'_>) {
        if self.told < REQUESTS_MAX {
            self.told += 1;
            cx.tell("cassandra", way, fields);
        }
    }
}

#[cfg(test)]
mod tests;
