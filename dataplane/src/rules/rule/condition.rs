//! What must hold beside bytes: of the packet, the flow, what it speaks, and what was kept.

use std::sync::Arc;

use super::{BufferId, IntValue, NumberTest, Where};
use crate::rules::hashes::HashList;

/// What must hold beside bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A number of a packet's headers: index into [`PACKET_FIELDS`](crate::rules::language::fields::PACKET_FIELDS).
    Packet(u16, NumberTest),
    /// A number of a transaction: index into [`FIELDS`](crate::rules::language::fields::FIELDS); and which of several is meant, `any` where
    /// nothing is said.
    Transaction(u16, NumberTest, Option<Box<str>>),
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
    /// DCE/RPC operation: within one of these.
    DceOperation(Vec<NumberSpan>),
    /// Modbus.
    Modbus(Box<str>),
    /// CIP service, class, attribute.
    Cip(Vec<u32>),
    /// Object of DNP3: group and variation.
    Dnp3Object(u8, u8),
    /// Bits of DNP3.
    Dnp3Indications(u16),
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
