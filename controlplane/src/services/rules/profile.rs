//! What does trying each rule cost? For who looks for the rules that a box spends its time on.

use dataplane::rules::profile::{Clock, Cost, Span};
use serde::Serialize;
use utoipa::ToSchema;

use super::InForce;

/// What trying one rule cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleCostView {
    /// Its number.
    pub sid: u32,
    /// Who makes alerts of it, 1 for rules.
    pub gid: u32,
    /// What it says.
    pub msg: String,
    /// Times that it was tried: its pattern was found, or it has none.
    pub checks: u64,
    /// Tries that matched.
    pub matches: u64,
    /// Time of all tries, nanoseconds.
    pub total_ns: u64,
    /// Time of the longest, nanoseconds.
    pub max_ns: u64,
    /// Time of one on average, nanoseconds.
    pub avg_ns: u64,
}

/// What trying the rules cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleProfile {
    /// Whether it is measured now.
    pub running: bool,
    /// How long it was measured so far, milliseconds; `null`: never since the rules were read.
    pub measured_ms: Option<u64>,
    /// When it ends by itself, milliseconds from now; `null`: it is over.
    pub left_ms: Option<u64>,
    /// Rules that were tried.
    pub tried: usize,
    /// Tries of all rules.
    pub checks: u64,
    /// Time of all tries of all rules, of all workers, nanoseconds.
    pub total_ns: u64,
    /// The rules that were tried, the dearest first.
    pub rules: Vec<RuleCostView>,
}

/// By what rules are sorted, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CostOrder {
    /// Time of all tries.
    #[default]
    Total,
    /// Time of one on average.
    Average,
    /// Time of the longest.
    Max,
    /// Tries.
    Checks,
    /// Tries that matched.
    Matches,
}

impl CostOrder {
    /// By its name: `total`, `avg`, `max`, `checks`, `matches`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "total" => Self::Total,
            "avg" => Self::Average,
            "max" => Self::Max,
            "checks" => Self::Checks,
            "matches" => Self::Matches,
            _ => return None,
        })
    }

    const fn of(self, cost: &Cost) -> u64 {
        match self {
            Self::Total => cost.total_ns,
            Self::Average => cost.average_ns(),
            Self::Max => cost.max_ns,
            Self::Checks => cost.checks,
            Self::Matches => cost.matches,
        }
    }
}

const MS_NS: u64 = 1_000_000;

impl InForce {
    /// Measures from now on, from zero, for so many seconds; `false`: there are no rules to be measured.
    #[must_use]
    pub fn start_profile(&self, clock: Clock, seconds: u32) -> bool {
        let Some(set) = self.set.as_ref().filter(|set| !set.is_empty()) else { return false };
        set.profile().start(clock, u64::from(seconds) * 1_000 * MS_NS);
        true
    }

    /// Measures no more; what was measured stays.
    pub fn stop_profile(&self) {
        if let Some(set) = &self.set {
            set.profile().stop();
        }
    }

    /// What was measured: so many rules at most.
    #[must_use]
    pub fn profile(&self, order: CostOrder, limit: usize) -> RuleProfile {
        let span = self.set.as_ref().and_then(|set| set.profile().span());
        let costs = self.set.iter().flat_map(|set| {
            let of = |number| set.profile().of(number);
            set.signatures().iter().enumerate().map(move |(number, one)| (&one.rule, of(number)))
        });
        let mut tried: Vec<_> = costs.filter(|(_, cost)| cost.checks > 0).collect();
        // Of equal ones the smaller number first, so that an answer is the same each time.
        tried.sort_by_key(|(rule, cost)| (std::cmp::Reverse(order.of(cost)), rule.generator, rule.sid));
        let view = |(rule, cost): &(&dataplane::rules::Rule, Cost)| RuleCostView {
            sid: rule.sid,
            gid: rule.generator,
            msg: rule.message.to_string(),
            checks: cost.checks,
            matches: cost.matches,
            total_ns: cost.total_ns,
            max_ns: cost.max_ns,
            avg_ns: cost.average_ns(),
        };
        let left_ns = span.and_then(|Span { left_ns, .. }| left_ns);
        RuleProfile {
            running: left_ns.is_some(),
            measured_ms: span.map(|span| span.measured_ns / MS_NS),
            left_ms: left_ns.map(|left_ns| left_ns / MS_NS),
            tried: tried.len(),
            checks: tried.iter().map(|(_, cost)| cost.checks).sum(),
            total_ns: tried.iter().map(|(_, cost)| cost.total_ns).sum(),
            rules: tried.iter().take(limit).map(view).collect(),
        }
    }
}
