//! Who does a token speak for, and is it to be believed?
//!
//! A JWS in compact form (RFC 7515 3.1) over the claims of an access token (RFC 9068, RFC 7519). The algorithm is the
//! key's: a header that names another one is refused before anything is computed. A token names one session; whether
//! that still lives is not decided here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};

use super::key::SigningKey;
use super::key_ring::KeyRing;
use super::role::Role;

/// Seconds by which the clocks of boxes may differ.
const LEEWAY_S: u64 = 30;

/// Issuer of our tokens.
pub const ISSUER: &str = "jarvis";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// The account.
    pub sub: String,
    /// Its name.
    pub username: String,
    /// What it may do.
    pub role: Role,
    /// The session that ends with a logout.
    pub sid: String,
    /// The token.
    pub jti: String,
    /// Issued, seconds since 1970.
    pub iat: u64,
    /// Not to be believed from here on.
    pub exp: u64,
}

/// Why a token is refused. What is told to a client is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any token of ours.
    #[error("it is longer than a token")]
    TooLong,
    /// Not three parts of base64url with JSON in them.
    #[error("it is no JWS in compact form")]
    Malformed,
    /// No key of ours has the name.
    #[error("its key is not known here")]
    UnknownKey,
    /// Its header names another algorithm than the key's.
    #[error("its algorithm is not that of its key")]
    Algorithm,
    /// A header that demands what we do not know, or another kind of token.
    #[error("its header asks for what is not understood here")]
    Header,
    /// Somebody else signed it, or it was changed.
    #[error("its signature is not that of its key")]
    Signature,
    /// Issued by somebody else, or in the future.
    #[error("its claims are not those of an access token of this box")]
    Claims,
    /// Too old.
    #[error("it has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// The token of `claims`. Takes as long as the key takes to sign.
#[must_use]
pub fn sign(key: &SigningKey, claims: &Claims) -> String {
    let public = key.verifying();
    let header =
        Header { alg: public.algorithm().name(), kid: Some(public.kid()), typ: Some("at+jwt"), crit: None };
    let json = |value: Result<Vec<u8>, _>| BASE64URL.encode(value.unwrap_or_default());
    let mut token = json(serde_json::to_vec(&header));
    token.push('.');
    token.push_str(&json(serde_json::to_vec(claims)));
    let signature = key.sign(token.as_bytes());
    token.push('.');
    BASE64URL.encode_string(signature, &mut token);
    token
}

