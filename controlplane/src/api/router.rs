//! Which path does what? The table of all calls.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::Uri;
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Router, middleware};

use super::guard::{Guard, guard};
use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::server::Limits;
use super::{accounts, audit, auth, flows, policy, system, telemetry, wire};
use crate::services::{Auth, Services};

/// What handlers take what they need from.
#[derive(Clone)]
pub(super) struct Rooms {
    services: Arc<Services>,
    jobs: Arc<Jobs>,
}

impl FromRef<Rooms> for Arc<Services> {
    fn from_ref(rooms: &Rooms) -> Self {
        Self::clone(&rooms.services)
    }
}

impl FromRef<Rooms> for Arc<Auth> {
    fn from_ref(rooms: &Rooms) -> Self {
        Self::clone(rooms.services.auth())
    }
}

impl FromRef<Rooms> for Arc<Jobs> {
    fn from_ref(rooms: &Rooms) -> Self {
        Self::clone(&rooms.jobs)
    }
}

/// All calls; [`super::permits`] says who may make which.
pub(super) fn router(services: Arc<Services>, limits: &Limits) -> Router {
    let policy_set: MethodRouter<Rooms> =
        get(policy::show).put(policy::replace).layer(DefaultBodyLimit::max(limits.policy_bytes_max));
    Router::new()
        .route("/health", get(system::health))
        .route("/api/system/status", get(system::status))
        .route("/api/federation/status", get(system::federation))
        .route("/auth/login", post(auth::login))
        .route("/auth/refresh", post(auth::refresh))
        .route("/auth/logout", post(auth::logout))
        .route("/auth/me", get(auth::me))
        .route("/auth/password", post(auth::password))
        .route("/auth/sessions", get(auth::sessions))
        .route("/auth/sessions/{session_id}", delete(auth::end_session))
        .route("/auth/keys", get(auth::keys))
        .route("/auth/keys/rotate", post(auth::rotate))
        .route("/admin/roles", get(accounts::roles))
        .route("/admin/users", get(accounts::list).post(accounts::make))
        .route("/admin/users/{user_id}", get(accounts::show).patch(accounts::change).delete(accounts::remove))
        .route("/admin/users/{user_id}/tokens", post(accounts::token))
        .route("/admin/sessions", get(accounts::sessions))
        .route("/admin/sessions/{session_id}", delete(accounts::end_session))
        .route("/audit", get(audit::list))
        .route("/metrics", get(telemetry::metrics))
        .route("/telemetry", get(telemetry::summary))
        .route("/telemetry/workers", get(telemetry::workers))
        .route("/telemetry/ports", get(telemetry::ports))
        .route("/telemetry/reasons", get(telemetry::reasons))
        .route("/telemetry/latency", get(telemetry::latency))
        .route("/telemetry/applications", get(telemetry::applications))
        .route("/telemetry/wire", get(telemetry::wire))
        .route("/dpi/flows", get(flows::list))
        .route("/policy/document", get(policy::document))
        .route("/policy/evaluate", post(policy::evaluate))
        .route("/policy", policy_set)
        .route("/policy/reload", post(policy::reload))
        .route("/dpi/flows/{flow_id}", delete(flows::end))
        .route("/admin/block", get(wire::blocked).post(wire::block).delete(wire::unblock))
        .route("/admin/bypass", post(wire::bypass))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(middleware::from_fn_with_state(
            Guard::new(Arc::clone(&services), limits.request_timeout),
            guard,
        ))
        .with_state(Rooms { services, jobs: Arc::new(Jobs::new()) })
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("There is nothing at {}.", uri.path()))
}
