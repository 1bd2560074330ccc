//! Which policies are in force, and how do others come in force?
//!
//! A set is read and compiled whole, beside the one in force; with a single error nothing changes. Compiling
//! happens under one lock, so that changes come in force one after the other and versions count up. A set is in the
//! store before it is in force: what was acknowledged is there after a crash. Which set a box starts with is decided in
//! [`super::policy_start`], edits of single policies are in [`super::policy_edit`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataplane::dpi::{AppTable, protocols};
use dataplane::parse::Addr;
use dataplane::policy::{
    Action, ContextError, Environment, EvaluationContext, Explanation, Fact, Kind, OutcomeAction,
    PolicyError, PolicyFile, PolicyIndex, PolicySet, Scratch,
};
use serde_json::Value;

use super::differences::Actions;
use super::policy_commit::{CommitView, Waiting};
use super::policy_counts::Accounts;
use super::policy_findings::ToldFindings;
use super::policy_shadow::Shadowing;
use super::{Applications, Author, Names, Services, Subjects};
use crate::store::policy_history::sha256;
use crate::store::{PolicyHistory, PolicyVersion, StoreError, WaitingCommit, policy_file};

/// How long a reload waits to see the new set in force before it answers without that.
const IN_FORCE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it looks.
const IN_FORCE_POLL: Duration = Duration::from_micros(200);

/// Where policy sets are compiled: what names mean on this box, and which numbers names have had so far.
#[derive(Debug)]
pub struct Policies {
    pub(super) environment: Environment,
    pub(super) names: dataplane::policy::Names,
    inline: bool,
    pub(super) applications: Applications,
    /// The configured file.
    pub(super) file: Option<PathBuf>,
    /// What is in force where no file is configured and nothing was ever edited.
    pub(super) embedded: Arc<[u8]>,
    /// Where versions are saved; `None` where there is no store.
    pub(super) history: Option<PolicyHistory>,
    /// Under whose keys the names of authors are kept; `None` until the services are there, which the daemon alone comes before.
    pub(super) subjects: Option<Arc<Subjects>>,
    pub(super) trouble: Trouble,
    pub(super) current: Current,
    /// The proposal beside it.
    pub(super) shadowing: Shadowing,
    /// Under which numbers its policies are counted.
    pub(super) accounts: Accounts,
    /// What of it waits to be confirmed.
    pub(super) waiting: Option<Waiting>,
    /// What nobody had confirmed when the daemon started, until that is told.
    pub(super) returned_at_start: Option<WaitingCommit>,
}

/// The set in force, as an operator knows it.
#[derive(Debug, Clone)]
pub(super) struct Current {
    /// As it was written.
    pub(super) document: Arc<[u8]>,
    pub(super) sha256: String,
    /// Its policies in evaluation order, disabled ones included.
    pub(super) entries: Arc<[PolicyEntry]>,
    pub(super) origin: Origin,
    /// As the store has it.
    pub(super) saved: Option<PolicyVersion>,
    /// SHA-256 of the file, or the embedded set, when that was last taken in.
    pub(super) source_sha256: Option<String>,
}

/// A policy in few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEntry {
    /// Its id.
    pub policy_id: String,
    /// Its name.
    pub name: String,
    /// Lower is evaluated first.
    pub priority: i32,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// As policy files write it.
    pub action: &'static str,
    /// Where it stands in the document, from line 1.
    pub line: u32,
    /// Its place among the policies of the document.
    pub(super) index: usize,
}

/// A set that can come in force.
pub(super) struct Compiled {
    pub(super) set: PolicySet,
    pub(super) entries: Arc<[PolicyEntry]>,
}

/// What is done, by whom, and whether somebody must confirm it.
pub(super) struct Change<'a> {
    /// For the list of versions.
    pub(super) what: String,
    pub(super) author: &'a Author,
    pub(super) confirm_s: Option<u32>,
}

impl<'a> Change<'a> {
    /// One that nobody has to confirm.
    pub(super) const fn of(what: String, author: &'a Author) -> Self {
        Self { what, author, confirm_s: None }
    }
}

/// Why the box does not run with the set that it should; `None` while it does. Asked for without the policies' lock.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub(super) fn is(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Ids that are paths of the API, or will be: no policy could be reached under them.
pub const RESERVED_IDS: &[&str] = &[
    "analysis",
    "commit",
    "confirm",
    "document",
    "evaluate",
    "explain",
    "export",
    "identities",
    "import",
    "order",
    "reload",
    "shadow",
    "versions",
    "what-if",
];

