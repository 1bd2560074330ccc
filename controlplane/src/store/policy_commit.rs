//! Which change of the policies waits to be confirmed, and what returns where nobody does?
//!
//! One entity, written in the transaction that saves the version that waits, and gone in the one that saves the next version
//! or confirms: what waits is on the disk before it is in force. Times are those of the wall clock, because a start knows no
//! other; see [`WaitingCommit::left_s`] for what becomes of one that was set.

use serde::{Deserialize, Serialize};

/// A version that waits to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingCommit {
    /// The version that waits.
    pub version: u32,
    /// The version whose set returns.
    pub returns_to: u32,
    /// Since when it waits, seconds since 1970.
    pub since_s: u64,
    /// Until when, seconds since 1970.
    pub until_s: u64,
}

impl WaitingCommit {
    /// How long it waits on from `now_s`; 0 where its time is over.
    ///
    /// A clock that is behind the moment when the waiting began was set back, by nobody knows how much: then the time is over
    /// too. So no clock makes it wait for longer than was asked for.
    #[must_use]
    pub const fn left_s(&self, now_s: u64) -> u64 {
        if now_s < self.since_s { 0 } else { self.until_s.saturating_sub(now_s) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_makes_it_wait_longer_than_was_asked_for() {
        let commit = WaitingCommit { version: 3, returns_to: 2, since_s: 1_000, until_s: 1_060 };
        for (now_s, left_s) in
            [(1_000, 60), (1_001, 59), (1_059, 1), (1_060, 0), (u64::MAX, 0), (999, 0), (0, 0)]
        {
            assert_eq!(commit.left_s(now_s), left_s, "{now_s}");
        }
    }
}
