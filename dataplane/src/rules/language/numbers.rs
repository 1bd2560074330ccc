//! Tests of numbers as text: `5`, `>5`, `<=5`, `!5`, `5-9`, `5<>9`, `&0x80=0x80`, with names for numbers that have some.

use super::fields::Field;
use super::value::{Value, Wrong};
use crate::rules::number::NumberTest;
use crate::rules::rule::{Chosen, Which};

/// Reads a test of a number of at most `max`; `names` may stand for numbers.
pub(super) fn test(text: Value<'_>, max: u64, names: &[(&str, u64)]) -> Result<NumberTest, Wrong> {
    let text = text.trim();
    let number = |text: Value<'_>| number(text.trim(), max, names);
    for (sign, make) in [
        (">=", NumberTest::GreaterOrEqual as fn(u64) -> NumberTest),
        ("<=", NumberTest::LessOrEqual),
        ("!=", NumberTest::NotEqual),
        (">", NumberTest::Greater),
        ("<", NumberTest::Less),
        ("=", NumberTest::Equal),
    ] {
        // `<>` begins with `<` and is a span.
        if let Some(rest) = text.strip(sign).filter(|rest| rest.strip(">").is_none()) {
            return Ok(make(number(rest)?));
        }
    }
    if let Some(rest) = text.strip("&") {
        let Some(at) = rest.bytes().iter().position(|byte| b"=!".contains(byte)) else {
            let mask = number(rest)?;
            // As Suricata reads it without a value: one of the bits is set.
            return Ok(NumberTest::NotMasked(mask, 0));
        };
        let mask = number(rest.part(0, at))?;
        let behind = rest.part(at, rest.bytes().len());
        return match (behind.strip("!="), behind.strip("=")) {
            (Some(bits), _) => Ok(NumberTest::NotMasked(mask, number(bits)?)),
            (None, Some(bits)) => Ok(NumberTest::Masked(mask, number(bits)?)),
            (None, None) => Err(behind.expected("`=` or `!=` and the bits under the mask")),
        };
    }
    let (is_negated, text) = text.negated();
    let span = text.bytes().windows(2).position(|pair| pair == b"<>").map(|at| (at, 2));
    // A name may have a `-` in it, a number that begins a span has none before its second character.
    let dash = || text.bytes().iter().skip(1).position(|byte| *byte == b'-').map(|at| (at + 1, 1));
    let span = span.or_else(|| if text.looks_like_a_number() { dash() } else { None });
    if let Some((at, len)) = span {
        let (low, high) = (number(text.part(0, at))?, number(text.part(at + len, text.bytes().len()))?);
        if high <= low.saturating_add(1) {
            return Err(text.expected("a span with a number between its ends, which are outside of it"));
        }
        return Ok(if is_negated {
            NumberTest::NotBetween(low, high)
        } else {
            NumberTest::Between(low, high)
        });
    }
    let number = number(text)?;
    Ok(if is_negated { NumberTest::NotEqual(number) } else { NumberTest::Equal(number) })
}

/// Reads a test of a number of transactions, of which there may be several: `test[,which[,from:to]]`, or `count test`; of bits, by
/// their names: `name,!name`.
pub(super) fn of_field(text: Value<'_>, field: &Field) -> Result<(NumberTest, Chosen), Wrong> {
    if field.is_bits && !text.looks_like_a_number() && text.strip("&").is_none() {
        return Ok((bits(text, field)?, Chosen::default()));
    }
    if let Some(rest) =
        text.strip("count").filter(|rest| !rest.bytes().first().is_some_and(u8::is_ascii_alphanumeric))
    {
        return Ok((test(rest, u32::MAX.into(), &[])?, Chosen { which: Which::Count, slice: None }));
    }
    let mut pieces = text.split(b',');
    let first = pieces.next().unwrap_or(text);
    let number = test(first, field.max, field.names)?;
    let which = pieces.next().map_or(Ok(Which::Any), which)?;
    let slice = pieces.next().map(slice).transpose()?;
    match pieces.next() {
        None => Ok((number, Chosen { which, slice })),
        Some(more) => Err(more.expected("nothing behind the slice")),
    }
}

/// Which of several numbers must hold.
fn which(text: Value<'_>) -> Result<Which, Wrong> {
    let at = |text: Value<'_>| text.number(i32::MIN.into(), i32::MAX.into()).map(|number| number as i32);
    Ok(match () {
        () if text.is("any") => Which::Any,
        () if text.is("or_absent") => Which::OrAbsent,
        () if text.is("all") || text.is("all1") => Which::All,
        () if text.is("all_or_absent") => Which::AllOrAbsent,
        () => match (text.strip("nb"), text.strip("oob_or")) {
            (Some(rest), _) => Which::Times(test(rest, u32::MAX.into(), &[])?),
            (None, Some(rest)) => Which::AtOrBeyond(at(rest.trim())?),
            (None, None) => Which::At(at(text).map_err(|_| {
                text.expected(
                    "a place, any, all, all_or_absent, or_absent, `oob_or` and a place, or `nb` and a test",
                )
            })?),
        },
    })
}

/// `from:to`.
fn slice(text: Value<'_>) -> Result<(i32, i32), Wrong> {
    let (from, to) = text.split_once(b':').ok_or_else(|| text.expected("two places with a colon between"))?;
    let at = |text: Value<'_>| text.number(i32::MIN.into(), i32::MAX.into()).map(|number| number as i32);
    Ok((at(from)?, at(to)?))
}

