//! `/events/history`: what was told before?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::sse::filter_of;
use crate::api::jobs::Jobs;
use crate::api::problem::{Code, Problem};
use crate::api::request::{Page, Parameters};
use crate::services::Services;
use crate::services::live::Question;

/// The end of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A page.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PastView {
    /// In the order in which they were told.
    events: Vec<EventView>,
    next_cursor: Option<String>,
    /// Places on the disk that cannot be read.
    damaged: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct EventView {
    /// Also microseconds since 1970 when it was told.
    id: u64,
    #[schema(value_type = Object)]
    event: Value,
}

/// What was told before, as far as the disk has it.
#[utoipa::path(
    get,
    path = "/events/history",
    tag = "events",
    params(
        ("kind" = Option<String>, Query, description = "`events` (alerts, and what protocols tell) or `flows`."),
        ("from" = Option<u64>, Query, maximum = 253_402_300_799u64, description = "Told from then on, seconds since 1970."),
        ("to" = Option<u64>, Query, maximum = 253_402_300_799u64, description = "Told before then, seconds since 1970."),
        ("ip" = Option<String>, Query, description = "An end is this address, or in this prefix."),
        ("port" = Option<u16>, Query, description = "An end has this port."),
        ("proto" = Option<String>, Query, description = "The protocol's name or number."),
        ("event_type" = Option<String>, Query, description = "Event types, with commas between."),
        ("flow_id" = Option<u64>, Query, description = "The flow."),
        ("application" = Option<String>, Query, description = "The application."),
        ("policy_id" = Option<String>, Query, description = "The policy that decided."),
        ("reason" = Option<String>, Query, description = "Why it was dropped, or what was done."),
        ("user" = Option<String>, Query, description = "The account that did it."),
        ("risk_score_min" = Option<u16>, Query, description = "Flows whose risks come to this or more."),
        ("limit" = Option<u32>, Query, description = "Events wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = PastView)),
)]
pub(in crate::api) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<PastView>, Problem> {
    let seconds = |text: &str| text.parse().ok().filter(|seconds| *seconds <= SECONDS_MAX);
    let kind = parameters.take("kind", "events or flows", |text| match text {
        "events" => Some(false),
        "flows" => Some(true),
        _ => None,
    });
    let page = Page::take(&mut parameters, |text| text.parse().ok());
    let question = Question {
        flows: kind.unwrap_or(false),
        from_s: parameters.take("from", "a number of seconds since 1970", seconds),
        to_s: parameters.take("to", "a number of seconds since 1970", seconds),
        cursor: page.cursor.unwrap_or_default(),
        limit: page.limit,
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
