//! How do connections to the API begin, and who claims what is not theirs to claim?

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use utoipa::ToSchema;

/// What became of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// The client is in.
    Completed,
    /// It has no certificate, or not one that is let in.
    ClientRefused,
    /// It was not done in time.
    TimedOut,
    /// No TLS 1.3, garbage, a client that does not trust this box, or one that went away.
    Failed,
}

/// Counted by the API's connections, read by anyone at any time.
#[derive(Debug, Default)]
pub struct ApiCounts {
    requests: AtomicU64,
    completed: AtomicU64,
    client_refused: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    fingerprint_headers_ignored: AtomicU64,
}

/// A reading of [`ApiCounts`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiTotals {
    /// Requests so far, refused ones included.
    pub requests: u64,
    /// TLS handshakes by what became of them.
    pub tls_handshakes: HandshakeTotals,
    /// Requests that named a client's certificate (`X-Client-Fingerprint`) and came from no trusted proxy.
    pub fingerprint_headers_ignored: u64,
}

/// TLS handshakes by what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct HandshakeTotals {
    /// The client is in.
    pub completed: u64,
    /// It has no certificate, or not one that is let in.
    pub client_refused: u64,
    /// Not done in time.
    pub timed_out: u64,
    /// No TLS 1.3, garbage, a client that does not trust this box, or one that went away.
    pub failed: u64,
}

impl ApiCounts {
    /// Counts a handshake.
    pub fn handshake(&self, outcome: Handshake) {
        let counter = match outcome {
            Handshake::Completed => &self.completed,
            Handshake::ClientRefused => &self.client_refused,
            Handshake::TimedOut => &self.timed_out,
            Handshake::Failed => &self.failed,
        };
        // Relaxed, here and below: each number stands alone.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a fingerprint that a client claimed without being a trusted proxy.
    pub fn fingerprint_header_ignored(&self) {
        self.fingerprint_headers_ignored.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it so far.
    #[must_use]
    pub fn totals(&self) -> ApiTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ApiTotals {
            requests: read(&self.requests),
            tls_handshakes: HandshakeTotals {
                completed: read(&self.completed),
                client_refused: read(&self.client_refused),
                timed_out: read(&self.timed_out),
                failed: read(&self.failed),
            },
            fingerprint_headers_ignored: read(&self.fingerprint_headers_ignored),
        }
    }
}