/// The claims of `token` at `now_s`, seconds since 1970.
///
/// # Errors
///
/// [`TokenError`], the cheapest reason first: nothing is computed for a token that could not be ours.
pub fn verify(ring: &KeyRing, token: &str, now_s: u64) -> Result<Claims, TokenError> {
    if token.len() > ring.token_bytes_max() {
        return Err(TokenError::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let decode = |part: &str| BASE64URL.decode(part).map_err(|_| TokenError::Malformed);
    let header = decode(header)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
    let key = ring.find(header.kid).ok_or(TokenError::UnknownKey)?;
    // RFC 8725 3.1: the key decides, never the header.
    if header.alg != key.algorithm().name() {
        return Err(TokenError::Algorithm);
    }
    // RFC 7515 4.1.11, RFC 9068 2.1.
    if header.crit.is_some() || !matches!(header.typ, None | Some("at+jwt" | "application/at+jwt" | "JWT")) {
        return Err(TokenError::Header);
    }
    if !key.verify(message.as_bytes(), &decode(signature)?) {
        return Err(TokenError::Signature);
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Claims)?;
    if claims.iss != ISSUER || claims.iat > now_s + LEEWAY_S {
        return Err(TokenError::Claims);
    }
    if claims.exp <= now_s {
        return Err(TokenError::Expired);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::auth::algorithm::Algorithm;

    const NOW: u64 = 1_800_000_000;

    fn claims() -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            sub: "u-1".to_owned(),
            username: "ada".to_owned(),
            role: Role::Analyst,
            sid: "s-1".to_owned(),
            jti: "t-1".to_owned(),
            iat: NOW,
            exp: NOW + 900,
        }
    }

    fn ring(algorithm: Algorithm) -> KeyRing {
        KeyRing::of(SigningKey::generate(algorithm).unwrap())
    }

    /// A token with this header and signature over these claims.
    fn forged(header: &str, claims: &Claims, signature: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let message =
            format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(serde_json::to_vec(claims).unwrap()));
        let signature = signature(message.as_bytes());
        format!("{message}.{}", BASE64URL.encode(signature))
    }

    #[test]
    fn a_token_is_read_back_until_it_expires() {
        for algorithm in [Algorithm::SlhDsaSha2_128f, Algorithm::MlDsa65, Algorithm::Hs256] {
            let ring = ring(algorithm);
            let token = sign(ring.signing(), &claims());
            assert!(token.len() <= algorithm.token_bytes_max());
            assert_eq!(verify(&ring, &token, NOW), Ok(claims()));
            assert_eq!(verify(&ring, &token, NOW + 899), Ok(claims()));
            assert_eq!(verify(&ring, &token, NOW + 900), Err(TokenError::Expired));
            assert_eq!(verify(&ring, &token, NOW - 31), Err(TokenError::Claims), "issued in the future");
        }
    }

    #[test]
    fn no_algorithm_but_the_keys_is_taken() {
        let ring = ring(Algorithm::SlhDsaSha2_128f);
        let key = ring.signing().verifying();
        // RFC 8725 2.1: the public key, which everyone has, as an HMAC key.
        let confused = SigningKey::of_bytes(Algorithm::Hs256, key.bytes()).unwrap();
        let kid = key.kid();
        for (header, expected) in [
            (format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), TokenError::Algorithm),
            (r#"{"alg":"HS256"}"#.to_owned(), TokenError::Algorithm),
            (r#"{"alg":"none"}"#.to_owned(), TokenError::Algorithm),
            (r#"{"alg":"None"}"#.to_owned(), TokenError::Algorithm),
            (r#"{"alg":""}"#.to_owned(), TokenError::Algorithm),
            (r#"{"alg":"SLH-DSA-SHA2-128s"}"#.to_owned(), TokenError::Algorithm),
            (r#"{"kid":"x"}"#.to_owned(), TokenError::Malformed),
            (r#"{"alg":"SLH-DSA-SHA2-128f","kid":"x"}"#.to_owned(), TokenError::UnknownKey),
            (r#"{"alg":"SLH-DSA-SHA2-128f","alg":"none"}"#.to_owned(), TokenError::Malformed),
            (r#"{"alg":"SLH-DSA-SHA2-128f"}"#.to_owned(), TokenError::Signature),
        ] {
            let token = forged(&header, &claims(), |message| confused.sign(message));
            assert_eq!(verify(&ring, &token, NOW), Err(expected), "{header}");
            let token = forged(&header, &claims(), |_| Vec::new());
            assert_eq!(verify(&ring, &token, NOW), Err(expected), "{header}, unsigned");
        }
        let of = |header: &str| {
            verify(&ring, &forged(header, &claims(), |message| ring.signing().sign(message)), NOW)
        };
        assert!(of(r#"{"alg":"SLH-DSA-SHA2-128f"}"#).is_ok(), "the key that signs needs no name");
        assert_eq!(of(r#"{"alg":"SLH-DSA-SHA2-128f","crit":["exp"]}"#), Err(TokenError::Header));
        assert_eq!(of(r#"{"alg":"SLH-DSA-SHA2-128f","typ":"dpop+jwt"}"#), Err(TokenError::Header));
    }

    #[test]
    fn what_was_cut_changed_or_signed_elsewhere_is_refused() {
        let ring = ring(Algorithm::MlDsa44);
        let token = sign(ring.signing(), &claims());
        for len in 0..token.len().min(700) {
            assert!(verify(&ring, &token[..len], NOW).is_err(), "cut at {len}");
        }
        assert!(verify(&ring, &token[..token.len() - 1], NOW).is_err());
        for at in (0..token.len()).step_by(97) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(verify(&ring, std::str::from_utf8(&bytes).unwrap(), NOW).is_err(), "changed at {at}");
        }
        let stranger = SigningKey::generate(Algorithm::MlDsa44).unwrap();
        let header = format!(r#"{{"alg":"ML-DSA-44","kid":"{}"}}"#, ring.signing().verifying().kid());
        let foreign = forged(&header, &claims(), |message| stranger.sign(message));
        assert_eq!(verify(&ring, &foreign, NOW), Err(TokenError::Signature));
        assert_eq!(verify(&ring, &sign(&stranger, &claims()), NOW), Err(TokenError::UnknownKey));
        let long = format!("{token}{}", "A".repeat(8_000));
        assert_eq!(verify(&ring, &long, NOW), Err(TokenError::TooLong));
        let padded = format!("{token}=");
        assert_eq!(verify(&ring, &padded, NOW), Err(TokenError::Malformed));
        let another = Claims { iss: "somebody".to_owned(), ..claims() };
        assert_eq!(verify(&ring, &sign(ring.signing(), &another), NOW), Err(TokenError::Claims));
    }

    #[test]
    fn a_key_that_signed_before_is_believed_until_it_is_gone() {
        let old = ring(Algorithm::SlhDsaSha2_128f);
        let token = sign(old.signing(), &claims());
        let new = old.rotated(SigningKey::generate(Algorithm::MlDsa65).unwrap());
        assert_eq!(verify(&new, &token, NOW), Ok(claims()));
        let fresh = KeyRing::of(SigningKey::generate(Algorithm::SlhDsaSha2_128f).unwrap());
        assert_eq!(verify(&fresh, &token, NOW), Err(TokenError::UnknownKey));
    }
}
