//! The engine alone: packets from memory, verdicts to nowhere, one thread, no kernel.
//!
//! Each packet of the trace is copied into one of 64 frames first, as a ring would bring it (its bytes warm
//! in the cache); that copy is measured alone and subtracted. Everything else is the worker's turn: one
//! clock read, one snapshot load, one batch, the work between batches. Events are taken off their rings by
//! another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use dataplane::control::{Door, EventReceiver, Settings, Snapshot, WorkerDoor, door};
use dataplane::defrag::DefragConfig;
use dataplane::dpi::file::Files;
use dataplane::engine::{
    BATCH_MAX, ChecksumMode, Disposition, Engine, EngineConfig, Hop, Inspection, Mode, Outcome, Packet,
    PortConfig, Service, StreamConfig,
};
use dataplane::flow::FlowConfig;
use dataplane::flow::owner::OwnerTable;
use dataplane::host::Shared;
use dataplane::parse::LinkType;
use dataplane::policy::PolicySet;
use dataplane::rules::RuleSet;
use dataplane::time::{Now, Tick, Wall};

use crate::traffic::{Side, Trace};

/// Bytes of one frame: longer packets than the MTU's are not in any trace but of captures.
const FRAME_BYTES: usize = 2048;

/// An engine under load.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) door: Door,
    worker: WorkerDoor,
    out: Outcome,
    frames: Vec<[u8; FRAME_BYTES]>,
    pump: Option<(Arc<AtomicBool>, JoinHandle<u64>)>,
}

/// A packet of a capture file.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) link: LinkType,
    pub(crate) at: Wall,
}

/// What one pass over a trace took.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Pass {
    pub(crate) packets: u64,
    /// With the copy into the frames.
    pub(crate) elapsed_ns: u64,
    /// The copy alone.
    pub(crate) copy_ns: u64,
    /// Frames that were to leave by a port.
    pub(crate) sent: u64,
    /// Frames that were dropped.
    pub(crate) dropped: u64,
    /// Calls of the global allocator, of any thread.
    pub(crate) allocations: u64,
}

impl Pass {
    /// Time of the engine for one packet.
    pub(crate) fn ns_per_packet(&self) -> f64 {
        self.elapsed_ns.saturating_sub(self.copy_ns) as f64 / self.packets.max(1) as f64
    }

    /// Counts another pass in.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.elapsed_ns += other.elapsed_ns;
        self.copy_ns += other.copy_ns;
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.allocations += other.allocations;
    }

    /// Packets a second.
    pub(crate) fn rate_pps(&self) -> f64 {
        1e9 / self.ns_per_packet()
    }
}

impl Bench {
    /// An engine for `capacity` flows under `policy`.
    pub(crate) fn new(capacity: u32, policy: Arc<PolicySet>, seed: u64) -> Self {
        Self::inspecting(capacity, policy, seed, (None, None))
    }

    /// The same, which looks at payload, under rules where there are some.
    pub(crate) fn inspecting(
        capacity: u32,
        policy: Arc<PolicySet>,
        seed: u64,
        (inspection, rules): (Option<Inspection>, Option<Arc<RuleSet>>),
    ) -> Self {
        let port = |zone| PortConfig { zone, checksum: ChecksumMode::default(), networks: Vec::new() };
        let config = EngineConfig {
            mode: Mode::Inline,
            ports: vec![port(0), port(1)],
            announcement: None,
            service: Service::default(),
            flow: FlowConfig { capacity, ..FlowConfig::default() },
            defrag: DefragConfig::default(),
            worker: 0,
            owners: OwnerTable::even(1),
            vlan_in_key: true,
            seed,
            inspection,
            streams: StreamConfig::default(),
            files: Files::default(),
            limits: dataplane::dpi::parser::Limits::default(),
        };
        let first = Snapshot {
            version: 1,
            policy,
            settings: Settings::default(),
            apps: None,
            rules,
            shadow: None,
            geography: None,
        };
        let (door, mut workers, mut receivers) = door(first, 1, None);
        let worker = workers.pop().expect("one worker was asked for");
        let receiver = receivers.pop().expect("one worker was asked for");
        let mut engine = Engine::new(config, Arc::new(Shared::default()));
        engine.count_into(Arc::clone(&worker.tally));
        Self {
            engine,
            door,
            worker,
            out: Outcome::default(),
            frames: vec![[0; FRAME_BYTES]; BATCH_MAX],
            pump: Some(pump(receiver)),
        }
    }

