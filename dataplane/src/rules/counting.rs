//! How many matches make an alert? What `threshold` and `detection_filter` say of one counter.
//!
//! Whose counter it is (an address, a pair, a flow, the rule) and where it is kept is not decided here. Windows begin with a match and
//! end a number of seconds later, both included, as Suricata has them.

use super::rule::{DetectionFilter, Threshold, ThresholdKind};

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Matches that were counted for one thing; zeros before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counter {
    /// When the window began, nanoseconds.
    pub since_ns: u64,
    /// Matches in it; 0: there is no window.
    pub matches: u32,
    /// Of `backoff`: the match that is told next.
    pub next: u32,
}

/// What becomes of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is told, and acts.
    Alert,
    /// It acts and is not told.
    Silent,
    /// It counted, and that is all.
    Nothing,
}

impl Counter {
    /// Counts a match at `now_ns` for `threshold`.
    pub fn count(&mut self, threshold: &Threshold, now_ns: u64) -> Outcome {
        if threshold.kind == ThresholdKind::Backoff {
            return self.back_off(threshold);
        }
        let is_first = self.begin_or_add(threshold.seconds, now_ns);
        match threshold.kind {
            ThresholdKind::Limit if self.matches <= threshold.count => Outcome::Alert,
            ThresholdKind::Limit => Outcome::Silent,
            ThresholdKind::Threshold
                if threshold.count <= 1 || (!is_first && self.matches >= threshold.count) =>
            {
                // The next ones are counted anew, in the same window.
                self.matches = 0;
                Outcome::Alert
            }
            ThresholdKind::Threshold => Outcome::Nothing,
            ThresholdKind::Both if self.matches == threshold.count.max(1) => Outcome::Alert,
            ThresholdKind::Both if self.matches > threshold.count => Outcome::Silent,
            ThresholdKind::Both | ThresholdKind::Backoff => Outcome::Nothing,
        }
    }

    /// Counts a match at `now_ns` for `filter`: those after its count are alerts.
    pub fn filter(&mut self, filter: &DetectionFilter, now_ns: u64) -> Outcome {
        self.begin_or_add(filter.seconds, now_ns);
        self.filtered(filter)
    }

    /// What becomes of a match that does not count for `filter`, as things stand.
    #[must_use]
    pub const fn filtered(&self, filter: &DetectionFilter) -> Outcome {
        if self.matches > filter.count { Outcome::Alert } else { Outcome::Nothing }
    }

    /// Whether a window of so many seconds is open.
    #[must_use]
    pub fn has_window(&self, seconds: u32, now_ns: u64) -> bool {
        let end = self.since_ns.saturating_add(u64::from(seconds) * SECOND_NS);
        // A counter that told and began anew has a window and no match in it.
        (self.matches > 0 || self.since_ns > 0) && now_ns <= end
    }

    /// Whether a window began with this match.
    fn begin_or_add(&mut self, seconds: u32, now_ns: u64) -> bool {
        if self.has_window(seconds, now_ns) {
            self.matches = self.matches.saturating_add(1);
            return false;
        }
        (self.since_ns, self.matches) = (now_ns, 1);
        true
    }

    /// Told are match `count`, then `count * multiplier`, and so on.
    fn back_off(&mut self, threshold: &Threshold) -> Outcome {
        if self.next == 0 {
            self.next = threshold.count.max(1);
        }
        self.matches = self.matches.saturating_add(1);
        if self.matches != self.next {
            return Outcome::Silent;
        }
        // One that does not grow would tell nothing more: it tells the next one.
        self.next = self.next.saturating_mul(threshold.multiplier).max(self.next.saturating_add(1));
        Outcome::Alert
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::Track;

    /// `A`: alert, `s`: silent, `.`: nothing, for matches at these seconds.
    fn told(kind: ThresholdKind, count: u32, seconds: u32, multiplier: u32, at: &[u64]) -> String {
        let threshold = Threshold { kind, track: Track::BySource, count, seconds, multiplier };
        let mut counter = Counter::default();
        at.iter().map(|second| letter(counter.count(&threshold, (100 + second) * SECOND_NS))).collect()
    }

    const fn letter(outcome: Outcome) -> char {
        match outcome {
            Outcome::Alert => 'A',
            Outcome::Silent => 's',
            Outcome::Nothing => '.',
        }
    }

    #[test]
    fn a_limit_tells_the_first_of_each_window() {
        let limit = |count, at: &[u64]| told(ThresholdKind::Limit, count, 10, 1, at);
        assert_eq!(limit(1, &[0, 1, 10, 11, 12, 21, 22]), "AssAssA");
        assert_eq!(limit(2, &[0, 1, 2, 3, 11]), "AAssA");
    }

    #[test]
    fn a_threshold_tells_each_so_many_of_a_window() {
        let threshold = |count, at: &[u64]| told(ThresholdKind::Threshold, count, 10, 1, at);
        assert_eq!(threshold(3, &[0, 1, 2, 3, 4, 5, 6]), "..A..A.");
        assert_eq!(threshold(3, &[0, 1, 20, 21, 22]), "....A");
        assert_eq!(threshold(1, &[0, 1, 20]), "AAA");
    }

    #[test]
    fn both_tells_once_a_window() {
        let both = |count, at: &[u64]| told(ThresholdKind::Both, count, 10, 1, at);
        assert_eq!(both(2, &[0, 1, 2, 3, 11, 12, 13]), ".Ass.As");
        assert_eq!(both(1, &[0, 1, 11, 12]), "AsAs");
    }

    #[test]
    fn backing_off_tells_ever_less() {
        let at: Vec<u64> = (0..20).collect();
        assert_eq!(told(ThresholdKind::Backoff, 1, 0, 2, &at), "AAsAsssAsssssssAssss");
        assert_eq!(told(ThresholdKind::Backoff, 3, 0, 4, &at[..13]), "ssAssssssssAs");
        assert_eq!(told(ThresholdKind::Backoff, 1, 0, 1, &at[..3]), "AAA");
    }

    #[test]
    fn a_filter_tells_what_comes_after_its_count() {
        let filter = DetectionFilter { track: Track::BySource, count: 2, seconds: 10, unique_on: None };
        let mut counter = Counter::default();
        let told: String = [0, 1, 2, 3, 30, 31, 32]
            .iter()
            .map(|second| letter(counter.filter(&filter, (100 + second) * SECOND_NS)))
            .collect();
        assert_eq!(told, "..AA..A");
    }

    #[test]
    fn counters_do_not_overflow() {
        let mut counter = Counter { since_ns: u64::MAX - 1, matches: u32::MAX, next: u32::MAX };
        let threshold = Threshold {
            kind: ThresholdKind::Limit,
            track: Track::BySource,
            count: 1,
            seconds: u32::MAX,
            multiplier: 1,
        };
        assert_eq!(counter.count(&threshold, u64::MAX), Outcome::Silent);
        let backoff = Threshold { kind: ThresholdKind::Backoff, multiplier: u32::MAX, ..threshold };
        assert_eq!(counter.count(&backoff, 0), Outcome::Alert);
    }
}
