//! Which policies of a set can never decide a flow, or would not be missed? Found from what is written, with the policies that cause it.
//!
//! The kinds are those of firewall anomaly analysis (Al-Shaer and Hamed, "Discovery of Policy Anomalies in Distributed Firewalls",
//! INFOCOM 2004): a policy is compared with each one before it, and with those before it that cover it only together. What the
//! texts do not show is not told. Quadratic in the policies, a few nanoseconds a pair: for a save and for `check`, never for workers.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use super::condition::Field;
use super::cover::{self, FIELDS, Gap};
use super::error::PolicyError;
use super::model::{Action, Conditions, Fields, Policy, PolicyFile};
use super::sketch::Sketch;

/// Policies that together cover one, at most.
const TOGETHER_MAX: usize = 64;

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// Earlier policies match all that it matches, and do something else.
    Shadowed,
    /// Without it every flow would be decided alike.
    Redundant,
    /// An earlier policy has the same conditions and another action.
    Contradictory,
    /// Its own conditions exclude each other, or ask for what nothing on this box tells.
    Impossible,
    /// What it does begins with the client's second try.
    Retried,
}

impl FindingKind {
    /// As the API and `check` write it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Shadowed => "shadowed",
            Self::Redundant => "redundant",
            Self::Contradictory => "contradictory",
            Self::Impossible => "impossible",
            Self::Retried => "retried",
        }
    }
}

/// A policy that does not do what its author may think.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding<'a> {
    /// Which policy.
    pub policy: &'a Policy,
    /// What is wrong with it.
    pub kind: FindingKind,
    /// The policies that cause it, in evaluation order.
    pub by: Vec<&'a Policy>,
    /// The field in which its conditions exclude each other.
    pub field: Option<Field>,
}

impl Finding<'_> {
    /// The whole of it in words.
    #[must_use]
    pub fn message(&self) -> String {
        let by = self.by.iter().map(|policy| policy.policy_id.as_str()).collect::<Vec<_>>().join(", ");
        let (is_before, matches, does) = match self.by.as_slice() {
            [_] => ("is evaluated before it", "matches", "does"),
            _ => ("are evaluated before it", "match together", "do"),
        };
        match self.kind {
            FindingKind::Shadowed => {
                format!(
                    "never reached: {by} {is_before}, {matches} all that it matches, and {does} something else"
                )
            }
            FindingKind::Redundant if self.by.first().is_some_and(|by| is_before_policy(self.policy, by)) => {
                format!(
                    "not needed: {by} is evaluated after it, matches all that it matches, and does the same"
                )
            }
            FindingKind::Redundant => {
                format!("never reached: {by} {is_before}, {matches} all that it matches, and {does} the same")
            }
            FindingKind::Contradictory => {
                format!("never reached: {by} {is_before}, has the same conditions, and does something else")
            }
            FindingKind::Impossible | FindingKind::Retried => {
                let field = self.field.map_or("conditions", Field::label);
                format!("never matches: its `not` excludes all that its `{field}` asks for")
            }
        }
    }
}

impl PolicyFile {
    /// Every policy that can never decide a flow or would not be missed, in evaluation order; one finding each.
    #[must_use]
    pub fn analyse(&self) -> Vec<Finding<'_>> {
        let order = self.in_order();
        let asked: Vec<u32> = order.iter().map(|policy| mask(&policy.conditions.all)).collect();
        let sketches: Vec<Sketch> = order.iter().map(|policy| Sketch::of(&policy.conditions)).collect();
        let mut is_alive = vec![true; order.len()];
        let mut findings = Vec::new();
        for (place, policy) in order.iter().copied().enumerate() {
            let meets = |other: &usize| sketches[*other].may_meet(&sketches[place]);
            let earlier = (0..place).filter(|other| asked[*other] & !asked[place] == 0).filter(meets);
            let earlier = earlier.filter(|other| is_alive[*other]).map(|other| order[other]);
            let later = (place + 1..order.len()).filter(meets).map(|other| order[other]);
            let found =
                impossible(policy).or_else(|| covered(policy, earlier)).or_else(|| unneeded(policy, later));
            if let Some(finding) = found {
                // Who is not needed is still there for others; who is never reached has others in its place.
                is_alive[place] = finding.by.first().is_some_and(|by| is_before_policy(policy, by));
                findings.push(finding);
            }
        }
        findings
    }

    /// Enabled policies as they are evaluated.
    pub(super) fn in_order(&self) -> Vec<&Policy> {
        let mut order: Vec<&Policy> = self.policies.iter().filter(|policy| policy.enabled).collect();
        order.sort_by(|a, b| rank(a).cmp(&rank(b)));
        order
    }

    /// Policies of one priority with the same conditions and different actions: only their names would decide.
    pub(super) fn ambiguities(&self) -> Vec<PolicyError> {
        let mut alike: HashMap<(i32, u64), Vec<&Policy>> = HashMap::new();
        let mut errors = Vec::new();
        for (index, policy) in self.policies.iter().enumerate().filter(|(_, policy)| policy.enabled) {
            let same = alike.entry((policy.priority, fingerprint(&policy.conditions))).or_default();
            let is_against = |other: &&&Policy| {
                other.action != policy.action && is_same(&other.conditions, &policy.conditions)
            };
            if let Some(other) = same.iter().find(is_against) {
                errors.push(PolicyError {
                    file: self.file.clone(),
                    line: policy.line,
                    column: 1,
                    path: format!("policies[{index}]"),
                    reason: format!(
                        "ambiguous: policy {} (line {}) has the same priority {} and the same conditions, and another action; \
                         give one of them another priority, or remove it",
                        other.policy_id, other.line, other.priority
                    ),
                });
            }
            // More of them than this are the same one over and over.
            if same.len() < TOGETHER_MAX {
                same.push(policy);
            }
        }
        errors
    }
}

