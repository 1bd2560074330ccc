//! How often did each thing become of what came? Counters by outcome, for metrics.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// What can become of something.
pub trait Outcome: Copy + PartialEq + 'static {
    /// All that can.
    const ALL: &'static [Self];

    /// The name that metrics have for it.
    fn name(self) -> &'static str;
}

/// Counters by outcome; any thread adds and reads.
#[derive(Debug)]
pub struct Outcomes<O> {
    counts: Box<[AtomicU64]>,
    of: PhantomData<O>,
}

impl<O: Outcome> Default for Outcomes<O> {
    fn default() -> Self {
        Self { counts: O::ALL.iter().map(|_| AtomicU64::new(0)).collect(), of: PhantomData }
    }
}

impl<O: Outcome> Outcomes<O> {
    /// One more.
    pub fn add(&self, outcome: O) {
        let counted = O::ALL.iter().zip(&self.counts).find(|(other, _)| **other == outcome);
        if let Some((_, count)) = counted {
            // Relaxed: each number stands alone.
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them, by name.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        O::ALL
            .iter()
            .zip(&self.counts)
            .map(|(outcome, count)| (outcome.name(), count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::identities::SyslogOutcome;

    #[test]
    fn each_outcome_is_counted_for_itself() {
        let outcomes = Outcomes::default();
        for outcome in [SyslogOutcome::Logout, SyslogOutcome::Refused, SyslogOutcome::Logout] {
            outcomes.add(outcome);
        }
        let counted: Vec<_> = outcomes.totals().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("logout", 2), ("refused", 1)]);
        assert_eq!(outcomes.totals().count(), SyslogOutcome::ALL.len());
    }
}
