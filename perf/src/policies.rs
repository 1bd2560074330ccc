//! Policy sets of any size, as operators write them.
//!
//! Networks, ports, protocols, zones, applications, users; none matches the harness's traffic (its hosts are
//! in 10.0.0.0/8, the policies' in 172.16.0.0/12 and above) unless asked: a box must look at them all the
//! same.

use std::net::Ipv4Addr;
use std::sync::Arc;

use dataplane::policy::{Environment, Names, PolicyFile, PolicySet};
use serde_json::{Map, Value, json};

use crate::traffic::random::Random;

/// Policies as from a generator of access lists: every one asks for other fields, networks are nested in one
/// another and around the hosts of the traffic, ports are single, spans and everything above 1023. None matches.
pub(crate) fn mixed_json(count: usize, seed: u64) -> String {
    const LENGTHS: [u8; 10] = [8, 12, 16, 20, 22, 24, 24, 24, 28, 32];
    const PORTS: [u16; 8] = [22, 25, 53, 80, 123, 443, 3306, 9000];
    let mut random = Random::new(seed);
    let chance = |percent: u64, random: &mut Random| random.below(100) < percent;
    let network = |base: u32, random: &mut Random| {
        let length = LENGTHS[random.below(10) as usize];
        json!([format!("{}/{length}", Ipv4Addr::from(base + random.below(1 << 16) as u32))])
    };
    let policies: Vec<Value> = (0..count)
        .map(|index| {
            let mut conditions = Map::new();
            let mut ask = |field: &str, value: Value| conditions.insert(field.to_owned(), value);
            if chance(80, &mut random) {
                ask("src_ip", network(0x0a00_0000, &mut random));
            }
            if chance(80, &mut random) {
                ask("dst_ip", network(0x0a80_0000, &mut random));
            }
            if chance(60, &mut random) {
                let low = random.below(60_000);
                let ports = match random.below(4) {
                    0 => PORTS[random.below(8) as usize].to_string(),
                    1 => low.to_string(),
                    2 => format!("{low}-{}", low + random.below(5_000)),
                    _ => "1024-65535".to_owned(),
                };
                ask("dst_port", json!([ports]));
            }
            if chance(50, &mut random) {
                ask("protocol", json!([if chance(50, &mut random) { "tcp" } else { "udp" }]));
            }
            if chance(20, &mut random) {
                ask("zone", json!([if chance(50, &mut random) { "inside" } else { "outside" }]));
            }
            // What the traffic has not: the policy is looked at for its other fields, and does not match.
            match random.below(8) {
                0 => drop(ask("vlan", json!([random.below(4_000) + 1]))),
                1 => drop(ask("user_role", json!([format!("role-{}", random.below(20))]))),
                2 => drop(ask("src_port", json!([random.below(1_000)]))),
                _ => drop(ask("application", json!([format!("app-{}", random.below(300))]))),
            }
            policy(index, &Value::Object(conditions), "drop")
        })
        .collect();
    json!({"default_action": "allow", "policies": policies}).to_string()
}

/// Applications that policies and flows speak of.
pub(crate) const APPLICATIONS: u64 = 300;
/// Users.
pub(crate) const USERS: u64 = 5_000;
/// Roles.
pub(crate) const ROLES: u64 = 20;
/// Groups.
pub(crate) const GROUPS: u64 = 200;

