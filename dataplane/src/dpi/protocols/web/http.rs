//! What is asked for over HTTP/1, and what is answered?
//!
//! Heads are read, bodies are skipped but for their first bytes; requests wait in order for their responses (RFC 9112
//! 9.3.2) and are told together. After CONNECT and after an upgrade the bytes go to whoever speaks next.

use crate::dpi::text::{has_word, starts_with_word};
use std::collections::VecDeque;

use super::body::Codings;
use super::carried::Carried;
use super::head::{self, HEAD_BYTES_MAX, Head, RequestLine};
use super::inside::Inside;
use super::judge::{self, is_harmless};
use super::told::{self, Message, REQUEST_BODY, RESPONSE_BODY};
use super::{http2, rides, websocket};
use crate::dpi::fields::Value;
use crate::dpi::{
    Category, Context, Fields, First, HintKind, HostKind, Kept, Match, Over, Parser, Peek, Probe, Protocol,
    Risk, Step,
};
use crate::flow::Direction;
use crate::rules::language::frames::frame;
use crate::rules::rule::{BufferId, FrameId};

/// HTTP/1 and older.
pub static HTTP: Protocol = Protocol {
    name: "http",
    eve: None,
    category: Category::Web,
    probes: &[Probe { over: Over::Tcp, first: First::In(b'A', b'Z'), look }],
    parser: Some(|| Box::<Http>::default()),
};

/// What requests and responses are to rules.
const REQUEST_FRAME: FrameId = frame("http1", "request");
const RESPONSE_FRAME: FrameId = frame("http1", "response");

/// Requests that wait for their response.
const PENDING_MAX: usize = 16;
/// Bytes of a body that are looked at.
const SNIFF_BYTES: u64 = 256;
/// A request line that is longer is none.
const LINE_BYTES_MAX: usize = 4_000;

/// Methods that make a request without a version (HTTP/0.9) or an unfinished line believable.
const METHODS: [&[u8]; 11] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"SOURCE",
];

fn look(peek: &Peek<'_>) -> Match {
    start_of(peek.bytes)
}

