//! What is a protocol, to recognition? A name, a category, and how its payload gives it away.
//!
//! Each protocol is one `static` beside its parser; `protocols/mod.rs` lists them by group. Names are lower case, as in
//! `jarvis.protocol`, policies and the API; where Suricata has its own name for `app_proto` it stands in `eve`.

use super::parser::Parser;
use crate::flow::Direction;

/// One protocol.
pub struct Protocol {
    /// Lower case, the field's usual name: `tls`, `postgresql`.
    pub name: &'static str,
    /// Suricata's `app_proto` where it differs: `pgsql`.
    pub eve: Option<&'static str>,
    /// What it is for.
    pub category: Category,
    /// How payload gives it away; empty where only another parser names it (an upgrade, a STARTTLS).
    pub probes: &'static [Probe],
    /// Makes the parser of one flow; `None` where a name is all there is to know.
    pub parser: Option<fn() -> Box<dyn Parser>>,
}

impl Protocol {
    /// A protocol whose name is all there is to know: recognised, never parsed.
    #[must_use]
    pub const fn named(name: &'static str, category: Category, probes: &'static [Probe]) -> Self {
        Self { name, eve: None, category, probes, parser: None }
    }

    /// Its name in EVE and in rules.
    #[must_use]
    pub fn eve_name(&self) -> &'static str {
        self.eve.unwrap_or(self.name)
    }
}

impl std::fmt::Debug for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Protocol {}

/// What a protocol or an application is for; names as policies have them (`"category": ["media"]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it; `name` has the spelling of policies")]
pub enum Category {
    Unknown,
    Web,
    Network,
    Voip,
    Cloud,
    Vpn,
    Cryptocurrency,
    Chat,
    Game,
    Media,
    SocialNetwork,
    System,
    Iot,
    RemoteAccess,
    Database,
    Download,
    Email,
    Collaborative,
    DataTransfer,
    Streaming,
    Video,
    Music,
    SoftwareUpdate,
    ConnectivityCheck,
    VirtualAssistant,
    Shopping,
    Advertisement,
    Rpc,
    FileSharing,
    Cybersecurity,
    Adult,
    News,
    Finance,
    Education,
    Health,
    Travel,
    Dating,
    Gambling,
    Productivity,
    Messaging,
    Malware,
    Mining,
    ArtificialIntelligence,
}

impl Category {
    /// All but [`Self::Unknown`], which nothing is.
    pub const ALL: &[Self] = &[
        Self::Web,
        Self::Network,
        Self::Voip,
        Self::Cloud,
        Self::Vpn,
        Self::Cryptocurrency,
        Self::Chat,
        Self::Game,
        Self::Media,
        Self::SocialNetwork,
        Self::System,
        Self::Iot,
        Self::RemoteAccess,
        Self::Database,
        Self::Download,
        Self::Email,
        Self::Collaborative,
        Self::DataTransfer,
        Self::Streaming,
        Self::Video,
        Self::Music,
        Self::SoftwareUpdate,
        Self::ConnectivityCheck,
        Self::VirtualAssistant,
        Self::Shopping,
        Self::Advertisement,
        Self::Rpc,
        Self::FileSharing,
        Self::Cybersecurity,
        Self::Adult,
        Self::News,
        Self::Finance,
        Self::Education,
        Self::Health,
        Self::Travel,
        Self::Dating,
        Self::Gambling,
        Self::Productivity,
        Self::Messaging,
        Self::Malware,
        Self::Mining,
        Self::ArtificialIntelligence,
    ];

    /// The category of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|category| category.name() == name)
    }

    /// The name in policies, EVE and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Web => "web",
            Self::Network => "network",
            Self::Voip => "voip",
            Self::Cloud => "cloud",
            Self::Vpn => "vpn",
            Self::Cryptocurrency => "crypto_currency",
            Self::Chat => "chat",
            Self::Game => "game",
            Self::Media => "media",
            Self::SocialNetwork => "socialnetwork",
            Self::System => "system",
            Self::Iot => "iot-scada",
            Self::RemoteAccess => "remoteaccess",
            Self::Database => "database",
            Self::Download => "download",
            Self::Email => "email",
            Self::Collaborative => "collaborative",
            Self::DataTransfer => "datatransfer",
            Self::Streaming => "streaming",
            Self::Video => "video",
            Self::Music => "music",
            Self::SoftwareUpdate => "softwareupdate",
            Self::ConnectivityCheck => "conncheck",
            Self::VirtualAssistant => "virtassistant",
            Self::Shopping => "shopping",
            Self::Advertisement => "advertisement",
            Self::Rpc => "rpc",
            Self::FileSharing => "filesharing",
            Self::Cybersecurity => "cybersecurity",
            Self::Adult => "adult",
            Self::News => "news",
            Self::Finance => "finance",
            Self::Education => "education",
            Self::Health => "health",
            Self::Travel => "travel",
            Self::Dating => "dating",
            Self::Gambling => "gambling",
            Self::Productivity => "productivity",
            Self::Messaging => "messaging",
            Self::Malware => "malware",
            Self::Mining => "mining",
            Self::ArtificialIntelligence => "ai",
        }
    }
}

