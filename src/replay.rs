//! What would the appliance have made of this traffic? Judges capture files with the live engine.
//!
//! One thread, one engine, the file's time: packet time never runs back, the hash seed is fixed, events are
//! taken in a fixed rhythm. So the same input writes byte-identical EVE. The end of the last file ends every
//! flow, and one `stats` event closes the output where the configuration's `[eve] types` have it. A file that is cut
//! short or corrupt is read as far as it can be; the rest is reported and the exit code says so.
//!
//! Verdicts are advice unless `--inline` asks for obedience. All packets come in by port 0, or, where the
//! configuration tells the networks behind both ports, by the port whose networks hold the source.

use crate::cli::{self, ChecksumFlag};
use crate::config::{Checksum, Config, Mode, PortFlags, Ports};
use crate::failure::Failure;
use crate::{geography, rules, serve, setup, workers};
use controlplane::services::policy_shadow::ShadowIds;
use controlplane::services::{EveTypes, EventCounts, EventPump, Names};
use controlplane::store::EveFile;
use dataplane::control::{Door, PortGauges, Snapshot, WorkerDoor, door};
use dataplane::engine::{BATCH_MAX, Engine, Hop, Outcome, Packet};
use dataplane::host::Shared;
use dataplane::parse::{Headers, LinkType, parse_frame};
use dataplane::policy::Shadow;
use dataplane::rules::datasets::Datasets;
use dataplane::rules::memory::Names as RuleNames;
use dataplane::rx::savefile::SavefileReader;
use dataplane::time::{Now, Tick, Wall};
use ipnet::IpNet;
use std::cell::Cell;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Batches between two looks at the event rings: what 4 batches of 64 packets tell does not fill them.
const BATCHES_PER_DRAIN: u32 = 4;
/// Flow records between two looks while the table is emptied; the ring holds 16,384.
const RECORDS_PER_DRAIN: u32 = 1_024;
/// A pause in the file after which all due timers run before the next packet.
const PAUSE_NS: u64 = 100 * Tick::MS;
/// Any constant will do; a random one would change the order of flows in the output.
const SEED: u64 = 0x6a61_7276_6973;

/// Runs `jarvis replay`.
///
/// # Errors
///
/// What is wrong with the configuration or the policies; or the capture files that could not be read to
/// their end, after all that could be read was judged and written.
pub(crate) fn run(typed: &cli::Replay) -> Result<(), Failure> {
    let mut config = setup::read_config(&typed.config, &PortFlags::default(), Ports::Optional)?;
    config.policy_file = typed.policy.clone().or(config.policy_file);
    if !typed.rules.is_empty() {
        config.rules.files.clone_from(&typed.rules);
    }
    config.mode = if typed.inline { Mode::Inline } else { Mode::Tap };
    config.worker.count = 1;
    // Events go to the file that was asked for, and nowhere else.
    config.eve.file = Some(typed.eve.clone());
    config.store.events.keep = false;
    setup::assume_ports(&mut config);
    if typed.checksum == ChecksumFlag::None {
        for port in &mut config.ports {
            port.checksum = Checksum::AssumeGood;
        }
    }
    let mut replay = Replay::new(&config, typed)?;
    let mut unread = Vec::new();
    for capture in &typed.captures {
        if let Err(reason) = replay.file(capture) {
            unread.push(format!("{}: {reason}", capture.display()));
        }
    }
    let datasets = Arc::clone(&replay.datasets);
    replay.finish()?;
    unread.extend(datasets.save());
    if unread.is_empty() { Ok(()) } else { Err(Failure::lines(unread)) }
}

struct Replay {
    engine: Engine,
    door: Arc<Door>,
    inside: WorkerDoor,
    pump: EventPump,
    counts: Arc<EventCounts>,
    outcome: Outcome,
    /// Bytes of the batch under way, one buffer a packet.
    buffers: Vec<Vec<u8>>,
    metas: Vec<Meta>,
    ports: Vec<Vec<IpNet>>,
    now: Now,
    first: Option<Wall>,
    batches: u32,
    timers_ran: Tick,
    progress: Progress,
    /// What rules gathered.
    datasets: Arc<Datasets>,
    /// Whether one `stats` event closes the output.
    totals_are_told: bool,
    /// Whether events name the file.
    names_file: bool,
}

#[derive(Clone, Copy)]
struct Meta {
    link: LinkType,
    at: Now,
    in_port: u8,
    /// Which packet of its file.
    number: u64,
}

