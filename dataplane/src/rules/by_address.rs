//! Which rules may be about these ends? Rules that ask for nothing but addresses, found by one of them.
//!
//! Lists of known senders are rules of this kind, hundreds of addresses each. A rule is looked up by the end of which it names fewer
//! addresses, as prefixes: each length that occurs costs one look into a table, whatever the number of rules. What it says of the
//! other end, and of protocol and ports, is for its caller to ask.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::rule::{Endpoints, Header};
use crate::parse::Addr;

/// Rules by addresses.
#[derive(Debug, Default)]
pub(super) struct AddressRules {
    /// Rules that name no address.
    anywhere: Vec<u32>,
    v4: Prefixes,
    v6: Prefixes,
}

/// Numbers by prefixes of one family.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// Lengths in bits that occur, the shortest first.
    lengths: Vec<u8>,
    /// Where in `entries` those of a prefix stand, by its length and its bits at the top of the number.
    places: HashMap<(u8, u128), (u32, u32), RandomState>,
    entries: Vec<u32>,
}

impl AddressRules {
    /// Over rules with their numbers.
    pub(super) fn new<'a>(rules: impl Iterator<Item = (u32, &'a Header)>) -> Self {
        let mut anywhere = Vec::new();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (number, header) in rules {
            let Some(ends) = narrower(header) else {
                anywhere.push(number);
                continue;
            };
            for (first, last) in ends.v4.spans() {
                let [first, last] = [*first, *last].map(|bits| u128::from(bits) << 96);
                split(first, last | (u128::MAX >> 32), |prefix| v4.push((prefix, number)));
            }
            for (first, last) in ends.v6.spans() {
                split(*first, *last, |prefix| v6.push((prefix, number)));
            }
        }
        Self { anywhere, v4: Prefixes::new(v4), v6: Prefixes::new(v6) }
    }

    /// Whether there is no rule.
    pub(super) fn is_empty(&self) -> bool {
        self.anywhere.is_empty() && self.v4.entries.is_empty() && self.v6.entries.is_empty()
    }

    /// Adds rules that may be about these ends, in no order; one may come more than once.
    pub(super) fn candidates(&self, ends: [Addr; 2], found: &mut Vec<u32>) {
        found.extend_from_slice(&self.anywhere);
        for addr in ends {
            let each = |rules: &[u32]| found.extend_from_slice(rules);
            match addr.as_v4() {
                Some(octets) => self.v4.each(u128::from(u32::from_be_bytes(octets)) << 96, each),
                None => self.v6.each(addr.bits(), each),
            }
        }
    }
}

/// The end by which a rule is looked up: that of fewer addresses; `None`: it names none.
fn narrower(header: &Header) -> Option<&Endpoints> {
    let ends = [&header.source, &header.destination];
    ends.into_iter().filter(|ends| !ends.is_any_address()).min_by_key(|ends| {
        let count = |(first, last): &(u32, u32)| u64::from(last - first) + 1;
        let v4: u64 = ends.v4.spans().iter().map(count).sum();
        // Of IPv6 the networks count: each has more addresses than all of IPv4.
        (v4, ends.v6.spans().len())
    })
}

impl Prefixes {
    /// Of numbers with their prefixes: length, and bits at the top of the number.
    pub(super) fn new(mut entries: Vec<((u8, u128), u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut prefixes = Self::default();
        for same in entries.chunk_by(|one, other| one.0 == other.0) {
            let Some((prefix, _)) = same.first() else { continue };
            let from = prefixes.entries.len() as u32;
            prefixes.entries.extend(same.iter().map(|(_, entry)| *entry));
            prefixes.places.insert(*prefix, (from, prefixes.entries.len() as u32));
            // They come sorted.
            if prefixes.lengths.last() != Some(&prefix.0) {
                prefixes.lengths.push(prefix.0);
            }
        }
        prefixes
    }

    /// The numbers of each prefix that these bits have, the shortest prefix first.
    pub(super) fn each(&self, bits: u128, mut each: impl FnMut(&[u32])) {
        for length in &self.lengths {
            let prefix = bits & mask(*length);
            if let Some((from, to)) = self.places.get(&(*length, prefix)) {
                each(&self.entries[*from as usize..*to as usize]);
            }
        }
    }
}

/// The bits of a prefix of this length.
const fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        length => u128::MAX << (128 - length),
    }
}

