//! What on this box is not to be read by whoever has the disk? The box key, and what is sealed under it.
//!
//! The box key is an ML-KEM-768 pair (FIPS 203) in a file of its own, which may be on another disk than what it seals. An
//! envelope is a key that was encapsulated to its public half, and bytes under that key:
//!
//! ```text
//! "JSEAL" 1 | id of the key, 8 | ML-KEM ciphertext, 1,088 | nonce, 12 | AES-256-GCM of the bytes, and its tag
//! ```
//!
//! The AES key is HKDF-SHA256 of the shared secret with the purpose; purpose and everything before the nonce are
//! authenticated too, so that no envelope opens as another kind of thing.
//!
//! | file | question |
//! |---|---|
//! | `key` | where is the box key, and is it the right one? |
//! | `envelope` | how are bytes sealed and opened? |
//! | `passphrase` | how does the box key itself leave the box? |

mod envelope;
mod key;
mod passphrase;

pub use envelope::{SubjectKey, is_sealed_under};
pub use key::{BoxKey, BoxKeyFile, KeyId, Recipient};
pub use passphrase::{open_with_passphrase, seal_with_passphrase};

use std::path::PathBuf;

use super::StoreError;

/// Why something is not sealed, or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The box key is gone, and things are sealed under it.
    #[error(
        "the box key is not at {}, and this box has things sealed under key {sealed}: put that key there (a stick to plug in, \
         a credential, a backup: `jarvis restore`). No new one is made, because what is sealed could never be read again; \
         to give all of it up, move {} away",
        path.display(), note.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// The key that sealed things.
        sealed: KeyId,
        /// What says so.
        note: PathBuf,
    },
    /// Another box key than the one that things are sealed under.
    #[error("the box key at {} is {found}, and this box has things sealed under key {sealed}: put that key there", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: KeyId,
        /// The key that sealed things.
        sealed: KeyId,
    },
    /// The file of the box key is none.
    #[error("the box key at {} is damaged: {detail}. Put the copy of it from a backup there", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The envelope is of another key.
    #[error("{what} is sealed under key {sealed}, and the box key is {found}")]
    OtherKey {
        /// What.
        what: String,
        /// The key that sealed it.
        sealed: KeyId,
        /// The box key.
        found: KeyId,
    },
    /// What is sealed was changed.
    #[error("{0} is damaged, or was sealed as something else")]
    Envelope(String),
    /// The passphrase, or the bytes.
    #[error("the passphrase is wrong, or what it seals is damaged")]
    Passphrase,
    /// The library has no randomness or no memory.
    #[error("the system cannot seal or open anything now")]
    System,
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<aws_lc_rs::error::Unspecified> for SealError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::System
    }
}
