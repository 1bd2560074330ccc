//! `/policy/versions`: what were the policies before, and how do they come back?

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::policy::{ChangeView, Changed, changed, edit_problem};
use super::policy_asked::Asked;
use super::policy_schema::PolicySetDocument;
use super::problem::{Code, Problem};
use super::request::Parameters;
use crate::services::Services;
use crate::services::policy_versions::Differences;
use crate::store::PolicyVersion;

/// Versions of one page, where the request does not say, and at most.
const PAGE: usize = 100;

#[derive(Serialize, ToSchema)]
pub(super) struct VersionsView {
    versions: Vec<VersionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct VersionView {
    #[serde(flatten)]
    version: PolicyVersion,
    /// Whether it is the set that the box runs with.
    current: bool,
}

/// Saved sets, newest first.
#[utoipa::path(
    get,
    path = "/policy/versions",
    tag = "policy",
    params(
        ("limit" = Option<u32>, Query, description = "Versions wanted, 1 to 100."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = VersionsView)),
)]
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<VersionsView>, Problem> {
    let limit = parameters.take("limit", &format!("a number from 1 to {PAGE}"), |text| {
        text.parse().ok().filter(|limit| (1..=PAGE).contains(limit))
    });
    let before = parameters.take("cursor", "a `next_cursor` of this call", |text| text.parse::<u32>().ok());
    parameters.finish()?;
    let (all, current) = jobs.read(move || services.policy_versions()).await?.map_err(edit_problem)?;
    let mut older = all.into_iter().filter(|version| before.is_none_or(|before| version.version < before));
    let page: Vec<VersionView> = older
        .by_ref()
        .take(limit.unwrap_or(PAGE))
        .map(|version| VersionView { current: current == Some(version.version), version })
        .collect();
    let is_last = older.next().is_none();
    let next_cursor = page.last().filter(|_| !is_last).map(|last| last.version.version.to_string());
    Ok(Json(VersionsView { versions: page, next_cursor }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct WholeVersionView {
    #[serde(flatten)]
    version: VersionView,
    /// The set as it was written.
    #[schema(value_type = PolicySetDocument)]
    document: Box<RawValue>,
}

/// A saved set with its document.
#[utoipa::path(
    get,
    path = "/policy/versions/{version}",
    tag = "policy",
    params(
        ("version" = u32, Path, description = "Its number."),
    ),
    responses((status = 200, description = "The version.", body = WholeVersionView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(number): Path<String>,
) -> Result<Json<WholeVersionView>, Problem> {
    let number = numbered(&number)?;
    let (version, document, current) =
        jobs.read(move || services.policy_version(number)).await?.map_err(edit_problem)?;
    let document = serde_json::from_slice(&document)
        .map_err(|error| Problem::new(Code::Internal, format!("The saved set is no JSON: {error}.")))?;
    Ok(Json(WholeVersionView { version: VersionView { version, current }, document }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct DifferencesView {
    version: u32,
    /// `null`: there is none before it, so everything is new.
    against: Option<u32>,
    #[serde(flatten)]
    differences: Differences,
}

/// How a saved set differs from another.
#[utoipa::path(
    get,
    path = "/policy/versions/{version}/diff",
    tag = "policy",
    params(
        ("version" = u32, Path, description = "Its number."),
        ("against" = Option<u32>, Query, description = "The other; the one before where left out."),
    ),
    responses((status = 200, description = "By policy and field.", body = DifferencesView)),
)]
pub(super) async fn diff(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(number): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<DifferencesView>, Problem> {
    let number = numbered(&number)?;
    let against = parameters.take("against", "the number of a version", |text| text.parse::<u32>().ok());
    parameters.finish()?;
    let found = jobs.read(move || services.policy_differences(number, against)).await?;
    let (against, differences) = found.map_err(edit_problem)?;
    Ok(Json(DifferencesView { version: number, against, differences }))
}

/// A saved set again, as a new version.
#[utoipa::path(
    post,
    path = "/policy/versions/{version}/restore",
    tag = "policy",
    params(
        ("version" = u32, Path, description = "Its number."),
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    responses((status = 200, description = "In force.", body = ChangeView)),
)]
pub(super) async fn restore(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(number): Path<String>,
    asked: Asked,
) -> Result<Changed, Problem> {
    let number = numbered(&number)?;
    let (author, expected) = asked.finish()?;
    changed(&services, &jobs, move |services| services.restore_policy(number, &author, &expected)).await
}

fn numbered(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Problem::new(Code::NotFound, format!("There is no version `{text}`.")))
}
