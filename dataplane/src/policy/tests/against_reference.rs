//! The index and its shortcuts against an evaluator that tries every policy in turn, on strings.

use super::*;
use crate::parse::Mac;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Values that policies are made of: few, so that they meet. Index 0 of a field is its commonest.
fn pool(field: &str) -> Vec<Value> {
    let text = |values: &[&str]| values.iter().map(|value| json!(value)).collect();
    match field {
        "zone" => text(&["inside", "outside"]),
        "in_port" => vec![json!(0), json!(1)],
        "vlan" => vec![json!(0), json!("10-20"), json!(15), json!("0-4094")],
        "src_mac" => text(&["02:00:00:00:00:01", "02:00:00:00:00:02"]),
        "src_ip" | "dst_ip" => text(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "10.0.0.5-10.1.2.9",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/32",
            "2001:db8::5-2001:db9::1",
            "255.255.255.255",
            "ffff::/16",
        ]),
        "src_port" | "dst_port" => {
            vec![
                json!(80),
                json!("443"),
                json!("1-1024"),
                json!("0-65535"),
                json!("8000-8100"),
                json!("100-500"),
            ]
        }
        "protocol" => text(&["tcp", "udp", "icmp", "quic", "http"]),
        "application" => text(&["spotify", "*torrent*", "netflix", "bit*"]),
        "category" => text(&["media", "p2p", "m*"]),
        "min_confidence" => vec![json!(50)],
        "user_id" | "dst_user_id" => text(&["ann", "bob", "b*"]),
        "user_role" | "dst_user_role" => text(&["admin", "contractor"]),
        "groups" => text(&["eng", "ops", "o*"]),
        "attributes" => vec![
            json!({"department": "finance"}),
            json!({"department": ["fin*", "hr"]}),
            json!({"department": true, "level": "3"}),
            json!({"level": true}),
        ],
        "country" => text(&["de", "us"]),
        "schedule" => vec![
            json!({"days": "weekdays", "hours": "08:00-18:00"}),
            json!({"days": "mon", "hours": "22:00-06:00", "time_zone": "Pacific/Auckland"}),
        ],
        _ => panic!("no values for {field}"),
    }
}

const FIELDS: [&str; 20] = [
    "src_ip",
    "dst_ip",
    "dst_port",
    "protocol",
    "zone",
    "application",
    "user_role",
    "src_port",
    "in_port",
    "vlan",
    "src_mac",
    "category",
    "min_confidence",
    "user_id",
    "groups",
    "attributes",
    "dst_user_id",
    "dst_user_role",
    "country",
    "schedule",
];

/// A field chosen by number with some of its values.
fn field() -> impl Strategy<Value = (&'static str, Value)> {
    // The first seven fields are four times as likely.
    let index = prop_oneof![3 => 0_usize..7, 2 => 0_usize..20];
    (index, prop::collection::vec(any::<prop::sample::Index>(), 1..4)).prop_map(|(index, picks)| {
        let name = FIELDS[index];
        let pool = pool(name);
        let values: Vec<Value> = picks.iter().map(|pick| pick.get(&pool).clone()).collect();
        let single = matches!(name, "min_confidence" | "attributes");
        (name, if single { values[0].clone() } else { Value::Array(values) })
    })
}

