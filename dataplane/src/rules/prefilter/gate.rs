//! Which candidates are worth a look? Ports, size, and the bytes at one place.
//!
//! What rules ask first is often this: so many bytes, between these ports, `content` at one place. All of it lies in 28 bytes, one
//! rule after the other, so that most of hundreds are passed over without a look at any of them. A rule that its gate lets through
//! may still not match; one that it stops never does.

use crate::rules::number::NumberTest;
use crate::rules::ranges::RangeSet;
use crate::rules::rule::{Amount, Condition, Content, Rule, Seen, Test};

/// Bytes of a content that are compared.
const BYTES: usize = 4;

/// Places of contents that lie further back are not looked at.
const PLACE_MAX: i64 = 1_024;

/// What a rule is asked before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gate {
    /// The rule.
    pub number: u32,
    /// Under the mask, what is at `at`.
    bytes: u32,
    mask: u32,
    at: u16,
    /// Where so many bytes must be there.
    end: u16,
    size: (u16, u16),
    source: (u16, u16),
    destination: (u16, u16),
}

/// What is seen at a glance of what rules are tried on.
#[derive(Debug, Clone, Copy)]
pub struct Glance<'a> {
    /// Of whom it comes, and to whom it goes; `None`: whatever ports rules name.
    pub ports: Option<(u16, u16)>,
    /// A packet's payload, or what is there of a buffer.
    pub bytes: &'a [u8],
    /// Bytes of the packet's payload, whether rules look into it or not. `None`: more may come than `bytes`.
    pub size: Option<usize>,
}

impl Gate {
    /// Of a rule that is tried on a buffer.
    pub(super) fn new(number: u32, rule: &Rule, seen: &Seen) -> Self {
        let header = &rule.header;
        let hull = |ports: &RangeSet<u16>| match (ports.spans(), header.is_both_ways) {
            ([(low, _), .., (_, high)] | [(low, high)], false) => (*low, *high),
            _ => (0, u16::MAX),
        };
        let mut gate = Self {
            number,
            bytes: 0,
            mask: 0,
            at: 0,
            end: 0,
            size: (0, u16::MAX),
            source: hull(&header.source.ports),
            destination: hull(&header.destination.ports),
        };
        for condition in &rule.conditions {
            if let Condition::DataSize(test) = condition {
                gate.size = span(*test);
            }
        }
        let mut parts = rule.parts.iter().filter(|part| part.seen == *seen && seen.transforms.is_empty());
        // Of two parts each may be about other bytes.
        if let (Some(part), None) = (parts.next(), parts.next()) {
            gate.look_for(&part.tests);
        }
        gate
    }

    fn look_for(&mut self, tests: &[Test]) {
        if tests.iter().any(|test| matches!(test, Test::Absent { .. })) {
            return;
        }
        let mut length = 0;
        for test in tests {
            let Test::Content(content) = test else { continue };
            let own = content.bytes.len().min(BYTES);
            let Some(at) = place(content).filter(|_| own > length) else { continue };
            length = own;
            (self.bytes, self.mask) = masked(&content.bytes[..own], content.nocase);
            (self.at, self.end) = (at, at + own as u16);
        }
    }

    /// Whether the rule is worth a look.
    #[inline]
    pub(super) fn lets(&self, glance: &Glance<'_>) -> bool {
        let within = |(low, high): (u16, u16), number: u16| low <= number && number <= high;
        let is_between = glance.ports.is_none_or(|(source, destination)| {
            within(self.source, source) && within(self.destination, destination)
        });
        if usize::from(self.end) > glance.bytes.len() {
            // What is asked for may come.
            return is_between && glance.size.is_none();
        }
        is_between
            && glance.size.is_none_or(|size| within(self.size, size.min(usize::from(u16::MAX)) as u16))
            && word_at(glance.bytes, usize::from(self.at)) & self.mask == self.bytes
    }
}

/// Four bytes at a place; zeros for those behind the end.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> u32 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<BYTES>() {
        Some(word) => u32::from_le_bytes(*word),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)),
    }
}

/// The one place where a content may be.
fn place(content: &Content) -> Option<u16> {
    if content.is_negated {
        return None;
    }
    if content.startswith {
        return Some(0);
    }
    let offset = match content.offset {
        None => 0,
        Some(Amount::Number(offset)) => offset,
        Some(Amount::Variable(_)) => return None,
    };
    let is_fixed = content.depth == Some(Amount::Number(content.bytes.len() as i64));
    let is_of_buffer = content.distance.is_none() && content.within.is_none();
    (is_fixed && is_of_buffer && (0..=PLACE_MAX).contains(&offset)).then_some(offset as u16)
}

