//! May these bytes pass under their rate? Token buckets that all workers share, one word each.
//!
//! A bucket is the instant at which it will be full again (GCRA's theoretical arrival time, ITU-T I.371): a full
//! bucket is any instant that is past, so a slot that nobody used for long enough *is* a fresh bucket, and giving it
//! to another key loses nothing. A lease moves the instant on by one compare-and-swap and is paid when it is
//! taken, so that all workers together never pass more than one bucket would.

use super::table::{SlotIndex, Table};
use crate::parse::Addr;
use crate::time::Tick;
use crate::verdict::BucketId;
use std::hash::BuildHasher;

const SECOND_NS: u128 = Tick::SECOND as u128;
/// Exchanges lost to other workers before a lease is refused: each loss is another worker's success.
const TRIES_MAX: usize = 64;

/// How fast a bucket fills and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Long-term rate, above 0.
    pub bytes_per_s: u64,
    /// Depth.
    pub burst_bytes: u64,
}

impl Shape {
    /// Time that `bytes` take at the rate, rounded up: rounding never passes a byte too many.
    fn ns_for(self, bytes: u64) -> u64 {
        let ns = (u128::from(bytes) * SECOND_NS).div_ceil(u128::from(self.bytes_per_s.max(1)));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    fn bytes_in(self, ns: u64) -> u64 {
        let bytes = u128::from(ns) * u128::from(self.bytes_per_s) / SECOND_NS;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Names one bucket: a rule, and whoever shares a bucket under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketKey(pub u64);

impl BucketKey {
    /// One bucket for all that rule `rule_hash` decides.
    #[must_use]
    pub fn per_rule(rule_hash: u64) -> Self {
        Self::of(rule_hash, 0, 0)
    }

    /// One for each source address.
    #[must_use]
    pub fn per_source(rule_hash: u64, source: Addr) -> Self {
        Self::of(rule_hash, 1, source.bits())
    }

    /// One for each user, by the number of his name.
    #[must_use]
    pub fn per_user(rule_hash: u64, user: u32) -> Self {
        Self::of(rule_hash, 2, u128::from(user))
    }

    /// One for each flow, by its identifier.
    #[must_use]
    pub fn per_flow(rule_hash: u64, flow_id: u64) -> Self {
        Self::of(rule_hash, 3, u128::from(flow_id))
    }

    fn of(rule_hash: u64, kind: u8, who: u128) -> Self {
        let hash = foldhash::quality::FixedState::with_seed(rule_hash).hash_one((kind, who));
        Self(hash.max(1))
    }
}

/// All token buckets of the box.
#[derive(Debug)]
pub struct Buckets {
    table: Table,
}

/// Buckets that are not full at the same time, by default: 1 MiB.
const BUCKETS: usize = 65_536;

impl Default for Buckets {
    fn default() -> Self {
        Self::new(BUCKETS)
    }
}

impl Buckets {
    /// Room for `buckets` that are not full at the same time (16 bytes each).
    #[must_use]
    pub fn new(buckets: usize) -> Self {
        Self { table: Table::new(buckets) }
    }

    /// The table behind, for telemetry.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The bucket of `key`, for a verdict that names it. It may go to another key once it is full again.
    #[must_use]
    pub fn id_of(&self, key: BucketKey, now: Tick) -> BucketId {
        BucketId(self.table.find_or_take(key.0, now).0)
    }

    /// Takes up to `want_bytes` from the bucket of `key` at `now`, and nothing where fewer than `need_bytes` are
    /// there. What is granted is spent; what is not used goes back by [`Self::give_back`].
    ///
    /// Two cache lines; no exchange when the bucket is empty.
    #[inline]
    #[must_use]
    pub fn lease(&self, key: BucketKey, shape: Shape, need_bytes: u64, want_bytes: u64, now: Tick) -> u64 {
        let slot = self.table.find_or_take(key.0, now);
        self.lease_from(slot, shape, need_bytes, want_bytes, now)
    }

    fn lease_from(&self, slot: SlotIndex, shape: Shape, need: u64, want: u64, now: Tick) -> u64 {
        let depth_ns = shape.ns_for(shape.burst_bytes);
        let mut full_at = self.table.until(slot);
        for _ in 0..TRIES_MAX {
            // A key that takes over a slot never owes more than its own depth.
            let missing_ns = full_at.ns_since(now).min(depth_ns);
            let there = shape.bytes_in(depth_ns - missing_ns).min(shape.burst_bytes);
            if there < need {
                return 0;
            }
            let granted = want.max(need).min(there);
            let after = now.plus_ns(missing_ns).plus_ns(shape.ns_for(granted));
            match self.table.exchange(slot, full_at, after) {
                Ok(()) => return granted,
                Err(other) => full_at = other,
            }
        }
        0
    }

    /// Puts back `bytes` that were leased and not used.
    pub fn give_back(&self, key: BucketKey, shape: Shape, bytes: u64, now: Tick) {
        let Some(slot) = self.table.find(key.0) else { return };
        // Rounded down, where the lease was rounded up: what comes back is never more than what was paid.
        let ns = (u128::from(bytes) * SECOND_NS / u128::from(shape.bytes_per_s.max(1))) as u64;
        let mut full_at = self.table.until(slot);
        for _ in 0..TRIES_MAX {
            if full_at <= now {
                return;
            }
            match self.table.exchange(slot, full_at, Tick(full_at.0.saturating_sub(ns))) {
                Ok(()) => return,
                Err(other) => full_at = other,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = Tick::MS;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let buckets = Buckets::new(64);
        let shape = Shape { bytes_per_s: 1_000_000, burst_bytes: 10_000 };
        let key = BucketKey::per_rule(7);
        let start = Tick(5 * Tick::SECOND);
        assert_eq!(buckets.lease(key, shape, 1, 50_000, start), 10_000);
        assert_eq!(buckets.lease(key, shape, 1, 50_000, start), 0);
        assert_eq!(buckets.lease(key, shape, 1, 50_000, start.plus_ns(MS)), 1_000);
        assert_eq!(
            buckets.lease(key, shape, 1_001, 50_000, start.plus_ns(2 * MS)),
            0,
            "too few for the frame"
        );
        assert_eq!(buckets.lease(key, shape, 1_001, 50_000, start.plus_ns(3 * MS)), 2_000);
        assert_eq!(
            buckets.lease(key, shape, 1, 50_000, start.plus_ns(Tick::SECOND)),
            10_000,
            "no more than its depth"
        );
    }

    #[test]
    fn what_is_given_back_can_be_leased_again() {
        let buckets = Buckets::new(64);
        let shape = Shape { bytes_per_s: 4_000, burst_bytes: 9_000 };
        let key = BucketKey::per_source(7, Addr::v4([10, 0, 0, 1]));
        let now = Tick(Tick::SECOND);
        assert_eq!(buckets.lease(key, shape, 1, 9_000, now), 9_000);
        buckets.give_back(key, shape, 4_000, now);
        assert_eq!(buckets.lease(key, shape, 1, 9_000, now), 4_000);
        buckets.give_back(key, shape, 9_000, now.plus_ns(9 * Tick::SECOND));
        assert_eq!(
            buckets.lease(key, shape, 1, 90_000, now.plus_ns(9 * Tick::SECOND)),
            9_000,
            "never above its depth"
        );
    }

    #[test]
    fn rules_sources_users_and_flows_have_buckets_of_their_own() {
        let keys = [
            BucketKey::per_rule(1),
            BucketKey::per_rule(2),
            BucketKey::per_source(1, Addr::v4([1, 2, 3, 4])),
            BucketKey::per_source(1, Addr::v4([1, 2, 3, 5])),
            BucketKey::per_user(1, 9),
            BucketKey::per_flow(1, 9),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{key:?}");
        }
    }

    #[test]
    fn extreme_shapes_do_not_overflow() {
        let buckets = Buckets::new(8);
        let key = BucketKey::per_rule(1);
        let fast = Shape { bytes_per_s: 1 << 53, burst_bytes: 1 << 53 };
        assert_eq!(buckets.lease(key, fast, 1500, 1 << 53, Tick(0)), 1 << 53);
        let slow = Shape { bytes_per_s: 1, burst_bytes: 1 << 53 };
        let _ = buckets.lease(BucketKey::per_rule(2), slow, 1500, 1 << 53, Tick(u64::MAX - 5));
        buckets.give_back(BucketKey::per_rule(2), slow, u64::MAX, Tick(0));
    }
}

#[cfg(all(test, loom))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod loom_model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Every interleaving of two workers that lease from one bucket grants what one worker would get.
    #[test]
    fn two_workers_never_get_more_than_the_bucket_holds() {
        loom::model(|| {
            let buckets = Arc::new(Buckets::new(8));
            let shape = Shape { bytes_per_s: 1_000, burst_bytes: 3_000 };
            let key = BucketKey::per_rule(1);
            let now = Tick(Tick::SECOND);
            let other = {
                let buckets = Arc::clone(&buckets);
                thread::spawn(move || buckets.lease(key, shape, 1_000, 2_000, now))
            };
            let mine = buckets.lease(key, shape, 1_000, 2_000, now);
            let theirs = other.join().unwrap();
            assert_eq!(mine + theirs, 3_000);
        });
    }

    /// A lease and a return that meet lose neither.
    #[test]
    fn a_return_is_not_lost_to_a_lease() {
        loom::model(|| {
            let buckets = Arc::new(Buckets::new(8));
            let shape = Shape { bytes_per_s: 1_000, burst_bytes: 3_000 };
            let key = BucketKey::per_rule(1);
            let now = Tick(Tick::SECOND);
            assert_eq!(buckets.lease(key, shape, 1, 2_000, now), 2_000);
            let other = {
                let buckets = Arc::clone(&buckets);
                thread::spawn(move || buckets.give_back(key, shape, 1_000, now))
            };
            let mine = buckets.lease(key, shape, 1_000, 1_000, now);
            other.join().unwrap();
            let rest = buckets.lease(key, shape, 1, 9_000, now);
            assert_eq!(mine + rest, 2_000);
        });
    }

    /// Two workers that take a slot for one new key at once end with a key that is found.
    #[test]
    fn a_new_key_is_found_after_a_race() {
        loom::model(|| {
            let buckets = Arc::new(Buckets::new(8));
            let key = BucketKey::per_rule(1);
            let other = {
                let buckets = Arc::clone(&buckets);
                thread::spawn(move || buckets.id_of(key, Tick(Tick::SECOND)))
            };
            let mine = buckets.id_of(key, Tick(Tick::SECOND));
            assert_eq!(mine, other.join().unwrap());
            assert_eq!(buckets.table().find(key.0).map(|slot| slot.0), Some(mine.0));
        });
    }
}
