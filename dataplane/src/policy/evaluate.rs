//! What do the policies say of these facts: this outcome, or that it is too early to say?
//!
//! Policies that can match are walked in evaluation order. One that matches ends the walk. One that may match (a
//! fact that it needs is pending) is remembered: if every outcome that is still possible is the same, or none of
//! them lets anything pass, the flow is decided now, else it is deciding. Never allocates after the first call.

use super::compile::{Outcome, PolicyIndex, PolicySet};
use super::condition::{Clock, Condition, Truth};
use super::facts::{Facts, Pending};
use super::rows::Picks;
use super::schedule::WallClock;
use crate::time::Wall;
use std::ops::ControlFlow;

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
        let mut answer = None;
        let _ = self.index.walk(facts, picks, |rank| {
            let head = &self.heads[rank as usize];
            let from = if awaits.is_empty() { head.residual } else { head.first };
            match self.matches(&self.conditions[from as usize..head.end as usize], facts, clock) {
                Truth::False => ControlFlow::Continue(()),
                Truth::Unknown => {
                    open.add(PolicyIndex(rank), head.outcome);
                    if open.disagree() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
                Truth::True => {
                    answer = Some((head.outcome, PolicyIndex(rank)));
                    ControlFlow::Break(())
                }
            }
        });
        if open.disagree() {
            return open.deciding(awaits);
        }
        let (outcome, policy) = match (answer, self.default) {
            (Some((outcome, policy)), _) => (outcome, Some(policy)),
            (None, Some(outcome)) => (outcome, None),
            (None, None) => {
                return if open.first.is_some() { open.deciding(awaits) } else { Evaluation::NoDecision };
            }
        };
        if open.agrees_with(outcome) {
            Evaluation::Decided { outcome, policy }
        } else {
            open.deciding(awaits)
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

/// Outcomes of policies that may match, as far as walked.
#[derive(Default)]
struct Open {
    first: Option<(PolicyIndex, Outcome)>,
    differ: bool,
    /// Whether one of them lets something pass.
    passes: bool,
}

impl Open {
    fn add(&mut self, policy: PolicyIndex, outcome: Outcome) {
        self.passes |= !outcome.blocks();
        match self.first {
            None => self.first = Some((policy, outcome)),
            Some((_, first)) => self.differ |= first != outcome,
        }
    }

    /// Two outcomes differ and one of them lets something pass: no later policy can mend that.
    const fn disagree(&self) -> bool {
        self.differ && self.passes
    }

    fn agrees_with(&self, outcome: Outcome) -> bool {
        match self.first {
            None => true,
            Some((_, first)) => (!self.differ && first == outcome) || (!self.passes && outcome.blocks()),
        }
    }

    fn deciding(&self, awaits: Pending) -> Evaluation {
        let (policy, _) = self.first.expect("only a policy that may match makes a flow deciding");
        Evaluation::Deciding { policy, awaits }
    }
}
