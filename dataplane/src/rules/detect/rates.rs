//! What becomes of a rule's matches after many (`rate_filter` of `threshold.config`)?
//!
//! Counters are by rule and by whom they count. More than `count` matches in `seconds` and the new action holds until `timeout`
//! seconds are over; then it is counted anew, as Suricata does it. Kept under the rule's number, they outlive the set.

use super::SECOND_NS;
use super::bounded::{Bounded, Lasting};
use super::thresholds::tracked;
use crate::parse::Addr;
use crate::rules::language::thresholds::RateFilter;
use crate::rules::rule::Rule;

/// Counters of all rules. Where there is no room for one more the action stays what the rule says.
#[derive(Debug, Default)]
pub(super) struct Rates {
    counters: Bounded<Key, Rate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    rule: (u32, u32),
    by: (Addr, Addr),
}

#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    since_ns: u64,
    /// In the window; 0: nothing was counted so far.
    matches: u32,
    /// Since when the new action holds.
    acts_since_ns: Option<u64>,
    until_ns: u64,
}

impl Lasting for Rate {
    fn until_ns(&self) -> u64 {
        self.until_ns
    }
}

impl Rates {
    /// Counts a match of `rule`; whether the new action holds for it.
    pub(super) fn is_over(
        &mut self,
        rule: &Rule,
        filter: &RateFilter,
        (src, dst, at_ns): (Addr, Addr, u64),
    ) -> bool {
        let key = Key { rule: (rule.generator, rule.sid), by: tracked(filter.track, src, dst) };
        self.counters.of(key, at_ns).is_some_and(|rate| rate.count(filter, at_ns))
    }
}

impl Rate {
    /// Counts a match; whether the new action holds.
    fn count(&mut self, filter: &RateFilter, at_ns: u64) -> bool {
        let holds = self.holds(filter, at_ns);
        let window_ns = u64::from(filter.seconds) * SECOND_NS;
        let acts_ns = u64::from(filter.timeout_s) * SECOND_NS;
        let acts_until_ns = self.acts_since_ns.map_or(0, |since_ns| since_ns.saturating_add(acts_ns));
        self.until_ns = self.since_ns.saturating_add(window_ns).max(acts_until_ns);
        holds
    }

    fn holds(&mut self, filter: &RateFilter, at_ns: u64) -> bool {
        if let Some(since_ns) = self.acts_since_ns {
            // Whole seconds, as Suricata counts them here.
            let passed_s = (at_ns / SECOND_NS).saturating_sub(since_ns / SECOND_NS);
            if passed_s <= u64::from(filter.timeout_s) {
                return true;
            }
            // The match that finds the time over is not counted.
            self.acts_since_ns = None;
            return false;
        }
        let window_ns = u64::from(filter.seconds) * SECOND_NS;
        if self.matches == 0 || at_ns > self.since_ns.saturating_add(window_ns) {
            (self.since_ns, self.matches) = (at_ns, 1);
            return false;
        }
        self.matches = self.matches.saturating_add(1);
        let acts = self.matches > filter.count;
        if acts {
            self.acts_since_ns = Some(at_ns);
        }
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::{Action, Track};

    fn filter(count: u32, seconds: u32, timeout_s: u32) -> RateFilter {
        let action = Action::Drop;
        RateFilter { track: Track::ByRule, count, seconds, action, is_told: true, timeout_s }
    }

    /// `D`: the new action, `.`: the rule's own, for matches at these seconds.
    fn acts(count: u32, seconds: u32, timeout_s: u32, at: &[u64]) -> String {
        let filter = filter(count, seconds, timeout_s);
        let mut rate = Rate::default();
        at.iter().map(|at| if rate.count(&filter, (100 + at) * SECOND_NS) { 'D' } else { '.' }).collect()
    }

    #[test]
    fn after_many_matches_the_new_action_holds_for_its_time() {
        assert_eq!(acts(2, 10, 30, &[0, 1, 2, 3, 20, 32, 33, 34, 35, 36]), "..DDDD...D");
        // A window that is over begins anew.
        assert_eq!(acts(2, 10, 30, &[0, 1, 11, 12, 13]), "....D");
        // A window that is longer than the timeout goes on counting.
        assert_eq!(acts(1, 60, 1, &[0, 1, 2, 3, 4, 5]), ".DD.DD");
    }

    #[test]
    fn what_acts_is_kept_as_long_as_it_acts() {
        let mut rate = Rate::default();
        let filter = filter(1, 10, 3_600);
        for at in [0, 1] {
            rate.count(&filter, (100 + at) * SECOND_NS);
        }
        assert_eq!(rate.until_ns(), 3_701 * SECOND_NS);
    }

    #[test]
    fn counters_do_not_overflow() {
        let filter = filter(u32::MAX, u32::MAX, u32::MAX);
        let mut rate = Rate { matches: u32::MAX, since_ns: u64::MAX, ..Rate::default() };
        assert!(!rate.count(&filter, u64::MAX));
    }
}
