//! Which coils and registers does a master read and write? Modbus over TCP, and Schneider's UMAS inside it.
//!
//! A question and its answer leave in one record, as Suricata's `modbus` has them.
//!
//! Sources: MODBUS Messaging on TCP/IP Implementation Guide 1.0b 3.1 (MBAP header), MODBUS Application Protocol 1.1b3
//! chapters 4 to 7 (functions, exceptions).

use crate::dpi::cursor::Cursor;
use crate::dpi::fields::Fields;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, Gathered, field};
use crate::rules::language::industrial as bits;
use crate::rules::rule::PAIR_BITS;

/// Modbus.
pub static MODBUS: Protocol = Protocol {
    name: "modbus",
    eve: None,
    category: Category::Iot,
    probes: &[
        Probe { over: Over::Tcp, first: First::Any, look: looks_like_modbus },
        Probe { over: Over::Udp, first: First::Any, look: looks_like_modbus_datagram },
    ],
    parser: Some(|| Box::new(Modbus::default())),
};

/// Unified Messaging Application Services: how Schneider's engineering tools talk through Modbus.
pub static UMAS: Protocol = Protocol {
    name: "umas",
    eve: Some("modbus"),
    category: Category::Iot,
    probes: &[Probe { over: Over::Tcp, first: First::Any, look: looks_like_umas }],
    parser: Some(|| Box::new(Modbus::default())),
};

/// The function that UMAS is carried in.
const UMAS_FUNCTION: u8 = 90;

/// Questions that wait for their answer.
const PENDING_MAX: usize = 8;

/// Records of a flow; then its polling has been understood.
const RECORDS_MAX: u32 = 256;

/// Unit and function of the first message, and whether it is whole.
fn header(peek: &Peek<'_>) -> Result<(u8, u8, usize), Match> {
    let Some(head) = peek.bytes.first_chunk::<8>() else {
        let rest = peek.bytes.get(2..).unwrap_or_default();
        let goes_on = [0, 0, 0].iter().zip(rest).all(|(expected, byte)| expected == byte);
        return Err(if goes_on { Match::More } else { Match::No });
    };
    let len = usize::from(peek.be16(4));
    // Protocol identifier 0; unit, function and data are at most 254 bytes.
    if head[2] != 0 || head[3] != 0 || !(2..=254).contains(&len) {
        return Err(Match::No);
    }
    Ok((head[6], head[7], len))
}

fn looks_like_modbus(peek: &Peek<'_>) -> Match {
    let (_, function, len) = match header(peek) {
        Ok((_, UMAS_FUNCTION, _)) => return Match::No,
        Ok(header) => header,
        Err(other) => return other,
    };
    let on_port = peek.has_port(502);
    let total = 6 + len;
    // A second message behind the first begins as one does.
    let next = peek.bytes.get(total..).unwrap_or_default();
    if next.len() >= 4 && (next.get(2) != Some(&0) || next.get(3) != Some(&0)) {
        return Match::No;
    }
    if peek.bytes.len() < total {
        return if on_port && peek.bytes.len() < 4_096 { Match::More } else { Match::No };
    }
    let body = peek.bytes.get(8..total).unwrap_or_default();
    if function & 0x80 != 0 {
        return Match::of(body.len() == 1 && matches!(body, [1..=11]), if on_port { 92 } else { 55 });
    }
    let asks = fits_question(function, body);
    let answers = fits_answer(function, body);
    let repeats = peek.other.len() >= 8
        && peek.other.get(..2) == peek.bytes.get(..2)
        && peek.other.get(6..8) == peek.bytes.get(6..8);
    match (asks || answers, on_port, repeats) {
        (true, true, _) => Match::Yes(95),
        (true, false, true) => Match::Yes(92),
        (true, false, false) => Match::Yes(60),
        // On its own port whatever has the header is Modbus, malformed or of a vendor.
        (false, true, _) => Match::of((1..=127).contains(&function), 82),
        (false, false, _) => Match::No,
    }
}

