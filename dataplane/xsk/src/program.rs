//! What does the kernel run on each port? `program/jarvis.bpf.c`, loaded here, and measured here.
//!
//! The structs mirror the C ones; a change of any map needs a new [`LAYOUT_VERSION`], which is part of the pin
//! path, because a pinned map is reused by name without a look at its type or size.
//!
//! Cost: loading and verifying takes 20 to 35 ms a port. What one packet costs, [`Bench`] measures.
#![expect(unsafe_code, reason = "UNSAFETY: marks the mirrored structs as plain old data for the loader")]

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use aya::maps::{Array, LpmTrie, Map, MapData, MapError, XskMap, lpm_trie};
use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};

use crate::clock::monotonic_ns;
use crate::error::XskError;

/// Version of the maps' layout and of their meaning.
pub const LAYOUT_VERSION: u32 = 1;

/// Ports one set of maps serves.
pub const PORTS_MAX: u32 = 2;
/// Queues of a port that can have a socket.
pub const QUEUES_MAX: u32 = 64;
/// Prefixes a family that the block list is made for.
pub const BLOCK_LIST_MAX: usize = 100_000;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/jarvis.bpf.o"));

/// `struct conf` of the program.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conf {
    pub(crate) watchdog_ns: u64,
    pub(crate) fail_open: u32,
    pub(crate) bypass: u32,
    pub(crate) block_v4: u32,
    pub(crate) block_v6: u32,
}
// SAFETY: integers without padding.
// JUSTIFICATION: the loader copies map values bytewise.
unsafe impl Pod for Conf {}

/// `struct beat` of the program.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Beat {
    pub(crate) stamp_ns: u64,
    pub(crate) unused: [u64; 7],
}
// SAFETY: integers without padding.
// JUSTIFICATION: the loader copies map values bytewise.
unsafe impl Pod for Beat {}

/// How many outcomes the program counts; the order is `enum outcome`'s.
pub(crate) const OUTCOMES: usize = 8;

/// Names of the pinned maps.
pub(crate) mod maps {
    pub(crate) const XSKS: &str = "xsks";
    pub(crate) const BEATS: &str = "beats";
    pub(crate) const CONF: &str = "conf";
    pub(crate) const OUTCOMES: &str = "outcomes";
    pub(crate) const BLOCK_V4: &str = "block_v4";
    pub(crate) const BLOCK_V6: &str = "block_v6";
    pub(crate) const ALL: [&str; 6] = [XSKS, BEATS, CONF, OUTCOMES, BLOCK_V4, BLOCK_V6];
}

/// The object for one port, its programs not yet in the kernel. Its maps are those pinned in `pins`, made and
/// pinned there if they are missing; without `pins` they are the object's own.
pub(crate) fn open(port: u32, peer_ifindex: u32, pins: Option<&Path>) -> Result<Ebpf, XskError> {
    let mut loader = EbpfLoader::new();
    loader.override_global("PORT", &port, true).override_global("PEER_IFINDEX", &peer_ifindex, true);
    for map in pins.iter().flat_map(|_| maps::ALL) {
        loader.map_pin_path(map, pins.map(|directory| directory.join(map)).unwrap_or_default());
    }
    loader.load(OBJECT).map_err(|err| XskError::Load { reason: error_chain(&err) })
}

pub(crate) fn load_xdp<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, XskError> {
    let failed = |err: ProgramError| XskError::Load { reason: error_chain(&err) };
    let program = object.program_mut(name).expect("the object has this program");
    let program: &mut Xdp = program.try_into().map_err(failed)?;
    program.load().map_err(failed)?;
    Ok(program)
}

pub(crate) fn load_classifier(object: &mut Ebpf) -> Result<&mut SchedClassifier, XskError> {
    let failed = |err: ProgramError| XskError::Load { reason: error_chain(&err) };
    let program = object.program_mut("to_peer").expect("the object has this program");
    let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
    program.load().map_err(failed)?;
    Ok(program)
}

/// Takes the heartbeat map as it is, to be mapped into memory.
pub(crate) fn take_beats(object: &mut Ebpf) -> MapData {
    match object.take_map(maps::BEATS).expect("the object has this map") {
        Map::Array(map) => map,
        _ => unreachable!("the heartbeat map is an array"),
    }
}

/// Takes one of the object's maps in its typed form.
pub(crate) fn take_map<M>(object: &mut Ebpf, map: &'static str) -> Result<M, XskError>
where
    M: TryFrom<Map, Error = MapError>,
{
    object.take_map(map).expect("the object has this map").try_into().map_err(|err| XskError::Map {
        map,
        operation: "opened",
        reason: error_chain(&err),
    })
}

/// An error and its causes in one line.
pub(crate) fn error_chain(err: &(dyn std::error::Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(next) = cause {
        let part = next.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = next.source();
    }
    text
}

/// Which program [`Bench::run`] measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchProgram {
    /// The program that ports run.
    ToWorker,
    /// `return bpf_redirect_map(&xsks, queue, XDP_PASS)`: the least there is.
    OneLine,
}

/// What a program did with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchRun {
    /// The XDP action: 1 drop, 2 pass, 4 redirect (`enum xdp_action`, linux/bpf.h).
    pub action: u32,
    /// Mean time of one run.
    pub each: Duration,
}

