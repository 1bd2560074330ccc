//! Which set is in force after a start, and after reading the file again?
//!
//! The configured file is where the policies of a box begin: it becomes version 1. What is edited over the API is saved as
//! further versions, and the newest of them is in force after a restart. The file is taken in again only if it is not what
//! it was when it was last taken in, as one more version: at a start where nobody has edited over the API since, and at a
//! reload in any case, because somebody asks for it then. Where both were changed, the log says which of them holds and how
//! to have the other; the loser is never lost.
//!
//! | at a start | newest version came from the file | from the API |
//! |---|---|---|
//! | file as it was taken in | the newest version | the newest version |
//! | file changed | the file, a new version | the newest version, with a warning |
//! | file unreadable or wrong | the newest version, health degraded | the newest version, with a warning |
//! | store damaged | the file, health degraded | the file, health degraded |
//!
//! Before all that: where the newest version waits to be confirmed ([`super::policy_commit`]) it is in force and waits on, and
//! the file is not looked at; where its time is over, or it cannot be used, the set that it replaced is in force, as one more
//! version.

use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use dataplane::account::Counts;
use dataplane::policy::PolicySet;

use super::Services;
use super::policies::{Change, Compiled, Origin, Policies, PolicyChange, PolicyLoadError, read};
use super::policy_commit::{Waiting, unconfirmed};
use super::policy_edit::{EditError, Expected, agrees};
use crate::store::policy_history::sha256;
use crate::store::{PolicyHistory, PolicyVersion, StoreError, VersionOrigin, WaitingCommit};

/// Where a box has its policies from.
#[derive(Debug)]
pub struct PolicySources<'a> {
    /// The configured file.
    pub file: Option<PathBuf>,
    /// What is in force without one.
    pub embedded: &'a [u8],
    /// The versions so far, or why they cannot be read.
    pub history: Result<PolicyHistory, String>,
}

/// Who changes something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The account's name.
    pub by: String,
    /// Its `user_id`, under whose key the name is kept; `None`: it is nobody's.
    pub subject: Option<String>,
    /// Why, where it is said.
    pub reason: Option<String>,
}

impl Author {
    /// The daemon itself.
    #[must_use]
    pub fn system() -> Self {
        Self { by: "system".to_owned(), subject: None, reason: None }
    }
}

/// The configured file, or the embedded set.
struct Source {
    name: String,
    bytes: Arc<[u8]>,
    sha256: String,
    origin: Origin,
}

impl Policies {
    /// Compiles the set that a box starts with. Its version is one that flow records of earlier starts did not have.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError`], where neither the store nor the file has a set that can come in force.
    pub fn start(&mut self, sources: PolicySources<'_>, now_s: u64) -> Result<PolicySet, PolicyLoadError> {
        let set = self.begin(sources, now_s)?;
        let entries = Arc::clone(&self.current.entries);
        Ok(self.accounts.open(set, &entries, now_s, |_nothing_yet| Counts::default()))
    }

    fn begin(&mut self, sources: PolicySources<'_>, now_s: u64) -> Result<PolicySet, PolicyLoadError> {
        let PolicySources { file, embedded, history } = sources;
        self.file = file;
        self.embedded = embedded.into();
        let read = history.and_then(|history| match history.newest() {
            Ok(newest) => Ok((history, newest)),
            Err(error) => Err(error.to_string()),
        });
        let (history, newest) = match read {
            Ok(both) => both,
            Err(why) => {
                self.fall_back(&why);
                return self.load_source(1);
            }
        };
        self.history = Some(history);
        let Some(newest) = newest else {
            let set = self.load_source(1)?;
            self.save_at_start(1, now_s);
            return Ok(set);
        };
        if let Some(set) = self.settle(&newest, now_s) {
            return Ok(set);
        }
        let set = match self.source_if_changed(&newest) {
            // Of an embedded set that a later program has changed there is nothing to say.
            Ok(Some(_)) if newest.origin == VersionOrigin::Api && self.file.is_none() => None,
            Ok(Some(source)) if newest.origin == VersionOrigin::Api => {
                tracing::warn!(
                    file = source.name,
                    version = newest.version,
                    by = newest.by,
                    "the policy file is not what it was when it was taken in, but so were the policies over the API: these hold. \
                     `jarvis ctl policy reload` takes the file instead"
                );
                None
            }
            Ok(Some(source)) => match self.compile(&source.name, &source.bytes, newest.version + 1) {
                Ok(compiled) => {
                    tracing::info!(file = source.name, "the policy file was changed and is taken in");
                    let set = self.take_over(compiled, source.bytes, source.origin);
                    self.save_at_start(newest.version + 1, now_s);
                    Some(set)
                }
                Err(error) => {
                    self.not_the_file(&newest, &error);
                    None
                }
            },
            Ok(None) => None,
            Err(error) => {
                self.not_the_file(&newest, &error);
                None
            }
        };
        match set {
            Some(set) => Ok(set),
            None => self.load_saved(newest),
        }
    }

