//! What must hold beside bytes: of the packet, the flow, what it speaks, and what was kept.

use std::sync::Arc;

use super::{BufferId, IntValue, NumberTest, Where};
use crate::rules::hashes::HashList;

/// What must hold beside bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A number of a packet's headers: index into [`PACKET_FIELDS`](crate::rules::language::fields::PACKET_FIELDS).
    Packet(u16, NumberTest),
    /// A number of a transaction: index into [`FIELDS`](crate::rules::language::fields::FIELDS); and which of several is meant.
    Transaction(u16, NumberTest, Chosen),
    /// A number of a transaction lies in one of these spans; with `true`: in none.
    OneOf(u16, Vec<NumberSpan>, bool),
    /// Two numbers of a transaction are the ends of a span, and the test holds of one within.
    Span(u16, NumberTest),
    /// A number of a transaction is two of [`PAIR_BITS`] bits, and a test holds of each.
    Pair(u16, NumberTest, NumberTest),
    /// How much the flow has had.
    Flow(FlowNumber, NumberTest),
    /// Bytes of payload.
    DataSize(NumberTest),
    /// Bytes of a buffer, beside what is looked for in it.
    BufferSize(BufferId, NumberTest),
    /// TCP flags.
    Flags(FlagTest),
    /// IPv4 options.
    IpOption(IpOption),
    /// IPv4 fragment bits.
    FragmentBits(BitTest),
    /// Source and destination are the same.
    SameIp,
    /// Country of an address.
    Country(CountryTest),
    /// Reputation of an address.
    IpReputation(IpReputation),
    /// Bytes that a side has sent.
    StreamSize(StreamSize),
    /// What was kept of the flow.
    FlowBits(BitQuery),
    /// What was kept of an address or a pair.
    XBits(Where, BitQuery),
    /// A number that was kept of the flow.
    FlowInt(Box<str>, IntQuery),
    /// What an expression captured of the flow, or of the packet, has these bytes.
    Captured {
        /// Of the packet; else of the flow.
        of_packet: bool,
        /// Under this name.
        name: Box<str>,
        /// They are somewhere in it.
        bytes: Box<[u8]>,
    },
    /// Parsing of the packet met this.
    DecodeEvent(&'static str),
    /// The state of TCP met this.
    StreamEvent(&'static str),
    /// A parser met this: protocol and name.
    AppLayerEvent(&'static str, Box<str>),
    /// What the flow speaks.
    AppLayerProtocol(AppLayerProtocol),
    /// The checksum is right, or not: index into [`CHECKSUMS`](crate::rules::language::fields::CHECKSUMS).
    Checksum(u8, bool),
    /// Something of a file.
    File(FileTest),
    /// RPC: program, version, procedure.
    Rpc(u32, Option<u32>, Option<u32>),
    /// DCE/RPC interface.
    DceInterface(DceInterface),
}

/// Bits of the lower one of two numbers that are told as one ([`Condition::Pair`]).
pub const PAIR_BITS: u32 = 16;

/// Which of several numbers must hold, and whether only some are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Chosen {
    /// Which.
    pub which: Which,
    /// Of those from one place to another, the second of which is outside; from the end where they are negative.
    pub slice: Option<(i32, i32)>,
}

/// Which of several numbers must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Which {
    /// One.
    #[default]
    Any,
    /// One, or there is none.
    OrAbsent,
    /// All, and there is one.
    All,
    /// All, or there is none.
    AllOrAbsent,
    /// This one; from the end where it is negative.
    At(i32),
    /// This one, or there are not so many.
    AtOrBeyond(i32),
    /// So many.
    Times(NumberTest),
    /// The test is of how many there are.
    Count,
}

impl Chosen {
    /// Whether all numbers must be known before it can be said.
    #[must_use]
    pub fn is_of_all(self) -> bool {
        self.which != Which::Any || self.slice.is_some()
    }

    /// Whether `test` holds of those that are meant.
    #[must_use]
    pub fn holds(self, test: &NumberTest, numbers: impl Iterator<Item = u64> + Clone) -> bool {
        let (from, to) = match self.slice {
            None => (0, usize::MAX),
            Some((from, to)) => {
                let count = numbers.clone().count();
                // A place that there is not makes the slice empty.
                let place = |at: i32| place(at, count).filter(|place| *place <= count);
                match (place(from), place(to)) {
                    (Some(from), Some(to)) => (from, to),
                    _ => (0, 0),
                }
            }
        };
        let mut meant = numbers.skip(from).take(to.saturating_sub(from));
        let is_one = |number: u64| test.holds(number);
        match self.which {
            Which::Any => meant.any(is_one),
            Which::OrAbsent => meant.clone().next().is_none() || meant.any(is_one),
            Which::All => meant.clone().next().is_some() && meant.all(is_one),
            Which::AllOrAbsent => meant.all(is_one),
            Which::At(at) => {
                place(at, meant.clone().count()).and_then(|place| meant.nth(place)).is_some_and(is_one)
            }
            Which::AtOrBeyond(at) => {
                place(at, meant.clone().count()).and_then(|place| meant.nth(place)).is_none_or(is_one)
            }
            Which::Times(times) => times.holds(meant.filter(|number| test.holds(*number)).count() as u64),
            Which::Count => test.holds(meant.count() as u64),
        }
    }
}

