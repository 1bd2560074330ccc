//! Does one condition hold for these facts: yes, no, or perhaps once a pending fact is known?
//!
//! Values are bound to numbers here; a test is a bit, a binary search or a comparison, never a string.

use super::facts::{Fact, Facts, User};
use super::model::{AddrSet, in_ranges};
use super::names::NameId;
use crate::parse::Mac;

/// What is known about a condition or a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold, whatever becomes known.
    False,
    /// It may hold: a fact is pending.
    Unknown,
}

impl Truth {
    pub(super) const fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    pub(super) const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, Self::False) => Self::False,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// A field of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the fields of the policy language")]
pub enum Field {
    Zone,
    InPort,
    Vlan,
    SrcMac,
    SrcIp,
    DstIp,
    SrcPort,
    DstPort,
    Protocol,
    Application,
    Category,
    MinConfidence,
    UserId,
    UserRole,
    Groups,
    Attributes,
    DstUserId,
    DstUserRole,
    Country,
    Schedule,
}

impl Field {
    /// The name in policy files and explanations.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::InPort => "in_port",
            Self::Vlan => "vlan",
            Self::SrcMac => "src_mac",
            Self::SrcIp => "src_ip",
            Self::DstIp => "dst_ip",
            Self::SrcPort => "src_port",
            Self::DstPort => "dst_port",
            Self::Protocol => "protocol",
            Self::Application => "application",
            Self::Category => "category",
            Self::MinConfidence => "min_confidence",
            Self::UserId => "user_id",
            Self::UserRole => "user_role",
            Self::Groups => "groups",
            Self::Attributes => "attributes",
            Self::DstUserId => "dst_user_id",
            Self::DstUserRole => "dst_user_role",
            Self::Country => "country",
            Self::Schedule => "schedule",
        }
    }
}

/// A set of small numbers: zones, ports of the box, protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) fn insert(&mut self, value: u8) {
        self.0[usize::from(value >> 6)] |= 1 << (value & 63);
    }

    pub(super) const fn contains(&self, value: u8) -> bool {
        self.0[(value >> 6) as usize] >> (value & 63) & 1 == 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..).zip(self.0).flat_map(|(word, mut bits): (u8, u64)| {
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros() as u8)?;
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }
}

impl FromIterator<u8> for ByteSet {
    fn from_iter<I: IntoIterator<Item = u8>>(values: I) -> Self {
        let mut set = Self::default();
        values.into_iter().for_each(|value| set.insert(value));
        set
    }
}

/// A sorted list of names' numbers.
pub(super) type NameSet = Box<[NameId]>;

/// Inclusive, sorted, disjoint spans of ports or VLAN identifiers.
pub(super) type Spans = Box<[(u16, u16)]>;

/// One written field, bound.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) test: Test,
    /// From `not`: holds where the test does not.
    pub(super) negated: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Zone(ByteSet),
    InPort(ByteSet),
    Vlan(Spans),
    SrcMac(Box<[Mac]>),
    SrcIp(AddrSet),
    DstIp(AddrSet),
    SrcPort(Spans),
    DstPort(Spans),
    Protocol {
        l4: ByteSet,
        l7: NameSet,
    },
    Application(NameSet),
    Category(NameSet),
    MinConfidence(u8),
    UserId(NameSet),
    UserRole(NameSet),
    Groups(NameSet),
    /// `values` of `None` is presence.
    Attribute {
        key: NameId,
        values: Option<NameSet>,
    },
    DstUserId(NameSet),
    DstUserRole(NameSet),
    Country(NameSet),
    /// Indices of the set's schedules.
    Schedule(Box<[u32]>),
}

/// Which of a set's schedules hold at one minute.
pub(super) trait Clock {
    fn holds(&self, schedule: u32) -> bool;
}

