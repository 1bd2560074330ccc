//! The one thread that writes the audit: entries as they come, checkpoints, retention.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use super::checkpoint::Checkpoint;
use super::entry::Entry;
use super::refusals::Refusals;
use super::{Settings, personal};
use crate::services::{Auth, Subjects};
use crate::store::StoreError;
use crate::store::segments::{Batch, Link, Log, Segments};

/// How often it looks what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often retention is looked after, nanoseconds.
const RETENTION_EVERY_NS: u64 = 3_600 * 1_000_000_000;

/// Room that is kept for entries, bytes: those of changes that are under way when the disk is found full. A change whose
/// entry would not have found room is refused before it is made.
const RESERVE_BYTES: u64 = 1 << 20;

/// What it is asked.
#[derive(Debug)]
pub(super) enum Work {
    Append(Box<Entry>, oneshot::Sender<Result<(), StoreError>>),
    /// Whether there is room again, and if so the entry.
    Try(Box<Entry>, oneshot::Sender<Result<(), StoreError>>),
    Refused(Box<Entry>),
    Signed(Box<Checkpoint>),
    /// A checkpoint that came to nothing.
    Unsigned,
    Stop,
}

/// A line of the audit that is no entry.
#[derive(Serialize)]
pub(super) struct CheckpointLine<'a> {
    pub checkpoint: &'a Checkpoint,
}

#[derive(Debug)]
pub(super) struct Keeper {
    /// Holds the directory's lock.
    _segments: Segments,
    log: Log,
    auth: Arc<Auth>,
    subjects: Arc<Subjects>,
    settings: Settings,
    clock: fn() -> u64,
    is_failing: Arc<AtomicBool>,
    refusals: Refusals,
    batch: Batch,
    /// Entries that no checkpoint vouches for, the time of the first, and the chain after the last.
    unsigned: u64,
    unsigned_since_ns: u64,
    chain: (u64, Link),
    is_signing: bool,
    retained_ns: u64,
}

impl Keeper {
    pub(super) fn new(
        segments: Segments,
        log: Log,
        (auth, subjects): (Arc<Auth>, Arc<Subjects>),
        settings: Settings,
        clock: fn() -> u64,
        is_failing: Arc<AtomicBool>,
    ) -> Self {
        let chain = (log.entries(), log.link());
        Self {
            _segments: segments,
            log,
            auth,
            subjects,
            settings,
            clock,
            is_failing,
            refusals: Refusals::default(),
            batch: Batch::new(),
            unsigned: 0,
            unsigned_since_ns: 0,
            chain,
            is_signing: false,
            retained_ns: 0,
        }
    }

