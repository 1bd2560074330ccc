//! Is a datagram DTLS, and what do its handshakes say in clear? DTLS 1.0, 1.2 and 1.3.
//!
//! ```text
//! record:    type (1) | version (2) | epoch (2) | number (6) | length (2) | content       RFC 6347 4.1
//! handshake: type (1) | length (3) | sequence (2) | offset (3) | length here (3) | body   RFC 6347 4.2.2
//! ```
//!
//! Told as `dtls`, with the fields of `tls`: Suricata has no such record.

use super::certificate;
use super::hello::{ClientHello, ServerHello};
use super::pieces::Pieces;
use super::session::Session;
use super::tls::message;
use crate::dpi::cursor::Cursor;
use crate::dpi::fingerprint::ja4::Transport;
use crate::dpi::{Category, Context, First, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// TLS over datagrams.
pub static DTLS: Protocol = Protocol {
    name: "dtls",
    eve: None,
    category: Category::Web,
    probes: &[Probe { over: Over::Udp, first: First::In(20, 25), look: is_record }],
    parser: Some(parser),
};

/// A reader of DTLS, for protocols that carry it (STUN's flows, OpenConnect).
#[must_use]
pub fn parser() -> Box<dyn Parser> {
    Box::<Dtls>::default()
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// With a connection id, whose length only the two ends know (RFC 9146).
const WITH_CONNECTION_ID: u8 = 25;

/// Of a record's header.
const HEADER_BYTES: usize = 13;

/// Datagrams without anything to read after which nobody waits for a hello any more.
const OPAQUE_MAX: u8 = 16;

/// No message is longer.
const MESSAGE_BYTES_MAX: u32 = 0x2_0000;

/// 0x0100 is that of OpenSSL before 0.9.8f, which Cisco's AnyConnect kept.
const fn is_version(version: u16) -> bool {
    matches!(version, 0xfeff | 0xfefd | 0xfefc | 0x0100)
}

/// A record from the front of `bytes`.
#[derive(Debug, Clone, Copy)]
struct Record<'a> {
    kind: u8,
    epoch: u16,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let kind = cursor.u8().filter(|kind| (CHANGE_CIPHER_SPEC..=WITH_CONNECTION_ID).contains(kind))?;
        cursor.be16().filter(|version| is_version(*version))?;
        let epoch = cursor.be16()?;
        cursor.take(6)?;
        if kind == WITH_CONNECTION_ID {
            return Some(Self { kind, epoch, content: cursor.rest(), rest: &[] });
        }
        let content = cursor.vec16()?;
        Some(Self { kind, epoch, content, rest: cursor.rest() })
    }
}

fn is_record(peek: &Peek<'_>) -> Match {
    if !is_version(peek.be16(1)) {
        return Match::No;
    }
    let Some(record) = Record::read(peek.bytes) else {
        // A hello that was cut by the capture or by fragmentation.
        let is_hello = peek.bytes.first() == Some(&HANDSHAKE) && peek.be16(3) == 0 && peek.bytes.len() >= 60;
        return Match::of(is_hello && matches!(peek.bytes[HEADER_BYTES], 1 | 2 | 11), 85);
    };
    // Other records of the same datagram, or DTLS 1.3's short headers (RFC 9147 4).
    let fits = match record.rest.first() {
        None => true,
        Some(next) if next >> 5 == 1 => true,
        Some(_) => Record::read(record.rest).is_some(),
    };
    if !fits {
        return Match::No;
    }
    match record.kind {
        HANDSHAKE if record.epoch == 0 => {
            let fragment = Fragment::read(&mut Cursor::new(record.content));
            Match::of(
                fragment.is_some_and(|fragment| matches!(fragment.kind, 0..=4 | 8 | 11..=16 | 20..=24)),
                95,
            )
        }
        CHANGE_CIPHER_SPEC => Match::of(record.content.len() <= 3 && !record.content.is_empty(), 90),
        // An alert in clear.
        21 if record.epoch == 0 => {
            Match::of(record.content.len() == 2 && matches!(record.content[0], 1 | 2), 90)
        }
        WITH_CONNECTION_ID => Match::of(record.content.len() >= 10, 70),
        _ => Match::of(record.epoch > 0 && record.content.len() >= 8, 88),
    }
}

