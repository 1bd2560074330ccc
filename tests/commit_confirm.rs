//! Does a change that nobody confirms go away by itself, under traffic, after kill -9 and at a start? And does nobody cut off
//! their own way to the API?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Host, Lab, eventually, said, sh};
use serde_json::Value;

const NO_8080: &str = r#"{"policy_id": "p", "conditions": {"dst_port": ["8080"]}, "action": "reject"}"#;

/// A lab whose server serves, and whose policies let everything pass.
fn up() -> Option<(Lab, lab::Background)> {
    let lab = Lab::up(&[])?;
    lab.policy("", "");
    lab.write("no-8080.json", NO_8080);
    let http = lab.serve_http(8080);
    Some((lab, http))
}

fn is_served(lab: &Lab) -> bool {
    let (code, body) = lab.curl("http://10.77.0.2:8080/word");
    assert!(matches!(code, Some(0 | 7)), "served or refused, not {code:?}\n{}", lab.log());
    body == b"served\n"
}

fn pending(lab: &Lab) -> Value {
    lab.ctl(&["get", "/policy/commit"])["pending"].clone()
}

fn now_s() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn what_nobody_confirms_returns_under_traffic_and_what_somebody_confirms_stays() {
    let Some((lab, _http)) = up() else { return };
    let _daemon = lab.start();
    assert!(is_served(&lab), "{}", lab.log());
    let paced = lab
        .background(Host::Client, &["ping", "-n", "-q", "-c", "400", "-i", "0.02", "-W", "1", "10.77.0.2"]);
    let armed = lab.ctl(&["policy", "add", "no-8080.json", "--confirm", "5"]);
    assert_eq!((&armed["commit"]["version"], &armed["commit"]["returns_to"]), (&2.into(), &1.into()));
    assert!(!is_served(&lab), "in force at once");
    assert_eq!(lab.ctl(&["status"])["commit"]["version"], 2);
    eventually("the old set returns", || is_served(&lab));
    let versions = lab.ctl(&["policy", "versions"]);
    assert_eq!(versions["versions"][0]["reason"], "nobody confirmed version 2 within 5 s", "{versions}");

    lab.ctl(&["policy", "add", "no-8080.json", "--confirm", "5"]);
    let confirmed = lab.ctl(&["policy", "confirm", "--version", "4"]);
    let returns_s = confirmed["confirmed"]["returns_s"].as_u64().unwrap();
    eventually("the time is over", || now_s() > returns_s + 1);
    assert!(!is_served(&lab), "it stays");
    assert_eq!(pending(&lab), Value::Null);
    let (_, text) = paced.finish();
    assert!(text.contains(" 400 received"), "{text}\n{}", lab.reasons());
}

