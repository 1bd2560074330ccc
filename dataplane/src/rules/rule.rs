//! A rule, read: what it looks at and what must hold, before anything is made fast.

use super::ranges::RangeSet;

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its number; with [`Self::generator`] the name of the rule.
    pub sid: u32,
    /// Who makes alerts of it, 1 for rules.
    pub generator: u32,
    /// Its revision.
    pub revision: u32,
    /// What it says.
    pub message: Box<str>,
    /// What a match does.
    pub action: Action,
    /// Which packets and transactions it is asked about.
    pub header: Header,
    /// Of which flows, and where in them.
    pub flow: FlowTest,
    /// What the bytes must be, in the order of the text: one part for each buffer.
    pub parts: Vec<Part>,
    /// What must hold of the packet, the flow and what was kept of earlier ones, in the order of the text.
    pub conditions: Vec<Condition>,
    /// What a match keeps.
    pub effects: Vec<Effect>,
    /// Names of values that are taken from bytes; [`Amount::Variable`] counts through them.
    pub variables: Vec<Box<str>>,
    /// How many matches make an alert.
    pub threshold: Option<Threshold>,
    /// Only this many are let through as alerts, each one counts.
    pub detection_filter: Option<DetectionFilter>,
    /// Whether a match makes an alert at all.
    pub is_silent: bool,
    /// The rule is found by a test other than its longest pattern.
    pub prefilter: bool,
    /// Whether the flow is no longer looked at after a match.
    pub bypass: bool,
    /// Which end is the target of what it finds.
    pub target: Option<End>,
    /// Name in the classification.
    pub class: Option<Box<str>>,
    /// 1 is the highest; 3 where neither the rule nor its class says.
    pub priority: Option<u8>,
    /// Scheme and what it names.
    pub references: Vec<(Box<str>, Box<str>)>,
    /// Names and values.
    pub metadata: Vec<(Box<str>, Box<str>)>,
}

/// What a match does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Tells of it.
    Alert,
    /// Ends the rules of this packet or flow.
    Pass,
    /// Tells of it and drops.
    Drop,
    /// Drops, and tells the ends of the flow.
    Reject(Rejected),
    /// Sets what is recorded of a flow.
    Config,
}

/// Who is told that a flow was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Rejected {
    Source,
    Destination,
    Both,
}

/// An end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum End {
    Source,
    Destination,
}

/// The part before the parenthesis.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Index into [`super::language::protocols`].
    pub protocol: HeaderProtocol,
    /// From where.
    pub source: Endpoints,
    /// To where.
    pub destination: Endpoints,
    /// Both ways: `<>`.
    pub is_both_ways: bool,
}

/// The header's second word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeaderProtocol {
    /// Any packet of this kind.
    Packet(PacketProtocol),
    /// Flows that speak this, under its name in EVE.
    Application(&'static str),
}

/// Of which kind a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketProtocol {
    /// IPv4 and IPv6.
    Ip,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// TCP: packets and what they put together.
    Tcp,
    /// TCP packets, never the stream.
    TcpPacket,
    /// The TCP stream, never packets.
    TcpStream,
    /// UDP.
    Udp,
    /// ICMP of IPv4 and of IPv6.
    Icmp,
    /// ICMP of IPv4.
    Icmpv4,
    /// ICMP of IPv6.
    Icmpv6,
    /// SCTP.
    Sctp,
    /// IGMP.
    Igmp,
    /// ARP.
    Arp,
    /// Frames that are no IP.
    Ethernet,
    /// What parsing says of any packet, also of one that could not be parsed.
    PacketHeader,
}

/// Addresses and ports of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// IPv4 addresses as numbers.
    pub v4: RangeSet<u32>,
    /// IPv6 addresses as numbers.
    pub v6: RangeSet<u128>,
    /// TCP, UDP and SCTP ports.
    pub ports: RangeSet<u16>,
}

impl Endpoints {
    /// Every address and port.
    #[must_use]
    pub fn any() -> Self {
        Self { v4: RangeSet::all(), v6: RangeSet::all(), ports: RangeSet::all() }
    }

    /// Whether every address is meant.
    #[must_use]
    pub fn is_any_address(&self) -> bool {
        self.v4.is_all() && self.v6.is_all()
    }
}

/// `flow:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowTest {
    /// Which way the packet goes.
    pub way: Option<Way>,
    /// Whether both ends have spoken, or have not.
    pub established: Option<bool>,
    /// `true`: only the stream; `false`: only packets.
    pub stream: Option<bool>,
    /// `true`: only packets that were put together of fragments; `false`: only others.
    pub fragments: Option<bool>,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Way {
    ToServer,
    ToClient,
}