fn object(fields: Vec<(&'static str, Value)>) -> serde_json::Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn policy() -> impl Strategy<Value = Value> {
    let actions = vec![
        json!("allow"),
        json!("drop"),
        json!("reject"),
        json!({"redirect": {"to": "10.0.0.9:80"}}),
        json!({"rate_limit": {"bytes_per_s": 1000}}),
    ];
    (
        prop::collection::vec(field(), 0..4),
        prop::collection::vec(field(), 0..2),
        prop::sample::select(actions),
        0..4_i32,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(all, not, action, priority, log, disabled)| {
            let mut conditions = object(all);
            if !not.is_empty() {
                conditions.insert("not".to_owned(), Value::Object(object(not)));
            }
            json!({"conditions": conditions, "action": action, "priority": priority, "log": log, "enabled": !disabled})
        })
}

pub(super) fn set_text(most: usize) -> impl Strategy<Value = String> {
    let default = prop::sample::select(vec![None, Some("allow"), Some("drop"), Some("reject")]);
    (prop::collection::vec(policy(), 0..most), default).prop_map(|(mut policies, default)| {
        for (index, policy) in policies.iter_mut().enumerate() {
            // Identifiers not in the order of the file.
            policy["policy_id"] = json!(format!("p{:03}", index * 37 % 101 + 101 * (index / 101)));
        }
        let mut set = json!({"policies": policies});
        if let Some(default) = default {
            set["default_action"] = json!(default);
        }
        without_ambiguous(set)
    })
}

/// The set without policies that others of their priority contradict.
fn without_ambiguous(mut set: Value) -> String {
    let errors = PolicyFile::parse("p", set.to_string().as_bytes()).err().unwrap_or_default();
    let policies = set["policies"].as_array_mut().unwrap();
    for error in errors.iter().rev() {
        assert!(error.reason.starts_with("ambiguous: "), "{error}");
        let index = error.path.trim_start_matches("policies[").trim_end_matches(']');
        policies.remove(index.parse().unwrap());
    }
    set.to_string()
}

/// Facts on strings, as the reference reads them.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    zone: Fact<u8>,
    in_port: Fact<u8>,
    vlan: Fact<u16>,
    src_mac: Fact<Mac>,
    src_ip: Fact<Addr>,
    dst_ip: Fact<Addr>,
    src_port: Fact<u16>,
    dst_port: Fact<u16>,
    l4: Fact<u8>,
    wall: Wall,
    application: Fact<&'static str>,
    category: Fact<&'static str>,
    l7: Fact<&'static str>,
    confidence: Fact<u8>,
    user: Fact<PlainUser>,
    dst_user: Fact<PlainUser>,
    country: Fact<&'static str>,
}

#[derive(Debug, Clone)]
struct PlainUser {
    id: &'static str,
    role: Option<&'static str>,
    groups: Vec<&'static str>,
    attributes: Vec<(&'static str, &'static str)>,
}

fn fact<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Fact<T>> {
    prop_oneof![
        8 => prop::sample::select(values).prop_map(Fact::Known),
        1 => Just(Fact::Absent),
        1 => Just(Fact::Pending),
    ]
}

fn plain_user() -> impl Strategy<Value = Fact<PlainUser>> {
    let user = (
        prop::sample::select(vec!["ann", "bob", "bea", "eve"]),
        prop::sample::select(vec![None, Some("admin"), Some("contractor"), Some("guest")]),
        prop::sample::subsequence(vec!["eng", "ops", "office", "none"], 0..3),
        prop::sample::subsequence(
            vec![
                ("department", "finance"),
                ("department", "hr"),
                ("department", "fin-eu"),
                ("level", "3"),
                ("level", "4"),
            ],
            0..3,
        ),
    )
        .prop_map(|(id, role, groups, attributes)| PlainUser { id, role, groups, attributes });
    prop_oneof![6 => user.prop_map(Fact::Known), 1 => Just(Fact::Absent), 2 => Just(Fact::Pending)]
}

pub(super) fn plain() -> impl Strategy<Value = Plain> {
    let addresses: Vec<Addr> = [
        "10.1.2.3",
        "10.1.2.10",
        "10.0.0.4",
        "10.0.0.5",
        "10.200.0.1",
        "11.0.0.1",
        "192.0.2.1",
        "255.255.255.255",
        "0.0.0.0",
        "2001:db8::1",
        "2001:db8::5",
        "2001:db9::1",
        "2001:db9::2",
        "::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ]
    .map(addr)
    .into();
    let ports = vec![0, 79, 80, 100, 443, 500, 501, 1024, 8050, 8101, 65535];
    let hour = 3_600_000_000_000;
    let walls: Vec<Wall> = (0..168).map(|step| Wall(MONDAY_TEN.0 + step * hour)).collect();
    let headers = (
        fact(vec![0, 1]),
        fact(vec![0, 1]),
        fact(vec![0, 9, 10, 15, 20, 21, 4094]),
        fact(vec![Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 3])]),
        fact(addresses.clone()),
        fact(addresses),
        fact(ports.clone()),
        fact(ports),
        fact(vec![1, 6, 17, 47]),
        prop::sample::select(walls),
    );
    let rest = (
        fact(vec!["spotify", "bittorrent", "utorrent", "netflix", "other"]),
        fact(vec!["media", "p2p", "mail"]),
        fact(vec!["quic", "http", "dns"]),
        fact(vec![0, 49, 50, 100]),
        plain_user(),
        plain_user(),
        fact(vec!["de", "us", "fr"]),
    );
    (headers, rest).prop_map(|(headers, rest)| {
        let (zone, in_port, vlan, src_mac, src_ip, dst_ip, src_port, dst_port, l4, wall) = headers;
        let (application, category, l7, confidence, user, dst_user, country) = rest;
        Plain {
            zone,
            in_port,
            vlan,
            src_mac,
            src_ip,
            dst_ip,
            src_port,
            dst_port,
            l4,
            wall,
            application,
            category,
            l7,
            confidence,
            user,
            dst_user,
            country,
        }
    })
}

