//! Does a match count as an alert? Counters of rules by whom they are counted.

use std::collections::HashMap;

use super::flow::Counters;
use crate::parse::Addr;
use crate::rules::counting::{Counter, Outcome};
use crate::rules::rule::{Rule, Track};

/// Counters that are kept. Where there are more, those whose window is over go; where none is, a match is told.
const COUNTERS_MAX: usize = 65_536;

/// Counters of all rules, beside those of single flows.
#[derive(Debug, Default)]
pub(super) struct Thresholds {
    counters: HashMap<Key, (Counter, u64), foldhash::quality::RandomState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    rule: u32,
    /// A threshold and a filter of one rule count for themselves.
    is_filter: bool,
    by: (Addr, Addr),
}

/// A match that is counted.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    pub src: Addr,
    pub dst: Addr,
    pub at_ns: u64,
    /// The counters of the match's flow.
    pub flow: &'a mut Counters,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Thresholds {
    /// Whether a match is told; `None`: it does not count at all.
    pub(super) fn count(&mut self, number: u32, rule: &Rule, counted: &mut Counted<'_>) -> Option<bool> {
        let (mut is_told, at_ns) = (true, counted.at_ns);
        if let Some(filter) = &rule.detection_filter
            && let Some(counter) = self.counter(number, true, (filter.track, filter.seconds), counted)
        {
            match counter.filter(filter, at_ns) {
                Outcome::Alert => {}
                Outcome::Silent => is_told = false,
                Outcome::Nothing => return None,
            }
        }
        if let Some(threshold) = &rule.threshold
            && let Some(counter) = self.counter(number, false, (threshold.track, threshold.seconds), counted)
        {
            match counter.count(threshold, at_ns) {
                Outcome::Alert => {}
                Outcome::Silent => is_told = false,
                Outcome::Nothing => return None,
            }
        }
        Some(is_told)
    }

    /// The counter of a match; `None`: there is no room.
    fn counter<'a>(
        &'a mut self,
        rule: u32,
        is_filter: bool,
        (track, seconds): (Track, u32),
        counted: &'a mut Counted<'_>,
    ) -> Option<&'a mut Counter> {
        let none = Addr::default();
        let by = match track {
            Track::BySource => (counted.src, none),
            Track::ByDestination => (none, counted.dst),
            // Either way it is the same pair.
            Track::ByBoth => (counted.src.min(counted.dst), counted.src.max(counted.dst)),
            Track::ByRule => (none, none),
            Track::ByFlow => return counted.flow.of(rule),
        };
        let key = Key { rule, is_filter, by };
        if self.counters.len() >= COUNTERS_MAX && !self.counters.contains_key(&key) {
            self.counters.retain(|_, (_, until_ns)| *until_ns >= counted.at_ns);
            if self.counters.len() >= COUNTERS_MAX {
                return None;
            }
        }
        let (counter, until_ns) = self.counters.entry(key).or_default();
        *until_ns = counted.at_ns.saturating_add(u64::from(seconds) * SECOND_NS);
        Some(counter)
    }
}
