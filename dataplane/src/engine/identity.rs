//! Whose is a flow, and does what was decided of it still hold?
//!
//! Changes of who is where come between two batches. Each turn that brings some is a generation; a flow that was judged under an
//! earlier one is asked at its next packet, or by the sweep, whether one of its ends is concerned.

use std::sync::Arc;

use super::Engine;
use crate::control::IdentityReader;
use crate::flow::{CachedDecision, FlowId, Owner};
use crate::identity::Identity;
use crate::parse::{Addr, Mac};
use crate::policy::Facts;

/// Keys that nobody has any more, forgotten in one turn at most.
const TIDIED_MAX: usize = 64;

/// Who stands at the ends of a flow.
#[derive(Debug, Default)]
pub(super) struct Users {
    initiator: Option<Arc<Identity>>,
    responder: Option<Arc<Identity>>,
}

impl Users {
    /// Puts them among the facts.
    pub(super) fn among<'a>(&'a self, facts: Facts<'a>) -> Facts<'a> {
        facts.with_users(Identity::user_of(&self.initiator), Identity::user_of(&self.responder))
    }
}

impl Engine {
    /// Takes what is new of who is where; call it before a turn's packets.
    #[inline]
    pub fn identify(&mut self, identities: &mut IdentityReader) {
        if identities.is_waiting() {
            let generation = self.generation.wrapping_add(1);
            if identities.take(&mut self.identities, generation) {
                self.generation = generation;
            }
        }
    }

    /// All facts that no packet brings may have changed: a schedule began or ended.
    pub(super) fn change_generation(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.identities.change_all(self.generation);
    }

    /// Forgets who was where, of which every flow has been asked under `generation`; some of it a turn.
    pub(super) fn tidy_identities(&mut self, generation: u32) {
        self.identities.tidy(generation, TIDIED_MAX);
    }

    /// Whose these ends are.
    pub(super) fn users_of(&self, initiator: (Addr, Mac), responder: (Addr, Mac)) -> Users {
        if self.identities.is_empty() {
            return Users::default();
        }
        let find = |(addr, mac)| self.identities.find(addr, mac).map(Arc::clone);
        Users { initiator: find(initiator), responder: find(responder) }
    }

    /// Who stands at the ends of a flow now.
    pub(super) fn users_at(&self, id: FlowId) -> Users {
        let (initiator, responder) = self.ends_of(id);
        self.users_of(initiator, responder)
    }

    /// Whose a flow is now. Its records tell who was known last: who logs out has had it all the same.
    pub(super) fn settle_users(&mut self, id: FlowId) -> Users {
        let users = self.users_at(id);
        if let Some(who) = &users.initiator {
            self.flows.set_owner(id, Owner { user: who.number, person: who.person });
        }
        users
    }

    /// Whether a decision under policy version `version` stands: no user of the flow has changed since.
    pub(super) fn still_holds(&mut self, id: FlowId, decision: &CachedDecision, version: u64) -> bool {
        if decision.is_current(version as u32, self.generation) {
            return true;
        }
        if decision.policy_version != version as u32 {
            return false;
        }
        let since = decision.identity_generation;
        let (initiator, responder) = self.ends_of(id);
        if self.identities.has_changed(initiator, since) || self.identities.has_changed(responder, since) {
            return false;
        }
        self.flows.flow_mut(id).set_identity_generation(self.generation);
        true
    }

    fn ends_of(&self, id: FlowId) -> ((Addr, Mac), (Addr, Mac)) {
        let flow = self.flows.flow(id);
        let (src_mac, dst_mac) = self.flows.macs(id);
        ((flow.initiator().0, src_mac), (flow.responder().0, dst_mac))
    }
}
