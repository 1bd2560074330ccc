//! `/health`, `/api/system/status`, `/api/federation/status`: is it there, and is it well?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::services::{Health, Services};

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

#[derive(Serialize)]
pub(super) struct StatusView {
    status: &'static str,
    system: &'static str,
}

pub(super) async fn status() -> Json<StatusView> {
    Json(StatusView { status: "ok", system: "running" })
}

#[derive(Serialize)]
pub(super) struct FederationView {
    status: &'static str,
    federation: &'static str,
}

pub(super) async fn federation() -> Json<FederationView> {
    Json(FederationView { status: "ok", federation: "standalone" })
}
