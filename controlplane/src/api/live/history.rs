//! `/events/history`: what was told before?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use super::sse::filter_of;
use crate::api::jobs::Jobs;
use crate::api::problem::{Code, Problem};
use crate::api::request::Parameters;
use crate::services::Services;
use crate::services::live::Question;

/// Events in a page that does not say how many it wants.
const LIMIT_DEFAULT: usize = 100;

/// Events in a page at most.
const LIMIT_MAX: usize = 1_000;

/// A page.
#[derive(Debug, Serialize)]
pub(in crate::api) struct PastView {
    /// In the order in which they were told.
    events: Vec<EventView>,
    next_cursor: Option<String>,
    /// Places on the disk that cannot be read.
    damaged: u64,
}

#[derive(Debug, Serialize)]
struct EventView {
    /// Also microseconds since 1970 when it was told.
    id: u64,
    event: Value,
}

/// What the disk has of alerts and protocols (`kind=events`) or of flows (`kind=flows`).
pub(in crate::api) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<PastView>, Problem> {
    let seconds = |text: &str| text.parse().ok();
    let kind = parameters.take("kind", "events or flows", |text| match text {
        "events" => Some(false),
        "flows" => Some(true),
        _ => None,
    });
    let question = Question {
        flows: kind.unwrap_or(false),
        from_s: parameters.take("from", "a number of seconds since 1970", seconds),
        to_s: parameters.take("to", "a number of seconds since 1970", seconds),
        cursor: parameters
            .take("cursor", "a cursor that this call gave", |text| text.parse().ok())
            .unwrap_or_default(),
        limit: parameters
            .take("limit", "a number from 1 to 1000", |text| {
                text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
            })
            .unwrap_or(LIMIT_DEFAULT),
        filter: filter_of(&mut parameters),
    };
    parameters.finish()?;
    let past = jobs.read(move || services.live().past(&question)).await?;
    let past =
        past.map_err(|error| Problem::of_store(&error, format!("The past cannot be read: {error}.")))?;
    let Some(past) = past else {
        return Err(Problem::new(Code::Unavailable, "Events of this kind are not kept: [store] says so."));
    };
    let events = past.events.into_iter().map(|(id, event)| EventView { id, event }).collect();
    let next_cursor = past.next.map(|next| next.to_string());
    Ok(Json(PastView { events, next_cursor, damaged: past.damaged }))
}
