//! Which of two overlapping fragments does the receiver believe?
//!
//! Receivers differ, and an evader uses the difference. Judy Novak, "Target-Based Fragmentation
//! Reassembly" (2005) names the rules; each is a question about where the two fragments begin and end, as
//! they were sent.

/// What becomes of bytes that two fragments of one datagram both carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OverlapPolicy {
    /// Inline: equal bytes are tolerated, different ones condemn the datagram (RFC 5722).
    #[default]
    Refuse,
    /// The fragment that came first.
    First,
    /// The fragment that came last.
    Last,
    /// The earlier one, unless the later begins before it (BSD, macOS, AIX, HP-UX before 11).
    Bsd,
    /// The later one, unless it begins before the earlier (HP JetDirect).
    BsdRight,
    /// The earlier one only where it begins before the later (Linux before 4.19, OpenBSD).
    Linux,
    /// The earlier one, unless the later begins before and ends after it (Windows).
    Windows,
    /// The earlier one, unless the later begins before and ends with or after it (Solaris, HP-UX 11).
    Solaris,
}

/// Where a fragment's data lies in its datagram, bytes; `end` is one past the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl OverlapPolicy {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Refuse,
        Self::First,
        Self::Last,
        Self::Bsd,
        Self::BsdRight,
        Self::Linux,
        Self::Windows,
        Self::Solaris,
    ];

    /// The name in the configuration; those of receivers are Suricata's `host-os-policy` names.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::First => "first",
            Self::Last => "last",
            Self::Bsd => "bsd",
            Self::BsdRight => "bsd-right",
            Self::Linux => "linux",
            Self::Windows => "windows",
            Self::Solaris => "solaris",
        }
    }

    /// The policy of a name.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|policy| policy.label() == label)
    }

    /// Whether `new` replaces bytes of `old`, which came before it. Never under [`OverlapPolicy::Refuse`].
    pub(super) const fn replaces(self, old: Span, new: Span) -> bool {
        match self {
            Self::Refuse | Self::First => false,
            Self::Last => true,
            Self::Bsd => new.start < old.start,
            Self::BsdRight => new.start >= old.start,
            Self::Linux => new.start <= old.start,
            Self::Windows => new.start < old.start && new.end > old.end,
            Self::Solaris => new.start < old.start && new.end >= old.end,
        }
    }
}
