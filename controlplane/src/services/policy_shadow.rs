//! A proposal that runs beside the policies in force: which is it, and what would it have done differently?
//!
//! Workers ask it where they ask the set in force, and count every flow that they compare (`flows`, `same`, `undecided`, the three changes and
//! each policy of the proposal): exact. Users, applications, pairs of policies and examples come from the records of flows that have
//! ended: records that were shed under load are missing there.
//!
//! One proposal at a time, in memory: a restart ends it.

use std::sync::{Arc, Mutex, PoisonError};

use dataplane::account::{Change, Counts, Difference, Fate, Standing};
use dataplane::control::FlowEnd;
use dataplane::policy::{PolicyIndex, Shadow};
use serde::Serialize;
use utoipa::ToSchema;

use super::differences::{Compared, Differences, Ends, FlowDifferences, FlowSum, PolicySide};
use super::eve::has_ports;
use super::names::{PolicyNamer, outer_flow_id, protocol};
use super::policies::{Policies, PolicyLoadError};
use super::{Author, Names, Services};
use crate::store::policy_history::sha256;

/// Policies of a proposal that are told one by one, those that differ most.
const TOLD_MAX: usize = 1_000;

/// What the policies of a proposal are called and do, for records.
#[derive(Debug)]
pub struct ShadowIds {
    number: u16,
    policies: Box<[(Box<str>, &'static str)]>,
    default: &'static str,
    /// Whether records name flows that would fare as they do, too.
    tells_all: bool,
}

impl ShadowIds {
    /// Those of a proposal. `tells_all`: records name flows that would fare as they do, too.
    #[must_use]
    pub fn of(shadow: &Shadow, tells_all: bool) -> Self {
        let set = shadow.set();
        let one = |rank| {
            let policy = PolicyIndex(rank);
            let id = set.info(policy).map(|info| info.policy_id.as_str().into()).unwrap_or_default();
            (id, set.treatment(Some(policy)).name())
        };
        Self {
            number: shadow.standings().number(),
            policies: (0..set.len() as u32).map(one).collect(),
            default: set.treatment(None).name(),
            tells_all,
        }
    }

    /// Whether records name flows that would fare as they do.
    #[must_use]
    pub const fn tells_all(&self) -> bool {
        self.tells_all
    }

    /// The policy of a difference and what it does; `None` where the difference is with another proposal.
    #[must_use]
    pub fn name(&self, difference: Difference) -> Option<(Option<&str>, &'static str)> {
        if difference.shadow != self.number {
            return None;
        }
        if difference.policy_index == u32::MAX {
            return Some((None, self.default));
        }
        let (id, action) = self.policies.get(difference.policy_index as usize)?;
        Some((Some(id), action))
    }
}

/// What records tell of the proposal; the event pump writes it.
#[derive(Debug, Default)]
pub struct ShadowRecords(Mutex<Option<Recorded>>);

#[derive(Debug)]
struct Recorded {
    ids: Arc<ShadowIds>,
    namer: PolicyNamer,
    differences: Differences,
}

impl ShadowRecords {
    /// Begins anew for another proposal, or for none.
    fn begin(&self, ids: Option<Arc<ShadowIds>>) {
        let begun = ids.map(|ids| Recorded {
            ids,
            namer: PolicyNamer::default(),
            differences: Differences::default(),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = begun;
    }

    /// A flow has ended.
    pub(super) fn count(&self, names: &Names, end: &FlowEnd) {
        let Some(Fate::Differs(difference)) = end.record.shadow else { return };
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Recorded { ids, namer, differences }) = recorded.as_mut() else { return };
        let Some((policy_id, action)) = ids.name(difference) else { return };
        let record = &end.record;
        let live = namer.id(names, &record.decision).map(Box::from);
        let ((src, src_port), (dst, dst_port)) = record.endpoints();
        let (number, user) = (record.key.labels().protocol, names.user(record.decision.user));
        let ports = has_ports(number);
        let compared = Compared {
            change: difference.change,
            live: &PolicySide { policy_id: live, action: None },
            proposed: &PolicySide { policy_id: policy_id.map(Box::from), action: Some(action) },
            user_id: user.user_id(),
            application: end.summary.app_name(),
            sum: FlowSum { flows: 1, packets: record.packets.iter().sum(), bytes: record.bytes.iter().sum() },
        };
        differences.add(&compared, || Ends {
            start_ns: record.start.0,
            flow_id: outer_flow_id(record.flow_id),
            src: (src.to_ip(), ports.then_some(src_port)),
            dst: (dst.to_ip(), ports.then_some(dst_port)),
            proto: protocol(number).map_or_else(|| number.to_string(), str::to_owned),
        });
    }

    fn view(&self) -> FlowDifferences {
        let recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.as_ref().map(|recorded| recorded.differences.view()).unwrap_or_default()
    }
}

/// The proposal that runs, as an operator knows it.
#[derive(Debug, Default)]
pub(super) struct Shadowing {
    pub(super) running: Option<Running>,
    last: u16,
}

/// One that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) shadow: Arc<Shadow>,
    document: Arc<[u8]>,
    sha256: String,
    since_s: u64,
    by: String,
}

/// A policy of the proposal, with the flows that it would treat otherwise than they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShadowPolicy {
    /// Which; `null` for the default action.
    pub policy_id: Option<String>,
    /// What it does.
    pub action: &'static str,
    /// Flows that pass and would be dropped or rejected.
    pub allowed_to_refused: FlowSum,
    /// Flows that are dropped or rejected and would pass.
    pub refused_to_allowed: FlowSum,
    /// Flows that pass or are refused in another way.
    pub other: FlowSum,
}

/// What a proposal would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShadowView {
    /// Since when it runs, seconds since 1970.
    pub since_s: u64,
    /// Who began it.
    pub by: String,
    /// Its policies, disabled ones left out.
    pub policies: usize,
    /// SHA-256 of it as it was written.
    pub sha256: String,
    /// All flows that workers compared.
    pub flows: FlowSum,
    /// Those that would fare as they do.
    pub same: FlowSum,
    /// Those of which it waits for a fact that nobody has told.
    pub undecided: FlowSum,
    /// Those that pass and would be dropped or rejected.
    pub allowed_to_refused: FlowSum,
    /// Those that are dropped or rejected and would pass.
    pub refused_to_allowed: FlowSum,
    /// Those that pass or are refused in another way.
    pub other: FlowSum,
    /// Policies of the proposal by which a flow would fare otherwise, most flows first, 1,000 at most.
    pub by_policy: Vec<ShadowPolicy>,
    /// Of the differing flows that have ended: whose they were, and by which policies.
    pub ended: FlowDifferences,
}

