//! Which row answers for this address or port? The innermost of nested prefixes, found by a bucket and a short search.
//!
//! Ranges are cut into prefixes, which are nested or disjoint; the innermost prefix of every stretch of the number
//! line is known beforehand, and its row is continued by the row of the prefix around it. Memory is linear in the
//! prefixes written, not in the policies that overlap.

use super::rows::{NONE, Rows};

/// A row with few policies is copied into the rows inside it rather than visited by every walk.
const COPIED_MAX: usize = 32;
/// Buckets of the upper level at most: 256 KiB, which the second cache holds.
const BUCKETS_MAX: usize = 1 << 16;
/// Buckets for each stretch, so that most keys are found without a search.
const BUCKETS_A_STRETCH: usize = 2;

/// What numbers can be looked up.
pub(super) trait Key: Copy + Ord + Default + Into<u128> {
    const LAST: u128;

    fn from_wide(value: u128) -> Self;

    /// How many spans of 2^`shift` are between `first` and this.
    fn spans_from(self, first: Self, shift: u32) -> usize;
}

impl Key for u32 {
    const LAST: u128 = Self::MAX as u128;

    fn from_wide(value: u128) -> Self {
        value as Self
    }

    #[inline]
    fn spans_from(self, first: Self, shift: u32) -> usize {
        (self.saturating_sub(first) >> shift) as usize
    }
}

impl Key for u128 {
    const LAST: u128 = Self::MAX;

    fn from_wide(value: u128) -> Self {
        value
    }

    #[inline]
    fn spans_from(self, first: Self, shift: u32) -> usize {
        usize::try_from(self.saturating_sub(first) >> shift).unwrap_or(usize::MAX)
    }
}

/// Maps every number to a row.
#[derive(Debug)]
pub(super) struct Prefixes<K> {
    /// First number of each stretch, ascending; starts with 0.
    starts: Vec<K>,
    /// The row of each stretch.
    rows: Vec<u32>,
    /// The stretch that holds the first number of each bucket, and the last stretch. Buckets are 2^`shift` numbers
    /// each and begin with `bucketed_from`; numbers below and above belong to the first and the last.
    buckets: Vec<u32>,
    bucketed_from: K,
    shift: u32,
}

/// A prefix as first and last number, and the slot of a policy that names it.
pub(super) type Entry = (u128, u128, u32);

/// The union of two ascending lists.
fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        out.push(*x.min(y));
        (i, j) = (i + usize::from(x <= y), j + usize::from(y <= x));
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out
}

/// A set of policies on its way to becoming a row, with the rows that continue it.
#[derive(Debug, Clone)]
struct Source {
    slots: Vec<u32>,
    next: u32,
    row: u32,
}

impl Source {
    /// No policy.
    const NOTHING: Self = Self { slots: Vec::new(), next: NONE, row: NONE };

    /// `slots` and what is around them.
    fn inside(&self, rows: &mut Rows, slots: &[u32]) -> Self {
        let (slots, next) = if self.slots.len() <= COPIED_MAX {
            (union(slots, &self.slots), self.next)
        } else {
            (slots.to_vec(), self.row)
        };
        let row = rows.push(&slots, next);
        Self { slots, next, row }
    }
}

impl<K: Key> Prefixes<K> {
    /// Builds from prefixes that are nested or disjoint, in any order; outside all of them there is no row.
    pub(super) fn build(rows: &mut Rows, mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by(|a, b| (a.0, b.1, a.2).cmp(&(b.0, a.1, b.2)));
        let mut index = Self {
            starts: vec![K::default()],
            rows: vec![NONE],
            buckets: Vec::new(),
            bucketed_from: K::default(),
            shift: 0,
        };
        // Prefixes that hold the place reached, outermost first.
        let mut around: Vec<(u128, Source)> = Vec::new();
        let mut slots = Vec::new();
        for group in entries.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (first, last, _) = group[0];
            index.leave(&mut around, first);
            slots.clear();
            slots.extend(group.iter().map(|entry| entry.2));
            slots.dedup();
            let source = around.last().map_or(&Source::NOTHING, |(_, source)| source).inside(rows, &slots);
            index.mark(first, source.row);
            around.push((last, source));
        }
        while let Some((last, _)) = around.pop() {
            // What ends with the last number of the line has nothing after it.
            if last < K::LAST {
                index.mark(last + 1, around.last().map_or(NONE, |(_, source)| source.row));
            }
        }
        index.bucket();
        index
    }

    /// Lays buckets over the numbers between the first and the last prefix.
    fn bucket(&mut self) {
        let first = self.starts.get(1).copied().unwrap_or_default();
        let last = self.starts.last().copied().unwrap_or_default();
        let most = (self.starts.len() * BUCKETS_A_STRETCH).next_power_of_two().min(BUCKETS_MAX);
        self.bucketed_from = first;
        self.shift = (0..128).find(|shift| last.spans_from(first, *shift) < most).unwrap_or_default();
        let mut stretch = 0;
        for bucket in 0..=last.spans_from(first, self.shift) {
            // What is below the first prefix is in the first bucket too.
            let from = if bucket == 0 { 0 } else { first.into() + ((bucket as u128) << self.shift) };
            let behind = |start: &&K| (**start).into() <= from;
            stretch += self.starts[stretch + 1..].iter().take_while(behind).count();
            self.buckets.push(stretch as u32);
        }
        self.buckets.push((self.starts.len() - 1) as u32);
    }

    /// Closes the prefixes that end before `place`.
    fn leave(&mut self, around: &mut Vec<(u128, Source)>, place: u128) {
        while let Some((last, _)) = around.pop_if(|(last, _)| *last < place) {
            let row = around.last().map_or(NONE, |(_, source)| source.row);
            self.mark(last + 1, row);
        }
    }

    fn mark(&mut self, start: u128, row: u32) {
        let start = K::from_wide(start);
        if self.starts.last() == Some(&start) {
            self.rows.pop();
            self.rows.push(row);
        } else {
            self.starts.push(start);
            self.rows.push(row);
        }
    }

    /// The row for `key`, or [`NONE`].
    #[inline]
    pub(super) fn row(&self, key: K) -> u32 {
        let bucket = key.spans_from(self.bucketed_from, self.shift).min(self.buckets.len() - 2);
        let (from, to) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        let behind = self.starts[from + 1..=to].partition_point(|start| *start <= key);
        self.rows[from + behind]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<K>() + (self.rows.capacity() + self.buckets.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_are_sorted_and_distinct() {
        assert_eq!(union(&[1, 3, 5], &[2, 3, 9]), [1, 2, 3, 5, 9]);
        assert_eq!(union(&[], &[4]), [4]);
    }
}
