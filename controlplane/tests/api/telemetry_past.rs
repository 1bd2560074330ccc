//! What the box did before, and who moved the most bytes.

use std::time::{Duration, Instant};

use crate::rig::{Daemon, Options};
use controlplane::services::flows::{FlowCursor, FlowQuestion};
use dataplane::control::{Event, FlowEnd};
use dataplane::flow::FlowFilter;
use serde_json::{Value, json};

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn seconds(daemon: &Daemon) -> Value {
    daemon
        .over_tcp("GET", "/telemetry/history?step=1s&series=api_requests,flows_active,bytes_received", "")
        .json()
}

fn sum(view: &Value, series: &str) -> u64 {
    view["series"][series].as_array().unwrap().iter().filter_map(Value::as_u64).sum()
}

#[test]
fn seconds_are_remembered_over_a_restart() {
    let daemon = Daemon::start(Options::default());
    let asked = 7;
    for _ in 0..asked {
        daemon.as_anyone("GET", "/health", "");
    }
    eventually("the requests are in a row", || sum(&seconds(&daemon), "api_requests") >= asked);
    let before = seconds(&daemon);
    let rows = before["timestamps"].as_array().unwrap().len();
    assert_eq!(before["series"]["flows_active"].as_array().unwrap().last(), Some(&json!(20)), "{before}");
    assert_eq!(before["series"].as_object().unwrap().len(), 3);
    let daemon = daemon.restarted();
    let after = seconds(&daemon);
    assert_eq!(after["timestamps"].as_array().unwrap()[..rows], before["timestamps"].as_array().unwrap()[..]);
    assert!(sum(&after, "api_requests") >= asked);
    let hour = daemon.over_tcp("GET", "/telemetry/history?step=1h", "").json();
    assert_eq!((&hour["step"], &hour["step_s"]), (&json!("1h"), &json!(3_600)));
    assert!(sum(&hour, "api_requests") >= asked, "{hour}");
    let minute = daemon.over_tcp("GET", "/telemetry/history?from=1&to=2", "").json();
    assert_eq!((&minute["step"], &minute["timestamps"]), (&json!("1m"), &json!([])));
}

#[test]
fn questions_about_the_past_have_all_their_faults_told() {
    let daemon = Daemon::start(Options::default());
    let path = "/telemetry/history?step=2s&from=x&series=bytes_received,nothing&limit=3601&colour=red";
    let problem = daemon.over_tcp("GET", path, "").problem(400, "invalid_parameter");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 5, "{problem}");
    assert!(problem.to_string().contains("frames_received, bytes_received"), "{problem}");
    let path = "/telemetry/talkers?live=true&window=1h";
    let problem = daemon.over_tcp("GET", path, "").problem(400, "invalid_parameter");
    assert_eq!(problem["errors"][0]["parameter"], "live");
    daemon.over_tcp("GET", "/telemetry/users?limit=0", "").problem(400, "invalid_parameter");
}

#[test]
fn talkers_are_those_of_ended_flows_and_of_live_ones_where_asked_for() {
    let daemon = Daemon::start(Options { flows_per_worker: 3, ..Options::default() });
    let none = daemon.over_tcp("GET", "/telemetry/talkers", "").json();
    assert_eq!((&none["talkers"], &none["live_flows"]), (&json!([]), &Value::Null));
    // Both workers: three flows of 42 bytes each, 10.W.0.1 -> 192.0.2.7.
    let told = daemon.over_tcp("GET", "/telemetry/talkers?live=true", "").json();
    assert_eq!(
        (&told["live_flows"], &told["live_cut"], &told["error_bytes_max"]),
        (&json!(6), &json!(false), &json!(0))
    );
    let talkers = told["talkers"].as_array().unwrap();
    let first = json!({"address": "192.0.2.7", "bytes": 252, "bytes_max": 252, "flows": 6, "sent_bytes": 0, "received_bytes": 252, "initiated_bytes": 0});
    assert_eq!((talkers.len(), &talkers[0]), (3, &first));
    let sources = daemon.over_tcp("GET", "/telemetry/talkers?live=true&by=src&limit=1", "").json();
    assert_eq!(sources["talkers"].as_array().unwrap().len(), 1);
    assert_eq!((&sources["talkers"][0]["address"], &sources["counted"]), (&json!("10.0.0.1"), &json!(3)));
}

#[test]
fn flows_that_end_count_by_address_and_user() {
    let daemon = Daemon::start(Options::default());
    let question = FlowQuestion { filter: FlowFilter::default(), limit: 3, cursor: FlowCursor::default() };
    for (_worker, record, summary) in daemon.services.flows(&question).unwrap().flows {
        daemon.happens(Event::Flow(FlowEnd { record, summary, host: None, clues_len: 0, responder: None }));
    }
    let told = || daemon.over_tcp("GET", "/telemetry/users", "").json();
    eventually("three flows are counted", || told()["users"][0]["flows"] == 3);
    assert_eq!((&told()["users"][0]["user"], &told()["identity"]), (&json!("unknown"), &json!(false)));
    for window in ["1m", "1h", "start"] {
        let view = daemon.over_tcp("GET", &format!("/telemetry/talkers?window={window}"), "").json();
        let flows: u64 =
            view["talkers"].as_array().unwrap().iter().map(|one| one["flows"].as_u64().unwrap()).sum();
        assert_eq!(flows, 6, "each at both ends: {view}");
    }
}
