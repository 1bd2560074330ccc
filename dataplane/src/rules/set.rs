//! All rules of a moment, in the order in which they are tried, each behind what finds it.

mod places;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::by_address::AddressRules;
use super::detect::{Succession, asks_of_files};
use super::hashes::HashKinds;
use super::language::buffers::{FILE_MAGIC, PAYLOAD, Source};
use super::language::frames::FRAMES;
use super::matcher::Unmatchable;
use super::memory::Names;
use super::prefilter::Prefilter;
use super::profile::Profile;
use super::rule::{
    Action, BitQuery, CaptureKind, Condition, Effect, FlowNumber, FrameId, HeaderProtocol, IntQuery,
    PacketProtocol, Where,
};
use super::signature::{Ask, Kind, NotReady, Signature};
use super::tally::Tally;
use super::threads;
use crate::flow::Direction;
use crate::parse::{Headers, Network, Protocol};
use places::{Place, application_names};

/// Counts sets.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Rules, compiled. What nobody changes any more: workers share it.
#[derive(Debug, Default)]
pub struct RuleSet {
    signatures: Vec<Arc<Signature>>,
    /// Names under which flows remember, by their numbers.
    names: Vec<Arc<str>>,
    /// Rules of single packets, by [`Class`] and direction.
    packets: [[Prefilter; 2]; Class::COUNT],
    /// Rules of a TCP direction's payload in order.
    streams: [Prefilter; 2],
    /// The same, for packets of which no stream is made.
    unordered: Prefilter,
    /// Rules of what parsers tell, by protocol and direction.
    applications: HashMap<&'static str, [Prefilter; 2], foldhash::quality::RandomState>,
    /// Rules of addresses alone.
    addresses: AddressRules,
    /// Rules of frames, by direction.
    frames: [Prefilter; 2],
    /// Which kinds of frames rules ask for; none where nobody asks for any.
    wanted_frames: Vec<bool>,
    /// Bit by [`super::rule::BufferId`].
    wanted: Vec<bool>,
    /// Bit by place in [`super::language::fields::FIELDS`].
    asked: Vec<bool>,
    /// Buffers that rules ask for together with what is told later, or before.
    kept: Vec<bool>,
    /// Whether a rule asks what parsers object to.
    wants_events: bool,
    /// Whether a rule asks anything of files.
    wants_files: bool,
    /// Hashes of files that rules ask for.
    wants_hashes: HashKinds,
    /// Whether a rule asks what decoding of packets met.
    wants_decoding: bool,
    /// Whether a rule asks how long flows have been there.
    wants_age: bool,
    wants_tracking: bool,
    /// Whether a rule asks for the payload of TCP in order, by itself or beside what parsers tell.
    keeps_streams: bool,
    options: Options,
    /// Which set it is of all of this process.
    serial: u64,
    /// The set that it was read after, and how it follows that one.
    succession: Option<(u64, Arc<Succession>)>,
    tally: Tally,
    profile: Profile,
}

/// How rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether TCP that is seen from its middle is looked at as what began with a SYN is (Suricata's `stream.midstream`).
    pub midstream: bool,
    /// Matches of one packet that are told (`packet-alert-max`).
    pub alerts_per_packet: usize,
    /// Whether an alert brings the payload that matched, and its packet (EVE's `payload` and `packet`).
    pub keeps: Kept,
    /// Workers that count matches.
    pub workers: usize,
    /// Threads that make the set ready.
    pub threads: NonZero<usize>,
}

/// Which bytes an alert brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Bytes of the payload, of a stream's those that came last, at most.
    pub payload_bytes: usize,
    /// The packet.
    pub packet: bool,
    /// Packets after it, where a rule asks for them (`tag`).
    pub tagged: bool,
}

impl Default for Options {
    fn default() -> Self {
        let threads = NonZero::<usize>::MIN;
        Self { midstream: false, alerts_per_packet: 15, keeps: Kept::default(), workers: 1, threads }
    }
}

/// Packets that are asked about alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Tcp,
    Udp,
    Icmp,
    OtherIp,
    NoIp,
}

impl Class {
    const COUNT: usize = 5;
    const ALL: [Self; Self::COUNT] = [Self::Tcp, Self::Udp, Self::Icmp, Self::OtherIp, Self::NoIp];

    pub(super) fn of(headers: &Headers) -> Self {
        let Network::Ip { protocol, .. } = headers.network else { return Self::NoIp };
        match protocol {
            // Of a fragment the transport is not known.
            _ if headers.fragment.is_some() => Self::OtherIp,
            Protocol::TCP => Self::Tcp,
            Protocol::UDP => Self::Udp,
            Protocol::ICMP | Protocol::ICMPV6 => Self::Icmp,
            _ => Self::OtherIp,
        }
    }

