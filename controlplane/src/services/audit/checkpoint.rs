//! Who vouches for the chain up to here?

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::services::auth::key::{SigningKey, VerifyingKey};
use crate::store::segments::Link;

/// A signature over the chain: whoever changes an entry before it would have to sign anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Entries that it vouches for: all before this number.
    pub entries: u64,
    /// The link after them.
    pub link: Link,
    /// The key, as in `GET /auth/keys`.
    pub kid: String,
    /// Its algorithm.
    pub alg: String,
    /// Base64.
    pub signature: String,
}

impl Checkpoint {
    /// Signs. SLH-DSA takes 140 ms of a core: not on a thread that serves.
    pub(super) fn sign(key: &SigningKey, time_ns: u64, entries: u64, link: Link) -> Self {
        let signature = BASE64.encode(key.sign(&message(time_ns, entries, link)));
        let verifying = key.verifying();
        let (kid, alg) = (verifying.kid().to_owned(), verifying.algorithm().name().to_owned());
        Self { time_ns, entries, link, kid, alg, signature }
    }

    /// Whether this key signed it.
    pub(super) fn is_of(&self, key: &VerifyingKey) -> bool {
        let message = message(self.time_ns, self.entries, self.link);
        BASE64.decode(&self.signature).is_ok_and(|signature| key.verify(&message, &signature))
    }
}

/// What is signed. No token begins like this, so neither can be shown as the other.
fn message(time_ns: u64, entries: u64, link: Link) -> Vec<u8> {
    format!("jarvis audit checkpoint 1\n{time_ns}\n{entries}\n{link}\n").into_bytes()
}
