//! What is told of what was refused, without filling the disk?
//!
//! The first of its kind (action, target, address, outcome) is told at once, the others of a minute together. Kinds are
//! bounded too: whoever guesses from a thousand addresses is told as one.

use std::collections::HashMap;

use super::entry::Entry;

/// How long alike ones are collected, nanoseconds.
const PERIOD_NS: u64 = 60_000_000_000;

/// Kinds that are told apart in a period.
const KINDS_MAX: usize = 256;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sort {
    action: String,
    username: Option<String>,
    target: Option<String>,
    address: Option<String>,
    outcome: String,
}

/// Refusals of the last minute.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    alike: HashMap<Sort, (Entry, u64)>,
    others: Option<(Entry, u64)>,
    begun_ns: u64,
}

impl Refusals {
    /// Takes one in; what is to be told at once.
    pub(super) fn take(&mut self, entry: Entry) -> Option<Entry> {
        if self.alike.is_empty() {
            self.begun_ns = entry.time_ns;
        }
        let sort = Sort {
            action: entry.action.clone(),
            username: entry.actor.as_ref().map(|actor| actor.username.clone()),
            target: entry.target.clone(),
            address: entry.address.clone(),
            outcome: entry.outcome.clone(),
        };
        if let Some((last, count)) = self.alike.get_mut(&sort) {
            *last = entry;
            *count += 1;
            return None;
        }
        if self.alike.len() >= KINDS_MAX {
            let (last, count) = self.others.get_or_insert((entry.clone(), 0));
            *last = entry;
            *count += 1;
            return None;
        }
        self.alike.insert(sort, (entry.clone(), 0));
        Some(entry)
    }

    /// Whether a period is over.
    pub(super) fn are_due(&self, now_ns: u64) -> bool {
        !self.alike.is_empty() && now_ns.saturating_sub(self.begun_ns) >= PERIOD_NS
    }

    /// What is to be told of the period; the next begins.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        let repeated = |(entry, count): (Entry, u64)| Entry { repeated: Some(count), ..entry };
        let alike = self.alike.drain().map(|(_, alike)| alike).filter(|(_, count)| *count > 0);
        let mut told: Vec<Entry> = alike.map(repeated).collect();
        // Of many kinds: the last one's action and outcome, and nobody's name.
        told.extend(self.others.take().map(|others| Entry {
            actor: None,
            target: None,
            address: None,
            request_id: None,
            ..repeated(others)
        }));
        told.sort_by_key(|entry| entry.time_ns);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(time_ns: u64, address: u32) -> Entry {
        Entry {
            actor: None,
            address: Some(std::net::Ipv4Addr::from(address).to_string()),
            outcome: "invalid_credentials".to_owned(),
            ..Entry::by_system(time_ns, "auth.login", Some("ada".to_owned()), None)
        }
    }

    #[test]
    fn of_a_thousand_guesses_two_entries_are_made() {
        let mut refusals = Refusals::default();
        let told: Vec<Entry> = (0..1_000).filter_map(|at| refusals.take(guess(at, 1))).collect();
        assert_eq!(told.len(), 1);
        assert!(!refusals.are_due(PERIOD_NS - 1) && refusals.are_due(PERIOD_NS));
        let rest = refusals.drain();
        assert_eq!((rest.len(), rest[0].repeated, rest[0].time_ns), (1, Some(999), 999));
        assert!(refusals.drain().is_empty() && !refusals.are_due(u64::MAX));
        assert!(refusals.take(guess(5, 1)).is_some(), "the next period tells at once again");
    }

    #[test]
    fn a_million_addresses_fill_neither_memory_nor_disk() {
        let mut refusals = Refusals::default();
        let at_once = (0..1_000_000).filter_map(|at| refusals.take(guess(1, at))).count();
        assert_eq!(at_once, KINDS_MAX);
        let rest = refusals.drain();
        assert_eq!((rest.len(), rest[0].repeated), (1, Some(1_000_000 - KINDS_MAX as u64)));
        assert_eq!(rest[0].address, None);
    }
}
