//! Policy sets of any size, as operators write them.
//!
//! Networks, ports, protocols, zones, applications, users; none matches the harness's traffic (its hosts are
//! in 10.0.0.0/8, the policies' in 172.16.0.0/12 and above) unless asked: a box must look at them all the
//! same.

use std::sync::Arc;

use dataplane::policy::{Environment, Names, PolicyFile, PolicySet};

/// A policy file as JSON with `count` policies. With `hits` every fourth one names hosts of the traffic.
pub(crate) fn json(count: usize, hits: bool) -> String {
    let policies: Vec<serde_json::Value> = (0..count)
        .map(|index| {
            let (high, low) = (index / 200 % 200, index % 200);
            let conditions = match index % 4 {
                0 if hits => serde_json::json!({
                    "src_ip": [format!("10.0.{}.0/26", 1 + index / 4 % 230)],
                    "dst_port": [format!("{}", 9000 + index % 3)],
                }),
                0 => serde_json::json!({
                    "src_ip": [format!("172.16.{high}.{low}")], "protocol": ["tcp"], "dst_port": ["443", "8000-8100"],
                }),
                1 => serde_json::json!({
                    "zone": ["outside"], "dst_ip": [format!("172.20.{high}.0/24")], "dst_port": [format!("{}", 1 + index % 60_000)],
                }),
                2 => serde_json::json!({
                    "src_ip": [format!("192.168.{high}.0/28")], "not": {"dst_ip": [format!("203.0.113.{low}")]},
                }),
                _ => serde_json::json!({
                    "src_ip": [format!("172.24.{high}.{low}")], "application": [format!("app-{}", index % 50)],
                    "user_role": [format!("role-{}", index % 7)],
                }),
            };
            serde_json::json!({
                "policy_id": format!("perf-{index:05}"),
                "name": format!("Load policy {index}"),
                "enabled": true,
                "priority": 100 + index,
                "conditions": conditions,
                "action": if index % 4 == 0 && hits { "allow" } else { "drop" },
            })
        })
        .collect();
    serde_json::json!({"default_action": "allow", "policies": policies}).to_string()
}

/// The same, compiled.
///
/// # Errors
///
/// What the language or the compiler finds wrong: a mistake in this file.
pub(crate) fn compiled(count: usize, hits: bool, version: u32) -> Result<Arc<PolicySet>, String> {
    let text = json(count, hits);
    let file = PolicyFile::parse("generated", text.as_bytes()).map_err(|errors| join(&errors))?;
    let set = PolicySet::compile(&file, version, &Environment::default(), &mut Names::new())
        .map_err(|errors| join(&errors))?;
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
    }
}
