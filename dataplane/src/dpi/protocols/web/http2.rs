//! What is asked for over HTTP/2 in clear? Frames are walked (RFC 9113), header blocks decoded, data skipped.
//!
//! Told as Suricata's `http` records with `version` 2, one a stream.

use super::hpack::Decoder;
use super::rides;
use super::told::{self, Message};
use crate::dpi::{
    Category, Context, Fields, First, HintKind, HostKind, Kept, Match, Over, Parser, Peek, Probe, Protocol,
    Risk, Step,
};
use crate::flow::Direction;
use crate::rules::detect::Message as Pieces;

/// HTTP/2 without TLS.
pub static HTTP2: Protocol = Protocol {
    name: "http2",
    eve: None,
    category: Category::Web,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(b"P"), look },
        Probe { over: Over::Tcp, first: First::Of(&[0]), look: look_at_settings },
    ],
    parser: Some(parser),
};

/// What a client says first (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What frames are to rules.
const PIECES: Pieces = Pieces::of("http2", "pdu", "hdr", "data");

/// Streams that are open at once and remembered.
const STREAMS_MAX: usize = 16;
/// A header block, in one frame or several; longer ones end the parser.
const FRAME_BYTES_MAX: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

/// Flags (RFC 9113 6).
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// A parser, for an upgrade.
#[must_use]
pub fn parser() -> Box<dyn Parser> {
    Box::<Http2>::default()
}

fn look(peek: &Peek<'_>) -> Match {
    let seen = peek.bytes.len().min(PREFACE.len());
    match peek.bytes.get(..seen) == PREFACE.get(..seen) {
        true if seen >= 16 => Match::Yes(99),
        true => Match::More,
        false => Match::No,
    }
}

/// A server begins with its settings: a length of sixes, type 4, stream 0, known identifiers.
fn look_at_settings(peek: &Peek<'_>) -> Match {
    let Some([0, high, low, SETTINGS, 0, 0, 0, 0, 0, rest @ ..]) = peek.bytes.get(..) else {
        return if peek.bytes.len() < 9 && peek.bytes.get(3).is_none_or(|kind| *kind == SETTINGS) {
            Match::More
        } else {
            Match::No
        };
    };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    let settings = rest.get(..len.min(rest.len())).unwrap_or_default();
    let are_known = settings.chunks_exact(6).all(|pair| pair[0] == 0 && (1..=9).contains(&pair[1]));
    Match::of(len.is_multiple_of(6) && len <= 60 && are_known && !settings.is_empty(), 90)
}

#[derive(Default)]
struct Http2 {
    decoders: [Decoder; 2],
    streams: Vec<Stream>,
    /// A header block that goes on in the direction's next frame.
    begun: [Option<Begun>; 2],
}

/// The beginning of a header block (RFC 9113 4.3).
struct Begun {
    /// The stream whose frames carry it, and the one that it is about.
    carrier: u32,
    id: u32,
    ends_stream: bool,
    block: Kept,
}

struct Stream {
    id: u32,
    fields: Fields,
    has_status: bool,
}

