//! How much of a flow may pass while policy waits for a fact that somebody will still tell?
//!
//! A flow is *deciding* while policies that may still match disagree. The policy set says what that means:
//! `block` drops, `limit` lets a trickle pass, `allow` lets a bounded beginning pass and then asks policy once
//! more, with all that is still pending taken for never known; that answer is final. The allowance belongs to
//! the flow: a new policy set does not give it back.
//!
//! Only flows without a final decision come here, so an established flow pays nothing for it.

use super::Engine;
use crate::control::{EventSender, Snapshot};
use crate::flow::{CachedDecision, FlowId};
use crate::policy::{DecidingMode, Evaluation, Fact, Facts, Limit, Per};
use crate::time::Now;
use crate::verdict::{Reason, Verdict};

/// Packets of one flow that `allow` lets pass, both directions together: a handshake with a ClientHello in
/// several segments, and its answer.
const PACKETS_MAX: u8 = 32;

/// Their bytes on the wire.
const BYTES_MAX: u32 = 16 * 1024;

/// What `limit` lets pass: 8 KiB a second; as deep as the allowance of `allow`, so that a jumbo frame fits.
const TRICKLE: Limit = Limit {
    bytes_per_s: 8 * 1024,
    burst_bytes: BYTES_MAX as u64,
    per: Per::Flow,
    rule_hash: 0x6465_6369_6469_6e67,
};

impl Engine {
    /// Asks policy about a flow. `len_bytes` is the packet that asks, `None` where no packet does.
    pub(super) fn evaluate_flow(
        &mut self,
        snapshot: &Snapshot,
        facts: &mut Facts<'_>,
        id: FlowId,
        len_bytes: Option<u32>,
        at: Now,
        events: &mut EventSender,
    ) -> CachedDecision {
        let decision = self.evaluate_policy(snapshot, facts, id, len_bytes, at, events);
        let ruled = self.under_rules(id, decision);
        self.take_down(snapshot, facts, id, &decision, ruled.verdict != decision.verdict, len_bytes, at);
        if ruled.decided {
            self.flows.note_decided(id, at.tick);
        }
        ruled
    }

    /// The facts with which a decision was made that stands: what the policies in force would still wait for was given up then.
    pub(super) fn tell_as_decided(&mut self, snapshot: &Snapshot, facts: &mut Facts<'_>, id: FlowId) {
        self.tell_what_is_known(snapshot, facts, id);
        if let Evaluation::Deciding { .. } = snapshot.policy.evaluate(facts, &mut self.scratch) {
            settle(facts);
        }
    }

    /// What payload and geography say of a flow; what somebody will still tell is pending.
    fn tell_what_is_known(&self, snapshot: &Snapshot, facts: &mut Facts<'_>, id: FlowId) {
        self.tell_of_payload(&snapshot.policy, facts, id);
        if snapshot.asks_for_country() {
            facts.tell_country(snapshot.geography.as_deref());
        }
        // Nobody will tell what nobody looks at any more.
        if snapshot.settings.supplied.application && (self.inspector.is_none() || self.is_read(id)) {
            expect_application(facts);
        }
    }

    fn evaluate_policy(
        &mut self,
        snapshot: &Snapshot,
        facts: &mut Facts<'_>,
        id: FlowId,
        len_bytes: Option<u32>,
        at: Now,
        events: &mut EventSender,
    ) -> CachedDecision {
        self.tell_what_is_known(snapshot, facts, id);
        let interim = self.evaluate(snapshot, facts, id, at, events);
        if interim.decided {
            return interim;
        }
        match snapshot.policy.deciding() {
            DecidingMode::Block => interim,
            DecidingMode::Allow if may_pass(self.flows.flow(id).deciding_used(), len_bytes) => {
                if let Some(len_bytes) = len_bytes {
                    self.flows.flow_mut(id).use_deciding(len_bytes);
                }
                interim
            }
            DecidingMode::Allow => {
                // All of it, so that a smaller packet under a later policy set finds no rest.
                self.flows.flow_mut(id).use_deciding(u32::MAX);
                settle(facts);
                self.evaluate(snapshot, facts, id, at, events)
            }
            DecidingMode::Limit => {
                let whose = self.whose(id);
                let passes =
                    len_bytes.is_none_or(|len_bytes| self.limits.admit(&TRICKLE, whose, len_bytes, at.tick));
                match passes {
                    true => interim,
                    false => CachedDecision { verdict: Verdict::Drop(Reason::DecidingLimit), ..interim },
                }
            }
        }
    }
}

/// Whether the allowance has room: for the packet, or for any more at all.
fn may_pass((packets, bytes): (u8, u32), len_bytes: Option<u32>) -> bool {
    packets < PACKETS_MAX && bytes.saturating_add(len_bytes.unwrap_or(1)) <= BYTES_MAX
}

/// What inspection will tell is pending while it has not. Users and the country are known at once, or nobody knows them now: then a flow
/// is judged without, and anew when somebody tells.
fn expect_application(facts: &mut Facts<'_>) {
    await_fact(&mut facts.application);
    await_fact(&mut facts.category);
    await_fact(&mut facts.l7_protocol);
    await_fact(&mut facts.confidence);
}

/// What nobody has told is never known.
fn settle(facts: &mut Facts<'_>) {
    give_up(&mut facts.application);
    give_up(&mut facts.category);
    give_up(&mut facts.l7_protocol);
    give_up(&mut facts.confidence);
}

fn await_fact<T>(fact: &mut Fact<T>) {
    if let Fact::Absent = fact {
        *fact = Fact::Pending;
    }
}

fn give_up<T>(fact: &mut Fact<T>) {
    if let Fact::Pending = fact {
        *fact = Fact::Absent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    #[test]
    fn the_allowance_ends_with_the_packet_that_would_exceed_either_bound() {
        assert!(may_pass((31, 0), Some(BYTES_MAX)) && !may_pass((32, 0), Some(1)));
        assert!(may_pass((1, BYTES_MAX - 60), Some(60)) && !may_pass((1, BYTES_MAX - 60), Some(61)));
        assert!(may_pass((31, BYTES_MAX - 1), None) && !may_pass((31, BYTES_MAX), None));
        assert!(!may_pass((u8::MAX, u32::MAX), Some(u32::MAX)));
    }

    #[test]
    fn only_what_inspection_tells_is_awaited_and_settling_leaves_nothing_pending() {
        let known = Facts { confidence: Fact::Known(40), ..Facts::none(Wall(0)) };
        let mut facts = known;
        expect_application(&mut facts);
        let pending: Vec<_> = facts.pending().names().collect();
        assert_eq!(pending, ["application", "category", "l7_protocol"]);
        settle(&mut facts);
        assert_eq!(facts, known);
    }
}
