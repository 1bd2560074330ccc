//! What must not go, whatever retention says.

use serde_json::{Value, json};

use crate::rig::{Daemon, Options, PASSWORD};

fn holds(daemon: &Daemon) -> Vec<Value> {
    daemon.over_tcp("GET", "/admin/holds", "").json()["holds"].as_array().unwrap().clone()
}

#[test]
fn a_hold_is_made_changed_released_and_told() {
    let daemon = Daemon::start(Options::default());
    assert!(holds(&daemon).is_empty());
    let path = "/admin/holds/case-4711";
    daemon.over_tcp("GET", path, "").problem(404, "not_found");
    let order = r#"{"reason": "the case", "kinds": ["audit", "events"], "from_s": 100, "to_s": 200}"#;
    let made = daemon.over_tcp("PUT", path, order);
    assert!(made.status == 201 && made.head.contains("etag: \"1\""), "{}", made.text());
    let changed = daemon.over_tcp("PUT", path, r#"{"reason": "longer", "kinds": ["audit"], "from_s": 50}"#);
    assert!(changed.status == 200 && changed.head.contains("etag: \"2\""), "{}", changed.text());
    let found = &holds(&daemon)[0];
    assert_eq!(
        (&found["kinds"], &found["from_s"], &found["to_s"]),
        (&json!(["audit"]), &json!(50), &Value::Null)
    );
    assert_eq!((&found["reason"], &found["version"]), (&json!("longer"), &json!(2)));
    assert_eq!(found["held_bytes"], 0, "the only segment is still written");

    let daemon = daemon.restarted();
    assert_eq!(holds(&daemon)[0]["version"], 2, "after a restart");
    let told = daemon.over_tcp("GET", "/audit?action=hold.put", "").json();
    let entries = told["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[1]["before"]["reason"], &entries[1]["after"]["reason"]),
        (&json!("the case"), &json!("longer"))
    );
    assert_eq!(daemon.over_tcp("DELETE", path, "").status, 204);
    daemon.over_tcp("DELETE", path, "").problem(404, "not_found");
    assert!(holds(&daemon).is_empty());
}

#[test]
fn what_cannot_be_held_is_told_all_at_once() {
    let daemon = Daemon::start(Options::default());
    let wrong = r#"{"reason": " ", "kinds": ["nope", "audit", 7], "from_s": 9, "to_s": 9}"#;
    daemon.over_tcp("PUT", "/admin/holds/x", wrong).problem(400, "invalid_body");
    let wrong = r#"{"reason": "", "kinds": ["nope", "audit"], "from_s": 9, "to_s": 9}"#;
    let problem = daemon.over_tcp("PUT", "/admin/holds/x", wrong).problem(400, "invalid_body");
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    assert_eq!(pointers, ["/kinds/0", "/to_s", "/reason"]);
    let right = r#"{"reason": "r"}"#;
    daemon.over_tcp("PUT", "/admin/holds/a%20b", right).problem(400, "invalid_parameter");
    assert_eq!(daemon.over_tcp("PUT", "/admin/holds/x", right).status, 201);
    assert_eq!(holds(&daemon)[0]["kinds"], json!(["audit", "events", "flows"]), "all where nothing is said");
}

#[test]
fn who_is_held_is_not_erased_unless_that_is_meant() {
    let daemon = Daemon::start(Options::default());
    let account = json!({"username": "eve.example", "role": "analyst", "password": PASSWORD}).to_string();
    let id = daemon.over_tcp("POST", "/admin/users", &account).json()["user_id"].as_str().unwrap().to_owned();
    let user = format!("/admin/users/{id}");
    assert_eq!(daemon.over_tcp("PATCH", &user, r#"{"enabled": false}"#).status, 200);
    let hold = r#"{"reason": "r", "kinds": ["audit"]}"#;
    assert_eq!(daemon.over_tcp("PUT", "/admin/holds/x", hold).status, 201);
    let erase = format!("/admin/subjects/{id}/erase");
    let problem = daemon.over_tcp("POST", &erase, "").problem(409, "held");
    assert!(problem["detail"].as_str().unwrap().contains("(x)"), "{problem}");
    assert_eq!(daemon.over_tcp("GET", &user, "").status, 200, "nothing was done");
    daemon.over_tcp("POST", &format!("{erase}?despite_holds=maybe"), "").problem(400, "invalid_parameter");
    assert_eq!(daemon.over_tcp("POST", &format!("{erase}?despite_holds=true"), "").status, 200);
    let told = daemon.over_tcp("GET", "/audit?action=subject.erase", "").json();
    let done =
        told["entries"].as_array().unwrap().iter().find(|entry| entry["outcome"] == "done").unwrap().clone();
    assert_eq!(done["after"]["despite_holds"], json!(["x"]));
}
