//! The poll loop of one core: receive, judge, send, complete, refill, and once a turn everything else.
//!
//! A worker owns its rings, frames, flow table and counters; nobody else touches them. It reads the clock once
//! and loads the snapshot once a batch, and never waits for anyone: what does not fit is dropped and counted.
//!
//! [`Worker::turn`] is the loop's body and [`Worker::run`] the loop; tests call the first with rings in memory.

mod clock;
mod config;
mod gather;
mod host_port;
mod lifecycle;
mod sleep;

use std::sync::Arc;

use xsk::{FrameBatch, FramePool, PacketPort};

pub use clock::{Clock, SystemClock};
pub use config::{Wait, WorkerConfig};
pub use host_port::{HOST_FRAME_BYTES_MAX, HostDevice, HostPort};
pub use lifecycle::{Lifecycle, Phase};
pub use sleep::{Sleeper, sleepers};

use crate::control::{Event, PortGauges, StateChange, WorkerDoor};
use crate::engine::{BATCH_MAX, Engine, HOST_PORT, Outcome};
use crate::time::{Now, Tick};
use crate::tx::exits::{Exits, Origin, Wire};
use crate::tx::handoff::{HandOffs, HandedOff};
use crate::tx::held::HeldFrames;
use crate::verdict::Reason;
use gather::Gathered;

/// How often the board is written while traffic flows, nanoseconds: often enough for a 1 s display, seldom
/// enough to cost nothing.
const BOARD_EVERY_NS: u64 = 2 * Tick::MS;

/// How often the kernel is asked for its socket counters, nanoseconds (a system call a socket).
const STATISTICS_EVERY_NS: u64 = 500 * Tick::MS;

/// Everything that the poll loop of one core owns.
pub struct Worker<P> {
    config: WorkerConfig,
    engine: Engine,
    exits: Exits<P>,
    door: WorkerDoor,
    heartbeat: Heartbeat,
    outcome: Outcome,
    gathered: Gathered,
    received: FrameBatch,
    last: Option<Tick>,
    board_written: Tick,
    statistics_read: Tick,
    batches: u64,
}

/// Tells the XDP program that this worker is alive: stores `CLOCK_MONOTONIC` where the program reads it.
pub type Heartbeat = Box<dyn FnMut(Tick) + Send>;

/// What a worker is made from.
pub struct Parts<P> {
    /// Its settings.
    pub config: WorkerConfig,
    /// Its engine.
    pub engine: Engine,
    /// Its rings on each wire, by port index.
    pub wires: Vec<P>,
    /// Its rings on the mirror port.
    pub mirror: Option<P>,
    /// The `host` port, at worker 0 only.
    pub host: Option<HostPort>,
    /// Its frames.
    pub pool: FramePool,
    /// Its links to the other workers.
    pub hand_offs: HandOffs,
    /// How it waits and wakes others.
    pub sleeper: Sleeper,
    /// Its side of the door.
    pub door: WorkerDoor,
    /// Its heartbeat.
    pub heartbeat: Heartbeat,
}

/// What is left when a worker has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    /// Frames that are neither in the pool nor in a ring nor lent: always 0.
    pub outstanding: usize,
}

impl<P: PacketPort> Worker<P> {
    /// Puts the parts together and fills the fill rings.
    #[must_use]
    pub fn new(parts: Parts<P>) -> Self {
        let Parts {
            config,
            mut engine,
            wires,
            mirror,
            host,
            mut pool,
            mut hand_offs,
            sleeper,
            door,
            heartbeat,
        } = parts;
        let mut wires: Vec<_> = wires.into_iter().map(Wire::new).collect();
        for wire in &mut wires {
            wire.rings.refill(&mut pool, config.fill_frames);
        }
        hand_offs.lend(&mut pool, config.reserve_frames);
        engine.count_into(Arc::clone(&door.tally));
        let held = HeldFrames::new(engine.datagrams_max());
        Self {
            config,
            engine,
            exits: Exits { wires, mirror: mirror.map(Wire::new), host, hand_offs, sleeper, held, pool },
            door,
            heartbeat,
            outcome: Outcome::default(),
            gathered: Gathered::default(),
            received: FrameBatch::new(),
            last: None,
            board_written: Tick(0),
            statistics_read: Tick(0),
            batches: 0,
        }
    }

    /// Turns until told to stop; then ends every flow and says farewell.
    pub fn run(mut self, mut clock: impl Clock, lifecycle: &Lifecycle) -> Farewell {
        let mut idle_since = None;
        loop {
            match lifecycle.phase() {
                Phase::Running | Phase::Draining => {}
                Phase::Stopped => return self.stop(&mut clock),
            }
            let now = clock.now();
            if self.turn(now, &mut clock) > 0 {
                idle_since = None;
                continue;
            }
            let since = *idle_since.get_or_insert(now.tick);
            // A sweep with a sleep after every slice would take 20 s for 1M slots.
            if self.engine.is_sweeping() {
                continue;
            }
            self.wait(now.tick.ns_since(since));
        }
    }

