//! Does what the appliance tells agree with what crossed the wire, and does it do what it is told?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Background, Host, Lab, eventually, said, sh};
use serde_json::Value;

/// Packets and bytes from 10.77.0.1 and from 10.77.0.2 in a pcap of untagged Ethernet.
fn captured(pcap: &[u8]) -> [(u64, u64); 2] {
    let mut sums = [(0, 0); 2];
    let mut rest = &pcap[24..];
    while rest.len() >= 16 {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (stored, len) = (word(8) as usize, word(12));
        let frame = &rest[16..16 + stored];
        let side = match &frame[26..30] {
            [10, 77, 0, 1] => 0,
            [10, 77, 0, 2] => 1,
            other => panic!("a source that is no host of the lab: {other:?}"),
        };
        sums[side].0 += 1;
        sums[side].1 += u64::from(len);
        rest = &rest[16 + stored..];
    }
    sums
}

/// Captures what `filter` matches at the client; ends by [`Background::interrupt`].
fn capture(lab: &Lab, filter: &[&str]) -> Background {
    let file = lab.path("capture.pcap");
    let words = ["-U", "-s", "64", "-i", "eth0", "-w", file.to_str().unwrap()];
    lab.tcpdump(Host::Client, &[&words[..], filter].concat())
}

fn flow_to(lab: &Lab, port: u16) -> Value {
    let events = lab.events();
    let found: Vec<&Value> =
        events.iter().filter(|event| event["event_type"] == "flow" && event["dest_port"] == port).collect();
    assert_eq!(found.len(), 1, "{events:?}");
    found[0].clone()
}

#[test]
fn a_flow_event_agrees_with_what_tcpdump_saw() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("[flow.timeout_s]\ntcp_time_wait = 1\ntcp_closed = 1\ntcp_last_ack = 1\ntcp_fin = 2\n");
    let _daemon = lab.start();
    let _http = lab.serve_http(80);
    lab.write("www/file", vec![b'x'; 300_000]);
    let capture = capture(&lab, &["tcp", "port", "80"]);
    let (code, body) = lab.curl("http://10.77.0.2/file");
    assert_eq!((code, body.len()), (Some(0), 300_000), "{}", lab.log());
    eventually("the flow ends and is written", || {
        lab.events().iter().any(|event| event["event_type"] == "flow" && event["dest_port"] == 80)
    });
    capture.interrupt();
    let event = flow_to(&lab, 80);
    let [to_server, to_client] = captured(&std::fs::read(lab.path("capture.pcap")).unwrap());
    let flow = &event["flow"];
    assert_eq!(flow["pkts_toserver"], to_server.0, "{event}");
    assert_eq!(flow["pkts_toclient"], to_client.0, "{event}");
    assert_eq!(flow["bytes_toserver"], to_server.1, "{event}");
    assert_eq!(flow["bytes_toclient"], to_client.1, "{event}");
    assert_eq!(flow["state"], "closed", "{event}");
    assert_eq!(flow["reason"], "timeout", "{event}");
    assert_eq!((&event["src_ip"], &event["dest_ip"]), (&"10.77.0.1".into(), &"10.77.0.2".into()));
    assert_eq!((&event["proto"], &event["in_iface"]), (&"TCP".into(), &lab.inside().into()));
    let tcp = &event["tcp"];
    for flag in ["syn", "fin", "psh", "ack"] {
        assert_eq!(tcp[flag], true, "{event}");
    }
    assert!(tcp["rst"].is_null(), "{event}");
    assert_eq!(event["jarvis"]["verdict"], "forward", "{event}");
}

#[test]
fn an_orderly_stop_writes_live_flows_and_a_drop_names_its_policy() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy(
        "",
        r#"{"policy_id": "no-telnet", "conditions": {"dst_port": "23"}, "action": "reject", "log": true}"#,
    );
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    assert_eq!(lab.curl("http://10.77.0.2:23/").0, Some(7));
    daemon.stop();
    let events = lab.events();
    let of = |kind: &str, proto: &str| {
        let mut all = events.iter().filter(|event| event["event_type"] == kind && event["proto"] == proto);
        all.next().unwrap_or_else(|| panic!("no {kind} of {proto} in {events:?}")).clone()
    };
    let ping = of("flow", "ICMP");
    assert_eq!((&ping["flow"]["pkts_toserver"], &ping["flow"]["pkts_toclient"]), (&3.into(), &3.into()));
    assert_eq!(ping["flow"]["reason"], "shutdown", "{ping}");
    let drop = of("drop", "TCP");
    assert_eq!(drop["dest_port"], 23, "{drop}");
    assert_eq!(drop["jarvis"]["policy_id"], "no-telnet", "{drop}");
    assert_eq!(drop["jarvis"]["reason"], "policy_reject", "{drop}");
    assert_eq!(events.last().unwrap()["event_type"], "stats");
}

