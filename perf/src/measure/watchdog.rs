//! Did the machine itself stand still? On each core a thread above all others sleeps and looks at the clock.
//!
//! A hypervisor that takes a core away for a millisecond makes every device lose packets, since a veth's ring
//! holds 256. Steal time tells it in ticks of 10 ms, and not on every machine. So during a trial of the
//! zero-loss search a SCHED_FIFO thread on the sender's core and one on the device's sleep for [`PERIOD`]:
//! where one wakes up late, its core was gone, whatever the device did meanwhile (the longest work that the
//! kernel does there without looking for a thread of higher priority is a NAPI poll of 64 packets, some 0.1
//! ms).
//!
//! Costs below 2 % of a core; where processor time is the result, it does not run. What it cannot see: other
//! programs on the same cores, which the machine's load tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::drivers::Error;
use crate::drivers::bare::own_tid;
use crate::rig::command::run;

const PERIOD: Duration = Duration::from_micros(500);
/// How late a thread is at least when its core was gone; timers and NAPI polls stay below.
const STALL_MIN: Duration = Duration::from_micros(300);
/// Above NAPI's threads (45), so that only interrupts and the hypervisor go before it.
const FIFO_PRIORITY: u32 = 80;

/// How often and how long the cores were gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Stalls {
    pub(crate) stalls: u32,
    pub(crate) longest_ns: u64,
    /// Sum over both cores.
    pub(crate) total_ns: u64,
}

impl Stalls {
    /// Whether losing `lost` packets of a stream of `rate_pps` is no more than what these stalls make any
    /// device lose: what came meanwhile, and as much again while it caught up. A loss beyond that is the
    /// device's.
    pub(crate) fn explain(&self, lost: u64, rate_pps: f64) -> bool {
        // Of each stall up to a period passed before the thread wanted to wake up.
        let unseen_ns = u64::from(self.stalls) * PERIOD.as_nanos() as u64;
        lost as f64 <= 2.0 * rate_pps * (self.total_ns + unseen_ns) as f64 / 1e9
    }

    fn note(&mut self, late_ns: u64) {
        if late_ns > STALL_MIN.as_nanos() as u64 {
            self.stalls += 1;
            self.longest_ns = self.longest_ns.max(late_ns);
            self.total_ns += late_ns;
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            stalls: self.stalls + other.stalls,
            longest_ns: if self.longest_ns > other.longest_ns { self.longest_ns } else { other.longest_ns },
            total_ns: self.total_ns + other.total_ns,
        }
    }
}

/// The threads; they end when it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Stalls>>,
}

impl Watchdog {
    /// Watches `cores` from now on.
    ///
    /// # Errors
    ///
    /// No thread, or no permission to raise its priority.
    pub(crate) fn start(cores: [usize; 2]) -> Result<Self, Error> {
        let mut watchdog = Self { stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() };
        for core in cores {
            let stop = Arc::clone(&watchdog.stop);
            let (tell, told) = mpsc::channel();
            let thread = std::thread::Builder::new()
                .name("watchdog".to_owned())
                .spawn(move || {
                    core_affinity::set_for_current(core_affinity::CoreId { id: core });
                    // The receiver waits for it.
                    let _ = tell.send(own_tid());
                    watch(&stop)
                })
                .map_err(|source| Error::io("starting a thread", source))?;
            watchdog.threads.push(thread);
            let tid = told.recv().expect("the thread answers first of all");
            run(&format!("chrt -f -p {FIFO_PRIORITY} {tid}"))?;
        }
        Ok(watchdog)
    }

    /// What the cores missed since the start.
    pub(crate) fn finish(mut self) -> Stalls {
        // Relaxed: the flag carries no data.
        self.stop.store(true, Ordering::Relaxed);
        // A thread that panicked has said so itself.
        self.threads.drain(..).filter_map(|thread| thread.join().ok()).fold(Stalls::default(), Stalls::plus)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(stop: &AtomicBool) -> Stalls {
    let mut stalls = Stalls::default();
    while !stop.load(Ordering::Relaxed) {
        let before = xsk::clock::monotonic_ns();
        std::thread::sleep(PERIOD);
        stalls.note((xsk::clock::monotonic_ns() - before).saturating_sub(PERIOD.as_nanos() as u64));
    }
    stalls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_explained_up_to_twice_what_came_during_the_stalls() {
        let mut stalls = Stalls::default();
        assert!(!stalls.explain(1, 1e6));
        stalls.note(100_000);
        assert_eq!(stalls, Stalls::default(), "timers are a little late");
        stalls.note(1_500_000);
        // 2 ms with the period, at a million a second.
        assert!(stalls.explain(4_000, 1e6) && !stalls.explain(4_001, 1e6));
        stalls.note(500_000);
        assert_eq!((stalls.stalls, stalls.longest_ns, stalls.total_ns), (2, 1_500_000, 2_000_000));
    }
}