/// Splits a range into prefixes, the fewest there are.
fn split(first: u128, last: u128, mut each: impl FnMut((u8, u128))) {
    let mut from = first;
    loop {
        // The largest block that begins here and does not go beyond the end.
        let aligned = from.trailing_zeros().min(128);
        let mut bits = aligned;
        while bits > 0 && block_end(from, bits) > last {
            bits -= 1;
        }
        each((128 - bits as u8, from));
        match block_end(from, bits).checked_add(1) {
            Some(next) if next <= last => from = next,
            _ => return,
        }
    }
}

/// The last number of a block of `2^bits` that begins at `from`.
const fn block_end(from: u128, bits: u32) -> u128 {
    match bits {
        128 => u128::MAX,
        bits => from | ((1 << bits) - 1),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::{RuleText, Variables, read};
    use proptest::prelude::*;

    fn rules(heads: &[&str]) -> AddressRules {
        let read: Vec<_> = heads
            .iter()
            .map(|head| {
                let text = format!("alert {head} (sid:1;)");
                read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap()
            })
            .collect();
        AddressRules::new(read.iter().enumerate().map(|(number, rule)| (number as u32, &rule.header)))
    }

    fn found(rules: &AddressRules, ends: [Addr; 2]) -> Vec<u32> {
        let mut found = Vec::new();
        rules.candidates(ends, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn rules_are_found_by_the_end_that_says_more() {
        let rules = rules(&[
            "ip any any -> any any",
            "ip [192.0.2.1,192.0.2.3] any -> 0.0.0.0/0 any",
            "ip 192.0.2.0/24 any -> 198.51.100.7 any",
            "ip 192.0.2.2-192.0.2.9 any -> any any",
            "ip 2001:db8::/32 any -> any any",
        ]);
        let v4 = |last| Addr::v4([192, 0, 2, last]);
        let far = Addr::v4([203, 0, 113, 1]);
        assert_eq!(found(&rules, [v4(1), far]), [0, 1]);
        assert_eq!(found(&rules, [far, v4(3)]), [0, 1, 3]);
        assert_eq!(found(&rules, [v4(10), Addr::v4([198, 51, 100, 7])]), [0, 2]);
        assert_eq!(found(&rules, [v4(9), far]), [0, 3]);
        assert_eq!(found(&rules, [v4(10), far]), [0]);
        let v6 = |text: &str| Addr::from(text.parse::<std::net::IpAddr>().unwrap());
        assert_eq!(found(&rules, [v6("2001:db8:1::1"), v6("2001:db9::")]), [0, 4]);
        assert_eq!(found(&rules, [v6("::"), v6("2001:db9::")]), [0]);
    }

    proptest! {
        /// Blocks follow each other, begin where their size lets them, and end where the range ends.
        #[test]
        fn ranges_are_split_without_gaps(first: u128, len in 0_u128..1 << 40, shift in 0_u32..90) {
            let first = first >> shift << shift;
            let last = first.saturating_add(len);
            let mut next = Some(first);
            split(first, last, |(length, from)| {
                assert_eq!(Some(from), next);
                assert_eq!(from & mask(length), from);
                let end = from | !mask(length);
                assert!(end <= last);
                next = end.checked_add(1);
            });
            prop_assert_eq!(next, last.checked_add(1));
        }
    }

    #[test]
    fn everything_is_one_block() {
        let mut blocks = Vec::new();
        split(0, u128::MAX, |block| blocks.push(block));
        assert_eq!(blocks, [(0, 0)]);
    }
}
