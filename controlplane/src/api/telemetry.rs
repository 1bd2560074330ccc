//! `/telemetry/...`: what has the packet path done so far?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use crate::services::Services;
use crate::services::applications_seen::AppsView;
use crate::services::metrics::CONTENT_TYPE;
use crate::services::telemetry::{LatencyView, PortView, ReasonView, Summary, WorkerView};

pub(super) async fn summary(State(services): State<Arc<Services>>) -> Json<Summary> {
    Json(services.summary())
}

#[derive(Serialize)]
pub(super) struct Workers {
    workers: Vec<WorkerView>,
}

pub(super) async fn workers(State(services): State<Arc<Services>>) -> Json<Workers> {
    Json(Workers { workers: services.workers() })
}

#[derive(Serialize)]
pub(super) struct Ports {
    ports: Vec<PortView>,
}

pub(super) async fn ports(State(services): State<Arc<Services>>) -> Json<Ports> {
    Json(Ports { ports: services.ports() })
}

#[derive(Serialize)]
pub(super) struct Reasons {
    reasons: Vec<ReasonView>,
}

pub(super) async fn reasons(State(services): State<Arc<Services>>) -> Json<Reasons> {
    Json(Reasons { reasons: services.reasons() })
}

#[derive(Serialize)]
pub(super) struct Latencies {
    latencies: Vec<LatencyView>,
}

pub(super) async fn latency(State(services): State<Arc<Services>>) -> Json<Latencies> {
    Json(Latencies { latencies: services.latencies() })
}

pub(super) async fn applications(State(services): State<Arc<Services>>) -> Json<AppsView> {
    Json(services.applications())
}

pub(super) async fn wire(
    State(services): State<Arc<Services>>,
) -> Result<Json<super::wire::WireView>, Problem> {
    super::wire::read(&services).map(Json)
}

/// `/metrics`.
pub(super) async fn metrics(State(services): State<Arc<Services>>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], services.metrics()).into_response()
}
