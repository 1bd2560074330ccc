//! What signs a token, and what verifies it?
//!
//! One type over the schemes. A key knows its algorithm; a token never chooses one. Signatures are pure and with an
//! empty context (FIPS 205 10.2, FIPS 204 5.2), deterministic where the scheme allows it: the box needs no randomness
//! to sign. Secret bytes are wiped when dropped.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slh_dsa::signature::{Keypair, Signer, Verifier};
use slh_dsa::{Sha2_128f, Sha2_128s, Shake128s};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;

/// Bytes of randomness that an SLH-DSA key of category 1 is made of: SK.seed, SK.prf, PK.seed (FIPS 205 9.1).
const SLH_SEEDS: usize = 3 * SLH_N;
const SLH_N: usize = 16;
/// Seed of an ML-DSA key (FIPS 204 5.1).
const ML_SEED: usize = 32;
/// Bytes of an HMAC key that the box makes itself.
const HMAC_BYTES: usize = 32;

/// Why bytes are no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Text that is no base64.
    #[error("the key is not base64")]
    NotBase64,
    /// Another length than the algorithm's.
    #[error("{algorithm} keys have {expected} bytes, this one has {found}")]
    Length {
        /// Whose keys.
        algorithm: Algorithm,
        /// Bytes.
        expected: usize,
        /// Bytes.
        found: usize,
    },
    /// The public part is not that of the secret part.
    #[error("the public part of the key is not what its secret part gives under {0}")]
    Mismatch(Algorithm),
    /// What the key signs does not verify.
    #[error("what this key signs does not verify under {0}")]
    Useless(Algorithm),
    /// The system has no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
    /// A JWK without what it needs.
    #[error("the key lacks `{0}`")]
    Missing(&'static str),
    /// Not one of ours.
    #[error(transparent)]
    Unknown(#[from] super::algorithm::UnknownAlgorithm),
}

/// A key that signs.
pub struct SigningKey {
    secret: Secret,
    public: VerifyingKey,
}

enum Secret {
    Sha2_128s(Box<slh_dsa::SigningKey<Sha2_128s>>),
    Sha2_128f(Box<slh_dsa::SigningKey<Sha2_128f>>),
    Shake128s(Box<slh_dsa::SigningKey<Shake128s>>),
    Ml44(Box<ml_dsa::SigningKey<MlDsa44>>),
    Ml65(Box<ml_dsa::SigningKey<MlDsa65>>),
    Ml87(Box<ml_dsa::SigningKey<MlDsa87>>),
    Hmac,
}

/// A key that verifies. Of HMAC it is the secret itself.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    kid: String,
    bytes: Zeroizing<Vec<u8>>,
    public: Public,
}

#[derive(Clone)]
enum Public {
    Sha2_128s(Box<slh_dsa::VerifyingKey<Sha2_128s>>),
    Sha2_128f(Box<slh_dsa::VerifyingKey<Sha2_128f>>),
    Shake128s(Box<slh_dsa::VerifyingKey<Shake128s>>),
    Ml44(Box<ml_dsa::VerifyingKey<MlDsa44>>),
    Ml65(Box<ml_dsa::VerifyingKey<MlDsa65>>),
    Ml87(Box<ml_dsa::VerifyingKey<MlDsa87>>),
    Hmac,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, {})", self.public.algorithm, self.public.kid)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({}, {})", self.algorithm, self.kid)
    }
}

