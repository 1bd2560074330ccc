//! What comes next in these bytes? Numbers and pieces, or `None` where they end.

/// A place in bytes that may be cut off anywhere.
#[derive(Debug, Clone, Copy)]
pub(in crate::dpi::protocols) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(in crate::dpi::protocols) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(in crate::dpi::protocols) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(in crate::dpi::protocols) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    pub(in crate::dpi::protocols) fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    pub(in crate::dpi::protocols) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(in crate::dpi::protocols) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(in crate::dpi::protocols) fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(in crate::dpi::protocols) fn le16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(in crate::dpi::protocols) fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(in crate::dpi::protocols) fn le32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::dpi::protocols) fn le64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes before the next zero, which is read too.
    pub(in crate::dpi::protocols) fn until_zero(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.iter().position(|byte| *byte == 0)?;
        let taken = self.take(len)?;
        self.skip(1)?;
        Some(taken)
    }
}

/// Where `needle` begins in `bytes`; for banners, never for streams.
pub(in crate::dpi::protocols) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len().max(1)).position(|window| window == needle)
}

/// Whether `bytes` has `needle`, upper or lower case.
pub(in crate::dpi::protocols) fn has_word(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len().max(1)).any(|window| window.eq_ignore_ascii_case(needle))
}

/// Whether `bytes` begins with `word`, upper or lower case.
pub(in crate::dpi::protocols) fn starts_with_word(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// UTF-16, little-endian, as text in `buffer`: characters outside of ASCII that are not in the first plane become `?`.
pub(in crate::dpi::protocols) fn utf16<'b>(raw: &[u8], buffer: &'b mut [u8; 512]) -> &'b [u8] {
    let mut len = 0;
    for pair in raw.chunks_exact(2) {
        let unit = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        let symbol = char::from_u32(unit).unwrap_or('?');
        let Some(room) = buffer.get_mut(len..len + symbol.len_utf8()) else { break };
        len += symbol.encode_utf8(room).len();
    }
    buffer.get(..len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ends_where_the_bytes_end() {
        let mut at = Cursor::new(&[1, 2, 3, 4, b'a', 0, 9]);
        assert_eq!(at.be16(), Some(0x0102));
        assert_eq!(at.le16(), Some(0x0403));
        assert_eq!(at.until_zero(), Some(&b"a"[..]));
        assert_eq!(at.be32(), None);
        assert_eq!(at.u8(), Some(9));
        assert_eq!(at.u8(), None);
        assert_eq!(utf16(b"A\0\xe9\0\x00\xd8", &mut [0; 512]), "Aé?".as_bytes());
        assert!(has_word(b"220 my Ftp", b"FTP") && !has_word(b"", b"FTP"));
    }
}
