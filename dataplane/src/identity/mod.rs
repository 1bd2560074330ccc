//! Whose is this flow? What one worker knows of who uses which address, network or Ethernet address.
//!
//! Who is where is asserted to the control plane, which settles what holds of each key and tells every worker through the door
//! ([`crate::control::IdentitySender`]). A worker asks here when policy is asked about a flow, and whether anything has changed for
//! a flow that was judged before.

mod key;
mod recent;
mod table;

pub use crate::flow::UserNumber;
pub use key::{ADDR_BITS, Key, KeyError};
pub use table::{Identity, Table};
