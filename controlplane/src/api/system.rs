//! `/health`, `/api/system/status`, `/api/federation/status`: is it there, and is it well?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::guard::Caller;
use crate::services::auth::role::Permission;
use crate::services::{Health, Services, SystemDetail};

#[derive(Serialize, ToSchema)]
pub(super) struct HealthView {
    status: &'static str,
}

/// Whether all is well.
#[utoipa::path(
    get,
    path = "/health",
    tag = "system",
    responses(
        (status = 200, description = "`ok`, or `degraded`: `/telemetry` says what.", body = HealthView),
    ),
)]
pub(super) async fn health(State(services): State<Arc<Services>>) -> Json<HealthView> {
    let status = match services.health() {
        Health::Ok => "ok",
        Health::Degraded(_) => "degraded",
    };
    Json(HealthView { status })
}

/// Whether the control plane answers.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "system",
    responses((status = 200, description = "It does.", body = HealthView)),
)]
pub(super) async fn live() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// Whether every worker judges frames.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "system",
    responses(
        (status = 200, description = "They do.", body = HealthView),
        (status = 503, description = "One does not.", body = HealthView),
    ),
)]
pub(super) async fn ready(State(services): State<Arc<Services>>) -> (StatusCode, Json<HealthView>) {
    if services.is_ready() {
        (StatusCode::OK, Json(HealthView { status: "ok" }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(HealthView { status: "not_ready" }))
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct StatusView {
    status: &'static str,
    system: &'static str,
    /// For who may read telemetry.
    #[serde(flatten)]
    detail: Option<SystemDetail>,
}

/// That it runs; with a token for telemetry also how.
#[utoipa::path(
    get,
    path = "/api/system/status",
    tag = "system",
    responses((status = 200, description = "It runs.", body = StatusView)),
)]
pub(super) async fn status(
    State(services): State<Arc<Services>>,
    caller: Option<Caller>,
) -> Json<StatusView> {
    let may = caller.is_some_and(|caller| caller.0.may(Permission::TelemetryRead).is_ok());
    let detail = may.then(|| services.system());
    Json(StatusView { status: "ok", system: "running", detail })
}

#[derive(Serialize, ToSchema)]
pub(super) struct FederationView {
    status: &'static str,
    federation: &'static str,
}

/// Whether it is one of many.
#[utoipa::path(
    get,
    path = "/api/federation/status",
    tag = "system",
    responses((status = 200, description = "It stands alone.", body = FederationView)),
)]
pub(super) async fn federation() -> Json<FederationView> {
    Json(FederationView { status: "ok", federation: "standalone" })
}
