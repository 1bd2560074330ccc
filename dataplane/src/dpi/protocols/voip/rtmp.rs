//! Which stream is published or played, where, and may it? RTMP (Adobe, Real-Time Messaging Protocol 1.0).
//!
//! ```text
//! handshake   version (1) | 1,536 bytes of time and noise | 1,536 bytes of the other side's   both ways
//! then chunks of messages, of which commands are read: name, transaction, values (AMF 0)
//! ```
//!
//! Told as `rtmp`, a record a command of the client with its answer.

mod amf;
mod chunks;

use std::collections::VecDeque;

use self::amf::Value;
use self::chunks::{Chunks, Message, Read};
use crate::dpi::cursor::Cursor;
use crate::dpi::{Category, Context, Fields, First, HostKind, Match, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// Real-Time Messaging Protocol.
pub static RTMP: Protocol = Protocol {
    name: "rtmp",
    eve: None,
    category: Category::Media,
    probes: &[Probe::tcp(First::Of(&[3, 6]), look)],
    parser: Some(|| Box::<Session>::default()),
};

/// Commands of a flow that are told.
const COMMANDS_MAX: u8 = 32;

/// Commands without an answer that are remembered.
const PENDING_MAX: usize = 8;

/// Messages of sound and pictures after which nothing new is told.
const MEDIA_MAX: u8 = 64;

const HANDSHAKE_BYTES: usize = 1 + 2 * 1_536;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 256;

/// Version 3, a time, zeros (or Flash's version), 1,528 bytes of noise; the server's answer begins alike.
fn look(peek: &Peek<'_>) -> Match {
    let len = peek.bytes.len();
    if !matches!(peek.bytes.first(), Some(3 | 6)) {
        return Match::No;
    }
    if len < 9 {
        return if peek.bytes.first() == Some(&3) && peek.bytes.get(1..4) != Some(&[0, 0, 0]) {
            Match::More
        } else {
            Match::No
        };
    }
    let zero = peek.be32(5);
    // Players that encrypt send their version here: 9.0.124.2, 10.0.12.36 and later.
    let is_version = zero == 0 || matches!(zero >> 24, 1..=0x20 | 0x80) && zero >> 16 & 0xff <= 12;
    if !is_version {
        return Match::No;
    }
    match (len >= 1_537, zero == 0 || peek.has_port(1935)) {
        (true, true) => Match::Yes(92),
        (true, false) => Match::of(peek.other.first() == Some(&3), 80),
        // TPKT has its length where the time is: RTMP's first segment is a full one.
        (false, true) if len >= 500 || peek.other.first() == Some(&3) => Match::Yes(80),
        (false, _) => Match::More,
    }
}

/// A command that waits for its answer.
struct Asked {
    transaction: u64,
    /// It is answered by `onStatus`, which names no transaction.
    wants_status: bool,
    fields: Fields,
}

/// One connection.
#[derive(Default)]
struct Session {
    is_greeted: [bool; 2],
    version: u8,
    ways: [Chunks; 2],
    pending: VecDeque<Asked>,
    told: u8,
    media: u8,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if !self.is_greeted[way as usize] {
            return self.greet(way, bytes, cx);
        }
        match self.ways[way as usize].read(bytes) {
            Read::Wait => return Step::Consumed(0),
            Read::Bad(event) => {
                cx.anomaly(event);
                return Step::Done;
            }
            Read::Part(len) => return Step::Consumed(len),
            Read::Whole(len, message) => {
                if !self.message(way, &message, cx) {
                    cx.anomaly("malformed_command");
                    return Step::Done;
                }
                self.ways[way as usize].give_back(message);
                if self.told < COMMANDS_MAX && self.media < MEDIA_MAX {
                    return Step::Consumed(len);
                }
            }
        }
        Step::Done
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        // Nothing can be read of what is encrypted.
        if self.told == 0 && self.pending.is_empty() && self.version == 6 {
            cx.tell_with("rtmp", Direction::Forward, |fields| {
                fields.number("version", 6_u8);
                fields.bool("encrypted", true);
            });
        }
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
    fn greet(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        self.is_greeted[way as usize] = true;
        match bytes.first() {
            Some(3) => {
                self.version = 3;
                Step::Consumed(HANDSHAKE_BYTES)
            }
            // RTMPE: all that follows is encrypted.
            Some(6) => {
                self.version = 6;
                Step::Done
            }
            _ => {
                cx.anomaly("invalid_version");
                Step::Done
            }
        }
    }

    /// A message, of which long ones may lack their end. `false`: it is a command that cannot be read.
    fn message(&mut self, way: Direction, message: &Message, cx: &mut Context<'_>) -> bool {
        let bytes = &message.bytes[..];
        match (message.kind, bytes) {
            (chunks::AUDIO | chunks::VIDEO, _) => {
                self.media = self.media.saturating_add(1);
                true
            }
            // In AMF 3 too commands are AMF 0, behind a zero.
            (chunks::COMMAND, bytes) | (chunks::COMMAND_AMF3, [0, bytes @ ..]) => {
                let mut at = Cursor::new(bytes);
                let Some(Value::Text(name)) = Value::read(&mut at) else { return false };
                // Some servers say onFCPublish without one.
                let transaction = match Value::read(&mut at) {
                    Some(Value::Number(transaction)) => transaction,
                    _ => 0.0,
                };
                match way {
                    Direction::Forward => self.asked(name, transaction, &mut at, cx),
                    Direction::Reverse => self.answered(name, transaction, &mut at, cx),
                }
                true
            }
            _ => true,
        }
    }

    fn asked(&mut self, name: &[u8], transaction: f64, at: &mut Cursor<'_>, cx: &mut Context<'_>) {
        // Answers of the client to calls of the server are none.
        if matches!(name, b"_result" | b"_error") {
            return;
        }
        let mut fields = Fields::new();
        if name == b"connect" {
            fields.number("version", self.version);
        }
        fields.text("command", clip(name));
        fields.number("transaction_id", transaction as u64);
        let object = Value::read(at);
        let mut wants_status = false;
        match (name, object) {
            (b"connect", Some(Value::Object(object))) => {
                for (key, name) in [
                    (&b"app"[..], "app"),
                    (b"tcUrl", "tc_url"),
                    (b"flashVer", "flash_ver"),
                    (b"swfUrl", "swf_url"),
                    (b"pageUrl", "page_url"),
                ] {
                    let text = object.text(key).map(without_query);
                    fields.text_if(name, text.map(clip));
                    if let (b"tcUrl", Some(url)) = (key, text)
                        && let Some(host) = host_of(url)
                    {
                        cx.host(HostKind::Http, host);
                    }
                }
            }
            (
                b"publish" | b"play" | b"play2" | b"releaseStream" | b"FCPublish" | b"FCUnpublish"
                | b"getStreamLength",
                _,
            ) => {
                wants_status = matches!(name, b"publish" | b"play" | b"play2");
                // Who publishes names the stream by its key, which lets others publish too.
                if let Some(Value::Text(stream)) = Value::read(at)
                    && matches!(name, b"play" | b"play2" | b"getStreamLength")
                {
                    fields.text("stream_name", clip(without_query(stream)));
                }
                if let (b"publish", Some(Value::Text(kind))) = (name, Value::read(at)) {
                    fields.text("publish_type", clip(kind));
                }
            }
            (b"deleteStream", _) => {
                if let Some(Value::Number(stream)) = Value::read(at) {
                    fields.number("stream_id", stream as u64);
                }
            }
            _ => {}
        }
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            self.tell(&oldest.fields, Direction::Forward, cx);
        }
        self.pending.push_back(Asked { transaction: transaction as u64, wants_status, fields });
    }

    fn answered(&mut self, name: &[u8], transaction: f64, at: &mut Cursor<'_>, cx: &mut Context<'_>) {
        let transaction = transaction as u64;
        let place = match name {
            b"_result" | b"_error" => {
                self.pending.iter().position(|asked| asked.transaction == transaction && transaction != 0)
            }
            b"onStatus" => self.pending.iter().position(|asked| asked.wants_status),
            _ => None,
        };
        let Some(mut asked) = place.and_then(|place| self.pending.remove(place)) else { return };
        asked.fields.text("reply", clip(name));
        // Properties or nothing, then what happened: an object, or the number of a stream.
        let properties = Value::read(at);
        if let Some(Value::Object(properties)) = properties {
            asked.fields.text_if("server", properties.text(b"fmsVer").map(clip));
        }
        match Value::read(at) {
            Some(Value::Object(info)) => {
                for key in ["level", "code", "description"] {
                    // Servers repeat the name as the client wrote it, its key included.
                    let text = info.text(key.as_bytes()).map(without_query);
                    asked.fields.text_if(key, text.map(clip));
                }
            }
            Some(Value::Number(stream)) => asked.fields.number("stream_id", stream as u64),
            _ => {}
        }
        self.tell(&asked.fields, Direction::Reverse, cx);
    }

    fn tell(&mut self, fields: &Fields, way: Direction, cx: &mut Context<'_>) {
        if self.told < COMMANDS_MAX {
            self.told += 1;
            cx.tell("rtmp", way, fields);
        }
    }
}

/// Keys and passwords stand behind the question mark.
fn without_query(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'?').next().unwrap_or(text)
}

/// `rtmp://host:port/app`.
fn host_of(url: &[u8]) -> Option<&[u8]> {
    let start = url.windows(3).position(|part| part == b"://")? + 3;
    url.get(start..)?.split(|byte| *byte == b'/').next()
}

fn clip(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

#[cfg(test)]
mod tests;
