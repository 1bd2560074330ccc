//! Sends a trace from the far ends, paced to the nanosecond or as fast as one core goes.
//!
//! The packets are made by an XDP program that the kernel runs on live frames (`BPF_PROG_TEST_RUN` with
//! `BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18): it copies the head of the next packet of the trace into a
//! page and redirects it to a far end. That costs a fraction of a socket send, so that a device under test
//! is what limits the rate, and the frames arrive at the device as a driver would give them. Pacing is
//! done in the program: a turn before its time sends nothing. The number sent is exact.

use std::time::Duration;

use aya::maps::{Array, MapData};
use aya::programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::{Error, FAR_OBJECT, Rig};
use crate::traffic::{Side, Trace};

/// Frames that the kernel handles in one go: a burst on the wire is at most so long.
const BATCH: u32 = 64;
/// Turns in one system call; between two calls the sender stops for the time of a page pool's setup.
const TURNS: u32 = 2_000_000;
/// How much of a stall (hypervisor, setup between calls) is caught up at once. Longer ones lower the rate
/// that is reached: a device must not be blamed for the burst that would follow.
const CATCH_UP: Duration = Duration::from_micros(40);
/// Shift of the program's fixed-point times.
const FRACTION_BITS: u32 = 16;
/// A stamp in every 64th packet.
const STAMP_MASK: u64 = 63;

/// Words of `struct control` in `far.bpf.c`, by position.
mod control {
    pub(super) const NEXT: usize = 0;
    pub(super) const SLOTS: usize = 1;
    pub(super) const SENT: usize = 2;
    pub(super) const BUDGET: usize = 3;
    pub(super) const INTERVAL_FP: usize = 4;
    pub(super) const DUE_FP: usize = 5;
    pub(super) const BURST_FP: usize = 6;
    pub(super) const STAMP_MASK: usize = 7;
    pub(super) const IFINDEX: usize = 8;
    pub(super) const FRAME_LEN: usize = 10;
    pub(super) const SKIPPED_NS: usize = 11;
    pub(super) const DURATION_NS: usize = 12;
    pub(super) const BYTES: usize = 13;
    pub(super) const ENDED: usize = 14;
    pub(super) const STARTED_NS: usize = 15;
    pub(super) const LAST_NS: usize = 16;
    pub(super) const WORDS: usize = 32;
}