/// A buffer, and what must hold in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Where to look.
    pub buffer: BufferId,
    /// What is done to the bytes first.
    pub transforms: Vec<Transform>,
    /// What must hold, in the order of the text.
    pub tests: Vec<Test>,
}

/// Index into [`super::language::buffers::BUFFERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u16);

/// What must hold of bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// They have this in them.
    Content(Content),
    /// They match this expression.
    Expression(Expression),
    /// A number in them compares so.
    Byte(ByteTest),
    /// A number in them says where to go on.
    Jump(ByteJump),
    /// A number in them is kept.
    Extract(ByteExtract),
    /// A number in them is computed with and kept.
    Math(ByteMath),
    /// There are so many of them.
    DataAt(DataAt),
    /// The whole buffer has this size.
    Size(NumberTest),
    /// The whole buffer's size in the value of an earlier match.
    Base64(Base64Decode),
    /// There is no such buffer; with `true`: or what follows holds.
    Absent {
        /// Whether the other tests may hold instead.
        or_else: bool,
    },
    /// The buffer is, or is not, in a set.
    Dataset(Dataset),
    /// The buffer's reputation in a list.
    Reputation(Datarep),
    /// ASN.1 in it is malformed in one of these ways.
    Asn1(Asn1),
}

pub use super::number::NumberTest;

/// A number that a rule gives, or takes from the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Amount {
    /// This.
    Number(i64),
    /// What was kept under this name: index into [`Rule::variables`].
    Variable(u8),
}

/// `content:` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// What is looked for; not empty.
    pub bytes: Box<[u8]>,
    /// Upper and lower case are the same.
    pub nocase: bool,
    /// It must not be there.
    pub is_negated: bool,
    /// First byte where it may begin, from the buffer's.
    pub offset: Option<Amount>,
    /// Bytes from `offset` in which it must end.
    pub depth: Option<Amount>,
    /// First byte where it may begin, from the end of the match before.
    pub distance: Option<Amount>,
    /// Bytes from there in which it must end.
    pub within: Option<Amount>,
    /// It must begin the buffer.
    pub startswith: bool,
    /// It must end the buffer.
    pub endswith: bool,
    /// Whether it is by this that the rule is found.
    pub fast_pattern: Option<FastPattern>,
}

/// How a pattern is used to find the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FastPattern {
    /// Whole.
    Whole,
    /// It is not compared again.
    Only,
    /// A part of it: offset and length, bytes.
    Chop(u16, u16),
}

/// `pcre:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// In PCRE's language, without slashes.
    pub pattern: Box<str>,
    /// PCRE's own flags, of `imsxAEGO`.
    pub flags: ExpressionFlags,
    /// It must not match.
    pub is_negated: bool,
    /// It begins behind the match before.
    pub is_relative: bool,
    /// Names that its groups are kept under.
    pub captures: Vec<Box<str>>,
}

/// PCRE's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ExpressionFlags {
    /// `i`.
    pub caseless: bool,
    /// `m`.
    pub multiline: bool,
    /// `s`.
    pub dotall: bool,
    /// `x`.
    pub extended: bool,
    /// `A`.
    pub anchored: bool,
    /// `E`.
    pub dollar_endonly: bool,
    /// `G`.
    pub ungreedy: bool,
}

/// How digits are written in the bytes, where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Digits {
    Decimal,
    Hexadecimal,
    Octal,
}

/// How a number lies in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// So many bytes: 1 to 8, as digits to 23.
    pub bytes: Amount,
    /// The least significant first.
    pub is_little_endian: bool,
    /// The byte order is that of the DCE/RPC message.
    pub is_dce: bool,
    /// As digits.
    pub digits: Option<Digits>,
    /// Only these bits of it, moved down to the lowest.
    pub mask: Option<u64>,
}

/// `byte_test:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteTest {
    /// The number.
    pub layout: Layout,
    /// Where it is.
    pub offset: Amount,
    /// From the end of the match before.
    pub is_relative: bool,
    /// Compared how.
    pub operator: Operator,
    /// It must not hold.
    pub is_negated: bool,
    /// Compared with what.
    pub value: Amount,
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    Less,
    LessOrEqual,
    Equal,
    Greater,
    GreaterOrEqual,
    And,
    Xor,
}

/// `byte_jump:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteJump {
    /// The number.
    pub layout: Layout,
    /// Where it is.
    pub offset: Amount,
    /// From the end of the match before.
    pub is_relative: bool,
    /// It is multiplied by this.
    pub multiplier: u16,
    /// Rounded up to a multiple of four.
    pub is_aligned: bool,
    /// Counted from where.
    pub from: JumpFrom,
    /// Added to where it leads.
    pub post_offset: Amount,
}

