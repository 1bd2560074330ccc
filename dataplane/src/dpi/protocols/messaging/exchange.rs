//! Who hands short messages, orders, or patients' records to whom? SMPP, FIX, HL7, DICOM.
//!
//! Each tells of its first message only: who speaks to whom stands there.

use crate::dpi::cursor::Cursor;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::text::{decimal, find};
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;

/// Short Message Peer-to-Peer (SMPP 3.4, 3.2 and 5.1.2).
pub static SMPP: Protocol = Protocol {
    name: "smpp",
    eve: None,
    category: Category::Messaging,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[0]), look: looks_like_smpp }],
    parser: Some(|| Box::new(Smpp)),
};

/// Financial Information Exchange (FIX 5.0, volume 1).
pub static FIX: Protocol = Protocol {
    name: "fix",
    eve: None,
    category: Category::Rpc,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"8"), look: looks_like_fix }],
    parser: Some(|| Box::new(Fix)),
};

/// Health Level 7 version 2 in its minimal lower layer protocol.
pub static HL7: Protocol = Protocol {
    name: "hl7",
    eve: None,
    category: Category::Health,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[0x0b]), look: looks_like_hl7 }],
    parser: Some(|| Box::new(Hl7)),
};

/// Digital Imaging and Communications in Medicine (DICOM PS3.8, 9.3).
pub static DICOM: Protocol = Protocol {
    name: "dicom",
    eve: None,
    category: Category::Health,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[1, 2]), look: looks_like_dicom }],
    parser: Some(|| Box::new(Dicom)),
};

fn smpp_command(command: u32) -> Option<&'static str> {
    Some(match command & 0x7fff_ffff {
        0 => "generic_nack",
        1 => "bind_receiver",
        2 => "bind_transmitter",
        3 => "query_sm",
        4 => "submit_sm",
        5 => "deliver_sm",
        6 => "unbind",
        7 => "replace_sm",
        8 => "cancel_sm",
        9 => "bind_transceiver",
        0x0b => "outbind",
        0x15 => "enquire_link",
        0x21 => "submit_multi",
        0x102 => "alert_notification",
        0x103 => "data_sm",
        _ => return None,
    })
}

fn looks_like_smpp(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 16 {
        return Match::More;
    }
    let (len, command, status) = (peek.be32(0) as usize, peek.be32(4), peek.be32(8));
    let is_answer = command & 0x8000_0000 != 0;
    if !(16..=64 * 1024).contains(&len)
        || smpp_command(command).is_none()
        || (command == 0 && !is_answer)
        || (!is_answer && status != 0)
        || peek.be32(12) == 0
    {
        return Match::No;
    }
    let is_whole = peek.bytes.len() >= len;
    // A second message begins as one does.
    let next = peek.bytes.get(len + 4..len + 8).and_then(|bytes| bytes.first_chunk::<4>());
    if next.is_some_and(|next| smpp_command(u32::from_be_bytes(*next)).is_none()) {
        return Match::No;
    }
    let is_bare = matches!(command & 0xffff, 0 | 6 | 0x15);
    Match::of(is_whole && (!is_bare || len == 16), if len > 16 { 93 } else { 85 })
}

#[derive(Debug)]
struct Smpp;

impl Parser for Smpp {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut cursor = Cursor::new(bytes);
        let head = (|| Some((cursor.be32()? as usize, cursor.be32()?, cursor.be32()?, cursor.be32()?)))();
        let Some((len, command, status, _)) = head else { return Step::Consumed(0) };
        let Some(name) = smpp_command(command).filter(|_| (16..=64 * 1024).contains(&len)) else {
            cx.anomaly("unknown_command");
            return Step::Done;
        };
        let Some(body) = bytes.get(16..len) else { return Step::Consumed(0) };
        let is_answer = command & 0x8000_0000 != 0;
        let is_bind = matches!(command & 0xff, 1 | 2 | 9) && command & 0xff00 == 0;
        let mut texts = body.split(|byte| *byte == 0);
        let system = if is_bind { texts.next() } else { None };
        if is_bind && !is_answer && texts.next().is_some_and(|password| !password.is_empty()) {
            cx.risk(Risk::ClearTextCredentials, format_args!("smpp {name}"));
        }
        if is_bind && is_answer && status != 0 {
            cx.risk(Risk::FailedLogin, format_args!("smpp status {status}"));
        }
        cx.tell_with("smpp", way, |fields| {
            fields.text("command", name);
            fields.bool("response", is_answer);
            fields.number("status", status);
            fields.text_if("system_id", system);
        });
        // After the first message proper nothing new is said.
        if is_bind || matches!(command & 0xffff, 6 | 0x15) { Step::Consumed(len) } else { Step::Done }
    }
}

fn looks_like_fix(peek: &Peek<'_>) -> Match {
    // 8=<version>, 9=<length of the body>; each field ends with 01.
    let bytes = peek.bytes;
    let head = bytes.get(..32).unwrap_or(bytes);
    let Some(rest) = head.strip_prefix(b"8=") else {
        return if head.len() < 2 { Match::More } else { Match::No };
    };
    let Some(end) = rest.iter().position(|byte| *byte == 1) else {
        let may_be = rest.len() < 12 && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
        return if may_be { Match::More } else { Match::No };
    };
    let (version, rest) = rest.split_at(end);
    let Some(length) = rest.get(1..).filter(|rest| rest.len() > 2) else { return Match::More };
    let is_version =
        version.len() <= 12 && version.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
    let is_length = length.starts_with(b"9=") && length.get(2).is_some_and(u8::is_ascii_digit);
    Match::of(is_version && is_length, if version.starts_with(b"FIX") { 97 } else { 90 })
}

#[derive(Debug)]
struct Fix;