impl Parser for Http2 {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if bytes.starts_with(PREFACE) {
            return Step::Consumed(PREFACE.len());
        }
        if PREFACE.starts_with(bytes) {
            return Step::Consumed(0);
        }
        let Some((head, rest)) = bytes.split_first_chunk::<9>() else { return Step::Consumed(0) };
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        if kind > 0x20 && len > FRAME_BYTES_MAX {
            cx.anomaly("invalid_frame_header");
            return Step::Done;
        }
        if self.begun[way as usize].is_some() != (kind == CONTINUATION) {
            // RFC 9113 6.10: nothing else comes in between, and without a beginning none goes on.
            cx.anomaly("invalid_header_block");
            return Step::Done;
        }
        if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            if len > FRAME_BYTES_MAX {
                cx.anomaly("header_frame_too_long");
                return Step::Done;
            }
            let Some(frame) = rest.get(..len) else { return Step::Consumed(0) };
            cx.rules.message(way, &PIECES, bytes, head.len(), len as u64);
            return match self.header_frame(way, (kind, flags, id), frame, cx) {
                Ok(()) => Step::Consumed(9 + len),
                Err(anomaly) => {
                    cx.anomaly(anomaly);
                    Step::Done
                }
            };
        }
        cx.rules.message(way, &PIECES, bytes, head.len(), len as u64);
        // END_STREAM of the responder closes the exchange.
        if kind == DATA && flags & END_STREAM != 0 {
            self.close(way, id, cx);
        }
        Step::Consumed(9 + len)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for stream in self.streams.drain(..) {
            cx.tell("http", Direction::Forward, &stream.fields);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// What rules are told of a header block: the head of HTTP/1 that would say the same.
#[derive(Default)]
struct Told {
    method: Vec<u8>,
    path: Vec<u8>,
    status: Vec<u8>,
    fields: Vec<u8>,
}

/// Bytes of a block that are told; what is more is not.
const TOLD_BYTES_MAX: usize = 64 << 10;

impl Told {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":method" => self.method = value.to_vec(),
            b":path" => self.path = value.to_vec(),
            b":status" => self.status = value.to_vec(),
            _ => {}
        }
        if self.fields.len() + name.len() + value.len() < TOLD_BYTES_MAX {
            self.fields.extend_from_slice(name);
            self.fields.extend_from_slice(b": ");
            self.fields.extend_from_slice(value);
            self.fields.extend_from_slice(b"\r\n");
        }
    }

    fn tell(self, id: u32, is_last: bool, cx: &mut Context<'_>) {
        let Self { method, path, status, fields } = self;
        let message = Message { name: "http2", transaction: id, is_last };
        if status.is_empty() {
            let line = [&method[..], b" ", &path, b" HTTP/2\r\n"].concat();
            let head = [&line[..], &fields, b"\r\n"].concat();
            told::request(cx, message, (&method, &path, Some(b"HTTP/2")), &head);
        } else {
            let head = [b"HTTP/2 ", &status[..], b"\r\n", &fields, b"\r\n"].concat();
            told::response(cx, message, &head);
        }
    }
}

/// The header block in a HEADERS or PUSH_PROMISE frame (RFC 9113 6.2, 6.6): behind padding, priority, promised stream.
fn block_of(kind: u8, flags: u8, frame: &[u8]) -> Option<&[u8]> {
    let mut block = frame;
    if flags & PADDED != 0 {
        let (padding, rest) = block.split_first()?;
        block = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
    }
    match kind {
        PUSH_PROMISE => block.get(4..),
        _ if flags & PRIORITY != 0 => block.get(5..),
        _ => Some(block),
    }
}

/// The stream that a header block is about: of a promise the promised one, whose response comes later.
fn about(kind: u8, flags: u8, stream: u32, frame: &[u8]) -> u32 {
    let at = usize::from(flags & PADDED != 0);
    match frame.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        Some(promised) if kind == PUSH_PROMISE => u32::from_be_bytes(*promised) & 0x7fff_ffff,
        _ => stream,
    }
}

