//! Tokens that openssl signs with keys that openssl made: which are believed, and why are the others not?

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::{KeySet, KeysError};
use super::*;

const NOW_NS: u64 = 1_700_000_000 * 1_000_000_000;
const NOW_S: u64 = NOW_NS / 1_000_000_000;

/// What openssl writes, given `input`.
fn openssl(words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl is on PATH");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of openssl's making.
struct Signer {
    dir: tempfile::TempDir,
    kid: &'static str,
    kind: &'static str,
}

impl Signer {
    fn new(kid: &'static str, kind: &'static str) -> Self {
        let signer = Self { dir: tempfile::tempdir().unwrap(), kid, kind };
        let file = signer.file();
        let out = ["-out", file.to_str().unwrap()];
        let words: &[&str] = match kind {
            "RSA" => &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "RSA-1024" => &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
            "P-256" => &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "P-384" => &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            _ => &["genpkey", "-algorithm", "ED25519"],
        };
        openssl(&[words, &out].concat(), b"");
        signer
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    fn jwk(&self) -> Value {
        let file = self.file();
        let der = openssl(&["pkey", "-in", file.to_str().unwrap(), "-pubout", "-outform", "DER"], b"");
        let last = |len: usize| &der[der.len() - len..];
        let mut jwk = match self.kind {
            "RSA" | "RSA-1024" => {
                let told = openssl(&["rsa", "-in", file.to_str().unwrap(), "-noout", "-modulus"], b"");
                let hex = String::from_utf8(told).unwrap();
                let hex = hex.trim().strip_prefix("Modulus=").unwrap().to_owned();
                let n: Vec<u8> = (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect();
                json!({"kty": "RSA", "n": encode(n), "e": "AQAB"})
            }
            "P-256" => {
                json!({"kty": "EC", "crv": "P-256", "x": encode(&last(64)[..32]), "y": encode(last(32))})
            }
            "P-384" => {
                json!({"kty": "EC", "crv": "P-384", "x": encode(&last(96)[..48]), "y": encode(last(48))})
            }
            _ => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(last(32))}),
        };
        jwk["kid"] = self.kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn token(&self, alg: &str, claims: &Value) -> String {
        self.token_with(&json!({"alg": alg, "kid": self.kid, "typ": "JWT"}), claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let file = self.file();
        let key = file.to_str().unwrap();
        let alg = header["alg"].as_str().unwrap();
        let hash = format!("-sha{}", &alg[alg.len() - 3..]);
        let signature = match &alg[..2] {
            "PS" => {
                let padding = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"];
                openssl(&[&["dgst", &hash, "-sign", key][..], &padding].concat(), message.as_bytes())
            }
            "Ed" => {
                let input = self.dir.path().join("message");
                std::fs::write(&input, &message).unwrap();
                let input = input.to_str().unwrap();
                openssl(&["pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", input], b"")
            }
            "ES" => {
                let der = openssl(&["dgst", &hash, "-sign", key], message.as_bytes());
                raw(&der, if alg == "ES384" { 48 } else { 32 })
            }
            _ => openssl(&["dgst", &hash, "-sign", key], message.as_bytes()),
        };
        format!("{message}.{}", encode(signature))
    }
}

/// The two numbers of a signature of ECDSA in DER, with their full length (RFC 7518 3.4).
fn raw(der: &[u8], len: usize) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let size = usize::from(rest[1]);
        let number: Vec<u8> = rest[2..2 + size].iter().copied().skip_while(|byte| *byte == 0).collect();
        both.extend(std::iter::repeat_n(0, len - number.len()).chain(number));
        rest = &rest[2 + size..];
    }
    both
}

fn set_of(jwks: &[Value]) -> KeySet {
    KeySet::read(json!({ "keys": jwks }).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example/", "aud": ["other", "jarvis"], "exp": NOW_S + 300, "iat": NOW_S, "sub": "u-17",
        "name": "", "preferred_username": "ann", "realm_access": {"roles": ["employee", "user"]},
        "groups": ["staff", "vpn"], "department": "finance", "level": 3,
    })
}

