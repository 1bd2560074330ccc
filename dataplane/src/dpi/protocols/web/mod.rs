//! What is spoken between browsers and servers? HTTP in all versions, and what rides on it.

pub mod backend;
mod body;
mod carried;
pub mod discovery;
mod events;
mod form;
pub mod haproxy;
pub mod head;
pub mod hpack;
pub mod http;
pub mod http2;
pub mod inside;
mod judge;
pub mod rides;
mod told;
pub mod websocket;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &haproxy::HAPROXY,
    &discovery::SSDP,
    &discovery::WSD,
    &backend::FASTCGI,
    &backend::AJP,
    &backend::JRMI,
    &backend::ELASTICSEARCH,
    &http2::HTTP2,
    &http2::DOH2,
    &http::HTTP,
    &websocket::WEBSOCKET,
    &rides::HTTP_PROXY,
    &rides::HTTP_CONNECT,
    &rides::SOAP,
    &rides::XML_RPC,
    &rides::WEBDAV,
    &rides::IPP,
    &rides::HLS,
    &rides::MPEG_DASH,
    &rides::OCSP,
    &rides::CRL,
    &rides::UPNP,
    &rides::GRPC,
];
