//! How does what is in an archive come back, all of it or nothing?
//!
//! All is unpacked and looked at beside what is there, then one rename makes it valid, then it is moved to its places. Whoever
//! is killed before that rename has changed nothing; whoever is killed after it is finished by the next start.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    BOX_KEY, ENTITIES, FILES, FORMAT, KEYS, MANIFEST, Manifest, SEGMENTS, SIGNATURE, Signed, hex, is_known,
    message,
};
use crate::store::replace::sync;
use crate::store::{Entities, StoreError};

/// Longest manifest, signature, key file or sealed box key, bytes.
const SMALL_BYTES_MAX: u64 = 64 << 20;

/// Why an archive is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive is none, or not what was written.
    #[error("{} is no backup that can be restored: {detail}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An archive whose files are beside what is there, and are what its manifest says.
#[derive(Debug)]
pub struct Unpacked {
    state: PathBuf,
    name: String,
    /// Where they are.
    directory: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Who signed that.
    pub signed: Signed,
    /// What was signed.
    pub message: Vec<u8>,
    /// The key file in it.
    pub keys: Option<Vec<u8>>,
    /// The box key in it, sealed.
    pub box_key: Option<Vec<u8>>,
}

/// What was moved to its place, and where that is which was there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Names in the state directory.
    pub names: Vec<String>,
    /// Where what was there before is now; `None`: nothing was.
    pub before: Option<PathBuf>,
}

/// Unpacks `archive` beside what the box `name` has in `state`. Nothing of that changes.
///
/// # Errors
///
/// [`RestoreError`]; what was unpacked is removed again.
pub fn unpack(archive: &Path, state: &Path, name: &str) -> Result<Unpacked, RestoreError> {
    let directory = state.join(format!("{name}.restore.new"));
    let unpacked = unpack_to(archive, state, name, &directory);
    if unpacked.is_err() {
        let _ = std::fs::remove_dir_all(&directory);
    }
    unpacked
}

fn unpack_to(archive: &Path, state: &Path, name: &str, directory: &Path) -> Result<Unpacked, RestoreError> {
    let wrong = |detail: String| RestoreError::Archive { path: archive.to_owned(), detail };
    // What the reader of archives says of one that is none repeats its bytes.
    let unreadable = |error: io::Error| {
        let said: String = error.to_string().chars().take(200).collect();
        wrong(format!("it is cut off, damaged or something else: {}", said.escape_debug()))
    };
    let _ = std::fs::remove_dir_all(directory);
    make(directory)?;
    let mut seen: HashMap<String, (u64, String)> = HashMap::new();
    let mut tar =
        tar::Archive::new(io::BufReader::with_capacity(1 << 20, File::open(archive).map_err(unreadable)?));
    for entry in tar.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap_or_default();
        if !is_known(&path) || entry.header().entry_type() != tar::EntryType::Regular {
            return Err(wrong(format!("it has `{}`, which no backup has", path.escape_default())));
        }
        let sum = write(&mut entry, &directory.join(&path))?;
        if seen.insert(path.clone(), sum).is_some() {
            return Err(wrong(format!("it has {path} twice")));
        }
    }
    let small = |name: &str| small(&directory.join(name));
    let text = small(MANIFEST)?
        .ok_or_else(|| wrong("it has no manifest: it is cut off, or something else".to_owned()))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| wrong(format!("its manifest: {error}")))?;
    if manifest.format != FORMAT {
        return Err(wrong(format!("its format is {}, this version knows {FORMAT}", manifest.format)));
    }
    let signed = small(SIGNATURE)?.ok_or_else(|| wrong("its manifest has no signature".to_owned()))?;
    let signed = serde_json::from_slice(&signed).map_err(|error| wrong(format!("its signature: {error}")))?;
    for packed in &manifest.files {
        match seen.remove(&packed.path) {
            None => return Err(wrong(format!("{} is missing", packed.path))),
            Some((bytes, sha256)) if (bytes, &sha256) != (packed.bytes, &packed.sha256) => {
                return Err(wrong(format!("{} is damaged: it is not what the manifest says", packed.path)));
            }
            Some(_) => {}
        }
    }
    if let Some(other) = seen.keys().find(|path| ![MANIFEST, SIGNATURE].contains(&path.as_str())) {
        return Err(wrong(format!("{other} is not in its manifest")));
    }
    // A file of entities that does not open would be found at the next start only.
    Entities::open(directory.join(ENTITIES)).map_err(|error| wrong(error.to_string()))?;
    Ok(Unpacked {
        state: state.to_owned(),
        name: name.to_owned(),
        keys: small(KEYS)?,
        box_key: small(BOX_KEY)?,
        directory: directory.to_owned(),
        message: message(&text),
        manifest,
        signed,
    })
}

