//! How do checksums follow from a few changed bytes, at every layer around them?
//!
//! Whole sums are [`crate::parse::checksum`]'s; here changes add up, for one change concerns several sums.

/// A change of bytes under a ones' complement sum (RFC 1624 3, equation 3: `~old + new`, folded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Delta(u32);

impl Delta {
    /// The change from `old` to `new`, of equal and even length, at an even distance from where the sum starts.
    pub(super) fn between(old: &[u8], new: &[u8]) -> Self {
        let mut sum = 0;
        for (old, new) in old.chunks_exact(2).zip(new.chunks_exact(2)) {
            sum += u32::from(!u16::from_be_bytes([old[0], old[1]]))
                + u32::from(u16::from_be_bytes([new[0], new[1]]));
        }
        Self(u32::from(fold(sum)))
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(u32::from(fold(self.0 + other.0)))
    }

    /// The same change for a sum that starts an odd number of bytes away (RFC 1071 2 B).
    pub(super) fn swapped(self) -> Self {
        Self(u32::from((self.0 as u16).swap_bytes()))
    }

    /// The checksum after the change.
    pub(super) fn apply(self, checksum: u16) -> u16 {
        !fold(u32::from(!checksum) + self.0)
    }
}

/// Bytes under change, and the sum of all changes so far for the checksums around them.
pub(super) struct Editor<'a> {
    bytes: &'a mut [u8],
    total: Delta,
}

impl<'a> Editor<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, total: Delta::default() }
    }

    /// Every change so far.
    pub(super) fn total(&self) -> Delta {
        self.total
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Writes `new` at `at`. Where the bytes end before it, nothing is written: callers have looked.
    pub(super) fn replace(&mut self, at: usize, new: &[u8]) -> Delta {
        let Some(old) = self.bytes.get_mut(at..at + new.len()) else { return Delta::default() };
        let delta = Delta::between(old, new);
        old.copy_from_slice(new);
        self.total = self.total.and(delta);
        delta
    }

    /// Mends the checksum at `at`.
    pub(super) fn mend(&mut self, at: usize, delta: Delta) {
        if let Some(old) = word(self.bytes, at) {
            self.replace(at, &delta.apply(old).to_be_bytes());
        }
    }

    /// Mends a UDP checksum: zero says that there is none, and a sum of zero is sent as all ones (RFC 768).
    pub(super) fn mend_udp(&mut self, at: usize, delta: Delta) {
        if let Some(old) = word(self.bytes, at).filter(|old| *old != 0) {
            self.replace(at, &nonzero(delta.apply(old)).to_be_bytes());
        }
    }
}

/// The 16-bit word at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// A UDP checksum as it is sent.
pub(super) const fn nonzero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