/// Whether a message of HTTP/1 begins here.
pub fn start_of(bytes: &[u8]) -> Match {
    for status in [&b"HTTP/1."[..], b"HTTP/0.", b"ICY "] {
        let seen = bytes.len().min(status.len());
        if bytes.get(..seen) == status.get(..seen) {
            return if bytes.len() < 12 {
                Match::More
            } else {
                Match::sure(head::status_of(bytes).is_some())
            };
        }
    }
    let Some(blank) =
        bytes.iter().take(24).position(|byte| !byte.is_ascii_uppercase() && *byte != b'_' && *byte != b'-')
    else {
        return if bytes.len() < 24 { Match::More } else { Match::No };
    };
    let (method, rest) = bytes.split_at(blank);
    // HTTP/2 begins with a request of its own (RFC 9113 3.4).
    if method.len() < 2 || method == b"PRI" || rest.first() != Some(&b' ') {
        return Match::No;
    }
    let is_known = METHODS.contains(&method);
    // Servers take more than one blank (RFC 9112 3).
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let rest = if is_known { rest.get(blanks - 1..).unwrap_or_default() } else { rest };
    match rest.get(1) {
        None => return Match::More,
        Some(b'/' | b'*') => {}
        Some(byte) if is_known && (byte.is_ascii_alphanumeric() || *byte == b'[') => {}
        // A proxy's client may use any method.
        Some(b'h') if starts_with_word(rest.get(1..).unwrap_or_default(), b"http") => {}
        Some(_) => return Match::No,
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().trim_ascii();
    let version = line.iter().rposition(|byte| *byte == b' ').and_then(|at| line.get(at + 1..));
    match (version, end) {
        // "HTTP/1.1", of which more is to come.
        (Some(version), None) if version.starts_with(b"HTTP/") && version.len() < 8 => Match::More,
        (Some(version), _) if version.starts_with(b"HTTP/") => Match::of(head::is_version(version), 95),
        (Some(version), Some(_)) if version.get(4..5) == Some(b"/") || version.get(3..4) == Some(b"/") => {
            Match::No
        }
        // HTTP/0.9, or a version that was left out: fields tell, or that nothing is behind the path.
        (_, Some(end)) if is_known && has_host(rest.get(end..).unwrap_or_default()) => Match::Yes(85),
        (_, Some(_)) if is_known && line.starts_with(b"/") && !line.contains(&b' ') => Match::Yes(85),
        (_, Some(_)) => Match::of(method == b"GET" && rest.get(1) == Some(&b'/'), 60),
        (_, None) if bytes.len() > LINE_BYTES_MAX => Match::No,
        // A long target in a segment of its own.
        (_, None) if is_known && bytes.len() >= 1_200 => Match::Yes(85),
        (_, None) => Match::More,
    }
}

/// Whether a field `Host` is among the `lines`.
fn has_host(lines: &[u8]) -> bool {
    lines.split(|byte| *byte == b'\n').take(32).any(|line| starts_with_word(line, b"host:"))
}

/// Reads the messages of one flow.
#[derive(Default)]
struct Http {
    ways: [Way; 2],
    pending: VecDeque<Pending>,
    inside: Option<Box<Inside>>,
    /// Bytes are missing, so that a response may be to a request that was not seen.
    has_gap: bool,
    /// Heads of which bytes are missing, by direction: read on as if nothing were.
    broken: [Kept; 2],
    /// The head that is read is one of these.
    is_broken: bool,
    /// Messages so far, by direction: rules know a transaction by its number.
    messages: [u32; 2],
}

#[derive(Default)]
struct Way {
    state: State,
    /// Bytes that were searched for the end of the head.
    searched: usize,
    /// Whether the first bytes of the body were looked at.
    sniffed: bool,
    is_request: bool,
    encoded: bool,
    /// The type of the body is none that programs have.
    claims_harmless: bool,
    /// An answer without a head, of which whole lines came so far: a head may follow.
    may_end: bool,
    /// The lines of chunks end with a line feed alone.
    ends_bare: bool,
    /// Bytes of the body so far, where its length is only known at its end.
    len: u64,
    /// The response that waits for its length.
    waiting: Option<Pending>,
    /// What rules are told of the message.
    told: Option<Box<Told>>,
}

impl Way {
    const fn has_body(&self) -> bool {
        matches!(self.state, State::Body(_) | State::Chunk(_) | State::UntilEnd)
    }

    /// Bytes of the line end behind a chunk: as its size had it.
    fn chunk_end(&self) -> u64 {
        if self.ends_bare { 1 } else { 2 }
    }
}

/// A message whose body rules are told, or of whose files there are records.
struct Told {
    transaction: u32,
    codings: Codings,
    /// Whether rules ask for it.
    is_asked: bool,
    /// Where somebody asks for files.
    carried: Option<Carried>,
    /// What EVE has of the message, for its files.
    around: Fields,
}

#[derive(Default, Clone, Copy)]
enum State {
    #[default]
    Head,
    /// A body with so many bytes left.
    Body(u64),
    /// A body in chunks: bytes left of this chunk and its line end, 0 where a size comes.
    Chunk(u64),
    /// The trailer after the last chunk.
    Trailer,
    /// A body that ends with the flow.
    UntilEnd,
    /// The other side decides whether HTTP goes on.
    Switching,
    /// Where bytes were lost: the next head is looked for.
    Lost,
}

struct Pending {
    fields: Fields,
    kind: Kind,
    /// The head, where HTTP/2 may get it.
    head: Kept,
    /// An interim response said to go on.
    has_continued: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usual,
    Head,
    Connect,
    WebSocket,
    Http2,
    Upgrade,
    /// HTTP/0.9: the answer is a body and nothing else.
    Bare,
}

impl Parser for Http {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.data(way, bytes, cx);
        }
        let before = (self.messages[way as usize], self.is_between(way));
        let step = self.read(way, bytes, cx);
        if let Step::Consumed(len @ 1..) = step
            && self.is_between(way)
            && before != (self.messages[way as usize], true)
        {
            // A message is over.
            cx.rules.end_chunk(way, len.saturating_sub(bytes.len()) as u64);
        }
        step
    }

    fn before_gap(&mut self, way: Direction, unread: &[u8], cx: &mut Context<'_>) {
        if self.inside.is_some() {
            return;
        }
        let index = way as usize;
        match self.ways[index].state {
            State::Head if unread.len() <= HEAD_BYTES_MAX => self.broken[index] = Kept::of(unread),
            State::Body(_) | State::Chunk(1..) => {
                // No more of it comes to be judged by.
                self.sniff(index, unread, cx);
                self.read(way, unread, cx);
            }
            _ => {}
        }
    }

    /// A head goes on behind the gap as if nothing were missing, as libhtp reads it: what hides a byte of a target hides no more
    /// of it. Of a body the bytes count.
    fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.gap(way, len, cx);
        }
        self.has_gap = true;
        let is_broken = !self.broken[way as usize].is_empty();
        let own = &mut self.ways[way as usize];
        own.searched = 0;
        if let Some(carried) = own.told.as_mut().and_then(|told| told.carried.as_mut()) {
            carried.lose(cx);
        }
        own.state = match own.state {
            State::Body(left) if left > len => State::Body(left - len),
            State::Body(left) if left == len => State::Head,
            State::Chunk(left) if left > len => State::Chunk(left - len),
            State::UntilEnd => State::UntilEnd,
            State::Head if is_broken => State::Head,
            // What comes next of answers shows whether it is a head, see `begins_body`.
            State::Head | State::Body(_) if way == Direction::Reverse => State::Head,
            _ => State::Lost,
        };
        own.len += len;
        if matches!(own.state, State::Head) {
            self.end_body(way, false, cx);
        }
        Step::Consumed(0)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for way in [Direction::Forward, Direction::Reverse] {
            self.finish(way, cx);
            let is_whole = matches!(self.ways[way as usize].state, State::UntilEnd);
            self.end_body(way, is_whole, cx);
        }
        while let Some(pending) = self.pending.pop_front() {
            cx.tell("http", Direction::Forward, &pending.fields);
        }
        if let Some(inside) = &mut self.inside {
            inside.end(cx);
        }
    }

    fn describe(&self, transaction: u32, to: &mut Fields) -> Option<&'static str> {
        if let Some(inside) = &self.inside {
            return inside.describe(transaction, to);
        }
        let [requests, answers] = self.messages;
        let waiting = self.ways[Direction::Reverse as usize].waiting.as_ref();
        if let Some(waiting) = waiting.filter(|_| transaction.wrapping_add(1) == answers) {
            to.append(&waiting.fields);
            return Some("http");
        }
        let oldest = requests.wrapping_sub(self.pending.len() as u32);
        let pending = self.pending.get(transaction.wrapping_sub(oldest) as usize)?;
        to.append(&pending.fields);
        Some("http")
    }

    fn start_over(&mut self) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        *self = Self { pending, ..Self::default() };
        true
    }
}

