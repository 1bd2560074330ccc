//! Who publishes what to whom over MQTT? Versions 3.1, 3.1.1 and 5.
//!
//! Messages that belong together (CONNECT and CONNACK, PUBLISH and what acknowledges it) leave in one record, as
//! Suricata's `mqtt` has them; a question nobody answers leaves with the flow.
//!
//! Sources: MQTT 3.1.1 and MQTT 5.0 (OASIS), chapters 2 and 3.

use crate::dpi::cursor::Cursor;
use crate::dpi::fields::Fields;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, HostKind, Parser, Risk, Step};
use crate::flow::Direction;
use crate::rules::detect::Message as Pieces;
use crate::rules::detect::{FieldId, Gathered, Telling, field};
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

/// MQTT.
pub static MQTT: Protocol = Protocol {
    name: "mqtt",
    eve: None,
    category: Category::Messaging,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[0x10]), look: looks_like_connect },
        Probe { over: Over::Tcp, first: First::In(0x20, 0xff), look: looks_like_session },
    ],
    parser: Some(|| Box::new(Mqtt::default())),
};

/// Longest message that is read as a whole.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Questions that wait for their answer.
const PENDING_MAX: usize = 8;

/// Longest payload of a PUBLISH that is told.
const PAYLOAD_BYTES_MAX: usize = 1_024;

fn looks_like_connect(peek: &Peek<'_>) -> Match {
    let Some((_, len, header)) = fixed_header(peek.bytes) else {
        return if peek.bytes.len() < 5 { Match::More } else { Match::No };
    };
    let Some(name) = peek.bytes.get(header..header + 2) else { return Match::More };
    let expected: &[u8] = match name {
        [0, 4] => b"MQTT",
        [0, 6] => b"MQIsdp",
        _ => return Match::No,
    };
    match peek.bytes.get(header + 2..header + 2 + expected.len()) {
        Some(found) => Match::of(found == expected && len >= expected.len() + 6, 98),
        None => Match::More,
    }
}

/// A broker's first answer, or the middle of a session: the more messages follow each other, the surer.
fn looks_like_session(peek: &Peek<'_>) -> Match {
    let on_port = peek.has_port(1883);
    let mut rest = peek.bytes;
    let mut messages = 0_u8;
    let mut has_topic = false;
    while messages < 4 && !rest.is_empty() {
        let Some((first, len, header)) = fixed_header(rest) else {
            return if rest.len() < 5 { Match::More } else { Match::No };
        };
        let body = rest.get(header..).unwrap_or_default();
        let Some(whole) = body.get(..len) else {
            // A long PUBLISH is known by its beginning.
            let begins = first & 0xf0 == 0x30 && has_name(first, body) && len < 1 << 20;
            return match (begins, on_port || messages > 0) {
                (true, true) => Match::Yes(82),
                (true, false) => Match::Yes(45),
                (false, true) if body.len() < 2 => Match::More,
                (false, _) => Match::No,
            };
        };
        if !is_message(first, whole) {
            return Match::No;
        }
        has_topic |= matches!(first >> 4, 3 | 8 | 10);
        messages += 1;
        rest = body.get(len..).unwrap_or_default();
    }
    match (on_port, messages, has_topic) {
        (true, ..) => Match::Yes(84),
        (false, 3.., _) | (false, 2, true) => Match::Yes(82),
        (false, _, true) => Match::Yes(65),
        // A ping or an acknowledgement alone is few bits.
        (false, ..) => Match::Yes(50),
    }
}

/// Whether a PUBLISH begins with a topic without control characters.
fn has_name(first: u8, body: &[u8]) -> bool {
    first & 6 != 6
        && Cursor::new(body)
            .vec16()
            .is_some_and(|topic| topic.len() > 1 && topic.iter().all(|byte| (0x20..0x7f).contains(byte)))
}

