//! `/audit`: who changed what?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use super::jobs::Jobs;
use super::problem::Problem;
use super::request::Parameters;
use crate::services::Services;
use crate::services::audit::Question;

/// Entries in a page that does not say how many it wants.
const LIMIT_DEFAULT: usize = 100;

/// Entries in a page at most.
const LIMIT_MAX: usize = 1_000;

#[derive(Serialize)]
pub(super) struct TrailView {
    /// Oldest first.
    entries: Vec<EntryView>,
    next_cursor: Option<String>,
    /// Places on the disk that cannot be read; `jarvis audit verify` names them.
    damaged: u64,
}

#[derive(Serialize)]
struct EntryView {
    /// Its number, counted from 0.
    entry: u64,
    #[serde(flatten)]
    told: Value,
}

/// `GET /audit?from=&to=&actor=&action=&target=&address=&limit=&cursor=`.
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<TrailView>, Problem> {
    let seconds = |text: &str| text.parse().ok();
    let text = |text: &str| Some(text.to_owned());
    let question = Question {
        from_s: parameters.take("from", "a number of seconds since 1970", seconds),
        to_s: parameters.take("to", "a number of seconds since 1970", seconds),
        actor: parameters.take("actor", "an account's name", text),
        action: parameters.take("action", "an action", text),
        target: parameters.take("target", "a target", text),
        address: parameters.take("address", "an address, or unix", text),
        cursor: parameters
            .take("cursor", "a cursor that this call gave", |text| text.parse().ok())
            .unwrap_or_default(),
        limit: parameters.take("limit", "a number from 1 to 1000", limit).unwrap_or(LIMIT_DEFAULT),
    };
    parameters.finish()?;
    let trail = jobs.read(move || services.audit().search(&question)).await?;
    let trail =
        trail.map_err(|error| Problem::of_store(&error, format!("The audit cannot be read: {error}.")))?;
    let entries = trail.entries.into_iter().map(|(entry, told)| EntryView { entry, told }).collect();
    let next_cursor = trail.next.map(|next| next.to_string());
    Ok(Json(TrailView { entries, next_cursor, damaged: trail.damaged }))
}

fn limit(text: &str) -> Option<usize> {
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
}
