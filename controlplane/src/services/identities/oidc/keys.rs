//! With which keys does a provider sign its tokens? A set of public keys in JSON (JWKS, RFC 7517, RFC 7518, RFC 8037).
//!
//! A key verifies only with algorithms of its own type and curve, and where it names one, with that one (RFC 8725 3.1): a public key
//! never is the secret of an HMAC. Keys for other uses, of other kinds or too short are left out, and told where none is left.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Bytes of a set: providers with the most keys have some ten of them, each with its certificate.
pub const KEYS_BYTES_MAX: usize = 256 * 1_024;

/// Keys of a set.
const KEYS_MAX: usize = 64;

/// Bits of an RSA key (RFC 7518 3.3: 2048 at least).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// A way to sign (RFC 7518 3.1, RFC 8037 3.1). There is none without a key, and none with a shared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [(&str, Self); 10] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
        // RFC 9864 2.2 gives the one curve that is meant a name of its own.
        ("Ed25519", Self::EdDsa),
    ];

    /// `None`: it is none that is taken.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm)
    }

    /// As it is written.
    pub(super) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A public key.
pub(super) struct Key {
    kid: Option<String>,
    /// The only one that it is for; `None`: any of its type.
    algorithm: Option<Algorithm>,
    material: Material,
}

/// What a key could not be chosen for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// None has this `kid`, or none was named and there are several.
    Unknown,
    /// Those that have it are for other algorithms.
    Algorithm,
}

/// The keys of a provider.
pub struct KeySet {
    keys: Vec<Key>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

/// Why a document is no set of keys; each is a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Too large.
    #[error("it has more than {KEYS_BYTES_MAX} bytes, a set of keys (JWKS) has less")]
    Long,
    /// Not JSON, or not of this form.
    #[error(
        "it is no set of keys (JWKS, RFC 7517: an object whose `keys` is a list of objects with `kty`): {0}"
    )]
    Form(String),
    /// Too many.
    #[error("it has {0} keys, {KEYS_MAX} are taken")]
    Many(usize),
    /// None of them is of use.
    #[error(
        "none of its {count} keys can be used to verify: keys of `kty` RSA (2048 to 8192 bits), EC (P-256, P-384) and OKP (Ed25519) for `use` sig are{}",
        left_out(.first)
    )]
    Useless {
        /// How many there are.
        count: usize,
        /// What is wrong with the first.
        first: Option<String>,
    },
}

fn left_out(first: &Option<String>) -> String {
    first.as_ref().map_or_else(String::new, |why| format!("; the first one {why}"))
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    ///
    /// [`KeysError`]: it is none, or has no key that can verify.
    pub fn read(json: &[u8]) -> Result<Self, KeysError> {
        if json.len() > KEYS_BYTES_MAX {
            return Err(KeysError::Long);
        }
        let document: Document =
            serde_json::from_slice(json).map_err(|error| KeysError::Form(error.to_string()))?;
        let count = document.keys.len();
        if count > KEYS_MAX {
            return Err(KeysError::Many(count));
        }
        let (mut keys, mut first) = (Vec::new(), None);
        for jwk in document.keys {
            match key_of(jwk) {
                Ok(key) => keys.push(key),
                Err(why) => first = first.or(Some(why)),
            }
        }
        if keys.is_empty() { Err(KeysError::Useless { count, first }) } else { Ok(Self { keys }) }
    }

    /// How many can be used.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a set has one at least")]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of a token. Where the token names none there must be only one (OpenID Connect Core 10.1).
    pub(super) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let is_meant = |key: &&Key| match kid {
            Some(kid) => key.kid.as_deref() == Some(kid),
            None => self.keys.len() == 1,
        };
        let mut meant = self.keys.iter().filter(is_meant).peekable();
        meant.peek().ok_or(NoKey::Unknown)?;
        meant.find(|key| key.is_for(algorithm)).ok_or(NoKey::Algorithm)
    }
}

impl Key {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let is_of_type = match self.material {
            Material::Rsa { .. } => {
                matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
            }
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
        };
        is_of_type && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` is this key's of `message`; never, where the key is not for the algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters: &'static RsaParameters| match &self.material {
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            Material::P256(_) | Material::P384(_) | Material::Ed25519(_) => false,
        };
        let point = |point: &[u8], parameters: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()
        };
        self.is_for(algorithm)
            && match (algorithm, &self.material) {
                (Algorithm::Rs256, _) => rsa(&RSA_PKCS1_2048_8192_SHA256),
                (Algorithm::Rs384, _) => rsa(&RSA_PKCS1_2048_8192_SHA384),
                (Algorithm::Rs512, _) => rsa(&RSA_PKCS1_2048_8192_SHA512),
                (Algorithm::Ps256, _) => rsa(&RSA_PSS_2048_8192_SHA256),
                (Algorithm::Ps384, _) => rsa(&RSA_PSS_2048_8192_SHA384),
                (Algorithm::Ps512, _) => rsa(&RSA_PSS_2048_8192_SHA512),
                (Algorithm::Es256, Material::P256(key)) => point(key, &ECDSA_P256_SHA256_FIXED),
                (Algorithm::Es384, Material::P384(key)) => point(key, &ECDSA_P384_SHA384_FIXED),
                (Algorithm::EdDsa, Material::Ed25519(key)) => point(key, &ED25519),
                (Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa, _) => false,
            }
    }
}

/// A key that can verify, or why it cannot.
fn key_of(jwk: Jwk) -> Result<Key, String> {
    if jwk.purpose.as_ref().is_some_and(|purpose| purpose != "sig") {
        return Err("is not for `use` sig".to_owned());
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err("has `key_ops` without verify".to_owned());
    }
    let algorithm = match jwk.alg.as_deref() {
        None => None,
        Some(name) => {
            Some(Algorithm::named(name).ok_or_else(|| "has an `alg` that is not taken".to_owned())?)
        }
    };
    let bytes = |value: &Option<String>, name: &str, len: Option<usize>| {
        let bytes = value.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        bytes
            .filter(|bytes| len.is_none_or(|len| bytes.len() == len))
            .ok_or_else(|| format!("has no `{name}`, or one that is not what its `kty` has"))
    };
    // RFC 7518 6.2.1: coordinates have their full length. X9.62: 4 is an uncompressed point.
    let point = |len| {
        Ok::<_, String>([vec![4], bytes(&jwk.x, "x", Some(len))?, bytes(&jwk.y, "y", Some(len))?].concat())
    };
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (bytes(&jwk.n, "n", None)?, bytes(&jwk.e, "e", None)?);
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            let top = n.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
            let bits = (n.len() - zeros) * 8 - top;
            if !RSA_BITS.contains(&bits) {
                return Err(format!("has {bits} bits"));
            }
            // The library takes numbers without leading zeros.
            let e = e.into_iter().skip_while(|byte| *byte == 0).collect();
            Material::Rsa { n: n.into_iter().skip(zeros).collect(), e }
        }
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&jwk.x, "x", Some(32))?),
        _ => return Err("has another `kty` or `crv`".to_owned()),
    };
    let key = Key { kid: jwk.kid, algorithm, material };
    match key.algorithm {
        Some(only) if !key.is_for(only) => Err("has an `alg` of another `kty`".to_owned()),
        Some(_) | None => Ok(key),
    }
}
