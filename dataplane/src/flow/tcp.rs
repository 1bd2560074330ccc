//! What may this TCP segment be, given what both ends have said so far?
//!
//! The tracker stands between the ends and keeps, for each, what the other granted it: RFC 9293's states
//! folded over both ends, windows as in van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000)
//! and Linux's `nf_conntrack_proto_tcp.c`, resets and blind data as in RFC 5961, scales as in RFC 7323.
//!
//! `TcpTrack::judge` computes and changes nothing; the caller commits the returned step when the segment
//! was sent on, so that a dropped segment never moves the state. SACK blocks are not read.

use crate::parse::{Tcp, TcpFlags};
use crate::verdict::Reason;

/// State of a connection, both ends folded. The number is [`super::FlowRecord::tcp_state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum TcpState {
    /// No segment was sent on yet (or the flow is not TCP).
    #[default]
    Unopened = 0,
    /// SYN from one end.
    SynSent = 1,
    /// SYN from both ends, neither acknowledged (simultaneous open).
    SynSentBoth = 2,
    /// SYN and SYN/ACK.
    SynReceived = 3,
    /// Handshake complete, or picked up mid-stream.
    Established = 4,
    /// FIN from one end, not acknowledged.
    FinWait = 5,
    /// FIN from one end, acknowledged; the other may still send.
    CloseWait = 6,
    /// FIN from both ends, neither acknowledged.
    Closing = 7,
    /// FIN from both ends, one acknowledged.
    LastAck = 8,
    /// FIN from both ends, both acknowledged.
    TimeWait = 9,
    /// Reset.
    Closed = 10,
}

impl TcpState {
    /// The name in records; Suricata's spelling where it has one.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unopened => "none",
            Self::SynSent => "syn_sent",
            Self::SynSentBoth => "syn_sent_both",
            Self::SynReceived => "syn_recv",
            Self::Established => "established",
            Self::FinWait => "fin_wait1",
            Self::CloseWait => "close_wait",
            Self::Closing => "closing",
            Self::LastAck => "last_ack",
            Self::TimeWait => "time_wait",
            Self::Closed => "closed",
        }
    }

    /// The state of a [`super::FlowRecord::tcp_state`] number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        const ALL: [TcpState; 11] = [
            TcpState::Unopened,
            TcpState::SynSent,
            TcpState::SynSentBoth,
            TcpState::SynReceived,
            TcpState::Established,
            TcpState::FinWait,
            TcpState::CloseWait,
            TcpState::Closing,
            TcpState::LastAck,
            TcpState::TimeWait,
            TcpState::Closed,
        ];
        ALL.get(usize::from(number)).copied()
    }

    /// Whether a SYN may start a new connection on the same addresses and ports.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::TimeWait | Self::Closed)
    }
}

/// What the tracker thinks of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpOutcome {
    /// It fits.
    Ok,
    /// First segment of an unknown flow and not a SYN: `exceptions.midstream` decides. Committed, the
    /// flow is picked up loosely.
    Midstream,
    /// The end that sent the SYN goes on although no answer was seen: only one direction crosses the box,
    /// `exceptions.oneway` decides. Committed, the flow is followed loosely.
    Oneway,
    /// In the window, yet only good for a challenge ACK of the receiver (RFC 5961 3.2, or an ACK that
    /// answers a SYN): send it on, it moves nothing.
    Challenge,
    /// Against the window or the state; a strict policy drops it.
    Violation(Reason),
}

/// A judged segment; hand it back to commit it.
#[derive(Debug, Clone, Copy)]
pub struct TcpStep {
    /// What the tracker thinks of it.
    pub outcome: TcpOutcome,
    pub(super) next: TcpTrack,
}

/// What one end has said, and what the other granted it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct End {
    /// One past the highest sequence number sent (SYN and FIN count).
    next_sent: u32,
    /// One past the highest sequence number that the other end's window allows; before this end was heard, the TSval of the
    /// other's SYN.
    limit: u32,
    /// Largest window that this end offered, bytes.
    window: u32,
    /// Highest acknowledgement sent, so the next sequence number it waits for; from the other's SYN at first.
    next_expected: u32,
    /// Window scale shift.
    scale: u8,
    bits: u8,
}

