//! What is the next element of BER or DER? Tag, contents, and what follows (X.690 8.1).

use super::names::line::Line;

/// Of tags of one byte and definite lengths, which is what LDAP, Kerberos, SNMP and certificates use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
}

/// Reads elements one after another; ends where one is cut off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next one if it has this tag, else nothing is read.
    pub(crate) fn tagged(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.rest.first() == Some(&tag) { self.next().map(|element| element.contents) } else { None }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (head, len) = head(self.rest)?;
        let tag = *self.rest.first()?;
        let contents = self.rest.get(head..head.checked_add(len)?)?;
        self.rest = self.rest.get(head + len..)?;
        Some(Element { tag, contents })
    }
}

/// Bytes of tag and length, and the length.
pub(crate) fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.get(1)?;
    if first < 0x80 {
        return Some((2, usize::from(first)));
    }
    let count = usize::from(first & 0x7f);
    let digits = bytes.get(2..2 + count).filter(|digits| (1..=4).contains(&digits.len()))?;
    let len = digits.iter().fold(0_usize, |len, digit| len << 8 | usize::from(*digit));
    Some((2 + count, len))
}

/// A small number.
pub(crate) fn integer(contents: &[u8]) -> Option<u32> {
    let is_small = (1..=5).contains(&contents.len());
    is_small.then(|| contents.iter().fold(0_u32, |number, digit| number << 8 | u32::from(*digit)))
}

/// The numbers of an object identifier with dots between.
pub(crate) fn oid(bytes: &[u8]) -> Line<256> {
    let mut line = Line::new();
    let mut number = 0_u64;
    let mut is_first = true;
    for byte in bytes {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if is_first {
            // X.690 8.19.4: the first two share a number.
            let top = (number / 40).min(2);
            line.push_decimal(top);
            line.push(b".");
            line.push_decimal(number - top * 40);
            is_first = false;
        } else {
            line.push(b".");
            line.push_decimal(number);
        }
        number = 0;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_byte_or_more() {
        assert_eq!(head(&[0x30, 5]), Some((2, 5)));
        assert_eq!(head(&[0x30, 0x82, 1, 0]), Some((4, 256)));
        assert_eq!(head(&[0x30, 0x80]), None);
        assert_eq!(head(&[0x30, 0x84, 1]), None);
        let mut elements = Elements::of(&[2, 1, 7, 4, 2, b'a', b'b', 4, 9]);
        assert_eq!(elements.tagged(2).and_then(integer), Some(7));
        assert_eq!(elements.tagged(2), None);
        assert_eq!(elements.tagged(4), Some(&b"ab"[..]));
        assert!(elements.next().is_none());
    }

    #[test]
    fn object_identifiers_are_numbers() {
        assert_eq!(oid(&[0x2b, 0x81, 0x00]).as_bytes(), b"1.3.128");
        assert_eq!(oid(&[0x60, 0x86, 0x48]).as_bytes(), b"2.16.840");
        assert_eq!(oid(&[]).as_bytes(), b"");
    }
}
