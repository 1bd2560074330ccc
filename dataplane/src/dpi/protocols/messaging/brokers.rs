//! Which smaller broker or log forwarder is this? NATS, STOMP, OpenWire, ZeroMQ, Pulsar, Beanstalkd, NSQ, Fluentd.
//!
//! Each opens with words or numbers of its own; NATS also tells who logs in.

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::text::{contains, json_text};
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;

/// NATS (docs.nats.io, "Client Protocol").
pub static NATS: Protocol = Protocol {
    name: "nats",
    eve: None,
    category: Category::Rpc,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"ICPSUMH+"), look: looks_like_nats }],
    parser: Some(|| Box::new(Nats)),
};

/// Simple Text Oriented Messaging Protocol (stomp.github.io, 1.2).
pub static STOMP: Protocol = Protocol {
    name: "stomp",
    eve: None,
    category: Category::Messaging,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"CSMUABDEN"), look: looks_like_stomp }],
    parser: None,
};

/// ActiveMQ's own (activemq.apache.org, "OpenWire Version 2 Specification").
pub static OPENWIRE: Protocol = Protocol::named(
    "openwire",
    Category::Messaging,
    &[Probe { over: Over::Tcp, first: First::Of(&[0, 1]), look: looks_like_openwire }],
);

/// ZeroMQ's transport (rfc.zeromq.org, 13, 15, 23).
pub static ZEROMQ: Protocol = Protocol::named(
    "zeromq",
    Category::Rpc,
    &[Probe { over: Over::Tcp, first: First::Of(&[0xff]), look: looks_like_zeromq }],
);

/// Apache Pulsar (pulsar.apache.org, "Binary protocol").
pub static PULSAR: Protocol = Protocol::named(
    "pulsar",
    Category::Messaging,
    &[Probe { over: Over::Tcp, first: First::Of(&[0]), look: looks_like_pulsar }],
);

/// The work queue Beanstalkd (its `protocol.txt`).
pub static BEANSTALKD: Protocol = Protocol::named(
    "beanstalkd",
    Category::Messaging,
    &[Probe { over: Over::Tcp, first: First::Of(b"puwrIUWROT"), look: looks_like_beanstalkd }],
);

/// NSQ (nsq.io, "TCP Protocol Spec").
pub static NSQ: Protocol = Protocol::named(
    "nsq",
    Category::Messaging,
    &[Probe { over: Over::Tcp, first: First::Of(b" "), look: looks_like_nsq }],
);

/// Fluentd's forwarding (its "Forward Protocol Specification v1").
pub static FLUENTD: Protocol = Protocol::named(
    "fluentd",
    Category::System,
    &[Probe { over: Over::Tcp, first: First::In(0x92, 0x96), look: looks_like_fluentd }],
);

fn looks_like_nats(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.starts_with(b"INFO {") || bytes.starts_with(b"CONNECT {") {
        let known = [&b"\"server_id\""[..], b"\"verbose\"", b"\"nonce\"", b"\"lang\"", b"\"max_payload\""];
        let is = known.iter().any(|name| contains(bytes, name));
        return if is { Match::Yes(95) } else { Match::of(bytes.len() > 1_024, 60).or_more(bytes.len()) };
    }
    let on_port = peek.has_port(4_222);
    let words =
        [&b"PUB "[..], b"SUB ", b"UNSUB ", b"MSG ", b"HPUB ", b"HMSG ", b"PING\r\n", b"PONG\r\n", b"+OK\r\n"];
    let is = words.iter().any(|word| bytes.starts_with(word)) && contains(bytes, b"\r\n");
    let may_be = [&b"INFO {"[..], b"CONNECT {"].iter().any(|word| word.starts_with(bytes));
    match (is, may_be) {
        (true, _) => Match::of(on_port, 82),
        (_, true) => Match::More,
        _ => Match::No,
    }
}

trait OrMore {
    fn or_more(self, len: usize) -> Match;
}

impl OrMore for Match {
    /// Waits while there are few bytes.
    fn or_more(self, len: usize) -> Match {
        if len <= 1_024 { Match::More } else { self }
    }
}

/// Reads what server and client say of themselves at first.
#[derive(Debug)]
struct Nats;

