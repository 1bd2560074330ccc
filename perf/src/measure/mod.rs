//! How is a number made? Trials, searches, costs, and what a reader must know to believe them.

pub(crate) mod cost;
pub(crate) mod environment;
pub(crate) mod latency;
pub(crate) mod search;
pub(crate) mod stats;
pub(crate) mod trial;
pub(crate) mod watchdog;