/// A place among `count`, from the end where it is negative.
fn place(at: i32, count: usize) -> Option<usize> {
    let at = if at < 0 { count as i64 + i64::from(at) } else { at.into() };
    usize::try_from(at).ok()
}

/// How much a flow has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowNumber {
    /// Seconds since it began.
    Age,
    /// Packets of these ends.
    Packets(StreamEnd),
    /// Bytes of these ends, with all headers.
    Bytes(StreamEnd),
    /// Packets of both ends together.
    AllPackets,
}

/// `flags:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlagTest {
    /// The flags.
    pub flags: u8,
    /// Flags that do not count.
    pub ignored: u8,
    /// How they are compared.
    pub how: HowBits,
}

/// `fragbits:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BitTest {
    /// The bits.
    pub bits: u8,
    /// How they are compared.
    pub how: HowBits,
}

/// How bits are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HowBits {
    /// These and no others.
    Exactly,
    /// These and maybe others: `+`.
    All,
    /// One of these: `*`.
    Any,
    /// Not these: `!`.
    Not,
}

/// `ipopts:`, under the language's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum IpOption {
    RecordRoute,
    EndOfList,
    NoOperation,
    Timestamp,
    Security,
    ExtendedSecurity,
    LooseSourceRoute,
    StrictSourceRoute,
    StreamId,
    Cipso,
    RouterAlert,
    Any,
}

/// `geoip:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountryTest {
    /// Which address: one, one of the two, or both.
    pub ends: Ends,
    /// Of none of the countries.
    pub is_negated: bool,
    /// ISO 3166-1 alpha-2, upper case.
    pub countries: Vec<[u8; 2]>,
}

/// Which address is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Ends {
    Source,
    Destination,
    Any,
    Both,
}

/// `iprep:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpReputation {
    /// Whose.
    pub ends: Ends,
    /// In which category.
    pub category: Box<str>,
    /// What must hold; `None`: it has none.
    pub test: Option<NumberTest>,
}

/// `stream_size:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamSize {
    /// Whose bytes.
    pub of: StreamEnd,
    /// How many.
    pub test: NumberTest,
}

/// Whose bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StreamEnd {
    Server,
    Client,
    Both,
    Either,
}

/// A question about bits that were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BitQuery {
    /// One of them is set.
    IsSet(Vec<Box<str>>),
    /// One of them is not.
    IsNotSet(Vec<Box<str>>),
}

/// A question about a number that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntQuery {
    /// There is one.
    IsSet,
    /// There is none.
    IsNotSet,
    /// It compares so with a number or another one.
    Compares(IntComparison, IntValue),
}

/// How numbers that were kept are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IntComparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// `app-layer-protocol:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppLayerProtocol {
    /// Under its name in EVE; `failed`: none was found; `unknown`: none yet.
    pub protocol: &'static str,
    /// It is another.
    pub is_negated: bool,
    /// Whose.
    pub mode: AppLayerMode,
}

/// Which protocol of a flow is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AppLayerMode {
    #[default]
    Direction,
    Final,
    Either,
    ToServer,
    ToClient,
    Original,
}

/// Something of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum FileTest {
    Extension { is_negated: bool, extension: Box<str> },
    Name { is_negated: bool, name: Box<str> },
    Magic { is_negated: bool, magic: Box<[u8]> },
    Size(NumberTest),
    Hash { is_negated: bool, kind: FileHash, list: Box<str>, hashes: Option<Arc<HashList>> },
}

/// How a file is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileHash {
    Md5,
    Sha1,
    Sha256,
}

/// `dcerpc.iface:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DceInterface {
    /// UUID.
    pub uuid: [u8; 16],
    /// What its version must be.
    pub version: Option<NumberTest>,
    /// Whether fragments after the first count too.
    pub any_fragment: bool,
}

/// Numbers from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NumberSpan {
    pub low: u64,
    pub high: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_chosen_from_either_end() {
        let holds = |which, slice, test: NumberTest, numbers: &[u64]| {
            Chosen { which, slice }.holds(&test, numbers.iter().copied())
        };
        let (one, six) = (NumberTest::Equal(1), [1, 2, 3, 4, 5, 6]);
        assert!(holds(Which::Any, None, one, &six) && !holds(Which::Any, None, one, &[]));
        assert!(holds(Which::OrAbsent, None, one, &[]) && !holds(Which::OrAbsent, None, one, &[2]));
        assert!(!holds(Which::All, None, one, &[]) && holds(Which::AllOrAbsent, None, one, &[]));
        assert!(holds(Which::At(-6), None, one, &six) && !holds(Which::At(-7), None, one, &six));
        assert!(holds(Which::AtOrBeyond(6), None, one, &six) && !holds(Which::At(6), None, one, &six));
        assert!(holds(Which::Times(NumberTest::Greater(1)), None, one, &[1, 1, 2]));
        assert!(holds(Which::Count, None, NumberTest::Equal(6), &six));
        for (slice, first, count) in [((2, 4), 3, 2), ((-4, -1), 3, 3), ((3, -1), 4, 2), ((-4, 4), 3, 2)] {
            assert!(holds(Which::At(0), Some(slice), NumberTest::Equal(first), &six), "{slice:?}");
            assert!(holds(Which::Count, Some(slice), NumberTest::Equal(count), &six), "{slice:?}");
        }
        assert!(holds(Which::Count, Some((2, 9)), NumberTest::Equal(0), &six));
    }
}
