//! How is a file put in the place of another, whole or not at all, and for good?

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Puts `bytes` at `path` in one step, for the daemon's user only; they are on the disk when this returns. On the way they
/// are in a file beside it that ends in `.new`.
///
/// # Errors
///
/// As the system says; what was at `path` is as it was then.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let placed = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&new, path));
    if placed.is_err() {
        let _ = std::fs::remove_file(&new);
        return placed;
    }
    sync(path.parent().unwrap_or(Path::new(".")))
}

/// Overwrites all of a file that is open for writing. On file systems that never write in place (btrfs, ZFS, flash under
/// all of them) copies may stay: keys are sealed for that reason.
///
/// # Errors
///
/// As the system says.
pub(super) fn wipe(file: &File) -> io::Result<()> {
    let zeros = [0; 4 << 10];
    let len = file.metadata()?.len();
    let mut at = 0;
    while at < len {
        let part = (len - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..part as usize], at)?;
        at += part;
    }
    file.sync_all()
}

/// Makes names in a directory lasting: without it they may be the old ones after a loss of power.
///
/// # Errors
///
/// As the system says.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    let directory = if directory == Path::new("") { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}
