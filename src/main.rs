//! The appliance: configure, pin, start, serve, drain, stop.
fn main() {}
