//! Who asks for names and addresses? DNS and its siblings, DHCP, time.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