/// From where a jump is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum JumpFrom {
    Here,
    Beginning,
    End,
}

/// `byte_extract:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteExtract {
    /// The number.
    pub layout: Layout,
    /// Where it is.
    pub offset: i64,
    /// From the end of the match before.
    pub is_relative: bool,
    /// It is multiplied by this.
    pub multiplier: u16,
    /// Rounded up to a multiple of this.
    pub align: u8,
    /// Kept under this name: index into [`Rule::variables`].
    pub variable: u8,
}

/// `byte_math:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteMath {
    /// The number.
    pub layout: Layout,
    /// Where it is.
    pub offset: Amount,
    /// From the end of the match before.
    pub is_relative: bool,
    /// What is done.
    pub operation: Arithmetic,
    /// With what.
    pub value: Amount,
    /// Kept under this name: index into [`Rule::variables`].
    pub variable: u8,
}

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    ShiftLeft,
    ShiftRight,
}

/// `isdataat:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataAt {
    /// So many bytes.
    pub bytes: Amount,
    /// There must be fewer.
    pub is_negated: bool,
    /// From the end of the match before.
    pub is_relative: bool,
}

/// `base64_decode:`; what it finds is the buffer `base64_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Base64Decode {
    /// So many bytes at most; `None`: all.
    pub bytes: Option<u32>,
    /// First byte.
    pub offset: u32,
    /// From the end of the match before.
    pub is_relative: bool,
}

/// `dataset:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Its name.
    pub name: Box<str>,
    /// What is done with it.
    pub command: DatasetCommand,
    /// What is in it.
    pub kind: DatasetKind,
    /// File that it is read from.
    pub load: Option<Box<str>>,
    /// File that it is written to.
    pub save: Option<Box<str>>,
    /// Bytes that it may take.
    pub memcap: Option<u64>,
    /// Expected members.
    pub hash_size: Option<u32>,
}

/// What is done with a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DatasetCommand {
    Set,
    Unset,
    IsSet,
    IsNotSet,
}

/// What is in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DatasetKind {
    String,
    Md5,
    Sha256,
    Ipv4,
    Ip,
}

/// `datarep:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datarep {
    /// Its name.
    pub name: Box<str>,
    /// What the reputation must be.
    pub test: NumberTest,
    /// What is in it.
    pub kind: DatasetKind,
    /// File that it is read from.
    pub load: Option<Box<str>>,
}

/// `asn1:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Asn1 {
    /// A bit string that says more unused bits than there are.
    pub bitstring_overflow: bool,
    /// A real number longer than a program's buffer.
    pub double_overflow: bool,
    /// An element that is longer than this.
    pub oversize_length: Option<u32>,
    /// From the beginning.
    pub absolute_offset: Option<u16>,
    /// From the end of the match before.
    pub relative_offset: Option<i32>,
}

/// What is done to bytes before tests see them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum Transform {
    ToLowercase,
    ToUppercase,
    CompressWhitespace,
    StripWhitespace,
    StripPseudoHeaders,
    HeaderLowercase,
    DotPrefix,
    UrlDecode,
    ToMd5,
    ToSha1,
    ToSha256,
    Domain,
    Tld,
    Xor(Box<[u8]>),
    PcreXform(Box<str>),
    FromBase64 {
        bytes: Option<Amount>,
        offset: Amount,
        mode: Base64Mode,
    },
    Gunzip {
        bytes_max: u32,
    },
    ZlibDeflate {
        bytes_max: u32,
    },
    /// Not what is done but which piece is meant: the name after `frame:`.
    Frame(Box<str>),
    Subslice {
        offset: i64,
        len: Option<i64>,
        truncate: bool,
    },
}

/// How strict Base64 is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Base64Mode {
    /// RFC 2045: what is no letter of it is passed over.
    Rfc2045,
    /// RFC 4648: what is no letter of it ends it.
    #[default]
    Rfc4648,
    /// Nothing but letters of it.
    Strict,
}

/// What must hold beside bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A number of a packet's headers: index into [`super::language::fields::PACKET_FIELDS`].
    Packet(u16, NumberTest),
    /// A number of a transaction: index into [`super::language::fields::FIELDS`]; and which of several is meant, `any` where
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
    /// The checksum is right, or not: index into [`super::language::fields::CHECKSUMS`].
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
    Hash { is_negated: bool, kind: FileHash, list: Box<str> },
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
