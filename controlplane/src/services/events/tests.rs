//! Events through real rings into a real file.

use super::*;
use dataplane::control::{EventSender, Settings, Snapshot, StateChange, WorkerDoor, door};
use dataplane::policy::{DefaultAction, PolicySet};

fn clock() -> Now {
    Now::default()
}

fn rig(workers: usize) -> (Door, Vec<WorkerDoor>, Vec<EventReceiver>) {
    let policy = Arc::new(PolicySet::of_default(DefaultAction::Allow));
    door(
        Snapshot {
            version: 1,
            policy,
            settings: Settings::default(),
            apps: None,
            rules: None,
            shadow: None,
            geography: None,
        },
        workers,
        None,
    )
}

fn link(port: u8) -> Event {
    Event::State(StateChange::Link { port, up: true })
}

fn send(events: &mut EventSender, count: usize) {
    for _ in 0..count {
        assert!(events.send(link(0)));
    }
}

#[test]
fn what_was_sent_is_stored_skipped_or_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.json");
    let (_door, mut workers, receivers) = rig(2);
    send(&mut workers[0].events, 5);
    send(&mut workers[1].events, 7);
    let counts = Arc::new(EventCounts::default());
    let file = EveFile::open(&path, None).unwrap();
    let names = Arc::new(Names::new(vec!["e0".into()]));
    let mut pump = EventPump::new(receivers, names, Some(file), EveTypes::default(), Arc::clone(&counts));
    pump.finish(Wall(0));
    let totals = counts.totals();
    assert_eq!((totals.received, totals.stored, totals.skipped, totals.lost), (12, 12, 0, 0));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 12);
    assert!(text.lines().all(|line| line.contains("\"event_type\":\"engine\"")));
}

#[test]
fn unwanted_types_and_a_missing_file_are_counted_as_skipped() {
    let (_door, mut workers, receivers) = rig(1);
    send(&mut workers[0].events, 3);
    let counts = Arc::new(EventCounts::default());
    let mut pump = EventPump::new(
        receivers,
        Arc::new(Names::new(vec![])),
        None,
        EveTypes::default(),
        Arc::clone(&counts),
    );
    pump.finish(Wall(0));
    assert_eq!((counts.totals().received, counts.totals().skipped), (3, 3));
}

#[test]
fn a_full_disk_loses_lines_and_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.json");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let (_door, mut workers, receivers) = rig(1);
    let counts = Arc::new(EventCounts::default());
    let file = EveFile::open(&path, None).unwrap();
    let names = Arc::new(Names::new(vec![]));
    let mut pump = EventPump::new(receivers, names, Some(file), EveTypes::default(), Arc::clone(&counts));
    for _ in 0..10 {
        send(&mut workers[0].events, 1_000);
        pump.turn(Wall(0));
    }
    pump.finish(Wall(0));
    let totals = counts.totals();
    assert_eq!((totals.received, totals.stored, totals.lost), (10_000, 0, 10_000));
    assert!(totals.failing);
}

#[test]
fn the_thread_writes_stats_and_drains_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.json");
    let (door, mut workers, receivers) = rig(1);
    let counts = Arc::new(EventCounts::default());
    let file = EveFile::open(&path, None).unwrap();
    let names = Arc::new(Names::new(vec![]));
    let pump = EventPump::new(receivers, names, Some(file), EveTypes::default(), Arc::clone(&counts));
    let handle = pump.start(Arc::new(door), clock).unwrap();
    assert!(handle.is_alive());
    send(&mut workers[0].events, 4_000);
    handle.stop();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"engine\"")).count(), 4_000);
    let stats: serde_json::Value =
        serde_json::from_str(text.lines().find(|line| line.contains("\"stats\"")).unwrap()).unwrap();
    for key in ["uptime", "capture", "decoder", "flow", "ips"] {
        assert!(!stats["stats"][key].is_null(), "{key}");
    }
}

#[test]
fn what_the_daemon_tells_is_written_beside_what_the_workers_tell() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.json");
    let (door, _workers, receivers) = rig(1);
    let door = Arc::new(door);
    let counts = Arc::new(EventCounts::default());
    let file = EveFile::open(&path, None).unwrap();
    let names = Arc::new(Names::new(vec!["e0".into(), "e1".into()]));
    let types = EveTypes { stats_every: None, ..EveTypes::default() };
    let pump = EventPump::new(receivers, names, Some(file), types, Arc::clone(&counts));
    let handle = pump.start(Arc::clone(&door), clock).unwrap();
    door.tell(StateChange::Link { port: 1, up: false });
    door.tell(StateChange::ControlRestarted);
    handle.stop();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!((&lines[0]["in_iface"], &lines[0]["jarvis"]["up"]), (&"e1".into(), &false.into()));
    assert_eq!(lines[1]["jarvis"]["change"], "control_restarted");
    assert_eq!((counts.totals().received, counts.totals().stored), (2, 2));
}

#[test]
fn changes_that_nobody_takes_are_bounded_and_the_newest_stay() {
    let (door, _workers, _receivers) = rig(1);
    for n in 0..5_000_u32 {
        door.tell(StateChange::Hang { silent_ms: u64::from(n), stale_frames: n });
    }
    let taken: Vec<StateChange> = std::iter::from_fn(|| door.told()).collect();
    assert_eq!(taken.len(), 1_024);
    assert_eq!(taken.last(), Some(&StateChange::Hang { silent_ms: 4_999, stale_frames: 4_999 }));
}

#[test]
fn the_same_events_give_the_same_bytes() {
    let run = || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        let (_door, mut workers, receivers) = rig(1);
        for port in 0..200 {
            workers[0].events.send(link(port));
        }
        let file = EveFile::open(&path, None).unwrap();
        let names = Arc::new(Names::new(vec!["e0".into()]));
        EventPump::new(receivers, names, Some(file), EveTypes::default(), Arc::default()).finish(Wall(7));
        std::fs::read(&path).unwrap()
    };
    assert_eq!(run(), run());
}