    /// The set in force where the newest version waits to be confirmed; `None` where it does not, or what it replaced cannot
    /// be used.
    fn settle(&mut self, newest: &PolicyVersion, now_s: u64) -> Option<PolicySet> {
        let commit = match self.history.as_ref()?.waiting() {
            Ok(commit) => commit.filter(|commit| commit.version == newest.version)?,
            Err(error) => {
                tracing::error!(%error, "whether the policies in force wait to be confirmed cannot be read");
                return None;
            }
        };
        if commit.left_s(now_s) > 0 {
            match self.compile_saved(newest, newest.version) {
                Ok((compiled, bytes)) => {
                    tracing::info!(version = newest.version, "the policies in force wait to be confirmed");
                    self.waiting = Some(Waiting::of(commit, now_s));
                    return Some(self.take_saved(compiled, bytes, newest.clone()));
                }
                Err(error) => {
                    tracing::error!(%error, "the version that waits to be confirmed cannot be used")
                }
            }
        }
        match self.return_at_start(newest, &commit, now_s) {
            Ok(set) => Some(set),
            Err(error) => {
                let version = commit.returns_to;
                tracing::error!(%error, version, "nobody confirmed the newest policies, and those before cannot return");
                self.trouble.is(Some(format!("version {version} cannot return: {error}")));
                None
            }
        }
    }

    /// The set that nobody's confirming the newest version brings back.
    fn return_at_start(
        &mut self,
        newest: &PolicyVersion,
        commit: &WaitingCommit,
        now_s: u64,
    ) -> Result<PolicySet, PolicyLoadError> {
        let number = commit.returns_to;
        let history = self.history.as_ref().and_then(|history| history.version(number).transpose());
        let gone = || PolicyLoadError::Gone { version: number };
        let version = history.ok_or_else(gone)??;
        let (compiled, document) = self.compile_saved(&version, newest.version + 1)?;
        self.current.source_sha256.clone_from(&newest.source_sha256);
        let origin = self.origin_of_returned(&version, newest.source_sha256.as_ref());
        let (what, author) = unconfirmed(commit);
        let set = self.save_or_not(compiled, document, origin, Change::of(what, &author), now_s, true)?;
        self.current.source_sha256.clone_from(&newest.source_sha256);
        self.returned_at_start = Some(*commit);
        tracing::warn!(
            unconfirmed = newest.version,
            returned = number,
            version = set.version(),
            "nobody confirmed the newest policies: those before are in force again"
        );
        Ok(set)
    }

    /// Makes a version that was saved the current one.
    fn take_saved(&mut self, compiled: Compiled, document: Arc<[u8]>, version: PolicyVersion) -> PolicySet {
        let set = self.take_over(compiled, document, self.origin_of(version.origin));
        self.current.source_sha256.clone_from(&version.source_sha256);
        self.current.saved = Some(version);
        set
    }

    /// The set of a version as it was saved, or where that cannot be used the file's.
    fn load_saved(&mut self, newest: PolicyVersion) -> Result<PolicySet, PolicyLoadError> {
        match self.compile_saved(&newest, newest.version) {
            Ok((compiled, bytes)) => Ok(self.take_saved(compiled, bytes, newest)),
            Err(error) => {
                self.fall_back(&format!("version {} cannot be used: {error}", newest.version));
                self.load_source(newest.version + 1)
            }
        }
    }

