//! What holds the wire when the daemon does not? Two ports' XDP programs, pinned, with a fail mode.
//!
//! [`Wire::attach`] loads the program for each port and attaches it, or takes over what an earlier daemon left
//! attached by updating the link, so that no packet is lost. Links and maps are pinned: when the process goes,
//! for whatever reason, the program stays and applies the fail mode. Only [`detach`] removes it.
//!
//! An orderly stop is [`Wire::unregister_socket`] for each queue, a drain of the rings, then dropping.
//!
//! Absent: moving sockets between processes; a queue changes owner through the fail mode.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::links::{FdLink, LinkError, LinkOrder, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya::sys::SyscallError;

use crate::block_list::BlockList;
use crate::error::XskError;
use crate::heartbeat::{BeatPage, Heartbeat};
use crate::netdev;
use crate::pin::{self, PIN_ROOT, Pins, pin_error};
use crate::program::{self, Conf, OUTCOMES, PORTS_MAX, QUEUES_MAX, error_chain, maps};
use crate::socket::XskQueue;

/// Addresses with the number of their leading bits that count.
pub type Prefixes<A> = Vec<(A, u8)>;

/// What the wire does without a living worker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum FailMode {
    /// Frames are forwarded in the kernel to the peer port, uninspected.
    Open,
    /// Frames are dropped.
    #[default]
    Closed,
}

/// How the XDP program got its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before an skb is made.
    Native,
    /// After an skb was made; works with every driver, at the cost of one more copy.
    Generic,
}

impl AttachMode {
    /// `native` or `generic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    const fn aya(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

/// How a port's program came to be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was there.
    Fresh,
    /// An earlier daemon's link was live and now runs this program.
    TakenOver,
    /// A pin was there, but its interface had gone; it was replaced.
    ReplacedStale,
}

/// What one port's attachment came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortStatus {
    /// The interface's name when it was attached.
    pub interface: String,
    /// Its index.
    pub ifindex: u32,
    /// Native or generic.
    pub mode: AttachMode,
    /// Fresh, taken over, or instead of a stale pin.
    pub origin: Origin,
}

/// What [`Wire::attach`] attaches.
#[derive(Debug, Clone)]
pub struct WireConfig {
    /// Names this wire's pins; one host may have several wires.
    pub name: String,
    /// Two ports for inline, one for tap. With one, frames without a living worker are dropped, never passed to
    /// the host.
    pub ports: Vec<String>,
    /// What happens without a living worker.
    pub fail_mode: FailMode,
    /// A worker whose last beat is older than this counts as dead.
    pub watchdog_ms: u32,
    /// Directory on a BPF file system; [`PIN_ROOT`] by default.
    pub pin_root: PathBuf,
    /// Do not try the driver: for drivers whose native mode is broken.
    pub generic_only: bool,
}

impl WireConfig {
    /// A wire over `ports`, fail closed, one second of watchdog, pinned in the usual place.
    #[must_use]
    pub fn new(name: impl Into<String>, ports: &[&str]) -> Self {
        Self {
            name: name.into(),
            ports: ports.iter().map(|port| (*port).to_owned()).collect(),
            fail_mode: FailMode::default(),
            watchdog_ms: 1000,
            pin_root: PathBuf::from(PIN_ROOT),
            generic_only: false,
        }
    }
}

/// What the XDP program of one port did, summed over all CPUs, since its maps were made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct WireCounters {
    /// To a worker's socket.
    pub redirected: u64,
    /// Dropped: an IPv4 address is on the block list.
    pub blocked_v4: u64,
    /// Dropped: an IPv6 address is on the block list.
    pub blocked_v6: u64,
    /// To the peer port because of the operator's bypass (in tap mode: dropped).
    pub bypassed: u64,
    /// To the peer port because no worker lived.
    pub passed_fail_open: u64,
    /// Dropped because no worker lived.
    pub dropped_fail_closed: u64,
    /// Why no worker lived: its heartbeat was too old.
    pub heartbeat_stale: u64,
    /// Why no worker lived: no socket was registered for the queue.
    pub no_socket: u64,
}

