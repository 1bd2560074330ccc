//! What do peers ask `BitTorrent`'s distributed table? BEP 5; records are Suricata's `bittorrent_dht`.
//!
//! Messages are bencoded dictionaries; only keys that a record has are read, without a copy.

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, Fields, First, Match, Peek, Probe, Protocol};
use crate::flow::Direction;

/// The DHT.
pub(super) static BITTORRENT_DHT: Protocol = Protocol {
    name: "bittorrent-dht",
    eve: None,
    category: Category::Download,
    probes: &[Probe::udp(First::Of(b"d"), dht)],
    parser: Some(|| Box::new(Dht { told: 0 })),
};

/// Messages of a flow that are told of.
const TOLD_MAX: u8 = 64;

fn dht(peek: &Peek<'_>) -> Match {
    let starts: [&[u8]; 7] =
        [b"d1:ad2:id20:", b"d1:rd2:id20:", b"d1:eli20", b"d2:ip", b"d1:rd1:t", b"d1:rd6:", b"d1:y1:"];
    let is_start = starts.iter().any(|start| peek.bytes.starts_with(start));
    let is_kind = [b"1:y1:q", b"1:y1:r", b"1:y1:e"].iter().any(|kind| peek.contains(*kind));
    match (is_start, is_kind) {
        (true, true) => Match::Yes(97),
        (true, false) => Match::Yes(if peek.bytes.starts_with(b"d1:") { 90 } else { 60 }),
        (false, true) => Match::of(peek.bytes.ends_with(b"e"), 93),
        (false, false) => Match::No,
    }
}

struct Dht {
    told: u8,
}

impl Parser for Dht {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if self.told == 0 {
            cx.app("bittorrent", 95);
        }
        // uTP shares the port.
        if bytes.first() != Some(&b'd') {
            return Step::Consumed(bytes.len());
        }
        let Some(message) = Value::read(bytes).map(|(message, _)| message) else {
            cx.anomaly("malformed_packet");
            return Step::Consumed(bytes.len());
        };
        cx.tell_with("bittorrent_dht", way, |fields| tell(fields, &message));
        self.told += 1;
        if self.told >= TOLD_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self { told: 0 };
        true
    }
}

fn tell(fields: &mut Fields, message: &Value<'_>) {
    if let Some(id) = message.text(b"t") {
        fields.hex("transaction_id", id);
    }
    if let Some(version) = message.text(b"v") {
        fields.hex("client_version", version);
    }
    match message.text(b"y") {
        Some(b"q") => {
            fields.text_if("request_type", message.text(b"q"));
            let Some(asked) = message.get(b"a") else { return };
            fields.object("request", |object| {
                for (key, name) in [(&b"id"[..], "id"), (b"target", "target"), (b"info_hash", "info_hash")] {
                    if let Some(value) = asked.text(key) {
                        object.hex(name, value);
                    }
                }
                if let Some(token) = asked.text(b"token") {
                    object.hex("token", token);
                }
                for (key, name) in [(&b"implied_port"[..], "implied_port"), (b"port", "port")] {
                    if let Some(number) = asked.number(key) {
                        object.signed(name, number);
                    }
                }
            });
        }
        Some(b"r") => {
            let Some(answer) = message.get(b"r") else { return };
            fields.object("response", |object| {
                if let Some(id) = answer.text(b"id") {
                    object.hex("id", id);
                }
                if let Some(nodes) = answer.text(b"nodes") {
                    object
                        .list("nodes", |list| nodes.chunks_exact(26).for_each(|node| told_node(list, node)));
                }
                if let Some(token) = answer.text(b"token") {
                    object.hex("token", token);
                }
            });
        }
        Some(b"e") => {
            if let Some(error) = message.get(b"e") {
                fields.object("error", |object| {
                    let mut parts = error.items();
                    if let Some(Value::Number(number)) = parts.next() {
                        object.signed("num", number);
                    }
                    if let Some(Value::Text(text)) = parts.next() {
                        object.text("msg", text);
                    }
                });
            }
        }
        _ => {}
    }
}