/// Bytes as a number, and which bits of them are asked for: of letters, where case does not matter, all but one.
fn masked(bytes: &[u8], nocase: bool) -> (u32, u32) {
    let (mut value, mut mask) = (0, 0);
    for byte in bytes.iter().rev() {
        let bits = if nocase && byte.is_ascii_alphabetic() { !0x20 } else { u8::MAX };
        value = value << 8 | u32::from(byte & bits);
        mask = mask << 8 | u32::from(bits);
    }
    (value, mask)
}

/// The sizes that a test allows, or more than these.
fn span(test: NumberTest) -> (u16, u16) {
    let bound = |number: u64| number.min(u64::from(u16::MAX)) as u16;
    match test {
        NumberTest::Equal(number) => (bound(number), bound(number)),
        NumberTest::Less(number) => (0, bound(number.saturating_sub(1))),
        NumberTest::LessOrEqual(number) => (0, bound(number)),
        NumberTest::Greater(number) => (bound(number.saturating_add(1)), u16::MAX),
        NumberTest::GreaterOrEqual(number) => (bound(number), u16::MAX),
        NumberTest::Between(low, high) => (bound(low.saturating_add(1)), bound(high.saturating_sub(1))),
        NumberTest::NotEqual(_)
        | NumberTest::NotBetween(..)
        | NumberTest::Masked(..)
        | NumberTest::NotMasked(..) => (0, u16::MAX),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::buffers::PAYLOAD;
    use crate::rules::language::{RuleText, Variables, read};

    fn gate(header: &str, body: &str) -> Gate {
        let text = format!("alert {header} ({body} sid:1;)");
        let rule = read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap();
        Gate::new(1, &rule, &Seen::plain(PAYLOAD))
    }

    fn lets(gate: &Gate, bytes: &[u8]) -> bool {
        gate.lets(&Glance { ports: Some((2_000, 4_700)), bytes, size: Some(bytes.len()) })
    }

    #[test]
    fn size_place_and_ports_stop_what_cannot_match() {
        let sized = gate("udp any any -> any any", r#"dsize:4<>9; content:"|e3 0D|"; depth:2;"#);
        assert!(lets(&sized, b"\xe3\x0d...") && lets(&sized, b"\xe3\x0d......"));
        for bytes in [&b"\xe3\x0d.."[..], b"\xe3\x0d.......", b"\xe3.\x0d..", b"\xe3", b""] {
            assert!(!lets(&sized, bytes), "{bytes:?}");
        }
        // Of a direction the size is not the packet's.
        let more = |bytes| sized.lets(&Glance { ports: None, bytes, size: None });
        assert!(more(b"\xe3\x0d") && !more(b"\xe3\x0e"));
        assert!(more(b"\xe3"), "the next byte may come");
        let later =
            gate("udp any any -> any any", r#"content:"x"; content:"aB-c"; offset:3; depth:4; nocase;"#);
        assert!(lets(&later, b"x..Ab-C") && !lets(&later, b"x..Ab-") && !lets(&later, b"x..ab\rc"));
        let ports = gate("udp any any -> any 4660:4799", r#"content:"|e3|"; offset:1;"#);
        assert!(lets(&ports, b"anything"));
        assert!(!ports.lets(&Glance { ports: Some((4_700, 53)), bytes: b"", size: Some(0) }));
        let both = gate("udp any any <> any 4660:4799", r#"content:"|e3|"; offset:1;"#);
        assert!(both.lets(&Glance { ports: Some((4_700, 53)), bytes: b"", size: Some(0) }));
    }

    #[test]
    fn what_may_be_anywhere_or_is_relative_stops_nothing() {
        for body in [
            r#"content:!"ab"; depth:2;"#,
            r#"content:"ab"; depth:3;"#,
            r#"content:"ab"; offset:1;"#,
            r#"content:"ab"; distance:0; within:2;"#,
            r#"dsize:!4; pcre:"/a/";"#,
        ] {
            assert!(lets(&gate("udp any any -> any any", body), b"...."), "{body}");
        }
    }
}
