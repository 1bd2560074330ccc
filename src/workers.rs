//! What is each worker made from? Turns the configuration into engines, sockets, frames and links.
//!
//! One worker a queue pair: its UMEM is shared by its sockets on both ports (and on the mirror port), so that
//! forwarding copies nothing. Everything is allocated and opened here; a worker's thread only turns its loop.

use crate::config::{
    Checksum, Config, Eviction, Exception, FailMode, FileHashName, Mode, Overlap, Port, Wait, ZeroCopy,
};
use crate::portal;
use crate::preflight;
use crate::setup;
use crate::wire::LiveWire;
use dataplane::control::{Door, ExceptionAction, Exceptions, Settings, WorkerDoor};
use dataplane::defrag::{DefragConfig, OverlapPolicy};
use dataplane::dpi::file::Files;
use dataplane::dpi::parser::Limits;
use dataplane::engine::{
    self, ChecksumMode, Engine, EngineConfig, Inspection, PortConfig, Service, StreamConfig,
};
use dataplane::flow::owner::OwnerTable;
use dataplane::flow::{EvictionOrder, FlowConfig, Timeouts};
use dataplane::host::Shared;
use dataplane::parse::{Addr, Mac};
use dataplane::policy::Environment;
use dataplane::rules::hashes::HashKinds;
use dataplane::rules::rule::FileHash;
use dataplane::tx::handoff;
use dataplane::worker::{self, HostDevice, HostPort, Parts, Worker, WorkerConfig};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;
use xsk::netdev;
use xsk::{BusyPoll, FrameSize, SocketConfig, Tap, Umem, UmemConfig, XskError, XskQueue};

/// How long an adaptive worker polls on after its last packet: longer than the gaps of a busy link, short
/// enough to leave an idle core alone.
const ADAPTIVE_SPIN: Duration = Duration::from_micros(50);
/// Packets a busy poll takes from the driver at once.
const BUSY_POLL_BUDGET: u32 = 64;

/// Opens everything that the workers need, and registers their sockets: from their first heartbeat on, frames
/// go to them.
///
/// # Errors
///
/// One sentence; nothing that was opened stays open.
pub(crate) fn build(
    config: &Config,
    wire: &LiveWire,
    (door, doors): (&Door, Vec<WorkerDoor>),
    buckets: &Arc<Shared>,
    inspection: Option<&Inspection>,
) -> Result<Vec<Worker<XskQueue>>, String> {
    let count = doors.len();
    let sleepers =
        worker::sleepers(count).map_err(|error| format!("cannot make the workers' wakers: {error}"))?;
    if let Some(sleeper) = sleepers.first() {
        door.set_wakers(sleeper.wakers());
    }
    let mut host = open_host(config)?;
    let service_mac = match &config.service {
        Some(service) => Some(Mac(netdev::Interface::read(&service.interface).map_err(sentence)?.mac)),
        None => None,
    };
    let mut workers = Vec::with_capacity(count);
    let links = handoff::connect(count);
    for (index, ((door, sleeper), hand_offs)) in doors.into_iter().zip(sleepers).zip(links).enumerate() {
        let queue = index as u32;
        let (umem, pool) = Umem::new(umem_config(config)).map_err(sentence)?;
        let mut wires = Vec::with_capacity(config.ports.len());
        for (port, Port { interface, .. }) in config.ports.iter().enumerate() {
            let socket = open_socket(config, &umem, interface, queue)?;
            wire.register(port, &socket)?;
            wires.push(socket);
        }
        let mirror = match &config.mirror {
            Some(interface) => Some(open_socket(config, &umem, interface, queue)?),
            None => None,
        };
        if index == 0 {
            for socket in &wires {
                tracing::info!(
                    interface = socket.interface(),
                    mode = socket.mode().name(),
                    "sockets are open"
                );
            }
        }
        let heartbeat = wire.heartbeat(queue)?;
        let mut engine = engine_config(config, index as u8, random_seed(), inspection.cloned());
        engine.service.mac = service_mac;
        workers.push(Worker::new(Parts {
            config: worker_config(config, count),
            engine: Engine::new(engine, Arc::clone(buckets)),
            wires,
            mirror,
            host: host.take(),
            pool,
            hand_offs,
            sleeper,
            door,
            heartbeat: Box::new(move |now| heartbeat.beat(now.0)),
        }));
    }
    Ok(workers)
}

