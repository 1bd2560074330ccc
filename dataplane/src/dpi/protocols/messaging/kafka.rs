//! Who asks a Kafka broker for what? The header of a request, and which question an answer fits.
//!
//! Source: "A Guide To The Kafka Protocol" (Apache Kafka), request and response headers.

use crate::dpi::cursor::Cursor;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, Parser, Step};
use crate::flow::Direction;

/// Apache Kafka.
pub static KAFKA: Protocol = Protocol {
    name: "kafka",
    eve: None,
    category: Category::Messaging,
    probes: &[
        Probe { over: Over::Tcp, first: First::In(0, 5), look: looks_like_request },
        Probe { over: Over::Tcp, first: First::In(0, 5), look: looks_like_answer },
    ],
    parser: Some(|| Box::new(Kafka::default())),
};

/// Highest kind of request that is defined, and highest version of one, with room for some to come.
const API_KEY_MAX: u16 = 92;
const API_VERSION_MAX: u16 = 20;

/// Requests of a flow that are told.
const REQUESTS_MAX: u8 = 32;

struct Request<'a> {
    len: usize,
    key: u16,
    version: u16,
    correlation: u32,
    client: Option<&'a [u8]>,
}

fn request(bytes: &[u8]) -> Option<Request<'_>> {
    let mut cursor = Cursor::new(bytes);
    let len = cursor.be32()? as usize;
    let (key, version, correlation) = (cursor.be16()?, cursor.be16()?, cursor.be32()?);
    let client = match cursor.be16()? {
        0xffff => None,
        len => Some(cursor.take(usize::from(len))?),
    };
    Some(Request { len, key, version, correlation, client })
}

fn looks_like_request(peek: &Peek<'_>) -> Match {
    let (len, key, version) = (peek.be32(0), peek.be16(4), peek.be16(6));
    if peek.bytes.len() < 8 {
        return Match::More;
    }
    // Consumers and producers of today send at most a hundred megabytes.
    if !(10..100 << 20).contains(&len) || key > API_KEY_MAX || version > API_VERSION_MAX {
        return Match::No;
    }
    let Some(request) = request(peek.bytes) else {
        return if peek.bytes.len() < 14 + usize::from(peek.be16(12).min(256)) {
            Match::More
        } else {
            Match::No
        };
    };
    // The first datagram-sized read holds the whole of a short request; what waits is more than one.
    let fits = peek.bytes.len() == 4 + request.len;
    let on_port = peek.has_port(9092);
    match request.client {
        Some(client) if !client.is_empty() => {
            let is_name = client.len() <= 249 && client.iter().all(|byte| (0x20..0x7f).contains(byte));
            Match::of(is_name, if fits || on_port { 92 } else { 62 })
        }
        // Without a client's name only what opens a connection is believed.
        _ => Match::of(fits && matches!(key, 3 | 18 | 1..=2), if on_port { 85 } else { 45 }),
    }
}

/// An answer is known by the correlation of the question, or by the versions a broker lists.
fn looks_like_answer(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 16 {
        return Match::More;
    }
    let len = peek.be32(0) as usize;
    let asked = request_head(peek.other);
    if let Some((key, correlation)) = asked {
        return Match::of(key <= API_KEY_MAX && correlation == peek.be32(4) && len >= 4, 82);
    }
    // ApiVersions: no error, then an array of (key, lowest version, highest version) of ascending keys.
    let count = peek.be32(10);
    let is_list = peek.be16(8) == 0
        && (5..=u32::from(API_KEY_MAX)).contains(&count)
        && len >= 10 + 6 * count as usize
        && (0..3).all(|at| {
            let at = 14 + 6 * at;
            peek.be16(at) <= API_KEY_MAX && peek.be16(at + 2) <= peek.be16(at + 4) && peek.be16(at + 4) < 32
        })
        && peek.be16(14) < peek.be16(20)
        && peek.be16(20) < peek.be16(26);
    if is_list {
        return Match::Yes(92);
    }
    // Metadata: brokers as identifier, name and port.
    let names = [8_usize, 12, 16].into_iter().any(|at| is_broker_list(peek, at));
    Match::of(names && len + 4 >= peek.bytes.len().min(4_096), 88)
}

/// Whether a count of brokers stands at `at`, and a first one with identifier, name and port after it.
fn is_broker_list(peek: &Peek<'_>, at: usize) -> bool {
    let host = usize::from(peek.be16(at + 8));
    let name = peek.bytes.get(at + 10..at + 10 + host).unwrap_or_default();
    (1..1_000).contains(&peek.be32(at))
        && host > 3
        && name.len() == host
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(byte))
        && (1_024..=65_535).contains(&peek.be32(at + 10 + host))
}