    /// One turn: whatever has arrived is judged and sent. Returns the packets found.
    pub fn turn(&mut self, now: Now, clock: &mut impl Clock) -> usize {
        (self.heartbeat)(now.tick);
        let silent_ns = self.last.map_or(0, |last| now.tick.ns_since(last));
        if silent_ns > self.config.watchdog_ns {
            self.discard_stale(silent_ns);
        }
        self.last = Some(now.tick);

        self.engine.identify(&mut self.door.identities);
        let mut found = 0;
        for port in 0..self.exits.wires.len() {
            found += self.receive(port, now, clock);
        }
        if !self.exits.hand_offs.is_alone() {
            found += self.receive_handed_off(now, clock);
            self.exits.hand_offs.lend(&mut self.exits.pool, self.config.reserve_frames);
        }
        if self.exits.host.is_some() {
            found += self.receive_from_host(now, clock);
        }
        self.between_batches(now, found == 0);
        self.exits.flush(self.config.fill_frames, self.engine.counters_mut());
        self.batches += u64::from(found > 0);
        if found == 0 || now.tick.ns_since(self.board_written) >= BOARD_EVERY_NS {
            self.publish(now);
        }
        found
    }

    fn receive(&mut self, port: usize, now: Now, clock: &mut impl Clock) -> usize {
        let wire = &mut self.exits.wires[port];
        if wire.rings.receive(&mut self.received, BATCH_MAX) == 0 {
            return 0;
        }
        self.gathered.clear();
        self.gathered.add_all(&self.received, Origin { in_port: port as u8, received: now.tick });
        let packets = self.gathered.packets();
        wire.gauges.rx_packets += packets as u64;
        wire.gauges.rx_bytes += self.received.iter().map(|frame| frame.len() as u64).sum::<u64>();
        self.process(now, clock);
        packets
    }

    fn receive_handed_off(&mut self, now: Now, clock: &mut impl Clock) -> usize {
        let others = self.config.workers.saturating_sub(1).max(1);
        self.gathered.clear();
        let (gathered, frames) = (&mut self.gathered, &mut self.received);
        let mut continues = false;
        let mut take = |handed: HandedOff| {
            let HandedOff { frame, in_port, hop, received } = handed;
            gathered.add(frames.len(), continues, hop, Origin { in_port, received });
            continues = frame.more();
            // At most a batch and one packet's pieces come, and twice a batch fits.
            let _fits = frames.push(frame);
            continues
        };
        self.exits.hand_offs.receive(BATCH_MAX / others, &mut take);
        let packets = self.gathered.packets();
        if packets > 0 {
            self.process(now, clock);
        }
        packets
    }

    fn receive_from_host(&mut self, now: Now, clock: &mut impl Clock) -> usize {
        let Some(host) = &mut self.exits.host else { return 0 };
        if host.receive(&mut self.received, &mut self.exits.pool) == 0 {
            return 0;
        }
        self.gathered.clear();
        self.gathered.add_all(&self.received, Origin { in_port: HOST_PORT, received: now.tick });
        let packets = self.gathered.packets();
        self.process(now, clock);
        packets
    }

    /// Judges the gathered packets and sends every frame where it belongs; leaves `received` empty.
    fn process(&mut self, now: Now, clock: &mut impl Clock) {
        let Self { engine, door, outcome, gathered, received, exits, .. } = self;
        let snapshot = door.snapshots.load();
        outcome.clear();
        gathered.show(received, now, |packets| engine.process(snapshot, packets, outcome, &mut door.events));
        gathered.write_back(received, outcome.rewritten);
        let counters = engine.counters_mut();
        if outcome.mirrored != 0 {
            for packet in (0..gathered.packets()).filter(|packet| outcome.mirrored >> packet & 1 == 1) {
                exits.mirror(&received[gathered.pieces(packet)], counters);
            }
        }
        let mut releases = outcome.releases.iter().peekable();
        let mut frames = received.drain();
        for packet in 0..gathered.packets() {
            while let Some(release) = releases.next_if(|release| usize::from(release.before) <= packet) {
                exits.release(release, now.tick, counters);
            }
            let pieces = frames.by_ref().take(gathered.pieces(packet).len());
            exits.place(pieces, outcome.dispositions[packet], gathered.origin(packet), counters);
        }
        drop(frames);
        for release in releases {
            exits.release(release, now.tick, counters);
        }
        for (port, bytes) in outcome.injected.iter() {
            exits.inject(bytes, port, counters);
        }
        let spent_ns = clock.now().tick.ns_since(now.tick);
        door.board.batch_ns.record(spent_ns, 1);
        door.board.ring_to_ring_ns.record(spent_ns, gathered.packets() as u64);
    }

