//! What is remembered beside segments? Small files of one line: a checksum and JSON, replaced whole or not at all.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::StoreError;
use crate::store::replace::replace;

/// Longest note, bytes.
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// Hexadecimal digits of the checksum, and the space behind it.
const CHECKSUM_CHARS: usize = 9;

/// Puts a note in its place; it is on the disk when this returns.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let failed = |error: &io::Error| StoreError::of_io(path, error);
    let json = serde_json::to_string(value).map_err(|error| failed(&io::Error::other(error)))?;
    let line = format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()));
    replace(path, line.as_bytes()).map_err(|error| failed(&error))
}

/// A note; `None` where there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::of_io(path, &error)),
    };
    let mut text = String::new();
    file.take(NOTE_BYTES_MAX).read_to_string(&mut text).map_err(|error| StoreError::of_io(path, &error))?;
    let damaged = |detail: String| StoreError::Damaged { path: path.to_owned(), detail };
    let (checksum, json) = text
        .trim_end_matches('\n')
        .split_at_checked(CHECKSUM_CHARS)
        .ok_or_else(|| damaged("it is too short".to_owned()))?;
    if checksum != format!("{:08x} ", crc32c::crc32c(json.as_bytes())) {
        return Err(damaged("its checksum is wrong".to_owned()));
    }
    serde_json::from_str(json).map(Some).map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_or_told_to_be_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note");
        assert_eq!(read::<Vec<u64>>(&path).unwrap(), None);
        write(&path, &vec![1_u64, 2]).unwrap();
        assert_eq!(read(&path).unwrap(), Some(vec![1_u64, 2]));
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() - 1 {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(matches!(read::<Vec<u64>>(&path), Err(StoreError::Damaged { .. })), "byte {at}");
        }
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(read::<Vec<u64>>(&path), Err(StoreError::Damaged { .. })));
    }
}
