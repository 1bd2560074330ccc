//! Who gets in, and how far?

use std::io::Write;
use std::net::TcpStream;

use crate::rig::{Answer, Daemon, Options, PASSWORD};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use controlplane::api::permits::{Access, PERMITS, Permit};
use controlplane::services::auth::role::Role;
use serde_json::{Value, json};

/// Makes an account and logs it in; the answer of the login.
fn login_as(daemon: &Daemon, name: &str, role: Role) -> Value {
    let account = json!({"username": name, "role": role, "password": PASSWORD});
    let made = daemon.over_tcp("POST", "/admin/users", &account.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    log_in(daemon, name, PASSWORD).json()
}

fn log_in(daemon: &Daemon, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password});
    daemon.as_anyone("POST", "/auth/login", &body.to_string())
}

fn token(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap()
}

/// A path that the router knows for a permit's.
fn path_of(permit: &Permit) -> String {
    let names = [
        ("{session_id}", "s-none"),
        ("{user_id}", "u-none"),
        ("{policy_id}", "p-none"),
        ("{flow_id}", "1"),
        ("{*file}", "index.html"),
        ("{version}", "1"),
    ];
    names.iter().fold(permit.path.to_owned(), |path, (name, value)| path.replace(name, value))
}

#[test]
fn every_call_of_the_table_is_there_and_takes_what_it_says() {
    let daemon = Daemon::start(Options::default());
    let tokens: Vec<(Role, Value)> =
        Role::ALL.iter().map(|role| (*role, login_as(&daemon, role.name(), *role))).collect();
    for permit in PERMITS {
        let path = path_of(permit);
        let anonymous = daemon.as_anyone(permit.method, &path, "{}");
        assert!(![404, 405].contains(&anonymous.status) || path.contains("none"), "{permit:?}");
        let needs = match permit.access {
            Access::Anyone | Access::LocalOr(_) => {
                assert_ne!(anonymous.json_code().as_deref(), Some("unauthenticated"), "{permit:?}");
                continue;
            }
            Access::Needs(needs) | Access::Ticketed(needs) => needs,
        };
        let document = anonymous.problem(401, "unauthenticated");
        assert!(document["detail"].as_str().unwrap().contains(needs.name()), "{document}");
        assert!(anonymous.head.contains("www-authenticate: Bearer"), "{}", anonymous.head);
        // What ends the session of the token, or all there is, is tried by tests of its own.
        if ["/auth/logout", "/auth/keys/rotate"].contains(&permit.path) {
            continue;
        }
        for (role, tokens) in &tokens {
            let answer = daemon.with_token(token(tokens), permit.method, &path, "{}");
            let is_refused = answer.json_code().as_deref() == Some("forbidden");
            assert_eq!(is_refused, !role.may(needs), "{permit:?} as {role}: {}", answer.text());
            assert!(answer.status < 500, "{permit:?} as {role}: {}", answer.text());
        }
    }
}

#[test]
fn a_session_from_login_to_logout() {
    let daemon = Daemon::start(Options::default());
    let first = login_as(&daemon, "ada", Role::Analyst);
    assert_eq!(first["token_type"], "Bearer");
    assert_eq!(first["user"]["username"], "ada");
    let me = daemon.with_token(token(&first), "GET", "/auth/me", "").json();
    assert_eq!(me["session_id"], first["session_id"]);
    assert!(me["permissions"].as_array().unwrap().contains(&json!("telemetry:read")));
    let refresh = |tokens: &Value| {
        let body = json!({"refresh_token": tokens["refresh_token"]});
        daemon.as_anyone("POST", "/auth/refresh", &body.to_string())
    };
    let second = refresh(&first).json();
    assert_eq!(second["session_id"], first["session_id"]);
    let sessions = daemon.with_token(token(&second), "GET", "/auth/sessions", "").json();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(daemon.with_token(token(&second), "POST", "/auth/logout", "").status, 204);
    daemon.with_token(token(&second), "GET", "/auth/me", "").problem(401, "session_ended");
    daemon.with_token(token(&first), "GET", "/auth/me", "").problem(401, "session_ended");
    refresh(&second).problem(401, "session_ended");
}

