//! Do rules match the bytes of a TCP direction, in order?
//!
//! The end of what came is kept, so that what lies across segments is found. A rule is tried when its pattern is seen, and again
//! while its pattern is still kept. Told once, it is told again after [`CHUNK_BYTES`] at the earliest: Suricata looks at so much
//! at once. Beside the wire a message's end ends what is looked at together, where its parser says so ([`Telling::end_chunk`]): what
//! came until then is tried with the next packet that way, not before, and what comes later begins anew, its offsets too.

use super::flow::{FlowPlace, FlowState, Window};
use super::flow_facts::FlowFacts;
use super::packet::parts_hold;
use super::succession::Generation;
use super::transaction::Telling;
use super::{Desk, Detector, Moment, Of, matched};
use crate::flow::Direction;
use crate::rules::host_bits::{Ends, HostBits};
use crate::rules::packet::concerns_ends;
use crate::rules::prefilter::{Glance, PATTERN_BYTES_MAX, Prefilter, Scratch};
use crate::rules::signature::Signature;

/// Bytes of a direction that are looked at together (`stream.reassembly.toserver-chunk-size`).
pub(super) const CHUNK_BYTES: usize = 2_560;

/// Whether the parser of an application says where messages end: beside the wire what came is tried then.
pub(super) fn is_told_by_message(application: &str) -> bool {
    application == "http"
}

/// Rules of a direction that wait for more bytes.
const WAITING_MAX: usize = 64;

impl Telling<'_> {
    /// A message of a direction of TCP is over, or will be when `ahead` more bytes have come.
    pub fn end_chunk(&mut self, way: Direction, ahead: u64) {
        if let Some(state) = self.detector.flows.get_mut(self.place.0 as usize).filter(|_| self.is_on) {
            state.streams[way as usize].end_chunk(ahead);
        }
    }
}

impl Detector {
    /// Keeps bytes that are next in a direction, for the rules of streams and for those that ask for payload beside what parsers tell.
    pub fn keep_stream(&mut self, place: &mut FlowPlace, way: Direction, fresh: &[u8]) {
        let Self { set, generation, flows, free, .. } = self;
        if fresh.is_empty() || !set.as_ref().is_some_and(|set| set.keeps_streams()) {
            return;
        }
        let window = &mut Self::state(flows, free, generation, place).streams[way as usize];
        window.push(fresh, CHUNK_BYTES);
    }

    /// The flow is over: what was not tried of its directions is tried.
    pub fn finish_streams(&mut self, place: FlowPlace, moment: &Moment, application: Option<&'static str>) {
        let Self { set, generation, flows, ledger, desk, hits, lane, .. } = self;
        let (Some(set), Some(state)) = (set, flows.get_mut(place.0 as usize)) else { return };
        state.follow(generation);
        if state.is_passed {
            return;
        }
        for way in [Direction::Forward, Direction::Reverse] {
            let mut found = std::mem::take(&mut desk.found);
            found.clear();
            let window = &mut state.streams[way as usize];
            window.late = 0;
            let (from, to) = moment.ends(way);
            let ports = (from.1, to.1);
            candidates((set.of_stream(way), generation), window, ports, &mut desk.search, &mut found);
            found.sort_unstable();
            found.dedup();
            let (src, dst) = moment.ends(way);
            for number in found.iter().copied() {
                let Some(signature) = set.signatures().get(number as usize) else { continue };
                let begun = set.profile().begin();
                let met = is_met((number, signature), state, moment, way, application, &ledger.hosts, desk);
                set.profile().end(begun, *lane, number, met == Met::Yes);
                note(&mut state.streams[way as usize], number, met);
                if met == Met::Yes {
                    let of = Of::stream(way);
                    let captured = &desk.tests.captured;
                    matched((number, captured), signature, state, ledger, of, (src, dst, moment.at_ns), hits);
                }
            }
            desk.found = found;
        }
    }

    /// Bytes of a direction are missing: what came before them and what comes do not belong together.
    pub fn stream_gap(&mut self, place: FlowPlace, way: Direction, len: u64) {
        if let Some(state) = self.flows.get_mut(place.0 as usize) {
            state.streams[way as usize].cut(len);
            state.frames.retain(|frame| frame.way != way);
        }
    }
}

/// Adds the rules that may match what came of a direction since this was asked last, to none: by their patterns, or because they
/// wait for more.
pub(super) fn candidates(
    (prefilter, generation): (&Prefilter, &Generation),
    window: &mut Window,
    ports: (u16, u16),
    search: &mut Scratch,
    found: &mut Vec<u32>,
) {
    let fresh = window.fresh - window.late;
    window.fresh = window.late;
    if fresh == 0 || prefilter.is_empty() {
        return;
    }
    window.since_told += fresh;
    if window.since_told >= CHUNK_BYTES {
        window.since_told = 0;
        window.told.clear();
    }
    if std::mem::take(&mut window.is_renewed)
        && let Some(succession) = &generation.succession
    {
        let glance = Glance { ports: Some(ports), bytes: window.tried(), size: None };
        for group in prefilter.groups() {
            group.candidates(&glance, search, found);
        }
        found.retain(|rule| succession.is_new(*rule));
    }
    // A pattern may have begun in what was tried before.
    let bytes = window.tried();
    let seen = bytes.len().saturating_sub(fresh);
    let from = seen.saturating_sub(PATTERN_BYTES_MAX - 1);
    let glance = Glance { ports: Some(ports), bytes, size: None };
    for group in prefilter.groups() {
        group.new_candidates(&glance, (from, seen - from), search, found);
    }
    prefilter.always_at(&glance, found);
    found.append(&mut window.waiting);
}

/// Whether a rule matches a direction.
pub(super) fn is_met(
    (number, signature): (u32, &Signature),
    state: &FlowState,
    moment: &Moment,
    way: Direction,
    application: Option<&'static str>,
    hosts: &HostBits,
    desk: &mut Desk,
) -> Met {
    let window = &state.streams[way as usize];
    let ((src, _), (dst, _)) = moment.ends(way);
    let flow = &signature.rule.flow;
    if window.told.contains(&number)
        || flow.way.is_some_and(|other| other != way)
        || flow.established.is_some_and(|wanted| wanted != moment.is_established)
        || !concerns_ends(&signature.rule.header, moment.protocol, moment.ends(way))
    {
        return Met::Never;
    }
    if !signature.is_of(application) {
        // What the flow speaks may become known.
        return if application.is_none() { Met::NotYet } else { Met::Never };
    }
    let facts = FlowFacts {
        application,
        original: moment.original,
        sizes: Some((&moment.counts, &state.streams)),
        ends: (src, dst),
    };
    let answers = signature.asks.iter().all(|ask| facts.answers(ask) == Some(true));
    let holds = answers
        && signature.remembered.holds(&state.memory)
        && signature.on_hosts.holds(hosts, Ends { src, dst, at_ns: moment.at_ns }, &[])
        && parts_hold(signature, desk, |_| Some(window.tried()));
    if holds { Met::Yes } else { Met::NotYet }
}

/// Whether a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Yes,
    /// More bytes may make it match.
    NotYet,
    Never,
}

/// Notes that a rule was told of a direction, or that it waits for more bytes.
pub(super) fn note(window: &mut Window, number: u32, met: Met) {
    match met {
        Met::Yes => window.told.push(number),
        Met::NotYet if window.waiting.len() < WAITING_MAX => window.waiting.push(number),
        Met::NotYet | Met::Never => {}
    }
}
