//! What keeps networks running? Routing, management, monitoring.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];

/// The protocol of an IP protocol number, where the number alone says it.
#[must_use]
pub const fn by_ip_protocol(_number: u8) -> Option<&'static Protocol> {
    None
}
