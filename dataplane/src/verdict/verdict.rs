use super::Reason;

/// What becomes of one frame. Every frame leaves exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Out by the other port, as it came in (or rewritten by a redirect decided earlier on its flow).
    Forward,
    /// Gone, counted under the reason.
    Drop(Reason),
    /// Gone, and the sender is told: RST both ways for TCP, ICMP administratively prohibited otherwise.
    Reject(Reason),
    /// Out by the other port with address, port and (where needed) MAC rewritten.
    Redirect(TargetId),
    /// Forwarded while the bucket has tokens, else dropped as [`Reason::RateLimited`].
    RateLimit(BucketId),
}

/// Index of a redirect target in the policy snapshot that the verdict was made under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetId(pub u16);

/// Index of a token bucket in the host table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketId(pub u32);

/// What happens besides the verdict; effects never end evaluation.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Effects {
    /// Copy the frame to the mirror port.
    pub mirror: bool,
    /// Keep the frame for packet capture.
    pub capture: bool,
    /// Emit a record that names the policy.
    pub log: bool,
}

impl Verdict {
    /// How strict: of two verdicts on one frame the higher rank stands
    /// (block list > malformed or state > policy drop or reject > redirect > rate limit > forward).
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Forward => 0,
            Self::RateLimit(_) => 1,
            Self::Redirect(_) => 2,
            Self::Reject(reason) | Self::Drop(reason) => 3 + reason.class().rank(),
        }
    }

    /// The stricter of the two; `self` where they tie.
    #[must_use]
    pub const fn strictest(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    /// The reason, where the verdict has one.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Drop(reason) | Self::Reject(reason) => Some(reason),
            Self::Forward | Self::Redirect(_) | Self::RateLimit(_) => None,
        }
    }
}
