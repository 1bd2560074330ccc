//! Which flows, users and applications would fare otherwise under another policy set? Sums of what was compared, for the shadow and for
//! what-if alike.
//!
//! Bounded whatever is compared: a thousand names of a kind are summed apart, those that come later together; a hundred flows of each
//! change are told one by one, the first that came.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use dataplane::account::Change;
use serde::Serialize;
use utoipa::ToSchema;

/// Names of a kind that are summed apart.
const NAMES_MAX: usize = 1_000;

/// Names of a kind that are told.
const TOLD_MAX: usize = 50;

/// Flows of one change that are told one by one.
const EXAMPLES_MAX: usize = 100;

/// Flows with what they carried.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlowSum {
    /// Flows.
    pub flows: u64,
    /// Their packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl FlowSum {
    /// Adds others.
    pub const fn add(&mut self, more: Self) {
        self.flows += more.flows;
        self.packets += more.packets;
        self.bytes += more.bytes;
    }
}

/// A policy and what it does; of the default action `policy_id` is `null`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
pub struct PolicySide {
    /// Which policy.
    pub policy_id: Option<Box<str>>,
    /// What it does; left out where that is not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
}

/// A flow that was compared.
#[derive(Debug)]
pub struct Compared<'a> {
    /// How it would fare.
    pub change: Change,
    /// What decides it.
    pub live: &'a PolicySide,
    /// What would.
    pub proposed: &'a PolicySide,
    /// Whose it is.
    pub user_id: Option<&'a str>,
    /// Which application.
    pub application: Option<&'a str>,
    /// What it carried.
    pub sum: FlowSum,
}

/// A flow that is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DifferingFlow {
    /// `allowed_to_refused`, `refused_to_allowed` or `other`.
    pub change: &'static str,
    /// When it began, nanoseconds since 1970.
    pub start_ns: u64,
    /// As events have it.
    pub flow_id: u64,
    /// Of the initiator.
    pub src: String,
    /// Of the responder.
    pub dst: String,
    /// Layer 4.
    pub proto: String,
    /// Which application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<Box<str>>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Box<str>>,
    /// Both ways.
    pub packets: u64,
    /// Both ways.
    pub bytes: u64,
    /// What decides it.
    pub live: PolicySide,
    /// What would.
    pub proposed: PolicySide,
}

/// The parts of a flow that only an example needs.
#[derive(Debug)]
pub struct Ends {
    /// When it began, nanoseconds since 1970.
    pub start_ns: u64,
    /// As events have it.
    pub flow_id: u64,
    /// Of the initiator.
    pub src: (IpAddr, Option<u16>),
    /// Of the responder.
    pub dst: (IpAddr, Option<u16>),
    /// Layer 4.
    pub proto: String,
}

/// Flows that a pair of policies treats differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PairSum {
    /// `allowed_to_refused`, `refused_to_allowed` or `other`.
    pub change: &'static str,
    /// What decides them.
    pub live: PolicySide,
    /// What would.
    pub proposed: PolicySide,
    /// How much.
    #[serde(flatten)]
    pub sum: FlowSum,
}

/// Flows of one user, or of one application, that would fare otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NamedSum {
    /// `allowed_to_refused`, `refused_to_allowed` or `other`.
    pub change: &'static str,
    /// `user_id`, or application.
    pub name: Box<str>,
    /// How much.
    #[serde(flatten)]
    pub sum: FlowSum,
}

/// What came of comparing.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlowDifferences {
    /// Flows that pass and would be dropped or rejected.
    pub allowed_to_refused: FlowSum,
    /// Flows that are dropped or rejected and would pass.
    pub refused_to_allowed: FlowSum,
    /// Flows that pass or are refused in another way.
    pub other: FlowSum,
    /// By the policies of both sets, most flows first, 50 at most.
    pub by_policy: Vec<PairSum>,
    /// By user, most flows first, 50 at most; flows of nobody who is known are not there.
    pub by_user: Vec<NamedSum>,
    /// By application, most flows first, 50 at most.
    pub by_application: Vec<NamedSum>,
    /// The first 100 of each change.
    pub examples: Vec<DifferingFlow>,
    /// Rows of the lists above that are left out.
    pub left_out: u64,
}

