//! How do events get to the disk? In batches, from the pump through a bounded queue to a thread that may wait.
//!
//! The time of a record is the id of its event, in nanoseconds: when it was told, so that a listener who comes back is found
//! its place by the index of times. A batch goes on when it is large or a second old. While the disk is slower than events
//! come, whole batches are lost and counted; the pump waits for nothing.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Facts, Hub, Topic};
use crate::services::RateLimited;
use crate::store::StoreError;
use crate::store::segments::{Batch, Kind, Log, Recovery, Retention, Segments, Settings};

/// A batch of so many bytes goes to the disk.
const BATCH_BYTES: usize = 1 << 20;

/// One that is older too.
const BATCH_AGE_MAX: Duration = Duration::from_secs(1);

/// Batches that wait for the disk: some 32 MiB, or 60,000 events.
const QUEUE_MAX: usize = 32;

/// How often old segments are looked for.
const RETAIN_EVERY: Duration = Duration::from_secs(30);

/// How often a disk that fails is spoken of.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The logs, in this order everywhere.
pub(super) const KINDS: [Kind; 2] = [Kind::Events, Kind::Flows];

/// How long a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogKeeping {
    /// Events that are older go, seconds.
    pub age_s_max: u64,
    /// The oldest go while there are more bytes than this.
    pub bytes_max: u64,
}

impl LogKeeping {
    const fn retention(self) -> Retention {
        Retention {
            age_ns_max: Some(self.age_s_max.saturating_mul(1_000_000_000)),
            bytes_max: Some(self.bytes_max),
        }
    }

    /// Whole segments go: eight at least, so that one is little of all.
    const fn segment_bytes_max(self) -> u64 {
        let eighth = self.bytes_max / 8;
        if eighth < 64 << 20 { eighth } else { 64 << 20 }
    }
}

/// What became of events on their way to the disk.
#[derive(Debug, Default)]
pub struct RecordCounts {
    stored: AtomicU64,
    lost: AtomicU64,
    failing: AtomicBool,
}

/// A reading of [`RecordCounts`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordTotals {
    /// Events that are on the disk.
    pub stored: u64,
    /// Events that the disk did not take, or not fast enough.
    pub lost: u64,
    /// Whether the disk refuses them now.
    pub failing: bool,
}

impl RecordCounts {
    /// All of it so far.
    #[must_use]
    pub fn totals(&self) -> RecordTotals {
        RecordTotals {
            stored: self.stored.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failing: self.failing.load(Ordering::Relaxed),
        }
    }
}

#[derive(Debug)]
enum Work {
    Write(usize, Batch),
    Stop,
}

/// What the pump writes to.
#[derive(Debug)]
pub struct Tape {
    sides: [Option<Side>; 2],
    queue: SyncSender<Work>,
    empty: Receiver<Batch>,
    counts: Arc<RecordCounts>,
    terms: String,
}

#[derive(Debug, Default)]
struct Side {
    batch: Batch,
    begun: Option<Instant>,
}

/// Which log has a topic's events.
pub(super) const fn side_of(topic: Topic) -> usize {
    match topic {
        Topic::Flows => 1,
        _ => 0,
    }
}

impl Tape {
    /// Appends an event in memory; a batch that is full goes to the thread, or is lost where that is behind.
    pub(super) fn push(&mut self, id: u64, topic: Topic, facts: &Facts, event: &[u8]) {
        let at = side_of(topic);
        let Some(side) = &mut self.sides[at] else { return };
        self.terms.clear();
        let mut ends = [0; 5];
        let mut count = 0;
        let terms = &mut self.terms;
        let mut end = |terms: &mut String| {
            ends[count] = terms.len();
            count += 1;
        };
        // Writing to a String does not fail.
        for ip in facts.ips.iter().flatten() {
            let _ = write!(terms, "ip:{ip}");
            end(terms);
        }
        if facts.flow_id != 0 {
            let _ = write!(terms, "flow:{}", facts.flow_id);
            end(terms);
        }
        if let Some(user) = &facts.user {
            let _ = write!(terms, "user:{}", user.to_lowercase());
            end(terms);
        }
        if topic != Topic::Flows {
            let _ = write!(terms, "type:{}", facts.event_type);
            end(terms);
        }
        let mut all = [""; 5];
        let mut begin = 0;
        for (term, end) in all.iter_mut().zip(&ends[..count]) {
            *term = &self.terms[begin..*end];
            begin = *end;
        }
        let time_ns = id.saturating_mul(1_000);
        if side.batch.push(time_ns, &all[..count], event.trim_ascii_end()).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if side.begun.is_none() {
            side.begun = Some(Instant::now());
        }
        if side.batch.len_bytes() >= BATCH_BYTES {
            self.send(at);
        }
    }

    /// Sends on what has waited long enough.
    pub fn turn(&mut self, now: Instant) {
        for at in 0..KINDS.len() {
            let begun = self.sides[at].as_ref().and_then(|side| side.begun);
            if begun.is_some_and(|begun| now.duration_since(begun) >= BATCH_AGE_MAX) {
                self.send(at);
            }
        }
    }

