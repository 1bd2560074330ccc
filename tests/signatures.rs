//! Do rules hold what real programs send, inline and after a reload?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, eventually};
use serde_json::Value;

/// curl's exit code and the bytes that it got.
fn fetch(lab: &Lab, path: &str) -> (Option<i32>, usize) {
    let url = format!("http://10.77.0.2:8080/{path}");
    let output = lab.client(&["curl", "--silent", "--max-time", "4", &url]);
    (output.status.code(), output.stdout.len())
}

fn alerts(events: &[Value]) -> Vec<(u64, &str)> {
    let alerts = events.iter().filter(|event| event["event_type"] == "alert");
    let told = alerts.map(|event| {
        let alert = &event["alert"];
        (alert["signature_id"].as_u64().unwrap(), alert["action"].as_str().unwrap())
    });
    told.collect()
}

const RULES: &str = r#"
alert http any any -> any 8080 (msg:"a request"; http.uri; content:"/plain"; sid:1;)
drop http any any -> any any (msg:"asked for"; flow:established,to_server; http.uri; content:"/secret"; sid:2;)
reject http any any -> any any (msg:"answered"; flow:established,to_client; file.data; content:"malware"; sid:3;)
pass http any any -> any any (msg:"let through"; http.uri; content:"/secret-allowed"; sid:4;)
drop icmp any any -> any any (msg:"a large ping"; itype:8; dsize:>500; sid:5;)
"#;

#[test]
fn what_matches_does_not_cross_and_the_rest_does() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("[rules]\nfiles = [\"*.rules\"]\n", "");
    lab.write("box.rules", RULES);
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    lab.write("www/plain", "x".repeat(50_000));
    lab.write("www/bad", "some malware");
    lab.write("www/secret-allowed", "a");
    assert_eq!(fetch(&lab, "plain"), (Some(0), 50_000), "{}", lab.log());
    // 28: nothing came back in time.
    assert_eq!(fetch(&lab, "secret.html").0, Some(28), "{}", lab.log());
    // 56: the connection was reset.
    assert_eq!(fetch(&lab, "bad").0, Some(56), "{}", lab.log());
    assert_eq!(fetch(&lab, "secret-allowed"), (Some(0), 1), "{}", lab.log());
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let large =
        lab.client(&["ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "1", "-s", "600", "10.77.0.2"]);
    assert!(lab::said(&large).contains(" 0 received"), "{}", lab::said(&large));
    assert!(lab.counted("rule_drop") >= 3, "{}", lab.reasons());
    assert!(lab.counted("rule_reject") >= 1, "{}", lab.reasons());
    daemon.stop();
    let events = lab.events();
    let expected = [(1, "allowed"), (2, "blocked"), (3, "blocked"), (5, "blocked"), (5, "blocked")];
    assert_eq!(alerts(&events), expected, "{events:?}");
}

#[test]
fn rules_are_read_again_under_traffic_and_a_wrong_one_changes_nothing() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("[rules]\nfiles = [\"box.rules\"]\n", "");
    lab.write("box.rules", "drop http any any -> any any (http.uri; content:\"/one\"; sid:1;)\n");
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    lab.write("www/one", "1");
    lab.write("www/two", "2");
    let paced = lab
        .background(Host::Client, &["ping", "-n", "-q", "-c", "300", "-i", "0.01", "-W", "1", "10.77.0.2"]);
    assert_eq!((fetch(&lab, "one").0, fetch(&lab, "two").0), (Some(28), Some(0)), "{}", lab.log());
    lab.write("box.rules", "drop http any any -> any any (http.uri; content:\"/two\"; sid:1; rev:2;)\n");
    daemon.signal("-HUP");
    eventually("the new rules are in force", || fetch(&lab, "one").0 == Some(0));
    assert_eq!(fetch(&lab, "two").0, Some(28), "{}", lab.log());
    lab.write(
        "box.rules",
        "drop http any any -> any any (http.uri; content:\"/one\"; nope; sid:1; rev:3;)\n",
    );
    daemon.signal("-HUP");
    eventually("the wrong rules are told", || lab.log().contains("box.rules:1:"));
    assert_eq!((fetch(&lab, "one").0, fetch(&lab, "two").0), (Some(0), Some(28)), "{}", lab.log());
    let (_, text) = paced.finish();
    assert!(text.contains(" 300 received"), "{text}\n{}", lab.reasons());
}

