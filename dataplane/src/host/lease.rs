//! May this frame pass, without asking the other workers? A worker's own stock of leased bytes.
//!
//! Shared buckets are touched once a slice instead of once a frame. A slice is at most a sixteenth of the bucket and a
//! millisecond of its rate, so that eight workers hold at most half a bucket between them; what lies idle for
//! [`IDLE_NS`] goes back by [`LeaseCache::sweep`], what is pushed out by another bucket at once.

use super::buckets::{BucketKey, Buckets, Shape};
use crate::time::Tick;

/// Buckets that one worker holds slices of (48 KiB); two that collide take turns.
const ENTRIES: usize = 1_024;
/// A slice that was not used for this long goes back.
const IDLE_NS: u64 = 5 * Tick::MS;
/// Entries that one sweep looks at: the whole cache in 16 sweeps.
const SWEEP_MAX: usize = ENTRIES / 16;

/// One worker's slices. Not shared.
#[derive(Debug)]
pub struct LeaseCache {
    entries: Box<[Entry]>,
    next_swept: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: BucketKey,
    shape: Shape,
    left_bytes: u64,
    used: Tick,
}

impl Default for LeaseCache {
    fn default() -> Self {
        Self::new()
    }
}

impl LeaseCache {
    /// A cache that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        let empty = Entry {
            key: BucketKey(0),
            shape: Shape { bytes_per_s: 1, burst_bytes: 0 },
            left_bytes: 0,
            used: Tick(0),
        };
        Self { entries: vec![empty; ENTRIES].into(), next_swept: 0 }
    }

    /// Whether a frame of `len_bytes` may pass at `now`; if so its bytes are spent.
    #[inline]
    #[must_use]
    pub fn take(
        &mut self,
        buckets: &Buckets,
        key: BucketKey,
        shape: Shape,
        len_bytes: u64,
        now: Tick,
    ) -> bool {
        // The table uses the low bits of the same hash.
        let entry = &mut self.entries[(key.0 >> 32) as usize % ENTRIES];
        if entry.key != key || entry.shape != shape {
            entry.release(buckets, now);
            *entry = Entry { key, shape, left_bytes: 0, used: now };
        }
        entry.used = now;
        if entry.left_bytes < len_bytes {
            let slice = (shape.burst_bytes / 16).min(shape.bytes_per_s / 1_000);
            let need = len_bytes - entry.left_bytes;
            let granted = buckets.lease(key, shape, need, slice, now);
            if granted < need {
                return false;
            }
            entry.left_bytes += granted;
        }
        entry.left_bytes -= len_bytes;
        true
    }

    /// Gives back slices that lie idle; call it every millisecond or so. Looks at `SWEEP_MAX` entries.
    pub fn sweep(&mut self, buckets: &Buckets, now: Tick) {
        for _ in 0..SWEEP_MAX {
            let entry = &mut self.entries[self.next_swept];
            if now.ns_since(entry.used) >= IDLE_NS {
                entry.release(buckets, now);
            }
            self.next_swept = (self.next_swept + 1) % ENTRIES;
        }
    }

    /// Gives back everything: before a worker stops.
    pub fn release_all(&mut self, buckets: &Buckets, now: Tick) {
        for entry in &mut self.entries {
            entry.release(buckets, now);
        }
    }
}