impl Plain {
    /// Nothing pending is left: `Pending` becomes known (some value of `from`).
    pub(super) fn resolved(&self, from: &Self) -> Self {
        fn pick<T: Clone>(own: &Fact<T>, other: &Fact<T>) -> Fact<T> {
            match (own, other) {
                (Fact::Pending, Fact::Pending) => Fact::Absent,
                (Fact::Pending, _) => other.clone(),
                _ => own.clone(),
            }
        }
        Self {
            zone: pick(&self.zone, &from.zone),
            in_port: pick(&self.in_port, &from.in_port),
            vlan: pick(&self.vlan, &from.vlan),
            src_mac: pick(&self.src_mac, &from.src_mac),
            src_ip: pick(&self.src_ip, &from.src_ip),
            dst_ip: pick(&self.dst_ip, &from.dst_ip),
            src_port: pick(&self.src_port, &from.src_port),
            dst_port: pick(&self.dst_port, &from.dst_port),
            l4: pick(&self.l4, &from.l4),
            wall: self.wall,
            application: pick(&self.application, &from.application),
            category: pick(&self.category, &from.category),
            l7: pick(&self.l7, &from.l7),
            confidence: pick(&self.confidence, &from.confidence),
            user: pick(&self.user, &from.user),
            dst_user: pick(&self.dst_user, &from.dst_user),
            country: pick(&self.country, &from.country),
        }
    }

    pub(super) fn users(&self, names: &mut Names) -> [Fact<User>; 2] {
        let user = |user: &PlainUser, names: &mut Names| User {
            id: names.intern(Kind::UserId, user.id),
            role: user.role.map(|role| names.intern(Kind::Role, role)),
            groups: user.groups.iter().map(|group| names.intern(Kind::Group, group)).collect(),
            attributes: user
                .attributes
                .iter()
                .map(|(key, value)| {
                    (names.intern(Kind::AttributeKey, key), names.intern(Kind::AttributeValue, value))
                })
                .collect(),
        };
        [&self.user, &self.dst_user].map(|fact| match fact {
            Fact::Known(plain) => Fact::Known(user(plain, names)),
            Fact::Absent => Fact::Absent,
            Fact::Pending => Fact::Pending,
        })
    }

    pub(super) fn facts<'a>(&self, names: &mut Names, users: &'a [Fact<User>; 2]) -> Facts<'a> {
        let by_ref = |user: &'a Fact<User>| match user {
            Fact::Known(user) => Fact::Known(user),
            Fact::Absent => Fact::Absent,
            Fact::Pending => Fact::Pending,
        };
        Facts {
            zone: self.zone,
            in_port: self.in_port,
            vlan: self.vlan,
            src_mac: self.src_mac,
            src_ip: self.src_ip,
            dst_ip: self.dst_ip,
            src_port: self.src_port,
            dst_port: self.dst_port,
            l4_protocol: self.l4,
            wall: self.wall,
            application: self.application.map(|name| names.intern(Kind::Application, name)),
            category: self.category.map(|name| names.intern(Kind::Category, name)),
            l7_protocol: self.l7.map(|name| names.intern(Kind::Protocol, name)),
            confidence: self.confidence,
            user: by_ref(&users[0]),
            dst_user: by_ref(&users[1]),
            country: self.country.map(|name| names.intern(Kind::Country, name)),
        }
    }
}

/// `Some(bool)`, or `None` for unknown.
type Maybe = Option<bool>;

fn ask<T>(fact: &Fact<T>, test: impl Fn(&T) -> bool) -> Maybe {
    match fact {
        Fact::Known(value) => Some(test(value)),
        Fact::Absent => Some(false),
        Fact::Pending => None,
    }
}

/// Wildcards by recursion.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => glob(&pattern[1..], text) || (!text.is_empty() && glob(pattern, &text[1..])),
        (Some(a), Some(b)) => a == b && glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn any_glob(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| glob(pattern.as_bytes(), text.as_bytes()))
}

