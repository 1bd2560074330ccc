//! What may be written, and what is said about what may not.

use super::*;
use crate::parse::Mac;

#[test]
fn the_example_of_the_manual_is_read() {
    let set = file(
        r#"[{"policy_id": "p-media", "name": "No streaming for contractors", "enabled": true, "priority": 100,
         "conditions": {"application": ["spotify", "*torrent*"], "category": ["media"], "user_role": ["contractor"],
                        "protocol": ["tcp", "quic"], "src_ip": ["10.0.0.0/8"], "dst_port": ["443", "8000-8100"],
                        "zone": ["inside"], "attributes": {"department": "finance"}, "min_confidence": 60,
                        "not": {"dst_ip": ["10.9.0.0/16"]}},
         "action": {"rate_limit": {"bytes_per_s": 125000, "burst_bytes": 250000, "per": "user"}}, "log": true}]"#,
    );
    let policy = &set.policies[0];
    assert_eq!(
        policy.action,
        Action::RateLimit(RateLimit { bytes_per_s: 125_000, burst_bytes: 250_000, per: Per::User })
    );
    assert_eq!(policy.conditions.all.dst_port, [(443, 443), (8000, 8100)]);
    assert_eq!(
        (&*policy.conditions.all.protocol_l4, &*policy.conditions.all.protocol_l7),
        (&[6][..], &["quic".to_owned()][..])
    );
    assert_eq!(policy.conditions.all.src_ip.v4, [(0x0a00_0000, 0x0aff_ffff)]);
    assert_eq!(policy.conditions.not.as_ref().unwrap().dst_ip.v4, [(0x0a09_0000, 0x0a09_ffff)]);
    assert!(policy.log && policy.inspect && policy.enabled && !policy.mirror);
    assert_eq!(
        (set.default_action, set.deciding, set.strict, set.version),
        (None, DecidingMode::Allow, false, None)
    );
}

#[test]
fn a_set_carries_its_own_settings() {
    let set = file(
        r#"{"version": 7, "default_action": "reject", "deciding": "block", "strict": true, "policies": []}"#,
    );
    assert_eq!(set.version, Some(7));
    assert_eq!(set.default_action, Some(DefaultAction::Reject));
    assert_eq!((set.deciding, set.strict), (DecidingMode::Block, true));
    assert_eq!(set.require_default(), Ok(()));
    assert!(file("[]").require_default().unwrap_err().to_string().contains("default_action"));
}

