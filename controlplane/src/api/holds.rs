//! `/admin/holds`: what must not go, whatever retention says?

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::Caller;
use super::jobs::Jobs;
use super::problem::{Code, Fault, Problem};
use super::request::{JsonBody, etag, version};
use super::trail::Told;
use crate::services::Services;
use crate::services::audit::HELD;
use crate::services::holds::{HoldError, HoldView, HoldWish, NAME_CHARS_MAX, REASON_CHARS_MAX};

/// The last second of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

#[derive(Serialize, ToSchema)]
pub(super) struct HoldsView {
    holds: Vec<HoldView>,
}

/// What is to be held.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHold {
    /// Logs of which: `audit`, `events`, `flows`; all three where left out.
    #[serde(default)]
    kinds: Option<Vec<String>>,
    /// Records of this time on, seconds since 1970; the first where left out.
    #[serde(default)]
    #[schema(maximum = 253_402_300_799_u64)]
    from_s: u64,
    /// Records before this time, seconds since 1970; all that come where left out.
    #[serde(default)]
    #[schema(maximum = 253_402_300_799_u64)]
    to_s: Option<u64>,
    /// Why, for who reads it in a year.
    #[schema(min_length = 1, max_length = 1_000)]
    reason: String,
}

/// What is held, and how much that is.
#[utoipa::path(
    get,
    path = "/admin/holds",
    tag = "admin",
    responses((status = 200, description = "All of them.", body = HoldsView)),
)]
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<HoldsView>, Problem> {
    let holds = jobs.read(move || services.holds()).await?;
    let holds =
        holds.map_err(|error| Problem::of_store(&error, format!("The holds cannot be read: {error}.")))?;
    Ok(Json(HoldsView { holds }))
}

/// One hold; its version is the ETag.
#[utoipa::path(
    get,
    path = "/admin/holds/{name}",
    tag = "admin",
    params(("name" = String, Path, description = "Which.")),
    responses((status = 200, description = "The hold.", body = HoldView, headers(("ETag" = String, description = "Its version.")))),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let asked = name.clone();
    let view = jobs.read(move || services.hold(&asked)).await?.map_err(HoldError::from)?;
    let view = view.ok_or(HoldError::Unknown(name))?;
    Ok((etag(view.version), Json(view)).into_response())
}

/// Keeps records from going, whatever retention says, until it is released.
#[utoipa::path(
    put,
    path = "/admin/holds/{name}",
    tag = "admin",
    params(
        ("name" = String, Path, description = "By which it is released: 1 to 64 letters, digits, `.`, `_`, `-`."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that must still be it."),
    ),
    request_body = NewHold,
    responses(
        (status = 200, description = "Changed.", body = HoldView, headers(("ETag" = String, description = "Its version."))),
        (status = 201, description = "Made.", body = HoldView, headers(("ETag" = String, description = "Its version."))),
    ),
)]
pub(super) async fn put(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewHold>,
) -> Result<Response, Problem> {
    let wish = checked(&name, &new)?;
    let expected = version(&headers)?;
    let done = jobs.change(move || services.put_hold(&name, &wish, expected, &caller.0.account));
    let (before, after) = done.await??;
    let mut told = Told::about(&after.name).after(&after);
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    if let Some(before) = &before {
        told = told.before(before);
    }
    Ok((status, Extension(told), etag(after.version), Json(after)).into_response())
}

/// Ends a hold: what is old enough goes when retention comes by.
#[utoipa::path(
    delete,
    path = "/admin/holds/{name}",
    tag = "admin",
    params(
        ("name" = String, Path, description = "Which."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that must still be it."),
    ),
    responses((status = 204, description = "Released.")),
)]
pub(super) async fn release(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    let expected = version(&headers)?;
    let before = jobs.change(move || services.release_hold(&name, expected)).await??;
    Ok((StatusCode::NO_CONTENT, Extension(Told::about(&before.name).before(&before))))
}

/// What is wished, where all of it can be.
fn checked(name: &str, new: &NewHold) -> Result<HoldWish, Problem> {
    let is_name = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_name {
        let detail = format!("A hold's name has 1 to {NAME_CHARS_MAX} letters, digits, `.`, `_` or `-`.");
        return Err(Problem::new(Code::InvalidParameter, detail));
    }
    let mut faults = Vec::new();
    let mut fault = |pointer: String, detail: String| {
        faults.push(Fault { pointer: Some(pointer), detail, ..Fault::default() });
    };
    let mut kinds = Vec::new();
    for (index, word) in new.kinds.iter().flatten().enumerate() {
        match HELD.iter().find(|kind| kind.name() == word) {
            Some(kind) => kinds.push(*kind),
            None => fault(format!("/kinds/{index}"), "is none of audit, events, flows".to_owned()),
        }
    }
    if new.kinds.as_ref().is_some_and(Vec::is_empty) {
        fault("/kinds".to_owned(), "is empty; one of audit, events, flows is wanted".to_owned());
    }
    if new.from_s > SECONDS_MAX || new.to_s.is_some_and(|to| to > SECONDS_MAX) {
        fault("/from_s".to_owned(), "is a time behind the year 9999".to_owned());
    } else if new.to_s.is_some_and(|to| to <= new.from_s) {
        fault("/to_s".to_owned(), "is not behind `from_s`".to_owned());
    }
    let reason = new.reason.trim();
    if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) || reason.contains(char::is_control) {
        fault("/reason".to_owned(), format!("is a line of 1 to {REASON_CHARS_MAX} characters"));
    }
    if !faults.is_empty() {
        return Err(
            Problem::new(Code::InvalidBody, "The hold has faults; nothing was changed.").with_faults(faults)
        );
    }
    let kinds = if new.kinds.is_none() { HELD.to_vec() } else { kinds };
    Ok(HoldWish { kinds, from_s: new.from_s, to_s: new.to_s, reason: reason.to_owned() })
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        let detail = error.to_string();
        let code = match error {
            HoldError::Unknown(_) => Code::NotFound,
            HoldError::Stale { .. } => Code::Stale,
            HoldError::Full => Code::Full,
            HoldError::Store(error) => return Self::of_store(&error, detail),
        };
        Self::new(code, detail)
    }
}
