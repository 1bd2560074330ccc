//! The yardstick: how fast can frames go from one port to the other over AF_XDP when nothing is done to them?
//!
//! Receive descriptor -> transmit on the other port -> completion -> fill ring. One thread, one UMEM, one
//! queue a port, no look at a byte. Waits in poll(2) when a turn brought nothing, as the appliance does in
//! its `interrupt` strategy, so that its processor time says what a packet costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use aya::Ebpf;
use aya::maps::{MapData, XskMap};
use aya::programs::{Xdp, XdpMode};
use xsk::{FrameBatch, FramePool, PacketPort, SocketConfig, Umem, UmemConfig, XskQueue};

use super::{Error, Running, Work};
use crate::rig::{self, Rig, placement};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bare.bpf.o"));

/// Frames that wait for packets on each port.
const FILL: usize = 2048;
/// Frames of a turn.
const BATCH: usize = 64;
/// Turns without a packet before the thread waits.
const IDLE_TURNS: u32 = 1;
/// How long it waits at most, so that it sees that it is to stop.
const WAIT_MS: i32 = 50;

/// Starts the forwarder between the rig's ports. `busy` polls without ever waiting.
///
/// # Errors
///
/// No AF_XDP, no permission, too little locked memory.
pub(crate) fn start(rig: &Rig, busy: bool) -> Result<Running, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let (ready, is_ready) = mpsc::channel();
    let handle = {
        let namespace = (!rig.is_on_nics()).then(|| rig.dut_namespace());
        let (stop, ports) = (Arc::clone(&stop), rig.ports());
        let core = rig.config.dut_core;
        std::thread::Builder::new()
            .name("bare".to_owned())
            .spawn(move || {
                core_affinity::set_for_current(core_affinity::CoreId { id: core });
                match open(namespace.as_deref(), &ports) {
                    Ok(mut forwarder) => {
                        let _ = ready.send(Ok((own_tid(), forwarder.mode.clone())));
                        forwarder.run(&stop, busy);
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(|source| Error::io("starting a thread", source))?
    };
    let (tid, mode) = is_ready.recv().expect("the thread answers before it ends")?;
    placement::put_first(tid, busy)?;
    let notes = vec![
        ("mode".to_owned(), mode),
        ("rings".to_owned(), format!("fill {FILL}, rx 2048, tx 2048, completion 2048")),
        ("waiting".to_owned(), if busy { "busy" } else { "interrupt" }.to_owned()),
    ];
    rig.place_napi()?;
    Ok(Running::new("bare", notes, Work::Thread { stop, tid, handle: Some(handle) }))
}

struct Forwarder {
    pool: FramePool,
    queues: [XskQueue; 2],
    /// Keeps the programs attached.
    _programs: [Ebpf; 2],
    mode: String,
}

fn open(namespace: Option<&str>, ports: &[String; 2]) -> Result<Forwarder, Error> {
    if let Some(name) = namespace {
        xsk::netns::enter(name).map_err(|source| rig::Error::Enter { name: name.to_owned(), source })?;
    }
    let (umem, mut pool) = Umem::new(UmemConfig { frames: 16_384, ..UmemConfig::default() })?;
    let mut queue_of = |port: &String| -> Result<(XskQueue, Ebpf), Error> {
        let mut queue = XskQueue::open(&umem, &SocketConfig::new(port.clone(), 0))?;
        queue.refill(&mut pool, FILL);
        let program = redirect_to(&queue, port)?;
        Ok((queue, program))
    };
    let (queue_a, program_a) = queue_of(&ports[0])?;
    let (queue_b, program_b) = queue_of(&ports[1])?;
    let mode = queue_a.mode().name().to_owned();
    Ok(Forwarder { pool, queues: [queue_a, queue_b], _programs: [program_a, program_b], mode })
}

fn redirect_to(queue: &XskQueue, port: &str) -> Result<Ebpf, Error> {
    let bpf =
        |what, error: &dyn std::error::Error| Error::Rig(rig::Error::Bpf { what, reason: error.to_string() });
    let mut ebpf = Ebpf::load(OBJECT).map_err(|error| bpf("bare program", &error))?;
    let fd = queue.fd().expect("a socket has a descriptor");
    let map = ebpf.map_mut("xsks").expect("bare.bpf.c has this map");
    let mut map: XskMap<&mut MapData> = map.try_into().map_err(|error| bpf("xsks map", &error))?;
    map.set(0, fd, 0).map_err(|error| bpf("xsks map", &error))?;
    let program: &mut Xdp = ebpf
        .program_mut("bare")
        .expect("bare.bpf.c has this program")
        .try_into()
        .map_err(|error| bpf("bare program", &error))?;
    program.load().map_err(|error| bpf("bare program", &error))?;
    program.attach(port, XdpMode::Driver).map_err(|error| bpf("attaching the bare program", &error))?;
    Ok(ebpf)
}

impl Forwarder {
    fn run(&mut self, stop: &AtomicBool, busy: bool) {
        let mut batches = [FrameBatch::new(), FrameBatch::new()];
        let fds = [0, 1].map(|side: usize| self.queues[side].fd().expect("a socket has a descriptor"));
        let mut idle_turns = 0;
        // Relaxed: the flag carries no data.
        while !stop.load(Ordering::Relaxed) {
            let mut moved = 0;
            for (side, batch) in batches.iter_mut().enumerate() {
                // What the other port had no room for last time is still there and goes first.
                let room = batch.room().min(BATCH);
                moved += self.queues[side].receive(batch, room);
                let other = &mut self.queues[1 - side];
                other.send(batch);
                other.kick();
                moved += other.complete(&mut self.pool);
                self.queues[side].refill(&mut self.pool, FILL);
            }
            idle_turns = if moved == 0 { idle_turns + 1 } else { 0 };
            if idle_turns > IDLE_TURNS && !busy {
                // An error here is a closed descriptor, which cannot be: we own the sockets.
                let _ = xsk::wait::readable(&fds, WAIT_MS);
            }
        }
    }
}

/// This thread's id, as /proc names it.
pub(crate) fn own_tid() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    link.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}
