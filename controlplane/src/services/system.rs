//! Is the box well?

use super::Services;

/// Whether everything does what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// Packets are dealt with as configured, something else is not.
    Degraded(Vec<Degradation>),
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Degradation {
    /// Event lines are being lost.
    EventsLost,
    /// A worker's loop has not turned for a while.
    WorkerSilent {
        /// Which one.
        worker: usize,
        /// For how long, milliseconds.
        silent_ms: u64,
    },
}

impl Services {
    /// Whether everything does what it should.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::Ok
    }
}
