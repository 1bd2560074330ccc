//! What becomes of a change that somebody must confirm, and nobody does?
//!
//! A change with `confirm_s` is in force at once, and waits: unless it is confirmed in time, the set before it returns by
//! itself, as one more version. What waits is written with the version that waits, so that it outlives the process: a start
//! whose clock says that the time is over brings the old set back before a packet is forwarded, any other waits for the rest.
//! Within a run the monotonic clock counts. A further change with `confirm_s` waits in its place, for a time of its own, and
//! what returns is still the set before the first of them; one without is refused, because nobody could say what it means.
//!
//! `jarvis-commit` is the thread that brings sets back. It waits for the deadline and for nothing else, so that neither a
//! busy API nor one that died keeps the old set away. A disk that takes no version does not either: the old set is in force
//! then without being saved, and a restart finds what waited, its time being over, and does the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::Services;
use super::audit::Entry;
use super::policies::{Change, Compiled, Origin, Policies, PolicyChange, PolicyLoadError};
use super::policy_edit::{EditError, Expected, agrees};
use super::policy_start::Author;
use crate::store::{PolicyVersion, WaitingCommit};

/// Shortest time to confirm in: a person reads the answer and tries what was changed.
pub const CONFIRM_S_MIN: u32 = 5;

/// Longest time to confirm in: a day.
pub const CONFIRM_S_MAX: u32 = 86_400;

/// Distance of attempts to bring back a set that cannot be read or compiled.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// A version in force that waits to be confirmed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) commit: WaitingCommit,
    deadline: Instant,
}

impl Waiting {
    pub(super) fn of(commit: WaitingCommit, now_s: u64) -> Self {
        Self { commit, deadline: Instant::now() + Duration::from_secs(commit.left_s(now_s)) }
    }
}

/// A change that waits to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CommitView {
    /// The version in force, which waits.
    pub version: u32,
    /// The version whose set returns.
    pub returns_to: u32,
    /// Who made the change.
    pub by: String,
    /// What was done.
    pub change: String,
    /// Why, where its author said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it waits, seconds since 1970.
    pub since_s: u64,
    /// When the old set returns, seconds since 1970.
    pub returns_s: u64,
    /// How long until then.
    pub remaining_s: u64,
}

/// What became of changes that were to be confirmed, since the start.
#[derive(Debug, Default)]
pub(super) struct CommitCounts {
    outcomes: [AtomicU64; CommitCounts::NAMES.len()],
}

/// An index of [`CommitCounts::NAMES`].
#[derive(Debug, Clone, Copy)]
pub(super) enum CommitOutcome {
    Armed = 0,
    Confirmed = 1,
    Aborted = 2,
    Returned = 3,
}

