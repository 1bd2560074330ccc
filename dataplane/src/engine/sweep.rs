//! Which silent flows does a policy change end? Looks at the whole table once after every change, a few slots a
//! turn, so that no flow lives on under an old policy for want of a packet.
//!
//! After a shadow came it looks at all of them, too: flows whose decision stands are compared with it, and nothing else is done to them.
//!
//! A flow with packets is judged anew at its next packet; this is for the others. Under load it keeps a pace, so
//! that 1M slots take 12 s and cost the path some per cent, however long a turn is; idle it hurries.

use super::inspect::tell;
use super::{Engine, Mode, Outcome};
use crate::control::{EventSender, Snapshot};
use crate::flow::{CachedDecision, Direction, EndReason, FlowId, FlowRecord, FlowState};
use crate::nat::{self, Tracked};
use crate::parse::checksum::Sum;
use crate::parse::{Addr, LinkType, Mac, Protocol, TcpFlags, parse_frame};
use crate::policy::Facts;
use crate::time::{Now, Tick};
use crate::verdict::Verdict;

/// Time for one slot while packets flow: 80,000 a second.
const SLOT_NS_BUSY: u64 = 12_500;

/// Slots looked at in a turn that also carried packets, at most: some microseconds.
const SLOTS_BUSY_MAX: u64 = 16;

/// Slots looked at in a turn with nothing else to do.
const SLOTS_IDLE: usize = 256;

/// Where the sweep stands.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Under what the whole table was judged.
    done: Under,
    under_way: Option<Lap>,
    /// When the last slot of a busy turn was due.
    paced: Tick,
    rejudged: u64,
}

/// What flows are judged under, and compared with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Under {
    version: u64,
    generation: u32,
    /// Number of the last shadow; `None`: there never was one.
    shadow: Option<u16>,
}

/// Once round the table. Every slot was judged under what it began with, or what came later: users
/// may come and go all the time.
#[derive(Debug, Clone, Copy)]
struct Lap {
    began: Under,
    /// The slot that is next.
    cursor: usize,
    /// Slots to go.
    left: usize,
}

impl Sweep {
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) const fn rejudged(&self) -> u64 {
        self.rejudged
    }

    /// Slots for this turn. Time that was not used is not made up for.
    fn slots(&mut self, now: Tick, idle: bool) -> usize {
        if idle {
            self.paced = now;
            return SLOTS_IDLE;
        }
        let due = now.ns_since(self.paced) / SLOT_NS_BUSY;
        if due > SLOTS_BUSY_MAX {
            self.paced = now;
            return SLOTS_BUSY_MAX as usize;
        }
        self.paced = self.paced.plus_ns(due * SLOT_NS_BUSY);
        due as usize
    }
}

impl Engine {
    /// Goes on with the sweep, or begins one where the snapshot has changed.
    pub(super) fn sweep_some(
        &mut self,
        now: Now,
        idle: bool,
        snapshot: &Snapshot,
        out: &mut Outcome,
        events: &mut EventSender,
    ) {
        if snapshot.policy.has_schedules() && self.scratch.refresh(&snapshot.policy, now.wall) {
            // A schedule began or ended: decisions made before are as old as those of an older policy set.
            self.change_generation();
        }
        self.tidy_identities(self.sweep.done.generation);
        // One that ends is no reason to look again.
        let shadow = snapshot.shadow.as_ref().map(|shadow| shadow.standings().number());
        let shadow = shadow.or(self.sweep.done.shadow);
        let wanted = Under { version: snapshot.version, generation: self.generation, shadow };
        if self.sweep.done == wanted {
            return;
        }
        let whole = self.flows.slots();
        let mut lap = match self.sweep.under_way {
            Some(lap) if lap.began.version == snapshot.version => lap,
            // A later version begins anew: flows already looked at were judged under the one before.
            Some(lap) => Lap { began: wanted, left: whole, ..lap },
            None => Lap { began: wanted, cursor: 0, left: whole },
        };
        for _ in 0..self.sweep.slots(now.tick, idle).min(lap.left) {
            let slot = if lap.cursor < whole { lap.cursor } else { 0 };
            (lap.cursor, lap.left) = (slot + 1, lap.left - 1);
            let Some(id) = self.flows.flow_at(slot) else { continue };
            let decision = self.flows.flow(id).decision();
            if self.still_holds(id, &decision, snapshot.version) {
                self.meet_shadow(snapshot, id, &decision, now);
                continue;
            }
            if self.flows.flow(id).state() == FlowState::Closed {
                // Nothing is left to end, and its record tells what was decided while it lived; a packet is judged anew.
                self.flows.flow_mut(id).set_decision(CachedDecision { decided: false, ..decision });
                continue;
            }
            self.rejudge(id, now, snapshot, out, events);
        }
        if lap.left == 0 {
            self.sweep.done = lap.began;
        }
        // What changed since it began needs another one.
        let next = (lap.began != wanted).then_some(Lap { began: wanted, left: whole, ..lap });
        self.sweep.under_way = if lap.left > 0 { Some(lap) } else { next };
    }

