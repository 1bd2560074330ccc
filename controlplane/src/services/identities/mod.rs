//! Who is where? Assertions come in, workers are told what holds of each key, records name the user.
//!
//! ```text
//! source ─► Registry: what holds of each key ─► names become numbers ─► the door ─► every worker
//!                                         └─► Names: what records call the user
//! ```
//!
//! Names are numbered under the policies' lock, as policies' own are. A name that nobody had before and that a wildcard of the
//! policies in force means makes them be compiled again, before workers hear of the user.

mod keeper;
mod lease_line;
mod leases;
mod ledger;
mod naming;
pub mod oidc;
mod outcomes;
mod portal;
mod registry;
mod saved;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dataplane::identity::{Identity, Key};
use dataplane::parse::Mac;
use serde::Serialize;
use utoipa::ToSchema;

pub use lease_line::LeaseSender;
pub use ledger::{Kept, Ledger};
pub use outcomes::{
    LeaseOutcome, PortalOutcome, RadiusOutcome, RefusedOutcome, RestoreOutcome, SyslogOutcome,
};
pub use registry::{
    Assertion, KEYS_MAX, LIVE_MAX, Live, Precedence, Refused, Registry, Several, Source, Who,
};
pub use saved::Saved;

use oidc::Oidc;

use super::outcomes::Outcomes;
use super::policies::Policies;
use super::{PolicyLoadError, Services};
use leases::LEASES_MAX;
use naming::{Unnamed, are_meant};
use registry::Changed;

/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 128;

/// Characters of an attribute's value.
pub const VALUE_CHARS_MAX: usize = 256;

/// Groups of a user, attributes of a user, and values of an attribute.
pub const LIST_MAX: usize = 64;

/// Different names of one kind that are numbered: numbers are never given back.
pub const NAMES_MAX: u32 = 1_000_000;

/// Assertions that expire in one go.
const EXPIRED_MAX: usize = 1_000;

/// How long an answer waits until workers go by the change.
const IN_FORCE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it looks.
const IN_FORCE_POLL: Duration = Duration::from_micros(200);

/// What is known of who is where.
#[derive(Debug, Default)]
pub struct Identities {
    registry: Mutex<Registry>,
    radius: Outcomes<RadiusOutcome>,
    syslog: Outcomes<SyslogOutcome>,
    portal: Outcomes<PortalOutcome>,
    lease_counts: Arc<Outcomes<LeaseOutcome>>,
    restored: Outcomes<RestoreOutcome>,
    refused: Outcomes<RefusedOutcome>,
    /// Numbers of names that are used, of the kind of which the most are.
    names_used: AtomicU32,
    ledger: OnceLock<Arc<Ledger>>,
    saved: Option<Saved>,
    oidc: Option<Arc<Oidc>>,
}

impl Identities {
    /// None yet.
    #[must_use]
    pub fn new(several: Several, precedence: Precedence) -> Self {
        Self { registry: Mutex::new(Registry::new(several, precedence)), ..Self::default() }
    }

    /// The same, with a provider whose tokens are taken.
    #[must_use]
    pub fn with_oidc(self, oidc: Option<Arc<Oidc>>) -> Self {
        Self { oidc, ..self }
    }

    /// The same, with what was kept from before, and where changes are kept.
    #[must_use]
    pub fn with_saved(self, saved: Saved) -> Self {
        Self { saved: Some(saved), ..self }
    }

    /// What was kept from before, once.
    pub(super) const fn take_saved(&mut self) -> Option<Saved> {
        self.saved.take()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an assertion is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Others speak against it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is about the box itself, or about no host.
    #[error("`{key}` is {what}, which no user has")]
    Nobodys {
        /// Where.
        key: Key,
        /// What that is.
        what: &'static str,
    },
    /// Too many leases.
    #[error("{LEASES_MAX} leases live, and no more are taken before some are over")]
    Leases,
    /// Too many different names.
    #[error(
        "there are {NAMES_MAX} different names of this kind already, and no more are taken before a restart"
    )]
    Names,
    /// The policies cannot be compiled with the new name.
    #[error("the policies in force mean the new name and cannot be compiled again: {0}")]
    Policies(#[from] PolicyLoadError),
    /// There is none.
    #[error("there is no assertion {0}")]
    Unknown(u64),
}

