//! What would another policy set have done with the traffic of the last minutes, or with that of a capture, before anything changes?
//!
//! Of the past there are the records of flows that have ended (`records`): both sets judge the same facts by the workers' own evaluation.
//! What a record cannot tell is pending, and a flow of which either set would have to know it is `unknown`, not guessed. A capture goes
//! through `jarvis replay`, the whole engine with the proposal as its shadow (`capture`). Either is a job.

mod capture;
mod records;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dataplane::account::Change;
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;
use super::differences::{Compared, Differences, FlowDifferences, FlowSum, PolicySide};
use super::job_board::{JobError, JobView};
use super::policies::PolicyLoadError;
use super::recorded_flow::RecordedFlow;
use crate::store::{StoreError, Upload};

/// Minutes of the past that can be asked for: thirty days.
pub const MINUTES_MAX: u32 = 30 * 24 * 60;

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WhatIfView {
    /// `records` or `capture`.
    pub source: &'static str,
    /// Of records: from this time on, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_s: Option<u64>,
    /// Flows that were looked at.
    pub flows: FlowSum,
    /// Those that would fare as under the set in force.
    pub same: FlowSum,
    /// Those of which it cannot be told, because a fact is missing that one of the sets asks for.
    pub unknown: FlowSum,
    /// How many flows lack which fact.
    pub missing: BTreeMap<&'static str, u64>,
    /// Which flows, users and applications would fare otherwise.
    #[serde(flatten)]
    pub differences: FlowDifferences,
    /// Why it is not all of it, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// Sums under way.
#[derive(Debug, Default)]
struct Comparing {
    view: WhatIfView,
    differences: Differences,
}

impl Comparing {
    fn same(&mut self, sum: FlowSum) {
        self.view.flows.add(sum);
        self.view.same.add(sum);
    }

    fn differs(&mut self, flow: &RecordedFlow, change: Change, live: &PolicySide, proposed: &PolicySide) {
        self.view.flows.add(flow.sum);
        let compared = Compared {
            change,
            live,
            proposed,
            user_id: flow.told.user.as_deref(),
            application: flow.told.application.as_deref(),
            sum: flow.sum,
        };
        self.differences.add(&compared, || flow.ends());
    }

    fn unknown(&mut self, sum: FlowSum, missing: impl Iterator<Item = &'static str>) {
        self.view.flows.add(sum);
        self.view.unknown.add(sum);
        for fact in missing {
            *self.view.missing.entry(fact).or_default() += sum.flows;
        }
    }
}

/// Why it is not asked.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The proposal has errors.
    #[error(transparent)]
    Proposal(#[from] PolicyLoadError),
    /// No records are kept.
    #[error("the box keeps no records of flows: `[store.flows] keep` is off")]
    NoRecords,
    /// No captures are taken.
    #[error("the box runs without a state directory: it has no place for captures")]
    NoCaptures,
    /// It cannot be kept while it is compared.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no room for a job.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl Services {
    /// Takes the job of comparing the set in force with a proposal over the flows that ended in the last `minutes`.
    ///
    /// # Errors
    ///
    /// [`WhatIfError`].
    pub fn what_if_records(
        &self,
        proposal: &[u8],
        minutes: u32,
        user_id: &str,
    ) -> Result<JobView, WhatIfError> {
        let proposal = self.policies().proposal(proposal)?;
        let directory: PathBuf = self.live.flow_log().ok_or(WhatIfError::NoRecords)?;
        let names = Arc::clone(&self.names);
        let geography = self.door.publisher.current().geography.clone();
        let from_ns = self.now_ns().saturating_sub(u64::from(minutes) * 60_000_000_000);
        let question = records::Question { directory, names, geography, from_ns };
        Ok(self.jobs.submit("policy.what_if", user_id, self.clock, move |progress| {
            let view = records::compare(proposal, &question, progress)?;
            serde_json::to_value(view).map_err(|error| error.to_string())
        })?)
    }

    /// The same over the traffic of a capture.
    ///
    /// # Errors
    ///
    /// [`WhatIfError`]; the upload is gone then.
    pub fn what_if_capture(
        &self,
        proposal: &[u8],
        upload: Upload,
        user_id: &str,
    ) -> Result<JobView, WhatIfError> {
        let proposal = self.policies().proposal(proposal)?;
        let Some((uploads, reader)) = &self.captures else { return Err(WhatIfError::NoCaptures) };
        let mut files = [uploads.begin()?, uploads.begin()?];
        for (file, document) in files.iter_mut().zip(&proposal.documents) {
            file.write(document)?;
        }
        let (reader, actions) = (reader.clone(), proposal.actions);
        Ok(self.jobs.submit("policy.what_if", user_id, self.clock, move |progress| {
            let view = capture::compare(&reader, &upload, &files, &actions, progress)?;
            serde_json::to_value(view).map_err(|error| error.to_string())
        })?)
    }
}