#[test]
fn every_form_of_an_action_is_read() {
    let limit = |per| Action::RateLimit(RateLimit { bytes_per_s: 2_000, burst_bytes: 4_000, per });
    let redirect = |next_hop| {
        let to = RedirectTo::Address("10.0.0.9:8080".parse().unwrap());
        Action::Redirect(Redirect { to, next_hop })
    };
    let service = Redirect { to: RedirectTo::Service { port: 8443 }, next_hop: None };
    for (text, expected) in [
        (r#""action": "allow""#, Action::Allow),
        (r#""action": "pass""#, Action::Allow),
        (r#""action": "drop""#, Action::Drop),
        (r#""action": "reject""#, Action::Reject),
        (r#""action": {"action": "drop"}"#, Action::Drop),
        (
            r#""action": {"rate_limit": {"bytes_per_s": 2000, "burst_bytes": 4000, "per": "flow"}}"#,
            limit(Per::Flow),
        ),
        (
            r#""action": "rate-limit", "bytes_per_s": 2000, "burst_bytes": 4000, "per": "source""#,
            limit(Per::Source),
        ),
        (r#""action": "rate_limit", "rate_limit_kbps": 16, "burst_bytes": 4000"#, limit(Per::Rule)),
        (r#""action": {"action": "rate-limit", "bytes_per_s": 2000, "burst_bytes": 4000}"#, limit(Per::Rule)),
        (r#""action": {"redirect": {"to": "10.0.0.9:8080"}}"#, redirect(None)),
        (
            r#""action": {"redirect": {"to": "10.0.0.9:8080", "next_hop": "02:00:00:00:00:0a"}}"#,
            redirect(Some(Mac([2, 0, 0, 0, 0, 10]))),
        ),
        (r#""action": "redirect", "to": "10.0.0.9:8080""#, redirect(None)),
        (r#""action": {"redirect": {"to": "service:8443"}}"#, Action::Redirect(service)),
    ] {
        let set = file(&format!(r#"[{{"policy_id": "p", {text}}}]"#));
        assert_eq!(set.policies[0].action, expected, "{text}");
    }
}

#[test]
fn a_scalar_is_a_list_of_one() {
    let one = file(
        r#"[{"policy_id": "p", "action": "drop", "conditions": {"zone": "inside", "dst_port": 443, "vlan": 5, "src_ip": "10.0.0.1", "protocol": 47, "schedule": {"days": "mon"}}}]"#,
    );
    let list = file(
        r#"[{"policy_id": "p", "action": "drop", "conditions": {"zone": ["inside"], "dst_port": ["443"], "vlan": ["5"], "src_ip": ["10.0.0.1/32"], "protocol": ["gre"], "schedule": [{"days": ["monday"]}]}}]"#,
    );
    let (mut one, list) = (one.policies[0].conditions.clone(), list.policies[0].conditions.clone());
    one.all.zone.clone_from(&list.all.zone);
    assert_eq!(one, list);
}

#[test]
fn all_mistakes_are_told_at_once_with_line_and_path() {
    let found = errors(
        r#"{"default_acton": "drop",
  "policies": [
    {"policy_id": "a", "action": "drop", "conditions": {"dst_prot": 443}},
    {"policy_id": "a", "action": "alow"},
    {"policy_id": "b", "action": {"redirect": {"to": "10.0.0.1"}}},
    {"policy_id": "c", "action": {"rate_limit": {"bytes_per_s": 0}},
     "conditions": {"src_ip": ["10.0.0.0/33", "10.0.0.9-10.0.0.1"], "dst_port": ["90-80", 70000],
                    "schedule": {"hours": "8-18", "time_zone": "Europe/Berlim"}}},
    {"action": "drop", "priority": "high"}
  ]}"#,
    );
    let expected = [
        ("p.json:1:2: default_acton: unknown field", "did you mean \"default_action\""),
        ("p.json:3:57: policies[0].conditions.dst_prot: unknown field", "did you mean \"dst_port\""),
        ("p.json:4:34: policies[1].action: unknown action \"alow\"", "did you mean \"allow\""),
        ("p.json:4:5: policies[1]: policy_id \"a\" is taken", "line 3"),
        ("p.json:5:54: policies[2].action.redirect.to: ", "10.0.0.1:80"),
        ("p.json:6:65: policies[3].action.rate_limit.bytes_per_s: 0 is not", "from 1"),
        ("p.json:7:32: policies[3].conditions.src_ip[0]: ", "10.0.0.0/33"),
        ("p.json:7:47: policies[3].conditions.src_ip[1]: ", "backwards"),
        ("p.json:7:82: policies[3].conditions.dst_port[0]: ", "80-90"),
        ("p.json:7:91: policies[3].conditions.dst_port[1]: 70000", "65535"),
        ("p.json:8:43: policies[3].conditions.schedule.hours: ", "08:00-18:00"),
        ("p.json:8:64: policies[3].conditions.schedule.time_zone: ", "Europe/Berlin"),
        ("p.json:9:36: policies[4].priority: expected a number", "string"),
        ("p.json:9:5: policies[4]: the field \"policy_id\" is missing", ""),
    ];
    for (start, contains) in expected {
        assert!(
            found.iter().any(|error| error.starts_with(start) && error.contains(contains)),
            "{start} ... {contains} is not in:\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
    let lines: Vec<&str> = found.iter().map(|error| &error[7..8]).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn each_mistake_is_found() {
    let condition =
        |text: &str| format!(r#"[{{"policy_id": "p", "action": "drop", "conditions": {{{text}}}}}]"#);
    for (text, contains) in [
        (condition(r#""dst_port": []"#), "empty list"),
        (condition(r#""not": {"not": {}}"#), "\"not\" inside \"not\""),
        (condition(r#""src_ip": "10.0.0.0-2001:db8::1""#), "mixes"),
        (condition(r#""src_mac": "02:00:00:00:00""#), "MAC"),
        (condition(r#""vlan": 4095"#), "4094"),
        (condition(r#""protocol": "300""#), "0 to 255"),
        (condition(r#""country": "Germany""#), "two-letter"),
        (condition(r#""min_confidence": 101"#), "0 to 100"),
        (condition(r#""attributes": {"a": false}"#), "not"),
        (condition(r#""attributes": {}"#), "no attribute"),
        (condition(r#""schedule": {"days": "mon-"}"#), "no day"),
        (condition(r#""schedule": {}"#), "always holds"),
        (condition(r#""schedule": {"day": "mon"}"#), "did you mean \"days\""),
        (condition(r#""zone": "inside", "zone": "outside""#), "written twice"),
        (condition(r#""user_id": """#), "empty name"),
        (r#"[{"policy_id": "p"}]"#.to_owned(), "\"action\" is missing"),
        (r#"[{"policy_id": "", "action": "drop"}]"#.to_owned(), "1 to 128"),
        (r#"[{"policy_id": "p", "action": "rate-limit"}]"#.to_owned(), "needs \"bytes_per_s\""),
        (r#"[{"policy_id": "p", "action": "drop", "bytes_per_s": 5}]"#.to_owned(), "no meaning"),
        (
            r#"[{"policy_id": "p", "action": {"rate_limit": {"bytes_per_s": 5, "burst_bytes": 100}}}]"#
                .to_owned(),
            "1514",
        ),
        (
            r#"[{"policy_id": "p", "action": {"rate_limit": {"bytes_per_s": 5, "brust_bytes": 9000}}}]"#
                .to_owned(),
            "burst_bytes",
        ),
        (r#"[{"policy_id": "p", "action": {"redirect": {}}}]"#.to_owned(), "needs \"to\""),
        (r#"[{"policy_id": "p", "action": {"redirect": {"to": "10.0.0.1:0"}}}]"#.to_owned(), "port 0"),
        (r#"[{"policy_id": "p", "action": {"redirect": {"to": "service:0"}}}]"#.to_owned(), "service:8443"),
        (r#"[{"policy_id": "p", "action": {"drop": {}, "allow": {}}}]"#.to_owned(), "one action"),
        (r#"[{"policy_id": "p", "action": 5}]"#.to_owned(), "expected an action"),
        (r#"{"version": 1}"#.to_owned(), "\"policies\" is missing"),
        (r#"{"policies": {}}"#.to_owned(), "expected a list of policies"),
        ("7".to_owned(), "expected a policy set"),
        ("[{]".to_owned(), "field name in double quotes"),
        ("[".to_owned(), "the file ends"),
    ] {
        let found = errors(&text);
        assert!(found.len() == 1 && found[0].contains(contains), "{text}: {contains}: {found:?}");
    }
    let found = PolicyFile::parse("p", b"[\n\xff]").unwrap_err();
    assert_eq!((found[0].line, &*found[0].reason), (2, "not UTF-8"));
}

#[test]
fn unknown_zones_and_ports_are_found_when_bound_to_the_box() {
    let file = file(
        r#"[
{"policy_id": "a", "action": "drop", "conditions": {"zone": ["inside", "outsied"]}},
{"policy_id": "b", "action": "drop", "conditions": {"in_port": 7}}]"#,
    );
    let errors = PolicySet::compile(&file, 1, &Environment::default(), &mut Names::new()).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 2);
    assert!(
        errors[0].starts_with("policies.json:2:72: [0].conditions.zone[1]: no zone \"outsied\""),
        "{errors:?}"
    );
    assert!(errors[0].contains("did you mean \"outside\""));
    assert!(errors[1].starts_with("policies.json:3:"), "{errors:?}");
}

#[test]
fn lints_tell_what_is_valid_and_yet_surprising() {
    let file = file(
        r#"[
{"policy_id": "redirect", "priority": 1, "action": {"redirect": {"to": "10.0.0.1:80"}}, "conditions": {"application": "x"}},
{"policy_id": "versions", "priority": 2, "action": "drop", "conditions": {"src_ip": "10.0.0.1", "dst_ip": "::1"}},
{"policy_id": "icmp-port", "priority": 3, "action": "drop", "conditions": {"protocol": "icmp", "dst_port": 5}},
{"policy_id": "fine", "priority": 4, "action": "drop", "conditions": {"protocol": ["udp", "quic"], "dst_port": 443}},
{"policy_id": "twin", "priority": 5, "action": "allow", "conditions": {"protocol": ["udp", "quic"], "dst_port": 443}},
{"policy_id": "who", "priority": 6, "action": "allow", "conditions": {"user_id": "ann"}},
{"policy_id": "where", "priority": 6, "action": "drop", "conditions": {"protocol": "tcp", "country": "nl"}},
{"policy_id": "all", "priority": 7, "action": "drop"},
{"policy_id": "late", "priority": 8, "action": "allow", "conditions": {"dst_port": 1}}]"#,
    );
    let told = |supplied| -> Vec<String> {
        file.lint(supplied)
            .iter()
            .map(|warning| format!("{}: {}", warning.policy_id, warning.message))
            .collect()
    };
    let all = told(Supplied { application: true, identity: true, country: true });
    let expected = [
        "redirect: a TCP flow whose application",
        "versions: never matches: its source",
        "icmp-port: never matches: none of its protocols",
        "twin: never reached: fine is evaluated before it, has the same conditions",
        "late: never reached: all",
    ];
    assert_eq!(all.len(), expected.len(), "{all:?}");
    for (warning, expected) in all.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}");
    }
    let none = told(Supplied::default());
    assert!(
        none.iter().any(|warning| warning.starts_with("redirect: never matches: nothing tells applications"))
    );
    assert!(none.iter().any(|warning| warning.starts_with("who: never matches: nothing tells users")));
    assert!(none.contains(
        &"where: never matches: nothing tells countries: rules.geoip_database names no file".to_owned()
    ));
    assert!(!none.iter().any(|warning| warning.starts_with("fine")));
}