impl WireCounters {
    const fn from_outcomes(outcomes: [u64; OUTCOMES]) -> Self {
        let [
            redirected,
            blocked_v4,
            blocked_v6,
            bypassed,
            passed_fail_open,
            dropped_fail_closed,
            heartbeat_stale,
            no_socket,
        ] = outcomes;
        Self {
            redirected,
            blocked_v4,
            blocked_v6,
            bypassed,
            passed_fail_open,
            dropped_fail_closed,
            heartbeat_stale,
            no_socket,
        }
    }
}

/// The attached ports and their maps. Dropping it leaves everything attached.
pub struct Wire {
    ports: Vec<PortStatus>,
    xsks: XskMap<MapData>,
    conf: Array<MapData, Conf>,
    counters: PerCpuArray<MapData, [u64; OUTCOMES]>,
    block_v4: BlockList<Ipv4Addr>,
    block_v6: BlockList<Ipv6Addr>,
    beats: Arc<BeatPage>,
}

impl Wire {
    /// Attaches the program to every port, or takes over what is attached and pinned.
    ///
    /// All programs are loaded before the first port changes. A block list and a bypass left by an earlier daemon
    /// stay in force.
    ///
    /// # Errors
    ///
    /// One sentence each: no such interface, no privileges, no BPF file system, another program on the port.
    /// A first start that fails leaves nothing behind; a take-over that fails leaves what was there attached.
    pub fn attach(config: &WireConfig) -> Result<Self, XskError> {
        let pins = Pins::new(&config.pin_root, &config.name);
        let first_start = !pins.exist();
        let attached = Self::try_attach(config, &pins);
        if attached.is_err() && first_start {
            // The error that is told is the first one.
            let _ = pins.remove();
        }
        attached
    }

    fn try_attach(config: &WireConfig, pins: &Pins) -> Result<Self, XskError> {
        let ifindexes =
            config.ports.iter().map(|name| netdev::ifindex(name)).collect::<Result<Vec<_>, _>>()?;
        if ifindexes.is_empty() || ifindexes.len() > PORTS_MAX as usize {
            return Err(XskError::QueueRange {
                port: ifindexes.len() as u32,
                queue: 0,
                ports_max: PORTS_MAX,
                queues_max: QUEUES_MAX,
            });
        }
        pins.create()?;
        let mut objects = Vec::with_capacity(ifindexes.len());
        for port in 0..ifindexes.len() {
            // In tap mode there is no other port, and the program takes 0 for "no peer".
            let peer = if ifindexes.len() == 2 { ifindexes[1 - port] } else { 0 };
            let mut object = program::open(port as u32, peer, Some(&pins.directory()))?;
            program::load_xdp(&mut object, "to_worker")?;
            if peer != 0 {
                program::load_classifier(&mut object)?;
            }
            objects.push(object);
        }
        // Before any frame meets the new program its configuration must stand.
        let first = &mut objects[0];
        let mut conf: Array<_, Conf> = program::take_map(first, maps::CONF)?;
        let block_v4 = BlockList::take(program::take_map(first, maps::BLOCK_V4)?)?;
        let block_v6 = BlockList::take(program::take_map(first, maps::BLOCK_V6)?)?;
        let left = conf.get(&0, 0).map_err(map_error(maps::CONF, "read"))?;
        let conf_now = Conf {
            watchdog_ns: u64::from(config.watchdog_ms) * 1_000_000,
            fail_open: u32::from(config.fail_mode == FailMode::Open),
            bypass: left.bypass,
            block_v4: block_v4.len() as u32,
            block_v6: block_v6.len() as u32,
        };
        conf.set(0, conf_now, 0).map_err(map_error(maps::CONF, "written"))?;
        let xsks = program::take_map(first, maps::XSKS)?;
        let counters = program::take_map(first, maps::OUTCOMES)?;
        let beats = BeatPage::map(program::take_beats(first).fd().as_fd()).map_err(|err| XskError::Map {
            map: maps::BEATS,
            operation: "mapped",
            reason: err.to_string(),
        })?;

        // Every link of this wire, held so that moving its pin does not detach it.
        let older = pins.other_versions();
        let mut held = HeldLinks::gather(pins, &older)?;
        let mut ports = Vec::with_capacity(objects.len());
        for (port, object) in objects.iter_mut().enumerate() {
            let target =
                Target { port: port as u32, interface: &config.ports[port], ifindex: ifindexes[port] };
            if ifindexes.len() == 2 {
                attach_classifier(object, &target, pins, &mut held)?;
            } else {
                pin::remove_pin(&pins.tcx(target.port))?;
            }
            ports.push(attach_xdp(object, &target, pins, &mut held, config.generic_only)?);
        }
        for port in pin::ports().skip(ports.len()) {
            pin::remove_pin(&pins.link(port))?;
            pin::remove_pin(&pins.tcx(port))?;
        }
        for directory in &older {
            pin::remove_directory(directory, pin::Links::Keep)?;
        }
        Ok(Self { ports, xsks, conf, counters, block_v4, block_v6, beats })
    }