impl Http {
    /// Whether the next message of a direction is waited for.
    const fn is_between(&self, way: Direction) -> bool {
        matches!(self.ways[way as usize].state, State::Head | State::Switching)
    }

    fn read(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let index = way as usize;
        match self.ways[index].state {
            State::Head if !self.broken[index].is_empty() => self.head_over_gap(way, bytes, cx),
            State::Head => self.head(way, bytes, cx),
            State::Body(left) => self.body(way, bytes, left, cx),
            State::Chunk(left) => self.chunk(way, bytes, left, cx),
            State::Trailer => self.trailer(way, bytes, cx),
            State::UntilEnd => self.until_end(way, bytes, cx),
            State::Switching => {
                let is_tunnel = self.pending.back().is_some_and(|pending| pending.kind == Kind::Connect)
                    && !bytes.first().is_some_and(u8::is_ascii_uppercase);
                if is_tunnel {
                    // The proxy's answer was not seen.
                    return self.inside.insert(Box::default()).data(way, bytes, cx);
                }
                if bytes.len() > HEAD_BYTES_MAX { Step::Done } else { Step::Consumed(0) }
            }
            State::Lost => {
                if matches!(start_of(bytes), Match::Yes(80..)) {
                    self.ways[index].state = State::Head;
                    return self.head(way, bytes, cx);
                }
                Step::Consumed(bytes.len())
            }
        }
    }

    /// Reads on in a head of which bytes are missing.
    fn head_over_gap(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut whole = std::mem::take(&mut self.broken[way as usize]);
        if matches!(start_of(bytes), Match::Yes(95..)) {
            // The rest of it is missing too.
            return self.head(way, bytes, cx);
        }
        let before = whole.len();
        if before + bytes.len() > HEAD_BYTES_MAX || !whole.extend(bytes) {
            self.ways[way as usize] = Way { state: State::Lost, ..Way::default() };
            return Step::Consumed(bytes.len());
        }
        self.is_broken = true;
        let step = self.head(way, &whole, cx);
        self.is_broken = false;
        match step {
            Step::Consumed(0) => {
                self.broken[way as usize] = whole;
                Step::Consumed(bytes.len())
            }
            // What was there before the gap is no head by itself.
            Step::Consumed(len) => Step::Consumed(len.saturating_sub(before)),
            end => end,
        }
    }

    /// Whether an answer begins with its body: to a request of HTTP/0.9, or because there is no status line. Clients take such an
    /// answer for a body that ends with the flow, and so does libhtp.
    fn begins_body(&self, way: Direction, bytes: &[u8]) -> bool {
        let Some(pending) = self.pending.front().filter(|_| way == Direction::Reverse) else { return false };
        let is_status = [&b"HTTP/"[..], b"ICY "].iter().any(|status| {
            let seen = bytes.len().min(status.len());
            bytes.get(..seen) == status.get(..seen)
        });
        match pending.kind {
            Kind::Bare => true,
            Kind::Usual => !is_status && !matches!(start_of(bytes), Match::Yes(_)),
            Kind::Head | Kind::Connect | Kind::WebSocket | Kind::Http2 | Kind::Upgrade => false,
        }
    }