/// Kind and correlation of the request that `bytes` begins with, if it is one.
fn request_head(bytes: &[u8]) -> Option<(u16, u32)> {
    let mut cursor = Cursor::new(bytes);
    let len = cursor.be32()?;
    let (key, version, correlation) = (cursor.be16()?, cursor.be16()?, cursor.be32()?);
    (len >= 10 && key <= API_KEY_MAX && version <= API_VERSION_MAX).then_some((key, correlation))
}

/// The client's name in a request, if it can be one; empty where there is none.
fn client_name(bytes: &[u8]) -> Option<&[u8]> {
    let client = request(bytes)?.client.unwrap_or_default();
    client.iter().all(|byte| (0x20..0x7f).contains(byte)).then_some(client)
}

#[derive(Debug, Default)]
struct Kafka {
    told: u8,
    client: Option<Direction>,
    /// The last kind that was told: a poll that repeats itself says nothing new.
    last: Option<u16>,
}

impl Parser for Kafka {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if bytes.len() < 14 {
            return Step::Consumed(0);
        }
        // A flow seen from its middle may begin with the broker: who asks, asks what is known.
        let asks = request_head(bytes).is_some() && (self.client.is_some() || client_name(bytes).is_some());
        if *self.client.get_or_insert(if asks { way } else { way.opposite() }) != way {
            // Answers are not read; their lengths need not be trusted.
            return Step::Consumed(bytes.len());
        }
        let Some(request) = request(bytes) else {
            if bytes.len() <= 1_024 {
                return Step::Consumed(0);
            }
            cx.anomaly("invalid_request");
            return Step::Done;
        };
        if request.key > API_KEY_MAX || request.len < 10 {
            cx.anomaly("invalid_request");
            return Step::Done;
        }
        if self.last != Some(request.key) {
            self.last = Some(request.key);
            self.told += 1;
            cx.tell_with("kafka", way, |fields| {
                fields.number("api_key", request.key);
                fields.text_if("request", api_name(request.key));
                fields.number("api_version", request.version);
                fields.number("correlation_id", request.correlation);
                fields.text_if("client_id", request.client);
            });
        }
        if self.told >= REQUESTS_MAX { Step::Done } else { Step::Consumed(4 + request.len) }
    }
}

fn api_name(key: u16) -> Option<&'static str> {
    const NAMES: [&str; 30] = [
        "produce",
        "fetch",
        "list_offsets",
        "metadata",
        "leader_and_isr",
        "stop_replica",
        "update_metadata",
        "controlled_shutdown",
        "offset_commit",
        "offset_fetch",
        "find_coordinator",
        "join_group",
        "heartbeat",
        "leave_group",
        "sync_group",
        "describe_groups",
        "list_groups",
        "sasl_handshake",
        "api_versions",
        "create_topics",
        "delete_topics",
        "delete_records",
        "init_producer_id",
        "offset_for_leader_epoch",
        "add_partitions_to_txn",
        "add_offsets_to_txn",
        "end_txn",
        "write_txn_markers",
        "txn_offset_commit",
        "describe_acls",
    ];
    NAMES.get(usize::from(key)).copied()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    const ASK: &[u8] = b"\0\0\0\x15\0\x12\0\0\0\0\0\x81\0\x07rdkafka\0\0\0\0";

    fn peek<'a>(bytes: &'a [u8], other: &'a [u8]) -> Peek<'a> {
        Peek { other, ..crate::dpi::protocol::samples::peek(bytes, 9_000, true) }
    }

    #[test]
    fn a_request_is_known_by_its_header_and_length() {
        let whole = &ASK[..25];
        assert_eq!(looks_like_request(&peek(whole, &[])), Match::Yes(92));
        for len in 1..whole.len() {
            assert_ne!(looks_like_request(&peek(&whole[..len], &[])), Match::Yes(92));
        }
        assert_eq!(
            looks_like_request(&peek(b"\0\0\0\x15\xff\x12\0\0\0\0\0\x81\0\x07rdkafka", &[])),
            Match::No
        );
        assert_eq!(request(ASK).unwrap().client, Some(&b"rdkafka"[..]));
    }

    #[test]
    fn an_answer_repeats_the_correlation() {
        let answer = b"\0\0\x01\x5a\0\0\0\x81\0\0\0\0\0\x38\0\0\0\0\0\x09";
        assert_eq!(looks_like_answer(&peek(answer, ASK)), Match::Yes(82));
        assert_eq!(looks_like_answer(&peek(b"\0\0\x01\x5a\0\0\0\x82\0\0\0\0\0\x38\0\0\0\0", ASK)), Match::No);
    }
}
