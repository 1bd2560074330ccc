//! Whose certificate stands behind a request?
//!
//! Of a direct client it is the one of the TLS handshake. A trusted proxy ends the TLS of others and names their
//! certificates in `X-Client-Fingerprint`; from anyone else the header is taken away and counted. A certificate is no
//! login: it says which machine asks, a token says who.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::HeaderName;

use super::guard::Client;
use super::problem::{Code, Problem};
use super::tls::{Asked, ClientCertificates, Fingerprint};
use crate::services::api_counts::ApiCounts;

/// SHA-256 of a client certificate's DER, as a proxy names it.
pub(super) const X_CLIENT_FINGERPRINT: HeaderName = HeaderName::from_static("x-client-fingerprint");

/// The certificate of the TLS handshake; a request extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handshook(pub(super) Fingerprint);

/// The certificate that a request is made with, verified here or by a trusted proxy; a request extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientCertificate(pub(super) Fingerprint);

/// Whose word counts, and who gets in.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    trusted_proxies: Vec<IpAddr>,
    clients: ClientCertificates,
}

impl Rules {
    pub(super) fn new(trusted_proxies: &[IpAddr], clients: ClientCertificates) -> Self {
        let trusted_proxies = trusted_proxies.iter().map(IpAddr::to_canonical).collect();
        Self { trusted_proxies, clients }
    }

    /// Whether somebody else's requests come from this address.
    pub(super) fn is_proxy(&self, peer: SocketAddr) -> bool {
        self.trusted_proxies.contains(&peer.ip().to_canonical())
    }

    /// The certificate that `request` is made with, and leaves it there as [`ClientCertificate`].
    ///
    /// # Errors
    ///
    /// It is not let in. Direct clients were judged in the handshake already; this is for those behind a proxy.
    pub(super) fn admit(
        &self,
        client: Option<Client>,
        request: &mut Request,
        counts: &ApiCounts,
    ) -> Result<Option<Fingerprint>, Problem> {
        let fingerprint = match client {
            Some(Client::Tcp(peer)) if self.is_proxy(peer) => named(request)?,
            _ => {
                if request.headers_mut().remove(X_CLIENT_FINGERPRINT).is_some() {
                    counts.fingerprint_header_ignored();
                }
                request.extensions().get::<Handshook>().map(|Handshook(fingerprint)| *fingerprint)
            }
        };
        // The Unix socket's mode lets nobody in but the operator.
        if client != Some(Client::Unix) {
            self.judge(fingerprint)?;
        }
        if let Some(fingerprint) = fingerprint {
            request.extensions_mut().insert(ClientCertificate(fingerprint));
        }
        Ok(fingerprint)
    }

    fn judge(&self, fingerprint: Option<Fingerprint>) -> Result<(), Problem> {
        match fingerprint {
            Some(fingerprint) if !self.clients.allow(fingerprint) => {
                let detail = format!("The certificate {fingerprint} is not among the allowed fingerprints.");
                Err(Problem::new(Code::ClientCertificate, detail))
            }
            None if self.clients.asked == Asked::Required => {
                Err(Problem::new(Code::ClientCertificate, "The client showed no certificate."))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What a proxy says of its client's certificate. An empty value is how some say that there is none.
fn named(request: &Request) -> Result<Option<Fingerprint>, Problem> {
    let mut all = request.headers().get_all(X_CLIENT_FINGERPRINT).iter();
    let (first, second) = (all.next(), all.next());
    let Some(value) = first.filter(|value| second.is_some() || !value.is_empty()) else { return Ok(None) };
    let read = value.to_str().ok().filter(|_| second.is_none()).and_then(|text| text.trim().parse().ok());
    read.map(Some).ok_or_else(|| {
        let detail = "X-Client-Fingerprint must be one SHA-256 fingerprint: 64 hexadecimal digits.";
        Problem::new(Code::ClientCertificate, detail)
    })
}
