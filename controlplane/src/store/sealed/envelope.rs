//! How are bytes sealed and opened?

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::SealError;
use super::key::{BoxKey, KeyId, Recipient};

const MAGIC: &[u8; 6] = b"JSEAL\x01";
const ID_AT: usize = MAGIC.len();
const CIPHERTEXT_AT: usize = ID_AT + 8;
const CIPHERTEXT_BYTES: usize = 1_088;
const NONCE_AT: usize = CIPHERTEXT_AT + CIPHERTEXT_BYTES;

/// The key that an envelope was sealed under; `None`: these bytes are no envelope.
#[must_use]
pub fn is_sealed_under(envelope: &[u8]) -> Option<KeyId> {
    let id = envelope.strip_prefix(MAGIC)?.first_chunk()?;
    Some(KeyId(*id))
}

impl Recipient {
    /// Seals `bytes`, which open as `purpose` only.
    ///
    /// # Errors
    ///
    /// [`SealError::System`].
    pub fn seal(&self, purpose: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let (ciphertext, secret) = self.key.encapsulate()?;
        let mut out = [&MAGIC[..], &self.id().0, ciphertext.as_ref()].concat();
        let key = derive(secret.as_ref(), purpose.as_bytes())?;
        let sealed = seal(&*key, &[&out, purpose.as_bytes()].concat(), bytes)?;
        out.extend_from_slice(&sealed);
        Ok(out)
    }
}

impl BoxKey {
    /// Seals `bytes`, which open as `purpose` only.
    ///
    /// # Errors
    ///
    /// [`SealError::System`].
    pub fn seal(&self, purpose: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        self.recipient().seal(purpose, bytes)
    }

    /// What is in an envelope.
    ///
    /// # Errors
    ///
    /// [`SealError::OtherKey`], [`SealError::Envelope`].
    pub fn open(&self, purpose: &str, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let damaged = || SealError::Envelope(purpose.to_owned());
        let sealed = is_sealed_under(envelope).ok_or_else(damaged)?;
        if sealed != self.id() {
            return Err(SealError::OtherKey { what: purpose.to_owned(), sealed, found: self.id() });
        }
        let (head, rest) = envelope.split_at_checked(NONCE_AT).ok_or_else(damaged)?;
        let secret = self.secret.decapsulate(head[CIPHERTEXT_AT..].into()).map_err(|_| damaged())?;
        let key = derive(secret.as_ref(), purpose.as_bytes())?;
        open(&*key, &[head, purpose.as_bytes()].concat(), rest).ok_or_else(damaged)
    }
}

/// The key of one person's fields. Whoever has it reads them; once it is gone nobody does.
pub struct SubjectKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey")
    }
}

impl SubjectKey {
    /// Another one, and itself under the box key.
    ///
    /// # Errors
    ///
    /// [`SealError::System`].
    pub fn generate(box_key: &BoxKey, subject: &str) -> Result<(Self, Vec<u8>), SealError> {
        let mut key = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *key)?;
        let wrapped = box_key.seal(&purpose(subject), &*key)?;
        Ok((Self(key), wrapped))
    }

    /// The key of `subject` that [`Self::generate`] gave.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn unwrap(box_key: &BoxKey, subject: &str, wrapped: &[u8]) -> Result<Self, SealError> {
        let bytes = box_key.open(&purpose(subject), wrapped)?;
        let key = bytes.as_slice().try_into().map_err(|_| SealError::Envelope(purpose(subject)))?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Seals a field: nonce, bytes, tag.
    ///
    /// # Errors
    ///
    /// [`SealError::System`].
    pub fn seal(&self, subject: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        seal(&*self.0, subject.as_bytes(), bytes)
    }

    /// A field; `None`: it was changed, or is another's.
    #[must_use]
    pub fn open(&self, subject: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        open(&*self.0, subject.as_bytes(), sealed)
    }
}

fn purpose(subject: &str) -> String {
    format!("the key of subject {subject}")
}

/// Nonce, bytes, tag. Nonces are random: 2^32 messages are safe under one key (NIST SP 800-38D 8.3).
pub(super) fn seal(key: &[u8], aad: &[u8], bytes: &[u8]) -> Result<Vec<u8>, SealError> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key)?;
    let mut sealed = bytes.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(aad), &mut sealed)?;
    Ok([&nonce.as_ref()[..], &sealed].concat())
}

pub(super) fn open(key: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let len = key.open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?.len();
    bytes.truncate(len);
    Some(bytes)
}

/// HKDF-SHA256 (RFC 5869) of a secret for one purpose.
pub(super) fn derive(secret: &[u8], purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"jarvis seal 1").extract(secret);
    let mut key = Zeroizing::new([0; 32]);
    let info = [purpose];
    prk.expand(&info, hkdf::HKDF_SHA256)?.fill(&mut *key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_for_its_purpose_only() {
        let key = BoxKey::generate().unwrap();
        let envelope = key.seal("keys", b"secret words").unwrap();
        assert!(!envelope.windows(6).any(|window| window == b"secret"));
        assert_eq!(&**key.open("keys", &envelope).unwrap(), b"secret words");
        assert!(matches!(key.open("other", &envelope), Err(SealError::Envelope(_))));
        let other = BoxKey::generate().unwrap();
        assert!(matches!(other.open("keys", &envelope), Err(SealError::OtherKey { .. })));
        assert_ne!(key.seal("keys", b"secret words").unwrap(), envelope);
        for at in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[at] ^= 1;
            assert!(key.open("keys", &changed).is_err(), "byte {at}");
            assert!(key.open("keys", &envelope[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_subjects_key_comes_back_under_the_box_key() {
        let box_key = BoxKey::generate().unwrap();
        let (key, wrapped) = SubjectKey::generate(&box_key, "u-1").unwrap();
        let sealed = key.seal("u-1", b"ada").unwrap();
        let again = SubjectKey::unwrap(&box_key, "u-1", &wrapped).unwrap();
        assert_eq!(&**again.open("u-1", &sealed).unwrap(), b"ada");
        assert!(again.open("u-2", &sealed).is_none());
        assert!(SubjectKey::unwrap(&box_key, "u-2", &wrapped).is_err());
    }
}