impl End {
    /// A segment of this end was seen.
    const HEARD: u8 = 1;
    /// Its SYN offered window scaling.
    const SCALES: u8 = 2;
    /// It has acknowledged something.
    const ACKED: u8 = 4;
    /// It has sent FIN: `next_sent` is final.
    const FIN: u8 = 8;
    /// Its SYN had timestamps.
    const STAMPS: u8 = 16;

    const fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }
}

/// Both ends of a connection, 44 bytes; index 0 is the initiator.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct TcpTrack {
    ends: [End; 2],
    state: TcpState,
    bits: u8,
    /// Violations sent on since the last segment that fitted.
    bad_run: u8,
}

const _: () = assert!(size_of::<TcpTrack>() == 44);

/// Picked up without its handshake: windows are guesses on the generous side.
const MIDSTREAM: u8 = 1;
/// Both ends sent a SYN before either had the other's.
const SIMULTANEOUS: u8 = 2;
/// Segments may have passed that were not seen.
const MAY_MISS: u8 = 4;
/// The SYN's sender has acknowledged an answer that was not seen so far.
const EARLY_ACK: u8 = 8;

/// Assumed shift where the handshake was not seen: the largest (RFC 7323 2.3).
const SCALE_MAX: u8 = 14;

/// Timestamps that a sender's clock may have counted between its first SYN and its last one: two minutes of microseconds.
const SYN_STAMPS: u32 = 1 << 27;

/// How far an acknowledgement may lag behind the data (Linux `MAXACKWINCONST`).
const ACK_LAG_MIN: u32 = 66_000;

/// What an end may send ahead while the other was never heard, bytes.
const UNHEARD_WINDOW: u32 = 1 << 20;

/// After so many violations in a row that were sent on, the tracker is wrong, not the ends (capture loss):
/// it picks the flow up anew.
const RESYNC_AFTER: u8 = 8;

/// A segment as the tracker needs it.
#[derive(Debug, Clone, Copy)]
struct Segment {
    seq: u32,
    /// One past its last sequence number.
    end: u32,
    ack: u32,
    window: u32,
    len: u32,
    scale: Option<u8>,
    /// TSval and TSecr.
    stamps: Option<(u32, u32)>,
    flags: TcpFlags,
}

impl Segment {
    #[inline]
    fn of(tcp: &Tcp, payload_len: u32) -> Self {
        let occupied = payload_len + u32::from(tcp.flags.syn()) + u32::from(tcp.flags.fin());
        Self {
            seq: tcp.seq,
            end: tcp.seq.wrapping_add(occupied),
            ack: tcp.ack,
            window: u32::from(tcp.window),
            len: payload_len,
            scale: tcp.options.window_scale,
            stamps: tcp.options.timestamps,
            flags: tcp.flags,
        }
    }
}

/// `a <= b` in sequence space (RFC 9293 3.4).
#[inline]
const fn at_most(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) as i32 >= 0
}

impl TcpTrack {
    pub(super) const fn state(&self) -> TcpState {
        self.state
    }

    pub(super) const fn is_midstream(&self) -> bool {
        self.bits & MIDSTREAM != 0
    }

    /// Says whether segments may have passed that were not seen.
    pub(super) const fn set_may_miss(&mut self, may_miss: bool) {
        self.bits = self.bits & !MAY_MISS | if may_miss { MAY_MISS } else { 0 };
    }

    /// Whether segments of both ends were seen.
    pub(super) const fn is_two_way(&self) -> bool {
        self.ends[0].has(End::HEARD) && self.ends[1].has(End::HEARD)
    }

    /// Whether an end has sent something that the other has not acknowledged.
    pub(super) const fn has_unacknowledged(&self) -> bool {
        self.ends[0].next_sent != self.ends[1].next_expected
            || self.ends[1].next_sent != self.ends[0].next_expected
    }

