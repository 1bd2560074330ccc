//! How does a packet's payload get to inspection, and what does policy learn from it?
//!
//! A flow is given a place in the [`Inspector`] with its first payload, so that a flood of empty packets costs
//! nothing. Segments that the tracker objects to are not shown: their receiver will not see them either. Nor are those
//! with a wrong checksum, which no flow learns from. Inline this is also where TCP bytes that come again are made the
//! ones that were inspected, and where each acknowledgement frees what is remembered for that.

use std::sync::Arc;

use super::{Engine, EngineConfig, Entry, Inspection, Mode, Outcome, Packet};
use crate::control::{
    Event, EventSender, ExceptionAction, Exceptions, FlowEnd, Origin, ParserErrorAction, Transaction,
};
use crate::dpi::Lease;
use crate::dpi::inspector::{Inspector, Looked, Payload, WhenFull};
use crate::dpi::parser::{FlowView, Record};
use crate::dpi::risk::clues::Page;
use crate::dpi::{Foresight, Summary};
use crate::flow::{
    CachedDecision, Direction, FlowId, FlowKey, FlowRecord, FlowTable, Found, NO_INSPECTION, TcpOutcome,
    TcpState,
};
use crate::host::Shared;
use crate::identity::Table;
use crate::parse::checksum::mend_tcp;
use crate::parse::{Headers, Protocol, TcpFlags, Transport};
use crate::policy::{Facts, PolicySet};
use crate::rules::detect::FlowCounts;
use crate::rules::host_bits::HostBits;
use crate::stream::{self, Mended, UrgentPolicy};
use crate::time::Wall;
use crate::verdict::{Reason, Verdict};

/// What looks at payload under this configuration, if anybody.
pub(super) fn inspector(config: &EngineConfig, shared: &Shared) -> Option<Inspector> {
    let Inspection { recogniser, apps } = config.inspection.as_ref()?;
    let mut inspector =
        Inspector::new(Arc::clone(recogniser), Arc::clone(apps), config.flow.capacity as usize);
    inspector.set_mode(match config.mode {
        Mode::Inline => stream::Mode::Inline,
        Mode::Tap => stream::Mode::Target(config.streams.overlap),
    });
    inspector.set_urgent(config.streams.urgent);
    inspector.set_files(config.files);
    inspector.set_limits(config.limits);
    inspector.memory().set_bytes_max(config.streams.bytes_max);
    let foresight = Foresight::of(Arc::clone(&shared.foreseen));
    let foresight = foresight.with_names(Arc::clone(&shared.resolved));
    inspector.share(foresight.with_transfers(Arc::clone(&shared.transfers)));
    inspector.rules().share(HostBits::of(Arc::clone(&shared.rule_bits)));
    Some(inspector)
}

/// What becomes of a segment for which there is no room: only inline it can be kept from its receiver.
pub(super) const fn when_full(mode: Mode, exceptions: Exceptions) -> WhenFull {
    match (mode, exceptions.reassembly_memory) {
        (Mode::Tap, _) | (Mode::Inline, ExceptionAction::Ignore) => WhenFull::GoOn,
        (Mode::Inline, ExceptionAction::Pass | ExceptionAction::Drop | ExceptionAction::Reject) => {
            WhenFull::LeaveSegment
        }
    }
}

impl Engine {
    /// Whether somebody reads what the flow says, or will.
    pub(super) fn is_read(&self, id: FlowId) -> bool {
        let flow = self.flows.flow(id);
        let is_begun = flow.inspection != NO_INSPECTION;
        flow.is_looked_at()
            && self
                .inspector
                .as_ref()
                .is_some_and(|inspector| !is_begun || inspector.is_reading(flow.inspection))
    }

    /// A flow has begun: its payload is to be looked at where inspection is on.
    #[inline]
    pub(super) fn look_at_new(&mut self, id: FlowId) {
        if self.inspector.is_some() {
            let has_rules = self.has_rules();
            let flow = self.flows.flow_mut(id);
            flow.look_at(Inspector::looks_into(flow.key().protocol()) || has_rules);
        }
    }