impl SigningKey {
    /// A new key; SLH-DSA with small signatures takes some 20 ms.
    ///
    /// # Errors
    ///
    /// [`KeyError::Randomness`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let len = match algorithm {
            Algorithm::SlhDsaSha2_128s | Algorithm::SlhDsaSha2_128f | Algorithm::SlhDsaShake128s => SLH_SEEDS,
            Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => ML_SEED,
            Algorithm::Hs256 => HMAC_BYTES,
        };
        let mut seed = Zeroizing::new(vec![0; len]);
        getrandom::fill(&mut seed).map_err(|error| KeyError::Randomness(error.to_string()))?;
        Self::of_seed(algorithm, &seed)
    }

    /// The key of `secret`: for SLH-DSA all four parts as FIPS 205 writes them, for ML-DSA the seed, for HMAC the key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Length`], and [`KeyError::Mismatch`] where an SLH-DSA key's public root is not what its seeds give.
    pub fn of_bytes(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let expected = secret_bytes(algorithm).unwrap_or(secret.len());
        if secret.len() != expected {
            return Err(KeyError::Length { algorithm, expected, found: secret.len() });
        }
        match algorithm {
            Algorithm::SlhDsaSha2_128s | Algorithm::SlhDsaSha2_128f | Algorithm::SlhDsaShake128s => {
                let key = Self::of_seed(algorithm, &secret[..SLH_SEEDS])?;
                let is_its = key.public.bytes[SLH_N..] == secret[SLH_SEEDS..];
                if is_its { Ok(key) } else { Err(KeyError::Mismatch(algorithm)) }
            }
            _ => Self::of_seed(algorithm, secret),
        }
    }

    fn of_seed(algorithm: Algorithm, seed: &[u8]) -> Result<Self, KeyError> {
        macro_rules! slh {
            ($set:ident) => {{
                let (sk, rest) = seed.split_at(SLH_N);
                let (prf, pk) = rest.split_at(SLH_N);
                let key = slh_dsa::SigningKey::<$set>::slh_keygen_internal(sk, prf, pk);
                let public = key.verifying_key();
                let bytes = public.to_vec();
                (Secret::$set(Box::new(key)), Public::$set(Box::new(public)), bytes)
            }};
        }
        macro_rules! ml {
            ($set:ident, $name:ident) => {{
                let seed = ml_dsa::Seed::try_from(seed).map_err(|_| KeyError::Length {
                    algorithm,
                    expected: ML_SEED,
                    found: seed.len(),
                })?;
                let key = ml_dsa::SigningKey::<$set>::from_seed(&seed);
                let public = key.verifying_key();
                let bytes = public.encode().to_vec();
                (Secret::$name(Box::new(key)), Public::$name(Box::new(public)), bytes)
            }};
        }
        let (secret, public, bytes) = match algorithm {
            Algorithm::SlhDsaSha2_128s => slh!(Sha2_128s),
            Algorithm::SlhDsaSha2_128f => slh!(Sha2_128f),
            Algorithm::SlhDsaShake128s => slh!(Shake128s),
            Algorithm::MlDsa44 => ml!(MlDsa44, Ml44),
            Algorithm::MlDsa65 => ml!(MlDsa65, Ml65),
            Algorithm::MlDsa87 => ml!(MlDsa87, Ml87),
            Algorithm::Hs256 => (Secret::Hmac, Public::Hmac, seed.to_vec()),
        };
        let bytes = Zeroizing::new(bytes);
        Ok(Self {
            secret,
            public: VerifyingKey { algorithm, kid: thumbprint(algorithm, &bytes), bytes, public },
        })
    }

    /// Its other half.
    #[must_use]
    pub const fn verifying(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs `message`. SLH-DSA with small signatures takes 140 ms of a core: not on the thread that serves.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Sha2_128s(key) => key.sign(message).to_vec(),
            Secret::Sha2_128f(key) => key.sign(message).to_vec(),
            Secret::Shake128s(key) => key.sign(message).to_vec(),
            Secret::Ml44(key) => key.sign(message).encode().to_vec(),
            Secret::Ml65(key) => key.sign(message).encode().to_vec(),
            Secret::Ml87(key) => key.sign(message).encode().to_vec(),
            Secret::Hmac => hmac(&self.public.bytes, message).finalize().into_bytes().to_vec(),
        }
    }

    /// The secret bytes, as [`Self::of_bytes`] takes them.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match &self.secret {
            Secret::Sha2_128s(key) => key.to_vec(),
            Secret::Sha2_128f(key) => key.to_vec(),
            Secret::Shake128s(key) => key.to_vec(),
            Secret::Ml44(key) => key.as_seed().to_vec(),
            Secret::Ml65(key) => key.as_seed().to_vec(),
            Secret::Ml87(key) => key.as_seed().to_vec(),
            Secret::Hmac => self.public.bytes.to_vec(),
        })
    }

    /// Signs something and verifies it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Useless`].
    pub fn prove(&self) -> Result<(), KeyError> {
        let message = b"jarvis: does this key sign?";
        if self.public.verify(message, &self.sign(message)) {
            Ok(())
        } else {
            Err(KeyError::Useless(self.public.algorithm))
        }
    }

    /// With the secret: `kty` `AKP` and `priv` (RFC 9964 3), or `oct` and `k` (RFC 7518 6.4).
    #[must_use]
    pub fn to_jwk(&self) -> Jwk {
        let mut jwk = self.public.to_jwk();
        let secret = BASE64URL.encode(&*self.secret());
        if self.public.algorithm.is_asymmetric() {
            jwk.private = Some(secret);
        } else {
            jwk.k = Some(secret);
        }
        jwk
    }

    /// The key of a JWK with its secret.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: what is missing or does not fit.
    pub fn of_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let algorithm: Algorithm = jwk.alg.parse()?;
        let (name, text) = if algorithm.is_asymmetric() { ("priv", &jwk.private) } else { ("k", &jwk.k) };
        let text = text.as_ref().ok_or(KeyError::Missing(name))?;
        let secret = Zeroizing::new(BASE64URL.decode(text).map_err(|_| KeyError::NotBase64)?);
        let key = Self::of_bytes(algorithm, &secret)?;
        match &jwk.public {
            Some(public) if *public != BASE64URL.encode(&*key.public.bytes) => {
                Err(KeyError::Mismatch(algorithm))
            }
            _ => Ok(key),
        }
    }
}

