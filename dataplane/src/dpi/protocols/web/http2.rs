//! What is asked for over HTTP/2 in clear? Frames are walked (RFC 9113), header blocks decoded; data are read where rules ask for bodies.
//!
//! Told as Suricata's `http` records with `version` 2, one a stream.

mod body;
mod control;
mod doh;
mod told;

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::body::Body;
use self::doh::Doh;
use self::told::Told;
use super::carried::Carried;
use super::events;
use super::hpack::{Broken, Decoder, Item};
use super::rides;
use super::told::Message;
use crate::dpi::fields::Value;
use crate::dpi::text::{decimal, has_word, starts_with_word};
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
/// Streams that may be open at once.
const OPEN_MAX: u32 = 4_096;
/// Streams that are over and remembered.
const CLOSED_MAX: usize = 16;
/// A header block, in one frame or several; longer ones end the parser.
const FRAME_BYTES_MAX: usize = 16_384;
/// A frame that is not DATA; longer ones are odd.
const CONTROL_BYTES_MAX: usize = 65_536;
/// Bodies of one connection whose codings are undone at once.
const CODED_MAX: usize = 4;

/// Kinds of frames (RFC 9113 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const PRIORITY: u8 = 2;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}
use kind::{CONTINUATION, DATA, HEADERS, PUSH_PROMISE, SETTINGS};

/// Flags (RFC 9113 6).
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// DNS over HTTP/2 (RFC 8484).
pub static DOH2: Protocol = Protocol::named("doh2", Category::Network, &[]);

/// A parser, for what begins with a preface.
#[must_use]
pub fn parser() -> Box<dyn Parser> {
    Box::<Http2>::default()
}

/// The request of an upgrade (RFC 7540 3.2), which becomes that of stream 1.
#[derive(Debug)]
pub struct HandedOver<'a> {
    /// What EVE has of it.
    pub fields: Fields,
    /// Its first line, in parts.
    pub method: &'a [u8],
    /// The second part.
    pub target: &'a [u8],
    /// Whom it was sent to.
    pub host: Option<&'a [u8]>,
    /// Its fields, as they came.
    pub block: &'a [u8],
    /// The value of `HTTP2-Settings`.
    pub settings: Option<&'a [u8]>,
}

/// A parser for what follows an upgrade.
#[must_use]
pub fn upgraded(request: HandedOver<'_>, cx: &mut Context<'_>) -> Box<dyn Parser> {
    let mut http2 = Http2::default();
    // RFC 7540 3.2.1: the payload of a SETTINGS frame in the alphabet of URLs.
    let settings = request.settings.map(|text| URL_SAFE_NO_PAD.decode(text.trim_ascii()));
    if !settings.is_some_and(|settings| settings.is_ok_and(|payload| payload.len().is_multiple_of(6))) {
        cx.anomaly("invalid_http1_settings");
    }
    let HandedOver { fields, method, target, host, block, .. } = request;
    http2.streams.push(Stream { fields, ..Stream::new(1) });
    http2.open = 1;
    if cx.rules.is_on() {
        let message = Message { name: HTTP2.name, transaction: 1, is_last: true };
        Told::handed_over(method, target, host, block).tell_handed_over(message, cx);
    }
    Box::new(http2)
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
    /// A DATA frame whose body is read.
    data: [Option<body::Frame>; 2],
    /// The client's first bytes were looked at.
    is_greeted: bool,
    /// It carries DNS.
    is_dns: bool,
    doh: Doh,
    /// Frames of the connection itself so far: rules have a transaction for each.
    globals: u32,
    /// Streams that are open, all of them.
    open: u32,
    /// Streams that were over last.
    closed: VecDeque<u32>,
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
    bodies: [Option<Box<Body>>; 2],
    /// Which ways rules were told that there is DATA.
    has_data: [bool; 2],
}

impl Stream {
    fn new(id: u32) -> Self {
        Self { id, fields: Fields::new(), has_status: false, bodies: [None, None], has_data: [false; 2] }
    }
}

/// Transactions of rules that are of the connection and of no stream have this bit.
const GLOBAL: u32 = 1 << 31;

