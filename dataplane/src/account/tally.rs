//! What did each policy do? Counts by account, one [`Tally`] a worker.
//!
//! An account is a number that stays with a `policy_id` while sets come and go ([`crate::policy::PolicySet::with_accounts`]), so that a flow that
//! was judged under a set of yesterday still counts for the right policy. Only the owning worker writes, when a flow is judged, ends, or is
//! passed by ([`crate::flow::FlowTable::settle`]): no lock, and nothing for a packet of a flow that is forwarded already.
//!
//! 32 bytes an account and worker, in chunks of 1,024 that whoever publishes a set reserves beforehand: 320 KiB a worker for 10,000
//! policies, 2 MiB at most.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Wall;

/// Accounts of one tally at most; policies beyond are judged by, and not counted.
pub const ACCOUNTS_MAX: u32 = (CHUNK * CHUNKS) as u32;

/// Of the default action, and of a set without one.
pub const DEFAULT_ACCOUNT: u32 = 0;

/// Of nobody: a flow that nobody has decided yet, a policy that is not counted.
pub const NO_ACCOUNT: u32 = u32::MAX;

const CHUNK: usize = 1_024;
const CHUNKS: usize = 64;

/// What was counted for one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Flows that came under it: the decision changed to it.
    pub hits: u64,
    /// Packets of its flows, sent on or not.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Wall time of the last hit, nanoseconds; 0: never.
    pub last_hit_ns: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            last_hit_ns: self.last_hit_ns.max(other.last_hit_ns),
        }
    }

    /// What came after `before`; the last hit only where there was one since.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        let hits = self.hits.saturating_sub(before.hits);
        Self {
            hits,
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
            last_hit_ns: if hits == 0 { 0 } else { self.last_hit_ns },
        }
    }
}

/// One account at one worker, which alone writes it.
#[derive(Debug, Default)]
pub struct Cell {
    hits: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    last_hit_ns: AtomicU64,
}

impl Cell {
    /// A flow came under it.
    pub fn hit(&self, at: Wall) {
        add(&self.hits, 1);
        self.last_hit_ns.store(at.0, Ordering::Relaxed);
    }

    /// A flow that came under it is under another one.
    pub fn leave(&self) {
        self.hits.store(self.hits.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// Its flows had these since they were counted last.
    pub fn carry(&self, packets: u64, bytes: u64) {
        add(&self.packets, packets);
        add(&self.bytes, bytes);
    }

    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> Counts {
        Counts {
            hits: self.hits.load(Ordering::Relaxed),
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            last_hit_ns: self.last_hit_ns.load(Ordering::Relaxed),
        }
    }
}

/// Relaxed, and no locked instruction: each number stands alone and has one writer.
fn add(to: &AtomicU64, count: u64) {
    to.store(to.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// The accounts of one worker.
#[derive(Debug)]
pub struct Tally {
    chunks: [OnceLock<Box<[Cell]>>; CHUNKS],
}

impl Default for Tally {
    fn default() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS] }
    }
}

impl Tally {
    /// Makes room for the accounts below `accounts`. Before a set that uses them is published; not for workers, it allocates.
    pub fn reserve(&self, accounts: u32) {
        let chunks = (accounts.min(ACCOUNTS_MAX) as usize).div_ceil(CHUNK);
        for chunk in &self.chunks[..chunks] {
            chunk.get_or_init(|| (0..CHUNK).map(|_| Cell::default()).collect());
        }
    }

    /// An account; `None` where there was no room made for it.
    #[must_use]
    pub fn cell(&self, account: u32) -> Option<&Cell> {
        let account = account as usize;
        self.chunks.get(account / CHUNK)?.get()?.get(account % CHUNK)
    }

    /// What was counted for an account; nothing where there is none.
    #[must_use]
    pub fn read(&self, account: u32) -> Counts {
        self.cell(account).map(Cell::read).unwrap_or_default()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_room_is_not_counted_and_one_with_room_is() {
        let tally = Tally::default();
        assert!(tally.cell(DEFAULT_ACCOUNT).is_none() && tally.cell(NO_ACCOUNT).is_none());
        tally.reserve(1_025);
        for account in [0, 1_024, 2_047] {
            let cell = tally.cell(account).unwrap();
            cell.hit(Wall(7));
            cell.carry(3, 180);
            cell.hit(Wall(9));
            let counts = Counts { hits: 2, packets: 3, bytes: 180, last_hit_ns: 9 };
            assert_eq!(tally.read(account), counts);
        }
        assert!(tally.cell(2_048).is_none());
        tally.reserve(u32::MAX);
        assert!(tally.cell(ACCOUNTS_MAX - 1).is_some() && tally.cell(ACCOUNTS_MAX).is_none());
        assert_eq!(tally.read(1_024).hits, 2, "room that is made later leaves what was counted");
    }

    #[test]
    fn what_came_since_has_a_last_hit_only_where_there_was_one() {
        let before = Counts { hits: 2, packets: 10, bytes: 900, last_hit_ns: 5 };
        let carried = Counts { packets: 12, bytes: 1_000, ..before };
        assert_eq!(carried.since(before), Counts { packets: 2, bytes: 100, ..Counts::default() });
        let hit = before.plus(Counts { hits: 1, last_hit_ns: 8, ..Counts::default() });
        assert_eq!(hit.since(before), Counts { hits: 1, last_hit_ns: 8, ..Counts::default() });
    }
}