/// One way in which payload gives a protocol away.
#[derive(Debug)]
pub struct Probe {
    /// Below which transport.
    pub over: Over,
    /// What the first byte of a direction's payload can be: asked before `look` is called.
    pub first: First,
    /// Looks at payload. Never reads beyond it, never panics, whatever it is.
    pub look: fn(&Peek<'_>) -> Match,
}

impl Probe {
    /// Over TCP.
    #[must_use]
    pub const fn tcp(first: First, look: fn(&Peek<'_>) -> Match) -> Self {
        Self { over: Over::Tcp, first, look }
    }

    /// Over UDP.
    #[must_use]
    pub const fn udp(first: First, look: fn(&Peek<'_>) -> Match) -> Self {
        Self { over: Over::Udp, first, look }
    }
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// TCP: `look` sees the direction's bytes from their start.
    Tcp,
    /// UDP: `look` sees one datagram.
    Udp,
    /// Either.
    TcpOrUdp,
    /// The data chunks of SCTP: `look` sees the packet after the common header (RFC 9260 3).
    Sctp,
}

/// The first byte of a payload.
#[derive(Debug, Clone, Copy)]
pub enum First {
    /// Any.
    Any,
    /// One of these.
    Of(&'static [u8]),
    /// Between these, both included.
    In(u8, u8),
}

impl First {
    /// Whether `byte` can be it.
    #[must_use]
    pub fn allows(self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Of(bytes) => bytes.contains(&byte),
            Self::In(low, high) => (low..=high).contains(&byte),
        }
    }
}

/// What a probe sees.
#[derive(Debug, Clone, Copy)]
pub struct Peek<'a> {
    /// TCP: what this direction has sent so far, from its first byte (at most 4 KiB of it). UDP: this datagram.
    pub bytes: &'a [u8],
    /// Which way it goes. For a flow seen from its middle this is a guess.
    pub way: Direction,
    /// How many payloads this direction had before this one.
    pub nth: u32,
    /// Port of the initiator, and of the responder.
    pub ports: (u16, u16),
    /// The beginning (at most 64 bytes) of the other direction's first payload; empty where there was none.
    pub other: &'a [u8],
    /// The beginning (at most 64 bytes) of this direction's payload before this one; empty for the first one.
    pub previous: &'a [u8],
    /// Whether the flow goes to a multicast or broadcast address.
    pub is_multicast: bool,
    /// Whether it is TCP.
    pub is_tcp: bool,
}

impl Peek<'_> {
    /// Whether either port is `port`.
    #[must_use]
    pub const fn has_port(&self, port: u16) -> bool {
        self.ports.0 == port || self.ports.1 == port
    }

    /// Whether `text` stands anywhere in the first KiB.
    #[must_use]
    pub fn contains(&self, text: &[u8]) -> bool {
        const DEPTH: usize = 1_024;
        let (Some(head), Some(first)) = (self.bytes.get(..self.bytes.len().min(DEPTH)), text.first()) else {
            return false;
        };
        head.windows(text.len().max(1)).any(|window| window[0] == *first && window == text)
    }

    /// The port of whoever receives this payload.
    #[must_use]
    pub const fn to_port(&self) -> u16 {
        match self.way {
            Direction::Forward => self.ports.1,
            Direction::Reverse => self.ports.0,
        }
    }

