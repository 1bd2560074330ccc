//! What speaks ISO transport over TCP here: Siemens' S7 (old or new), or MMS of ISO 9506?
//!
//! ```text
//! TPKT: 03 00 length (2) | COTP: length, type, ... | S7: 32 ... or 72 ...; MMS: session, presentation, ACSE
//! ```
//!
//! Remote desktops and H.323 share TPKT; only what follows it decides.
//!
//! Sources: RFC 1006 6, ISO 8073 13 (COTP), ISO 8327-1 8 (session), IEC 61850-8-1, ISO 9506-2; the layout of S7 as
//! public dissectors have it.

use crate::dpi::cursor::Cursor;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::text::contains;
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;

/// S7 communication of the S7-300 and S7-400.
pub static S7COMM: Protocol = Protocol {
    name: "s7comm",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[3]), look: looks_like_s7 }],
    parser: Some(|| Box::new(S7::default())),
};

/// S7 communication of the S7-1200 and S7-1500.
pub static S7COMM_PLUS: Protocol = Protocol {
    name: "s7commplus",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[3]), look: looks_like_s7_plus }],
    parser: None,
};

/// Manufacturing Message Specification, as substations speak it.
pub static MMS: Protocol = Protocol::named(
    "mms",
    Category::Iot,
    &[Probe { over: Over::Tcp, first: First::Of(&[3]), look: looks_like_mms }],
);

const PACKETS_MAX: usize = 8;

/// Records of a flow; an operator's panel polls for ever.
const RECORDS_MAX: u32 = 128;

/// One TPKT packet: type of the COTP unit, its variable part, its data; and the packet's length.
struct Packet<'a> {
    kind: u8,
    header: &'a [u8],
    data: &'a [u8],
    len: usize,
}

/// `Ok(None)`: it goes on beyond `bytes`.
fn packet(bytes: &[u8]) -> Result<Option<Packet<'_>>, ()> {
    let mut cursor = Cursor::new(bytes);
    let Some(version) = cursor.be16() else { return Ok(None) };
    if version != 0x0300 {
        return Err(());
    }
    let Some(len) = cursor.be16().map(usize::from) else { return Ok(None) };
    if len < 7 {
        return Err(());
    }
    let Some(head) = cursor.u8() else { return Ok(None) };
    if head == 0 || usize::from(head) + 5 > len {
        return Err(());
    }
    let Some(header) = cursor.take(usize::from(head)) else { return Ok(None) };
    let kind = *header.first().ok_or(())?;
    if !matches!(kind & 0xf0, 0xe0 | 0xd0 | 0xf0 | 0x80 | 0x70 | 0x10) {
        return Err(());
    }
    let data = cursor.rest();
    let data = data.get(..len - 5 - header.len()).unwrap_or(data);
    Ok(Some(Packet { kind: kind & 0xf0, header, data, len }))
}

/// Asks `look` about each data unit until it knows; a connection request alone asks `request`.
fn walk(bytes: &[u8], request: fn(&[u8]) -> Match, look: impl Fn(&[u8]) -> Match) -> Match {
    let mut rest = bytes;
    let mut at_best = Match::More;
    for _ in 0..PACKETS_MAX {
        let packet = match packet(rest) {
            Ok(Some(packet)) => packet,
            Ok(None) => return at_best,
            Err(()) => return Match::No,
        };
        match packet.kind {
            0xf0 if !packet.data.is_empty() => match look(packet.data) {
                Match::More => {}
                known => return known,
            },
            0xe0 | 0xd0 => match request(packet.header) {
                Match::No => return Match::No,
                weak @ Match::Yes(_) => at_best = weak,
                Match::More => {}
            },
            _ => {}
        }
        match rest.get(packet.len..) {
            Some(next) if !next.is_empty() => rest = next,
            _ => return at_best,
        }
    }
    Match::No
}

