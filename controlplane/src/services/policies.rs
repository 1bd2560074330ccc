//! Which policies are in force, and how do others come in force?
//!
//! A set is read and compiled whole, beside the one in force; with a single error nothing changes. Compiling
//! happens under one lock, so that changes come in force one after the other and versions count up.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataplane::dpi::{AppTable, protocols};
use dataplane::policy::{
    ContextError, Environment, EvaluationContext, Explanation, Kind, OutcomeAction, PolicyError, PolicyFile,
    PolicyIndex, PolicySet, Scratch,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Applications, Names, Services};
use crate::store::policy_file;

/// How long a reload waits to see the new set in force before it answers without that.
const IN_FORCE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it looks.
const IN_FORCE_POLL: Duration = Duration::from_micros(200);

/// Where policy sets are compiled: what names mean on this box, and which numbers names have had so far.
#[derive(Debug)]
pub struct Policies {
    environment: Environment,
    names: dataplane::policy::Names,
    inline: bool,
    applications: Applications,
    file: Option<PathBuf>,
    /// What is in force, as it was written.
    document: Arc<[u8]>,
    origin: Origin,
}

/// Where the set in force came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The daemon's own: no file is configured.
    Embedded,
    /// A file.
    File(PathBuf),
    /// A request; gone after a restart.
    Api,
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
            document: Arc::from(*b"{\"policies\":[]}"),
            origin: Origin::Embedded,
        };
        policies.name(applications.table());
        policies.applications = applications;
        policies
    }

    /// Gives every application of a table a number, so that policies may use its name.
    fn name(&mut self, apps: &AppTable) {
        for app in apps.iter() {
            self.names.intern(Kind::Application, app.name());
        }
    }

    /// The file again, or what is in force where there is none.
    fn load_again(&mut self, version: u32) -> Result<PolicySet, PolicyLoadError> {
        match self.file.clone() {
            Some(path) => self.load_file(&path, version),
            None => self.compile("(in force)", &Arc::clone(&self.document), version),
        }
    }

    /// Compiles the set of `path`, which reloads will read again.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError`].
    pub fn load_file(&mut self, path: &Path, version: u32) -> Result<PolicySet, PolicyLoadError> {
        let bytes =
            policy_file::read(path).map_err(|source| PolicyLoadError::File { path: path.into(), source })?;
        let set = self.compile(&path.display().to_string(), &bytes, version)?;
        self.file = Some(path.into());
        self.document = bytes.into();
        self.origin = Origin::File(path.into());
        Ok(set)
    }

    /// Compiles a set that is built into the daemon.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError::Invalid`].
    pub fn load_embedded(&mut self, document: &[u8], version: u32) -> Result<PolicySet, PolicyLoadError> {
        let set = self.compile("(embedded)", document, version)?;
        self.document = document.into();
        self.origin = Origin::Embedded;
        Ok(set)
    }

    fn compile(&mut self, origin: &str, bytes: &[u8], version: u32) -> Result<PolicySet, PolicyLoadError> {
        let file = PolicyFile::parse(origin, bytes).map_err(|errors| PolicyLoadError::Invalid { errors })?;
        let mut errors = Vec::new();
        if self.inline
            && let Err(error) = file.require_default()
        {
            errors.push(error);
        }
        match PolicySet::compile(&file, version, &self.environment, &mut self.names) {
            Ok(set) if errors.is_empty() => Ok(set),
            Ok(_) => Err(PolicyLoadError::Invalid { errors }),
            Err(more) => {
                errors.extend(more);
                Err(PolicyLoadError::Invalid { errors })
            }
        }
    }
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
    /// Where it came from.
    pub origin: Origin,
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
        let digest = Sha256::digest(&*self.document);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        PolicySummary { version: self.set.version(), policies: self.set.len(), origin, sha256 }
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
    /// Reads the file of applications and the policy file again and puts both in force at once; blocks until they are,
    /// for at most five seconds. With an error in either of them nothing changes.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError`]; the old set and the old applications stay.
    pub fn reload(&self) -> Result<PolicyChange, PolicyLoadError> {
        let begun = Instant::now();
        let mut policies = self.policies();
        let applications = policies.applications.reread()?;
        if applications.is_none() && policies.file.is_none() {
            return Err(PolicyLoadError::NoFile);
        }
        if let Some(applications) = &applications {
            policies.name(applications.table());
        }
        let set = policies.load_again(self.next_policy_version())?;
        if let Some(applications) = &applications {
            policies.applications = applications.clone();
        }
        let apps = applications.map(|applications| Arc::clone(applications.table()));
        Ok(self.put_in_force(policies, set, apps, begun))
    }

    /// Puts the set of `document` in force until the next reload or restart; blocks as
    /// [`Self::reload`] does.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError::Invalid`]; the old set stays.
    pub fn replace_policy(&self, document: &[u8]) -> Result<PolicyChange, PolicyLoadError> {
        let begun = Instant::now();
        let mut policies = self.policies();
        let set = policies.compile("(request)", document, self.next_policy_version())?;
        policies.document = document.into();
        policies.origin = Origin::Api;
        Ok(self.put_in_force(policies, set, None, begun))
    }

    /// What is in force.
    #[must_use]
    pub fn policy(&self) -> PolicyState {
        let policies = self.policies();
        let current = self.door.publisher.current();
        PolicyState {
            set: Arc::clone(&current.policy),
            in_force: self.door.in_force(current.version),
            document: Arc::clone(&policies.document),
            origin: policies.origin.clone(),
        }
    }

    /// Judges the flow that `context` describes, as workers would; changes nothing. `tried_max` bounds how
    /// many policies that do not match are told.
    ///
    /// # Errors
    ///
    /// Every field of the context that cannot be read.
    pub fn evaluate(&self, context: &Value, tried_max: usize) -> Result<Judgement, Vec<ContextError>> {
        let now = self.now().wall;
        let policies = self.policies();
        let set = Arc::clone(&self.door.publisher.current().policy);
        let context = EvaluationContext::read(context, &policies.environment, &policies.names, now)?;
        let explanation = set.explain(&context.facts(), &mut Scratch::new(), &policies.names, tried_max);
        drop(policies);
        Ok(Judgement { set, explanation })
    }

    pub(super) fn policies(&self) -> MutexGuard<'_, Policies> {
        // Every change of the value is one assignment after all that can fail: a panic leaves it whole.
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holders of the policies' lock only: they alone publish.
    fn next_policy_version(&self) -> u32 {
        self.door.publisher.current().version as u32 + 1
    }

    fn put_in_force(
        &self,
        policies: MutexGuard<'_, Policies>,
        set: PolicySet,
        apps: Option<Arc<AppTable>>,
        begun: Instant,
    ) -> PolicyChange {
        let applications = policies.applications.table().len();
        let origin = policies.origin.clone();
        let count = set.len();
        self.names.remember_set(&set);
        let settings = self.door.publisher.current().settings;
        let published = Instant::now();
        let set = Arc::new(set);
        let version = match apps {
            Some(apps) => self.door.publisher.publish_with_apps(set, settings, apps),
            None => self.door.publisher.publish(set, settings),
        };
        drop(policies);
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
        PolicyChange { version, policies: count, compile_us, in_force_us, origin, applications }
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