impl Parser for Http2 {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(frame) = self.data[way as usize] {
            return self.payload(way, frame, bytes, cx);
        }
        if bytes.starts_with(PREFACE) {
            self.is_greeted |= way == Direction::Forward;
            return Step::Consumed(PREFACE.len());
        }
        if PREFACE.starts_with(bytes) {
            return Step::Consumed(0);
        }
        if way == Direction::Forward
            && !std::mem::replace(&mut self.is_greeted, true)
            && !cx.flow.is_midstream
        {
            cx.anomaly("invalid_client_magic");
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
            cx.anomaly("invalid_header");
            return Step::Done;
        }
        if matches!(kind, DATA | HEADERS) && self.closed.contains(&id) {
            cx.anomaly("stream_id_reuse");
        }
        match kind {
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                if len > FRAME_BYTES_MAX {
                    cx.anomaly("long_frame_data");
                    return Step::Done;
                }
                let Some(frame) = rest.get(..len) else { return Step::Consumed(0) };
                cx.rules.message(way, &PIECES, bytes, head.len(), len as u64);
                control::show(kind, flags, frame, cx);
                match self.header_frame(way, (kind, flags, id), frame, cx) {
                    Ok(()) => Step::Consumed(9 + len),
                    Err(anomaly) => {
                        cx.anomaly(anomaly);
                        Step::Done
                    }
                }
            }
            DATA => self.data_frame(way, (flags, id, len), bytes, cx),
            _ => self.control(way, (kind, flags, id, len), bytes, cx),
        }
    }

    fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Step {
        // What is missing of a body is missing; behind it the next frame is found. Else nothing can be unpacked any more.
        match &mut self.data[way as usize] {
            Some(frame) if (frame.left as u64) > len => {
                frame.left -= len as usize;
                let id = frame.id;
                let stream = self.streams.iter_mut().find(|stream| stream.id == id);
                if let Some(body) = stream.and_then(|stream| stream.bodies[way as usize].as_mut()) {
                    body.lose(cx);
                }
                Step::Consumed(0)
            }
            _ => Step::Done,
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        let name = self.name();
        for mut stream in std::mem::take(&mut self.streams) {
            for way in [Direction::Forward, Direction::Reverse] {
                if let Some(body) = stream.bodies[way as usize].take() {
                    body.end((name, stream.id), way, (false, &stream.fields), &mut self.doh, cx);
                }
            }
            cx.tell("http", Direction::Forward, &stream.fields);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
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
        const BROKEN: &str = "invalid_frame_data";
        let mut begun = match self.begun[way as usize].take() {
            Some(begun) if begun.carrier == stream => begun,
            Some(_) => return Err("invalid_header"),
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
            self.headers(way, (begun.id, begun.ends_stream), part, cx)?;
        } else {
            if begun.block.len() + part.len() > FRAME_BYTES_MAX || !begun.block.extend(part) {
                return Err("reassembly_limit_reached");
            }
            if !is_whole {
                self.begun[way as usize] = Some(begun);
                return Ok(());
            }
            self.headers(way, (begun.id, begun.ends_stream), &begun.block, cx)?;
        }
        if begun.ends_stream {
            self.end_stream(way, begun.id, false, cx);
        }
        Ok(())
    }

    /// What rules call it.
    const fn name(&self) -> &'static str {
        if self.is_dns { DOH2.name } else { HTTP2.name }
    }

    fn headers(
        &mut self,
        way: Direction,
        (id, is_last): (u32, bool),
        block: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), &'static str> {
        let place = self.stream(way, id, cx);
        let mut seen = Seen::default();
        let mut told = cx.rules.is_on().then(Told::default);
        let mut has_mismatch = false;
        let Some((stream, decoder)) = self.streams.get_mut(place).zip(self.decoders.get_mut(way as usize))
        else {
            return Ok(());
        };
        let read = decoder.block(block, |item| {
            let (name, value) = match item {
                Item::Field(name, value) => (name, value),
                Item::Size(size) => {
                    cx.rules.number(control::SIZE_UPDATE, size as u64);
                    return;
                }
            };
            if let Some(told) = &mut told {
                told.add(name, value, cx);
            }
            has_mismatch |= seen.note(name, value);
            stream.field(name, value, cx);
        });
        if has_mismatch {
            cx.anomaly("authority_host_mismatch");
        }
        if seen.has_wrong_range {
            cx.anomaly("invalid_range");
        }
        let asks_dns = seen.asks_dns();
        if (asks_dns || seen.is_dns) && !std::mem::replace(&mut self.is_dns, true) {
            cx.notes.set_protocol(&DOH2, 98);
        }
        let message = Message { name: self.name(), transaction: id, is_last };
        if let Some(told) = told {
            told.tell(way, message, cx);
        }
        if asks_dns {
            self.doh.target(&seen.target, cx);
        }
        let has_room = || {
            let bodies = self.streams.iter().flat_map(|stream| stream.bodies.iter().flatten());
            bodies.filter(|body| body.is_coded()).count() < CODED_MAX
        };
        let is_wanted = !is_last && (seen.is_dns || body::is_wanted(way, cx));
        if is_wanted && (seen.coding.is_empty() || has_room()) {
            let of = (self.name(), id);
            if let Some(stream) = self.streams.get_mut(place) {
                let carried = || stream.carried(way, of, seen.content_type(), seen.disposition());
                let carried = cx.wants_files().then(carried).flatten();
                let body = Box::new(Body::of(&seen.coding, seen.is_dns, carried));
                // A trailer has none of its own.
                stream.bodies[way as usize].get_or_insert(body);
            }
        }
        read.map_err(|broken| match broken {
            Broken::Malformed => "invalid_header",
            Broken::Overflow => "header_integer_overflow",
        })
    }

    /// The place of a stream, which begins where it is not known.
    fn stream(&mut self, way: Direction, id: u32, cx: &mut Context<'_>) -> usize {
        if let Some(place) = self.streams.iter().position(|stream| stream.id == id) {
            return place;
        }
        self.open = self.open.saturating_add(1);
        if self.open == OPEN_MAX + 1 {
            cx.anomaly("too_many_streams");
        }
        if self.streams.len() >= STREAMS_MAX {
            let oldest = self.streams.remove(0);
            cx.tell("http", way, &oldest.fields);
        }
        self.streams.push(Stream::new(id));
        self.streams.len() - 1
    }

    /// A frame that is neither DATA nor of a header block.
    fn control(
        &mut self,
        way: Direction,
        (kind, flags, id, len): (u8, u8, u32, usize),
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Step {
        if len > CONTROL_BYTES_MAX {
            cx.anomaly("long_frame_data");
        } else if !control::has_length(kind, len) {
            cx.anomaly("invalid_frame_length");
        }
        let is_read = cx.rules.is_on() && len <= FRAME_BYTES_MAX;
        let frame = bytes.get(9..9 + len);
        if is_read && frame.is_none() {
            return Step::Consumed(0);
        }
        cx.rules.message(way, &PIECES, bytes, 9, len as u64);
        if let Some(frame) = frame.filter(|_| is_read) {
            control::show(kind, flags, frame, cx);
            if id == 0 {
                self.globals = (self.globals + 1) & !GLOBAL;
                let transaction = GLOBAL | self.globals;
                cx.rules.stage(self.name(), transaction, way, true);
                cx.rules.end(transaction);
            } else {
                cx.rules.stage(self.name(), id, way, false);
            }
        }
        if kind == kind::RST_STREAM {
            // RFC 9113 6.4: it is over both ways.
            self.end_stream(way, id, true, cx);
        }
        Step::Consumed(9 + len)
    }

    /// The beginning of a DATA frame.
    fn data_frame(
        &mut self,
        way: Direction,
        (flags, id, len): (u8, u32, usize),
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Step {
        let is_padded = flags & PADDED != 0;
        let padding = match bytes.get(9) {
            Some(padding) if is_padded && len > 0 => usize::from(*padding),
            None if is_padded && len > 0 => return Step::Consumed(0),
            _ => 0,
        };
        let head = 9 + usize::from(is_padded && len > 0);
        let is_last = flags & END_STREAM != 0;
        if id == 0 {
            cx.anomaly("data_stream_zero");
        }
        let Some(left) = (len + 9).checked_sub(head + padding) else {
            cx.anomaly("invalid_frame_data");
            return Step::Done;
        };
        cx.rules.message(way, &PIECES, bytes, 9, len as u64);
        let name = self.name();
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            if cx.rules.is_on() && !std::mem::replace(&mut stream.has_data[way as usize], true) {
                control::show_kind(DATA, cx);
                cx.rules.stage(name, id, way, false);
            }
            if stream.bodies[way as usize].is_some() && left > 0 {
                self.data[way as usize] = Some(body::Frame { id, left, padding, is_last });
                return Step::Consumed(head);
            }
        }
        if is_last {
            self.end_stream(way, id, false, cx);
        }
        Step::Consumed(9 + len)
    }

    /// Bytes of a DATA frame.
    fn payload(&mut self, way: Direction, frame: body::Frame, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let read = bytes.get(..frame.left).unwrap_or(bytes);
        let name = self.name();
        let stream = self.streams.iter_mut().find(|stream| stream.id == frame.id);
        if let Some(Stream { bodies, fields, .. }) = stream
            && let Some(body) = &mut bodies[way as usize]
        {
            body.take((name, frame.id), way, (read, fields), cx);
        }
        let left = frame.left - read.len();
        self.data[way as usize] = Some(body::Frame { left, ..frame }).filter(|_| left > 0);
        if left > 0 {
            return Step::Consumed(read.len());
        }
        if frame.is_last {
            self.end_stream(way, frame.id, false, cx);
        }
        Step::Consumed(read.len() + frame.padding)
    }

    /// Nothing more of a stream goes `way`, or goes at all. END_STREAM of the responder closes the exchange.
    fn end_stream(&mut self, way: Direction, id: u32, is_reset: bool, cx: &mut Context<'_>) {
        let name = self.name();
        let Some(at) = self.streams.iter().position(|stream| stream.id == id) else { return };
        if let Some(body) = self.streams[at].bodies[way as usize].take() {
            body.end((name, id), way, (!is_reset, &self.streams[at].fields), &mut self.doh, cx);
        }
        if cx.rules.is_on() {
            cx.rules.stage(name, id, way, true);
        }
        if !is_reset && !self.streams[at].has_status {
            return;
        }
        let mut done = self.streams.remove(at);
        if done.has_status {
            done.fields.object("http2", |object| object.number("stream_id", id));
            cx.tell("http", way, &done.fields);
            if way == Direction::Reverse || is_reset {
                cx.rules.end(id);
            }
        } else {
            cx.tell("http", way, &done.fields);
        }
        self.open = self.open.saturating_sub(1);
        if self.closed.len() >= CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(id);
    }
}