/// What each written field says.
fn answers(fields: &Fields, plain: &Plain) -> Vec<Maybe> {
    let mut out = Vec::new();
    let place = |words: &[model::Located], id: u8| {
        words.iter().any(|located| match located.word.as_str() {
            "inside" | "0" => id == 0,
            "outside" | "1" => id == 1,
            other => panic!("no place {other}"),
        })
    };
    let within =
        |spans: &[(u16, u16)], value: u16| spans.iter().any(|(low, high)| (*low..=*high).contains(&value));
    let inside = |set: &AddrSet, value: Addr| match value.to_ip() {
        IpAddr::V4(ip) => set.v4.iter().any(|(low, high)| (*low..=*high).contains(&ip.to_bits())),
        IpAddr::V6(ip) => set.v6.iter().any(|(low, high)| (*low..=*high).contains(&ip.to_bits())),
    };
    let mut add = |written: bool, answer: Maybe| {
        if written {
            out.push(answer);
        }
    };
    add(!fields.zone.is_empty(), ask(&plain.zone, |id| place(&fields.zone, *id)));
    add(!fields.in_port.is_empty(), ask(&plain.in_port, |id| place(&fields.in_port, *id)));
    add(!fields.vlan.is_empty(), ask(&plain.vlan, |value| within(&fields.vlan, *value)));
    add(!fields.src_mac.is_empty(), ask(&plain.src_mac, |mac| fields.src_mac.contains(mac)));
    add(!fields.src_ip.is_empty(), ask(&plain.src_ip, |ip| inside(&fields.src_ip, *ip)));
    add(!fields.dst_ip.is_empty(), ask(&plain.dst_ip, |ip| inside(&fields.dst_ip, *ip)));
    add(!fields.src_port.is_empty(), ask(&plain.src_port, |value| within(&fields.src_port, *value)));
    add(!fields.dst_port.is_empty(), ask(&plain.dst_port, |value| within(&fields.dst_port, *value)));
    let l4 = ask(&plain.l4, |value| fields.protocol_l4.contains(value));
    let l7 = if fields.protocol_l7.is_empty() {
        Some(false)
    } else {
        ask(&plain.l7, |name| fields.protocol_l7.iter().any(|wanted| wanted == name))
    };
    let protocol = match (l4, l7) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    };
    add(!fields.protocol_l4.is_empty() || !fields.protocol_l7.is_empty(), protocol);
    add(!fields.application.is_empty(), ask(&plain.application, |name| any_glob(&fields.application, name)));
    add(!fields.category.is_empty(), ask(&plain.category, |name| any_glob(&fields.category, name)));
    add(
        fields.min_confidence.is_some(),
        ask(&plain.confidence, |value| Some(*value) >= fields.min_confidence),
    );
    add(!fields.user_id.is_empty(), ask(&plain.user, |user| any_glob(&fields.user_id, user.id)));
    let role = |user: &PlainUser, wanted: &[String]| user.role.is_some_and(|role| any_glob(wanted, role));
    add(!fields.user_role.is_empty(), ask(&plain.user, |user| role(user, &fields.user_role)));
    let groups = |user: &PlainUser| user.groups.iter().any(|group| any_glob(&fields.groups, group));
    add(!fields.groups.is_empty(), ask(&plain.user, groups));
    for (key, wanted) in &fields.attributes {
        let has = |user: &PlainUser| {
            user.attributes.iter().filter(|(name, _)| name == key).any(|(_, value)| match wanted {
                AttributeMatch::Present => true,
                AttributeMatch::OneOf(values) => any_glob(values, value),
            })
        };
        add(true, ask(&plain.user, has));
    }
    add(!fields.dst_user_id.is_empty(), ask(&plain.dst_user, |user| any_glob(&fields.dst_user_id, user.id)));
    add(!fields.dst_user_role.is_empty(), ask(&plain.dst_user, |user| role(user, &fields.dst_user_role)));
    add(
        !fields.country.is_empty(),
        ask(&plain.country, |name| fields.country.iter().any(|wanted| wanted == name)),
    );
    let scheduled = fields.schedule.iter().any(|schedule| schedule.holds(plain.wall));
    add(!fields.schedule.is_empty(), Some(scheduled));
    out
}

