//! Who is where, over the API: said, renewed, listed, ended, refused.

use crate::rig::{Daemon, Options};
use serde_json::{Value, json};

const POLICIES: &str = r#"{"default_action": "allow", "policies": [
  {"policy_id": "a", "priority": 10, "conditions": {"user_role": "contractor", "groups": "g*"}, "action": "drop"}
]}"#;

fn daemon() -> Daemon {
    Daemon::start(Options { policy: POLICIES, workers: 2, ..Options::default() })
}

fn say(daemon: &Daemon, body: &Value) -> Value {
    let answer = daemon.over_tcp("POST", "/policy/identities", &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

#[test]
fn an_assertion_from_its_making_to_its_end() {
    let daemon = daemon();
    let ann = json!({
        "addresses": ["10.0.0.1", "2001:db8::/64", "02:00:00:00:00:01"], "user_id": "ann", "username": "Ann",
        "user_role": "employee", "groups": ["staff"], "attributes": {"department": "finance", "sites": ["a", "b"]},
    });
    let made = say(&daemon, &ann);
    let id = made["identity_id"].as_u64().unwrap();
    assert!(made["in_force_us"].as_u64() < Some(1_000_000), "{made}");
    assert_eq!(made["in_force"], ann["addresses"]);
    let path = format!("/policy/identities/{id}");
    let shown = daemon.over_tcp("GET", &path, "").json();
    assert_eq!((&shown["attributes"]["department"], &shown["source"]), (&json!(["finance"]), &json!("api")));
    assert_eq!(shown["expires_s"], Value::Null);
    assert_eq!(say(&daemon, &ann)["identity_id"], id, "said again");

    let bob = say(&daemon, &json!({"addresses": ["10.0.0.1"], "user_id": "bob", "expires_in_s": 100}));
    assert_eq!(bob["ended"], json!([id]));
    assert!(bob["expires_s"].as_u64() > bob["since_s"].as_u64(), "{bob}");
    daemon.over_tcp("GET", &path, "").problem(404, "not_found");
    for number in 2..=4 {
        say(&daemon, &json!({"addresses": [format!("10.0.0.{number}")], "user_id": "carl"}));
    }
    let page = daemon.over_tcp("GET", "/policy/identities?user_id=carl&limit=2", "").json();
    assert_eq!((&page["total"], page["identities"].as_array().unwrap().len()), (&json!(4), 2));
    let next = format!("/policy/identities?user_id=carl&cursor={}", page["next_cursor"].as_str().unwrap());
    let page = daemon.over_tcp("GET", &next, "").json();
    assert_eq!(
        (&page["identities"][0]["addresses"], &page["next_cursor"]),
        (&json!(["10.0.0.4"]), &Value::Null)
    );
    let about = daemon.over_tcp("GET", "/policy/identities?address=10.0.0.1", "").json();
    assert_eq!(about["identities"][0]["user_id"], "bob");

    let bobs = format!("/policy/identities/{}", bob["identity_id"]);
    assert_eq!(daemon.over_tcp("DELETE", &bobs, "").status, 200);
    daemon.over_tcp("DELETE", &bobs, "").problem(404, "not_found");
    let audit = daemon.over_tcp("GET", "/audit?action=identity.end", "").json();
    assert_eq!(audit["entries"][0]["before"]["user_id"], "bob", "{audit}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let daemon = daemon();
    let long = "x".repeat(200);
    let body = json!({
        "addresses": ["10.0.0.1/8", "10.0.0.2", "10.0.0.2"], "user_id": "a\nb", "groups": [long],
        "attributes": {"": "v"}, "expires_in_s": 0,
    });
    let problem =
        daemon.over_tcp("POST", "/policy/identities", &body.to_string()).problem(400, "invalid_body");
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        pointers,
        ["/addresses/0", "/addresses/2", "/user_id", "/groups/0", "/attributes", "/expires_in_s"],
        "{problem}"
    );
    for address in ["127.0.0.1", "0.0.0.0", "ff02::1", "01:00:5e:00:00:01", "00:00:00:00:00:00"] {
        let body = json!({"addresses": [address], "user_id": "eve"}).to_string();
        let problem = daemon.over_tcp("POST", "/policy/identities", &body).problem(400, "invalid_body");
        assert!(problem["detail"].as_str().unwrap().contains(address), "{problem}");
    }
    assert_eq!(daemon.over_tcp("GET", "/policy/identities", "").json()["total"], 0);
}

#[test]
fn policies_are_compiled_again_only_for_a_name_that_a_wildcard_means() {
    let daemon = daemon();
    let version = || daemon.over_tcp("GET", "/policy", "").json()["version"].as_u64().unwrap();
    let before = version();
    say(&daemon, &json!({"addresses": ["10.0.0.1"], "user_id": "ann", "groups": ["staff"]}));
    assert_eq!(version(), before);
    say(&daemon, &json!({"addresses": ["10.0.0.2"], "user_id": "bob", "groups": ["guests"]}));
    assert_eq!(version(), before + 1);
    say(&daemon, &json!({"addresses": ["10.0.0.3"], "user_id": "carl", "groups": ["guests"]}));
    assert_eq!(version(), before + 1, "the name is known by now");
    let context = json!({"user_role": "contractor", "groups": ["guests"]}).to_string();
    let judged = daemon.over_tcp("POST", "/policy/evaluate", &context).json();
    assert_eq!(judged["decision"]["policy_id"], "a", "{judged}");
}

#[test]
fn a_token_says_who_it_is_and_is_written_down_nowhere() {
    let daemon = daemon();
    let token = crate::tokens::token("jarvis");
    let show = |token: &str, addresses: &Value| {
        let body = json!({"token": token, "addresses": addresses}).to_string();
        daemon.over_tcp("POST", "/policy/identities/oidc", &body)
    };
    let answer = show(&token, &json!(["10.0.0.1"]));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    assert_eq!((&made["user_id"], &made["source"]), (&json!("ann"), &json!("oidc")));
    assert_eq!((&made["groups"], made["expires_s"].is_u64()), (&json!(["staff"]), true), "{made}");
    show(&crate::tokens::token("payroll"), &json!(["10.0.0.1"])).problem(422, "oidc_audience");
    show("e30.e30.", &json!(["10.0.0.1"])).problem(422, "oidc_malformed");
    show(&token, &json!([])).problem(400, "invalid_body");
    show(&token, &json!(["here"])).problem(400, "invalid_body");
    show(&token, &json!(["127.0.0.1"])).problem(400, "invalid_body");
    assert_eq!(daemon.over_tcp("GET", "/policy/identities", "").json()["total"], 1);
    let audit = daemon.over_tcp("GET", "/audit?action=identity.oidc", "");
    let outcomes: Vec<String> = audit.json()["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        outcomes.contains(&"oidc_audience".to_owned()) && outcomes.contains(&"done".to_owned()),
        "{outcomes:?}"
    );
    assert!(!audit.text().contains(token.split('.').nth(1).unwrap()), "{}", audit.text());
}
