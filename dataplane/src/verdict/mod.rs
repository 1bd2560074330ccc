//! What happens to this frame, and under which name is it counted?
//!
//! A [`Verdict`] is a closed enum and its [`Reason`] is the counter index, the metric label and the EVE
//! field at once. Nothing here looks at packets: other rooms decide, this room names and counts.

mod reason;
#[expect(clippy::module_inception, reason = "the room is named after the value that it defines")]
mod verdict;
mod counters;

pub use counters::Counters;
pub use reason::{Reason, ReasonClass};
pub use verdict::{BucketId, Effects, TargetId, Verdict};
