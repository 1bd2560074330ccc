//! Which resource does a constrained device ask for? CoAP over UDP and over TCP.
//!
//! Sources: RFC 7252 3 (messages) and 5.10 (options), RFC 8323 3.2 (TCP).

use crate::dpi::cursor::Cursor;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, HostKind, Parser, Step};
use crate::flow::Direction;

/// The Constrained Application Protocol.
pub static COAP: Protocol = Protocol {
    name: "coap",
    eve: None,
    category: Category::Iot,
    probes: &[
        Probe { over: Over::Udp, first: First::In(0x40, 0x78), look: looks_like_message },
        Probe { over: Over::Tcp, first: First::In(0x00, 0xe8), look: looks_like_signalling },
    ],
    parser: Some(|| Box::new(Coap::default())),
};

/// Requests of a flow that are told.
const REQUESTS_MAX: u8 = 16;

/// Longest path that is told.
const PATH_BYTES_MAX: usize = 128;

fn is_code(code: u8) -> bool {
    matches!(code, 0..=7 | 65..=69 | 95 | 128..=143 | 157 | 160..=168)
}

/// Goes over the options of a message: what each is and holds. `None`: they are malformed.
fn options<'a>(mut cursor: Cursor<'a>, mut each: impl FnMut(u32, &'a [u8])) -> Option<()> {
    let mut number = 0_u32;
    while let Some(head) = cursor.u8() {
        if head == 0xff {
            // A marker with nothing after it is an error (3).
            return (!cursor.is_empty()).then_some(());
        }
        number += u32::from(extended(head >> 4, &mut cursor)?);
        let len = extended(head & 15, &mut cursor)?;
        each(number, cursor.take(usize::from(len))?);
    }
    Some(())
}

fn extended(nibble: u8, cursor: &mut Cursor<'_>) -> Option<u16> {
    match nibble {
        13 => Some(u16::from(cursor.u8()?) + 13),
        14 => cursor.be16()?.checked_add(269),
        15 => None,
        small => Some(u16::from(small)),
    }
}

fn looks_like_message(peek: &Peek<'_>) -> Match {
    let Some((head, code, rest)) = message(peek.bytes) else { return Match::No };
    let (kind, token) = (head >> 4 & 3, head & 15);
    // Empty messages are four bytes, and only answers or pings (4.1).
    if code == 0 {
        let on_port = peek.has_port(5683);
        return Match::of(token == 0 && peek.bytes.len() == 4 && kind != 1, if on_port { 85 } else { 40 });
    }
    if !is_code(code) || kind == 3 || (kind == 2 && code < 64) {
        return Match::No;
    }
    let mut known = 0;
    let mut strange = 0;
    let whole = options(rest, |number, value| match (number, value.len()) {
        // Uri-Host, Uri-Port, Uri-Path, Content-Format, Uri-Query, Accept, Observe, Blocks.
        (3 | 11 | 15 | 8, 0..=255) if value.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f) => known += 1,
        (6 | 7 | 12 | 17 | 23 | 27 | 28 | 60, 0..=4) | (1 | 4, 0..=8) | (5, 0) => known += 1,
        (14, 0..=4) | (20 | 35 | 39, _) | (258 | 252 | 292, _) | (9 | 16 | 19, _) => {}
        _ => strange += 1,
    });
    let on_port =
        peek.has_port(5683) || peek.has_port(5684) || (61_616..=61_631).any(|port| peek.has_port(port));
    // Drafts numbered options otherwise.
    if whole.is_none() || (strange > 1 && !on_port) {
        return Match::No;
    }
    match (known, strange, on_port) {
        (_, 0, true) => Match::Yes(92),
        (_, _, true) => Match::Yes(70),
        (2.., 0, false) => Match::Yes(84),
        (1, 0, false) => Match::Yes(65),
        _ => Match::of(peek.bytes.len() > 8, 30),
    }
}

/// First byte, code, and what begins with the options; the token was gone over.
fn message(bytes: &[u8]) -> Option<(u8, u8, Cursor<'_>)> {
    let mut cursor = Cursor::new(bytes);
    let (head, code) = (cursor.u8()?, cursor.u8()?);
    cursor.skip(2)?;
    if head >> 6 != 1 || head & 15 > 8 {
        return None;
    }
    cursor.skip(usize::from(head & 15))?;
    Some((head, code, cursor))
}

