//! Why is this flow let through, or not? Its facts as they are now, and what the policies in force make of them, step by step.

use std::sync::Arc;

use dataplane::control::QueryError;
use dataplane::dpi::Summary;
use dataplane::flow::{FlowFilter, FlowRecord};
use dataplane::identity::Identity;
use dataplane::policy::{Evaluation, Facts, Scratch};

use super::Services;
use super::flows::{FlowCursor, FlowQuestion};
use super::identities::IdentityView;
use super::policies::Judgement;

/// A flow with the reasons for what becomes of it.
#[derive(Debug)]
pub struct Explained {
    /// The worker that has it.
    pub worker: usize,
    /// The flow, with the decision that is stored.
    pub record: FlowRecord,
    /// What inspection knows of it.
    pub summary: Summary,
    /// Who is known to use the initiator's address now.
    pub initiator: Option<IdentityView>,
    /// The same of the responder's.
    pub responder: Option<IdentityView>,
    /// What the policies in force make of it.
    pub judgement: Judgement,
    /// Whether that is what the flow has: the same version, and the same policy. While a change is on its way it is not; nor is it
    /// where the last answer was given for want of a fact.
    pub agrees: bool,
}

impl Services {
    /// Explains a live flow; `None`: there is none of that number. Blocks as [`Self::flows`] does. `tried_max` bounds how many policies
    /// that do not match are told.
    ///
    /// # Errors
    ///
    /// [`QueryError`] where the worker does not answer.
    pub fn explain(&self, flow_id: u64, tried_max: usize) -> Result<Option<Explained>, QueryError> {
        let filter = FlowFilter { flow_id: Some(flow_id), ..FlowFilter::default() };
        let mut cursor = FlowCursor::default();
        let (worker, record, summary) = loop {
            let answer = self.flows(&FlowQuestion { filter, limit: 1, cursor })?;
            match (answer.flows.first(), answer.next) {
                (Some(found), _) => break *found,
                (None, Some(next)) => cursor = next,
                (None, None) => return Ok(None),
            }
        };
        let ((src, _), (dst, _)) = record.endpoints();
        let users = [self.door.user_of(src, record.src_mac), self.door.user_of(dst, record.dst_mac)];
        let [initiator, responder] =
            [0, 1].map(|end| users[end].as_deref().and_then(|user| self.said_of(user)));
        let judgement = self.judge(&record, &summary, &users, tried_max);
        let policy_index = match judgement.explanation.evaluation {
            Evaluation::Decided { policy, .. } => policy.map_or(u32::MAX, |index| index.0),
            Evaluation::Deciding { .. } | Evaluation::NoDecision => u32::MAX,
        };
        let stored = record.decision;
        let agrees = stored.policy_version == judgement.set.version() && stored.policy_index == policy_index;
        Ok(Some(Explained { worker, record, summary, initiator, responder, judgement, agrees }))
    }

    fn judge(
        &self,
        record: &FlowRecord,
        summary: &Summary,
        [initiator, responder]: &[Option<Arc<Identity>>; 2],
        tried_max: usize,
    ) -> Judgement {
        let wall = self.now().wall;
        let policies = self.policies();
        let current = self.door.publisher.current();
        let set = Arc::clone(&current.policy);
        // Zones are numbered as ports are.
        let mut facts = Facts::of_record(record, record.in_port, wall);
        facts.tell_payload(summary, set.vocabulary());
        facts.tell_country(current.geography.as_deref());
        let facts = facts.with_users(Identity::user_of(initiator), Identity::user_of(responder));
        let explanation = set.explain(&facts, &mut Scratch::new(), &policies.names, tried_max);
        drop(policies);
        Judgement { set, explanation }
    }
}
