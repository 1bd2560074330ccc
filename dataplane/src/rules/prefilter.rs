//! Which of many rules can match these bytes at all? One search for a pattern of each.
//!
//! A rule is a candidate where its *fast pattern* is found: a content that must be there for the rule to match. False positives
//! yes, false negatives never: [`super::matcher`] confirms. Rules without such a content are always candidates.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::matcher::Unmatchable;
use super::rule::{Content, FastPattern, Part, Rule, Seen, Test};
use super::transform::Chain;

/// Bytes of a pattern that are looked for; what follows is left to the match itself.
pub(super) const PATTERN_BYTES_MAX: usize = 32;

/// Patterns above which an automaton's memory counts more than its speed: then it is one that is compressed.
const DENSE_PATTERNS_MAX: usize = 2_000;

/// Rules by what must be found of them.
#[derive(Debug, Default)]
pub struct Prefilter {
    groups: Vec<Group>,
    /// Rules that nothing finds, in the order in which they were given.
    always: Vec<u32>,
}

/// Rules that are found in one buffer.
#[derive(Debug)]
pub struct Group {
    /// Which.
    pub seen: Seen,
    chain: Chain,
    automaton: AhoCorasick,
    /// Rules of each pattern, by their numbers.
    rules: Vec<Vec<u32>>,
}

/// A group while rules are added to it.
#[derive(Debug)]
struct Gathered {
    seen: Seen,
    texts: Vec<Vec<u8>>,
    rules: Vec<Vec<u32>>,
    places: HashMap<Vec<u8>, usize>,
}

impl Gathered {
    fn of(seen: Seen) -> Self {
        Self { seen, texts: Vec::new(), rules: Vec::new(), places: HashMap::new() }
    }

    fn add(&mut self, pattern: Vec<u8>, rule: u32) {
        let Self { texts, rules, places, .. } = self;
        let index = *places.entry(pattern).or_insert_with_key(|pattern| {
            texts.push(pattern.clone());
            rules.push(Vec::new());
            texts.len() - 1
        });
        rules[index].push(rule);
    }

    fn finish(self) -> Result<Group, Unmatchable> {
        let Self { seen, texts, rules, .. } = self;
        let kind = match texts.len() {
            ..=DENSE_PATTERNS_MAX => AhoCorasickKind::DFA,
            _ => AhoCorasickKind::ContiguousNFA,
        };
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .kind(Some(kind))
            .build(&texts)
            .map_err(|error| Unmatchable::Expression(error.to_string()))?;
        let chain = Chain::new(&seen.transforms)?;
        Ok(Group { seen, chain, automaton, rules })
    }
}

impl Prefilter {
    /// Over rules with the numbers that [`Group::candidates`] tells; only parts that are `meant` may find one.
    ///
    /// # Errors
    ///
    /// [`Unmatchable`] where there are more patterns than an automaton can have, or a transform cannot be done.
    pub fn new<'a>(
        rules: impl IntoIterator<Item = (u32, &'a Rule)>,
        meant: impl Fn(&Part) -> bool,
    ) -> Result<Self, Unmatchable> {
        let mut always = Vec::new();
        let mut gathered: Vec<Gathered> = Vec::new();
        let mut groups: HashMap<Seen, usize> = HashMap::new();
        for (number, rule) in rules {
            let Some((part, pattern)) = fast_pattern(rule, &meant) else {
                always.push(number);
                continue;
            };
            let group = *groups.entry(part.seen.clone()).or_insert_with_key(|seen| {
                gathered.push(Gathered::of(seen.clone()));
                gathered.len() - 1
            });
            gathered[group].add(pattern, number);
        }
        let groups = gathered.into_iter().map(Gathered::finish);
        Ok(Self { groups: groups.collect::<Result<_, _>>()?, always })
    }

    /// Whether there is no rule.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.always.is_empty()
    }

    /// Rules that are candidates whatever the bytes are.
    #[must_use]
    pub fn always(&self) -> &[u32] {
        &self.always
    }

    /// Rules by the buffers in which they are found.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Bytes that the automata take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.groups.iter().map(|group| group.automaton.memory_usage()).sum()
    }
}

impl Group {
    /// Adds rules that may match where the buffer is `bytes`: in no order, and maybe twice. `scratch` is for what transforms make.
    pub fn candidates(&self, bytes: &[u8], scratch: &mut Vec<u8>, found: &mut Vec<u32>) {
        let bytes = if self.chain.is_empty() {
            bytes
        } else {
            self.chain.apply(bytes, scratch);
            &scratch[..]
        };
        for hit in self.automaton.find_overlapping_iter(bytes) {
            found.extend_from_slice(&self.rules[hit.pattern().as_usize()]);
        }
    }

    /// The same of a stream, whose first `seen` bytes were searched before: patterns that end there are not told again.
    pub fn new_candidates(&self, bytes: &[u8], seen: usize, found: &mut Vec<u32>) {
        for hit in self.automaton.find_overlapping_iter(bytes) {
            if hit.end() > seen {
                found.extend_from_slice(&self.rules[hit.pattern().as_usize()]);
            }
        }
    }
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
    use crate::rules::matcher::{Matcher, Scratch};
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
        let word =
            prop::sample::select(vec!["", "nocase;", "distance:0;", "within:5;", "offset:1;", "endswith;"]);
        let content = (any::<bool>(), text, word)
            .prop_map(|(not, text, word)| format!("content:{}\"{text}\";{word}", if not { "!" } else { "" }));
        proptest::collection::vec(content, 1..4).prop_map(|contents| contents.concat())
    }

    proptest! {
        /// What matches is a candidate, always: against trying every rule on everything.
        #[test]
        fn nothing_that_matches_is_left_out(
            bodies in proptest::collection::vec(body(), 1..12),
            bytes in proptest::collection::vec(prop::sample::select(b"abABx".to_vec()), 0..20),
        ) {
            let rules: Vec<_> = bodies.iter().map(|body| rule(body)).collect();
            let numbered = rules.iter().enumerate().map(|(number, rule)| (number as u32, rule));
            let prefilter = Prefilter::new(numbered, |_| true).unwrap();
            let (mut found, mut scratch) = (prefilter.always().to_vec(), Vec::new());
            for group in prefilter.groups() {
                group.candidates(&bytes, &mut scratch, &mut found);
            }
            for (place, rule) in rules.iter().enumerate() {
                let matcher = Matcher::new(&rule.parts[0]).unwrap();
                if matcher.matches(&bytes, &mut Scratch::of(rule)) {
                    prop_assert!(found.contains(&(place as u32)), "{}", bodies[place]);
                }
            }
        }
    }
}
