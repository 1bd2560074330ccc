//! What do products say among themselves? Protocols of one vendor or application.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
