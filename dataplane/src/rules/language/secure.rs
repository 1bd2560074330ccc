//! What must hold of what protects itself: validity of certificates, versions of SSH, encryption of tickets, what IKE chose.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::buffers::named;
use super::draft::Draft;
use super::fields;
use super::numbers;
use super::value::{Value, Wrong};
use crate::rules::number::NumberTest;
use crate::rules::rule::{Chosen, Condition, Expression, NumberSpan, Test};

fn ask(draft: &mut Draft<'_>, field: &str, test: NumberTest) -> Result<(), Wrong> {
    draft.condition(Condition::Transaction(fields::named(field), test, Chosen::default()))
}

pub(super) fn tls_cert_notbefore(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, "tls.cert_notbefore", dates(value.maybe_unquoted())?)
}

pub(super) fn tls_cert_notafter(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, "tls.cert_notafter", dates(value.maybe_unquoted())?)
}

pub(super) fn tls_cert_expired(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, "tls.cert_is_expired", NumberTest::Equal(1))
}

/// It is not expired; who vouches for it is not asked.
pub(super) fn tls_cert_valid(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, "tls.cert_is_expired", NumberTest::Equal(0))
}

/// What is told of a certificate is in EVE; a copy of its bytes is kept nowhere.
pub(super) fn tls_store(_draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    Ok(())
}

/// `>2015-06`, `<2015-06-01T12:30:00`, `1998-05-01<>2008-05-01`, `1433116800`: each end is meant, too.
fn dates(value: Value<'_>) -> Result<NumberTest, Wrong> {
    let span = value.bytes().windows(2).position(|pair| pair == b"<>");
    if let Some(at) = span.filter(|at| *at > 0) {
        let (low, high) = (date(value.part(0, at))?, date(value.part(at + 2, value.bytes().len()))?);
        if low >= high {
            return Err(value.expected("a span whose first date is before its second"));
        }
        return Ok(between(low, high));
    }
    Ok(match (value.strip("<"), value.strip(">")) {
        (Some(rest), _) => NumberTest::LessOrEqual(date(rest)?),
        (None, Some(rest)) => NumberTest::GreaterOrEqual(date(rest)?),
        (None, None) => NumberTest::Equal(date(value)?),
    })
}

/// From one to the other, both included.
const fn between(low: u64, high: u64) -> NumberTest {
    NumberTest::Between(low.saturating_sub(1), high.saturating_add(1))
}

/// Seconds since 1970 of a date, whose later parts may be missing; what is before is 0. Digits alone are such seconds themselves,
/// not a year (`DateStringToEpoch` of Suricata's `detect-tls-cert-validity.c`).
fn date(text: Value<'_>) -> Result<u64, Wrong> {
    let text = text.trim();
    let expected = || text.expected("a date such as 2015-06, 2015-06-01T12:30:00, or seconds since 1970");
    if text.bytes().iter().all(u8::is_ascii_digit) {
        return text.number(0, i64::MAX).map(i64::unsigned_abs).map_err(|_| expected());
    }
    let mut parts = [0_i64, 1, 1, 0, 0, 0];
    let mut given = text.bytes().split(|byte| matches!(byte, b'-' | b':' | b'T' | b't' | b' '));
    for part in &mut parts {
        let Some(digits) = given.next() else { break };
        *part = Value::new(digits, text.at()).number(0, 9_999).map_err(|_| expected())?;
    }
    if given.next().is_some() {
        return Err(expected());
    }
    let [year, month, day, hour, minute, second] = parts;
    let time = DateTime::new(year as i16, month as i8, day as i8, hour as i8, minute as i8, second as i8, 0);
    let stamp = time.ok().and_then(|time| Offset::UTC.to_timestamp(time).ok());
    stamp.map(|stamp| stamp.as_second().max(0) as u64).ok_or_else(expected)
}

/// `ssh.protoversion:2_compat` or a version.
pub(super) fn ssh_protoversion(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let text = value.maybe_unquoted();
    let version = text.bytes();
    // RFC 4253 5.1: a server that says 1.99 speaks 2, too.
    let pattern = if text.is("2_compat") {
        r"^(2(\.|$)|1\.99$)".to_owned()
    } else if !version.is_empty() && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        format!("^{}$", text.text()?.replace('.', r"\."))
    } else {
        return Err(value.expected("2_compat, or a version such as 2 or 1.99"));
    };
    let expression = Expression {
        pattern: pattern.into(),
        flags: crate::rules::rule::ExpressionFlags { dollar_endonly: true, ..Default::default() },
        is_negated: false,
        is_relative: false,
        captures: Vec::new(),
    };
    draft.test_in(named("ssh.proto"), Test::Expression(expression), value)
}