    /// Judges a silent flow under the snapshot in force; ends it where nothing of it may pass any more.
    fn rejudge(
        &mut self,
        id: FlowId,
        now: Now,
        snapshot: &Snapshot,
        out: &mut Outcome,
        events: &mut EventSender,
    ) {
        self.sweep.rejudged += 1;
        let record = self.flows.record(id, None, now);
        let facts = Facts::of_record(&record, self.zone(record.in_port), now.wall);
        let users = self.settle_users(id);
        let mut facts = users.among(facts);
        let before = self.flows.flow(id).decision();
        let decision = self.evaluate_flow(snapshot, &mut facts, id, None, now, events);
        self.flows.flow_mut(id).set_decision(decision);
        let blocked_before = matches!(before.verdict, Verdict::Drop(_) | Verdict::Reject(_));
        match decision.verdict {
            Verdict::Forward | Verdict::RateLimit(_) | Verdict::Redirect(_) => {}
            // It is blocked already: it stays, so that its retries are counted on it.
            Verdict::Drop(_) | Verdict::Reject(_) if blocked_before => {}
            Verdict::Drop(_) => self.flows.end(id, EndReason::Policy, now, &mut |record| {
                tell(&mut self.inspector, &self.identities, events, record)
            }),
            Verdict::Reject(_) => {
                self.reset(&record, id, out);
                self.flows.end(id, EndReason::Policy, now, &mut |record| {
                    tell(&mut self.inspector, &self.identities, events, record)
                });
            }
        }
    }

    /// Sends a RST each way on an established TCP flow from which no packet is at hand.
    fn reset(&mut self, record: &FlowRecord, id: FlowId, out: &mut Outcome) {
        if self.config.mode == Mode::Tap
            || record.key.protocol() != Protocol::TCP
            || record.state != FlowState::Established
        {
            return;
        }
        let flow = self.flows.flow(id);
        let (seq, ack) = flow.tcp_sequence(Direction::Forward);
        let tracked = Tracked { sender_next: Some(seq), receiver_next: Some(ack) };
        let mut segment = [0; SEGMENT_BYTES_MAX];
        let Some(len) = write_segment(&mut segment, record, seq, ack) else { return };
        let segment = &segment[..len];
        let Ok(headers) = parse_frame(segment, LinkType::Ethernet) else { return };
        let here = record.in_port & 1;
        out.injected.push(here, |to| nat::reset_sender(to, segment, &headers, tracked));
        let redirect = self.redirect_of(id, None);
        out.injected.push(1 - here, |to| {
            let len = nat::reset_receiver(to, segment, &headers, tracked)?;
            if let Some(redirect) = redirect {
                let reset = to.get_mut(..len)?;
                let headers = parse_frame(reset, LinkType::Ethernet).ok()?;
                redirect.apply(Direction::Forward, reset, &headers).ok()?;
            }
            Some(len)
        });
    }
}

/// Ethernet, two VLAN tags, IPv6, TCP.
const SEGMENT_BYTES_MAX: usize = 14 + 8 + 40 + 20;

/// Writes an empty segment of the initiator, from which the refusals are made. `None` for a tunnelled flow, whose
/// outer headers are not kept.
fn write_segment(
    out: &mut [u8; SEGMENT_BYTES_MAX],
    record: &FlowRecord,
    seq: u32,
    ack: u32,
) -> Option<usize> {
    if record.tunnel != crate::parse::Tunnel::None || record.key.labels().vni != 0 {
        return None;
    }
    let ((src, src_port), (dst, dst_port)) = record.endpoints();
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    let (Mac(dst_mac), Mac(src_mac)) = (record.dst_mac, record.src_mac);
    put(&dst_mac);
    put(&src_mac);
    for vlan in [record.key.labels().vlan_outer, record.key.labels().vlan_inner] {
        if vlan != 0 {
            put(&0x8100u16.to_be_bytes());
            put(&vlan.to_be_bytes());
        }
    }
    match (src.as_v4(), dst.as_v4()) {
        (Some(src), Some(dst)) => {
            put(&0x0800u16.to_be_bytes());
            let mut header = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, Protocol::TCP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            header[12..16].copy_from_slice(&src);
            header[16..20].copy_from_slice(&dst);
            let checksum = Sum::default().add_bytes(&header).checksum();
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            put(&header);
        }
        _ => {
            let (Addr(src), Addr(dst)) = (src, dst);
            put(&0x86ddu16.to_be_bytes());
            put(&[0x60, 0, 0, 0, 0, 20, Protocol::TCP, 64]);
            put(&src);
            put(&dst);
        }
    }
    put(&src_port.to_be_bytes());
    put(&dst_port.to_be_bytes());
    put(&seq.to_be_bytes());
    put(&ack.to_be_bytes());
    put(&[0x50, TcpFlags::ACK, 0, 0, 0, 0, 0, 0]);
    Some(at)
}
