//! Which of many rules can match these bytes at all? One search for a pattern of each.
//!
//! A rule is a candidate where its *fast pattern* is found: a content that must be there for the rule to match. False positives
//! yes, false negatives never: [`super::matcher`] confirms. Rules without such a content are always candidates.

use std::collections::HashMap;

use foldhash::quality::RandomState;

mod gate;
mod grams;

use super::language::buffers::PAYLOAD;
use super::matcher::Unmatchable;
use super::rule::{BufferId, Content, FastPattern, Header, Part, Rule, Seen, Test};
use super::transform::Chain;
pub use gate::Glance;
pub(super) use grams::usualness;

use gate::Gate;
use grams::{Found, Grams};

/// Bytes of a pattern that are looked for; what follows is left to the match itself.
pub(super) const PATTERN_BYTES_MAX: usize = 32;

/// Rules by what must be found of them.
#[derive(Debug, Default)]
pub struct Prefilter {
    groups: Vec<Group>,
    /// Rules that nothing finds, in the order in which they were given: those that ask for no payload, and those that do.
    always: [Vec<Gate>; 2],
    /// The same of rules that are about few ports, by each of them.
    by_port: [HashMap<u16, Vec<Gate>, RandomState>; 2],
}

/// Ports that a rule may be about to be looked up by them.
const PORTS_MAX: u32 = 32;

/// Payloads are not searched for patterns that are shorter: few rules have such, and each place would have to be looked up for them.
const PAYLOAD_PATTERN_BYTES_MIN: usize = 5;

/// Rules that are found in one buffer.
#[derive(Debug)]
pub struct Group {
    /// Which.
    pub seen: Seen,
    /// It, and those that have the same bytes.
    buffers: Vec<BufferId>,
    chain: Chain,
    grams: Grams,
    /// Rules of each pattern.
    rules: Vec<Vec<Gate>>,
}

/// A group while rules are added to it.
#[derive(Debug)]
struct Gathered {
    seen: Seen,
    buffers: Vec<BufferId>,
    texts: Vec<Vec<u8>>,
    rules: Vec<Vec<Gate>>,
    places: HashMap<Vec<u8>, usize>,
}

impl Gathered {
    fn of(seen: Seen) -> Self {
        Self { seen, buffers: Vec::new(), texts: Vec::new(), rules: Vec::new(), places: HashMap::new() }
    }

    fn add(&mut self, pattern: Vec<u8>, rule: Gate) {
        let Self { texts, rules, places, .. } = self;
        let index = *places.entry(pattern).or_insert_with_key(|pattern| {
            texts.push(pattern.clone());
            rules.push(Vec::new());
            texts.len() - 1
        });
        rules[index].push(rule);
    }

    fn finish(self) -> Result<Group, Unmatchable> {
        let Self { seen, buffers, texts, rules, .. } = self;
        let chain = Chain::new(&seen.transforms)?;
        Ok(Group { seen, buffers, chain, grams: Grams::new(texts), rules })
    }
}

impl Prefilter {
    /// Over rules with the numbers that [`Group::candidates`] tells; only parts that are `meant` may find one. Buffers that are
    /// the `same` have the same bytes: they are one group.
    ///
    /// # Errors
    ///
    /// [`Unmatchable`] where a transform cannot be done.
    pub fn new<'a>(
        rules: impl IntoIterator<Item = (u32, &'a Rule)>,
        meant: impl Fn(&Part) -> bool,
        same: &[BufferId],
    ) -> Result<Self, Unmatchable> {
        let mut always: [Vec<Gate>; 2] = Default::default();
        let mut by_port: [HashMap<u16, Vec<Gate>, RandomState>; 2] = Default::default();
        let mut gathered: Vec<Gathered> = Vec::new();
        let mut groups: HashMap<Seen, usize> = HashMap::new();
        for (number, rule) in rules {
            let is_worth_it = |(part, pattern): &(&Part, Vec<u8>)| {
                part.seen.buffer != PAYLOAD || pattern.len() >= PAYLOAD_PATTERN_BYTES_MIN
            };
            let Some((part, pattern)) = fast_pattern(rule, &meant).filter(is_worth_it) else {
                let of_payload = usize::from(rule.parts.iter().any(|part| part.seen.buffer == PAYLOAD));
                let gate = Gate::new(number, rule, &Seen::plain(PAYLOAD));
                match few_ports(rule) {
                    Some(ports) => {
                        ports.for_each(|port| by_port[of_payload].entry(port).or_default().push(gate));
                    }
                    None => always[of_payload].push(gate),
                }
                continue;
            };
            let mut seen = part.seen.clone();
            if seen.transforms.is_empty() && same.contains(&seen.buffer) {
                seen.buffer = same[0];
            }
            let group = *groups.entry(seen).or_insert_with_key(|seen| {
                gathered.push(Gathered::of(seen.clone()));
                gathered.len() - 1
            });
            if !gathered[group].buffers.contains(&part.seen.buffer) {
                gathered[group].buffers.push(part.seen.buffer);
            }
            gathered[group].add(pattern, Gate::new(number, rule, &part.seen));
        }
        let groups = gathered.into_iter().map(Gathered::finish);
        Ok(Self { groups: groups.collect::<Result<_, _>>()?, always, by_port })
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_empty = self.always.iter().all(Vec::is_empty) && self.by_port.iter().all(HashMap::is_empty);
        self.groups.is_empty() && is_empty
    }

