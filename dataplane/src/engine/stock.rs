//! What did the policies do, and what would those of the shadow have done? Takes down each decision, and walks the table slowly, so that
//! flows that live long are counted before they end.
//!
//! A decision costs a comparison where the flow's policy is the one that it had, else two counters. The walk looks at every slot once a
//! second in a table of up to 20,000 slots in use, and at 20,000 slots a second in a larger one: some 60 ns each, a thousandth of a core.

use super::Engine;
use crate::account::{DEFAULT_ACCOUNT, Tally};
use crate::control::Snapshot;
use crate::flow::{CachedDecision, FlowId};
use crate::policy::{Facts, PolicyIndex};
use crate::time::{Now, Tick};
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
        let Some(shadow) = snapshot.shadow.as_ref().filter(|_| !is_ruled) else { return };
        let mut facts = *facts;
        self.tell_of_payload(shadow.set(), &mut facts, id);
        let policy = (decision.policy_index != u32::MAX).then_some(PolicyIndex(decision.policy_index));
        let standing = shadow.compare(snapshot.policy.treatment(policy), &facts, &mut self.shadow_scratch);
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