    /// An answer without a head begins, which is a body that ends with the flow.
    fn bare_answer(&mut self, way: Direction, cx: &mut Context<'_>) {
        let Some(pending) = self.pending.pop_front() else { return };
        if pending.kind != Kind::Bare && !self.has_gap && !cx.flow.is_midstream {
            cx.risk(Risk::MalformedMessage, format_args!("http answer without a status line"));
        }
        let may_end = pending.kind != Kind::Bare;
        self.ways[way as usize] = Way { state: State::UntilEnd, may_end, ..Way::default() };
        let of = self.messages[way as usize];
        let carried = self
            .carries(way, cx)
            .then(|| Carried::of_response((told::NAME, of), target_of(&pending.fields), None));
        self.ways[way as usize].waiting = Some(pending);
        self.begin_body(way, &Head::default(), carried, cx);
    }

    /// Bytes of a body that ends with the flow.
    fn until_end(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let own = &mut self.ways[way as usize];
        if own.may_end && own.len > 0 && bytes.starts_with(b"HTTP/") {
            self.finish(way, cx);
            self.end_body(way, false, cx);
            self.ways[way as usize] = Way::default();
            return self.head(way, bytes, cx);
        }
        own.may_end &= bytes.ends_with(b"\n");
        self.sniff(way as usize, bytes, cx);
        self.tell_body(way, bytes, cx);
        self.ways[way as usize].len += bytes.len() as u64;
        Step::Consumed(bytes.len())
    }