    pub(super) fn run(mut self, work: &Receiver<Work>, queue: &SyncSender<Work>) {
        let reserved = self.reserve();
        self.note_how_it_went(reserved.as_ref().err());
        loop {
            match work.recv_timeout(LOOK_EVERY) {
                Ok(Work::Append(entry, tell)) => {
                    // The caller may have gone away; the change was made all the same.
                    let _ = tell.send(self.entry(*entry));
                }
                Ok(Work::Try(entry, tell)) => {
                    let _ = tell.send(self.reserve().and_then(|()| self.entry(*entry)));
                }
                Ok(Work::Refused(entry)) => {
                    if let Some(entry) = self.refusals.take(entry.bounded()) {
                        self.told_or_logged(entry);
                    }
                }
                Ok(Work::Signed(checkpoint)) => {
                    self.is_signing = false;
                    self.checkpoint(&checkpoint);
                }
                Ok(Work::Unsigned) => self.is_signing = false,
                Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look_what_is_due(queue);
        }
        self.stop();
    }

    fn entry(&mut self, entry: Entry) -> Result<(), StoreError> {
        let entry = entry.bounded();
        let stored = personal::stored(&entry, &self.auth, &self.subjects);
        let (line, terms) = stored.inspect_err(|error| {
            if !self.is_failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "personal fields cannot be sealed: changes are refused");
            }
        })?;
        self.line(entry.time_ns, &terms, &line)?;
        if self.unsigned == 0 {
            self.unsigned_since_ns = entry.time_ns;
        }
        self.unsigned += 1;
        Ok(())
    }

    fn told_or_logged(&mut self, entry: Entry) {
        let action = entry.action.clone();
        if let Err(error) = self.entry(entry) {
            tracing::error!(action, %error, "an entry of the audit is lost");
        }
    }

    fn line(&mut self, time_ns: u64, terms: &[String], line: &impl Serialize) -> Result<(), StoreError> {
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        let body = serde_json::to_vec(line).unwrap_or_default();
        self.batch.clear();
        let appended = self
            .batch
            .push(time_ns, &terms, &body)
            .and_then(|()| self.log.append(&mut self.batch, (self.clock)()));
        if let Ok(appended) = &appended {
            self.chain = (appended.entries, appended.link);
        }
        let reserved = self.reserve();
        self.note_how_it_went(appended.as_ref().err().or(reserved.as_ref().err()));
        appended.map(|_| ())
    }

    fn reserve(&mut self) -> Result<(), StoreError> {
        self.log.reserve(RESERVE_BYTES, (self.clock)())
    }

    fn note_how_it_went(&self, error: Option<&StoreError>) {
        let was_failing = self.is_failing.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !was_failing => {
                tracing::error!(%error, "the audit cannot be written: changes are refused");
            }
            None if was_failing => tracing::info!("the audit is written again: changes are taken"),
            _ => {}
        }
    }

    fn look_what_is_due(&mut self, queue: &SyncSender<Work>) {
        let now_ns = (self.clock)();
        if self.refusals.are_due(now_ns) {
            self.tell_refusals();
        }
        let age_ns = now_ns.saturating_sub(self.unsigned_since_ns);
        let is_due = self.unsigned >= self.settings.checkpoint_entries
            || (self.unsigned > 0 && age_ns >= self.settings.checkpoint_age_ns);
        if is_due && !self.is_signing {
            self.sign(now_ns, queue.clone());
        }
        if now_ns.saturating_sub(self.retained_ns) >= RETENTION_EVERY_NS {
            self.retained_ns = now_ns;
            if let Err(error) = self.retain(now_ns) {
                tracing::error!(%error, "old segments of the audit cannot be removed");
            }
        }
    }

    fn tell_refusals(&mut self) {
        for entry in self.refusals.drain() {
            self.told_or_logged(entry);
        }
    }

    /// On a thread of its own: entries do not wait for a signature.
    fn sign(&mut self, now_ns: u64, queue: SyncSender<Work>) {
        let (ring, (entries, link)) = (self.auth.ring(), self.chain);
        let signing = std::thread::Builder::new().name("jarvis-seal".to_owned()).spawn(move || {
            let signed = std::panic::catch_unwind(|| Checkpoint::sign(ring.signing(), now_ns, entries, link));
            let _ = queue.send(signed.map_or(Work::Unsigned, |signed| Work::Signed(Box::new(signed))));
        });
        self.is_signing = signing.is_ok();
        if self.is_signing {
            self.unsigned = 0;
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        let line = CheckpointLine { checkpoint };
        let kept = self
            .line(checkpoint.time_ns, &["action:audit.checkpoint".to_owned()], &line)
            .and_then(|()| self.log.note());
        if let Err(error) = kept {
            // The next one vouches for the same entries.
            self.unsigned += 1;
            tracing::error!(%error, "a checkpoint of the audit is lost");
        }
    }

    /// What goes is told in the audit before it goes: a stub that no entry tells of was not made here.
    fn retain(&mut self, now_ns: u64) -> Result<(), StoreError> {
        let holds = Arc::clone(self.log.holds());
        let still = holds.still();
        for removed in self.log.removable(&still, self.settings.retention, now_ns)? {
            let target = Some(format!("segment {}", removed.segment));
            let after = serde_json::to_value(removed).ok();
            self.entry(Entry::by_system(now_ns, RETENTION, target, after))?;
            self.log.remove_segment(&still, &removed, now_ns)?;
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.tell_refusals();
        if self.unsigned > 0 || self.is_signing {
            let (entries, link) = self.chain;
            let signed = Checkpoint::sign(self.auth.ring().signing(), (self.clock)(), entries, link);
            self.checkpoint(&signed);
        } else if let Err(error) = self.log.note() {
            tracing::error!(%error, "the end of the audit cannot be noted");
        }
    }
}

/// The action of a segment that retention removed.
pub(super) const RETENTION: &str = "audit.retention";
