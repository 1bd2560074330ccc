//! What do the bytes of this frame say, down to the innermost packet?
//!
//! [`parse_frame`] walks from Ethernet to the innermost transport header; inspection sees the innermost
//! packet, the wire keeps the outer ones. It never allocates, never panics, and every way to be malformed
//! is a [`crate::verdict::Reason`].

pub mod addr;
pub mod headers;
pub mod quoted;

pub use addr::{Addr, Mac};
pub use headers::{Fragment, Headers, Icmp, Network, Protocol, Tcp, TcpFlags, TcpOptions, Transport, Tunnel};
