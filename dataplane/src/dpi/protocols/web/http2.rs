//! What is asked for over HTTP/2 in clear? Frames are walked (RFC 9113), header blocks decoded, data skipped.
//!
//! Told as Suricata's `http` records with `version` 2, one a stream.

use super::hpack::Decoder;
use super::rides;
use crate::dpi::{
    Category, Context, Fields, First, HintKind, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Risk,
    Step,
};
use crate::flow::Direction;

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

/// Streams that are open at once and remembered.
const STREAMS_MAX: usize = 16;
/// A header block in one frame; longer ones, and those in several, end the parser.
const FRAME_BYTES_MAX: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

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
        match kind {
            HEADERS => {
                if len > FRAME_BYTES_MAX {
                    cx.anomaly("header_frame_too_long");
                    return Step::Done;
                }
                let Some(frame) = rest.get(..len) else { return Step::Consumed(0) };
                // END_HEADERS missing: the block goes on in other frames, and the table is lost.
                if flags & 4 == 0 || self.headers(way, id, flags, frame, cx).is_none() {
                    cx.anomaly("invalid_header_block");
                    return Step::Done;
                }
            }
            CONTINUATION => return Step::Done,
            DATA => {}
            _ => {}
        }
        // END_STREAM of the responder closes the exchange.
        if matches!(kind, DATA | HEADERS) && flags & 1 != 0 {
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

impl Http2 {
    fn headers(
        &mut self,
        way: Direction,
        id: u32,
        flags: u8,
        frame: &[u8],
        cx: &mut Context<'_>,
    ) -> Option<()> {
        let mut block = frame;
        // RFC 9113 6.2: padding, then priority.
        if flags & 8 != 0 {
            let (padding, rest) = block.split_first()?;
            block = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        if flags & 0x20 != 0 {
            block = block.get(5..)?;
        }
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
        let read = decoder.block(block, |name, value| {
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
}