fn looks_like_modbus_datagram(peek: &Peek<'_>) -> Match {
    let Ok((_, function, len)) = header(peek) else { return Match::No };
    let body = peek.bytes.get(8..).unwrap_or_default();
    let fits = peek.bytes.len() == 6 + len && (fits_question(function, body) || fits_answer(function, body));
    Match::of(fits && peek.has_port(502), 90)
}

fn looks_like_umas(peek: &Peek<'_>) -> Match {
    match header(peek) {
        Ok((_, UMAS_FUNCTION, len)) if len >= 4 => Match::of(true, if peek.has_port(502) { 95 } else { 60 }),
        Ok(_) => Match::No,
        Err(other) => other,
    }
}

fn fits_question(function: u8, body: &[u8]) -> bool {
    match (function, body) {
        (1..=4, [_, _, high, low]) => (1..=2_000).contains(&u16::from_be_bytes([*high, *low])),
        (5, [_, _, 0 | 0xff, 0]) | (6 | 8, [_, _, _, _]) | (7 | 11 | 12 | 17, []) | (24, [_, _]) => true,
        (15 | 16, [_, _, _, _, count, data @ ..]) => usize::from(*count) == data.len() && *count > 0,
        (20 | 21, [count, data @ ..]) => usize::from(*count) == data.len() && data.first() == Some(&6),
        (22, body) => body.len() == 6,
        (23, body) => body.get(8).is_some_and(|count| usize::from(*count) == body.len() - 9),
        (43, [0x0d | 0x0e, ..]) => true,
        _ => false,
    }
}

fn fits_answer(function: u8, body: &[u8]) -> bool {
    match (function, body) {
        (1..=4 | 12 | 17 | 20 | 23, [count, data @ ..]) => usize::from(*count) == data.len() && *count > 0,
        (5, [_, _, 0 | 0xff, 0]) | (6 | 8 | 11 | 15 | 16, [_, _, _, _]) | (7, [_]) => true,
        (21, [count, data @ ..]) => usize::from(*count) == data.len(),
        (22, body) => body.len() == 6,
        (24, [high, low, data @ ..]) => usize::from(u16::from_be_bytes([*high, *low])) == data.len(),
        (43, [0x0d | 0x0e, ..]) => true,
        _ => false,
    }
}

