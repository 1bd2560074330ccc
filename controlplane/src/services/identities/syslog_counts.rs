//! What became of messages of syslog?

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogOutcome {
    /// It told of a login, which holds.
    Login,
    /// It told of a logout.
    Logout,
    /// No pattern is of its form.
    Unmatched,
    /// It is no message.
    Malformed,
    /// Nobody listens to whoever sent it.
    UnknownSender,
    /// It told of what does not hold.
    Refused,
}

impl SyslogOutcome {
    const ALL: [Self; 6] =
        [Self::Login, Self::Logout, Self::Unmatched, Self::Malformed, Self::UnknownSender, Self::Refused];

    /// The name that metrics and the audit have for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Unmatched => "unmatched",
            Self::Malformed => "malformed",
            Self::UnknownSender => "unknown_sender",
            Self::Refused => "refused",
        }
    }
}

/// Messages by what became of them.
#[derive(Debug, Default)]
pub struct SyslogCounts([AtomicU64; SyslogOutcome::ALL.len()]);

impl SyslogCounts {
    /// One more.
    pub fn add(&self, outcome: SyslogOutcome) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them.
    #[must_use]
    pub fn totals(&self) -> [(&'static str, u64); SyslogOutcome::ALL.len()] {
        SyslogOutcome::ALL.map(|outcome| {
            (
                outcome.name(),
                self.0.get(outcome as usize).map_or(0, |counter| counter.load(Ordering::Relaxed)),
            )
        })
    }
}
