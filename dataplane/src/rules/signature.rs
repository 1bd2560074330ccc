//! A rule, ready: what of it is asked of packets, of the stream, and of what a flow speaks.

use std::sync::Arc;

use super::address_facts::{AddressFacts, Reputation};
use super::adjust::Adjusted;
use super::hashes::HashList;
use super::host_bits::OnHosts;
use super::language::buffers::{BASE64_DATA, FILE_MAGIC, PAYLOAD, Source};
use super::language::fields::FIELDS;
use super::magic;
use super::matcher::{Matcher, Scratch, Sources, Unmatchable};
use super::memory::{Names, Remembered, TooManyNames};
use super::packet::Check;
use super::rule::{
    AppLayerProtocol, BufferId, Chosen, Condition, Content, CountryTest, DceInterface, Effect, FileHash,
    FileTest, FlowNumber, FlowTest, FrameId, Header, HeaderProtocol, Hook, IpReputation, JumpFrom,
    NumberSpan, NumberTest, PacketProtocol, Rule, StreamSize, Test, Where,
};
use super::transform::Chain;
use crate::flow::Direction;
use crate::geography::Countries;

/// Parts and questions that one rule may have together: they are bits of a number.
const PIECES_MAX: usize = 64;

/// A rule with its tests ready to be tried.
#[derive(Debug)]
pub struct Signature {
    /// The rule.
    pub rule: Rule,
    /// What must hold of the packet's headers.
    pub(super) checks: Vec<Check>,
    /// What must hold of the flow and of what it speaks.
    pub(super) asks: Vec<Ask>,
    /// What bytes must be.
    pub(super) parts: Vec<Part>,
    /// What is asked of the flow's memory, and changed in it.
    pub(super) remembered: Remembered,
    pub(super) on_hosts: OnHosts,
    /// What it is tried on.
    pub(super) kind: Kind,
    /// Whether no record is written of a transaction that it matches.
    pub(super) hides_record: bool,
    /// Protocols of applications that it is asked about; `None`: whatever the flow speaks.
    pub(super) applications: Option<Applications>,
    /// Which way what it is about goes, where only one is possible.
    way: Option<Direction>,
    /// Whether it holds or does not each way for itself: nothing of it says which way it goes, nor is told of both together.
    pub(super) is_told_each_way: bool,
    /// What is said of it beside the rules.
    pub(super) adjusted: Adjusted,
}

/// What a rule is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Packets, each for itself.
    Packet,
    /// The first packet of a flow each way, and what is of no flow: nothing but addresses, ports and protocol is asked.
    Addresses,
    /// TCP's payload in order; where `and_packets`, of single packets too.
    Stream { and_packets: bool },
    /// What parsers tell.
    Transaction,
    /// Frames that parsers tell.
    Frame,
}

/// Names in EVE; one of them.
pub(super) type Applications = Vec<&'static str>;

/// What must hold in one buffer.
#[derive(Debug)]
pub(super) struct Part {
    pub buffer: BufferId,
    /// Of which kind, where it is a frame.
    pub frame: Option<FrameId>,
    /// Whether its tests mean the end of what they look into.
    pub is_of_whole: bool,
    pub chain: Chain,
    pub matcher: Matcher,
    /// Which way what it looks into goes.
    pub way: Option<Direction>,
    pub absent: Absent,
}

/// What it means for a part that its buffer is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// It does not hold.
    Fails,
    /// It holds, and does not where there is one.
    Holds,
    /// It holds, and where there is one its tests decide.
    OrElse,
}