    /// The ports in the order they were named: their index is their number everywhere else.
    #[must_use]
    pub fn ports(&self) -> &[PortStatus] {
        &self.ports
    }

    /// Lets `socket` receive what comes in on `port`'s queue of the same number.
    ///
    /// It does once the queue's heartbeat is fresh, too.
    ///
    /// # Errors
    ///
    /// [`XskError::QueueRange`], [`XskError::Map`].
    pub fn register_socket(&mut self, port: usize, socket: &XskQueue) -> Result<(), XskError> {
        use crate::port::PacketPort;
        let key = key_of(port as u32, socket.queue())?;
        let fd = socket.fd().expect("a socket has a descriptor");
        self.xsks.set(key, fd, 0).map_err(map_error(maps::XSKS, "written"))
    }

    /// The same for a socket whose worker has it, by a descriptor that [`XskQueue::descriptor`] gave.
    ///
    /// # Errors
    ///
    /// [`XskError::QueueRange`], [`XskError::Map`].
    pub fn register_descriptor(&mut self, port: usize, queue: u32, socket: &OwnedFd) -> Result<(), XskError> {
        let key = key_of(port as u32, queue)?;
        self.xsks.set(key, socket.as_raw_fd(), 0).map_err(map_error(maps::XSKS, "written"))
    }

    /// Takes a queue's socket out of the map: its fail mode holds at once. Serve the rings a little longer, what
    /// was on its way still arrives.
    ///
    /// # Errors
    ///
    /// [`XskError::QueueRange`], [`XskError::Map`]. A socket that was not there is no error.
    pub fn unregister_socket(&mut self, port: usize, queue: u32) -> Result<(), XskError> {
        let key = key_of(port as u32, queue)?;
        match self.xsks.unset(key) {
            Err(MapError::SyscallError(SyscallError { io_error, .. }))
                if io_error.kind() == io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            Err(MapError::KeyNotFound) => Ok(()),
            Err(err) => Err(map_error(maps::XSKS, "written")(err)),
            Ok(()) => Ok(()),
        }
    }

    /// The handle by which the worker of `queue` (on all ports) says that it lives.
    ///
    /// # Errors
    ///
    /// [`XskError::QueueRange`].
    pub fn heartbeat(&self, queue: u32) -> Result<Heartbeat, XskError> {
        key_of(0, queue)?;
        Ok(Heartbeat::new(Arc::clone(&self.beats), queue))
    }

    /// Sends every frame that is not blocked straight to the peer port, or stops doing so.
    ///
    /// # Errors
    ///
    /// [`XskError::Map`].
    pub fn set_bypass(&mut self, on: bool) -> Result<(), XskError> {
        self.change_conf(|conf| conf.bypass = u32::from(on))
    }

    /// Whether the operator's bypass is on.
    ///
    /// # Errors
    ///
    /// [`XskError::Map`].
    pub fn bypass(&self) -> Result<bool, XskError> {
        Ok(self.read_conf()?.bypass != 0)
    }

    /// Changes what happens without a living worker.
    ///
    /// # Errors
    ///
    /// [`XskError::Map`].
    pub fn set_fail_mode(&mut self, fail_mode: FailMode) -> Result<(), XskError> {
        self.change_conf(|conf| conf.fail_open = u32::from(fail_mode == FailMode::Open))
    }

    /// Changes how old a heartbeat may be.
    ///
    /// # Errors
    ///
    /// [`XskError::Map`].
    pub fn set_watchdog_ms(&mut self, watchdog_ms: u32) -> Result<(), XskError> {
        self.change_conf(|conf| conf.watchdog_ns = u64::from(watchdog_ms) * 1_000_000)
    }

