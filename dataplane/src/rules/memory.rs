//! What is remembered of a flow from one match to the next: `flowbits`, `flowint`, and what expressions captured.
//!
//! Names become numbers when rules are loaded, so that a flow keeps two bytes for a bit that is set and six for a number.

use std::collections::HashMap;
use std::sync::Arc;

use super::datasets::Datasets;
use super::rule::{
    BitQuery, CaptureKind, Condition, Effect, IntChange, IntComparison, IntQuery, IntValue, Rule, Where,
};

/// Bits, and numbers, that one flow keeps; more are not remembered.
pub const KEPT_MAX: usize = 256;

/// Names of what is remembered, of all rules together.
#[derive(Debug, Default)]
pub struct Names {
    /// Sets of data, by name too.
    pub datasets: Arc<Datasets>,
    numbers: HashMap<Arc<str>, u16>,
}

/// There are more names than numbers for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rules remember things under more than {} names", u16::MAX)]
pub struct TooManyNames;

impl Names {
    /// With these sets of data, and no names yet.
    #[must_use]
    pub fn with_datasets(datasets: Datasets) -> Self {
        Self { datasets: Arc::new(datasets), ..Self::default() }
    }

    /// All names, by their numbers.
    pub(super) fn in_order(&self) -> Vec<Arc<str>> {
        let mut all: Vec<_> = self.numbers.iter().collect();
        all.sort_unstable_by_key(|(_, number)| **number);
        all.into_iter().map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The number of a name.
    pub(super) fn number(&mut self, name: &str) -> Result<u16, TooManyNames> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = u16::try_from(self.numbers.len()).map_err(|_| TooManyNames)?;
        self.numbers.insert(name.into(), number);
        Ok(number)
    }
}

/// What one flow has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowMemory {
    /// Bits that are set, sorted.
    bits: Vec<u16>,
    /// Numbers that are set, sorted by their names.
    numbers: Vec<(u16, u32)>,
    /// What expressions captured of the flow.
    of_flow: Vec<Kept>,
    /// What they captured of the packet that is looked at, until the next one is over.
    of_packet: Vec<Kept>,
    packet_is_over: bool,
}

/// A value under its name.
pub type Kept = (Arc<str>, Box<[u8]>);

/// What an alert tells of what rules remember: of its flow, of its packet, and of its own match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recalled {
    /// Bits of the flow that are set.
    pub bits: Vec<Arc<str>>,
    /// Numbers of the flow.
    pub numbers: Vec<(Arc<str>, u32)>,
    /// What was captured of the flow.
    pub of_flow: Vec<Kept>,
    /// What was captured of the packet.
    pub of_packet: Vec<Kept>,
    /// What the match captured for its alert.
    pub of_alert: Vec<Kept>,
}

impl Recalled {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.of_alert.is_empty() && !self.has_metadata()
    }

    /// Whether something is remembered beside what the match captured.
    #[must_use]
    pub const fn has_metadata(&self) -> bool {
        !(self.bits.is_empty()
            && self.numbers.is_empty()
            && self.of_flow.is_empty()
            && self.of_packet.is_empty())
    }
}

/// Values that one flow keeps of what was captured, and one packet; each has [`VALUE_BYTES_MAX`](super::captured::VALUE_BYTES_MAX)
/// bytes at most.
const VALUES_MAX: usize = 16;

/// Keeps a value under a name, in the place of an earlier one.
fn keep(all: &mut Vec<Kept>, name: &Arc<str>, value: &[u8]) {
    match all.iter().position(|(known, _)| known == name) {
        Some(place) => all[place].1 = value.into(),
        None if all.len() < VALUES_MAX => all.push((Arc::clone(name), value.into())),
        None => {}
    }
}

