//! What a match changes, and how many matches make an alert.

use super::End;

/// Of what bits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Where {
    Flow,
    Source,
    Destination,
    Both,
    Pair,
    Transaction,
}

/// What a match changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A bit is set, with the seconds for which it is.
    Set(Where, Box<str>, Option<u32>),
    /// A bit is cleared.
    Unset(Where, Box<str>),
    /// A bit is set where it was not, else cleared.
    Toggle(Where, Box<str>),
    /// A number of the flow is changed.
    Int(Box<str>, IntChange),
    /// Packets after it are recorded.
    Tag(Tag),
    /// A file is stored.
    StoreFile,
    /// No record of the transaction is written.
    HideRecord,
}

/// `tag:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Of a host; else of the flow.
    pub host: Option<End>,
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: TagUnit,
}

/// What a tag counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TagUnit {
    Packets,
    Bytes,
    Seconds,
}

/// A change of a number that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IntChange {
    Set(IntValue),
    Add(IntValue),
    Subtract(IntValue),
}

/// A number, or the name of one that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IntValue {
    Number(u32),
    Name(Box<str>),
}

/// `threshold:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Threshold {
    /// In which way.
    pub kind: ThresholdKind,
    /// Counted by what.
    pub track: Track,
    /// So many.
    pub count: u32,
    /// In so many seconds.
    pub seconds: u32,
    /// Of `backoff`: by this the count grows.
    pub multiplier: u32,
}

/// In which way matches are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThresholdKind {
    /// The first so many are alerts.
    Limit,
    /// Each so many is one.
    Threshold,
    /// After so many one.
    Both,
    /// The first after so many, the next after `multiplier` times as many.
    Backoff,
}

/// By what matches are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Track {
    BySource,
    ByDestination,
    ByBoth,
    ByRule,
    ByFlow,
}

/// `detection_filter:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DetectionFilter {
    /// Counted by what.
    pub track: Track,
    /// So many first.
    pub count: u32,
    /// In so many seconds.
    pub seconds: u32,
    /// Only different ones count: of what.
    pub unique_on: Option<UniqueOn>,
}

/// What must differ so that a match counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum UniqueOn {
    SourcePort,
    DestinationPort,
}