    /// Runs `trace` once, from packet `from` for `packets` packets, starting over at its end.
    pub(crate) fn pass(&mut self, trace: &Trace, from: usize, packets: usize) -> Pass {
        let copy_ns = self.copy_only(trace, from, packets);
        let calls = xsk::alloc_count::calls();
        let start = xsk::clock::monotonic_ns();
        let (mut sent, mut dropped) = (0, 0);
        let mut at = from % trace.len();
        let mut left = packets;
        while left > 0 {
            let count = left.min(BATCH_MAX);
            let (batch_sent, batch_dropped) = self.turn(trace, at, count);
            sent += batch_sent;
            dropped += batch_dropped;
            at = (at + count) % trace.len();
            left -= count;
        }
        let elapsed_ns = xsk::clock::monotonic_ns() - start;
        let allocations = xsk::alloc_count::calls() - calls;
        Pass { packets: packets as u64, elapsed_ns, copy_ns, sent, dropped, allocations }
    }

    /// Runs packets of captures through the engine, at the captures' times, and ends every flow. Copies into `frames`
    /// first as [`Self::pass`] does; that time is subtracted.
    pub(crate) fn captured(&mut self, packets: &[Captured], frames: &mut [Vec<u8>]) -> Pass {
        let fill = |packet: &Captured, frame: &mut Vec<u8>| {
            frame.clear();
            frame.extend_from_slice(&packet.bytes);
        };
        let start = xsk::clock::monotonic_ns();
        for (packet, turn) in packets.iter().zip(0..) {
            fill(packet, &mut frames[turn % BATCH_MAX]);
        }
        let copy_ns = xsk::clock::monotonic_ns() - start;
        let calls = xsk::alloc_count::calls();
        let start = xsk::clock::monotonic_ns();
        let mut last = Now::default();
        for batch in packets.chunks(BATCH_MAX) {
            for (packet, frame) in batch.iter().zip(frames.iter_mut()) {
                fill(packet, frame);
            }
            let mut shown: [Packet<'_>; BATCH_MAX] = std::array::from_fn(|_| Packet::empty());
            for ((slot, packet), frame) in shown.iter_mut().zip(batch).zip(frames.iter_mut()) {
                // As in a replay: time never runs back.
                last = Now {
                    tick: Tick(packet.at.0.max(last.tick.0)),
                    wall: Wall(packet.at.0.max(last.wall.0)),
                };
                *slot = Packet {
                    bytes: frame,
                    in_port: 0,
                    link: packet.link,
                    hop: Hop::Wire,
                    at: last,
                    number: 0,
                };
            }
            let snapshot = self.worker.snapshots.load();
            self.out.clear();
            self.engine.process(snapshot, &mut shown[..batch.len()], &mut self.out, &mut self.worker.events);
            self.out.clear();
            self.engine.between_batches(last, false, snapshot, &mut self.out, &mut self.worker.events);
        }
        let elapsed_ns = xsk::clock::monotonic_ns() - start;
        let allocations = xsk::alloc_count::calls() - calls;
        let count = packets.len() as u64;
        Pass { packets: count, elapsed_ns, copy_ns, sent: count, dropped: 0, allocations }
    }

    /// One turn of a worker without packets: timers and the sweep. Says whether a sweep is still under way.
    pub(crate) fn idle_turn(&mut self) -> bool {
        let now = now();
        self.engine.identify(&mut self.worker.identities);
        let snapshot = self.worker.snapshots.load();
        self.out.clear();
        self.engine.between_batches(now, true, snapshot, &mut self.out, &mut self.worker.events);
        self.engine.is_sweeping()
    }

    /// Flows in the table.
    pub(crate) fn active(&self) -> u64 {
        self.engine.gauges(&self.worker.events).active
    }

    /// Flows in the table whose handshake is complete.
    pub(crate) fn established(&self) -> u64 {
        self.engine.gauges(&self.worker.events).established
    }

    fn turn(&mut self, trace: &Trace, at: usize, count: usize) -> (u64, u64) {
        let now = now();
        self.engine.identify(&mut self.worker.identities);
        let mut index = at;
        let mut frames = self.frames.iter_mut();
        let mut packets: [Packet<'_>; BATCH_MAX] = std::array::from_fn(|slot| {
            if slot >= count {
                return Packet::empty();
            }
            let packet = trace.get(index);
            index = if index + 1 == trace.len() { 0 } else { index + 1 };
            let frame = frames.next().expect("there are as many frames as packets in a batch");
            let len = copy(&packet, frame);
            Packet {
                bytes: &mut frame[..len],
                in_port: match packet.side {
                    Side::A => 0,
                    Side::B => 1,
                },
                link: LinkType::Ethernet,
                hop: Hop::Wire,
                at: now,
                number: 0,
            }
        });
        let snapshot = self.worker.snapshots.load();
        self.out.clear();
        self.engine.process(snapshot, &mut packets[..count], &mut self.out, &mut self.worker.events);
        let (mut sent, mut dropped) = (0, 0);
        for disposition in &self.out.dispositions[..count] {
            match disposition {
                Disposition::Send { .. } | Disposition::Flood | Disposition::Host => sent += 1,
                Disposition::Drop(_) => dropped += 1,
                Disposition::Consume | Disposition::Hold(_) | Disposition::HandOff { .. } => {}
            }
        }
        for release in &self.out.releases {
            // Three fragments were held for each datagram of the workload `fragments`.
            match release.disposition {
                Disposition::Send { .. } => sent += 1,
                _ => dropped += 1,
            }
        }
        self.out.clear();
        self.engine.between_batches(now, false, snapshot, &mut self.out, &mut self.worker.events);
        (sent, dropped)
    }

