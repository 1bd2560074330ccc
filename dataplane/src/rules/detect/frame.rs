//! Do rules match a frame: a piece of what a protocol sends that its parser names?
//!
//! ```text
//! parser ─► Telling::frame: where it begins, how long it is ─► tried, or kept while more is to come
//! TCP in order ─► Telling::pass ─► to the frames that are kept ─► tried as they grow, and at their end
//! ```
//!
//! A rule is told once of a frame, and of each frame for itself. Where no rule asks for frames, nothing is done.

use super::flow::FlowPlace;
use super::flow_facts::FlowFacts;
use super::matches::HITS_MAX;
use super::transaction::Telling;
use super::{Detector, Ledger, Moment, Of, matched};
use crate::flow::Direction;
use crate::rules::host_bits::Ends;
use crate::rules::language::buffers::BASE64_DATA;
use crate::rules::language::frames::frame;
use crate::rules::packet::concerns_ends;
use crate::rules::prefilter::Glance;
use crate::rules::rule::FrameId;

/// Bytes of a frame that rules see.
const FRAME_BYTES_MAX: usize = 32 << 10;

/// Frames of one flow of which more is to come.
const OPEN_MAX: usize = 8;

/// Bytes that come before a frame is tried again.
const FRESH_BYTES: usize = 2_560;

/// Rules that were told of one frame.
const TOLD_MAX: usize = 64;

/// Bytes of a frame that its alert brings; as many as Suricata's.
const SEEN_BYTES: usize = 256;

/// A frame that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameSeen {
    /// Of which kind.
    pub kind: FrameId,
    /// Which way it goes.
    pub way: Direction,
    /// Bytes of all of it, as far as that is known.
    pub len: u64,
    /// Whether it is there to its end.
    pub is_whole: bool,
    /// Its first bytes.
    pub bytes: Box<[u8]>,
}

/// A frame as far as it is there.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    bytes: &'a [u8],
    /// All of it is there.
    is_whole: bool,
    /// Bytes of all of it, as far as that is known.
    len: u64,
}

/// A frame of which more is to come.
#[derive(Debug)]
pub(super) struct Open {
    kind: FrameId,
    pub way: Direction,
    bytes: Vec<u8>,
    /// Bytes that came of it.
    came: u64,
    /// Bytes of it that are to come; `None`: its parser finds its end.
    left: Option<u64>,
    /// Bytes that were tried.
    seen: usize,
    pub told: Vec<u32>,
}

impl Open {
    fn take(&mut self, fresh: &[u8]) {
        let wanted = self
            .left
            .map_or(fresh.len(), |left| usize::try_from(left).unwrap_or(usize::MAX).min(fresh.len()));
        self.left = self.left.map(|left| left - wanted as u64);
        self.came += wanted as u64;
        let room = FRAME_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&fresh[..wanted.min(room)]);
    }

    const fn is_whole(&self) -> bool {
        matches!(self.left, Some(0))
    }

    fn is_over(&self) -> bool {
        self.is_whole() || self.bytes.len() >= FRAME_BYTES_MAX
    }

    fn is_due(&self, is_inline: bool) -> bool {
        let fresh = self.bytes.len() - self.seen;
        let is_grown = |part: usize| fresh * part >= self.bytes.len();
        fresh > 0 && ((fresh >= FRESH_BYTES && is_grown(4)) || (is_inline && is_grown(8)))
    }
}

/// The frames of a protocol whose messages have a header of known length.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// All of it.
    pub whole: FrameId,
    /// The header.
    pub header: FrameId,
    /// What is behind it.
    pub data: FrameId,
}

impl Message {
    /// Under the names that a protocol has for them.
    #[must_use]
    pub const fn of(protocol: &str, whole: &str, header: &str, data: &str) -> Self {
        Self { whole: frame(protocol, whole), header: frame(protocol, header), data: frame(protocol, data) }
    }
}

