//! `/health`, `/api/system/status`, `/api/federation/status`: is it there, and is it well?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::guard::Caller;
use crate::services::auth::role::Permission;
use crate::services::{Health, Services, SystemDetail};

#[derive(Serialize)]
pub(super) struct HealthView {
    status: &'static str,
}

pub(super) async fn health(State(services): State<Arc<Services>>) -> Json<HealthView> {
    let status = match services.health() {
        Health::Ok => "ok",
        Health::Degraded(_) => "degraded",
    };
    Json(HealthView { status })
}

/// `GET /health/live`: whether the control plane answers.
pub(super) async fn live() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// `GET /health/ready`: whether every worker judges frames; 503 while one does not.
pub(super) async fn ready(State(services): State<Arc<Services>>) -> (StatusCode, Json<HealthView>) {
    if services.is_ready() {
        (StatusCode::OK, Json(HealthView { status: "ok" }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(HealthView { status: "not_ready" }))
    }
}

#[derive(Serialize)]
pub(super) struct StatusView {
    status: &'static str,
    system: &'static str,
    /// For who may read telemetry.
    #[serde(flatten)]
    detail: Option<SystemDetail>,
}

/// `GET /api/system/status`: that it runs; with a token for telemetry also how.
pub(super) async fn status(
    State(services): State<Arc<Services>>,
    caller: Option<Caller>,
) -> Json<StatusView> {
    let may = caller.is_some_and(|caller| caller.0.may(Permission::TelemetryRead).is_ok());
    let detail = may.then(|| services.system());
    Json(StatusView { status: "ok", system: "running", detail })
}

#[derive(Serialize)]
pub(super) struct FederationView {
    status: &'static str,
    federation: &'static str,
}

pub(super) async fn federation() -> Json<FederationView> {
    Json(FederationView { status: "ok", federation: "standalone" })
}