    fn copy_only(&mut self, trace: &Trace, from: usize, packets: usize) -> u64 {
        let start = xsk::clock::monotonic_ns();
        let mut index = from % trace.len();
        for turn in 0..packets {
            let packet = trace.get(index);
            index = if index + 1 == trace.len() { 0 } else { index + 1 };
            let frame = &mut self.frames[turn % BATCH_MAX];
            let len = copy(&packet, frame);
            std::hint::black_box(&mut frame[..len]);
        }
        xsk::clock::monotonic_ns() - start
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((stop, handle)) = self.pump.take() {
            stop.store(true, Ordering::Relaxed);
            // A thread that panicked has said so itself.
            let _ = handle.join();
        }
    }
}

/// Heads only: what follows is zeros in every frame since the start, as on the wire.
fn copy(packet: &crate::traffic::trace::Packet<'_>, frame: &mut [u8; FRAME_BYTES]) -> usize {
    frame[..packet.head.len()].copy_from_slice(packet.head);
    usize::from(packet.wire_len)
}

fn now() -> Now {
    Now { tick: Tick(xsk::clock::monotonic_ns()), wall: Wall(xsk::clock::realtime_ns()) }
}

/// Takes events off the rings, as the event thread of the daemon does; returns how many there were.
fn pump(mut receiver: EventReceiver) -> (Arc<AtomicBool>, JoinHandle<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let handle = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut events = 0;
            // Relaxed: the flag carries no data.
            while !stop.load(Ordering::Relaxed) {
                let before = events;
                while receiver.alerts.pop().is_ok() || receiver.records.pop().is_ok() {
                    events += 1;
                }
                if let Ok(told) = receiver.fields.read_chunk(receiver.fields.slots()) {
                    told.commit_all();
                }
                if events == before {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            events
        })
    };
    (stop, handle)
}
