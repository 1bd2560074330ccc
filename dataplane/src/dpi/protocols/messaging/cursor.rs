//! How are numbers and strings read one after the other, out of bytes that may end too early?
//!
//! Every read says `None` where the bytes do not suffice; nothing is copied.

/// A place in bytes that moves forward as they are read.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    /// Goes over `len` bytes.
    pub fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, big-endian.
    pub fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    pub fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn be64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Two bytes, little-endian.
    pub fn le16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn le32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A string with its length before it in one byte.
    pub fn string8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// A string with its length before it in two bytes, big-endian.
    pub fn string16(&mut self) -> Option<&'a [u8]> {
        let len = self.be16()?;
        self.take(usize::from(len))
    }

    /// A string with its length before it in four bytes, big-endian.
    pub fn string32(&mut self) -> Option<&'a [u8]> {
        let len = self.be32()?;
        self.take(len as usize)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*taken)
    }
}

/// Whether `needle` stands somewhere in `hay`.
#[must_use]
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    position(hay, needle).is_some()
}

/// Where `needle` stands in `hay`.
#[must_use]
pub fn position(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = hay.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == first)) {
        let start = from + at;
        if hay.get(start..)?.starts_with(needle) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

/// The value of the XML attribute `name` (with its `=`) in `text`.
#[must_use]
pub fn attribute<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let after = text.get(position(text, name)? + name.len()..)?;
    let (quote, rest) = after.split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let end = rest.iter().position(|byte| byte == quote)?;
    rest.get(..end)
}

/// The value of a string member `"name"` of JSON text, as it stands there.
#[must_use]
pub fn json_text<'a>(text: &'a [u8], quoted_name: &[u8]) -> Option<&'a [u8]> {
    let after = text.get(position(text, quoted_name)? + quoted_name.len()..)?;
    let after = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = after.iter().position(|byte| *byte == b'"')?;
    after.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_where_the_bytes_end() {
        let mut cursor = Cursor::new(&[1, 0, 2, b'h', b'i', 9]);
        assert_eq!(cursor.u8(), Some(1));
        assert_eq!(cursor.string16(), Some(&b"hi"[..]));
        assert_eq!(cursor.be16(), None);
        assert_eq!(cursor.rest(), [9]);
        assert_eq!(cursor.string32(), None);
    }

    #[test]
    fn texts_are_found() {
        assert_eq!(position(b"aab", b"ab"), Some(1));
        assert!(!contains(b"aa", b"ab"));
        assert_eq!(attribute(b"<a to='x.org' b=\"\">", b"to="), Some(&b"x.org"[..]));
        assert_eq!(json_text(b"{\"version\" : \"2.1\"}", b"\"version\""), Some(&b"2.1"[..]));
        assert_eq!(json_text(b"{\"version\": 2}", b"\"version\""), None);
    }
}
