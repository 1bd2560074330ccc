//! How does a packet's payload get to inspection, and what does policy learn from it?
//!
//! A flow is given a place in the [`Inspector`] with its first payload, so that a flood of empty packets costs
//! nothing. Segments that the tracker objects to are not shown: their receiver will not see them either.

use super::{Engine, Packet};
use crate::control::{Event, EventSender, FlowEnd, Snapshot, Transaction};
use crate::dpi::Summary;
use crate::dpi::inspector::{Inspector, Payload};
use crate::dpi::parser::{FlowView, Record};
use crate::flow::{
    CachedDecision, Direction, FlowId, FlowKey, FlowRecord, Found, NO_INSPECTION, TcpOutcome, TcpState,
};
use crate::parse::{Headers, Transport};
use crate::policy::{Fact, Facts, Kind};
use crate::time::Wall;

impl Engine {
    /// A flow has begun: its payload is to be looked at where inspection is on.
    #[inline]
    pub(super) fn look_at_new(&mut self, id: FlowId) {
        if self.inspector.is_some() {
            let flow = self.flows.flow_mut(id);
            flow.look_at(Inspector::looks_into(flow.key().protocol()));
        }
    }

    /// Shows a packet's payload to inspection, before its flow is judged.
    #[inline(never)]
    pub(super) fn inspect(
        &mut self,
        found: Found,
        headers: &Headers,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) {
        let bytes = headers.payload(packet.bytes);
        let Some(inspector) = &mut self.inspector else { return };
        if bytes.is_empty() {
            return;
        }
        let Found { id, direction, .. } = found;
        if let TcpOutcome::Violation(_) = self.flows.judge(id, direction, headers).outcome() {
            return;
        }
        let flow = self.flows.flow(id);
        let view = view_of(flow);
        let mut slot = flow.inspection;
        if slot == NO_INSPECTION {
            let (given, looks) = inspector.start(&view, packet.at.wall);
            slot = given;
            // Before the handshake is complete the tracker does not know both sides; then the first payload says where
            // its direction begins.
            let is_known =
                !matches!(flow.tcp_state(), TcpState::Unopened | TcpState::SynSent | TcpState::SynSentBoth);
            if looks && is_known && !flow.is_midstream() {
                for way in [direction, direction.opposite()] {
                    // The tracker knows what each side would send next; the inspector counts from the SYN.
                    let (next, _) = flow.tcp_sequence(way);
                    inspector.syn(slot, way, next.wrapping_sub(1));
                }
            }
            let flow = self.flows.flow_mut(id);
            flow.inspection = slot;
            flow.look_at(looks);
            if !looks {
                return;
            }
        }
        let tcp = match headers.transport {
            Transport::Tcp(tcp) => Some((tcp.seq, tcp.flags)),
            Transport::None | Transport::Udp { .. } | Transport::Icmp(_) | Transport::Sctp { .. } => None,
        };
        let payload = Payload { way: direction, bytes, tcp, at: packet.at.wall };
        let flows = &self.flows;
        let head = || {
            head_of(&view, flows.flow_id(id), flows.flow(id).in_port(), flows.flow(id).key(), packet.at.wall)
        };
        let looked = inspector.look(slot, &view, &payload, &mut sender(events, head));
        let flow = self.flows.flow_mut(id);
        if looked.finished {
            flow.look_at(false);
        }
        // What was decided without this knowledge is no longer the answer; nor is what waited for it.
        if looked.changed || (looked.finished && !flow.decision().decided) {
            flow.set_decision(CachedDecision { policy_version: 0, decided: false, ..flow.decision() });
        }
    }

    /// Puts what inspection knows of a flow among the facts that policy is asked with.
    pub(super) fn tell_of_payload(&self, snapshot: &Snapshot, facts: &mut Facts<'_>, id: FlowId) {
        let Some(inspector) = &self.inspector else { return };
        let flow = self.flows.flow(id);
        let summary = summary_of(inspector, flow.inspection, flow.key().protocol());
        let words = snapshot.policy.vocabulary();
        let Some(app) = summary.app_name() else { return };
        facts.application = Fact::Known(words.number(Kind::Application, app));
        facts.category = Fact::Known(words.number(Kind::Category, summary.category().name()));
        facts.confidence = Fact::Known(summary.confidence);
        if let Some(protocol) = summary.protocol {
            facts.l7_protocol = Fact::Known(words.number(Kind::Protocol, protocol.name));
        }
    }

    /// What inspection knows of a flow that a record speaks of.
    pub(super) fn summary(&self, record: &FlowRecord) -> Summary {
        let inspector = self.inspector.as_ref();
        inspector.map_or_else(Summary::default, |inspector| {
            summary_of(inspector, record.inspection, record.key.protocol())
        })
    }
}

/// A flow is over: what its payload told goes with its record.
pub(super) fn tell(inspector: &mut Option<Inspector>, events: &mut EventSender, record: FlowRecord) {
    let (summary, host) = match inspector {
        Some(inspector) if record.inspection != NO_INSPECTION => {
            let (src, dst) = record.endpoints();
            let view = FlowView {
                initiator: src,
                responder: dst,
                protocol: record.key.protocol(),
                is_midstream: record.midstream,
            };
            let head = || head_of(&view, record.flow_id, record.in_port, &record.key, record.last);
            inspector.end(record.inspection, &view, record.last, &mut sender(events, head))
        }
        Some(_) => (Summary::by_number(record.key.protocol()), None),
        None => (Summary::default(), None),
    };
    events.send(Event::Flow(FlowEnd { record, summary, host }));
}

fn summary_of(inspector: &Inspector, slot: u32, protocol: u8) -> Summary {
    if slot == NO_INSPECTION { Summary::by_number(protocol) } else { inspector.summary(slot) }
}

fn view_of(flow: &crate::flow::Flow) -> FlowView {
    FlowView {
        initiator: flow.initiator(),
        responder: flow.responder(),
        protocol: flow.key().protocol(),
        is_midstream: flow.is_midstream(),
    }
}

/// Sends on what parsers tell of one flow; `head` is asked only where something is told.
fn sender<'a>(
    events: &'a mut EventSender,
    head: impl Fn() -> Transaction + 'a,
) -> impl FnMut(Record<'_>) + 'a {
    move |told| {
        let Record { event_type, transaction, way, fields } = told;
        // Without room it is counted as shed.
        events.send_transaction(Transaction { event_type, transaction, way, ..head() }, fields.as_bytes());
    }
}

/// A transaction of that flow, without what it is.
fn head_of(view: &FlowView, flow_id: u64, in_port: u8, key: &FlowKey, time: Wall) -> Transaction {
    let labels = key.labels();
    Transaction {
        time,
        flow_id,
        in_port,
        vlans: (labels.vlan_outer, labels.vlan_inner),
        src: view.initiator,
        dst: view.responder,
        protocol: view.protocol,
        event_type: "",
        transaction: 0,
        way: Direction::Forward,
        fields_len: 0,
    }
}
