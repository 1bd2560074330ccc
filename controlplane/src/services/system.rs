//! Is the box well?

use utoipa::ToSchema;

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
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Degradation {
    /// Event lines are being lost: the disk does not take them.
    EventsLost,
    /// Events are not recorded: the disk does not take them.
    EventsUnrecorded,
    /// The audit cannot be written: changes are refused.
    AuditFailing,
    /// The box is drained: the wire's fail mode holds until somebody puts it back.
    Drained,
    /// The policies in force are not those that were saved last, or are not saved.
    Policies {
        /// What is wrong.
        why: String,
    },
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

/// The box in one look, for who may read telemetry.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct SystemDetail {
    /// The daemon's version.
    pub version: &'static str,
    /// Since start, seconds.
    pub uptime_s: f64,
    /// What is not as it should be.
    pub degraded: Vec<Degradation>,
    /// How many workers, and whether each turns its loop.
    pub workers: usize,
    /// Version of the policy set in force.
    pub policy_version: u64,
    /// What signs tokens.
    pub tokens: TokenDetail,
}

/// What signs tokens.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct TokenDetail {
    /// JOSE's name.
    pub algorithm: &'static str,
    /// Which key.
    pub kid: String,
    /// Where it came from: `PQC_SK_B64`, `API_HMAC_KEY` or `key file`.
    pub key_origin: &'static str,
    /// Accounts that there are.
    pub accounts: usize,
    /// Sessions that live.
    pub sessions: usize,
}

impl Services {
    /// Whether every worker turns its loop, so that frames are judged.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.health() {
            Health::Ok => true,
            Health::Degraded(found) => !found
                .iter()
                .any(|one| matches!(one, Degradation::WorkerSilent { .. } | Degradation::Drained)),
        }
    }

    /// The box in one look.
    #[must_use]
    pub fn system(&self) -> SystemDetail {
        let summary = self.summary();
        let ring = self.auth.ring();
        let key = ring.signing().verifying();
        let (accounts, sessions) = self.auth.counts();
        SystemDetail {
            version: summary.version,
            uptime_s: summary.uptime_s,
            degraded: summary.degraded,
            workers: summary.workers,
            policy_version: summary.policy_version,
            tokens: TokenDetail {
                algorithm: key.algorithm().name(),
                kid: key.kid().to_owned(),
                key_origin: self.auth.key_origin().name(),
                accounts,
                sessions,
            },
        }
    }

    /// Whether everything does what it should.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut found = Vec::new();
        if self.events.failing() {
            found.push(Degradation::EventsLost);
        }
        if self.live.record_counts().totals().failing {
            found.push(Degradation::EventsUnrecorded);
        }
        if self.levers.as_ref().is_some_and(|levers| levers.is_drained()) {
            found.push(Degradation::Drained);
        }
        if self.audit.is_failing() {
            found.push(Degradation::AuditFailing);
        }
        if let Some(why) = self.policy_trouble() {
            found.push(Degradation::Policies { why });
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