#[test]
fn a_blocked_address_is_silenced_at_once_and_stays_so_without_the_daemon() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("[wire]\nfail_mode = \"open\"\n");
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    assert_eq!(lab.ctl(&["block", "add", "10.77.0.1", "fd77::1/128"])["added"], 2);
    assert_eq!(lab.pings(), 0);
    assert_eq!(lab.pings_of(Host::Client, "fd77::2"), 0);
    assert!(lab.outcome("blocked_v4") >= 3 && lab.outcome("blocked_v6") >= 1);
    daemon.kill();
    assert_eq!(lab.pings(), 0, "fail open is no way around the list");
    assert_eq!(lab.pings_of(Host::Client, "fd77::2"), 0);
    let _daemon = lab.start();
    assert_eq!(lab.pings(), 0, "the list outlives the daemon");
    let list = lab.ctl(&["block", "list"]);
    assert_eq!(list["prefixes"], serde_json::json!(["10.77.0.1/32", "fd77::1/128"]));
    assert_eq!(lab.ctl(&["block", "remove", "10.77.0.1", "fd77::1"])["removed"], 2);
    eventually("the address is heard again", || lab.pings() == 3);
    eventually("the address is heard again", || lab.pings_of(Host::Client, "fd77::2") == 3);
}

#[test]
fn bypass_lets_pass_what_policy_drops_until_it_ends() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", r#"{"policy_id": "p", "conditions": {"protocol": "icmp"}, "action": "drop"}"#);
    let daemon = lab.start();
    assert_eq!(lab.pings(), 0);
    lab.ctl(&["bypass", "on"]);
    assert_eq!(lab.pings(), 3, "{}", lab.ctl(&["telemetry", "wire"]));
    assert_eq!(lab.ctl(&["telemetry", "wire"])["bypass"], true);
    assert!(lab.outcome("bypassed") >= 6);
    lab.ctl(&["block", "add", "10.77.0.1"]);
    assert_eq!(lab.pings(), 0, "bypass is no way around the list");
    lab.ctl(&["block", "remove", "10.77.0.1"]);
    assert_eq!(lab.pings(), 3);
    lab.ctl(&["bypass", "off"]);
    assert_eq!(lab.pings(), 0);
    drop(daemon);
}

