//! May this client make this call, and what became of it?
//!
//! Wraps every call: who is asking, a request id, the time limit, the access log. Over TCP a token says who asks, and a
//! client certificate, where one is asked for, which machine; the Unix socket's mode lets nobody in but the operator.
//! What a call takes is in [`super::permits`]; a call that is not there reaches no handler.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;

use super::client_certificate::Rules;
use super::permits::{self, Access};
use super::problem::{Code, Problem};
use super::rates::{Buckets, Rates};
use super::trail::{Told, Trail};
use crate::services::Services;
use crate::services::audit::Actor;
use crate::services::auth::Identity;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// Somebody on the network, or a local program over loopback.
    Tcp(SocketAddr),
    /// The operator: the socket's mode lets nobody else in.
    Unix,
}

/// What all calls share.
pub(super) struct Guard {
    services: Arc<Services>,
    rates: Option<Buckets>,
    request_timeout: Duration,
    rules: Rules,
    next_id: AtomicU64,
}

impl Guard {
    pub(super) fn new(
        services: Arc<Services>,
        rates: Option<Rates>,
        request_timeout: Duration,
        rules: Rules,
    ) -> Arc<Self> {
        let rates = rates.map(Buckets::new);
        // Request ids of two runs of the daemon should not be mistaken for one another in a log.
        let start = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64;
        Arc::new(Self { services, rates, request_timeout, rules, next_id: AtomicU64::new(start) })
    }
}

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware around every call.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    guard.services.api_counts().request();
    let request_id = format!("{:016x}", guard.next_id.fetch_add(1, Ordering::Relaxed));
    let client = request.extensions().get::<Client>().copied();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();

    let certificate = guard.rules.admit(client, &mut request, guard.services.api_counts());
    let shown = certificate.as_ref().ok().copied().flatten();
    let admitted = limited(&guard, &request, client, None)
        .and(certificate)
        .and_then(|_let_in| admit(&guard, &request, client))
        .and_then(|identity| limited(&guard, &request, client, Some(identity.as_ref())).map(|()| identity));
    let user = admitted.as_ref().ok().and_then(Option::as_ref).map(|identity| Arc::clone(&identity.account));
    let trail = Trail::of(&guard.services, &request, &request_id, client.map(address), admitted.as_ref());
    let in_time = match admitted.map(|identity| identity.map(|known| request.extensions_mut().insert(known)))
    {
        Err(problem) => {
            drain(request.into_body()).await;
            Ok(trail.refused(problem))
        }
        Ok(_admitted) => tokio::time::timeout(guard.request_timeout, trail.around(request, next)).await,
    };
    let mut response = in_time.unwrap_or_else(|_elapsed| {
        let limit_s = guard.request_timeout.as_secs();
        Problem::new(Code::RequestTimeout, format!("The request was not done within {limit_s} s."))
            .into_response()
    });
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    let (client, status) = (Shown(client), response.status().as_u16());
    let user = user.as_ref().map_or("-", |account| account.username.as_str());
    let client_fingerprint = shown.map(tracing::field::display);
    let duration_us = begun.elapsed().as_micros() as u64;
    // Queries and bodies are not logged: they may hold what is nobody else's business.
    if reads(&method) {
        tracing::debug!(target: "jarvis::access", request_id, %client, client_fingerprint, user, %method, path, status, duration_us);
    } else {
        tracing::info!(target: "jarvis::access", request_id, %client, client_fingerprint, user, %method, path, status, duration_us);
    }
    response
}

/// Takes what a client that is refused still sends, within bounds: some read no answer before their body is gone, and over
/// HTTP/2 take a stream that is reset under it for a failure.
async fn drain(mut body: Body) {
    let taking = async {
        let mut len_bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            len_bytes += frame.data_ref().map_or(0, |data| data.len());
            if len_bytes > DRAINED_BYTES_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, taking).await;
}

/// Longest body of a refused call that is waited for, bytes.
const DRAINED_BYTES_MAX: usize = 64 * 1_024;

/// How long it is waited for.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Whether the client may ask now; once before and once after it is known who it is.
fn limited(
    guard: &Guard,
    request: &Request,
    client: Option<Client>,
    known: Option<Option<&Identity>>,
) -> Result<(), Problem> {
    let (Some(buckets), Some(Client::Tcp(peer))) = (&guard.rates, client) else { return Ok(()) };
    let (method, path) = (request.method(), request.uri().path());
    match known {
        None => buckets.arrive(peer.ip(), method, path),
        Some(identity) => {
            let account = identity.map(|identity| identity.account.id.as_str());
            buckets.ask(peer.ip(), account, method, path)
        }
    }
}

/// Where a client is, for the audit.
fn address(client: Client) -> String {
    match client {
        Client::Tcp(peer) => peer.ip().to_canonical().to_string(),
        Client::Unix => "unix".to_owned(),
    }
}

