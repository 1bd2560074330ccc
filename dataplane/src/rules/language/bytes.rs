//! Numbers in bytes: `byte_test`, `byte_jump`, `byte_extract`, `byte_math`; and `base64_decode`, `asn1`, `entropy`.

use super::draft::Draft;
use super::value::{Value, Wrong};
use crate::rules::rule::{
    Amount, Arithmetic, Asn1, Base64Decode, ByteExtract, ByteJump, ByteMath, ByteTest, Digits, Entropy,
    EntropyTest, JumpFrom, Layout, Operator, Test,
};

/// Bytes of a number, and digits of one.
const BYTES_MAX: i64 = 8;
const DIGITS_MAX: i64 = 23;

/// Offsets into a buffer.
const OFFSET_MAX: i64 = 65_535;

/// Words that several of the keywords have.
#[derive(Debug, Default)]
struct Words {
    is_relative: bool,
    is_little_endian: bool,
    is_dce: bool,
    is_string: bool,
    digits: Option<Digits>,
    mask: Option<u64>,
}

impl Words {
    /// Takes a word, or says that it is another's.
    fn take(&mut self, word: Value<'_>) -> Result<bool, Wrong> {
        match () {
            () if word.is("relative") => self.is_relative = true,
            () if word.is("little") => self.is_little_endian = true,
            () if word.is("big") => self.is_little_endian = false,
            () if word.is("dce") => self.is_dce = true,
            () if word.is("string") => self.is_string = true,
            () if word.is("hex") => self.digits = Some(Digits::Hexadecimal),
            () if word.is("dec") => self.digits = Some(Digits::Decimal),
            () if word.is("oct") => self.digits = Some(Digits::Octal),
            () => match after(word, "bitmask") {
                Some(mask) => self.mask = Some(mask_of(mask)?),
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn layout(&self, bytes: Amount, at: Value<'_>) -> Result<Layout, Wrong> {
        let digits = match (self.is_string, self.digits) {
            (true, digits) => Some(digits.unwrap_or(Digits::Decimal)),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(at.wrong("hex, dec and oct say how digits are read, which takes `string`"));
            }
        };
        let max = if digits.is_some() { DIGITS_MAX } else { BYTES_MAX };
        match bytes {
            Amount::Number(number) if !(0..=max).contains(&number) => {
                Err(at.expected(&format!("1 to {max} bytes")))
            }
            _ => Ok(Layout {
                bytes,
                is_little_endian: self.is_little_endian,
                is_dce: self.is_dce,
                digits,
                mask: self.mask,
            }),
        }
    }
}

/// A mask, which is hexadecimal with or without `0x`.
fn mask_of(text: Value<'_>) -> Result<u64, Wrong> {
    let digits = text.strip("0x").or(text.strip("0X")).unwrap_or(text);
    let mask = digits.text().ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    mask.filter(|mask| *mask > 0).ok_or_else(|| text.expected("a bit mask such as 0xFF"))
}

/// What follows a word, where it is this one.
fn after<'a>(piece: Value<'a>, word: &str) -> Option<Value<'a>> {
    let mut words = piece.words();
    let first = words.next()?;
    first
        .is(word)
        .then(|| piece.part(first.bytes().len() + first.at() - piece.at(), piece.bytes().len()).trim())
}

pub(super) fn byte_test(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let [bytes, operator, compared, offset, rest @ ..] = &pieces[..] else {
        return Err(value.expected("bytes, an operator, a value and an offset with commas between"));
    };
    let mut words = Words::default();
    for word in rest {
        if !words.take(*word)? {
            return Err(word.expected("relative, big, little, string, hex, dec, oct, dce or bitmask"));
        }
    }
    let (is_negated, sign) = operator.negated();
    let operator = match sign.bytes() {
        b"<" => Operator::Less,
        b"<=" => Operator::LessOrEqual,
        b">" => Operator::Greater,
        b">=" => Operator::GreaterOrEqual,
        b"&" => Operator::And,
        b"^" => Operator::Xor,
        b"=" => Operator::Equal,
        // `!` alone is `!=`.
        b"" if is_negated => Operator::Equal,
        _ => return Err(sign.expected("one of < <= = >= > & ^, maybe after `!`")),
    };
    let layout = words.layout(draft.amount(*bytes, 0, DIGITS_MAX)?, *bytes)?;
    let is_relative = words.is_relative;
    let compared = unsigned_amount(draft, *compared)?;
    let offset = draft.amount(*offset, i32::MIN.into(), i32::MAX.into())?;
    draft.test(Test::Byte(ByteTest { layout, offset, is_relative, operator, is_negated, value: compared }))
}

/// A value of up to 64 bits; those above what a signed number holds keep their bits.
fn unsigned_amount(draft: &Draft<'_>, text: Value<'_>) -> Result<Amount, Wrong> {
    match text.looks_like_a_number() && text.strip("-").is_none() {
        true => text.unsigned(u64::MAX).map(|number| Amount::Number(number as i64)),
        false => draft.amount(text, i64::MIN, i64::MAX),
    }
}

