//! `/policy/commit`, `/policy/confirm`: what waits to be confirmed, and what becomes of it?

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::guard::Caller;
use super::jobs::Jobs;
use super::policy::{ChangeView, Changed, changed, edit_problem};
use super::policy_asked::{author, expected};
use super::problem::Problem;
use super::request::Parameters;
use super::trail::Told;
use crate::services::Services;
use crate::services::policy_commit::CommitView;

#[derive(Serialize, ToSchema)]
pub(super) struct PendingView {
    /// The change that waits; `null` where none does.
    pending: Option<CommitView>,
}

/// The change that waits to be confirmed.
#[utoipa::path(
    get,
    path = "/policy/commit",
    tag = "policy",
    responses((status = 200, description = "What waits, and what returns when.", body = PendingView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<PendingView>, Problem> {
    let pending = jobs.read(move || services.commit()).await?;
    Ok(Json(PendingView { pending }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct ConfirmedView {
    /// The version that stays in force.
    version: u32,
    /// As it waited.
    confirmed: CommitView,
}

/// The change that waits stays in force.
#[utoipa::path(
    post,
    path = "/policy/confirm",
    tag = "policy",
    params(
        ("version" = Option<u32>, Query, description = "Only if it is this version that waits."),
        ("If-Match" = Option<String>, Header, description = "The same as an `ETag`."),
    ),
    responses((status = 200, description = "It stays.", body = ConfirmedView)),
)]
pub(super) async fn confirm(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
    headers: HeaderMap,
) -> Result<(Extension<Told>, Json<ConfirmedView>), Problem> {
    let version = parameters.take("version", "the number of a version", |text| text.parse::<u32>().ok());
    let mut expected = expected(&headers)?;
    parameters.finish()?;
    expected.tags = version.map(|version| vec![version.to_string()]).or(expected.tags);
    let confirmed = jobs.change(move || services.confirm_policy(&expected)).await?.map_err(edit_problem)?;
    let version = confirmed.version;
    let told = Told::about("policy").before(&confirmed).after(&json!({ "confirmed": version }));
    Ok((Extension(told), Json(ConfirmedView { version, confirmed })))
}

/// The set before the change that waits returns at once.
#[utoipa::path(
    delete,
    path = "/policy/commit",
    tag = "policy",
    params(
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("If-Match" = Option<String>, Header, description = "The version that is aborted, as an `ETag`."),
    ),
    responses((status = 200, description = "The old set is in force, as a new version.", body = ChangeView)),
)]
pub(super) async fn abort(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    caller: Caller,
    mut parameters: Parameters,
    headers: HeaderMap,
) -> Result<Changed, Problem> {
    let (author, expected) = (author(&caller, &mut parameters), expected(&headers)?);
    parameters.finish()?;
    changed(&services, &jobs, move |services| services.abort_policy(&author, &expected)).await
}
