//! Changes that must be confirmed: what waits, what returns by itself, and what outlives the process.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use controlplane::services::Author;
use controlplane::services::policy_edit::{EditError, Expected};
use controlplane::services::policy_way::Way;
use serde_json::{Value, json};

use crate::rig::{Daemon, OPERATOR, Options};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn policy(id: &str, action: &str) -> String {
    let policy = json!({"policy_id": id, "conditions": {"dst_port": 443}, "action": action});
    json!({"default_action": "allow", "policies": [policy]}).to_string()
}

fn in_force(daemon: &Daemon) -> (u64, String) {
    let set = daemon.over_tcp("GET", "/policy", "").json();
    let first = set["policies"][0]["policy_id"].as_str().unwrap_or_default().to_owned();
    (set["version"].as_u64().unwrap(), first)
}

fn pending(daemon: &Daemon) -> Value {
    daemon.over_tcp("GET", "/policy/commit", "").json()["pending"].clone()
}

/// Puts a set in force that waits for a second: shorter than a call may ask for.
fn arm_for_a_second(daemon: &Daemon, id: &str) -> u64 {
    let expected = Expected { confirm_s: Some(1), ..Expected::default() };
    let change = daemon.services.replace_policy(policy(id, "drop").as_bytes(), &Author::system(), &expected);
    change.unwrap().version
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn actions(daemon: &Daemon) -> Vec<(String, String)> {
    let audit = daemon.over_tcp("GET", "/audit?limit=100", "").json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = audit["entries"].as_array().unwrap().iter();
    let done = entries.filter(|entry| entry["outcome"] == "done");
    done.map(|entry| (text(&entry["action"]), text(&entry["actor"]["username"]))).collect()
}

#[test]
fn a_confirmed_change_stays_and_what_waits_can_be_seen_meanwhile() {
    let daemon = Daemon::start(Options::default());
    assert_eq!(pending(&daemon), Value::Null);
    daemon.over_tcp("POST", "/policy/confirm", "").problem(409, "nothing_pending");
    daemon.over_tcp("DELETE", "/policy/commit", "").problem(409, "nothing_pending");
    let armed = daemon.over_tcp("PUT", "/policy?confirm_s=600&reason=CHG-7", &policy("new", "drop"));
    assert_eq!(armed.status, 200, "{}", armed.text());
    let told = armed.json()["commit"].clone();
    assert_eq!((&told["version"], &told["returns_to"]), (&json!(2), &json!(1)), "{told}");
    assert_eq!(
        (&told["by"], &told["reason"], &told["change"]),
        (&json!("root"), &json!("CHG-7"), &json!("replace the set"))
    );
    assert!((590..=600).contains(&told["remaining_s"].as_u64().unwrap()), "{told}");
    assert_eq!(in_force(&daemon), (2, "new".to_owned()), "it is in force at once");
    for path in ["/policy", "/telemetry"] {
        assert_eq!(daemon.over_tcp("GET", path, "").json()["commit"]["version"], 2, "{path}");
    }
    let metrics = daemon.over_tcp("GET", "/metrics", "").text();
    assert!(metrics.contains("jarvis_policy_commits_total{outcome=\"armed\"} 1"), "{metrics}");

    // Somebody who does not know of it is told what to do.
    let refused = daemon.over_tcp("PATCH", "/policy/new", r#"{"log": true}"#).problem(409, "commit_pending");
    assert!(refused["detail"].as_str().unwrap().contains("POST /policy/confirm"), "{refused}");
    daemon.over_tcp("POST", "/policy/reload", "").problem(409, "commit_pending");
    assert_eq!(daemon.over_tcp("POST", "/policy/import?dry_run=true", &policy("x", "drop")).status, 200);

    // A further change waits in its place, and what returns stays what it was.
    let further = daemon.over_tcp("PATCH", "/policy/new?confirm_s=900", r#"{"log": true}"#);
    let told = further.json()["commit"].clone();
    assert_eq!((&told["version"], &told["returns_to"]), (&json!(3), &json!(1)), "{told}");
    assert!(told["remaining_s"].as_u64().unwrap() > 600, "a time of its own: {told}");

    daemon.over_tcp("POST", "/policy/confirm?version=2", "").problem(412, "stale");
    let confirmed = daemon.over_tcp("POST", "/policy/confirm?version=3", "");
    assert_eq!((confirmed.status, confirmed.json()["version"].clone()), (200, json!(3)));
    assert_eq!(pending(&daemon), Value::Null);
    assert_eq!(daemon.over_tcp("GET", "/policy", "").json().get("commit"), None);
    assert_eq!(daemon.over_tcp("PATCH", "/policy/new", r#"{"log": false}"#).json()["version"], 4);
    let told: Vec<_> = actions(&daemon).into_iter().map(|(action, _)| action).collect();
    let told: Vec<_> = told.iter().filter(|action| action.starts_with("policy.")).collect();
    let wanted = ["replace", "arm", "import", "change", "arm", "confirm", "change"];
    assert_eq!(told, wanted.map(|action| format!("policy.{action}")).iter().collect::<Vec<_>>());
}

#[test]
fn what_nobody_confirms_returns_by_itself_and_says_so() {
    let daemon = Daemon::start(Options::default());
    let armed = daemon.over_tcp("PUT", "/policy?confirm_s=5", &policy("unwanted", "drop"));
    let begun = Instant::now();
    assert_eq!(armed.status, 200, "{}", armed.text());
    eventually("the old set returns", || in_force(&daemon) == (3, "p-web".to_owned()));
    let took = begun.elapsed();
    assert!((4_500..12_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(pending(&daemon), Value::Null);
    let versions = daemon.over_tcp("GET", "/policy/versions", "").json();
    let newest = &versions["versions"][0];
    assert_eq!(
        (&newest["by"], &newest["change"], &newest["reason"]),
        (&json!("system"), &json!("return to version 1"), &json!("nobody confirmed version 2 within 5 s")),
        "{versions}"
    );
    let differences = daemon.over_tcp("GET", "/policy/versions/3/diff?against=1", "").json();
    assert_eq!(differences["unchanged"], 1, "{differences}");
    eventually("the audit tells of it", || {
        actions(&daemon).contains(&("policy.return".to_owned(), "system".to_owned()))
    });
    let metrics = daemon.over_tcp("GET", "/metrics", "").text();
    assert!(metrics.contains("jarvis_policy_commits_total{outcome=\"returned\"} 1"), "{metrics}");
    assert!(metrics.contains("jarvis_policy_commit_remaining_seconds 0"), "{metrics}");
}

#[test]
fn an_aborted_change_is_gone_at_once() {
    let daemon = Daemon::start(Options::default());
    let made = r#"{"policy_id": "tried", "action": "drop", "conditions": {"dst_port": 1}}"#;
    assert_eq!(daemon.over_tcp("POST", "/policy?confirm_s=600", made).status, 201);
    let aborted = daemon.over_tcp("DELETE", "/policy/commit?reason=it%20hurt", "");
    assert_eq!(aborted.status, 200, "{}", aborted.text());
    assert_eq!(aborted.json().get("commit"), None);
    daemon.over_tcp("GET", "/policy/tried", "").problem(404, "not_found");
    let versions = daemon.over_tcp("GET", "/policy/versions", "").json();
    let newest = &versions["versions"][0];
    assert_eq!(
        (&newest["by"], &newest["change"], &newest["reason"]),
        (&json!("root"), &json!("abort version 2, return to version 1"), &json!("it hurt"))
    );
    assert_eq!(newest["origin"], "file", "it is the file's set again");
    assert_eq!(pending(&daemon), Value::Null);
}

#[test]
fn what_waits_outlives_a_restart_and_what_is_overdue_returns_at_the_start() {
    let mut daemon = Daemon::start(Options::default());
    let armed = daemon.over_tcp("PUT", "/policy?confirm_s=600", &policy("new", "drop"));
    assert_eq!(armed.status, 200, "{}", armed.text());
    // A file that was changed meanwhile does not come between.
    std::fs::write(&daemon.policy_file, policy("filed", "drop")).unwrap();
    daemon = daemon.restarted();
    assert_eq!(in_force(&daemon), (2, "new".to_owned()));
    let left = pending(&daemon);
    assert_eq!((&left["version"], &left["returns_to"], &left["by"]), (&json!(2), &json!(1), &json!("root")));
    assert!((1..=600).contains(&left["remaining_s"].as_u64().unwrap()), "{left}");
    assert_eq!(daemon.over_tcp("DELETE", "/policy/commit", "").status, 200);
    assert_eq!(in_force(&daemon), (3, "p-web".to_owned()));

    assert_eq!(arm_for_a_second(&daemon, "overdue"), 4);
    let since_s = pending(&daemon)["since_s"].as_u64().unwrap();
    // Nobody brings anything back while the daemon does not run.
    let dir = tempfile::tempdir().unwrap();
    for name in ["test.redb", "policy.json", "keys.json", "box.key", "sealed-under"] {
        let (from, to) = (daemon.dir.path().join(name), dir.path().join(name));
        assert!(!from.exists() || std::fs::copy(from, to).is_ok(), "{name}");
    }
    drop(daemon);
    let overdue = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() > since_s;
    eventually("a second has passed", overdue);
    std::fs::write(dir.path().join("policy.json"), crate::rig::POLICY).unwrap();
    let daemon = Daemon::start_in(dir.path(), Options::default());
    assert_eq!(in_force(&daemon), (5, "p-web".to_owned()), "before anybody could ask");
    assert_eq!(pending(&daemon), Value::Null);
    let versions = daemon.over_tcp("GET", "/policy/versions", "").json();
    assert_eq!(versions["versions"][0]["reason"], "nobody confirmed version 4 within 1 s");
    eventually("the audit tells of it", || {
        actions(&daemon).contains(&("policy.return".to_owned(), "system".to_owned()))
    });
}

#[test]
fn a_file_that_nobody_confirmed_is_not_taken_in_again() {
    let mut daemon = Daemon::start(Options::default());
    std::fs::write(&daemon.policy_file, policy("filed", "drop")).unwrap();
    let expected = Expected { confirm_s: Some(1), ..Expected::default() };
    daemon.services.reload(&Author::system(), &expected).unwrap();
    eventually("the old set returns", || in_force(&daemon) == (3, "p-web".to_owned()));
    daemon = daemon.restarted();
    assert_eq!(in_force(&daemon), (3, "p-web".to_owned()));
    assert_eq!(daemon.over_tcp("GET", "/policy", "").json()["origin"], "api", "the file says something else");
}

#[test]
fn terms_that_nobody_can_mean_are_refused() {
    let daemon = Daemon::start(Options::default());
    for query in
        ["confirm_s=4", "confirm_s=86401", "confirm_s=soon", "force=maybe", "confirm_s=9&confirm_s=9"]
    {
        daemon
            .over_tcp("PUT", &format!("/policy?{query}"), &policy("x", "drop"))
            .problem(400, "invalid_parameter");
    }
    assert_eq!(in_force(&daemon).0, 1);
    let daemon = Daemon::start(Options { store_is_damaged: true, ..Options::default() });
    std::fs::write(&daemon.policy_file, policy("filed", "drop")).unwrap();
    daemon.over_tcp("POST", "/policy/reload?confirm_s=60", "").problem(503, "store_failing");
    assert_eq!(in_force(&daemon).0, 1);
}

/// What becomes of a change that `policies` are after, made by a client whose connection is accepted at `ends`.
fn cut_off_by(daemon: &Daemon, policies: &Value, ends: [&str; 2]) -> Option<String> {
    let [client, api] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    let expected = Expected { way: Way::between(client, api), ..Expected::default() };
    let set = json!({"default_action": "allow", "policies": policies}).to_string();
    let before = daemon.services.policy().set.version();
    match daemon.services.replace_policy(set.as_bytes(), &Author::system(), &expected) {
        Ok(_in_force) => None,
        Err(EditError::CutsOff(cut_off)) => {
            assert_eq!(daemon.services.policy().set.version(), before, "nothing was changed");
            Some(format!("{} {} {}", cut_off.by, cut_off.what, cut_off.seen))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn nobody_cuts_off_the_connection_that_asks_for_it() {
    let daemon = Daemon::start(Options { operator: true, ..Options::default() });
    let one = |conditions: Value, action: Value| json!([{"policy_id": "p", "conditions": conditions, "action": action}]);
    let (drop, reject) = (json!("drop"), json!("reject"));
    for (policies, wanted) in [
        (one(json!({"dst_port": 8000}), drop.clone()), Some("policy `p` drop crosses the box")),
        (one(json!({"src_ip": "10.200.0.0/16"}), reject), Some("policy `p` reject crosses the box")),
        (one(json!({"zone": "inside"}), drop.clone()), Some("policy `p` drop crosses the box")),
        (
            one(json!({"src_ip": "10.200.0.1"}), json!({"redirect": {"to": "192.0.2.9:80"}})),
            Some("policy `p` redirect crosses the box"),
        ),
        (one(json!({"zone": "outside"}), drop.clone()), None),
        (one(json!({"dst_ip": "192.0.2.50", "dst_port": 22}), drop), None),
        (one(json!({"src_ip": "10.200.0.1"}), json!({"rate_limit": {"bytes_per_s": 9000}})), None),
        (one(json!({"src_ip": "10.200.0.1"}), json!({"redirect": {"to": "192.0.2.50:8000"}})), None),
        (
            json!([{"policy_id": "way", "priority": 1, "conditions": {"dst_port": 8000}, "action": "allow"},
                   {"policy_id": "p", "priority": 2, "action": "drop"}]),
            None,
        ),
    ] {
        assert_eq!(cut_off_by(&daemon, &policies, OPERATOR).as_deref(), wanted, "{policies}");
    }
    let all = json!([{"policy_id": "p", "action": "drop"}]);
    let [_, api] = OPERATOR;
    // No worker has these: they come another way, or from the machine itself.
    assert_eq!(cut_off_by(&daemon, &all, ["10.200.0.2:40000", api]), None);
    assert_eq!(cut_off_by(&daemon, &all, ["127.0.0.1:40000", "127.0.0.1:8000"]), None);
    assert_eq!(cut_off_by(&daemon, &all, ["192.0.2.50:40000", api]), None);
    // Nobody judges frames while the wire is bypassed: then all that is known are the addresses.
    assert_eq!(daemon.over_unix("POST", "/admin/bypass", r#"{"on": true}"#).status, 200);
    let cut_off = cut_off_by(&daemon, &all, ["10.200.0.2:40000", api]).unwrap();
    assert!(cut_off.starts_with("policy `p` drop may cross the box"), "{cut_off}");
}
