//! Which encrypted transports are there, and what do their handshakes tell? TLS, DTLS, QUIC and what names them.

pub(crate) mod carried;
mod certificate;
pub(crate) mod hello;
pub mod dtls;
mod frames;
pub mod named;
mod pieces;
pub mod quic;
mod session;
pub mod tls;
mod told;
mod tor;
pub(crate) mod weak;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[&tls::TLS, &dtls::DTLS, &quic::QUIC, &named::DOH_DOT];