/// The engine of worker `index`.
pub(crate) fn engine_config(
    config: &Config,
    index: u8,
    seed: u64,
    inspection: Option<Inspection>,
) -> EngineConfig {
    let workers = u32::from(config.worker.count);
    EngineConfig {
        mode: match config.mode {
            Mode::Inline => engine::Mode::Inline,
            Mode::Tap => engine::Mode::Tap,
        },
        ports: config.ports.iter().enumerate().map(|(zone, port)| port_config(zone as u8, port)).collect(),
        service: service(config),
        announcement: portal::announcement(config).map(Arc::new),
        flow: flow_config(config, workers),
        vlan_in_key: config.flow.vlan_in_key,
        defrag: defrag_config(config),
        worker: index,
        owners: OwnerTable::even(config.worker.count),
        seed,
        inspection,
        streams: StreamConfig {
            overlap: config.stream.overlap,
            urgent: config.stream.urgent,
            bytes_max: config.stream.memory_bytes as usize,
        },
        files: files(config),
        limits: Limits { ftp_transactions_max: config.inspect.ftp_transactions_max },
    }
}

/// What is told of files: records where the event file or the kept events have them.
fn files(config: &Config) -> Files {
    let types = &config.eve.types;
    let is_written = types.transactions || types.only.iter().any(|name| name == "fileinfo");
    let hashes = config.eve.file_hashes.iter().map(|hash| match hash {
        FileHashName::Md5 => FileHash::Md5,
        FileHashName::Sha1 => FileHash::Sha1,
        FileHashName::Sha256 => FileHash::Sha256,
    });
    Files {
        are_recorded: (config.eve.file.is_some() && is_written) || config.store.events.keep,
        hashes: hashes.fold(HashKinds::default(), HashKinds::and),
    }
}

/// Addresses of the box itself; the device behind them is not open yet.
fn service(config: &Config) -> Service {
    config.service.as_ref().map_or_else(Service::default, |service| Service {
        ipv4: service.ipv4.map(|net| Addr::v4(net.addr().octets())),
        ipv6: service.ipv6.map(|net| Addr::v6(net.addr().octets())),
        vlan: service.vlan,
        mac: None,
    })
}

fn port_config(zone: u8, port: &Port) -> PortConfig {
    PortConfig {
        zone,
        checksum: match port.checksum {
            Checksum::Verify => ChecksumMode::Verify,
            Checksum::AssumeGood => ChecksumMode::AssumeGood,
            Checksum::DropBad => ChecksumMode::DropBad,
        },
        networks: port.networks.clone(),
    }
}

fn flow_config(config: &Config, workers: u32) -> FlowConfig {
    let seconds = &config.flow.timeout_s;
    FlowConfig {
        // Hashing spreads flows unevenly over workers; an eighth more keeps the promised total.
        capacity: if workers == 1 { config.flow.capacity } else { config.flow.capacity / workers * 9 / 8 },
        timeouts: Timeouts {
            tcp_syn_s: seconds.tcp_syn,
            tcp_syn_received_s: seconds.tcp_syn_received,
            tcp_established_s: seconds.tcp_established,
            tcp_unacknowledged_s: seconds.tcp_unacknowledged,
            tcp_fin_s: seconds.tcp_fin,
            tcp_last_ack_s: seconds.tcp_last_ack,
            tcp_time_wait_s: seconds.tcp_time_wait,
            tcp_closed_s: seconds.tcp_closed,
            udp_new_s: seconds.udp_new,
            udp_established_s: seconds.udp_established,
            icmp_s: seconds.icmp,
            sctp_new_s: seconds.sctp_new,
            sctp_established_s: seconds.sctp_established,
            sctp_closed_s: seconds.sctp_closed,
            other_new_s: seconds.other_new,
            other_established_s: seconds.other_established,
        },
        eviction: match config.flow.eviction {
            Eviction::Protect => EvictionOrder::PROTECT,
            Eviction::ProtectedLast => EvictionOrder::PROTECTED_LAST,
            Eviction::ClosedFirst => EvictionOrder::CLOSED_FIRST,
            Eviction::Never => EvictionOrder::NEVER,
        },
        ..FlowConfig::default()
    }
}

