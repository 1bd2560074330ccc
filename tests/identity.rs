//! Does it count who the user is: two users with two roles, one application, a logout in the middle of a download?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, eventually};
use serde_json::Value;

/// HTTP is for employees, whatever the port; of whom nobody knows who it is it is refused.
const POLICIES: &str = r#"
{"policy_id": "p-staff", "priority": 10, "conditions": {"application": "http", "user_role": "employee"}, "action": "allow"},
{"policy_id": "p-wild", "priority": 15, "conditions": {"application": "http", "user_id": "guest-*"}, "action": "allow"},
{"policy_id": "p-web", "priority": 20, "conditions": {"application": "http"}, "action": "reject"}"#;

const ANN: &str = "10.77.0.1";
const BOB: &str = "10.77.0.9";
/// Both wires give way to nobody: the client resets, or the appliance does it for the server.
const RESET: Option<i32> = Some(56);

/// curl's exit code for a file of the server, asked for from an address of the client.
fn fetch(lab: &Lab, from: &str, path: &str) -> Option<i32> {
    let url = format!("http://10.77.0.2:8080/{path}");
    let words = ["curl", "--silent", "--max-time", "4", "--interface", from, "--output", "/dev/null", &url];
    lab.client(&words).status.code()
}

fn assert_user(lab: &Lab, words: &[&str]) -> u64 {
    let told = lab.ctl(&[&["identity", "assert"], words].concat());
    assert!(told["in_force_us"].as_u64().unwrap() < 100_000, "{told}");
    told["identity_id"].as_u64().unwrap()
}

fn of_user<'a>(events: &'a [Value], event_type: &str, user_id: &str) -> Vec<&'a Value> {
    let is_it = |event: &&Value| event["event_type"] == event_type && event["jarvis"]["user_id"] == user_id;
    events.iter().filter(is_it).collect()
}

#[test]
fn the_role_decides_and_a_logout_cuts_a_running_download() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", POLICIES);
    let second = format!("{BOB}/24");
    let device = lab.client(&["sh", "-c", "ip -o -4 addr show scope global | awk '{print $2; exit}'"]);
    let device = String::from_utf8(device.stdout).unwrap();
    assert!(lab.client(&["ip", "addr", "add", &second, "dev", device.trim()]).status.success());
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    lab.write("www/large", vec![b'x'; 20 << 20]);

    assert_eq!((fetch(&lab, ANN, "word"), fetch(&lab, BOB, "word")), (RESET, RESET), "nobody is known");
    let ann = assert_user(&lab, &["ann", ANN, "--role", "employee"]);
    assert_user(&lab, &["bob", BOB, "--role", "contractor", "--username", "Bob B."]);
    assert_eq!((fetch(&lab, ANN, "word"), fetch(&lab, BOB, "word")), (Some(0), RESET), "{}", lab.log());

    // 20 MiB at 1 MiB a second.
    let url = "http://10.77.0.2:8080/large";
    let words = [
        "curl",
        "--silent",
        "--limit-rate",
        "1M",
        "--interface",
        ANN,
        "--write-out",
        "%{exitcode}",
        "--output",
        "/dev/null",
        url,
    ];
    let download = lab.background(Host::Client, &words);
    eventually("the download runs", || {
        let flows = lab.ctl(&["flows", "port=8080", "state=established"]);
        flows["flows"].as_array().is_some_and(|flows| {
            flows.iter().any(|flow| {
                flow["jarvis"]["user_id"] == "ann" && flow["flow"]["bytes_toclient"].as_u64() > Some(1 << 20)
            })
        })
    });
    let flows = lab.ctl(&["flows", "port=8080", "state=established"]);
    let of_ann = |flow: &&Value| flow["jarvis"]["user_id"] == "ann";
    let number = flows["flows"].as_array().unwrap().iter().find(of_ann).unwrap()["flow_id"].to_string();
    let why = lab.ctl(&["explain", &number]);
    let decision = &why["judgement"]["decision"];
    assert_eq!((&decision["policy_id"], &why["agrees"]), (&"p-staff".into(), &true.into()), "{why}");
    assert_eq!(
        (&why["identity"]["user_id"], &why["identity"]["source"]),
        (&"ann".into(), &"api".into()),
        "{why}"
    );
    let met = why["judgement"]["tried"][0]["conditions"].as_array().unwrap();
    let role = met.iter().find(|met| met["field"] == "user_role").unwrap();
    assert_eq!((&role["value"], &role["holds"]), (&"employee".into(), &true.into()), "{why}");
    assert_eq!(why["flow"]["jarvis"]["evidence"], "content", "{why}");

    lab.ctl(&["identity", "end", &ann.to_string()]);
    let (_, code) = download.finish();
    assert_eq!(code, "56", "reset, not left to starve\n{}", lab.log());
    assert_eq!(fetch(&lab, ANN, "word"), RESET);

    // A name that is new and that a wildcard means; it holds for a while.
    assert_user(&lab, &["guest-7", "10.77.0.0/24", "--expires-in", "2"]);
    assert_eq!(fetch(&lab, ANN, "word"), Some(0), "{}", lab.log());
    eventually("the assertion is over", || lab.ctl(&["identity", "list"])["total"] == 1);
    assert_eq!(fetch(&lab, ANN, "word"), RESET);

    daemon.stop();
    let events = lab.events();
    let flow = of_user(&events, "flow", "guest-7");
    assert!(flow.iter().any(|flow| flow["jarvis"]["policy_id"] == "p-wild"), "{flow:?}");
    let bob = of_user(&events, "drop", "bob");
    assert!(!bob.is_empty(), "{events:?}");
    for drop in bob {
        let notes = &drop["jarvis"];
        assert_eq!(
            (&notes["policy_id"], &notes["user_role"]),
            (&"p-web".into(), &"contractor".into()),
            "{drop}"
        );
        assert_eq!(notes["username"], "Bob B.");
    }
}