    /// The next sequence number that the end `from` (0 initiator, 1 responder) would send, and the one that it
    /// waits for: what a RST in its name must carry.
    pub(super) const fn sequence(&self, from: usize) -> (u32, u32) {
        (self.ends[from].next_sent, self.ends[from].next_expected)
    }

    /// Judges a segment from end `from` (0 initiator, 1 responder) with `payload_len` bytes of data.
    #[inline]
    pub(super) fn judge(&self, from: usize, tcp: &Tcp, payload_len: u32) -> TcpStep {
        let segment = Segment::of(tcp, payload_len);
        let mut next = *self;
        let outcome = match self.state {
            TcpState::Unopened => next.open(from, &segment),
            TcpState::SynSent | TcpState::SynSentBoth | TcpState::SynReceived => {
                next.handshake(from, &segment)
            }
            TcpState::Established
            | TcpState::FinWait
            | TcpState::CloseWait
            | TcpState::Closing
            | TcpState::LastAck
            | TcpState::TimeWait
            | TcpState::Closed => next.synchronised(from, &segment),
        };
        match outcome {
            TcpOutcome::Ok | TcpOutcome::Midstream | TcpOutcome::Oneway => next.bad_run = 0,
            TcpOutcome::Challenge => next = *self,
            TcpOutcome::Violation(reason) => {
                next = *self;
                next.bad_run = self.bad_run.saturating_add(1);
                let window_is_wrong = matches!(reason, Reason::TcpOutOfWindow | Reason::TcpAckInvalid);
                if window_is_wrong
                    && next.bad_run >= RESYNC_AFTER
                    && self.state == TcpState::Established
                    && segment.flags.ack()
                {
                    next.adopt(from, &segment);
                    next.bad_run = 0;
                }
            }
        }
        TcpStep { outcome, next }
    }

    /// Takes a segment in place where it is the common one: established after a handshake that was seen,
    /// ACK and no other flag that matters, in the window. `false`: nothing is changed, ask [`Self::judge`].
    #[inline]
    pub(super) fn pass_established(&mut self, from: usize, tcp: &Tcp, payload_len: u32) -> bool {
        const DECISIVE: u8 = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST | TcpFlags::ACK;
        let segment = Segment::of(tcp, payload_len);
        // With both ends heard and exact windows `check` changes nothing.
        if self.state != TcpState::Established
            || self.bits & MIDSTREAM != 0
            || tcp.flags.0 & DECISIVE != TcpFlags::ACK
            || self.check(from, &segment).is_err()
        {
            return false;
        }
        self.take(from, &segment);
        self.bad_run = 0;
        true
    }

    /// First segment of a flow.
    fn open(&mut self, from: usize, segment: &Segment) -> TcpOutcome {
        let flags = segment.flags;
        if flags.rst() {
            self.bits |= MIDSTREAM;
            self.state = TcpState::Closed;
            return TcpOutcome::Midstream;
        }
        if flags.syn() {
            self.hear_syn(from, segment);
            if !flags.ack() {
                self.state = TcpState::SynSent;
                return TcpOutcome::Ok;
            }
            // The SYN passed before our time or by another way: take its end from the acknowledgement.
            self.bits |= MIDSTREAM;
            self.ends[from].next_expected = segment.ack;
            self.ends[from].bits |= End::ACKED;
            self.ends[from].limit = segment.end.wrapping_add(UNHEARD_WINDOW);
            let other = &mut self.ends[1 - from];
            other.next_sent = segment.ack;
            other.limit = segment.ack.wrapping_add(segment.window.max(1));
            // A SYN/ACK offers scaling only where the SYN did; by how much is not known.
            other.scale = if segment.scale.is_some() { SCALE_MAX } else { 0 };
            self.state = TcpState::SynReceived;
            return TcpOutcome::Midstream;
        }
        if !flags.ack() {
            // No connection has such a segment.
            return TcpOutcome::Violation(Reason::TcpBadState);
        }
        self.state = TcpState::Established;
        self.adopt(from, segment);
        self.note_fin(from, segment);
        TcpOutcome::Midstream
    }

