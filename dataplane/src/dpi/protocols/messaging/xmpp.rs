//! Which domain does a Jabber client talk to, and does it go on in TLS?
//!
//! Sources: RFC 6120 4.7 (stream headers), 5.4 (STARTTLS), 6.4 (SASL); XEP-0114 (components).

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::text::{attribute, contains};
use crate::dpi::{Context, HostKind, Parser, Risk, Shown, Step};
use crate::flow::Direction;

/// XMPP, also called Jabber.
pub static XMPP: Protocol = Protocol {
    name: "xmpp",
    eve: None,
    category: Category::Chat,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(b"<"), look: looks_like_stream },
        Probe { over: Over::Tcp, first: First::Of(&[0x25, 0x26, 0x30]), look: looks_like_push },
    ],
    parser: Some(|| Box::new(Xmpp::default())),
};

/// Bytes of a direction in which a stream's features must have come.
const HEADER_BYTES_MAX: usize = 4_096;

fn looks_like_stream(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let head = bytes.get(..512).unwrap_or(bytes);
    const OPENINGS: [&[u8]; 2] = [b"<stream:stream", b"<?xml version="];
    if !OPENINGS.iter().any(|opening| opening.starts_with(head) || head.starts_with(opening)) {
        // The middle of a stream: stanzas say so only together with where they go.
        let is_stanza = [&b"<iq "[..], b"<message ", b"<presence", b"<starttls ", b"<auth xmlns"]
            .iter()
            .any(|stanza| head.starts_with(stanza));
        let is_known = contains(head, b"jabber:")
            || contains(head, b"urn:ietf:params:xml:ns:xmpp")
            || contains(head, b"http://jabber.org/");
        let on_port = [5222, 5269, 5280, 5298, 5275].iter().any(|port| peek.has_port(*port));
        if head.starts_with(b"</stream:stream>") {
            return Match::Yes(92);
        }
        return match (is_stanza, is_known, on_port) {
            (true, true, _) => Match::Yes(92),
            (true, false, true) => Match::Yes(75),
            (true, false, false) if bytes.len() < 512 => Match::More,
            _ => Match::No,
        };
    }
    let is_stream = contains(head, b"stream:stream")
        || (contains(head, b"etherx.jabber.org/streams") && contains(head, b"stream"));
    if is_stream && (contains(head, b"jabber") || contains(head, b"xmpp") || head.contains(&b'>')) {
        return Match::Yes(96);
    }
    if bytes.len() < 512 { Match::More } else { Match::No }
}

/// Push services of handsets keep to XMPP's second port with frames of their own: kind, length of it all, secret.
fn looks_like_push(peek: &Peek<'_>) -> Match {
    if !peek.has_port(5223) {
        return Match::No;
    }
    if peek.bytes.len() < 16 {
        return Match::More;
    }
    let is_hello = peek.bytes.starts_with(&[0x25, 0x00, 0x45, 0x14]);
    let is_whole = usize::from(peek.be16(1)) == peek.bytes.len();
    Match::of(is_hello || (is_whole && peek.bytes.first() != Some(&0x25)), 84)
}

#[derive(Default)]
struct Xmpp {
    /// Bytes of each direction that went by.
    seen: [usize; 2],
    told: bool,
    /// Reads what follows STARTTLS.
    inside: Option<Inside>,
}

impl Parser for Xmpp {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.data(way, bytes, cx);
        }
        if bytes.first() != Some(&b'<') && self.seen[way as usize] == 0 {
            return Step::Done;
        }
        let head = bytes.get(..HEADER_BYTES_MAX).unwrap_or(bytes);
        // A stanza is read once it ends.
        let Some(end) = head.iter().rposition(|byte| *byte == b'>') else {
            if head.len() < HEADER_BYTES_MAX {
                return Step::Consumed(0);
            }
            cx.anomaly("element_too_long");
            return Step::Done;
        };
        let (text, _) = head.split_at(end + 1);
        self.seen[way as usize] += text.len();
        if !self.told
            && contains(text, b"stream:stream")
            && let Some(to) = attribute(text, b" to=")
        {
            self.told = true;
            cx.host(HostKind::Other, to);
            cx.tell_with("xmpp", way, |fields| {
                fields.text("to", to);
                fields.text_if("from", attribute(text, b" from="));
                fields.text_if("version", stream_version(text));
                fields.text_if("namespace", attribute(text, b" xmlns="));
            });
        }
        if contains(text, b"<auth ")
            && let Some(mechanism) = attribute(text, b" mechanism=")
        {
            if matches!(mechanism, b"PLAIN" | b"LOGIN") {
                cx.risk(Risk::ClearTextCredentials, format_args!("xmpp {}", Shown(mechanism)));
            }
            cx.tell_with("xmpp", way, |fields| fields.text("auth_mechanism", mechanism));
        }
        if contains(text, b"<proceed") && contains(text, b"xmpp-tls") {
            cx.tell_with("xmpp", way, |fields| fields.bool("starttls", true));
            // RFC 6120 5.4.2.3: the handshake follows at once.
            self.inside = Some(Inside::after_starttls());
            return Step::Consumed(text.len());
        }
        if contains(text, b"<failure") && contains(text, b"xmpp-sasl") {
            cx.risk(Risk::FailedLogin, format_args!("xmpp sasl failure"));
            return Step::Done;
        }
        let is_over = contains(text, b"<success") || self.seen[way as usize] > HEADER_BYTES_MAX;
        if is_over { Step::Done } else { Step::Consumed(text.len()) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(inside) = &mut self.inside {
            inside.end(cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// The version of the stream, which stands after the declaration's own.
fn stream_version(text: &[u8]) -> Option<&[u8]> {
    let from = crate::dpi::text::find(text, b"stream:stream")?;
    attribute(text.get(from..)?, b" version=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], port: u16) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, port, true)
    }

    #[test]
    fn a_stream_header_is_known_with_and_without_declaration() {
        let plain = b"<stream:stream to='im.example' xmlns='jabber:client'>";
        assert_eq!(looks_like_stream(&peek(plain, 9)), Match::Yes(96));
        let declared =
            b"<?xml version='1.0'?><stream:stream to=\"im.example\" xmlns=\"jabber:client\" version=\"1.0\">";
        assert_eq!(looks_like_stream(&peek(declared, 9)), Match::Yes(96));
        for len in 1..14 {
            assert_eq!(looks_like_stream(&peek(&declared[..len], 9)), Match::More, "{len}");
        }
        assert_eq!(stream_version(declared), Some(&b"1.0"[..]));
        assert_eq!(looks_like_stream(&peek(b"<html><body>", 5222)), Match::No);
    }

    #[test]
    fn push_frames_are_known_on_their_port_only() {
        let frame = [0x26, 0, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(looks_like_push(&peek(&frame, 5223)), Match::Yes(84));
        assert_eq!(looks_like_push(&peek(&frame, 443)), Match::No);
    }
}
