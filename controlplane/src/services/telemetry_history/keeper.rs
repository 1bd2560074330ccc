//! Who reads the boards each second?

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::series::{BATCH_P99, Kind, SERIES};
use super::{History, Row, Totals, UNKNOWN};
use crate::services::{RateLimited, Services, Stoppable};

const EVERY: Duration = Duration::from_secs(1);

/// How often a disk that takes no rows is spoken of.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// Makes rows of totals.
pub(super) struct Keeper {
    before: Totals,
}

impl Keeper {
    pub(super) const fn since(totals: Totals) -> Self {
        Self { before: totals }
    }

    /// What happened since the last time.
    pub(super) fn row(&mut self, totals: Totals, at_s: u64, covered_ms: u64) -> Row {
        let mut values = [UNKNOWN; SERIES.len()];
        for (place, series) in SERIES.iter().enumerate() {
            values[place] = match series.kind {
                Kind::Sum => totals.values[place].saturating_sub(self.before.values[place]),
                Kind::Last => totals.values[place],
                Kind::Greatest => UNKNOWN,
            };
        }
        if let (Some(now), Some(before)) = (&totals.batch_ns, &self.before.batch_ns) {
            let mut batches = now.clone();
            if batches.subtract(before).is_ok() && !batches.is_empty() {
                values[BATCH_P99] = batches.value_at_quantile(0.99);
            }
        }
        self.before = totals;
        Row { sequence: 0, at_s, covered_ms, values }
    }
}

impl Services {
    /// What telemetry was before.
    #[must_use]
    pub const fn telemetry_history(&self) -> &History {
        &self.history
    }

    /// Begins to remember, on a thread of its own that inherits the caller's cores. Call it before the workers run. What was not
    /// saved yet is saved when it is stopped or dropped.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn keep_history(self: &Arc<Self>) -> std::io::Result<Stoppable> {
        let services = Arc::clone(self);
        let mut keeper = Keeper::since(services.totals());
        Stoppable::start("jarvis-history", move |stopped| {
            let warning = RateLimited::new(WARN_EVERY);
            let mut before = Instant::now();
            let mut due = before + EVERY;
            loop {
                let wait = due.saturating_duration_since(Instant::now());
                let is_over = !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
                let now = Instant::now();
                let covered = now.duration_since(before);
                // The second that has passed, not the one that begins.
                let at_ns = services.now_ns().saturating_sub(covered.as_nanos() as u64 / 2);
                let row = keeper.row(services.totals(), at_ns / 1_000_000_000, covered.as_millis() as u64);
                let minute_ended = services.history.take(&row);
                if (minute_ended || is_over)
                    && let Err(error) = services.history.save()
                    && let Some(left_out) = warning.permit(now)
                {
                    tracing::warn!(%error, left_out, "what telemetry was cannot be kept; it is tried again each minute");
                }
                if is_over {
                    return;
                }
                before = now;
                // What was missed is not made up for: the row says how long it took.
                due = (due + EVERY).max(now);
            }
        })
    }
}
