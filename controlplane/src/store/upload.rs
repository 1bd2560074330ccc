//! What clients send that does not fit into memory: files of their own, gone with whoever holds them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;

/// A directory of uploads. What an earlier run left there goes.
#[derive(Debug)]
pub struct Uploads {
    directory: PathBuf,
    next: AtomicU64,
}

/// One file, removed when this is dropped.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: File,
    len_bytes: u64,
}

impl Uploads {
    /// Uses `directory`, which is the daemon's own, and is made with the first upload.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        // What is left of a run that was killed belongs to nobody.
        let _ = std::fs::remove_dir_all(&directory);
        Self { directory, next: AtomicU64::new(0) }
    }

    /// An empty file.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the file system makes none.
    pub fn begin(&self) -> Result<Upload, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{number}.upload"));
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path));
        let file = made.map_err(|error| StoreError::of_io(&path, &error))?;
        Ok(Upload { path, file, len_bytes: 0 })
    }
}

impl Upload {
    /// Adds to it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the file is of no use then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|error| StoreError::of_io(&self.path, &error))?;
        self.len_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much was written, bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The next start removes what cannot be removed now.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_their_owners_and_go_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("uploads");
        let uploads = Uploads::at(&place);
        let mut one = uploads.begin().unwrap();
        let other = uploads.begin().unwrap();
        one.write(b"ab").unwrap();
        one.write(b"c").unwrap();
        assert_eq!((std::fs::read(one.path()).unwrap().as_slice(), one.len_bytes()), (&b"abc"[..], 3));
        drop(one);
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
        std::mem::forget(other);
        let _again = Uploads::at(&place);
        assert!(!place.exists(), "what a killed run left is gone");
    }
}
