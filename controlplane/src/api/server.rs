//! Who may connect, for how long, and how many at once?
//!
//! One thread, one single-threaded runtime, never a worker's core. Each listener has its own bound of
//! connections, so that a flood over TCP cannot lock the operator out of the Unix socket; a connection
//! beyond the bound waits in the kernel's backlog. Headers, bodies, requests and whole connections each have
//! a time limit: a client that sends or reads one byte a minute is closed, not waited for.
//!
//! With [`Config::tls`] TCP speaks TLS 1.3 only, and HTTP/2 where ALPN asks for it; each handshake is a task of its own with
//! a time limit. Without, TCP speaks HTTP/1.1.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::accept::{Listener, TlsSide, UnixSocket, accept_all, listen_tcp};
use super::client_certificate::Rules;
use super::jobs::Jobs;
use super::rates::Rates;
use super::running::Running;
use super::tls::{ClientCertificates, Tls};
use super::{jobs, live, router, webhooks};
use crate::services::Services;

/// Where to listen, and the bounds.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// TCP address, for whoever has a token.
    pub tcp: Option<SocketAddr>,
    /// Certificates of the TCP side; `None` speaks in clear.
    pub tls: Option<Arc<Tls>>,
    /// What is asked of clients over TCP besides; for direct ones [`Config::tls`] asks it in the handshake.
    pub client_certificates: ClientCertificates,
    /// Addresses that may name the certificate of the client that they speak for.
    pub trusted_proxies: Vec<IpAddr>,
    /// Unix socket for all calls; a stale one is replaced, a live one is an error.
    pub unix: Option<PathBuf>,
    /// Pages of these origins may call, such as `https://console.example`; none where empty.
    pub origins: Vec<HeaderValue>,
    /// The bounds.
    pub limits: Limits,
}

/// Bounds of what clients can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once over TCP.
    pub tcp_connections_max: usize,
    /// Connections at once of one host over TCP, of IPv6 the /64; `None`: as many as there are.
    pub connections_per_host_max: Option<usize>,
    /// Connections at once over the Unix socket.
    pub unix_connections_max: usize,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for the request line and headers; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Time for body and answer together.
    pub request_timeout: Duration,
    /// Age at which a connection is closed after the answer it is giving.
    pub connection_age_max: Duration,
    /// Request line and headers together, bytes.
    pub header_bytes_max: usize,
    /// Body of a call, bytes.
    pub body_bytes_max: usize,
    /// Body of a call that brings a policy set, bytes.
    pub policy_bytes_max: usize,
    /// Capture that a client sends, bytes.
    pub upload_bytes_max: u64,
    /// How long a stop waits for answers under way.
    pub drain_timeout: Duration,
    /// How often one client may ask; `None`: as often as it likes.
    pub rates: Option<Rates>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tcp_connections_max: 4_096,
            // Many operators' programs may stand behind one proxy.
            connections_per_host_max: None,
            unix_connections_max: 128,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            connection_age_max: Duration::from_secs(600),
            header_bytes_max: 32 * 1024,
            body_bytes_max: 1 << 20,
            policy_bytes_max: 64 << 20,
            upload_bytes_max: 256 << 20,
            drain_timeout: Duration::from_secs(3),
            rates: Some(Rates::default()),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TCP address cannot be had.
    #[error("cannot listen on {addr}: {source}")]
    Tcp {
        /// Asked for.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The Unix socket cannot be had.
    #[error("cannot listen on {}: {source}", path.display())]
    Unix {
        /// Asked for.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another daemon answers on the Unix socket.
    #[error("another daemon is listening on {}", path.display())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// No thread or no runtime.
    #[error("cannot start the control thread: {0}")]
    Thread(io::Error),
}

/// The running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    tcp_addr: Option<SocketAddr>,
    running: Running,
}

impl Server {
    /// Listens and serves on a thread of its own, which inherits the caller's CPU affinity: call it from a
    /// thread that is not pinned to a worker's core.
    ///
    /// # Errors
    ///
    /// [`StartError`], and nothing is left behind.
    pub fn start(config: Config, services: Arc<Services>) -> Result<Self, StartError> {
        let runtime = jobs::runtime("jarvis-ctl-job").map_err(StartError::Thread)?;
        let (tcp, unix) = {
            let _guard = runtime.enter();
            let tcp = config.tcp.map(|addr| listen_tcp(addr, None)).transpose()?;
            (tcp, config.unix.map(UnixSocket::listen).transpose()?)
        };
        let tcp_addr = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
        let limits = config.limits;
        let rules = Rules::new(&config.trusted_proxies, config.client_certificates);
        let router = router::router(Arc::clone(&services), &limits, &config.origins, rules);
        let tls = config.tls.map(|tls| TlsSide::new(tls, Arc::clone(&services)));
        let running = Running::start("jarvis-control", runtime, move |stopped| {
            serve(tcp, tls, unix, limits, router, services, stopped)
        });
        Ok(Self { tcp_addr, running: running.map_err(StartError::Thread)? })
    }

    /// The address that TCP clients reach it at (the port chosen where 0 was asked for).
    #[must_use]
    pub const fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp_addr
    }

    /// Whether its thread still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.running.is_alive()
    }

    /// Takes no more requests, gives the answers under way their drain time, removes the Unix socket.
    pub fn stop(self) {
        drop(self.running);
    }
}

async fn serve(
    tcp: Option<TcpListener>,
    tls: Option<Arc<TlsSide>>,
    unix: Option<UnixSocket>,
    limits: Limits,
    router: Router,
    services: Arc<Services>,
    stopped: watch::Receiver<bool>,
) {
    let posting = webhooks::deliver(Arc::clone(&services), Arc::new(Jobs::new()), stopped.clone());
    let live = live::watch(services, stopped.clone(), limits.drain_timeout);
    let tcp = async {
        if let Some(listener) = tcp {
            accept_all(Listener::Tcp(listener, tls), limits, &router, stopped.clone()).await;
        }
    };
    let unix = async {
        if let Some(socket) = unix {
            let UnixSocket { ref listener, .. } = socket;
            accept_all(Listener::Unix(listener), limits, &router, stopped.clone()).await;
        }
    };
    tokio::join!(tcp, unix, live, posting);
}
