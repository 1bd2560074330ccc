//! Who ends assertions whose time is over, and who writes down what changed?

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::services::{RateLimited, Services, Stoppable};

/// How late an assertion may end.
const EVERY: Duration = Duration::from_millis(50);

/// How often changes are written: so much may be lost in a crash.
const SAVE_EVERY: Duration = Duration::from_millis(500);

/// How often a disk that takes none is spoken of.
const WARN_EVERY: Duration = Duration::from_secs(600);

impl Services {
    /// Begins to end assertions in time, and to tell workers that hung what they missed: on a thread of its own that inherits the
    /// caller's cores. Call it before the workers run.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn keep_identities(self: &Arc<Self>) -> std::io::Result<Stoppable> {
        let services = Arc::clone(self);
        Stoppable::start("jarvis-identity", move |stopped| {
            while matches!(stopped.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout)) {
                services.expire_identities();
                services.door.catch_up();
            }
        })
    }

    /// Begins to write down who is where, on a thread of its own that inherits the caller's cores: a disk that hangs is not to keep
    /// anybody from ending. What was not written yet is written when it is stopped or dropped.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn save_identities(self: &Arc<Self>) -> std::io::Result<Stoppable> {
        let services = Arc::clone(self);
        Stoppable::start("jarvis-id-save", move |stopped| {
            let warning = RateLimited::new(WARN_EVERY);
            let Some(ledger) = services.identity_ledger() else { return };
            loop {
                let is_over = !matches!(stopped.recv_timeout(SAVE_EVERY), Err(RecvTimeoutError::Timeout));
                if let Err(error) = ledger.save()
                    && let Some(left_out) = warning.permit(Instant::now())
                {
                    let waiting = ledger.waiting();
                    tracing::warn!(%error, waiting, left_out, "who is where cannot be kept for a restart; it holds all the same, and is tried again twice a second");
                }
                if is_over {
                    return;
                }
            }
        })
    }
}
