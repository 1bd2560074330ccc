//! Is who is where known again after a crash, before anybody says it anew?
//!
//! Needs root and AF_XDP; without root the test says so and passes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use std::net::UdpSocket;
use std::time::Duration;

use lab::{Lab, eventually};

const POLICIES: &str = r#"
{"policy_id": "p-staff", "priority": 10, "conditions": {"application": "http", "user_role": "employee"}, "action": "allow"},
{"policy_id": "p-wild", "priority": 15, "conditions": {"application": "http", "user_id": "guest-*"}, "action": "allow"},
{"policy_id": "p-web", "priority": 20, "conditions": {"application": "http"}, "action": "reject"}"#;

const CLIENT: &str = "10.77.0.1";
const GUEST: &str = "10.77.0.9";
const SECRET: &str = "0123456789abcdef";
const RESET: Option<i32> = Some(56);

fn fetch(lab: &Lab, from: &str) -> Option<i32> {
    let words = [
        "curl",
        "--silent",
        "--max-time",
        "4",
        "--interface",
        from,
        "--output",
        "/dev/null",
        "http://10.77.0.2:8080/word",
    ];
    lab.client(&words).status.code()
}

/// Passes packets on to the daemon, and keeps them as somebody on the way does.
struct Tap {
    socket: UdpSocket,
    server: u16,
}

impl Tap {
    fn new(server: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { socket, server }
    }

    /// Has radclient send a packet; gives it once it was answered.
    fn account(&self, lab: &Lab, attributes: &str) -> Vec<u8> {
        lab.write("acct", attributes.replace("; ", "\n"));
        let file = lab.path("acct");
        let at = self.socket.local_addr().unwrap().to_string();
        let words = ["-f", file.to_str().unwrap(), "-r", "1", "-t", "5", &at, "acct", SECRET];
        std::thread::scope(|scope| {
            let radclient = scope.spawn(|| lab::sh("radclient", &words).status.success());
            let mut bytes = [0; 4_096];
            let (len, client) = self.socket.recv_from(&mut bytes).unwrap();
            let packet = bytes[..len].to_vec();
            let answer = self.send(&packet);
            self.socket.send_to(&answer, client).unwrap();
            assert!(radclient.join().unwrap(), "{}", lab.log());
            packet
        })
    }

    /// Sends a packet; gives the answer.
    fn send(&self, packet: &[u8]) -> Vec<u8> {
        self.socket.send_to(packet, ("127.0.0.1", self.server)).unwrap();
        let mut answer = [0; 4_096];
        let (len, _) = self.socket.recv_from(&mut answer).unwrap();
        answer[..len].to_vec()
    }
}

fn known(lab: &Lab) -> Vec<(u64, String)> {
    let told = lab.ctl(&["identity", "list"]);
    let all = told["identities"].as_array().unwrap().iter();
    all.map(|one| (one["identity_id"].as_u64().unwrap(), one["user_id"].as_str().unwrap().to_owned()))
        .collect()
}

fn counted(lab: &Lab, line: &str) -> bool {
    let socket = lab.path("ctl.sock");
    let told =
        lab::sh("curl", &["--silent", "--unix-socket", socket.to_str().unwrap(), "http://jarvis/metrics"]);
    String::from_utf8(told.stdout).unwrap().contains(&format!("{line}\n"))
}

