//! Findings of the analysis, by example, and against what a set does with random flows.

use super::against_reference::{Plain, plain, set_text};
use super::*;
use proptest::prelude::*;

/// `id kind by`, a finding each.
fn found(text: &str) -> Vec<String> {
    let file = file(text);
    let told = file.analyse().into_iter().map(|finding| {
        let by: Vec<&str> = finding.by.iter().map(|policy| policy.policy_id.as_str()).collect();
        format!("{} {} {}", finding.policy.policy_id, finding.kind.label(), by.join("+"))
            .trim_end()
            .to_owned()
    });
    told.collect()
}

#[test]
fn each_kind_is_found_and_names_its_cause() {
    let told = found(
        r#"[
{"policy_id": "a", "priority": 1, "action": "drop", "conditions": {"dst_ip": "10.0.0.0/8", "dst_port": "80-90"}},
{"policy_id": "b", "priority": 2, "action": "allow", "conditions": {"dst_ip": "10.1.0.0/16", "dst_port": 85, "user_id": "ann"}},
{"policy_id": "c", "priority": 3, "action": "drop", "conditions": {"dst_ip": ["10.1.0.0/16", "10.9.0.1"], "dst_port": [80, 82]}},
{"policy_id": "d", "priority": 4, "action": "allow", "conditions": {"dst_port": "80-90", "dst_ip": "10.0.0.0/8"}},
{"policy_id": "e", "priority": 5, "action": "drop", "conditions": {"application": ["Spotify", "net*"]}},
{"policy_id": "f", "priority": 6, "action": "reject", "conditions": {"application": ["spotify"], "zone": "inside"}},
{"policy_id": "g", "priority": 7, "action": "reject", "conditions": {"application": "netfl*", "min_confidence": 60}},
{"policy_id": "h", "priority": 8, "action": "allow", "conditions": {"user_role": "staff", "not": {"user_role": ["st*"]}}},
{"policy_id": "i", "priority": 9, "action": "drop", "conditions": {"src_ip": "192.0.2.1", "not": {"groups": "ops"}}},
{"policy_id": "j", "priority": 10, "action": "allow", "conditions": {"src_ip": "192.0.2.1", "not": {"groups": ["ops", "eng"]}}},
{"policy_id": "k", "priority": 11, "action": "allow", "conditions": {"src_ip": "192.0.2.1", "not": {"groups": "eng"}}}]"#,
    );
    assert_eq!(
        told,
        [
            "b shadowed a",
            "c redundant a",
            "d contradictory a",
            "f shadowed e",
            "g shadowed e",
            "h impossible",
            "j shadowed i"
        ],
        "k meets who is in ops and i does not"
    );
}

#[test]
fn several_policies_cover_one_together_or_one_behind_it_does() {
    let told = found(
        r#"[
{"policy_id": "low", "priority": 1, "action": "drop", "conditions": {"dst_port": "0-1023", "zone": "inside"}},
{"policy_id": "high", "priority": 2, "action": "drop", "conditions": {"dst_port": "1024-65535", "zone": ["inside", "outside"]}},
{"policy_id": "both", "priority": 3, "action": "allow", "conditions": {"dst_port": "1000-2000", "zone": "inside"}},
{"policy_id": "not-both", "priority": 4, "action": "allow", "conditions": {"dst_port": "1000-2000", "zone": "outside"}},
{"policy_id": "early", "priority": 5, "action": "reject", "conditions": {"src_ip": "10.1.0.0/16"}},
{"policy_id": "between", "priority": 6, "action": "allow", "conditions": {"src_ip": "10.2.0.0/16"}},
{"policy_id": "later", "priority": 7, "action": "reject", "conditions": {"src_ip": "10.0.0.0/8"}},
{"policy_id": "limit", "priority": 8, "action": {"rate_limit": {"bytes_per_s": 1000}}, "conditions": {"src_ip": "11.0.0.1"}},
{"policy_id": "limits", "priority": 9, "action": {"rate_limit": {"bytes_per_s": 1000}}, "conditions": {"src_ip": "11.0.0.0/8"}}]"#,
    );
    assert_eq!(
        told,
        ["both shadowed low+high", "early redundant later"],
        "each limit has buckets of its own"
    );
}

#[test]
fn whoever_is_of_one_priority_must_not_contradict() {
    let told = errors(
        r#"[
{"policy_id": "a", "priority": 5, "action": "drop", "conditions": {"application": ["x", "y"], "dst_port": 80}},
{"policy_id": "b", "priority": 5, "action": "drop", "conditions": {"application": ["y", "x"], "dst_port": 80}},
{"policy_id": "c", "priority": 6, "action": "allow", "conditions": {"application": ["y", "x"], "dst_port": 80}},
{"policy_id": "d", "priority": 5, "action": "allow", "conditions": {"application": ["y", "x"], "dst_port": 80}},
{"policy_id": "e", "priority": 5, "action": "allow", "conditions": {"application": ["y", "x"], "dst_port": 81}},
{"policy_id": "f", "priority": 5, "enabled": false, "action": "allow", "conditions": {"application": ["y", "x"], "dst_port": 80}}]"#,
    );
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("p.json:5:1: policies[3]: ambiguous: policy a (line 2) has the same priority 5"),
        "{told:?}"
    );
}

/// What a set makes of a flow, and which policy did.
fn judged(set: &PolicySet, plain: &Plain, names: &mut Names) -> (String, String) {
    let users = plain.users(names);
    let facts = plain.facts(names, &users);
    let outcome = match set.evaluate(&facts, &mut Scratch::new()) {
        // Rate limits are numbered by their policies, and never found to be alike.
        Evaluation::Decided { outcome: Outcome { action: OutcomeAction::RateLimit(_), .. }, .. } => {
            "limit".to_owned()
        }
        Evaluation::Decided {
            outcome: Outcome { action: OutcomeAction::Redirect(target), effects, .. },
            ..
        } => {
            format!("{:?} {effects:?}", set.target(target))
        }
        Evaluation::Decided { outcome, .. } => format!("{outcome:?}"),
        other => format!("{other:?}"),
    };
    (judge(set, &facts), outcome)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn what_is_found_holds_for_every_flow(
        text in set_text(12),
        flows in prop::collection::vec((plain(), plain()), 80),
    ) {
        let file = file(&text);
        let mut names = Names::new();
        let environment = Environment { zones: vec![("inside".to_owned(), 0), ("outside".to_owned(), 1)],
            ports: vec![("0".to_owned(), 0), ("1".to_owned(), 1)], ..Environment::default() };
        let flows: Vec<Plain> = flows.iter().map(|(plain, known)| plain.resolved(known)).collect();
        for plain in &flows {
            let users = plain.users(&mut names);
            plain.facts(&mut names, &users);
        }
        let set = PolicySet::compile(&file, 1, &environment, &mut names).unwrap();
        for finding in file.analyse() {
            let id = finding.policy.policy_id.clone();
            let mut without = file.clone();
            without.policies.retain(|policy| policy.policy_id != id);
            let without = PolicySet::compile(&without, 1, &environment, &mut names).unwrap();
            let is_needless = finding.message().starts_with("not needed");
            for plain in &flows {
                let (by, outcome) = judged(&set, plain, &mut names);
                prop_assert!(is_needless || by != id, "{}: {plain:?} in {text}", finding.message());
                prop_assert_eq!(&outcome, &judged(&without, plain, &mut names).1, "without {} {}", id, text);
            }
        }
    }
}