impl Http2 {
    /// Takes a frame with a header block, or a part of one. The block is read once it is whole, whatever becomes of it: it
    /// changes the table that all later ones refer to.
    fn header_frame(
        &mut self,
        way: Direction,
        (kind, flags, stream): (u8, u8, u32),
        frame: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), &'static str> {
        const BROKEN: &str = "invalid_header_block";
        let mut begun = match self.begun[way as usize].take() {
            Some(begun) if begun.carrier == stream => begun,
            Some(_) => return Err(BROKEN),
            None => Begun {
                carrier: stream,
                id: about(kind, flags, stream, frame),
                ends_stream: kind == HEADERS && flags & END_STREAM != 0,
                block: Kept::new(),
            },
        };
        let part = if kind == CONTINUATION { frame } else { block_of(kind, flags, frame).ok_or(BROKEN)? };
        let is_whole = flags & END_HEADERS != 0;
        if is_whole && begun.block.is_empty() {
            self.headers(way, (begun.id, begun.ends_stream), part, cx).ok_or(BROKEN)?;
        } else {
            if begun.block.len() + part.len() > FRAME_BYTES_MAX || !begun.block.extend(part) {
                return Err("header_frame_too_long");
            }
            if !is_whole {
                self.begun[way as usize] = Some(begun);
                return Ok(());
            }
            self.headers(way, (begun.id, begun.ends_stream), &begun.block, cx).ok_or(BROKEN)?;
        }
        if begun.ends_stream {
            self.close(way, begun.id, cx);
        }
        Ok(())
    }

    fn headers(
        &mut self,
        way: Direction,
        (id, is_last): (u32, bool),
        block: &[u8],
        cx: &mut Context<'_>,
    ) -> Option<()> {
        let at = match self.streams.iter().position(|stream| stream.id == id) {
            Some(at) => at,
            None => {
                if self.streams.len() >= STREAMS_MAX {
                    let oldest = self.streams.remove(0);
                    cx.tell("http", way, &oldest.fields);
                }
                self.streams.push(Stream { id, fields: Fields::new(), has_status: false });
                self.streams.len() - 1
            }
        };
        let stream = self.streams.get_mut(at)?;
        let decoder = self.decoders.get_mut(way as usize)?;
        let mut told = cx.rules.is_on().then(Told::default);
        let read = decoder.block(block, |name, value| {
            if let Some(told) = &mut told {
                told.add(name, value);
            }
            let fields = &mut stream.fields;
            match name {
                b":method" => {
                    fields.text("version", "2");
                    fields.text("http_method", value);
                }
                b":path" => {
                    cx.hint(HintKind::Url, value);
                    fields.text("url", value);
                }
                b":authority" | b"host" => {
                    if name == b":authority" && value.contains(&b'@') {
                        cx.anomaly("userinfo_in_uri");
                    }
                    cx.host(HostKind::Http, value);
                    fields.text("hostname", value);
                }
                b":status" => {
                    if let Some(status) = crate::dpi::text::decimal(value) {
                        if status >= 400 {
                            cx.risk(Risk::ErrorCode, format_args!("http status {status}"));
                        }
                        fields.number("status", status);
                        stream.has_status = true;
                    }
                }
                b"user-agent" => {
                    cx.hint(HintKind::UserAgent, value);
                    fields.text("http_user_agent", value);
                }
                b"content-type" => {
                    cx.hint(HintKind::ContentType, value);
                    if value.starts_with(b"application/grpc") {
                        cx.notes.set_protocol(&rides::GRPC, 98);
                    }
                    if stream.has_status {
                        fields.text("http_content_type", value);
                    }
                }
                b"referer" => fields.text("http_refer", value),
                b"location" => fields.text("redirect", value),
                b"server" => cx.hint(HintKind::Server, value),
                b"authorization" if value.starts_with(b"Basic ") => {
                    cx.risk(Risk::ClearTextCredentials, format_args!("http basic authorization"))
                }
                b"content-length" if stream.has_status => {
                    if let Some(length) = crate::dpi::text::decimal(value) {
                        fields.number("length", length);
                    }
                }
                _ => {}
            }
        });
        if let Some(told) = told {
            told.tell(id, is_last, cx);
        }
        read.ok()
    }

    fn close(&mut self, way: Direction, id: u32, cx: &mut Context<'_>) {
        if let Some(at) = self.streams.iter().position(|stream| stream.id == id && stream.has_status) {
            let mut done = self.streams.remove(at);
            done.fields.object("http2", |object| object.number("stream_id", id));
            cx.tell("http", way, &done.fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_known_by_their_shape() {
        let peek = |bytes| Peek {
            bytes,
            way: Direction::Reverse,
            nth: 0,
            ports: (1, 2),
            other: &[],
            previous: &[],
            is_multicast: false,
            is_tcp: true,
        };
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
        assert_eq!(look_at_settings(&peek(settings)), Match::Yes(90));
        assert_eq!(look_at_settings(&peek(b"\0\0\x07\x04\0\0\0\0\0\0\x03\0\0\0\x64\0")), Match::No);
        for len in 0..settings.len() {
            assert!(look_at_settings(&peek(&settings[..len])) != Match::Yes(95));
        }
        assert_eq!(look(&peek(PREFACE)), Match::Yes(99));
        assert_eq!(look(&peek(b"PRI")), Match::More);
    }
    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        frame.extend(payload);
        frame
    }

    /// What a conversation tells: `stream method url status` of its exchanges, and anomalies.
    fn told(client: &[Vec<u8>], server: &[Vec<u8>]) -> Vec<String> {
        use crate::dpi::fields::Value;
        let view = crate::dpi::FlowView {
            initiator: (crate::parse::Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (crate::parse::Addr::v4([192, 0, 2, 2]), 80),
            protocol: crate::parse::Protocol::TCP,
            is_midstream: false,
            is_established: true,
        };
        let mut told = Vec::new();
        let mut records = |record: crate::dpi::parser::Record<'_>| {
            let texts: Vec<String> = record
                .fields
                .iter()
                .filter_map(|(key, value)| match value {
                    Value::Text(text) if ["url", "http_method", "event"].contains(&key) => {
                        Some(String::from_utf8_lossy(text).into_owned())
                    }
                    Value::Unsigned(number) if key == "status" => Some(number.to_string()),
                    _ => None,
                })
                .collect();
            told.push(texts.join(" "));
        };
        let preface = [PREFACE.to_vec()];
        let client = preface.iter().chain(client).map(|bytes| (Direction::Forward, &bytes[..]));
        let payloads = client.chain(server.iter().map(|bytes| (Direction::Reverse, &bytes[..])));
        crate::dpi::feed::feed_parser(
            &mut Http2::default(),
            &view,
            &crate::dpi::AppTable::default(),
            payloads,
            &mut crate::dpi::Notes::default(),
            &mut records,
        );
        told
    }

    /// `:method: GET`, `:path: /a` as a literal that is kept, and the same by its index in the table.
    const GET: &[u8] = b"\x82\x44\x02/a";
    const AGAIN: &[u8] = b"\x82\xbe";
    const OK: &[u8] = b"\x88";

    #[test]
    fn a_header_block_may_come_in_several_frames() {
        let expected = ["GET /a 200"];
        for at in 0..GET.len() {
            let (begin, rest) = GET.split_at(at);
            let client = [frame(HEADERS, END_STREAM, 1, begin), frame(CONTINUATION, END_HEADERS, 1, rest)];
            let server = [frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)];
            assert_eq!(told(&client, &server), expected, "{at}");
            let mut padded = vec![3, 0, 0, 0, 0, 16];
            padded.extend(begin);
            padded.extend([0; 3]);
            let client = [
                frame(HEADERS, END_STREAM | PADDED | PRIORITY, 1, &padded),
                frame(CONTINUATION, 0, 1, b""),
                frame(CONTINUATION, END_HEADERS, 1, rest),
            ];
            assert_eq!(told(&client, &server), expected, "{at}");
        }
    }

    #[test]
    fn nothing_comes_between_the_parts_of_a_header_block() {
        for between in [
            frame(DATA, 0, 1, b"x"),
            frame(CONTINUATION, END_HEADERS, 3, GET),
            frame(HEADERS, END_HEADERS, 3, GET),
        ] {
            assert_eq!(told(&[frame(HEADERS, 0, 1, b"\x82"), between], &[])[0], "invalid_header_block");
        }
        assert_eq!(told(&[frame(CONTINUATION, END_HEADERS, 1, GET)], &[])[0], "invalid_header_block");
        let endless: Vec<_> = std::iter::once(frame(HEADERS, 0, 1, &[0x82; 200]))
            .chain(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[0x82; 200]), 100))
            .collect();
        assert_eq!(told(&endless, &[])[0], "header_frame_too_long");
    }

    #[test]
    fn what_a_server_promises_is_told_and_keeps_the_table_right() {
        let mut promise = vec![0, 0, 0, 2];
        promise.extend(GET);
        let server = [
            frame(PUSH_PROMISE, END_HEADERS, 1, &promise),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, OK),
            frame(HEADERS, END_HEADERS | END_STREAM, 2, OK),
        ];
        let client = [frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)];
        assert_eq!(told(&client, &server), ["GET /a 200", "GET /a 200"]);
        promise.truncate(4);
        promise.extend(AGAIN);
        let server = [
            frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], GET].concat()),
            frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 4][..], AGAIN].concat()),
            frame(HEADERS, END_HEADERS | END_STREAM, 4, OK),
        ];
        assert_eq!(told(&client, &server)[0], "GET /a 200");
    }
}
