//! Who ends assertions whose time is over?

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::services::{Services, Stoppable};

/// How late an assertion may end.
const EVERY: Duration = Duration::from_millis(50);

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
}
