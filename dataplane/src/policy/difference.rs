//! What would another policy set do differently with a flow? The one notion of it, for the shadow beside the live set and for what-if.
//!
//! Treatments of two sets are compared, not their policies: a flow that another policy lets pass in the same way meets no change.

use super::compile::{Limit, OutcomeAction, PolicyIndex, PolicySet, Target};
use super::model::Per;
use crate::account::Change;

/// What becomes of a flow, whatever set says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It passes.
    Allow,
    /// Its packets vanish.
    Drop,
    /// It is refused, and told so.
    Reject,
    /// It passes, to another destination.
    Redirect(Target),
    /// It passes while a bucket lasts.
    RateLimit {
        /// Long-term rate.
        bytes_per_s: u64,
        /// Depth.
        burst_bytes: u64,
        /// Who shares it.
        per: Per,
    },
}

impl Treatment {
    /// As policy files write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Redirect(_) => "redirect",
            Self::RateLimit { .. } => "rate_limit",
        }
    }

    /// Whether nothing of the flow passes.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        match self {
            Self::Drop | Self::Reject => true,
            Self::Allow | Self::Redirect(_) | Self::RateLimit { .. } => false,
        }
    }

    /// How `proposed` differs from this; `None` where it does not.
    #[must_use]
    pub fn change_to(self, proposed: Self) -> Option<Change> {
        if self == proposed {
            return None;
        }
        Some(match (self.refuses(), proposed.refuses()) {
            (false, true) => Change::AllowedToRefused,
            (true, false) => Change::RefusedToAllowed,
            (false, false) | (true, true) => Change::Other,
        })
    }
}

impl PolicySet {
    /// What `policy`, or the default, makes of a flow. A set without a default lets pass what no policy decides.
    #[must_use]
    pub fn treatment(&self, policy: Option<PolicyIndex>) -> Treatment {
        let outcome = match policy {
            Some(policy) => self.outcome(policy),
            None => self.default,
        };
        match outcome.map(|outcome| outcome.action) {
            Some(OutcomeAction::Allow) | None => Treatment::Allow,
            Some(OutcomeAction::Drop(_)) => Treatment::Drop,
            Some(OutcomeAction::Reject(_)) => Treatment::Reject,
            // Either index comes from this set; without its parameters the flow is judged as the engine judges it then.
            Some(OutcomeAction::Redirect(target)) => {
                self.target(target).map_or(Treatment::Drop, |target| Treatment::Redirect(*target))
            }
            Some(OutcomeAction::RateLimit(policy)) => self.limit(policy).map_or(
                Treatment::Allow,
                |&Limit { bytes_per_s, burst_bytes, per, .. }| Treatment::RateLimit {
                    bytes_per_s,
                    burst_bytes,
                    per,
                },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_by_what_passes() {
        let slow = Treatment::RateLimit { bytes_per_s: 1_000, burst_bytes: 2_000, per: Per::Flow };
        let slower = Treatment::RateLimit { bytes_per_s: 500, burst_bytes: 2_000, per: Per::Flow };
        for (live, proposed, change) in [
            (Treatment::Allow, Treatment::Allow, None),
            (slow, slow, None),
            (Treatment::Allow, Treatment::Drop, Some(Change::AllowedToRefused)),
            (slow, Treatment::Reject, Some(Change::AllowedToRefused)),
            (Treatment::Reject, Treatment::Allow, Some(Change::RefusedToAllowed)),
            (Treatment::Drop, slow, Some(Change::RefusedToAllowed)),
            (Treatment::Allow, slow, Some(Change::Other)),
            (slow, slower, Some(Change::Other)),
            (Treatment::Drop, Treatment::Reject, Some(Change::Other)),
        ] {
            assert_eq!(live.change_to(proposed), change, "{live:?} to {proposed:?}");
        }
    }
}