fn rank(policy: &Policy) -> (i32, &str) {
    (policy.priority, &policy.policy_id)
}

fn is_before_policy(a: &Policy, b: &Policy) -> bool {
    rank(a) < rank(b)
}

fn impossible(policy: &Policy) -> Option<Finding<'_>> {
    let field = cover::contradicts_itself(&policy.conditions)?;
    Some(Finding { policy, kind: FindingKind::Impossible, by: Vec::new(), field: Some(field) })
}

/// What policies before it leave of a policy: nothing, where there is a finding.
fn covered<'a>(policy: &'a Policy, earlier: impl Iterator<Item = &'a Policy>) -> Option<Finding<'a>> {
    let mut partly: Vec<(Field, &Policy)> = Vec::new();
    for other in earlier {
        match cover::gap(&other.conditions, &policy.conditions) {
            Gap::None => {
                let kind =
                    match (does_the_same(other, policy), is_same(&other.conditions, &policy.conditions)) {
                        (true, _) => FindingKind::Redundant,
                        (false, true) => FindingKind::Contradictory,
                        (false, false) => FindingKind::Shadowed,
                    };
                return Some(Finding { policy, kind, by: vec![other], field: None });
            }
            Gap::Values(field) if partly.len() < TOGETHER_MAX => partly.push((field, other)),
            Gap::Values(_) | Gap::Wide => {}
        }
    }
    let by = FIELDS.into_iter().find_map(|field| together(field, policy, &partly))?;
    let is_alike = by.iter().all(|other| does_the_same(other, policy));
    let kind = if is_alike { FindingKind::Redundant } else { FindingKind::Shadowed };
    Some(Finding { policy, kind, by, field: None })
}

/// The policies whose values of one field cover a policy's together.
fn together<'a>(field: Field, policy: &Policy, partly: &[(Field, &'a Policy)]) -> Option<Vec<&'a Policy>> {
    let mut by = partly.iter().filter(|(other, _)| *other == field).map(|(_, policy)| *policy);
    let first = by.next()?;
    let mut joined = Conditions { all: first.conditions.all.clone(), not: None };
    let mut joining = vec![first];
    for other in by {
        if !cover::join(field, &mut joined.all, &other.conditions.all) {
            return None;
        }
        joining.push(other);
        // What the others ask besides is met: only values of this field were missing.
        if is_covered_in(field, &joined.all, &policy.conditions.all) {
            return Some(joining);
        }
    }
    None
}

fn is_covered_in(field: Field, joined: &Fields, fields: &Fields) -> bool {
    let only = |of: &Fields| {
        let mut only = Conditions::default();
        cover::join(field, &mut only.all, of).then_some(only)
    };
    only(joined).zip(only(fields)).is_some_and(|(wide, narrow)| cover::covers(&wide, &narrow))
}

/// A policy behind it that would do the same to all it matches, with nothing in between that would not.
fn unneeded<'a>(policy: &'a Policy, later: impl Iterator<Item = &'a Policy>) -> Option<Finding<'a>> {
    for other in later {
        let is_alike = does_the_same(other, policy);
        if is_alike && cover::covers(&other.conditions, &policy.conditions) {
            return Some(Finding { policy, kind: FindingKind::Redundant, by: vec![other], field: None });
        }
        if !is_alike && cover::may_overlap(&other.conditions, &policy.conditions) {
            return None;
        }
    }
    None
}

fn does_the_same(a: &Policy, b: &Policy) -> bool {
    // Each rate limit has buckets of its own.
    a.action == b.action
        && !matches!(a.action, Action::RateLimit(_))
        && (a.log, a.mirror, a.capture, a.inspect) == (b.log, b.mirror, b.capture, b.inspect)
}

fn is_same(a: &Conditions, b: &Conditions) -> bool {
    cover::covers(a, b) && cover::covers(b, a)
}

/// Fields that must be written wherever they are here.
fn mask(fields: &Fields) -> u32 {
    FIELDS
        .into_iter()
        .filter(|field| cover::is_written(*field, fields))
        .fold(0, |mask, field| mask | 1 << field as u32)
}

/// The same for conditions that are written alike, in whatever order.
fn fingerprint(conditions: &Conditions) -> u64 {
    let state = FixedState::default();
    let of = |fields: &Fields, salt: u8| {
        let ranges = [&fields.src_ip, &fields.dst_ip].into_iter().flat_map(|set| &set.v4);
        let ports = fields.src_port.iter().chain(&fields.dst_port);
        let words =
            [&fields.application, &fields.category, &fields.user_id, &fields.user_role, &fields.groups];
        let words = words.into_iter().flatten().map(|word| state.hash_one(word.to_ascii_lowercase()));
        let numbers =
            ranges.map(|range| state.hash_one(range)).chain(ports.map(|range| state.hash_one(range)));
        let sum = numbers.chain(words).fold(0, u64::wrapping_add);
        state.hash_one((salt, mask(fields), sum))
    };
    of(&conditions.all, 1) ^ conditions.not.as_ref().map_or(0, |not| of(not, 2))
}
