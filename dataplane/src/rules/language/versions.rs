//! Words that stand for several numbers, or for others by version: `ssl_version`, `ssl_state`, `nfs_procedure`, `nfs.version`.

use super::draft::Draft;
use super::fields;
use super::names::{NFS_PROCEDURES, TLS_STATES, TLS_VERSIONS};
use super::numbers;
use super::value::{Value, Wrong};
use crate::rules::number::NumberTest;
use crate::rules::rule::{Chosen, Condition, NumberSpan};

/// `ssl_version:tls1.0,tls1.2` one of these; `!sslv2,!sslv3` none of these.
pub(super) fn ssl_version(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (mut spans, mut is_negated) = (Vec::new(), None);
    for piece in value.maybe_unquoted().split(b',') {
        let (own, name) = piece.negated();
        if is_negated.replace(own).is_some_and(|before| before != own) {
            return Err(piece.wrong("versions that are meant and such that are not do not go together"));
        }
        let found = TLS_VERSIONS.iter().find(|(known, _)| name.is(known));
        let (_name, number) =
            found.ok_or_else(|| name.expected("sslv2, sslv3, tls1.0, tls1.1, tls1.2 or tls1.3"))?;
        spans.push(NumberSpan { low: *number, high: *number });
    }
    draft.condition(Condition::OneOf(fields::named("ssl_version"), spans, is_negated.unwrap_or(false)))
}

/// `ssl_state:server_hello|client_keyx`: one of these messages was seen.
pub(super) fn ssl_state(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, text) = value.maybe_unquoted().negated();
    let mut bits = 0;
    for name in text.split(b'|').flat_map(|piece| piece.split(b',')) {
        let found = TLS_STATES.iter().find(|(known, _)| name.is(known));
        let (_name, bit) = found.ok_or_else(|| {
            name.expected("client_hello, server_hello, client_keyx, server_keyx or unknown")
        })?;
        bits |= bit;
    }
    let test = if is_negated { NumberTest::Masked(bits, 0) } else { NumberTest::NotMasked(bits, 0) };
    draft.condition(Condition::Transaction(fields::named("ssl_state"), test, Chosen::default()))
}

/// A number's test whose spans include their ends, which those of others do not.
fn inclusive(value: Value<'_>) -> Result<NumberTest, Wrong> {
    let text = value.maybe_unquoted();
    if let Some((low, high)) = text.split_once(b'-') {
        let (low, high) = (low.unsigned(u32::MAX.into())?, high.unsigned(u32::MAX.into())?);
        if low >= high {
            return Err(text.expected("a span whose first number is below its last"));
        }
        return Ok(match low.checked_sub(1) {
            Some(below) => NumberTest::Between(below, high + 1),
            None => NumberTest::LessOrEqual(high),
        });
    }
    numbers::test(text, u32::MAX.into(), &[])
}

/// `nfs_procedure:1`, `1-5`, or a name of version 2 or 3.
pub(super) fn nfs_procedure(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, name) = value.maybe_unquoted().negated();
    if let Some((_name, number)) = NFS_PROCEDURES.iter().find(|(known, _)| name.is(known)) {
        let spans = vec![NumberSpan { low: *number, high: *number }];
        return draft.condition(Condition::OneOf(fields::named("nfs.named"), spans, is_negated));
    }
    let test = inclusive(value)?;
    draft.condition(Condition::Transaction(fields::named("nfs_procedure"), test, Chosen::default()))
}

pub(super) fn nfs_version(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let test = inclusive(value)?;
    draft.condition(Condition::Transaction(fields::named("nfs.version"), test, Chosen::default()))
}
