//! Which rules may be about these ends? Rules that ask for nothing but addresses, found by one of them.
//!
//! Lists of known senders are rules of this kind, hundreds of addresses each. A rule is looked up by the end of which it names fewer
//! addresses, as prefixes: each length that occurs costs one look into a table, whatever the number of rules. What it says of the
//! other end, and of protocol and ports, is for its caller to ask.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::rule::{Endpoints, Header};
use crate::parse::Addr;
use crate::prefix::cut;

/// Rules by addresses.
#[derive(Debug, Default)]
pub(super) struct AddressRules {
    /// Rules that name no address.
    anywhere: Vec<u32>,
    by_prefix: Prefixes,
}

impl AddressRules {
    /// Over rules with their numbers.
    pub(super) fn new<'a>(rules: impl Iterator<Item = (u32, &'a Header)>) -> Self {
        let (mut anywhere, mut entries) = (Vec::new(), Vec::new());
        for (number, header) in rules {
            let Some(ends) = narrower(header) else {
                anywhere.push(number);
                continue;
            };
            for (first, last) in ends.v4.spans() {
                let (first, last) = (v4_bits(*first), v4_bits(*last) | (u128::MAX >> 32));
                cut(first, last, |first, last| entries.push((Prefix::of(true, first, last), number)));
            }
            for (first, last) in ends.v6.spans() {
                cut(*first, *last, |first, last| entries.push((Prefix::of(false, first, last), number)));
            }
        }
        Self { anywhere, by_prefix: Prefixes::new(entries) }
    }

    /// Whether there is no rule.
    pub(super) fn is_empty(&self) -> bool {
        self.anywhere.is_empty() && self.by_prefix.entries.is_empty()
    }

    /// Adds rules that may be about these ends, in no order; one may come more than once.
    pub(super) fn candidates(&self, ends: [Addr; 2], found: &mut Vec<u32>) {
        found.extend_from_slice(&self.anywhere);
        for addr in ends {
            self.by_prefix.each(addr, |rules| found.extend_from_slice(rules));
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

/// An IPv4 address at the top of a number, as prefixes have it.
fn v4_bits(addr: u32) -> u128 {
    u128::from(addr) << 96
}

/// The beginning of addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Prefix {
    is_v4: bool,
    len: u8,
    /// At the top of the number.
    bits: u128,
}

impl Prefix {
    /// All addresses from one number to another.
    const fn of(is_v4: bool, first: u128, last: u128) -> Self {
        Self { is_v4, len: (first ^ last).leading_zeros() as u8, bits: first }
    }

    /// A network.
    pub(super) fn of_network(network: ipnet::IpNet) -> Self {
        let len = network.prefix_len();
        match network.network() {
            std::net::IpAddr::V4(addr) => Self { is_v4: true, len, bits: v4_bits(addr.to_bits()) },
            std::net::IpAddr::V6(addr) => Self { is_v4: false, len, bits: addr.to_bits() },
        }
    }
}

/// Numbers by prefixes of addresses.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// Lengths in bits that occur, the shortest first: of IPv6, of IPv4.
    lengths: [Vec<u8>; 2],
    /// Where in `entries` those of a prefix stand.
    places: HashMap<Prefix, (u32, u32), RandomState>,
    entries: Vec<u32>,
}

impl Prefixes {
    /// Of numbers with their prefixes.
    pub(super) fn new(mut entries: Vec<(Prefix, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut prefixes = Self::default();
        for same in entries.chunk_by(|one, other| one.0 == other.0) {
            let Some((prefix, _)) = same.first().copied() else { continue };
            let from = prefixes.entries.len() as u32;
            prefixes.entries.extend(same.iter().map(|(_, entry)| *entry));
            prefixes.places.insert(prefix, (from, prefixes.entries.len() as u32));
            // They come sorted.
            let lengths = &mut prefixes.lengths[usize::from(prefix.is_v4)];
            if lengths.last() != Some(&prefix.len) {
                lengths.push(prefix.len);
            }
        }
        prefixes
    }

    /// The numbers of each prefix that an address has, the shortest prefix first.
    pub(super) fn each(&self, addr: Addr, mut each: impl FnMut(&[u32])) {
        let (is_v4, bits) = match addr.as_v4() {
            Some(octets) => (true, v4_bits(u32::from_be_bytes(octets))),
            None => (false, addr.bits()),
        };
        for len in self.lengths[usize::from(is_v4)].iter().copied() {
            let prefix = Prefix { is_v4, len, bits: bits & mask(len) };
            if let Some((from, to)) = self.places.get(&prefix) {
                each(&self.entries[*from as usize..*to as usize]);
            }
        }
    }
}

/// The bits of a prefix of this length.
const fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        len => u128::MAX << (128 - len),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::{RuleText, Variables, read};

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

    #[test]
    fn a_prefix_is_as_long_as_its_ends_agree() {
        let of = |network: &str| Prefix::of_network(network.parse().unwrap());
        assert_eq!(
            Prefix::of(true, v4_bits(0xc000_0200), v4_bits(0xc000_02ff) | (u128::MAX >> 32)),
            of("192.0.2.0/24")
        );
        assert_eq!(Prefix::of(true, v4_bits(7), v4_bits(7) | (u128::MAX >> 32)), of("0.0.0.7/32"));
        assert_eq!(Prefix::of(false, 0, u128::MAX), of("::/0"));
        assert_eq!(Prefix::of(false, 1, 1), of("::1/128"));
    }
}
