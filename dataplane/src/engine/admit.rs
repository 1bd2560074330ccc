//! Is this packet ours to judge, now? Parses it, holds fragments, and finds its owner.

use super::{
    ChecksumMode, DATAGRAM_BYTES_MAX, Disposition, Engine, Entry, HOST_PORT, Hop, Outcome, Packet, Release,
};
use crate::control::{EventSender, ExceptionAction, Snapshot};
use crate::defrag::{HoldId, Offer};
use crate::flow::owner::rss_hash;
use crate::host::ExpectedKey;
use crate::parse::{
    Addr, Headers, LinkType, Network, Strictness, parse_datagram, parse_frame, parse_frame_into,
};
use crate::verdict::{Reason, ReasonClass, Verdict};

/// What becomes of a packet before its flow is known.
pub(super) enum Admission {
    /// It is judged by its flow, or in its stead the datagram that it completed.
    Stays {
        /// The frames of that datagram.
        datagram: Option<HoldId>,
    },
    /// It goes where this says; its flow does not matter, or is not ours.
    Leaves(Disposition),
}

impl Engine {
    /// Takes a packet in and writes its headers, which are those of the datagram that it completed, if it did.
    #[inline]
    pub(super) fn admit(
        &mut self,
        snapshot: &Snapshot,
        index: usize,
        packet: &Packet<'_>,
        headers: &mut Headers,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Admission {
        if packet.hop == Hop::Wire {
            self.counters.received += 1;
            self.counters.received_bytes += packet.bytes.len() as u64;
        }
        if packet.in_port == HOST_PORT {
            return match self.admit_host_frame(packet.bytes, headers) {
                Some(disposition) => Admission::Leaves(disposition),
                None => Admission::Stays { datagram: None },
            };
        }
        // `assume-good` is Suricata's `-k none`: captures of offloaded traffic have no right checksum anywhere.
        let ipv4_checksum = self.checksum_mode(packet.in_port) != ChecksumMode::AssumeGood;
        let mut strictness = Strictness { ipv4_checksum, ..Strictness::FULL };
        let mut parsed = parse_frame_into(packet.bytes, packet.link, strictness, headers);
        // Beside the wire nothing is refused that can be read: it is told, and read on. Captured where it is sent, a packet has
        // the checksum that the card has not written yet; and whom it was for may have taken what nobody may send.
        while let Err(reason) = parsed
            && !self.is_inline()
            && let Some(laxer) = strictness.without(reason)
        {
            self.notices.anomaly(reason, packet, None, events);
            strictness = laxer;
            parsed = parse_frame_into(packet.bytes, packet.link, strictness, headers);
        }
        if let Err(reason) = parsed {
            self.notices.anomaly(reason, packet, None, events);
            if self.has_rules() {
                let _stricter = self.detect_alone(&Headers::NONE, Some(reason), packet, events);
            }
            return Admission::Leaves(self.count_drop(reason));
        }
        if self.config.service.exists()
            && let Some(disposition) = self.for_service(packet, headers)
        {
            return Admission::Leaves(disposition);
        }
        let Network::Ip { src, dst, .. } = &headers.network else {
            if self.has_rules()
                && let Some(verdict) = self.detect_alone(headers, None, packet, events)
                && let Some(reason) = verdict.reason()
                && self.is_inline()
            {
                return Admission::Leaves(self.count_drop(reason));
            }
            self.counters.count(Verdict::Forward, packet.bytes.len() as u64);
            return Admission::Leaves(self.across(packet.in_port));
        };
        if headers.fragment.is_some() {
            return self.admit_fragment(snapshot, index, packet, headers, out, events);
        }
        if packet.hop == Hop::Wire
            && !self.alone
            && let Some(worker) = self.other_owner(self.owner_of(headers, *src, *dst))
        {
            return Admission::Leaves(Disposition::HandOff { worker, hop: Hop::Owner });
        }
        Admission::Stays { datagram: None }
    }

    /// The worker that owns a packet's flow: by hash, but for replies to a redirected flow, whose owner is the
    /// flow's.
    fn owner_of(&self, headers: &Headers, src: Addr, dst: Addr) -> u8 {
        let (src_port, dst_port) = headers.ports();
        if !self.alone
            && self.shared.expected.any()
            && let Network::Ip { protocol, .. } = headers.network
            && let Some(worker) =
                self.shared.expected.owner(ExpectedKey::of((src, src_port), (dst, dst_port), protocol))
        {
            return worker;
        }
        self.config.owners.worker(rss_hash(src, dst, src_port, dst_port))
    }

    /// `worker`, where it is another one.
    fn other_owner(&self, worker: u8) -> Option<u8> {
        (worker != self.config.worker).then_some(worker)
    }

    /// Fragments hash by addresses to one worker, are put together there, and go on by their ports.
    fn admit_fragment(
        &mut self,
        snapshot: &Snapshot,
        index: usize,
        packet: &Packet<'_>,
        headers: &mut Headers,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Admission {
        let Some((src, dst)) = headers.addrs() else { return Admission::Leaves(self.across(packet.in_port)) };
        if packet.hop == Hop::Wire
            && let Some(worker) = self.other_owner(self.config.owners.worker(rss_hash(src, dst, 0, 0)))
        {
            return Admission::Leaves(Disposition::HandOff { worker, hop: Hop::Owner });
        }
        let offered = self.defrag.offer(packet.at.tick, packet.bytes, headers);
        if self.has_rules() {
            let refused = match offered {
                // Told once of a datagram.
                Offer::Refused { reason, hold } => {
                    Some(reason).filter(|reason| hold.is_some() || *reason == Reason::FragmentLength)
                }
                Offer::Held(_) | Offer::Complete { .. } => None,
            };
            // Each fragment is a packet of its own to rules; a verdict waits for the datagram.
            let _advice = self.detect_alone(headers, refused, packet, events);
        }
        match offered {
            Offer::Held(hold) => Admission::Leaves(match self.is_inline() {
                true => Disposition::Hold(hold),
                false => Disposition::Consume,
            }),
            Offer::Complete { hold } => self.admit_datagram(index, packet, headers, hold, out, events),
            Offer::Refused { reason, hold } => {
                let passes = reason.class() == ReasonClass::Capacity
                    && matches!(
                        snapshot.settings.exceptions.fragment_memory,
                        ExceptionAction::Ignore | ExceptionAction::Pass
                    );
                let disposition = if passes {
                    self.counters.count(Verdict::Forward, packet.bytes.len() as u64);
                    self.across(packet.in_port)
                } else {
                    self.notices.anomaly(reason, packet, Some(headers), events);
                    self.count_drop(reason)
                };
                if let Some(hold) = hold {
                    out.release_before(index, hold, disposition);
                }
                Admission::Leaves(disposition)
            }
        }
    }

    fn admit_datagram(
        &mut self,
        index: usize,
        packet: &Packet<'_>,
        headers: &mut Headers,
        hold: HoldId,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Admission {
        let parsed = match self.defrag.datagram(hold) {
            Some((bytes, first)) => {
                parse_datagram(bytes, &first).and_then(|headers| match headers.fragment {
                    // Fragments of a tunnel that carries fragments: one level is put together, not two.
                    Some(_) => Err(Reason::FragmentTooMany),
                    None => Ok(headers),
                })
            }
            None => Err(Reason::FragmentTimeout),
        };
        match parsed {
            Ok(parsed) => *headers = parsed,
            Err(reason) => {
                out.release_before(index, hold, self.dropped(reason));
                self.defrag.release(hold);
                self.notices.anomaly(reason, packet, None, events);
                return Admission::Leaves(self.count_drop(reason));
            }
        }
        let Some((src, dst)) = headers.addrs() else { return Admission::Leaves(self.across(packet.in_port)) };
        if packet.hop != Hop::Judge
            && let Some(worker) = self.other_owner(self.owner_of(headers, src, dst))
        {
            let disposition = Disposition::HandOff { worker, hop: Hop::Judge };
            out.release_before(index, hold, disposition);
            self.defrag.release(hold);
            return Admission::Leaves(disposition);
        }
        Admission::Stays { datagram: Some(hold) }
    }

    /// Judges the datagram that `packet` completed; its held frames leave before it, the same way.
    pub(super) fn judge_datagram(
        &mut self,
        snapshot: &Snapshot,
        entry: &Entry<'_>,
        hold: HoldId,
        packet: &mut Packet<'_>,
        out: &mut Outcome,
        events: &mut EventSender,
    ) -> Disposition {
        let mut bytes = std::mem::take(&mut self.datagram);
        bytes.clear();
        if let Some((whole, _)) = self.defrag.datagram(hold) {
            bytes.extend_from_slice(&whole[..whole.len().min(DATAGRAM_BYTES_MAX)]);
        }
        let frames = self.defrag.holding(hold).map_or(1, |holding| holding.fragments as u64);
        let mut whole = Packet { bytes: &mut bytes, ..packet.without_bytes() };
        out.redirected_datagram = None;
        let disposition = self.judge(snapshot, entry, &mut whole, out, events);
        if !self.tags.is_empty() {
            self.record_tagged(entry, &whole, events);
        }
        // The verdict was counted once; it is that of every fragment.
        if let Disposition::Drop(reason) = disposition {
            self.counters.by_reason[reason as usize] += frames.saturating_sub(1);
        } else {
            self.counters.forwarded += frames.saturating_sub(1);
        }
        self.datagram = bytes;
        let redirect = out.redirected_datagram.take();
        out.releases.push(Release { hold, disposition, before: entry.index as u8, redirect });
        self.defrag.release(hold);
        if let Some((redirect, direction)) = redirect
            && let Ok(headers) = parse_frame(packet.bytes, LinkType::Ethernet)
            && redirect.apply(direction, packet.bytes, &headers).is_ok()
        {
            out.rewritten |= 1 << entry.index;
        }
        disposition
    }

    /// Counts a frame that ends here.
    pub(super) fn count_drop(&mut self, reason: Reason) -> Disposition {
        self.counters.notice(reason);
        self.dropped(reason)
    }
}
