//! Who sends and reads mail? SMTP, IMAP, POP3, news.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