/// Where the set in force came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The daemon's own: no file is configured.
    Embedded,
    /// A file.
    File(PathBuf),
    /// A request.
    Api,
}

impl Origin {
    /// In one word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::File(_) => "file",
            Self::Api => "api",
        }
    }
}

/// Why a set did not come in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyLoadError {
    /// There is no file to read again.
    #[error("neither a policy file nor a file of applications is configured")]
    NoFile,
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The set, or the file of applications, has errors; all of them.
    #[error("the policy set or the applications have {} errors, the first: {}", errors.len(), errors.first().map(ToString::to_string).unwrap_or_default())]
    Invalid {
        /// Each with file and line.
        errors: Vec<PolicyError>,
    },
    /// A version that is to be in force again is not in the store.
    #[error("there is no version {version} any more")]
    Gone {
        /// Its number.
        version: u32,
    },
    /// It cannot be saved, so it is not in force.
    #[error("nothing was changed: {0}")]
    Store(#[from] StoreError),
}

impl Policies {
    /// The applications in force.
    pub(super) fn application_table(&self) -> Arc<AppTable> {
        Arc::clone(self.applications.table())
    }

    /// For a box with the zones and ports of `environment`, which recognises `applications`. `inline` refuses a set without a
    /// default action.
    #[must_use]
    pub fn new(environment: Environment, inline: bool, applications: Applications) -> Self {
        let mut names = dataplane::policy::Names::new();
        // What inspection can say has a number before a policy asks, so that wildcards find all of it.
        for protocol in protocols::all() {
            names.intern(Kind::Protocol, protocol.name);
            names.intern(Kind::Application, protocol.name);
        }
        let mut policies = Self {
            environment,
            names,
            inline,
            applications: Applications::default(),
            file: None,
            embedded: Arc::from(*b"{\"policies\":[]}"),
            history: None,
            subjects: None,
            trouble: Trouble::default(),
            current: Current {
                document: Arc::from(*b"{\"policies\":[]}"),
                sha256: String::new(),
                entries: Arc::default(),
                origin: Origin::Embedded,
                saved: None,
                source_sha256: None,
            },
            shadowing: Shadowing::default(),
            accounts: Accounts::default(),
            waiting: None,
            returned_at_start: None,
        };
        policies.name(applications.table());
        policies.applications = applications;
        policies
    }

    /// Gives every application of a table a number, so that policies may use its name.
    pub(super) fn name(&mut self, apps: &AppTable) {
        for app in apps.iter() {
            self.names.intern(Kind::Application, app.name());
        }
    }

    /// Compiles the set of `path`; nothing is saved.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError`].
    pub fn load_file(&mut self, path: &Path, version: u32) -> Result<PolicySet, PolicyLoadError> {
        let bytes = read(path)?;
        let compiled = self.compile(&path.display().to_string(), &bytes, version)?;
        self.file = Some(path.into());
        Ok(self.take_over(compiled, bytes, Origin::File(path.into())))
    }

    /// Compiles a set that is built into the daemon; nothing is saved.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError::Invalid`].
    pub fn load_embedded(&mut self, document: &[u8], version: u32) -> Result<PolicySet, PolicyLoadError> {
        let compiled = self.compile("(embedded)", document, version)?;
        self.embedded = document.into();
        Ok(self.take_over(compiled, document.into(), Origin::Embedded))
    }

    /// Makes a compiled set the current one; `saved` and `source_sha256` are the caller's to set.
    pub(super) fn take_over(&mut self, compiled: Compiled, document: Arc<[u8]>, origin: Origin) -> PolicySet {
        let Compiled { set, entries } = compiled;
        let sha256 = sha256(&document);
        let source_sha256 = match origin {
            Origin::Api => self.current.source_sha256.take(),
            Origin::Embedded | Origin::File(_) => Some(sha256.clone()),
        };
        self.current = Current { document, sha256, entries, origin, saved: None, source_sha256 };
        set
    }

    /// Whether `addr` is a service address of the box.
    pub(super) fn serves(&self, addr: Addr) -> bool {
        [self.environment.service_ipv4, self.environment.service_ipv6].contains(&Some(addr))
    }

    /// What the policies in force do; of the default, `set` says it.
    pub(super) fn live_actions(&self, set: &PolicySet) -> Actions {
        let entries = self.current.entries.iter().map(|entry| (entry.policy_id.as_str(), entry.action));
        Actions::of(entries, Some(set.treatment(None).name()))
    }

