//! `/policy/shadow`: a proposal that runs beside the policies in force and changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::guard::Caller;
use super::jobs::Jobs;
use super::policy::load_problem;
use super::policy_asked::author;
use super::policy_schema::PolicySetDocument;
use super::problem::{Code, Problem};
use super::request::{Parameters, RawBody};
use super::trail::Told;
use crate::services::Services;
use crate::services::policy_shadow::ShadowView;

#[derive(Serialize, ToSchema)]
pub(super) struct RunningView {
    /// The proposal that runs, and what it would have done; `null` where none does.
    shadow: Option<ShadowView>,
}

/// What the proposal would have done differently since it began.
#[utoipa::path(
    get,
    path = "/policy/shadow",
    tag = "policy",
    responses((status = 200, description = "Flows that would fare otherwise, by policy, user and application.", body = RunningView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<RunningView>, Problem> {
    let shadow = jobs.read(move || services.shadow()).await?;
    Ok(Json(RunningView { shadow }))
}

/// The proposal as it was written.
#[utoipa::path(
    get,
    path = "/policy/shadow/document",
    tag = "policy",
    responses((status = 200, description = "The document; changed, it can be given to `PUT /policy`.", body = PolicySetDocument)),
)]
pub(super) async fn document(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Response, Problem> {
    let document = jobs.read(move || services.shadow_document()).await?.ok_or_else(none)?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((kind, document.to_vec()).into_response())
}

/// Lets a proposal run beside the policies in force, in the place of the one that does; counts begin anew.
///
/// Flows that were judged before are not compared until they are judged anew. A restart ends it.
#[utoipa::path(
    put,
    path = "/policy/shadow",
    tag = "policy",
    params(("reason" = Option<String>, Query, description = "Why, for the audit; at most 500 characters.")),
    request_body = PolicySetDocument,
    responses((status = 200, description = "It runs.", body = RunningView)),
)]
pub(super) async fn start(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    caller: Caller,
    mut parameters: Parameters,
    RawBody(bytes): RawBody,
) -> Result<(Extension<Told>, Json<RunningView>), Problem> {
    let author = author(&caller, &mut parameters);
    parameters.finish()?;
    let reason = author.reason.clone();
    let started = jobs.change(move || {
        services.start_shadow(&bytes, &author).map(|(before, after)| (before, after, services.shadow()))
    });
    let (before, after, shadow) = started.await?.map_err(load_problem)?;
    let after = serde_json::json!({ "shadow": after, "reason": reason });
    let told = Told::about("policy").after(&after);
    let told = before.iter().fold(told, |told, before| told.before(before));
    Ok((Extension(told), Json(RunningView { shadow })))
}

/// Ends the proposal; what it counted is told once more.
#[utoipa::path(
    delete,
    path = "/policy/shadow",
    tag = "policy",
    responses((status = 200, description = "As it was.", body = RunningView)),
)]
pub(super) async fn end(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<(Extension<Told>, Json<RunningView>), Problem> {
    let ended = jobs.change(move || {
        let shadow = services.shadow();
        services.end_shadow().map(|before| (before, shadow))
    });
    let (before, shadow) = ended.await?.ok_or_else(none)?;
    Ok((Extension(Told::about("policy").before(&before)), Json(RunningView { shadow })))
}

fn none() -> Problem {
    Problem::new(Code::NotFound, "No proposal runs beside the policies: `PUT /policy/shadow` begins one.")
}
