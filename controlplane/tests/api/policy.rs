//! Policies one by one: made, changed, moved, removed, taken in, and brought back.

use std::net::TcpStream;
use std::time::Instant;

use crate::rig::{Answer, Daemon, Options, call_with};
use serde_json::{Value, json};

const THREE: &str = r#"{"default_action": "allow", "policies": [
  {"policy_id": "a", "priority": 10, "conditions": {"dst_port": 1}, "action": "drop"},
  {"policy_id": "b", "name": "Second", "priority": 20, "conditions": {"dst_port": 2}, "action": "reject", "log": true},
  {"policy_id": "c", "priority": 30, "conditions": {"dst_port": 3}, "action": {"rate_limit": {"bytes_per_s": 9000}}}
]}"#;

fn three() -> Daemon {
    Daemon::start(Options { policy: THREE, ..Options::default() })
}

fn with_header(daemon: &Daemon, method: &str, path: &str, header: &str, body: &str) -> Answer {
    let headers = format!("{}{header}\r\n", daemon.authorization());
    call_with(TcpStream::connect(daemon.tcp()).unwrap(), method, path, &headers, body)
}

fn etag(answer: &Answer) -> String {
    let line = answer.head.lines().find(|line| line.starts_with("etag: ")).expect("it has an ETag");
    line.trim_start_matches("etag: ").to_owned()
}

fn order(daemon: &Daemon) -> Vec<String> {
    let set = daemon.over_tcp("GET", "/policy", "").json();
    let policies = set["policies"].as_array().unwrap();
    policies.iter().map(|policy| policy["policy_id"].as_str().unwrap().to_owned()).collect()
}

/// What becomes of a TCP flow to this port.
fn decision(daemon: &Daemon, port: u16) -> Value {
    let context = json!({"protocol": "tcp", "dst_port": port}).to_string();
    daemon.over_tcp("POST", "/policy/evaluate", &context).json()["decision"].clone()
}

