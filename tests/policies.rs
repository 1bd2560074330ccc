//! What did each policy do, and what would a proposal do: counts, a shadow beside the policies, and what-if of the past and of a capture?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, eventually};
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

/// Guests may not fetch, and nobody may ask for names.
const OF_USERS: &str = r#"{"default_action": "allow", "policies": [
{"policy_id": "q-guests", "priority": 1, "conditions": {"user_id": "guest-*", "dst_port": 8080}, "action": "drop"},
{"policy_id": "q-names", "priority": 2, "conditions": {"protocol": "udp", "dst_port": 5300}, "action": "drop"}]}"#;

#[test]
fn a_shadow_meets_flows_that_stand_and_users_whose_names_are_new() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", POLICIES);
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    let asked = lab.client(&["bash", "-c", "for n in 1 2 3; do echo q > /dev/udp/10.77.0.2/5300; done"]);
    assert!(asked.status.success(), "{asked:?}");
    eventually("three flows stand", || {
        let flows = lab.ctl(&["flows"]);
        flows["flows"].as_array().unwrap().iter().filter(|flow| flow["dest_port"] == 5_300).count() == 3
    });
    lab.write("users.json", OF_USERS);
    lab.ctl(&["policy", "shadow", "start", "users.json"]);
    let refused = |policy_id: &str| {
        let shadow = lab.ctl(&["policy", "shadow", "show"])["shadow"].clone();
        let by = shadow["by_policy"].as_array().unwrap();
        let of = by.iter().find(|one| one["policy_id"] == policy_id);
        of.and_then(|one| one["allowed_to_refused"]["flows"].as_u64()).unwrap_or_default()
    };
    eventually("they are compared without a packet", || refused("q-names") == 3);

    fetch(&lab, WEB, 1, 0);
    assert_eq!(refused("q-guests"), 0, "nobody is known there");
    let version = || lab.ctl(&["policy", "show"])["version"].clone();
    let before = version();
    lab.ctl(&["identity", "assert", "guest-7", "10.77.0.1"]);
    fetch(&lab, WEB, 2, 0);
    eventually("the wildcard means who came later", || refused("q-guests") >= 2);
    lab.ctl(&["identity", "assert", "ann", "10.77.0.1"]);
    let guests = refused("q-guests");
    fetch(&lab, WEB, 1, 0);
    assert!(refused("q-guests") <= guests, "and nobody else");
    assert_eq!(version(), before, "the set in force means none of them, and is not compiled again");
    assert_eq!(refused("q-names"), 3);
    daemon.stop();
}

/// What a proposal makes of a source, as JSON.
fn what_if(lab: &Lab, words: &[&str]) -> Value {
    lab.ctl(&[&["policy", "what-if"], words].concat())
}

/// HTTP is not for staff, nor from the servers of administrators: of each flow it counts what was known of its users.
const BY_GROUP: &str = r#"{"default_action": "allow", "policies": [
{"policy_id": "g-web", "conditions": {"dst_port": 8080, "groups": "staff", "attributes": {"site": "b*"}}, "action": "reject"},
{"policy_id": "g-alt", "conditions": {"dst_port": 8081, "dst_user_role": "admin"}, "action": "drop"}]}"#;