/// Names of bits with commas between; behind `!` a bit must not be set.
fn bits(text: Value<'_>, field: &Field) -> Result<NumberTest, Wrong> {
    let (mut mask, mut set) = (0, 0);
    for piece in text.split(b',') {
        let (is_negated, name) = piece.negated();
        let found = field.names.iter().find(|(known, _)| name.is(known));
        let (_name, bit) = found.ok_or_else(|| {
            let names: Vec<_> = field.names.iter().map(|(name, _)| *name).collect();
            name.expected(&format!("a number, or one of {}", names.join(", ")))
        })?;
        if mask & bit != 0 {
            return Err(name.wrong("it is named twice"));
        }
        mask |= bit;
        set |= if is_negated { 0 } else { *bit };
    }
    Ok(NumberTest::Masked(mask, set))
}

/// A number, maybe with a unit, or a name for one.
fn number(text: Value<'_>, max: u64, names: &[(&str, u64)]) -> Result<u64, Wrong> {
    if let Some((_name, number)) = names.iter().find(|(name, _number)| text.is(name)) {
        return Ok(*number);
    }
    let split = text.bytes().iter().rposition(u8::is_ascii_digit).map_or(0, |last| last + 1);
    let (digits, unit) = (text.part(0, split), text.part(split, text.bytes().len()).trim());
    let factor = match () {
        () if unit.is_empty() || text.strip("0x").is_some() => return unsigned(text, max, names),
        () if unit.is("kb") || unit.is("kib") => 1 << 10,
        () if unit.is("mb") || unit.is("mib") => 1 << 20,
        () if unit.is("gb") || unit.is("gib") => 1 << 30,
        () => return unsigned(text, max, names),
    };
    unsigned(digits, max / factor, names).map(|number| number * factor)
}

fn unsigned(text: Value<'_>, max: u64, names: &[(&str, u64)]) -> Result<u64, Wrong> {
    text.unsigned(max).map_err(|wrong| match names {
        [] => wrong,
        [(first, _number), ..] => text.expected(&format!("a number up to {max}, or a name such as {first}")),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NumberTest, String> {
        test(Value::new(text.as_bytes(), 0), 65_535, &[("init", 1), ("init_ack", 2)])
            .map_err(|wrong| wrong.detail)
    }

    #[test]
    fn every_form_is_read() {
        use NumberTest::*;
        for (text, test) in [
            ("5", Equal(5)),
            (" = 0x10 ", Equal(16)),
            ("!5", NotEqual(5)),
            ("!=5", NotEqual(5)),
            (">5", Greater(5)),
            (">= 5", GreaterOrEqual(5)),
            ("<5", Less(5)),
            ("<=5", LessOrEqual(5)),
            ("5-9", Between(5, 9)),
            ("5<>9", Between(5, 9)),
            ("!5-9", NotBetween(5, 9)),
            ("&0x80", NotMasked(0x80, 0)),
            ("&0x80=0x80", Masked(0x80, 0x80)),
            ("&0x80!=0", NotMasked(0x80, 0)),
            ("2kb", Equal(2_048)),
            ("init", Equal(1)),
            ("!INIT_ACK", NotEqual(2)),
        ] {
            assert_eq!(read(text), Ok(test), "{text}");
        }
    }

    #[test]
    fn several_numbers_and_bits_are_read() {
        use crate::rules::language::fields::{FIELDS, find};
        let read = |name: &str, text: &str| {
            let (_place, field) = find(FIELDS, name).unwrap();
            of_field(Value::new(text.as_bytes(), 0), field).map_err(|wrong| wrong.detail)
        };
        let of = |test, which, slice| Ok((test, Chosen { which, slice }));
        let equal = NumberTest::Equal;
        assert_eq!(read("dns.rrtype", "a,-1"), of(equal(1), Which::At(-1), None));
        assert_eq!(read("dns.rrtype", "1, nb>3, 0:-1"), {
            of(equal(1), Which::Times(NumberTest::Greater(3)), Some((0, -1)))
        });
        assert_eq!(
            read("dns.rrtype", "!1,oob_or 2"),
            of(NumberTest::NotEqual(1), Which::AtOrBeyond(2), None)
        );
        assert_eq!(read("dns.rrtype", "count >5"), of(NumberTest::Greater(5), Which::Count, None));
        assert_eq!(read("mqtt.flags", "dup,!retain"), of(NumberTest::Masked(9, 8), Which::Any, None));
        assert_eq!(read("mqtt.flags", "&9=8"), of(NumberTest::Masked(9, 8), Which::Any, None));
        for text in ["1,", "1,x", "1,all,2", "1,all,1:2,3", "count", "1,nb"] {
            assert!(read("dns.rrtype", text).is_err(), "{text}");
        }
        assert!(read("mqtt.flags", "dup,dup").is_err() && read("mqtt.flags", "nope").is_err());
    }

    #[test]
    fn what_is_none_says_what_was_expected() {
        for text in ["", "65536", "-1", "5-6", "9-5", "5-", "64mb", "&", "&1=", "x", "5 5", ">"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(
            read("nope").unwrap_err(),
            "expected a number up to 65535, or a name such as init, `nope` came"
        );
    }
}
