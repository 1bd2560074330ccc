//! Rules over the API: which are there, which are in force, who may change that, and what the audit has of it.

use crate::rig::{Daemon, Options};
use controlplane::services::rules::{InForce, RuleBook, RuleError, RuleKey};
use dataplane::rules::changes::Changes;
use dataplane::rules::load::Loader;
use dataplane::rules::memory::Names;
use dataplane::rules::{RuleSet, Variables};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub(crate) const RULES: &str = r#"alert tcp any any -> any any (msg:"First of them"; classtype:trojan-activity; reference:cve,2021-1; sid:1; rev:3;)
drop http any any -> any any (msg:"second"; http.uri; content:"/x"; sid:2;)
# alert dns any any -> any any (msg:"third"; sid:3;)
alert ip any any -> any any (msg:"vain"; sctp.chunk_data; content:"x"; sid:5;)
"#;

const WITH_A_WRONG_ONE: &str = r#"alert tcp any any -> any any (msg:"First of them"; classtype:trojan-activity; reference:cve,2021-1; sid:1; rev:3;)
drop http any any -> any any (msg:"second"; http.uri; content:"/x"; sid:2;)
# alert dns any any -> any any (msg:"third"; sid:3;)
alert ip any any -> any any (msg:"vain"; sctp.chunk_data; content:"x"; sid:5;)
alert tcp any any -> any any (msg:"wrong"; nonsense; sid:4;)
"#;

/// Rules of one file that is no file.
pub(crate) struct MemoryRules {
    text: &'static str,
    switched: Mutex<HashMap<RuleKey, bool>>,
    in_force: Mutex<Arc<InForce>>,
}

impl MemoryRules {
    pub(crate) fn new(text: &'static str) -> Self {
        let in_force = Mutex::new(read(text, &HashMap::new()));
        Self { text, switched: Mutex::default(), in_force }
    }
}

fn read(text: &str, switched: &HashMap<RuleKey, bool>) -> Arc<InForce> {
    let changes = Changes { forced: switched.clone(), ..Changes::default() };
    let mut loader = Loader::new(Variables::usual()).with(changes).listing();
    loader.add_thresholds("/rules/threshold.config", b"suppress gen_id 1, sig_id 99");
    loader.add("/rules/a.rules", text.as_bytes());
    let loaded = loader.finish();
    let set = RuleSet::new(loaded.signatures, &mut Names::default(), Default::default()).unwrap();
    Arc::new(InForce {
        listed: loaded.listed,
        files: loaded.files,
        references: loaded.references,
        set: Some(Arc::new(set)),
        switched: switched.clone(),
        ..InForce::default()
    })
}

impl RuleBook for MemoryRules {
    fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.lock().unwrap())
    }

    fn reload(&self) -> Result<Arc<InForce>, RuleError> {
        let read = read(self.text, &self.switched.lock().unwrap());
        let faults: Vec<String> =
            read.files.iter().flat_map(|file| &file.faults).map(ToString::to_string).collect();
        if !faults.is_empty() {
            return Err(RuleError::Wrong(faults));
        }
        *self.in_force.lock().unwrap() = Arc::clone(&read);
        Ok(read)
    }

    fn switch(&self, key: RuleKey, on: bool) -> Result<Arc<InForce>, RuleError> {
        let mut switched = self.switched.lock().unwrap();
        switched.insert(key, on);
        *self.in_force.lock().unwrap() = read(self.text, &switched);
        Ok(self.in_force())
    }

    fn clock(&self) -> dataplane::rules::profile::Clock {
        || 1_000
    }
}

fn sids(daemon: &Daemon, query: &str) -> Vec<u64> {
    let page = daemon.over_tcp("GET", &format!("/dpi/rules?{query}"), "").json();
    page["rules"].as_array().unwrap().iter().map(|rule| rule["sid"].as_u64().unwrap()).collect()
}

#[test]
fn rules_are_found_by_what_they_say_in_pages() {
    let daemon = Daemon::start(Options::default());
    for (query, found) in [
        ("", &[1, 2, 3, 5][..]),
        ("sid=2", &[2]),
        ("msg=first", &[1]),
        ("action=drop", &[2]),
        ("class=trojan-activity", &[1]),
        ("protocol=dns", &[3]),
        ("enabled=false", &[3]),
        ("enabled=true&source=a.rules", &[1, 2, 5]),
        ("source=b.rules", &[]),
    ] {
        assert_eq!(sids(&daemon, query), found, "{query}");
    }
    let page = daemon.over_tcp("GET", "/dpi/rules?limit=2", "").json();
    assert_eq!(page["next_cursor"], "1:2");
    assert_eq!(sids(&daemon, "limit=2&cursor=1:2"), [3, 5]);
    daemon.over_tcp("GET", "/dpi/rules?action=shout&x=1", "").problem(400, "invalid_parameter");
}