    /// Adds rules that are candidates whatever the bytes are, between these ports.
    pub fn always(&self, ports: (u16, u16), found: &mut Vec<u32>) {
        self.of_ports(Some(ports), 2, |gates| found.extend(gates.iter().map(|gate| gate.number)));
    }

    /// The same, where it can be seen at a glance what is no candidate; rules that ask for payload only where there is some.
    pub fn always_at(&self, glance: &Glance<'_>, found: &mut Vec<u32>) {
        let kinds = 1 + usize::from(!glance.bytes.is_empty());
        self.of_ports(glance.ports, kinds, |gates| {
            found.extend(gates.iter().filter(|gate| gate.lets(glance)).map(|gate| gate.number));
        });
    }

    fn of_ports(&self, ports: Option<(u16, u16)>, kinds: usize, mut each: impl FnMut(&[Gate])) {
        for (always, by_port) in self.always.iter().zip(&self.by_port).take(kinds) {
            each(always);
            match ports {
                _ if by_port.is_empty() => {}
                Some((source, destination)) => {
                    for port in [source, destination] {
                        each(by_port.get(&port).map_or(&[], Vec::as_slice));
                    }
                }
                None => by_port.values().for_each(|gates| each(gates)),
            }
        }
    }

    /// Rules by the buffers in which they are found.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Bytes that patterns and their grams take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.groups.iter().map(|group| group.grams.memory_bytes()).sum()
    }
}

impl Group {
    /// The buffers whose bytes are searched.
    #[must_use]
    pub fn buffers(&self) -> &[BufferId] {
        &self.buffers
    }

    /// Adds rules that may match where this is the buffer: in no order, each once for each of its patterns.
    pub fn candidates(&self, glance: &Glance<'_>, scratch: &mut Scratch, found: &mut Vec<u32>) {
        let Scratch { changed, patterns } = scratch;
        if self.chain.is_empty() {
            return self.new_candidates(glance, (0, 0), scratch, found);
        }
        self.chain.apply(glance.bytes, changed);
        let glance = Glance { bytes: changed, ..*glance };
        self.grams.find(glance.bytes, 0, patterns, |pattern| self.add(pattern, &glance, found));
    }

    /// Whether what is searched is the buffer itself, not what transforms make of it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.chain.is_empty()
    }

    /// The same of what grows, searched from a place on: patterns that end within `seen` bytes behind it are not told again.
    pub fn new_candidates(
        &self,
        glance: &Glance<'_>,
        (from, seen): (usize, usize),
        scratch: &mut Scratch,
        found: &mut Vec<u32>,
    ) {
        if !self.chain.is_empty() {
            return self.candidates(glance, scratch, found);
        }
        let bytes = glance.bytes.get(from..).unwrap_or_default();
        self.grams.find(bytes, seen, &mut scratch.patterns, |pattern| self.add(pattern, glance, found));
    }

    fn add(&self, pattern: u32, glance: &Glance<'_>, found: &mut Vec<u32>) {
        let gates = self.rules[pattern as usize].iter().filter(|gate| gate.lets(glance));
        found.extend(gates.map(|gate| gate.number));
    }
}

/// Memory that searches reuse.
#[derive(Debug, Default)]
pub struct Scratch {
    changed: Vec<u8>,
    patterns: Found,
}

/// The ports of one side, where a rule is about few.
fn few_ports(rule: &Rule) -> Option<impl Iterator<Item = u16> + '_> {
    let Header { source, destination, .. } = &rule.header;
    let spans = [destination, source].into_iter().map(|ends| ends.ports.spans());
    let count = |spans: &[(u16, u16)]| spans.iter().map(|(low, high)| u32::from(high - low) + 1).sum::<u32>();
    let few = spans.filter(|spans| count(spans) <= PORTS_MAX).min_by_key(|spans| count(spans))?;
    Some(few.iter().copied().flat_map(|(low, high)| low..=high))
}

/// The part and the pattern by which a rule is found; `None`: none of its contents must be there.
fn fast_pattern<'a>(rule: &'a Rule, meant: &impl Fn(&Part) -> bool) -> Option<(&'a Part, Vec<u8>)> {
    let mut best: Option<(&Part, &Content, usize)> = None;
    for part in rule.parts.iter().filter(|part| meant(part)) {
        // Where the buffer may be missing, nothing of it must be there.
        if part.tests.iter().any(|test| matches!(test, Test::Absent { .. })) {
            continue;
        }
        for test in &part.tests {
            let Test::Content(content) = test else { continue };
            if content.is_negated {
                continue;
            }
            if content.fast_pattern.is_some() {
                return Some((part, text(content)));
            }
            let score = score(&content.bytes);
            if best.is_none_or(|(_, _, other)| score > other) {
                best = Some((part, content, score));
            }
        }
    }
    best.map(|(part, content, _)| (part, text(content)))
}

