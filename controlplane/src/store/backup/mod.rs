//! How is all that a box keeps put into one file, while it runs, and back?
//!
//! A tar file with
//!
//! ```text
//! entities.redb              accounts, sessions, policies, keys of subjects: as of one moment
//! segments/KIND/...          finished segments, and the one that is written up to its last whole block
//! keys.json                  the box's own keys that sign tokens, sealed under the box key
//! box.key.sealed             the box key under a passphrase or to a recipient, where one was given
//! files/...                  the files of configuration, policies and applications, for who restores
//! manifest.json              length and SHA-256 of each of these
//! manifest.signature         over it, by the key that signs tokens
//! ```
//!
//! What is personal or secret in it is sealed as it is on the box: without the box key nobody reads it.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Placed, RestoreError, Unpacked, finish, unpack};
pub use write::{Content, write};

use serde::{Deserialize, Serialize};

use super::segments::Kind;

pub(super) const ENTITIES: &str = "entities.redb";
pub(super) const KEYS: &str = "keys.json";
pub(super) const BOX_KEY: &str = "box.key.sealed";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SIGNATURE: &str = "manifest.signature";
pub(super) const SEGMENTS: &str = "segments";
pub(super) const FILES: &str = "files";

/// Shape of the archive that this version writes.
const FORMAT: u32 = 1;

/// What is in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Shape of the archive.
    pub format: u32,
    /// The daemon's version.
    pub version: String,
    /// Seconds since 1970.
    pub created_s: u64,
    /// The box key that its secrets are sealed under.
    pub box_key: String,
    /// How the box key itself is in it.
    pub box_key_protection: Protection,
    /// All files but this one and its signature.
    pub files: Vec<Packed>,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// Its name in the archive.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Of its bytes, hexadecimal.
    pub sha256: String,
}

/// How the box key is in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// It is not: whoever restores must have it.
    Absent,
    /// Under a passphrase.
    Passphrase,
    /// Under another ML-KEM-768 key.
    Recipient,
}

/// Who vouches for a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The key, as in `GET /auth/keys`.
    pub kid: String,
    /// Its algorithm.
    pub alg: String,
    /// Base64.
    pub signature: String,
}

/// What is signed of a manifest. No token begins like this, and no checkpoint.
#[must_use]
pub fn message(manifest: &[u8]) -> Vec<u8> {
    [b"jarvis backup manifest 1\n", manifest].concat()
}

/// Whether an archive may have a file of this name.
fn is_known(path: &str) -> bool {
    let is_plain =
        |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    match path.split_once('/') {
        None => [ENTITIES, KEYS, BOX_KEY, MANIFEST, SIGNATURE].contains(&path),
        Some((FILES, name)) => is_plain(name),
        Some((SEGMENTS, rest)) => rest
            .split_once('/')
            .is_some_and(|(kind, name)| Kind::ALL.iter().any(|known| known.name() == kind) && is_plain(name)),
        Some(_) => false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
