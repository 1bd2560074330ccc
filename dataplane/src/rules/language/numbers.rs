//! Tests of numbers as text: `5`, `>5`, `<=5`, `!5`, `5-9`, `5<>9`, `&0x80=0x80`, with names for numbers that have some.

use super::value::{Value, Wrong};
use crate::rules::number::NumberTest;

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
