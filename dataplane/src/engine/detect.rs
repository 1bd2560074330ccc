//! What do rules say of this packet, and who is told?
//!
//! Streams and transactions were tried while the payload was inspected; here the rules of packets are tried, and what matched
//! becomes alerts and a verdict. A rule that passes ends the others, one that drops ends its flow where it matched what the flow
//! speaks, else the packet.

use std::sync::Arc;

use super::inspect::{is_established, is_midstream};
use super::notices::describe;
use super::{Engine, Entry, Packet};
use crate::control::{
    Alert, DropRecord, Event, EventSender, ExceptionAction, KeptBytes, Origin, TransportFields,
};
use crate::dpi::Summary;
use crate::dpi::inspector::Inspector;
use crate::flow::{CachedDecision, Direction, FlowId, FlowRecord, Found, NO_INSPECTION, TcpState};
use crate::parse::{Headers, Transport};
use crate::rules::Hit;
use crate::rules::detect::{FlowPlace, PacketFacts};
use crate::rules::packet::View;
use crate::rules::packet::decode::{self, MetEvents, refusal};
use crate::rules::packet::stream::objection;
use crate::rules::rule::{Action, Effect, End};
use crate::rules::set::Kept;
use crate::rules::tags::Place;
use crate::time::Wall;
use crate::verdict::{Reason, Verdict};

impl Engine {
    /// Whether there are rules.
    #[inline]
    pub(super) fn has_rules(&self) -> bool {
        self.inspector.as_ref().is_some_and(|inspector| inspector.has_rules())
    }