/// Policies as a company has them that knows its users: each asks for an application, by name or wildcard, or its category, and for a
/// user, role, group or attribute; some for networks, ports and confidence besides. Most flows meet many of the parts and few policies.
pub(crate) fn users_json(count: usize, seed: u64) -> String {
    let mut random = Random::new(seed);
    let policies: Vec<Value> = (0..count)
        .map(|index| {
            let mut conditions = Map::new();
            let mut ask = |field: &str, value: Value| drop(conditions.insert(field.to_owned(), value));
            match random.below(10) {
                0 => ask("application", json!([format!("app-{}*", random.below(APPLICATIONS))])),
                1 => ask("category", json!([format!("category-{}", random.below(12))])),
                _ => ask("application", json!([format!("app-{}", random.below(APPLICATIONS))])),
            }
            match random.below(10) {
                0..4 => ask("user_id", json!([format!("user-{}", random.below(USERS))])),
                4..6 => ask("user_role", json!([format!("role-{}", random.below(ROLES))])),
                6..8 => ask("groups", json!([format!("group-{}", random.below(GROUPS))])),
                8 => ask("attributes", json!({"department": format!("d-{}", random.below(40))})),
                _ => ask("not", json!({"user_role": [format!("role-{}", random.below(ROLES))]})),
            }
            if random.below(3) == 0 {
                ask("dst_ip", json!([format!("10.{}.0.0/16", 128 + random.below(64))]));
            }
            if random.below(4) == 0 {
                ask("min_confidence", json!(60));
            }
            policy(index, &Value::Object(conditions), if random.below(2) == 0 { "drop" } else { "allow" })
        })
        .collect();
    json!({"default_action": "allow", "policies": policies}).to_string()
}

fn policy(index: usize, conditions: &Value, action: &str) -> Value {
    json!({
        "policy_id": format!("perf-{index:05}"),
        "name": format!("Load policy {index}"),
        "enabled": true,
        "priority": 100 + index,
        "conditions": conditions,
        "action": action,
    })
}

/// A policy file as JSON with `count` policies. With `hits` every fourth one names hosts of the traffic.
pub(crate) fn json(count: usize, hits: bool) -> String {
    let policies: Vec<Value> = (0..count)
        .map(|index| {
            let (high, low) = (index / 200 % 200, index % 200);
            let conditions = match index % 4 {
                0 if hits => json!({
                    "src_ip": [format!("10.0.{}.0/26", 1 + index / 4 % 230)],
                    "dst_port": [format!("{}", 9000 + index % 3)],
                }),
                0 => json!({
                    "src_ip": [format!("172.16.{high}.{low}")], "protocol": ["tcp"], "dst_port": ["443", "8000-8100"],
                }),
                1 => json!({
                    "zone": ["outside"], "dst_ip": [format!("172.20.{high}.0/24")], "dst_port": [format!("{}", 1 + index % 60_000)],
                }),
                2 => json!({
                    "src_ip": [format!("192.168.{high}.0/28")], "not": {"dst_ip": [format!("203.0.113.{low}")]},
                }),
                _ => json!({
                    "src_ip": [format!("172.24.{high}.{low}")], "application": [format!("app-{}", index % 50)],
                    "user_role": [format!("role-{}", index % 7)],
                }),
            };
            policy(index, &conditions, if index % 4 == 0 && hits { "allow" } else { "drop" })
        })
        .collect();
    json!({"default_action": "allow", "policies": policies}).to_string()
}

/// The same, compiled.
///
/// # Errors
///
/// What the language or the compiler finds wrong: a mistake in this file.
pub(crate) fn compiled(count: usize, hits: bool, version: u32) -> Result<Arc<PolicySet>, String> {
    compile(&json(count, hits), version)
}

/// A policy file as JSON, read and compiled.
///
/// # Errors
///
/// As [`compiled`].
pub(crate) fn compile(text: &str, version: u32) -> Result<Arc<PolicySet>, String> {
    compile_with(text, version, &mut Names::new())
}

/// The same where some names have numbers.
///
/// # Errors
///
/// As [`compiled`].
pub(crate) fn compile_with(text: &str, version: u32, names: &mut Names) -> Result<Arc<PolicySet>, String> {
    let file = PolicyFile::parse("generated", text.as_bytes()).map_err(|errors| join(&errors))?;
    let set =
        PolicySet::compile(&file, version, &Environment::default(), names).map_err(|errors| join(&errors))?;
    Ok(Arc::new(set))
}

fn join(errors: &[dataplane::policy::PolicyError]) -> String {
    errors.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_compiles_whole() {
        for (count, hits) in [(0, false), (1000, false), (1000, true)] {
            assert_eq!(compiled(count, hits, 1).unwrap().len(), count);
        }
        assert_eq!(compile(&mixed_json(1000, 1), 1).unwrap().len(), 1000);
        assert_eq!(compile(&users_json(1000, 1), 1).unwrap().len(), 1000);
    }
}
