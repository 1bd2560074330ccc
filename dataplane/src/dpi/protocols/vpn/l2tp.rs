//! Who opens a tunnel, and what goes through it? L2TP's control messages over UDP (RFC 2661: version 2, RFC 3931: 3).
//!
//! ```text
//! flags and version (2) | length (2) | tunnel (2) and session (2), or connection (4) | Ns (2) | Nr (2) | attributes
//! attribute: flags and length (2) | vendor (2) | type (2) | value; the first one is the kind of message
//! ```
//!
//! Told as `l2tp`, a record a message; keep-alives and bare acknowledgements are not told, and hidden values never.

use crate::dpi::cursor::Cursor;
use crate::dpi::{Category, Context, Fields, First, Match, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// L2TP.
pub(super) static L2TP: Protocol = Protocol {
    name: "l2tp",
    eve: None,
    category: Category::Vpn,
    probes: &[Probe::udp(First::Of(&[0xc8, 0x40, 0x48, 0x02, 0x00]), l2tp)],
    parser: Some(|| Box::<Control>::default()),
};

fn l2tp(peek: &Peek<'_>) -> Match {
    let version = peek.bytes.get(1).map(|byte| byte & 0x0f);
    let fits = usize::from(peek.be16(2)) == peek.bytes.len();
    match (peek.bytes.first(), version) {
        // The first attribute is mandatory: the kind of message.
        (Some(0xc8), Some(2 | 3)) if fits => {
            let is_kind = peek.bytes.len() == 12 || peek.bytes.get(12..18) == Some(&[0x80, 8, 0, 0, 0, 0]);
            Match::Yes(if is_kind { 96 } else { 75 })
        }
        (Some(0x40 | 0x48), Some(2)) if fits => Match::of(peek.has_port(1_701), 80),
        (Some(0x02 | 0x00), Some(2)) => Match::of(peek.has_port(1_701) && peek.bytes.len() > 12, 55),
        _ => Match::No,
    }
}

/// Messages of a flow that are told.
const MESSAGES_MAX: u8 = 32;

/// Packets of a flow after which nobody looks any more: by then the tunnel is up and carries.
const PACKETS_MAX: u16 = 512;

/// Attributes of a message that are read.
const ATTRIBUTES_MAX: usize = 64;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 256;

/// Bits of the first two bytes.
const IS_CONTROL: u16 = 0x8000;
const HAS_LENGTH: u16 = 0x4000;
const HAS_SEQUENCE: u16 = 0x0800;
/// Bit of an attribute: its value is encrypted (RFC 2661 4.3).
const IS_HIDDEN: u16 = 0x4000;

const HELLO: u16 = 6;
/// RFC 3931 3.1: acknowledges, as a message of version 2 without attributes does.
const ACKNOWLEDGEMENT: u16 = 20;

/// Reads one tunnel's control messages.
#[derive(Default)]
struct Control {
    told: u8,
    packets: u16,
}

impl Parser for Control {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        // What the tunnel carries goes the same way.
        if bytes.first().is_some_and(|flags| flags & 0x80 != 0) {
            match Message::read(bytes) {
                Ok(message) => self.message(way, &message, cx),
                Err(anomaly) => cx.anomaly(anomaly),
            }
        }
        self.packets += 1;
        let is_over = self.told >= MESSAGES_MAX || self.packets >= PACKETS_MAX;
        if is_over { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// One control message.
struct Message<'a> {
    version: u16,
    /// Version 2: tunnel, session. Version 3: both halves of the connection.
    ids: [u16; 2],
    attributes: &'a [u8],
}

/// One attribute of the IETF's.
struct Attribute<'a> {
    kind: u16,
    value: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        const CUT: &str = "invalid_length";
        let mut at = Cursor::new(bytes);
        let flags = at.be16().ok_or(CUT)?;
        let needed = IS_CONTROL | HAS_LENGTH | HAS_SEQUENCE;
        if flags & needed != needed || !matches!(flags & 0x0f, 2 | 3) {
            return Err("malformed_message");
        }
        let len = usize::from(at.be16().ok_or(CUT)?);
        let mut at = Cursor::new(bytes.get(4..len).ok_or(CUT)?);
        let ids = [at.be16().ok_or(CUT)?, at.be16().ok_or(CUT)?];
        at.skip(4).ok_or(CUT)?;
        Ok(Self { version: flags & 0x0f, ids, attributes: at.rest() })
    }

    /// The attributes that can be read, and whether these are all.
    fn each(&self, mut show: impl FnMut(Attribute<'a>)) -> bool {
        let mut at = Cursor::new(self.attributes);
        for _ in 0..ATTRIBUTES_MAX {
            if at.is_empty() {
                return true;
            }
            let head = at.be16().zip(at.be16()).zip(at.be16());
            let Some(((flags, vendor), kind)) = head else { return false };
            // The length counts the head.
            let len = usize::from(flags & 0x03ff).checked_sub(6);
            let Some(value) = len.and_then(|len| at.take(len)) else { return false };
            if vendor == 0 && flags & IS_HIDDEN == 0 {
                show(Attribute { kind, value });
            }
        }
        true
    }
}

impl Control {
    fn message(&mut self, way: Direction, message: &Message<'_>, cx: &mut Context<'_>) {
        let mut first = None;
        let is_whole = message.each(|attribute| {
            first.get_or_insert((attribute.kind, number(attribute.value)));
        });
        if !is_whole {
            cx.anomaly("invalid_attribute_length");
        }
        let kind = match first {
            None | Some((0, Some(HELLO | ACKNOWLEDGEMENT))) => return,
            Some((0, Some(kind))) => kind,
            Some(_) => {
                cx.anomaly("malformed_message");
                return;
            }
        };
        let Some(name) = message_name(kind) else {
            cx.anomaly("unknown_message_type");
            return;
        };
        self.told += 1;
        cx.tell_with("l2tp", way, |fields| {
            fields.number("version", message.version);
            fields.text("message_type", name);
            let [high, low] = message.ids;
            if message.version == 2 {
                fields.number("tunnel_id", high);
                fields.number("session_id", low);
            } else {
                fields.number("control_connection_id", u32::from(high) << 16 | u32::from(low));
            }
            message.each(|attribute| attribute.write(fields));
        });
    }
}

impl Attribute<'_> {
    /// RFC 2661 4.4, RFC 3931 5.4.
    fn write(&self, fields: &mut Fields) {
        let key = match self.kind {
            1 => {
                if let Some(result) = number(self.value) {
                    fields.number("result_code", result);
                }
                if let Some(error) = self.value.get(2..).and_then(number) {
                    fields.number("error_code", error);
                }
                match self.value.get(4..) {
                    Some([]) | None => return,
                    Some(text) => return fields.text("error_message", cut(text)),
                }
            }
            7 => "host_name",
            8 => "vendor_name",
            9 => "assigned_tunnel_id",
            14 => "assigned_session_id",
            21 => "called_number",
            22 => "calling_number",
            61 => "assigned_control_connection_id",
            63 => "local_session_id",
            64 => "remote_session_id",
            68 => "pseudowire_type",
            _ => return,
        };
        match (self.kind, self.value) {
            (7 | 8 | 21 | 22, text) => fields.text(key, cut(text)),
            (61 | 63 | 64, [a, b, c, d, ..]) => fields.number(key, u32::from_be_bytes([*a, *b, *c, *d])),
            (9 | 14 | 68, [a, b, ..]) => fields.number(key, u16::from_be_bytes([*a, *b])),
            _ => {}
        }
    }
}