impl Unpacked {
    /// The directory of logs in it.
    #[must_use]
    pub fn segments(&self) -> PathBuf {
        self.directory.join(SEGMENTS)
    }

    /// Puts all in its place; `others` are further files of the state directory, by their names in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; where the rename that makes it valid was done, the next start goes on.
    pub fn place(self, others: &[(String, Vec<u8>)]) -> Result<Placed, StoreError> {
        let Self { state, name, directory, .. } = &self;
        let failed = |error: io::Error| StoreError::of_io(directory, &error);
        for left_out in [MANIFEST, SIGNATURE, BOX_KEY] {
            let _ = std::fs::remove_file(directory.join(left_out));
        }
        let places = [
            (ENTITIES, format!("{name}.redb")),
            (SEGMENTS, format!("{name}.segments")),
            (KEYS, format!("{name}.keys.json")),
            (FILES, format!("{name}.restored-files")),
        ];
        for (packed, place) in places {
            match std::fs::rename(directory.join(packed), directory.join(place)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        for (name, bytes) in others {
            write(&mut bytes.as_slice(), &directory.join(name))?;
        }
        sync(directory).map_err(failed)?;
        std::fs::rename(directory, ready(state, name)).map_err(failed)?;
        sync(state).map_err(failed)?;
        finish(state, name)
    }

    /// Forgets what was unpacked.
    pub fn discard(self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn ready(state: &Path, name: &str) -> PathBuf {
    state.join(format!("{name}.restore.ready"))
}

/// Ends a restoring that was killed; nothing where there is none.
///
/// # Errors
///
/// [`StoreError`].
pub fn finish(state: &Path, name: &str) -> Result<Placed, StoreError> {
    let directory = ready(state, name);
    let failed = |error: io::Error| StoreError::of_io(&directory, &error);
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Placed::default()),
        Err(error) => return Err(failed(error)),
    };
    let before = state.join(format!("{name}.before-restore"));
    let mut placed = Placed::default();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let place = state.join(entry.file_name());
        if place.symlink_metadata().is_ok() {
            make(&before)?;
            let aside = before.join(entry.file_name());
            // Of an earlier restoring.
            let _ =
                if aside.is_dir() { std::fs::remove_dir_all(&aside) } else { std::fs::remove_file(&aside) };
            std::fs::rename(&place, aside).map_err(failed)?;
            placed.before = Some(before.clone());
        }
        std::fs::rename(entry.path(), &place).map_err(failed)?;
        placed.names.push(entry.file_name().to_string_lossy().into_owned());
    }
    std::fs::remove_dir(&directory).map_err(failed)?;
    sync(state).map_err(failed)?;
    placed.names.sort();
    Ok(placed)
}

fn make(directory: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| StoreError::of_io(directory, &error))
}

/// Writes a file with all that is above it; its length and SHA-256.
fn write(bytes: &mut dyn Read, path: &Path) -> Result<(u64, String), StoreError> {
    if let Some(parent) = path.parent() {
        make(parent)?;
    }
    let mut copy = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let (mut hash, mut len, mut buffer) = (Sha256::new(), 0, vec![0; 256 << 10]);
        loop {
            let got = bytes.read(&mut buffer)?;
            if got == 0 {
                break;
            }
            hash.update(&buffer[..got]);
            file.write_all(&buffer[..got])?;
            len += got as u64;
        }
        file.sync_all()?;
        Ok((len, hex(&hash.finalize())))
    };
    copy().map_err(|error: io::Error| StoreError::of_io(path, &error))
}

fn small(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |error: io::Error| StoreError::of_io(path, &error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(SMALL_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}