impl Telling<'_> {
    /// Tells a message with its header and what is behind it, `data_bytes` long; `bytes` is as in [`Self::frame_of`].
    pub fn message(
        &mut self,
        way: Direction,
        kinds: &Message,
        bytes: &[u8],
        header_bytes: usize,
        data_bytes: u64,
    ) {
        if !self.wants_any_frame() {
            return;
        }
        let Some((header, data)) = bytes.split_at_checked(header_bytes) else { return };
        self.frame_of(way, kinds.whole, bytes, Some((header_bytes as u64).saturating_add(data_bytes)));
        self.frame(way, kinds.header, header);
        if data_bytes > 0 {
            self.frame_of(way, kinds.data, data, Some(data_bytes));
        }
    }

    /// Whether a rule asks for frames.
    #[must_use]
    #[inline]
    pub fn wants_any_frame(&self) -> bool {
        self.is_on && self.detector.set.as_ref().is_some_and(|set| set.wants_frames())
    }

    /// Whether a rule asks for frames of a kind.
    #[must_use]
    #[inline]
    pub fn wants_frame(&self, kind: FrameId) -> bool {
        self.is_on && self.detector.set.as_ref().is_some_and(|set| set.wants_frame(kind))
    }

    /// Whether a rule asks for frames of one of these kinds.
    #[must_use]
    pub fn wants_frames(&self, kinds: &[FrameId]) -> bool {
        kinds.iter().any(|kind| self.wants_frame(*kind))
    }

    /// Tells a frame that is there, all of it.
    pub fn frame(&mut self, way: Direction, kind: FrameId, bytes: &[u8]) {
        self.frame_of(way, kind, bytes, Some(bytes.len() as u64));
    }

    /// Tells a frame of `len` bytes, `None` where only [`Self::end_frame`] tells its end. `bytes` is all that there is of its
    /// direction from its first byte on; what comes of TCP is added.
    pub fn frame_of(&mut self, way: Direction, kind: FrameId, bytes: &[u8], len: Option<u64>) {
        if !self.wants_frame(kind) {
            return;
        }
        let mut frame = Open { kind, way, bytes: Vec::new(), came: 0, left: len, seen: 0, told: Vec::new() };
        if let Some(whole) = len.and_then(|len| usize::try_from(len).ok()).and_then(|len| bytes.get(..len)) {
            let seen = &whole[..whole.len().min(FRAME_BYTES_MAX)];
            let part = Part { bytes: seen, is_whole: seen.len() == whole.len(), len: whole.len() as u64 };
            self.detector.frame(self.place, &self.moment, (way, kind), part, &mut frame.told);
            return;
        }
        frame.take(bytes);
        self.try_open(&mut frame, len.is_none());
        if frame.is_over() {
            return;
        }
        let Detector { flows, free, generation, .. } = &mut *self.detector;
        let state = Detector::state(flows, free, generation, self.place);
        // One of a kind goes a way at once.
        state.frames.retain(|other| !(other.way == way && other.kind == kind));
        if state.frames.len() < OPEN_MAX {
            state.frames.push(frame);
        }
    }

    /// A frame of unknown length is over; the last `beyond` bytes that came are not of it.
    pub fn end_frame(&mut self, way: Direction, kind: FrameId, beyond: usize) {
        let Some(state) = self.detector.flows.get_mut(self.place.0 as usize) else { return };
        let place = state.frames.iter().position(|frame| frame.way == way && frame.kind == kind);
        let Some(mut frame) = place.map(|place| state.frames.remove(place)) else { return };
        frame.bytes.truncate(frame.bytes.len().saturating_sub(beyond));
        frame.came = frame.came.saturating_sub(beyond as u64);
        frame.seen = 0;
        frame.left = Some(0);
        self.try_open(&mut frame, false);
    }

    /// Bytes of TCP came in order: the end of the direction's stream is kept for rules, and frames get what is theirs.
    pub(crate) fn pass(&mut self, way: Direction, fresh: &[u8]) {
        self.detector.keep_stream(self.place, way, fresh);
        let Detector { set, flows, generation, .. } = &mut *self.detector;
        if fresh.is_empty() || !set.as_ref().is_some_and(|set| set.wants_frames()) {
            return;
        }
        let Some(state) = flows.get_mut(self.place.0 as usize) else { return };
        state.follow(generation);
        if state.frames.is_empty() {
            return;
        }
        let mut frames = std::mem::take(&mut state.frames);
        frames.retain_mut(|frame| {
            if frame.way != way {
                return true;
            }
            frame.take(fresh);
            // Of a frame whose end is not known, some of this may belong to the next one.
            self.try_open(frame, frame.left.is_none());
            !frame.is_over()
        });
        if let Some(state) = self.detector.flows.get_mut(self.place.0 as usize) {
            state.frames = frames;
        }
    }

    /// The flow is over: what was kept of frames is tried.
    pub(super) fn finish_frames(&mut self) {
        let Some(state) = self.detector.flows.get_mut(self.place.0 as usize) else { return };
        for mut frame in std::mem::take(&mut state.frames) {
            if self.is_on && frame.seen < frame.bytes.len() {
                // Where the end was not to be known, this is it.
                frame.left = frame.left.or(Some(0));
                frame.seen = 0;
                self.try_open(&mut frame, false);
            }
        }
    }

    /// Tries a frame on what is there of it; unless it is still due to be told when it ends.
    fn try_open(&mut self, frame: &mut Open, waits_for_end: bool) {
        let is_over = frame.is_over();
        let is_due = is_over || (!waits_for_end && frame.is_due(self.is_inline));
        if !is_due && frame.left != Some(0) {
            return;
        }
        let Open { kind, way, bytes, came, left, told, .. } = frame;
        let is_whole = *left == Some(0) && bytes.len() < FRAME_BYTES_MAX;
        let part = Part { bytes, is_whole, len: *came + left.unwrap_or(0) };
        self.detector.frame(self.place, &self.moment, (*way, *kind), part, told);
        frame.seen = frame.bytes.len();
    }
}

