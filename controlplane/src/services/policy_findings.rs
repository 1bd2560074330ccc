//! Which policies in force do not do what their author may think? Told when a set is saved, and when somebody asks.

use dataplane::policy::{PolicyFile, Warning};
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;

/// Findings that the answer to a change tells.
const TOLD_MAX: usize = 100;

/// A policy to look at. The set is valid all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyFinding {
    /// Which policy.
    pub policy_id: String,
    /// `shadowed` (never reached: earlier ones match all it matches and do something else), `redundant` (it would not be missed),
    /// `contradictory` (an earlier one has the same conditions and another action), `impossible` (its conditions never hold) or
    /// `retried` (it takes effect with the client's second try).
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
        let state = self.policy();
        (state.set.version(), self.findings_of(&state.document))
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
