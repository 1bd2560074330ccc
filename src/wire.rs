//! How does the process hold the wire: attach, take over, switch, give it back?
//!
//! [`attach`] puts the XDP program on the ports or takes over what an earlier run left there. [`LiveWire`] is
//! the operator's hand on it while the daemon runs (block list, bypass, counters), and what takes the sockets
//! out at an orderly stop. Nothing here detaches but [`detach`], which only an operator asks for.

use crate::config::{Config, FailMode};
use dataplane::control::{BlockListError, WireControl, WireReading};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xsk::program::BLOCK_LIST_MAX;
use xsk::wire::Origin;
use xsk::{Heartbeat, Wire, WireConfig, WireCounters, XskError, XskQueue, netdev};

/// Attaches the wire of `config`; its fail mode holds from now on.
///
/// # Errors
///
/// One sentence. What a failed first attempt attached is detached again; what an earlier run had attached
/// stays.
pub(crate) fn attach(config: &Config) -> Result<(LiveWire, FreshWire), String> {
    let interfaces: Vec<&str> = config.ports.iter().map(|port| port.interface.as_str()).collect();
    let ours = |wire: &xsk::wire::PinnedWire| wire.name == config.name;
    let was_pinned = xsk::wire::status(&config.wire.pin_root).is_ok_and(|pinned| pinned.iter().any(ours));
    let wire = Wire::attach(&WireConfig {
        fail_mode: match config.wire.fail_mode {
            FailMode::Open => xsk::FailMode::Open,
            FailMode::Closed => xsk::FailMode::Closed,
        },
        watchdog_ms: config.wire.watchdog_ms,
        pin_root: config.wire.pin_root.clone(),
        ..WireConfig::new(config.name.clone(), &interfaces)
    });
    let wire = wire.and_then(|wire| {
        // A flag of the interface, so that it outlives us as the wire does.
        interfaces.iter().try_for_each(|interface| netdev::set_promiscuous(interface, true))?;
        Ok(wire)
    });
    // Where nothing was pinned before, nothing stays pinned if the start fails.
    let fresh = FreshWire { config: (!was_pinned).then(|| config.clone()) };
    match wire {
        Ok(wire) => {
            for port in wire.ports() {
                let how = match port.origin {
                    Origin::Fresh => "attached",
                    Origin::TakenOver => "taken over",
                    Origin::ReplacedStale => "attached anew: its pin was stale",
                };
                tracing::info!(interface = port.interface, mode = port.mode.name(), "{how}");
            }
            Ok((LiveWire::new(wire, config), fresh))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A wire that was attached just now; it goes again unless it is told that it stays.
pub(crate) struct FreshWire {
    config: Option<Config>,
}

impl FreshWire {
    /// The start succeeded.
    pub(crate) fn stays(mut self) {
        self.config = None;
    }
}

impl Drop for FreshWire {
    fn drop(&mut self) {
        if let Some(config) = self.config.take() {
            // The error that made the start fail is the one to tell.
            let _ = detach(&config.wire.pin_root, &config.name);
        }
    }
}

/// Takes the wire `name` off its ports; which ports it was on.
///
/// # Errors
///
/// One sentence.
pub(crate) fn detach(pin_root: &Path, name: &str) -> Result<Vec<String>, String> {
    let pinned = xsk::wire::status(pin_root).map_err(|error| error.to_string())?;
    let ports: Vec<String> = pinned
        .iter()
        .filter(|wire| wire.name == name)
        .flat_map(|wire| wire.ports.iter().copied())
        .filter_map(interface_name)
        .collect();
    xsk::wire::detach(pin_root, name).map_err(|error| error.to_string())?;
    for port in &ports {
        // A port that went away meanwhile needs no flag.
        let _ = netdev::set_promiscuous(port, false);
    }
    Ok(ports)
}

/// Names of the wires that are pinned under `pin_root`.
pub(crate) fn pinned(pin_root: &Path) -> Vec<String> {
    let pinned = xsk::wire::status(pin_root).unwrap_or_default();
    pinned.into_iter().map(|wire| wire.name).collect()
}

fn interface_name(ifindex: u32) -> Option<String> {
    let socket = std::os::unix::net::UnixDatagram::unbound().ok()?;
    rustix::net::netdevice::index_to_name(&socket, ifindex).ok()
}

/// The wire while the daemon runs. Clones are the same wire.
#[derive(Clone)]
pub(crate) struct LiveWire {
    held: Arc<Mutex<Held>>,
    fail_mode: FailMode,
    watchdog_ms: u32,
}

struct Held {
    wire: Wire,
    /// What the sockets of each port came to; empty until they are open.
    socket_mode: Vec<&'static str>,
    /// Port, queue and descriptor of each socket, to put it back into the map.
    sockets: Vec<(usize, u32, OwnedFd)>,
}

impl LiveWire {
    /// Takes the attached wire in hand.
    fn new(wire: Wire, config: &Config) -> Self {
        Self {
            held: Arc::new(Mutex::new(Held { wire, socket_mode: Vec::new(), sockets: Vec::new() })),
            fail_mode: config.wire.fail_mode,
            watchdog_ms: config.wire.watchdog_ms,
        }
    }

    /// Sends the frames of the queue that `socket` is bound to there, once its worker's heart beats.
    ///
    /// # Errors
    ///
    /// One sentence.
    pub(crate) fn register(&self, port: usize, socket: &XskQueue) -> Result<(), String> {
        let mut held = self.lock();
        held.wire.register_socket(port, socket).map_err(|error| error.to_string())?;
        let descriptor = socket.descriptor().map_err(|error| error.to_string())?;
        held.sockets.push((port, socket.queue(), descriptor));
        if socket.queue() == 0 {
            held.socket_mode.push(socket.mode().name());
        }
        Ok(())
    }

    /// How the worker of `queue` says that it lives.
    ///
    /// # Errors
    ///
    /// One sentence.
    pub(crate) fn heartbeat(&self, queue: u32) -> Result<Heartbeat, String> {
        self.lock().wire.heartbeat(queue).map_err(|error| error.to_string())
    }

    /// Takes every socket out of the map: the fail mode holds at once.
    pub(crate) fn release_sockets(&self, workers: u32) {
        let Held { wire, .. } = &mut *self.lock();
        for port in 0..wire.ports().len() {
            for queue in 0..workers {
                if let Err(error) = wire.unregister_socket(port, queue) {
                    tracing::warn!(%error, port, queue, "a socket could not be taken out of the map");
                }
            }
        }
    }

    /// Puts every socket back into the map: its worker has it and turns all the while.
    ///
    /// # Errors
    ///
    /// One sentence; sockets before that one are back.
    pub(crate) fn restore_sockets(&self) -> Result<(), String> {
        let Held { wire, sockets, .. } = &mut *self.lock();
        if sockets.is_empty() {
            return Err("the box is stopping".to_owned());
        }
        for (port, queue, descriptor) in &*sockets {
            wire.register_descriptor(*port, *queue, descriptor).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Takes every socket out of the map, never to be put back: workers are about to end.
    pub(crate) fn let_go_of_sockets(&self, workers: u32) {
        self.release_sockets(workers);
        self.lock().sockets.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Every method of a wire leaves it consistent, also where it fails.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WireControl for LiveWire {
    fn read(&self) -> Result<WireReading, String> {
        let Held { wire, socket_mode, .. } = &*self.lock();
        let mut total = WireCounters::default();
        for port in 0..wire.ports().len() {
            let counters = wire.counters(port).map_err(|error| error.to_string())?;
            total = sum(total, counters);
        }
        let (v4, v6) = wire.block_list_len();
        Ok(WireReading {
            fail_mode: match self.fail_mode {
                FailMode::Open => "open",
                FailMode::Closed => "closed",
            },
            watchdog_ms: u64::from(self.watchdog_ms),
            bypass: wire.bypass().map_err(|error| error.to_string())?,
            attach_mode: wire.ports().iter().map(|port| port.mode.name()).collect(),
            socket_mode: socket_mode.clone(),
            blocked_prefixes: v4 + v6,
            outcomes: named(&total),
        })
    }

    fn set_bypass(&self, on: bool) -> Result<(), String> {
        self.lock().wire.set_bypass(on).map_err(|error| error.to_string())
    }

    fn blocked(&self) -> Result<Vec<IpNet>, String> {
        let (v4, v6) = self.lock().wire.block_list();
        let v4 = v4.into_iter().filter_map(|(addr, len)| Ipv4Net::new(addr, len).ok()).map(IpNet::V4);
        let v6 = v6.into_iter().filter_map(|(addr, len)| Ipv6Net::new(addr, len).ok()).map(IpNet::V6);
        let mut all: Vec<IpNet> = v4.chain(v6).collect();
        all.sort();
        Ok(all)
    }

    fn block(&self, prefixes: &[IpNet]) -> Result<usize, BlockListError> {
        let (v4, v6) = by_family(prefixes);
        let Held { wire, .. } = &mut *self.lock();
        let held = length(wire);
        match wire.add_to_block_list(&v4, &v6) {
            Ok(()) => Ok(length(wire) - held),
            Err(XskError::BlockListTooLong { .. }) => {
                Err(BlockListError::Full { entries_max: BLOCK_LIST_MAX, held, wanted: prefixes.len() })
            }
            Err(error) => Err(BlockListError::Kernel(error.to_string())),
        }
    }

    fn unblock(&self, prefixes: &[IpNet]) -> Result<usize, BlockListError> {
        let (v4, v6) = by_family(prefixes);
        let Held { wire, .. } = &mut *self.lock();
        let held = length(wire);
        wire.remove_from_block_list(&v4, &v6).map_err(|error| BlockListError::Kernel(error.to_string()))?;
        Ok(held - length(wire))
    }
}

fn length(wire: &Wire) -> usize {
    let (v4, v6) = wire.block_list_len();
    v4 + v6
}

/// Prefixes as the kernel's maps take them: the address with its host bits cleared, and the length.
type Prefixes = (Vec<(Ipv4Addr, u8)>, Vec<(Ipv6Addr, u8)>);

fn by_family(prefixes: &[IpNet]) -> Prefixes {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for prefix in prefixes {
        match prefix {
            IpNet::V4(net) => v4.push((net.network(), net.prefix_len())),
            IpNet::V6(net) => v6.push((net.network(), net.prefix_len())),
        }
    }
    (v4, v6)
}

fn sum(a: WireCounters, b: WireCounters) -> WireCounters {
    WireCounters {
        redirected: a.redirected + b.redirected,
        blocked_v4: a.blocked_v4 + b.blocked_v4,
        blocked_v6: a.blocked_v6 + b.blocked_v6,
        bypassed: a.bypassed + b.bypassed,
        passed_fail_open: a.passed_fail_open + b.passed_fail_open,
        dropped_fail_closed: a.dropped_fail_closed + b.dropped_fail_closed,
        heartbeat_stale: a.heartbeat_stale + b.heartbeat_stale,
        no_socket: a.no_socket + b.no_socket,
    }
}

/// Names as metrics carry them.
fn named(counters: &WireCounters) -> Vec<(&'static str, u64)> {
    let WireCounters {
        redirected,
        blocked_v4,
        blocked_v6,
        bypassed,
        passed_fail_open,
        dropped_fail_closed,
        heartbeat_stale,
        no_socket,
    } = *counters;
    vec![
        ("redirected", redirected),
        ("blocked_v4", blocked_v4),
        ("blocked_v6", blocked_v6),
        ("bypassed", bypassed),
        ("passed_fail_open", passed_fail_open),
        ("dropped_fail_closed", dropped_fail_closed),
        ("heartbeat_stale", heartbeat_stale),
        ("no_socket", no_socket),
    ]
}