    /// Compiles a set under the name that its errors give.
    pub(super) fn compile(
        &mut self,
        name: &str,
        bytes: &[u8],
        version: u32,
    ) -> Result<Compiled, PolicyLoadError> {
        compile(&self.environment, self.inline, &mut self.names, name, bytes, version)
    }

    /// Compiles a document that is not to be in force, for whoever goes by these names besides the box's own.
    pub(super) fn compile_aside<'a>(
        &self,
        bytes: &[u8],
        version: u32,
        more: impl Iterator<Item = (Kind, &'a str)>,
    ) -> Result<(PolicySet, dataplane::policy::Names), PolicyLoadError> {
        let mut names = self.names.clone();
        more.for_each(|(kind, name)| {
            names.intern(kind, name);
        });
        let compiled = compile(&self.environment, false, &mut names, "(version)", bytes, version)?;
        Ok((compiled.set, names))
    }

    /// Both the set in force and a proposal, compiled for whoever compares them; nothing of it is remembered.
    pub(super) fn proposal(&self, bytes: &[u8]) -> Result<Proposal, PolicyLoadError> {
        let mut names = self.names.clone();
        let mut compiled = |name, bytes: &[u8]| {
            compile(&self.environment, self.inline, &mut names, name, bytes, 0).map(|compiled| compiled.set)
        };
        let live = compiled("(in force)", &self.current.document)?;
        let proposed = compiled("(proposal)", bytes)?;
        let actions = self.live_actions(&live);
        Ok(Proposal {
            live,
            proposed,
            actions,
            names,
            environment: self.environment.clone(),
            documents: [Arc::clone(&self.current.document), bytes.into()],
        })
    }
}

/// Two sets that are compared.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) live: PolicySet,
    pub(super) proposed: PolicySet,
    /// What the policies of the live set do.
    pub(super) actions: Actions,
    /// A copy of the box's own, which may grow.
    pub(super) names: dataplane::policy::Names,
    environment: Environment,
    /// Both as they are written, the live one first.
    pub(super) documents: [Arc<[u8]>; 2],
}

impl Proposal {
    /// Compiles both again: their wildcards mean names that are new.
    pub(super) fn again(&mut self) -> Result<(), PolicyLoadError> {
        let [live, proposed] = &self.documents;
        self.live = compile(&self.environment, false, &mut self.names, "(in force)", live, 0)?.set;
        self.proposed = compile(&self.environment, false, &mut self.names, "(proposal)", proposed, 0)?.set;
        Ok(())
    }
}