/// The value of a parameter of a connection request (13.3.4).
fn parameter(header: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut cursor = Cursor::new(header);
    cursor.skip(6)?;
    loop {
        let (code, value) = (cursor.u8()?, cursor.vec8()?);
        if code == wanted {
            return Some(value);
        }
    }
}

/// Calling and called selectors of two bytes are what S7 has: kind of resource, rack and slot.
fn asks_for_s7(header: &[u8]) -> Match {
    match (parameter(header, 0xc1), parameter(header, 0xc2)) {
        (Some([_, _]), Some([1..=3, 0..=0x3f] | [0x10, _])) => Match::Yes(60),
        _ => Match::More,
    }
}

fn looks_like_s7(peek: &Peek<'_>) -> Match {
    walk(peek.bytes, asks_for_s7, |data| match data {
        // Protocol, kind of message, and a redundancy identification that is always 0.
        [0x32, 1 | 2 | 3 | 7, 0, 0, ..] => Match::Yes(96),
        [0x32] | [0x32, 1 | 2 | 3 | 7] | [0x32, 1 | 2 | 3 | 7, 0] => Match::More,
        _ => Match::No,
    })
}

fn looks_like_s7_plus(peek: &Peek<'_>) -> Match {
    let request = |header: &[u8]| match parameter(header, 0xc2) {
        Some(name) if name.starts_with(b"SIMATIC-ROOT") => Match::Yes(75),
        _ => Match::More,
    };
    walk(peek.bytes, request, |data| match data {
        [0x72, 1 | 2 | 3 | 0xfe, ..] => Match::Yes(95),
        [0x72] => Match::More,
        _ => Match::No,
    })
}

fn looks_like_mms(peek: &Peek<'_>) -> Match {
    walk(
        peek.bytes,
        |_| Match::More,
        |data| {
            // Session CONNECT or ACCEPT, then somewhere ACSE with the application context of MMS: 1.0.9506.2.
            let is_open = matches!(data, [0x0d | 0x0e, ..]) && contains(data, &[0x28, 0xca, 0x22, 0x02]);
            // Give tokens and data transfer, user data, presentation context 3, and an MMS unit within.
            let goes_on = matches!(data, [1, 0, 1, 0, 0x61, ..])
                && contains(data.get(..24).unwrap_or(data), &[2, 1, 3, 0xa0]);
            match (is_open, goes_on, data) {
                (true, ..) => Match::Yes(96),
                (_, true, _) => Match::Yes(90),
                _ => Match::No,
            }
        },
    )
}

#[derive(Debug, Default)]
struct S7 {
    records: u32,
    /// The last function and its direction: polls repeat themselves.
    last: Option<(u8, u8)>,
}

impl Parser for S7 {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let packet = match packet(bytes) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Step::Consumed(0),
            Err(()) => {
                cx.anomaly("malformed_tpkt");
                return Step::Done;
            }
        };
        if bytes.len() < packet.len {
            return Step::Consumed(0);
        }
        if packet.kind == 0xf0 {
            self.unit(way, packet.data, cx);
        }
        if self.records >= RECORDS_MAX { Step::Done } else { Step::Consumed(packet.len) }
    }
}

