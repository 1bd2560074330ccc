//! What do calls leave in the audit?

use crate::rig::{Daemon, Options, PASSWORD};
use controlplane::api::permits::{Audited, PERMITS, Permit};
use controlplane::services::audit;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn entries(daemon: &Daemon, query: &str) -> Vec<Value> {
    let answer = daemon.over_tcp("GET", &format!("/audit?{query}"), "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["entries"].as_array().unwrap().clone()
}

/// The same once `count` of them are there: nobody waits for what is told of a refusal.
fn entries_of(daemon: &Daemon, query: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let told = entries(daemon, query);
        if told.len() >= count || Instant::now() > deadline {
            return told;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes an account; its id.
fn make(daemon: &Daemon, name: &str) -> String {
    let account = json!({"username": name, "role": "analyst", "password": PASSWORD});
    let made = daemon.over_tcp("POST", "/admin/users", &account.to_string());
    made.json()["user_id"].as_str().unwrap().to_owned()
}

fn log_in(daemon: &Daemon, name: &str) -> Value {
    let body = json!({"username": name, "password": PASSWORD, "token_form": "reference"});
    daemon.as_anyone("POST", "/auth/login", &body.to_string()).json()
}

#[test]
fn every_call_that_changes_something_leaves_an_entry() {
    let daemon = Daemon::start(Options { records: true, ..Options::default() });
    let flow = daemon.over_tcp("GET", "/dpi/flows?limit=1", "").json()["flows"][0]["flow_id"].clone();
    let job =
        daemon.over_tcp("POST", "/dpi/classify", "a capture").json()["job_id"].as_str().unwrap().to_owned();
    let hook = json!({"url": "http://127.0.0.1:1/", "topics": ["policy"]}).to_string();
    let hook =
        daemon.over_tcp("POST", "/admin/webhooks", &hook).json()["webhook_id"].as_str().unwrap().to_owned();
    let backup = crate::kept::back_up(&daemon, &json!({}), &daemon.dir.path().join("backup.tar"));
    let backup = backup["backup_id"].as_str().unwrap().to_owned();
    // The one that is fetched is gone once another is made.
    let makes_another = |permit: &&Permit| permit.audited == Audited::As("backup.make");
    let (last, first): (Vec<&Permit>, Vec<&Permit>) = PERMITS.iter().partition(makes_another);
    for permit in first.into_iter().chain(last) {
        let (action, is_done) = match permit.audited {
            Audited::No => continue,
            Audited::As(action) => (action, true),
            Audited::Refusals(action) => (action, false),
        };
        let user = make(&daemon, &format!("ada{}", entries(&daemon, "limit=1000").len()));
        let name = daemon.over_tcp("GET", &format!("/admin/users/{user}"), "").json()["username"].clone();
        let tokens = log_in(&daemon, name.as_str().unwrap());
        let session = tokens["session_id"].as_str().unwrap();
        let path = permit
            .path
            .replace("{user_id}", &user)
            .replace("{session_id}", session)
            .replace("{flow_id}", &flow.to_string())
            .replace("{policy_id}", "p-made")
            .replace("{version}", "1")
            .replace("{job_id}", &job)
            .replace("{webhook_id}", &hook)
            .replace("{name}", "case-1")
            .replace("{subject}", &user)
            .replace("{sid}", "1")
            .replace("{identity_id}", "1")
            .replace("{backup_id}", &backup);
        if permit.path.contains("{subject}") {
            let user = format!("/admin/users/{user}");
            assert_eq!(daemon.over_tcp("PATCH", &user, r#"{"enabled": false}"#).status, 200);
        }
        if ["policy.abort", "policy.confirm"].contains(&action) {
            let set = r#"{"default_action": "allow", "policies": []}"#;
            assert_eq!(daemon.over_tcp("PUT", "/policy?confirm_s=600", set).status, 200);
        }
        let body = match permit.path {
            "/auth/login" => json!({"username": name, "password": PASSWORD}),
            "/auth/refresh" => json!({"refresh_token": "jrf_none.none"}),
            "/auth/password" => {
                json!({"current_password": PASSWORD, "new_password": "another of the same length"})
            }
            "/admin/users" => json!({"username": "bob", "role": "operator"}),
            "/admin/users/{user_id}" if permit.method == "PATCH" => json!({"role": "operator"}),
            "/admin/users/{user_id}/tokens" => json!({"purpose": "a test", "ttl_s": 60}),
            "/admin/block" => json!({"prefixes": ["192.0.2.0/24"]}),
            "/admin/bypass" => json!({"on": true}),
            "/admin/log-level" => json!({"level": "debug"}),
            "/admin/drain" => json!({"on": false}),
            "/policy" if permit.method == "POST" => json!({"policy_id": "p-made", "action": "drop"}),
            "/policy" | "/policy/what-if" | "/policy/shadow" => {
                json!({"default_action": "allow", "policies": [{"policy_id": "p-set", "action": "drop"}]})
            }
            "/policy/{policy_id}" if permit.method == "PUT" => json!({"action": "reject", "priority": 50}),
            "/admin/holds/{name}" if permit.method == "PUT" => json!({"reason": "a test"}),
            "/admin/webhooks" => json!({"url": "http://127.0.0.1:1/", "topics": ["policy"]}),
            "/policy/identities/oidc" => {
                json!({"addresses": ["10.0.0.2"], "token": crate::tokens::token("jarvis")})
            }
            "/policy/identities" => json!({"addresses": ["10.0.0.1"], "user_id": "ann"}),
            "/policy/order" => json!({"policy_ids": ["p-set"]}),
            _ => json!({}),
        };
        // What concerns the own account is asked for by its owner.
        let is_own = permit.path.starts_with("/auth/") && permit.path != "/auth/keys/rotate";
        let token = if is_own { tokens["access_token"].as_str().unwrap() } else { &daemon.token };
        let answer = daemon.with_token(token, permit.method, &path, &body.to_string());
        assert_eq!(answer.status < 300, is_done, "{permit:?}: {}", answer.text());
        let told = entries_of(&daemon, &format!("limit=1000&action={action}"), 1);
        let entry = told.last().unwrap_or_else(|| panic!("{permit:?} left nothing"));
        assert_eq!(entry["outcome"] == "done", is_done, "{permit:?}: {entry}");
        let id = answer.head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
        assert_eq!(entry["request_id"], id.trim(), "{permit:?}: {entry}");
        assert_eq!(entry["address"], "127.0.0.1", "{permit:?}: {entry}");
        assert!(entry["target"].is_string() && entry["time_ns"].is_u64(), "{permit:?}: {entry}");
        // Each came with a token, also where none is asked for.
        assert!(entry["actor"].is_object(), "{permit:?}: {entry}");
    }
    for text in entries(&daemon, "limit=1000").iter().map(Value::to_string) {
        for secret in [PASSWORD, "argon2", "jrt_", "jrf_", "\"priv\"", "another of the same", "one_time"] {
            assert!(!text.contains(secret), "the audit tells {secret}: {text}");
        }
    }
}

#[test]
fn an_entry_tells_who_what_before_and_after() {
    let daemon = Daemon::start(Options::default());
    let user = make(&daemon, "ada");
    let change = json!({"role": "operator", "reset_password": true}).to_string();
    assert_eq!(daemon.over_unix("PATCH", &format!("/admin/users/{user}"), &change).status, 200);
    let told = entries(&daemon, "action=account.change&actor=local");
    let [entry] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&entry["address"], &entry["target"]), (&json!("unix"), &json!(user)));
    assert_eq!((&entry["before"]["role"], &entry["after"]["role"]), (&json!("analyst"), &json!("operator")));
    assert_eq!(entry["after"]["has_new_password"], true);
    let made = &entries(&daemon, "action=account.make")[0];
    assert_eq!((&made["actor"]["username"], &made["actor"]["role"]), (&json!("root"), &json!("admin")));
    assert!(made["actor"]["session_id"].is_string());
}

#[test]
fn refusals_are_told_and_guessing_is_told_as_one() {
    let daemon = Daemon::start(Options::default());
    make(&daemon, "ada");
    let guess = |name: &str| {
        let body = json!({"username": name, "password": "not the password"}).to_string();
        daemon.as_anyone("POST", "/auth/login", &body).status
    };
    for _ in 0..4 {
        assert_eq!(guess("ada"), 401);
        assert_eq!(guess("a password typed in the wrong line"), 401);
    }
    let told = entries_of(&daemon, "action=auth.login", 2);
    let [ada, nobody] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&ada["target"], &ada["outcome"]), (&json!("ada"), &json!("invalid_credentials")));
    assert_eq!(nobody["target"], "(no such account)");
    let token = log_in(&daemon, "ada")["access_token"].as_str().unwrap().to_owned();
    daemon.with_token(&token, "POST", "/admin/bypass", r#"{"on": true}"#).problem(403, "forbidden");
    let told = entries_of(&daemon, "action=wire.bypass", 1);
    assert_eq!((&told[0]["outcome"], &told[0]["actor"]["username"]), (&json!("forbidden"), &json!("ada")));
}

#[test]
fn a_stolen_refresh_token_is_told() {
    let daemon = Daemon::start(Options::default());
    make(&daemon, "ada");
    let tokens = log_in(&daemon, "ada");
    let body = json!({"refresh_token": tokens["refresh_token"]}).to_string();
    assert_eq!(daemon.as_anyone("POST", "/auth/refresh", &body).status, 200);
    daemon.as_anyone("POST", "/auth/refresh", &body).problem(401, "refresh_reused");
    let told = entries_of(&daemon, "action=auth.refresh", 1);
    assert_eq!((&told[0]["outcome"], &told[0]["target"]), (&json!("refresh_reused"), &tokens["session_id"]));
}

#[test]
fn pages_go_on_and_nonsense_is_refused() {
    let daemon = Daemon::start(Options::default());
    for number in 0..5 {
        make(&daemon, &format!("ada{number}"));
    }
    let first = daemon.over_tcp("GET", "/audit?limit=3", "").json();
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(entries(&daemon, &format!("cursor={cursor}")).len(), 2);
    assert!(entries(&daemon, "from=4000000000").is_empty() && entries(&daemon, "to=1000").is_empty());
    for query in ["limit=0", "limit=x", "from=x", "user=ada", "cursor=-1"] {
        daemon.over_tcp("GET", &format!("/audit?{query}"), "").problem(400, "invalid_parameter");
    }
}

#[test]
fn a_disk_that_fails_keeps_changes_from_being_made() {
    // Each entry begins a segment, and the second one cannot be begun: a directory is in the way.
    let audit = audit::Settings { segment_bytes_max: 1, ..audit::Settings::default() };
    let daemon = Daemon::start(Options { audit, ..Options::default() });
    make(&daemon, "ada");
    let blocked = daemon.services.audit().directory().join("00000002.new");
    std::fs::create_dir(&blocked).unwrap();
    let bypass = |on: bool| daemon.over_tcp("POST", "/admin/bypass", &json!({ "on": on }).to_string());
    bypass(true).problem(500, "unaudited");
    let is_on = || daemon.over_tcp("GET", "/telemetry/wire", "").json()["bypass"].clone();
    assert_eq!(is_on(), true);
    // From now on nothing is changed any more.
    bypass(false).problem(503, "store_failing");
    assert_eq!(is_on(), true);
    assert_eq!(daemon.as_anyone("GET", "/health", "").json()["status"], "degraded");
    std::fs::remove_dir(blocked).unwrap();
    assert_eq!(bypass(false).status, 200);
    assert_eq!(is_on(), false);
    let told = entries(&daemon, "action=wire.bypass");
    let outcomes: Vec<&str> = told.iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["attempted", "done"]);
}

#[test]
fn what_calls_left_is_verified() {
    let daemon = Daemon::start(Options::default());
    for number in 0..5 {
        make(&daemon, &format!("ada{number}"));
    }
    let keys = [daemon.services.auth().ring().signing().verifying().clone()];
    daemon.services.audit().stop();
    let verdict = audit::verify(daemon.services.audit().directory(), &keys).unwrap();
    assert_eq!((verdict.faults, verdict.checkpoints, verdict.signed_entries), (Vec::new(), 1, 5));
    // An audit that has ended takes no changes.
    let bob = json!({"username": "bob", "role": "operator"}).to_string();
    assert!(daemon.over_tcp("POST", "/admin/users", &bob).status >= 500);
}
