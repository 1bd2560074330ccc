//! What does one flow have of the rules? What it remembers, what was matched in part, and the end of each direction's bytes.

use super::file::FileOfTransaction;
use super::frame::Open;
use super::shown::Shown;
use super::waiting::Waiting;
use crate::flow::Direction;
use crate::rules::captured::Captured;
use crate::rules::counting::Counter;
use crate::rules::memory::FlowMemory;
use crate::rules::rule::{BufferId, FlowNumber, NumberTest, StreamEnd};
use crate::verdict::Verdict;

/// Transactions of a flow that are under way at once; the oldest goes first.
const TRANSACTIONS_MAX: usize = 64;

/// Rules of one transaction that were told, or matched in part.
const NOTED_MAX: usize = 256;

/// Rules of one transaction that captured something and are not met yet.
const CAPTURED_MAX: usize = 4;

/// Counters of one flow (`track by_flow`).
const COUNTERS_MAX: usize = 32;

/// Where a flow's state lies; [`NO_STATE`] where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowPlace(pub u32);

/// No place.
pub const NO_STATE: u32 = u32::MAX;

impl Default for FlowPlace {
    fn default() -> Self {
        Self(NO_STATE)
    }
}

/// What rules made of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuledFlow {
    /// A rule was told of it.
    pub is_alerted: bool,
    /// What a rule said of all of it.
    pub action: Option<FlowAction>,
}

/// What a rule says of a whole flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowAction {
    /// No other rule is asked.
    Pass,
    /// It is dropped or refused; beside the wire that is advice.
    Drop,
}

/// How much a flow has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowCounts {
    /// Seconds since it began.
    pub age_s: u64,
    /// Packets of the initiator, and of the responder.
    pub packets: [u64; 2],
    /// Bytes with all headers.
    pub bytes: [u64; 2],
}

