//! Which devices and services of a plant are called over EtherNet/IP and CIP?
//!
//! Sources: ODVA, The CIP Networks Library, volume 2 chapter 2 (encapsulation) and volume 1 chapter 2 and appendix A
//! (services), C (paths).

use crate::dpi::cursor::Cursor;
use crate::dpi::fields::Fields;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;
use crate::rules::detect::Message as Pieces;
use crate::rules::detect::{FieldId, Telling, field};
use crate::rules::language::buffers::buffer;
use crate::rules::language::industrial::cip_number;
use crate::rules::rule::BufferId;

/// EtherNet/IP: explicit messages, and how devices are found.
pub static ENIP: Protocol = Protocol {
    name: "enip",
    eve: None,
    category: Category::Iot,
    probes: &[Probe {
        over: Over::TcpOrUdp,
        first: First::Of(&[0x04, 0x05, 0x63, 0x64, 0x65, 0x66, 0x6f, 0x70, 0x72, 0x73]),
        look: looks_like_encapsulation,
    }],
    parser: Some(|| Box::new(Enip::default())),
};

/// The Common Industrial Protocol's cyclic data, which goes in UDP without encapsulation.
pub static CIP: Protocol = Protocol {
    name: "cip",
    eve: Some("enip"),
    category: Category::Iot,
    probes: &[Probe { over: Over::Udp, first: First::Of(&[2, 3, 4]), look: looks_like_cyclic }],
    parser: None,
};

const HEADER_BYTES: usize = 24;

/// Longest message that is put together.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Records of a flow; a controller polls for ever.
const RECORDS_MAX: u32 = 128;

fn looks_like_encapsulation(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let (command, len) = (peek.le16(0), usize::from(peek.le16(2)));
    if bytes.len() >= 2 && command_name(command).is_none() {
        return Match::No;
    }
    if bytes.len() < HEADER_BYTES {
        return if peek.is_tcp { Match::More } else { Match::No };
    }
    // A status that is known, and options that are 0 (2-3.5, 2-3.7).
    let plausible = matches!(peek.le32(8), 0..=3 | 0x64 | 0x65 | 0x69 | 0x6a) && peek.le32(20) == 0;
    let fits = match command {
        // Session data: handle 0, timeout, and a list of items that fills the message.
        0x6f | 0x70 => len >= 16 && peek.le32(24) == 0 && matches!(peek.le16(30), 1..=4),
        0x65 => len == 4 && peek.le16(24) == 1,
        0x66 => len == 0,
        0x05 => len == 0 || peek.has_port(44_818),
        0x04 | 0x63 | 0x64 => len == 0 || matches!(peek.le16(24), 0..=16),
        _ => true,
    };
    if !plausible || !fits {
        return Match::No;
    }
    let on_port = peek.has_port(44_818) || peek.has_port(2_222);
    let is_whole = bytes.len() >= HEADER_BYTES + len;
    match (is_whole, on_port) {
        (true, true) => Match::Yes(96),
        (false, true) => Match::Yes(88),
        // Questions without data are few bits, and nothing follows them.
        (true, false) if len > 0 => Match::Yes(90),
        (true, false) => Match::of(bytes.len() == HEADER_BYTES, 60),
        (false, false) => Match::of(peek.is_tcp && matches!(command, 0x6f | 0x70), 70),
    }
}

/// Items of a connected producer: a sequenced address (0x8002), then connected data (0x00b1) (2-6.2).
fn looks_like_cyclic(peek: &Peek<'_>) -> Match {
    let items = peek.le16(0);
    let (address, address_len) = (peek.le16(2), usize::from(peek.le16(4)));
    let at = 6 + address_len;
    let fits = (2..=4).contains(&items)
        && matches!((address, address_len), (0x8002, 8) | (0x00a1, 4))
        && peek.le16(at) == 0x00b1
        && at + 4 + usize::from(peek.le16(at + 2)) <= peek.bytes.len();
    Match::of(fits, 95)
}

#[derive(Debug, Default)]
struct Enip {
    records: u32,
}

/// What messages are to rules.
const PIECES: Pieces = Pieces::of("enip", "pdu", "hdr", "data");

