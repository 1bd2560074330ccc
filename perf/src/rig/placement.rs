//! On which core does the kernel's part of the path run? NAPI threads, pinned.
//!
//! Without this a veth's receive work would run where the sender transmits, and a device would be measured
//! with half of its work done by the sender's core. NAPI of the ports runs as the kernel makes it and as
//! `ksoftirqd` does, SCHED_OTHER: under overload a device in user space gets its share of the core. Devices
//! in user space sleep when idle and run as SCHED_FIFO [`DEVICE_PRIORITY`], all alike (at nice -20 where they spin). NAPI of the far ends runs as SCHED_FIFO, so that the
//! counters lose nothing to the sender beside them.

use super::command::run;
use super::{Error, Rig};

/// Priority of the far ends' NAPI threads: above user space, below the kernel's own (50 is what threaded interrupts
/// have).
const FIFO_PRIORITY: u32 = 45;

/// SCHED_FIFO priority of every device in user space that sleeps when idle: what the appliance gives its workers.
const DEVICE_PRIORITY: u32 = 1;

/// Words that start a program, a device in user space that sleeps when idle, with its precedence over NAPI.
pub(crate) fn precedence() -> [String; 3] {
    ["chrt".to_owned(), "-f".to_owned(), DEVICE_PRIORITY.to_string()]
}

/// The same for a thread that runs; `spins` where it never sleeps, and would leave NAPI nothing as SCHED_FIFO.
///
/// # Errors
///
/// No permission.
pub(crate) fn put_first(tid: u32, spins: bool) -> Result<(), Error> {
    let line =
        if spins { format!("renice -n -20 -p {tid}") } else { format!("chrt -f -p {DEVICE_PRIORITY} {tid}") };
    run(&line).map(drop).map_err(Error::from)
}

impl Rig {
    /// Makes NAPI of all four interfaces threaded and pins the threads. To be called again when a program
    /// was attached or removed: the kernel then makes new threads.
    ///
    /// # Errors
    ///
    /// A kernel without threaded NAPI (before 5.12), or no permission.
    pub(crate) fn place_napi(&self) -> Result<(), Error> {
        if self.is_on_nics() {
            // A card's interrupts are the operator's to place, see scripts/nic-queues.
            return Ok(());
        }
        self.take_xdp_frames()?;
        for (namespace, interfaces, core) in self.placements() {
            for interface in interfaces {
                super::command::run_words(&[
                    "ip",
                    "netns",
                    "exec",
                    &namespace,
                    "sh",
                    "-c",
                    &format!("echo 1 > /sys/class/net/{interface}/threaded"),
                ])?;
                for thread in napi_threads(&interface) {
                    run(&format!("taskset -pc {core} {thread}"))?;
                    if core == self.config.sender_core {
                        run(&format!("chrt -f -p {FIFO_PRIORITY} {thread}"))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Kernel threads that do the device's receive work (and, for peers inside the kernel, everything).
    pub(crate) fn dut_napi_threads(&self) -> Vec<u32> {
        self.ports().iter().flat_map(|port| napi_threads(port)).collect()
    }

    fn placements(&self) -> [(String, [String; 2], usize); 2] {
        [
            (self.far_namespace(), self.far_ends(), self.config.sender_core),
            (self.dut_namespace(), self.ports(), self.config.dut_core),
        ]
    }
}

/// Thread ids of `napi/INTERFACE-ID`. Interface names of the rig are unique on the machine.
fn napi_threads(interface: &str) -> Vec<u32> {
    let start = format!("napi/{interface}-");
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(&start))
        })
        .collect()
}
