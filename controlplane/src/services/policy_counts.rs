//! What did each policy do, and since when? Gives every `policy_id` a number to be counted under, which stays its own while sets come and go.
//!
//! A policy that is changed, moved, disabled or compiled again goes on counting; one that is removed and comes back (a change that nobody
//! confirmed) has what it had, unless its number was needed for another one meanwhile: the longest removed goes first. Counts begin anew
//! with the daemon.

use std::collections::{HashMap, VecDeque};

use dataplane::account::{ACCOUNTS_MAX, Counts, DEFAULT_ACCOUNT, NO_ACCOUNT};
use dataplane::policy::{PolicyIndex, PolicySet};
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;
use super::policies::{PolicyEntry, PolicyState};

/// Policies with series of their own in metrics, the first of the evaluation order; the others are summed.
pub(super) const SERIES_MAX: usize = 1_000;

/// Under which number each policy is counted.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_id: HashMap<Box<str>, Account>,
    /// Policies that are gone, the longest first; some of them may be back.
    gone: VecDeque<Box<str>>,
    opened: u32,
    first_s: u64,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    number: u32,
    /// Since when it is this policy's, seconds since 1970.
    since_s: u64,
    /// What was counted under the number before.
    before: Counts,
    is_gone: bool,
}

/// What was counted for one policy.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyCounts {
    /// Flows that came under it: its decision was the flow's first, or another one than before.
    pub hits: u64,
    /// When the last one did, seconds since 1970; `null`: none since `counted_since_s`.
    pub last_hit_s: Option<u64>,
    /// Packets of its flows, sent on or not.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Since when it is counted, seconds since 1970; `null`: it is not, for it was never enabled, or there are too many.
    pub counted_since_s: Option<u64>,
}

impl PolicyCounts {
    fn of(counts: Counts, since_s: u64) -> Self {
        Self {
            hits: counts.hits,
            last_hit_s: (counts.last_hit_ns > 0).then_some(counts.last_hit_ns / 1_000_000_000),
            packets: counts.packets,
            bytes: counts.bytes,
            counted_since_s: Some(since_s),
        }
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.hits += more.hits;
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.last_hit_s = self.last_hit_s.max(more.last_hit_s);
    }
}

impl Accounts {
    /// The set with an account for each of its policies. `entries` are all policies of the document; `counts` is what was counted under a
    /// number so far.
    pub(super) fn open(
        &mut self,
        set: PolicySet,
        entries: &[PolicyEntry],
        now_s: u64,
        counts: impl Fn(u32) -> Counts,
    ) -> PolicySet {
        if self.opened == 0 {
            (self.opened, self.first_s) = (DEFAULT_ACCOUNT + 1, now_s);
        }
        let mut stays: HashMap<&str, ()> = HashMap::with_capacity(entries.len());
        stays.extend(entries.iter().map(|entry| (entry.policy_id.as_str(), ())));
        for (policy_id, account) in &mut self.by_id {
            let is_gone = !stays.contains_key(policy_id.as_ref());
            if is_gone && !account.is_gone {
                self.gone.push_back(policy_id.clone());
            }
            account.is_gone = is_gone;
        }
        let ids = (0..set.len() as u32).map(|rank| set.info(PolicyIndex(rank)).map(|info| &*info.policy_id));
        let accounts = ids.map(|id| id.map_or(NO_ACCOUNT, |id| self.number(id, now_s, &counts))).collect();
        set.with_accounts(accounts)
    }

    fn number(&mut self, policy_id: &str, now_s: u64, counts: impl Fn(u32) -> Counts) -> u32 {
        if let Some(account) = self.by_id.get(policy_id) {
            return account.number;
        }
        let number = if self.opened < ACCOUNTS_MAX {
            self.opened += 1;
            self.opened - 1
        } else {
            match self.oldest_gone() {
                Some(number) => number,
                None => return NO_ACCOUNT,
            }
        };
        let account = Account { number, since_s: now_s, before: counts(number), is_gone: false };
        self.by_id.insert(policy_id.into(), account);
        number
    }

    /// Takes the number of the policy that is gone longest.
    fn oldest_gone(&mut self) -> Option<u32> {
        while let Some(policy_id) = self.gone.pop_front() {
            if self.by_id.get(&policy_id).is_some_and(|account| account.is_gone) {
                return self.by_id.remove(&policy_id).map(|account| account.number);
            }
        }
        None
    }

