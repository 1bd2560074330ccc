//! A rule, ready: does it match this packet? Each rule tried whole, which is what everything faster is held against.

use super::language::buffers::{BASE64_DATA, PAYLOAD, Source};
use super::matcher::{Matcher, Scratch, Unmatchable};
use super::memory::{FlowMemory, Names, Remembered, TooManyNames};
use super::packet::{Check, View, concerns};
use super::rule::{BufferId, Condition, Rule};
use super::transform::Chain;
use crate::parse::{Network, Protocol};

/// A rule with its tests ready to be tried.
#[derive(Debug)]
pub struct Signature {
    /// The rule.
    pub rule: Rule,
    checks: Vec<Check>,
    parts: Vec<Part>,
    remembered: Remembered,
    is_of_packets: bool,
}

#[derive(Debug)]
struct Part {
    buffer: BufferId,
    chain: Chain,
    matcher: Matcher,
}

/// Why a rule is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Its tests.
    #[error(transparent)]
    Unmatchable(#[from] Unmatchable),
    /// What it remembers.
    #[error(transparent)]
    Names(#[from] TooManyNames),
}

impl Signature {
    /// Makes a rule ready; `names` are those of the whole set.
    ///
    /// # Errors
    ///
    /// [`NotReady`].
    pub fn new(rule: Rule, names: &mut Names) -> Result<Self, NotReady> {
        let parts = rule.parts.iter().map(|part| {
            let (chain, matcher) = (Chain::new(&part.seen.transforms)?, Matcher::new(part)?);
            Ok(Part { buffer: part.seen.buffer, chain, matcher })
        });
        let parts = parts.collect::<Result<Vec<_>, Unmatchable>>()?;
        let (mut checks, mut is_of_packets) = (Vec::new(), true);
        for condition in &rule.conditions {
            match Check::new(condition)? {
                Some(check) => checks.push(check),
                // What is remembered is asked below.
                None => is_of_packets &= matches!(condition, Condition::FlowBits(_) | Condition::FlowInt(..)),
            }
        }
        is_of_packets &= parts.iter().all(|part| is_of_packet(part.buffer));
        let remembered = Remembered::of(&rule, names)?;
        Ok(Self { rule, checks, parts, remembered, is_of_packets })
    }

    /// Whether a packet alone, and what is remembered of its flow, says all that the rule asks.
    #[must_use]
    pub const fn is_of_packets(&self) -> bool {
        self.is_of_packets
    }

    /// Whether the packet matches. `false` for a rule that is not [`Self::is_of_packets`].
    #[must_use]
    pub fn matches(&self, view: &View<'_>, memory: &FlowMemory) -> bool {
        if !self.is_of_packets || !concerns(&self.rule.header, &self.rule.flow, view) {
            return false;
        }
        if !self.checks.iter().all(|check| check.holds(view)) || !self.remembered.holds(memory) {
            return false;
        }
        let (mut scratch, mut changed) = (Scratch::of(&self.rule), Vec::new());
        self.parts.iter().all(|part| {
            // What was decoded is taken out while it is looked into.
            let decoded = std::mem::take(&mut scratch.decoded);
            let bytes =
                if part.buffer == BASE64_DATA { Some(&decoded[..]) } else { bytes_of(part.buffer, view) };
            let Some(bytes) = bytes else { return false };
            let bytes = if part.chain.is_empty() {
                bytes
            } else {
                part.chain.apply(bytes, &mut changed);
                &changed[..]
            };
            part.matcher.matches(bytes, &mut scratch)
        })
    }

    /// What a match changes in the memory of its flow.
    pub fn remember(&self, memory: &mut FlowMemory) {
        self.remembered.apply(memory);
    }
}

/// Whether a packet alone has a buffer.
fn is_of_packet(buffer: BufferId) -> bool {
    let is_header = |name: &str| name.ends_with(".hdr") && !matches!(name, "ether.hdr" | "arp.hdr");
    match buffer.buffer().of {
        Source::Payload | Source::Decoded => true,
        Source::Packet => is_header(buffer.buffer().name),
        Source::File | Source::Transaction(_) | Source::Frame => false,
    }
}

/// The bytes of a buffer; `None`: the packet does not have it.
fn bytes_of<'a>(buffer: BufferId, view: &View<'a>) -> Option<&'a [u8]> {
    if buffer == PAYLOAD {
        return Some(view.headers.payload(view.bytes));
    }
    let headers = view.headers;
    let Network::Ip { src, protocol, .. } = headers.network else { return None };
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    let (payload, end) = (usize::from(headers.payload_offset), usize::from(headers.end));
    let (from, to) = match buffer.buffer().name {
        "ipv4.hdr" if src.is_v4() => (l3, l4),
        "ipv6.hdr" if !src.is_v4() => (l3, l4),
        "tcp.hdr" if protocol == Protocol::TCP => (l4, payload),
        "udp.hdr" if protocol == Protocol::UDP => (l4, payload),
        "icmpv4.hdr" if protocol == Protocol::ICMP => (l4, payload),
        "icmpv6.hdr" if protocol == Protocol::ICMPV6 => (l4, payload),
        "igmp.hdr" if protocol == super::packet::IGMP => (l4, end),
        _ => return None,
    };
    view.bytes.get(from..to)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::flow::Direction;
    use crate::parse::parse_ethernet;
    use crate::rules::language::{RuleText, Variables, read};
    use crate::rules::packet::tests::tcp;

    /// Which of the rules match packets with these payloads, one after the other of one flow; a letter each.
    fn tried(rules: &[&str], payloads: &[&[u8]]) -> Vec<String> {
        let mut names = Names::default();
        let signatures: Vec<_> = rules
            .iter()
            .map(|text| {
                let rule = read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap();
                Signature::new(rule, &mut names).unwrap()
            })
            .collect();
        let mut memory = FlowMemory::default();
        let mut tried = Vec::new();
        for payload in payloads {
            let frame = tcp(1_024, 80, 0x18, payload);
            let headers = parse_ethernet(&frame).unwrap();
            let view = View {
                headers: &headers,
                bytes: &frame,
                way: Some(Direction::Forward),
                is_established: true,
                is_reassembled: false,
            };
            let mut met = String::new();
            for signature in &signatures {
                let matches = signature.matches(&view, &memory);
                met.push(if matches { '+' } else { '-' });
                if matches {
                    signature.remember(&mut memory);
                }
            }
            tried.push(met);
        }
        tried
    }

    #[test]
    fn a_rule_matches_where_all_of_it_holds() {
        let rules = [
            r#"alert tcp any any -> any 80 (flow:established,to_server; content:"user="; content:"root"; within:4; sid:1;)"#,
            r#"alert tcp any 80 -> any any (content:"user="; sid:2;)"#,
            r#"alert tcp any any -> any any (flags:PA; ttl:64; content:"user="; sid:3;)"#,
            r#"alert tcp any any -> any any (content:"b64:"; base64_decode:relative; base64_data; content:"hello"; sid:4;)"#,
            r#"alert ip any any -> any any (ipv4.hdr; content:"|45|"; startswith; tcp.hdr; content:"|04 00 00 50|"; startswith; sid:5;)"#,
            r#"alert ip any any -> any any (udp.hdr; content:"|04 00|"; sid:6;)"#,
            r#"alert http any any -> any any (http.uri; content:"/"; sid:7;)"#,
        ];
        let met = tried(&rules, &[b"user=root", b"user=ruth", b"b64:aGVsbG8=", b""]);
        assert_eq!(met, ["+-+-+--", "--+-+--", "---++--", "----+--"]);
    }

    #[test]
    fn what_one_match_remembers_another_asks() {
        let rules = [
            r#"alert tcp any any -> any any (content:"login"; flowbits:set,in; noalert; sid:1;)"#,
            r#"alert tcp any any -> any any (content:"get"; flowbits:isset,in; sid:2;)"#,
        ];
        assert_eq!(tried(&rules, &[b"get", b"login", b"get"]), ["--", "+-", "-+"]);
    }
}
