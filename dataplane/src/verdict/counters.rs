use super::{Reason, Verdict};

/// What one worker did, by verdict and by reason. Plain numbers: written by the owner only, published
/// once a batch through [`crate::control`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Frames that came in.
    pub received: u64,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Frames sent on.
    pub forwarded: u64,
    /// Bytes sent on.
    pub forwarded_bytes: u64,
    /// Frames answered with RST or ICMP (a subset of those counted in `by_reason`).
    pub rejected: u64,
    /// Frames sent on with another destination.
    pub redirected: u64,
    /// Frames handed to the owner of their flow.
    pub handed_off: u64,
    /// Frames given to the `host` port.
    pub to_host: u64,
    /// Mirror copies made.
    pub mirrored: u64,
    /// Frames dropped, and notices, by reason.
    pub by_reason: [u64; Reason::COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: 0,
            received_bytes: 0,
            forwarded: 0,
            forwarded_bytes: 0,
            rejected: 0,
            redirected: 0,
            handed_off: 0,
            to_host: 0,
            mirrored: 0,
            by_reason: [0; Reason::COUNT],
        }
    }
}

impl Counters {
    /// Counts one frame of `len_bytes` that leaves by `verdict`.
    ///
    /// A rate limit is counted by what the bucket decided, so the caller resolves it first.
    #[inline]
    pub fn count(&mut self, verdict: Verdict, len_bytes: u64) {
        match verdict {
            Verdict::Forward | Verdict::RateLimit(_) => {
                self.forwarded += 1;
                self.forwarded_bytes += len_bytes;
            }
            Verdict::Redirect(_) => {
                self.redirected += 1;
                self.forwarded += 1;
                self.forwarded_bytes += len_bytes;
            }
            Verdict::Drop(reason) => self.by_reason[reason as usize] += 1,
            Verdict::Reject(reason) => {
                self.rejected += 1;
                self.by_reason[reason as usize] += 1;
            }
        }
    }

    /// Counts a fact about a frame beside its verdict.
    #[inline]
    pub fn notice(&mut self, reason: Reason) {
        self.by_reason[reason as usize] += 1;
    }

    /// How often `reason` was counted.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.by_reason[reason as usize]
    }

    /// Frames dropped or rejected, whatever the reason (notices do not drop).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        Reason::ALL
            .iter()
            .filter(|reason| reason.class() != super::ReasonClass::Notice)
            .map(|reason| self.of(*reason))
            .sum()
    }
}