    /// Believes one segment of an unknown connection; the other end is learned from its own next one.
    fn adopt(&mut self, from: usize, segment: &Segment) {
        self.bits |= MIDSTREAM;
        let window = (segment.window << SCALE_MAX).max(UNHEARD_WINDOW);
        let ack = segment.ack;
        self.ends[from] = End {
            next_sent: segment.end,
            limit: segment.end.wrapping_add(window),
            window,
            next_expected: ack,
            scale: SCALE_MAX,
            bits: End::HEARD | End::ACKED,
        };
        self.ends[1 - from] = End {
            next_sent: ack,
            limit: ack.wrapping_add(window),
            window: 0,
            next_expected: segment.seq,
            scale: SCALE_MAX,
            bits: 0,
        };
    }

    /// Takes the start of an end from its SYN.
    fn hear_syn(&mut self, from: usize, segment: &Segment) {
        let first = segment.seq.wrapping_add(1);
        let granted = self.ends[1 - from].window;
        let end = &mut self.ends[from];
        end.next_sent = segment.end;
        end.limit = first.wrapping_add(granted);
        // RFC 7323 2.2: the window of a SYN is never scaled.
        end.window = segment.window.max(1);
        end.scale = segment.scale.unwrap_or(0).min(SCALE_MAX);
        end.bits |= End::HEARD;
        if segment.scale.is_some() {
            end.bits |= End::SCALES;
        }
        end.bits &= !End::STAMPS;
        if segment.stamps.is_some() {
            end.bits |= End::STAMPS;
        }
        let other = &mut self.ends[1 - from];
        other.next_expected = first;
        if let Some((value, _)) = segment.stamps
            && !other.has(End::HEARD)
        {
            other.limit = value;
        }
    }

    /// Whether the first answer to a SYN echoes its timestamp: what does not is ignored by the SYN's sender (Linux
    /// `tcp_rcv_synsent_state_process`), and so is a RST with a timestamp where the SYN had none.
    fn echoes_syn(&self, from: usize, segment: &Segment) -> bool {
        let Some((_, echoed)) = segment.stamps else { return true };
        if !self.ends[1 - from].has(End::STAMPS) {
            return !segment.flags.rst();
        }
        let last = self.ends[from].limit;
        echoed == 0 || (at_most(echoed, last) && last.wrapping_sub(echoed) < SYN_STAMPS)
    }

    /// RFC 7323 2.2: scaling holds only where both SYNs offered it.
    fn settle_scales(&mut self) {
        if !(self.ends[0].has(End::SCALES) && self.ends[1].has(End::SCALES)) {
            self.ends[0].scale = 0;
            self.ends[1].scale = 0;
        }
    }

    /// Whether `segment` acknowledges between the other end's SYN and its last byte (RFC 9293 3.10.7.3).
    fn acknowledges_syn(&self, from: usize, segment: &Segment) -> bool {
        segment.flags.ack()
            && at_most(self.ends[from].next_expected, segment.ack)
            && at_most(segment.ack, self.ends[1 - from].next_sent)
    }

    /// Whether `segment` repeats the SYN of its end, with or without data.
    fn repeats_syn(&self, from: usize, segment: &Segment) -> bool {
        let first = segment.seq.wrapping_add(1);
        segment.end == self.ends[from].next_sent || first == self.ends[1 - from].next_expected
    }

