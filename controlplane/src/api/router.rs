//! Which path does what? The table of all calls.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderName, HeaderValue, Method, Response, Uri, header};
use axum::routing::{MethodRouter, delete, get, get_service, post};
use axum::{Router, middleware};
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::client_certificate::Rules;
use super::guard::{self, Guard, guard};
use super::jobs::Jobs;
use super::live::{self, Origins};
use super::permits::SOCKET_IO;
use super::problem::{Code, Problem};
use super::server::Limits;
use super::{accounts, audit, auth, catalog, flows, policy, system, telemetry, wire};
use crate::services::{Auth, Services};

/// What handlers take what they need from.
#[derive(Clone)]
pub(super) struct Rooms {
    services: Arc<Services>,
    jobs: Arc<Jobs>,
    origins: Origins,
}

impl FromRef<Rooms> for Origins {
    fn from_ref(rooms: &Rooms) -> Self {
        rooms.origins.clone()
    }
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

/// Body of a call that anyone may make, bytes: what nobody has to log in for must not fill the memory.
const ANONYMOUS_BYTES_MAX: usize = 32 * 1024;

/// All calls; [`super::permits`] says who may make which.
pub(super) fn router(
    services: Arc<Services>,
    limits: &Limits,
    origins: &[HeaderValue],
    rules: Rules,
) -> Router {
    let policy_set: MethodRouter<Rooms> =
        get(policy::show).put(policy::replace).layer(DefaultBodyLimit::max(limits.policy_bytes_max));
    let (jobs, allowed) = (Arc::new(Jobs::new()), Origins(origins.into()));
    let socket_io = live::socket_io::service(&services, &jobs);
    let strangers = live::socket_io::Strangers::default();
    let socket_io = get_service(socket_io.clone())
        .post_service(socket_io)
        .layer(middleware::from_fn_with_state((allowed.clone(), strangers), live::socket_io::begin));
    Router::new()
        .route("/health", get(system::health))
        .route("/health/live", get(system::live))
        .route("/health/ready", get(system::ready))
        .route("/api/system/status", get(system::status))
        .route("/api/federation/status", get(system::federation))
        .route("/auth/login", post(auth::login).layer(DefaultBodyLimit::max(ANONYMOUS_BYTES_MAX)))
        .route("/auth/refresh", post(auth::refresh).layer(DefaultBodyLimit::max(ANONYMOUS_BYTES_MAX)))
        .route("/auth/logout", post(auth::logout))
        .route("/auth/me", get(auth::me))
        .route("/auth/password", post(auth::password))
        .route("/auth/sessions", get(auth::sessions))
        .route("/auth/sessions/{session_id}", delete(auth::end_session))
        .route("/auth/keys", get(auth::keys))
        .route("/auth/keys/rotate", post(auth::rotate))
        .route("/auth/ticket", post(live::ticket::give))
        .route("/ws", get(live::ws::open))
        .route("/events", get(live::sse::open))
        .route("/events/history", get(live::history::list))
        .route(SOCKET_IO, socket_io)
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
        .route("/dpi/protocols", get(catalog::protocols))
        .route("/dpi/applications", get(catalog::applications))
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
            Guard::new(Arc::clone(&services), limits.rates, limits.request_timeout, rules),
            guard,
        ))
        .layer(compression())
        .layer(cors(origins))
        .with_state(Rooms { services, jobs, origins: allowed })
}

/// Pages of these origins may call, with a token of theirs: no cookies, so no credentials of the browser's.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            LAST_EVENT_ID,
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER, guard::REQUEST_ID])
        .max_age(PREFLIGHT_MAX_AGE)
}

/// Of `EventSource`, where a page sends it itself.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long a browser may remember what an origin may do.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// gzip and zstd of what is worth it. Answers with tokens in them are left alone: what a client can choose and a secret
/// should not be in one compressed text (BREACH).
fn compression() -> CompressionLayer<impl Predicate> {
    let worthwhile = SizeAbove::new(COMPRESSED_BYTES_MIN).and(NotForContentType::SSE);
    CompressionLayer::new().compress_when(worthwhile.and(NotForSecrets))
}

/// About one packet.
const COMPRESSED_BYTES_MIN: u64 = 1_024;

#[derive(Debug, Clone, Copy)]
struct NotForSecrets;

impl Predicate for NotForSecrets {
    fn should_compress<B: hyper::body::Body>(&self, response: &Response<B>) -> bool {
        response.extensions().get::<HasSecrets>().is_none()
    }
}

/// Marks an answer with tokens or passwords in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct HasSecrets;

async fn not_found(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("There is nothing at {}.", uri.path()))
}