    /// Sends on all there is.
    pub fn flush(&mut self) {
        (0..KINDS.len()).for_each(|at| self.send(at));
    }

    fn send(&mut self, at: usize) {
        let Some(side) = &mut self.sides[at] else { return };
        side.begun = None;
        if side.batch.is_empty() {
            return;
        }
        let next = self.empty.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut side.batch, next);
        let count = full.len() as u64;
        if self.queue.try_send(Work::Write(at, full)).is_err() {
            self.counts.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// The logs of events, open for writing.
#[derive(Debug)]
pub struct Recorder {
    logs: [Option<(Log, LogKeeping)>; 2],
    clock: fn() -> u64,
}

/// The running thread; dropping it writes what has come and ends it.
#[derive(Debug)]
pub struct RecorderHandle {
    queue: SyncSender<Work>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Opens the logs of events and of flows, those that are to be kept, and tells what had to be mended.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(
        segments: &Segments,
        keeping: [Option<LogKeeping>; 2],
        clock: fn() -> u64,
    ) -> Result<(Self, Vec<Recovery>), StoreError> {
        let mut recoveries = Vec::new();
        let mut open = |at: usize| -> Result<Option<(Log, LogKeeping)>, StoreError> {
            let Some(keeping) = keeping[at] else { return Ok(None) };
            let settings = Settings { segment_bytes_max: keeping.segment_bytes_max(), ..Settings::default() };
            let (log, recovery) = segments.log(KINDS[at], settings, clock())?;
            recoveries.push(recovery);
            Ok(Some((log, keeping)))
        };
        let logs = [open(0)?, open(1)?];
        Ok((Self { logs, clock }, recoveries))
    }

    /// Begins to write what the tape gets, on a thread `jarvis-record` that has the caller's affinity. `hub` tells listeners
    /// where to look for what is past.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn start(self, hub: &Hub) -> std::io::Result<(Tape, RecorderHandle)> {
        let (queue, work) = sync_channel(QUEUE_MAX);
        let (give_back, empty) = channel();
        let counts = Arc::clone(hub.record_counts());
        let directories: [Option<PathBuf>; 2] =
            std::array::from_fn(|at| self.logs[at].as_ref().map(|(log, _)| log.directory().to_owned()));
        let sides = std::array::from_fn(|at| self.logs[at].as_ref().map(|_| Side::default()));
        let of_thread = Arc::clone(&counts);
        let thread = std::thread::Builder::new()
            .name("jarvis-record".to_owned())
            .spawn(move || self.run(&work, &give_back, &of_thread))?;
        hub.recorded_in(directories);
        let tape = Tape { sides, queue: queue.clone(), empty, counts, terms: String::new() };
        Ok((tape, RecorderHandle { queue, thread: Some(thread) }))
    }

    fn run(mut self, work: &Receiver<Work>, give_back: &Sender<Batch>, counts: &RecordCounts) {
        let warning = RateLimited::new(WARN_EVERY);
        let mut retained: Option<Instant> = None;
        loop {
            match work.recv_timeout(RETAIN_EVERY) {
                Ok(Work::Write(at, mut batch)) => {
                    self.write(at, &mut batch, counts, &warning);
                    batch.clear();
                    let _ = give_back.send(batch);
                }
                Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if retained.is_none_or(|then| then.elapsed() >= RETAIN_EVERY) {
                retained = Some(Instant::now());
                self.retain(&warning);
            }
        }
        for (log, _) in self.logs.iter_mut().flatten() {
            if let Err(error) = log.note() {
                tracing::warn!(%error, "the end of a log of events cannot be noted");
            }
        }
    }

    fn write(&mut self, at: usize, batch: &mut Batch, counts: &RecordCounts, warning: &RateLimited) {
        let Some((log, _)) = &mut self.logs[at] else { return };
        let count = batch.len() as u64;
        match log.append(batch, (self.clock)()) {
            Ok(_) => {
                counts.stored.fetch_add(count, Ordering::Relaxed);
                if counts.failing.swap(false, Ordering::Relaxed) {
                    let lost = counts.totals().lost;
                    tracing::info!(lost, "the disk takes events again");
                }
            }
            Err(error) => {
                counts.lost.fetch_add(count, Ordering::Relaxed);
                counts.failing.store(true, Ordering::Relaxed);
                if let Some(suppressed) = warning.permit(Instant::now()) {
                    let lost = counts.totals().lost;
                    tracing::warn!(%error, lost, suppressed, "events are not recorded: the disk does not take them");
                }
            }
        }
    }

    fn retain(&mut self, warning: &RateLimited) {
        let now_ns = (self.clock)();
        for (log, keeping) in self.logs.iter_mut().flatten() {
            if let Err(error) = log.retain(keeping.retention(), now_ns)
                && warning.permit(Instant::now()).is_some()
            {
                tracing::warn!(%error, "old segments of events cannot be removed");
            }
        }
    }
}

impl RecorderHandle {
    /// Writes what has come, and ends. Call it after the pump has stopped.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.queue.send(Work::Stop);
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for RecorderHandle {
    fn drop(&mut self) {
        self.shut_down();
    }
}
