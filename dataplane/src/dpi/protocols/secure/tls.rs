//! Is a stream TLS, and what do its handshakes say in clear? SSLv2's hello, SSL 3.0, TLS 1.0 to 1.3.
//!
//! ```text
//! record:    type (1) | version (2) | length (2) | content            RFC 8446 5.1
//! handshake: type (1) | length (3) | body; may span records           RFC 8446 4
//! ```
//!
//! A session is told when the server's certificate, or else the end of what it shows in clear, was seen; nothing
//! after that is looked at. Messages stay in the stream until they are whole; only one that spans records is copied.

use super::certificate;
use super::frames;
use super::hello::{ClientHello, ServerHello};
use super::named;
use super::session::Session;
use super::told;
use crate::dpi::cursor::Cursor;
use crate::dpi::fields::Fields;
use crate::dpi::fingerprint::ja4::Transport;
use crate::dpi::{Category, Context, First, Kept, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// TLS and SSL over TCP.
pub static TLS: Protocol =
    Protocol { name: "tls", eve: None, category: Category::Web, probes: PROBES, parser: Some(parser) };

const PROBES: &[Probe] = &[
    Probe { over: Over::Tcp, first: First::In(0x14, 0x18), look: is_record },
    Probe { over: Over::Tcp, first: First::In(0x80, 0xff), look: is_old_hello },
];

/// A reader of TLS, for protocols that turn into it (STARTTLS, CONNECT) and for those that lie above it.
#[must_use]
pub fn parser() -> Box<dyn Parser> {
    Box::<Tls>::default()
}

/// A reader of TLS that something carries in datagrams, and is not DTLS: its JA4 counts as QUIC's, as Arkime's does.
#[must_use]
pub fn datagram_parser() -> Box<dyn Parser> {
    Box::new(Tls { is_over_datagrams: true, ..Tls::default() })
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// Messages of the handshake that matter (RFC 8446 4, RFC 5246 7.4).
pub(super) mod message {
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const SERVER_HELLO_DONE: u8 = 14;
    pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// Content of a record with its expansion (RFC 5246 6.2.3).
const RECORD_BYTES_MAX: u16 = 0x4000 + 2_048;

/// Of a message that spans records so much is kept. A server's own certificate comes first and is shorter.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Records without anything to read after which nobody waits for a hello any more.
const OPAQUE_MAX: u8 = 16;

/// No message is longer.
const HANDSHAKE_BYTES_MAX: u32 = 0x2_0000;

const fn is_version(version: u16) -> bool {
    matches!(version, 0x0300..=0x0304 | 0x7f00..=0x7f1f)
}

/// A plausible header of a record.
fn is_record(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.get(1).is_some_and(|major| *major != 3) || bytes.get(2).is_some_and(|minor| *minor > 4) {
        return Match::No;
    }
    if bytes.len() < 6 {
        return Match::More;
    }
    let (len, first) = (peek.be16(3), bytes[5]);
    if len == 0 && bytes[0] != APPLICATION_DATA || len > RECORD_BYTES_MAX {
        return Match::No;
    }
    let end = 5 + usize::from(len);
    // What follows the record is another one.
    let next_fits = bytes.get(end..).is_some_and(|next| match next {
        [] => true,
        [kind] => (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(kind),
        [kind, major, ..] => (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(kind) && *major == 3,
    });
    let is_cut = bytes.len() < end;
    match bytes[0] {
        HANDSHAKE => is_handshake(peek, len, first),
        ALERT if len == 2 => Match::of(matches!(first, 1 | 2) && next_fits || is_cut, 85),
        CHANGE_CIPHER_SPEC => Match::of(len == 1 && first == 1, if next_fits { 85 } else { 60 }),
        ALERT | HEARTBEAT if len >= 16 => Match::of(is_cut || next_fits, 55),
        APPLICATION_DATA if is_cut => Match::Yes(if peek.nth > 0 { 80 } else { 65 }),
        APPLICATION_DATA => Match::of(next_fits, 85),
        _ => Match::No,
    }
}

fn is_handshake(peek: &Peek<'_>, len: u16, first: u8) -> Match {
    // A message may be split over records, so a record may be shorter than its message, or than a header.
    let body = peek.be32(5) & 0x00ff_ffff;
    let version = peek.be16(9);
    match first {
        _ if len < 4 => Match::of(matches!(first, 0..=2), 80),
        message::CLIENT_HELLO | message::SERVER_HELLO if peek.bytes.len() < 11 => Match::More,
        message::CLIENT_HELLO | message::SERVER_HELLO => {
            Match::of((is_version(version) || version == 0x0002 || len < 6) && body >= 34, 97)
        }
        // HelloRequest, and messages in the middle of a handshake.
        0 => Match::of(body == 0 && len == 4, 90),
        4 | message::CERTIFICATE..=message::CLIENT_KEY_EXCHANGE | 22 => Match::of(body < 0x2_0000, 85),
        // Encrypted: a Finished of a flow seen from its middle.
        _ => Match::of(peek.nth > 0 || usize::from(len) + 5 == peek.bytes.len(), 60),
    }
}

/// The hello of SSLv2, which also opened SSL 3.0 and TLS 1.0 (RFC 5246 E.2).
fn is_old_hello(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let len = usize::from(peek.be16(0) & 0x7fff);
    match bytes.get(2) {
        None => Match::More,
        Some(1) if bytes.len() < 11 => {
            let version = peek.be16(3);
            let may = bytes.len() < 5 || version == 2 || is_version(version);
            if may && len >= 25 { Match::More } else { Match::No }
        }
        Some(1) => {
            let (ciphers, session, challenge) = (peek.be16(5), peek.be16(7), peek.be16(9));
            let sum = 9 + usize::from(ciphers) + usize::from(session) + usize::from(challenge);
            Match::sure(
                (peek.be16(3) == 2 || is_version(peek.be16(3)))
                    && ciphers > 0
                    && ciphers % 3 == 0
                    && matches!(session, 0 | 16)
                    && (16..=32).contains(&challenge)
                    && sum == len,
            )
        }
        // The server's: session hit, type of certificate, version, three lengths.
        Some(4) if bytes.len() < 13 => Match::More,
        Some(4) => {
            let sum = 11 + [7, 9, 11].map(|at| usize::from(peek.be16(at))).iter().sum::<usize>();
            Match::sure(bytes[3] <= 1 && bytes[4] <= 1 && peek.be16(5) == 2 && sum == len)
        }
        Some(_) => Match::No,
    }
}

/// Reads one connection.
#[derive(Default)]
struct Tls {
    session: Session,
    /// The beginning of a message that goes on in the next record, by direction.
    pending: [Kept; 2],
    is_encrypted: [bool; 2],
    server_way: Option<Direction>,
    opaque: u8,
    /// Something that only TLS has was seen.
    is_certain: bool,
    is_named: bool,
    is_over_datagrams: bool,
    /// Records go on and are no more than frames to rules.
    is_over: bool,
}

/// Whether nothing that follows matters.
type Finished = bool;

impl Parser for Tls {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if !self.is_named {
            self.is_named = true;
            named::by_port(cx);
        }
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            let step = if self.is_over { frames::skip(rest) } else { self.record(way, rest, cx) };
            match step {
                Step::Consumed(0) => break,
                Step::Consumed(len) => {
                    frames::tell(way, rest, len, cx);
                    consumed += len;
                }
                Step::Done if !self.is_over && !self.is_over_datagrams && frames::are_wanted(cx) => {
                    self.is_over = true;
                }
                step => return step,
            }
        }
        Step::Consumed(consumed)
    }

    fn gap(&mut self, way: Direction, _len: u64, cx: &mut Context<'_>) -> Step {
        self.session.tell("tls", way, None, cx);
        Step::Done
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.session.tell("tls", Direction::Forward, None, cx);
    }

    fn describe(&self, _transaction: u32, to: &mut Fields) -> Option<&'static str> {
        self.session.write(to);
        Some("tls")
    }

    fn start_over(&mut self) -> bool {
        *self = Self { is_over_datagrams: self.is_over_datagrams, ..Self::default() };
        true
    }
}

impl Tls {
    /// Reads one record from the front of `bytes`.
    fn record(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut cursor = Cursor::new(bytes);
        let (Some(kind), Some(version)) = (cursor.u8(), cursor.be16()) else { return Step::Consumed(0) };
        if kind & 0x80 != 0 && !self.is_certain {
            return self.old_hello(way, bytes, cx);
        }
        if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) || version >> 8 != 3 {
            return self.not_a_record(way, cx);
        }
        let Some(len) = cursor.be16() else { return Step::Consumed(0) };
        if len > RECORD_BYTES_MAX {
            cx.anomaly("invalid_record_length");
            return self.not_a_record(way, cx);
        }
        let whole = 5 + usize::from(len);
        let is_clear = kind == HANDSHAKE && !self.is_encrypted[way as usize];
        if !is_clear {
            return match self.opaque(way, kind, cx) {
                true => Step::Done,
                false => Step::Consumed(whole),
            };
        }
        match cursor.take(usize::from(len)) {
            Some(content) => match self.handshake(way, content, cx) {
                true => Step::Done,
                false => Step::Consumed(whole),
            },
            // The first certificate may be whole before the chain is.
            None => match self.early_certificate(way, cursor.rest(), cx) {
                true => Step::Done,
                false => Step::Consumed(0),
            },
        }
    }

    fn not_a_record(&mut self, way: Direction, cx: &mut Context<'_>) -> Step {
        if !self.is_certain {
            return Step::NotMine;
        }
        cx.anomaly("invalid_record_type");
        self.session.tell("tls", way, None, cx);
        Step::Done
    }

    /// A record that says nothing in clear but that it is there.
    fn opaque(&mut self, way: Direction, kind: u8, cx: &mut Context<'_>) -> Finished {
        if kind == ALERT {
            return false;
        }
        if kind == CHANGE_CIPHER_SPEC {
            self.is_certain = true;
            let is_old = self.session.version().is_some_and(|version| version < 0x0304);
            let is_server = self.server_way == Some(way);
            // TLS 1.3 sends it for the sake of old boxes, also before a second hello (RFC 8446 D.4).
            self.is_encrypted[way as usize] |= self.session.has_server() && is_old;
            if is_server && is_old {
                self.session.resumes();
                self.session.tell("tls", way, None, cx);
                return true;
            }
        }
        self.opaque = self.opaque.saturating_add(1);
        let (has_client, has_server) = (self.session.has_client(), self.session.has_server());
        // A client may send early data for long before its server is heard.
        let patience = if has_client { OPAQUE_MAX } else { OPAQUE_MAX / 4 };
        let is_finished = self.opaque >= patience || has_client && has_server && kind == APPLICATION_DATA;
        if is_finished {
            self.session.tell("tls", way, None, cx);
        }
        is_finished
    }

    /// Messages of a record's content.
    fn handshake(&mut self, way: Direction, content: &[u8], cx: &mut Context<'_>) -> Finished {
        let mut pending = std::mem::take(&mut self.pending[way as usize]);
        if pending.is_empty() {
            let (read, finished) = self.messages(way, content, cx);
            let is_kept = pending.extend(content.get(read..).unwrap_or_default());
            self.pending[way as usize] = pending;
            return finished || !is_kept;
        }
        let room = MESSAGE_BYTES_MAX.saturating_sub(pending.len());
        let is_kept = pending.extend(&content[..content.len().min(room)]);
        let (read, finished) = self.messages(way, &pending, cx);
        pending.drop_front(read);
        let is_full = pending.len() >= MESSAGE_BYTES_MAX || !is_kept;
        self.pending[way as usize] = pending;
        if is_full && !finished {
            // What is longer is not waited for.
            self.session.tell("tls", way, None, cx);
        }
        finished || is_full
    }

    /// Reads the whole messages at the front of `content`; returns how many bytes these are.
    fn messages(&mut self, way: Direction, content: &[u8], cx: &mut Context<'_>) -> (usize, Finished) {
        let mut cursor = Cursor::new(content);
        let mut read = 0;
        while let (Some(kind), Some(len)) = (cursor.u8(), cursor.be24()) {
            if len > HANDSHAKE_BYTES_MAX {
                if self.is_certain {
                    cx.anomaly("invalid_handshake_message");
                    self.session.tell("tls", way, None, cx);
                }
                return (read, true);
            }
            let Some(body) = cursor.take(len as usize) else {
                // The first certificate may be whole before the chain is.
                let finished = kind == message::CERTIFICATE && self.certificate(way, cursor.rest(), cx);
                return (read, finished);
            };
            if self.message(way, kind, body, cx) {
                return (read, true);
            }
            read = content.len() - cursor.rest().len();
        }
        (read, false)
    }

    fn message(&mut self, way: Direction, kind: u8, body: &[u8], cx: &mut Context<'_>) -> Finished {
        match kind {
            message::CLIENT_HELLO => match ClientHello::read(body, false) {
                Some(hello) => {
                    self.is_certain = true;
                    let transport = if self.is_over_datagrams { Transport::Quic } else { Transport::Tcp };
                    self.session.client(&hello, transport, cx);
                    named::by_alpn(hello.alpns(), cx);
                    false
                }
                None => self.malformed(cx),
            },
            message::SERVER_HELLO => match ServerHello::read(body) {
                Some(hello) if hello.is_retry => false,
                Some(hello) => {
                    self.is_certain = true;
                    self.server_way = Some(way);
                    self.session.server(&hello, cx);
                    named::by_alpn(hello.alpns(), cx);
                    let is_dark = hello.agreed_version() >= 0x0304;
                    if is_dark {
                        self.session.tell("tls", way, None, cx);
                    }
                    is_dark
                }
                None => self.malformed(cx),
            },
            message::CERTIFICATE => self.certificate(way, body, cx),
            message::SERVER_HELLO_DONE | message::CLIENT_KEY_EXCHANGE if self.session.has_server() => {
                self.session.tell("tls", way, None, cx);
                true
            }
            _ => false,
        }
    }

    fn malformed(&self, cx: &mut Context<'_>) -> Finished {
        cx.anomaly("invalid_handshake_message");
        !self.is_certain
    }

    /// The server's certificate, if the list's first one is there whole.
    fn certificate(&mut self, way: Direction, list: &[u8], cx: &mut Context<'_>) -> Finished {
        if !self.session.has_server() {
            return false;
        }
        let Some(der) = certificate::first_of(list).filter(|der| !der.is_empty()) else { return false };
        let chain = certificate::all_of(list).next().map(|_first| list);
        if chain.is_none() && told::wants_chain(cx) {
            return false;
        }
        self.session.tell_with_chain("tls", way, (Some(der), chain), cx);
        true
    }

    /// A record that has not come whole: its first message may be enough.
    fn early_certificate(&mut self, way: Direction, content: &[u8], cx: &mut Context<'_>) -> Finished {
        if !self.pending[way as usize].is_empty() {
            return false;
        }
        let mut cursor = Cursor::new(content);
        match (cursor.u8(), cursor.be24()) {
            (Some(message::CERTIFICATE), Some(_)) => self.certificate(way, cursor.rest(), cx),
            _ => false,
        }
    }

    fn old_hello(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut cursor = Cursor::new(bytes);
        let (Some(len), Some(kind)) = (cursor.be16(), cursor.u8()) else { return Step::Consumed(0) };
        let is_client = kind == 1;
        if !is_client {
            cursor.take(2);
        }
        let Some(version) = cursor.be16() else { return Step::Consumed(0) };
        if !(is_client || kind == 4) {
            return self.not_a_record(way, cx);
        }
        self.session.old(version, is_client, cx);
        if version == 2 && !is_client {
            self.session.tell("tls", way, None, cx);
            return Step::Done;
        }
        // The server answers in its own form: with a record, or as SSLv2.
        self.is_certain = !is_client;
        Step::Consumed(2 + usize::from(len & 0x7fff))
    }
}

#[cfg(test)]
mod tests;
