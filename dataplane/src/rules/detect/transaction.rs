//! Do rules match what a parser tells of a transaction? Told stage by stage and way by way.
//!
//! A rule may need pieces of several stages, and of both ways: which of its pieces hold is kept with the transaction. A rule is
//! told once of a transaction, and once each way where nothing of it says which way it goes, as Suricata tells it.

use super::flow::{Body, FlowCounts, FlowPlace, Transaction, Window};
use super::flow_facts::FlowFacts;
use super::matches::HITS_MAX;
use super::shown::{FieldId, Shown};
use super::waiting::Waiting;
use super::{Desk, Detector, Moment, Of, matched};
use crate::flow::Direction;
use crate::rules::host_bits::Ends;
use crate::rules::language::buffers::{BASE64_DATA, FILE_MAGIC, PAYLOAD, buffer};
use crate::rules::language::fields::FIELDS;
use crate::rules::packet::concerns_ends;
use crate::rules::prefilter::{Glance, PATTERN_BYTES_MAX};
use crate::rules::rule::{BufferId, Hook, PAIR_BITS};
use crate::rules::signature::{Absent, Ask, Signature};

/// Bytes of a body that are gathered before rules see them, where its end does not come first (Suricata's
/// `request-body-minimal-inspect-size`).
const BODY_BYTES: usize = 32 << 10;

/// Bytes of a body that stay when rules have seen it, so that what lies across is found (`request-body-inspect-window`).
const BODY_WINDOW_BYTES: usize = 4 << 10;

/// Bytes of a body that rules see (`request-body-limit`).
pub const BODY_BYTES_MAX: u64 = 100 << 10;

/// Rules that wait for more bytes of a body.
const WAITING_MAX: usize = 64;

/// Names of files.
pub(super) const FILE_NAME: BufferId = buffer("file.name");

/// Telling rules of one flow.
pub struct Telling<'a> {
    pub(crate) detector: &'a mut Detector,
    pub(crate) place: &'a mut FlowPlace,
    pub(crate) moment: Moment,
    /// Whether rules are asked at all.
    pub(crate) is_on: bool,
    /// Whether a match is acted on, so that it cannot wait for the end of a body.
    pub(crate) is_inline: bool,
}

impl<'a> Telling<'a> {
    /// Tells nobody: there are no rules.
    pub(crate) fn nobody(detector: &'a mut Detector, place: &'a mut FlowPlace) -> Self {
        let nobody = (crate::parse::Addr::default(), 0);
        let moment = Moment {
            initiator: nobody,
            responder: nobody,
            protocol: 0,
            is_established: false,
            original: None,
            at_ns: 0,
            counts: FlowCounts::default(),
        };
        Self { detector, place, moment, is_on: false, is_inline: false }
    }
}

