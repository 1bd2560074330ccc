//! Who hides in a tunnel? VPNs, proxies, onion routing.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