impl VerifyingKey {
    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name in tokens: the thumbprint of RFC 7638.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public bytes, as FIPS 205 and FIPS 204 write them; of HMAC there are none.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        if self.algorithm.is_asymmetric() { &self.bytes } else { &[] }
    }

    /// The public bytes; of HMAC the secret.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether `signature` is this key's of `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        macro_rules! slh {
            ($key:ident, $set:ident) => {
                slh_dsa::Signature::<$set>::try_from(signature)
                    .is_ok_and(|signature| $key.verify(message, &signature).is_ok())
            };
        }
        macro_rules! ml {
            ($key:ident, $set:ident) => {
                ml_dsa::Signature::<$set>::try_from(signature)
                    .is_ok_and(|signature| $key.verify(message, &signature).is_ok())
            };
        }
        match &self.public {
            Public::Sha2_128s(key) => slh!(key, Sha2_128s),
            Public::Sha2_128f(key) => slh!(key, Sha2_128f),
            Public::Shake128s(key) => slh!(key, Shake128s),
            Public::Ml44(key) => ml!(key, MlDsa44),
            Public::Ml65(key) => ml!(key, MlDsa65),
            Public::Ml87(key) => ml!(key, MlDsa87),
            Public::Hmac => hmac(&self.bytes, message).verify_slice(signature).is_ok(),
        }
    }

    /// The public half as a JWK; of HMAC without any key.
    #[must_use]
    pub fn to_jwk(&self) -> Jwk {
        let is_asymmetric = self.algorithm.is_asymmetric();
        Jwk {
            kty: if is_asymmetric { "AKP" } else { "oct" }.to_owned(),
            kid: self.kid.clone(),
            alg: self.algorithm.name().to_owned(),
            r#use: "sig".to_owned(),
            public: is_asymmetric.then(|| BASE64URL.encode(&*self.bytes)),
            private: None,
            k: None,
        }
    }

    /// The key of a JWK with its public half.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: what is missing or does not fit.
    pub fn of_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let algorithm: Algorithm = jwk.alg.parse()?;
        if !algorithm.is_asymmetric() {
            return SigningKey::of_jwk(jwk).map(|key| key.public);
        }
        let text = jwk.public.as_ref().ok_or(KeyError::Missing("pub"))?;
        let bytes = BASE64URL.decode(text).map_err(|_| KeyError::NotBase64)?;
        let wrong = |expected| KeyError::Length { algorithm, expected, found: bytes.len() };
        macro_rules! slh {
            ($set:ident) => {
                Public::$set(Box::new(
                    slh_dsa::VerifyingKey::try_from(&bytes[..]).map_err(|_| wrong(2 * SLH_N))?,
                ))
            };
        }
        macro_rules! ml {
            ($name:ident, $set:ident, $len:literal) => {
                Public::$name(Box::new(ml_dsa::VerifyingKey::<$set>::decode(
                    &bytes[..].try_into().map_err(|_| wrong($len))?,
                )))
            };
        }
        let public = match algorithm {
            Algorithm::SlhDsaSha2_128s => slh!(Sha2_128s),
            Algorithm::SlhDsaSha2_128f => slh!(Sha2_128f),
            Algorithm::SlhDsaShake128s => slh!(Shake128s),
            Algorithm::MlDsa44 => ml!(Ml44, MlDsa44, 1_312),
            Algorithm::MlDsa65 => ml!(Ml65, MlDsa65, 1_952),
            Algorithm::MlDsa87 => ml!(Ml87, MlDsa87, 2_592),
            Algorithm::Hs256 => Public::Hmac,
        };
        Ok(Self { algorithm, kid: thumbprint(algorithm, &bytes), bytes: Zeroizing::new(bytes), public })
    }
}

/// A JSON Web Key as this box writes and reads it.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    /// `AKP` (RFC 9964) or `oct`.
    pub kty: String,
    /// Which key this is.
    pub kid: String,
    /// Its one algorithm.
    pub alg: String,
    /// `sig`.
    pub r#use: String,
    /// Public half, base64url.
    #[serde(rename = "pub", default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
    /// Secret half, base64url; in key files only.
    #[serde(rename = "priv", default, skip_serializing_if = "Option::is_none")]
    pub private: Option<String>,
    /// HMAC key, base64url; in key files only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<String>,
}

