//! How long does a batch take? A histogram that one thread writes and any thread reads, without a lock.
//!
//! Layout as `HdrHistogram` with two significant figures: values below 256 have a bucket each, above that
//! every power of two is cut into 128. An increment is one relaxed load and store by the only writer.

use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

/// Values above this (about 17 s) are counted as this.
pub const VALUE_MAX_NS: u64 = (1 << 34) - 1;

const LINEAR: usize = 256;
const HALF: usize = LINEAR / 2;
const BUCKETS: usize = LINEAR + (34 - 8) * HALF;

/// Latencies in nanoseconds, error below 1 %.
#[derive(Debug)]
pub struct SharedHistogram {
    counts: Box<[AtomicU64]>,
}

impl Default for SharedHistogram {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl SharedHistogram {
    /// Counts `value_ns` `times` times. Only the owning worker calls this.
    #[inline]
    pub fn record(&self, value_ns: u64, times: u64) {
        let count = &self.counts[bucket_of(value_ns)];
        // Relaxed: one writer, and a reader needs no order between buckets.
        count.store(count.load(Ordering::Relaxed) + times, Ordering::Relaxed);
    }

    /// A copy for percentiles and merging.
    #[must_use]
    pub fn read(&self) -> Histogram<u64> {
        let mut out =
            Histogram::new_with_bounds(1, VALUE_MAX_NS, 2).expect("the bounds are constants in range");
        for (index, count) in self.counts.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                out.saturating_record_n(value_of(index), count);
            }
        }
        out
    }
}

#[inline]
fn bucket_of(value: u64) -> usize {
    let value = value.min(VALUE_MAX_NS);
    if value < LINEAR as u64 {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() as usize - 7;
    LINEAR + (shift - 1) * HALF + ((value >> shift) as usize - HALF)
}

/// The middle of a bucket.
fn value_of(index: usize) -> u64 {
    if index < LINEAR {
        return index as u64;
    }
    let shift = (index - LINEAR) / HALF + 1;
    let base = ((index - LINEAR) % HALF + HALF) as u64;
    (base << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_one_percent_of_its_bucket() {
        for value in
            (0..4096).chain((12..34).flat_map(|p| [1 << p, (1 << p) + 12345 % (1 << p), (2 << p) - 1]))
        {
            let back = value_of(bucket_of(value));
            let error = back.abs_diff(value.min(VALUE_MAX_NS));
            assert!(error * 100 <= value.max(1), "{value} came back as {back}");
        }
    }

    #[test]
    fn values_beyond_the_range_are_counted_in_the_last_bucket() {
        let histogram = SharedHistogram::default();
        histogram.record(u64::MAX, 1);
        assert_eq!(histogram.read().len(), 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }
}
