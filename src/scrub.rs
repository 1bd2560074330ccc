//! What of a text may leave the box? Everything but secrets: whoever is helped sends bundles by mail.
//!
//! Nothing here writes secrets to where bundles are made from, but one file does not know of the next one's bug, operators write
//! what they like into configurations, and the first start prints a one-time password, which systemd keeps in the journal. So in doubt
//! more is taken away than need be: a word that might be a key goes, and a path or a digest of that form with it.

use serde_json::Value;

/// Stands for what was taken away.
pub(crate) const REMOVED: &str = "(removed)";

/// A word of a log that is so long and has digits, or letters of both cases, may be a key. Handles have 47 characters, one-time
/// passwords 24, keys of 16 bytes 22 in base64.
const WORD_CHARS_MIN: usize = 20;

/// What follows these on a line is a secret.
const MARKS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "authorization",
    "bearer",
    "cookie",
    "secret",
    "token=",
    "token:",
    "token\"",
    "ticket=",
    "api_hmac_key",
    "pqc_sk_b64",
    "private key",
];

/// Parts of names of fields whose value is a secret. `key` alone is the path of a file.
const FIELDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "ticket",
    "hmac",
    "psk",
    "credential",
    "private",
];

/// Names of fields that look like these and are none.
const HARMLESS_FIELDS: &[&str] = &["token_form", "must_change_password", "has_password"];

/// Parts of JSON Web Keys that are secret (RFC 7518 6.2.2, 6.3.2, 6.4.1; draft-ietf-cose-dilithium).
const KEY_FIELDS: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "k", "priv"];

/// A text without secrets, line by line.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut hides_next, mut is_in_key) = (false, false);
    for line in text.lines() {
        // A key in PEM has several lines.
        let ends_key = line.contains("-----END");
        is_in_key |= line.contains("-----BEGIN") && line.contains("PRIVATE");
        if is_in_key {
            out.push_str(REMOVED);
            is_in_key = !ends_key;
        } else if std::mem::take(&mut hides_next) {
            out.push_str(REMOVED);
        } else {
            // The first start says so and prints the password on a line of its own.
            hides_next = line.contains("one-time password");
            out.push_str(&line_without(line));
        }
        out.push('\n');
    }
    out
}

fn line_without(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let ends = MARKS.iter().filter_map(|mark| lower.find(mark).map(|at| at + mark.len()));
    // ASCII only is changed by the lowering: places are the same.
    match ends.min() {
        Some(end) if !line[end..].trim().is_empty() => format!("{} {REMOVED}", words(&line[..end])),
        _ => words(line),
    }
}

/// Without words that may be keys.
fn words(line: &str) -> String {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_of_word) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        out.push_str(if may_be_key(&rest[..end]) { REMOVED } else { &rest[..end] });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn may_be_key(word: &str) -> bool {
    // NAME=value and value= are judged by the longest part between the signs.
    word.split('=').any(|part| {
        let has = |is: fn(&char) -> bool| part.chars().any(|c| is(&c));
        let mixed = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
        // Parts of JWTs are short at times; JSON in base64 begins so.
        let is_json = part.starts_with("eyJ");
        is_json || part.len() >= WORD_CHARS_MIN && (has(char::is_ascii_digit) || mixed)
    })
}

/// An answer of the API without members that are secrets.
pub(crate) fn answer(value: &mut Value) {
    walk(value, &|_| None);
}

/// A configuration without secrets: of its strings those under such names, those that may be keys, and what of an address could be
/// a password or a name that only its owner knows.
pub(crate) fn configuration(value: &mut Value) {
    walk(value, &|text| {
        if let Some((scheme, rest)) = text.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let whole = host.len() == rest.len();
            return (!whole).then(|| format!("{scheme}://{host}/{REMOVED}"));
        }
        let cleaned = if text.starts_with('/') { text.to_owned() } else { words(text) };
        (cleaned != text).then_some(cleaned)
    });
}

fn walk(value: &mut Value, of_text: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::Object(members) => {
            let is_key = members.contains_key("kty");
            for (name, value) in members {
                let lower = name.to_ascii_lowercase();
                let is_secret = FIELDS.iter().any(|part| lower.contains(part))
                    && !HARMLESS_FIELDS.contains(&lower.as_str())
                    // A number of tokens is none, nor is a switch.
                    && !matches!(value, Value::Number(_) | Value::Bool(_) | Value::Null);
                if is_secret || is_key && KEY_FIELDS.contains(&lower.as_str()) {
                    *value = REMOVED.into();
                } else {
                    walk(value, of_text);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, of_text)),
        Value::String(text) => {
            if let Some(other) = of_text(text) {
                *text = other;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_of_a_log_go_and_the_rest_stays() {
        let log = "2026-11-27T13:25:46.521701Z  INFO tokens are signed algorithm=SLH-DSA-SHA2-128s\n\
            Nov 27 box jarvis[7]: First start: the account is `admin`, its one-time password\n\
            Nov 27 box jarvis[7]:     tkesdbfabkcczfaqpvjjeebf\n\
            GET /ws?ticket=abc HTTP/1.1\n\
            Authorization: Bearer hush\n\
            jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ end\n\
            handle cRj3kfO0p-QmXw_77aZzL1==, PQC_PK_B64x=AAAAAAAAAAAAAAAAAAAAAAAAAAA1\n\
            -----BEGIN PRIVATE KEY-----\nshort\n-----END PRIVATE KEY-----\n\
            attached interface=\"eth1\" mode=\"native\"\n";
        assert_eq!(
            text(log),
            "2026-11-27T13:25:46.521701Z  INFO tokens are signed algorithm=SLH-DSA-SHA2-128s\n\
            Nov 27 box jarvis[7]: First start: the account is `admin`, its one-time password\n\
            (removed)\n\
            GET /ws?ticket= (removed)\n\
            Authorization (removed)\n\
            jwt (removed).(removed).(removed) end\n\
            handle (removed), (removed)\n\
            (removed)\n(removed)\n(removed)\n\
            attached interface=\"eth1\" mode=\"native\"\n"
        );
    }

    #[test]
    fn members_that_are_secrets_go() {
        let mut value = json!({"one_time_password": "x", "must_change_password": true, "tokens": 3,
            "keys": [{"kty": "oct", "k": "hush", "kid": "a"}], "k": "no key", "list": [{"refresh_token": ["y"]}]});
        answer(&mut value);
        assert_eq!(
            value,
            json!({"one_time_password": REMOVED, "must_change_password": true, "tokens": 3,
                "keys": [{"kty": "oct", "k": REMOVED, "kid": "a"}], "k": "no key", "list": [{"refresh_token": REMOVED}]})
        );
    }

    #[test]
    fn a_configuration_keeps_what_it_does_and_loses_what_it_knows() {
        let mut value = json!({"api": {"listen": "0.0.0.0:8000", "allowed_origins": ["https://console.example"],
            "tls": {"key": "/etc/jarvis/2026/key.pem"}}, "auth": {"token_form": "jwt"},
            "webhook": {"url": "https://u:p@hooks.example/services/T0/B0/x", "secret": "s"},
            "odd": "c2VjcmV0LXNlY3JldC1zZWNyZXQ0"});
        configuration(&mut value);
        assert_eq!(
            value,
            json!({"api": {"listen": "0.0.0.0:8000", "allowed_origins": ["https://console.example"],
                "tls": {"key": "/etc/jarvis/2026/key.pem"}}, "auth": {"token_form": "jwt"},
                "webhook": {"url": "https://hooks.example/(removed)", "secret": REMOVED}, "odd": REMOVED})
        );
    }
}
