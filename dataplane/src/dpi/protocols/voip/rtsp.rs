//! Which streams are asked for over RTSP (RFC 2326, 7826)?

use super::sip::expect_media;
use crate::dpi::protocols::web::head::{self, head_len};
use crate::dpi::text::{decimal, starts_with_word};
use crate::dpi::{
    Category, Context, First, HintKind, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Risk, Step,
};
use crate::flow::Direction;

/// RTSP.
pub static RTSP: Protocol = Protocol {
    name: "rtsp",
    eve: None,
    category: Category::Media,
    probes: &[Probe { over: Over::TcpOrUdp, first: First::In(b'A', b'Z'), look }],
    parser: Some(|| Box::new(Rtsp)),
};

fn look(peek: &Peek<'_>) -> Match {
    if peek.bytes.starts_with(b"RTSP/1.") || peek.bytes.starts_with(b"RTSP/2.") {
        return Match::Yes(97);
    }
    let line = peek.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() == peek.bytes.len() {
        let is_method = line.len() < 512
            && line.iter().take(8).all(|byte| matches!(byte, b'A'..=b'Z' | b'_' | b' ' | b'/'));
        return if peek.is_tcp && is_method { Match::More } else { Match::No };
    }
    let line = line.trim_ascii_end();
    Match::of(line.ends_with(b" RTSP/1.0") || line.ends_with(b" RTSP/2.0"), 97)
}

struct Rtsp;

impl Parser for Rtsp {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        // RFC 2326 10.12: media between messages, a dollar sign, a channel and a length.
        if let [b'$', rest @ ..] = bytes {
            let Some([_, high, low]) = rest.first_chunk::<3>() else { return Step::Consumed(0) };
            return Step::Consumed(4 + usize::from(u16::from_be_bytes([*high, *low])));
        }
        let Some(len) = head_len(bytes, 0) else {
            if bytes.len() <= 8_192 {
                return Step::Consumed(0);
            }
            cx.anomaly("message_too_long");
            return Step::Done;
        };
        let (head_bytes, body) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        let read = head::read(head_bytes);
        let wanted = usize::try_from(read.content_length.unwrap_or(0)).unwrap_or(0).min(1 << 20);
        if wanted <= 8_192 && body.len() < wanted {
            return Step::Consumed(0);
        }
        if read.authorization.is_some_and(|value| starts_with_word(value, b"basic ")) {
            cx.notes.risk(Risk::ClearTextCredentials);
        }
        for text in [read.user_agent, read.server].into_iter().flatten() {
            cx.hint(HintKind::UserAgent, text);
        }
        let mut words = read.first.splitn(3, |byte| *byte == b' ');
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if first.starts_with(b"RTSP/") {
            if decimal(second).is_some_and(|code| code >= 400) {
                cx.notes.risk(Risk::ErrorCode);
            }
            cx.tell_with("rtsp", way, |fields| {
                fields.text("version", first);
                if let Some(code) = decimal(second) {
                    fields.number("status", code);
                }
                fields.text_if("server", read.server);
                fields.text_if("content_type", read.content_type);
            });
        } else {
            let host = second.splitn(4, |byte| *byte == b'/').nth(2);
            if let Some(host) = host.and_then(|host| host.split(|byte| *byte == b'@').next_back()) {
                cx.host(HostKind::Other, host);
            }
            cx.tell_with("rtsp", way, |fields| {
                fields.text("method", first);
                fields.text("url", second);
                fields.text_if("version", words.next());
                fields.text_if("user_agent", read.user_agent);
            });
        }
        expect_media(body.get(..wanted).unwrap_or_default(), cx);
        Step::Consumed(len + wanted)
    }
}
