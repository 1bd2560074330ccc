//! Where is the box key, and is it the right one?

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::kem::{AlgorithmId, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::SealError;
use super::envelope::derive;
use crate::store::{KeyFile, StoreError};

/// FIPS 203, table 3: the secret half has the public one in it, after the secret vector.
const PUBLIC_AT: usize = 1_152;
const PUBLIC_BYTES: usize = 1_184;

/// Which key: the first bytes of the SHA-256 of its public half.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    fn of(public: &[u8]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&Sha256::digest(public)[..8]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A public half: whoever has it can seal, and not open.
#[derive(Debug)]
pub struct Recipient {
    pub(super) key: EncapsulationKey<AlgorithmId>,
    id: KeyId,
}

impl Recipient {
    /// The key of these 1,184 bytes.
    ///
    /// # Errors
    ///
    /// [`SealError::Envelope`] for bytes that are none.
    pub fn of_bytes(public: &[u8]) -> Result<Self, SealError> {
        let key = EncapsulationKey::new(&ML_KEM_768, public)
            .map_err(|_| SealError::Envelope("the public key".to_owned()))?;
        Ok(Self { key, id: KeyId::of(public) })
    }

    /// The same in Base64.
    ///
    /// # Errors
    ///
    /// [`SealError::Envelope`].
    pub fn of_base64(text: &str) -> Result<Self, SealError> {
        let bytes = BASE64.decode(text.trim());
        Self::of_bytes(&bytes.map_err(|_| SealError::Envelope("the public key".to_owned()))?)
    }

    /// Which key it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

/// The box key.
pub struct BoxKey {
    pub(super) secret: DecapsulationKey<AlgorithmId>,
    recipient: Recipient,
    public: Vec<u8>,
    /// For [`Self::tag`].
    tags: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxKey({})", self.id())
    }
}

/// A box key as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What this is, for who finds it.
    jarvis: String,
    algorithm: String,
    id: String,
    /// Base64, 1,184 bytes.
    encapsulation_key: String,
    /// Base64, 2,400 bytes.
    decapsulation_key: Zeroizing<String>,
}

/// What is known of a box key where it is not: which it is.
#[derive(Serialize, Deserialize)]
struct Note {
    box_key: String,
}

const WHAT: &str = "box key: what this box seals can only be read with it";
const ALGORITHM: &str = "ML-KEM-768";

impl BoxKey {
    /// Another one.
    ///
    /// # Errors
    ///
    /// [`SealError::System`].
    pub fn generate() -> Result<Self, SealError> {
        let secret = DecapsulationKey::generate(&ML_KEM_768)?;
        let bytes = Zeroizing::new(secret.key_bytes()?.as_ref().to_vec());
        Self::of_bytes(&bytes).ok_or(SealError::System)
    }

