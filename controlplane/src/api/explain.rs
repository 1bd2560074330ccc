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
use crate::services::identities::IdentityView;
use crate::services::names::inner_flow_id;

/// Policies that do not match are told up to this many.
const TRIED_DEFAULT: usize = 100;

/// A flow with the reasons for what becomes of it.
#[derive(Serialize, ToSchema)]
pub(super) struct ExplainView {
    /// The flow as `/dpi/flows` has it: `jarvis.verdict`, `policy_id` and `policy_version` are what is stored of it, `app_name`, `confidence`
    /// and `evidence` say what it was taken for, `flow.alerted` and `flow.action` what rules made of it.
    #[schema(value_type = Object)]
    flow: Value,
    /// Who is known to use the initiator's address; null: nobody.
    identity: Option<IdentityView>,
    /// The same of the responder's.
    dst_identity: Option<IdentityView>,
    /// What the policies in force make of it, with each condition and the value that it met.
    judgement: JudgementView,
    /// Whether that is what is stored. It is not while a change is on its way, nor where the last answer was given for want of a fact.
    agrees: bool,
}

/// Why a live flow gets through, or does not: the policies that were tried, and what each of their conditions met.
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
    let flow = flow.ok_or_else(|| {
        Problem::new(Code::InvalidParameter, "`flow` is missing: the number of a live flow.")
    })?;
    let explained = jobs.read(move || {
        let found = services.explain(flow, tried_max.unwrap_or(TRIED_DEFAULT)).map_err(problem_of)?;
        let found = found.ok_or_else(|| {
            Problem::new(Code::NotFound, "There is no live flow of this number; it has ended, or never was.")
        })?;
        let mut text = Vec::new();
        services.write_flows(&[(found.worker, found.record, found.summary)], &mut text);
        Ok::<_, Problem>(ExplainView {
            flow: serde_json::from_slice(&text).unwrap_or_default(),
            identity: found.initiator,
            dst_identity: found.responder,
            judgement: found.judgement.into(),
            agrees: found.agrees,
        })
    });
    Ok(Json(explained.await??))
}