/// An assertion, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IdentityView {
    /// By which it is ended.
    pub identity_id: u64,
    /// Addresses, networks and Ethernet addresses.
    pub addresses: Vec<String>,
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// Who says so.
    pub source: Source,
    /// Since when, seconds since 1970.
    pub since_s: u64,
    /// Until when, seconds since 1970; left out: until it is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
    /// Addresses at which it holds: another assertion holds at the others, or none does.
    pub in_force: Vec<String>,
}

/// What came of a change.
#[derive(Debug, Clone)]
pub struct Told {
    /// The assertion.
    pub identity: IdentityView,
    /// Assertions that it ended.
    pub ended: Vec<u64>,
    /// How long after it every worker went by it, microseconds; `None`: one did not in time.
    pub in_force_us: Option<u64>,
}

/// An assertion that was taken.
struct Taken {
    identity: IdentityView,
    ended: Vec<u64>,
    /// Of the change that workers must go by.
    number: u64,
}

/// Which assertions are wanted.
#[derive(Debug, Clone, Default)]
pub struct IdentityQuestion {
    /// Of this user.
    pub user_id: Option<String>,
    /// About exactly this key.
    pub address: Option<Key>,
    /// Behind this assertion.
    pub after: u64,
    /// So many at most.
    pub limit: usize,
}

impl Services {
    /// Takes an assertion; waits until every worker goes by it, for two seconds at most.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; nothing has changed then.
    pub fn assert_identity(&self, assertion: Assertion) -> Result<Told, IdentityError> {
        let begun = Instant::now();
        let Taken { identity, ended, number } = self.take(assertion)?;
        Ok(Told { identity, ended, in_force_us: self.wait_identified(number, begun) })
    }

    /// The same without waiting; the number of the assertion.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; nothing has changed then.
    pub fn take_identity(&self, assertion: Assertion) -> Result<u64, IdentityError> {
        self.take(assertion).map(|taken| taken.identity.identity_id)
    }

    fn take(&self, assertion: Assertion) -> Result<Taken, IdentityError> {
        self.try_to_take(assertion).inspect_err(|error| self.count_refused(error))
    }

    fn try_to_take(&self, assertion: Assertion) -> Result<Taken, IdentityError> {
        let mut policies = self.policies();
        for key in &assertion.keys {
            if let Some(what) = nobodys(*key, &policies) {
                return Err(IdentityError::Nobodys { key: *key, what });
            }
        }
        // Before a name gets a number, which is never given back.
        self.identities.registry().permits(&assertion)?;
        let new = policies.unnamed(&assertion.who)?;
        if !new.is_empty() {
            policies = self.number(policies, &new)?;
        }
        let mut registry = self.identities.registry();
        let (live, changed) = registry.assert(assertion, self.now_ns())?;
        self.names.remember_user(live.number, &live.assertion.who);
        let number = self.tell_workers(&registry, &policies, &changed);
        let identity = view(&registry, &live);
        drop((registry, policies));
        Ok(Taken { identity, ended: changed.ended.iter().map(|live| live.id).collect(), number })
    }