impl Telling<'_> {
    /// Whether a rule asks for a buffer: what nobody asks for needs not be told.
    #[must_use]
    pub fn wants(&self, buffer: BufferId) -> bool {
        self.is_on && self.detector.wants(buffer)
    }

    /// Whether a rule asks what parsers object to.
    #[must_use]
    pub fn wants_events(&self) -> bool {
        self.is_on && self.detector.set.as_ref().is_some_and(|set| set.wants_events())
    }

    /// Whether there are rules at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Tells bytes of a buffer; of one that may be there several times, each time.
    pub fn show(&mut self, buffer: BufferId, bytes: &[u8]) {
        self.show_with(buffer, |out| out.extend_from_slice(bytes));
    }

    /// Tells bytes of a buffer that is made only where a rule asks for it.
    pub fn show_with(&mut self, buffer: BufferId, write: impl FnOnce(&mut Vec<u8>)) {
        if self.wants(buffer) {
            self.detector.shown.add_with(buffer, write);
        }
    }

    /// Whether a rule asks for a number.
    #[must_use]
    pub fn asks(&self, field: FieldId) -> bool {
        self.is_on && self.detector.set.as_ref().is_some_and(|set| set.asks(field.0))
    }

    /// Tells a number.
    pub fn number(&mut self, field: FieldId, number: u64) {
        if self.asks(field) {
            self.detector.shown.add_number(field, number);
        }
    }

    /// Tells what was gathered of a transaction whose end was waited for.
    pub fn show_gathered(&mut self, gathered: &Gathered) {
        if let Some(shown) = gathered.0.as_deref().filter(|_| self.is_on) {
            self.detector.shown.keep(shown, |_| true);
        }
    }

    /// Tells an interface of DCE/RPC that a call is of: its UUID as it is written, its version, and whether a first fragment
    /// named it.
    pub fn interface(&mut self, uuid: [u8; 16], version: u16, is_first: bool) {
        if self.is_on {
            self.detector.shown.add_interface(uuid, version, is_first);
        }
    }

    /// The flow is over: what was gathered of bodies is shown.
    pub fn finish(&mut self) {
        self.finish_frames();
        let Some(state) = self.detector.flows.get_mut(self.place.0 as usize) else { return };
        for (transaction, mut body) in state.take_bodies() {
            if self.is_on && body.seen < body.bytes.len() {
                self.detector.shown.lend(body.buffers, std::mem::take(&mut body.bytes));
                self.stage(body.application, transaction, body.way, true);
                self.detector.shown.take_back();
            }
        }
    }

    /// Tells something that a parser objects to.
    pub fn event(&mut self, event: &'static str) {
        if self.wants_events() {
            self.detector.shown.add_event(event);
        }
    }

    /// What was told belongs to this transaction of `application`, and goes `way`; rules are asked now. After `is_last` nothing
    /// more of it goes that way.
    pub fn stage(&mut self, application: &'static str, transaction: u32, way: Direction, is_last: bool) {
        if !self.is_on {
            return;
        }
        let stage = Stage { application, transaction, way, is_last, each_way: false, body: None };
        self.detector.stage(self.place, &self.moment, &stage);
    }

    /// Tells something that a parser of `application` objects to, of both ends: rules match it each way.
    pub fn event_each_way(&mut self, application: &'static str, transaction: u32, event: &'static str) {
        if !self.wants_events() {
            return;
        }
        for way in [Direction::Forward, Direction::Reverse] {
            self.detector.shown.add_event(event);
            let stage = Stage { application, transaction, way, is_last: false, each_way: true, body: None };
            self.detector.stage(self.place, &self.moment, &stage);
        }
    }

    /// Something was met that is of no transaction (`applayer_*`): rules of packets are asked with the packet.
    pub fn meet(&mut self, event: &'static str) {
        if self.is_on {
            self.detector.meet(event);
        }
    }

    /// A piece of a body, in order, which rules see in each of `buffers`: when there is enough of it, or at its end.
    pub fn body(
        &mut self,
        application: &'static str,
        (transaction, buffers): (u32, &'static [BufferId]),
        way: Direction,
        bytes: &[u8],
        is_end: bool,
    ) {
        if !buffers.iter().any(|buffer| self.wants(*buffer)) {
            return;
        }
        let Detector { flows, free, generation, .. } = &mut *self.detector;
        let state = Detector::state(flows, free, generation, self.place);
        let one = state.transaction(transaction);
        let place = one.bodies.iter().position(|body| body.buffers == buffers && body.way == way);
        let body = match place {
            Some(place) => &mut one.bodies[place],
            None if bytes.is_empty() => return,
            None => {
                one.bodies.push(Body::new(application, buffers, way));
                let last = one.bodies.len() - 1;
                &mut one.bodies[last]
            }
        };
        let passed = body.before + body.bytes.len() as u64;
        let left = usize::try_from(BODY_BYTES_MAX.saturating_sub(passed)).unwrap_or(usize::MAX);
        body.add(&bytes[..bytes.len().min(left)], BODY_BYTES);
        let is_full = body.bytes.len() >= BODY_BYTES;
        let fresh = body.bytes.len() - body.seen;
        // Where a match is acted on, each piece counts; what was seen is looked at again as often as it grows by a part.
        let is_due = self.is_inline && fresh > 0 && fresh * 8 >= body.bytes.len();
        if fresh == 0 || !(is_full || is_end || is_due) {
            if is_end {
                one.bodies.retain(|body| !(body.buffers == buffers && body.way == way));
            }
            return;
        }
        body.seen = body.bytes.len();
        let shown = std::mem::take(&mut body.bytes);
        self.detector.shown.lend(buffers, shown);
        let stage =
            Stage { application, transaction, way, is_last: false, each_way: false, body: Some(buffers) };
        self.detector.stage(self.place, &self.moment, &stage);
        let shown = self.detector.shown.take_back();
        let Detector { flows, free, generation, .. } = &mut *self.detector;
        let one = Detector::state(flows, free, generation, self.place).transaction(transaction);
        if is_end {
            one.bodies.retain(|body| !(body.buffers == buffers && body.way == way));
        } else if let Some(body) =
            one.bodies.iter_mut().find(|body| body.buffers == buffers && body.way == way)
        {
            body.bytes = shown;
            if is_full {
                let gone = body.bytes.len() - BODY_WINDOW_BYTES;
                body.bytes.drain(..gone);
                body.before += gone as u64;
                body.seen = body.bytes.len();
                body.searched = 0;
                body.waiting.clear();
            }
        }
    }

    /// Whether a rule says that no record of a transaction is written.
    #[must_use]
    pub fn is_hidden(&self, transaction: u32) -> bool {
        let state = self.detector.flows.get(self.place.0 as usize);
        state.is_some_and(|state| state.is_hidden(transaction))
    }

    /// What is known of a transaction, for the alerts of rules that matched it with this packet. Nothing is kept where none did.
    pub fn attach(&mut self, transaction: u32, event_type: &'static str, fields: &[u8]) {
        let Detector { hits, records: [records, _], .. } = &mut *self.detector;
        let is_met = hits.iter().any(|hit| hit.transaction == Some(transaction));
        if is_met && records.iter().all(|(number, ..)| *number != transaction) {
            records.push((transaction, event_type, fields.into()));
        }
    }

    /// A transaction is over.
    pub fn end(&mut self, transaction: u32) {
        if let Some(state) = self.detector.flows.get_mut(self.place.0 as usize) {
            state.end_transaction(transaction);
        }
    }
}