/// What is compared and kept of the fields of a block while it is unpacked.
#[derive(Default)]
struct Seen {
    target: Vec<u8>,
    coding: Vec<u8>,
    authority: Vec<u8>,
    media: Vec<u8>,
    disposition: Vec<u8>,
    /// The body is a message of DNS, or the answer may be one.
    is_dns: bool,
    accepts_dns: bool,
    has_wrong_range: bool,
}

impl Seen {
    /// Notes a field; whether it contradicts one before.
    fn note(&mut self, name: &[u8], value: &[u8]) -> bool {
        match name {
            b":path" => self.target = value.to_vec(),
            b":authority" => self.authority = value.to_vec(),
            b"host" => return !self.authority.is_empty() && !self.authority.eq_ignore_ascii_case(value),
            b"content-encoding" => self.coding = value.to_vec(),
            b"content-type" => {
                self.is_dns = starts_with_word(value, doh::MEDIA);
                self.media = value.to_vec();
            }
            b"content-disposition" => self.disposition = value.to_vec(),
            b"accept" => self.accepts_dns = has_word(value, doh::MEDIA),
            b"content-range" => self.has_wrong_range = !events::is_range(value),
            _ => {}
        }
        false
    }

    fn content_type(&self) -> Option<&[u8]> {
        (!self.media.is_empty()).then_some(&*self.media)
    }