    /// Shows a packet to inspection, before its flow is judged. Inline, TCP bytes that differ from those seen first are
    /// rewritten to them. Where the packet must not go on, returns what becomes of it, and why.
    #[inline(never)]
    pub(super) fn inspect(
        &mut self,
        exceptions: Exceptions,
        entry: &Entry<'_>,
        found: Found,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Option<(ExceptionAction, Reason)> {
        let headers = entry.headers;
        let Found { id, direction, .. } = found;
        (self.is_in_stream, self.is_broken) = (false, false);
        let is_known = self.flows.flow(id).inspection != NO_INSPECTION;
        let has_payload = headers.payload_offset < headers.end;
        // Rules may ask about packets of any protocol; parsers do not.
        let is_read = Inspector::looks_into(self.flows.flow(id).key().protocol());
        if !is_read || (!has_payload && !is_known) {
            return None;
        }
        let Transport::Tcp(tcp) = headers.transport else {
            if has_payload {
                let _nothing_waits = self.look(found, headers, None, packet, events);
            }
            return self.break_off(exceptions.parser_error, found, packet, events);
        };
        let outcome = self.flows.judge(id, direction, headers).outcome();
        // What the tracker objects to may reach the receiver all the same.
        let mended = match is_known && has_payload && self.is_inline() {
            true => self.write_first_seen(entry, found, (tcp.seq, tcp.flags), packet, out),
            false => Mended::default(),
        };
        if mended.is_rewritten && entry.datagram.is_some() {
            // The held fragments are the original ones.
            return Some((ExceptionAction::Drop, Reason::OverlapInFragments));
        }
        if matches!(outcome, TcpOutcome::Violation(_) | TcpOutcome::Challenge) {
            return None;
        }
        if is_known && tcp.flags.syn() {
            self.begin_anew(found, tcp.seq, packet, events);
        }
        if is_known && tcp.flags.ack() && !tcp.flags.rst() {
            self.acknowledge(found, tcp.ack, packet, events);
        }
        if mended.is_unverified {
            let answer = (exceptions.overlap_unverified, Reason::OverlapUnverified);
            if self.excepted(answer, found, packet, events) {
                return Some(answer);
            }
            self.tolerate(Reason::OverlapUnverified, packet, headers, events);
        }
        if !has_payload || !self.flows.flow(id).is_looked_at() {
            return self.break_off(exceptions.parser_error, found, packet, events);
        }
        if tcp.flags.urg() {
            match self.config.streams.urgent {
                UrgentPolicy::OutOfBand | UrgentPolicy::Inline => {}
                UrgentPolicy::Drop if self.is_inline() => {
                    return Some((ExceptionAction::Drop, Reason::TcpUrgent));
                }
                UrgentPolicy::Drop | UrgentPolicy::Gap => return None,
            }
        }
        self.is_in_stream = true;
        if self.look(found, headers, Some((tcp.seq, tcp.flags)), packet, events) {
            return self.break_off(exceptions.parser_error, found, packet, events);
        }
        let answer = (exceptions.reassembly_memory, Reason::ReassemblyMemory);
        self.excepted(answer, found, packet, events).then_some(answer)
    }

    /// What becomes of a packet whose payload a parser could not go on with, if that was so. Rules were told what was read until
    /// then, and what matched of it is not told where they do not look at the packet.
    fn break_off(
        &mut self,
        action: ParserErrorAction,
        found: Found,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> Option<(ExceptionAction, Reason)> {
        if !std::mem::take(&mut self.is_broken) {
            return None;
        }
        let reason = Reason::ParserError;
        let (exception, of_flow) = match action {
            ParserErrorAction::Ignore => return None,
            ParserErrorAction::PassPacket | ParserErrorAction::PassFlow => {
                self.rules_pass_packet = true;
                if action == ParserErrorAction::PassFlow {
                    self.pass_rules(found.id);
                }
                (None, None)
            }
            _ if !self.is_inline() => return None,
            ParserErrorAction::DropPacket => (Some(ExceptionAction::Drop), None),
            ParserErrorAction::DropFlow => (Some(ExceptionAction::Drop), Some(Verdict::Drop(reason))),
            ParserErrorAction::Reject => (Some(ExceptionAction::Reject), Some(Verdict::Reject(reason))),
        };
        if let Some(inspector) = &mut self.inspector {
            inspector.rules().forget_hits();
        }
        if let Some(verdict) = of_flow {
            self.end_by_rule(found.id, verdict, packet.at.wall, events);
        }
        exception.map(|exception| (exception, reason))
    }

    /// Whether an exception keeps a segment from going on; one that lets it pass unseen lets all of its flow.
    #[cold]
    fn excepted(
        &mut self,
        (action, _): (ExceptionAction, Reason),
        found: Found,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> bool {
        match action {
            ExceptionAction::Drop | ExceptionAction::Reject => true,
            ExceptionAction::Ignore => false,
            ExceptionAction::Pass => {
                self.leave(found.id, packet.at.wall, events);
                false
            }
        }
    }

    /// Rewrites a segment's bytes that differ from those seen first, and its checksum. Nothing is read where the segment
    /// is the next one.
    fn write_first_seen(
        &mut self,
        entry: &Entry<'_>,
        found: Found,
        (seq, flags): (u32, TcpFlags),
        packet: &mut Packet<'_>,
        out: &mut Outcome,
    ) -> Mended {
        let headers = entry.headers;
        let slot = self.flows.flow(found.id).inspection;
        let payload = usize::from(headers.payload_offset)..usize::from(headers.end);
        let (Some(inspector), Some(payload)) = (&mut self.inspector, packet.bytes.get_mut(payload)) else {
            return Mended::default();
        };
        let mended = inspector.first_seen(slot, found.direction, (seq, flags), payload);
        if mended.is_rewritten {
            mend_tcp(packet.bytes, headers, mended.sum_gain);
            out.rewritten |= 1 << entry.index;
            self.counters.notice(Reason::OverlapRewritten);
        }
        mended
    }

    /// A SYN says anew where its direction begins. What came after another one was no part of the connection, if it is
    /// this one that is answered: then inspection begins anew too.
    #[cold]
    fn begin_anew(&mut self, found: Found, seq: u32, packet: &Packet<'_>, events: &mut EventSender) {
        let flow = self.flows.flow(found.id);
        let (slot, at, view) = (flow.inspection, packet.at.wall, view_of(flow));
        let is_open = matches!(
            flow.tcp_state(),
            TcpState::Unopened | TcpState::SynSent | TcpState::SynSentBoth | TcpState::SynReceived
        );
        let Some(inspector) = &mut self.inspector else { return };
        if !is_open || inspector.syn(slot, found.direction, seq) {
            return;
        }
        let flows = &self.flows;
        let head = || head_in(flows, found.id, &view, at);
        inspector.end(slot, &view, at, &mut sender(events, head));
        let flow = self.flows.flow_mut(found.id);
        flow.inspection = NO_INSPECTION;
        flow.look_at(true);
        self.forget_decision(found.id);
    }

    /// What the receiver has needs not be remembered, and what it has that we have not will not come.
    fn acknowledge(&mut self, found: Found, ack: u32, packet: &Packet<'_>, events: &mut EventSender) {
        let Found { id, direction, .. } = found;
        let Some(inspector) = &mut self.inspector else { return };
        let flow = self.flows.flow(id);
        let (slot, at, view) = (flow.inspection, packet.at.wall, view_of(flow));
        let flows = &self.flows;
        let head = || head_in(flows, id, &view, at);
        let looked = inspector.acknowledged(slot, &view, direction, ack, at, &mut sender(events, head));
        self.learn(id, looked);
    }

    /// Shows a payload to inspection. `false`: there was no room for it.
    fn look(
        &mut self,
        found: Found,
        headers: &Headers,
        tcp: Option<(u32, TcpFlags)>,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> bool {
        let Found { id, direction, .. } = found;
        let Some(inspector) = &mut self.inspector else { return true };
        let flow = self.flows.flow(id);
        let mut view = FlowView { is_midstream: is_midstream(flow, headers), ..view_of(flow) };
        if inspector.rules_want_age() {
            view.counts.age_s = self.flows.age_s(id);
        }
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
                    let _begins = inspector.syn(slot, way, next.wrapping_sub(1));
                }
            }
            let has_rules = inspector.has_rules();
            let flow = self.flows.flow_mut(id);
            flow.inspection = slot;
            flow.look_at(looks || has_rules);
            if !looks {
                return true;
            }
        }
        let at = packet.at.wall;
        let urgent =
            tcp.and_then(|(_, flags)| flags.urg().then(|| urgent_pointer(headers, packet.bytes)).flatten());
        let payload = Payload { way: direction, bytes: headers.payload(packet.bytes), tcp, urgent, at };
        let flows = &self.flows;
        let head = || head_in(flows, id, &view, at);
        let looked = inspector.look(slot, &view, &payload, &mut sender(events, head));
        self.learn(id, looked);
        !looked.refused
    }

    /// Nobody is to look at the flow any more, whoever wanted to.
    pub(super) fn leave(&mut self, id: FlowId, at: Wall, events: &mut EventSender) {
        let flow = self.flows.flow(id);
        let (slot, view) = (flow.inspection, view_of(flow));
        if let Some(inspector) = &mut self.inspector
            && slot != NO_INSPECTION
        {
            let flows = &self.flows;
            inspector.leave(slot, &view, at, &mut sender(events, || head_in(flows, id, &view, at)));
        }
        self.flows.flow_mut(id).look_at(false);
    }

    /// Takes what inspection learned of a flow.
    fn learn(&mut self, id: FlowId, looked: Looked) {
        // Rules look at packets of flows that nobody reads any more.
        self.is_broken |= looked.is_broken;
        let is_let_go = looked.finished && !looked.is_kept && !self.has_rules();
        let flow = self.flows.flow_mut(id);
        if is_let_go {
            flow.look_at(false);
        }
        // What was decided without this knowledge is no longer the answer; nor is what waited for it, in the shadow too.
        let waits = !flow.decision().decided || self.flows.is_open_in_shadow(id);
        if looked.changed || (looked.finished && waits) {
            self.forget_decision(id);
        }
    }

    /// Policy is to be asked again.
    fn forget_decision(&mut self, id: FlowId) {
        let flow = self.flows.flow_mut(id);
        flow.set_decision(CachedDecision { policy_version: 0, decided: false, ..flow.decision() });
    }

    /// Puts what inspection knows of a flow among the facts that policy is asked with, by the names of `set`.
    pub(super) fn tell_of_payload(&self, set: &PolicySet, facts: &mut Facts<'_>, id: FlowId) {
        let Some(inspector) = &self.inspector else { return };
        let flow = self.flows.flow(id);
        let summary = summary_of(inspector, flow.inspection, flow.key().protocol());
        facts.tell_payload(&summary, set.vocabulary());
    }

    /// What inspection knows of a flow that a record speaks of.
    pub(super) fn summary(&self, record: &FlowRecord) -> Summary {
        let inspector = self.inspector.as_ref();
        inspector.map_or_else(Summary::default, |inspector| {
            summary_of(inspector, record.inspection, record.key.protocol())
        })
    }
}

/// A flow is over: what its payload told goes with its record, and whose the responder is.
pub(super) fn tell(
    inspector: &mut Option<Inspector>,
    identities: &Table,
    events: &mut EventSender,
    record: FlowRecord,
) {
    // A user who comes or goes has the flow judged anew at once: who is there now is who it was judged with.
    let responder = identities.find(record.endpoints().1.0, record.dst_mac).map(|who| who.number);
    let of_packet = events.set_origin(Origin::FLOW_END);
    let mut clues = None;
    let (summary, host) = match inspector {
        Some(inspector) if record.inspection != NO_INSPECTION => {
            let (src, dst) = record.endpoints();
            let view = FlowView {
                initiator: src,
                responder: dst,
                protocol: record.key.protocol(),
                is_midstream: record.midstream,
                is_established: was_established(&record),
                counts: FlowCounts {
                    age_s: record.last.0.saturating_sub(record.start.0) / crate::time::Tick::SECOND,
                    packets: record.packets,
                    bytes: record.bytes,
                },
            };
            let head = || head_of(&view, record.flow_id, record.in_port, &record.key, record.last);
            let mut told = sender(events, head);
            inspector.leave(record.inspection, &view, record.last, &mut told);
            clues = inspector.clues(record.inspection).copied();
            let known = inspector.end(record.inspection, &view, record.last, &mut told);
            drop(told);
            let mut known = known;
            known.0.rules.is_alerted |= super::detect::tell_of_end(inspector, events, &record, known.0);
            known
        }
        Some(_) => (Summary::by_number(record.key.protocol()), None),
        None => (Summary::default(), None),
    };
    let end = FlowEnd { record, summary, host, responder, clues_len: 0 };
    events.send_flow(end, clues.as_ref().map_or(&[], Page::as_bytes));
    events.set_origin(of_packet);
}

fn summary_of(inspector: &Inspector, slot: u32, protocol: u8) -> Summary {
    if slot == NO_INSPECTION { Summary::by_number(protocol) } else { inspector.summary(slot) }
}

/// The urgent pointer of a segment (RFC 9293 3.1).
fn urgent_pointer(headers: &Headers, packet: &[u8]) -> Option<u16> {
    let at = usize::from(headers.l4_offset) + 18;
    packet.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Whether both ends had spoken when a flow ended; of TCP, whether the connection stood.
fn was_established(record: &FlowRecord) -> bool {
    let has_opened = !matches!(
        TcpState::of_number(record.tcp_state),
        Some(TcpState::Unopened | TcpState::SynSent | TcpState::SynSentBoth | TcpState::SynReceived)
    );
    record.packets.iter().all(|packets| *packets > 0)
        && (record.key.protocol() != Protocol::TCP || has_opened)
}

/// Whether a flow is seen from its middle; the packet may be its first one, which was not tracked yet.
pub(super) fn is_midstream(flow: &crate::flow::Flow, headers: &Headers) -> bool {
    let begins = flow.tcp_state() == TcpState::Unopened;
    flow.is_midstream() || matches!(headers.transport, Transport::Tcp(tcp) if begins && !tcp.flags.syn())
}

/// Whether both ends have spoken; of TCP, whether the connection stands.
pub(super) fn is_established(flow: &crate::flow::Flow) -> bool {
    match flow.tcp_state() {
        // Of what is no TCP too.
        TcpState::Unopened if flow.key().protocol() != Protocol::TCP => {
            flow.packets().iter().all(|packets| *packets > 0)
        }
        TcpState::Unopened | TcpState::SynSent | TcpState::SynSentBoth => false,
        // The segment that brings the payload acknowledges too.
        _ => true,
    }
}

/// A flow as inspection sees it; its age is left to those who ask for it.
pub(super) fn view_of(flow: &crate::flow::Flow) -> FlowView {
    FlowView {
        initiator: flow.initiator(),
        responder: flow.responder(),
        protocol: flow.key().protocol(),
        is_midstream: flow.is_midstream(),
        is_established: is_established(flow),
        counts: FlowCounts { age_s: 0, packets: flow.packets(), bytes: flow.bytes() },
    }
}

/// Sends on what parsers tell of one flow; `head` is asked only where something is told.
fn sender<'a>(
    events: &'a mut EventSender,
    head: impl Fn() -> Transaction + 'a,
) -> impl FnMut(Record<'_>) + 'a {
    move |told| {
        let Record { event_type, transaction, way, fields } = told;
        let head = head();
        if event_type == "dhcp"
            && let Some(lease) =
                Lease::read(head.time, head.in_port, way, [head.src.0, head.dst.0], fields.iter())
        {
            events.send(Event::Lease(Box::new(lease)));
        }
        // Without room it is counted as shed.
        events.send_transaction(Transaction { event_type, transaction, way, ..head }, fields.as_bytes());
    }
}

/// A transaction of a flow in the table, without what it is.
fn head_in(flows: &FlowTable, id: FlowId, view: &FlowView, at: Wall) -> Transaction {
    head_of(view, flows.flow_id(id), flows.flow(id).in_port(), flows.flow(id).key(), at)
}

/// A transaction of that flow, without what it is.
fn head_of(view: &FlowView, flow_id: u64, in_port: u8, key: &FlowKey, time: Wall) -> Transaction {
    let labels = key.labels();
    Transaction {
        time,
        origin: Origin::default(),
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
