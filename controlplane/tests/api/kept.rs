//! What the box keeps: whose it is, how it is saved while it grows, and how it comes back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;

use crate::live::drop_of;
use crate::rig::{Daemon, Options, PASSWORD};
use controlplane::client::Client;
use controlplane::services::audit;
use controlplane::services::auth::key::VerifyingKey;
use controlplane::store::backup;
use controlplane::store::sealed::{BoxKey, open_with_passphrase};
use controlplane::store::segments::{Kind, verify};
use serde_json::{Value, json};

const PASSPHRASE: &str = "staple battery horse";

fn make(daemon: &Daemon, name: &str) -> String {
    make_as(daemon, name, "analyst")
}

fn make_as(daemon: &Daemon, name: &str, role: &str) -> String {
    let account = json!({"username": name, "role": role, "password": PASSWORD});
    let made = daemon.over_tcp("POST", "/admin/users", &account.to_string());
    made.json()["user_id"].as_str().unwrap().to_owned()
}

fn log_in(daemon: &Daemon, name: &str) -> String {
    let body = json!({"username": name, "password": PASSWORD, "token_form": "reference"});
    let answer = daemon.as_anyone("POST", "/auth/login", &body.to_string());
    assert_eq!(answer.status, 200);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn entries(daemon: &Daemon, query: &str) -> Vec<Value> {
    daemon.over_tcp("GET", &format!("/audit?limit=1000&{query}"), "").json()["entries"]
        .as_array()
        .unwrap()
        .clone()
}

/// Everything that the segments of the audit hold, in the open.
fn stored(daemon: &Daemon) -> String {
    let mut text = String::new();
    let report = verify(daemon.services.audit().directory(), Kind::Audit, &mut |block| {
        for found in &block.records {
            text.push_str(std::str::from_utf8(found.body).unwrap());
        }
    });
    assert!(report.unwrap().faults.is_empty());
    text
}

fn keys(daemon: &Daemon) -> Vec<VerifyingKey> {
    daemon.services.auth().ring().verifying()
}

#[test]
fn an_account_that_is_erased_is_nowhere_any_more() {
    let daemon = Daemon::start(Options::default());
    let id = make_as(&daemon, "evelyn.example", "operator");
    let token = log_in(&daemon, "evelyn.example");
    let set = r#"{"default_action": "drop", "policies": []}"#;
    assert_eq!(daemon.with_token(&token, "POST", "/policy/import", set).status, 200);
    let hook = r#"{"url": "https://192.0.2.9/", "topics": ["alerts"]}"#;
    let hook = daemon.with_token(&token, "POST", "/admin/webhooks", hook);
    assert_eq!(hook.status, 201, "{}", hook.text());
    let maker = |daemon: &Daemon| {
        let version = daemon.over_tcp("GET", "/policy/versions", "").json()["versions"][0]["by"].clone();
        let hook = daemon.over_tcp("GET", "/admin/webhooks", "").json()["webhooks"][0]["created_by"].clone();
        [version, hook]
    };
    assert_eq!(maker(&daemon), ["evelyn.example", "evelyn.example"]);
    let erase = format!("/admin/subjects/{id}/erase");
    daemon.over_tcp("POST", &erase, "").problem(409, "account_enabled");
    daemon.over_tcp("POST", "/admin/subjects/u-nobody/erase", "").problem(404, "not_found");
    assert!(
        entries(&daemon, "actor=evelyn.example")
            .iter()
            .any(|one| one["actor"]["username"] == "evelyn.example")
    );
    assert!(!stored(&daemon).contains("evelyn"), "sealed from the first byte on");
    let user = format!("/admin/users/{id}");
    assert_eq!(daemon.over_tcp("PATCH", &user, r#"{"enabled": false}"#).status, 200);
    let erased = daemon.over_tcp("POST", &erase, "");
    assert_eq!((erased.status, &erased.json()["subject"]), (200, &json!(id)), "{}", erased.text());
    daemon.over_tcp("GET", &user, "").problem(404, "not_found");
    assert!(entries(&daemon, "actor=evelyn.example").is_empty());
    assert_eq!(maker(&daemon), ["(erased)", "(erased)"]);
    let left = entries(&daemon, &format!("actor={id}"));
    assert!(!left.is_empty());
    for entry in &left {
        assert_eq!(
            (&entry["actor"]["username"], &entry["address"]),
            (&json!("(erased)"), &json!("(erased)")),
            "{entry}"
        );
    }
    let all = Value::from(entries(&daemon, "")).to_string();
    assert!(!all.contains("evelyn"), "{all}");
    for file in ["test.redb", "test.redb.new"] {
        let bytes = std::fs::read(daemon.dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(6).any(|window| window == b"evelyn"), "{file}: no freed page has the name");
    }
    let told = entries(&daemon, "action=subject.erase");
    let done = told.iter().find(|entry| entry["outcome"] == "done").unwrap();
    assert_eq!((&done["target"], &done["after"]["account_removed"]), (&json!(id), &json!(true)));
    assert_eq!(daemon.over_tcp("POST", &erase, "").json(), erased.json(), "once is for ever");
    let verdict = audit::verify(daemon.services.audit().directory(), &keys(&daemon)).unwrap();
    assert_eq!(verdict.faults, Vec::<String>::new());
}

/// Makes a backup over the Unix socket and puts it at `out`.
pub(crate) fn back_up(daemon: &Daemon, order: &Value, out: &Path) -> Value {
    let client = Client::new(&daemon.socket);
    let mut job = client.post("/admin/backup", order).unwrap();
    while job["ended_s"].is_null() {
        job = client.get(&format!("/jobs/{}?wait=20", job["job_id"].as_str().unwrap())).unwrap();
    }
    assert_eq!(job["state"], "succeeded", "{job}");
    let id = job["result"]["backup_id"].as_str().unwrap();
    let mut file = std::fs::File::create(out).unwrap();
    let len = client.download_to(&format!("/admin/backup/{id}/fetch"), &mut file).unwrap();
    assert_eq!(job["result"]["bytes"], len);
    job["result"].clone()
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Events that are on the disk.
fn entries_of_history(daemon: &Daemon) -> usize {
    daemon.over_tcp("GET", "/events/history?limit=10", "").json()["events"].as_array().unwrap().len()
}

#[test]
fn a_backup_of_a_box_that_goes_on_writing_starts_elsewhere() {
    let daemon = Arc::new(Daemon::start(Options { records: true, ..Options::default() }));
    let id = make(&daemon, "evelyn.example");
    log_in(&daemon, "evelyn.example");
    let elsewhere = tempfile::tempdir().unwrap();
    let out = elsewhere.path().join("backup.tar");
    let goes_on = AtomicBool::new(true);
    let result = std::thread::scope(|scope| {
        // Also where something fails: the scope waits for the other thread.
        let stops = Stops(&goes_on);
        scope.spawn(|| {
            for number in 1_u32.. {
                if !goes_on.load(Ordering::Relaxed) {
                    break;
                }
                daemon.happens(drop_of(1 + (number % 250) as u8, 53));
                if number % 400 == 0 {
                    log_in(&daemon, "evelyn.example");
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        let begun = std::time::Instant::now();
        while entries_of_history(&daemon) == 0 {
            assert!(begun.elapsed().as_secs() < 30, "no event came to the disk");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut result = Value::Null;
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(300));
            result = back_up(&daemon, &json!({ "passphrase": PASSPHRASE }), &out);
            let state = tempfile::tempdir().unwrap();
            let unpacked = backup::unpack(&out, state.path(), "test").unwrap();
            for kind in [Kind::Audit, Kind::Events] {
                let report = verify(&unpacked.segments().join(kind.name()), kind, &mut |_| {}).unwrap();
                assert!(report.faults.is_empty() && report.torn_bytes == 0, "{kind}: {report:?}");
                assert!(report.entries > 0, "{kind}");
            }
        }
        drop(stops);
        result
    });
    assert_eq!(result["box_key"], "passphrase");
    let keys = keys(&daemon);
    drop(daemon);

    let state = elsewhere.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let unpacked = backup::unpack(&out, &state, "test").unwrap();
    let key = keys.iter().find(|key| key.kid() == unpacked.signed.kid).unwrap();
    let signature = base64::engine::general_purpose::STANDARD.decode(&unpacked.signed.signature).unwrap();
    assert!(key.verify(&unpacked.message, &signature));
    let sealed = unpacked.box_key.clone().unwrap();
    assert!(open_with_passphrase("another passphrase", &sealed).is_err());
    let text = open_with_passphrase(PASSPHRASE, &sealed).unwrap();
    assert_eq!(BoxKey::of_text(&text).unwrap().id().to_string(), unpacked.manifest.box_key);
    let policy = unpacked.segments().parent().unwrap().join("files/policy.json");
    std::fs::copy(policy, state.join("policy.json")).unwrap();
    unpacked.place(&[("box.key".to_owned(), text.to_vec())]).unwrap();

    let daemon = Daemon::start_in(&state, Options { records: true, ..Options::default() });
    let user = daemon.over_tcp("GET", &format!("/admin/users/{id}"), "").json();
    assert_eq!(user["username"], "evelyn.example");
    assert!(!entries(&daemon, "actor=evelyn.example").is_empty(), "the box key opens the subjects' keys");
    let events = daemon.over_tcp("GET", "/events/history?limit=1000", "").json();
    assert!(events["events"].as_array().unwrap().len() > 100 && events["damaged"] == 0);
}

#[test]
fn only_the_last_backup_is_kept_and_only_for_admins() {
    let daemon = Daemon::start(Options::default());
    let dir = tempfile::tempdir().unwrap();
    let first = back_up(&daemon, &json!({}), &dir.path().join("1"));
    let second = back_up(&daemon, &json!({}), &dir.path().join("2"));
    assert_eq!(first["box_key"], "absent");
    let path = |backup: &Value| format!("/admin/backup/{}/fetch", backup["backup_id"].as_str().unwrap());
    daemon.over_tcp("POST", &path(&first), "").problem(404, "not_found");
    assert_eq!(daemon.over_tcp("POST", &path(&second), "").status, 200);
    daemon.as_anyone("POST", &path(&second), "").problem(401, "unauthenticated");
    assert_eq!(std::fs::read_dir(daemon.dir.path().join("test.backups")).unwrap().count(), 1);
    for (order, words) in [
        (json!({ "passphrase": "short" }), "15 characters"),
        (json!({ "recipient": "AAAA" }), "1,184 bytes"),
        (json!({ "passphrase": PASSPHRASE, "recipient": "AAAA" }), "not both"),
    ] {
        let problem =
            daemon.over_tcp("POST", "/admin/backup", &order.to_string()).problem(400, "invalid_body");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let other = BoxKey::generate().unwrap();
    let made = back_up(&daemon, &json!({ "recipient": other.public_base64() }), &dir.path().join("3"));
    assert_eq!(made["box_key"], "recipient");
    let unpacked = backup::unpack(&dir.path().join("3"), dir.path(), "test").unwrap();
    let sealed = unpacked.box_key.as_ref().unwrap();
    let text = other.open(controlplane::services::backup::FOR_RECIPIENT, sealed).unwrap();
    assert_eq!(BoxKey::of_text(&text).unwrap().id().to_string(), unpacked.manifest.box_key);
    let told = entries(&daemon, "action=backup.fetch");
    assert_eq!(told.iter().filter(|entry| entry["outcome"] == "done").count(), 4, "{told:?}");
}
