//! How is an archive written beside a daemon that goes on writing?

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::{
    BOX_KEY, ENTITIES, FILES, FORMAT, KEYS, MANIFEST, Manifest, Packed, Protection, SEGMENTS, SIGNATURE,
    Signed, hex,
};
use crate::store::segments::{Kind, snapshot};
use crate::store::{Entities, StoreError};

/// What goes into an archive.
pub struct Content<'a> {
    /// Accounts, policies and so on.
    pub entities: &'a Entities,
    /// The directory of all logs.
    pub segments: &'a Path,
    /// The box's own keys, where they are sealed.
    pub keys: Option<&'a Path>,
    /// The box key, sealed.
    pub box_key: Option<&'a [u8]>,
    /// How.
    pub protection: Protection,
    /// Which box key it is.
    pub box_key_id: String,
    /// Further files, for who restores; those that are not there are left out.
    pub files: &'a [PathBuf],
    /// The daemon's version.
    pub version: &'a str,
    /// Seconds since 1970.
    pub created_s: u64,
    /// Signs the manifest.
    pub sign: &'a dyn Fn(&[u8]) -> Signed,
    /// Told how many bytes of how many are done; `false` ends it.
    pub goes_on: &'a dyn Fn(u64, u64) -> bool,
}

/// Writes an archive to `out`, with `aside` for a copy of the entities that goes again.
///
/// # Errors
///
/// [`StoreError`]; what was written is of no use then. Ending it by request is [`StoreError::Failing`].
pub fn write(content: &Content<'_>, out: &Path, aside: &Path) -> Result<Manifest, StoreError> {
    content.entities.copy_to(aside)?;
    let written = write_with(content, out, aside);
    let _ = std::fs::remove_file(aside);
    written
}

fn write_with(content: &Content<'_>, out: &Path, entities: &Path) -> Result<Manifest, StoreError> {
    let open = |path: &Path| {
        let file = File::open(path).map_err(|error| StoreError::of_io(path, &error))?;
        let len = file.metadata().map_err(|error| StoreError::of_io(path, &error))?.len();
        Ok::<_, StoreError>((file, len))
    };
    // All files are opened first: what retention removes meanwhile is still read.
    let mut parts: Vec<(String, Box<dyn Read>, u64)> = Vec::new();
    let (file, len) = open(entities)?;
    parts.push((ENTITIES.to_owned(), Box::new(file), len));
    for kind in Kind::ALL {
        for part in snapshot(&content.segments.join(kind.name()))? {
            let name = format!("{SEGMENTS}/{}/{}", kind.name(), part.name);
            parts.push((name, part.bytes, part.len_bytes));
        }
    }
    if let Some(keys) = content.keys {
        let (file, len) = open(keys)?;
        parts.push((KEYS.to_owned(), Box::new(file), len));
    }
    if let Some(key) = content.box_key {
        parts.push((BOX_KEY.to_owned(), Box::new(io::Cursor::new(key.to_vec())), key.len() as u64));
    }
    for path in content.files {
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some(name), true) = (name, path.is_file()) {
            let (file, len) = open(path)?;
            parts.push((format!("{FILES}/{name}"), Box::new(file), len));
        }
    }

    let failed = |error: io::Error| StoreError::of_io(out, &error);
    let total: u64 = parts.iter().map(|(_, _, len)| len).sum();
    let file = private(out).map_err(failed)?;
    let mut archive = Builder::new(io::BufWriter::with_capacity(1 << 20, file));
    let (mut files, mut done) = (Vec::new(), 0);
    for (path, mut bytes, len) in parts {
        let mut part =
            Part { bytes: &mut bytes, left: len, hash: Sha256::new(), done, total, goes_on: content.goes_on };
        let mut header = header(len, content.created_s);
        archive.append_data(&mut header, &path, &mut part).map_err(failed)?;
        let sha256 = hex(&part.hash.finalize());
        done += len;
        files.push(Packed { path, bytes: len, sha256 });
    }
    let manifest = Manifest {
        format: FORMAT,
        version: content.version.to_owned(),
        created_s: content.created_s,
        box_key: content.box_key_id.clone(),
        box_key_protection: content.protection,
        files,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(error.into()))?;
    let signed = serde_json::to_vec_pretty(&(content.sign)(&text)).map_err(|error| failed(error.into()))?;
    for (path, bytes) in [(MANIFEST, &text), (SIGNATURE, &signed)] {
        let mut header = header(bytes.len() as u64, content.created_s);
        archive.append_data(&mut header, path, bytes.as_slice()).map_err(failed)?;
    }
    let file =
        archive.into_inner().and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error));
    file.and_then(|file| file.sync_all()).map_err(failed)?;
    Ok(manifest)
}

fn header(len: u64, created_s: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_mtime(created_s);
    header.set_size(len);
    header
}

fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// So many bytes of a file that may have grown, hashed on the way.
struct Part<'a> {
    bytes: &'a mut dyn Read,
    left: u64,
    hash: Sha256,
    done: u64,
    total: u64,
    goes_on: &'a dyn Fn(u64, u64) -> bool,
}

impl Read for Part<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        if !(self.goes_on)(self.done, self.total) {
            return Err(io::Error::other("it was ended by request"));
        }
        let wanted = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let len = self.bytes.read(&mut out[..wanted])?;
        if len == 0 {
            return Err(io::Error::other("a file became shorter while it was copied"));
        }
        self.hash.update(&out[..len]);
        self.left -= len as u64;
        self.done += len as u64;
        Ok(len)
    }
}