#[test]
fn the_api_over_tcp_asks_who_it_is() {
    let Some(lab) = Lab::up(&[]) else { return };
    let port = lab.config_with_api("[auth]\nalgorithm = \"ML-DSA-65\"\n");
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let call = |token: &str, words: &[&str], path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        let bearer = format!("Authorization: Bearer {token}");
        let as_whom: &[&str] = if token.is_empty() { &[] } else { &["--header", &bearer] };
        let output = sh(
            "curl",
            &[&["--silent", "--max-time", "10", "--write-out", "\n%{http_code}"], as_whom, words, &[&url]]
                .concat(),
        );
        let text = said(&output);
        let (body, code) = text.rsplit_once('\n').unwrap();
        (code.parse::<u16>().unwrap(), body.to_owned())
    };
    // Anyone: whether it is there.
    assert_eq!(call("", &[], "/health"), (200, r#"{"status":"ok"}"#.to_owned()));
    let status = r#"{"status":"ok","system":"running"}"#;
    assert_eq!(call("", &[], "/api/system/status"), (200, status.to_owned()));
    let (code, metrics) = call("", &[], "/metrics");
    assert_eq!(code, 200);
    assert!(metrics.trim_end().ends_with("# EOF") && metrics.contains("# TYPE jarvis_"), "{metrics}");
    assert_eq!(call("", &[], "/telemetry").0, 401);

    // The first admin, with the secret that the first start printed.
    let told = lab.told();
    let mut lines = told.lines().skip_while(|line| !line.starts_with("First start: the account is `admin`"));
    let secret = lines.nth(1).unwrap_or_else(|| panic!("{told}")).trim().to_owned();
    let login = |password: &str| {
        let body = serde_json::json!({"username": "admin", "password": password}).to_string();
        let (code, answer) = call("", &["--data", &body], "/auth/login");
        assert_eq!(code, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let token = login(&secret);
    assert_eq!(call(&token, &[], "/telemetry").0, 403, "the password first");
    let change = serde_json::json!({"current_password": secret, "new_password": "a long enough one"});
    assert_eq!(call(&token, &["--data", &change.to_string()], "/auth/password").0, 204);
    for path in ["", "/workers", "/ports", "/reasons", "/latency", "/wire"] {
        let (code, body) = call(&token, &[], &format!("/telemetry{path}"));
        assert_eq!(code, 200, "{path}: {body}");
        assert!(serde_json::from_str::<Value>(&body).unwrap().is_object());
    }
    let (code, flows) = call(&token, &[], "/dpi/flows?proto=icmp");
    assert!(code == 200 && flows.contains("10.77.0.2"), "{flows}");
    assert_eq!(call(&token, &["--data", r#"{"on": true}"#], "/admin/bypass").0, 200);
    assert_eq!(lab.ctl(&["telemetry", "wire"])["bypass"], true);
    assert_eq!(call(&token, &[], "/nothing").0, 404);
    let socket = std::fs::metadata(lab.path("ctl.sock")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&socket.permissions()) & 0o777, 0o600);

    // An analyst and a program, made by the operator at the socket; the program changes nothing.
    let made = lab.ctl(&["user", "add", "ada", "--role", "analyst"]);
    assert!(made["one_time_password"].is_string(), "{made}");
    lab.ctl(&["user", "add", "grafana", "--role", "service"]);
    let output = lab.jarvis(&["token", "grafana", "--purpose", "dashboards", "--config", "jarvis.toml"]);
    let program = said(&output).trim().to_owned();
    assert_eq!(call(&program, &[], "/telemetry").0, 200, "{program}");
    assert_eq!(call(&program, &["--data", r#"{"on": false}"#], "/admin/bypass").0, 403);

    // What is sent to whoever helps has no secret, though the log it is made of is full of them.
    lab.write(
        "box.log",
        format!("{}\n{}\nGET /\nAuthorization: Bearer {program}\ntoken {token}\n", lab.told(), lab.log()),
    );
    let words = [
        "support-bundle",
        "--config",
        "jarvis.toml",
        "--out",
        "b.tar.zst",
        "--with-policies",
        "--log",
        "box.log",
    ];
    let bundle = lab.ctl(&words);
    assert!(bundle["files"].as_u64().unwrap() > 20, "{bundle}");
    let archive = lab.path("b.tar.zst");
    let listed = sh("tar", &["--zstd", "-xOf", archive.to_str().unwrap()]);
    let inside = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success(), "{}", said(&listed));
    for part in [
        "uptime_s",
        "rx_fill_ring_empty_descs",
        "default-no-telnet",
        "the audit is what was written",
        "MemTotal",
    ] {
        assert!(inside.contains(part), "{part}: {bundle}");
    }
    assert!(lab.told().contains(secret.as_str()), "the first start tells it, so it was in the log");
    for secret in
        [secret.as_str(), "a long enough one", &token, &program, made["one_time_password"].as_str().unwrap()]
    {
        assert!(!inside.contains(secret), "{secret}");
    }
    let keys = std::fs::read_to_string(lab.path(&format!("state/{}.keys.json", lab.name()))).unwrap();
    let keys: Value = serde_json::from_str(&keys).unwrap();
    // The private half is sealed under the box key, and neither is in the bundle.
    assert_eq!(keys["keys"][0].get("priv"), None, "{keys}");
    assert!(!inside.contains(keys["sealed"].as_str().unwrap()));
    let box_key = std::fs::read_to_string(lab.path(&format!("state/{}.box.key", lab.name()))).unwrap();
    for line in box_key.lines().filter(|line| line.len() > 40) {
        assert!(!inside.contains(line), "a line of the box key");
    }

    // Sessions outlive a restart; one that was ended does not come back. Secrets are in no log and in no file.
    let sessions = lab.ctl(&["user", "sessions"]);
    let of_program =
        sessions["sessions"].as_array().unwrap().iter().find(|session| session["purpose"].is_string());
    lab.ctl(&["user", "end-session", of_program.unwrap()["session_id"].as_str().unwrap()]);
    let log = lab.log();
    drop(daemon);
    let _daemon = lab.start();
    assert_eq!(call(&token, &[], "/telemetry").0, 200, "{}", lab.log());
    assert_eq!(call(&program, &[], "/telemetry").0, 401);
    assert_eq!(lab.told(), "", "the first start is over");
    let store = std::fs::read(lab.path(&format!("state/{}.redb", lab.name()))).unwrap();
    for secret in [secret.as_str(), "a long enough one", &token, &program] {
        assert!(!store.windows(secret.len()).any(|window| window == secret.as_bytes()));
        assert!(!log.contains(secret));
    }
}

#[test]
fn a_flow_that_is_ended_by_hand_is_gone() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let _daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let flows = lab.ctl(&["flows", "proto=icmp"]);
    let flow_id = flows["flows"][0]["flow_id"].as_u64().unwrap_or_else(|| panic!("{flows}")).to_string();
    lab.ctl(&["end-flow", &flow_id]);
    let left = lab.ctl(&["flows", "proto=icmp"]);
    assert_eq!(left["flows"].as_array().map(Vec::len), Some(0), "{left}");
}

#[test]
fn a_file_that_logrotate_moved_is_left_on_sighup_and_no_line_is_lost() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let flow_id = lab.ctl(&["flows", "proto=icmp"])["flows"][0]["flow_id"].as_u64().unwrap().to_string();
    lab.ctl(&["end-flow", &flow_id]);
    let has_ping = |text: &str| text.contains("\"ICMP\"");
    let of = |file: &str| std::fs::read_to_string(lab.path(file)).unwrap_or_default();
    eventually("the flow is written", || has_ping(&of("eve.json")));
    std::fs::rename(lab.path("eve.json"), lab.path("eve.json.old")).unwrap();
    daemon.signal("-HUP");
    eventually("there is a new file", || lab.path("eve.json").exists());
    eventually("pings are answered", || lab.pings() == 3);
    daemon.stop();
    let (old, new) = (of("eve.json.old"), of("eve.json"));
    assert!(has_ping(&old) && has_ping(&new), "{old}\n{new}");
    assert!([old, new].iter().all(|text| text.ends_with('\n')));
}