#[test]
fn a_stolen_refresh_token_ends_the_session() {
    let daemon = Daemon::start(Options::default());
    let first = login_as(&daemon, "ada", Role::Analyst);
    let body = json!({"refresh_token": first["refresh_token"]}).to_string();
    let second = daemon.as_anyone("POST", "/auth/refresh", &body).json();
    daemon.as_anyone("POST", "/auth/refresh", &body).problem(401, "refresh_reused");
    daemon.with_token(token(&second), "GET", "/auth/me", "").problem(401, "session_ended");
}

#[test]
fn tokens_that_are_none_are_refused() {
    let daemon = Daemon::start(Options::default());
    let tokens = login_as(&daemon, "ada", Role::Analyst);
    let good = token(&tokens);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, claims) = message.split_once('.').unwrap();
    let mut claims_of: Value = serde_json::from_slice(&BASE64URL.decode(claims).unwrap()).unwrap();
    claims_of["role"] = json!("admin");
    let promoted = BASE64URL.encode(claims_of.to_string());
    let none = BASE64URL.encode(r#"{"alg":"none"}"#);
    for bad in [
        "x",
        "..",
        &good[1..],
        &good[..good.len() - 2],
        &format!("{none}.{promoted}."),
        &format!("{none}.{claims}.{signature}"),
        &format!("{}.{promoted}.{signature}", message.split_once('.').unwrap().0),
        &"A".repeat(20_000),
        "jrt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        daemon.with_token(bad, "GET", "/telemetry", "").problem(401, "invalid_token");
    }
    // Neither another scheme nor two tokens, nor one in the address.
    for headers in [
        "authorization: Basic YWRhOmFkYQ==\r\n".to_owned(),
        format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n"),
        "authorization: Bearer\r\n".to_owned(),
    ] {
        let stream = TcpStream::connect(daemon.tcp()).unwrap();
        crate::rig::call_with(stream, "GET", "/telemetry", &headers, "").problem(401, "unauthenticated");
    }
    daemon.as_anyone("GET", &format!("/telemetry?access_token={good}"), "").problem(401, "unauthenticated");
    assert_eq!(daemon.with_token(good, "GET", "/telemetry", "").status, 200);
}

#[test]
fn guessing_is_told_when_to_come_back() {
    let daemon = Daemon::start(Options::default());
    login_as(&daemon, "ada", Role::Analyst);
    for _ in 0..6 {
        log_in(&daemon, "ada", "not her password").problem(401, "invalid_credentials");
    }
    let answer = log_in(&daemon, "ada", PASSWORD);
    answer.problem(429, "too_many_attempts");
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    // An account that does not exist is told in the same words.
    let unknown = log_in(&daemon, "nobody", PASSWORD).problem(401, "invalid_credentials");
    assert_eq!(unknown["detail"], "The name or the password is wrong.");
}

