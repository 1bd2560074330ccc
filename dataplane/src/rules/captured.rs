//! What did expressions take out of the bytes, and where does it go?
//!
//! A group of an expression can be kept under a name: of the flow, of the packet, or of the alert. Values are gathered while a rule
//! is tried, and count when all of it holds. Values are clipped, and bounded in number, because what is captured is the sender's choice.

use std::ops::Range;

use super::rule::Capture;

/// Bytes of one value; what is more is cut off.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// Values of one rule that are kept while it is tried.
const VALUES_MAX: usize = 32;

/// Values that the tests of one rule have captured.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    bytes: Vec<u8>,
    /// Index into [`Rule::captures`](super::rule::Rule::captures), and where the value lies.
    values: Vec<(u8, Range<usize>)>,
}

impl Captured {
    /// Whether there are none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets all of them.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
    }

    /// Keeps a value, as far as there is room.
    pub fn add(&mut self, index: u8, value: &[u8]) {
        if self.values.len() < VALUES_MAX {
            let from = self.bytes.len();
            self.bytes.extend(value.iter().take(VALUE_BYTES_MAX));
            self.values.push((index, from..self.bytes.len()));
        }
    }

    /// Adds what was captured of the same rule before.
    pub fn extend(&mut self, other: &Self) {
        for (index, range) in &other.values {
            self.add(*index, &other.bytes[range.clone()]);
        }
    }

    /// Each value, and what becomes of it by a rule's captures.
    pub fn of<'a>(&'a self, captures: &'a [Capture]) -> impl Iterator<Item = (&'a Capture, &'a [u8])> {
        let of = |(index, range): &'a (u8, Range<usize>)| {
            captures.get(usize::from(*index)).map(|capture| (capture, &self.bytes[range.clone()]))
        };
        self.values.iter().filter_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::CaptureKind;

    #[test]
    fn values_are_clipped_and_bounded() {
        let captures = [Capture { kind: CaptureKind::Flow, name: "a".into() }];
        let mut captured = Captured::default();
        for _ in 0..100 {
            captured.add(0, &[b'x'; 2_000]);
        }
        captured.add(9, b"of no name");
        assert_eq!(captured.of(&captures).count(), VALUES_MAX);
        assert!(captured.of(&captures).all(|(_, value)| value.len() == VALUE_BYTES_MAX));
    }
}
