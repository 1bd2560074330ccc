//! What is remembered of addresses, by all workers together: `hostbits` and `xbits`. Of a transaction it is kept with it.
//!
//! Bits lie in one table of the room `host`, by address (or pair of addresses) and the name's number, with the time until which they
//! are set. Who floods it costs others their oldest bits, and no memory. Free where no rule asks: a rule without such words has no
//! queries here, and an empty table answers after one relaxed read.

use std::sync::Arc;

use super::memory::{Names, TooManyNames};
use super::rule::{BitQuery, Condition, Effect, Rule, Where};
use crate::host::Remembered;
use crate::parse::Addr;
use crate::time::Tick;

/// For how long a bit of `hostbits` is set, seconds; `xbits` says it (Suricata's `detect-hostbits.c`).
const HOST_BIT_S: u32 = 300;

/// Bits that one transaction keeps.
const TRANSACTION_BITS_MAX: usize = 64;

/// Bits of addresses; clones are the same table.
#[derive(Debug, Clone)]
pub struct HostBits(Arc<Remembered>);

impl HostBits {
    /// In this table.
    #[must_use]
    pub const fn of(table: Arc<Remembered>) -> Self {
        Self(table)
    }
}

/// A small table of one's own.
impl Default for HostBits {
    fn default() -> Self {
        Self(Arc::new(Remembered::new(256)))
    }
}

/// Of whom a rule is asked, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub src: Addr,
    pub dst: Addr,
    pub at_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Set(u32),
    Unset,
    Toggle(u32),
}

/// What a rule asks of addresses' bits, and what a match changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnHosts {
    /// Of whom, which bits, and whether one must be set or one not.
    queries: Vec<(Where, Vec<u16>, bool)>,
    changes: Vec<(Where, u16, Change)>,
}

impl OnHosts {
    /// Of `rule`; what is of its flow is left out.
    ///
    /// # Errors
    ///
    /// [`TooManyNames`].
    pub(super) fn of(rule: &Rule, names: &mut Names) -> Result<Self, TooManyNames> {
        let mut found = Self::default();
        for condition in &rule.conditions {
            let Condition::XBits(place, query) = condition else { continue };
            let (bits, is_set) = match query {
                BitQuery::IsSet(bits) => (bits, true),
                BitQuery::IsNotSet(bits) => (bits, false),
            };
            let bits = bits.iter().map(|bit| names.number(bit)).collect::<Result<_, _>>()?;
            found.queries.push((*place, bits, is_set));
        }
        for effect in &rule.effects {
            let (place, name, change) = match effect {
                Effect::Set(place, name, seconds) => {
                    (place, name, Change::Set(seconds.unwrap_or(HOST_BIT_S)))
                }
                Effect::Unset(place, name) => (place, name, Change::Unset),
                Effect::Toggle(place, name) => (place, name, Change::Toggle(HOST_BIT_S)),
                _ => continue,
            };
            if *place != Where::Flow {
                found.changes.push((*place, names.number(name)?, change));
            }
        }
        Ok(found)
    }

    /// Whether the rule asks anything.
    pub(super) const fn asks(&self) -> bool {
        !self.queries.is_empty()
    }

    /// Whether all that the rule asks holds; `of_transaction` are the bits of the transaction that is looked at.
    #[inline]
    pub(super) fn holds(&self, hosts: &HostBits, ends: Ends, of_transaction: &[u16]) -> bool {
        self.queries.iter().all(|(place, bits, is_set)| {
            bits.iter().any(|bit| is_bit_set(hosts, *place, *bit, ends, of_transaction) == *is_set)
        })
    }

    /// What a match changes, in the order of the text.
    #[inline]
    pub(super) fn apply(&self, hosts: &HostBits, ends: Ends, of_transaction: Option<&mut Vec<u16>>) {
        if self.changes.is_empty() {
            return;
        }
        let mut nothing = Vec::new();
        let kept = of_transaction.unwrap_or(&mut nothing);
        for (place, bit, change) in &self.changes {
            let seconds = match *change {
                Change::Set(seconds) => seconds,
                Change::Unset => 0,
                Change::Toggle(seconds) if is_bit_set(hosts, *place, *bit, ends, kept) => {
                    let _was_set = seconds;
                    0
                }
                Change::Toggle(seconds) => seconds,
            };
            if *place == Where::Transaction {
                kept.retain(|other| other != bit);
                if seconds > 0 && kept.len() < TRANSACTION_BITS_MAX {
                    kept.push(*bit);
                }
                continue;
            }
            let for_ns = u64::from(seconds) * Tick::SECOND;
            for key in keys(*place, ends).into_iter().flatten() {
                let (at, now) = ((key, *bit), Tick(ends.at_ns));
                if seconds == 0 {
                    // A time is never cut short there, so that what ends must have ended long ago.
                    if hosts.0.at(what(*place), at, now).is_some() {
                        hosts.0.keep(what(*place), at, 1, 0, Tick(0));
                    }
                    continue;
                }
                hosts.0.keep(what(*place), at, 1, for_ns, now);
            }
        }
    }
}

