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

/// The daemon with RADIUS accounting from this host, and the port that takes it.
fn start_with_radius(lab: &Lab) -> (u16, lab::Daemon) {
    let port = lab::free_port();
    let radius = format!(
        "[identity.radius]\nlisten = \"127.0.0.1:{port}\"\n\
         [[identity.radius.client]]\nnetworks = [\"127.0.0.0/8\"]\nsecret_file = \"radius.secret\"\n"
    );
    lab.policy(&radius, POLICIES);
    lab.write("radius.secret", format!("{SECRET}\n"));
    (port, lab.start())
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

    let now_ms = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let decided_ms = why["decided_ms"].as_u64().unwrap();
    assert!((now_ms() - 60_000..=now_ms()).contains(&decided_ms), "{why}");

    lab.ctl(&["identity", "end", &ann.to_string()]);
    let (_, code) = download.finish();
    assert_eq!(code, "56", "reset, not left to starve\n{}", lab.log());
    assert_eq!(fetch(&lab, ANN, "word"), RESET);

    // A name that is new and that a wildcard means; it holds for a while.
    assert_user(&lab, &["guest-7", "10.77.0.0/24", "--expires-in", "2"]);
    assert_eq!(fetch(&lab, ANN, "word"), Some(0), "{}", lab.log());
    eventually("the assertion is over", || lab.ctl(&["identity", "list"])["total"] == 1);
    assert_eq!(fetch(&lab, ANN, "word"), RESET);

    // The download is over; the set that decided it is not in force any more.
    lab.ctl(&["policy", "change", "p-staff", r#"{"action": "drop"}"#]);
    let mut past = Value::Null;
    eventually("the download's record is kept", || {
        let told = lab.jarvis(&["ctl", "--json", "--socket", "ctl.sock", "explain", &number]);
        past = serde_json::from_slice(&told.stdout).unwrap_or_default();
        past["ended"] == true
    });
    let decided = &past["judgement"]["decision"];
    assert_eq!(
        (&past["agrees"], &past["saved_version"]),
        (&false.into(), &1.into()),
        "reset by a logout: {past}"
    );
    assert_eq!((&decided["policy_id"], &decided["action"]), (&"p-staff".into(), &"allow".into()), "{past}");
    assert_eq!(past["flow"]["jarvis"]["user_id"], "ann", "{past}");

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
    let (port, daemon) = start_with_radius(&lab);
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

    let again = start.replace("\"17\"", "\"18\"");
    assert!(account(&lab, port, SECRET, &again));
    assert_eq!(lab.ctl(&["identity", "list"])["total"], 1);
    assert!(account(&lab, port, SECRET, "NAS-Identifier = \"ap-1\"; Acct-Status-Type = Accounting-On"));
    assert_eq!(lab.ctl(&["identity", "list"])["total"], 0);
    let refused = lab.ctl(&["audit", "action=identity.radius"]);
    assert_eq!(refused["entries"][0]["outcome"], "authenticator", "{refused}");
    assert!(lab.log().contains("RADIUS accounting was refused"), "{}", lab.log());
    daemon.stop();
}

/// An Accounting-Request to the bit, signed with the secret by openssl's MD5.
fn signed(attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let mut packet = vec![4, 9, 0, 0];
    packet.extend([0; 16]);
    for (kind, value) in attributes {
        packet.extend([*kind, value.len() as u8 + 2]);
        packet.extend_from_slice(value);
    }
    let len = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&len);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [&packet[..], SECRET.as_bytes()].concat()).unwrap();
    let told = lab::sh("openssl", &["dgst", "-md5", "-binary", file.path().to_str().unwrap()]);
    packet[4..20].copy_from_slice(&told.stdout);
    packet
}