impl FlowCounts {
    pub(super) fn answers(&self, number: FlowNumber, test: &NumberTest) -> bool {
        let of = |ends, [client, server]: [u64; 2]| match ends {
            StreamEnd::Client => test.holds(client),
            StreamEnd::Server => test.holds(server),
            StreamEnd::Both => test.holds(client) && test.holds(server),
            StreamEnd::Either => test.holds(client) || test.holds(server),
        };
        match number {
            FlowNumber::Age => test.holds(self.age_s),
            FlowNumber::Packets(ends) => of(ends, self.packets),
            FlowNumber::Bytes(ends) => of(ends, self.bytes),
            FlowNumber::AllPackets => test.holds(self.packets[0] + self.packets[1]),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct FlowState {
    /// Of the set whose numbers the notes have.
    pub generation: u32,
    pub memory: FlowMemory,
    pub counters: Counters,
    pub streams: [Window; 2],
    pub transactions: Vec<Transaction>,
    /// Rules of what the flow speaks that were told.
    pub told: Vec<u32>,
    /// Frames of which more is to come.
    pub frames: Vec<Open>,
    pub is_passed: bool,
    pub is_alerted: bool,
    /// A rule that is not acted on dropped the flow: what came of its streams is tried, and then nothing.
    pub is_ending: bool,
    /// What a rule made of the flow.
    pub ruled: Option<Verdict>,
}

/// Counters by rule.
#[derive(Debug, Default)]
pub(super) struct Counters(pub Vec<(u32, Counter)>);

impl Counters {
    /// That of a rule; `None`: there is no room.
    pub(super) fn of(&mut self, rule: u32) -> Option<&mut Counter> {
        let place = match self.0.iter().position(|(number, _)| *number == rule) {
            Some(place) => place,
            None if self.0.len() < COUNTERS_MAX => {
                self.0.push((rule, Counter::default()));
                self.0.len() - 1
            }
            None => return None,
        };
        self.0.get_mut(place).map(|(_, counter)| counter)
    }
}

/// Bytes at which nobody looks any more and that are not taken out yet.
const GONE_MAX: usize = 4 << 10;

/// The end of what a direction has brought in order.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Bytes at the beginning of `bytes` at which nobody looks any more: taken out some together.
    gone: usize,
    /// Bytes that came before those that are looked at.
    before: u64,
    /// Bytes at the end that were not tried yet.
    pub fresh: usize,
    /// Of these, bytes that came with the packet that is looked at.
    pub late: usize,
    /// Of what is kept, bytes at the beginning that belong to chunks which are over: rules of streams do not look at them.
    chunk: usize,
    /// Where the chunk that is looked at ends: with what is tried when so much has come.
    chunk_end: Option<u64>,
    /// Where the last message ends that is known.
    message_end: u64,
    /// Bytes since rules that were told may be told again.
    pub since_told: usize,
    pub told: Vec<u32>,
    /// Rules of which a pattern was seen and which did not match yet.
    pub waiting: Vec<u32>,
    /// Rules have come into force that have not seen what is kept.
    pub is_renewed: bool,
}

impl Window {
    /// The end of what came.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.gone..).unwrap_or_default()
    }

    /// What may be tried now.
    pub(super) fn tried(&self) -> &[u8] {
        let bytes = self.bytes();
        let end = bytes.len() - self.late.min(bytes.len());
        &bytes[self.chunk.min(end)..end]
    }

    /// A message ends `ahead` bytes behind what came: what comes after it is looked at for itself.
    pub(super) fn end_chunk(&mut self, ahead: u64) {
        self.message_end = self.passed() + ahead;
        self.chunk_end.get_or_insert(self.message_end);
    }

    /// Whether what may be tried is a chunk: a message, or so many bytes.
    pub(super) fn has_chunk(&self, bytes: usize) -> bool {
        let tried = self.passed() - self.late as u64;
        self.chunk_end.is_some_and(|end| end <= tried) || self.fresh - self.late >= bytes
    }

    /// All that may be tried was tried: where a message ended in it, the next chunk begins.
    pub(super) fn begin_chunk(&mut self) {
        let tried = self.passed() - self.late as u64;
        if self.chunk_end.is_some_and(|end| end <= tried) {
            self.chunk_end = Some(self.message_end).filter(|end| *end > tried);
            self.chunk = self.bytes().len() - self.late.min(self.bytes().len());
            self.since_told = 0;
            self.told.clear();
            self.waiting.clear();
        }
    }

    /// Bytes that came in order so far.
    pub(super) fn passed(&self) -> u64 {
        self.before + self.bytes().len() as u64
    }

    /// Keeps the next bytes, and of those before them that were tried at most `kept`.
    pub(super) fn push(&mut self, fresh: &[u8], kept: usize) {
        let surplus = self.bytes().len().saturating_sub(kept.max(self.fresh));
        self.before += surplus as u64;
        self.chunk = self.chunk.saturating_sub(surplus);
        self.gone += surplus;
        if self.gone >= GONE_MAX {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
        self.bytes.extend_from_slice(fresh);
        self.fresh += fresh.len();
        self.late += fresh.len();
    }

    /// What came, and `len` bytes after it, do not belong together with what comes.
    pub(super) fn cut(&mut self, len: u64) {
        self.before = self.passed() + len;
        self.bytes.clear();
        self.waiting.clear();
        (self.gone, self.fresh, self.late, self.chunk) = (0, 0, 0, 0);
        self.is_renewed = false;
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.told.clear();
        self.waiting.clear();
        *self = Self {
            bytes: std::mem::take(&mut self.bytes),
            told: std::mem::take(&mut self.told),
            waiting: std::mem::take(&mut self.waiting),
            ..Self::default()
        };
    }
}

/// What is known of one transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub number: u32,
    /// What it remembers (`xbits` with `track tx`).
    pub bits: Vec<u16>,
    /// Rules that were told, and of which way.
    pub told: Vec<(u32, Direction)>,
    /// Rules that matched in part: which pieces hold, of each way for itself where a rule is told each way.
    pub held: [Vec<(u32, u64)>; 2],
    /// What these captured at earlier stages.
    pub captured: Vec<(u32, Captured)>,
    /// What was shown that rules ask for at later stages, too, of each way: a buffer that both ways have is another one each way.
    pub kept: [Shown; 2],
    /// Bytes that come piece by piece.
    pub bodies: Vec<Body>,
    /// The file that it carries now, or has carried last.
    pub file: Option<Box<FileOfTransaction>>,
    /// A rule says that no record of it is written.
    pub is_hidden: bool,
}

/// Buffers whose bytes, the same in each of them, come piece by piece.
#[derive(Debug)]
pub(super) struct Body {
    /// Of what it is.
    pub application: &'static str,
    pub buffers: &'static [BufferId],
    pub way: Direction,
    pub bytes: Vec<u8>,
    /// Bytes that were looked at.
    pub seen: usize,
    /// Bytes at the beginning that were searched for patterns.
    pub searched: usize,
    /// Rules whose patterns were found there, and which more bytes may make match.
    pub waiting: Vec<Waiting>,
    /// Bytes that came before `bytes`.
    pub before: u64,
}

/// Bytes of a body from which on it gets the room that it may need in all: short bodies are many.
const SHORT_BODY_BYTES: usize = 4 << 10;

impl Body {
    pub(super) const fn new(application: &'static str, buffers: &'static [BufferId], way: Direction) -> Self {
        Self {
            application,
            buffers,
            way,
            bytes: Vec::new(),
            seen: 0,
            searched: 0,
            waiting: Vec::new(),
            before: 0,
        }
    }