impl Parser for Enip {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return Step::Consumed(0) };
        let Some(message) = Message::read(header) else { return Step::Done };
        if command_name(message.command).is_none() {
            cx.anomaly("unknown_command");
            return Step::Done;
        }
        let total = HEADER_BYTES + message.len;
        if message.len > MESSAGE_BYTES_MAX {
            cx.rules.message(way, &PIECES, bytes, HEADER_BYTES, message.len as u64);
            return Step::Consumed(total);
        }
        let Some(body) = rest.get(..message.len) else {
            return if cx.flow.protocol == crate::parse::Protocol::TCP {
                Step::Consumed(0)
            } else {
                cx.anomaly("invalid_pdu");
                Step::Done
            };
        };
        cx.rules.message(way, &PIECES, bytes, HEADER_BYTES, message.len as u64);
        self.records += 1;
        let asks = (way == Direction::Forward) != answers_come_forward(cx);
        if message.status != 0 && !asks {
            cx.risk(Risk::ErrorCode, format_args!("cip status {}", message.status));
        }
        if cip_of(message.command, body).is_some_and(commands) && asks {
            cx.risk(Risk::PlantControl, format_args!("cip in enip command {:#06x}", message.command));
        }
        tell_rules(&message, body, &mut cx.rules);
        cx.tell_with("enip", way, |out| {
            let key = if asks { "request" } else { "response" };
            out.object(key, |out| message.write(body, out));
        });
        if self.records >= RECORDS_MAX { Step::Done } else { Step::Consumed(total) }
    }
}

const COMMAND: FieldId = field("enip_command");
const STATUS: FieldId = field("enip.status");
const PROTOCOL_VERSION: FieldId = field("enip.protocol_version");
const CAPABILITIES: FieldId = field("enip.capabilities");
const SERVICE_NAME: BufferId = buffer("enip.service_name");
const PRODUCT_NAME: BufferId = buffer("enip.product_name");
const SERVICE: FieldId = field("cip.service");
const CLASS: FieldId = field("enip.cip_class");
const INSTANCE: FieldId = field("enip.cip_instance");
const ATTRIBUTE: FieldId = field("enip.cip_attribute");
const CIP_STATUS: FieldId = field("enip.cip_status");
const EXTENDED: FieldId = field("enip.cip_extendedstatus");

/// Services within one message that rules are told.
const SERVICES_MAX: usize = 32;

/// Tells rules of a message; they are asked with its record.
fn tell_rules(message: &Message, body: &[u8], rules: &mut Telling<'_>) {
    if !rules.is_on() {
        return;
    }
    rules.number(COMMAND, message.command.into());
    rules.number(STATUS, message.status.into());
    let mut cursor = Cursor::new(body);
    // What is cut off says nothing.
    let _ = match message.command {
        0x65 => cursor.le16().map(|version| rules.number(PROTOCOL_VERSION, version.into())),
        0x63 if !body.is_empty() => tell_identity(&mut cursor, rules),
        0x04 if !body.is_empty() => (|| {
            cursor.skip(6)?;
            rules.number(PROTOCOL_VERSION, cursor.le16()?.into());
            rules.number(CAPABILITIES, cursor.le16()?.into());
            rules.show(SERVICE_NAME, cursor.take(16)?.split(|byte| *byte == 0).next()?);
            Some(())
        })(),
        command => cip_of(command, body).and_then(|cip| tell_cip(cip, 0, rules)),
    };
}

/// As [`write_identity`] reads it.
fn tell_identity(cursor: &mut Cursor<'_>, rules: &mut Telling<'_>) -> Option<()> {
    cursor.skip(6)?;
    rules.number(PROTOCOL_VERSION, cursor.le16()?.into());
    cursor.skip(16)?;
    rules.number(const { field("enip.vendor_id") }, cursor.le16()?.into());
    rules.number(const { field("enip.device_type") }, cursor.le16()?.into());
    rules.number(const { field("enip.product_code") }, cursor.le16()?.into());
    rules.number(const { field("enip.revision") }, cursor.be16()?.into());
    rules.number(const { field("enip.identity_status") }, cursor.le16()?.into());
    rules.number(const { field("enip.serial") }, cursor.le32()?.into());
    rules.show(PRODUCT_NAME, cursor.vec8()?);
    rules.number(const { field("enip.state") }, cursor.u8()?.into());
    Some(())
}