impl Parser for Nats {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        const LINE_BYTES_MAX: usize = 4_096;
        let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
            if bytes.len() < LINE_BYTES_MAX {
                return Step::Consumed(0);
            }
            cx.anomaly("line_too_long");
            return Step::Done;
        };
        let line = bytes.get(..end).unwrap_or_default();
        if line.starts_with(b"INFO {") {
            cx.tell_with("nats", way, |fields| {
                fields.text("command", "INFO");
                fields.text_if("server_id", json_text(line, b"\"server_id\""));
                fields.text_if("server_name", json_text(line, b"\"server_name\""));
                fields.text_if("version", json_text(line, b"\"version\""));
            });
        } else if line.starts_with(b"CONNECT {") {
            if json_text(line, b"\"pass\"").is_some_and(|pass| !pass.is_empty()) {
                cx.notes.risk(Risk::ClearTextCredentials);
            }
            cx.tell_with("nats", way, |fields| {
                fields.text("command", "CONNECT");
                fields.text_if("user", json_text(line, b"\"user\""));
                fields.text_if("name", json_text(line, b"\"name\""));
                fields.text_if("lang", json_text(line, b"\"lang\""));
                fields.text_if("version", json_text(line, b"\"version\""));
            });
        } else if line.starts_with(b"-ERR 'Authorization") {
            cx.notes.risk(Risk::FailedLogin);
            return Step::Done;
        } else if !line.starts_with(b"P") && !line.starts_with(b"+") {
            return Step::Done;
        }
        Step::Consumed(end + 1)
    }
}

fn looks_like_stomp(peek: &Peek<'_>) -> Match {
    const COMMANDS: [&[u8]; 10] = [
        b"CONNECT",
        b"CONNECTED",
        b"STOMP",
        b"SEND",
        b"SUBSCRIBE",
        b"MESSAGE",
        b"UNSUBSCRIBE",
        b"ACK",
        b"ERROR",
        b"DISCONNECT",
    ];
    let Some(end) = peek.bytes.iter().take(16).position(|byte| *byte == b'\n') else {
        return if peek.bytes.len() < 12 && COMMANDS.iter().any(|command| command.starts_with(peek.bytes)) {
            Match::More
        } else {
            Match::No
        };
    };
    let (command, rest) = peek.bytes.split_at(end);
    if !COMMANDS.contains(&command.trim_ascii_end()) {
        return Match::No;
    }
    let headers = rest.trim_ascii_start();
    let known = [
        &b"accept-version:"[..],
        b"version:",
        b"host:",
        b"login:",
        b"destination:",
        b"id:",
        b"heart-beat:",
        b"server:",
        b"content-length:",
        b"message-id:",
        b"receipt:",
        b"passcode:",
        b"session:",
        b"message:",
        b"subscription:",
    ];
    if known.iter().any(|name| headers.starts_with(name)) {
        return Match::Yes(94);
    }
    if headers.len() < 16 { Match::More } else { Match::No }
}

fn looks_like_openwire(peek: &Peek<'_>) -> Match {
    // A length, unless prefixing is off; type 1 (WIREFORMAT_INFO); the magic.
    let after = if peek.bytes.first() == Some(&0) { peek.bytes.get(4..) } else { Some(peek.bytes) };
    let Some(after) = after.filter(|after| after.len() >= 9) else { return Match::More };
    Match::of(after.starts_with(b"\x01ActiveMQ"), 97)
}

fn looks_like_zeromq(peek: &Peek<'_>) -> Match {
    // ff, eight bytes of length, 7f; then the revision (1 is ZMTP 2, 3 is ZMTP 3).
    let bytes = peek.bytes;
    if bytes.len() < 10 {
        return if bytes.iter().skip(1).take(6).all(|byte| *byte == 0) { Match::More } else { Match::No };
    }
    let is_signature = bytes.get(1..8).is_some_and(|zeros| zeros.iter().all(|byte| *byte == 0))
        && bytes.get(9) == Some(&0x7f);
    Match::of(is_signature && bytes.get(10).is_none_or(|revision| *revision <= 4), 95)
}

fn looks_like_pulsar(peek: &Peek<'_>) -> Match {
    // Total and command sizes, then BaseCommand: field 1, the kind; CONNECT and CONNECTED carry their own field.
    if peek.bytes.len() < 12 {
        return Match::More;
    }
    let (total, command) = (peek.be32(0), peek.be32(4));
    let opens = matches!(peek.bytes.get(8..11), Some([0x08, 0x02, 0x12] | [0x08, 0x03, 0x1a]));
    Match::of(opens && total == command + 4 && total < 5 << 20, 95)
}

