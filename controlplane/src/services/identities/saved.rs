//! Who was where before the process began? Assertions and leases that were kept and are not over hold again before the first packet.
//!
//! Their names are known to the policies before those are compiled, so that wildcards mean them, and workers find all of it at their
//! first turn. What cannot be read, or cannot hold any more, is left out, forgotten and counted.

use std::sync::Arc;

use dataplane::identity::Key;
use serde::{Deserialize, Serialize};

use super::ledger::{Kept, Ledger};
use super::{Assertion, KEYS_MAX, Live, RestoreOutcome, Source, Who, nobodys};
use crate::services::Services;
use crate::services::policies::Policies;
use crate::store::StoreError;

/// An assertion as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedAssertion {
    keys: Vec<String>,
    who: Who,
    source: Source,
    /// Nanoseconds since 1970; `None`: until it is ended.
    expires_ns: Option<u64>,
    since_ns: u64,
}

impl SavedAssertion {
    pub(super) fn of(live: &Live) -> Self {
        let Assertion { keys, who, source, expires_ns } = &*live.assertion;
        let keys = keys.iter().map(ToString::to_string).collect();
        Self { keys, who: who.clone(), source: *source, expires_ns: *expires_ns, since_ns: live.since_ns }
    }

    fn assertion(self) -> Option<Assertion> {
        let Self { keys, who, source, expires_ns, .. } = self;
        let keys: Vec<Key> = keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>()?;
        (1..=KEYS_MAX).contains(&keys.len()).then_some(Assertion { keys, who, source, expires_ns })
    }
}

/// A lease as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedLease {
    pub(super) mac: String,
    /// Nanoseconds since 1970.
    pub(super) expires_ns: u64,
}

/// The key of an assertion's row: in the order of numbers.
pub(super) fn row_of(id: u64) -> String {
    format!("{id:016x}")
}

/// What was kept.
#[derive(Debug)]
pub struct Saved {
    ledger: Arc<Ledger>,
    assertions: Vec<(String, SavedAssertion)>,
    leases: Vec<(String, SavedLease)>,
    last_id: u64,
    damaged: usize,
}

impl Saved {
    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the file cannot be read: nothing was kept then, and what changes from now on is kept.
    pub fn read(ledger: Arc<Ledger>) -> (Self, Option<StoreError>) {
        let mut saved = Self { ledger, assertions: Vec::new(), leases: Vec::new(), last_id: 0, damaged: 0 };
        let error = saved.fill().err();
        (saved, error)
    }

    fn fill(&mut self) -> Result<(), StoreError> {
        let (assertions, damaged) = self.ledger.read(Kept::Assertion)?;
        let (leases, also_damaged) = self.ledger.read(Kept::Lease)?;
        let (last, _damaged) = self.ledger.read::<u64>(Kept::LastId)?;
        (self.assertions, self.leases) = (assertions, leases);
        self.damaged = damaged + also_damaged;
        self.last_id = last.first().map_or(0, |(_, id)| *id);
        Ok(())
    }
}

impl Policies {
    /// Learns the names of users that were kept, before a set is compiled whose wildcards may mean them.
    pub fn know(&mut self, saved: &Saved) {
        for (_, kept) in &saved.assertions {
            // Of one that has too many names nothing is restored.
            let _ = self.name_user(&kept.who);
        }
    }
}

impl Services {
    /// Puts what was kept in force, and keeps what changes from now on. Call it before the workers run.
    pub(in crate::services) fn restore_identities(&self, saved: Saved) {
        let Saved { ledger, assertions, leases, last_id, damaged } = saved;
        let now_ns = self.now_ns();
        let counts = &self.identities.restored;
        (0..damaged).for_each(|_| counts.add(RestoreOutcome::Damaged));
        let mut policies = self.policies();
        let mut registry = self.identities.registry();
        registry.number_behind(last_id);
        let mut keys = Vec::new();
        for (row, kept) in assertions {
            let since_ns = kept.since_ns;
            let outcome = match (u64::from_str_radix(&row, 16), kept.assertion()) {
                (Ok(_), Some(said)) if said.expires_ns.is_some_and(|expires_ns| expires_ns <= now_ns) => {
                    RestoreOutcome::Expired
                }
                (Ok(id), Some(said)) => {
                    let is_someones = said.keys.iter().all(|key| nobodys(*key, &policies).is_none());
                    let is_named = is_someones && policies.name_user(&said.who).is_ok();
                    let live = is_named.then(|| registry.restore(id, said, since_ns)).flatten();
                    live.map_or(RestoreOutcome::Refused, |live| {
                        self.names.remember_user(live.number, &live.assertion.who);
                        keys.extend(&live.assertion.keys);
                        RestoreOutcome::Restored
                    })
                }
                _ => RestoreOutcome::Damaged,
            };
            counts.add(outcome);
            if outcome != RestoreOutcome::Restored {
                ledger.forget(Kept::Assertion, row);
            }
        }
        for (row, SavedLease { mac, expires_ns }) in leases {
            let outcome = match (row.parse::<Key>(), mac.parse::<Key>()) {
                (Ok(_), Ok(Key::Mac(_))) if expires_ns <= now_ns => RestoreOutcome::Expired,
                (Ok(addr), Ok(Key::Mac(mac)))
                    if nobodys(addr, &policies).is_none()
                        && registry.restore_lease(addr, mac, expires_ns) =>
                {
                    keys.push(addr);
                    RestoreOutcome::Restored
                }
                (Ok(_), Ok(Key::Mac(_))) => RestoreOutcome::Refused,
                _ => RestoreOutcome::Damaged,
            };
            counts.add(outcome);
            if outcome != RestoreOutcome::Restored {
                ledger.forget(Kept::Lease, row);
            }
        }
        registry.keep_in(Arc::clone(&ledger));
        keys.sort_unstable();
        keys.dedup();
        let held =
            keys.iter().filter_map(|key| Some((*key, Arc::new(policies.identity(registry.holds(*key)?)))));
        self.door.identify_first(held.collect());
        let restored = registry.len();
        drop((registry, policies));
        if restored > 0 || counts.totals().any(|(_, count)| count > 0) {
            let counted = counts.totals().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>();
            tracing::info!(assertions = restored, rows = counted.join(", "), "who is where was read again");
        }
        // A thread that keeps it and RADIUS, which has its own rows, find it here.
        let _is_first = self.identities.ledger.set(ledger);
    }
}