    /// Gives new names numbers. Sets whose wildcards mean one of them are compiled again, and in force.
    fn number<'a>(
        &'a self,
        mut policies: MutexGuard<'a, Policies>,
        new: &Unnamed<'_>,
    ) -> Result<MutexGuard<'a, Policies>, IdentityError> {
        if are_meant(new, &self.door.publisher.current().policy) {
            let before = policies.names.clone();
            policies.number(new);
            policies = self.compile_again(policies, before)?;
        } else {
            policies.number(new);
        }
        let shadow = policies.shadowing.running.as_ref();
        if shadow.is_some_and(|running| are_meant(new, running.shadow.set())) {
            self.shadow_again(&mut policies);
        }
        // Relaxed: it stands alone.
        self.identities.names_used.store(policies.names_used(), Ordering::Relaxed);
        Ok(policies)
    }

    fn count_refused(&self, error: &IdentityError) {
        self.identities.refused.add(match error {
            IdentityError::Refused(Refused::Full) => RefusedOutcome::Full,
            IdentityError::Refused(Refused::Taken { .. }) => RefusedOutcome::Taken,
            IdentityError::Nobodys { .. } => RefusedOutcome::Address,
            IdentityError::Leases => RefusedOutcome::Leases,
            IdentityError::Names => RefusedOutcome::Names,
            IdentityError::Policies(_) => RefusedOutcome::Policies,
            // It is said of an end.
            IdentityError::Unknown(_) => return,
        });
    }

    /// Ends an assertion without waiting, where it is there.
    pub fn drop_identity(&self, id: u64) {
        let policies = self.policies();
        let mut registry = self.identities.registry();
        if let Some(changed) = registry.end(id) {
            self.tell_workers(&registry, &policies, &changed);
        }
    }

    /// Ends what a source said of exactly this key, of one user or of all, without waiting.
    pub fn drop_identities_at(&self, key: Key, source: Source, user_id: Option<&str>) {
        let policies = self.policies();
        let mut registry = self.identities.registry();
        let changed = registry.end_at(key, source, user_id);
        self.tell_workers(&registry, &policies, &changed);
    }

    /// Takes a lease: whoever has this Ethernet address was given an address, until a time in nanoseconds since 1970.
    ///
    /// # Errors
    ///
    /// An address that no host can be given, or too many leases; nothing has changed then.
    pub fn take_lease(&self, addr: Key, mac: Mac, expires_ns: u64) -> Result<(), IdentityError> {
        self.try_to_take_lease(addr, mac, expires_ns).inspect_err(|error| self.count_refused(error))
    }

    fn try_to_take_lease(&self, addr: Key, mac: Mac, expires_ns: u64) -> Result<(), IdentityError> {
        let policies = self.policies();
        for key in [addr, Key::Mac(mac)] {
            if let Some(what) = nobodys(key, &policies) {
                return Err(IdentityError::Nobodys { key, what });
            }
        }
        let mut registry = self.identities.registry();
        let changed = registry.lease(addr, mac, expires_ns).ok_or(IdentityError::Leases)?;
        self.tell_workers(&registry, &policies, &changed);
        Ok(())
    }

    /// How many leases live.
    #[must_use]
    pub fn leases_live(&self) -> usize {
        self.identities.registry().leases()
    }

    /// Whether an assertion is there.
    #[must_use]
    pub fn has_identity(&self, id: u64) -> bool {
        self.identities.registry().get(id).is_some()
    }

    /// What came of DHCP leases.
    #[must_use]
    pub const fn lease_counts(&self) -> &Arc<Outcomes<LeaseOutcome>> {
        &self.identities.lease_counts
    }

    /// What became of messages of syslog.
    #[must_use]
    pub const fn syslog_counts(&self) -> &Outcomes<SyslogOutcome> {
        &self.identities.syslog
    }

    /// What came of RADIUS accounting.
    #[must_use]
    pub const fn radius_counts(&self) -> &Outcomes<RadiusOutcome> {
        &self.identities.radius
    }

    /// What came of what was kept from before.
    #[must_use]
    pub const fn restore_counts(&self) -> &Outcomes<RestoreOutcome> {
        &self.identities.restored
    }

    /// Assertions and leases that were refused, whatever source they came from.
    #[must_use]
    pub const fn refused_counts(&self) -> &Outcomes<RefusedOutcome> {
        &self.identities.refused
    }

    /// Numbers of names that users have had since the start, of the kind of which the most are; [`NAMES_MAX`] is the end.
    #[must_use]
    pub fn identity_names(&self) -> u32 {
        self.identities.names_used.load(Ordering::Relaxed)
    }

    /// Where who is where is kept; `None`: nowhere.
    #[must_use]
    pub fn identity_ledger(&self) -> Option<&Arc<Ledger>> {
        self.identities.ledger.get()
    }

    /// Ends an assertion; waits as [`Self::assert_identity`] does.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Unknown`].
    pub fn end_identity(&self, id: u64) -> Result<Told, IdentityError> {
        let begun = Instant::now();
        let policies = self.policies();
        let mut registry = self.identities.registry();
        let live = registry.get(id).cloned().ok_or(IdentityError::Unknown(id))?;
        let identity = view(&registry, &live);
        let changed = registry.end(id).unwrap_or_default();
        let number = self.tell_workers(&registry, &policies, &changed);
        drop((registry, policies));
        Ok(Told { identity, ended: vec![id], in_force_us: self.wait_identified(number, begun) })
    }

    /// A page of assertions, by number, and whether there are more.
    #[must_use]
    pub fn identities(&self, question: &IdentityQuestion) -> (Vec<IdentityView>, bool) {
        let registry = self.identities.registry();
        let is_meant = |live: &&Live| {
            let said = &live.assertion;
            question.user_id.as_ref().is_none_or(|user_id| *user_id == said.who.user_id)
                && question.address.is_none_or(|key| said.keys.contains(&key))
        };
        let mut found = registry.after(question.after).filter(is_meant);
        let page = found.by_ref().take(question.limit).map(|live| view(&registry, live)).collect();
        (page, found.next().is_some())
    }

    /// One assertion.
    #[must_use]
    pub fn identity(&self, id: u64) -> Option<IdentityView> {
        let registry = self.identities.registry();
        registry.get(id).map(|live| view(&registry, live))
    }

    /// How many assertions live.
    #[must_use]
    pub fn identities_live(&self) -> usize {
        self.identities.registry().len()
    }

    /// The assertion that workers' word of somebody comes from.
    pub(super) fn said_of(&self, identity: &Identity) -> Option<IdentityView> {
        let registry = self.identities.registry();
        registry.by_number(identity.number).map(|live| view(&registry, live))
    }

    /// Ends assertions whose time is over.
    pub(super) fn expire_identities(&self) {
        let now_ns = self.now_ns();
        // Mostly none is due, and nobody who compiles policies is waited for.
        while self.identities.registry().is_due(now_ns) {
            let policies = self.policies();
            let mut registry = self.identities.registry();
            let changed = registry.expire(now_ns, EXPIRED_MAX);
            self.tell_workers(&registry, &policies, &changed);
        }
    }

    /// Tells workers what holds of the keys that changed; gives the number of the last change.
    fn tell_workers(&self, registry: &Registry, policies: &Policies, changed: &Changed) -> u64 {
        changed.ended.iter().for_each(|live| self.names.forget_user(live.number));
        let mut number = self.door.newest_identity();
        for key in registry.reached_by(&changed.keys) {
            let identity = registry.holds(key).map(|live| Arc::new(policies.identity(live)));
            number = self.door.identify(key, identity.as_ref());
        }
        number
    }

    fn wait_identified(&self, number: u64, begun: Instant) -> Option<u64> {
        while !self.door.is_identified(number) {
            if begun.elapsed() > IN_FORCE_TIMEOUT {
                return None;
            }
            std::thread::sleep(IN_FORCE_POLL);
        }
        Some(begun.elapsed().as_micros() as u64)
    }

    /// Puts the policies in force once more, whose wildcards mean names that are new. Where that fails names are as they were `before`, so
    /// that the next who has one of them is not taken for known.
    fn compile_again<'a>(
        &'a self,
        mut policies: MutexGuard<'a, Policies>,
        before: dataplane::policy::Names,
    ) -> Result<MutexGuard<'a, Policies>, PolicyLoadError> {
        let begun = Instant::now();
        let document = Arc::clone(&policies.current.document);
        let compiled = policies.compile("(in force)", &document, self.next_policy_version());
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => {
                policies.names = before;
                return Err(error);
            }
        };
        policies.current.entries = compiled.entries;
        self.publish(policies, compiled.set, None, begun);
        Ok(self.policies())
    }
}

