//! How do leases come from the event pump to whoever believes them, or not?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use dataplane::dpi::Lease;

/// Leases that wait: as many as a busy network's hosts ask for when all of them come back at once.
const WAITING_MAX: usize = 8_192;

/// What became of leases.
#[derive(Debug, Default)]
pub struct LeaseCounts {
    taken: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
}

impl LeaseCounts {
    /// One is in force.
    pub fn taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// One is not.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// In force, refused, and lost for want of room.
    #[must_use]
    pub fn totals(&self) -> [(&'static str, u64); 3] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("taken", of(&self.taken)), ("refused", of(&self.refused)), ("lost", of(&self.lost))]
    }
}

/// The event pump's end.
#[derive(Debug, Clone)]
pub struct LeaseSender {
    waiting: SyncSender<Lease>,
    counts: Arc<LeaseCounts>,
}

impl LeaseSender {
    /// Both ends.
    #[must_use]
    pub fn new(counts: Arc<LeaseCounts>) -> (Self, Receiver<Lease>) {
        let (waiting, taken) = sync_channel(WAITING_MAX);
        (Self { waiting, counts }, taken)
    }

    /// Gives one on; never waits.
    pub(crate) fn tell(&self, lease: &Lease) {
        if self.waiting.try_send(lease.clone()).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
