//! Which keys does this box sign with, and which signatures does it still believe?
//!
//! One key signs; keys that signed before are kept with their public half until their tokens have expired. They come
//! from the key file that `jarvis keygen` writes, or from the environment in the names of the former system.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::key::{Jwk, KeyError, SigningKey, VerifyingKey};
use crate::store::sealed::{BoxKey, KeyId, SealError, is_sealed_under};

/// Keys that are believed beside the one that signs.
const RETIRED_MAX: usize = 8;

/// The keys of a box.
#[derive(Debug, Clone)]
pub struct KeyRing {
    signing: Arc<SigningKey>,
    retired: Vec<VerifyingKey>,
}

/// What a key file holds: a JWK set (RFC 7517 5), the key that signs first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// The key that signs with its secret, then retired ones with their public half.
    pub keys: Vec<Jwk>,
    /// Of the box's own file: the key that signs with its secret, sealed under the box key, in Base64. `keys` have no secrets
    /// then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// What the box's own keys are sealed as.
const PURPOSE: &str = "the keys that sign tokens";

impl KeySet {
    /// The box key that it is sealed under; `None`: it is in the open.
    #[must_use]
    pub fn sealed_under(&self) -> Option<KeyId> {
        is_sealed_under(&BASE64.decode(self.sealed.as_ref()?).ok()?)
    }

    /// What its keys verify with without the box key: an HMAC key that is sealed verifies nothing.
    ///
    /// # Errors
    ///
    /// [`KeyRingError`]: the first key that is none.
    pub fn verifying_unopened(&self) -> Result<Vec<VerifyingKey>, KeyRingError> {
        let is_open = |jwk: &&Jwk| jwk.public.is_some() || jwk.k.is_some();
        Self { keys: self.keys.iter().filter(is_open).cloned().collect(), sealed: None }.verifying()
    }

    /// What its keys verify with, in their order; secrets are used for HMAC only.
    ///
    /// # Errors
    ///
    /// [`KeyRingError`]: the first key that is none.
    pub fn verifying(&self) -> Result<Vec<VerifyingKey>, KeyRingError> {
        let of = |jwk: &Jwk| match &jwk.k {
            Some(_) => SigningKey::of_jwk(jwk).map(|key| key.verifying().clone()),
            None => VerifyingKey::of_jwk(jwk),
        };
        let wrong = |jwk: &Jwk, source| KeyRingError::Key { from: format!("key {}", jwk.kid), source };
        self.keys.iter().map(|jwk| of(jwk).map_err(|error| wrong(jwk, error))).collect()
    }
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// A key is none.
    #[error("{from}: {source}")]
    Key {
        /// Where it came from.
        from: String,
        /// What is wrong.
        source: KeyError,
    },
    /// `PQC_SK_B64` is of the former system's scheme.
    #[error(
        "PQC_SK_B64 is a SPHINCS+ key of the third round of NIST's competition, or damaged: no FIPS 205 parameter set \
         gives the public root that it names. Tokens of such keys cannot be verified by the standard. Make a new key \
         with `jarvis keygen`, take PQC_SK_B64 and PQC_PK_B64 out of the environment, and let users log in again"
    )]
    Round3,
    /// `PQC_SK_B64` is of another parameter set than asked for.
    #[error("PQC_SK_B64 is a key of {found}, and auth.algorithm is {wanted}: change one of them")]
    OtherSet {
        /// What it is.
        found: Algorithm,
        /// What was asked for.
        wanted: Algorithm,
    },
    /// `PQC_PK_B64` belongs to another key.
    #[error(
        "PQC_PK_B64 is not the public half of PQC_SK_B64: take it out, or make both anew with `jarvis keygen --environment`"
    )]
    OtherPublic,
    /// The key that signs is sealed, and does not open.
    #[error("{0}")]
    Sealed(String),
    /// No key, or none that signs.
    #[error("the key file has no key with a secret: make one with `jarvis keygen`")]
    Empty,
}

/// Sets that a secret key of 64 bytes may be of.
const SLH_SETS: [Algorithm; 3] =
    [Algorithm::SlhDsaSha2_128s, Algorithm::SlhDsaSha2_128f, Algorithm::SlhDsaShake128s];

impl KeyRing {
    /// Signs with `signing` and believes nothing else.
    #[must_use]
    pub fn of(signing: SigningKey) -> Self {
        Self { signing: Arc::new(signing), retired: Vec::new() }
    }

