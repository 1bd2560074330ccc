//! Which broker is this, and who logs in to it? AMQP 0-9-1 (RabbitMQ, Qpid) and 1.0 (Azure, ActiveMQ).
//!
//! Sources: AMQP 0-9-1 chapters 2.3 and 4.2 (frames), AMQP 1.0 (OASIS) 2.2 and 2.3.

use crate::dpi::cursor::Cursor;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::protocols::secure::tls;
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::text::find;
use crate::dpi::{Context, HostKind, Parser, Risk, Shown, Step};
use crate::flow::Direction;

/// The Advanced Message Queuing Protocol.
pub static AMQP: Protocol = Protocol {
    name: "amqp",
    eve: None,
    category: Category::Rpc,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(b"A"), look: looks_like_header },
        Probe { over: Over::Tcp, first: First::Of(&[1, 2, 3, 8]), look: looks_like_frame },
        Probe { over: Over::Tcp, first: First::Of(&[0]), look: looks_like_frame_of_one },
    ],
    parser: Some(|| Box::<Amqp>::default()),
};

fn looks_like_header(peek: &Peek<'_>) -> Match {
    const NAME: &[u8] = b"AMQP";
    if peek.bytes.len() < 8 {
        return if NAME.starts_with(peek.bytes) || peek.bytes.starts_with(NAME) {
            Match::More
        } else {
            Match::No
        };
    }
    // Protocol identifier (TCP, TLS, SASL) and major version, or three digits of 0-9-1.
    Match::of(peek.bytes.starts_with(NAME) && matches!(peek.bytes.get(4), Some(0..=3)), 97)
}

/// A frame of 0-9-1: type, channel, size, payload, 0xce.
fn looks_like_frame(peek: &Peek<'_>) -> Match {
    let Some(kind) = peek.bytes.first().filter(|_| peek.bytes.len() >= 12) else {
        return if peek.bytes.len() == 8 { heartbeat(peek) } else { Match::More };
    };
    let (channel, size) = (peek.be16(1), peek.be32(3) as usize);
    let (class, method) = (peek.be16(7), peek.be16(9));
    let is_plausible = channel <= 4_096
        && size < 1 << 20
        && match kind {
            1 => {
                size >= 4
                    && matches!(class, 10 | 20 | 30 | 40 | 50 | 60 | 85 | 90)
                    && (10..=121).contains(&method)
            }
            2 => size >= 14 && matches!(class, 10 | 20 | 30 | 40 | 50 | 60 | 85 | 90) && method == 0,
            3 => channel > 0 && size > 0,
            _ => size == 0 && channel == 0 && peek.bytes.get(7) == Some(&0xce),
        };
    if !is_plausible {
        return Match::No;
    }
    match peek.bytes.get(7 + size) {
        Some(0xce) => Match::Yes(if *kind == 3 { 72 } else { 93 }),
        Some(_) => Match::No,
        None if peek.bytes.len() < 4_096 && *kind != 1 => Match::More,
        None => Match::of(*kind != 3, 75),
    }
}

fn heartbeat(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes == [8, 0, 0, 0, 0, 0, 0, 0xce], 92)
}

/// A frame of 1.0: size, offset of the data in words, type, channel, and a described performative.
fn looks_like_frame_of_one(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 11 {
        return if peek.bytes.len() == 8 && peek.bytes == [0, 0, 0, 8, 2, 0, 0, 0] {
            Match::Yes(60)
        } else {
            Match::More
        };
    }
    let is_plausible = peek.be32(0) < 1 << 20
        && peek.bytes.get(4) == Some(&2)
        && matches!(peek.bytes.get(5), Some(0 | 1))
        && matches!(peek.bytes.get(8..11), Some([0, 0x53, 0x10..=0x18 | 0x40..=0x44]));
    Match::of(is_plausible, 90)
}

/// Reads the first frames only: who is who stands there.
#[derive(Default)]
struct Amqp {
    /// Reads what follows when both sides want TLS.
    inside: Option<Inside>,
}

