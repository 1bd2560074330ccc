//! Who calls whom? SIP, RTP, STUN and what rings.

pub mod rtp;
pub mod rtsp;
pub mod sip;
pub mod stun;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[&stun::STUN, &sip::SIP, &rtp::RTCP, &rtp::RTP, &rtp::SRTP, &rtsp::RTSP];