    fn head(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let own = &mut self.ways[way as usize];
        // RFC 9112 2.2: empty lines before a request are passed over.
        let blanks = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | b' ' | b'\t')).count();
        if blanks > 0 {
            let is_indented = bytes.get(blanks - 1).is_some_and(|byte| matches!(byte, b' ' | b'\t'));
            if is_indented && way == Direction::Forward && blanks < bytes.len() {
                cx.anomaly("request_line_leading_whitespace");
            }
            return Step::Consumed(blanks);
        }
        if own.searched == 0 && bytes.starts_with(http2::PREFACE) {
            return self.inside.insert(Box::new(Inside::with(http2::parser()))).data(way, bytes, cx);
        }
        if self.begins_body(way, bytes) {
            let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            if bytes.get(line) == Some(&b'H') {
                // One line before a status line is passed over.
                return Step::Consumed(line);
            }
            self.bare_answer(way, cx);
            return self.until_end(way, bytes, cx);
        }
        let own = &mut self.ways[way as usize];
        let Some(len) = head::head_len(bytes, own.searched) else {
            own.searched = bytes.len();
            return self.unfinished(way, bytes, cx);
        };
        own.searched = 0;
        let (head_bytes, _) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        let head = head::read(head_bytes);
        if head.first.starts_with(b"HTTP/") || head.first.starts_with(b"ICY ") {
            self.response(way, &head, head_bytes, cx);
            self.tell_frame(way, RESPONSE_FRAME, bytes, len, cx);
        } else if let Some(line) = head::request_line(head.first) {
            if line.version.is_none() {
                cx.anomaly("request_line_missing_protocol");
            }
            self.request(way, &line, &head, head_bytes, cx);
            self.tell_frame(way, REQUEST_FRAME, bytes, len, cx);
        } else {
            cx.anomaly("unable_to_match_response_to_request");
            if !cx.flow.is_midstream {
                cx.risk(
                    Risk::MalformedMessage,
                    format_args!("http head that is neither request nor response"),
                );
            }
            self.ways[way as usize].state = State::Lost;
        }
        Step::Consumed(len)
    }

    /// Tells rules a message, whose head has `len` bytes and was read: how long it is, is known or is not.
    fn tell_frame(&self, way: Direction, kind: FrameId, bytes: &[u8], len: usize, cx: &mut Context<'_>) {
        if self.is_broken {
            return;
        }
        let len = len as u64;
        let whole = match self.ways[way as usize].state {
            State::Body(left) => Some(len.saturating_add(left)),
            State::Chunk(_) | State::Trailer | State::UntilEnd => None,
            State::Head | State::Switching | State::Lost => Some(len),
        };
        cx.rules.frame_of(way, kind, bytes, whole);
    }

    /// A head that does not end: HTTP/0.9, or more is to come.
    fn unfinished(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if bytes.len() > HEAD_BYTES_MAX {
            cx.anomaly(match way {
                Direction::Forward => "request_field_too_long",
                Direction::Reverse => "response_field_too_long",
            });
            self.ways[way as usize] = Way { state: State::Lost, ..Way::default() };
            return Step::Consumed(bytes.len());
        }
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Step::Consumed(0) };
        let line = bytes.get(..end).unwrap_or_default().trim_ascii();
        if let Some(line) = head::request_line(line)
            && line.version.is_none()
            && METHODS.contains(&line.method)
        {
            self.ways[way as usize].searched = 0;
            self.request(way, &line, &Head::default(), bytes.get(..=end).unwrap_or_default(), cx);
            return Step::Consumed(end + 1);
        }
        Step::Consumed(0)
    }

    fn request(
        &mut self,
        way: Direction,
        line: &RequestLine<'_>,
        head: &Head<'_>,
        head_bytes: &[u8],
        cx: &mut Context<'_>,
    ) {
        let RequestLine { method, target, version } = *line;
        let host = match head.host {
            _ if method == b"CONNECT" => Some(target),
            Some(host) if !host.is_empty() => Some(host),
            _ => authority_of(target),
        };
        // The first host is the flow's: others on the same connection are seldom other sites.
        if let Some(host) = host
            && cx.notes.host().is_none()
        {
            cx.host(HostKind::Http, host);
        }
        if let Some(agent) = head.user_agent {
            cx.hint(HintKind::UserAgent, agent);
        }
        cx.hint(HintKind::Url, target);
        rides::of_request(method, target, head, cx);
        judge::request(target, head, cx);
        if head.length_is_wrong {
            cx.anomaly("invalid_content_length_field_in_request");
        }
        if version.is_some() && head.host.is_none() && version == Some(b"HTTP/1.1") {
            cx.anomaly("missing_host_header");
        }
        let mut fields = Fields::new();
        if let Some(host) = host {
            let (name, port) = split_port(host);
            let mut lower = [0_u8; 256];
            let len = name.len().min(lower.len());
            if let (Some(place), Some(name)) = (lower.get_mut(..len), name.get(..len)) {
                place.copy_from_slice(name);
                place.make_ascii_lowercase();
                fields.text("hostname", place);
            }
            if let Some(port) = port {
                fields.number("http_port", port);
            }
        }
        fields.text("url", target);
        fields.text_if("http_user_agent", head.user_agent);
        fields.text_if("xff", head.forwarded_for);
        fields.text_if("http_refer", head.referer);
        fields.text("http_method", method);
        fields.text_if("protocol", version);
        let upgrade = head.upgrade.unwrap_or_default();
        let kind = match method {
            b"CONNECT" => Kind::Connect,
            b"HEAD" => Kind::Head,
            _ if has_word(upgrade, b"websocket") => Kind::WebSocket,
            _ if starts_with_word(upgrade, b"h2c") => Kind::Http2,
            _ if !upgrade.is_empty() => Kind::Upgrade,
            _ if version.is_none() && head.fields == 0 => Kind::Bare,
            _ => Kind::Usual,
        };
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            cx.tell("http", way, &oldest.fields);
        }
        let kept = if kind == Kind::Http2 { Kept::of(head_bytes) } else { Kept::new() };
        self.pending.push_back(Pending { fields, kind, head: kept, has_continued: false });
        let own = &mut self.ways[way as usize];
        *own = Way {
            is_request: true,
            encoded: head.content_encoded,
            claims_harmless: is_harmless(head.content_type),
            ..Way::default()
        };
        own.state = match (head.is_chunked, head.content_length) {
            _ if kind == Kind::Connect => State::Switching,
            (true, _) => State::Chunk(0),
            (false, Some(len)) if len > 0 => State::Body(len),
            _ if matches!(kind, Kind::WebSocket | Kind::Http2) => State::Switching,
            _ => State::Head,
        };
        let of = self.messages[way as usize];
        let carried = self
            .carries(way, cx)
            .then(|| Carried::of_request((told::NAME, of), (method, target), head.content_type));
        let (transaction, is_last) = self.begin_body(way, head, carried.flatten(), cx);
        if let Some(told) = self.ways[way as usize].told.as_mut().filter(|told| told.carried.is_some())
            && let Some(pending) = self.pending.back()
        {
            told.around = pending.fields.clone();
        }
        let message = Message { name: told::NAME, transaction, is_last };
        told::request(cx, message, (method, target, version), head_bytes);
    }

    /// Whether the message of a direction has a body whose files somebody asks for.
    fn carries(&self, way: Direction, cx: &Context<'_>) -> bool {
        self.ways[way as usize].has_body() && cx.wants_files()
    }

    /// A message begins: the number of its transaction, and whether its head is all that rules are told of it.
    fn begin_body(
        &mut self,
        way: Direction,
        head: &Head<'_>,
        carried: Option<Carried>,
        cx: &Context<'_>,
    ) -> (u32, bool) {
        let messages = &mut self.messages[way as usize];
        let transaction = *messages;
        *messages = messages.wrapping_add(1);
        let own = &mut self.ways[way as usize];
        let is_asked = own.has_body()
            && (cx.rules.wants(Self::body_of(way)[0]) || (carried.is_some() && cx.rules.wants_files()));
        if is_asked || carried.is_some() {
            // What clients send is told as it comes.
            let coding = head.content_encoding.filter(|_| way == Direction::Reverse);
            let is_hashed = carried.is_some() && !cx.wants_hashes().is_empty();
            let codings = Codings::of(coding.unwrap_or_default()).whole(is_hashed);
            own.told =
                Some(Box::new(Told { transaction, codings, is_asked, carried, around: Fields::new() }));
        }
        (transaction, !is_asked)
    }

    const fn body_of(way: Direction) -> &'static [BufferId; 1] {
        match way {
            Direction::Forward => &[REQUEST_BODY],
            Direction::Reverse => &[RESPONSE_BODY],
        }
    }

    /// Tells rules and files a piece of a body.
    fn tell_body(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) {
        let Some(told) = &mut self.ways[way as usize].told else { return };
        let Told { transaction, codings, carried, around, .. } = &mut **told;
        let had_failed = codings.have_failed();
        let is_told_with_file = carried.as_ref().is_some_and(Carried::tells_body);
        codings.decode(bytes, &mut |piece| {
            if !is_told_with_file {
                cx.rules.body(told::NAME, (*transaction, Self::body_of(way)), way, piece, false);
            }
            if let Some(carried) = carried {
                carried.data(piece, around, cx);
            }
        });
        if codings.have_failed() && !had_failed {
            cx.anomaly("gzip_decompression_failed");
        }
    }

    /// A message is over; whether all of its body came.
    fn end_body(&mut self, way: Direction, is_whole: bool, cx: &mut Context<'_>) {
        let Some(told) = self.ways[way as usize].told.take() else { return };
        let Told { transaction, codings, is_asked, carried, around } = *told;
        if !carried.as_ref().is_some_and(Carried::tells_body) {
            cx.rules.body(told::NAME, (transaction, Self::body_of(way)), way, &[], true);
        }
        if let Some(carried) = carried {
            carried.end(is_whole && !codings.is_cut(), &around, cx);
        }
        if is_asked {
            cx.rules.stage(told::NAME, transaction, way, true);
        }
        if !around.is_empty() {
            cx.rules.attach(transaction, "http", around.as_bytes());
        }
    }

    fn response(&mut self, way: Direction, head: &Head<'_>, head_bytes: &[u8], cx: &mut Context<'_>) {
        let status = head::status_of(head.first).unwrap_or_default();
        // RFC 9110 15.2: an interim response is followed by the final one.
        if matches!(status, 100 | 103) {
            if status == 100
                && let Some(pending) = self.pending.front_mut()
                && std::mem::replace(&mut pending.has_continued, true)
            {
                cx.anomaly("100_continue_already_seen");
            }
            return;
        }
        if let Some(server) = head.server {
            cx.hint(HintKind::Server, server);
        }
        rides::of_response(head, cx);
        judge::response(head, cx);
        if status >= 400 {
            cx.risk(Risk::ErrorCode, format_args!("http status {status}"));
        }
        if head.length_is_wrong {
            cx.anomaly("invalid_content_length_field_in_response");
        }
        if self.pending.is_empty() && !cx.flow.is_midstream && !self.has_gap {
            cx.anomaly("unable_to_match_response_to_request");
        }
        let mut pending = self.pending.pop_front().unwrap_or_else(|| {
            let mut fields = Fields::new();
            let version = head.first.split(|byte| *byte == b' ').next();
            fields.text_if("protocol", version);
            Pending { fields, kind: Kind::Usual, head: Kept::new(), has_continued: false }
        });
        let fields = &mut pending.fields;
        fields.text_if("http_content_type", head.content_type.map(media_type));
        if let Some(range) = head.content_range {
            content_range(fields, range);
        }
        fields.text_if("redirect", head.location);
        if status > 0 {
            fields.number("status", status);
        }
        // The server says to what it switches.
        let upgrade = head.upgrade.filter(|_| status == 101).unwrap_or_default();
        let kind = match pending.kind {
            Kind::Usual | Kind::Upgrade if starts_with_word(upgrade, b"h2c") => Kind::Http2,
            Kind::Usual | Kind::Upgrade if has_word(upgrade, b"websocket") => Kind::WebSocket,
            kind => kind,
        };
        if cx.is_changing && matches!(kind, Kind::Http2 | Kind::WebSocket) && status == 101 {
            cx.anomaly_inside(told::NAME, "failed_protocol_change");
        }
        let handed_over = std::mem::take(&mut pending.head);
        let switches = match kind {
            Kind::Connect => (200..300).contains(&status),
            _ => status == 101,
        };
        let has_body = kind != Kind::Head && !matches!(status, 101 | 204 | 304) && !switches;
        let state = match (has_body, head.is_chunked, head.content_length) {
            (false, ..) | (true, false, Some(0)) => State::Head,
            (true, true, _) => State::Chunk(0),
            (true, false, Some(len)) => State::Body(len),
            (true, false, None) => State::UntilEnd,
        };
        let own = &mut self.ways[way as usize];
        *own = Way {
            state,
            encoded: head.content_encoded,
            claims_harmless: is_harmless(head.content_type),
            ..Way::default()
        };
        if let State::Body(len) = state {
            own.len = len;
        }
        let of = self.messages[way as usize];
        let carried = self.carries(way, cx).then(|| {
            Carried::of_response((told::NAME, of), target_of(&pending.fields), head.content_disposition)
        });
        self.ways[way as usize].waiting = Some(pending);
        let (transaction, is_last) = self.begin_body(way, head, carried, cx);
        told::response(cx, Message { name: told::NAME, transaction, is_last }, head_bytes);
        if matches!(state, State::Head | State::Body(_)) {
            self.finish(way, cx);
        }
        let other = &mut self.ways[way.opposite() as usize];
        if switches {
            let inside = match kind {
                Kind::Connect => Inside::default(),
                Kind::WebSocket => {
                    cx.notes.set_protocol(&websocket::WEBSOCKET, 98);
                    cx.app(websocket::WEBSOCKET.name, 60);
                    Inside::with(websocket::parser())
                }
                Kind::Http2 => {
                    cx.notes.set_protocol(&http2::HTTP2, 98);
                    Inside::with(hand_over(&handed_over, cx))
                }
                Kind::Upgrade | Kind::Usual | Kind::Head | Kind::Bare => Inside::default(),
            };
            self.inside = Some(Box::new(inside));
        } else if matches!(other.state, State::Switching) {
            other.state = State::Head;
        }
    }

    /// Tells the response of a direction, whose length is known now.
    fn finish(&mut self, way: Direction, cx: &mut Context<'_>) {
        let own = &mut self.ways[way as usize];
        if let Some(mut done) = own.waiting.take() {
            done.fields.number("length", own.len);
            cx.rules.attach(self.messages[way as usize].wrapping_sub(1), "http", done.fields.as_bytes());
            cx.tell("http", way, &done.fields);
            if let Some(told) = &mut own.told {
                told.around = done.fields;
            }
        }
    }

    fn body(&mut self, way: Direction, bytes: &[u8], left: u64, cx: &mut Context<'_>) -> Step {
        let index = way as usize;
        let wanted = left.min(SNIFF_BYTES);
        let own = &self.ways[index];
        if !own.sniffed && (bytes.len() as u64) < wanted.min(16) {
            return Step::Consumed(0);
        }
        let inside = bytes.get(..left.min(bytes.len() as u64) as usize).unwrap_or_default();
        self.sniff(index, inside, cx);
        if self.ways[index].told.is_some() && (inside.len() as u64) < left {
            self.tell_body(way, inside, cx);
            self.ways[index].state = State::Body(left - inside.len() as u64);
            return Step::Consumed(inside.len());
        }
        self.tell_body(way, inside, cx);
        let extra = self.beyond(way, bytes, inside.len());
        self.tell_body(way, extra, cx);
        self.end_body(way, true, cx);
        self.ways[index].state = State::Head;
        if !extra.is_empty() {
            return Step::Consumed(inside.len() + extra.len());
        }
        Step::Consumed(usize::try_from(left).unwrap_or(usize::MAX / 2).min(usize::MAX / 2))
    }

    /// The rest of a line that stands behind an answer's body of `len` bytes and begins no other answer: libhtp takes it for part
    /// of the body.
    fn beyond<'a>(&self, way: Direction, bytes: &'a [u8], len: usize) -> &'a [u8] {
        let rest = bytes.get(len..).unwrap_or_default();
        let is_line = rest.first().is_some_and(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | b'\t'));
        let starts = rest.get(..4).unwrap_or(rest);
        if way == Direction::Forward || !is_line || b"HTTP".starts_with(starts) || starts.starts_with(b"ICY")
        {
            return &[];
        }
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        rest.get(..end).unwrap_or_default()
    }

    fn sniff(&mut self, index: usize, body: &[u8], cx: &mut Context<'_>) {
        let own = &mut self.ways[index];
        if !std::mem::replace(&mut own.sniffed, true) && !own.encoded {
            let start = body.get(..SNIFF_BYTES as usize).unwrap_or(body);
            rides::of_body(start, own.is_request, cx);
            judge::body(start, own.is_request, own.claims_harmless, cx);
        }
    }

    fn chunk(&mut self, way: Direction, bytes: &[u8], left: u64, cx: &mut Context<'_>) -> Step {
        let index = way as usize;
        if left > 0 {
            let data = left.saturating_sub(self.ways[index].chunk_end()).min(bytes.len() as u64);
            let inside = bytes.get(..data as usize).unwrap_or_default();
            self.sniff(index, inside, cx);
            if self.ways[index].told.is_some() {
                self.tell_body(way, inside, cx);
                let read = left.min(bytes.len() as u64);
                self.ways[index].state = State::Chunk(left - read);
                return Step::Consumed(read as usize);
            }
            self.ways[index].state = State::Chunk(0);
            return Step::Consumed(usize::try_from(left).unwrap_or(usize::MAX / 2).min(usize::MAX / 2));
        }
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            // What begins no size is not waited for.
            let is_size = bytes.trim_ascii_start().first().is_none_or(u8::is_ascii_hexdigit);
            return if bytes.len() > 1_024 || !is_size {
                self.wrong_chunk(way, bytes, cx)
            } else {
                Step::Consumed(0)
            };
        };
        // RFC 9112 7.1: hexadecimal digits, and extensions after a semicolon.
        let digits = bytes.get(..end).unwrap_or_default();
        if self.ways[index].is_request && digits.contains(&b';') {
            cx.anomaly("request_chunk_extension");
        }
        self.ways[index].ends_bare = !digits.ends_with(b"\r");
        let digits = digits.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        match size {
            Some(0) => self.ways[index].state = State::Trailer,
            Some(size) if size < 1 << 48 => {
                self.ways[index].len += size;
                // The chunk and its line end.
                self.ways[index].state = State::Chunk(size + self.ways[index].chunk_end());
            }
            _ => return self.wrong_chunk(way, bytes, cx),
        }
        Step::Consumed(end + 1)
    }

    fn wrong_chunk(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let is_request = self.ways[way as usize].is_request;
        cx.anomaly(if is_request { "invalid_request_chunk_len" } else { "invalid_response_chunk_len" });
        self.finish(way, cx);
        let own = &mut self.ways[way as usize];
        if own.told.is_some() && !own.is_request {
            // Some clients take what comes as the body itself.
            own.state = State::UntilEnd;
            self.tell_body(way, bytes, cx);
            return Step::Consumed(bytes.len());
        }
        self.end_body(way, false, cx);
        self.ways[way as usize] = Way { state: State::Lost, ..Way::default() };
        Step::Consumed(bytes.len())
    }

    fn trailer(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return if bytes.len() > HEAD_BYTES_MAX { Step::Done } else { Step::Consumed(0) };
        };
        if bytes.get(..end).unwrap_or_default().trim_ascii().is_empty() {
            self.finish(way, cx);
            self.end_body(way, true, cx);
            let own = &mut self.ways[way as usize];
            own.state = State::Head;
            let kind = if own.is_request { REQUEST_FRAME } else { RESPONSE_FRAME };
            cx.rules.end_frame(way, kind, bytes.len() - end - 1);
        }
        Step::Consumed(end + 1)
    }
}