    fn disposition(&self) -> Option<&[u8]> {
        (!self.disposition.is_empty()).then_some(&*self.disposition)
    }

    /// Whether the target is a question.
    fn asks_dns(&self) -> bool {
        (self.accepts_dns || self.target.starts_with(b"/dns-query")) && doh::asked(&self.target).is_some()
    }
}

impl Stream {
    /// The file that its body is, which goes a way.
    fn carried(
        &self,
        way: Direction,
        of: (&'static str, u32),
        content_type: Option<&[u8]>,
        disposition: Option<&[u8]>,
    ) -> Option<Carried> {
        let text = |wanted: &str| {
            let found = self.fields.iter().find_map(|(key, value)| match value {
                Value::Text(text) if key == wanted => Some(text),
                _ => None,
            });
            found.unwrap_or_default()
        };
        match way {
            Direction::Forward => Carried::of_request(of, (text("http_method"), text("url")), content_type),
            Direction::Reverse => Some(Carried::of_response(of, text("url"), disposition)),
        }
    }

    /// Notes a field of a header block.
    fn field(&mut self, name: &[u8], value: &[u8], cx: &mut Context<'_>) {
        let fields = &mut self.fields;
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
                if let Some(status) = decimal(value) {
                    if status >= 400 {
                        cx.risk(Risk::ErrorCode, format_args!("http status {status}"));
                    }
                    fields.number("status", status);
                    self.has_status = true;
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
                if self.has_status {
                    fields.text("http_content_type", value);
                }
            }
            b"referer" => fields.text("http_refer", value),
            b"location" => fields.text("redirect", value),
            b"server" => cx.hint(HintKind::Server, value),
            b"authorization" if value.starts_with(b"Basic ") => {
                cx.risk(Risk::ClearTextCredentials, format_args!("http basic authorization"))
            }
            b"content-length" if self.has_status => {
                if let Some(length) = decimal(value) {
                    fields.number("length", length);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