    /// After a hang the frames that waited are as old as the hang: the fail mode has spoken for them.
    fn discard_stale(&mut self, silent_ns: u64) {
        let mut stale = 0;
        for wire in &mut self.exits.wires {
            loop {
                if wire.rings.receive(&mut self.received, BATCH_MAX) == 0 {
                    break;
                }
                stale += self.received.iter().filter(|frame| !frame.more()).count();
                self.exits.pool.give_all(&mut self.received);
            }
        }
        self.engine.counters_mut().by_reason[Reason::StaleAfterHang as usize] += stale as u64;
        let change = StateChange::Hang { silent_ms: silent_ns / Tick::MS, stale_frames: stale as u32 };
        self.door.events.send(Event::State(change));
    }

    /// Timers, the sweep after a policy change, and one question, each bounded.
    fn between_batches(&mut self, now: Now, idle: bool) {
        let Self { engine, door, outcome, exits, .. } = self;
        let snapshot = door.snapshots.load();
        outcome.clear();
        engine.between_batches(now, idle, snapshot, outcome, &mut door.events);
        let counters = engine.counters_mut();
        for release in &outcome.releases {
            exits.release(release, now.tick, counters);
        }
        for (port, bytes) in outcome.injected.iter() {
            exits.inject(bytes, port, counters);
        }
        if let Ok(mut asked) = door.asked.pop() {
            engine.answer(&mut asked.query, now, &mut door.events);
            // The asker reserved as many slots as it may ask questions; one that left needs no answer.
            let _taken = door.answered.push(asked);
        }
    }

    fn publish(&mut self, now: Now) {
        let board = &self.door.board;
        self.board_written = now.tick;
        if now.tick.ns_since(self.statistics_read) >= STATISTICS_EVERY_NS {
            self.statistics_read = now.tick;
            for wire in &mut self.exits.wires {
                // A socket that cannot tell keeps the numbers that it told last.
                if let Ok(told) = wire.rings.statistics() {
                    wire.gauges = PortGauges {
                        rx_dropped: told.rx_dropped,
                        rx_invalid_descs: told.rx_invalid,
                        tx_invalid_descs: told.tx_invalid,
                        rx_ring_full: told.rx_ring_full,
                        rx_fill_ring_empty_descs: told.rx_fill_empty,
                        tx_ring_empty_descs: told.tx_ring_empty,
                        ..wire.gauges
                    };
                }
            }
        }
        for (port, wire) in self.exits.wires.iter().enumerate() {
            board.write_port(port, &wire.gauges);
        }
        board.write_counters(self.engine.counters());
        board.write_flow(&self.engine.gauges(&self.door.events));
        board.write_identity(self.door.identities.taken());
        let version = self.door.snapshots.load().version;
        self.door.board.write_turn(now.tick.0, self.batches, version, self.exits.outstanding() as u64);
    }

    fn wait(&mut self, idle_ns: u64) {
        match self.config.wait {
            Wait::BusyPoll => std::hint::spin_loop(),
            Wait::Adaptive { spin } if u128::from(idle_ns) < spin.as_nanos() => std::hint::spin_loop(),
            Wait::Adaptive { .. } | Wait::Interrupt => {
                let mut fds = [0; xsk::wait::WAIT_FDS_MAX - 1];
                let mut count = 0;
                let wires = self.exits.wires.iter().filter_map(|wire| wire.rings.fd());
                for fd in wires.chain(self.exits.host.as_ref().and_then(HostPort::fd)).take(fds.len()) {
                    fds[count] = fd;
                    count += 1;
                }
                let Exits { sleeper, hand_offs, .. } = &mut self.exits;
                let door = &self.door;
                sleeper.sleep(&fds[..count], config::SLEEP_MAX_MS, || {
                    hand_offs.any_waiting() || !door.asked.is_empty() || door.identities.is_waiting()
                });
            }
        }
    }

    fn stop(mut self, clock: &mut impl Clock) -> Farewell {
        let now = clock.now();
        self.outcome.clear();
        self.engine.end_all(now, &mut self.outcome, &mut self.door.events);
        for release in &self.outcome.releases {
            self.exits.release(release, now.tick, self.engine.counters_mut());
        }
        self.exits.flush(0, self.engine.counters_mut());
        self.publish(now);
        Farewell { outstanding: self.exits.outstanding() }
    }
}

impl<P> std::fmt::Debug for Worker<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("config", &self.config)
            .field("batches", &self.batches)
            .finish_non_exhaustive()
    }
}
