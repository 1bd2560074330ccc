//! What is known of a flow when policy is asked? Small, `Copy`, and honest about what is not known yet.

use super::names::{Kind, NameId, Vocabulary};
use crate::dpi::Summary;
use crate::flow::{Direction, FlowRecord};
use crate::geography::Geography;
use crate::parse::{Addr, Headers, Mac, Network, Protocol, Transport};
use crate::time::Wall;

/// One thing that may be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fact<T> {
    /// It is this.
    Known(T),
    /// There is none, or nobody will ever tell: a condition on it does not hold.
    #[default]
    Absent,
    /// Somebody will tell: a condition on it may hold.
    Pending,
}

impl<T> Fact<T> {
    /// The value, where it is known.
    #[must_use]
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Pending => None,
        }
    }

    /// Whether somebody will tell.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// The same, with the value changed.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(change(value)),
            Self::Absent => Fact::Absent,
            Self::Pending => Fact::Pending,
        }
    }
}

impl<T> From<Option<T>> for Fact<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }
}

/// A user as identity asserts him; names are numbers of [`super::Names`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `Kind::UserId`.
    pub id: NameId,
    /// `Kind::Role`.
    pub role: Option<NameId>,
    /// `Kind::Group`.
    pub groups: Vec<NameId>,
    /// `Kind::AttributeKey` and `Kind::AttributeValue`.
    pub attributes: Vec<(NameId, NameId)>,
}

/// The facts of one flow. Source is the initiator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Zone of the port that the first packet came in by.
    pub zone: Fact<u8>,
    /// That port.
    pub in_port: Fact<u8>,
    /// Outer VLAN identifier, 0 for untagged.
    pub vlan: Fact<u16>,
    /// Initiator's Ethernet address.
    pub src_mac: Fact<Mac>,
    /// Initiator's address.
    pub src_ip: Fact<Addr>,
    /// Responder's address.
    pub dst_ip: Fact<Addr>,
    /// Initiator's port; absent where the protocol has none.
    pub src_port: Fact<u16>,
    /// Responder's port.
    pub dst_port: Fact<u16>,
    /// IANA protocol number of the innermost packet.
    pub l4_protocol: Fact<u8>,
    /// When it is judged, for schedules.
    pub wall: Wall,
    /// `Kind::Application`.
    pub application: Fact<NameId>,
    /// `Kind::Category`.
    pub category: Fact<NameId>,
    /// `Kind::Protocol`.
    pub l7_protocol: Fact<NameId>,
    /// How sure the classifier is, 0 to 100.
    pub confidence: Fact<u8>,
    /// Initiator's user.
    pub user: Fact<&'a User>,
    /// Responder's user.
    pub dst_user: Fact<&'a User>,
    /// `Kind::Country` of the end that is outside.
    pub country: Fact<NameId>,
}

impl<'a> Facts<'a> {
    /// The same with whoever is known at the ends: that nobody is known is known.
    #[must_use]
    pub fn with_users(self, user: Option<&'a User>, dst_user: Option<&'a User>) -> Self {
        Self { user: user.into(), dst_user: dst_user.into(), ..self }
    }

    /// Adds in which country the flow is, by its endpoints: known, or absent, for nobody tells more of it later. Without a database nobody
    /// knows.
    pub fn tell_country(&mut self, geography: Option<&Geography>) {
        let (src, dst) = (self.src_ip.known(), self.dst_ip.known());
        let code =
            geography.zip(src.zip(dst)).and_then(|(geography, (src, dst))| geography.of_flow(src, dst));
        self.country = code.map(NameId::of_country).into();
    }

    /// Adds what payload tells, where it tells anything yet.
    #[inline]
    pub fn tell_payload(&mut self, summary: &Summary, words: &Vocabulary) {
        let Some(app) = summary.app_name() else { return };
        self.application = Fact::Known(words.number(Kind::Application, app));
        self.category = Fact::Known(words.number(Kind::Category, summary.category().name()));
        self.confidence = Fact::Known(summary.confidence);
        if let Some(protocol) = summary.protocol {
            self.l7_protocol = Fact::Known(words.number(Kind::Protocol, protocol.name));
        }
    }
}

/// A set of facts that are pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending(pub u32);

macro_rules! fact_bits {
    ($($field:ident = $bit:literal,)+) => {
        impl Facts<'_> {
            /// Which facts are pending.
            #[inline]
            #[must_use]
            pub fn pending(&self) -> Pending {
                Pending(0 $(| (u32::from(self.$field.is_pending()) << $bit))+)
            }

            /// Makes the fact of that name pending: what `"undecided"` of an evaluation asks. `false` for a
            /// name that is no fact.
            pub fn set_pending(&mut self, name: &str) -> bool {
                match name {
                    $(stringify!($field) => self.$field = Fact::Pending,)+
                    "protocol" => {
                        if self.l4_protocol == Fact::Absent {
                            self.l4_protocol = Fact::Pending;
                        }
                        self.l7_protocol = Fact::Pending;
                    }
                    "min_confidence" => self.confidence = Fact::Pending,
                    "user_id" | "user_role" | "groups" | "attributes" => self.user = Fact::Pending,
                    "dst_user_id" | "dst_user_role" => self.dst_user = Fact::Pending,
                    _ => return false,
                }
                true
            }
        }

        impl Pending {
            /// Names of the facts in the set.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                [$(($bit, stringify!($field)),)+]
                    .into_iter()
                    .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
                    .map(|(_, name)| name)
            }
        }
    };
}