pub(super) fn byte_jump(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let [bytes, offset, rest @ ..] = &pieces[..] else {
        return Err(value.expected("bytes and an offset with a comma between"));
    };
    let mut words = Words::default();
    let (mut multiplier, mut is_aligned, mut from, mut post_offset) =
        (1, false, JumpFrom::Here, Amount::Number(0));
    for word in rest {
        if let Some(number) = after(*word, "multiplier") {
            multiplier = number.number(1, 65_535)? as u16;
        } else if let Some(number) = after(*word, "post_offset") {
            post_offset = draft.amount(number, -OFFSET_MAX, OFFSET_MAX)?;
        } else if word.is("align") {
            is_aligned = true;
        } else if word.is("from_beginning") {
            from = JumpFrom::Beginning;
        } else if word.is("from_end") {
            from = JumpFrom::End;
        } else if !words.take(*word)? {
            return Err(word.expected(
                "relative, multiplier, align, from_beginning, from_end, post_offset or how the number lies",
            ));
        }
    }
    let layout = words.layout(draft.amount(*bytes, 0, DIGITS_MAX)?, *bytes)?;
    let is_relative = words.is_relative;
    let offset = draft.amount(*offset, -OFFSET_MAX, OFFSET_MAX)?;
    draft.test(Test::Jump(ByteJump {
        layout,
        offset,
        is_relative,
        multiplier,
        is_aligned,
        from,
        post_offset,
    }))
}

pub(super) fn byte_extract(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let [bytes, offset, name, rest @ ..] = &pieces[..] else {
        return Err(value.expected("bytes, an offset and a name with commas between"));
    };
    let mut words = Words::default();
    let (mut multiplier, mut align) = (1, 0);
    for word in rest {
        if let Some(number) = after(*word, "multiplier") {
            multiplier = number.number(1, 65_535)? as u16;
        } else if let Some(number) = after(*word, "align") {
            align = number.number(2, 4)? as u8;
        } else if !words.take(*word)? {
            return Err(word.expected("relative, multiplier, align or how the number lies"));
        }
    }
    let layout = words.layout(Amount::Number(bytes.number(1, DIGITS_MAX)?), *bytes)?;
    let offset = offset.number(-OFFSET_MAX, OFFSET_MAX)?;
    let variable = draft.variable(*name)?;
    let is_relative = words.is_relative;
    draft.test(Test::Extract(ByteExtract { layout, offset, is_relative, multiplier, align, variable }))
}

pub(super) fn byte_math(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut words = Words::default();
    let (mut bytes, mut offset, mut operation, mut with, mut result) = (None, None, None, None, None);
    // With commas between, or, as it was first documented, without.
    let pieces: Vec<_> = match value.split_once(b',') {
        Some(_) => value.split(b',').collect(),
        None => pairs(value),
    };
    for word in pieces {
        if let Some(text) = after(word, "bytes") {
            bytes = Some((draft.amount(text, 1, DIGITS_MAX)?, text));
        } else if let Some(text) = after(word, "offset") {
            offset = Some(draft.amount(text, -OFFSET_MAX, OFFSET_MAX)?);
        } else if let Some(text) = after(word, "oper") {
            operation = Some(match text.bytes() {
                b"+" => Arithmetic::Add,
                b"-" => Arithmetic::Subtract,
                b"*" => Arithmetic::Multiply,
                b"/" => Arithmetic::Divide,
                b"<<" => Arithmetic::ShiftLeft,
                b">>" => Arithmetic::ShiftRight,
                _ => return Err(text.expected("one of + - * / << >>")),
            });
        } else if let Some(text) = after(word, "rvalue") {
            with = Some((draft.amount(text, 0, u32::MAX.into())?, text));
        } else if let Some(text) = after(word, "result") {
            result = Some(text);
        } else if let Some(text) = after(word, "endian") {
            words.is_little_endian = text.is("little");
            if !text.is("little") && !text.is("big") {
                return Err(text.expected("big or little"));
            }
        } else if let Some(text) = after(word, "string") {
            words.is_string = true;
            if !words.take(text)? {
                return Err(text.expected("hex, dec or oct"));
            }
        } else if !words.take(word)? {
            return Err(word
                .expected("bytes, offset, oper, rvalue, result, relative, endian, string, dce or bitmask"));
        }
    }
    let missing = |what: &str| {
        value.wrong(format!("`{what}` is missing: bytes, offset, oper, rvalue and result are needed"))
    };
    let (bytes, at) = bytes.ok_or_else(|| missing("bytes"))?;
    let layout = words.layout(bytes, at)?;
    let offset = offset.ok_or_else(|| missing("offset"))?;
    let operation = operation.ok_or_else(|| missing("oper"))?;
    let (with, at) = with.ok_or_else(|| missing("rvalue"))?;
    if operation == Arithmetic::Divide && with == Amount::Number(0) {
        return Err(at.wrong("nothing is divided by 0"));
    }
    let variable = draft.variable(result.ok_or_else(|| missing("result"))?)?;
    let is_relative = words.is_relative;
    draft.test(Test::Math(ByteMath { layout, offset, is_relative, operation, value: with, variable }))
}