#[test]
fn who_was_known_before_a_crash_is_known_after_it_and_who_was_gone_is_not() {
    if std::process::Command::new("radclient").arg("-v").output().is_err() {
        eprintln!("radclient is not on PATH (Debian: freeradius-utils): nothing is tested");
        return;
    }
    let Some(lab) = Lab::up(&[]) else { return };
    let device = lab.client(&["sh", "-c", "ip -o -4 addr show scope global | awk '{print $2; exit}'"]);
    let device = String::from_utf8(device.stdout).unwrap();
    assert!(
        lab.client(&["ip", "addr", "add", &format!("{GUEST}/24"), "dev", device.trim()]).status.success()
    );
    let port = lab::free_port();
    let radius = format!(
        "[identity.radius]\nlisten = \"127.0.0.1:{port}\"\n\
         [[identity.radius.client]]\nnetworks = [\"127.0.0.0/8\"]\nsecret_file = \"radius.secret\"\n"
    );
    lab.policy(&radius, POLICIES);
    lab.write("radius.secret", format!("{SECRET}\n"));
    let daemon = lab.start();
    let _http = lab.serve_http(8_080);
    let tap = Tap::new(port);

    let session = |user: &str, id: u32, status: &str, address: &str| {
        format!(
            "User-Name = \"{user}\"; Acct-Session-Id = \"{id}\"; NAS-Identifier = \"ap-1\"; Filter-Id = \"employee\"; \
             Acct-Status-Type = {status}; Framed-IP-Address = {address}"
        )
    };
    tap.account(&lab, &session("ann", 1, "Start", CLIENT));
    let bob = tap.account(&lab, &session("bob", 2, "Start", "10.77.0.8"));
    tap.account(&lab, &session("bob", 2, "Stop", "10.77.0.8"));
    lab.ctl(&["identity", "assert", "guest-7", GUEST]);
    lab.ctl(&["identity", "assert", "brief", "10.77.0.30", "--expires-in", "5"]);
    let gone = lab.ctl(&["identity", "assert", "gone", "10.77.0.31"])["identity_id"].to_string();
    lab.ctl(&["identity", "end", &gone]);
    let before = known(&lab);
    assert_eq!(before.iter().map(|(_, user)| user.as_str()).collect::<Vec<_>>(), ["ann", "guest-7", "brief"]);
    assert_eq!((fetch(&lab, CLIENT), fetch(&lab, GUEST)), (Some(0), Some(0)), "{}", lab.log());
    eventually("all is on the disk", || counted(&lab, "jarvis_identities_unsaved_changes 0"));
    daemon.kill();

    let daemon = lab.start();
    assert_eq!(fetch(&lab, CLIENT), Some(0), "{}", lab.log());
    // The wildcard of the policies means him without anybody saying his name.
    assert_eq!(fetch(&lab, GUEST), Some(0), "{}", lab.log());
    eventually("the time of the brief one is over", || known(&lab).len() < before.len());
    assert_eq!(known(&lab), before[..2], "{}", lab.log());
    assert!(!counted(&lab, "jarvis_identities_restored_total{outcome=\"restored\"} 0"));

    // Whoever recorded a login and sends it again is answered, and brings nobody back.
    assert_eq!(tap.send(&bob)[0], 5);
    assert!(counted(&lab, "jarvis_radius_packets_total{outcome=\"duplicate\"} 1"));
    assert_eq!(known(&lab), before[..2]);
    // The access server ends a session that began before.
    tap.account(&lab, &session("ann", 1, "Stop", CLIENT));
    assert_eq!(fetch(&lab, CLIENT), RESET, "{}", lab.log());
    let next = lab.ctl(&["identity", "assert", "cat", "10.77.0.32"])["identity_id"].as_u64().unwrap();
    assert!(next > gone.parse().unwrap(), "a number is never used again");

    // Stopped in order nothing is lost, however late it was said.
    lab.ctl(&["identity", "assert", "late", "10.77.0.33"]);
    daemon.stop();
    let daemon = lab.start();
    let users = known(&lab).into_iter().map(|(_, user)| user).collect::<Vec<_>>();
    assert_eq!(users, ["guest-7", "cat", "late"]);
    daemon.stop();

    // A file that is none: nobody is known, and the wire is served.
    lab.write(&format!("state/{}.identities.redb", lab.name()), "no database");
    let daemon = lab.start();
    assert!(lab.log().contains("who was where before the start cannot be read"), "{}", lab.log());
    assert_eq!(fetch(&lab, GUEST), RESET);
    lab.ctl(&["identity", "assert", "guest-8", GUEST]);
    assert_eq!(fetch(&lab, GUEST), Some(0));
    daemon.stop();
}