    fn handshake(&mut self, from: usize, segment: &Segment) -> TcpOutcome {
        use TcpOutcome::{Challenge, Ok, Oneway, Violation};
        let flags = segment.flags;
        let to = 1 - from;
        let is_first_answer = self.state == TcpState::SynSent && !self.ends[from].has(End::HEARD);
        // A bare ACK is of an older connection, and is answered with a RST.
        let says_more = flags.syn() || flags.rst() || flags.fin() || segment.len > 0;
        if is_first_answer && says_more && !self.echoes_syn(from, segment) {
            return Violation(Reason::TcpTimestampInvalid);
        }
        if flags.rst() {
            if self.ends[from].has(End::HEARD) {
                return self.reset(from, segment);
            }
            // RFC 9293 3.10.7.3: a refusal counts only if it acknowledges the SYN.
            if !self.acknowledges_syn(from, segment) {
                return Violation(Reason::TcpRstOutOfWindow);
            }
            self.state = TcpState::Closed;
            return Ok;
        }
        match (flags.syn(), flags.ack(), self.state) {
            (true, false, TcpState::SynSent) => {
                let first_of_this_end = !self.ends[from].has(End::HEARD);
                // The same end again, maybe with a new sequence number: nothing answered yet, so it may.
                self.hear_syn(from, segment);
                if first_of_this_end {
                    self.settle_scales();
                    self.bits |= SIMULTANEOUS;
                    self.state = TcpState::SynSentBoth;
                }
                Ok
            }
            (true, false, _) => {
                if self.repeats_syn(from, segment) {
                    Ok
                } else {
                    Violation(Reason::TcpSynInConnection)
                }
            }
            (true, true, TcpState::SynSent) => {
                if self.ends[from].has(End::HEARD) {
                    // Its own SYN is unanswered: what would it acknowledge?
                    return Violation(Reason::TcpBadState);
                }
                if !self.acknowledges_syn(from, segment) {
                    return Violation(Reason::TcpAckInvalid);
                }
                self.answer_syn(from, segment);
                Ok
            }
            (true, true, TcpState::SynSentBoth) => {
                if !self.repeats_syn(from, segment) {
                    return Violation(Reason::TcpSynInConnection);
                }
                if !self.acknowledges_syn(from, segment) {
                    return Violation(Reason::TcpAckInvalid);
                }
                self.acknowledge(from, segment, segment.window);
                self.state = TcpState::SynReceived;
                Ok
            }
            (true, true, _) => {
                if !self.acknowledges_syn(from, segment) {
                    return Violation(Reason::TcpAckInvalid);
                }
                let repeats = self.repeats_syn(from, segment);
                if self.ends[from].has(End::ACKED) {
                    // The responder again; with another number as long as nobody took the first.
                    if !repeats && self.ends[to].has(End::ACKED) {
                        return Violation(Reason::TcpSynInConnection);
                    }
                    if !repeats {
                        self.ends[from].bits &= !End::SCALES;
                        self.answer_syn(from, segment);
                    }
                    return Ok;
                }
                if self.bits & SIMULTANEOUS == 0 {
                    return Violation(Reason::TcpBadState);
                }
                if !repeats {
                    return Violation(Reason::TcpSynInConnection);
                }
                self.acknowledge(from, segment, segment.window);
                self.state = TcpState::Established;
                Ok
            }
            (false, true, TcpState::SynSent) => {
                if self.ends[from].has(End::HEARD) {
                    if segment.seq != self.ends[from].next_sent {
                        return Violation(Reason::TcpBadState);
                    }
                    // Beside the wire the answer may stand behind its acknowledgement, as where each direction is captured for
                    // itself: one that brings nothing is waited for.
                    let brings_nothing = segment.len == 0 && !flags.fin();
                    if brings_nothing && self.bits & (MAY_MISS | EARLY_ACK) == MAY_MISS {
                        self.bits |= EARLY_ACK;
                        return Ok;
                    }
                    self.state = TcpState::Established;
                    self.adopt(from, segment);
                    self.note_fin(from, segment);
                    return Oneway;
                }
                // An old connection of the responder answers the SYN; its peer will reset it.
                if segment.len > 0 || flags.fin() { Violation(Reason::TcpBadState) } else { Challenge }
            }
            (false, true, TcpState::SynSentBoth) | (false, false, _) => Violation(Reason::TcpBadState),
            (false, true, _) => {
                let completes = !self.ends[from].has(End::ACKED);
                if completes && self.ends[to].has(End::HEARD) && !self.acknowledges_syn(from, segment) {
                    return Violation(Reason::TcpAckInvalid);
                }
                if let Err(reason) = self.check(from, segment) {
                    return Violation(reason);
                }
                self.take(from, segment);
                if completes {
                    self.state = TcpState::Established;
                }
                self.note_fin(from, segment);
                Ok
            }
        }
    }

