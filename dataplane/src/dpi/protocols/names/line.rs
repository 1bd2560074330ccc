//! How is a short text (an address, a list of digits) put together without allocating?

use std::fmt::{self, Write};

/// A text of at most `N` bytes on the stack; what does not fit is cut off.
pub(in crate::dpi::protocols) struct Line<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    /// Nothing yet.
    pub(in crate::dpi::protocols) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// The text of `arguments`.
    pub(in crate::dpi::protocols) fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut line = Self::new();
        line.add(arguments);
        line
    }

    /// Appends text.
    pub(in crate::dpi::protocols) fn add(&mut self, arguments: fmt::Arguments<'_>) {
        // Cut off is not failed: `write_str` below never says so.
        let _ = self.write_fmt(arguments);
    }

    /// Appends a number in decimal digits.
    pub(in crate::dpi::protocols) fn push_decimal(&mut self, mut number: u64) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    /// Appends bytes as they are.
    pub(in crate::dpi::protocols) fn push(&mut self, bytes: &[u8]) {
        let room = N - self.len;
        let kept = bytes.get(..room).unwrap_or(bytes);
        if let Some(target) = self.bytes.get_mut(self.len..self.len + kept.len()) {
            target.copy_from_slice(kept);
            self.len += kept.len();
        }
    }

    /// What was written so far.
    pub(in crate::dpi::protocols) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl<const N: usize> AsRef<[u8]> for Line<N> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// An IPv4 or IPv6 address in its usual form; `None` for another length.
pub(in crate::dpi::protocols) fn address(bytes: &[u8]) -> Option<Line<46>> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        let mut line = Line::new();
        for (at, octet) in v4.into_iter().enumerate() {
            line.push(if at == 0 { b"" } else { b"." });
            line.push_decimal(u64::from(octet));
        }
        return Some(line);
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Line::of(format_args!("{}", std::net::Ipv6Addr::from(v6))))
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes as pairs of digits with colons between, as hardware addresses are written; at most 64 bytes of them.
pub(in crate::dpi::protocols) fn colons(bytes: &[u8]) -> Line<192> {
    let mut line = Line::new();
    for (at, byte) in bytes.iter().enumerate().take(64) {
        line.push(if at == 0 { b"" } else { b":" });
        line.push(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    line
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_room_ends() {
        let line = Line::<5>::of(format_args!("{}-{}", "abc", 12_345));
        assert_eq!(line.as_bytes(), b"abc-1");
        assert_eq!(address(&[192, 0, 2, 1]).unwrap().as_bytes(), b"192.0.2.1");
        assert_eq!(colons(&[0, 0x1f, 0xff]).as_bytes(), b"00:1f:ff");
        assert!(address(&[1, 2]).is_none());
        for number in [0, 9, 10, 65_535, u64::MAX] {
            let mut line = Line::<20>::new();
            line.push_decimal(number);
            assert_eq!(line.as_bytes(), number.to_string().as_bytes());
        }
    }
}