fn looks_like_beanstalkd(peek: &Peek<'_>) -> Match {
    let Some(end) = peek.bytes.iter().take(256).position(|byte| *byte == b'\n') else {
        return if peek.bytes.len() < 32 && peek.bytes.is_ascii() && peek.has_port(11_300) {
            Match::More
        } else {
            Match::No
        };
    };
    let Some(line) = peek.bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")) else {
        return Match::No;
    };
    let mut words = line.split(|byte| *byte == b' ');
    let (word, rest) = (words.next().unwrap_or_default(), words);
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let numbers = rest.clone().take_while(|text| is_number(text)).count();
    let count = rest.count();
    let on_port = peek.has_port(11_300);
    match word {
        b"put" => Match::of(numbers == 4 && count == 4, 92),
        b"reserve" | b"reserve-with-timeout" | b"watch" | b"use" => Match::of(on_port && count <= 1, 85),
        // Answers that others could give too are known by what was asked.
        b"USING" if count == 1 && peek.other.starts_with(b"use ") => Match::Yes(88),
        b"OK" if peek.other.starts_with(b"stats") => Match::of(numbers == 1 && count == 1, 88),
        b"TIMED_OUT" if peek.other.starts_with(b"reserve") => Match::Yes(88),
        b"INSERTED" | b"WATCHING" | b"RESERVED" => {
            Match::of(numbers == count && (1..=2).contains(&count), 82)
        }
        b"USING" => Match::of(on_port && count == 1, 85),
        _ => Match::No,
    }
}

fn looks_like_nsq(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(..4) {
        Some(magic) => Match::of(magic == b"  V2" || magic == b"  V1", 93),
        None => Match::More,
    }
}

/// An array of MessagePack: tag, then time or entries.
fn looks_like_fluentd(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let on_port = peek.has_port(24_224);
    if bytes.get(1..6) == Some(b"\xa4HELO")
        || bytes.get(1..6) == Some(b"\xa4PING")
        || bytes.get(1..6) == Some(b"\xa4PONG")
    {
        return Match::Yes(94);
    }
    let (len, at) = match bytes.get(1) {
        Some(short @ 0xa1..=0xbf) => (usize::from(short & 0x1f), 2),
        Some(0xd9) => (usize::from(bytes.get(2).copied().unwrap_or_default()), 3),
        Some(_) => return Match::No,
        None => return Match::More,
    };
    let Some(tag) = bytes.get(at..at + len) else {
        return if bytes.len() < 64 { Match::More } else { Match::No };
    };
    let is_tag = tag.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-*/@".contains(byte));
    // Event time, integer time, array of entries, packed entries.
    let goes_on = matches!(
        bytes.get(at + len),
        Some(0xd7 | 0xce | 0xdc | 0xdd | 0x90..=0x9f | 0xc4..=0xc6 | 0xd9..=0xdb)
    );
    Match::of(is_tag && goes_on && (on_port || len > 3), if on_port { 88 } else { 60 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn each_is_known_by_its_opening_and_no_prefix_panics() {
        type Case = (fn(&Peek<'_>) -> Match, &'static [u8], u8);
        let cases: &[Case] = &[
            (looks_like_nats, b"INFO {\"server_id\":\"NA\",\"version\":\"2.1\"}\r\n", 95),
            (looks_like_nats, b"CONNECT {\"verbose\":false}\r\n", 95),
            (looks_like_stomp, b"CONNECT\naccept-version:1.2\nhost:q\n\n\0", 94),
            (looks_like_stomp, b"CONNECTED\r\nversion:1.2\r\n\r\n\0", 94),
            (looks_like_openwire, b"\0\0\0\xda\x01ActiveMQ\0\0\0\x0a", 97),
            (looks_like_zeromq, b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL", 95),
            (looks_like_pulsar, b"\0\0\0\x0a\0\0\0\x06\x08\x02\x12\x02\x0a\0", 95),
            (looks_like_beanstalkd, b"put 1024 0 60 5\r\nhello\r\n", 92),
            (looks_like_nsq, b"  V2IDENTIFY\n", 93),
            (looks_like_fluentd, b"\x92\xa4HELO\x80", 94),
        ];
        for (look, bytes, confidence) in cases {
            assert_eq!(looked(*look, bytes, 9, true), Match::Yes(*confidence), "{bytes:?}");
        }
    }

    #[test]
    fn others_are_not_claimed() {
        assert_eq!(looks_like_nats(&peek(b"CONNECT host:443 HTTP/1.1\r\n", 80, true)), Match::No);
        assert_eq!(looks_like_stomp(&peek(b"CONNECT host:443 HTTP/1.1\r\n", 80, true)), Match::No);
        assert_eq!(looks_like_beanstalkd(&peek(b"user guest\r\n", 21, true)), Match::No);
        let using = Peek { other: b"use a\r\n", ..peek(b"USING a\r\n", 9, true) };
        assert_eq!(looks_like_beanstalkd(&using), Match::Yes(88));
        let stats = Peek { other: b"stats\r\n", ..peek(b"OK 956\r\n---\ncurrent-jobs-urgent: 1\n", 9, true) };
        assert_eq!(looks_like_beanstalkd(&stats), Match::Yes(88));
        assert_eq!(looks_like_beanstalkd(&peek(b"OK 956\r\n", 9, true)), Match::No);
        assert_eq!(
            looks_like_zeromq(&peek(b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x18\xff", 23, true)),
            Match::No
        );
    }
}