/// What rules are to be told of a transaction later: nothing is allocated where they do not ask for it.
#[derive(Debug, Default)]
pub struct Gathered(Option<Box<Shown>>);

impl Gathered {
    /// Adds bytes of a buffer.
    pub fn show(&mut self, rules: &Telling<'_>, buffer: BufferId, bytes: &[u8]) {
        if rules.wants(buffer) {
            let bytes = &bytes[..bytes.len().min(GATHERED_BYTES_MAX)];
            let shown = self.0.get_or_insert_default();
            if shown.len() + bytes.len() <= GATHERED_BYTES_MAX {
                shown.add_with(buffer, |out| out.extend_from_slice(bytes));
            }
        }
    }

    /// Adds a number.
    pub fn number(&mut self, rules: &Telling<'_>, field: FieldId, number: u64) {
        if rules.asks(field) {
            self.0.get_or_insert_default().add_number(field, number);
        }
    }

    /// Adds what was gathered of another message.
    pub fn append(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(own), Some(other)) => own.keep(&other, |_| true),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }
}

/// Bytes that are gathered of one transaction.
const GATHERED_BYTES_MAX: usize = 8 << 10;

impl std::fmt::Debug for Telling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telling")
            .field("is_on", &self.is_on)
            .field("moment", &self.moment)
            .finish_non_exhaustive()
    }
}

/// What a parser has told so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub application: &'static str,
    pub transaction: u32,
    pub way: Direction,
    pub is_last: bool,
    /// Events count each way.
    pub each_way: bool,
    /// What is shown is the body of a message as far as it came, in these buffers.
    pub body: Option<&'static [BufferId]>,
}