fn with(changes: &Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn provider(set: KeySet) -> Oidc {
    let oidc = Oidc::new(OidcConfig {
        expected: Expected {
            issuer: "https://id.example/".to_owned(),
            audience: vec!["jarvis".to_owned()],
            leeway_s: 30,
        },
        names: ClaimNames {
            user_id: "sub".to_owned(),
            username: vec!["name".to_owned(), "preferred_username".to_owned()],
            role: Some("realm_access.roles".to_owned()),
            groups: Some("groups".to_owned()),
            attributes: vec!["department".to_owned(), "level".to_owned(), "absent".to_owned()],
        },
        refresh: Duration::from_secs(3_600),
    });
    oidc.take_keys(Ok(set), Instant::now());
    oidc
}

#[test]
fn what_the_provider_signed_tells_who_it_is_with_every_algorithm() {
    let signers = [
        (Signer::new("r", "RSA"), &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        (Signer::new("e", "P-256"), &["ES256"]),
        (Signer::new("f", "P-384"), &["ES384"]),
        (Signer::new("d", "Ed25519"), &["EdDSA"]),
    ];
    let jwks: Vec<Value> = signers.iter().map(|(signer, _)| signer.jwk()).collect();
    let oidc = provider(set_of(&jwks));
    let all: Vec<&str> = signers.iter().flat_map(|(_, algorithms)| *algorithms).copied().collect();
    for (signer, algorithms) in &signers {
        for alg in *algorithms {
            let token = signer.token(alg, &claims());
            let shown = oidc.identify(&token, NOW_NS).unwrap_or_else(|error| panic!("{alg}: {error}"));
            assert_eq!(shown.expires_ns, NOW_NS + 330_000_000_000);
            let who = shown.who;
            assert_eq!((who.user_id.as_str(), who.username.as_deref()), ("u-17", Some("ann")));
            assert_eq!((who.user_role.as_deref(), who.groups.len()), (Some("employee"), 2));
            assert_eq!(
                (&who.attributes["department"][0], &who.attributes["level"][0]),
                (&"finance".into(), &"3".into())
            );
            assert_eq!(who.attributes.len(), 2);
            // Every other algorithm's name over the same signature, and one bit that is another.
            let (message, signature) = token.rsplit_once('.').unwrap();
            let payload = message.split_once('.').unwrap().1;
            for other in all.iter().filter(|other| other != &alg) {
                let header = encode(json!({"alg": other, "kid": signer.kid}).to_string());
                let error = oidc.identify(&format!("{header}.{payload}.{signature}"), NOW_NS).unwrap_err();
                let is_possible = algorithms.contains(other);
                let expected = if is_possible { TokenError::Signature } else { TokenError::Algorithm };
                assert_eq!(error, expected.into(), "{alg} as {other}");
            }
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
            bytes[20] ^= 1;
            let changed = format!("{message}.{}", encode(bytes));
            assert_eq!(oidc.identify(&changed, NOW_NS), Err(TokenError::Signature.into()), "{alg}");
        }
    }
}

#[test]
fn what_is_not_for_this_box_now_is_refused_for_its_reason() {
    let (signer, stranger) = (Signer::new("k", "P-256"), Signer::new("k", "P-256"));
    let oidc = provider(set_of(&[signer.jwk(), Signer::new("l", "P-256").jwk()]));
    let refused = |token: &str| oidc.identify(token, NOW_NS).unwrap_err().code();
    for (changes, code) in [
        (json!({"iss": "https://id.example"}), "issuer"),
        (json!({"iss": null}), "issuer"),
        (json!({"aud": "other"}), "audience"),
        (json!({"aud": {"jarvis": 1}}), "audience"),
        (json!({"aud": null}), "audience"),
        (json!({"exp": NOW_S - 30}), "expired"),
        (json!({"exp": "tomorrow"}), "malformed"),
        (json!({"exp": -5}), "malformed"),
        (json!({"exp": null}), "malformed"),
        (json!({"nbf": NOW_S + 31}), "not_yet"),
        (json!({"iat": NOW_S + 31}), "not_yet"),
        (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), "malformed"),
        (json!({"sub": null}), "claims"),
        (json!({"sub": "a\nb"}), "claims"),
        (json!({"sub": "x".repeat(129)}), "claims"),
        (json!({"groups": vec!["g"; 65]}), "claims"),
        (json!({"groups": [{"id": 1}]}), "claims"),
    ] {
        assert_eq!(refused(&signer.token("ES256", &with(&changes))), code, "{changes}");
    }
    for held in [json!({"exp": NOW_S - 29}), json!({"nbf": NOW_S + 30}), json!({"exp": NOW_S as f64 + 0.5})] {
        assert!(oidc.identify(&signer.token("ES256", &with(&held)), NOW_NS).is_ok(), "{held}");
    }
    assert_eq!(refused(&stranger.token("ES256", &claims())), "signature");
    let header = |more: Value| {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        signer.token_with(&header, &claims())
    };
    assert_eq!(refused(&header(json!({"crit": ["exp"], "exp": 1}))), "malformed");
    assert_eq!(refused(&header(json!({"typ": "logout+jwt"}))), "malformed");
    assert!(oidc.identify(&header(json!({"typ": "application/AT+JWT"})), NOW_NS).is_ok());
    assert_eq!(refused(&header(json!({"kid": "m"}))), "unknown_key");
    assert_eq!(refused(&header(json!({"kid": null}))), "unknown_key", "there are two");
    for token in ["", ".", "..", "a.b.c", "e30.e30.", &format!("{}.e30.", encode("[]"))] {
        assert_eq!(refused(token), "malformed", "{token}");
    }
    assert_eq!(refused(&format!("{}.e30.e30.e30", encode(r#"{"alg":"ES256","kid":"k"}"#))), "signature");
    assert_eq!(refused(&"x".repeat(TOKEN_BYTES_MAX + 1)), "too_long");
    let counted: u64 = oidc.counts().tokens().iter().map(|(_, count)| count).sum();
    assert_eq!(counted, 17 + 3 + 1 + 5 + 6 + 2);
}

#[test]
fn a_public_key_is_no_shared_secret_and_no_signature_is_none() {
    let signer = Signer::new("k", "RSA");
    let oidc = provider(set_of(&[signer.jwk()]));
    let file = signer.file();
    let pem = openssl(&["pkey", "-in", file.to_str().unwrap(), "-pubout"], b"");
    let hex: String = pem.iter().map(|byte| format!("{byte:02x}")).collect();
    for alg in ["none", "None", "nOnE", "HS256", "ES256", "RS1", ""] {
        let header = json!({"alg": alg, "kid": "k"}).to_string();
        let message = format!("{}.{}", encode(header), encode(claims().to_string()));
        // Who takes HS256 with the public key as its secret believes this one.
        let macopt = format!("hexkey:{hex}");
        let mac =
            openssl(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &macopt, "-binary"], message.as_bytes());
        for signature in [encode(mac), String::new()] {
            let error = oidc.identify(&format!("{message}.{signature}"), NOW_NS).unwrap_err();
            assert_eq!(error.code(), "algorithm", "{alg}");
        }
    }
    assert!(
        oidc.identify(&signer.token_with(&json!({"alg": "PS256"}), &claims()), NOW_NS).is_ok(),
        "the only key"
    );
    let mut bound = signer.jwk();
    bound["alg"] = "RS256".into();
    let oidc = provider(set_of(&[bound]));
    assert_eq!(oidc.identify(&signer.token("PS256", &claims()), NOW_NS).unwrap_err().code(), "algorithm");
    assert!(oidc.identify(&signer.token("RS256", &claims()), NOW_NS).is_ok());
}

#[test]
fn sets_without_a_key_that_verifies_are_refused() {
    let good = Signer::new("k", "P-256").jwk();
    let changed = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    for (jwk, why) in [
        (Signer::new("k", "RSA-1024").jwk(), "has 1024 bits"),
        (changed("use", "enc".into()), "is not for `use` sig"),
        (changed("key_ops", json!(["sign"])), "without verify"),
        (changed("alg", "RS256".into()), "an `alg` of another `kty`"),
        (changed("alg", "HS256".into()), "an `alg` that is not taken"),
        (changed("x", "AAAA".into()), "no `x`"),
        (changed("crv", "P-521".into()), "another `kty` or `crv`"),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "another `kty` or `crv`"),
        (json!({"kty": "RSA", "n": "", "e": "AQAB"}), "has 0 bits"),
    ] {
        let read = KeySet::read(json!({ "keys": [jwk] }).to_string().as_bytes());
        let error = read.err().unwrap_or_else(|| panic!("{why}")).to_string();
        assert!(error.contains(why), "{error}");
    }
    let read = |text: &str| KeySet::read(text.as_bytes()).err();
    assert!(matches!(read("<html>"), Some(KeysError::Form(_))));
    assert!(matches!(read(r#"{"keys": []}"#), Some(KeysError::Useless { count: 0, first: None })));
    assert_eq!(read(&" ".repeat(KEYS_BYTES_MAX + 1)), Some(KeysError::Long));
    assert_eq!(read(&json!({ "keys": vec![&good; 65] }).to_string()), Some(KeysError::Many(65)));
    // Those of no use are left out.
    assert_eq!(set_of(&[json!({"kty": "EC", "crv": "P-521"}), good]).len(), 1);
}

#[test]
fn a_key_that_is_not_there_is_asked_for_and_not_too_often() {
    let (old, new) = (Signer::new("old", "P-256"), Signer::new("new", "P-256"));
    let oidc = Arc::new(provider(set_of(&[old.jwk()])));
    let token = new.token("ES256", &claims());
    // The last fetch was just now: no waiting, and nothing is wanted.
    assert_eq!(oidc.identify(&token, NOW_NS).unwrap_err().code(), "unknown_key");
    assert!(!oidc.wants_keys(Instant::now()));
    let earlier = Instant::now().checked_sub(FETCH_EVERY).unwrap();
    oidc.take_keys(Ok(set_of(&[old.jwk()])), earlier);
    assert!(!oidc.wants_keys(Instant::now()), "the keys are not old");
    let fetcher = std::thread::spawn({
        let (oidc, set) = (Arc::clone(&oidc), set_of(&[new.jwk()]));
        move || {
            while !oidc.wants_keys(Instant::now()) {
                std::thread::yield_now();
            }
            oidc.take_keys(Ok(set), Instant::now());
        }
    });
    assert!(oidc.identify(&token, NOW_NS).is_ok());
    fetcher.join().unwrap();
    // A fetch that fails leaves the keys, and is repeated soon.
    oidc.take_keys(Err("no route".to_owned()), earlier);
    assert!(oidc.wants_keys(Instant::now()));
    assert!(oidc.identify(&token, NOW_NS).is_ok());
    assert!(!oidc.wants_keys(earlier + FETCH_EVERY / 2));
}

#[test]
fn without_keys_nobody_is_known_and_why_is_told() {
    let token = Signer::new("k", "P-256").token("ES256", &claims());
    let oidc = provider(set_of(&[Signer::new("k", "P-256").jwk()]));
    let oidc = Oidc::new(oidc.config);
    oidc.take_keys(Err("no route".to_owned()), Instant::now());
    assert_eq!(oidc.identify(&token, NOW_NS), Err(OidcError::NoKeys("no route".to_owned())));
}

#[test]
fn no_more_than_a_few_tokens_wait_for_keys() {
    let (old, new) = (Signer::new("old", "P-256"), Signer::new("new", "P-256"));
    let oidc = Arc::new(provider(set_of(&[old.jwk()])));
    let earlier = Instant::now().checked_sub(FETCH_EVERY).unwrap();
    oidc.take_keys(Ok(set_of(&[old.jwk()])), earlier);
    let token = new.token("ES256", &claims());
    let waiting: Vec<_> = (0..WAITING_MAX)
        .map(|_| {
            let (oidc, token) = (Arc::clone(&oidc), token.clone());
            std::thread::spawn(move || oidc.identify(&token, NOW_NS).is_ok())
        })
        .collect();
    while oidc.lock().waiting < WAITING_MAX {
        std::thread::yield_now();
    }
    assert_eq!(oidc.identify(&token, NOW_NS).unwrap_err().code(), "unknown_key", "it does not wait");
    oidc.take_keys(Ok(set_of(&[new.jwk()])), Instant::now());
    assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    assert_eq!(oidc.lock().waiting, 0);
}
