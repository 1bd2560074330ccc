//! Do policies on countries hold of connections, is a new database in force after a reload, and is it told where a flow is?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;
#[path = "../dataplane/tests/support/mmdb.rs"]
#[expect(unreachable_pub, reason = "shared with tests of the data plane")]
mod mmdb;

use lab::{Host, Lab, eventually, said};
use serde_json::Value;

/// Addresses of the server abroad.
const DUTCH: &str = "192.0.2.1";
const GERMAN: &str = "198.51.100.1";
const NO_DUTCH: &str = r#"{"policy_id": "p-nl", "conditions": {"country": ["NL"]}, "action": "reject"}"#;
const RULES: &str = "[rules]\ngeoip_database = \"countries.mmdb\"\n";

fn write_countries(lab: &Lab, german: &str) {
    lab.write("countries.mmdb", mmdb::countries(&[("192.0.2.0/24", "NL"), ("198.51.100.0/24", german)]));
}

/// A lab whose server is in two countries and serves there.
fn up() -> Option<(Lab, lab::Background)> {
    let lab = Lab::up(&[])?;
    for (host, words) in [
        (Host::Server, ["ip", "addr", "add", DUTCH, "dev", "lo"].as_slice()),
        (Host::Server, &["ip", "addr", "add", GERMAN, "dev", "lo"]),
        (Host::Client, &["ip", "route", "add", "192.0.2.0/24", "via", "10.77.0.2"]),
        (Host::Client, &["ip", "route", "add", "198.51.100.0/24", "via", "10.77.0.2"]),
    ] {
        let output = lab.on(host, words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
    let http = lab.serve_http(8080);
    Some((lab, http))
}

/// How a download ends: 0 served, 7 refused.
fn fetch(lab: &Lab, address: &str) -> Option<i32> {
    lab.curl(&format!("http://{address}:8080/word")).0
}

/// What a policy's condition on the country met.
fn met(judgement: &Value) -> (Value, Value) {
    let tried = judgement["tried"].as_array().unwrap();
    let conditions = tried.iter().flat_map(|tried| tried["conditions"].as_array().unwrap());
    let country = conditions.clone().find(|met| met["field"] == "country").unwrap();
    (country["value"].clone(), country["holds"].clone())
}

#[test]
fn a_country_is_refused_another_is_served_and_a_new_database_is_in_force_after_a_reload() {
    let Some((lab, _http)) = up() else { return };
    lab.policy(RULES, NO_DUTCH);
    write_countries(&lab, "DE");
    let checked = lab.jarvis(&["check", "--config", "jarvis.toml"]);
    assert!(checked.status.success() && !said(&checked).contains("never matches"), "{}", said(&checked));
    let daemon = lab.start();
    assert_eq!((fetch(&lab, DUTCH), fetch(&lab, GERMAN)), (Some(7), Some(0)), "{}", lab.log());
    assert_eq!(fetch(&lab, "10.77.0.2"), Some(0), "a private address is in no country");

    let flows = lab.ctl(&["flows", "port=8080"]);
    let flows = flows["flows"].as_array().unwrap();
    for (address, value, holds) in
        [(DUTCH, "NL", true), (GERMAN, "DE", false), ("10.77.0.2", "absent", false)]
    {
        let flow = flows.iter().find(|flow| flow["dest_ip"] == address).unwrap();
        let why = lab.ctl(&["explain", &flow["flow_id"].to_string()]);
        assert_eq!(met(&why["judgement"]), (value.into(), holds.into()), "{why}");
        assert_eq!(why["agrees"], true, "{why}");
    }
    // A flow that somebody thinks of is where its addresses are.
    lab.write("context.json", format!(r#"{{"src_ip": "10.77.0.1", "dst_ip": "{DUTCH}"}}"#));
    let judged = lab.ctl(&["policy", "evaluate", "context.json"]);
    assert_eq!((&judged["decision"]["policy_id"], met(&judged).0), (&"p-nl".into(), "NL".into()), "{judged}");

    // A connection to the other country is open while the database changes its mind.
    lab.write("www/large", vec![b'x'; 20 << 20]);
    let url = format!("http://{GERMAN}:8080/large");
    let words = [
        "curl",
        "--silent",
        "--limit-rate",
        "1M",
        "--write-out",
        "%{exitcode}",
        "--output",
        "/dev/null",
        &url,
    ];
    let download = lab.background(Host::Client, &words);
    eventually("the download runs", || {
        let flows = lab.ctl(&["flows", "port=8080", "state=established"]);
        flows["flows"].as_array().is_some_and(|flows| {
            flows.iter().any(|flow| flow["flow"]["bytes_toclient"].as_u64() > Some(1 << 20))
        })
    });
    lab.write("countries.mmdb", "no database");
    let answer = lab.ctl(&["admin", "reload"]);
    assert!(answer.to_string().contains("geoip_database"), "{answer}");
    assert_eq!(
        (fetch(&lab, DUTCH), fetch(&lab, GERMAN)),
        (Some(7), Some(0)),
        "the one before stays in force"
    );
    write_countries(&lab, "NL");
    daemon.signal("-HUP");
    let (_, code) = download.finish();
    assert_eq!(code, "56", "reset, not left to starve\n{}", lab.log());
    assert_eq!(fetch(&lab, GERMAN), Some(7), "{}", lab.log());

    // Ended flows are judged by what their record tells.
    let ended = flows.iter().find(|flow| flow["dest_ip"] == DUTCH).unwrap()["flow_id"].to_string();
    lab.ctl(&["end-flow", &ended]);
    let mut past = Value::Null;
    eventually("its record is kept", || {
        let told = lab.jarvis(&["ctl", "--json", "--socket", "ctl.sock", "explain", &ended]);
        past = serde_json::from_slice(&told.stdout).unwrap_or_default();
        past["ended"] == true
    });
    assert_eq!(past["flow"]["jarvis"]["country"], "NL", "{past}");
    assert_eq!((met(&past["judgement"]).0, &past["agrees"]), ("NL".into(), &true.into()), "{past}");
    daemon.stop();
}

#[test]
fn check_refuses_what_is_no_database_of_countries_and_warns_where_none_is_named() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy(RULES, NO_DUTCH);
    lab.write("countries.mmdb", mmdb::countries(&[("192.0.2.0/24", "nowhere")]));
    let checked = lab.jarvis(&["check", "--config", "jarvis.toml"]);
    assert_eq!(checked.status.code(), Some(1));
    let told = said(&checked);
    assert!(told.contains("countries.mmdb") && told.contains("tells none"), "{told}");
    lab.policy("", NO_DUTCH);
    let checked = lab.jarvis(&["check", "--config", "jarvis.toml"]);
    assert!(checked.status.success());
    assert!(
        said(&checked).contains("policy p-nl: never matches: nothing tells countries"),
        "{}",
        said(&checked)
    );
}
