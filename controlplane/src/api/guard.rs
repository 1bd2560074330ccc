//! May this client make this call, and what became of it?
//!
//! Wraps every call: who is asking (TCP or Unix socket), a request id, the time limit, the access log.
//! Over TCP nothing changes anything, and a client that is not local sees the public paths only; a `Host`
//! that is a name is refused there, so that no web page reads the box through its visitor's browser
//! (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// Somebody on the network, or a local program over loopback.
    Tcp(SocketAddr),
    /// The operator: the socket's mode lets nobody else in.
    Unix,
}

/// What all calls share.
#[derive(Debug)]
pub(super) struct Guard {
    request_timeout: Duration,
    next_id: AtomicU64,
}

impl Guard {
    pub(super) fn new(request_timeout: Duration) -> Arc<Self> {
        // Request ids of two runs of the daemon should not be mistaken for one another in a log.
        let start = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64;
        Arc::new(Self { request_timeout, next_id: AtomicU64::new(start) })
    }
}

/// Paths that anyone who reaches the TCP port may read.
const PUBLIC: [&str; 3] = ["/health", "/api/system/status", "/api/federation/status"];

/// POST calls that change nothing.
const READING_POSTS: [&str; 1] = ["/policy/evaluate"];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware around every call.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let request_id = format!("{:016x}", guard.next_id.fetch_add(1, Ordering::Relaxed));
    let client = request.extensions().get::<Client>().copied();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();

    let mut response = match allowed(&request, client) {
        Err(problem) => problem.into_response(),
        Ok(()) => match tokio::time::timeout(guard.request_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_elapsed) => {
                let limit_s = guard.request_timeout.as_secs();
                Problem::new(Code::RequestTimeout, format!("The request was not done within {limit_s} s."))
                    .into_response()
            }
        },
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && !is_problem(response.headers()) {
        let allow = response.headers_mut().remove(header::ALLOW);
        response =
            Problem::new(Code::MethodNotAllowed, format!("{path} does not take {method}.")).into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    let (client, status) = (Shown(client), response.status().as_u16());
    let duration_us = begun.elapsed().as_micros() as u64;
    // Queries and bodies are not logged: they may hold what is nobody else's business.
    if reads(&method) {
        tracing::debug!(target: "jarvis::access", request_id, %client, %method, path, status, duration_us);
    } else {
        tracing::info!(target: "jarvis::access", request_id, %client, %method, path, status, duration_us);
    }
    response
}

fn allowed(request: &Request, client: Option<Client>) -> Result<(), Problem> {
    let Some(Client::Tcp(peer)) = client else { return Ok(()) };
    // An unknown path is answered as such.
    let Some(path) = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) else {
        return Ok(());
    };
    if PUBLIC.contains(&path) && reads(request.method()) {
        return Ok(());
    }
    if !peer.ip().to_canonical().is_loopback() {
        return Err(Problem::new(
            Code::LocalOnly,
            format!("{path} is answered to clients on this machine only; you come from {}.", peer.ip()),
        ));
    }
    if !host_is_address(request.headers()) {
        return Err(Problem::new(
            Code::LocalOnly,
            "The Host header is a name; ask by address or as localhost, or use the Unix socket.",
        ));
    }
    if !reads(request.method()) && !READING_POSTS.contains(&path) {
        return Err(Problem::new(
            Code::ReadOnly,
            format!("{} {path} changes something; send it over the Unix socket.", request.method()),
        ));
    }
    Ok(())
}

fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Whether `Host` is an IP address or `localhost`, with or without a port; HTTP/1.0 may leave it out.
fn host_is_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
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

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
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