impl Parser for Fix {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let head = bytes.get(..1_024).unwrap_or(bytes);
        let field = |tag: &[u8]| {
            let after = head.get(find(head, tag)? + tag.len()..)?;
            after.split(|byte| *byte == 1).next()
        };
        if field(b"\x01554=").is_some_and(|password| !password.is_empty()) {
            cx.risk(Risk::ClearTextCredentials, format_args!("fix field 554"));
        }
        // The body begins behind its length and ends where the checksum's field begins.
        if let Some(length) = field(b"\x019=") {
            let from = find(head, b"\x019=").map_or(0, |at| at + 3 + length.len() + 1);
            let len = decimal(length).and_then(|len| usize::try_from(len).ok());
            let end = len.and_then(|len| from.checked_add(len));
            let is_right = end.is_some_and(|end| bytes.get(end..end + 3).is_none_or(|tag| tag == b"10="));
            if !is_right {
                cx.anomaly("invalid_body_length");
            }
        }
        cx.tell_with("fix", way, |fields| {
            fields
                .text_if("begin_string", head.get(2..).and_then(|rest| rest.split(|byte| *byte == 1).next()));
            fields.text_if("msg_type", field(b"\x0135="));
            fields.text_if("sender", field(b"\x0149="));
            fields.text_if("target", field(b"\x0156="));
            fields.text_if("user", field(b"\x01553="));
        });
        Step::Done
    }
}

fn looks_like_hl7(peek: &Peek<'_>) -> Match {
    // Start of block, then a header segment and its separators.
    match peek.bytes.get(1..5) {
        Some(head) => Match::of(matches!(head, b"MSH|" | b"FHS|" | b"BHS|" | b"MSH^"), 97),
        None => Match::More,
    }
}

#[derive(Debug)]
struct Hl7;

impl Parser for Hl7 {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let head = bytes.get(1..512).unwrap_or_else(|| bytes.get(1..).unwrap_or_default());
        if bytes.len() < 512 && !head.contains(&b'\r') {
            return Step::Consumed(0);
        }
        let segment = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let field = |at: usize| segment.split(|byte| *byte == b'|').nth(at);
        // The separators, then who sends what to whom and the kind of message are required (HL7 2.x, 2.16.9).
        if !head.contains(&b'\r') || field(8).is_none_or(<[u8]>::is_empty) {
            cx.anomaly("malformed_header");
        }
        cx.tell_with("hl7", way, |fields| {
            fields.text_if("sending_application", field(2));
            fields.text_if("sending_facility", field(3));
            fields.text_if("receiving_application", field(4));
            fields.text_if("receiving_facility", field(5));
            fields.text_if("message_type", field(8));
            fields.text_if("version", field(11));
        });
        Step::Done
    }
}

fn looks_like_dicom(peek: &Peek<'_>) -> Match {
    // A-ASSOCIATE: type, 0, length; version 1, 0; called and calling titles, blank-padded.
    if peek.bytes.len() < 42 {
        let may_be =
            [(1, 0), (2, 0)].iter().all(|(at, byte)| peek.bytes.get(*at).is_none_or(|seen| seen == byte));
        return if may_be { Match::More } else { Match::No };
    }
    let titles = peek.bytes.get(10..42).unwrap_or_default();
    let fits = peek.bytes.get(1) == Some(&0)
        && (68..1 << 20).contains(&peek.be32(2))
        && peek.be16(6) & 1 == 1
        && peek.be16(8) == 0
        && titles.iter().all(|byte| (0x20..0x7f).contains(byte));
    Match::of(fits, 95)
}

#[derive(Debug)]
struct Dicom;

impl Parser for Dicom {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let (Some(called), Some(calling)) = (bytes.get(10..26), bytes.get(26..42)) else {
            return Step::Consumed(0);
        };
        let len = bytes.get(2..6).map_or(0, |len| u32::from_be_bytes([len[0], len[1], len[2], len[3]]));
        // PS3.8 9.3.2: what stands before the items is 68 bytes.
        if !(68..1 << 20).contains(&len) {
            cx.anomaly("malformed_associate");
        }
        cx.tell_with("dicom", way, |fields| {
            fields.text("called_ae", called.trim_ascii());
            fields.text("calling_ae", calling.trim_ascii());
        });
        Step::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn each_is_known_by_its_opening_and_no_prefix_panics() {
        type Case = (fn(&Peek<'_>) -> Match, &'static [u8], u8);
        let mut associate = [b' '; 80];
        associate[..10].copy_from_slice(&[1, 0, 0, 0, 0, 74, 0, 1, 0, 0]);
        assert_eq!(looks_like_dicom(&peek(&associate, 104, true)), Match::Yes(95));
        let cases: &[Case] = &[
            (looks_like_smpp, b"\0\0\0\x15\x80\0\0\x02\0\0\0\0\0\0\0\x01SMSC\0", 93),
            (looks_like_smpp, b"\0\0\0\x10\0\0\0\x15\0\0\0\0\0\0\0\x02", 85),
            (looks_like_fix, b"8=FIX.4.2\x019=65\x0135=A\x0149=S\x0156=T\x01", 97),
            (looks_like_fix, b"8=O\x019=0019\x0135=P\x01", 90),
            (looks_like_hl7, b"\x0bMSH|^~\\&|A|B|C|D|", 97),
        ];
        for (look, bytes, confidence) in cases {
            assert_eq!(looked(*look, bytes, 9, true), Match::Yes(*confidence), "{bytes:?}");
        }
        assert_eq!(looks_like_fix(&peek(b"8=none;other", 9, true)), Match::No);
        assert_eq!(looks_like_smpp(&peek(b"\0\0\0\x10\0\0\x07\x15\0\0\0\0\0\0\0\x02", 9, true)), Match::No);
    }
}
