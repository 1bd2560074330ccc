//! How do leases come from the event pump to whoever believes them, or not?

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use dataplane::dpi::Lease;

use super::outcomes::LeaseOutcome;
use crate::services::outcomes::Outcomes;

/// Leases that wait: as many as a busy network's hosts ask for when all of them come back at once.
const WAITING_MAX: usize = 8_192;

/// The event pump's end.
#[derive(Debug, Clone)]
pub struct LeaseSender {
    waiting: SyncSender<Lease>,
    counts: Arc<Outcomes<LeaseOutcome>>,
}

impl LeaseSender {
    /// Both ends.
    #[must_use]
    pub fn new(counts: Arc<Outcomes<LeaseOutcome>>) -> (Self, Receiver<Lease>) {
        let (waiting, taken) = sync_channel(WAITING_MAX);
        (Self { waiting, counts }, taken)
    }

    /// Gives one on; never waits.
    pub(crate) fn tell(&self, lease: &Lease) {
        if self.waiting.try_send(lease.clone()).is_err() {
            self.counts.add(LeaseOutcome::Lost);
        }
    }
}
