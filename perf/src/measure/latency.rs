//! How long does a packet take from far end to far end? Percentiles of the stamps that came through.

use hdrhistogram::Histogram;

/// Percentiles in ns. The clock is the kernel's on both ends; buckets are 3 % wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) packets: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
}

impl Percentiles {
    /// From (latency, packets) pairs; `None` without a packet.
    pub(crate) fn of(buckets: &[(u64, u64)]) -> Option<Self> {
        // Two digits are more than the buckets hold; a minute is longer than any packet may take.
        let mut histogram =
            Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 2).expect("the bounds are valid");
        for (latency_ns, packets) in buckets {
            histogram.saturating_record_n((*latency_ns).max(1), *packets);
        }
        if histogram.is_empty() {
            return None;
        }
        let at = |share| histogram.value_at_quantile(share);
        Some(Self {
            packets: histogram.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: histogram.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Percentiles;

    #[test]
    fn percentiles_of_a_hundred_even_values() {
        let buckets: Vec<(u64, u64)> = (1..=100).map(|step| (step * 1000, 10)).collect();
        let percentiles = Percentiles::of(&buckets).unwrap();
        assert_eq!(percentiles.packets, 1000);
        assert!((50_000..51_000).contains(&percentiles.p50_ns));
        assert!((99_000..100_000).contains(&percentiles.p99_ns));
        assert!(percentiles.max_ns >= 100_000);
        assert_eq!(Percentiles::of(&[]), None);
    }
}