/// What of a content is looked for.
fn text(content: &Content) -> Vec<u8> {
    let bytes = match content.fast_pattern {
        Some(FastPattern::Chop(offset, length)) => {
            let from = usize::from(offset);
            content.bytes.get(from..from + usize::from(length)).unwrap_or(&content.bytes)
        }
        _ => &content.bytes,
    };
    bytes[..bytes.len().min(PATTERN_BYTES_MAX)].to_vec()
}

/// How rarely a pattern is found: longer ones are better, and of two of one length that with more different and less usual bytes.
fn score(bytes: &[u8]) -> usize {
    let looked_for = &bytes[..bytes.len().min(PATTERN_BYTES_MAX)];
    let mut seen = [false; 256];
    looked_for.iter().fold(0, |score, byte| {
        let is_new = !std::mem::replace(&mut seen[usize::from(*byte)], true);
        let worth = match byte {
            0 | 0xff | b' ' => 1,
            byte if byte.is_ascii_alphanumeric() => 3,
            _ => 4,
        };
        score + if is_new { worth } else { 1 }
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::{RuleText, Variables, read};
    use crate::rules::matcher::{self, Matcher};
    use proptest::prelude::*;

    fn rule(body: &str) -> Rule {
        let text = format!("alert tcp any any -> any any ({body} sid:1;)");
        read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap()
    }

    fn pattern(body: &str) -> Option<(&'static str, String)> {
        let rule = rule(body);
        let (part, pattern) = fast_pattern(&rule, &|_| true)?;
        Some((part.seen.buffer.buffer().name, String::from_utf8(pattern).unwrap()))
    }

    #[test]
    fn a_rule_is_found_by_what_it_says_or_by_its_rarest_content() {
        let found = |name, text: &str| Some((name, text.to_owned()));
        assert_eq!(pattern(r#"content:"ab"; content:"abcdef";"#), found("pkt_data", "abcdef"));
        assert_eq!(pattern(r#"content:"ab"; fast_pattern; content:"abcdef";"#), found("pkt_data", "ab"));
        assert_eq!(pattern(r#"content:"abcdef"; fast_pattern:2,3;"#), found("pkt_data", "cde"));
        assert_eq!(pattern(r#"content:"aaaaaa"; content:"xy-z";"#), found("pkt_data", "xy-z"));
        assert_eq!(pattern(r#"content:!"abcdef"; content:"x";"#), found("pkt_data", "x"));
        assert_eq!(
            pattern(r#"http.method; content:"GET"; http.uri; content:"/a/b/c";"#),
            found("http.uri", "/a/b/c")
        );
        assert_eq!(pattern(r#"content:!"a";"#), None);
        assert_eq!(pattern(r#"pcre:"/a/";"#), None);
        assert_eq!(pattern(r#"http.uri; absent:or_else; content:"abc";"#), None);
    }

    /// Contents over three letters, so that they are found now and then.
    fn body() -> impl Strategy<Value = String> {
        let text = proptest::string::string_regex("[abAB]{1,3}").unwrap();
        let word = prop::sample::select(vec![
            "",
            "nocase;",
            "distance:0;",
            "within:5;",
            "offset:1;",
            "endswith;",
            "startswith;",
            "depth:3;",
        ]);
        let content = (any::<bool>(), text, word)
            .prop_map(|(not, text, word)| format!("content:{}\"{text}\";{word}", if not { "!" } else { "" }));
        proptest::collection::vec(content, 1..4).prop_map(|contents| contents.concat())
    }

    proptest! {
        /// What matches is a candidate, always: against trying every rule on everything.
        #[test]
        fn nothing_that_matches_is_left_out(
            bodies in proptest::collection::vec(body(), 1..12),
            bytes in proptest::collection::vec(prop::sample::select(b"abABx".to_vec()), 1..20),
        ) {
            let rules: Vec<_> = bodies.iter().map(|body| rule(body)).collect();
            let numbered = rules.iter().enumerate().map(|(number, rule)| (number as u32, rule));
            let prefilter = Prefilter::new(numbered, |_| true, &[]).unwrap();
            let (mut found, mut scratch) = (Vec::new(), Scratch::default());
            let glance = Glance { ports: Some((1_024, 80)), bytes: &bytes, size: Some(bytes.len()) };
            prefilter.always_at(&glance, &mut found);
            for group in prefilter.groups() {
                group.candidates(&glance, &mut scratch, &mut found);
            }
            let datasets = crate::rules::datasets::Datasets::default();
            let sources = matcher::Sources { datasets: &datasets, addresses: &crate::rules::address_facts::AddressFacts::default(), directory: std::path::Path::new("") };
            for (place, rule) in rules.iter().enumerate() {
                let matcher = Matcher::new(&rule.parts[0], &sources).unwrap();
                if matcher.matches(&bytes, &mut matcher::Scratch::of(rule)) {
                    prop_assert!(found.contains(&(place as u32)), "{}", bodies[place]);
                }
            }
        }
    }
}