    /// Makes the block list exactly these prefixes. At no moment is a prefix of both lists let through.
    ///
    /// # Errors
    ///
    /// [`XskError::BlockListTooLong`] and [`XskError::PrefixLength`] before anything changed; [`XskError::Map`]
    /// with the list between old and new, never shorter than what they share.
    pub fn replace_block_list(
        &mut self,
        v4: &[(Ipv4Addr, u8)],
        v6: &[(Ipv6Addr, u8)],
    ) -> Result<(), XskError> {
        let wanted_v4 = self.block_v4.begin_replace(v4)?;
        let wanted_v6 = self.block_v6.begin_replace(v6)?;
        self.publish_block_list()?;
        self.block_v4.finish_replace(&wanted_v4)?;
        self.block_v6.finish_replace(&wanted_v6)?;
        self.publish_block_list()
    }

    /// Adds prefixes to the block list.
    ///
    /// # Errors
    ///
    /// As [`Wire::replace_block_list`].
    pub fn add_to_block_list(
        &mut self,
        v4: &[(Ipv4Addr, u8)],
        v6: &[(Ipv6Addr, u8)],
    ) -> Result<(), XskError> {
        self.block_v4.add(v4)?;
        self.block_v6.add(v6)?;
        self.publish_block_list()
    }

    /// Removes prefixes from the block list; only whole prefixes as they were added.
    ///
    /// # Errors
    ///
    /// As [`Wire::replace_block_list`].
    pub fn remove_from_block_list(
        &mut self,
        v4: &[(Ipv4Addr, u8)],
        v6: &[(Ipv6Addr, u8)],
    ) -> Result<(), XskError> {
        self.block_v4.remove(v4)?;
        self.block_v6.remove(v6)?;
        self.publish_block_list()
    }

    /// Prefixes in the block list, v4 and v6.
    #[must_use]
    pub fn block_list_len(&self) -> (usize, usize) {
        (self.block_v4.len(), self.block_v6.len())
    }

    /// The block list, v4 and v6, in no order.
    #[must_use]
    pub fn block_list(&self) -> (Prefixes<Ipv4Addr>, Prefixes<Ipv6Addr>) {
        (self.block_v4.prefixes(), self.block_v6.prefixes())
    }

    /// What the program of `port` counted.
    ///
    /// # Errors
    ///
    /// [`XskError::Map`].
    pub fn counters(&self, port: usize) -> Result<WireCounters, XskError> {
        sum_counters(&self.counters, port)
    }

    fn publish_block_list(&mut self) -> Result<(), XskError> {
        let (v4, v6) = self.block_list_len();
        self.change_conf(|conf| {
            conf.block_v4 = v4 as u32;
            conf.block_v6 = v6 as u32;
        })
    }

    fn read_conf(&self) -> Result<Conf, XskError> {
        self.conf.get(&0, 0).map_err(map_error(maps::CONF, "read"))
    }

    fn change_conf(&mut self, change: impl FnOnce(&mut Conf)) -> Result<(), XskError> {
        let mut conf = self.read_conf()?;
        change(&mut conf);
        self.conf.set(0, conf, 0).map_err(map_error(maps::CONF, "written"))
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("ports", &self.ports)
            .field("block_list_len", &self.block_list_len())
            .finish_non_exhaustive()
    }
}

/// One pinned wire, as its pins tell it. See [`status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedWire {
    /// Its name.
    pub name: String,
    /// The interface index of each port; 0 where the interface is gone.
    pub ports: Vec<u32>,
}

/// The wires whose programs are pinned under `pin_root`, whether or not a daemon runs.
///
/// # Errors
///
/// [`XskError::Pin`] where a pin cannot be read.
pub fn status(pin_root: &Path) -> Result<Vec<PinnedWire>, XskError> {
    let mut wires = Vec::new();
    for name in pin::wires(pin_root) {
        let pins = Pins::new(pin_root, &name);
        let mut ports = Vec::new();
        for port in pin::ports() {
            ports.extend(pin::link_ifindex(&pins.link(port))?);
        }
        wires.push(PinnedWire { name, ports });
    }
    Ok(wires)
}

/// What the program of `port` of the pinned wire `name` counted, whether or not a daemon runs.
///
/// # Errors
///
/// [`XskError::Map`] where there is no such wire.
pub fn pinned_counters(pin_root: &Path, name: &str, port: usize) -> Result<WireCounters, XskError> {
    let path = Pins::new(pin_root, name).directory().join(maps::OUTCOMES);
    let map =
        MapData::from_pin(path).and_then(Map::from_map_data).map_err(map_error(maps::OUTCOMES, "opened"))?;
    sum_counters(&map.try_into().map_err(map_error(maps::OUTCOMES, "opened"))?, port)
}

