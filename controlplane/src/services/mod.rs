//! What does a request mean? One function per use case: plain types in, plain types out, no HTTP.
//!
//! [`Services`] reads the packet path through its [`Door`] and changes it by publishing snapshots. Functions
//! that wait for a worker or compile policies block their thread; they say so.

pub mod api_counts;
pub mod applications;
pub mod applications_seen;
pub mod audit;
pub mod eve;
pub mod auth;
pub mod backup;
pub mod catalog;
pub mod classify;
pub mod differences;
pub mod events;
pub mod explain;
pub mod explain_past;
pub mod flows;
pub mod job_board;
pub mod levers;
pub mod live;
pub mod holds;
pub mod identities;
pub mod metrics;
pub mod names;
pub mod outcomes;
pub mod policies;
pub mod policy_commit;
pub mod policy_counts;
pub mod policy_document;
pub mod policy_edit;
pub mod policy_findings;
pub mod policy_shadow;
pub mod policy_start;
pub mod policy_versions;
pub mod policy_way;
pub mod rate_limited;
mod recorded_flow;
pub mod rules;
pub mod stamp;
pub mod subjects;
pub mod talkers;
pub mod telemetry;
pub mod telemetry_history;
pub mod webhooks;
pub mod what_if;
mod user_notes;
pub mod wire;

mod eve_stats;
mod heavy;
mod stoppable;
mod system;

pub use api_counts::ApiCounts;
pub use applications::Applications;
pub use audit::Audit;
pub use auth::Auth;
pub use events::{EveTypes, EventCounts, EventPump, PumpHandle, Transactions};
pub use identities::{Identities, Several};
pub use names::Names;
pub use policies::{Policies, PolicyLoadError};
pub use policy_start::{Author, PolicySources};
pub use rate_limited::RateLimited;
pub use stoppable::Stoppable;
pub use subjects::Subjects;
pub use system::{Degradation, Health, SystemDetail};

use std::sync::{Arc, Mutex};

use dataplane::control::Door;
use dataplane::time::Now;

use self::backup::Backups;
use self::classify::Reader;
use self::job_board::{JobBoard, JobError, JobView};
use self::webhooks::Webhooks;
use crate::store::{StoreError, Upload, Uploads};

/// What the services work on.
pub struct Parts {
    /// The way to the workers; its snapshot must be the set that `policies` compiled last.
    pub door: Arc<Door>,
    /// What ports and policies are called; the event pump's own.
    pub names: Arc<Names>,
    /// Where policy sets are compiled.
    pub policies: Policies,
    /// Who is where.
    pub identities: Identities,
    /// What the event pump did; the event pump's own.
    pub events: Arc<EventCounts>,
    /// Accounts, sessions and keys.
    pub auth: Arc<Auth>,
    /// Who changed what.
    pub audit: Arc<Audit>,
    /// Where captures that clients send are kept and read; `None`: they are not taken.
    pub captures: Option<(Uploads, Reader)>,
    /// Where all that is kept is put into one file; `None`: nowhere.
    pub backups: Option<Backups>,
    /// Who is told what happens; the event pump's own.
    pub live: Arc<live::Hub>,
    /// What can be done to the process; `None`: nothing.
    pub levers: Option<Arc<dyn levers::Levers>>,
    /// Where rules are read; `None`: nowhere.
    pub rules: Option<Arc<dyn rules::RuleBook>>,
    /// The clock that the workers use.
    pub clock: fn() -> Now,
    /// The daemon's version.
    pub version: &'static str,
}

