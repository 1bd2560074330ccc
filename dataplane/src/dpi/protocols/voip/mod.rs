//! Who calls whom? SIP, RTP, STUN and what rings.

pub mod rtmp;
pub mod rtp;
pub mod rtsp;
mod sdp;
pub mod signalling;
pub mod sip;
pub mod stun;
pub mod talk;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &stun::STUN,
    &sip::SIP,
    &rtsp::RTSP,
    &talk::MPEG_TS,
    &rtmp::RTMP,
    &talk::TEAMSPEAK,
    &talk::MUMBLE,
    &talk::DISCORD,
    &talk::ZOOM,
    &talk::SHOUTCAST,
    &talk::MPD,
    &signalling::MGCP,
    &signalling::MEGACO,
    &signalling::H323,
    &signalling::SKINNY,
    &signalling::IAX,
    &signalling::UNISTIM,
    &signalling::NOE,
    &signalling::BFCP,
    &signalling::SAP,
    &rtp::RTCP,
    &rtp::RTP,
    &rtp::SRTP,
];
