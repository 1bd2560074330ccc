//! What does trying each rule cost? Measured while somebody wants to know, by each worker for itself; who asks adds up.
//!
//! Off, a try costs one look at a flag, and no clock is read. On, it costs two looks at the clock and four sums without a lock. The
//! clock comes from who turns it on: nothing here knows what time it is. Until the first time nothing is allocated.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that goes on evenly, nanoseconds.
pub type Clock = fn() -> u64;

/// What tries of the rules of one set cost.
#[derive(Debug, Default)]
pub struct Profile {
    workers: usize,
    rules: usize,
    /// Until when it is measured; 0: it is not.
    until_ns: AtomicU64,
    began_ns: AtomicU64,
    /// When it was over; meaningless while it is measured.
    ended_ns: AtomicU64,
    measured: OnceLock<Measured>,
}

#[derive(Debug)]
struct Measured {
    clock: Clock,
    /// One a worker, so that no two write to the same place.
    lanes: Box<[Box<[Cell]>]>,
}

#[derive(Debug, Default)]
struct Cell {
    checks: AtomicU64,
    matches: AtomicU64,
    total_ns: AtomicU64,
    max_ns: AtomicU64,
}

/// What trying one rule cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Times that it was tried, its patterns having been found.
    pub checks: u64,
    /// Tries that matched.
    pub matches: u64,
    /// Time of all tries, nanoseconds.
    pub total_ns: u64,
    /// Time of the longest, nanoseconds.
    pub max_ns: u64,
}

/// How long it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// So far, nanoseconds.
    pub measured_ns: u64,
    /// Until it ends by itself; `None`: it is over.
    pub left_ns: Option<u64>,
}

/// When a try began; nothing where nobody wants to know.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(super) struct Begun(Option<u64>);

impl Profile {
    /// Of so many workers and rules.
    pub(super) fn new(workers: usize, rules: usize) -> Self {
        Self { workers: workers.max(1), rules, ..Self::default() }
    }

    /// Measures from now on, from zero, for so long; tries under way count to neither.
    pub fn start(&self, clock: Clock, for_ns: u64) {
        let lane = || (0..self.rules).map(|_| Cell::default()).collect();
        let lanes = || (0..self.workers).map(|_| lane()).collect();
        let measured = self.measured.get_or_init(|| Measured { clock, lanes: lanes() });
        // Relaxed throughout: each number stands for itself, and a try that ends in between is one of millions.
        self.until_ns.store(0, Ordering::Relaxed);
        measured.lanes.iter().flatten().for_each(Cell::clear);
        let now_ns = (measured.clock)();
        self.began_ns.store(now_ns, Ordering::Relaxed);
        self.until_ns.store(now_ns.saturating_add(for_ns).max(1), Ordering::Relaxed);
    }

    /// Measures no more; what was measured stays.
    pub fn stop(&self) {
        let Some(measured) = self.measured.get() else { return };
        let until_ns = self.until_ns.swap(0, Ordering::Relaxed);
        if until_ns > 0 {
            self.ended_ns.store(until_ns.min((measured.clock)()), Ordering::Relaxed);
        }
    }