impl Ledger {
    /// Keeps the beginning of a frame that matched, for its alert; returns its number.
    fn seen(
        &mut self,
        kind: FrameId,
        way: Direction,
        (bytes, len, is_whole): (&[u8], u64, bool),
    ) -> Option<u16> {
        let [fresh, _] = &mut self.frames;
        let number = u16::try_from(fresh.len()).ok().filter(|number| usize::from(*number) < HITS_MAX)?;
        let bytes = bytes.iter().copied().take(SEEN_BYTES).collect();
        fresh.push(FrameSeen { kind, way, len, is_whole, bytes });
        Some(number)
    }
}

impl Detector {
    /// Tries rules of frames on one, but for those that were told of it.
    fn frame(
        &mut self,
        place: &mut FlowPlace,
        moment: &Moment,
        (way, kind): (Direction, FrameId),
        Part { bytes, is_whole, len }: Part<'_>,
        told: &mut Vec<u32>,
    ) {
        if self.flows.get(place.0 as usize).is_some_and(|state| state.is_passed || state.is_ending) {
            return;
        }
        let Self { set, generation, flows, free, ledger, desk, hits, lane, .. } = self;
        let Some(set) = set else { return };
        let prefilter = set.of_frames(way);
        let state = Self::state(flows, free, generation, place);
        let mut found = std::mem::take(&mut desk.found);
        found.clear();
        prefilter.always((moment.initiator.1, moment.responder.1), &mut found);
        for group in prefilter.groups().iter().filter(|group| group.seen.frame == Some(kind)) {
            group.candidates(&Glance { ports: None, bytes, size: None }, &mut desk.search, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        let application = match kind.frame().of {
            "http1" => "http",
            of => of,
        };
        let (src, dst) = moment.ends(way);
        let ends = Ends { src: src.0, dst: dst.0, at_ns: moment.at_ns };
        for number in &found {
            let Some(signature) = set.signatures().get(*number as usize) else { continue };
            let begun = set.profile().begin();
            let is_asked = !told.contains(number)
                && signature.is_of(Some(application))
                && signature.rule.flow.established.is_none_or(|wanted| wanted == moment.is_established)
                && concerns_ends(&signature.rule.header, moment.protocol, (src, dst))
                && signature.asks.iter().all(|ask| {
                    let sizes = Some((&moment.counts, &state.streams));
                    let (application, original) = (Some(application), moment.original);
                    let facts = FlowFacts { application, original, sizes, ends: (src.0, dst.0) };
                    facts.answers(ask) == Some(true)
                })
                && signature.remembered.holds(&state.memory)
                && signature.on_hosts.holds(&ledger.hosts, ends, &[]);
            if !is_asked {
                set.profile().end(begun, *lane, *number, false);
                continue;
            }
            signature.scratch(&mut desk.tests);
            let mut is_of_kind = false;
            let holds = signature.parts.iter().all(|part| match part.frame {
                None if part.buffer == BASE64_DATA => part.holds_decoded(&mut desk.tests, &mut desk.changed),
                Some(other) if other == kind => {
                    is_of_kind = true;
                    (is_whole || !part.is_of_whole) && part.holds(bytes, &mut desk.tests, &mut desk.changed)
                }
                // As Suricata has it, tests of another kind are for frames of that kind.
                _ => true,
            });
            set.profile().end(begun, *lane, *number, holds && is_of_kind);
            if !holds || !is_of_kind {
                continue;
            }
            if told.len() < TOLD_MAX {
                told.push(*number);
            }
            let of = Of { frame: ledger.seen(kind, way, (bytes, len, is_whole)), ..Of::stream(way) };
            let captured = &desk.tests.captured;
            matched((*number, captured), signature, state, ledger, of, (src, dst, moment.at_ns), hits);
        }
        desk.found = found;
    }
}
