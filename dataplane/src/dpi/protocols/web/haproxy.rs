//! For whom does a proxy speak? The PROXY protocol, versions 1 and 2; what follows is read as itself.

use super::inside::Inside;
use crate::dpi::{Category, Context, First, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// The PROXY protocol (HAProxy Technologies, 2020).
pub static HAPROXY: Protocol = Protocol {
    name: "haproxy",
    eve: None,
    category: Category::Web,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"P\r"), look }],
    parser: Some(|| Box::<Proxied>::default()),
};

/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 1 is no longer than this, line end included.
const LINE_BYTES_MAX: usize = 107;

fn look(peek: &Peek<'_>) -> Match {
    for magic in [SIGNATURE, b"PROXY TCP", b"PROXY UNKNOWN"] {
        let seen = peek.bytes.len().min(magic.len());
        if peek.bytes.get(..seen) == magic.get(..seen) {
            return if seen < magic.len() { Match::More } else { Match::Yes(99) };
        }
    }
    Match::No
}

#[derive(Default)]
struct Proxied {
    inside: Inside,
    is_read: bool,
}

impl Parser for Proxied {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let begins = bytes.starts_with(SIGNATURE) || bytes.starts_with(b"PROXY ");
        if self.is_read || !begins {
            return self.inside.data(way, bytes, cx);
        }
        if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
            let Some([command, _, high, low]) = rest.first_chunk::<4>() else { return Step::Consumed(0) };
            if command >> 4 != 2 {
                cx.anomaly("invalid_version");
                return Step::Done;
            }
            self.is_read = true;
            cx.tell_with("haproxy", way, |fields| fields.number("version", 2_u32));
            return Step::Consumed(16 + usize::from(u16::from_be_bytes([*high, *low])));
        }
        let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
            if bytes.len() < LINE_BYTES_MAX {
                return Step::Consumed(0);
            }
            cx.anomaly("line_too_long");
            return Step::Done;
        };
        self.is_read = true;
        let line = bytes.get(..end).unwrap_or_default().trim_ascii();
        cx.tell_with("haproxy", way, |fields| {
            fields.number("version", 1_u32);
            let words = line.split(|byte| *byte == b' ').skip(1);
            for (key, word) in
                ["family", "source", "destination", "source_port", "destination_port"].iter().zip(words)
            {
                fields.text(key, word);
            }
        });
        Step::Consumed(end + 1)
    }

    fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Step {
        self.inside.gap(way, len, cx)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.inside.end(cx);
    }
}
