//! Packets, from bytes to verdicts, one core at a time.
//!
//! Start with [`worker`], the poll loop of one core, then [`engine`], one batch from bytes to verdicts.
//! The rooms below stand in the order in which a packet meets them; each opens with the one question
//! that it answers.
#![forbid(unsafe_code)]

#[cfg(test)]
#[path = "../tests/support/mmdb.rs"]
#[expect(unreachable_pub, reason = "tests outside this crate read it too")]
mod mmdb;
mod prefix;
mod sync;
pub mod time;
mod words;

pub mod rx;
pub mod parse;
pub mod defrag;
pub mod account;
pub mod flow;
pub mod stream;
pub mod dpi;
pub mod geography;
pub mod rules;
pub mod identity;
pub mod policy;
pub mod nat;
pub mod verdict;
pub mod tx;
pub mod host;
pub mod control;

pub mod engine;
pub mod worker;
