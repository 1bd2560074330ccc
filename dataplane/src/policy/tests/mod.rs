//! Cases of the policy language and its meaning; `against_reference` compares with a slow, obvious evaluator.

mod against_reference;
mod analysis;
mod language;
mod meaning;

use super::*;
use crate::parse::Addr;
use crate::time::Wall;
use std::net::IpAddr;

/// Monday 2026-03-02 10:00 UTC.
const MONDAY_TEN: Wall = Wall(1_772_445_600_000_000_000);

fn file(text: &str) -> PolicyFile {
    PolicyFile::parse("policies.json", text.as_bytes()).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let errors = PolicyFile::parse("p.json", text.as_bytes()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn compiled(text: &str, names: &mut Names) -> PolicySet {
    PolicySet::compile(&file(text), 1, &Environment::default(), names).unwrap()
}

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

/// TCP from 10.1.2.3:40000, inside, to 192.0.2.1:443.
fn web() -> Facts<'static> {
    Facts {
        zone: Fact::Known(0),
        in_port: Fact::Known(0),
        vlan: Fact::Known(0),
        src_ip: Fact::Known(addr("10.1.2.3")),
        dst_ip: Fact::Known(addr("192.0.2.1")),
        src_port: Fact::Known(40_000),
        dst_port: Fact::Known(443),
        l4_protocol: Fact::Known(6),
        ..Facts::none(MONDAY_TEN)
    }
}

/// The policy that decides, `"default"`, `"deciding"` or `"none"`.
fn judge(set: &PolicySet, facts: &Facts<'_>) -> String {
    match set.evaluate(facts, &mut Scratch::new()) {
        Evaluation::Decided { policy: Some(policy), .. } => set.info(policy).unwrap().policy_id.clone(),
        Evaluation::Decided { policy: None, .. } => "default".to_owned(),
        Evaluation::Deciding { .. } => "deciding".to_owned(),
        Evaluation::NoDecision => "none".to_owned(),
    }
}
