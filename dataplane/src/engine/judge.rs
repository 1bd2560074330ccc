//! What becomes of this packet? Tracks its flow, asks policy where no decision is stored, applies it.

use super::inspect::tell;
use super::limits::Whose;
use super::notices::describe;
use super::{ChecksumMode, Disposition, Engine, Entry, Outcome, Packet};
use crate::control::{Event, EventSender, ExceptionAction, Snapshot};
use crate::flow::{AliasError, CachedDecision, Decision, Direction, FlowId, FlowKey, Found, TcpOutcome};
use crate::host::ExpectedKey;
use crate::nat::{Original, Redirect, Target};
use crate::parse::checksum::{ChecksumState, heal, outermost, transport_checksum};
use crate::parse::quoted::quoted_in;
use crate::parse::{Addr, Headers, Mac, Transport};
use crate::policy::{DecidingMode, Evaluation, Facts, OutcomeAction, PolicyIndex};
use crate::time::Tick;
use crate::verdict::{Effects, Reason, Verdict};

impl Engine {
    /// Whether nothing is wrong with the transport checksum.
    #[inline]
    pub(super) fn believes(&self, packet: &Packet<'_>, headers: &Headers) -> bool {
        self.checksum_mode(packet.in_port) == ChecksumMode::AssumeGood
            || matches!(
                transport_checksum(packet.bytes, headers),
                ChecksumState::Good | ChecksumState::Absent
            )
    }

    /// Counts and tracks a packet of a flow that is forwarded already, as nearly every packet is; it goes across.
    /// `false`: it is to be judged.
    #[inline]
    pub(super) fn pass(&mut self, versions: (u32, u32), entry: &Entry<'_>, packet: &Packet<'_>) -> bool {
        let Entry { headers, key, src_is_lo, located, is_believed, .. } = *entry;
        let (wire_len, now) = (packet.bytes.len() as u32, packet.at.tick);
        let identities = &self.identities;
        let concern = |since| identities.may_have_changed((key.lo().0, key.hi().0), since);
        let is_spoofed = || headers.addrs().is_some_and(|(src, _)| self.is_spoofed(packet.in_port, src));
        let passes = is_believed
            && !(self.knows_networks && is_spoofed())
            && self.flows.pass(located, key, src_is_lo, headers, versions, concern, wire_len, now);
        if passes {
            self.counters.count(Verdict::Forward, u64::from(wire_len));
        }
        passes
    }

    /// Judges one admitted packet.
    #[inline(never)]
    pub(super) fn judge(
        &mut self,
        snapshot: &Snapshot,
        entry: &Entry<'_>,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Disposition {
        let headers = entry.headers;
        let Some((src, _)) = headers.addrs() else { return self.across(packet.in_port) };
        if self.is_spoofed(packet.in_port, src) {
            self.notices.anomaly(Reason::Spoofed, packet, Some(headers), events);
            return self.count_drop(Reason::Spoofed);
        }
        let verified = if entry.is_believed { Ok(true) } else { self.verify(entry, packet, out) };
        let trusted = match verified {
            Ok(trusted) => trusted,
            Err(reason) => {
                self.notices.anomaly(reason, packet, Some(headers), events);
                return self.count_drop(reason);
            }
        };
        if let Transport::Icmp(icmp) = headers.transport
            && icmp.is_error
            && let Some(disposition) = self.related(snapshot, entry, packet, out)
        {
            self.record_error(entry, packet, events);
            return disposition;
        }
        if !trusted {
            return self.judge_untracked(snapshot, entry, packet, out, events);
        }
        let started = self.flows.find_or_start(
            entry.located,
            entry.key,
            entry.src_is_lo,
            headers,
            packet.in_port,
            packet.at,
            &mut |record| tell(&mut self.inspector, &self.identities, events, record),
        );
        match started {
            Ok(found) => {
                if found.started {
                    self.look_at_new(found.id);
                }
                self.judge_flow(snapshot, entry, found, packet, out, events)
            }
            Err(_full) => match snapshot.settings.exceptions.flow_table_full {
                ExceptionAction::Ignore => self.judge_untracked(snapshot, entry, packet, out, events),
                action => {
                    self.except(action, Reason::FlowTableFull, None, snapshot, headers, packet, out, events)
                }
            },
        }
    }

