//! A rule while its keywords are read, one after the other.

use super::buffers::{BASE64_DATA, FILE_DATA, PAYLOAD, Source};
use super::value::{Value, Wrong};
use crate::flow::Direction;
use crate::rules::rule::{
    Action, Amount, BufferId, Capture, CaptureKind, Condition, Content, Effect, FlowNumber, FlowTest, Header,
    HeaderProtocol, Hook, NumberTest, Part, Rule, Seen, Test, Transform,
};

/// Values that a rule may keep (`SIGMATCH` allows eight in Suricata).
const VARIABLES_MAX: usize = 32;

/// Groups of expressions that one rule keeps.
const CAPTURES_MAX: usize = 32;

/// Parts, tests of a part, conditions and effects that a rule may have.
const ITEMS_MAX: usize = 256;

/// A rule that is not whole yet.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// What is known so far.
    pub rule: Rule,
    /// Where the rule begins, for faults of the whole.
    pub whole: Value<'a>,
    /// Where tests go that name no buffer.
    current: Seen,
    /// Where the word that chose it stands, until a test follows.
    waiting: Option<Value<'a>>,
    /// The part that the last content went to, and its place there; other tests may stand behind it.
    last: Option<(usize, usize)>,
    /// The part that the content before was moved to, of the older language: what is relative to it follows it.
    moved: Option<usize>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(action: Action, header: Header, whole: Value<'a>) -> Self {
        let rule = Rule {
            sid: 0,
            generator: 1,
            revision: 0,
            message: Box::default(),
            action,
            header,
            flow: FlowTest::default(),
            parts: Vec::new(),
            conditions: Vec::new(),
            effects: Vec::new(),
            variables: Vec::new(),
            captures: Vec::new(),
            threshold: None,
            detection_filter: None,
            // Who passes tells nobody, unless it says so.
            is_silent: matches!(action, Action::Pass | Action::Config),
            prefilter: false,
            bypass: false,
            target: None,
            class: None,
            priority: None,
            references: Vec::new(),
            metadata: Vec::new(),
        };
        Self { rule, whole, current: Seen::plain(PAYLOAD), waiting: None, last: None, moved: None }
    }

    /// Tests that follow look into this buffer.
    pub(super) fn look_into(&mut self, buffer: BufferId, word: Value<'a>) -> Result<(), Wrong> {
        self.look_at(Seen::plain(buffer), word)
    }

    /// The same for a piece of a buffer.
    pub(super) fn look_at(&mut self, seen: Seen, word: Value<'a>) -> Result<(), Wrong> {
        self.is_used()?;
        let buffer = seen.buffer;
        self.current = seen;
        self.moved = None;
        // `pkt_data` and `base64_data` may stand for themselves.
        self.waiting = (buffer != PAYLOAD && buffer != BASE64_DATA).then_some(word);
        self.last = None;
        Ok(())
    }

    /// Whether a test followed the last word that chose a buffer.
    fn is_used(&self) -> Result<(), Wrong> {
        match self.waiting {
            Some(word) => Err(word.wrong("no test follows this buffer")),
            None => Ok(()),
        }
    }

    /// What tests see is changed first.
    pub(super) fn transform(&mut self, transform: Transform, word: Value<'_>) -> Result<(), Wrong> {
        if self.is_in_payload() {
            return Err(word.wrong("a transform is of a buffer, and none is named before it"));
        }
        // Behind tests, it is of those that follow.
        self.current.transforms.push(transform);
        Ok(())
    }

    /// Whether tests look into the payload.
    pub(super) fn is_in_payload(&self) -> bool {
        self.current.buffer == PAYLOAD
    }

    /// A test in the buffer that was named last.
    pub(super) fn test(&mut self, test: Test) -> Result<(), Wrong> {
        if let Some(part) = self.moved.filter(|_| self.is_in_payload()) {
            // Contents and expressions say themselves where they look.
            if test.is_relative() && !matches!(test, Test::Content(_) | Test::Expression(_)) {
                return self.put(Some(part), self.rule.parts[part].seen.clone(), test);
            }
            self.moved = None;
        }
        let seen = self.current.clone();
        // A buffer of which a transaction has several is asked anew each time it is named.
        let is_anew = self.waiting.take().is_some() && seen.buffer.buffer().is_multiple;
        let part = if is_anew { None } else { self.part_of(&seen) };
        self.put(part, seen, test)
    }

    /// A test in another buffer; those that follow look where they looked before.
    pub(super) fn test_in(&mut self, buffer: BufferId, test: Test, word: Value<'_>) -> Result<(), Wrong> {
        // Bodies of answers are files, under two names.
        let is_body = |buffer: BufferId| buffer == FILE_DATA || buffer.buffer().name == "http.response_body";
        if self.current.buffer == buffer || (is_body(self.current.buffer) && is_body(buffer)) {
            return self.test(test);
        }
        if !self.is_in_payload() {
            return Err(word.wrong("it names a buffer, and another was named before it"));
        }
        let seen = Seen::plain(buffer);
        self.put(self.part_of(&seen), seen, test)
    }

    /// The content before the word looks into this buffer, as the older language says it.
    pub(super) fn move_last(&mut self, buffer: BufferId, word: Value<'_>) -> Result<(), Wrong> {
        let misplaced = || word.wrong("it belongs to a content of the payload, and none stands before it");
        let (part, place) = self.last.filter(|_| self.is_in_payload()).ok_or_else(misplaced)?;
        let from = &mut self.rule.parts[part];
        if from.seen.buffer != PAYLOAD || !matches!(from.tests.get(place), Some(Test::Content(_))) {
            return Err(misplaced());
        }
        let test = from.tests.remove(place);
        self.last = None;
        let seen = Seen::plain(buffer);
        let part = self.part_of(&seen);
        self.put(part, seen, test)?;
        self.moved = Some(part.unwrap_or(self.rule.parts.len() - 1));
        Ok(())
    }

    /// The part of a buffer, the last one.
    fn part_of(&self, seen: &Seen) -> Option<usize> {
        self.rule.parts.iter().rposition(|part| part.seen == *seen)
    }

    fn put(&mut self, part: Option<usize>, seen: Seen, test: Test) -> Result<(), Wrong> {
        let parts = &mut self.rule.parts;
        let part = part.unwrap_or_else(|| {
            parts.push(Part { seen, tests: Vec::new() });
            parts.len() - 1
        });
        let tests = &mut parts[part].tests;
        if let Test::Content(_) = test {
            self.last = Some((part, tests.len()));
        }
        tests.push(test);
        if tests.len() > ITEMS_MAX || parts.len() > ITEMS_MAX {
            return Err(self.whole.wrong(format!("a rule has at most {ITEMS_MAX} tests of a buffer")));
        }
        Ok(())
    }

    /// The content before, which words such as `nocase` change.
    pub(super) fn last_content(&mut self) -> Option<&mut Content> {
        let (part, place) = self.last?;
        match self.rule.parts.get_mut(part)?.tests.get_mut(place)? {
            Test::Content(content) => Some(content),
            _ => None,
        }
    }

    /// Whether a content is the fast pattern already.
    pub(super) fn has_fast_pattern(&self) -> bool {
        let mut tests = self.rule.parts.iter().flat_map(|part| &part.tests);
        tests.any(|test| matches!(test, Test::Content(Content { fast_pattern: Some(_), .. })))
    }

    /// A number, or the name of a value that a test before it keeps.
    pub(super) fn amount(&self, text: Value<'_>, from: i64, to: i64) -> Result<Amount, Wrong> {
        let text = text.trim();
        if text.looks_like_a_number() {
            return text.number(from, to).map(Amount::Number);
        }
        let name =
            text.name().map_err(|_| text.expected("a number, or the name of a value that was extracted"))?;
        let found = self.rule.variables.iter().position(|variable| **variable == *name);
        found.map(|index| Amount::Variable(index as u8)).ok_or_else(|| {
            text.wrong(format!("no byte_extract or byte_math before it keeps a value under the name {name}"))
        })
    }

    /// A name under which a value is kept.
    pub(super) fn variable(&mut self, text: Value<'_>) -> Result<u8, Wrong> {
        let name = text.name()?;
        if text.looks_like_a_number() {
            return Err(text.expected("a name, which begins with a letter"));
        }
        let variables = &mut self.rule.variables;
        let index = variables.iter().position(|variable| **variable == *name).unwrap_or_else(|| {
            variables.push(name.into());
            variables.len() - 1
        });
        if variables.len() > VARIABLES_MAX {
            return Err(text.wrong(format!("a rule keeps at most {VARIABLES_MAX} values")));
        }
        Ok(index as u8)
    }

    /// What is kept of a group; its number among the rule's.
    pub(super) fn capture(&mut self, kind: CaptureKind, name: Value<'_>) -> Result<u8, Wrong> {
        let capture = Capture { kind, name: name.name()?.into() };
        let captures = &mut self.rule.captures;
        let index = captures.iter().position(|one| *one == capture).unwrap_or_else(|| {
            captures.push(capture);
            captures.len() - 1
        });
        if captures.len() > CAPTURES_MAX {
            return Err(name.wrong(format!("a rule keeps at most {CAPTURES_MAX} groups")));
        }
        Ok(index as u8)
    }

    /// Something that must hold beside the bytes.
    pub(super) fn condition(&mut self, condition: Condition) -> Result<(), Wrong> {
        self.rule.conditions.push(condition);
        self.is_bounded(self.rule.conditions.len())
    }

    /// Something that a match changes.
    pub(super) fn effect(&mut self, effect: Effect) -> Result<(), Wrong> {
        self.rule.effects.push(effect);
        self.is_bounded(self.rule.effects.len())
    }

    fn is_bounded(&self, items: usize) -> Result<(), Wrong> {
        if items <= ITEMS_MAX {
            return Ok(());
        }
        Err(self.whole.wrong(format!("a rule has at most {ITEMS_MAX} conditions")))
    }

    /// The rule, where its keywords go together.
    pub(super) fn finish(mut self) -> Result<Rule, Wrong> {
        self.is_used()?;
        let Self { rule, whole, .. } = &mut self;
        if rule.sid == 0 {
            return Err(whole.wrong("it has no sid, by which it is known"));
        }
        rule.parts.retain(|part| !part.tests.is_empty());
        match rule.header.hook {
            Some(Hook::Transaction { way, .. }) => {
                if rule.flow.way.replace(way).is_some_and(|other| other != way) {
                    return Err(
                        whole.wrong("the state behind its protocol goes one way, and its flow the other")
                    );
                }
            }
            Some(Hook::Packets { is_first: true }) => {
                rule.conditions.push(Condition::Flow(FlowNumber::AllPackets, NumberTest::Equal(1)));
            }
            Some(Hook::Packets { is_first: false }) | None => {}
        }
        for part in &rule.parts {
            fits(rule, part).map_err(|detail| whole.wrong(detail))?;
            let replaces = part.tests.iter().any(Test::replaces);
            if replaces && part.seen != Seen::plain(PAYLOAD) {
                return Err(whole.wrong("replace is for a content of the packet's payload, not of a buffer"));
            }
        }
        Ok(self.rule)
    }
}

