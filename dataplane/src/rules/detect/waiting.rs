//! Which rules that wait for more of a body can more of it have helped?
//!
//! A rule whose pattern was found is tried again as the body grows. Where a content that it needs was nowhere in the body, that
//! content alone is looked for, in what is new.

use super::flow::Body;
use crate::rules::rule::BufferId;
use crate::rules::set::RuleSet;
use crate::rules::signature::{Absent, Part, Signature};

/// A rule that more of a body may make match.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub rule: u32,
    /// A content that was nowhere in the body: the part, and the number of the test.
    missing: Option<(u8, u8)>,
}

impl Waiting {
    pub(super) fn new(rule: u32, set: &RuleSet, buffers: &[BufferId], bytes: &[u8]) -> Self {
        let missing =
            set.signatures().get(rule as usize).and_then(|signature| missing(signature, buffers, bytes));
        Self { rule, missing }
    }

    fn is_helped(self, set: &RuleSet, bytes: &[u8], before: usize) -> bool {
        let (Some((part, test)), Some(signature)) = (self.missing, set.signatures().get(self.rule as usize))
        else {
            return true;
        };
        signature
            .parts
            .get(usize::from(part))
            .is_none_or(|part| part.matcher.may_have_come(test, bytes, before))
    }
}

impl Body {
    /// Moves the rules that are to be tried now, that the body is `bytes`, to `tried`. Of these the first `searched` were there
    /// when they were tried before.
    pub(super) fn try_again(&mut self, set: &RuleSet, bytes: &[u8], tried: &mut Vec<u32>) {
        let before = self.searched;
        self.waiting.retain(|one| {
            let is_helped = one.is_helped(set, bytes, before);
            if is_helped {
                tried.push(one.rule);
            }
            !is_helped
        });
    }
}

fn missing(signature: &Signature, buffers: &[BufferId], bytes: &[u8]) -> Option<(u8, u8)> {
    let is_meant =
        |part: &Part| buffers.contains(&part.buffer) && part.chain.is_empty() && part.absent == Absent::Fails;
    let place = signature.parts.iter().position(is_meant)?;
    let test = signature.parts[place].matcher.missing(bytes)?;
    Some((u8::try_from(place).ok()?, test))
}
