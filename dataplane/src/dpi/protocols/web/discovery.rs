//! Which devices announce themselves over HTTP in datagrams? SSDP of UPnP, and WS-Discovery.

use super::head::{self};
use crate::dpi::text::has_word;
use crate::dpi::{
    Category, Context, First, HintKind, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Step,
};
use crate::flow::Direction;

/// Simple Service Discovery (UPnP Device Architecture 2.0, 1).
pub static SSDP: Protocol = Protocol {
    name: "ssdp",
    eve: None,
    category: Category::System,
    probes: &[Probe { over: Over::Udp, first: First::Of(b"MNH"), look }],
    parser: Some(|| Box::<Ssdp>::default()),
};

/// WS-Discovery (OASIS, 2009).
pub static WSD: Protocol = Protocol {
    name: "wsd",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::Of(b"<\xef"), look: look_at_envelope }],
    parser: None,
};

fn look(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let is_search = bytes.starts_with(b"M-SEARCH * HTTP/1.") || bytes.starts_with(b"NOTIFY * HTTP/1.");
    let is_answer = bytes.starts_with(b"HTTP/1.")
        && (peek.has_port(1900) || has_word(bytes, b"\nusn:") || has_word(bytes, b"\nst:"));
    Match::of(is_search || is_answer, 97)
}

fn look_at_envelope(peek: &Peek<'_>) -> Match {
    let start = peek.bytes.get(..1_024).unwrap_or(peek.bytes);
    let is_envelope = has_word(start, b":envelope") || has_word(start, b"<envelope");
    let is_discovery = has_word(start, b"/discovery") || has_word(start, b"ws/2005/04");
    match (is_envelope, is_discovery || peek.has_port(3702)) {
        (true, true) => Match::Yes(96),
        _ => Match::of(peek.has_port(3702) && start.starts_with(b"<?xml"), 80),
    }
}

#[derive(Default)]
struct Ssdp {
    told: u32,
}

/// Messages of one flow that are told.
const TOLD_MAX: u32 = 4;

impl Parser for Ssdp {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let read = head::read(bytes);
        // UDA 2.0, 1.1.2: a head and nothing else, which ends with an empty line.
        if !bytes.ends_with(b"\n\r\n") && !bytes.ends_with(b"\n\n") {
            cx.anomaly("truncated_message");
        }
        for text in [read.user_agent, read.server].into_iter().flatten() {
            cx.hint(HintKind::UserAgent, text);
        }
        if let Some(location) = read.location
            && let Some(host) = location.splitn(4, |byte| *byte == b'/').nth(2)
        {
            cx.host(HostKind::Other, host);
        } else if let Some(host) = read.host {
            cx.host(HostKind::Other, host);
        }
        cx.tell_with("ssdp", way, |fields| {
            let mut words = read.first.split(|byte| *byte == b' ');
            match words.next() {
                Some(first) if first.starts_with(b"HTTP/") => fields.text_if("status", words.next()),
                first => fields.text_if("method", first),
            }
            fields.text_if("location", read.location);
            fields.text_if("server", read.server);
            fields.text_if("user_agent", read.user_agent);
            for line in bytes.split(|byte| *byte == b'\n').skip(1) {
                let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
                let (name, value) = line.split_at(colon);
                let key = match name.trim_ascii() {
                    name if name.eq_ignore_ascii_case(b"st") => "st",
                    name if name.eq_ignore_ascii_case(b"nt") => "nt",
                    name if name.eq_ignore_ascii_case(b"usn") => "usn",
                    name if name.eq_ignore_ascii_case(b"nts") => "nts",
                    _ => continue,
                };
                fields.text(key, value.get(1..).unwrap_or_default().trim_ascii());
            }
        });
        self.told += 1;
        if self.told >= TOLD_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_answers_and_envelopes_are_known() {
        let peek = |bytes, port| Peek {
            bytes,
            way: Direction::Forward,
            nth: 0,
            ports: (40_000, port),
            other: &[],
            previous: &[],
            is_multicast: true,
            is_tcp: false,
        };
        assert_eq!(look(&peek(b"M-SEARCH * HTTP/1.1\r\n", 1900)), Match::Yes(97));
        assert_eq!(look(&peek(b"HTTP/1.1 200 OK\r\nST: x\r\n", 5)), Match::Yes(97));
        assert_eq!(look(&peek(b"HTTP/1.1 200 OK\r\n", 5)), Match::No);
        let probe = b"<?xml version=\"1.0\"?><soap:Envelope xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\">";
        assert_eq!(look_at_envelope(&peek(probe, 3702)), Match::Yes(96));
        assert_eq!(look_at_envelope(&peek(b"<?xml version=\"1.0\"?><a/>", 9)), Match::No);
    }
}