fn defrag_config(config: &Config) -> DefragConfig {
    let defrag = &config.defrag;
    DefragConfig {
        // The rest is for traffic that is not held.
        fragments_max: preflight::frames(config) as usize / 4,
        datagrams_max: defrag.datagrams_max as usize,
        bytes_max: defrag.memory_bytes as usize,
        fragments_per_datagram_max: defrag.fragments_max as usize,
        timeout_ms: u64::from(defrag.timeout_ms),
        // Inline a datagram whose fragments disagree goes, whatever its target would make of it (RFC 5722).
        policy: match (config.mode, defrag.overlap) {
            (Mode::Inline, _) | (Mode::Tap, Overlap::Drop) => OverlapPolicy::Refuse,
            (Mode::Tap, Overlap::First) => OverlapPolicy::First,
            (Mode::Tap, Overlap::Last) => OverlapPolicy::Last,
            (Mode::Tap, Overlap::Bsd) => OverlapPolicy::Bsd,
            (Mode::Tap, Overlap::BsdRight) => OverlapPolicy::BsdRight,
            (Mode::Tap, Overlap::Linux) => OverlapPolicy::Linux,
            (Mode::Tap, Overlap::Windows) => OverlapPolicy::Windows,
            (Mode::Tap, Overlap::Solaris) => OverlapPolicy::Solaris,
        },
    }
}

/// What a snapshot carries besides the policies.
pub(crate) fn settings(config: &Config) -> Settings {
    let action = |exception| match (exception, config.wire.fail_mode) {
        (Exception::FailMode, FailMode::Open) | (Exception::Pass, _) => ExceptionAction::Pass,
        (Exception::FailMode, FailMode::Closed) | (Exception::Drop, _) => ExceptionAction::Drop,
        (Exception::Ignore, _) => ExceptionAction::Ignore,
        (Exception::Reject, _) => ExceptionAction::Reject,
    };
    let exceptions = &config.exceptions;
    Settings {
        exceptions: Exceptions {
            flow_table_full: action(exceptions.flow_table_full),
            fragment_memory: action(exceptions.fragment_memory),
            reassembly_memory: action(exceptions.reassembly_memory),
            overlap_unverified: action(exceptions.overlap_unverified),
            rule_budget: action(exceptions.rule_budget),
            parser_error: exceptions.parser_error,
            midstream: action(exceptions.midstream),
            oneway: action(exceptions.oneway),
        },
        reject_per_s: config.reject_per_s,
        drops_per_s: config.eve.drops_per_s,
        adopt_s: config.flow.adopt_s,
        supplied: setup::supplied(config),
    }
}

/// What names in policies mean on this box.
pub(crate) fn policy_environment(config: &Config) -> Environment {
    if config.ports.is_empty() {
        return Environment::default();
    }
    let mut zones: Vec<(String, u8)> = Vec::new();
    let mut ports: Vec<(String, u8)> = Vec::new();
    for (index, port) in config.ports.iter().enumerate() {
        zones.push((port.zone.clone(), index as u8));
        ports.push((port.interface.clone(), index as u8));
        ports.push((index.to_string(), index as u8));
    }
    if config.service.is_some() {
        zones.push(("host".to_owned(), engine::HOST_PORT));
        ports.push(("host".to_owned(), engine::HOST_PORT));
    }
    let Service { ipv4: service_ipv4, ipv6: service_ipv6, .. } = service(config);
    Environment { zones, ports, service_ipv4, service_ipv6 }
}

