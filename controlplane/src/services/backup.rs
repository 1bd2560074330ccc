//! Where is a backup made, and what may be in it in the open?

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::Services;
use super::auth::KeyOrigin;
use super::auth::secret::name;
use super::job_board::{JobError, JobView, Progress};
use crate::store::backup::{Content, Protection, Signed, message, write};
use crate::store::sealed::{BoxKey, Recipient, SealError, seal_with_passphrase};
use crate::store::{Entities, StoreError};

/// Shortest passphrase, characters: it is all that keeps the box key from whoever has the file.
const PASSPHRASE_CHARS_MIN: usize = 15;

/// What the box key is sealed as for a recipient.
pub const FOR_RECIPIENT: &str = "the box key of a backup";

/// Who may open a backup. Neither: whoever has the box key already.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupOrder {
    /// The box key goes along, under this (argon2id).
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    passphrase: Option<Zeroizing<String>>,
    /// The box key goes along, for who has the other half of this ML-KEM-768 key (1,184 bytes in Base64).
    #[serde(default)]
    recipient: Option<String>,
}

/// A backup that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupView {
    /// By which it is fetched, until the next one is made.
    pub backup_id: String,
    /// Its length.
    pub bytes: u64,
    /// Files in it.
    pub files: usize,
    /// How the box key is in it.
    pub box_key: Protection,
    /// Which key signed its manifest.
    pub kid: String,
}

/// How the box key goes along.
enum Protect {
    Absent,
    Passphrase(Zeroizing<String>),
    Recipient(Recipient),
}

/// Where backups are made, and of what.
#[derive(Debug)]
pub struct Backups {
    directory: PathBuf,
    entities: Arc<Entities>,
    box_key: Arc<BoxKey>,
    files: Vec<PathBuf>,
    /// The one that can be fetched.
    kept: Mutex<Option<String>>,
}

impl Backups {
    /// Makes them in `directory`, which is the daemon's own; what an earlier run left there goes. `files` are those that the
    /// operator wrote: configuration, policies.
    #[must_use]
    pub fn at(
        directory: impl Into<PathBuf>,
        entities: Arc<Entities>,
        box_key: Arc<BoxKey>,
        files: Vec<PathBuf>,
    ) -> Self {
        let directory = directory.into();
        let _ = std::fs::remove_dir_all(&directory);
        Self { directory, entities, box_key, files, kept: Mutex::new(None) }
    }

    fn path(&self, backup_id: &str) -> PathBuf {
        self.directory.join(format!("{backup_id}.tar"))
    }

    /// A backup and its length; `None`: there is none of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(&self, backup_id: &str) -> Result<Option<(File, u64)>, StoreError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_deref() != Some(backup_id) {
            return Ok(None);
        }
        let path = self.path(backup_id);
        let failed = |error| StoreError::of_io(&path, &error);
        let file = File::open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Some((file, len)))
    }

    /// The only one that there is from now on. Open ones can be read to their end.
    fn keep(&self, backup_id: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = kept.replace(backup_id.to_owned()) {
            let _ = std::fs::remove_file(self.path(&before));
        }
    }
}

impl Services {
    /// The backups; `None` where the box runs without a place for them.
    #[must_use]
    pub const fn backups(&self) -> Option<&Arc<Backups>> {
        self.backups.as_ref()
    }