impl Replay {
    fn new(config: &Config, typed: &cli::Replay) -> Result<Self, Failure> {
        let eve = typed.eve.as_path();
        let inspection = setup::inspection(config)?;
        let mut policies = setup::policies(config, inspection.as_ref());
        let set = setup::load_policies(&mut policies, config)?;
        let shadow = match &typed.shadow {
            Some(path) => Some(Arc::new(Shadow::new(1, policies.load_file(path, 0)?, 1))),
            None => None,
        };
        let mut names_of_rules = RuleNames::default();
        let signatures = rules::set(&config.rules, &mut names_of_rules)?;
        for line in signatures.wrong.iter().chain(&signatures.unsupported) {
            eprintln!("left out: {line}");
        }
        for line in &signatures.idle {
            eprintln!("warning: {line}");
        }
        let names = Arc::new(Names::new(workers::port_names(config)));
        names.remember_set(&set);
        names.remember_shadow(shadow.as_deref().map(|shadow| Arc::new(ShadowIds::of(shadow, true))));
        let first = Snapshot {
            version: 1,
            policy: Arc::new(set),
            settings: workers::settings(config),
            apps: None,
            rules: signatures.set,
            shadow,
            geography: geography::of(signatures.countries, &geography::own(config)),
        };
        names.follow_geography(first.geography.as_ref());
        let (door, inside, receivers) = door(first, 1, None);
        let inside = inside.into_iter().next().expect("one worker was asked for");
        let counts = Arc::new(EventCounts::default());
        let file = open_output(eve)?;
        let types = EveTypes { stats_every: None, ..serve::event_types(config) };
        let shared = Arc::new(Shared::default());
        let engine = workers::engine_config(config, 0, SEED, inspection.map(|(inspection, _)| inspection));
        Ok(Self {
            engine: Engine::new(engine, shared),
            door: Arc::new(door),
            inside,
            pump: EventPump::new(receivers, names, Some(file), types, Arc::clone(&counts)),
            counts,
            outcome: Outcome::default(),
            buffers: (0..BATCH_MAX).map(|_| Vec::with_capacity(2_048)).collect(),
            metas: Vec::with_capacity(BATCH_MAX),
            ports: config.ports.iter().map(|port| port.networks.clone()).collect(),
            now: Now::default(),
            first: None,
            batches: 0,
            timers_ran: Tick(0),
            progress: Progress::new(),
            datasets: Arc::clone(&names_of_rules.datasets),
            totals_are_told: config.eve.types.stats,
            names_file: config.eve.pcap_file,
        })
    }