#[test]
fn accounting_that_is_sent_once_more_brings_nobody_back() {
    let Some(lab) = Lab::up(&[]) else { return };
    let (port, daemon) = start_with_radius(&lab);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    // Each is answered, whatever becomes of it; gives how many are known then.
    let send = |packet: &[u8]| {
        socket.send_to(packet, ("127.0.0.1", port)).unwrap();
        let mut answer = [0; 64];
        let (len, _) = socket.recv_from(&mut answer).unwrap();
        assert_eq!((len, answer[0], answer[1]), (20, 5, 9));
        lab.ctl(&["identity", "list"])["total"].as_u64().unwrap()
    };
    let told = |status: u8, session: &[u8], time: Option<u32>, addr: u8| {
        let (status, time) = ([0, 0, 0, status], time.map(u32::to_be_bytes));
        let addr = [10, 77, 0, addr];
        let mut attributes: Vec<(u8, &[u8])> = vec![(40, &status), (44, session), (1, b"ann"), (8, &addr)];
        attributes.extend(time.as_ref().map(|time| (55, &time[..])));
        signed(&attributes)
    };
    let (start, stop) = (told(1, b"1", None, 1), told(2, b"1", None, 1));
    assert_eq!((send(&start), send(&start), send(&stop)), (1, 1, 0));
    assert_eq!((send(&start), send(&stop), send(&start)), (0, 0, 0), "recorded on its way, and sent again");
    // With times, also what was never heard here is too old.
    assert_eq!(send(&told(1, b"2", Some(100), 1)), 1);
    assert_eq!(send(&told(3, b"2", Some(200), 2)), 1);
    assert_eq!(send(&told(3, b"2", Some(150), 3)), 1);
    let known = lab.ctl(&["identity", "list"]);
    assert_eq!(known["identities"][0]["addresses"][0], "10.77.0.2", "{known}");
    assert_eq!(send(&told(2, b"2", Some(150), 2)), 1);
    assert_eq!(send(&told(2, b"2", Some(300), 2)), 0);
    assert_eq!(send(&told(3, b"2", Some(250), 2)), 0);
    assert_eq!(send(&told(1, b"2", Some(301), 2)), 1, "the id is used again");
    let metrics = metrics(&lab);
    for (outcome, count) in [("accepted", 7), ("duplicate", 3), ("stale", 3), ("refused", 0)] {
        let line = format!("jarvis_radius_packets_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    daemon.stop();
}

/// What the daemon tells Prometheus.
fn metrics(lab: &Lab) -> String {
    let socket = lab.path("ctl.sock");
    let told =
        lab::sh("curl", &["--silent", "--unix-socket", socket.to_str().unwrap(), "http://jarvis/metrics"]);
    String::from_utf8(told.stdout).unwrap()
}

/// dnsmasq on the server, which gives out addresses from 10.77.0.100 on.
fn serve_dhcp(lab: &Lab) -> lab::Background {
    let words = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--dhcp-authoritative"];
    let range = ["--dhcp-range=10.77.0.100,10.77.0.120,2m", "--dhcp-leasefile=/dev/null"];
    let place = ["--bind-interfaces", "--listen-address=10.77.0.2"];
    lab.background(Host::Server, &[&words[..], &range, &place].concat())
}

/// What dnsmasq leases to udhcpc on the client, across the appliance; the client's Ethernet address and the leased one.
fn lease(lab: &Lab) -> (String, String) {
    let text = |words: &[&str]| String::from_utf8(lab.client(words).stdout).unwrap().trim().to_owned();
    let device = text(&["sh", "-c", "ip -o -4 addr show scope global | awk '{print $2; exit}'"]);
    let mac = text(&["cat", &format!("/sys/class/net/{device}/address")]);
    lab.write("lease.sh", "#!/bin/sh\n[ \"$1\" != bound ] || echo \"bound $ip\"\n");
    let script = lab.path("lease.sh").display().to_string();
    assert!(lab::sh("chmod", &["+x", &script]).status.success());
    let told = text(&["udhcpc", "-i", &device, "-f", "-q", "-n", "-t", "10", "-T", "1", "-s", &script]);
    let bound = told.lines().find_map(|line| line.strip_prefix("bound "));
    (mac, bound.unwrap_or_else(|| panic!("no lease: {told}\n{}", lab.log())).to_owned())
}

#[test]
fn an_address_is_whose_the_ethernet_address_is_that_it_was_leased_to() {
    let Some(lab) = Lab::up(&[]) else { return };
    let dhcp = "[identity.dhcp]\nservers = [\"10.77.0.2\"]\nzone = \"outside\"\nuser_id = \"mac\"\n";
    lab.policy(dhcp, POLICIES);
    let _daemon = lab.start();
    let _dnsmasq = serve_dhcp(&lab);
    let (mac, addr) = lease(&lab);
    let at_addr = format!("address={addr}");
    let said = || lab.ctl(&["identity", "list", &at_addr]);
    eventually("the lease names the device", || said()["total"] == 1);
    let device = &said()["identities"][0];
    assert_eq!((&device["user_id"], &device["source"]), (&mac.as_str().into(), &"dhcp".into()), "{device}");
    assert_eq!(device["in_force"], serde_json::json!([addr]), "{device}");
    // Who logs in at the Ethernet address has what it was given.
    let ann = assert_user(&lab, &["ann", &mac, "--role", "employee"]);
    let of_ann = lab.ctl(&["identity", "list", "user_id=ann"]);
    assert_eq!(of_ann["identities"][0]["in_force"], serde_json::json!([mac, addr]), "{of_ann}");
    assert_eq!(said()["identities"][0]["in_force"], serde_json::json!([]), "{}", said());
    lab.ctl(&["identity", "end", &ann.to_string()]);
    assert_eq!(said()["identities"][0]["in_force"], serde_json::json!([addr]), "{}", said());
    let metrics = metrics(&lab);
    assert!(metrics.contains("jarvis_dhcp_leases_seen_total{outcome=\"taken\"} 1"), "{metrics}");
}

#[test]
fn a_dhcp_server_on_the_wrong_side_is_not_believed() {
    let Some(lab) = Lab::up(&[]) else { return };
    let dhcp = "[identity.dhcp]\nservers = [\"10.77.0.2\"]\nzone = \"inside\"\nuser_id = \"mac\"\n";
    lab.policy(dhcp, POLICIES);
    let _daemon = lab.start();
    let _dnsmasq = serve_dhcp(&lab);
    lease(&lab);
    let refused = "jarvis_dhcp_leases_seen_total{outcome=\"refused\"} 1";
    eventually("the lease is refused", || metrics(&lab).contains(refused));
    assert_eq!(lab.ctl(&["identity", "list"])["total"], 0);
}
