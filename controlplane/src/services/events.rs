//! What happened, on its way to disk: drains the workers' event rings, formats, writes.
//!
//! One thread, `jarvis-events`. It polls, because a worker that had to wake it would pay a system call; it
//! sleeps longer while nothing comes, up to 20 ms, in which the rings hold 800,000 records a second and
//! worker. `alerts` are drained before `records`. Whatever the disk does, the rings are drained: stored +
//! lost + skipped here, and aggregated + shed at the workers, are all that happened. Whoever listens ([`super::live`]) is
//! told by the same lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::control::{Door, Event, EventReceiver, StateChange, Transaction};
use dataplane::time::{Now, Wall};
use rtrb::Consumer;
use serde::Serialize;
use utoipa::ToSchema;

use super::applications_seen::AppsSeen;
use super::eve::Formatter;
use super::identities::LeaseSender;
use super::live::{Facts, Hub, Sampler, Tape, Topic};
use super::policy_shadow::ShadowRecords;
use super::talkers::Talkers;
use super::{Names, RateLimited, eve_stats};
use crate::store::EveFile;

mod staged;

use staged::Staged;

/// Which transactions are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transactions {
    /// Those of every protocol.
    All,
    /// Those of these event types.
    Only(Vec<String>),
}

impl Transactions {
    fn has(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(types) => types.iter().any(|one| one == event_type),
        }
    }
}

/// Which events are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EveTypes {
    /// Flows that ended.
    pub flow: bool,
    /// Signatures that matched.
    pub alert: bool,
    /// Frames dropped or rejected.
    pub drop: bool,
    /// Malformed frames, state violations, and what is wrong with payload.
    pub anomaly: bool,
    /// What protocols' parsers tell.
    pub transactions: Transactions,
    /// Links and workers.
    pub engine: bool,
    /// Totals, at this distance; `None` for never.
    pub stats_every: Option<Duration>,
    /// Seed of `community_id` in every event of a flow; `None` leaves it out.
    pub community_seed: Option<u16>,
}

impl Default for EveTypes {
    fn default() -> Self {
        // Eight seconds, as Suricata.
        Self {
            flow: true,
            alert: true,
            drop: true,
            anomaly: true,
            transactions: Transactions::All,
            engine: true,
            stats_every: Some(Duration::from_secs(8)),
            community_seed: None,
        }
    }
}

/// What the pump did, for telemetry; read by anyone at any time.
#[derive(Debug, Default)]
pub struct EventCounts {
    received: AtomicU64,
    skipped: AtomicU64,
    stored: AtomicU64,
    lost: AtomicU64,
    failing: AtomicBool,
    pub(super) applications: AppsSeen,
    pub(super) talkers: Talkers,
    pub(super) shadow: ShadowRecords,
}

/// A reading of [`EventCounts`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventTotals {
    /// Taken out of the workers' rings.
    pub received: u64,
    /// Of a type that is not written, or without a file to write to.
    pub skipped: u64,
    /// Lines handed to the disk, `stats` included.
    pub stored: u64,
    /// Lines that the disk did not take.
    pub lost: u64,
    /// Whether the disk refuses lines now.
    pub failing: bool,
}

impl EventCounts {
    /// What the pump did so far.
    #[must_use]
    pub fn totals(&self) -> EventTotals {
        // Relaxed: each number stands alone and has one writer.
        EventTotals {
            received: self.received.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failing: self.failing(),
        }
    }

    /// Whether the disk refuses lines now.
    #[must_use]
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

/// Drains rings into a file. `start` runs it on its own thread; a replay calls [`Self::turn`] and
/// [`Self::finish`] itself and gets the same bytes for the same input.
pub struct EventPump {
    receivers: Vec<EventReceiver>,
    names: Arc<Names>,
    counts: Arc<EventCounts>,
    file: Option<EveFile>,
    types: EveTypes,
    formatter: Formatter,
    lines: Vec<u8>,
    /// Fields of one transaction, or what speaks for the risks of one flow; reused.
    fields: Vec<u8>,
    warning: RateLimited,
    flushed: Instant,
    received: u64,
    skipped: u64,
    /// Who else is told.
    live: Option<Arc<Hub>>,
    tape: Option<Tape>,
    staged: Staged,
    /// Lines for listeners that the file does not want.
    own: Vec<u8>,
    sampler: Sampler,
    /// Who wants to know of DHCP leases.
    leases: Option<LeaseSender>,
}

/// Events taken from one ring before the next one's turn.
const RING_BATCH: usize = 4_096;

/// How often a disk that takes no lines is spoken of.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Lines stay in memory for this long at most.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

impl EventPump {
    /// Drains `receivers` (by worker) into `file`; without one events are counted and forgotten.
    #[must_use]
    pub fn new(
        receivers: Vec<EventReceiver>,
        names: Arc<Names>,
        file: Option<EveFile>,
        types: EveTypes,
        counts: Arc<EventCounts>,
    ) -> Self {
        Self {
            receivers,
            names,
            counts,
            file,
            formatter: Formatter::with_community_seed(types.community_seed),
            types,
            lines: Vec::with_capacity(1 << 16),
            fields: Vec::with_capacity(1 << 12),
            warning: RateLimited::new(WARN_EVERY),
            flushed: Instant::now(),
            received: 0,
            skipped: 0,
            live: None,
            tape: None,
            staged: Staged::default(),
            own: Vec::new(),
            sampler: Sampler::default(),
            leases: None,
        }
    }