/// One message of CIP, and those that it carries where `depth` is 0.
fn tell_cip(cip: &[u8], depth: u8, rules: &mut Telling<'_>) -> Option<()> {
    let mut cursor = Cursor::new(cip);
    let first = cursor.u8()?;
    let (service, is_answer) = (first & 0x7f, first & 0x80 != 0);
    if is_answer {
        cursor.skip(1)?;
        rules.number(SERVICE, cip_number(service, None, None));
        rules.number(CIP_STATUS, cursor.u8()?.into());
        let words = cursor.u8()?;
        for _ in 0..words {
            rules.number(EXTENDED, cursor.le16()?.into());
        }
    } else {
        let words = cursor.u8()?;
        let mut path = Cursor::new(cursor.take(2 * usize::from(words))?);
        let (mut class, mut attribute) = (None, None);
        while let Some((kind, value)) = segment(&mut path) {
            match kind {
                Segment::Class => {
                    class = class.or(Some(value));
                    rules.number(CLASS, value.into());
                }
                Segment::Instance => rules.number(INSTANCE, value.into()),
                Segment::Attribute => {
                    attribute = attribute.or(Some(value));
                    rules.number(ATTRIBUTE, value.into());
                }
                Segment::Other => {}
            }
        }
        rules.number(SERVICE, cip_number(service, class, attribute));
        // A list of attributes of the object.
        if matches!(service, 3 | 4) {
            for _ in 0..cursor.le16()?.min(SERVICES_MAX as u16) {
                let one = cursor.le16()?.into();
                rules.number(ATTRIBUTE, one);
                rules.number(SERVICE, cip_number(service, class, Some(one as u32)));
            }
        }
    }
    if service != 0x0a || depth > 0 {
        return Some(());
    }
    // Multiple services: offsets from their count on.
    let inner = cursor.rest();
    let count = inner.first_chunk().map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes)));
    for at in 0..count.min(SERVICES_MAX) {
        let offset = inner.get(2 + 2 * at..4 + 2 * at)?.first_chunk()?;
        if let Some(one) = inner.get(usize::from(u16::from_le_bytes(*offset))..) {
            tell_cip(one, depth + 1, rules);
        }
    }
    Some(())
}

/// What a segment of a path names.
enum Segment {
    Class,
    Instance,
    Attribute,
    Other,
}

/// The next segment of a path (C-1.4); `None`: there is none that is understood.
fn segment(cursor: &mut Cursor<'_>) -> Option<(Segment, u32)> {
    let head = cursor.u8()?;
    if head == 0x91 {
        let name = cursor.vec8()?;
        if name.len() % 2 == 1 {
            let _ = cursor.u8();
        }
        return Some((Segment::Other, 0));
    }
    let kind = match head & 0xfc {
        0x20 => Segment::Class,
        0x24 => Segment::Instance,
        0x30 => Segment::Attribute,
        0x28 | 0x2c => Segment::Other,
        _ => return None,
    };
    let value = segment_value(head, cursor)?;
    Some((kind, value))
}

/// Whether the flow was seen from its middle, the device first.
fn answers_come_forward(cx: &Context<'_>) -> bool {
    cx.flow.initiator.1 == 44_818 && cx.flow.responder.1 != 44_818
}

struct Message {
    command: u16,
    len: usize,
    session: u32,
    status: u32,
}

impl Message {
    fn read(header: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(header);
        Some(Self {
            command: cursor.le16()?,
            len: usize::from(cursor.le16()?),
            session: cursor.le32()?,
            status: cursor.le32()?,
        })
    }

    fn write(&self, body: &[u8], out: &mut Fields) {
        out.text_if("command", command_name(self.command));
        out.number("session", self.session);
        out.text(
            "status",
            match self.status {
                0 => "Success",
                1 => "InvalidCmd",
                2 => "NoResources",
                3 => "IncorrectData",
                0x64 => "InvalidSession",
                0x65 => "InvalidLength",
                0x69 => "UnsupportedProtRev",
                0x6a => "EncapHeaderError",
                _ => "Unknown",
            },
        );
        let mut cursor = Cursor::new(body);
        match self.command {
            0x65 => {
                if let (Some(version), Some(options)) = (cursor.le16(), cursor.le16()) {
                    out.object("register_session", |out| {
                        out.number("protocol_version", version);
                        out.number("options", options);
                    });
                }
            }
            0x63 if !body.is_empty() => {
                out.object("identity", |out| {
                    let _ = write_identity(&mut cursor, out);
                });
            }
            0x04 if !body.is_empty() => {
                out.object("list_services", |out| {
                    let _ = (|| {
                        cursor.skip(6)?;
                        out.number("protocol_version", cursor.le16()?);
                        out.number("capabilities", cursor.le16()?);
                        let name = cursor.take(16)?;
                        out.text("service_name", name.split(|byte| *byte == 0).next()?);
                        Some(())
                    })();
                });
            }
            _ => {
                if let Some(cip) = cip_of(self.command, body) {
                    out.object("cip", |out| {
                        let _ = write_cip(cip, out);
                    });
                }
            }
        }
    }
}