#[test]
fn what_if_tells_the_difference_of_the_past_and_of_a_capture_before_anything_changes() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", POLICIES);
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    lab.write("proposal.json", PROPOSAL);
    lab.write("by-group.json", BY_GROUP);
    let ann = ["identity", "assert", "ann", "10.77.0.1", "--group", "staff", "--attribute", "site=berlin"];
    let ann = lab.ctl(&ann)["identity_id"].to_string();
    lab.ctl(&["identity", "assert", "root", "10.77.0.2", "--role", "admin"]);
    let capture = lab.path("seen.pcap");
    let words = ["--immediate-mode", "-U", "-w", capture.to_str().unwrap(), "tcp"];
    let tcpdump = lab.tcpdump(Host::Client, &words);
    fetch(&lab, WEB, 3, 0);
    fetch(&lab, ALT, 2, 7);
    tcpdump.interrupt();
    eventually("the flows are recorded", || {
        let flows = lab.ctl(&["flows"]);
        for flow in flows["flows"].as_array().unwrap() {
            lab.ctl(&["end-flow", &flow["flow_id"].to_string()]);
        }
        what_if(&lab, &["proposal.json", "--minutes", "5"])["allowed_to_refused"]["flows"] == 3
    });

    let told = what_if(&lab, &["proposal.json", "--minutes", "5"]);
    assert_eq!(
        (&told["refused_to_allowed"]["flows"], &told["unknown"]["flows"]),
        (&json!(2), &json!(0)),
        "{told}"
    );
    let pair = &told["by_policy"][0];
    assert_eq!(
        (&pair["live"], &pair["proposed"], &pair["flows"]),
        (
            &json!({"policy_id": "p-web", "action": "allow"}),
            &json!({"policy_id": "q-http", "action": "reject"}),
            &json!(3)
        ),
        "{told}"
    );
    assert_eq!(
        (&told["by_user"][0]["name"], &told["by_application"][0]["name"]),
        (&json!("ann"), &json!("http"))
    );
    assert_eq!(told["examples"].as_array().unwrap().len(), 5, "{told}");

    // Who is gone, and who was there, is known of the flows that were theirs.
    lab.ctl(&["identity", "end", &ann]);
    let told = what_if(&lab, &["by-group.json"]);
    assert_eq!(told["unknown"]["flows"], 0, "{told}");
    assert_eq!(
        (&told["allowed_to_refused"]["flows"], &told["other"]["flows"]),
        (&json!(3), &json!(2)),
        "{told}"
    );

    let told = what_if(&lab, &["proposal.json", "--capture", "seen.pcap"]);
    assert_eq!(
        (&told["source"], &told["allowed_to_refused"]["flows"], &told["refused_to_allowed"]["flows"]),
        (&json!("capture"), &json!(3), &json!(2)),
        "{told}"
    );
    assert!(told["incomplete"].is_null(), "{told}");

    lab.write(
        "wrong.json",
        r#"{"default_action": "allow", "policies": [{"policy_id": "x", "action": "fly"}]}"#,
    );
    let wrong = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "what-if", "wrong.json"]);
    assert!(wrong.status.code() == Some(1) && lab::said(&wrong).contains("fly"), "{}", lab::said(&wrong));
    let table = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "what-if", "proposal.json"]);
    assert!(lab::said(&table).contains("q-alt"), "{}", lab::said(&table));
    assert_eq!(lab.ctl(&["policy", "show"])["version"], 1, "nothing has changed");
    fetch(&lab, WEB, 1, 0);

    // Groups and attributes are kept while the daemon runs.
    daemon.stop();
    let daemon = lab.start();
    let told = what_if(&lab, &["by-group.json"]);
    assert_eq!(told["missing"]["user"], 3, "{told}");
    daemon.stop();
}

#[test]
fn a_flow_that_has_ended_is_explained_by_the_groups_of_its_user_and_by_the_responders() {
    const PEOPLE: &str = r#"
{"policy_id": "p-staff", "priority": 1, "conditions": {"dst_port": 8080, "groups": "staff"}, "action": "allow"},
{"policy_id": "p-host", "priority": 2, "conditions": {"dst_port": 8081, "dst_user_id": "ro*"}, "action": "reject"}"#;
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", PEOPLE);
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    let ids = [
        &["identity", "assert", "ann", "10.77.0.1", "--group", "staff", "--group", "night"][..],
        &["identity", "assert", "root", "10.77.0.2"],
    ]
    .map(|words| lab.ctl(words)["identity_id"].to_string());
    fetch(&lab, WEB, 1, 0);
    fetch(&lab, ALT, 1, 7);
    let flows = lab.ctl(&["flows"]);
    let of_port = |port: u16| {
        let mut flows = flows["flows"].as_array().unwrap().iter();
        flows.find(|flow| flow["dest_port"] == port).unwrap()["flow_id"].to_string()
    };
    let numbers = [8_080, 8_081].map(of_port);
    for number in &numbers {
        lab.ctl(&["end-flow", number]);
    }
    for id in &ids {
        lab.ctl(&["identity", "end", id]);
    }
    let expected = [("p-staff", "groups", "staff, night"), ("p-host", "dst_user_id", "root")];
    for (number, (policy_id, field, value)) in numbers.iter().zip(expected) {
        let mut past = Value::Null;
        eventually("the flow's record is kept", || {
            let told = lab.jarvis(&["ctl", "--json", "--socket", "ctl.sock", "explain", number]);
            past = serde_json::from_slice(&told.stdout).unwrap_or_default();
            past["ended"] == true
        });
        let judgement = &past["judgement"];
        assert_eq!(
            (&judgement["decision"]["policy_id"], &past["agrees"]),
            (&policy_id.into(), &true.into()),
            "{past}"
        );
        let tried = judgement["tried"].as_array().unwrap().iter();
        let met = tried.flat_map(|tried| tried["conditions"].as_array().unwrap());
        let met = met.clone().find(|met| met["field"] == field).unwrap();
        assert_eq!(met["value"], value, "{past}");
    }
    daemon.stop();
}
