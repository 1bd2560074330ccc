//! What do the policies say of these facts: this outcome, or that it is too early to say?
//!
//! The index gives policies that can match, in no order; the first in evaluation order that matches is the answer,
//! and what is behind it is not looked at once it is found. Of those before it that may match (a fact that they need
//! is pending) it is enough to remember three ranks ([`Open`]): if every outcome that is still possible is the same,
//! or none of them lets anything pass, the flow is decided now, else it is deciding. Never allocates after the first
//! call.

use super::compile::{Outcome, PolicyIndex, PolicySet};
use super::condition::{Clock, Condition, Truth};
use super::facts::{Facts, Pending};
use super::rows::Picks;
use super::schedule::WallClock;
use crate::time::Wall;

/// The answer for one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluation {
    /// This happens.
    Decided {
        /// What.
        outcome: Outcome,
        /// By which policy; `None` where the default decides.
        policy: Option<PolicyIndex>,
    },
    /// Policies that may still match disagree: see [`PolicySet::deciding`].
    Deciding {
        /// The first policy that may match.
        policy: PolicyIndex,
        /// Facts that are pending and that some policy asks for.
        awaits: Pending,
    },
    /// No policy matches and the set has no default.
    NoDecision,
}

/// A worker's own memory for evaluation: buffers, and which schedules hold this minute.
#[derive(Debug)]
pub struct Scratch {
    picks: Picks,
    clock: ScheduleClock,
}

/// Which schedules of one set hold at one minute.
#[derive(Debug, Default)]
struct ScheduleClock {
    set: u64,
    minute: u64,
    holds: Vec<bool>,
    zones: Vec<WallClock>,
}

impl Clock for ScheduleClock {
    fn holds(&self, schedule: u32) -> bool {
        self.holds.get(schedule as usize).copied().unwrap_or_default()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Buffers for any set.
    #[must_use]
    pub fn new() -> Self {
        Self { picks: Picks::new(), clock: ScheduleClock::default() }
    }

    /// Brings schedules up to `wall`, and tells whether one of them began or ceased to hold since the last call
    /// under the same set: then flows judged before are to be judged anew. Free within one minute; a few hundred
    /// nanoseconds for each time zone at a minute's start.
    #[inline]
    pub fn refresh(&mut self, set: &PolicySet, wall: Wall) -> bool {
        let minute = wall.0 / 60_000_000_000;
        if !set.has_schedules() || (self.clock.set == set.id && self.clock.minute == minute) {
            return false;
        }
        self.clock.advance(set, wall, minute)
    }
}

impl ScheduleClock {
    #[cold]
    fn advance(&mut self, set: &PolicySet, wall: Wall, minute: u64) -> bool {
        let same_set = self.set == set.id;
        (self.set, self.minute) = (set.id, minute);
        self.zones.clear();
        self.zones.extend(set.time_zones.iter().map(|zone| WallClock::at(wall, zone)));
        self.holds.resize(set.schedules.len(), false);
        let mut changed = false;
        for (holds, compiled) in self.holds.iter_mut().zip(&set.schedules) {
            let now = compiled.schedule.holds_at(self.zones[compiled.time_zone as usize]);
            changed |= *holds != now;
            *holds = now;
        }
        changed && same_set
    }
}

impl PolicySet {
    /// Judges one flow. See the module for how, [`Scratch`] for what it keeps.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts<'_>, scratch: &mut Scratch) -> Evaluation {
        scratch.refresh(self, facts.wall);
        let Scratch { picks, clock } = scratch;
        let awaits = Pending(facts.pending().0 & self.asks);
        let mut open = Open::default();
        let mut answer = NOBODY;
        self.index.walk(facts, picks, |rank| {
            let head = &self.heads[rank as usize];
            let from = if awaits.is_empty() { head.residual } else { head.first };
            match self.matches(&self.conditions[from as usize..head.end as usize], facts, clock) {
                Truth::False => {}
                Truth::Unknown => open.add(rank, head.outcome),
                Truth::True => answer = rank,
            }
            // Behind a policy that matches nothing matters, and behind a disagreement neither.
            answer.min(open.disagrees_from())
        });
        let (outcome, policy) = match (self.heads.get(answer as usize), self.default) {
            (Some(head), _) => (Some(head.outcome), Some(PolicyIndex(answer))),
            (None, default) => (default, None),
        };
        match (open.before(answer), outcome) {
            (None, Some(outcome)) => Evaluation::Decided { outcome, policy },
            (None, None) => Evaluation::NoDecision,
            (Some(_), Some(outcome)) if open.agrees_with(outcome, answer) => {
                Evaluation::Decided { outcome, policy }
            }
            (Some(policy), _) => Evaluation::Deciding { policy, awaits },
        }
    }

    /// Whether all of `conditions` hold.
    pub(super) fn matches(&self, conditions: &[Condition], facts: &Facts<'_>, clock: &impl Clock) -> Truth {
        let mut truth = Truth::True;
        for condition in conditions {
            match condition.truth(facts, clock) {
                Truth::True => {}
                Truth::False => return Truth::False,
                Truth::Unknown => truth = Truth::Unknown,
            }
        }
        truth
    }

    pub(super) fn clock_of<'s>(&self, scratch: &'s mut Scratch, wall: Wall) -> &'s impl Clock {
        scratch.refresh(self, wall);
        &scratch.clock
    }
}

/// The rank of no policy, behind every other.
const NOBODY: u32 = u32::MAX;

/// What policies that may match would do, by the ranks from which on something is true of them: so policies can come
/// in any order, and those behind the one that matches can be disregarded in the end.
struct Open {
    /// The best of them, with its outcome.
    first: Option<(u32, Outcome)>,
    /// The best whose outcome is not that of the first.
    differs: u32,
    /// The best that lets something pass.
    passes: u32,
}

impl Default for Open {
    fn default() -> Self {
        Self { first: None, differs: NOBODY, passes: NOBODY }
    }
}

impl Open {
    fn add(&mut self, rank: u32, outcome: Outcome) {
        if !outcome.blocks() {
            self.passes = self.passes.min(rank);
        }
        match self.first {
            Some((first, of_first)) if first < rank => {
                if of_first != outcome {
                    self.differs = self.differs.min(rank);
                }
            }
            Some((first, of_first)) => {
                if of_first != outcome {
                    // Nothing was before the former first, so nothing differs from the new one before it.
                    self.differs = first;
                }
                self.first = Some((rank, outcome));
            }
            None => self.first = Some((rank, outcome)),
        }
    }

    /// From this rank on two outcomes differ and one of them lets something pass: no policy behind can mend that.
    fn disagrees_from(&self) -> u32 {
        self.differs.max(self.passes)
    }

    /// The first before `answer`.
    fn before(&self, answer: u32) -> Option<PolicyIndex> {
        self.first.filter(|(rank, _)| *rank < answer).map(|(rank, _)| PolicyIndex(rank))
    }

    /// Whether those before `answer` would do the same as `outcome`, or like it let nothing pass.
    fn agrees_with(&self, outcome: Outcome, answer: u32) -> bool {
        let same = self.differs >= answer && self.first.is_some_and(|(_, first)| first == outcome);
        same || (self.passes >= answer && outcome.blocks())
    }
}
