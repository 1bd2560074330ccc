//! What is kept on the disk: pages of the past, and listeners who come back after longer than memory has.

use std::time::{Duration, Instant};

use crate::live::{Ws, drop_of};
use crate::rig::{Daemon, Options};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

fn recording() -> Daemon {
    Daemon::start(Options { records: true, ..Options::default() })
}

/// The page, when it has `count` events.
fn page_of(daemon: &Daemon, query: &str, count: usize) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = daemon.over_tcp("GET", &format!("/events/history?{query}"), "").json();
        if page["events"].as_array().unwrap().len() == count {
            return page;
        }
        assert!(Instant::now() < deadline, "{page}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_was_told_is_found_by_address_flow_and_type() {
    let daemon = recording();
    for last in 1..=20 {
        daemon.happens(drop_of(last, 53));
    }
    page_of(&daemon, "limit=1000", 20);
    for (query, count) in [
        ("ip=10.0.0.7", 1),
        ("ip=192.0.2.7", 20),
        ("ip=10.0.0.0/29", 7),
        ("flow_id=3", 1),
        ("event_type=drop", 20),
        ("event_type=http", 0),
        ("user=ada", 0),
        ("port=53&proto=udp&ip=10.0.0.2", 1),
        ("from=4000000000", 0),
        ("to=1", 0),
        ("kind=flows", 0),
    ] {
        let page = page_of(&daemon, query, count);
        assert_eq!(page["damaged"], 0, "{query}");
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let query = format!("/events/history?limit=7{cursor}");
        let page = daemon.over_tcp("GET", &query, "").json();
        seen.extend(page["events"].as_array().unwrap().iter().map(|one| one["event"]["src_ip"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, (1..=20).map(|last| json!(format!("10.0.0.{last}"))).collect::<Vec<_>>());
    let problem =
        daemon.over_tcp("GET", "/events/history?kind=x&limit=0", "").problem(400, "invalid_parameter");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    let totals = daemon.over_tcp("GET", "/telemetry", "").json()["recorded"].clone();
    assert_eq!(totals, json!({"stored": 20, "lost": 0, "failing": false}));
}

#[test]
fn who_comes_back_after_a_restart_is_told_what_it_missed() {
    let daemon = recording();
    for last in 1..=5 {
        daemon.happens(drop_of(last, 53));
    }
    let page = page_of(&daemon, "limit=10", 5);
    let second = page["events"][1]["id"].as_u64().unwrap();
    // A hub of a daemon that was started anew has nothing in memory.
    let hub = controlplane::services::live::Hub::new(|| crate::rig::clock().wall.0, Default::default());
    assert!(hub.last_id() > page["events"][4]["id"].as_u64().unwrap(), "ids grow over a restart");
    let daemon = daemon.restarted();
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    ws.subscribe(json!({"topics": ["alerts"], "resume_from": second, "filter": {"port": 53}}));
    for last in 3..=5 {
        let told = ws.next();
        assert_eq!(told["event"]["src_ip"], format!("10.0.0.{last}"), "{told}");
    }
    daemon.happens(drop_of(6, 53));
    assert_eq!(ws.next()["event"]["src_ip"], "10.0.0.6", "no gap, nothing twice");
}

#[test]
fn a_box_that_keeps_nothing_says_so() {
    let daemon = Daemon::start(Options::default());
    daemon.over_tcp("GET", "/events/history", "").problem(409, "unavailable_here");
}
