//! `/telemetry/...`: what has the packet path done so far?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::services::Services;
use crate::services::applications_seen::AppsView;
use crate::services::metrics::CONTENT_TYPE;
use crate::services::telemetry::{LatencyView, PortView, ReasonView, Summary, WorkerView};

/// The whole box in one look.
#[utoipa::path(
    get,
    path = "/telemetry",
    tag = "telemetry",
    responses((status = 200, description = "Since start.", body = Summary)),
)]
pub(super) async fn summary(State(services): State<Arc<Services>>) -> Json<Summary> {
    Json(services.summary())
}

#[derive(Serialize, ToSchema)]
pub(super) struct Workers {
    workers: Vec<WorkerView>,
}

/// Each worker: frames, flows, snapshot lag, silence.
#[utoipa::path(
    get,
    path = "/telemetry/workers",
    tag = "telemetry",
    responses((status = 200, description = "All of them.", body = Workers)),
)]
pub(super) async fn workers(State(services): State<Arc<Services>>) -> Json<Workers> {
    Json(Workers { workers: services.workers() })
}

#[derive(Serialize, ToSchema)]
pub(super) struct Ports {
    ports: Vec<PortView>,
}

/// Each port and queue.
#[utoipa::path(
    get,
    path = "/telemetry/ports",
    tag = "telemetry",
    responses((status = 200, description = "`struct xdp_statistics` included.", body = Ports)),
)]
pub(super) async fn ports(State(services): State<Arc<Services>>) -> Json<Ports> {
    Json(Ports { ports: services.ports() })
}

#[derive(Serialize, ToSchema)]
pub(super) struct Reasons {
    reasons: Vec<ReasonView>,
}

/// Each reason for a drop or notice.
#[utoipa::path(
    get,
    path = "/telemetry/reasons",
    tag = "telemetry",
    responses((status = 200, description = "Counted or not.", body = Reasons)),
)]
pub(super) async fn reasons(State(services): State<Arc<Services>>) -> Json<Reasons> {
    Json(Reasons { reasons: services.reasons() })
}

#[derive(Serialize, ToSchema)]
pub(super) struct Latencies {
    latencies: Vec<LatencyView>,
}

/// Percentiles of batch time and ring-to-ring time.
#[utoipa::path(
    get,
    path = "/telemetry/latency",
    tag = "telemetry",
    responses((status = 200, description = "All workers first, then each.", body = Latencies)),
)]
pub(super) async fn latency(State(services): State<Arc<Services>>) -> Json<Latencies> {
    Json(Latencies { latencies: services.latencies() })
}

/// Applications by flows and bytes, as far as flows have ended.
#[utoipa::path(
    get,
    path = "/telemetry/applications",
    tag = "telemetry",
    responses((status = 200, description = "Most bytes first.", body = AppsView)),
)]
pub(super) async fn applications(State(services): State<Arc<Services>>) -> Json<AppsView> {
    Json(services.applications())
}

/// The XDP program.
#[utoipa::path(
    get,
    path = "/telemetry/wire",
    tag = "telemetry",
    responses(
        (status = 200, description = "Fail mode, bypass, attach modes, frames by outcome.", body = super::wire::WireView),
    ),
)]
pub(super) async fn wire(
    State(services): State<Arc<Services>>,
) -> Result<Json<super::wire::WireView>, Problem> {
    super::wire::read(&services).map(Json)
}

/// The OpenMetrics text.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "telemetry",
    responses(
        (status = 200, description = "For Prometheus.", body = String, content_type = CONTENT_TYPE),
    ),
)]
pub(super) async fn metrics(State(services): State<Arc<Services>>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], services.metrics()).into_response()
}