    /// Tells of DHCP leases, too.
    #[must_use]
    pub fn with_leases(mut self, leases: LeaseSender) -> Self {
        self.leases = Some(leases);
        self
    }

    /// Tells whoever listens, and what records, of all events besides, whichever types the file has.
    #[must_use]
    pub fn with_live(mut self, hub: Arc<Hub>, tape: Option<Tape>) -> Self {
        (self.live, self.tape) = (Some(hub), tape);
        self
    }

    /// Events that come from now on are of this capture file, and name it. Those in the rings are of the one before.
    pub fn set_capture(&mut self, file: &std::path::Path, wall: Wall) {
        while self.turn(wall) > 0 {}
        self.formatter.set_capture(file);
    }

    /// Takes what is in the rings now, a bounded share of each; returns how much it was. `wall` stamps events
    /// that carry no time of their own.
    pub fn turn(&mut self, wall: Wall) -> usize {
        let mut receivers = std::mem::take(&mut self.receivers);
        let mut taken = 0;
        for alerts_only in [true, false] {
            for (worker, receiver) in receivers.iter_mut().enumerate() {
                let ring = if alerts_only { &mut receiver.alerts } else { &mut receiver.records };
                let waiting = ring.slots().min(RING_BATCH);
                let fields = &mut receiver.fields;
                if let Ok(chunk) = ring.read_chunk(waiting) {
                    taken += waiting;
                    let lines = chunk
                        .into_iter()
                        .map(|event| u64::from(self.format(worker, wall, &event, fields)))
                        .sum();
                    self.write_lines(lines);
                }
            }
        }
        self.receivers = receivers;
        self.received += taken as u64;
        if let Some(file) = &mut self.file {
            let outcome = file.rotate_at(wall, Instant::now());
            self.report(outcome);
        }
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush();
        }
        if let Some(tape) = &mut self.tape {
            tape.turn(Instant::now());
        }
        self.publish_counts();
        taken
    }

    /// Takes everything out of the rings and hands it to the disk.
    pub fn finish(&mut self, wall: Wall) {
        while self.turn(wall) > 0 {}
        self.flush();
        if let Some(tape) = &mut self.tape {
            tape.flush();
        }
        self.publish_counts();
    }

    /// Appends a `stats` event of what the boards say.
    pub fn stats(&mut self, door: &Door, uptime: Duration, wall: Wall) {
        eve_stats::write(&mut self.lines, door, uptime, wall);
        self.write_lines(1);
    }