    fn fall_back(&self, why: &str) {
        tracing::error!(why, "the saved policies cannot be used: those of the configured file are in force");
        self.trouble.is(Some(format!("the saved policies cannot be used: {why}")));
    }

    fn not_the_file(&self, newest: &PolicyVersion, error: &PolicyLoadError) {
        let version = newest.version;
        tracing::error!(%error, version, "the policy file cannot be taken in: the newest saved version is in force");
        if newest.origin != VersionOrigin::Api {
            self.trouble.is(Some(format!("the policy file cannot be taken in: {error}")));
        }
    }

    pub(super) fn origin_of(&self, origin: VersionOrigin) -> Origin {
        match (origin, &self.file) {
            (VersionOrigin::File, Some(path)) => Origin::File(path.clone()),
            (VersionOrigin::Embedded, _) => Origin::Embedded,
            (VersionOrigin::File | VersionOrigin::Api, _) => Origin::Api,
        }
    }

    fn source(&self) -> Result<Source, PolicyLoadError> {
        let (name, bytes, origin) = match &self.file {
            Some(path) => (path.display().to_string(), read(path)?, Origin::File(path.clone())),
            None => ("(embedded)".to_owned(), Arc::clone(&self.embedded), Origin::Embedded),
        };
        let sha256 = sha256(&bytes);
        Ok(Source { name, bytes, sha256, origin })
    }

    fn source_if_changed(&self, newest: &PolicyVersion) -> Result<Option<Source>, PolicyLoadError> {
        let source = self.source()?;
        Ok((newest.source_sha256.as_ref() != Some(&source.sha256)).then_some(source))
    }

    /// Whether the file is another than when it was last taken in; `None` where it cannot be read.
    pub(super) fn is_source_changed(&self) -> Option<bool> {
        let source = self.source().ok()?;
        Some(self.current.source_sha256.as_ref() != Some(&source.sha256))
    }

    fn load_source(&mut self, version: u32) -> Result<PolicySet, PolicyLoadError> {
        let Source { name, bytes, origin, .. } = self.source()?;
        let compiled = self.compile(&name, &bytes, version)?;
        Ok(self.take_over(compiled, bytes, origin))
    }

    /// Saves what was taken in. A disk that does not take it keeps no box from its policies.
    fn save_at_start(&mut self, version: u32, now_s: u64) {
        let author = Author::system();
        let change = Change::of("take in the file".to_owned(), &author);
        if let Err(error) = self.save(version, change, now_s, None) {
            tracing::error!(%error, "the policies in force are not saved");
            self.trouble.is(Some(format!("the policies in force are not saved: {error}")));
        }
    }

    /// Saves the current set as a version, and with it what waits from now on.
    fn save(
        &mut self,
        version: u32,
        change: Change<'_>,
        now_s: u64,
        waiting: Option<&WaitingCommit>,
    ) -> Result<(), StoreError> {
        let Some(history) = &self.history else { return Ok(()) };
        let meta = self.meta(version, change.what, change.author, now_s)?;
        history.save_waiting(&meta, &self.current.document, waiting)?;
        self.current.saved = Some(meta);
        self.trouble.is(None);
        Ok(())
    }

    fn meta(
        &self,
        version: u32,
        change: String,
        author: &Author,
        now_s: u64,
    ) -> Result<PolicyVersion, StoreError> {
        let current = &self.current;
        let by = match (&self.subjects, &author.subject) {
            (Some(subjects), Some(subject)) => subjects.seal_text(subject, &author.by, now_s)?,
            _ => author.by.clone(),
        };
        Ok(PolicyVersion {
            version,
            saved_s: now_s,
            by,
            change,
            reason: author.reason.clone(),
            origin: match current.origin {
                Origin::Embedded => VersionOrigin::Embedded,
                Origin::File(_) => VersionOrigin::File,
                Origin::Api => VersionOrigin::Api,
            },
            policies: current.entries.len(),
            len_bytes: current.document.len() as u64,
            sha256: current.sha256.clone(),
            source_sha256: current.source_sha256.clone(),
        })
    }

