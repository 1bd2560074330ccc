//! Is a file on a list of known ones? Hashes of files as they go by, and lists of them.

use std::path::Path;

use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::rule::FileHash;

/// Bytes of the file of a list: two million hashes of the longest kind.
const LIST_BYTES_MAX: u64 = 128 << 20;

/// A hash; shorter ones are filled up with zeros.
pub type Hash = [u8; 32];

/// Hashes of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct HashList {
    /// In order.
    hashes: Box<[Hash]>,
}

/// Why a list is none.
#[derive(Debug, thiserror::Error)]
pub enum BadList {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// A line is no hash of this kind.
    #[error("line {0} is no such hash")]
    Line(usize),
}

impl HashList {
    /// Reads a file that has a hash a line; what follows a hash behind a blank does not count, as `md5sum` and the like
    /// write it.
    ///
    /// # Errors
    ///
    /// [`BadList`].
    pub fn read(path: &Path, kind: FileHash) -> Result<Self, BadList> {
        Self::of(&bounded(path, LIST_BYTES_MAX)?, kind)
    }

    /// The list that a file's text is.
    fn of(text: &[u8], kind: FileHash) -> Result<Self, BadList> {
        let mut hashes = Vec::new();
        for (place, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            hashes.push(hash(word, kind).ok_or(BadList::Line(place + 1))?);
        }
        hashes.sort_unstable();
        hashes.dedup();
        Ok(Self { hashes: hashes.into() })
    }

    /// Whether a hash is on it.
    #[must_use]
    pub fn has(&self, hash: &Hash) -> bool {
        self.hashes.binary_search(hash).is_ok()
    }
}

/// What a file of a known kind and bound holds; a device, which has no end, is none.
///
/// # Errors
///
/// It cannot be read, is no file, or is longer.
pub(super) fn bounded(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() || about.len() > bytes_max {
        return Err(std::io::Error::other(format!("expected a file of at most {bytes_max} bytes")));
    }
    std::fs::read(path)
}

/// A hash as it is written.
pub(super) fn hash(word: &[u8], kind: FileHash) -> Option<Hash> {
    let len = match kind {
        FileHash::Md5 => 16,
        FileHash::Sha1 => 20,
        FileHash::Sha256 => 32,
    };
    if word.len() != 2 * len {
        return None;
    }
    let mut hash = [0; 32];
    for (place, pair) in hash.iter_mut().zip(word.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
        *place = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(hash)
}

/// Kinds of hashes that rules ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HashKinds(u8);

impl HashKinds {
    /// These and one more.
    #[must_use]
    pub const fn and(self, kind: FileHash) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// These and others.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn has(self, kind: FileHash) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

/// A file that is hashed as it goes by.
#[derive(Debug)]
pub struct Hashing {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
}

impl Hashing {
    /// A file begins; `None`: nobody asks for its hashes.
    #[must_use]
    pub fn of(kinds: HashKinds) -> Option<Box<Self>> {
        (!kinds.is_empty()).then(|| {
            Box::new(Self {
                md5: kinds.has(FileHash::Md5).then(Md5::new),
                sha1: kinds.has(FileHash::Sha1).then(Sha1::new),
                sha256: kinds.has(FileHash::Sha256).then(Sha256::new),
            })
        })
    }

    /// Its next bytes.
    pub fn data(&mut self, bytes: &[u8]) {
        let Self { md5, sha1, sha256 } = self;
        md5.iter_mut().for_each(|hash| hash.update(bytes));
        sha1.iter_mut().for_each(|hash| hash.update(bytes));
        sha256.iter_mut().for_each(|hash| hash.update(bytes));
    }

    /// All of it was seen.
    #[must_use]
    pub fn end(self) -> Vec<(FileHash, Hash)> {
        let filled = |bytes: &[u8]| {
            let mut hash = [0; 32];
            hash.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            hash
        };
        let md5 = self.md5.map(|hash| (FileHash::Md5, filled(&hash.finalize())));
        let sha1 = self.sha1.map(|hash| (FileHash::Sha1, filled(&hash.finalize())));
        let sha256 = self.sha256.map(|hash| (FileHash::Sha256, filled(&hash.finalize())));
        [md5, sha1, sha256].into_iter().flatten().collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    const MD5_OF_ABC: &str = "900150983cd24fb0d6963f7d28e17f72";
    const SHA1_OF_ABC: &str = "A9993E364706816ABA3E25717850C26C9CD0D89D";

    #[test]
    fn files_are_found_on_lists() {
        let kinds = HashKinds::default().and(FileHash::Md5).and(FileHash::Sha1);
        let mut hashing = Hashing::of(kinds).unwrap();
        hashing.data(b"a");
        hashing.data(b"bc");
        let told = hashing.end();
        let list = |text: &str, kind| HashList::of(text.as_bytes(), kind).unwrap();
        let md5 = list(&format!("# known\n\n{MD5_OF_ABC}  abc.txt\r\n"), FileHash::Md5);
        let sha1 = list(SHA1_OF_ABC, FileHash::Sha1);
        assert_eq!(told.len(), 2);
        assert!(md5.has(&told[0].1) && sha1.has(&told[1].1));
        assert!(!md5.has(&told[1].1) && !list("", FileHash::Md5).has(&told[0].1));
        assert!(Hashing::of(HashKinds::default()).is_none());
    }

    #[test]
    fn what_is_no_hash_is_told_with_its_line() {
        for text in ["# x\nabc", "\nzz0150983cd24fb0d6963f7d28e17f72", "\n+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1"] {
            assert!(matches!(HashList::of(text.as_bytes(), FileHash::Md5), Err(BadList::Line(2))), "{text}");
        }
        assert!(HashList::of(MD5_OF_ABC.as_bytes(), FileHash::Sha256).is_err());
        assert!(HashList::read(Path::new("/nowhere/at/all"), FileHash::Md5).is_err());
    }
}
