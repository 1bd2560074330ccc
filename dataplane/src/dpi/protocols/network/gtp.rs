//! Which tunnels of a mobile network are set up, changed and taken down? GTP's control plane (3GPP TS 29.060: version 1,
//! TS 29.274: version 2) and what the user plane signals (TS 29.281); users' packets within are flows of their own.
//!
//! ```text
//! version 1: flags | kind | length (2) | TEID (4) | [sequence (2) | N-PDU | extension] | elements
//! version 2: flags | kind | length (2) | [TEID (4)] | sequence (3) | spare | elements | [another message]
//! ```
//!
//! Told as `gtp`, a record a request with its response, as `names` calls them.

mod elements;
mod names;

use self::elements::Elements;
use self::names::Role;
use crate::dpi::cursor::Cursor;
use crate::dpi::{Category, Context, Fields, First, Kept, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// The user plane.
pub static GTP_U: Protocol = Protocol {
    name: "gtp_u",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::In(0x30, 0x3f), look: gtp_u }],
    parser: Some(|| Box::<Signalling>::default()),
};

/// The control plane.
pub static GTP_C: Protocol = Protocol {
    name: "gtp_c",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::In(0x30, 0x5f), look: gtp_c }],
    parser: Some(|| Box::<Signalling>::default()),
};

/// Records of a flow: two nodes speak of all of their users in one.
const RECORDS_MAX: u16 = 256;

/// Users' packets of a flow, those that are no IP packets, after which nobody looks any more.
const G_PDUS_MAX: u16 = 512;

/// Requests that wait for their responses.
const PENDING_MAX: usize = 8;

/// Bytes of a request's elements that are kept.
const ELEMENTS_BYTES_MAX: usize = 512;

const G_PDU: u8 = 255;

fn gtp_u(peek: &Peek<'_>) -> Match {
    let [first, kind, ..] = peek.bytes else { return Match::No };
    // TS 29.281 5.1: version 1, GTP; echo, error indication, supported headers, end mark, packets.
    let is_kind = matches!(kind, 1 | 2 | 26 | 31 | 253 | 254 | 255);
    let len = usize::from(peek.be16(2));
    Match::of(peek.has_port(2_152) && first >> 4 == 3 && is_kind && len + 8 <= peek.bytes.len() + 4, 95)
}

fn gtp_c(peek: &Peek<'_>) -> Match {
    if !peek.has_port(2_123) {
        return Match::of(!peek.is_multicast && speaks_for_itself(peek.bytes), 85);
    }
    match Message::read(peek.bytes) {
        Ok(message) if message.name().is_some() => Match::Yes(95),
        Ok(message) => Match::of(message.kind != 0, 70),
        Err(_) => Match::No,
    }
}

/// Whether a message that fills its datagram has a known kind, and elements that fill it and are what such messages have.
fn speaks_for_itself(bytes: &[u8]) -> bool {
    let Ok(message) = Message::read(bytes) else { return false };
    // Flags that are spare, and a sequence number, which control messages have.
    let flags_fit = if message.version == 1 { bytes[0] & 0x0a == 2 } else { bytes[0] & 0x13 == 0 };
    if !flags_fit || message.kind == G_PDU || !message.rest.is_empty() || message.name().is_none() {
        return false;
    }
    let mut elements = Elements::new(message.version, message.elements);
    let (mut count, mut last, mut ascends) = (0, 0, true);
    for (kind, _) in elements.by_ref() {
        ascends &= kind >= last;
        last = kind;
        count += 1;
    }
    // TS 29.060 7.7: in order of their types.
    count >= 2 && elements.is_at_end() && (message.version != 1 || ascends)
}

/// One message.
struct Message<'a> {
    version: u8,
    kind: u8,
    teid: Option<u32>,
    sequence: Option<u32>,
    elements: &'a [u8],
    /// What stands behind it, and whether that is another message.
    rest: &'a [u8],
    is_followed: bool,
}

impl<'a> Message<'a> {
    /// The first message of `bytes`.
    ///
    /// # Errors
    ///
    /// The anomaly that it is.
    fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        const CUT: &str = "invalid_length";
        let mut at = Cursor::new(bytes);
        let (flags, kind, len) =
            at.u8().zip(at.u8()).zip(at.be16()).map(|((a, b), c)| (a, b, c)).ok_or(CUT)?;
        match (flags >> 5, flags & 0x10 != 0) {
            (1, true) => {
                let teid = at.be32().ok_or(CUT)?;
                let mut at_body = Cursor::new(at.take(usize::from(len)).ok_or(CUT)?);
                let (mut sequence, mut extension) = (None, 0);
                if flags & 7 != 0 {
                    let (number, _, next) = at_body
                        .be16()
                        .zip(at_body.u8())
                        .zip(at_body.u8())
                        .map(|((a, b), c)| (a, b, c))
                        .ok_or(CUT)?;
                    sequence = (flags & 2 != 0).then_some(u32::from(number));
                    extension = if flags & 4 != 0 { next } else { 0 };
                }
                // TS 29.281 5.2: a length in words, then the type of the next one.
                while extension != 0 {
                    let words = at_body.u8().filter(|words| *words > 0).ok_or(CUT)?;
                    let content = at_body.take(4 * usize::from(words) - 1).ok_or(CUT)?;
                    extension = content.last().copied().unwrap_or_default();
                }
                let elements = at_body.rest();
                let (teid, rest) = (Some(teid), at.rest());
                Ok(Self { version: 1, kind, teid, sequence, elements, rest, is_followed: false })
            }
            (2, is_followed) => {
                let mut at_body = Cursor::new(at.take(usize::from(len)).ok_or(CUT)?);
                let teid = if flags & 8 == 0 { None } else { Some(at_body.be32().ok_or(CUT)?) };
                let sequence = at_body.be24().ok_or(CUT)?;
                at_body.skip(1).ok_or(CUT)?;
                let (sequence, elements, rest) = (Some(sequence), at_body.rest(), at.rest());
                Ok(Self { version: 2, kind, teid, sequence, elements, rest, is_followed })
            }
            _ => Err("invalid_version"),
        }
    }

    fn name(&self) -> Option<(&'static str, Role)> {
        names::message(self.version, self.kind)
    }
}

