//! Do rules match the bytes of a TCP direction, in order?
//!
//! The end of what came is kept, so that what lies across segments is found. A rule is tried when its pattern is seen, and again
//! while its pattern is still kept. Told once, it is told again after [`CHUNK_BYTES`] at the earliest: Suricata looks at so much
//! at once.

use super::flow::{FlowPlace, NO_STATE, Window};
use super::transaction::{has_size, speaks};
use super::{Detector, Moment, matched};
use crate::flow::Direction;
use crate::rules::language::buffers::BASE64_DATA;
use crate::rules::packet::concerns_ends;
use crate::rules::prefilter::PATTERN_BYTES_MAX;
use crate::rules::signature::{Ask, Signature};

/// Bytes of a direction that are looked at together (`stream.reassembly.toserver-chunk-size`).
const CHUNK_BYTES: usize = 2_560;

/// Rules of a direction that wait for more bytes.
const WAITING_MAX: usize = 64;

/// Bytes that came in order so far.
pub(super) const fn passed(window: &Window) -> u64 {
    window.before + window.bytes.len() as u64
}

impl Detector {
    /// Keeps bytes that are next in a direction, for [`Self::stream`] and for rules that ask for payload beside what parsers tell.
    pub fn keep_stream(&mut self, place: &mut FlowPlace, way: Direction, fresh: &[u8]) {
        let Self { set, generation, flows, free, .. } = self;
        if fresh.is_empty() || !set.as_ref().is_some_and(|set| set.keeps_streams()) {
            return;
        }
        let window = &mut Self::state(flows, free, *generation, place).streams[way as usize];
        if window.bytes.len() > CHUNK_BYTES {
            let gone = window.bytes.len() - CHUNK_BYTES;
            window.bytes.drain(..gone);
            window.before += gone as u64;
        }
        window.bytes.extend_from_slice(fresh);
        window.fresh += fresh.len();
    }

    /// Tries the rules of streams on what was kept of a direction since they were tried last; `application` is what the flow speaks.
    pub fn stream(
        &mut self,
        place: &mut FlowPlace,
        moment: &Moment,
        way: Direction,
        application: Option<&'static str>,
    ) {
        let Self { set, generation, flows, free, thresholds, desk, hits, .. } = self;
        let Some(set) = set else { return };
        let prefilter = set.of_stream(way);
        if place.0 == NO_STATE || prefilter.is_empty() || flows[place.0 as usize].is_passed {
            return;
        }
        let state = Self::state(flows, free, *generation, place);
        let window = &mut state.streams[way as usize];
        let fresh = std::mem::take(&mut window.fresh);
        if fresh == 0 {
            return;
        }
        // A pattern may have begun in what was tried before.
        let from = window.bytes.len().saturating_sub(fresh + PATTERN_BYTES_MAX - 1);
        window.since_told += fresh;
        if window.since_told >= CHUNK_BYTES {
            window.since_told = 0;
            window.told.clear();
        }
        let mut found = std::mem::take(&mut desk.found);
        found.clear();
        for group in prefilter.groups() {
            group.candidates(&window.bytes[from..], &mut desk.changed, &mut found);
        }
        found.extend_from_slice(&window.waiting);
        found.extend_from_slice(prefilter.always());
        found.sort_unstable();
        found.dedup();
        window.waiting.clear();
        let (src, dst) = moment.ends(way);
        for number in &found {
            let Some(signature) = set.signatures().get(*number as usize) else { continue };
            let window = &state.streams[way as usize];
            let is_meant = signature.is_of(application)
                && !window.told.contains(number)
                && signature.rule.flow.established.is_none_or(|wanted| wanted == moment.is_established)
                && concerns_ends(&signature.rule.header, moment.protocol, (src, dst));
            if !is_meant {
                // What the flow speaks may become known.
                if application.is_none() && signature.applications.is_some() {
                    wait(&mut state.streams[way as usize], *number);
                }
                continue;
            }
            let holds = signature.asks.iter().all(|ask| match ask {
                Ask::Protocol(asked) => speaks(asked, application),
                Ask::StreamSize(size) => has_size(size, &state.streams),
                _ => false,
            });
            let holds = holds
                && parts_hold(signature, &window.bytes, &mut desk.tests, &mut desk.changed)
                && signature.remembered.holds(&state.memory);
            let window = &mut state.streams[way as usize];
            if !holds {
                wait(window, *number);
                continue;
            }
            window.told.push(*number);
            matched(*number, signature, state, thresholds, (Some(way), None, true), (src.0, dst.0, moment.at_ns), hits);
        }
        desk.found = found;
    }

    /// Bytes of a direction are missing: what came before them and what comes do not belong together.
    pub fn stream_gap(&mut self, place: FlowPlace, way: Direction, len: u64) {
        if let Some(state) = self.flows.get_mut(place.0 as usize) {
            let window = &mut state.streams[way as usize];
            window.before += window.bytes.len() as u64 + len;
            window.bytes.clear();
            window.waiting.clear();
            window.fresh = 0;
        }
    }
}

fn wait(window: &mut Window, number: u32) {
    if window.waiting.len() < WAITING_MAX {
        window.waiting.push(number);
    }
}

/// Whether all that a rule asks of a payload holds.
pub(super) fn parts_hold(
    signature: &Signature,
    payload: &[u8],
    tests: &mut crate::rules::matcher::Scratch,
    changed: &mut Vec<u8>,
) -> bool {
    signature.scratch(tests);
    signature.parts.iter().all(|part| {
        if part.buffer != BASE64_DATA {
            return part.holds(payload, tests, changed);
        }
        let decoded = std::mem::take(&mut tests.decoded);
        let holds = part.holds(&decoded, tests, changed);
        tests.decoded = decoded;
        holds
    })
}
