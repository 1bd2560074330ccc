//! May the workers go on? One word that the process writes and every worker reads once a turn.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where the daemon stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Packets arrive and are judged.
    Running = 0,
    /// The sockets are out of the map: what is in the rings is still judged and sent.
    Draining = 1,
    /// Workers end their flows and return.
    Stopped = 2,
}

/// The phase, shared.
#[derive(Debug, Default)]
pub struct Lifecycle {
    phase: AtomicU8,
}

impl Lifecycle {
    /// The phase now.
    #[inline]
    #[must_use]
    pub fn phase(&self) -> Phase {
        // Acquire: pairs with the Release in `enter`; a worker that sees Stopped sees all that was done before.
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Goes on to `phase`; there is no way back.
    pub fn enter(&self, phase: Phase) {
        // Release: pairs with the Acquire in `phase`.
        self.phase.fetch_max(phase as u8, Ordering::Release);
    }
}