fn compile(
    environment: &Environment,
    inline: bool,
    names: &mut dataplane::policy::Names,
    name: &str,
    bytes: &[u8],
    version: u32,
) -> Result<Compiled, PolicyLoadError> {
    let file = PolicyFile::parse(name, bytes).map_err(|errors| PolicyLoadError::Invalid { errors })?;
    let mut errors = reserved_ids(&file);
    if inline && let Err(error) = file.require_default() {
        errors.push(error);
    }
    match PolicySet::compile(&file, version, environment, names) {
        Ok(set) if errors.is_empty() => Ok(Compiled { set, entries: entries(file) }),
        Ok(_) => Err(PolicyLoadError::Invalid { errors }),
        Err(more) => {
            errors.extend(more);
            Err(PolicyLoadError::Invalid { errors })
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Arc<[u8]>, PolicyLoadError> {
    let bytes = policy_file::read(path);
    bytes.map(Arc::from).map_err(|source| PolicyLoadError::File { path: path.into(), source })
}

fn reserved_ids(file: &PolicyFile) -> Vec<PolicyError> {
    let taken = file.policies.iter().enumerate();
    let taken = taken.filter(|(_, policy)| RESERVED_IDS.contains(&policy.policy_id.as_str()));
    taken
        .map(|(index, policy)| PolicyError {
            file: file.file.clone(),
            line: policy.line,
            column: 1,
            path: format!("policies[{index}].policy_id"),
            reason: format!(
                "\"{}\" is a path of the API, choose another id (also taken: {})",
                policy.policy_id,
                RESERVED_IDS.join(", ")
            ),
        })
        .collect()
}

fn entries(file: PolicyFile) -> Arc<[PolicyEntry]> {
    let entry = |(index, policy): (usize, dataplane::policy::Policy)| PolicyEntry {
        policy_id: policy.policy_id,
        name: policy.name,
        priority: policy.priority,
        enabled: policy.enabled,
        action: written_action(policy.action),
        line: policy.line,
        index,
    };
    let mut entries: Vec<_> = file.policies.into_iter().enumerate().map(entry).collect();
    entries.sort_unstable_by(|a, b| (a.priority, &a.policy_id).cmp(&(b.priority, &b.policy_id)));
    entries.into()
}

impl Names {
    /// Remembers what the policies of `set` are called.
    pub fn remember_set(&self, set: &PolicySet) {
        let ids = (0..set.len() as u32).map(|index| {
            set.info(PolicyIndex(index)).map(|info| info.policy_id.as_str().into()).unwrap_or_default()
        });
        self.remember(set.version(), ids.collect());
    }
}

/// A change that is in force, or on its way to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// The version under which flows and records remember the set.
    pub version: u64,
    /// How many policies it has.
    pub policies: usize,
    /// How long reading and compiling took, microseconds.
    pub compile_us: u64,
    /// How long after publication every worker had it in force, microseconds; `None` if one had not within
    /// the waiting time.
    pub in_force_us: Option<u64>,
    /// Where it came from.
    pub origin: Origin,
    /// How many applications are recognised.
    pub applications: usize,
    /// Whether it will be there after a restart.
    pub persistent: bool,
    /// Whether anything is another than before.
    pub changed: bool,
    /// What waits to be confirmed.
    pub commit: Option<CommitView>,
    /// What is to be looked at in it.
    pub findings: ToldFindings,
}

/// What is in force.
#[derive(Debug, Clone)]
pub struct PolicyState {
    /// The compiled set.
    pub set: Arc<PolicySet>,
    /// Whether every worker has it in force.
    pub in_force: bool,
    /// As it was written.
    pub document: Arc<[u8]>,
    /// Its SHA-256.
    pub sha256: String,
    /// Its policies in evaluation order, disabled ones included.
    pub entries: Arc<[PolicyEntry]>,
    /// Where it came from.
    pub origin: Origin,
    /// As the store has it; `None` where it was not saved.
    pub saved: Option<PolicyVersion>,
    /// What of it waits to be confirmed.
    pub commit: Option<CommitView>,
}

/// What is in force, in few words: for the audit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PolicySummary {
    version: u32,
    policies: usize,
    origin: String,
    /// SHA-256 of the set as it was written.
    sha256: String,
}

impl PolicyState {
    /// In few words.
    #[must_use]
    pub fn summary(&self) -> PolicySummary {
        let origin = match &self.origin {
            Origin::Embedded => "embedded".to_owned(),
            Origin::File(path) => path.display().to_string(),
            Origin::Api => "api".to_owned(),
        };
        let (version, policies) = (self.set.version(), self.entries.len());
        PolicySummary { version, policies, origin, sha256: self.sha256.clone() }
    }
}

/// What a hypothetical flow would meet.
#[derive(Debug)]
pub struct Judgement {
    /// The set that judged.
    pub set: Arc<PolicySet>,
    /// Its answer, with the reasons.
    pub explanation: Explanation,
}

impl Services {
    /// What is in force.
    #[must_use]
    pub fn policy(&self) -> PolicyState {
        let policies = self.policies();
        let current = self.door.publisher.current();
        PolicyState {
            set: Arc::clone(&current.policy),
            in_force: self.door.in_force(current.version),
            document: Arc::clone(&policies.current.document),
            sha256: policies.current.sha256.clone(),
            entries: Arc::clone(&policies.current.entries),
            origin: policies.current.origin.clone(),
            saved: policies.current.saved.clone(),
            commit: self.commit_of(&policies),
        }
    }

    /// Judges the flow that `context` describes, as workers would: where it leaves the country out, its addresses tell. Changes nothing.
    /// `tried_max` bounds how many policies that do not match are told.
    ///
    /// # Errors
    ///
    /// Every field of the context that cannot be read.
    pub fn evaluate(&self, context: &Value, tried_max: usize) -> Result<Judgement, Vec<ContextError>> {
        let now = self.now().wall;
        let policies = self.policies();
        let current = self.door.publisher.current();
        let set = Arc::clone(&current.policy);
        let context = EvaluationContext::read(context, &policies.environment, &policies.names, now)?;
        let mut facts = context.facts();
        if facts.country == Fact::Absent {
            facts.tell_country(current.geography.as_deref());
        }
        let explanation = set.explain(&facts, &mut Scratch::new(), &policies.names, tried_max);
        drop(policies);
        Ok(Judgement { set, explanation })
    }

    pub(super) fn policies(&self) -> MutexGuard<'_, Policies> {
        // Every change of the value is one assignment after all that can fail: a panic leaves it whole.
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holders of the policies' lock only: they alone publish.
    pub(super) fn next_policy_version(&self) -> u32 {
        self.door.publisher.current().version as u32 + 1
    }

    /// Publishes a set that is the current one already; blocks until every worker has it, for at most five seconds. Then looks at what
    /// deserves it in the set.
    pub(super) fn put_in_force(
        &self,
        policies: MutexGuard<'_, Policies>,
        set: PolicySet,
        apps: Option<Arc<AppTable>>,
        begun: Instant,
    ) -> PolicyChange {
        let document = Arc::clone(&policies.current.document);
        let change = self.publish(policies, set, apps, begun);
        PolicyChange { findings: self.told_findings(&document), ..change }
    }

    /// The same for a document that was in force before.
    pub(super) fn publish(
        &self,
        mut policies: MutexGuard<'_, Policies>,
        set: PolicySet,
        apps: Option<Arc<AppTable>>,
        begun: Instant,
    ) -> PolicyChange {
        let applications = policies.applications.table().len();
        let origin = policies.current.origin.clone();
        let count = policies.current.entries.len();
        let persistent = policies.current.saved.is_some() || origin != Origin::Api;
        let commit = self.show_commit(&policies);
        self.names.remember_set(&set);
        let entries = Arc::clone(&policies.current.entries);
        let set = policies.accounts.open(set, &entries, self.now_s(), |number| self.door.counts(number));
        self.door.reserve_accounts(set.accounts());
        let settings = self.door.publisher.current().settings;
        let published = Instant::now();
        let set = Arc::new(set);
        let version = match apps {
            Some(apps) => self.door.publisher.publish_with_apps(set, settings, apps),
            None => self.door.publisher.publish(set, settings),
        };
        drop(policies);
        self.ring_commits();
        let in_force_us = self.wait_in_force(version, published);
        self.door.publisher.reap();
        let compile_us = published.duration_since(begun).as_micros() as u64;
        tracing::info!(
            version,
            policies = count,
            applications,
            compile_us,
            in_force_us,
            "a policy set was put in force"
        );
        PolicyChange {
            version,
            policies: count,
            compile_us,
            in_force_us,
            origin,
            applications,
            persistent,
            changed: true,
            commit,
            findings: ToldFindings::default(),
        }
    }

    /// The same answer where nothing is another than before.
    pub(super) fn unchanged(&self, policies: MutexGuard<'_, Policies>, begun: Instant) -> PolicyChange {
        let Current { entries, origin, saved, .. } = &policies.current;
        let persistent = saved.is_some() || *origin != Origin::Api;
        let (count, origin) = (entries.len(), origin.clone());
        let applications = policies.applications.table().len();
        let version = self.door.publisher.current().version;
        let compile_us = begun.elapsed().as_micros() as u64;
        let commit = self.commit_of(&policies);
        let document = Arc::clone(&policies.current.document);
        drop(policies);
        let in_force_us = self.wait_in_force(version, Instant::now());
        PolicyChange {
            version,
            policies: count,
            compile_us,
            in_force_us,
            origin,
            applications,
            persistent,
            changed: false,
            commit,
            findings: self.told_findings(&document),
        }
    }

    fn wait_in_force(&self, version: u64, published: Instant) -> Option<u64> {
        while !self.door.in_force(version) {
            if published.elapsed() > IN_FORCE_TIMEOUT {
                return None;
            }
            std::thread::sleep(IN_FORCE_POLL);
        }
        Some(published.elapsed().as_micros() as u64)
    }
}

/// An action as policy files write it.
const fn written_action(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Drop => "drop",
        Action::Reject => "reject",
        Action::Redirect(_) => "redirect",
        Action::RateLimit(_) => "rate_limit",
    }
}

/// An action as policy files write it.
#[must_use]
pub fn action_name(action: OutcomeAction) -> &'static str {
    match action {
        OutcomeAction::Allow => "allow",
        OutcomeAction::Drop(_) => "drop",
        OutcomeAction::Reject(_) => "reject",
        OutcomeAction::Redirect(_) => "redirect",
        OutcomeAction::RateLimit(_) => "rate_limit",
    }
}