    /// Takes a SYN/ACK.
    fn answer_syn(&mut self, from: usize, segment: &Segment) {
        // Its own window first: it grants what the other end may send.
        self.hear_syn(from, segment);
        if !self.is_midstream() {
            self.settle_scales();
        }
        self.acknowledge(from, segment, segment.window);
        self.state = TcpState::SynReceived;
    }

    fn synchronised(&mut self, from: usize, segment: &Segment) -> TcpOutcome {
        use TcpOutcome::{Ok, Violation};
        let flags = segment.flags;
        if flags.rst() {
            return if self.state == TcpState::Closed { Ok } else { self.reset(from, segment) };
        }
        if flags.syn() {
            // The final ACK was lost beyond us and the responder repeats its SYN/ACK; or its SYN/ACK is the first
            // that we see of it, after the other end was followed one-way.
            let is_unheard = !self.ends[from].has(End::HEARD);
            if self.state == TcpState::Closed
                && is_unheard
                && self.acknowledges_syn(from, segment)
                && flags.ack()
            {
                // The RST that closed it before any answer did not reach the responder, or was meant for us alone.
                self.answer_syn(from, segment);
                return Ok;
            }
            let first_words = self.is_midstream() && is_unheard;
            return if flags.ack() && (first_words || self.repeats_syn(from, segment)) {
                Ok
            } else {
                Violation(Reason::TcpSynInConnection)
            };
        }
        if !flags.ack() {
            // RFC 9293 3.10.7.4: "if the ACK bit is off, drop the segment".
            return Violation(Reason::TcpBadState);
        }
        if let Err(reason) = self.check(from, segment) {
            return Violation(reason);
        }
        let sender = &self.ends[from];
        if sender.has(End::FIN) && !at_most(segment.end, sender.next_sent) {
            return Violation(Reason::TcpBadState);
        }
        self.take(from, segment);
        self.note_fin(from, segment);
        Ok
    }

    /// A RST from an end that was heard (RFC 5961 3.2).
    fn reset(&mut self, from: usize, segment: &Segment) -> TcpOutcome {
        let (sender, receiver) = (&self.ends[from], &self.ends[1 - from]);
        // We see the sender's segments before the receiver does, so what the receiver waits for is between
        // its last acknowledgement and the sender's last byte: both ends of that range are exact to us.
        if segment.seq == receiver.next_expected || segment.seq == sender.next_sent {
            self.state = TcpState::Closed;
            return TcpOutcome::Ok;
        }
        let last = receiver.next_expected.wrapping_add(receiver.window);
        if at_most(receiver.next_expected, segment.seq) && !at_most(last, segment.seq) {
            TcpOutcome::Challenge
        } else {
            TcpOutcome::Violation(Reason::TcpRstOutOfWindow)
        }
    }