/// What policies do, by their ids.
#[derive(Debug, Default)]
pub struct Actions {
    by_id: HashMap<Box<str>, &'static str>,
    default: Option<&'static str>,
}

impl Actions {
    /// Of these policies, and of a set's default.
    pub fn of<'a>(
        policies: impl Iterator<Item = (&'a str, &'static str)>,
        default: Option<&'static str>,
    ) -> Self {
        Self { by_id: policies.map(|(id, action)| (id.into(), action)).collect(), default }
    }

    /// A policy of the live set, `None` for its default, and what it does.
    #[must_use]
    pub fn side(&self, policy_id: Option<Box<str>>) -> PolicySide {
        let mut side = PolicySide { policy_id, action: None };
        self.tell(&mut side);
        side
    }

    fn tell(&self, side: &mut PolicySide) {
        side.action = match &side.policy_id {
            Some(policy_id) => self.by_id.get(policy_id).copied(),
            None => self.default,
        };
    }
}

impl FlowDifferences {
    /// Says what the policies of the live set do.
    pub fn tell_live_actions(&mut self, actions: &Actions) {
        self.by_policy.iter_mut().for_each(|one| actions.tell(&mut one.live));
        self.examples.iter_mut().for_each(|one| actions.tell(&mut one.live));
    }
}

/// Sums under way.
#[derive(Debug, Default)]
pub struct Differences {
    changes: [FlowSum; 3],
    pairs: Bounded<(Change, PolicySide, PolicySide)>,
    users: Bounded<(Change, Box<str>)>,
    applications: Bounded<(Change, Box<str>)>,
    examples: Vec<DifferingFlow>,
    told: [usize; 3],
}

/// Sums by name, of which there are so many and no more.
#[derive(Debug)]
struct Bounded<K> {
    sums: HashMap<K, FlowSum>,
    /// Names that came when there was no room, each time one came.
    others: FlowSum,
}

impl<K> Default for Bounded<K> {
    fn default() -> Self {
        Self { sums: HashMap::new(), others: FlowSum::default() }
    }
}

impl<K: Hash + Eq + Ord + Clone> Bounded<K> {
    fn add(&mut self, name: K, sum: FlowSum) {
        if self.sums.len() < NAMES_MAX || self.sums.contains_key(&name) {
            self.sums.entry(name).or_default().add(sum);
        } else {
            self.others.add(sum);
        }
    }

    /// Most flows first, and how many are left out.
    fn told<T>(&self, row: impl Fn(&K, FlowSum) -> T) -> (Vec<T>, u64) {
        let mut rows: Vec<(&K, &FlowSum)> = self.sums.iter().collect();
        rows.sort_by_key(|(name, sum)| (std::cmp::Reverse((sum.flows, sum.bytes)), *name));
        let left_out = rows.len().saturating_sub(TOLD_MAX) as u64 + self.others.flows;
        (rows.into_iter().take(TOLD_MAX).map(|(name, sum)| row(name, *sum)).collect(), left_out)
    }
}

impl Differences {
    /// Adds a flow; `ends` is asked for where it is told.
    pub fn add(&mut self, flow: &Compared<'_>, ends: impl FnOnce() -> Ends) {
        let Compared { change, live, proposed, user_id, application, sum } = flow;
        self.changes[*change as usize].add(*sum);
        self.pairs.add((*change, (*live).clone(), (*proposed).clone()), *sum);
        if let Some(user_id) = user_id {
            self.users.add((*change, (*user_id).into()), *sum);
        }
        if let Some(application) = application {
            self.applications.add((*change, (*application).into()), *sum);
        }
        let told = &mut self.told[*change as usize];
        if *told == EXAMPLES_MAX {
            return;
        }
        *told += 1;
        let Ends { start_ns, flow_id, src, dst, proto } = ends();
        self.examples.push(DifferingFlow {
            change: change.label(),
            start_ns,
            flow_id,
            src: end(src),
            dst: end(dst),
            proto,
            application: application.map(Box::from),
            user_id: user_id.map(Box::from),
            packets: sum.packets,
            bytes: sum.bytes,
            live: (*live).clone(),
            proposed: (*proposed).clone(),
        });
    }

