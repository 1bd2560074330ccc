//! Do new policies come into force under load without harm to what they do not concern?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, UDP_ECHO, eventually, said};

const NOTHING: &str = "";
const NO_8080: &str = r#"{"policy_id": "p", "conditions": {"dst_port": ["8080"]}, "action": "reject"}"#;

/// Opens a connection to port 8080, says so, and tells how it ends.
const IDLE_CLIENT: &str = "
import socket
s = socket.create_connection(('10.77.0.2', 8080), 5)
print('open', flush=True)
s.settimeout(15)
try: print('closed' if s.recv(1) == b'' else 'data')
except ConnectionResetError: print('reset')
except TimeoutError: print('nothing')
";

/// Takes connections, keeps them, and tells how the first one ends.
const IDLE_SERVER: &str = "
import socket
s = socket.create_server(('10.77.0.2', 8080))
c, _ = s.accept()
c.settimeout(15)
try: print('closed' if c.recv(1) == b'' else 'data', flush=True)
except ConnectionResetError: print('reset', flush=True)
except TimeoutError: print('nothing', flush=True)
";

fn policy_version(lab: &Lab) -> u64 {
    lab.ctl(&["status"])["policy_version"].as_u64().unwrap()
}

#[test]
fn reloads_under_load_lose_no_flow_and_come_into_force() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", NOTHING);
    let daemon = lab.start();
    let _iperf3 = lab.serve_iperf3();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let load = lab.background(Host::Client, &["iperf3", "-J", "-c", "10.77.0.2", "-t", "3"]);
    let paced = lab
        .background(Host::Client, &["ping", "-n", "-q", "-c", "200", "-i", "0.01", "-W", "1", "10.77.0.2"]);
    for turn in 0..20 {
        let before = policy_version(&lab);
        lab.write_policy(if turn % 2 == 0 { NO_8080 } else { NOTHING });
        if turn % 4 == 0 {
            daemon.signal("-HUP");
        } else {
            lab.ctl(&["policy", "reload"]);
        }
        eventually("the next version is in force", || policy_version(&lab) > before);
        let (code, _) = lab.curl("http://10.77.0.2:8080/");
        // Nobody listens there: either way refused, by the host or by the appliance.
        assert_eq!(code, Some(7));
    }
    let (completed, report) = load.finish();
    assert!(completed, "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["end"]["sum_received"]["bytes"].as_u64().unwrap() > 1_000_000);
    let (_, text) = paced.finish();
    assert!(text.contains(" 200 received"), "{text}\n{}", lab.reasons());
    assert!(lab.counted("policy_reject") >= 10, "{}", lab.reasons());
    let lag = lab.ctl(&["telemetry", "workers"])["workers"][0]["policy_lag"].clone();
    assert_eq!(lag, 0);
}

#[test]
fn an_open_connection_that_a_new_policy_rejects_is_reset_at_both_ends() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", NOTHING);
    let _daemon = lab.start();
    let server = lab.serve_python(Host::Server, IDLE_SERVER, 8080);
    let client = lab.background(Host::Client, &["python3", "-c", IDLE_CLIENT]);
    eventually("the flow is open", || {
        let flows = lab.ctl(&["flows", "port=8080", "state=established"]);
        flows["flows"].as_array().is_some_and(|flows| !flows.is_empty())
    });
    lab.write_policy(NO_8080);
    lab.ctl(&["policy", "reload"]);
    assert_eq!(client.finish().1, "open\nreset\n", "{}", lab.reasons());
    assert_eq!(server.finish().1, "reset\n", "{}", lab.reasons());
}

#[test]
fn a_bad_policy_is_refused_whole_with_every_error_and_the_old_one_stays() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", NO_8080);
    let daemon = lab.start();
    let _http = lab.serve_http(8080);
    let refused = || lab.curl("http://10.77.0.2:8080/word").0 == Some(7);
    assert!(refused());
    lab.write_policy(
        "{\"policy_id\": \"a\", \"action\": \"alow\"},\n\
         {\"policy_id\": \"b\", \"conditions\": {\"dst_port\": \"99999\"}, \"action\": \"drop\"},\n\
         {\"policy_id\": \"c\", \"conditions\": {\"zone\": \"moon\"}, \"action\": \"drop\"}",
    );
    let before = policy_version(&lab);
    let output = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "reload"]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for place in ["policy.json:2:", "policy.json:3:"] {
        assert!(text.contains(place), "no {place} in:\n{text}");
    }
    daemon.signal("-HUP");
    eventually("the log says so", || lab.log().contains("the ones before stay in force"));
    assert!(lab.log().contains("policy.json:2:") && lab.log().contains("policy.json:3:"), "{}", lab.log());
    assert_eq!(policy_version(&lab), before);
    assert!(refused());
    assert_eq!(lab.pings(), 3);
    // Names are bound once the rest is right.
    lab.write_policy(r#"{"policy_id": "c", "conditions": {"zone": "moon"}, "action": "drop"}"#);
    let output = lab.jarvis(&["ctl", "--socket", "ctl.sock", "policy", "reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("policy.json:2:"), "{}", said(&output));
    assert!(refused());
}

/// Sends a datagram whenever a line comes in, and tells whether it was answered.
const UDP_TALKER: &str = "
import os, socket, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect(('fd77::2', 5353))
s.settimeout(1)
def ask():
    s.send(b'x')
    try: return s.recv(9) == b'x'
    except OSError: return False
print(ask(), flush=True)
deadline = time.time() + 15
while not os.path.exists('go') and time.time() < deadline: time.sleep(0.02)
print(ask(), flush=True)
";

#[test]
fn a_silent_flow_over_ipv6_does_not_outlive_the_policy_that_allowed_it() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", NOTHING);
    let _daemon = lab.start();
    let _echo = lab.serve_python(Host::Server, UDP_ECHO, 5353);
    let talker = lab.background(Host::Client, &["python3", "-c", UDP_TALKER]);
    eventually("the flow is there", || {
        let flows = lab.ctl(&["flows", "port=5353", "state=established"]);
        flows["flows"].as_array().is_some_and(|flows| !flows.is_empty())
    });
    lab.write_policy(r#"{"policy_id": "p", "conditions": {"dst_port": ["5353"]}, "action": "drop"}"#);
    lab.ctl(&["policy", "reload"]);
    eventually("the sweep has ended the flow", || {
        lab.ctl(&["status"])["flows"]["ended_policy"].as_u64().unwrap() > 0
    });
    lab.write("go", "");
    assert_eq!(talker.finish().1, "True\nFalse\n", "{}", lab.reasons());
}
