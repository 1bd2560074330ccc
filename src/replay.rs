//! What would the appliance have made of this traffic? Judges capture files with the live engine.
//!
//! One thread, one engine, the file's time: packet time never runs back, the hash seed is fixed, events are
//! taken in a fixed rhythm. So the same input writes byte-identical EVE. The end of the last file ends every
//! flow, and one `stats` event closes the output. A file that is cut short or corrupt is read as far as it
//! can be; the rest is reported and the exit code says so.
//!
//! Verdicts are advice unless `--inline` asks for obedience. All packets come in by port 0, or, where the
//! configuration tells the networks behind both ports, by the port whose networks hold the source.

use crate::cli::{self, ChecksumFlag};
use crate::config::{Checksum, Config, Mode};
use crate::failure::Failure;
use crate::{setup, workers};
use controlplane::services::{EventCounts, EventPump, EveTypes, Names};
use controlplane::store::EveFile;
use dataplane::control::{Door, Event, EventSender, Snapshot, WorkerDoor, door};
use dataplane::engine::{BATCH_MAX, Engine, Hop, Outcome, Packet};
use dataplane::host::Buckets;
use dataplane::parse::LinkType;
use dataplane::rx::savefile::SavefileReader;
use dataplane::time::{Now, Tick, Wall};
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Batches between two looks at the event rings: 16 batches of 64 packets cannot fill a ring of 4,096.
const BATCHES_PER_DRAIN: u32 = 16;
/// Flow records between two looks while the table is emptied; the ring holds 16,384.
const RECORDS_PER_DRAIN: u32 = 4_096;
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
    let mut config = setup::read_config(&typed.config, &Default::default(), crate::config::Ports::Optional)?;
    config.policy_file = typed.policy.clone().or(config.policy_file);
    config.mode = if typed.inline { Mode::Inline } else { Mode::Tap };
    config.worker.count = 1;
    setup::assume_ports(&mut config);
    if typed.checksum == ChecksumFlag::None {
        for port in &mut config.ports {
            port.checksum = Checksum::AssumeGood;
        }
    }
    let mut replay = Replay::new(&config, &typed.eve)?;
    let mut unread = Vec::new();
    for capture in &typed.captures {
        if let Err(reason) = replay.file(capture) {
            unread.push(format!("{}: {reason}", capture.display()));
        }
    }
    replay.finish()?;
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
    ports: Vec<Vec<ipnet::IpNet>>,
    now: Now,
    first: Option<Wall>,
    batches: u32,
    progress: Progress,
}

#[derive(Clone, Copy)]
struct Meta {
    link: LinkType,
    at: Now,
    in_port: u8,
}

impl Replay {
    fn new(config: &Config, eve: &Path) -> Result<Self, Failure> {
        let mut policies = setup::policies(config);
        let set = setup::load_policies(&mut policies, config)?;
        let names = Arc::new(Names::new(workers::port_names(config)));
        names.remember_set(&set);
        let first = Snapshot { version: 1, policy: Arc::new(set), settings: workers::settings(config) };
        let (door, inside, receivers) = door(first, 1, None);
        let inside = inside.into_iter().next().expect("one worker was asked for");
        let counts = Arc::new(EventCounts::default());
        let file = open_output(eve)?;
        let types = EveTypes { stats_every: None, ..EveTypes::default() };
        let mut engine_config = workers::engine_config(config, 0, SEED);
        if config.mode == Mode::Tap {
            // Nothing was lost in front of a file: its first packets start flows as any others.
            engine_config.mode = dataplane::engine::Mode::Tap;
        }
        Ok(Self {
            engine: Engine::new(engine_config, Arc::new(Buckets::default())),
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
            progress: Progress::new(),
        })
    }

    /// Judges one file; an error names what could not be read.
    fn file(&mut self, path: &Path) -> Result<(), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let total = file.metadata().map_or(0, |metadata| metadata.len());
        let read = Rc::new(Cell::new(0));
        let source = Counted { inner: file, read: Rc::clone(&read) };
        let mut reader = SavefileReader::new(source).map_err(|error| error.to_string())?;
        let outcome = loop {
            match reader.next() {
                Ok(Some(record)) => {
                    // Time never runs back: a packet that claims to be older came now.
                    let wall = record.wall.max(self.now.wall);
                    self.first.get_or_insert(wall);
                    self.now = Now { tick: Tick(wall.0), wall };
                    let meta = Meta { link: record.link, at: self.now, in_port: 0 };
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
}
