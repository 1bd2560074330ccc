//! Which core polls which queue, and which cores does the control plane keep?
//!
//! A worker owns its core. Everything else (HTTP, events, signals) stays on the others, also when a thread
//! is made by a library: the main thread takes the control mask before it makes any, and a thread inherits
//! its maker's mask. Only [`pin_worker`] ever narrows a mask to a worker's core, inside the worker's thread.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core for each worker and the cores for everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CorePlan {
    /// By worker.
    pub workers: Vec<usize>,
    /// Never empty.
    pub control: Vec<usize>,
    /// Set where a worker must share its core with the control plane.
    pub shared: bool,
}

/// The cores that this process may use, lowest first.
pub(crate) fn usable() -> std::io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Places `count` workers on `usable` cores.
///
/// Without `workers` they take the highest cores, since interrupts and other services start at the lowest;
/// without `control` the control plane keeps all the rest.
///
/// # Errors
///
/// A sentence for each core that does not exist or may not be used.
pub(crate) fn plan(
    usable: &[usize],
    count: usize,
    workers: &[usize],
    control: &[usize],
) -> Result<CorePlan, Vec<String>> {
    let missing = |key: &'static str| {
        move |core: &&usize| {
            (!usable.contains(core))
                .then(|| format!("{key} names core {core}; this process may use {}", list(usable)))
        }
    };
    let mut wrong: Vec<String> = workers.iter().filter_map(|core| missing("worker.cores")(&core)).collect();
    wrong.extend(control.iter().filter_map(|core| missing("control.cores")(&core)));
    if workers.is_empty() && count > usable.len() {
        wrong.push(format!("worker.count is {count}, this process may use {} core(s)", usable.len()));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let workers = if workers.is_empty() {
        let free: Vec<usize> = usable.iter().copied().filter(|core| !control.contains(core)).collect();
        let pool = if free.len() >= count { free } else { usable.to_vec() };
        pool[pool.len() - count..].to_vec()
    } else {
        workers.to_vec()
    };
    let rest: Vec<usize> = usable.iter().copied().filter(|core| !workers.contains(core)).collect();
    let control = match (control, rest) {
        ([], rest) if rest.is_empty() => usable.to_vec(),
        ([], rest) => rest,
        (control, _) => control.to_vec(),
    };
    let shared = control.iter().any(|core| workers.contains(core));
    Ok(CorePlan { workers, control, shared })
}

/// Narrows the calling thread, and every thread that it makes from now on, to `cores`.
pub(crate) fn keep_to(cores: &[usize]) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Pins the calling worker's thread; `false` where the kernel refuses.
pub(crate) fn pin_worker(core: usize) -> bool {
    // Built here, not looked up: the list of cores that the crate gives depends on the caller's mask.
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

/// How a worker stands against the other threads of its core, the kernel's receive threads (`ksoftirqd`, threaded NAPI)
/// among them.
///
/// With equal shares a flood makes the kernel spend its half on frames that find no room in the worker's ring (receive
/// livelock). A worker that goes first takes what is there, and the flood is dropped where it costs least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// As soon as there is work: `SCHED_FIFO`. For workers that sleep when there is none. A kernel without full
    /// preemption otherwise lets its receive thread go on until the next tick, milliseconds after the ring is full.
    AtOnce,
    /// The greatest share: nice -20. For workers that spin, which would leave the kernel nothing as `SCHED_FIFO`.
    Most,
}

/// Above every ordinary thread, below every kernel thread that has a real-time priority.
const REALTIME_PRIORITY: u8 = 1;

/// The lowest nice value.
const WORKER_NICE: i32 = -20;

/// Gives the calling worker's thread its precedence; `false` where the kernel refuses.
pub(crate) fn put_first(precedence: Precedence) -> bool {
    use thread_priority::{
        RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    match precedence {
        Precedence::AtOnce => ThreadPriorityValue::try_from(REALTIME_PRIORITY).is_ok_and(|priority| {
            let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
            set_thread_priority_and_policy(
                thread_native_id(),
                ThreadPriority::Crossplatform(priority),
                policy,
            )
            .is_ok()
        }),
        // `None` is the calling thread: setpriority(2), "C library/kernel differences".
        Precedence::Most => rustix::process::setpriority_process(None, WORKER_NICE).is_ok(),
    }
}

/// `0-3,6` for people.
pub(crate) fn list(cores: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            Some(_) | None => parts.push((core, core)),
        }
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_its_precedence_where_the_kernel_allows_it() {
        // In a thread of its own, which takes its priority along when it ends.
        for (precedence, policy, nice) in
            [(Precedence::AtOnce, "1", None), (Precedence::Most, "0", Some("-20"))]
        {
            let told = std::thread::spawn(move || {
                put_first(precedence).then(|| std::fs::read_to_string("/proc/thread-self/stat").unwrap())
            });
            let Some(stat) = told.join().unwrap() else {
                eprintln!("not root: {precedence:?} was refused, nothing to look at");
                continue;
            };
            // proc_pid_stat(5), counted from the state after the name: 19 is nice, 41 the policy (1: SCHED_FIFO).
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            assert_eq!(fields[38], policy, "{precedence:?}: {stat}");
            assert!(nice.is_none_or(|nice| fields[16] == nice), "{precedence:?}: {stat}");
        }
    }

    #[test]
    fn workers_take_the_highest_cores_and_control_the_rest() {
        let plan = plan(&[0, 1, 2, 3], 2, &[], &[]).unwrap();
        assert_eq!(plan, CorePlan { workers: vec![2, 3], control: vec![0, 1], shared: false });
    }

    #[test]
    fn named_cores_are_taken_as_named() {
        let plan = plan(&[0, 1, 2, 3], 2, &[3, 0], &[1]).unwrap();
        assert_eq!(plan, CorePlan { workers: vec![3, 0], control: vec![1], shared: false });
    }

    #[test]
    fn chosen_workers_avoid_named_control_cores() {
        assert_eq!(plan(&[0, 1, 2], 2, &[], &[2]).unwrap().workers, [0, 1]);
    }

    #[test]
    fn a_single_core_is_shared_and_says_so() {
        let plan = plan(&[5], 1, &[], &[]).unwrap();
        assert_eq!(plan, CorePlan { workers: vec![5], control: vec![5], shared: true });
    }

    #[test]
    fn unknown_cores_are_each_refused() {
        let wrong = plan(&[0, 1], 2, &[1, 9], &[8]).unwrap_err();
        assert_eq!(
            wrong,
            [
                "worker.cores names core 9; this process may use 0-1",
                "control.cores names core 8; this process may use 0-1"
            ]
        );
        assert_eq!(plan(&[0, 1], 3, &[], &[]).unwrap_err().len(), 1);
    }

    #[test]
    fn lists_are_written_as_the_kernel_does() {
        assert_eq!(list(&[0, 1, 2, 4, 6, 7]), "0-2,4,6-7");
        assert_eq!(list(&[]), "");
    }

    #[test]
    fn a_thread_inherits_its_makers_mask_and_a_pin_stays_in_its_thread() {
        let all = usable().unwrap();
        let first = all[0];
        std::thread::spawn(move || {
            keep_to(&[first]).unwrap();
            let inherited = std::thread::spawn(usable).join().unwrap().unwrap();
            assert_eq!(inherited, [first]);
        })
        .join()
        .unwrap();
        let last = *all.last().unwrap();
        assert!(std::thread::spawn(move || pin_worker(last)).join().unwrap());
        assert_eq!(usable().unwrap(), all);
    }
}
