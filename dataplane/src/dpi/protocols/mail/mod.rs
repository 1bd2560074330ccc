//! Who sends and reads mail? SMTP, IMAP, POP3, news.

pub mod mailbox;
pub mod smtp;

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

/// Whether `line` begins with `word`, whatever its case.
fn begins(line: &[u8], word: &[u8]) -> bool {
    line.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// Whether `word` stands anywhere in `line`, whatever its case.
fn has(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
