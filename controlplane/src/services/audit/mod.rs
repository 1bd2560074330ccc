//! Who changed what, when, from where, and what was it before?
//!
//! Every call that changes something leaves an [`Entry`] in the chain of [`crate::store::segments`], on the disk before the
//! caller has the answer. Room for those under way is kept on the disk (`Log::reserve`): once there is no more of it, changes
//! are refused before they are made; where writing fails all the same between a change and its entry, the caller is told
//! that the change was made and is not in the audit. Refusals (wrong passwords first of all) are counted and told together,
//! so that whoever guesses does not fill the disk.
//!
//! The chain shows changes to whoever has seen its end. [`Checkpoint`]s are signed with the box's key, so that nobody can
//! write the chain anew either: every 100 entries, ten minutes after an entry, and at an orderly stop. What was written
//! since the last one could be cut off by whoever may write the files; `head` in the log's directory makes that a lie to
//! be told in two places.
//!
//! | file | question |
//! |---|---|
//! | `entry` | what is told of a change? |
//! | `personal` | what of it tells of a person? |
//! | `keeper` | the thread that writes: entries, checkpoints, retention |
//! | `refusals` | what is told of what was refused? |
//! | `checkpoint`, `verify` | is it what was written? |
//! | `search` | which changes were there? |

mod checkpoint;
mod entry;
mod keeper;
mod personal;
mod refusals;
mod search;
#[cfg(test)]
mod tests;
mod verify;

pub use checkpoint::Checkpoint;
pub use entry::{Actor, Entry};
pub use search::{Question, Trail};
pub use verify::{Verdict, verify};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use self::keeper::{Keeper, Work};
use super::{Auth, Subjects};
use crate::store::StoreError;
use crate::store::segments::{Holds, Kind, Recovery, Retention, Segments, Settings as LogSettings};

/// Logs of which something can be held.
pub const HELD: [Kind; 3] = [Kind::Audit, Kind::Events, Kind::Flows];

/// Entries that wait for the disk at once.
const QUEUE_MAX: usize = 256;

/// How an audit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What may go, whole segments at a time.
    pub retention: Retention,
    /// A checkpoint after so many entries.
    pub checkpoint_entries: u64,
    /// A checkpoint so long after an entry, nanoseconds.
    pub checkpoint_age_ns: u64,
    /// A segment that would be larger is ended, bytes.
    pub segment_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Two years, and no more than 4 GiB: some ten million changes.
            retention: Retention {
                age_ns_max: Some(2 * 366 * 24 * 3_600 * 1_000_000_000),
                bytes_max: Some(4 << 30),
            },
            checkpoint_entries: 100,
            checkpoint_age_ns: 600 * 1_000_000_000,
            segment_bytes_max: 16 << 20,
        }
    }
}

/// Why an entry is not in the audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The disk.
    #[error("the audit cannot be written: {0}")]
    Store(#[from] StoreError),
    /// More at once than the disk takes, or a thread that is gone.
    #[error("the audit takes no more entries at the moment")]
    Busy,
}

/// The audit of a box.
#[derive(Debug)]
pub struct Audit {
    directory: PathBuf,
    subjects: Arc<Subjects>,
    holds: [(Kind, Arc<Holds>); 3],
    /// Whoever changes a hold over several logs.
    changing_holds: Mutex<()>,
    /// Until the thread has it.
    keeper: Mutex<Option<Keeper>>,
    started: OnceLock<SyncSender<Work>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_failing: Arc<AtomicBool>,
}