/// IANA, Kerberos encryption types, by the names that rules have for them.
const ENCRYPTIONS: &[(&str, u64)] = &[
    ("des-cbc-crc", 1),
    ("des-cbc-md4", 2),
    ("des-cbc-md5", 3),
    ("des3-cbc-md5", 5),
    ("des3-cbc-sha1", 7),
    ("dsawithsha1-cmsoid", 9),
    ("md5withrsaencryption-cmsoid", 10),
    ("sha1withrsaencryption-cmsoid", 11),
    ("rc2cbc-envoid", 12),
    ("rsaencryption-envoid", 13),
    ("rsaes-oaep-env-oid", 14),
    ("des-ede3-cbc-env-oid", 15),
    ("des3-cbc-sha1-kd", 16),
    ("aes128-cts-hmac-sha1-96", 17),
    ("aes256-cts-hmac-sha1-96", 18),
    ("aes128-cts-hmac-sha256-128", 19),
    ("aes256-cts-hmac-sha384-192", 20),
    ("rc4-hmac", 23),
    ("rc4-hmac-exp", 24),
    ("camellia128-cts-cmac", 25),
    ("camellia256-cts-cmac", 26),
    ("subkey-keymaterial", 65),
];

/// What is strong: AES and Camellia.
const STRONG: [NumberSpan; 2] = [NumberSpan { low: 17, high: 20 }, NumberSpan { low: 25, high: 26 }];

/// `krb5.ticket_encryption:[!]weak`, or `[!]` and kinds of encryption with commas or blanks between.
pub(super) fn krb5_ticket_encryption(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let field = fields::named("krb5.ticket_encryption");
    let (is_negated, text) = value.maybe_unquoted().negated();
    if text.is("weak") {
        return draft.condition(Condition::OneOf(field, STRONG.into(), !is_negated));
    }
    let mut spans = Vec::new();
    for word in text.split(b',').flat_map(Value::words) {
        let known = ENCRYPTIONS.iter().find(|(name, _)| word.is(name)).map(|(_, number)| *number);
        // Private kinds are negative (RFC 3961 8).
        let number = match known {
            Some(number) => number,
            None => word
                .number(i32::MIN.into(), i32::MAX.into())
                .map(|number| u64::from(number as i32 as u32))
                .map_err(|_| word.expected("weak, a kind of encryption such as rc4-hmac, or its number"))?,
        };
        spans.push(NumberSpan { low: number, high: number });
    }
    if spans.is_empty() {
        return Err(value.expected("weak, or kinds of encryption"));
    }
    draft.condition(Condition::OneOf(field, spans, is_negated))
}

/// Attributes of a security association, each with a number of transactions for itself.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("alg_enc", "ike.alg_enc"),
    ("alg_hash", "ike.alg_hash"),
    ("alg_auth", "ike.alg_auth"),
    ("alg_dh", "ike.alg_dh"),
    ("alg_prf", "ike.alg_prf"),
    ("sa_group_type", "ike.sa_group_type"),
    ("sa_life_type", "ike.sa_life_type"),
    ("sa_life_duration", "ike.sa_life_duration"),
    ("sa_key_length", "ike.sa_key_length"),
    ("sa_field_size", "ike.sa_field_size"),
];

/// `ike.chosen_sa_attribute:alg_hash=2`.
pub(super) fn ike_chosen_sa_attribute(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let text = value.maybe_unquoted();
    let len = text.bytes().iter().take_while(|byte| byte.is_ascii_lowercase() || **byte == b'_').count();
    let (name, test) = (text.part(0, len), text.part(len, text.bytes().len()));
    let found = ATTRIBUTES.iter().find(|(known, _)| name.is(known));
    let (_name, field) =
        found.ok_or_else(|| name.expected("an attribute such as alg_enc, and a test of it"))?;
    ask(draft, field, numbers::test(test, u32::MAX.into(), &[])?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn digits_alone_are_seconds() {
        assert_eq!(dates(Value::new(b"<2020", 0)).unwrap(), NumberTest::LessOrEqual(2_020));
        assert_eq!(dates(Value::new(b"1577836800", 0)).unwrap(), NumberTest::Equal(1_577_836_800));
    }

    #[test]
    fn dates_may_be_cut_short() {
        let read = |text: &str| dates(Value::new(text.as_bytes(), 0)).map_err(|wrong| wrong.detail);
        assert_eq!(read("1970-01"), Ok(NumberTest::Equal(0)));
        assert_eq!(read(">1970-01-02"), Ok(NumberTest::GreaterOrEqual(86_400)));
        assert_eq!(read("<1970-01-01T00:01"), Ok(NumberTest::LessOrEqual(60)));
        assert_eq!(read("1970-01-01 00:00:01<>1971-01"), Ok(between(1, 31_536_000)));
        assert_eq!(read("1960-01").unwrap(), NumberTest::Equal(0));
        for text in
            ["", "x", "1970-13", "1970-02-30", "1971-01<>1970-01", "1970-01-01-01-01-01-01", "99999-01"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
