//! Who calls whom? SIP, RTP, STUN and what rings.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
