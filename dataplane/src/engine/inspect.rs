//! How does a packet's payload get to inspection, and what does policy learn from it?
//!
//! A flow is given a place in the [`Inspector`] with its first payload, so that a flood of empty packets costs
//! nothing. Segments that the tracker objects to are not shown: their receiver will not see them either.

use super::{Engine, Packet};
use crate::control::{Event, EventSender, FlowEnd, Snapshot, Transaction};
use crate::dpi::inspector::{Inspector, Payload};
use crate::dpi::{FlowView, Summary, protocols};
use crate::flow::{CachedDecision, FlowId, FlowRecord, Found, NO_INSPECTION, TcpOutcome, TcpState};
use crate::parse::{self, Headers, Transport};
use crate::policy::{Fact, Facts, Kind};
use crate::time::Wall;

impl Engine {
    /// A flow has begun: its payload is to be looked at where inspection is on.
    #[inline]
    pub(super) fn look_at_new(&mut self, id: FlowId) {
        if self.inspector.is_some() {
            let flow = self.flows.flow_mut(id);
            let protocol = flow.key().protocol();
            flow.look_at(matches!(
                protocol,
                parse::Protocol::TCP | parse::Protocol::UDP | parse::Protocol::SCTP
            ));
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
            let (given, looks) = inspector.start(&view);
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
        let flow = self.flows.flow(id);
        let labels = flow.key().labels();
        let head = head_of(
            &view,
            self.flows.flow_id(id),
            flow.in_port(),
            (labels.vlan_outer, labels.vlan_inner),
            packet.at.wall,
        );
        let looked = inspector.look(slot, &view, &payload, &mut |record| {
            events.send_transaction(
                Transaction {
                    event_type: record.event_type,
                    transaction: record.transaction,
                    way: record.way,
                    ..head
                },
                record.fields.as_bytes(),
            );
        });
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
            let ((src, dst), labels) = (record.endpoints(), record.key.labels());
            let view = FlowView {
                initiator: src,
                responder: dst,
                protocol: record.key.protocol(),
                is_midstream: record.midstream,
            };
            let vlans = (labels.vlan_outer, labels.vlan_inner);
            let head = head_of(&view, record.flow_id, record.in_port, vlans, record.last);
            inspector.end(record.inspection, &view, record.last, &mut |told| {
                events.send_transaction(
                    Transaction {
                        event_type: told.event_type,
                        transaction: told.transaction,
                        way: told.way,
                        ..head
                    },
                    told.fields.as_bytes(),
                );
            })
        }
        Some(_) => (by_number(record.key.protocol()), None),
        None => (Summary::default(), None),
    };
    events.send(Event::Flow(FlowEnd { record, summary, host }));
}

fn summary_of(inspector: &Inspector, slot: u32, protocol: u8) -> Summary {
    if slot == NO_INSPECTION { by_number(protocol) } else { inspector.summary(slot) }
}

/// What the IP protocol number alone says.
fn by_number(number: u8) -> Summary {
    match protocols::network::by_ip_protocol(number) {
        Some(protocol) => Summary {
            protocol: Some(protocol),
            confidence: 100,
            evidence: crate::dpi::Evidence::Content,
            detection_tick: 1,
            ..Summary::default()
        },
        None => Summary::default(),
    }
}

fn view_of(flow: &crate::flow::Flow) -> FlowView {
    FlowView {
        initiator: flow.initiator(),
        responder: flow.responder(),
        protocol: flow.key().protocol(),
        is_midstream: flow.is_midstream(),
    }
}

/// A transaction of that flow, without what it is.
fn head_of(view: &FlowView, flow_id: u64, in_port: u8, vlans: (u16, u16), time: Wall) -> Transaction {
    Transaction {
        time,
        flow_id,
        in_port,
        vlans,
        src: view.initiator,
        dst: view.responder,
        protocol: view.protocol,
        event_type: "",
        transaction: 0,
        way: crate::flow::Direction::Forward,
        fields_len: 0,
    }
}