    /// Keys of a key file.
    ///
    /// # Errors
    ///
    /// [`KeyRingError`]: the first key that is none.
    pub fn of_set(set: &KeySet) -> Result<Self, KeyRingError> {
        let wrong = |jwk: &Jwk, source| KeyRingError::Key { from: format!("key {}", jwk.kid), source };
        if set.sealed.is_some() {
            return Err(KeyRingError::Sealed("it is a box's own and sealed under its box key".to_owned()));
        }
        let (first, rest) = set.keys.split_first().ok_or(KeyRingError::Empty)?;
        if first.private.is_none() && first.k.is_none() {
            return Err(KeyRingError::Empty);
        }
        let signing = SigningKey::of_jwk(first).map_err(|error| wrong(first, error))?;
        let retired = rest
            .iter()
            .take(RETIRED_MAX)
            .map(|jwk| VerifyingKey::of_jwk(jwk).map_err(|error| wrong(jwk, error)))
            .collect::<Result<_, _>>()?;
        Ok(Self { signing: Arc::new(signing), retired })
    }

    /// Keys of the box's own file, sealed under the box key or still in the open.
    ///
    /// # Errors
    ///
    /// [`KeyRingError`]: an envelope of another box key, the first key that is none.
    pub fn of_sealed_set(set: &KeySet, box_key: &BoxKey) -> Result<Self, KeyRingError> {
        let Some(sealed) = &set.sealed else { return Self::of_set(set) };
        let (_, retired) = set.keys.split_first().ok_or(KeyRingError::Empty)?;
        let told = |error: &dyn std::fmt::Display| KeyRingError::Sealed(error.to_string());
        let envelope = BASE64.decode(sealed).map_err(|_| told(&"`sealed` is no Base64"))?;
        let opened = box_key.open(PURPOSE, &envelope).map_err(|error| told(&error))?;
        let signing: Jwk = serde_json::from_slice(&opened).map_err(|_| told(&"what is sealed is no key"))?;
        let keys = std::iter::once(signing).chain(retired.iter().cloned()).collect();
        Self::of_set(&KeySet { keys, sealed: None })
    }

    /// As it is written to the box's own file: whoever reads that may verify, and not sign.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn to_sealed_set(&self, box_key: &BoxKey) -> Result<KeySet, SealError> {
        let signing = serde_json::to_vec(&self.signing.to_jwk()).map(Zeroizing::new);
        let envelope = box_key.seal(PURPOSE, &signing.map_err(|_| SealError::System)?)?;
        let retired = self.retired.iter().filter(|key| key.algorithm().is_asymmetric());
        let keys = std::iter::once(self.signing.verifying()).chain(retired).map(VerifyingKey::to_jwk);
        Ok(KeySet { keys: keys.collect(), sealed: Some(BASE64.encode(envelope)) })
    }

    /// The key of `PQC_SK_B64` (base64 of all four parts of an SLH-DSA key, or of the seed of an ML-DSA key), which must
    /// be of `wanted` and belong to `PQC_PK_B64` where that is set.
    ///
    /// # Errors
    ///
    /// [`KeyRingError`].
    pub fn of_environment(
        wanted: Algorithm,
        secret: &str,
        public: Option<&str>,
    ) -> Result<Self, KeyRingError> {
        let named = |name: &str, source| KeyRingError::Key { from: name.to_owned(), source };
        let secret = Zeroizing::new(
            BASE64.decode(secret.trim()).map_err(|_| named("PQC_SK_B64", KeyError::NotBase64))?,
        );
        let signing = match SigningKey::of_bytes(wanted, &secret) {
            Ok(key) => key,
            Err(error) => return Err(diagnose(wanted, &secret, error)),
        };
        signing.prove().map_err(|error| named("PQC_SK_B64", error))?;
        if let Some(public) = public {
            let public =
                BASE64.decode(public.trim()).map_err(|_| named("PQC_PK_B64", KeyError::NotBase64))?;
            if public != signing.verifying().bytes() {
                return Err(KeyRingError::OtherPublic);
            }
        }
        Ok(Self::of(signing))
    }

    /// The same, signing with `signing` from now on; what signed until now is still believed.
    #[must_use]
    pub fn rotated(&self, signing: SigningKey) -> Self {
        let mut retired = vec![self.signing.verifying().clone()];
        retired.extend(self.retired.iter().take(RETIRED_MAX - 1).cloned());
        Self { signing: Arc::new(signing), retired }
    }

    /// As it is written to a file.
    #[must_use]
    pub fn to_set(&self) -> KeySet {
        // A retired HMAC key verifies only with its secret, and whoever has that can sign: it is not kept.
        let retired = self.retired.iter().filter(|key| key.algorithm().is_asymmetric());
        KeySet {
            keys: std::iter::once(self.signing.to_jwk()).chain(retired.map(VerifyingKey::to_jwk)).collect(),
            sealed: None,
        }
    }

    /// The key that signs.
    #[must_use]
    pub const fn signing(&self) -> &Arc<SigningKey> {
        &self.signing
    }

    /// All that is believed, the key that signs first.
    #[must_use]
    pub fn verifying(&self) -> Vec<VerifyingKey> {
        std::iter::once(self.signing.verifying()).chain(&self.retired).cloned().collect()
    }

    /// The key that a token names; one that names none is of the key that signs.
    #[must_use]
    pub fn find(&self, kid: Option<&str>) -> Option<&VerifyingKey> {
        let signing = self.signing.verifying();
        match kid {
            None => Some(signing),
            Some(kid) => std::iter::once(signing).chain(&self.retired).find(|key| key.kid() == kid),
        }
    }

    /// Longest token that is looked at, bytes.
    #[must_use]
    pub fn token_bytes_max(&self) -> usize {
        let all = std::iter::once(self.signing.verifying()).chain(&self.retired);
        all.map(|key| key.algorithm().token_bytes_max()).max().unwrap_or_default()
    }

    /// The public halves, for whoever verifies tokens elsewhere.
    #[must_use]
    pub fn public(&self) -> Vec<Jwk> {
        std::iter::once(self.signing.verifying())
            .chain(&self.retired)
            .filter(|key| key.algorithm().is_asymmetric())
            .map(VerifyingKey::to_jwk)
            .collect()
    }
}