    /// Tries rules on a packet of a flow, and tells what matched. Returns what they make of this packet alone; what they make of
    /// its flow is kept with it.
    #[inline(never)]
    pub(super) fn detect(
        &mut self,
        entry: &Entry<'_>,
        found: Found,
        over_budget: ExceptionAction,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> Option<Verdict> {
        let headers = entry.headers;
        let Found { id, direction, .. } = found;
        let flow = self.flows.flow(id);
        let slot = flow.inspection;
        let is_unseen = self.is_unseen_midstream(id, headers);
        // The last segment of a handshake is still part of it, unless it brings data.
        let is_opening =
            flow.tcp_state() == TcpState::SynReceived && headers.payload(packet.bytes).is_empty();
        let view = View {
            headers,
            bytes: packet.bytes,
            way: Some(direction),
            is_established: is_established(flow) && !is_opening && !is_unseen,
            is_reassembled: entry.datagram.is_some(),
        };
        // Data of a SYN is part of the stream where it may be (RFC 7413), else of its packet alone.
        let is_bare_syn = matches!(headers.transport, Transport::Tcp(tcp)
            if tcp.flags.syn() && !tcp.options.fast_open);
        let is_in_stream = matches!(headers.transport, Transport::Tcp(_))
            && !is_bare_syn
            && slot != NO_INSPECTION
            && (self.is_in_stream || headers.payload(packet.bytes).is_empty())
            && !is_unseen;
        if let Transport::Tcp(tcp) = &headers.transport
            && self.inspector.as_ref().is_some_and(|inspector| inspector.rules_want_tracking())
        {
            let outcome = self.flows.judge(id, direction, headers).outcome();
            let state = self.flows.flow(id).tcp_state();
            if let Some(event) = objection(state, outcome, tcp, direction == Direction::Reverse)
                && let Some(inspector) = &mut self.inspector
            {
                inspector.rules().meet(event);
            }
        }
        let met = self.decoded(headers, None, packet);
        let facts = PacketFacts {
            is_inline: self.is_inline(),
            is_in_stream,
            is_bare_syn,
            decoded: met.as_slice(),
            at_ns: packet.at.wall.0,
            ..PacketFacts::default()
        };
        let mut known = super::inspect::view_of(flow);
        let inspector = self.inspector.as_mut()?;
        if inspector.rules_want_age() {
            known.counts.age_s = self.flows.age_s(id);
        }
        let facts = PacketFacts { counts: known.counts, ..facts };
        let remembered = inspector.try_packet(slot, Some(&known).filter(|_| !is_unseen), &view, &facts);
        let is_spent = inspector.rules().take_spent();
        if let Some(place) = remembered {
            self.keep_memory(id, place, packet.at.wall);
        }
        let verdict = self.tell_hits(Some(found), headers, packet, events);
        if is_spent { self.spent(id, over_budget, verdict, headers, packet, events) } else { verdict }
    }

    /// Tests of a rule took more steps than they may: whether it matches is not known.
    #[cold]
    fn spent(
        &mut self,
        id: FlowId,
        action: ExceptionAction,
        verdict: Option<Verdict>,
        headers: &Headers,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> Option<Verdict> {
        let stricter = match action {
            ExceptionAction::Drop => Verdict::Drop(Reason::RuleBudget),
            ExceptionAction::Reject => Verdict::Reject(Reason::RuleBudget),
            ExceptionAction::Ignore | ExceptionAction::Pass => {
                self.tolerate(Reason::RuleBudget, packet, headers, events);
                if action == ExceptionAction::Pass {
                    self.pass_rules(id);
                }
                return verdict;
            }
        };
        self.notices.anomaly(Reason::RuleBudget, packet, Some(headers), events);
        Some(verdict.map_or(stricter, |verdict| verdict.strictest(stricter)))
    }

    /// Tries rules on a packet that belongs to no flow.
    #[inline(never)]
    pub(super) fn detect_alone(
        &mut self,
        headers: &Headers,
        reason: Option<Reason>,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> Option<Verdict> {
        let view =
            View { headers, bytes: packet.bytes, way: None, is_established: false, is_reassembled: false };
        let met = self.decoded(headers, reason, packet);
        let facts =
            PacketFacts { decoded: met.as_slice(), at_ns: packet.at.wall.0, ..PacketFacts::default() };
        let nothing_remembered = self.inspector.as_mut()?.try_packet(NO_INSPECTION, None, &view, &facts);
        if let (Some(mut place), Some(inspector)) = (nothing_remembered, &mut self.inspector) {
            inspector.rules().release(&mut place);
        }
        self.tell_hits(None, headers, packet, events)
    }

    /// What decoding met, where a rule asks for it.
    fn decoded(&self, headers: &Headers, reason: Option<Reason>, packet: &Packet<'_>) -> MetEvents {
        let mut met = MetEvents::default();
        if !self.inspector.as_ref().is_some_and(|inspector| inspector.rules_want_decoding()) {
            return met;
        }
        let is_v4 = headers.addrs().is_some_and(|(src, _)| src.is_v4());
        let refused = reason.and_then(|reason| refusal(reason, is_v4));
        let is_known = !matches!(headers.network, crate::parse::Network::Other);
        // Of what could not be parsed, the usual place: behind Ethernet, or at the beginning.
        let at = match packet.link {
            _ if is_known => usize::from(headers.l3_offset),
            crate::parse::LinkType::Ethernet if packet.bytes.get(12..14) == Some(&[0x86, 0xdd]) => 14,
            crate::parse::LinkType::Ethernet if packet.bytes.get(12..14) == Some(&[0x08, 0x00]) => 14,
            crate::parse::LinkType::Ethernet => packet.bytes.len(),
            _ => 0,
        };
        let rest = packet.bytes.get(at..).unwrap_or_default();
        match headers.network {
            crate::parse::Network::Arp { .. } => decode::arp(rest, &mut met),
            _ => decode::ip(rest, &mut met),
        }
        // What is named more closely is not what the parser refused it for.
        if let Some(name) = refused.filter(|_| met.as_slice() != ["ipv4.iplen_smaller_than_hlen"]) {
            met.add(name);
        }
        met
    }

    /// A flow of TCP that was seen from its middle, into which rules do not look.
    fn is_unseen_midstream(&self, id: FlowId, headers: &Headers) -> bool {
        is_midstream(self.flows.flow(id), headers)
            && self.inspector.as_ref().is_some_and(|inspector| !inspector.rules_look_into_midstream())
    }

    /// Gives a flow whose payload nobody looked at yet a place for what rules remember of it.
    #[cold]
    fn keep_memory(&mut self, id: FlowId, mut place: FlowPlace, at: Wall) {
        let view = super::inspect::view_of(self.flows.flow(id));
        let Some(inspector) = &mut self.inspector else { return };
        let (slot, looks) = inspector.start(&view, at);
        if slot == NO_INSPECTION {
            inspector.rules().release(&mut place);
            return;
        }
        inspector.remember(slot, place);
        let flow = self.flows.flow_mut(id);
        flow.inspection = slot;
        flow.look_at(looks);
    }

    /// Makes alerts and a verdict of what matched.
    fn tell_hits(
        &mut self,
        found: Option<Found>,
        headers: &Headers,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> Option<Verdict> {
        let inspector = self.inspector.as_mut()?;
        if !inspector.rules().has_hits() {
            return None;
        }
        let mut hits = std::mem::take(&mut self.hits);
        inspector.rules().take_hits(packet.at.wall.0, &mut hits);
        let (mut of_packet, mut of_flow) = (None, None);
        for hit in &hits {
            let Some(signature) =
                self.inspector.as_mut().and_then(|inspector| inspector.rules().signature(hit))
            else {
                continue;
            };
            let signature = Arc::clone(signature);
            let passes = hit.action == Action::Pass;
            let verdict = match hit.action {
                Action::Pass | Action::Alert | Action::Config => None,
                Action::Drop => Some(Verdict::Drop(Reason::RuleDrop)),
                Action::Reject(_) => Some(Verdict::Reject(Reason::RuleReject)),
            };
            if let Some(verdict) = verdict {
                let stricter = if hit.is_of_flow { &mut of_flow } else { &mut of_packet };
                stricter.get_or_insert(verdict);
            }
            self.mark_tagged(&signature, found, headers, packet);
            if hit.is_told {
                self.counters.notice(Reason::RuleAlert);
                if let (Some(found), Some(inspector)) = (found, &mut self.inspector) {
                    inspector.note_alert(self.flows.flow(found.id).inspection);
                }
                let blocked_by = of_packet.or(of_flow).and_then(|verdict: Verdict| verdict.reason());
                let blocked_by = blocked_by.filter(|_| self.is_inline());
                let alert = self.alert(hit, signature, blocked_by, found, headers, packet);
                events.send(Event::Alert(Box::new(alert)));
            }
            if passes {
                if let Some(found) = found
                    && hit.is_of_flow
                {
                    self.pass_rules(found.id);
                }
                break;
            }
        }
        hits.clear();
        self.hits = hits;
        if let (Some(verdict), Some(found)) = (of_flow, found) {
            self.end_by_rule(found.id, verdict, packet.at.wall, events);
        }
        of_packet.or(of_flow)
    }

    fn alert(
        &self,
        hit: &Hit,
        signature: Arc<crate::rules::Signature>,
        blocked_by: Option<Reason>,
        found: Option<Found>,
        headers: &Headers,
        packet: &Packet<'_>,
    ) -> Alert {
        let reason = blocked_by.unwrap_or(Reason::RuleAlert);
        let mut alert = Alert {
            record: describe(reason, packet, Some(headers)),
            signature,
            way: hit.way,
            transaction: hit.transaction,
            is_blocked: blocked_by.is_some(),
            summary: Summary::default(),
            packets: [0; 2],
            bytes: [0; 2],
            start: packet.at.wall,
            ends: None,
            about: None,
            recalled: None,
            kept: self.kept(hit, found, headers, packet),
        };
        if let Some(found) = found {
            let record = self.flows.record(found.id, None, packet.at);
            (alert.start, alert.ends) = (record.start, Some(record.endpoints()));
            let flow = self.flows.flow(found.id);
            let stored = flow.decision();
            alert.record.flow_id = self.flows.flow_id(found.id);
            alert.record.decision = crate::flow::Decision {
                policy_version: stored.policy_version,
                policy_index: stored.policy_index,
                user: self.flows.owner(found.id).map(|owner| owner.user),
                reason: blocked_by,
            };
            (alert.packets, alert.bytes) = (flow.packets(), flow.bytes());
            if let Some(inspector) = &self.inspector {
                alert.summary = inspector.summary(flow.inspection);
                alert.about = inspector.record_of(flow.inspection, hit);
                alert.recalled = inspector.recall(flow.inspection, hit);
            }
        }
        alert
    }

    /// A rule matched: packets after this one are to be recorded where it asks for it.
    fn mark_tagged(
        &mut self,
        signature: &crate::rules::Signature,
        found: Option<Found>,
        headers: &Headers,
        packet: &Packet<'_>,
    ) {
        let keeps = self.inspector.as_ref().is_some_and(|inspector| inspector.rules_keep().tagged);
        let rule = &signature.rule;
        for effect in rule.effects.iter().filter(|_| keeps) {
            let Effect::Tag(tag) = effect else { continue };
            let (src, dst) = headers.addrs().unzip();
            let place = match tag.host {
                None => found.map(|found| Place::Flow(*self.flows.flow(found.id).key())),
                Some(End::Source) => src.map(Place::Host),
                Some(End::Destination) => dst.map(Place::Host),
            };
            let Some(place) = place else { continue };
            let flow_id = match (tag.host, found) {
                (None, Some(found)) => self.flows.flow_id(found.id),
                _ => 0,
            };
            self.tags.mark(place, flow_id, (rule.generator, rule.sid), *tag, packet.at.wall);
        }
    }

    /// Records a packet whose flow or hosts are marked.
    #[cold]
    pub(super) fn record_tagged(&mut self, entry: &Entry<'_>, packet: &Packet<'_>, events: &mut EventSender) {
        let (at, len_bytes) = (packet.at.wall, packet.bytes.len() as u64);
        let found = self.flows.find(entry.key, entry.src_is_lo);
        let flow_id = found.map_or(0, |found| self.flows.flow_id(found.id));
        let mut is_recorded =
            found.is_some_and(|_| self.tags.records(Place::Flow(*entry.key), flow_id, len_bytes, at));
        if let Some((src, dst)) = entry.headers.addrs() {
            is_recorded |= self.tags.records(Place::Host(src), 0, len_bytes, at);
            is_recorded |= dst != src && self.tags.records(Place::Host(dst), 0, len_bytes, at);
        }
        if is_recorded {
            let record = DropRecord { flow_id, ..describe(Reason::RuleAlert, packet, Some(entry.headers)) };
            // Without room it is counted as shed.
            events.send_tagged(record, packet.link.code(), packet.bytes);
        }
    }

    /// The bytes that an alert brings, as far as somebody wants them.
    fn kept(&self, hit: &Hit, found: Option<Found>, headers: &Headers, packet: &Packet<'_>) -> KeptBytes {
        let mut kept = KeptBytes::default();
        let Some(inspector) = &self.inspector else { return kept };
        let Kept { payload_bytes, packet: keeps_packet, .. } = inspector.rules_keep();
        kept.file = inspector.file_of(hit).cloned();
        kept.frame = inspector.frame_of(hit).cloned();
        if payload_bytes > 0 {
            let stream = match (hit.way, found) {
                (Some(way), Some(found)) if hit.is_of_stream => {
                    inspector.stream_of(self.flows.flow(found.id).inspection, way)
                }
                _ => &[],
            };
            kept.is_stream = !stream.is_empty();
            let all = if kept.is_stream { stream } else { headers.payload(packet.bytes) };
            let from = if kept.is_stream { all.len().saturating_sub(payload_bytes) } else { 0 };
            kept.payload = all[from..].iter().copied().take(payload_bytes).collect();
        }
        if keeps_packet {
            (kept.packet, kept.link) = (Box::from(&*packet.bytes), packet.link.code());
        }
        kept
    }

    /// A rule passed what a flow speaks: no other is asked about it.
    #[cold]
    pub(super) fn pass_rules(&mut self, id: FlowId) {
        let slot = self.flows.flow(id).inspection;
        if let Some(inspector) = &mut self.inspector {
            inspector.pass_rules(slot);
        }
    }

    /// A rule ends a flow: it stays dropped, whatever policy says later.
    #[cold]
    pub(super) fn end_by_rule(&mut self, id: FlowId, verdict: Verdict, at: Wall, events: &mut EventSender) {
        // Beside the wire a verdict is advice; what was dropped is looked at no longer all the same.
        let slot = self.flows.flow(id).inspection;
        if !self.is_inline() {
            if let Some(inspector) = &mut self.inspector {
                inspector.let_rules_end(slot);
            }
            return;
        }
        if let Some(inspector) = &mut self.inspector {
            inspector.end_by_rule(slot, verdict);
        }
        self.leave(id, at, events);
        let flow = self.flows.flow_mut(id);
        flow.set_decision(CachedDecision { policy_version: 0, decided: false, ..flow.decision() });
    }

    /// A decision with what rules said of its flow: the stricter of both stands.
    pub(super) fn under_rules(&self, id: FlowId, decision: CachedDecision) -> CachedDecision {
        let slot = self.flows.flow(id).inspection;
        let ruled = self.inspector.as_ref().and_then(|inspector| inspector.ruled(slot));
        match ruled {
            Some(verdict) if verdict.rank() > decision.verdict.rank() => {
                CachedDecision { verdict, decided: true, ..decision }
            }
            _ => decision,
        }
    }
}

/// Tells what matched when a flow ended and what its parser still held was seen; whether an alert was among it.
pub(super) fn tell_of_end(
    inspector: &mut Inspector,
    events: &mut EventSender,
    record: &FlowRecord,
    summary: Summary,
) -> bool {
    if !inspector.rules().has_hits() {
        return false;
    }
    let mut is_alerted = false;
    let mut hits = Vec::new();
    inspector.rules().take_hits(record.last.0, &mut hits);
    let (src, dst) = record.endpoints();
    let labels = record.key.labels();
    for hit in &hits {
        let Some(signature) = inspector.rules().signature(hit).map(Arc::clone) else { continue };
        let (src, dst) = if hit.way == Some(Direction::Reverse) { (dst, src) } else { (src, dst) };
        let told = DropRecord {
            time: record.last,
            origin: Origin::FLOW_END,
            reason: Reason::RuleAlert,
            rejected: false,
            count: 1,
            in_port: record.in_port,
            len_bytes: 0,
            macs: (record.src_mac, record.dst_mac),
            vlans: (labels.vlan_outer, labels.vlan_inner),
            src: Some(src),
            dst: Some(dst),
            protocol: labels.protocol,
            ip: None,
            transport: TransportFields::None,
            flow_id: record.flow_id,
            decision: record.decision,
        };
        let hit_passes = hit.action == Action::Pass;
        if hit.is_told {
            let alert = Alert {
                record: told,
                signature,
                way: hit.way,
                transaction: hit.transaction,
                is_blocked: false,
                summary,
                packets: record.packets,
                bytes: record.bytes,
                start: record.start,
                ends: Some(record.endpoints()),
                about: inspector.record_of(NO_INSPECTION, hit),
                recalled: inspector.recall(NO_INSPECTION, hit),
                kept: KeptBytes {
                    file: inspector.file_of(hit).cloned(),
                    frame: inspector.frame_of(hit).cloned(),
                    ..KeptBytes::default()
                },
            };
            events.send(Event::Alert(Box::new(alert)));
            is_alerted = true;
        }
        if hit_passes {
            break;
        }
    }
    is_alerted
}
