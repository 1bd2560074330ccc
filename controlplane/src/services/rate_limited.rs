//! May this warning be written now? So that a fault that repeats a million times fills no disk.
//!
//! One warning a period, from whatever thread; the next one says how many were left out. Everything that
//! traffic, a client or a failing disk can trigger repeatedly goes through one of these.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lets one through each `period`; lock-free, two atomics.
#[derive(Debug)]
pub struct RateLimited {
    created: Instant,
    period_ns: u64,
    /// When the next one may pass, nanoseconds since `created`.
    next_ns: AtomicU64,
    suppressed: AtomicU64,
}

impl RateLimited {
    /// One in `period`, the first at once.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self {
            created: Instant::now(),
            period_ns: u64::try_from(period.as_nanos()).unwrap_or(u64::MAX),
            next_ns: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether to speak at `now`: how many stayed silent since the last time, `None` to stay silent.
    pub fn permit(&self, now: Instant) -> Option<u64> {
        let now_ns =
            u64::try_from(now.saturating_duration_since(self.created).as_nanos()).unwrap_or(u64::MAX);
        let next = self.next_ns.load(Ordering::Relaxed);
        // Relaxed: the exchange itself makes sure that only one of two threads passes.
        let passes = now_ns >= next
            && self
                .next_ns
                .compare_exchange(
                    next,
                    now_ns.saturating_add(self.period_ns),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if passes {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_a_period_and_the_next_one_tells_the_rest() {
        let limited = RateLimited::new(Duration::from_secs(10));
        let start = limited.created;
        assert_eq!(limited.permit(start), Some(0));
        for second in 1..10 {
            assert_eq!(limited.permit(start + Duration::from_secs(second)), None);
        }
        assert_eq!(limited.permit(start + Duration::from_secs(10)), Some(9));
        assert_eq!(limited.permit(start + Duration::from_secs(11)), None);
        assert_eq!(limited.permit(start + Duration::from_secs(25)), Some(1));
    }
}