/// What bytes are that are no key of `wanted`.
fn diagnose(wanted: Algorithm, secret: &[u8], error: KeyError) -> KeyRingError {
    let other = SLH_SETS.into_iter().find(|set| SigningKey::of_bytes(*set, secret).is_ok());
    match (other, &error) {
        (Some(found), _) => KeyRingError::OtherSet { found, wanted },
        // 64, 96 and 128 bytes are the secret keys of all parameter sets of SPHINCS+ and of SLH-DSA alike; of the sets
        // with names in JOSE, none has this key.
        (None, _) if matches!(secret.len(), 64 | 96 | 128) => KeyRingError::Round3,
        (None, _) => KeyRingError::Key { from: "PQC_SK_B64".to_owned(), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: Algorithm) -> SigningKey {
        SigningKey::generate(algorithm).unwrap()
    }

    #[test]
    fn a_file_is_read_back_and_rotation_keeps_what_signed_before() {
        let old = KeyRing::of(key(Algorithm::SlhDsaSha2_128f));
        let kid = old.signing().verifying().kid().to_owned();
        let new = old.rotated(key(Algorithm::MlDsa44));
        let text = serde_json::to_string(&new.to_set()).unwrap();
        let again = KeyRing::of_set(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(again.signing().verifying().kid(), new.signing().verifying().kid());
        assert!(again.find(Some(&kid)).is_some());
        assert!(again.find(Some("another")).is_none());
        assert_eq!(again.public().len(), 2);
        assert!(!serde_json::to_string(&again.public()).unwrap().contains("priv"));
    }

    #[test]
    fn keys_of_the_environment_are_proven() {
        let set = Algorithm::SlhDsaSha2_128f;
        let key = key(set);
        let secret = BASE64.encode(&*key.secret());
        let public = BASE64.encode(key.verifying().bytes());
        assert!(KeyRing::of_environment(set, &secret, Some(&public)).is_ok());
        assert!(KeyRing::of_environment(set, &format!("{secret}\n"), None).is_ok());
        let told =
            |wanted, secret: &str, public| KeyRing::of_environment(wanted, secret, public).unwrap_err();
        let another = BASE64.encode([1; 32]);
        assert_eq!(told(set, &secret, Some(&another)), KeyRingError::OtherPublic);
        let wanted = Algorithm::SlhDsaSha2_128s;
        assert_eq!(told(wanted, &secret, None), KeyRingError::OtherSet { found: set, wanted });
        assert!(matches!(told(set, "not base64!", None), KeyRingError::Key { .. }));
        assert!(matches!(told(set, &BASE64.encode([1; 10]), None), KeyRingError::Key { .. }));
    }

    #[test]
    fn keys_of_the_third_round_are_recognised() {
        let set = Algorithm::SlhDsaSha2_128f;
        // The layout of both schemes is the same; the root of the other scheme is not what the seeds give here.
        let mut secret = key(set).secret();
        secret[48..].copy_from_slice(&[0x5a; 16]);
        for bytes in [secret.to_vec(), vec![7; 96], vec![7; 128]] {
            let error = KeyRing::of_environment(set, &BASE64.encode(bytes), None).unwrap_err();
            assert_eq!(error, KeyRingError::Round3);
            assert!(error.to_string().contains("jarvis keygen"));
        }
    }

    #[test]
    fn a_file_without_a_secret_signs_nothing() {
        let ring = KeyRing::of(key(Algorithm::MlDsa44));
        let file = KeySet { keys: ring.public(), sealed: None };
        assert_eq!(KeyRing::of_set(&file).unwrap_err(), KeyRingError::Empty);
        assert_eq!(
            KeyRing::of_set(&KeySet { keys: Vec::new(), sealed: None }).unwrap_err(),
            KeyRingError::Empty
        );
    }
}
