//! Where do the keys that sign live? In one file for the daemon's user only, replaced whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::replace::{replace, wipe};

/// Largest key file, bytes.
const BYTES_MAX: u64 = 1 << 20;

/// A file of secrets.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`, whether it is there or not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes; `None` where there is no file.
    ///
    /// # Errors
    ///
    /// As the system says; `PermissionDenied` for a file that others may read.
    pub fn read(&self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mode = file.metadata()?.mode();
        if mode & 0o077 != 0 {
            let detail = format!("others may read it (mode {:o}); chmod 600 it", mode & 0o777);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, detail));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Puts `bytes` in its place; they are on the disk when this returns.
    ///
    /// # Errors
    ///
    /// As the system says; the file is as it was then.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        replace(&self.path, bytes)
    }

    /// The same, and what was there before is overwritten where it was, as far as the file system writes in place: for
    /// what was in the open and is not to be any more.
    ///
    /// # Errors
    ///
    /// As the system says. Where only the overwriting failed, `bytes` are in their place all the same.
    pub fn write_over(&self, bytes: &[u8]) -> io::Result<()> {
        let before = match OpenOptions::new().write(true).open(&self.path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        replace(&self.path, bytes)?;
        before.map_or(Ok(()), |before| wipe(&before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_read_back_and_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::at(dir.path().join("keys.json"));
        assert!(file.read().unwrap().is_none());
        file.write(b"one").unwrap();
        file.write(b"two").unwrap();
        assert_eq!(**file.read().unwrap().unwrap(), *b"two");
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).unwrap();
        let other_name = dir.path().join("same file");
        std::fs::hard_link(file.path(), &other_name).unwrap();
        file.write_over(b"three").unwrap();
        assert_eq!(**file.read().unwrap().unwrap(), *b"three");
        assert_eq!(std::fs::read(&other_name).unwrap(), [0; 3], "what was there is gone");
        let nowhere = KeyFile::at(dir.path().join("no/such/keys.json"));
        assert!(nowhere.write(b"x").is_err());
    }
}