    /// The four bounds of van Rooij, and the first words of an end that was not heard before.
    #[inline]
    fn check(&mut self, from: usize, segment: &Segment) -> Result<(), Reason> {
        let loose = self.bits & (MIDSTREAM | MAY_MISS) != 0;
        let receiver = self.ends[1 - from];
        let sender = &mut self.ends[from];
        if !sender.has(End::HEARD) {
            // Picked up from the other side: near what that side acknowledged, and believed.
            let distance = segment.seq.wrapping_sub(sender.next_sent) as i32;
            if distance.unsigned_abs() > 1 << 30 {
                return Err(Reason::TcpOutOfWindow);
            }
            if !at_most(segment.end, sender.next_sent) {
                sender.next_sent = segment.end;
            }
            sender.window = (segment.window << sender.scale).max(1);
            sender.limit = sender.next_sent.wrapping_add(receiver.window);
            sender.bits |= End::HEARD;
        }
        let sender = self.ends[from];
        // An unheard receiver has granted nothing; `take` moves the limit along then.
        let starts_in_window = at_most(segment.seq, sender.limit);
        let ends_in_window =
            !receiver.has(End::HEARD) || at_most(sender.next_sent.wrapping_sub(receiver.window), segment.end);
        if !(starts_in_window && ends_in_window) {
            return Err(Reason::TcpOutOfWindow);
        }
        if !at_most(segment.ack, receiver.next_sent) {
            // Data in flight before the pick-up is acknowledged after it, and data that was not seen.
            if !(loose && at_most(segment.ack, receiver.limit)) {
                return Err(Reason::TcpAckInvalid);
            }
            self.ends[1 - from].next_sent = segment.ack;
        }
        // RFC 5961 5.2: not older than the largest window.
        let lag = sender.window.max(ACK_LAG_MIN);
        if !at_most(self.ends[1 - from].next_sent.wrapping_sub(lag), segment.ack) {
            return Err(Reason::TcpAckInvalid);
        }
        Ok(())
    }

    /// Takes what a checked segment says.
    #[inline]
    fn take(&mut self, from: usize, segment: &Segment) {
        let sender = &mut self.ends[from];
        let window = segment.window << sender.scale;
        sender.window = sender.window.max(window);
        let limit = sender.limit;
        if !at_most(segment.end, sender.next_sent) {
            sender.next_sent = segment.end;
        }
        self.acknowledge(from, segment, window);
        let receiver = &mut self.ends[1 - from];
        if receiver.has(End::HEARD) {
            if !at_most(segment.end, limit) {
                // More than was granted, and the receiver may keep it (a window probe): allow its repetition.
                let excess = segment.end.wrapping_sub(limit);
                receiver.window = receiver.window.saturating_add(excess).min(1 << 30);
            }
        } else {
            let sender = &mut self.ends[from];
            let limit = sender.next_sent.wrapping_add(sender.window.max(UNHEARD_WINDOW));
            if !at_most(limit, sender.limit) {
                sender.limit = limit;
            }
        }
    }

    /// Takes acknowledgement and window (bytes): they grant the other end its limit.
    #[inline]
    fn acknowledge(&mut self, from: usize, segment: &Segment, window: u32) {
        let sender = &mut self.ends[from];
        if !sender.has(End::ACKED) || !at_most(segment.ack, sender.next_expected) {
            sender.next_expected = segment.ack;
        }
        sender.bits |= End::ACKED;
        // A closed window still takes one byte of probe (RFC 9293 3.8.6.1).
        let limit = segment.ack.wrapping_add(window.max(1));
        let receiver = &mut self.ends[1 - from];
        if !at_most(limit, receiver.limit) {
            receiver.limit = limit;
        }
    }

    /// Takes a FIN, and finds the state from both FINs and their acknowledgements.
    fn note_fin(&mut self, from: usize, segment: &Segment) {
        if segment.flags.fin() && segment.end == self.ends[from].next_sent {
            self.ends[from].bits |= End::FIN;
        }
        if self.state == TcpState::Closed {
            return;
        }
        let [a, b] = &self.ends;
        let acknowledged = |sender: &End, receiver: &End| {
            sender.has(End::FIN) && at_most(sender.next_sent, receiver.next_expected)
        };
        let fins = u8::from(a.has(End::FIN)) + u8::from(b.has(End::FIN));
        let acks = u8::from(acknowledged(a, b)) + u8::from(acknowledged(b, a));
        self.state = match (fins, acks) {
            (0, _) => self.state,
            (1, 0) => TcpState::FinWait,
            (1, _) => TcpState::CloseWait,
            (_, 0) => TcpState::Closing,
            (_, 1) => TcpState::LastAck,
            (_, _) => TcpState::TimeWait,
        };
    }
}