/// Whether a whole message other than CONNECT has the shape of its kind.
fn is_message(first: u8, body: &[u8]) -> bool {
    match first {
        // CONNACK: session present, return code (3.2.2), or properties after it in MQTT 5.
        0x20 => matches!(body, [0 | 1, 0..=5] | [0 | 1, 0 | 0x80..=0x9f, _, ..]),
        0x30..=0x3f => has_name(first, body),
        0x40 | 0x50 | 0x62 | 0x70 => matches!(body, [_, _] | [_, _, 0 | 0x10 | 0x80..=0x9f, ..]),
        // An identifier, then at least one filter.
        0x82 | 0xa2 => {
            let mut cursor = Cursor::new(body);
            cursor.skip(2).is_some()
                && (cursor.vec16().is_some_and(|filter| filter.len() > 1 && filter.is_ascii())
                    || body.get(2) == Some(&0))
        }
        0x90 | 0xb0 => (2..=32).contains(&body.len()),
        0xc0 | 0xd0 => body.is_empty(),
        0xe0 => body.is_empty() || matches!(body, [0 | 4 | 0x80..=0xa2, ..]),
        _ => false,
    }
}

/// The first byte, the remaining length, and the length of the header itself (2.2).
fn fixed_header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, rest) = bytes.split_first()?;
    let (len, used) = variable_number(rest)?;
    Some((*first, len, 1 + used))
}

