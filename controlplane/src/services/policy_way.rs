//! Would this set of policies cut its own author off from the API?
//!
//! Where the connection of a request crosses the box, the workers have its flow: then the set is asked about that flow with
//! all that is known of it, and about a new connection of the same client, of which only the headers are known. A connection
//! that no worker has does not cross the box, by the management interface say, and no policy is in its way. Only where the
//! workers cannot be asked, or do not judge at the moment (bypass, a drained box), is the set asked about addresses and ports
//! alone. The tables are walked only if some fact could make the set stop the connection at all: mostly none can.
//!
//! It is judged as things are now: not at another hour of a schedule, nor as another user. Addresses that are translated
//! between client and API, or a proxy's client, cannot be known; nor another way in that the client has not used. Frames for
//! a service address of the box are never judged by policies, so only a redirect to it can be taken away.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::dpi::Summary;
use dataplane::flow::{FlowFilter, FlowRecord, FlowState};
use dataplane::identity::Identity;
use dataplane::parse::Addr;
use dataplane::policy::{
    DecidingMode, Evaluation, Fact, Facts, OutcomeAction, PolicyIndex, PolicySet, Scratch, Supplied,
};

use super::Services;
use super::flows::{FlowCursor, FlowQuestion};
use super::policies::Policies;

/// IANA number of TCP.
const TCP: u8 = 6;

/// How long the flow is looked for.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// The connection over which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    client: SocketAddr,
    api: SocketAddr,
}

impl Way {
    /// From the client's address to the one it was accepted at; `None` where it does not leave the machine.
    #[must_use]
    pub fn between(client: SocketAddr, api: SocketAddr) -> Option<Self> {
        let plain = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let (client, api) = (plain(client), plain(api));
        (!client.ip().is_loopback() && client.ip() != api.ip()).then_some(Self { client, api })
    }

    fn ends(&self) -> [(Addr, u16); 2] {
        [self.client, self.api].map(|end| (Addr::from(end.ip()), end.port()))
    }
}

/// A set of policies that its author would be cut off by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Nothing was changed: the connection of this request, from {client} to {api}, {seen}, and {by} would {what} it. Let it pass, \
     or give `force=true` if you have another way in."
)]
pub struct CutOff {
    /// Where the request came from.
    pub client: SocketAddr,
    /// Where it was accepted.
    pub api: SocketAddr,
    /// Whether it is known to cross the box.
    pub seen: Seen,
    /// What would do it.
    pub by: String,
    /// How.
    pub what: &'static str,
}

/// Whether a connection is known to cross the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It does.
    Crossing,
    /// The workers could not say.
    Unknown,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crossing => "crosses the box",
            Self::Unknown => "may cross the box (its workers cannot say at the moment)",
        })
    }
}

/// What the workers have of a connection.
enum Found {
    Flow(Box<(FlowRecord, Summary)>),
    None,
    Unknown,
}

impl Services {
    /// Whether the caller still reaches the API under `set`. Blocks for two seconds at most.
    ///
    /// # Errors
    ///
    /// [`CutOff`].
    pub(super) fn keeps_way(
        &self,
        policies: &Policies,
        set: &PolicySet,
        way: Option<Way>,
    ) -> Result<(), CutOff> {
        let Some(way) = way else { return Ok(()) };
        let [client, api] = way.ends();
        let mut judge = Judge { set, way, scratch: Scratch::new() };
        let to_service = policies.serves(api.0);
        let wall = self.now().wall;
        let mut any = Facts::none(wall);
        any.l4_protocol = Fact::Known(TCP);
        (any.src_ip, any.src_port) = (Fact::Known(client.0), Fact::Known(client.1));
        (any.dst_ip, any.dst_port) = (Fact::Known(api.0), Fact::Known(api.1));
        // Whatever else a policy may ask of a flow.
        for name in UNKNOWN {
            any.set_pending(name);
        }
        let current = self.door.publisher.current();
        let geography = current.geography.as_deref();
        if !to_service {
            any.tell_country(geography);
        }
        if !to_service && judge.passes_surely(&any) {
            return Ok(());
        }
        match self.flow_of(&way, to_service) {
            Found::None => Ok(()),
            Found::Unknown if to_service => Ok(()),
            Found::Unknown => judge.passes(Seen::Unknown, &any),
            Found::Flow(flow) => {
                let (record, summary) = &*flow;
                let (initiator, responder) = record.endpoints();
                let users = [(initiator.0, record.src_mac), (responder.0, record.dst_mac)]
                    .map(|(addr, mac)| self.door.user_of(addr, mac));
                let [first, second] = users.each_ref().map(Identity::user_of);
                let (client, server) = if initiator != api { (first, second) } else { (second, first) };
                let mut new = new_flow(&any, record, api, current.settings.supplied);
                let mut known = known_flow(&new, record, set, summary);
                new.tell_country(geography);
                known.tell_country(geography);
                judge.passes(Seen::Crossing, &known.with_users(first, second))?;
                judge.passes(Seen::Crossing, &new.with_users(client, server))
            }
        }
    }