    /// Judges one file; an error names what could not be read.
    fn file(&mut self, path: &Path) -> Result<(), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let total = file.metadata().map_or(0, |metadata| metadata.len());
        let read = Rc::new(Cell::new(0));
        let source = Counted { inner: file, read: Rc::clone(&read) };
        let mut reader = SavefileReader::new(source).map_err(|error| error.to_string())?;
        if self.names_file {
            self.pump.set_capture(path, self.now.wall);
        }
        let mut number = 0;
        let outcome = loop {
            match reader.next() {
                Ok(Some(record)) => {
                    // Time never runs back: a packet that claims to be older came now.
                    let wall = record.wall.max(self.now.wall);
                    self.first.get_or_insert(wall);
                    self.now = Now { tick: Tick(wall.0), wall };
                    let in_port = side_of(&self.ports, record.bytes, record.link);
                    number += 1;
                    let meta = Meta { link: record.link, at: self.now, in_port, number };
                    let buffer = &mut self.buffers[self.metas.len()];
                    buffer.clear();
                    buffer.extend_from_slice(record.bytes);
                    self.metas.push(meta);
                    if self.metas.len() == BATCH_MAX {
                        self.batch();
                        self.progress.show(path, read.get(), total, self.engine.counters().received);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
        };
        self.batch();
        self.progress.clear();
        outcome
    }
    /// Judges the packets gathered, the due timers first.
    fn batch(&mut self) {
        let Some(first) = self.metas.first() else { return };
        let now = first.at;
        self.outcome.clear();
        self.timers(now);
        {
            let Self { engine, inside, outcome, buffers, metas, .. } = self;
            let mut packets: [Packet<'_>; BATCH_MAX] = std::array::from_fn(|_| Packet::empty());
            for ((slot, buffer), meta) in packets.iter_mut().zip(buffers.iter_mut()).zip(metas.iter()) {
                *slot = Packet {
                    bytes: buffer.as_mut_slice(),
                    in_port: meta.in_port,
                    link: meta.link,
                    hop: Hop::Wire,
                    at: meta.at,
                    number: meta.number,
                };
            }
            outcome.clear();
            let snapshot = inside.snapshots.load();
            engine.process(snapshot, &mut packets[..metas.len()], outcome, &mut inside.events);
        }
        self.metas.clear();
        self.batches += 1;
        if self.batches.is_multiple_of(BATCHES_PER_DRAIN) {
            self.pump.turn(self.now.wall);
        }
    }

    /// Ends the flows whose time is up: some each batch, after a pause in the file all of them.
    fn timers(&mut self, now: Now) {
        let paused = now.tick.ns_since(self.timers_ran) >= PAUSE_NS;
        loop {
            let ended = self.engine.gauges(&self.inside.events).ended_timeout;
            self.outcome.clear();
            let snapshot = self.inside.snapshots.load();
            self.engine.between_batches(now, true, snapshot, &mut self.outcome, &mut self.inside.events);
            if !paused || self.engine.gauges(&self.inside.events).ended_timeout == ended {
                break;
            }
            self.pump.turn(now.wall);
        }
        self.timers_ran = now.tick;
    }

    /// Ends every flow, writes what is left and the totals.
    fn finish(mut self) -> Result<(), Failure> {
        let uptime = Duration::from_nanos(self.first.map_or(0, |first| self.now.wall.0 - first.0));
        let Self { engine, inside, pump, outcome, now, door, totals_are_told, .. } = &mut self;
        pump.turn(now.wall);
        let mut waiting = 0;
        let WorkerDoor { events, board, .. } = inside;
        engine.end_flows(*now, events, &mut |_events| {
            waiting += 1;
            if waiting == RECORDS_PER_DRAIN {
                waiting = 0;
                pump.turn(now.wall);
            }
        });
        outcome.clear();
        engine.end_all(*now, outcome, events);
        let counters = engine.counters();
        let (rx_packets, rx_bytes) = (counters.received, counters.received_bytes);
        board.write_port(0, &PortGauges { rx_packets, rx_bytes, ..PortGauges::default() });
        board.write_counters(counters);
        board.write_flow(&engine.gauges(events));
        pump.turn(now.wall);
        if *totals_are_told {
            pump.stats(door, uptime, now.wall);
        }
        pump.finish(now.wall);
        self.report()
    }

    fn report(&self) -> Result<(), Failure> {
        let counters = self.engine.counters();
        let (seconds, packets) = (self.progress.started.elapsed().as_secs_f64(), counters.received);
        let totals = self.counts.totals();
        eprintln!(
            "{packets} packets, {} bytes, {} flows, {} dropped or refused by verdict; {} events written; \
             {seconds:.2} s, {:.0} packets/s",
            counters.received_bytes,
            self.engine.gauges(&self.inside.events).started,
            counters.dropped(),
            totals.stored,
            packets as f64 / seconds.max(1e-9),
        );
        if totals.lost > 0 {
            return Err(Failure::line(format!("{} event lines could not be written", totals.lost)));
        }
        Ok(())
    }
}

/// The port whose networks hold the packet's source; port 0 where the configuration tells no networks.
fn side_of(ports: &[Vec<IpNet>], bytes: &[u8], link: LinkType) -> u8 {
    if ports.iter().all(Vec::is_empty) {
        return 0;
    }
    let headers = parse_frame(bytes, link).ok();
    let Some((src, _)) = headers.as_ref().and_then(Headers::addrs) else { return 0 };
    let src = src.to_ip();
    let side = ports.iter().position(|networks| networks.iter().any(|network| network.contains(&src)));
    // Whoever is in nobody's networks comes from where none are told, as a default route does.
    side.or_else(|| ports.iter().position(Vec::is_empty)).unwrap_or(0) as u8
}

/// A fresh event file: what an earlier replay wrote there goes.
fn open_output(path: &Path) -> Result<EveFile, Failure> {
    let failed =
        |error: std::io::Error| Failure::line(format!("cannot write events to {}: {error}", path.display()));
    if path == Path::new("-") {
        return EveFile::open("/dev/stdout", None).map_err(failed);
    }
    // A pipe or a device is written to as it is.
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        File::create(path).map_err(failed)?;
    }
    EveFile::open(path, None).map_err(failed)
}

/// A source that tells how far it has been read.
struct Counted<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.read.set(self.read.get() + len as u64);
        Ok(len)
    }
}

/// A line on the terminal that says how far the replay is; nothing where there is no terminal.
struct Progress {
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { started: Instant::now(), shown: None, terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, path: &Path, read: u64, total: u64, packets: u64) {
        const EVERY: Duration = Duration::from_millis(200);
        if !self.terminal || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let share = (read * 100).checked_div(total).map_or_else(String::new, |share| format!(" {share} %,"));
        // A terminal that went away is no reason to stop.
        let _ = write!(std::io::stderr(), "\r\x1b[K{name}:{share} {packets} packets");
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
