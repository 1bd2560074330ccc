//! Which row answers for this address or port? The innermost of nested prefixes, found by one binary search.
//!
//! Ranges are cut into prefixes, which are nested or disjoint; the innermost prefix of every stretch of the number
//! line is known beforehand, and its row is continued by the row of the prefix around it. Memory is linear in the
//! prefixes written, not in the policies that overlap.

use super::rows::{NONE, Rows};

/// A row with few policies is copied into the rows inside it rather than visited by every walk.
const COPIED_MAX: usize = 96;
/// Keys between two samples of the upper search level: one page of it stays in the nearest cache.
const STRIDE: usize = 64;

/// What numbers can be looked up.
pub(super) trait Key: Copy + Ord + Default {
    const LAST: u128;

    fn from_wide(value: u128) -> Self;
}

impl Key for u32 {
    const LAST: u128 = Self::MAX as u128;

    fn from_wide(value: u128) -> Self {
        value as Self
    }
}

impl Key for u128 {
    const LAST: u128 = Self::MAX;

    fn from_wide(value: u128) -> Self {
        value
    }
}

/// Maps every number to a row.
#[derive(Debug)]
pub(super) struct Prefixes<K> {
    /// First number of each stretch, ascending; starts with 0.
    starts: Vec<K>,
    /// The row of each stretch.
    rows: Vec<u32>,
    /// Every [`STRIDE`]th start.
    samples: Vec<K>,
}

/// A prefix as first and last number, and the rank of a policy that names it.
pub(super) type Entry = (u128, u128, u32);

/// Cuts `first..=last` into prefixes (at most two for each bit).
pub(super) fn cut(first: u128, last: u128, mut emit: impl FnMut(u128, u128)) {
    let mut at = first;
    loop {
        // The largest aligned power of two that starts here and does not pass the end.
        let span = last - at;
        let fits = if span == u128::MAX { 128 } else { (span + 1).ilog2() };
        let bits = at.trailing_zeros().min(fits);
        let end = if bits >= 128 { u128::MAX } else { at + ((1 << bits) - 1) };
        emit(at, end);
        if end >= last {
            return;
        }
        at = end + 1;
    }
}

/// The union of two ascending lists.
pub(super) fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
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
pub(super) struct Source {
    pub(super) ranks: Vec<u32>,
    pub(super) next: u32,
    pub(super) row: u32,
}

impl Source {
    /// The policies that do not ask for a dimension; no row where there are none.
    pub(super) fn root(rows: &mut Rows, ranks: Vec<u32>) -> Self {
        let row = if ranks.is_empty() { NONE } else { rows.push(&ranks, NONE) };
        Self { ranks, next: NONE, row }
    }

    /// `ranks` and what is around them.
    pub(super) fn inside(&self, rows: &mut Rows, ranks: &[u32]) -> Self {
        let (ranks, next) = if self.ranks.len() <= COPIED_MAX {
            (union(ranks, &self.ranks), self.next)
        } else {
            (ranks.to_vec(), self.row)
        };
        let row = rows.push(&ranks, next);
        Self { ranks, next, row }
    }
}

impl<K: Key> Prefixes<K> {
    /// Builds from prefixes that are nested or disjoint, in any order; `root` answers outside all of them.
    pub(super) fn build(rows: &mut Rows, entries: &mut [Entry], root: &Source) -> Self {
        entries.sort_unstable_by(|a, b| (a.0, b.1, a.2).cmp(&(b.0, a.1, b.2)));
        let mut index = Self { starts: vec![K::default()], rows: vec![root.row], samples: Vec::new() };
        // Prefixes that hold the place reached, outermost first.
        let mut around: Vec<(u128, Source)> = Vec::new();
        let mut ranks = Vec::new();
        for group in entries.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (first, last, _) = group[0];
            index.leave(&mut around, first, root);
            ranks.clear();
            ranks.extend(group.iter().map(|entry| entry.2));
            ranks.dedup();
            let source = around.last().map_or(root, |(_, source)| source).inside(rows, &ranks);
            index.mark(first, source.row);
            around.push((last, source));
        }
        while let Some((last, _)) = around.pop() {
            // What ends with the last number of the line has nothing after it.
            if last < K::LAST {
                index.mark(last + 1, around.last().map_or(root, |(_, source)| source).row);
            }
        }
        index.samples = index.starts.iter().copied().step_by(STRIDE).collect();
        index
    }

    /// Closes the prefixes that end before `place`.
    fn leave(&mut self, around: &mut Vec<(u128, Source)>, place: u128, root: &Source) {
        while let Some((last, _)) = around.pop_if(|(last, _)| *last < place) {
            let row = around.last().map_or(root, |(_, source)| source).row;
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
        let sample = self.samples.partition_point(|start| *start <= key) - 1;
        let from = sample * STRIDE;
        let to = (from + STRIDE).min(self.starts.len());
        let within = self.starts[from..to].partition_point(|start| *start <= key) - 1;
        self.rows[from + within]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.starts.capacity() + self.samples.capacity()) * size_of::<K>() + self.rows.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_into_the_fewest_prefixes() {
        let cut_all = |first, last| {
            let mut out = Vec::new();
            cut(first, last, |a, b| out.push((a, b)));
            out
        };
        assert_eq!(cut_all(0, u128::MAX), [(0, u128::MAX)]);
        assert_eq!(cut_all(0, 65535), [(0, 65535)]);
        assert_eq!(cut_all(7, 7), [(7, 7)]);
        assert_eq!(cut_all(1, 6), [(1, 1), (2, 3), (4, 5), (6, 6)]);
        assert_eq!(cut_all(u128::MAX - 1, u128::MAX), [(u128::MAX - 1, u128::MAX)]);
        assert_eq!(cut_all(1, u128::MAX).len(), 128);
    }

    #[test]
    fn unions_are_sorted_and_distinct() {
        assert_eq!(union(&[1, 3, 5], &[2, 3, 9]), [1, 2, 3, 5, 9]);
        assert_eq!(union(&[], &[4]), [4]);
    }
}