    /// A big-endian number at `at`; 0 beyond the end.
    #[must_use]
    pub fn be16(&self, at: usize) -> u16 {
        self.bytes.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// A big-endian number at `at`; 0 beyond the end.
    #[must_use]
    pub fn be32(&self, at: usize) -> u32 {
        self.bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A little-endian number at `at`; 0 beyond the end.
    #[must_use]
    pub fn le16(&self, at: usize) -> u16 {
        self.be16(at).swap_bytes()
    }

    /// A little-endian number at `at`; 0 beyond the end.
    #[must_use]
    pub fn le32(&self, at: usize) -> u32 {
        self.be32(at).swap_bytes()
    }
}

/// What a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is not, and will not be: not asked again for this flow.
    No,
    /// It may be: ask again when more has come.
    More,
    /// It is, with this confidence (0 to 100). From 80 on the search ends; below, a surer protocol may still come.
    /// Magic numbers and checked lengths deserve 90 and more, a plausible header of few bits 50 to 70.
    Yes(u8),
}

impl Match {
    /// Sure if `is`, else not.
    #[must_use]
    pub const fn sure(is: bool) -> Self {
        if is { Self::Yes(95) } else { Self::No }
    }

    /// With `confidence` if `is`, else not.
    #[must_use]
    pub const fn of(is: bool, confidence: u8) -> Self {
        if is { Self::Yes(confidence) } else { Self::No }
    }

    /// Waits for more where it is a no and `waits`.
    #[must_use]
    pub const fn or_more(self, waits: bool) -> Self {
        match self {
            Self::No if waits => Self::More,
            _ => self,
        }
    }
}

/// What the tests of protocols ask with.
#[cfg(test)]
pub mod samples {
    use super::{Direction, Match, Over, Peek, Protocol};

    type Look = fn(&Peek<'_>) -> Match;

    /// The first payload of a flow to `port`.
    pub fn peek(bytes: &[u8], port: u16, is_tcp: bool) -> Peek<'_> {
        Peek {
            bytes,
            way: Direction::Forward,
            nth: 0,
            ports: (40_000, port),
            other: &[],
            previous: &[],
            is_multicast: false,
            is_tcp,
        }
    }

    /// The first datagram of a flow to a port that says nothing.
    pub fn datagram(bytes: &[u8]) -> Peek<'_> {
        peek(bytes, 40_001, false)
    }

    /// The beginning of a TCP stream to a port that says nothing.
    pub fn stream(bytes: &[u8]) -> Peek<'_> {
        peek(bytes, 40_001, true)
    }

    /// What `look` says of a first payload to `port`; every prefix of it is shown too, and must do no harm.
    pub fn looked(look: Look, bytes: &[u8], port: u16, is_tcp: bool) -> Match {
        for len in 0..bytes.len() {
            let _ = look(&peek(&bytes[..len], port, is_tcp));
        }
        look(&peek(bytes, port, is_tcp))
    }

    /// Each probe is that sure of its first message to a port that says nothing, and no prefix does harm.
    pub fn sure_of(cases: &[(Look, &[u8], u8)]) {
        for (look, bytes, confidence) in cases {
            assert_eq!(looked(*look, bytes, 9, true), Match::Yes(*confidence), "{bytes:?}");
        }
    }

    /// Each first message (name, probe, bytes) is known by its own probe and claimed by no other of the table, and no
    /// prefix of it does harm.
    pub fn told_apart(cases: &[(&str, Look, &[u8])]) {
        for (name, look, bytes) in cases {
            let own = looked(*look, bytes, 50_000, true);
            assert!(matches!(own, Match::Yes(80..)), "{name}: {own:?}");
            for (other, _, foreign) in cases.iter().filter(|(other, ..)| other != name) {
                assert!(
                    !matches!(look(&peek(foreign, 50_000, true)), Match::Yes(_)),
                    "{name} claims {other}"
                );
            }
        }
    }

    /// How sure `protocol` is of `peek`; every prefix of it is asked about too, and must do no harm.
    pub fn confidence(protocol: &Protocol, peek: &Peek<'_>) -> u8 {
        let mut best = 0;
        for probe in protocol.probes {
            let over = match probe.over {
                Over::Tcp => peek.is_tcp,
                Over::Udp => !peek.is_tcp,
                Over::TcpOrUdp | Over::Sctp => true,
            };
            if !over || !peek.bytes.first().is_some_and(|byte| probe.first.allows(*byte)) {
                continue;
            }
            for len in 1..peek.bytes.len() {
                let _ = (probe.look)(&Peek { bytes: &peek.bytes[..len], ..*peek });
            }
            if let Match::Yes(confidence) = (probe.look)(peek) {
                best = best.max(confidence);
            }
        }
        best
    }
}
