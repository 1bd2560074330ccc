//! What time is it? Two clocks, read once a batch and passed on as arguments.
//!
//! Both reads stay in user space (vDSO), about 20 ns each. The monotonic one is the clock of the XDP program's
//! `bpf_ktime_get_ns`, so a heartbeat stamp compares directly.
#![expect(unsafe_code, reason = "UNSAFETY: clock_gettime fills a struct by pointer")]

/// `CLOCK_MONOTONIC` in nanoseconds: for timers and heartbeats.
#[inline]
#[must_use]
pub fn monotonic_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME` in nanoseconds since 1970-01-01 UTC: for records.
#[inline]
#[must_use]
pub fn realtime_ns() -> u64 {
    read_ns(libc::CLOCK_REALTIME)
}

#[inline]
fn read_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to; both clock ids exist on every Linux.
    // JUSTIFICATION: std's `Instant` hides the absolute value that the heartbeat needs.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_does_not_run_back() {
        let earlier = monotonic_ns();
        assert!(monotonic_ns() >= earlier);
    }

    #[test]
    fn realtime_is_after_2020() {
        assert!(realtime_ns() > 1_577_836_800_000_000_000);
    }
}