/// Interface names by port index, for events.
pub(crate) fn port_names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = config.ports.iter().map(|port| port.interface.clone()).collect();
    if let Some(service) = &config.service {
        names.resize(usize::from(engine::HOST_PORT), String::new());
        names.push(service.interface.clone());
    }
    names
}

fn worker_config(config: &Config, workers: usize) -> WorkerConfig {
    let worker = &config.worker;
    WorkerConfig {
        workers,
        wait: match worker.wait {
            Wait::Adaptive => worker::Wait::Adaptive { spin: ADAPTIVE_SPIN },
            Wait::BusyPoll => worker::Wait::BusyPoll,
            Wait::Interrupt => worker::Wait::Interrupt,
        },
        watchdog_ns: u64::from(config.wire.watchdog_ms) * 1_000_000,
        fill_frames: worker.ring_entries as usize,
        reserve_frames: preflight::frames(config) as usize / 8,
    }
}

fn umem_config(config: &Config) -> UmemConfig {
    UmemConfig {
        frames: preflight::frames(config),
        frame_size: if config.worker.frame_bytes == 2048 {
            FrameSize::Bytes2048
        } else {
            FrameSize::Bytes4096
        },
        huge_pages: config.worker.huge_pages,
        fill_ring_frames: config.worker.ring_entries,
        completion_ring_frames: config.worker.ring_entries,
    }
}

fn open_socket(config: &Config, umem: &Umem, interface: &str, queue: u32) -> Result<XskQueue, String> {
    let worker = &config.worker;
    let socket = SocketConfig {
        mode: match worker.zero_copy {
            ZeroCopy::Auto => xsk::Mode::Auto,
            ZeroCopy::On => xsk::Mode::ZeroCopy,
            ZeroCopy::Off => xsk::Mode::Copy,
        },
        rx_ring_frames: worker.ring_entries,
        tx_ring_frames: worker.ring_entries,
        busy_poll: (worker.wait == Wait::BusyPoll)
            .then_some(BusyPoll { usecs: worker.busy_poll_us, budget: BUSY_POLL_BUDGET }),
        ..SocketConfig::new(interface, queue)
    };
    XskQueue::open(umem, &socket).map_err(sentence)
}

/// Payload of the longest frame of the `host` port, with two VLAN tags around it.
const HOST_MTU_MAX: u32 = worker::HOST_FRAME_BYTES_MAX as u32 - 22;

/// The `host` port, where the configuration has service addresses.
fn open_host(config: &Config) -> Result<Option<HostPort>, String> {
    let Some(service) = &config.service else { return Ok(None) };
    let tap = Tap::open(&service.interface).map_err(sentence)?;
    if let Some(port) = config.ports.first()
        && let Ok(interface) = netdev::Interface::read(&port.interface)
    {
        tap.set_mtu(interface.mtu_bytes.min(HOST_MTU_MAX)).map_err(sentence)?;
    }
    if let Some(net) = service.ipv4 {
        tap.set_ipv4(net.addr(), net.prefix_len()).map_err(sentence)?;
    }
    if let Some(net) = service.ipv6 {
        tap.add_ipv6(net.addr(), net.prefix_len()).map_err(sentence)?;
    }
    Ok(Some(HostPort::new(Box::new(HostTap(tap)))))
}

struct HostTap(Tap);

impl HostDevice for HostTap {
    fn send(&mut self, frame: &[u8]) -> bool {
        // A device that is down or refuses the frame has no room for it.
        self.0.send(frame).unwrap_or(false)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.0.receive(buffer).ok().flatten()
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.0.fd())
    }
}

/// A seed that nobody outside can know, so that nobody can choose colliding flows.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's keys come from the kernel's random source.
    RandomState::new().hash_one("flow table")
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn sentence(error: XskError) -> String {
    error.to_string()
}