    /// Whether packets of this class may be meant.
    fn has(self, protocol: HeaderProtocol) -> bool {
        use PacketProtocol as Of;
        let HeaderProtocol::Packet(protocol) = protocol else {
            return matches!(self, Self::Tcp | Self::Udp | Self::OtherIp);
        };
        match protocol {
            Of::PacketHeader => true,
            Of::Ip | Of::Ipv4 | Of::Ipv6 => self != Self::NoIp,
            Of::Tcp | Of::TcpPacket | Of::TcpStream => self == Self::Tcp,
            Of::Udp => self == Self::Udp,
            Of::Icmp | Of::Icmpv4 | Of::Icmpv6 => self == Self::Icmp,
            Of::Sctp | Of::Igmp => self == Self::OtherIp,
            Of::Arp | Of::Ethernet => self == Self::NoIp,
        }
    }
}

impl RuleSet {
    /// Of rules that are ready; `names` are those under which flows remember, of all sets one after the other.
    ///
    /// # Errors
    ///
    /// [`NotReady`]: a transform cannot be done, or there are too many names.
    pub fn new(signatures: Vec<Signature>, names: &mut Names, options: Options) -> Result<Self, NotReady> {
        let mut signatures = signatures;
        signatures.sort_by_key(order);
        for signature in &mut signatures {
            signature.name(names)?;
        }
        let known = names.in_order();
        let mut set = Self {
            signatures: signatures.into_iter().map(Arc::new).collect(),
            names: known,
            options,
            ..Self::default()
        };
        set.find()?;
        set.serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        set.tally = Tally::new(options.workers, set.signatures.len());
        set.profile = Profile::new(options.workers, set.signatures.len());
        Ok(set)
    }

