//! The appliance: configure, pin, start, serve, drain, stop.
#![forbid(unsafe_code)]

mod cli;
mod config;

fn main() {
    let _ = <cli::Cli as clap::Parser>::parse();
}
