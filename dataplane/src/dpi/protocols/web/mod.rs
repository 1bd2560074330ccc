//! What is spoken between browsers and servers? HTTP in all versions, and what rides on it.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