impl FlowMemory {
    /// Whether nothing is remembered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bits.is_empty()
            && self.numbers.is_empty()
            && self.of_flow.is_empty()
            && self.of_packet.is_empty()
    }

    /// Keeps what a match captured of the flow and of the packet.
    pub(super) fn capture(&mut self, kind: CaptureKind, name: &Arc<str>, value: &[u8]) {
        match kind {
            CaptureKind::Flow => keep(&mut self.of_flow, name, value),
            CaptureKind::Packet => {
                if std::mem::take(&mut self.packet_is_over) {
                    self.of_packet.clear();
                }
                keep(&mut self.of_packet, name, value);
            }
            CaptureKind::Alert => {}
        }
    }

    /// All rules were asked about a packet. What it left is told with its alerts, and forgotten with the next one.
    #[inline]
    pub(super) fn end_packet(&mut self) {
        if !self.of_packet.is_empty() {
            if self.packet_is_over {
                self.of_packet.clear();
            }
            self.packet_is_over = !self.packet_is_over;
        }
    }

    /// What an alert tells of it; `names` are those of bits and numbers.
    pub(super) fn recall(&self, names: &[Arc<str>]) -> Recalled {
        let name = |number: u16| names.get(usize::from(number)).map(Arc::clone);
        Recalled {
            bits: self.bits.iter().filter_map(|bit| name(*bit)).collect(),
            numbers: self.numbers.iter().filter_map(|(of, number)| Some((name(*of)?, *number))).collect(),
            of_flow: self.of_flow.clone(),
            of_packet: self.of_packet.clone(),
            of_alert: Vec::new(),
        }
    }

    /// Whether something captured has these bytes.
    fn has_captured(&self, of_packet: bool, name: &str, bytes: &[u8]) -> bool {
        let all = match of_packet {
            true if self.packet_is_over => &[],
            true => &self.of_packet[..],
            false => &self.of_flow[..],
        };
        all.iter().any(|(known, value)| {
            **known == *name && value.windows(bytes.len()).any(|window| window == bytes)
        })
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.bits.clear();
        self.numbers.clear();
        self.of_flow.clear();
        self.of_packet.clear();
        self.packet_is_over = false;
    }

    fn has(&self, bit: u16) -> bool {
        self.bits.binary_search(&bit).is_ok()
    }

    fn set(&mut self, bit: u16) {
        if let Err(place) = self.bits.binary_search(&bit)
            && self.bits.len() < KEPT_MAX
        {
            self.bits.insert(place, bit);
        }
    }

    fn unset(&mut self, bit: u16) {
        if let Ok(place) = self.bits.binary_search(&bit) {
            self.bits.remove(place);
        }
    }

    fn number(&self, name: u16) -> Option<u32> {
        let place = self.numbers.binary_search_by_key(&name, |(known, _)| *known).ok()?;
        Some(self.numbers[place].1)
    }

    fn set_number(&mut self, name: u16, number: u32) {
        match self.numbers.binary_search_by_key(&name, |(known, _)| *known) {
            Ok(place) => self.numbers[place].1 = number,
            Err(place) if self.numbers.len() < KEPT_MAX => self.numbers.insert(place, (name, number)),
            Err(_) => {}
        }
    }
}

/// A number, or the name of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Number(u32),
    Name(u16),
}

impl Value {
    fn of(value: &IntValue, names: &mut Names) -> Result<Self, TooManyNames> {
        Ok(match value {
            IntValue::Number(number) => Self::Number(*number),
            IntValue::Name(name) => Self::Name(names.number(name)?),
        })
    }

