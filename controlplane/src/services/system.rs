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
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Degradation {
    /// Event lines are being lost: the disk does not take them.
    EventsLost,
    /// The audit cannot be written: changes are refused.
    AuditFailing,
    /// A worker's loop has not turned for a while: its queue is in the fail mode.
    WorkerSilent {
        /// Which one.
        worker: usize,
        /// For how long, milliseconds.
        silent_ms: u64,
    },
}

/// A loop that has not turned for this long is silent: idle workers turn many times a second.
const SILENT_NS: u64 = 2_000_000_000;

impl Services {
    /// Whether everything does what it should.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut found = Vec::new();
        if self.events.failing() {
            found.push(Degradation::EventsLost);
        }
        if self.audit.is_failing() {
            found.push(Degradation::AuditFailing);
        }
        let now = self.now();
        for (worker, board) in self.door.boards().iter().enumerate() {
            // A worker that has not turned yet is as old as the daemon.
            let last = board.last_turn_ns().max(self.started.tick.0);
            let silent_ns = now.tick.0.saturating_sub(last);
            if silent_ns > SILENT_NS {
                found.push(Degradation::WorkerSilent { worker, silent_ms: silent_ns / 1_000_000 });
            }
        }
        if found.is_empty() { Health::Ok } else { Health::Degraded(found) }
    }
}
