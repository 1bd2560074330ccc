//! Where is a pattern? Within the bounds that its words set.

use std::sync::Arc;

use memchr::{memchr2_iter, memmem};

use super::amount;
use crate::rules::prefilter::usualness;
use crate::rules::rule::{Amount, Content};

/// A content, ready to be looked for.
#[derive(Debug)]
pub(super) struct Pattern {
    content: Content,
    finder: memmem::Finder<'static>,
    /// Where its byte is that is seldom met, by which it is found where case does not matter.
    rare: usize,
}

impl Pattern {
    pub(super) fn new(content: &Content) -> Self {
        let finder = memmem::Finder::new(&content.bytes).into_owned();
        let rare = (0..content.bytes.len()).min_by_key(|at| usualness(content.bytes[*at])).unwrap_or(0);
        Self { content: content.clone(), finder, rare }
    }

    /// Whether it is anywhere in these bytes.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.search(bytes).is_some()
    }

    pub(super) const fn is_negated(&self) -> bool {
        self.content.is_negated
    }

    /// What is written in its place.
    pub(super) const fn replacement(&self) -> Option<&Arc<[u8]>> {
        self.content.replacement.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.content.bytes.len()
    }

    /// Where it begins first: behind `before`, the end of the match before, where it is relative to that; and not before `from`.
    pub(super) fn find(
        &self,
        bytes: &[u8],
        before: usize,
        from: Option<usize>,
        variables: &[u64],
    ) -> Option<usize> {
        let (start, end) = self.bounds(bytes.len(), before, variables);
        let start = start.max(from.unwrap_or(0));
        if start > end || end - start < self.len() {
            return None;
        }
        let content = &self.content;
        if content.endswith {
            // Only the end of the buffer is its place; where it must lie before that, it has none.
            let last = bytes.len() - self.len();
            let is_there = end == bytes.len() && last >= start && self.is_at(&bytes[last..]);
            return is_there.then_some(last);
        }
        if content.startswith {
            return (start == 0 && self.is_at(bytes)).then_some(0);
        }
        self.search(&bytes[start..end]).map(|found| start + found)
    }

    /// First byte where it may begin, and the byte before which it must end.
    fn bounds(&self, len: usize, before: usize, variables: &[u64]) -> (usize, usize) {
        let content = &self.content;
        let value = |of: Option<Amount>| of.map(|of| amount(of, variables));
        let len = len as i64;
        let (offset, depth) = (value(content.offset), value(content.depth));
        let (distance, within) = (value(content.distance), value(content.within));
        if content.startswith {
            return (0, self.len().min(len as usize));
        }
        let (mut start, mut end) = (0, len);
        if distance.is_some() || within.is_some() {
            let before = before as i64;
            start = before.saturating_add(distance.unwrap_or(0));
            if let Some(within) = within {
                end = end.min(start.saturating_add(within));
            }
            start = start.max(0);
            // Together with the absolute words, those count from the match before.
            if let Some(depth) = depth {
                end = end.min(before.saturating_add(depth));
            }
            start = start.max(offset.unwrap_or(0));
        } else {
            if let Some(offset) = offset {
                start = offset.max(0);
            }
            if let Some(depth) = depth {
                end = end.min(start.saturating_add(depth));
            }
        }
        (start.clamp(0, len) as usize, end.clamp(0, len) as usize)
    }

    fn is_at(&self, bytes: &[u8]) -> bool {
        let pattern = &*self.content.bytes;
        let Some(bytes) = bytes.get(..pattern.len()) else { return false };
        if self.content.nocase { bytes.eq_ignore_ascii_case(pattern) } else { bytes == pattern }
    }

    fn search(&self, bytes: &[u8]) -> Option<usize> {
        if !self.content.nocase {
            return self.finder.find(bytes);
        }
        let rare = self.content.bytes[self.rare];
        let (lower, upper) = (rare.to_ascii_lowercase(), rare.to_ascii_uppercase());
        let last = bytes.len().checked_sub(self.len())?;
        memchr2_iter(lower, upper, &bytes[self.rare..=last + self.rare]).find(|at| self.is_at(&bytes[*at..]))
    }
}
