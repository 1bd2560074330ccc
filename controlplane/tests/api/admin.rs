//! The process itself: what is told of it, what is done to it, who may, and what the audit has of that.

use crate::rig::{Daemon, Options};
use serde_json::json;

#[test]
fn the_configuration_is_told_without_secrets() {
    let daemon = Daemon::start(Options::default());
    let told = daemon.over_tcp("GET", "/admin/config", "").json();
    assert_eq!(told["environment"], json!(["LOG_LEVEL"]));
    assert_eq!(told["config"]["auth"]["secrets"]["hmac"], "(set)");
    daemon.as_anyone("GET", "/admin/config", "").problem(401, "unauthenticated");
}

#[test]
fn the_log_says_more_for_a_while_and_the_audit_tells() {
    let daemon = Daemon::start(Options::default());
    let set = daemon.over_tcp("PUT", "/admin/log-level", r#"{"level": "debug", "for_s": 600}"#);
    assert_eq!(set.json(), json!({"level": "debug", "configured": "info", "remaining_s": 600}));
    assert_eq!(daemon.over_tcp("GET", "/admin/log-level", "").json()["level"], "debug");
    for body in [
        r#"{"level": "loud"}"#,
        r#"{"level": "debug", "for_s": 0}"#,
        r#"{"level": "debug", "for_s": 86401}"#,
        r#"{"level": "debug", "target": "x"}"#,
        r#"{"for_s": 5}"#,
    ] {
        daemon.over_tcp("PUT", "/admin/log-level", body).problem(400, "invalid_body");
    }
    let entries = daemon.over_tcp("GET", "/audit?action=log.level", "").json();
    let made = entries["entries"].as_array().unwrap().iter().find(|entry| entry["outcome"] == "done");
    let made = made.unwrap_or_else(|| panic!("{entries}"));
    assert_eq!((&made["before"]["level"], &made["after"]["level"]), (&json!("info"), &json!("debug")));
}

#[test]
fn a_reload_tells_what_became_of_each_part() {
    let daemon = Daemon::start(Options::default());
    let told = daemon.over_tcp("POST", "/admin/reload", "").json();
    assert_eq!(told["ok"], false);
    assert_eq!(told["parts"][1]["outcome"], "failed");
    assert_eq!(told["parts"][1]["notes"][0], "policy.json:1: no");
    let entries = daemon.over_tcp("GET", "/audit?action=box.reload", "").json();
    assert_eq!(entries["entries"][0]["after"][0]["part"], "event_file", "{entries}");
}

#[test]
fn a_drained_box_is_degraded_and_not_ready_until_it_is_put_back() {
    let daemon = Daemon::start(Options::default());
    assert_eq!(daemon.over_tcp("POST", "/admin/drain", r#"{"on": true}"#).json(), json!({"on": true}));
    assert_eq!(daemon.as_anyone("GET", "/health", "").text(), r#"{"status":"degraded"}"#);
    assert_eq!(daemon.as_anyone("GET", "/health/ready", "").status, 503);
    assert_eq!(daemon.over_tcp("GET", "/telemetry", "").json()["degraded"], json!([{"what": "drained"}]));
    daemon.over_tcp("POST", "/admin/drain", r#"{"on": false}"#);
    assert_eq!(daemon.as_anyone("GET", "/health/ready", "").status, 200);
    let entries = daemon.over_tcp("GET", "/audit?action=box.drain", "").json();
    assert_eq!(entries["entries"][1]["before"], json!({"on": true}), "{entries}");
}