/// Words of `struct slot` and of `struct whole_slot`.
const SLOT_WORDS: usize = 1 + 112 / 8;
const WHOLE_SLOT_WORDS: usize = 1 + 2032 / 8;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Rate {
    /// As fast as one core sends.
    Unlimited,
    /// So many packets a second, evenly spaced.
    PacketsPerSecond(f64),
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After so many packets.
    Packets(u64),
    /// After so long.
    Elapsed(Duration),
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sent {
    /// Packets.
    pub(crate) packets: u64,
    /// Their bytes, without FCS.
    pub(crate) bytes: u64,
    /// From the first turn to the last packet.
    pub(crate) elapsed_ns: u64,
    /// Of that, stalls that were not caught up.
    pub(crate) skipped_ns: u64,
}

impl Sent {
    /// Packets a second that were reached.
    pub(crate) fn rate_pps(&self) -> f64 {
        if self.elapsed_ns == 0 { 0.0 } else { self.packets as f64 * 1e9 / self.elapsed_ns as f64 }
    }
}

/// A trace in the kernel, ready to be sent.
#[derive(Debug)]
pub(crate) struct Sender {
    ebpf: Ebpf,
    program: &'static str,
    frame: Vec<u8>,
    control: [u64; control::WORDS],
}

impl Sender {
    /// Loads `trace`, which is not empty. Costs about a microsecond a packet.
    ///
    /// # Errors
    ///
    /// No permission, no memory, or a kernel before 5.18.
    pub(crate) fn new(rig: &Rig, trace: &Trace) -> Result<Self, Error> {
        let (map, program) = if trace.is_whole() { ("whole_slots", "send_whole") } else { ("slots", "send") };
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(map, trace.len() as u32)
            .load(FAR_OBJECT)
            .map_err(|error| Error::bpf("far ends' programs", error))?;
        if trace.is_whole() {
            fill::<WHOLE_SLOT_WORDS>(&mut ebpf, map, trace)?;
        } else {
            fill::<SLOT_WORDS>(&mut ebpf, map, trace)?;
        }
        let loaded: &mut Xdp = ebpf
            .program_mut(program)
            .expect("far.bpf.c has this program")
            .try_into()
            .map_err(|error| Error::bpf("sending program", error))?;
        loaded.load().map_err(|error| Error::bpf("sending program", error))?;

        let head = if trace.is_whole() { 2032 } else { 112 };
        let frame_len = usize::from(trace.longest()).max(head);
        let mut control = [0; control::WORDS];
        control[control::SLOTS] = trace.len() as u64;
        control[control::BURST_FP] = (CATCH_UP.as_nanos() as u64) << FRACTION_BITS;
        control[control::STAMP_MASK] = STAMP_MASK;
        control[control::FRAME_LEN] = frame_len as u64;
        for (offset, interface) in rig.far_ends().iter().enumerate() {
            control[control::IFINDEX + offset] = u64::from(Rig::index_of(&rig.far_namespace(), interface)?);
        }
        Ok(Self { ebpf, program, frame: vec![0; frame_len], control })
    }

    /// Sends from where the last call stopped. The calling thread is in the far ends' namespace, on the
    /// sender's core.
    ///
    /// # Errors
    ///
    /// The kernel refuses to run the program.
    pub(crate) fn send(&mut self, rate: Rate, until: Until) -> Result<Sent, Error> {
        let interval_fp = match rate {
            Rate::Unlimited => 0,
            Rate::PacketsPerSecond(pps) => (1e9 / pps * f64::from(1_u32 << FRACTION_BITS)).round() as u64,
        };
        let (budget, duration_ns) = match until {
            Until::Packets(packets) => (packets, 0),
            Until::Elapsed(duration) => (u64::MAX, duration.as_nanos() as u64),
        };
        for (word, value) in [
            (control::SENT, 0),
            (control::BUDGET, budget),
            (control::INTERVAL_FP, interval_fp),
            (control::DUE_FP, 0),
            (control::SKIPPED_NS, 0),
            (control::DURATION_NS, duration_ns),
            (control::BYTES, 0),
            (control::ENDED, 0),
            (control::STARTED_NS, 0),
            (control::LAST_NS, 0),
        ] {
            self.control[word] = value;
        }
        self.write_control()?;
        loop {
            self.turn(budget)?;
            self.read_control()?;
            let [sent, ended] = [control::SENT, control::ENDED].map(|word| self.control[word]);
            if ended != 0 || sent >= budget {
                break;
            }
        }
        Ok(Sent {
            packets: self.control[control::SENT],
            bytes: self.control[control::BYTES],
            elapsed_ns: self.control[control::LAST_NS].saturating_sub(self.control[control::STARTED_NS]),
            skipped_ns: self.control[control::SKIPPED_NS],
        })
    }

    fn turn(&mut self, budget: u64) -> Result<(), Error> {
        let program: &Xdp = self
            .ebpf
            .program(self.program)
            .expect("found when it was loaded")
            .try_into()
            .map_err(|error| Error::bpf("sending program", error))?;
        // Unpaced and counted: no more turns than packets (a small burst must not cost a million turns).
        let turns = if self.control[control::INTERVAL_FP] == 0 {
            budget.saturating_sub(self.control[control::SENT]).clamp(1, u64::from(TURNS)) as u32
        } else {
            TURNS
        };
        let result = program.test_run(TestRunOptions {
            data_in: Some(&self.frame),
            repeat: turns,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        });
        match result {
            Ok(_) => Ok(()),
            // A signal (the clean-up thread's business) ends the call early; what was sent is counted.
            Err(error) if is_interrupted(&error) => Ok(()),
            Err(error) => Err(Error::bpf("sending (needs Linux 5.18 for live frames)", error)),
        }
    }

    fn map(&mut self) -> Result<Array<&mut MapData, [u64; control::WORDS]>, Error> {
        let map = self.ebpf.map_mut("control").expect("far.bpf.c has this map");
        map.try_into().map_err(|error| Error::bpf("control map", error))
    }

    fn write_control(&mut self) -> Result<(), Error> {
        let control = self.control;
        self.map()?.set(0, control, 0).map_err(|error| Error::bpf("control map", error))
    }

    fn read_control(&mut self) -> Result<(), Error> {
        self.control = self.map()?.get(&0, 0).map_err(|error| Error::bpf("control map", error))?;
        debug_assert!(self.control[control::NEXT] < self.control[control::SLOTS]);
        Ok(())
    }
}

fn is_interrupted(error: &aya::programs::ProgramError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::Interrupted;
        }
        cause = error.source();
    }
    false
}

fn fill<const WORDS: usize>(ebpf: &mut Ebpf, map: &str, trace: &Trace) -> Result<(), Error>
where
    [u64; WORDS]: aya::Pod,
{
    let map = ebpf.map_mut(map).expect("far.bpf.c has this map");
    let mut map: Array<&mut MapData, [u64; WORDS]> =
        map.try_into().map_err(|error| Error::bpf("slots map", error))?;
    let mut slot = [0_u64; WORDS];
    for (index, packet) in trace.iter().enumerate() {
        let side = match packet.side {
            Side::A => 0,
            Side::B => 1,
        };
        slot[0] = u64::from(packet.wire_len) | side << 16 | u64::from(packet.stamp_at) << 24;
        for (word, bytes) in slot[1..].iter_mut().zip(packet.head.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(whole);
        }
        for word in &mut slot[1 + packet.head.len().div_ceil(8)..] {
            *word = 0;
        }
        map.set(index as u32, slot, 0).map_err(|error| Error::bpf("slots map", error))?;
    }
    Ok(())
}
