//! What do HTTP clients see? Decode, call a service, encode: the only room that knows HTTP.
//!
//! [`Server`] listens on TCP, with [`tls`] or without, where a token says who asks, and on a Unix socket of mode 0600, where it is the operator.
//! Start at [`router`], the table of all paths, and [`permits`], the table of who may call them.

pub mod permits;
pub mod problem;
pub mod router;
mod rule_profile;
mod rules;
pub mod server;
pub mod tls;

mod accept;
mod accounts;
mod admin;
mod audit;
mod auth;
mod backup;
mod catalog;
mod classify;
mod client_certificate;
mod connection;
mod explain;
mod flows;
mod guard;
mod holds;
mod identities;
mod identities_oidc;
mod idempotency;
mod job_board;
mod jobs;
mod live;
mod openapi;
mod policy;
mod policy_asked;
mod policy_commit;
mod policy_findings;
mod policy_items;
mod policy_schema;
mod policy_shadow;
mod policy_versions;
pub mod portal;
pub mod rates;
mod request;
mod running;
mod schema;
mod subjects;
mod system;
mod talkers;
mod telemetry;
mod telemetry_history;
mod trail;
mod webhooks;
mod what_if;
mod wire;

pub use portal::{Portal, PortalConfig, PortalSite};
pub use problem::{Code, Fault, Problem};
pub use rates::Rates;
pub use server::{Config, Limits, Server, StartError};
pub use tls::{Asked, ClientCertificates, Fingerprint, Tls, TlsFault, TlsFiles};
