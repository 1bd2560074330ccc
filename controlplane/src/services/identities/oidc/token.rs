//! Is a token what its provider signed for this box, and does it hold now? (RFC 7515, RFC 7519, RFC 8725.)
//!
//! Nothing of the claims counts before the signature is verified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::{Algorithm, KeySet, NoKey};

/// Bytes of a token: what fits into the header of a request, and more than providers make.
pub const TOKEN_BYTES_MAX: usize = 16 * 1_024;

/// What a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// `iss`, letter by letter.
    pub issuer: String,
    /// One of them must be in `aud`.
    pub audience: Vec<String>,
    /// By how much clocks may differ, seconds.
    pub leeway_s: u64,
}

/// Why a token is not believed. No text of the token is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too long.
    #[error("the token has more than {TOKEN_BYTES_MAX} bytes")]
    Long,
    /// Not of the form.
    #[error("the token is no signed JWT: {0}")]
    Malformed(&'static str),
    /// An algorithm that is not taken, or not with this key.
    #[error("the token's `alg` is not one of {}, or not one that its key is for", Algorithm::names())]
    Algorithm,
    /// A key that is not there.
    #[error("the provider's keys have none with the token's `kid`, or it names none and there are several")]
    UnknownKey,
    /// Signed by somebody else, or changed.
    #[error("the token's signature is not that of its key")]
    Signature,
    /// By another provider.
    #[error("the token's `iss` is not `identity.oidc.issuer`")]
    Issuer,
    /// For somebody else.
    #[error("the token's `aud` has none of `identity.oidc.audience`")]
    Audience,
    /// Over.
    #[error("the token's `exp` was {ago_s} s ago; ask the provider for a new one")]
    Expired {
        /// How long ago.
        ago_s: u64,
    },
    /// Not yet.
    #[error("the token begins in {in_s} s (`nbf`, `iat`): check the clocks of the provider and of this box")]
    NotYet {
        /// In how long.
        in_s: u64,
    },
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// What a believed token says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claims {
    pub all: Map<String, Value>,
    /// From when on it is not believed, seconds since 1970.
    pub over_s: u64,
}

/// Reads and checks a token; its time is `now_s`, seconds since 1970.
pub(super) fn verify(
    token: &str,
    keys: &KeySet,
    expected: &Expected,
    now_s: u64,
) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Long);
    }
    let (message, signature) =
        token.rsplit_once('.').ok_or(TokenError::Malformed("it has no three parts"))?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed("it has no three parts"))?;
    let decode = |text: &str, fault| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed(fault));
    let header = decode(header, "its header is no base64url")?;
    let header: Header = serde_json::from_slice(&header)
        .map_err(|_| TokenError::Malformed("its header is no JSON object with `alg`"))?;
    let algorithm = Algorithm::named(&header.alg).ok_or(TokenError::Algorithm)?;
    if header.crit.is_some() {
        // RFC 7515 4.1.11: whoever does not know what it names must refuse.
        return Err(TokenError::Malformed("its `crit` asks for what this box does not know"));
    }
    if !header.typ.as_deref().is_none_or(is_type) {
        return Err(TokenError::Malformed("its `typ` is neither that of an ID token nor of an access token"));
    }
    let key = keys.choose(header.kid.as_deref(), algorithm).map_err(|none| match none {
        NoKey::Unknown => TokenError::UnknownKey,
        NoKey::Algorithm => TokenError::Algorithm,
    })?;
    let signature = decode(signature, "its signature is no base64url")?;
    if !key.verifies(algorithm, message.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    let payload = decode(payload, "its claims are no base64url")?;
    let claims: Map<String, Value> = serde_json::from_slice(&payload)
        .map_err(|_| TokenError::Malformed("its claims are no JSON object"))?;
    let over_s = hold(&claims, expected, now_s)?;
    Ok(Claims { all: claims, over_s })
}

/// RFC 7519 5.1, RFC 9068 2.1. A logout token, say, is signed by the same key and says that somebody went away.
fn is_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// From when on the claims do not hold, where they do now.
fn hold(claims: &Map<String, Value>, expected: &Expected, now_s: u64) -> Result<u64, TokenError> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer.as_str()) {
        return Err(TokenError::Issuer);
    }
    let is_for_us =
        |aud: &Value| aud.as_str().is_some_and(|aud| expected.audience.iter().any(|ours| ours == aud));
    let is_ours = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(is_for_us),
        Some(one) => is_for_us(one),
        None => false,
    };
    if !is_ours {
        return Err(TokenError::Audience);
    }
    if claims.contains_key("events") {
        return Err(TokenError::Malformed("it tells of events, such as a logout, and not who somebody is"));
    }
    let exp = time(claims, "exp")?.ok_or(TokenError::Malformed("it has no `exp`"))?;
    let over_s = exp.saturating_add(expected.leeway_s);
    if over_s <= now_s {
        return Err(TokenError::Expired { ago_s: now_s - exp });
    }
    let begins = time(claims, "nbf")?.max(time(claims, "iat")?).unwrap_or(0);
    if begins > now_s.saturating_add(expected.leeway_s) {
        return Err(TokenError::NotYet { in_s: begins - now_s });
    }
    Ok(over_s)
}

/// A NumericDate (RFC 7519 2), which may have a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let fault = TokenError::Malformed("its `exp`, `nbf` or `iat` is no number of seconds since 1970");
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..9e15).contains(seconds))?;
        Some(seconds as u64)
    });
    seconds.map(Some).ok_or(fault)
}