/// Identity (20), address (4), port (2).
fn told_node(list: &mut Fields, node: &[u8]) {
    let Some((id, [a, b, c, d, high, low])) =
        node.split_first_chunk::<20>().and_then(|(id, rest)| rest.first_chunk::<6>().map(|rest| (id, *rest)))
    else {
        return;
    };
    list.object("", |object| {
        object.hex("id", id);
        object.text("ip", std::net::Ipv4Addr::new(a, b, c, d).to_string());
        object.number("port", u16::from_be_bytes([high, low]));
    });
}

/// A bencoded value; what is nested is read when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(i64),
    Text(&'a [u8]),
    List(&'a [u8]),
    Dictionary(&'a [u8]),
}

/// Nesting that is followed.
const DEPTH_MAX: u8 = 6;
/// Values of one list or dictionary that are followed.
const VALUES_MAX: usize = 256;

impl<'a> Value<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        Self::read_at(bytes, 0)
    }

    fn read_at(bytes: &'a [u8], depth: u8) -> Option<(Self, &'a [u8])> {
        let (first, rest) = bytes.split_first()?;
        match first {
            b'i' => {
                let end = rest.iter().take(21).position(|byte| *byte == b'e')?;
                let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
                Some((Self::Number(number), &rest[end + 1..]))
            }
            b'0'..=b'9' => {
                let colon = bytes.iter().take(6).position(|byte| *byte == b':')?;
                let len = std::str::from_utf8(&bytes[..colon]).ok()?.parse::<usize>().ok()?;
                let (text, rest) = bytes[colon + 1..].split_at_checked(len)?;
                Some((Self::Text(text), rest))
            }
            b'l' | b'd' if depth < DEPTH_MAX => {
                let mut after = rest;
                for _ in 0..VALUES_MAX {
                    if let Some(end) = after.strip_prefix(b"e") {
                        let inner = &rest[..rest.len() - after.len()];
                        let value = if *first == b'l' { Self::List(inner) } else { Self::Dictionary(inner) };
                        return Some((value, end));
                    }
                    after = Self::read_at(after, depth + 1)?.1;
                }
                None
            }
            _ => None,
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let mut rest = match self {
            Self::List(inner) | Self::Dictionary(inner) => *inner,
            Self::Number(_) | Self::Text(_) => &[],
        };
        std::iter::from_fn(move || {
            let (value, after) = Self::read(rest)?;
            rest = after;
            Some(value)
        })
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Self> {
        let Self::Dictionary(_) = self else { return None };
        let mut items = self.items();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            if name == Value::Text(key) {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn text(&self, key: &[u8]) -> Option<&'a [u8]> {
        match self.get(key) {
            Some(Self::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &[u8]) -> Option<i64> {
        match self.get(key) {
            Some(Self::Number(number)) => Some(number),
            _ => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram};

    const PING: &[u8] = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";

    #[test]
    fn queries_are_recognised_and_read() {
        assert_eq!(confidence(&BITTORRENT_DHT, &datagram(PING)), 97);
        assert_eq!(confidence(&BITTORRENT_DHT, &datagram(b"data and more")), 0);
        let (message, rest) = Value::read(PING).unwrap();
        assert!(rest.is_empty());
        assert_eq!(message.text(b"q"), Some(&b"ping"[..]));
        assert_eq!(message.get(b"a").unwrap().text(b"id"), Some(&b"abcdefghij0123456789"[..]));
        let mut fields = Fields::new();
        tell(&mut fields, &message);
        assert!(!fields.is_empty());
    }

    #[test]
    fn no_prefix_and_no_nesting_does_harm() {
        for len in 0..PING.len() {
            assert_eq!(Value::read(&PING[..len]), None);
        }
        assert_eq!(Value::read(&[b'l'; 4_096]), None);
        assert_eq!(Value::read(b"99999:x"), None);
    }
}
