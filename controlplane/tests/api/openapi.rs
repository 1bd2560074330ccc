//! Is the document what the box does?

use std::collections::BTreeSet;

use crate::rig::{Daemon, Options};
use controlplane::api::permits::PERMITS;
use serde_json::{Value, json};

/// What answers with a page, with the document itself, or in another protocol.
const PAGES: &[&str] = &["/openapi.json", "/docs", "/docs/{*file}", "/ws", "/socket.io/"];

fn document(daemon: &Daemon) -> Value {
    let answer = daemon.as_anyone("GET", "/openapi.json", "");
    assert_eq!(answer.status, 200);
    answer.json()
}

#[test]
fn the_document_has_every_call_and_who_may_make_it() {
    let daemon = Daemon::start(Options::default());
    let document = document(&daemon);
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("test")));
    let mut described = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let call = format!("{} {path}", method.to_ascii_uppercase());
            assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{call}");
            assert!(operation["responses"]["4XX"].is_object(), "{call}");
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{call}");
            let anyone = operation["security"].as_array().unwrap().contains(&json!({}));
            let status =
                daemon.as_anyone(&method.to_ascii_uppercase(), &path.replace(['{', '}'], ""), "").status;
            assert_eq!(anyone, status != 401, "{call}: {status} without a token");
            described.insert(call);
        }
    }
    let permitted = PERMITS.iter().filter(|permit| !PAGES.contains(&permit.path));
    let permitted: BTreeSet<String> = permitted.map(|one| format!("{} {}", one.method, one.path)).collect();
    assert_eq!(described, permitted);
}

#[test]
fn references_lead_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| walk(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let daemon = Daemon::start(Options::default());
    let document = document(&daemon);
    let mut found = Vec::new();
    walk(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn answers_are_as_described() {
    let daemon = Daemon::start(Options::default());
    let document = document(&daemon);
    for path in [
        "/health",
        "/api/system/status",
        "/auth/me",
        "/auth/keys",
        "/auth/sessions",
        "/admin/roles",
        "/admin/users",
        "/admin/sessions",
        "/audit",
        "/telemetry",
        "/telemetry/workers",
        "/telemetry/ports",
        "/telemetry/reasons",
        "/telemetry/latency",
        "/telemetry/applications",
        "/telemetry/history",
        "/telemetry/talkers",
        "/telemetry/users",
        "/admin/config",
        "/admin/log-level",
        "/telemetry/wire",
        "/dpi/flows",
        "/dpi/protocols",
        "/dpi/applications",
        "/policy",
        "/policy/document",
        "/policy/shadow",
        "/policy/{policy_id}",
        "/policy/export",
        "/policy/versions",
        "/policy/versions/{version}",
        "/policy/versions/{version}/diff",
        "/admin/block",
    ] {
        let operation = &document["paths"][path]["get"];
        let schema = operation["responses"]["200"]["content"]["application/json"]["schema"].clone();
        let mut schema = schema.as_object().unwrap_or_else(|| panic!("{path}: {operation}")).clone();
        schema.insert("components".to_owned(), document["components"].clone());
        let validator = jsonschema::validator_for(&Value::Object(schema)).unwrap();
        let path = path.replace("{policy_id}", "p-web").replace("{version}", "1");
        let answer = daemon.over_tcp("GET", &path, "").json();
        let faults: Vec<String> = validator.iter_errors(&answer).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{path}: {faults:#?}");
    }
    let refusal = daemon.as_anyone("GET", "/telemetry", "").json();
    let mut schema = document["components"]["schemas"]["Problem"].as_object().unwrap().clone();
    schema.insert("components".to_owned(), document["components"].clone());
    assert!(jsonschema::validator_for(&Value::Object(schema)).unwrap().is_valid(&refusal), "{refusal}");
}

#[test]
fn all_faults_of_a_body_are_told_at_once_and_no_value_of_it() {
    let daemon = Daemon::start(Options::default());
    let body = r#"{"username": 7, "password": ["hunter2hunter2"], "rank": "high", "token_form": "paper"}"#;
    let answer = daemon.as_anyone("POST", "/auth/login", body);
    answer.problem(400, "invalid_body");
    let text = answer.text();
    let refusal = answer.json();
    let pointers: BTreeSet<&str> =
        refusal["errors"].as_array().unwrap().iter().filter_map(|fault| fault["pointer"].as_str()).collect();
    assert_eq!(pointers, BTreeSet::from(["/password", "/rank", "/token_form", "/username"]), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let answer = daemon.as_anyone("POST", "/auth/login", "{}");
    let refusal = answer.json();
    assert_eq!(refusal["errors"][0]["pointer"], "/username");
    assert_eq!(refusal["errors"][1]["detail"], "is missing");
    let answer = daemon.as_anyone("POST", "/auth/login", "{\n \"username\": }");
    assert_eq!(answer.json()["errors"][0]["line"], 2, "what is no JSON has a line");
}

#[test]
fn the_page_works_without_a_network() {
    let daemon = Daemon::start(Options::default());
    let page = daemon.as_anyone("GET", "/docs/index.html", "");
    assert_eq!(page.status, 200);
    let text = page.text();
    for file in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        assert!(text.contains(file), "{text}");
        assert_eq!(daemon.as_anyone("GET", &format!("/docs/{file}"), "").status, 200, "{file}");
    }
    for outside in ["src=\"http", "href=\"http"] {
        assert!(!text.contains(outside), "{text}");
    }
    let start = daemon.as_anyone("GET", "/docs/swagger-initializer.js", "").text();
    assert!(start.contains("/openapi.json"), "{start}");
    daemon.as_anyone("GET", "/docs/../etc/passwd", "").problem(404, "not_found");
    daemon.as_anyone("GET", "/docs/nothing.js", "").problem(404, "not_found");
}

#[test]
fn lists_come_in_pages() {
    let daemon = Daemon::start(Options::default());
    for name in ["zoe", "ben", "mia"] {
        let body = json!({ "username": name, "role": "analyst" }).to_string();
        assert_eq!(daemon.over_tcp("POST", "/admin/users", &body).status, 201);
    }
    let whole = daemon.over_tcp("GET", "/admin/users", "").json();
    assert!(whole["next_cursor"].is_null());
    let mut names = Vec::new();
    let mut path = "/admin/users?limit=2".to_owned();
    loop {
        let page = daemon.over_tcp("GET", &path, "").json();
        names.extend(page["users"].as_array().unwrap().iter().map(|user| user["username"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/admin/users?limit=2&cursor={cursor}");
    }
    let all: Vec<Value> =
        whole["users"].as_array().unwrap().iter().map(|user| user["username"].clone()).collect();
    assert_eq!(names, all);
    daemon.over_tcp("GET", "/admin/users?limit=0", "").problem(400, "invalid_parameter");
    let first = daemon.over_tcp("GET", "/admin/sessions?limit=1", "").json();
    assert_eq!(first["sessions"].as_array().unwrap().len(), 1);
}