/// What a key is that no user can have.
fn nobodys(key: Key, policies: &Policies) -> Option<&'static str> {
    if let Key::Mac(mac) = key {
        return (mac.0[0] & 1 != 0 || mac.0 == [0; 6]).then_some("no Ethernet address of one host");
    }
    let (addr, _) = key.as_network().filter(|_| key.is_addr())?;
    let own = [policies.environment.service_ipv4, policies.environment.service_ipv6];
    match () {
        () if own.iter().flatten().any(|own| own.to_ip() == addr) => Some("an address of this box"),
        () if addr.is_loopback() => Some("a loopback address"),
        () if addr.is_multicast() => Some("a multicast address"),
        () if addr.is_unspecified() => Some("the unspecified address"),
        () => None,
    }
}

fn view(registry: &Registry, live: &Live) -> IdentityView {
    let Assertion { keys, who, source, expires_ns } = &*live.assertion;
    let is_his = |key: &Key| registry.holds(*key).is_some_and(|other| other.id == live.id);
    let in_force = registry.reached_by(keys).filter(is_his);
    IdentityView {
        identity_id: live.id,
        addresses: keys.iter().map(ToString::to_string).collect(),
        who: who.clone(),
        source: *source,
        since_s: live.since_ns / 1_000_000_000,
        expires_s: expires_ns.map(|expires_ns| expires_ns / 1_000_000_000),
        in_force: in_force.map(|key| key.to_string()).collect(),
    }
}