#[test]
fn what_no_user_has_is_refused() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("[inline.service]\nipv4 = \"10.77.0.50/24\"\n", POLICIES);
    let _daemon = lab.start();
    for (address, what) in [
        ("10.77.0.50", "an address of this box"),
        ("127.0.0.1", "a loopback address"),
        ("224.0.0.1", "a multicast address"),
        ("10.77.0.1/24", "is no address, network"),
    ] {
        let output = lab.jarvis(&["ctl", "--socket", "ctl.sock", "identity", "assert", "eve", address]);
        assert_eq!(output.status.code(), Some(1));
        assert!(lab::said(&output).contains(what), "{address}: {}", lab::said(&output));
    }
    assert_eq!(lab.ctl(&["identity", "list"])["total"], 0);
}

const SECRET: &str = "0123456789abcdef";

/// Sends accounting as an access server does; whether it was answered.
fn account(lab: &Lab, port: u16, secret: &str, attributes: &str) -> bool {
    lab.write("acct", attributes.replace("; ", "\n"));
    let file = lab.path("acct");
    let server = format!("127.0.0.1:{port}");
    let words = ["-f", file.to_str().unwrap(), "-r", "1", "-t", "1", &server, "acct", secret];
    lab::sh("radclient", &words).status.success()
}

#[test]
fn radius_accounting_tells_who_is_where() {
    if std::process::Command::new("radclient").arg("-v").output().is_err() {
        eprintln!("radclient is not on PATH (Debian: freeradius-utils): nothing is tested");
        return;
    }
    let Some(lab) = Lab::up(&[]) else { return };
    let port = lab::free_port();
    let radius = format!(
        "[identity.radius]\nlisten = \"127.0.0.1:{port}\"\n\
         [[identity.radius.client]]\nnetworks = [\"127.0.0.0/8\"]\nsecret_file = \"radius.secret\"\n"
    );
    lab.policy(&radius, POLICIES);
    lab.write("radius.secret", format!("{SECRET}\n"));
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    let ann =
        "User-Name = \"ann\"; Acct-Session-Id = \"17\"; NAS-Identifier = \"ap-1\"; Filter-Id = \"employee\"";
    let start = format!("{ann}; Acct-Status-Type = Start; Framed-IP-Address = {ANN}; Class = \"staff\"");
    assert!(
        !account(&lab, port, "another secret..", &start),
        "what is not signed with the secret is not answered"
    );
    assert_eq!(lab.ctl(&["identity", "list"])["total"], 0);
    assert_eq!(fetch(&lab, ANN, "word"), RESET);

    assert!(account(&lab, port, SECRET, &start), "{}", lab.log());
    let known = lab.ctl(&["identity", "list"]);
    let known = &known["identities"][0];
    assert_eq!((&known["user_id"], &known["user_role"]), (&"ann".into(), &"employee".into()), "{known}");
    assert_eq!((&known["source"], &known["addresses"][0]), (&"radius".into(), &ANN.into()), "{known}");
    assert_eq!(fetch(&lab, ANN, "word"), Some(0), "{}", lab.log());

    // The session goes on at another address, with a Message-Authenticator.
    let moved = format!(
        "{ann}; Acct-Status-Type = Interim-Update; Framed-IP-Address = 10.77.0.8; Message-Authenticator = 0x00"
    );
    assert!(account(&lab, port, SECRET, &moved), "{}", lab.log());
    assert_eq!(fetch(&lab, ANN, "word"), RESET);
    let back = format!("{ann}; Acct-Status-Type = Interim-Update; Framed-IP-Address = {ANN}");
    assert!(account(&lab, port, SECRET, &back));
    assert_eq!(fetch(&lab, ANN, "word"), Some(0));
    assert!(account(&lab, port, SECRET, &format!("{ann}; Acct-Status-Type = Stop")));
    assert_eq!(fetch(&lab, ANN, "word"), RESET);

    assert!(account(&lab, port, SECRET, &start));
    assert!(account(&lab, port, SECRET, "NAS-Identifier = \"ap-1\"; Acct-Status-Type = Accounting-On"));
    assert_eq!(lab.ctl(&["identity", "list"])["total"], 0);
    let refused = lab.ctl(&["audit", "action=identity.radius"]);
    assert_eq!(refused["entries"][0]["outcome"], "authenticator", "{refused}");
    assert!(lab.log().contains("RADIUS accounting was refused"), "{}", lab.log());
    daemon.stop();
}