impl Detector {
    fn stage(&mut self, place: &mut FlowPlace, moment: &Moment, stage: &Stage) {
        if self.flows.get(place.0 as usize).is_some_and(|state| state.is_passed || state.is_ending) {
            self.shown.clear();
            return;
        }
        let Self { set, generation, flows, free, ledger, shown, desk, hits, files, lane, .. } = self;
        let Some(set) = set else { return };
        let Some(prefilter) = set.of_application(stage.application, stage.way) else {
            shown.clear();
            return;
        };
        let state = Self::state(flows, free, generation, place);
        let mut found = std::mem::take(&mut desk.found);
        found.clear();
        prefilter.always((moment.initiator.1, moment.responder.1), &mut found);
        let one = state.transaction(stage.transaction);
        let of_body = |body: &&mut Body| Some(body.buffers) == stage.body && body.way == stage.way;
        let mut body = one.bodies.iter_mut().find(of_body);
        let mut waiting = std::mem::take(&mut desk.waiting);
        waiting.clear();
        for group in prefilter.groups() {
            for bytes in shown.any_of(group.buffers()) {
                let glance = Glance { ports: None, bytes, size: None };
                match &mut body {
                    Some(body)
                        if group.is_plain()
                            && body.buffers.iter().any(|one| group.buffers().contains(one)) =>
                    {
                        // A pattern may have begun in what was searched before.
                        let from = body.searched.saturating_sub(PATTERN_BYTES_MAX - 1).min(bytes.len());
                        let seen = body.searched.saturating_sub(from);
                        group.new_candidates(&glance, (from, seen), &mut desk.search, &mut waiting);
                        body.try_again(set, bytes, &mut waiting);
                        body.searched = bytes.len();
                    }
                    _ => group.candidates(&glance, &mut desk.search, &mut found),
                }
            }
        }
        waiting.sort_unstable();
        waiting.dedup();
        found.extend_from_slice(&waiting);
        let is_touched = |rule: &u32| match (stage.body, set.signatures().get(*rule as usize)) {
            (Some(body), Some(signature)) if shown.is_body_alone() => signature.is_touched_by(body),
            _ => true,
        };
        let still = body.map_or(&[][..], |body| &body.waiting);
        let is_waiting = |rule: &u32| still.iter().any(|one| one.rule == *rule);
        let held = one.held.iter().flatten().map(|(rule, _)| *rule);
        found.extend(held.filter(|rule| !is_waiting(rule) && is_touched(rule)));
        found.sort_unstable();
        found.dedup();
        let (src, dst) = moment.ends(stage.way);
        let ends = Ends { src: src.0, dst: dst.0, at_ns: moment.at_ns };
        for number in &found {
            let Some(signature) = set.signatures().get(*number as usize) else { continue };
            let (memory, streams, one) = state.split(stage.transaction);
            let kept = &one.kept;
            let asked = Asked { stage, moment, shown, kept, streams };
            let begun = set.profile().begin();
            if !asked.concerns(signature, one, *number) {
                waiting.retain(|waiting| waiting != number);
                set.profile().end(begun, *lane, *number, false);
                continue;
            }
            // The state that the rule names may not be reached.
            let is_early = matches!(signature.rule.header.hook, Some(Hook::Transaction { is_end: true, .. }))
                && !stage.is_last;
            let is_remembered = signature.remembered.holds(memory)
                && signature.on_hosts.holds(&ledger.hosts, ends, &one.bits);
            let held_of = if signature.is_told_each_way { stage.way } else { Direction::Forward };
            let held = one.pieces(*number, held_of);
            let pieces = asked.pieces(signature, held, is_remembered && !is_early, desk);
            let is_met = !is_early && pieces == signature.all_pieces() && is_remembered;
            set.profile().end(begun, *lane, *number, is_met);
            if !signature.rule.captures.is_empty() {
                one.recapture(*number, is_met, &mut desk.tests.captured);
            }
            if !is_met {
                one.hold(*number, held_of, pieces);
                continue;
            }
            one.tell(*number, stage.way, held_of);
            waiting.retain(|waiting| waiting != number);
            one.is_hidden |= signature.hides_record;
            let of = Of { transaction: Some(stage.transaction), ..Of::stream(stage.way) };
            let captured = &desk.tests.captured;
            matched((*number, captured), signature, state, ledger, of, (src, dst, moment.at_ns), hits);
            if let Some(file) = state.transaction(stage.transaction).file.as_deref()
                && files[0].len() < HITS_MAX
            {
                files[0].push((*number, stage.transaction, file.so_far.clone()));
            }
        }
        desk.found = found;
        let one = state.transaction(stage.transaction);
        if let Some(body) = one.bodies.iter_mut().find(of_body) {
            // Where too many wait, all of it is searched again.
            if waiting.len() + body.waiting.len() > WAITING_MAX {
                body.searched = 0;
                body.waiting.clear();
            } else {
                let bytes = shown.lent();
                body.waiting.extend(waiting.iter().map(|rule| Waiting::new(*rule, set, body.buffers, bytes)));
            }
        }
        desk.waiting = waiting;
        if !(stage.is_last && stage.way == Direction::Reverse) {
            one.kept[stage.way as usize].keep(shown, |buffer| set.keeps(buffer));
        }
        shown.clear();
    }
}

