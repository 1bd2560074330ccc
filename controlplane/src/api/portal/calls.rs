//! What does the portal answer?
//!
//! Who asks for the portal's own pages by its own name is answered there; everybody else asked somebody else, and is sent to it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use maud::Markup;
use serde_json::json;

use super::page::{Frame, STYLE};
use super::{FORM_BYTES_MAX, LIMITS, PortalConfig, PortalSite, visitor};
use crate::api::guard::Client;
use crate::api::jobs::Jobs;
use crate::api::policy_asked::AcceptedAt;
use crate::api::problem::Problem;
use crate::api::rates::{Buckets, Rates};
use crate::services::Services;
use crate::services::identities::{PortalOutcome, Source};

/// What every answer is made with.
pub(super) struct Desk {
    pub(super) services: Arc<Services>,
    pub(super) jobs: Jobs,
    rates: Buckets,
    pub(super) site: PortalSite,
    pub(super) frame: Frame,
    pub(super) session_s: u64,
}

/// Pages, and redirects to them.
pub(super) fn pages(config: &PortalConfig, services: &Arc<Services>, rates: Rates) -> Router {
    let desk = Desk::new(config, services, rates);
    Router::new()
        .route("/portal/", get(front))
        .route("/portal/style.css", get(style))
        .route("/portal/api", get(captive))
        .route("/portal/login", post(visitor::login))
        .route("/portal/logout", post(visitor::logout))
        .fallback(elsewhere)
        .method_not_allowed_fallback(elsewhere)
        .layer(axum::extract::DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), gate))
        .with_state(desk)
}

/// Redirects alone.
pub(super) fn redirects(config: &PortalConfig, services: &Arc<Services>, rates: Rates) -> Router {
    let desk = Desk::new(config, services, rates);
    Router::new()
        .fallback(elsewhere)
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), gate))
        .with_state(desk)
}

impl Desk {
    fn new(config: &PortalConfig, services: &Arc<Services>, rates: Rates) -> Arc<Self> {
        Arc::new(Self {
            services: Arc::clone(services),
            jobs: Jobs::new(),
            rates: Buckets::new(rates),
            site: config.site.clone(),
            frame: Frame { title: config.title.clone(), terms: config.terms.clone() },
            session_s: config.session_s,
        })
    }

    pub(super) fn count(&self, outcome: PortalOutcome) {
        self.services.portal_counts().add(outcome);
    }
}

/// Who asks, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    /// The client.
    pub(super) client: SocketAddr,
    /// The service address.
    pub(super) portal: SocketAddr,
}

/// Around every answer: how often may this client ask, whom does it ask, and for how long.
async fn gate(
    State(desk): State<Arc<Desk>>,
    Extension(client): Extension<Client>,
    Extension(AcceptedAt(portal)): Extension<AcceptedAt>,
    mut request: Request,
    next: Next,
) -> Response {
    let Client::Tcp(client) = client else { return StatusCode::NOT_FOUND.into_response() };
    let visit = Visit { client: SocketAddr::new(client.ip().to_canonical(), client.port()), portal };
    if let Err(problem) = desk.rates.arrive(visit.client.ip(), request.method(), request.uri().path()) {
        desk.count(PortalOutcome::Throttled);
        return finished(throttled(&desk, visit, &problem));
    }
    let is_ours = asked_host(&request)
        .is_some_and(|host| desk.site.origin(portal.ip()).ends_with(&format!("://{host}")));
    if !is_ours || (request.method() == Method::POST && is_from_elsewhere(&desk, &request, visit)) {
        return finished(sent_to_portal(&desk, visit, request.method(), request.version()));
    }
    request.extensions_mut().insert(visit);
    let answer = tokio::time::timeout(LIMITS.request_timeout, next.run(request)).await;
    finished(answer.unwrap_or_else(|_elapsed| StatusCode::REQUEST_TIMEOUT.into_response()))
}

/// The host and port that are asked for.
fn asked_host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

/// Whether a page of somebody else's has the browser send this (Fetch standard, `Origin`; Fetch metadata).
fn is_from_elsewhere(desk: &Desk, request: &Request, visit: Visit) -> bool {
    let of = |name: header::HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let origin = desk.site.origin(visit.portal.ip());
    of(header::ORIGIN).is_some_and(|from| from != origin.as_bytes())
        || of(SEC_FETCH_SITE).is_some_and(|site| site != b"same-origin" && site != b"none")
}

const SEC_FETCH_SITE: header::HeaderName = header::HeaderName::from_static("sec-fetch-site");

/// What every answer says beside itself.
fn finished(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        // Without a referrer browsers do not tell the portal's own origin either.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

pub(super) fn page(status: StatusCode, page: Markup) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, kind, page.into_string()).into_response()
}

fn throttled(desk: &Desk, visit: Visit, problem: &Problem) -> Response {
    let url = desk.site.url(visit.portal.ip());
    let mut answer = page(StatusCode::TOO_MANY_REQUESTS, desk.frame.told(problem.detail(), &url));
    if let Some(retry_after_s) = problem.retry_after_s() {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    answer
}

/// The answer to who asked somebody else.
fn sent_to_portal(desk: &Desk, visit: Visit, method: &Method, version: Version) -> Response {
    desk.count(PortalOutcome::Redirected);
    let url = desk.site.url(visit.portal.ip());
    // What sends something must not take it to be received (RFC 6585 6).
    let reads = method == Method::GET || method == Method::HEAD;
    let status = if reads { StatusCode::FOUND } else { StatusCode::NETWORK_AUTHENTICATION_REQUIRED };
    let mut answer = page(status, desk.frame.told("Log in to use this network.", &url));
    if let Ok(url) = HeaderValue::try_from(url).as_ref()
        && reads
    {
        answer.headers_mut().insert(header::LOCATION, url.clone());
    }
    // The client believes to be connected to somebody else; what it asks after the login must go there.
    if version <= Version::HTTP_11 {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn elsewhere(
    State(desk): State<Arc<Desk>>,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    sent_to_portal(&desk, visit, request.method(), request.version())
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn front(State(desk): State<Arc<Desk>>, Extension(visit): Extension<Visit>) -> Response {
    desk.count(PortalOutcome::Shown);
    let shown = match desk.services.user_at(visit.client.ip()) {
        Some(view) => desk.frame.known(&view),
        None => desk.frame.login(None),
    };
    page(StatusCode::OK, shown)
}

/// RFC 8908 5.
async fn captive(State(desk): State<Arc<Desk>>, Extension(visit): Extension<Visit>) -> Response {
    desk.count(PortalOutcome::Shown);
    let known = desk.services.user_at(visit.client.ip());
    let mut told = json!({
        "captive": known.is_none(),
        "user-portal-url": desk.site.url(visit.portal.ip()),
    });
    if let Some(view) = known {
        told["can-extend-session"] = json!(view.source == Source::Portal);
        if let Some(expires_s) = view.expires_s {
            told["seconds-remaining"] = json!(expires_s.saturating_sub(desk.services.now_s()));
        }
    }
    ([(header::CONTENT_TYPE, "application/captive+json")], told.to_string()).into_response()
}