impl Parser for Amqp {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.data(way, bytes, cx);
        }
        if bytes.starts_with(b"AMQP") {
            let Some(version) = bytes.get(4..8) else { return Step::Consumed(0) };
            let is_zero = version.first() == Some(&0) && version.get(1) == Some(&0);
            cx.tell_with("amqp", way, |fields| {
                fields.text("version", if is_zero { "0-9-1" } else { "1.0" });
            });
            // AMQP 1.0 5.2.1: TLS is protocol 2, and begins once the peer has said the same.
            if version.first() == Some(&2) {
                if way == Direction::Reverse {
                    self.inside = Some(Inside::with(tls::parser()));
                }
                return Step::Consumed(8);
            }
            // AMQP 1.0 is known; its types are not worth reading for a name.
            return if is_zero { Step::Consumed(8) } else { Step::Done };
        }
        let mut cursor = Cursor::new(bytes);
        let head = (|| Some((cursor.u8()?, cursor.be16()?, cursor.be32()? as usize)))();
        let Some((1, _, size)) = head else {
            return if bytes.len() < 7 { Step::Consumed(0) } else { Step::Done };
        };
        if size > 16 * 1024 {
            return Step::Done;
        }
        let Some(payload) = cursor.take(size) else { return Step::Consumed(0) };
        if cursor.u8().is_some_and(|end| end != 0xce) {
            cx.anomaly("invalid_frame_end");
            return Step::Done;
        }
        let total = size + 8;
        match payload {
            // connection.start: the broker's properties.
            [0, 10, 0, 10, rest @ ..] => {
                cx.tell_with("amqp", way, |fields| {
                    fields.text_if("product", table_text(rest, b"\x07product"));
                    fields.text_if("broker_version", table_text(rest, b"\x07version"));
                });
                Step::Consumed(total)
            }
            // connection.start-ok: the client's properties, mechanism and response.
            [0, 10, 0, 11, rest @ ..] => {
                let mut cursor = Cursor::new(rest);
                let mechanism = cursor.vec32().and_then(|_| cursor.vec8());
                let response = cursor.vec32();
                if matches!(mechanism, Some(b"PLAIN" | b"AMQPLAIN")) {
                    cx.risk(
                        Risk::ClearTextCredentials,
                        format_args!("amqp {}", Shown(mechanism.unwrap_or_default())),
                    );
                }
                cx.tell_with("amqp", way, |fields| {
                    fields.text_if("client", table_text(rest, b"\x07product"));
                    fields.text_if("mechanism", mechanism);
                    if mechanism == Some(b"PLAIN") {
                        let user = response.and_then(|text| text.split(|byte| *byte == 0).nth(1));
                        fields.text_if("user", user);
                    }
                });
                Step::Consumed(total)
            }
            // connection.open: the virtual host.
            [0, 10, 0, 40, rest @ ..] => {
                let host = Cursor::new(rest).vec8().unwrap_or_default();
                cx.host(HostKind::Other, host);
                cx.tell_with("amqp", way, |fields| fields.text("virtual_host", host));
                Step::Consumed(total)
            }
            [0, 10, 0, 50, rest @ ..] => {
                // connection.close before anything else: 403 is a refused login.
                if rest.starts_with(&[1, 0x93]) {
                    cx.risk(Risk::FailedLogin, format_args!("amqp 403"));
                }
                Step::Done
            }
            [0, 10, ..] => Step::Consumed(total),
            _ => Step::Done,
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(inside) = &mut self.inside {
            inside.end(cx);
        }
    }
}

/// A long string of a field table, by its name with the length before it (4.2.5.5).
fn table_text<'a>(table: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut cursor = Cursor::new(table.get(find(table, name)? + name.len()..)?);
    (cursor.u8()? == b'S').then_some(())?;
    cursor.vec32()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 5_672, true)
    }

    #[test]
    fn headers_and_frames_are_known() {
        assert_eq!(looks_like_header(&peek(b"AMQP\0\0\x09\x01")), Match::Yes(97));
        assert_eq!(looks_like_header(&peek(b"AMQ")), Match::More);
        assert_eq!(looks_like_header(&peek(b"AUTH")), Match::No);
        let open = b"\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce";
        assert_eq!(looks_like_frame(&peek(open)), Match::Yes(93));
        for len in 0..open.len() {
            assert_ne!(looks_like_frame(&peek(&open[..len])), Match::Yes(93));
        }
        let wrong = b"\x01\0\0\0\0\0\x08\0\x0b\0\x28\x01/\0\0\xce";
        assert_eq!(looks_like_frame(&peek(wrong)), Match::No);
        assert_eq!(looks_like_frame_of_one(&peek(b"\0\0\0\x1a\x02\0\0\0\0\x53\x10\xc0")), Match::Yes(90));
    }

    #[test]
    fn a_field_table_gives_its_texts() {
        let table = b"\x07productS\0\0\0\x08RabbitMQ";
        assert_eq!(table_text(table, b"\x07product"), Some(&b"RabbitMQ"[..]));
        assert_eq!(table_text(&table[..12], b"\x07product"), None);
    }
}
