//! What would a proposal do with the traffic of now? A second set beside the one in force, which is asked and never obeyed.
//!
//! Workers ask it where they ask the live set (a flow's beginning, a fact that is new, a change of policies or users), of the same facts,
//! and count by [`Standings`]. Flows that were judged before the shadow came are compared once by a sweep over the table. Without a shadow
//! nothing is paid.

use std::sync::Arc;

use super::compile::PolicySet;
use super::difference::Treatment;
use super::evaluate::{Evaluation, Scratch};
use super::facts::Facts;
use crate::account::{Standing, Standings};

/// A proposal with what was counted of it.
#[derive(Debug)]
pub struct Shadow {
    set: PolicySet,
    standings: Arc<Standings>,
}

impl Shadow {
    /// `number` differs from that of the shadow before.
    #[must_use]
    pub fn new(number: u16, set: PolicySet, workers: usize) -> Self {
        let standings = Arc::new(Standings::new(number, set.len() as u32, workers));
        Self { set, standings }
    }

    /// The same proposal, compiled again because of new names: what was counted stays. `None` where it is another one.
    #[must_use]
    pub fn compiled_again(&self, set: PolicySet) -> Option<Self> {
        let is_same = set.len() == self.set.len();
        is_same.then(|| Self { set, standings: Arc::clone(&self.standings) })
    }

    /// The proposal.
    #[must_use]
    pub const fn set(&self) -> &PolicySet {
        &self.set
    }

    /// What was counted.
    #[must_use]
    pub const fn standings(&self) -> &Arc<Standings> {
        &self.standings
    }

    /// Where a flow stands of which the live set makes `live`.
    #[must_use]
    pub fn compare(&self, live: Treatment, facts: &Facts<'_>, scratch: &mut Scratch) -> Standing {
        let policy = match self.set.evaluate(facts, scratch) {
            Evaluation::Decided { policy, .. } => policy,
            Evaluation::NoDecision => None,
            Evaluation::Deciding { .. } => return Standing::OPEN,
        };
        let change = live.change_to(self.set.treatment(policy));
        let index = policy.map_or(u32::MAX, |policy| policy.0);
        change.map_or(Standing::SAME, |change| self.standings.differing(index, change))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::account::{Change, Difference, Fate};
    use crate::policy::{Environment, Fact, Names, PolicyFile};
    use crate::time::Wall;

    #[test]
    fn a_flow_stands_by_its_change_and_the_policy_of_the_proposal() {
        let text = br#"{"default_action":"allow","policies":[
            {"policy_id":"web","name":"w","priority":1,"conditions":{"dst_port":443},"action":"reject"},
            {"policy_id":"app","name":"a","priority":2,"conditions":{"application":"x"},"action":"drop"}]}"#;
        let file = PolicyFile::parse("t", text).unwrap();
        let set = PolicySet::compile(&file, 1, &Environment::default(), &mut Names::new()).unwrap();
        let shadow = Shadow::new(9, set, 2);
        let mut scratch = Scratch::new();
        let to = |port| Facts { dst_port: Fact::Known(port), ..Facts::none(Wall(1)) };
        let waits = Facts { application: Fact::Pending, ..to(80) };
        let differs = |change, policy_index| Fate::Differs(Difference { shadow: 9, change, policy_index });
        for (live, facts, fate) in [
            (Treatment::Allow, to(443), differs(Change::AllowedToRefused, 0)),
            (Treatment::Drop, to(443), differs(Change::Other, 0)),
            (Treatment::Reject, to(443), Fate::Same),
            (Treatment::Drop, to(80), differs(Change::RefusedToAllowed, u32::MAX)),
            (Treatment::Allow, waits, Fate::Open),
        ] {
            let standing = shadow.compare(live, &facts, &mut scratch);
            assert_eq!(shadow.standings().fate(standing), fate, "{live:?} {facts:?}");
        }
    }
}