    /// How long it was measured; `None`: it never was.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let now_ns = (self.measured.get()?.clock)();
        let began_ns = self.began_ns.load(Ordering::Relaxed);
        let until_ns = self.until_ns.load(Ordering::Relaxed);
        let (end_ns, left_ns) = match until_ns {
            0 => (self.ended_ns.load(Ordering::Relaxed), None),
            until_ns if until_ns <= now_ns => (until_ns, None),
            until_ns => (now_ns, Some(until_ns - now_ns)),
        };
        Some(Span { measured_ns: end_ns.saturating_sub(began_ns), left_ns })
    }

    /// What trying a rule cost, of all workers.
    #[must_use]
    pub fn of(&self, rule: usize) -> Cost {
        let lanes = self.measured.get().map_or(&[][..], |measured| &measured.lanes);
        lanes.iter().filter_map(|lane| lane.get(rule)).fold(Cost::default(), |sum, cell| Cost {
            checks: sum.checks + cell.checks.load(Ordering::Relaxed),
            matches: sum.matches + cell.matches.load(Ordering::Relaxed),
            total_ns: sum.total_ns + cell.total_ns.load(Ordering::Relaxed),
            max_ns: sum.max_ns.max(cell.max_ns.load(Ordering::Relaxed)),
        })
    }

    /// A try begins.
    #[inline]
    pub(super) fn begin(&self) -> Begun {
        match self.until_ns.load(Ordering::Relaxed) {
            0 => Begun(None),
            until_ns => self.begin_measured(until_ns),
        }
    }

    /// A try is over.
    #[inline]
    pub(super) fn end(&self, begun: Begun, lane: usize, rule: u32, is_match: bool) {
        if let Begun(Some(began_ns)) = begun {
            self.note(began_ns, lane, rule, is_match);
        }
    }

    #[cold]
    fn begin_measured(&self, until_ns: u64) -> Begun {
        let Some(measured) = self.measured.get() else { return Begun(None) };
        let now_ns = (measured.clock)();
        if now_ns < until_ns {
            return Begun(Some(now_ns));
        }
        // Its time is over: from here on no clock is read. Whoever turned it on again meanwhile goes before.
        let over = self.until_ns.compare_exchange(until_ns, 0, Ordering::Relaxed, Ordering::Relaxed);
        if over.is_ok() {
            self.ended_ns.store(until_ns, Ordering::Relaxed);
        }
        Begun(None)
    }

    #[cold]
    fn note(&self, began_ns: u64, lane: usize, rule: u32, is_match: bool) {
        let Some(measured) = self.measured.get() else { return };
        let Some(cell) = measured.lanes.get(lane).and_then(|lane| lane.get(rule as usize)) else { return };
        let took_ns = (measured.clock)().saturating_sub(began_ns);
        cell.checks.fetch_add(1, Ordering::Relaxed);
        cell.matches.fetch_add(u64::from(is_match), Ordering::Relaxed);
        cell.total_ns.fetch_add(took_ns, Ordering::Relaxed);
        cell.max_ns.fetch_max(took_ns, Ordering::Relaxed);
    }
}

impl Cell {
    fn clear(&self) {
        for number in [&self.checks, &self.matches, &self.total_ns, &self.max_ns] {
            number.store(0, Ordering::Relaxed);
        }
    }
}

impl Cost {
    /// Time of a try, nanoseconds.
    #[must_use]
    pub const fn average_ns(&self) -> u64 {
        match self.checks {
            0 => 0,
            checks => self.total_ns / checks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that goes on by 10 each time it is read, and counts that.
    macro_rules! clock {
        ($read:ident, $clock:ident) => {
            static $read: AtomicU64 = AtomicU64::new(100);
            fn $clock() -> u64 {
                $read.fetch_add(10, Ordering::Relaxed)
            }
        };
    }

    fn try_it(profile: &Profile, lane: usize, is_match: bool) {
        let begun = profile.begin();
        profile.end(begun, lane, 1, is_match);
    }

    #[test]
    fn tries_of_all_workers_are_added_up_while_somebody_wants_to_know() {
        clock!(READ, clock);
        let profile = Profile::new(2, 3);
        try_it(&profile, 0, true);
        assert_eq!((profile.of(1), profile.span()), (Cost::default(), None));
        profile.start(clock, 1_000_000);
        try_it(&profile, 0, true);
        let begun = profile.begin();
        READ.fetch_add(30, Ordering::Relaxed);
        profile.end(begun, 1, 1, false);
        let cost = profile.of(1);
        assert_eq!(cost, Cost { checks: 2, matches: 1, total_ns: 50, max_ns: 40 });
        assert_eq!((cost.average_ns(), profile.of(0), profile.of(9)), (25, Cost::default(), Cost::default()));
        profile.stop();
        let (read, span) = (READ.load(Ordering::Relaxed), profile.span());
        try_it(&profile, 0, true);
        assert_eq!(profile.of(1), cost);
        assert_eq!(READ.load(Ordering::Relaxed), read + 10, "only to tell the span");
        assert!(span.is_some_and(|span| span.left_ns.is_none() && span.measured_ns > 0), "{span:?}");
        profile.start(clock, 1_000_000);
        assert_eq!(profile.of(1), Cost::default(), "it begins from zero");
    }

    #[test]
    fn it_ends_by_itself_and_reads_no_clock_then() {
        clock!(READ, clock);
        let profile = Profile::new(1, 2);
        profile.start(clock, 35);
        try_it(&profile, 0, true);
        try_it(&profile, 0, true);
        assert_eq!(profile.of(1).checks, 2, "what began in time counts");
        try_it(&profile, 0, true);
        let read = READ.load(Ordering::Relaxed);
        try_it(&profile, 0, true);
        assert_eq!((profile.of(1).checks, READ.load(Ordering::Relaxed)), (2, read));
        assert_eq!(profile.span(), Some(Span { measured_ns: 35, left_ns: None }));
    }
}
