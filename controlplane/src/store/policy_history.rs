//! Which policy sets has this box had, and which is the newest?
//!
//! Every set that is saved is a version: a number that only grows, and a document that is kept once however many versions
//! have it. Old versions go when there are too many of them; the newest always stays. What is read is compared with its
//! SHA-256, so that a set that was damaged on the disk never comes in force.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Entities, StoreError, Table, WaitingCommit, policy_file};

/// Versions that are kept.
const VERSIONS_MAX: usize = 500;

/// Compressed documents that are kept, bytes.
const DOCUMENTS_BYTES_MAX: u64 = 128 << 20;

const VERSIONS: Table<PolicyVersion> = Table::new("policy_versions");
const DOCUMENTS: Table<Stored> = Table::new("policy_documents");

/// Of one entity, where a version waits to be confirmed.
const WAITING: Table<WaitingCommit> = Table::new("policy_commit");
const WAITING_KEY: &str = "waiting";

/// Where a version came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionOrigin {
    /// The daemon's own set.
    Embedded,
    /// The configured file.
    File,
    /// A request.
    Api,
}

/// One saved set, without its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PolicyVersion {
    /// Its number, from 1; flow records name it.
    pub version: u32,
    /// When it was saved, seconds since 1970.
    pub saved_s: u64,
    /// The account that made it, in the file under that account's key; `local` at the Unix socket, `system` for the daemon.
    pub by: String,
    /// What was done, such as `change p-web`.
    pub change: String,
    /// Why, where its author said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it came from.
    pub origin: VersionOrigin,
    /// Policies in it, disabled ones included.
    pub policies: usize,
    /// Length of its document.
    pub len_bytes: u64,
    /// SHA-256 of its document.
    pub sha256: String,
    /// SHA-256 of the configured file, or the embedded set, when that was last taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_sha256: Option<String>,
}

/// A document as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// In Base64.
    zstd: String,
}

/// The versions in the file of entities.
#[derive(Debug, Clone)]
pub struct PolicyHistory {
    entities: Arc<Entities>,
}

impl PolicyHistory {
    /// Those of `entities`.
    #[must_use]
    pub const fn new(entities: Arc<Entities>) -> Self {
        Self { entities }
    }

    /// All versions, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn all(&self) -> Result<Vec<PolicyVersion>, StoreError> {
        Ok(self.entities.all(&VERSIONS)?.into_iter().map(|(_, version)| version).collect())
    }

    /// One version.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn version(&self, number: u32) -> Result<Option<PolicyVersion>, StoreError> {
        self.entities.get(&VERSIONS, &key(number))
    }

    /// The newest version.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn newest(&self) -> Result<Option<PolicyVersion>, StoreError> {
        Ok(self.all()?.pop())
    }

    /// The document of a version, byte by byte as it was saved.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] where it is not that, too.
    pub fn document(&self, version: &PolicyVersion) -> Result<Vec<u8>, StoreError> {
        let damaged = |detail: String| StoreError::Damaged {
            path: self.entities.path().to_owned(),
            detail: format!("policy version {}: {detail}", version.version),
        };
        let stored = self.entities.get(&DOCUMENTS, &version.sha256)?;
        let stored = stored.ok_or_else(|| damaged("its document is not there".to_owned()))?;
        let packed = STANDARD.decode(stored.zstd).map_err(|error| damaged(error.to_string()))?;
        let len = usize::try_from(version.len_bytes.min(policy_file::BYTES_MAX)).unwrap_or(usize::MAX);
        let document = zstd::bulk::decompress(&packed, len).map_err(|error| damaged(error.to_string()))?;
        if sha256(&document) != version.sha256 {
            return Err(damaged("its document is not what was saved".to_owned()));
        }
        Ok(document)
    }

    /// The version that waits to be confirmed.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn waiting(&self) -> Result<Option<WaitingCommit>, StoreError> {
        self.entities.get(&WAITING, WAITING_KEY)
    }

    /// Nothing waits any more; that is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; it waits on then.
    pub fn wait_no_more(&self) -> Result<(), StoreError> {
        self.entities.write(|write| write.remove(&WAITING, WAITING_KEY).map(|_was_there| ()))
    }

    /// Saves a version that waits for nobody; it is on the disk when this returns. Versions beyond the bounds go, the oldest
    /// first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is saved then.
    pub fn save(&self, version: &PolicyVersion, document: &[u8]) -> Result<(), StoreError> {
        self.save_waiting(version, document, None)
    }

    /// The same with what waits from now on, in one transaction. The version that would return never goes.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is saved then, and what waited waits on.
    pub fn save_waiting(
        &self,
        version: &PolicyVersion,
        document: &[u8],
        waiting: Option<&WaitingCommit>,
    ) -> Result<(), StoreError> {
        let path = self.entities.path();
        let packed = zstd::bulk::compress(document, 1).map_err(|error| StoreError::of_io(path, &error))?;
        let stored = Stored { zstd: STANDARD.encode(packed) };
        let gone = self.surplus(version, waiting.map(|waiting| waiting.returns_to))?;
        self.entities.write(|write| {
            write.put(&DOCUMENTS, &version.sha256, &stored)?;
            write.put(&VERSIONS, &key(version.version), version)?;
            for number in &gone.versions {
                write.remove(&VERSIONS, &key(*number))?;
            }
            for sha256 in &gone.documents {
                write.remove(&DOCUMENTS, sha256)?;
            }
            match waiting {
                Some(waiting) => write.put(&WAITING, WAITING_KEY, waiting),
                None => write.remove(&WAITING, WAITING_KEY).map(|_was_there| ()),
            }
        })
    }

    /// What goes when `new` comes, but never the version `spared`. Sizes are those of the documents themselves, which is on
    /// the safe side.
    fn surplus(&self, new: &PolicyVersion, spared: Option<u32>) -> Result<Surplus, StoreError> {
        let all = self.all()?;
        let mut kept = HashSet::from([new.sha256.as_str()]);
        let mut bytes = packed_estimate(new);
        let mut gone = Surplus::default();
        for (count, version) in all.iter().rev().enumerate() {
            if !kept.contains(version.sha256.as_str()) {
                bytes += packed_estimate(version);
            }
            let has_room = count + 1 < VERSIONS_MAX && bytes <= DOCUMENTS_BYTES_MAX;
            if has_room || spared == Some(version.version) {
                kept.insert(&version.sha256);
            } else {
                gone.versions.push(version.version);
                // Once the room is used up, everything older goes.
                bytes = DOCUMENTS_BYTES_MAX + 1;
            }
        }
        let lost = all.iter().filter(|version| !kept.contains(version.sha256.as_str()));
        gone.documents =
            lost.map(|version| version.sha256.clone()).collect::<HashSet<_>>().into_iter().collect();
        Ok(gone)
    }
}

