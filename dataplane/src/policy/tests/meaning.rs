//! Which policy decides which flow.

use super::*;
use crate::flow::Direction;
use crate::parse::{Headers, Icmp, Mac, Network, Protocol, Tcp, TcpFlags, TcpOptions, Transport, Tunnel};
use crate::verdict::Reason;

/// One policy `p` with these conditions, default allow: does it match?
fn matches(conditions: &str, facts: &Facts<'_>) -> bool {
    let text = format!(
        r#"{{"default_action": "allow", "policies": [{{"policy_id": "p", "action": "drop", "conditions": {{{conditions}}}}}]}}"#
    );
    judge(&compiled(&text, &mut Names::new()), facts) == "p"
}

#[test]
fn each_header_field_matches_and_does_not() {
    for (conditions, expected) in [
        (r#""zone": "inside""#, true),
        (r#""zone": ["outside", "host"]"#, false),
        (r#""in_port": "0""#, true),
        (r#""in_port": 1"#, false),
        (r#""vlan": 0"#, true),
        (r#""vlan": "1-4094""#, false),
        (r#""src_mac": "02:00:00:00:00:01""#, false),
        (r#""src_ip": "10.0.0.0/8""#, true),
        (r#""src_ip": ["192.168.0.0/16", "10.1.2.0-10.1.2.3"]"#, true),
        (r#""src_ip": "10.1.2.4-10.1.2.9""#, false),
        (r#""src_ip": "0.0.0.0/0""#, true),
        (r#""src_ip": "::/0""#, false),
        (r#""src_ip": "::ffff:10.1.2.3""#, true),
        (r#""dst_ip": "192.0.2.1""#, true),
        (r#""dst_ip": "192.0.2.2/31""#, false),
        (r#""src_port": "32768-60999""#, true),
        (r#""dst_port": [80, "443"]"#, true),
        (r#""dst_port": "444-65535""#, false),
        (r#""protocol": "tcp""#, true),
        (r#""protocol": 6"#, true),
        (r#""protocol": ["udp", "icmp"]"#, false),
        (r#""protocol": "quic""#, false),
        (r#""application": "*""#, false),
        (r#""not": {"application": "spotify"}"#, true),
        (r#""not": {"dst_port": [80, 443]}"#, false),
        (r#""not": {"dst_port": [80, 8080]}"#, true),
        (r#""src_ip": "10.0.0.0/8", "not": {"src_ip": "10.1.0.0/16"}"#, false),
        (r#""not": {"dst_port": 80, "protocol": "udp"}"#, true),
        (r#""not": {"dst_port": 80, "protocol": "tcp"}"#, false),
        (r#""schedule": {"days": "mon", "hours": "09:00-11:00"}"#, true),
        (r#""schedule": {"days": "mon", "hours": "09:00-11:00", "time_zone": "America/New_York"}"#, false),
        (r#""schedule": [{"days": "sun"}, {"hours": "10:00-10:01"}]"#, true),
        (r#""not": {"schedule": {"days": "weekdays"}}"#, false),
        ("", true),
    ] {
        assert_eq!(matches(conditions, &web()), expected, "{conditions}");
    }
}

#[test]
fn identity_and_application_match_where_they_are_known() {
    let mut names = Names::new();
    let user = User {
        id: names.intern(Kind::UserId, "ann"),
        role: Some(names.intern(Kind::Role, "contractor")),
        groups: vec![names.intern(Kind::Group, "eng"), names.intern(Kind::Group, "oncall")],
        attributes: vec![(
            names.intern(Kind::AttributeKey, "department"),
            names.intern(Kind::AttributeValue, "finance-eu"),
        )],
    };
    let facts = Facts {
        application: Fact::Known(names.intern(Kind::Application, "BitTorrent")),
        category: Fact::Known(names.intern(Kind::Category, "p2p")),
        l7_protocol: Fact::Known(names.intern(Kind::Protocol, "bittorrent")),
        confidence: Fact::Known(70),
        user: Fact::Known(&user),
        country: Fact::Known(names.intern(Kind::Country, "de")),
        ..web()
    };
    for (conditions, expected) in [
        (r#""application": "bittorrent""#, true),
        (r#""application": ["spotify", "*TORRENT*"]"#, true),
        (r#""application": "torrent*""#, false),
        (r#""category": ["media", "p2p"]"#, true),
        (r#""protocol": ["udp", "bittorrent"]"#, true),
        (r#""min_confidence": 70"#, true),
        (r#""min_confidence": 71"#, false),
        (r#""not": {"min_confidence": 71}"#, true),
        (r#""user_id": "ann""#, true),
        (r#""user_id": "Ann""#, false),
        (r#""user_role": ["admin", "contractor"]"#, true),
        (r#""groups": "oncall""#, true),
        (r#""groups": ["sales", "legal"]"#, false),
        (r#""attributes": {"department": "finance-*"}"#, true),
        (r#""attributes": {"department": "finance"}"#, false),
        (r#""attributes": {"department": true}"#, true),
        (r#""attributes": {"clearance": true}"#, false),
        (r#""attributes": {"department": true, "clearance": true}"#, false),
        (r#""not": {"attributes": {"clearance": true}}"#, true),
        (r#""dst_user_id": "ann""#, false),
        (r#""country": ["us", "DE"]"#, true),
    ] {
        let text = format!(r#"[{{"policy_id": "p", "action": "drop", "conditions": {{{conditions}}}}}]"#);
        let set = compiled(&text, &mut names);
        assert_eq!(judge(&set, &facts) == "p", expected, "{conditions}");
    }
}

#[test]
fn lower_priority_numbers_come_first_and_ties_go_by_identifier() {
    let text = r#"{"default_action": "drop", "policies": [
        {"policy_id": "z", "priority": 5, "action": "allow"},
        {"policy_id": "b", "priority": -1, "action": "allow", "enabled": false},
        {"policy_id": "m", "priority": 1, "action": "allow", "conditions": {"dst_port": 443}},
        {"policy_id": "a", "priority": 1, "action": "drop", "conditions": {"dst_port": "400-500"}}]}"#;
    let set = compiled(text, &mut Names::new());
    assert_eq!(judge(&set, &web()), "a");
    assert_eq!(judge(&set, &Facts { dst_port: Fact::Known(1), ..web() }), "z");
    assert_eq!(set.len(), 3);
    assert_eq!(set.find("b"), None);
}

#[test]
fn no_match_is_the_default_or_no_decision() {
    assert_eq!(judge(&compiled("[]", &mut Names::new()), &web()), "none");
    for (action, expected) in [
        ("allow", OutcomeAction::Allow),
        ("drop", OutcomeAction::Drop(Reason::DefaultDrop)),
        ("reject", OutcomeAction::Reject(Reason::DefaultReject)),
    ] {
        let set =
            compiled(&format!(r#"{{"default_action": "{action}", "policies": []}}"#), &mut Names::new());
        let Evaluation::Decided { outcome, policy: None } = set.evaluate(&web(), &mut Scratch::new()) else {
            panic!("the default decides")
        };
        assert_eq!((outcome.action, outcome.inspect), (expected, true));
    }
}

#[test]
fn outcomes_carry_targets_limits_and_effects() {
    let text = r#"[
        {"policy_id": "r", "priority": 1, "action": {"redirect": {"to": "[2001:db8::9]:80", "next_hop": "02-00-00-00-00-01"}}, "conditions": {"dst_port": 80}, "mirror": true},
        {"policy_id": "l", "priority": 2, "action": {"rate_limit": {"bytes_per_s": 9000}}, "log": true, "capture": true, "inspect": false}]"#;
    let set = compiled(text, &mut Names::new());
    let limited = set.outcome(PolicyIndex(1)).unwrap();
    assert!(limited.effects.log && limited.effects.capture && !limited.effects.mirror && !limited.inspect);
    let OutcomeAction::RateLimit(index) = limited.action else { panic!("a rate limit") };
    let limit = *set.limit(index).unwrap();
    assert_eq!((limit.bytes_per_s, limit.burst_bytes, limit.per), (9_000, 9_000, Per::Rule));
    let OutcomeAction::Redirect(id) = set.outcome(PolicyIndex(0)).unwrap().action else {
        panic!("a redirect")
    };
    let target = set.target(id).unwrap();
    assert_eq!(
        (target.addr(true), target.addr(false), target.port, target.next_hop),
        (None, Some(addr("2001:db8::9")), 80, Some(Mac([2, 0, 0, 0, 0, 1])))
    );
    // A reload keeps the buckets of a policy that did not change, wherever it now stands.
    let again = text.replace("\"priority\": 2", "\"priority\": 0");
    assert_eq!(compiled(&again, &mut Names::new()).limit(PolicyIndex(0)).unwrap().rule_hash, limit.rule_hash);
    let faster = text.replace("9000", "9001");
    assert_ne!(
        compiled(&faster, &mut Names::new()).limit(PolicyIndex(1)).unwrap().rule_hash,
        limit.rule_hash
    );
}

#[test]
fn a_redirect_to_the_box_has_its_service_addresses_and_is_refused_where_there_is_none() {
    let text = "[\n{\"policy_id\": \"p\", \"action\": {\"redirect\": {\"to\": \"service:8443\"}}}]";
    let file = PolicyFile::parse("p.json", text.as_bytes()).unwrap();
    let compile = |environment: &Environment| PolicySet::compile(&file, 1, environment, &mut Names::new());
    let refused = compile(&Environment::default()).unwrap_err();
    let [error] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(error.to_string().starts_with("p.json:2:1: action.redirect.to: policy p "), "{error}");
    assert!(error.to_string().contains("[inline.service]"), "{error}");
    let service_ipv4 = Some(addr("10.0.0.2"));
    let set = compile(&Environment { service_ipv4, ..Environment::default() }).unwrap();
    let OutcomeAction::Redirect(id) = set.outcome(PolicyIndex(0)).unwrap().action else {
        panic!("a redirect")
    };
    let target = set.target(id).unwrap();
    assert_eq!((target.addr(true), target.addr(false), target.port), (service_ipv4, None, 8443));
}

#[test]
fn a_flow_is_deciding_only_while_outcomes_differ() {
    let app = |action: &str, default: &str| {
        format!(
            r#"{{"default_action": "{default}", "policies": [
            {{"policy_id": "app", "priority": 1, "action": "{action}", "conditions": {{"application": "x", "dst_port": 443}}}}]}}"#
        )
    };
    let pending = Facts { application: Fact::Pending, ..web() };
    for (text, expected) in [
        (app("allow", "drop"), "deciding"),
        (app("allow", "allow"), "default"),
        (app("drop", "drop"), "default"),
        (app("drop", "reject"), "default"),
        (app("drop", "allow"), "deciding"),
    ] {
        let set = compiled(&text, &mut Names::new());
        assert_eq!(judge(&set, &pending), expected, "{text}");
        assert_eq!(
            judge(&set, &Facts { dst_port: Fact::Known(1), ..pending }),
            "default",
            "no longer possible"
        );
        assert_eq!(judge(&set, &web()), "default", "finally unknown");
    }
    let set = compiled(&app("allow", "drop"), &mut Names::new());
    let Evaluation::Deciding { policy, awaits } = set.evaluate(&pending, &mut Scratch::new()) else {
        panic!("deciding")
    };
    assert_eq!(policy, PolicyIndex(0));
    assert_eq!(awaits.names().collect::<Vec<_>>(), ["application"]);
    // A definite match first: what comes later does not matter.
    let set = compiled(
        r#"[{"policy_id": "a", "priority": 1, "action": "allow", "conditions": {"dst_port": 443}},
            {"policy_id": "b", "priority": 2, "action": "drop", "conditions": {"application": "x"}}]"#,
        &mut Names::new(),
    );
    assert_eq!(judge(&set, &pending), "a");
    // Facts that no policy asks for may stay pending.
    assert_eq!(judge(&set, &Facts { user: Fact::Pending, ..web() }), "a");
}

#[test]
fn names_that_come_later_make_wildcards_stale() {
    let mut names = Names::new();
    let text = r#"[{"policy_id": "p", "action": "drop", "conditions": {"application": "*torrent*"}}]"#;
    let set = compiled(text, &mut names);
    assert!(!set.is_stale(&names));
    let late = Facts { application: Fact::Known(names.intern(Kind::Application, "utorrent")), ..web() };
    assert!(set.is_stale(&names));
    assert_eq!(
        (judge(&set, &late), judge(&compiled(text, &mut names), &late)),
        ("none".to_owned(), "p".to_owned())
    );
    // Names of a kind that no wildcard asks for do not matter.
    let set = compiled(text, &mut names);
    names.intern(Kind::UserId, "bob");
    assert!(!set.is_stale(&names));
}

#[test]
fn schedules_flip_with_the_minute_and_say_so() {
    let set = compiled(
        r#"{"default_action": "drop", "policies": [{"policy_id": "p", "action": "allow", "conditions": {"schedule": {"hours": "08:00-10:01"}}}]}"#,
        &mut Names::new(),
    );
    let mut scratch = Scratch::new();
    let at = |seconds: u64| Wall(MONDAY_TEN.0 + seconds * 1_000_000_000);
    assert!(!scratch.refresh(&set, at(0)), "the first look is no change");
    assert!(!scratch.refresh(&set, at(59)));
    let policy = |evaluation| match evaluation {
        Evaluation::Decided { policy, .. } => policy,
        Evaluation::Deciding { .. } | Evaluation::NoDecision => panic!("decided"),
    };
    assert!(policy(set.evaluate(&Facts { wall: at(59), ..web() }, &mut scratch)).is_some());
    assert!(scratch.refresh(&set, at(60)));
    assert!(policy(set.evaluate(&Facts { wall: at(60), ..web() }, &mut scratch)).is_none());
    let other = compiled("[]", &mut Names::new());
    assert!(!scratch.refresh(&other, at(61)) && !other.has_schedules());
}

#[test]
fn replies_are_turned_round_and_icmp_has_no_ports() {
    let tcp = Tcp {
        src_port: 443,
        dst_port: 40_000,
        seq: 0,
        ack: 0,
        flags: TcpFlags(TcpFlags::ACK),
        window: 0,
        options: TcpOptions::default(),
    };
    let mut headers = Headers {
        src_mac: Mac([2, 0, 0, 0, 0, 2]),
        dst_mac: Mac([2, 0, 0, 0, 0, 1]),
        vlan_outer: 7,
        vlan_inner: 0,
        ethertype: 0x0800,
        tunnel: Tunnel::None,
        tunnel_depth: 0,
        vni: 0,
        outer_l3_offset: 14,
        l3_offset: 14,
        l4_offset: 34,
        payload_offset: 54,
        end: 54,
        network: Network::Ip {
            src: addr("192.0.2.1"),
            dst: addr("10.1.2.3"),
            protocol: Protocol::TCP,
            ttl: 64,
            tos: 0,
        },
        fragment: None,
        transport: Transport::Tcp(tcp),
    };
    let facts = Facts::of(&headers, Direction::Reverse, 0, 0, MONDAY_TEN);
    assert_eq!(facts, Facts { vlan: Fact::Known(7), src_mac: Fact::Known(Mac([2, 0, 0, 0, 0, 1])), ..web() });
    headers.transport = Transport::Icmp(Icmp { kind: 8, code: 0, id: 443, seq: 1, is_error: false });
    let facts = Facts::of(&headers, Direction::Forward, 1, 1, MONDAY_TEN);
    assert_eq!((facts.src_ip, facts.dst_port), (Fact::Known(addr("192.0.2.1")), Fact::Absent));
    headers.network = Network::Other;
    assert_eq!(Facts::of(&headers, Direction::Forward, 1, 1, MONDAY_TEN).l4_protocol, Fact::Absent);
}

#[test]
fn explain_tells_every_policy_tried() {
    let mut names = Names::new();
    let set = compiled(
        r#"[{"policy_id": "a", "priority": 1, "action": "drop", "conditions": {"dst_port": 80, "protocol": "tcp"}},
            {"policy_id": "b", "priority": 2, "action": "drop", "conditions": {"application": "x"}},
            {"policy_id": "c", "priority": 3, "action": "allow", "conditions": {"not": {"src_ip": "10.0.0.0/9"}, "schedule": {"days": "mon"}}},
            {"policy_id": "d", "priority": 4, "action": "allow"},
            {"policy_id": "e", "priority": 5, "action": "drop"}]"#,
        &mut names,
    );
    let facts = Facts { application: Fact::Pending, ..web() };
    let explanation = set.explain(&facts, &mut Scratch::new(), &names, 100);
    assert!(matches!(explanation.evaluation, Evaluation::Deciding { .. }));
    let told: Vec<String> = explanation
        .tried
        .iter()
        .map(|tried| {
            let met = tried.conditions.iter().map(|met| {
                let not = if met.negated { "not " } else { "" };
                format!("{not}{}={} {:?}", met.field.label(), met.value, met.truth)
            });
            format!("{} {:?}: {}", tried.policy_id, tried.truth, met.collect::<Vec<_>>().join("; "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "a False: dst_port=443 False; protocol=tcp True",
            "b Unknown: application=pending Unknown",
            "c False: schedule=mon 10:00 UTC True; not src_ip=10.1.2.3 False",
            "d True: ",
        ]
    );
    let short = set.explain(&facts, &mut Scratch::new(), &names, 0);
    assert_eq!((short.tried.len(), short.left_out), (2, 2));
}

#[test]
fn contexts_of_the_former_system_are_read() {
    let mut names = Names::new();
    let set = compiled(
        r#"[{"policy_id": "media", "action": "drop", "conditions": {"application": "spot*", "user_role": "contractor", "groups": "eng",
             "attributes": {"department": "finance"}, "protocol": "quic", "min_confidence": 60, "src_ip": "10.0.0.0/8"}}]"#,
        &mut names,
    );
    names.intern(Kind::Application, "spotify");
    assert!(set.is_stale(&names));
    let set = compiled(
        r#"[{"policy_id": "media", "action": "drop", "conditions": {"application": "spot*", "user_role": "contractor", "groups": "eng",
             "attributes": {"department": "finance"}, "protocol": "quic", "min_confidence": 60, "src_ip": "10.0.0.0/8"}}]"#,
        &mut names,
    );
    let context = serde_json::json!({
        "src_ip": "10.1.2.3", "dst_ip": "192.0.2.1", "src_port": 40000, "dst_port": 443, "protocol": "UDP",
        "dpi_classification": {"app_name": "Spotify", "category": "media", "protocol": "QUIC", "confidence": 80,
                               "detection_tick": 3, "is_encrypted": true},
        "iam_assertion": {"user_id": "ann", "username": "Ann", "user_role": "contractor", "user_groups": ["eng"],
                          "attributes": {"department": "finance", "level": 3}, "is_mfa_verified": true}
    });
    let read = |context: &serde_json::Value| {
        EvaluationContext::read(context, &Environment::default(), &names, MONDAY_TEN)
    };
    assert_eq!(judge(&set, &read(&context).unwrap().facts()), "media");
    let mut interim = context;
    interim["dpi_classification"] = serde_json::Value::Null;
    assert_eq!(judge(&set, &read(&interim).unwrap().facts()), "none", "an absent field is finally unknown");
    interim["undecided"] = serde_json::json!(["application", "protocol", "min_confidence"]);
    assert_eq!(judge(&set, &read(&interim).unwrap().facts()), "deciding");
    let flat = serde_json::json!({"src_ip": "10.1.2.3", "application": "spotify", "user_role": "contractor",
        "groups": "eng", "attributes": {"department": "finance"}, "protocol": "quic", "confidence": 60, "zone": "inside",
        "time": "2026-03-02T10:00:00Z"});
    assert_eq!(judge(&set, &read(&flat).unwrap().facts()), "media");
    let mut hidden = flat;
    hidden["user_groups"] = hidden["groups"].take();
    assert_eq!(judge(&set, &read(&hidden).unwrap().facts()), "media", "a null hides nothing");
    let numbered = serde_json::json!({"protocol": 256});
    assert_eq!(read(&numbered).unwrap_err()[0].path, "protocol", "a number is no layer 7 name");
    let bad = serde_json::json!({"src_ip": "10.1.2", "dst_prot": 443, "zone": "insid", "dst_port": 70000, "undecided": ["mood"]});
    let errors = read(&bad).unwrap_err();
    let mut paths: Vec<&str> = errors.iter().map(|error| &*error.path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["dst_port", "dst_prot", "src_ip", "undecided", "zone"]);
}
