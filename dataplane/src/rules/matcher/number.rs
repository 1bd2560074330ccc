//! Which number is there, and what follows from it?

use super::{Run, amount};
use crate::rules::base64::{decoded, is_letter};
use crate::rules::rule::{
    Arithmetic, Base64Decode, ByteExtract, ByteJump, ByteMath, ByteTest, Digits, JumpFrom, Layout, Operator,
};

/// A number, and how many bytes it took.
fn read(run: &Run<'_>, layout: Layout, offset: i64, is_relative: bool) -> Option<(u64, usize, usize)> {
    let from = if is_relative { run.at as i64 } else { 0 };
    let start = usize::try_from(from.checked_add(offset)?).ok()?;
    let bytes = run.bytes.get(start..)?;
    let wanted = usize::try_from(amount(layout.bytes, &run.scratch.variables)).ok()?;
    let (number, taken) = match layout.digits {
        Some(digits) => digits_of(bytes.get(..wanted)?, digits)?,
        None => {
            if wanted == 0 || wanted > 8 {
                return None;
            }
            let is_little =
                if layout.is_dce { run.scratch.is_dce_little_endian } else { layout.is_little_endian };
            let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
            let bytes = bytes.get(..wanted)?;
            let number =
                if is_little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) };
            (number, wanted)
        }
    };
    let number = match layout.mask {
        // Moved down, so that the mask's lowest bit is the lowest.
        Some(mask) => (number & mask) >> mask.trailing_zeros(),
        None => number,
    };
    Some((number, start, taken))
}

/// A number in digits as `strtoull` reads it: white space before it, a sign; what follows is left.
fn digits_of(bytes: &[u8], digits: Digits) -> Option<(u64, usize)> {
    let radix = match digits {
        Digits::Decimal => 10,
        Digits::Hexadecimal => 16,
        Digits::Octal => 8,
    };
    let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let sign = usize::from(matches!(bytes.get(blank), Some(b'+' | b'-')));
    let is_negative = bytes.get(blank) == Some(&b'-');
    let mut at = blank + sign;
    if radix == 16 && matches!(bytes.get(at..at + 2), Some([b'0', b'x' | b'X'])) {
        at += 2;
    }
    let begun = at;
    let mut number = 0_u64;
    while let Some(digit) = bytes.get(at).and_then(|byte| char::from(*byte).to_digit(radix)) {
        number = number.checked_mul(radix.into())?.checked_add(digit.into())?;
        at += 1;
    }
    let number = if is_negative { number.wrapping_neg() } else { number };
    (at > begun).then_some((number, at))
}

pub(super) fn test(run: &Run<'_>, test: &ByteTest) -> bool {
    let variables = &run.scratch.variables;
    let offset = amount(test.offset, variables);
    let Some((number, ..)) = read(run, test.layout, offset, test.is_relative) else { return false };
    let value = amount(test.value, variables) as u64;
    let holds = match test.operator {
        Operator::Less => number < value,
        Operator::LessOrEqual => number <= value,
        Operator::Equal => number == value,
        Operator::Greater => number > value,
        Operator::GreaterOrEqual => number >= value,
        Operator::And => number & value != 0,
        Operator::Xor => number ^ value != 0,
    };
    holds != test.is_negated
}

pub(super) fn jump(run: &mut Run<'_>, jump: &ByteJump) -> bool {
    let offset = amount(jump.offset, &run.scratch.variables);
    let to = |run: &Run<'_>| {
        // Without bytes only the place is moved.
        let is_none = amount(jump.layout.bytes, &run.scratch.variables) == 0;
        let (number, start, taken) = if is_none {
            let from = if jump.is_relative { run.at as i64 } else { 0 };
            (0, usize::try_from(from.checked_add(offset)?).ok()?, 0)
        } else {
            read(run, jump.layout, offset, jump.is_relative)?
        };
        let mut far = i64::try_from(number.checked_mul(jump.multiplier.into())?).ok()?;
        if jump.is_aligned {
            far = far.checked_add(3)? & !3;
        }
        let from = match jump.from {
            JumpFrom::Here => start + taken,
            JumpFrom::Beginning => 0,
            JumpFrom::End => run.bytes.len(),
        };
        let to = i64::try_from(from).ok()?.checked_add(far)?;
        let to = to.checked_add(amount(jump.post_offset, &run.scratch.variables))?;
        usize::try_from(to).ok().filter(|to| *to < run.bytes.len())
    };
    match to(run) {
        Some(to) => {
            run.at = to;
            true
        }
        None => false,
    }
}

pub(super) fn extract(run: &mut Run<'_>, extract: &ByteExtract) -> bool {
    let found = read(run, extract.layout, extract.offset, extract.is_relative);
    let Some((number, start, taken)) = found else { return false };
    let mut number = number.wrapping_mul(extract.multiplier.into());
    if extract.align > 0 {
        let align = u64::from(extract.align);
        number = number.next_multiple_of(align);
    }
    keep(run, extract.variable, number);
    run.at = start + taken;
    true
}

pub(super) fn math(run: &mut Run<'_>, math: &ByteMath) -> bool {
    let variables = &run.scratch.variables;
    let (offset, value) = (amount(math.offset, variables), amount(math.value, variables) as u64);
    let Some((number, start, taken)) = read(run, math.layout, offset, math.is_relative) else { return false };
    let result = match math.operation {
        Arithmetic::Add => Some(number.wrapping_add(value)),
        Arithmetic::Subtract => Some(number.wrapping_sub(value)),
        Arithmetic::Multiply => Some(number.wrapping_mul(value)),
        Arithmetic::Divide => number.checked_div(value),
        Arithmetic::ShiftLeft => {
            Some(u32::try_from(value).ok().and_then(|by| number.checked_shl(by)).unwrap_or(0))
        }
        Arithmetic::ShiftRight => {
            Some(u32::try_from(value).ok().and_then(|by| number.checked_shr(by)).unwrap_or(0))
        }
    };
    let Some(result) = result else { return false };
    keep(run, math.variable, result);
    run.at = start + taken;
    true
}

fn keep(run: &mut Run<'_>, variable: u8, number: u64) {
    if let Some(kept) = run.scratch.variables.get_mut(usize::from(variable)) {
        *kept = number;
    }
}

/// Bytes that are decoded of one buffer.
const DECODED_BYTES_MAX: usize = 65_535;

/// Decodes Base64 from here on; what it made is a buffer of its own. `false`: there is none.
pub(super) fn base64(run: &mut Run<'_>, decode: Base64Decode) -> bool {
    let from = if decode.is_relative { run.at } else { 0 };
    let Some(bytes) = run.bytes.get(from + decode.offset as usize..) else { return false };
    let most = decode.bytes.map_or(DECODED_BYTES_MAX, |bytes| bytes as usize).min(DECODED_BYTES_MAX);
    let bytes = &bytes[..bytes.len().min(most)];
    // White space within is passed over (RFC 2045); anything else ends it.
    let text = bytes.iter().copied().filter(|byte| !b" \t\r\n".contains(byte));
    let letters: Vec<u8> = text.take_while(|byte| is_letter(*byte)).collect();
    let Some(decoded) = decoded(&letters) else { return false };
    run.scratch.decoded = decoded;
    true
}
