//! Which policies in force do not do what their author may think? Told when a set is saved, and when somebody asks.

use dataplane::policy::{PolicyFile, Warning};
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;
use super::policies::PolicyEntry;
use super::policy_counts::CountedState;

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
        let mut findings = Vec::with_capacity(of_texts.len());
        let mut of_texts = of_texts.into_iter().peekable();
        let now_s = self.now_s();
        for (entry, counts) in state.entries.iter().zip(&counts).filter(|(entry, _)| entry.enabled) {
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