    /// The same, for flows that are under another set: what they know of rules that both have goes on.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        let (earlier, later) = (&before.signatures, &self.signatures);
        let succession =
            Succession::new(earlier.iter().map(|one| &one.rule), later.iter().map(|one| &one.rule));
        self.succession = Some((before.serial, Arc::new(succession)));
        self
    }

    /// How it follows `before`; `None`: it was read after another one.
    pub(super) fn succession_to(&self, before: &Self) -> Option<Arc<Succession>> {
        self.succession
            .as_ref()
            .filter(|(serial, _)| *serial == before.serial)
            .map(|(_, succession)| Arc::clone(succession))
    }

    /// The rules, by the numbers that matches tell.
    #[must_use]
    pub fn signatures(&self) -> &[Arc<Signature>] {
        &self.signatures
    }

    /// The names under which flows remember, by their numbers.
    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whether there is no rule.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// How often rules matched, by the numbers that matches tell.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What trying rules costs, by the numbers that matches tell.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How rules are asked.
    #[must_use]
    pub const fn options(&self) -> Options {
        self.options
    }

    /// Whether a rule asks for a buffer.
    pub(super) fn wants(&self, buffer: super::rule::BufferId) -> bool {
        self.wanted.get(usize::from(buffer.0)).is_some_and(|wanted| *wanted)
    }

    /// Whether a rule asks for a number of transactions.
    pub(super) fn asks(&self, field: u16) -> bool {
        self.asked.get(usize::from(field)).is_some_and(|asked| *asked)
    }

    /// Whether a buffer is asked for at later stages of its transaction.
    pub(super) fn keeps(&self, buffer: super::rule::BufferId) -> bool {
        self.kept.get(usize::from(buffer.0)).is_some_and(|kept| *kept)
    }

    /// Whether a rule asks anything of files.
    pub(super) const fn wants_files(&self) -> bool {
        self.wants_files
    }

    /// Hashes of files that rules ask for.
    pub(super) const fn wants_hashes(&self) -> HashKinds {
        self.wants_hashes
    }

    /// Whether a rule asks what parsers object to.
    pub(super) const fn wants_events(&self) -> bool {
        self.wants_events
    }

    pub(super) const fn of_packets(&self, class: Class, way: Direction) -> &Prefilter {
        &self.packets[class as usize][way as usize]
    }

    /// Rules of addresses alone.
    pub(super) const fn of_addresses(&self) -> &AddressRules {
        &self.addresses
    }

    pub(super) const fn of_stream(&self, way: Direction) -> &Prefilter {
        &self.streams[way as usize]
    }

    /// Whether a rule asks for the payload of TCP in order, by itself or beside what parsers tell.
    pub(super) const fn keeps_streams(&self) -> bool {
        self.keeps_streams
    }

    /// Whether a rule asks how long flows have been there.
    pub(super) const fn wants_age(&self) -> bool {
        self.wants_age
    }

    /// Whether a rule asks what decoding of packets met.
    pub(super) const fn wants_decoding(&self) -> bool {
        self.wants_decoding
    }

    /// Whether a rule asks what TCP met (`stream-event`).
    pub(super) const fn wants_tracking(&self) -> bool {
        self.wants_tracking
    }

    pub(super) const fn of_unordered(&self) -> &Prefilter {
        &self.unordered
    }

    pub(super) fn of_application(&self, name: &str, way: Direction) -> Option<&Prefilter> {
        self.applications.get(name).map(|ways| &ways[way as usize])
    }

    pub(super) const fn of_frames(&self, way: Direction) -> &Prefilter {
        &self.frames[way as usize]
    }

    /// Whether a rule asks for frames of a kind.
    pub(super) fn wants_frame(&self, frame: FrameId) -> bool {
        self.wanted_frames.get(usize::from(frame.0)).is_some_and(|wanted| *wanted)
    }

    /// Whether a rule asks for frames of any kind.
    pub(super) const fn wants_frames(&self) -> bool {
        !self.wanted_frames.is_empty()
    }

    fn find(&mut self) -> Result<(), Unmatchable> {
        let all = || self.signatures.iter().enumerate().map(|(number, one)| (number as u32, &**one));
        let ways = [Direction::Forward, Direction::Reverse];
        let of_addresses = all().filter(|(_, one)| one.kind == Kind::Addresses);
        let addresses = AddressRules::new(of_addresses.map(|(number, one)| (number, &one.rule.header)));
        let transactions: Vec<_> = all().filter(|(_, one)| one.kind == Kind::Transaction).collect();
        let names = application_names(&transactions);
        let mut places = vec![Place::Unordered];
        for way in ways {
            places.extend(Class::ALL.map(|class| Place::Packets(class, way)));
            places.extend([Place::Stream(way), Place::Frames(way)]);
            places.extend(names.iter().map(|name| Place::Application(name, way)));
        }
        let mut contexts = vec![(); self.options.threads.get()];
        let made = threads::each(&places, 1, &mut contexts, |place, ()| place.prefilter(&self.signatures));
        let mut packets: [[Prefilter; 2]; Class::COUNT] = Default::default();
        let (mut streams, mut frames, mut unordered): ([Prefilter; 2], [Prefilter; 2], _) =
            Default::default();
        let mut applications: HashMap<&'static str, [Prefilter; 2], _> = HashMap::default();
        for (place, made) in places.iter().zip(made) {
            let made = made?;
            match *place {
                Place::Packets(class, way) => packets[class as usize][way as usize] = made,
                Place::Stream(way) => streams[way as usize] = made,
                Place::Frames(way) => frames[way as usize] = made,
                Place::Unordered => unordered = made,
                Place::Application(name, way) => applications.entry(name).or_default()[way as usize] = made,
            }
        }
        let of_frames = || all().filter(|(_, one)| one.kind == Kind::Frame);
        let mut wanted_frames = Vec::new();
        for frame in of_frames().flat_map(|(_, one)| &one.parts).filter_map(|part| part.frame) {
            wanted_frames.resize(FRAMES.len(), false);
            wanted_frames[usize::from(frame.0)] = true;
        }
        let mut wanted = vec![false; super::language::buffers::BUFFERS.len()];
        for (_, one) in all() {
            for part in &one.parts {
                wanted[usize::from(part.buffer.0)] = true;
            }
            for ask in &one.asks {
                match ask {
                    Ask::Size(buffer, _) => wanted[usize::from(buffer.0)] = true,
                    Ask::FileName { .. } => wanted[usize::from(FILE_NAME.0)] = true,
                    Ask::FileMagic { .. } => wanted[usize::from(FILE_MAGIC.0)] = true,
                    _ => {}
                }
            }
        }
        let mut asked = vec![false; super::language::fields::FIELDS.len()];
        for field in all().flat_map(|(_, one)| &one.asks).filter_map(Ask::field) {
            if let Some(place) = asked.get_mut(usize::from(field)) {
                *place = true;
            }
        }
        self.asked = asked;
        let mut kept = vec![false; wanted.len()];
        for (_, one) in all().filter(|(_, one)| is_of_stages(one)) {
            for part in one.parts.iter().filter(|part| !part.is_payload() && !is_body(part.buffer)) {
                kept[usize::from(part.buffer.0)] = true;
            }
        }
        // A file's bytes come after its name, and are described by the first of them.
        for buffer in [FILE_NAME, FILE_MAGIC] {
            kept[usize::from(buffer.0)] = wanted[usize::from(buffer.0)];
        }
        self.kept = kept;
        let has_size = |one: &Signature| one.asks.iter().any(|ask| matches!(ask, Ask::StreamSize(_)));
        let keeps_streams = wanted[usize::from(PAYLOAD.0)] || all().any(|(_, one)| has_size(one));
        self.wants_files = self.signatures.iter().any(|one| asks_of_files(one));
        self.wants_hashes =
            all().flat_map(|(_, one)| &one.asks).fold(HashKinds::default(), |kinds, ask| match ask {
                Ask::FileHash { kind, .. } => kinds.and(*kind),
                _ => kinds,
            });
        let is_event = |ask: &Ask| matches!(ask, Ask::Event(of, _) if *of != "applayer");
        let wants_events = all().any(|(_, one)| one.asks.iter().any(is_event));
        (self.packets, self.streams, self.unordered) = (packets, streams, unordered);
        self.addresses = addresses;
        (self.frames, self.wanted_frames) = (frames, wanted_frames);
        (self.applications, self.wanted, self.wants_events) = (applications, wanted, wants_events);
        self.keeps_streams = keeps_streams;
        let is_of_age = |ask: &Ask| matches!(ask, Ask::Flow(FlowNumber::Age, _));
        self.wants_age = self.signatures.iter().any(|one| one.asks.iter().any(is_of_age));
        let wants_decoding = |one: &Signature| one.asks.iter().any(|ask| matches!(ask, Ask::Decode(_)));
        self.wants_decoding = self.signatures.iter().any(|one| wants_decoding(one));
        let is_met = |ask: &Ask| matches!(ask, Ask::Stream(_) | Ask::Event("applayer", _));
        let wants_tracking = |one: &Signature| one.asks.iter().any(is_met);
        self.wants_tracking = self.signatures.iter().any(|one| wants_tracking(one));
        Ok(())
    }
}

