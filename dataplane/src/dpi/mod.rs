//! What does this traffic speak, which application is it, and what does it tell of itself?
//!
//! Staged, so that nearly every packet is spared the work: a flow's first payloads are *recognised* ([`recogniser`]:
//! a byte rules out most protocols before any of them is asked); the protocol's *parser* reads transactions
//! ([`parser`]) and notes what it learns ([`notes`]); hosts, hints and addresses give the *application*
//! ([`app`]). A flow that is classified and whose parser is done is never looked at again.
//!
//! Deliberately absent: decryption of anything that is not public (QUIC Initial keys are), and reassembly, which is the
//! room [`crate::stream`].

pub mod app;
pub mod cursor;
pub mod feed;
pub mod fields;
pub mod file;
pub mod fingerprint;
pub mod foresight;
pub mod host_name;
mod idle;
pub mod inspector;
pub mod kept;
mod lease;
pub mod notes;
pub mod parser;
pub mod protocol;
pub mod protocols;
pub mod recogniser;
pub mod risk;
pub mod text;
mod told;

#[cfg(test)]
mod properties;

pub use app::{AppId, AppTable};
pub use fields::Fields;
pub use foresight::Foresight;
pub use host_name::HostName;
pub use inspector::{Inspector, Summary};
pub use kept::Kept;
pub use lease::Lease;
pub use notes::{Evidence, HintKind, HostKind, Notes};
pub use parser::{Context, FlowView, Parser, Step};
pub use protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
pub use risk::clues::Shown;
pub use risk::{Risk, Risks, Severity};
