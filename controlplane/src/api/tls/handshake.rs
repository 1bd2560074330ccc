//! Who is at the other end of a connection? One handshake, within its time; what became of it is counted.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustls::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{ALPN_HTTP_2, Fingerprint, Tls};
use crate::services::RateLimited;
use crate::services::api_counts::{ApiCounts, Handshake};

/// A connection after its handshake.
pub(in crate::api) struct Handshaken {
    pub(in crate::api) stream: TlsStream<TcpStream>,
    /// Of the client's certificate, if it showed one; it was let in then.
    pub(in crate::api) fingerprint: Option<Fingerprint>,
    /// Whether HTTP/2 was agreed on.
    pub(in crate::api) http_2: bool,
}

/// Shakes hands with `peer`; `None` if nothing comes of it within `timeout`.
pub(in crate::api) async fn shake_hands(
    tls: &Tls,
    stream: TcpStream,
    peer: SocketAddr,
    timeout: Duration,
    counts: &ApiCounts,
    warning: &RateLimited,
) -> Option<Handshaken> {
    let accepting = TlsAcceptor::from(tls.current()).accept(stream).into_fallible();
    let (outcome, error, stream) = match tokio::time::timeout(timeout, accepting).await {
        Ok(Ok(stream)) => {
            counts.handshake(Handshake::Completed);
            let session = stream.get_ref().1;
            let certificate = session.peer_certificates().and_then(<[_]>::first);
            let fingerprint = certificate.map(|der| Fingerprint::of(der));
            let http_2 = session.alpn_protocol() == Some(ALPN_HTTP_2);
            return Some(Handshaken { stream, fingerprint, http_2 });
        }
        Ok(Err((error, stream))) => (outcome_of(&error), error.to_string(), Some(stream)),
        Err(_elapsed) => (Handshake::TimedOut, "it was not done in time".to_owned(), None),
    };
    counts.handshake(outcome);
    // Who is refused wants a look, what a port scanner sends does not.
    if outcome == Handshake::ClientRefused {
        if let Some(suppressed) = warning.permit(Instant::now()) {
            tracing::warn!(%peer, error, suppressed, "a client was refused for its certificate");
        }
    } else {
        tracing::debug!(%peer, error, "a TLS handshake failed");
    }
    if let Some(stream) = stream {
        part(stream).await;
    }
    None
}

/// How long, and for how many bytes, a client that was refused is listened to.
const PARTING_TIME: Duration = Duration::from_secs(1);
const PARTING_BYTES: u64 = 64 * 1024;

/// Closes so that the alert arrives: a client of TLS 1.3 sends its request before it hears that it is refused, and data
/// that nobody reads make the kernel reset the connection, alert and all.
async fn part(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let (mut rest, mut nowhere) = (stream.take(PARTING_BYTES), tokio::io::sink());
        let _ = tokio::time::timeout(PARTING_TIME, tokio::io::copy(&mut rest, &mut nowhere)).await;
    }
}

fn outcome_of(error: &io::Error) -> Handshake {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => Handshake::ClientRefused,
        Some(_) | None => Handshake::Failed,
    }
}
