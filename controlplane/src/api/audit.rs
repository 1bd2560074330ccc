//! `/audit`: who changed what?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::Problem;
use super::request::{Page, Parameters};
use crate::services::Services;
use crate::services::audit::Question;

/// The end of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

#[derive(Serialize, ToSchema)]
pub(super) struct TrailView {
    /// Oldest first.
    entries: Vec<EntryView>,
    next_cursor: Option<String>,
    /// Places on the disk that cannot be read; `jarvis audit verify` names them.
    damaged: u64,
}

#[derive(Serialize, ToSchema)]
struct EntryView {
    /// Its number, counted from 0.
    entry: u64,
    #[serde(flatten)]
    told: Value,
}

/// Who changed what, oldest first.
#[utoipa::path(
    get,
    path = "/audit",
    tag = "audit",
    params(
        ("from" = Option<u64>, Query, maximum = 253_402_300_799u64, description = "Seconds since 1970."),
        ("to" = Option<u64>, Query, maximum = 253_402_300_799u64, description = "Seconds since 1970."),
        ("actor" = Option<String>, Query, description = "An account's name."),
        ("action" = Option<String>, Query, description = "An action."),
        ("target" = Option<String>, Query, description = "A target."),
        ("address" = Option<String>, Query, description = "An address, or `unix`."),
        ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = TrailView)),
)]
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<TrailView>, Problem> {
    let seconds = |text: &str| text.parse().ok().filter(|seconds| *seconds <= SECONDS_MAX);
    let text = |text: &str| Some(text.to_owned());
    let page = Page::take(&mut parameters, |text| text.parse().ok());
    let question = Question {
        from_s: parameters.take("from", "a number of seconds since 1970", seconds),
        to_s: parameters.take("to", "a number of seconds since 1970", seconds),
        actor: parameters.take("actor", "an account's name", text),
        action: parameters.take("action", "an action", text),
        target: parameters.take("target", "a target", text),
        address: parameters.take("address", "an address, or unix", text),
        cursor: page.cursor.unwrap_or_default(),
        limit: page.limit,
    };
    parameters.finish()?;
    let trail = jobs.read(move || services.audit().search(&question)).await?;
    let trail =
        trail.map_err(|error| Problem::of_store(&error, format!("The audit cannot be read: {error}.")))?;
    let entries = trail.entries.into_iter().map(|(entry, told)| EntryView { entry, told }).collect();
    let next_cursor = trail.next.map(|next| next.to_string());
    Ok(Json(TrailView { entries, next_cursor, damaged: trail.damaged }))
}
