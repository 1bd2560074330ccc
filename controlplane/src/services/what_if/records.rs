//! Two policy sets over the records of flows that have ended.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::geography::Geography;
use dataplane::policy::{Evaluation, PolicyIndex, Scratch};

use super::{Comparing, WhatIfView};
use crate::services::differences::{FlowSum, PolicySide};
use crate::services::job_board::Progress;
use crate::services::names::Names;
use crate::services::policies::Proposal;
use crate::services::recorded_flow::RecordedFlow;
use crate::store::segments::{Query, read};

/// How long it is worked on: some 30 million flows.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Flows judged at once, after the names that are new among them.
const FLOWS_AT_ONCE: usize = 4_096;

/// Which records.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) directory: PathBuf,
    /// Interfaces and users.
    pub(super) names: Arc<Names>,
    /// Where flows are; `None` where nobody tells.
    pub(super) geography: Option<Arc<Geography>>,
    pub(super) from_ns: u64,
}

/// Compares; a sentence where it came to nothing.
pub(super) fn compare(
    proposal: Proposal,
    question: &Question,
    progress: &Progress,
) -> Result<WhatIfView, String> {
    let mut judge = Judge {
        proposal,
        geography: question.geography.clone(),
        waiting: Vec::with_capacity(FLOWS_AT_ONCE),
        scratch: [Scratch::new(), Scratch::new()],
        comparing: Comparing::default(),
    };
    judge.comparing.view.source = "records";
    judge.comparing.view.from_s = Some(question.from_ns / 1_000_000_000);
    let deadline = Instant::now() + TIME_MAX;
    let query = Query { from_ns: question.from_ns, ..Query::default() };
    let (mut stopped, mut failed) = (None, None);
    let page = read(&question.directory, &query, &mut |found| {
        if let Ok(event) = serde_json::from_slice(found.body)
            && let Some(flow) = RecordedFlow::read(&event, &question.names)
        {
            judge.waiting.push(flow);
        }
        if judge.waiting.len() < FLOWS_AT_ONCE {
            return ControlFlow::Continue(());
        }
        if let Err(error) = judge.all() {
            failed = Some(error);
        } else if progress.is_cancelled() {
            failed = Some("It was ended by request.".to_owned());
        } else if Instant::now() >= deadline {
            stopped = Some(format!("It was ended after {} s.", TIME_MAX.as_secs()));
        }
        let is_over = failed.is_some() || stopped.is_some();
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let page = page.map_err(|error| format!("The records cannot be read: {error}."))?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    judge.all()?;
    let Comparing { mut view, differences } = judge.comparing;
    view.differences = differences.view();
    let damaged = (page.damaged > 0).then(|| format!("{} places of the records are damaged.", page.damaged));
    view.incomplete = stopped.or(damaged);
    Ok(view)
}

struct Judge {
    proposal: Proposal,
    geography: Option<Arc<Geography>>,
    waiting: Vec<RecordedFlow>,
    /// Of the live set, and of the proposed one.
    scratch: [Scratch; 2],
    comparing: Comparing,
}

impl Judge {
    /// Judges the flows that wait.
    fn all(&mut self) -> Result<(), String> {
        let mut is_stale = false;
        for flow in &self.waiting {
            for (kind, name) in flow.names() {
                let Proposal { live, proposed, names, .. } = &mut self.proposal;
                if names.find(kind, name).is_none() {
                    names.intern(kind, name);
                    is_stale |= live.has_wildcard_for(kind, name) || proposed.has_wildcard_for(kind, name);
                }
            }
        }
        if is_stale {
            self.proposal.again().map_err(|error| format!("The sets cannot be compiled again: {error}."))?;
        }
        for flow in std::mem::take(&mut self.waiting) {
            self.one(&flow);
        }
        Ok(())
    }

    fn one(&mut self, flow: &RecordedFlow) {
        let Proposal { live, proposed, names, actions, .. } = &self.proposal;
        let users = flow.users(names);
        if flow.aggregated > 0 {
            // They ended while the rings were full: only their number is known.
            let sum = FlowSum { flows: flow.aggregated, ..FlowSum::default() };
            self.comparing.unknown(sum, ["record"].into_iter());
        }
        let [of_live, of_proposed] = &mut self.scratch;
        let judged = |set: &dataplane::policy::PolicySet, scratch: &mut Scratch| {
            let facts =
                flow.facts(set, names, users.each_ref().map(Option::as_ref), self.geography.as_deref());
            match set.evaluate(&facts, scratch) {
                Evaluation::Decided { policy, .. } => Ok(policy),
                Evaluation::NoDecision => Ok(None),
                Evaluation::Deciding { awaits, .. } => Err(awaits),
            }
        };
        let (by_live, by_proposed) = (judged(live, of_live), judged(proposed, of_proposed));
        let (Ok(by_live), Ok(by_proposed)) = (by_live, by_proposed) else {
            let mut missing = by_live.err().unwrap_or_default();
            missing.0 |= by_proposed.err().unwrap_or_default().0;
            self.comparing.unknown(flow.sum, missing.names());
            return;
        };
        let treatment = proposed.treatment(by_proposed);
        let Some(change) = live.treatment(by_live).change_to(treatment) else {
            self.comparing.same(flow.sum);
            return;
        };
        let id = |set: &dataplane::policy::PolicySet, policy: Option<PolicyIndex>| {
            policy.and_then(|policy| set.info(policy)).map(|info| info.policy_id.as_str().into())
        };
        let live = actions.side(id(live, by_live));
        let proposed = PolicySide { policy_id: id(proposed, by_proposed), action: Some(treatment.name()) };
        self.comparing.differs(flow, change, &live, &proposed);
    }
}
