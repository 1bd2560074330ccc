//! A table of counters that does not grow without end, whoever makes rules match.

use std::collections::HashMap;
use std::hash::Hash;

use super::SECOND_NS;

/// Counters of one table. Some 90 bytes each in twice as many places: 12 MB where it is full.
pub(super) const COUNTERS_MAX: usize = 65_536;

/// What says itself until when it counts.
pub(super) trait Lasting: Default {
    /// When it may be forgotten, nanoseconds.
    fn until_ns(&self) -> u64;
}

/// Counters by key. Where there are as many as may be, those whose time is over go, once a second at most: a flood of new keys
/// costs one look each.
#[derive(Debug)]
pub(super) struct Bounded<K, T> {
    counters: HashMap<K, T, foldhash::quality::RandomState>,
    swept_ns: Option<u64>,
}

impl<K, T> Default for Bounded<K, T> {
    fn default() -> Self {
        Self { counters: HashMap::default(), swept_ns: None }
    }
}

impl<K: Eq + Hash, T: Lasting> Bounded<K, T> {
    /// The counter of `key`, which begins where it is not there; `None`: there is no room.
    pub(super) fn of(&mut self, key: K, now_ns: u64) -> Option<&mut T> {
        if self.counters.len() >= COUNTERS_MAX && !self.counters.contains_key(&key) {
            let is_due = self.swept_ns.is_none_or(|swept_ns| now_ns.abs_diff(swept_ns) >= SECOND_NS);
            if is_due {
                self.counters.retain(|_, counter| counter.until_ns() >= now_ns);
                self.swept_ns = Some(now_ns);
            }
            if self.counters.len() >= COUNTERS_MAX {
                return None;
            }
        }
        Some(self.counters.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Until(u64);

    impl Lasting for Until {
        fn until_ns(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_full_table_forgets_what_is_over_once_a_second() {
        let mut table = Bounded::<usize, Until>::default();
        for key in 0..COUNTERS_MAX {
            // The first hundred are over soon.
            let until_ns = if key < 100 { 5 } else { 60 * SECOND_NS };
            if let Some(one) = table.of(key, 0) {
                one.0 = until_ns;
            }
        }
        assert!(table.of(COUNTERS_MAX, 1).is_none(), "nothing is over");
        assert!(table.of(3, 1).is_some(), "what is there stays");
        assert!(table.of(COUNTERS_MAX, 10).is_none(), "it is not looked through for each");
        assert!(table.of(COUNTERS_MAX, 2 * SECOND_NS).is_some());
        assert_eq!(table.counters.len(), COUNTERS_MAX - 99);
    }
}