/// Who asks, where the call takes somebody; and only calls of the table get any further.
fn admit(guard: &Guard, request: &Request, client: Option<Client>) -> Result<Option<Identity>, Problem> {
    // An unknown path is answered as such.
    let Some(path) = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) else {
        return Ok(None);
    };
    let Some(access) = permits::access(request.method(), path) else {
        let detail = format!("{path} does not take {}.", request.method());
        return Err(Problem::new(Code::MethodNotAllowed, detail).allowing(permits::methods(path)));
    };
    let local = matches!(client, Some(Client::Unix)).then(Identity::local);
    let needs = match access {
        // Who it is is not asked, but heard; a token that has expired must keep nobody from a login.
        Access::Anyone => {
            let heard = bearer(request.headers()).ok().flatten();
            let known =
                heard.and_then(|token| guard.services.auth().identify(token, guard.services.now_s()).ok());
            return Ok(known.or(local));
        }
        Access::LocalOr(needs) if is_local(guard, client, request) => {
            if bearer(request.headers())?.is_none() {
                return Ok(local);
            }
            needs
        }
        Access::LocalOr(needs) | Access::Needs(needs) | Access::Ticketed(needs) => needs,
    };
    let ticket = if matches!(access, Access::Ticketed(_)) { ticket(request.uri().query()) } else { None };
    let identity = match (local, bearer(request.headers())?) {
        (_, Some(token)) => guard.services.auth().identify(token, guard.services.now_s())?,
        (_, None) if let Some(ticket) = ticket => {
            guard.services.auth().redeem(ticket, path, client.and_then(place), guard.services.now_s())?
        }
        (Some(local), None) => local,
        (None, None) => {
            let detail = format!("{} {path} takes a token with {needs}.", request.method());
            return Err(Problem::new(Code::Unauthenticated, detail));
        }
    };
    if let Err(error) = identity.may(needs) {
        let told = Told { actor: Some(Actor::of(&identity)), ..Told::default() };
        return Err(Problem::from(error).telling(told));
    }
    Ok(Some(identity))
}

/// The token of `Authorization: Bearer` (RFC 6750 2.1); nowhere else is one looked for.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let scheme = value.to_str().ok().and_then(|text| text.split_once(' '));
    match scheme {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && all.next().is_none() => {
            Ok(Some(token.trim()))
        }
        _ => Err(Problem::new(Code::Unauthenticated, "Authorization must be one `Bearer TOKEN`.")),
    }
}

/// The ticket of a query: as it was given, it needs no decoding.
fn ticket(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("ticket="))
}

/// The address that a ticket is bound to; `None` over the Unix socket.
fn place(client: Client) -> Option<IpAddr> {
    match client {
        Client::Tcp(peer) => Some(peer.ip().to_canonical()),
        Client::Unix => None,
    }
}

/// The address that a ticket is bound to; none over the Unix socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Where(pub(super) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Where {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Client>().copied().and_then(place)))
    }
}

/// Whether a client on this machine asks, and nobody else through it: no proxy, and no web page. A page that had its name
/// resolved to this machine (DNS rebinding) comes with that name as `Host`, or as `:authority` over HTTP/2.
fn is_local(guard: &Guard, client: Option<Client>, request: &Request) -> bool {
    match client {
        Some(Client::Tcp(peer)) => {
            peer.ip().to_canonical().is_loopback()
                && !guard.rules.is_proxy(peer)
                && host_is_address(request.headers())
                && request.uri().authority().is_none_or(|authority| is_address(authority.as_str()))
        }
        Some(Client::Unix) => true,
        None => false,
    }
}

/// Who asks, for a call that takes somebody.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Identity);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let identity = parts.extensions.get::<Identity>().cloned();
        identity.map(Self).ok_or_else(|| Problem::new(Code::Unauthenticated, "This call takes a token."))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Identity>().cloned().map(Self))
    }
}

/// Where the call comes from; over the Unix socket from this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(match parts.extensions.get::<Client>() {
            Some(Client::Tcp(peer)) => peer.ip().to_canonical(),
            Some(Client::Unix) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }))
    }
}

fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Whether `Host` is an IP address or `localhost`; HTTP/1.0 and HTTP/2 may leave it out.
fn host_is_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    host.to_str().is_ok_and(is_address)
}

/// The same for the name itself, with or without a port.
fn is_address(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.split_once(':').map_or(host, |(name, _port)| name);
    let inside = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || inside.is_some_and(|address| address.parse::<IpAddr>().is_ok())
        || host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|a| a.parse::<IpAddr>().is_ok())
}

struct Shown(Option<Client>);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(Client::Tcp(peer)) => peer.fmt(f),
            Some(Client::Unix) => f.write_str("unix"),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_names_are_told_from_addresses() {
        let with = |host: &str| HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
        for host in
            ["127.0.0.1:8000", "127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000", "[::1]", "::1"]
        {
            assert!(host_is_address(&with(host)), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8000", "", "localhost.evil.example", "127.0.0.1.evil.example"]
        {
            assert!(!host_is_address(&with(host)), "{host}");
        }
        assert!(host_is_address(&HeaderMap::new()));
    }
}
