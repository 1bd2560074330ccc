//! Who sends and reads mail? SMTP, IMAP, POP3, news.

mod commands;
pub mod mailbox;
mod message;
mod mime;
pub mod smtp;

pub(super) use mime::parameter;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &smtp::SMTP,
    &smtp::SMTPS,
    &mailbox::IMAP,
    &mailbox::IMAPS,
    &mailbox::POP3,
    &mailbox::POP3S,
    &mailbox::NNTP,
    &mailbox::SIEVE,
];
