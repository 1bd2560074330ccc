//! The appliance: configure, pin, start, serve, drain, stop.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")
)]

mod cli;
mod config;
mod cores;
mod links;
mod log;
mod preflight;
mod privileges;
mod signals;
mod threads;
#[cfg(test)]
mod tidy;

fn main() {
    let _ = <cli::Cli as clap::Parser>::parse();
}
