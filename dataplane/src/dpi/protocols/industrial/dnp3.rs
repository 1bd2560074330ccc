//! What does a master ask of an outstation, and what does it command? DNP3 over TCP and UDP.
//!
//! Application fragments are put together from transport segments and leave as Suricata's `dnp3` has them.
//!
//! Source: IEEE 1815-2012, clauses 4 (application), 8 (transport), 9 (data link), 11 (objects).

use crate::dpi::cursor::Cursor;
use crate::dpi::fields::Fields;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, field};
use crate::rules::language::buffers::buffer;
use crate::rules::language::industrial::dnp3_object;

/// Distributed Network Protocol 3.
pub static DNP3: Protocol = Protocol {
    name: "dnp3",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::TcpOrUdp, first: First::Of(&[0x05]), look: looks_like_frame }],
    parser: Some(|| Box::new(Dnp3::default())),
};

/// Longest application fragment that is put together (4.1.1 suggests 2048).
const FRAGMENT_BYTES_MAX: usize = 4_096;

/// Fragments of a flow that are told.
const RECORDS_MAX: u32 = 512;

/// Points of one object that are told.
const POINTS_MAX: u64 = 32;

const HEADER_BYTES: usize = 10;

fn looks_like_frame(peek: &Peek<'_>) -> Match {
    let Some(header) = peek.bytes.first_chunk::<HEADER_BYTES>() else {
        return if peek.bytes.get(1).is_none_or(|byte| *byte == 0x64) { Match::More } else { Match::No };
    };
    // Start octets, at least control and two addresses, and the header's checksum.
    let fits = header[1] == 0x64 && header[2] >= 5;
    if !fits {
        return Match::No;
    }
    // A wrong one is believed on DNP3's own port only.
    match checksum(&header[..8]) == u16::from_le_bytes([header[8], header[9]]) {
        true => Match::Yes(99),
        false => Match::of(peek.has_port(20_000), 85),
    }
}

/// CRC-16 of DNP (9.2.4.3.3): polynomial 0x3d65, reflected and inverted.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u16;
    for byte in bytes {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 != 0 { sum >> 1 ^ 0xa6bc } else { sum >> 1 };
        }
    }
    !sum
}

/// Length of a frame on the wire: two octets of checksum behind each sixteen of data.
fn frame_len(len: u8) -> usize {
    let data = usize::from(len).saturating_sub(5);
    HEADER_BYTES + data + 2 * data.div_ceil(16)
}

#[derive(Debug, Default)]
struct Dnp3 {
    ways: [Way; 2],
    records: u32,
}

#[derive(Debug, Default)]
struct Way {
    fragment: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    control: u8,
    to: u16,
    from: u16,
}

impl Parser for Dnp3 {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let is_tcp = cx.flow.protocol == crate::parse::Protocol::TCP;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { break };
            if header[0] != 0x05 || header[1] != 0x64 || header[2] < 5 {
                cx.anomaly(if header[2] < 5 { "len_too_small" } else { "malformed" });
                cx.risk(Risk::MalformedMessage, format_args!("dnp3 frame head"));
                return Step::Done;
            }
            let total = frame_len(header[2]);
            let Some(frame) = rest.get(..total) else { break };
            at += total;
            if checksum(&header[..8]) != u16::from_le_bytes([header[8], header[9]]) {
                cx.anomaly("bad_link_crc");
                continue;
            }
            let link = Link {
                control: header[3],
                to: u16::from_le_bytes([header[4], header[5]]),
                from: u16::from_le_bytes([header[6], header[7]]),
            };
            self.frame(way, link, frame.get(HEADER_BYTES..).unwrap_or_default(), cx);
        }
        if self.records >= RECORDS_MAX {
            return Step::Done;
        }
        if is_tcp { Step::Consumed(at) } else { Step::Consumed(bytes.len()) }
    }
}

impl Dnp3 {
    fn frame(&mut self, way: Direction, link: Link, blocks: &[u8], cx: &mut Context<'_>) {
        let fragment = &mut self.ways[way as usize].fragment;
        let mut is_first_block = true;
        let mut transport = 0_u8;
        for block in blocks.chunks(18) {
            let (data, sum) = block.split_at(block.len().saturating_sub(2));
            if sum != checksum(data).to_le_bytes() {
                cx.anomaly("bad_transport_crc");
                fragment.clear();
                return;
            }
            let data = if is_first_block {
                is_first_block = false;
                let Some((head, data)) = data.split_first() else { return };
                transport = *head;
                // FIR: whatever was begun before is given up (8.2.2).
                if transport & 0x40 != 0 {
                    fragment.clear();
                } else if fragment.is_empty() {
                    return;
                }
                data
            } else {
                data
            };
            if fragment.len() + data.len() > FRAGMENT_BYTES_MAX {
                cx.anomaly("fragment_too_long");
                fragment.clear();
                return;
            }
            fragment.extend_from_slice(data);
        }
        if transport & 0x80 == 0 || fragment.len() < 2 {
            return;
        }
        self.records += 1;
        let whole = std::mem::take(fragment);
        tell(way, link, &whole, cx);
        let fragment = &mut self.ways[way as usize].fragment;
        *fragment = whole;
        fragment.clear();
    }
}

