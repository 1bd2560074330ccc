//! What do HTTP clients see? Decode, call a service, encode: the only room that knows HTTP.
//!
//! [`Server`] listens on loopback TCP, where calls only read, and on a Unix socket of mode 0600, where they
//! may change things. Start at [`router`], the table of all paths.

pub mod problem;
pub mod router;
pub mod server;

mod flows;
mod guard;
mod jobs;
mod policy;
mod request;
mod system;
mod telemetry;
mod wire;

pub use problem::{Code, Fault, Problem};
pub use server::{Config, Limits, Server, StartError};