/// A parser for HTTP/2, which gets the request that asked for it, whose `head` this is.
fn hand_over(head: &[u8], cx: &mut Context<'_>) -> Box<dyn Parser> {
    let read = head::read(head);
    let Some(RequestLine { method, target, .. }) = head::request_line(read.first) else {
        return http2::parser();
    };
    let mut fields = Fields::new();
    fields.text("version", "2");
    fields.text("http_method", method);
    fields.text("url", target);
    fields.text_if("hostname", read.host);
    fields.text_if("http_user_agent", read.user_agent);
    let line_len = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |end| end + 1);
    let block = head.get(line_len..).unwrap_or_default();
    let is_settings = |name: &[u8]| name.eq_ignore_ascii_case(b"http2-settings");
    let settings =
        head::fields(block).find(|(name, _)| name.is_some_and(is_settings)).map(|(_, value)| value);
    // The empty line that ends them is none of them.
    let block = block.strip_suffix(b"\r\n").unwrap_or(block);
    http2::upgraded(http2::HandedOver { fields, method, target, host: read.host, block, settings }, cx)
}

/// The authority of an absolute target (RFC 9112 3.2.2).
pub(super) fn authority_of(target: &[u8]) -> Option<&[u8]> {
    let colon = target.windows(3).position(|window| window == b"://")?;
    let rest = target.get(colon + 3..)?;
    let authority = rest.split(|byte| *byte == b'/').next()?;
    authority.split(|byte| *byte == b'@').next_back()
}