fn tell(way: Direction, link: Link, fragment: &[u8], cx: &mut Context<'_>) {
    let mut cursor = Cursor::new(fragment);
    let (Some(control), Some(function)) = (cursor.u8(), cursor.u8()) else { return };
    // Responses have bit 7 set in their function; 4.2.2.5.
    let is_response = function >= 129;
    let indications = if is_response { cursor.be16() } else { None };
    if is_response && indications.is_none() {
        cx.anomaly("malformed");
        return;
    }
    // Write, operate, freeze, restart, start and stop of applications, files and configuration.
    if matches!(function, 2..=6 | 13..=21 | 24 | 26..=28) {
        cx.risk(Risk::PlantControl, format_args!("dnp3 function {function}"));
    }
    tell_rules(fragment, (function, indications), cursor, cx);
    let mut complete = true;
    cx.tell_with("dnp3", way, |out| {
        out.text(
            "type",
            match function {
                130 => "unsolicited_response",
                _ if is_response => "response",
                _ => "request",
            },
        );
        out.object("control", |out| {
            out.bool("dir", link.control & 0x80 != 0);
            out.bool("pri", link.control & 0x40 != 0);
            out.bool("fcb", link.control & 0x20 != 0);
            out.bool("fcv", link.control & 0x10 != 0);
            out.number("function_code", link.control & 15);
        });
        out.number("src", link.from);
        out.number("dst", link.to);
        out.object("application", |out| {
            out.object("control", |out| {
                out.bool("fir", control & 0x80 != 0);
                out.bool("fin", control & 0x40 != 0);
                out.bool("con", control & 0x20 != 0);
                out.bool("uns", control & 0x10 != 0);
                out.number("sequence", control & 15);
            });
            out.number("function_code", function);
            if !cursor.is_empty() {
                out.list("objects", |out| {
                    while !cursor.is_empty() && complete {
                        complete = write_object(&mut cursor, has_data(function), out).is_some();
                    }
                });
            }
            out.bool("complete", complete);
        });
        if let Some(indications) = indications {
            out.object("iin", |out| {
                if indications == 0 {
                    return;
                }
                out.list("indicators", |out| {
                    for (bit, name) in INDICATIONS {
                        if indications & bit != 0 {
                            out.text("", *name);
                        }
                    }
                });
            });
        }
    });
    if !complete {
        cx.anomaly("unknown_object");
    }
}

/// Objects of one fragment that rules are told.
const OBJECTS_MAX: usize = 64;

const OBJECT: FieldId = field("dnp3.object");

/// Tells rules of a fragment; they are asked with its record. `objects` is at the first of them.
fn tell_rules(
    fragment: &[u8],
    (function, indications): (u8, Option<u16>),
    mut objects: Cursor<'_>,
    cx: &mut Context<'_>,
) {
    let rules = &mut cx.rules;
    rules.number(const { field("dnp3_func") }, function.into());
    if let Some(indications) = indications {
        rules.number(const { field("dnp3.indications") }, indications.into());
    }
    rules.show(const { buffer("dnp3.data") }, fragment);
    if !rules.asks(OBJECT) {
        return;
    }
    // What is written here is not told: the walk over values is that of the record.
    let mut unused = Fields::new();
    for _ in 0..OBJECTS_MAX {
        let Some([group, variation]) = objects.rest().first_chunk().copied() else { break };
        rules.number(OBJECT, dnp3_object(group, variation));
        if write_object(&mut objects, has_data(function), &mut unused).is_none() {
            break;
        }
        unused.clear();
    }
}

/// Whether objects of a message carry values: questions and freezes only name them.
const fn has_data(function: u8) -> bool {
    matches!(function, 2..=6 | 24..=31 | 129..)
}

/// Internal indications, first octet high (4.2.2.6).
const INDICATIONS: &[(u16, &str)] = &[
    (0x8000, "device_restart"),
    (0x4000, "device_trouble"),
    (0x2000, "local_control"),
    (0x1000, "need_time"),
    (0x0800, "class_3_events"),
    (0x0400, "class_2_events"),
    (0x0200, "class_1_events"),
    (0x0100, "all_stations"),
    (0x0080, "reserved_1"),
    (0x0040, "reserved_2"),
    (0x0020, "config_corrupt"),
    (0x0010, "already_executing"),
    (0x0008, "event_buffer_overflow"),
    (0x0004, "parameter_error"),
    (0x0002, "object_unknown"),
    (0x0001, "no_func_code_support"),
];

