//! Does a match count as an alert? Counters of rules by whom they are counted.

use super::SECOND_NS;
use super::bounded::{Bounded, Lasting};
use super::flow::Counters;
use crate::parse::Addr;
use crate::rules::counting::{Counter, Outcome};
use crate::rules::rule::{DetectionFilter, Rule, Track, UniqueOn};

/// Counters of all rules, beside those of single flows. Where there is no room for one more, a match is told.
#[derive(Debug, Default)]
pub(super) struct Thresholds {
    counters: Bounded<Key, Kept>,
}

/// A counter, and until when it counts.
#[derive(Debug, Default)]
struct Kept {
    counter: Counter,
    until_ns: u64,
    /// Ports that were met in the window, where only different ones count.
    ports: Vec<u16>,
}

impl Lasting for Kept {
    fn until_ns(&self) -> u64 {
        self.until_ns
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    /// Generator and number: a place in the set is another rule's after a reload.
    rule: (u32, u32),
    /// A threshold and a filter of one rule count for themselves.
    is_filter: bool,
    by: (Addr, Addr),
}

/// A match that is counted.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    pub src: (Addr, u16),
    pub dst: (Addr, u16),
    pub at_ns: u64,
    /// The counters of the match's flow.
    pub flow: &'a mut Counters,
}

/// By whom a match between two is counted.
pub(super) fn tracked(track: Track, src: Addr, dst: Addr) -> (Addr, Addr) {
    let none = Addr::default();
    match track {
        Track::BySource => (src, none),
        Track::ByDestination => (none, dst),
        // Either way it is the same pair.
        Track::ByBoth => (src.min(dst), src.max(dst)),
        Track::ByRule | Track::ByFlow => (none, none),
    }
}

impl Thresholds {
    /// Whether a match is told; `None`: it does not count at all.
    pub(super) fn count(&mut self, number: u32, rule: &Rule, counted: &mut Counted<'_>) -> Option<bool> {
        let (mut is_told, at_ns) = (true, counted.at_ns);
        let mut take = |outcome| match outcome {
            Outcome::Alert => Some(()),
            Outcome::Silent => {
                is_told = false;
                Some(())
            }
            Outcome::Nothing => None,
        };
        if let Some(filter) = &rule.detection_filter {
            let port = filter.unique_on.map(|on| match on {
                UniqueOn::SourcePort => counted.src.1,
                UniqueOn::DestinationPort => counted.dst.1,
            });
            if filter.track == Track::ByFlow {
                // Ports of a flow are what they are.
                if let Some(counter) = counted.flow.of(number)
                    && (port.is_none() || counter.matches == 0)
                {
                    take(counter.filter(filter, at_ns))?;
                }
            } else if let Some(kept) = self.kept(rule, true, (filter.track, filter.seconds), counted) {
                take(kept.filter(filter, port, at_ns))?;
            }
        }
        if let Some(threshold) = &rule.threshold {
            if threshold.track == Track::ByFlow {
                if let Some(counter) = counted.flow.of(number) {
                    take(counter.count(threshold, at_ns))?;
                }
            } else if let Some(kept) = self.kept(rule, false, (threshold.track, threshold.seconds), counted) {
                take(kept.counter.count(threshold, at_ns))?;
            }
        }
        Some(is_told)
    }

    /// The counter of a match; `None`: there is no room.
    fn kept(
        &mut self,
        rule: &Rule,
        is_filter: bool,
        (track, seconds): (Track, u32),
        counted: &Counted<'_>,
    ) -> Option<&mut Kept> {
        let by = tracked(track, counted.src.0, counted.dst.0);
        let key = Key { rule: (rule.generator, rule.sid), is_filter, by };
        let kept = self.counters.of(key, counted.at_ns)?;
        kept.until_ns = counted.at_ns.saturating_add(u64::from(seconds) * SECOND_NS);
        Some(kept)
    }
}

impl Kept {
    /// Counts a match for `filter`; of one `port` only the first in the window.
    fn filter(&mut self, filter: &DetectionFilter, port: Option<u16>, at_ns: u64) -> Outcome {
        let Some(port) = port else { return self.counter.filter(filter, at_ns) };
        if !self.counter.has_window(filter.seconds, at_ns) {
            self.ports.clear();
        }
        if self.ports.contains(&port) {
            return self.counter.filtered(filter);
        }
        // More than are asked for need not be told apart.
        if self.ports.len() <= filter.count.min(PORTS_MAX) as usize {
            self.ports.push(port);
        }
        self.counter.filter(filter, at_ns)
    }
}

/// Ports of one counter that are told apart.
const PORTS_MAX: u32 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ports_only_different_ones_count() {
        let filter = DetectionFilter {
            track: Track::BySource,
            count: 2,
            seconds: 10,
            unique_on: Some(UniqueOn::DestinationPort),
        };
        let mut kept = Kept::default();
        let mut told = |port, second: u64| {
            kept.filter(&filter, Some(port), (100 + second) * SECOND_NS) == Outcome::Alert
        };
        assert!(!told(1, 0) && !told(1, 1) && !told(2, 2) && !told(1, 3));
        assert!(told(3, 4) && told(1, 5), "more than two were met");
        assert!(!told(1, 20) && !told(2, 21), "a window later they count anew");
    }
}
