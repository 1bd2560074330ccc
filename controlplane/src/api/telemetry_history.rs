//! `/telemetry/history`: what did the box do before?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::jobs::Jobs;
use super::problem::Problem;
use super::request::Parameters;
use crate::services::Services;
use crate::services::telemetry_history::{HistoryQuestion, HistoryView, SERIES, Step};

/// The end of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Rows of an answer at most.
const ROWS_MAX: usize = 3_600;

/// Rows of an answer that does not say how many it wants.
const ROWS_DEFAULT: usize = 600;

/// What the box did each second, minute or hour, also before its last start.
///
/// Without `from` the newest rows are told, else the oldest of what is asked for. `..._received` and all others are what happened in
/// the step; `flows_active` is how many there were at its end; `batch_p99_ns` is a percentile of a second, and the greatest of them
/// in a longer step.
#[utoipa::path(
    get,
    path = "/telemetry/history",
    tag = "telemetry",
    params(
        ("step" = Option<Step>, Query, description = "Distance of rows; `1m` where left out."),
        ("from" = Option<u64>, Query, maximum = 253_402_300_799u64, description = "Steps that begin then or later, seconds since 1970."),
        ("to" = Option<u64>, Query, maximum = 253_402_300_799u64, description = "Steps that begin before then, seconds since 1970."),
        ("series" = Option<String>, Query, description = "Names of columns, with commas between; all where left out."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 3600, description = "Rows wanted; 600 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "Columns; a step that nobody saw is in none of them.", body = HistoryView)),
)]
pub(super) async fn columns(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<HistoryView>, Problem> {
    let seconds = |text: &str| text.parse().ok().filter(|seconds| *seconds <= SECONDS_MAX);
    let limit = |text: &str| text.parse().ok().filter(|limit| (1..=ROWS_MAX).contains(limit));
    let names = SERIES.map(|series| series.name).join(", ");
    let question = HistoryQuestion {
        step: parameters.take("step", "1s, 1m or 1h", Step::named).unwrap_or(Step::Minute),
        from_s: parameters.take("from", "a number of seconds since 1970", seconds),
        to_s: parameters.take("to", "a number of seconds since 1970", seconds),
        series: parameters.take("series", &format!("one of {names}, or several with commas between"), places),
        limit: parameters.take("limit", "a number from 1 to 3600", limit).unwrap_or(ROWS_DEFAULT),
        cursor: parameters.take("cursor", "a cursor that this call gave", |text| text.parse().ok()),
    };
    parameters.finish()?;
    jobs.read(move || services.telemetry_history().columns(&question)).await.map(Json)
}

fn places(text: &str) -> Option<Vec<usize>> {
    text.split(',').map(|name| SERIES.iter().position(|series| series.name == name)).collect()
}