/// Each two words; `relative` and `dce` stand alone.
fn pairs(value: Value<'_>) -> Vec<Value<'_>> {
    let words: Vec<_> = value.words().collect();
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(first) = words.get(index) {
        let is_alone = first.is("relative") || first.is("dce");
        let last = if is_alone { *first } else { words.get(index + 1).copied().unwrap_or(*first) };
        found.push(value.part(first.at() - value.at(), last.at() + last.bytes().len() - value.at()));
        index += if is_alone { 1 } else { 2 };
    }
    found
}

/// `base64_decode:[bytes N, offset N, relative]`.
pub(super) fn base64_decode(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut decode = Base64Decode::default();
    for word in value.split(b',').filter(|word| !word.is_empty()) {
        if let Some(number) = after(word, "bytes") {
            decode.bytes = Some(number.number(1, u32::MAX.into())? as u32);
        } else if let Some(number) = after(word, "offset") {
            decode.offset = number.number(0, OFFSET_MAX)? as u32;
        } else if word.is("relative") {
            decode.is_relative = true;
        } else {
            return Err(word.expected("bytes, offset or relative"));
        }
    }
    draft.test(Test::Base64(decode))
}

pub(super) fn asn1(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut asn1 = Asn1::default();
    for word in value.split(b',') {
        if let Some(number) = after(word, "oversize_length") {
            asn1.oversize_length = Some(number.number(1, u32::MAX.into())? as u32);
        } else if let Some(number) = after(word, "absolute_offset") {
            asn1.absolute_offset = Some(number.number(0, OFFSET_MAX)? as u16);
        } else if let Some(number) = after(word, "relative_offset") {
            asn1.relative_offset = Some(number.number(-OFFSET_MAX, OFFSET_MAX)? as i32);
        } else if word.is("bitstring_overflow") {
            asn1.bitstring_overflow = true;
        } else if word.is("double_overflow") {
            asn1.double_overflow = true;
        } else {
            return Err(word.expected(
                "bitstring_overflow, double_overflow, oversize_length, absolute_offset or relative_offset",
            ));
        }
    }
    draft.test(Test::Asn1(asn1))
}

/// `entropy:[bytes N,][offset N,]value test`: bits a byte, of 0 to 8.
pub(super) fn entropy(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (mut bytes, mut offset, mut test) = (None, 0, None);
    for word in value.split(b',') {
        if let Some(number) = after(word, "bytes") {
            bytes = Some(number.number(0, OFFSET_MAX)? as u32).filter(|bytes| *bytes > 0);
        } else if let Some(number) = after(word, "offset") {
            offset = number.number(0, OFFSET_MAX)? as u32;
        } else if let Some(said) = after(word, "value") {
            test = Some(entropy_test(said)?);
        } else {
            return Err(word.expected("bytes, offset or value"));
        }
    }
    let test = test.ok_or_else(|| value.expected("`value` and a test of it"))?;
    draft.test(Test::Entropy(Entropy { bytes, offset, test }))
}

fn entropy_test(text: Value<'_>) -> Result<EntropyTest, Wrong> {
    let bits = |text: Value<'_>| {
        let number = text.trim().text().ok().and_then(|text| text.parse::<f64>().ok());
        number.filter(|bits| (0.0..=8.0).contains(bits)).ok_or_else(|| text.expected("bits, of 0.0 to 8.0"))
    };
    for (sign, make) in [
        (">=", EntropyTest::GreaterOrEqual as fn(f64) -> EntropyTest),
        ("<=", EntropyTest::LessOrEqual),
        ("!=", EntropyTest::NotEqual),
        (">", EntropyTest::Greater),
        ("<", EntropyTest::Less),
        ("=", EntropyTest::Equal),
    ] {
        if let Some(rest) = text.strip(sign) {
            return Ok(make(bits(rest)?));
        }
    }
    let (is_negated, text) = text.negated();
    match text.split_once(b'-') {
        Some((low, high)) => {
            let (low, high) = (bits(low)?, bits(high)?);
            if low >= high {
                return Err(text.expected("a span whose first number is below its last"));
            }
            let make = if is_negated { EntropyTest::NotBetween } else { EntropyTest::Between };
            Ok(make(low, high))
        }
        None if is_negated => Ok(EntropyTest::NotEqual(bits(text)?)),
        None => Ok(EntropyTest::Equal(bits(text)?)),
    }
}