    /// What was counted for a policy, of all that was under its number.
    pub(super) fn read(&self, policy_id: &str, counts: impl Fn(u32) -> Counts) -> PolicyCounts {
        self.by_id.get(policy_id).map_or_else(PolicyCounts::default, |account| {
            PolicyCounts::of(counts(account.number).since(account.before), account.since_s)
        })
    }

    /// The same of what no policy decided.
    pub(super) fn read_default(&self, counts: impl Fn(u32) -> Counts) -> PolicyCounts {
        PolicyCounts::of(counts(DEFAULT_ACCOUNT), self.first_s)
    }
}

/// What is in force, with what it did.
#[derive(Debug)]
pub struct CountedState {
    /// What is in force.
    pub state: PolicyState,
    /// By the index of its entries.
    pub counts: Vec<PolicyCounts>,
    /// Of flows that no policy decided.
    pub default: PolicyCounts,
}

impl Services {
    /// What is in force, and what each policy of it did.
    #[must_use]
    pub fn policy_counted(&self) -> CountedState {
        let state = self.policy();
        let policies = self.policies();
        let counts = |number| self.door.counts(number);
        let of = |entry: &PolicyEntry| policies.accounts.read(&entry.policy_id, counts);
        CountedState {
            counts: state.entries.iter().map(of).collect(),
            default: policies.accounts.read_default(counts),
            state,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use dataplane::policy::{Environment, Names, PolicyFile};

    fn set(ids: &[&str]) -> (PolicySet, Vec<PolicyEntry>) {
        let policy = |id: &&str| format!(r#"{{"policy_id":"{id}","conditions":{{}},"action":"allow"}}"#);
        let policies: Vec<String> = ids.iter().map(policy).collect();
        let text = format!(r#"{{"policies":[{}]}}"#, policies.join(","));
        let file = PolicyFile::parse("t", text.as_bytes()).unwrap();
        let set = PolicySet::compile(&file, 1, &Environment::default(), &mut Names::new()).unwrap();
        let entry = |(index, id): (usize, &&str)| PolicyEntry {
            policy_id: (*id).to_owned(),
            name: String::new(),
            priority: 0,
            enabled: true,
            action: "allow",
            line: 1,
            index,
        };
        (set, ids.iter().enumerate().map(entry).collect())
    }

    fn counted(number: u32) -> Counts {
        Counts { hits: u64::from(number) * 10, packets: 1, bytes: 60, last_hit_ns: 5_000_000_000 }
    }

    #[test]
    fn a_policy_keeps_its_number_wherever_it_stands_and_when_it_comes_back() {
        let mut accounts = Accounts::default();
        let mut open = |ids: &[&str], now_s| {
            let (set, entries) = set(ids);
            let set = accounts.open(set, &entries, now_s, |_nothing_yet| Counts::default());
            (0..set.len() as u32).map(|rank| set.account(rank)).collect::<Vec<_>>()
        };
        assert_eq!(open(&["a", "b"], 100), [1, 2]);
        assert_eq!(open(&["b", "c"], 200), [2, 3]);
        assert_eq!(open(&["a", "b", "c"], 300), [1, 2, 3], "a has what it had");
        let a = accounts.read("a", counted);
        assert_eq!((a.hits, a.last_hit_s, a.counted_since_s), (10, Some(5), Some(100)));
        assert_eq!(accounts.read("z", counted), PolicyCounts::default());
        assert_eq!(accounts.read_default(counted).counted_since_s, Some(100));
    }

    #[test]
    fn where_numbers_run_out_the_policy_that_is_gone_longest_gives_its_own() {
        let mut accounts = Accounts { opened: ACCOUNTS_MAX - 2, first_s: 1, ..Accounts::default() };
        let mut open = |ids: &[&str]| {
            let (set, entries) = set(ids);
            let set = accounts.open(set, &entries, 9, counted);
            (0..set.len() as u32).map(|rank| set.account(rank)).collect::<Vec<_>>()
        };
        let (one, two) = (ACCOUNTS_MAX - 2, ACCOUNTS_MAX - 1);
        assert_eq!(open(&["a", "b"]), [one, two]);
        assert_eq!(open(&["a", "b", "c"]), [one, two, NO_ACCOUNT], "too many");
        assert_eq!(open(&["b"]), [two]);
        assert_eq!(open(&["a", "b"]), [one, two], "back before it was needed");
        assert_eq!(open(&["b"]), [two]);
        assert_eq!(open(&["b", "c"]), [two, one]);
        let c = accounts.read("c", counted);
        assert_eq!((c.hits, c.last_hit_s), (0, None), "what a did is not c's");
        assert_eq!(accounts.read("a", counted).counted_since_s, None);
    }
}