/// The first item of ListIdentity's answer (2-4.2.2).
fn write_identity(cursor: &mut Cursor<'_>, out: &mut Fields) -> Option<()> {
    cursor.skip(6)?;
    out.number("protocol_version", cursor.le16()?);
    cursor.skip(16)?;
    out.number("vendor_id", cursor.le16()?);
    out.number("device_type", cursor.le16()?);
    out.number("product_code", cursor.le16()?);
    let (major, minor) = (cursor.u8()?, cursor.u8()?);
    out.number("revision_major", major);
    out.number("revision_minor", minor);
    out.number("status", cursor.le16()?);
    out.number("serial", cursor.le32()?);
    out.text("product_name", cursor.vec8()?);
    out.number("state", cursor.u8()?);
    Some(())
}

/// The CIP message in the items of SendRRData and SendUnitData.
fn cip_of(command: u16, body: &[u8]) -> Option<&[u8]> {
    if !matches!(command, 0x6f | 0x70) {
        return None;
    }
    let mut cursor = Cursor::new(body);
    cursor.skip(6)?;
    let items = cursor.le16()?;
    for _ in 0..items.min(4) {
        let (kind, len) = (cursor.le16()?, cursor.le16()?);
        let item = cursor.take(usize::from(len))?;
        match kind {
            0x00b2 => return Some(item),
            // Connected data begin with a sequence count.
            0x00b1 => return item.get(2..),
            _ => {}
        }
    }
    None
}

/// Whether a request writes, resets, starts or stops.
fn commands(cip: &[u8]) -> bool {
    let Some((service, rest)) = cip.split_first() else { return false };
    match *service {
        0x02 | 0x04 | 0x05 | 0x06 | 0x07 | 0x08 | 0x09 | 0x10 | 0x15 | 0x4d | 0x4e | 0x53 => true,
        // Multiple services: one of them may be.
        0x0a => {
            let words = rest.first().copied().map_or(0, usize::from);
            let inner = rest.get(1 + 2 * words..).unwrap_or_default();
            let count = inner.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
            (0..usize::from(count).min(32)).any(|at| {
                let offset = inner.get(2 + 2 * at..4 + 2 * at).and_then(|bytes| bytes.first_chunk());
                let service = offset.and_then(|offset| inner.get(usize::from(u16::from_le_bytes(*offset))));
                matches!(service, Some(0x02 | 0x04..=0x07 | 0x10 | 0x4d | 0x4e | 0x53))
            })
        }
        // Unconnected send wraps a request after its path, priority and ticks.
        0x52 => {
            let words = rest.first().copied().map_or(0, usize::from);
            matches!(rest.get(1 + 2 * words + 4), Some(0x02 | 0x04..=0x07 | 0x10 | 0x4d | 0x4e | 0x53))
        }
        _ => false,
    }
}

fn write_cip(cip: &[u8], out: &mut Fields) -> Option<()> {
    let mut cursor = Cursor::new(cip);
    let service = cursor.u8()?;
    match service_name(service & 0x7f) {
        Some(name) => out.text("service", name),
        None => out.number("service", service & 0x7f),
    }
    if service & 0x80 != 0 {
        cursor.skip(1)?;
        let status = cursor.u8()?;
        out.number("status", status);
        out.text_if("status_text", status_name(status));
        let words = cursor.u8()?;
        if words > 0 {
            out.number("status_extended", cursor.le16()?);
        }
        return Some(());
    }
    let words = cursor.u8()?;
    let path = cursor.take(2 * usize::from(words))?;
    let mut segments = Cursor::new(path);
    let mut class = None;
    out.list("path", |out| {
        while let Some(found) = write_segment(&mut segments, out) {
            class = class.or(found);
        }
    });
    out.text_if("class_name", class.and_then(class_name));
    Some(())
}

/// The number of a segment, in as many bytes as its first one says.
fn segment_value(head: u8, cursor: &mut Cursor<'_>) -> Option<u32> {
    Some(match head & 3 {
        0 => u32::from(cursor.u8()?),
        1 => {
            cursor.skip(1)?;
            u32::from(cursor.le16()?)
        }
        2 => {
            cursor.skip(1)?;
            cursor.le32()?
        }
        _ => return None,
    })
}

/// Writes one segment of a path (C-1.4); the class, where it is one.
fn write_segment(cursor: &mut Cursor<'_>, out: &mut Fields) -> Option<Option<u32>> {
    let head = cursor.u8()?;
    if head == 0x91 {
        let name = cursor.vec8()?;
        if name.len() % 2 == 1 {
            let _ = cursor.u8();
        }
        out.object("", |out| {
            out.text("segment_type", "symbolic");
            out.text("value", name);
        });
        return Some(None);
    }
    let kind = match head & 0xfc {
        0x20 => "class",
        0x24 => "instance",
        0x28 => "element",
        0x2c => "connection_point",
        0x30 => "attribute",
        _ => return None,
    };
    let value = segment_value(head, cursor)?;
    out.object("", |out| {
        out.text("segment_type", kind);
        out.number("value", value);
    });
    Some((kind == "class").then_some(value))
}