    /// Whether the transport checksum can be believed; completes a partial one (veth metadata).
    fn verify(
        &mut self,
        entry: &Entry<'_>,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
    ) -> Result<bool, Reason> {
        let mode = self.checksum_mode(packet.in_port);
        if mode == ChecksumMode::AssumeGood {
            return Ok(true);
        }
        match transport_checksum(packet.bytes, entry.headers) {
            ChecksumState::Good | ChecksumState::Absent => {}
            ChecksumState::Partial => {
                heal(packet.bytes, entry.headers);
                if let Some(outer) = outermost(packet.bytes, entry.headers)
                    && transport_checksum(packet.bytes, &outer) == ChecksumState::Partial
                {
                    heal(packet.bytes, &outer);
                }
                out.rewritten |= 1 << entry.index;
                self.counters.notice(Reason::ChecksumHealed);
            }
            ChecksumState::Bad if mode == ChecksumMode::DropBad => return Err(Reason::ChecksumBad),
            ChecksumState::Bad => {
                self.counters.notice(Reason::ChecksumBadForwarded);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An ICMP error shares the fate of the flow that it speaks of. `None` where it speaks of none we know.
    fn related(
        &mut self,
        snapshot: &Snapshot,
        entry: &Entry<'_>,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
    ) -> Option<Disposition> {
        let headers = entry.headers;
        let quoted = quoted_in(packet.bytes, headers)?;
        let (key, src_is_lo) = FlowKey::of_quoted(&quoted, entry.key);
        let Some(found) = self.flows.find(&key, src_is_lo) else {
            if snapshot.policy.strict() {
                return Some(self.count_drop(Reason::IcmpUnrelated));
            }
            self.counters.notice(Reason::IcmpUnrelatedForwarded);
            return None;
        };
        // The quoted packet went one way, so the error goes the other.
        let found = Found { direction: found.direction.opposite(), ..found };
        let decision = self.flows.flow(found.id).decision();
        let verdict = match decision.verdict {
            Verdict::Redirect(target) => {
                // A target's number means something only in the policy set that the decision was made under.
                let current = decision.policy_version == snapshot.version as u32;
                let target = current.then(|| snapshot.policy.target(target)).flatten();
                let next_hop = target.and_then(|target| target.next_hop);
                match self.rewrite(entry, found, next_hop, packet, out) {
                    Ok(()) => decision.verdict,
                    Err(reason) => Verdict::Drop(reason),
                }
            }
            Verdict::Reject(reason) => Verdict::Drop(reason),
            Verdict::Forward | Verdict::Drop(_) | Verdict::RateLimit(_) => decision.verdict,
        };
        self.counters.count(verdict, packet.bytes.len() as u64);
        Some(match verdict {
            Verdict::Drop(reason) | Verdict::Reject(reason) => self.dropped(reason),
            Verdict::Forward | Verdict::Redirect(_) | Verdict::RateLimit(_) => {
                self.onward(verdict, found, headers, packet)
            }
        })
    }

    /// An ICMP error that shares another flow's fate is told of all the same, in a flow of its own that judges nothing.
    fn record_error(&mut self, entry: &Entry<'_>, packet: &Packet<'_>, events: &mut EventSender) {
        let Entry { headers, key, src_is_lo, located, .. } = *entry;
        let (inspector, identities) = (&mut self.inspector, &self.identities);
        let mut sink = |record| tell(inspector, identities, events, record);
        let started =
            self.flows.find_or_start(located, key, src_is_lo, headers, packet.in_port, packet.at, &mut sink);
        // A full table costs this record and nothing else.
        if let Ok(found) = started {
            let len_bytes = packet.bytes.len() as u32;
            self.flows.count(found.id, found.direction, len_bytes, headers, packet.at.tick);
        }
    }

    /// Judges a packet by its flow.
    fn judge_flow(
        &mut self,
        snapshot: &Snapshot,
        entry: &Entry<'_>,
        found: Found,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Disposition {
        let headers = entry.headers;
        let Found { id, direction, .. } = found;
        let now = packet.at.tick;
        let len_bytes = packet.bytes.len() as u32;
        let strict = snapshot.policy.strict();
        self.flows.count(id, direction, len_bytes, headers, now);
        if self.flows.flow(id).is_looked_at()
            && let Some((action, reason)) =
                self.inspect(snapshot.settings.exceptions, entry, found, packet, out, events)
        {
            let step = self.flows.judge(id, direction, headers);
            self.flows.refuse(id, step);
            if action == ExceptionAction::Reject {
                // The flow is over, whatever else could be learned of it.
                self.leave(id, packet.at.wall, events);
                let flow = self.flows.flow_mut(id);
                flow.set_decision(CachedDecision {
                    policy_version: snapshot.version as u32,
                    identity_generation: self.generation,
                    verdict: Verdict::Reject(reason),
                    decided: true,
                    ..flow.decision()
                });
            }
            return self.except(action, reason, Some(found), snapshot, headers, packet, out, events);
        }
        let is_passed = std::mem::take(&mut self.rules_pass_packet);
        let ruled = if self.has_rules() && self.flows.flow(id).is_looked_at() && !is_passed {
            let over_budget = snapshot.settings.exceptions.rule_budget;
            let ruled = self.detect(entry, found, over_budget, packet, events);
            if self.has_replacements() {
                self.replace(entry, packet, out);
            }
            ruled
        } else {
            None
        };
        let mut decision = self.decide(snapshot, found, headers, packet, events);
        if let Some(verdict) = ruled
            && self.is_inline()
        {
            // Of this packet alone, beside what is stored of the flow.
            decision.verdict = decision.verdict.strictest(verdict);
        }
        if decision.verdict == Verdict::Forward {
            let outcome = self.flows.track(id, direction, headers, strict, now);
            if outcome != TcpOutcome::Ok
                && let Some(disposition) = self.object(outcome, snapshot, found, headers, packet, out, events)
            {
                return disposition;
            }
            if decision.effects.mirror {
                out.mirrored |= 1 << entry.index;
            }
            self.counters.count(Verdict::Forward, u64::from(len_bytes));
            return self.across(packet.in_port);
        }

        let step = self.flows.judge(id, direction, headers);
        if let TcpOutcome::Violation(reason) = step.outcome()
            && strict
        {
            self.flows.refuse(id, step);
            return self.drop_of_flow(id, reason, false, headers, packet, events);
        }
        if decision.effects.mirror {
            out.mirrored |= 1 << entry.index;
        }
        let verdict = match decision.verdict {
            Verdict::RateLimit(_) if !self.is_within_limit(snapshot, &decision, id, len_bytes, now) => {
                Verdict::Drop(Reason::RateLimited)
            }
            Verdict::Redirect(target) => {
                let next_hop = snapshot.policy.target(target).and_then(|target| target.next_hop);
                match self.rewrite(entry, found, next_hop, packet, out) {
                    Ok(()) => decision.verdict,
                    Err(reason) => Verdict::Drop(reason),
                }
            }
            Verdict::Forward | Verdict::Drop(_) | Verdict::Reject(_) | Verdict::RateLimit(_) => {
                decision.verdict
            }
        };
        match verdict {
            Verdict::Forward | Verdict::Redirect(_) | Verdict::RateLimit(_) => {
                self.flows.advance(id, direction, step, now);
                if let TcpOutcome::Violation(reason) = step.outcome() {
                    self.tolerate(reason, packet, headers, events);
                }
                self.counters.count(verdict, u64::from(len_bytes));
                self.onward(verdict, found, headers, packet)
            }
            Verdict::Drop(reason) => {
                self.flows.refuse(id, step);
                self.drop_of_flow(id, reason, false, headers, packet, events)
            }
            Verdict::Reject(reason) => {
                self.flows.refuse(id, step);
                let per_s = snapshot.settings.reject_per_s;
                let told = self.refuse(packet, headers, Some((id, direction)), per_s, out);
                self.drop_of_flow(id, reason, told, headers, packet, events)
            }
        }
    }

    /// What the tracker's objection makes of a packet that policy lets pass. `None`: it passes.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "all of them are the packet and what it may cause")]
    fn object(
        &mut self,
        outcome: TcpOutcome,
        snapshot: &Snapshot,
        found: Found,
        headers: &Headers,
        packet: &Packet<'_>,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Option<Disposition> {
        let exceptions = snapshot.settings.exceptions;
        let (action, reason) = match outcome {
            TcpOutcome::Ok | TcpOutcome::Challenge => return None,
            TcpOutcome::Violation(reason) if snapshot.policy.strict() => {
                return Some(self.drop_of_flow(found.id, reason, false, headers, packet, events));
            }
            TcpOutcome::Violation(reason) => {
                self.tolerate(reason, packet, headers, events);
                return None;
            }
            TcpOutcome::Oneway => (exceptions.oneway, Reason::Oneway),
            TcpOutcome::Midstream => {
                self.counters.notice(Reason::MidstreamPickup);
                if self.is_adopting(packet.at.tick, snapshot.settings.adopt_s) {
                    return None;
                }
                (exceptions.midstream, Reason::Midstream)
            }
        };
        match action {
            ExceptionAction::Ignore | ExceptionAction::Pass => None,
            ExceptionAction::Drop | ExceptionAction::Reject => {
                // The exception speaks for the whole flow, not for the packet that it was noticed on.
                let verdict = match action {
                    ExceptionAction::Reject => Verdict::Reject(reason),
                    ExceptionAction::Ignore | ExceptionAction::Pass | ExceptionAction::Drop => {
                        Verdict::Drop(reason)
                    }
                };
                let flow = self.flows.flow_mut(found.id);
                flow.set_decision(CachedDecision { verdict, ..flow.decision() });
                Some(self.except(action, reason, Some(found), snapshot, headers, packet, out, events))
            }
        }
    }

    /// Counts and tells of a packet that is passed on although `reason` would drop it under a strict policy.
    #[cold]
    pub(super) fn tolerate(
        &mut self,
        reason: Reason,
        packet: &Packet<'_>,
        headers: &Headers,
        events: &mut EventSender,
    ) {
        if let Some(notice) = reason.forwarded() {
            self.counters.notice(notice);
            self.notices.anomaly(notice, packet, Some(headers), events);
        }
    }

    /// The decision in force: the stored one, or a new one where a version moved or none was final.
    #[inline]
    fn decide(
        &mut self,
        snapshot: &Snapshot,
        found: Found,
        headers: &Headers,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> CachedDecision {
        let stored = self.flows.flow(found.id).decision();
        if stored.decided && self.still_holds(found.id, &stored, snapshot.version) {
            return stored;
        }
        let users = self.settle_users(found.id);
        let flow = self.flows.flow(found.id);
        let in_port = flow.in_port();
        let mut facts = Facts::of(headers, found.direction, in_port, self.zone(in_port), packet.at.wall);
        facts.set_endpoints(flow.initiator(), flow.responder());
        let mut facts = users.among(facts);
        let len_bytes = packet.bytes.len() as u32;
        let decision = self.evaluate_flow(snapshot, &mut facts, found.id, Some(len_bytes), packet.at, events);
        self.flows.flow_mut(found.id).set_decision(decision);
        decision
    }

    /// Asks policy about a flow and makes its answer one that can be stored.
    pub(super) fn evaluate(
        &mut self,
        snapshot: &Snapshot,
        facts: &Facts<'_>,
        id: FlowId,
        at: crate::time::Now,
        events: &mut EventSender,
    ) -> CachedDecision {
        self.evaluations += 1;
        let policy = &snapshot.policy;
        let (verdict, effects, index, decided) = match policy.evaluate(facts, &mut self.scratch) {
            Evaluation::Decided { outcome, policy: index } => {
                if !outcome.inspect {
                    self.leave(id, at.wall, events);
                }
                let verdict = match outcome.action {
                    OutcomeAction::Allow => Verdict::Forward,
                    OutcomeAction::Drop(reason) => Verdict::Drop(reason),
                    OutcomeAction::Reject(reason) => Verdict::Reject(reason),
                    OutcomeAction::Redirect(target) => {
                        let is_v4 = self.flows.flow(id).initiator().0.is_v4();
                        match policy.target(target).and_then(|to| Some((to.addr(is_v4)?, to.port))) {
                            Some(to) => self.start_redirect(id, target, to, at, events),
                            None => Verdict::Drop(Reason::RedirectImpossible),
                        }
                    }
                    OutcomeAction::RateLimit(rule) => match policy.limit(rule) {
                        Some(limit) => Verdict::RateLimit(self.limits.bucket(limit, self.whose(id), at.tick)),
                        None => Verdict::Forward,
                    },
                };
                (verdict, outcome.effects, index.map_or(u32::MAX, |index| index.0), true)
            }
            // Only a tap has no default: what nobody decides is looked at and goes on.
            Evaluation::NoDecision => (Verdict::Forward, Effects::default(), u32::MAX, true),
            Evaluation::Deciding { .. } => match policy.deciding() {
                DecidingMode::Allow | DecidingMode::Limit => {
                    (Verdict::Forward, Effects::default(), u32::MAX, false)
                }
                DecidingMode::Block => {
                    (Verdict::Drop(Reason::DecidingBlock), Effects::default(), u32::MAX, false)
                }
            },
        };
        CachedDecision {
            policy_version: snapshot.version as u32,
            identity_generation: self.generation,
            policy_index: index,
            verdict,
            effects,
            decided,
        }
    }

    /// A redirect begins on a flow's first packet; a TCP flow that is older is refused, so that its retry is
    /// redirected.
    fn start_redirect(
        &mut self,
        id: FlowId,
        target: crate::verdict::TargetId,
        to: (Addr, u16),
        at: crate::time::Now,
        events: &mut EventSender,
    ) -> Verdict {
        let flow = self.flows.flow(id);
        let is_first = flow.packets()[0] + flow.packets()[1] <= 1;
        if !is_first && !flow.has_alias() && flow.key().protocol() == crate::parse::Protocol::TCP {
            return Verdict::Reject(Reason::PolicyReject);
        }
        match self
            .flows
            .redirect(id, to, at, &mut |record| tell(&mut self.inspector, &self.identities, events, record))
        {
            Ok(()) => Verdict::Redirect(target),
            Err(AliasError::Redirected) => Verdict::Reject(Reason::PolicyReject),
            Err(AliasError::Full) => Verdict::Drop(Reason::FlowTableFull),
            Err(AliasError::Taken) => Verdict::Drop(Reason::RedirectImpossible),
        }
    }

    /// Rewrites a packet of a redirected flow; a datagram's fragments are rewritten one by one as they leave.
    fn rewrite(
        &mut self,
        entry: &Entry<'_>,
        found: Found,
        next_hop: Option<Mac>,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
    ) -> Result<(), Reason> {
        let redirect = self.redirect_of(found.id, next_hop).ok_or(Reason::RedirectImpossible)?;
        if self.config.service.has(redirect.target.addr) && !self.can_reach_the_box(entry.headers) {
            return Err(Reason::RedirectImpossible);
        }
        if entry.datagram.is_some() {
            out.redirected_datagram = Some((redirect, found.direction));
            return Ok(());
        }
        redirect.apply(found.direction, packet.bytes, entry.headers)?;
        out.rewritten |= 1 << entry.index;
        let (addr, port) = self.flows.flow(found.id).initiator();
        let (target, protocol) = (redirect.target, self.flows.flow(found.id).key().protocol());
        let key = ExpectedKey::of((addr, port), (target.addr, target.port), protocol);
        self.shared.expected.expect(key, self.config.worker, packet.at.tick);
        Ok(())
    }

    /// How packets of a redirected flow are rewritten.
    pub(super) fn redirect_of(&self, id: FlowId, next_hop: Option<Mac>) -> Option<Redirect> {
        let (addr, port) = self.flows.redirect_target(id)?;
        let next_hop = if self.config.service.has(addr) { self.config.service.mac } else { next_hop };
        let (original, original_port) = self.flows.flow(id).responder();
        Some(Redirect {
            target: Target { addr, port, next_hop },
            original: Original { addr: original, port: original_port, mac: Some(self.flows.macs(id).1) },
        })
    }

    /// A packet that no flow may learn from: its flow's stored verdict, or policy asked for it alone.
    fn judge_untracked(
        &mut self,
        snapshot: &Snapshot,
        entry: &Entry<'_>,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Disposition {
        let headers = entry.headers;
        let ruled = match self.has_rules() {
            true => self.detect_alone(headers, None, packet, events).filter(|_| self.is_inline()),
            false => None,
        };
        let found = self.flows.find_at(entry.located, entry.key, entry.src_is_lo);
        let verdict = match found {
            Some(found) => {
                let decision = self.decide(snapshot, found, headers, packet, events);
                let (len_bytes, now) = (packet.bytes.len() as u32, packet.at.tick);
                match decision.verdict {
                    Verdict::RateLimit(_)
                        if !self.is_within_limit(snapshot, &decision, found.id, len_bytes, now) =>
                    {
                        Verdict::Drop(Reason::RateLimited)
                    }
                    verdict => verdict,
                }
            }
            None => {
                self.evaluations += 1;
                let zone = self.zone(packet.in_port);
                let facts = Facts::of(headers, Direction::Forward, packet.in_port, zone, packet.at.wall);
                let users = headers
                    .addrs()
                    .map(|(src, dst)| self.users_of((src, headers.src_mac), (dst, headers.dst_mac)));
                let users = users.unwrap_or_default();
                let mut facts = users.among(facts);
                if snapshot.asks_for_country() {
                    facts.tell_country(snapshot.geography.as_deref());
                }
                let evaluation = snapshot.policy.evaluate(&facts, &mut self.scratch);
                let policy = match evaluation {
                    Evaluation::Decided { policy, .. } => Some(policy),
                    Evaluation::NoDecision => Some(None),
                    Evaluation::Deciding { .. } => None,
                };
                if let Some(policy) = policy {
                    self.take_down_alone(snapshot, policy, packet.bytes.len() as u64, packet.at);
                }
                match evaluation {
                    Evaluation::Decided { outcome, .. } => match outcome.action {
                        OutcomeAction::Allow | OutcomeAction::RateLimit(_) => Verdict::Forward,
                        OutcomeAction::Drop(reason) => Verdict::Drop(reason),
                        OutcomeAction::Reject(reason) => Verdict::Reject(reason),
                        // Without a flow the way back could not be found.
                        OutcomeAction::Redirect(_) => Verdict::Drop(Reason::RedirectImpossible),
                    },
                    Evaluation::NoDecision | Evaluation::Deciding { .. } => Verdict::Forward,
                }
            }
        };
        let verdict = ruled.map_or(verdict, |ruled| verdict.strictest(ruled));
        let verdict = match verdict {
            Verdict::Redirect(_) => Verdict::Drop(Reason::RedirectImpossible),
            Verdict::Reject(reason) => {
                self.refuse(packet, headers, None, snapshot.settings.reject_per_s, out);
                Verdict::Drop(reason)
            }
            Verdict::Forward | Verdict::Drop(_) | Verdict::RateLimit(_) => verdict,
        };
        self.counters.count(verdict, packet.bytes.len() as u64);
        match verdict {
            Verdict::Drop(reason) | Verdict::Reject(reason) => self.dropped(reason),
            Verdict::Forward | Verdict::Redirect(_) | Verdict::RateLimit(_) => self.across(packet.in_port),
        }
    }

    /// Applies an exception policy to a packet.
    #[expect(clippy::too_many_arguments, reason = "all of them are the packet and what it may cause")]
    fn except(
        &mut self,
        action: ExceptionAction,
        reason: Reason,
        found: Option<Found>,
        snapshot: &Snapshot,
        headers: &Headers,
        packet: &Packet<'_>,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Disposition {
        if matches!(action, ExceptionAction::Ignore | ExceptionAction::Pass) {
            self.counters.count(Verdict::Forward, packet.bytes.len() as u64);
            return self.across(packet.in_port);
        }
        let told = action == ExceptionAction::Reject && {
            let flow = found.map(|found| (found.id, found.direction));
            self.refuse(packet, headers, flow, snapshot.settings.reject_per_s, out)
        };
        match found {
            Some(found) => self.drop_of_flow(found.id, reason, told, headers, packet, events),
            None => {
                self.counters.rejected += u64::from(told);
                self.notices.anomaly(reason, packet, Some(headers), events);
                self.count_drop(reason)
            }
        }
    }

    /// Counts a packet that its flow lost; tells of the first one, and of others up to a rate.
    fn drop_of_flow(
        &mut self,
        id: FlowId,
        reason: Reason,
        rejected: bool,
        headers: &Headers,
        packet: &Packet<'_>,
        events: &mut EventSender,
    ) -> Disposition {
        let flow_id = self.flows.flow_id(id);
        let user = self.flows.owner(id).map(|owner| owner.user);
        let flow = self.flows.flow_mut(id);
        if flow.dropped() == 0 || self.notices.tells_drop(packet.at.tick) {
            let stored = flow.decision();
            let decision = Decision {
                policy_version: stored.policy_version,
                policy_index: stored.policy_index,
                user,
                reason: Some(reason),
            };
            events.send(Event::Drop(crate::control::DropRecord {
                rejected,
                flow_id,
                decision,
                ..describe(reason, packet, Some(headers))
            }));
        }
        flow.count_dropped();
        self.counters.rejected += u64::from(rejected);
        self.count_drop(reason)
    }

    /// Whether the bucket of a rate-limited flow has room for a frame; its bytes are spent then.
    fn is_within_limit(
        &mut self,
        snapshot: &Snapshot,
        decision: &CachedDecision,
        id: FlowId,
        len_bytes: u32,
        now: Tick,
    ) -> bool {
        let Some(limit) = snapshot.policy.limit(PolicyIndex(decision.policy_index)) else { return true };
        let whose = self.whose(id);
        self.limits.admit(limit, whose, len_bytes, now)
    }

    /// Whose packets are counted against limits.
    pub(super) fn whose(&self, id: FlowId) -> Whose {
        let source = self.flows.flow(id).initiator().0;
        Whose { source, flow_id: self.flows.flow_id(id), owner: self.flows.owner(id) }
    }

    /// Whether mid-stream flows are still picked up loosely.
    fn is_adopting(&self, now: Tick, adopt_s: u32) -> bool {
        self.started.is_none_or(|started| now.ns_since(started) < u64::from(adopt_s) * Tick::SECOND)
    }
}
