//! What time is it, for a packet? Never asked here: time is an argument.
//!
//! Timers run on [`Tick`] (monotonic), records carry [`Wall`]. The worker reads both once a batch; replay
//! derives both from the capture file.

use std::time::Duration;

/// A monotonic instant, nanoseconds since an arbitrary start (`CLOCK_MONOTONIC` live, file time in replay).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// A wall-clock instant, nanoseconds since 1970-01-01 UTC.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// Both clocks, read together once a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Drives every timer.
    pub tick: Tick,
    /// Goes into every record.
    pub wall: Wall,
}

impl Tick {
    /// One millisecond in ticks.
    pub const MS: u64 = 1_000_000;
    /// One second in ticks.
    pub const SECOND: u64 = 1_000_000_000;

    /// The time since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub const fn ns_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant moved later by `ns` nanoseconds.
    #[must_use]
    pub const fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

impl Wall {
    /// The wall time at `then`, given that `now` holds both clocks at one instant.
    #[must_use]
    pub const fn at(then: Tick, now: Now) -> Self {
        Self(now.wall.0.saturating_sub(now.tick.0.saturating_sub(then.0)))
    }
}
