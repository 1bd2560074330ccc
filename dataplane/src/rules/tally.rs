//! How often did each rule match, and when last? Each worker counts for itself; who asks adds up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Matches of the rules of one set that made alerts or verdicts.
#[derive(Debug, Default)]
pub struct Tally {
    /// One a worker, so that no two write to the same place.
    lanes: Box<[Box<[Cell]>]>,
    /// The lane that is given next.
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Cell {
    count: AtomicU64,
    last_ns: AtomicU64,
}

/// How often a rule matched, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// Matches.
    pub count: u64,
    /// The last one, nanoseconds since 1970; 0: none.
    pub last_ns: u64,
}

impl Hits {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), last_ns: self.last_ns.max(other.last_ns) }
    }
}

impl Tally {
    /// For so many workers and rules.
    pub(super) fn new(workers: usize, rules: usize) -> Self {
        let lane = || (0..rules).map(|_| Cell::default()).collect();
        Self { lanes: (0..workers.max(1)).map(|_| lane()).collect(), next: AtomicUsize::new(0) }
    }

    /// A lane for who counts from now on. Where more count than were announced, some share: nothing is lost then either.
    pub(super) fn lane(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len().max(1)
    }

    /// A rule matched.
    pub(super) fn count(&self, lane: usize, rule: u32, at_ns: u64) {
        if let Some(cell) = self.lanes.get(lane).and_then(|lane| lane.get(rule as usize)) {
            cell.count.fetch_add(1, Ordering::Relaxed);
            cell.last_ns.fetch_max(at_ns, Ordering::Relaxed);
        }
    }

    /// Matches of a rule, of all workers.
    #[must_use]
    pub fn of(&self, rule: usize) -> Hits {
        let cells = self.lanes.iter().filter_map(|lane| lane.get(rule));
        cells.fold(Hits::default(), |sum, cell| {
            sum.and(Hits {
                count: cell.count.load(Ordering::Relaxed),
                last_ns: cell.last_ns.load(Ordering::Relaxed),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_add_up_also_where_two_share_one() {
        let tally = Tally::new(2, 3);
        let lanes = [tally.lane(), tally.lane(), tally.lane()];
        assert_eq!(lanes, [0, 1, 0]);
        for (lane, at_ns) in lanes.into_iter().zip([5, 9, 7]) {
            tally.count(lane, 1, at_ns);
        }
        // What there is not is not counted.
        tally.count(0, 3, 1);
        tally.count(2, 0, 1);
        assert_eq!(tally.of(1), Hits { count: 3, last_ns: 9 });
        assert_eq!((tally.of(0), tally.of(3)), (Hits::default(), Hits::default()));
    }
}