/// Whether what a rule asks of a transaction is told at several stages.
fn is_of_stages(one: &Signature) -> bool {
    let mut told = one.parts.iter().filter(|part| !part.is_payload());
    let Some(first) = told.next() else { return false };
    let is_same = |part: &super::signature::Part| {
        part.way == first.way && is_body(part.buffer) == is_body(first.buffer)
    };
    !told.all(is_same)
}

/// Whether a buffer comes piece by piece, after what else is told.
fn is_body(buffer: super::rule::BufferId) -> bool {
    let buffer = buffer.buffer();
    matches!(buffer.of, Source::File)
        || matches!(buffer.name, "http.request_body" | "http.response_body" | "dcerpc.stub_data")
}

const FILE_NAME: super::rule::BufferId = super::language::buffers::buffer("file.name");

/// The order in which rules are tried: what passes first, then what drops, what rejects, what alerts; what remembers before what
/// asks for it; then priority. As Suricata sorts them (`detect-engine-sigorder.c`, `action-order`).
fn order(one: &Signature) -> (u8, u8, u8, u8, u8, u8, u8) {
    let rule = &one.rule;
    let action = match rule.action {
        Action::Pass => 0,
        Action::Drop => 1,
        Action::Reject(_) => 2,
        Action::Alert | Action::Config => 3,
    };
    let rank = |sets: bool, asks: bool| match (sets, asks) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    };
    let sets = |wanted: &dyn Fn(&Effect) -> bool| rule.effects.iter().any(wanted);
    let asks = |wanted: &dyn Fn(&Condition) -> bool| rule.conditions.iter().any(wanted);
    let is_bit = |place: Where| place == Where::Flow;
    let bits = rank(
        sets(&|effect| match effect {
            Effect::Set(place, ..) | Effect::Unset(place, _) | Effect::Toggle(place, _) => is_bit(*place),
            _ => false,
        }),
        asks(&|condition| {
            matches!(condition, Condition::FlowBits(BitQuery::IsSet(_) | BitQuery::IsNotSet(_)))
        }),
    );
    let numbers = rank(
        sets(&|effect| matches!(effect, Effect::Int(..))),
        asks(&|condition| {
            matches!(
                condition,
                Condition::FlowInt(_, IntQuery::IsSet | IntQuery::IsNotSet | IntQuery::Compares(..))
            )
        }),
    );
    let hosts = rank(
        sets(&|effect| match effect {
            Effect::Set(place, ..) | Effect::Unset(place, _) | Effect::Toggle(place, _) => !is_bit(*place),
            _ => false,
        }),
        asks(&|condition| matches!(condition, Condition::XBits(..))),
    );
    let captured = |kind: CaptureKind| {
        let is_of_packet = kind == CaptureKind::Packet;
        rank(
            rule.captures.iter().any(|capture| capture.kind == kind),
            asks(
                &|condition| matches!(condition, Condition::Captured { of_packet, .. } if *of_packet == is_of_packet),
            ),
        )
    };
    let (of_flow, of_packet) = (captured(CaptureKind::Flow), captured(CaptureKind::Packet));
    (action, bits, numbers, of_flow, of_packet, hosts, rule.priority.unwrap_or(PRIORITY))
}

/// Of a rule that says none.
pub const PRIORITY: u8 = 3;
