//! Who calls whom? SIP, RTP, STUN and what rings.

pub mod rtsp;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[&rtsp::RTSP];
