//! Under which rules does this batch run? An immutable value, swapped by pointer, loaded once a batch.
//!
//! The publisher keeps every old snapshot until no worker holds it any more and frees it itself
//! ([`Publisher::reap`]), so that no worker ever frees a large policy set between two packets.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::dpi::AppTable;
use crate::geography::Geography;
use crate::policy::{PolicySet, Shadow, Supplied};
use crate::rules::RuleSet;

/// Everything that a worker needs to judge, of one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Counts up by one with every publication of policies; flows remember it.
    pub version: u64,
    /// The compiled policies.
    pub policy: Arc<PolicySet>,
    /// What the configuration says besides.
    pub settings: Settings,
    /// Signatures; `None` where there are none.
    pub rules: Option<Arc<RuleSet>>,
    /// Applications that are recognised; `None` for those that the engines were built with.
    pub apps: Option<Arc<AppTable>>,
    /// A proposal that is asked beside the policies and never obeyed.
    pub shadow: Option<Arc<Shadow>>,
    /// Where flows are; `None` where nobody tells. Flows are judged anew when it changes.
    pub geography: Option<Arc<Geography>>,
}

impl Snapshot {
    /// Whether some policy asks in which country a flow is.
    #[must_use]
    pub fn asks_for_country(&self) -> bool {
        self.policy.asks_for_country()
            || self.shadow.as_ref().is_some_and(|shadow| shadow.set().asks_for_country())
    }
}

/// Run-time settings of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What happens when something runs out or cannot be known.
    pub exceptions: Exceptions,
    /// Refusals (RST, ICMP) per second and worker.
    pub reject_per_s: u32,
    /// Records of packets that flows lose after their first one, per second and worker.
    pub drops_per_s: u32,
    /// How long after start a mid-stream flow is picked up loosely, seconds.
    pub adopt_s: u32,
    /// Facts that something besides the headers will tell of every flow: pending until it does.
    pub supplied: Supplied,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            exceptions: Exceptions::default(),
            reject_per_s: 1_000,
            drops_per_s: 1_000,
            adopt_s: 60,
            supplied: Supplied::default(),
        }
    }
}

/// Suricata's exception policies: what to do where the engine cannot go on as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceptions {
    /// The flow table is full and nothing can be evicted.
    pub flow_table_full: ExceptionAction,
    /// No room to hold a fragment.
    pub fragment_memory: ExceptionAction,
    /// Inline: no room for a TCP segment that must wait to be inspected. [`ExceptionAction::Drop`] drops the segment, so
    /// that it comes again; [`ExceptionAction::Pass`] lets it and all of its flow go uninspected;
    /// [`ExceptionAction::Ignore`] inspects what can be inspected.
    pub reassembly_memory: ExceptionAction,
    /// Inline: TCP bytes come again that we could not remember, so that another content would not be noticed.
    pub overlap_unverified: ExceptionAction,
    /// A signature's tests took more steps than they may. [`ExceptionAction::Pass`] lets all of the flow go by without signatures.
    pub rule_budget: ExceptionAction,
    /// A parser cannot go on with a payload, or with its flow.
    pub parser_error: ParserErrorAction,
    /// A TCP flow is seen from its middle, later than `adopt_s` after start.
    pub midstream: ExceptionAction,
    /// A TCP flow of which only one direction crosses the box.
    pub oneway: ExceptionAction,
}

impl Default for Exceptions {
    fn default() -> Self {
        Self {
            flow_table_full: ExceptionAction::Drop,
            fragment_memory: ExceptionAction::Drop,
            reassembly_memory: ExceptionAction::Drop,
            overlap_unverified: ExceptionAction::Ignore,
            rule_budget: ExceptionAction::Ignore,
            parser_error: ParserErrorAction::Ignore,
            midstream: ExceptionAction::Ignore,
            oneway: ExceptionAction::Ignore,
        }
    }
}

/// What an exception does to the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceptionAction {
    /// Judge it as any other, as far as it is known.
    Ignore,
    /// Forward it unjudged.
    Pass,
    /// Drop it.
    Drop,
    /// Drop it and tell the sender.
    Reject,
}