/// A number of one to four bytes with seven bits each, and how many bytes it took (1.5.5 of MQTT 5).
fn variable_number(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[derive(Debug, Default)]
struct Mqtt {
    /// 3, 4 or 5; 0 while it is not known.
    version: u8,
    /// Whether a CONNECT was answered.
    is_connected: bool,
    pending: Vec<Pending>,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Message type of the question, and its identifier.
    key: (u8, u16),
    way: Direction,
    fields: Fields,
    told: Gathered,
}

/// What a message does to records.
enum Place {
    /// A record of its own.
    Alone,
    /// The first of several.
    Opens(u8, u16),
    /// One between.
    Continues(u8, u16),
    /// The last of several.
    Closes(u8, u16),
}

/// Codes of one message that rules are told.
const CODES_MAX: usize = 64;

const TYPE: FieldId = field("mqtt.type");
const FLAGS: FieldId = field("mqtt.flags");
const QUALITY: FieldId = field("mqtt.qos");
const VERSION: FieldId = field("mqtt.protocol_version");
const REASON: FieldId = field("mqtt.reason_code");
const CONNECT_FLAGS: FieldId = field("mqtt.connect.flags");
const SESSION: FieldId = field("mqtt.connack.session_present");
const MESSAGE: BufferId = buffer("mqtt.publish.message");
/// Rules may look into it; no record has it.
const PASSWORD: BufferId = buffer("mqtt.connect.password");

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;

/// What messages are to rules.
const PIECES: Pieces = Pieces::of("mqtt", "pdu", "header", "data");

impl Parser for Mqtt {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some((first, len, header)) = fixed_header(bytes) else {
            if bytes.len() >= 5 {
                cx.anomaly("invalid_remaining_length");
                return Step::Done;
            }
            return Step::Consumed(0);
        };
        let total = header + len;
        if len > MESSAGE_BYTES_MAX {
            cx.rules.message(way, &PIECES, bytes, header, len as u64);
            let name = NAMES.get(usize::from(first >> 4)).copied().unwrap_or_default();
            cx.tell_with("mqtt", way, |fields| {
                fields.object(name, |message| {
                    message.bool("truncated", true);
                    message.number("skipped_length", len as u64);
                });
            });
            return Step::Consumed(total);
        }
        let Some(body) = bytes.get(header..total) else { return Step::Consumed(0) };
        cx.rules.message(way, &PIECES, bytes, header, len as u64);
        if self.message(way, first, body, cx).is_none() {
            cx.anomaly("malformed_traffic");
            cx.risk(Risk::MalformedMessage, format_args!("mqtt message type {}", first >> 4));
            if self.version == 0 {
                return Step::Done;
            }
        }
        Step::Consumed(total)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for pending in self.pending.drain(..) {
            cx.rules.show_gathered(&pending.told);
            cx.tell("mqtt", pending.way, &pending.fields);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// Names of the message types, as EVE has them.
const NAMES: [&str; 16] = [
    "reserved",
    "connect",
    "connack",
    "publish",
    "puback",
    "pubrec",
    "pubrel",
    "pubcomp",
    "subscribe",
    "suback",
    "unsubscribe",
    "unsuback",
    "pingreq",
    "pingresp",
    "disconnect",
    "auth",
];

impl Mqtt {
    fn message(&mut self, way: Direction, first: u8, body: &[u8], cx: &mut Context<'_>) -> Option<()> {
        let kind = first >> 4;
        let name = *NAMES.get(usize::from(kind))?;
        let mut cursor = Cursor::new(body);
        let id = match kind {
            4..=11 => cursor.be16()?,
            _ => 0,
        };
        let quality = first >> 1 & 3;
        let place = match kind {
            1 => Place::Opens(CONNECT, 0),
            2 => Place::Closes(CONNECT, 0),
            3 if quality > 0 => {
                let mut look = cursor;
                look.vec16()?;
                Place::Opens(PUBLISH, look.be16()?)
            }
            4 | 7 => Place::Closes(PUBLISH, id),
            5 | 6 => Place::Continues(PUBLISH, id),
            8 => Place::Opens(SUBSCRIBE, id),
            9 => Place::Closes(SUBSCRIBE, id),
            10 => Place::Opens(UNSUBSCRIBE, id),
            11 => Place::Closes(UNSUBSCRIBE, id),
            _ => Place::Alone,
        };
        if kind == 0 {
            cx.anomaly("unassigned_msg_type");
        }
        self.judge(kind, first, body, (&place, id), cx);
        let told = self.gather(kind, first, body, &cx.rules);
        if kind == CONNECT {
            self.version = connect_version(body)?;
            self.learn(body, cx)?;
        }
        if kind == 2 && body.get(1).is_some_and(|code| *code != 0) {
            cx.risk(Risk::FailedLogin, format_args!("mqtt code {}", body.get(1).copied().unwrap_or(0)));
        }
        let is_five = self.version == 5;
        let mut is_whole = Some(());
        let mut write = |fields: &mut Fields| {
            fields.object(name, |message| {
                message.number("qos", quality);
                message.bool("retain", first & 1 != 0);
                message.bool("dup", first & 8 != 0);
                is_whole = write_body(kind, quality, id, &mut cursor, is_five, message);
            });
        };
        match place {
            Place::Alone => {
                cx.rules.show_gathered(&told);
                cx.tell_with("mqtt", way, write);
            }
            Place::Opens(kind, id) => {
                if self.pending.len() >= PENDING_MAX {
                    let oldest = self.pending.remove(0);
                    cx.rules.show_gathered(&oldest.told);
                    cx.tell("mqtt", oldest.way, &oldest.fields);
                }
                let mut fields = Fields::new();
                write(&mut fields);
                self.pending.push(Pending { key: (kind, id), way, fields, told });
            }
            Place::Continues(kind, id) | Place::Closes(kind, id) => {
                match self.pending.iter().position(|pending| pending.key == (kind, id)) {
                    Some(at) if matches!(place, Place::Continues(..)) => {
                        if let Some(pending) = self.pending.get_mut(at) {
                            write(&mut pending.fields);
                            pending.told.append(told);
                        }
                    }
                    Some(at) => {
                        let mut opened = self.pending.remove(at);
                        write(&mut opened.fields);
                        cx.rules.show_gathered(&opened.told);
                        cx.rules.show_gathered(&told);
                        cx.tell("mqtt", opened.way, &opened.fields);
                    }
                    None => {
                        cx.rules.show_gathered(&told);
                        cx.tell_with("mqtt", way, write);
                    }
                }
            }
        }
        is_whole
    }

    /// What a message should not be where it stands.
    fn judge(&mut self, kind: u8, first: u8, body: &[u8], (place, id): (&Place, u16), cx: &mut Context<'_>) {
        let has = |key: (u8, u16)| self.pending.iter().any(|pending| pending.key == key);
        match kind {
            CONNECT if self.is_connected || has((CONNECT, 0)) => cx.anomaly("double_connect"),
            CONNACK if !has((CONNECT, 0)) && !cx.flow.is_midstream => cx.anomaly("missing_connect"),
            // Of a session that was seen from its middle the rest is not known.
            3..=13 if !self.is_connected && !cx.flow.is_midstream => cx.anomaly("unintroduced_message"),
            _ => {}
        }
        // 3.3.1-4: both bits are never set.
        if kind == PUBLISH && first & 6 == 6 {
            cx.anomaly("invalid_qos_level");
        }
        // 2.3.1-1: an identifier is not 0, and is there where it must be.
        let quality = first >> 1 & 3;
        let publish_has_none = || {
            let mut cursor = Cursor::new(body);
            cursor.vec16().is_some() && cursor.be16().is_none_or(|id| id == 0)
        };
        if matches!(kind, SUBSCRIBE | UNSUBSCRIBE) && id == 0
            || kind == PUBLISH && matches!(quality, 1 | 2) && publish_has_none()
        {
            cx.anomaly("missing_msg_id");
        }
        if let Place::Continues(asked, id) | Place::Closes(asked, id) = place
            && !has((*asked, *id))
            && !cx.flow.is_midstream
        {
            match *asked {
                PUBLISH => cx.anomaly("missing_publish"),
                SUBSCRIBE => cx.anomaly("missing_subscribe"),
                UNSUBSCRIBE => cx.anomaly("missing_unsubscribe"),
                _ => {}
            }
        }
        self.is_connected |= kind == CONNACK;
    }

    /// What rules are told of a message beside its record.
    fn gather(&self, kind: u8, first: u8, body: &[u8], rules: &Telling<'_>) -> Gathered {
        let mut told = Gathered::default();
        if !rules.is_on() {
            return told;
        }
        told.number(rules, TYPE, kind.into());
        told.number(rules, FLAGS, (first & 9).into());
        told.number(rules, QUALITY, (first >> 1 & 3).into());
        let version = if kind == CONNECT { connect_version(body).unwrap_or(0) } else { self.version };
        if version > 0 {
            told.number(rules, VERSION, version.into());
        }
        let is_five = version == 5;
        let mut cursor = Cursor::new(body);
        // What is cut off says nothing.
        let _ = (|| -> Option<()> {
            match kind {
                CONNECT => {
                    cursor.vec16()?;
                    cursor.skip(1)?;
                    told.number(rules, CONNECT_FLAGS, cursor.u8()?.into());
                    let password = Connect::read(body)?.password?;
                    if !password.is_empty() {
                        told.show(rules, PASSWORD, password);
                    }
                }
                CONNACK => {
                    told.number(rules, SESSION, (cursor.u8()? & 1).into());
                    told.number(rules, REASON, cursor.u8()?.into());
                }
                PUBLISH => {
                    cursor.vec16()?;
                    if first & 6 != 0 {
                        cursor.skip(2)?;
                    }
                    if is_five {
                        properties_of(&mut cursor)?;
                    }
                    told.show(rules, MESSAGE, cursor.rest());
                }
                4..=7 if is_five => {
                    cursor.skip(2)?;
                    // 3.4.2.1 of MQTT 5: without one it is a success.
                    told.number(rules, REASON, cursor.u8().unwrap_or(0).into());
                }
                9 | 11 => {
                    cursor.skip(2)?;
                    if is_five {
                        properties_of(&mut cursor)?;
                    }
                    for code in cursor.rest().iter().take(CODES_MAX) {
                        told.number(rules, REASON, (*code).into());
                    }
                }
                14 | 15 if is_five => told.number(rules, REASON, cursor.u8().unwrap_or(0).into()),
                _ => {}
            }
            Some(())
        })();
        told
    }

    /// What a CONNECT says of the flow.
    fn learn(&self, body: &[u8], cx: &mut Context<'_>) -> Option<()> {
        let connect = Connect::read(body)?;
        if connect.user.is_some() && connect.password.is_some() {
            cx.risk(Risk::ClearTextCredentials, format_args!("mqtt CONNECT with password"));
        }
        if self.version == 3 {
            cx.risk(Risk::ObsoleteVersion, format_args!("mqtt 3.1"));
        }
        // AWS IoT and its like route by the user name, whose beginning is a host.
        if let Some(host) = connect.user.and_then(|user| user.split(|byte| *byte == b'/').next())
            && host.contains(&b'.')
        {
            cx.host(HostKind::Other, host);
        }
        Some(())
    }
}

fn connect_version(body: &[u8]) -> Option<u8> {
    let mut cursor = Cursor::new(body);
    cursor.vec16()?;
    cursor.u8()
}

/// The parts of a CONNECT (3.1).
struct Connect<'a> {
    protocol: &'a [u8],
    version: u8,
    flags: u8,
    properties: Option<&'a [u8]>,
    client: &'a [u8],
    will_properties: Option<&'a [u8]>,
    will: Option<(&'a [u8], &'a [u8])>,
    user: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
}

impl<'a> Connect<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let protocol = cursor.vec16()?;
        let version = cursor.u8()?;
        let flags = cursor.u8()?;
        cursor.skip(2)?;
        let properties = if version == 5 { Some(properties_of(&mut cursor)?) } else { None };
        let client = cursor.vec16()?;
        let (mut will_properties, mut will) = (None, None);
        if flags & 4 != 0 {
            if version == 5 {
                will_properties = Some(properties_of(&mut cursor)?);
            }
            will = Some((cursor.vec16()?, cursor.vec16()?));
        }
        let user = if flags & 0x80 != 0 { Some(cursor.vec16()?) } else { None };
        let password = if flags & 0x40 != 0 { Some(cursor.vec16()?) } else { None };
        Some(Self { protocol, version, flags, properties, client, will_properties, will, user, password })
    }
}

