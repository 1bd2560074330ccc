//! Do the threads stay where they belong when every core has a worker or one is left over?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Daemon, Lab};

/// Name and allowed cores of every thread.
fn threads(daemon: &Daemon) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap();
    tasks
        .map(|task| {
            let task = task.unwrap().path();
            let status = std::fs::read_to_string(task.join("status")).unwrap();
            let of = |key: &str| {
                let line = status.lines().find(|line| line.starts_with(key)).unwrap();
                line.split_whitespace().nth(1).unwrap().to_owned()
            };
            (of("Name:"), of("Cpus_allowed_list:"))
        })
        .collect()
}

#[test]
fn no_control_thread_has_a_workers_mask() {
    let Some(lab) = Lab::up(&[]) else { return };
    if std::thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("skipped: needs two cores");
        return;
    }
    lab.config("[worker]\ncores = [1]\n");
    let daemon = lab.start();
    // What comes to life with the first request is looked at too.
    lab.ctl(&["flows"]);
    lab.ctl(&["block", "list"]);
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let threads = threads(&daemon);
    let (workers, others): (Vec<_>, Vec<_>) =
        threads.iter().partition(|(name, _)| name.starts_with("jarvis-w"));
    assert_eq!(workers, [&("jarvis-w0".to_owned(), "1".to_owned())]);
    assert!(others.len() >= 4, "{threads:?}");
    for (name, cores) in others {
        let holds_core_1 = cores.split(',').any(|part| match part.split_once('-') {
            Some((first, last)) => (first.parse::<u32>().unwrap()..=last.parse().unwrap()).contains(&1),
            None => part == "1",
        });
        assert!(!holds_core_1, "{name} may run on the worker's core: {threads:?}");
    }
}

#[test]
fn two_workers_have_a_core_each() {
    let Some(lab) = Lab::up(&["--queues", "2"]) else { return };
    if std::thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("skipped: needs two cores");
        return;
    }
    lab.config("[worker]\ncount = 2\ncores = [1, 0]\nring_entries = 1024\n");
    let daemon = lab.start();
    let mut workers: Vec<(String, String)> =
        threads(&daemon).into_iter().filter(|(name, _)| name.starts_with("jarvis-w")).collect();
    workers.sort();
    let named = |name: &str, core: &str| (name.to_owned(), core.to_owned());
    assert_eq!(workers, [named("jarvis-w0", "1"), named("jarvis-w1", "0")]);
    assert_eq!(lab.pings(), 3, "{}", lab.log());
}
