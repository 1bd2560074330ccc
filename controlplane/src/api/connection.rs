//! How long may a connection live, and what may it cost?
//!
//! Both HTTP versions have the same bounds. HTTP/1.1 has its own clock for headers and idle time; HTTP/2 has none in
//! hyper, so that a connection without a request under way is looked at from outside. ALPN says which version it is:
//! hyper-util's builder, which finds out by the first bytes, waits for them without end and has no bound for headers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{OptionalFromRequestParts, Request};
use axum::http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::Service as _;

use super::client_certificate::Handshook;
use super::guard::Client;
use super::policy_asked::AcceptedAt;
use super::server::Limits;
use super::tls::Fingerprint;

/// Requests at once on an HTTP/2 connection: a dashboard's, with room. Each may hold a body of
/// [`Limits::body_bytes_max`].
const STREAMS_MAX: u32 = 16;
/// Bytes of a body on their way, of one request and of all of a connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// Which HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.1 and 1.0.
    One,
    /// HTTP/2, agreed on by ALPN.
    Two,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) client: Client,
    /// Where it was accepted; `None` at the Unix socket.
    pub(super) accepted_at: Option<SocketAddr>,
    /// Of the certificate shown in the handshake.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// Serves one connection until it ends, gets too old or the server stops.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    version: Version,
    limits: Limits,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let requests = Arc::new(Requests::default());
    let begun = Arc::clone(&requests);
    let until = Instant::now() + limits.connection_age_max;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.client);
        if let Some(api) = peer.accepted_at {
            request.extensions_mut().insert(AcceptedAt(api));
        }
        if let Some(fingerprint) = peer.fingerprint {
            request.extensions_mut().insert(Handshook(fingerprint));
        }
        let under_way = Arc::new(begun.begin());
        request.extensions_mut().insert(Held { until, _request: Arc::clone(&under_way) });
        let answer = router.clone().call(request);
        async move {
            let answer = answer.await;
            drop(under_way);
            answer
        }
    });
    let stream = TokioIo::new(stream);
    let ends = async {
        tokio::select! {
            () = tokio::time::sleep(limits.connection_age_max) => {}
            () = requests.absent(limits.header_timeout), if version == Version::Two => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    };
    match version {
        Version::One => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header_timeout)
                .max_header_size(limits.header_bytes_max)
                .serve_connection(stream, service)
                .with_upgrades();
            drive(connection, http1::UpgradeableConnection::graceful_shutdown, ends, limits.request_timeout)
                .await;
        }
        Version::Two => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .serve_connection(stream, service);
            drive(connection, http2::Connection::graceful_shutdown, ends, limits.request_timeout).await;
        }
    }
}

/// Lets `connection` run until it is done, or `ends`; then it may finish the answers under way, within `patience`.
async fn drive<C: Future>(
    connection: C,
    close: impl FnOnce(Pin<&mut C>),
    ends: impl Future<Output = ()>,
    patience: Duration,
) {
    let mut connection = std::pin::pin!(connection);
    // Errors of a connection are the client's: it went away, or it did not speak HTTP in time.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = ends => {}
    }
    close(connection.as_mut());
    let _ = tokio::time::timeout(patience, connection).await;
}

/// The requests of a connection so far.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request, for whoever answers without end: as long as it is held, its connection is not idle.
#[derive(Debug, Clone)]
pub(super) struct Held {
    until: Instant,
    _request: Arc<UnderWay>,
}

impl Held {
    /// When the connection gets too old.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Held {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.remove::<Self>())
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
struct UnderWay(Arc<Requests>);

impl Requests {
    fn begin(self: &Arc<Self>) -> UnderWay {
        // Relaxed, here and below: one thread runs all of a connection.
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Waits until no request has begun or been under way for `patience`, or up to twice as long.
    async fn absent(&self, patience: Duration) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            let idle = begun == self.ended.load(Ordering::Relaxed);
            tokio::time::sleep(patience).await;
            if idle && begun == self.begun.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