/// Switches the bypass of the pinned wire `name`, whether or not a daemon runs. See [`Wire::set_bypass`].
///
/// # Errors
///
/// [`XskError::Map`] where there is no such wire.
pub fn set_pinned_bypass(pin_root: &Path, name: &str, on: bool) -> Result<(), XskError> {
    let path = Pins::new(pin_root, name).directory().join(maps::CONF);
    let map =
        MapData::from_pin(path).and_then(Map::from_map_data).map_err(map_error(maps::CONF, "opened"))?;
    let mut map: Array<_, Conf> = map.try_into().map_err(map_error(maps::CONF, "opened"))?;
    let conf = map.get(&0, 0).map_err(map_error(maps::CONF, "read"))?;
    map.set(0, Conf { bypass: u32::from(on), ..conf }, 0).map_err(map_error(maps::CONF, "written"))
}

/// Takes the programs of wire `name` off their ports and removes every pin; says how many links there were.
///
/// The wire is dead from then on, unless something else forwards between its ports.
///
/// # Errors
///
/// [`XskError::Pin`].
pub fn detach(pin_root: &Path, name: &str) -> Result<usize, XskError> {
    Pins::new(pin_root, name).remove()
}

struct Target<'a> {
    port: u32,
    interface: &'a str,
    ifindex: u32,
}

/// The links that an earlier daemon pinned, by the interface they run on.
#[derive(Debug, Default)]
struct HeldLinks {
    xdp: Vec<(u32, FdLink)>,
    tcx: Vec<(u32, FdLink)>,
}

impl HeldLinks {
    fn gather(pins: &Pins, older: &[PathBuf]) -> Result<Self, XskError> {
        let mut held = Self::default();
        for directory in older.iter().chain([&pins.directory()]) {
            for port in pin::ports() {
                held.xdp.extend(open_link(&directory.join(format!("link{port}")))?);
                held.tcx.extend(open_link(&directory.join(format!("tcx{port}")))?);
            }
        }
        Ok(held)
    }
}

/// A pinned link and its interface; `None` if there is no such pin.
fn open_link(path: &Path) -> Result<Option<(u32, FdLink)>, XskError> {
    let Some(ifindex) = pin::link_ifindex(path)? else { return Ok(None) };
    let link = PinnedLink::from_pin(path).map_err(|err| pin_error(path, "opening the pin", &err))?;
    Ok(Some((ifindex, link.into())))
}

fn take_link_on(links: &mut Vec<(u32, FdLink)>, ifindex: u32) -> Option<FdLink> {
    let position = links.iter().position(|(held, _)| *held == ifindex)?;
    Some(links.swap_remove(position).1)
}

fn attach_xdp(
    object: &mut Ebpf,
    target: &Target<'_>,
    pins: &Pins,
    held: &mut HeldLinks,
    generic_only: bool,
) -> Result<PortStatus, XskError> {
    let program: &mut Xdp = object
        .program_mut("to_worker")
        .expect("the object has this program")
        .try_into()
        .expect("it is an XDP program");
    let path = pins.link(target.port);
    let status = |mode, origin| PortStatus {
        interface: target.interface.to_owned(),
        ifindex: target.ifindex,
        mode,
        origin,
    };
    let modes: &[AttachMode] =
        if generic_only { &[AttachMode::Generic] } else { &[AttachMode::Native, AttachMode::Generic] };
    let mut refusal = None;
    for mode in modes {
        match program.attach_to_if_index(target.ifindex, mode.aya()) {
            // Nothing was attached, so a pin of that name is stale.
            Ok(id) => {
                let stale = pin::link_ifindex(&path)?.is_some();
                let link = program.take_link(id).map_err(attach_error(target, "xdp"))?;
                pin_link(link_of(link, target, "xdp")?, &path)?;
                return Ok(status(*mode, if stale { Origin::ReplacedStale } else { Origin::Fresh }));
            }
            Err(err) => match errno_of(&err) {
                // EBUSY: a program holds the port in this mode. EEXIST: in the other mode (net/core/dev.c).
                Some(code @ (libc::EBUSY | libc::EEXIST)) => {
                    let link = take_link_on(&mut held.xdp, target.ifindex)
                        .ok_or_else(|| XskError::Taken { interface: target.interface.to_owned() })?;
                    let link = XdpLink::try_from(link)
                        .map_err(|err: LinkError| pin_error(&path, "opening the pin", &err))?;
                    let id = program.attach_to_link(link).map_err(attach_error(target, "xdp"))?;
                    let link = program.take_link(id).map_err(attach_error(target, "xdp"))?;
                    pin_link(link_of(link, target, "xdp")?, &path)?;
                    let live = if code == libc::EBUSY { *mode } else { other(*mode) };
                    return Ok(status(live, Origin::TakenOver));
                }
                Some(_) | None => refusal = Some(err),
            },
        }
    }
    Err(attach_error(target, "xdp")(refusal.expect("every mode was refused")))
}

