//! What did the device's threads spend? Cycles and instructions where the machine counts them, else time.
//!
//! Counters come from `perf_event_open`, user and kernel, one pair a thread. Virtual machines often have
//! none; then cycles are the thread's processor time (`/proc/TID/schedstat`) times the nominal frequency,
//! and the result says so.

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};

use crate::drivers::Task;

/// What one thread spent between two readings.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spent {
    /// The thread's name.
    pub(crate) thread: String,
    /// Whether it is a NAPI thread of the kernel.
    pub(crate) napi: bool,
    /// Processor time, ns.
    pub(crate) cpu_ns: u64,
    /// Cycles, where they can be counted.
    pub(crate) cycles: Option<u64>,
    /// Instructions, where they can be counted.
    pub(crate) instructions: Option<u64>,
}

/// Watches threads from its creation on.
#[derive(Debug)]
pub(crate) struct Meter {
    watched: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    task: Task,
    cpu_ns: u64,
    counters: Option<[Counter; 2]>,
}

impl Meter {
    /// Begins now.
    pub(crate) fn start(tasks: Vec<Task>) -> Self {
        let watched = tasks
            .into_iter()
            .map(|task| Watched { cpu_ns: cpu_ns(task.tid), counters: counters(task.tid), task })
            .collect();
        Self { watched }
    }

    /// What each thread spent since [`Meter::start`].
    pub(crate) fn read(&mut self) -> Vec<Spent> {
        self.watched
            .iter_mut()
            .map(|watched| {
                let counted = watched.counters.as_mut().and_then(|[cycles, instructions]| {
                    Some((cycles.read().ok()?, instructions.read().ok()?))
                });
                Spent {
                    thread: watched.task.name.clone(),
                    napi: watched.task.napi,
                    cpu_ns: cpu_ns(watched.task.tid).saturating_sub(watched.cpu_ns),
                    cycles: counted.map(|(cycles, _)| cycles),
                    instructions: counted.map(|(_, instructions)| instructions),
                }
            })
            .collect()
    }
}

/// Sums over threads; counters count only if every thread has them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Total {
    pub(crate) cpu_ns: u64,
    pub(crate) cycles: Option<u64>,
    pub(crate) instructions: Option<u64>,
}

/// Adds up the threads for which `include` holds.
pub(crate) fn total(spent: &[Spent], include: impl Fn(&Spent) -> bool) -> Total {
    let chosen: Vec<&Spent> = spent.iter().filter(|one| include(one)).collect();
    let sum = |of: fn(&Spent) -> Option<u64>| {
        if chosen.is_empty() { None } else { chosen.iter().map(|one| of(one)).sum() }
    };
    Total {
        cpu_ns: chosen.iter().map(|one| one.cpu_ns).sum(),
        cycles: sum(|one| one.cycles),
        instructions: sum(|one| one.instructions),
    }
}

/// Whether this machine counts cycles.
pub(crate) fn counters_work() -> bool {
    Builder::new(Hardware::CPU_CYCLES).build().is_ok()
}

/// Nominal frequency of the first processor, GHz, from /proc/cpuinfo.
pub(crate) fn nominal_ghz() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mhz =
        text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1)?.trim().parse().ok());
    mhz.unwrap_or(0.0_f64) / 1000.0
}

/// Time on a processor so far, ns (first field of schedstat; 0 for a thread that is gone).
pub(crate) fn cpu_ns(tid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{tid}/schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn counters(tid: u32) -> Option<[Counter; 2]> {
    let counter = |event: Hardware| {
        let mut counter = Builder::new(event)
            .observe_pid(tid as libc::pid_t)
            .any_cpu()
            .exclude_kernel(false)
            .build()
            .ok()?;
        counter.enable().ok()?;
        Some(counter)
    };
    Some([counter(Hardware::CPU_CYCLES)?, counter(Hardware::INSTRUCTIONS)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(cpu_ns: u64, cycles: Option<u64>, napi: bool) -> Spent {
        Spent { thread: String::new(), napi, cpu_ns, cycles, instructions: None }
    }

    #[test]
    fn totals_leave_counters_out_when_one_thread_has_none() {
        let all = [spent(5, Some(50), false), spent(7, None, true)];
        assert_eq!(total(&all, |_| true), Total { cpu_ns: 12, cycles: None, instructions: None });
        assert_eq!(total(&all, |one| !one.napi).cycles, Some(50));
        assert_eq!(total(&[], |_| true).cycles, None);
    }

    #[test]
    fn this_thread_spends_time() {
        let tid = crate::drivers::bare::own_tid();
        let before = cpu_ns(tid);
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 30 {
            std::hint::black_box(cpu_ns(tid));
        }
        assert!(cpu_ns(tid) > before);
    }
}
