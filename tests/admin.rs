//! What can be done to a daemon that runs: drained and put back, told to say more, killed with its past kept.
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Lab, eventually};
use serde_json::json;

#[test]
fn a_drained_box_leaves_the_wire_to_its_fail_mode_and_comes_back() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("[wire]\nfail_mode = \"closed\"\nwatchdog_ms = 50\n");
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    assert_eq!(lab.ctl(&["admin", "drain", "on"]), json!({"on": true}));
    assert_eq!(lab.pings(), 0, "closed");
    assert!(lab.outcome("dropped_fail_closed") > 0);
    assert_eq!(lab.ctl(&["status"])["degraded"], json!([{"what": "drained"}]));
    assert_eq!(lab.ctl(&["admin", "drain", "off"]), json!({"on": false}));
    assert_eq!(lab.pings(), 3, "it judges again: {}", lab.log());
    assert_eq!(lab.ctl(&["status"])["degraded"], json!([]));
    // Drained or not, it stops in order.
    lab.ctl(&["admin", "drain", "on"]);
    daemon.stop();
    let _daemon = lab.start();
    assert_eq!(lab.pings(), 3, "a restart puts it back: {}", lab.log());
}

#[test]
fn the_log_the_files_and_the_configuration_are_within_reach() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", "");
    let _daemon = lab.start();
    let told = lab.ctl(&["admin", "config"]);
    assert_eq!(
        (&told["config"]["mode"], &told["config"]["log"]["level"]),
        (&json!("inline"), &json!("info")),
        "{told}"
    );
    assert_eq!(told["config"]["auth"]["algorithm"], "SLH-DSA-SHA2-128s", "{told}");
    assert!(told["file"].is_string(), "{told}");
    assert_eq!(lab.ctl(&["admin", "log-level", "debug", "--for-s", "1"])["level"], "debug");
    lab.ctl(&["status"]);
    assert!(lab.log().contains("/telemetry"), "calls that read are told at debug: {}", lab.log());
    eventually("it returns by itself", || lab.ctl(&["admin", "log-level"])["level"] == "info");
    let told = lab.ctl(&["admin", "reload"]);
    assert_eq!(told["ok"], true, "{told}");
    assert_eq!(told["parts"][1], json!({"part": "certificates", "outcome": "absent", "notes": []}));
    assert_eq!(told["parts"][2]["outcome"], "unchanged", "{told}");
    lab.write_policy("not JSON");
    let told = lab.ctl(&["admin", "reload"]);
    assert_eq!((&told["ok"], &told["parts"][2]["outcome"]), (&json!(false), &json!("failed")), "{told}");
}

#[test]
fn the_past_has_the_traffic_and_outlives_an_orderly_stop() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let frames = |step: &str| -> u64 {
        let told = lab.ctl(&[
            "telemetry",
            "history",
            &format!("step={step}"),
            "series=frames_received,batch_p99_ns",
        ]);
        told["series"]["frames_received"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(serde_json::Value::as_u64)
            .sum()
    };
    eventually("six frames of three pings", || frames("1s") >= 6);
    let told = lab.ctl(&["telemetry", "talkers", "live=true"]);
    assert!(told["talkers"][0]["bytes"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(lab.ctl(&["telemetry", "users"])["identity"], false);
    daemon.stop();
    let _daemon = lab.start();
    assert!(
        frames("1s") >= 6 && frames("1m") >= 6 && frames("1h") >= 6,
        "{}",
        lab.ctl(&["telemetry", "history"])
    );
}