fn is_bit_set(hosts: &HostBits, place: Where, bit: u16, ends: Ends, of_transaction: &[u16]) -> bool {
    if place == Where::Transaction {
        return of_transaction.contains(&bit);
    }
    let is_set = |key: Addr| hosts.0.at(what(place), (key, bit), Tick(ends.at_ns)).is_some();
    keys(place, ends).into_iter().flatten().any(is_set)
}

/// Bits of pairs are others than those of single addresses.
const fn what(place: Where) -> u8 {
    matches!(place, Where::Pair) as u8
}

/// Whose bits are meant.
fn keys(place: Where, Ends { src, dst, .. }: Ends) -> [Option<Addr>; 2] {
    match place {
        Where::Source => [Some(src), None],
        Where::Destination => [Some(dst), None],
        Where::Both => [Some(src), Some(dst)],
        // Either way it is the same pair.
        Where::Pair => {
            let (low, high) = (src.min(dst), src.max(dst));
            [Some(Addr::of_bits(low.bits() ^ high.bits().rotate_left(17))), None]
        }
        Where::Flow | Where::Transaction => [None, None],
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::{RuleText, Variables, read};

    const A: Addr = Addr::v4([10, 0, 0, 1]);
    const B: Addr = Addr::v4([10, 0, 0, 2]);

    fn rule(words: &str, names: &mut Names) -> OnHosts {
        let text = format!("alert tcp any any -> any any ({words} sid:1;)");
        OnHosts::of(&read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap(), names).unwrap()
    }

    fn ends(src: Addr, dst: Addr, second: u64) -> Ends {
        Ends { src, dst, at_ns: (1_700_000_000 + second) * 1_000_000_000 }
    }

    #[test]
    fn bits_are_of_addresses_and_end() {
        let (hosts, mut names) = (HostBits::default(), Names::default());
        let set = rule("xbits:set,seen,track ip_src,expire 10;", &mut names);
        let of_src = rule("xbits:isset,seen,track ip_src;", &mut names);
        let not_of_dst = rule("hostbits:isnotset,seen,dst;", &mut names);
        let other = rule("xbits:isset,other|seen,track ip_dst;", &mut names);
        set.apply(&hosts, ends(A, B, 0), None);
        assert!(of_src.holds(&hosts, ends(A, B, 9), &[]) && !of_src.holds(&hosts, ends(B, A, 9), &[]));
        assert!(
            not_of_dst.holds(&hosts, ends(A, B, 9), &[]) && !not_of_dst.holds(&hosts, ends(B, A, 9), &[])
        );
        assert!(other.holds(&hosts, ends(B, A, 9), &[]) && !of_src.holds(&hosts, ends(A, B, 12), &[]));
    }

    #[test]
    fn a_pair_is_one_whichever_way() {
        let (hosts, mut names) = (HostBits::default(), Names::default());
        let toggle = rule("xbits:toggle,pair,track ip_pair;", &mut names);
        let asks = rule("xbits:isset,pair,track ip_pair;", &mut names);
        toggle.apply(&hosts, ends(A, B, 0), None);
        assert!(asks.holds(&hosts, ends(B, A, 1), &[]));
        toggle.apply(&hosts, ends(B, A, 1), None);
        assert!(!asks.holds(&hosts, ends(A, B, 1), &[]), "at once");
        rule("xbits:unset,pair,track ip_pair;", &mut names).apply(&hosts, ends(A, B, 1), None);
        assert!(!asks.holds(&hosts, ends(A, B, 1), &[]));
    }

    #[test]
    fn a_transaction_keeps_its_own() {
        let (hosts, mut names) = (HostBits::default(), Names::default());
        let set = rule("xbits:set,once,track tx;", &mut names);
        let asks = rule("xbits:isset,once,track tx;", &mut names);
        let mut kept = Vec::new();
        set.apply(&hosts, ends(A, B, 0), Some(&mut kept));
        assert!(asks.holds(&hosts, ends(B, A, 1), &kept) && !asks.holds(&hosts, ends(A, B, 1), &[]));
    }
}