    /// Takes the job of making a backup.
    ///
    /// # Errors
    ///
    /// A sentence on a passphrase or recipient that is none; [`JobError`].
    pub fn begin_backup(
        self: &Arc<Self>,
        order: BackupOrder,
        backups: &Arc<Backups>,
        user_id: &str,
    ) -> Result<Result<JobView, JobError>, String> {
        let protect = match order {
            BackupOrder { passphrase: Some(_), recipient: Some(_) } => {
                return Err("A passphrase or a recipient, not both.".to_owned());
            }
            BackupOrder { passphrase: Some(text), .. } if text.chars().count() < PASSPHRASE_CHARS_MIN => {
                return Err(format!("The passphrase has fewer than {PASSPHRASE_CHARS_MIN} characters."));
            }
            BackupOrder { passphrase: Some(text), .. } => Protect::Passphrase(text),
            BackupOrder { recipient: Some(text), .. } => {
                let wrong =
                    |_| "The recipient is no ML-KEM-768 key: 1,184 bytes in Base64 are expected.".to_owned();
                Protect::Recipient(Recipient::of_base64(&text).map_err(wrong)?)
            }
            BackupOrder { passphrase: None, recipient: None } => Protect::Absent,
        };
        let (me, backups) = (Arc::clone(self), Arc::clone(backups));
        Ok(self.jobs.submit("admin.backup", user_id, self.clock, move |progress| {
            let view = me.back_up(&backups, &protect, progress)?;
            serde_json::to_value(view).map_err(|error| error.to_string())
        }))
    }

    fn back_up(
        &self,
        backups: &Backups,
        protect: &Protect,
        progress: &Progress,
    ) -> Result<BackupView, String> {
        let told = |error: &dyn std::fmt::Display| format!("No backup was made: {error}.");
        let backup_id = name("b-").map_err(|error| told(&error))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&backups.directory);
        made.map_err(|error| told(&StoreError::of_io(&backups.directory, &error)))?;
        let (protection, box_key) = protected(protect, &backups.box_key).map_err(|error| told(&error))?;
        let ring = self.auth.ring();
        let sign = |manifest: &[u8]| {
            let verifying = ring.signing().verifying();
            Signed {
                kid: verifying.kid().to_owned(),
                alg: verifying.algorithm().name().to_owned(),
                signature: BASE64.encode(ring.signing().sign(&message(manifest))),
            }
        };
        let keys = match self.auth.key_origin() {
            KeyOrigin::Sealed(file, _) => Some(file.path()),
            // The operator's own to keep.
            KeyOrigin::Pqc | KeyOrigin::Hmac | KeyOrigin::File(_) => None,
        };
        let segments = self.audit.directory().parent().unwrap_or(Path::new("."));
        let goes_on = |done, total| {
            progress.set(done, total);
            !progress.is_cancelled()
        };
        let content = Content {
            entities: &backups.entities,
            segments,
            keys,
            box_key: box_key.as_deref(),
            protection,
            box_key_id: backups.box_key.id().to_string(),
            files: &backups.files,
            version: self.version,
            created_s: self.now_s(),
            sign: &sign,
            goes_on: &goes_on,
        };
        let path = backups.path(&backup_id);
        let (part, aside) = (path.with_extension("part"), path.with_extension("redb"));
        let written = write(&content, &part, &aside).and_then(|manifest| {
            std::fs::rename(&part, &path).map_err(|error| StoreError::of_io(&path, &error))?;
            let len = path.metadata().map_err(|error| StoreError::of_io(&path, &error))?.len();
            Ok((manifest, len))
        });
        let (manifest, bytes) = written.map_err(|error| {
            let _ = std::fs::remove_file(&part);
            told(&error)
        })?;
        backups.keep(&backup_id);
        let kid = ring.signing().verifying().kid().to_owned();
        Ok(BackupView { backup_id, bytes, files: manifest.files.len(), box_key: protection, kid })
    }
}

fn protected(protect: &Protect, key: &BoxKey) -> Result<(Protection, Option<Vec<u8>>), SealError> {
    let text = key.to_text()?;
    Ok(match protect {
        Protect::Absent => (Protection::Absent, None),
        Protect::Passphrase(passphrase) => {
            (Protection::Passphrase, Some(seal_with_passphrase(passphrase, &text)?))
        }
        Protect::Recipient(recipient) => (Protection::Recipient, Some(recipient.seal(FOR_RECIPIENT, &text)?)),
    })
}