/// What a rule is asked about.
struct Asked<'a> {
    stage: &'a Stage,
    moment: &'a Moment,
    shown: &'a Shown,
    /// What was shown at earlier stages, of each way.
    kept: &'a [Shown; 2],
    streams: &'a [Window; 2],
}

impl Asked<'_> {
    /// Whether the rule asks about this flow and way, and was not told of it.
    fn concerns(&self, signature: &Signature, one: &Transaction, number: u32) -> bool {
        let way = self.stage.way;
        // A rule of whole transactions says where requests go.
        let sent = if signature.rule.header.is_of_transactions { Direction::Forward } else { way };
        let of_one_way = signature.parts.iter().any(|part| part.way.is_some())
            || signature.way().is_some()
            || signature
                .asks
                .iter()
                .any(|ask| (!self.stage.each_way && matches!(ask, Ask::Event(..))) || is_of_transaction(ask));
        signature.is_of(Some(self.stage.application))
            && !one.is_told(number, way, of_one_way)
            && signature.rule.flow.established.is_none_or(|wanted| wanted == self.moment.is_established)
            && concerns_ends(&signature.rule.header, self.moment.protocol, self.moment.ends(sent))
    }

    /// Which pieces hold, those included that held before. `is_remembered`: what the rule asks of memory holds.
    fn pieces(&self, signature: &Signature, held: u64, is_remembered: bool, desk: &mut Desk) -> u64 {
        let Desk { changed, tests, .. } = desk;
        signature.scratch(tests);
        let way = self.stage.way;
        let mut pieces = held;
        for (place, ask) in signature.asks.iter().enumerate() {
            let bit = 1 << (signature.parts.len() + place);
            if pieces & bit == 0 && self.answers(ask) {
                pieces |= bit;
            }
        }
        for (place, part) in signature.parts.iter().enumerate() {
            let bit = 1 << place;
            if pieces & bit != 0 {
                continue;
            }
            let others = signature.all_pieces() & !bit;
            if part.changes_a_set() && !(is_remembered && pieces & others == others) {
                break;
            }
            // Of what goes the other way, what was shown before counts.
            let is_before = part.way.is_some_and(|other| other != way);
            let holds = match part.buffer {
                PAYLOAD => part.holds(self.streams[way as usize].bytes(), tests, changed),
                buffer if is_before => self.kept[way.opposite() as usize]
                    .all_of(buffer)
                    .any(|bytes| part.holds(bytes, tests, changed)),
                BASE64_DATA => part.holds_decoded(tests, changed),
                buffer => {
                    let mut all = self.all_of(buffer).peekable();
                    if all.peek().is_none() {
                        part.absent != Absent::Fails && self.stage.is_last
                    } else {
                        all.any(|bytes| part.holds(bytes, tests, changed))
                    }
                }
            };
            if holds {
                pieces |= bit;
            } else if part.is_payload() {
                // What follows may depend on it.
                break;
            }
        }
        pieces
    }

    /// What is shown of a buffer and was shown before: of one that both ways have, this way's.
    fn all_of(&self, buffer: BufferId) -> impl Iterator<Item = &[u8]> {
        let way = buffer.buffer().way.unwrap_or(self.stage.way);
        self.shown.all_of(buffer).chain(self.kept[way as usize].all_of(buffer))
    }

    fn numbers_of(&self, field: u16) -> impl Iterator<Item = u64> + Clone {
        self.shown.numbers_of(field).chain(self.kept.iter().flat_map(move |kept| kept.numbers_of(field)))
    }

    /// What was shown before of what goes this way.
    const fn kept_here(&self) -> &Shown {
        &self.kept[self.stage.way as usize]
    }

    fn answers(&self, ask: &Ask) -> bool {
        match ask {
            // Of several numbers, all must be there before one says which is meant.
            Ask::Number(_, _, chosen) if chosen.is_of_all() && !self.stage.is_last => false,
            Ask::Number(field, test, chosen) => chosen.holds(test, self.numbers_of(*field)),
            Ask::OneOf(field, spans, is_negated) => self.numbers_of(*field).any(|number| {
                spans.iter().any(|span| (span.low..=span.high).contains(&number)) != *is_negated
            }),
            Ask::Span(field, test) => {
                let mut numbers = self.numbers_of(*field);
                std::iter::from_fn(|| numbers.next().zip(numbers.next()))
                    .any(|(low, high)| test.holds_within(low, high))
            }
            Ask::Pair(field, high, low) => self
                .numbers_of(*field)
                .any(|number| high.holds(number >> PAIR_BITS) && low.holds(number & ((1 << PAIR_BITS) - 1))),
            Ask::Size(buffer, test) => self.all_of(*buffer).any(|bytes| test.holds(bytes.len() as u64)),
            Ask::Event(_, event) => self.shown.has_event(event),
            Ask::Interface(asked) => self.shown.interfaces().iter().any(|(uuid, version, is_first)| {
                asked.uuid == *uuid
                    && (asked.any_fragment || *is_first)
                    && asked.version.is_none_or(|test| test.holds(u64::from(*version)))
            }),
            Ask::FileSize(test) => {
                self.shown.file_size().or(self.kept_here().file_size()).is_some_and(|size| test.holds(size))
            }
            Ask::FileHash { is_negated, kind, list } => {
                let mut all = self.shown.file_hashes().iter().chain(self.kept_here().file_hashes());
                all.any(|(own, hash)| own == kind && list.has(hash) != *is_negated)
            }
            Ask::FileName { is_negated, is_end, text } => {
                self.all_of(FILE_NAME).any(|name| has_text(name, text.as_bytes(), *is_end) != *is_negated)
            }
            Ask::FileMagic { is_negated, text } => {
                self.all_of(FILE_MAGIC).any(|magic| has_text(magic, text, false) != *is_negated)
            }
            Ask::Protocol(_)
            | Ask::StreamSize(_)
            | Ask::Flow(..)
            | Ask::Country(..)
            | Ask::Reputation(..)
            | Ask::Decode(_)
            | Ask::Stream(_) => {
                let (src, dst) = self.moment.ends(self.stage.way);
                let facts = FlowFacts {
                    application: Some(self.stage.application),
                    original: self.moment.original,
                    sizes: Some((&self.moment.counts, self.streams)),
                    ends: (src.0, dst.0),
                };
                facts.answers(ask) == Some(true)
            }
        }
    }
}

/// Whether a number is of a whole transaction, both ways; each hello of TLS has its own, and each side of a call of DCE/RPC.
fn is_of_transaction(ask: &Ask) -> bool {
    let field = ask.field().and_then(|field| FIELDS.get(usize::from(field)));
    field.is_some_and(|field| !field.of.contains(&"tls") && !field.of.contains(&"dcerpc"))
}

/// Whether a name has a text, at its end or anywhere.
fn has_text(name: &[u8], text: &[u8], is_end: bool) -> bool {
    if is_end {
        let end = name.len().checked_sub(text.len()).and_then(|at| name.get(at..));
        return end.is_some_and(|end| end.eq_ignore_ascii_case(text));
    }
    text.is_empty() || name.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
}