/// Sends the first half of a word, the second once it is told to, and tells what comes back.
const HALVES: &str = "
import os, socket, sys, time
s = socket.create_connection(('10.77.0.2', 8080), 5)
s.sendall(b'nee')
print('half', flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
s.sendall(b'dle')
s.settimeout(3)
try: print(s.recv(64))
except OSError as error: print(type(error).__name__)
";

/// Answers once it has six bytes.
const SIX_BYTES: &str = "
import socket
l = socket.create_server(('10.77.0.2', 8080))
while True:
  c, _ = l.accept()
  got = b''
  while len(got) < 6:
    more = c.recv(64)
    if not more: break
    got += more
  else: c.sendall(b'all of it')
";

#[test]
fn what_lies_across_a_reload_is_found() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("[rules]\nfiles = [\"box.rules\"]\n", "");
    let rule = "drop tcp any any -> any any (content:\"needle\"; sid:5;)\n";
    lab.write("box.rules", rule);
    let daemon = lab.start();
    let _server = lab.serve_python(Host::Server, SIX_BYTES, 8_080);
    let go = lab.path("go");
    let client = lab.background(Host::Client, &["python3", "-c", HALVES, go.to_str().unwrap()]);
    eventually("the first half is there", || {
        let flows = lab.ctl(&["flows", "port=8080", "state=established"]);
        let half = |flow: &Value| flow["flow"]["pkts_toserver"].as_u64() >= Some(3);
        flows["flows"].as_array().is_some_and(|flows| flows.iter().any(half))
    });
    // The rule has another number now.
    lab.write("box.rules", format!("drop tcp any any -> any any (content:\"other\"; sid:1;)\n{rule}"));
    assert_eq!(lab.ctl(&["dpi", "rules", "reload"])["failed"], 0);
    lab.write("go", "");
    assert_eq!(client.finish().1, "half\nTimeoutError\n", "{}", lab.log());
    daemon.stop();
    assert_eq!(alerts(&lab.events()), [(5, "blocked")], "{}", lab.log());
}

#[test]
fn what_rules_cost_is_measured_and_a_threshold_holds_after_a_reload() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("[rules]\nfiles = [\"box.rules\"]\nthresholds = [\"threshold.config\"]\n", "");
    lab.write("box.rules", "drop http any any -> any any (http.uri; content:\"/secret\"; sid:1;)\n");
    lab.write("threshold.config", "# nothing so far\n");
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    lab.write("www/secret", "s");
    let profile = |words: &[&str]| lab.ctl(&[&["dpi", "rules", "profile"], words].concat());
    assert_eq!(profile(&["show"])["measured_ms"], Value::Null);
    assert_eq!(profile(&["start", "--seconds", "600"])["running"], true);
    assert_eq!(fetch(&lab, "secret").0, Some(28), "{}", lab.log());
    let measured = profile(&["stop"]);
    assert_eq!((&measured["running"], &measured["tried"]), (&false.into(), &1.into()), "{measured}");
    let cost = &measured["rules"][0];
    assert_eq!((&cost["sid"], &cost["matches"]), (&1.into(), &1.into()), "{measured}");
    assert!(cost["total_ns"].as_u64() > Some(0) && cost["checks"].as_u64() >= Some(1), "{measured}");
    assert_eq!(fetch(&lab, "secret").0, Some(28), "{}", lab.log());
    assert_eq!(profile(&["show"])["rules"], measured["rules"], "nothing is measured any more");

    // Suppressed, it is not told and drops all the same.
    lab.write("threshold.config", "suppress gen_id 1, sig_id 1, track by_src, ip 10.77.0.0/24\n");
    assert_eq!(lab.ctl(&["dpi", "rules", "reload"])["failed"], 0);
    assert_eq!(fetch(&lab, "secret").0, Some(28), "{}", lab.log());
    daemon.stop();
    assert_eq!(alerts(&lab.events()), [(1, "blocked"), (1, "blocked")], "{}", lab.log());
}
