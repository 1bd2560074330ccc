//! Do the tests of a part hold in these bytes? One after the other, going back where a later one that depends on it fails.
//!
//! The order and the places are Suricata's (`detect-engine-content-inspection.c`): a test that is relative begins where the one before
//! it ended; where it fails, the one before it is looked for further on. How far that goes is bounded ([`STEPS_MAX`]), so that no
//! bytes make a rule cost more.
//!
//! | file | question |
//! |---|---|
//! | `content` | where is a pattern? |
//! | `number` | which number is there, and what follows from it? |
//! | `expression` | does PCRE match? |
//! | `asn1` | is ASN.1 encoded so that readers fail? |
//! | `entropy` | how much do bytes differ? |

mod asn1;
mod content;
mod entropy;
mod expression;
mod number;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use super::address_facts::AddressFacts;
use super::captured::Captured;
use super::datasets::{Datasets, NoData, Reputations, Set};
use super::magic::NoMagic;
use super::rule::{
    Amount, Asn1, Base64Decode, ByteExtract, ByteJump, ByteMath, ByteTest, DataAt, DatasetCommand, Entropy,
    NumberTest, Part, Rule, Test,
};
use content::Pattern;
pub(super) use expression::bounded;
use expression::{Compiled, TooManySteps};

/// Tests that are tried in one buffer at most; Suricata's `inspection-recursion-limit`.
pub const STEPS_MAX: u32 = 3_000;

/// Why a part cannot be matched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmatchable {
    /// PCRE does not take the expression.
    #[error("pcre: {0}")]
    Expression(String),
    /// A set of data cannot be had.
    #[error(transparent)]
    NoData(#[from] NoData),
    /// Nobody can say what kind a file is.
    #[error(transparent)]
    NoMagic(#[from] NoMagic),
    /// This engine does not have it.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// Where rules find what they name.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// Sets of data.
    pub datasets: &'a Datasets,
    /// What is known of addresses.
    pub addresses: &'a AddressFacts,
    /// The directory of the rule's file.
    pub directory: &'a Path,
}

/// The tests of a part, ready to be tried.
#[derive(Debug)]
pub struct Matcher {
    steps: Vec<Step>,
}

/// A test, and whether the next one begins where it ends.
#[derive(Debug)]
struct Step {
    test: Ready,
    is_followed: bool,
}

#[derive(Debug)]
enum Ready {
    Content(Box<Pattern>),
    Expression(Compiled),
    Byte(ByteTest),
    Jump(ByteJump),
    Extract(ByteExtract),
    Math(ByteMath),
    DataAt(DataAt),
    Size(NumberTest),
    Base64(Base64Decode),
    Dataset(Arc<Set>, DatasetCommand),
    Reputation(Arc<Reputations>, NumberTest),
    Asn1(Asn1),
    Entropy(Entropy),
    /// `absent`: where tests are tried, the buffer is there.
    Never,
}

/// A place in the buffer, and bytes that belong there.
pub type Replacement = (usize, Arc<[u8]>);

/// What tests of one rule share while they are tried.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What was taken from bytes, by [`Amount::Variable`].
    pub variables: Vec<u64>,
    /// What `base64_decode` made.
    pub decoded: Vec<u8>,
    /// The byte order of the DCE/RPC message that the bytes are of.
    pub is_dce_little_endian: bool,
    /// Tests ran out of their steps since this was asked last: whether they would have held is not known.
    pub is_spent: bool,
    /// What expressions captured.
    pub captured: Captured,
    /// Where bytes are to be written in the place of others, and which.
    pub replaced: Vec<Replacement>,
}

impl Scratch {
    /// For the tests of `rule`.
    #[must_use]
    pub fn of(rule: &Rule) -> Self {
        Self { variables: vec![0; rule.variables.len()], is_dce_little_endian: true, ..Self::default() }
    }
}