/// Name and port of a `Host`.
pub(super) fn split_port(host: &[u8]) -> (&[u8], Option<u64>) {
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) => match host.get(colon + 1..).and_then(crate::dpi::text::decimal) {
            Some(port) if port <= 65_535 => (host.get(..colon).unwrap_or(host), Some(port)),
            _ => (host, None),
        },
        None => (host, None),
    }
}

/// The target that the record of a request has.
fn target_of(fields: &Fields) -> &[u8] {
    let target = fields.iter().find_map(|(key, value)| match value {
        Value::Text(text) if key == "url" => Some(text),
        _ => None,
    });
    target.unwrap_or_default()
}

/// A content type without its parameters.
fn media_type(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// `bytes 0-99/1234` as Suricata has it.
fn content_range(fields: &mut Fields, range: &[u8]) {
    fields.object("content_range", |object| {
        object.text("raw", range);
        let Some(value) = range.strip_prefix(b"bytes ") else { return };
        let mut parts = value.splitn(2, |byte| *byte == b'/');
        let (span, size) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut ends = span.splitn(2, |byte| *byte == b'-');
        for (key, text) in [("start", ends.next()), ("end", ends.next()), ("size", Some(size))] {
            if let Some(number) = text.and_then(crate::dpi::text::decimal) {
                object.number(key, number);
            }
        }
    });
}

#[cfg(test)]
mod tests;
