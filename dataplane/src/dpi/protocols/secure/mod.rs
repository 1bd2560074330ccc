//! Which encrypted transports are there, and what do their handshakes tell? TLS, DTLS, QUIC and what names them.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