#[derive(Debug, Default)]
struct Modbus {
    pending: Vec<Pending>,
    told: u32,
    records: u32,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Pending {
    transaction: u16,
    function: u8,
    fields: Fields,
    told: Gathered,
}

impl Parser for Modbus {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some((head, _)) = bytes.split_first_chunk::<8>() else {
            return Step::Consumed(0);
        };
        let transaction = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
        if head[2] != 0 || head[3] != 0 {
            cx.anomaly("invalid_protocol_id");
            cx.risk(Risk::MalformedMessage, format_args!("modbus protocol identifier"));
            return Step::Done;
        }
        if !(2..=254).contains(&len) {
            cx.anomaly("invalid_length");
            cx.risk(Risk::MalformedMessage, format_args!("modbus length {len}"));
            return Step::Done;
        }
        let Some(body) = bytes.get(8..6 + len) else { return Step::Consumed(0) };
        let message = Message { transaction, unit: head[6], function: head[7], body };
        // A flow seen from its middle may begin with the device.
        let is_flipped = cx.flow.initiator.1 == 502 && cx.flow.responder.1 != 502;
        if (way == Direction::Forward) != is_flipped {
            self.question(&message, cx);
        } else {
            self.answer(&message, cx);
        }
        if self.records >= RECORDS_MAX { Step::Done } else { Step::Consumed(6 + len) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for pending in self.pending.drain(..) {
            pending.tell(Direction::Forward, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Modbus {
    fn question(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        let writes = matches!(message.function, 5 | 6 | 15 | 16 | 21 | 22 | 23);
        // Diagnostics restart a device or silence it (6.8).
        let commands = message.function == 8 && matches!(message.body, [0, 1 | 4 | 10, ..]);
        // UMAS: download, upload of blocks, start and stop of the PLC, writes of variables.
        let is_umas = message.function == UMAS_FUNCTION
            && matches!(
                message.body.get(1),
                Some(0x10 | 0x23 | 0x25 | 0x29 | 0x30..=0x32 | 0x37 | 0x40 | 0x41)
            );
        if writes || commands || is_umas {
            cx.risk(Risk::PlantControl, format_args!("modbus function {}", message.function));
        }
        if self.pending.len() >= PENDING_MAX {
            let oldest = self.pending.remove(0);
            self.records += 1;
            oldest.tell(Direction::Forward, cx);
        }
        self.told += 1;
        let mut fields = Fields::new();
        fields.number("id", self.told);
        fields.object("request", |out| message.write(true, out));
        let told = message.gather(cx);
        let (transaction, function) = (message.transaction, message.function);
        self.pending.push(Pending { transaction, function, fields, told });
    }

    fn answer(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        if message.function & 0x80 != 0 {
            cx.risk(
                Risk::ErrorCode,
                format_args!("modbus exception to function {}", message.function & 0x7f),
            );
        }
        self.records += 1;
        let asked = self.pending.iter().position(|pending| {
            pending.transaction == message.transaction && pending.function == message.function & 0x7f
        });
        match asked {
            Some(at) => {
                let mut asked = self.pending.remove(at);
                asked.fields.object("response", |out| message.write(false, out));
                if function_name(message.function & 0x7f) == "Unknown" {
                    cx.anomaly("invalid_function_code");
                }
                asked.tell(Direction::Reverse, cx);
            }
            None => {
                self.told += 1;
                let id = self.told;
                cx.anomaly("unsolicited_response");
                cx.tell_with("modbus", Direction::Reverse, |fields| {
                    fields.number("id", id);
                    fields.object("response", |out| message.write(false, out));
                });
            }
        }
    }
}

impl Pending {
    /// Rules are asked about the question, whoever ends the transaction.
    fn tell(&self, way: Direction, cx: &mut Context<'_>) {
        if cx.rules.is_on() {
            let transaction = *cx.transactions;
            cx.rules.show_gathered(&self.told);
            cx.rules.stage("modbus", transaction, Direction::Forward, true);
        }
        cx.tell("modbus", way, &self.fields);
    }
}

const UNIT: FieldId = field("modbus.unit");
const FUNCTION: FieldId = field("modbus.function");
const SUBFUNCTION: FieldId = field("modbus.subfunction");
const CATEGORY: FieldId = field("modbus.category");
const ACCESS: FieldId = field("modbus.access");
const ADDRESS: FieldId = field("modbus.address");
const WRITTEN: FieldId = field("modbus.written");

struct Message<'a> {
    transaction: u16,
    unit: u8,
    function: u8,
    body: &'a [u8],
}

impl Message<'_> {
    /// What rules are told of a question. Addresses count from 1.
    fn gather(&self, cx: &Context<'_>) -> Gathered {
        let (mut told, rules) = (Gathered::default(), &cx.rules);
        if !rules.is_on() {
            return told;
        }
        let function = self.function & 0x7f;
        told.number(rules, UNIT, self.unit.into());
        told.number(rules, FUNCTION, function.into());
        let category = match category(function) {
            "PUBLIC_ASSIGNED" => bits::PUBLIC_ASSIGNED,
            "USER_DEFINED" => bits::USER_DEFINED,
            "RESERVED" => bits::RESERVED,
            _ => bits::PUBLIC_UNASSIGNED,
        };
        told.number(rules, CATEGORY, category);
        let mut cursor = Cursor::new(self.body);
        // What is cut off says nothing.
        let _ = (|| -> Option<()> {
            match function {
                8 => told.number(rules, SUBFUNCTION, cursor.be16()?.into()),
                43 => told.number(rules, SUBFUNCTION, cursor.u8()?.into()),
                _ => {}
            }
            let access = access_bits(function)?;
            told.number(rules, ACCESS, access);
            let mut span = |first: u16, count: u16| {
                let first = u64::from(first) + 1;
                told.number(rules, ADDRESS, first);
                told.number(rules, ADDRESS, first + u64::from(count.max(1)) - 1);
            };
            let is_of_bits = access & bits::COILS != 0;
            let (first, values) = match function {
                1..=4 => {
                    span(cursor.be16()?, cursor.be16()?);
                    return None;
                }
                5 | 6 => {
                    let first = cursor.be16()?;
                    span(first, 1);
                    (first, cursor.rest())
                }
                15 | 16 => {
                    let (first, count) = (cursor.be16()?, cursor.be16()?);
                    span(first, count);
                    (first, cursor.vec8()?)
                }
                22 => {
                    span(cursor.be16()?, 1);
                    return None;
                }
                23 => {
                    span(cursor.be16()?, cursor.be16()?);
                    let (first, count) = (cursor.be16()?, cursor.be16()?);
                    span(first, count);
                    (first, cursor.vec8()?)
                }
                _ => return None,
            };
            let mut write = |place: usize, value: u16| {
                let address = u64::from(first) + 1 + place as u64;
                told.number(rules, WRITTEN, address << PAIR_BITS | u64::from(value));
            };
            if is_of_bits && function == 15 {
                for (place, byte) in values.iter().enumerate().take(VALUES_MAX / 8) {
                    (0..8).for_each(|bit| write(8 * place + bit, u16::from(byte >> bit & 1)));
                }
            } else {
                for (place, pair) in values.chunks_exact(2).enumerate().take(VALUES_MAX) {
                    let value = u16::from_be_bytes([pair[0], pair[1]]);
                    // 6.5: a coil that is on has 0xff00.
                    write(place, if is_of_bits { u16::from(value == 0xff00) } else { value });
                }
            }
            Some(())
        })();
        told
    }

    fn write(&self, is_question: bool, out: &mut Fields) {
        let function = self.function & 0x7f;
        out.number("transaction_id", self.transaction);
        out.number("protocol_id", 0_u8);
        out.number("unit_id", self.unit);
        out.number("function_raw", self.function);
        out.text("function_code", function_name(function));
        out.text("access_type", access(function));
        out.text("category", category(function));
        let fits = self.function & 0x80 != 0
            || function_name(function) == "Unknown"
            || if is_question {
                fits_question(function, self.body)
            } else {
                fits_answer(function, self.body)
            };
        out.text("error_flags", if fits { "NONE" } else { "DATA_LENGTH" });
        if self.function & 0x80 != 0 {
            let code = self.body.first().copied().unwrap_or_default();
            out.object("exception", |out| {
                out.number("raw", code);
                out.text("code", exception_name(code));
            });
            return;
        }
        if self.write_data(function, is_question, out).is_none() && !self.body.is_empty() {
            out.text("data", self.body);
        }
    }

    fn write_data(&self, function: u8, is_question: bool, out: &mut Fields) -> Option<()> {
        let mut cursor = Cursor::new(self.body);
        match (function, is_question) {
            (1..=4, true) => {
                let (address, quantity) = (cursor.be16()?, cursor.be16()?);
                out.object("read", |out| span(address, quantity, out));
            }
            (1..=4 | 23, false) => {
                let data = cursor.vec8()?;
                out.object("read", |out| out.text("data", data));
            }
            (5 | 6, _) => {
                let (address, data) = (cursor.be16()?, cursor.be16()?);
                out.object("write", |out| {
                    out.number("address", address);
                    out.number("data", data);
                });
            }
            (8, _) => {
                let raw = cursor.be16()?;
                out.object("diagnostic", |out| {
                    out.number("raw", raw);
                    out.text("code", diagnostic_name(raw));
                    out.text("data", cursor.rest());
                });
            }
            (15 | 16, _) => {
                let (address, quantity) = (cursor.be16()?, cursor.be16()?);
                let data = cursor.vec8();
                out.object("write", |out| match data {
                    Some(data) => {
                        span(address, quantity, out);
                        out.text("data", data);
                    }
                    // An answer repeats the quantity, which Suricata names `data`.
                    None => {
                        out.number("address", address);
                        out.number("data", quantity);
                    }
                });
            }
            (22, _) => {
                let (address, and, or) = (cursor.be16()?, cursor.be16()?, cursor.be16()?);
                out.object("write", |out| {
                    out.number("address", address);
                    out.number("and_mask", and);
                    out.number("or_mask", or);
                });
            }
            (23, true) => {
                let (address, quantity) = (cursor.be16()?, cursor.be16()?);
                let (to, count) = (cursor.be16()?, cursor.be16()?);
                let data = cursor.vec8()?;
                out.object("read", |out| span(address, quantity, out));
                out.object("write", |out| {
                    span(to, count, out);
                    out.text("data", data);
                });
            }
            (43, _) => {
                let raw = cursor.u8()?;
                out.object("mei", |out| {
                    out.number("raw", raw);
                    out.text(
                        "code",
                        match raw {
                            0x0d => "CANOpen",
                            0x0e => "RdDevId",
                            _ => "Unknown",
                        },
                    );
                    out.text("data", cursor.rest());
                });
            }
            _ => return None,
        }
        Some(())
    }
}

fn span(address: u16, quantity: u16, out: &mut Fields) {
    out.number("address", address);
    out.number("quantity", quantity);
}

/// Names as Suricata has them.
const fn function_name(function: u8) -> &'static str {
    match function {
        1 => "RdCoils",
        2 => "RdDiscreteInputs",
        3 => "RdHoldRegs",
        4 => "RdInputRegs",
        5 => "WrSingleCoil",
        6 => "WrSingleReg",
        7 => "RdExcStatus",
        8 => "Diagnostic",
        9 => "Program484",
        10 => "Poll484",
        11 => "GetCommEventCtr",
        12 => "GetCommEventLog",
        13 => "ProgramController",
        14 => "PollController",
        15 => "WrMultCoils",
        16 => "WrMultRegs",
        17 => "ReportServerID",
        18 => "Program884",
        19 => "ResetCommLink",
        20 => "RdFileRec",
        21 => "WrFileRec",
        22 => "MaskWrReg",
        23 => "RdWrMultRegs",
        24 => "RdFIFOQueue",
        43 => "MEI",
        _ => "Unknown",
    }
}

const fn access(function: u8) -> &'static str {
    match function {
        1 => "READ | COILS",
        2 => "READ | DISCRETES",
        3 => "READ | HOLDING",
        4 => "READ | INPUT",
        5 => "WRITE | COILS | SINGLE | WRITE_SINGLE",
        6 => "WRITE | HOLDING | SINGLE | WRITE_SINGLE",
        15 => "WRITE | COILS | MULTIPLE",
        16 => "WRITE | HOLDING | MULTIPLE",
        20 => "READ",
        21 => "WRITE",
        22 => "WRITE | HOLDING",
        23 => "READ | WRITE | HOLDING | MULTIPLE",
        24 => "READ",
        _ => "NONE",
    }
}

/// Values of one question that rules are told.
const VALUES_MAX: usize = 512;

/// What a function does, for rules; `None`: it touches no table.
const fn access_bits(function: u8) -> Option<u64> {
    Some(match function {
        1 => bits::READ | bits::COILS,
        2 => bits::READ | bits::DISCRETES,
        3 => bits::READ | bits::HOLDING,
        4 => bits::READ | bits::INPUT,
        5 | 15 => bits::WRITE | bits::COILS,
        6 | 16 | 22 => bits::WRITE | bits::HOLDING,
        20 | 24 => bits::READ,
        21 => bits::WRITE,
        23 => bits::READ | bits::WRITE | bits::HOLDING,
        _ => return None,
    })
}

const fn category(function: u8) -> &'static str {
    match function {
        1..=8 | 11 | 12 | 15..=17 | 20..=24 | 43 => "PUBLIC_ASSIGNED",
        65..=72 | 100..=110 => "USER_DEFINED",
        9 | 10 | 13 | 14 | 41 | 42 | 90 | 91 | 125..=127 => "RESERVED",
        _ => "PUBLIC_UNASSIGNED",
    }
}

const fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "IllegalFunction",
        2 => "IllegalDataAddr",
        3 => "IllegalDataValue",
        4 => "ServerDeviceFail",
        5 => "Ack",
        6 => "ServerDeviceBusy",
        7 => "NegAck",
        8 => "MemParityErr",
        10 => "GatewayPathUnavailable",
        11 => "GatewayTargetFailToResp",
        _ => "Unknown",
    }
}

const fn diagnostic_name(code: u16) -> &'static str {
    match code {
        0 => "RetQueryData",
        1 => "RestartCommOpt",
        2 => "RetDiagReg",
        3 => "ChgASCIIDelim",
        4 => "ForceListenOnly",
        10 => "ClearCtrsDiagReg",
        11 => "RetBusMsgCount",
        12 => "RetBusCommErrCount",
        13 => "RetBusExcErrCount",
        14 => "RetServerMsgCount",
        15 => "RetServerNoRespCount",
        16 => "RetServerNAKCount",
        17 => "RetServerBusyCount",
        18 => "RetBusCharOverrunCount",
        19 => "RetOverrunErrCount",
        20 => "ClearOverrunCounterFlag",
        21 => "GetClearPlusStats",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::fields::Value;

    fn peek<'a>(bytes: &'a [u8], other: &'a [u8], port: u16) -> Peek<'a> {
        Peek { other, ..crate::dpi::protocol::samples::peek(bytes, port, true) }
    }

    const READ: &[u8] = &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 10];

    #[test]
    fn a_read_is_known_and_surer_on_its_port() {
        assert_eq!(looks_like_modbus(&peek(READ, &[], 502)), Match::Yes(95));
        assert_eq!(looks_like_modbus(&peek(READ, &[], 9_999)), Match::Yes(60));
        let answer = [0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 9];
        assert_eq!(looks_like_modbus(&peek(&answer, READ, 9_999)), Match::Yes(92));
        for len in 1..READ.len() {
            assert_eq!(looks_like_modbus(&peek(&READ[..len], &[], 502)), Match::More, "{len}");
        }
        assert_eq!(looks_like_modbus(&peek(b"GET / HTTP/1.1", &[], 502)), Match::No);
    }

    #[test]
    fn umas_is_its_own_protocol() {
        let umas = [0, 1, 0, 0, 0, 5, 0, 90, 0, 2, 0];
        assert_eq!(looks_like_umas(&peek(&umas, &[], 502)), Match::Yes(95));
        assert_eq!(looks_like_modbus(&peek(&umas, &[], 502)), Match::No);
    }

    #[test]
    fn a_write_is_told_with_its_data() {
        let body = [0, 1, 0, 2, 4, 0, 10, 1, 2];
        let message = Message { transaction: 7, unit: 1, function: 16, body: &body };
        let mut fields = Fields::new();
        message.write(true, &mut fields);
        assert!(
            fields.iter().any(|field| field == ("access_type", Value::Text(b"WRITE | HOLDING | MULTIPLE")))
        );
        assert!(fields.iter().any(|field| field == ("data", Value::Text(&[0, 10, 1, 2]))));
        for len in 0..body.len() {
            let mut fields = Fields::new();
            Message { transaction: 7, unit: 1, function: 16, body: &body[..len] }.write(true, &mut fields);
        }
    }
}