#[test]
fn a_rule_is_shown_with_its_text_and_place() {
    let daemon = Daemon::start(Options::default());
    let rule = daemon.over_tcp("GET", "/dpi/rules/1", "").json();
    assert_eq!(
        (&rule["file"], &rule["line"], &rule["rev"]),
        (&json!("/rules/a.rules"), &json!(1), &json!(3))
    );
    assert_eq!((&rule["hits"], &rule["last_hit_s"]), (&json!(0), &json!(null)));
    assert_eq!(rule["references"], json!(["http://cve.mitre.org/cgi-bin/cvename.cgi?name=2021-1"]));
    assert!(rule["text"].as_str().unwrap().starts_with("alert tcp any any"), "{rule}");
    assert_eq!(daemon.over_tcp("GET", "/dpi/rules/1:3", "").json()["enabled"], false);
    for path in ["/dpi/rules/9", "/dpi/rules/2:1", "/dpi/rules/x"] {
        daemon.over_tcp("GET", path, "").problem(404, "not_found");
    }
}

#[test]
fn a_rule_is_disabled_and_enabled_and_the_audit_tells() {
    let daemon = Daemon::start(Options::default());
    let off = daemon.over_tcp("POST", "/dpi/rules/1/disable", "").json();
    assert_eq!((&off["enabled"], &off["switched"]), (&json!(false), &json!(true)));
    assert_eq!(daemon.over_tcp("POST", "/dpi/rules/3/enable", "").json()["enabled"], true);
    assert_eq!(sids(&daemon, "enabled=true"), [2, 3, 5]);
    daemon.over_tcp("POST", "/dpi/rules/9/enable", "").problem(404, "not_found");
    daemon.as_anyone("POST", "/dpi/rules/2/disable", "").problem(401, "unauthenticated");
    let entries = daemon.over_tcp("GET", "/audit?action=rule.disable", "").json();
    let done = entries["entries"].as_array().unwrap().iter().find(|entry| entry["outcome"] == "done");
    let done = done.unwrap_or_else(|| panic!("{entries}"));
    assert_eq!(done["target"], "rule 1:1");
    assert_eq!((&done["before"]["enabled"], &done["after"]["enabled"]), (&json!(true), &json!(false)));
}

#[test]
fn the_summary_counts_and_a_reload_that_fails_says_why() {
    let daemon = Daemon::start(Options { rules: WITH_A_WRONG_ONE, ..Options::default() });
    let summary = daemon.over_tcp("GET", "/dpi/rules/summary", "").json();
    let counts = ["files", "loaded", "disabled", "failed"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [1, 3, 1, 1]);
    assert_eq!(summary["actions"], json!({"alert": 2, "drop": 1}));
    let failure = &summary["failures"][0];
    assert_eq!((&failure["sid"], &failure["line"]), (&json!(4), &json!(5)), "{summary}");
    assert_eq!(summary["cannot_match"], 1);
    assert_eq!(summary["in_vain"][0]["keyword"], "sctp.chunk_data");
    let warning = json!({"sid": 99, "file": "/rules/threshold.config", "line": 1, "reason": "no rule 1:99 is in force"});
    assert_eq!(summary["warnings"], json!([warning]));
    let refused = daemon.over_tcp("POST", "/dpi/rules/reload", "");
    refused.problem(422, "invalid_rules");
    let reloaded = Daemon::start(Options::default()).over_tcp("POST", "/dpi/rules/reload", "").json();
    assert_eq!((&reloaded["loaded"], &reloaded["failed"]), (&json!(3), &json!(0)));
}

#[test]
fn the_cost_of_rules_is_measured_when_it_is_asked_for() {
    let daemon = Daemon::start(Options::default());
    let none = daemon.over_tcp("GET", "/dpi/rules/profile", "").json();
    assert_eq!((&none["running"], &none["measured_ms"]), (&json!(false), &json!(null)), "{none}");
    let started = daemon.over_tcp("POST", "/dpi/rules/profile", r#"{"seconds": 5}"#).json();
    assert_eq!((&started["running"], &started["left_ms"]), (&json!(true), &json!(5_000)), "{started}");
    let shown = daemon.over_tcp("GET", "/dpi/rules/profile?sort=avg&limit=5", "").json();
    assert_eq!((&shown["running"], &shown["tried"], &shown["rules"]), (&json!(true), &json!(0), &json!([])));
    let stopped = daemon.over_tcp("DELETE", "/dpi/rules/profile", "").json();
    assert_eq!((&stopped["running"], &stopped["left_ms"]), (&json!(false), &json!(null)), "{stopped}");
    daemon.over_tcp("POST", "/dpi/rules/profile", r#"{"seconds": 3601}"#).problem(400, "invalid_body");
    daemon.over_tcp("POST", "/dpi/rules/profile", r#"{"for": 1}"#).problem(400, "invalid_body");
    daemon.over_tcp("GET", "/dpi/rules/profile?sort=price", "").problem(400, "invalid_parameter");
    daemon.over_tcp("GET", "/dpi/rules/profile?limit=0", "").problem(400, "invalid_parameter");
    daemon.as_anyone("POST", "/dpi/rules/profile", "{}").problem(401, "unauthenticated");
    let entries = daemon.over_tcp("GET", "/audit?action=rules.profile", "").json();
    let done = entries["entries"].as_array().unwrap().iter().find(|entry| entry["outcome"] == "done");
    let done = done.unwrap_or_else(|| panic!("{entries}"));
    assert_eq!((&done["target"], &done["after"]), (&json!("rules"), &json!({"running": true, "seconds": 5})));
}