impl Matcher {
    /// The tests of `part`.
    ///
    /// # Errors
    ///
    /// [`Unmatchable`].
    pub fn new(part: &Part, sources: &Sources<'_>) -> Result<Self, Unmatchable> {
        // Where the buffer may be missing or hold something, what it holds is tried like any other.
        let is_tried = |test: &&Test| !matches!(test, Test::Absent { or_else: true });
        let tried: Vec<_> = part.tests.iter().filter(is_tried).collect();
        let tests = tried.iter().enumerate().map(|(index, test)| {
            let next = tried.get(index + 1);
            Ok(Step { test: ready(test, sources)?, is_followed: next.is_some_and(|next| next.is_relative()) })
        });
        Ok(Self { steps: tests.collect::<Result<_, Unmatchable>>()? })
    }

    /// Whether trying them changes a set of data.
    pub(super) fn changes_a_set(&self) -> bool {
        let changes =
            |step: &Step| matches!(step.test, Ready::Dataset(_, DatasetCommand::Set | DatasetCommand::Unset));
        self.steps.iter().any(changes)
    }

    /// A content that must be there and is nowhere in `bytes`, by its number among the tests.
    pub(super) fn missing(&self, bytes: &[u8]) -> Option<u8> {
        let is_missing = |step: &Step| match &step.test {
            Ready::Content(pattern) => !pattern.is_negated() && !pattern.is_in(bytes),
            _ => false,
        };
        self.steps.iter().position(is_missing).and_then(|place| u8::try_from(place).ok())
    }

    /// Whether a content that [`Self::missing`] told may be in `bytes`, of which the first `before` did not have it.
    pub(super) fn may_have_come(&self, missing: u8, bytes: &[u8], before: usize) -> bool {
        match self.steps.get(usize::from(missing)).map(|step| &step.test) {
            Some(Ready::Content(pattern)) => {
                // It may have begun in what was there.
                let from = before.saturating_sub(pattern.len() - 1);
                bytes.get(from..).is_none_or(|bytes| pattern.is_in(bytes))
            }
            _ => true,
        }
    }

    /// Whether all of them hold in `bytes`.
    #[must_use]
    pub fn matches(&self, bytes: &[u8], scratch: &mut Scratch) -> bool {
        Run { bytes, at: 0, left: STEPS_MAX, is_over: false, scratch }.holds(&self.steps)
    }
}

fn ready(test: &Test, sources: &Sources<'_>) -> Result<Ready, Unmatchable> {
    Ok(match test {
        Test::Content(content) => Ready::Content(Box::new(Pattern::new(content))),
        Test::Expression(expression) => Ready::Expression(Compiled::new(expression)?),
        Test::Byte(test) => Ready::Byte(*test),
        Test::Jump(jump) => Ready::Jump(*jump),
        Test::Extract(extract) => Ready::Extract(*extract),
        Test::Math(math) => Ready::Math(*math),
        Test::DataAt(data) => Ready::DataAt(*data),
        Test::Size(size) => Ready::Size(*size),
        Test::Base64(decode) => Ready::Base64(*decode),
        Test::Absent { .. } => Ready::Never,
        Test::Dataset(set) => Ready::Dataset(sources.datasets.set(set, sources.directory)?, set.command),
        Test::Reputation(asked) => {
            Ready::Reputation(sources.datasets.reputations(asked, sources.directory)?, asked.test)
        }
        Test::Asn1(asn1) => Ready::Asn1(*asn1),
        Test::Entropy(entropy) => Ready::Entropy(*entropy),
    })
}

/// One try.
#[derive(Debug)]
struct Run<'a> {
    bytes: &'a [u8],
    /// Where the test before ended.
    at: usize,
    /// Tests that may still be tried.
    left: u32,
    /// Nothing that is tried further on can hold.
    is_over: bool,
    scratch: &'a mut Scratch,
}