    /// The key of these 2,400 bytes; `None`: they are none, or their halves do not fit.
    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let secret = DecapsulationKey::new(&ML_KEM_768, bytes).ok()?;
        let public = bytes.get(PUBLIC_AT..PUBLIC_AT + PUBLIC_BYTES)?.to_vec();
        let recipient = Recipient::of_bytes(&public).ok()?;
        // A wrong secret half gives another secret, no error (FIPS 203 6.3, implicit rejection).
        let (ciphertext, sent) = recipient.key.encapsulate().ok()?;
        let got = secret.decapsulate(ciphertext.as_ref().into()).ok()?;
        let tags = derive(bytes, b"jarvis box key 1: tags").ok()?;
        (sent.as_ref() == got.as_ref()).then_some(Self { secret, recipient, public, tags })
    }

    /// Which key it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.recipient.id
    }

    /// Its public half.
    #[must_use]
    pub const fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// Its public half in Base64, as [`Recipient::of_base64`] takes it.
    #[must_use]
    pub fn public_base64(&self) -> String {
        BASE64.encode(&self.public)
    }

    /// HMAC-SHA256 of `text` under a key that only this box has: equal texts have equal tags, and nobody else can tell which
    /// text a tag is of.
    #[must_use]
    pub fn tag(&self, text: &str) -> [u8; 32] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &*self.tags);
        let mut tag = [0; 32];
        tag.copy_from_slice(aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref());
        tag
    }

    /// As it is written to a file.
    ///
    /// # Errors
    ///
    /// [`SealError::System`].
    pub fn to_text(&self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let secret = Zeroizing::new(self.secret.key_bytes()?.as_ref().to_vec());
        let written = Written {
            jarvis: WHAT.to_owned(),
            algorithm: ALGORITHM.to_owned(),
            id: self.id().to_string(),
            encapsulation_key: self.public_base64(),
            decapsulation_key: Zeroizing::new(BASE64.encode(&*secret)),
        };
        serde_json::to_vec_pretty(&written).map(Zeroizing::new).map_err(|_| SealError::System)
    }

    /// A key as [`Self::to_text`] writes it.
    ///
    /// # Errors
    ///
    /// A phrase on what does not fit, without anything secret in it.
    pub fn of_text(text: &[u8]) -> Result<Self, String> {
        // What serde says of a wrong value may quote it.
        let written: Written = serde_json::from_slice(text)
            .map_err(|error| format!("no box key, see line {} column {}", error.line(), error.column()))?;
        if written.algorithm != ALGORITHM {
            return Err(format!("its algorithm is `{}`, expected {ALGORITHM}", written.algorithm));
        }
        let bytes = BASE64.decode(written.decapsulation_key.as_bytes()).map(Zeroizing::new);
        let key = bytes.ok().and_then(|bytes| Self::of_bytes(&bytes));
        let key = key.ok_or("its halves do not belong together")?;
        if key.id().to_string() != written.id || key.public_base64() != written.encapsulation_key {
            return Err(format!("it says that it is {}, and it is {}", written.id, key.id()));
        }
        Ok(key)
    }
}

/// Where a box keeps its key, and what it knows of it without it.
#[derive(Debug, Clone)]
pub struct BoxKeyFile {
    file: KeyFile,
    note: PathBuf,
}

impl BoxKeyFile {
    /// The key at `path`; `note` is beside what is sealed and tells which key that takes.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>, note: impl Into<PathBuf>) -> Self {
        Self { file: KeyFile::at(path), note: note.into() }
    }

    /// Where the key is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The box key, made where nothing was ever sealed here. `is_in_use`: something else knows of things that are sealed.
    ///
    /// # Errors
    ///
    /// [`SealError::Missing`], [`SealError::Wrong`], [`SealError::Damaged`]: nothing is changed then.
    pub fn open_or_make(&self, sealed_elsewhere: Option<KeyId>) -> Result<BoxKey, SealError> {
        let sealed = self.noted()?.or(sealed_elsewhere);
        if let Some(key) = self.open()? {
            if sealed.is_none() {
                self.write_note(&key)?;
            }
            return Ok(key);
        }
        if let Some(sealed) = sealed {
            return Err(SealError::Missing { path: self.path().to_owned(), sealed, note: self.note.clone() });
        }
        let key = BoxKey::generate()?;
        // The key first: a note without its key would keep the box from starting.
        self.file.write(&key.to_text()?).map_err(|error| StoreError::of_io(self.path(), &error))?;
        self.write_note(&key)?;
        Ok(key)
    }

    /// The box key; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`SealError::Wrong`], [`SealError::Damaged`], and as the system says.
    pub fn open(&self) -> Result<Option<BoxKey>, SealError> {
        let path = self.path();
        let text = self.file.read().map_err(|error| StoreError::of_io(path, &error))?;
        let Some(text) = text else { return Ok(None) };
        let damaged = |detail| SealError::Damaged { path: path.to_owned(), detail };
        let key = BoxKey::of_text(&text).map_err(damaged)?;
        match self.noted()? {
            Some(sealed) if sealed != key.id() => {
                Err(SealError::Wrong { path: path.to_owned(), found: key.id(), sealed })
            }
            _ => Ok(Some(key)),
        }
    }

    /// Which key has sealed things here.
    fn noted(&self) -> Result<Option<KeyId>, SealError> {
        let text = match std::fs::read(&self.note) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::of_io(&self.note, &error).into()),
        };
        let damaged =
            |detail: &str| StoreError::Damaged { path: self.note.clone(), detail: detail.to_owned() };
        let note: Note = serde_json::from_slice(&text).map_err(|_| damaged("no note of a box key"))?;
        id_of(&note.box_key).map(Some).ok_or_else(|| damaged("the box key's id has 16 digits").into())
    }

    fn write_note(&self, key: &BoxKey) -> Result<(), SealError> {
        let note =
            serde_json::to_vec(&Note { box_key: key.id().to_string() }).map_err(|_| SealError::System)?;
        KeyFile::at(&self.note).write(&note).map_err(|error| StoreError::of_io(&self.note, &error).into())
    }
}

