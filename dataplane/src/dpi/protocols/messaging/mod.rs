//! Who passes messages? Brokers, chats, RPC.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