impl Run<'_> {
    fn holds(&mut self, steps: &[Step]) -> bool {
        let Some((step, rest)) = steps.split_first() else { return true };
        let Some(left) = self.left.checked_sub(1) else {
            self.is_over = true;
            self.scratch.is_spent = true;
            return false;
        };
        self.left = left;
        match &step.test {
            Ready::Content(pattern) => self.content(pattern, step.is_followed, rest),
            Ready::Expression(expression) => self.expression(expression, step.is_followed, rest),
            Ready::Byte(test) => number::test(self, test) && self.holds(rest),
            Ready::Jump(jump) => number::jump(self, jump) && self.holds(rest),
            Ready::Extract(extract) => number::extract(self, extract) && self.holds(rest),
            Ready::Math(math) => number::math(self, math) && self.holds(rest),
            Ready::DataAt(data) => self.data_at(*data) && self.holds(rest),
            Ready::Size(size) => {
                let holds = size.holds(self.bytes.len() as u64);
                // The size stays what it is, wherever else is looked.
                self.is_over |= !holds;
                holds && self.holds(rest)
            }
            Ready::Base64(decode) => number::base64(self, *decode) && self.holds(rest),
            Ready::Dataset(set, command) => set.answers(*command, self.bytes) && self.holds(rest),
            Ready::Reputation(values, test) => values.answers(test, self.bytes) && self.holds(rest),
            Ready::Asn1(asn1) => asn1::holds(asn1, self.bytes, self.at) && self.holds(rest),
            Ready::Entropy(entropy) => {
                let holds = entropy::holds(entropy, self.bytes);
                self.is_over |= !holds;
                holds && self.holds(rest)
            }
            Ready::Never => false,
        }
    }

    /// Each place of a pattern, until the rest holds.
    fn content(&mut self, pattern: &Pattern, is_followed: bool, rest: &[Step]) -> bool {
        let before = self.at;
        let mut from = None;
        loop {
            let found = pattern.find(self.bytes, before, from, &self.scratch.variables);
            if pattern.is_negated() {
                // What is not there ends nowhere.
                return found.is_none() && self.holds(rest);
            }
            let Some(start) = found else { return false };
            self.at = start + pattern.len();
            if self.holds(rest) {
                if let Some(bytes) = pattern.replacement() {
                    self.scratch.replaced.push((start, Arc::clone(bytes)));
                }
                return true;
            }
            if !is_followed || self.is_over {
                return false;
            }
            from = Some(start + 1);
        }
    }

    /// Each match of an expression, until the rest holds.
    fn expression(&mut self, expression: &Compiled, is_followed: bool, rest: &[Step]) -> bool {
        let before = if expression.is_relative() { self.at } else { 0 };
        let Some(bytes) = self.bytes.get(before..) else {
            return expression.is_negated() && self.holds(rest);
        };
        if expression.is_negated() {
            return self.find(expression, bytes, 0).is_none() && self.holds(rest);
        }
        let mut from = 0;
        loop {
            let Some((start, end)) = self.find(expression, bytes, from) else { return false };
            self.at = before + end;
            if self.holds(rest) {
                if expression.captures() {
                    expression.capture(bytes, from, &mut self.scratch.captured);
                }
                return true;
            }
            // An expression that can match on and on costs what patterns do.
            self.left = self.left.saturating_sub(1);
            self.scratch.is_spent |= self.left == 0;
            if !is_followed || self.is_over || self.left == 0 {
                return false;
            }
            from = start + 1;
        }
    }

    fn find(&mut self, expression: &Compiled, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        expression.find(bytes, from).unwrap_or_else(|TooManySteps| {
            self.scratch.is_spent = true;
            None
        })
    }

    fn data_at(&self, data: DataAt) -> bool {
        let wanted = amount(data.bytes, &self.scratch.variables).max(0) as u64;
        let from = if data.is_relative { self.at as u64 } else { 0 };
        let len = self.bytes.len() as u64;
        // Relative: so many more; else: a byte at this place.
        let is_there = if data.is_relative { from + wanted <= len } else { wanted < len };
        is_there != data.is_negated
    }
}

/// A number of a rule, or one that was kept.
fn amount(amount: Amount, variables: &[u64]) -> i64 {
    match amount {
        Amount::Number(number) => number,
        Amount::Variable(index) => variables.get(usize::from(index)).map_or(0, |kept| *kept as i64),
    }
}
