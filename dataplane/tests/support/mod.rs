//! Packets and workers for tests: frames written byte by byte, workers over rings in memory.
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part of this room")]

pub mod mmdb;

use std::sync::Arc;

use dataplane::control::{Door, EventReceiver, Settings, Snapshot, door};
use dataplane::defrag::DefragConfig;
use dataplane::dpi::file::Files;
use dataplane::engine::{ChecksumMode, Engine, EngineConfig, Mode, PortConfig, Service, StreamConfig};
use dataplane::flow::FlowConfig;
use dataplane::flow::owner::OwnerTable;
use dataplane::host::Shared;
use dataplane::policy::{Environment, Names, PolicyFile, PolicySet};
use dataplane::time::{Now, Tick, Wall};
use dataplane::tx::handoff::connect;
use dataplane::worker::{Clock, Parts, Wait, Worker, WorkerConfig, sleepers};
use xsk::memory::{MemoryPort, pair};
use xsk::{Frame, FrameBatch, FramePool, PacketPort};

/// The internet checksum of `bytes` (RFC 1071), written out.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An Ethernet frame with an IPv4 packet.
pub fn ipv4(src: [u8; 4], dst: [u8; 4], protocol: u8, fragment: (u16, u16), transport: &[u8]) -> Vec<u8> {
    let (id, flags_offset) = fragment;
    let total = 20 + transport.len() as u16;
    let mut header = vec![0x45, 0];
    header.extend(total.to_be_bytes());
    header.extend(id.to_be_bytes());
    header.extend(flags_offset.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(src);
    header.extend(dst);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, dst[3], 2, 0, 0, 0, 0, src[3], 8, 0];
    frame.extend(header);
    frame.extend(transport);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn transport_sum(src: [u8; 4], dst: [u8; 4], protocol: u8, transport: &[u8]) -> u16 {
    let mut pseudo = [src, dst].concat();
    pseudo.extend([0, protocol]);
    pseudo.extend((transport.len() as u16).to_be_bytes());
    pseudo.extend(transport);
    checksum(&pseudo)
}

/// A UDP datagram (header and data) with its checksum.
pub fn udp_segment(src: ([u8; 4], u16), dst: ([u8; 4], u16), data: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(src.1.to_be_bytes());
    segment.extend(dst.1.to_be_bytes());
    segment.extend((8 + data.len() as u16).to_be_bytes());
    segment.extend([0, 0]);
    segment.extend(data);
    let sum = transport_sum(src.0, dst.0, 17, &segment);
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// A UDP frame.
pub fn udp(src: ([u8; 4], u16), dst: ([u8; 4], u16), data: &[u8]) -> Vec<u8> {
    ipv4(src.0, dst.0, 17, (1, 0x4000), &udp_segment(src, dst, data))
}

/// A TCP frame.
pub fn tcp(src: ([u8; 4], u16), dst: ([u8; 4], u16), seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(src.1.to_be_bytes());
    segment.extend(dst.1.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    let sum = transport_sum(src.0, dst.0, 6, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(src.0, dst.0, 6, (1, 0x4000), &segment)
}

/// Compiles a policy file for tests.
pub fn policy(json: &str) -> Arc<PolicySet> {
    let file = PolicyFile::parse("test.json", json.as_bytes()).expect("the test's policy is valid");
    let set = PolicySet::compile(&file, 1, &Environment::default(), &mut Names::new()).expect("it compiles");
    Arc::new(set)
}

/// A snapshot of `policy`.
pub fn snapshot(json: &str) -> Snapshot {
    Snapshot {
        version: 1,
        policy: policy(json),
        settings: Settings::default(),
        apps: None,
        rules: None,
        shadow: None,
        geography: None,
    }
}

/// An engine's settings: inline, two ports, tables for tests.
pub fn engine_config(worker: u8, workers: u8) -> EngineConfig {
    let port = |zone| PortConfig { zone, checksum: ChecksumMode::Verify, networks: Vec::new() };
    EngineConfig {
        mode: Mode::Inline,
        ports: vec![port(0), port(1)],
        announcement: None,
        service: Service::default(),
        flow: FlowConfig { capacity: 10_000, ..FlowConfig::default() },
        defrag: DefragConfig::default(),
        worker,
        owners: OwnerTable::even(workers),
        vlan_in_key: true,
        seed: 7,
        inspection: None,
        streams: StreamConfig::default(),
        files: Files::default(),
        limits: dataplane::dpi::parser::Limits::default(),
    }
}

/// A clock that moves only when told.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestClock {
    pub ns: u64,
}

impl Clock for TestClock {
    fn now(&mut self) -> Now {
        Now { tick: Tick(self.ns), wall: Wall(1_700_000_000_000_000_000 + self.ns) }
    }
}

/// Workers over rings in memory, and the far ends of their wires.
pub struct Bench {
    pub workers: Vec<Worker<MemoryPort>>,
    /// Far ends by worker and port, each with its frames.
    pub far: Vec<[(MemoryPort, FramePool); 2]>,
    pub door: Door,
    pub events: Vec<EventReceiver>,
    pub clock: TestClock,
}

impl Bench {
    pub fn new(count: usize, json: &str) -> Self {
        Self::with(count, json, |_| {})
    }

    /// As [`Self::new`], with the engines' configuration changed by `change`.
    pub fn with(count: usize, json: &str, change: impl Fn(&mut EngineConfig)) -> Self {
        let (door, doors, events) = door(snapshot(json), count, None);
        let shared = Arc::new(Shared::default());
        let mut workers = Vec::new();
        let mut far = Vec::new();
        let parts = doors.into_iter().zip(connect(count)).zip(sleepers(count).expect("descriptors are left"));
        for (worker, ((door, hand_offs), sleeper)) in parts.enumerate() {
            let pool = FramePool::in_memory(8192, 2048);
            let far_pools = [FramePool::in_memory(1024, 2048), FramePool::in_memory(1024, 2048)];
            let (near0, far0) = pair(&pool, &far_pools[0], 512);
            let (near1, far1) = pair(&pool, &far_pools[1], 512);
            let [pool0, pool1] = far_pools;
            let mut ends = [(far0, pool0), (far1, pool1)];
            let mut engine = engine_config(worker as u8, count as u8);
            change(&mut engine);
            for (port, pool) in &mut ends {
                port.refill(pool, 512);
            }
            far.push(ends);
            workers.push(Worker::new(Parts {
                config: WorkerConfig {
                    workers: count,
                    wait: Wait::BusyPoll,
                    watchdog_ns: u64::MAX,
                    fill_frames: 512,
                    reserve_frames: 1024,
                },
                engine: Engine::new(engine, Arc::clone(&shared)),
                wires: vec![near0, near1],
                mirror: None,
                host: None,
                pool,
                hand_offs,
                sleeper,
                door,
                heartbeat: Box::new(|_| {}),
            }));
        }
        Self { workers, far, door, events, clock: TestClock { ns: 1_000_000_000 } }
    }

    /// Puts a frame on the wire of `port` at the queue of `worker`.
    pub fn send(&mut self, worker: usize, port: usize, bytes: &[u8]) {
        let (end, pool) = &mut self.far[worker][port];
        let mut frame: Frame = pool.take().expect("the far end has frames left");
        assert_eq!(frame.copy_from(bytes), bytes.len());
        frame.set_more(false);
        let mut batch = FrameBatch::new();
        batch.push(frame).expect("the batch is empty");
        assert_eq!(end.send(&mut batch), 1, "the far ring has room");
        end.kick();
        end.complete(pool);
    }

    /// Puts a packet on the wire as several frames of `len` bytes each.
    pub fn send_pieces(&mut self, worker: usize, port: usize, bytes: &[u8], len: usize) {
        let (end, pool) = &mut self.far[worker][port];
        let mut batch = FrameBatch::new();
        let mut pieces = bytes.chunks(len).peekable();
        while let Some(piece) = pieces.next() {
            let mut frame: Frame = pool.take().expect("the far end has frames left");
            assert_eq!(frame.copy_from(piece), piece.len());
            frame.set_more(pieces.peek().is_some());
            batch.push(frame).expect("the batch has room");
        }
        let count = batch.len();
        assert_eq!(end.send(&mut batch), count, "the far ring has room");
        end.kick();
        end.complete(pool);
    }

    /// Lets every worker turn until nothing happens any more; whatever leaves is returned as (port, bytes).
    pub fn settle(&mut self) -> Vec<(usize, Vec<u8>)> {
        let mut out = Vec::new();
        let mut quiet = 0;
        while quiet < 3 {
            self.clock.ns += 10_000;
            let mut found = 0;
            for worker in &mut self.workers {
                let now = self.clock.now();
                found += worker.turn(now, &mut self.clock);
            }
            let before = out.len();
            for ends in &mut self.far {
                for (port, (end, pool)) in ends.iter_mut().enumerate() {
                    let mut batch = FrameBatch::new();
                    while end.receive(&mut batch, 64) > 0 {
                        for frame in batch.iter() {
                            out.push((port, frame.bytes().to_vec()));
                        }
                        pool.give_all(&mut batch);
                        end.refill(pool, 512);
                    }
                }
            }
            quiet = if found == 0 && out.len() == before { quiet + 1 } else { 0 };
        }
        out
    }

    /// Stops the workers; each must have every frame accounted for.
    pub fn stop(self) {
        let lifecycle = dataplane::worker::Lifecycle::default();
        lifecycle.enter(dataplane::worker::Phase::Stopped);
        for worker in self.workers {
            assert_eq!(worker.run(self.clock, &lifecycle).outstanding, 0);
        }
    }
}
