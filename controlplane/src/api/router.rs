//! Which path does what? The table of all calls.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderName, HeaderValue, Method, Response, Uri, header};
use axum::routing::{get, get_service};
use axum::{Extension, Router, middleware};
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::classify::UploadMax;
use super::client_certificate::Rules;
use super::guard::{self, Guard, guard};
use super::idempotency::Remembered;
use super::jobs::Jobs;
use super::live::{self, Origins};
use super::permits::SOCKET_IO;
use super::problem::{Code, Problem};
use super::server::Limits;
use super::{
    accounts, admin, audit, auth, backup, catalog, classify, explain, flows, holds, idempotency, identities,
    identities_oidc, job_board, openapi, policy, policy_commit, policy_findings, policy_items, policy_shadow,
    policy_versions, rule_profile, rules, subjects, system, talkers, telemetry, telemetry_history, webhooks,
    what_if, wire,
};
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

/// All calls; each says its path above its handler, and [`super::permits`] says who may make it.
pub(super) fn router(
    services: Arc<Services>,
    limits: &Limits,
    origins: &[HeaderValue],
    certificates: Rules,
) -> Router {
    let (jobs, allowed) = (Arc::new(Jobs::new()), Origins(origins.into()));
    let socket_io = live::socket_io::service(&services, &jobs);
    let strangers = live::socket_io::Strangers::default();
    let socket_io = get_service(socket_io.clone())
        .post_service(socket_io)
        .layer(middleware::from_fn_with_state((allowed.clone(), strangers), live::socket_io::begin));
    let (routes, document) = OpenApiRouter::with_openapi(openapi::beginning(services.version()))
        .routes(routes!(system::health))
        .routes(routes!(system::live))
        .routes(routes!(system::ready))
        .routes(routes!(system::status))
        .routes(routes!(system::federation))
        .routes(routes!(auth::login).layer(DefaultBodyLimit::max(ANONYMOUS_BYTES_MAX)))
        .routes(routes!(auth::refresh).layer(DefaultBodyLimit::max(ANONYMOUS_BYTES_MAX)))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::me))
        .routes(routes!(auth::password))
        .routes(routes!(auth::sessions))
        .routes(routes!(auth::end_session))
        .routes(routes!(auth::keys))
        .routes(routes!(auth::rotate))
        .routes(routes!(live::ticket::give))
        .routes(routes!(live::sse::open))
        .routes(routes!(live::history::list))
        .routes(routes!(accounts::roles))
        .routes(routes!(accounts::list, accounts::make))
        .routes(routes!(accounts::show, accounts::change, accounts::remove))
        .routes(routes!(accounts::token))
        .routes(routes!(accounts::sessions))
        .routes(routes!(accounts::end_session))
        .routes(routes!(subjects::erase))
        .routes(routes!(backup::make))
        .routes(routes!(backup::fetch))
        .routes(routes!(audit::list))
        .routes(routes!(telemetry::metrics))
        .routes(routes!(telemetry::summary))
        .routes(routes!(telemetry::workers))
        .routes(routes!(telemetry::ports))
        .routes(routes!(telemetry::reasons))
        .routes(routes!(telemetry::latency))
        .routes(routes!(telemetry::applications))
        .routes(routes!(telemetry_history::columns))
        .routes(routes!(talkers::talkers))
        .routes(routes!(talkers::users))
        .routes(routes!(telemetry::wire))
        .routes(routes!(flows::list))
        .routes(routes!(flows::end))
        .routes(routes!(catalog::protocols))
        .routes(routes!(catalog::applications))
        .routes(routes!(rules::list))
        .routes(routes!(rules::summary))
        .routes(routes!(rules::reload))
        .routes(routes!(rule_profile::show, rule_profile::start, rule_profile::stop))
        .routes(routes!(rules::show))
        .routes(routes!(rules::enable))
        .routes(routes!(rules::disable))
        .routes(routes!(classify::classify).layer(DefaultBodyLimit::disable()))
        .routes(routes!(job_board::list))
        .routes(routes!(job_board::show, job_board::end))
        .routes(
            routes!(policy::show, policy::replace, policy_items::make)
                .layer(DefaultBodyLimit::max(limits.policy_bytes_max)),
        )
        .routes(routes!(policy::document))
        .routes(routes!(policy_findings::show))
        .routes(routes!(policy::evaluate))
        .routes(routes!(policy::reload))
        .routes(routes!(policy_items::order).layer(DefaultBodyLimit::max(limits.policy_bytes_max)))
        .routes(routes!(policy_items::import).layer(DefaultBodyLimit::max(limits.policy_bytes_max)))
        .routes(routes!(policy_items::export))
        .routes(routes!(policy_versions::list))
        .routes(routes!(policy_versions::show))
        .routes(routes!(policy_versions::diff))
        .routes(routes!(policy_versions::restore))
        .routes(routes!(policy_commit::show, policy_commit::abort))
        .routes(routes!(policy_commit::confirm))
        .routes(
            routes!(policy_shadow::show, policy_shadow::start, policy_shadow::end)
                .layer(DefaultBodyLimit::max(limits.policy_bytes_max)),
        )
        .routes(routes!(policy_shadow::document))
        .routes(routes!(what_if::ask).layer(DefaultBodyLimit::disable()))
        .routes(routes!(policy_items::show, policy_items::put, policy_items::patch, policy_items::remove))
        .routes(routes!(wire::blocked, wire::block, wire::unblock))
        .routes(routes!(wire::bypass))
        .routes(routes!(admin::config))
        .routes(routes!(admin::reload))
        .routes(routes!(admin::log_level, admin::set_log_level))
        .routes(routes!(admin::drain))
        .routes(routes!(explain::explain))
        .routes(routes!(identities::list, identities::assert))
        .routes(routes!(identities_oidc::assert))
        .routes(routes!(identities::show, identities::end))
        .routes(routes!(holds::list))
        .routes(routes!(holds::show, holds::put, holds::release))
        .routes(routes!(webhooks::list, webhooks::make))
        .routes(routes!(webhooks::show, webhooks::change, webhooks::remove))
        .routes(routes!(webhooks::test))
        .split_for_parts();
    let captures_max = UploadMax(limits.upload_bytes_max);
    let document = openapi::Sent::new(&openapi::finished(document));
    routes
        .route("/ws", get(live::ws::open))
        .route(SOCKET_IO, socket_io)
        .route("/openapi.json", get(openapi::document).layer(Extension(document)))
        .route("/docs", get(openapi::page))
        .route("/docs/{*file}", get(openapi::file))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(Extension(captures_max))
        .layer(Extension(what_if::SetMax(limits.policy_bytes_max)))
        .layer(middleware::from_fn_with_state(Arc::new(Remembered::default()), idempotency::once))
        .layer(middleware::from_fn_with_state(
            Guard::new(Arc::clone(&services), limits.rates, limits.request_timeout, certificates),
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
            idempotency::KEY,
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