/// Reads what two nodes signal.
#[derive(Default)]
struct Signalling {
    pending: [Option<Request>; PENDING_MAX],
    /// Where the next request waits: the oldest one gives way.
    next: usize,
    told: u16,
    g_pdus: u16,
}

/// A request that waits.
struct Request {
    way: Direction,
    version: u8,
    kind: u8,
    name: &'static str,
    teid: Option<u32>,
    sequence: Option<u32>,
    elements: Kept,
}

impl Parser for Signalling {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut left = bytes;
        // TS 29.274 5.5.1: at most one message is appended to another one.
        for _ in 0..2 {
            match Message::read(left) {
                Ok(message) => {
                    self.message(way, &message, cx);
                    left = if message.is_followed { message.rest } else { &[] };
                }
                Err(anomaly) => {
                    cx.anomaly(anomaly);
                    break;
                }
            }
            if left.is_empty() {
                break;
            }
        }
        let is_over = self.told >= RECORDS_MAX || self.g_pdus >= G_PDUS_MAX;
        if is_over { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for turn in 0..PENDING_MAX {
            let place = (self.next + turn) % PENDING_MAX;
            if let Some(request) = self.pending[place].take() {
                self.tell(request.way, &request, None, cx);
            }
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Signalling {
    fn message(&mut self, way: Direction, message: &Message<'_>, cx: &mut Context<'_>) {
        // A user's packet that is no IP packet, else it were a flow of its own.
        if message.version == 1 && message.kind == G_PDU {
            self.g_pdus += 1;
            return;
        }
        let Some((name, role)) = message.name() else {
            cx.anomaly("unknown_message_type");
            return;
        };
        let mut elements = Elements::new(message.version, message.elements);
        let _read = elements.by_ref().count();
        if elements.is_cut {
            cx.anomaly("invalid_information_element");
        }
        match role {
            Role::Request => self.ask(way, name, message, cx),
            Role::Answer(request) => {
                let asked = self.pending.iter_mut().find_map(|pending| {
                    pending.take_if(|asked| {
                        let same = (asked.version, asked.kind, asked.sequence);
                        same == (message.version, request, message.sequence) && asked.way != way
                    })
                });
                if let Some(asked) = asked {
                    self.tell(way, &asked, Some((name, message)), cx);
                }
            }
            Role::Alone => {
                let alone = Request::of(way, name, message, Kept::new());
                self.tell_with(way, &alone, message.elements, None, cx);
            }
        }
    }

    fn ask(&mut self, way: Direction, name: &'static str, message: &Message<'_>, cx: &mut Context<'_>) {
        let is_repeated = self.pending.iter().flatten().any(|asked| {
            (asked.way, asked.version, asked.kind, asked.sequence)
                == (way, message.version, message.kind, message.sequence)
        });
        if is_repeated {
            return;
        }
        let place = self.next;
        self.next = (self.next + 1) % PENDING_MAX;
        if let Some(oldest) = self.pending[place].take() {
            self.tell(oldest.way, &oldest, None, cx);
        }
        let kept = message.elements.get(..ELEMENTS_BYTES_MAX).unwrap_or(message.elements);
        self.pending[place] = Some(Request::of(way, name, message, Kept::of(kept)));
    }

    fn tell(
        &mut self,
        way: Direction,
        request: &Request,
        answer: Option<(&'static str, &Message<'_>)>,
        cx: &mut Context<'_>,
    ) {
        self.tell_with(way, request, &request.elements, answer, cx);
    }

    fn tell_with(
        &mut self,
        way: Direction,
        request: &Request,
        elements: &[u8],
        answer: Option<(&'static str, &Message<'_>)>,
        cx: &mut Context<'_>,
    ) {
        if self.told >= RECORDS_MAX {
            return;
        }
        self.told += 1;
        cx.tell_with("gtp", way, |fields| {
            fields.number("version", request.version);
            if let Some(sequence) = request.sequence {
                fields.number("sequence", sequence);
            }
            write(fields, "request", request.version, request.name, request.teid, elements);
            if let Some((name, answer)) = answer {
                write(fields, "response", answer.version, name, answer.teid, answer.elements);
            }
        });
    }
}

impl Request {
    const fn of(way: Direction, name: &'static str, message: &Message<'_>, elements: Kept) -> Self {
        let Message { version, kind, teid, sequence, .. } = *message;
        Self { way, version, kind, name, teid, sequence, elements }
    }
}

fn write(fields: &mut Fields, key: &str, version: u8, name: &str, teid: Option<u32>, elements: &[u8]) {
    fields.object(key, |object| {
        object.text("message_type", name);
        if let Some(teid) = teid {
            object.number("teid", teid);
        }
        elements::write(version, elements, object);
    });
}

#[cfg(test)]
mod tests;