/// A proposal in few words: for the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowSummary {
    policies: usize,
    sha256: String,
}

impl Running {
    fn summary(&self) -> ShadowSummary {
        ShadowSummary { policies: self.shadow.set().len(), sha256: self.sha256.clone() }
    }
}

impl Services {
    /// Lets a proposal run beside the policies in force, in the place of the one that did; what there was before, and is.
    ///
    /// # Errors
    ///
    /// [`PolicyLoadError::Invalid`]; the one before runs on.
    pub fn start_shadow(
        &self,
        bytes: &[u8],
        author: &Author,
    ) -> Result<(Option<ShadowSummary>, ShadowSummary), PolicyLoadError> {
        let mut policies = self.policies();
        let set = policies.compile("(proposal)", bytes, 0)?.set;
        let shadowing = &mut policies.shadowing;
        shadowing.last = shadowing.last.wrapping_add(1);
        let shadow = Arc::new(Shadow::new(shadowing.last, set, self.door.workers()));
        let running = Running {
            shadow: Arc::clone(&shadow),
            document: bytes.into(),
            sha256: sha256(bytes),
            since_s: self.now_s(),
            by: author.by.clone(),
        };
        let after = running.summary();
        let before = shadowing.running.replace(running).map(|before| before.summary());
        self.show_shadow(Some(shadow));
        Ok((before, after))
    }

