//! What does a request mean? One function per use case: plain types in, plain types out, no HTTP, no disk.

pub mod names;
pub mod rate_limited;
pub mod stamp;
mod system;

pub use names::Names;
pub use rate_limited::RateLimited;
pub use system::{Degradation, Health};

use std::sync::Arc;

use dataplane::time::Now;

/// What the services work on.
pub struct Parts {
    /// What ports and policies are called.
    pub names: Arc<Names>,
    /// The clock that the workers use.
    pub clock: fn() -> Now,
}

/// All use cases.
pub struct Services {
    parts: Parts,
    started: Now,
}

impl Services {
    /// Begins counting uptime.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let started = (parts.clock)();
        Arc::new(Self { parts, started })
    }
}
