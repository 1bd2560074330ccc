//! Rules are loaded anew under traffic: what of a flow's notes goes on?
//!
//! Notes name rules by their numbers, which are others in another set. A rule that both sets have, word for word, goes on where it
//! was: what of it holds, and that it was told. What is new sees what is kept of the flow and all that comes; what is gone is
//! forgotten. A set knows the numbers of the one that it was read after, alone: whoever missed a set forgets.

use std::collections::HashMap;

use super::flow::{Counters, FlowState, Transaction, Window};
use crate::rules::rule::Rule;

/// A rule that the other set has not.
const NONE: u32 = u32::MAX;

/// The rules of two sets, one read after the other.
#[derive(Debug)]
pub(in crate::rules) struct Succession {
    /// Number in the later set, by that in the earlier.
    after: Vec<u32>,
    /// Whether the earlier has it, by number in the later.
    is_known: Vec<bool>,
}

impl Succession {
    /// Of the rules of both sets, by their numbers.
    pub(in crate::rules) fn new<'a>(
        earlier: impl ExactSizeIterator<Item = &'a Rule>,
        later: impl ExactSizeIterator<Item = &'a Rule>,
    ) -> Self {
        let mut succession = Self { after: vec![NONE; earlier.len()], is_known: vec![false; later.len()] };
        let known: HashMap<_, _> =
            earlier.enumerate().map(|(number, rule)| ((rule.generator, rule.sid), (number, rule))).collect();
        for (number, rule) in later.enumerate() {
            if let Some((before, _)) =
                known.get(&(rule.generator, rule.sid)).filter(|(_, other)| *other == rule)
            {
                succession.after[*before] = number as u32;
                succession.is_known[number] = true;
            }
        }
        succession
    }

    fn after(&self, rule: u32) -> Option<u32> {
        self.after.get(rule as usize).copied().filter(|number| *number != NONE)
    }

    /// Whether the earlier set has not got a rule of the later.
    pub(super) fn is_new(&self, rule: u32) -> bool {
        !self.is_known.get(rule as usize).is_some_and(|known| *known)
    }

    fn renumber(&self, rules: &mut Vec<u32>) {
        self.renumber_by(rules, |rule| rule);
    }

    fn renumber_by<T>(&self, notes: &mut Vec<T>, rule: impl Fn(&mut T) -> &mut u32) {
        notes.retain_mut(|note| {
            let number = rule(note);
            let after = self.after(*number);
            *number = after.unwrap_or(NONE);
            after.is_some()
        });
    }
}

/// The set in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Generation {
    /// Counts sets.
    pub number: u32,
    /// How it follows the one before it, where it was read after that one.
    pub succession: Option<std::sync::Arc<Succession>>,
}

impl FlowState {
    /// Rules are those of another set from now on. What the flow itself remembers stays.
    pub(super) fn follow(&mut self, generation: &Generation) {
        if self.generation == generation.number {
            return;
        }
        let is_next = self.generation.wrapping_add(1) == generation.number;
        self.generation = generation.number;
        match generation.succession.as_deref().filter(|_| is_next) {
            Some(succession) => self.renumber(succession),
            None => self.forget_rules(),
        }
    }

    fn renumber(&mut self, succession: &Succession) {
        let Counters(counters) = &mut self.counters;
        succession.renumber_by(counters, |(rule, _)| rule);
        succession.renumber(&mut self.told);
        self.streams.iter_mut().for_each(|window| window.renumber(succession));
        self.transactions.iter_mut().for_each(|one| one.renumber(succession));
        self.frames.iter_mut().for_each(|frame| succession.renumber(&mut frame.told));
    }

    fn forget_rules(&mut self) {
        self.counters.0.clear();
        self.transactions.clear();
        self.told.clear();
        self.frames.clear();
        for way in &mut self.streams {
            way.told.clear();
            way.waiting.clear();
        }
    }
}

impl Window {
    fn renumber(&mut self, succession: &Succession) {
        succession.renumber(&mut self.told);
        succession.renumber(&mut self.waiting);
        self.is_renewed = !self.bytes().is_empty();
    }
}

impl Transaction {
    fn renumber(&mut self, succession: &Succession) {
        if let Some(file) = &mut self.file {
            let before = self.told.iter().take(file.told_before);
            file.told_before = before.filter(|(rule, _)| succession.after(*rule).is_some()).count();
        }
        succession.renumber_by(&mut self.told, |(rule, _)| rule);
        self.held.iter_mut().for_each(|held| succession.renumber_by(held, |(rule, _)| rule));
        succession.renumber_by(&mut self.captured, |(rule, _)| rule);
        for body in &mut self.bodies {
            // New rules look for their patterns in all of it, and with them those that waited.
            body.searched = 0;
            body.waiting.clear();
        }
    }
}