    /// The flow of a connection: from the client to the API, or in the eyes of a box that came in between them the other way
    /// round; `redirected`: from the client to anyone.
    fn flow_of(&self, way: &Way, redirected: bool) -> Found {
        let judges = self.door.wire().is_none_or(|wire| wire.read().is_ok_and(|wire| !wire.bypass))
            && !self.levers.as_ref().is_some_and(|levers| levers.is_drained());
        if !judges {
            return Found::Unknown;
        }
        let [client, api] = way.ends();
        let is_it = |record: &FlowRecord| {
            let (initiator, responder) = record.endpoints();
            let straight = initiator == client && (responder == api || redirected);
            record.state != FlowState::Closed && (straight || (initiator, responder) == (api, client))
        };
        let filter = FlowFilter {
            prefix: Some((client.0, 128)),
            port: Some(client.1),
            protocol: Some(TCP),
            ..FlowFilter::default()
        };
        let deadline = Instant::now() + LOOK_TIME_MAX;
        let mut cursor = FlowCursor::default();
        loop {
            let Ok(answer) = self.flows(&FlowQuestion { filter, limit: FLOWS_ASKED, cursor }) else {
                return Found::Unknown;
            };
            let found = answer.flows.into_iter().find(|(_, record, _)| is_it(record));
            match (found, answer.next) {
                (Some((_, record, summary)), _) => return Found::Flow(Box::new((record, summary))),
                (None, None) => return Found::None,
                (None, Some(_)) if Instant::now() >= deadline => return Found::Unknown,
                (None, Some(next)) => cursor = next,
            }
        }
    }
}

/// Flows of one client's port that are asked for at once; it has one to the API.
const FLOWS_ASKED: usize = 16;

/// What is not in the addresses and ports of a connection.
const UNKNOWN: [&str; 11] = [
    "zone",
    "in_port",
    "vlan",
    "src_mac",
    "application",
    "category",
    "l7_protocol",
    "confidence",
    "user",
    "dst_user",
    "country",
];

/// A new connection of the client whose flow the workers have.
fn new_flow<'a>(any: &Facts<'a>, record: &FlowRecord, api: (Addr, u16), supplied: Supplied) -> Facts<'a> {
    let mut facts = *any;
    let (initiator, responder) = record.endpoints();
    let by_client = initiator != api;
    let in_port = if by_client { record.in_port } else { record.in_port ^ 1 };
    (facts.in_port, facts.zone) = (Fact::Known(in_port), Fact::Known(in_port));
    facts.src_mac = Fact::Known(if by_client { record.src_mac } else { record.dst_mac });
    let vlan = record.key.labels().vlan_outer;
    // Where VLANs are no part of a flow's key nobody knows them.
    facts.vlan = if vlan == 0 { Fact::Pending } else { Fact::Known(vlan) };
    if by_client {
        (facts.dst_ip, facts.dst_port) = (Fact::Known(responder.0), Fact::Known(responder.1));
    }
    let never = |fact: &mut Fact<_>| *fact = Fact::Absent;
    if !supplied.application {
        [&mut facts.application, &mut facts.category, &mut facts.l7_protocol].into_iter().for_each(never);
        facts.confidence = Fact::Absent;
    }
    facts
}

/// The flow itself, with what its payload has told.
fn known_flow<'a>(new: &Facts<'a>, record: &FlowRecord, set: &PolicySet, summary: &Summary) -> Facts<'a> {
    let mut facts = *new;
    let (initiator, responder) = record.endpoints();
    (facts.src_ip, facts.src_port) = (Fact::Known(initiator.0), Fact::Known(initiator.1));
    (facts.dst_ip, facts.dst_port) = (Fact::Known(responder.0), Fact::Known(responder.1));
    (facts.in_port, facts.zone) = (Fact::Known(record.in_port), Fact::Known(record.in_port));
    facts.src_mac = Fact::Known(record.src_mac);
    facts.tell_payload(summary, set.vocabulary());
    facts
}

/// Asks one set about one connection.
struct Judge<'a> {
    set: &'a PolicySet,
    way: Way,
    scratch: Scratch,
}

impl Judge<'_> {
    /// Whether it passes whatever the pending facts turn out to be.
    fn passes_surely(&mut self, facts: &Facts<'_>) -> bool {
        match self.set.evaluate(facts, &mut self.scratch) {
            Evaluation::Decided { outcome, .. } => self.obstacle(facts, outcome.action).is_none(),
            Evaluation::NoDecision => true,
            Evaluation::Deciding { .. } => false,
        }
    }

    /// Whether it passes as far as it can be said.
    fn passes(&mut self, seen: Seen, facts: &Facts<'_>) -> Result<(), CutOff> {
        let (policy, what) = match self.set.evaluate(facts, &mut self.scratch) {
            Evaluation::Decided { outcome, policy } => match self.obstacle(facts, outcome.action) {
                Some(what) => (policy, what),
                None => return Ok(()),
            },
            // Nothing passes until all is known, and so nothing is ever known.
            Evaluation::Deciding { policy, .. } if self.set.deciding() == DecidingMode::Block => {
                (Some(policy), "hold (`deciding` is `block`)")
            }
            Evaluation::Deciding { .. } | Evaluation::NoDecision => return Ok(()),
        };
        let name = |index: PolicyIndex| Some(format!("policy `{}`", self.set.info(index)?.policy_id));
        let by = policy.and_then(name).unwrap_or_else(|| "the default action".to_owned());
        Err(CutOff { client: self.way.client, api: self.way.api, seen, by, what })
    }

    /// What an action does to a connection that is to end at the API.
    fn obstacle(&self, facts: &Facts<'_>, action: OutcomeAction) -> Option<&'static str> {
        let [client, api] = self.way.ends();
        let asked = facts.dst_ip.known().zip(facts.dst_port.known());
        match action {
            OutcomeAction::Drop(_) => Some("drop"),
            OutcomeAction::Reject(_) => Some("reject"),
            OutcomeAction::Redirect(target) => {
                let to = self.set.target(target);
                let to = to.and_then(|to| Some((to.addr(client.0.is_v4())?, to.port)));
                (to != Some(api)).then_some("redirect")
            }
            // A flow that was redirected here, and then would not be.
            OutcomeAction::Allow | OutcomeAction::RateLimit(_) => {
                (asked != Some(api) && asked != Some(client)).then_some("no longer redirect")
            }
        }
    }
}
