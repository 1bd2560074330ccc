//! The API through real sockets: what it answers, to whom, and what it does with clients that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod admin;
mod audit;
mod auth;
mod calls;
mod fuzzed;
mod holds;
mod identities;
mod identity_flood;
mod identity_kept;
mod openapi;
mod certificates;
mod kept;
mod live;
mod live_disk;
mod live_socket_io;
mod mtls;
mod pypi;
mod repeated;
mod policy;
mod policy_commit;
mod policy_kept;
mod rig;
mod rules;
mod tls;
mod tokens;
mod telemetry_past;
mod webhooks;