impl Test {
    pub(super) const fn field(&self) -> Field {
        match self {
            Self::Zone(_) => Field::Zone,
            Self::InPort(_) => Field::InPort,
            Self::Vlan(_) => Field::Vlan,
            Self::SrcMac(_) => Field::SrcMac,
            Self::SrcIp(_) => Field::SrcIp,
            Self::DstIp(_) => Field::DstIp,
            Self::SrcPort(_) => Field::SrcPort,
            Self::DstPort(_) => Field::DstPort,
            Self::Protocol { .. } => Field::Protocol,
            Self::Application(_) => Field::Application,
            Self::Category(_) => Field::Category,
            Self::MinConfidence(_) => Field::MinConfidence,
            Self::UserId(_) => Field::UserId,
            Self::UserRole(_) => Field::UserRole,
            Self::Groups(_) => Field::Groups,
            Self::Attribute { .. } => Field::Attributes,
            Self::DstUserId(_) => Field::DstUserId,
            Self::DstUserRole(_) => Field::DstUserRole,
            Self::Country(_) => Field::Country,
            Self::Schedule(_) => Field::Schedule,
        }
    }

    fn truth(&self, facts: &Facts<'_>, clock: &impl Clock) -> Truth {
        match self {
            Self::Zone(set) => known(facts.zone, |value| set.contains(value)),
            Self::InPort(set) => known(facts.in_port, |value| set.contains(value)),
            Self::Vlan(spans) => known(facts.vlan, |value| in_ranges(spans, value)),
            Self::SrcMac(set) => known(facts.src_mac, |value| set.binary_search(&value).is_ok()),
            Self::SrcIp(set) => known(facts.src_ip, |value| set.contains(value)),
            Self::DstIp(set) => known(facts.dst_ip, |value| set.contains(value)),
            Self::SrcPort(spans) => known(facts.src_port, |value| in_ranges(spans, value)),
            Self::DstPort(spans) => known(facts.dst_port, |value| in_ranges(spans, value)),
            Self::Protocol { l4, l7 } => {
                let l7 =
                    if l7.is_empty() { Truth::False } else { known(facts.l7_protocol, |id| has(l7, id)) };
                known(facts.l4_protocol, |value| l4.contains(value)).or(l7)
            }
            Self::Application(set) => known(facts.application, |id| has(set, id)),
            Self::Category(set) => known(facts.category, |id| has(set, id)),
            Self::MinConfidence(min) => known(facts.confidence, |value| value >= *min),
            Self::UserId(set) => known(facts.user, |user| has(set, user.id)),
            Self::UserRole(set) => known(facts.user, |user| has_role(set, user)),
            Self::Groups(set) => known(facts.user, |user| user.groups.iter().any(|id| has(set, *id))),
            Self::Attribute { key, values } => known(facts.user, |user| {
                user.attributes.iter().any(|(name, value)| {
                    name == key && values.as_ref().is_none_or(|values| has(values, *value))
                })
            }),
            Self::DstUserId(set) => known(facts.dst_user, |user| has(set, user.id)),
            Self::DstUserRole(set) => known(facts.dst_user, |user| has_role(set, user)),
            Self::Country(set) => known(facts.country, |id| has(set, id)),
            Self::Schedule(schedules) => schedules.iter().any(|index| clock.holds(*index)).into(),
        }
    }
}

impl Condition {
    #[inline]
    pub(super) fn truth(&self, facts: &Facts<'_>, clock: &impl Clock) -> Truth {
        let truth = self.test.truth(facts, clock);
        if self.negated { truth.not() } else { truth }
    }
}

#[inline]
fn known<T>(fact: Fact<T>, test: impl FnOnce(T) -> bool) -> Truth {
    match fact {
        Fact::Known(value) => test(value).into(),
        Fact::Absent => Truth::False,
        Fact::Pending => Truth::Unknown,
    }
}

fn has(set: &[NameId], id: NameId) -> bool {
    set.binary_search(&id).is_ok()
}

fn has_role(set: &[NameId], user: &User) -> bool {
    user.role.is_some_and(|role| has(set, role))
}