impl Entry {
    fn release(&mut self, buckets: &Buckets, now: Tick) {
        if self.left_bytes > 0 {
            buckets.give_back(self.key, self.shape, self.left_bytes, now);
            self.left_bytes = 0;
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    /// What `workers` threads pass together in `run_ms` of virtual time, each offering `offered` frames a step
    /// while `busy(worker, ms)`.
    fn passed(
        workers: usize,
        shape: Shape,
        frame_bytes: u64,
        offered: u64,
        run_ms: u64,
        busy: impl Fn(usize, u64) -> bool + Sync,
    ) -> u64 {
        let buckets = Buckets::new(1_024);
        let barrier = Barrier::new(workers);
        let key = BucketKey::per_rule(42);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|worker| {
                    let (buckets, barrier, busy) = (&buckets, &barrier, &busy);
                    scope.spawn(move || {
                        let mut cache = LeaseCache::new();
                        let mut passed = 0;
                        for ms in 0..run_ms {
                            barrier.wait();
                            let now = Tick(Tick::SECOND + ms * Tick::MS);
                            if busy(worker, ms) {
                                for _ in 0..offered {
                                    if cache.take(buckets, key, shape, frame_bytes, now) {
                                        passed += frame_bytes;
                                    }
                                }
                            }
                            cache.sweep(buckets, now);
                        }
                        passed
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    }

    fn assert_within_5_percent(passed: u64, shape: Shape, run_ms: u64, what: &str) {
        let expected = shape.burst_bytes + shape.bytes_per_s * run_ms / 1_000;
        assert!(passed <= expected, "{what}: {passed} of at most {expected}");
        assert!(passed * 100 >= expected * 95, "{what}: {passed} of {expected}");
    }

    #[test]
    fn one_two_and_eight_workers_pass_the_same_total() {
        for (name, shape, frame, offered) in [
            ("1 Mbit/s", Shape { bytes_per_s: 125_000, burst_bytes: 250_000 }, 1_500, 4),
            ("64 kB/s, two frames deep", Shape { bytes_per_s: 64_000, burst_bytes: 3_028 }, 1_514, 2),
            ("1 Gbit/s", Shape { bytes_per_s: 125_000_000, burst_bytes: 1_000_000 }, 1_000, 300),
            ("small frames", Shape { bytes_per_s: 1_000_000, burst_bytes: 20_000 }, 64, 40),
        ] {
            for workers in [1, 2, 8] {
                let run_ms = 3_000;
                let passed = passed(workers, shape, frame, offered, run_ms, |_, _| true);
                assert_within_5_percent(passed, shape, run_ms, &format!("{name}, {workers} workers"));
            }
        }
    }

    #[test]
    fn slices_of_idle_workers_come_back() {
        let shape = Shape { bytes_per_s: 1_000_000, burst_bytes: 64_000 };
        // Every worker leases, then only the first one goes on.
        let total = passed(8, shape, 500, 16, 2_000, |worker, ms| worker == 0 || ms < 2);
        assert_within_5_percent(total, shape, 2_000, "one busy, seven idle");
        // Workers take turns.
        let total = passed(8, shape, 500, 16, 2_000, |worker, ms| ms as usize / 7 % 8 == worker);
        assert_within_5_percent(total, shape, 2_000, "in turn");
    }

    #[test]
    fn a_frame_passes_only_whole() {
        let buckets = Buckets::new(8);
        let mut cache = LeaseCache::new();
        let shape = Shape { bytes_per_s: 1_000, burst_bytes: 2_000 };
        let key = BucketKey::per_flow(1, 1);
        let now = Tick(Tick::SECOND);
        assert!(cache.take(&buckets, key, shape, 1_500, now));
        assert!(!cache.take(&buckets, key, shape, 1_500, now));
        assert!(cache.take(&buckets, key, shape, 500, now), "what is left serves a smaller frame");
        assert!(!cache.take(&buckets, key, shape, 1, now));
        assert!(cache.take(&buckets, key, shape, 1_500, now.plus_ns(1_500 * Tick::MS)));
    }

    #[test]
    fn buckets_that_share_an_entry_do_not_share_tokens() {
        let buckets = Buckets::new(64);
        let mut cache = LeaseCache::new();
        let shape = Shape { bytes_per_s: 16_000_000, burst_bytes: 32_000 };
        let (a, b) = (BucketKey(5), BucketKey(6));
        let now = Tick(Tick::SECOND);
        let mut passed = [0, 0];
        for _ in 0..100 {
            for (index, key) in [a, b].into_iter().enumerate() {
                passed[index] += u64::from(cache.take(&buckets, key, shape, 1_000, now));
            }
        }
        assert_eq!(passed, [32, 32]);
    }
}
