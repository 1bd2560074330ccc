//! How one worker runs.

use std::time::Duration;

/// Settings of one worker's loop.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// How many workers there are.
    pub workers: usize,
    /// What it does when nothing arrives.
    pub wait: Wait,
    /// A silence longer than this makes what waited in the rings stale, nanoseconds: the same as the XDP
    /// program's watchdog.
    pub watchdog_ns: u64,
    /// Frames kept in each fill ring.
    pub fill_frames: usize,
    /// Free frames that are not lent to other workers.
    pub reserve_frames: usize,
}

/// What a worker does when nothing arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Goes on polling: least latency, a whole core.
    BusyPoll,
    /// Goes on polling for so long, then sleeps until something arrives.
    Adaptive {
        /// How long to poll after the last packet.
        spin: Duration,
    },
    /// Sleeps at once until something arrives: least power.
    Interrupt,
}

/// How long a worker sleeps at most, so that its heartbeat stays fresh, timers run and snapshots are loaded.
pub(super) const SLEEP_MAX_MS: i32 = 5;
