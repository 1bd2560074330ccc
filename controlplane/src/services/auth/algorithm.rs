//! Which algorithms sign tokens, and what are they called?
//!
//! The names are those of JOSE: `SLH-DSA-*` of draft-ietf-cose-sphincs-plus (FIPS 205), `ML-DSA-*` of RFC 9964 (FIPS
//! 204), `HS256` of RFC 7518. There is no `none`, and no way to name one of two algorithms for the same key.

use std::fmt;
use std::str::FromStr;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SLH-DSA over SHA-2, small signatures of category 1: the default.
    SlhDsaSha2_128s,
    /// SLH-DSA over SHA-2, fast signing: signatures twice as long.
    SlhDsaSha2_128f,
    /// SLH-DSA over SHAKE, small signatures.
    SlhDsaShake128s,
    /// ML-DSA of category 2, for short-lived tokens.
    MlDsa44,
    /// ML-DSA of category 3.
    MlDsa65,
    /// ML-DSA of category 5.
    MlDsa87,
    /// HMAC with SHA-256: whoever can verify can sign.
    Hs256,
}

/// Text around a signature: header, claims, dots.
const ENVELOPE_BYTES_MAX: usize = 2_048;

impl Algorithm {
    /// All of them, the default first.
    pub const ALL: [Self; 7] = [
        Self::SlhDsaSha2_128s,
        Self::SlhDsaSha2_128f,
        Self::SlhDsaShake128s,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
        Self::Hs256,
    ];

    /// JOSE's `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlhDsaSha2_128s => "SLH-DSA-SHA2-128s",
            Self::SlhDsaSha2_128f => "SLH-DSA-SHA2-128f",
            Self::SlhDsaShake128s => "SLH-DSA-SHAKE-128s",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
            Self::Hs256 => "HS256",
        }
    }

    /// Length of a signature, bytes.
    #[must_use]
    pub const fn signature_bytes(self) -> usize {
        match self {
            Self::SlhDsaSha2_128s | Self::SlhDsaShake128s => 7_856,
            Self::SlhDsaSha2_128f => 17_088,
            Self::MlDsa44 => 2_420,
            Self::MlDsa65 => 3_309,
            Self::MlDsa87 => 4_627,
            Self::Hs256 => 32,
        }
    }

    /// Longest token that is looked at, bytes: base64url of the signature and what is around it.
    #[must_use]
    pub const fn token_bytes_max(self) -> usize {
        self.signature_bytes().div_ceil(3) * 4 + ENVELOPE_BYTES_MAX
    }

    /// Whether a verifier cannot sign.
    #[must_use]
    pub const fn is_asymmetric(self) -> bool {
        !matches!(self, Self::Hs256)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No algorithm has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` signs no tokens; one of {names} does", names = Algorithm::ALL.map(Algorithm::name).join(", "))]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is_a_name() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        for wrong in ["none", "NONE", "", "hs256", "HS512", "SLH-DSA-SHA2-128S", "RS256"] {
            assert!(wrong.parse::<Algorithm>().is_err(), "{wrong}");
        }
    }
}