fn truth(conditions: &Conditions, plain: &Plain) -> Maybe {
    let not =
        conditions.not.iter().flat_map(|not| answers(not, plain)).map(|answer| answer.map(|holds| !holds));
    let all: Vec<Maybe> = answers(&conditions.all, plain).into_iter().chain(not).collect();
    if all.contains(&Some(false)) {
        Some(false)
    } else if all.contains(&None) {
        None
    } else {
        Some(true)
    }
}

/// Tries every policy in turn.
fn reference(file: &PolicyFile, set: &PolicySet, plain: &Plain) -> Evaluation {
    let mut order: Vec<&Policy> = file.policies.iter().filter(|policy| policy.enabled).collect();
    order.sort_by(|a, b| a.priority.cmp(&b.priority).then(a.policy_id.cmp(&b.policy_id)));
    let mut possible: Vec<(Outcome, Option<PolicyIndex>)> = Vec::new();
    let mut definite = false;
    for policy in order {
        let index = set.find(&policy.policy_id).unwrap();
        match truth(&policy.conditions, plain) {
            Some(false) => {}
            None => possible.push((set.outcome(index).unwrap(), Some(index))),
            Some(true) => {
                possible.push((set.outcome(index).unwrap(), Some(index)));
                definite = true;
                break;
            }
        }
    }
    if !definite {
        match file.default_action {
            Some(_) => {
                let Evaluation::Decided { outcome, .. } = PolicySet::of_default(file.default_action.unwrap())
                    .evaluate(&Facts::none(plain.wall), &mut Scratch::new())
                else {
                    panic!("a default decides")
                };
                possible.push((outcome, None));
            }
            None if possible.is_empty() => return Evaluation::NoDecision,
            None => return Evaluation::Deciding { policy: possible[0].1.unwrap(), awaits: Pending(0) },
        }
    }
    let (outcome, policy) = *possible.last().unwrap();
    let same = possible.iter().all(|(other, _)| *other == outcome);
    let all_block = possible.iter().all(|(other, _)| other.blocks());
    if same || all_block {
        Evaluation::Decided { outcome, policy }
    } else {
        Evaluation::Deciding { policy: possible[0].1.unwrap(), awaits: Pending(0) }
    }
}

fn without_awaits(evaluation: Evaluation) -> Evaluation {
    match evaluation {
        Evaluation::Deciding { policy, .. } => Evaluation::Deciding { policy, awaits: Pending(0) },
        Evaluation::Decided { .. } | Evaluation::NoDecision => evaluation,
    }
}

fn compare(text: &str, cases: &[Plain], resolutions: &[Plain]) -> Result<(), TestCaseError> {
    let mut names = Names::new();
    let users: Vec<[Fact<User>; 2]> = cases.iter().map(|plain| plain.users(&mut names)).collect();
    let facts: Vec<Facts<'_>> =
        cases.iter().zip(&users).map(|(plain, users)| plain.facts(&mut names, users)).collect();
    // Names of the cases that resolve pending facts must be known too when wildcards are resolved.
    for plain in resolutions {
        let users = plain.users(&mut names);
        let _ = plain.facts(&mut names, &users);
    }
    let file = file(text);
    let set = PolicySet::compile(&file, 1, &Environment::default(), &mut names).unwrap();
    let mut scratch = Scratch::new();
    for (plain, facts) in cases.iter().zip(&facts) {
        let found = set.evaluate(facts, &mut scratch);
        prop_assert_eq!(without_awaits(found), reference(&file, &set, plain), "{:?}", plain);
        // What is decided early stands, whatever becomes known: the same outcome, or another that blocks.
        let Evaluation::Decided { outcome, .. } = found else { continue };
        for other in resolutions {
            let resolved = plain.resolved(other);
            let users = resolved.users(&mut names);
            let facts = resolved.facts(&mut names, &users);
            match set.evaluate(&facts, &mut scratch) {
                Evaluation::Decided { outcome: later, .. } => {
                    prop_assert!(later == outcome || (later.blocks() && outcome.blocks()), "{:?}", resolved);
                }
                other => prop_assert!(false, "{:?} after everything is known", other),
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn small_sets_agree_with_the_reference(
        text in set_text(12),
        cases in prop::collection::vec(plain(), 1..24),
        resolutions in prop::collection::vec(plain(), 4),
    ) {
        compare(&text, &cases, &resolutions)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Up to three bands of evaluation order and hundreds of combinations of fields.
    #[test]
    fn large_sets_agree_with_the_reference(
        text in set_text(1_500),
        cases in prop::collection::vec(plain(), 1..24),
    ) {
        compare(&text, &cases, &[])?;
    }
}