#[test]
fn accounts_are_edited_by_version() {
    let daemon = Daemon::start(Options::default());
    let made = daemon.over_tcp("POST", "/admin/users", r#"{"username": "bob", "role": "operator"}"#);
    assert_eq!(made.status, 201);
    let account = made.json();
    let secret = account["one_time_password"].as_str().unwrap();
    let place = format!("/admin/users/{}", account["user_id"].as_str().unwrap());
    assert!(made.head.contains(&format!("location: {place}")), "{}", made.head);
    assert!(made.head.contains("etag: \"1\""), "{}", made.head);
    assert!(daemon.over_tcp("GET", &place, "").json().get("one_time_password").is_none(), "shown once");

    let bob = log_in(&daemon, "bob", secret).json();
    daemon.with_token(token(&bob), "GET", "/telemetry", "").problem(403, "password_must_change");
    let change = json!({"current_password": secret, "new_password": "a password of his own"}).to_string();
    assert_eq!(daemon.with_token(token(&bob), "POST", "/auth/password", &change).status, 204);
    assert_eq!(daemon.with_token(token(&bob), "GET", "/telemetry", "").status, 200);

    let patch = |tag: &str, body: &str| {
        let headers = format!("authorization: Bearer {}\r\nif-match: {tag}\r\n", daemon.token);
        crate::rig::call_with(TcpStream::connect(daemon.tcp()).unwrap(), "PATCH", &place, &headers, body)
    };
    patch("\"1\"", r#"{"role": "analyst"}"#).problem(412, "stale");
    patch("nonsense", r#"{"role": "analyst"}"#).problem(412, "stale");
    assert_eq!(patch("\"2\"", r#"{"role": "analyst"}"#).json()["role"], "analyst");
    daemon.with_token(token(&bob), "GET", "/telemetry", "").problem(401, "session_ended");
    let problem = patch("*", r#"{"role": "emperor"}"#).problem(400, "invalid_body");
    assert!(problem.to_string().contains("analyst"), "it says which roles there are: {problem}");
    patch("*", r#"{"rolle": "admin"}"#).problem(400, "invalid_body");
    daemon
        .over_tcp("POST", "/admin/users", r#"{"username": "BOB", "role": "analyst"}"#)
        .problem(409, "name_taken");
    assert_eq!(daemon.over_tcp("DELETE", &place, "").status, 204);
    daemon.over_tcp("DELETE", &place, "").problem(404, "not_found");
}

#[test]
fn the_unix_socket_is_the_operators() {
    let daemon = Daemon::start(Options::default());
    let me = daemon.over_unix("GET", "/auth/me", "").json();
    assert_eq!((&me["user"]["username"], &me["user"]["role"]), (&json!("local"), &json!("admin")));
    assert!(me.get("expires_s").is_none());
    assert_eq!(daemon.over_unix("POST", "/policy/reload", "").status, 200);
    daemon
        .over_unix("POST", "/auth/password", r#"{"current_password": "x", "new_password": "y"}"#)
        .problem(409, "unavailable_here");
}

#[test]
fn metrics_are_for_local_clients_that_no_web_page_sent() {
    let daemon = Daemon::start(Options::default());
    assert_eq!(daemon.as_anyone("GET", "/metrics", "").status, 200);
    let ask = |path: &str, host: &str| {
        let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        crate::rig::read_answer(stream)
    };
    ask("/metrics", "evil.example").problem(401, "unauthenticated");
    assert_eq!(ask("/metrics", "localhost:8000").status, 200);
    assert_eq!(ask("/health", "evil.example").status, 200);
}

#[test]
fn keys_rotate_under_the_tokens() {
    let daemon = Daemon::start(Options::default());
    let before = login_as(&daemon, "ada", Role::Analyst);
    let keys = daemon.as_anyone("GET", "/auth/keys", "").json();
    assert_eq!(keys["keys"][0]["kty"], "AKP");
    assert!(keys["keys"][0].get("priv").is_none());
    let rotated = daemon.over_tcp("POST", "/auth/keys/rotate", r#"{"algorithm": "ML-DSA-65"}"#).json();
    assert_eq!((&rotated["keys"][0]["alg"], &rotated["keys"][1]), (&json!("ML-DSA-65"), &keys["keys"][0]));
    let after = log_in(&daemon, "ada", PASSWORD).json();
    for tokens in [&before, &after] {
        assert_eq!(daemon.with_token(token(tokens), "GET", "/telemetry", "").status, 200);
    }
    daemon.over_tcp("POST", "/auth/keys/rotate", r#"{"algorithm": "none"}"#).problem(400, "invalid_body");
}

#[test]
fn secrets_are_in_no_answer() {
    let daemon = Daemon::start(Options::default());
    let tokens = login_as(&daemon, "ada", Role::Admin);
    for path in
        ["/admin/users", "/admin/sessions", "/auth/sessions", "/auth/me", "/auth/keys", "/admin/roles"]
    {
        let text = daemon.with_token(token(&tokens), "GET", path, "").text();
        for secret in ["argon2", "refresh", "\"priv\"", PASSWORD] {
            assert!(!text.contains(secret), "{path} tells {secret}: {text}");
        }
    }
}
