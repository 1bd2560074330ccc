//! Which policies in force do not do what their author may think? Told when a set is saved, and when somebody asks.

use dataplane::policy::{PolicyFile, Warning};
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;
use super::policies::PolicyEntry;
use super::policy_counts::{CountedState, PolicyCounts};

/// Findings that the answer to a change tells.
const TOLD_MAX: usize = 100;

/// Whoever was in force for less than this has not been idle.
const IDLE_S_MIN: u64 = 60;

/// A policy to look at. The set is valid all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyFinding {
    /// Which policy.
    pub policy_id: String,
    /// `shadowed` (never reached: earlier ones match all it matches and do something else), `redundant` (it would not be missed),
    /// `contradictory` (an earlier one has the same conditions and another action), `impossible` (its conditions never hold) or
    /// `retried` (it takes effect with the client's second try); where somebody asks also `never_hit` (no flow has come under it since it
    /// is counted, though nothing of what is written keeps flows from it).
    pub kind: &'static str,
    /// The policies that cause it, in evaluation order.
    pub by: Vec<String>,
    /// Where the policy stands in the document, from line 1.
    pub line: u32,
    /// All of it in words.
    pub message: String,
}

impl From<Warning> for PolicyFinding {
    fn from(warning: Warning) -> Self {
        let Warning { line, policy_id, kind, by, message, .. } = warning;
        Self { policy_id, kind: kind.label(), by, line, message }
    }
}

fn never_hit(entry: &PolicyEntry, idle_s: u64) -> PolicyFinding {
    PolicyFinding {
        policy_id: entry.policy_id.clone(),
        kind: "never_hit",
        by: Vec::new(),
        line: entry.line,
        message: format!("never hit: no flow has come under it in the {idle_s} s since it is counted"),
    }
}

/// What was found in the texts, and which policies besides were never needed, in evaluation order.
fn with_idle(
    entries: &[PolicyEntry],
    counts: &[PolicyCounts],
    of_texts: Vec<PolicyFinding>,
    now_s: u64,
) -> Vec<PolicyFinding> {
    let mut findings = Vec::with_capacity(of_texts.len());
    let mut of_texts = of_texts.into_iter().peekable();
    for (entry, counts) in entries.iter().zip(counts).filter(|(entry, _)| entry.enabled) {
        let before = findings.len();
        while let Some(finding) = of_texts.next_if(|finding| finding.policy_id == entry.policy_id) {
            findings.push(finding);
        }
        let idle_s = counts.counted_since_s.map(|since_s| now_s.saturating_sub(since_s));
        if findings.len() == before
            && counts.hits == 0
            && let Some(idle_s) = idle_s.filter(|idle_s| *idle_s >= IDLE_S_MIN)
        {
            findings.push(never_hit(entry, idle_s));
        }
    }
    findings
}

/// What was found when a set was saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToldFindings {
    /// The first of them, in evaluation order.
    pub told: Vec<PolicyFinding>,
    /// How many more there are.
    pub left_out: usize,
}

impl Services {
    /// The version in force, and what is to be looked at in it, in evaluation order. Quadratic in the policies: half a second where
    /// there are ten thousand.
    #[must_use]
    pub fn policy_findings(&self) -> (u32, Vec<PolicyFinding>) {
        let CountedState { state, counts, .. } = self.policy_counted();
        let of_texts = self.findings_of(&state.document);
        let findings = with_idle(&state.entries, &counts, of_texts, self.now_s());
        (state.set.version(), findings)
    }

    /// The same of a document that was saved.
    pub(super) fn told_findings(&self, document: &[u8]) -> ToldFindings {
        let mut told = self.findings_of(document);
        let left_out = told.len().saturating_sub(TOLD_MAX);
        told.truncate(TOLD_MAX);
        ToldFindings { told, left_out }
    }

    fn findings_of(&self, document: &[u8]) -> Vec<PolicyFinding> {
        let supplied = self.door.publisher.current().settings.supplied;
        // What is in force was read before.
        let file = PolicyFile::parse("policies", document).unwrap_or_default();
        file.lint(supplied).into_iter().map(PolicyFinding::from).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::services::{Applications, Policies};
    use dataplane::control::Settings;
    use dataplane::policy::Environment;

    const POLICIES: &[u8] = br#"{"default_action": "allow", "policies": [
        {"policy_id": "used", "priority": 1, "conditions": {"dst_port": 1}, "action": "drop"},
        {"policy_id": "hidden", "priority": 2, "conditions": {"dst_port": 1}, "action": "reject"},
        {"policy_id": "off", "priority": 3, "enabled": false, "conditions": {"dst_port": 3}, "action": "drop"},
        {"policy_id": "idle", "priority": 4, "conditions": {"dst_port": 4}, "action": "drop"},
        {"policy_id": "young", "priority": 5, "conditions": {"dst_port": 5}, "action": "drop"},
        {"policy_id": "uncounted", "priority": 6, "conditions": {"dst_port": 6}, "action": "drop"},
        {"policy_id": "idle-too", "priority": 7, "conditions": {"dst_port": 7}, "action": "drop"}]}"#;

    #[test]
    fn a_policy_that_is_counted_for_a_minute_and_was_never_needed_is_told() {
        let mut policies = Policies::new(Environment::default(), true, Applications::default());
        let entries = policies.compile("p", POLICIES, 1).unwrap().entries;
        let file = PolicyFile::parse("p", POLICIES).unwrap();
        let of_texts = file.lint(Settings::default().supplied).into_iter().map(PolicyFinding::from).collect();
        let counts: Vec<PolicyCounts> = entries
            .iter()
            .map(|entry| PolicyCounts {
                hits: u64::from(entry.policy_id == "used"),
                counted_since_s: match entry.policy_id.as_str() {
                    "uncounted" => None,
                    "young" => Some(1_041),
                    _ => Some(1_040),
                },
                ..PolicyCounts::default()
            })
            .collect();
        let found = with_idle(&entries, &counts, of_texts, 1_040 + IDLE_S_MIN);
        let told: Vec<_> = found.iter().map(|one| (one.policy_id.as_str(), one.kind, one.line)).collect();
        let hidden = found.iter().find(|one| one.policy_id == "hidden").unwrap().kind;
        assert_ne!(hidden, "never_hit", "what its text says of it says more");
        assert_eq!(told, [("hidden", hidden, 3), ("idle", "never_hit", 5), ("idle-too", "never_hit", 8)]);
        assert_eq!(found[1].message, "never hit: no flow has come under it in the 60 s since it is counted");
        // A second earlier nobody was idle long enough.
        let text = vec![found[0].clone()];
        assert_eq!(with_idle(&entries, &counts, text.clone(), 1_039 + IDLE_S_MIN), text);
    }
}
