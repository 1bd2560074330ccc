//! Which protocol is inside a tunnel whose beginning was plain: CONNECT, the PROXY protocol, an upgrade?
//!
//! Asks every probe about the first bytes of the tunnel. That is a walk over the whole table, once a tunnel.

use crate::dpi::fields::Fields;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocol::{Match, Over, Peek};
use crate::dpi::protocols;
use crate::dpi::protocols::secure::tls;
use crate::flow::Direction;

/// Bytes after which nobody is asked any more.
const ASK_BYTES_MAX: usize = 2_048;

/// Bytes of both directions that nobody knew, after which the tunnel is left alone.
const UNKNOWN_BYTES_MAX: usize = 8 * ASK_BYTES_MAX;

/// What goes on inside. The flow keeps the name of the outer protocol.
#[derive(Default)]
pub struct Inside {
    parser: Option<Box<dyn Parser>>,
    /// It is TLS that was asked for.
    expects_tls: bool,
    /// Which ways were seen.
    seen: [bool; 2],
    /// Bytes that nobody knew.
    unknown: usize,
}

impl Inside {
    /// With a parser that is known already.
    #[must_use]
    pub fn with(parser: Box<dyn Parser>) -> Self {
        Self { parser: Some(parser), ..Self::default() }
    }

    /// After STARTTLS and its like.
    #[must_use]
    pub fn after_starttls() -> Self {
        Self { expects_tls: true, ..Self::with(tls::parser()) }
    }

    /// Reads bytes of the tunnel.
    pub fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let outer = cx.notes.protocol().map(|protocol| (protocol, cx.notes.protocol_confidence()));
        self.seen[way as usize] = true;
        // Who speaks otherwise while the other end has not begun to, cannot change what is spoken once more.
        let was_changing = std::mem::replace(&mut cx.is_changing, !(self.seen[0] && self.seen[1]));
        let step = cx.within(|cx| match &mut self.parser {
            Some(parser) => match parser.data(way, bytes, cx) {
                Step::NotMine if std::mem::take(&mut self.expects_tls) => {
                    cx.rules.meet("applayer_no_tls_after_starttls");
                    self.parser = None;
                    self.ask(way, bytes, cx)
                }
                step => step,
            },
            None => self.ask(way, bytes, cx),
        });
        cx.is_changing = was_changing;
        // Nobody needs a tunnel in a fifth tunnel: whoever sends it wants to see us fall over.
        let step = step.unwrap_or(Step::Done);
        if let Some((protocol, confidence)) = outer
            && cx.notes.protocol() != Some(protocol)
        {
            cx.notes.set_protocol(protocol, confidence);
        }
        // The tunnel stays what it is, whoever is not inside.
        if step == Step::NotMine { Step::Done } else { step }
    }

    /// Bytes are missing.
    pub fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Step {
        self.parser.as_mut().map_or(Step::Done, |parser| parser.gap(way, len, cx))
    }

    /// The flow is over.
    pub fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(parser) = &mut self.parser {
            parser.end(cx);
        }
    }

    fn ask(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(first) = bytes.first().copied() else { return Step::Consumed(0) };
        let peek = Peek {
            bytes,
            way,
            nth: 0,
            ports: (cx.flow.initiator.1, cx.flow.responder.1),
            other: &[],
            previous: &[],
            is_multicast: false,
            is_tcp: true,
        };
        let mut best = None;
        let mut is_open = false;
        for protocol in protocols::all() {
            for probe in protocol.probes {
                if !matches!(probe.over, Over::Tcp | Over::TcpOrUdp) || !probe.first.allows(first) {
                    continue;
                }
                match (probe.look)(&peek) {
                    Match::No => {}
                    Match::More => is_open = true,
                    Match::Yes(confidence) if best.is_none_or(|(_, most)| confidence > most) => {
                        best = Some((protocol, confidence));
                    }
                    Match::Yes(_) => {}
                }
            }
        }
        match best {
            Some((protocol, confidence)) if confidence >= 80 || !is_open => {
                cx.app(protocol.name, confidence);
                match protocol.parser {
                    Some(make) => self.parser.insert(make()).data(way, bytes, cx),
                    None => Step::Done,
                }
            }
            _ if is_open && bytes.len() < ASK_BYTES_MAX => Step::Consumed(0),
            // The other direction may say it.
            _ => {
                self.unknown += bytes.len().min(ASK_BYTES_MAX);
                if self.unknown > UNKNOWN_BYTES_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
            }
        }
    }
}

impl Parser for Inside {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        Self::data(self, way, bytes, cx)
    }

    fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Step {
        Self::gap(self, way, len, cx)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        Self::end(self, cx);
    }

    fn describe(&self, transaction: u32, to: &mut Fields) -> Option<&'static str> {
        self.parser.as_ref()?.describe(transaction, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::Notes;
    use crate::dpi::feed::feed_parser;
    use crate::dpi::{AppTable, FlowView};
    use crate::parse::Addr;

    #[test]
    fn a_tunnel_of_unknown_bytes_is_left_alone() {
        let Some(haproxy) = protocols::by_name("haproxy") else { return };
        let view = FlowView {
            initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (Addr::v4([192, 0, 2, 2]), 40_001),
            protocol: crate::parse::Protocol::TCP,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        };
        // What comes after so many bytes is not read: it would be told.
        let known = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let unknown = [0xfe; ASK_BYTES_MAX];
        for (times, records) in [(1, 2), (16, 1)] {
            let begin = [(Direction::Forward, &b"PROXY UNKNOWN\r\n"[..])];
            let filler = std::iter::repeat_n((Direction::Forward, &unknown[..]), times);
            let payloads = begin.into_iter().chain(filler).chain([(Direction::Forward, &known[..])]);
            let fed = crate::dpi::feed::feed(haproxy, &view, &AppTable::default(), payloads);
            assert_eq!(fed.records, records, "{times}");
        }
    }

    #[test]
    fn tunnels_in_tunnels_end_before_the_stack_does() {
        let view = FlowView {
            initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (Addr::v4([192, 0, 2, 2]), 3_128),
            protocol: crate::parse::Protocol::TCP,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        };
        let once: [&[u8]; 2] = [
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        ];
        let apps = AppTable::default();
        for opening in once {
            let nested = opening.repeat(20_000);
            for name in ["haproxy", "http"] {
                let Some(make) = protocols::by_name(name).and_then(|protocol| protocol.parser) else {
                    continue;
                };
                // The proxy agrees to each of them.
                let agreed = b"HTTP/1.1 200 OK\r\n\r\n".repeat(20_000);
                let payloads = [(Direction::Forward, &nested[..]), (Direction::Reverse, &agreed[..])];
                let payloads = payloads.into_iter().cycle().take(8);
                feed_parser(&mut *make(), &view, &apps, payloads, &mut Notes::default(), &mut |_| {});
            }
        }
    }
}