/// What must hold of a flow, and of what it speaks.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// A number of the transaction: index into [`FIELDS`], and which of several is meant.
    Number(u16, NumberTest, Chosen),
    /// A number of the transaction lies in one of these, or in none.
    OneOf(u16, Vec<NumberSpan>, bool),
    /// Two numbers of the transaction are the ends of a span in which the test holds.
    Span(u16, NumberTest),
    /// A number of the transaction is two, and both tests hold.
    Pair(u16, NumberTest, NumberTest),
    /// How much the flow has had.
    Flow(FlowNumber, NumberTest),
    /// Bytes of a buffer.
    Size(BufferId, NumberTest),
    /// A parser met this: protocol, name.
    Event(&'static str, Box<str>),
    /// What the flow speaks.
    Protocol(AppLayerProtocol),
    /// Bytes that a side has sent.
    StreamSize(StreamSize),
    /// Countries of the ends.
    Country(Arc<Countries>, CountryTest),
    /// What is said of the ends in the category of this number.
    Reputation(Arc<Reputation>, u8, IpReputation),
    /// Decoding of the packet met this.
    Decode(&'static str),
    /// TCP met this.
    Stream(&'static str),
    /// An interface of DCE/RPC.
    Interface(DceInterface),
    /// Bytes of a file.
    FileSize(NumberTest),
    /// The end of a file's name, or a piece of it, upper or lower case.
    FileName {
        is_negated: bool,
        is_end: bool,
        text: Box<str>,
    },
    /// A piece of what kind of file it is, upper or lower case.
    FileMagic {
        is_negated: bool,
        text: Box<[u8]>,
    },
    FileHash {
        is_negated: bool,
        kind: FileHash,
        list: Arc<HashList>,
    },
}

/// Why a rule is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Its tests.
    #[error(transparent)]
    Unmatchable(#[from] Unmatchable),
    /// What it remembers.
    #[error(transparent)]
    Names(#[from] TooManyNames),
}

impl Signature {
    /// Makes a rule ready.
    ///
    /// # Errors
    ///
    /// [`Unmatchable`]: something of it cannot be tried.
    pub fn new(rule: Rule, sources: &Sources<'_>) -> Result<Self, Unmatchable> {
        let parts = rule.parts.iter().map(|part| {
            let absent = part.tests.iter().find_map(|test| match test {
                Test::Absent { or_else: true } => Some(Absent::OrElse),
                Test::Absent { or_else: false } => Some(Absent::Holds),
                _ => None,
            });
            Ok(Part {
                buffer: part.seen.buffer,
                frame: part.seen.frame,
                is_of_whole: part.tests.iter().any(is_of_whole),
                chain: Chain::new(&part.seen.transforms)?,
                matcher: Matcher::new(part, sources)?,
                way: part.seen.buffer.buffer().way,
                absent: absent.unwrap_or(Absent::Fails),
            })
        });
        let mut parts = parts.collect::<Result<Vec<_>, Unmatchable>>()?;
        // What changes a set is tried when all else holds.
        parts.sort_by_key(|part| part.matcher.changes_a_set());
        let (mut checks, mut asks) = (Vec::new(), Vec::new());
        for condition in &rule.conditions {
            match Check::new(condition)? {
                Some(check) => checks.push(check),
                None => asks.extend(ask(condition, sources.addresses)?),
            }
        }
        let wants_magic = parts.iter().any(|part| part.buffer == FILE_MAGIC)
            || asks.iter().any(|ask| matches!(ask, Ask::FileMagic { .. }));
        if wants_magic {
            magic::open()?;
        }
        if parts.len() + asks.len() > PIECES_MAX {
            return Err(Unmatchable::Unsupported("a rule of more than 64 parts and questions"));
        }
        if parts.iter().any(|part| part.frame.is_some()) && asks.iter().any(Ask::is_of_transaction) {
            return Err(Unmatchable::Unsupported("a frame beside what is asked of a transaction"));
        }
        let kind = kind(&rule, !checks.is_empty(), &parts, &asks);
        if kind != Kind::Packet && replaces(&rule) {
            return Err(Unmatchable::Unsupported("replace beside what is asked of a protocol"));
        }
        let applications = applications(&rule, &parts, &asks);
        let way = way(&rule, &parts, &asks);
        let is_of_both = asks.iter().any(|ask| ask.is_told_apart() || matches!(ask, Ask::Interface(_)));
        let is_told_each_way = way.is_none() && !is_of_both && parts.iter().all(|part| part.way.is_none());
        let hides_record = rule.effects.contains(&Effect::HideRecord);
        Ok(Self {
            checks,
            asks,
            parts,
            remembered: Remembered::default(),
            on_hosts: OnHosts::default(),
            kind,
            hides_record,
            applications,
            way,
            is_told_each_way,
            adjusted: Adjusted::default(),
            rule,
        })
    }

    /// What its class is called; `None`: it is of no class.
    #[must_use]
    pub fn category(&self) -> Option<&str> {
        self.adjusted.category.as_deref()
    }

    /// Gives what it remembers its numbers; `names` are those of the whole set.
    ///
    /// # Errors
    ///
    /// [`TooManyNames`].
    pub(super) fn name(&mut self, names: &mut Names) -> Result<(), TooManyNames> {
        self.remembered = Remembered::of(&self.rule, names)?;
        self.on_hosts = OnHosts::of(&self.rule, names)?;
        Ok(())
    }

    /// Of a rule as it is written, which names no file.
    #[cfg(test)]
    #[expect(clippy::unwrap_used, reason = "a failed test may panic")]
    pub(crate) fn of_text(text: &str) -> Self {
        use super::language::{RuleText, Variables, read};
        let rule = read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap();
        let (datasets, addresses) = Default::default();
        let sources =
            Sources { datasets: &datasets, addresses: &addresses, directory: std::path::Path::new("") };
        Self::new(rule, &sources).unwrap()
    }

    /// What parts and questions together are, as bits.
    pub(super) const fn all_pieces(&self) -> u64 {
        match self.parts.len() + self.asks.len() {
            PIECES_MAX => u64::MAX,
            count => (1 << count) - 1,
        }
    }

    /// Whether it may be asked about flows of this application.
    pub(super) fn is_of(&self, application: Option<&str>) -> bool {
        self.applications
            .as_ref()
            .is_none_or(|names| application.is_some_and(|application| names.contains(&application)))
    }

    /// A scratch for its tests.
    pub(super) fn scratch(&self, scratch: &mut Scratch) {
        scratch.variables.clear();
        scratch.variables.resize(self.rule.variables.len(), 0);
        scratch.decoded.clear();
        scratch.captured.clear();
        scratch.replaced.clear();
        scratch.is_dce_little_endian = true;
    }

    /// Whether it asks for nothing but what a flow speaks: that is said once of a flow.
    pub(super) fn is_of_protocol(&self) -> bool {
        self.parts.is_empty()
            && self.checks.is_empty()
            && !self.asks.is_empty()
            && self.asks.iter().all(|ask| matches!(ask, Ask::Protocol(_)))
    }

    /// Whether more of a body may change what holds of it.
    pub(super) fn is_touched_by(&self, body: &[BufferId]) -> bool {
        let is_touched =
            |part: &Part| body.contains(&part.buffer) || part.is_payload() || part.absent != Absent::Fails;
        !self.asks.is_empty()
            || self.remembered.asks()
            || self.on_hosts.asks()
            || self.parts.iter().any(is_touched)
    }

    /// Whether it asks for nothing but ends and protocol, so that it is of whole flows.
    pub(super) fn is_of_flow(&self) -> bool {
        self.checks.is_empty() && self.parts.is_empty() && self.rule.flow == FlowTest::default()
    }

    /// Which way what it is about goes, where only one is possible.
    pub(super) const fn way(&self) -> Option<Direction> {
        self.way
    }
}

impl Part {
    /// Whether its tests hold in `bytes`; `changed` is for what transforms make.
    #[inline]
    pub(super) fn holds(&self, bytes: &[u8], scratch: &mut Scratch, changed: &mut Vec<u8>) -> bool {
        if self.chain.is_empty() {
            return self.matcher.matches(bytes, scratch);
        }
        self.chain.apply(bytes, changed);
        self.matcher.matches(changed, scratch)
    }

    /// The same in what `base64_decode` made, which is taken out of `scratch` meanwhile.
    #[cold]
    pub(super) fn holds_decoded(&self, scratch: &mut Scratch, changed: &mut Vec<u8>) -> bool {
        let decoded = std::mem::take(&mut scratch.decoded);
        let holds = self.holds(&decoded, scratch, changed);
        scratch.decoded = decoded;
        holds
    }

    /// Whether trying it changes a set of data: then it is tried last, where all else holds.
    pub(super) fn changes_a_set(&self) -> bool {
        self.matcher.changes_a_set()
    }

    /// Whether it looks into a payload, or what was decoded of one.
    pub(super) fn is_payload(&self) -> bool {
        matches!(self.buffer, PAYLOAD | BASE64_DATA)
    }
}

/// The question; `None`: something else asks it.
fn ask(condition: &Condition, facts: &AddressFacts) -> Result<Option<Ask>, Unmatchable> {
    let unsupported = |what| Err(Unmatchable::Unsupported(what));
    Ok(Some(match condition {
        Condition::Transaction(field, test, chosen) => Ask::Number(*field, *test, *chosen),
        Condition::OneOf(field, spans, is_negated) => Ask::OneOf(*field, spans.clone(), *is_negated),
        Condition::Span(field, test) => Ask::Span(*field, *test),
        Condition::Pair(field, high, low) => Ask::Pair(*field, *high, *low),
        Condition::Flow(number, test) => Ask::Flow(*number, *test),
        Condition::BufferSize(buffer, test) => Ask::Size(*buffer, *test),
        Condition::AppLayerEvent(protocol, event) => Ask::Event(protocol, event.clone()),
        Condition::AppLayerProtocol(protocol) => Ask::Protocol(*protocol),
        Condition::StreamSize(size) => Ask::StreamSize(*size),
        Condition::DecodeEvent(event) => Ask::Decode(event),
        Condition::StreamEvent(event) => Ask::Stream(event),
        // What is remembered is asked for itself, and headers too.
        Condition::FlowBits(_)
        | Condition::FlowInt(..)
        | Condition::XBits(..)
        | Condition::Captured { .. } => return Ok(None),
        Condition::Packet(..)
        | Condition::DataSize(_)
        | Condition::Flags(_)
        | Condition::IpOption(_)
        | Condition::FragmentBits(_)
        | Condition::SameIp
        | Condition::Rpc(..)
        | Condition::Checksum(..) => return Ok(None),
        Condition::Country(test) => match &facts.countries {
            Some(countries) => Ask::Country(Arc::clone(countries), test.clone()),
            None => return unsupported("geoip where rules.geoip_database names no file"),
        },
        Condition::IpReputation(asked) => match &facts.reputation {
            Some(known) => match known.category(&asked.category) {
                Some(category) => Ask::Reputation(Arc::clone(known), category, asked.clone()),
                None => {
                    return unsupported(
                        "iprep of a category that no file of rules.reputation_categories has",
                    );
                }
            },
            None => return unsupported("iprep where rules.reputation_categories names no file"),
        },
        Condition::File(FileTest::Size(test)) => Ask::FileSize(*test),
        Condition::File(FileTest::Name { is_negated, name }) => {
            Ask::FileName { is_negated: *is_negated, is_end: false, text: name.clone() }
        }
        Condition::File(FileTest::Extension { is_negated, extension }) => {
            let text = format!(".{extension}").into();
            Ask::FileName { is_negated: *is_negated, is_end: true, text }
        }
        Condition::File(FileTest::Magic { is_negated, magic }) => {
            Ask::FileMagic { is_negated: *is_negated, text: magic.clone() }
        }
        Condition::File(FileTest::Hash { is_negated, kind, hashes, .. }) => match hashes {
            Some(list) => Ask::FileHash { is_negated: *is_negated, kind: *kind, list: Arc::clone(list) },
            None => return unsupported("a list of hashes of files where no file is read"),
        },
        Condition::DceInterface(interface) => Ask::Interface(*interface),
    }))
}

impl Ask {
    /// The number of transactions that it is of.
    pub(super) const fn field(&self) -> Option<u16> {
        match self {
            Self::Number(field, ..)
            | Self::OneOf(field, ..)
            | Self::Span(field, _)
            | Self::Pair(field, ..) => Some(*field),
            _ => None,
        }
    }

    /// Whether it is asked of a file.
    pub(super) const fn is_of_file(&self) -> bool {
        matches!(
            self,
            Self::FileSize(_) | Self::FileName { .. } | Self::FileMagic { .. } | Self::FileHash { .. }
        )
    }

    /// Whether parsers answer it beside what they show of buffers.
    pub(super) const fn is_told_apart(&self) -> bool {
        matches!(self, Self::Number(..) | Self::OneOf(..) | Self::Span(..) | Self::Pair(..) | Self::Event(..))
    }

    /// Whether parsers answer it.
    fn is_of_transaction(&self) -> bool {
        !matches!(
            self,
            Self::Protocol(_)
                | Self::StreamSize(_)
                | Self::Decode(_)
                | Self::Stream(_)
                | Self::Flow(..)
                | Self::Country(..)
                | Self::Reputation(..)
        ) && !matches!(self, Self::Event("applayer", _))
    }
}

/// Which way a rule goes: what it says itself, else what one of its buffers says, as Suricata has it; buffers that both ways have
/// are looked for there alone. Rules that ask for both ways, or for what is told of a transaction as a whole, go none.
fn way(rule: &Rule, parts: &[Part], asks: &[Ask]) -> Option<Direction> {
    if rule.flow.way.is_some() || rule.header.is_of_transactions || asks.iter().any(Ask::is_told_apart) {
        return rule.flow.way;
    }
    let mut ways = parts.iter().filter(|part| part.frame.is_none()).filter_map(|part| part.way);
    let first = ways.next()?;
    ways.all(|way| way == first).then_some(first)
}

/// Whether a test may hold of a part and not of the whole.
fn is_of_whole(test: &Test) -> bool {
    match test {
        Test::Content(content) => content.is_negated || content.endswith,
        Test::Expression(expression) => expression.is_negated || expression.pattern.contains('$'),
        Test::DataAt(data) => data.is_negated,
        Test::Size(_) | Test::Absent { .. } => true,
        Test::Jump(jump) => jump.from == JumpFrom::End,
        _ => false,
    }
}

/// Whether a rule that asks for no header and no bytes asks for nothing but addresses, ports and the packet's protocol
/// (`SignatureIsIPOnly` of Suricata's `detect-engine-build.c`, which leaves out negated addresses and rules that ask what a flow
/// remembers).
fn is_of_addresses(rule: &Rule, asks: &[Ask]) -> bool {
    let Header { protocol: HeaderProtocol::Packet(protocol), hook: None, source, destination, .. } =
        &rule.header
    else {
        return false;
    };
    let is_of_ip =
        !matches!(protocol, PacketProtocol::PacketHeader | PacketProtocol::Arp | PacketProtocol::Ethernet);
    let asks_memory = |condition: &Condition| {
        matches!(condition, Condition::FlowBits(_) | Condition::FlowInt(..) | Condition::Captured { .. })
    };
    let changes_more = |effect: &Effect| {
        matches!(effect, Effect::Unset(Where::Flow, _) | Effect::Toggle(Where::Flow, _) | Effect::Int(..))
    };
    is_of_ip
        && rule.flow == FlowTest::default()
        && asks.iter().all(|ask| matches!(ask, Ask::Country(..) | Ask::Reputation(..)))
        && !(source.is_negated || destination.is_negated)
        && !rule.conditions.iter().any(asks_memory)
        && !rule.effects.iter().any(changes_more)
}

/// Whether a match changes the packet.
fn replaces(rule: &Rule) -> bool {
    rule.parts.iter().flat_map(|part| &part.tests).any(Test::replaces)
}

fn kind(rule: &Rule, has_checks: bool, parts: &[Part], asks: &[Ask]) -> Kind {
    if parts.iter().any(|part| part.frame.is_some()) {
        return Kind::Frame;
    }
    let is_told = |part: &Part| matches!(part.buffer.buffer().of, Source::File | Source::Transaction(_));
    let is_at_state = matches!(rule.header.hook, Some(Hook::Transaction { .. }));
    if is_at_state || parts.iter().any(is_told) || asks.iter().any(Ask::is_of_transaction) {
        return Kind::Transaction;
    }
    if !has_checks && parts.is_empty() && is_of_addresses(rule, asks) {
        return Kind::Addresses;
    }
    let is_of_streams = match rule.header.protocol {
        HeaderProtocol::Packet(protocol) => {
            matches!(
                protocol,
                PacketProtocol::Tcp
                    | PacketProtocol::TcpStream
                    | PacketProtocol::Ip
                    | PacketProtocol::Ipv4
                    | PacketProtocol::Ipv6
            )
        }
        HeaderProtocol::Application(_) => true,
    };
    // As with Suricata, what is asked of a packet makes all of the rule one of packets.
    let has_size = asks.iter().any(|ask| matches!(ask, Ask::StreamSize(_) | Ask::Flow(..)));
    let is_of_packets = has_checks || has_size || rule.flow.stream == Some(false) || replaces(rule);
    let has_payload = parts.iter().any(|part| part.buffer == PAYLOAD);
    if !is_of_streams || is_of_packets || !has_payload {
        return Kind::Packet;
    }
    let is_stream_alone = rule.header.protocol == HeaderProtocol::Packet(PacketProtocol::TcpStream)
        || rule.flow.stream == Some(true);
    // A place in the payload may be meant of the packet, as Suricata reads it.
    let has_place = rule.parts.iter().flat_map(|part| &part.tests).any(|test| {
        matches!(test, Test::Content(Content { depth, offset, startswith, .. })
            if depth.is_some() || offset.is_some() || *startswith)
    });
    Kind::Stream { and_packets: !is_stream_alone && has_place }
}

fn applications(rule: &Rule, parts: &[Part], asks: &[Ask]) -> Option<Applications> {
    let mut names: Option<Applications> = match rule.header.protocol {
        HeaderProtocol::Application(name) => Some(meant_by(name)),
        HeaderProtocol::Packet(_) => None,
    };
    let mut narrow = |of: Applications| match &mut names {
        Some(names) => names.retain(|name| of.contains(name)),
        None => names = Some(of),
    };
    for part in parts {
        if let Source::Transaction(of) = part.buffer.buffer().of {
            narrow(of.iter().flat_map(|name| meant_by(name)).collect());
        }
        if let Some(frame) = part.frame {
            narrow(meant_by(frame.frame().of));
        }
    }
    for ask in asks {
        match ask {
            Ask::Number(field, ..) | Ask::OneOf(field, ..) | Ask::Span(field, _) | Ask::Pair(field, ..) => {
                narrow(FIELDS[usize::from(*field)].of.iter().flat_map(|name| meant_by(name)).collect());
            }
            Ask::Event(protocol, _) if *protocol != "applayer" => narrow(meant_by(protocol)),
            Ask::Interface(_) => narrow(meant_by("dcerpc")),
            _ => {}
        }
    }
    names
}

/// The protocols that a name of the language means.
fn meant_by(name: &'static str) -> Applications {
    match name {
        "http" => vec!["http", "http2", "doh2"],
        "http1" => vec!["http"],
        "http2" => vec!["http2", "doh2"],
        "dns" => vec!["dns", "doh2"],
        // It goes through pipes of SMB, too.
        "dcerpc" => vec!["dcerpc", "smb"],
        other => vec![other],
    }
}