/// The programs loaded apart from any port, with a socket and a fresh heartbeat in their maps.
pub struct Bench {
    object: Ebpf,
    conf: Array<MapData, Conf>,
    beats: Array<MapData, Beat>,
    _xsks: XskMap<MapData>,
    _socket: OwnedFd,
}

impl Bench {
    /// Loads both programs, with an empty block list.
    ///
    /// # Errors
    ///
    /// [`XskError::Load`] without the privileges, [`XskError::Map`] if the maps refuse.
    pub fn new() -> Result<Self, XskError> {
        let mut object = open(0, 1, None)?;
        load_xdp(&mut object, "to_worker")?;
        load_xdp(&mut object, "one_line")?;
        let mut conf: Array<_, Conf> = take_map(&mut object, maps::CONF)?;
        let beats: Array<_, Beat> = take_map(&mut object, maps::BEATS)?;
        let mut xsks: XskMap<_> = take_map(&mut object, maps::XSKS)?;
        // SAFETY: a plain system call.
        // JUSTIFICATION: std has no AF_XDP sockets. An unbound one suffices: a test run redirects to nowhere.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(XskError::Load { reason: std::io::Error::last_os_error().to_string() });
        }
        // SAFETY: the descriptor was just made and is owned by nothing else.
        // JUSTIFICATION: as above.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let written = |err: MapError| XskError::Map {
            map: maps::XSKS,
            operation: "written",
            reason: error_chain(&err),
        };
        xsks.set(0, socket.as_fd(), 0).map_err(written)?;
        conf.set(0, Conf { watchdog_ns: 3_600_000_000_000, ..Conf::default() }, 0).map_err(written)?;
        Ok(Self { object, conf, beats, _xsks: xsks, _socket: socket })
    }

    /// Fills the block list; prefixes are taken as they are.
    ///
    /// # Errors
    ///
    /// [`XskError::Map`].
    pub fn block(&mut self, v4: &[(Ipv4Addr, u8)], v6: &[(Ipv6Addr, u8)]) -> Result<(), XskError> {
        let failed =
            |map| move |err: MapError| XskError::Map { map, operation: "written", reason: error_chain(&err) };
        let list = self.object.map_mut(maps::BLOCK_V4).expect("the object has this map");
        let mut list: LpmTrie<_, u32, u32> = list.try_into().map_err(failed(maps::BLOCK_V4))?;
        for (addr, len) in v4 {
            let key = lpm_trie::Key::new(u32::from(*len), u32::from_ne_bytes(addr.octets()));
            list.insert(&key, 1, 0).map_err(failed(maps::BLOCK_V4))?;
        }
        let list = self.object.map_mut(maps::BLOCK_V6).expect("the object has this map");
        let mut list: LpmTrie<_, [u8; 16], u32> = list.try_into().map_err(failed(maps::BLOCK_V6))?;
        for (addr, len) in v6 {
            let key = lpm_trie::Key::new(u32::from(*len), addr.octets());
            list.insert(&key, 1, 0).map_err(failed(maps::BLOCK_V6))?;
        }
        let mut conf = self.conf.get(&0, 0).map_err(failed(maps::CONF))?;
        conf.block_v4 += v4.len() as u32;
        conf.block_v6 += v6.len() as u32;
        self.conf.set(0, conf, 0).map_err(failed(maps::CONF))
    }

    /// Runs a program `repeat` times on `packet` (`BPF_PROG_TEST_RUN`), on queue 0 of port 0.
    ///
    /// # Errors
    ///
    /// [`XskError::Load`] with the kernel's words; a packet needs at least 14 bytes.
    pub fn run(&mut self, program: BenchProgram, packet: &[u8], repeat: u32) -> Result<BenchRun, XskError> {
        let stamp = Beat { stamp_ns: monotonic_ns(), ..Beat::default() };
        self.beats.set(0, stamp, 0).map_err(|err| XskError::Map {
            map: maps::BEATS,
            operation: "written",
            reason: error_chain(&err),
        })?;
        let name = match program {
            BenchProgram::ToWorker => "to_worker",
            BenchProgram::OneLine => "one_line",
        };
        let failed = |err: ProgramError| XskError::Load { reason: error_chain(&err) };
        let program = self.object.program_mut(name).expect("loaded in `new`");
        let program: &mut Xdp = program.try_into().map_err(failed)?;
        let run = program
            .test_run(TestRunOptions { data_in: Some(packet), repeat, ..TestRunOptions::new() })
            .map_err(failed)?;
        Ok(BenchRun { action: run.return_value, each: run.duration })
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}
