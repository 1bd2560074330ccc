//! How are numbers and strings read one after the other, out of bytes that may end anywhere?
//!
//! Every read says `None` where the bytes do not suffice, and then has read nothing or is of no more use; nothing is
//! copied.

/// A place in bytes that moves forward as they are read.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    /// Goes over `len` bytes.
    pub fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, big-endian.
    pub fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three bytes, big-endian.
    pub fn be24(&mut self) -> Option<u32> {
        self.array().map(|[high, middle, low]| u32::from_be_bytes([0, high, middle, low]))
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

    /// Eight bytes, little-endian.
    pub fn le64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of QUIC: two bits say how many bytes it has (RFC 9000 16).
    pub fn varint(&mut self) -> Option<u64> {
        let first = *self.rest.first()?;
        let bytes = self.take(1 << (first >> 6))?;
        let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Some(number & (u64::MAX >> (66 - 8 * bytes.len().min(8))))
    }

    /// Bytes below their length in one byte.
    pub fn vec8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// Bytes below their length in two bytes, big-endian.
    pub fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.be16()?;
        self.take(usize::from(len))
    }

    /// Bytes below their length in three bytes, big-endian.
    pub fn vec24(&mut self) -> Option<&'a [u8]> {
        let len = self.be24()?;
        self.take(len as usize)
    }

    /// Bytes below their length in four bytes, big-endian.
    pub fn vec32(&mut self) -> Option<&'a [u8]> {
        let len = self.be32()?;
        self.take(len as usize)
    }

    /// Bytes before the next zero, which is read too.
    pub fn until_zero(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.iter().position(|byte| *byte == 0)?;
        let taken = self.take(len)?;
        self.skip(1)?;
        Some(taken)
    }
}

/// The big-endian pairs of a vector; an odd byte at its end is no pair.
pub fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> + Clone + '_ {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ends_where_the_bytes_end() {
        let mut at = Cursor::new(&[1, 2, 3, 4, b'a', 0, 0, 2, b'h', b'i', 9]);
        assert_eq!((at.be16(), at.le16()), (Some(0x0102), Some(0x0403)));
        assert_eq!(at.until_zero(), Some(&b"a"[..]));
        assert_eq!(at.vec16(), Some(&b"hi"[..]));
        assert_eq!((at.be32(), at.vec32(), at.until_zero()), (None, None, None));
        assert_eq!((at.u8(), at.is_empty(), at.u8()), (Some(9), true, None));
        assert_eq!(Cursor::new(&[0, 1, 2]).be24(), Some(0x0102));
        // RFC 9000 A.1.
        let mut numbers =
            Cursor::new(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c, 0x9d, 0x7f, 0x3e, 0x7d, 0x25]);
        assert_eq!(numbers.varint(), Some(151_288_809_941_952_652));
        assert_eq!((numbers.varint(), numbers.varint()), (Some(494_878_333), Some(37)));
        assert_eq!(Cursor::new(&[0xc2, 0x19]).varint(), None);
    }
}
