//! What does telling events cost, and how many a second go to the disk through all of the path?
//!
//! `cargo run --release -p controlplane --example live_rate -- [DIRECTORY] [EVENTS]`: what publishing an event costs with 0, 1
//! and 100 listeners that take it on another thread; then EVENTS (1,000,000) drop records through a worker's ring, the pump,
//! the formatter and the tape into segments in a directory of its own below DIRECTORY (the current one).
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for the terminal")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use controlplane::services::auth::Identity;
use controlplane::services::live::{Bounds, Draft, Facts, Hub, LogKeeping, Recorder, Topic, Topics};
use controlplane::services::{EveTypes, EventCounts, EventPump, Names};
use controlplane::store::segments::Segments;
use dataplane::control::{DropRecord, Event, Origin, Settings, Snapshot, TransportFields, door};
use dataplane::flow::Decision;
use dataplane::parse::{Addr, Mac};
use dataplane::policy::{DefaultAction, PolicySet};
use dataplane::time::Wall;
use dataplane::verdict::Reason;

fn now_ns() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let below = arguments.next().unwrap_or_else(|| ".".to_owned());
    let events = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    for listeners in [0, 1, 100] {
        publish(listeners);
    }
    let directory = std::path::Path::new(&below).join(format!("live-rate-{}", std::process::id()));
    to_disk(&directory, events);
    let _ = std::fs::remove_dir_all(&directory);
}

/// Batches of 256 as the pump publishes them, at the rate that the publisher can.
fn publish(listeners: usize) {
    const ROUNDS: u32 = 2_000;
    let hub = Hub::new(now_ns, Bounds::default());
    let line = format!("{{\"event_type\":\"drop\",\"padding\":\"{}\"}}", "x".repeat(450));
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut all: Vec<_> = (0..listeners).filter_map(|_| hub.listen(Identity::local()).ok()).collect();
    all.iter_mut().for_each(|one| {
        one.add(Topics::of(Topic::Alerts), &Default::default(), None);
    });
    let (stopping, counting) = (Arc::clone(&stop), Arc::clone(&taken));
    let reader = std::thread::spawn(move || {
        while !stopping.load(Ordering::Relaxed) {
            for one in &mut all {
                counting.fetch_add(one.take().told.len() as u64, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        // The pump asks first.
        if hub.wants(Topic::Alerts) {
            let draft = || Draft {
                topic: Topic::Alerts,
                is_private: false,
                facts: Facts { event_type: "drop".into(), ..Facts::default() },
                event: line.as_bytes(),
            };
            hub.publish((0..256).map(|_| draft()), None);
        }
    }
    let each_ns = begun.elapsed().as_nanos() as f64 / f64::from(ROUNDS * 256);
    stop.store(true, Ordering::Relaxed);
    let _ = reader.join();
    let taken = taken.load(Ordering::Relaxed);
    println!("{listeners} listeners: {each_ns:.1} ns to publish an event, {taken} taken");
}

fn to_disk(directory: &std::path::Path, events: u32) {
    let policy = Arc::new(PolicySet::of_default(DefaultAction::Allow));
    let first = Snapshot {
        version: 1,
        policy,
        settings: Settings::default(),
        apps: None,
        rules: None,
        shadow: None,
        geography: None,
    };
    let (_door, mut workers, receivers) = door(first, 1, None);
    let segments = Segments::open(directory).expect("the directory can be made");
    let keeping = Some(LogKeeping { age_s_max: 3_600, bytes_max: 4 << 30 });
    let (recorder, _) = Recorder::open(&segments, [keeping; 2], now_ns).expect("the logs can be opened");
    let hub = Hub::new(now_ns, Bounds::default());
    let (tape, handle) = recorder.start(&hub).expect("there is a thread");
    let names = Arc::new(Names::new(vec!["in0".into()]));
    let counts = Arc::new(EventCounts::default());
    let mut pump = EventPump::new(receivers, names, None, EveTypes::default(), counts)
        .with_live(Arc::clone(&hub), Some(tape));
    let begun = Instant::now();
    let (mut sent, mut busy) = (0, Duration::ZERO);
    while sent < events {
        for _ in 0..2_048.min(events - sent) {
            assert!(workers[0].events.send(drop_of(sent)), "the ring has room");
            sent += 1;
        }
        let turning = Instant::now();
        pump.turn(Wall(now_ns()));
        busy += turning.elapsed();
    }
    pump.finish(Wall(now_ns()));
    drop(pump);
    handle.stop();
    let all_s = begun.elapsed().as_secs_f64();
    let totals = hub.record_counts().totals();
    println!(
        "{events} events: {:.0}/s to the disk ({} stored, {} lost), pump {:.2} us an event",
        f64::from(events) / all_s,
        totals.stored,
        totals.lost,
        busy.as_secs_f64() * 1e6 / f64::from(events)
    );
}

fn drop_of(number: u32) -> Event {
    let [_, b, c, d] = number.to_be_bytes();
    Event::Drop(DropRecord {
        time: Wall(now_ns()),
        origin: Origin::default(),
        reason: Reason::PolicyDrop,
        rejected: false,
        count: 1,
        in_port: 0,
        len_bytes: 60,
        macs: (Mac([2; 6]), Mac([3; 6])),
        vlans: (0, 0),
        src: Some((Addr::v4([10, b & 3, c, d]), 40_000)),
        dst: Some((Addr::v4([198, 51, 100, d]), 53)),
        protocol: 17,
        ip: None,
        transport: TransportFields::Udp { len_bytes: 32 },
        flow_id: u64::from(number / 7 + 1),
        decision: Decision {
            policy_version: 1,
            policy_index: u32::MAX,
            user: None,
            reason: Some(Reason::PolicyDrop),
        },
    })
}