/// All use cases, for any number of threads.
pub struct Services {
    door: Arc<Door>,
    names: Arc<Names>,
    policies: Mutex<Policies>,
    identities: Identities,
    policy_trouble: policies::Trouble,
    commit_bell: policy_commit::CommitBell,
    commit_shown: policy_commit::CommitShown,
    commit_counts: policy_commit::CommitCounts,
    events: Arc<EventCounts>,
    auth: Arc<Auth>,
    api_counts: ApiCounts,
    audit: Arc<Audit>,
    captures: Option<(Uploads, Reader)>,
    backups: Option<Arc<Backups>>,
    jobs: JobBoard,
    webhooks: Webhooks,
    history: telemetry_history::History,
    levers: Option<Arc<dyn levers::Levers>>,
    rules: Option<Arc<dyn rules::RuleBook>>,
    live: Arc<live::Hub>,
    clock: fn() -> Now,
    version: &'static str,
    started: Now,
}

impl Services {
    /// The daemon's version.
    #[must_use]
    pub const fn version(&self) -> &'static str {
        self.version
    }

    /// Begins counting uptime, and remembers the names of the first policy set.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            door,
            names,
            mut policies,
            mut identities,
            events,
            auth,
            audit,
            captures,
            backups,
            live,
            levers,
            rules,
            clock,
            version,
        } = parts;
        policies.subjects = Some(Arc::clone(audit.subjects()));
        names.remember_set(&door.publisher.current().policy);
        let started = clock();
        let webhooks = Webhooks::open(auth.store(), Arc::clone(audit.subjects()));
        let history = telemetry_history::History::open(auth.store());
        let policy_trouble = policies.trouble.clone();
        let saved = identities.take_saved();
        let (policies, api_counts, jobs) = (Mutex::new(policies), ApiCounts::default(), JobBoard::default());
        let services = Arc::new(Self {
            door,
            names,
            policies,
            identities,
            policy_trouble,
            commit_bell: policy_commit::CommitBell::default(),
            commit_shown: policy_commit::CommitShown::default(),
            commit_counts: policy_commit::CommitCounts::default(),
            events,
            auth,
            audit,
            captures,
            backups: backups.map(Arc::new),
            jobs,
            webhooks,
            history,
            levers,
            rules,
            live,
            api_counts,
            clock,
            version,
            started,
        });
        services.show_commit(&services.policies());
        if let Some(saved) = saved {
            services.restore_identities(saved);
        }
        services
    }

    /// What ports and policies are called.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Accounts, sessions and keys.
    #[must_use]
    pub const fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// What happens at the API's doors.
    #[must_use]
    pub const fn api_counts(&self) -> &ApiCounts {
        &self.api_counts
    }

    /// Who is told of events without asking.
    #[must_use]
    pub const fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// What takes longer than a client should wait.
    #[must_use]
    pub const fn jobs(&self) -> &JobBoard {
        &self.jobs
    }

    /// A place for a capture that a client sends; `None` where none are taken.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the file system makes none.
    pub fn begin_upload(&self) -> Result<Option<Upload>, StoreError> {
        self.captures.as_ref().map(|(uploads, _reader)| uploads.begin()).transpose()
    }

    /// Takes the job of saying what is in a capture.
    ///
    /// # Errors
    ///
    /// [`JobError`]; the upload is gone then.
    pub fn classify(&self, upload: Upload, user_id: &str) -> Result<JobView, JobError> {
        let Some((_uploads, reader)) = &self.captures else { return Err(JobError::Busy) };
        let reader = reader.clone();
        self.jobs.submit("dpi.classify", user_id, self.clock, move |progress| {
            let view = classify::classify(&reader, &upload, progress)?;
            serde_json::to_value(view).map_err(|error| error.to_string())
        })
    }

    /// What can be done to the process; `None` where nothing can.
    #[must_use]
    pub const fn levers(&self) -> Option<&Arc<dyn levers::Levers>> {
        self.levers.as_ref()
    }

    /// Who changed what.
    #[must_use]
    pub const fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// Who is told what happens.
    #[must_use]
    pub const fn live(&self) -> &Arc<live::Hub> {
        &self.live
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now().wall.0
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.now_ns() / 1_000_000_000
    }

    fn now(&self) -> Now {
        (self.clock)()
    }
}