    /// What came of it.
    #[must_use]
    pub fn view(&self) -> FlowDifferences {
        let [allowed_to_refused, refused_to_allowed, other] = self.changes;
        let (by_policy, pairs) = self.pairs.told(|(change, live, proposed), sum| PairSum {
            change: change.label(),
            live: live.clone(),
            proposed: proposed.clone(),
            sum,
        });
        let named = |(change, name): &(Change, Box<str>), sum| NamedSum {
            change: change.label(),
            name: name.clone(),
            sum,
        };
        let (by_user, users) = self.users.told(named);
        let (by_application, applications) = self.applications.told(named);
        let flows: u64 = self.changes.iter().map(|sum| sum.flows).sum();
        FlowDifferences {
            allowed_to_refused,
            refused_to_allowed,
            other,
            by_policy,
            by_user,
            by_application,
            examples: self.examples.clone(),
            left_out: pairs + users + applications + flows.saturating_sub(self.examples.len() as u64),
        }
    }
}

fn end((address, port): (IpAddr, Option<u16>)) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn add(differences: &mut Differences, change: Change, user: &str, bytes: u64) {
        let live = PolicySide { policy_id: Some("p-live".into()), action: Some("allow") };
        let proposed = PolicySide { policy_id: None, action: Some("drop") };
        let sum = FlowSum { flows: 1, packets: 2, bytes };
        let flow = Compared {
            change,
            live: &live,
            proposed: &proposed,
            user_id: Some(user),
            application: Some("dns"),
            sum,
        };
        differences.add(&flow, || Ends {
            start_ns: 5,
            flow_id: 7,
            src: ("2001:db8::1".parse().unwrap(), Some(4_000)),
            dst: ("192.0.2.1".parse().unwrap(), Some(53)),
            proto: "UDP".to_owned(),
        });
    }

    #[test]
    fn sums_are_by_change_and_the_most_flows_come_first() {
        let mut differences = Differences::default();
        add(&mut differences, Change::AllowedToRefused, "ann", 100);
        add(&mut differences, Change::AllowedToRefused, "bob", 900);
        add(&mut differences, Change::AllowedToRefused, "ann", 100);
        add(&mut differences, Change::Other, "ann", 1);
        let view = differences.view();
        assert_eq!(view.allowed_to_refused, FlowSum { flows: 3, packets: 6, bytes: 1_100 });
        assert_eq!((view.refused_to_allowed.flows, view.other.flows), (0, 1));
        let users: Vec<_> = view.by_user.iter().map(|one| (one.change, &*one.name, one.sum.flows)).collect();
        assert_eq!(
            users,
            [("allowed_to_refused", "ann", 2), ("allowed_to_refused", "bob", 1), ("other", "ann", 1)]
        );
        assert_eq!((view.by_policy.len(), view.by_policy[0].sum.flows, view.left_out), (2, 3, 0));
        let told = &view.examples[0];
        assert_eq!((told.src.as_str(), told.dst.as_str()), ("[2001:db8::1]:4000", "192.0.2.1:53"));
    }

    #[test]
    fn whatever_is_compared_what_is_kept_is_bounded() {
        let mut differences = Differences::default();
        for number in 0..5_000 {
            add(&mut differences, Change::AllowedToRefused, &format!("user-{number}"), 60);
        }
        let view = differences.view();
        assert_eq!(view.allowed_to_refused.flows, 5_000, "sums are of all");
        assert_eq!((view.examples.len(), view.by_user.len()), (EXAMPLES_MAX, TOLD_MAX));
        assert_eq!(differences.users.sums.len(), NAMES_MAX);
        assert_eq!(view.left_out, 4_950 + 4_900);
    }
}