/// Over TCP each side opens with a CSM, 7.01 (RFC 8323 5.3).
fn looks_like_signalling(peek: &Peek<'_>) -> Match {
    let Some((len, code, token, rest)) = tcp_message(peek.bytes) else {
        return if peek.bytes.len() < 4 { Match::More } else { Match::No };
    };
    if code != 0xe1 || token != 0 || len > 64 {
        return Match::No;
    }
    let body = rest.rest();
    if body.len() < len {
        return Match::More;
    }
    let mut fits = true;
    let whole = options(Cursor::new(body.get(..len).unwrap_or_default()), |number, value| {
        fits &= matches!((number, value.len()), (2, 0..=4) | (4, 0));
    });
    Match::of(fits && whole.is_some(), if peek.has_port(5683) || len > 0 { 85 } else { 60 })
}

/// Length of options and payload, code, length of the token, and what follows it (RFC 8323 3.2).
fn tcp_message(bytes: &[u8]) -> Option<(usize, u8, u8, Cursor<'_>)> {
    let mut cursor = Cursor::new(bytes);
    let head = cursor.u8()?;
    let len = match head >> 4 {
        13 => usize::from(cursor.u8()?) + 13,
        14 => usize::from(cursor.be16()?) + 269,
        15 => cursor.be32()? as usize + 65_805,
        small => usize::from(small),
    };
    let code = cursor.u8()?;
    cursor.skip(usize::from(head & 15))?;
    Some((len, code, head & 15, cursor))
}

#[derive(Debug, Default)]
struct Coap {
    told: u8,
}

impl Parser for Coap {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol == crate::parse::Protocol::TCP {
            return Step::Done;
        }
        let Some((head, code, rest)) = message(bytes) else {
            cx.anomaly("malformed_message");
            return Step::Consumed(bytes.len());
        };
        if code == 0 {
            return Step::Consumed(bytes.len());
        }
        let mut path = Path { bytes: [0; PATH_BYTES_MAX], len: 0 };
        let mut host = None;
        if options(rest, |number, value| match number {
            3 => host = Some(value),
            11 => path.add(value),
            _ => {}
        })
        .is_none()
        {
            cx.anomaly("malformed_options");
        }
        if let Some(host) = host {
            cx.host(HostKind::Other, host);
        }
        self.told += 1;
        cx.tell_with("coap", way, |fields| {
            fields.text("type", ["con", "non", "ack", "rst"][usize::from(head >> 4 & 3)]);
            match method(code) {
                Some(method) => fields.text("method", method),
                None => {
                    fields.number("code", u64::from(code >> 5) * 100 + u64::from(code & 31));
                }
            }
            fields.text_if("uri_host", host);
            if path.len > 0 {
                fields.text("uri_path", path.bytes.get(..path.len).unwrap_or_default());
            }
        });
        if self.told >= REQUESTS_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

const fn method(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "GET",
        2 => "POST",
        3 => "PUT",
        4 => "DELETE",
        5 => "FETCH",
        6 => "PATCH",
        7 => "iPATCH",
        _ => return None,
    })
}

/// The segments of a path, joined.
struct Path {
    bytes: [u8; PATH_BYTES_MAX],
    len: usize,
}

impl Path {
    fn add(&mut self, segment: &[u8]) {
        for byte in std::iter::once(&b'/').chain(segment) {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"\x43\x01\x05\xca\x72\x16\x33\xbb.well-known\x04core";

    fn peek(bytes: &[u8], port: u16) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, port, false)
    }

    #[test]
    fn a_request_is_known_by_its_options() {
        assert_eq!(looks_like_message(&peek(GET, 5683)), Match::Yes(92));
        assert_eq!(looks_like_message(&peek(GET, 9)), Match::Yes(84));
        for len in 0..GET.len() {
            let _ = looks_like_message(&peek(&GET[..len], 9));
        }
        // A header extension of a token longer than eight is reserved.
        assert_eq!(looks_like_message(&peek(&[0x49, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 5683)), Match::No);
    }

    #[test]
    fn tcp_opens_with_capabilities() {
        assert_eq!(looks_like_signalling(&peek(&[0x30, 0xe1, 0x22, 0x04, 0x80], 9)), Match::Yes(85));
        assert_eq!(looks_like_signalling(&peek(b"GET / HTTP", 5683)), Match::No);
    }
}
