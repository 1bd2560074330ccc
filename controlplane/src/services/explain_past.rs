//! Why did a flow get through, or not, that has ended? Its record, and what the policies of its time make of it.
//!
//! Everything is judged again: facts from the record against the version under which the flow was decided, as it was saved. What records
//! do not tell (`recorded_flow`) is pending, so that a policy that asks for it *may* match, and the answer says so.

use std::sync::Arc;

use dataplane::policy::{Evaluation, Scratch};
use serde_json::Value;

use super::Services;
use super::live::{Filter, Question};
use super::names::outer_flow_id;
use super::policies::{Judgement, PolicyLoadError};
use super::recorded_flow::RecordedFlow;
use crate::store::{PolicyVersion, StoreError};

/// Records of one number that are looked at: numbers come again after a restart.
const RECORDS_MAX: usize = 64;

/// A flow that has ended, with the reasons for what became of it.
#[derive(Debug)]
pub struct ExplainedPast {
    /// Its record.
    pub event: Value,
    /// What the policies of its time make of it.
    pub judgement: Judgement,
    /// The version as it was saved; `None`: its time's is not kept, and those in force were asked.
    pub version: Option<PolicyVersion>,
    /// Whether that is what the record has: the same policy.
    pub agrees: bool,
}

/// Why it is not explained.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// Records or versions cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The set of its time cannot be compiled any more.
    #[error("the policies of its time cannot be compiled on this box as it is now: {0}")]
    Policies(#[from] PolicyLoadError),
}

impl Services {
    /// Explains a flow that has ended, by its record; `None`: there is none of that number, or none is kept. Reads the disk.
    ///
    /// # Errors
    ///
    /// [`PastError`].
    pub fn explain_past(&self, flow_id: u64, tried_max: usize) -> Result<Option<ExplainedPast>, PastError> {
        let filter = Filter { flow_id: Some(outer_flow_id(flow_id)), ..Filter::default() };
        let question = Question { flows: true, filter, limit: RECORDS_MAX, ..Question::default() };
        let past = self.live.past(&question)?.unwrap_or_default();
        let Some((told_us, event)) = past.events.into_iter().next_back() else { return Ok(None) };
        let Some(flow) = RecordedFlow::read(&event, &self.names) else { return Ok(None) };

        let decided_under = event["jarvis"]["policy_version"].as_u64().unwrap_or_default();
        let saved = self.saved_at(decided_under, told_us / 1_000_000)?;
        let (version, document) = saved.unzip();
        let (set, names) = {
            let policies = self.policies();
            let document = document.as_deref().unwrap_or(&policies.current.document);
            policies.compile_aside(document, decided_under as u32, flow.names())?
        };

        let geography = self.door.publisher.current().geography.clone();
        let users = flow.users(&names);
        let users = users.each_ref().map(Option::as_ref);
        let facts = flow.facts(&set, &names, users, geography.as_deref());
        let explanation = set.explain(&facts, &mut Scratch::new(), &names, tried_max);
        let policy_id = match explanation.evaluation {
            Evaluation::Decided { policy, .. } => policy.and_then(|policy| set.info(policy)),
            Evaluation::Deciding { .. } | Evaluation::NoDecision => None,
        };
        let policy_id = policy_id.map(|info| info.policy_id.as_str());
        let is_decided = matches!(explanation.evaluation, Evaluation::Decided { .. });
        let agrees = is_decided && policy_id == event["jarvis"]["policy_id"].as_str();
        let judgement = Judgement { set: Arc::new(set), explanation };
        Ok(Some(ExplainedPast { event, judgement, version, agrees }))
    }

    /// The version, and its document, that was saved last before a set of number `number` was in force at a time in seconds since 1970. Sets that are
    /// compiled again, for names that are new, have numbers of their own.
    fn saved_at(&self, number: u64, at_s: u64) -> Result<Option<(PolicyVersion, Vec<u8>)>, StoreError> {
        let history = self.policies().history.clone();
        let Some(history) = history else { return Ok(None) };
        let is_before =
            |version: &PolicyVersion| u64::from(version.version) <= number && version.saved_s <= at_s;
        let version = history.all()?.into_iter().rfind(is_before);
        version.map(|version| Ok((version.clone(), history.document(&version)?))).transpose()
    }
}
