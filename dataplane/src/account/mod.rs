//! For whom do packets count? Numbers that workers write and anyone reads: what each policy did ([`Tally`]), and how flows would fare under
//! a proposal that is asked beside the policies ([`Standings`]).
//!
//! Absent here: who decides ([`crate::policy`]), and which flow has which account ([`crate::flow`]).

mod standing;
mod tally;

pub use standing::{Change, Difference, Fate, Standing, Standings};
pub use tally::{ACCOUNTS_MAX, Cell, Counts, DEFAULT_ACCOUNT, NO_ACCOUNT, Tally};