/// What becomes of a payload with which its parser cannot go on, and of its flow (Suricata's `app-layer.error-policy`). Beside the
/// wire what would drop is [`Self::Ignore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParserErrorAction {
    /// Judge it as any other.
    #[default]
    Ignore,
    /// Rules do not look at this packet.
    PassPacket,
    /// Rules do not look at this packet, nor at any that follows in the flow.
    PassFlow,
    /// Drop this packet.
    DropPacket,
    /// Drop this packet, and all of the flow after it.
    DropFlow,
    /// Refuse the flow.
    Reject,
}

/// The writer's end.
#[derive(Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    retired: Mutex<Retired>,
}

/// What was in force and may still be in use.
#[derive(Debug, Default)]
struct Retired {
    snapshots: Vec<Arc<Snapshot>>,
    /// A worker holds its applications and signatures a little longer than the snapshot that they came with.
    apps: Vec<Arc<AppTable>>,
    rules: Vec<Arc<RuleSet>>,
    /// The same of the proposals.
    shadows: Vec<Arc<Shadow>>,
    /// And of what tells where flows are.
    geographies: Vec<Arc<Geography>>,
}

/// A worker's end.
#[derive(Debug)]
pub struct SnapshotReader {
    cache: arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

impl Publisher {
    /// Starts with `first`; workers exist only after this.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(first)), retired: Mutex::default() }
    }

    /// A reader for one worker.
    #[must_use]
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader { cache: arc_swap::Cache::new(Arc::clone(&self.current)) }
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts `policy` and `settings` in force under the next version, which is returned.
    ///
    /// Writers are serialised here; readers never wait.
    pub fn publish(&self, policy: Arc<PolicySet>, settings: Settings) -> u64 {
        self.replace(policy, settings, None)
    }

    /// As [`Self::publish`], and `apps` are recognised from now on.
    pub fn publish_with_apps(&self, policy: Arc<PolicySet>, settings: Settings, apps: Arc<AppTable>) -> u64 {
        self.replace(policy, settings, Some(apps))
    }

    /// Puts signatures in force, beside the policies that are; flows are not judged anew for it.
    pub fn publish_rules(&self, rules: Option<Arc<RuleSet>>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        retired.rules.extend(current.rules.clone());
        self.current.store(Arc::new(Snapshot { rules, ..Snapshot::clone(&current) }));
        retired.snapshots.push(current);
    }

    /// Asks another proposal beside the policies that are in force, or none; flows are not judged anew for it.
    pub fn publish_shadow(&self, shadow: Option<Arc<Shadow>>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        retired.shadows.extend(current.shadow.clone());
        self.current.store(Arc::new(Snapshot { shadow, ..Snapshot::clone(&current) }));
        retired.snapshots.push(current);
    }

    /// Tells from now on where flows are; those whose policies ask for it are judged anew.
    pub fn publish_geography(&self, geography: Option<Arc<Geography>>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        retired.geographies.extend(current.geography.clone());
        self.current.store(Arc::new(Snapshot { geography, ..Snapshot::clone(&current) }));
        retired.snapshots.push(current);
    }

    fn replace(&self, policy: Arc<PolicySet>, settings: Settings, apps: Option<Arc<AppTable>>) -> u64 {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        let version = current.version + 1;
        if apps.is_some() {
            retired.apps.extend(current.apps.clone());
        }
        let apps = apps.or_else(|| current.apps.clone());
        let next = Snapshot { version, policy, settings, apps, ..Snapshot::clone(&current) };
        self.current.store(Arc::new(next));
        retired.snapshots.push(current);
        version
    }

    /// Frees the old snapshots that no worker holds any more; returns how many are still held.
    pub fn reap(&self) -> usize {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.snapshots.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        retired.apps.retain(|apps| Arc::strong_count(apps) > 1);
        retired.rules.retain(|rules| Arc::strong_count(rules) > 1);
        retired.shadows.retain(|shadow| Arc::strong_count(shadow) > 1);
        retired.geographies.retain(|geography| Arc::strong_count(geography) > 1);
        retired.snapshots.len()
    }
}

impl SnapshotReader {
    /// The snapshot in force; about a nanosecond where it has not changed.
    #[inline]
    pub fn load(&mut self) -> &Snapshot {
        self.cache.load()
    }
}