fn attach_classifier(
    object: &mut Ebpf,
    target: &Target<'_>,
    pins: &Pins,
    held: &mut HeldLinks,
) -> Result<(), XskError> {
    let program: &mut SchedClassifier = object
        .program_mut("to_peer")
        .expect("the object has this program")
        .try_into()
        .expect("it is a classifier");
    let path = pins.tcx(target.port);
    // tcx takes several programs a port, so a second attach would succeed: only the pin tells.
    let id = match take_link_on(&mut held.tcx, target.ifindex) {
        Some(link) => {
            let link = link.try_into().map_err(|err: LinkError| pin_error(&path, "opening the pin", &err))?;
            program.attach_to_link(link)
        }
        None => program.attach_with_options(
            target.interface,
            TcAttachType::Ingress,
            TcAttachOptions::TcxOrder(LinkOrder::default()),
        ),
    }
    .map_err(attach_error(target, "tcx"))?;
    let link = program.take_link(id).map_err(attach_error(target, "tcx"))?;
    let link = FdLink::try_from(link).map_err(|err: LinkError| pin_error(&path, "opening the link", &err))?;
    pin_link(link, &path)
}

fn link_of(link: XdpLink, target: &Target<'_>, program: &'static str) -> Result<FdLink, XskError> {
    FdLink::try_from(link).map_err(|err: LinkError| XskError::Attach {
        interface: target.interface.to_owned(),
        program,
        reason: format!("{err}; links need Linux 5.9"),
    })
}

/// Pins a link under its name, in place of what was pinned there.
fn pin_link(link: FdLink, path: &Path) -> Result<(), XskError> {
    pin::remove_pin(path)?;
    link.pin(path).map_err(|err| pin_error(path, "pinning the link", &error_chain(&err)))?;
    Ok(())
}

const fn other(mode: AttachMode) -> AttachMode {
    match mode {
        AttachMode::Native => AttachMode::Generic,
        AttachMode::Generic => AttachMode::Native,
    }
}

fn errno_of(err: &ProgramError) -> Option<i32> {
    Some(crate::error::errno_in(err)).filter(|code| *code != 0)
}

fn attach_error<'a>(target: &'a Target<'_>, program: &'static str) -> impl Fn(ProgramError) -> XskError + 'a {
    move |err| XskError::Attach { interface: target.interface.to_owned(), program, reason: error_chain(&err) }
}

fn map_error(map: &'static str, operation: &'static str) -> impl Fn(MapError) -> XskError {
    move |err| XskError::Map { map, operation, reason: error_chain(&err) }
}

fn sum_counters(
    counters: &PerCpuArray<MapData, [u64; OUTCOMES]>,
    port: usize,
) -> Result<WireCounters, XskError> {
    let values = counters.get(&(port as u32), 0).map_err(map_error(maps::OUTCOMES, "read"))?;
    let mut sum = [0_u64; OUTCOMES];
    for cpu in values.iter() {
        for (total, count) in sum.iter_mut().zip(cpu) {
            *total += count;
        }
    }
    Ok(WireCounters::from_outcomes(sum))
}

fn key_of(port: u32, queue: u32) -> Result<u32, XskError> {
    if port >= PORTS_MAX || queue >= QUEUES_MAX {
        return Err(XskError::QueueRange { port, queue, ports_max: PORTS_MAX, queues_max: QUEUES_MAX });
    }
    Ok(port * QUEUES_MAX + queue)
}
