//! What does the operator want done with this flow?
//!
//! [`PolicyFile`] is what was written: JSON, read whole, every error reported with file, line and path.
//! [`PolicySet`] is what workers obey: compiled aside, immutable, shared. [`PolicySet::evaluate`] takes the
//! [`Facts`] of one flow and answers in three values: a policy matches, does not match, or may match once a
//! pending fact is known; a flow is deciding only while policies that may match disagree on the outcome.
//!
//! [`Shadow`] is a proposal that is asked beside the set, [`Treatment::change_to`] names how two sets differ.
//!
//! Absent here: who supplies the facts (parser, classifier, identity), what happens to the frame (`verdict`),
//! and the state of a rate limit (`host`).

mod json;
mod error;
mod model;
mod schedule;
mod read;
mod names;
mod facts;
mod condition;
mod order;
mod rows;
mod prefixes;
mod index;
mod compile;
mod evaluate;
mod explain;
mod cover;
mod sketch;
mod analysis;
mod lint;
mod context;
mod difference;
mod shadow;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;

pub use analysis::{Finding, FindingKind};
pub use compile::{Environment, Limit, Outcome, OutcomeAction, PolicyIndex, PolicyInfo, PolicySet, Target};
pub use condition::{Field, Truth};
pub use context::{ContextError, EvaluationContext};
pub use difference::Treatment;
pub use error::PolicyError;
pub use evaluate::{Evaluation, Scratch};
pub use explain::{Explanation, Met, Tried};
pub use facts::{Fact, Facts, Pending, User};
pub use lint::{Supplied, Warning};
pub use model::{
    Action, AddrSet, AttributeMatch, Conditions, DecidingMode, DefaultAction, Fields, Per, Policy,
    PolicyFile, RateLimit, Redirect, RedirectTo,
};
pub use names::{Kind, NameId, Names, Vocabulary};
pub use schedule::Schedule;
pub use shadow::Shadow;
