//! What can become of a packet of RADIUS accounting, a message of syslog, a DHCP lease, a request at the portal, what was kept? And why is
//! an assertion refused?

use crate::services::outcomes::Outcome;

/// What became of a packet of RADIUS accounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RadiusOutcome {
    /// It was answered, and counts.
    Accepted,
    /// It was answered and changed nothing: it was heard before.
    Duplicate,
    /// It was answered and changed nothing: something newer was heard before.
    Stale,
    /// It was not answered.
    Refused,
}

impl Outcome for RadiusOutcome {
    const ALL: &'static [Self] = &[Self::Accepted, Self::Duplicate, Self::Stale, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Refused => "refused",
        }
    }
}

/// What became of a message of syslog. The audit has the same names.
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

impl Outcome for SyslogOutcome {
    const ALL: &'static [Self] =
        &[Self::Login, Self::Logout, Self::Unmatched, Self::Malformed, Self::UnknownSender, Self::Refused];

    fn name(self) -> &'static str {
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

/// What became of a DHCP lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// It is in force.
    Taken,
    /// It is not.
    Refused,
    /// Nobody heard of it, for want of room.
    Lost,
}

impl Outcome for LeaseOutcome {
    const ALL: &'static [Self] = &[Self::Taken, Self::Refused, Self::Lost];

    fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }
}

/// What became of a request at the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalOutcome {
    /// It was for somebody else, and was sent to the portal.
    Redirected,
    /// It was shown a page, or told whether it is captive.
    Shown,
    /// It is somebody who is known now.
    Login,
    /// It is nobody any more.
    Logout,
    /// Name or password was wrong.
    Credentials,
    /// It asked too often.
    Throttled,
    /// It was refused otherwise.
    Refused,
}

impl Outcome for PortalOutcome {
    const ALL: &'static [Self] = &[
        Self::Redirected,
        Self::Shown,
        Self::Login,
        Self::Logout,
        Self::Credentials,
        Self::Throttled,
        Self::Refused,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Shown => "shown",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Credentials => "credentials",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
        }
    }
}

/// What became of an assertion or a lease that was kept from before a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreOutcome {
    /// It holds again.
    Restored,
    /// Its time is over.
    Expired,
    /// It cannot hold any more: an address of the box, too many of them.
    Refused,
    /// It cannot be read.
    Damaged,
}

impl Outcome for RestoreOutcome {
    const ALL: &'static [Self] = &[Self::Restored, Self::Expired, Self::Refused, Self::Damaged];

    fn name(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
        }
    }
}

/// Why an assertion or a lease was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedOutcome {
    /// Enough assertions live.
    Full,
    /// Somebody else is there, and stays.
    Taken,
    /// It is about an address that no user has.
    Address,
    /// Enough leases live.
    Leases,
    /// Enough names were there since the start.
    Names,
    /// The policies cannot be compiled with its names.
    Policies,
}

impl Outcome for RefusedOutcome {
    const ALL: &'static [Self] =
        &[Self::Full, Self::Taken, Self::Address, Self::Leases, Self::Names, Self::Policies];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Taken => "taken",
            Self::Address => "address",
            Self::Leases => "leases",
            Self::Names => "names",
            Self::Policies => "policies",
        }
    }
}