#[test]
fn kill_9_keeps_no_unconfirmed_set_in_force() {
    let Some((lab, _http)) = up() else { return };
    let daemon = lab.start();
    assert!(is_served(&lab), "{}", lab.log());
    lab.ctl(&["policy", "add", "no-8080.json", "--confirm", "600"]);
    daemon.kill();
    // Its time is not over: it is in force, and waits for the rest.
    let daemon = lab.start();
    assert!(!is_served(&lab), "{}", lab.log());
    let left = pending(&lab);
    assert_eq!((&left["version"], &left["returns_to"]), (&2.into(), &1.into()), "{left}");
    assert!(left["remaining_s"].as_u64().unwrap() <= 600, "{left}");
    // A further change waits in its place; its time ends while nobody runs.
    let armed = lab.ctl(&["policy", "change", "p", r#"{"log": true}"#, "--confirm", "5"]);
    assert_eq!(armed["commit"]["returns_to"], 1, "{armed}");
    let returns_s = armed["commit"]["returns_s"].as_u64().unwrap();
    daemon.kill();
    eventually("the time is over", || now_s() > returns_s);
    let daemon = lab.start();
    assert!(is_served(&lab), "{}", lab.log());
    let set = lab.ctl(&["policy", "show"]);
    assert_eq!((&set["version"], &set["total"], set.get("commit")), (&4.into(), &0.into(), None), "{set}");
    assert!(lab.log().contains("nobody confirmed the newest policies"), "{}", lab.log());
    eventually("the audit tells of it", || {
        let audit = lab.ctl(&["audit", "action=policy.return"]);
        audit["entries"].as_array().is_some_and(|entries| entries.len() == 1)
    });
    daemon.stop();
}

/// A network behind the box, of this process alone.
struct Management {
    interface: String,
    /// Of the box, and of the server that routes to it.
    ends: [String; 2],
}

impl Management {
    /// A link from the server's host to this one, over which clients of the box reach its API.
    fn up(lab: &Lab) -> Self {
        let number = 1 + std::process::id() % 250;
        let management = Self {
            interface: format!("{}-m", lab.name),
            ends: [1, 2].map(|host| format!("10.81.{number}.{host}")),
        };
        let [here, there] = &management.ends;
        let server = lab.namespace(Host::Server);
        let with_length = |address: &str, length: u8| format!("{address}/{length}");
        let port = &management.interface;
        for words in [
            &["link", "add", port, "type", "veth", "peer", "name", "m0", "netns", &server][..],
            &["addr", "add", &with_length(here, 24), "dev", port],
            &["link", "set", port, "up"],
            &["-n", &server, "addr", "add", &with_length(there, 24), "dev", "m0"],
            &["-n", &server, "link", "set", "m0", "up"],
            // The client's own network belongs to every lab; this address is its alone.
            &["-n", &server, "route", "add", &format!("10.82.{number}.1"), "via", "10.77.0.1"],
            &["route", "add", &format!("10.82.{number}.1"), "via", there],
            &[
                "-n",
                &lab.namespace(Host::Client),
                "addr",
                "add",
                &format!("10.82.{number}.1/32"),
                "dev",
                "eth0",
            ],
            &[
                "-n",
                &lab.namespace(Host::Client),
                "route",
                "add",
                here,
                "via",
                "10.77.0.2",
                "src",
                &format!("10.82.{number}.1"),
            ],
        ] {
            let output = sh("ip", words);
            assert!(output.status.success(), "{words:?}: {output:?}");
        }
        let output = lab.on(Host::Server, &["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        assert!(output.status.success(), "{output:?}");
        management
    }
}

impl Drop for Management {
    fn drop(&mut self) {
        sh("ip", &["link", "del", &self.interface]);
    }
}

#[test]
fn who_reaches_the_api_through_the_box_is_not_cut_off_unless_forced() {
    let Some(lab) = Lab::up(&[]) else { return };
    let management = Management::up(&lab);
    let address = format!("{}:{}", management.ends[0], lab::free_port());
    lab.config_listening(&address, "[policy]\nfile = \"policy.json\"\n");
    lab.write_policy("");
    let _daemon = lab.start();
    let socket = lab.path("ctl.sock");
    let account = r#"{"username": "ops", "role": "operator", "password": "a long enough one"}"#;
    let words = ["--silent", "--fail", "--unix-socket", socket.to_str().unwrap(), "--data", account];
    let made = sh("curl", &[&words[..], &["http://localhost/admin/users"]].concat());
    assert!(made.status.success(), "{made:?}");
    let output = lab.jarvis(&["token", "ops", "--purpose", "test", "--reference", "--config", "jarvis.toml"]);
    let token = format!("Authorization: Bearer {}", said(&output).trim());
    let call = |words: &[&str], path: &str| {
        let url = format!("http://{address}{path}");
        let fixed =
            ["curl", "--silent", "--max-time", "5", "--header", &token, "--write-out", "\n%{http_code}"];
        said(&lab.client(&[&fixed[..], words, &[url.as_str()]].concat()))
    };
    let post = |path: &str, policy: &str| call(&["--data", policy], path);
    assert!(call(&[], "/policy").ends_with("\n200"), "{}\n{}", call(&[], "/policy"), lab.log());

    let closing = r#"{"policy_id": "closed", "conditions": {"src_ip": "10.82.0.0/16"}, "action": "drop"}"#;
    let refused = post("/policy", closing);
    assert!(refused.ends_with("\n409") && refused.contains("\"cuts_off\""), "{refused}\n{}", lab.log());
    assert!(refused.contains("policy `closed`") && refused.contains("crosses the box"), "{refused}");
    assert!(call(&[], "/policy").ends_with("\n200"), "the way is open");
    let harmless = r#"{"policy_id": "web", "conditions": {"dst_port": 80}, "action": "drop"}"#;
    assert!(post("/policy", harmless).ends_with("\n201"), "{}", lab.log());
    // The operator at the machine's own socket goes no way that a policy could close.
    lab.write("closing.json", closing);
    lab.ctl(&["policy", "add", "closing.json", "--confirm", "600"]);
    lab.ctl(&["policy", "abort"]);

    // Forced, the answer itself does not come through; who cannot confirm gets the old set back.
    let forced = call(&["--max-time", "2", "--data", closing], "/policy?force=true&confirm_s=10");
    assert!(!forced.ends_with("\n409"), "{forced}");
    assert_eq!(pending(&lab)["by"], "ops", "{forced}\n{}", lab.log());
    eventually("the way is open again", || call(&[], "/policy").ends_with("\n200"));
    assert_eq!(pending(&lab), Value::Null);
}