    /// Ends the proposal; what it was, `None` where there was none.
    pub fn end_shadow(&self) -> Option<ShadowSummary> {
        let mut policies = self.policies();
        let before = policies.shadowing.running.take()?;
        self.show_shadow(None);
        Some(before.summary())
    }

    fn show_shadow(&self, shadow: Option<Arc<Shadow>>) {
        let ids = shadow.as_deref().map(|shadow| Arc::new(ShadowIds::of(shadow, false)));
        self.names.remember_shadow(ids.clone());
        self.events.shadow.begin(ids);
        self.door.publisher.publish_shadow(shadow);
        self.door.publisher.reap();
    }

    /// Compiles the proposal again where a wildcard of it means a name that is new. Its errors were told when it came.
    pub(super) fn shadow_again(&self, policies: &mut Policies) {
        let Some(running) = &policies.shadowing.running else { return };
        let document = Arc::clone(&running.document);
        let Ok(compiled) = policies.compile("(proposal)", &document, 0) else { return };
        if let Some(running) = &mut policies.shadowing.running
            && let Some(shadow) = running.shadow.compiled_again(compiled.set)
        {
            running.shadow = Arc::new(shadow);
            self.door.publisher.publish_shadow(Some(Arc::clone(&running.shadow)));
        }
    }

    /// The proposal as it was written; `None` where there is none.
    #[must_use]
    pub fn shadow_document(&self) -> Option<Arc<[u8]>> {
        self.policies().shadowing.running.as_ref().map(|running| Arc::clone(&running.document))
    }

    /// What the proposal would have done; `None` where there is none.
    #[must_use]
    pub fn shadow(&self) -> Option<ShadowView> {
        let policies = self.policies();
        let running = policies.shadowing.running.as_ref()?;
        let standings = running.shadow.standings();
        let set = running.shadow.set();
        let mut by_policy = Vec::new();
        let mut changes = [FlowSum::default(); 3];
        for rank in 0..=set.len() as u32 {
            let policy = (rank < set.len() as u32).then_some(PolicyIndex(rank));
            let of = |change| flow_sum(standings.read(standings.differing(rank, change)));
            let sums = Change::ALL.map(of);
            changes.iter_mut().zip(sums).for_each(|(all, one)| all.add(one));
            if sums.iter().any(|sum| sum.flows > 0) {
                let [allowed_to_refused, refused_to_allowed, other] = sums;
                let info = policy.and_then(|policy| set.info(policy));
                by_policy.push(ShadowPolicy {
                    policy_id: info.map(|info| info.policy_id.clone()),
                    action: set.treatment(policy).name(),
                    allowed_to_refused,
                    refused_to_allowed,
                    other,
                });
            }
        }
        let flows = |one: &ShadowPolicy| {
            one.allowed_to_refused.flows + one.refused_to_allowed.flows + one.other.flows
        };
        by_policy.sort_by_key(|one| std::cmp::Reverse(flows(one)));
        by_policy.truncate(TOLD_MAX);
        let same = flow_sum(standings.read(Standing::SAME));
        let undecided = flow_sum(standings.read(Standing::OPEN));
        let mut all = same;
        [undecided].into_iter().chain(changes).for_each(|sum| all.add(sum));
        let [allowed_to_refused, refused_to_allowed, other] = changes;
        let mut ended = self.events.shadow.view();
        ended.tell_live_actions(&policies.live_actions(&self.door.publisher.current().policy));
        Some(ShadowView {
            since_s: running.since_s,
            by: running.by.clone(),
            policies: set.len(),
            sha256: running.sha256.clone(),
            flows: all,
            same,
            undecided,
            allowed_to_refused,
            refused_to_allowed,
            other,
            by_policy,
            ended,
        })
    }
}

const fn flow_sum(counts: Counts) -> FlowSum {
    FlowSum { flows: counts.hits, packets: counts.packets, bytes: counts.bytes }
}