/// The bytes of the properties that come next (2.2.2 of MQTT 5).
fn properties_of<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let (len, used) = variable_number(cursor.rest())?;
    cursor.skip(used)?;
    cursor.take(len)
}

fn write_body(
    kind: u8,
    quality: u8,
    id: u16,
    cursor: &mut Cursor<'_>,
    is_five: bool,
    out: &mut Fields,
) -> Option<()> {
    match kind {
        1 => {
            let connect = Connect::read(cursor.rest())?;
            out.text("protocol_string", connect.protocol);
            out.number("protocol_version", connect.version);
            out.object("flags", |flags| {
                flags.bool("username", connect.flags & 0x80 != 0);
                flags.bool("password", connect.flags & 0x40 != 0);
                flags.bool("will_retain", connect.flags & 0x20 != 0);
                flags.bool("will", connect.flags & 4 != 0);
                flags.bool("clean_session", connect.flags & 2 != 0);
            });
            out.text("client_id", connect.client);
            out.text_if("username", connect.user);
            if let Some((topic, message)) = connect.will {
                out.object("will", |will| {
                    will.text("topic", topic);
                    will.text("message", cut(message));
                    write_properties(connect.will_properties, will);
                });
            }
            write_properties(connect.properties, out);
        }
        2 => {
            out.bool("session_present", cursor.u8()? & 1 != 0);
            out.number("return_code", cursor.u8()?);
            write_properties(if is_five { properties_of(cursor) } else { None }, out);
        }
        3 => {
            out.text("topic", cursor.vec16()?);
            if quality > 0 {
                out.number("message_id", cursor.be16()?);
            }
            write_properties(if is_five { Some(properties_of(cursor)?) } else { None }, out);
            out.text("message", cut(cursor.rest()));
        }
        4..=7 => {
            out.number("message_id", id);
            if is_five && let Some(reason) = cursor.u8() {
                out.number("reason_code", reason);
                write_properties(properties_of(cursor), out);
            }
        }
        8 | 10 => {
            out.number("message_id", id);
            write_properties(if is_five { Some(properties_of(cursor)?) } else { None }, out);
            let mut is_whole = Some(());
            out.list("topics", |topics| {
                while is_whole.is_some() && !cursor.is_empty() {
                    let topic = cursor.vec16();
                    let options = if kind == 8 { cursor.u8() } else { Some(0) };
                    let (Some(topic), Some(options)) = (topic, options) else {
                        is_whole = None;
                        return;
                    };
                    if kind == 8 {
                        topics.object("", |subscription| {
                            subscription.text("topic", topic);
                            subscription.number("qos", options & 3);
                        });
                    } else {
                        topics.text("", topic);
                    }
                }
            });
            is_whole?;
        }
        9 | 11 => {
            out.number("message_id", id);
            write_properties(if is_five { Some(properties_of(cursor)?) } else { None }, out);
            let key = if kind == 9 { "qos_granted" } else { "reason_codes" };
            if kind == 9 || !cursor.is_empty() {
                out.list(key, |codes| cursor.rest().iter().for_each(|code| codes.number("", *code)));
            }
        }
        14 | 15 => {
            if let Some(reason) = cursor.u8() {
                out.number("reason_code", reason);
                write_properties(properties_of(cursor), out);
            }
        }
        _ => {}
    }
    Some(())
}