#[derive(Debug, Default)]
struct Surplus {
    versions: Vec<u32>,
    documents: Vec<String>,
}

/// What a document takes on the disk, at most about that: policy sets shrink to a fifth and less.
const fn packed_estimate(version: &PolicyVersion) -> u64 {
    version.len_bytes / 4
}

fn key(number: u32) -> String {
    format!("{number:010}")
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32, document: &[u8]) -> PolicyVersion {
        PolicyVersion {
            version: number,
            saved_s: 1,
            by: "ada".to_owned(),
            change: "replace".to_owned(),
            reason: None,
            origin: VersionOrigin::Api,
            policies: 0,
            len_bytes: document.len() as u64,
            sha256: sha256(document),
            source_sha256: None,
        }
    }

    fn history() -> (tempfile::TempDir, PolicyHistory) {
        let dir = tempfile::tempdir().unwrap();
        let entities = Entities::open(dir.path().join("h.redb")).unwrap();
        (dir, PolicyHistory::new(Arc::new(entities)))
    }

    #[test]
    fn documents_come_back_as_they_were_and_old_versions_go() {
        let (_dir, history) = history();
        assert_eq!(history.newest().unwrap(), None);
        let document =
            |number: u32| format!("{{\"policies\": [], \"version\": {}}}", number % 700).into_bytes();
        for number in 1..=VERSIONS_MAX as u32 + 250 {
            history.save(&version(number, &document(number)), &document(number)).unwrap();
        }
        let all = history.all().unwrap();
        assert_eq!(all.len(), VERSIONS_MAX);
        assert_eq!((all[0].version, history.newest().unwrap().unwrap().version), (251, 750));
        for version in &all {
            assert_eq!(history.document(version).unwrap(), document(version.version));
        }
        let documents = history.entities.all(&DOCUMENTS).unwrap().len();
        assert_eq!(documents, VERSIONS_MAX, "no document without a version");
    }

    #[test]
    fn a_large_set_pushes_the_old_ones_out_but_never_itself() {
        let (_dir, history) = history();
        let small = b"{\"policies\": []}";
        history.save(&version(1, small), small).unwrap();
        let large = PolicyVersion { len_bytes: DOCUMENTS_BYTES_MAX * 4 + 8, ..version(2, b"large") };
        history.save(&large, b"large").unwrap();
        assert_eq!(history.all().unwrap().iter().map(|one| one.version).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_waits_comes_and_goes_with_its_version_and_what_would_return_never_goes() {
        let (_dir, history) = history();
        let waiting = WaitingCommit { version: 2, returns_to: 1, since_s: 10, until_s: 20 };
        history.save(&version(1, b"one"), b"one").unwrap();
        assert_eq!(history.waiting().unwrap(), None);
        history.save_waiting(&version(2, b"two"), b"two", Some(&waiting)).unwrap();
        assert_eq!(history.waiting().unwrap(), Some(waiting));
        let large = PolicyVersion { len_bytes: DOCUMENTS_BYTES_MAX * 4 + 8, ..version(3, b"large") };
        history.save_waiting(&large, b"large", Some(&waiting)).unwrap();
        let all = history.all().unwrap();
        assert_eq!(all.iter().map(|one| one.version).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(history.document(&all[0]).unwrap(), b"one");
        history.wait_no_more().unwrap();
        assert_eq!(history.waiting().unwrap(), None);
        history.save_waiting(&version(4, b"four"), b"four", Some(&waiting)).unwrap();
        history.save(&version(5, b"five"), b"five").unwrap();
        assert_eq!(history.waiting().unwrap(), None, "the next version waits for nobody");
    }

    #[test]
    fn a_document_that_was_changed_is_damage() {
        let (_dir, history) = history();
        let one = version(1, b"one");
        history.save(&one, b"one").unwrap();
        let other = Stored { zstd: STANDARD.encode(zstd::bulk::compress(b"two", 1).unwrap()) };
        history.entities.write(|write| write.put(&DOCUMENTS, &one.sha256, &other)).unwrap();
        assert!(matches!(history.document(&one), Err(StoreError::Damaged { .. })));
        history.entities.write(|write| write.remove(&DOCUMENTS, &one.sha256)).unwrap();
        assert!(matches!(history.document(&one), Err(StoreError::Damaged { .. })));
    }
}