    /// Runs on a thread of its own, which inherits the caller's CPU affinity: call it from a thread that is
    /// not pinned to a worker's core.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn start(self, door: Arc<Door>, clock: fn() -> Now) -> std::io::Result<PumpHandle> {
        let has_file = self.file.is_some();
        let switches = Arc::new(Switches::default());
        let seen = Arc::clone(&switches);
        let thread = std::thread::Builder::new()
            .name("jarvis-events".into())
            .spawn(move || self.run(&door, clock, &seen))?;
        Ok(PumpHandle { switches, has_file, thread: Some(thread) })
    }

    fn run(mut self, door: &Door, clock: fn() -> Now, switches: &Switches) {
        const SLEEP_MIN: Duration = Duration::from_micros(250);
        const SLEEP_MAX: Duration = Duration::from_millis(20);
        const HOUSEKEEPING: Duration = Duration::from_secs(1);
        let begun = Instant::now();
        let mut sleep = SLEEP_MIN;
        let mut housekept = begun;
        let mut stats_at = self.types.stats_every.map(|every| begun + every);
        loop {
            // Acquire: pairs with the Release in `stop`; events sent before it are in the rings.
            let stopping = switches.stop.load(Ordering::Acquire);
            let wall = clock().wall;
            self.tell_of_the_daemon(door, wall);
            // Records name countries by the database that workers go by.
            self.names.follow_geography(door.publisher.current().geography.as_ref());
            let taken = self.turn(wall);
            if stopping {
                if self.types.stats_every.is_some() {
                    self.stats(door, begun.elapsed(), wall);
                }
                self.finish(wall);
                return;
            }
            if switches.reopen.swap(false, Ordering::Relaxed) {
                self.reopen();
            }
            let now = Instant::now();
            if let (Some(at), Some(every)) = (stats_at, self.types.stats_every)
                && now >= at
            {
                self.stats(door, begun.elapsed(), wall);
                stats_at = Some(now + every);
            }
            if now.duration_since(housekept) >= HOUSEKEEPING {
                door.publisher.reap();
                self.counts.talkers.turn(now);
                if let Some(hub) = &self.live {
                    self.sampler.tell(hub, door, now, wall);
                }
                housekept = now;
            }
            sleep = if taken > 0 { SLEEP_MIN } else { (sleep * 2).min(SLEEP_MAX) };
            if taken < RING_BATCH {
                std::thread::park_timeout(sleep);
            }
        }
    }

    /// Takes what the daemon's own threads have told.
    fn tell_of_the_daemon(&mut self, door: &Door, wall: Wall) {
        let mut lines = 0;
        while let Some(change) = door.told() {
            self.received += 1;
            let is_of_file = self.file.is_some() && self.types.engine;
            self.format_state(None, wall, &change, is_of_file);
            lines += u64::from(is_of_file);
        }
        self.write_lines(lines);
    }

    /// Whether a line was appended.
    fn format(&mut self, worker: usize, wall: Wall, event: &Event, fields: &mut Consumer<u8>) -> bool {
        if let Event::Transaction(told) = event {
            return self.format_transaction(worker, told, fields);
        }
        if let Event::Lease(lease) = event {
            self.skipped += 1;
            if let Some(leases) = &self.leases {
                leases.tell(lease);
            }
            return false;
        }
        if let Event::State(change) = event {
            let is_of_file = self.file.is_some() && self.types.engine;
            self.format_state(Some(worker), wall, change, is_of_file);
            return is_of_file;
        }
        self.fields.clear();
        if let Event::Flow(end) = event {
            self.counts.applications.count(end);
            self.counts.talkers.count(end);
            self.counts.shadow.count(&self.names, end);
            if !self.take_fields(usize::from(end.clues_len), fields) {
                return false;
            }
        }
        if let Event::Tagged(told) = event
            && !self.take_fields(told.len_bytes as usize, fields)
        {
            return false;
        }
        let (topic, is_typed) = match event {
            Event::Flow(_) => (Topic::Flows, self.types.flow),
            Event::Drop(_) => (Topic::Alerts, self.types.drop),
            Event::Alert(_) | Event::Tagged(_) => (Topic::Alerts, self.types.alert),
            Event::Anomaly(_) => (Topic::Alerts, self.types.anomaly),
            Event::State(_) => (Topic::System, self.types.engine),
            Event::Transaction(_) | Event::Lease(_) => (Topic::Protocols, false),
        };
        let is_of_file = self.file.is_some() && is_typed;
        // Whole packets are for the file.
        let is_told = self.is_told(topic) && !matches!(event, Event::Tagged(_));
        if !is_of_file {
            self.skipped += 1;
            if !is_told {
                return false;
            }
        }
        let lines = if is_of_file { &mut self.lines } else { &mut self.own };
        let (names, begin) = (&self.names, lines.len());
        match event {
            Event::Flow(end) => self.formatter.flow(lines, names, worker, end, &self.fields),
            Event::Transaction(_) | Event::Lease(_) => {}
            Event::Drop(record) => self.formatter.drop(lines, names, worker, record),
            Event::Alert(alert) => self.formatter.alert(lines, names, worker, alert),
            Event::Anomaly(record) => self.formatter.anomaly(lines, names, worker, record),
            Event::Tagged(told) => self.formatter.tagged(lines, names, worker, told, &self.fields),
            Event::State(_) => {}
        }
        let line = begin..lines.len();
        if is_told {
            let facts = match event {
                Event::Flow(end) => self.staged.of_flow(names, end),
                Event::Drop(record) => self.staged.of_record(names, "drop", record),
                Event::Alert(alert) => self.staged.of_record(names, "alert", &alert.record),
                Event::Anomaly(record) => self.staged.of_record(names, "anomaly", record),
                Event::State(_) | Event::Tagged(_) | Event::Lease(_) => Facts::default(),
                Event::Transaction(told) => staged::of_transaction(told),
            };
            self.staged.push(topic, facts, is_of_file, line);
        }
        is_of_file
    }

    fn is_told(&self, topic: Topic) -> bool {
        self.live.as_ref().is_some_and(|hub| hub.wants(topic))
    }

    /// An event about the daemon.
    fn format_state(&mut self, worker: Option<usize>, wall: Wall, change: &StateChange, is_of_file: bool) {
        let is_told = self.is_told(Topic::System);
        self.skipped += u64::from(!is_of_file);
        if !is_of_file && !is_told {
            return;
        }
        let lines = if is_of_file { &mut self.lines } else { &mut self.own };
        let begin = lines.len();
        self.formatter.state(lines, &self.names, worker, wall, change);
        if is_told {
            let facts = Facts { event_type: "engine".into(), ..Facts::default() };
            self.staged.push(Topic::System, facts, is_of_file, begin..lines.len());
        }
    }

    /// Takes `len` bytes out of their ring; `false` where they are not there.
    fn take_fields(&mut self, len: usize, fields: &mut Consumer<u8>) -> bool {
        let Ok(chunk) = fields.read_chunk(len) else { return false };
        self.fields.clear();
        let (first, second) = chunk.as_slices();
        self.fields.extend_from_slice(first);
        self.fields.extend_from_slice(second);
        chunk.commit_all();
        true
    }

    /// Takes a transaction's fields out of their ring, in any case, and appends its line.
    fn format_transaction(&mut self, worker: usize, told: &Transaction, fields: &mut Consumer<u8>) -> bool {
        if !self.take_fields(told.fields_len as usize, fields) {
            return false;
        }
        let wanted = match told.event_type {
            "anomaly" => self.types.anomaly,
            event_type => self.types.transactions.has(event_type),
        };
        // What is wrong with payload is an anomaly like others.
        let topic = if told.event_type == "anomaly" { Topic::Alerts } else { Topic::Protocols };
        let (is_of_file, is_told) = (self.file.is_some() && wanted, self.is_told(topic));
        if !is_of_file {
            self.skipped += 1;
            if !is_told {
                return false;
            }
        }
        let lines = if is_of_file { &mut self.lines } else { &mut self.own };
        let begin = lines.len();
        self.formatter.transaction(lines, &self.names, worker, told, &self.fields);
        if is_told {
            self.staged.push(topic, staged::of_transaction(told), is_of_file, begin..lines.len());
        }
        is_of_file
    }

    fn write_lines(&mut self, count: u64) {
        if let Some(hub) = &self.live {
            self.staged.tell(hub, self.tape.as_mut(), &self.lines, &self.own);
            self.own.clear();
        }
        if count > 0
            && let Some(file) = &mut self.file
        {
            let outcome = file.write(&self.lines, count, Instant::now());
            self.report(outcome);
        }
        self.lines.clear();
    }

    fn flush(&mut self) {
        self.flushed = Instant::now();
        if let Some(file) = &mut self.file {
            let outcome = file.flush(self.flushed);
            self.report(outcome);
        }
    }

    fn reopen(&mut self) {
        if let Some(file) = &mut self.file {
            let outcome = file.reopen(Instant::now());
            self.report(outcome);
        }
    }

    fn report(&self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome
            && let Some(suppressed) = self.warning.permit(Instant::now())
            && let Some(file) = &self.file
        {
            let (path, lost) = (file.path().display(), file.lost());
            tracing::warn!(%path, %error, lost, suppressed, "event lines are lost: the disk does not take them");
        }
    }

    fn publish_counts(&self) {
        let counts = &self.counts;
        counts.received.store(self.received, Ordering::Relaxed);
        counts.skipped.store(self.skipped, Ordering::Relaxed);
        if let Some(file) = &self.file {
            counts.stored.store(file.stored(), Ordering::Relaxed);
            counts.lost.store(file.lost(), Ordering::Relaxed);
            if counts.failing.swap(file.failing(), Ordering::Relaxed) && !file.failing() {
                let (path, lost) = (file.path().display(), file.lost());
                tracing::info!(%path, lost, "the disk takes event lines again");
            }
        }
    }
}

#[derive(Debug, Default)]
struct Switches {
    stop: AtomicBool,
    reopen: AtomicBool,
}

/// The running pump; dropping it stops it.
#[derive(Debug)]
pub struct PumpHandle {
    switches: Arc<Switches>,
    has_file: bool,
    thread: Option<JoinHandle<()>>,
}

impl PumpHandle {
    /// Whether events go to a file.
    #[must_use]
    pub const fn has_file(&self) -> bool {
        self.has_file
    }

    /// Opens the file again at its path, after a log rotator renamed it.
    pub fn reopen(&self) {
        self.switches.reopen.store(true, Ordering::Relaxed);
    }

    /// Whether its thread still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Drains the rings for the last time, writes what came, ends. Call it after the workers have stopped.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        // Release: pairs with the Acquire in `run`.
        self.switches.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for PumpHandle {
    fn drop(&mut self) {
        self.shut_down();
    }
}

#[cfg(test)]
mod tests;
