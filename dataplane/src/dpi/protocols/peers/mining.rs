//! Who mines? Stratum and its dialects: lines of JSON between miners and a pool.

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, First, Match, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// Stratum, whatever the currency.
pub(super) static MINING: Protocol = Protocol {
    name: "mining",
    eve: None,
    category: Category::Mining,
    probes: &[Probe::tcp(First::Of(b"{"), mining)],
    parser: Some(|| Box::new(Mining::default())),
};

fn mining(peek: &Peek<'_>) -> Match {
    let has = |text: &[u8]| peek.contains(text);
    if has(b"\"mining.") || has(b"\"eth_submit") || has(b"\"eth_getWork\"") || has(b"\"keepalived\"") {
        return Match::Yes(96);
    }
    // Monero's dialect: a login with an agent, jobs of a blob, results with a nonce.
    let logs_in = has(b"\"login\"") && has(b"\"pass\"");
    let is_job = has(b"\"blob\"") && (has(b"\"job\"") || has(b"\"job_id\""));
    let submits = has(b"\"submit\"") && has(b"\"nonce\"");
    if logs_in || is_job || submits {
        return Match::Yes(95);
    }
    let is_short = peek.bytes.len() < 1_024 && !peek.bytes.contains(&b'\n');
    if is_short && (has(b"\"method\"") || peek.bytes.len() < 32) { Match::More } else { Match::No }
}

/// Ethereum's dialect names the worker, and often its own version.
pub(super) fn ethereum_work(peek: &Peek<'_>) -> Match {
    Match::of(peek.contains(b"\"eth1.0\"") || (peek.contains(b"\"worker\"") && peek.contains(b"\"eth_")), 97)
}

#[derive(Default)]
struct Mining {
    told: bool,
}

impl Parser for Mining {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        cx.risk(
            Risk::Mining,
            format_args!("{}", cx.notes.protocol().map_or("mining", |protocol| protocol.name)),
        );
        if way == Direction::Forward && !self.told {
            self.told = true;
            cx.tell_with("mining", way, |fields| {
                fields.text_if("method", value(bytes, b"\"method\""));
                fields.text_if("login", value(bytes, b"\"login\""));
                fields.text_if("agent", value(bytes, b"\"agent\""));
            });
            return Step::Done;
        }
        Step::Consumed(bytes.len())
    }
}

/// The text that follows a key in JSON, as it stands.
fn value<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    const DEPTH: usize = 2_048;
    let bytes = bytes.get(..bytes.len().min(DEPTH))?;
    let mut found = bytes.windows(key.len()).enumerate().filter(|(_, window)| *window == key);
    found.find_map(|(at, _)| {
        let rest = bytes.get(at + key.len()..)?.trim_ascii_start().strip_prefix(b":")?;
        let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
        rest.get(..rest.iter().position(|byte| *byte == b'"')?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, stream};

    #[test]
    fn dialects_are_recognised() {
        let subscribe = br#"{"id": 1, "method": "mining.subscribe", "params": []}"#;
        assert_eq!(confidence(&MINING, &stream(subscribe)), 96);
        let login = br#"{"method":"login","params":{"login":"4B","pass":"x","agent":"xmr-stak"},"id":1}"#;
        assert_eq!(confidence(&MINING, &stream(login)), 95);
        assert_eq!(value(login, b"\"login\""), Some(&b"4B"[..]));
        assert_eq!(value(login, b"\"agent\""), Some(&b"xmr-stak"[..]));
        assert_eq!(
            confidence(
                &MINING,
                &stream(b"{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":7,\"more\":[1,2,3]}\n")
            ),
            0
        );
        let work = br#"{"worker": "eth1.0", "jsonrpc": "2.0", "id": 2, "method": "eth_submitLogin"}"#;
        assert_eq!(ethereum_work(&stream(work)), Match::Yes(97));
    }
}
