//! What must hold of bytes, and what is done to them before.

use std::sync::Arc;

use super::NumberTest;

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
    /// How much its bytes differ from each other.
    Entropy(Entropy),
}

impl Test {
    /// Whether bytes are written in the place of what it finds.
    #[must_use]
    pub const fn replaces(&self) -> bool {
        matches!(self, Self::Content(Content { replacement: Some(_), .. }))
    }

    /// Whether it begins where the one before it ended.
    #[must_use]
    pub const fn is_relative(&self) -> bool {
        match self {
            Self::Content(content) => content.distance.is_some() || content.within.is_some(),
            Self::Expression(expression) => expression.is_relative,
            Self::Byte(test) => test.is_relative,
            Self::Jump(jump) => jump.is_relative,
            Self::Extract(extract) => extract.is_relative,
            Self::Math(math) => math.is_relative,
            Self::DataAt(data) => data.is_relative,
            Self::Base64(decode) => decode.is_relative,
            Self::Asn1(asn1) => asn1.relative_offset.is_some(),
            Self::Size(_)
            | Self::Absent { .. }
            | Self::Dataset(_)
            | Self::Reputation(_)
            | Self::Entropy(_) => false,
        }
    }
}

/// A number that a rule gives, or takes from the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Amount {
    /// This.
    Number(i64),
    /// What was kept under this name: index into [`Rule::variables`](super::Rule::variables).
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
    /// As many bytes that are written in its place.
    pub replacement: Option<Arc<[u8]>>,
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
    /// Groups that are kept, and as which of [`Rule::captures`](super::Rule::captures).
    pub captures: Vec<(Group, u8)>,
}

/// A group of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// By its place, from 1.
    Number(u8),
    /// By its name.
    Name(Box<str>),
}

/// What is kept of a group that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Of what.
    pub kind: CaptureKind,
    /// Under this name.
    pub name: Arc<str>,
}

/// Of what a captured value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CaptureKind {
    Flow,
    Packet,
    Alert,
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
    /// Kept under this name: index into [`Rule::variables`](super::Rule::variables).
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
    /// Kept under this name: index into [`Rule::variables`](super::Rule::variables).
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

/// `entropy:`, of Shannon, in bits a byte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entropy {
    /// So many bytes; `None`: all.
    pub bytes: Option<u32>,
    /// First byte.
    pub offset: u32,
    /// What must hold of it.
    pub test: EntropyTest,
}

/// What must hold of an entropy. Both ends of a span are outside of it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum EntropyTest {
    Equal(f64),
    NotEqual(f64),
    Less(f64),
    LessOrEqual(f64),
    Greater(f64),
    GreaterOrEqual(f64),
    Between(f64, f64),
    NotBetween(f64, f64),
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
    Xor { offset: u16, key: XorKey },
    PcreXform(Box<str>),
    FromBase64 { bytes: Option<Amount>, offset: Amount, mode: Base64Mode },
    Gunzip { bytes_max: u32 },
    ZlibDeflate { bytes_max: u32 },
    Subslice { offset: i64, len: Option<i64>, truncate: bool },
}

/// What bytes are taken with by [`Transform::Xor`], over and over from its offset on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum XorKey {
    /// The rule has it.
    Given(Box<[u8]>),
    /// The buffer has it: so many bytes from an offset on. Where they are not there, nothing changes.
    Within {
        /// Of its first byte.
        offset: u16,
        /// Bytes of it, 1 or more.
        len: u8,
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
