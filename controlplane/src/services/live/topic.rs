//! Which events are there to listen to?

use std::fmt;
use std::str::FromStr;

use crate::services::auth::role::Permission;

/// What somebody listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Drops, rejects, anomalies and alerts.
    Alerts,
    /// Flows that ended.
    Flows,
    /// What protocols' parsers tell: requests, queries, handshakes.
    Protocols,
    /// Rates of the whole box, each second.
    Traffic,
    /// Policy sets that came in force, and attempts.
    Policy,
    /// Links, workers, health, the block list; for whoever reads the audit also logins and accounts.
    System,
}

impl Topic {
    /// All of them. There is none for forensics: nothing on this box tells of it.
    pub const ALL: [Self; 6] =
        [Self::Alerts, Self::Flows, Self::Protocols, Self::Traffic, Self::Policy, Self::System];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its name in messages, queries and Socket.IO.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Flows => "flows",
            Self::Protocols => "protocols",
            Self::Traffic => "traffic",
            Self::Policy => "policy",
            Self::System => "system",
        }
    }

    /// What listening takes, besides [`Permission::EventsRead`].
    #[must_use]
    pub const fn needs(self) -> Permission {
        match self {
            Self::Alerts => Permission::EventsRead,
            Self::Flows | Self::Protocols => Permission::DpiRead,
            Self::Traffic => Permission::TelemetryRead,
            Self::Policy => Permission::PolicyRead,
            Self::System => Permission::WireRead,
        }
    }

    /// Whether what is told of it goes to the disk too, so that a listener can go back further than memory does.
    #[must_use]
    pub const fn is_recorded(self) -> bool {
        match self {
            Self::Alerts | Self::Flows | Self::Protocols => true,
            Self::Traffic | Self::Policy | Self::System => false,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|topic| topic.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|topic| topic.name()).collect();
            format!("`{text}` is no topic; one of {} is", names.join(", "))
        })
    }
}

/// Some topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Topics(pub(super) u8);

impl Topics {
    /// None.
    pub const NONE: Self = Self(0);

    /// Just one.
    #[must_use]
    pub const fn of(topic: Topic) -> Self {
        Self(1 << topic as u8)
    }

    /// With those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `topic` is one.
    #[must_use]
    pub const fn has(self, topic: Topic) -> bool {
        self.0 & Self::of(topic).0 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one is in both.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Topic> {
        Topic::ALL.into_iter().filter(move |topic| self.has(*topic))
    }

    /// Their names.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Topic::name).collect()
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<I: IntoIterator<Item = Topic>>(topics: I) -> Self {
        topics.into_iter().fold(Self::NONE, |all, topic| all.with(Self::of(topic)))
    }
}
