//! Is a call with an `Idempotency-Key` made once, and what is told of jobs?

use std::net::TcpStream;

use crate::rig::{Answer, Daemon, Options, call_with};

fn post(daemon: &Daemon, key: &str, path: &str, body: &str) -> Answer {
    let headers = format!("{}idempotency-key: {key}\r\n", daemon.authorization());
    call_with(TcpStream::connect(daemon.tcp()).unwrap(), "POST", path, &headers, body)
}

#[test]
fn a_repeated_call_is_made_once() {
    let daemon = Daemon::start(Options::default());
    let body = r#"{"username": "ben", "role": "analyst"}"#;
    let first = post(&daemon, "k-1", "/admin/users", body);
    assert_eq!(first.status, 201, "{}", first.text());
    let again = post(&daemon, "\"k-1\"", "/admin/users", body);
    assert_eq!((again.status, again.json()), (201, first.json()), "the one-time password included");
    assert!(again.head.contains("idempotency-replayed: true"), "{}", again.head);
    assert!(again.head.contains("location: /admin/users/"), "{}", again.head);
    assert!(!first.head.contains("idempotency-replayed"), "{}", first.head);
    let users = daemon.over_tcp("GET", "/admin/users", "").json();
    let named = users["users"].as_array().unwrap().iter().filter(|user| user["username"] == "ben").count();
    assert_eq!(named, 1);
    post(&daemon, "k-1", "/admin/users", r#"{"username": "mia", "role": "analyst"}"#)
        .problem(422, "idempotency_mismatch");
    post(&daemon, "k-2", "/admin/users", body).problem(409, "name_taken");
    let told = post(&daemon, "k-2", "/admin/users", body);
    told.problem(409, "name_taken");
    assert!(told.head.contains("idempotency-replayed: true"), "what was refused for good is told again");
    post(&daemon, &"k".repeat(256), "/admin/users", body).problem(400, "invalid_parameter");
    // Each change was audited once.
    let audit = daemon.over_tcp("GET", "/audit?action=account.make", "").json();
    let done = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["outcome"] == "done").count();
    assert_eq!(done, 1, "{audit}");
}

#[test]
fn keys_belong_to_their_account_and_path() {
    let daemon = Daemon::start(Options::default());
    let body = r#"{"prefixes": ["192.0.2.0/24"]}"#;
    assert_eq!(post(&daemon, "k", "/admin/block", body).json()["added"], 1);
    assert_eq!(post(&daemon, "k", "/admin/block", body).json()["added"], 1, "told again");
    let over_unix = daemon.over_unix("POST", "/admin/block", body);
    assert_eq!(over_unix.json()["added"], 0, "without a key it is made");
    post(&daemon, "k", "/admin/bypass", r#"{"on": "yes"}"#).problem(400, "invalid_body");
    assert_eq!(daemon.over_tcp("GET", "/admin/block", "").json()["prefixes"][0], "192.0.2.0/24");
}

#[test]
fn two_at_once_under_one_key_are_one() {
    let daemon = Daemon::start(Options::default());
    let body = r#"{"username": "zoe", "role": "analyst"}"#;
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..8).map(|_| scope.spawn(|| post(&daemon, "same", "/admin/users", body))).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert!(!made.is_empty());
    assert!(made.iter().all(|answer| answer.json() == made[0].json()));
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "idempotency_in_progress");
    }
}

#[test]
fn a_box_without_a_place_for_captures_says_so() {
    let daemon = Daemon::start(Options { captures: false, ..Options::default() });
    daemon.over_tcp("POST", "/dpi/classify", "x").problem(409, "unavailable_here");
    daemon.over_tcp("POST", "/dpi/classify?wait=21", "x").problem(400, "invalid_parameter");
    assert_eq!(daemon.over_tcp("GET", "/jobs", "").text(), r#"{"jobs":[]}"#);
    daemon.over_tcp("GET", "/jobs/j-none", "").problem(404, "not_found");
    daemon.over_tcp("DELETE", "/jobs/j-none", "").problem(404, "not_found");
}
