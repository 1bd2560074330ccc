//! Where does a worker's time come from? From the system once a turn, or from a test.

use crate::time::{Now, Tick, Wall};

/// A source of time.
pub trait Clock {
    /// Both clocks, now.
    fn now(&mut self) -> Now;
}

/// `CLOCK_MONOTONIC`, with wall time kept beside it: the offset between the two is read once a second, so that
/// a turn costs one clock read and a stepped wall clock is followed.
#[derive(Debug, Default)]
pub struct SystemClock {
    offset_ns: u64,
    offset_read: Option<u64>,
}

const OFFSET_EVERY_NS: u64 = Tick::SECOND;

impl Clock for SystemClock {
    #[inline]
    fn now(&mut self) -> Now {
        let tick = xsk::clock::monotonic_ns();
        if self.offset_read.is_none_or(|read| tick.saturating_sub(read) >= OFFSET_EVERY_NS) {
            self.offset_ns = xsk::clock::realtime_ns().wrapping_sub(tick);
            self.offset_read = Some(tick);
        }
        Now { tick: Tick(tick), wall: Wall(tick.wrapping_add(self.offset_ns)) }
    }
}