    /// Adds bytes; they are looked at when there are `enough` of them.
    pub(super) fn add(&mut self, bytes: &[u8], enough: usize) {
        let len = self.bytes.len() + bytes.len();
        if len > SHORT_BODY_BYTES && len > self.bytes.capacity() {
            self.bytes.reserve_exact(len.max(enough + SHORT_BODY_BYTES) - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }
}

impl Transaction {
    pub(super) fn is_told(&self, rule: u32, way: Direction, of_one_way: bool) -> bool {
        self.told.iter().any(|(told, other)| *told == rule && (of_one_way || *other == way))
    }

    /// A rule was told of one way; what of it holds, under `held_of`, counts no more.
    pub(super) fn tell(&mut self, rule: u32, way: Direction, held_of: Direction) {
        if self.told.len() < NOTED_MAX {
            self.told.push((rule, way));
        }
        self.held[held_of as usize].retain(|(held, _)| *held != rule);
    }

    /// The pieces of a rule that hold `way`.
    pub(super) fn pieces(&self, rule: u32, way: Direction) -> u64 {
        self.held[way as usize].iter().find(|(held, _)| *held == rule).map_or(0, |(_, pieces)| *pieces)
    }

    pub(super) fn hold(&mut self, rule: u32, way: Direction, pieces: u64) {
        let all = &mut self.held[way as usize];
        match all.iter().position(|(held, _)| *held == rule) {
            Some(place) => all[place].1 = pieces,
            None if pieces != 0 && all.len() < NOTED_MAX => all.push((rule, pieces)),
            None => {}
        }
    }

    /// Puts together what a rule captured at earlier stages and now; where it is not met yet, that is kept for later ones.
    #[cold]
    pub(super) fn recapture(&mut self, rule: u32, is_met: bool, now: &mut Captured) {
        if let Some(place) = self.captured.iter().position(|(other, _)| *other == rule) {
            let (_, before) = self.captured.swap_remove(place);
            now.extend(&before);
        }
        if !is_met && !now.is_empty() && self.captured.len() < CAPTURED_MAX {
            self.captured.push((rule, now.clone()));
        }
    }

    fn begin(&mut self, number: u32) {
        self.number = number;
        self.bits.clear();
        self.told.clear();
        self.held.iter_mut().for_each(Vec::clear);
        self.kept.iter_mut().for_each(Shown::clear);
        self.captured.clear();
        self.bodies.clear();
        self.file = None;
        self.is_hidden = false;
    }
}

impl FlowState {
    /// Forgets the flow, and keeps its memory for the next one.
    pub(super) fn clear(&mut self) {
        self.memory.clear();
        self.counters.0.clear();
        for way in &mut self.streams {
            way.clear();
        }
        self.transactions.clear();
        self.told.clear();
        self.frames.clear();
        (self.is_passed, self.is_ending, self.is_alerted, self.ruled) = (false, false, false, None);
    }

    /// What rules made of the flow.
    pub(super) const fn outcome(&self) -> RuledFlow {
        let action = match () {
            () if self.is_ending || self.ruled.is_some() => Some(FlowAction::Drop),
            () if self.is_passed => Some(FlowAction::Pass),
            () => None,
        };
        RuledFlow { is_alerted: self.is_alerted, action }
    }

    /// A transaction, which begins where it is not known.
    pub(super) fn transaction(&mut self, number: u32) -> &mut Transaction {
        transaction(&mut self.transactions, number)
    }

    /// All bodies, with the transactions that they are of.
    pub(super) fn take_bodies(&mut self) -> Vec<(u32, Body)> {
        let each = |one: &mut Transaction| {
            let number = one.number;
            std::mem::take(&mut one.bodies).into_iter().map(move |body| (number, body)).collect::<Vec<_>>()
        };
        self.transactions.iter_mut().flat_map(each).collect()
    }

    /// Whether a rule says that no record of a transaction is written.
    pub(super) fn is_hidden(&self, number: u32) -> bool {
        self.transactions.iter().any(|one| one.number == number && one.is_hidden)
    }

    /// A transaction that is under way.
    pub(super) fn known_transaction(&self, number: u32) -> Option<&Transaction> {
        self.transactions.iter().find(|one| one.number == number)
    }

    pub(super) fn known_transaction_mut(&mut self, number: u32) -> Option<&mut Transaction> {
        self.transactions.iter_mut().find(|one| one.number == number)
    }

    /// A transaction is over.
    pub(super) fn end_transaction(&mut self, number: u32) {
        self.transactions.retain(|one| one.number != number);
    }

    /// The windows with what is remembered, and a transaction.
    pub(super) fn split(&mut self, number: u32) -> (&mut FlowMemory, &[Window; 2], &mut Transaction) {
        let Self { memory, streams, transactions, .. } = self;
        (memory, streams, transaction(transactions, number))
    }
}

fn transaction(all: &mut Vec<Transaction>, number: u32) -> &mut Transaction {
    let place = match all.iter().position(|one| one.number == number) {
        Some(place) => place,
        None => {
            let mut one = if all.len() >= TRANSACTIONS_MAX { all.remove(0) } else { Transaction::default() };
            one.begin(number);
            all.push(one);
            all.len() - 1
        }
    };
    &mut all[place]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_ends_with_what_came_when_its_message_was_over() {
        let mut window = Window::default();
        window.push(b"one ", 100);
        window.end_chunk(4);
        window.late = 0;
        window.begin_chunk();
        assert_eq!(window.tried(), b"one ", "more of the message is to come");
        window.push(b"bodytwo ", 100);
        window.told.push(7);
        window.begin_chunk();
        assert_eq!(window.tried(), b"one ", "it came with this packet");
        window.late = 0;
        assert_eq!(window.tried(), b"one bodytwo ");
        window.push(b"three", 100);
        window.begin_chunk();
        window.late = 0;
        assert_eq!((window.tried(), window.told.len()), (&b"three"[..], 0));
        assert_eq!((window.bytes(), window.passed()), (&b"one bodytwo three"[..], 17));
        assert!(!window.has_chunk(100));
        window.end_chunk(0);
        window.push(b"four", 2);
        window.end_chunk(0);
        window.late = 0;
        assert!(window.has_chunk(100));
        window.begin_chunk();
        assert_eq!(window.tried(), b"", "both messages were in it");
    }

    #[test]
    fn what_holds_of_a_rule_is_forgotten_when_it_is_told_whatever_way() {
        let (forward, reverse) = (Direction::Forward, Direction::Reverse);
        let mut one = Transaction::default();
        one.hold(7, forward, 1);
        one.hold(8, reverse, 1);
        one.tell(7, reverse, forward);
        assert_eq!(one.held, [vec![], vec![(8, 1)]]);
        assert!(one.is_told(7, reverse, false) && !one.is_told(7, forward, false));
    }
}
