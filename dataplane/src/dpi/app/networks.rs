//! Whose is this address? Nested networks flattened into ranges that touch: one binary search finds the innermost.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::AppId;

/// Networks and their applications.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// First and last address; what holds another one stands before it.
    nested: BTreeMap<(u128, Reverse<u128>), AppId>,
    /// Where a range begins, ascending, and whose it is up to the next one.
    ranges: Vec<(u128, Option<AppId>)>,
}

impl Networks {
    /// All from `first` to `last` is `app`'s. Networks nest or are apart. It is found after [`Networks::build`].
    pub(super) fn insert(&mut self, (first, last): (u128, u128), app: AppId) {
        self.nested.insert((first, Reverse(last)), app);
    }

    /// Makes what was inserted ready to be found.
    pub(super) fn build(&mut self) {
        let mut ranges: Vec<(u128, Option<AppId>)> = Vec::with_capacity(2 * self.nested.len());
        let mut open: Vec<(u128, AppId)> = Vec::new();
        for ((first, Reverse(last)), app) in &self.nested {
            close(&mut ranges, &mut open, Some(*first));
            ranges.push((*first, Some(*app)));
            open.push((*last, *app));
        }
        close(&mut ranges, &mut open, None);
        // Of ranges that begin at the same address the last one written is the innermost, or what goes on behind it.
        ranges.reverse();
        ranges.sort_by_key(|(first, _)| *first);
        ranges.dedup_by_key(|(first, _)| *first);
        self.ranges = ranges;
    }

    /// `new` stands wherever an application of its name stood.
    pub(super) fn replace(&mut self, new: AppId) {
        self.nested.values_mut().filter(|app| **app == new).for_each(|app| *app = new);
    }

    /// Whose the innermost network of an address is.
    pub(super) fn find(&self, bits: u128) -> Option<AppId> {
        let after = self.ranges.partition_point(|(first, _)| *first <= bits);
        self.ranges.get(after.checked_sub(1)?)?.1
    }
}

/// Ends the networks that do not reach `next`: behind each of them the one around it goes on.
fn close(ranges: &mut Vec<(u128, Option<AppId>)>, open: &mut Vec<(u128, AppId)>, next: Option<u128>) {
    while let Some((last, _)) = open.pop_if(|(last, _)| next.is_none_or(|next| *last < next)) {
        if let Some(behind) = last.checked_add(1) {
            ranges.push((behind, open.last().map(|(_, app)| *app)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::Category;

    #[test]
    fn the_innermost_network_is_found_among_many_siblings() {
        let mut networks = Networks::default();
        let app = |name| AppId::new(name, Category::Web, None);
        networks.insert((100, 10_099), app("outer"));
        for at in 0..100 {
            networks.insert((200 + 10 * at, 204 + 10 * at), app("inner"));
        }
        networks.insert((202, 202), app("innermost"));
        networks.insert((204, 204), app("edge"));
        networks.insert((10_000, 10_099), app("tail"));
        networks.insert((u128::MAX - 1, u128::MAX), app("end"));
        networks.build();
        for (bits, expected) in [
            (0, None),
            (99, None),
            (100, Some("outer")),
            (200, Some("inner")),
            (202, Some("innermost")),
            (203, Some("inner")),
            (204, Some("edge")),
            (205, Some("outer")),
            (1_194, Some("inner")),
            (9_999, Some("outer")),
            (10_099, Some("tail")),
            (10_100, None),
            (u128::MAX, Some("end")),
        ] {
            assert_eq!(networks.find(bits).map(AppId::name), expected, "{bits}");
        }
    }

    #[test]
    fn nothing_is_found_in_an_empty_table() {
        assert_eq!(Networks::default().find(1), None);
    }
}
