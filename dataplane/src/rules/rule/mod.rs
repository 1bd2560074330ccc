//! A rule, read: what it looks at and what must hold, before anything is made fast.

mod bytes;
mod condition;
mod effect;

pub use super::number::NumberTest;
pub use bytes::*;
pub use condition::*;
pub use effect::*;

use super::ranges::RangeSet;
use crate::flow::Direction;

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
    /// What expressions keep of their groups; [`Expression::captures`] counts through them.
    pub captures: Vec<Capture>,
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
    /// Sets what is recorded of a transaction, and tells nobody.
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
    /// Its second word.
    pub protocol: HeaderProtocol,
    /// When it is tried, where the word says it.
    pub hook: Option<Hook>,
    /// From where.
    pub source: Endpoints,
    /// To where.
    pub destination: Endpoints,
    /// Both ways: `<>`.
    pub is_both_ways: bool,
    /// Of whole transactions, whose requests go this way: `=>`.
    pub is_of_transactions: bool,
}

/// When a rule is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// When something of a transaction was told that goes this way; where `is_end`, when nothing more follows.
    Transaction {
        /// Which way.
        way: Direction,
        /// Whether all of it was told.
        is_end: bool,
    },
    /// With each packet; where `is_first`, with the first one of a flow.
    Packets {
        /// Whether it is the first one.
        is_first: bool,
    },
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
    /// Whether some addresses are named by what they are not.
    pub is_negated: bool,
}

impl Endpoints {
    /// Every address and port.
    #[must_use]
    pub fn any() -> Self {
        Self { v4: RangeSet::all(), v6: RangeSet::all(), ports: RangeSet::all(), is_negated: false }
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
    pub way: Option<Direction>,
    /// Whether both ends have spoken, or have not.
    pub established: Option<bool>,
    /// `true`: only the stream; `false`: only packets.
    pub stream: Option<bool>,
    /// `true`: only packets that were put together of fragments; `false`: only others.
    pub fragments: Option<bool>,
}

/// What must hold in a buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Where to look.
    pub seen: Seen,
    /// What must hold, in the order of the text.
    pub tests: Vec<Test>,
}

/// A buffer as tests see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Where it comes from.
    pub buffer: BufferId,
    /// Of which kind, where it is a frame.
    pub frame: Option<FrameId>,
    /// What is done to the bytes first.
    pub transforms: Vec<Transform>,
}

impl Seen {
    /// The buffer as it comes.
    #[must_use]
    pub const fn plain(buffer: BufferId) -> Self {
        Self { buffer, frame: None, transforms: Vec::new() }
    }
}

/// Index into [`BUFFERS`](crate::rules::language::buffers::BUFFERS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u16);

/// Index into [`FRAMES`](crate::rules::language::frames::FRAMES).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u16);
