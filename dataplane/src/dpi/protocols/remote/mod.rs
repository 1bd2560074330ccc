//! Who controls another machine? SSH, Telnet, RDP, VNC; directories and logins.

pub mod rdp;
pub mod ssh;
pub mod terminal;
pub mod vnc;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[&ssh::SSH, &vnc::VNC, &rdp::RDP, &terminal::TELNET, &terminal::RSH];