/// A message, or a part of it.
#[derive(Debug, Clone, Copy)]
struct Fragment<'a> {
    kind: u8,
    len: u32,
    sequence: u16,
    offset: u32,
    body: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (kind, len, sequence) = (cursor.u8()?, cursor.be24()?, cursor.be16()?);
        let (offset, body) = (cursor.be24()?, cursor.vec24()?);
        let fits = len <= MESSAGE_BYTES_MAX && u64::from(offset) + body.len() as u64 <= u64::from(len);
        fits.then_some(Self { kind, len, sequence, offset, body })
    }
}

/// Reads one association.
#[derive(Default)]
struct Dtls {
    session: Session,
    /// Messages that come in pieces, by direction.
    partial: [Option<Partial>; 2],
    opaque: u8,
    server_way: Option<Direction>,
}

#[derive(Debug)]
struct Partial {
    kind: u8,
    sequence: u16,
    pieces: Pieces,
}

/// Whether nothing that follows matters.
type Finished = bool;

impl Parser for Dtls {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut rest = bytes;
        let mut is_opaque = true;
        while let Some(record) = Record::read(rest) {
            rest = record.rest;
            let finished = match record.kind {
                HANDSHAKE if record.epoch == 0 => {
                    is_opaque = false;
                    self.handshake(way, record.content, cx)
                }
                CHANGE_CIPHER_SPEC if self.server_way == Some(way) => {
                    self.session.resumes();
                    true
                }
                APPLICATION_DATA => self.session.has_client() && self.session.has_server(),
                _ => false,
            };
            if finished {
                self.session.tell("dtls", way, None, cx);
                return Step::Done;
            }
        }
        self.opaque = self.opaque.saturating_add(u8::from(is_opaque));
        if self.opaque >= OPAQUE_MAX {
            self.session.tell("dtls", way, None, cx);
            return Step::Done;
        }
        Step::Consumed(bytes.len())
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.session.tell("dtls", Direction::Forward, None, cx);
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Dtls {
    fn handshake(&mut self, way: Direction, content: &[u8], cx: &mut Context<'_>) -> Finished {
        let mut cursor = Cursor::new(content);
        while let Some(fragment) = Fragment::read(&mut cursor) {
            let is_whole = fragment.body.len() == fragment.len as usize;
            let finished = if is_whole {
                self.message(way, fragment.kind, fragment.body, true, cx)
            } else {
                self.part(way, &fragment, cx)
            };
            if finished {
                return true;
            }
        }
        if cursor.rest().len() == content.len() && !content.is_empty() {
            cx.anomaly("invalid_handshake_message");
        }
        false
    }

    fn part(&mut self, way: Direction, fragment: &Fragment<'_>, cx: &mut Context<'_>) -> Finished {
        if !matches!(fragment.kind, message::CLIENT_HELLO | message::SERVER_HELLO | message::CERTIFICATE) {
            return false;
        }
        let (kind, sequence) = (fragment.kind, fragment.sequence);
        let known = self.partial[way as usize].take();
        let mut partial = known
            .filter(|known| (known.kind, known.sequence) == (kind, sequence))
            .unwrap_or_else(|| Partial { kind, sequence, pieces: Pieces::default() });
        // What is out of bounds is the end of a long chain, whose first certificate is enough.
        partial.pieces.add(u64::from(fragment.offset), fragment.body);
        let is_whole = partial.pieces.ready().len() >= fragment.len as usize;
        if is_whole || kind == message::CERTIFICATE {
            let finished = self.message(way, kind, partial.pieces.ready(), is_whole, cx);
            if is_whole || finished {
                return finished;
            }
        }
        self.partial[way as usize] = Some(partial);
        false
    }

    fn message(
        &mut self,
        way: Direction,
        kind: u8,
        body: &[u8],
        is_whole: bool,
        cx: &mut Context<'_>,
    ) -> Finished {
        match kind {
            message::CLIENT_HELLO => {
                match ClientHello::read(body, true) {
                    Some(hello) => self.session.client(&hello, Transport::Dtls, cx),
                    None => cx.anomaly("invalid_handshake_message"),
                }
                false
            }
            message::SERVER_HELLO => match ServerHello::read(body) {
                Some(hello) if hello.is_retry => false,
                Some(hello) => {
                    self.server_way = Some(way);
                    self.session.server(&hello, cx);
                    // From 1.3 on the rest is encrypted.
                    hello.agreed_version() == 0xfefc
                }
                None => {
                    cx.anomaly("invalid_handshake_message");
                    false
                }
            },
            message::CERTIFICATE if self.server_way == Some(way) => {
                let der = certificate::first_of(body).filter(|der| !der.is_empty());
                if der.is_some() {
                    self.session.tell("dtls", way, der, cx);
                }
                der.is_some() || is_whole
            }
            message::SERVER_HELLO_DONE => self.session.has_server(),
            _ => false,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::sync::Arc;

    use super::super::hello::made;
    use super::*;
    use crate::dpi::inspector::{Inspector, Payload};
    use crate::dpi::parser::FlowView;
    use crate::dpi::recogniser::Recogniser;
    use crate::dpi::{AppTable, Summary};
    use crate::parse::{self, Addr};
    use crate::time::Wall;

    fn record(kind: u8, epoch: u16, content: &[u8]) -> Vec<u8> {
        let head = [&[kind, 0xfe, 0xfd][..], &epoch.to_be_bytes(), &[0; 6]].concat();
        [head, (content.len() as u16).to_be_bytes().to_vec(), content.to_vec()].concat()
    }

    fn fragment(kind: u8, whole: &[u8], from: usize, to: usize) -> Vec<u8> {
        let u24 = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let head = [vec![kind], u24(whole.len()), vec![0, 0], u24(from), u24(to - from)].concat();
        record(HANDSHAKE, 0, &[head, whole[from..to].to_vec()].concat())
    }

    /// A hello as DTLS has it: with an empty cookie.
    fn client_body() -> Vec<u8> {
        let mut body = made::usual_client(b"www.example.org");
        body[..2].copy_from_slice(&[0xfe, 0xfd]);
        body.insert(35, 0);
        body
    }

    fn told(payloads: &[(Direction, &[u8])]) -> (Vec<String>, Summary, Option<String>) {
        let mut inspector = Inspector::new(Arc::new(Recogniser::new()), Arc::new(AppTable::default()), 4);
        let view = FlowView {
            initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (Addr::v4([198, 51, 100, 1]), 4_433),
            protocol: parse::Protocol::UDP,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        };
        let mut records = Vec::new();
        let mut note = |record: crate::dpi::parser::Record<'_>| {
            let texts = record.fields.iter().map(|(key, value)| format!("{key}={value:?} "));
            records.push(format!("{}: {}", record.event_type, texts.collect::<String>()));
        };
        let (slot, _) = inspector.start(&view, Wall(0));
        for (way, bytes) in payloads {
            inspector.look(
                slot,
                &view,
                &Payload { way: *way, bytes, tcp: None, urgent: None, at: Wall(0) },
                &mut note,
            );
        }
        let (summary, host) = inspector.end(slot, &view, Wall(0), &mut note);
        (records, summary, host.map(String::from))
    }

    use Direction::{Forward, Reverse};

    #[test]
    fn a_hello_in_pieces_is_read_whatever_their_order() {
        let body = client_body();
        let pieces = [(50, 90), (0, 60), (90, body.len())].map(|(from, to)| fragment(1, &body, from, to));
        let server = made::server_body(0xfefd, 0xc02b, &[]);
        let server = fragment(2, &server, 0, server.len());
        let done = fragment(14, &[], 0, 0);
        let mut payloads: Vec<(Direction, &[u8])> =
            pieces.iter().map(|piece| (Forward, &piece[..])).collect();
        payloads.extend([(Reverse, &server[..]), (Reverse, &done)]);
        let (records, summary, host) = told(&payloads);
        assert_eq!(records.len(), 1, "{records:?}");
        assert!(records[0].starts_with("dtls: ") && records[0].contains("ja3s="), "{records:?}");
        assert_eq!((summary.protocol, host.as_deref()), (Some(&DTLS), Some("www.example.org")));
    }

    #[test]
    fn whatever_comes_is_survived() {
        let body = client_body();
        let whole = fragment(1, &body, 0, body.len());
        for len in 0..whole.len() {
            told(&[(Forward, &whole[..len])]);
        }
        let mut seed = 11_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        let certificate = fragment(11, &[0, 0, 6, 0, 0, 3, 1, 2, 3], 0, 9);
        for _ in 0..2_000 {
            let mut mutated = [whole.clone(), certificate.clone()].concat();
            for _ in 0..1 + random() % 6 {
                let at = random() % mutated.len();
                mutated[at] = random() as u8;
            }
            told(&[(Forward, &mutated), (Reverse, &mutated)]);
        }
        assert!(Record::read(&whole).unwrap().rest.is_empty());
    }
}