impl std::fmt::Debug for Jwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwk({}, {})", self.alg, self.kid)
    }
}

/// Bytes of a secret key as it is written; `None`: any.
const fn secret_bytes(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::SlhDsaSha2_128s | Algorithm::SlhDsaSha2_128f | Algorithm::SlhDsaShake128s => {
            Some(4 * SLH_N)
        }
        Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => Some(ML_SEED),
        Algorithm::Hs256 => None,
    }
}

/// RFC 7638 3: SHA-256 of the members that make the key, in lexical order. Of an HMAC key the digest of a tagged digest
/// stands for the key, so that a `kid` in the open is no aid to who guesses the key.
fn thumbprint(algorithm: Algorithm, bytes: &[u8]) -> String {
    let members = if algorithm.is_asymmetric() {
        let public = BASE64URL.encode(bytes);
        format!(r#"{{"alg":"{}","kty":"AKP","pub":"{public}"}}"#, algorithm.name())
    } else {
        let tagged = hmac(bytes, b"jarvis kid").finalize().into_bytes();
        format!(r#"{{"alg":"{}","kty":"oct","tag":"{}"}}"#, algorithm.name(), BASE64URL.encode(tagged))
    };
    BASE64URL.encode(Sha256::digest(members.as_bytes()))
}

fn hmac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    // RFC 2104 2: a key of any length; a long one is hashed first.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_signs_and_only_its_key_verifies() {
        for algorithm in Algorithm::ALL {
            // Small SHAKE signatures take seconds in a debug build.
            if algorithm == Algorithm::SlhDsaShake128s {
                continue;
            }
            let key = SigningKey::generate(algorithm).unwrap();
            let other = SigningKey::generate(algorithm).unwrap();
            let mut signature = key.sign(b"message");
            assert_eq!(signature.len(), algorithm.signature_bytes());
            assert!(key.verifying().verify(b"message", &signature));
            assert!(!key.verifying().verify(b"another", &signature));
            assert!(!other.verifying().verify(b"message", &signature));
            assert!(!key.verifying().verify(b"message", &signature[1..]));
            signature[20] ^= 1;
            assert!(!key.verifying().verify(b"message", &signature));
        }
    }

    #[test]
    fn keys_come_back_from_their_jwk() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let jwk = key.to_jwk();
            let text = serde_json::to_string(&jwk).unwrap();
            let again = SigningKey::of_jwk(&serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(again.verifying().kid(), key.verifying().kid());
            assert_eq!(*again.secret(), *key.secret());
            let public = key.verifying().to_jwk();
            assert!(public.private.is_none() && public.k.is_none());
            if algorithm.is_asymmetric() {
                assert_eq!(VerifyingKey::of_jwk(&public).unwrap().kid(), key.verifying().kid());
            }
        }
    }

    /// FIPS 205 as another implementation reads it, both ways.
    #[test]
    fn slh_dsa_signatures_are_those_of_the_standard() {
        use fips205::slh_dsa_sha2_128f as oracle;
        use fips205::traits::{SerDes, Signer as _, Verifier as _};
        let key = SigningKey::generate(Algorithm::SlhDsaSha2_128f).unwrap();
        let signature = key.sign(b"message");
        let public = oracle::PublicKey::try_from_bytes(key.verifying().bytes().try_into().unwrap()).unwrap();
        assert!(public.verify(b"message", signature.as_slice().try_into().unwrap(), b""));
        let secret = oracle::PrivateKey::try_from_bytes(key.secret().as_slice().try_into().unwrap()).unwrap();
        let theirs = secret.try_sign(b"message", b"", true).unwrap();
        assert!(key.verifying().verify(b"message", &theirs));
    }

    #[test]
    fn a_damaged_key_is_not_taken() {
        let key = SigningKey::generate(Algorithm::SlhDsaSha2_128f).unwrap();
        let mut secret = key.secret();
        secret[63] ^= 1;
        let refused = SigningKey::of_bytes(Algorithm::SlhDsaSha2_128f, &secret).unwrap_err();
        assert_eq!(refused, KeyError::Mismatch(Algorithm::SlhDsaSha2_128f));
        let refused = SigningKey::of_bytes(Algorithm::SlhDsaSha2_128f, &secret[1..]).unwrap_err();
        assert!(matches!(refused, KeyError::Length { expected: 64, found: 63, .. }));
    }

    #[test]
    fn a_key_says_nothing_of_its_secret_in_debug() {
        let key = SigningKey::generate(Algorithm::MlDsa44).unwrap();
        let secret = BASE64URL.encode(&*key.secret());
        for text in [format!("{key:?}"), format!("{:?}", key.to_jwk())] {
            assert!(!text.contains(&secret), "{text}");
        }
    }
}
