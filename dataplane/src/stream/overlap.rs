//! Which of two overlapping segments does the receiver believe?
//!
//! Receivers differ in what they do with segments that wait beyond a hole, and an evader uses the difference. Judy
//! Novak and Steve Sturges, "Target-Based TCP Stream Reassembly" (2007) names the rules; each is a question about
//! where the two segments begin and end, as they were sent. Bytes in order are never replaced: a receiver has handed
//! them to its application.

/// What becomes of bytes that two segments both carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// On the wire: data seen first wins, and later segments are rewritten to it ([`super::Streams::first_seen`]), for
    /// which bytes are remembered until the receiver has acknowledged them.
    Inline,
    /// Beside the wire: the receiver's own rule is imitated.
    Target(Policy),
}

/// How a receiver treats overlapping segments beyond a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// The segment that came first.
    First,
    /// The segment that came last.
    Last,
    /// The earlier one, unless the later begins before it (FreeBSD, OpenBSD, AIX). Suricata's default.
    #[default]
    Bsd,
    /// As BSD, and the later one where both begin together and the later is longer.
    Linux,
    /// As BSD, and the later one where both begin together and the later is not shorter (Linux before 2.2).
    OldLinux,
    /// As BSD (Windows before Vista).
    Windows,
    /// As first (Windows Vista and later).
    Vista,
    /// The later one where it ends after the earlier, or with it and begins no later.
    Solaris,
    /// As Linux (HP-UX 10).
    Hpux10,
    /// As Solaris (HP-UX 11).
    Hpux11,
    /// As Linux.
    Irix,
    /// As BSD.
    MacOs,
}

/// Where a segment begins and ends, relative to any sequence number near it; `end` is one past the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: i32,
    pub(super) end: i32,
}

impl Policy {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::First,
        Self::Last,
        Self::Bsd,
        Self::Linux,
        Self::OldLinux,
        Self::Windows,
        Self::Vista,
        Self::Solaris,
        Self::Hpux10,
        Self::Hpux11,
        Self::Irix,
        Self::MacOs,
    ];

    /// The name in the configuration, as Suricata's `host-os-policy` has it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Bsd => "bsd",
            Self::Linux => "linux",
            Self::OldLinux => "old-linux",
            Self::Windows => "windows",
            Self::Vista => "vista",
            Self::Solaris => "solaris",
            Self::Hpux10 => "hpux10",
            Self::Hpux11 => "hpux11",
            Self::Irix => "irix",
            Self::MacOs => "macos",
        }
    }

    /// The policy of a name. Names that differ for fragments only are taken for the system they belong to.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        match label {
            "bsd-right" | "bsd_right" => Some(Self::Bsd),
            "old_linux" => Some(Self::OldLinux),
            "old-solaris" | "old_solaris" => Some(Self::Solaris),
            "hpux" => Some(Self::Hpux11),
            "windows2k3" => Some(Self::Windows),
            _ => Self::ALL.iter().copied().find(|policy| policy.label() == label),
        }
    }

    /// Whether bytes of `old`, which came before, give way to those of `new`.
    pub(super) const fn replaces(self, old: Span, new: Span) -> bool {
        let before = new.start < old.start;
        let together = new.start == old.start;
        match self {
            Self::First | Self::Vista => false,
            Self::Last => true,
            Self::Bsd | Self::Windows | Self::MacOs => before,
            Self::Linux | Self::Hpux10 | Self::Irix => before || together && new.end > old.end,
            Self::OldLinux => before || together && new.end >= old.end,
            Self::Solaris | Self::Hpux11 => new.end > old.end || new.end == old.end && new.start <= old.start,
        }
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self::Target(Policy::default())
    }
}

impl Mode {
    /// The rule for bytes beyond a hole.
    pub(super) const fn policy(self) -> Policy {
        match self {
            Self::Inline => Policy::First,
            Self::Target(policy) => policy,
        }
    }

    /// Whether the rule needs to know where segments began and ended; if not, neighbours may become one.
    pub(super) const fn looks_at_spans(self) -> bool {
        !matches!(self.policy(), Policy::First | Policy::Vista | Policy::Last)
    }

    pub(crate) const fn is_inline(self) -> bool {
        matches!(self, Self::Inline)
    }
}