/// Whether a buffer belongs to what the rule is asked about.
fn fits(rule: &Rule, part: &Part) -> Result<(), String> {
    let buffer = part.seen.buffer.buffer();
    if let (Source::Transaction(protocols), HeaderProtocol::Application(own)) =
        (buffer.of, rule.header.protocol)
    {
        let is_web = |name: &str| matches!(name, "http" | "http1" | "http2" | "doh2" | "websocket");
        let is_same = |name: &&str| {
            **name == *own || (is_web(name) && is_web(own)) || (*name == "dns" && own == "doh2")
        };
        if !protocols.iter().any(is_same) {
            return Err(format!(
                "{} belongs to {}, and the rule is one of {own}",
                buffer.name,
                protocols.join(" and ")
            ));
        }
    }
    let is_frame = |part: &Part| part.seen.frame.is_some();
    if let Some(frame) = part.seen.frame {
        let of = frame.frame().of;
        if let HeaderProtocol::Application(own) = rule.header.protocol
            && own != of
            && !(own == "http" && matches!(of, "http1" | "http2"))
        {
            return Err(format!(
                "frame {} belongs to {of}, and the rule is one of {own}",
                frame.frame().name
            ));
        }
    } else if rule.parts.iter().any(is_frame) && !matches!(part.seen.buffer, BASE64_DATA) {
        return Err(format!("{} is no frame, and the rule looks into frames", buffer.name));
    }
    match (buffer.way, rule.flow.way) {
        (Some(Direction::Forward), Some(Direction::Reverse)) => {
            Err(format!("{} goes to the server, and the rule is about flow:to_client", buffer.name))
        }
        (Some(Direction::Reverse), Some(Direction::Forward)) => {
            Err(format!("{} goes to the client, and the rule is about flow:to_server", buffer.name))
        }
        _ => Ok(()),
    }
}