    fn get(self, memory: &FlowMemory) -> Option<u32> {
        match self {
            Self::Number(number) => Some(number),
            Self::Name(name) => memory.number(name),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Query {
    AnySet(Vec<u16>),
    AnyUnset(Vec<u16>),
    HasNumber(u16, bool),
    Compares(u16, IntComparison, Value),
    Captured { of_packet: bool, name: Box<str>, bytes: Box<[u8]> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Set(u16),
    Unset(u16),
    Toggle(u16),
    Number(u16, Value),
    Add(u16, Value),
    Subtract(u16, Value),
}

/// What a rule asks of a flow's memory, and what a match changes in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    queries: Vec<Query>,
    changes: Vec<Change>,
}

impl Remembered {
    /// Of `rule`; what is not of the flow is left out.
    ///
    /// # Errors
    ///
    /// [`TooManyNames`].
    pub fn of(rule: &Rule, names: &mut Names) -> Result<Self, TooManyNames> {
        let mut remembered = Self::default();
        for condition in &rule.conditions {
            let query = match condition {
                Condition::FlowBits(BitQuery::IsSet(bits)) => Query::AnySet(all(bits, names)?),
                Condition::FlowBits(BitQuery::IsNotSet(bits)) => Query::AnyUnset(all(bits, names)?),
                Condition::FlowInt(name, IntQuery::IsSet) => Query::HasNumber(names.number(name)?, true),
                Condition::FlowInt(name, IntQuery::IsNotSet) => Query::HasNumber(names.number(name)?, false),
                Condition::FlowInt(name, IntQuery::Compares(comparison, value)) => {
                    Query::Compares(names.number(name)?, *comparison, Value::of(value, names)?)
                }
                Condition::Captured { of_packet, name, bytes } => {
                    Query::Captured { of_packet: *of_packet, name: name.clone(), bytes: bytes.clone() }
                }
                _ => continue,
            };
            remembered.queries.push(query);
        }
        for effect in &rule.effects {
            let change = match effect {
                Effect::Set(Where::Flow, name, _) => Change::Set(names.number(name)?),
                Effect::Unset(Where::Flow, name) => Change::Unset(names.number(name)?),
                Effect::Toggle(Where::Flow, name) => Change::Toggle(names.number(name)?),
                Effect::Int(name, IntChange::Set(value)) => {
                    Change::Number(names.number(name)?, Value::of(value, names)?)
                }
                Effect::Int(name, IntChange::Add(value)) => {
                    Change::Add(names.number(name)?, Value::of(value, names)?)
                }
                Effect::Int(name, IntChange::Subtract(value)) => {
                    Change::Subtract(names.number(name)?, Value::of(value, names)?)
                }
                _ => continue,
            };
            remembered.changes.push(change);
        }
        Ok(remembered)
    }

    /// Whether the rule asks anything.
    #[must_use]
    pub const fn asks(&self) -> bool {
        !self.queries.is_empty()
    }

    /// Whether all that the rule asks holds.
    #[must_use]
    pub fn holds(&self, memory: &FlowMemory) -> bool {
        self.queries.iter().all(|query| match query {
            Query::AnySet(bits) => bits.iter().any(|bit| memory.has(*bit)),
            Query::AnyUnset(bits) => bits.iter().any(|bit| !memory.has(*bit)),
            Query::HasNumber(name, wanted) => memory.number(*name).is_some() == *wanted,
            Query::Captured { of_packet, name, bytes } => memory.has_captured(*of_packet, name, bytes),
            // What is not there compares with nothing.
            Query::Compares(name, comparison, value) => match (memory.number(*name), value.get(memory)) {
                (Some(number), Some(value)) => compares(*comparison, number, value),
                _ => false,
            },
        })
    }

    /// What a match changes, in the order of the text. A number that is not there counts as 0 where it is added to.
    pub fn apply(&self, memory: &mut FlowMemory) {
        for change in &self.changes {
            match *change {
                Change::Set(bit) => memory.set(bit),
                Change::Unset(bit) => memory.unset(bit),
                Change::Toggle(bit) if memory.has(bit) => memory.unset(bit),
                Change::Toggle(bit) => memory.set(bit),
                Change::Number(name, value) => {
                    if let Some(value) = value.get(memory) {
                        memory.set_number(name, value);
                    }
                }
                Change::Add(name, value) => change_by(memory, name, value, u32::wrapping_add),
                Change::Subtract(name, value) => change_by(memory, name, value, u32::wrapping_sub),
            }
        }
    }
}

fn all(bits: &[Box<str>], names: &mut Names) -> Result<Vec<u16>, TooManyNames> {
    bits.iter().map(|bit| names.number(bit)).collect()
}

fn change_by(memory: &mut FlowMemory, name: u16, value: Value, by: fn(u32, u32) -> u32) {
    if let Some(value) = value.get(memory) {
        memory.set_number(name, by(memory.number(name).unwrap_or(0), value));
    }
}

const fn compares(comparison: IntComparison, number: u32, value: u32) -> bool {
    match comparison {
        IntComparison::Less => number < value,
        IntComparison::LessOrEqual => number <= value,
        IntComparison::Equal => number == value,
        IntComparison::NotEqual => number != value,
        IntComparison::GreaterOrEqual => number >= value,
        IntComparison::Greater => number > value,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::{RuleText, Variables, read};

    /// Rules that match wherever they may: which of them do, one letter a try, and what is remembered goes on.
    fn tried(bodies: &[&str], tries: usize) -> Vec<String> {
        let mut names = Names::default();
        let rules: Vec<_> = bodies
            .iter()
            .map(|body| {
                let text = format!("alert tcp any any -> any any ({body} sid:1;)");
                let rule = read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap();
                Remembered::of(&rule, &mut names).unwrap()
            })
            .collect();
        let mut memory = FlowMemory::default();
        (0..tries)
            .map(|_| {
                let mut met = String::new();
                for rule in &rules {
                    let holds = rule.holds(&memory);
                    met.push(if holds { '+' } else { '-' });
                    if holds {
                        rule.apply(&mut memory);
                    }
                }
                met
            })
            .collect()
    }

    #[test]
    fn bits_are_remembered() {
        assert_eq!(tried(&["flowbits:isset,a;", "flowbits:set,a;", "flowbits:isset,a;"], 2), ["-++", "+++"]);
        assert_eq!(tried(&["flowbits:isnotset,a; flowbits:set,a;"], 3), ["+", "-", "-"]);
        assert_eq!(tried(&["flowbits:toggle,a;", "flowbits:isset,a;"], 3), ["++", "+-", "++"]);
        assert_eq!(tried(&["flowbits:set,a;", "flowbits:unset,a;", "flowbits:isset,a;"], 2), ["++-", "++-"]);
        assert_eq!(tried(&["flowbits:set,b;", "flowbits:isset,a|b;", "flowbits:isset,a|c;"], 1), ["++-"]);
        assert_eq!(
            tried(&["flowbits:set,a;", "flowbits:isnotset,a|b;", "flowbits:set,b;"], 2),
            ["+++", "+-+"]
        );
    }

    #[test]
    fn numbers_are_remembered() {
        assert_eq!(tried(&["flowint:n,notset; flowint:n,+,1;"], 3), ["+", "-", "-"]);
        assert_eq!(tried(&["flowint:n,+,1;", "flowint:n,>=,3;"], 4), ["+-", "+-", "++", "++"]);
        assert_eq!(tried(&["flowint:n,==,0;", "flowint:n,=,0;"], 2), ["-+", "++"]);
        assert_eq!(
            tried(&["flowint:n,=,5; flowint:m,=,n; flowint:m,-,2;", "flowint:m,==,3; flowint:m,<,n;"], 1),
            ["++"]
        );
        assert_eq!(tried(&["flowint:n,=,nobody;", "flowint:n,isset;"], 1), ["+-"]);
    }

    #[test]
    fn what_a_flow_remembers_is_bounded() {
        let mut memory = FlowMemory::default();
        assert!(memory.is_empty());
        for number in 0..1_000 {
            memory.set(number);
            memory.set_number(number, 1);
        }
        assert_eq!((memory.bits.len(), memory.numbers.len()), (KEPT_MAX, KEPT_MAX));
        memory.unset(0);
        memory.set(999);
        assert!(memory.has(999) && !memory.has(0));
    }
}
