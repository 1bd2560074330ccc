//! The harness: traffic, drivers, measurement, A/B report.
fn main() {}
