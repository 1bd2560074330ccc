//! Which path does what? The table of all calls.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::routing::get;
use axum::{Router, middleware};

use super::guard::{Guard, guard};
use super::problem::{Code, Problem};
use super::server::Limits;
use super::system;
use crate::services::Services;

/// All calls; [`super::guard`] decides who may make which.
pub(super) fn router(services: Arc<Services>, limits: &Limits) -> Router {
    Router::new()
        .route("/health", get(system::health))
        .route("/api/system/status", get(system::status))
        .route("/api/federation/status", get(system::federation))
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(Guard::new(limits.request_timeout), guard))
        .with_state(services)
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("There is nothing at {}.", uri.path()))
}
