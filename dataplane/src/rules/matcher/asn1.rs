//! Is ASN.1 in these bytes encoded so that careless readers fail? (X.690, basic encoding rules)

use crate::rules::rule::Asn1;

/// Elements that are looked at.
const ELEMENTS_MAX: usize = 256;

/// Bytes of a real number in decimal form that a program's buffer has.
const REAL_BYTES_MAX: usize = 256;

const BIT_STRING: u8 = 3;
const REAL: u8 = 9;

/// An element, and what stands behind its head.
struct Element<'a> {
    /// Class and form, and the number where it is below 31.
    tag: u8,
    /// Bytes that its content has, as its head says; `None`: its end is marked.
    len: Option<u64>,
    rest: &'a [u8],
}

/// Whether one of what is asked for is there; `before` is the end of the match before.
pub(super) fn holds(asn1: &Asn1, bytes: &[u8], before: usize) -> bool {
    let from = match (asn1.relative_offset, asn1.absolute_offset) {
        (Some(offset), _) => before as i64 + i64::from(offset),
        (None, Some(offset)) => offset.into(),
        (None, None) => 0,
    };
    let mut bytes = usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
    for _ in 0..ELEMENTS_MAX {
        let Some(element) = head(bytes) else { return false };
        if is_bad(asn1, &element) {
            return true;
        }
        // A constructed one's elements follow its head, as one with a marked end has it, too.
        let is_constructed = element.tag & 0x20 != 0;
        let skipped = match element.len {
            Some(len) if !is_constructed => usize::try_from(len).unwrap_or(usize::MAX),
            Some(_) | None => 0,
        };
        let Some(next) = element.rest.get(skipped..) else { return false };
        bytes = next;
    }
    false
}

fn is_bad(asn1: &Asn1, element: &Element<'_>) -> bool {
    let is_universal = |number: u8| element.tag == number;
    let len = element.len.unwrap_or(0);
    if asn1.oversize_length.is_some_and(|max| len > u64::from(max)) {
        return true;
    }
    let first = element.rest.first().copied().unwrap_or(0);
    // 8.6.2: unused bits are 7 at most, and no more than there are bits.
    if asn1.bitstring_overflow && is_universal(BIT_STRING) && len > 0 {
        let unused = u64::from(first);
        if unused > 7 || (len - 1).saturating_mul(8) < unused {
            return true;
        }
    }
    // 8.5.8: both highest bits are zero where it is written in digits.
    asn1.double_overflow && is_universal(REAL) && first & 0xc0 == 0 && len > REAL_BYTES_MAX as u64
}

fn head(bytes: &[u8]) -> Option<Element<'_>> {
    let (tag, mut rest) = bytes.split_first()?;
    if tag & 0x1f == 0x1f {
        // 8.1.2.4: the number goes on while the highest bit is set.
        let len = rest.iter().take(8).position(|byte| byte & 0x80 == 0)? + 1;
        rest = rest.get(len..)?;
    }
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0x80 => (None, rest),
        0x81..=0xff => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = digits.iter().fold(0_u64, |len, byte| {
                // What does not fit is more than there ever is.
                if len >> 56 == 0 { len << 8 | u64::from(*byte) } else { u64::MAX >> 8 }
            });
            (Some(len), rest)
        }
        len => (Some(u64::from(*len)), rest),
    };
    Some(Element { tag: *tag, len, rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Asn1 = Asn1 {
        bitstring_overflow: true,
        double_overflow: true,
        oversize_length: Some(1_000),
        absolute_offset: None,
        relative_offset: None,
    };

    #[test]
    fn what_careless_readers_fail_at_is_found() {
        assert!(holds(&ALL, &[0x30, 5, 3, 1, 8, 5, 0], 0), "no unused bits without bits");
        assert!(!holds(&ALL, &[0x30, 6, 3, 2, 7, 0x80, 5, 0], 0));
        assert!(holds(&ALL, &[4, 0x82, 4, 0], 0), "longer than it may be");
        assert!(holds(&ALL, &[0x30, 0x80, 9, 0x82, 1, 1, 3], 0), "a real number in digits");
        assert!(!holds(&ALL, &[9, 0x82, 1, 1, 0x80], 0));
        let relative = Asn1 { relative_offset: Some(-1), ..ALL };
        assert!(holds(&relative, &[0, 0, 3, 1, 9], 3) && !holds(&relative, &[0, 0, 3, 1, 9], 0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes: Vec<u8>, before in 0_usize..100) {
            holds(&ALL, &bytes, 0);
            holds(&Asn1 { relative_offset: Some(3), ..ALL }, &bytes, before);
        }
    }
}