/// Writes one object header and goes over its values. `None`: their size is not known, or they are cut off.
fn write_object(cursor: &mut Cursor<'_>, has_data: bool, out: &mut Fields) -> Option<()> {
    let (group, variation, qualifier) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
    let (prefix, range) = (qualifier >> 4 & 7, qualifier & 15);
    let (start, stop) = match range {
        0 => (u32::from(cursor.u8()?), u32::from(cursor.u8()?)),
        1 => (u32::from(cursor.le16()?), u32::from(cursor.le16()?)),
        2 => (cursor.le32()?, cursor.le32()?),
        _ => (0, 0),
    };
    let count = match range {
        0..=2 => u64::from(stop).checked_sub(u64::from(start))? + 1,
        7 | 11 => u64::from(cursor.u8()?),
        8 => u64::from(cursor.le16()?),
        9 => u64::from(cursor.le32()?),
        _ => 0,
    };
    let mut is_whole = Some(());
    out.object("", |out| {
        out.number("group", group);
        out.number("variation", variation);
        out.number("qualifier", qualifier);
        out.number("prefix_code", prefix);
        out.number("range_code", range);
        out.number("start", start);
        out.number("stop", stop);
        out.number("count", count);
        if count > 0 && (has_data || prefix > 0) {
            is_whole = write_points(cursor, (group, variation), prefix, has_data, start, count, out);
        }
    });
    is_whole
}

fn write_points(
    cursor: &mut Cursor<'_>,
    (group, variation): (u8, u8),
    prefix: u8,
    has_data: bool,
    start: u32,
    count: u64,
    out: &mut Fields,
) -> Option<()> {
    // Packed bits: eight points an octet (11.3.2).
    if has_data && matches!((group, variation), (1 | 10 | 80, 1)) && prefix == 0 {
        let bits = cursor.take(usize::try_from(count.div_ceil(8)).ok()?)?;
        out.list("points", |out| {
            for at in 0..count.min(POINTS_MAX) {
                let set = bits.get((at / 8) as usize).is_some_and(|byte| byte >> (at % 8) & 1 != 0);
                out.object("", |out| {
                    out.number("prefix", 0_u8);
                    out.number("index", u64::from(start) + at);
                    out.number("state", u8::from(set));
                });
            }
        });
        return Some(());
    }
    let mut is_whole = Some(());
    out.list("points", |out| {
        let mut at = 0;
        // Values without a size of their own take nothing: there is no more to go over than bytes.
        let count = count.min(cursor.rest().len() as u64);
        while at < count && is_whole.is_some() {
            match read_point(cursor, (group, variation), prefix, has_data) {
                Some((prefixed, value)) if at < POINTS_MAX => out.object("", |out| {
                    let index =
                        if matches!(prefix, 1..=3) { prefixed } else { start.saturating_add(at as u32) };
                    out.number("prefix", prefixed);
                    out.number("index", index);
                    write_value(group, variation, value, out);
                }),
                Some(_) => {}
                None => is_whole = None,
            }
            at += 1;
        }
    });
    is_whole
}

/// What stands before a value, and the value.
fn read_point<'a>(
    cursor: &mut Cursor<'a>,
    (group, variation): (u8, u8),
    prefix: u8,
    has_data: bool,
) -> Option<(u32, &'a [u8])> {
    let prefixed = match prefix {
        0 => 0,
        1 | 4 => u32::from(cursor.u8()?),
        2 | 5 => u32::from(cursor.le16()?),
        3 | 6 => cursor.le32()?,
        _ => return None,
    };
    let value = match (has_data, prefix) {
        (false, _) => &[][..],
        (true, 4..) => cursor.take(prefixed as usize)?,
        (true, _) => cursor.take(size_of_object(group, variation)?)?,
    };
    Some((prefixed, value))
}

