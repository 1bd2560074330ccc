//! `/policy/analysis`: which policies do not do what their author may think?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::Problem;
use super::request::Parameters;
use crate::services::Services;
use crate::services::policy_findings::PolicyFinding;

/// Findings of one answer, at most.
const FINDINGS_MAX: usize = 10_000;

/// What is to be looked at in the set in force.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalysisView {
    /// Of which version.
    version: u32,
    /// How many findings there are.
    total: usize,
    /// In evaluation order; the first 10000.
    findings: Vec<PolicyFinding>,
}

/// Policies in force that are never reached, would not be missed, contradict others or never match, with those that cause it.
#[utoipa::path(
    get,
    path = "/policy/analysis",
    tag = "policy",
    responses((status = 200, description = "What is to be looked at.", body = AnalysisView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    parameters: Parameters,
) -> Result<Json<AnalysisView>, Problem> {
    parameters.finish()?;
    let view = jobs.read(move || {
        let (version, mut findings) = services.policy_findings();
        let total = findings.len();
        findings.truncate(FINDINGS_MAX);
        AnalysisView { version, total, findings }
    });
    Ok(Json(view.await?))
}