    /// Makes a compiled set the current one, saved as a version; where it cannot be saved nothing is changed.
    pub(super) fn save_and_take_over(
        &mut self,
        compiled: Compiled,
        document: Arc<[u8]>,
        origin: Origin,
        change: Change<'_>,
        now_s: u64,
    ) -> Result<PolicySet, StoreError> {
        self.save_or_not(compiled, document, origin, change, now_s, false)
    }

    /// The same; with `anyhow` the set is the current one also where it cannot be saved.
    pub(super) fn save_or_not(
        &mut self,
        compiled: Compiled,
        document: Arc<[u8]>,
        origin: Origin,
        change: Change<'_>,
        now_s: u64,
        anyhow: bool,
    ) -> Result<PolicySet, StoreError> {
        let version = compiled.set.version();
        if change.confirm_s.is_some() && self.current.saved.is_none() {
            // A start that could not save it: what is to return must be there first.
            let author = Author::system();
            self.save(version - 1, Change::of("take in the file".to_owned(), &author), now_s, None)?;
        }
        let waiting = self.waiting_for(version, change.confirm_s, now_s);
        let before = self.current.clone();
        let set = self.take_over(compiled, document, origin);
        match self.save(version, change, now_s, waiting.as_ref().map(|waiting| &waiting.commit)) {
            Ok(()) => {}
            Err(error) if anyhow => {
                tracing::error!(%error, version, "the policies in force are not saved");
                self.trouble.is(Some(format!("the policies in force are not saved: {error}")));
            }
            Err(error) => {
                self.current = before;
                return Err(error);
            }
        }
        self.waiting = waiting;
        Ok(set)
    }
}

impl Services {
    /// Reads the file of applications and the policy file again and puts in force what has changed, both at once; blocks
    /// until it is, for at most five seconds. With an error in either of them nothing changes.
    ///
    /// # Errors
    ///
    /// [`EditError`]; the old set and the old applications stay.
    pub fn reload(&self, author: &Author, expected: &Expected) -> Result<PolicyChange, EditError> {
        let begun = Instant::now();
        let mut policies = self.policies();
        policies.takes(expected)?;
        agrees(expected, "The set", &[self.door.publisher.current().version.to_string()])?;
        let applications = policies.applications.reread()?;
        if applications.is_none() && policies.file.is_none() {
            return Err(PolicyLoadError::NoFile.into());
        }
        let source = policies.source()?;
        let is_changed = policies.current.source_sha256.as_ref() != Some(&source.sha256);
        if !is_changed && applications.is_none() {
            return Ok(self.unchanged(policies, begun));
        }
        if let Some(applications) = &applications {
            policies.name(applications.table());
        }
        let (source, change) = if is_changed {
            warn_of_edits(&policies, &source);
            (source, "take in the file")
        } else {
            let current = &policies.current;
            let name = "(in force)".to_owned();
            let (bytes, origin) = (Arc::clone(&current.document), current.origin.clone());
            (Source { name, bytes, sha256: current.sha256.clone(), origin }, "read the applications")
        };
        let version = self.next_policy_version();
        let compiled = policies.compile(&source.name, &source.bytes, version)?;
        self.keeps_way(&policies, &compiled.set, expected.way)?;
        let change = Change { what: change.to_owned(), author, confirm_s: expected.confirm_s };
        let set = policies.save_and_take_over(compiled, source.bytes, source.origin, change, self.now_s())?;
        self.count_armed(expected);
        let apps = applications.map(|applications| {
            let table = Arc::clone(applications.table());
            policies.applications = applications;
            table
        });
        Ok(self.put_in_force(policies, set, apps, begun))
    }
}

/// What was edited over the API and is about to be replaced by the file.
fn warn_of_edits(policies: &MutexGuard<'_, Policies>, source: &Source) {
    if let (Origin::Api, Some(saved)) = (&policies.current.origin, &policies.current.saved) {
        tracing::warn!(
            file = source.name,
            version = saved.version,
            by = saved.by,
            "the policy file was changed and replaces what was edited over the API: `jarvis ctl policy restore {}` brings that back",
            saved.version
        );
    }
}
