//! How must the headers change so that a frame reaches another destination, or a refusal its sender?
//!
//! [`Redirect`] rewrites a frame in place, both ways, checksums mended incrementally (RFC 1624). [`refuse`]
//! writes the frames that tell a sender no: TCP resets and ICMP "administratively prohibited". Both work on
//! the innermost packet and keep every header around it right: lengths, checksums, and for a refusal the
//! way back. [`announce`] writes anew what tells clients of their network, with one option more.
//!
//! Cost: a redirect touches the addresses, ports and at most three checksums; headers around a tunnelled
//! packet are walked again only where something was changed inside. Nothing allocates.
//!
//! Absent: who is redirected or refused (policy), how often (`reject_per_s`), which port a frame leaves by.

pub mod announce;
pub mod redirect;
pub mod refuse;
mod edit;
mod layers;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod craft;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;

pub use announce::Announcement;
pub use redirect::{Original, Redirect, Target};
pub use refuse::{REFUSAL_BYTES_MAX, Tracked, may_refuse, reset_receiver, reset_sender, unreachable};