impl CommitCounts {
    pub(super) const NAMES: [&'static str; 4] = ["armed", "confirmed", "aborted", "returned"];

    pub(super) fn count(&self, outcome: CommitOutcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each with its name.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self::NAMES.into_iter().zip(self.outcomes.iter().map(value))
    }
}

/// Rings when something begins to wait; `None` while nobody listens.
pub(super) type CommitBell = Mutex<Option<Sender<()>>>;

/// What waits, as it was when it began, and until when.
pub(super) type CommitShown = Mutex<Option<(CommitView, Instant)>>;

impl Policies {
    /// Whether a change may be made while another one may wait to be confirmed.
    pub(super) fn takes(&self, expected: &Expected) -> Result<(), EditError> {
        if expected.confirm_s.is_some() && self.history.is_none() {
            return Err(EditError::NoStore);
        }
        match &self.waiting {
            Some(Waiting { commit, .. }) if expected.confirm_s.is_none() => {
                Err(EditError::Waits { version: commit.version, returns_to: commit.returns_to })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What waits once the next version is in force: it, or nothing.
    pub(super) fn waiting_for(&self, version: u32, confirm_s: Option<u32>, now_s: u64) -> Option<Waiting> {
        let before = self.current.saved.as_ref().map(|saved| saved.version);
        let returns_to = self.waiting.map(|waiting| waiting.commit.returns_to).or(before)?;
        let until_s = now_s.saturating_add(confirm_s?.into());
        Some(Waiting::of(WaitingCommit { version, returns_to, since_s: now_s, until_s }, now_s))
    }

    /// Reads and compiles the set of a version, to be in force as version `number`.
    pub(super) fn compile_saved(
        &mut self,
        version: &PolicyVersion,
        number: u32,
    ) -> Result<(Compiled, Arc<[u8]>), PolicyLoadError> {
        let document = match &self.history {
            Some(history) => history.document(version)?.into(),
            None => Arc::clone(&self.embedded),
        };
        let compiled = self.compile(&format!("(version {})", version.version), &document, number)?;
        Ok((compiled, document))
    }

    /// Where a set that returns comes from: where it came from then, unless the file was taken in since, for then it is not
    /// the file's. `seen` is the file that was taken in last.
    pub(super) fn origin_of_returned(&self, version: &PolicyVersion, seen: Option<&String>) -> Origin {
        if version.source_sha256.as_ref() == seen { self.origin_of(version.origin) } else { Origin::Api }
    }
}

/// What is said of a set that returned because nobody confirmed.
pub(super) fn unconfirmed(commit: &WaitingCommit) -> (String, Author) {
    let waited_s = commit.until_s.saturating_sub(commit.since_s);
    let reason = format!("nobody confirmed version {} within {waited_s} s", commit.version);
    let change = format!("return to version {}", commit.returns_to);
    (change, Author { reason: Some(reason), ..Author::system() })
}

impl Services {
    /// What waits to be confirmed; without the policies' lock, which is held while a set is compiled.
    #[must_use]
    pub fn commit(&self) -> Option<CommitView> {
        let (view, deadline) = lock(&self.commit_shown).clone()?;
        Some(CommitView { remaining_s: remaining_s(deadline), ..view })
    }

    /// Shows what waits from now on.
    pub(super) fn show_commit(&self, policies: &Policies) -> Option<CommitView> {
        let view = self.commit_of(policies);
        let deadline = policies.waiting.map(|waiting| waiting.deadline);
        *lock(&self.commit_shown) = view.clone().zip(deadline);
        view
    }

    pub(super) fn commit_of(&self, policies: &Policies) -> Option<CommitView> {
        let Waiting { commit, deadline } = policies.waiting?;
        let saved = policies.current.saved.as_ref()?;
        Some(CommitView {
            version: commit.version,
            returns_to: commit.returns_to,
            by: self.audit.subjects().open_text(&saved.by),
            change: saved.change.clone(),
            reason: saved.reason.clone(),
            since_s: commit.since_s,
            returns_s: commit.until_s,
            remaining_s: remaining_s(deadline),
        })
    }

    /// The version that waits is in force for good; told as it waited.
    ///
    /// # Errors
    ///
    /// [`EditError::NothingWaits`], [`EditError::Stale`]; [`EditError::Store`]: it waits on.
    pub fn confirm_policy(&self, expected: &Expected) -> Result<CommitView, EditError> {
        let mut policies = self.policies();
        let waited = self.commit_of(&policies).ok_or(EditError::NothingWaits)?;
        agrees(expected, "The version that waits", &[waited.version.to_string()])?;
        policies.history.as_ref().ok_or(EditError::NoStore)?.wait_no_more()?;
        policies.waiting = None;
        policies.trouble.is(None);
        self.show_commit(&policies);
        drop(policies);
        self.commit_counts.count(CommitOutcome::Confirmed);
        tracing::info!(version = waited.version, "a policy set was confirmed");
        Ok(waited)
    }

    /// The set before the one that waits returns now; blocks until it is in force, for at most five seconds.
    ///
    /// # Errors
    ///
    /// [`EditError::NothingWaits`], [`EditError::Stale`]; else as an edit, and it waits on.
    pub fn abort_policy(&self, author: &Author, expected: &Expected) -> Result<PolicyChange, EditError> {
        let policies = self.policies();
        let waiting = policies.waiting.ok_or(EditError::NothingWaits)?;
        agrees(expected, "The version that waits", &[waiting.commit.version.to_string()])?;
        let WaitingCommit { version, returns_to, .. } = waiting.commit;
        let change = format!("abort version {version}, return to version {returns_to}");
        let returned = self.bring_back(policies, &waiting.commit, Change::of(change, author), false)?;
        self.commit_counts.count(CommitOutcome::Aborted);
        Ok(returned)
    }

    /// Puts the set of the version that returns in force as a new one. `anyhow`: also where it cannot be saved.
    fn bring_back(
        &self,
        mut policies: MutexGuard<'_, Policies>,
        commit: &WaitingCommit,
        change: Change<'_>,
        anyhow: bool,
    ) -> Result<PolicyChange, EditError> {
        let begun = Instant::now();
        let number = commit.returns_to;
        let unknown = || EditError::Unknown { what: "version", id: number.to_string() };
        let history = policies.history.clone().ok_or(EditError::NoStore)?;
        let version = history.version(number)?.ok_or_else(unknown)?;
        let (compiled, document) = policies.compile_saved(&version, self.next_policy_version())?;
        let seen = policies.current.source_sha256.clone();
        let origin = policies.origin_of_returned(&version, seen.as_ref());
        let taken = policies.save_or_not(compiled, document, origin, change, self.now_s(), anyhow)?;
        policies.current.source_sha256 = seen;
        Ok(self.put_in_force(policies, taken, None, begun))
    }

    /// Brings the old set back if the time to confirm is over.
    fn return_if_due(&self) {
        let mut policies = self.policies();
        let Some(waiting) = policies.waiting else { return };
        if waiting.deadline > Instant::now() {
            return;
        }
        // Should it fail, it is tried again.
        policies.waiting = Some(Waiting { deadline: Instant::now() + RETRY_EVERY, ..waiting });
        let before = policies.current.saved.as_ref().map(|saved| saved.version);
        let (change, author) = unconfirmed(&waiting.commit);
        match self.bring_back(policies, &waiting.commit, Change::of(change, &author), true) {
            Ok(returned) => {
                tracing::warn!(
                    unconfirmed = before,
                    returned = waiting.commit.returns_to,
                    version = returned.version,
                    "nobody confirmed the policy set in force: the one before it is in force again"
                );
                self.tell_returned(&waiting.commit);
            }
            Err(error) => {
                let told = format!("version {} cannot return: {error}", waiting.commit.returns_to);
                tracing::error!(%error, "nobody confirmed the policy set in force, and the one before it cannot return; it is tried again");
                self.policy_trouble.is(Some(told));
            }
        }
    }

    /// Counts a set that returned by itself, and tells the audit and whoever listens.
    fn tell_returned(&self, commit: &WaitingCommit) {
        self.commit_counts.count(CommitOutcome::Returned);
        let after = serde_json::to_value(self.policy().summary()).unwrap_or(Value::Null);
        let before = json!({ "unconfirmed": commit.version, "returns_to": commit.returns_to });
        let target = Some("policy".to_owned());
        let entry = Entry {
            before: Some(before),
            ..Entry::by_system(self.now_ns(), "policy.return", target, Some(after))
        };
        self.tell_listeners(&entry);
        if let Err(error) = self.audit.append_blocking(entry) {
            tracing::error!(%error, "the audit does not tell that the policies returned");
        }
    }

    /// Counts a change that somebody must confirm.
    pub(super) fn count_armed(&self, expected: &Expected) {
        if expected.confirm_s.is_some() {
            self.commit_counts.count(CommitOutcome::Armed);
        }
    }

    /// Something waits, or waits no more: the thread looks.
    pub(super) fn ring_commits(&self) {
        if let Some(bell) = &*lock(&self.commit_bell) {
            // A thread that is gone brings nothing back; whoever looks after it starts another one.
            let _ = bell.send(());
        }
    }

    /// Begins to bring back what nobody confirms, on a thread of its own that inherits the caller's cores. Tells first what
    /// the start brought back.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn keep_commits(self: &Arc<Self>) -> std::io::Result<CommitHandle> {
        let (bell, rung) = channel();
        *lock(&self.commit_bell) = Some(bell);
        let services = Arc::clone(self);
        let run = move || services.watch_commits(&rung);
        let thread = std::thread::Builder::new().name("jarvis-commit".into()).spawn(run)?;
        Ok(CommitHandle { services: Arc::clone(self), thread: Some(thread) })
    }

    fn watch_commits(&self, rung: &Receiver<()>) {
        let at_start = self.policies().returned_at_start.take();
        if let Some(commit) = at_start {
            self.tell_returned(&commit);
        }
        loop {
            let deadline = self.policies().waiting.map(|waiting| waiting.deadline);
            let heard = match deadline {
                Some(deadline) => rung.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => rung.recv().map_err(|_gone| RecvTimeoutError::Disconnected),
            };
            match heard {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => self.return_if_due(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds that have not all passed count whole.
fn remaining_s(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now());
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

/// Keeps the thread; what waits when it is stopped is left to the next start.
pub struct CommitHandle {
    services: Arc<Services>,
    thread: Option<JoinHandle<()>>,
}

impl CommitHandle {
    /// Whether the thread runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for CommitHandle {
    fn drop(&mut self) {
        *lock(&self.services.commit_bell) = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}
