//! Which of very many are the greatest, in bounded memory?
//!
//! A table of what was seen, in the manner of Space-Saving (Metwally, Agrawal, El Abbadi, 2005) with its evictions in batches
//! (Anderson et al., 2017): when it is full, the lesser half goes, and the greatest of what went is how much may be missing of
//! whatever is not there. Whoever comes again starts with that much unknown. So of each key that is there `weight` is counted
//! exactly since it came, at most `missed_max` was before; and no key that is not there has more than [`Heavy::absent_max`].

use std::collections::HashMap;
use std::hash::Hash;

/// What is summed of a key.
pub(super) trait Weighed: Clone + Default {
    /// By what keys are compared.
    fn weight(&self) -> u64;
    /// Both as one.
    fn add(&mut self, more: &Self);
}

/// Sums of a key, and how much of its weight may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tracked<S> {
    pub(super) sums: S,
    pub(super) missed_max: u64,
}

impl<S: Weighed> Tracked<S> {
    fn upper(&self) -> u64 {
        self.sums.weight().saturating_add(self.missed_max)
    }
}

/// The greatest of very many keys.
#[derive(Debug, Clone)]
pub(super) struct Heavy<K, S> {
    keep: usize,
    keys: HashMap<K, Tracked<S>>,
    absent_max: u64,
}

impl<K: Clone + Eq + Hash, S: Weighed> Heavy<K, S> {
    /// Keeps at least `keep` keys, twice as many at most.
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, keys: HashMap::new(), absent_max: 0 }
    }

    /// Counts.
    pub(super) fn add(&mut self, key: &K, more: &S) {
        if let Some(tracked) = self.keys.get_mut(key) {
            tracked.sums.add(more);
            return;
        }
        if self.keys.len() >= 2 * self.keep {
            self.prune();
        }
        let missed_max = self.absent_max;
        self.keys.insert(key.clone(), Tracked { sums: more.clone(), missed_max });
    }

    /// Each key costs this once in `keep` insertions.
    fn prune(&mut self) {
        let mut uppers: Vec<u64> = self.keys.values().map(Tracked::upper).collect();
        if uppers.len() <= self.keep {
            return;
        }
        let (_, cut, _) = uppers.select_nth_unstable_by(self.keep, |a, b| b.cmp(a));
        let cut = *cut;
        // Those at the cut go too: no more than `keep` are greater.
        self.keys.retain(|_key, tracked| tracked.upper() > cut);
        self.absent_max = self.absent_max.max(cut);
    }

    /// The most that a key may have that is not there.
    pub(super) const fn absent_max(&self) -> u64 {
        self.absent_max
    }

    /// All that are there.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Tracked<S>)> {
        self.keys.iter()
    }

    /// Both as one, with all keys of both: bounded by what goes in.
    pub(super) fn merge(&mut self, other: &Self) {
        for (key, tracked) in &mut self.keys {
            if !other.keys.contains_key(key) {
                tracked.missed_max = tracked.missed_max.saturating_add(other.absent_max);
            }
        }
        for (key, more) in &other.keys {
            let absent_max = self.absent_max;
            let tracked = self
                .keys
                .entry(key.clone())
                .or_insert_with(|| Tracked { sums: S::default(), missed_max: absent_max });
            tracked.sums.add(&more.sums);
            tracked.missed_max = tracked.missed_max.saturating_add(more.missed_max);
        }
        self.absent_max = self.absent_max.saturating_add(other.absent_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    impl Weighed for u64 {
        fn weight(&self) -> u64 {
            *self
        }
        fn add(&mut self, more: &Self) {
            *self += more;
        }
    }

    /// Numbers that look random and are always the same (Knuth's MMIX).
    fn numbers() -> impl Iterator<Item = u64> {
        std::iter::successors(Some(1_u64), |x| {
            Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        })
        .map(|x| x >> 33)
    }

    fn holds(heavy: &Heavy<u64, u64>, truth: &HashMap<u64, u64>) {
        for (key, true_weight) in truth {
            match heavy.keys.get(key) {
                Some(tracked) => {
                    assert!(tracked.sums <= *true_weight && *true_weight <= tracked.upper(), "{key}");
                }
                None => assert!(*true_weight <= heavy.absent_max(), "{key}: {true_weight}"),
            }
        }
    }

    #[test]
    fn what_is_told_is_within_its_bounds() {
        let mut heavy = Heavy::new(64);
        let mut truth = HashMap::new();
        let mut numbers = numbers();
        for round in 0..100_000_u64 {
            // A few that are heavy among thousands that are not.
            let key = if round % 4 == 0 { round / 4 % 8 } else { 100 + numbers.next().unwrap() % 20_000 };
            let weight = if key < 8 { 1_000 * (key + 1) } else { 1 + numbers.next().unwrap() % 100 };
            heavy.add(&key, &weight);
            *truth.entry(key).or_insert(0) += weight;
            assert!(heavy.keys.len() <= 128);
        }
        holds(&heavy, &truth);
        assert!(heavy.absent_max() > 0 && heavy.absent_max() < truth[&0], "{}", heavy.absent_max());
        for key in 0..8 {
            assert_eq!(heavy.keys[&key].sums, truth[&key], "the heavy ones never went");
        }
    }

    #[test]
    fn bounds_hold_for_what_was_merged() {
        let (mut one, mut other) = (Heavy::new(16), Heavy::new(16));
        let mut truth = HashMap::new();
        for (nth, number) in numbers().take(4_000).enumerate() {
            let (key, weight) = (number % 300, 1 + number % 77);
            if nth % 2 == 0 { &mut one } else { &mut other }.add(&key, &weight);
            *truth.entry(key).or_insert(0) += weight;
        }
        one.merge(&other);
        holds(&one, &truth);
    }
}
