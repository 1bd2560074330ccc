//! Requests: api -> services -> store, on a thread of its own, never in the way of a packet.
//!
//! | room | knows | does not know |
//! |---|---|---|
//! | [`api`] | HTTP, JSON, status codes | disk, the packet path |
//! | [`services`] | what a request means; the door to the packet path | HTTP, files |
//! | [`sources`] | protocols that tell who is where (RADIUS, syslog, DHCP, keys of OpenID providers) | the packet path |
//! | [`store`] | files | requests |
//! | [`outbound`] | how to ask somebody else's server | why |
//! | [`client`] | how to ask a running daemon | anything of the daemon's inside |
//!
//! Requests go down, answers come up; what the packet path tells (counters, histograms, events) is read
//! through [`dataplane::control`] without a lock that a worker could meet.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")
)]

pub mod api;
pub mod client;
pub mod outbound;
pub mod services;
pub mod sources;
pub mod store;
