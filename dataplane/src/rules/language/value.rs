//! A piece of a rule's text that knows where it stands, so that a fault names the very character.

/// Why a piece is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Offset in the rule's text, bytes.
    pub at: usize,
    /// Whether it is a rule of Suricata's that this engine does not have.
    pub kind: Kind,
    /// What was expected and what came.
    pub detail: String,
}

/// Of what kind a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The text is not what the language allows.
    Syntax,
    /// The language has it, this engine does not.
    Unsupported,
    /// It is read, and does nothing or less than it says.
    Idle,
}

/// Longest piece that a fault repeats, bytes.
const SHOWN_BYTES_MAX: usize = 40;

/// Bytes of a rule, and where they stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Value<'a> {
    /// `bytes`, which stand at offset `at`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Where it stands.
    #[must_use]
    pub const fn at(self) -> usize {
        self.at
    }

    /// A fault that stands here: what was expected; what came is added.
    #[must_use]
    pub fn expected(self, what: &str) -> Wrong {
        let shown = &self.bytes[..self.bytes.len().min(SHOWN_BYTES_MAX)];
        let came = match shown {
            [] => "nothing came".to_owned(),
            _ => format!("`{}` came", shown.escape_ascii()),
        };
        self.wrong(format!("expected {what}, {came}"))
    }

    /// A fault that stands here.
    #[must_use]
    pub fn wrong(self, detail: impl Into<String>) -> Wrong {
        Wrong { at: self.at, kind: Kind::Syntax, detail: detail.into() }
    }

    /// What the language has and this engine does not.
    #[must_use]
    pub fn unsupported(self, detail: impl Into<String>) -> Wrong {
        Wrong { at: self.at, kind: Kind::Unsupported, detail: detail.into() }
    }

    /// The part from byte `from` on, up to byte `to`.
    #[must_use]
    pub fn part(self, from: usize, to: usize) -> Self {
        let to = to.min(self.bytes.len());
        let from = from.min(to);
        Self { bytes: &self.bytes[from..to], at: self.at + from }
    }

    /// Without white space around it.
    #[must_use]
    pub fn trim(self) -> Self {
        let from = self.bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(self.bytes.len());
        let to =
            self.bytes.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(from, |last| last + 1);
        self.part(from, to)
    }

    /// The rest where it begins with `prefix`.
    #[must_use]
    pub fn strip(self, prefix: &str) -> Option<Self> {
        self.bytes.starts_with(prefix.as_bytes()).then(|| self.part(prefix.len(), self.bytes.len()))
    }

    /// The rest where it ends with `byte`, trimmed; else all of it.
    #[must_use]
    pub fn strip_end(self, byte: u8) -> Self {
        let trimmed = self.trim();
        match trimmed.bytes.split_last() {
            Some((last, rest)) if *last == byte => trimmed.part(0, rest.len()).trim(),
            _ => trimmed,
        }
    }

    /// Whether a `!` stands before it, and the rest.
    #[must_use]
    pub fn negated(self) -> (bool, Self) {
        match self.trim().strip("!") {
            Some(rest) => (true, rest.trim()),
            None => (false, self.trim()),
        }
    }

    /// Without the quotes around it; `None` where it has none.
    #[must_use]
    pub fn unquoted(self) -> Option<Self> {
        match self.bytes {
            [b'"', .., b'"'] => Some(self.part(1, self.bytes.len() - 1)),
            _ => None,
        }
    }

    /// Without quotes where it has them.
    #[must_use]
    pub fn maybe_unquoted(self) -> Self {
        self.unquoted().unwrap_or(self)
    }

    /// The pieces between `separator`s, trimmed.
    pub fn split(self, separator: u8) -> impl Iterator<Item = Self> {
        let mut at = 0;
        self.bytes.split(move |byte| *byte == separator).map(move |piece| {
            let from = at;
            at += piece.len() + 1;
            self.part(from, from + piece.len()).trim()
        })
    }

    /// What stands before and after the first `separator`, trimmed.
    #[must_use]
    pub fn split_once(self, separator: u8) -> Option<(Self, Self)> {
        let at = self.bytes.iter().position(|byte| *byte == separator)?;
        Some((self.part(0, at).trim(), self.part(at + 1, self.bytes.len()).trim()))
    }

    /// The pieces between white space.
    pub fn words(self) -> impl Iterator<Item = Self> {
        self.split_by_space().into_iter()
    }

    fn split_by_space(self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut from = None;
        for (index, byte) in self.bytes.iter().enumerate() {
            match (byte.is_ascii_whitespace(), from) {
                (true, Some(begun)) => {
                    words.push(self.part(begun, index));
                    from = None;
                }
                (false, None) => from = Some(index),
                _ => {}
            }
        }
        words.extend(from.map(|begun| self.part(begun, self.bytes.len())));
        words
    }

    /// As text.
    ///
    /// # Errors
    ///
    /// [`Wrong`] where it is not UTF-8.
    pub fn text(self) -> Result<&'a str, Wrong> {
        std::str::from_utf8(self.bytes).map_err(|_| self.expected("text in UTF-8"))
    }

    /// Whether it is `word`, in any case.
    #[must_use]
    pub fn is(self, word: &str) -> bool {
        self.bytes.eq_ignore_ascii_case(word.as_bytes())
    }

    /// A number, decimal or hexadecimal after `0x`, within bounds.
    ///
    /// # Errors
    ///
    /// [`Wrong`].
    pub fn number(self, from: i64, to: i64) -> Result<i64, Wrong> {
        let number = self.any_number().filter(|number| (from.into()..=to.into()).contains(number));
        let number = number.ok_or_else(|| self.expected(&format!("a number from {from} to {to}")))?;
        Ok(number as i64)
    }

    /// A number without a sign.
    ///
    /// # Errors
    ///
    /// [`Wrong`].
    pub fn unsigned(self, to: u64) -> Result<u64, Wrong> {
        let number = self.any_number().filter(|number| (0..=i128::from(to)).contains(number));
        let number = number.ok_or_else(|| self.expected(&format!("a number from 0 to {to}")))?;
        Ok(number as u64)
    }

    /// Whether it begins as a number does.
    #[must_use]
    pub fn looks_like_a_number(self) -> bool {
        matches!(self.bytes, [b'0'..=b'9', ..] | [b'-' | b'+', b'0'..=b'9', ..])
    }

    fn any_number(self) -> Option<i128> {
        let (sign, digits) = match self.bytes {
            [b'-', rest @ ..] => (-1, rest),
            [b'+', rest @ ..] => (1, rest),
            all => (1, all),
        };
        let (radix, digits) = match digits {
            [b'0', b'x' | b'X', rest @ ..] => (16, rest),
            all => (10, all),
        };
        let is_number = !digits.is_empty() && digits.iter().all(|digit| char::from(*digit).is_digit(radix));
        let text = std::str::from_utf8(digits).ok().filter(|_| is_number && digits.len() <= 32)?;
        i128::from_str_radix(text, radix).ok().map(|number| sign * number)
    }

    /// A name of something: letters, digits, `_`, `.` and `-`.
    ///
    /// # Errors
    ///
    /// [`Wrong`].
    pub fn name(self) -> Result<&'a str, Wrong> {
        let is_name = !self.is_empty()
            && self.bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\",;()".contains(byte));
        match std::str::from_utf8(self.bytes) {
            Ok(name) if is_name => Ok(name),
            _ => Err(self.expected("a name")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn pieces_know_where_they_stand() {
        let value = Value::new(b" 4 ,  !x ,0x10", 7);
        let pieces: Vec<_> = value.split(b',').map(|piece| (piece.bytes(), piece.at())).collect();
        assert_eq!(pieces, [(&b"4"[..], 8), (b"!x", 13), (b"0x10", 17)]);
        let last = value.split(b',').last().unwrap();
        assert_eq!(last.number(0, 16), Ok(16));
        let wrong = last.number(0, 15).unwrap_err();
        assert_eq!((wrong.at, wrong.detail.as_str()), (17, "expected a number from 0 to 15, `0x10` came"));
        let words: Vec<_> = Value::new(b" a  bc ", 0).words().map(|word| (word.bytes(), word.at())).collect();
        assert_eq!(words, [(&b"a"[..], 1), (b"bc", 4)]);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", "0x", "1a", "--1", "9999999999999999999999999999999999999", "1 2"] {
            let value = Value::new(text.as_bytes(), 0);
            assert!(value.number(i64::MIN, i64::MAX).is_err(), "{text}");
        }
        assert_eq!(Value::new(b"-5", 0).number(-10, 0), Ok(-5));
        assert_eq!(Value::new(b"18446744073709551615", 0).unsigned(u64::MAX), Ok(u64::MAX));
    }
}
