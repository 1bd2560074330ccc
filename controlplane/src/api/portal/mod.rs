//! The captive portal: where do users of whom nobody knows who they are say who they are?
//!
//! ```text
//! client ── http://anything/ ──► policy redirects to service:8880 ──► 302 ──► /portal/ ──► login ──► the address is the user's
//! ```
//!
//! It listens at the box's service addresses, on a thread of its own: what strangers ask for is never in the way of the API. A user
//! logs in with an account of the box, and what is known from then on is who uses that address (`Source::Portal`); there is no
//! session, no cookie and no token of the API. HTTPS is never answered for others: policies reject it.
//!
//! RFC 8908 (captive portal API), RFC 8910 (how clients learn of it), RFC 6585 6 (511 for what cannot be redirected).

mod calls;
mod page;
mod site;
mod visitor;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use site::PortalSite;

use super::accept::{Listener, TlsSide, accept_all, listen_tcp};
use super::jobs;
use super::rates::Rates;
use super::running::Running;
use super::server::{Limits, StartError};
use super::tls::Tls;
use crate::services::Services;

/// What the portal is.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    /// The interface that has the addresses; what comes in elsewhere is not answered.
    pub interface: String,
    /// The service addresses.
    pub addrs: Vec<IpAddr>,
    /// Where it is, as clients are told.
    pub site: PortalSite,
    /// For [`PortalSite::tls_port`].
    pub tls: Option<Arc<Tls>>,
    /// How long a login is believed, seconds.
    pub session_s: u64,
    /// What the page is called.
    pub title: String,
    /// What is said above the form.
    pub terms: Option<String>,
}

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 4 * 1_024;

/// Connections of one host: a browser has six, and every program on it looks whether it is captive.
const CONNECTIONS_PER_HOST_MAX: usize = 32;

const LIMITS: Limits = Limits {
    tcp_connections_max: 2_048,
    connections_per_host_max: Some(CONNECTIONS_PER_HOST_MAX),
    unix_connections_max: 0,
    handshake_timeout: Duration::from_secs(10),
    header_timeout: Duration::from_secs(10),
    request_timeout: Duration::from_secs(15),
    connection_age_max: Duration::from_secs(120),
    header_bytes_max: 16 * 1_024,
    body_bytes_max: FORM_BYTES_MAX,
    policy_bytes_max: 0,
    upload_bytes_max: 0,
    drain_timeout: Duration::from_secs(1),
    rates: None,
};

/// The running portal; dropping it stops it.
#[derive(Debug)]
pub struct Portal(Running);

impl Portal {
    /// Listens and serves on a thread of its own, which inherits the caller's CPU affinity: call it from a thread that is not pinned
    /// to a worker's core.
    ///
    /// # Errors
    ///
    /// [`StartError`], and nothing is left behind.
    pub fn start(config: PortalConfig, services: Arc<Services>) -> Result<Self, StartError> {
        let runtime = jobs::runtime("jarvis-portal-job").map_err(StartError::Thread)?;
        let listen = |port| -> Result<Vec<TcpListener>, StartError> {
            let _guard = runtime.enter();
            let at = config.addrs.iter().map(|addr| SocketAddr::new(*addr, port));
            at.map(|at| listen_tcp(at, Some(&config.interface))).collect()
        };
        let (clear, in_tls) = match (&config.tls, config.site.tls_port) {
            (Some(tls), Some(port)) => {
                let side = TlsSide::new(Arc::clone(tls), Arc::clone(&services));
                (listen(config.site.port)?, Some((listen(port)?, side)))
            }
            _ => (listen(config.site.port)?, None),
        };
        let running = Running::start("jarvis-portal", runtime, move |stopped| async move {
            let pages = calls::pages(&config, &services, Rates::default());
            match in_tls {
                None => serve(clear, None, &pages, stopped).await,
                Some((in_tls, side)) => {
                    let redirects = calls::redirects(&config, &services, Rates::default());
                    tokio::join!(
                        serve(clear, None, &redirects, stopped.clone()),
                        serve(in_tls, Some(side), &pages, stopped)
                    );
                }
            }
        });
        running.map(Self).map_err(StartError::Thread)
    }

    /// Whether its thread still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.is_alive()
    }
}

/// Serves at all addresses.
async fn serve(
    listeners: Vec<TcpListener>,
    tls: Option<Arc<TlsSide>>,
    router: &axum::Router,
    stopped: watch::Receiver<bool>,
) {
    let serving = listeners
        .into_iter()
        .map(|listener| accept_all(Listener::Tcp(listener, tls.clone()), LIMITS, router, stopped.clone()));
    futures_util::future::join_all(serving).await;
}