fn id_of(text: &str) -> Option<KeyId> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
        .collect();
    bytes?.try_into().ok().map(KeyId)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> BoxKeyFile {
        BoxKeyFile::at(dir.join("stick.key"), dir.join("box.sealed-under"))
    }

    #[test]
    fn a_box_key_is_made_once_and_found_again() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let made = files(dir.path()).open_or_make(None).unwrap();
        let again = files(dir.path()).open_or_make(Some(made.id())).unwrap();
        assert_eq!(again.id(), made.id());
        assert_eq!(again.tag("ada"), made.tag("ada"));
        assert_ne!(again.tag("ada"), BoxKey::generate().unwrap().tag("ada"));
        let mode = std::fs::metadata(dir.path().join("stick.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let written = std::fs::read(dir.path().join("stick.key")).unwrap();
        assert!(!format!("{made:?}").contains("decapsulation") && written.len() > 3_000);
    }

    #[test]
    fn a_key_that_is_missing_wrong_or_damaged_is_told_and_no_other_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let key = files(dir.path()).open_or_make(None).unwrap();
        let path = dir.path().join("stick.key");
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let told = files(dir.path()).open_or_make(None).unwrap_err();
        assert!(matches!(&told, SealError::Missing { sealed, .. } if *sealed == key.id()), "{told}");
        assert!(told.to_string().contains("stick.key") && told.to_string().contains("put that key there"));
        assert!(!path.exists());
        // The note is gone, but something that is sealed is known.
        std::fs::remove_file(dir.path().join("box.sealed-under")).unwrap();
        let told = files(dir.path()).open_or_make(Some(key.id())).unwrap_err();
        assert!(matches!(told, SealError::Missing { .. }), "{told}");
        KeyFile::at(&path).write(&good).unwrap();
        assert_eq!(files(dir.path()).open_or_make(None).unwrap().id(), key.id());
        let other = BoxKey::generate().unwrap();
        KeyFile::at(&path).write(&other.to_text().unwrap()).unwrap();
        let told = files(dir.path()).open_or_make(None).unwrap_err();
        assert!(matches!(&told, SealError::Wrong { found, .. } if *found == other.id()), "{told}");
        let text = String::from_utf8(good).unwrap();
        let at = text.find("\"decapsulation_key\"").unwrap() + 1_000;
        for (cut, what) in [(text.len() / 2, "cut"), (0, "empty"), (at, "changed")] {
            let mut bytes = text.clone().into_bytes();
            if what == "changed" {
                bytes[cut] = if bytes[cut] == b'A' { b'B' } else { b'A' };
            } else {
                bytes.truncate(cut);
            }
            KeyFile::at(&path).write(&bytes).unwrap();
            let told = files(dir.path()).open_or_make(None).unwrap_err();
            assert!(matches!(&told, SealError::Damaged { .. }), "{what}: {told}");
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        files(dir.path()).open_or_make(None).unwrap();
        let path = dir.path().join("stick.key");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(files(dir.path()).open().unwrap_err().to_string().contains("chmod 600"));
    }
}
