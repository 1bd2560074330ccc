//! What did each policy do, and what would a proposal do: counts, a shadow beside the policies, and what-if of the past and of a capture?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Lab, eventually};
use serde_json::{Value, json};

const POLICIES: &str = r#"
{"policy_id": "p-web", "priority": 10, "conditions": {"protocol": "tcp", "dst_port": 8080}, "action": "allow"},
{"policy_id": "p-alt", "priority": 20, "conditions": {"protocol": "tcp", "dst_port": 8081}, "action": "reject"},
{"policy_id": "p-idle", "priority": 30, "conditions": {"protocol": "sctp"}, "action": "drop"}"#;

/// HTTP is refused by application, the other port is opened.
const PROPOSAL: &str = r#"{"default_action": "allow", "policies": [
{"policy_id": "q-http", "priority": 1, "conditions": {"application": "http", "dst_port": 8080}, "action": "reject"},
{"policy_id": "q-alt", "priority": 2, "conditions": {"protocol": "tcp", "dst_port": 8081}, "action": "allow"}]}"#;

const WEB: &str = "http://10.77.0.2:8080/word";
const ALT: &str = "http://10.77.0.2:8081/word";

/// Fetches `count` times; each must end with this exit code of curl.
fn fetch(lab: &Lab, url: &str, count: usize, code: i32) {
    for _ in 0..count {
        assert_eq!(lab.curl(url).0, Some(code), "{url}: {}", lab.log());
    }
}

/// The line of a policy in `ctl policy show`.
fn line(lab: &Lab, policy_id: &str) -> Value {
    let shown = lab.ctl(&["policy", "show"]);
    let policies = shown["policies"].as_array().unwrap();
    policies.iter().find(|policy| policy["policy_id"] == policy_id).cloned().unwrap()
}

#[test]
fn hits_packets_and_bytes_are_those_of_the_traffic_and_outlive_a_change_of_the_set() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", POLICIES);
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    fetch(&lab, WEB, 3, 0);
    fetch(&lab, ALT, 2, 7);
    eventually("what ended or lives is counted", || line(&lab, "p-web")["packets"].as_u64() > Some(15));
    let web = line(&lab, "p-web");
    assert_eq!((&web["hits"], &line(&lab, "p-alt")["hits"]), (&json!(3), &json!(2)), "{web}");
    assert!(web["bytes"].as_u64() > Some(1_000) && web["last_hit_s"].is_u64(), "{web}");
    let idle = lab.ctl(&["policy", "show", "unused=true"]);
    assert_eq!(idle["policies"].as_array().unwrap().len(), 1, "{idle}");
    assert_eq!(
        (&idle["policies"][0]["policy_id"], &idle["policies"][0]["last_hit_s"]),
        (&json!("p-idle"), &Value::Null)
    );
    let metrics = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "show"]);
    assert!(lab::said(&metrics).contains("LAST HIT"), "{}", lab::said(&metrics));

    // Another set: what was counted stays with the policies that stay.
    lab.ctl(&["policy", "disable", "p-web"]);
    lab.ctl(&["policy", "enable", "p-web"]);
    lab.ctl(&["policy", "change", "p-web", r#"{"priority": 99}"#]);
    fetch(&lab, WEB, 1, 0);
    eventually("the fourth is counted, down to its bytes", || {
        let now = line(&lab, "p-web");
        now["hits"] == 4 && now["bytes"].as_u64() > web["bytes"].as_u64()
    });
    daemon.stop();
}

#[test]
fn a_shadow_tells_what_it_would_do_and_nobody_notices() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", POLICIES);
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    lab.write("proposal.json", PROPOSAL);
    lab.ctl(&["identity", "assert", "ann", "10.77.0.1"]);
    let wrong = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "shadow", "stop"]);
    assert!(lab::said(&wrong).contains("No proposal runs"), "{}", lab::said(&wrong));
    lab.ctl(&["policy", "shadow", "start", "proposal.json", "--reason", "CHG-9"]);
    fetch(&lab, WEB, 3, 0);
    fetch(&lab, ALT, 2, 7);

    let shown = || lab.ctl(&["policy", "shadow", "show"])["shadow"].clone();
    let shadow = shown();
    assert_eq!(shadow["allowed_to_refused"]["flows"], 3, "HTTP passes, and would be refused: {shadow}");
    assert_eq!(shadow["refused_to_allowed"]["flows"], 2, "{shadow}");
    assert_eq!(line(&lab, "p-web")["hits"], 3, "the live set goes on as it did");
    let by: Vec<_> =
        shadow["by_policy"].as_array().unwrap().iter().map(|one| one["policy_id"].clone()).collect();
    assert_eq!(by, ["q-http", "q-alt"]);

    // Flows that have ended name users, applications and both policies.
    let ended = |shadow: &Value| shadow["ended"]["examples"].as_array().map_or(0, Vec::len);
    eventually("the flows have ended", || {
        let flows = lab.ctl(&["flows"]);
        for flow in flows["flows"].as_array().unwrap() {
            lab.ctl(&["end-flow", &flow["flow_id"].to_string()]);
        }
        ended(&shown()) == 5
    });
    let shadow = shown();
    let examples = shadow["ended"]["examples"].as_array().unwrap();
    let http = examples.iter().find(|one| one["change"] == "allowed_to_refused").unwrap();
    assert_eq!(
        (&http["live"], &http["proposed"]),
        (
            &json!({"policy_id": "p-web", "action": "allow"}),
            &json!({"policy_id": "q-http", "action": "reject"})
        ),
        "{http}"
    );
    assert_eq!((&http["user_id"], &http["application"]), (&json!("ann"), &json!("http")), "{http}");
    let ann = &shadow["ended"]["by_user"][0];
    assert_eq!((&ann["name"], &ann["flows"]), (&json!("ann"), &json!(3)), "{shadow}");
    let table = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "shadow", "show"]);
    assert!(lab::said(&table).contains("q-http"), "{}", lab::said(&table));

    let told = lab.ctl(&["policy", "shadow", "stop"]);
    assert_eq!(told["shadow"]["allowed_to_refused"]["flows"], 3, "{told}");
    assert_eq!(shown(), Value::Null);
    fetch(&lab, WEB, 1, 0);
    let audit = lab.ctl(&["audit", "action=policy.shadow"]);
    assert_eq!(audit["entries"][0]["after"]["reason"], "CHG-9", "{audit}");
    daemon.stop();
    let differs: Vec<Value> =
        lab.events().into_iter().filter(|event| event["jarvis"]["shadow"]["change"].is_string()).collect();
    assert_eq!(differs.len(), 5, "{differs:?}");
}