fn cut(message: &[u8]) -> &[u8] {
    message.get(..PAYLOAD_BYTES_MAX).unwrap_or(message)
}

/// How a property's value is written (2.2.2.2 of MQTT 5).
enum Shape {
    Byte,
    Two,
    Four,
    Number,
    Text,
    Binary,
    Pair,
}

const fn property(id: u8) -> Option<(&'static str, Shape)> {
    Some(match id {
        1 => ("payload_format_indicator", Shape::Byte),
        2 => ("message_expiry_interval", Shape::Four),
        3 => ("content_type", Shape::Text),
        8 => ("response_topic", Shape::Text),
        9 => ("correlation_data", Shape::Binary),
        11 => ("subscription_identifier", Shape::Number),
        17 => ("session_expiry_interval", Shape::Four),
        18 => ("assigned_client_identifier", Shape::Text),
        19 => ("server_keep_alive", Shape::Two),
        21 => ("authentication_method", Shape::Text),
        22 => ("authentication_data", Shape::Binary),
        23 => ("request_problem_information", Shape::Byte),
        24 => ("will_delay_interval", Shape::Four),
        25 => ("request_response_information", Shape::Byte),
        26 => ("response_information", Shape::Text),
        28 => ("server_reference", Shape::Text),
        31 => ("reason_string", Shape::Text),
        33 => ("receive_maximum", Shape::Two),
        34 => ("topic_alias_maximum", Shape::Two),
        35 => ("topic_alias", Shape::Two),
        36 => ("maximum_qos", Shape::Byte),
        37 => ("retain_available", Shape::Byte),
        38 => ("userprop", Shape::Pair),
        39 => ("maximum_packet_size", Shape::Four),
        40 => ("wildcard_subscription_available", Shape::Byte),
        41 => ("subscription_identifiers_available", Shape::Byte),
        42 => ("shared_subscription_available", Shape::Byte),
        _ => return None,
    })
}

