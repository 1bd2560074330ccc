//! What do HTTP clients see? Decode, call a service, encode: the only room that knows HTTP.
//!
//! [`Server`] listens on TCP, where a token says who asks, and on a Unix socket of mode 0600, where it is the operator.
//! Start at [`router`], the table of all paths, and [`permits`], the table of who may call them.

pub mod permits;
pub mod problem;
pub mod router;
pub mod server;

mod accounts;
mod audit;
mod auth;
mod flows;
mod guard;
mod jobs;
mod policy;
mod request;
mod system;
mod telemetry;
mod trail;
mod wire;

pub use problem::{Code, Fault, Problem};
pub use server::{Config, Limits, Server, StartError};
