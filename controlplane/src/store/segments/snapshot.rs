//! What of a log can be copied while it is written, so that the copy is a log too?

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use super::directory::{Listing, head_path, holds_path, segment_path, stub_path};
use super::walk::{Item, Walk};
use crate::store::StoreError;

/// A file of a log.
pub struct Part {
    /// Its name in the log's directory.
    pub name: String,
    /// Its bytes; there may be more than are to be copied.
    pub bytes: Box<dyn Read>,
    /// So many are to be copied.
    pub len_bytes: u64,
}

/// The files of the log in `directory`, opened: finished segments whole, the last one up to its last whole block. Indexes are
/// made again where they are missing.
///
/// # Errors
///
/// [`StoreError`].
pub fn snapshot(directory: &Path) -> Result<Vec<Part>, StoreError> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    // What is surely on the disk, before the segments that have it; stubs after the segments that they stand for.
    for path in [head_path(directory), holds_path(directory)] {
        parts.extend(small(&path)?);
    }
    let (listing, _) = Listing::read_past_damage(directory)?;
    let last = listing.segments.last().copied();
    for sequence in listing.segments {
        let path = segment_path(directory, sequence);
        let Some((file, len)) = opened(&path)? else { continue };
        let len_bytes = if last == Some(sequence) { whole(&path)?.min(len) } else { len };
        parts.extend(named(&path, Box::new(file), len_bytes));
    }
    let (listing, _) = Listing::read_past_damage(directory)?;
    for stub in &listing.stubs {
        parts.extend(small(&stub_path(directory, stub.first_segment))?);
    }
    Ok(parts)
}

/// Bytes up to the end of the last whole block.
fn whole(path: &Path) -> Result<u64, StoreError> {
    let mut walk = Walk::open(path, false)?;
    let mut end = walk.len_bytes();
    while let Some(item) = walk.next()? {
        match item {
            Item::Block(block) => end = block.offset + block.header.len_bytes(),
            Item::Flaw(flaw) if flaw.is_tail => return Ok(flaw.offset),
            Item::Flaw(flaw) => end = flaw.offset + flaw.len_bytes,
        }
    }
    Ok(end)
}

/// `None`: retention has taken it.
fn opened(path: &Path) -> Result<Option<(File, u64)>, StoreError> {
    let failed = |error: std::io::Error| StoreError::of_io(path, &error);
    match File::open(path) {
        Ok(file) => {
            let len = file.metadata().map_err(failed)?.len();
            Ok(Some((file, len)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// A file that is replaced whole, as it is now.
fn small(path: &Path) -> Result<Option<Part>, StoreError> {
    let Some((mut file, _)) = opened(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| StoreError::of_io(path, &error))?;
    let len_bytes = bytes.len() as u64;
    Ok(named(path, Box::new(Cursor::new(bytes)), len_bytes))
}

fn named(path: &Path, bytes: Box<dyn Read>, len_bytes: u64) -> Option<Part> {
    let name = path.file_name()?.to_str()?.to_owned();
    Some(Part { name, bytes, len_bytes })
}