impl S7 {
    fn unit(&mut self, way: Direction, data: &[u8], cx: &mut Context<'_>) {
        let mut cursor = Cursor::new(data);
        let head = (|| {
            let protocol = cursor.u8()?;
            let kind = cursor.u8()?;
            cursor.skip(2)?;
            let reference = cursor.be16()?;
            let (parameters, _) = (usize::from(cursor.be16()?), cursor.be16()?);
            // Answers have an error's class and code.
            let error = if matches!(kind, 2 | 3) { cursor.be16()? } else { 0 };
            Some((protocol, kind, reference, cursor.rest().get(..parameters)?, error))
        })();
        let Some((0x32, kind, reference, parameters, error)) = head else { return };
        let function = parameters.first().copied().unwrap_or_default();
        if kind == 1 && matches!(function, 0x05 | 0x1a..=0x1c | 0x28 | 0x29) {
            cx.risk(Risk::PlantControl, format_args!("s7 function {function:#04x}"));
        }
        if error != 0 {
            cx.risk(Risk::ErrorCode, format_args!("s7 error {error:#06x}"));
        }
        if self.last == Some((kind, function)) && error == 0 {
            return;
        }
        self.last = Some((kind, function));
        self.records += 1;
        cx.tell_with("s7comm", way, |out| {
            out.text(
                "rosctr",
                match kind {
                    1 => "job",
                    2 => "ack",
                    3 => "ack_data",
                    _ => "userdata",
                },
            );
            out.number("pdu_reference", reference);
            out.number("function_raw", function);
            out.text_if("function", function_name(kind, function));
            if matches!(kind, 2 | 3) {
                out.number("error", error);
            }
            if let (0x04 | 0x05, Some(items)) = (function, parameters.get(1)) {
                out.number("items", *items);
            }
            if function == 0xf0
                && let Some(pdu) = parameters.get(6..8).and_then(|bytes| bytes.first_chunk())
            {
                out.number("pdu_length", u16::from_be_bytes(*pdu));
            }
        });
    }
}

const fn function_name(kind: u8, function: u8) -> Option<&'static str> {
    if kind == 7 {
        return None;
    }
    Some(match function {
        0x00 => "cpu_services",
        0x04 => "read_var",
        0x05 => "write_var",
        0x1a => "request_download",
        0x1b => "download_block",
        0x1c => "download_ended",
        0x1d => "start_upload",
        0x1e => "upload",
        0x1f => "end_upload",
        0x28 => "pi_service",
        0x29 => "plc_stop",
        0xf0 => "setup_communication",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 102, true)
    }

    const REQUEST: &[u8] = &[3, 0, 0, 22, 17, 0xe0, 0, 0, 0, 1, 0, 0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2];
    const SETUP: &[u8] =
        &[3, 0, 0, 25, 2, 0xf0, 0x80, 0x32, 1, 0, 0, 0, 1, 0, 8, 0, 0, 0xf0, 0, 0, 1, 0, 1, 1, 0xe0];

    #[test]
    fn s7_is_known_behind_its_connection_request() {
        assert_eq!(looks_like_s7(&peek(REQUEST)), Match::Yes(60));
        let both = [REQUEST, SETUP].concat();
        assert_eq!(looks_like_s7(&peek(&both)), Match::Yes(96));
        for len in 1..both.len() {
            assert_ne!(looks_like_s7(&peek(&both[..len])), Match::No, "{len}");
            assert_ne!(looks_like_mms(&peek(&both[..len])), Match::Yes(96), "{len}");
        }
        let plus = [3, 0, 0, 9, 2, 0xf0, 0x80, 0x72, 1];
        assert_eq!(looks_like_s7_plus(&peek(&plus)), Match::Yes(95));
        assert_eq!(looks_like_s7(&peek(&plus)), Match::No);
    }

    #[test]
    fn remote_desktops_are_not_s7() {
        let rdp = b"\x03\0\0\x2f\x2a\xe0\0\0\0\0\0Cookie: mstshash=user\r\n\x01\0\x08\0\x03\0\0\0\0\0\0\0";
        assert!(matches!(looks_like_s7(&peek(rdp)), Match::More));
        let connect_initial = [3, 0, 0, 9, 2, 0xf0, 0x80, 0x7f, 0x65];
        assert_eq!(looks_like_s7(&peek(&connect_initial)), Match::No);
    }

    #[test]
    fn mms_is_known_by_its_context() {
        let open = [3, 0, 0, 15, 2, 0xf0, 0x80, 0x0d, 6, 6, 4, 0x28, 0xca, 0x22, 2];
        assert_eq!(looks_like_mms(&peek(&open)), Match::Yes(96));
    }
}
