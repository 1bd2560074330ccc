//! What did the policies do, and what would those of the shadow have done? Takes down each decision, compares flows that were decided before
//! a shadow came, and walks the table slowly, so that flows that live long are counted before they end.
//!
//! A decision costs a comparison where the flow's policy is the one that it had, else two counters. The walk looks at every slot once a
//! second in a table of up to 20,000 slots in use, and at 20,000 slots a second in a larger one: some 60 ns each, a thousandth of a core.

use super::Engine;
use crate::account::{DEFAULT_ACCOUNT, Tally};
use crate::control::Snapshot;
use crate::flow::{CachedDecision, FlowId, FlowState};
use crate::policy::{Facts, PolicyIndex, Treatment};
use crate::time::{Now, Tick};
use crate::verdict::Verdict;
use std::sync::Arc;

/// A walk begins this long after the one before began, at the earliest.
const WALK_NS: u64 = Tick::SECOND;

/// Time for one slot at least.
const SLOT_NS_MIN: u64 = 50_000;

/// Slots looked at in one turn at most: some 10 us, also after a turn that came late.
const SLOTS_MAX: u64 = 128;

/// Where the walk stands.
#[derive(Debug, Default)]
pub(super) struct Stock {
    /// The slot that is next.
    cursor: usize,
    /// When it is due.
    due: Tick,
}

impl Engine {
    /// Policies are counted here from now on.
    pub fn count_into(&mut self, tally: Arc<Tally>) {
        self.flows.count_into(tally, self.config.worker);
    }

    /// Takes down what policy decided of a flow, and compares it with the shadow. `is_ruled`: rules say something stricter of it, whatever
    /// policy says, so another policy changes nothing. `asking` is the packet that asks, in bytes.
    #[expect(clippy::too_many_arguments, reason = "all of them are one decision")]
    pub(super) fn take_down(
        &mut self,
        snapshot: &Snapshot,
        facts: &Facts<'_>,
        id: FlowId,
        decision: &CachedDecision,
        is_ruled: bool,
        asking: Option<u32>,
        at: Now,
    ) {
        if !decision.decided {
            return;
        }
        self.flows.charge(id, snapshot.policy.account(decision.policy_index), asking, at.wall);
        if !is_ruled {
            self.compare(snapshot, facts, id, decision, asking, at);
        }
    }

    /// Compares a flow whose decision stands with a shadow that came later, once; nothing else becomes of it.
    pub(super) fn meet_shadow(
        &mut self,
        snapshot: &Snapshot,
        id: FlowId,
        decision: &CachedDecision,
        at: Now,
    ) {
        let is_over = self.flows.flow(id).state() == FlowState::Closed;
        if snapshot.shadow.is_none() || !decision.decided || is_over || self.flows.fate(id).is_some() {
            return;
        }
        if !is_of(decision.verdict, snapshot.policy.treatment(policy_of(decision))) {
            return;
        }
        let record = self.flows.record(id, None, at);
        let users = self.users_at(id);
        let mut facts = users.among(Facts::of_record(&record, self.zone(record.in_port), at.wall));
        self.tell_as_decided(snapshot, &mut facts, id);
        self.compare(snapshot, &facts, id, decision, None, at);
    }

    fn compare(
        &mut self,
        snapshot: &Snapshot,
        facts: &Facts<'_>,
        id: FlowId,
        decision: &CachedDecision,
        asking: Option<u32>,
        at: Now,
    ) {
        let Some(shadow) = &snapshot.shadow else { return };
        let mut facts = *facts;
        self.tell_of_payload(shadow.set(), &mut facts, id);
        let live = snapshot.policy.treatment(policy_of(decision));
        let standing = shadow.compare(live, &facts, &mut self.shadow_scratch);
        self.flows.stand(id, standing, asking, at.wall);
    }

    /// Counts a packet that no flow was asked for.
    pub(super) fn take_down_alone(
        &self,
        snapshot: &Snapshot,
        policy: Option<PolicyIndex>,
        len: u64,
        at: Now,
    ) {
        let account = policy.map_or(DEFAULT_ACCOUNT, |policy| snapshot.policy.account(policy.0));
        if let Some(cell) = self.flows.account(account) {
            cell.hit(at.wall);
            cell.carry(1, len);
        }
    }

    /// Goes on with the walk.
    pub(super) fn take_stock(&mut self, now: Tick) {
        let waited_ns = now.ns_since(self.stock.due);
        if waited_ns < SLOT_NS_MIN {
            return;
        }
        let slots = self.flows.slots();
        let slot_ns = (WALK_NS / (slots as u64).max(1)).max(SLOT_NS_MIN);
        let due = (waited_ns / slot_ns).min(SLOTS_MAX);
        if due == 0 {
            return;
        }
        // Time that was not used is not made up for.
        self.stock.due = if due == SLOTS_MAX { now } else { self.stock.due.plus_ns(due * slot_ns) };
        for _ in 0..due {
            self.stock.cursor = if self.stock.cursor < slots { self.stock.cursor } else { 0 };
            if let Some(id) = self.flows.flow_at(self.stock.cursor) {
                self.flows.settle(id);
            }
            self.stock.cursor += 1;
        }
    }
}

/// The policy that decided; `None`: the default.
fn policy_of(decision: &CachedDecision) -> Option<PolicyIndex> {
    (decision.policy_index != u32::MAX).then_some(PolicyIndex(decision.policy_index))
}

/// Whether a verdict is what policy makes of the flow. Else rules or an exception made a stricter one of it, whatever policy says.
const fn is_of(verdict: Verdict, treatment: Treatment) -> bool {
    match verdict {
        // A limit or a target that is not there is not applied.
        Verdict::Forward => matches!(treatment, Treatment::Allow | Treatment::RateLimit { .. }),
        Verdict::RateLimit(_) => matches!(treatment, Treatment::RateLimit { .. }),
        Verdict::Redirect(_) => matches!(treatment, Treatment::Redirect(_)),
        // A flow that cannot be redirected any more is refused.
        Verdict::Drop(_) => matches!(treatment, Treatment::Drop | Treatment::Redirect(_)),
        Verdict::Reject(_) => matches!(treatment, Treatment::Reject | Treatment::Redirect(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Reason;

    #[test]
    fn what_rules_made_of_a_flow_is_not_policys() {
        for (verdict, treatment, is) in [
            (Verdict::Forward, Treatment::Allow, true),
            (Verdict::Drop(Reason::PolicyDrop), Treatment::Drop, true),
            (Verdict::Reject(Reason::PolicyReject), Treatment::Reject, true),
            (Verdict::Drop(Reason::RuleDrop), Treatment::Allow, false),
            (Verdict::Reject(Reason::RuleReject), Treatment::Drop, false),
            (Verdict::Reject(Reason::RuleReject), Treatment::Allow, false),
        ] {
            assert_eq!(is_of(verdict, treatment), is, "{verdict:?} {treatment:?}");
        }
    }
}