#[test]
fn a_policy_from_its_making_to_its_end() {
    let daemon = three();
    let new = r#"{"policy_id": "d", "priority": 5, "conditions": {"dst_port": 4}, "action": "drop"}"#;
    let made = daemon.over_tcp("POST", "/policy?reason=CHG-7", new);
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.head.contains("location: /policy/d"), "{}", made.head);
    let change = made.json();
    assert_eq!(
        (&change["version"], &change["policies"], &change["persistent"]),
        (&json!(2), &json!(4), &json!(true))
    );
    assert!(change["in_force_ms"].as_f64().unwrap() < 1_000.0, "{change}");
    assert_eq!(order(&daemon), ["d", "a", "b", "c"]);
    assert_eq!(decision(&daemon, 4)["policy_id"], "d");
    let shown = daemon.over_tcp("GET", "/policy/d", "");
    assert_eq!((shown.text().as_str(), etag(&shown)), (new, etag(&made)));
    daemon.over_tcp("POST", "/policy", new).problem(409, "exists");

    let patched = daemon.over_tcp(
        "PATCH",
        "/policy/d",
        r#"{"enabled": false, "conditions": {"zone": null, "dst_port": [4, 5]}}"#,
    );
    assert_eq!(patched.status, 200, "{}", patched.text());
    let expected =
        r#"{"policy_id":"d","priority":5,"conditions":{"dst_port":[4, 5]},"action":"drop","enabled":false}"#;
    assert_eq!(daemon.over_tcp("GET", "/policy/d", "").text(), expected, "order and text stay");
    assert_eq!(decision(&daemon, 4)["policy_id"], Value::Null);
    let again = daemon.over_tcp("PATCH", "/policy/d", r#"{"enabled": false}"#).json();
    assert_eq!((&again["version"], &again["changed"]), (&json!(3), &json!(false)), "no version for nothing");

    let put = daemon.over_tcp("PUT", "/policy/d", r#"{"conditions": {"dst_port": 5}, "action": "reject"}"#);
    assert_eq!((put.status, put.json()["policy"]["policy_id"].clone()), (200, json!("d")), "{}", put.text());
    assert_eq!(decision(&daemon, 5)["action"], "reject");
    assert_eq!(daemon.over_tcp("PUT", "/policy/e", r#"{"action": "drop", "enabled": false}"#).status, 201);
    let gone = daemon.over_tcp("DELETE", "/policy/d", "");
    assert_eq!((gone.status, gone.json()["policies"].clone()), (200, json!(4)), "{}", gone.text());
    daemon.over_tcp("GET", "/policy/d", "").problem(404, "not_found");
    daemon.over_tcp("PATCH", "/policy/d", "{}").problem(404, "not_found");
    daemon.over_tcp("DELETE", "/policy/d", "").problem(404, "not_found");
    assert_eq!(order(&daemon), ["a", "b", "c", "e"]);

    let audit = daemon.over_tcp("GET", "/audit?target=d", "").json();
    let told: Vec<(&Value, &Value, &Value)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["outcome"] == "done")
        .map(|entry| (&entry["action"], &entry["before"]["action"], &entry["after"]["action"]))
        .collect();
    let (drop, reject, none) = (json!("drop"), json!("reject"), Value::Null);
    let expected = [
        (&json!("policy.make"), &none, &drop),
        (&json!("policy.change"), &drop, &drop),
        (&json!("policy.change"), &drop, &drop),
        (&json!("policy.change"), &drop, &reject),
        (&json!("policy.remove"), &reject, &none),
    ];
    assert_eq!(told, expected, "{audit}");
    let versions = daemon.over_tcp("GET", "/policy/versions", "").json();
    let first = &versions["versions"][4];
    assert_eq!(
        (&first["change"], &first["by"], &first["reason"]),
        (&json!("add d"), &json!("root"), &json!("CHG-7")),
        "{versions}"
    );
}

#[test]
fn an_edit_is_refused_with_every_fault_at_its_place() {
    let daemon = three();
    let bad = r#"{"policy_id": "x", "actoin": 1, "conditions": {"dst_port": [1, 99999], "src_ip": "nowhere"}, "action": "explode"}"#;
    let pointers = |answer: &Answer| {
        let problem = answer.problem(422, "invalid_policy");
        let errors = problem["errors"].as_array().unwrap().clone();
        let mut pointers: Vec<_> =
            errors.iter().map(|fault| fault["pointer"].as_str().unwrap_or_default().to_owned()).collect();
        pointers.sort();
        pointers
    };
    let expected = ["/action", "/actoin", "/conditions/dst_port/1", "/conditions/src_ip"];
    assert_eq!(pointers(&daemon.over_tcp("POST", "/policy", bad)), expected);
    assert_eq!(pointers(&daemon.over_tcp("PUT", "/policy/x", bad)), expected);
    assert_eq!(pointers(&daemon.over_tcp("PATCH", "/policy/b", r#"{"priority": "x"}"#)), ["/priority"]);
    assert_eq!(pointers(&daemon.over_tcp("POST", "/policy", r#"{"action": "drop"}"#)), [""]);
    let list = r#"[{"policy_id": "x", "action": "drop"}, {"policy_id": "y", "action": "no"}]"#;
    assert_eq!(pointers(&daemon.over_tcp("POST", "/policy/import?mode=merge", list)), ["/1/action"]);
    let set = r#"{"default_action": "no", "policies": [{"policy_id": "x", "action": "no"}]}"#;
    assert_eq!(pointers(&daemon.over_tcp("PUT", "/policy", set)), ["/default_action", "/policies/0/action"]);
    // An id keeps, and some are none.
    let other = daemon.over_tcp("PUT", "/policy/b", r#"{"policy_id": "c", "action": "drop"}"#);
    assert_eq!(other.problem(400, "invalid_body")["errors"][0]["pointer"], "/policy_id");
    daemon.over_tcp("PATCH", "/policy/b", r#"{"policy_id": null}"#).problem(400, "invalid_body");
    let reserved = daemon.over_tcp("POST", "/policy", r#"{"policy_id": "versions", "action": "drop"}"#);
    let problem = reserved.problem(422, "invalid_policy");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("path of the API"), "{problem}");
    for body in ["", "7", "[]", "{"] {
        daemon.over_tcp("POST", "/policy", body).problem(400, "invalid_body");
        daemon.over_tcp("PATCH", "/policy/b", body).problem(400, "invalid_body");
    }
    daemon.over_tcp("PATCH", "/policy/b?reson=x", "{}").problem(400, "invalid_parameter");
    assert_eq!(daemon.over_tcp("GET", "/policy", "").json()["version"], 1, "nothing was changed");
    let odd = daemon.over_tcp("POST", "/policy", r#"{"policy_id": "a/b c?", "action": "drop"}"#);
    assert!(odd.head.contains("location: /policy/a%2Fb%20c%3F"), "{}", odd.head);
    assert_eq!(daemon.over_tcp("GET", "/policy/a%2Fb%20c%3F", "").status, 200);
}

#[test]
fn an_edit_that_is_based_on_something_else_is_stale() {
    let daemon = three();
    let tag = etag(&daemon.over_tcp("GET", "/policy/b", ""));
    let set = etag(&daemon.over_tcp("GET", "/policy", ""));
    let edit =
        |tag: &str, body: &str| with_header(&daemon, "PATCH", "/policy/b", &format!("if-match: {tag}"), body);
    assert_eq!(edit(&tag, r#"{"priority": 21}"#).status, 200);
    edit(&tag, r#"{"priority": 22}"#).problem(412, "stale");
    edit(&format!("W/{tag}, \"x\""), r#"{"priority": 22}"#).problem(412, "stale");
    edit("b", r#"{"priority": 22}"#).problem(400, "invalid_parameter");
    assert_eq!(edit("*", r#"{"priority": 22}"#).status, 200);
    // The set's tag is as good, as long as nobody changes any policy.
    edit(&set, r#"{"priority": 23}"#).problem(412, "stale");
    let set = etag(&daemon.over_tcp("GET", "/policy", ""));
    assert_eq!(edit(&format!("\"x\", {set}"), r#"{"priority": 23}"#).status, 200);
    let b = etag(&daemon.over_tcp("GET", "/policy/b", ""));
    assert_eq!(daemon.over_tcp("PATCH", "/policy/a", r#"{"log": true}"#).status, 200);
    assert_eq!(edit(&b, r#"{"priority": 24}"#).status, 200, "an edit of a is none of b");
    for (method, path, body) in [
        ("PUT", "/policy", THREE),
        ("POST", "/policy/order", r#"{"policy_ids": ["c"]}"#),
        ("POST", "/policy/import", THREE),
        ("POST", "/policy/import?dry_run=true", THREE),
        ("POST", "/policy/versions/1/restore", ""),
        ("DELETE", "/policy/b", ""),
    ] {
        with_header(&daemon, method, path, "if-match: \"1\"", body).problem(412, "stale");
    }
    let only_new = |id: &str| {
        with_header(&daemon, "PUT", &format!("/policy/{id}"), "if-none-match: *", r#"{"action": "drop"}"#)
    };
    only_new("b").problem(412, "stale");
    assert_eq!(only_new("n").status, 201);
}

#[test]
fn policies_take_the_order_that_is_given() {
    let daemon = three();
    let give =
        |ids: &[&str]| daemon.over_tcp("POST", "/policy/order", &json!({ "policy_ids": ids }).to_string());
    assert_eq!(give(&["c", "a"]).status, 200);
    assert_eq!(order(&daemon), ["c", "b", "a"], "b stays where it was");
    assert_eq!(give(&["a", "b", "c"]).status, 200);
    let set = daemon.over_tcp("GET", "/policy", "").json();
    let priorities: Vec<_> =
        set["policies"].as_array().unwrap().iter().map(|policy| policy["priority"].clone()).collect();
    assert_eq!(
        (order(&daemon).concat().as_str(), priorities),
        ("abc", vec![json!(10), json!(20), json!(30)])
    );
    assert_eq!(give(&["a", "b", "c"]).json()["changed"], false);
    let problem = give(&["a", "x", "a"]).problem(400, "invalid_body");
    assert_eq!(
        (&problem["errors"][0]["pointer"], &problem["errors"][1]["pointer"]),
        (&json!("/policy_ids/1"), &json!("/policy_ids/2"))
    );
    give(&[]).problem(400, "invalid_body");
}

#[test]
fn policies_of_the_former_system_are_taken_in() {
    let daemon = three();
    // Its flat and nested forms, as a bare list.
    let former = r#"[{"policy_id": "b", "priority": 20, "conditions": {"protocol": "udp"}, "action": "rate-limit", "rate_limit_kbps": 512},
        {"policy_id": "f", "name": "Former", "conditions": {"dst_port": ["6"]}, "action": {"action": "drop"}}]"#;
    let dry = daemon.over_tcp("POST", "/policy/import?mode=merge&dry_run=true", former).json();
    assert_eq!((&dry["added"], &dry["changed"], &dry["removed"]), (&json!(["f"]), &json!(["b"]), &json!([])));
    assert_eq!((&dry["dry_run"], &dry["unchanged"], dry.get("change")), (&json!(true), &json!(2), None));
    assert_eq!(order(&daemon), ["a", "b", "c"], "nothing was changed");
    let merged = daemon.over_tcp("POST", "/policy/import?mode=merge", former).json();
    assert_eq!(
        (&merged["change"]["version"], &merged["change"]["policies"], &merged["added"]),
        (&json!(2), &json!(4), &json!(["f"])),
        "{merged}"
    );
    assert_eq!(decision(&daemon, 6)["action"], "drop");
    let limited = daemon.over_tcp("POST", "/policy/evaluate", r#"{"protocol": "udp", "dst_port": 9}"#).json();
    assert_eq!(limited["decision"]["rate_limit"]["bytes_per_s"], 64_000, "{limited}");
    let replaced = daemon.over_tcp("POST", "/policy/import", former).json();
    assert_eq!((&replaced["removed"], &replaced["unchanged"]), (&json!(["a", "c"]), &json!(2)), "{replaced}");
    assert_eq!(decision(&daemon, 1)["action"], "allow", "the default action stays");
    // What is exported can be imported.
    let exported = daemon.over_tcp("GET", "/policy/export", "");
    assert!(exported.head.contains("filename=\"policy-3.json\""), "{}", exported.head);
    let again = daemon.over_tcp("POST", "/policy/import", &exported.text()).json();
    assert_eq!((&again["changed"], &again["unchanged"]), (&json!([]), &json!(2)), "{again}");
    assert_eq!(daemon.over_tcp("GET", "/policy/export?version=1", "").text(), THREE);
    daemon.over_tcp("GET", "/policy/export?version=9", "").problem(404, "not_found");
}

#[test]
fn what_is_to_be_looked_at_is_told_when_it_is_saved_and_when_asked() {
    let daemon = three();
    let none = daemon.over_tcp("GET", "/policy/analysis", "").json();
    assert_eq!(none, json!({"version": 1, "total": 0, "findings": []}));
    let late =
        r#"{"policy_id": "late", "priority": 40, "conditions": {"dst_port": [1, 2]}, "action": "allow"}"#;
    let made = daemon.over_tcp("POST", "/policy", late).json();
    let finding = &made["findings"][0];
    assert_eq!(
        (&finding["policy_id"], &finding["kind"], &finding["by"], &made["findings_left_out"]),
        (&json!("late"), &json!("shadowed"), &json!(["a", "b"]), &json!(0)),
        "{made}"
    );
    assert!(
        finding["message"].as_str().unwrap().starts_with("never reached: a, b are evaluated before it"),
        "{made}"
    );
    let asked = daemon.over_tcp("GET", "/policy/analysis", "").json();
    assert_eq!((&asked["version"], &asked["findings"]), (&json!(2), &made["findings"]));

    let against = r#"{"policy_id": "d", "priority": 10, "conditions": {"dst_port": 1}, "action": "allow"}"#;
    let refused = daemon.over_tcp("POST", "/policy", against);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("ambiguous: policy a"), "{}", refused.text());
    assert_eq!(daemon.over_tcp("GET", "/policy", "").json()["version"], 2);
}

#[test]
fn versions_tell_what_changed_and_come_back() {
    let daemon = three();
    assert_eq!(daemon.over_tcp("PATCH", "/policy/b", r#"{"action": "drop", "log": null}"#).status, 200);
    assert_eq!(daemon.over_tcp("DELETE", "/policy/a", "").status, 200);
    let diff = daemon.over_tcp("GET", "/policy/versions/3/diff?against=1", "").json();
    assert_eq!(diff["removed"][0]["policy_id"], "a", "{diff}");
    let fields = json!([{"field": "action", "before": "reject", "after": "drop"}, {"field": "log", "before": true, "after": null}]);
    assert_eq!((&diff["changed"][0]["policy_id"], &diff["changed"][0]["fields"]), (&json!("b"), &fields));
    let diff = daemon.over_tcp("GET", "/policy/versions/3/diff", "").json();
    assert_eq!((&diff["against"], &diff["changed"], &diff["unchanged"]), (&json!(2), &json!([]), &json!(2)));
    assert_eq!(daemon.over_tcp("GET", "/policy/versions/1/diff", "").json()["against"], Value::Null);
    let old = daemon.over_tcp("GET", "/policy/versions/1", "").json();
    assert_eq!((&old["origin"], &old["current"]), (&json!("file"), &json!(false)));
    assert_eq!(old["document"], serde_json::from_str::<Value>(THREE).unwrap());
    let restored = daemon.over_tcp("POST", "/policy/versions/1/restore", "").json();
    assert_eq!((&restored["version"], &restored["origin"]), (&json!(4), &json!("api")));
    assert_eq!(daemon.over_tcp("GET", "/policy/document", "").text(), THREE);
    let mut numbers = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = daemon.over_tcp("GET", &format!("/policy/versions?limit=3{cursor}"), "").json();
        numbers.extend(
            page["versions"].as_array().unwrap().iter().map(|version| version["version"].as_u64().unwrap()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(numbers, [4, 3, 2, 1]);
    daemon.over_tcp("GET", "/policy/versions/7", "").problem(404, "not_found");
    daemon.over_tcp("GET", "/policy/versions/x", "").problem(404, "not_found");
    daemon.over_tcp("POST", "/policy/versions/7/restore", "").problem(404, "not_found");
}

fn many(count: u32) -> String {
    let policies: Vec<String> = (0..count)
        .map(|number| {
            let (a, b, c) = (number >> 16 & 255, number >> 8 & 255, number & 255);
            format!(
                r#"{{"policy_id": "p{number:05}", "priority": {}, "enabled": {}, "conditions": {{"src_ip": "10.{a}.{b}.{c}", "dst_port": {}, "protocol": "tcp"}}, "action": "{}"}}"#,
                number / 3,
                number % 10 != 0,
                number % 60_000 + 1,
                if number % 2 == 0 { "drop" } else { "allow" }
            )
        })
        .collect();
    format!("{{\"default_action\": \"allow\", \"policies\": [\n{}\n]}}", policies.join(",\n"))
}

#[test]
fn large_sets_are_paged_and_filtered() {
    let daemon = three();
    assert_eq!(daemon.over_unix("PUT", "/policy", &many(2_500)).status, 200);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = daemon.over_tcp("GET", &format!("/policy?limit=900{cursor}"), "").json();
        assert_eq!(page["total"], 2_500);
        let policies = page["policies"].as_array().unwrap();
        seen.extend(policies.iter().map(|policy| policy["policy_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, (0..2_500).map(|number| format!("p{number:05}")).collect::<Vec<_>>());
    let count = |query: &str| {
        daemon.over_tcp("GET", &format!("/policy?{query}"), "").json()["policies"].as_array().unwrap().len()
    };
    assert_eq!(count("limit=10000&enabled=false"), 250);
    assert_eq!(count("limit=10000&action=allow"), 1_250);
    assert_eq!(count("name=P0001"), 10);
    assert_eq!(count(""), 1_000);
    let problem = daemon.over_tcp("GET", "/policy?enabled=x&action=no&limit=0&cursor=%21&colour=1", "");
    assert_eq!(problem.problem(400, "invalid_parameter")["errors"].as_array().unwrap().len(), 5);
}

#[test]
fn ten_thousand_policies_are_edited_one_at_a_time() {
    let daemon = three();
    assert_eq!(daemon.over_unix("PUT", "/policy", &many(10_000)).status, 200);
    let (mut whole, mut compile, mut in_force) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..10 {
        let body = json!({ "enabled": turn % 2 == 0, "name": format!("turn {turn}") }).to_string();
        let begun = Instant::now();
        let change = daemon.over_unix("PATCH", "/policy/p05000", &body).json();
        whole.push(begun.elapsed().as_secs_f64() * 1e3);
        compile.push(change["compile_ms"].as_f64().unwrap());
        in_force.push(change["in_force_ms"].as_f64().unwrap());
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (whole, compile, in_force) = (median(&mut whole), median(&mut compile), median(&mut in_force));
    eprintln!(
        "10,000 policies, one edit: {whole:.1} ms in all, {compile:.1} ms read, compiled and saved, {in_force:.2} ms until in force"
    );
    assert!(in_force <= 50.0, "{in_force} ms");
}

fn counts(daemon: &Daemon, query: &str) -> Vec<(String, u64, u64, u64)> {
    let set = daemon.over_tcp("GET", &format!("/policy{query}"), "").json();
    let number = |policy: &Value, name: &str| policy[name].as_u64().unwrap();
    let of = |policy: &Value| {
        let id = policy["policy_id"].as_str().unwrap().to_owned();
        (id, number(policy, "hits"), number(policy, "packets"), number(policy, "bytes"))
    };
    set["policies"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_policies_did_stays_with_their_ids() {
    let daemon = Daemon::start(Options { policy: THREE, workers: 2, ..Options::default() });
    let deadline = Instant::now() + std::time::Duration::from_secs(5);
    while counts(&daemon, "")[0].1 < 2 && Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let a = ("a".to_owned(), 2, 6, 360);
    assert_eq!(counts(&daemon, "?unused=false"), std::slice::from_ref(&a), "both workers'");
    assert_eq!(
        counts(&daemon, "?unused=true").iter().map(|one| one.0.as_str()).collect::<Vec<_>>(),
        ["b", "c"]
    );
    daemon.over_tcp("PATCH", "/policy/a", r#"{"priority": 25}"#);
    assert_eq!(counts(&daemon, "")[1], a, "it stands elsewhere");
    daemon.over_tcp("DELETE", "/policy/a", "");
    daemon.over_tcp("POST", "/policy/versions/1/restore", "");
    assert_eq!(counts(&daemon, "")[0], a, "it was gone, and is back");
    let set = daemon.over_tcp("GET", "/policy", "").json();
    assert_eq!(set["policies"][0]["last_hit_s"], 1_700_000_000, "{set}");
    assert_eq!((&set["default"]["action"], &set["default"]["hits"]), (&json!("allow"), &json!(0)), "{set}");
    assert_eq!(set["policies"][1]["last_hit_s"], Value::Null);
    let metrics = daemon.over_tcp("GET", "/metrics", "").text();
    for line in [
        "jarvis_policy_hits_total{kind=\"policy\",policy_id=\"a\"} 2",
        "jarvis_policy_bytes_total{kind=\"policy\",policy_id=\"a\"} 360",
        "jarvis_policy_packets_total{kind=\"default\",policy_id=\"\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[test]
fn a_proposal_runs_until_it_is_ended_and_its_errors_end_nothing() {
    let daemon = three();
    assert_eq!(daemon.over_tcp("GET", "/policy/shadow", "").json(), json!({"shadow": null}));
    daemon.over_tcp("DELETE", "/policy/shadow", "").problem(404, "not_found");
    daemon.over_tcp("GET", "/policy/shadow/document", "").problem(404, "not_found");
    let proposal = r#"{"default_action": "drop", "policies": [{"policy_id": "x", "conditions": {"dst_port": 9}, "action": "allow"}]}"#;
    let started = daemon.over_tcp("PUT", "/policy/shadow", proposal);
    assert_eq!(started.status, 200, "{}", started.text());
    let shadow = &started.json()["shadow"];
    assert_eq!((&shadow["policies"], &shadow["flows"]["flows"]), (&json!(1), &json!(0)), "{shadow}");
    assert_eq!(daemon.over_tcp("GET", "/policy/shadow/document", "").text(), proposal);
    let wrong = r#"{"default_action": "drop", "policies": [{"policy_id": "shadow", "action": "drop"}]}"#;
    daemon.over_tcp("PUT", "/policy/shadow", wrong).problem(422, "invalid_policy");
    assert_eq!(daemon.over_tcp("GET", "/policy/shadow/document", "").text(), proposal, "it runs on");
    // The set in force is another thing.
    assert_eq!(
        (order(&daemon), decision(&daemon, 9)["policy_id"].clone()),
        (vec!["a".into(), "b".into(), "c".into()], Value::Null)
    );
    daemon.over_tcp("PUT", "/policy", THREE);
    assert_eq!(
        daemon.over_tcp("GET", "/policy/shadow", "").json()["shadow"]["policies"],
        1,
        "it outlives the set"
    );
    assert_eq!(daemon.over_tcp("DELETE", "/policy/shadow", "").status, 200);
    assert_eq!(daemon.over_tcp("GET", "/policy/shadow", "").json(), json!({"shadow": null}));
}

#[test]
fn what_if_says_what_it_takes() {
    let daemon = three();
    daemon.over_tcp("POST", "/policy/what-if?minutes=0", THREE).problem(400, "invalid_parameter");
    daemon
        .over_tcp("POST", "/policy/what-if", r#"{"policies": [{"policy_id": "z"}]}"#)
        .problem(422, "invalid_policy");
    let form = |fields: &[(&str, &str)]| {
        let part = |(name, text): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let body = format!("{}--b--\r\n", fields.iter().map(part).collect::<String>());
        with_header(
            &daemon,
            "POST",
            "/policy/what-if",
            "Content-Type: multipart/form-data; boundary=b",
            &body,
        )
    };
    for fields in [&[("capture", "x"), ("policies", THREE)][..], &[("policies", THREE)], &[]] {
        let refused = form(fields);
        refused.problem(400, "invalid_body");
    }
    assert_eq!(order(&daemon), ["a", "b", "c"]);
}