/// Octets of one value; groups and variations of clause 11.
const fn size_of_object(group: u8, variation: u8) -> Option<usize> {
    Some(match (group, variation) {
        (1 | 10, 2) | (2 | 11 | 13, 1) | (3, 2) | (4, 1) => 1,
        (2 | 11 | 13, 2) | (4, 2) => 7,
        (2 | 4, 3) => 3,
        (12, 1) => 11,
        (20 | 21, 1) | (22 | 23, 1) | (30 | 31, 1) | (32 | 33, 1) | (40, 1) | (42, 1) => 5,
        (20 | 21, 2) | (22 | 23, 2) | (30 | 31, 2) | (32 | 33, 2) | (40, 2) | (42, 2) => 3,
        (20, 5) | (21, 9) | (30, 3) | (31, 5) => 4,
        (20, 6) | (21, 10) | (30, 4) | (31, 6) => 2,
        (21, 5) | (22 | 23, 5) | (31, 3) | (32 | 33, 3) | (42, 3) => 11,
        (21, 6) | (22 | 23, 6) | (31, 4) | (32 | 33, 4) | (42, 4) => 9,
        (30, 5) | (31, 7) | (32 | 33, 5) | (40, 3) | (42, 5) => 5,
        (30, 6) | (31, 8) | (32 | 33, 6) | (40, 4) | (42, 6) => 9,
        (32 | 33, 7) | (42, 7) => 11,
        (32 | 33, 8) | (42, 8) => 15,
        (34, 1) => 2,
        (34, 2 | 3) => 4,
        (41, 1) => 5,
        (41, 2) => 3,
        (41, 3) => 5,
        (41, 4) => 9,
        (50, 1 | 3) | (51, 1 | 2) => 6,
        (50, 2) => 10,
        (50, 4) => 11,
        (52, 1 | 2) => 2,
        // Octet strings are as long as their variation says (11.3.19).
        (110 | 111, len) => len as usize,
        _ => return None,
    })
}

/// What of a value is worth reading: commands, flags, analogues, times.
fn write_value(group: u8, variation: u8, value: &[u8], out: &mut Fields) {
    let mut cursor = Cursor::new(value);
    let _ = (|| -> Option<()> {
        match (group, variation) {
            (12, 1) => {
                let code = cursor.u8()?;
                out.number("op_type", code & 15);
                out.number("qu", code >> 4 & 1);
                out.number("cr", code >> 5 & 1);
                out.number("tcc", code >> 6);
                out.number("count", cursor.u8()?);
                out.number("ontime", cursor.le32()?);
                out.number("offtime", cursor.le32()?);
                out.number("status_code", cursor.u8()?);
            }
            (1 | 10, 2) | (2, 1) => out.number("state", cursor.u8()? >> 7),
            (30 | 32, 1) | (40, 1) => {
                cursor.skip(1)?;
                out.signed("value", cursor.le32()? as i32);
            }
            (30 | 32, 2) | (40, 2) => {
                cursor.skip(1)?;
                out.signed("value", cursor.le16()? as i16);
            }
            (20 | 22, 1) => {
                cursor.skip(1)?;
                out.number("count", cursor.le32()?);
            }
            (41, 1) => {
                out.signed("value", cursor.le32()? as i32);
                out.number("control_status", cursor.u8()?);
            }
            (41, 2) => {
                out.signed("value", cursor.le16()? as i16);
                out.number("control_status", cursor.u8()?);
            }
            (50, 1) => {
                let (low, high) = (cursor.le32()?, cursor.le16()?);
                out.number("timestamp", u64::from(high) << 32 | u64::from(low));
            }
            (70, _) | (110 | 111, _) => out.hex("data", value),
            _ => {}
        }
        Some(())
    })();
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &[u8] = &[5, 0x64, 0x0b, 0xc4, 1, 0, 2, 0, 0x69, 0x9e, 0xc0, 0xc1, 1, 0x3c, 2, 6, 0x52, 0xc3];

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 20_000, true)
    }

    #[test]
    fn a_frame_is_known_by_start_and_checksum() {
        assert_eq!(checksum(&[0x05, 0x64, 0x05, 0xc0, 0x01, 0x00, 0x00, 0x04]), 0x21e9);
        let seen = looks_like_frame(&peek(READ));
        assert!(matches!(seen, Match::Yes(85..)), "{seen:?}");
        for len in 1..HEADER_BYTES {
            assert_eq!(looks_like_frame(&peek(&READ[..len])), Match::More, "{len}");
        }
        assert_eq!(looks_like_frame(&peek(b"\x05\x01\x00")), Match::No);
        assert_eq!(frame_len(5), 10);
        assert_eq!(frame_len(0x0b), 18);
    }

    #[test]
    fn objects_are_gone_over() {
        // Class 2 data, then one control block with an index before it.
        let objects = [60, 2, 6, 12, 1, 0x17, 1, 9, 3, 1, 0x64, 0, 0, 0, 0x64, 0, 0, 0, 0];
        let mut cursor = Cursor::new(&objects);
        let mut fields = Fields::new();
        assert!(write_object(&mut cursor, false, &mut fields).is_some());
        assert!(write_object(&mut cursor, true, &mut fields).is_some());
        assert!(cursor.is_empty());
        assert!(fields.iter().any(|(key, _)| key == "ontime"));
        for len in 0..objects.len() {
            let mut cursor = Cursor::new(&objects[..len]);
            while write_object(&mut cursor, true, &mut fields).is_some() {}
        }
    }
}