fn write_properties(bytes: Option<&[u8]>, out: &mut Fields) {
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return };
    out.object("properties", |out| {
        let mut cursor = Cursor::new(bytes);
        while write_property(&mut cursor, out).is_some() {}
    });
}

fn write_property(cursor: &mut Cursor<'_>, out: &mut Fields) -> Option<()> {
    let (name, shape) = property(cursor.u8()?)?;
    match shape {
        Shape::Byte => out.number(name, cursor.u8()?),
        Shape::Two => out.number(name, cursor.be16()?),
        Shape::Four => out.number(name, cursor.be32()?),
        Shape::Number => {
            let (value, used) = variable_number(cursor.rest())?;
            cursor.skip(used)?;
            out.number(name, value as u64);
        }
        Shape::Text => out.text(name, cursor.vec16()?),
        Shape::Binary => out.hex(name, cursor.vec16()?),
        Shape::Pair => {
            let (key, value) = (cursor.vec16()?, cursor.vec16()?);
            out.text(std::str::from_utf8(key).unwrap_or(name), value);
        }
    }
    Some(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    const CONNECT_MESSAGE: &[u8] = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06client";

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 1883, true)
    }

    #[test]
    fn a_connect_is_known_by_its_name() {
        assert_eq!(looks_like_connect(&peek(CONNECT_MESSAGE)), Match::Yes(98));
        for len in 1..8 {
            assert_eq!(looks_like_connect(&peek(&CONNECT_MESSAGE[..len])), Match::More, "{len}");
        }
        assert_eq!(looks_like_connect(&peek(b"\x10\x12\x00\x04HTTP\x04\x02\x00\x3c")), Match::No);
        assert_eq!(looks_like_connect(&peek(b"\x10\xff\xff\xff\xff\x01")), Match::No);
    }

    #[test]
    fn rules_are_told_the_password() {
        use crate::parse::Addr;
        use crate::rules::detect::{Detector, FlowCounts, FlowPlace, Moment};
        use crate::rules::set::Options;
        use crate::rules::{RuleSet, Signature};
        let rule = r#"alert mqtt any any -> any any (mqtt.connect.password; content:"secret"; sid:1;)"#;
        let set = RuleSet::new(vec![Signature::of_text(rule)], &mut Default::default(), Options::default());
        let (mut detector, mut place, nobody) = (Detector::default(), FlowPlace::default(), Addr::default());
        detector.follow(Some(&std::sync::Arc::new(set.unwrap())));
        let moment = Moment {
            initiator: (nobody, 40_000),
            responder: (nobody, 1_883),
            protocol: 6,
            is_established: true,
            original: None,
            at_ns: 0,
            counts: FlowCounts::default(),
        };
        let (detector_of, place_of) = (&mut detector, &mut place);
        let mut rules =
            Telling { detector: detector_of, place: place_of, moment, is_on: true, is_inline: false };
        let body = b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x01u\x00\x06secret";
        let told = Mqtt::default().gather(CONNECT, 0x10, body, &rules);
        rules.show_gathered(&told);
        rules.stage("mqtt", 0, Direction::Forward, true);
        let mut hits = Vec::new();
        detector.take_hits(15, &mut hits);
        assert_eq!(hits.len(), 1);
    }

    #[test]
    fn a_connack_alone_is_few_bits() {
        let mut seen = peek(b"\x20\x02\x00\x00");
        assert_eq!(looks_like_session(&seen), Match::Yes(84));
        seen.ports = (40_000, 9_999);
        assert_eq!(looks_like_session(&seen), Match::Yes(50));
        seen.bytes = b"\xc0\x00\x30\x07\x00\x03a/bhi";
        assert_eq!(looks_like_session(&seen), Match::Yes(82));
    }

    #[test]
    fn the_parts_of_a_connect_are_read() {
        let body = b"\x00\x04MQTT\x05\xc6\x00\x3c\x05\x11\x00\x00\x00\x0a\x00\x01c\x00\x00\x01t\x00\x01m\x00\x01u\x00\x01p";
        let connect = Connect::read(body).unwrap();
        assert_eq!((connect.version, connect.client, connect.user), (5, &b"c"[..], Some(&b"u"[..])));
        assert_eq!(connect.will, Some((&b"t"[..], &b"m"[..])));
        for len in 0..body.len() {
            assert!(Connect::read(&body[..len]).is_none(), "{len}");
        }
        let mut fields = Fields::new();
        write_properties(connect.properties, &mut fields);
        assert!(fields.iter().any(|(key, _)| key == "session_expiry_interval"));
    }
}