fn number(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|number| u16::from_be_bytes(*number))
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

/// RFC 2661 3.2, RFC 3931 3.1.
const fn message_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        1 => "sccrq",
        2 => "sccrp",
        3 => "scccn",
        4 => "stopccn",
        HELLO => "hello",
        7 => "ocrq",
        8 => "ocrp",
        9 => "occn",
        10 => "icrq",
        11 => "icrp",
        12 => "iccn",
        14 => "cdn",
        15 => "wen",
        16 => "sli",
        ACKNOWLEDGEMENT => "ack",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::told;
    use crate::dpi::protocol::samples::{confidence, datagram};
    use Direction::{Forward, Reverse};

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let head = 0x8000 | (value.len() as u16 + 6);
        [&head.to_be_bytes()[..], &[0, 0], &kind.to_be_bytes(), value].concat()
    }

    fn message(version: u8, ids: [u8; 4], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let attributes: Vec<u8> =
            attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)).collect();
        let len = (12 + attributes.len()) as u16;
        [&[0xc8, version][..], &len.to_be_bytes(), &ids, &[0, 0, 0, 0], &attributes].concat()
    }

    #[test]
    fn a_tunnel_of_version_2_is_told() {
        let mut hidden = message(2, [0, 5, 0, 0], &[(0, &[0, 3]), (7, b"secret")]);
        hidden[20] |= 0x40;
        let payloads = [
            (
                Forward,
                message(2, [0; 4], &[(0, &[0, 1]), (7, b"lac.example"), (8, b"xelerance.com"), (9, &[1, 4])]),
            ),
            (Reverse, message(2, [1, 4, 0, 0], &[])),
            (Reverse, message(2, [1, 4, 0, 0], &[(0, &[0, 6])])),
            (Forward, hidden),
            (Reverse, message(2, [1, 4, 0, 9], &[(0, &[0, 14]), (1, b"\0\x02\0\x04bye"), (14, &[0, 3])])),
            // Data.
            (Forward, vec![0, 2, 0, 5, 0, 1, 0xff, 3]),
        ];
        let expected = [
            "l2tp version=2 message_type=sccrq tunnel_id=0 session_id=0 host_name=lac.example \
             vendor_name=xelerance.com assigned_tunnel_id=260",
            "l2tp version=2 message_type=scccn tunnel_id=5 session_id=0",
            "l2tp version=2 message_type=cdn tunnel_id=260 session_id=9 result_code=2 error_code=4 \
             error_message=bye assigned_session_id=3",
        ];
        assert_eq!(told(&L2TP, &payloads), expected);
    }

    #[test]
    fn a_connection_of_version_3_is_told() {
        let attributes: [(u16, &[u8]); 4] =
            [(0, &[0, 10]), (61, &[0, 1, 0, 0]), (63, &[0, 0, 0, 8]), (68, &[0, 5])];
        let expected = "l2tp version=3 message_type=icrq control_connection_id=65536 \
            assigned_control_connection_id=65536 local_session_id=8 pseudowire_type=5";
        assert_eq!(told(&L2TP, &[(Forward, message(3, [0, 1, 0, 0], &attributes))]), [expected]);
    }

    #[test]
    fn what_cannot_be_read_has_a_name() {
        let whole = message(2, [0; 4], &[(0, &[0, 1]), (7, b"host")]);
        let with = |at: usize, byte: u8| {
            let mut changed = whole.clone();
            changed[at] = byte;
            changed
        };
        let cases = [
            ("invalid_length", whole[..whole.len() - 1].to_vec()),
            ("malformed_message", with(0, 0x80)),
            ("malformed_message", with(1, 1)),
            ("malformed_message", with(17, 7)),
            ("invalid_attribute_length", with(21, 90)),
            ("invalid_attribute_length", with(21, 5)),
            ("unknown_message_type", with(19, 99)),
        ];
        for (event, bytes) in cases {
            let records = told(&L2TP, &[(Forward, bytes)]);
            let expected = format!("event={event} ");
            assert!(records.iter().any(|record| record.contains(&expected)), "{event}: {records:?}");
        }
        let payloads = vec![(Forward, whole.clone()); 100];
        assert_eq!(told(&L2TP, &payloads).len(), usize::from(MESSAGES_MAX));
        // Behind so much data nobody looks.
        let mut payloads = vec![(Forward, vec![0, 2, 0, 5, 0, 1, 0xff, 3]); usize::from(PACKETS_MAX)];
        payloads.push((Forward, whole));
        assert_eq!(told(&L2TP, &payloads), [""; 0]);
    }

    #[test]
    fn control_messages_are_recognised() {
        assert_eq!(confidence(&L2TP, &datagram(&message(2, [0; 4], &[(0, &[0, 1])]))), 96);
        assert_eq!(confidence(&L2TP, &datagram(&message(1, [0; 4], &[(0, &[0, 1])]))), 0);
    }
}
