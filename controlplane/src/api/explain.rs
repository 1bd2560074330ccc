//! `/policy/explain`: why does this flow get through, or not?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::flows::problem_of;
use super::jobs::Jobs;
use super::policy::JudgementView;
use super::problem::{Code, Problem};
use super::request::Parameters;
use crate::services::Services;
use crate::services::explain_past::PastError;
use crate::services::identities::IdentityView;
use crate::services::names::inner_flow_id;

/// Policies that do not match are told up to this many.
const TRIED_DEFAULT: usize = 100;

/// A flow with the reasons for what becomes of it.
#[derive(Serialize, ToSchema)]
pub(super) struct ExplainView {
    /// Whether it is over: then `flow` is its record, and `judgement` is of the version under which it was decided. What records do not
    /// tell (groups, attributes, the responder's user) is pending there.
    ended: bool,
    /// The flow as `/dpi/flows` has it: `jarvis.verdict`, `policy_id` and `policy_version` are what is stored of it, `app_name`, `confidence`
    /// and `evidence` say what it was taken for, `flow.alerted` and `flow.action` what rules made of it.
    #[schema(value_type = Object)]
    flow: Value,
    /// Who is known to use the initiator's address; null: nobody.
    identity: Option<IdentityView>,
    /// The same of the responder's.
    dst_identity: Option<IdentityView>,
    /// What the policies make of it, with each condition and the value that it met: those in force, or of a flow that is over those of its
    /// time.
    judgement: JudgementView,
    /// The saved version that was asked; left out where the set in force was.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_version: Option<u32>,
    /// When the flow was decided last, milliseconds since 1970, to a thousandth of its age: anew where its application became known, a user at one of its ends came or
    /// went, or the policies changed. Left out of flows that are over.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_ms: Option<u64>,
    /// Whether that is what is stored. It is not while a change is on its way, nor where the last answer was given for want of a fact.
    agrees: bool,
}

/// Why a flow gets through, or does not, live or over: the policies that were tried, and what each of their conditions met.
#[utoipa::path(
    get,
    path = "/policy/explain",
    tag = "policy",
    params(
        ("flow" = u64, Query, description = "The flow's number, as events and `/dpi/flows` have it."),
        ("tried" = Option<u32>, Query, description = "How many policies that do not match are told, up to 10000; 100 where left out."),
    ),
    responses((status = 200, description = "What, and why.", body = ExplainView)),
)]
pub(super) async fn explain(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<ExplainView>, Problem> {
    let flow = parameters.take("flow", "a flow's number", |text| inner_flow_id(text.parse().ok()?));
    let tried_max = parameters.take("tried", "a number up to 10000", |text| {
        text.parse::<usize>().ok().filter(|count| *count <= 10_000)
    });
    parameters.finish()?;
    let flow =
        flow.ok_or_else(|| Problem::new(Code::InvalidParameter, "`flow` is missing: the number of a flow."))?;
    let explained = jobs.read(move || {
        let tried_max = tried_max.unwrap_or(TRIED_DEFAULT);
        let Some(found) = services.explain(flow, tried_max).map_err(problem_of)? else {
            return of_past(&services, flow, tried_max);
        };
        let mut text = Vec::new();
        services.write_flows(&[(found.worker, found.record, found.summary)], &mut text);
        Ok::<_, Problem>(ExplainView {
            ended: false,
            saved_version: None,
            decided_ms: found.record.decided.map(|at| at.0 / 1_000_000),
            flow: serde_json::from_slice(&text).unwrap_or_default(),
            identity: found.initiator,
            dst_identity: found.responder,
            judgement: found.judgement.into(),
            agrees: found.agrees,
        })
    });
    Ok(Json(explained.await??))
}

/// The same of a flow that is over.
fn of_past(services: &Services, flow: u64, tried_max: usize) -> Result<ExplainView, Problem> {
    let found = services.explain_past(flow, tried_max).map_err(|error| match error {
        PastError::Store(error) => Problem::of_store(&error, error.to_string()),
        PastError::Policies(error) => Problem::new(Code::NotFound, PastError::Policies(error).to_string()),
    })?;
    let found = found.ok_or_else(|| {
        let detail = "There is no flow of this number, neither alive nor among the records that are kept (`[store.flows]`).";
        Problem::new(Code::NotFound, detail)
    })?;
    Ok(ExplainView {
        ended: true,
        flow: found.event,
        identity: None,
        dst_identity: None,
        judgement: found.judgement.into(),
        decided_ms: None,
        saved_version: found.version.map(|version| version.version),
        agrees: found.agrees,
    })
}
