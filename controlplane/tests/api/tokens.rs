//! An OpenID provider for the daemon under test, and its tokens.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use controlplane::services::identities::oidc::{ClaimNames, Expected, KeySet, Oidc, OidcConfig};
use serde_json::{Value, json};

static KEY: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

/// The provider, with its keys.
pub(crate) fn provider() -> Arc<Oidc> {
    let expected = Expected {
        issuer: "https://id.example/".to_owned(),
        audience: vec!["jarvis".to_owned()],
        leeway_s: 0,
    };
    let names = ClaimNames {
        user_id: "sub".to_owned(),
        username: Vec::new(),
        role: None,
        groups: Some("groups".to_owned()),
        attributes: Vec::new(),
    };
    let oidc = Oidc::new(OidcConfig { expected, names, refresh: Duration::from_secs(3_600) });
    let point = KEY.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y}]}).to_string();
    oidc.take_keys(Ok(KeySet::read(set.as_bytes()).unwrap()), Instant::now());
    Arc::new(oidc)
}

/// A token of Ann's that holds for a minute, with this audience.
pub(crate) fn token(audience: &str) -> String {
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60;
    let claims: Value =
        json!({"iss": "https://id.example/", "aud": audience, "sub": "ann", "exp": exp, "groups": ["staff"]});
    let header = json!({"alg": "ES256", "kid": "k"}).to_string();
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = KEY.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