fact_bits! {
    zone = 0,
    in_port = 1,
    vlan = 2,
    src_mac = 3,
    src_ip = 4,
    dst_ip = 5,
    src_port = 6,
    dst_port = 7,
    l4_protocol = 8,
    application = 9,
    category = 10,
    l7_protocol = 11,
    confidence = 12,
    user = 13,
    dst_user = 14,
    country = 15,
}

impl Pending {
    /// Whether nothing is pending.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Facts<'static> {
    /// Nothing known and nothing to come, at `wall`.
    #[must_use]
    pub const fn none(wall: Wall) -> Self {
        Self {
            zone: Fact::Absent,
            in_port: Fact::Absent,
            vlan: Fact::Absent,
            src_mac: Fact::Absent,
            src_ip: Fact::Absent,
            dst_ip: Fact::Absent,
            src_port: Fact::Absent,
            dst_port: Fact::Absent,
            l4_protocol: Fact::Absent,
            wall,
            application: Fact::Absent,
            category: Fact::Absent,
            l7_protocol: Fact::Absent,
            confidence: Fact::Absent,
            user: Fact::Absent,
            dst_user: Fact::Absent,
            country: Fact::Absent,
        }
    }

    /// What the headers of one packet tell. `direction` is that packet's: a reply is turned round, so that
    /// the source is always the initiator. `in_port` and `zone` are those of the flow's first packet.
    ///
    /// Ports are absent where the protocol has none (an ICMP identifier is no port). What headers cannot tell
    /// is absent; a caller with a supplier for it sets it to known or pending.
    #[inline]
    #[must_use]
    pub fn of(headers: &Headers, direction: Direction, in_port: u8, zone: u8, wall: Wall) -> Self {
        let mut facts = Self::none(wall);
        facts.zone = Fact::Known(zone);
        facts.in_port = Fact::Known(in_port);
        facts.vlan = Fact::Known(headers.vlan_outer);
        let ports = match headers.transport {
            Transport::Tcp(tcp) => Some((tcp.src_port, tcp.dst_port)),
            Transport::Udp { src_port, dst_port } | Transport::Sctp { src_port, dst_port, .. } => {
                Some((src_port, dst_port))
            }
            Transport::Icmp(_) | Transport::None => None,
        };
        let forward = direction == Direction::Forward;
        facts.src_mac = Fact::Known(if forward { headers.src_mac } else { headers.dst_mac });
        if let Network::Ip { src, dst, protocol, .. } = headers.network {
            let (src, dst) = if forward { (src, dst) } else { (dst, src) };
            facts.src_ip = Fact::Known(src);
            facts.dst_ip = Fact::Known(dst);
            facts.l4_protocol = Fact::Known(protocol);
        }
        if let Some((src_port, dst_port)) = ports {
            let (src_port, dst_port) = if forward { (src_port, dst_port) } else { (dst_port, src_port) };
            facts.src_port = Fact::Known(src_port);
            facts.dst_port = Fact::Known(dst_port);
        }
        facts
    }

    /// What a flow's record tells besides its payload and its users.
    #[must_use]
    pub fn of_record(record: &FlowRecord, zone: u8, wall: Wall) -> Self {
        let mut facts = Self::none(wall);
        let (src, dst) = record.endpoints();
        facts.zone = Fact::Known(zone);
        facts.in_port = Fact::Known(record.in_port);
        facts.vlan = Fact::Known(record.key.labels().vlan_outer);
        facts.src_mac = Fact::Known(record.src_mac);
        facts.l4_protocol = Fact::Known(record.key.protocol());
        facts.src_ip = Fact::Known(src.0);
        facts.dst_ip = Fact::Known(dst.0);
        if matches!(record.key.protocol(), Protocol::TCP | Protocol::UDP | Protocol::SCTP) {
            facts.src_port = Fact::Known(src.1);
            facts.dst_port = Fact::Known(dst.1);
        }
        facts
    }

    /// Puts the initiator and the responder that the flow began with in: those of a redirected packet differ.
    #[inline]
    pub fn set_endpoints(&mut self, initiator: (Addr, u16), responder: (Addr, u16)) {
        self.src_ip = Fact::Known(initiator.0);
        self.dst_ip = Fact::Known(responder.0);
        if self.src_port != Fact::Absent {
            self.src_port = Fact::Known(initiator.1);
            self.dst_port = Fact::Known(responder.1);
        }
    }
}
