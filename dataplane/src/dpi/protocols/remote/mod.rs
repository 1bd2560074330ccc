//! Who controls another machine? SSH, Telnet, RDP, VNC; directories and logins.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