impl Audit {
    /// Opens the audit in `segments`, and tells what had to be mended. The thread comes with the first entry, from whoever
    /// brings it, whose affinity and rights it has.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(
        segments: Segments,
        auth: &Arc<Auth>,
        subjects: &Arc<Subjects>,
        settings: Settings,
        clock: fn() -> u64,
    ) -> Result<(Self, Recovery), StoreError> {
        let of_log = LogSettings {
            // 2: personal fields are sealed.
            schema: 2,
            segment_bytes_max: settings.segment_bytes_max,
            // A month, so that a quiet box's audit is not one file for years.
            segment_age_ns_max: 30 * 24 * 3_600 * 1_000_000_000,
            level: 3,
        };
        let (log, recovery) = segments.log(Kind::Audit, of_log, clock())?;
        let directory = log.directory().to_owned();
        let holds = HELD.map(|kind| (kind, Arc::clone(segments.holds(kind))));
        let is_failing = Arc::new(AtomicBool::new(false));
        let keeper = Keeper::new(
            segments,
            log,
            (Arc::clone(auth), Arc::clone(subjects)),
            settings,
            clock,
            Arc::clone(&is_failing),
        );
        let audit = Self {
            directory,
            subjects: Arc::clone(subjects),
            holds,
            changing_holds: Mutex::new(()),
            keeper: Mutex::new(Some(keeper)),
            started: OnceLock::new(),
            thread: Mutex::new(None),
            is_failing,
        };
        Ok((audit, recovery))
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is held of it, and of the logs beside it, whose directory it has.
    #[must_use]
    pub const fn holds(&self) -> &[(Kind, Arc<Holds>); 3] {
        &self.holds
    }

    /// Nobody else changes a hold as long as this is held.
    pub fn change_holds(&self) -> MutexGuard<'_, ()> {
        self.changing_holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose fields are in it.
    #[must_use]
    pub const fn subjects(&self) -> &Arc<Subjects> {
        &self.subjects
    }

    /// Whether the last entry could not be written.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Keeps an entry; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: then it is not there.
    pub async fn append(&self, entry: Entry) -> Result<(), AuditError> {
        self.ask(|tell| Work::Append(Box::new(entry), tell)).await
    }

    /// The same for threads that may wait.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: then it is not there.
    pub fn append_blocking(&self, entry: Entry) -> Result<(), AuditError> {
        let (tell, told) = oneshot::channel();
        self.submit(Work::Append(Box::new(entry), tell))?;
        told.blocking_recv().map_err(|_| AuditError::Busy)?.map_err(AuditError::Store)
    }

    /// Whether a change that is made now can be told: asks the disk where it failed the last time.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub async fn ready(&self, by: Entry) -> Result<(), AuditError> {
        if self.is_failing() { self.ask(|tell| Work::Try(Box::new(by), tell)).await } else { Ok(()) }
    }

    async fn ask(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Work,
    ) -> Result<(), AuditError> {
        let (tell, told) = oneshot::channel();
        self.submit(work(tell))?;
        told.await.map_err(|_| AuditError::Busy)?.map_err(AuditError::Store)
    }

    /// Counts something that was refused. Nobody waits for it; of many alike one is told at once, and then how many.
    pub fn refused(&self, entry: Entry) {
        // A queue that is full has counted enough of them.
        let _ = self.submit(Work::Refused(Box::new(entry)));
    }

    fn submit(&self, work: Work) -> Result<(), AuditError> {
        let queue = self.queue().ok_or(AuditError::Busy)?;
        queue.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => AuditError::Busy,
        })
    }

    /// The queue; `None` where the system gives no thread, or the audit was stopped before it began.
    fn queue(&self) -> Option<&SyncSender<Work>> {
        if let Some(queue) = self.started.get() {
            return Some(queue);
        }
        let mut waiting = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = waiting.take() {
            let (queue, work) = sync_channel(QUEUE_MAX);
            let of_keeper = queue.clone();
            let thread = std::thread::Builder::new()
                .name("jarvis-audit".to_owned())
                .spawn(move || keeper.run(&work, &of_keeper));
            *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.ok()?);
            let _ = self.started.set(queue);
        }
        self.started.get()
    }

    /// Writes what is still to be told and a checkpoint, and ends. Waits for it.
    pub fn stop(&self) {
        // Changes that still come are refused before they are made.
        self.is_failing.store(true, Ordering::Relaxed);
        if let Some(queue) = self.started.get() {
            let _ = queue.send(Work::Stop);
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.stop();
    }
}
