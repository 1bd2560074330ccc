//! Why did the policies say that? Every policy tried, with the answer of each of its conditions.
//!
//! Linear in the policies and free with strings: for the API, never for packets.

use super::compile::{PolicyIndex, PolicySet};
use super::condition::{Field, Test, Truth};
use super::evaluate::{Evaluation, Scratch};
use super::facts::{Fact, Facts, User};
use super::names::{Kind, NameId, Names};
use super::schedule::WallClock;
use std::fmt::Display;

/// One evaluation, with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer, the same as [`PolicySet::evaluate`] gives.
    pub evaluation: Evaluation,
    /// Policies in evaluation order, up to and with the one that matches; those beyond `limit` are left out.
    pub tried: Vec<Tried>,
    /// How many were left out.
    pub left_out: usize,
}

/// One policy that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub policy: PolicyIndex,
    /// Its identifier.
    pub policy_id: String,
    /// Whether it matches.
    pub truth: Truth,
    /// Its conditions.
    pub conditions: Vec<Met>,
}

/// One condition and what it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The field.
    pub field: Field,
    /// Whether it stands under `not`.
    pub negated: bool,
    /// Whether it holds.
    pub truth: Truth,
    /// The fact, `absent` or `pending`.
    pub value: String,
}

impl PolicySet {
    /// Explains one evaluation with at most `limit` policies that do not match; the matching one and those
    /// that may match are always told.
    #[must_use]
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        scratch: &mut Scratch,
        names: &Names,
        limit: usize,
    ) -> Explanation {
        let evaluation = self.evaluate(facts, scratch);
        let clock = self.clock_of(scratch, facts.wall);
        let mut tried = Vec::new();
        let mut left_out = 0;
        let mut failed = 0;
        for (rank, head) in self.heads.iter().enumerate() {
            let conditions = &self.conditions[head.first as usize..head.end as usize];
            let truth = self.matches(conditions, facts, clock);
            if truth == Truth::False {
                failed += 1;
                if failed > limit {
                    left_out += 1;
                    continue;
                }
            }
            let policy = PolicyIndex(rank as u32);
            let met = conditions.iter().map(|condition| Met {
                field: condition.test.field(),
                negated: condition.negated,
                truth: condition.truth(facts, clock),
                value: self.value_of(&condition.test, facts, names),
            });
            let policy_id = self.info(policy).map(|info| info.policy_id.clone()).unwrap_or_default();
            tried.push(Tried { policy, policy_id, truth, conditions: met.collect() });
            if truth == Truth::True {
                break;
            }
        }
        Explanation { evaluation, tried, left_out }
    }

    fn value_of(&self, test: &Test, facts: &Facts<'_>, names: &Names) -> String {
        let name = |kind: Kind, fact: Fact<NameId>| show(fact.map(|id| names.name(kind, id)));
        let user = |user: Fact<&User>| name(Kind::UserId, user.map(|user| user.id));
        let role = |user: Fact<&User>| match user {
            Fact::Known(user) => name(Kind::Role, user.role.into()),
            Fact::Absent => show::<&str>(Fact::Absent),
            Fact::Pending => show::<&str>(Fact::Pending),
        };
        match test {
            Test::Zone(_) => show(facts.zone),
            Test::InPort(_) => show(facts.in_port),
            Test::Vlan(_) => show(facts.vlan),
            Test::SrcMac(_) => show(facts.src_mac),
            Test::SrcIp(_) => show(facts.src_ip),
            Test::DstIp(_) => show(facts.dst_ip),
            Test::SrcPort(_) => show(facts.src_port),
            Test::DstPort(_) => show(facts.dst_port),
            Test::Protocol { .. } => {
                let l4 = facts.l4_protocol.map(|number| {
                    let known = super::read::L4_PROTOCOLS.iter().find(|(_, other)| *other == number);
                    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
                });
                match facts.l7_protocol {
                    Fact::Absent => show(l4),
                    _ => format!("{}, {}", show(l4), name(Kind::Protocol, facts.l7_protocol)),
                }
            }
            Test::Application(_) => name(Kind::Application, facts.application),
            Test::Category(_) => name(Kind::Category, facts.category),
            Test::MinConfidence(_) => show(facts.confidence),
            Test::UserId(_) => user(facts.user),
            Test::UserRole(_) => role(facts.user),
            Test::Groups(_) => show(facts.user.map(|user| {
                let groups: Vec<&str> = user.groups.iter().map(|id| names.name(Kind::Group, *id)).collect();
                groups.join(", ")
            })),
            Test::Attribute { key, .. } => show(facts.user.map(|user| {
                let values = user.attributes.iter().filter(|(name, _)| name == key);
                let values: Vec<&str> =
                    values.map(|(_, value)| names.name(Kind::AttributeValue, *value)).collect();
                format!("{}: {}", names.name(Kind::AttributeKey, *key), values.join(", "))
            })),
            Test::DstUserId(_) => user(facts.dst_user),
            Test::DstUserRole(_) => role(facts.dst_user),
            Test::Country(_) => name(Kind::Country, facts.country),
            Test::Schedule(schedules) => {
                let clocks = schedules.iter().filter_map(|index| {
                    let compiled = self.schedules.get(*index as usize)?;
                    let zone = &compiled.schedule.time_zone;
                    let clock = WallClock::at(facts.wall, zone);
                    let day =
                        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][usize::from(clock.weekday % 7)];
                    let (hour, minute) = (clock.minute / 60, clock.minute % 60);
                    Some(format!("{day} {hour:02}:{minute:02} {}", zone.iana_name().unwrap_or("UTC")))
                });
                clocks.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

fn show<T: Display>(fact: Fact<T>) -> String {
    match fact {
        Fact::Known(value) => value.to_string(),
        Fact::Absent => "absent".to_owned(),
        Fact::Pending => "pending".to_owned(),
    }
}
