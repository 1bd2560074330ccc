//! What does the XDP program let in, and what not? Block list and bypass.

use dataplane::control::{BlockListError, WireControl, WireReading};
use ipnet::IpNet;

use super::Services;

/// Why the wire did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// This run has no XDP program: a replay, for instance.
    #[error("there is no XDP program in this run")]
    Absent,
    /// The block list refused.
    #[error(transparent)]
    BlockList(#[from] BlockListError),
    /// The kernel refused.
    #[error("{0}")]
    Kernel(String),
}

impl Services {
    /// Counters and switches of the XDP program.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn wire(&self) -> Result<WireReading, WireError> {
        self.wire_control()?.read().map_err(WireError::Kernel)
    }

    /// Turns the bypass on or off.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn set_bypass(&self, on: bool) -> Result<(), WireError> {
        self.wire_control()?.set_bypass(on).map_err(WireError::Kernel)?;
        tracing::warn!(on, "the bypass was switched: while it is on, frames pass around inspection");
        Ok(())
    }

    /// The block list.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn blocked(&self) -> Result<Vec<IpNet>, WireError> {
        self.wire_control()?.blocked().map_err(WireError::Kernel)
    }

    /// Adds prefixes to the block list; returns how many were not in it before.
    ///
    /// # Errors
    ///
    /// [`WireError`]; nothing is changed then.
    pub fn block(&self, prefixes: &[IpNet]) -> Result<usize, WireError> {
        let added = self.wire_control()?.block(prefixes)?;
        tracing::info!(added, "prefixes were added to the block list");
        Ok(added)
    }

    /// Takes prefixes off the block list; returns how many were in it.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn unblock(&self, prefixes: &[IpNet]) -> Result<usize, WireError> {
        let removed = self.wire_control()?.unblock(prefixes)?;
        tracing::info!(removed, "prefixes were taken off the block list");
        Ok(removed)
    }

    fn wire_control(&self) -> Result<&dyn WireControl, WireError> {
        self.door.wire().ok_or(WireError::Absent)
    }
}