const fn command_name(command: u16) -> Option<&'static str> {
    Some(match command {
        0x04 => "ListServices",
        0x05 => "Nop",
        0x63 => "ListIdentity",
        0x64 => "ListInterfaces",
        0x65 => "RegisterSession",
        0x66 => "UnregisterSession",
        0x6f => "SendRRData",
        0x70 => "SendUnitData",
        0x72 => "IndicateStatus",
        0x73 => "Cancel",
        _ => return None,
    })
}

const fn service_name(service: u8) -> Option<&'static str> {
    Some(match service {
        0x01 => "GetAttributesAll",
        0x02 => "SetAttributesAll",
        0x03 => "GetAttributeList",
        0x04 => "SetAttributeList",
        0x05 => "Reset",
        0x06 => "Start",
        0x07 => "Stop",
        0x08 => "Create",
        0x09 => "Delete",
        0x0a => "MultipleServicePacket",
        0x0d => "ApplyAttributes",
        0x0e => "GetAttributeSingle",
        0x10 => "SetAttributeSingle",
        0x11 => "FindNextObjectInstance",
        0x15 => "Restore",
        0x16 => "Save",
        0x17 => "Nop",
        0x18 => "GetMember",
        0x19 => "SetMember",
        0x4c => "ReadTag",
        0x4d => "WriteTag",
        0x4e => "ReadModifyWriteTag",
        0x52 => "UnconnectedSend",
        0x53 => "WriteTagFragmented",
        0x54 => "ForwardOpen",
        0x55 => "GetInstanceAttributeList",
        0x5b => "LargeForwardOpen",
        _ => return None,
    })
}

const fn status_name(status: u8) -> Option<&'static str> {
    Some(match status {
        0 => "Success",
        1 => "ConnectionFailure",
        2 => "ResourceUnavailable",
        3 => "InvalidParameter",
        4 => "PathSegmentError",
        5 => "PathDestinationUnknown",
        6 => "PartialTransfer",
        7 => "ConnectionLost",
        8 => "ServiceNotSupported",
        0x0e => "AttributeNotSettable",
        0x0f => "PrivilegeViolation",
        0x14 => "AttributeNotSupported",
        0x16 => "ObjectDoesNotExist",
        0x1e => "EmbeddedServiceError",
        _ => return None,
    })
}

const fn class_name(class: u32) -> Option<&'static str> {
    Some(match class {
        1 => "Identity",
        2 => "MessageRouter",
        4 => "Assembly",
        5 => "Connection",
        6 => "ConnectionManager",
        0x0f => "Parameter",
        0x37 => "File",
        0x64..=0xc7 => "Vendor",
        0xf4 => "Port",
        0xf5 => "TcpIpInterface",
        0xf6 => "EthernetLink",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], is_tcp: bool) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 44_818, is_tcp)
    }

    const REGISTER: &[u8] =
        &[0x65, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];

    #[test]
    fn a_session_is_known_by_its_header() {
        assert_eq!(looks_like_encapsulation(&peek(REGISTER, true)), Match::Yes(96));
        for len in 1..HEADER_BYTES {
            assert_eq!(looks_like_encapsulation(&peek(&REGISTER[..len], true)), Match::More, "{len}");
        }
        assert_eq!(looks_like_encapsulation(&peek(b"connect to somewhere else, please", true)), Match::No);
    }

    #[test]
    fn cyclic_data_are_known_by_their_items() {
        let data = [2, 0, 2, 0x80, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xb1, 0, 2, 0, 9, 9];
        assert_eq!(looks_like_cyclic(&peek(&data, false)), Match::Yes(95));
        for len in 0..data.len() {
            assert_eq!(looks_like_cyclic(&peek(&data[..len], false)), Match::No);
        }
    }

    #[test]
    fn a_path_is_read_and_a_write_noticed() {
        let set = [0x10, 3, 0x20, 1, 0x24, 1, 0x30, 7, 5];
        assert!(commands(&set) && !commands(&[0x0e, 0]));
        for len in 0..set.len() {
            let _ = write_cip(&set[..len], &mut Fields::new());
        }
        let mut fields = Fields::new();
        assert!(write_cip(&set, &mut fields).is_some());
        assert!(fields.iter().any(|(key, _)| key == "class_name"));
    }
}
